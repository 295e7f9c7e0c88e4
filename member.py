"""A member as the room knows it: its address, its place in each log, its link, its rate, its timer.

State and its smallest rules only; what is done about it, the room and its relay decide.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator, Mapping

from delivery import EventLog, LossEstimate, RttEstimator, TokenBucket
from protocol import Address, Message

REPAIRS_PER_SECOND = 200.0
REPAIR_BURST = 64
"""Repairs to one member: enough to catch up in seconds, too little to drown a bad link."""

INBOX_ENTRIES_MAX = 2048
INBOX_BYTES_MAX = 1024 * 1024
"""An inbox holds what its member has not yet acknowledged; enough for a roster of thousands."""


class Place:
    """Where one peer is in one log."""

    __slots__ = ("acked", "attempts", "log", "repaired_at")

    def __init__(self, log: EventLog, acked: int) -> None:
        self.log = log
        self.acked = acked
        self.attempts = 0
        """Repairs since the acknowledgement last moved."""
        self.repaired_at = float("-inf")

    @property
    def behind(self) -> bool:
        return self.acked < self.log.latest

    @property
    def next_seq(self) -> int:
        """The first event to send again; later than the acknowledgement where events were lost."""
        return max(self.acked + 1, self.log.oldest)

    def acknowledge(self, ack: int) -> bool:
        """Takes a cumulative acknowledgement; true if it says something new."""
        if ack <= self.acked:
            return False
        self.acked = ack
        self.attempts = 0
        return True


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

    def count(self, size: int, timestamp: int, newest: bool) -> None:
        """Counts a datagram of the client; `newest` if no later one came before it."""
        self.received += 1
        self.received_bytes += size
        if not newest:
            if timestamp in self._recent:
                self.duplicated += 1
            else:
                self.reordered += 1
        self._recent.append(timestamp)


class Member:
    """A client as the room knows it, from its first JOIN until it is forgotten."""

    __slots__ = (
        "address",
        "appended",
        "bucket",
        "client_id",
        "first_seq",
        "heard_at",
        "held",
        "inbox",
        "joined_seq",
        "loss",
        "name",
        "newest_timestamp",
        "number",
        "probe_at",
        "probe_started_at",
        "received",
        "repair_bucket",
        "room",
        "rtt",
        "said_at",
        "session_id",
        "traffic",
        "wake_at",
    )

    def __init__(
        self, client_id: int, number: int, log: EventLog, inbox_epoch: int, now: float
    ) -> None:
        self.client_id = client_id
        self.number = number
        self.name = ""
        self.address: Address = ()
        self.session_id = 0
        self.newest_timestamp = 0
        self.heard_at = now
        self.first_seq = self.joined_seq = log.latest + 1
        self.room = Place(log, log.latest)
        self.inbox = Place(EventLog(inbox_epoch, INBOX_ENTRIES_MAX, INBOX_BYTES_MAX), 0)
        self.appended = 0
        """The newest message id in a log; `received` also counts those in `held`."""
        self.received = 0
        self.held: deque[Message] = deque()
        self.said_at = float("-inf")
        self.bucket = TokenBucket(0, 0, now)
        self.repair_bucket = TokenBucket(REPAIRS_PER_SECOND, REPAIR_BURST, now)
        self.rtt = RttEstimator()
        self.loss = LossEstimate()
        self.traffic = Traffic(0)
        self.probe_started_at = float("-inf")
        self.probe_at = float("inf")
        self.wake_at = float("inf")
        """When the room next looks at this member; the one heap entry that counts."""

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
        """Has the room look at a member at this time, or earlier if it would anyway."""
        if at < member.wake_at:
            member.wake_at = at
            heapq.heappush(self._heap, (at, member.session_id))

    def next_at(self) -> float:
        """When the next member may be due; infinity if none."""
        return self._heap[0][0] if self._heap else float("inf")

    def take_due(self, now: float) -> Iterator[Member]:
        """The members that are due; each is forgotten until it is scheduled again."""
        while self._heap and self._heap[0][0] <= now:
            at, session_id = heapq.heappop(self._heap)
            member = self._members.get(session_id)
            if member is not None and member.wake_at == at:
                member.wake_at = float("inf")
                yield member
