"""The standard streams of a command, and files of its lines.

None of them may end a conversation: neither a reader that has gone nor a disk that is full.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any, TextIO

from udp_chat.protocol.held_signals import HELD_SIGNALS

STUCK_SECONDS = 1.0
"""Output that takes nothing for so long has no reader: a client that must end waits no longer."""

INPUT_BYTES_MAX = 65536
"""What is read of the input at once."""

LOOK_SECONDS = 0.1
"""Between two looks at the output of a client that is leaving."""


def forgive_characters() -> None:
    """Makes the streams replace characters that cannot be read or shown, instead of raising.

    A stream that the caller has closed is None, and stays so.
    """
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8", errors="replace")


def piped_lines(bytes_max: int) -> Generator[str | None, None, None]:
    """Lines of a pipe or file; bytes that are not UTF-8 are replaced. None for a line too long.

    Only the main thread may read them.
    """
    rest, is_too_long = b"", False
    with contextlib.closing(_input_pieces()) as pieces:
        for data in pieces:
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                is_whole = not is_too_long and len(line) < bytes_max
                is_too_long = False
                yield _decoded(line) if is_whole else None
            if len(rest) >= bytes_max:
                rest, is_too_long = b"", True
    if rest or is_too_long:
        yield None if is_too_long else _decoded(rest)


def _decoded(line: bytes) -> str:
    return line.decode("utf-8", "replace").rstrip("\r")


def _input_pieces() -> Generator[bytes, None, None]:
    """What comes on stdin, as it comes."""
    if sys.stdin is None:  # the caller closed it
        return
    try:
        number = sys.stdin.fileno()
    except OSError:
        number = None  # no file of the system
    if os.name != "posix" or number is None:
        stream: Any = sys.stdin.buffer  # a BufferedReader: its type does not say so
        while data := stream.read1(INPUT_BYTES_MAX):
            yield data
        return
    # A signal that comes just before a read does not interrupt it. This pipe ends the wait.
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    previous = signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
    try:
        while True:
            ready, _, _ = select.select([number, woken], [], [])
            if woken in ready:
                os.read(woken, INPUT_BYTES_MAX)
            if number in ready:
                data = os.read(number, INPUT_BYTES_MAX)
                if not data:
                    return
                yield data
    finally:
        signal.set_wakeup_fd(previous)
        os.close(woken)
        os.close(waker)


def discard_output() -> None:
    """Nobody reads stdout any more (`… | head`): discards what is still printed.

    Without it, Python would fail again when it flushes stdout at the end.
    """
    # No `with`: it stays open to the end.
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def complain(text: str) -> None:
    """Prints a line on stderr, if there is a stderr that takes it."""
    stderr = sys.stderr
    if stderr is None:  # `print` would use stdout
        return
    with contextlib.suppress(OSError):
        print(text, file=stderr, flush=True)


class LineFile:
    """A file to which lines are appended as they come, until it takes no more. A context manager.

    It then calls `on_failure` once with its name and the reason, and drops later lines. Any thread
    may write. The constructor raises OSError or ValueError.
    """

    def __init__(self, path: str, on_failure: Callable[[str, str], None]) -> None:
        self._path = path
        self._on_failure = on_failure
        self._lock = threading.Lock()
        # No `with`: `__exit__` closes it.
        self._file: TextIO | None = Path(path).open("a", encoding="utf-8")  # noqa: SIM115

    def __enter__(self) -> LineFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write_line(self, text: str) -> None:
        with self._lock:
            if self._file is None:
                return
            try:
                self._file.write(f"{text}\n")
                self._file.flush()
                return
            except OSError as error:
                reason = _reason(error)
                file, self._file = self._file, None
                with contextlib.suppress(OSError):
                    file.close()  # it tries again to write the rest
        self._on_failure(self._path, reason)

    def close(self) -> None:
        """Idempotent. Some file systems report only now that the disk is full."""
        with self._lock:
            file, self._file = self._file, None
        if file is not None:
            try:
                file.close()
            except OSError as error:
                self._on_failure(self._path, _reason(error))


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


# --- output that nobody reads ----------------------------------------------------------------


@contextlib.contextmanager
def letting_go_of_output(
    is_urgent: Callable[[], bool],
    *,
    stuck_seconds: float = STUCK_SECONDS,
    look_seconds: float = LOOK_SECONDS,
) -> Iterator[None]:
    """While entered, and once it is urgent, output that nobody reads is discarded.

    This frees a thread that waits in a write to a full pipe or to a stopped terminal. Every
    `look_seconds` it looks; output is stuck if it takes nothing for `stuck_seconds`. Only the main
    thread may enter, and the handler of SIGTERM must raise nothing meanwhile. On Windows nothing
    happens: a full pipe cannot be seen there.
    """
    streams = _descriptors() if os.name == "posix" else []
    if not streams:
        yield
        return
    over = threading.Event()

    def watch() -> None:
        took_at = dict.fromkeys(streams, time.monotonic())
        while not over.wait(look_seconds):
            now = time.monotonic()
            for number in streams:
                if not is_urgent() or _takes_more(number):
                    took_at[number] = now
                elif now - took_at[number] >= stuck_seconds:
                    _let_go(number)

    thread = threading.Thread(target=watch, name="udp-chat output", daemon=True)
    try:
        with HELD_SIGNALS:
            thread.start()
        yield
    finally:
        with HELD_SIGNALS:
            over.set()
            if thread.ident is not None:
                thread.join()


def _descriptors() -> list[int]:
    """The numbers of stdout and stderr, as far as they are files of this process."""
    numbers = []
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):  # closed, or none at all
            numbers.append(stream.fileno())
    return numbers


def _takes_more(number: int) -> bool:
    return bool(select.select([], [number], [], 0)[1])


def _let_go(number: int) -> None:
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)
    # Only the next write sees the new file. A signal interrupts the one that waits; Python then
    # writes the rest again (PEP 475).
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and thread.ident is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pthread_kill(thread.ident, signal.SIGTERM)
