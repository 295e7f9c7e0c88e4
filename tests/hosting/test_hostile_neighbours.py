"""What answers from anybody on the network can make a host do that looks for its other parts."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from udp_chat.hosting.room_host import EVERYWHERE, RoomHost
from udp_chat.protocol.packets import (
    OFFER_HANDED_ON,
    OFFER_HOSTS,
    Address,
    Discover,
    Offer,
    decode,
)
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

NEIGHBOUR: Address = ("192.0.2.66", 9091)


def _host() -> tuple[RoomHost, ChatRoom, Offer]:
    """A host that looks for the other parts of its room, and an answer by which it goes there."""
    host = RoomHost(RoomSettings(), random.Random(1), 9091)
    room = host.open_room(1.0)
    host.handle_timeout(1.0)
    (asked,) = (d for d, addresses in host.datagrams_to_send(1.0) if addresses == (EVERYWHERE,))
    discover = decode(asked)
    assert isinstance(discover, Discover)
    offer = Offer(
        discover.nonce,
        room.log.epoch ^ 1,
        9,
        9091,
        "chat",
        room_id=room.room_id,
        absorbs=room.log.epoch,
        flags=OFFER_HOSTS | OFFER_HANDED_ON,
    )
    return host, room, offer


def test_a_host_goes_to_another_part_of_its_room_that_asks_for_its_members() -> None:
    host, room, offer = _host()
    host.receive_datagram(offer.encode(), NEIGHBOUR, 1.1)
    assert host.room is room, "anybody can answer what goes to all"
    asked, *_ = (d for d, addresses in host.datagrams_to_send(1.1) if addresses == (NEIGHBOUR,))
    discover = decode(asked)
    assert isinstance(discover, Discover)
    own = replace(offer, nonce=discover.nonce)
    host.receive_datagram(own.encode(), ("192.0.2.67", 9091), 1.1)
    host.receive_datagram(replace(own, epoch=offer.epoch ^ 2).encode(), NEIGHBOUR, 1.1)
    assert host.room is room, "another one, or another host there"
    host.receive_datagram(own.encode(), NEIGHBOUR, 1.1)
    assert host.moved_to == "192.0.2.66:9091"


@pytest.mark.parametrize(
    "changes",
    [{"port": 0}, {"nonce": 5}, {"flags": OFFER_HOSTS}, {"flags": OFFER_HANDED_ON}, {"epoch": 0}],
)
def test_an_answer_that_cannot_be_another_part_of_the_room_moves_nobody(
    changes: dict[str, Any],
) -> None:
    host, room, offer = _host()
    if "epoch" in changes:
        changes = {"epoch": room.log.epoch}
    host.receive_datagram(replace(offer, **changes).encode(), NEIGHBOUR, 1.1)
    assert host.room is room
