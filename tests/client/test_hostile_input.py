"""Hostile input to a client: it raises nothing and changes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.hostile_input import (
    DECISIONS,
    MANY,
    STRANGER,
    Choices,
    encoded,
    extremes,
    fits,
    malformed,
    mutated,
    session_packet,
    settle,
)
from tests.machines import SessionBench, of_type, reseal
from udp_chat.client.session import State
from udp_chat.protocol.packets import (
    Answer,
    Bye,
    Challenge,
    Event,
    EventKind,
    Join,
    Packet,
    Refused,
    Say,
)

# --- the session -----------------------------------------------------------------------------


def _new() -> SessionBench:
    return SessionBench()


def _joining() -> SessionBench:
    bench = SessionBench()
    bench.start()
    bench.challenge()
    return bench


def _gated() -> SessionBench:
    bench = _joining()
    bench.append(Event(EventKind.JOIN, 5000, "Anna", "", "", bench.MEMBER))
    bench.receive(bench.welcome_packet(joined=1))
    return bench


def _joined() -> SessionBench:
    bench = SessionBench()
    bench.enter()
    bench.say("waiting for its echo", "x" * 900, "y" * 900)
    bench.chat("one", "two", "three")
    bench.receive(bench.slice(4, 4))
    bench.session.say("z" * 900, bench.now)  # not sent yet
    bench.session.say("z" * 900, bench.now)
    return bench


def _moving() -> SessionBench:
    bench = _joined()
    bench.take(Challenge(bench.SESSION_ID, b"n" * 16))
    return bench


def _rejoining() -> SessionBench:
    bench = _joined()
    bench.bye(1)
    bench.challenge()
    return bench


def _leaving() -> SessionBench:
    bench = _joined()
    bench.session.leave(bench.now)
    return bench


def _closed() -> SessionBench:
    bench = _leaving()
    bench.bye(1)
    return bench


SITUATIONS: dict[str, tuple[Callable[[], SessionBench], State]] = {
    "new": (_new, State.NEW),
    "joining": (_joining, State.JOINING),
    "gated": (_gated, State.JOINED),
    "joined": (_joined, State.JOINED),
    "moving": (_moving, State.JOINED),
    "rejoining": (_rejoining, State.REJOINING),
    "leaving": (_leaving, State.LEAVING),
    "closed": (_closed, State.CLOSED),
}
situations = pytest.mark.parametrize("situation", SITUATIONS)
FEW = settings(MANY, max_examples=MANY.max_examples * 2 // 5)


@pytest.mark.parametrize(("situation", "begin", "state"), [(k, *v) for k, v in SITUATIONS.items()])
def test_each_situation_is_the_one_it_says(
    situation: str, begin: Callable[[], SessionBench], state: State
) -> None:
    assert situation
    assert begin().state() is state


def _seen(bench: SessionBench) -> object:
    session = bench.session
    return (
        session.state,
        session.name,
        session.room,
        session.members,
        session.pending_count,
        session.next_timeout(),
        session.rtt.rto,
        session.loss.ratio,
        session.has_output,
        session.has_events,
    )


@situations
@FEW
@given(data=st.binary(max_size=1400))
@example(data=b"")
@example(data=b"\0" * 65_535)
def test_bytes_that_are_no_packet_change_nothing_in_a_session_and_are_counted(
    situation: str, data: bytes
) -> None:
    bench = SITUATIONS[situation][0]()
    for datagram in (data, reseal(b"UC\x01\x08" + bytes(4) + data)):
        if reason := malformed(datagram):
            before, counters = _seen(bench), bench.session.counters.copy()
            bench.take(datagram)
            assert _seen(bench) == before
            assert bench.session.counters - counters == {reason: 1}
    settle(bench)


@situations
@FEW
@given(data=DECISIONS)
def test_packets_from_elsewhere_change_nothing_in_a_session(situation: str, data: bytes) -> None:
    bench = SITUATIONS[situation][0]()
    before, choose = _seen(bench), Choices(data)
    for _ in range(8):
        bench.take(encoded(session_packet(choose, bench)), STRANGER)
    assert _seen(bench) == before
    assert bench.session.counters["not from the server"] == 8


@situations
@FEW
@given(data=DECISIONS)
def test_no_packet_of_a_hostile_server_breaks_a_session(situation: str, data: bytes) -> None:
    bench = SITUATIONS[situation][0]()
    choose = Choices(data)
    for _ in range(10):
        bench.take(encoded(session_packet(choose, bench)))
        if choose.flag():
            bench.wake()
    settle(bench)
    if bench.state() is not State.CLOSED:
        bench.say("still here")
        settle(bench)


@situations
@FEW
@given(data=DECISIONS)
def test_valid_datagrams_with_changed_bytes_do_not_break_a_session(
    situation: str, data: bytes
) -> None:
    bench = SITUATIONS[situation][0]()
    bench.chat("four", "five")
    valid: list[Packet] = [
        bench.slice(2),
        bench.slice(),
        bench.answer(1_000_000_000, 1, 1),
        bench.roster("Anna", "Boris"),
        Bye(bench.SESSION_ID, 2),
        Challenge(bench.SESSION_ID, b"m" * 16),
    ]
    if any(isinstance(packet, Join) for _, packet in bench.sent):
        valid.append(bench.welcome_packet())
        valid.append(Challenge(bench.newest(Join).client_id, b"m" * 16))
        valid.append(Refused(bench.newest(Join).client_id, bench.newest(Join).timestamp, 2, "no"))
    choose = Choices(data)
    for _ in range(10):
        bench.take(mutated(choose, [packet.encode() for packet in valid]))
    settle(bench)


@pytest.mark.slow
@situations
def test_every_number_at_either_end_does_not_break_a_session(situation: str) -> None:
    begin = SITUATIONS[situation][0]
    bench = begin()
    event = Event(EventKind.CHAT, 1, "Boris", "", "x", 7, 2)
    epochs = {"epoch": bench.epoch, "inbox_epoch": bench.inbox_epoch}
    packets = [
        *extremes(bench.slice(), {"epoch"}),
        *extremes(bench.slice(inbox=True), {"epoch"}),
        *extremes(replace(bench.slice(), events=(event,)), {"epoch"}),
        *extremes(bench.answer(1_000_000_000, 2, 2), {"epoch"}),
        *[
            replace(bench.slice(), answer=Answer(*extreme))
            for extreme in [
                (0, 0, 0, 0),
                (2**64 - 1, 2**32 - 1, 2**32 - 1, 2**64 - 1),
                (int(bench.now * 1e6), 2**32 - 1, 0, 0),
                (int(bench.now * 1e6), 0, 2**32 - 1, 0),
                (int(bench.now * 1e6), 0, 0, 2**64 - 1),
            ]
        ],
        *[
            replace(bench.slice(), first=seq, latest=seq, oldest=oldest, events=(far,))
            for seq in (1, 2**63, 2**64 - 1)
            for oldest in (1, seq)
            for far in (
                event,
                replace(event, time_ms=2**64 - 1),
                replace(event, message_id=2**32 - 1),
                replace(event, member=0),
            )
        ],
        *[Bye(bench.SESSION_ID, reason) for reason in (0, 255)],
    ]
    if any(isinstance(packet, Join) for _, packet in bench.sent):
        packets += extremes(bench.welcome_packet(**epochs), {"client_id", "echo"})
        packets += extremes(Refused(bench.newest(Join).client_id, 1, 1, ""), {"client_id"})
    for packet in packets:
        datagram = fits(packet)
        if datagram is not None:
            bench = begin()
            bench.take(datagram)
            bench.wake()
            settle(bench)
            bench.take(bench.slice(1))
            settle(bench)


@pytest.mark.parametrize("line", [1, 2, 3, 4])
def test_an_echo_of_what_was_never_sent_does_not_break_the_sending_of_the_rest(line: int) -> None:
    bench = SessionBench()
    bench.enter()
    for _ in range(4):
        bench.session.say("x" * 900, bench.now)
    bench.echo("x", first_id=line)
    bench.receive(bench.slice(2))
    bench.echo(*["x"] * 4, first_id=1)
    bench.receive(bench.slice(3))
    bench.say("after")
    sent = [m.message_id for say in of_type(Say, (p for _, p in bench.sent)) for m in say.messages]
    assert sent == [1, 2, 3, 4, 5], "the false echo confirms nothing"


@pytest.mark.parametrize("received", [0, 3, 2**32 - 1])
def test_a_server_that_claims_to_have_what_was_never_sent_is_still_told_the_rest(
    received: int,
) -> None:
    bench = SessionBench()
    bench.enter()
    (say,) = of_type(Say, bench.say("one"))
    bench.receive(bench.answer(say.timestamp, received, appended=0))
    bench.say("two")
    assert 2 in [m.message_id for m in bench.newest(Say).messages]
