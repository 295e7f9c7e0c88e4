"""What a member with a full link may have on its way, with numbers for `now`."""

from __future__ import annotations

from itertools import pairwise

import pytest

from udp_chat.protocol.delivery import RttEstimator
from udp_chat.protocol.packets import DATAGRAM_BYTES_MAX
from udp_chat.server.congestion import (
    FULL_QUEUE_SECONDS,
    LIMITED_SECONDS,
    LIMITED_SECONDS_MAX,
    LOWERED,
    MAX_BYTES,
    MIN_BYTES,
    SHORT_QUEUE_SECONDS,
    START_BYTES,
    SendWindow,
)

NOW = 1000.0


def link(base_seconds: float, queue_seconds: float) -> RttEstimator:
    """A link whose shortest round trip is known, and that has such a queue now."""
    rtt = RttEstimator()
    for seconds in (base_seconds, *[base_seconds + queue_seconds] * 3):
        rtt.sample(seconds)
    return rtt


FREE = link(0.02, 0.0)
FULL = link(0.02, 0.1)


def limited() -> SendWindow:
    window = SendWindow()
    window.limit(NOW)
    return window


def test_a_member_is_not_limited_at_first() -> None:
    window = SendWindow()
    assert not window.is_limited
    assert window.bytes == float("inf")


def test_a_limited_member_begins_with_some_datagrams() -> None:
    window = limited()
    assert window.is_limited
    assert window.bytes == START_BYTES


@pytest.mark.parametrize(
    ("base_seconds", "queue_seconds", "is_full"),
    [
        (0.001, 0.9 * FULL_QUEUE_SECONDS, False),
        (0.001, 1.1 * FULL_QUEUE_SECONDS, True),
        (0.2, 0.09, False),  # a long way varies more: half of it
        (0.2, 0.11, True),
    ],
)
def test_a_link_is_full_if_its_queue_is_long(
    base_seconds: float, queue_seconds: float, is_full: bool
) -> None:
    assert SendWindow.is_full(link(base_seconds, queue_seconds), 0.01) == is_full


def test_in_a_large_room_acknowledgements_wait_for_each_other_and_are_no_queue() -> None:
    assert not SendWindow.is_full(link(0.001, 0.09), ack_delay_seconds=1.0)
    assert SendWindow.is_full(link(0.001, 0.11), ack_delay_seconds=1.0)


# --- how it grows and shrinks ----------------------------------------------------------------


def test_with_room_on_the_link_a_window_grows_by_a_datagram_for_each_round_trip() -> None:
    window = limited()
    for _ in range(4):  # a window of acknowledgements: four datagrams
        window.acknowledged(DATAGRAM_BYTES_MAX, FREE, NOW, sharers=7, waits=True)
    assert window.bytes == pytest.approx(START_BYTES + DATAGRAM_BYTES_MAX, rel=0.05)


def test_while_the_queue_is_long_all_that_are_limited_grow_as_one() -> None:
    alone, shared = limited(), limited()
    alone.acknowledged(DATAGRAM_BYTES_MAX, FULL, NOW, sharers=1, waits=True)
    shared.acknowledged(DATAGRAM_BYTES_MAX, FULL, NOW, sharers=5, waits=True)
    assert alone.bytes > START_BYTES
    assert shared.bytes - START_BYTES == pytest.approx((alone.bytes - START_BYTES) / 5)


def test_a_window_that_is_not_used_up_does_not_grow() -> None:
    window = limited()
    window.acknowledged(DATAGRAM_BYTES_MAX, FREE, NOW, sharers=1, waits=False)
    assert window.bytes == START_BYTES


def test_a_window_grows_only_so_far() -> None:
    window = limited()
    for _ in range(100_000):
        window.acknowledged(DATAGRAM_BYTES_MAX, FREE, NOW, sharers=1, waits=True)
    assert window.bytes == MAX_BYTES


def test_a_loss_lowers_the_window_once_for_each_round_trip() -> None:
    window = limited()
    window.lost(FULL, NOW + 2 * FULL.srtt)
    assert window.bytes == pytest.approx(LOWERED * START_BYTES)
    window.lost(FULL, NOW + 2.9 * FULL.srtt)
    assert window.bytes == pytest.approx(LOWERED * START_BYTES), "of the same flight"
    window.lost(FULL, NOW + 3.1 * FULL.srtt)
    assert window.bytes == pytest.approx(LOWERED**2 * START_BYTES)


def test_what_was_lost_before_the_limit_does_not_lower_the_window() -> None:
    window = limited()
    window.lost(FULL, NOW + 0.9 * FULL.srtt)
    assert window.bytes == START_BYTES


def test_a_window_always_holds_a_datagram() -> None:
    window = limited()
    for number in range(50):
        window.lost(FULL, NOW + number)
    assert window.bytes == MIN_BYTES >= DATAGRAM_BYTES_MAX


# --- how it ends -----------------------------------------------------------------------------


def heard(window: SendWindow, rtt: RttEstimator, now: float, *, waits: bool = False) -> None:
    window.acknowledged(100, rtt, now, sharers=1, waits=waits)


def test_a_member_may_be_free_again_when_its_link_has_had_room_for_long_enough() -> None:
    window = limited()
    assert not window.may_end(NOW + 100.0), "it has not shown any"
    heard(window, FREE, NOW + 1.0)
    heard(window, FREE, NOW + 2.0)
    assert not window.may_end(NOW + 0.9 + LIMITED_SECONDS)
    assert window.may_end(NOW + 1.0 + LIMITED_SECONDS)
    window.end(NOW + 1.0 + LIMITED_SECONDS)
    assert not window.is_limited


def test_a_queue_or_something_that_waits_has_the_time_begin_again() -> None:
    for rtt, waits in ((link(0.02, 1.1 * SHORT_QUEUE_SECONDS), False), (FREE, True)):
        window = limited()
        heard(window, FREE, NOW)
        heard(window, rtt, NOW + 1.0, waits=waits)
        assert not window.may_end(NOW + LIMITED_SECONDS)
        heard(window, FREE, NOW + 1.5)
        assert not window.may_end(NOW + 1.4 + LIMITED_SECONDS)
        assert window.may_end(NOW + 1.5 + LIMITED_SECONDS)


def time_to_be_free(window: SendWindow, now: float) -> float:
    """How long the link must have room until the member may be free."""
    heard(window, FREE, now)
    seconds = 0.0
    while not window.may_end(now + seconds):
        seconds += 0.5
    window.end(now + seconds)
    return seconds


def test_each_time_that_this_turns_out_to_be_wrong_the_time_doubles_up_to_a_ceiling() -> None:
    window, now, times = SendWindow(), NOW, []
    for _ in range(7):
        window.limit(now)
        times.append(time_to_be_free(window, now))
        now += times[-1] + 1.0
    assert times[0] == LIMITED_SECONDS
    for before, after in pairwise(times):
        assert after == min(2 * before, LIMITED_SECONDS_MAX)
    assert times[-1] == LIMITED_SECONDS_MAX


def test_after_a_long_time_without_a_limit_the_time_is_the_first_again() -> None:
    window, now = SendWindow(), NOW
    for _ in range(3):
        window.limit(now)
        now += time_to_be_free(window, now) + 1.0
    window.limit(now + 1000.0)
    assert time_to_be_free(window, now + 1000.0) == LIMITED_SECONDS


def test_a_member_that_is_limited_again_begins_anew() -> None:
    window = limited()
    for number in range(1, 9):
        window.lost(FULL, NOW + number)
    heard(window, FREE, NOW + 10.0)
    window.end(NOW + 20.0)
    window.limit(NOW + 21.0)
    assert window.bytes == START_BYTES
    assert not window.may_end(NOW + 100.0)
