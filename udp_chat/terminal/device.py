"""A keyboard that gives each key as it is pressed, and the screen it belongs to.

Platforms differ: POSIX has termios and signals, Windows has console modes. Both give bytes in UTF-8
with the sequences that keys.py knows, and take the same.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from types import FrameType
from typing import Any, Protocol

if sys.platform != "win32":
    import termios
else:
    import ctypes
    import msvcrt
    from ctypes import wintypes

READ_BYTES_MAX = 65536

# ECMA-48 and xterm's private modes.
ERASE_BELOW = "\x1b[C\x1b[J\r\x1b[K"
"""From the first column on. What is erased from the first cell of the screen on, tmux takes for a
screen to be kept, and puts it where one scrolls back; so that cell is erased last."""
ERASE_ALL = "\x1b[H\x1b[2J"
AUTOWRAP_ON, AUTOWRAP_OFF = "\x1b[?7h", "\x1b[?7l"
REPORTS_ON, REPORTS_OFF = "\x1b[?2004h\x1b[?1004h", "\x1b[?2004l\x1b[?1004l"
"""What a terminal reports besides keys: where a paste begins and ends, whether it has the focus."""
FRAME_BEGINS, FRAME_ENDS = "\x1b[?2026h", "\x1b[?2026l"
"""A terminal that knows them never shows half a drawing; the others ignore them."""


class Device(Protocol):
    """A keyboard and its screen, as `Console` is one."""

    stop_wanted: bool
    """Ctrl-Z was pressed: call `stop`."""

    def read(self, timeout_seconds: float | None) -> bytes: ...
    def write(self, text: str) -> None: ...
    def size(self) -> tuple[int, int]: ...
    def set_interrupts(self, *, as_keys: bool) -> None: ...
    def stop(self) -> None: ...
    def close(self) -> None: ...


def _size(screen: int) -> tuple[int, int]:
    """Columns and rows. `shutil` would ask the environment, which a resize does not change."""
    with contextlib.suppress(OSError):
        columns, rows = os.get_terminal_size(screen)
        if columns and rows:
            return columns, rows
    return 80, 24


if sys.platform != "win32":
    GONE: tuple[type[Exception], ...] = (OSError, termios.error)
    """What a closed window raises, besides EOFError."""

    class KeyMode:
        """The mode in which a terminal gives each key at once and echoes none.

        Ctrl-Z stays a signal, and so does Ctrl-C unless `interrupts_are_keys`.
        """

        def __init__(self, fd: int) -> None:
            self._fd = fd
            self._before = termios.tcgetattr(fd)
            self.interrupts_are_keys = False
            self.enter()

        def enter(self) -> None:
            mode = termios.tcgetattr(self._fd)
            # IXON: Ctrl-S would stop the whole client. ICRNL: it would hide a pasted "\r\n".
            mode[0] &= ~(termios.IXON | termios.ICRNL | termios.INLCR | termios.IGNCR)
            mode[3] &= ~(termios.ICANON | termios.ECHO | termios.IEXTEN)
            mode[6] = list(mode[6])
            mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
            # Ctrl-\ kills at once, and nobody would put the terminal back.
            disabled = bytes([os.fpathconf(self._fd, "PC_VDISABLE") & 0xFF])
            mode[6][termios.VQUIT] = disabled
            signalling = self._before[6][termios.VINTR]
            mode[6][termios.VINTR] = disabled if self.interrupts_are_keys else signalling
            termios.tcsetattr(self._fd, termios.TCSANOW, mode)

        def leave(self) -> None:
            with contextlib.suppress(termios.error):  # the terminal is gone
                termios.tcsetattr(self._fd, termios.TCSANOW, self._before)

    class Console:
        """The terminal of stdin and stdout. The main thread opens, reads and closes it."""

        def __init__(self) -> None:
            self.stop_wanted = False
            """Ctrl-Z was pressed: call `stop`."""
            self._keyboard, self._screen = sys.stdin.fileno(), sys.stdout.fileno()
            self._mode = KeyMode(self._keyboard)
            # Signals wake the reader through a pipe: a signal to another thread would not end the
            # main thread's wait. No handler draws: it may interrupt a drawing.
            self._wakes, self._waker = os.pipe()
            os.set_blocking(self._waker, False)
            self._waker_before = signal.set_wakeup_fd(self._waker, warn_on_full_buffer=False)
            self._handlers: dict[int, Any] = {}
            for number in (signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP):
                # Where no shell could continue the process, SIGTSTP is ignored from the start.
                if number != signal.SIGTSTP or signal.getsignal(number) != signal.SIG_IGN:
                    self._handlers[number] = signal.signal(number, self._note)

        def _note(self, number: int, _: FrameType | None) -> None:
            if number == signal.SIGTSTP:
                self.stop_wanted = True

        def read(self, timeout_seconds: float | None) -> bytes:
            """What was typed; nothing after the timeout, or when the screen may have changed.

            Raises EOFError or one of `GONE`.
            """
            ready, _, _ = select.select([self._keyboard, self._wakes], [], [], timeout_seconds)
            if self._wakes in ready:
                os.read(self._wakes, READ_BYTES_MAX)
                self._mode.enter()  # while we were stopped, another program may have changed it
            if self._keyboard not in ready:
                return b""
            data = os.read(self._keyboard, READ_BYTES_MAX)
            if not data:
                raise EOFError
            return data

        def size(self) -> tuple[int, int]:
            """Columns and rows."""
            return _size(self._screen)

        def write(self, text: str) -> None:
            data = memoryview(text.encode("utf-8", "replace"))
            while data:
                try:
                    data = data[os.write(self._screen, data) :]
                except BlockingIOError:  # another program made the terminal non-blocking
                    select.select([], [self._screen], [])

        def set_interrupts(self, *, as_keys: bool) -> None:
            """Says whether Ctrl-C is a key to read from now on, or a signal as at the start."""
            if self._mode.interrupts_are_keys != as_keys:
                self._mode.interrupts_are_keys = as_keys
                self._mode.enter()

        def stop(self) -> None:
            """Gives the terminal back and stops the process; returns when it is continued."""
            self.stop_wanted = False
            self.write(REPORTS_OFF)
            self._mode.leave()
            wake = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, wake)
            self._mode.enter()
            self.write(REPORTS_ON)

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
    _INTERRUPTS, _LINE_INPUT, _ECHO_INPUT, _TERMINAL_INPUT = 0x1, 0x2, 0x4, 0x200
    _PROCESSED_OUTPUT, _TERMINAL_PROCESSING = 0x1, 0x4

    class Console:
        """A console of Windows 10 or newer: on request it understands terminal sequences."""

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

        def size(self) -> tuple[int, int]:
            return _size(sys.stdout.fileno())

        def write(self, text: str) -> None:
            sys.stdout.buffer.write(text.encode("utf-8", "replace"))
            sys.stdout.buffer.flush()

        def set_interrupts(self, *, as_keys: bool) -> None:
            handle, mode = self._modes[0][0], wintypes.DWORD()
            kernel = ctypes.windll.kernel32
            if kernel.GetConsoleMode(handle, ctypes.byref(mode)):
                others = mode.value & ~_INTERRUPTS
                kernel.SetConsoleMode(handle, others | (0 if as_keys else _INTERRUPTS))

        def stop(self) -> None:
            """There is no such key."""

        def close(self) -> None:
            for handle, mode in self._modes:
                ctypes.windll.kernel32.SetConsoleMode(handle, mode)
