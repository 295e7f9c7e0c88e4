"""How a client leaves: when it says LEAVE again, and when it stops waiting for BYE.

Pure: it says when, `ChatSession` sends the packet.
"""

from __future__ import annotations

from udp_chat.protocol.delivery import NEVER, RttEstimator

LEAVE_TRIES = 5
"""With 20 % loss each way, one leave in 3000 is left to the server's timeout."""


class Leaving:
    """One client's way out."""

    def __init__(self, rtt: RttEstimator) -> None:
        self.at = NEVER
        """When LEAVE is sent, or given up; never while the client does not leave."""
        self._tries = 0
        self._rtt = rtt

    @property
    def is_over(self) -> bool:
        """Whether LEAVE was sent often enough."""
        return self._tries == LEAVE_TRIES

    def begin(self, now: float) -> None:
        """The client leaves: its first LEAVE is due."""
        self.at = now

    def sent(self, now: float) -> None:
        """LEAVE was sent: plans the next."""
        self.at = now + self._rtt.backed_off(self._tries)
        self._tries += 1

    def stop(self) -> None:
        """Sends no more LEAVEs."""
        self.at = NEVER
