"""A person's keys and eyes: what keys send, and an emulator (pyte) that shows what is drawn."""

from __future__ import annotations

import unicodedata
from typing import Any

import pyte
from wcwidth import wcwidth

PROMPT = ">"

HISTORY_ROWS = 20_000

UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
HOME, END, DELETE, BACKSPACE = "\x1b[H", "\x1b[F", "\x1b[3~", "\x7f"
FOCUS_IN, FOCUS_OUT = "\x1b[I", "\x1b[O"
PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"
CTRL_A, CTRL_C, CTRL_D, CTRL_Z = "\x01", "\x03", "\x04", "\x1a"


class Emulator(pyte.HistoryScreen):
    """What a person sees of what a program writes."""

    def __init__(self, columns: int, rows: int, status: str = "[") -> None:
        self.bell_count = 0
        self._status = status
        super().__init__(columns, rows, history=HISTORY_ROWS)
        self._stream = pyte.ByteStream(self)

    def feed(self, data: bytes) -> None:
        self._stream.feed(data)

    def bell(self, *_: object) -> None:
        self.bell_count += 1

    def draw(self, data: str) -> None:
        """Without joiners and variation selectors: pyte leaves out all that follows one."""
        super().draw("".join(c for c in data if has_shape(c)))

    def row(self, number: int, until: int | None = None) -> str:
        return self._text(self.buffer[number], until)

    def _text(self, row: Any, until: int | None = None) -> str:
        until = self.columns if until is None else until
        return "".join(row[column].data for column in range(until)).rstrip()

    def rows(self) -> list[str]:
        """The rows of the screen, without the blanks at their ends."""
        return [self.row(number) for number in range(self.lines)]

    def transcript(self) -> list[str]:
        """The rows, also those that have left the screen at its top."""
        return [self._text(row) for row in self.history.top] + self.rows()

    def _prompt_row(self) -> int | None:
        """The row above the cursor, or its own, in which the line being typed begins."""
        numbers = range(self.cursor.y, -1, -1)
        return next((number for number in numbers if self.row(number).startswith(PROMPT)), None)

    def typed(self) -> str | None:
        """The line being typed, as `seen`. None if there is no prompt.

        It ends at an empty row, or one that begins as a status does.
        """
        first = self._prompt_row()
        if first is None:
            return None
        last = self.cursor.y
        rows = [self.row(number) for number in range(first, last + 1)]
        for number in range(last + 1, self.lines):
            row = self.row(number)
            if not row or row.startswith(self._status):
                break
            rows.append(row)
        return seen("".join(rows).removeprefix(PROMPT))

    def left_of_cursor(self) -> str:
        """What of the line being typed stands left of the cursor, as `seen`."""
        first, (last, column) = self._prompt_row(), (self.cursor.y, self.cursor.x)
        assert first is not None
        rows = [self.row(number) for number in range(first, last)]
        return seen("".join([*rows, self.row(last, column)]).removeprefix(PROMPT))


def has_shape(character: str) -> bool:
    """Whether pyte draws it."""
    return wcwidth(character) > 0 or unicodedata.combining(character) > 0


def seen(text: str) -> str:
    """The text as pyte composes it, and without blanks: those at a row's end are not seen."""
    shapes = (c for c in text if has_shape(c) and not c.isspace())
    return unicodedata.normalize("NFC", "".join(shapes))
