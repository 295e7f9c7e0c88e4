"""Getting events of a room that its members have and its host has not.

A host that took over may lack the newest events of its predecessor; a network that fell apart has
events in two branches. A returning member says by its lineage and its acknowledgement what it has.
`Fetching` asks for that with FETCH, range by range, and hands it out in order as TOLD brings it.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field

from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.lineage import Lineage, Range, parse_origin
from udp_chat.protocol.packets import Address, Event, EventKind, Fetch, Join, Told
from udp_chat.protocol.wire import Parser

FETCH_AGAIN_SECONDS = 0.08
"""How soon a FETCH is repeated: a LAN answers in a few milliseconds, even where it loses."""

TRIES_MAX = 40
"""Without an answer, the source counts as gone: some three seconds."""

SKIP_SECONDS = 5.0
"""What no source has may be at one that comes a moment later: only then it is left out."""

SOURCES_MAX = 8
"""Members that are known to have a range: if one goes, another is asked."""

BRANCHES_MAX = 256
"""Terms in which something was said apart. A network that falls apart once makes one or two."""

ADDRESS_BRANCHES_MAX = 16
"""Terms of which the members of one IP address are the first to tell: a client names up to twelve,
so more are invented."""

EVENTS_MAX = 10_000
"""Of one branch: as many as a room's log holds."""


@dataclass(slots=True)
class _Source:
    client_id: int
    address: Address
    last: int
    oldest: int = 0
    """What comes before that it does not have, as it says."""


@dataclass(slots=True)
class _Branch:
    """A range of one term that is being fetched."""

    until: int
    """The newest event that has come."""
    sources: dict[int, _Source] = field(default_factory=dict)
    tries: int = 0
    ask_at: float = 0.0
    skip_at: float = 0.0

    @property
    def last(self) -> int:
        return max((source.last for source in self.sources.values()), default=self.until)

    @property
    def has_more(self) -> list[_Source]:
        """The sources that have something that is missing."""
        return [source for source in self.sources.values() if source.last > self.until]

    def following(self, now: float) -> int:
        """The event that comes next: what nobody has any more is left out in the end."""
        following = self.until + 1
        if now >= self.skip_at and self.has_more:
            following = max(following, min(source.oldest for source in self.has_more))
        return following

    def best(self, but: Set[int], now: float) -> _Source | None:
        """Whom to ask for what comes next, `but` these; None if nobody can tell it now."""
        following = self.following(now)
        has_more = (source for source in self.has_more if source.client_id not in but)
        able = [source for source in has_more if source.oldest <= following]
        return max(able, key=lambda source: source.last, default=None)


class Fetching:
    """What is being fetched, by the epoch of the term it was said in."""

    def __init__(self, taken: Mapping[int, int] | None = None) -> None:
        """`taken` says up to where the branches that are known have come, by epoch."""
        self._branches = {epoch: _Branch(until) for epoch, until in (taken or {}).items()}
        self._told_first: Counter[str] = Counter()
        """By IP address: terms of which its members were the first to tell."""

    @property
    def is_over(self) -> bool:
        """Whether nothing is missing that anybody is known to have."""
        return all(branch.until >= branch.last for branch in self._branches.values())

    def note(self, join: Join, address: Address, fork: int, now: float) -> None:
        """Notes what a returning client has beyond the last event that it has in common with the
        host. Its address is proven."""
        lineage = Lineage.decode(join.lineage)
        fork = max(fork, join.room_ack - EVENTS_MAX)
        for number, (epoch, first) in enumerate(lineage.terms):
            following = lineage.terms[number + 1 : number + 2]
            last = min(join.room_ack, following[0][1] - 1) if following else join.room_ack
            begins = max(fork + 1, first)
            if begins <= last:
                self.note_range(join.client_id, address, Range(epoch, begins, last), now)

    def note_range(self, client_id: int, address: Address, has: Range, now: float) -> None:
        """Notes what a client has. Its address is proven."""
        branch = self._branches.get(has.epoch)
        if branch is None:
            host = str(address[0])
            is_much = self._told_first[host] >= ADDRESS_BRANCHES_MAX
            if is_much or len(self._branches) >= BRANCHES_MAX:
                return
            self._told_first[host] += 1
            branch = self._branches[has.epoch] = _Branch(has.first - 1)
        if branch.until >= branch.last:
            branch.ask_at = max(branch.ask_at, now)  # a time gone by would look like a stall
            branch.skip_at = now + SKIP_SECONDS
        if client_id in branch.sources or len(branch.sources) < SOURCES_MAX:
            branch.sources[client_id] = _Source(client_id, address, has.last)

    def forget(self, client_id: int) -> None:
        """A member has gone, and is not asked any more."""
        for branch in self._branches.values():
            branch.sources.pop(client_id, None)

    def next_timeout(self) -> float:
        """When something is to be asked for; never if nothing is missing."""
        return min((b.ask_at for b in self._branches.values() if b.until < b.last), default=NEVER)

    def datagrams_to_send(self, now: float) -> list[tuple[bytes, Address]]:
        """The FETCHes that are due now, and where they go. Each source is asked for one term after
        the other, so that its part's order is kept."""
        datagrams = []
        busy: set[int] = set()
        for epoch, branch in sorted(self._branches.items(), key=lambda item: item[1].until):
            has_more = {source.client_id for source in branch.has_more}
            if has_more and branch.ask_at <= now:
                branch.ask_at = now + FETCH_AGAIN_SECONDS
                source = branch.best(busy, now)
                if source is not None:
                    branch.tries += 1
                    if branch.tries > TRIES_MAX:
                        del branch.sources[source.client_id]
                        branch.tries, branch.ask_at = 0, now
                    else:
                        fetch = Fetch(source.client_id, epoch, branch.following(now), source.last)
                        datagrams.append((fetch.encode(), source.address))
            busy |= has_more
        return datagrams

    def come_until(self, epoch: int) -> int:
        """The newest event of a term that has come, or was left out; 0 if it is not known."""
        branch = self._branches.get(epoch)
        return branch.until if branch is not None else 0

    def take(self, told: Told, address: Address, now: float) -> list[tuple[int, Event]]:
        """The events with their numbers that are news and come next, in order."""
        branch = self._branches.get(told.epoch)
        source = branch.sources.get(told.client_id) if branch is not None else None
        if branch is None or source is None or source.address != address:
            return []
        if not told.events:
            if told.first > branch.following(now):  # else it lacks nothing that comes next
                source.oldest = min(told.first, source.last)
                branch.tries, branch.ask_at = 0, now
            return []
        last = branch.last
        news = [
            (seq, event)
            for seq, event in enumerate(told.events, told.first)
            if branch.until < seq <= last
        ]
        if not news or news[0][0] != branch.following(now):
            return []
        branch.until = news[-1][0]
        branch.tries, branch.ask_at = 0, now
        return news


def taken_apart(events: Iterable[bytes]) -> dict[int, int]:
    """Up to where the branches of which a log has something have come, by epoch."""
    taken: dict[int, int] = {}
    for encoded in events:
        if encoded[0] in (EventKind.CHAT_APART, EventKind.ACTION_APART):
            origin = parse_origin(Event.parse(Parser(encoded, 0)).to)
            if origin is not None:
                taken[origin[0]] = max(taken.get(origin[0], 0), origin[1])
    return taken
