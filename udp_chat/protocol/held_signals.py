"""Signals that wait until the main thread can take them.

Python runs the handler of a signal in the main thread, between any two of its steps. A handler that
raises, as that of Ctrl-C does, may so interrupt a `Condition`, an `Event` or the start of a thread
just when it has taken a lock. Then nobody gives that lock back, and the next to want it waits for
ever. So code that uses one of them in the main thread holds signals meanwhile, as `wait_for` does.
A signal that comes is handled by `check`, where no lock is taken, or at the end.
"""

from __future__ import annotations

import signal
import threading
from typing import Any

HELD_LOOK_SECONDS = 0.1
"""How long a wait may last before it checks: a person who presses Ctrl-C notices no more."""

ENDINGS = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
"""The signals whose handlers raise, in a program that is to end. Not every system has them all."""


class HeldSignals:
    """While entered, signals wait. Reentrant; off the main thread it does nothing."""

    def __init__(self) -> None:
        self._depth = 0
        self._handlers: dict[int, Any] = {}
        """Of the signals that are held: who handles them else."""
        self._came: list[int] = []

    def __enter__(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        if not self._depth:
            try:
                self._hold()
            except BaseException:  # one signal came when another was held already
                self._release()
                raise
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            return
        self._depth -= 1
        if not self._depth:
            try:
                self.check()
            finally:
                self._release()

    def check(self) -> None:
        """Lets the signals that have come be handled; raises what their handlers raise."""
        if threading.current_thread() is threading.main_thread():
            while self._came:
                number = self._came.pop(0)
                self._handlers[number](number, None)

    def _hold(self) -> None:
        for name in ENDINGS:
            number = getattr(signal, name, None)
            handler = None if number is None else signal.getsignal(number)
            if number is not None and callable(handler):
                self._handlers[number] = handler
                signal.signal(number, self._note)

    def _note(self, number: int, _: object) -> None:
        self._came.append(number)

    def _release(self) -> None:
        """Gives the signals back, also if one comes and raises meanwhile."""
        came = self._came
        try:
            while self._handlers:
                number, handler = next(iter(self._handlers.items()))
                signal.signal(number, handler)
                del self._handlers[number]
                while number in came:  # since the last check
                    came.remove(number)
                    handler(number, None)
        except BaseException:
            self._release()
            raise


HELD_SIGNALS = HeldSignals()
"""There is one, as there is one main thread."""


def wait_for(event: threading.Event) -> None:
    """Waits for an event; a signal that raises ends the wait."""
    with HELD_SIGNALS:
        while not event.wait(HELD_LOOK_SECONDS):
            HELD_SIGNALS.check()
