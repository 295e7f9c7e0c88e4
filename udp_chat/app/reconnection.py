"""How long the server has been away, and a tick a second while it is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

TICK_SECONDS = 1.0
"""How often the seconds on the screen change."""


class Reconnection:
    """Begins when the server is away, and ends when it is back. Any thread may call it."""

    def __init__(
        self,
        on_tick: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        tick_seconds: float = TICK_SECONDS,
    ) -> None:
        """`on_tick` is called on a thread of its own, which lives while the server is away."""
        self._on_tick = on_tick
        self._clock = clock
        self._tick_seconds = tick_seconds
        self._since: float | None = None
        self._over = threading.Event()

    @property
    def seconds(self) -> int | None:
        """How long the server has been away; None while it is here."""
        since = self._since
        return None if since is None else int(self._clock() - since)

    def begin(self) -> None:
        """The server is away. What has begun goes on."""
        if self._since is None:
            self._since, self._over = self._clock(), threading.Event()
            threading.Thread(
                target=self._tick, args=(self._over,), name="reconnection ticks", daemon=True
            ).start()

    def end(self) -> None:
        """The server is back, or nobody waits for it any more."""
        self._since = None
        self._over.set()

    def _tick(self, over: threading.Event) -> None:
        while not over.wait(self._tick_seconds):
            self._on_tick()
