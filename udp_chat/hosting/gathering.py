"""What a new host does first: it asks the returning members what they have.

The new host has the log as its own client was shown it. Others may have been shown more by the
last host. So for a moment it lets nobody in; each returning member says in its JOIN what it has,
and the newest events are fetched. Then the new term begins after the newest event that any of them
has, and what a member was shown stays in its place.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import random

from udp_chat.client.replica import Replica
from udp_chat.protocol.lineage import Lineage
from udp_chat.protocol.packets import (
    NO_COOKIE,
    Address,
    Challenge,
    Event,
    Join,
    MalformedDatagram,
    Told,
    decode,
)
from udp_chat.protocol.wire import Parser
from udp_chat.server.cookies import Cookies
from udp_chat.server.derived import Clients, Row
from udp_chat.server.fetching import Fetching
from udp_chat.server.kept import Kept, client_tag
from udp_chat.server.relay import Outgoing

GATHER_SECONDS = 0.4
"""Clients ask every 0.1 s, one of a few addresses each time."""

GATHER_MAX_SECONDS = 1.5
"""While something is still being fetched."""


class Gathering:
    """The moment before a term begins. Not thread-safe."""

    def __init__(
        self, replica: Replica, last_host: int, randomness: random.Random, now: float, until: int
    ) -> None:
        """`replica` is the new host's own. The last host had the number `last_host`; if it has
        handed the room on, its log ended at event `until`, else this is 0."""
        self._random = randomness
        self._cookies = Cookies(randomness.getrandbits(256).to_bytes(32, "big"))
        self._room_id = replica.room_id
        self._lineage = replica.lineage
        log = replica.log
        self._first = log.oldest
        self._events = log.newest(log.entry_count)
        self._clients = Clients(map(Row.parse, replica.rows), replica.register_seq)
        for seq, event in enumerate(self._events, self._first):
            self._clients.follow(seq, Event.parse(Parser(event, 0)))
        self._last_host = last_host
        self._fetching = Fetching()
        self.fetched_count = 0
        """Events that others had, and the new host had not."""
        self._came: set[bytes] = set()
        self._outgoing: list[Outgoing] = []
        self._has_all = 0 < until <= self._latest
        self._ends_at = now + GATHER_SECONDS
        self._ends_at_most = now + GATHER_MAX_SECONDS

    @property
    def _latest(self) -> int:
        return self._first + len(self._events) - 1

    def receive_datagram(self, datagram: bytes, address: Address, now: float) -> None:
        """Takes in one datagram. Whatever it holds, nothing is raised."""
        try:
            packet = decode(datagram)
        except MalformedDatagram:
            return
        if isinstance(packet, Join):
            self._handle_join(packet, address, len(datagram), now)
        elif isinstance(packet, Told):
            for seq, event in self._fetching.take(packet, address, now):
                if seq == self._latest + 1:
                    self.fetched_count += 1
                    self._events.append(event.encode())
                    self._clients.follow(seq, event)

    def _handle_join(self, join: Join, address: Address, size: int, now: float) -> None:
        if not self._cookies.is_good(join.cookie, address, join.client_id, now):
            cookie = self._cookies.make(address, join.client_id, now)
            challenge = Challenge(join.client_id, cookie).encode()
            if join.cookie == NO_COOKIE or len(challenge) <= size:
                self._outgoing.append((challenge, (address,)))
            return
        if join.room_id != self._room_id:
            return  # a newcomer: it asks again
        self._came.add(client_tag(join.client_id, self._room_id))
        lineage = Lineage.decode(join.lineage)
        fork = self._lineage.fork(self._latest, lineage, join.room_ack)
        is_ahead = fork == self._latest < join.room_ack
        if is_ahead and lineage.terms[-1:] == self._lineage.terms[-1:]:
            self._fetching.note(join, address, self._latest, now)

    def is_over(self, now: float) -> bool:
        """Whether the term can begin."""
        if self._has_all or now >= self._ends_at_most:
            return True
        if not self._fetching.is_over:
            return False
        return now >= self._ends_at or self._expected() <= self._came

    def _expected(self) -> set[bytes]:
        return self._clients.tags_in(but=self._last_host)

    def next_timeout(self) -> float:
        """When `is_over` or `datagrams_to_send` may have news."""
        at = self._ends_at if self._fetching.is_over else self._ends_at_most
        return min(at, self._fetching.next_timeout())

    def datagrams_to_send(self, now: float) -> list[Outgoing]:
        """What has to go out now."""
        outgoing, self._outgoing = self._outgoing, []
        for datagram, address in self._fetching.datagrams_to_send(now):
            outgoing.append((datagram, (address,)))
        return outgoing

    def room(self) -> Kept:
        """The room with which the new term begins."""
        epoch = self._random.getrandbits(64) or 1
        members = self._clients.kept_members(self._random)
        return Kept(
            epoch,
            self._first,
            self._events,
            0,
            members,
            room_id=self._room_id,
            lineage=self._lineage.followed_by(epoch, self._latest + 1),
        )
