"""A pseudo-terminal with a program at one end, and at the other a person's keys and eyes.

The eyes are emulator.py's, so that a test sees what a person would see. A thread feeds them what
the program writes, and looks at each complete frame. Tests wait for what is to be seen, with a
deadline.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from typing_extensions import Self

from tests.processes import PROJECT, WAIT_SECONDS, NeverCame
from tests.terminal.emulator import PASTE_BEGINS, PASTE_ENDS, Emulator, seen

fcntl = pytest.importorskip("fcntl", reason="pseudo-terminals are POSIX's")
pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
termios = pytest.importorskip("termios", reason="pseudo-terminals are POSIX's")

TAKE_TERMINAL = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " signal.signal(signal.SIGINT, signal.SIG_DFL);"
    " os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""Makes stdin the controlling terminal, so that Ctrl-C typed there is SIGINT here."""

FRAME_ENDS = b"\x1b[?2026l"
"""After it nothing is half drawn."""


class Screen:
    """A program at a terminal of its own. A context manager; at its end the program is too.

    `status` is how a row begins that is none of the line being typed.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        columns: int = 80,
        rows: int = 24,
        variables: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        status: str = "[",
    ) -> None:
        self.keyboard, person = pty.openpty()
        self._emulator = Emulator(columns, rows, status)
        self._received = bytearray()
        self._frame_checks: list[Callable[[Screen], str]] = []
        self.complaints: list[str] = []
        """What `watch` found wrong in some frame."""
        self.frame_count = 0
        self.changed = threading.Condition(threading.RLock())
        self._set_size(columns, rows)
        self.mode_before = termios.tcgetattr(self.keyboard)
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-c", TAKE_TERMINAL, *arguments],
                stdin=person,
                stdout=person,
                stderr=person,
                cwd=PROJECT,
                env={**environment(), **(variables or {})},
                pass_fds=tuple(pass_fds),
                start_new_session=True,
            )
        finally:
            os.close(person)
        self._thread = threading.Thread(target=self._read, name="screen")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        os.close(self.keyboard)

    def _read(self) -> None:
        rest = b""
        while True:
            try:
                data = os.read(self.keyboard, 65536)
            except OSError:  # EIO: the program, which had the other end, is gone
                data = b""
            with self.changed:
                self._received += data
                *frames, rest = (rest + data).split(FRAME_ENDS)
                for frame in frames:
                    self._emulator.feed(frame)
                    self._look()
                # The end of a frame may have been cut in two; all else is seen as it comes.
                shown = len(rest) - _begun(rest) if data else len(rest)
                self._emulator.feed(rest[:shown])
                rest = rest[shown:]
                self.changed.notify_all()
            if not data:
                return

    def _look(self) -> None:
        self.frame_count += 1
        for check in self._frame_checks:
            complaint = check(self)
            if complaint:
                self.complaints.append(f"frame {self.frame_count}: {complaint}\n{self}")

    # --- the keyboard and the window ---------------------------------------------------------

    def type(self, keys: str | bytes) -> None:
        data = memoryview(keys.encode() if isinstance(keys, str) else keys)
        while data:
            data = data[os.write(self.keyboard, data) :]

    def paste(self, text: str) -> None:
        """As a terminal does it that was asked for marks around a paste; else as typed."""
        text = text.replace("\n", "\r")
        self.type(f"{PASTE_BEGINS}{text}{PASTE_ENDS}" if self.marks_pastes else text)

    def resize(self, columns: int, rows: int) -> None:
        """The window's new size: the terminal knows it first, then the program is told."""
        with self.changed:
            self._emulator.resize(rows, columns)
            self._set_size(columns, rows)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self.keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def mode(self) -> list[Any]:
        """The terminal's settings, as they are now."""
        return list(termios.tcgetattr(self.keyboard))

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    # --- what is to be seen ------------------------------------------------------------------

    def __str__(self) -> str:
        with self.changed:
            rows = "\n".join(f"|{row}|" for row in self.rows())
            return f"{rows}\ncursor {self.cursor()}"

    def rows(self) -> list[str]:
        with self.changed:
            return self._emulator.rows()

    def transcript(self) -> list[str]:
        with self.changed:
            return self._emulator.transcript()

    def typed(self) -> str | None:
        with self.changed:
            return self._emulator.typed()

    def cursor(self) -> tuple[int, int]:
        """Row and column, from 0."""
        with self.changed:
            return self._emulator.cursor.y, self._emulator.cursor.x

    @property
    def marks_pastes(self) -> bool:
        """Whether the program asked for marks around what is pasted."""
        with self.changed:
            return 2004 << 5 in self._emulator.mode

    @property
    def title(self) -> str:
        """The window's title."""
        with self.changed:
            return str(self._emulator.title)

    @property
    def reports_focus(self) -> bool:
        """Whether the program asked to be told when the window has the focus."""
        with self.changed:
            return 1004 << 5 in self._emulator.mode

    @property
    def bell_count(self) -> int:
        with self.changed:
            return self._emulator.bell_count

    def colours(self) -> set[str]:
        """All colours on the screen."""
        with self.changed:
            rows, columns = self._emulator.lines, self._emulator.columns
            return {self.colour_at(r, c) for r in range(rows) for c in range(columns)}

    def colour_at(self, row: int, column: int) -> str:
        with self.changed:
            return str(self._emulator.buffer[row][column].fg)

    def cells(self) -> list[list[tuple[str, str, bool]]]:
        """(character, colour, bold) of each cell of each row; a wide one's second cell is ""."""
        with self.changed:
            rows, columns = self._emulator.lines, self._emulator.columns
            cells = [[self._emulator.buffer[r][c] for c in range(columns)] for r in range(rows)]
            return [[(cell.data, str(cell.fg), cell.bold) for cell in row] for row in cells]

    def received(self) -> bytes:
        """All that the program ever wrote."""
        with self.changed:
            return bytes(self._received)

    def watch(self, check: Callable[[Screen], str]) -> None:
        """Has each complete frame looked at from now on; the check returns what is wrong."""
        with self.changed:
            self._frame_checks.append(check)

    def stop_watching(self) -> None:
        with self.changed:
            self._frame_checks.clear()

    def wait_until(self, what: str, seen: Callable[[Screen], object]) -> None:
        with self.changed:
            if not self.changed.wait_for(lambda: seen(self), WAIT_SECONDS):
                raise NeverCame(f"{what}; on the screen:\n{self}")

    def wait_for(self, text: str) -> None:
        """Waits until the text is in some row, on the screen or above it."""
        self.wait_until(text, lambda screen: any(text in row for row in screen.transcript()))

    def wait_typed(self, line: str) -> None:
        """Waits until this line is being typed, whatever its blanks."""
        self.wait_until(f"the line {line!r}", lambda screen: screen.typed() == seen(line))

    def wait_cursor(self, column: int) -> None:
        self.wait_until(f"the cursor in {column}", lambda screen: screen.cursor()[1] == column)

    def wait(self) -> int:
        """The exit code."""
        try:
            code = self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise NeverCame(f"the end; on the screen:\n{self}") from None
        self._thread.join()
        return code


def _begun(data: bytes) -> int:
    """How many bytes of the end of a frame the data ends with."""
    return next(n for n in range(len(FRAME_ENDS) - 1, -1, -1) if data.endswith(FRAME_ENDS[:n]))


def environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LC_", "LANG", "COLUMNS", "LINES", "NO_COLOR"))
    }
    return {**kept, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
