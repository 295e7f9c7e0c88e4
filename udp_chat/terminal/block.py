"""What stands at the bottom of the screen becomes rows: pending messages, the input, the status.

Pure. No row is fuller than the most generous terminal makes it, and the cursor is moved by writing
what stands left of it: then it stands right on every terminal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from udp_chat.terminal.cells import boundary_right, clean, shortened, width
from udp_chat.terminal.editor import LineEditor

PENDING_ROWS_MAX = 4
"""Rows for messages that wait to be accepted; the first row counts those that do not fit."""


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

    What Tab goes through is shown in the place of the status.

    It leaves a row for the conversation. On a low screen it leaves out the status first, then what
    is pending; of a line that is still too long, only the rows around the cursor stay.
    """
    cells_max = max(1, columns - 1)
    typed, cursor_row, left_of_cursor = _typed_rows(prompt, editor.text, editor.cursor, cells_max)
    room = max(1, rows - 1)
    below = candidates_row(editor.candidates, cells_max) or shortened(clean(status), cells_max)
    status_rows = [below] if below and room >= 2 else []
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
def _typed_rows(prompt: str, text: str, cursor: int, cells_max: int) -> tuple[list[str], int, str]:
    """The rows, the cursor's row, and what stands left of the cursor in it.

    A row ends behind a blank, or between two wide characters; only a word longer than a row is cut.
    """
    text, cursor = prompt + text, len(prompt) + cursor
    mark_end = prompt.find(" ") + 1  # the first word stands behind it whatever its length
    starts, room, index = [0], cells_max, 0
    break_at, left_cells = 0, 0
    while index < len(text):
        end = boundary_right(text, index)
        taken = width(text[index:end])
        if index > mark_end and (text[index - 1] == " " or left_cells == taken == 2):
            break_at = index
        if taken > room and index > starts[-1]:
            whole = break_at > starts[-1] and text[index] != " "
            starts.append(break_at if whole else index)
            room = cells_max - width(text[starts[-1] : index])
        room -= taken
        index, left_cells = end, taken
    cursor_row = max(number for number, start in enumerate(starts) if start <= cursor)
    typed = [text[start:end] for start, end in zip(starts, [*starts[1:], len(text)], strict=True)]
    return typed, cursor_row, text[starts[cursor_row] : cursor]


def candidates_row(candidates: Sequence[str], cells_max: int) -> str:
    """As many candidates as fit, and how many do not; empty if there are none."""
    row, left = "", len(candidates)
    for candidate in candidates:
        longer = f"{row}  {candidate}" if row else candidate
        left -= 1
        if width(longer) + (len(f"  … +{left}") if left else 0) > cells_max:
            return shortened(f"{row}  … +{left + 1}" if row else longer, cells_max)
        row = longer
    return row


def pending_rows(pending: Sequence[str], rows_max: int, cells_max: int) -> list[str]:
    """What is pending, a row each; the newest, if there is more than fits."""
    if not pending or not rows_max:
        return []
    hidden_count = 0 if len(pending) <= rows_max else len(pending) - rows_max + 1
    rows = [f"… +{hidden_count}"] if hidden_count else []
    rows += [f"{shortened(clean(line), cells_max - 2)} …" for line in pending[hidden_count:]]
    return [shortened(row, cells_max) for row in rows]
