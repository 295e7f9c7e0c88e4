"""When a client acknowledges what came, and when it reports what is missing.

Acknowledgements wait a little, so that one is for many datagrams. They are sent at slots of the
server's clock, so that those of all members come together: the server wakes up for all of them, and
not for each one. A gap is reported after a short grace for reordering, then with back-off. Pure: it
says when, `ChatSession` sends the STATUS.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from udp_chat.client.joining import JOIN_RETRY_SECONDS
from udp_chat.protocol.delivery import NEVER, RttEstimator

GRACE_MIN_SECONDS = 0.002
GRACE_MAX_SECONDS = 0.05
"""A gap may be mere reordering: a quarter of the round trip is waited for, within these
(RACK's reordering window, RFC 8985 §6.2)."""

GAP_RETRY_MAX_SECONDS = 1.0

ACK_AGAIN_SECONDS = 0.025
"""Copies that arrive this soon after an acknowledgement were not sent for lack of it."""

ACK_DELAY_MAX_SECONDS = 2.0
"""So long an acknowledgement waits at most, whatever the server asks for: it is as long as a server
asks for in the largest room."""

ACK_SLOT_MAX_SECONDS = 0.05
"""Between two moments at which clients acknowledge. In a larger room the delay has several slots,
and each client draws one: so some hundred acknowledgements come at once, however many members there
are, and the server's receive buffer holds them."""


def wait_for_slot(delay_seconds: float, server_at: float, chance: float) -> float:
    """How long to wait with an acknowledgement: at least half of the delay, at most all of it.

    The wait ends at a slot of the server's clock, which now says `server_at` seconds. `chance`,
    from 0 to 1, chooses among the slots of a long delay.
    """
    half_seconds = delay_seconds / 2
    slot_seconds = min(half_seconds, ACK_SLOT_MAX_SECONDS)
    if slot_seconds <= 0:
        return 0.0
    longest = delay_seconds - chance * (half_seconds - slot_seconds)
    return longest - (server_at + longest) % slot_seconds


class Acknowledging:
    """One client's plan of acknowledgements and gap reports. `jitter` is a factor around 1."""

    def __init__(
        self, rtt: RttEstimator, randomness: random.Random, jitter: Callable[[], float]
    ) -> None:
        self.ack_at = NEVER
        self.gap_at = NEVER
        self._delay_seconds = 0.0
        self._gap_tries = 0
        self._is_reported = False
        self._rtt = rtt
        self._random = randomness
        self._jitter = jitter

    def wait_as_asked(self, delay_ms: int) -> None:
        """The server says how long an acknowledgement is to wait."""
        self._delay_seconds = min(delay_ms / 1000, ACK_DELAY_MAX_SECONDS)

    def plan(self, now: float, server_at: float) -> None:
        """Something has come that is to be acknowledged, when the server's clock said `server_at`,
        in seconds. An earlier plan holds, unless the server asks for an acknowledgement sooner."""
        if self.ack_at > now + self._delay_seconds:
            wait = wait_for_slot(self._delay_seconds, server_at, self._random.random())
            self.ack_at = now + wait

    def acknowledged(self) -> None:
        """A STATUS has gone out."""
        self.ack_at = NEVER

    def progressed(self) -> None:
        """Something new has come: a gap that is left is another one, not yet reported."""
        self._gap_tries = 0
        self._is_reported = False

    def find_gap(self, now: float) -> None:
        """There is a gap: plans to report it, unless it was reported."""
        if not self._is_reported:
            grace = min(max(self._rtt.srtt / 4, GRACE_MIN_SECONDS), GRACE_MAX_SECONDS)
            self.gap_at = min(self.gap_at, now + grace)

    def find_no_gap(self) -> None:
        """There is nothing to report."""
        self.gap_at = NEVER
        self._gap_tries = 0
        self._is_reported = False

    def reported(self, now: float, *, joining: bool) -> None:
        """The gap has been reported: plans to do so again. A client that is joining asks sooner."""
        wait = min(self._rtt.backed_off(self._gap_tries), GAP_RETRY_MAX_SECONDS)
        if joining:
            wait = JOIN_RETRY_SECONDS
        self.gap_at = now + wait * self._jitter()
        self._gap_tries += 1
        self._is_reported = True

    def stop(self) -> None:
        """Plans nothing: there is no session."""
        self.ack_at = self.gap_at = NEVER
        self._is_reported = False

    def next_timeout(self) -> float:
        return min(self.ack_at, self.gap_at)
