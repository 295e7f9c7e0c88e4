"""Every table, queue and log is bounded and says so.

Rates and held messages: test_messages.py. Repairs a second: test_repair.py. Members and names:
test_registration.py.
"""

from __future__ import annotations

import pytest

from tests.cells import cells
from tests.machines import RoomBench, SessionBench, of_type
from udp_chat.client.session import GATED_MAX
from udp_chat.protocol.delivery import COPIES_MAX, COPY_SPACING_SECONDS, REORDER_MAX
from udp_chat.protocol.packets import Event, EventKind, Events, MessageKind, Status
from udp_chat.server.register import Register
from udp_chat.server.settings import RoomSettings

# --- the room --------------------------------------------------------------------------------


def test_the_log_keeps_the_newest_entries_and_says_where_it_begins() -> None:
    bench = RoomBench(RoomSettings(log_entries_max=10))
    anna = bench.join("Anna")
    for number in range(50):
        anna.say(f"line {number}")
    assert bench.texts() == [f"line {number}" for number in range(40, 50)]
    (packet,) = of_type(Events, anna.status(ask=True))
    assert (packet.oldest, packet.latest) == (42, 51)


def test_the_log_keeps_no_more_bytes_than_it_may() -> None:
    bench = RoomBench(RoomSettings(log_bytes_max=5000))
    anna = bench.join("Anna")
    for _ in range(50):
        anna.say("x" * 900)
    assert 3000 < bench.room.log.bytes_held <= 5000
    assert len(bench.texts()) == 5


def test_no_wake_up_writes_more_than_the_log_can_still_hand_out() -> None:
    """Else what is pushed out of the log would be lost before it was sent even once."""
    bench = RoomBench(RoomSettings(log_entries_max=40, message_rate=0))
    anna, boris = bench.join("Anna"), bench.join("Boris")
    texts = [f"line {number}" for number in range(60)]
    sent = anna.say(*texts)
    assert boris.shown(sent) == texts[:10], "a quarter of the log"
    shown = texts[:10]
    while len(shown) < len(texts):
        bench.now = bench.room.next_timeout() or 0.0
        fresh = [s for s in bench.wake() if not getattr(s.packet, "repair", False)]
        assert boris.shown(fresh) in ([], texts[len(shown) :][:10])
        shown += boris.shown(fresh)
    assert shown == texts


def test_a_member_far_behind_a_short_log_is_served_from_where_it_begins() -> None:
    bench = RoomBench(RoomSettings(log_entries_max=5))
    anna = bench.join("Anna")
    for number in range(20):
        anna.say(f"line {number}")
    bench.advance(3.0)
    assert bench.room.counters["tail repairs"] > 0
    assert anna.status(room_ack=3, room_gap_end=21)


@pytest.mark.parametrize(("history", "shown"), [(0, []), (3, ["17", "18", "19"])])
def test_a_newcomer_is_shown_as_much_history_as_the_setting_says(
    history: int, shown: list[str]
) -> None:
    bench = RoomBench(RoomSettings(history_events=history))
    boris = bench.join("Boris")
    boris.say(*[str(number) for number in range(20)])
    anna = bench.peer("Anna")
    welcome = anna.enter()
    assert welcome.start == welcome.joined - history
    sent = bench.sent[-10:]
    texts = [text for text in dict.fromkeys(anna.shown(sent)) if text]
    assert texts == shown


def test_a_newcomer_is_not_promised_history_that_the_log_no_longer_holds() -> None:
    bench = RoomBench(RoomSettings(log_entries_max=5, history_events=50))
    boris = bench.join("Boris")
    for text in "abcdefghij":
        boris.say(text)
    welcome = bench.peer("Anna").enter()
    assert welcome.start == welcome.oldest == 8


def test_those_who_left_are_remembered_in_bounded_number() -> None:
    bench = RoomBench(RoomSettings(members_max=3))
    for number in range(20):
        bench.join(f"User{number}").leave()
    register = bench.room.register
    assert len(register.departed) == 3
    assert len(register.remembered) == 17
    assert not bench.room.members
    assert not register.by_client
    assert not register.by_name


def test_of_those_remembered_the_oldest_are_forgotten() -> None:
    bench = RoomBench()
    register = Register(departed_max=1, remembered_max=2)
    for number in range(5):
        peer = bench.join(f"User{number}")
        register.enter(peer.member)
        register.remove(peer.member)
        list(register.departed_too_many())
    assert list(register.departed) == [0xC0005]
    assert list(register.remembered) == [0xC0003, 0xC0004]


def test_who_returns_is_not_remembered_twice() -> None:
    bench = RoomBench(RoomSettings(members_max=2))
    anna = bench.join("Anna")
    for name in "BCDE":
        bench.join(name).leave()
        anna.leave()
        anna.resume()
    assert anna.client_id not in bench.room.register.departed
    assert anna.client_id not in bench.room.register.remembered


def test_timers_of_a_busy_room_do_not_pile_up() -> None:
    bench = RoomBench(RoomSettings(message_rate=0))
    peers = [bench.join(f"User{number}") for number in range(5)]

    def talk() -> int:
        for _ in range(160):
            bench.advance(0.1)
            for peer in peers:
                peer.say("psst", kind=MessageKind.PRIVATE, to="User0")
                peer.status()
        return cells(bench.room)

    after_one_timeout = talk()
    assert talk() <= 1.1 * after_one_timeout, "timers of one timeout, and no more"


def test_copies_wait_in_bounded_number() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.member.loss.prior = 0.9
    for _ in range(100):
        anna.say("hello")
        bench.advance(0.005)
    repairs = [sent for sent in bench.sent if getattr(sent.packet, "repair", False)]
    window_seconds = COPIES_MAX * COPY_SPACING_SECONDS
    together = [
        sum(first.at <= other.at < first.at + window_seconds for other in repairs)
        for first in repairs
    ]
    assert 1 < max(together) <= COPIES_MAX, "one repair and its copies"


# --- the client ------------------------------------------------------------------------------


def test_a_client_keeps_a_bounded_number_of_events_beyond_a_gap() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat(*["x"] * (REORDER_MAX + 500))
    for first in range(3, len(bench.log), 40):
        bench.receive(bench.slice(first, min(first + 39, len(bench.log))))
    bench.advance(0.1)
    status = bench.newest(Status)
    assert (status.room_ack, status.room_gap_end) == (1, 2)
    bench.receive(bench.slice(2, 2))
    assert len(bench.shown("chat")) == REORDER_MAX, "what lay further ahead is asked for again"
    bench.advance(0.1)
    status = bench.newest(Status)
    assert (status.room_ack, status.room_gap_end) == (1 + REORDER_MAX, len(bench.log))


def test_a_client_keeps_a_bounded_number_of_events_while_it_waits_for_the_roster() -> None:
    bench = SessionBench()
    bench.start()
    bench.challenge()
    bench.append(Event(EventKind.JOIN, 5000, "Anna", "", "", bench.MEMBER))
    bench.chat(*["x"] * 3000)
    bench.receive(bench.welcome_packet(joined=1))
    for first in range(1, 3001, 40):
        bench.receive(bench.slice(first, first + 39))
    bench.advance(0.5)
    taken = bench.newest(Status).room_ack
    assert GATED_MAX < taken <= GATED_MAX + 40, "what is not taken is not acknowledged"
    bench.receive(bench.roster("Anna"))
    assert len(bench.shown("chat")) == taken - 1
    bench.receive(bench.slice(taken + 1, taken + 40))
    assert len(bench.shown("chat")) == taken + 39


def test_questions_of_the_clients_own_do_not_pile_up() -> None:
    bench = SessionBench()
    bench.enter()
    for _ in range(50):
        bench.chat("x", "y")
        latest = len(bench.log)
        bench.receive(bench.slice(latest, oldest=latest))
    assert len(bench.shown("lost")) == 50
    assert bench.session.pending_count == 1


def test_half_rosters_do_not_pile_up_without_bound() -> None:
    """A server that begins rosters and never ends them must not fill the client's memory."""
    bench = SessionBench()
    bench.enter()
    names = "\n".join(f"User{n:03}" for n in range(100))
    for _ in range(3000):
        text = f"1 1\n{names}"
        bench.inbox.append(Event(EventKind.ROSTER, 5000, "", "", text, bench.MEMBER))
        bench.receive(bench.slice(len(bench.inbox), inbox=True))
    assert cells(bench.session) <= 110_000


def test_stale_rosters_do_not_pile_up_questions_without_bound() -> None:
    """A server that answers every question with a roster too old to use: one question is open."""
    bench = SessionBench()
    bench.enter()
    bench.chat(*"abcdefgh")
    bench.receive(bench.slice(9, oldest=9))
    for _ in range(200):
        bench.receive(bench.roster("Anna", seq=2))
    assert bench.session.pending_count <= 64
