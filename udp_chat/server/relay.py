"""What goes out of a room, to whom, and what is sent again after a loss.

Relaying, repair after loss, catching up and history are one mechanism: sending a slice of a log.

- **Broadcast.** Everything appended during one wake-up goes out together, in as few datagrams as
  hold it. Every member gets the same bytes.
- **Full links.** A member whose link is full gets datagrams of its own, as its window allows
  (congestion.py): fewer, and fuller. Where the links of most members are full, the room waits.
- **Repair of a reported gap** (`repair_gap`). A member that misses events in the middle says so in
  its STATUS. It gets them at once.
- **Repair of a tail** (`repair_tails`). If a member does not acknowledge in time, the relay
  retransmits from its acknowledgement on, and waits longer before each further attempt. It does
  not matter why the acknowledgement is missing.
- **Redundancy.** Where a link loses and has room, repairs are sent in several copies, and in a calm
  room some broadcasts, too. A link that loses nothing gets none.

The relay sends each member a limited number of repairs a second.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, replace
from typing import TypeAlias

from udp_chat.protocol.delivery import (
    COPY_SPACING_SECONDS,
    NEVER,
    RTO_MIN_SECONDS,
    TAIL_MARGIN_SECONDS,
    EventLog,
    LossEstimate,
    RttEstimator,
)
from udp_chat.protocol.packets import DATAGRAM_BYTES_MAX, Address, Answer, Events
from udp_chat.server.congestion import SHORT_QUEUE_SECONDS, SendWindow
from udp_chat.server.member import Member, Position
from udp_chat.server.state import RoomState

ACK_DELAY_CALM_SECONDS = 0.001
ACK_DELAY_MIN_SECONDS = 0.005
ACK_DELAY_PER_MEMBER_SECONDS = 0.001
"""A client waits between half of this delay and all of it. So a room of up to 2,000 gets some
1,300 acknowledgements a second at most, which take 3 % of a core."""

ACK_DELAY_MAX_SECONDS = 2.0

REPAIR_DATAGRAMS_MAX = 8
"""Datagrams in one answer to a reported gap: what a home router's queue takes at once."""

STOOD_STILL_SECONDS = 0.5
"""A member that seems to have a longer queue is more likely one whose program stood still. What
was sent to it meanwhile is lost, not on its way."""

REORDER_RATIO = 0.25
"""Of the shortest round trip: so much later may a datagram be sent that overtakes another one
(RFC 8985 §6.2)."""

LATE_RATIO = 0.15
"""At most this part of the repairs may come late. A repair is needed if the slice or its
acknowledgement was lost. On a link that loses 10 % each way, that is a fifth: the relay then sends
two copies."""

REPAIR_COPIES_MAX = 8
"""Of one repair where links lose in bursts: then the copies are lost together."""

FAILED_RATIO = 0.05
"""So many repairs may fail, beside those whose acknowledgement is lost. Where more fail, more
copies are sent."""

LOSSY_RATIO = 0.004
"""A link that needs more repairs than this is one that loses."""

COPIED_RATIO_MAX = 0.1
COPY_EACH = 4
"""In a calm room each fourth broadcast is sent twice to members whose link loses up to so much: a
quarter of the datagrams. It keeps the 99th percentile of the latency from being that of a repair.
On a link that loses more, it is anyway, and the datagrams serve better as copies of repairs."""

CALM_DELIVERIES = 400.0
"""A second. A room with fewer is calm: what saves time there costs hardly any CPU."""

PACE_GAIN = 1 / 8
"""Of the moving average of the time between two broadcasts."""

PAUSE_MAX_SECONDS = 1.0

REPEAT_MAX = 3
"""Events of the last second that a broadcast repeats on a network that loses. They cost bytes, and
they save a round trip to a member that missed them."""

REPEAT_WITHIN_SECONDS = 1.0

ROOM_AFTER_SECONDS = 2.0
"""So long after a queue was seen, the room sends nothing that is not needed."""

FREE_EACH_SECONDS = 0.5
"""Between two members whose links are no longer taken for full."""

WAITING_BYTES_MAX = 3 * DATAGRAM_BYTES_MAX
"""If more than this waits for the windows of most members, the room takes no messages in."""

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
        self._copies: list[tuple[float, int, Outgoing]] = []
        """A heap of (when, number, what): further copies for links that lose."""
        self._copy_number = 0
        self._overdue_check_at = NEVER
        self._checked_seq = 0
        """Events up to here were looked for in the acknowledgements."""
        self._limited: dict[int, Member] = {}
        """By session id: members whose link is full. Each is sent what its window allows."""
        self._loss = LossEstimate()
        """Of all members: a newcomer's link counts as like the others'."""
        self._broadcast_at = float("-inf")
        self._pause_seconds = PAUSE_MAX_SECONDS
        """Between two broadcasts, on average."""
        self._soonest_seconds = 0.0
        """The shortest timeout of a member."""
        self._copy_turn = 0
        self._repair_copies = 2.0
        """Of one repair: one more for each that fails, a little fewer for each that arrives. So the
        ratio of failures settles (Robbins and Monro 1951)."""
        self._freed_at = float("-inf")
        self._queue_seen_at = float("-inf")
        """When a member's round trip last showed a queue."""

    # --- what the room calls -----------------------------------------------------------------

    def log_begun(self) -> None:
        """Must be called when the log was begun with what another process wrote: that process has
        sent it."""
        self._broadcast_seq = self._checked_seq = self._log.latest

    def send(self, datagram: bytes, address: Address) -> None:
        """Sends one datagram to one address; to a member that is away, nothing."""
        if address:
            self._outgoing.append((datagram, (address,)))

    def addresses_changed(self) -> None:
        """Must be called when a member came, went or moved."""
        self._addresses = None

    def answer(self, member: Member, timestamp: int) -> None:
        """Answers a member's datagram with this timestamp; of several in one wake-up, the last."""
        self._answers[member.session_id] = timestamp

    def probe(self, member: Member, now: float) -> None:
        """Asks a member for a STATUS."""
        self._send_empty(member, _PROBE, now)

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

    def acknowledged(self, member: Member, ack: int, now: float) -> None:
        """Takes the acknowledgement of a STATUS, whose round trip has been measured."""
        position, window, rtt = member.position, member.window, member.rtt
        before, repairs, repaired_at = position.acked, position.attempts, position.repaired_at
        has_room = rtt.queue_seconds < SHORT_QUEUE_SECONDS
        if not has_room:
            self._queue_seen_at = now
        if not position.acknowledge(ack):
            return
        if not window.is_limited:
            if window.is_full(rtt, self.ack_delay_ms() / 1000):
                self._limit(member, now)
            if not has_room:
                return  # what is lost there says nothing of its luck
            # An answer within less than a round trip cannot be one to the repair.
            lost = repairs > 0 and now - repaired_at >= 0.9 * rtt.base
            member.loss.update(lost=lost)
            self._loss.update(lost=lost)
            if lost:
                failed_ratio = FAILED_RATIO + self._loss.ratio / 2
                fewer = failed_ratio / (1 - failed_ratio)
                self._repair_copies = max(1.0, self._repair_copies - fewer)
            return
        log = self._log
        size_bytes = log.bytes_from(before + 1) - log.bytes_from(ack + 1)
        waits = log.bytes_from(position.sent_until + 1) >= Events.EVENTS_BYTES_MAX
        window.acknowledged(size_bytes, rtt, now, sharers=len(self._limited), waits=waits)
        # One by one: if they share a link, all together would fill it at once.
        if window.may_end(now) and now - self._freed_at >= FREE_EACH_SECONDS:
            self._counters["freed links"] += 1
            self._freed_at = now
            window.end(now)
            del self._limited[member.session_id]
            self._addresses = None
        self._push(member, now)

    def _limit(self, member: Member, now: float) -> None:
        """From now on this member is sent what its window allows."""
        self._counters["full links"] += 1
        member.window.limit(now)
        member.position.sent_until = self._broadcast_seq
        member.position.pushed_at = now
        self._limited[member.session_id] = member
        self._addresses = None
        if member.rtt.queue_seconds > STOOD_STILL_SECONDS:
            self.probe(member, now)  # its answer tells what it has lost

    def forget_link(self, member: Member) -> None:
        """Must be called when a member has gone or has moved to another host: what was measured
        of its link is not true of the next one."""
        self._limited.pop(member.session_id, None)
        member.window, member.rtt = SendWindow(), RttEstimator()
        self._addresses = None

    def links_are_full(self) -> bool:
        """Whether the links of most members are full, and more waits for a quarter of those than
        may: then the room takes nothing in.

        A minority on slow links is not waited for, nor are members that fall silent.
        """
        limited = self._limited
        if 2 * len(limited) <= len(self._members):
            return False
        log = self._log
        waiting = sum(
            log.bytes_from(member.position.sent_until + 1) > WAITING_BYTES_MAX
            for member in limited.values()
            if member.position.attempts < 2
        )
        if 4 * waiting <= len(limited):
            return False
        self._counters["waits for links"] += 1
        return True

    def repair_gap(
        self, member: Member, position: Position, gap_end: int, echoed_at: float, now: float
    ) -> None:
        """Sends what a member reports as missing, unless it may still be on its way.

        What was sent before a datagram that has arrived (`echoed_at`: when that was sent) is lost,
        however long the round trip seems to be (RACK, RFC 8985). A member whose program stood still
        reports its gap with an echo of long ago, so its round trip seems to be very long.
        """
        if not position.behind:
            return
        if position is member.inbox and position.next_seq >= self._grown_inboxes.get(
            member.session_id, math.inf
        ):
            return  # it goes out in this wake-up anyway
        sent_at = max(position.log.sent_at(position.next_seq), position.repaired_at)
        if echoed_at <= sent_at + REORDER_RATIO * member.rtt.base and (
            now - sent_at < 0.9 * member.rtt.srtt
        ):
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
        if self._is_calm:
            return int(1000 * ACK_DELAY_CALM_SECONDS)
        seconds = ACK_DELAY_PER_MEMBER_SECONDS * len(self._members)
        return int(1000 * min(max(seconds, ACK_DELAY_MIN_SECONDS), ACK_DELAY_MAX_SECONDS))

    def handle_timeout(self, now: float) -> None:
        """Does what is due."""
        while self._copies and self._copies[0][0] <= now:
            self._outgoing.append(heapq.heappop(self._copies)[2])
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
                self._send_answer(member, timestamp, now)
        self._answers.clear()
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def _send_answer(self, member: Member, timestamp: int, now: float) -> None:
        # The client takes it that what is appended is in the log up to `latest`.
        appended = member.appended if self._latest_for(member) == self._log.latest else 0
        sent_count = member.traffic.sent(self.broadcast_count) & 0xFFFFFFFF
        inbox_latest = member.inbox.log.latest
        answer = Answer(timestamp, member.received, appended, inbox_latest, sent_count)
        self._send_empty(member, Marks(answer=answer), now)

    def _send_empty(self, member: Member, marks: Marks, now: float) -> None:
        """Sends an EVENTS without events."""
        latest = self._latest_for(member)
        self._send_events(member, self._encode(self._log, (latest + 1, latest), [], marks, now))

    def _latest_for(self, member: Member) -> int:
        """Where the room's log ends for a member: what waits for its window is not missing yet."""
        log, position = self._log, member.position
        if not member.window.is_limited:
            return log.latest
        return max(position.sent_until, position.acked, log.oldest - 1)

    # --- repair ------------------------------------------------------------------------------

    def _repair(self, member: Member, position: Position, part: LogRange, now: float) -> None:
        """Sends a part of a log again, in several copies if the link loses much."""
        if position.attempts == 1:
            self._repair_copies = min(self._repair_copies + 1.0, REPAIR_COPIES_MAX)
        position.repaired_at = now
        position.attempts += 1
        already = len(self._outgoing)
        if member.window.is_limited and position is member.position:
            after = position.next_seq
            until = min(position.sent_until, part.until or position.sent_until)
            left_bytes = member.window.bytes
            while after <= until and left_bytes > 0:
                after = self._push_one(member, after, _REPAIR, now)
                left_bytes -= DATAGRAM_BYTES_MAX
        else:
            self._send_slices(member, position, part, _REPAIR, now)
        if member.window.is_limited:
            member.window.lost(member.rtt, now)
        elif part.datagrams_max == 1 and member.rtt.queue_seconds < SHORT_QUEUE_SECONDS:
            copies = member.loss.copies(LATE_RATIO)
            if self._is_calm:
                copies = max(copies, int(self._repair_copies))
            for datagram, addresses in self._outgoing[already:]:
                for copy in range(1, copies):
                    if position.repair_bucket.take(1, now):
                        member.traffic.sent_alone += 1
                        position.pushed_at = now + copy * COPY_SPACING_SECONDS
                        self._send_later((datagram, addresses), position.pushed_at)
        self._timers.schedule(member, self._repair_due(member, position))

    def _send_later(self, what: Outgoing, at: float) -> None:
        self._copy_number += 1
        heapq.heappush(self._copies, (at, self._copy_number, what))

    def _repair_due(self, member: Member, position: Position) -> float:
        """When a member that stays silent about this log is sent its slice (again)."""
        if not position.behind:
            return NEVER
        rtt, attempts = member.rtt, position.attempts
        if member.window.is_limited and position is member.position:
            if position.sent_until <= position.acked:
                return NEVER  # what waits for the window is not late
            sent_at, ack_delay_seconds = position.pushed_at, 0.0
            is_quick = True
        else:
            sent_at = max(position.log.sent_at(position.next_seq), position.pushed_at)
            ack_delay_seconds = self.ack_delay_ms() / 1000
            is_quick = self._is_calm
        due = max(sent_at, position.repaired_at) + ack_delay_seconds
        if attempts > 1:
            due += rtt.backed_off(attempts - 1)
        else:
            due += rtt.tail_timeout if is_quick else rtt.rto
        # Where datagrams wait in a queue, they are late more often than lost.
        due += rtt.queue_seconds * (0.5 if member.window.is_limited else 2.0)
        return max(due, position.repair_bucket.ready_at(1))

    def _schedule_overdue(self, now: float) -> None:
        """Schedules the repair of members that have not acknowledged older broadcasts.

        It looks at all members once per OVERDUE_CHECK_SECONDS at most, however many messages are
        said. A broadcast itself costs nothing per member.
        """
        log, due = self._log, now - self._overdue_after_seconds()
        seq = max(self._checked_seq, log.last_sent_by(due))
        soonest, acked = NEVER, log.latest
        for member in self._members.values():
            soonest = min(soonest, member.rtt.tail_timeout)
            acked = min(acked, member.position.acked)
            if member.position.acked < seq:
                self._timers.schedule(member, self._repair_due(member, member.position))
        self._soonest_seconds = soonest
        seq = self._checked_seq = max(seq, acked)  # what all have need not be looked for again
        self._overdue_check_at = NEVER
        if seq < log.latest:
            next_at = log.sent_at(seq + 1) + self._overdue_after_seconds()
            self._overdue_check_at = max(next_at, now + OVERDUE_CHECK_SECONDS)

    def _overdue_after_seconds(self) -> float:
        """The earliest age at which an event without acknowledgement is overdue."""
        timeout = RTO_MIN_SECONDS
        if self._is_calm:
            timeout = min(max(self._soonest_seconds, TAIL_MARGIN_SECONDS), timeout)
        return self.ack_delay_ms() / 1000 + timeout

    @property
    def _is_calm(self) -> bool:
        return len(self._members) <= CALM_DELIVERIES * self._pause_seconds

    # --- building datagrams ------------------------------------------------------------------

    def _broadcast(self, now: float) -> None:
        """Sends everyone what was appended since the last time, in as few datagrams as hold it."""
        log = self._log
        first = self._broadcast_seq + 1
        self._broadcast_seq = log.latest
        if not self._members or first > log.latest:
            return
        pause = min(now - self._broadcast_at, PAUSE_MAX_SECONDS)
        self._broadcast_at = now
        self._pause_seconds += (pause - self._pause_seconds) * PACE_GAIN
        if self._addresses is None:
            self._addresses = tuple(
                member.address
                for session_id, member in self._members.items()
                if session_id not in self._limited and member.address
            )
        if self._addresses:
            self._broadcast_to(self._addresses, max(first, log.oldest), now)
        for member in self._limited.values():
            self._push(member, now)
        if self._overdue_check_at == NEVER:
            self._overdue_check_at = now + self._overdue_after_seconds()

    def _broadcast_to(self, addresses: tuple[Address, ...], first: int, now: float) -> None:
        """Sends what is new, from `first` on, to all whose link is not full."""
        log = self._log
        datagram, after = self._build(log, self._repeat_from(first, now), _BROADCAST, now)
        if after <= first:  # the repeated events left no space for new ones: then without them
            datagram, after = self._build(log, first, _BROADCAST, now)
        self._outgoing.append((datagram, addresses))
        count = 1
        if after > log.latest:
            self._copy_broadcast(datagram, now)
        while after <= log.latest:
            datagram, after = self._build(log, after, _BROADCAST, now)
            self._outgoing.append((datagram, addresses))
            count += 1
        self.broadcast_count += count
        for member in self._limited.values():
            member.traffic.broadcast_base += count

    def _copy_broadcast(self, datagram: bytes, now: float) -> None:
        """In a calm room: sends some broadcasts twice to members whose link loses."""
        if not self._may_repeat(now):
            return
        self._copy_turn += 1
        if self._copy_turn % COPY_EACH:
            return
        lossy = [m for m in self._members.values() if self._is_worth_copies(m)]
        if lossy:
            for member in lossy:
                member.traffic.sent_alone += 1
            addresses = tuple(member.address for member in lossy)
            self._send_later((datagram, addresses), now + COPY_SPACING_SECONDS)

    def _is_worth_copies(self, member: Member) -> bool:
        """Whether a link loses a little, by bad luck."""
        if member.window.is_limited or member.is_away:
            return False
        member.loss.prior = self._loss.ratio
        return LOSSY_RATIO < member.loss.ratio < COPIED_RATIO_MAX

    def _may_repeat(self, now: float) -> bool:
        """Whether the room is calm and no link has shown a queue lately."""
        return self._is_calm and now - self._queue_seen_at > ROOM_AFTER_SECONDS

    def _repeat_from(self, first: int, now: float) -> int:
        """Where a broadcast of new events, from `first` on, begins: earlier where links lose."""
        if self._loss.ratio <= LOSSY_RATIO or not self._may_repeat(now):
            return first
        since = now - REPEAT_WITHIN_SECONDS
        start = first
        while (
            start > max(self._log.oldest, first - REPEAT_MAX)
            and self._log.sent_at(start - 1) >= since
        ):
            start -= 1
        return start

    def _push(self, member: Member, now: float) -> None:
        """Sends a limited member what its window allows.

        While something is on its way, only full datagrams follow it: what is said meanwhile waits
        for the acknowledgement, and goes out together (Nagle's algorithm, RFC 896).
        """
        log, position, window = self._log, member.position, member.window
        position.sent_until = max(position.sent_until, position.acked)
        while position.sent_until < self._broadcast_seq:
            first = max(position.sent_until + 1, log.oldest)
            waiting_bytes = log.bytes_from(first)
            on_way_bytes = log.bytes_from(position.acked + 1) - waiting_bytes
            if (
                on_way_bytes > 0
                and window.is_limited
                and (
                    waiting_bytes < Events.EVENTS_BYTES_MAX
                    or on_way_bytes + Events.EVENTS_BYTES_MAX > window.bytes
                )
            ):
                break
            self._push_one(member, first, _PROBE, now)

    def _push_one(self, member: Member, first: int, marks: Marks, now: float) -> int:
        """Sends a limited member one datagram of events and asks for an acknowledgement at once.

        It is told only of what was sent: what waits for its window is not missing.
        """
        log, position = self._log, member.position
        encoded = log.slice(first, self._broadcast_seq, Events.EVENTS_BYTES_MAX)
        position.sent_until = max(position.sent_until, first + len(encoded) - 1)
        position.pushed_at = now
        latest = self._latest_for(member)
        self._send_events(member, self._encode(log, (first, latest), encoded, marks, now))
        member.traffic.repaired += marks.repair
        self._timers.schedule(member, self._repair_due(member, position))
        return first + len(encoded)

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
            left -= 1
            # The rest of an inbox waits for an acknowledgement, which is asked for at once: in a
            # large room it would come seconds later.
            if log is not self._log and not left:
                marks = replace(marks, ask=True)
            datagram, after = self._build(log, after, marks, now)
            self._send_events(member, datagram)
            member.traffic.repaired += marks.repair
        position.sent_until = max(position.sent_until, after - 1)

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
        return self._encode(log, (first, log.latest), encoded, marks, now), after

    def _encode(
        self, log: EventLog, bounds: tuple[int, int], encoded: list[bytes], marks: Marks, now: float
    ) -> bytes:
        """An EVENTS of encoded events. `bounds`: the number of the first, and of the newest that
        the member is to know of."""
        first, latest = bounds
        packet = Events(
            log.epoch,
            int(now * 1e6),
            log.oldest,
            latest,
            first,
            (),
            log is not self._log,
            marks.ask,
            marks.repair,
            self.ack_delay_ms(),
            marks.answer,
            marks.padded and first + len(encoded) <= latest,
        )
        return packet.encode_with(encoded)
