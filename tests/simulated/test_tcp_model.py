"""The model of TCP does what the RFCs say, as far as it says that it does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.simulated.bottleneck import Bottleneck
from tests.simulated.tcp_model import (
    HEADER_BYTES,
    INITIAL_WINDOW,
    RTO_INITIAL_SECONDS,
    SEGMENT_BYTES_MAX,
    Path,
    connect,
)
from tests.simulated.virtual_clock import VirtualClock

ONE_WAY_SECONDS = 0.02


class Wire(Path):
    """A path that notes what is sent on it, and loses what it is told to."""

    def __init__(self, clock: VirtualClock, bottleneck: Bottleneck | None = None) -> None:
        super().__init__(clock, ONE_WAY_SECONDS, bottleneck)
        self.sent: list[tuple[float, int]] = []
        """When each segment was sent, in ms from the start, and how many bytes of data it had."""
        self.loses: set[int] = set()
        """Which segments, counted from 0."""
        self._began_at = clock.now

    def carry(self, size_bytes: int, arrive: Callable[[], None]) -> None:
        now_ms = round(1000 * (self.clock.now - self._began_at), 6)
        self.sent.append((now_ms, size_bytes - HEADER_BYTES))
        if len(self.sent) - 1 not in self.loses:
            super().carry(size_bytes, arrive)

    @property
    def sizes(self) -> list[int]:
        return [size for _, size in self.sent]


class Connection:
    """Two ends, the wires between them, and what has arrived at the far end."""

    def __init__(self, bottleneck: Bottleneck | None = None) -> None:
        self.clock = VirtualClock()
        self.there, self.back = Wire(self.clock, bottleneck), Wire(self.clock)
        self.near, self.far = connect(self.there, self.back)
        self.counts: list[int] = []
        self.far.on_arrival = self.counts.append

    def write_segments(self, count: int) -> None:
        self.near.write(count * SEGMENT_BYTES_MAX)


def test_what_is_written_goes_out_at_once_and_what_has_to_wait_in_full_segments() -> None:
    connection = Connection()
    for _ in range(40):
        connection.near.write(100)
    assert connection.there.sizes == [100] * INITIAL_WINDOW
    connection.clock.run(1.0)
    assert connection.there.sizes[INITIAL_WINDOW:] == [SEGMENT_BYTES_MAX, SEGMENT_BYTES_MAX, 104]
    assert connection.counts[-1] == 4000


def test_the_window_doubles_with_each_round_trip_until_something_is_lost() -> None:
    connection = Connection()
    connection.write_segments(1000)
    connection.clock.run(0.1)
    flights = [sum(at == when for at, _ in connection.there.sent) for when in (0, 40, 80)]
    assert flights == [10, 20, 40]


def test_two_segments_are_acknowledged_at_once_and_one_after_a_while() -> None:
    connection = Connection()
    connection.write_segments(3)
    connection.clock.run(1.0)
    assert connection.back.sent == [(20, 0), (60, 0)]


def test_an_answer_carries_the_acknowledgement() -> None:
    connection = Connection()
    connection.far.on_arrival = lambda count: connection.far.write(count)
    connection.near.write(100)
    connection.clock.run(1.0)
    assert connection.back.sent == [(20, 100)]
    assert connection.there.sent == [(0, 100), (80, 0)]


def test_losses_of_one_window_halve_it_once_and_are_repaired_within_a_round_trip() -> None:
    connection = Connection()
    connection.there.loses = {2, 4}
    connection.write_segments(10)
    connection.clock.run(1.0)
    assert connection.there.sent[10:] == [(40, SEGMENT_BYTES_MAX)] * 2
    assert connection.counts[-1] == 10 * SEGMENT_BYTES_MAX
    assert connection.near.threshold == (INITIAL_WINDOW + 2) / 2, "two came before the gap"
    assert len(connection.there.sent) == 12


def test_a_repair_that_is_lost_is_repaired_too_before_the_timeout() -> None:
    connection = Connection()
    connection.there.loses = {2, 10}
    connection.write_segments(30)
    connection.clock.run(0.15)
    assert connection.counts[-1] == 30 * SEGMENT_BYTES_MAX


def test_a_lost_end_waits_for_the_timeout_which_backs_off() -> None:
    connection = Connection()
    connection.there.loses = {0, 1, 2}
    connection.near.write(100)
    connection.clock.run(10.0)
    first, second, third, fourth = (at for at, _ in connection.there.sent)
    assert [first, second, third, fourth] == [
        1000 * RTO_INITIAL_SECONDS * times for times in (0, 1, 3, 7)
    ]
    assert connection.counts == [100]
    assert connection.near.threshold == 2, "and the window is small again"


def test_after_a_timeout_the_window_grows_again() -> None:
    connection = Connection()
    connection.there.loses = set(range(10))
    connection.write_segments(100)
    connection.clock.run(3.0)
    assert connection.counts[-1] == 100 * SEGMENT_BYTES_MAX
    assert connection.near.window > INITIAL_WINDOW


def test_a_stream_arrives_whole_and_in_order_whatever_is_lost() -> None:
    connection = Connection()
    connection.there.loses = set(range(0, 1000, 7))
    connection.back.loses = set(range(0, 1000, 5))
    for _ in range(100):
        connection.near.write(777)
        connection.clock.run(0.01)
    connection.clock.run(20.0)
    assert connection.counts == sorted(set(connection.counts))
    assert connection.counts[-1] == 77_700


@pytest.mark.parametrize("rate", [100_000, 400_000, 2_000_000])
def test_a_download_fills_a_link_and_leaves_it_so(rate: int) -> None:
    bottleneck = Bottleneck(rate, 0.2)
    connection = Connection(bottleneck)
    connection.near.write(10**9)
    connection.clock.run(3.0)
    before = connection.counts[-1]
    connection.clock.run(10.0)
    filled = (connection.counts[-1] - before) * (1 + HEADER_BYTES / SEGMENT_BYTES_MAX)
    assert 0.97 < filled / (10 * rate) < 1.03
    assert 0 < bottleneck.dropped_count < 0.1 * bottleneck.carried_count
