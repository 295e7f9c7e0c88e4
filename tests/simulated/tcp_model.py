"""TCP as a model: enough of it to know what a TCP chat or a download does to a link.

A connection is two `TcpEnd`s, established and never closed. Each sends what it is given as a stream
of bytes in segments, keeps a congestion window (RFC 5681: slow start, congestion avoidance) and
acknowledges what it gets (RFC 1122: each second segment at once, any after 40 ms, or along with its
own data). It sends at once what the window allows (no Nagle); what has to wait leaves in full
segments. What arrived out of order is named in each acknowledgement (RFC 2018). A segment is lost
once three that were sent later have arrived (RFC 8985, by count instead of time); the window then
halves, once for each window (RFC 6675). What nothing shows as lost is sent again by the timeout
(RFC 6298). Windows count segments, as Linux does.

Not modelled: handshake, receive window, tail loss probes, pacing, ECN; SACK blocks cost no bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from tests.simulated.bottleneck import Bottleneck
from tests.simulated.virtual_clock import VirtualClock

SEGMENT_BYTES_MAX = 1448
HEADER_BYTES = 40 + 12
"""IPv4, TCP, and TCP's timestamps."""

DELAYED_ACK_SECONDS = 0.040
INITIAL_WINDOW = 10
"""Segments (RFC 6928)."""

REORDERING = 3
"""So many segments may overtake one that is not lost."""

RTO_INITIAL_SECONDS = 1.0
RTO_MIN_SECONDS = 0.200
"""Linux's. RFC 6298 says one second."""


@dataclass(frozen=True, slots=True)
class Segment:
    """What travels: `size` bytes of data from `start` of the stream, and an acknowledgement."""

    start: int
    size: int
    acknowledged: int
    out_of_order: frozenset[int]
    """Where the segments begin that have arrived beyond a gap."""

    @property
    def wire_bytes(self) -> int:
        return HEADER_BYTES + self.size


@dataclass(slots=True)
class _Sent:
    """A segment's data, not yet acknowledged."""

    size: int
    sent_at: float
    number: int
    """Counts what is sent: a later number was sent later."""
    is_lost: bool = False
    was_repeated: bool = False


@dataclass
class Path:
    """One way of a link: maybe a bottleneck, then a delay."""

    clock: VirtualClock
    delay_seconds: float
    bottleneck: Bottleneck | None = None

    def carry(self, size_bytes: int, arrive: Callable[[], None]) -> None:
        """Calls `arrive` when so many bytes have come through, never if they are dropped."""
        left_at: float | None = self.clock.now
        if self.bottleneck is not None:
            left_at = self.bottleneck.take(size_bytes, self.clock.now)
        if left_at is not None:
            self.clock.at(left_at + self.delay_seconds, arrive)


@dataclass
class TcpEnd:
    """One end of a connection. `path` leads to the `peer`.

    `on_arrival` is called with the count of bytes that have arrived in order so far.
    """

    path: Path
    on_arrival: Callable[[int], None] = lambda count: None
    peer: TcpEnd | None = None
    acknowledged: int = 0
    """Bytes of my stream that the peer has."""
    window: float = INITIAL_WINDOW
    threshold: float = float("inf")
    _written: int = 0
    _next: int = 0
    _sent: dict[int, _Sent] = field(default_factory=dict)
    """By where they begin, in this order; those that arrived out of order are taken out."""
    _numbers: int = 0
    _newest_arrived: int = 0
    """The highest number of a segment that the peer has."""
    _recovers_until: int = 0
    """The window does not shrink again until this byte is acknowledged."""
    _is_full: bool = False
    """Whether the window, not the writer, has stopped me last."""
    _srtt: float = 0.0
    _rttvar: float = 0.0
    _rto: float = RTO_INITIAL_SECONDS
    _backoff: int = 1
    _timer: int = 0
    """Counts the settings of the retransmission timer: an older one does nothing."""
    _received: int = 0
    _beyond: dict[int, int] = field(default_factory=dict)
    """Sizes of the segments that arrived beyond a gap, by where they begin."""
    _unacknowledged: int = 0
    """Segments that arrived and that I have not acknowledged."""
    _acknowledges_at: float = float("inf")

    def write(self, count: int) -> None:
        """Appends so many bytes to my stream."""
        self._written += count
        self._send()

    # --- sending -----------------------------------------------------------------------------

    def _send(self) -> None:
        while len(self._sent) - self._lost_count() < int(self.window):
            lost = next((start for start, sent in self._sent.items() if sent.is_lost), None)
            if lost is not None:
                self._transmit(lost, self._sent[lost].size, was_repeated=True)
            elif self._next < self._written:
                size = min(SEGMENT_BYTES_MAX, self._written - self._next)
                self._transmit(self._next, size, was_repeated=False)
                self._next += size
            else:
                self._is_full = False
                return
        self._is_full = True

    def _lost_count(self) -> int:
        return sum(sent.is_lost for sent in self._sent.values())

    def _transmit(self, start: int, size: int, was_repeated: bool) -> None:
        self._numbers += 1
        sent = _Sent(size, self.path.clock.now, self._numbers, was_repeated=was_repeated)
        if not self._sent:
            self._set_timer()
        self._sent[start] = sent
        self._post(start, size)

    def _post(self, start: int, size: int) -> None:
        self._unacknowledged = 0
        self._acknowledges_at = float("inf")
        segment = Segment(start, size, self._received, frozenset(self._beyond))
        peer = self.peer
        assert peer is not None
        self.path.carry(segment.wire_bytes, lambda: peer.receive(segment))

    def _set_timer(self) -> None:
        self._timer += 1
        number = self._timer
        rto_seconds = self._backoff * self._rto
        self.path.clock.at(self.path.clock.now + rto_seconds, lambda: self._time_out(number))

    def _time_out(self, number: int) -> None:
        if number != self._timer or not self._sent:
            return
        for sent in self._sent.values():
            sent.is_lost = True
        self.threshold = max(self.window / 2, 2.0)
        self.window = 1.0
        self._recovers_until = self._next
        self._backoff *= 2
        self._set_timer()
        self._send()

    def _hear(self, segment: Segment) -> None:
        """Takes in what the peer has of my stream."""
        arrived = [
            start
            for start in self._sent
            if start < segment.acknowledged or start in segment.out_of_order
        ]
        for start in arrived:
            sent = self._sent.pop(start)
            self._newest_arrived = max(self._newest_arrived, sent.number)
            if not sent.was_repeated:  # Karn: whose acknowledgement is it?
                self._sample(self.path.clock.now - sent.sent_at)
        if segment.acknowledged > self.acknowledged:
            self.acknowledged = segment.acknowledged
            self._backoff = 1
        if not arrived:
            return
        self._set_timer()
        self._find_losses()
        if self._is_full and self.window < self.threshold:
            self.window += len(arrived)  # slow start, also after a timeout
        elif self._is_full and self.acknowledged >= self._recovers_until:
            self.window += len(arrived) / self.window
        self._send()

    def _sample(self, rtt_seconds: float) -> None:
        """A round trip was measured (RFC 6298 §2)."""
        if self._srtt:
            self._rttvar += (abs(self._srtt - rtt_seconds) - self._rttvar) / 4
            self._srtt += (rtt_seconds - self._srtt) / 8
        else:
            self._srtt, self._rttvar = rtt_seconds, rtt_seconds / 2
        self._rto = max(self._srtt + 4 * self._rttvar, RTO_MIN_SECONDS)

    def _find_losses(self) -> None:
        lost = [s for s in self._sent.values() if s.number + REORDERING <= self._newest_arrived]
        if lost and self.acknowledged >= self._recovers_until:
            self._recovers_until = self._next
            self.window = self.threshold = max(self.window / 2, 2.0)
        for sent in lost:
            sent.is_lost = True

    # --- receiving ---------------------------------------------------------------------------

    def receive(self, segment: Segment) -> None:
        """Takes in a segment of the peer's."""
        if segment.size:
            self._take(segment)
        self._hear(segment)

    def _take(self, segment: Segment) -> None:
        is_next = segment.start == self._received
        if segment.start >= self._received:
            self._beyond[segment.start] = segment.size
        while (size := self._beyond.pop(self._received, 0)) > 0:
            self._received += size
        self._unacknowledged += 1
        if is_next:
            self.on_arrival(self._received)  # may answer with data, and so acknowledge
        if self._unacknowledged >= 2 or (self._unacknowledged and (self._beyond or not is_next)):
            self._post(self._next, 0)
        elif self._unacknowledged:
            self._acknowledges_at = self.path.clock.now + DELAYED_ACK_SECONDS
            self.path.clock.at(self._acknowledges_at, self._acknowledge)

    def _acknowledge(self) -> None:
        if self.path.clock.now >= self._acknowledges_at:
            self._post(self._next, 0)


def connect(there: Path, back: Path) -> tuple[TcpEnd, TcpEnd]:
    """A connection: the end that sends on `there`, and the one that answers on `back`."""
    near, far = TcpEnd(there), TcpEnd(back)
    near.peer, far.peer = far, near
    return near, far
