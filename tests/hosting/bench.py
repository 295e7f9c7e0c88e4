"""A bench for `RoomHost`: one machine that can host, with numbers for `now`.

`Membership` stands for the machine's own client: a test says where that client stands. What the
host sends is decoded, so that a test reads as a dialogue.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.machines import START, Sent, of_type
from udp_chat.client.replica import Replica
from udp_chat.client.whereabouts import Standing
from udp_chat.hosting.room_host import EVERYWHERE, HOSTED_HEARTBEAT_SECONDS, RoomHost
from udp_chat.protocol.lineage import Lineage
from udp_chat.protocol.packets import (
    NO_COOKIE,
    OFFER_HANDED_ON,
    OFFER_HOSTS,
    Address,
    Challenge,
    Discover,
    Event,
    EventKind,
    Join,
    Message,
    MessageKind,
    Offer,
    Packet,
    Say,
    Status,
    Welcome,
    decode,
)
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

ROOM_ID = 0xA
TERM = Lineage(((ROOM_ID, 1),))
OWN_NUMBER, OTHER_NUMBER, HOST_NUMBER = 7, 8, 9
PORT = 9091
LAST_HOST: Address = ("192.0.2.9", PORT)
OTHER: Address = ("192.0.2.8", PORT)
OWN = f"192.0.2.7:{PORT}"
TAGS = {7: "0000000000000007", 8: "0000000000000008", 9: "0000000000000009"}


def replica(*texts: str) -> Replica:
    """What a member was shown: the joins of all three, and these messages of the one with 8."""
    made = Replica()
    made.begin(ROOM_ID, TERM, 1, START)
    events = [
        Event(EventKind.JOIN, 1, name, "", TAGS[number], number)
        for number, name in ((9, "Hosts"), (7, "Anna"), (8, "Boris"))
    ]
    events += said(*texts)
    made.follow(list(enumerate(events, 1)), len(events), START)
    return made


def said(*texts: str, first_id: int = 1) -> list[Event]:
    return [
        Event(EventKind.CHAT, 1, "Boris", "", text, 8, message_id)
        for message_id, text in enumerate(texts, first_id)
    ]


class Membership:
    """The machine's own client."""

    def __init__(self) -> None:
        self.client_id = 0xC7
        self.standing: Standing | None = Standing(
            room="chat",
            room_id=ROOM_ID,
            name="Anna",
            number=OWN_NUMBER,
            server=LAST_HOST,
            host=HOST_NUMBER,
            last_host=LAST_HOST,
            successors=((OWN_NUMBER, ("192.0.2.7", PORT)),),
            handed_on=True,
            is_in=True,
            away_since=None,
            called_until=None,
        )
        self.replica = replica("a")
        self.looked_at: list[Address] = []

    def stands(self, **fields: Any) -> None:
        assert self.standing is not None
        self.standing = replace(self.standing, **fields)

    def copy_replica(self) -> Replica:
        return self.replica

    def look_at(self, address: Address) -> None:
        self.looked_at.append(address)


class HostBench:
    """A machine that can host, its clock, and what it sent."""

    def __init__(self, *, seed: int = 1, has_member: bool = True) -> None:
        self.now = START
        self.membership = Membership()
        settings = RoomSettings("chat", heartbeat_seconds=HOSTED_HEARTBEAT_SECONDS)
        member = self.membership if has_member else None
        self.host = RoomHost(settings, random.Random(seed), PORT, member, lan_address=OWN)
        self.sent: list[Sent] = []

    @property
    def room(self) -> ChatRoom:
        assert self.host.room is not None
        return self.host.room

    def wake(self) -> list[Sent]:
        self.host.handle_timeout(self.now)
        fresh = [
            Sent(decode(datagram), address, datagram, self.now)
            for datagram, addresses in self.host.datagrams_to_send(self.now)
            for address in addresses
        ]
        self.sent += fresh
        self.host.next_timeout()
        return fresh

    def receive(self, packet: Packet, address: Address) -> list[Sent]:
        self.host.receive_datagram(packet.encode(), address, self.now)
        return self.wake()

    def advance(self, seconds: float) -> list[Sent]:
        """Lets time pass; the host is woken when it asked to be."""
        fresh: list[Sent] = []
        until = self.now + seconds
        while (at := self.host.next_timeout()) is not None and at <= until:
            self.now = max(at, self.now)
            fresh += self.wake()
        self.now = until
        return fresh + self.wake()

    def join(self, client_id: int, address: Address, **fields: Any) -> list[Sent]:
        """A client asks to be let in, and brings its cookie back; what came of that."""
        join = Join(
            client_id=client_id,
            timestamp=int(self.now * 1e6),
            cookie=NO_COOKIE,
            epoch=0,
            room_ack=0,
            inbox_epoch=0,
            inbox_ack=0,
            next_message_id=1,
            name=f"User{client_id}",
        )
        join = replace(join, **fields)
        challenges = [s.packet for s in self.receive(join, address)]
        (challenge,) = (c for c in challenges if isinstance(c, Challenge))
        self.now += 0.001
        timestamp = int(self.now * 1e6)
        return self.receive(replace(join, cookie=challenge.cookie, timestamp=timestamp), address)

    def let_in(self, client_id: int, address: Address) -> Welcome:
        """A newcomer, of the room that is hosted here."""
        (welcome,) = (
            s.packet for s in self.join(client_id, address) if isinstance(s.packet, Welcome)
        )
        return welcome

    def status(self, welcome: Welcome, address: Address) -> list[Sent]:
        """This member has all that there is."""
        latest = self.room.log.latest
        inbox = self.room.members[welcome.session_id].inbox.log.latest
        timestamp = int(self.now * 1e6) + 1
        status = Status(welcome.session_id, timestamp, 0, latest, latest, inbox, inbox)
        return self.receive(status, address)

    def stand_by(self, welcome: Welcome, address: Address) -> None:
        """This member offers to host, and answers when it is asked."""
        offer = Message(welcome.received + 1, MessageKind.STAND_BY, str(PORT))
        say = Say(welcome.session_id, int(self.now * 1e6) + 1, (offer,))
        sent = self.receive(say, address)
        where = (address[0], PORT)
        sent += self.advance(0.1)
        (asked, *_) = of_type(Discover, (s for s in sent if s.address == where))
        standby = Offer(
            asked.nonce, 0, 0, PORT, "chat", room_id=self.room.room_id, flags=OFFER_HANDED_ON
        )
        self.receive(standby, where)
        self.advance(0.3)
        self.now += 0.001

    def answers_for_itself(self, offer: Offer, address: Address) -> None:
        """Another host, which was found, answers what it is asked at its own address; if it is."""
        self.wake()
        asked = of_type(Discover, (s for s in self.sent if s.address == address))
        for discover in asked[-1:]:
            self.receive(replace(offer, nonce=discover.nonce), address)

    def offer(self, nonce: int, **fields: Any) -> Offer:
        """What another host of the same room says."""
        flags = OFFER_HOSTS | OFFER_HANDED_ON
        offer = Offer(nonce, 0xF, 2, PORT, "chat", room_id=ROOM_ID, flags=flags)
        return replace(offer, **fields)


def to_all(sent: Sequence[Sent]) -> list[Sent]:
    """What went to the whole network."""
    return [entry for entry in sent if entry.address == EVERYWHERE]
