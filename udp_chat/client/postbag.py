"""The datagrams that a client is about to send, and the timestamps they carry. Pure."""

from __future__ import annotations

from udp_chat.protocol.packets import Packet


class Postbag:
    """What goes to the server at the next wake-up."""

    def __init__(self) -> None:
        self.timestamp = 0
        """Of the newest datagram; microseconds."""
        self._datagrams: list[bytes] = []

    @property
    def is_empty(self) -> bool:
        return not self._datagrams

    def next_timestamp(self, now: float) -> int:
        """Microseconds of `now`, made to grow with each datagram."""
        self.timestamp = max(self.timestamp + 1, int(now * 1e6))
        return self.timestamp

    def put(self, packet: Packet) -> None:
        self._datagrams.append(packet.encode())

    def take(self) -> list[bytes]:
        """All of it, in order, once."""
        datagrams, self._datagrams = self._datagrams, []
        return datagrams
