"""Hostile input (rule 12 of the design): whatever arrives, nothing is raised and nobody is harmed.

Three kinds of it: bytes that are no packet; valid datagrams with bytes changed, the checksum
repaired; and well-formed packets whose fields are as far out as fields can be, with the ids that
get them past the first checks. Each meets both machines, in every state they have.
"""

from __future__ import annotations

import logging
import struct
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from tests.machines import Peer, RoomBench, SessionBench, of_type, reseal
from udp_chat.client.session import State
from udp_chat.protocol.packets import (
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
    Packet,
    Refused,
    Say,
    Status,
    Welcome,
    decode,
)

MANY = settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    derandomize=True,
)
STRANGER: Address = ("192.0.2.66", 666)
IDS = {"session_id", "client_id", "epoch"}

T = TypeVar("T")


# --- what an attacker can make ---------------------------------------------------------------


class Choices:
    """An attacker's decisions, read from bytes that hypothesis makes, so that failures shrink."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1] if self._at <= len(self._data) else 0

    def of(self, options: Sequence[T]) -> T:
        return options[self.byte() % len(options)]

    def flag(self) -> bool:
        return self.byte() % 2 == 1

    def number(self, bits: int, *likely: int) -> int:
        """A number of so many bits: an expected one, one beside it, or one of the ends."""
        most = (1 << bits) - 1
        near = [n + d for n in likely for d in (0, 0, 1, -1)] * 2
        ends = [0, 1, 2, self.byte(), most // 2, most // 2 + 1, most - 1, most]
        number: int = self.of([*near, *ends])
        return min(max(number, 0), most)

    def text(self, bytes_max: int) -> str:
        text = self.of(TEXTS)
        return text.encode()[:bytes_max].decode("utf-8", "ignore")


TEXTS = [
    *("", "Anna", "Boris", "\0", "\x1b[2J", "\u202e", "x" * 900, "я" * 450, "a b", "1 2 3"),
    *("1 0\nX", f"{2**64} 0\nX", "0 1\nX", "٣ 0\nX", "9" * 900),  # rosters, or nearly
    *("2 1 1\nX", "x 1 1", "1 1 1 1", f"{2**64} {2**64} 0"),  # who has my lines
    *("0\nAnna 1 2 3 4 5 6 7 8 9", "1\nX 1", "0\n", "x"),  # links
]
SMALL = (1, 2, 3, 4)


def room_packet(choose: Choices, peer: Peer) -> Packet:
    """A packet for a room, from somebody who has this session, or says so."""
    session_id = choose.number(64, peer.session_id, peer.session_id)
    timestamp = choose.number(64, peer.timestamp())
    kind = choose.byte() % 6
    if kind == 0:
        return Status(
            session_id,
            timestamp,
            echoed_timestamp=choose.number(64),
            room_ack=choose.number(64, *SMALL),
            room_gap_end=choose.number(64, *SMALL),
            inbox_ack=choose.number(64, *SMALL),
            inbox_gap_end=choose.number(64, *SMALL),
            sent_count=choose.number(32, *SMALL),
            ask=choose.flag(),
        )
    if kind <= 2:
        messages = tuple(
            Message(
                choose.number(32, *SMALL),
                choose.of(list(MessageKind)),
                choose.text(TEXT_BYTES_MAX),
                choose.text(NAME_BYTES_MAX),
                choose.flag(),
            )
            for _ in range(1 + choose.byte() % 5)
        )
        return Say(session_id, timestamp, messages)
    if kind == 3:
        return Join(
            choose.number(64, peer.client_id),
            timestamp,
            choose.of([peer.cookie, peer.cookie, NO_COOKIE, b"x" * 16]),
            choose.number(64, peer.epoch),
            choose.number(64, *SMALL),
            choose.number(64, peer.inbox_epoch),
            choose.number(64, *SMALL),
            choose.number(32, *SMALL),
            choose.text(NAME_BYTES_MAX),
        )
    return Leave(session_id, timestamp) if kind == 4 else Discover(session_id, timestamp)


def an_event(choose: Choices, inbox: bool, member: int) -> Event:
    """An event as a server may send it in this log: nothing that a session could refuse unread."""
    kind = choose.of([kind for kind in EventKind if (kind >= EventKind.PRIVATE) == inbox])
    name = to = text = ""
    if kind < EventKind.NOTICE:
        name = choose.text(NAME_BYTES_MAX) or "Anna"
    if kind in (EventKind.CHAT, EventKind.ACTION, EventKind.PRIVATE):
        text = choose.text(200)
    elif kind is not EventKind.JOIN:
        text = choose.of(ANSWERS.get(kind, ["left", "x" * NAME_BYTES_MAX, "\n"]))
    if kind is EventKind.PRIVATE:
        to = choose.text(NAME_BYTES_MAX) or "Anna"
    numbers = choose.number(32, member, 8), choose.number(32, *SMALL)
    return Event(kind, choose.number(64), name, to, text, max(1, numbers[0]), numbers[1])


ANSWERS = {
    EventKind.ROSTER: [
        "0 0",
        "1 0\nX",
        "1 1\nX",
        f"{2**64} 0\nX\nAnna",
        f"{'9' * 20} 0\nX",
        "4 00",
    ],
    EventKind.SEEN: ["0 0 0", "2 1 1\nX", f"2 {'9' * 20} {'9' * 20}", f"{'9' * 20} 0 0"],
    EventKind.STATS: ["0\nAnna 1 2 3 4 5 6 7 8 9", "1\nX 1", "0", "0\nX" + " 9" * 9],
}


def session_packet(choose: Choices, bench: SessionBench) -> Packet:
    """A packet for a session, from a server that it takes for its own."""
    joins = of_type(Join, (packet for _, packet in bench.sent))
    client_id, timestamp = (joins[-1].client_id, joins[-1].timestamp) if joins else (1, 1)
    epochs = (bench.epoch, bench.inbox_epoch)
    kind = choose.byte() % 8
    if kind <= 3:
        inbox = choose.flag()
        events = tuple(an_event(choose, inbox, bench.MEMBER) for _ in range(choose.byte() % 4))
        oldest, first = choose.number(64, 1, 1, *SMALL), choose.number(64, *SMALL)
        latest = first + len(events) + choose.of([-1, -1, 0, 1, 2**62, 2**64 - 1])
        answer = Answer(
            choose.number(64, timestamp, timestamp + 1),
            choose.number(32, *SMALL),
            choose.number(32, *SMALL),
            choose.number(64, *SMALL),
            choose.number(32),
        )
        return Events(
            choose.number(64, epochs[inbox], epochs[inbox]),
            choose.number(64, bench.timestamp()),
            oldest,
            min(max(latest, 0), 2**64 - 1),
            first,
            events,
            inbox,
            choose.flag(),
            choose.flag(),
            choose.number(16),
            choose.of([None, answer]),
        )
    if kind == 4:
        return Welcome(
            choose.number(64, client_id),
            choose.number(64, timestamp),
            choose.number(64, bench.SESSION_ID),
            choose.number(64, *epochs),
            choose.number(64, *epochs),
            oldest=choose.number(64, 1, *SMALL),
            latest=choose.number(64, *SMALL),
            start=choose.number(64, *SMALL),
            joined=choose.number(64, *SMALL),
            inbox_start=choose.number(64, *SMALL),
            received=choose.number(32, *SMALL),
            member=choose.number(32, bench.MEMBER),
            heartbeat_ms=choose.number(32, 5000),
            ack_delay_ms=choose.number(16, 20),
            name=choose.text(NAME_BYTES_MAX) or "Anna",
            room=choose.text(ROOM_NAME_BYTES_MAX),
        )
    if kind == 5:
        echo = choose.number(64, timestamp)
        text = choose.text(REASON_BYTES_MAX)
        return Refused(choose.number(64, client_id), echo, choose.number(8, 2), text)
    if kind == 6:
        cookie = choose.of([NO_COOKIE, b"x" * 16, b"y" * 16])
        return Challenge(choose.number(64, client_id, bench.SESSION_ID), cookie)
    return Bye(choose.number(64, bench.SESSION_ID), choose.number(8))


def encoded(packet: Packet) -> bytes:
    """The datagram; what would be too long is cut, as an attacker may well do."""
    return packet.encode()[:DATAGRAM_BYTES_MAX]


def mutated(choose: Choices, datagrams: Sequence[bytes]) -> bytes:
    """A valid datagram with bytes changed, added or taken away, and a checksum that agrees."""
    datagram = bytearray(choose.of(datagrams))
    for _ in range(1 + choose.byte() % 4):
        at = (256 * choose.byte() + choose.byte()) % len(datagram)
        datagram[at] = choose.of([0, 1, 0x7F, 0x80, 0xFF, choose.byte()])
    if choose.byte() % 4 == 0:
        del datagram[HEADER_BYTES + choose.byte() :]
    if choose.byte() % 4 == 0:
        datagram += bytes([choose.byte()])
    return reseal(bytes(datagram))


DECISIONS = st.binary(min_size=400, max_size=400)


def _malformed(datagram: bytes) -> str:
    """Why this is no packet; empty if it is one."""
    try:
        decode(datagram)
    except ChatError as error:
        return str(error)
    return ""


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
        member.position.acked,
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
                # An unknown session is refused before anybody looks at what else is wrong.
                counted = bench.room.counters - counters
                assert counted in ({reason: 1}, {"unknown session": 1})
    _settle(bench)


@MANY
@given(DECISIONS)
def test_a_strangers_packets_change_nothing_in_a_room_whatever_they_say(data: bytes) -> None:
    """Somebody who overheard a session's id, but does not have its address."""
    bench, anna, _ = _talking_room()
    before, choose = bench.state(), Choices(data)
    for _ in range(8):
        datagram = encoded(room_packet(choose, anna))
        sent = bench.receive(datagram, STRANGER)
        assert bench.state() == before
        to_stranger = [s for s in sent if s.address == STRANGER]
        assert sum(len(s.datagram) for s in to_stranger) <= len(datagram)
    _settle(bench)


@MANY
@given(DECISIONS)
def test_a_hostile_member_harms_nobody_else(data: bytes) -> None:
    bench, anna, boris = _talking_room()
    before, choose = _own(anna), Choices(data)
    for _ in range(10):
        boris.send(encoded(room_packet(choose, boris)))
        assert _own(anna) == before
        for member in bench.room.members.values():
            if member.client_id == boris.client_id:
                boris.session_id = member.session_id
    _settle(bench)
    assert all(m.position.acked <= bench.room.log.latest for m in bench.room.members.values())


@MANY
@given(DECISIONS)
def test_valid_datagrams_with_changed_bytes_do_not_break_a_room(data: bytes) -> None:
    bench, anna, boris = _talking_room()
    valid = [packet.encode() for packet in _valid(boris)]
    before, choose = _own(anna), Choices(data)
    for _ in range(10):
        boris.send(mutated(choose, valid))
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
    _settle_session(bench)
    if bench.state() is not State.CLOSED:
        bench.say("still here")
        _settle_session(bench)


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
