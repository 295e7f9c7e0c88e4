"""A program in a real tmux, which keeps what leaves the screen as a person's terminal does."""

from __future__ import annotations

import itertools
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence

import pytest
from typing_extensions import Self

from tests.processes import PROJECT, eventually
from tests.terminal.screen import environment

needs_tmux = pytest.mark.skipif(shutil.which("tmux") is None, reason="this machine lacks tmux")

HISTORY_ROWS = 20_000

_numbers = itertools.count()


class Tmux:
    """A tmux server of its own with one window that runs a Python program.

    A context manager: at its end the server and the program are gone. The user's settings are not
    read.
    """

    def __init__(self, arguments: Sequence[str], columns: int = 80, rows: int = 24) -> None:
        self._socket = f"udp-chat-{os.getpid()}-{next(_numbers)}"
        program = shlex.join([sys.executable, *arguments])
        size = ["-x", str(columns), "-y", str(rows)]
        self._tmux("-f", os.devnull, "start-server", ";", "set", "-g", "history-limit",
                   str(HISTORY_ROWS), ";", "set", "-g", "status", "off", ";",
                   "set", "-g", "default-terminal", "tmux-256color", ";",
                   "set", "-g", "remain-on-exit", "on", ";",
                   "new-session", "-d", *size, program)  # fmt: skip

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")

    def _tmux(self, *arguments: str) -> str:
        command = ["tmux", "-L", self._socket, *arguments]
        variables = {name: value for name, value in environment().items() if name != "TMUX"}
        done = subprocess.run(
            command, cwd=PROJECT, env=variables, capture_output=True, text=True, check=True
        )
        return done.stdout

    def type(self, *keys: str) -> None:
        """Keys by tmux's names, like `C-l` and `Enter`; other words are typed as they are."""
        self._tmux("send-keys", *keys)

    def resize(self, columns: int, rows: int) -> None:
        self._tmux("resize-window", "-x", str(columns), "-y", str(rows))

    def type_bytes(self, data: bytes) -> None:
        """What a terminal would send, byte for byte."""
        self._tmux("send-keys", "-H", *(f"{byte:02x}" for byte in data))

    def title(self) -> str:
        """The window's title."""
        return self._tmux("display-message", "-p", "#{pane_title}").rstrip("\n")

    def rows(self) -> list[str]:
        """The rows that can be seen."""
        return self._tmux("capture-pane", "-p").splitlines()

    def transcript(self) -> list[str]:
        """The rows, also those that have left the screen at its top."""
        return self._tmux("capture-pane", "-p", "-S", "-").splitlines()

    def wait_for(self, text: str) -> None:
        """Waits until the text is in a row that can be seen."""
        eventually(lambda: any(text in row for row in self.rows()))
