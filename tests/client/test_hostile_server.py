"""What a client is told: nothing that comes from its server's address breaks it or lasts.

A member knows the room's epoch, and may be able to forge the server's address. So slices of the
room's log may be forged, and numbers may be anything. The client survives that, and once it ends
it heals: it shows everything that is said from then on, and what it may have missed as `lost`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.cells import cells
from tests.hostile_input import MANY, Choices, encoded, session_packet
from tests.machines import RoomBench, SessionBench, of_type
from tests.simulated.simulated_network import SERVER, Partition, SimulatedNetwork, User
from udp_chat.client.acknowledging import ACK_DELAY_MAX_SECONDS
from udp_chat.client.chat_events import TIME_MS_MAX
from udp_chat.client.liveness import HEARTBEAT_MAX_SECONDS, SILENCE_SECONDS
from udp_chat.client.roster import CHANGES_MAX, NAMES_MAX
from udp_chat.client.session import GATED_MAX, ChatSession, State
from udp_chat.client.transcript import SEEN_LINES
from udp_chat.protocol.delivery import AHEAD_MAX, REORDER_MAX
from udp_chat.protocol.packets import (
    Answer,
    Event,
    EventKind,
    Events,
    Join,
    Message,
    MessageKind,
    Say,
    Status,
)

# --- forged slices ---------------------------------------------------------------------------

FAR = AHEAD_MAX // 2
NEWEST = 2**64 - 1


def _forged(session: ChatSession, epoch: int, **fields: object) -> Events:
    """A slice of the room's log without events, as a member could forge it."""
    log = session.streams.room
    slice_ = Events(epoch, session.liveness.newest_echo + 1, 1, log.latest, log.latest + 1)
    return replace(slice_, **fields)  # type: ignore[arg-type]


def _leap(session: ChatSession, epoch: int) -> Events:
    """All up to here is gone: the issue's one slice, as far as it is taken."""
    log = session.streams.room
    end = log.latest + FAR
    return _forged(session, epoch, oldest=end, latest=end, first=end + 1)


def _leap_for_ever(session: ChatSession, epoch: int) -> Events:
    return replace(_leap(session, epoch), timestamp=NEWEST)


def _line(session: ChatSession, epoch: int) -> Events:
    """Lines that nobody said, beyond what the server has."""
    log = session.streams.room
    false = Event(EventKind.CHAT, 5000, "Mallory", "", "false", 66)
    end = log.latest + 5
    return _forged(session, epoch, latest=end, first=log.latest + 1, events=(false,) * 5)


def _line_beyond(session: ChatSession, epoch: int) -> Events:
    """A line that waits beyond a gap which nobody can fill."""
    slice_ = _line(session, epoch)
    return replace(slice_, latest=slice_.latest + 9, first=slice_.first + 9)


def _end_beyond(session: ChatSession, epoch: int) -> Events:
    """Nothing but a log that seems to be longer."""
    slice_ = _forged(session, epoch)
    return replace(slice_, latest=slice_.latest + FAR, first=slice_.latest + FAR + 1)


def _clock(session: ChatSession, epoch: int) -> Events:
    """Nothing but a time that no server will ever have."""
    return _forged(session, epoch, timestamp=NEWEST)


def _too_far(session: ChatSession, epoch: int) -> Events:
    return _forged(session, epoch, oldest=2**62, latest=2**62, first=2**62 + 1)


FORGERIES: list[Callable[[ChatSession, int], Events]] = [
    _leap,
    _leap_for_ever,
    _line,
    _line_beyond,
    _end_beyond,
    _clock,
    _too_far,
]
forgeries = pytest.mark.parametrize("forge", FORGERIES, ids=lambda forge: forge.__name__.strip("_"))


def _session(user: User) -> ChatSession:
    assert user.session is not None
    return user.session


def _evening() -> tuple[SimulatedNetwork, User, User]:
    """Anna and Boris talk. What is shown of forged lines is not compared with the log."""
    network = SimulatedNetwork(7)
    anna, boris = network.join("Anna"), network.join("Boris")
    network.run_until(network.is_settled, 5.0)
    for number in range(3):
        network.say(anna, f"before {number}")
    network.run(2.0)
    return network, anna, boris


def _forge(network: SimulatedNetwork, victim: User, packet: Events) -> None:
    session = _session(victim)
    session.receive_datagram(packet.encode(), SERVER, network.now)
    for event in session.take_events():
        victim.shown.events.append(event)
    victim.shown.last_seq = 0  # what the checks know of the log says nothing about this
    victim.shown.lost_count = NEWEST
    network.step_user(victim)


def _texts(user: User) -> list[str]:
    return [e["text"] for e in user.shown.events if e["event"] == "chat" and e["name"] != "Mallory"]


@forgeries
@pytest.mark.parametrize("talking", [True, False], ids=["talking", "quiet"])
def test_one_forged_slice_does_not_leave_a_client_deaf_or_mute(
    forge: Callable[[ChatSession, int], Events], talking: bool
) -> None:
    network, anna, boris = _evening()
    victim, session = boris, _session(boris)
    _forge(network, victim, forge(session, network.room.log.epoch))
    # What is said while it heals may be lost to it, but not unsaid.
    for number in range(20 if talking else 0):
        network.say(anna, f"meanwhile {number}")
        network.run(0.1)
    network.run(SILENCE_SECONDS + 8.0)
    network.run_until(network.is_settled, 0.1)
    victim.shown.last_seq = 0
    network.say(anna, "do you hear me?")
    network.say(victim, "I do")
    network.run(1.0)
    assert _texts(victim)[-2:] == _texts(anna)[-2:] == ["do you hear me?", "I do"]
    assert len(set(_texts(victim))) == len(_texts(victim)), "nothing is shown twice"
    missing = set(_texts(anna)) - set(_texts(victim))
    assert not missing or any(e["event"] == "lost" for e in victim.shown.events)
    assert session.members == ["Anna", "Boris"]
    assert session.pending_count == 0
    network.heal()


def test_a_talking_room_heals_a_client_within_a_few_round_trips() -> None:
    network, anna, boris = _evening()
    _forge(network, boris, _leap(_session(boris), network.room.log.epoch))
    network.say(anna, "one")
    network.run(0.5)
    assert _session(boris).counters["contradictions"] == 1
    assert _session(boris).counters["astray"] == 1
    boris.shown.last_seq = 0
    network.say(anna, "two")
    network.run(0.5)
    assert _texts(boris) == _texts(anna), "even what was said meanwhile: nothing true was lost"
    lost = [event["count"] for event in boris.shown.events if event["event"] == "lost"]
    assert lost == [FAR - 1, None]


def test_a_client_gets_the_roster_again_after_it_was_led_astray() -> None:
    network, anna, boris = _evening()
    _forge(network, boris, _line(_session(boris), network.room.log.epoch))
    false = Event(EventKind.JOIN, 5000, "Mallory", "", "", 66)
    slice_ = replace(_line(_session(boris), network.room.log.epoch), events=(false,) * 5)
    _forge(network, boris, slice_)
    assert "Mallory" in _session(boris).members
    network.say(anna, "one")
    network.run(2.0)
    assert _session(boris).members == ["Anna", "Boris"]


@pytest.mark.parametrize("back", ["the session still lives", "it was dropped meanwhile"])
def test_a_room_does_not_believe_an_acknowledgement_of_what_does_not_exist(back: str) -> None:
    """Else it would leave out what the client has yet to be sent."""
    network, anna, boris = _evening()
    epoch = network.room.log.epoch
    network.partitions.append(
        Partition(boris.number, network.now, network.now + (2.0 if "lives" in back else 40.0))
    )
    _forge(network, boris, _leap(_session(boris), epoch))
    for number in range(5):
        network.say(anna, f"unheard {number}")
    network.run(45.0)
    boris.shown.last_seq = 0
    network.say(anna, "after")
    network.run(1.0)
    assert _texts(boris) == _texts(anna)


# --- what may be claimed ---------------------------------------------------------------------


def test_a_slice_may_claim_a_million_events_and_not_one_more() -> None:
    bench = SessionBench()
    bench.enter()
    latest = len(bench.log) + AHEAD_MAX
    bench.receive(bench.slice(latest=latest + 1, first=latest + 2))
    bench.receive(bench.slice(latest=2**62, oldest=2**62, first=2**62 + 1))
    assert bench.session.counters["too far ahead"] == 2
    assert bench.shown("lost") == []
    bench.receive(bench.slice(latest=latest, first=latest + 1))
    assert bench.session.counters["too far ahead"] == 2
    log = bench.session.streams.room
    assert log.latest == latest


def test_an_answer_may_not_claim_more_of_the_inbox() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("one")
    answer = bench.answer(bench.newest(Say).timestamp, received=1, appended=0)
    assert answer.answer is not None
    far = replace(answer.answer, inbox_latest=AHEAD_MAX + 2)
    bench.receive(replace(answer, answer=far))
    assert bench.session.counters["too far ahead"] == 1
    assert bench.session.streams.inbox.latest == 1


def test_only_a_welcome_may_claim_more() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    bench.resume(latest=10 * AHEAD_MAX, oldest=10 * AHEAD_MAX)
    assert bench.shown("lost") == [{"event": "lost", "count": 10 * AHEAD_MAX - 2}]


def test_an_answer_to_what_was_never_sent_says_nothing() -> None:
    """It would end the wait for the echo of a line that the server does not have."""
    bench = SessionBench()
    bench.enter()
    bench.say("hello")
    for echo in (bench.newest(Say).timestamp + 1, NEWEST):
        bench.receive(bench.slice(answer=Answer(echo, 1, 1, 0)))
    assert bench.session.counters["stale"] == 2
    assert bench.shown("sent") == []
    assert bench.session.pending_count == 1


def test_the_newest_word_of_the_server_says_where_its_log_ends() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("forged", "forged too")
    bench.receive(bench.slice(3, 3, latest=900))
    del bench.log[1:]
    bench.receive(bench.slice())
    sent = of_type(Status, [packet for _, packet in bench.advance(4.0)])
    assert all(status.room_gap_end == status.room_ack for status in sent), "there is no gap"
    bench.chat("true", "true too")
    bench.receive(bench.slice(2))
    assert [event["text"] for event in bench.shown("chat")] == ["true", "true too"]


def test_an_older_word_of_the_server_says_nothing_about_the_end_of_its_log() -> None:
    bench = SessionBench()
    bench.enter()
    old = bench.slice()
    bench.chat("one", "two", "three")
    bench.receive(bench.slice(2, 2))
    bench.receive(old)
    assert bench.state() is State.JOINED
    log = bench.session.streams.room
    assert log.latest == 4


def test_a_question_is_not_answered_by_what_comes_in_the_inbox_alone() -> None:
    """A server that drops our acknowledgement may still send private lines."""
    bench = SessionBench()
    bench.enter()
    began_at = bench.now
    while bench.state() is State.JOINED and bench.now - began_at < 30.0:
        private = Event(EventKind.PRIVATE, 5000, "Boris", "Anna", "psst", 8)
        bench.inbox.append(private)
        bench.receive(bench.slice(len(bench.inbox), inbox=True))
        bench.advance(6.0 if bench.now == began_at else 0.5)
    assert bench.state() is State.REJOINING
    assert bench.shown("reconnecting")[-1]["reason"] == "silence"


def test_an_inbox_that_ends_before_what_came_of_it_is_a_contradiction() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("hello")
    answer = bench.answer(bench.newest(Say).timestamp, received=1, appended=0)
    assert answer.answer is not None
    bench.receive(replace(answer, answer=replace(answer.answer, inbox_latest=0)))
    assert bench.session.counters["contradictions"] == 1
    assert bench.shown("reconnecting")[-1]["reason"] == "contradiction"


def test_the_newest_answer_says_where_the_inbox_ends() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("hello")
    echo = bench.newest(Say).timestamp
    bench.take(bench.slice(answer=Answer(echo, 1, 0, 9)))
    assert bench.session.streams.inbox.gap_end == 9
    bench.receive(bench.slice(answer=Answer(echo, 1, 0, 1)))
    assert bench.session.streams.inbox.gap_end == 1


def test_heartbeats_that_are_answered_do_not_come_faster_than_ten_a_second() -> None:
    bench = SessionBench()
    bench.enter(heartbeat_ms=1)
    until, asks = bench.now + 2.0, 0
    while bench.now < until:
        asked = [p for _, p in bench.advance(0.001) if isinstance(p, Status) and p.ask]
        asks += len(asked)
        for status in asked:
            bench.receive(bench.answer(status.timestamp))
    assert 10 <= asks <= 24


def test_a_gap_is_followed_by_a_question_at_once() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat(*"abcdef")
    sent = bench.receive(bench.slice(5, oldest=5))
    assert [status.ask for status in of_type(Status, sent)][-1:] == [True]


@pytest.mark.parametrize(
    ("heartbeat_ms", "longest_seconds"), [(0, 1.0), (2**32 - 1, HEARTBEAT_MAX_SECONDS * 1.2)]
)
def test_a_heartbeat_comes_in_time_whatever_the_server_asks_for(
    heartbeat_ms: int, longest_seconds: float
) -> None:
    bench = SessionBench()
    bench.enter(heartbeat_ms=heartbeat_ms)
    sent = bench.advance(longest_seconds)
    assert any(status.ask for status in of_type(Status, [packet for _, packet in sent]))
    assert len(sent) < 20 * longest_seconds


def test_an_acknowledgement_does_not_wait_for_a_minute_because_the_server_says_so() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat("hello")
    bench.receive(bench.slice(2, ack_delay_ms=65_535))
    sent = bench.advance(ACK_DELAY_MAX_SECONDS)
    assert of_type(Status, [packet for _, packet in sent])[0].room_ack == 2


def test_a_time_that_no_clock_shows_is_shown_as_the_latest_one_that_does() -> None:
    bench = SessionBench()
    bench.enter()
    bench.append(Event(EventKind.CHAT, NEWEST, "Boris", "", "hello", 8))
    bench.receive(bench.slice(2))
    assert bench.shown("chat")[0]["time"] == TIME_MS_MAX / 1000


# --- what was said, and what is said of it ---------------------------------------------------


@pytest.mark.parametrize(("received", "appended"), [(3, 0), (2, 3)])
def test_an_answer_that_claims_what_was_never_sent_is_dropped_whole(
    received: int, appended: int
) -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("one", "two")
    bench.chat("not to be taken")
    echo = bench.newest(Say).timestamp
    bench.receive(bench.slice(2, answer=Answer(echo, received, appended, 1)))
    assert bench.session.counters["impossible answer"] == 1
    assert bench.shown("chat") == bench.shown("sent") == []
    bench.receive(bench.slice(2, answer=Answer(echo, 2, 0, 1)))
    assert bench.session.counters["impossible answer"] == 1
    assert len(bench.shown("chat")) == 1


def test_the_echo_of_what_was_never_sent_confirms_nothing() -> None:
    bench = SessionBench()
    bench.enter()
    bench.session.say("one", bench.now)  # it waits for the shell's next wake-up
    bench.echo("one", first_id=1)
    bench.take(bench.slice(2))
    assert bench.session.pending_count == 1
    (say,) = of_type(Say, bench.wake())
    assert [message.text for message in say.messages] == ["one"]
    assert bench.shown("sent") == []


def test_a_welcome_that_claims_what_was_never_sent_keeps_nothing_from_being_said() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("one")
    bench.lose_the_link()
    bench.say("two")
    (say,) = of_type(Say, bench.resume(received=9))
    assert [message.text for message in say.messages] == ["two"]


def test_what_a_forged_answer_said_was_received_is_sent_again() -> None:
    bench = SessionBench()
    bench.enter()
    bench.say("one", "two")
    forged = bench.answer(bench.newest(Say).timestamp, received=2, appended=0)
    bench.receive(forged)
    assert not of_type(Say, [packet for _, packet in bench.advance(3.0)]), "it believes that"
    bench.session.ask_stats(bench.now)
    bench.wake()
    for _ in range(2):  # what has changed is noted first, and judged by what is sent after that
        bench.advance(0.3)
        again = bench.receive(bench.answer(bench.newest(Say).timestamp, received=0))
    assert [m.text for say in of_type(Say, again) for m in say.messages][:2] == ["one", "two"]
    assert bench.state() is State.JOINED


def _mute() -> SessionBench:
    """A session that believes a forged echo of its second line, and says a third one."""
    bench = SessionBench()
    bench.enter()
    bench.say("one", "two")
    bench.echo("two", first_id=2)
    bench.receive(bench.slice(2))
    assert len(bench.shown("sent")) == 1
    bench.receive(bench.slice())
    bench.say("three")
    return bench


def test_a_server_that_has_not_got_what_was_confirmed_is_a_contradiction() -> None:
    bench = _mute()
    old = bench.newest(Say).timestamp
    bench.receive(bench.answer(old, received=0))
    bench.advance(0.5)
    bench.receive(bench.answer(old, received=0))
    assert bench.state() is State.JOINED, "it may be an older word"
    (join,) = of_type(Join, bench.receive(bench.answer(bench.newest(Say).timestamp, received=0)))
    assert join.next_message_id == 3
    assert bench.shown("reconnecting")[-1]["reason"] == "contradiction"
    (say,) = of_type(Say, bench.resume(received=2))
    assert [message.text for message in say.messages] == ["three"]


def test_a_server_that_does_not_heed_the_contradiction_is_not_joined_again_and_again() -> None:
    bench = _mute()
    for _ in range(20):
        bench.advance(0.5)
        bench.receive(bench.answer(bench.newest(Say).timestamp, received=0))
        if bench.state() is State.REJOINING:
            bench.resume(received=0)
    assert len(bench.shown("reconnecting")) == 1


@pytest.mark.parametrize("held", ["nothing", "the beginning of a line", "a question"])
@pytest.mark.parametrize("back", ["in", "departed"])
def test_a_room_goes_on_with_what_a_client_says_next_when_the_rest_never_comes(
    back: str, held: str
) -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    member = bench.room.members[anna.session_id]
    questions = 20 if held == "a question" else 0  # more than are answered at once
    for _ in range(questions):
        anna.say("", kind=MessageKind.WHO)
    if held == "the beginning of a line":
        anna.send(Say(anna.session_id, anna.timestamp(), (_part(1),)))
    assert bool(member.held) == (held != "nothing")
    if back == "departed":
        anna.leave()
    welcome = anna.resume(next_message_id=31)
    assert welcome.received == member.received == member.appended == 30
    assert not member.held
    assert member.bytes_counted == member.bytes_held()
    bench.advance(5.0)
    say = Say(anna.session_id, anna.timestamp(), (replace(_part(31), more=False),))
    assert boris.shown(anna.send(say)) == ["part 31"]


def _part(message_id: int) -> Message:
    return Message(message_id, MessageKind.CHAT, f"part {message_id}", "", True)


@pytest.mark.parametrize("lost", [False, True], ids=["the line came", "the line was lost"])
def test_a_forged_echo_does_not_leave_a_client_mute(lost: bool) -> None:
    network, anna, boris = _evening()
    session = _session(boris)
    if lost:
        network.partitions.append(Partition(boris.number, network.now, network.now + 1.0))
    network.say(boris, "is it heard?")
    message_id = session.outbox.sent_max
    echo = Event(EventKind.CHAT, 5000, "Mallory", "", "false", session.member, message_id)
    slice_ = _line(session, network.room.log.epoch)
    _forge(network, boris, replace(slice_, latest=slice_.first, events=(echo,)))
    assert session.pending_count == 0
    network.run(SILENCE_SECONDS + 8.0)
    boris.said.remove("is it heard?")  # who believes a forged echo does not say it again
    boris.shown.last_seq = 0
    network.say(boris, "do you hear me?")
    network.run(2 * SILENCE_SECONDS)
    assert _texts(anna)[-1] == _texts(boris)[-1] == "do you hear me?"
    assert session.pending_count == 0
    network.heal()


# --- a WELCOME that contradicts --------------------------------------------------------------


def _astray(**fields: object) -> SessionBench:
    """A session that has seen five lines, and a WELCOME whose log is another."""
    bench = SessionBench()
    bench.enter()
    bench.chat(*"bcdef")
    bench.receive(bench.slice(2))
    bench.advance(0.1)
    bench.lose_the_link()
    bench.resume(**fields)
    return bench


@pytest.mark.parametrize(
    ("fields", "room_ack", "inbox_ack"),
    [
        pytest.param({"latest": 3, "start": 2}, 3, 1, id="the log is shorter"),
        pytest.param({"latest": 3, "start": 4}, 3, 1, id="as a server of 0.2.0 says it"),
        pytest.param({"latest": 20, "start": 9}, 8, 1, id="it begins beyond a gap"),
        pytest.param({"inbox_start": 9}, 6, 8, id="the inbox begins beyond a gap"),
        pytest.param({"inbox_start": 1}, 6, 0, id="the inbox is shorter"),
    ],
)
def test_a_welcome_that_contradicts_what_was_received_begins_anew_and_says_so(
    fields: dict[str, object], room_ack: int, inbox_ack: int
) -> None:
    bench = _astray(**fields)
    assert bench.shown("lost") == [{"event": "lost", "count": None}]
    assert bench.kinds()[-1] == "resumed"
    assert bench.session.counters["astray"] == 1
    log = bench.session.streams.room
    assert (log.acknowledged, bench.session.streams.inbox.acknowledged) == (room_ack, inbox_ack)
    asked = [m.kind for say in of_type(Say, (p for _, p in bench.sent)) for m in say.messages]
    assert asked[-1] is MessageKind.WHO, "who is in is asked anew"


def test_a_welcome_that_fits_what_was_received_changes_nothing() -> None:
    bench = _astray()
    assert bench.shown("lost") == []
    assert bench.session.counters["astray"] == 0
    assert bench.newest(Join).room_ack == 6


@pytest.mark.parametrize(
    ("start", "shown"), [(2, ["true", "missed", "after"]), (4, ["true", "after"])]
)
def test_what_was_held_back_before_joined_is_kept_as_far_as_it_is_true(
    start: int, shown: list[str]
) -> None:
    bench = SessionBench()
    bench.start()
    bench.challenge()
    bench.joined = bench.append(Event(EventKind.JOIN, 5000, "Anna", "", "", bench.MEMBER))
    bench.receive(bench.welcome_packet(joined=1))
    bench.chat("true")
    bench.receive(bench.slice(1))
    bench.receive(bench.slice(first=901, oldest=901, latest=900))
    bench.advance(12.0)
    bench.chat("missed", "after")
    bench.resume(start=start)
    bench.receive(bench.slice(start))
    bench.receive(bench.roster("Anna"))
    assert [event["text"] for event in bench.shown("chat")] == shown
    assert bench.shown("lost") == ([] if start == 2 else [{"event": "lost", "count": 1}])


# --- what grows ------------------------------------------------------------------------------


def _feed(bench: SessionBench, events: list[Event]) -> None:
    """Appends events and sends them, so many to a slice."""
    begin = bench.append(*events) - len(events) + 1
    for first in range(begin, len(bench.log) + 1, 40):
        bench.take(bench.slice(first, first + 39))


def test_joins_that_never_end_do_not_make_the_roster_grow_without_end() -> None:
    bench = SessionBench()
    bench.enter()
    bench.session.roster.names |= {f"n{number}" for number in range(NAMES_MAX - 20)}
    _feed(bench, [Event(EventKind.JOIN, 1, f"x{n}", "", "", 9) for n in range(100)])
    assert len(bench.session.members) == NAMES_MAX
    _feed(bench, [Event(EventKind.RENAME, 1, f"x{n}", "", f"y{n}", 9) for n in range(100)])
    assert len(bench.session.members) == NAMES_MAX


def test_changes_that_never_end_are_not_all_kept_while_a_roster_is_awaited() -> None:
    bench = SessionBench()
    bench.enter()
    bench.session.roster.await_one()
    change = Event(EventKind.JOIN, 1, "x", "", "", 9)
    _feed(bench, [replace(change, name=f"x{n}") for n in range(CHANGES_MAX + 5)])
    assert len(bench.session.roster.changes or []) <= CHANGES_MAX
    old = bench.roster("Anna", seq=9)
    bench.receive(old)
    assert bench.session.members == ["Anna", "Boris"], "too much has happened since it was made"
    question = bench.newest(Say).messages[-1]
    assert question.kind is MessageKind.WHO
    bench.receive(bench.roster("Anna", "Clara", message_id=question.message_id))
    assert bench.session.members == ["Anna", "Clara"]


# --- anything at all -------------------------------------------------------------------------


class HostileServer(RuleBasedStateMachine):
    """A server that sends whatever can be decoded; and a session that has to survive it."""

    @initialize()
    def begin(self) -> None:
        self.bench = SessionBench()
        self.bench.start()

    @rule(data=st.binary(min_size=100, max_size=100))
    def sends_something(self, data: bytes) -> None:
        self.bench.take(encoded(session_packet(Choices(data), self.bench)))

    @rule()
    def lets_it_in(self) -> None:
        if self.bench.session.joining.is_running:
            self.bench.challenge()
            self.bench.receive(self.bench.resume_packet(joined=0))

    @rule(number=st.integers(0, len(FORGERIES) - 1))
    def is_forged(self, number: int) -> None:
        session = self.bench.session
        if session.streams.log is not None:
            latest = session.streams.log.latest
            if latest < 2**63:
                packet = FORGERIES[number](session, session.streams.log.epoch)
                self.bench.take(replace(packet, timestamp=min(packet.timestamp, NEWEST)))

    @rule(count=st.integers(1, 50))
    def has_said_something(self, count: int) -> None:
        session = self.bench.session
        if session.streams.log is not None and session.streams.log.latest < 2**63:
            log = session.streams.log
            event = Event(EventKind.CHAT, 1, "Boris", "", "x", 8)
            first = log.acknowledged + 1
            latest = max(log.latest, first + count - 1)
            packet = Events(
                log.epoch, session.liveness.newest_echo, 1, latest, first, (event,) * count
            )
            self.bench.take(packet)

    @rule(text=st.sampled_from(["", "hello", "x" * 2000]), kind=st.sampled_from(MessageKind))
    def the_person_says_something(self, text: str, kind: MessageKind) -> None:
        if self.bench.session.pending_count < 100:
            self.bench.say(text, kind=kind, to="Boris")

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.3, 2.0, 20.0]))
    def time_passes(self, seconds: float) -> None:
        bench, until = self.bench, self.bench.now + seconds
        for _ in range(400):
            at = bench.session.next_timeout()
            if at is None or at > until:
                break
            bench.now = max(bench.now, at)
            bench.wake()
            again = bench.session.next_timeout()
            assert again is None or again > bench.now, "woken at once, again"
        else:
            raise AssertionError("too many wake-ups")
        bench.now = until
        bench.wake()

    @invariant()
    def everything_is_bounded(self) -> None:
        session = self.bench.session
        for receiver in (session.streams.log, session.streams.inbox):
            if receiver is not None:
                assert cells(receiver) <= REORDER_MAX
                assert receiver.acknowledged <= receiver.latest < 2**64
        assert len(session.transcript.held_back or []) <= 2 * GATED_MAX
        assert len(session.transcript.own_messages) <= SEEN_LINES
        assert len(session.members) <= NAMES_MAX
        assert len(session.own_link.links) < 1000
        assert len(session.roster.changes or []) <= CHANGES_MAX


HostileServer.TestCase.settings = settings(
    MANY, max_examples=MANY.max_examples * 2 // 5, stateful_step_count=40
)
TestHostileServer = HostileServer.TestCase
