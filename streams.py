"""The standard streams of a command, whatever they are connected to."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path


def forgive_characters() -> None:
    """Has characters that cannot be read or shown replaced: they must not end a conversation.

    A stream that who started us has closed is None, and stays so.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def discard_output() -> None:
    """The reader of our stdout has gone (`… | head`): what is still printed goes nowhere.

    Without it, Python would fail once more when it flushes stdout at the end.
    """
    # No `with`: it stays open to the end.
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
