"""What the room sends more than once before anything is known to be lost, and when it does not."""

from __future__ import annotations

import pytest

from tests.machines import Peer, RoomBench, Sent
from udp_chat.protocol.delivery import COPY_SPACING_SECONDS
from udp_chat.server.member import REPAIR_BURST
from udp_chat.server.relay import (
    COPIED_RATIO_MAX,
    COPY_EACH,
    REPAIR_COPIES_MAX,
    ROOM_AFTER_SECONDS,
)


@pytest.mark.parametrize(("ratio", "count"), [(0.1, 1), (0.3, 2), (0.7, 3)])
def test_in_a_busy_room_a_tail_repair_is_copied_as_the_link_loses(ratio: float, count: int) -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.talk(anna)
    anna.member.loss.prior = 1.0
    anna.member.loss.prior = ratio / anna.member.loss.ratio
    assert anna.member.loss.ratio == pytest.approx(ratio)
    anna.say("hello")
    times = [at for at, _ in anna.slices(bench.advance(0.4))]
    assert times == pytest.approx([times[0] + n * COPY_SPACING_SECONDS for n in range(count)])


def _repairs_of_one(bench: RoomBench, anna: Peer, wait_seconds: float) -> int:
    """Says something that gets lost, as does each repair until so much later."""
    bench.now += 0.5
    sent = anna.say("hello")
    return len(anna.slices([s for s in sent + bench.advance(wait_seconds) if s.packet.repair]))  # type: ignore[union-attr]


def test_in_a_calm_room_a_repair_has_copies_though_the_link_loses_little() -> None:
    """They cost next to nothing there, and a second timeout costs everybody the time."""
    bench = RoomBench()
    anna = bench.join("Anna")
    assert _repairs_of_one(bench, anna, 0.4) > 1
    assert anna.member.loss.ratio == 0.0


def test_a_repair_that_fails_has_the_next_ones_copied_more_often() -> None:
    fresh, bench = RoomBench(), RoomBench()
    anna = bench.join("Anna")
    count = _repairs_of_one(fresh, fresh.join("Anna"), 0.4)
    assert _repairs_of_one(bench, anna, 0.8) == count + (count + 1)
    anna.status()
    for _ in range(10):
        _repairs_of_one(bench, anna, 1.0)
        anna.status()
    assert _repairs_of_one(bench, anna, 0.4) >= REPAIR_COPIES_MAX - 1


def test_repairs_that_arrive_have_the_next_ones_copied_less_often() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    copies = []
    for _ in range(40):
        copies.append(_repairs_of_one(bench, anna, 0.4))
        anna.status()
        for _ in range(30):
            bench.now += 0.4
            anna.say("hello")
            anna.status()
    assert copies[0] > 1
    assert copies == sorted(copies, reverse=True), "ever fewer"
    assert copies[-1] == 1


def test_a_copy_is_made_for_the_address_that_the_member_had() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.advance(1.0)
    anna.say("hello")
    sent = bench.advance(0.4)
    assert {s.address for s in sent} == {anna.address}
    assert len(sent) > 1
    assert len({s.datagram for s in sent}) == 1


def test_copies_count_against_the_limit_of_repairs() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.advance(1.0)
    anna.say("hello")
    bench.advance(0.24)
    assert anna.member.position.repair_bucket.take(REPAIR_BURST - 1, bench.now)
    anna.member.position.repair_bucket.rate = 1e-9
    assert len(anna.slices(bench.advance(0.2))) == 1


def test_where_datagrams_wait_in_a_queue_a_repair_has_no_copies_and_comes_later() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    for peer, queue_seconds in ((anna, 0.02), (boris, 0.0)):
        for round_trip in (0.05, *[0.05 + queue_seconds] * 40):
            peer.member.rtt.sample(round_trip)
    bench.now += 0.5
    anna.say("hello")
    said_at = bench.now
    sent = bench.advance(0.12)
    assert len(boris.slices(sent)) > 1
    ((late_at, _),) = anna.slices(sent)
    assert late_at - said_at >= 0.07 + 2 * 0.019
    assert not anna.member.window.is_limited


def _lose(bench: RoomBench, loser: Peer, other: Peer, each: int) -> None:
    """One link loses each so-many-th broadcast, which is then repaired. The other loses none."""
    for number in range(300):
        bench.now += 0.4
        other.say("hello")
        other.status()
        if number % each == 0:
            bench.advance(0.4)
            bench.now += 0.05
        loser.status()


def _copies(bench: RoomBench, speaker: Peer, *peers: Peer) -> list[list[int]]:
    """For each peer and each of eight broadcasts: how many more than one datagram it was sent."""
    copies: list[list[int]] = [[] for _ in peers]
    for _ in range(8):
        bench.now += 0.4
        sent = speaker.say("hello") + bench.advance(1.5 * COPY_SPACING_SECONDS)
        for counts, peer in zip(copies, peers, strict=True):
            counts.append(len(peer.slices(sent)) - 1)
            peer.status()
    return copies


def test_each_fourth_broadcast_is_sent_twice_to_members_whose_link_loses_a_little() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _lose(bench, anna, boris, each=20)
    to_anna, to_boris = _copies(bench, boris, anna, boris)
    assert sorted(to_anna) == [0] * 6 + [1] * 2
    first = to_anna.index(1)
    assert to_anna[first + COPY_EACH] == 1
    assert to_boris == [0] * 8


def test_a_copy_of_a_broadcast_counts_as_sent_to_those_who_get_it() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _lose(bench, anna, boris, each=20)
    before = [peer.member.traffic.sent_alone for peer in (anna, boris)]
    _copies(bench, boris, anna, boris)
    after = [peer.member.traffic.sent_alone for peer in (anna, boris)]
    assert [b - a for a, b in zip(before, after, strict=True)] == [2, 0]


def test_members_whose_link_loses_much_get_no_copies_of_broadcasts() -> None:
    """There the repairs decide how late the latest are, and are copied instead."""
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _lose(bench, anna, boris, each=4)
    assert anna.member.loss.ratio > COPIED_RATIO_MAX
    assert _copies(bench, boris, anna) == [[0] * 8]


def test_a_newcomers_link_counts_as_like_the_others() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _lose(bench, anna, boris, each=20)
    vera = bench.join("Vera")
    assert sum(_copies(bench, boris, vera, anna, boris)[0]) == 2


def test_where_no_link_loses_no_broadcast_is_copied() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _lose(bench, anna, boris, each=1000)
    assert _copies(bench, boris, anna, boris) == [[0] * 8] * 2


def test_in_a_busy_room_no_broadcast_is_copied() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _lose(bench, anna, boris, each=20)
    bench.talk(boris, anna)
    sent: list[Sent] = []
    for _ in range(8):
        bench.now += 0.001
        sent += boris.say("hello")
    assert len(anna.slices(sent + bench.advance(COPY_SPACING_SECONDS))) == 8


def test_for_some_time_after_a_queue_was_seen_nothing_is_repeated_or_copied() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _lose(bench, anna, boris, each=20)
    vera = bench.join("Vera")
    for round_trip in (0.01, 0.03, 0.03, 0.03):
        vera.member.rtt.sample(round_trip)
    vera.status()
    until = bench.now + ROOM_AFTER_SECONDS
    while bench.now + 0.1 < until:
        bench.now += 0.1
        sent = boris.say("hello") + bench.advance(1.5 * COPY_SPACING_SECONDS)
        ((_, packet),) = anna.slices(sent)
        assert len(packet.events) == 1, "no copy, and nothing repeated"
        anna.status()
    bench.now = until + 0.1
    boris.say("hello")
    assert 1 in _copies(bench, boris, anna)[0]


def test_acknowledgements_lower_the_estimate_of_loss_and_repairs_that_were_needed_raise_it() -> (
    None
):
    bench = RoomBench()
    anna = bench.join("Anna")
    _repairs_of_one(bench, anna, 0.4)
    assert anna.member.loss.ratio == 0.0, "it may just be late"
    anna.status()
    after_repair = anna.member.loss.ratio
    assert after_repair > 0.0
    anna.say("hello")
    anna.status()
    after_ack = anna.member.loss.ratio
    assert after_ack < after_repair
    anna.status()
    assert anna.member.loss.ratio == after_ack, "it says nothing new"


def test_a_loss_behind_a_queue_says_nothing_of_the_links_luck() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    for round_trip in (0.02, *[0.04] * 3):
        anna.member.rtt.sample(round_trip)
    assert _repairs_of_one(bench, anna, 0.4)
    anna.status()
    assert not anna.member.window.is_limited
    assert anna.member.loss.ratio == 0.0


def test_a_repair_that_was_not_needed_is_no_loss() -> None:
    """What comes within less than a round trip of it answers what was sent before."""
    bench = RoomBench()
    anna = bench.join("Anna")
    for _ in range(20):
        anna.member.rtt.sample(0.1)
    bench.now += 0.5
    anna.say("hello")
    while not bench.room.counters["tail repairs"]:
        bench.advance(0.01)
    bench.now += 0.05
    anna.status()
    assert anna.member.loss.ratio == 0.0
