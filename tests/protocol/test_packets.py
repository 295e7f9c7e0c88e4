"""The wire format: golden bytes, every way to refuse a datagram, round trips, sizes.

The golden bytes are the format: whoever changes them breaks every client that is out there, so
they are literal hex, a field a word, and nothing here computes them.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from enum import IntEnum
from typing import cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    HEADER_BYTES,
    NAME_BYTES_MAX,
    NO_COOKIE,
    REASON_BYTES_MAX,
    ROOM_NAME_BYTES_MAX,
    TEXT_BYTES_MAX,
    Answer,
    Bye,
    ByeReason,
    Challenge,
    Discover,
    Event,
    EventKind,
    Events,
    Join,
    Leave,
    MalformedDatagram,
    Message,
    MessageKind,
    Offer,
    Packet,
    PacketType,
    Refused,
    RefusedReason,
    Say,
    Status,
    UnsupportedVersion,
    Welcome,
    decode,
    sender_and_timestamp,
)

CLIENT = 0xA1A2A3A4A5A6A7A8
SESSION = 0xB1B2B3B4B5B6B7B8
EPOCH = 0xE1E2E3E4E5E6E7E8
INBOX_EPOCH = 0xF1F2F3F4F5F6F7F8
NONCE = 0x1112131415161718
TIMESTAMP = 0x0001020304050607
SERVER_TIME = 0x0008090A0B0C0D0E
UNIX_MS = 1_700_000_000_000
COOKIE = bytes(range(0xC0, 0xD0))

GOLDEN: dict[str, tuple[Packet, str]] = {
    # The first word of each is magic, version and type, the second the CRC-32 of all but itself.
    "discover": (
        Discover(nonce=NONCE, timestamp=TIMESTAMP),
        "55430101 d64f987b 1112131415161718 0001020304050607" + " 00" * 104,
    ),
    "offer": (
        Offer(nonce=NONCE, epoch=EPOCH, member_count=7, port=9091, room="Клуб"),
        "55430102 7ffd1cea 1112131415161718 e1e2e3e4e5e6e7e8 00000007 2383 08 d09ad0bbd183d0b1",
    ),
    "join": (
        Join(
            client_id=CLIENT,
            timestamp=TIMESTAMP,
            cookie=COOKIE,
            epoch=EPOCH,
            room_ack=41,
            inbox_epoch=INBOX_EPOCH,
            inbox_ack=3,
            next_message_id=12,
            name="Anna",
        ),
        "55430103 de0ddb32 a1a2a3a4a5a6a7a8 0001020304050607 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf"
        " e1e2e3e4e5e6e7e8 0000000000000029 f1f2f3f4f5f6f7f8 0000000000000003 0000000c"
        " 04 416e6e61",
    ),
    "challenge": (
        Challenge(sender_id=CLIENT, cookie=COOKIE),
        "55430104 bb9a6b6e a1a2a3a4a5a6a7a8 c0c1c2c3c4c5c6c7c8c9cacbcccdcecf",
    ),
    "welcome": (
        Welcome(
            client_id=CLIENT,
            echoed_timestamp=TIMESTAMP,
            session_id=SESSION,
            epoch=EPOCH,
            inbox_epoch=INBOX_EPOCH,
            oldest=2,
            latest=42,
            start=21,
            joined=40,
            inbox_start=4,
            received=11,
            member=5,
            heartbeat_ms=5000,
            ack_delay_ms=20,
            name="Anna-2",
            room="Lobby",
        ),
        "55430105 8933025a a1a2a3a4a5a6a7a8 0001020304050607 b1b2b3b4b5b6b7b8 e1e2e3e4e5e6e7e8"
        " f1f2f3f4f5f6f7f8 0000000000000002 000000000000002a 0000000000000015 0000000000000028"
        " 0000000000000004 0000000b 00000005 00001388 0014 06 05 416e6e612d32 4c6f626279",
    ),
    "refused": (
        Refused(client_id=CLIENT, echoed_timestamp=TIMESTAMP, reason=2, text="name in use"),
        "55430106 94bc87e3 a1a2a3a4a5a6a7a8 0001020304050607 02 0b 6e616d6520696e20757365",
    ),
    "say": (
        Say(
            session_id=SESSION,
            timestamp=TIMESTAMP,
            messages=(
                Message(message_id=12, kind=MessageKind.CHAT, text="hello", more=True),
                Message(message_id=13, kind=MessageKind.ACTION, text="🙂"),
                Message(message_id=14, kind=MessageKind.PRIVATE, text="hey", to="Boris"),
            ),
        ),
        "55430107 25766ff3 b1b2b3b4b5b6b7b8 0001020304050607 03"
        " 0000000c 01 01 00 0005 68656c6c6f"
        " 0000000d 02 00 00 0004 f09f9982"
        " 0000000e 03 00 05 0003 426f726973 686579",
    ),
    "events to everyone": (
        Events(
            epoch=EPOCH,
            timestamp=SERVER_TIME,
            oldest=2,
            latest=43,
            first=42,
            events=(
                Event(EventKind.CHAT, UNIX_MS, "Anna", text="привет", member=5, message_id=12),
                Event(EventKind.JOIN, UNIX_MS + 1, "Boris", member=6),
            ),
            ack_delay_ms=20,
        ),
        "55430108 bbd56b84 00 02 0014 e1e2e3e4e5e6e7e8 0008090a0b0c0d0e 0000000000000002"
        " 000000000000002b 000000000000002a"
        " 01 04 00 000c 0000018bcfe56800 00000005 0000000c 416e6e61 d0bfd180d0b8d0b2d0b5d182"
        " 03 05 00 0000 0000018bcfe56801 00000006 00000000 426f726973",
    ),
    "events for one member": (
        Events(
            epoch=INBOX_EPOCH,
            timestamp=SERVER_TIME,
            oldest=3,
            latest=4,
            first=4,
            events=(
                Event(EventKind.PRIVATE, UNIX_MS, "Anna", "Boris", "hey", member=5, message_id=14),
            ),
            inbox=True,
            ask=True,
            repair=True,
            answer=Answer(TIMESTAMP, received=14, appended=13, inbox_latest=4, sent_count=42),
        ),
        "55430108 b8aa38d1 0f 01 0000 f1f2f3f4f5f6f7f8 0008090a0b0c0d0e 0000000000000003"
        " 0000000000000004 0000000000000004"
        " 0001020304050607 0000000e 0000000d 0000000000000004 0000002a"
        " 06 04 05 0003 0000018bcfe56800 00000005 0000000e 416e6e61 426f726973 686579",
    ),
    "answer to a heartbeat": (
        Events(
            epoch=EPOCH,
            timestamp=SERVER_TIME,
            oldest=2,
            latest=43,
            first=44,
            answer=Answer(TIMESTAMP, received=14, appended=14, inbox_latest=0, sent_count=0),
        ),
        "55430108 8eef152c 04 00 0000 e1e2e3e4e5e6e7e8 0008090a0b0c0d0e 0000000000000002"
        " 000000000000002b 000000000000002c 0001020304050607 0000000e 0000000e"
        " 0000000000000000 00000000",
    ),
    "padded": (
        Events(
            epoch=EPOCH,
            timestamp=SERVER_TIME,
            oldest=2,
            latest=43,
            first=44,
            padded=True,
        ),
        "55430108 a73449d2 10 00 0000 e1e2e3e4e5e6e7e8 0008090a0b0c0d0e 0000000000000002"
        " 000000000000002b 000000000000002c" + " 00" * 1148,
    ),
    "status": (
        Status(
            session_id=SESSION,
            timestamp=TIMESTAMP,
            echoed_timestamp=SERVER_TIME,
            room_ack=41,
            room_gap_end=42,
            inbox_ack=3,
            inbox_gap_end=5,
            sent_count=42,
            ask=True,
        ),
        "55430109 d8673dda b1b2b3b4b5b6b7b8 0001020304050607 0008090a0b0c0d0e 0000000000000029"
        " 000000000000002a 0000000000000003 0000000000000005 0000002a 01",
    ),
    "leave": (
        Leave(session_id=SESSION, timestamp=TIMESTAMP),
        "5543010a 97afb689 b1b2b3b4b5b6b7b8 0001020304050607 0000000000000000",
    ),
    "bye": (
        Bye(session_id=SESSION, reason=ByeReason.UNKNOWN_SESSION),
        "5543010b ab728930 b1b2b3b4b5b6b7b8 03",
    ),
}

PADDING_AT = 52
"""Where the golden padded EVENTS has nothing more to say."""

EVERY_GOLDEN = pytest.mark.parametrize(
    ("packet", "datagram"),
    [(packet, bytes.fromhex(text)) for packet, text in GOLDEN.values()],
    ids=GOLDEN,
)


def golden(name: str) -> bytes:
    return bytes.fromhex(GOLDEN[name][1])


def sealed(head: bytes, body: bytes) -> bytes:
    """A datagram with a correct checksum, so that only what comes after it can refuse it."""
    return head + zlib.crc32(head + body).to_bytes(4, "big") + body


def resealed(datagram: bytes) -> bytes:
    return sealed(datagram[:4], datagram[HEADER_BYTES:])


def refusal(datagram: bytes) -> str:
    """The reason for which a datagram is refused."""
    with pytest.raises(MalformedDatagram) as caught:
        decode(datagram)
    return caught.value.reason


# --- golden bytes ----------------------------------------------------------------------------


@EVERY_GOLDEN
def test_a_packet_becomes_its_golden_bytes(packet: Packet, datagram: bytes) -> None:
    assert packet.encode().hex() == datagram.hex()


@EVERY_GOLDEN
def test_golden_bytes_become_their_packet(packet: Packet, datagram: bytes) -> None:
    assert decode(datagram) == packet


def test_every_packet_has_golden_bytes() -> None:
    assert {type(packet) for packet, _ in GOLDEN.values()} == set(get_args(Packet))
    assert {golden(name)[3] for name in GOLDEN} == set(PacketType)


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        (PacketType, "DISCOVER OFFER JOIN CHALLENGE WELCOME REFUSED SAY EVENTS STATUS LEAVE BYE"),
        (EventKind, "CHAT ACTION JOIN LEAVE RENAME PRIVATE NOTICE ROSTER"),
        (MessageKind, "CHAT ACTION PRIVATE RENAME WHO"),
        (RefusedReason, "VERSION NAME_IN_USE UNUSABLE_NAME ROOM_FULL ADDRESS_FULL BUSY"),
        (ByeReason, "LEFT TIMEOUT UNKNOWN_SESSION SHUTTING_DOWN"),
    ],
)
def test_a_number_on_the_wire_keeps_its_meaning(kind: type[IntEnum], names: str) -> None:
    for number, name in enumerate(names.split(), 1):
        assert kind(number).name == name


# --- what is refused -------------------------------------------------------------------------


@EVERY_GOLDEN
def test_every_truncation_is_refused(packet: Packet, datagram: bytes) -> None:
    for length in range(len(datagram)):
        expected = "truncated" if length < HEADER_BYTES else "bad checksum"
        assert refusal(datagram[:length]) == expected


@EVERY_GOLDEN
def test_every_truncation_with_a_correct_checksum_is_refused(
    packet: Packet, datagram: bytes
) -> None:
    padding = getattr(packet, "padded", False)
    for length in range(HEADER_BYTES, len(datagram)):
        expected = "bad padding" if padding and length >= PADDING_AT else "truncated"
        assert refusal(resealed(datagram[:length])) == expected


@EVERY_GOLDEN
def test_an_appended_byte_is_refused(packet: Packet, datagram: bytes) -> None:
    full = len(datagram) == DATAGRAM_BYTES_MAX
    assert refusal(resealed(datagram + b"\0")) == ("too long" if full else "trailing bytes")


@EVERY_GOLDEN
def test_every_flipped_bit_is_refused(packet: Packet, datagram: bytes) -> None:
    for bit in range(8 * len(datagram)):
        flipped = bytearray(datagram)
        flipped[bit // 8] ^= 1 << bit % 8
        expected = "not udp-chat" if bit < 16 else "bad checksum"
        assert refusal(bytes(flipped)) == expected


def test_a_datagram_over_1200_bytes_is_refused() -> None:
    head = golden("leave")[:4]
    assert refusal(sealed(head, bytes(1201 - HEADER_BYTES))) == "too long"
    # The longest that is looked at is refused for what it holds, not for its length.
    assert refusal(sealed(head, bytes(1200 - HEADER_BYTES))) == "trailing bytes"


def test_a_datagram_of_another_program_is_refused() -> None:
    assert refusal(sealed(b"UD\x01\x0a", golden("leave")[HEADER_BYTES:])) == "not udp-chat"


@pytest.mark.parametrize("version", [0, 2, 255])
def test_another_version_is_refused_by_its_number(version: int) -> None:
    with pytest.raises(UnsupportedVersion) as caught:
        decode(sealed(bytes([0x55, 0x43, version, PacketType.JOIN]), b"whatever it holds"))
    assert caught.value.version == version
    assert caught.value.reason == "unsupported version"


@pytest.mark.parametrize("number", [0, len(PacketType) + 1, 255])
def test_an_unknown_packet_type_is_refused(number: int) -> None:
    assert refusal(sealed(bytes([0x55, 0x43, 1, number]), bytes(16))) == "unknown PacketType"


@pytest.mark.parametrize("number", [0, len(EventKind) + 1, 255])
def test_an_unknown_event_kind_is_refused(number: int) -> None:
    event = Event(cast(EventKind, number), UNIX_MS)
    datagram = Events(EPOCH, SERVER_TIME, 1, 1, 1, (event,)).encode()
    assert refusal(datagram) == "unknown EventKind"


@pytest.mark.parametrize("number", [0, len(MessageKind) + 1, 255])
def test_an_unknown_message_kind_is_refused(number: int) -> None:
    message = Message(1, cast(MessageKind, number), "hello")
    assert refusal(Say(SESSION, TIMESTAMP, (message,)).encode()) == "unknown MessageKind"


@pytest.mark.parametrize("flag", [32, 64, 128])
def test_an_unknown_events_flag_is_refused(flag: int) -> None:
    datagram = bytearray(golden("answer to a heartbeat"))
    datagram[HEADER_BYTES] |= flag
    assert refusal(resealed(bytes(datagram))) == "unknown flags"


@pytest.mark.parametrize("at", [52, 53, 1199])
def test_what_pads_a_datagram_are_zeros(at: int) -> None:
    datagram = bytearray(golden("padded"))
    datagram[at] = 1
    assert refusal(resealed(bytes(datagram))) == "bad padding"


@pytest.mark.parametrize("size", [52, 53, 1199])
def test_a_padded_datagram_is_as_long_as_can_be(size: int) -> None:
    assert refusal(resealed(golden("padded")[:size])) == "bad padding"


def test_zeros_behind_events_that_are_not_said_to_be_padded_are_refused() -> None:
    datagram = bytearray(golden("padded"))
    datagram[HEADER_BYTES] = 0
    assert refusal(resealed(bytes(datagram))) == "trailing bytes"


def test_a_say_without_messages_is_refused() -> None:
    assert refusal(Say(SESSION, TIMESTAMP, ()).encode()) == "empty say"


@pytest.mark.parametrize(
    ("oldest", "latest", "first", "count"),
    [
        pytest.param(0, 5, 1, 1, id="numbers count from 1"),
        pytest.param(3, 5, 2, 1, id="an event older than the oldest"),
        pytest.param(1, 5, 5, 2, id="an event newer than the latest"),
        pytest.param(1, 5, 7, 0, id="begins where nothing can follow"),
        pytest.param(7, 5, 7, 0, id="the oldest is not in the log and not next"),
    ],
)
def test_an_impossible_slice_is_refused(oldest: int, latest: int, first: int, count: int) -> None:
    events = (Event(EventKind.CHAT, UNIX_MS, "Anna", member=5),) * count
    packet = Events(EPOCH, SERVER_TIME, oldest, latest, first, events)
    assert refusal(packet.encode()) == "impossible slice"


@pytest.mark.parametrize(
    ("oldest", "latest", "first", "count"),
    [
        pytest.param(1, 0, 1, 0, id="an empty log"),
        pytest.param(6, 5, 6, 0, id="a log that let go of everything"),
        pytest.param(3, 5, 3, 3, id="the whole log"),
    ],
)
def test_a_slice_may_reach_the_ends_of_the_log(
    oldest: int, latest: int, first: int, count: int
) -> None:
    events = (Event(EventKind.CHAT, UNIX_MS, "Anna", member=5),) * count
    packet = Events(EPOCH, SERVER_TIME, oldest, latest, first, events)
    assert decode(packet.encode()) == packet


@pytest.mark.parametrize("name", ["", "welcome"])
def test_a_welcome_has_a_name(name: str) -> None:
    welcome = replace(cast(Welcome, GOLDEN["welcome"][0]), name=name)
    if name:
        assert decode(welcome.encode()) == welcome
    else:
        assert refusal(welcome.encode()) == "no name"


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"oldest": 0}, id="numbers count from 1"),
        pytest.param({"oldest": 44}, id="the oldest is not in the log and not next"),
        pytest.param({"start": 0}, id="the room's log begins before 1"),
        pytest.param({"start": 44}, id="the room's log begins where nothing can follow"),
        pytest.param({"joined": 43}, id="the own join is not in the log"),
        pytest.param({"inbox_start": 0}, id="the inbox begins before 1"),
    ],
)
def test_a_welcome_to_an_impossible_log_is_refused(change: dict[str, int]) -> None:
    welcome = cast(Welcome, GOLDEN["welcome"][0])
    assert decode(replace(welcome, oldest=43).encode()) == replace(welcome, oldest=43)
    assert refusal(replace(welcome, **change).encode()) == "impossible slice"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("offer", "Клуб".encode()),
        ("join", b"Anna"),
        ("welcome", b"Anna"),
        ("welcome", b"Lobby"),
        ("refused", b"in use"),
        ("say", b"hello"),
        ("say", b"Boris"),
        ("events to everyone", "привет".encode()),
        ("events for one member", b"Anna"),
        ("events for one member", b"Boris"),
    ],
)
@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"\xff", id="no character begins so"),
        pytest.param(b"\xc0\xaf", id="longer than need be"),
        pytest.param(b"\xed\xa0\x80", id="half a surrogate pair"),
        pytest.param(b"\xd0", id="half a character"),
    ],
)
def test_text_that_is_not_utf_8_is_refused(name: str, text: bytes, bad: bytes) -> None:
    padded = b"." * (len(text) - len(bad)) + bad
    datagram = golden(name)
    assert datagram.count(text) == 1
    assert refusal(resealed(datagram.replace(text, padded))) == "invalid utf-8"


def events_with(encoded: bytes) -> bytes:
    return Events(EPOCH, SERVER_TIME, 1, 1, 1).encode_with([encoded])


def say_with(encoded: bytes) -> bytes:
    datagram = Say(SESSION, TIMESTAMP, (Message(1, MessageKind.CHAT, ""),)).encode()
    return resealed(datagram[: HEADER_BYTES + Say.LAYOUT.size] + encoded)


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(events_with(Event.LAYOUT.pack(1, 65, 0, 0, 0, 0, 0)), id="an event's name"),
        pytest.param(events_with(Event.LAYOUT.pack(1, 0, 65, 0, 0, 0, 0)), id="its recipient"),
        pytest.param(events_with(Event.LAYOUT.pack(1, 0, 0, 901, 0, 0, 0)), id="its text"),
        pytest.param(say_with(Message.LAYOUT.pack(1, 3, False, 65, 0)), id="a recipient"),
        pytest.param(say_with(Message.LAYOUT.pack(1, 1, False, 0, 901)), id="a message's text"),
        pytest.param(golden("join").replace(b"\x04Anna", b"\x41Anna"), id="a name"),
        pytest.param(golden("offer").replace(b"\x08\xd0\x9a", b"\x41\xd0\x9a"), id="a room"),
        pytest.param(golden("welcome").replace(b"\x06\x05Anna", b"\x41\x05Anna"), id="the name"),
        pytest.param(golden("welcome").replace(b"\x06\x05Anna", b"\x06\x41Anna"), id="the room"),
    ],
)
def test_a_text_over_its_limit_is_refused(datagram: bytes) -> None:
    with_the_text = datagram + b"x" * (DATAGRAM_BYTES_MAX - len(datagram))
    assert refusal(resealed(with_the_text)) == "text too long"


def test_a_reason_that_a_later_version_added_is_understood() -> None:
    for packet in (Refused(CLIENT, TIMESTAMP, 200, "new"), Bye(SESSION, 200)):
        assert decode(packet.encode()) == packet


@pytest.mark.parametrize(
    "packet",
    [
        Offer(NONCE, EPOCH, 7, 9091, "x" * (ROOM_NAME_BYTES_MAX + 1)),
        Refused(CLIENT, TIMESTAMP, 2, "x" * (REASON_BYTES_MAX + 1)),
        Say(SESSION, TIMESTAMP, (Message(1, MessageKind.CHAT, "x" * (TEXT_BYTES_MAX + 1)),)),
        Events(EPOCH, 0, 1, 1, 1, (Event(EventKind.CHAT, 0, "я" * (NAME_BYTES_MAX // 2 + 1)),)),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_sending_a_text_over_its_limit_is_the_senders_mistake(packet: Packet) -> None:
    with pytest.raises(AssertionError):
        packet.encode()


# --- arbitrary bytes -------------------------------------------------------------------------


def decodes_or_is_malformed(datagram: bytes) -> None:
    """There is no third outcome; and what decodes can be encoded and says the same again."""
    try:
        packet = decode(datagram)
    except MalformedDatagram:
        return
    assert decode(packet.encode()) == packet


@given(st.binary(max_size=DATAGRAM_BYTES_MAX + 1))
def test_arbitrary_bytes_raise_nothing_but_malformed_datagram(datagram: bytes) -> None:
    decodes_or_is_malformed(datagram)


@given(
    st.integers(0, len(PacketType) + 1),
    st.binary(max_size=DATAGRAM_BYTES_MAX - HEADER_BYTES),
)
def test_arbitrary_bodies_raise_nothing_but_malformed_datagram(
    packet_type: int, body: bytes
) -> None:
    decodes_or_is_malformed(sealed(bytes([0x55, 0x43, 1, packet_type]), body))


@given(
    st.sampled_from([golden(name) for name in GOLDEN]),
    st.lists(st.tuples(st.integers(0, DATAGRAM_BYTES_MAX), st.integers(0, 255)), min_size=1),
)
def test_changed_bytes_raise_nothing_but_malformed_datagram(
    datagram: bytes, changes: list[tuple[int, int]]
) -> None:
    changed = bytearray(datagram)
    for place, value in changes:
        changed[HEADER_BYTES + place % (len(datagram) - HEADER_BYTES)] = value
    decodes_or_is_malformed(resealed(bytes(changed)))


# --- sizes -----------------------------------------------------------------------------------

SMALLEST_JOIN = Join(CLIENT, TIMESTAMP, NO_COOKIE, 0, 0, 0, 0, 1, "")
SMALLEST_SAY = Say(SESSION, TIMESTAMP, (Message(1, MessageKind.CHAT, ""),))
STATUS = GOLDEN["status"][0]
LEAVE = GOLDEN["leave"][0]


@pytest.mark.parametrize(
    "trigger",
    [SMALLEST_JOIN, SMALLEST_SAY, STATUS, LEAVE],
    ids=lambda packet: type(packet).__name__,
)
def test_a_challenge_is_not_larger_than_what_it_answers(trigger: Packet) -> None:
    assert len(Challenge(CLIENT, COOKIE).encode()) <= len(trigger.encode())


@pytest.mark.parametrize(
    "trigger", [SMALLEST_SAY, STATUS, LEAVE], ids=lambda packet: type(packet).__name__
)
def test_a_bye_is_smaller_than_what_it_answers(trigger: Packet) -> None:
    assert len(Bye(SESSION, ByeReason.UNKNOWN_SESSION).encode()) < len(trigger.encode())


def test_no_offer_is_larger_than_the_discover_it_answers() -> None:
    longest = Offer(NONCE, EPOCH, 2**32 - 1, 65535, "x" * ROOM_NAME_BYTES_MAX)
    assert len(longest.encode()) <= len(Discover(NONCE, TIMESTAMP).encode())


def test_the_refusal_of_a_version_fits_the_smallest_join() -> None:
    refused = Refused(CLIENT, TIMESTAMP, RefusedReason.VERSION, "")
    assert len(refused.encode()) <= len(SMALLEST_JOIN.encode())


def test_the_longest_event_fits_a_datagram_beside_an_answer() -> None:
    event = Event(EventKind.PRIVATE, UNIX_MS, "я" * 32, "🙂" * 16, "я" * 450, 1, 1)
    answer = Answer(TIMESTAMP, 1, 1, 1)
    packet = Events(EPOCH, 0, 1, 1, 1, (event,), inbox=True, answer=answer)
    assert len(packet.encode()) <= 1200
    assert decode(packet.encode()) == packet


def test_the_longest_message_fits_a_datagram() -> None:
    message = Message(2**32 - 1, MessageKind.PRIVATE, "я" * 450, "🙂" * 16)
    packet = Say(SESSION, TIMESTAMP, (message,))
    assert len(packet.encode()) <= 1200
    assert decode(packet.encode()) == packet


def test_the_room_for_events_and_messages_fills_a_datagram() -> None:
    assert len(Events(EPOCH, 0, 1, 1, 1).encode_with([bytes(Events.EVENTS_BYTES_MAX)])) == 1200
    empty_bytes = len(SMALLEST_SAY.messages[0].encode())
    assert len(SMALLEST_SAY.encode()) - empty_bytes + Say.MESSAGES_BYTES_MAX == 1200


# --- what every version can read -------------------------------------------------------------


@pytest.mark.parametrize("name", ["discover", "join", "say", "status", "leave"])
def test_sender_and_timestamp_are_where_every_version_has_them(name: str) -> None:
    sender = {"discover": NONCE, "join": CLIENT}.get(name, SESSION)
    datagram = bytearray(golden(name))
    datagram[2] = 77  # another version
    assert sender_and_timestamp(bytes(datagram)) == (sender, TIMESTAMP)
    assert sender_and_timestamp(golden(name)[:24]) == (sender, TIMESTAMP)


def test_a_datagram_without_room_for_them_has_no_sender_and_timestamp() -> None:
    for length in range(24):
        assert sender_and_timestamp(golden("join")[:length]) is None
