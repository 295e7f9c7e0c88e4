"""What Tab can make of a typed text: commands, their arguments, names, paths.

Pure but for `paths`, which looks into a directory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from udp_chat.app.lines import ALONE, CHOICES, VERBS, meant_verbs

FILES_MAX = 10_000
"""Files of one directory that are looked at: Tab must not wait for a huge one."""


def paths(typed: str) -> list[str]:
    """The files and directories that a path could become; those with a dot only if it has it."""
    folder, slash, beginning = typed.rpartition("/")
    if not slash and typed == "~":
        return ["~/"]
    try:
        with os.scandir(Path(folder + slash).expanduser()) as entries:
            found = [
                f"{folder}{slash}{entry.name}{'/' if entry.is_dir() else ''}"
                for entry in islice(entries, FILES_MAX)
                if entry.name.casefold().startswith(beginning.casefold())
                and entry.name.isprintable()
                and (beginning or not entry.name.startswith("."))
            ]
    except (OSError, RuntimeError, ValueError):  # no such directory; ~nobody; a NUL
        return []
    return sorted(found, key=str.casefold)


@dataclass(frozen=True, slots=True)
class Completions:
    """Completes with these names, and paths as `paths` lists them."""

    names: Iterable[str]
    answer_to: str = ""
    """Whom /r answers."""
    verbs: Sequence[str] = VERBS
    paths: Callable[[str], Sequence[str]] = paths

    def of(self, left: str) -> list[str]:
        """What the text left of the cursor could become.

        A name at the beginning addresses somebody: "An" becomes "Anna: ".
        """
        verb_start = len(left) - len(left.lstrip())
        if left[verb_start : verb_start + 1] != "/" or left[verb_start + 1 : verb_start + 2] == "/":
            return self._in_text(left)
        typed, space, rest = left[verb_start + 1 :].partition(" ")
        if not space:
            return [
                f"{left[: verb_start + 1]}{verb}{'' if verb in ALONE else ' '}"
                for verb in sorted(self.verbs)
                if verb.startswith(typed.casefold())
            ]
        meant = meant_verbs(typed)
        argument = rest.lstrip()
        head = left[: len(left) - len(argument)]
        if len(meant) != 1:
            return self._in_text(left)
        return self._arguments(meant[0], head, argument)

    def _arguments(self, verb: str, head: str, argument: str) -> list[str]:
        if verb == "r" and not argument and self.answer_to:
            return [f"/msg {self.answer_to} "]  # so one sees who gets it
        if verb in ("save", "save!"):
            return [head + path for path in self.paths(argument)]
        if verb in CHOICES:
            return _beginning_with(argument, head, CHOICES[verb])
        if verb == "help":
            slash = "/" if argument.startswith("/") else ""
            return _beginning_with(argument[len(slash) :], head + slash, sorted(self.verbs))
        if verb in ("msg", "ignore") and " " not in argument:
            found = _beginning_with(argument, head, sorted(self.names))
            return [f"{name} " if verb == "msg" else name for name in found]
        return [] if verb in (*ALONE, "history", "ignore") else self._in_text(head + argument)

    def _in_text(self, left: str) -> list[str]:
        """Names for the last word, also with @ before them."""
        start = left.rfind(" ") + 1
        head, word = left[:start], left[start:]
        at = "@" if word.startswith("@") else ""
        if not word:
            return []
        ending = "" if head else " " if at else ": "
        found = _beginning_with(word[len(at) :], head + at, sorted(self.names))
        return [name + ending for name in found]


def _beginning_with(typed: str, head: str, words: Iterable[str]) -> list[str]:
    folded = typed.casefold()
    return [head + word for word in words if word.casefold().startswith(folded)]
