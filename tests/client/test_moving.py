"""A client whose room moves: to which address it goes, what it shows, and what comes once.

The bench is one host after another, in the same room: each has a term, and says so in its WELCOME.
"""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.machines import SERVER, SessionBench, of_type
from udp_chat.client.session import State
from udp_chat.client.whereabouts import MOVED_QUIET_SECONDS
from udp_chat.protocol.lineage import Lineage
from udp_chat.protocol.packets import (
    Address,
    Answer,
    Bye,
    ByeReason,
    Challenge,
    Event,
    EventKind,
    Fetch,
    Join,
    MessageKind,
    Packet,
    Refused,
    RefusedReason,
    Say,
    Status,
    Told,
)

ROOM_ID = SessionBench.EPOCH
FIRST_TERM = Lineage(((ROOM_ID, 1),))
ANNA: Address = ("192.0.2.11", 9091)
BORIS: Address = ("192.0.2.12", 9091)
SUCCESSORS = "9 192.0.2.11:9091\n8 192.0.2.12:9091\n"
TERM: dict[str, object] = {
    "room_id": ROOM_ID,
    "handed_on": True,
    "heartbeat_ms": 1000,
    "successors": SUCCESSORS,
}


class MovingBench(SessionBench):
    """A session in a room that is handed on, and the addresses to which it sends."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[Address] = []
        """Where JOINs went, in order."""
        self.enter(lineage=FIRST_TERM.encode(), **TERM)

    def wake(self) -> list[Packet]:
        fresh = super().wake()
        self.asked += [self.session.server for _ in of_type(Join, fresh)]
        return fresh

    def move(self, text: str = "") -> None:
        """The host says that it has handed the room on."""
        self.receive(Bye(self.SESSION_ID, ByeReason.MOVED, text), self.session.server)

    def welcome_at(
        self, where: Address, epoch: int = 0xF, first: int = 0, **fields: object
    ) -> list[Packet]:
        """Another host takes the session in; its term begins at event `first`, or after all."""
        self.receive(Challenge(self.session.client_id, b"n" * 16), where)
        self.now += 0.02
        self.epoch, self.inbox_epoch, self.inbox = epoch, epoch + 1, []
        lineage = FIRST_TERM.followed_by(epoch, first or len(self.log) + 1)
        known: dict[str, object] = {"lineage": lineage.encode(), "inbox_start": 1, **TERM}
        return self.receive(self.resume_packet(**{**known, **fields}), where)


def _cut_off(bench: MovingBench) -> None:
    bench.advance(6.0)
    assert bench.state() is State.REJOINING


def test_joins_go_to_one_address_after_the_other_each_tenth_of_a_second() -> None:
    bench = MovingBench()
    _cut_off(bench)
    bench.asked.clear()
    bench.advance(0.55)
    assert set(bench.asked) == {ANNA, BORIS, SERVER}
    assert all(a != b for a, b in pairwise(bench.asked))
    assert len(bench.asked) >= 5


def test_the_address_that_answers_is_the_only_one_that_is_asked_and_heard() -> None:
    bench = MovingBench()
    _cut_off(bench)
    bench.receive(Challenge(bench.session.client_id, b"n" * 16), BORIS)
    bench.asked.clear()
    bench.advance(0.5)
    assert set(bench.asked) == {BORIS}
    bench.take(Challenge(bench.session.client_id, b"x" * 16), ANNA)
    assert bench.session.counters["not from the server"] == 1
    bench.advance(10.0)
    assert set(bench.asked) == {ANNA, BORIS, SERVER}, "it was silent for too long"


def test_a_late_welcome_binds_the_client_to_where_it_comes_from() -> None:
    bench = MovingBench()
    _cut_off(bench)
    bench.receive(Challenge(bench.session.client_id, b"n" * 16), BORIS)
    late = bench.resume_packet()
    while bench.session.server == BORIS:
        bench.advance(0.1)
    bench.receive(late, BORIS)
    assert (bench.state(), bench.session.server) == (State.JOINED, BORIS)


def test_who_is_in_hears_its_host_alone() -> None:
    bench = MovingBench()
    bench.take(Bye(bench.SESSION_ID, ByeReason.MOVED), ANNA)
    assert bench.state() is State.JOINED


def test_a_room_that_moves_and_answers_soon_is_shown_as_one_change_of_its_host() -> None:
    bench = MovingBench()
    bench.events.clear()
    bench.hosts.clear()
    bench.move("9 1 192.0.2.11:9091")
    assert bench.asked[-1] == ANNA
    bench.welcome_at(ANNA, host=9, host_name="Boris", host_address="192.0.2.11:9091")
    bench.advance(5 * MOVED_QUIET_SECONDS - 6.0)
    assert bench.kinds() == []
    assert bench.hosts == [{"event": "host", "name": "Boris", "address": "192.0.2.11:9091"}]


def test_a_room_that_moves_and_does_not_answer_is_told_after_a_moment() -> None:
    bench = MovingBench()
    bench.move("9 1 192.0.2.11:9091")
    bench.advance(MOVED_QUIET_SECONDS - 0.01)
    assert bench.shown("reconnecting") == []
    bench.advance(0.02)
    assert bench.shown("reconnecting") == [{"event": "reconnecting", "reason": "moved"}]
    bench.welcome_at(ANNA)
    assert len(bench.shown("resumed")) == 1


def test_a_member_that_has_another_name_after_the_move_is_told_so() -> None:
    bench = MovingBench()
    bench.move("9 1 192.0.2.11:9091")
    bench.receive(Challenge(bench.session.client_id, b"n" * 16), ANNA)
    join = bench.newest(Join)
    reason = RefusedReason.NAME_IN_USE
    bench.receive(Refused(join.client_id, join.timestamp, reason, "the name is in use"), ANNA)
    bench.events.clear()
    bench.welcome_at(ANNA)
    assert bench.shown("resumed") == [{"event": "resumed", "name": "Anna-2", "room": "chat"}]


def test_who_leaves_while_the_room_moves_is_not_told_that_it_is_away() -> None:
    bench = MovingBench()
    bench.move("9 1 192.0.2.11:9091")
    bench.session.leave(bench.now)
    bench.advance(30.0)
    assert bench.state() is State.CLOSED
    assert bench.shown("reconnecting") == []
    assert bench.kinds()[-1] == "left"
    assert bench.session.next_timeout() is None


def test_the_member_that_is_called_says_so_in_its_standing() -> None:
    bench = MovingBench()
    assert (bench.session.standing.called_until, bench.session.standing.away_since) == (None, None)
    bench.move(f"{bench.MEMBER} 1 192.0.2.10:9091")
    standing = bench.session.standing
    assert (standing.called_until, standing.away_since) == (1, bench.now)
    assert standing.last_host == SERVER
    assert standing.successors == ((9, ANNA), (8, BORIS))


def test_a_room_found_elsewhere_is_asked_at_once() -> None:
    bench = MovingBench()
    bench.session.look_at(("192.0.2.77", 9091), bench.now)
    assert bench.wake() == [], "it is in"
    _cut_off(bench)
    bench.session.look_at(("192.0.2.77", 9091), bench.now)
    bench.wake()
    assert bench.asked[-1] == ("192.0.2.77", 9091)


def test_a_join_says_what_the_client_has_of_the_room() -> None:
    bench = MovingBench()
    _cut_off(bench)
    join = bench.newest(Join)
    assert (join.room_id, join.member) == (ROOM_ID, bench.MEMBER)
    assert Lineage.decode(join.lineage) == FIRST_TERM
    assert (join.epoch, join.room_ack) == (ROOM_ID, 1)


# --- in the next term ------------------------------------------------------------------------


def test_in_the_next_term_what_follows_is_shown_as_if_nothing_had_happened() -> None:
    bench = MovingBench()
    bench.chat("before")
    bench.receive(bench.slice(2))
    bench.events.clear()
    bench.move("9 2 192.0.2.11:9091")
    bench.welcome_at(ANNA)
    bench.chat("after")
    bench.receive(bench.slice(3), ANNA)
    assert [(event["event"], event["seq"], event["text"]) for event in bench.events] == [
        ("chat", 3, "after")
    ]


def test_what_one_part_alone_was_shown_comes_once_and_the_others_comes_marked() -> None:
    bench = MovingBench()
    bench.chat("mine apart", first_id=5)
    bench.receive(bench.slice(2))
    bench.events.clear()
    _cut_off(bench)
    del bench.log[1:]  # another host, whose term began after the join
    bench.log.append(Event(EventKind.CHAT, 6000, "Clara", "", "theirs", 9, 1))
    mine = Event(EventKind.CHAT_APART, 5000, "Boris", f"{ROOM_ID:016x} 2", "mine apart", 8, 5)
    bench.log.append(mine)
    bench.welcome_at(ANNA, first=2, start=2)
    bench.receive(bench.slice(2), ANNA)
    bench.chat("together")
    bench.receive(bench.slice(4), ANNA)
    chats = [(event["text"], event.get("apart", False)) for event in bench.shown("chat")]
    assert chats == [("theirs", True), ("together", False)]
    assert bench.shown("lost") == []


def test_a_private_message_that_two_hosts_deliver_is_shown_once() -> None:
    bench = MovingBench()
    psst = Event(EventKind.PRIVATE, 5000, "Boris", "Anna", "psst", 8, 3)
    bench.inbox.append(psst)
    bench.receive(bench.slice(2, inbox=True))
    bench.move("9 1 192.0.2.11:9091")
    bench.welcome_at(ANNA)
    bench.inbox += [psst, Event(EventKind.PRIVATE, 5000, "Boris", "Anna", "again", 8, 4)]
    bench.receive(bench.slice(1, inbox=True), ANNA)
    assert [event["text"] for event in bench.shown("private")] == ["psst", "again"]
    assert bench.session.counters["duplicates"] == 1


@pytest.mark.parametrize("stands_by", [True, False])
def test_a_client_offers_itself_to_each_new_host(stands_by: bool) -> None:
    bench = MovingBench()
    if stands_by:
        bench.session.stand_by(9091, bench.now)
    bench.wake()
    bench.move("9 1 192.0.2.11:9091")
    before = len(bench.sent)
    bench.welcome_at(ANNA, session_id=0x5F)
    offers = [
        message.text
        for say in of_type(Say, (packet for _, packet in bench.sent[before:]))
        for message in say.messages
        if message.kind is MessageKind.STAND_BY
    ]
    assert offers[-1:] == (["9091"] if stands_by else [])


# --- what others ask for ---------------------------------------------------------------------


def test_a_host_that_fetches_is_told_what_this_client_was_shown() -> None:
    bench = MovingBench()
    bench.chat("a", "b")
    bench.receive(bench.slice(2))
    sent = bench.receive(Fetch(bench.session.client_id, ROOM_ID, 2, 3))
    (told,) = of_type(Told, sent)
    assert (told.epoch, told.first) == (ROOM_ID, 2)
    assert [event.text for event in told.events] == ["a", "b"]


def test_nobody_fetches_under_another_clients_id() -> None:
    bench = MovingBench()
    assert bench.receive(Fetch(bench.session.client_id ^ 1, ROOM_ID, 1, 1)) == []
    assert bench.session.counters["unexpected packet"] == 1
    assert bench.receive(Fetch(bench.session.client_id, ROOM_ID, 1, 1), ANNA) == []


def test_private_messages_that_the_last_host_did_not_deliver_are_a_gap() -> None:
    bench = MovingBench()
    bench.inbox.append(Event(EventKind.PRIVATE, 5000, "Boris", "Anna", "psst", 8, 3))
    bench.receive(bench.slice(answer=Answer(bench.newest(Status).timestamp, 0, 0, 2)))
    bench.move("9 1 192.0.2.11:9091")
    bench.welcome_at(ANNA)
    assert bench.shown("lost") == [{"event": "lost", "count": None}]
