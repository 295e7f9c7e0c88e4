"""What packets are made of: numbers, limits, errors, and the events and messages they carry.

The bottom of the wire format. packets.py makes packets of it and exports its public names.
docs/protocol.md is the normative description.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import Any, ClassVar, TypeAlias, TypeVar, cast

MAGIC = b"UC"
VERSION = 2

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

DISCOVER_BYTES = 192
"""Every DISCOVER is padded to this, so that no OFFER is larger than what asked for it."""

ADDRESS_BYTES_MAX = 64
"""UTF-8 bytes of an address as text, HOST:PORT or [HOST]:PORT: an IPv6 one with its scope fits."""

MOVED_BYTES_MAX = ADDRESS_BYTES_MAX + 32
"""UTF-8 bytes of where a room has moved: a number, a sequence number and an address."""

SUCCESSORS_MAX = 3
"""Members that are named to take a room over. Each is asked whether it is there, all the time."""

SUCCESSORS_BYTES_MAX = SUCCESSORS_MAX * (ADDRESS_BYTES_MAX + 12)
"""UTF-8 bytes of their numbers and addresses, a line each."""

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
    FETCH = 12
    TOLD = 13


class EventKind(IntEnum):
    """What happened. `_SHAPES` says which are in the room's log and which in an inbox."""

    CHAT = 1
    ACTION = 2
    JOIN = 3  # text: the tag of the client, 16 hex digits, or nothing
    LEAVE = 4  # text: why ("left", "timeout")
    RENAME = 5  # name: the old one, text: the new one
    PRIVATE = 6  # to: the recipient
    NOTICE = 7  # text: a code such as "no_such_member", to: the name it is about
    ROSTER = 8  # text: "SEQ REMAINING" and then a name a line; see docs/protocol.md
    SEEN = 9  # text: "SEQ HAVE TOTAL" and then the names of those who have it not, a line each
    STATS = 10  # text: "REMAINING" and then a member a line; see docs/protocol.md
    SUCCESSORS = 11  # text: "NUMBER ADDRESS" a line, the first one first
    CHAT_APART = 12  # to: "EPOCH SEQ", where it stood in another part of the room
    ACTION_APART = 13
    REGISTER = 14  # text: "SEQ REMAINING" and then a client a line; see docs/protocol.md
    LOST_APART = 15  # to: "EPOCH FIRST LAST", of another part, that nobody could tell


class MessageKind(IntEnum):
    """What a client asks the room to append."""

    CHAT = 1
    ACTION = 2
    PRIVATE = 3
    RENAME = 4
    WHO = 5
    SEEN = 6  # text: sequence numbers of lines of mine, separated by spaces
    STATS = 7
    STAND_BY = 8  # text: the port at which the client can host the room; 0: it cannot any more
    APART = 9  # text: "EPOCH FIRST LAST" a line: events of other parts that the client has


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
    MOVED = 5  # text: where the room is now


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


class Parser:
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


def number_of(kind: type[_Number], value: int) -> _Number:
    # The enum's own table of values: calling the class costs four times as much, once per line.
    number = kind._value2member_map_.get(value)
    if number is None:
        raise MalformedDatagram(f"unknown {kind.__name__}")
    return cast(_Number, number)


def bounded(text: bytes, bytes_max: int) -> bytes:
    assert len(text) <= bytes_max, "the sender checks what it sends"
    return text


# --- events and messages: what packets carry -------------------------------------------------


# `Event`, `Message` and the packet `Events` are made for every message that is said. Nobody changes
# them, but they are not frozen: a frozen one of seven fields takes 0.9 µs to make, this one 0.2 µs.


@dataclass(slots=True, unsafe_hash=True)
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
        name, to, text = self.name.encode(), self.to.encode(), self.text.encode()
        name_bytes, to_bytes, text_bytes = len(name), len(to), len(text)
        assert name_bytes <= NAME_BYTES_MAX, "the sender checks what it sends"
        assert to_bytes <= NAME_BYTES_MAX, "the sender checks what it sends"
        assert text_bytes <= TEXT_BYTES_MAX, "the sender checks what it sends"
        head = self.LAYOUT.pack(
            self.kind,
            name_bytes,
            to_bytes,
            text_bytes,
            self.time_ms,
            self.member,
            self.message_id,
        )
        return head + name + to + text

    @classmethod
    def parse(cls, parser: Parser, *, inbox: bool | None = None) -> Event:
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
_TAG = range(17)
_ORIGIN = range(1, NAME_BYTES_MAX + 1)

_SHAPES: dict[int, _Shape] = {
    shape.kind: shape
    for shape in (
        _Shape(EventKind.CHAT, False, _NAME, _NONE, _ANY),
        _Shape(EventKind.ACTION, False, _NAME, _NONE, _ANY),
        _Shape(EventKind.JOIN, False, _NAME, _NONE, _TAG, form=re.compile(rb"(?:[0-9a-f]{16})?")),
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
        _Shape(
            EventKind.SUCCESSORS,
            False,
            _NONE,
            _NONE,
            range(SUCCESSORS_BYTES_MAX + 1),
            False,
            re.compile(rb"(?:%b [^ \n]{1,%d}\n)*" % (_NUMBER, ADDRESS_BYTES_MAX)),
        ),
        _Shape(EventKind.CHAT_APART, False, _NAME, _ORIGIN, _ANY),
        _Shape(EventKind.ACTION_APART, False, _NAME, _ORIGIN, _ANY),
        _Shape(EventKind.LOST_APART, False, _NONE, _ORIGIN, _NONE, False),
        _Shape(
            EventKind.REGISTER,
            True,
            _NONE,
            _NONE,
            _ANY,
            False,
            re.compile(
                rb"%b %b(?:\n%b [0-9a-f]{16} %b %b [^ \n]{1,%d})*"
                % (_NUMBER, _NUMBER, _NUMBER, _NUMBER, _NUMBER, NAME_BYTES_MAX)
            ),
        ),
    )
}


RawMessage: TypeAlias = tuple[int, int, bool, bytes, bytes]
"""(message id, kind, more, to, text): a message whose texts are checked but not decoded. The server
passes what is said on as it came: to make it a `Message` and that an `Event` takes ten times as
long."""

PLAIN_KIND_MAX = int(MessageKind.ACTION)
"""Messages of the kinds up to here become events of the room's log as they are. The numbers of
their kinds are those of the events'."""


def encode_plain(
    messages: Sequence[RawMessage], name: bytes, member: int, time_ms: int
) -> list[bytes]:
    """The events that plain messages of a member become, encoded: as `Event.encode` does it."""
    pack, name_bytes = Event.LAYOUT.pack, len(name)
    return [
        pack(kind, name_bytes, 0, len(text), time_ms, member, message_id) + name + text
        for message_id, kind, _, _, text in messages
    ]


@dataclass(slots=True, unsafe_hash=True)
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

    @classmethod
    def of(cls, raw: RawMessage) -> Message:
        """The message of checked fields: see `RawMessage`."""
        message_id, kind, more, to, text = raw
        return cls(message_id, number_of(MessageKind, kind), text.decode(), to.decode(), more)

    def encode(self) -> bytes:
        to = bounded(self.to.encode(), NAME_BYTES_MAX)
        text = bounded(self.text.encode(), TEXT_BYTES_MAX)
        head = self.LAYOUT.pack(self.message_id, self.kind, self.more, len(to), len(text))
        return b"%b%b%b" % (head, to, text)

    @classmethod
    def parse(cls, parser: Parser) -> Message:
        message_id, kind, more, to_bytes, text_bytes = parser.fields(cls.LAYOUT)
        to = parser.text(to_bytes, NAME_BYTES_MAX) if to_bytes else ""
        text = parser.text(text_bytes, TEXT_BYTES_MAX)
        return cls(message_id, number_of(MessageKind, kind), text, to, more)
