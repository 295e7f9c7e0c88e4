"""The client's session: heartbeats, lost links, coming back, moving, leaving (rules 6 to 10)."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from protocol import (
    Address,
    ByeReason,
    Challenge,
    Event,
    EventKind,
    Join,
    Leave,
    MessageKind,
    Packet,
    Refused,
    RefusedReason,
    Say,
    Status,
)
from session import (
    ASK_RETRY_MAX_SECONDS,
    LEAVE_TRIES,
    REJOIN_RETRY_MAX_SECONDS,
    SILENCE_SECONDS,
    STALL_SECONDS,
    State,
)
from tests.machines import SessionBench, of_type

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
    assert all(0.9 * 5.0 - 0.1 <= wait <= 1.1 * 5.0 + 0.1 for wait in waits)
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
    assert all(54.0 <= wait <= 66.0 for wait in first_questions)
    assert len(first_questions) == 5


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


# --- coming back -----------------------------------------------------------------------------


def test_a_resumed_session_shows_exactly_what_it_missed_and_nothing_as_history() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("seen")
    bench.receive(bench.slice(2))
    bench.lose_the_link()
    bench.chat("missed", "missed too")
    bench.resume()
    bench.receive(bench.slice(3))
    assert [event["text"] for event in bench.shown("chat")] == ["seen", "missed", "missed too"]
    assert not any(event.get("history") for event in bench.events)
    assert bench.shown("lost") == []
    assert bench.shown("resumed") == [{"event": "resumed", "name": "Anna", "room": "chat"}]
    assert len(bench.shown("joined")) == 1


def test_after_a_timeout_what_was_missed_comes_too_but_the_own_new_join_is_not_shown() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    bench.chat("missed")
    bench.append(Event(EventKind.LEAVE, 5000, "Anna", "", "timeout", bench.MEMBER))
    joined = bench.append(Event(EventKind.JOIN, 5000, "Anna", "", "", bench.MEMBER))
    bench.resume(session_id=99, joined=joined)
    bench.receive(bench.slice(2))
    bench.receive(bench.roster("Anna", "Boris"))
    assert bench.kinds()[-3:] == ["resumed", "chat", "leave"]
    assert not any(event.get("history") for event in bench.events)
    bench.say("back")
    assert bench.newest(Say).session_id == 99


def test_what_a_new_session_did_not_keep_is_said_again() -> None:
    """At a timeout the server forgets what it had received but not appended."""
    bench = SessionBench()
    bench.enter()
    (say,) = of_type(Say, bench.say("one", "two", "three"))
    bench.receive(bench.answer(say.timestamp, received=3, appended=1))
    bench.lose_the_link()
    (again,) = of_type(Say, bench.resume(session_id=99, received=1))
    assert [message.message_id for message in again.messages] == [2, 3]


def test_what_the_same_session_has_is_not_said_again_whatever_an_old_welcome_says() -> None:
    bench = SessionBench()
    bench.enter()
    (say,) = of_type(Say, bench.say("one", "two"))
    bench.receive(bench.answer(say.timestamp, received=2, appended=0))
    bench.lose_the_link()
    assert of_type(Say, bench.resume(received=0)) == []


def _restart(bench: SessionBench, *texts: str, **fields: object) -> list[Packet]:
    """Another server answers: a new epoch with these lines, and me at their end."""
    bench.lose_the_link()
    bench.epoch, bench.inbox_epoch = 0xE2, 0x1E2
    bench.log.clear()
    bench.inbox.clear()
    bench.chat(*texts)
    bench.joined = bench.append(Event(EventKind.JOIN, 5000, "Anna", "", "", bench.MEMBER))
    welcome = {"session_id": 99, "start": 1, "inbox_start": 1, "joined": bench.joined, **fields}
    return bench.resume(**welcome)


def test_another_epoch_is_one_visible_gap_of_unknown_size_and_then_history() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("old")
    bench.receive(bench.slice(2))
    _restart(bench, "new one", "new two")
    bench.receive(bench.slice(1))
    bench.receive(bench.roster("Anna", "Clara"))
    bench.chat("after")
    bench.receive(bench.slice(4))
    tail = bench.events[bench.kinds().index("reconnecting") + 1 :]
    assert tail[0] == {"event": "lost", "count": None}
    assert tail[1]["event"] == "resumed"
    assert [(e.get("seq"), e.get("text"), e.get("history")) for e in tail[2:]] == [
        (1, "new one", True),
        (2, "new two", True),
        (4, "after", None),
    ]
    assert bench.session.members == ["Anna", "Clara"]


def test_what_waits_is_said_to_the_new_server_too() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("one", "two", "three")
    bench.echo("one", first_id=1)
    bench.receive(bench.slice(2))
    sent = _restart(bench, received=1)
    assert [m.text for say in of_type(Say, sent) for m in say.messages] == ["two", "three"]
    assert bench.newest(Join).next_message_id == 2


def test_a_line_whose_echo_was_overtaken_is_not_said_twice_to_a_new_server() -> None:
    """The echo of a private line came, so the chat line before it was appended as well."""
    bench = SessionBench()
    bench.enter()
    bench.say("chat")
    bench.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    bench.say("later")
    bench.inbox.append(Event(EventKind.PRIVATE, 5000, "Anna", "Boris", "psst", bench.MEMBER, 2))
    bench.receive(bench.slice(2, inbox=True))
    assert bench.session.pending_count == 2
    bench.lose_the_link()
    first = bench.newest(Join).next_message_id
    assert first == 3
    sent = _restart(bench, received=first - 1)
    assert [m.text for say in of_type(Say, sent) for m in say.messages] == ["later"]
    assert bench.session.pending_count == 1


def test_events_older_than_the_log_are_a_gap_of_known_size() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    bench.chat(*[f"line {number}" for number in range(2, 21)])
    bench.resume(oldest=12)
    bench.receive(bench.slice(12, oldest=12))
    assert bench.shown("lost") == [{"event": "lost", "count": 10}]
    assert [event["seq"] for event in bench.shown("chat")] == list(range(12, 21))


def test_a_hole_that_the_server_can_no_longer_fill_is_shown_with_its_size() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat(*"bcdefgh")
    bench.receive(bench.slice(6, 6))
    bench.receive(bench.slice(8, 8, oldest=5))
    assert bench.events[1:] == [{"event": "lost", "count": 3}], "5 may still come"
    bench.receive(bench.slice(5, 5, oldest=5))
    assert [event["seq"] for event in bench.shown("chat")] == [5, 6]


def test_a_new_member_sees_what_was_before_it_as_history_and_what_comes_after_as_news() -> None:
    bench = SessionBench()
    bench.start()
    bench.challenge()
    bench.chat("one", "two")
    joined = bench.append(Event(EventKind.JOIN, 5000, "Anna", "", "", bench.MEMBER))
    bench.take(bench.welcome_packet(joined=joined, start=2))
    bench.receive(bench.slice(2))
    bench.receive(bench.roster("Anna"))
    bench.chat("three")
    bench.receive(bench.slice(4))
    shown = [(e["text"], e.get("history")) for e in bench.shown("chat")]
    assert shown == [("two", True), ("three", None)]
    assert bench.shown("lost") == [], "what was before the history is no loss"
    assert bench.shown("join") == []


def test_a_name_that_was_taken_meanwhile_does_not_keep_a_client_out() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    bench.challenge()
    for number in (2, 3):
        join = bench.newest(Join)
        (again,) = of_type(
            Join,
            bench.receive(
                Refused(join.client_id, join.timestamp, RefusedReason.NAME_IN_USE, "taken")
            ),
        )
        assert again.name == f"Anna-{number}"
    assert len(bench.shown("refused")) == 1, "said once, however often it is tried"
    bench.now += 0.02
    bench.receive(bench.resume_packet(session_id=99))
    assert bench.session.name == "Anna-3"
    assert bench.shown("resumed")[-1]["name"] == "Anna-3"


def test_a_refusal_of_an_earlier_name_says_nothing_about_the_next() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    bench.challenge()
    join = bench.newest(Join)
    refusal = Refused(join.client_id, join.timestamp, RefusedReason.NAME_IN_USE, "taken")
    bench.receive(refusal)
    bench.receive(refusal)
    assert bench.newest(Join).name == "Anna-2"
    assert bench.session.counters["stale"] == 1


def test_a_full_room_does_not_end_the_attempts_to_come_back() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    bench.challenge()
    for _ in range(3):
        join = bench.newest(Join)
        bench.receive(Refused(join.client_id, join.timestamp, RefusedReason.ROOM_FULL, "full"))
        assert of_type(Join, [packet for _, packet in bench.advance(2.3)])
    assert bench.state() is State.REJOINING
    assert len(bench.shown("refused")) == 1


def test_an_answer_to_the_session_before_says_nothing_about_this_one() -> None:
    bench = SessionBench()
    bench.enter()
    (say,) = of_type(Say, bench.say("one"))
    late = bench.answer(say.timestamp, received=1, appended=0)
    bench.lose_the_link()
    bench.resume(session_id=99, received=0)
    bench.receive(replace(late, timestamp=bench.timestamp()))
    assert bench.session.counters["stale"] == 1
    assert of_type(Say, [packet for _, packet in bench.advance(0.5)]), "still sent again"


def test_events_of_another_epoch_are_not_taken() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("strange")
    bench.receive(bench.slice(2, epoch=1))
    bench.receive(bench.slice(1, epoch=1, inbox=True))
    assert bench.shown("chat") == []
    assert bench.session.counters["other epoch"] == 2


def test_an_echo_in_a_part_of_the_log_that_is_lost_does_not_keep_a_line_waiting_for_ever() -> None:
    bench = SessionBench()
    bench.enter()
    (say,) = of_type(Say, bench.say("hello"))
    bench.chat(*["x"] * 5)
    bench.receive(bench.answer(say.timestamp, received=1, appended=1))
    assert bench.shown("sent") == [], "its echo may still come"
    bench.receive(bench.slice(4, oldest=4))
    assert bench.shown("sent") == [{"event": "sent"}]


def test_an_answer_does_not_end_the_wait_for_an_echo_that_is_still_to_come() -> None:
    bench = SessionBench()
    bench.enter()
    say = of_type(Say, bench.say("hello"))[-1]
    bench.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    bench.inbox.append(Event(EventKind.PRIVATE, 5000, "Anna", "Boris", "psst", bench.MEMBER, 2))
    bench.echo("hello", first_id=1)
    bench.receive(bench.answer(say.timestamp, received=2))
    bench.receive(bench.slice(2))
    assert bench.shown("sent") == [{"event": "sent", "seq": 2}], "the inbox is not here yet"
    bench.receive(bench.slice(2, inbox=True))
    assert bench.shown("sent")[-1] == {"event": "sent", "to": "Boris"}


# --- a new address ---------------------------------------------------------------------------


def test_a_client_whose_address_changed_proves_the_new_one_and_shows_nothing() -> None:
    bench = SessionBench()
    bench.enter()
    before = list(bench.events)
    (join,) = of_type(Join, bench.receive(Challenge(bench.SESSION_ID, b"n" * 16)))
    assert join.cookie == b"n" * 16
    assert (join.epoch, join.room_ack) == (bench.EPOCH, 1)
    assert bench.receive(Challenge(bench.SESSION_ID, b"n" * 16)) == []
    bench.say("meanwhile")
    bench.now += 0.02
    bench.receive(bench.resume_packet())
    assert bench.events == before
    assert bench.state() is State.JOINED
    assert bench.session.counters["address changes"] == 1
    sent = bench.advance(0.5)
    assert of_type(Say, [packet for _, packet in sent]), "retransmission goes on"
    assert not of_type(Join, [packet for _, packet in sent])


def test_a_moved_client_repeats_its_join_until_it_is_welcome() -> None:
    bench = SessionBench()
    bench.enter()
    bench.receive(Challenge(bench.SESSION_ID, b"n" * 16))
    assert len(of_type(Join, [packet for _, packet in bench.advance(1.0)])) >= 2
    bench.receive(Challenge(bench.SESSION_ID, b"o" * 16))
    assert bench.newest(Join).cookie == b"o" * 16, "the first cookie has expired"


def test_a_challenge_for_another_session_is_ignored() -> None:
    bench = SessionBench()
    bench.enter()
    assert bench.receive(Challenge(bench.SESSION_ID ^ 1, b"n" * 16)) == []
    assert bench.session.counters["unexpected packet"] == 1


@pytest.mark.parametrize(
    ("server", "source", "taken"),
    [
        (("192.0.2.1", 9091), ("192.0.2.1", 9091), True),
        (("192.0.2.1", 9091), ("192.0.2.2", 9091), False),
        (("192.0.2.1", 9091), ("192.0.2.1", 9092), False),
        (("fe80::1", 9091, 0, 2), ("fe80::1", 9091, 0, 0), True),
    ],
)
def test_only_the_servers_address_is_listened_to(
    server: Address, source: Address, taken: bool
) -> None:
    bench = SessionBench()
    bench.session.server = server
    join = bench.start()
    sent = bench.receive(Challenge(join.client_id, b"c" * 16), source)
    assert bool(sent) == taken
    assert bench.session.counters["not from the server"] == (not taken)


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
