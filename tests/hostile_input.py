"""Hostile input: what an attacker can make."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import fields, replace
from typing import Any, TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.machines import Peer, RoomBench, SessionBench, of_type, reseal
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
    max_examples=settings().max_examples * 3 // 2,
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


def malformed(datagram: bytes) -> str:
    """Why this is no packet; empty if it is one."""
    try:
        decode(datagram)
    except ChatError as error:
        return str(error)
    return ""


def settle(bench: RoomBench | SessionBench) -> None:
    """Let time pass. The machine must neither raise nor spin."""
    machine = bench.room if isinstance(bench, RoomBench) else bench.session
    for seconds in (0.0, 0.02, 0.5, 6.0):
        for _ in range(200):
            at = machine.next_timeout()
            if at is None or at > bench.now + seconds:
                break
            bench.now = max(bench.now, at)
            bench.wake()
            again = machine.next_timeout()
            assert again is None or again > bench.now, "woken at once, again"
        bench.now += seconds
        bench.wake()


def extremes(packet: Packet, keep: set[str]) -> list[Packet]:
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


def fits(packet: Packet) -> bytes | None:
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
