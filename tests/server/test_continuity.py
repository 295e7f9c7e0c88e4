"""A room that is handed on, as one host has it: its numbers, its terms, and its other parts."""

from __future__ import annotations

import random

import pytest

from tests.machines import START, Peer, RoomBench, of_type
from udp_chat.protocol.lineage import Lineage, Range
from udp_chat.protocol.packets import Event, EventKind, Fetch, MessageKind, Welcome
from udp_chat.server.derived import Clients
from udp_chat.server.kept import Kept, client_tag
from udp_chat.server.settings import RoomSettings

HANDED_ON = RoomSettings(handed_on=True)
ROOM_ID = 0xA
TERM, NEXT_TERM = Lineage(((ROOM_ID, 1),)), Lineage(((ROOM_ID, 1), (0xB, 5)))
BRANCH = TERM.followed_by(0xC, 5)
ANNA_ID, BORIS_ID = 0xC0001, 0xC0002
"""The client ids of the first two peers of a bench."""


def _said(text: str, message_id: int, member: int = 8) -> Event:
    return Event(EventKind.CHAT, 1, "Boris", "", text, member, message_id)


def _next_host() -> RoomBench:
    """The next host of a room in which Anna (7) and Boris (8) were, and Boris said two messages."""
    events = [
        Event(EventKind.JOIN, 1, "Anna", "", client_tag(ANNA_ID, ROOM_ID).hex(), 7),
        Event(EventKind.JOIN, 1, "Boris", "", client_tag(BORIS_ID, ROOM_ID).hex(), 8),
        _said("a", 1),
        _said("b", 2),
    ]
    clients = Clients([], 0)
    for seq, event in enumerate(events, 1):
        clients.follow(seq, event)
    bench = RoomBench(HANDED_ON)
    encoded = [event.encode() for event in events]
    members = clients.kept_members(random.Random(1))
    kept = Kept(0xB, 1, encoded, 0, members, room_id=ROOM_ID, lineage=NEXT_TERM)
    bench.room.continue_from(kept)
    return bench


def _returns(peer: Peer, room_ack: int = 4, lineage: Lineage = TERM, **fields: object) -> Welcome:
    known: dict[str, object] = {
        "epoch": lineage.terms[-1][0],
        "room_ack": room_ack,
        "room_id": ROOM_ID,
        "member": 7 if peer.client_id == ANNA_ID else 8,
        "lineage": lineage.encode(),
    }
    return peer.enter(**{**known, **fields})


# --- who is who ------------------------------------------------------------------------------


def test_the_numbers_of_members_are_drawn_so_that_no_two_parts_give_the_same() -> None:
    bench = RoomBench(HANDED_ON)
    numbers = [bench.join(f"User{number}").member.number for number in range(20)]
    assert len(set(numbers)) == 20
    assert max(numbers) > 1_000_000
    plain = RoomBench()
    assert [plain.join(f"User{number}").member.number for number in range(3)] == [1, 2, 3]


def test_a_client_of_this_room_keeps_its_number_unless_somebody_has_it() -> None:
    bench = RoomBench(HANDED_ON)
    room_id = bench.room.room_id
    anna = bench.peer("Anna")
    anna.enter(room_id=room_id, member=77)
    assert anna.member.number == 77
    boris = bench.peer("Boris")
    boris.enter(room_id=room_id, member=77)
    assert boris.member.number != 77
    clara = bench.peer("Clara")
    clara.enter(room_id=room_id ^ 1, member=78)
    assert clara.member.number != 78, "that was in another room"


@pytest.mark.parametrize("handed_on", [True, False])
def test_a_join_in_the_log_has_a_tag_only_where_the_room_is_handed_on(handed_on: bool) -> None:
    bench = RoomBench(RoomSettings(handed_on=handed_on))
    anna = bench.join("Anna")
    tag = client_tag(anna.client_id, bench.room.room_id).hex() if handed_on else ""
    assert bench.log()[0].text == tag


def test_the_next_host_knows_a_client_by_its_tag_and_shows_no_second_join() -> None:
    bench = _next_host()
    anna, boris = bench.peer("Anna"), bench.peer("Boris")
    welcome = _returns(boris, next_message_id=3)
    assert (welcome.member, welcome.start, welcome.received) == (8, 5, 2)
    assert (welcome.room_id, welcome.epoch) == (ROOM_ID, 0xB)
    assert Lineage.decode(welcome.lineage) == NEXT_TERM
    assert _returns(anna).member == 7
    assert bench.room.log.latest == 4
    assert bench.names() == ["Anna", "Boris"]


def test_what_the_last_host_had_taken_is_not_taken_again() -> None:
    bench = _next_host()
    bench.peer("Anna")
    boris = bench.peer("Boris")
    _returns(boris, next_message_id=2)
    boris.say("b", "c", first=2)
    bench.advance(0.1)
    assert bench.texts() == ["a", "b", "c"]


# --- where a log goes on ---------------------------------------------------------------------


def test_a_client_that_has_less_is_sent_the_rest() -> None:
    bench = _next_host()
    assert _returns(bench.peer("Anna"), 2).start == 3


def test_a_client_of_another_branch_goes_on_from_the_last_common_event() -> None:
    bench = _next_host()
    bench.peer("Anna")
    boris = bench.peer("Boris")
    welcome = _returns(boris, 6, BRANCH)
    assert welcome.start == 5
    boris.message_id = welcome.received
    sent = [*boris.has_apart(Range(0xC, 5, 6)), *bench.advance(0.1)]
    fetch, *_ = of_type(Fetch, boris.got(sent))
    assert (fetch.epoch, fetch.first, fetch.last) == (0xC, 5, 6)


def test_a_client_of_another_room_is_a_newcomer() -> None:
    bench = _next_host()
    bench.peer("Anna")
    bench.peer("Boris")
    clara = bench.peer("Clara")
    welcome = _returns(clara, 3, Lineage(((0xD, 1),)), room_id=0xD, member=9)
    assert welcome.joined == 5
    assert welcome.start == 1, "with its history"


def test_a_room_of_a_server_of_its_own_has_no_other_part() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    lineage = Lineage(((bench.room.log.epoch, 1), (0xC, 1)))
    anna.enter(epoch=0xC, room_ack=9, room_id=bench.room.room_id, lineage=lineage.encode())
    anna.has_apart(Range(0xC, 1, 9))
    bench.advance(1.0)
    assert of_type(Fetch, bench.sent) == []


# --- what was said apart ---------------------------------------------------------------------


def _bench_with_a_part(*events: Event) -> tuple[RoomBench, Peer]:
    """A room, and a client that has brought these events from another part of it."""
    bench = RoomBench(HANDED_ON)
    bench.join("Anna").say("here")
    bench.advance(0.1)
    boris = bench.peer("Boris")
    boris.bring(list(events))
    bench.advance(0.1)
    return bench, boris


def _apart(bench: RoomBench) -> list[tuple[str, str]]:
    kinds = (EventKind.CHAT_APART, EventKind.ACTION_APART)
    return [(event.text, event.to) for event in bench.log() if event.kind in kinds]


def _lost(bench: RoomBench) -> list[str]:
    return [event.to for event in bench.log() if event.kind is EventKind.LOST_APART]


def test_what_was_said_apart_is_written_once_with_its_origin_and_in_its_order() -> None:
    bench, _ = _bench_with_a_part(_said("x", 1, 9), _said("y", 2, 9))
    assert _apart(bench) == [("x", f"{0xB:016x} 3"), ("y", f"{0xB:016x} 4")]
    assert bench.room.counters["stalls"] == 0, "asking at once is no stall"


def test_what_of_another_part_nobody_can_tell_is_written_as_lost() -> None:
    bench = RoomBench(HANDED_ON)
    bench.join("Anna").say("here")
    bench.advance(0.1)
    first = bench.room.log.latest + 1
    boris = bench.peer("Boris")
    told = boris.bring_the_end([_said("z", 1, 9)], lost_count=2)
    assert _lost(bench) == [], "one that has them may come, as long as nothing else has"
    boris.send(told)
    assert _lost(bench) == [Range(0xB, first, first + 1).format()]
    assert [event.text for event in bench.log()][-2:] == ["", "z"], "the gap is where it belongs"


def test_joins_and_leaves_of_another_part_are_not_written() -> None:
    leave = Event(EventKind.LEAVE, 1, "Clara", "", "left", 9)
    bench, _ = _bench_with_a_part(leave, _said("x", 1, 9))
    assert [text for text, _ in _apart(bench)] == ["x"]


def test_a_message_that_was_said_in_both_parts_is_written_once() -> None:
    bench = RoomBench(HANDED_ON)
    anna = bench.join("Anna")
    anna.say("in both")
    bench.advance(0.1)
    number = anna.member.number
    bench.peer("Boris").bring([_said("in both", 1, number), _said("there alone", 2, number)])
    bench.advance(0.1)
    assert [text for text, _ in _apart(bench)] == ["there alone"]
    anna.say("there alone", first=2)
    anna.say("next", first=3)
    bench.advance(0.1)
    assert bench.texts() == ["in both", "next"], "what is in the log as said apart is taken"


def test_what_was_said_apart_is_talk() -> None:
    bench = RoomBench(HANDED_ON)
    bench.join("Anna")
    assert not bench.room.has_talk
    bench.peer("Boris").bring([_said("x", 1, 9)])
    bench.advance(0.1)
    assert bench.room.has_talk


def test_a_client_whose_messages_came_before_it_did_says_on_after_them() -> None:
    bench, _ = _bench_with_a_part(_said("x", 1, 9), _said("y", 2, 9))
    clara = bench.peer("Clara")
    clara.enter(room_id=bench.room.room_id, member=9, next_message_id=1)
    clara.say("x", "y", "z", first=1)
    bench.advance(0.1)
    assert [text for text, _ in _apart(bench)] == ["x", "y"]
    assert bench.texts() == ["here", "z"]


# --- handing on ------------------------------------------------------------------------------


def test_a_paused_room_takes_nobody_and_nothing_in() -> None:
    bench = RoomBench(HANDED_ON)
    anna = bench.join("Anna")
    bench.room.pause()
    anna.say("x")
    bench.advance(1.0)
    assert bench.texts() == []
    assert of_type(Welcome, bench.peer("Boris").try_to_enter()) == []
    assert bench.names() == ["Anna"]


def test_a_successor_has_all_once_it_has_acknowledged_and_no_inbox_waits() -> None:
    bench = RoomBench(HANDED_ON)
    anna, boris = bench.join("Anna"), bench.join("Boris")
    bench.keep_alive(1.0, anna, boris)
    number = anna.member.number
    assert bench.room.has_all(number)
    assert not bench.room.has_all(number ^ 1)
    anna.say("x")
    assert not bench.room.has_all(number)
    anna.status()
    assert bench.room.has_all(number)
    anna.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    anna.status()
    assert not bench.room.has_all(number), "a private message would be lost with this host"
    boris.status()
    anna.status()
    assert bench.room.has_all(number)


def test_members_that_were_not_heard_lately_do_not_count_as_living() -> None:
    bench = RoomBench(RoomSettings(handed_on=True, heartbeat_seconds=1.0, timeout_seconds=30.0))
    anna, _ = bench.join("Anna"), bench.join("Boris")
    assert bench.room.living_count(bench.now) == 2
    bench.keep_alive(6.0, anna)
    assert bench.room.living_count(bench.now) == 1
    assert bench.now > START


def test_after_a_sleep_only_those_who_are_heard_again_count_as_living() -> None:
    bench = RoomBench(RoomSettings(handed_on=True, heartbeat_seconds=1.0, timeout_seconds=30.0))
    anna, _ = bench.join("Anna"), bench.join("Boris")
    anna.stand_by(9091)  # is asked each second, so that the sleep is noticed
    bench.now += 60.0
    bench.wake()
    assert bench.room.living_count(bench.now) == 0
    bench.now += 0.1
    anna.status()
    assert bench.room.living_count(bench.now) == 1
