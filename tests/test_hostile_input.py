"""Hostile input (rule 12 of the design): whatever arrives, nothing is raised and nobody is harmed.

Three kinds of it: bytes that are no packet; valid datagrams with bytes changed, the checksum
repaired; and well-formed packets whose fields are as far out as fields can be, with the ids that
get them past the first checks. Each meets both machines, in every state they have.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from protocol import (
    DATAGRAM_BYTES_MAX,
    HEADER_BYTES,
    NAME_BYTES_MAX,
    NO_COOKIE,
    REASON_BYTES_MAX,
    ROOM_NAME_BYTES_MAX,
    TEXT_BYTES_MAX,
    Address,
    Answer,
    Bye,
    Challenge,
    ChatError,
    Discover,
    Event,
    EventKind,
    Events,
    Join,
    Leave,
    Message,
    MessageKind,
    Offer,
    Packet,
    Refused,
    Say,
    Status,
    Welcome,
    decode,
)
from session import State
from tests.machines import Peer, RoomBench, SessionBench, of_type, reseal

MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=True,
)
STRANGER: Address = ("192.0.2.66", 666)
IDS = {"session_id", "client_id", "epoch"}


# --- what an attacker can make ---------------------------------------------------------------


def numbers(bits: int, *likely: int) -> st.SearchStrategy[int]:
    """Numbers of so many bits, mostly at their ends or near what a machine expects."""
    most = 2**bits - 1
    near = [0, 1, 2, most - 1, most, most // 2, most // 2 + 1]
    near += [n + d for n in likely for d in (-1, 0, 1) if 0 <= n + d <= most]
    return st.one_of(st.sampled_from(sorted({*near, *likely})), st.integers(0, most))


def texts(bytes_max: int) -> st.SearchStrategy[str]:
    """Texts that fit, of whatever a network can carry."""
    some = st.text(max_size=40, alphabet=st.characters(exclude_categories=["Cs"]))
    hostile = st.sampled_from(
        [
            "",
            "Anna",
            "Boris",
            "\0",
            "\x1b[2J",
            "\u202e",
            "1 0\nX",
            f"{2**64} 0\nX",
            "0 1\nX",
            "٣ 0\nX",
        ]
    )
    longest = st.just("я" * (bytes_max // 2))
    fitting = some.filter(lambda text: len(text.encode()) <= bytes_max)
    return st.one_of(hostile, fitting, longest)


KINDS = st.sampled_from(EventKind)
EVENTS = st.builds(
    Event,
    KINDS,
    numbers(64),
    texts(NAME_BYTES_MAX),
    texts(NAME_BYTES_MAX),
    texts(200),
    numbers(32, 7),
    numbers(32, 1, 2, 3),
)
MESSAGES = st.builds(
    Message,
    numbers(32, 1, 2, 3, 4),
    st.sampled_from(MessageKind),
    texts(TEXT_BYTES_MAX),
    texts(NAME_BYTES_MAX),
    st.booleans(),
)


def to_room(
    session_id: int, client_id: int, cookie: bytes, epoch: int
) -> st.SearchStrategy[Packet]:
    """Packets for a room, from somebody who has a session, or says so."""
    ids = numbers(64, session_id, session_id, session_id)
    small = (1, 2, 3, 4)
    say = st.builds(Say, ids, numbers(64), st.lists(MESSAGES, min_size=1, max_size=8).map(tuple))
    return st.one_of(
        st.builds(
            Status,
            ids,
            numbers(64),
            numbers(64),
            numbers(64, *small),
            numbers(64, *small),
            numbers(64, *small),
            numbers(64, *small),
            numbers(32),
            st.booleans(),
        ),
        say,
        st.builds(
            Join,
            numbers(64, client_id),
            numbers(64),
            st.sampled_from([cookie, NO_COOKIE, b"x" * 16]),
            numbers(64, epoch),
            numbers(64, *small),
            numbers(64),
            numbers(64, *small),
            numbers(32),
            texts(NAME_BYTES_MAX),
        ),
        st.builds(Leave, ids, numbers(64)),
        st.builds(Discover, numbers(64), numbers(64)),
    )


def to_session(bench: SessionBench) -> st.SearchStrategy[Packet]:
    """Packets for a session, from a server that it takes for its own."""
    try:
        join: Join | None = bench.newest(Join)
    except IndexError:
        join = None
    client_id, timestamp = (join.client_id, join.timestamp) if join else (1, 1)
    small = (1, 2, 3, 4)
    epochs = numbers(64, bench.epoch, bench.epoch, bench.inbox_epoch, bench.inbox_epoch)
    answers = st.one_of(
        st.none(),
        st.builds(
            Answer,
            numbers(64, timestamp),
            numbers(32, *small),
            numbers(32, *small),
            numbers(64, *small),
        ),
    )
    return st.one_of(
        st.builds(
            Events,
            epochs,
            numbers(64, bench.newest_timestamp),
            numbers(64, *small),
            numbers(64, *small),
            numbers(64, *small),
            st.lists(EVENTS, max_size=4).map(tuple),
            st.booleans(),
            st.booleans(),
            st.booleans(),
            numbers(16),
            answers,
        ),
        st.builds(
            Welcome,
            numbers(64, client_id),
            numbers(64, timestamp),
            numbers(64, bench.SESSION_ID),
            epochs,
            epochs,
            *[numbers(64, *small) for _ in range(5)],
            *[numbers(32, *small) for _ in range(3)],
            numbers(16),
            texts(NAME_BYTES_MAX),
            texts(ROOM_NAME_BYTES_MAX),
        ),
        st.builds(
            Refused,
            numbers(64, client_id),
            numbers(64, timestamp),
            numbers(8, 2),
            texts(REASON_BYTES_MAX),
        ),
        st.builds(
            Challenge,
            numbers(64, client_id, bench.SESSION_ID),
            st.sampled_from([NO_COOKIE, b"x" * 16, b"y" * 16]),
        ),
        st.builds(Bye, numbers(64, bench.SESSION_ID, bench.SESSION_ID), numbers(8)),
        st.builds(Offer, numbers(64), numbers(64), numbers(32), numbers(16), texts(64)),
    )


def encoded(packet: Packet) -> bytes:
    """The datagram; what would be too long is cut, as an attacker may well do."""
    return packet.encode()[:DATAGRAM_BYTES_MAX]


def _malformed(datagram: bytes) -> str:
    """Why this is no packet; empty if it is one."""
    try:
        decode(datagram)
    except ChatError as error:
        return str(error)
    return ""


@st.composite
def mutated(draw: st.DrawFn, datagrams: list[bytes]) -> bytes:
    """A valid datagram with bytes changed, added or taken away, and a checksum that agrees."""
    datagram = bytearray(draw(st.sampled_from(datagrams)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(datagram) - 1))
        datagram[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]) | st.integers(0, 255))
    cut = draw(st.none() | st.integers(HEADER_BYTES, len(datagram)))
    if cut is not None:
        del datagram[cut:]
    datagram += draw(st.binary(max_size=8))
    return reseal(bytes(datagram))


# --- the room --------------------------------------------------------------------------------


def _talking_room() -> tuple[RoomBench, Peer, Peer]:
    """Anna, who is attacked, and Boris, who attacks, in the middle of a conversation."""
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("hello")
    boris.say("one", "two", more=True)  # held: incomplete
    anna.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    bench.advance(0.05)
    return bench, anna, boris


def _own(peer: Peer) -> tuple[object, ...]:
    """What of a member's only itself may change."""
    member = peer.member
    return (
        member.name,
        member.address,
        member.session_id,
        member.newest_timestamp,
        member.room.acked,
        member.inbox.acked,
        member.received,
        member.appended,
    )


def _settle(bench: RoomBench) -> None:
    """Time passes; the room must neither raise nor spin."""
    for seconds in (0.0, 0.01, 0.5, 3.0):
        for _ in range(200):
            at = bench.room.next_timeout()
            if at is None or at > bench.now + seconds:
                break
            bench.now = max(bench.now, at)
            bench.wake()
            again = bench.room.next_timeout()
            assert again is None or again > bench.now, "woken at once, again"
        bench.now += seconds
        bench.wake()
    assert all(len(sent.datagram) <= DATAGRAM_BYTES_MAX for sent in bench.sent)


@MANY
@given(st.binary(max_size=1400))
@example(b"")
@example(b"UC")
@example(b"\xff" * 1200)
@example(b"\0" * 65_535)
def test_bytes_that_are_no_packet_change_nothing_in_a_room_and_are_counted(data: bytes) -> None:
    bench, _, boris = _talking_room()
    for datagram in (data, reseal(b"UC\x01\x09" + bytes(4) + data)):
        for address in (STRANGER, boris.address):
            if reason := _malformed(datagram):
                before, counters = bench.state(), bench.room.counters.copy()
                bench.take(datagram, address)
                assert bench.state() == before
                assert bench.room.counters - counters == {reason: 1}
    _settle(bench)


@MANY
@given(st.data())
def test_a_strangers_packets_change_nothing_in_a_room_whatever_they_say(
    data: st.DataObject,
) -> None:
    """Somebody who overheard a session's id, but does not have its address."""
    bench, anna, _ = _talking_room()
    before = bench.state()
    for _ in range(5):
        packets = to_room(anna.session_id, anna.client_id, NO_COOKIE, bench.room.log.epoch)
        datagram = encoded(data.draw(packets))
        sent = bench.receive(datagram, STRANGER)
        assert bench.state() == before
        to_stranger = [s for s in sent if s.address == STRANGER]
        assert sum(len(s.datagram) for s in to_stranger) <= len(datagram)
    _settle(bench)


@MANY
@given(st.data())
def test_a_hostile_member_harms_nobody_else(data: st.DataObject) -> None:
    bench, anna, boris = _talking_room()
    before = _own(anna)
    for _ in range(8):
        packets = to_room(boris.session_id, boris.client_id, boris.cookie, boris.epoch)
        boris.send(encoded(data.draw(packets)))
        assert _own(anna) == before
        for member in bench.room.members.values():
            if member.client_id == boris.client_id:
                boris.session_id = member.session_id
    _settle(bench)
    assert all(m.room.acked <= bench.room.log.latest for m in bench.room.members.values())


@MANY
@given(st.data())
def test_valid_datagrams_with_changed_bytes_do_not_break_a_room(data: st.DataObject) -> None:
    bench, anna, boris = _talking_room()
    valid = [packet.encode() for packet in _valid(boris)]
    before = _own(anna)
    for _ in range(6):
        boris.send(data.draw(mutated(valid)))
        assert _own(anna) == before
    _settle(bench)


def _valid(peer: Peer) -> list[Packet]:
    """One of each packet that a member may send."""
    return [
        peer.say_packet("three", first=3),
        peer.say_packet("1 2", first=3, kind=MessageKind.SEEN),
        peer.say_packet("", first=3, kind=MessageKind.STATS),
        peer.status_packet(ask=True),
        peer.join_packet(epoch=peer.epoch, inbox_epoch=peer.inbox_epoch),
        Leave(peer.session_id, peer.timestamp()),
    ]


def _extremes(packet: Packet, keep: set[str]) -> list[Packet]:
    """The packet with each of its numbers at either end, one at a time and all at once."""
    numeric = {
        f.name: getattr(packet, f.name)
        for f in fields(packet)
        if type(getattr(packet, f.name)) is int and f.name not in keep
    }
    found: list[Packet] = []
    for most in (0, 1, 2**64 - 2, 2**64 - 1):
        changes: list[dict[str, Any]] = [{name: most} for name in numeric]
        changes.append(dict.fromkeys(numeric, most))
        found += [replace(packet, **change) for change in changes]
    return found


def _fits(packet: Packet) -> bytes | None:
    """The datagram, with numbers that are too big for their field at that field's end."""
    for bits in (64, 32, 16, 8):
        small = {
            f.name: min(getattr(packet, f.name), 2**bits - 1)
            for f in fields(packet)
            if type(getattr(packet, f.name)) is int and getattr(packet, f.name) >= 2**63
        }
        try:
            return (replace(packet, **small) if bits < 64 else packet).encode()
        except struct.error:
            continue
    return None


def test_every_number_at_either_end_does_not_break_a_room() -> None:
    _, _, template = _talking_room()
    kinds = range(len(_valid(template)))
    count = 0
    for kind in kinds:
        for extreme in range(len(_extremes(_valid(template)[kind], IDS))):
            bench, anna, boris = _talking_room()
            datagram = _fits(_extremes(_valid(boris)[kind], IDS)[extreme])
            if datagram is not None:
                count += 1
                before = _own(anna)
                boris.send(datagram)
                assert _own(anna) == before
                _settle(bench)
    assert count > 60


@pytest.mark.parametrize("kind", MessageKind)
@pytest.mark.parametrize(
    "text",
    ["", " ", "9" * TEXT_BYTES_MAX, "9" * 860, "0 " * 450, "-1", "٣", "²", "\0", "x" * 900, "1\n2"],
)
def test_a_message_of_any_kind_may_have_any_text(kind: MessageKind, text: str) -> None:
    bench, anna, boris = _talking_room()
    bench.join("Clara")
    boris.say("the rest", first=3)
    before = _own(anna)
    boris.say(text, first=4, kind=kind, to="Anna")
    boris.say("still here", first=5)
    assert bench.texts()[-1] == "still here"
    assert _own(anna) == before
    _settle(bench)


def test_what_is_dropped_is_logged_at_debug_level_with_its_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = RoomBench()
    with caplog.at_level(logging.INFO, "udp_chat.server"):
        bench.receive(b"garbage", STRANGER)
    assert caplog.messages == []
    with caplog.at_level(logging.DEBUG, "udp_chat.server"):
        bench.receive(b"garbage!", STRANGER)
    (message,) = caplog.messages
    assert "not udp-chat" in message
    assert "192.0.2.66" in message


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
FEW = settings(MANY, max_examples=60)


@pytest.mark.parametrize(("situation", "begin", "state"), [(k, *v) for k, v in SITUATIONS.items()])
def test_each_situation_is_the_one_it_says(
    situation: str, begin: Callable[[], SessionBench], state: State
) -> None:
    assert situation
    assert begin().state() is state


def _settle_session(bench: SessionBench) -> None:
    """Time passes; the session must neither raise nor spin."""
    for seconds in (0.0, 0.02, 0.5, 6.0):
        for _ in range(200):
            at = bench.session.next_timeout()
            if at is None or at > bench.now + seconds:
                break
            bench.now = max(bench.now, at)
            bench.wake()
            again = bench.session.next_timeout()
            assert again is None or again > bench.now, "woken at once, again"
        bench.now += seconds
        bench.wake()


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
        if reason := _malformed(datagram):
            before, counters = _seen(bench), bench.session.counters.copy()
            bench.take(datagram)
            assert _seen(bench) == before
            assert bench.session.counters - counters == {reason: 1}
    _settle_session(bench)


@situations
@FEW
@given(data=st.data())
def test_packets_from_elsewhere_change_nothing_in_a_session(
    situation: str, data: st.DataObject
) -> None:
    bench = SITUATIONS[situation][0]()
    before = _seen(bench)
    for _ in range(5):
        bench.take(encoded(data.draw(to_session(bench))), STRANGER)
    assert _seen(bench) == before
    assert bench.session.counters["not from the server"] == 5


@situations
@FEW
@given(data=st.data())
def test_no_packet_of_a_hostile_server_breaks_a_session(
    situation: str, data: st.DataObject
) -> None:
    bench = SITUATIONS[situation][0]()
    for _ in range(8):
        bench.take(encoded(data.draw(to_session(bench))))
        if data.draw(st.booleans()):
            bench.wake()
    _settle_session(bench)
    if bench.state() is not State.CLOSED:
        bench.say("still here")
        _settle_session(bench)


@situations
@FEW
@given(data=st.data())
def test_valid_datagrams_with_changed_bytes_do_not_break_a_session(
    situation: str, data: st.DataObject
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
    for _ in range(6):
        bench.take(data.draw(mutated([packet.encode() for packet in valid])))
    _settle_session(bench)


@situations
def test_every_number_at_either_end_does_not_break_a_session(situation: str) -> None:
    begin = SITUATIONS[situation][0]
    bench = begin()
    event = Event(EventKind.CHAT, 1, "Boris", "", "x", 7, 2)
    epochs = {"epoch": bench.epoch, "inbox_epoch": bench.inbox_epoch}
    packets = [
        *_extremes(bench.slice(), {"epoch"}),
        *_extremes(bench.slice(inbox=True), {"epoch"}),
        *_extremes(replace(bench.slice(), events=(event,)), {"epoch"}),
        *_extremes(bench.answer(1_000_000_000, 2, 2), {"epoch"}),
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
            replace(
                bench.slice(), first=seq, latest=seq, oldest=oldest, events=(replace(event, **e),)
            )
            for seq in (1, 2**63, 2**64 - 1)
            for oldest in (1, seq)
            for e in ({}, {"time_ms": 2**64 - 1}, {"message_id": 2**32 - 1}, {"member": 0})
        ],
        *[Bye(bench.SESSION_ID, reason) for reason in (0, 255)],
    ]
    if any(isinstance(packet, Join) for _, packet in bench.sent):
        packets += _extremes(bench.welcome_packet(**epochs), {"client_id", "echo"})
        packets += _extremes(Refused(bench.newest(Join).client_id, 1, 1, ""), {"client_id"})
    for packet in packets:
        datagram = _fits(packet)
        if datagram is not None:
            bench = begin()
            bench.take(datagram)
            bench.wake()
            _settle_session(bench)
            bench.take(bench.slice(1))
            _settle_session(bench)


def test_an_echo_of_what_was_never_sent_does_not_break_the_sending_of_the_rest() -> None:
    bench = SessionBench()
    bench.enter()
    for _ in range(4):
        bench.session.say("x" * 900, bench.now)
    bench.echo("x", first_id=3)
    bench.receive(bench.slice(2))
    sent = [m.message_id for say in of_type(Say, (p for _, p in bench.sent)) for m in say.messages]
    assert 3 not in sent
