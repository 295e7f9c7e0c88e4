"""Random evenings in a simulated room: ``python3 -m tests.simulate --seeds 1000``.

Each seed makes two evenings, each with its own network, faults and people: one in the room of a
server, and one in a room that outlives its hosts (simulated/hosted_evenings.py). A failure prints
the seed and the command that replays it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial

from tests.simulated.hosted_evenings import HostedEvening
from tests.simulated.simulated_network import SERVER, Faults, Partition, SimulatedNetwork, User
from udp_chat.client.session import State
from udp_chat.protocol.packets import MessageKind
from udp_chat.server.settings import RoomSettings

TALK_SECONDS = 40.0


def random_faults(chance: random.Random) -> Faults:
    """Faults of every kind; each is often absent, so that each also meets a quiet network."""

    def sometimes(most: float) -> float:
        return chance.uniform(0, most) if chance.random() < 0.5 else 0.0

    return Faults(
        loss_up=sometimes(0.3),
        loss_down=sometimes(0.3),
        loss_burst_count=chance.choice([0.0, 0.0, 3.0, 10.0]),
        duplication=sometimes(0.2),
        delay_seconds=chance.choice([0.0002, 0.002, 0.02, 0.1]),
        jitter_seconds=chance.choice([0.0, 0.0, 0.001, 0.02, 0.1, 0.5]),
        burst_loss=sometimes(0.02),
        burst_seconds=chance.uniform(0.05, 2.0),
        corruption=sometimes(0.05),
        replay=sometimes(0.02),
    )


def random_settings(chance: random.Random) -> RoomSettings:
    """Settings, some so tight that every limit is met."""
    heartbeat = chance.choice([1.0, 5.0])
    return RoomSettings(
        members_max=chance.choice([4, 12, 1000]),
        heartbeat_seconds=heartbeat,
        timeout_seconds=3 * heartbeat,
        message_rate=chance.choice([5.0, 500.0]),
        message_burst=chance.choice([40.0, 1000.0]),
        log_entries_max=chance.choice([30, 100, 10_000]),
        log_bytes_max=chance.choice([5_000, 4 * 1024 * 1024]),
        history_events=chance.choice([0, 5, 50]),
    )


class Evening:
    """One random run."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.network = SimulatedNetwork(
            seed, random_faults(self.chance), random_settings(self.chance)
        )
        self.lines = 0
        if seed % 3 == 0:
            self.network.keep()

    def run(self) -> Counter[str]:
        """Talks, then heals; returns what was reached. Raises AssertionError on any fault."""
        network, chance = self.network, self.chance
        if chance.random() < 0.3:
            self._narrow()
        for number in range(chance.choice([2, 3, 5, 12])):
            network.at(network.now + chance.uniform(0, 3), partial(self._come, number))
        network.run(3.0)
        ends_at = network.now + TALK_SECONDS
        self._plan_mishaps(ends_at)
        while network.now < ends_at:
            network.run(chance.expovariate(3.0))
            if network.users:
                self._act(chance.choice(network.users))
        network.heal()
        reached = Counter(network.room.counters)
        for user in network.users:
            if user.session is not None:
                reached.update({f"client {k}": n for k, n in user.session.counters.items()})
            reached.update(event["event"] for event in user.shown.events)
        return reached

    def _narrow(self, user: User | None = None) -> None:
        """Gives a user, or all together, a link that may well be too slow."""
        rates = (20_000, 100_000, 400_000) if user is None else (4_000, 20_000)
        queue_seconds = self.chance.choice([0.05, 0.2, 1.0])
        self.network.narrow(self.chance.choice(rates), queue_seconds, user)

    def _come(self, number: int) -> None:
        user = self.network.join(f"User{number}")
        if self.chance.random() < 0.1:
            self._narrow(user)

    def _plan_mishaps(self, ends_at: float) -> None:
        network, chance = self.network, self.chance
        for _ in range(chance.choice([0, 0, 1, 2])):
            user = chance.choice([None, *network.users])
            narrow_at = chance.uniform(network.now, ends_at)
            network.at(narrow_at, partial(self._narrow, user))
            network.at(narrow_at + chance.uniform(0.5, 30.0), partial(network.widen, user))
        for _ in range(chance.choice([0, 1, 2])):
            begins_at = chance.uniform(network.now, ends_at)
            up = chance.random() < 0.7
            partition = Partition(
                chance.choice([-1, *range(len(network.users))]),
                begins_at,
                begins_at + chance.uniform(0.5, 60.0),
                up,
                chance.random() < 0.7 or not up,
            )
            network.partitions.append(partition)
        if chance.random() < 0.25:
            network.at(chance.uniform(network.now, ends_at), network.restart_server)
        if chance.random() < 0.15:
            seconds = chance.uniform(0.5, 30.0)
            at = chance.uniform(network.now, ends_at)
            network.at(at, lambda: network.freeze_server(seconds))
        for _ in range(chance.choice([0, 0, 3])):
            network.at(chance.uniform(network.now, ends_at), self._attack)

    def _attack(self) -> None:
        """Datagrams from an address that nobody has: they must cost and yield nothing."""
        network, chance = self.network, self.chance
        for _ in range(20):
            datagram = chance.randbytes(chance.randrange(1400))
            network.arrive(datagram, ("6.6.6.6", chance.randrange(1, 65536)), SERVER)

    def _act(self, user: User) -> None:
        network, chance, session = self.network, self.chance, user.session
        if session is None or session.state is State.CLOSED:
            if chance.random() < 0.3:
                network.start(user)
            return
        if user.frozen_until > network.now:
            return
        dice = chance.random()
        if dice < 0.70:
            self.lines += 1
            kind = MessageKind.ACTION if dice < 0.1 else MessageKind.CHAT
            text = f"{user.name}#{self.lines} " + "слово " * chance.choice([0, 1, 5, 20])
            network.say(user, text, kind)
        elif dice < 0.72:
            self.lines += 1
            network.say(user, f"{user.name}#{self.lines} " + "долгая речь " * 200)
        elif dice < 0.82:
            to = chance.choice(network.users).name if chance.random() < 0.8 else "Nobody"
            network.say(user, "psst", MessageKind.PRIVATE, to)
        elif dice < 0.86:
            name = chance.choice(["Anna", "Boris", user.name, f"U{chance.randrange(99)}", "\u202e"])
            network.say(user, name, MessageKind.RENAME)
        elif dice < 0.90:
            network.leave(user)
        elif dice < 0.93:
            network.crash(user)
        elif dice < 0.95:
            network.freeze(user, chance.uniform(0.1, 30.0))
        elif dice < 0.97:
            network.move(user)
        elif dice < 0.98:
            network.say(user, "", MessageKind.WHO)
        elif dice < 0.99:
            session.ask_seen(network.now)
        elif dice < 0.995:
            session.ask_stats(network.now)
        else:  # a page is pasted
            for _ in range(60):
                self.lines += 1
                network.say(user, f"{user.name}#{self.lines} ")


EVENINGS: dict[str, type[Evening] | type[HostedEvening]] = {
    "server": Evening,
    "hosted": HostedEvening,
}
"""By what hosts the room."""


def run_seed(
    seed: int, rooms: Sequence[str] = tuple(EVENINGS)
) -> tuple[int, Counter[str] | None, str]:
    """(seed, what was reached, "") or (seed, None, the failure)."""
    reached: Counter[str] = Counter()
    try:
        for room in rooms:
            reached.update(EVENINGS[room](seed).run())
        return seed, reached, ""
    except Exception:  # whatever a seed brings up is its result; the others go on
        return seed, None, traceback.format_exc()


def run_seeds(
    seeds: range, jobs: int = 1, rooms: Sequence[str] = tuple(EVENINGS)
) -> Iterator[tuple[int, Counter[str] | None, str]]:
    run = partial(run_seed, rooms=rooms)
    if jobs == 1:
        yield from map(run, seeds)
        return
    with multiprocessing.Pool(jobs) as pool:
        yield from pool.imap_unordered(run, seeds, chunksize=4)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.simulate", description=__doc__)
    parser.add_argument("--seeds", type=int, default=300, help="how many (default: %(default)s)")
    parser.add_argument("--first", type=int, default=0, help="the first one (default: 0)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument(
        "--rooms", choices=EVENINGS, nargs="+", default=list(EVENINGS), help="only these evenings"
    )
    parser.add_argument("--reached", action="store_true", help="count what the seeds reached")
    arguments = parser.parse_args()
    began_at = time.monotonic()
    reached: Counter[str] = Counter()
    failures = 0
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    results = run_seeds(seeds, arguments.jobs, arguments.rooms)
    for done, (seed, counters, failure) in enumerate(results, 1):
        if counters is None:
            failures += 1
            print(f"\nseed {seed} failed:\n{failure}")
            print(f"replay it: python3 -m tests.simulate --seeds 1 --first {seed}\n")
        else:
            reached.update(counters)
        if sys.stdout.isatty() or done % 100 == 0 or done == arguments.seeds:
            seconds = time.monotonic() - began_at
            end = "\r" if sys.stdout.isatty() and done < arguments.seeds else "\n"
            print(f"{done} of {arguments.seeds} seeds, {failures} failed, {seconds:.0f} s", end=end)
    if arguments.reached:
        for name, count in sorted(reached.items()):
            print(f"{count:9} {name}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
