"""What a command line may hold: types for `argparse`; each says the rule that is broken."""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path

from udp_chat.protocol.packets import ROOM_NAME_BYTES_MAX
from udp_chat.version import __version__

COUNT_MAX = 1_000_000_000
"""More than any option needs, and little enough to calculate with."""


def program_name(script: str, module: str) -> str:
    """What a command calls itself: as it was started, so that what it says can be typed again.

    `script` is its file in the repository, `module` what ``python3 -m`` knows it by.
    """
    name = Path(sys.argv[0]).name
    if name == "__main__.py":
        return f"python3 -m {module}"
    return name if ".pyz" in name or name.startswith("udp-chat") else script


def version_option(parser: argparse.ArgumentParser) -> None:
    """Adds ``--version``."""
    parser.add_argument("--version", action="version", version=f"udp-chat {__version__}")


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
