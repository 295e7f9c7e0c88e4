"""What goes out of a room, to whom, and what is sent again after a loss.

Relaying, repair after loss, catching up and history are one mechanism: sending a slice of a log.

- **Broadcast.** Everything appended during one wake-up goes out together, in as few datagrams as
  hold it. Every member gets the same bytes.
- **Repair of a reported gap** (`repair_gap`). A member that misses events in the middle says so in
  its STATUS. It gets them at once.
- **Repair of a tail** (`repair_tails`). If a member does not acknowledge in time, the relay
  retransmits from its acknowledgement on. It waits twice as long before each further attempt. It
  does not matter why the acknowledgement is missing.

The relay sends each member a limited number of repairs a second, so that a slow link is not
flooded.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass
from typing import TypeAlias

from udp_chat.protocol.delivery import COPY_SPACING_SECONDS, NEVER, RTO_MIN_SECONDS, EventLog
from udp_chat.protocol.packets import Address, Answer, Events
from udp_chat.server.member import Member, Position
from udp_chat.server.state import RoomState

ACK_DELAY_MIN_SECONDS = 0.005
ACK_DELAY_PER_MEMBER_SECONDS = 0.001
"""A client waits between half of this delay and all of it. So a room of up to 2,000 gets some
1,300 acknowledgements a second at most, which take 3 % of a core."""

ACK_DELAY_MAX_SECONDS = 2.0

REPAIR_DATAGRAMS_MAX = 8
"""Datagrams in one answer to a reported gap: what a home router's queue takes at once."""

LATE_RATIO = 0.15
"""At most this part of the repairs may come late. A repair is needed if the slice or its
acknowledgement was lost. On a link that loses 10 % each way, that is a fifth: the relay then sends
two copies."""

REPEAT_MAX = 3
"""Events of the last second that a broadcast repeats on a network that loses. They cost bytes, and
they save a round trip to a member that missed them."""

REPEAT_WITHIN_SECONDS = 1.0

LOSS_REMEMBERED_SECONDS = 10.0
"""How long after a repair the room counts as lossy."""

CATCH_UP_SECONDS = 0.1
"""What a newcomer was sent is not sent again within this time, as long as its round trip is not
known."""

OVERDUE_CHECK_SECONDS = 0.01
"""Between two searches for members that are late. A hundred a second cost 1 % of a core in a room
of a thousand."""

Outgoing: TypeAlias = tuple[bytes, tuple[Address, ...]]
"""One datagram and everyone it goes to."""


@dataclass(frozen=True, slots=True)
class LogRange:
    """Which events to send, and in how many datagrams at most."""

    first: int = 0
    """At the earliest; 0: from the acknowledgement on."""
    until: int | None = None
    """None: to the end of the log."""
    datagrams_max: int = REPAIR_DATAGRAMS_MAX


@dataclass(frozen=True, slots=True)
class Marks:
    """What an EVENTS says beside its events. The fields are those of the packet."""

    ask: bool = False
    repair: bool = False
    answer: Answer | None = None
    padded: bool = False
    """Padded if more is to follow: datagrams of one size go out as one train. The last one of a
    train may be shorter."""


_NEW = Marks()
_PROBE = Marks(ask=True)
_REPAIR = Marks(repair=True)
_BROADCAST = Marks(padded=True)


class Relay:
    """Sends slices of the room's log and of its members' inboxes. Not thread-safe.

    `now` is one monotonic clock, in seconds.
    """

    def __init__(self, state: RoomState) -> None:
        self.broadcast_count = 0
        """Datagrams that went to every member."""
        self._log = state.log
        self._members = state.register.members
        self._timers = state.timers
        self._counters = state.counters
        self._outgoing: list[Outgoing] = []
        self._addresses: tuple[Address, ...] | None = None
        self._broadcast_seq = 0
        """The newest event that has been broadcast."""
        self._grown_inboxes: dict[int, int] = {}
        """By session id: the first event of the inbox to send."""
        self._answers: dict[int, int] = {}
        """By session id: the timestamp to echo."""
        self._copies: list[tuple[float, int, bytes, Address]] = []
        """A heap of (when, number, datagram, address): further copies for links that lose."""
        self._copy_number = 0
        self._overdue_check_at = NEVER
        self._checked_seq = 0
        """Events up to here were looked for in the acknowledgements."""
        self._loss_seen_at = float("-inf")

    # --- what the room calls -----------------------------------------------------------------

    def send(self, datagram: bytes, address: Address) -> None:
        """Sends one datagram to one address."""
        self._outgoing.append((datagram, (address,)))

    def addresses_changed(self) -> None:
        """Must be called when a member came, went or moved."""
        self._addresses = None

    def answer(self, member: Member, timestamp: int) -> None:
        """Answers a member's datagram with this timestamp; of several in one wake-up, the last."""
        self._answers[member.session_id] = timestamp

    def probe(self, member: Member, now: float) -> None:
        """Asks a member for a STATUS."""
        self._send_events(member, self._build(self._log, self._log.latest + 1, _PROBE, now)[0])

    def catch_up(self, member: Member, now: float) -> None:
        """Sends a member that has just joined its history and what it missed.

        A JOIN is often repeated. The answer to an earlier one may still be on its way; the room
        does not send that again.
        """
        on_its_way_seconds = member.rtt.srtt or CATCH_UP_SECONDS
        position, inbox = member.position, member.inbox
        if now - position.repaired_at >= on_its_way_seconds:
            position.attempts = 0
            position.repaired_at = now
            self._send_slices(member, position, LogRange(), _NEW, now)
        if inbox.behind:
            sent_at = max(inbox.log.sent_at(inbox.next_seq), inbox.repaired_at)
            if now - sent_at >= on_its_way_seconds:
                inbox.repaired_at = now
                self._grown_inboxes[member.session_id] = inbox.next_seq

    def inbox_grew(self, member: Member, now: float) -> None:
        """Sends what was appended to a member's inbox."""
        self._grown_inboxes.setdefault(member.session_id, member.inbox.sent_until + 1)
        self._timers.schedule(member, now + ACK_DELAY_MIN_SECONDS + member.rtt.rto)

    def inbox_acknowledged(self, member: Member) -> None:
        """Sends the next part of an inbox that was too long to send at once.

        So each acknowledgement brings the next part, and no gap has to be reported first.
        """
        if member.inbox.sent_until < member.inbox.log.latest:
            self._grown_inboxes.setdefault(member.session_id, member.inbox.sent_until + 1)

    def repair_gap(self, member: Member, position: Position, gap_end: int, now: float) -> None:
        """Sends what a member reports as missing, unless it may still be on its way."""
        if not position.behind:
            return
        sent_at = max(position.log.sent_at(position.next_seq), position.repaired_at)
        if now - sent_at < 0.9 * member.rtt.srtt:
            return
        self._counters["gap repairs"] += 1
        self._repair(member, position, LogRange(until=gap_end), now)

    def repair_tails(self, member: Member, now: float) -> None:
        """Sends the beginning of what a member has not acknowledged in time."""
        for position in (member.position, member.inbox):
            if self._repair_due(member, position) <= now:
                self._counters["tail repairs"] += 1
                self._repair(member, position, LogRange(datagrams_max=1), now)

    def repair_due(self, member: Member) -> float:
        """When `repair_tails` is needed next."""
        return min(self._repair_due(member, at) for at in (member.position, member.inbox))

    def ack_delay_ms(self) -> int:
        """How long a member may wait with an acknowledgement."""
        seconds = ACK_DELAY_PER_MEMBER_SECONDS * len(self._members)
        return int(1000 * min(max(seconds, ACK_DELAY_MIN_SECONDS), ACK_DELAY_MAX_SECONDS))

    def handle_timeout(self, now: float) -> None:
        """Does what is due."""
        while self._copies and self._copies[0][0] <= now:
            _, _, datagram, address = heapq.heappop(self._copies)
            self.send(datagram, address)
        if self._overdue_check_at <= now:
            self._schedule_overdue(now)

    def next_timeout(self) -> float:
        """When `handle_timeout` is needed next."""
        copies_at = self._copies[0][0] if self._copies else NEVER
        return min(self._overdue_check_at, copies_at)

    def datagrams_to_send(self, now: float) -> list[Outgoing]:
        """What has to go out now, each datagram with all its addresses."""
        self._broadcast(now)
        for session_id, first in self._grown_inboxes.items():
            member = self._members.get(session_id)
            if member is not None:
                self._send_slices(member, member.inbox, LogRange(first), _NEW, now)
        self._grown_inboxes.clear()
        for session_id, timestamp in self._answers.items():
            member = self._members.get(session_id)
            if member is not None:
                answer = Answer(
                    timestamp,
                    member.received,
                    member.appended,
                    member.inbox.log.latest,
                    member.traffic.sent(self.broadcast_count) & 0xFFFFFFFF,
                )
                marks = Marks(answer=answer)
                datagram, _ = self._build(self._log, self._log.latest + 1, marks, now)
                self._send_events(member, datagram)
        self._answers.clear()
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    # --- repair ------------------------------------------------------------------------------

    def _repair(self, member: Member, position: Position, part: LogRange, now: float) -> None:
        """Sends a part of a log again, in several copies if the link loses much."""
        position.repaired_at = self._loss_seen_at = now
        position.attempts += 1
        member.loss.update(lost=True)
        already = len(self._outgoing)
        self._send_slices(member, position, part, _REPAIR, now)
        copies = member.loss.copies(LATE_RATIO) if part.datagrams_max == 1 else 1
        for copy in range(1, copies):
            for datagram, _ in self._outgoing[already:]:
                if position.repair_bucket.take(1, now):
                    self._copy_number += 1
                    member.traffic.sent_alone += 1
                    at = now + copy * COPY_SPACING_SECONDS
                    entry = (at, self._copy_number, datagram, member.address)
                    heapq.heappush(self._copies, entry)
        self._timers.schedule(member, self._repair_due(member, position))

    def _repair_due(self, member: Member, position: Position) -> float:
        """When a member that stays silent about this log is sent its slice (again)."""
        if not position.behind:
            return NEVER
        sent_at = max(position.log.sent_at(position.next_seq), position.repaired_at)
        due = sent_at + self.ack_delay_ms() / 1000 + member.rtt.backed_off(position.attempts)
        return max(due, position.repair_bucket.ready_at(1))

    def _schedule_overdue(self, now: float) -> None:
        """Schedules the repair of members that have not acknowledged older broadcasts.

        It looks at all members once per OVERDUE_CHECK_SECONDS at most, however many messages are
        said. A broadcast itself costs nothing per member.
        """
        log, due = self._log, now - self._overdue_after_seconds()
        seq = max(self._checked_seq, log.oldest - 1)
        while seq < log.latest and log.sent_at(seq + 1) <= due:
            seq += 1
        self._checked_seq = seq
        for member in [m for m in self._members.values() if m.position.acked < seq]:
            self._timers.schedule(member, self._repair_due(member, member.position))
        self._overdue_check_at = NEVER
        if seq < log.latest:
            next_at = log.sent_at(seq + 1) + self._overdue_after_seconds()
            self._overdue_check_at = max(next_at, now + OVERDUE_CHECK_SECONDS)

    def _overdue_after_seconds(self) -> float:
        """The earliest age at which an event without acknowledgement is overdue."""
        return self.ack_delay_ms() / 1000 + RTO_MIN_SECONDS

    # --- building datagrams ------------------------------------------------------------------

    def _broadcast(self, now: float) -> None:
        """Sends everyone what was appended since the last time, in as few datagrams as hold it."""
        log = self._log
        first = self._broadcast_seq + 1
        self._broadcast_seq = log.latest
        if not self._members or first > log.latest:
            return
        if self._addresses is None:
            self._addresses = tuple(member.address for member in self._members.values())
        first = max(first, log.oldest)
        datagram, after = self._build(log, self._repeat_from(first, now), _BROADCAST, now)
        if after <= first:  # the repeated events left no space for new ones: then without them
            datagram, after = self._build(log, first, _BROADCAST, now)
        self._outgoing.append((datagram, self._addresses))
        self.broadcast_count += 1
        while after <= log.latest:
            datagram, after = self._build(log, after, _BROADCAST, now)
            self._outgoing.append((datagram, self._addresses))
            self.broadcast_count += 1
        if self._overdue_check_at == NEVER:
            self._overdue_check_at = now + self._overdue_after_seconds()

    def _repeat_from(self, first: int, now: float) -> int:
        """Where a broadcast of new events, from `first` on, begins: earlier where links lose."""
        if now - self._loss_seen_at > LOSS_REMEMBERED_SECONDS:
            return first
        since = now - REPEAT_WITHIN_SECONDS
        start = first
        while (
            start > max(self._log.oldest, first - REPEAT_MAX)
            and self._log.sent_at(start - 1) >= since
        ):
            start -= 1
        return start

    def _send_slices(
        self, member: Member, position: Position, part: LogRange, marks: Marks, now: float
    ) -> None:
        """Sends a part of one log to one member, as far as the member's rate allows."""
        log = position.log
        after = max(part.first, position.next_seq)
        until = self._sendable(log)
        if part.until is not None:
            until = min(until, part.until)
        left = part.datagrams_max
        while after <= until and left and position.repair_bucket.take(1, now):
            datagram, after = self._build(log, after, marks, now)
            self._send_events(member, datagram)
            member.traffic.repaired += marks.repair
            left -= 1
        if position is member.inbox:
            member.inbox.sent_until = max(member.inbox.sent_until, after - 1)

    def _send_events(self, member: Member, datagram: bytes) -> None:
        member.traffic.sent_alone += 1
        self.send(datagram, member.address)

    def _sendable(self, log: EventLog) -> int:
        """The last event to send. Events that were not broadcast yet will go to everyone soon."""
        return self._broadcast_seq if log is self._log else log.latest

    def _build(self, log: EventLog, first: int, marks: Marks, now: float) -> tuple[bytes, int]:
        """An EVENTS with what fits of a log from `first` on, and the event that follows it."""
        encoded = log.slice(first, self._sendable(log), Events.EVENTS_BYTES_MAX)
        after = first + len(encoded)
        packet = Events(
            log.epoch,
            int(now * 1e6),
            log.oldest,
            log.latest,
            first,
            (),
            log is not self._log,
            marks.ask,
            marks.repair,
            self.ack_delay_ms(),
            marks.answer,
            marks.padded and after <= log.latest,
        )
        return packet.encode_with(encoded), after
