"""A pseudo-terminal with a program at one end, and at the other a person's keys and eyes.

The eyes are pyte's: a terminal emulator, so that a test sees what a person would see. A thread
feeds it what the program writes, and looks at each complete frame. Tests wait for what is to be
seen, with a deadline.
"""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import unicodedata
from collections.abc import Callable, Sequence
from typing import Any

import pyte
from typing_extensions import Self
from wcwidth import wcwidth

from tests.processes import PROJECT, WAIT_SECONDS, NeverCame

TAKE_TERMINAL = (
    "import fcntl, os, signal, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " signal.signal(signal.SIGINT, signal.SIG_DFL);"
    " os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""Makes stdin the controlling terminal, so that Ctrl-C typed there is SIGINT here."""

FRAME_ENDS = b"\x1b[?2026l"
"""After it nothing is half drawn."""

PROMPT = ">"

HISTORY_ROWS = 20_000

UP, DOWN, RIGHT, LEFT = "\x1b[A", "\x1b[B", "\x1b[C", "\x1b[D"
HOME, END, DELETE, BACKSPACE = "\x1b[H", "\x1b[F", "\x1b[3~", "\x7f"
PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"
CTRL_A, CTRL_C, CTRL_D, CTRL_Z = "\x01", "\x03", "\x04", "\x1a"


class Emulator(pyte.HistoryScreen):
    """What a person sees of what a program writes."""

    def __init__(self, columns: int, rows: int) -> None:
        self.bell_count = 0
        super().__init__(columns, rows, history=HISTORY_ROWS)
        self._stream = pyte.ByteStream(self)

    def feed(self, data: bytes) -> None:
        self._stream.feed(data)

    def bell(self, *_: object) -> None:
        self.bell_count += 1

    def draw(self, data: str) -> None:
        """Without joiners and variation selectors: pyte leaves out all that follows one."""
        super().draw("".join(c for c in data if has_shape(c)))

    def row(self, number: int, until: int | None = None) -> str:
        return self._text(self.buffer[number], until)

    def _text(self, row: Any, until: int | None = None) -> str:
        until = self.columns if until is None else until
        return "".join(row[column].data for column in range(until)).rstrip()

    def rows(self) -> list[str]:
        """The rows of the screen, without the blanks at their ends."""
        return [self.row(number) for number in range(self.lines)]

    def transcript(self) -> list[str]:
        """The rows, also those that have left the screen at its top."""
        return [self._text(row) for row in self.history.top] + self.rows()

    def _prompt_row(self) -> int | None:
        """The row above the cursor, or its own, in which the line being typed begins."""
        numbers = range(self.cursor.y, -1, -1)
        return next((number for number in numbers if self.row(number).startswith(PROMPT)), None)

    def typed(self) -> str | None:
        """The line being typed, as `seen`. None if there is no prompt.

        It ends at an empty row or a status, which in the tests begins with "[".
        """
        first = self._prompt_row()
        if first is None:
            return None
        last = self.cursor.y
        while last + 1 < self.lines and self.row(last + 1)[:1] not in ("", "["):
            last += 1
        rows = [self.row(number) for number in range(first, last + 1)]
        return seen("".join(rows).removeprefix(PROMPT))

    def left_of_cursor(self) -> str:
        """What of the line being typed stands left of the cursor, as `seen`."""
        first, (last, column) = self._prompt_row(), (self.cursor.y, self.cursor.x)
        assert first is not None
        rows = [self.row(number) for number in range(first, last)]
        return seen("".join([*rows, self.row(last, column)]).removeprefix(PROMPT))


class Screen:
    """A program at a terminal of its own. A context manager; at its end the program is too."""

    def __init__(
        self,
        arguments: Sequence[str],
        columns: int = 80,
        rows: int = 24,
        variables: dict[str, str] | None = None,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.keyboard, person = pty.openpty()
        self._emulator = Emulator(columns, rows)
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
        return termios.tcgetattr(self.keyboard)

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


def has_shape(character: str) -> bool:
    """Whether pyte draws it."""
    return wcwidth(character) > 0 or unicodedata.combining(character) > 0


def seen(text: str) -> str:
    """The text as pyte composes it, and without blanks: those at a row's end are not seen."""
    shapes = (c for c in text if has_shape(c) and not c.isspace())
    return unicodedata.normalize("NFC", "".join(shapes))


def environment() -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("LC_", "LANG", "COLUMNS", "LINES", "NO_COLOR"))
    }
    return {**kept, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}
