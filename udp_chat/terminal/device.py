"""A keyboard that gives each key as it is pressed, and the screen it belongs to.

What differs between platforms: termios and signals where there are any, console modes on Windows.
Both give bytes in UTF-8 with the sequences that editor.py knows, and take the same.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from types import FrameType
from typing import Any

if sys.platform != "win32":
    import termios
else:
    import ctypes
    import msvcrt
    from ctypes import wintypes

READ_BYTES_MAX = 65536

# ECMA-48 and xterm's private modes.
ERASE_BELOW = "\x1b[J"
ERASE_ALL = "\x1b[H\x1b[2J"
AUTOWRAP_ON, AUTOWRAP_OFF = "\x1b[?7h", "\x1b[?7l"
PASTE_MARKS_ON, PASTE_MARKS_OFF = "\x1b[?2004h", "\x1b[?2004l"
FRAME_BEGINS, FRAME_ENDS = "\x1b[?2026h", "\x1b[?2026l"
"""Terminals that know them show nothing half drawn; the others pass over them."""


def screen_size() -> tuple[int, int]:
    """Columns and rows. `shutil` would ask the environment, which a resized window leaves wrong."""
    with contextlib.suppress(OSError):
        columns, rows = os.get_terminal_size(sys.stdout.fileno())
        if columns and rows:
            return columns, rows
    return 80, 24


if sys.platform != "win32":
    GONE: tuple[type[Exception], ...] = (OSError, termios.error)
    """What is raised when the terminal's window has been closed; besides EOFError."""

    class KeyMode:
        """A terminal that hands on each key and echoes none. Ctrl-C and Ctrl-Z stay signals."""

        def __init__(self, fd: int) -> None:
            self._fd = fd
            self._before = termios.tcgetattr(fd)
            self.enter()

        def enter(self) -> None:
            mode = termios.tcgetattr(self._fd)
            # IXON: Ctrl-S would stop the whole client. ICRNL: a pasted "\r\n" is to be told.
            mode[0] &= ~(termios.IXON | termios.ICRNL | termios.INLCR | termios.IGNCR)
            mode[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
            mode[6] = list(mode[6])
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            # Ctrl-\ kills without a word, and nobody would put the terminal back.
            mode[6][termios.VQUIT] = bytes([os.fpathconf(self._fd, "PC_VDISABLE") & 0xFF])
            termios.tcsetattr(self._fd, termios.TCSANOW, mode)

        def leave(self) -> None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)

    class Console:
        """stdin and stdout, which are a terminal. Opened, read and closed on the main thread."""

        def __init__(self) -> None:
            self.stop_wanted = False
            """Ctrl-Z was pressed: `stop` is to be called."""
            self._keyboard, self._screen = sys.stdin.fileno(), sys.stdout.fileno()
            self._mode = KeyMode(self._keyboard)
            # Signals wake the reader through a pipe: one that another thread gets would not end
            # the main thread's wait. Nothing is drawn in a handler: it may interrupt a drawing.
            self._wakes, self._waker = os.pipe()
            os.set_blocking(self._waker, False)
            self._waker_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
            self._handlers: dict[int, Any] = {}
            for number in (signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP):
                # Where nobody could let us go on again, SIGTSTP is ignored from the start.
                if number != signal.SIGTSTP or signal.getsignal(number) != signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._note)

        def _note(self, number: int, _: FrameType | None) -> None:
            if number == signal.SIGTSTP:
                self.stop_wanted = True

        def read(self, timeout_seconds: float | None) -> bytes:
            """What was typed; nothing after the timeout, or if the screen may have changed.

            Raises EOFError or one of `GONE`.
            """
            ready, _, _ = select.select([self._keyboard, self._wakes], [], [], timeout_seconds)
            if self._wakes in ready:
                os.read(self._wakes, READ_BYTES_MAX)
                self._mode.enter()  # who stopped us may have changed it
            if self._keyboard not in ready:
                return b""
            data = os.read(self._keyboard, READ_BYTES_MAX)
            if not data:
                raise EOFError
            return data

        def write(self, text: str) -> None:
            data = memoryview(text.encode("utf-8", "replace"))
            while data:
                try:
                    data = data[os.write(self._screen, data) :]
                except BlockingIOError:  # who shares the terminal with us made it so
                    select.select([], [self._screen], [])

        def stop(self) -> None:
            """Gives the terminal back, stops the process, and goes on when that is let go on."""
            self.stop_wanted = False
            self.write(PASTE_MARKS_OFF)
            self._mode.leave()
            wake = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, wake)
            self._mode.enter()
            self.write(PASTE_MARKS_ON)

        def close(self) -> None:
            signal.set_wakeup_fd(self._waker_before)
            for number, handler in self._handlers.items():
                signal.signal(number, signal.SIG_DFL if handler is None else handler)
            self._mode.leave()
            os.close(self._wakes)
            os.close(self._waker)

else:
    GONE: tuple[type[Exception], ...] = (OSError,)

    # Console modes, from <consoleapi.h>.
    _LINE_INPUT, _ECHO_INPUT, _TERMINAL_INPUT = 0x2, 0x4, 0x200
    _PROCESSED_OUTPUT, _TERMINAL_PROCESSING = 0x1, 0x4

    class Console:
        """Since Windows 10 a console speaks the sequences of terminals, if it is asked to."""

        stop_wanted = False

        def __init__(self) -> None:
            self._modes: list[tuple[wintypes.HANDLE, int]] = []
            try:
                self._change(sys.stdin, off=_LINE_INPUT | _ECHO_INPUT, on=_TERMINAL_INPUT)
                self._change(sys.stdout, off=0, on=_PROCESSED_OUTPUT | _TERMINAL_PROCESSING)
            except OSError:
                self.close()
                raise

        def _change(self, stream: Any, off: int, on: int) -> None:
            handle = wintypes.HANDLE(msvcrt.get_osfhandle(stream.fileno()))
            mode, kernel = wintypes.DWORD(), ctypes.windll.kernel32
            if not kernel.GetConsoleMode(handle, ctypes.byref(mode)):
                raise ctypes.WinError()
            if not kernel.SetConsoleMode(handle, (mode.value & ~off) | on):
                raise ctypes.WinError()
            self._modes.append((handle, mode.value))

        def read(self, timeout_seconds: float | None) -> bytes:
            buffer: Any = sys.stdin.buffer  # a BufferedReader: its type does not say so
            data = buffer.raw.read(READ_BYTES_MAX)
            if not data:
                raise EOFError
            return bytes(data)

        def write(self, text: str) -> None:
            sys.stdout.buffer.write(text.encode("utf-8", "replace"))
            sys.stdout.buffer.flush()

        def stop(self) -> None:
            """There is no such key."""

        def close(self) -> None:
            for handle, mode in self._modes:
                ctypes.windll.kernel32.SetConsoleMode(handle, mode)
