"""What a member keeps of the room, so that the room outlives its host.

Each member keeps the log as it was shown, within bounds: what a new host lacks, it can tell. A
successor is also sent the register, which says who is in. The log and the register together are the
room (hosting/room_host.py makes one of them). Pure.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from udp_chat.protocol.delivery import Delivery, EventLog, Lost
from udp_chat.protocol.lineage import Lineage, Range, parse_origin
from udp_chat.protocol.packets import Event, EventKind, Fetch, Told
from udp_chat.protocol.wire import Parser

ENTRIES_MAX = 10_000
BYTES_MAX = 4 * 1024 * 1024
"""As much as a room's log holds."""

BRANCHES_MAX = 8
"""Parts of the room that this member was in, before it came to another."""

SHOWN_MAX = 2 * ENTRIES_MAX
"""Messages that are known to have been shown: another part may tell as many as a log holds."""

TOLD_DATAGRAMS_MAX = 8
"""In answer to one FETCH: a host asks on."""

SAID_APART = (EventKind.CHAT_APART, EventKind.ACTION_APART)
SAID = (EventKind.CHAT, EventKind.ACTION, *SAID_APART)

APART_MAX = 12
"""Ranges of events in one message APART, the newest ones."""

TAKEN_MAX = 256
"""Terms of other parts of which something came into the log."""

ROWS_MAX = 50_000
"""Lines of a register: far more than a room has, and a bound for a host gone mad."""


@dataclass(frozen=True, slots=True)
class _Branch:
    """What this member was shown in another part of the room, after the last common event."""

    lineage: Lineage
    fork: int
    log: EventLog

    def said(self) -> Iterator[Range]:
        """For each term, the events up to the last one that somebody said, also where the first
        ones are not here: all who were in that part begin with the same, and one may have it."""
        log, terms = self.log, self.lineage.terms
        for number, (epoch, begins) in enumerate(terms):
            begins = max(self.fork + 1, begins)
            first = max(begins, log.oldest)
            ends = terms[number + 1][1] - 1 if number + 1 < len(terms) else log.latest
            events = log.newest(log.latest - first + 1)[: max(0, ends - first + 1)]
            while events and events[-1][0] not in SAID:
                events.pop()
            if events:
                yield Range(epoch, begins, first + len(events) - 1)

    def is_past(self, epoch: int, seq: int) -> bool:
        """Whether this event was shown there, or is older than what was."""
        return self.fork < seq <= self.log.latest and self.lineage.epoch_of(seq) == epoch

    def holds(self, epoch: int, seq: int) -> bool:
        return self.log.oldest <= seq and self.is_past(epoch, seq)


class Replica:
    """One member's copy of the room."""

    def __init__(self) -> None:
        self.room_id = 0
        self.lineage = Lineage(())
        self.log = EventLog(0, ENTRIES_MAX, BYTES_MAX)
        """The events that were shown, encoded, with the room's sequence numbers."""
        self.rows: list[str] = []
        """The register, a line each: see `EventKind.REGISTER`."""
        self.register_seq = 0
        """The event as of which the register is true; 0 without one."""
        self._rows: list[str] = []
        self._rows_as_of = ""
        self._branches: deque[_Branch] = deque(maxlen=BRANCHES_MAX)
        self._taken: dict[int, int] = {}
        """By epoch: up to where its events have come into the log, said apart."""
        self._shown: dict[tuple[int, int], None] = {}
        """The sender's number and the message id of the newest messages that were shown."""

    def begin(self, room_id: int, lineage: Lineage, start: int, now: float) -> None:
        """A log begins that has nothing to do with the one before."""
        if room_id != self.room_id:
            self._shown.clear()
        self.room_id, self.lineage = room_id, lineage
        self.log.begin(lineage.terms[-1][0] if lineage.terms else 0, start, (), now)
        self.forget_register()
        self._branches.clear()
        self._taken.clear()

    def continue_in(self, lineage: Lineage, until: int, now: float) -> None:
        """The room continues in another term; of what was shown, it has the events `until`."""
        log = self.log
        if until < log.latest:
            branch = EventLog(log.epoch, ENTRIES_MAX, BYTES_MAX)
            branch.begin(log.epoch, log.oldest, log.newest(log.entry_count), now)
            self._branches.append(_Branch(self.lineage, until, branch))
            self._taken.clear()  # that was in the log of the other part
            count = max(0, until - log.oldest + 1)
            common = log.newest(log.entry_count)[:count]
            log.begin(log.epoch, until - len(common) + 1, common, now)
        if self.register_seq > until:
            self.forget_register()
        self.lineage = lineage
        log.epoch = lineage.terms[-1][0]

    def follow(self, deliveries: Iterable[Delivery], acknowledged: int, now: float) -> None:
        """Takes in what the room's log delivers; it was delivered up to `acknowledged`."""
        log = self.log
        for delivery in deliveries:
            if isinstance(delivery, Lost):
                continue
            seq, event = delivery
            if seq != log.latest + 1:  # what lies between is lost
                log.begin(log.epoch, seq, (), now)
            log.append(event.encode(), now)
            origin = parse_origin(event.to) if event.kind in SAID_APART else None
            if origin is not None:
                self._taken[origin[0]] = max(self._taken.get(origin[0], 0), origin[1])
                if len(self._taken) > TAKEN_MAX:
                    del self._taken[next(iter(self._taken))]
        if acknowledged > log.latest:
            log.begin(log.epoch, acknowledged + 1, (), now)

    def copied(self, now: float) -> Replica:
        """The same room, in another object; without the parts it was in before."""
        copy = Replica()
        copy.room_id, copy.lineage = self.room_id, self.lineage
        copy.log.begin(self.log.epoch, self.log.oldest, self.log.newest(self.log.entry_count), now)
        copy.rows, copy.register_seq = list(self.rows), self.register_seq
        return copy

    def forget_register(self) -> None:
        """The register is of another part of the room."""
        self.rows, self._rows, self.register_seq = [], [], 0

    def take_register(self, event: Event) -> None:
        """Takes in a part of a register."""
        head, *rows = event.text.split("\n")
        as_of, _, remaining = head.partition(" ")
        if as_of == "0":
            return  # only an echo
        if as_of != self._rows_as_of:  # the rest of another one never came: its host is gone
            self._rows, self._rows_as_of = [], as_of
        self._rows = [*self._rows[-ROWS_MAX:], *rows]
        if remaining == "0":
            self.rows, self._rows, self.register_seq = self._rows, [], int(as_of)

    @property
    def has_talk(self) -> bool:
        """Whether anything was said in what was shown."""
        return any(encoded[0] in SAID for encoded in self.log.newest(self.log.entry_count))

    def is_news(self, seq: int, event: Event) -> bool:
        """Whether this event of the log is to be shown: not one that was shown before, in another
        part of the room, nor one of a term of which newer ones were shown. To be asked once for
        each."""
        epoch = self.lineage.epoch_of(seq)
        is_past = any(branch.is_past(epoch, seq) for branch in self._branches)
        lost = Range.parse(event.to) if event.kind is EventKind.LOST_APART else None
        if lost is not None:
            return not any(branch.holds(lost.epoch, lost.first) for branch in self._branches)
        key = event.member, event.message_id
        if event.kind not in SAID or not event.message_id:
            return not is_past
        if key in self._shown:
            return False
        self._shown[key] = None
        if len(self._shown) > SHOWN_MAX:
            del self._shown[next(iter(self._shown))]
        return not is_past

    def apart(self) -> str:
        """The events of other parts of the room that are here and not known to be in its log, as
        a message APART says it; empty if there are none."""
        ranges: dict[int, Range] = {}
        for each in (each for branch in self._branches for each in branch.said()):
            known = ranges.get(each.epoch, each)  # two parts may have had a term's beginning
            first, last = min(known.first, each.first), max(known.last, each.last)
            ranges[each.epoch] = Range(each.epoch, first, last)
        missing = [each for each in ranges.values() if self._taken.get(each.epoch, 0) < each.last]
        return "\n".join(each.format() for each in missing[-APART_MAX:])

    def tell(self, fetch: Fetch, timestamps: Iterator[int]) -> list[Told]:
        """The events that a host asks for, as far as they are here and fit a few datagrams. Where
        the first ones are not here, an empty TOLD says where it goes on."""
        found = self._log_with(fetch)
        packets: list[Told] = []
        oldest = self._oldest_of(fetch.epoch)
        if found is None and fetch.first < oldest <= fetch.last:
            packets.append(Told(fetch.client_id, next(timestamps), fetch.epoch, oldest, ()))
        if found is None:
            return packets
        log, lineage = found
        seq, last = fetch.first, min(fetch.last, lineage.last_of(fetch.epoch, log.latest) or 0)
        while seq <= last and len(packets) < TOLD_DATAGRAMS_MAX:
            events = log.slice(seq, last, Told.EVENTS_BYTES_MAX)
            if not events:
                break
            told = tuple(map(parsed, events))
            packets.append(Told(fetch.client_id, next(timestamps), fetch.epoch, seq, told))
            seq += len(events)
        return packets

    def _oldest_of(self, epoch: int) -> int:
        """The oldest event of a term that is here; 0 if none is."""
        found = []
        for lineage, log in (
            *((b.lineage, b.log) for b in self._branches),
            (self.lineage, self.log),
        ):
            first = next((first for known, first in lineage.terms if known == epoch), 0)
            last = lineage.last_of(epoch, log.latest)
            if last is not None and max(first, log.oldest) <= last:
                found.append(max(first, log.oldest))
        return min(found, default=0)

    def _log_with(self, fetch: Fetch) -> tuple[EventLog, Lineage] | None:
        for branch in self._branches:
            if branch.holds(fetch.epoch, fetch.first):
                return branch.log, branch.lineage
        here = self.log.oldest <= fetch.first <= self.log.latest
        is_here = here and self.lineage.epoch_of(fetch.first) == fetch.epoch
        return (self.log, self.lineage) if is_here else None


def parsed(encoded: bytes) -> Event:
    """An event of a log."""
    return Event.parse(Parser(encoded, 0))
