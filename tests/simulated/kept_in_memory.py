"""A room's file as a model: all `Changes` of a simulated room, put together as a `Kept`."""

from __future__ import annotations

from dataclasses import replace

from udp_chat.server.kept import Changes, Kept, KeptMember


class KeptInMemory:
    """What `KeptFile` does, without a file."""

    def __init__(self) -> None:
        self._epoch = 0
        self._events: dict[int, bytes] = {}
        self._members: dict[int, KeptMember] = {}
        self._unread: dict[int, dict[int, bytes]] = {}

    def write(self, changes: Changes) -> None:
        self._epoch = changes.epoch
        self._events.update(enumerate(changes.events, changes.first_seq))
        for each in changes.members:
            before = self._members.get(each.number, each)
            assert before.client_key, "a client is kept first when it is known"
            self._members[each.number] = replace(each, client_key=before.client_key)
        for number, seq, event in changes.unread:
            self._unread.setdefault(number, {})[seq] = event
        for each in changes.members:
            unread = self._unread.get(each.number, {})
            kept = {seq: event for seq, event in unread.items() if seq > each.inbox_acked}
            self._unread[each.number] = kept

    def read(self, events_max: int) -> Kept | None:
        """The room, with the newest events that follow each other without a gap."""
        if not self._epoch:
            return None
        latest = max(self._events)
        first = max(1, latest + 1 - events_max)
        while first not in self._events:
            first += 1
        events = [self._events[seq] for seq in range(first, latest + 1)]
        members = sorted(self._members.values(), key=lambda each: (each.left_seq, each.number))
        return Kept(self._epoch, first, events, max(self._members), members, self._unread)
