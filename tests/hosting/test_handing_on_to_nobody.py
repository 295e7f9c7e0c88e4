"""A host whose room nobody can take over still hosts it, until it is closed."""

from __future__ import annotations

import random

from tests.machines import of_type
from udp_chat.hosting.room_host import RoomHost
from udp_chat.protocol.packets import (
    NO_COOKIE,
    Address,
    Challenge,
    EventKind,
    Events,
    Join,
    Message,
    MessageKind,
    Packet,
    Say,
    Welcome,
    decode,
)
from udp_chat.server.settings import RoomSettings

ANNA: Address = ("192.0.2.7", 50000)


def test_a_room_that_nobody_takes_over_accepts_messages_until_it_is_closed() -> None:
    host = RoomHost(RoomSettings(), random.Random(1), 9091)
    host.open_room(1.0)
    cookie = NO_COOKIE

    def send(packet: Packet, now: float) -> list[Packet]:
        host.receive_datagram(packet.encode(), ANNA, now)
        host.handle_timeout(now)
        return [decode(datagram) for datagram, _ in host.datagrams_to_send(now)]

    def join(timestamp: int) -> Join:
        return Join(7, timestamp, cookie, 0, 0, 0, 0, 1, "Anna")

    (challenge,) = of_type(Challenge, send(join(1), 1.1))
    cookie = challenge.cookie
    (welcome,) = of_type(Welcome, send(join(2), 1.2))
    host.hand_on(1.3)
    host.handle_timeout(1.3)
    assert host.handed_on is False
    assert not host.is_handing_on
    message = Message(1, MessageKind.CHAT, "still here")
    sent = send(Say(welcome.session_id, 3, (message,)), 1.4)
    events = [event for packet in of_type(Events, sent) for event in packet.events]
    assert [event.text for event in events if event.kind is EventKind.CHAT] == ["still here"]
