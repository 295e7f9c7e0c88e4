"""What a client counts of its own link, and how it reads the answer to /stats.

Pure. The server's side of the same is `Traffic` in member.py.
"""

from __future__ import annotations

from collections.abc import Mapping

from udp_chat.protocol.answers import STATS_MAX, Link, parse_stats


class OwnLink:
    """The datagrams of one session, as its client sees them."""

    def __init__(self) -> None:
        self.sent_count = 0
        """STATUS and SAY: what the server is told, to find out what was lost."""
        self.received_count = 0
        self.lost_count = 0
        """Of the EVENTS that the server says it has sent, when it last said so."""
        self.links: list[Link] = []

    def begin(self) -> None:
        """A session begins: both ends count from zero."""
        self.sent_count = self.received_count = self.lost_count = 0

    def server_sent(self, count: int) -> None:
        """Takes what the server says it has sent, in the datagram that was received last."""
        self.lost_count = max(0, count - self.received_count)

    def count_sent(self) -> int:
        """Counts a datagram to the server; returns how many there were."""
        self.sent_count = (self.sent_count + 1) & 0xFFFFFFFF
        return self.sent_count

    def take(self, text: str, counters: Mapping[str, int]) -> list[Link] | None:
        """Takes in a part of the answer to /stats; all links once it is complete. To the first,
        which is the client's own, it adds what only this end knows."""
        links, last = parse_stats(text)
        self.links = [*self.links[-STATS_MAX:], *links]
        if not last or not self.links:
            return None
        links, self.links = self.links, []
        links[0] |= {
            "down_received": self.received_count,
            "down_lost": self.lost_count,
            "down_duplicates": counters["duplicates"],
            "retransmissions": counters["retransmissions"],
        }
        return links
