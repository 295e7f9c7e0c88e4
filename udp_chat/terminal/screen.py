"""The person's screen: lines appear above, the line being typed stays whole below.

`open_terminal` returns one of two `Terminal`s: an `EditorTerminal` with the editor of editor.py, or
a `PlainTerminal` where the screen cannot be drawn on.

Why not readline: its state is not for two threads. If another thread prints while `input()` waits,
it breaks the line being typed, and the `readline` module has no call to repair it. Here one lock
guards the screen: each thread draws the whole of it in one write, and the main thread reads keys.

`close` gives the terminal back as it was. It also runs when the interpreter ends, for any reason.
Only SIGKILL leaves the terminal changed.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TextIO

from udp_chat.terminal.block import block_rows
from udp_chat.terminal.device import (
    AUTOWRAP_OFF,
    AUTOWRAP_ON,
    ERASE_ALL,
    ERASE_BELOW,
    FRAME_BEGINS,
    FRAME_ENDS,
    GONE,
    REPORTS_OFF,
    REPORTS_ON,
    Console,
    Device,
)
from udp_chat.terminal.editor import Completer, LineEditor
from udp_chat.terminal.keys import Key, KeyDecoder, Paste
from udp_chat.terminal.style import DIM, Part, Span, plain, rendered
from udp_chat.terminal.window import (
    KEEP_TITLE,
    RETURN_TITLE,
    has_title,
    notification_form,
    notification_sequence,
    title_sequence,
)
from udp_chat.terminal.wrapping import joined_parts, wrapped

if TYPE_CHECKING:
    from typing_extensions import Self

PROMPT = "> "

SEQUENCE_WAIT_SECONDS = 0.1
"""How long the rest of a key's sequence may take on a slow link. Esc is heard after it."""

LEAVE_AGAIN_SECONDS = 2.0
"""How soon after the first Ctrl-C on an empty line a second one leaves."""


@dataclass(frozen=True, slots=True)
class Hints:
    """What the terminal itself says to a person."""

    leave: str = "^C ^C"
    """After the first Ctrl-C on an empty line."""
    pasted: Callable[[int], str] = "[+{}]".format
    """In the place of a long paste with so many lines, which waits for Enter or Ctrl-C."""
    searched: Callable[[str], str] = "[{}]".format
    """Before a line of the history that was found by this word."""
    not_found: Callable[[str], str] = "[{}?]".format
    """The same where no line has the word."""


def wants_colours() -> bool:
    """Whether stdout is a terminal with colours, and NO_COLOR is not set (no-color.org)."""
    return not os.environ.get("NO_COLOR") and _is_terminal(sys.stdout) and _can_draw()


# --- the interface ---------------------------------------------------------------------------


class Terminal(ABC):
    """A person's screen and keyboard. A context manager.

    The main thread calls `read_line` and `close`; any thread may call the rest. A call that draws
    raises OSError once the screen has gone.
    """

    def __init__(self, *, colours: bool) -> None:
        self.colours = colours
        self.on_look: Callable[[bool], None] = lambda looks: None
        """Told by the main thread whether the person looks at the window, where the terminal says
        so."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def read_line(self) -> str:
        """The next line typed. Raises EOFError (Ctrl-D, the window closed), KeyboardInterrupt.

        Where the screen can be drawn on, Ctrl-C is a key from now on: it empties the line, and only
        twice on an empty line it raises KeyboardInterrupt. SIGINT itself stays what it is.
        Where the screen can be drawn on, the line disappears; `show` shows what became of it.
        """

    def end_input(self) -> None:  # noqa: B027 - most terminals have nothing to do
        """Says that no more lines will be read: Ctrl-C is a signal again. Idempotent."""

    @abstractmethod
    def show(self, *parts: Part, pending: Sequence[str] | None = None, folds: bool = False) -> None:
        """Shows one line above the line being typed, and in the same drawing what is pending.

        A line that `folds` takes the place of the one before, if that one folds too and the screen
        can still be drawn on there.
        """

    @property
    def can_fold(self) -> bool:
        """Whether a line can take the place of another."""
        return False

    @abstractmethod
    def set_pending(self, lines: Sequence[str]) -> None:
        """Shows my messages that the server has not accepted yet, oldest first."""

    @abstractmethod
    def set_status(self, parts: Sequence[str]) -> None:
        """Shows a row below, the most important part first: the last ones may not fit."""

    def set_title(self, text: str) -> None:  # noqa: B027 - most terminals have none
        """Names the window, where it can be named."""

    @property
    def can_notify(self) -> bool:
        """Whether the terminal is known to show notifications on the desktop."""
        return False

    def notify(self, title: str, text: str) -> None:  # noqa: B027 - most terminals cannot
        """Shows a notification on the desktop, if the terminal can."""

    @abstractmethod
    def bell(self) -> None:
        """Rings."""

    def stream(self) -> TextIO:
        """A stream for diagnostics: the screen shows each line written to it."""
        return _ShownLines(self)

    @abstractmethod
    def close(self) -> None:
        """Gives the terminal back as it was. Idempotent. After it, `show` prints."""


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
    hints: Hints | None = None,
) -> Terminal:
    """The best terminal that stdin and stdout allow. Only the main thread may call it.

    With `colours` None, `wants_colours` decides. The main thread calls `completer`.
    """
    if colours is None:
        colours = wants_colours()
    if _is_terminal(sys.stdin) and _is_terminal(sys.stdout) and _can_draw():
        with contextlib.suppress(*GONE):  # it cannot be drawn on after all
            return EditorTerminal(completer, colours=colours, hints=hints)
    return PlainTerminal(colours=colours and sys.platform != "win32")


def _is_terminal(stream: Any) -> bool:
    return stream is not None and not stream.closed and stream.isatty()


def _can_draw() -> bool:
    """Whether the terminal takes escape sequences, as far as its name tells."""
    return sys.platform == "win32" or os.environ.get("TERM", "") not in ("", "dumb")


class PlainTerminal(Terminal):
    """Prints lines as they come, for what is no screen. What a person types stays where it is."""

    def __init__(self, *, colours: bool = False) -> None:
        super().__init__(colours=colours)
        self._lock = threading.Lock()

    def read_line(self) -> str:
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.rstrip("\r\n")

    def show(self, *parts: Part, pending: Sequence[str] | None = None, folds: bool = False) -> None:
        with self._lock:
            print(rendered(parts, True) if self.colours else plain(parts), flush=True)

    def set_pending(self, lines: Sequence[str]) -> None:
        pass

    def set_status(self, parts: Sequence[str]) -> None:
        pass

    def bell(self) -> None:
        if _is_terminal(sys.stdout):
            with self._lock:
                print(end="\a", flush=True)

    def close(self) -> None:
        pass


class EditorTerminal(Terminal):
    """A line editor at the bottom of the screen, drawn again under each line shown.

    At the bottom is the block: what is pending, the line being typed, the status. Each drawing
    goes to its first row, erases from there, writes the new lines, and writes the block again.
    """

    def __init__(
        self,
        completer: Completer | None = None,
        *,
        colours: bool = False,
        hints: Hints | None = None,
        open_console: Callable[[], Device] = Console,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`open_console` opens the keyboard and the screen to draw on."""
        super().__init__(colours=colours)
        self._hints = hints or Hints()
        self._clock = clock
        self._decoder = KeyDecoder()
        self._editor = LineEditor(completer)
        self._entered: deque[str] = deque()
        self._end: type[BaseException] | None = None
        """What to raise once the lines entered before are read."""
        self._asks_again = False
        """Whether a line can still be read although the end was told."""
        self._leaves_until: float | None = None
        """Until then another Ctrl-C leaves, and the hint is shown."""
        self._pending: Sequence[str] = ()
        self._status: Sequence[str] = ()
        self._has_title = has_title(os.environ, sys.platform)
        self._title = ""
        # Guards the screen and all that is drawn on it.
        self._lock = threading.RLock()
        self._reading = False
        """Whether the block is on the screen."""
        self._rows_above_cursor = 0
        self._folded_rows = 0
        """Of the line just above the block, if the next one may take its place."""
        self._folded_size = (0, 0)
        """Of the screen when that line was drawn. Another one may have put its rows elsewhere."""
        self._closed = False
        sys.stdout.flush()
        self._console = open_console()
        atexit.register(self.close)
        self._console.write(REPORTS_ON)

    @property
    def can_fold(self) -> bool:
        return True

    def read_line(self) -> str:
        if self._asks_again:  # a person who leaves by a key may be asked whether that was meant
            self._asks_again = self._reading = False
            self._end = self._leaves_until = None
        try:
            if not self._entered and not self._reading:
                with self._lock:
                    self._console.set_interrupts(as_keys=True)
                    self._reading = True
                    self._draw()
            while not self._entered:
                if self._end:
                    self._asks_again = True
                    raise self._end
                self._read_keys()
            return self._entered.popleft()
        except BaseException as error:  # a signal, too: the typed line must not stay on the screen
            self.end_input()
            with self._lock, contextlib.suppress(*GONE):
                self._hide()
            if isinstance(error, GONE):
                raise EOFError from error
            raise

    def end_input(self) -> None:
        with self._lock, contextlib.suppress(*GONE):
            if not self._closed:
                self._console.set_interrupts(as_keys=False)

    def _read_keys(self) -> None:
        unfinished, timeout_seconds = self._decoder.unfinished, None
        if self._leaves_until is not None:
            timeout_seconds = max(0.0, self._leaves_until - self._clock())
        data = self._console.read(SEQUENCE_WAIT_SECONDS if unfinished else timeout_seconds)
        keys: list[Key | str | Paste] = []
        if unfinished and not data:
            keys += self._decoder.give_up()
        if self._leaves_until is not None and self._clock() >= self._leaves_until:
            self._leaves_until = None
        keys += self._decoder.feed(data)
        if keys:
            self.on_look(keys[-1] is not Key.FOCUS_OUT)  # whoever types looks
        keys = [key for key in keys if key not in (Key.FOCUS_IN, Key.FOCUS_OUT)]
        try:
            for key in keys:
                self._press(key)
        except (EOFError, KeyboardInterrupt) as error:
            self._end = type(error)  # lines typed before may still wait to be read
        with self._lock:
            if self._console.stop_wanted:
                self._hide()
                self._console.write(RETURN_TITLE if self._title else "")
                self._console.stop()
                self._console.write(self._title_begins() if self._title else "")
                self._reading = True
            clears = Key.CLEAR_SCREEN in keys
            if clears:
                self._folded_rows = 0
            # The block is erased first: tmux and screen keep what ERASE_ALL finds.
            self._draw(ERASE_ALL if clears else "")

    def _press(self, key: Key | str | Paste) -> None:
        if key is not Key.INTERRUPT:
            self._leaves_until = None
        # Not under our lock: the completer may take locks whose owners wait to show something.
        completes = key is Key.COMPLETE and not self._editor.pasted
        completed = self._editor.completed() if completes else None
        with self._lock:
            if completes:
                self._editor.complete(completed)
                return
            try:
                self._entered.extend(self._editor.press(key))
            except KeyboardInterrupt:
                if self._leaves_until is not None:
                    raise
                self._leaves_until = self._clock() + LEAVE_AGAIN_SECONDS

    def show(self, *parts: Part, pending: Sequence[str] | None = None, folds: bool = False) -> None:
        with self._lock:
            if pending is not None:
                self._pending = pending
            if self._closed:
                print(rendered(parts, self.colours), flush=True)
                return
            size = self._console.size()
            rows = wrapped(parts, max(1, size[0] - 1))
            lines = "".join(f"{rendered(row, self.colours)}\n" for row in rows)
            replaced = self._folded_rows if folds and self._folded_size == size else 0
            self._folded_rows, self._folded_size = (len(rows) if folds else 0), size
            self._draw(f"\x1b[{replaced}A{ERASE_BELOW}{lines}" if replaced else lines)

    def set_pending(self, lines: Sequence[str]) -> None:
        with self._lock:
            changed = lines != self._pending
            self._pending = lines
            if changed and self._reading:
                self._draw()

    def set_status(self, parts: Sequence[str]) -> None:
        with self._lock:
            changed = parts != self._status
            self._status = parts
            if changed and self._reading:
                self._draw()

    def set_title(self, text: str) -> None:
        with self._lock:
            if self._closed or not self._has_title or text == self._title:
                return
            is_first, self._title = not self._title, text
            self._console.write(self._title_begins() if is_first else title_sequence(text))

    @property
    def can_notify(self) -> bool:
        return bool(notification_form(os.environ))

    def notify(self, title: str, text: str) -> None:
        with self._lock:
            if not self._closed:
                self._console.write(notification_sequence(title, text, os.environ))

    def _title_begins(self) -> str:
        return KEEP_TITLE + title_sequence(self._title)

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
                self._console.write(RETURN_TITLE if self._title else "")
                self._console.write(REPORTS_OFF + AUTOWRAP_ON)
            finally:
                self._closed = True
                self._console.close()
                atexit.unregister(self.close)

    # --- drawing, under the lock -------------------------------------------------------------

    def _hide(self) -> None:
        if self._reading:
            self._reading = False
            self._folded_rows = 0
            self._draw()

    def _draw(self, above: str = "") -> None:
        """Draws one frame: `above`, and below it the block, unless it is hidden."""
        to_block = f"\x1b[{self._rows_above_cursor}A\r" if self._rows_above_cursor else "\r"
        block, rows_above_cursor = self._block() if self._reading else ("", 0)
        bell = "\a" if self._editor.wants_bell else ""
        self._editor.wants_bell = False
        self._console.write(
            "".join([FRAME_BEGINS, to_block, ERASE_BELOW, above, block, bell, FRAME_ENDS])
        )
        self._rows_above_cursor = rows_above_cursor

    def _block(self) -> tuple[str, int]:
        """The rows at the bottom as text, and how many of them are above the cursor."""
        # Asked each time: a window changes its size before the signal comes.
        columns, rows = self._console.size()
        leaves = self._leaves_until is not None
        status = self._hints.leave if leaves else joined_parts(self._status, columns - 1)
        prompt = PROMPT
        if self._editor.pasted:
            prompt += self._hints.pasted(len(self._editor.pasted))
        elif self._editor.searched is not None:
            nothing = self._editor.finds_nothing
            hint = self._hints.not_found if nothing else self._hints.searched
            prompt += f"{hint(self._editor.searched)} "
        block = block_rows(self._editor, prompt, self._pending, status, columns, rows)
        drawn = [
            *(rendered([Span(row, DIM)], self.colours) for row in block.pending),
            *block.typed,
            *(rendered([Span(row, DIM)], self.colours) for row in block.status),
        ]
        if self._folded_rows + len(drawn) > rows:
            self._folded_rows = 0  # the block pushes it off the screen
        above = len(block.pending) + block.cursor_row
        below = len(drawn) - 1 - above
        to_cursor = f"\x1b[{below}A\r" if below else "\r"
        # Without autowrap, a row stays one row even if the terminal thinks it wider than we do.
        parts = [AUTOWRAP_OFF, "\n".join(drawn), to_cursor, block.left_of_cursor, AUTOWRAP_ON]
        return "".join(parts), above
