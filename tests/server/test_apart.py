"""Which messages are in a log, and which a member repeats that it has said in another part."""

from __future__ import annotations

from tests.machines import START
from udp_chat.protocol.delivery import EventLog
from udp_chat.protocol.packets import Event, EventKind
from udp_chat.server.apart import KNOWN_MAX, SaidHere
from udp_chat.server.hosts import Host
from udp_chat.server.member import SAID_APART_MAX, Member, MemberIds
from udp_chat.server.settings import RoomSettings


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


def _member() -> Member:
    settings = RoomSettings()
    log = EventLog(1, 100, 100_000)
    return Member(MemberIds(1, 7, 2), Host(settings, START), log, settings, START)


def test_a_message_that_is_repeated_here_is_known_once() -> None:
    member = _member()
    member.note_said_apart(4)
    assert not member.is_said_apart(3)
    assert member.is_said_apart(4)
    assert not member.is_said_apart(4)


def test_a_message_that_was_received_here_is_not_repeated() -> None:
    member = _member()
    member.received = 4
    member.note_said_apart(4)
    assert not member.said_apart


def test_few_messages_are_remembered_of_a_member_that_never_comes_back() -> None:
    member = _member()
    for message_id in range(1, SAID_APART_MAX + 2):
        member.note_said_apart(message_id)
    assert len(member.said_apart) == SAID_APART_MAX
    assert 1 not in member.said_apart
