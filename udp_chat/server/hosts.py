"""What the members of one address may use together, however many sessions they open.

A session costs nothing to end and to begin again, so a budget that belonged to it would be none.
The room keeps a `Host` for each IP address that has proven itself with a cookie: how many members
it has, what the room holds for them, and its rates of messages, joins and questions. A host
without members is kept until its rates are as good as new: then a new one would be the same.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

from udp_chat.protocol.delivery import TokenBucket
from udp_chat.protocol.packets import Address
from udp_chat.server.settings import RoomSettings

JOINS_PER_SECOND = 20.0
"""Of one address in the long run. A join and a leave are two events in a log of 10,000."""

JOIN_BURST = 128.0
"""Of one address at once: twice the members it may have, so that all can come back at once."""

QUESTIONS_PER_SECOND = 4.0
QUESTION_BURST = 32.0
"""Of one address: an answer costs up to a hundred times what a line costs."""

HOSTS_MAX = 4096
"""Addresses kept beyond those that members may have: some 3 MB."""

SWEEP_SECONDS = 1.0
"""Between two searches for addresses to forget, where there are too many."""


class Host:
    """One IP address, as the room knows it."""

    __slots__ = (
        "bytes_held",
        "joins",
        "member_count",
        "messages",
        "questions",
        "speakers",
        "turn_at",
        "waits",
    )

    def __init__(self, settings: RoomSettings, now: float) -> None:
        self.member_count = 0
        self.bytes_held = 0
        """What the room holds for its members: see memory.py."""
        self.turn_at = 0.0
        """Whose turn it is to speak: see floor.py, for what follows too."""
        self.waits = False
        self.speakers: list[tuple[float, int, int]] = []
        """A heap of (turn, number, session id): its members that wait for their turn."""
        limited = settings.message_rate > 0 and settings.members_per_address_max > 0
        rate = settings.message_rate if limited else 0.0
        self.messages = TokenBucket(rate, settings.message_burst, now)
        self.joins = TokenBucket(JOINS_PER_SECOND * limited, JOIN_BURST, now)
        self.questions = TokenBucket(QUESTIONS_PER_SECOND * limited, QUESTION_BURST, now)

    def is_as_new(self, now: float) -> bool:
        """Whether forgetting this host would change nothing."""
        buckets = (self.messages, self.joins, self.questions)
        unused = not self.member_count and not self.bytes_held and self.turn_at <= now
        return unused and all(bucket.has(bucket.burst, now) for bucket in buckets)


class Hosts:
    """The hosts that have members, or had some lately. Bounded."""

    def __init__(self, settings: RoomSettings, hosts_max: int = HOSTS_MAX) -> None:
        self._settings = settings
        self._hosts_max = hosts_max + settings.members_max
        self._hosts: dict[str, Host] = {}
        self._sweep_at = float("-inf")

    def __len__(self) -> int:
        return len(self._hosts)

    def get(self, address: Address, now: float) -> Host | None:
        """The host of a proven address; None if there are too many to remember one more."""
        key = str(address[0])
        host = self._hosts.get(key)
        if host is None:
            if len(self._hosts) >= self._hosts_max and self._sweep_at <= now:
                self._sweep_at = now + SWEEP_SECONDS
                self._hosts = {k: h for k, h in self._hosts.items() if not h.is_as_new(now)}
            if len(self._hosts) >= self._hosts_max:
                return None
            host = self._hosts[key] = Host(self._settings, now)
        return host
