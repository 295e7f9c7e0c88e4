"""From client to server: each message once, in order, until its echo."""

from __future__ import annotations

from itertools import pairwise

import pytest

from tests.machines import RoomBench, SessionBench, of_type
from udp_chat.client.outbox import DATAGRAMS_IN_FLIGHT_MAX, PENDING_MAX, PendingFull
from udp_chat.protocol.delivery import RTO_MAX_SECONDS, RTO_MIN_SECONDS
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    IN_FLIGHT_MAX,
    RUN_MAX,
    TEXT_BYTES_MAX,
    EventKind,
    Events,
    Message,
    MessageKind,
    Say,
    Status,
)
from udp_chat.server.floor import HELD_MAX
from udp_chat.server.settings import RoomSettings

# --- the room appends each message once, in order --------------------------------------------


def test_a_message_is_appended_with_its_sender_and_comes_back_to_everyone() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    sent = anna.say("hello")
    assert anna.shown(sent) == boris.shown(sent) == ["hello"]
    (event,) = [e for e in bench.log() if e.kind is EventKind.CHAT]
    assert (event.name, event.member, event.message_id) == ("Anna", anna.member.number, 1)


def test_an_action_keeps_its_kind() -> None:
    bench = RoomBench()
    bench.join("Anna").say("waves", kind=MessageKind.ACTION)
    assert bench.lines()[-1] == "Anna action waves"


def test_a_message_sent_again_is_appended_once() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    say = anna.say_packet("once")
    for _ in range(3):
        anna.send(say)
    anna.say("once", "twice", first=1)
    assert bench.texts() == ["once", "twice"]


def test_a_message_after_a_hole_waits_for_what_is_before_it() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.say("three", "four", first=3)
    anna.say("two", first=2)
    assert bench.texts() == []
    anna.say("one", first=1)
    assert bench.texts() == ["one"]
    anna.say("one", "two", "three", "four", first=1)
    assert bench.texts() == ["one", "two", "three", "four"]


def test_a_message_id_of_zero_is_nothing() -> None:
    bench = RoomBench()
    bench.join("Anna").say("zero", first=0)
    assert bench.texts() == []


def test_a_late_say_counts_though_it_is_no_sign_of_life() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    late = anna.say_packet("late")
    bench.now += 1
    anna.status()
    heard_at = anna.member.heard_at
    bench.now += 1
    anna.send(late)
    assert bench.texts() == ["late"]
    assert anna.member.heard_at == heard_at


def test_messages_of_two_members_with_the_same_ids_are_different() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("mine")
    boris.say("mine")
    assert bench.texts() == ["mine", "mine"]


@pytest.mark.parametrize("ending", ["timeout", "leave"])
def test_a_message_is_appended_once_across_sessions(ending: str) -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    say = anna.say_packet("once")
    anna.send(say)
    if ending == "leave":
        anna.leave()
    else:
        bench.advance(16.0)
    assert bench.names() == []
    welcome = anna.resume(next_message_id=1)
    assert welcome.received == 1
    anna.say("once", "new", first=1)
    anna.send(say)
    assert bench.texts() == ["once", "new"]


def test_a_replayed_say_of_an_earlier_session_is_not_appended() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    old = anna.say_packet("unheard")
    anna.leave()
    anna.resume(next_message_id=1)
    anna.send(old)
    assert bench.texts() == []


def test_a_client_the_room_does_not_know_begins_to_count_where_it_says() -> None:
    bench = RoomBench()
    anna = bench.peer("Anna")
    assert anna.enter(next_message_id=40).received == 39
    anna.say("thirty-nine", first=39)
    anna.say("forty", first=40)
    assert bench.texts() == ["forty"]


def test_messages_are_counted_once_even_for_those_whose_inbox_is_forgotten() -> None:
    bench = RoomBench(RoomSettings(members_max=2))
    anna = bench.join("Anna")
    number = anna.member.number
    say = anna.say_packet("once")
    anna.send(say)
    anna.leave()
    for name in "BCDE":
        bench.join(name).leave()
    welcome = anna.resume(next_message_id=1)
    assert welcome.received == 1
    assert welcome.member == number, "so that it knows its own echo"
    anna.say("once", first=1)
    assert bench.texts() == ["once"]


def test_a_message_the_room_has_already_is_answered_when_its_echo_is_due() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.say("hello")
    assert anna.say("hello", first=1) == [], "its echo is on its way"
    bench.now += 2 * anna.member.rtt.rto
    again = anna.say_packet("hello", first=1)
    answers = [p.answer for p in of_type(Events, anna.send(again)) if p.answer]
    assert [(a.echoed_timestamp, a.received, a.appended) for a in answers] == [
        (again.timestamp, 1, 1)
    ]


# --- long lines ------------------------------------------------------------------------------


def test_the_parts_of_a_long_line_stay_side_by_side() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("a1", "a2", more=True)
    boris.say("b1")
    anna.say("a3", more=True)
    boris.say("b2")
    assert bench.texts() == ["b1", "b2"], "not before the line is complete"
    anna.say("a4")
    assert bench.texts() == ["b1", "b2", "a1", "a2", "a3", "a4"]


def test_lines_before_an_incomplete_one_do_not_wait_for_it() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    whole = anna.say_packet("whole")
    begun = anna.say_packet("begun", more=True)
    anna.send(Say(whole.session_id, begun.timestamp, whole.messages + begun.messages))
    assert bench.texts() == ["whole"]


def test_what_is_received_but_not_appended_is_answered_so_that_it_is_not_sent_again() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    (answer,) = [p.answer for p in of_type(Events, anna.say("begun", more=True)) if p.answer]
    assert (answer.received, answer.appended) == (1, 0)


def test_a_line_that_never_ends_is_cut_into_runs() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    for number in range(RUN_MAX - 1):
        anna.say(f"part {number}", more=True)
    assert bench.texts() == []
    anna.say("and one more", more=True)
    assert len(bench.texts()) == RUN_MAX


def test_an_incomplete_line_is_forgotten_at_the_timeout_and_asked_for_again() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.say("begun", more=True)
    bench.advance(16.0)
    assert anna.resume(next_message_id=1).received == 0
    anna.say("begun", first=1, more=True)
    anna.say("ended", first=2)
    assert bench.texts() == ["begun", "ended"]


def test_a_client_marks_the_parts_of_a_long_line_and_keeps_runs_within_bounds() -> None:
    bench = SessionBench()
    bench.enter()
    bench.session.say("x" * (TEXT_BYTES_MAX * (RUN_MAX + 2)), bench.now)
    messages: dict[int, Message] = {}
    while bench.session.pending_count:
        messages |= {m.message_id: m for say in of_type(Say, bench.wake()) for m in say.messages}
        latest = bench.echo("…", first_id=len(bench.log))
        bench.receive(bench.slice(latest))
        messages |= {m.message_id: m for say in of_type(Say, _packets(bench)) for m in say.messages}
    assert list(messages) == list(range(1, RUN_MAX + 3))
    assert [m.more for m in messages.values()] == [True] * (RUN_MAX - 1) + [False, True, False]


# --- the member's rate -----------------------------------------------------------------------


def test_what_exceeds_a_members_rate_is_held_back_and_all_of_it_arrives_in_the_end() -> None:
    bench = RoomBench(RoomSettings(message_rate=10, message_burst=32))
    anna = bench.join("Anna")
    texts = [f"line {number}" for number in range(60)]
    (answer,) = [p.answer for p in of_type(Events, anna.say(*texts)) if p.answer]
    assert bench.texts() == texts[:32]
    assert (answer.received, answer.appended) == (60, 32)
    assert bench.room.counters["held back"] == 1
    bench.keep_alive(1.05, anna)
    assert bench.texts() == texts[:42]
    bench.keep_alive(3.0, anna)
    assert bench.texts() == texts


def test_one_members_flood_does_not_hold_back_another() -> None:
    bench = RoomBench(RoomSettings(message_rate=1, message_burst=32))
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say(*["flood"] * 60)
    boris.say("hello")
    assert bench.texts()[-1] == "hello"


def test_a_rate_of_zero_is_no_limit() -> None:
    bench = RoomBench(RoomSettings(message_rate=0, message_burst=0))
    anna = bench.join("Anna")
    for _ in range(40):
        anna.say(*["flood"] * 50)
    assert len(bench.texts()) == 2000


def test_a_burst_too_small_for_a_long_line_is_no_setting() -> None:
    with pytest.raises(ValueError, match="message_burst"):
        RoomSettings(message_burst=RUN_MAX - 1)


def test_what_the_room_holds_for_a_member_is_bounded() -> None:
    bench = RoomBench(RoomSettings(message_rate=1, message_burst=32))
    anna = bench.join("Anna")
    for _ in range(4):
        anna.say(*["flood"] * 50)
    assert len(anna.member.held) == HELD_MAX
    assert anna.member.received == 32 + HELD_MAX, "the rest is not taken, so it is sent again"


# --- the client sends until the echo comes ---------------------------------------------------


def _packets(bench: SessionBench) -> list[object]:
    return [packet for _, packet in bench.sent]


def test_a_line_is_sent_at_once_and_confirmed_by_its_echo() -> None:
    bench = SessionBench()
    bench.enter()
    (say,) = of_type(Say, bench.say("hello"))
    assert say.messages == (Message(1, MessageKind.CHAT, "hello"),)
    assert say.session_id == bench.SESSION_ID
    assert bench.session.pending_count == 1
    bench.echo("hello", first_id=1)
    bench.receive(bench.slice(2))
    assert bench.session.pending_count == 0
    assert bench.events[-2:] == [
        {"event": "sent", "seq": 2},
        {"event": "chat", "seq": 2, "time": 5.0, "name": "Anna", "text": "hello"},
    ]
    bench.advance(3.0)
    assert len(bench.says()) == 1


def test_anothers_line_with_the_same_number_is_no_echo() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("hello")
    bench.chat("hello", first_id=1)
    bench.receive(bench.slice(2))
    assert bench.session.pending_count == 1
    assert bench.shown("sent") == []


def test_a_line_is_sent_again_with_back_off_and_jitter_up_to_the_ceiling() -> None:
    bench = SessionBench()
    bench.enter()
    began_at = bench.now
    rto = bench.session.rtt.rto
    bench.say("hello")
    bench.advance(3.9)
    waits = [b - a for (a, _), (b, _) in pairwise(bench.rounds(began_at))]
    expected = [min(rto * 2 ** max(0, n - 1), RTO_MAX_SECONDS) for n in range(len(waits))]
    assert len(waits) >= 5
    for wait, middle in zip(waits, expected, strict=True):
        assert 0.9 * middle <= wait <= 1.1 * middle
    ratios = [wait / middle for wait, middle in zip(waits, expected, strict=True)]
    assert len(set(ratios)) == len(ratios), "jitter"
    assert bench.session.counters["retransmissions"] == len(waits)


def test_the_ceiling_bounds_the_wait() -> None:
    bench = SessionBench()
    bench.enter()
    for _ in range(10):
        bench.session.rtt.sample(1.5)
    assert bench.session.rtt.rto == RTO_MAX_SECONDS
    began_at = bench.now
    bench.say("hello")
    bench.advance(3.95)
    (first, _), (second, _) = bench.says(began_at)
    assert second - first <= 1.1 * RTO_MAX_SECONDS


def test_on_a_fast_link_a_line_is_not_sent_again_before_the_floor() -> None:
    bench = SessionBench()
    bench.enter()
    for _ in range(50):
        bench.session.rtt.sample(0.0001)
    began_at = bench.now
    bench.say("hello")
    bench.advance(0.2)
    (first, _), (second, _) = bench.says(began_at)[:2]
    assert second - first >= 0.9 * RTO_MIN_SECONDS


def test_clients_with_different_chance_do_not_retry_in_step() -> None:
    waits = []
    for seed in range(5):
        bench = SessionBench(seed=seed)
        bench.enter()
        bench.say("hello")
        bench.advance(1.0)
        (first, _), (second, _) = bench.says()[:2]
        waits.append((second - first) / bench.session.rtt.rto)
    assert len(set(waits)) == 5


def test_an_answer_that_says_received_ends_the_repetition_but_not_the_wait() -> None:
    bench = SessionBench()
    bench.enter()
    (say,) = of_type(Say, bench.say("held back"))
    bench.receive(bench.answer(say.timestamp, received=1, appended=0))
    began_at = bench.now
    bench.advance(3.0)
    assert bench.says(began_at + 0.001) == []
    assert bench.session.pending_count == 1


def test_after_progress_the_back_off_begins_anew() -> None:
    bench = SessionBench()
    bench.enter()
    (say,) = of_type(Say, bench.say("one", "two"))
    bench.advance(1.5)
    bench.receive(bench.answer(say.timestamp, received=1, appended=0))
    began_at, rto = bench.now, bench.session.rtt.rto
    bench.advance(1.15 * rto)
    (again,) = bench.rounds(began_at + 0.001)
    assert again[1] == [2]
    assert again[0] - began_at == pytest.approx(rto, rel=0.11)


def test_the_echo_of_what_was_sent_once_measures_the_round_trip() -> None:
    bench = SessionBench()
    bench.enter()
    rtt = bench.session.rtt
    bench.say("hello")
    before = rtt.srtt
    bench.now += 0.04
    bench.echo("hello", first_id=1)
    bench.receive(bench.slice(2))
    assert rtt.srtt == pytest.approx(before + (0.04 - before) / 8)


def test_the_echo_of_what_was_sent_twice_measures_nothing() -> None:
    """Karn's rule: nobody knows which of the two it answers."""
    bench = SessionBench()
    bench.enter()
    rtt = bench.session.rtt
    bench.say("hello")
    bench.advance(1.1 * rtt.rto)
    before = rtt.srtt
    bench.echo("hello", first_id=1)
    bench.receive(bench.slice(2))
    assert rtt.srtt == before


def test_lines_said_together_go_out_in_one_datagram() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("one", "two", "three")
    assert [ids for _, ids in bench.says()] == [[1, 2, 3]]


def test_a_fresh_line_takes_unreceived_ones_along_if_they_fit() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("one")
    bench.now += 0.01
    bench.say("two")
    assert [ids for _, ids in bench.says()] == [[1], [1, 2]]
    bench.now += 0.01
    bench.say("x" * 900)
    bench.say("y" * 900)
    assert [ids for _, ids in bench.says()][2:] == [[1, 2, 3], [4]]


def test_what_the_server_has_is_not_taken_along() -> None:
    bench = SessionBench()
    bench.enter()
    (say,) = of_type(Say, bench.say("one"))
    bench.receive(bench.answer(say.timestamp, received=1, appended=0))
    bench.say("two")
    assert bench.says()[-1][1] == [2]


def test_no_more_than_the_window_is_in_flight_and_the_rest_is_pending() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say(*["line"] * 100)
    sent_ids = {i for _, ids in bench.says() for i in ids}
    assert sent_ids == set(range(1, IN_FLIGHT_MAX + 1))
    assert bench.session.pending_count == 100
    bench.echo(*["line"] * 10, first_id=1)
    bench.receive(bench.slice(2))
    sent_ids = {i for _, ids in bench.says() for i in ids}
    assert sent_ids == set(range(1, IN_FLIGHT_MAX + 11))
    assert bench.session.pending_count == 90


def test_no_say_is_larger_than_a_datagram_may_be() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say(*["x" * size for size in (900, 250, 300, 900, 1, 2, 3)])
    says = of_type(Say, _packets(bench))
    assert all(len(say.encode()) <= DATAGRAM_BYTES_MAX for say in says)
    assert [m.message_id for say in says for m in say.messages] == [1, 2, 3, 4, 5, 6, 7]
    assert len(says) == 3


def test_a_bounded_number_of_datagrams_is_sent_and_repeated_at_a_time() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say(*["x" * 900] * 20)
    began_at = bench.now
    first = list(range(1, DATAGRAMS_IN_FLIGHT_MAX + 1))
    assert [ids for _, ids in bench.says()] == [[n] for n in first]
    bench.advance(1.1 * bench.session.rtt.rto)
    assert [ids for _, ids in bench.says(began_at + 0.001)] == [[n] for n in first]


def test_the_window_moves_on_with_what_the_server_has() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say(*["x" * 900] * 20)
    sent = bench.receive(bench.answer(of_type(Say, _packets(bench))[0].timestamp, 3, 0))
    assert [m.message_id for say in of_type(Say, sent) for m in say.messages] == [5, 6, 7]


def test_too_much_that_waits_is_said_and_nothing_of_it_is_kept() -> None:
    bench = SessionBench()
    bench.enter()
    for _ in range(PENDING_MAX - 1):
        bench.session.say("line", bench.now)
    with pytest.raises(PendingFull):
        bench.session.say("x" * 1000, bench.now)  # two parts
    assert bench.session.pending_count == PENDING_MAX - 1
    bench.session.say("line", bench.now)
    with pytest.raises(PendingFull):
        bench.session.say("line", bench.now)


def test_what_is_said_before_joining_is_sent_when_in() -> None:
    bench = SessionBench()
    bench.session.say("early", bench.now)
    bench.enter()
    assert bench.says()[0][1] == [1]


@pytest.mark.parametrize("more", [True, False])
def test_echoes_in_the_same_wake_up_as_an_older_welcome_are_no_harm(more: bool) -> None:
    """A SAY arrived after the JOIN: WELCOME says that nothing was received, then come echoes."""
    bench = SessionBench()
    bench.enter()
    bench.say("one", "two")
    bench.lose_the_link()
    bench.challenge()
    bench.take(bench.resume_packet())
    bench.echo("one", "two", first_id=1)
    bench.take(bench.slice(2))
    if more:
        bench.session.say("three", bench.now)
    assert [m.text for say in of_type(Say, bench.wake()) for m in say.messages] == ["three"] * more
    assert bench.session.pending_count == more
    assert len(bench.shown("sent")) == 2


def test_a_question_that_a_retransmission_asked_is_asked_until_it_is_answered() -> None:
    """An echo that was overtaken ends the retransmission. It is no answer, so go on asking."""
    bench = SessionBench()
    bench.enter()
    bench.say("one")
    bench.echo("one", first_id=1)
    overtaken = bench.slice(2)
    bench.receive(bench.slice(2, latest=1, events=()))
    bench.advance(0.3)
    bench.receive(overtaken)
    assert bench.session.pending_count == 0
    sent = bench.advance(3.0)
    assert any(status.ask for status in of_type(Status, [packet for _, packet in sent]))
