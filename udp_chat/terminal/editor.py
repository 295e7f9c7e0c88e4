"""The line being typed: bytes become keys, keys change a line, the line becomes rows.

Pure: no terminal, no thread, no clock. `KeyDecoder` turns what a terminal sends (ECMA-48 and
xterm's sequences, UTF-8) into keys and text; `LineEditor` holds the line, its cursor and the
lines before it; `block_rows` lays all of it out in cells. screen.py reads, draws and locks.

A character may take no cell (combining), one or two (CJK, emoji), and terminals disagree about
some. So a row is never fuller than the most generous terminal makes it, and the cursor is moved by
writing what stands left of it: then it stands right on every terminal.
"""

from __future__ import annotations

import codecs
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from functools import lru_cache

from udp_chat.protocol.printable import printable

COMBINING_MAX = 8
"""Marks on one character. Languages need three or four. Ten thousand of them climb over the lines
above, and have crashed terminals."""

LINE_CHARACTERS_MAX = 10_000
"""Each key lays the line out again. Beyond this length the bell rings and no more is taken."""

HISTORY_LINES_MAX = 500

PENDING_ROWS_MAX = 4
"""Rows for messages that wait to be accepted; the first row counts those that do not fit."""

SEQUENCE_CHARACTERS_MAX = 64
"""No key's sequence is longer. More is noise, and nothing waits for its end."""

PASTED_TAB = "    "
"""A message keeps no tabs; four blanks keep the indentation of pasted code."""

ZERO_WIDTH_JOINER = "\u200d"
VARIATION_SELECTOR_16 = "\ufe0f"

Completer = Callable[[str], Sequence[str]]
"""Takes the text left of the cursor; returns what it could become, the best first."""


class Key(Enum):
    ENTER = auto()
    END_OF_INPUT = auto()
    LEFT = auto()
    RIGHT = auto()
    WORD_LEFT = auto()
    WORD_RIGHT = auto()
    HOME = auto()
    END = auto()
    UP = auto()
    DOWN = auto()
    BACKSPACE = auto()
    DELETE = auto()
    KILL_LEFT = auto()
    KILL_RIGHT = auto()
    KILL_WORD_LEFT = auto()
    KILL_WORD_RIGHT = auto()
    YANK = auto()
    COMPLETE = auto()
    CLEAR_SCREEN = auto()
    FOCUS_IN = auto()
    FOCUS_OUT = auto()


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


@lru_cache(maxsize=64)  # the rows at the bottom are drawn again with each message
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


# --- keys ------------------------------------------------------------------------------------

_CONTROLS = {
    "\x01": Key.HOME,
    "\x02": Key.LEFT,
    "\x04": Key.END_OF_INPUT,
    "\x05": Key.END,
    "\x06": Key.RIGHT,
    "\x08": Key.BACKSPACE,
    "\t": Key.COMPLETE,
    "\n": Key.ENTER,
    "\x0b": Key.KILL_RIGHT,
    "\x0c": Key.CLEAR_SCREEN,
    "\r": Key.ENTER,
    "\x0e": Key.DOWN,
    "\x10": Key.UP,
    "\x15": Key.KILL_LEFT,
    "\x17": Key.KILL_WORD_LEFT,
    "\x19": Key.YANK,
    "\x7f": Key.BACKSPACE,
}

_SEQUENCES = {
    "[A": Key.UP,
    "[B": Key.DOWN,
    "[C": Key.RIGHT,
    "[D": Key.LEFT,
    "[F": Key.END,
    "[H": Key.HOME,
    "[I": Key.FOCUS_IN,
    "[O": Key.FOCUS_OUT,
    "OA": Key.UP,
    "OB": Key.DOWN,
    "OC": Key.RIGHT,
    "OD": Key.LEFT,
    "OF": Key.END,
    "OH": Key.HOME,
    "[1~": Key.HOME,
    "[3~": Key.DELETE,
    "[4~": Key.END,
    "[7~": Key.HOME,
    "[8~": Key.END,
    "[1;3C": Key.WORD_RIGHT,
    "[1;3D": Key.WORD_LEFT,
    "[1;5C": Key.WORD_RIGHT,
    "[1;5D": Key.WORD_LEFT,
    "[3;5~": Key.KILL_WORD_RIGHT,
    "b": Key.WORD_LEFT,
    "f": Key.WORD_RIGHT,
    "d": Key.KILL_WORD_RIGHT,
    "\x7f": Key.KILL_WORD_LEFT,
    "\x08": Key.KILL_WORD_LEFT,
}
"""What follows ESC."""

_PASTE_BEGINS = "[200~"
_PASTE_ENDS = "\x1b[201~"

_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.|[^\x1b\[O])", re.DOTALL)
_SEQUENCE_BEGUN = re.compile(r"\x1b(\[[0-?]*[ -/]*|O)?\Z")


class KeyDecoder:
    """Turns what a terminal sends into keys and text. Sequences may arrive in pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = ""
        self._pasting = False
        self._after_return = False

    @property
    def unfinished(self) -> bool:
        """Whether a sequence has begun. If nothing follows, it was the key ESC alone."""
        return bool(self._waiting) and not self._pasting

    def give_up(self) -> None:
        """Drops an unfinished sequence: its rest did not come."""
        if not self._pasting:
            self._waiting = ""

    def feed(self, data: bytes) -> list[Key | str]:
        """The keys pressed; a `str` is text, typed or pasted. A pasted line ends with ENTER."""
        self._waiting += self._decoder.decode(data)
        keys: list[Key | str] = []
        while self._waiting and (self._paste(keys) if self._pasting else self._type(keys)):
            pass
        return keys

    def _type(self, keys: list[Key | str]) -> bool:
        """Takes one key, or the text before the next; false if its end has not come yet."""
        if self._waiting[0] == "\x1b":
            found = _SEQUENCE.match(self._waiting)
            if found:
                self._waiting = self._waiting[found.end() :]
                self._sequence(found[1], keys)
            elif len(self._waiting) <= SEQUENCE_CHARACTERS_MAX and _SEQUENCE_BEGUN.match(
                self._waiting
            ):
                return False
            else:
                self._waiting = self._waiting[1:]  # two ESC, or an unknown kind of sequence
            return True
        text, control = _until_control(self._waiting)
        self._waiting = self._waiting[len(text) + len(control) :]
        if text:
            keys.append(text)
            self._after_return = False
        if control == "\x1b":
            self._waiting = control + self._waiting
        elif control:
            self._control(control, keys)
        return True

    def _control(self, control: str, keys: list[Key | str]) -> None:
        # "\r\n" is one end of a line.
        if control in _CONTROLS and not (control == "\n" and self._after_return):
            keys.append(_CONTROLS[control])
        self._after_return = control == "\r"

    def _sequence(self, sequence: str, keys: list[Key | str]) -> None:
        if sequence == _PASTE_BEGINS:
            self._pasting = True
        elif sequence in _SEQUENCES:
            keys.append(_SEQUENCES[sequence])
        elif len(sequence) == 1 and not sequence.isprintable():
            self._waiting = sequence + self._waiting  # Alt-Enter is Enter; Alt-x is nothing

    def _paste(self, keys: list[Key | str]) -> bool:
        pasted, ending, rest = self._waiting.partition(_PASTE_ENDS)
        if ending:
            self._waiting = rest
            self._pasting = False
        else:
            # The ending may have begun, or a "\r\n".
            pasted = re.sub(r"(\x1b(\[(2(0(1)?)?)?)?|\r)\Z", "", self._waiting)
            self._waiting = self._waiting[len(pasted) :]
        first, *others = pasted_lines(pasted)
        keys.append(first)
        for line in others:
            keys += [Key.ENTER, line]
        return bool(ending)


def pasted_lines(text: str) -> list[str]:
    """The lines of a pasted text. The last one is empty if the text ends with a line end."""
    return re.split(r"\r\n|\r|\n", text.replace("\t", PASTED_TAB))


def _until_control(text: str) -> tuple[str, str]:
    """The text before the first control character, and that character."""
    for index, character in enumerate(text):
        if character < " " or character == "\x7f":
            return text[:index], character
    return text, ""


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
        self._history: list[str] = []
        self._position = 0
        """Which line of the history is shown; after the last comes the line being typed."""
        self._draft = ""

    def press(self, key: Key | str) -> str | None:
        """Carries out a key; returns the line that ENTER completes.

        Raises EOFError for END_OF_INPUT on an empty line.
        """
        if isinstance(key, str):
            self._insert(key)
        elif key is Key.ENTER:
            return self._enter()
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
