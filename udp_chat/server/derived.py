"""Who is in a room and which of their messages are taken, as it follows from the room's log.

The room is its log. A host sends those who may take the room over a register, true as of one event;
`Clients` makes it true as of later ones, by the events that came since. So any of them can go on.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, replace

from udp_chat.protocol.packets import Event, EventKind
from udp_chat.server.apart import SAID_APART
from udp_chat.server.kept import KeptMember


@dataclass(frozen=True, slots=True)
class Row:
    """A client, in the room or gone."""

    number: int
    tag: bytes
    """What stands for its client id: see `client_tag`."""
    name: str
    appended: int
    """The newest of its messages that is in the log."""
    joined_seq: int
    left_seq: int = 0
    """0 while it is in."""

    @classmethod
    def parse(cls, line: str) -> Row:
        """Reads a line of a REGISTER, whose form was checked."""
        number, tag, appended, joined, name = line.split(" ")
        gone = joined == "0"
        return cls(int(number), bytes.fromhex(tag), name, int(appended), int(joined), int(gone))

    @property
    def is_possible(self) -> bool:
        """Whether a room can go on with it. What another host tells may have any numbers, and a
        name that no REGISTER could tell the next one."""
        numbers = 0 < self.number < 2**32 and self.appended < 2**32 and self.joined_seq <= 2**63
        return bool(self.tag) and numbers and not {" ", "\n"} & {*self.name}


class Clients:
    """The clients of a room, by number."""

    def __init__(self, rows: Iterable[Row], as_of: int) -> None:
        """`rows` are true as of event `as_of`."""
        self._rows = {row.number: row for row in rows}
        self._as_of = as_of

    def follow(self, seq: int, event: Event) -> None:
        """Takes in an event of the log, in its order."""
        if seq <= self._as_of:
            return
        self._as_of = seq
        row = self._rows.get(event.member)
        if event.kind is EventKind.JOIN:
            appended = row.appended if row is not None else 0
            tag = bytes.fromhex(event.text) or (row.tag if row is not None else b"")
            self._rows[event.member] = Row(event.member, tag, event.name, appended, seq)
            return
        if row is None:
            return
        if event.kind is EventKind.LEAVE:
            row = replace(row, left_seq=seq)
        elif event.kind is EventKind.RENAME:
            row = replace(row, name=event.text)
        if event.kind not in SAID_APART and event.message_id > row.appended:
            row = replace(row, appended=event.message_id)
        self._rows[event.member] = row

    def tags_in(self, *, but: int) -> set[bytes]:
        """What stands for the clients that are in, all but the one with this number."""
        return {row.tag for row in self._rows.values() if not row.left_seq and row.number != but}

    def kept_members(self, randomness: random.Random) -> list[KeptMember]:
        """The clients as a room begins with them, those who are gone in the order in which they
        went; each has an empty inbox of a new epoch. The others come as newcomers."""
        return [
            KeptMember(
                row.number,
                row.tag,
                row.name,
                row.appended,
                row.joined_seq or 1,
                row.left_seq,
                randomness.getrandbits(64) or 1,
                0,
                0,
            )
            for row in sorted(self._rows.values(), key=lambda row: row.left_seq)
            if row.is_possible
        ]
