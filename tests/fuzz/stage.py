"""A room and its people in virtual time, for datagrams that do not belong there.

`Stage` runs one `ChatRoom` and a few `ChatSession`s over a small network that loses, doubles and
reorders. Anna and Boris are honest: whatever others do, what they say must reach both, once and in
one order (`finish`). Clara comes and goes. Victor is who is attacked. All datagrams on their way
are kept, for others to bend.

It watches what must hold after every step: nothing is raised, no machine wants to be woken again
and again while no time passes, no datagram is too long, an address that has proven nothing is sent
no more than it sent, and what a person is shown moves no cursor. It looks at public names only.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import NamedTuple

from tests.fuzz.checks import Shown
from tests.fuzz.mutations import TEXTS
from tests.protocol.golden import GOLDEN
from udp_chat.app.doctor_checks import long_probe, short_probe
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.session import ChatSession, State
from udp_chat.protocol.lineage import NO_TERMS, Lineage, Range
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    HEADER_BYTES,
    NO_COOKIE,
    OFFER_HANDED_ON,
    TEXT_BYTES_MAX,
    Address,
    Bye,
    Challenge,
    Discover,
    Event,
    EventKind,
    Events,
    Fetch,
    Join,
    Leave,
    MalformedDatagram,
    Message,
    MessageKind,
    Offer,
    Packet,
    PacketType,
    Say,
    Status,
    Told,
    Welcome,
    decode,
)
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

SERVER: Address = ("192.0.2.1", 9091)
HONEST = ("Anna", "Boris")
WANDERERS = ("Clara", "Victor")

KEPT_MAX = 300
"""Datagrams of each direction that are kept to be bent."""

INSTANT_STEPS_MAX = 20
"""Steps of one machine by its own timer while no time passes: more is a busy loop."""

SESSION_STEPS_MAX = 2_000
ROOM_STEPS_MAX = 20_000
"""Steps by its own timer in one second. A room may be woken for each message that a member's rate
holds back, some hundreds a second; a step of a microsecond would be a million."""

COMPLETE_SECONDS = 120.0
"""So long, in virtual time, the honest may take to be complete once the attack is over: members
that fell silent time out after 15 s, and a name that was taken is free again only then."""

STANDBY_PORT = 9191
"""Where people's machines say that they can host the room. None does: whoever goes there in vain
has to come back."""

LEAVE_SECONDS = 60.0
"""So long whoever wants to leave may be kept, whatever they were told."""


# --- the people ------------------------------------------------------------------------------


class Kept(NamedTuple):
    """A datagram that was on its way."""

    datagram: bytes
    source: Address
    target: Address


class Intruder:
    """A client that is played by hand: it knows what the room told it, and says what it likes."""

    def __init__(self, address: Address, chance: random.Random) -> None:
        self.address = address
        self.client_id = chance.getrandbits(64) or 1
        self.cookie = NO_COOKIE
        self.session_id = 0
        self.epoch = self.inbox_epoch = 0
        self.room_ack = self.inbox_ack = 0
        self.received = 0
        self._number = 0
        self._timestamp = 0
        self._room_id = 0
        self._lineage = NO_TERMS
        self._asked: Fetch | None = None
        """What the room wants to be told."""

    def hear(self, datagram: bytes) -> None:
        """Takes in what the room sent to this address."""
        packet = decode(datagram)
        if isinstance(packet, Challenge):
            self.cookie = packet.cookie
        elif isinstance(packet, Welcome):
            self.session_id, self._number = packet.session_id, packet.member
            self.epoch, self.inbox_epoch = packet.epoch, packet.inbox_epoch
            self.received = packet.received
            self._room_id, self._lineage = packet.room_id, Lineage.decode(packet.lineage)
        elif isinstance(packet, Fetch):
            self._asked = packet
        elif isinstance(packet, Bye):
            self.session_id = 0
        elif isinstance(packet, Events):
            last = packet.first + len(packet.events) - 1
            if packet.inbox:
                self.inbox_ack = max(self.inbox_ack, last)
            else:
                self.room_ack = max(self.room_ack, last)
            if packet.answer is not None:
                self.received = max(self.received, packet.answer.received)
            for event in packet.events:
                if event.member == self._number:
                    self.received = max(self.received, event.message_id)

    def packet(self, chance: random.Random, now: float) -> Packet:
        """What a client in its place might send next, but for what it says."""
        self._timestamp = max(self._timestamp + 1, int(now * 1e6))
        dice = chance.random()
        if not self.session_id or dice < 0.05:
            name = chance.choice(("Mallory", "Mallory2", "Anna", "Victor", "М", "x" * 32))
            acks = (self.epoch, self.room_ack, self.inbox_epoch, self.inbox_ack)
            join = Join(self.client_id, self._timestamp, self.cookie, *acks, 1, name)
            return self._from_elsewhere(join, chance) if chance.random() < 0.5 else join
        if self._asked is not None and chance.random() < 0.5:
            return self._told(self._asked, chance)
        if dice < 0.45:
            return self._say(chance)
        if dice < 0.98:
            gap = chance.choice((0, 0, 1, 5))
            return Status(
                self.session_id,
                self._timestamp,
                chance.choice((0, self._timestamp)),
                self.room_ack,
                self.room_ack + gap,
                self.inbox_ack,
                self.inbox_ack + gap,
                chance.randrange(100),
                chance.random() < 0.3,
            )
        return Leave(self.session_id, self._timestamp)

    def _from_elsewhere(self, join: Join, chance: random.Random) -> Join:
        """The same, as if it came from another part of the room."""
        epoch, first = chance.getrandbits(64), chance.choice((1, self.room_ack + 1, 2**64 - 1))
        return replace(
            join,
            epoch=epoch,
            room_ack=min(first + chance.choice((0, 3, 300, 10**6)), 2**64 - 1),
            room_id=self._room_id,
            member=chance.choice((0, self._number, 1, 2**32 - 1)),
            lineage=self._lineage.followed_by(epoch, first).encode(),
        )

    def _told(self, fetch: Fetch, chance: random.Random) -> Told:
        """What the room has asked for, in the name of whoever is in."""
        self._asked = None
        events: list[Event] = []
        room_bytes = Told.EVENTS_BYTES_MAX
        for number in range(chance.choice((0, 1, 5, 100))):
            kind = chance.choice((EventKind.CHAT, EventKind.ACTION, EventKind.LEAVE))
            odd = "x" if kind is EventKind.LEAVE else chance.choice(TEXTS[:20])[:60]
            member = chance.choice((self._number or 1, 1, 2, 2**32 - 1))
            name = chance.choice(("Anna", "Mallory", "\x1b[2J", "М"))
            event = Event(kind, chance.getrandbits(64), name, "", odd, member, number)
            room_bytes -= len(event.encode())
            if room_bytes >= 0:
                events.append(event)
        first = min(max(fetch.first, 1), 2**63)
        return Told(self.client_id, self._timestamp, fetch.epoch, first, tuple(events))

    def _say(self, chance: random.Random) -> Say:
        messages: list[Message] = []
        room_bytes = Say.MESSAGES_BYTES_MAX
        for number in range(1, chance.choice((1, 1, 2, 5, 40)) + 1):
            kind = chance.choice(list(MessageKind))
            odd = chance.choice(TEXTS).encode()[:TEXT_BYTES_MAX].decode("utf-8", "ignore")
            if kind is MessageKind.APART and chance.random() < 0.7:
                last = chance.choice((1, self.room_ack + 3, 10**6, 2**64 - 1))
                odd = Range(chance.getrandbits(64), chance.choice((1, last)), last).format()
            to = chance.choice(("Anna", "Boris", "Nobody", "")) if chance.random() < 0.5 else ""
            more = chance.random() < 0.2
            message = Message(self.received + number & 0xFFFFFFFF, kind, odd, to, more)
            room_bytes -= len(message.encode())
            if room_bytes < 0 and messages:
                break
            messages.append(message)
        return Say(self.session_id, self._timestamp, tuple(messages))


class _Machine:
    """When a machine is to be woken, and whether it asks for that too often."""

    def __init__(self, name: str, steps_max: int) -> None:
        self.name = name
        self.wake_at = float("inf")
        self._steps_max = steps_max
        self._instant = self._second = float("-inf")
        self._instant_steps = self._second_steps = 0

    def woken(self, now: float) -> None:
        """Notes a step that the machine itself asked for."""
        if now > self._instant:
            self._instant, self._instant_steps = now, 0
        if now > self._second + 1:
            self._second, self._second_steps = now, 0
        self._instant_steps += 1
        self._second_steps += 1
        assert self._instant_steps <= INSTANT_STEPS_MAX, f"{self.name}: a busy loop"
        assert self._second_steps <= self._steps_max, f"{self.name}: woken without end"


class Person(_Machine):
    """Somebody with a client."""

    def __init__(self, name: str, number: int) -> None:
        super().__init__(name, SESSION_STEPS_MAX)
        self.address: Address = (f"10.0.0.{number}", 40000)
        self.session: ChatSession | None = None
        self.cut_until = float("-inf")
        self.lines: list[str] = []
        """Said, by this session."""
        self.shown: list[str] = []
        """Lines of the honest that this session has shown, in this order."""
        self.heard: deque[str] = deque(maxlen=50)
        """The newest lines of anybody."""
        self.may_miss = False
        """Some were declared lost, or the room was opened anew."""
        self.exempt = False
        """Whose ids an attacker used from a proven address: nothing is promised."""


class Stage:
    """The room, the people and the network; `now` is its clock. All chance is `chance`'s."""

    def __init__(self, chance: random.Random, settings: RoomSettings | None = None) -> None:
        self.chance = chance
        self.now = chance.choice((0.25, 1000.0, 5e6))
        self.settings = settings or random_settings(chance)
        self.loss = chance.choice((0.0, 0.05, 0.2))
        self.up: deque[Kept] = deque(maxlen=KEPT_MAX)
        self.down: deque[Kept] = deque(maxlen=KEPT_MAX)
        self.withheld: deque[Kept] = deque(maxlen=32)
        """Of those to Victor, what the network lost on purpose: the next he needs."""
        self.withholds = 0.0
        """How much of what goes to Victor is withheld."""
        self.intruders: dict[Address, Intruder] = {}
        self.restarts = 0
        self.shown = Shown()
        self.shows_every = 1
        """Of so many events one is shown: in a flood there are too many."""
        self._event_count = 0
        self.victor_was_asked = self.victor_is_heard = False
        self.victor_is_himself = True
        """Nobody else talks to the room with his ids: then he is heard in the end."""
        self._order = itertools.count()
        self._queue: list[tuple[float, int, Kept]] = []
        self._challenged: dict[Address, set[bytes]] = {}
        self._proven: set[Address] = set()
        self._credit: dict[Address, int] = {}
        """Bytes that an address may be sent before it has proven anything."""
        self._room_machine = _Machine("the room", ROOM_STEPS_MAX)
        self._line_number = 0
        self._mark = f"#{chance.getrandbits(32):08x}"
        """In every line said here and in none that was recorded elsewhere."""
        self.people = {
            name: Person(name, n) for n, name in enumerate((*HONEST, *WANDERERS), start=1)
        }
        self._by_address = {person.address: person for person in self.people.values()}
        self.restart_room()
        for person in self.people.values():
            self.come(person)

    # --- who does what -------------------------------------------------------------------

    def restart_room(self) -> None:
        """The server's process ends and another begins."""
        randomness = random.Random(self.chance.getrandbits(64))
        self.room = ChatRoom(self.settings, randomness, self.now, 1.7e9)
        self.restarts += 1
        self._proven.clear()
        for person in self.people.values():
            person.may_miss = self.restarts > 1

    def come(self, person: Person) -> None:
        """A person starts a client: a new process, at a new port."""
        self._move(person)
        randomness = random.Random(self.chance.getrandbits(64))
        person.session = ChatSession(SERVER, person.name, randomness)
        person.lines, person.shown, person.may_miss = [], [], False
        if self.chance.random() < 0.5:
            person.session.stand_by(STANDBY_PORT, self.now)
            person.session.outbox.ask(MessageKind.APART, Range(0xB, 1, 3).format())
        person.session.start(self.now)
        self._step(person)

    def _move(self, person: Person) -> None:
        self._by_address.pop(person.address, None)
        person.address = (person.address[0], person.address[1] + 1)
        self._by_address[person.address] = person

    def act(self) -> None:
        """Somebody does something. The honest only talk; wanderers do what people do."""
        chance = self.chance
        person = self.people[chance.choice((*HONEST, *WANDERERS))]
        session = person.session
        dice = chance.random()
        if session is None or session.state is State.CLOSED:
            self.come(person)
        elif dice < 0.6:
            self.say(person, "слово " * chance.choice((0, 0, 1, 1, 30)))
        elif dice < 0.63:
            session.say("waves", self.now, MessageKind.ACTION)
        elif dice < 0.73:
            to = chance.choice((*session.members, "Nobody"))
            session.say("psst", self.now, MessageKind.PRIVATE, to)
        elif dice < 0.85:
            self._ask(session)
        elif person.name in HONEST:
            session.say(f"{person.name}{chance.randrange(3)}", self.now, MessageKind.RENAME)
        elif dice < 0.89:
            session.leave(self.now)
        elif dice < 0.92:
            person.session = None  # crashed
            return
        elif dice < 0.96:
            self._move(person)
        else:
            person.cut_until = self.now + chance.uniform(0.5, 8.0)
        self._step(person)

    def _ask(self, session: ChatSession) -> None:
        dice = self.chance.random()
        if dice < 0.3:
            session.ask_seen(self.now)
        elif dice < 0.6:
            session.ask_stats(self.now)
        elif dice < 0.8:
            session.say("", self.now, MessageKind.WHO)
        else:
            session.say("Anna", self.now, MessageKind.RENAME)  # in use, mostly

    def visit(self, name: str) -> None:
        """One more client that wants a name, which may be taken."""
        visitor = self.people.setdefault("visitor", Person(name, len(self.people) + 1))
        self.come(visitor)

    def say(self, person: Person, rest: str = "") -> None:
        assert person.session is not None
        self._line_number += 1
        line = f"{person.name} {self._line_number} {self._mark} {rest}".strip()
        person.lines.append(line)
        person.session.say(line, self.now)
        self._step(person)

    # --- time ----------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        """Lets so much time pass."""
        until = self.now + seconds
        while True:
            machines = (self._room_machine, *self.people.values())
            at = min(machine.wake_at for machine in machines)
            if self._queue and self._queue[0][0] <= at:
                at = self._queue[0][0]
                if at > until:
                    break
                self.now = max(self.now, at)
                self._arrive(heapq.heappop(self._queue)[2])
                continue
            if at > until:
                break
            self.now = max(self.now, at)
            for machine in machines:
                if machine.wake_at <= self.now:
                    machine.woken(self.now)
                    if isinstance(machine, Person):
                        self._step(machine)
                    else:
                        self.step_room()
        self.now = until

    def _transmit(self, kept: Kept) -> None:
        """Puts a datagram on the wire."""
        chance = self.chance
        if chance.random() < self.loss:
            return
        for _ in range(2 if chance.random() < self.loss else 1):
            at = self.now + 0.001 + 0.03 * chance.random()
            heapq.heappush(self._queue, (at, next(self._order), kept))

    def _arrive(self, kept: Kept) -> None:
        if kept.target == SERVER:
            self.to_room(kept.datagram, kept.source)
            return
        person = self._by_address.get(kept.target)
        if person is not None and person.cut_until <= self.now:
            self.to_person(person, kept.datagram, kept.source)

    def to_room(self, datagram: bytes, source: Address) -> None:
        """The room receives a datagram, and is stepped."""
        self._note(datagram, source)
        self.room.receive_datagram(datagram, source, self.now)
        self.step_room()

    def to_person(self, person: Person, datagram: bytes, source: Address) -> None:
        """A person's client receives a datagram, and is stepped."""
        if person.session is not None:
            person.session.receive_datagram(datagram, source, self.now)
            self._step(person)

    def _note(self, datagram: bytes, source: Address) -> None:
        """Notes who has proven its address, and what others may be sent."""
        if source not in self._proven:
            self._credit[source] = self._credit.get(source, 0) + len(datagram)
        if len(datagram) > HEADER_BYTES and datagram[3] == PacketType.JOIN:
            try:
                packet = decode(datagram)
            except MalformedDatagram:
                return
            if isinstance(packet, Join) and packet.cookie in self._challenged.get(source, ()):
                self._proven.add(source)

    def step_room(self) -> None:
        """One wake-up of the room's shell."""
        room = self.room
        room.handle_timeout(self.now)
        answered = set()
        for datagram, addresses in room.datagrams_to_send():
            assert len(datagram) <= DATAGRAM_BYTES_MAX
            for address in addresses:
                if datagram[3] == PacketType.DISCOVER:
                    proven = {host for host, _ in self._proven}
                    assert address[0] in proven, f"{address[0]} is asked, and never came"
                elif address not in self._proven:
                    left = self._credit.get(address, 0) - len(datagram)
                    assert left >= 0, f"{address} has proven nothing and is sent more than it sent"
                    self._credit[address] = left
                    answered.add(address)
                self._sent(Kept(datagram, SERVER, address))
        for address in answered:
            self._credit[address] = 0
        wake_at = room.next_timeout()
        self._room_machine.wake_at = float("inf") if wake_at is None else wake_at

    def _sent(self, kept: Kept) -> None:
        """What the room sends to one address."""
        if kept.datagram[3] == PacketType.DISCOVER:
            self._answer_for_a_standby(kept)
            return
        if kept.datagram[3] == PacketType.CHALLENGE:
            packet = decode(kept.datagram)
            assert isinstance(packet, Challenge)
            self._challenged.setdefault(kept.target, set()).add(packet.cookie)
        intruder = self.intruders.get(kept.target)
        if intruder is not None:
            intruder.hear(kept.datagram)
            return
        person = self._by_address.get(kept.target)
        if person is None:
            return
        self.down.append(kept)
        if person.name == "Victor" and self.chance.random() < self.withholds:
            self.withheld.append(kept)
        else:
            self._transmit(kept)

    def _answer_for_a_standby(self, kept: Kept) -> None:
        """Somebody could host the room, and says so most of the time."""
        self.down.append(kept)
        discover = decode(kept.datagram)
        assert isinstance(discover, Discover)
        if kept.target[1] == STANDBY_PORT and self.chance.random() < 0.7:
            room_id = self.room.room_id
            offer = Offer(
                discover.nonce, 0, 0, STANDBY_PORT, "chat", room_id=room_id, flags=OFFER_HANDED_ON
            )
            back = Kept(offer.encode(), kept.target, SERVER)
            self.up.append(back)
            self._transmit(back)

    def _step(self, person: Person) -> None:
        """One wake-up of a client's shell."""
        session = person.session
        if session is None:
            person.wake_at = float("inf")
            return
        session.handle_timeout(self.now)
        for datagram in session.datagrams_to_send():
            assert len(datagram) <= DATAGRAM_BYTES_MAX
            kept = Kept(datagram, person.address, SERVER)
            self.up.append(kept)
            if person.cut_until <= self.now and session.server == SERVER:
                self._transmit(kept)
        for event in session.take_events():
            self._event_count += 1
            if self._event_count % self.shows_every == 0:
                self.shown.show(event)
            self._check_shown(person, event)
        wake_at = session.next_timeout()
        person.wake_at = float("inf") if wake_at is None else wake_at

    def _check_shown(self, person: Person, event: ChatEvent) -> None:
        if event["event"] == "lost":
            person.may_miss = True
        text = event.get("text", "")
        if event["event"] == "chat" and self._mark in text:
            person.heard.append(text)
            if text.startswith(HONEST):
                person.shown.append(text)

    # --- whether the honest are well -----------------------------------------------------

    def finish(self) -> None:
        """Ends the attack; asserts that the honest become complete and Victor can leave."""
        self.loss = self.withholds = 0.0
        self.intruders.clear()
        honest = [self.people[name] for name in HONEST if not self.people[name].exempt]
        self.run(2 * self.settings.heartbeat_seconds)  # so they know that a room began anew
        until = self.now + COMPLETE_SECONDS
        while not all(self._is_in(person) for person in honest):
            assert self.now < until, "the honest are not in"
            self.run(0.5)
        for person in honest:
            self.say(person, "last")
        wanted = {person.lines[-1] for person in honest}
        while not all(self._is_complete(person, wanted) for person in honest):
            late = [person.name for person in honest if not self._is_complete(person, wanted)]
            assert self.now < until, f"{late}: not complete {COMPLETE_SECONDS:.0f} s later"
            self.run(0.5)
        for person in honest:
            self._check_lines(person, honest)
        self._hear_victor(honest)
        self._check_leaves()

    def _is_in(self, person: Person) -> bool:
        return person.session is not None and person.session.state is State.JOINED

    def _is_complete(self, person: Person, wanted: set[str]) -> bool:
        session = person.session
        return (
            session is not None
            and self._is_in(person)
            and session.pending_count == 0
            and wanted <= set(person.shown[-50:])
        )

    def _check_lines(self, person: Person, honest: Iterable[Person]) -> None:
        if self.restarts == 1:
            assert len(set(person.shown)) == len(person.shown), f"{person.name}: a line twice"
        if not person.may_miss:
            missing = set(person.lines) - set(person.shown)
            assert not missing, f"{person.name} was never shown {sorted(missing)[:3]}"
        for other in honest:
            if self.restarts == 1:
                both = set(person.shown) & set(other.shown)
                first = [line for line in person.shown if line in both]
                second = [line for line in other.shown if line in both]
                assert first == second, f"{person.name} and {other.name} see another order"

    def _hear_victor(self, honest: Iterable[Person]) -> None:
        """Asserts that Victor can talk again, whatever he was told before. That is no promise
        where somebody else talks to the room in his name."""
        victor = self.people["Victor"]
        if victor.session is None or victor.session.state in (State.LEAVING, State.CLOSED):
            return
        self.say(victor, "still here")
        until = self.now + COMPLETE_SECONDS
        while not self.victor_is_heard and self.now < until:
            self.run(1.0)
            self.victor_is_heard = any(victor.lines[-1] in other.heard for other in honest)
        self.victor_was_asked = True
        is_well = self.victor_is_heard or not self.victor_is_himself
        assert is_well, f"nobody hears Victor {COMPLETE_SECONDS:.0f} s later"

    def _check_leaves(self) -> None:
        victor = self.people["Victor"]
        if victor.session is None:
            return
        victor.session.leave(self.now)
        self._step(victor)
        until = self.now + LEAVE_SECONDS
        while victor.session.state is not State.CLOSED:
            assert self.now < until, "Victor cannot leave"
            self.run(0.5)


def random_settings(chance: random.Random) -> RoomSettings:
    """Settings, some so tight that their limits are met."""
    heartbeat = chance.choice((1.0, 5.0))
    return RoomSettings(
        members_max=chance.choice((8, 1000)),
        heartbeat_seconds=heartbeat,
        timeout_seconds=3 * heartbeat,
        message_rate=chance.choice((5.0, 500.0)),
        message_burst=chance.choice((40.0, 1000.0)),
        log_entries_max=chance.choice((50, 10_000)),
        history_events=chance.choice((0, 50)),
        handed_on=chance.random() < 0.5,
    )


# --- recorded once ---------------------------------------------------------------------------

RECORDING_SECONDS = 120.0

RARE = (
    "refused",
    "events of a room that outlives its host",
    "bye: the room has moved",
    "fetch",
    "told",
)
"""What only a room with several hosts says."""


@lru_cache(2)
def recording(seed: int) -> tuple[bytes, ...]:
    """The datagrams of one long evening, with all that can happen in it, each kind of them often
    enough to be met; the same for the same seed."""
    chance = random.Random(f"{seed} recording")
    stage = Stage(chance, RoomSettings(log_entries_max=50, members_max=5))
    stage.loss = 0.15
    found: dict[bytes, None] = {}
    restarts_at = stage.now + RECORDING_SECONDS / 2
    ends_at = stage.now + RECORDING_SECONDS
    while stage.now < ends_at:
        stage.run(chance.expovariate(2.0))
        dice = chance.random()
        if dice < 0.02:
            stage.visit("Anna")
        elif dice < 0.04:  # a page is pasted
            for _ in range(40):
                stage.say(stage.people["Boris"], "страница")
            # Its parts are broadcast together, in several datagrams.
            stage.say(stage.people["Boris"], "долгая речь " * 200)
        else:
            stage.act()
        found.update(dict.fromkeys(kept.datagram for kept in (*stage.up, *stage.down)))
        stage.up.clear()
        stage.down.clear()
        if stage.now > restarts_at and stage.restarts == 1:
            stage.settings = replace(stage.settings, handed_on=True)
            stage.restart_room()
    datagrams = list(found)
    for number in range(40):
        nonce = chance.getrandbits(64)
        discover = Discover(nonce, int(stage.now * 1e6)).encode()
        name = chance.choice(("chat", "Комната", "x" * 64))
        offer = Offer(nonce, chance.getrandbits(64), number, 9091, name)
        datagrams += [discover, offer.encode()]
        datagrams += [short_probe(number + 1, number), long_probe(number + 1, number)]
    datagrams += [bytes.fromhex(GOLDEN[name][1]) for name in RARE for _ in range(20)]
    return tuple(datagrams)
