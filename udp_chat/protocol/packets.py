"""The wire format of udp-chat: every packet, encoded and decoded.

A datagram is a header (magic, version, type, CRC-32) and a body of fixed fields in network
byte order, followed by texts in UTF-8. `decode` turns bytes into one of the packet classes
below or raises `MalformedDatagram`; there is no third outcome, whatever the bytes are. `decode`
reads back what a packet's `encode` made; it writes padding as zeros and does not look at it.
wire.py has the parts of packets. docs/protocol.md is the normative description.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from struct import error as struct_error
from typing import ClassVar, TypeAlias, cast

from udp_chat.protocol.framing import (
    HEAD,
    HEADER,
    HEADER_BYTES,
    PREFIX,
    Plain,
    seal,
    sender_and_timestamp,
)
from udp_chat.protocol.lineage import NO_LINEAGE
from udp_chat.protocol.wire import (
    ADDRESS_BYTES_MAX,
    CODE_BYTES_MAX,
    COOKIE_BYTES,
    COUNT_MAX,
    DATAGRAM_BYTES_MAX,
    DEFAULT_PORT,
    DISCOVER_BYTES,
    IN_FLIGHT_MAX,
    MAGIC,
    MOVED_BYTES_MAX,
    NAME_BYTES_MAX,
    NO_COOKIE,
    PLAIN_KIND_MAX,
    REASON_BYTES_MAX,
    ROOM_NAME_BYTES_MAX,
    RUN_MAX,
    SUCCESSORS_BYTES_MAX,
    TEXT_BYTES_MAX,
    VERSION,
    Address,
    ByeReason,
    ChatError,
    Event,
    EventKind,
    MalformedDatagram,
    Message,
    MessageKind,
    PacketType,
    Parser,
    RawMessage,
    RefusedReason,
    UnsupportedVersion,
    encode_plain,
)

# A user of packets finds what they are made of here, too.
__all__ = [
    "ADDRESS_BYTES_MAX",
    "CODE_BYTES_MAX",
    "COOKIE_BYTES",
    "COUNT_MAX",
    "DATAGRAM_BYTES_MAX",
    "DEFAULT_PORT",
    "DISCOVER_BYTES",
    "HEADER_BYTES",
    "IN_FLIGHT_MAX",
    "MAGIC",
    "NAME_BYTES_MAX",
    "NO_COOKIE",
    "PLAIN_KIND_MAX",
    "REASON_BYTES_MAX",
    "ROOM_NAME_BYTES_MAX",
    "RUN_MAX",
    "SUCCESSORS_BYTES_MAX",
    "TEXT_BYTES_MAX",
    "VERSION",
    "Address",
    "ByeReason",
    "ChatError",
    "Event",
    "EventKind",
    "MalformedDatagram",
    "Message",
    "MessageKind",
    "PacketType",
    "RawMessage",
    "RefusedReason",
    "UnsupportedVersion",
    "encode_plain",
    "sender_and_timestamp",
]

# --- the packets -----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Discover(Plain):
    """Anybody → LAN: who has a room? ``nonce:8 | timestamp:8 | zeros up to 192 bytes``

    A host also asks each member that would take its room over, at the port where that one waits.
    """

    nonce: int
    timestamp: int

    TYPE = PacketType.DISCOVER
    LAYOUT = Struct(f"!QQ{DISCOVER_BYTES - HEADER_BYTES - PREFIX.size}x")


OFFER_HOSTS = 1  # the room is hosted here; else it could be
OFFER_HANDED_ON = 2  # a member takes the room over when its host is gone
OFFER_TALKED = 4  # something was said in it


@dataclass(frozen=True, slots=True)
class Offer(Plain):
    """Host → asker: this room is here.

    ::

      nonce:8 | epoch:8 | members:4 | port:2 | room id:8 | absorbs:8 | flags:1
      room bytes:1 | host bytes:1 | room … | host …
    """

    nonce: int
    epoch: int
    """Of the room's term; it tells two parts of one room apart."""
    member_count: int
    port: int
    room_id: int = field(default=0, kw_only=True)
    """The same for the room's whole life, whoever hosts it."""
    absorbs: int = field(default=0, kw_only=True)
    """The epoch of a part of this room, or of another room of this name, whose host should send
    its members here; 0 for none."""
    flags: int = field(default=OFFER_HOSTS, kw_only=True)
    room: str
    host: str = field(default="", kw_only=True)
    """The name of the member that hosts it; empty for a server of its own."""

    TYPE = PacketType.OFFER
    LAYOUT = Struct("!QQIHQQBBB")
    TEXT_BYTES = (ROOM_NAME_BYTES_MAX, NAME_BYTES_MAX)


@dataclass(frozen=True, slots=True)
class Join(Plain):
    """Client → server: let me in, or let me back in.

    ::

      client id:8 | timestamp:8 | cookie:16 | epoch:8 | room ack:8 | inbox epoch:8 | inbox ack:8
      next message id:4 | room id:8 | member:4 | lineage:128 | name bytes:1 | name …
    """

    client_id: int
    timestamp: int
    cookie: bytes
    """Zeros at first."""
    epoch: int
    """Of the log that `room_ack` counts in; 0 for a client that was never in."""
    room_ack: int
    inbox_epoch: int
    inbox_ack: int
    next_message_id: int
    """The oldest message that may have to be sent: where a server that does not know this
    client starts to count."""
    room_id: int = field(default=0, kw_only=True)
    """Of the room that the client was in; 0 for one that was never in."""
    member: int = field(default=0, kw_only=True)
    """The client's number there."""
    lineage: bytes = field(default=NO_LINEAGE, kw_only=True)
    """The terms of the log that `room_ack` counts in: see lineage.py."""
    name: str

    TYPE = PacketType.JOIN
    LAYOUT = Struct("!QQ16sQQQQIQI128sB")
    TEXT_BYTES = (NAME_BYTES_MAX,)


@dataclass(frozen=True, slots=True)
class Challenge(Plain):
    """Server → address: come back with this cookie. ``id:8 | cookie:16``

    The id is that of the datagram it answers: a client id, or a session id whose owner
    appeared at a new address. Never larger than its trigger.
    """

    sender_id: int
    cookie: bytes

    TYPE = PacketType.CHALLENGE
    LAYOUT = Struct("!Q16s")


@dataclass(frozen=True, slots=True)
class Welcome(Plain):
    """Server → client: you are in.

    ::

      client id:8 | echoed timestamp:8 | session:8 | epoch:8 | inbox epoch:8 | oldest:8
      latest:8 | start:8 | joined:8 | inbox start:8 | received:4 | member:4
      heartbeat ms:4 | ack delay ms:2 | room id:8 | host:4 | lineage:128 | handed on:1
      name bytes:1 | room bytes:1 | host name bytes:1 | host address bytes:1 | successors bytes:1
      name … | room … | host name … | host address … | successors …
    """

    client_id: int
    echoed_timestamp: int
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
    room_id: int = field(default=0, kw_only=True)
    """The same for the room's whole life, whoever hosts it."""
    host: int = field(default=0, kw_only=True)
    """The number of the member that hosts the room; 0 for a server of its own."""
    lineage: bytes = field(default=NO_LINEAGE, kw_only=True)
    """The terms of the room's log: see lineage.py."""
    handed_on: bool = field(default=False, kw_only=True)
    """Whether a member takes the room over when its host is gone."""
    name: str
    room: str
    host_name: str = field(default="", kw_only=True)
    host_address: str = field(default="", kw_only=True)
    """HOST:PORT for others on the network; empty where the host does not know it."""
    successors: str = field(default="", kw_only=True)
    """Who takes the room over, as in an event SUCCESSORS."""

    TYPE = PacketType.WELCOME
    LAYOUT = Struct("!QQQQQQQQQQIIIHQI128s?BBBBB")
    TEXT_BYTES = (
        NAME_BYTES_MAX,
        ROOM_NAME_BYTES_MAX,
        NAME_BYTES_MAX,
        ADDRESS_BYTES_MAX,
        SUCCESSORS_BYTES_MAX,
    )

    @classmethod
    def parse(cls, parser: Parser) -> Welcome:
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
class Refused(Plain):
    """Server → client: no.

    ``client id:8 | echoed timestamp:8 | reason:1 | text bytes:1 | text …``

    Fixed for all versions, so that "you speak another version" can be understood. The reason
    is a `RefusedReason`, or a number that a later version has added.
    """

    client_id: int
    echoed_timestamp: int
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
    MESSAGES_BYTES_MAX: ClassVar[int] = DATAGRAM_BYTES_MAX - HEADER_BYTES - LAYOUT.size
    """Of all messages together, as encoded, in one datagram."""

    def encode(self) -> bytes:
        return self.encode_with([message.encode() for message in self.messages])

    def encode_with(self, encoded: Sequence[bytes]) -> bytes:
        """The same packet with messages that were encoded before, in place of `messages`."""
        head = self.LAYOUT.pack(self.session_id, self.timestamp, len(encoded))
        return seal(PacketType.SAY, head + b"".join(encoded))

    @classmethod
    def parse(cls, parser: Parser) -> Say:
        session_id, timestamp, count = parser.fields(cls.LAYOUT)
        if count == 0:
            raise MalformedDatagram("empty say")
        return cls(session_id, timestamp, tuple([Message.parse(parser) for _ in range(count)]))


@dataclass(frozen=True, slots=True)
class Answer:
    """What an EVENTS for one member alone adds.

    ``echoed timestamp:8 | received:4 | appended:4 | inbox latest:8 | sent count:4``
    """

    echoed_timestamp: int
    """The timestamp of the datagram that this answers."""
    received: int
    """The newest message id of this client that the server has: no need to repeat it."""
    appended: int
    """The newest that is in a log; those in between are held back."""
    inbox_latest: int
    sent_count: int = 0
    """Datagrams sent to this member in this session before this one, modulo 2^32."""

    LAYOUT: ClassVar[Struct] = Struct("!QIIQI")

    def encode(self) -> bytes:
        return self.LAYOUT.pack(
            self.echoed_timestamp,
            self.received,
            self.appended,
            self.inbox_latest,
            self.sent_count,
        )


EVENTS_INBOX = 1  # a slice of the member's inbox, not of the room's log
EVENTS_ASK = 2  # please answer with a STATUS at once (a probe)
EVENTS_ANSWER = 4  # an Answer precedes the events
EVENTS_REPAIR = 8  # sent because an acknowledgement was missing, not because it is new
EVENTS_PADDED = 16  # zeros follow the events, up to DATAGRAM_BYTES_MAX
_EVENTS_FLAGS = 31


@dataclass(slots=True, unsafe_hash=True)  # not frozen: see wire.py
class Events:
    """Server → client: a slice of a log; with no events, the answer to a heartbeat.

    ::

      flags:1 | count:1 | ack delay ms:2 | epoch:8 | timestamp:8 | oldest:8 | latest:8 | first:8
      [echoed timestamp:8 | received:4 | appended:4 | inbox latest:8 | sent count:4]
      events … | [zeros …]

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
    EVENTS_BYTES_MAX: ClassVar[int] = DATAGRAM_BYTES_MAX - HEADER_BYTES - LAYOUT.size
    """Of all events together, as encoded, in one datagram without an Answer."""

    def encode(self) -> bytes:
        return self.encode_with([event.encode() for event in self.events])

    def encode_with(self, encoded: Sequence[bytes]) -> bytes:
        """The same packet with events that were encoded before, in place of `events`."""
        flags = 0
        if self.inbox:
            flags |= EVENTS_INBOX
        if self.ask:
            flags |= EVENTS_ASK
        if self.answer is not None:
            flags |= EVENTS_ANSWER
        if self.repair:
            flags |= EVENTS_REPAIR
        if self.padded:
            flags |= EVENTS_PADDED
        body = self.LAYOUT.pack(
            flags,
            len(encoded),
            self.ack_delay_ms,
            self.epoch,
            self.timestamp,
            self.oldest,
            self.latest,
            self.first,
        )
        if self.answer is not None:
            body += self.answer.encode()
        body += b"".join(encoded)
        if self.padded:
            body = body.ljust(DATAGRAM_BYTES_MAX - HEADER_BYTES, b"\0")
        return seal(PacketType.EVENTS, body)

    @classmethod
    def parse(cls, parser: Parser) -> Events:
        flags, count, ack_delay_ms, epoch, timestamp, oldest, latest, first = parser.fields(
            cls.LAYOUT
        )
        if flags & ~_EVENTS_FLAGS:
            raise MalformedDatagram("unknown flags")
        answer = Answer(*parser.fields(Answer.LAYOUT)) if flags & EVENTS_ANSWER else None
        inbox = bool(flags & EVENTS_INBOX)
        events = tuple([Event.parse(parser, inbox=inbox) for _ in range(count)])
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


@dataclass(frozen=True, slots=True)
class Status(Plain):
    """Client → server: acknowledgement, heartbeat and repair request in one.

    ::

      session:8 | timestamp:8 | echoed timestamp:8 | room ack:8 | room gap end:8 | inbox ack:8
      inbox gap end:8 | sent count:4 | ask:1

    A gap end above its acknowledgement says: everything in between is missing, please repair.
    """

    session_id: int
    timestamp: int
    echoed_timestamp: int
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
class Leave(Plain):
    """Client → server: I am going. ``session:8 | timestamp:8 | zeros:8``

    The zeros make it no smaller than the CHALLENGE that answers it from a new address.
    """

    session_id: int
    timestamp: int

    TYPE = PacketType.LEAVE
    LAYOUT = Struct("!QQ8x")


@dataclass(frozen=True, slots=True)
class Bye(Plain):
    """Server → client: this session is over. ``session:8 | reason:1 | text bytes:1 | text …``

    The reason is a `ByeReason`, or a number that a later version has added. Where the room has
    moved, the text says where it is now: ``NUMBER SEQ ADDRESS``, the number of the member that
    hosts it, where the log of the last host ended, and HOST:PORT.
    """

    session_id: int
    reason: int
    text: str = ""

    TYPE = PacketType.BYE
    LAYOUT = Struct("!QBB")
    TEXT_BYTES = (MOVED_BYTES_MAX,)


@dataclass(frozen=True, slots=True)
class Fetch(Plain):
    """Host → client: tell me these events. ``client id:8 | epoch:8 | first:8 | last:8``

    They were said in a term of this room, and the host has not got them.
    """

    client_id: int
    epoch: int
    first: int
    last: int

    TYPE = PacketType.FETCH
    LAYOUT = Struct("!QQQQ")


@dataclass(frozen=True, slots=True)
class Told:
    """Client → host: the events of a FETCH, or as many as fit.

    ``client id:8 | timestamp:8 | epoch:8 | first:8 | count:1 | events …``
    """

    client_id: int
    timestamp: int
    epoch: int
    first: int
    """The sequence number of the first event; the others follow without a gap."""
    events: tuple[Event, ...]

    LAYOUT: ClassVar[Struct] = Struct("!QQQQB")
    EVENTS_BYTES_MAX: ClassVar[int] = DATAGRAM_BYTES_MAX - HEADER_BYTES - LAYOUT.size

    def encode(self) -> bytes:
        head = self.LAYOUT.pack(
            self.client_id, self.timestamp, self.epoch, self.first, len(self.events)
        )
        return seal(PacketType.TOLD, head + b"".join(event.encode() for event in self.events))

    @classmethod
    def parse(cls, parser: Parser) -> Told:
        client_id, timestamp, epoch, first, count = parser.fields(cls.LAYOUT)
        if not 1 <= first <= 2**63:
            raise MalformedDatagram("impossible slice")
        events = tuple([Event.parse(parser, inbox=False) for _ in range(count)])
        return cls(client_id, timestamp, epoch, first, events)


Packet: TypeAlias = (
    Discover
    | Offer
    | Join
    | Challenge
    | Welcome
    | Refused
    | Say
    | Events
    | Status
    | Leave
    | Bye
    | Fetch
    | Told
)

PACKETS: dict[int, type[Packet]] = {
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
    PacketType.FETCH: Fetch,
    PacketType.TOLD: Told,
}


FROM_SESSIONS = frozenset({PacketType.SAY, PacketType.STATUS, PacketType.LEAVE})
"""Types whose packets begin with the id of the session they belong to."""


def check_header(datagram: bytes) -> int:
    """The packet type, if the header is good; raises `MalformedDatagram`, and nothing else.

    It costs a microsecond; the body costs up to two hundred.
    """
    if len(datagram) > DATAGRAM_BYTES_MAX:
        raise MalformedDatagram("too long")
    if len(datagram) < HEADER_BYTES:
        raise MalformedDatagram("truncated")
    magic, version, packet_type, checksum = HEADER.unpack_from(datagram)
    if magic != MAGIC:
        raise MalformedDatagram("not udp-chat")
    if zlib.crc32(datagram[HEADER_BYTES:], zlib.crc32(datagram[: HEAD.size])) != checksum:
        raise MalformedDatagram("bad checksum")
    if version != VERSION and packet_type != PacketType.REFUSED:
        raise UnsupportedVersion(version)  # a REFUSED says just that, so it is read in any
    if packet_type not in PACKETS:
        raise MalformedDatagram("unknown PacketType")
    return cast(int, packet_type)


def decode(datagram: bytes) -> Packet:
    """The packet in these bytes; raises `MalformedDatagram`, and nothing else, if there is none."""
    return decode_body(check_header(datagram), datagram)


def decode_body(packet_type: int, datagram: bytes) -> Packet:
    """The same for a datagram whose header is known to be good."""
    parser = Parser(datagram, HEADER_BYTES)
    packet = PACKETS[packet_type].parse(parser)
    parser.finish()
    return packet


_PASSED_OVER = Struct("!I2xBH")
"""Of a message: its id and its lengths. Its layout is that of `Message`."""

_MESSAGE_KINDS = frozenset(map(int, MessageKind))


def read_new_messages(datagram: bytes, received: int, count_max: int) -> list[RawMessage]:
    """Of a SAY whose header is good, the messages that follow message `received`, in order and
    at most `count_max`; raises `MalformedDatagram`.

    A SAY repeats what its sender does not know to be received. Here the repeated is passed over by
    its lengths; no text is decoded, but those that are new are checked.
    """
    at = HEADER_BYTES + Say.LAYOUT.size
    unpack, pass_over = Message.LAYOUT.unpack_from, _PASSED_OVER.unpack_from
    size, end = Message.LAYOUT.size, len(datagram)
    if at > end:
        raise MalformedDatagram("truncated")
    left = datagram[at - 1]
    if left == 0:
        raise MalformedDatagram("empty say")
    messages: list[RawMessage] = []
    try:
        while left:  # ids grow: what was received before comes first
            message_id, to_bytes, text_bytes = pass_over(datagram, at)
            if message_id > received:
                break
            at += size + to_bytes + text_bytes
            left -= 1
        for _ in range(left):
            message_id, kind, more, to_bytes, text_bytes = unpack(datagram, at)
            to_at = at + size
            text_at = to_at + to_bytes
            at = text_at + text_bytes
            if message_id != received + 1 or not count_max:
                continue
            if to_bytes > NAME_BYTES_MAX or text_bytes > TEXT_BYTES_MAX:
                raise MalformedDatagram("text too long")
            text = datagram[text_at:at]
            to = datagram[to_at:text_at] if to_bytes else b""
            if not text.isascii():
                text.decode()
            if to:
                to.decode()
            if kind not in _MESSAGE_KINDS:
                raise MalformedDatagram("unknown MessageKind")
            received += 1
            count_max -= 1
            messages.append((message_id, kind, more, to, text))
    except struct_error:
        raise MalformedDatagram("truncated") from None
    except UnicodeDecodeError:
        raise MalformedDatagram("invalid utf-8") from None
    if at != end:
        raise MalformedDatagram("truncated" if at > end else "trailing bytes")
    return messages
