"""Machines that can host a room, on a simulated network, in virtual time, replayable by a seed.

Each `Machine` has a client and, if it may host, a `RoomHost`; nothing is real but these. Machines
crash, leave, sleep, are cut off and come back; links lose. What each client shows is checked as it
comes (`_check_shown`), and `heal` checks that all become one room again and have the same messages.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from dataclasses import dataclass, field

from tests.simulated.virtual_clock import VirtualClock
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.replica import Replica
from udp_chat.client.session import ChatSession, State
from udp_chat.client.whereabouts import Standing
from udp_chat.hosting.room_host import EVERYWHERE, HOSTED_HEARTBEAT_SECONDS, RoomHost
from udp_chat.protocol.packets import Address
from udp_chat.server.settings import RoomSettings

CLIENT_PORT = 40_000
HOST_PORT = 9091
SOCKET_QUEUE_MAX = 200


@dataclass(frozen=True)
class Weather:
    """What the network does to datagrams: ratios from 0 to 1, seconds."""

    loss: float = 0.0
    delay_seconds: float = 0.002
    jitter_seconds: float = 0.0
    duplication: float = 0.0


@dataclass
class Shown:
    """What one client has shown."""

    events: list[ChatEvent] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    """The messages, in order."""
    sent_count: int = 0


class Machine:
    """One computer: a client, and what may host the room."""

    def __init__(self, number: int, name: str, *, may_host: bool) -> None:
        self.number = number
        self.name = name
        self.may_host = may_host
        self.session: ChatSession | None = None
        self.host: RoomHost | None = None
        self.shown = Shown()
        self.said: list[str] = []
        self.is_up = False
        self.frozen_until = 0.0
        self.waiting: deque[tuple[bytes, Address, int]] = deque()
        self.wake_at = float("inf")
        self.looks_at = float("inf")

    @property
    def ip(self) -> str:
        return f"10.0.0.{self.number}"


class _Membership:
    """What a `RoomHost` sees of its own client."""

    def __init__(self, network: HostedRooms, session: ChatSession) -> None:
        self._network = network
        self._session = session

    @property
    def client_id(self) -> int:
        return self._session.client_id

    @property
    def standing(self) -> Standing:
        return self._session.standing

    def copy_replica(self) -> Replica:
        return self._session.replica.copied(self._network.now)

    def look_at(self, address: Address) -> None:
        self._session.look_at(address, self._network.now)


class HostedRooms(VirtualClock):
    """The network, its virtual clock, and the machines."""

    def __init__(self, seed: int, weather: Weather | None = None) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.weather = weather or Weather()
        self.machines: list[Machine] = []
        self.groups: dict[int, int] = {}
        """By machine: which part of the network it is in; all are in part 0."""
        self.walls: set[tuple[int, int]] = set()
        """(from, to): machines whose host ports these cannot reach."""
        self.counted: Counter[str] = Counter()
        self.placed: dict[tuple[int, int], str] = {}
        """By epoch and sequence number: the message that somebody was shown there."""
        self.datagram_count = 0

    # --- machines ----------------------------------------------------------------------------

    def add(self, name: str, *, may_host: bool = True) -> Machine:
        machine = Machine(len(self.machines), name, may_host=may_host)
        self.machines.append(machine)
        return machine

    def open(self, machine: Machine, room: str = "chat") -> None:
        """Opens a room on a machine, and joins it there."""
        self._start(machine, ("127.0.0.1", HOST_PORT), room)
        assert machine.host is not None
        machine.host.open_room(self.now)
        self.step(machine)

    def join(self, machine: Machine, host: Machine) -> None:
        """A machine joins the room that another one hosts."""
        self._start(machine, (host.ip, HOST_PORT), "chat")
        self.step(machine)

    def _start(self, machine: Machine, server: Address, room: str) -> None:
        machine.is_up = True
        machine.frozen_until = 0.0
        machine.waiting.clear()
        machine.shown = Shown()
        machine.said = []
        chance = random.Random(self.random.getrandbits(64))
        machine.session = ChatSession(server, machine.name, chance)
        machine.host = None
        if machine.may_host:
            settings = RoomSettings(room, heartbeat_seconds=HOSTED_HEARTBEAT_SECONDS)
            membership = _Membership(self, machine.session)
            chance = random.Random(self.random.getrandbits(64))
            lan = f"{machine.ip}:{HOST_PORT}"
            machine.host = RoomHost(settings, chance, HOST_PORT, membership, lan_address=lan)
            machine.session.stand_by(HOST_PORT, self.now)
        machine.session.start(self.now)

    def say(self, machine: Machine, text: str) -> None:
        assert machine.session is not None
        machine.said.append(text)
        machine.session.say(text, self.now)
        self.step(machine)

    def crash(self, machine: Machine) -> None:
        """The machine is gone, without a word."""
        machine.is_up = False
        machine.session = machine.host = None

    def quit(self, machine: Machine) -> None:
        """The person leaves: the client says LEAVE, then its host hands the room on."""
        session, host = machine.session, machine.host
        assert session is not None
        if host is not None and host.is_hosting:
            host.hand_on(self.now)
        session.leave(self.now)
        self.step(machine)

        def end() -> None:
            still = host is not None and host.is_handing_on
            if still or session.state is not State.CLOSED:
                self.at(self.now + 0.05, end)
                return
            self.counted["handed on" if host is not None and host.handed_on else "left"] += 1
            self.crash(machine)

        end()

    def freeze(self, machine: Machine, seconds: float) -> None:
        """The machine sleeps; datagrams wait in its sockets."""
        machine.frozen_until = self.now + seconds
        self.at(machine.frozen_until, lambda: self.step(machine))

    def part(self, *machines: Machine) -> None:
        """Cuts these machines off from all the others, together."""
        group = max(self.groups.values(), default=0) + 1
        for machine in machines:
            self.groups[machine.number] = group

    def hosts(self) -> list[Machine]:
        return [m for m in self.machines if m.is_up and m.host is not None and m.host.room]

    # --- the wire ----------------------------------------------------------------------------

    def _transmit(self, datagram: bytes, machine: Machine, port: int, target: Address) -> None:
        if target == EVERYWHERE:
            for other in self.machines:
                if other is not machine and other.host is not None and other.host.is_hosting:
                    self._transmit(datagram, machine, port, (other.ip, HOST_PORT))
            return
        self.datagram_count += 1
        host, target_port = target[:2]
        source = (machine.ip, port)
        if host == "127.0.0.1":
            host, source = machine.ip, ("127.0.0.1", port)
        other = self.machines[int(str(host).rpartition(".")[2])]
        if other is not machine:
            if self.groups.get(machine.number, 0) != self.groups.get(other.number, 0):
                return
            if target_port == HOST_PORT and (machine.number, other.number) in self.walls:
                return
            if self.random.random() < self.weather.loss:
                return
        copies = 1 + (self.random.random() < self.weather.duplication)
        for _ in range(copies):
            delay = self.weather.delay_seconds + self.random.random() * self.weather.jitter_seconds
            self.at(self.now + delay, lambda: self._arrive(datagram, source, other, target_port))

    def _arrive(self, datagram: bytes, source: Address, machine: Machine, port: int) -> None:
        if machine.is_up and len(machine.waiting) < SOCKET_QUEUE_MAX:
            machine.waiting.append((datagram, source, port))
            self.step(machine)

    def step(self, machine: Machine) -> None:
        """Runs what is due on a machine."""
        session, host = machine.session, machine.host
        if session is None or machine.frozen_until > self.now:
            return
        while machine.waiting:
            datagram, source, port = machine.waiting.popleft()
            if port == CLIENT_PORT:
                session.receive_datagram(datagram, source, self.now)
            elif host is not None:
                host.receive_datagram(datagram, source, self.now)
        session.handle_timeout(self.now)
        if host is not None:
            was = host.is_hosting
            host.handle_timeout(self.now)
            for datagram, addresses in host.datagrams_to_send(self.now):
                for address in addresses:
                    self._transmit(datagram, machine, HOST_PORT, address)
            if host.is_hosting and not was:
                self.counted["took over"] += 1
        server = session.server
        for datagram in session.datagrams_to_send():
            self._transmit(datagram, machine, CLIENT_PORT, server)
        self._check_shown(machine, session)
        if session.state is State.REJOINING and machine.looks_at == float("inf"):
            machine.looks_at = self.now + 3.0
            self.at(machine.looks_at, lambda: self._search(machine, session))
        for at in (session.next_timeout(), host.next_timeout() if host is not None else None):
            if at is not None and (at < machine.wake_at or machine.wake_at <= self.now):
                assert at > self.now - 1.0, f"{machine.name} is late"
                machine.wake_at = at = max(at, self.now + 1e-6)
                self.at(at, lambda at=at: self._timer(machine, at))  # type: ignore[misc]

    def _search(self, machine: Machine, session: ChatSession) -> None:
        """A client that is away looks for its room, as the command does."""
        machine.looks_at = float("inf")
        if machine.session is not session or session.state is not State.REJOINING:
            return
        for other in self.hosts():
            assert other.host is not None
            reaches = self.groups.get(machine.number, 0) == self.groups.get(other.number, 0)
            offer = other.host.offer(0, self.now)
            if reaches and offer is not None and offer.room_id == session.standing.room_id:
                session.look_at((other.ip, HOST_PORT), self.now)
        self.step(machine)

    def _timer(self, machine: Machine, at: float) -> None:
        if at == machine.wake_at:
            machine.wake_at = float("inf")
            self.step(machine)

    # --- what must always be true ------------------------------------------------------------

    def _check_shown(self, machine: Machine, session: ChatSession) -> None:
        shown = machine.shown
        for event in session.take_events():
            shown.events.append(event)
            kind = event["event"]
            if kind == "sent":
                shown.sent_count += 1
            elif kind == "lost":
                self.counted["lost"] += 1
            elif kind == "host":
                self.counted["host"] += 1
            if kind not in ("chat", "action"):
                continue
            text = event["text"]
            assert text not in shown.texts, f"{machine.name} was shown {text!r} twice"
            shown.texts.append(text)
            if event.get("apart"):
                self.counted["apart"] += 1
            epoch = session.replica.lineage.epoch_of(event["seq"])
            place = epoch, event["seq"]
            assert self.placed.setdefault(place, text) == text, f"two messages at {place}"

    # --- and after the faults ----------------------------------------------------------------

    def is_one(self) -> bool:
        """All who are up are in one room, and nothing waits."""
        hosts = self.hosts()
        living = [m for m in self.machines if m.is_up and m.session is not None]
        if len(hosts) != 1 or hosts[0].host is None or hosts[0].host.room is None:
            return False
        room = hosts[0].host.room
        return all(
            m.session is not None
            and m.session.state is State.JOINED
            and m.session.streams.room.epoch == room.log.epoch
            and m.session.streams.room.acknowledged == room.log.latest
            and m.session.pending_count == 0
            and m.session.transcript.held_back is None
            for m in living
        )

    def describe(self) -> str:
        lines = []
        for m in self.machines:
            s, h = m.session, m.host
            if s is None:
                lines.append(f"  {m.name}: down")
                continue
            log = s.streams.log
            where = h.room.log.epoch % 1000 if h is not None and h.room else None
            lines.append(
                f"  {m.name}: {s.state.name} at {s.server} log"
                f" {log.epoch % 1000 if log else 0}:{log.acknowledged if log else 0} pending"
                f" {s.pending_count} hosts {where}"
                f" {h.room.log.latest if h is not None and h.room else ''}"
                f" successors {s.whereabouts.successors} counters {dict(s.counters)}"
            )
        return "\n".join(lines)

    def heal(self, limit_seconds: float = 60.0) -> float:
        """Ends all faults, and checks that all are one room with the same messages."""
        self.weather = Weather()
        self.groups.clear()
        self.walls.clear()
        for machine in self.machines:
            machine.frozen_until = 0.0
            self.step(machine)
        try:
            took = self.run_until(self.is_one, limit_seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None
        self.run(6.0)
        self.run_until(self.is_one, limit_seconds)
        return took
