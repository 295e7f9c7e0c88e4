"""Who is in the room, as one client knows it.

A roster comes through the inbox, in one or more events, and is true as of one sequence number of
the room's log; joins, leaves and renames in the log keep it true from there on. Where events of
the log were lost, it has to be asked for again.
"""

from __future__ import annotations

from udp_chat.protocol.packets import Event, EventKind

_CHANGES = (EventKind.JOIN, EventKind.LEAVE, EventKind.RENAME)


NAMES_MAX = 50_000
"""Names that a roster may have: far more than a room, and a bound for a server gone mad."""

CHANGES_MAX = 10_000
"""Joins, leaves and renames kept while a roster is awaited: as many events as a room's log holds.
With more, a roster that was made after them is asked for."""


class Roster:
    """The names of all members, true as of the newest delivered event of the room."""

    def __init__(self) -> None:
        self.names: set[str] = set()
        self._seq = 0
        self._needed = 0
        self.chunks: list[str] = []
        self.changes: list[tuple[int, Event]] | None = None
        """What was delivered while a roster is awaited; None if none is."""

    @property
    def sorted_names(self) -> list[str]:
        """The names in the order in which people look for one."""
        return sorted(self.names, key=str.casefold)

    @property
    def awaited(self) -> bool:
        return self.changes is not None

    def restart(self) -> None:
        """Another log begins: its sequence numbers say nothing about the old ones."""
        self._seq = self._needed = 0
        self.chunks = []

    def await_one(self, needed: int = 0) -> None:
        """A roster is on its way, or being asked for; one older than `needed` will not do."""
        self._needed = max(self._needed, needed)
        if self._seq < self._needed or needed == 0:
            self.changes = []

    def drop_chunks(self) -> None:
        """A part of a roster may be lost."""
        self.chunks = []

    def need(self, seq: int) -> None:
        """Only a roster made after this event of the room is true."""
        self._needed = max(self._needed, seq)

    def take(self, event: Event, acknowledged: int) -> bool | None:
        """Takes in a ROSTER: true if the roster is complete now, false if it has to be asked
        for again, None if more of it is to come. `acknowledged` is the room log's."""
        head, *names = event.text.split("\n")
        as_of, _, remaining = head.partition(" ")
        self.chunks = [*self.chunks[-NAMES_MAX:], *names]
        if remaining != "0" or not as_of.isdecimal():
            return None
        seq, complete, self.chunks = int(as_of), set(self.chunks[-NAMES_MAX:]), []
        if seq < self._needed or (self.changes is None and seq < acknowledged):
            return False  # it does not tell who came and left since it was made
        changes, self.changes = self.changes or [], None
        self._seq, self.names = seq, complete
        for changed_at, change in changes:
            if changed_at > seq:
                self._apply(change)
        return True

    def follow(self, seq: int, event: Event) -> None:
        """Takes in an event of the room's log, in its order."""
        if event.kind in _CHANGES:
            if self.changes is not None:
                if len(self.changes) == CHANGES_MAX:
                    self.changes = []
                    self.need(seq - 1)
                self.changes.append((seq, event))
            elif seq > self._seq:
                self._apply(event)

    def _apply(self, change: Event) -> None:
        if change.kind is not EventKind.JOIN:
            self.names.discard(change.name)
        if change.kind is not EventKind.LEAVE and len(self.names) < NAMES_MAX:
            self.names.add(change.text if change.kind is EventKind.RENAME else change.name)
