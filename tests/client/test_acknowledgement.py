"""What a client tells the server about what it has (rule 5): acknowledgements and gap reports."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.machines import SessionBench, of_type
from udp_chat.client.acknowledging import (
    ACK_AGAIN_SECONDS,
    ACK_DELAY_MAX_SECONDS,
    ACK_SLOT_MAX_SECONDS,
    GAP_RETRY_MAX_SECONDS,
    GRACE_MAX_SECONDS,
    GRACE_MIN_SECONDS,
    wait_for_slot,
)
from udp_chat.protocol.packets import (
    Event,
    EventKind,
    Packet,
    Status,
)

ROUNDING = 1e-6
"""Seconds: the server's clock comes in microseconds."""

# --- the client: acknowledging ---------------------------------------------------------------


def _statuses(sent: list[tuple[float, Packet]]) -> list[tuple[float, Status]]:
    return [(at, packet) for at, packet in sent if isinstance(packet, Status)]


def test_what_arrives_is_acknowledged_after_the_told_delay_and_together() -> None:
    bench = SessionBench()
    bench.enter()
    arrived_at = bench.now
    bench.chat("one")
    assert bench.receive(bench.slice(2)) == []
    bench.now += 0.004
    bench.chat("two")
    assert bench.receive(bench.slice(3)) == []
    ((at, status),) = _statuses(bench.advance(0.5))
    assert status.room_ack == status.room_gap_end == 3
    assert status.inbox_ack == status.inbox_gap_end == 1
    assert not status.ask
    assert 0.010 - ROUNDING <= at - arrived_at <= 0.020 + ROUNDING


def test_the_delay_is_the_one_that_the_server_told_last() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("one")
    arrived_at = bench.now
    bench.receive(bench.slice(2, ack_delay_ms=400))
    ((at, _),) = _statuses(bench.advance(1.0))
    assert 0.2 <= at - arrived_at <= 0.4
    bench.chat("two", "three")
    bench.receive(bench.slice(3, 3, ack_delay_ms=400))
    arrived_at = bench.now
    bench.receive(bench.slice(4, 4, ack_delay_ms=20))
    ((at, _),) = _statuses(bench.advance(1.0))
    assert at - arrived_at <= 0.02 + ROUNDING, "it does not wait for the earlier plan"


def test_a_server_that_asks_for_no_delay_gets_acknowledgements_at_once() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("one")
    (status,) = of_type(Status, bench.receive(bench.slice(2, ack_delay_ms=0)))
    assert status.room_ack == 2
    assert _statuses(bench.advance(0.5)) == []


# --- the client: acknowledging in company ----------------------------------------------------


@pytest.mark.parametrize("delay_ms", [5, 8, 20, 100])
def test_clients_acknowledge_at_the_same_moment_of_the_servers_clock(delay_ms: int) -> None:
    """However far each one's clock is from the server's, and however long each one's way."""
    ends = set()
    for seed in range(8):
        bench = SessionBench(seed=seed)
        bench.enter()
        bench.now += 0.1 * seed
        bench.chat("a message for all")
        bench.receive(bench.slice(2, timestamp=987_654_321_012, ack_delay_ms=delay_ms))
        arrived_at = bench.now
        ((at, _),) = _statuses(bench.advance(0.5))
        ends.add(round(at - arrived_at, 6))
    assert len(ends) == 1


@pytest.mark.parametrize("delay_ms", [100, 200, 1000])
def test_so_many_acknowledge_at_once_that_a_receive_buffer_holds_them(delay_ms: int) -> None:
    members = delay_ms  # as this chat's server asks for it
    slots: Counter[int] = Counter()
    for seed in range(members):
        wait = wait_for_slot(delay_ms / 1000, 5000.123, random.Random(seed).random())
        slots[round((5000.123 + wait) / ACK_SLOT_MAX_SECONDS)] += 1
    assert len(slots) == round(delay_ms / 2000 / ACK_SLOT_MAX_SECONDS)
    assert max(slots.values()) < 150


@given(
    st.floats(0.001, ACK_DELAY_MAX_SECONDS),
    st.floats(0.0, 1e9),
    st.floats(0.0, 1.0, exclude_max=True),
)
def test_an_acknowledgement_waits_for_a_slot_in_the_second_half_of_the_delay(
    delay_seconds: float, server_at: float, chance: float
) -> None:
    wait = wait_for_slot(delay_seconds, server_at, chance)
    assert delay_seconds / 2 - ROUNDING <= wait <= delay_seconds
    slots = (server_at + wait) / min(delay_seconds / 2, ACK_SLOT_MAX_SECONDS)
    assert slots == pytest.approx(round(slots), rel=1e-9, abs=1e-3)


@pytest.mark.parametrize("delay_ms", [5, 30, 100, 1000])
@pytest.mark.parametrize("seed", range(3))
def test_no_acknowledgement_is_later_than_the_delay_after_the_first_message(
    delay_ms: int, seed: int
) -> None:
    chance = random.Random(seed)
    bench = SessionBench(seed=seed)
    bench.enter()
    waits, first_at = [], None
    for _ in range(300):
        sent = _statuses(bench.advance(chance.expovariate(2000 / delay_ms)))
        if sent and first_at is not None:
            ((at, _),) = sent
            waits.append(at - first_at)
            first_at = None
        bench.chat("another one")
        bench.receive(bench.slice(len(bench.log), ack_delay_ms=delay_ms))
        first_at = bench.now if first_at is None else first_at
    assert len(waits) > 20
    assert delay_ms / 2000 - ROUNDING <= min(waits)
    assert max(waits) <= delay_ms / 1000 + ROUNDING


# --- the client: what an acknowledgement says ------------------------------------------------


def test_a_probe_is_answered_at_once() -> None:
    bench = SessionBench()
    bench.enter()
    (status,) = of_type(Status, bench.receive(bench.slice(ask=True)))
    assert not status.ask


def test_a_status_echoes_the_newest_timestamp_with_the_time_it_was_held() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("one")
    packet = bench.slice(2)
    bench.receive(packet)
    received_at = bench.now
    ((at, status),) = _statuses(bench.advance(0.5))
    assert status.echoed_timestamp == pytest.approx(
        packet.timestamp + 1e6 * (at - received_at), abs=2
    )


def test_an_overtaken_datagram_does_not_set_the_echo_back() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("one", "two")
    overtaken, newest = bench.slice(2, 2), bench.slice(3, 3)
    bench.receive(newest)
    received_at = bench.now
    bench.now += 0.001
    bench.receive(overtaken)
    ((at, status),) = _statuses(bench.advance(0.5))
    assert status.echoed_timestamp == pytest.approx(
        newest.timestamp + 1e6 * (at - received_at), abs=2
    )


def test_a_repeated_datagram_is_acknowledged_again_but_not_a_copy_that_follows_at_once() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("one")
    bench.receive(bench.slice(2))
    assert len(_statuses(bench.advance(0.02))) == 1
    bench.receive(bench.slice(2))
    assert _statuses(bench.advance(0.5)) == [], "sent before the acknowledgement was known"
    bench.receive(bench.slice(2))
    ((_, status),) = _statuses(bench.advance(0.5))
    assert status.room_ack == 2
    assert bench.session.counters["duplicates"] == 2
    assert ACK_AGAIN_SECONDS > 0.02


def test_an_answer_without_events_is_not_acknowledged() -> None:
    bench = SessionBench()
    bench.enter()
    bench.receive(bench.slice())
    assert bench.advance(2.0) == []


# --- the client: gaps ------------------------------------------------------------------------


def test_what_arrives_out_of_order_is_shown_in_order_and_once() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("two", "three", "four", "five")
    for first, last in ((4, 4), (2, 3), (3, 4), (5, 5), (2, 5)):
        bench.receive(bench.slice(first, last))
    assert [event["text"] for event in bench.shown("chat")] == ["two", "three", "four", "five"]


def test_mere_reordering_is_not_reported() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("one", "two")
    bench.receive(bench.slice(3, 3))
    bench.advance(0.9 * GRACE_MIN_SECONDS)
    bench.receive(bench.slice(2, 2))
    bench.advance(1.0)
    assert bench.session.counters["gap reports"] == 0
    assert all(s.room_gap_end == s.room_ack for s in of_type(Status, (p for _, p in bench.sent)))


@pytest.mark.parametrize(
    ("srtt", "grace"), [(0.0004, GRACE_MIN_SECONDS), (0.04, 0.01), (1.0, GRACE_MAX_SECONDS)]
)
def test_a_gap_is_reported_after_a_quarter_of_the_round_trip(srtt: float, grace: float) -> None:
    bench = SessionBench()
    bench.enter()
    bench.session.rtt.srtt = srtt
    bench.chat("one", "two", "three")
    missed_at = bench.now
    bench.receive(bench.slice(4, 4, ack_delay_ms=60_000))
    (at, status), *_ = _statuses(bench.advance(0.06))
    assert at - missed_at == pytest.approx(grace)
    assert (status.room_ack, status.room_gap_end) == (1, 3)


def test_a_gap_is_reported_again_with_back_off_up_to_a_second() -> None:
    bench = SessionBench()
    bench.enter()
    rto = bench.session.rtt.rto
    bench.chat("one", "two")
    bench.receive(bench.slice(3, 3, ack_delay_ms=60_000))
    reports = _statuses(bench.advance(4.0))
    waits = [b - a for (a, _), (b, _) in pairwise(reports)]
    expected = [min(rto * 2**n, GAP_RETRY_MAX_SECONDS) for n in range(len(waits))]
    assert len(waits) >= 5
    assert waits == pytest.approx(expected, rel=0.11)
    assert waits != pytest.approx(expected, rel=1e-6), "jitter"
    assert bench.session.counters["gap reports"] == len(reports)


def test_progress_in_a_gap_begins_the_back_off_anew() -> None:
    bench = SessionBench()
    bench.enter()
    rto = bench.session.rtt.rto
    bench.chat("one", "two", "three", "four")
    bench.receive(bench.slice(5, 5))
    bench.advance(2.0)
    bench.receive(bench.slice(2, 2))
    reports = [at for at, s in _statuses(bench.advance(3.0)) if s.room_gap_end > s.room_ack]
    waits = [b - a for a, b in pairwise(reports)]
    assert waits[0] == pytest.approx(rto, rel=0.11)


def test_a_healed_gap_is_not_reported_any_more() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("one", "two")
    bench.receive(bench.slice(3, 3))
    bench.advance(0.1)
    bench.receive(bench.slice(2, 2))
    count = bench.session.counters["gap reports"]
    bench.advance(3.0)
    assert bench.session.counters["gap reports"] == count
    status = bench.newest(Status)
    assert (status.room_ack, status.room_gap_end) == (3, 3)


def test_an_answer_that_says_there_is_more_reveals_the_lost_tail() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("lost on its way")
    bench.receive(bench.slice())
    status = of_type(Status, [packet for _, packet in bench.advance(0.1)])[0]
    assert (status.room_ack, status.room_gap_end) == (1, 2)


def test_an_answer_reveals_the_lost_tail_of_the_inbox() -> None:
    bench = SessionBench()
    bench.enter()
    bench.inbox.append(Event(EventKind.PRIVATE, 5000, "Boris", "Anna", "psst", 8))
    bench.advance(5.5)
    question = bench.newest(Status)
    assert question.ask
    bench.receive(bench.answer(question.timestamp))
    status = of_type(Status, [packet for _, packet in bench.advance(0.1)])[-1]
    assert (status.inbox_ack, status.inbox_gap_end) == (1, 2)


def test_only_the_first_run_of_what_is_missing_is_reported() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat(*"abcdefgh")
    bench.receive(bench.slice(4, 4))
    bench.receive(bench.slice(7, 7))
    status = of_type(Status, [packet for _, packet in bench.advance(0.1)])[0]
    assert (status.room_ack, status.room_gap_end) == (1, 3)
