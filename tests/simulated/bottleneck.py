"""A link that carries so many bytes a second, behind a queue that drops what does not fit."""

from __future__ import annotations

IP_UDP_BYTES = 28
"""What IPv4 and UDP add to each datagram."""


class Bottleneck:
    """One way of a serialising link with a tail-drop queue. `now` is virtual time in seconds."""

    def __init__(self, bytes_per_second: float, queue_seconds: float) -> None:
        self.bytes_per_second = bytes_per_second
        self.queue_seconds = queue_seconds
        self.carried_count = self.carried_bytes = self.dropped_count = 0
        self._free_at = float("-inf")

    def take(self, size_bytes: int, now: float) -> float | None:
        """When a packet that comes now has left the link; None if the queue dropped it."""
        begins_at = max(self._free_at, now)
        if begins_at - now > self.queue_seconds:
            self.dropped_count += 1
            return None
        self.carried_count += 1
        self.carried_bytes += size_bytes
        self._free_at = begins_at + size_bytes / self.bytes_per_second
        return self._free_at
