"""The client's session: heartbeats, lost links, leaving, and what it shows (rules 6, 9 and 10)."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.machines import SessionBench, of_type
from udp_chat.client.joining import REJOIN_RETRY_MAX_SECONDS
from udp_chat.client.leaving import LEAVE_TRIES
from udp_chat.client.liveness import (
    ASK_RETRY_MAX_SECONDS,
    HEARTBEAT_SLOTS,
    SILENCE_SECONDS,
    STALL_SECONDS,
)
from udp_chat.client.session import State
from udp_chat.protocol.packets import (
    ByeReason,
    Challenge,
    Event,
    EventKind,
    Join,
    Leave,
    MessageKind,
    Packet,
    Refused,
    Say,
    Status,
)

# --- heartbeats ------------------------------------------------------------------------------


def _asked(sent: list[tuple[float, Packet]]) -> list[float]:
    """When a STATUS asked for an answer."""
    return [at for at, packet in sent if isinstance(packet, Status) and packet.ask]


def test_an_idle_client_asks_once_a_heartbeat_and_is_content_with_an_answer() -> None:
    bench = SessionBench()
    bench.enter()
    times = [bench.now]
    for _ in range(3000):
        if times_asked := _asked(bench.advance(0.01)):
            times += times_asked
            bench.receive(bench.answer(bench.newest(Status).timestamp))
    waits = [b - a for a, b in pairwise(times)]
    assert len(waits) in (5, 6)
    slot_seconds = 5.0 / HEARTBEAT_SLOTS
    longest = 1.1 * 5.0 + slot_seconds
    assert all(0.9 * 5.0 - slot_seconds - 0.1 <= wait <= longest + 0.1 for wait in waits)
    assert bench.shown("reconnecting") == []


def test_the_heartbeat_is_the_servers_with_a_jitter_of_its_own() -> None:
    first_questions = set()
    for seed in range(5):
        bench = SessionBench(seed=seed)
        bench.start()
        bench.challenge()
        bench.receive(bench.welcome_packet(heartbeat_ms=60_000))
        began_at = bench.now
        first_questions.add(_asked(bench.advance(67.0))[0] - began_at)
    assert all(51.0 <= wait <= 66.0 for wait in first_questions)
    assert len(first_questions) >= 3


@pytest.mark.parametrize("offset_seconds", [0.0, 0.1, 12_345.678])
@pytest.mark.parametrize("seed", range(3))
def test_heartbeats_come_at_the_same_moments_of_the_servers_clock(
    offset_seconds: float, seed: int
) -> None:
    bench = SessionBench(seed=seed)
    bench.enter()
    bench.receive(bench.slice(timestamp=int((bench.now + offset_seconds) * 1e6)))
    began_at = bench.now
    (first, *_) = _asked(bench.advance(6.0))
    assert 4.0 < first - began_at < 5.5
    slots = (first + offset_seconds) * HEARTBEAT_SLOTS / 5.0
    assert slots == pytest.approx(round(slots), abs=1e-3)


def test_a_line_for_all_does_not_bind_their_heartbeats_together_for_ever() -> None:
    sessions, interval_seconds = 60, 5.0
    by_slot: Counter[int] = Counter()
    for seed in range(sessions):
        bench = SessionBench(seed=seed)
        bench.enter()
        bench.chat("a line for all")
        bench.receive(bench.slice(2))
        began_at = bench.now
        while bench.now < began_at + 60.0:
            at = bench.session.next_timeout()
            assert at is not None
            for asked_at in _asked(bench.advance(at - bench.now)):
                bench.receive(bench.answer(bench.newest(Status).timestamp))
                slots = asked_at * HEARTBEAT_SLOTS / interval_seconds
                assert slots == pytest.approx(round(slots), abs=1e-3)
                if 30.0 < asked_at - began_at <= 60.0:
                    by_slot[round(slots)] += 1
    assert sum(by_slot.values()) == pytest.approx(sessions * 30.0 / interval_seconds, rel=0.1)
    assert max(by_slot.values()) < 0.25 * sessions


def test_a_heartbeat_of_zero_does_not_make_a_client_spin() -> None:
    bench = SessionBench()
    bench.start()
    bench.challenge()
    bench.receive(bench.welcome_packet(heartbeat_ms=0))
    for _ in range(20):
        bench.advance(0.1)
        bench.receive(bench.answer(bench.newest(Status).timestamp))
    assert bench.count(Status) <= 45


def test_an_unanswered_question_is_asked_again_with_back_off() -> None:
    bench = SessionBench()
    bench.enter()
    asked = _asked(bench.advance(9.0))
    waits = [b - a for a, b in pairwise(asked)]
    rto = bench.session.rtt.rto
    expected = [min(rto * 2**n, ASK_RETRY_MAX_SECONDS) for n in range(len(waits))]
    assert waits == pytest.approx(expected, rel=0.11)
    assert len(waits) >= 8


def test_who_hears_the_room_but_says_nothing_itself_still_shows_that_it_lives() -> None:
    """Broadcasts alone are no exchange: the server must hear from the client, too."""
    bench = SessionBench()
    bench.enter()
    for _ in range(60):
        bench.advance(0.2)
        bench.chat("news")
        bench.receive(bench.slice(len(bench.log)))
    assert bench.count(Status) >= 2


def test_a_client_that_acknowledges_but_hears_nothing_asks() -> None:
    bench = SessionBench()
    bench.enter()
    old = bench.slice(1)
    sent: list[tuple[float, Packet]] = []
    for _ in range(30):
        bench.receive(replace(old, timestamp=1))
        sent += bench.advance(0.2)
    assert _asked(sent)


def test_an_overtaken_datagram_is_no_sign_of_life() -> None:
    bench = SessionBench()
    bench.enter()
    old = replace(bench.slice(), timestamp=1)
    for _ in range(60):
        bench.advance(0.2)
        bench.receive(old)
    assert bench.shown("reconnecting")


# --- the link is lost ------------------------------------------------------------------------


def test_a_client_says_reconnecting_when_its_questions_go_unanswered() -> None:
    bench = SessionBench()
    bench.enter()
    sent = bench.advance(12.0)
    first_question = _asked(sent)[0]
    (join_at, join), *_ = [(at, p) for at, p in sent if isinstance(p, Join)]
    assert bench.events[-1] == {"event": "reconnecting", "reason": "silence"}
    assert join_at - first_question == pytest.approx(SILENCE_SECONDS)
    assert isinstance(join, Join)
    assert (join.epoch, join.room_ack) == (bench.EPOCH, 1)
    assert (join.inbox_epoch, join.inbox_ack) == (bench.INBOX_EPOCH, 1)
    assert bench.state() is State.REJOINING


def test_lines_that_stay_without_echo_are_a_question_too() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("hello")
    bench.advance(SILENCE_SECONDS + 0.5)
    assert bench.kinds()[-1] == "reconnecting"


def test_reconnecting_is_said_once_and_joins_go_on_with_back_off() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    sent = bench.advance(60.0)
    times = [at for at, packet in sent if isinstance(packet, Join)]
    waits = [b - a for a, b in pairwise(times)]
    assert waits[5:] == pytest.approx([REJOIN_RETRY_MAX_SECONDS] * len(waits[5:]), rel=0.11)
    assert len(waits) > 20
    assert len(times) == len(sent), "and nothing else is sent"
    assert len(bench.shown("reconnecting")) == 1


def test_what_is_typed_while_the_link_is_lost_is_kept_and_said_after() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("before")
    bench.lose_the_link()
    assert bench.say("meanwhile") == []
    bench.advance(30.0)
    assert bench.session.pending_count == 2
    (say,) = of_type(Say, bench.resume())
    assert [message.text for message in say.messages] == ["before", "meanwhile"]
    assert bench.kinds()[-2:] == ["reconnecting", "resumed"]


def test_what_waits_can_be_listed_but_for_the_clients_own_questions() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("one")
    bench.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    bench.say("", kind=MessageKind.WHO)
    assert bench.session.pending_lines == ["one", "psst"]
    bench.echo("one", first_id=1)
    bench.receive(bench.slice(2))
    assert bench.session.pending_lines == ["psst"]


def test_the_next_message_id_of_a_join_is_the_oldest_that_may_have_to_be_said() -> None:
    bench = SessionBench()
    bench.enter()
    assert bench.newest(Join).next_message_id == 1
    bench.say("one", "two", "three")
    bench.echo("one", first_id=1)
    bench.receive(bench.slice(2))
    bench.lose_the_link()
    assert bench.newest(Join).next_message_id == 2


def test_events_are_not_taken_while_reconnecting() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    bench.chat("straggler")
    bench.receive(bench.slice(2))
    assert bench.shown("chat") == []
    assert bench.session.counters["not joined"] == 1


def test_a_client_that_slept_asks_first_and_does_not_blame_the_server() -> None:
    bench = SessionBench()
    bench.enter()
    bench.advance(5.6)
    assert _asked(bench.sent)
    bench.now += 3600.0
    (status,) = of_type(Status, bench.wake())
    assert status.ask
    assert bench.shown("reconnecting") == []
    assert bench.session.counters["stalls"] == 1
    bench.receive(bench.answer(status.timestamp))
    bench.advance(4.0)
    assert bench.shown("reconnecting") == []


def test_a_client_that_slept_before_it_asked_asks() -> None:
    bench = SessionBench()
    bench.enter()
    bench.now += 3600.0
    (status,) = of_type(Status, bench.wake())
    assert status.ask
    assert bench.shown("reconnecting") == []


def test_a_timer_that_is_only_a_little_late_is_no_stall() -> None:
    bench = SessionBench()
    bench.enter()
    bench.advance(5.6)
    bench.now += 0.8 * STALL_SECONDS
    bench.wake()
    assert bench.session.counters["stalls"] == 0


# --- BYE and LEAVE ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reason", "shown"),
    [
        (ByeReason.TIMEOUT, "timeout"),
        (ByeReason.UNKNOWN_SESSION, "unknown_session"),
        (ByeReason.SHUTTING_DOWN, "shutting_down"),
        (77, "reason_77"),
    ],
)
def test_a_bye_begins_the_way_back_and_says_why(reason: int, shown: str) -> None:
    bench = SessionBench()
    bench.enter()
    assert of_type(Join, bench.bye(reason))
    assert bench.events[-1] == {"event": "reconnecting", "reason": shown}


def test_a_bye_to_another_session_is_ignored() -> None:
    bench = SessionBench()
    bench.enter()
    bench.bye(ByeReason.TIMEOUT, bench.SESSION_ID ^ 1)
    bench.bye(ByeReason.TIMEOUT, 0)
    assert bench.state() is State.JOINED
    assert bench.session.counters["stale"] == 2


def test_a_bye_to_session_zero_does_not_reach_who_has_no_session() -> None:
    bench = SessionBench()
    bench.start()
    bench.bye(ByeReason.UNKNOWN_SESSION, 0)
    assert bench.state() is State.JOINING
    assert bench.session.counters["stale"] == 1


def test_a_second_bye_changes_nothing() -> None:
    bench = SessionBench()
    bench.enter()
    bench.bye(ByeReason.SHUTTING_DOWN)
    assert bench.bye(ByeReason.SHUTTING_DOWN) == []
    assert len(bench.shown("reconnecting")) == 1


def test_leaving_is_said_until_the_server_says_bye() -> None:
    bench = SessionBench()
    bench.enter()
    bench.session.leave(bench.now)
    (leave,) = bench.wake()
    assert isinstance(leave, Leave)
    assert leave.session_id == bench.SESSION_ID
    assert len(bench.advance(0.3)) >= 1
    assert bench.shown("left") == []
    bench.bye(ByeReason.LEFT)
    assert bench.state() is State.CLOSED
    assert bench.events[-1] == {"event": "left"}
    assert bench.advance(60.0) == []


def test_leaving_ends_after_a_few_tries_where_nobody_answers() -> None:
    bench = SessionBench()
    bench.enter()
    rto = bench.session.rtt.rto
    bench.session.leave(bench.now)
    bench.wake()
    sent = bench.advance(30.0)
    assert bench.count(Leave) == LEAVE_TRIES
    assert bench.state() is State.CLOSED
    assert bench.shown("left") == [{"event": "left"}]
    waits = [b - a for (a, _), (b, _) in pairwise(sent)]
    assert waits == pytest.approx([rto * 2**n for n in range(1, LEAVE_TRIES - 1)])


def test_leaving_again_while_leaving_or_after_changes_nothing() -> None:
    bench = SessionBench()
    bench.enter()
    for _ in range(3):
        bench.session.leave(bench.now)
    assert len(bench.wake()) == 1
    bench.bye(ByeReason.LEFT)
    bench.session.leave(bench.now)
    bench.wake()
    assert len(bench.shown("left")) == 1


def test_who_leaves_before_being_in_just_ends() -> None:
    for begin in (False, True):
        bench = SessionBench()
        if begin:
            bench.start()
        bench.session.leave(bench.now)
        assert bench.wake() == []
        assert bench.state() is State.CLOSED
        assert bench.events == []
        assert bench.session.next_timeout() is None


def test_who_leaves_while_reconnecting_tells_the_server_which_may_still_have_it() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    bench.session.leave(bench.now)
    (leave,) = bench.wake()
    assert isinstance(leave, Leave)
    assert leave.session_id == bench.SESSION_ID
    sent = bench.advance(10.0)
    assert {type(packet) for _, packet in sent} == {Leave}, "no JOIN any more"
    assert bench.events[-1] == {"event": "left"}
    assert bench.state() is State.CLOSED


def test_who_is_leaving_is_not_brought_back_by_a_late_welcome() -> None:
    bench = SessionBench()
    bench.enter()
    bench.receive(Challenge(bench.SESSION_ID, b"n" * 16))
    welcome = bench.resume_packet()
    bench.session.leave(bench.now)
    bench.receive(welcome)
    assert bench.state() is State.LEAVING
    assert not of_type(Join, [packet for _, packet in bench.advance(0.5)])


def test_after_the_end_nothing_is_sent_whatever_comes() -> None:
    bench = SessionBench()
    bench.enter()
    bench.session.leave(bench.now)
    bench.wake()
    bench.bye(ByeReason.LEFT)
    events = list(bench.events)
    bench.chat("late")
    for packet in (bench.slice(2), Challenge(bench.SESSION_ID, b"n" * 16)):
        assert bench.receive(packet) == []
    assert bench.say("too late") == []
    assert bench.events == events


# --- what is shown ---------------------------------------------------------------------------


def test_every_kind_of_event_is_shown_with_what_it_needs() -> None:
    bench = SessionBench()
    bench.enter()
    bench.append(
        Event(EventKind.CHAT, 1500, "Boris", "", "hi", 8),
        Event(EventKind.ACTION, 1500, "Boris", "", "waves", 8),
        Event(EventKind.JOIN, 1500, "Clara", "", "", 9),
        Event(EventKind.RENAME, 1500, "Clara", "", "Claire", 9),
        Event(EventKind.LEAVE, 1500, "Claire", "", "timeout", 9),
    )
    bench.receive(bench.slice(2))
    time = {"time": 1.5}
    assert bench.events[1:] == [
        {"event": "chat", "seq": 2, **time, "name": "Boris", "text": "hi"},
        {"event": "action", "seq": 3, **time, "name": "Boris", "text": "waves"},
        {"event": "join", "seq": 4, **time, "name": "Clara"},
        {"event": "rename", "seq": 5, **time, "name": "Clara", "new_name": "Claire"},
        {"event": "leave", "seq": 6, **time, "name": "Claire", "reason": "timeout"},
    ]


def test_private_messages_and_notices_are_shown_in_the_order_of_the_inbox() -> None:
    bench = SessionBench()
    bench.enter()
    bench.inbox += [
        Event(EventKind.PRIVATE, 1500, "Boris", "Anna", "psst", 8),
        Event(EventKind.NOTICE, 1500, "", "Nobody", "no_such_member", 7, 9),
    ]
    bench.receive(bench.slice(3, inbox=True))
    bench.receive(bench.slice(2, 2, inbox=True))
    assert bench.events[1:] == [
        {"event": "private", "time": 1.5, "name": "Boris", "to": "Anna", "text": "psst"},
        {"event": "notice", "time": 1.5, "reason": "no_such_member", "name": "Nobody"},
    ]


def test_the_own_rename_changes_the_own_name_and_anothers_does_not() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("Anne", kind=MessageKind.RENAME)
    bench.append(Event(EventKind.RENAME, 1500, "Boris", "", "Bob", 8))
    bench.receive(bench.slice(2))
    assert bench.session.name == "Anna"
    bench.append(Event(EventKind.RENAME, 1500, "Anna", "", "Anne", bench.MEMBER, 1))
    bench.receive(bench.slice(3))
    assert bench.session.name == "Anne"
    assert bench.session.pending_count == 0
    assert bench.shown("sent") == [], "the rename itself says so"
    bench.lose_the_link()
    assert bench.newest(Join).name == "Anne"


def test_only_what_was_accepted_is_confirmed() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("psst", kind=MessageKind.PRIVATE, to="Nobody")
    bench.inbox.append(
        Event(EventKind.NOTICE, 1500, "", "Nobody", "no_such_member", bench.MEMBER, 1)
    )
    bench.receive(bench.slice(2, inbox=True))
    assert bench.session.pending_count == 0
    assert bench.shown("sent") == []


def test_a_long_line_is_confirmed_once_at_its_last_part() -> None:
    bench = SessionBench()
    bench.enter()
    says = of_type(Say, bench.say("x" * 2000))
    assert [message.more for say in says for message in say.messages] == [True, True, False]
    bench.echo("x" * 900, "x" * 900, "x" * 200, first_id=1)
    for seq in (2, 3, 4):
        bench.receive(bench.slice(seq, seq))
    assert bench.shown("sent") == [{"event": "sent", "seq": 4}]


def test_has_output_and_has_events_say_what_waits() -> None:
    bench = SessionBench()
    session = bench.session
    assert (session.has_output, session.has_events) == (False, False)
    session.start(bench.now)
    assert session.has_output
    bench.wake()
    assert not session.has_output
    bench.take(Refused(bench.newest(Join).client_id, bench.newest(Join).timestamp, 1, ""))
    assert session.has_events
    bench.wake()
    assert not session.has_events
