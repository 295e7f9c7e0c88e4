"""Which messages are in a log, and which a member repeats that it has said in another part."""

from __future__ import annotations

from tests.machines import START
from udp_chat.protocol.delivery import EventLog
from udp_chat.protocol.packets import Event, EventKind
from udp_chat.server.apart import SaidHere
from udp_chat.server.hosts import Host
from udp_chat.server.member import SAID_APART_MAX, Member, MemberIds
from udp_chat.server.settings import RoomSettings


def _said(kind: EventKind, message_id: int, member: int = 7) -> Event:
    to = "000000000000000a 3" if kind is EventKind.CHAT_APART else ""
    return Event(kind, 5, "Anna", to, "hello", member, message_id)


def _log(*events: Event) -> EventLog:
    log = EventLog(1, 100, 100_000)
    for event in events:
        log.append(event.encode(), START)
    return log


def _member() -> Member:
    settings = RoomSettings()
    return Member(MemberIds(1, 7, 2), Host(settings, START), _log(), settings, START)


def test_a_message_is_in_the_log_whichever_part_it_was_said_in() -> None:
    log = _log(_said(EventKind.CHAT, 1), _said(EventKind.CHAT_APART, 3))
    here = SaidHere(log)
    assert here.has(_said(EventKind.CHAT, 1))
    assert here.has(_said(EventKind.CHAT, 3))
    assert not here.has(_said(EventKind.CHAT, 2))
    assert not here.has(_said(EventKind.CHAT, 1, member=8))
    log.append(_said(EventKind.ACTION, 2).encode(), START)
    assert here.has(_said(EventKind.CHAT, 2))


def test_what_is_no_message_counts_for_nothing() -> None:
    here = SaidHere(_log(Event(EventKind.RENAME, 5, "Anna", "", "Vera", 7, 4)))
    assert not here.has(_said(EventKind.CHAT, 4))
    assert here.after(7, 0) == set()


def test_a_member_that_comes_back_finds_what_was_told_of_it() -> None:
    here = SaidHere(_log(*(_said(EventKind.CHAT_APART, number) for number in (3, 5, 6))))
    assert here.after(7, 3) == {5, 6}
    assert here.after(8, 0) == set()


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
