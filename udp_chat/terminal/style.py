"""How a text looks: its style stands beside it, in a `Span`, never in the text.

No escape sequence in a text reaches the screen: `rendered` takes it out.
"""

from __future__ import annotations

import re
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from udp_chat.terminal.cells import clean

BOLD, DIM = "1", "2"

NAME_COLOURS = (160, 166, 100, 64, 28, 30, 31, 27, 63, 134, 164, 162)
"""Of xterm's 256: hues all around the circle. Each has a contrast of at least 3.8 to 1 to black and
to white, so that a name can be read on a dark and on a light screen."""

_STYLE = re.compile(r"[0-9;]*\Z")


@dataclass(frozen=True, slots=True)
class Span:
    """A text and how it looks: `style` holds SGR parameters (ECMA-48 §8.3.117), as "1;31"."""

    text: str
    style: str = ""

    def __post_init__(self) -> None:
        assert _STYLE.match(self.style), f"{self.style!r} is no style"


Part: TypeAlias = "str | Span"


def colour(name: str) -> str:
    """The style of a name: always the same, on every machine, for all its spellings."""
    folded = unicodedata.normalize("NFKC", name).casefold().encode("utf-8", "replace")
    return f"38;5;{NAME_COLOURS[zlib.crc32(folded) % len(NAME_COLOURS)]}"


def paint(text: str, name: str) -> Span:
    """The text in the colour of a name."""
    return Span(text, colour(name))


def rendered(parts: Iterable[Part], colours: bool) -> str:
    """One line as it goes to a terminal. Without colours it still has what is bold or dim."""
    return "".join(
        _styled(part.text, part.style if colours else without_colour(part.style))
        if isinstance(part, Span)
        else clean(part)
        for part in parts
    )


def plain(parts: Iterable[Part]) -> str:
    """One line for what takes no escape sequences."""
    return "".join(clean(part.text if isinstance(part, Span) else part) for part in parts)


def without_colour(style: str) -> str:
    """What is left of a style: it is bold, dim, or nothing. A style begins with it."""
    first = style.partition(";")[0]
    return first if first in (BOLD, DIM) else ""


def _styled(text: str, style: str) -> str:
    return f"\x1b[{style}m{clean(text)}\x1b[0m" if style else clean(text)
