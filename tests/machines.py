"""Benches for the two state machines: one datagram at a time, with numbers for `now`.

`RoomBench` plays the network and, through `Peer`s, the clients of a `ChatRoom`. `SessionBench`
plays the network and the server of a `ChatSession`. Both hand back what a wake-up sent, decoded,
so that a test reads as a dialogue. There is no socket, no thread and no clock here.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar

from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.session import ChatSession, State
from udp_chat.protocol.delivery import COPY_SPACING_SECONDS
from udp_chat.protocol.lineage import Lineage, Range
from udp_chat.protocol.packets import (
    HEADER_BYTES,
    NO_COOKIE,
    OFFER_HANDED_ON,
    Address,
    Answer,
    Bye,
    ByeReason,
    Challenge,
    Discover,
    Event,
    EventKind,
    Events,
    Fetch,
    Join,
    Leave,
    Message,
    MessageKind,
    Offer,
    Packet,
    Refused,
    Say,
    Status,
    Told,
    Welcome,
    decode,
)
from udp_chat.protocol.wire import Parser
from udp_chat.server.member import Member
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

START = 1000.0
"""What the benches' clocks show at first."""

SERVER: Address = ("192.0.2.1", 9091)

P = TypeVar("P", bound=Packet)


class Sent(NamedTuple):
    """A datagram that went to one address."""

    packet: Packet
    address: Address
    datagram: bytes
    at: float


def of_type(kind: type[P], sent: Iterable[object]) -> list[P]:
    """The packets of one type, in order."""
    packets = [entry.packet if isinstance(entry, Sent) else entry for entry in sent]
    return [packet for packet in packets if isinstance(packet, kind)]


def to_address(address: Address, sent: Iterable[Sent]) -> list[Packet]:
    return [entry.packet for entry in sent if entry.address == address]


class RoomBench:
    """A room, its clock, and everything it ever sent."""

    def __init__(self, settings: RoomSettings | None = None, seed: int = 1) -> None:
        self.now = START
        self.settings = settings or RoomSettings()
        self.room = ChatRoom(self.settings, random.Random(seed), self.now)
        self.sent: list[Sent] = []
        self.peer_count = 0

    # --- the network ---

    def take(self, packet: Packet | bytes, address: Address) -> None:
        """The room receives, and is not yet asked what it has to send."""
        datagram = packet if isinstance(packet, bytes) else packet.encode()
        self.room.receive_datagram(datagram, address, self.now)

    def wake(self) -> list[Sent]:
        """One wake-up of the shell: what is due is done, what is to be sent is sent."""
        self.room.handle_timeout(self.now)
        fresh = [
            Sent(decode(datagram), address, datagram, self.now)
            for datagram, addresses in self.room.datagrams_to_send()
            for address in addresses
        ]
        self.sent += fresh
        return fresh

    def receive(self, packet: Packet | bytes, address: Address) -> list[Sent]:
        self.take(packet, address)
        return self.wake()

    def advance(self, seconds: float) -> list[Sent]:
        """Lets time pass; the room is woken when it asked to be."""
        fresh: list[Sent] = []
        until = self.now + seconds
        while (at := self.room.next_timeout()) is not None and at <= until:
            self.now = max(at, self.now)
            fresh += self.wake()
        self.now = until
        return fresh

    # --- the people ---

    def peer(self, name: str, address: Address | None = None) -> Peer:
        """Somebody who is not in yet."""
        self.peer_count += 1
        host = f"192.0.{2 + self.peer_count // 250}.{1 + self.peer_count % 250}"
        address = address or (host, 40000 + self.peer_count)
        return Peer(self, name, 0xC0000 + self.peer_count, address)

    def join(self, name: str, address: Address | None = None, **fields: Any) -> Peer:
        """Somebody who comes in, and acknowledges what is there."""
        peer = self.peer(name, address)
        peer.enter(**fields)
        peer.status()
        return peer

    def keep_alive(self, seconds: float, *peers: Peer) -> list[Sent]:
        """Lets time pass in which these peers acknowledge everything twice a second."""
        fresh: list[Sent] = []
        until = self.now + seconds
        while self.now < until:
            fresh += self.advance(min(0.5, until - self.now))
            for peer in peers:
                fresh += peer.status()
        return fresh

    def talk(self, *peers: Peer) -> None:
        """Has the first of these peers say so much that the room is not calm any more."""
        for _ in range(100):
            self.now += 0.001
            peers[0].say("busy")
            for peer in peers:
                peer.status()

    # --- the truth ---

    def log(self) -> list[Event]:
        """The room's log, as far as it still holds it."""
        log = self.room.log
        return [parse_event(log.slice(n, n, 10_000)[0]) for n in range(log.oldest, log.latest + 1)]

    def lines(self) -> list[str]:
        """Who did what, one entry an event."""
        return [
            f"{e.name} {e.kind.name.lower()}{' ' + e.text if e.text else ''}" for e in self.log()
        ]

    def texts(self) -> list[str]:
        """What was said."""
        return [e.text for e in self.log() if e.kind in (EventKind.CHAT, EventKind.ACTION)]

    def names(self) -> list[str]:
        return sorted(member.name for member in self.room.members.values())

    def state(self) -> object:
        """All that the room knows about its members, for comparison."""
        return (
            self.room.log.latest,
            {
                session_id: (
                    m.name,
                    m.address,
                    m.newest_timestamp,
                    m.heard_at,
                    m.position.acked,
                    m.inbox.acked,
                    m.inbox.log.latest,
                    m.received,
                    m.appended,
                    len(m.held),
                    m.rtt.rto,
                    m.loss.ratio,
                    m.probe_at,
                )
                for session_id, m in self.room.members.items()
            },
            self.room.memory.used_bytes,
        )


def reseal(datagram: bytes) -> bytes:
    """The same datagram with the checksum that its bytes ask for."""
    checksum = zlib.crc32(datagram[HEADER_BYTES:], zlib.crc32(datagram[:4]))
    return datagram[:4] + checksum.to_bytes(4, "big") + datagram[HEADER_BYTES:]


def parse_event(encoded: bytes) -> Event:
    return Event.parse(Parser(encoded, 0))


class Peer:
    """A client of the room, played by hand. Nothing is sent by itself."""

    def __init__(self, bench: RoomBench, name: str, client_id: int, address: Address) -> None:
        self.bench = bench
        self.name = name
        self.client_id = client_id
        self.address = address
        self.cookie = NO_COOKIE
        self.session_id = 0
        self.epoch = 0
        self.inbox_epoch = 0
        self.newest_timestamp = 0
        self.message_id = 0

    @property
    def member(self) -> Member:
        return self.bench.room.members[self.session_id]

    def timestamp(self) -> int:
        now = int(self.bench.now * 1e6)
        self.newest_timestamp = max(self.newest_timestamp + 1, now)
        return self.newest_timestamp

    # --- packets ---

    def join_packet(self, **fields: Any) -> Join:
        join = Join(
            client_id=self.client_id,
            timestamp=self.timestamp(),
            cookie=self.cookie,
            epoch=0,
            room_ack=0,
            inbox_epoch=0,
            inbox_ack=0,
            next_message_id=1,
            name=self.name,
        )
        return replace(join, **fields)

    def say_packet(self, *texts: str, first: int | None = None, **fields: Any) -> Say:
        """A SAY with these texts; message ids count on, or from `first`."""
        if first is None:
            first = self.message_id + 1
            self.message_id += len(texts)
        kind = fields.pop("kind", MessageKind.CHAT)
        to = fields.pop("to", "")
        more = fields.pop("more", False)
        assert not fields
        messages = tuple(
            Message(number, kind, text, to, more) for number, text in enumerate(texts, first)
        )
        return Say(self.session_id, self.timestamp(), messages)

    def status_packet(self, **fields: Any) -> Status:
        """A STATUS that acknowledges everything, but for what is said otherwise."""
        member = self.bench.room.members.get(self.session_id)
        room_ack = self.bench.room.log.latest
        inbox_ack = member.inbox.log.latest if member else 0
        room_ack = fields.setdefault("room_ack", room_ack)
        inbox_ack = fields.setdefault("inbox_ack", inbox_ack)
        status = Status(
            self.session_id, self.timestamp(), 0, room_ack, room_ack, inbox_ack, inbox_ack
        )
        return replace(status, **fields)

    # --- dialogues ---

    def send(self, packet: Packet | bytes) -> list[Sent]:
        """One wake-up of the room with this datagram of mine."""
        return self.bench.receive(packet, self.address)

    def challenge(self) -> bytes:
        """Asks for a cookie and keeps it."""
        (challenge,) = of_type(Challenge, self.send(self.join_packet(cookie=NO_COOKIE)))
        self.cookie = challenge.cookie
        return self.cookie

    def try_to_enter(self, **fields: Any) -> list[Sent]:
        """Fetches a cookie and brings it back; what the room said to that."""
        self.challenge()
        return self.send(self.join_packet(**fields))

    def enter(self, **fields: Any) -> Welcome:
        (welcome,) = of_type(Welcome, self.try_to_enter(**fields))
        self.session_id = welcome.session_id
        self.epoch = welcome.epoch
        self.inbox_epoch = welcome.inbox_epoch
        return welcome

    def resume(self, **fields: Any) -> Welcome:
        """Comes back with what it had; `fields` say otherwise."""
        known: dict[str, Any] = {
            "epoch": self.epoch,
            "inbox_epoch": self.inbox_epoch,
            "next_message_id": self.message_id + 1,
        }
        return self.enter(**{**known, **fields})

    def say(self, *texts: str, **fields: Any) -> list[Sent]:
        return self.send(self.say_packet(*texts, **fields))

    def status(self, **fields: Any) -> list[Sent]:
        return self.send(self.status_packet(**fields))

    def leave(self) -> list[Sent]:
        return self.send(Leave(self.session_id, self.timestamp()))

    # --- in a room that is handed on ---

    def stand_by(self, port: int) -> list[Sent]:
        """Offers to take the room over at a port of mine, and answers there when it is asked."""
        self.say(str(port), kind=MessageKind.STAND_BY)
        sent = self.bench.advance(0.3)
        return sent + self.answer_discover(port)

    def answer_discover(self, port: int) -> list[Sent]:
        """Answers the newest DISCOVER that came to a port of mine."""
        where = (self.address[0], port, *self.address[2:])
        asked = of_type(Discover, to_address(where, self.bench.sent))
        room_id, nonce = self.bench.room.room_id, asked[-1].nonce
        offer = Offer(nonce, 0, 0, port, "", room_id=room_id, flags=OFFER_HANDED_ON)
        return self.bench.receive(offer, where)

    def has_apart(self, events: Range) -> list[Sent]:
        """Says which events of another part of the room are here."""
        return self.say(events.format(), kind=MessageKind.APART)

    def bring(self, events: Sequence[Event], epoch: int = 0xB, **fields: Any) -> list[Sent]:
        """Comes back from another part of the room, where it was shown these events after all that
        the room has, and tells them; what came of that."""
        room = self.bench.room
        first = room.log.latest + 1
        lineage = Lineage(((room.log.epoch, 1), (epoch, first)))
        known: dict[str, Any] = {
            "epoch": epoch,
            "room_ack": room.log.latest + len(events),
            "room_id": room.room_id,
            "lineage": lineage.encode(),
            "member": 8,
        }
        self.enter(**{**known, **fields})
        sent = self.has_apart(Range(epoch, first, first + len(events) - 1))
        sent += self.bench.advance(0.1)
        (fetch, *_) = of_type(Fetch, self.got([*self.bench.sent[-50:]]))
        told = Told(self.client_id, self.timestamp(), fetch.epoch, fetch.first, tuple(events))
        return sent + self.send(told)

    def bring_the_end(self, events: Sequence[Event], lost_count: int) -> Told:
        """Comes back from another part of the room, whose beginning it has not, and waits until it
        is asked for the rest all the same; returns what it has to tell."""
        room = self.bench.room
        first, last = room.log.latest + 1, room.log.latest + lost_count + len(events)
        lineage = Lineage(((room.log.epoch, 1), (0xB, first)))
        ids = {"epoch": 0xB, "room_id": room.room_id, "member": 8}
        self.enter(room_ack=last, lineage=lineage.encode(), **ids)
        self.has_apart(Range(0xB, first, last))
        begins = first + lost_count
        self.send(Told(self.client_id, self.timestamp(), 0xB, begins, ()))
        for _ in range(12):
            self.bench.advance(0.5)
            self.status()
        fetch = of_type(Fetch, self.got(self.bench.sent))[-1]
        assert fetch.first == begins
        return Told(self.client_id, self.timestamp(), 0xB, begins, tuple(events))

    def got(self, sent: Iterable[Sent]) -> list[Packet]:
        """What of this was for me."""
        return to_address(self.address, sent)

    def shown(self, sent: Iterable[Sent], inbox: bool = False) -> list[str]:
        """The texts of the events that came to me, in the order of their datagrams."""
        return [
            event.text
            for packet in of_type(Events, self.got(sent))
            if packet.inbox == inbox
            for event in packet.events
        ]

    def slices(self, sent: Iterable[Sent], inbox: bool = False) -> list[tuple[float, Events]]:
        """When which slices with events went to me."""
        return [
            (s.at, s.packet)
            for s in sent
            if s.address == self.address
            and isinstance(s.packet, Events)
            and s.packet.inbox == inbox
            and s.packet.events
        ]

    def rounds(self, sent: Iterable[Sent]) -> list[tuple[float, Events]]:
        """The same without the copies, which follow at their spacing."""
        rounds, before_at = [], float("-inf")
        for at, packet in self.slices(sent):
            if at - before_at > 1.5 * COPY_SPACING_SECONDS:
                rounds.append((at, packet))
            before_at = at
        return rounds


class SessionBench:
    """A session, its clock, and a server played by hand.

    The hand keeps a log (`append`) and sends slices of it (`slice`), as a room would. Unless
    `loss_prior` says otherwise, the session takes it that its link loses nothing.
    """

    EPOCH = 0xE
    INBOX_EPOCH = 0x1E
    SESSION_ID = 0x5E
    MEMBER = 7

    def __init__(self, name: str = "Anna", seed: int = 1, loss_prior: float = 0.0) -> None:
        self.now = START
        self.session = ChatSession(SERVER, name, random.Random(seed), loss_prior=loss_prior)
        self.sent: list[tuple[float, Packet]] = []
        self.events: list[ChatEvent] = []
        """What is shown, but for who hosts the room: that is in `hosts`."""
        self.hosts: list[ChatEvent] = []
        self.log: list[Event] = []
        self.inbox: list[Event] = []
        self.epoch = self.EPOCH
        self.inbox_epoch = self.INBOX_EPOCH
        self.newest_timestamp = 0
        self.joined = 0

    # --- the network ---

    def wake(self) -> list[Packet]:
        """One wake-up of the shell."""
        self.session.handle_timeout(self.now)
        fresh = [decode(datagram) for datagram in self.session.datagrams_to_send()]
        self.sent += [(self.now, packet) for packet in fresh]
        for event in self.session.take_events():
            (self.hosts if event["event"] == "host" else self.events).append(event)
        return fresh

    def take(self, packet: Packet | bytes, address: Address = SERVER) -> None:
        datagram = packet if isinstance(packet, bytes) else packet.encode()
        self.session.receive_datagram(datagram, address, self.now)

    def receive(self, packet: Packet | bytes, address: Address = SERVER) -> list[Packet]:
        self.take(packet, address)
        return self.wake()

    def advance(self, seconds: float) -> list[tuple[float, Packet]]:
        """Lets time pass; what was sent meanwhile, and when."""
        before = len(self.sent)
        until = self.now + seconds
        while (at := self.session.next_timeout()) is not None and at <= until:
            self.now = max(at, self.now)
            self.wake()
        self.now = until
        return self.sent[before:]

    def say(self, *texts: str, kind: MessageKind = MessageKind.CHAT, to: str = "") -> list[Packet]:
        """The person says something; one wake-up for all."""
        for text in texts:
            self.session.say(text, self.now, kind, to)
        return self.wake()

    def state(self) -> State:
        return self.session.state

    def shown(self, kind: str) -> list[ChatEvent]:
        """The events of one kind, so far."""
        return [event for event in self.events if event["event"] == kind]

    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events]

    # --- the server's hand ---

    def timestamp(self) -> int:
        self.newest_timestamp = max(self.newest_timestamp + 1, int(self.now * 1e6))
        return self.newest_timestamp

    def append(self, *events: Event) -> int:
        """Adds events to the room's log; returns the sequence number of the last."""
        self.log += events
        return len(self.log)

    def chat(self, *texts: str, name: str = "Boris", member: int = 8, first_id: int = 0) -> int:
        """Adds lines to the room's log; `first_id` numbers them if they are an echo."""
        for number, text in enumerate(texts):
            message_id = first_id + number if first_id else 0
            self.append(Event(EventKind.CHAT, 5000, name, "", text, member, message_id))
        return len(self.log)

    def echo(self, *texts: str, first_id: int) -> int:
        """Adds lines of this session itself to the room's log."""
        return self.chat(*texts, name=self.session.name, member=self.MEMBER, first_id=first_id)

    def slice(self, begin: int = 0, end: int | None = None, **fields: Any) -> Events:
        """A slice of the hand's log, from `begin` to `end`; with no `begin`, without events."""
        log: Sequence[Event] = self.inbox if fields.get("inbox") else self.log
        begin = begin or len(log) + 1
        packet = Events(
            self.inbox_epoch if fields.get("inbox") else self.epoch,
            self.timestamp(),
            oldest=1,
            latest=len(log),
            first=begin,
            events=tuple(log[begin - 1 : end]),
            ack_delay_ms=20,
        )
        return replace(packet, **fields)

    def answer(self, echo: int, received: int = 0, appended: int | None = None) -> Events:
        """The answer to a heartbeat or to a SAY."""
        appended = received if appended is None else appended
        return self.slice(answer=Answer(echo, received, appended, len(self.inbox)))

    def roster(self, *names: str, seq: int | None = None, message_id: int = 0) -> Events:
        """Puts a roster into the inbox and returns the datagram that brings it."""
        seq = len(self.log) if seq is None else seq
        text = "\n".join([f"{seq} 0", *names])
        event = Event(EventKind.ROSTER, 5000, "", "", text, self.MEMBER, message_id)
        self.inbox.append(event)
        return self.slice(len(self.inbox), inbox=True)

    def newest(self, kind: type[P]) -> P:
        """The newest packet of a type that the session sent."""
        return of_type(kind, (packet for _, packet in self.sent))[-1]

    def says(self, since: float = 0.0) -> list[tuple[float, list[int]]]:
        """When a SAY was sent, and which messages it carried."""
        return [
            (at, [message.message_id for message in packet.messages])
            for at, packet in self.sent
            if isinstance(packet, Say) and at >= since
        ]

    def rounds(self, since: float = 0.0) -> list[tuple[float, list[int]]]:
        """The same without the copies, which follow at their spacing."""
        says, before_at = [], float("-inf")
        for at, message_ids in self.says(since):
            if at - before_at > 1.5 * COPY_SPACING_SECONDS:
                says.append((at, message_ids))
            before_at = at
        return says

    def count(self, kind: type[P]) -> int:
        return len(of_type(kind, (packet for _, packet in self.sent)))

    def start(self) -> Join:
        self.session.start(self.now)
        (join,) = of_type(Join, self.wake())
        return join

    def challenge(self, cookie: bytes = b"c" * 16) -> list[Packet]:
        return self.receive(Challenge(self.newest(Join).client_id, cookie))

    def welcome_packet(self, **fields: Any) -> Welcome:
        """A WELCOME for the newest JOIN."""
        join = self.newest(Join)
        welcome = Welcome(
            client_id=join.client_id,
            echoed_timestamp=join.timestamp,
            session_id=self.SESSION_ID,
            epoch=self.epoch,
            inbox_epoch=self.inbox_epoch,
            oldest=1,
            latest=len(self.log),
            start=1,
            joined=len(self.log),
            inbox_start=1,
            received=0,
            member=self.MEMBER,
            heartbeat_ms=5000,
            ack_delay_ms=20,
            name=join.name,
            room="chat",
        )
        return replace(welcome, **fields)

    def enter(self, **fields: Any) -> None:
        """Joins an empty room: cookie, WELCOME, the join itself and the roster."""
        self.start()
        self.enter_after_start(**fields)

    def enter_after_start(self, **fields: Any) -> None:
        self.challenge()
        self.now += 0.02
        name = self.session.name
        self.joined = self.append(Event(EventKind.JOIN, 5000, name, "", "", self.MEMBER))
        self.take(self.welcome_packet(joined=self.joined, **fields))
        self.take(self.slice(1))
        self.receive(self.roster(name, "Boris"))
        assert self.kinds()[-1] == "joined"
        self.advance(0.1)  # the acknowledgement

    def bye(self, reason: ByeReason | int, session_id: int | None = None) -> list[Packet]:
        return self.receive(Bye(self.SESSION_ID if session_id is None else session_id, reason))

    def lose_the_link(self) -> float:
        """Lets heartbeats go unanswered until the session says so; returns when that was."""
        self.advance(12.0)
        (event,) = self.shown("reconnecting")[-1:]
        assert event["reason"] == "silence"
        return self.now

    def resume(self, **fields: Any) -> list[Packet]:
        """The server takes the session back, with what it had."""
        self.challenge()
        self.now += 0.02
        return self.receive(self.resume_packet(**fields))

    def resume_packet(self, **fields: Any) -> Welcome:
        join = self.newest(Join)
        known: dict[str, Any] = {
            "start": join.room_ack + 1,
            "joined": self.joined,
            "inbox_start": join.inbox_ack + 1,
        }
        return self.welcome_packet(**{**known, **fields})


__all__ = ["Refused", "RoomBench", "Sent", "SessionBench"]
