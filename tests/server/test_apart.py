"""Which messages are in a log, whichever part of the room they were said in."""

from __future__ import annotations

from tests.machines import START
from udp_chat.protocol.delivery import EventLog
from udp_chat.protocol.packets import Event, EventKind
from udp_chat.server.apart import KNOWN_MAX, SaidHere


def _said(message_id: int, kind: EventKind = EventKind.CHAT, member: int = 7) -> Event:
    origin = "" if kind in (EventKind.CHAT, EventKind.ACTION) else "000000000000000b 3"
    return Event(kind, 1, "Anna", origin, "x", member, message_id)


def test_a_message_is_known_by_its_sender_and_its_number() -> None:
    log = EventLog(1, 100, 100_000)
    said = SaidHere(log)
    log.append(_said(1).encode(), START)
    log.append(_said(2, EventKind.ACTION_APART).encode(), START)
    log.append(Event(EventKind.RENAME, 1, "Anna", "", "Anne", 7, 3).encode(), START)
    assert said.has(_said(1))
    assert said.has(_said(2)), "said apart"
    assert not said.has(_said(3)), "a new name is not talk"
    assert not said.has(_said(1, member=8))
    log.append(_said(4).encode(), START)
    assert said.has(_said(4)), "it reads on"
    assert said.after(7, 1) == {2, 4}
    assert said.after(8, 0) == set()


def test_what_a_log_has_forgotten_is_forgotten_in_the_end() -> None:
    log = EventLog(1, 10, 100_000)
    said = SaidHere(log)
    for message_id in range(1, KNOWN_MAX + 12):
        log.append(_said(message_id).encode(), START)
        if message_id % 10 == 0:
            assert said.has(_said(message_id))
    assert said.has(_said(1)) is False
