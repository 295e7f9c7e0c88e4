"""Which events there can be: each kind has its log, its fields and its bounds.

What a client is told is checked as strictly as what a server is told. An event that breaks a rule
makes its datagram malformed, so that no reader has to look again.
"""

from __future__ import annotations

import pytest

from tests.machines import RoomBench, of_type
from tests.packets import impossible_events
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
    Event(EventKind.STATS, 1, "", "", "0\nAnna 1 2 3 4 5 6 7 8 9\nwhat a later version adds\n"),
]


def _slice(event: Event, inbox: bool) -> bytes:
    return Events(1, 2, 1, 1, 1, (event,), inbox=inbox).encode()


def _refusal(datagram: bytes) -> str:
    with pytest.raises(MalformedDatagram) as caught:
        decode(datagram)
    return caught.value.reason


def _belongs_to_an_inbox(event: Event) -> bool:
    return event.kind >= EventKind.PRIVATE


@pytest.mark.parametrize("event", POSSIBLE, ids=lambda event: event.kind.name)
def test_an_event_as_long_as_its_kind_may_be_is_read(event: Event) -> None:
    packet = decode(_slice(event, _belongs_to_an_inbox(event)))
    assert isinstance(packet, Events)
    assert packet.events == (event,)


@pytest.mark.parametrize("event", POSSIBLE, ids=lambda event: event.kind.name)
def test_an_event_in_the_wrong_log_is_refused(event: Event) -> None:
    """A ROSTER in the room's log would be shown as if somebody had said it."""
    assert _refusal(_slice(event, not _belongs_to_an_inbox(event))) == "event in the wrong log"


@pytest.mark.parametrize("event", list(impossible_events()), ids=repr)
def test_an_event_unlike_others_of_its_kind_is_refused(event: Event) -> None:
    assert _refusal(_slice(event, _belongs_to_an_inbox(event))) == "impossible event"


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
    assert kinds == set(EventKind)
