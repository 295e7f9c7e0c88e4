"""Coming back and moving: what is missed, what is said again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.machines import SessionBench, of_type
from udp_chat.client.session import State
from udp_chat.protocol.packets import (
    Address,
    Challenge,
    Event,
    EventKind,
    Join,
    MessageKind,
    Packet,
    Refused,
    RefusedReason,
    Say,
)

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


def test_another_epoch_is_one_visible_gap_of_unknown_size_and_then_all_of_it_is_news() -> None:
    """It was said after the client had joined, so it is no history."""
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
        (1, "new one", None),
        (2, "new two", None),
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


def test_lines_of_the_old_server_are_not_asked_about_at_the_new_one() -> None:
    """Their sequence numbers mean other events there."""
    bench = SessionBench()
    bench.enter()
    bench.say("old line")
    bench.echo("old line", first_id=1)
    bench.receive(bench.slice(2))
    _restart(bench, "not mine", "nor mine", received=1)
    bench.receive(bench.slice(1))
    bench.receive(bench.roster("Anna"))
    bench.session.ask_seen(bench.now)
    (say,) = of_type(Say, bench.wake())
    assert [(m.kind, m.text) for m in say.messages] == [(MessageKind.SEEN, "")]


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


def test_a_client_that_was_never_shown_the_room_takes_another_epoch_as_history() -> None:
    bench = SessionBench()
    bench.start()
    bench.challenge()
    bench.receive(bench.welcome_packet())
    bench.advance(12.0)
    bench.epoch, bench.inbox_epoch = 0xE2, 0x1E2
    bench.chat("before")
    joined = bench.append(Event(EventKind.JOIN, 5000, "Anna", "", "", bench.MEMBER))
    bench.resume(session_id=99, start=1, inbox_start=1, joined=joined)
    bench.receive(bench.slice(1))
    bench.receive(bench.roster("Anna"))
    assert [(e["text"], e.get("history")) for e in bench.shown("chat")] == [("before", True)]
    assert bench.shown("lost") == []


def test_what_was_held_back_before_joined_is_shown_though_the_inbox_was_forgotten() -> None:
    """Its acknowledgement was sent, so it will not come again."""
    bench = SessionBench()
    bench.start()
    bench.challenge()
    bench.joined = bench.append(Event(EventKind.JOIN, 5000, "Anna", "", "", bench.MEMBER))
    bench.receive(bench.welcome_packet(joined=1))
    bench.chat("held back")
    bench.receive(bench.slice(1))
    bench.advance(12.0)
    bench.inbox_epoch = 0x1E2
    bench.resume(session_id=99)
    bench.receive(bench.roster("Anna"))
    assert bench.kinds() == ["joined", "chat"]


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


def _refused(bench: SessionBench, reason: RefusedReason) -> str | None:
    """The name that the session asks for at once when it is refused; None if it waits."""
    join = bench.newest(Join)
    sent = bench.receive(Refused(join.client_id, join.timestamp, reason, "no"))
    return next((join.name for join in of_type(Join, sent)), None)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("Anna!", ["Anna", "guest", None, None]),
        ("Anna", ["guest", None]),
        ("!", ["guest", None]),
        ("guest", [None]),
    ],
)
def test_who_comes_back_to_a_server_that_refuses_the_name_asks_for_the_nearest(
    given: str, names: list[str | None]
) -> None:
    """A room of 0.2.0 took `Anna!`; after its update it does not."""
    bench = SessionBench(given)
    bench.enter()
    bench.lose_the_link()
    bench.challenge()
    assert [_refused(bench, RefusedReason.UNUSABLE_NAME) for _ in names] == names
    assert len(bench.shown("refused")) == 1
    join = bench.newest(Join)
    bench.receive(bench.resume_packet(session_id=99))
    assert bench.shown("resumed")[-1]["name"] == bench.session.name == join.name


def test_who_was_renamed_to_what_cannot_be_a_name_comes_back_under_the_given_one() -> None:
    bench = SessionBench()
    bench.enter()
    bench.append(Event(EventKind.RENAME, 5000, "Anna", "", "two words", bench.MEMBER))
    bench.receive(bench.slice(2))
    bench.lose_the_link()
    bench.challenge()
    assert bench.newest(Join).name == "two words"
    assert _refused(bench, RefusedReason.UNUSABLE_NAME) == "Anna"
    taken = [_refused(bench, RefusedReason.NAME_IN_USE) for _ in range(2)]
    assert taken == ["Anna-2", "Anna-3"], "a number is behind a name that can be one"
    bench.receive(bench.resume_packet(session_id=99))
    assert bench.shown("resumed")[-1]["name"] == "Anna-3"


def test_names_that_were_refused_once_are_tried_again_the_next_time() -> None:
    bench = SessionBench("Anna!")
    bench.enter()
    for names in (["Anna", "guest"], ["Anna!", "Anna", "guest"]):
        bench.lose_the_link()
        bench.challenge()
        assert [_refused(bench, RefusedReason.UNUSABLE_NAME) for _ in names] == names
        bench.receive(bench.resume_packet(session_id=len(names), name="Boris"))


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


def test_events_that_overtake_the_welcome_of_a_moved_client_are_shown_once() -> None:
    """The server dropped the session meanwhile: it answers with a new one, in the same inbox."""
    bench = SessionBench()
    bench.enter()
    bench.receive(Challenge(bench.SESSION_ID, b"n" * 16))
    welcome = bench.resume_packet(session_id=99)
    bench.inbox.append(Event(EventKind.PRIVATE, 5000, "Boris", "Anna", "psst", 8, 1))
    bench.receive(bench.slice(len(bench.inbox), inbox=True))
    bench.chat("hello")
    bench.receive(bench.slice(len(bench.log)))
    bench.receive(welcome)
    bench.receive(bench.slice(len(bench.inbox), inbox=True))
    bench.receive(bench.slice(len(bench.log)))
    assert [event["text"] for event in bench.shown("private")] == ["psst"]
    assert [event["text"] for event in bench.shown("chat")] == ["hello"]
    assert bench.shown("lost") == []


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
    bench.session.whereabouts.server = server
    join = bench.start()
    sent = bench.receive(Challenge(join.client_id, b"c" * 16), source)
    assert bool(sent) == taken
    assert bench.session.counters["not from the server"] == (not taken)
