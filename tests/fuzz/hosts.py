"""A machine that can host a room, alone with an attacker.

Its own client is played: what that one knows of the room is what chance says. The attacker hears
what is sent to it, so it gets a cookie and comes in.
"""

from __future__ import annotations

import random

from tests.fuzz.stage import Intruder
from udp_chat.client.replica import Replica
from udp_chat.client.whereabouts import Standing
from udp_chat.hosting.room_host import EVERYWHERE, RoomHost
from udp_chat.protocol.lineage import Lineage
from udp_chat.protocol.packets import DATAGRAM_BYTES_MAX, Address, PacketType
from udp_chat.server.settings import RoomSettings

PORT = 9091
OWN: Address = ("127.0.0.1", PORT)
LAST_HOST: Address = ("10.0.0.1", PORT)
FIRST_SUCCESSOR: Address = ("10.0.0.2", PORT)
STEPS_MAX = 2_000
"""By its own timer in one wait: more is a busy loop."""

TAKES_OVER_SECONDS = 5.0
GIVES_UP_SECONDS = 10.0


class HostStage:
    """A `RoomHost`, its clock, its played client, and the attacker."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.now = 1000.0
        self.room_id = chance.getrandbits(64) or 1
        self.away_since: float | None = None
        self.called_until: int | None = None
        self.intruder = Intruder(("10.6.6.6", 40000), chance)
        self._credit = 0
        """Bytes that the attacker's unproven ports may be sent."""
        settings = RoomSettings("chat", heartbeat_seconds=1.0)
        randomness = random.Random(chance.getrandbits(64))
        self.host = RoomHost(settings, randomness, PORT, self, lan_address="10.0.0.3:9091")
        if chance.random() < 0.5:
            self.host.open_room(self.now)
            assert self.host.room is not None
            self.room_id = self.host.room.room_id

    # --- what the host sees of its client ----------------------------------------------------

    @property
    def client_id(self) -> int:
        return 7

    @property
    def standing(self) -> Standing:
        successors = ((2, FIRST_SUCCESSOR), (3, ("10.0.0.3", PORT)))
        place = (OWN, 1, LAST_HOST, successors, True, True)
        called = self.away_since, self.called_until
        return Standing("chat", self.room_id, "Clara", 3, *place, *called)

    def copy_replica(self) -> Replica:
        replica = Replica()
        replica.begin(self.room_id, Lineage(((self.room_id, 1),)), 1, self.now)
        return replica

    def look_at(self, address: Address) -> None:
        self.away_since = self.called_until = None

    # --- time and datagrams ------------------------------------------------------------------

    def act(self) -> None:
        """Something happens to the machine."""
        dice = self.chance.random()
        if dice < 0.3:
            self.away_since = self.now
        elif dice < 0.5:
            self.away_since = None
        elif dice < 0.6:
            self.away_since, self.called_until = self.now, self.chance.choice((0, 1, 2**64))
        elif dice < 0.7:
            self.now += self.chance.choice((1.5, 3.0, 100.0))  # asleep
        elif dice < 0.75:
            self.host.hand_on(self.now)

    def receive(self, datagram: bytes, source: Address) -> None:
        """The host receives a datagram, and is stepped."""
        self._credit += len(datagram)
        self.host.receive_datagram(datagram, source, self.now)
        self.step()

    def step(self) -> None:
        """One wake-up of the host's shell."""
        self.host.handle_timeout(self.now)
        for datagram, addresses in self.host.datagrams_to_send(self.now):
            assert len(datagram) <= DATAGRAM_BYTES_MAX
            for address in addresses:
                if address == self.intruder.address:
                    self.intruder.hear(datagram)
                elif address[0] == self.intruder.address[0]:
                    self._check_stranger(datagram)
                else:
                    assert address in (EVERYWHERE, LAST_HOST, FIRST_SUCCESSOR), address

    def _check_stranger(self, datagram: bytes) -> None:
        if datagram[3] != PacketType.DISCOVER:  # it asks whether the attacker can host
            self._credit -= len(datagram)
            assert self._credit >= 0, "a stranger is sent more than it sent"

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        until = self.now + seconds
        for _ in range(STEPS_MAX):
            at = self.host.next_timeout()
            if at is None or at > until:
                break
            self.now = max(self.now, at)
            self.step()
        else:
            raise AssertionError("the host is woken without end")
        self.now = max(self.now, until)

    def finish(self) -> None:
        """Asserts that the machine still does what it is for."""
        if not self.host.is_hosting and not self.host.is_handing_on:
            self.away_since, self.called_until = self.now, None
            self.step()
            self.run(TAKES_OVER_SECONDS)
            assert self.host.is_hosting, "it does not take the room over"
        self.host.hand_on(self.now)
        self.step()
        self.run(GIVES_UP_SECONDS)
        assert not self.host.is_handing_on, "it hands the room on without end"
