"""The wire format of udp-chat: every packet, encoded and decoded.

A datagram is a header (magic, version, type, CRC-32) and a body of fixed fields in network
byte order, followed by texts in UTF-8. `decode` turns bytes into one of the packet classes
below or raises `MalformedDatagram`; there is no third outcome, whatever the bytes are. What a
packet's `encode` made, `decode` reads back; padding is written as zeros and not looked at.
docs/protocol.md is the normative description.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypeVar, cast

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on

MAGIC = b"UC"
VERSION = 1

DEFAULT_PORT = 9091
"""The port of the coursework's chat."""

DATAGRAM_BYTES_MAX = 1200
"""Below IPv6's minimum MTU (1280) less headers, so never fragmented (RFC 9000 §14)."""

TEXT_BYTES_MAX = 900
"""UTF-8 bytes of one event's text: with two longest names it still fits any datagram."""

NAME_BYTES_MAX = 64
ROOM_NAME_BYTES_MAX = 64
REASON_BYTES_MAX = 255

CODE_BYTES_MAX = 64
"""UTF-8 bytes of what says why in an event: the reason of a LEAVE, the code of a NOTICE."""

COOKIE_BYTES = 16
"""128 bits of a keyed hash: not to be guessed within the seconds a cookie lives."""

NO_COOKIE = bytes(COOKIE_BYTES)

DISCOVER_BYTES = 128
"""Every DISCOVER is padded to this, so that no OFFER is larger than what asked for it."""

COUNT_MAX = 255
"""Events in an EVENTS, messages in a SAY: the count is one byte."""

RUN_MAX = 32
"""Parts of one long line that are kept together in the log (28 kB of text)."""

IN_FLIGHT_MAX = 64
"""Messages of one client that the server has not yet echoed. At least RUN_MAX, so that a
whole run fits; small enough that what the server may have to hold for a member stays small."""

Address: TypeAlias = tuple[Any, ...]
"""What `recvfrom` calls an address: (host, port) or (host, port, flow, scope). Opaque here."""


# --- numbers on the wire: append only, never renumber ---------------------------------------


class PacketType(IntEnum):
    DISCOVER = 1
    OFFER = 2
    JOIN = 3
    CHALLENGE = 4
    WELCOME = 5
    REFUSED = 6
    SAY = 7
    EVENTS = 8
    STATUS = 9
    LEAVE = 10
    BYE = 11


class EventKind(IntEnum):
    """What happened. The first five are in the room's log, the others in a member's inbox."""

    CHAT = 1
    ACTION = 2
    JOIN = 3
    LEAVE = 4  # text: why ("left", "timeout")
    RENAME = 5  # name: the old one, text: the new one
    PRIVATE = 6  # to: the recipient
    NOTICE = 7  # text: a code such as "no_such_member", to: the name it is about
    ROSTER = 8  # text: "SEQ REMAINING" and then a name a line; see docs/protocol.md
    SEEN = 9  # text: "SEQ HAVE TOTAL" and then the names of those who have it not, a line each
    STATS = 10  # text: "REMAINING" and then a member a line; see docs/protocol.md


class MessageKind(IntEnum):
    """What a client asks the room to append."""

    CHAT = 1
    ACTION = 2
    PRIVATE = 3
    RENAME = 4
    WHO = 5
    SEEN = 6  # text: sequence numbers of lines of mine, separated by spaces
    STATS = 7


class RefusedReason(IntEnum):
    VERSION = 1
    NAME_IN_USE = 2
    UNUSABLE_NAME = 3
    ROOM_FULL = 4
    ADDRESS_FULL = 5  # as many members as may be are in from this address
    BUSY = 6  # no more joins at this moment: try again


class ByeReason(IntEnum):
    LEFT = 1
    TIMEOUT = 2
    UNKNOWN_SESSION = 3
    SHUTTING_DOWN = 4


# --- errors ----------------------------------------------------------------------------------


class ChatError(Exception):
    """Base of everything this project raises on purpose."""


class MalformedDatagram(ChatError):
    """These bytes are not a packet. `reason` is short and the same for the same mistake."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class UnsupportedVersion(MalformedDatagram):
    """A packet of this protocol in a version that is not spoken here."""

    def __init__(self, version: int) -> None:
        super().__init__("unsupported version")
        self.version = version


# --- reading bytes ---------------------------------------------------------------------------


class _Parser:
    """Reads fields from a body; every short read and every bad text is MalformedDatagram."""

    __slots__ = ("_at", "_data")

    def __init__(self, data: bytes, at: int) -> None:
        self._data = data
        self._at = at

    def fields(self, layout: Struct) -> tuple[Any, ...]:
        start, self._at = self._at, self._at + layout.size
        if self._at > len(self._data):
            raise MalformedDatagram("truncated")
        return layout.unpack_from(self._data, start)

    def text(self, length: int, bytes_max: int) -> str:
        start, self._at = self._at, self._at + length
        if length > bytes_max:
            raise MalformedDatagram("text too long")
        if self._at > len(self._data):
            raise MalformedDatagram("truncated")
        try:
            return self._data[start : self._at].decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise MalformedDatagram("invalid utf-8") from None

    def padding(self) -> None:
        """Skips the zeros that fill the datagram."""
        if len(self._data) != DATAGRAM_BYTES_MAX or any(self._data[self._at :]):
            raise MalformedDatagram("bad padding")
        self._at = len(self._data)

    def finish(self) -> None:
        if self._at != len(self._data):
            raise MalformedDatagram("trailing bytes")


_Number = TypeVar("_Number", bound=IntEnum)


def _number(kind: type[_Number], value: int) -> _Number:
    # The enum's own table of values: calling the class costs four times as much, once per line.
    number = kind._value2member_map_.get(value)
    if number is None:
        raise MalformedDatagram(f"unknown {kind.__name__}")
    return cast(_Number, number)


def _bounded(text: bytes, bytes_max: int) -> bytes:
    assert len(text) <= bytes_max, "the sender checks what it sends"
    return text


# --- the header ------------------------------------------------------------------------------
#
#  0      2         3      4         8
#  +------+---------+------+---------+----------
#  | "UC" | version | type | CRC-32  | body …
#  +------+---------+------+---------+----------
#
# The CRC covers the first four bytes and the body. UDP's own checksum has 16 bits, may be
# absent over IPv4, and misses errors that end a chat's promise: a flipped bit in a sequence
# number. It is no protection against forgery; the 64-bit random ids are.

_HEADER = Struct("!2sBBI")
_HEAD = Struct("!2sBB")
HEADER_BYTES = _HEADER.size


def _seal(packet_type: PacketType, body: bytes) -> bytes:
    head = _HEAD.pack(MAGIC, VERSION, packet_type)
    return b"%b%b%b" % (head, zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "big"), body)


# Whatever the version, a client's packets begin as follows, so that a server of another
# version can still refuse a JOIN to its sender.
#
#  8                    16                     24
#  +--------------------+----------------------+----------
#  | client/session id  | timestamp (µs)       | …
#  +--------------------+----------------------+----------
#
# The timestamp is the client's monotonic clock: it grows with each datagram, so a server
# tells a late or replayed datagram from a new one; echoed, it measures the round trip.

_PREFIX = Struct("!QQ")


def sender_and_timestamp(datagram: bytes) -> tuple[int, int] | None:
    """(id, timestamp) of a client's datagram of any version, None if it is too short."""
    if len(datagram) < HEADER_BYTES + _PREFIX.size:
        return None
    sender, timestamp = _PREFIX.unpack_from(datagram, HEADER_BYTES)
    return sender, timestamp


# --- events and messages: what packets carry -------------------------------------------------


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of a log. Its sequence number is its place in the slice that carries it.

    ::

      kind:1 | name bytes:1 | to bytes:1 | text bytes:2 | Unix ms:8 | member:4 | message id:4
      name … | to … | text …
    """

    kind: EventKind
    time_ms: int
    name: str = ""
    to: str = ""
    text: str = ""
    member: int = 0
    """Number of the member who caused it, 0 for the room itself. Not the secret client id."""
    message_id: int = 0
    """Which message of that member this is, 0 if none: so a sender knows its own echo."""

    LAYOUT: ClassVar[Struct] = Struct("!BBBHQII")

    def encode(self) -> bytes:
        return encode_event(
            self.kind,
            self.time_ms,
            self.name,
            self.to,
            self.text,
            self.member,
            self.message_id,
        )

    @classmethod
    def parse(cls, parser: _Parser, inbox: bool | None = None) -> Event:
        """Reads an event of a member's inbox or of the room's log; None: of either."""
        kind, name_bytes, to_bytes, text_bytes, time_ms, member, message_id = parser.fields(
            cls.LAYOUT
        )
        shape = _SHAPES.get(kind)
        if shape is None:
            raise MalformedDatagram("unknown EventKind")
        if inbox is not None and shape.inbox is not inbox:
            raise MalformedDatagram("event in the wrong log")
        name = parser.text(name_bytes, NAME_BYTES_MAX) if name_bytes else ""
        to = parser.text(to_bytes, NAME_BYTES_MAX) if to_bytes else ""
        text = parser.text(text_bytes, TEXT_BYTES_MAX) if text_bytes else ""
        if (
            name_bytes not in shape.name_bytes
            or to_bytes not in shape.to_bytes
            or text_bytes not in shape.text_bytes
            or (shape.from_member and not member)
            or (shape.form is not None and not shape.form.fullmatch(text.encode()))
        ):
            raise MalformedDatagram("impossible event")
        return cls(shape.kind, time_ms, name, to, text, member, message_id)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What every event of one kind is like: how many bytes its texts may have, and more.

    A reader relies on it: a name that is too long could not be said again in a JOIN, a number of
    900 digits could not be shown, and a roster has no place in the room's log.
    """

    kind: EventKind
    inbox: bool
    name_bytes: range
    to_bytes: range
    text_bytes: range
    from_member: bool = True
    """Caused by a member, so that its number is not 0."""
    form: re.Pattern[bytes] | None = None
    """What the text as a whole looks like."""


_NONE = range(1)
_NAME = range(1, NAME_BYTES_MAX + 1)
_ANY = range(TEXT_BYTES_MAX + 1)
_CODE = range(1, CODE_BYTES_MAX + 1)
_NAMES = rb"(?:\n[^\n]{1,%d})*" % NAME_BYTES_MAX
_NUMBER = rb"[0-9]{1,20}"

_SHAPES: dict[int, _Shape] = {
    shape.kind: shape
    for shape in (
        _Shape(EventKind.CHAT, False, _NAME, _NONE, _ANY),
        _Shape(EventKind.ACTION, False, _NAME, _NONE, _ANY),
        _Shape(EventKind.JOIN, False, _NAME, _NONE, _NONE),
        _Shape(EventKind.LEAVE, False, _NAME, _NONE, _CODE),
        _Shape(EventKind.RENAME, False, _NAME, _NONE, _NAME),
        _Shape(EventKind.PRIVATE, True, _NAME, _NAME, _ANY),
        _Shape(EventKind.NOTICE, True, _NONE, range(NAME_BYTES_MAX + 1), _CODE, False),
        _Shape(
            EventKind.ROSTER,
            True,
            _NONE,
            _NONE,
            _ANY,
            False,
            re.compile(rb"%b %b%b" % (_NUMBER, _NUMBER, _NAMES)),
        ),
        _Shape(
            EventKind.SEEN,
            True,
            _NONE,
            _NONE,
            _ANY,
            False,
            re.compile(rb"%b %b %b%b" % (_NUMBER, _NUMBER, _NUMBER, _NAMES)),
        ),
        _Shape(
            EventKind.STATS, True, _NONE, _NONE, _ANY, False, re.compile(rb"%b(?:\n.*)*" % _NUMBER)
        ),
    )
}


def encode_event(
    kind: EventKind,
    time_ms: int,
    name: str,
    to: str,
    text: str,
    member: int,
    message_id: int,
) -> bytes:
    """The bytes of an `Event` that nobody needs as an object: a server makes one for each line."""
    name_bytes = _bounded(name.encode(), NAME_BYTES_MAX)
    to_bytes = _bounded(to.encode(), NAME_BYTES_MAX)
    text_bytes = _bounded(text.encode(), TEXT_BYTES_MAX)
    lengths = len(name_bytes), len(to_bytes), len(text_bytes)
    head = Event.LAYOUT.pack(kind, *lengths, time_ms, member, message_id)
    return b"%b%b%b%b" % (head, name_bytes, to_bytes, text_bytes)


@dataclass(frozen=True, slots=True)
class Message:
    """One thing a client asks for. Ids count from 1 per client and leave no gap.

    ::

      message id:4 | kind:1 | more:1 | to bytes:1 | text bytes:2 | to … | text …
    """

    message_id: int
    kind: MessageKind
    text: str
    to: str = ""
    more: bool = False
    """The next message continues this one's line: the room appends them side by side."""

    LAYOUT: ClassVar[Struct] = Struct("!IB?BH")

    def encode(self) -> bytes:
        to = _bounded(self.to.encode(), NAME_BYTES_MAX)
        text = _bounded(self.text.encode(), TEXT_BYTES_MAX)
        head = self.LAYOUT.pack(self.message_id, self.kind, self.more, len(to), len(text))
        return b"%b%b%b" % (head, to, text)

    @classmethod
    def parse(cls, parser: _Parser) -> Message:
        message_id, kind, more, to_bytes, text_bytes = parser.fields(cls.LAYOUT)
        to = parser.text(to_bytes, NAME_BYTES_MAX) if to_bytes else ""
        text = parser.text(text_bytes, TEXT_BYTES_MAX)
        return cls(message_id, _number(MessageKind, kind), text, to, more)


# --- the packets -----------------------------------------------------------------------------


class _Plain:
    """A packet of fixed fields, then texts; each text's length is a byte after the fields.

    The dataclass lists its fields in the order of the wire, so the layout is all there is to say.
    """

    __slots__: ClassVar[tuple[str, ...]] = ()
    TYPE: ClassVar[PacketType]
    LAYOUT: ClassVar[Struct]
    TEXT_BYTES: ClassVar[tuple[int, ...]] = ()
    """The most UTF-8 bytes of each text."""

    def encode(self) -> bytes:
        fields = [getattr(self, name) for name in self.__slots__]
        fixed_count = len(fields) - len(self.TEXT_BYTES)
        texts = [
            _bounded(text.encode(), bytes_max)
            for text, bytes_max in zip(fields[fixed_count:], self.TEXT_BYTES, strict=True)
        ]
        head = self.LAYOUT.pack(*fields[:fixed_count], *map(len, texts))
        return _seal(self.TYPE, head + b"".join(texts))

    @classmethod
    def parse(cls, parser: _Parser) -> Self:
        fields = parser.fields(cls.LAYOUT)
        if not cls.TEXT_BYTES:
            return cls(*fields)
        fixed_count = len(fields) - len(cls.TEXT_BYTES)
        lengths = zip(fields[fixed_count:], cls.TEXT_BYTES, strict=True)
        return cls(*fields[:fixed_count], *(parser.text(*length) for length in lengths))


@dataclass(frozen=True, slots=True)
class Discover(_Plain):
    """Client → LAN: who has a room? ``nonce:8 | timestamp:8 | zeros up to 128 bytes``"""

    nonce: int
    timestamp: int

    TYPE = PacketType.DISCOVER
    LAYOUT = Struct(f"!QQ{DISCOVER_BYTES - HEADER_BYTES - _PREFIX.size}x")


@dataclass(frozen=True, slots=True)
class Offer(_Plain):
    """Server → client: ``nonce:8 | epoch:8 | members:4 | port:2 | room bytes:1 | room …``"""

    nonce: int
    epoch: int
    member_count: int
    port: int
    room: str

    TYPE = PacketType.OFFER
    LAYOUT = Struct("!QQIHB")
    TEXT_BYTES = (ROOM_NAME_BYTES_MAX,)


@dataclass(frozen=True, slots=True)
class Join(_Plain):
    """Client → server: let me in, or let me back in.

    ::

      client id:8 | timestamp:8 | cookie:16 | epoch:8 | room ack:8 | inbox epoch:8 | inbox ack:8
      next message id:4 | name bytes:1 | name …
    """

    client_id: int
    timestamp: int
    cookie: bytes
    """Zeros at first."""
    epoch: int
    """Of the log that `room_ack` counts in; 0 for who was never in."""
    room_ack: int
    inbox_epoch: int
    inbox_ack: int
    next_message_id: int
    """The oldest message that may have to be sent: where a server that does not know this
    client starts to count."""
    name: str

    TYPE = PacketType.JOIN
    LAYOUT = Struct("!QQ16sQQQQIB")
    TEXT_BYTES = (NAME_BYTES_MAX,)


@dataclass(frozen=True, slots=True)
class Challenge(_Plain):
    """Server → address: come back with this cookie. ``id:8 | cookie:16``

    The id is that of the datagram it answers: a client id, or a session id whose owner
    appeared at a new address. Never larger than its trigger.
    """

    sender_id: int
    cookie: bytes

    TYPE = PacketType.CHALLENGE
    LAYOUT = Struct("!Q16s")


@dataclass(frozen=True, slots=True)
class Welcome(_Plain):
    """Server → client: you are in.

    ::

      client id:8 | echo:8 | session:8 | epoch:8 | inbox epoch:8 | oldest:8 | latest:8 | start:8
      joined:8 | inbox start:8 | received:4 | member:4 | heartbeat ms:4 | ack delay ms:2
      name bytes:1 | room bytes:1 | name … | room …
    """

    client_id: int
    echo: int
    """The timestamp of the JOIN this answers."""
    session_id: int
    epoch: int
    inbox_epoch: int
    oldest: int
    latest: int
    start: int
    """The first event of the room's log that will be sent to this member."""
    joined: int
    """The sequence number of this member's own join; what comes before it is history."""
    inbox_start: int
    received: int
    """The newest message id of this client that the server has."""
    member: int
    heartbeat_ms: int
    ack_delay_ms: int
    name: str
    room: str

    TYPE = PacketType.WELCOME
    LAYOUT = Struct("!QQQQQQQQQQIIIHBB")
    TEXT_BYTES = (NAME_BYTES_MAX, ROOM_NAME_BYTES_MAX)

    @classmethod
    def parse(cls, parser: _Parser) -> Welcome:
        packet = super(Welcome, cls).parse(parser)
        if (
            not 1 <= packet.oldest <= packet.latest + 1
            or not 1 <= packet.start <= packet.latest + 1
            or not packet.inbox_start
            or packet.joined > packet.latest
        ):
            raise MalformedDatagram("impossible slice")
        if not packet.name:
            raise MalformedDatagram("no name")
        return packet


@dataclass(frozen=True, slots=True)
class Refused(_Plain):
    """Server → client: no. ``client id:8 | echo:8 | reason:1 | text bytes:1 | text …``

    Fixed for all versions, so that "you speak another version" can be understood. The reason
    is a `RefusedReason`, or a number that a later version has added.
    """

    client_id: int
    echo: int
    reason: int
    text: str

    TYPE = PacketType.REFUSED
    LAYOUT = Struct("!QQBB")
    TEXT_BYTES = (REASON_BYTES_MAX,)


@dataclass(frozen=True, slots=True)
class Say:
    """Client → server: please append these, in this order.

    ``session:8 | timestamp:8 | count:1 | messages …``
    """

    session_id: int
    timestamp: int
    messages: tuple[Message, ...]

    LAYOUT: ClassVar[Struct] = Struct("!QQB")
    ROOM_BYTES: ClassVar[int] = DATAGRAM_BYTES_MAX - HEADER_BYTES - LAYOUT.size
    """What a datagram has room for in encoded messages."""

    def encode(self) -> bytes:
        head = self.LAYOUT.pack(self.session_id, self.timestamp, len(self.messages))
        return _seal(PacketType.SAY, head + b"".join(m.encode() for m in self.messages))

    @classmethod
    def parse(cls, parser: _Parser) -> Say:
        session_id, timestamp, count = parser.fields(cls.LAYOUT)
        if count == 0:
            raise MalformedDatagram("empty say")
        return cls(session_id, timestamp, tuple([Message.parse(parser) for _ in range(count)]))


@dataclass(frozen=True, slots=True)
class Answer:
    """What an EVENTS for one member alone adds.

    ``echo:8 | received:4 | appended:4 | inbox latest:8 | sent count:4``
    """

    echo: int
    """The timestamp of the datagram that this answers."""
    received: int
    """The newest message id of this client that the server has: no need to repeat it."""
    appended: int
    """The newest that is in a log; those in between are held back."""
    inbox_latest: int
    sent_count: int = 0
    """Datagrams sent to this member in this session before this one, modulo 2^32."""

    LAYOUT: ClassVar[Struct] = Struct("!QIIQI")


EVENTS_INBOX = 1  # a slice of the member's inbox, not of the room's log
EVENTS_ASK = 2  # please answer with a STATUS at once (a probe)
EVENTS_ANSWER = 4  # an Answer precedes the events
EVENTS_REPAIR = 8  # sent because an acknowledgement was missing, not because it is new
EVENTS_PADDED = 16  # zeros follow the events, up to DATAGRAM_BYTES_MAX
_EVENTS_FLAGS = 31


@dataclass(frozen=True, slots=True)
class Events:
    """Server → client: a slice of a log; with no events, the answer to a heartbeat.

    ::

      flags:1 | count:1 | ack delay ms:2 | epoch:8 | timestamp:8 | oldest:8 | latest:8 | first:8
      [echo:8 | received:4 | appended:4 | inbox latest:8 | sent count:4] | events … | [zeros …]

    Without an Answer the bytes are the same for every member: a broadcast is built once.
    """

    epoch: int
    timestamp: int
    """The server's monotonic clock in µs; echoed in STATUS, it measures the round trip."""
    oldest: int
    """The oldest event the log still holds: what is before it and missing is lost."""
    latest: int
    first: int
    """The sequence number of the first event here; the others follow without a gap."""
    events: tuple[Event, ...] = ()
    inbox: bool = False
    ask: bool = False
    repair: bool = False
    ack_delay_ms: int = 0
    answer: Answer | None = None
    padded: bool = False
    """As long as a datagram may be, so that several of one size make a train: see datagrams.py."""

    LAYOUT: ClassVar[Struct] = Struct("!BBHQQQQQ")
    ROOM_BYTES: ClassVar[int] = DATAGRAM_BYTES_MAX - HEADER_BYTES - LAYOUT.size
    """What a datagram without an Answer has room for in encoded events."""

    def encode(self) -> bytes:
        return encode_events(
            self.epoch,
            self.timestamp,
            self.oldest,
            self.latest,
            self.first,
            [event.encode() for event in self.events],
            inbox=self.inbox,
            ask=self.ask,
            repair=self.repair,
            ack_delay_ms=self.ack_delay_ms,
            answer=self.answer,
            padded=self.padded,
        )

    @classmethod
    def parse(cls, parser: _Parser) -> Events:
        flags, count, ack_delay_ms, epoch, timestamp, oldest, latest, first = parser.fields(
            cls.LAYOUT
        )
        if flags & ~_EVENTS_FLAGS:
            raise MalformedDatagram("unknown flags")
        answer = Answer(*parser.fields(Answer.LAYOUT)) if flags & EVENTS_ANSWER else None
        inbox = bool(flags & EVENTS_INBOX)
        events = tuple([Event.parse(parser, inbox) for _ in range(count)])
        if oldest < 1 or first < oldest or first + count - 1 > latest:
            raise MalformedDatagram("impossible slice")
        if flags & EVENTS_PADDED:
            parser.padding()
        return cls(
            epoch,
            timestamp,
            oldest,
            latest,
            first,
            events,
            inbox,
            bool(flags & EVENTS_ASK),
            bool(flags & EVENTS_REPAIR),
            ack_delay_ms,
            answer,
            bool(flags & EVENTS_PADDED),
        )


def encode_events(
    epoch: int,
    timestamp: int,
    oldest: int,
    latest: int,
    first: int,
    encoded: Sequence[bytes],
    *,
    inbox: bool = False,
    ask: bool = False,
    repair: bool = False,
    ack_delay_ms: int = 0,
    answer: Answer | None = None,
    padded: bool = False,
) -> bytes:
    """The bytes of an `Events` that nobody needs as an object, of events encoded before."""
    flags = (
        EVENTS_INBOX * inbox
        | EVENTS_ASK * ask
        | EVENTS_ANSWER * (answer is not None)
        | EVENTS_REPAIR * repair
        | EVENTS_PADDED * padded
    )
    head = Events.LAYOUT.pack(
        flags, len(encoded), ack_delay_ms, epoch, timestamp, oldest, latest, first
    )
    if answer is not None:
        head += Answer.LAYOUT.pack(
            answer.echo,
            answer.received,
            answer.appended,
            answer.inbox_latest,
            answer.sent_count,
        )
    body = head + b"".join(encoded)
    if padded:
        body = body.ljust(DATAGRAM_BYTES_MAX - HEADER_BYTES, b"\0")
    return _seal(PacketType.EVENTS, body)


@dataclass(frozen=True, slots=True)
class Status(_Plain):
    """Client → server: acknowledgement, heartbeat and repair request in one.

    ::

      session:8 | timestamp:8 | echo:8 | room ack:8 | room gap end:8 | inbox ack:8
      inbox gap end:8 | sent count:4 | ask:1

    A gap end above its acknowledgement says: everything in between is missing, please repair.
    """

    session_id: int
    timestamp: int
    echo: int
    """The newest EVENTS timestamp plus the time it was held here; 0 if there is none."""
    room_ack: int
    room_gap_end: int
    inbox_ack: int
    inbox_gap_end: int
    sent_count: int = 0
    """Datagrams sent in this session, this one included, modulo 2^32: so the server can say how
    many were lost on the way."""
    ask: bool = False
    """Please answer: this is a heartbeat."""

    TYPE = PacketType.STATUS
    LAYOUT = Struct("!QQQQQQQI?")


@dataclass(frozen=True, slots=True)
class Leave(_Plain):
    """Client → server: I am going. ``session:8 | timestamp:8 | zeros:8``

    The zeros make it no smaller than the CHALLENGE that answers it from a new address.
    """

    session_id: int
    timestamp: int

    TYPE = PacketType.LEAVE
    LAYOUT = Struct("!QQ8x")


@dataclass(frozen=True, slots=True)
class Bye(_Plain):
    """Server → client: this session is over. ``session:8 | reason:1``

    The reason is a `ByeReason`, or a number that a later version has added.
    """

    session_id: int
    reason: int

    TYPE = PacketType.BYE
    LAYOUT = Struct("!QB")


Packet: TypeAlias = (
    Discover | Offer | Join | Challenge | Welcome | Refused | Say | Events | Status | Leave | Bye
)

_PACKETS: dict[int, type[Packet]] = {
    PacketType.DISCOVER: Discover,
    PacketType.OFFER: Offer,
    PacketType.JOIN: Join,
    PacketType.CHALLENGE: Challenge,
    PacketType.WELCOME: Welcome,
    PacketType.REFUSED: Refused,
    PacketType.SAY: Say,
    PacketType.EVENTS: Events,
    PacketType.STATUS: Status,
    PacketType.LEAVE: Leave,
    PacketType.BYE: Bye,
}


FROM_SESSIONS = frozenset({PacketType.SAY, PacketType.STATUS, PacketType.LEAVE})
"""Types whose packets begin with the id of the session they belong to."""


def check_header(datagram: bytes) -> int:
    """The packet type, if the header is good; raises `MalformedDatagram`, and nothing else.

    It costs a microsecond, the body up to two hundred: who needs no more looks no further.
    """
    if len(datagram) > DATAGRAM_BYTES_MAX:
        raise MalformedDatagram("too long")
    if len(datagram) < HEADER_BYTES:
        raise MalformedDatagram("truncated")
    magic, version, packet_type, checksum = _HEADER.unpack_from(datagram)
    if magic != MAGIC:
        raise MalformedDatagram("not udp-chat")
    if zlib.crc32(datagram[HEADER_BYTES:], zlib.crc32(datagram[: _HEAD.size])) != checksum:
        raise MalformedDatagram("bad checksum")
    if version != VERSION and packet_type != PacketType.REFUSED:
        raise UnsupportedVersion(version)  # a REFUSED says just that, so it is read in any
    if packet_type not in _PACKETS:
        raise MalformedDatagram("unknown PacketType")
    return cast(int, packet_type)


def decode(datagram: bytes) -> Packet:
    """The packet in these bytes; raises `MalformedDatagram`, and nothing else, if there is none."""
    return decode_body(check_header(datagram), datagram)


def decode_body(packet_type: int, datagram: bytes) -> Packet:
    """The same for a datagram whose header is known to be good."""
    parser = _Parser(datagram, HEADER_BYTES)
    packet = _PACKETS[packet_type].parse(parser)
    parser.finish()
    return packet


def read_new_messages(datagram: bytes, received: int, count_max: int) -> list[Message]:
    """Of a SAY whose header is good, the messages that follow message `received`, in order and
    at most `count_max`; raises `MalformedDatagram`.

    A SAY repeats what its sender does not know to be received. Here the repeated is passed over by
    its lengths, and no text of it is decoded.
    """
    at = HEADER_BYTES + Say.LAYOUT.size
    layout, size, end = Message.LAYOUT, Message.LAYOUT.size, len(datagram)
    if at > end:
        raise MalformedDatagram("truncated")
    count = datagram[at - 1]
    if count == 0:
        raise MalformedDatagram("empty say")
    messages: list[Message] = []
    for _ in range(count):
        if at + size > end:
            raise MalformedDatagram("truncated")
        message_id, kind, more, to_bytes, text_bytes = layout.unpack_from(datagram, at)
        to_at = at + size
        text_at = to_at + to_bytes
        at = text_at + text_bytes
        if message_id != received + 1 or not count_max:
            continue
        if to_bytes > NAME_BYTES_MAX or text_bytes > TEXT_BYTES_MAX:
            raise MalformedDatagram("text too long")
        try:
            text = datagram[text_at:at].decode()
            to = datagram[to_at:text_at].decode() if to_bytes else ""
        except UnicodeDecodeError:
            raise MalformedDatagram("invalid utf-8") from None
        received += 1
        count_max -= 1
        messages.append(Message(message_id, _number(MessageKind, kind), text, to, more))
    if at != end:
        raise MalformedDatagram("truncated" if at > end else "trailing bytes")
    return messages
