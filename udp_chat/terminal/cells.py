"""Characters and the cells of a screen that they take. Pure.

A character may take no cell (combining), one or two (CJK, emoji), and terminals disagree about
some. So a text counts as wide as the most generous terminal makes it.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from udp_chat.protocol.printable import printable

COMBINING_MAX = 8
"""Marks on one character. Languages need three or four. Ten thousand of them climb over the lines
above, and have crashed terminals."""

ZERO_WIDTH_JOINER = "\u200d"
VARIATION_SELECTOR_16 = "\ufe0f"


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


def boundary_left(text: str, index: int) -> int:
    """Where a cursor stands after a step to the left."""
    index = max(0, index - 1)
    while not _is_boundary(text, index):
        index -= 1
    return index


def boundary_right(text: str, index: int) -> int:
    """Where a cursor stands after a step to the right."""
    index = min(len(text), index + 1)
    while not _is_boundary(text, index):
        index += 1
    return index
