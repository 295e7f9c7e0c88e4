"""Which names a room takes, and when two are the same.

A name is what tells people apart, so two that look the same must not both be in, and none may
move the reader's cursor. The rules are Unicode's (UAX #31 and UTS #39 have the background).

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import unicodedata

from protocol import NAME_BYTES_MAX, ChatError

NAME_CHARACTERS_MAX = 32
"""A name must be read at a glance."""


class UnusableName(ChatError):
    """The name breaks a rule; the rule is the message and `rule` its code."""

    def __init__(self, rule: str, sentence: str) -> None:
        super().__init__(sentence)
        self.rule = rule


_BLANKS = "\u2800"
"""Visible by their category, but drawn as nothing: the empty Braille pattern."""

_IGNORABLE = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x3164, 0x3164),
    (0xFE00, 0xFE0F),
    (0xFFA0, 0xFFA0),
    (0xE0000, 0xE0FFF),
)
"""Unicode's Default_Ignorable_Code_Point outside the control and format categories."""


def _is_ignorable(character: str) -> bool:
    return any(first <= ord(character) <= last for first, last in _IGNORABLE)


def check_name(name: str) -> str:
    """The name, if it may be used in a room; raises `UnusableName` with the rule it breaks."""
    if not name:
        raise UnusableName("empty", "a name has at least one character")
    if len(name) > NAME_CHARACTERS_MAX or len(name.encode("utf-8", "replace")) > NAME_BYTES_MAX:
        raise UnusableName(
            "too_long",
            f"a name has at most {NAME_CHARACTERS_MAX} characters ({NAME_BYTES_MAX} bytes)",
        )
    for character in name:
        category = unicodedata.category(character)
        if character.isspace() or category[0] == "Z" or character in _BLANKS:
            raise UnusableName("white_space", "a name is one word, without white space")
        if category[0] == "C" or _is_ignorable(character):
            # Controls, bidi overrides, joiners, fillers, variation selectors, unassigned:
            # whatever could make two names look the same, or move the reader's cursor.
            raise UnusableName("invisible", "a name has no control or invisible characters")
    if all(unicodedata.category(character)[0] == "M" for character in name):
        raise UnusableName("invisible", "a name does not consist of accents alone")
    return name


def name_key(name: str) -> str:
    """What two names have in common if they count as the same: NFKC, then case folded."""
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def numbered_name(name: str, number: int) -> str:
    """A name like this one with a number behind it, for when it is taken: ``Anna-2``."""
    suffix = f"-{number}"
    name = name[: NAME_CHARACTERS_MAX - len(suffix)]
    while len(name.encode()) + len(suffix) > NAME_BYTES_MAX:
        name = name[:-1]
    return name + suffix
