"""Makes docs/vectors.json: datagrams, names and numbers to test an implementation with.

::

  python3 -m tests.protocol.vectors > docs/vectors.json

The format is in docs/protocol.md, section 13. What should be refused, and why, is written here by
hand; what a name becomes when names are compared is computed.
"""

from __future__ import annotations

import dataclasses
import json
import zlib
from struct import Struct
from typing import Any, cast

from tests.protocol.golden import (
    CLIENT,
    COOKIE,
    EPOCH,
    GOLDEN,
    INBOX_EPOCH,
    NONCE,
    SERVER_TIME,
    SESSION,
    TAG,
    TIMESTAMP,
    UNIX_MS,
    events_with,
    golden,
    resealed,
    say_with,
    sealed,
)
from udp_chat.protocol.names import name_fold, name_key
from udp_chat.protocol.packets import (
    HEADER_BYTES,
    NO_COOKIE,
    Answer,
    Bye,
    Event,
    EventKind,
    Events,
    Join,
    Message,
    MessageKind,
    Offer,
    Packet,
    PacketType,
    Refused,
    Say,
    Status,
    Told,
    Welcome,
)

FORMAT = 1
"""Of the file: counts up when a reader of the old file could not read the new one."""

U64 = 2**64 - 1
U32 = 2**32 - 1

_BYTES_64 = "Q"

_LAST_EVENT = Event(EventKind.CHAT, U64, "Anna", text="last", member=U32, message_id=U32)

VALID: dict[str, Packet] = {
    **{f"golden: {name}": packet for name, (packet, _) in GOLDEN.items()},
    "JOIN: the first one, without a cookie": Join(
        CLIENT, TIMESTAMP, NO_COOKIE, 0, 0, 0, 0, 1, "Анна"
    ),
    "JOIN: an empty name is for the server to judge": Join(
        CLIENT, TIMESTAMP, COOKIE, 0, 0, 0, 0, 1, ""
    ),
    "JOIN: the largest numbers": Join(
        *(U64, U64, b"\xff" * 16, U64, U64, U64, U64, U32, "x" * 64),
        room_id=U64,
        member=U32,
        lineage=b"\xff" * 128,
    ),
    "OFFER: of a server of its own": Offer(NONCE, EPOCH, 7, 9091, "Lobby", room_id=EPOCH),
    "OFFER: flags that a later version added": Offer(NONCE, EPOCH, 7, 9091, "Lobby", flags=255),
    "OFFER: the longest": Offer(
        U64, U64, U32, 65535, "x" * 64, room_id=U64, absorbs=U64, flags=7, host="y" * 64
    ),
    "WELCOME: of a server of its own": dataclasses.replace(
        cast(Welcome, GOLDEN["welcome"][0]),
        host=0,
        handed_on=False,
        host_name="",
        host_address="",
        successors="",
    ),
    "REFUSED: a reason that a later version added": Refused(CLIENT, TIMESTAMP, 200, "new"),
    "REFUSED: of another version, without a text": Refused(CLIENT, TIMESTAMP, 1, ""),
    "SAY: an empty text": Say(SESSION, TIMESTAMP, (Message(1, MessageKind.CHAT, ""),)),
    "SAY: a zero byte in a text": Say(SESSION, TIMESTAMP, (Message(1, MessageKind.CHAT, "a\0b"),)),
    "SAY: the longest text": Say(
        SESSION, TIMESTAMP, (Message(U32, MessageKind.PRIVATE, "x" * 900, "y" * 64),)
    ),
    "EVENTS: an empty log": Events(EPOCH, SERVER_TIME, 1, 0, 1),
    "EVENTS: a log that has let go of everything": Events(EPOCH, SERVER_TIME, 6, 5, 6),
    "EVENTS: a roster": Events(
        INBOX_EPOCH,
        SERVER_TIME,
        1,
        1,
        1,
        (Event(EventKind.ROSTER, UNIX_MS, text="43 0\nAnna\nАнна"),),
        inbox=True,
    ),
    "EVENTS: nobody takes the room over": Events(
        EPOCH, SERVER_TIME, 1, 1, 1, (Event(EventKind.SUCCESSORS, UNIX_MS),)
    ),
    "EVENTS: a register of nobody": Events(
        *(INBOX_EPOCH, SERVER_TIME, 1, 1, 1),
        (Event(EventKind.REGISTER, UNIX_MS, text="0 0", message_id=15),),
        inbox=True,
    ),
    "EVENTS: a leave reason that a later version added": Events(
        EPOCH,
        SERVER_TIME,
        1,
        1,
        1,
        (Event(EventKind.LEAVE, UNIX_MS, "Anna", text="kicked", member=5),),
    ),
    "EVENTS wrap: the last event that a log can have": Events(
        EPOCH, U64, U64, U64, U64, (_LAST_EVENT,)
    ),
    "EVENTS wrap: the largest count of sent datagrams": Events(
        EPOCH, SERVER_TIME, 1, 0, 1, answer=Answer(U64, U32, U32, U64, U32)
    ),
    "EVENTS wrap: the next count of sent datagrams is 0": Events(
        EPOCH, SERVER_TIME, 1, 0, 1, answer=Answer(U64, U32, U32, U64, 0)
    ),
    "WELCOME wrap: latest + 1 does not fit 64 bits": dataclasses.replace(
        cast(Welcome, GOLDEN["welcome"][0]),
        oldest=U64,
        latest=U64,
        start=U64,
        joined=U64,
        received=U32,
        member=U32,
    ),
    "STATUS wrap: the count of sent datagrams after 4294967295": Status(
        SESSION, U64, U64, U64, U64, U64, U64, 0, ask=False
    ),
    "STATUS: gap ends before the acknowledgements": Status(
        SESSION, TIMESTAMP, 0, 5, 4, 3, 2, 1, ask=True
    ),
    "BYE: a reason that a later version added": Bye(SESSION, 200),
    "TOLD: nothing": Told(CLIENT, TIMESTAMP, EPOCH, 1, ()),
    "TOLD: begins as late as can be": Told(CLIENT, U64, U64, 2**63, (_LAST_EVENT,)),
}
"""Packets whose bytes every implementation reads as these fields, and writes as these bytes."""


def _with_flags(flags: int) -> bytes:
    datagram = bytearray(golden("answer to a heartbeat"))
    datagram[HEADER_BYTES] = flags
    return resealed(bytes(datagram))


def _slice(oldest: int, latest: int, first: int, count: int) -> bytes:
    events = (Event(EventKind.CHAT, UNIX_MS, "Anna", member=5),) * count
    return Events(EPOCH, SERVER_TIME, oldest, latest, first, events).encode()


def _welcome(**changes: Any) -> bytes:
    return dataclasses.replace(cast(Welcome, GOLDEN["welcome"][0]), **changes).encode()


def _room_event(kind: EventKind, **fields: Any) -> bytes:
    event = dataclasses.replace(Event(kind, UNIX_MS, "Anna", member=5), **fields)
    return Events(EPOCH, SERVER_TIME, 1, 1, 1, (event,)).encode()


def _inbox_event(kind: EventKind, **fields: Any) -> bytes:
    event = dataclasses.replace(Event(kind, UNIX_MS), **fields)
    return Events(INBOX_EPOCH, SERVER_TIME, 1, 1, 1, (event,), inbox=True).encode()


def _flipped(datagram: bytes, bit: int) -> bytes:
    at = len(datagram) * 8 - 1 - bit
    return bytes(byte ^ (1 << at % 8) * (n == at // 8) for n, byte in enumerate(datagram))


def _bad_utf8(name: str, text: bytes, bad: bytes) -> bytes:
    padded = b"." * (len(text) - len(bad)) + bad
    return resealed(golden(name).replace(text, padded))


_EVENT: Struct = Event.LAYOUT
_MESSAGE: Struct = Message.LAYOUT

INVALID: list[tuple[str, str, bytes]] = [
    ("no byte at all", "truncated", b""),
    ("a header that ends early", "truncated", golden("leave")[:7]),
    ("a body that ends early", "truncated", resealed(golden("leave")[:-1])),
    ("a text that ends early", "truncated", resealed(golden("join")[:-1])),
    ("a message that ends early", "truncated", resealed(golden("say")[:-1])),
    ("events that end early", "truncated", resealed(golden("events to everyone")[:-1])),
    ("1201 bytes", "too long", sealed(golden("leave")[:4], bytes(1193))),
    ("the letters UD", "not udp-chat", sealed(b"UD\x02\x0a", golden("leave")[HEADER_BYTES:])),
    ("a flipped bit in the body", "bad checksum", _flipped(golden("leave"), 0)),
    ("a flipped bit in the type", "bad checksum", _flipped(golden("leave"), 8 * 29)),
    (
        "a CRC over the body alone",
        "bad checksum",
        golden("leave")[:4]
        + zlib.crc32(golden("leave")[8:]).to_bytes(4, "big")
        + golden("leave")[8:],
    ),
    (
        "a CRC in the other byte order",
        "bad checksum",
        golden("leave")[:4] + golden("leave")[7:3:-1] + golden("leave")[8:],
    ),
    ("version 0", "unsupported version", sealed(b"UC\x00\x03", golden("join")[8:])),
    ("version 1", "unsupported version", sealed(b"UC\x01\x03", golden("join")[8:76] + b"\x00")),
    ("version 3", "unsupported version", sealed(b"UC\x03\x08", b"whatever it holds")),
    ("type 0", "unknown PacketType", sealed(b"UC\x02\x00", bytes(16))),
    ("type 14", "unknown PacketType", sealed(b"UC\x02\x0e", bytes(16))),
    ("a byte behind a LEAVE", "trailing bytes", resealed(golden("leave") + b"\0")),
    ("a byte behind a JOIN", "trailing bytes", resealed(golden("join") + b"\0")),
    ("1200 bytes of LEAVE", "trailing bytes", sealed(golden("leave")[:4], bytes(1192))),
    (
        "zeros that no flag announces",
        "trailing bytes",
        resealed(golden("events to everyone") + b"\0"),
    ),
    ("padding that is not zero", "bad padding", resealed(golden("padded")[:-1] + b"\1")),
    ("padding up to 1199 bytes", "bad padding", resealed(golden("padded")[:-1])),
    ("flag 32", "unknown flags", _with_flags(4 | 32)),
    ("flag 128", "unknown flags", _with_flags(4 | 128)),
    ("kind 0 of an event", "unknown EventKind", events_with(_EVENT.pack(0, 0, 0, 0, 0, 0, 0))),
    ("kind 16 of an event", "unknown EventKind", events_with(_EVENT.pack(16, 0, 0, 0, 0, 0, 0))),
    ("kind 10 of a message", "unknown MessageKind", say_with(_MESSAGE.pack(1, 10, False, 0, 0))),
    ("a name of 65 bytes", "text too long", events_with(_EVENT.pack(1, 65, 0, 0, 0, 5, 0))),
    ("a text of 901 bytes", "text too long", say_with(_MESSAGE.pack(1, 1, False, 0, 901))),
    ("a byte that begins no character", "invalid utf-8", _bad_utf8("join", b"Anna", b"\xff")),
    ("an overlong encoding", "invalid utf-8", _bad_utf8("join", b"Anna", b"\xc0\xaf")),
    ("half a surrogate pair", "invalid utf-8", _bad_utf8("join", b"Anna", b"\xed\xa0\x80")),
    ("half a character", "invalid utf-8", _bad_utf8("say", b"Boris", b"\xd0")),
    ("a SAY without messages", "empty say", Say(SESSION, TIMESTAMP, ()).encode()),
    ("oldest is 0", "impossible slice", _slice(0, 5, 1, 1)),
    ("first is before oldest", "impossible slice", _slice(3, 5, 2, 1)),
    ("an event beyond latest", "impossible slice", _slice(1, 5, 5, 2)),
    ("first is beyond latest + 1", "impossible slice", _slice(1, 5, 7, 0)),
    ("wrap: first + count - 1 does not fit 64 bits", "impossible slice", _slice(1, U64, U64, 2)),
    ("WELCOME with start 0", "impossible slice", _welcome(start=0)),
    ("WELCOME with start beyond latest + 1", "impossible slice", _welcome(start=44)),
    ("WELCOME with oldest beyond latest + 1", "impossible slice", _welcome(oldest=44)),
    ("WELCOME with joined beyond latest", "impossible slice", _welcome(joined=43)),
    ("WELCOME with inbox_start 0", "impossible slice", _welcome(inbox_start=0)),
    ("WELCOME without a name", "no name", _welcome(name="")),
    ("TOLD from event 0", "impossible slice", Told(CLIENT, TIMESTAMP, EPOCH, 0, ()).encode()),
    (
        "wrap: TOLD from beyond 2^63",
        "impossible slice",
        Told(CLIENT, TIMESTAMP, EPOCH, 2**63 + 1, ()).encode(),
    ),
    (
        "TOLD of an inbox",
        "event in the wrong log",
        Told(
            CLIENT, TIMESTAMP, EPOCH, 1, (Event(EventKind.NOTICE, UNIX_MS, text="not_you"),)
        ).encode(),
    ),
    (
        "a roster in the room's log",
        "event in the wrong log",
        _room_event(EventKind.ROSTER, name="", text="1 0"),
    ),
    (
        "CHAT in an inbox",
        "event in the wrong log",
        _inbox_event(EventKind.CHAT, name="Anna", member=5),
    ),
    ("CHAT without a name", "impossible event", _room_event(EventKind.CHAT, name="")),
    ("CHAT without a member", "impossible event", _room_event(EventKind.CHAT, member=0)),
    ("JOIN with a text", "impossible event", _room_event(EventKind.JOIN, text="hello")),
    ("JOIN with a tag of 15 digits", "impossible event", _room_event(EventKind.JOIN, text=TAG[1:])),
    (
        "JOIN with a tag in capitals",
        "impossible event",
        _room_event(EventKind.JOIN, text="A" * 16),
    ),
    (
        "SUCCESSORS of a member",
        "impossible event",
        _room_event(EventKind.SUCCESSORS, text="6 192.0.2.6:40000\n"),
    ),
    (
        "SUCCESSORS whose line does not end",
        "impossible event",
        _room_event(EventKind.SUCCESSORS, name="", member=0, text="6 192.0.2.6:40000"),
    ),
    (
        "CHAT_APART that does not say where",
        "impossible event",
        _room_event(EventKind.CHAT_APART, text="hey"),
    ),
    (
        "LOST_APART that does not say what",
        "impossible event",
        _room_event(EventKind.LOST_APART, name="", member=0),
    ),
    (
        "a register with a short tag",
        "impossible event",
        _inbox_event(EventKind.REGISTER, text=f"43 0\n5 {TAG[1:]} 12 40 Anna"),
    ),
    ("LEAVE without a reason", "impossible event", _room_event(EventKind.LEAVE)),
    ("RENAME to nothing", "impossible event", _room_event(EventKind.RENAME)),
    ("a roster without numbers", "impossible event", _inbox_event(EventKind.ROSTER, text="Anna")),
    (
        "a roster with an empty name",
        "impossible event",
        _inbox_event(EventKind.ROSTER, text="1 0\n"),
    ),
    (
        "a roster with a number of 21 digits",
        "impossible event",
        _inbox_event(EventKind.ROSTER, text="1" * 21 + " 0"),
    ),
]
"""(what is wrong, the reason as in section 9.1, the datagram)"""

NAMES: list[tuple[str, str | None]] = [
    ("Anna", None),
    ("ANNA", None),
    ("anna_lee.2", None),
    ("x" * 32, None),
    ("Ian", None),
    ("lan", None),
    ("1an", None),
    ("BOB", None),
    ("ВОВ", None),
    ("corn", None),
    ("com", None),
    ("Zo\u00eb", None),
    ("Zoe\u0308", None),
    ("Straße", None),
    ("O'Brien", None),
    ("O\u2019Brien", None),
    ("Анна", None),
    ("محمد٢", None),
    ("田中", None),
    ("김민수", None),
    ("Anna花子", None),
    ("", "empty"),
    ("x" * 33, "too_long"),
    ("漢" * 22, "too_long"),
    ("Anna B", "white_space"),
    ("Anna\t", "white_space"),
    ("An\u001cna", "white_space"),
    ("An\u0085na", "white_space"),
    ("An\u3000na", "white_space"),
    ("An\u2028na", "white_space"),
    ("An\u2800na", "white_space"),
    ("An\u0000na", "invisible"),
    ("An\u202ena", "invisible"),
    ("An\u200dna", "invisible"),
    ("An\ue000na", "invisible"),
    ("An\uffffna", "invisible"),
    ("An\u034fna", "invisible"),
    ("An\u0378na", "unassigned"),
    ("*", "symbol"),
    ("/quit", "symbol"),
    ("Anna:", "symbol"),
    ("Gal·la", "symbol"),
    ("🙂", "symbol"),
    ("-Anna", "first"),
    ("'Anna", "first"),
    ("Ａnna", "variant"),
    ("Ꭺnna", "letter"),
    ("Аn\u0301\u0301", "accent"),
    ("a\u05b4", "accent"),
    ("Anna'", "inside"),
    ("Аnna", "mixed_scripts"),
    ("a٣", "mixed_scripts"),
    ("محمد٢۲", "mixed_digits"),
]
"""Each name with the first rule of 4.5 that it breaks; None: a room takes it."""


def _plain(value: object, width: str = "") -> object:
    """A field as JSON has it."""
    if isinstance(value, bool | str | None):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [_fields(item) for item in value]
    if isinstance(value, int):
        return str(int(value)) if width == _BYTES_64 else int(value)
    return _fields(value)


def _widths(packet: Any) -> dict[str, str]:
    """Each number's letter of `struct`, by its field."""
    letters = [letter for letter in packet.LAYOUT.format.lstrip("!") if letter in "BHIQ?s"]
    names = [name for name in packet.__slots__ if not isinstance(getattr(packet, name), str)]
    if isinstance(packet, Events):
        return dict.fromkeys(("epoch", "timestamp", "oldest", "latest", "first"), _BYTES_64)
    if isinstance(packet, Event):
        return {"time_ms": _BYTES_64}
    if isinstance(packet, Message):
        return {}
    return dict(zip(names, letters, strict=False))


def _fields(packet: Any) -> dict[str, object]:
    widths = _widths(packet)
    return {name: _plain(getattr(packet, name), widths.get(name, "")) for name in packet.__slots__}


def described(packet: Packet) -> dict[str, object]:
    """A packet as docs/vectors.json has it."""
    return {"type": type(packet).__name__.upper(), **_fields(packet)}


def vectors() -> dict[str, object]:
    """The content of docs/vectors.json."""
    leave = golden("leave")
    return {
        "format": FORMAT,
        "version": 2,
        "numbers": {
            numbers.__name__: {number.name: number.value for number in numbers}
            for numbers in (PacketType, EventKind, MessageKind)
        },
        "crc32": [
            {"bytes": b"123456789".hex(), "crc32": "cbf43926"},
            {"bytes": "", "crc32": "00000000"},
            {"bytes": (leave[:4] + leave[8:]).hex(), "crc32": leave[4:8].hex()},
        ],
        "valid": [
            {"name": name, "datagram": packet.encode().hex(), "packet": described(packet)}
            for name, packet in VALID.items()
        ],
        "valid_once": [
            {
                "name": "REFUSED of version 1 is read",
                "datagram": sealed(b"UC\x01\x06", golden("refused")[8:]).hex(),
                "packet": described(GOLDEN["refused"][0]),
            },
            {
                "name": "any more but 0 counts as 1",
                "datagram": say_with(b"\0\0\0\1\1\x02\0\0\0").hex(),
                "packet": described(
                    Say(SESSION, TIMESTAMP, (Message(1, MessageKind.CHAT, "", more=True),))
                ),
            },
            {
                "name": "the padding of a LEAVE is ignored",
                "datagram": resealed(leave[:-1] + b"\1").hex(),
                "packet": described(GOLDEN["leave"][0]),
            },
        ],
        "invalid": [
            {"name": name, "datagram": datagram.hex(), "reason": reason}
            for name, reason, datagram in INVALID
        ],
        "names": [
            {"name": name, "rule": rule}
            if rule
            else {"name": name, "rule": None, "fold": name_fold(name), "key": name_key(name)}
            for name, rule in NAMES
        ],
    }


def as_text() -> str:
    """The file, with one vector a line."""
    lines = []
    for key, value in vectors().items():
        if isinstance(value, list):
            items = ",\n".join("  " + json.dumps(item) for item in value)
            lines.append(f' "{key}": [\n{items}\n ]')
        else:
            lines.append(f' "{key}": {json.dumps(value)}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    print(as_text(), end="")
