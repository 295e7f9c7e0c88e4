"""What a command line may hold: types for `argparse`; each says the rule that is broken."""

from __future__ import annotations

import argparse
import math

from protocol import ROOM_NAME_BYTES_MAX

COUNT_MAX = 1_000_000_000
"""More than any option needs, and little enough to calculate with."""


def count(text: str) -> int:
    """A whole number; raises ArgumentTypeError for what is none, or is out of range."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= COUNT_MAX:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0 to {COUNT_MAX}")
    return number


def seconds(text: str) -> float:
    """A duration; raises ArgumentTypeError for what is none, or is out of range."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan  # which lies in no range
    if not 0.1 <= number <= 3600.0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of seconds from 0.1 to 3600")
    return number


def port(text: str) -> int:
    """A port, or 0 for a free one; raises ArgumentTypeError for what is none."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError("a port is a number from 0 to 65535")
    return int(text)


def room_name(text: str) -> str:
    """A room's name; raises ArgumentTypeError for what the protocol has no room for."""
    if not text.isprintable() or not 0 < len(text.encode()) <= ROOM_NAME_BYTES_MAX:
        raise argparse.ArgumentTypeError(
            f"a room's name has 1 to {ROOM_NAME_BYTES_MAX} bytes of printable text"
        )
    return text
