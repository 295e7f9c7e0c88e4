"""The model of TCP does what the RFCs say, as far as it says it does."""

from __future__ import annotations

import pytest

from tests.simulated.bottleneck import Bottleneck
from tests.simulated.tcp_model import (
    DELAYED_ACK_SECONDS,
    HEADER_BYTES,
    INITIAL_WINDOW,
    SEGMENT_BYTES_MAX,
    Path,
    TcpEnd,
    connect,
)
from tests.simulated.virtual_clock import VirtualClock

ONE_WAY_SECONDS = 0.02


class Wire(Path):
    """A path that notes what it carries, and loses what it is told to."""

    def __init__(self, clock: VirtualClock, bottleneck: Bottleneck | None = None) -> None:
        super().__init__(clock, ONE_WAY_SECONDS, bottleneck)
        self.carried: list[tuple[float, int]] = []
        """When each segment was sent, from the first on, and its bytes without headers."""
        self.loses: set[int] = set()
        """Which are lost, counted from 0."""
        self._began_at = clock.now

    def carry(self, size_bytes: int, arrive: object) -> None:
        number = len(self.carried)
        self.carried.append((self.clock.now - self._began_at, size_bytes - HEADER_BYTES))
        if number not in self.loses:
            super().carry(size_bytes, arrive)  # type: ignore[arg-type]

    @property
    def sizes(self) -> list[int]:
        return [size for _, size in self.carried]


class Connection:
    """Two ends and what the far one has received."""

    def __init__(self, there: Bottleneck | None = None) -> None:
        self.clock = VirtualClock()
        self.there, self.back = Wire(self.clock, there), Wire(self.clock)
        self.near, self.far = connect(self.there, self.back)
        self.arrivals: list[tuple[float, int]] = []
        began_at = self.clock.now
        self.far.on_arrival = lambda count: self.arrivals.append(
            (self.clock.now - began_at, count)
        )

    @property
    def received(self) -> int:
        return self.arrivals[-1][1] if self.arrivals else 0
