"""Congestion control: how much a member with a full link may be sent before it acknowledges.

Most links of a LAN are never full, so a member is *free* at first: it gets every broadcast at once,
and nothing is counted for it. A link that fills up shows itself before it loses: each datagram
waits in the queue before it, so the round trip grows. From then on the member is *limited*, and
has a window:

- **Less overhead.** While a datagram is on its way, what is said meanwhile waits and goes out
  together, in the next one (Nagle's algorithm, RFC 896). The fuller the link, the longer the round
  trip, and the more messages share a datagram.
- **A window.** At most so many bytes are on their way. The window grows by a datagram for each
  round trip as long as the queue is short, and shrinks by a third at a loss (RFC 9438). While the
  queue is long, all limited members together grow by one datagram for each round trip: to the
  other traffic of a link that they share they are one sender (RFC 8699 names the idea).
- **No redundancy.** A limited member is sent no copies and no repeated events.

What tells a full queue from bad luck is the delay: a lossy link loses at its shortest round trip.
(The same signal is used by LEDBAT, RFC 6817, and Copa.)

Pure: numbers in, numbers out. The relay sends.
"""

from __future__ import annotations

from udp_chat.protocol.delivery import NEVER, RttEstimator
from udp_chat.protocol.packets import DATAGRAM_BYTES_MAX

FULL_QUEUE_SECONDS = 0.03
"""So long a queue makes a member limited, or half of the shortest round trip, if that is more. A
system's scheduler delays for less, and a person does not feel it."""

FULL_QUEUE_RATIO = 0.1
"""Of the ack delay, if that is more. In a large room acknowledgements come in crowds, and each
waits for those before it: that is no queue of its member's link."""

SHORT_QUEUE_SECONDS = 0.015
"""Below this there is room on the link."""

START_BYTES = 4.0 * DATAGRAM_BYTES_MAX
MIN_BYTES = 1.0 * DATAGRAM_BYTES_MAX
MAX_BYTES = 64.0 * DATAGRAM_BYTES_MAX
"""The window of a limited member: at first, at least and at most."""

LOWERED = 0.7
"""What is left of a window after a loss, as with CUBIC (RFC 9438 §4.6)."""

LIMITED_SECONDS = 2.0
LIMITED_SECONDS_MAX = 32.0
"""A member whose link has had room for so long is free again. The time doubles each time that this
turns out to be wrong."""


class SendWindow:
    """What one member may have on its way. `now` is in seconds of one monotonic clock."""

    __slots__ = ("_freed_at", "_limited_seconds", "_lowered_at", "_room_since", "bytes")

    def __init__(self) -> None:
        self.bytes = NEVER
        """Of events that the member has not acknowledged; infinite for a free member."""
        self._room_since = NEVER
        """Since when a limited member's link has had room."""
        self._limited_seconds = LIMITED_SECONDS
        self._freed_at = float("-inf")
        self._lowered_at = float("-inf")

    @property
    def is_limited(self) -> bool:
        return self.bytes != NEVER

    @staticmethod
    def is_full(rtt: RttEstimator, ack_delay_seconds: float) -> bool:
        """Whether the queue of a member's link is long."""
        longest_seconds = max(
            FULL_QUEUE_SECONDS, rtt.base / 2, FULL_QUEUE_RATIO * ack_delay_seconds
        )
        return rtt.queue_seconds > longest_seconds

    def limit(self, now: float) -> None:
        """The member's link is full."""
        if now - self._freed_at > 2 * self._limited_seconds:
            self._limited_seconds = LIMITED_SECONDS
        else:
            self._limited_seconds = min(2 * self._limited_seconds, LIMITED_SECONDS_MAX)
        self.bytes = START_BYTES
        self._room_since = NEVER
        self._lowered_at = now

    def acknowledged(
        self, size_bytes: int, rtt: RttEstimator, now: float, *, sharers: int, waits: bool
    ) -> None:
        """So much has arrived. `waits`: more is to be sent; `sharers`: the limited members."""
        has_room = rtt.queue_seconds < SHORT_QUEUE_SECONDS
        if waits:
            growth = DATAGRAM_BYTES_MAX * size_bytes / self.bytes
            self.bytes = min(self.bytes + (growth if has_room else growth / sharers), MAX_BYTES)
        if not has_room or waits:
            self._room_since = NEVER
        elif self._room_since == NEVER:
            self._room_since = now

    def may_end(self, now: float) -> bool:
        """Whether the link has had room for long enough."""
        return now - self._room_since >= self._limited_seconds

    def end(self, now: float) -> None:
        """The member is free again."""
        self.bytes = NEVER
        self._freed_at = now

    def lost(self, rtt: RttEstimator, now: float) -> None:
        """Something had to be repaired: once for each round trip the window shrinks."""
        if now - self._lowered_at > rtt.srtt:
            self._lowered_at = now
            self.bytes = max(self.bytes * LOWERED, MIN_BYTES)
