"""A member as the room knows it: its address, its logs, its link, its rates and its timer.

Here are the state and its smallest rules. The room and its relay decide what to do about it.
"""

from __future__ import annotations

import heapq
import sys
from collections import deque
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from udp_chat.protocol.delivery import NEVER, EventLog, LossEstimate, RttEstimator, TokenBucket
from udp_chat.protocol.packets import Address, Message
from udp_chat.server.congestion import SendWindow
from udp_chat.server.hosts import Host
from udp_chat.server.settings import RoomSettings

REPAIRS_PER_SECOND = 200.0
REPAIR_BURST = 64
"""Repairs of one log to one member: enough to catch up in seconds, too little to drown a bad
link. Each log has its own, so that a flood of private messages takes nothing from the room."""

INBOX_ENTRIES_MAX = 2048
INBOX_BYTES_MAX = 1024 * 1024
"""An inbox holds what its member has not yet acknowledged; enough for a roster of thousands."""

INBOX_FULL_ENTRIES = 256
INBOX_FULL_BYTES = 128 * 1024
"""From here on an inbox takes in nothing that can wait: it is half a second of repairs. What comes
on top (a roster, a notice) never reaches the bounds above, so an inbox forgets nothing unread."""

ENTRY_BYTES = 200
"""What an event of an inbox, or a held message, takes beside its own bytes (measured: 180)."""

OWN_QUESTIONS_PER_SECOND = 1.0
OWN_QUESTION_BURST = 8.0
"""Questions of one client: a person asks one now and then."""


SAID_APART_MAX = 10_000
"""Messages said in another part of the room that are remembered of a member: as many as a client
keeps that wait to be accepted."""


class Position:
    """Where one peer is in one log."""

    __slots__ = (
        "acked",
        "attempts",
        "log",
        "pushed_at",
        "repair_bucket",
        "repaired_at",
        "sent_until",
    )

    def __init__(self, log: EventLog, acked: int, now: float) -> None:
        self.log = log
        self.acked = acked
        self.attempts = 0
        """Repairs since the acknowledgement last moved."""
        self.repaired_at = float("-inf")
        self.sent_until = 0
        """The newest event that was sent to this peer alone; everyone is sent the others."""
        self.pushed_at = float("-inf")
        """When it was sent new events by itself."""
        self.repair_bucket = TokenBucket(REPAIRS_PER_SECOND, REPAIR_BURST, now)

    @property
    def next_seq(self) -> int:
        """The first event to send again; later than the acknowledgement where events were lost."""
        return max(self.acked + 1, self.log.oldest)

    @property
    def behind(self) -> bool:
        """Whether the log holds what this peer has not acknowledged."""
        return self.next_seq <= self.log.latest

    def acknowledge(self, ack: int) -> bool:
        """Takes a cumulative acknowledgement; true if it says something new."""
        if ack <= self.acked:
            return False
        self.acked = ack
        self.attempts = 0
        return True


class Inbox(Position):
    """The log of what one member alone is sent, and that member's position in it.

    It has one reader, so it forgets what is acknowledged. It knows who sent the private messages
    that are not, so that they can be told should these never arrive.
    """

    __slots__ = ("_senders", "kept_seq", "told_seq", "waiting")

    def __init__(self, epoch: int, now: float) -> None:
        super().__init__(EventLog(epoch, INBOX_ENTRIES_MAX, INBOX_BYTES_MAX), 0, now)
        self._senders: dict[int, int] = {}
        """By sequence number: the client id of the sender."""
        self.told_seq = 0
        """Senders of messages up to here were told that these are not delivered yet."""
        self.kept_seq = 0
        """Up to here it is in the file of a room that keeps: see kept.py."""
        self.waiting: dict[int, Member] = {}
        """By session id: members with a private message that waits for space here."""

    @property
    def is_full(self) -> bool:
        """Whether what can wait has to wait."""
        log = self.log
        return log.entry_count >= INBOX_FULL_ENTRIES or log.bytes_held >= INBOX_FULL_BYTES

    @property
    def has_space_again(self) -> bool:
        """Whether those who waited may go on: at half of that, for each of them looks again, so
        that a room of a thousand would stand still if they did at each acknowledgement."""
        log = self.log
        return (
            log.entry_count <= INBOX_FULL_ENTRIES // 2 and log.bytes_held <= INBOX_FULL_BYTES // 2
        )

    def append(self, encoded: bytes, now: float, sender: int = 0) -> int:
        """Adds an event and returns its sequence number; `sender` is a client id, if one is to
        know whether it arrives."""
        seq = self.log.append(encoded, now)
        if sender:
            self.note_sender(seq, sender)
        return seq

    def note_sender(self, seq: int, sender: int) -> None:
        """Notes who is to know whether this event arrives."""
        self._senders[seq] = sender

    def acknowledge(self, ack: int) -> bool:
        # A member cannot acknowledge what was never sent: nothing is forgotten.
        if ack > self.log.latest or not super().acknowledge(ack):
            return False
        self._forget(self.acked)
        return True

    def take_pushed_out(self) -> list[int]:
        """The client ids of senders whose messages the log dropped unread, each once."""
        senders, oldest, found = self._senders, self.log.oldest, []
        while senders and (seq := next(iter(senders))) < oldest:
            found.append(senders.pop(seq))
        return list(dict.fromkeys(found))

    def senders(self, after: int = 0) -> list[int]:
        """The client ids of those whose private messages after `after` are not read, each once."""
        return list(dict.fromkeys(c for seq, c in self._senders.items() if seq > after))

    def clear(self) -> None:
        """Drops what is not read. A member that comes back for it is told that it is lost."""
        self._forget(self.log.latest)

    def _forget(self, until: int) -> None:
        self.log.forget(until)
        senders = self._senders
        while senders and (seq := next(iter(senders))) <= until:
            del senders[seq]


class Traffic:
    """The datagrams of one session, counted for those who want to see what UDP does."""

    __slots__ = (
        "_recent",
        "broadcast_base",
        "client_sent",
        "duplicated",
        "received",
        "received_bytes",
        "reordered",
        "repaired",
        "sent_alone",
    )

    RECENT_MAX = 64
    """Timestamps remembered to tell a doubled datagram from a late one."""

    def __init__(self, broadcast_base: int) -> None:
        self.received = 0
        self.received_bytes = 0
        self.client_sent = 0
        """As its STATUS said; what it sent after that is not known yet."""
        self.duplicated = 0
        self.reordered = 0
        self.repaired = 0
        self.sent_alone = 0
        """EVENTS sent to this member alone; the others are counted once for all."""
        self.broadcast_base = broadcast_base
        """How many had been broadcast when this session began."""
        self._recent: deque[int] = deque(maxlen=self.RECENT_MAX)

    @property
    def lost(self) -> int:
        """Datagrams of the client that have not arrived (yet)."""
        return max(0, self.client_sent - (self.received - self.duplicated))

    def sent(self, broadcast_count: int) -> int:
        """EVENTS datagrams sent to the client."""
        return self.sent_alone + broadcast_count - self.broadcast_base

    def count(self, size: int, timestamp: int, *, newest: bool) -> None:
        """Counts a datagram of the client; `newest` if no later one came before it."""
        self.received += 1
        self.received_bytes += size
        if not newest:
            if timestamp in self._recent:
                self.duplicated += 1
            else:
                self.reordered += 1
        self._recent.append(timestamp)


class MemberIds(NamedTuple):
    """The numbers of a member that never change."""

    client_id: int
    """Random, chosen by the client, and secret."""
    number: int
    """Counted by the room; in every event that the member causes."""
    inbox_epoch: int


class Member:
    """A client as the room knows it, from its first JOIN until it is forgotten."""

    __slots__ = (
        "address",
        "appended",
        "bucket",
        "bytes_counted",
        "client_id",
        "first_seq",
        "heard_at",
        "held",
        "held_bytes",
        "host",
        "inbox",
        "joined_seq",
        "loss",
        "name",
        "newest_timestamp",
        "number",
        "position",
        "probe_at",
        "probe_started_at",
        "questions",
        "received",
        "rtt",
        "said_apart",
        "said_at",
        "session_id",
        "traffic",
        "turn_at",
        "waits",
        "waits_for",
        "waits_since",
        "wake_at",
        "window",
    )

    def __init__(
        self, ids: MemberIds, host: Host, log: EventLog, settings: RoomSettings, now: float
    ) -> None:
        self.client_id = ids.client_id
        self.number = ids.number
        self.host = host
        self.name = ""
        self.address: Address = ()
        self.session_id = 0
        self.newest_timestamp = 0
        self.heard_at = now
        self.first_seq = self.joined_seq = log.latest + 1
        self.position = Position(log, log.latest, now)
        """In the room's log."""
        self.inbox = Inbox(ids.inbox_epoch, now)
        self.appended = 0
        """The newest message id in a log; `received` also counts those in `held`."""
        self.received = 0
        self.held: deque[Message] = deque()
        self.held_bytes = 0
        self.bytes_counted = 0
        """What memory.py last counted of `bytes_held`."""
        self.said_at = float("-inf")
        self.said_apart: set[int] = set()
        """Messages that are not appended, but in the log: it said them in another part of the
        room."""
        # These outlive a session: leaving and coming back renews nothing.
        self.bucket = TokenBucket(settings.message_rate, settings.message_burst, now)
        limited = settings.message_rate > 0
        self.questions = TokenBucket(OWN_QUESTIONS_PER_SECOND * limited, OWN_QUESTION_BURST, now)
        self.turn_at = 0.0
        """Whose turn it is to speak: see floor.py, for what follows too."""
        self.waits = 0
        """The number of the one entry of a queue that counts, 0 if it waits for nothing."""
        self.waits_for: Inbox | None = None
        self.waits_since = float("-inf")
        self.rtt = RttEstimator()
        self.loss = LossEstimate()
        self.window = SendWindow()
        self.traffic = Traffic(0)
        self.probe_started_at = float("-inf")
        self.probe_at = NEVER
        self.wake_at = NEVER
        """When the room next looks at this member; the one heap entry that counts."""

    @property
    def is_away(self) -> bool:
        """Whether it was in when another process began this room, and has not come back yet."""
        return not self.address

    def take_session_of(self, other: Member, now: float) -> None:
        """Becomes the member that another room knows by the same number."""
        self.session_id, self.address = other.session_id, other.address
        self.newest_timestamp, self.heard_at = other.newest_timestamp, other.heard_at
        self.rtt, self.loss = other.rtt, other.loss
        log = self.position.log
        self.position = Position(log, min(other.position.acked, log.latest), now)

    def bytes_held(self) -> int:
        """What the room holds for this member, beside what it holds for every one."""
        log = self.inbox.log
        return log.bytes_held + self.held_bytes + ENTRY_BYTES * (log.entry_count + len(self.held))

    def hold(self, message: Message) -> None:
        """Keeps a message until it may be put in order."""
        self.held.append(message)
        self.held_bytes += sys.getsizeof(message.text)

    def take_held(self) -> Message:
        """The oldest held message, which is not held any more."""
        message = self.held.popleft()
        self.held_bytes -= sys.getsizeof(message.text)
        return message

    def note_said_apart(self, message_id: int) -> None:
        """A message of this member is in the log that it has said in another part of the room. If
        it does not know that, it will say it here, too."""
        if message_id > self.received:
            self.said_apart.add(message_id)
            if len(self.said_apart) > SAID_APART_MAX:
                self.said_apart.remove(min(self.said_apart))

    def is_said_apart(self, message_id: int) -> bool:
        """Whether a message that it says here is in the log already; asked once for each."""
        if message_id not in self.said_apart:
            return False
        self.said_apart.remove(message_id)
        return True

    def hear(self, timestamp: int, now: float) -> bool:
        """Notes a datagram of this member; false if it is a late or replayed one."""
        if timestamp <= self.newest_timestamp:
            return False
        self.newest_timestamp = timestamp
        self.heard_at = now
        return True

    def drop_held(self) -> None:
        """Forgets what was received but not appended: the client still has it."""
        self.held.clear()
        self.held_bytes = 0
        self.waits_since = float("-inf")
        self.received = self.appended


class MemberTimers:
    """When the room next looks at each member: in the order of the deadlines, never a scan."""

    def __init__(self, members: Mapping[int, Member]) -> None:
        self._members = members
        self._heap: list[tuple[float, int]] = []
        """(when, session id); only an entry that equals its member's `wake_at` counts."""

    def __len__(self) -> int:
        return len(self._heap)

    def schedule(self, member: Member, at: float) -> None:
        """Makes the room look at a member at this time, unless it will do so earlier."""
        if at < member.wake_at:
            member.wake_at = at
            heapq.heappush(self._heap, (at, member.session_id))

    def next_at(self) -> float:
        """When the next member may be due; infinity if none."""
        return self._heap[0][0] if self._heap else NEVER

    def take_due(self, now: float) -> Iterator[Member]:
        """The members that are due; each is forgotten until it is scheduled again."""
        while self._heap and self._heap[0][0] <= now:
            at, session_id = heapq.heappop(self._heap)
            member = self._members.get(session_id)
            if member is not None and member.wake_at == at:
                member.wake_at = NEVER
                yield member
