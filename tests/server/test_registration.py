"""Registration: cookies, names, and who is let in."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from tests.machines import START, RoomBench, SessionBench, of_type, reseal, to_address
from udp_chat.client.joining import BUSY_RETRY_SECONDS, JOIN_RETRY_SECONDS
from udp_chat.client.session import State
from udp_chat.protocol.packets import (
    HEADER_BYTES,
    NO_COOKIE,
    Bye,
    Challenge,
    Event,
    EventKind,
    Events,
    Join,
    MessageKind,
    Packet,
    Refused,
    RefusedReason,
    Status,
    Welcome,
)
from udp_chat.server.cookies import COOKIE_LIFE_SECONDS
from udp_chat.server.presence import PROBE_INTERVAL_SECONDS, PROBE_SECONDS
from udp_chat.server.relay import ACK_DELAY_CALM_SECONDS, CATCH_UP_SECONDS
from udp_chat.server.settings import RoomSettings

# --- the cookie round trip -------------------------------------------------------------------


def test_an_address_that_has_proven_nothing_gets_one_challenge_no_larger_than_its_join() -> None:
    bench = RoomBench()
    anna = bench.peer("A")
    join = anna.join_packet().encode()
    (sent,) = bench.receive(join, anna.address)
    assert isinstance(sent.packet, Challenge)
    assert sent.packet.sender_id == anna.client_id
    assert sent.address == anna.address
    assert len(sent.datagram) <= len(join)


def test_an_address_without_a_cookie_costs_the_room_no_memory() -> None:
    bench = RoomBench()
    before = bench.state()
    for number in range(1000):
        peer = bench.peer(f"User{number}")
        bench.receive(peer.join_packet(), peer.address)
    assert bench.state() == before
    assert bench.room.next_timeout() is None


def test_a_cookie_brought_back_lets_its_sender_in() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    welcome = anna.enter()
    assert bench.names() == ["Anna"]
    assert bench.lines() == ["Anna join"]
    assert welcome.client_id == anna.client_id
    assert welcome.name == "Anna"
    assert welcome.session_id not in (0, anna.client_id)


def test_a_cookie_is_good_for_its_address_only() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    anna.challenge()
    sent = bench.receive(anna.join_packet(), ("192.0.2.66", anna.address[1]))
    assert of_type(Challenge, sent)
    assert bench.names() == []
    assert bench.room.counters["bad cookie"] == 1
    sent = bench.receive(anna.join_packet(), (anna.address[0], 66))
    assert bench.names() == []
    assert of_type(Challenge, sent)


def test_a_cookie_is_good_for_its_client_id_only() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    anna.challenge()
    sent = anna.send(anna.join_packet(client_id=anna.client_id + 1))
    assert of_type(Challenge, sent)
    assert bench.names() == []


def test_a_cookie_of_another_room_is_not_good() -> None:
    bench, other = RoomBench(seed=1), RoomBench(seed=2)
    anna, twin = bench.peer("Anna"), other.peer("Anna")
    twin.challenge()
    assert (anna.client_id, anna.address) == (twin.client_id, twin.address)
    sent = anna.send(anna.join_packet(cookie=twin.cookie))
    assert of_type(Challenge, sent)
    assert bench.names() == []


@pytest.mark.parametrize("age_seconds", [0.0, 1.0, COOKIE_LIFE_SECONDS])
def test_a_cookie_is_good_for_at_least_its_life(age_seconds: float) -> None:
    bench = RoomBench()
    bench.now += 0.9 * COOKIE_LIFE_SECONDS  # near the end of its slot
    anna = bench.peer("Anna")
    anna.challenge()
    bench.advance(age_seconds)
    assert of_type(Welcome, anna.send(anna.join_packet()))


def test_a_cookie_expires_after_twice_its_life() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    anna.challenge()
    bench.advance(2 * COOKIE_LIFE_SECONDS)
    assert of_type(Challenge, anna.send(anna.join_packet()))
    assert bench.names() == []


def test_a_bad_cookie_is_answered_with_a_good_one() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    (challenge,) = of_type(Challenge, anna.send(anna.join_packet(cookie=b"x" * 16)))
    anna.send(anna.join_packet(cookie=challenge.cookie))
    assert bench.names() == ["Anna"]


def test_no_cookie_at_all_is_not_counted_as_a_bad_one() -> None:
    bench = RoomBench()
    bench.peer("Anna").challenge()
    assert bench.room.counters["bad cookie"] == 0


def test_a_join_of_another_version_is_refused_where_the_refusal_is_not_larger() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    foreign = _of_version(9, anna.join_packet())
    (refused,) = of_type(Refused, anna.send(foreign))
    assert refused.reason == RefusedReason.VERSION
    assert refused.client_id == anna.client_id
    assert refused.echoed_timestamp == anna.newest_timestamp
    shortest = reseal(foreign[: HEADER_BYTES + 16])
    assert anna.send(shortest) == [], "the refusal would be larger than its trigger"
    assert anna.send(reseal(shortest[:-1])) == [], "nobody to refuse"
    assert bench.room.counters["unsupported version"] == 3


def test_other_packets_of_another_version_are_not_answered() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    assert anna.send(_of_version(9, anna.status_packet(ask=True))) == []


def _of_version(version: int, packet: Packet) -> bytes:
    datagram = packet.encode()
    return reseal(datagram[:2] + bytes([version]) + datagram[3:])


# --- repeated, forged and replayed JOINs -----------------------------------------------------


def test_a_repeated_join_gets_the_same_welcome_and_no_second_session() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    first = anna.enter()
    (again,) = of_type(Welcome, anna.send(anna.join_packet()))
    assert replace(again, echoed_timestamp=first.echoed_timestamp) == first
    assert again.echoed_timestamp == anna.newest_timestamp
    assert bench.lines() == ["Anna join"]
    assert len(bench.room.members) == 1


def test_the_very_same_join_again_is_stale() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    anna.challenge()
    join = anna.join_packet()
    assert of_type(Welcome, anna.send(join))
    assert anna.send(join) == []
    assert bench.room.counters["stale"] == 1


def test_a_repeated_join_still_says_what_is_history() -> None:
    bench = RoomBench()
    boris = bench.join("Boris")
    boris.say("before")
    anna = bench.peer("Anna")
    first = anna.enter()
    boris.say("after")
    (again,) = of_type(Welcome, anna.send(anna.join_packet()))
    assert (again.start, again.joined) == (first.start, first.joined) == (1, 3)


def test_a_join_under_anothers_name_never_evicts_who_lives() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    mallory = bench.peer("Anna")
    mallory.challenge()
    for _ in range(40):
        bench.keep_alive(0.5, anna)
        mallory.send(mallory.join_packet())
    assert anna.session_id in bench.room.members
    assert bench.lines() == ["Anna join"]


def test_a_join_with_a_cookie_but_anothers_client_id_needs_that_ones_cookie() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    mallory = bench.peer("Mallory")
    mallory.challenge()
    before = bench.state()
    sent = mallory.send(mallory.join_packet(client_id=anna.client_id))
    assert of_type(Challenge, sent)
    assert bench.state() == before


def test_an_older_join_from_the_old_address_does_not_move_a_member_back() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna", ("192.0.2.10", 1))
    anna.enter()
    old = anna.join_packet()
    anna.address = ("192.0.2.10", 2)
    anna.resume()
    assert anna.member.address == ("192.0.2.10", 2)
    assert bench.receive(old, ("192.0.2.10", 1)) == []
    assert anna.member.address == ("192.0.2.10", 2)
    assert bench.room.counters["stale"] == 1


def test_a_replayed_join_does_not_bring_back_who_has_left() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    anna.challenge()
    join = anna.join_packet()
    (welcome,) = of_type(Welcome, anna.send(join))
    anna.session_id = welcome.session_id
    anna.leave()
    anna.send(join)
    assert bench.lines() == ["Anna join", "Anna leave left"]
    assert bench.names() == []


# --- who is let in ---------------------------------------------------------------------------


def test_the_welcome_says_what_a_client_needs_to_know() -> None:
    bench = RoomBench(RoomSettings(room="kitchen", heartbeat_seconds=3.0))
    welcome = bench.peer("Anna").enter()
    assert welcome.room == "kitchen"
    assert welcome.heartbeat_ms == 3000
    assert welcome.ack_delay_ms == 1000 * ACK_DELAY_CALM_SECONDS
    assert welcome.epoch == bench.room.log.epoch
    assert (welcome.oldest, welcome.latest, welcome.start, welcome.joined) == (1, 1, 1, 1)
    assert (welcome.inbox_start, welcome.received, welcome.member) == (1, 0, 1)


@pytest.mark.parametrize("name", ["", "a b", "a\u202eb", "a\nb", "\u200b", "!", "(earlier)"])
def test_an_unusable_name_is_refused_with_the_reason(name: str) -> None:
    bench = RoomBench()
    (refused,) = of_type(Refused, bench.peer(name).try_to_enter())
    assert refused.reason == RefusedReason.UNUSABLE_NAME
    assert refused.text
    assert bench.names() == []


@pytest.mark.parametrize("name", ["Zoë", "zoë", "ZOË", "Zoe\u0308", "Z0ë"])
def test_names_that_look_the_same_count_as_the_same(name: str) -> None:
    bench = RoomBench()
    holder = bench.join("Zoë")
    rival = bench.peer(name)
    assert of_type(Refused, rival.try_to_enter()) == []  # the holder is asked first
    bench.advance(0.1)
    holder.status()
    (refused,) = of_type(Refused, rival.send(rival.join_packet()))
    assert refused.reason == RefusedReason.NAME_IN_USE
    assert refused.client_id == rival.client_id
    assert bench.names() == ["Zoë"]


def test_the_name_of_one_who_left_is_free_at_once() -> None:
    bench = RoomBench()
    bench.join("Anna").leave()
    bench.peer("Anna").enter()
    assert bench.names() == ["Anna"]


def test_a_full_room_refuses_and_says_so() -> None:
    bench = RoomBench(RoomSettings(members_max=2))
    bench.join("Anna")
    boris = bench.join("Boris")
    clara = bench.peer("Clara")
    (refused,) = of_type(Refused, clara.try_to_enter())
    assert refused.reason == RefusedReason.ROOM_FULL
    assert "2" in refused.text
    boris.leave()
    clara.enter()
    assert bench.names() == ["Anna", "Clara"]


def test_what_was_refused_is_counted_by_reason() -> None:
    bench = RoomBench(RoomSettings(members_max=1))
    bench.join("Anna")
    bench.peer("Boris").try_to_enter()
    bench.peer("a b").try_to_enter()
    assert bench.room.counters["refused: room_full"] == 1
    assert bench.room.counters["refused: unusable_name"] == 1


def test_a_newcomer_is_sent_its_own_join_and_the_history_once() -> None:
    """Once each, on a link that loses nothing: what is about to be broadcast is not sent before."""
    bench = RoomBench()
    boris = bench.join("Boris")
    boris.say("one", "two")
    anna = bench.peer("Anna")
    sent = anna.try_to_enter()
    seqs = [
        packet.first + place
        for packet in of_type(Events, anna.got(sent))
        if not packet.inbox
        for place in range(len(packet.events))
    ]
    assert sorted(seqs) == [1, 2, 3, 4]


def test_a_repeated_join_is_not_sent_again_what_is_still_on_its_way() -> None:
    bench = RoomBench()
    bench.join("Boris").say(*["line"] * 50)
    anna = bench.peer("Anna")
    anna.enter()
    again = anna.send(anna.join_packet())
    assert len(of_type(Welcome, again)) == 1
    assert of_type(Events, anna.got(again)) == []
    bench.advance(CATCH_UP_SECONDS)
    assert of_type(Events, anna.got(anna.send(anna.join_packet()))) != []


# --- a name held by a silent session ---------------------------------------------------------

HEARTBEAT_SECONDS = RoomSettings().heartbeat_seconds
PROBED_SECONDS = 1.1 * HEARTBEAT_SECONDS + PROBE_SECONDS + 1.1 * PROBE_INTERVAL_SECONDS
"""From a holder's last sign of life until it is gone, with what rounding may add: a whole
heartbeat, as late as it may come, and its probes."""


def test_a_silent_holder_is_asked_and_loses_its_name_within_seconds() -> None:
    bench = RoomBench()
    ghost = bench.join("Anna")
    bench.advance(1.0)
    anna = bench.peer("Anna")
    asked = anna.try_to_enter()
    (probe,) = of_type(Events, to_address(ghost.address, asked))
    assert probe.ask
    assert to_address(anna.address, asked) == [], "neither in nor refused yet"
    bench.advance(PROBED_SECONDS - 1.0)
    assert bench.names() == [], "freed by the probe, long before the timeout"
    anna.enter()
    assert bench.lines() == ["Anna join", "Anna leave timeout", "Anna join"]
    assert bench.now - START < 8.0


def test_a_holder_that_is_silent_for_less_than_a_heartbeat_and_its_probes_keeps_its_name() -> None:
    """A process that is stopped for some seconds is not dead: it may even have had no reason to
    say anything."""
    bench = RoomBench()
    holder = bench.join("Anna")
    bench.peer("Anna").try_to_enter()
    bench.advance(1.1 * HEARTBEAT_SECONDS + PROBE_SECONDS - PROBE_INTERVAL_SECONDS)
    assert bench.names() == ["Anna"]
    holder.status()
    bench.advance(2.0)
    assert bench.names() == ["Anna"]


def test_a_holder_long_silent_is_asked_for_a_while_all_the_same() -> None:
    bench = RoomBench()
    bench.join("Anna")
    bench.advance(12.0)
    bench.peer("Anna").try_to_enter()
    bench.advance(PROBE_SECONDS - PROBE_INTERVAL_SECONDS)
    assert bench.names() == ["Anna"]
    bench.advance(2.1 * PROBE_INTERVAL_SECONDS)
    assert bench.names() == []


def test_a_name_that_cannot_be_decided_about_in_time_counts_as_in_use() -> None:
    """The client that wants it does not wait for ever."""
    bench = RoomBench(RoomSettings(heartbeat_seconds=60.0, timeout_seconds=180.0))
    bench.join("Anna")
    anna = bench.peer("Anna")
    (refused,) = of_type(Refused, anna.try_to_enter())
    assert refused.reason == RefusedReason.NAME_IN_USE
    bench.advance(1.1 * 60.0 + PROBE_SECONDS + 1.1 * PROBE_INTERVAL_SECONDS)
    assert bench.names() == [], "but its holder is asked"


def test_a_silent_holder_is_asked_again_and_again() -> None:
    bench = RoomBench()
    ghost = bench.join("Anna")
    bench.advance(1.0)
    anna = bench.peer("Anna")
    sent = anna.try_to_enter() + bench.advance(PROBE_SECONDS)
    probes = [e.at for e in sent if e.address == ghost.address and isinstance(e.packet, Events)]
    assert PROBE_SECONDS / PROBE_INTERVAL_SECONDS <= len(probes) <= 11
    gaps = [b - a for a, b in pairwise(probes)]
    assert gaps == pytest.approx([PROBE_INTERVAL_SECONDS] * len(gaps))


def test_a_holder_that_answers_the_probe_keeps_its_name() -> None:
    bench = RoomBench()
    holder = bench.join("Anna")
    bench.advance(1.0)
    rival = bench.peer("Anna")
    rival.try_to_enter()
    bench.advance(1.5)
    holder.status()
    (refused,) = of_type(Refused, rival.send(rival.join_packet()))
    assert refused.reason == RefusedReason.NAME_IN_USE
    bench.advance(5.0)
    assert bench.names() == ["Anna"]
    assert bench.room.counters["probed"] == 1


def test_a_holder_that_has_answered_is_not_asked_again_at_once() -> None:
    bench = RoomBench()
    holder = bench.join("Anna")
    bench.peer("Anna").try_to_enter()
    bench.advance(0.1)
    holder.status()
    sent = bench.peer("Anna").try_to_enter() + bench.advance(1.0)
    assert not any(packet.ask for packet in of_type(Events, holder.got(sent)))
    assert len(of_type(Refused, sent)) == 1


def test_an_old_sign_of_life_does_not_keep_a_name_for_ever() -> None:
    bench = RoomBench()
    holder = bench.join("Anna")
    bench.peer("Anna").try_to_enter()
    bench.advance(0.1)
    holder.status()
    bench.advance(6.0)
    rival = bench.peer("Anna")
    assert of_type(Refused, rival.try_to_enter()) == [], "asked anew"
    bench.advance(PROBED_SECONDS)
    rival.enter()
    assert bench.room.counters["probed"] == 2


def test_one_who_comes_back_after_a_probe_took_its_place_is_told() -> None:
    bench = RoomBench()
    ghost = bench.join("Anna")
    bench.advance(1.0)
    bench.peer("Anna").try_to_enter()
    sent = bench.advance(PROBED_SECONDS - 1.0)
    assert of_type(Bye, to_address(ghost.address, sent))


def test_a_wanted_new_name_has_its_silent_holder_asked_too() -> None:
    bench = RoomBench()
    bench.join("Anna")
    boris = bench.join("Boris")
    bench.advance(1.0)
    boris.say("Anna", kind=MessageKind.RENAME)
    bench.keep_alive(PROBED_SECONDS - 1.0, boris)
    assert bench.names() == ["Boris"]
    boris.say("Anna", kind=MessageKind.RENAME)
    assert bench.names() == ["Anna"]


# --- the client's side -----------------------------------------------------------------------


def test_a_client_repeats_its_first_join_evenly_until_it_is_answered() -> None:
    bench = SessionBench()
    bench.session.start(bench.now)
    bench.wake()
    sent = bench.advance(5.0)
    times = [START, *(at for at, _ in sent)]
    assert all(isinstance(packet, Join) for _, packet in sent)
    waits = [b - a for a, b in pairwise(times)]
    assert waits == pytest.approx([JOIN_RETRY_SECONDS] * len(waits), rel=0.11)
    assert len(times) <= 38, "as docs/protocol.md says"
    assert len(set(waits)) == len(waits), "jitter keeps clients apart that start together"
    stamps = [packet.timestamp for packet in of_type(Join, (p for _, p in sent))]
    assert stamps == sorted(set(stamps))


def test_a_client_answers_a_challenge_at_once_with_the_same_client_id() -> None:
    bench = SessionBench()
    first = bench.start()
    assert first.cookie == NO_COOKIE
    assert (first.epoch, first.room_ack) == (0, 0)
    (second,) = of_type(Join, bench.challenge(b"k" * 16))
    assert second.cookie == b"k" * 16
    assert second.client_id == first.client_id
    assert second.timestamp > first.timestamp


def test_a_client_does_not_answer_the_same_challenge_twice() -> None:
    bench = SessionBench()
    bench.start()
    assert bench.challenge(b"k" * 16)
    assert bench.challenge(b"k" * 16) == []
    assert bench.session.counters["repeated challenge"] == 1
    assert bench.challenge(b"l" * 16), "but a new one it does: the old has expired"


def test_a_client_ignores_a_challenge_for_somebody_else() -> None:
    bench = SessionBench()
    join = bench.start()
    assert bench.receive(Challenge(join.client_id ^ 1, b"k" * 16)) == []
    assert bench.session.counters["unexpected packet"] == 1


def test_a_client_takes_a_welcome_for_its_own_join_only() -> None:
    bench = SessionBench()
    first = bench.start()
    bench.challenge()
    good = bench.welcome_packet()
    bench.receive(replace(good, client_id=good.client_id ^ 1))
    bench.receive(replace(good, echoed_timestamp=good.echoed_timestamp + 1))
    bench.receive(replace(good, echoed_timestamp=first.timestamp - 2))
    bench.receive(replace(good, echoed_timestamp=0))
    assert bench.state() is State.JOINING
    assert bench.session.counters["stale"] == 4
    bench.receive(good)
    assert bench.state() is State.JOINED
    bench.receive(good)
    assert bench.session.counters["stale"] == 5, "once"


def test_a_client_says_that_it_is_in_once_it_knows_who_is_there() -> None:
    bench = SessionBench()
    bench.start()
    bench.challenge()
    joined = bench.chat("earlier") + 1
    bench.append(replace(bench.log[0], kind=EventKind.JOIN, name="Anna", text="", member=7))
    bench.take(bench.welcome_packet(joined=joined, room="kitchen"))
    bench.receive(bench.slice(1))
    assert bench.events == []
    bench.receive(bench.roster("Boris", "anna2", "Anna"))
    assert bench.events == [
        {
            "event": "joined",
            "name": "Anna",
            "room": "kitchen",
            "members": ["Anna", "anna2", "Boris"],
        },
        {
            "event": "chat",
            "seq": 1,
            "time": 5.0,
            "name": "Boris",
            "text": "earlier",
            "history": True,
        },
    ]
    assert bench.session.room == "kitchen"


def test_a_client_that_is_refused_says_why_and_ends() -> None:
    bench = SessionBench()
    bench.start()
    bench.challenge()
    join = bench.newest(Join)
    bench.receive(Refused(join.client_id, join.timestamp, RefusedReason.NAME_IN_USE, "taken"))
    assert bench.events == [{"event": "refused", "reason": "name_in_use", "text": "taken"}]
    assert bench.state() is State.CLOSED
    assert bench.session.next_timeout() is None


def test_an_address_with_too_many_members_ends_like_a_full_room() -> None:
    bench = SessionBench()
    bench.start()
    bench.challenge()
    join = bench.newest(Join)
    bench.receive(Refused(join.client_id, join.timestamp, RefusedReason.ADDRESS_FULL, "64 here"))
    assert bench.events == [{"event": "refused", "reason": "address_full", "text": "64 here"}]
    assert bench.session.last_refusal == bench.events[0]
    assert bench.state() is State.CLOSED


def _busy(bench: SessionBench) -> Refused:
    join = bench.newest(Join)
    return Refused(join.client_id, join.timestamp, RefusedReason.BUSY, "too many")


def test_a_busy_server_does_not_end_a_clients_joining() -> None:
    bench = SessionBench()
    bench.start()
    assert bench.session.last_refusal is None
    bench.challenge()
    for _ in range(4):
        said_at = bench.now
        bench.receive(_busy(bench))
        sent = bench.advance(0.7)
        assert [at - said_at >= BUSY_RETRY_SECONDS for at, _ in sent] == [True]
        assert of_type(Join, [packet for _, packet in sent])
    assert bench.state() is State.JOINING
    assert bench.events == [], "only its caller's patience makes it a reason to end"
    assert bench.session.last_refusal == {"event": "refused", "reason": "busy", "text": "too many"}
    times = [at for at, _ in bench.advance(5.0)]
    assert min(b - a for a, b in pairwise(times)) >= BUSY_RETRY_SECONDS
    bench.enter_after_start()
    assert bench.kinds() == ["joined"]
    assert bench.session.last_refusal is None


def test_a_busy_server_is_asked_more_gently_by_a_client_that_comes_back() -> None:
    bench = SessionBench()
    bench.enter()
    bench.bye(4)
    bench.challenge()
    for _ in range(3):
        bench.receive(_busy(bench))
        sent = bench.advance(BUSY_RETRY_SECONDS - 0.01)
        assert sent == []
        bench.advance(2.0)
    assert bench.state() is State.REJOINING
    assert len(bench.shown("refused")) == 1


def test_a_client_that_comes_back_repeats_its_join_with_back_off() -> None:
    """A class of clients waits for the same server."""
    bench = SessionBench()
    bench.enter()
    bench.bye(4)
    times = [bench.now, *(at for at, _ in bench.advance(20.0))]
    waits = [b - a for a, b in pairwise(times)]
    assert waits[:3] == pytest.approx([0.25, 0.5, 1.0], rel=0.11)
    assert waits[3:] == pytest.approx([2.0] * len(waits[3:]), rel=0.11)


def test_a_roster_that_is_lost_at_the_join_is_reported_as_a_gap_again_and_again() -> None:
    bench = SessionBench()
    bench.start()
    bench.challenge()
    bench.joined = bench.append(Event(EventKind.JOIN, 5000, "Anna", "", "", bench.MEMBER))
    bench.now += 0.02
    bench.take(bench.welcome_packet(joined=1))
    bench.receive(bench.slice(1))
    sent = bench.advance(1.5)
    reports = [(at, p) for at, p in sent if isinstance(p, Status) and p.inbox_gap_end == 1]
    waits = [b - a for a, b in pairwise(at for at, _ in reports)]
    assert waits == pytest.approx([JOIN_RETRY_SECONDS] * len(waits), rel=0.11)
    assert len(waits) >= 8
    bench.receive(bench.roster("Anna"))
    assert bench.kinds() == ["joined"]
    assert not any(p.inbox_gap_end > p.inbox_ack for p in of_type(Status, bench.wake()))


def test_a_refusal_for_a_reason_of_a_later_version_is_shown_by_its_number() -> None:
    bench = SessionBench()
    join = bench.start()
    bench.receive(Refused(join.client_id, join.timestamp, 200, "because"))
    assert bench.events == [{"event": "refused", "reason": "reason_200", "text": "because"}]


def test_a_client_ignores_a_refusal_that_is_not_for_its_join() -> None:
    bench = SessionBench()
    join = bench.start()
    reason = RefusedReason.ROOM_FULL
    bench.receive(Refused(join.client_id ^ 1, join.timestamp, reason, ""))
    bench.receive(Refused(join.client_id, join.timestamp + 1, reason, ""))
    bench.receive(Refused(join.client_id, join.timestamp - 2, reason, ""))
    assert bench.state() is State.JOINING
    assert bench.session.counters["stale"] == 3
    bench.enter_after_start()
    bench.receive(Refused(join.client_id, bench.newest(Join).timestamp, reason, ""))
    assert bench.state() is State.JOINED


def test_every_packet_type_has_its_direction() -> None:
    """What only a server sends, a server drops; what only a client sends, a client drops."""
    room, client = RoomBench(), SessionBench()
    anna = room.join("Anna")
    before = room.state()
    from_server: list[Packet] = [
        Challenge(1, NO_COOKIE),
        Refused(1, 1, 1, ""),
        Bye(anna.session_id, 1),
        client.slice(),
    ]
    for packet in from_server:
        assert anna.send(packet) == []
    assert room.state() == before
    assert room.room.counters["unexpected packet"] == len(from_server)
    client.enter()
    events = list(client.events)
    from_client: list[Packet] = [client.newest(Join), anna.status_packet(), anna.say_packet("x")]
    for packet in from_client:
        client.receive(packet)
    assert client.events == events
    assert client.session.counters["unexpected packet"] == len(from_client)
