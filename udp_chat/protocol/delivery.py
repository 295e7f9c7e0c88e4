"""What makes datagrams a conversation: the log, its ordered receiver, and the link's measures.

Everything the room shows is an event in an append-only `EventLog`. The server sends slices of
a log; an `OrderedReceiver` turns slices, however lost, doubled or reordered, into each event
once and in order, or into a `Lost` that says how many are missing. What a peer has of a log is
one number, its cumulative acknowledgement. `RttEstimator` and `LossEstimate` say how long to
wait and how often to send; `TokenBucket` says how much is allowed.

Nothing here touches a socket, a thread, a clock or a random source: both ends use it, and the
simulated network of the tests runs it in virtual time.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import itemgetter
from typing import ClassVar, TypeAlias

from udp_chat.protocol.packets import COUNT_MAX, Event

NEVER = math.inf
"""When a timer that does not run is due: on any clock, after all others."""

RTO_INITIAL_SECONDS = 0.25
"""Before the first sample. RFC 6298 §2.1 says 1 s; on a LAN that would be felt at each join."""

RTO_MIN_SECONDS = 0.05
"""As in mosh: a person does not feel 50 ms, and schedulers cause less jitter than that."""

RTO_MAX_SECONDS = 2.0
"""The ceiling: a person waits. RFC 6298 §2.5 would ask for 60 s; docs/protocol.md says why."""

RTT_SAMPLE_MAX_SECONDS = 10.0
"""A longer round trip says that a process slept, not how long the wire is."""

REORDER_MAX = 1024
"""Events a receiver keeps beyond a gap. What lies further ahead is repaired later."""

AHEAD_MAX = 1_000_000
"""Events by which one slice may claim that the log has grown: more than any room says within the
seconds that a link may be down. Only a WELCOME, which nobody else can make, may claim more."""

COPIES_MAX = 3
"""Of one datagram on a link that loses: at 20 % one in 125 is still late."""

COPY_SPACING_SECONDS = 0.005
"""Between copies of one datagram on a link that loses: bursts of loss are often shorter."""

TAIL_MARGIN_SECONDS = 0.003
"""How much later than expected an acknowledgement may come, at least, before its message is sent
again: a system's clock ticks and its scheduler make a millisecond or two."""

SAMPLES_REMEMBERED = 512
"""How far back an estimate of loss looks: a minute of talk. A link that loses one datagram of a
hundred must not be forgotten between two losses."""


# --- the event log and its reader ------------------------------------------------------------


class EventLog:
    """The newest events in their one order, encoded, numbered from 1 without a gap.

    Bounded in entries and bytes: the oldest events are dropped, but never the newest one.
    """

    __slots__ = (
        "_appended_bytes",
        "_entries",
        "begun_count",
        "bytes_max",
        "entries_max",
        "epoch",
        "latest",
        "oldest",
    )

    def __init__(self, epoch: int, entries_max: int, bytes_max: int) -> None:
        self.epoch = epoch
        self.entries_max = entries_max
        self.bytes_max = bytes_max
        self.oldest = 1
        self.latest = 0
        self.begun_count = 0
        """How often it was made another log: what was known of its events no longer holds."""
        self._entries: deque[tuple[bytes, float, int]] = deque()
        """From the oldest on: the event, when it was appended, and the bytes before it."""
        self._appended_bytes = 0

    @property
    def entry_count(self) -> int:
        return len(self._entries)

    @property
    def bytes_held(self) -> int:
        return self._appended_bytes - self._entries[0][2] if self._entries else 0

    def begin(self, epoch: int, first: int, encoded: Sequence[bytes], now: float) -> None:
        """Makes this the log that another process wrote: its events from `first` on."""
        self.epoch = epoch
        self.begun_count += 1
        self._entries.clear()
        self.oldest, self.latest = first, first - 1
        self.extend(encoded, now)

    def append(self, encoded: bytes, now: float) -> int:
        """Adds an encoded event and returns its sequence number. `now` is when it is sent."""
        return self.extend((encoded,), now)

    def extend(self, encoded: Sequence[bytes], now: float) -> int:
        """Adds encoded events and returns the sequence number of the last. `now` never shrinks."""
        entries, appended_bytes = self._entries, self._appended_bytes
        for event in encoded:
            entries.append((event, now, appended_bytes))
            appended_bytes += len(event)
        self._appended_bytes = appended_bytes
        self.latest += len(encoded)
        self.forget(self.latest - self.entries_max)
        while self.bytes_held > self.bytes_max and len(entries) > 1:
            self.forget(self.oldest)
        return self.latest

    def forget(self, until: int) -> None:
        """Drops every event up to and including `until`."""
        count = min(until, self.latest) - self.oldest + 1
        if count > 0:
            for _ in range(count):
                self._entries.popleft()
            self.oldest += count

    def sent_at(self, seq: int) -> float:
        """When the event was appended and first sent; `seq` must be in the log."""
        return self._entries[self._index(seq)][1]

    def last_sent_by(self, at: float) -> int:
        """The newest event that was sent by this time; the one before the oldest if none was."""
        return self.oldest - 1 + bisect_right(self._entries, at, key=itemgetter(1))

    def bytes_from(self, seq: int) -> int:
        """How many bytes of events the log holds from this one on."""
        seq = max(seq, self.oldest)
        if seq > self.latest:
            return 0
        return self._appended_bytes - self._entries[seq - self.oldest][2]

    def slice(self, first: int, last: int, bytes_max: int) -> list[bytes]:
        """Encoded events from `first` (in the log) up to `last`, as many as fit one datagram."""
        encoded: list[bytes] = []
        entries, start = self._entries, self._index(first)
        for index in range(
            start, start + min(last - first + 1, self.latest - first + 1, COUNT_MAX)
        ):
            event = entries[index][0]
            bytes_max -= len(event)
            if bytes_max < 0:
                break
            encoded.append(event)
        return encoded

    def newest(self, count: int) -> list[bytes]:
        """The newest events, so many of them at most, encoded, in their order."""
        newest = [event for event, _, _ in islice(reversed(self._entries), max(0, count))]
        newest.reverse()
        return newest

    def _index(self, seq: int) -> int:
        assert seq >= self.oldest, "the log has forgotten it"
        return seq - self.oldest


@dataclass(frozen=True, slots=True)
class Lost:
    """So many events of a log will never come: the log no longer has them."""

    count: int


Delivery: TypeAlias = tuple[int, Event] | Lost


class OrderedReceiver:
    """Turns slices of one log, as they happen to arrive, into each event once and in order."""

    __slots__ = ("_skipped", "_waiting", "acknowledged", "epoch", "latest")

    def __init__(self, epoch: int, start: int) -> None:
        self.epoch = epoch
        self.acknowledged = start - 1
        """Everything up to here was delivered or declared lost."""
        self.latest = start - 1
        """The newest event that the server was heard to have."""
        self._waiting: dict[int, Event] = {}
        self._skipped = (0, 0)
        """What the acknowledgement was before and after the newest `Lost`."""

    @property
    def gap_end(self) -> int:
        """The last event of the first run that is missing; equals `acknowledged` if none is."""
        if self._waiting:
            return min(self._waiting) - 1
        return self.latest

    def receive(
        self, first: int, events: Iterable[Event], oldest: int, latest: int
    ) -> list[Delivery]:
        """What can be delivered now that this slice has come."""
        if latest > self.latest:
            self.latest = latest
        acknowledged, waiting = self.acknowledged, self._waiting
        deliveries: list[Delivery] = []
        furthest = max(acknowledged, oldest - 1) + REORDER_MAX
        for seq, event in enumerate(events, first):
            if seq == acknowledged + 1:
                acknowledged = seq
                waiting.pop(seq, None)
                deliveries.append((seq, event))
            elif acknowledged < seq <= furthest:
                waiting[seq] = event
        while waiting or acknowledged + 1 < oldest:
            following = waiting.pop(acknowledged + 1, None)
            if following is not None:
                acknowledged += 1
                deliveries.append((acknowledged, following))
            elif acknowledged + 1 < oldest:
                resumes_at = min(oldest, min(waiting, default=oldest))
                deliveries.append(Lost(resumes_at - acknowledged - 1))
                self._skipped = acknowledged, resumes_at - 1
                acknowledged = resumes_at - 1
            else:
                break
        self.acknowledged = acknowledged
        return deliveries

    def correct(self, latest: int) -> None:
        """Takes the server's newest word on where its log ends; what is held beyond is forged.

        Not for a `latest` before the acknowledgement: then the receiver has to be `restarted`.
        """
        if latest < self.latest:
            self.latest = max(latest, self.acknowledged)
            for seq in [seq for seq in self._waiting if seq > latest]:
                del self._waiting[seq]

    def restarted(self, start: int, latest: int) -> OrderedReceiver:
        """A receiver for the same log, after this one was told what is not true of it.

        The log ends at `latest`, before what was acknowledged, and is sent from `start` on. What
        was delivered before the false gap is not delivered again.
        """
        before, after = self._skipped
        true = before if before <= latest < after else min(self.acknowledged, latest)
        return OrderedReceiver(self.epoch, max(start, true + 1))


# --- measuring the link ----------------------------------------------------------------------


def quantile(values: Iterable[float], ratio: float) -> float:
    """The smallest value that at least this part of all values does not exceed (nearest rank).

    A lost message counts as infinitely late: p99 is infinite if more than one in a hundred is lost.
    Raises ValueError if there are no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a quantile of nothing")
    return ordered[max(0, math.ceil(ratio * len(ordered)) - 1)]


class RttEstimator:
    """Smoothed round-trip time and retransmission timeout in seconds (RFC 6298 §2).

    Samples come from echoed timestamps or from what was sent once only, so a retransmission
    never falsifies them (Karn's rule).
    """

    __slots__ = ("_before", "_last", "_recent", "base", "rto", "rttvar", "srtt")

    RECENT_MAX: ClassVar[int] = 64
    """Samples kept for `quantile`."""

    BASE_GAIN: ClassVar[float] = 1 / 1024
    """The base forgets within a thousand samples: a minute of a full link."""

    MARGIN_RATIO: ClassVar[float] = 1 / 8
    """In the place of RFC 6298's clock granularity: where round trips hardly vary, a timer that is
    a tenth early by its jitter must not run out before the answer comes."""

    def __init__(self) -> None:
        self.srtt = 0.0
        self.rttvar = 0.0
        self.rto = RTO_INITIAL_SECONDS
        self.base = 0.0
        """The round trip when no queue is on the way: the shortest one seen."""
        self._last = self._before = math.inf
        self._recent: deque[float] = deque(maxlen=self.RECENT_MAX)

    @property
    def queue_seconds(self) -> float:
        """How long datagrams wait in queues on the way: by how much even the shortest of the last
        three round trips is longer than the base. A single late one is no queue."""
        if not self._recent:
            return 0.0
        return max(0.0, min(self._before, self._last, self._recent[-1]) - self.base)

    @property
    def tail_timeout(self) -> float:
        """After how long without an answer a datagram counts as lost: the timeout without the
        floor that `rto` has, for what costs one small datagram if it was wrong."""
        if not self._recent:
            return self.rto
        usual = min(self.srtt + 4 * self.rttvar, max(self._before, self._last, self._recent[-1]))
        return min(max(usual, self.srtt) + TAIL_MARGIN_SECONDS, self.rto)

    def quantile(self, ratio: float) -> float:
        """The `quantile` of the recent samples; 0 without samples."""
        return quantile(self._recent, ratio) if self._recent else 0.0

    def sample(self, rtt_seconds: float) -> None:
        if not 0.0 <= rtt_seconds <= RTT_SAMPLE_MAX_SECONDS:
            return
        recent = self._recent
        if not recent:
            self.srtt = self.base = rtt_seconds
            self.rttvar = rtt_seconds / 2
        else:
            self._before, self._last = self._last, recent[-1]
            self.rttvar += (abs(self.srtt - rtt_seconds) - self.rttvar) / 4
            self.srtt += (rtt_seconds - self.srtt) / 8
            self.base = min(rtt_seconds, self.base + (self.srtt - self.base) * self.BASE_GAIN)
        recent.append(rtt_seconds)
        margin = max(4 * self.rttvar, self.srtt * self.MARGIN_RATIO)
        self.rto = min(max(self.srtt + margin, RTO_MIN_SECONDS), RTO_MAX_SECONDS)

    def backed_off(self, attempts: int) -> float:
        """The timeout after so many failed attempts: doubled for each, up to the ceiling."""
        return min(self.rto * 2.0 ** min(attempts, 16), RTO_MAX_SECONDS)


class LossEstimate:
    """How much a link loses, by what arrived and what had to be repaired.

    A link that has shown little counts as `prior`: the estimate begins there and gives it the
    weight of a few datagrams. Older datagrams count less and less.
    """

    __slots__ = ("_lost", "_seen", "prior")

    PRIOR_WEIGHT: ClassVar[float] = 20.0

    def __init__(self, prior: float = 0.0) -> None:
        self.prior = prior
        self._seen = self._lost = 0.0

    @property
    def ratio(self) -> float:
        """The part of the datagrams that needs a repair."""
        weight = self.PRIOR_WEIGHT
        return (self._lost + weight * self.prior) / (self._seen + weight)

    def update(self, *, lost: bool) -> None:
        self._seen += 1 - self._seen / SAMPLES_REMEMBERED
        self._lost += lost - self._lost / SAMPLES_REMEMBERED

    def copies(self, late_ratio: float) -> int:
        """How many copies to send so that at most this part of the datagrams comes late."""
        copies, ratio = 1, self.ratio
        remaining = ratio
        while remaining > late_ratio and copies < COPIES_MAX:
            copies += 1
            remaining *= ratio
        return copies


class TokenBucket:
    """Allows `rate` things a second in the long run and `burst` at once; rate 0 allows all."""

    __slots__ = ("_at", "_tokens", "burst", "rate")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self.rate = rate
        self.burst = burst
        self._tokens = burst
        self._at = now

    def has(self, count: float, now: float) -> bool:
        """Whether `take` would succeed."""
        return self.rate <= 0 or self._level(now) >= count

    def take(self, count: float, now: float) -> bool:
        """Takes `count` tokens if there are as many, else none."""
        if self.rate <= 0:
            return True
        level = self._level(now)
        self._at = now
        self._tokens = level
        if level < count:
            return False
        self._tokens = level - count
        return True

    def _level(self, now: float) -> float:
        return min(self.burst, self._tokens + (now - self._at) * self.rate)

    def ready_at(self, count: float) -> float:
        """When `take(count)`, at most `burst`, will succeed if nothing is taken before."""
        assert self.rate <= 0 or count <= self.burst
        if self.rate <= 0:
            return self._at
        # A microsecond more, so that rounding does not wake the caller a moment too early.
        return self._at + max(0.0, count - self._tokens) / self.rate + 1e-6
