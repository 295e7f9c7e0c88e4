"""Datagrams to try a reader with: random, extreme and longest packets; cut, damaged, forged ones.

All that is random is drawn from a fixed seed.
"""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterator
from typing import Any

from tests.machines import reseal
from tests.protocol.golden import GOLDEN
from udp_chat.protocol.lineage import LINEAGE_BYTES
from udp_chat.protocol.packets import (
    ADDRESS_BYTES_MAX,
    CODE_BYTES_MAX,
    HEADER_BYTES,
    MAGIC,
    NAME_BYTES_MAX,
    REASON_BYTES_MAX,
    ROOM_NAME_BYTES_MAX,
    SUCCESSORS_BYTES_MAX,
    TEXT_BYTES_MAX,
    VERSION,
    Answer,
    Bye,
    ByeReason,
    Challenge,
    Discover,
    Event,
    EventKind,
    Events,
    Fetch,
    Join,
    Leave,
    Message,
    MessageKind,
    Offer,
    Packet,
    PacketType,
    Refused,
    RefusedReason,
    Say,
    Status,
    Told,
    Welcome,
)
from udp_chat.protocol.wire import MOVED_BYTES_MAX

GOLDEN_DATAGRAMS = {name: bytes.fromhex(text) for name, (_, text) in GOLDEN.items()}
EXAMPLES = 60
"""Random packets of each type."""

IN_AN_INBOX = {
    *(EventKind.PRIVATE, EventKind.NOTICE, EventKind.ROSTER, EventKind.SEEN, EventKind.STATS),
    EventKind.REGISTER,
}

EVENTS_HEAD = struct.pack("!BBHQQQQQ", 0, 1, 0, 1, 2, 1, 1, 1)


# --- random packets --------------------------------------------------------------------------


class Choices:
    """Random values, extreme ones among them; any packet made of them can be decoded."""

    ALPHABETS = (
        "abc XYZ.",
        "привет ёЖ",
        "日本語",
        "🙂👍🏽🏳️‍🌈",
        "\0\t\n\x1b\x7f\x9b",
        "\ud7ff\ue000\uffff\U0010ffff",
    )

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def number(self, bits: int, least: int = 0) -> int:
        most = (1 << bits) - 1
        number = self.random.choice([least, most, most // 2 + 1, self.random.getrandbits(bits)])
        return max(least, number)

    def flag(self) -> bool:
        return self.random.random() < 0.5

    def text(self, bytes_max: int) -> str:
        alphabet = self.random.choice(self.ALPHABETS)
        size = self.random.choice([0, 1, bytes_max, self.random.randrange(bytes_max + 1)])
        text = "".join(self.random.choices(alphabet, k=size))
        return text.encode()[:size].decode("utf-8", "ignore")

    def message(self) -> Message:
        return Message(
            self.number(32),
            self.random.choice(list(MessageKind)),
            self.text(TEXT_BYTES_MAX),
            self.text(NAME_BYTES_MAX),
            self.flag(),
        )

    def word(self, bytes_max: int) -> str:
        """A text that is not empty."""
        return self.text(bytes_max) or "x"

    def names(self) -> str:
        """Lines of a roster."""
        return "".join("\n" + (self.word(20).replace("\n", "") or "x") for _ in range(3))

    def rows(self) -> str:
        """Lines of a register."""
        name = self.word(NAME_BYTES_MAX).replace("\n", "").replace(" ", "") or "x"
        row = (
            f"\n{self.number(32)} {self.number(64):016x} {self.number(32)} {self.number(64)} {name}"
        )
        return row * self.random.randrange(4)

    def successors(self) -> str:
        """Lines of successors."""
        lines = [f"{self.number(32)} 192.0.2.1:{self.number(16)}\n" for _ in range(3)]
        return "".join(lines[: self.random.randrange(4)])

    def event(self, inbox: bool) -> Event:
        numbers = [str(self.number(64)) for _ in range(3)]
        name, to, member = self.word(NAME_BYTES_MAX), "", self.number(32, 1)
        kind = self.random.choice([kind for kind in EventKind if (kind in IN_AN_INBOX) == inbox])
        if kind in (EventKind.CHAT, EventKind.ACTION):
            text = self.text(TEXT_BYTES_MAX)
        elif kind in (EventKind.CHAT_APART, EventKind.ACTION_APART):
            to, text = f"{self.number(64):016x} {self.number(64)}", self.text(TEXT_BYTES_MAX)
        elif kind is EventKind.LOST_APART:
            name, member, text = "", 0, ""
            to = f"{self.number(64):016x} {self.number(64)} {self.number(64)}"
        elif kind is EventKind.JOIN:
            text = self.random.choice(["", f"{self.number(64):016x}"])
        elif kind is EventKind.SUCCESSORS:
            name, member, text = "", self.number(32), self.successors()
        elif kind is EventKind.LEAVE:
            text = self.word(CODE_BYTES_MAX)
        elif kind is EventKind.RENAME:
            text = self.word(NAME_BYTES_MAX)
        elif kind is EventKind.PRIVATE:
            to, text = self.word(NAME_BYTES_MAX), self.text(TEXT_BYTES_MAX)
        else:
            name, member = "", self.number(32)
            if kind is EventKind.NOTICE:
                to, text = self.text(NAME_BYTES_MAX), self.word(CODE_BYTES_MAX)
            elif kind is EventKind.ROSTER:
                text = " ".join(numbers[:2]) + self.names()
            elif kind is EventKind.SEEN:
                text = " ".join(numbers) + self.names()
            elif kind is EventKind.REGISTER:
                text = " ".join(numbers[:2]) + self.rows()
            else:
                text = self.random.choice([numbers[0], "\n".join([numbers[0], self.text(800)])])
        return Event(kind, self.number(64), name, to, text, member, self.number(32))

    def fitting(self, make: Callable[[], Any], room_bytes: int, least: int) -> tuple[Any, ...]:
        """Several of them, as many as a datagram may have room for."""
        made: list[Any] = [make() for _ in range(least)]
        size = sum(len(one.encode()) for one in made)
        for _ in range(self.random.choice([0, 1, 2, 8])):
            one = make()
            size += len(one.encode())
            if size <= room_bytes:
                made.append(one)
        return tuple(made)

    def events(self) -> Events:
        answer = None
        if self.flag():
            numbers = self.number(64), self.number(32), self.number(32), self.number(64)
            answer = Answer(*numbers, self.number(32))
        room_bytes = Events.EVENTS_BYTES_MAX - (Answer.LAYOUT.size if answer else 0)
        inbox = self.flag()
        events = self.fitting(lambda: self.event(inbox), room_bytes, 0)
        latest = self.number(64, len(events))
        first = self.random.choice([latest - len(events) + 1, 1 + latest // 2, 1])
        first = max(1, min(first, latest - len(events) + 1, 2**64 - 1))
        return Events(
            self.number(64),
            self.number(64),
            self.random.choice([1, first, 1 + first // 2]),
            latest,
            first,
            events,
            inbox,
            self.flag(),
            self.flag(),
            self.number(16),
            answer,
            padded=self.random.random() < 0.2,
        )

    def welcome(self) -> Welcome:
        latest = self.number(64)
        return Welcome(
            client_id=self.number(64),
            echoed_timestamp=self.number(64),
            session_id=self.number(64),
            epoch=self.number(64),
            inbox_epoch=self.number(64),
            oldest=self.random.choice([1, min(latest + 1, 2**64 - 1), 1 + latest // 2]),
            latest=latest,
            start=self.random.choice([1, min(latest + 1, 2**64 - 1), 1 + latest // 2]),
            joined=self.random.choice([0, latest, latest // 2]),
            inbox_start=self.number(64, 1),
            received=self.number(32),
            member=self.number(32),
            heartbeat_ms=self.number(32),
            ack_delay_ms=self.number(16),
            room_id=self.number(64),
            host=self.number(32),
            lineage=self.lineage(),
            handed_on=self.flag(),
            name=self.word(NAME_BYTES_MAX),
            room=self.text(ROOM_NAME_BYTES_MAX),
            host_name=self.text(NAME_BYTES_MAX),
            host_address=self.text(ADDRESS_BYTES_MAX),
            successors=self.text(SUCCESSORS_BYTES_MAX),
        )

    def lineage(self) -> bytes:
        return self.random.choice([bytes(LINEAGE_BYTES), self.random.randbytes(LINEAGE_BYTES)])

    def packets(self) -> Iterator[Packet]:
        """One of each type."""
        yield Discover(self.number(64), self.number(64))
        room = self.text(ROOM_NAME_BYTES_MAX)
        yield Offer(
            self.number(64),
            self.number(64),
            self.number(32),
            self.number(16),
            room,
            room_id=self.number(64),
            absorbs=self.number(64),
            flags=self.number(8),
            host=self.text(NAME_BYTES_MAX),
        )
        cookie = self.random.choice([bytes(16), self.random.randbytes(16)])
        yield Join(
            client_id=self.number(64),
            timestamp=self.number(64),
            cookie=cookie,
            epoch=self.number(64),
            room_ack=self.number(64),
            inbox_epoch=self.number(64),
            inbox_ack=self.number(64),
            next_message_id=self.number(32),
            room_id=self.number(64),
            member=self.number(32),
            lineage=self.lineage(),
            name=self.text(NAME_BYTES_MAX),
        )
        yield Challenge(self.number(64), cookie)
        yield self.welcome()
        reason = self.random.choice([*RefusedReason, 0, 7, 255])
        yield Refused(self.number(64), self.number(64), reason, self.text(REASON_BYTES_MAX))
        messages = self.fitting(self.message, Say.MESSAGES_BYTES_MAX, 1)
        yield Say(self.number(64), self.number(64), messages)
        yield self.events()
        yield Status(
            session_id=self.number(64),
            timestamp=self.number(64),
            echoed_timestamp=self.number(64),
            room_ack=self.number(64),
            room_gap_end=self.number(64),
            inbox_ack=self.number(64),
            inbox_gap_end=self.number(64),
            sent_count=self.number(32),
            ask=self.flag(),
        )
        yield Leave(self.number(64), self.number(64))
        where = self.random.choice(["", self.text(MOVED_BYTES_MAX)])
        yield Bye(self.number(64), self.random.choice([*ByeReason, 0, 6, 255]), where)
        yield Fetch(self.number(64), self.number(64), self.number(64), self.number(64))
        events = self.fitting(lambda: self.event(False), Told.EVENTS_BYTES_MAX, 0)
        first = min(self.number(64, 1), 2**63)
        yield Told(self.number(64), self.number(64), self.number(64), first, events)


def longest() -> Iterator[Packet]:
    """As many small things as one datagram can carry: more than a hundred, and 1200 bytes."""
    message = Message(1, MessageKind.CHAT, "")
    event = Event(EventKind.CHAT, 0, "A", member=1)
    count, left = divmod(Say.MESSAGES_BYTES_MAX, len(message.encode()))
    last = Message(2, MessageKind.CHAT, "x" * left)
    yield Say(1, 2, (message,) * (count - 1) + (last,))
    count, left = divmod(Events.EVENTS_BYTES_MAX, len(event.encode()))
    yield Events(
        1, 2, 1, 99, 1, (event,) * (count - 1) + (Event(EventKind.CHAT, 0, "A", "", "x" * left, 1),)
    )


def valid_datagrams() -> list[bytes]:
    packets = [packet for seed in range(EXAMPLES) for packet in Choices(seed).packets()]
    return [*GOLDEN_DATAGRAMS.values(), *(p.encode() for p in (*packets, *longest()))]


# --- forged and damaged datagrams ------------------------------------------------------------


def sealed(packet_type: int, body: bytes, version: int = VERSION) -> bytes:
    return reseal(struct.pack("!2sBBI", MAGIC, version, packet_type, 0) + body)


def positions(datagram: bytes) -> list[int]:
    """Where a datagram may be cut or changed: everywhere, but amid many zeros at their ends."""
    size = len(datagram)
    return [at for at in range(size) if at >= size - 2 or any(datagram[max(0, at - 8) : at + 9])]


def cuts() -> Iterator[bytes]:
    """Every beginning of every golden datagram with a correct checksum, and some with none."""
    for datagram in GOLDEN_DATAGRAMS.values():
        yield from (reseal(datagram[:size]) for size in positions(datagram)[HEADER_BYTES:])
        yield from (datagram[:size] for size in (*range(9), len(datagram) // 2, -1))
        yield datagram + b"\0"
        yield reseal(datagram + b"\0")


def changes(chance: random.Random) -> Iterator[bytes]:
    """Each byte of each golden datagram changed; and single bits, which the checksum finds."""
    for datagram in GOLDEN_DATAGRAMS.values():
        for at in positions(datagram)[2:]:
            for value in (datagram[at] + 1 & 255, chance.choice([0, 255, chance.randrange(256)])):
                yield reseal(datagram[:at] + bytes([value]) + datagram[at + 1 :])
        for bit in [*range(16), *chance.sample(range(16, 8 * len(datagram)), 20)]:
            flipped = bytearray(datagram)
            flipped[bit // 8] ^= 1 << bit % 8
            yield bytes(flipped)


UTF8_EDGES = [
    *("41", "7f", "80", "bf", "c0 80", "c1 bf", "c1 41", "c2 80", "c2", "c2 7f", "c2 c0", "df bf"),
    *("e0 9f bf", "e0 a0 80", "e0 a0", "e1 80 c0", "ed 9f bf", "ed a0 80", "ee 80 80", "ef bf bf"),
    *("f0 8f bf bf", "f0 90 80 80", "f0 90 80", "f4 8f bf bf", "f4 90 80 80", "f5 80 80 80", "ff"),
    *("41 c2 80 80", "f0 90 80 80 41", "e1 41 80", "00 41 00", "e0 a0 80 9f bf"),
]


def impossible_events() -> Iterator[Event]:
    """What no server appends, whatever its log."""
    long = "x" * (NAME_BYTES_MAX + 1)
    for kind in (EventKind.CHAT, EventKind.ACTION):
        yield Event(kind, 1, "", "", "text", 1)
        yield Event(kind, 1, "Anna", "Boris", "text", 1)
        yield Event(kind, 1, "Anna", "", "text", 0)
    yield Event(EventKind.JOIN, 1, "", "", "", 1)
    yield Event(EventKind.JOIN, 1, "Anna", "Boris", "", 1)
    for text in ("text", "0" * 15, "0" * 17, "0" * 15 + "G", "0" * 15 + "A"):
        yield Event(EventKind.JOIN, 1, "Anna", "", text, 1)
    yield Event(EventKind.JOIN, 1, "Anna", "", "", 0)
    yield from (Event(EventKind.LEAVE, 1, "Anna", "", text, 1) for text in ("", long))
    yield Event(EventKind.LEAVE, 1, "", "", "left", 1)
    yield from (Event(EventKind.RENAME, 1, "Anna", "", text, 1) for text in ("", long))
    yield Event(EventKind.RENAME, 1, "", "", "Anne", 1)
    yield Event(EventKind.PRIVATE, 1, "", "Boris", "text", 1)
    yield Event(EventKind.PRIVATE, 1, "Anna", "", "text", 1)
    yield Event(EventKind.PRIVATE, 1, "Anna", "Boris", "text", 0)
    yield Event(EventKind.NOTICE, 1, "Anna", "", "name_in_use")
    yield from (Event(EventKind.NOTICE, 1, "", "", text) for text in ("", long))
    for kind in (EventKind.CHAT_APART, EventKind.ACTION_APART):
        yield Event(kind, 1, "Anna", "", "text", 1)
        yield Event(kind, 1, "", "0 1", "text", 1)
        yield Event(kind, 1, "Anna", "0 1", "text", 0)
    yield Event(EventKind.LOST_APART, 1, "", "")
    yield Event(EventKind.LOST_APART, 1, "Anna", "e1 1 2")
    yield Event(EventKind.LOST_APART, 1, "", "e1 1 2", "text")
    yield Event(EventKind.SUCCESSORS, 1, "Anna", "", "6 a:1\n", 0)
    yield Event(EventKind.SUCCESSORS, 1, "", "Boris", "6 a:1\n", 0)
    digits = "1" * 21
    for text in ("6 a:1", "6\n", "a:1 6\n", "6 a b\n", f"6 {long}\n", f"{digits} a:1\n", "\n"):
        yield Event(EventKind.SUCCESSORS, 1, "", "", text)
    yield Event(EventKind.SUCCESSORS, 1, "", "", f"6 {long[1:]}\n" * 4)
    tag = "0123456789abcdef"
    for row in (
        f"5 {tag} 1 2",
        f"5 {tag} 1 2 A B",
        f"5 {tag[1:]} 1 2 A",
        f"5 {tag} 1 2 {long}",
        "",
    ):
        yield Event(EventKind.REGISTER, 1, "", "", f"1 0\n{row}")
    for row in (f"5 {tag}0 1 2 A", f"{digits} {tag} 1 2 A", f"5 {tag} 1 2 A\n", f"x {tag} 1 2 A"):
        yield Event(EventKind.REGISTER, 1, "", "", f"1 0\n{row}")
    for kind, head in [
        (EventKind.ROSTER, "1 0"),
        (EventKind.SEEN, "1 2 3"),
        (EventKind.STATS, "0"),
        (EventKind.REGISTER, "1 0"),
    ]:
        yield Event(kind, 1, "Anna", "", head)
        yield Event(kind, 1, "", "Boris", head)
        for text in ("", head + " 1", head + " ", " " + head, "x" + head[1:], digits + head[1:]):
            yield Event(kind, 1, "", "", text)
        yield Event(kind, 1, "", "", "١" + head[1:])  # a digit, but not of the wire
    for head in ("1 0", "1 2 3"):
        for lines in ("\n", f"\n{long}", "\nAnna\n", "\n\nAnna"):
            yield Event(
                EventKind.ROSTER if head == "1 0" else EventKind.SEEN, 1, "", "", head + lines
            )


def forgeries(chance: random.Random) -> Iterator[bytes]:
    """What no sender of this protocol makes, though its checksum is right."""
    ids = struct.pack("!QQ", 7, 8)
    for version in (0, 1, 3, 255):
        for packet_type in range(len(PacketType) + 2):
            yield from (sealed(packet_type, ids[:size], version) for size in (0, 8, 15, 16))
        yield sealed(PacketType.REFUSED, ids + b"\1\2ab", version)
    yield from (sealed(number, ids) for number in (0, len(PacketType) + 1, 255))
    yield sealed(PacketType.LEAVE, bytes(1200 - HEADER_BYTES))
    yield sealed(PacketType.LEAVE, bytes(1201 - HEADER_BYTES))
    yield sealed(PacketType.SAY, ids + b"\0")
    # Texts: longer than allowed, whether they are there or not, and all that is not quite UTF-8.
    for size, most in [(0, 0), (64, 64), (65, 64), (255, 0)]:
        name = b"n" * most + b"n" * (size - most if chance.random() < 0.5 else 0)
        yield sealed(PacketType.JOIN, bytes(Join.LAYOUT.size - 1) + bytes([size]) + name)
        yield sealed(PacketType.OFFER, bytes(Offer.LAYOUT.size - 2) + bytes([size, 0]) + name)
        yield sealed(PacketType.OFFER, bytes(Offer.LAYOUT.size - 2) + bytes([0, size]) + name)
    for size in (96, 97, 255):
        yield sealed(PacketType.BYE, ids[:8] + bytes([5, size]) + b"w" * size)
    for size in (900, 901, 65535):
        text = b"t" * min(size, 1000)
        message = struct.pack("!IBBBH", 1, 1, 0, 0, size)
        yield sealed(PacketType.SAY, ids + b"\1" + message + text)
        event = struct.pack("!BBBHQII", 1, 0, 0, size, 1, 1, 1)
        yield sealed(PacketType.EVENTS, EVENTS_HEAD + event + text)
    for kind in (
        0,
        1,
        len(MessageKind) + 1,
        255,
    ):  # of a message or an event whose text is bad, too
        bad_text = struct.pack("!IBBBH", 1, kind, 7, 0, 1) + b"\xff"
        yield sealed(PacketType.SAY, ids + b"\1" + bad_text)
    for kind in (0, 1, len(EventKind) + 1, 255):
        bad_text = struct.pack("!BBBHQII", kind, 0, 0, 1, 1, 1, 1) + b"\xff"
        yield sealed(PacketType.EVENTS, EVENTS_HEAD + bad_text)
    for edge in UTF8_EDGES:
        text = bytes.fromhex(edge)
        yield sealed(PacketType.REFUSED, ids + bytes([1, len(text)]) + text)
    # Slices that can and that cannot be.
    numbers = [0, 1, 2, 3, 2**63, 2**64 - 2, 2**64 - 1]
    event = Event(EventKind.JOIN, 1, "A", member=1).encode()
    for _ in range(400):
        oldest, latest, first = (chance.choice(numbers) for _ in range(3))
        if chance.random() < 0.7:  # else hardly any would be possible
            oldest, first, latest = sorted([oldest, latest, first])
        count = chance.randrange(4)
        body = struct.pack("!BBHQQQQQ", 0, count, 0, 1, 2, oldest, latest, first)
        yield sealed(PacketType.EVENTS, body + event * count)
        start, inbox_start = chance.choice(numbers), chance.choice([0, 1, 1])
        joined = chance.choice([0, 1, 1, latest])
        logs = struct.pack("!10Q", *([1] * 5), oldest, latest, start, joined, inbox_start)
        middle = bytes(Welcome.LAYOUT.size - len(logs) - 5)
        yield sealed(PacketType.WELCOME, logs + middle + b"\1\0\0\0\0A")
        yield sealed(PacketType.WELCOME, logs + middle + bytes(5))
        yield Told(1, 2, 3, first, (Event(EventKind.JOIN, 1, "A", member=1),) * count).encode()
    # Events that are not like others of their kind, each in the log it is for and in the other.
    for unlike in impossible_events():
        for inbox in (0, 1):
            head = struct.pack("!BBHQQQQQ", inbox, 1, 0, 1, 2, 1, 1, 1)
            yield sealed(PacketType.EVENTS, head + unlike.encode())
    # A count of more than there are.
    yield sealed(PacketType.SAY, ids + b"\xff" + Message(1, MessageKind.WHO, "").encode() * 2)
