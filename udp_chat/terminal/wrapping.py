"""A message becomes rows: words stay whole, and no row but the first begins at the left edge. Pure.

So whatever a message says, it cannot put a text of its own where another message begins.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

from udp_chat.terminal.cells import ZERO_WIDTH_JOINER, clean, extends, width
from udp_chat.terminal.style import Part, Span

INDENT = "  "
"""Before each row but the first."""

SEPARATOR = " · "
"""Between the parts of the status."""

INDENTED_CELLS_MIN = 10
"""A narrower screen has no cells to spare for an indent."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is seen as one character."""

    text: str
    style: str
    cells: int

    @property
    def is_blank(self) -> bool:
        return self.text == " "


def wrapped(parts: Iterable[Part], cells_max: int) -> list[list[Span]]:
    """The rows of one line, at least one; none is wider than `cells_max` cells.

    A row ends between words, or between two characters of a script without blanks. Only a word
    that is longer than a row is cut. Blanks where a row ends are left out.
    """
    spans = [part if isinstance(part, Span) else Span(part) for part in parts]
    spans = [Span(clean(span.text), span.style) for span in spans]
    if sum(width(span.text) for span in spans) <= cells_max:
        return [spans]
    shapes = [shape for span in spans for shape in _shapes(span)]
    indent = INDENT if cells_max >= INDENTED_CELLS_MIN else ""
    rows, start = [], 0
    while start < len(shapes):
        end = _row_end(shapes, start, cells_max - (len(indent) if start else 0))
        following = end
        if end < len(shapes):
            while end > start and shapes[end - 1].is_blank:
                end -= 1
            while following < len(shapes) and shapes[following].is_blank:
                following += 1
        row = _spans(shapes[start:end])
        rows.append([Span(indent), *row] if start and indent else row)
        start = following
    return rows


def joined_parts(parts: Sequence[str], cells_max: int) -> str:
    """As many whole parts as fit in a row, from the first one on; the first one in any case."""
    cleaned = [clean(part) for part in parts]
    for count in range(len(cleaned), 1, -1):
        joined = SEPARATOR.join(cleaned[:count])
        if width(joined) <= cells_max:
            return joined
    return cleaned[0] if cleaned else ""


def _row_end(shapes: Sequence[_Shape], start: int, cells_max: int) -> int:
    """Where a row that begins at `start` ends."""
    room, best = cells_max, start
    for index in range(start, len(shapes)):
        if index > start and _may_break(shapes[index - 1], shapes[index]):
            best = index
        room -= shapes[index].cells
        if room < 0:
            if not shapes[start:best] or all(shape.is_blank for shape in shapes[start:best]):
                return max(index, start + 1)
            return best
    return len(shapes)


def _may_break(left: _Shape, right: _Shape) -> bool:
    """Whether a row may end between two neighbours."""
    if left.is_blank or right.is_blank:
        return True
    # No row begins with what closes or ends something, and none ends with what opens it.
    if unicodedata.category(right.text[0]) in ("Pe", "Pf", "Po", "Lm"):
        return False
    if unicodedata.category(left.text[0]) in ("Ps", "Pi"):
        return False
    return left.cells > 1 and right.cells > 1


def _shapes(span: Span) -> Iterator[_Shape]:
    text, start = span.text, 0
    for end in range(1, len(text) + 1):
        if end < len(text) and _continues(text, end):
            continue
        shape = text[start:end]
        yield _Shape(shape, span.style, width(shape))
        start = end


def _continues(text: str, index: int) -> bool:
    return extends(text[index]) or text[index - 1] == ZERO_WIDTH_JOINER


def _spans(shapes: Iterable[_Shape]) -> list[Span]:
    return [
        Span("".join(shape.text for shape in run), style)
        for style, run in groupby(shapes, lambda shape: shape.style)
    ]
