"""What goes out of a room, to whom, and when it goes again.

Relaying, coalescing, repair after loss, catching up and history are one mechanism: sending a slice
of a log. What was appended during one wake-up is broadcast in as few datagrams as hold it, the
same bytes to every member. Who reports a gap is sent it at once. Who does not acknowledge is sent
the slice from its acknowledgement on, with back-off, whatever the reason: loss, a dropped link, or
having come late. A member is sent at most so many repairs a second, so that none drowns.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias

from udp_chat.protocol.delivery import COPY_SPACING_SECONDS, NEVER, RTO_MIN_SECONDS, EventLog
from udp_chat.protocol.packets import Address, Answer, Events, encode_events
from udp_chat.server.member import Member, MemberTimers, Place

ACK_DELAY_MIN_SECONDS = 0.005
ACK_DELAY_PER_MEMBER_SECONDS = 0.001
"""So that acknowledgements come no faster than some 1,300 a second, each client waiting for half
the delay to the whole of it: they cost some 3 % of a core, in rooms of up to 2,000."""

ACK_DELAY_MAX_SECONDS = 2.0

REPAIR_DATAGRAMS_MAX = 8
"""Datagrams in one answer to a reported gap: what a home router's queue takes at once."""

LATE_RATIO = 0.15
"""So few of the repairs may come late. A repair is needed where the slice or its acknowledgement
was lost, so on a link that loses 10 % each way, a fifth is: it is then sent twice."""

REPEAT_MAX = 3
"""Events of the last second that a broadcast repeats on a network that loses: they cost
bytes, and spare the member that missed them a round trip."""

REPEAT_WITHIN_SECONDS = 1.0

LOSS_REMEMBERED_SECONDS = 10.0
"""How long after a repair the room counts as lossy."""

CATCH_UP_SECONDS = 0.1
"""What a newcomer is sent is not sent again for so long, until its round trip is known."""

AUDIT_INTERVAL_SECONDS = 0.01
"""Between two looks at who is late: a hundred a second cost a thousand members 1 % of a core."""

Outgoing: TypeAlias = tuple[bytes, tuple[Address, ...]]
"""One datagram and everyone it goes to."""


class Relay:
    """Sends slices of a room's log and of its members' inboxes. Not thread-safe.

    `members` is the room's own dict, by session id; `now` is one monotonic clock.
    """

    def __init__(
        self,
        log: EventLog,
        members: Mapping[int, Member],
        timers: MemberTimers,
        counters: Counter[str],
    ) -> None:
        self.broadcast_count = 0
        """Datagrams that went to every member."""
        self._log = log
        self._members = members
        self._timers = timers
        self._counters = counters
        self._outgoing: list[Outgoing] = []
        self._addresses: tuple[Address, ...] | None = None
        self._broadcast_seq = 0
        """The newest event that has been broadcast."""
        self._grown_inboxes: dict[int, int] = {}
        """By session id: the first event of the inbox to send."""
        self._answers: dict[int, int] = {}
        """By session id: the timestamp to echo."""
        self._copies: list[tuple[float, int, bytes, Address]] = []
        """(when, number, datagram, address): what is sent once more, as the link loses."""
        self._copy_number = 0
        self._audit_at = NEVER
        self._audited_seq = 0
        self._loss_seen_at = float("-inf")

    # --- what the room calls -----------------------------------------------------------------

    def send(self, datagram: bytes, address: Address) -> None:
        """Sends one datagram to one address."""
        self._outgoing.append((datagram, (address,)))

    def addresses_changed(self) -> None:
        """To be called when a member came, went or moved."""
        self._addresses = None

    def answer(self, member: Member, timestamp: int) -> None:
        """Answers a member's datagram of this timestamp, of several at one wake-up the last."""
        self._answers[member.session_id] = timestamp

    def probe(self, member: Member, now: float) -> None:
        """Asks a member for a STATUS."""
        self._send_events(member, self._slice(self._log, self._log.latest + 1, now, ask=True)[0])

    def catch_up(self, member: Member, now: float) -> None:
        """Sends history and what was missed: a repair without a loss. The rest is broadcast.

        A JOIN is repeated: what was sent for an earlier one may still be on its way.
        """
        on_its_way_seconds = member.rtt.srtt or CATCH_UP_SECONDS
        if now - member.room.repaired_at >= on_its_way_seconds:
            member.room.attempts = 0
            member.room.repaired_at = now
            self._send_slices(member, member.room, now, repair=False)
        inbox = member.inbox
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
        """Sends what did not go out when the inbox grew: the rest was too much at once. So an
        inbox goes out as fast as it is acknowledged, not as slowly as its gaps are reported."""
        if member.inbox.sent_until < member.inbox.log.latest:
            self._grown_inboxes.setdefault(member.session_id, member.inbox.sent_until + 1)

    def repair_gap(self, member: Member, place: Place, gap_end: int, now: float) -> None:
        """Sends what a member reports as missing, unless that may still be on its way."""
        if not place.behind:
            return
        sent_at = max(place.log.sent_at(place.next_seq), place.repaired_at)
        if now - sent_at < 0.9 * member.rtt.srtt:
            return
        self._counters["gap repairs"] += 1
        self._repair(member, place, gap_end, REPAIR_DATAGRAMS_MAX, now)

    def repair_tails(self, member: Member, now: float) -> None:
        """Sends the beginning of what a member has not acknowledged in time."""
        for place in (member.room, member.inbox):
            if self._repair_due(member, place) <= now:
                self._counters["tail repairs"] += 1
                self._repair(member, place, place.log.latest, 1, now)

    def repair_due(self, member: Member) -> float:
        """When `repair_tails` is next needed."""
        return min(self._repair_due(member, place) for place in (member.room, member.inbox))

    def ack_delay_ms(self) -> int:
        """How long a member may wait with an acknowledgement."""
        seconds = ACK_DELAY_PER_MEMBER_SECONDS * len(self._members)
        return int(1000 * min(max(seconds, ACK_DELAY_MIN_SECONDS), ACK_DELAY_MAX_SECONDS))

    def handle_timeout(self, now: float) -> None:
        """Does what is due."""
        while self._copies and self._copies[0][0] <= now:
            _, _, datagram, address = heapq.heappop(self._copies)
            self.send(datagram, address)
        if self._audit_at <= now:
            self._audit(now)

    def next_timeout(self) -> float:
        """When `handle_timeout` is next needed."""
        return min(self._audit_at, self._copies[0][0] if self._copies else NEVER)

    def datagrams_to_send(self, now: float) -> list[Outgoing]:
        """What has to go out now, each datagram with all its addresses."""
        self._broadcast(now)
        for session_id, first in self._grown_inboxes.items():
            member = self._members.get(session_id)
            if member is not None:
                self._send_slices(member, member.inbox, now, first=first, repair=False)
        self._grown_inboxes.clear()
        for session_id, echo in self._answers.items():
            member = self._members.get(session_id)
            if member is not None:
                answer = Answer(
                    echo,
                    member.received,
                    member.appended,
                    member.inbox.log.latest,
                    member.traffic.sent(self.broadcast_count) & 0xFFFFFFFF,
                )
                datagram = self._slice(self._log, self._log.latest + 1, now, answer=answer)[0]
                self._send_events(member, datagram)
        self._answers.clear()
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    # --- repair ------------------------------------------------------------------------------

    def _repair(
        self, member: Member, place: Place, until: int, datagrams_max: int, now: float
    ) -> None:
        place.repaired_at = self._loss_seen_at = now
        place.attempts += 1
        member.loss.update(True)
        already = len(self._outgoing)
        self._send_slices(member, place, now, until=until, datagrams_max=datagrams_max)
        copies = member.loss.copies(LATE_RATIO) if datagrams_max == 1 else 1
        for copy in range(1, copies):
            for datagram, _ in self._outgoing[already:]:
                if place.repair_bucket.take(1, now):
                    self._copy_number += 1
                    member.traffic.sent_alone += 1
                    at = now + copy * COPY_SPACING_SECONDS
                    entry = (at, self._copy_number, datagram, member.address)
                    heapq.heappush(self._copies, entry)
        self._timers.schedule(member, self._repair_due(member, place))

    def _repair_due(self, member: Member, place: Place) -> float:
        """When a member that stays silent about this log is sent its slice (again)."""
        if not place.behind:
            return NEVER
        sent_at = max(place.log.sent_at(place.next_seq), place.repaired_at)
        due = sent_at + self.ack_delay_ms() / 1000 + member.rtt.backed_off(place.attempts)
        return max(due, place.repair_bucket.ready_at(1))

    def _audit(self, now: float) -> None:
        """Looks who has not acknowledged the broadcasts of a while ago.

        One look at all members per AUDIT_INTERVAL_SECONDS at most, however many lines are
        said: a broadcast itself costs nothing per member.
        """
        log, due = self._log, now - self._audit_after()
        seq = max(self._audited_seq, log.oldest - 1)
        while seq < log.latest and log.sent_at(seq + 1) <= due:
            seq += 1
        self._audited_seq = seq
        for member in [m for m in self._members.values() if m.room.acked < seq]:
            self._timers.schedule(member, self._repair_due(member, member.room))
        self._audit_at = NEVER
        if seq < log.latest:
            next_at = log.sent_at(seq + 1) + self._audit_after()
            self._audit_at = max(next_at, now + AUDIT_INTERVAL_SECONDS)

    def _audit_after(self) -> float:
        """No acknowledgement is overdue before."""
        return self.ack_delay_ms() / 1000 + RTO_MIN_SECONDS

    # --- building datagrams ------------------------------------------------------------------

    def _broadcast(self, now: float) -> None:
        """What was appended since the last time, in as few datagrams as hold it, to everyone."""
        log = self._log
        first = self._broadcast_seq + 1
        self._broadcast_seq = log.latest
        if not self._members or first > log.latest:
            return
        if self._addresses is None:
            self._addresses = tuple(member.address for member in self._members.values())
        first = max(first, log.oldest)
        datagram, after = self._slice(log, self._repeat_from(first, now), now, pad=True)
        if after <= first:  # the repeated ones left no room: then without them
            datagram, after = self._slice(log, first, now, pad=True)
        self._outgoing.append((datagram, self._addresses))
        self.broadcast_count += 1
        while after <= log.latest:
            datagram, after = self._slice(log, after, now, pad=True)
            self._outgoing.append((datagram, self._addresses))
            self.broadcast_count += 1
        if self._audit_at == NEVER:
            self._audit_at = now + self._audit_after()

    def _repeat_from(self, first: int, now: float) -> int:
        """Where a broadcast that is new from `first` on begins: earlier where links lose."""
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
        self,
        member: Member,
        place: Place,
        now: float,
        first: int = 0,
        until: int | None = None,
        datagrams_max: int = REPAIR_DATAGRAMS_MAX,
        repair: bool = True,
    ) -> None:
        """Sends slices of one log to one member, as many as its rate allows."""
        log = place.log
        after = max(first, place.next_seq)
        last = self._sendable(log)
        until = last if until is None else min(until, last)
        while after <= until and datagrams_max and place.repair_bucket.take(1, now):
            datagram, after = self._slice(log, after, now, log is not self._log, repair=repair)
            self._send_events(member, datagram)
            member.traffic.repaired += repair
            datagrams_max -= 1
        if place is member.inbox:
            member.inbox.sent_until = max(member.inbox.sent_until, after - 1)

    def _send_events(self, member: Member, datagram: bytes) -> None:
        member.traffic.sent_alone += 1
        self.send(datagram, member.address)

    def _sendable(self, log: EventLog) -> int:
        """The last event to send: what was not broadcast yet is about to be, to everyone."""
        return self._broadcast_seq if log is self._log else log.latest

    def _slice(
        self,
        log: EventLog,
        first: int,
        now: float,
        inbox: bool = False,
        ask: bool = False,
        repair: bool = False,
        answer: Answer | None = None,
        pad: bool = False,
    ) -> tuple[bytes, int]:
        """An EVENTS with what fits of a log from `first` on, and what comes after it.

        `pad`: if more is to follow, it is as long as can be, for datagrams of one size go out
        as one train. The last one of a train may be shorter.
        """
        encoded = log.slice(first, self._sendable(log), Events.ROOM_BYTES)
        after = first + len(encoded)
        datagram = encode_events(
            log.epoch,
            int(now * 1e6),
            log.oldest,
            log.latest,
            first,
            encoded,
            inbox=inbox,
            ask=ask,
            repair=repair,
            ack_delay_ms=self.ack_delay_ms(),
            answer=answer,
            padded=pad and after <= log.latest,
        )
        return datagram, after
