"""What may be printed of a text that came from the network.

A terminal obeys what it is sent. Every text passes here before it meets one.
"""

from __future__ import annotations

import unicodedata

_JOINERS = "\u200c\u200d"
"""Invisible, but what holds an emoji or a Persian word together; they move no cursor."""


def printable(text: str) -> str:
    """The text without what could move a cursor, hide or reorder what is read."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if character in "\t\n\r\u2028\u2029":
        return " "
    if unicodedata.category(character)[0] == "C" and character not in _JOINERS:
        # Unassigned ones are newer than this Python's tables, mostly emoji: they may stay.
        return character if unicodedata.category(character) == "Cn" else ""
    return character
