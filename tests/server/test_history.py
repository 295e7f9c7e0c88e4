"""What a newcomer is shown of what was said before."""

from __future__ import annotations

from udp_chat.protocol.delivery import EventLog
from udp_chat.protocol.packets import Event, EventKind
from udp_chat.server.history import HISTORY_REACH, History

SHOWN = 5
CHAT, ACTION, JOIN, LEAVE, RENAME = (
    Event(kind, 0, "Anna", "", "text", 1, 1).encode()
    for kind in (
        EventKind.CHAT,
        EventKind.ACTION,
        EventKind.JOIN,
        EventKind.LEAVE,
        EventKind.RENAME,
    )
)


def new_log() -> EventLog:
    return EventLog(1, entries_max=5000, bytes_max=1 << 20)


def start(log: EventLog, history: History) -> int:
    """Where the history of somebody begins that joins now."""
    return history.start(log.append(JOIN, 0.0))


def test_it_begins_with_the_messages_whatever_lies_between() -> None:
    log = new_log()
    history = History(log, SHOWN)
    log.extend([CHAT, ACTION] * SHOWN, 0.0)
    assert start(log, history) == SHOWN + 1
    for _ in range(10):  # each time only what is new is looked at
        log.extend([LEAVE, RENAME], 0.0)
        assert start(log, history) == SHOWN + 1
    log.extend([CHAT, LEAVE, CHAT], 0.0)
    assert start(log, history) == SHOWN + 3


def test_where_fewer_messages_were_said_there_are_as_many_events() -> None:
    log = new_log()
    history = History(log, SHOWN)
    assert start(log, history) == 1
    log.extend([JOIN] * 20, 0.0)
    assert start(log, history) == log.latest - SHOWN
    log.append(CHAT, 0.0)
    assert start(log, history) == log.latest - SHOWN


def test_it_reaches_back_so_far_and_not_beyond_what_the_log_holds() -> None:
    log = new_log()
    history = History(log, SHOWN)
    log.append(CHAT, 0.0)
    log.extend([JOIN] * (HISTORY_REACH - 1), 0.0)
    assert start(log, history) == 1
    for reader in (history, History(log, SHOWN)):
        assert start(log, reader) == log.latest - SHOWN, "no message is in reach"
    log.forget(log.latest - 2)
    assert start(log, history) == log.oldest == log.latest - 2


def test_a_log_that_was_begun_by_another_process_is_looked_at_anew() -> None:
    log = new_log()
    history = History(log, SHOWN)
    log.extend([CHAT] * 30, 0.0)
    assert start(log, history) == log.latest - SHOWN
    for epoch in (1, 2):
        log.begin(epoch, 11, [CHAT, CHAT, *[JOIN] * 40], 0.0)
        assert start(log, history) == 11
