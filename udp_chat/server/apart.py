"""Which messages are in a room's log, so that what was said in another part comes in once.

A network that falls apart makes two parts of a room, and a client may say a message in both: the
host of the first part took it, but the client did not hear of it and came to the second. A message
is the same if its sender's number and its message id are. Pure.
"""

from __future__ import annotations

from udp_chat.protocol.delivery import EventLog
from udp_chat.protocol.packets import Event, EventKind

SAID = (EventKind.CHAT, EventKind.ACTION)
"""What is handed over of another part of a room. Who came and went there is not."""

SAID_APART = (EventKind.CHAT_APART, EventKind.ACTION_APART)

KNOWN_MAX = 50_000
"""Messages that are known at once: several times as many as a log holds."""


class SaidHere:
    """The messages in one log, as far as it goes back. It reads the log when it is asked."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._ids: dict[int, set[int]] = {}
        """By member number: the ids of its messages."""
        self._count = 0
        self._read_until = 0

    def has(self, event: Event) -> bool:
        """Whether this message is in the log, whichever part it was said in."""
        self._read_on()
        return event.message_id in self._ids.get(event.member, ())

    def after(self, number: int, message_id: int) -> set[int]:
        """The ids of a member's messages that are in the log and newer than this one."""
        self._read_on()
        return {each for each in self._ids.get(number, ()) if each > message_id}

    def _read_on(self) -> None:
        log = self._log
        if self._count > KNOWN_MAX:
            self._ids.clear()
            self._count = self._read_until = 0
        for encoded in log.newest(log.latest - self._read_until):
            if encoded[0] in SAID or encoded[0] in SAID_APART:
                *_, number, message_id = Event.LAYOUT.unpack_from(encoded)
                self._ids.setdefault(number, set()).add(message_id)
                self._count += 1
        self._read_until = log.latest
