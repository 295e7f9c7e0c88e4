"""What a newcomer is shown of what was said before.

The newest messages, however many joins and leaves lie between. Where they are is looked up in the
log, when somebody joins: so it is right for a log that another process wrote, and saying a message
costs nothing.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

from collections import deque

from udp_chat.protocol.delivery import EventLog
from udp_chat.protocol.packets import EventKind

HISTORY_REACH = 1000
"""So many events back a message may lie: some 40 kB of joins and leaves. If a whole large room
comes in at once, each member of it may cost that."""

SAID = (EventKind.CHAT, EventKind.ACTION, EventKind.CHAT_APART, EventKind.ACTION_APART)


class History:
    """Finds the newest messages of the room's log. Not thread-safe."""

    def __init__(self, log: EventLog, messages_max: int) -> None:
        self._log = log
        self._messages_max = messages_max
        self._said: deque[int] = deque(maxlen=messages_max)
        """The newest messages, by sequence number, that may still be in reach."""
        self._looked_until = 0
        self._begun_count = log.begun_count

    def start(self, joined_seq: int) -> int:
        """The first event for a newcomer, whose join has this number. It gets at least as
        many events, also where fewer of them are messages."""
        self._look()
        said = self._said
        while said and said[0] < joined_seq - HISTORY_REACH:
            said.popleft()
        first = joined_seq - self._messages_max
        return max(min(first, said[0]) if said else first, self._log.oldest)

    def _look(self) -> None:
        """Notes the messages among the events that are new since the last look."""
        log = self._log
        if self._begun_count != log.begun_count:
            self._begun_count = log.begun_count
            self._said.clear()
            self._looked_until = 0
        first = max(self._looked_until + 1, log.latest - HISTORY_REACH, log.oldest)
        for seq, event in enumerate(log.newest(log.latest - first + 1), first):
            if event[0] in SAID:
                self._said.append(seq)
        self._looked_until = log.latest
