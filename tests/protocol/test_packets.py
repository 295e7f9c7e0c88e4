"""The wire format: golden bytes, every way to refuse a datagram, round trips, sizes.

golden.py has the golden bytes.
"""

from __future__ import annotations

from dataclasses import replace
from enum import IntEnum
from typing import Any, cast, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.protocol.golden import (
    CLIENT,
    COOKIE,
    ELSEWHERE,
    EPOCH,
    GOLDEN,
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
from udp_chat.protocol.packets import (
    ADDRESS_BYTES_MAX,
    DATAGRAM_BYTES_MAX,
    HEADER_BYTES,
    NAME_BYTES_MAX,
    NO_COOKIE,
    REASON_BYTES_MAX,
    ROOM_NAME_BYTES_MAX,
    SUCCESSORS_BYTES_MAX,
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
    MalformedDatagram,
    Message,
    MessageKind,
    Offer,
    Packet,
    PacketType,
    Refused,
    RefusedReason,
    Say,
    Told,
    UnsupportedVersion,
    Welcome,
    decode,
    sender_and_timestamp,
)
from udp_chat.protocol.wire import MOVED_BYTES_MAX

PADDING_AT = 52
"""Where the golden padded EVENTS has nothing more to say."""

EVERY_GOLDEN = pytest.mark.parametrize(
    ("packet", "datagram"),
    [(packet, bytes.fromhex(text)) for packet, text in GOLDEN.values()],
    ids=GOLDEN,
)


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
        (
            PacketType,
            "DISCOVER OFFER JOIN CHALLENGE WELCOME REFUSED SAY EVENTS STATUS LEAVE BYE FETCH TOLD",
        ),
        (
            EventKind,
            "CHAT ACTION JOIN LEAVE RENAME PRIVATE NOTICE ROSTER SEEN STATS SUCCESSORS CHAT_APART"
            " ACTION_APART REGISTER LOST_APART",
        ),
        (MessageKind, "CHAT ACTION PRIVATE RENAME WHO SEEN STATS STAND_BY APART"),
        (RefusedReason, "VERSION NAME_IN_USE UNUSABLE_NAME ROOM_FULL ADDRESS_FULL BUSY"),
        (ByeReason, "LEFT TIMEOUT UNKNOWN_SESSION SHUTTING_DOWN MOVED"),
    ],
)
def test_a_number_on_the_wire_keeps_its_meaning(kind: type[IntEnum], names: str) -> None:
    # Through `__members__`: of two names of one number it has both.
    numbers = {name: number.value for name, number in kind.__members__.items()}
    assert numbers == {name: number for number, name in enumerate(names.split(), 1)}


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
    assert refusal(sealed(b"UD\x02\x0a", golden("leave")[HEADER_BYTES:])) == "not udp-chat"


@pytest.mark.parametrize("version", [0, 1, 3, 255])
def test_another_version_is_refused_by_its_number(version: int) -> None:
    with pytest.raises(UnsupportedVersion) as caught:
        decode(sealed(bytes([0x55, 0x43, version, PacketType.JOIN]), b"whatever it holds"))
    assert caught.value.version == version
    assert caught.value.reason == "unsupported version"


@pytest.mark.parametrize("number", [0, len(PacketType) + 1, 255])
def test_an_unknown_packet_type_is_refused(number: int) -> None:
    assert refusal(sealed(bytes([0x55, 0x43, 2, number]), bytes(16))) == "unknown PacketType"


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
        ("offer", b"Anna"),
        ("join", b"Anna"),
        ("welcome", b"Anna"),
        ("welcome", b"Lobby"),
        ("welcome", b"Boris"),
        ("welcome", b"192.0.2.6:9091"),
        ("welcome", b"5 192.0.2.5:40000"),
        ("bye: the room has moved", b"192.0.2.6:9091"),
        ("told", b"left"),
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


def text_over(name: str, lengths: bytes, number: int, bytes_max: int = 64) -> bytes:
    """A golden datagram in which one of these lengths, which stand side by side, is too large."""
    datagram = golden(name)
    assert datagram.count(lengths) == 1
    too_large = bytearray(lengths)
    too_large[number] = bytes_max + 1
    return datagram.replace(lengths, too_large)


@pytest.mark.parametrize(
    "datagram",
    [
        pytest.param(events_with(Event.LAYOUT.pack(1, 65, 0, 0, 0, 0, 0)), id="an event's name"),
        pytest.param(events_with(Event.LAYOUT.pack(1, 0, 65, 0, 0, 0, 0)), id="its recipient"),
        pytest.param(events_with(Event.LAYOUT.pack(1, 0, 0, 901, 0, 0, 0)), id="its text"),
        pytest.param(say_with(Message.LAYOUT.pack(1, 3, False, 65, 0)), id="a recipient"),
        pytest.param(say_with(Message.LAYOUT.pack(1, 1, False, 0, 901)), id="a message's text"),
        pytest.param(golden("join").replace(b"\x04Anna", b"\x41Anna"), id="a name"),
        pytest.param(text_over("offer", b"\x08\x04", 0), id="a room"),
        pytest.param(text_over("offer", b"\x08\x04", 1), id="its host"),
        *(
            pytest.param(text_over("welcome", b"\x06\x05\x05\x0e\x12", number, bytes_max), id=text)
            for number, (text, bytes_max) in enumerate(
                [
                    ("the name", NAME_BYTES_MAX),
                    ("the room", ROOM_NAME_BYTES_MAX),
                    ("the host's name", NAME_BYTES_MAX),
                    ("the host's address", ADDRESS_BYTES_MAX),
                    ("the successors", SUCCESSORS_BYTES_MAX),
                ]
            )
        ),
        pytest.param(text_over("bye: the room has moved", b"\x13", 0, MOVED_BYTES_MAX), id="where"),
    ],
)
def test_a_text_over_its_limit_is_refused(datagram: bytes) -> None:
    with_the_text = datagram + b"x" * (DATAGRAM_BYTES_MAX - len(datagram))
    assert refusal(resealed(with_the_text)) == "text too long"


def room_event(kind: EventKind, to: str = "", text: str = "", **fields: Any) -> Event:
    of = {"name": "Anna", "member": 5, **fields}
    if kind is EventKind.SUCCESSORS:
        of = {"name": "", "member": 0, **fields}
    return Event(kind, UNIX_MS, to=to, text=text, **of)


ORIGIN = f"{ELSEWHERE:016x} 33"
SUCCESSOR = f"6 {'x' * ADDRESS_BYTES_MAX}\n"


@pytest.mark.parametrize(
    "event",
    [
        pytest.param(room_event(EventKind.JOIN, text="hello"), id="a join says no words"),
        pytest.param(room_event(EventKind.JOIN, text=TAG[1:]), id="a tag has 16 digits"),
        pytest.param(room_event(EventKind.JOIN, text=TAG + "1"), id="and not 17"),
        pytest.param(room_event(EventKind.JOIN, text=TAG[:15] + "G"), id="of base 16"),
        pytest.param(room_event(EventKind.JOIN, text=TAG[:15] + "A"), id="in small letters"),
        pytest.param(room_event(EventKind.SUCCESSORS, name="Anna"), id="the room names successors"),
        pytest.param(room_event(EventKind.SUCCESSORS, to="Boris"), id="to everyone"),
        pytest.param(room_event(EventKind.SUCCESSORS, text="6 a:1"), id="each in a line"),
        pytest.param(room_event(EventKind.SUCCESSORS, text="6\n"), id="with an address"),
        pytest.param(room_event(EventKind.SUCCESSORS, text="a:1 6\n"), id="behind a number"),
        pytest.param(room_event(EventKind.SUCCESSORS, text=f"6 {'x' * 65}\n"), id="not too long"),
        pytest.param(room_event(EventKind.SUCCESSORS, text=SUCCESSOR * 4), id="nor too many"),
        pytest.param(room_event(EventKind.CHAT_APART, text="hey"), id="apart from what?"),
        pytest.param(room_event(EventKind.ACTION_APART, text="hey"), id="acted apart from what?"),
        pytest.param(room_event(EventKind.LOST_APART, name="", member=0), id="lost what?"),
        pytest.param(room_event(EventKind.CHAT_APART, ORIGIN, name=""), id="somebody said it"),
        pytest.param(room_event(EventKind.CHAT_APART, ORIGIN, member=0), id="a member did"),
    ],
)
def test_an_event_of_a_room_that_outlives_its_host_has_its_shape(event: Event) -> None:
    datagram = Events(EPOCH, SERVER_TIME, 1, 1, 1, (event,)).encode()
    assert refusal(datagram) == "impossible event"
    told = Told(CLIENT, TIMESTAMP, EPOCH, 1, (event,))
    assert refusal(told.encode()) == "impossible event"


@pytest.mark.parametrize(
    "event",
    [
        room_event(EventKind.JOIN),
        room_event(EventKind.SUCCESSORS),
        room_event(EventKind.SUCCESSORS, text=f"{2**32 - 1} {'x' * ADDRESS_BYTES_MAX}\n" * 2),
        room_event(EventKind.CHAT_APART, ORIGIN, "x" * TEXT_BYTES_MAX),
    ],
    ids=lambda event: event.kind.name,
)
def test_such_an_event_may_be_as_short_or_long_as_it_can(event: Event) -> None:
    packet = Events(EPOCH, SERVER_TIME, 1, 1, 1, (event,))
    assert decode(packet.encode()) == packet


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("43", id="one number"),
        pytest.param(f"43 0\n5 {TAG} 12 40", id="no name"),
        pytest.param(f"43 0\n5 {TAG} 12 40 Anna B", id="a name with a space"),
        pytest.param(f"43 0\n5 {TAG[1:]} 12 40 Anna", id="a short tag"),
        pytest.param(f"43 0\n5 {TAG} 12 Anna", id="a number less"),
        pytest.param(f"43 0\n5 {TAG} 12 40 {'x' * 65}", id="a long name"),
        pytest.param("43 0\n", id="an empty line"),
    ],
)
def test_a_register_has_its_shape(text: str) -> None:
    event = Event(EventKind.REGISTER, UNIX_MS, text=text)
    datagram = Events(EPOCH, SERVER_TIME, 1, 1, 1, (event,), inbox=True).encode()
    assert refusal(datagram) == "impossible event"


@pytest.mark.parametrize("first", [0, 2**63 + 1])
def test_a_told_begins_where_a_log_can(first: int) -> None:
    told = Told(CLIENT, TIMESTAMP, EPOCH, first, ())
    assert refusal(told.encode()) == "impossible slice"


def test_what_is_told_is_of_the_rooms_log() -> None:
    private = Event(EventKind.PRIVATE, UNIX_MS, "Anna", "Boris", "hey", 5, 1)
    assert (
        refusal(Told(CLIENT, TIMESTAMP, EPOCH, 1, (private,)).encode()) == "event in the wrong log"
    )


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
    decodes_or_is_malformed(sealed(bytes([0x55, 0x43, 2, packet_type]), body))


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
    room, host = "x" * ROOM_NAME_BYTES_MAX, "y" * NAME_BYTES_MAX
    longest = Offer(NONCE, EPOCH, 2**32 - 1, 65535, room, host=host)
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


def test_the_longest_welcome_fits_a_datagram() -> None:
    texts = {
        "name": "я" * 32,
        "room": "я" * 32,
        "host_name": "я" * 32,
        "host_address": "x" * ADDRESS_BYTES_MAX,
        "successors": "x" * SUCCESSORS_BYTES_MAX,
    }
    welcome = replace(cast(Welcome, GOLDEN["welcome"][0]), **texts)  # type: ignore[arg-type]
    assert len(welcome.encode()) <= 1200
    assert decode(welcome.encode()) == welcome


def test_the_room_for_events_and_messages_fills_a_datagram() -> None:
    assert len(Told(CLIENT, 0, EPOCH, 1, ()).encode()) + Told.EVENTS_BYTES_MAX == 1200
    assert len(Events(EPOCH, 0, 1, 1, 1).encode_with([bytes(Events.EVENTS_BYTES_MAX)])) == 1200
    empty_bytes = len(SMALLEST_SAY.messages[0].encode())
    assert len(SMALLEST_SAY.encode()) - empty_bytes + Say.MESSAGES_BYTES_MAX == 1200


# --- what every version can read -------------------------------------------------------------


@pytest.mark.parametrize("name", ["discover", "join", "say", "status", "leave", "told"])
def test_sender_and_timestamp_are_where_every_version_has_them(name: str) -> None:
    sender = {"discover": NONCE, "join": CLIENT, "told": CLIENT}.get(name, SESSION)
    datagram = bytearray(golden(name))
    datagram[2] = 77  # another version
    assert sender_and_timestamp(bytes(datagram)) == (sender, TIMESTAMP)
    assert sender_and_timestamp(golden(name)[:24]) == (sender, TIMESTAMP)


def test_a_datagram_without_room_for_them_has_no_sender_and_timestamp() -> None:
    for length in range(24):
        assert sender_and_timestamp(golden("join")[:length]) is None
