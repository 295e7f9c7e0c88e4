"""What the room sends again, when, and how often."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.machines import Peer, RoomBench, Sent, of_type
from udp_chat.protocol.delivery import (
    COPY_SPACING_SECONDS,
    RTO_INITIAL_SECONDS,
    RTO_MAX_SECONDS,
    RTO_MIN_SECONDS,
)
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    Events,
    MessageKind,
    Welcome,
)
from udp_chat.server.member import REPAIR_BURST, REPAIRS_PER_SECOND
from udp_chat.server.relay import (
    ACK_DELAY_CALM_SECONDS,
    ACK_DELAY_MAX_SECONDS,
    ACK_DELAY_MIN_SECONDS,
    ACK_DELAY_PER_MEMBER_SECONDS,
    REPAIR_COPIES_MAX,
    REPAIR_DATAGRAMS_MAX,
    REPEAT_MAX,
    REPEAT_WITHIN_SECONDS,
)
from udp_chat.server.settings import RoomSettings

# --- the room: the tail ----------------------------------------------------------------------


def test_the_unacknowledged_tail_is_sent_again_after_ack_delay_and_rto() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.status()
    bench.advance(1.0)
    said_at = bench.now
    anna.say("hello")
    boris.status()
    sent = bench.advance(0.4)
    ((at, packet),) = anna.rounds(sent)
    assert [event.text for event in packet.events] == ["hello"]
    assert packet.repair
    due = said_at + ACK_DELAY_CALM_SECONDS + RTO_INITIAL_SECONDS
    assert due - 0.001 <= at <= due + 0.02
    assert boris.slices(sent) == [], "who has acknowledged is left alone"
    assert bench.room.counters["tail repairs"] == 1


def test_a_fast_link_is_repaired_sooner() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    for _ in range(30):
        bench.advance(0.1)
        anna.say("hello")
        anna.status(echoed_timestamp=int((bench.now - 0.002) * 1e6))
    bench.advance(0.1)
    assert anna.member.rtt.srtt == pytest.approx(0.002, rel=0.1)
    said_at = bench.now
    anna.say("hello")
    (at, _), *_ = anna.slices(bench.advance(0.5))
    assert at - said_at < 0.02, "in a calm room without a floor"


def test_in_a_busy_room_a_repair_comes_no_sooner_than_the_floor_of_the_timeout() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    for _ in range(30):
        anna.member.rtt.sample(0.002)
    bench.talk(anna)
    bench.now += 0.001
    said_at = bench.now
    anna.say("hello")
    (at, _), *_ = anna.slices(bench.advance(0.5))
    assert 0.99 * RTO_MIN_SECONDS < at - said_at - ACK_DELAY_MIN_SECONDS < RTO_MIN_SECONDS + 0.02


def test_the_tail_is_sent_again_with_back_off_up_to_the_ceiling() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.advance(1.0)
    anna.say("hello")
    times = [at for at, _ in anna.rounds(bench.advance(11.0))]
    waits = [b - a for a, b in pairwise(times)]
    rto = anna.member.rtt.rto
    expected = [min(rto * 2**n, RTO_MAX_SECONDS) + ACK_DELAY_CALM_SECONDS for n in range(6)]
    assert expected[-1] > RTO_MAX_SECONDS
    copies_seconds = REPAIR_COPIES_MAX * COPY_SPACING_SECONDS
    assert waits[: len(expected)] == pytest.approx(expected, abs=0.02 + copies_seconds)


def test_progress_ends_the_back_off() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.advance(1.0)
    anna.say("one", "two")
    bench.advance(3.0)
    assert anna.member.position.attempts >= 3
    anna.status(room_ack=2)
    repairs = anna.rounds(bench.advance(4.0))
    assert repairs[0][1].first == 3
    copies_seconds = REPAIR_COPIES_MAX * COPY_SPACING_SECONDS
    wait_seconds = repairs[1][0] - repairs[0][0]
    assert RTO_INITIAL_SECONDS <= wait_seconds < RTO_INITIAL_SECONDS + 0.02 + copies_seconds


def test_the_tail_is_repaired_from_the_acknowledgement_on_one_datagram_at_a_time() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    for _ in range(10):
        anna.say("x" * 400)
    anna.status(room_ack=4)
    ((_, packet),) = anna.rounds(bench.advance(0.35))
    assert (packet.first, len(packet.events)) == (5, 2)


def test_nothing_is_repaired_after_it_was_acknowledged() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.say("hello")
    bench.advance(0.02)
    anna.status()
    assert bench.advance(10.0) == []
    assert bench.room.counters["tail repairs"] == 0


def test_an_acknowledgement_that_was_overtaken_takes_nothing_back() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.say("one", "two")
    anna.status()
    anna.status(room_ack=1, inbox_ack=0)
    assert anna.member.position.acked == 3
    assert anna.member.inbox.acked == anna.member.inbox.log.latest


def test_a_late_or_replayed_status_acknowledges_nothing() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.say("one")
    late = anna.status_packet()
    anna.status(room_ack=1)
    assert anna.send(replace(late, ask=True)) == []
    assert anna.member.position.acked == 1
    assert bench.room.counters["stale"] == 1


@pytest.mark.parametrize("field", ["room_ack", "inbox_ack"])
@pytest.mark.parametrize("ahead", [1, 2**64])
def test_an_acknowledgement_of_what_was_never_said_is_dropped(field: str, ahead: int) -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    latest = {"room_ack": bench.room.log.latest, "inbox_ack": anna.member.inbox.log.latest}
    before = bench.state()
    anna.status(**{field: min(latest[field] + ahead, 2**64 - 1)})
    assert bench.state() == before
    assert bench.room.counters["impossible acknowledgement"] == 1


def test_the_inbox_is_repaired_like_the_room() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.advance(1.0)
    said_at = bench.now
    anna.say("note", kind=MessageKind.PRIVATE, to="Anna")
    (at, packet), *_ = anna.slices(bench.advance(1.0), inbox=True)
    assert [event.text for event in packet.events] == ["note"]
    assert packet.repair
    assert at - said_at == pytest.approx(ACK_DELAY_MIN_SECONDS + RTO_INITIAL_SECONDS, abs=0.02)
    anna.status()
    assert bench.advance(5.0) == []


def test_what_a_member_has_of_its_inbox_is_forgotten() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.say("a", "b", "c", kind=MessageKind.PRIVATE, to="Anna")
    log = anna.member.inbox.log
    anna.status(inbox_ack=log.latest - 1)
    assert log.entry_count == 1
    anna.status()
    assert log.entry_count == 0
    assert log.bytes_held == 0


def test_a_welcome_whose_history_was_lost_is_repaired_within_an_rto() -> None:
    bench = RoomBench()
    boris = bench.join("Boris")
    boris.say("earlier")
    boris.status()
    anna = bench.peer("Anna")
    joined_at = bench.now
    anna.enter()
    (at, packet), *_ = anna.slices(bench.advance(1.0))
    assert [event.text for event in packet.events] == ["", "earlier", ""]
    assert at - joined_at < 0.4


# --- the room: gaps --------------------------------------------------------------------------


def _with_a_gap(bench: RoomBench, lines: int = 3, size: int = 10) -> Peer:
    """Somebody who got nothing of what was said half a second ago."""
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.status(echoed_timestamp=int((bench.now - 0.04) * 1e6))
    assert anna.member.rtt.srtt == pytest.approx(0.04)
    for number in range(lines):
        boris.say(f"{number} " + "x" * size)
    boris.status()
    bench.now += 0.06
    return anna


def test_a_reported_gap_is_repaired_at_once() -> None:
    bench = RoomBench()
    anna = _with_a_gap(bench)
    sent = anna.status(room_ack=2, room_gap_end=4)
    ((at, packet),) = anna.slices(sent)
    assert at == bench.now
    assert (packet.first, len(packet.events)) == (3, 3)
    assert packet.repair
    assert bench.room.counters["gap repairs"] == 1


def test_a_gap_is_not_repaired_while_what_fills_it_may_be_on_its_way() -> None:
    bench = RoomBench()
    anna = _with_a_gap(bench)
    assert anna.status(room_ack=2, room_gap_end=4)
    bench.now += 0.03
    assert anna.status(room_ack=2, room_gap_end=4) == [], "within one round trip"
    bench.now += 0.01
    assert anna.status(room_ack=2, room_gap_end=4)
    assert bench.room.counters["gap repairs"] == 2


def test_a_gap_before_something_that_has_arrived_is_repaired_however_long_the_round_trip() -> None:
    bench = RoomBench()
    anna = _with_a_gap(bench)
    anna.member.rtt.sample(2.0)
    missing = {"room_ack": 2, "room_gap_end": 4}
    sent_at = bench.room.log.sent_at(3)
    just_later = sent_at + 0.24 * anna.member.rtt.base
    assert anna.status(**missing, echoed_timestamp=int(just_later * 1e6)) == [], "reordered"
    later = sent_at + 0.26 * anna.member.rtt.base
    assert anna.shown(anna.status(**missing, echoed_timestamp=int(later * 1e6)))


def test_a_gap_in_what_was_just_sent_is_waited_for() -> None:
    bench = RoomBench()
    anna = _with_a_gap(bench, lines=0)
    anna.say("hello")
    bench.now += 0.02
    assert anna.status(room_ack=2, room_gap_end=3) == []


def test_a_long_gap_is_repaired_in_bounded_pieces() -> None:
    bench = RoomBench()
    anna = _with_a_gap(bench, lines=40, size=600)
    sent = anna.status(room_ack=2, room_gap_end=42)
    packets = [packet for _, packet in anna.slices(sent)]
    assert [packet.first for packet in packets] == list(range(3, 3 + REPAIR_DATAGRAMS_MAX))


def test_only_as_many_datagrams_as_the_gap_needs_are_sent() -> None:
    bench = RoomBench()
    anna = _with_a_gap(bench, lines=40, size=600)
    sent = anna.status(room_ack=2, room_gap_end=4)
    assert [packet.first for _, packet in anna.slices(sent)] == [3, 4]


def test_a_gap_in_the_inbox_is_repaired_too() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    boris.say("psst", kind=MessageKind.PRIVATE, to="Anna")
    bench.now += 0.3
    log = anna.member.inbox.log
    ((_, packet),) = anna.slices(
        anna.status(inbox_ack=log.latest - 1, inbox_gap_end=log.latest), inbox=True
    )
    assert [event.text for event in packet.events] == ["psst"]


def test_a_repair_says_what_the_log_no_longer_holds() -> None:
    bench = RoomBench(RoomSettings(log_entries_max=10))
    anna = _with_a_gap(bench, lines=30)
    ((_, packet),) = anna.slices(anna.status(room_ack=2, room_gap_end=32))
    assert (packet.oldest, packet.first, packet.latest) == (23, 23, 32)


@pytest.mark.parametrize("log", ["room", "inbox"])
@pytest.mark.parametrize("beyond", [1, 100, 2**64])
def test_a_gap_beyond_the_end_of_the_log_is_no_gap(log: str, beyond: int) -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    latest = bench.room.log.latest if log == "room" else anna.member.inbox.log.latest
    bench.now += 1.0
    assert anna.status(**{f"{log}_gap_end": min(latest + beyond, 2**64 - 1)}) == []
    assert bench.room.counters["gap repairs"] == 0


def test_repairs_to_one_member_are_limited_a_second() -> None:
    bench = RoomBench()
    anna = _with_a_gap(bench, lines=400, size=800)
    before = len(bench.sent)
    began_at = bench.now
    for _ in range(100):
        bench.advance(0.01)
        anna.status(room_ack=2, room_gap_end=402)
    count = len(anna.slices(bench.sent[before:]))
    bound = REPAIR_BURST + REPAIRS_PER_SECOND * (bench.now - began_at) + 1
    assert bound / 2 < count <= bound


def test_repairs_go_on_when_the_limit_allows() -> None:
    """A repair that its limit held back is made when there are tokens again: no silence."""
    bench = RoomBench()
    anna = _with_a_gap(bench)
    assert anna.member.position.repair_bucket.take(REPAIR_BURST, bench.now)
    assert anna.slices(anna.status(room_ack=2, room_gap_end=4)) == []
    assert anna.slices(bench.advance(1.0))


# --- the room: a network that loses ----------------------------------------------------------


def _spoken(bench: RoomBench, speaker: Peer, *texts: str) -> list[Sent]:
    sent: list[Sent] = []
    for text in texts:
        bench.now += 0.001
        sent = speaker.say(text)
    return sent


def test_on_a_network_that_loses_nothing_a_broadcast_carries_only_what_is_new() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    sent = _spoken(bench, anna, "one", "two", "three")
    assert anna.shown(sent) == ["three"]


def _lossy(bench: RoomBench) -> Peer:
    """A room that has just repaired something."""
    anna = _with_a_gap(bench)
    anna.status(room_ack=2, room_gap_end=4)
    bench.now += 0.04
    anna.status()
    return anna


def test_on_a_network_that_loses_a_broadcast_repeats_the_newest_events() -> None:
    bench = RoomBench()
    anna = _lossy(bench)
    sent = _spoken(bench, anna, "one", "two", "three", "four", "five")
    assert anna.shown(sent) == ["two", "three", "four", "five"]
    assert len(anna.shown(sent)) == REPEAT_MAX + 1


def test_old_events_are_not_repeated() -> None:
    bench = RoomBench()
    anna = _lossy(bench)
    _spoken(bench, anna, "one", "two")
    anna.status()
    bench.advance(REPEAT_WITHIN_SECONDS)
    sent = _spoken(bench, anna, "three")
    assert anna.shown(sent) == ["three"]


def test_after_much_talk_without_loss_nothing_is_repeated_any_more() -> None:
    bench = RoomBench()
    anna = _lossy(bench)
    for _ in range(500):
        bench.now += 0.5
        anna.say("hello")
        anna.status()
    sent = _spoken(bench, anna, "one", "two")
    assert anna.shown(sent) == ["two"]


def test_in_a_busy_room_nothing_is_repeated() -> None:
    bench = RoomBench()
    anna = _lossy(bench)
    bench.talk(anna)
    sent = _spoken(bench, anna, "one", "two")
    assert anna.shown(sent) == ["two"]


def test_a_repetition_never_costs_a_datagram_more() -> None:
    bench = RoomBench()
    anna = _lossy(bench)
    _spoken(bench, anna, "x" * 900)
    sent = _spoken(bench, anna, "y" * 900)
    to_anna = [s for s in sent if s.address == anna.address]
    assert len(to_anna) == 1
    assert anna.shown(sent) == ["y" * 900]
    assert all(len(s.datagram) <= DATAGRAM_BYTES_MAX for s in to_anna)


def test_repetitions_never_reach_back_before_the_log() -> None:
    bench = RoomBench(RoomSettings(log_entries_max=2))
    anna = _lossy(bench)
    sent = _spoken(bench, anna, "one", "two", "three")
    assert anna.shown(sent) == ["two", "three"]


# --- the room: the delay of acknowledgements -------------------------------------------------


def test_the_delay_of_acknowledgements_grows_with_the_room_within_bounds() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")

    def told() -> list[float]:
        (packet,) = of_type(Events, anna.status(ask=True))
        (welcome,) = of_type(Welcome, anna.send(anna.join_packet(cookie=anna.challenge())))
        return [packet.ack_delay_ms / 1000, welcome.ack_delay_ms / 1000]

    assert told() == [ACK_DELAY_CALM_SECONDS] * 2, "in a calm room"
    bench.talk(anna)
    assert told() == [ACK_DELAY_MIN_SECONDS] * 2
    for number in range(99):
        bench.join(f"User{number}")
    assert told() == [ACK_DELAY_PER_MEMBER_SECONDS * 100] * 2
    members = bench.room.members
    crowd = dict.fromkeys(range(1, 20_000), anna.member)
    members.update(crowd)
    (packet,) = of_type(Events, anna.status(ask=True))
    assert packet.ack_delay_ms == 1000 * ACK_DELAY_MAX_SECONDS


@pytest.mark.slow
def test_the_room_waits_longer_with_the_delay_it_told() -> None:
    bench = RoomBench()
    for number in range(500):
        bench.join(f"User{number}").status()
    anna = bench.join("Anna")
    bench.advance(0.01)
    said_at = bench.now
    anna.say("hello")
    waits_seconds = ACK_DELAY_PER_MEMBER_SECONDS * 501 + RTO_INITIAL_SECONDS
    assert anna.slices(bench.advance(waits_seconds - 0.02)) == [], "it may still be on its way"
    (at, _), *_ = anna.slices(bench.advance(0.1))
    assert at - said_at == pytest.approx(waits_seconds, abs=0.02)


def test_an_echoed_timestamp_measures_the_members_round_trip() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.status(echoed_timestamp=int((bench.now - 0.03) * 1e6))
    assert anna.member.rtt.srtt == pytest.approx(0.03)
    anna.status(echoed_timestamp=int((bench.now + 5.0) * 1e6))
    anna.status(echoed_timestamp=1)
    anna.status(echoed_timestamp=2**64 - 1)
    assert anna.member.rtt.srtt == pytest.approx(0.03), "impossible round trips are no samples"


def test_the_room_does_not_wake_up_for_messages_that_all_have_acknowledged() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    bench.keep_alive(1.0, anna, boris)
    for number in range(20):
        bench.advance(0.012)
        anna.say(f"message {number}")
    anna.status()
    boris.status()
    woken_at = []
    while (at := bench.room.next_timeout()) is not None and at < bench.now + 1.0:
        woken_at.append(at)
        bench.advance(at - bench.now)
    assert len(woken_at) <= 2
