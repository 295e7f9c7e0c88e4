"""Machines that can host a room, on a simulated network, in virtual time, replayable by a seed.

Each `Machine` has a client and, if it may host, a `RoomHost`; nothing is real but these. Machines
crash, leave, sleep, are cut off and come back; links lose; firewalls keep out what was not asked
for. A `Judge` (hosted_judge.py) sees all of it, and raises AssertionError where a promise is
broken.
"""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass

from tests.simulated.hosted_judge import HEALED_SECONDS, TICK_SECONDS, Judge
from tests.simulated.hosted_machine import Machine, Shown
from tests.simulated.virtual_clock import VirtualClock
from udp_chat.client.replica import Replica
from udp_chat.client.session import ChatSession, State
from udp_chat.client.whereabouts import Standing
from udp_chat.hosting.room_host import EVERYWHERE, HOSTED_HEARTBEAT_SECONDS, RoomHost
from udp_chat.protocol.packets import Address, MessageKind
from udp_chat.server.settings import RoomSettings

CLIENT_PORT = 40_000
HOST_PORT = 9091
SOCKET_QUEUE_MAX = 200

JOIN_SECONDS = 5.0
"""So long a command tries to join."""

NOT_IN = (State.JOINING, State.CLOSED)

SEARCH_EACH_SECONDS = 3.0
"""A client that is away looks for its room so often."""

FLOW_SECONDS = 60.0
"""So long a firewall lets in what answers."""


@dataclass(frozen=True)
class Weather:
    """What the network does to datagrams: ratios from 0 to 1, seconds."""

    loss: float = 0.0
    delay_seconds: float = 0.002
    jitter_seconds: float = 0.0
    duplication: float = 0.0


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
        """(from, to): machines whose host ports these cannot reach, unless they were asked."""
        self.judge = Judge(self.machines, self.reaches, self.are_together)
        self.judge.weather_changed(is_lossy=self.weather.loss > 0.02)
        self.datagram_count = 0
        self._flows: dict[tuple[str, int, str, int], float] = {}
        """When a machine's port last sent something to another one's."""
        self.at(self.now, self._tick)

    @property
    def counted(self) -> Counter[str]:
        """What was seen."""
        return self.judge.counted

    def _tick(self) -> None:
        self.judge.tick(self.now)
        self.at(self.now + TICK_SECONDS, self._tick)

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
        machine.is_leaving = False
        machine.life += 1
        machine.frozen_until = 0.0
        machine.waiting.clear()
        machine.shown = Shown()
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
        life = machine.life
        self.at(self.now + JOIN_SECONDS, lambda: self._give_up(machine, life))

    def _give_up(self, machine: Machine, life: int) -> None:
        """The command ends if it has not come in."""
        session = machine.session
        if machine.life == life and session is not None and session.state in NOT_IN:
            self.counted["could not join"] += 1
            self.crash(machine)

    def say(
        self, machine: Machine, text: str, kind: MessageKind = MessageKind.CHAT, to: str = ""
    ) -> None:
        """A person types something; texts to all have to differ from each other."""
        assert machine.session is not None
        if kind in (MessageKind.CHAT, MessageKind.ACTION):
            self.judge.said(machine, text, self.now)
        machine.session.say(text, self.now, kind, to)
        self.step(machine)

    def crash(self, machine: Machine) -> None:
        """The machine is gone, without a word."""
        self._count(machine)
        machine.is_up = False
        machine.session = machine.host = None

    def _count(self, machine: Machine) -> None:
        if machine.host is not None:
            self.counted.update(machine.host.counters)
            machine.host.counters.clear()

    def quit(self, machine: Machine) -> None:
        """The person leaves: the client says LEAVE, then its host hands the room on."""
        session, host, life = machine.session, machine.host, machine.life
        assert session is not None
        machine.is_leaving = True
        if self._all_can_follow(machine):
            self.judge.host_leaves(machine, self.now)
        if host is not None and host.is_hosting:
            host.hand_on(self.now)
        session.leave(self.now)
        self.step(machine)

        def end() -> None:
            if machine.life != life or not machine.is_up:
                return  # it has crashed meanwhile
            still = host is not None and host.is_handing_on
            if still or session.state is not State.CLOSED or machine.frozen_until > self.now:
                self.at(self.now + 0.05, end)
                return
            if host is not None:
                host.close(self.now)
                self._send_of_host(machine, host)
                self.counted["handed on" if host.handed_on else "left"] += 1
            self.crash(machine)

        end()

    def _all_can_follow(self, host: Machine) -> bool:
        """Whether nothing keeps the others from going on at once if this host leaves."""
        if host.room is None or not host.room.successors or len(self.hosts()) > 1:
            return False
        if self.weather.loss or self.walls or self.groups:
            return False
        ips = {address.rpartition(":")[0] for _, address in host.room.successors}
        up = [m for m in self.machines if m.is_up]
        are_in = all(m.session is not None and m.session.state is State.JOINED for m in up)
        awake = all(m.frozen_until <= self.now for m in up)
        others = [m for m in up if m is not host]
        leave = any(m.is_leaving for m in others)
        return are_in and awake and not leave and ips <= {m.ip for m in others}

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
        return [m for m in self.machines if m.is_up and m.room is not None]

    def reaches(self, machine: Machine, other: Machine) -> bool:
        """Whether datagrams of a machine reach the port at which another one hosts."""
        is_open = (machine.number, other.number) not in self.walls
        return is_open and self.are_together(machine, other)

    def are_together(self, machine: Machine, other: Machine) -> bool:
        """Whether two machines are in the same part of the network."""
        return self.groups.get(machine.number, 0) == self.groups.get(other.number, 0)

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
            if not self.are_together(machine, other):
                return
            if self.walls:
                flow = machine.ip, port, other.ip, target_port
                self._flows[flow] = self.now
                if target_port == HOST_PORT and (machine.number, other.number) in self.walls:
                    answered = self._flows.get((other.ip, target_port, machine.ip, port), 0.0)
                    if self.now - answered > FLOW_SECONDS:
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
                self.judge.shows(machine, self.now)
            elif host is not None:
                host.receive_datagram(datagram, source, self.now)
        session.handle_timeout(self.now)
        if host is not None:
            host.handle_timeout(self.now)
            self._send_of_host(machine, host)
        server = session.server
        for datagram in session.datagrams_to_send():
            self._transmit(datagram, machine, CLIENT_PORT, server)
        self.judge.shows(machine, self.now)
        if session.state is State.REJOINING and machine.looks_at == float("inf"):
            machine.looks_at = self.now + SEARCH_EACH_SECONDS
            self.at(machine.looks_at, lambda: self._search(machine, session))
        for at in (session.next_timeout(), host.next_timeout() if host is not None else None):
            if at is not None and (at < machine.wake_at or machine.wake_at <= self.now):
                assert at > self.now - 1.0, f"{machine.name} is late"
                machine.wake_at = at = max(at, self.now + 1e-6)
                self.at(at, lambda at=at: self._timer(machine, at))  # type: ignore[misc]

    def _send_of_host(self, machine: Machine, host: RoomHost) -> None:
        for datagram, addresses in host.datagrams_to_send(self.now):
            for address in addresses:
                self._transmit(datagram, machine, HOST_PORT, address)
        if host.room is not None:
            self.judge.logged(host.room, self.now)

    def _search(self, machine: Machine, session: ChatSession) -> None:
        """A client that is away looks for its room, as the command does."""
        machine.looks_at = float("inf")
        if machine.session is not session or session.state is not State.REJOINING:
            return
        for other in self.hosts():
            assert other.host is not None
            offer = other.host.offer(0, self.now)
            awake = other.frozen_until <= self.now
            found = offer is not None and offer.room_id == session.standing.room_id
            if awake and found and self.reaches(machine, other):
                session.look_at((other.ip, HOST_PORT), self.now)
        self.step(machine)

    def _timer(self, machine: Machine, at: float) -> None:
        if at == machine.wake_at:
            machine.wake_at = float("inf")
            self.step(machine)

    # --- and after the faults ----------------------------------------------------------------

    def describe(self) -> str:
        """Where each machine stands."""
        lines = [f"  at {self.now:.2f}"]
        for m in self.machines:
            s = m.session
            if s is None:
                lines.append(f"  {m.name}: down")
                continue
            log, room = s.streams.log, m.room
            received = f"{log.epoch:x}"[-4:] + f":{log.acknowledged}" if log else "nothing"
            hosts = f"{room.log.epoch:x}"[-4:] + f":{room.log.latest}" if room else "no"
            sleeps = " sleeps" if m.frozen_until > self.now else ""
            lines.append(
                f"  {m.name}: {s.name} {s.state.name} at {s.server[0]}{sleeps} room"
                f" {s.replica.room_id & 0xFFFF:x} log {received} pending {s.pending_count} hosts"
                f" {hosts} successors {[a[0] for _, a in s.whereabouts.successors]}"
                f" members {s.members} counters {dict(s.counters)}"
            )
        return "\n".join(lines)

    def heal(self) -> float:
        """Ends all faults, and checks that all are one room with the same messages; returns after
        how long that was so, 0 if nobody was left who could host the room."""
        self.weather = Weather()
        self.judge.weather_changed(is_lossy=False)
        self.groups.clear()
        self.walls.clear()
        for machine in self.machines:
            machine.frozen_until = 0.0
            self.step(machine)
        try:
            self.run_until(self._nobody_is_away, HEALED_SECONDS)
            if self.judge.is_extinct():
                self.counted["extinct"] += 1
                return 0.0
            took = self.run_until(self.judge.is_one, 3 * HEALED_SECONDS)
            self.run(6.0)
            self.run_until(self.judge.is_one, HEALED_SECONDS)
            self.judge.check_healed()
            for machine in self.machines:
                self._count(machine)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None
        return took

    def _nobody_is_away(self) -> bool:
        """Whether all who are in have one host."""
        if self.judge.is_extinct():
            return True
        in_rooms = [m for m in self.machines if m.is_up and m.is_in and m.session is not None]
        joined = all(m.session.state is State.JOINED for m in in_rooms if m.session is not None)
        return joined and len(self.hosts()) == 1
