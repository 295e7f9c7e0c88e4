"""What reads bytes from the network, each as a target: it makes inputs, takes them, and judges.

A target lives for one round of inputs. `make` bends what was recorded, or what is on its way right
now; `take` feeds it in and raises whatever the target raises, or an AssertionError for a promise
that is broken; `finish` looks once more at the end. Inputs are plain data, so a round can be played
again with some of them left out.
"""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, replace
from typing import ClassVar

from tests.cells import cells
from tests.fuzz.checks import Shown, check_line
from tests.fuzz.hosts import HostStage
from tests.fuzz.mutations import TEXTS, Dissected, bend, damage, dissect, words
from tests.fuzz.stage import (
    HONEST,
    SERVER,
    Intruder,
    Stage,
    recording,
)
from udp_chat.app.doctor_checks import Probing, neighbour_answers
from udp_chat.app.ports import inodes_of_port
from udp_chat.client import chat_events
from udp_chat.client.roster import Roster
from udp_chat.client.session import State
from udp_chat.discovery.beacon import answer
from udp_chat.discovery.search import ROOMS_MAX, FoundRoom, Offers
from udp_chat.protocol.answers import LINK_KEYS, SEEN_MAX, parse_asked, parse_seen, parse_stats
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    TEXT_BYTES_MAX,
    Address,
    Bye,
    Discover,
    Event,
    EventKind,
    Events,
    Join,
    MalformedDatagram,
    Offer,
    Packet,
    PacketType,
    Welcome,
    decode,
)
from udp_chat.protocol.printable import printable

SESSION_CELLS_MAX = 150_000
"""Entries of everything a client keeps: a roster of 50,000 names, twice, and what waits."""

ROOM_CELLS_GROWTH_MAX = 4096
"""Entries that a room may keep about ten thousand addresses that have proven nothing: none but
those of tables with a bound of their own."""

FLOOD_COPIES = 20
"""An input of a flood comes so often, each time a little further on."""

FLOOD_LOOK_INPUTS = 50
"""Between two looks at the memory in a flood: each counts some hundred thousand things."""

FLOOD_RATIO = 0.02
"""So many rounds are floods: they take long."""

MOST_64 = 2**64 - 1

NUMBER_END = 10**20
"""Numbers of answers have at most 20 digits: more than 64 bits need, few enough to divide."""


@dataclass(frozen=True, slots=True)
class Input:
    """One thing that is fed in."""

    data: bytes
    """A datagram, or a text in UTF-8."""
    reader: str = ""
    """Who is to read it, where a target has several readers."""
    source: Address = ()
    wait_seconds: float = 0.0
    """How much time passes before, where there is a clock."""
    copies: int = 1


class Target(ABC):
    """Something that reads what the network sends."""

    NAME: ClassVar[str]
    READS_DATAGRAMS: ClassVar[bool] = True

    def __init__(self, seed: int, stage_chance: random.Random, chance: random.Random) -> None:
        """`stage_chance` is for what the honest do, `chance` for what is made of it."""
        self.chance = chance
        self.recorded = recording(seed)
        self.figures: Counter[str] = Counter()
        """What has become of the inputs."""

    @abstractmethod
    def make(self) -> Input:
        """The next input, from where the target is now."""

    @abstractmethod
    def take(self, given: Input) -> None:
        """Feeds it in and judges."""

    # Most targets need neither of these two, so they are empty, not abstract.
    def wait(self, given: Input) -> None:  # noqa: B027
        """What an input that is left out leaves behind: time passes, where there is a clock."""

    def finish(self) -> None:  # noqa: B027
        """Judges once more when all inputs have been taken."""

    def bent(self, datagram: bytes | None = None) -> bytes:
        """A recorded datagram, bent; any if none is given."""
        if datagram is None:
            datagram = self.chance.choice(self.recorded)
        return bend(dissect(datagram), self.chance, self.recorded)


def packet_in(datagram: bytes) -> Packet | None:
    """The packet in these bytes, None if there is none; that is all that may happen."""
    try:
        return decode(datagram)
    except MalformedDatagram:
        return None


class DecodeTarget(Target):
    """`decode` itself."""

    NAME = "decode"

    def make(self) -> Input:
        return Input(self.bent())

    def take(self, given: Input) -> None:
        packet = packet_in(given.data)
        if packet is not None:
            again = packet.encode()
            assert len(again) <= DATAGRAM_BYTES_MAX
            assert decode(again) == packet, f"{packet} becomes {decode(again)}"


# --- the two machines ------------------------------------------------------------------------


class _StageTarget(Target):
    """A machine in the middle of a conversation."""

    WAITS = (0.0, 0.0, 0.0, 0.0, 0.002, 0.02, 0.05, 0.3)
    LONG_WAIT_RATIO = 0.02
    ACTS_RATIO = 0.15

    def __init__(self, seed: int, stage_chance: random.Random, chance: random.Random) -> None:
        super().__init__(seed, stage_chance, chance)
        self.stage = Stage(stage_chance)
        self.flood = stage_chance.random() < FLOOD_RATIO
        if self.flood:
            self.stage.shows_every = FLOOD_COPIES
        self.stage.run(stage_chance.choice((0.0, 0.1, 1.0)))
        for name in HONEST:
            person = self.stage.people[name]
            until = self.stage.now + 30
            while person.session is None or person.session.state is not State.JOINED:
                assert self.stage.now < until, f"{name} cannot join"
                self.stage.run(0.25)

    def wait_before(self) -> float:
        if self.chance.random() < self.LONG_WAIT_RATIO:
            return self.chance.uniform(1, 8)
        return self.chance.choice(self.WAITS)

    def wait(self, given: Input) -> None:
        stage = self.stage
        if not self.flood and stage.chance.random() < self.ACTS_RATIO:
            stage.act()
        if not self.flood and stage.chance.random() < 0.001:
            stage.restart_room()
        stage.run(given.wait_seconds)

    def finish(self) -> None:
        self.stage.finish()

    def exempt_hijacked(self, packet: Packet | None, source: Address) -> None:
        """Whoever sends an honest member's client id, which is a secret, from elsewhere has taken
        its session over."""
        if isinstance(packet, Join):
            for name in HONEST:
                person = self.stage.people[name]
                ids = [k.datagram for k in self.stage.up if k.source == person.address]
                if source != person.address and any(
                    datagram[3] == PacketType.JOIN and dissect(datagram).id == packet.client_id
                    for datagram in ids
                ):
                    person.exempt = True


class RoomTarget(_StageTarget):
    """A room: strangers, members that are played by hand, replays, and Victor's address forged."""

    NAME = "room"

    INTRUDERS = 4
    INTRUDER_INPUTS_MAX = 60
    """Then it comes anew, as somebody else: what it said may have shut it out for good."""

    def __init__(self, seed: int, stage_chance: random.Random, chance: random.Random) -> None:
        super().__init__(seed, stage_chance, chance)
        self.stage.victor_is_himself = False
        self._ports = 10_000
        self._inputs: Counter[Address] = Counter()
        self._cells_before = cells(self.stage.room) if self.flood else 0

    def _intruder(self) -> Intruder:
        """One of those who are there, or a new one."""
        chance, intruders = self.chance, self.stage.intruders
        if len(intruders) >= self.INTRUDERS:
            intruder = chance.choice(list(intruders.values()))
            self._inputs[intruder.address] += 1
            if self._inputs[intruder.address] < self.INTRUDER_INPUTS_MAX:
                return intruder
            del intruders[intruder.address]
        self._ports += 1
        intruder = Intruder(("10.6.6.6", self._ports), chance)
        intruders[intruder.address] = intruder
        return intruder

    def make(self) -> Input:
        chance, stage = self.chance, self.stage
        wait_seconds = self.wait_before()
        stranger = ("10.9.9.9", chance.randrange(1, 50))
        if self.flood:
            kept = chance.choice(list(stage.up))
            datagram = self.bent(kept.datagram)
            return Input(datagram, "room", stranger, wait_seconds, FLOOD_COPIES)
        dice = chance.random()
        if dice < 0.6:
            intruder = self._intruder()
            datagram = intruder.packet(chance, stage.now + wait_seconds).encode()
            if chance.random() < 0.6:
                datagram = self.bent(datagram)
            return Input(datagram, "room", intruder.address, wait_seconds)
        kept = chance.choice(list(stage.up))
        if dice < 0.7:
            return Input(self.bent(kept.datagram), "room", stranger, wait_seconds)
        if dice < 0.8:  # as it was: from where it came, or from elsewhere
            source = kept.source if chance.random() < 0.7 else stranger
            return Input(kept.datagram, "room", source, wait_seconds)
        if dice < 0.93:
            victor = stage.people["Victor"].address
            of_victor = [k.datagram for k in stage.up if k.source == victor]
            datagram = chance.choice(of_victor) if of_victor else kept.datagram
            return Input(self.bent(datagram), "room", victor, wait_seconds)
        source = chance.choice((stranger, self._intruder().address))
        return Input(self.bent(), "room", source, wait_seconds)

    def take(self, given: Input) -> None:
        self.wait(given)
        self.exempt_hijacked(packet_in(given.data), given.source)
        for number in range(given.copies):
            datagram, source = given.data, given.source
            if number:
                datagram = moved_on(datagram, number)
                source = (f"10.{number}.{source[1]}.9", 1 + self._ports % 60_000)
                self._ports += 1
            self.stage.to_room(datagram, source)

    def finish(self) -> None:
        if self.flood:
            grown = cells(self.stage.room) - self._cells_before
            # What was said meanwhile is in the log, and in a member's inbox.
            log = self.stage.room.log.entry_count
            assert grown - 4 * log < ROOM_CELLS_GROWTH_MAX, f"strangers cost {grown} entries"
        super().finish()


class SessionTarget(_StageTarget):
    """A client: what the room sends Victor comes to him bent, and forgeries come to all."""

    NAME = "session"

    def __init__(self, seed: int, stage_chance: random.Random, chance: random.Random) -> None:
        super().__init__(seed, stage_chance, chance)
        self.stage.withholds = stage_chance.choice((0.0, 0.3, 0.6))
        self._taken = 0
        self._next_seq: dict[int, int] = {}
        growing = (EventKind.JOIN,) * 4  # each a name more, if the client lets it
        self._flood_kind = chance.choice((*EventKind, *growing))
        self._flood_jumps = chance.random() < 0.5

    def make(self) -> Input:
        chance, stage = self.chance, self.stage
        wait_seconds = self.wait_before()
        victor = stage.people["Victor"]
        if self.flood:
            return Input(self._flooding(), "Victor", SERVER, wait_seconds / 10, FLOOD_COPIES)
        dice = chance.random()
        if dice < 0.35 and stage.withheld:
            datagram = stage.withheld[-1].datagram  # older ones have been sent again
            return Input(self.bent(datagram), "Victor", SERVER, wait_seconds)
        downs = list(stage.down)
        if dice < 0.7:
            mine = [kept.datagram for kept in downs[-60:] if kept.target == victor.address]
            datagram = chance.choice(mine or [chance.choice(self.recorded)])
            if dice < 0.6:
                datagram = self._invented(datagram)
            return Input(self.bent(datagram), "Victor", SERVER, wait_seconds)
        if dice < 0.75:  # as it was, late
            mine = [kept.datagram for kept in downs if kept.target == victor.address]
            datagram = chance.choice(mine or [chance.choice(self.recorded)])
            return Input(datagram, "Victor", SERVER, wait_seconds)
        if dice < 0.78:
            return Input(self.bent(), "Victor", SERVER, wait_seconds)
        if dice < 0.8:  # he has to come back, with whatever he was told
            return Input(self._bye(victor.address), "Victor", SERVER, wait_seconds)
        reader = chance.choice(HONEST)
        kept = chance.choice(downs)
        if dice < 0.9:  # somebody forges the server's address, and knows nobody's ids
            packet = dissect(kept.datagram)
            bend(packet, chance, self.recorded, keeps_type=True)
            packet.id = chance.getrandbits(64)
            return Input(packet.encode(), reader, SERVER, wait_seconds)
        if dice < 0.95:
            stranger = ("10.9.9.9", chance.randrange(1, 50))
            return Input(self.bent(kept.datagram), reader, stranger, wait_seconds)
        address = stage.people[reader].address
        mine = [kept.datagram for kept in downs if kept.target == address]
        datagram = chance.choice(mine or [chance.choice(self.recorded)])
        return Input(datagram, reader, SERVER, wait_seconds)

    def _invented(self, datagram: bytes) -> bytes:
        """The same events once more, as those that come next: no room has said them."""
        packet = dissect(datagram)
        if packet.packet_type == PacketType.EVENTS:
            head = packet.head
            latest = head.values[6]
            head.set_number(6, latest + len(packet.entries))
            head.set_number(7, latest + 1)
        return packet.encode()

    def _bye(self, address: Address) -> bytes:
        """A BYE to the newest session at an address, or to none."""
        welcomes = (
            decode(kept.datagram)
            for kept in reversed(self.stage.down)
            if kept.target == address and kept.datagram[3] == PacketType.WELCOME
        )
        welcome = next(welcomes, None)
        session_id = welcome.session_id if isinstance(welcome, Welcome) else 1
        return Bye(session_id, self.chance.choice((2, 3, 255))).encode()

    def _flooding(self) -> bytes:
        """The next events that Victor expects, as many as fit, all of one kind."""
        chance = self.chance
        downs = [decode(k.datagram) for k in [*self.stage.down, *self.stage.withheld]]
        slices = [packet for packet in downs if isinstance(packet, Events)]
        inbox = self._flood_kind in (
            *(EventKind.ROSTER, EventKind.SEEN, EventKind.STATS),
            *(EventKind.NOTICE, EventKind.PRIVATE),
        )
        slices = [packet for packet in slices if packet.inbox == inbox]
        if not slices:
            return self.bent()
        newest = max(slices, key=lambda packet: packet.timestamp)
        first = max(self._next_seq.get(newest.epoch, 1), newest.first)
        event = Event(self._flood_kind, 1, "a", "", "", 9)
        texts = {
            EventKind.ROSTER: "0 1\n" + "\n".join("abcdefgh" * 50),
            EventKind.STATS: "1\n" + "a 1 2 3 4 5 6 7 8 9\n" * 30,
            EventKind.RENAME: "b",
        }
        event = replace(event, text=texts.get(self._flood_kind, ""))
        count = max(1, min(200, (Events.EVENTS_BYTES_MAX - 44) // (len(event.encode()) + 8)))
        jump = 3 if self._flood_jumps and chance.random() < 0.3 else 0
        packet = Events(
            newest.epoch,
            newest.timestamp + 1,
            first + jump,
            first + jump + count - 1,
            first + jump,
            (event,) * count,
            inbox,
            ack_delay_ms=5,
        )
        self._next_seq[newest.epoch] = first + jump + count * FLOOD_COPIES
        return packet.encode()

    def take(self, given: Input) -> None:
        self.wait(given)
        stage = self.stage
        person = stage.people[given.reader]
        for number in range(given.copies):
            datagram = moved_on(given.data, number) if number else given.data
            stage.to_person(person, datagram, given.source)
        self._taken += 1
        if self.flood and self._taken % FLOOD_LOOK_INPUTS == 0:
            self._check_memory()

    def _check_memory(self) -> None:
        for person in self.stage.people.values():
            count = cells(person.session)
            assert count < SESSION_CELLS_MAX, f"{person.name}'s client keeps {count} entries"

    def finish(self) -> None:
        self._check_memory()
        super().finish()
        if self.stage.victor_was_asked:
            self.figures["is heard" if self.stage.victor_is_heard else "stays mute"] += 1


def moved_on(datagram: bytes, number: int) -> bytes:
    """The datagram that its sender might have made so many datagrams later."""
    if packet_in(datagram) is None:
        return datagram
    packet = dissect(datagram)
    head = packet.head
    if packet.packet_type == PacketType.EVENTS:
        count = len(packet.entries)
        for at, step in ((4, 1), (5, count), (6, count), (7, count)):
            head.set_number(at, head.values[at] + number * step)
        _number_names(packet, number)
    else:
        packet.id += number
        if packet.packet_type in (PacketType.JOIN, PacketType.SAY, PacketType.STATUS):
            head.set_number(1, head.values[1] + number)
    moved = packet.encode()
    return moved if packet_in(moved) is not None else datagram


def _number_names(packet: Dissected, number: int) -> None:
    """Has every event be about somebody else, where there is room for it."""
    for at, entry in enumerate(packet.entries):
        entry.set_text(0, b"%x" % (number << 8 | at), True)


# --- discovery, the doctor, the answers ------------------------------------------------------


class DiscoveryTarget(Target):
    """Who answers a DISCOVER, and who collects the OFFERs."""

    NAME = "discovery"

    HOSTS = ("192.0.2.7", "fe80::1%eth0", "127.0.0.1", "2001:db8::7")

    def __init__(self, seed: int, stage_chance: random.Random, chance: random.Random) -> None:
        super().__init__(seed, stage_chance, chance)
        by_type = {
            kind: [datagram for datagram in self.recorded if datagram[3] == kind]
            for kind in (PacketType.DISCOVER, PacketType.OFFER)
        }
        self._discovers, self._offers = by_type[PacketType.DISCOVER], by_type[PacketType.OFFER]
        self._nonce = stage_chance.getrandbits(64)
        self._found = Offers(self._nonce)
        self._room = stage_chance.choice(("chat", "Комната", "x" * 64, ""))

    def make(self) -> Input:
        chance = self.chance
        dice = chance.random()
        if dice < 0.4:
            packet = dissect(chance.choice(self._discovers))
        elif dice < 0.9:
            packet = dissect(chance.choice(self._offers))
            packet.id = self._nonce
        else:
            packet = dissect(chance.choice(self.recorded))
        reader = "answer" if dice < 0.4 or dice > 0.95 else "offers"
        datagram = bend(packet, chance, self._offers)
        return Input(datagram, reader, (chance.choice(self.HOSTS), 9092))

    def _offer(self, nonce: int) -> Offer:
        return Offer(nonce, MOST_64, 2**32 - 1, 65535, self._room)

    def take(self, given: Input) -> None:
        packet = packet_in(given.data)
        if given.reader == "answer":
            reply = answer(given.data, self._offer)
            assert (reply is not None) == isinstance(packet, Discover)
            if reply is not None:
                assert len(reply) <= len(given.data)
                assert isinstance(packet, Discover)
                assert decode(reply) == self._offer(packet.nonce)
            return
        before = self._found.rooms
        self._found.receive(given.data, given.source[0])
        rooms = self._found.rooms
        assert len(rooms) <= ROOMS_MAX
        if not isinstance(packet, Offer) or packet.nonce != self._nonce:
            assert rooms == before, "something else than an OFFER was taken for one"
        for room in set(rooms) - set(before):
            self._check_room(room)

    def _check_room(self, room: FoundRoom) -> None:
        assert 0 < room.address[1] < 65536
        check_line(printable(room.name))


UDP_TABLE = """\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode \
ref pointer drops
  412: 00000000:2383 00000000:0000 07 00000000:00000000 00:00000000 00000000  1000        0 41234 \
2 0000000000000000 0
 1207: 0100007F:2384 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 41235 \
2 0000000000000000 7
 1300: 00000000000000000000000001000000:2383 00000000000000000000000000000000:0000 07 \
00000000:00000000 00:00000000 00000000     0        0 99 2 0000000000000000 0"""

ARP_TABLE = """\
IP address       HW type     Flags       HW address            Mask     Device
192.0.2.7        0x1         0x2         52:54:00:12:34:56     *        eth0
192.0.2.8        0x1         0x0         00:00:00:00:00:00     *        eth0"""


class DoctorTarget(Target):
    """What the doctor reads: answers to its probes, and the kernel's tables."""

    NAME = "doctor"

    PROBES = 20

    def __init__(self, seed: int, stage_chance: random.Random, chance: random.Random) -> None:
        super().__init__(seed, stage_chance, chance)
        self._probing = Probing()
        self._now = 1000.0
        self._ids = [stage_chance.getrandbits(63) + 1 for _ in range(self.PROBES)]
        for number, session_id in enumerate(self._ids):
            packet = packet_in(
                self._probing.next_probe(session_id, self._now, short=number % 4 > 0)
            )
            assert packet is not None
        self._byes = [datagram for datagram in self.recorded if datagram[3] == PacketType.BYE]

    def make(self) -> Input:
        chance = self.chance
        dice = chance.random()
        if dice < 0.25:
            return Input(words(chance, UDP_TABLE).encode(), "inodes_of_port")
        if dice < 0.5:
            return Input(words(chance, ARP_TABLE).encode(), "neighbour_answers")
        packet = dissect(chance.choice(self._byes))
        packet.id = chance.choice(self._ids)
        if dice < 0.8:
            return Input(bend(packet, chance, self._byes), "probing")
        return Input(self.bent(), "probing")

    def take(self, given: Input) -> None:
        if given.reader == "inodes_of_port":
            inodes = inodes_of_port(given.data.decode(), 9091)
            assert all(isinstance(inode, str) for inode in inodes)
        elif given.reader == "neighbour_answers":
            assert neighbour_answers(given.data.decode(), "192.0.2.7") in (True, False, None)
        else:
            self._now += 0.001
            probing = self._probing
            before = len(probing.rtts_seconds)
            probing.receive(given.data, self._now)
            assert before <= len(probing.rtts_seconds) <= self.PROBES
            assert all(0 < rtt <= self._now - 1000 for rtt in probing.rtts_seconds[before:])
            assert probing.outcome in ("answered", "short_only", "stranger", "silent")


class AnswersTarget(Target):
    """The texts of answers, and every event as it is shown: what a room may tell a client."""

    NAME = "answers"
    READS_DATAGRAMS = False

    KINDS = tuple(EventKind)

    def __init__(self, seed: int, stage_chance: random.Random, chance: random.Random) -> None:
        super().__init__(seed, stage_chance, chance)
        self._texts = recorded_texts(seed)
        self._shown = Shown()
        self._roster = Roster()
        self._roster.await_one()

    def make(self) -> Input:
        chance = self.chance
        kind = chance.choice(self.KINDS)
        known = self._texts.get(kind, [])
        dice = chance.random()
        was = chance.choice(known) if known and dice < 0.7 else chance.choice(TEXTS)
        data = words(chance, was).encode() if dice < 0.9 else was.encode()
        data = damage(data[:TEXT_BYTES_MAX], chance) if dice > 0.97 else data[:TEXT_BYTES_MAX]
        return Input(data.decode("utf-8", "ignore").encode()[:TEXT_BYTES_MAX], kind.name)

    def take(self, given: Input) -> None:
        text = given.data.decode("utf-8", "ignore")
        kind = EventKind[given.reader]
        self._check_numbers(text)
        name = text[:32].encode()[:64].decode("utf-8", "ignore")
        event = Event(kind, 1000, name, name, text, 7, 3)
        if kind <= EventKind.RENAME:  # the others are in an inbox
            self._shown.show(chat_events.of_room(1, event, bool(len(text) % 2)))
        shown = [
            chat_events.of_notice(event),
            chat_events.of_private(event),
            chat_events.of_seen(event, {1: text, 7: "x"}),
        ]
        links, last = parse_stats(text)
        assert isinstance(last, bool)
        shown.append({"event": "notice", "reason": "stats", "links": links})
        shown.append({"event": "refused", "reason": name, "text": text})
        shown.append({"event": "joined", "name": name, "room": text, "members": text.split("\n")})
        for one in shown:
            self._shown.show(one)
        if kind is EventKind.ROSTER:
            complete = self._roster.take(event, 5)
            assert complete in (True, False, None)
            self._roster.follow(9, event)
            assert all(isinstance(name, str) for name in self._roster.names)

    def _check_numbers(self, text: str) -> None:
        asked = parse_asked(text, latest=1000)
        assert len(asked) <= SEEN_MAX
        assert all(0 < seq <= 1000 for seq in asked)
        seen = parse_seen(text)
        if seen is not None:
            assert all(0 <= number < NUMBER_END for number in seen[:3]), "no such number is sent"
        for link in parse_stats(text)[0]:
            assert set(link) == {"name", *LINK_KEYS}
            numbers = [link[key] for key in LINK_KEYS]
            assert all(isinstance(n, int) and 0 <= n < NUMBER_END for n in numbers), "too large"


def recorded_texts(seed: int) -> dict[EventKind, list[str]]:
    """The texts of the recorded events, by their kind."""
    texts: dict[EventKind, list[str]] = {}
    for datagram in recording(seed):
        if datagram[3] == PacketType.EVENTS:
            packet = decode(datagram)
            assert isinstance(packet, Events)
            for event in packet.events:
                texts.setdefault(event.kind, []).append(event.text)
    return texts


class HostTarget(Target):
    """A machine that can host a room, and what takes it over and hands it on."""

    NAME = "host"
    WAITS = (0.0, 0.0, 0.01, 0.1, 0.5)

    def __init__(self, seed: int, stage_chance: random.Random, chance: random.Random) -> None:
        super().__init__(seed, stage_chance, chance)
        self.stage = HostStage(stage_chance)

    def make(self) -> Input:
        chance, intruder = self.chance, self.stage.intruder
        wait_seconds = chance.choice(self.WAITS)
        ip, port = intruder.address
        if chance.random() < 0.4:
            return Input(self.bent(), "host", (ip, port + chance.choice((0, 1))), wait_seconds)
        datagram = intruder.packet(chance, self.stage.now + wait_seconds).encode()
        if chance.random() < 0.4:
            datagram = self.bent(datagram)
        return Input(datagram, "host", intruder.address, wait_seconds)

    def take(self, given: Input) -> None:
        self.wait(given)
        self.stage.receive(given.data, given.source)

    def wait(self, given: Input) -> None:
        if given.wait_seconds > 0.3:
            self.stage.act()
        self.stage.run(given.wait_seconds)

    def finish(self) -> None:
        self.stage.finish()


TARGETS: dict[str, type[Target]] = {
    target.NAME: target
    for target in (
        *(DecodeTarget, RoomTarget, SessionTarget),
        *(DiscoveryTarget, DoctorTarget, AnswersTarget, HostTarget),
    )
}
