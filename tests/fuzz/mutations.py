"""Datagrams bent on purpose: taken apart by their layout, changed, and put together again.

`dissect` turns a valid datagram into the numbers, texts and entries that its packet's layout says
are there; `Dissected.encode` writes them down again, whether they fit together or not, with the
checksum that the bytes ask for. `bend` does one to three changes in between: numbers at an edge or
off by one, another datagram's numbers, counts and lengths that lie, texts that are no UTF-8, that
are too long or move a cursor, entries lost, doubled, swapped or from elsewhere, another type.

All chance is the caller's.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Any, TypeAlias

from tests.machines import reseal
from udp_chat.protocol.packets import (
    EVENTS_ANSWER,
    HEADER_BYTES,
    MAGIC,
    NAME_BYTES_MAX,
    TEXT_BYTES_MAX,
    VERSION,
    Answer,
    Bye,
    Challenge,
    Discover,
    Event,
    EventKind,
    Events,
    Fetch,
    Join,
    Leave,
    Message,
    Offer,
    PacketType,
    Refused,
    Say,
    Status,
    Told,
    Welcome,
)

Chance: TypeAlias = random.Random

_HEAD = Struct("!2sBB")

_LAYOUTS: dict[int, Struct] = {
    PacketType.DISCOVER: Discover.LAYOUT,
    PacketType.OFFER: Offer.LAYOUT,
    PacketType.JOIN: Join.LAYOUT,
    PacketType.CHALLENGE: Challenge.LAYOUT,
    PacketType.WELCOME: Welcome.LAYOUT,
    PacketType.REFUSED: Refused.LAYOUT,
    PacketType.SAY: Say.LAYOUT,
    PacketType.EVENTS: Events.LAYOUT,
    PacketType.STATUS: Status.LAYOUT,
    PacketType.LEAVE: Leave.LAYOUT,
    PacketType.BYE: Bye.LAYOUT,
    PacketType.FETCH: Fetch.LAYOUT,
    PacketType.TOLD: Told.LAYOUT,
}

_LENGTHS: dict[Struct, range] = {
    Offer.LAYOUT: range(7, 9),
    Join.LAYOUT: range(11, 12),
    Welcome.LAYOUT: range(18, 23),
    Refused.LAYOUT: range(3, 4),
    Bye.LAYOUT: range(2, 3),
    Message.LAYOUT: range(3, 5),
    Event.LAYOUT: range(1, 4),
}
"""Which fields of a layout are the lengths of the texts behind it."""

_ENTRIES: dict[int, tuple[Struct, int]] = {
    PacketType.SAY: (Message.LAYOUT, 2),
    PacketType.EVENTS: (Event.LAYOUT, 1),
    PacketType.TOLD: (Event.LAYOUT, 4),
}
"""What a packet carries many of, and which of its fields counts them."""

_KIND_AT = {Message.LAYOUT: 1, Event.LAYOUT: 0}

_ID_AT = {PacketType.EVENTS: 3}
"""Which field says whose packet it is; the first one in all others."""


# --- numbers and texts that are worth a try --------------------------------------------------

_SIZES = {"B": 1, "?": 1, "H": 2, "I": 4, "Q": 8}


def sizes(layout: Struct) -> tuple[int, ...]:
    """The bytes of each number in a layout; 0 for what is no number."""
    found: list[int] = []
    for count, code in re.findall(r"(\d*)([a-zA-Z?])", layout.format):
        if code in _SIZES:
            found += [_SIZES[code]] * int(count or 1)
        elif code == "s":
            found.append(0)
    return tuple(found)


_FIELD_SIZES: dict[Struct, tuple[int, ...]] = {
    layout: sizes(layout)
    for layout in (*_LAYOUTS.values(), Answer.LAYOUT, Message.LAYOUT, Event.LAYOUT)
}

STEPS = (-1025, -1024, -256, -64, -2, -1, 1, 1, 1, 2, 32, 33, 64, 65, 1023, 1024, 1025, 10**6)
"""Around a number that was right: by one, and by what limits there are."""


def edge(chance: Chance, size: int, near: int) -> int:
    """A number of so many bytes at an end, in the middle, or beside the right one."""
    most = (1 << 8 * size) - 1
    dice = chance.random()
    if dice < 0.45:
        return min(max(near + chance.choice(STEPS), 0), most)
    if dice < 0.9:
        return chance.choice((0, 0, 1, 2, most // 2, most // 2 + 1, most - 1, most, most))
    return chance.getrandbits(8 * size)


NAMES = [
    *("", "Anna", "ANNA", "Аnna", "Anna\u200d", "\u2800", "a b", "a\nb", "ﬁ", "İ", "ß", "\u0345"),
    *("\u202eannA", "\x1b[2J", "\x9b2J", "x" * NAME_BYTES_MAX, "я" * 32, "🙂" * 16, "e\u0301" * 16),
    *("\0", "\r", "-", "{0}", "{name}", "%s", "\ufffd", "\U0010ffff", "\ue000", "ｗｉｄｅ"),
]

_HUGE = "9" * 400
"""A number that is longer than any that a machine calculates with."""

TEXTS = [
    *NAMES,
    *(
        "x" * 65,
        "я" * 33,
        "x" * 300,
        "x" * TEXT_BYTES_MAX,
        "я" * 450,
        "\n" * 900,
        "\x1b]0;title\x07",
        "a\u2028b\u2029c\x85d",
    ),
    *("0 0", "1 0\nAnna", f"{2**64} 0\nX", "0 1\nX", "٣ 0\nX", "1 0\n" + "\n".join("ab" * 200)),
    *(f"{_HUGE} 0\nX", "-1 0\nX", "1 00\nX", "1  0\nX", "1 0 \nX", "1 0\n\n\n", "\n1 0", "5 -1\nX"),
    *("1 1 1", "2 1 1\nX", "1 1 1 1", f"{2**64} {2**64} 0", f"{_HUGE} 1 1", f"1 {_HUGE} {_HUGE}"),
    *("1 2 3", "1 1 1 1 1 1 1", "٣ 1", "²", f"{_HUGE}", "0 -1 1", "1\t2\n3", f"{2**64} 1"),
    *("0\nAnna 1 2 3 4 5 6 7 8 9", "1\nX 1", "0\n", "0\n" + f"X{f' {_HUGE}' * 2}" + " 1" * 7),
    *(f"0\nX {_HUGE}" + " 1" * 8, "0\n\x1b[2J 1 2 3 4 5 6 7 8 9", "0\n 1 2 3 4 5 6 7 8 9"),
    *(
        "7 192.0.2.1:9091\n",
        f"7 {'x' * 64}\n" * 4,
        "7 ::1\n7 [::1]:0\n",
        f"{_HUGE} a:1\n",
        "0 :0\n",
    ),
    *(
        "7 5 192.0.2.1:9091",
        "0 0 :0",
        f"7 {_HUGE} [fe80::1%eth0]:1",
        "7 5 localhost:99999",
        "MOVED",
    ),
    *("0123456789abcdef", "0123456789abcdeF", "0123456789abcdef 5", "0 0", f"{_HUGE} 1", "-1 -1"),
    *("1 0\n5 0123456789abcdef 1 2 A", f"1 0\n5 0123456789abcdef {_HUGE} 1 A", "0 1\n", "1 0\n5 x"),
    *("٠\nX ١ 2 3 4 5 6 7 8 9", "0\nX 1 2 3 4 5 6 7 8 9\n" * 30, "left", "timeout", "no_such"),
    *("unusable_name_x", "seen", "stats", "name_in_use", "seen_but", "history", "lost_unknown"),
]

BAD_UTF8 = [
    bytes.fromhex(text)
    for text in ("80", "c0 80", "c2", "ed a0 80", "f4 90 80 80", "f0 80 80 80", "ff fe", "41 c2")
]


def text(chance: Chance, was: bytes) -> bytes:
    """A text for where another one was, mostly valid UTF-8."""
    dice = chance.random()
    if dice < 0.6:
        return chance.choice(TEXTS).encode("utf-8", "surrogatepass")
    if dice < 0.7:
        return chance.choice(BAD_UTF8)
    if dice < 0.8:
        return was + chance.choice((b"\n", b" ", b"\0", b"\x1b[A", b"x", b"x" * 100))
    if dice < 0.9:
        return was[: chance.randrange(len(was) + 1)]
    return words(chance, was.decode("utf-8", "replace")).encode()


def words(chance: Chance, was: str) -> str:
    """A text of words and lines with some of them changed: what answers and tables are made of."""
    lines = was.split("\n")
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(lines))
        parts = lines[at].split(" ")
        part = chance.randrange(len(parts))
        dice = chance.random()
        if dice < 0.4:
            odd = ("", "0", "-1", "1", "٣", "²", "x", "0x1", _HUGE, str(2**64), "1_0", "\x1b[A")
            parts[part] = chance.choice(odd)
        elif dice < 0.55:
            parts.insert(part, chance.choice(("0", "1", "", "Anna")))
        elif dice < 0.7:
            del parts[part]
        lines[at] = " ".join(parts)
        if dice >= 0.9:
            lines.insert(at, chance.choice(lines))
        elif dice >= 0.8 and len(lines) > 1:
            del lines[at]
    return "\n".join(lines)


# --- taking apart and putting together -------------------------------------------------------


@dataclass(slots=True)
class Part:
    """A run of fields as one layout has them, and the texts that follow it."""

    layout: Struct
    values: list[Any]
    texts: list[bytes] = field(default_factory=list)

    def encode(self) -> bytes:
        return self.layout.pack(*self.values) + b"".join(self.texts)

    def copy(self) -> Part:
        return Part(self.layout, self.values[:], self.texts[:])

    def set_number(self, at: int, value: int) -> None:
        """Writes a number, cut to what its field holds."""
        most = (1 << 8 * _FIELD_SIZES[self.layout][at]) - 1
        self.values[at] = min(max(value, 0), most)

    def set_text(self, number: int, value: bytes, honest: bool) -> None:
        """Writes a text; if `honest`, its length says so, as far as its field can."""
        self.texts[number] = value
        if honest:
            self.set_number(_LENGTHS[self.layout][number], len(value))

    def numbers(self) -> list[int]:
        """Which of its fields are numbers."""
        return [at for at, size in enumerate(_FIELD_SIZES[self.layout]) if size]


def _take(layout: Struct, data: bytes, at: int) -> tuple[Part, int]:
    values = list(layout.unpack_from(data, at))
    at += layout.size
    texts = []
    for length_at in _LENGTHS.get(layout, ()):
        texts.append(data[at : at + values[length_at]])
        at += values[length_at]
    return Part(layout, values, texts), at


@dataclass(slots=True)
class Dissected:
    """A datagram as its fields."""

    packet_type: int
    head: Part
    answer: Part | None
    entries: list[Part]
    tail: bytes
    version: int = VERSION
    claimed_type: int | None = None
    """What the header says it is, if not the truth."""

    def encode(self) -> bytes:
        """The datagram, with a checksum that agrees."""
        claimed = self.packet_type if self.claimed_type is None else self.claimed_type
        pieces = [_HEAD.pack(MAGIC, self.version, claimed), bytes(4), self.head.encode()]
        if self.answer is not None:
            pieces.append(self.answer.encode())
        pieces += [entry.encode() for entry in self.entries]
        pieces.append(self.tail)
        return reseal(b"".join(pieces))

    def parts(self) -> list[Part]:
        return [self.head, *([self.answer] if self.answer is not None else []), *self.entries]

    def count_entries(self) -> None:
        """Has the count say how many entries there are."""
        if self.packet_type in _ENTRIES:
            self.head.set_number(_ENTRIES[self.packet_type][1], len(self.entries))

    @property
    def id(self) -> int:
        """Whose it is: a client, a session, a log or a question."""
        return int(self.head.values[_ID_AT.get(PacketType(self.packet_type), 0)])

    @id.setter
    def id(self, value: int) -> None:
        self.head.set_number(_ID_AT.get(PacketType(self.packet_type), 0), value)


def dissect(datagram: bytes) -> Dissected:
    """A datagram that is valid, as its fields."""
    packet_type = datagram[3]
    head, at = _take(_LAYOUTS[packet_type], datagram, HEADER_BYTES)
    answer, entries = None, []
    if packet_type == PacketType.EVENTS and head.values[0] & EVENTS_ANSWER:
        answer, at = _take(Answer.LAYOUT, datagram, at)
    if packet_type in _ENTRIES:
        layout, count_at = _ENTRIES[packet_type]
        for _ in range(head.values[count_at]):
            entry, at = _take(layout, datagram, at)
            entries.append(entry)
    return Dissected(packet_type, head, answer, entries, datagram[at:])


# --- changes ---------------------------------------------------------------------------------

Donors: TypeAlias = Sequence[bytes]
"""Other valid datagrams, to take pieces from."""


def _numbers(packet: Dissected, chance: Chance, donors: Donors) -> None:
    part = packet.head if chance.random() < 0.5 else chance.choice(packet.parts())
    at = chance.choice(part.numbers())
    part.set_number(at, edge(chance, _FIELD_SIZES[part.layout][at], int(part.values[at])))


def _all_numbers(packet: Dissected, chance: Chance, donors: Donors) -> None:
    part = packet.head
    lengths = _LENGTHS.get(part.layout, ())
    for at in part.numbers()[1:]:
        if at not in lengths and chance.random() < 0.5:
            part.set_number(at, edge(chance, _FIELD_SIZES[part.layout][at], int(part.values[at])))


def _foreign_numbers(packet: Dissected, chance: Chance, donors: Donors) -> None:
    other = chance.choice(dissect(chance.choice(donors)).parts())
    part = chance.choice(packet.parts())
    number = other.values[chance.choice(other.numbers())]
    part.set_number(chance.choice(part.numbers()), int(number))


def _lying_length(packet: Dissected, chance: Chance, donors: Donors) -> None:
    parts = [part for part in packet.parts() if part.layout in _LENGTHS]
    if parts:
        part = chance.choice(parts)
        at = chance.choice(_LENGTHS[part.layout])
        part.set_number(at, part.values[at] + chance.choice((-1, 1, 1, 64, -64, 65535)))


def _lying_count(packet: Dissected, chance: Chance, donors: Donors) -> None:
    if packet.packet_type in _ENTRIES:
        at = _ENTRIES[packet.packet_type][1]
        packet.head.set_number(at, packet.head.values[at] + chance.choice((-1, 1, 255, -255)))


def _texts(packet: Dissected, chance: Chance, donors: Donors) -> None:
    parts = [part for part in packet.parts() if part.texts]
    if parts:
        part = chance.choice(parts)
        number = chance.randrange(len(part.texts))
        part.set_text(number, text(chance, part.texts[number]), chance.random() < 0.95)


def _names(packet: Dissected, chance: Chance, donors: Donors) -> None:
    parts = [part for part in packet.parts() if part.texts]
    if parts:
        chance.choice(parts).set_text(0, chance.choice(NAMES).encode(), True)


def _kinds(packet: Dissected, chance: Chance, donors: Donors) -> None:
    for entry in packet.entries:
        if chance.random() < 0.7:
            kind = chance.choice((*range(1, 11), EventKind.RENAME, EventKind.RENAME, 0, 11, 255))
            entry.set_number(_KIND_AT[entry.layout], kind)
            if chance.random() < 0.7:  # with a text that may mean something to this kind
                odd = chance.choice(TEXTS).encode()[:TEXT_BYTES_MAX].decode("utf-8", "ignore")
                entry.set_text(len(entry.texts) - 1, odd.encode(), True)


def _flags(packet: Dissected, chance: Chance, donors: Donors) -> None:
    if packet.packet_type == PacketType.EVENTS:
        packet.head.values[0] ^= 1 << chance.choice((0, 0, 1, 2, 3, 4, 5, 7))
    elif packet.packet_type == PacketType.STATUS:
        packet.head.values[-1] = not packet.head.values[-1]
    for entry in packet.entries:
        if entry.layout is Message.LAYOUT and chance.random() < 0.5:
            entry.values[2] = not entry.values[2]


def _answer(packet: Dissected, chance: Chance, donors: Donors) -> None:
    if packet.packet_type != PacketType.EVENTS:
        return
    if packet.answer is None:
        packet.answer = Part(Answer.LAYOUT, [edge(chance, size, 3) for size in (8, 4, 4, 8, 4)])
        packet.head.values[0] |= EVENTS_ANSWER
    else:
        packet.answer = None
        packet.head.values[0] &= ~EVENTS_ANSWER


def _entries(packet: Dissected, chance: Chance, donors: Donors) -> None:
    entries = packet.entries
    dice = chance.random()
    if dice < 0.25 and entries:
        del entries[chance.randrange(len(entries))]
    elif dice < 0.5 and entries:
        at = chance.randrange(len(entries))
        entries[at:at] = [entries[at].copy() for _ in range(chance.choice((1, 1, 3, 20)))]
    elif dice < 0.65:
        chance.shuffle(entries)
    elif packet.packet_type in _ENTRIES:
        other = dissect(chance.choice(donors))
        if other.packet_type == packet.packet_type:
            entries += other.entries
    packet.count_entries()


def _type(packet: Dissected, chance: Chance, donors: Donors) -> None:
    packet.claimed_type = chance.choice((*range(1, 12), 0, 12, 255))


def _version(packet: Dissected, chance: Chance, donors: Donors) -> None:
    packet.version = chance.choice((0, 2, 255))


def _tail(packet: Dissected, chance: Chance, donors: Donors) -> None:
    packet.tail += chance.choice((b"\0", b"\0" * 1200, chance.randbytes(chance.randint(1, 40))))


FIELD_CHANGES: tuple[Callable[[Dissected, Chance, Donors], None], ...] = (
    *(_numbers, _numbers, _numbers, _numbers, _all_numbers, _foreign_numbers),
    *(_texts, _texts, _names, _kinds, _kinds, _kinds, _flags, _answer, _entries, _entries),
)
"""Changes after which a datagram mostly is a packet still, and of its old type."""

CHANGES = (*FIELD_CHANGES * 3, _lying_length, _lying_count, _type, _version, _tail)


def bend(packet: Dissected, chance: Chance, donors: Donors, keeps_type: bool = False) -> bytes:
    """The datagram after one to three changes; if `keeps_type`, of its fields alone."""
    changes = FIELD_CHANGES if keeps_type else CHANGES
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chance.choice(changes)(packet, chance, donors)
    if keeps_type:
        return packet.encode()
    return damage(packet.encode(), chance)


def damage(datagram: bytes, chance: Chance) -> bytes:
    """Mostly the datagram itself; now and then it is cut, longer, has bits flipped, or a checksum
    that is wrong. Few keep that one: all that stops there looks the same."""
    dice = chance.random()
    if dice < 0.88 or not datagram:
        return datagram
    changed = bytearray(datagram)
    if dice < 0.91:
        del changed[chance.randrange(len(changed)) :]
    elif dice < 0.93:
        changed += chance.randbytes(chance.randint(1, 1300))
    else:
        for _ in range(chance.randint(1, 8)):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    if len(changed) < HEADER_BYTES or chance.random() < 0.3:
        return bytes(changed)
    return reseal(bytes(changed))
