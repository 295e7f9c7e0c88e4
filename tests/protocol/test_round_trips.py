"""Whatever packet is encoded, the same packet is decoded from its bytes."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udp_chat.protocol.lineage import LINEAGE_BYTES
from udp_chat.protocol.packets import (
    ADDRESS_BYTES_MAX,
    CODE_BYTES_MAX,
    COOKIE_BYTES,
    DATAGRAM_BYTES_MAX,
    NAME_BYTES_MAX,
    NO_COOKIE,
    REASON_BYTES_MAX,
    ROOM_NAME_BYTES_MAX,
    SUCCESSORS_BYTES_MAX,
    TEXT_BYTES_MAX,
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
    MessageKind,
    Offer,
    Packet,
    Refused,
    Say,
    Status,
    Told,
    Welcome,
    decode,
)
from udp_chat.protocol.wire import MOVED_BYTES_MAX

U8 = st.integers(0, 255)
U16 = st.integers(0, 2**16 - 1)
U32 = st.integers(0, 2**32 - 1)
U64 = st.integers(0, 2**64 - 1)
SEQ = st.integers(1, 2**64 - 1)
COOKIES = st.one_of(st.just(NO_COOKIE), st.binary(min_size=COOKIE_BYTES, max_size=COOKIE_BYTES))
LINEAGES = st.binary(min_size=LINEAGE_BYTES, max_size=LINEAGE_BYTES)
CHARACTERS = st.one_of(
    st.sampled_from("azAZ09 \t\0Жяё漢é\u0301\u202e\uffff🙂👩🏽"),
    st.characters(exclude_categories=["Cs"]),  # half a surrogate pair is not a character
)


def texts(bytes_max: int) -> st.SearchStrategy[str]:
    """Texts up to a limit; every now and then exactly as long as it allows."""
    texts = st.text(CHARACTERS, max_size=bytes_max)
    long_texts = texts.filter(bool).map(lambda text: text * bytes_max)
    return st.one_of(texts, long_texts).map(
        lambda text: text.encode()[:bytes_max].decode("utf-8", "ignore")
    )


NAMES = texts(NAME_BYTES_MAX)
ROOMS = texts(ROOM_NAME_BYTES_MAX)
MEMBER_NAMES = NAMES.filter(bool)
CODES = texts(CODE_BYTES_MAX).filter(bool)
NONE = st.just("")
NUMBERS = U64.map(str)
ADDRESSES = texts(ADDRESS_BYTES_MAX)
TAGS = st.integers(0, 2**64 - 1).map("{:016x}".format)
ORIGINS = st.tuples(TAGS, U64).map(lambda it: f"{it[0]} {it[1]}")
LINES = MEMBER_NAMES.filter(lambda name: "\n" not in name)


def answers(number_count: int) -> st.SearchStrategy[str]:
    """Numbers with a space between them, and a few names, a line each."""
    heads = st.lists(NUMBERS, min_size=number_count, max_size=number_count).map(" ".join)
    return st.tuples(heads, st.lists(LINES, max_size=9)).map(lambda it: "\n".join([it[0], *it[1]]))


def events_like(
    kind: EventKind,
    name: st.SearchStrategy[str],
    to: st.SearchStrategy[str],
    text: st.SearchStrategy[str],
    member: st.SearchStrategy[int] = U32,
) -> st.SearchStrategy[Event]:
    return st.builds(Event, st.just(kind), U64, name, to, text, member, U32)


def lines_of(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Lines of a few parts, with a space between them."""
    return st.lists(st.tuples(*parts).map(" ".join), max_size=3).map("\n".join)


WORDS = MEMBER_NAMES.filter(lambda name: " " not in name and "\n" not in name)
ROWS = lines_of(U32.map(str), TAGS, U32.map(str), NUMBERS, WORDS)
REGISTERS = st.tuples(NUMBERS, NUMBERS, ROWS).map(
    lambda it: f"{it[0]} {it[1]}" + ("\n" + it[2] if it[2] else "")
)
SUCCESSORS = lines_of(U32.map(str), WORDS).map(lambda text: text + "\n" if text else "")
MEMBERS = st.integers(1, 2**32 - 1)
ROOM_EVENTS = st.one_of(
    events_like(EventKind.CHAT, MEMBER_NAMES, NONE, texts(TEXT_BYTES_MAX), MEMBERS),
    events_like(EventKind.ACTION, MEMBER_NAMES, NONE, texts(TEXT_BYTES_MAX), MEMBERS),
    events_like(EventKind.JOIN, MEMBER_NAMES, NONE, NONE | TAGS, MEMBERS),
    events_like(EventKind.LEAVE, MEMBER_NAMES, NONE, CODES, MEMBERS),
    events_like(EventKind.RENAME, MEMBER_NAMES, NONE, MEMBER_NAMES, MEMBERS),
    events_like(EventKind.SUCCESSORS, NONE, NONE, SUCCESSORS),
    events_like(EventKind.CHAT_APART, MEMBER_NAMES, ORIGINS, texts(TEXT_BYTES_MAX), MEMBERS),
    events_like(EventKind.ACTION_APART, MEMBER_NAMES, ORIGINS, texts(TEXT_BYTES_MAX), MEMBERS),
    events_like(EventKind.LOST_APART, NONE, ORIGINS, NONE),
)
INBOX_EVENTS = st.one_of(
    events_like(EventKind.PRIVATE, MEMBER_NAMES, MEMBER_NAMES, texts(TEXT_BYTES_MAX), MEMBERS),
    events_like(EventKind.NOTICE, NONE, NAMES, CODES),
    events_like(EventKind.ROSTER, NONE, NONE, answers(2)),
    events_like(EventKind.SEEN, NONE, NONE, answers(3)),
    events_like(EventKind.STATS, NONE, NONE, answers(1)),
    events_like(EventKind.REGISTER, NONE, NONE, REGISTERS),
)
MESSAGE = st.builds(
    Message,
    message_id=U32,
    kind=st.sampled_from(MessageKind),
    text=texts(TEXT_BYTES_MAX),
    to=NAMES,
    more=st.booleans(),
)


@st.composite
def says(draw: st.DrawFn) -> Say:
    messages = [draw(MESSAGE)]
    room = Say.MESSAGES_BYTES_MAX - len(messages[0].encode())
    for message in draw(st.lists(MESSAGE)):
        room -= len(message.encode())
        if room >= 0:
            messages.append(message)
    return Say(draw(U64), draw(U64), tuple(messages))


@st.composite
def slices(draw: st.DrawFn) -> Events:
    answer = draw(st.none() | st.builds(Answer, U64, U32, U32, U64, U32))
    room = Events.EVENTS_BYTES_MAX - (Answer.LAYOUT.size if answer else 0)
    inbox = draw(st.booleans())
    events: list[Event] = []
    for event in draw(st.lists(INBOX_EVENTS if inbox else ROOM_EVENTS)):
        room -= len(event.encode())
        if room >= 0:
            events.append(event)
    oldest = draw(st.integers(1, 2**64 - 1 - 255))
    first = draw(st.integers(oldest, 2**64 - 1 - len(events)))
    return Events(
        epoch=draw(U64),
        timestamp=draw(U64),
        oldest=oldest,
        latest=draw(st.integers(first + len(events) - 1, 2**64 - 1)),
        first=first,
        events=tuple(events),
        inbox=inbox,
        ask=draw(st.booleans()),
        repair=draw(st.booleans()),
        ack_delay_ms=draw(U16),
        answer=answer,
        padded=draw(st.booleans()),
    )


@st.composite
def told(draw: st.DrawFn) -> Told:
    events: list[Event] = []
    room = Told.EVENTS_BYTES_MAX
    for event in draw(st.lists(ROOM_EVENTS)):
        room -= len(event.encode())
        if room >= 0:
            events.append(event)
    return Told(draw(U64), draw(U64), draw(U64), draw(st.integers(1, 2**63)), tuple(events))


@st.composite
def welcomes(draw: st.DrawFn) -> Welcome:
    oldest = draw(SEQ)
    latest = draw(st.integers(oldest - 1, 2**64 - 1))
    ids = draw(st.tuples(U64, U64, U64, U64, U64))
    start = draw(st.integers(1, min(latest + 1, 2**64 - 1)))
    starts = start, draw(st.integers(0, latest)), draw(SEQ)
    numbers = draw(st.tuples(U32, U32, U32, U16))
    return Welcome(
        *ids,
        oldest,
        latest,
        *starts,
        *numbers,
        draw(MEMBER_NAMES),
        draw(ROOMS),
        room_id=draw(U64),
        host=draw(U32),
        lineage=draw(LINEAGES),
        handed_on=draw(st.booleans()),
        host_name=draw(NAMES),
        host_address=draw(ADDRESSES),
        successors=draw(texts(SUCCESSORS_BYTES_MAX)),
    )


PACKETS: dict[type[Packet], st.SearchStrategy[Packet]] = {
    Discover: st.builds(Discover, U64, U64),
    Offer: st.builds(
        Offer, U64, U64, U32, U16, ROOMS, room_id=U64, absorbs=U64, flags=U8, host=NAMES
    ),
    Join: st.builds(
        Join,
        *(U64, U64, COOKIES, U64, U64, U64, U64, U32, NAMES),
        room_id=U64,
        member=U32,
        lineage=LINEAGES,
    ),
    Challenge: st.builds(Challenge, U64, COOKIES),
    Welcome: welcomes(),
    Refused: st.builds(Refused, U64, U64, U8, texts(REASON_BYTES_MAX)),
    Say: says(),
    Events: slices(),
    Status: st.builds(Status, U64, U64, U64, U64, U64, U64, U64, U32, st.booleans()),
    Leave: st.builds(Leave, U64, U64),
    Bye: st.builds(Bye, U64, U8, texts(MOVED_BYTES_MAX)),
    Fetch: st.builds(Fetch, U64, U64, U64, U64),
    Told: told(),
}


@pytest.mark.parametrize("kind", get_args(Packet), ids=lambda kind: kind.__name__)
@given(data=st.data())
def test_a_packet_survives_the_wire(kind: type[Packet], data: st.DataObject) -> None:
    packet = data.draw(PACKETS[kind])
    datagram = packet.encode()
    assert len(datagram) <= DATAGRAM_BYTES_MAX
    assert decode(datagram) == packet
