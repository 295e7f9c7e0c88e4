"""What the room sends to members whose links are full, and what it takes in meanwhile."""

from __future__ import annotations

import pytest

from tests.machines import Peer, RoomBench, of_type
from udp_chat.protocol.packets import Answer, Events
from udp_chat.server.congestion import LIMITED_SECONDS, LOWERED, START_BYTES
from udp_chat.server.relay import FREE_EACH_SECONDS
from udp_chat.server.settings import RoomSettings

BASE_SECONDS = 0.02
FULL_SECONDS = 0.2
"""Round trips on the link of these tests: without a queue, and with a long one."""


def answer(bench: RoomBench, peer: Peer, rtt_seconds: float, **fields: int) -> list[Events]:
    """A STATUS that says how long the round trip was; what the room sent to this peer then."""
    echo = int((bench.now - rtt_seconds) * 1e6)
    return of_type(Events, peer.got(peer.status(echoed_timestamp=echo, **fields)))


def fill(bench: RoomBench, speaker: Peer, *peers: Peer) -> None:
    """Has the round trips of these peers grow, and stay long."""
    for rtt_seconds in (BASE_SECONDS, *[FULL_SECONDS] * 3):
        bench.now += 0.5
        speaker.say("hello")
        for peer in peers:
            answer(bench, peer, rtt_seconds)
        speaker.status()
    assert all(peer.member.window.is_limited for peer in peers)


def full_room() -> tuple[RoomBench, Peer, Peer]:
    """Anna's link is full, Boris's is not."""
    bench = RoomBench(RoomSettings(message_rate=0))
    anna, boris = bench.join("Anna"), bench.join("Boris")
    fill(bench, boris, anna)
    bench.now += 0.5
    return bench, anna, boris


def free(bench: RoomBench, speaker: Peer, *peers: Peer, seconds: float) -> None:
    """Has the links of these peers show room for so long."""
    until = bench.now + seconds
    while bench.now < until:
        bench.now += 0.1
        speaker.say("hello")
        speaker.status()
        for peer in peers:
            answer(bench, peer, BASE_SECONDS)


# --- who is limited --------------------------------------------------------------------------


def test_a_member_whose_round_trip_grows_is_sent_what_it_alone_can_take() -> None:
    bench, anna, boris = full_room()
    assert bench.room.counters["full links"] == 1
    sent = boris.say("one")
    ((_, to_anna),) = anna.slices(sent)
    ((_, to_boris),) = boris.slices(sent)
    assert [e.text for e in to_anna.events] == [e.text for e in to_boris.events] == ["one"]
    assert to_anna.ask, "so that its acknowledgement comes at once"
    assert not to_boris.ask
    assert not boris.member.window.is_limited


def test_what_was_broadcast_before_the_limit_is_not_sent_again() -> None:
    bench = RoomBench(RoomSettings(message_rate=0))
    anna, boris = bench.join("Anna"), bench.join("Boris")
    for rtt_seconds in (BASE_SECONDS, *[FULL_SECONDS] * 3):
        before = bench.room.log.latest
        sent = boris.say("one") + boris.say("two")
        assert anna.shown(sent) == ["one", "two"]
        packets = answer(bench, anna, rtt_seconds, room_ack=before + 1)
        assert packets == []
    assert anna.member.window.is_limited
    assert anna.shown(boris.say("three")) == [], "it is on its way"
    (packet,) = answer(bench, anna, FULL_SECONDS, room_ack=bench.room.log.latest - 1)
    assert [event.text for event in packet.events] == ["three"]


@pytest.mark.parametrize(("queue_seconds", "asked"), [(0.49, 0), (0.51, 1)])
def test_a_member_that_may_have_stood_still_is_asked_what_it_has_lost(
    queue_seconds: float, asked: int
) -> None:
    bench = RoomBench(RoomSettings(message_rate=0))
    anna, boris = bench.join("Anna"), bench.join("Boris")
    answer(bench, anna, BASE_SECONDS)
    packets = []
    for _ in range(3):
        bench.now += 0.1
        boris.say("hello")
        late_seconds = BASE_SECONDS + queue_seconds
        packets = answer(bench, anna, late_seconds, room_ack=anna.member.position.acked + 1)
    assert anna.member.window.is_limited
    assert [packet.ask for packet in packets] == [True] * asked
    assert [packet.events for packet in packets] == [()] * asked


def test_a_late_answer_limits_nobody() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    for rtt_seconds in (*[BASE_SECONDS] * 3, FULL_SECONDS, FULL_SECONDS, BASE_SECONDS):
        boris.say("hello")
        answer(bench, anna, rtt_seconds)
    assert not anna.member.window.is_limited
    assert bench.room.counters["full links"] == 0


def test_a_slow_member_does_not_hold_up_the_others() -> None:
    _, anna, boris = full_room()
    texts = [f"line {number}" for number in range(20)]
    sent = [s for text in texts for s in boris.say(text)]
    assert boris.shown(sent) == texts
    assert anna.shown(sent) == texts[:1]


def test_all_that_the_limited_member_was_sent_is_counted() -> None:
    bench = RoomBench()
    boris, anna = bench.join("Boris"), bench.peer("Anna")
    anna.enter()
    anna.status()
    fill(bench, boris, anna)
    for _ in range(5):
        bench.now += 0.5
        boris.say("hello")
        boris.status()
        answer(bench, anna, FULL_SECONDS)
    (packet,) = answer(bench, anna, FULL_SECONDS, ask=True)
    assert packet.answer is not None
    assert packet.answer.sent_count == len(of_type(Events, anna.got(bench.sent))) - 1


# --- what it is sent -------------------------------------------------------------------------


def test_what_is_said_while_something_is_on_its_way_goes_out_together() -> None:
    """Nagle's algorithm."""
    bench, anna, boris = full_room()
    sent = boris.say("one") + boris.say("two") + boris.say("three")
    assert anna.shown(sent) == ["one"]
    bench.now += 0.1
    (packet,) = answer(bench, anna, FULL_SECONDS, room_ack=bench.room.log.latest - 2)
    assert [event.text for event in packet.events] == ["two", "three"]


def test_full_datagrams_go_out_as_far_as_the_window_allows() -> None:
    _, anna, boris = full_room()
    sent = [s for _ in range(20) for s in boris.say("x" * 900)]
    assert 1 < len(anna.slices(sent)) <= START_BYTES / 900
    assert len(boris.slices(sent)) == 20


def test_an_acknowledgement_has_as_much_follow_as_it_makes_room_for() -> None:
    bench, anna, boris = full_room()
    before = bench.room.log.latest
    on_way = len(anna.slices([s for _ in range(20) for s in boris.say("x" * 900)]))
    bench.now += 0.1
    following = answer(bench, anna, FULL_SECONDS, room_ack=before + 2)
    assert len(following) in (2, 3), "and a little more, as the window grows"
    first = before + on_way + 1
    assert [packet.first for packet in following] == [*range(first, first + len(following))]


def test_what_waits_for_the_window_is_not_told_as_missing() -> None:
    bench, anna, boris = full_room()
    before = bench.room.log.latest
    sent = [s for _ in range(20) for s in boris.say("x" * 900)]
    for number, (_, packet) in enumerate(anna.slices(sent), before + 1):
        assert packet.latest == number
    (packet,) = answer(bench, anna, FULL_SECONDS, room_ack=before, ask=True)
    assert packet.latest == before + len(anna.slices(sent)) < bench.room.log.latest


def answer_block(packets: list[Events]) -> Answer:
    (found,) = [packet.answer for packet in packets if packet.answer is not None]
    return found


def test_a_message_whose_echo_waits_for_the_window_is_not_told_as_appended() -> None:
    """The client takes what is appended for what it was sent."""
    bench, anna, boris = full_room()
    before = bench.room.log.latest
    boris.say("on its way")
    anna.say("mine")
    assert bench.texts()[-1] == "mine"
    told = answer_block(answer(bench, anna, FULL_SECONDS, room_ack=before, ask=True))
    assert (told.received, told.appended) == (1, 0)
    (echo,) = answer(bench, anna, FULL_SECONDS, room_ack=before + 1)
    assert [event.text for event in echo.events] == ["mine"]
    told = answer_block(answer(bench, anna, FULL_SECONDS, ask=True))
    assert (told.received, told.appended) == (1, 1)


# --- loss ------------------------------------------------------------------------------------


def test_after_a_timeout_what_was_on_its_way_goes_out_again_as_the_window_allows() -> None:
    bench, anna, boris = full_room()
    before = bench.room.log.latest
    pushed = anna.slices([s for _ in range(20) for s in boris.say("x" * 900)])
    assert len(pushed) > 1
    boris.status()
    repaired = anna.member.traffic.repaired
    sent = bench.advance(1.2)
    flights: dict[float, list[int]] = {}
    for at, packet in anna.slices(sent):
        assert packet.repair
        assert packet.latest == before + len(pushed), "what waits is not missing yet"
        flights.setdefault(at, []).append(packet.first)
    first, second, *_ = flights.values()
    assert first == [packet.first for _, packet in pushed]
    assert second == first[: len(second)]
    assert len(second) < len(first), "the window is smaller after a loss"
    assert anna.member.window.bytes <= LOWERED * START_BYTES
    assert anna.member.traffic.repaired - repaired == len(anna.slices(sent))


def test_a_repair_on_a_full_link_has_no_copies() -> None:
    bench, anna, boris = full_room()
    anna.member.loss.prior = 0.5
    boris.say("one")
    boris.status()
    sent = bench.advance(1.2)
    assert anna.slices(sent) == anna.rounds(sent)
    assert anna.slices(sent)


def test_of_a_reported_gap_on_a_full_link_no_more_goes_out_than_is_missing() -> None:
    bench, anna, boris = full_room()
    before = bench.room.log.latest
    for _ in range(20):
        boris.say("x" * 900)
    bench.now += 1.0
    packets = of_type(Events, anna.got(anna.status(room_ack=before, room_gap_end=before + 2)))
    assert all(packet.repair for packet in packets)
    assert [packet.first for packet in packets] == [before + 1, before + 2]
    assert anna.member.window.bytes == LOWERED * START_BYTES


def test_a_loss_on_a_full_link_says_nothing_of_its_luck() -> None:
    bench, anna, boris = full_room()
    boris.say("one")
    bench.advance(2.0)
    assert bench.room.counters["tail repairs"] > 0
    before = anna.member.loss.ratio
    answer(bench, anna, FULL_SECONDS)
    assert anna.member.loss.ratio == before


def test_what_the_log_no_longer_holds_is_left_out() -> None:
    bench = RoomBench(RoomSettings(log_entries_max=10, message_rate=0))
    anna, boris = bench.join("Anna"), bench.join("Boris")
    fill(bench, boris, anna)
    before = bench.room.log.latest
    texts = [f"line {number}" for number in range(50)]
    packets = [packet for text in texts for _, packet in anna.slices(boris.say(text))]
    packets += answer(bench, anna, FULL_SECONDS, room_ack=before + 1)
    assert all(packet.first >= packet.oldest for packet in packets)
    assert 1 < len(packets) < 10
    packets += answer(bench, anna, FULL_SECONDS, room_ack=packets[-1].latest)
    assert packets[-1].events[-1].text == texts[-1]


# --- how it ends -----------------------------------------------------------------------------


def test_a_member_whose_link_has_had_room_for_some_time_gets_every_broadcast_again() -> None:
    bench, anna, boris = full_room()
    free(bench, boris, anna, seconds=0.8 * LIMITED_SECONDS)
    assert anna.member.window.is_limited
    free(bench, boris, anna, seconds=LIMITED_SECONDS)
    assert not anna.member.window.is_limited
    assert bench.room.counters["freed links"] == 1
    sent = boris.say("one") + boris.say("two")
    assert anna.shown(sent) == ["one", "two"]
    assert len({s.datagram for s in sent}) == 2, "the same bytes for both"


def test_a_member_that_is_freed_is_sent_what_waited_at_once() -> None:
    bench, anna, boris = full_room()
    shown: list[str] = []
    number = 0
    while anna.member.window.is_limited:
        bench.now += 0.1
        latest = bench.room.log.latest
        texts = [f"{number} first", f"{number} second"]
        shown = anna.shown([s for text in texts for s in boris.say(text)])
        assert shown == texts[:1]
        boris.status()
        packets = answer(bench, anna, BASE_SECONDS, room_ack=latest + 1)
        assert [e.text for packet in packets for e in packet.events] == texts[1:]
        answer(bench, anna, BASE_SECONDS)
        number += 1
    assert number > LIMITED_SECONDS / 0.1 / 2


def test_members_are_freed_one_by_one() -> None:
    """If they share a link, all together would fill it at once."""
    bench = RoomBench(RoomSettings(message_rate=0))
    boris, *peers = (bench.join(name) for name in ("Boris", "Anna", "Vera", "Gleb"))
    fill(bench, boris, *peers)
    freed_at: list[float] = []
    for _ in range(100):
        free(bench, boris, *peers, seconds=0.05)
        count = sum(not peer.member.window.is_limited for peer in peers)
        freed_at += [bench.now] * (count - len(freed_at))
    assert len(freed_at) == len(peers)
    assert freed_at[1] - freed_at[0] >= 0.99 * FREE_EACH_SECONDS
    assert freed_at[2] - freed_at[1] >= 0.99 * FREE_EACH_SECONDS


@pytest.mark.parametrize("ending", ["leaves", "times out"])
def test_a_member_that_returns_is_not_limited_any_more(ending: str) -> None:
    bench, anna, boris = full_room()
    for _ in range(5):
        boris.say("x" * 900)
    if ending == "leaves":
        anna.leave()
    else:
        bench.keep_alive(20.0, boris)
    assert "Anna" not in bench.names()
    boris.say("meanwhile")
    anna.resume()
    assert not anna.member.window.is_limited
    for _ in range(3):
        bench.now += 0.3
        sent = boris.say("hello")
        ((_, to_anna),) = [entry for entry in anna.slices(sent) if not entry[1].repair]
        assert to_anna in [packet for _, packet in boris.slices(sent)], "the broadcast"
        answer(bench, anna, BASE_SECONDS)


def test_a_member_that_comes_over_a_longer_way_now_is_not_taken_for_one_with_a_full_link() -> None:
    """Anna goes from the cable to the telephone: there, no round trip is as short as before."""
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    for moves in (False, True):
        if moves:
            anna.address = ("198.51.100.7", 40001)
            anna.resume(next_message_id=1, room_ack=anna.member.position.acked)
            anna.status()
        for _ in range(10):
            bench.now += 0.3
            boris.say("hello")
            answer(bench, anna, 0.15 if moves else 0.002)
            boris.status()
    assert bench.room.counters["moved"] == 1
    assert bench.room.counters["full links"] == 0


# --- what the room takes in ------------------------------------------------------------------


def _crowd(limited_count: int, free_count: int) -> tuple[RoomBench, list[Peer], list[Peer]]:
    bench = RoomBench(RoomSettings(message_rate=0))
    limited = [bench.join(f"Limited{number}") for number in range(limited_count)]
    others = [bench.join(f"Other{number}") for number in range(free_count)]
    fill(bench, others[0], *limited)
    return bench, limited, others


def _says_too_much(speaker: Peer) -> None:
    """More than the windows of limited members take, and than may wait for them."""
    for _ in range(20):
        speaker.say("x" * 900)


def test_while_more_waits_for_most_members_than_may_the_room_takes_nothing_in() -> None:
    bench, limited, (boris, *_) = _crowd(3, 2)
    _says_too_much(boris)
    said = len(bench.texts())
    sent = boris.say("held back")
    assert len(bench.texts()) == said
    (told,) = [p.answer for p in of_type(Events, boris.got(sent)) if p.answer]
    assert told.appended < told.received, "so that its sender sees it pending"
    assert bench.room.counters["waits for links"] > 0
    for _ in range(20):
        bench.now += 0.2
        for peer in limited:
            slices = [packet for _, packet in peer.slices(bench.sent)]
            newest = max(packet.first + len(packet.events) - 1 for packet in slices)
            answer(bench, peer, FULL_SECONDS, room_ack=newest)
        bench.wake()
    assert bench.texts()[-1] == "held back"


def test_a_minority_on_slow_links_is_not_waited_for() -> None:
    bench, limited, (boris, *_) = _crowd(3, 3)
    for number in range(30):
        boris.say(f"{number} " + "x" * 890)
    assert len(bench.texts()) == 4 + 30
    assert bench.room.counters["waits for links"] == 0
    assert all(peer.member.window.is_limited for peer in limited)


def test_members_that_fall_silent_are_not_waited_for() -> None:
    bench, limited, (boris, other) = _crowd(3, 2)
    _says_too_much(boris)
    boris.say("held back")
    assert bench.texts()[-1] != "held back"
    bench.keep_alive(3.0, boris, other)
    assert all(peer.member.position.attempts >= 2 for peer in limited)
    assert bench.texts()[-1] == "held back"
