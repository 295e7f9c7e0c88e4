"""The minimal client of docs/protocol.md, 1.1, talks with the real room and the real hosts."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import cast

import pytest

from tests.protocol.golden import GOLDEN
from tests.protocol.minimal_client import MinimalClient
from udp_chat.protocol.packets import Address, Welcome
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

SERVER, OTHER_SERVER = ("192.0.2.1", 9091), ("192.0.2.2", 9091)
TICK_SECONDS = 0.01


class Link:
    """Rooms and minimal clients on a link that loses both ways, in virtual time."""

    def __init__(self, loss: float = 0.0) -> None:
        self.now = 1000.0
        self.loss = loss
        self.random = random.Random(1)
        self.rooms: dict[Address, ChatRoom] = {SERVER: self.room()}
        self.clients: dict[Address, MinimalClient] = {}

    def room(self) -> ChatRoom:
        return ChatRoom(RoomSettings(), random.Random(self.random.random()), self.now)

    def client(self, name: str) -> MinimalClient:
        number = len(self.clients) + 1
        client = MinimalClient(SERVER, name, 0xC0FFEE00 + number, self.now)
        self.clients[f"198.51.100.{number}", 50000] = client
        return client

    def is_lost(self) -> bool:
        return self.random.random() < self.loss

    def run_until(self, is_done: Callable[[], bool], seconds: float = 60.0) -> None:
        ends_at = self.now + seconds
        while not is_done():
            assert self.now < ends_at, "not done"
            self.now += TICK_SECONDS
            for address, client in self.clients.items():
                self._to_room(client, client.step(self.now), address)
            for server, room in self.rooms.items():
                room.handle_timeout(self.now)
                for datagram, addresses in room.datagrams_to_send():
                    for address in addresses:
                        self._to_client(datagram, server, address)

    def _to_room(self, client: MinimalClient, datagrams: list[bytes], address: Address) -> None:
        room = self.rooms.get(client.server)
        for datagram in datagrams:
            if room is not None and not self.is_lost():
                room.receive_datagram(datagram, address, self.now)

    def _to_client(self, datagram: bytes, server: tuple[str, int], address: Address) -> None:
        client = self.clients[address]
        if not self.is_lost():
            self._to_room(client, client.receive(datagram, server, self.now), address)


@pytest.mark.parametrize("loss", [0.0, 0.2])
def test_what_minimal_clients_say_is_shown_to_all_once_in_one_order(loss: float) -> None:
    link = Link(loss)
    anna, boris = link.client("Anna"), link.client("Борис")
    link.run_until(lambda: anna.is_in and boris.is_in)
    said = [f"line {number}" for number in range(20)]
    for number, text in enumerate(said):
        (anna, boris)[number % 2].say(text)
    link.run_until(lambda: len(anna.shown) == len(boris.shown) == len(said))
    link.run_until(lambda: not anna.waiting and not boris.waiting)
    assert anna.shown == boris.shown
    assert sorted(anna.shown) == sorted(said)
    assert not anna.lost
    anna.leave()
    link.run_until(lambda: anna.is_over)
    room = link.rooms[SERVER]
    assert [member.name for member in room.members.values()] == ["Борис"]
    # Nothing was malformed. A BYE may have been lost: then LEAVE is sent once more.
    assert set(room.counters) <= {"gap repairs", "tail repairs", "stale", "unknown session"}


def test_a_minimal_client_stays_for_a_minute_and_comes_back_to_a_server_that_was_restarted() -> (
    None
):
    link = Link()
    anna = link.client("Anna")
    link.run_until(lambda: anna.is_in)
    began_at = link.now
    link.run_until(lambda: link.now > began_at + 60, 70)
    assert len(link.rooms[SERVER].members) == 1
    link.rooms[SERVER] = link.room()
    anna.say("still here")
    link.run_until(lambda: anna.shown == ["still here"])


def test_a_minimal_client_follows_its_room_to_another_host() -> None:
    link = Link()
    anna = link.client("Anna")
    link.run_until(lambda: anna.is_in)
    link.rooms[OTHER_SERVER] = link.room()
    link.rooms[SERVER].close(link.now, "0 0 192.0.2.2:9091")
    anna.say("here now")
    link.run_until(lambda: anna.shown == ["here now"])
    assert anna.server == OTHER_SERVER
    assert [member.name for member in link.rooms[OTHER_SERVER].members.values()] == ["Anna"]


def test_a_minimal_client_asks_a_successor_when_its_host_is_silent() -> None:
    link = Link()
    anna = link.client("Anna")
    welcome = replace(
        cast(Welcome, GOLDEN["welcome"][0]),
        client_id=anna.client_id,
        successors="5 192.0.2.2:9091\n",
    )
    anna.receive(welcome.encode(), SERVER, link.now)
    assert anna.is_in
    link.rooms = {OTHER_SERVER: link.room()}
    anna.say("where are you?")
    link.run_until(lambda: anna.shown == ["where are you?"], 15.0)
    assert anna.server == OTHER_SERVER
