"""The person's screen: lines come in above, the line being typed stays whole below.

`open_terminal` gives one of three, all with the interface of `Terminal`:

- `PromptToolkitTerminal`, where prompt_toolkit is installed (the optional extra `terminal`);
- `EditorTerminal`, the same with the standard library alone: an editor of our own (editor.py);
- `PlainTerminal`, lines as they come, where the screen cannot be drawn on.

Why not readline: its state is not for two threads. Whatever another thread prints while `input()`
waits breaks the line being typed, and nothing in the `readline` module may be called to mend it.
Here one lock guards the screen, whoever wants to show something draws it whole, in one write, and
the main thread reads keys.

What is shown is text; how it looks is said beside it, in a `Span`. No escape sequence in a text
reaches the screen. The terminal is as it was after `close`, which also runs at the end of the
interpreter; only SIGKILL, and a signal whose handler is the default, leave it as it is.
"""

from __future__ import annotations

import atexit
import contextlib
import contextvars
import os
import re
import select
import shutil
import signal
import sys
import threading
import unicodedata
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from editor import (
    PASTED_TAB,
    Completer,
    Completion,
    Key,
    KeyDecoder,
    LineEditor,
    block_rows,
    clean,
)

if sys.platform != "win32":
    import termios

if TYPE_CHECKING:
    import asyncio

    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
    from prompt_toolkit.layout import Layout
    from typing_extensions import Self

KINDS = ("prompt_toolkit", "editor", "plain")

KIND_VARIABLE = "UDP_CHAT_TERMINAL"
"""The environment variable in which a person, or a test, says which of the kinds to use."""

PROMPT = "> "

SEQUENCE_WAIT_SECONDS = 0.5
"""How long the rest of a key's sequence may take on a slow link; readline's choice."""

READ_BYTES_MAX = 65536

QUEUE_LINES_MAX = 1000
"""Lines that wait for prompt_toolkit to draw them; then who shows more waits, as with a print."""

# ECMA-48 and xterm's private modes.
ERASE_BELOW = "\x1b[J"
ERASE_ALL = "\x1b[H\x1b[2J"
AUTOWRAP_ON, AUTOWRAP_OFF = "\x1b[?7h", "\x1b[?7l"
PASTE_MARKS_ON, PASTE_MARKS_OFF = "\x1b[?2004h", "\x1b[?2004l"
FRAME_BEGINS, FRAME_ENDS = "\x1b[?2026h", "\x1b[?2026l"
"""Terminals that know them show nothing half drawn; the others pass over them."""

BOLD = "1"
DIM = "2"

NAME_COLOURS = (160, 166, 100, 64, 28, 30, 31, 27, 63, 134, 164, 162)
"""Of xterm's 256: all around the circle of hues, each with a contrast of at least 3.8 to 1 to
black and to white, so that a name can be read on a dark and on a light screen."""

_STYLE = re.compile(r"[0-9;]*\Z")


# --- what is shown ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Span:
    """A text and how it looks: `style` holds SGR parameters (ECMA-48 §8.3.117), as "1;31"."""

    text: str
    style: str = ""

    def __post_init__(self) -> None:
        assert _STYLE.match(self.style), f"{self.style!r} is no style"


Part: TypeAlias = "str | Span"


def colour(name: str) -> str:
    """The style of a name: always the same, on every machine, for all its spellings."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return f"38;5;{NAME_COLOURS[zlib.crc32(folded.encode('utf-8', 'replace')) % len(NAME_COLOURS)]}"


def paint(text: str, name: str) -> Span:
    """The text in the colour of a name."""
    return Span(text, colour(name))


def rendered(parts: Iterable[Part], colours: bool) -> str:
    """One line as it goes to a terminal."""
    # The marks of a part count with those before it: nobody adds them up part by part.
    spans = [part if isinstance(part, Span) else Span(part) for part in parts]
    return "".join(
        f"\x1b[{span.style}m{clean(span.text)}\x1b[0m"
        if colours and span.style
        else clean(span.text)
        for span in spans
    )


def wants_colours() -> bool:
    """Whether stdout is a terminal with colours, and nobody said NO_COLOR (no-color.org)."""
    return not os.environ.get("NO_COLOR") and _is_terminal(sys.stdout) and _can_draw()


def completions(left: str, names: Iterable[str], commands: Iterable[str]) -> list[str]:
    """What the text left of the cursor could become: a command, or a name.

    A name at the beginning addresses somebody: "An" becomes "Anna: ".
    """
    head, word = left[: left.rfind(" ") + 1], left[left.rfind(" ") + 1 :]
    if not head and word.startswith("/"):
        return [command for command in commands if command.startswith(word)]
    if not word and head != "/msg ":
        return []
    ending = ": " if not head else " " if head == "/msg " else ""
    folded = word.casefold()
    found = sorted(name for name in names if name.casefold().startswith(folded))
    return [f"{head}{name}{ending}" for name in found]


# --- the interface ---------------------------------------------------------------------------


class Terminal(ABC):
    """A person's screen and keyboard. A context manager.

    `read_line` is for the main thread; all else may be called from any. What draws raises OSError
    once the screen has gone.
    """

    kind = ""

    def __init__(self, colours: bool) -> None:
        self.colours = colours

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def read_line(self) -> str:
        """The next line typed. Raises EOFError (Ctrl-D, the window closed), KeyboardInterrupt."""

    @abstractmethod
    def show(self, *parts: Part, pending: Sequence[str] | None = None) -> None:
        """Shows one line above the line being typed; `pending` is set in the same drawing."""

    def set_pending(self, lines: Sequence[str]) -> None:
        """Lines of mine that are not accepted yet, oldest first: shown until they are."""

    def set_status(self, text: str) -> None:
        """What is to be seen at a glance: the room, its members, "reconnecting"."""

    @abstractmethod
    def bell(self) -> None:
        """Rings."""

    def close(self) -> None:
        """Gives the terminal back as it was. Idempotent; `show` works still, as a print."""


def open_terminal(
    completer: Completer | None = None,
    *,
    kind: str = "",
    colours: bool | None = None,
    prompt: str = PROMPT,
) -> Terminal:
    """The best terminal there is; to be called on the main thread.

    `kind`, or else the environment's UDP_CHAT_TERMINAL, is the one to use if it can be; `colours`
    None: if stdout is a terminal and NO_COLOR is not set. `completer` is called on the main thread.
    """
    kind = kind or os.environ.get(KIND_VARIABLE, "")
    if colours is None:
        colours = wants_colours()
    if _is_terminal(sys.stdin) and _is_terminal(sys.stdout) and _can_draw():
        if kind not in ("editor", "plain"):
            with contextlib.suppress(ImportError):
                return PromptToolkitTerminal(completer, colours, prompt)
        if kind != "plain":
            with contextlib.suppress(OSError):  # not a console that can be drawn on after all
                return EditorTerminal(completer, colours, prompt)
    return PlainTerminal(colours and sys.platform != "win32")


def _is_terminal(stream: Any) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _can_draw() -> bool:
    """Whether the terminal takes escape sequences, as far as its name tells."""
    return sys.platform == "win32" or os.environ.get("TERM", "") not in ("", "dumb")


class PlainTerminal(Terminal):
    """Lines as they come, as with `print` and `input`: for what is no screen."""

    kind = "plain"

    def __init__(self, colours: bool = False) -> None:
        super().__init__(colours)
        self._lock = threading.Lock()

    def read_line(self) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def show(self, *parts: Part, pending: Sequence[str] | None = None) -> None:
        with self._lock:
            print(rendered(parts, self.colours), flush=True)

    def bell(self) -> None:
        if _is_terminal(sys.stdout):
            with self._lock:
                print(end="\a", flush=True)


# --- consoles: what differs between platforms ------------------------------------------------


class _Console(Protocol):
    """A keyboard that gives each key as it is pressed, and the screen."""

    stop_wanted: bool

    def read(self, timeout_seconds: float | None) -> bytes:
        """What was typed; nothing after the timeout, or if the screen is to be drawn anew.

        Raises EOFError when the terminal is gone."""

    def write(self, text: str) -> None: ...

    def stop(self) -> None:
        """Gives the terminal back, stops the process (Ctrl-Z), and goes on when that does."""

    def close(self) -> None: ...


if sys.platform != "win32":

    class _KeyMode:
        """A terminal that hands on each key and echoes none. Ctrl-C and Ctrl-Z stay signals."""

        def __init__(self, fd: int) -> None:
            self._fd = fd
            try:
                self._before = termios.tcgetattr(fd)
            except termios.error as error:
                raise OSError(*error.args) from error
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

    class _PosixConsole:
        def __init__(self) -> None:
            self.stop_wanted = False
            self._keyboard, self._screen = sys.stdin.fileno(), sys.stdout.fileno()
            self._mode = _KeyMode(self._keyboard)
            # A signal's handler only wakes the reader: it may have interrupted a drawing.
            self._wakes, self._waker = os.pipe()
            os.set_blocking(self._waker, False)
            self._handlers: dict[int, Any] = {}
            if threading.current_thread() is threading.main_thread():
                for number in (signal.SIGWINCH, signal.SIGCONT, signal.SIGTSTP):
                    self._handlers[number] = signal.signal(number, self._wake)

        def _wake(self, number: int, _: FrameType | None) -> None:
            if number == signal.SIGTSTP:
                self.stop_wanted = True
            with contextlib.suppress(BlockingIOError):  # it has been woken often enough
                os.write(self._waker, b"!")

        def read(self, timeout_seconds: float | None) -> bytes:
            ready, _, _ = select.select([self._keyboard, self._wakes], [], [], timeout_seconds)
            if self._wakes in ready:
                os.read(self._wakes, READ_BYTES_MAX)
                self._mode.enter()  # who stopped us may have changed it
                return b""
            if not ready:
                return b""
            try:
                data = os.read(self._keyboard, READ_BYTES_MAX)
            except OSError:  # EIO: the window is closed
                raise EOFError from None
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
            self.stop_wanted = False
            self.write(PASTE_MARKS_OFF)
            self._mode.leave()
            wake = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)
            signal.signal(signal.SIGTSTP, wake)
            self._mode.enter()
            self.write(PASTE_MARKS_ON)

        def close(self) -> None:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)
            self._mode.leave()
            os.close(self._wakes)
            os.close(self._waker)

    _open_console: Callable[[], _Console] = _PosixConsole

else:
    import ctypes
    import msvcrt
    from ctypes import wintypes

    # Console modes, from <consoleapi.h>.
    _LINE_INPUT, _ECHO_INPUT, _TERMINAL_INPUT = 0x2, 0x4, 0x200
    _PROCESSED_OUTPUT, _TERMINAL_PROCESSING = 0x1, 0x4

    class _WindowsConsole:
        """Since Windows 10 a console speaks the same sequences, if it is asked to."""

        stop_wanted = False

        def __init__(self) -> None:
            self._modes: list[tuple[int, int]] = []
            try:
                self._change(sys.stdin, off=_LINE_INPUT | _ECHO_INPUT, on=_TERMINAL_INPUT)
                self._change(sys.stdout, off=0, on=_PROCESSED_OUTPUT | _TERMINAL_PROCESSING)
            except OSError:
                self.close()
                raise

        def _change(self, stream: Any, off: int, on: int) -> None:
            handle, mode = msvcrt.get_osfhandle(stream.fileno()), wintypes.DWORD()
            kernel = ctypes.windll.kernel32
            if not kernel.GetConsoleMode(wintypes.HANDLE(handle), ctypes.byref(mode)):
                raise ctypes.WinError()
            if not kernel.SetConsoleMode(wintypes.HANDLE(handle), mode.value & ~off | on):
                raise ctypes.WinError()
            self._modes.append((handle, mode.value))

        def read(self, timeout_seconds: float | None) -> bytes:
            data = sys.stdin.buffer.raw.read(READ_BYTES_MAX)  # type: ignore[attr-defined]
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
                ctypes.windll.kernel32.SetConsoleMode(wintypes.HANDLE(handle), mode)

    _open_console: Callable[[], _Console] = _WindowsConsole


# --- the editor ------------------------------------------------------------------------------


class EditorTerminal(Terminal):
    """An editor of our own at the bottom of the screen, drawn anew under each line shown.

    At the bottom is the block: what is pending, the line being typed, the status. To draw is to
    go to its first row, erase from there on, write what is new above it, and write it again.
    """

    kind = "editor"

    def __init__(
        self, completer: Completer | None = None, colours: bool = False, prompt: str = PROMPT
    ) -> None:
        super().__init__(colours)
        self._prompt = prompt
        self._decoder = KeyDecoder()
        self._editor = LineEditor(completer)
        self._entered: deque[str] = deque()
        self._ended = False
        self._pending: Sequence[str] = ()
        self._status = ""
        # Guards the screen and all that is drawn on it.
        self._lock = threading.RLock()
        self._reading = False
        """Whether the block is on the screen."""
        self._rows_above_cursor = 0
        self._closed = False
        sys.stdout.flush()
        self._console = _open_console()
        self._console.write(PASTE_MARKS_ON)
        atexit.register(self.close)

    def read_line(self) -> str:
        try:
            if not self._entered and not self._reading:
                with self._lock:
                    self._reading = True
                    self._draw()
            while not self._entered:
                if self._ended:
                    raise EOFError
                self._read_keys()
            return self._entered.popleft()
        except BaseException as error:
            with self._lock, contextlib.suppress(OSError):
                self._hide()
            if isinstance(error, OSError):
                raise EOFError from error
            raise

    def _read_keys(self) -> None:
        unfinished = self._decoder.unfinished
        data = self._console.read(SEQUENCE_WAIT_SECONDS if unfinished else None)
        with self._lock:
            if self._console.stop_wanted:
                self._hide()
                self._console.stop()
                self._reading = True
            if unfinished and not data:
                self._decoder.give_up()
            clears = self._press(self._decoder.feed(data))
            if clears:
                self._rows_above_cursor = 0
            self._draw(ERASE_ALL if clears else "")

    def _press(self, keys: Iterable[Key | str]) -> bool:
        """Carries out keys; returns whether the screen is to be cleared."""
        clears = False
        for key in keys:
            clears |= key is Key.CLEAR_SCREEN
            try:
                line = self._editor.press(key)
            except EOFError:
                self._ended = True
                break
            if line is not None:
                self._entered.append(line)
        return clears

    def show(self, *parts: Part, pending: Sequence[str] | None = None) -> None:
        with self._lock:
            if pending is not None:
                self._pending = pending
            self._draw(rendered(parts, self.colours) + "\n")

    def set_pending(self, lines: Sequence[str]) -> None:
        with self._lock:
            self._pending = lines
            if self._reading:
                self._draw()

    def set_status(self, text: str) -> None:
        with self._lock:
            changed = text != self._status
            self._status = text
            if changed and self._reading:
                self._draw()

    def bell(self) -> None:
        with self._lock:
            self._write("\a")

    def close(self) -> None:
        with self._lock, contextlib.suppress(OSError):
            if self._closed:
                return
            try:
                self._hide()
                self._console.write(PASTE_MARKS_OFF + AUTOWRAP_ON)
            finally:
                self._closed = True
                self._console.close()
                atexit.unregister(self.close)

    # --- drawing, under the lock -------------------------------------------------------------

    def _hide(self) -> None:
        if self._reading:
            self._reading = False
            self._draw()

    def _draw(self, above: str = "") -> None:
        """Draws one frame: `above`, and below it the block, if it is to be seen."""
        frame = [FRAME_BEGINS, self._to_block(), ERASE_BELOW, above]
        self._rows_above_cursor = 0
        if self._reading:
            frame.append(self._block())
        if self._editor.wants_bell:
            self._editor.wants_bell = False
            frame.append("\a")
        self._write("".join([*frame, FRAME_ENDS]))

    def _to_block(self) -> str:
        return f"\x1b[{self._rows_above_cursor}A\r" if self._rows_above_cursor else "\r"

    def _block(self) -> str:
        # Asked for each time: a window is resized before its signal comes.
        columns, rows = shutil.get_terminal_size()
        block = block_rows(self._editor, self._prompt, self._pending, self._status, columns, rows)
        drawn = [
            *(rendered([Span(row, DIM)], self.colours) for row in block.pending),
            *block.typed,
            *(rendered([Span(row, DIM)], self.colours) for row in block.status),
        ]
        self._rows_above_cursor = len(block.pending) + block.cursor_row
        up = len(drawn) - 1 - self._rows_above_cursor
        # Without autowrap, a row that the terminal thinks wider than we do stays one row.
        return "".join(
            [
                AUTOWRAP_OFF,
                "\n".join(drawn),
                f"\x1b[{up}A\r" if up else "\r",
                block.left_of_cursor,
                AUTOWRAP_ON,
            ]
        )

    def _write(self, text: str) -> None:
        if self._closed:
            text = text.replace(FRAME_BEGINS, "").replace(FRAME_ENDS, "")
            print(end=text, flush=True)
        else:
            self._console.write(text)
