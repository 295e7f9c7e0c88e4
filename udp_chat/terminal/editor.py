"""The line being typed: keys change it. Pure: no terminal, no thread, no clock.

`LineEditor` holds the line, its cursor and the lines before it. keys.py makes the keys, block.py
lays the line out, screen.py reads, draws and locks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from udp_chat.terminal.cells import boundary_left, boundary_right, clean
from udp_chat.terminal.keys import Key

LINE_CHARACTERS_MAX = 10_000
"""Each key lays the line out again. Beyond this length the bell rings and no more is taken."""

HISTORY_LINES_MAX = 500

Completer = Callable[[str], Sequence[str]]
"""Takes the text left of the cursor; returns what it could become, the best first."""


class Completion:
    """Tab: goes through what the text left of the cursor could become, then back to it.

    What all candidates share comes first. One without others is taken at once.
    """

    def __init__(self, completer: Completer | None) -> None:
        self._completer = completer
        self._candidates: list[str] = []
        self._shown: tuple[str, int] | None = None
        self.labels: list[str] = []
        """What differs in the candidates; empty if there are not several."""

    def forget(self) -> None:
        """Another key was pressed: the next Tab begins anew."""
        self._shown = None

    def next(self, text: str, cursor: int) -> tuple[str, int] | None:
        """The line and its cursor after Tab; None if there is nothing to complete."""
        left, right = text[:cursor], text[cursor:]
        if self._shown != (text, cursor):
            found = self._completer(left) if self._completer else ()
            self._candidates = [clean(candidate) for candidate in found if candidate != left]
            if not self._candidates:
                return None
            self.labels = _labels(self._candidates)
            if not self.labels:
                return self._candidates[0] + right, len(self._candidates[0])
            shared = _shared_beginning(self._candidates)
            if len(shared) > len(left) and shared not in self._candidates:
                self._candidates.insert(0, shared)
            self._candidates.append(left)
        left = self._candidates.pop(0)
        self._candidates.append(left)
        self._shown = left + right, len(left)
        return self._shown


def _shared_beginning(texts: Sequence[str]) -> str:
    first, last = min(texts), max(texts)
    pairs = enumerate(zip(first, last, strict=False))
    return first[: next((index for index, (a, b) in pairs if a != b), len(first))]


def _labels(candidates: Sequence[str]) -> list[str]:
    """What a person tells several candidates apart by: without the words that all begin with."""
    if len(candidates) < 2:
        return []
    shared = _shared_beginning(candidates)
    start = max(shared.rfind(" "), shared.rfind("/", 1)) + 1
    return [candidate[start:].rstrip(" :") for candidate in candidates]


class LineEditor:
    """The line being typed, its cursor, and the lines typed before."""

    def __init__(self, completer: Completer | None = None) -> None:
        self.text = ""
        self.cursor = 0
        self.wants_bell = False
        """The last key could not do what it is for."""
        self.candidates: Sequence[str] = ()
        """What Tab goes through, if the last key was Tab and there are several."""
        self._completion = Completion(completer)
        self._killed = ""
        self._history: list[str] = []
        self._position = 0
        """Which line of the history is shown; after the last comes the line being typed."""
        self._draft = ""

    def press(self, key: Key | str) -> str | None:
        """Carries out a key; returns the line that ENTER completes.

        Raises EOFError for END_OF_INPUT on an empty line.
        """
        if key is not Key.COMPLETE:
            self.candidates = ()
            self._completion.forget()
        if isinstance(key, str):
            self._insert(key)
        elif key is Key.ENTER:
            return self._enter()
        elif key is Key.END_OF_INPUT:
            if not self.text:
                raise EOFError
            self._delete(self.cursor, boundary_right(self.text, self.cursor))
        elif key in _MOVES:
            self.cursor = _MOVES[key](self.text, self.cursor)
        elif key in _DELETIONS:
            self._delete(*sorted((self.cursor, _DELETIONS[key](self.text, self.cursor))))
        elif key in _KILLS:
            start, end = sorted((self.cursor, _KILLS[key](self.text, self.cursor)))
            self._killed = self.text[start:end] or self._killed
            self._delete(start, end)
        elif key is Key.YANK:
            self._insert(self._killed)
        elif key is Key.UP:
            self._recall(self._position - 1)
        elif key is Key.DOWN:
            self._recall(self._position + 1)
        elif key is Key.COMPLETE:
            self.complete(self.completed())
        return None

    def completed(self) -> tuple[str, int] | None:
        """The line and its cursor after Tab, for `complete`. The line itself stays."""
        return self._completion.next(self.text, self.cursor)

    def complete(self, completed: tuple[str, int] | None) -> None:
        """Takes over what Tab makes of the line; rings if it makes nothing."""
        if completed is None:
            self.wants_bell = True
        else:
            self.text, self.cursor = completed
            self.candidates = self._completion.labels

    def _insert(self, text: str) -> None:
        room = LINE_CHARACTERS_MAX - len(self.text)
        self.wants_bell |= len(text) > room
        left = clean(self.text[: self.cursor] + text[:room])
        self.text = left + self.text[self.cursor :]
        self.cursor = len(left)

    def _delete(self, start: int, end: int) -> None:
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start

    def _enter(self) -> str:
        line = self.text
        if line and self._history[-1:] != [line]:
            self._history.append(line)
            del self._history[:-HISTORY_LINES_MAX]
        self._position = len(self._history)
        self.text, self.cursor = "", 0
        return line

    def _recall(self, position: int) -> None:
        if not 0 <= position <= len(self._history):
            return
        if self._position == len(self._history):
            self._draft = self.text
        self._position = position
        self.text = self._history[position] if position < len(self._history) else self._draft
        self.cursor = len(self.text)


def _word_left(text: str, cursor: int) -> int:
    return max((word.start() for word in re.finditer(r"\S+", text[:cursor])), default=0)


def _word_right(text: str, cursor: int) -> int:
    ends = (word.end() for word in re.finditer(r"\S+", text))
    return min((end for end in ends if end > cursor), default=len(text))


_Motion = Callable[[str, int], int]

_MOVES: dict[Key, _Motion] = {
    Key.LEFT: boundary_left,
    Key.RIGHT: boundary_right,
    Key.WORD_LEFT: _word_left,
    Key.WORD_RIGHT: _word_right,
    Key.HOME: lambda text, cursor: 0,
    Key.END: lambda text, cursor: len(text),
}

_DELETIONS: dict[Key, _Motion] = {Key.BACKSPACE: boundary_left, Key.DELETE: boundary_right}

_KILLS: dict[Key, _Motion] = {
    Key.KILL_LEFT: _MOVES[Key.HOME],
    Key.KILL_RIGHT: _MOVES[Key.END],
    Key.KILL_WORD_LEFT: _word_left,
    Key.KILL_WORD_RIGHT: _word_right,
}
