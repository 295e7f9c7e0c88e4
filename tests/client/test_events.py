"""Which events there can be: each kind has its log, its fields and its bounds.

What a client is told is checked as strictly as what a server is told. An event that breaks a rule
makes its datagram malformed, so that no reader has to look again.
"""

from __future__ import annotations

import pytest

from tests.machines import RoomBench, of_type
from tests.packets import IN_AN_INBOX, impossible_events
from udp_chat.protocol.packets import (
    CODE_BYTES_MAX,
    NAME_BYTES_MAX,
    TEXT_BYTES_MAX,
    Event,
    EventKind,
    Events,
    MalformedDatagram,
    MessageKind,
    decode,
)
from udp_chat.server.settings import RoomSettings

LONGEST_NAME = "я" * (NAME_BYTES_MAX // 2)
POSSIBLE = [
    Event(EventKind.CHAT, 1, LONGEST_NAME, "", "", 1),
    Event(EventKind.CHAT, 1, "A", "", "x" * TEXT_BYTES_MAX, 2**32 - 1, 2**32 - 1),
    Event(EventKind.ACTION, 2**64 - 1, "Anna", "", "waves", 1),
    Event(EventKind.JOIN, 1, "Anna", "", "", 1),
    Event(EventKind.LEAVE, 1, "Anna", "", "x" * CODE_BYTES_MAX, 1),
    Event(EventKind.RENAME, 1, "Anna", "", LONGEST_NAME, 1),
    Event(EventKind.PRIVATE, 1, LONGEST_NAME, LONGEST_NAME, "x" * TEXT_BYTES_MAX, 1),
    Event(EventKind.NOTICE, 1, "", LONGEST_NAME, "x" * CODE_BYTES_MAX, 0),
    Event(EventKind.NOTICE, 1, "", "", "unusable_name_too_long", 5, 9),
    Event(EventKind.ROSTER, 1, "", "", "1 0", 0),
    Event(EventKind.ROSTER, 1, "", "", f"{'9' * 20} 3\n{LONGEST_NAME}\nAnna", 5, 1),
    Event(EventKind.SEEN, 1, "", "", "0 0 0"),
    Event(EventKind.SEEN, 1, "", "", "7 1 2\nAnna"),
    Event(EventKind.JOIN, 1, "Anna", "", "0123456789abcdef", 1),
    Event(EventKind.SUCCESSORS, 1),
    Event(EventKind.SUCCESSORS, 1, "", "", "7 192.0.2.1:9091\n8 [2001:db8::1]:9091\n", 0),
    Event(EventKind.CHAT_APART, 1, "Anna", "00000000000000e1 7", "x" * TEXT_BYTES_MAX, 1, 1),
    Event(EventKind.ACTION_APART, 1, "Anna", f"{2**64 - 1:x} {2**64 - 1}", "waves", 1, 1),
    Event(EventKind.LOST_APART, 1, "", "00000000000000e1 7 9", ""),
    Event(EventKind.REGISTER, 1, "", "", "0 0", 5, 9),
    Event(EventKind.REGISTER, 1, "", "", "7 2\n7 0123456789abcdef 3 1 Anna", 5),
    Event(EventKind.STATS, 1, "", "", "0\nAnna 1 2 3 4 5 6 7 8 9\nwhat a later version adds\n"),
]

OF_HOSTED_ROOMS = {
    *(EventKind.SUCCESSORS, EventKind.REGISTER),
    *(EventKind.CHAT_APART, EventKind.ACTION_APART, EventKind.LOST_APART),
}
CHAT = Event(EventKind.CHAT, 1, "Boris", "", "said", 9, 1)
ACTION = Event(EventKind.ACTION, 1, "Boris", "", "waved", 9, 2)


def _slice(event: Event, inbox: bool) -> bytes:
    return Events(1, 2, 1, 1, 1, (event,), inbox=inbox).encode()


def _refusal(datagram: bytes) -> str:
    with pytest.raises(MalformedDatagram) as caught:
        decode(datagram)
    return caught.value.reason


@pytest.mark.parametrize("event", POSSIBLE, ids=lambda event: event.kind.name)
def test_an_event_as_long_as_its_kind_may_be_is_read(event: Event) -> None:
    packet = decode(_slice(event, event.kind in IN_AN_INBOX))
    assert isinstance(packet, Events)
    assert packet.events == (event,)


@pytest.mark.parametrize("event", POSSIBLE, ids=lambda event: event.kind.name)
def test_an_event_in_the_wrong_log_is_refused(event: Event) -> None:
    """A ROSTER in the room's log would be shown as if somebody had said it."""
    assert _refusal(_slice(event, event.kind not in IN_AN_INBOX)) == "event in the wrong log"


@pytest.mark.parametrize("event", list(impossible_events()), ids=repr)
def test_an_event_unlike_others_of_its_kind_is_refused(event: Event) -> None:
    assert _refusal(_slice(event, event.kind in IN_AN_INBOX)) == "impossible event"


def test_whatever_a_server_appends_can_be_read() -> None:
    """`RoomBench` decodes all that the room sends."""
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join(LONGEST_NAME)
    anna.say("", kind=MessageKind.CHAT)
    anna.say("", kind=MessageKind.ACTION)
    anna.say("psst", kind=MessageKind.PRIVATE, to=LONGEST_NAME)
    anna.say("psst", kind=MessageKind.PRIVATE, to="")
    anna.say("psst", kind=MessageKind.PRIVATE, to="x" * NAME_BYTES_MAX)
    for name in ("", "x" * 33, "x" * TEXT_BYTES_MAX, "a b", "\u202e", LONGEST_NAME, "Anne"):
        anna.say(name, kind=MessageKind.RENAME)
    for kind in (MessageKind.WHO, MessageKind.STATS):
        anna.say("", kind=kind)
    for text in ("", "1 2 3 4 5", "9" * TEXT_BYTES_MAX):
        anna.say(text, kind=MessageKind.SEEN)
    boris.leave()
    bench.advance(30.0)
    kinds = {event.kind for packet in of_type(Events, bench.sent) for event in packet.events}
    assert kinds == set(EventKind) - OF_HOSTED_ROOMS


def test_whatever_a_room_that_is_handed_on_appends_can_be_read() -> None:
    bench = RoomBench(RoomSettings(handed_on=True))
    anna = bench.join("Anna")
    anna.stand_by(9091)
    bench.peer(LONGEST_NAME).bring([CHAT, ACTION])
    bench.advance(0.1)
    clara = bench.peer("Clara")
    clara.send(clara.bring_the_end([CHAT], lost_count=1))
    bench.advance(0.1)
    kinds = {event.kind for packet in of_type(Events, bench.sent) for event in packet.events}
    assert kinds >= OF_HOSTED_ROOMS
