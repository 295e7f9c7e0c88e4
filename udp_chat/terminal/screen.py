"""The person's screen: lines come in above, the line being typed stays whole below.

`open_terminal` gives one of two, both with the interface of `Terminal`: an `EditorTerminal` with an
editor of our own (editor.py), or, where the screen cannot be drawn on, a `PlainTerminal`.

Why not readline: its state is not for two threads. Whatever another thread prints while `input()`
waits breaks the line being typed, and nothing in the `readline` module may be called to mend it.
Here one lock guards the screen, whoever has something to show draws it whole, in one write, and
the main thread reads keys.

What is shown is text; how it looks is said beside it, in a `Span`. No escape sequence in a text
reaches the screen. `close` gives the terminal back as it was; it also runs when the interpreter
ends, whatever for. Only what kills a process without asking it (SIGKILL) leaves the terminal so.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import re
import sys
import threading
import unicodedata
import zlib
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

from udp_chat.terminal.device import (
    AUTOWRAP_OFF,
    AUTOWRAP_ON,
    ERASE_ALL,
    ERASE_BELOW,
    FRAME_BEGINS,
    FRAME_ENDS,
    GONE,
    PASTE_MARKS_OFF,
    PASTE_MARKS_ON,
    Console,
    screen_size,
)
from udp_chat.terminal.editor import Completer, Key, KeyDecoder, LineEditor, block_rows, clean

if TYPE_CHECKING:
    from typing_extensions import Self

PROMPT = "> "

SEQUENCE_WAIT_SECONDS = 0.5
"""How long the rest of a key's sequence may take on a slow link; readline's choice."""

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
    folded = unicodedata.normalize("NFKC", name).casefold().encode("utf-8", "replace")
    return f"38;5;{NAME_COLOURS[zlib.crc32(folded) % len(NAME_COLOURS)]}"


def paint(text: str, name: str) -> Span:
    """The text in the colour of a name."""
    return Span(text, colour(name))


def rendered(parts: Iterable[Part], colours: bool) -> str:
    """One line as it goes to a terminal."""
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
    start = left.rfind(" ") + 1
    head, word = left[:start], left[start:]
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

    `read_line` and `close` are for the main thread, all else may be called from any. What draws
    raises OSError once the screen has gone.
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
        """The next line typed. Raises EOFError (Ctrl-D, the window closed), KeyboardInterrupt.

        Where the screen can be drawn on, the line is gone from it: what became of it is `show`n.
        """

    @abstractmethod
    def show(self, *parts: Part, pending: Sequence[str] | None = None) -> None:
        """Shows one line above the line being typed; sets what is pending in the same drawing."""

    @abstractmethod
    def set_pending(self, lines: Sequence[str]) -> None:
        """Lines of mine that are not accepted yet, oldest first: shown until they are."""

    @abstractmethod
    def set_status(self, text: str) -> None:
        """What is to be seen at a glance: the room, its members, "reconnecting"."""

    @abstractmethod
    def bell(self) -> None:
        """Rings."""

    def stream(self) -> TextIO:
        """A stream for diagnostics: what is written to it is shown, line by line."""
        return _ShownLines(self)

    @abstractmethod
    def close(self) -> None:
        """Gives the terminal back as it was. Idempotent; `show` works still, as a print."""


class _ShownLines(io.StringIO):
    def __init__(self, terminal: Terminal) -> None:
        super().__init__()
        self._terminal = terminal
        self._rest = ""
        self._lock = threading.Lock()

    def write(self, text: str) -> int:
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._terminal.show(line)
        return len(text)


def open_terminal(
    completer: Completer | None = None,
    *,
    colours: bool | None = None,
    prompt: str = PROMPT,
) -> Terminal:
    """The best terminal there is; to be called on the main thread.

    `colours` None: if stdout is a terminal and NO_COLOR is not set. `completer` is called on the
    main thread.
    """
    if colours is None:
        colours = wants_colours()
    if _is_terminal(sys.stdin) and _is_terminal(sys.stdout) and _can_draw():
        with contextlib.suppress(*GONE):  # it cannot be drawn on after all
            return EditorTerminal(completer, colours, prompt)
    return PlainTerminal(colours and sys.platform != "win32")


def _is_terminal(stream: Any) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _can_draw() -> bool:
    """Whether the terminal takes escape sequences, as far as its name tells."""
    return sys.platform == "win32" or os.environ.get("TERM", "") not in ("", "dumb")


class PlainTerminal(Terminal):
    """Lines as they come: for what is no screen. What is typed stands there already."""

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

    def set_pending(self, lines: Sequence[str]) -> None:
        pass

    def set_status(self, text: str) -> None:
        pass

    def bell(self) -> None:
        if _is_terminal(sys.stdout):
            with self._lock:
                print(end="\a", flush=True)

    def close(self) -> None:
        pass


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
        self._console = Console()
        atexit.register(self.close)
        self._console.write(PASTE_MARKS_ON)

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
        except BaseException as error:  # Ctrl-C too: the typed line is not to stay on the screen
            with self._lock, contextlib.suppress(*GONE):
                self._hide()
            if isinstance(error, GONE):
                raise EOFError from error
            raise

    def _read_keys(self) -> None:
        unfinished = self._decoder.unfinished
        data = self._console.read(SEQUENCE_WAIT_SECONDS if unfinished else None)
        if unfinished and not data:
            self._decoder.give_up()
        keys = self._decoder.feed(data)
        try:
            for key in keys:
                self._press(key)
        except EOFError:
            self._ended = True  # of what was typed before, lines may still wait to be read
        with self._lock:
            if self._console.stop_wanted:
                self._hide()
                self._console.stop()
                self._reading = True
            clears = Key.CLEAR_SCREEN in keys
            if clears:
                self._rows_above_cursor = 0
            self._draw(ERASE_ALL if clears else "")

    def _press(self, key: Key | str) -> None:
        # The completer may take locks whose owners wait to show something: ours is not held.
        completed = self._editor.completed() if key is Key.COMPLETE else None
        with self._lock:
            if key is Key.COMPLETE:
                self._editor.complete(completed)
                return
            line = self._editor.press(key)
            if line is not None:
                self._entered.append(line)

    def show(self, *parts: Part, pending: Sequence[str] | None = None) -> None:
        line = rendered(parts, self.colours)
        with self._lock:
            if pending is not None:
                self._pending = pending
            if self._closed:
                print(line, flush=True)
            else:
                self._draw(f"{line}\n")

    def set_pending(self, lines: Sequence[str]) -> None:
        with self._lock:
            changed = lines != self._pending
            self._pending = lines
            if changed and self._reading:
                self._draw()

    def set_status(self, text: str) -> None:
        with self._lock:
            changed = text != self._status
            self._status = text
            if changed and self._reading:
                self._draw()

    def bell(self) -> None:
        with self._lock:
            if not self._closed:
                self._console.write("\a")

    def close(self) -> None:
        with self._lock, contextlib.suppress(*GONE):
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
        to_block = f"\x1b[{self._rows_above_cursor}A\r" if self._rows_above_cursor else "\r"
        block, rows_above_cursor = self._block() if self._reading else ("", 0)
        bell = "\a" if self._editor.wants_bell else ""
        self._editor.wants_bell = False
        self._console.write(
            "".join([FRAME_BEGINS, to_block, ERASE_BELOW, above, block, bell, FRAME_ENDS])
        )
        self._rows_above_cursor = rows_above_cursor

    def _block(self) -> tuple[str, int]:
        """The rows at the bottom as they are written, and how many are above the cursor then."""
        # Asked for each time: a window has another size before its signal comes.
        columns, rows = screen_size()
        block = block_rows(self._editor, self._prompt, self._pending, self._status, columns, rows)
        drawn = [
            *(rendered([Span(row, DIM)], self.colours) for row in block.pending),
            *block.typed,
            *(rendered([Span(row, DIM)], self.colours) for row in block.status),
        ]
        above = len(block.pending) + block.cursor_row
        below = len(drawn) - 1 - above
        to_cursor = f"\x1b[{below}A\r" if below else "\r"
        # Without autowrap, a row that the terminal thinks wider than we do stays one row.
        parts = [AUTOWRAP_OFF, "\n".join(drawn), to_cursor, block.left_of_cursor, AUTOWRAP_ON]
        return "".join(parts), above
