"""The line being typed: keys change it, and it becomes rows.

Pure: no terminal, no thread, no clock. `LineEditor` holds the line, its cursor and the lines before
it; `block_rows` lays all of it out in cells. screen.py reads, draws and locks.

A character may take no cell (combining), one or two (CJK, emoji), and terminals disagree about
some. So a row is never fuller than the most generous terminal makes it, and the cursor is moved by
writing what stands left of it: then it stands right on every terminal.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

from udp_chat.protocol.printable import printable
from udp_chat.terminal.history import Changes, History, Search, Typed
from udp_chat.terminal.keys import Key, Paste

COMBINING_MAX = 8
"""Marks on one character. Languages need three or four. Ten thousand of them climb over the lines
above, and have crashed terminals."""

LINE_CHARACTERS_MAX = 10_000
"""Each key lays the line out again. Beyond this length the bell rings and no more is taken."""

PENDING_ROWS_MAX = 4
"""Rows for messages that wait to be accepted; the first row counts those that do not fit."""

ZERO_WIDTH_JOINER = "\u200d"
VARIATION_SELECTOR_16 = "\ufe0f"

Completer = Callable[[str], Sequence[str]]
"""Takes the text left of the cursor; returns what it could become, the best first."""


# --- characters and cells --------------------------------------------------------------------


@lru_cache(maxsize=4096)
def extends(character: str) -> bool:
    """Whether it belongs to the character before it and takes no cell of its own."""
    return (
        unicodedata.category(character) in ("Mn", "Me", "Cf")
        or "\u1160" <= character <= "\u11ff"  # vowels and finals of a Hangul syllable
        or "\ud7b0" <= character <= "\ud7ff"
        or "\U0001f3fb" <= character <= "\U0001f3ff"  # an emoji's colour of skin
    )


@lru_cache(maxsize=4096)
def cells(character: str) -> int:
    """The most cells that a terminal gives this character."""
    if unicodedata.east_asian_width(character) in "WF":
        return 2
    if character == VARIATION_SELECTOR_16:
        return 1  # it makes a narrow symbol a wide emoji, where the terminal knows
    return 0 if extends(character) else 1


def width(text: str) -> int:
    """The most cells that a terminal gives this text."""
    return len(text) if text.isascii() else sum(map(cells, text))


def clean(text: str) -> str:
    """The text without characters that could move the cursor, reorder text, or pile up."""
    text = printable(text)
    if text.isascii():
        return text
    kept, marks = [], 0
    for character in text:
        marks = marks + 1 if extends(character) else 0
        if marks <= COMBINING_MAX:
            kept.append(character)
    return "".join(kept)


def shortened(text: str, cells_max: int) -> str:
    """As much of the text as fits, with "…" where something was cut off."""
    if width(text) <= cells_max:
        return text
    room = cells_max - 1
    for index, character in enumerate(text):
        room -= cells(character)
        if room < 0:
            return text[:index] + "…" if cells_max > 0 else ""
    return text


def _is_boundary(text: str, index: int) -> bool:
    """Whether a cursor may stand here: not inside what is seen as one character."""
    if not 0 < index < len(text):
        return True
    return not extends(text[index]) and text[index - 1] != ZERO_WIDTH_JOINER


def _boundary_left(text: str, index: int) -> int:
    index = max(0, index - 1)
    while not _is_boundary(text, index):
        index -= 1
    return index


def _boundary_right(text: str, index: int) -> int:
    index = min(len(text), index + 1)
    while not _is_boundary(text, index):
        index += 1
    return index


# --- the line --------------------------------------------------------------------------------


class Completion:
    """Tab: goes through what the text left of the cursor could become, then back to it."""

    def __init__(self, completer: Completer | None) -> None:
        self._completer = completer
        self._candidates: list[str] = []
        self._shown: tuple[str, int] | None = None

    def next(self, text: str, cursor: int) -> tuple[str, int] | None:
        """The line and its cursor after Tab; None if there is nothing to complete."""
        left, right = text[:cursor], text[cursor:]
        if self._shown != (text, cursor):
            found = self._completer(left) if self._completer else ()
            self._candidates = [clean(candidate) for candidate in found if candidate != left]
            if not self._candidates:
                return None
            self._candidates.append(left)
        left = self._candidates.pop(0)
        self._candidates.append(left)
        self._shown = left + right, len(left)
        return self._shown


class LineEditor:
    """The line being typed, its cursor, and the lines typed before."""

    def __init__(self, completer: Completer | None = None) -> None:
        self.text = ""
        self.cursor = 0
        self.wants_bell = False
        """The last key could not do what it is for."""
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
            self._delete(self.cursor, _boundary_right(self.text, self.cursor))
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
                search.look_for(search.word[: _boundary_left(search.word, len(search.word))])
            )
        elif key in (Key.CANCEL, Key.INTERRUPT):
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
    Key.LEFT: _boundary_left,
    Key.RIGHT: _boundary_right,
    Key.WORD_LEFT: _word_left,
    Key.WORD_RIGHT: _word_right,
    Key.HOME: lambda text, cursor: 0,
    Key.END: lambda text, cursor: len(text),
}

_DELETIONS: dict[Key, _Motion] = {Key.BACKSPACE: _boundary_left, Key.DELETE: _boundary_right}

_KILLS: dict[Key, _Motion] = {
    Key.KILL_LEFT: _MOVES[Key.HOME],
    Key.KILL_RIGHT: _MOVES[Key.END],
    Key.KILL_WORD_LEFT: _word_left,
    Key.KILL_WORD_RIGHT: _word_right,
}


# --- the screen ------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Block:
    """The rows at the bottom of the screen; none is wider than the screen less one cell."""

    pending: list[str]
    typed: list[str]
    status: list[str]
    cursor_row: int
    """The row of `typed` with the cursor, and the text left of the cursor in it."""
    left_of_cursor: str


def block_rows(
    editor: LineEditor,
    prompt: str,
    pending: Sequence[str],
    status: str,
    columns: int,
    rows: int,
) -> Block:
    """Lays out the line being typed, what is pending above it, the status below it.

    It leaves a row for the conversation. On a low screen it leaves out the status first, then what
    is pending; of a line that is still too long, only the rows around the cursor stay.
    """
    cells_max = max(1, columns - 1)
    typed, cursor_row, left_of_cursor = _typed_rows(
        prompt + editor.text, len(prompt) + editor.cursor, cells_max
    )
    room = max(1, rows - 1)
    status_rows = [shortened(clean(status), cells_max)] if status and room >= 2 else []
    room -= len(status_rows)
    waiting = pending_rows(pending, min(PENDING_ROWS_MAX, room // 2), cells_max)
    room -= len(waiting)
    start = min(max(0, cursor_row - room // 2), max(0, len(typed) - room))
    return Block(
        waiting,
        typed[start : start + room],
        status_rows,
        cursor_row - start,
        left_of_cursor,
    )


@lru_cache(maxsize=1)  # while others talk, the same line is drawn again and again
def _typed_rows(text: str, cursor: int, cells_max: int) -> tuple[list[str], int, str]:
    """The rows, the cursor's row, and what stands left of the cursor in it."""
    starts, room, index = [0], cells_max, 0
    while index < len(text):
        end = _boundary_right(text, index)
        taken = width(text[index:end])
        if taken > room and index > starts[-1]:
            starts.append(index)
            room = cells_max
        room -= taken
        index = end
    cursor_row = max(number for number, start in enumerate(starts) if start <= cursor)
    typed = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return typed, cursor_row, text[starts[cursor_row] : cursor]


def pending_rows(pending: Sequence[str], rows_max: int, cells_max: int) -> list[str]:
    """What is pending, a row each; the newest, if there is more than fits."""
    if not pending or not rows_max:
        return []
    hidden_count = 0 if len(pending) <= rows_max else len(pending) - rows_max + 1
    rows = [f"… +{hidden_count}"] if hidden_count else []
    rows += [f"{shortened(clean(line), cells_max - 2)} …" for line in pending[hidden_count:]]
    return [shortened(row, cells_max) for row in rows]
