"""What outlives a server's process: the room's log, and what the room knows of its clients.

A room that keeps hands out `Changes` after each wake-up, and `Kept` is all of them together: from
it, another process begins the same room. keeping.py has the file.

Kept are the room's log with its epoch, and of each client the number, the name, the newest message
that was appended, and the inbox with what is not read. Sessions are not kept: neither addresses
nor session ids, nor the client's secret id, only a hash of it. A client comes back with a JOIN, as
after any silence, and continues where it was. So whoever reads the file can speak for nobody.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from udp_chat.protocol.lineage import NO_TERMS, Lineage
from udp_chat.protocol.packets import Event, EventKind
from udp_chat.protocol.wire import Parser
from udp_chat.server.hosts import Host
from udp_chat.server.member import Member, MemberIds
from udp_chat.server.state import RoomState

CLIENT_KEY_BYTES = 16
CLIENT_TAG_BYTES = 8

UNKEPT_EVENT = Event(EventKind.ROSTER, 0, text="0 1").encode()
"""Stands for a roster in an inbox that is begun again: a part without names, of a roster that is to
be continued. A member is sent a new roster when it comes back."""


def client_key(client_id: int, epoch: int) -> bytes:
    """What a file has in the place of a client id: a hash, another one in each room."""
    secret = client_id.to_bytes(8, "big")
    return hashlib.blake2b(
        secret, digest_size=CLIENT_KEY_BYTES, key=epoch.to_bytes(8, "big")
    ).digest()


def client_tag(client_id: int, room_id: int) -> bytes:
    """What a room's log has in the place of a client id: enough of the key to know who it is."""
    return client_key(client_id, room_id)[:CLIENT_TAG_BYTES]


@dataclass(frozen=True, slots=True)
class KeptMember:
    """A client, in the room or gone."""

    number: int
    client_key: bytes
    """Empty where it has not changed."""
    name: str
    appended: int
    """The newest of its messages that is in a log."""
    joined_seq: int
    left_seq: int
    """Where the room's log ended when it was gone; 0 while it is in."""
    inbox_epoch: int
    inbox_acked: int
    inbox_latest: int


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be kept of a wake-up, all of it or nothing."""

    epoch: int
    first_seq: int
    """The number of the first event."""
    events: list[bytes]
    """Of the room's log, encoded."""
    members: list[KeptMember]
    unread: list[tuple[int, int, bytes]]
    """Events of inboxes, encoded: the member's number, the event's, and the event."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A room as it was kept."""

    epoch: int
    first_seq: int
    events: list[bytes]
    number: int
    """The newest member number."""
    members: list[KeptMember] = field(default_factory=list)
    """Those who are gone in the order in which they went."""
    unread: dict[int, dict[int, bytes]] = field(default_factory=dict)
    """By member number and sequence number."""
    room_id: int = 0
    """0: the epoch of this log, which has had one term."""
    lineage: Lineage = NO_TERMS
    """Empty where the log has had one term. The newest term has this epoch."""


class Notebook:
    """Notes what has changed in a room since it was last kept. Not thread-safe.

    For each message that is said in the room's log it looks at the log itself, so that a room that
    keeps nothing pays nothing. All else that changes a member is noted by `Register.note`.
    """

    def __init__(self, state: RoomState) -> None:
        self._log = state.log
        self._register = state.register
        self._kept_seq = state.log.latest
        state.register.changed = set()

    def changes(self) -> Changes | None:
        """What has changed since the last `note_kept`; None if nothing is to be kept."""
        log, register = self._log, self._register
        changed = register.changed
        assert changed is not None
        if log.latest == self._kept_seq and not changed:
            return None
        first = max(self._kept_seq + 1, log.oldest)
        events = log.newest(log.latest - first + 1)
        for event in events:
            member = register.by_number.get(Event.LAYOUT.unpack_from(event)[5])
            if member is not None:
                changed.add(member)
        members = changed | register.read
        unread = [note for member in members for note in self._new_in_inbox(member)]
        return Changes(log.epoch, first, events, [self._kept(m) for m in members], unread)

    def note_kept(self) -> None:
        """Notes that the changes are kept."""
        register = self._register
        assert register.changed is not None
        for member in register.changed | register.read:
            member.inbox.kept_seq = member.inbox.log.latest
        register.changed.clear()
        register.read.clear()
        self._kept_seq = self._log.latest

    def _kept(self, member: Member) -> KeptMember:
        inbox, is_in = member.inbox, member.session_id in self._register.members
        key = client_key(member.client_id, self._log.epoch) if member.client_id > 0 else b""
        return KeptMember(
            member.number,
            key,
            member.name,
            member.appended,
            member.joined_seq,
            0 if is_in else self._log.latest,
            inbox.log.epoch,
            inbox.acked,
            inbox.log.latest,
        )

    def _new_in_inbox(self, member: Member) -> Iterable[tuple[int, int, bytes]]:
        inbox = member.inbox
        first = max(inbox.kept_seq + 1, inbox.next_seq)
        for seq, event in enumerate(inbox.log.newest(inbox.log.latest - first + 1), first):
            if event[0] != EventKind.ROSTER:
                yield member.number, seq, event


def begin_from(kept: Kept, state: RoomState, now: float) -> list[Member]:
    """Makes the room what it was; it must be new. Returns those who were in.

    They count as members whose address is not known yet: they are silent from `now` on.
    """
    log, register = state.log, state.register
    log.begin(kept.epoch, kept.first_seq, kept.events, now)
    room_id = kept.room_id or kept.epoch
    register.begin_from(kept.number, lambda client_id: client_tag(client_id, room_id))
    nowhere = Host(state.settings, now)
    present = []
    for each in kept.members:
        ids = MemberIds(-each.number, each.number, each.inbox_epoch)
        member = Member(ids, nowhere, log, state.settings, now)
        member.name = each.name
        member.received = member.appended = each.appended
        member.joined_seq = member.first_seq = each.joined_seq
        _fill_inbox(member, each, kept.unread.get(each.number, {}), now)
        tag = each.client_key[:CLIENT_TAG_BYTES]
        register.begin_with(member, tag, is_in=not each.left_seq)
        state.memory.recount(member)
        if not each.left_seq:
            present.append(member)
    nowhere.member_count = len(present)
    return present


def _fill_inbox(member: Member, kept: KeptMember, unread: dict[int, bytes], now: float) -> None:
    inbox = member.inbox
    numbers = range(kept.inbox_acked + 1, kept.inbox_latest + 1)
    events = [unread.get(seq, UNKEPT_EVENT) for seq in numbers]
    inbox.log.begin(kept.inbox_epoch, kept.inbox_acked + 1, events, now)
    inbox.acked = inbox.told_seq = kept.inbox_acked
    inbox.kept_seq = kept.inbox_latest
    for seq, encoded in unread.items():
        event = Event.parse(Parser(encoded, 0), inbox=True)
        if event.kind is EventKind.PRIVATE and event.member != kept.number:
            inbox.note_sender(seq, -event.member)
