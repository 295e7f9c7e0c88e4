"""The line being typed: keys change it. Pure: no terminal, no thread, no clock.

`LineEditor` holds the line, its cursor and the lines before it. keys.py makes the keys, block.py
lays the line out, screen.py reads, draws and locks.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from udp_chat.terminal.cells import boundary_left, boundary_right, clean
from udp_chat.terminal.history import Changes, History, Search, Typed
from udp_chat.terminal.keys import Key, Paste

LINE_CHARACTERS_MAX = 10_000
"""Each key lays the line out again. Beyond this length the bell rings and no more is taken."""

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
        """Another key was pressed: the next Tab starts over."""
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
        self._history = History()
        self._changes = Changes()
        self._search: Search | None = None
        self.pasted: list[str] = []
        """The lines of a long paste, until ENTER sends them or INTERRUPT drops them."""
        self._before_paste = Typed()

    def press(self, key: Key | str | Paste) -> list[str]:
        """Carries out a key; returns the lines that ENTER completes.

        INTERRUPT empties the line, or drops a long paste. On an empty line it raises
        KeyboardInterrupt, and END_OF_INPUT raises EOFError.
        """
        if key is not Key.COMPLETE:
            self.candidates = ()
            self._completion.forget()
        before = self._typed()
        if self.pasted:
            return self._answer_paste(key)
        if isinstance(key, Paste):
            self._search = None
            self._hold(key)
            return []
        if self._search:
            if self._go_on_searching(key):
                return []
            before = self._typed()
        lines = self._carry_out(key)
        if lines:
            self._changes.clear()
        elif key is not Key.UNDO and not self._search:
            self._note(before, key)
        return lines

    def _note(self, before: Typed, key: Key | str) -> None:
        if self.text != before.text:
            self._changes.add(before, key if isinstance(key, str) else "")
        elif self.cursor != before.cursor:
            self._changes.end_step()

    def _carry_out(self, key: Key | str) -> list[str]:
        if isinstance(key, str):
            self._insert(key)
        elif key is Key.ENTER:
            return [self._enter()]
        elif key is Key.INTERRUPT:
            if not self.text:
                raise KeyboardInterrupt
            self._begin_line()
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
            self._recall(-1)
        elif key is Key.DOWN:
            self._recall(1)
        elif key is Key.UNDO:
            self._become(self._changes.taken_back())
        elif key is Key.SEARCH:
            self._search = Search(self._history, self._typed())
        elif key is Key.COMPLETE:
            self.complete(self.completed())
        return []

    def _hold(self, paste: Paste) -> None:
        if not paste.lines:
            self.wants_bell = True
            return
        self._before_paste = self._typed()
        lines = [clean(line) for line in paste.lines]
        lines[0] = self.text[: self.cursor] + lines[0]
        lines[-1] += self.text[self.cursor :]
        self.wants_bell |= any(len(line) > LINE_CHARACTERS_MAX for line in lines)
        lines = [line[:LINE_CHARACTERS_MAX] for line in lines]
        self.pasted = lines if lines[-1] else lines[:-1]
        self.text, self.cursor = "", 0

    def _answer_paste(self, key: Key | str | Paste) -> list[str]:
        lines = self.pasted
        if key is Key.ENTER:
            self.pasted = []
            self._begin_line()
            return lines
        if key is Key.INTERRUPT:
            self.pasted = []
            self._become(self._before_paste)
        elif key is not Key.CLEAR_SCREEN:
            self.wants_bell = True
        return []

    @property
    def finds_nothing(self) -> bool:
        """Whether no line typed before has the word that is searched."""
        return self._search is not None and not self._search.has_found

    @property
    def searched(self) -> str | None:
        """The word for which the history is being searched; None if it is not."""
        return self._search.word if self._search else None

    def _go_on_searching(self, key: Key | str) -> bool:
        """Carries out a key of a search; false if it ends the search and does its own work.

        As in readline: ESC leaves the line found, CANCEL and INTERRUPT the line before the search.
        """
        assert self._search is not None
        search = self._search
        if isinstance(key, str):
            self._become(search.look_for(clean(search.word + key)[:LINE_CHARACTERS_MAX]))
        elif key is Key.SEARCH:
            self._become(search.older())
        elif key is Key.BACKSPACE:
            self._become(
                search.look_for(search.word[: boundary_left(search.word, len(search.word))])
            )
        elif key is Key.ENTER and not search.has_found:
            self.wants_bell = True  # the line that is shown is not what was looked for
        elif key in (Key.CANCEL, Key.INTERRUPT, Key.END_SEARCH):
            self._search = None
            self._become(search.line_before)
        elif key is not Key.CLEAR_SCREEN:
            self._search = None
            self._note(search.line_before, key)
            return key is Key.ESCAPE
        return True

    def completed(self) -> tuple[str, int] | None:
        """The line and its cursor after Tab, for `complete`. The line itself stays."""
        return self._completion.next(self.text, self.cursor)

    def complete(self, completed: tuple[str, int] | None) -> None:
        """Takes over what Tab makes of the line; rings if it makes nothing."""
        if completed is None:
            self.wants_bell = True
        else:
            before = self._search.line_before if self._search else self._typed()
            self._search = None
            self._become(Typed(*completed))
            self._note(before, Key.COMPLETE)
            self.candidates = self._completion.labels

    def _insert(self, text: str) -> None:
        room = max(0, LINE_CHARACTERS_MAX - len(self.text))
        self.wants_bell |= len(text) > room
        left = clean(self.text[: self.cursor] + text[:room])
        self.text = left + self.text[self.cursor :]
        self.cursor = len(left)

    def _delete(self, start: int, end: int) -> None:
        self.text = self.text[:start] + self.text[end:]
        self.cursor = start

    def _enter(self) -> str:
        line = self.text
        self._history.add(line)
        self._begin_line()
        return line

    def _begin_line(self) -> None:
        self._history.begin_line()
        self._become(Typed())

    def _recall(self, step: int) -> None:
        line = self._history.recalled(step, self.text)
        if line is not None:
            self._become(Typed(line, len(line)))

    def _typed(self) -> Typed:
        return Typed(self.text, self.cursor)

    def _become(self, line: Typed | None) -> None:
        """Takes over this line; rings if there is none."""
        if line is None:
            self.wants_bell = True
        else:
            self.text, self.cursor = line.text, line.cursor


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
