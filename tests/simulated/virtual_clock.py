"""A clock that jumps from one planned action to the next, so that an hour takes seconds."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable

STEPS_AT_ONE_INSTANT_MAX = 2000
"""More steps without time passing would be two machines talking in circles."""


class VirtualClock:
    """The time `now`, in seconds, and what is planned. Actions of one instant run in order."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._order = itertools.count()
        self._planned: list[tuple[float, int, Callable[[], object]]] = []
        self._instant_steps = 0

    def at(self, when: float, action: Callable[[], object]) -> None:
        """Has something happen at a time of the virtual clock."""
        heapq.heappush(self._planned, (when, next(self._order), action))

    def run(self, seconds: float) -> None:
        """Lets so much virtual time pass."""
        until = self.now + seconds
        while self._planned and self._planned[0][0] <= until:
            when, _, action = heapq.heappop(self._planned)
            if when > self.now:
                self.now = when
                self._instant_steps = 0
            self._instant_steps += 1
            assert self._instant_steps < STEPS_AT_ONE_INSTANT_MAX, "talking in circles"
            action()
        self.now = until

    def run_until(self, condition: Callable[[], bool], limit_seconds: float) -> float:
        """Lets time pass until something holds; returns how long it took."""
        began_at = self.now
        while not condition():
            assert self.now - began_at < limit_seconds, "did not come about in time"
            upcoming = self._planned[0][0] if self._planned else self.now + limit_seconds
            self.run(max(upcoming - self.now, 1e-6))
        return self.now - began_at
