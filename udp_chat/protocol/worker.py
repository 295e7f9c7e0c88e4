"""The life cycle of an object with a socket and threads: start, work, close, leave nothing behind.

A `Worker` has threads of its own, as a client has. A `Service` is a worker with one piece of work,
which a thread of its own or the caller's thread does, as a server has. Both promise:

- `start` leaves no thread and no socket behind if it raises, or if Ctrl-C interrupts it.
- `close` may be called any number of times, from any thread and from a callback. It ends the
  threads, joins them, and frees what they used once none of them can use it any more.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeVar

from udp_chat.protocol.held_signals import HELD_LOOK_SECONDS, HELD_SIGNALS

W = TypeVar("W", bound="Worker")


class Worker(ABC):
    """Threads that work on the same sockets. A context manager."""

    def __init__(self, works: dict[str, Callable[[], None]], *, daemon: bool = True) -> None:
        """`works` says what each thread does, by the thread's name.

        A process does not wait for `daemon` threads when it ends.
        """
        self._threads = [
            threading.Thread(target=work, name=name, daemon=daemon) for name, work in works.items()
        ]
        # Reentrant, so that a signal handler that calls `close` in the middle of it does not hang.
        self._closing = threading.RLock()
        self._is_closed = False

    def __enter__(self: W) -> W:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Begin to work, once. If it raises, it leaves nothing behind."""
        assert self._threads[0].ident is None, "a worker starts once"
        # Not to be called by an override: an interrupt after the `try` would leave the threads.
        try:
            self._begin()
        except BaseException:  # Ctrl-C too
            self.close()
            raise

    def close(self) -> None:
        """Ends the work and frees everything. Idempotent; returns when that is done.

        On a thread of its own (in a callback) it returns at once if another thread is closing:
        that one waits for the callback.
        """
        self._close(self._ask_to_end)

    def _close(self, ask_to_end: Callable[[], None]) -> None:
        """Does what `close` does, with another way to end the threads."""
        if not self._closing.acquire(blocking=not self._is_own_thread()):
            return
        try:
            if not self._is_closed:
                ask_to_end()
                with HELD_SIGNALS:
                    self._join_threads()
                self._free()
                self._is_closed = True
        finally:
            self._closing.release()

    def _is_own_thread(self) -> bool:
        """Whether one of the worker's threads is calling."""
        return threading.current_thread() in self._threads

    def _begin(self) -> None:
        """What `start` does. It may raise at any point."""
        self._start_threads()

    def _start_threads(self) -> None:
        with HELD_SIGNALS:
            for thread in self._threads:
                thread.start()

    def _join_threads(self) -> None:
        for thread in self._threads:
            while thread is not threading.current_thread() and thread.is_alive():
                thread.join(HELD_LOOK_SECONDS)
                HELD_SIGNALS.check()

    @abstractmethod
    def _ask_to_end(self) -> None:
        """Tells the threads to end, and wakes them. They may not have been started."""

    @abstractmethod
    def _free(self) -> None:
        """Closes the sockets. None of the threads runs any more, but for the caller's own."""


class Service(Worker):
    """A worker with one piece of work: `start` has it done in a new thread and returns at once,
    `serve` does it in the caller's."""

    def __init__(self, name: str) -> None:
        """The thread has this name. A process waits for it when it ends."""
        super().__init__({name: self.serve}, daemon=False)
        self.is_stopping = False
        """Whether `serve` has been told to return."""
        # Held while `serve` runs, so that `close` takes no socket away from under it. Reentrant,
        # so that a signal handler that calls `close` in the middle of `serve` does not hang.
        self._serving = threading.RLock()

    def serve(self) -> None:
        """Serves until `stop` or `close`."""
        with self._serving:
            if not self.is_stopping:
                self._serve()

    def stop(self) -> None:
        """Asks `serve` to say goodbye and return; safe in a signal handler, also after `close`."""
        self.is_stopping = True
        self._wake()

    def _ask_to_end(self) -> None:
        self.stop()

    def _free(self) -> None:
        with self._serving:
            self._close_sockets()

    @abstractmethod
    def _serve(self) -> None:
        """Works until `is_stopping`."""

    @abstractmethod
    def _wake(self) -> None:
        """Ends the wait in `_serve`. The sockets may be closed already."""

    @abstractmethod
    def _close_sockets(self) -> None:
        """Nobody serves any more."""
