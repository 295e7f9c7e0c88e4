"""The person's screen, where prompt_toolkit is installed (the optional extra `terminal`).

It gives what editor.py does not: search in the history (Ctrl-R), undo, a kill ring. Its event
loop runs on the main thread while a line is read. Other threads queue what they show, and the
loop prints it above the block; without prompt_toolkit's `run_in_terminal`, which gives the
terminal its echo back for the time: keys typed then would stand on the screen.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import contextvars
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import ANSI
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import (
    BufferControl,
    ConditionalContainer,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.processors import BeforeInput
from prompt_toolkit.output import ColorDepth, Output, create_output
from prompt_toolkit.widgets import SearchToolbar

from console import FRAME_BEGINS, FRAME_ENDS, screen_size
from editor import (
    PENDING_ROWS_MAX,
    Completer,
    Completion,
    clean,
    pasted_lines,
    pending_rows,
    shortened,
)
from terminal import PROMPT, Part, Terminal, rendered

if sys.platform != "win32":
    from prompt_toolkit.output.vt100 import Vt100_Output

    from console import KeyMode

QUEUE_LINES_MAX = 1000
"""Lines that wait for the event loop to print them; then who shows more waits, as with `print`."""


INTERRUPTIONS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""Signals whose handlers may raise: that is how the client is told to end."""


class PromptToolkitTerminal(Terminal):
    """Its own small application: that of `PromptSession` asks the terminal where the cursor is,
    and shows its toolbar only when the answer has come, so that it blinks with each line shown."""

    kind = "prompt_toolkit"

    def __init__(
        self, completer: Completer | None = None, colours: bool = False, prompt: str = PROMPT
    ) -> None:
        super().__init__(colours)
        self._completion = Completion(completer)
        self._entered: deque[str] = deque()
        self._pending: Sequence[str] = ()
        self._status = ""
        # Guards what other threads change.
        self._changed = threading.Condition()
        self._lines: deque[str] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._context = contextvars.copy_context()
        self._in_frame = False
        self._interruption: BaseException | None = None
        self._output: Output
        if sys.platform == "win32":
            self._output = create_output()
        else:
            # Between two lines read, too, keys are not echoed, and Ctrl-C is a signal.
            self._mode = KeyMode(sys.stdin.fileno())
            atexit.register(self.close)
            self._output = Vt100_Output(
                sys.stdout, _size, term=os.environ.get("TERM"), enable_cpr=False
            )
        self._buffer = Buffer(multiline=False, accept_handler=self._accept)
        self._application: Application[str] = Application(
            layout=self._layout(prompt),
            key_bindings=self._key_bindings(),
            color_depth=None if colours else ColorDepth.DEPTH_1_BIT,
            erase_when_done=True,
            max_render_postpone_time=None,
            after_render=self._end_frame,
            output=self._output,
        )

    def _layout(self, prompt: str) -> Layout:
        dim = "ansibrightblack" if self.colours else ""

        def rows(text: Callable[[], str]) -> ConditionalContainer:
            window = Window(FormattedTextControl(text), style=dim, dont_extend_height=True)
            return ConditionalContainer(window, Condition(lambda: bool(text())))

        search = SearchToolbar()
        typed = Window(
            BufferControl(
                self._buffer,
                input_processors=[BeforeInput(prompt)],
                search_buffer_control=search.control,
            ),
            wrap_lines=True,
            dont_extend_height=True,
        )
        return Layout(
            HSplit([rows(self._pending_rows), typed, search, rows(self._status_row)]), typed
        )

    def _key_bindings(self) -> KeyBindings:
        bindings = KeyBindings()

        @bindings.add("c-c")
        def _(event: KeyPressEvent) -> None:
            event.app.exit(exception=KeyboardInterrupt)

        @bindings.add("c-d", filter=Condition(lambda: not self._buffer.text))
        def _(event: KeyPressEvent) -> None:
            event.app.exit(exception=EOFError)

        @bindings.add("c-z")
        def _(event: KeyPressEvent) -> None:
            if sys.platform != "win32":
                run_in_terminal(self._stop)

        @bindings.add("tab")
        def _(event: KeyPressEvent) -> None:
            completed = self._completion.next(self._buffer.text, self._buffer.cursor_position)
            if completed is None:
                self._ring()
            else:
                self._buffer.text, self._buffer.cursor_position = completed

        @bindings.add(Keys.BracketedPaste)
        def _(event: KeyPressEvent) -> None:
            self._paste(event.data)

        return bindings

    def _pending_rows(self) -> str:
        columns, _ = screen_size()
        return "\n".join(pending_rows(self._pending, PENDING_ROWS_MAX, columns - 1))

    def _status_row(self) -> str:
        columns, _ = screen_size()
        return shortened(clean(self._status), columns - 1)

    # --- on the main thread ------------------------------------------------------------------

    def read_line(self) -> str:
        if self._entered:
            return self._entered.popleft()
        try:
            try:
                with self._signals_in_turn():
                    line = self._application.run(
                        pre_run=self._begin, set_exception_handler=False, handle_sigint=False
                    )
            finally:
                self._end()
        except OSError as error:
            raise EOFError from error
        if self._interruption is not None:
            raise self._interruption
        return clean(line)

    @contextlib.contextmanager
    def _signals_in_turn(self) -> Iterator[None]:
        """Calls the handlers of signals between two steps of the event loop.

        They may raise, and what is raised in the midst of a step may be passed over there.
        """
        found = {number: signal.getsignal(number) for number in INTERRUPTIONS}
        # Not those that are ignored, or left to the system: they are numbers.
        handlers = {n: handler for n, handler in found.items() if callable(handler)}
        self._interruption = None

        def handle(number: int) -> None:
            try:
                handlers[number](number, None)
            except BaseException as error:  # a KeyboardInterrupt; raised again in `read_line`
                self._interruption = error
                if not self._application.is_done:
                    self._application.exit(exception=error)

        def relay(number: int, frame: FrameType | None) -> None:
            loop = self._loop
            if loop is None or loop.is_closed():
                handlers[number](number, frame)
            else:
                loop.call_soon_threadsafe(handle, number)

        try:
            for number in handlers:
                signal.signal(number, relay)
            yield
        finally:
            for number, handler in handlers.items():
                signal.signal(number, handler)

    def _begin(self) -> None:
        with self._changed:
            self._loop = asyncio.get_running_loop()
            self._context = contextvars.copy_context()
        # Has its history loaded, which the end of the last run may have broken off.
        self._buffer.reset(self._buffer.document)

    def _end(self) -> None:
        with self._changed:
            self._loop = None
            self._in_frame = False
            self._print()

    if sys.platform != "win32":

        def _stop(self) -> None:
            """Gives the terminal back, stops the process, and goes on when that is let go on."""
            self._mode.leave()
            os.kill(os.getpid(), signal.SIGTSTP)
            self._mode.enter()

    def _accept(self, buffer: Buffer) -> bool:
        self._application.exit(result=buffer.text)
        return False

    def _paste(self, text: str) -> None:
        """Every line that ends in the pasted text is entered, the rest is typed."""
        buffer = self._buffer
        first, *others = pasted_lines(text)
        buffer.insert_text(clean(first))
        if not others:
            return
        entered = [buffer.text, *map(clean, others[:-1])]
        for line in filter(None, entered):
            buffer.history.append_string(line)
        buffer.reset()
        buffer.insert_text(clean(others[-1]))
        self._entered.extend(entered[1:])
        self._application.exit(result=entered[0])

    # --- drawing: on the event loop, or, while there is none, on any thread ------------------

    def _print_above(self) -> None:
        """Prints what is queued above the block, which is then drawn again; in one frame."""
        with self._changed:
            # When the event loop is at its end, `_end` prints them.
            if self._application.is_done or not self._lines:
                return
            if sys.platform != "win32":
                self._in_frame = True
                self._output.write_raw(FRAME_BEGINS)
            try:
                self._application.renderer.erase()
                self._print()
            except OSError:  # the window is closed
                self._application.exit(exception=EOFError)
                return
        self._application.invalidate()

    def _print(self) -> None:
        if self._lines:
            text = "".join(self._lines)
            self._lines.clear()
            self._changed.notify_all()
            self._application.print_text(ANSI(text))

    def _end_frame(self, _: object) -> None:
        if self._in_frame:
            self._in_frame = False
            self._output.write_raw(FRAME_ENDS)
            self._output.flush()

    def _ring(self) -> None:
        self._output.bell()
        self._output.flush()

    # --- on any thread -----------------------------------------------------------------------

    def show(self, *parts: Part, pending: Sequence[str] | None = None) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._loop is None or len(self._lines) < QUEUE_LINES_MAX)
            if pending is not None:
                self._pending = pending
            self._lines.append(rendered(parts, self.colours) + "\n")
            if self._loop is None:
                self._print()
            elif len(self._lines) == 1:
                self._on_loop(self._print_above)

    def set_pending(self, lines: Sequence[str]) -> None:
        with self._changed:
            changed = lines != self._pending
            self._pending = lines
            if changed:
                self._on_loop(self._application.invalidate)

    def set_status(self, text: str) -> None:
        with self._changed:
            if text != self._status:
                self._status = text
                self._on_loop(self._application.invalidate)

    def bell(self) -> None:
        with self._changed:
            if self._loop is None:
                self._ring()
            else:
                self._on_loop(self._ring)

    def _on_loop(self, callback: Callable[[], None]) -> None:
        """Has the event loop call it; one that has just ended does not. Under the lock."""
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(callback, context=self._context.copy())

    def close(self) -> None:
        atexit.unregister(self.close)
        if sys.platform != "win32":
            self._mode.leave()


def _size() -> Size:
    columns, rows = screen_size()
    return Size(rows, columns)
