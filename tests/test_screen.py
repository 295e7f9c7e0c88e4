"""The person's screen, seen through a terminal emulator while others talk.

Each test runs with prompt_toolkit and without; `Demo` is tests/terminal_demo.py at a terminal.
"""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
pytest.importorskip("pyte", reason="the terminal emulator of these tests")

from terminal import KIND_VARIABLE
from tests.processes import PROJECT, Lines
from tests.screen import (
    BACKSPACE,
    CTRL_A,
    CTRL_C,
    CTRL_D,
    CTRL_Z,
    DELETE,
    DOWN,
    LEFT,
    RIGHT,
    UP,
    Screen,
    squeezed,
)

DEMO = str(PROJECT / "tests" / "terminal_demo.py")

KINDS = [
    "editor",
    pytest.param(
        "prompt_toolkit",
        marks=pytest.mark.skipif(
            importlib.util.find_spec("prompt_toolkit") is None, reason="it is not installed"
        ),
    ),
]


class Demo(Screen):
    """The demo, ready to be typed at."""

    def __init__(
        self, kind: str, columns: int = 80, rows: int = 24, **environment: str
    ) -> None:
        control, self._control = os.pipe()
        self._results, results = os.pipe()
        try:
            super().__init__(
                ["-c", f"import runpy; runpy.run_path({DEMO!r}, run_name='__main__')",
                 str(control), str(results)],
                columns,
                rows,
                {KIND_VARIABLE: kind, **environment},
                pass_fds=(control, results),
            )
        finally:
            os.close(control)
            os.close(results)
        self.results = Lines(os.fdopen(self._results, "rb"))
        self.kind = self.result(0)["kind"]
        self.wait_until("a prompt", lambda screen: screen.typed() == "")

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        os.close(self._control)
        self.results.close()

    def order(self, **order: object) -> None:
        os.write(self._control, f"{json.dumps(order)}\n".encode())

    def result(self, number: int) -> dict[str, Any]:
        """What the demo told as number `number`; the first says its kind."""
        self.results.wait_for(f"result {number}", lambda line: True, number)
        result: dict[str, Any] = json.loads(self.results.all()[number])
        return result

    def line(self, number: int) -> str:
        """The line that was read as number `number`, from 0."""
        return str(self.result(number + 1)["line"])
