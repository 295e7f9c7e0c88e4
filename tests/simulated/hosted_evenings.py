"""Random evenings in a room that outlives its hosts; each is made of a seed."""

from __future__ import annotations

import random
from collections import Counter
from functools import partial

from tests.simulated.hosted_machine import Machine
from tests.simulated.hosted_rooms import HostedRooms, Weather
from udp_chat.client.session import State
from udp_chat.protocol.packets import MessageKind

NAMES = ("Anna", "Boris", "Vera", "Gleb", "Dasha", "Egor", "Zhenya", "Ilya")
TALK_SECONDS = (15.0, 30.0, 60.0)
COME_AGAIN_SECONDS = 0.5


def random_weather(chance: random.Random) -> Weather:
    """Each fault is often absent, so that each also meets a quiet network."""

    def sometimes(most: float) -> float:
        return chance.uniform(0, most) if chance.random() < 0.4 else 0.0

    return Weather(
        loss=sometimes(0.2),
        delay_seconds=chance.choice([0.0002, 0.002, 0.02]),
        jitter_seconds=chance.choice([0.0, 0.001, 0.02]),
        duplication=sometimes(0.2),
    )


class HostedEvening:
    """One random run."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(f"hosted {seed}")
        self.rooms = HostedRooms(seed, random_weather(self.chance))
        for name in NAMES[: self.chance.randint(3, 8)]:
            may_host = len(self.rooms.machines) < 2 or self.chance.random() < 0.75
            self.rooms.add(name, may_host=may_host)
        if self.chance.random() < 0.2:
            self._build_walls()
        self.says_private = self.chance.random() < 0.5
        self.mishaps = self.chance.choice([0.02, 0.06, 0.12])
        self.lines = 0

    def run(self) -> Counter[str]:
        """Talks, then heals; returns what was reached. Raises AssertionError on any fault."""
        try:
            self._run()
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.rooms.describe()}") from None
        rooms = self.rooms
        reached = Counter(rooms.counted)
        for machine in rooms.machines:
            if machine.session is not None:
                reached.update(f"client {k}" for k in machine.session.counters)
        return reached

    def _run(self) -> None:
        rooms, chance = self.rooms, self.chance
        self._open()
        ends_at = rooms.now + chance.choice(TALK_SECONDS)
        while rooms.now < ends_at:
            rooms.run(chance.expovariate(3.0))
            self._act(chance.choice(rooms.machines))
        rooms.counted["healed"] += 1
        rooms.heal()

    def _open(self) -> None:
        """One opens a room, or several at once; the others join."""
        rooms, chance = self.rooms, self.chance
        # Two hosts may reach each other where their members do not.
        openers = 1 if rooms.walls else chance.choice([1, 1, 1, 2, 3])
        able = [m for m in rooms.machines if m.may_host][:openers]
        for machine in able:
            rooms.at(rooms.now + chance.uniform(0, 0.5), partial(rooms.open, machine))
        rooms.run(0.6)
        for machine in rooms.machines:
            if machine not in able:
                rooms.at(rooms.now + chance.uniform(0, 3.0), partial(self._come, machine))
        if openers > 1 and chance.random() < 0.5:
            self._say(able[0])
        rooms.run(3.5)
        if openers > 1:
            rooms.run_until(self._are_together, 60.0)
            rooms.counted["several opened one room"] += 1

    def _are_together(self) -> bool:
        living = [m for m in self.rooms.machines if m.session is not None and m.is_in]
        rooms = {m.session.standing.room_id for m in living if m.session is not None}
        return len(rooms) == 1 == len(self.rooms.hosts())

    def _come(self, machine: Machine) -> None:
        """A machine joins a room that it finds; it opens one if nobody is in any."""
        rooms = self.rooms
        if machine.is_up:
            return
        found = [h for h in rooms.hosts() if not h.is_leaving and rooms.reaches(machine, h)]
        found = [h for h in found if h.frozen_until <= rooms.now]
        if found:
            rooms.join(machine, self.chance.choice(found))
        elif machine.may_host and not any(m.is_up for m in rooms.machines):
            rooms.open(machine)
        else:
            rooms.at(rooms.now + COME_AGAIN_SECONDS, partial(self._come, machine))

    def _build_walls(self) -> None:
        rooms, chance = self.rooms, self.chance
        numbers = range(len(rooms.machines))
        for _ in range(chance.randint(1, 4)):
            a, b = chance.choice(numbers), chance.choice(numbers)
            if a != b:
                rooms.walls.add((a, b))

    def _say(self, machine: Machine) -> None:
        self.lines += 1
        kind = MessageKind.ACTION if self.chance.random() < 0.1 else MessageKind.CHAT
        self.rooms.say(machine, f"{machine.name}#{self.lines}", kind)

    def _act(self, machine: Machine) -> None:
        rooms, chance = self.rooms, self.chance
        session = machine.session
        if session is not None and session.state is State.CLOSED and not machine.is_leaving:
            rooms.crash(machine)  # its name was in use
        if not machine.is_up:
            if chance.random() < 0.4:
                rooms.counted["came back"] += machine.life > 0
                self._come(machine)
            return
        if machine.is_leaving or machine.session is None:
            return
        if machine.frozen_until > rooms.now:
            return
        dice = chance.random()
        if dice < self.mishaps:
            self._mishap(machine)
        elif dice < 0.8 or not machine.is_in:
            for _ in range(chance.choice([1, 1, 1, 5])):
                self._say(machine)
        elif dice < 0.9:
            if self.says_private:
                to = chance.choice(rooms.machines)
                name = to.session.name if to.session is not None else to.name
                self.lines += 1
                rooms.say(machine, f"psst {self.lines}", MessageKind.PRIVATE, name)
        elif dice < 0.93:
            name = chance.choice(["Max", "Nina", machine.name])
            rooms.say(machine, name, MessageKind.RENAME)

    def _mishap(self, machine: Machine) -> None:
        rooms, chance = self.rooms, self.chance
        hosts = rooms.hosts()
        if hosts and chance.random() < 0.6:
            machine = chance.choice(hosts)
            if machine.is_leaving or machine.frozen_until > rooms.now:
                return
        dice = chance.random()
        if dice < 0.05:
            self._crash_early(machine)
        elif dice < 0.25:
            if self._spares(machine):
                rooms.counted["crashed"] += 1
                rooms.crash(machine)
        elif dice < 0.45:
            if self._spares(machine):
                rooms.quit(machine)
        elif dice < 0.65:
            rooms.counted["frozen"] += 1
            rooms.freeze(machine, chance.uniform(3.0, 30.0))
        elif dice < 0.85:
            rooms.counted["parted"] += 1
            others = [m for m in rooms.machines if m is not machine]
            rooms.part(machine, *chance.sample(others, chance.randrange(len(others))))
        else:
            rooms.groups.clear()

    def _crash_early(self, host: Machine) -> None:
        """A host crashes before its successor has what somebody else was shown."""
        rooms, session = self.rooms, host.session
        if host.room is None or session is None or not self._spares(host):
            return
        first = next((n for n, _ in host.room.successors), 0)
        others = [m for m in rooms.machines if m.is_up and m.is_in and m is not host]
        (*kept, successor) = sorted(others, key=lambda m: _number(m) == first)
        if not kept or rooms.groups:
            return
        rooms.part(successor)
        self._say(kept[0])
        rooms.run(0.1)
        rooms.groups.clear()
        if host.is_up:
            rooms.counted["crashed"] += 1
            rooms.crash(host)

    def _spares(self, machine: Machine) -> bool:
        """Whether the room can lose a machine: nearly always only if another one can host it."""
        others = [
            m
            for m in self.rooms.machines
            if m is not machine and m.is_up and m.is_in and (m.is_successor or m.room)
        ]
        return len(others) > 1 or self.chance.random() < 0.05


def _number(machine: Machine) -> int:
    return machine.session.member if machine.session is not None else 0
