"""A room that talks while each of its links loses datagrams, from its first moment on.

8 members, 10 messages a second in the room, 20 ms one way. The loss begins before the first JOIN;
the talk begins when all have joined, so its first seconds show what nobody has measured yet.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tests.simulated.simulated_network import Faults, SimulatedNetwork
from tests.simulated.talk import Talk, gather
from udp_chat.protocol.delivery import quantile

MEMBER_COUNT = 8
MESSAGES_PER_SECOND = 10
ONE_WAY_SECONDS = 0.020
YOUNG_SECONDS = 20.0
"""How long a room counts as new."""
TALK_SECONDS = 50.0
PATIENCE_SECONDS = 30.0
"""How long a message may take to be shown, so as not to count as lost."""


@dataclass(frozen=True)
class Link:
    """How the links of a row lose. `burst_count` as in burst_loss.py, 0: each by itself."""

    loss: float
    burst_count: float = 0.0


@dataclass(frozen=True)
class Wanted:
    """A row's bounds, in milliseconds and in datagrams for each shown message."""

    p99: float
    datagrams: float


WANTED = {
    Link(loss, burst_count): Wanted(p99 * slack, datagrams * slack)
    for burst_count, slack in ((0.0, 1.0), (3.0, 1.5))
    for loss, p99, datagrams in (
        (0.0, 45, 2.3),
        (0.01, 70, 2.6),
        (0.05, 85, 2.9),
        (0.1, 100, 3.2),
        (0.2, 130, 4.0),
    )
    if loss or not burst_count
}
"""Issue 13: the p99 is for the first seconds too. Bursts may cost half as much again."""


@dataclass(frozen=True)
class Period:
    """What was said within a while. A message counts once for each member it is shown to."""

    latencies: list[float]
    """In seconds; infinite: not shown."""
    datagram_count: int
    """All of both directions: acknowledgements, copies, heartbeats."""

    @property
    def delivered(self) -> float:
        return sum(late < float("inf") for late in self.latencies) / len(self.latencies)

    @property
    def longest_ms(self) -> float:
        return 1000 * max(self.latencies)

    @property
    def datagrams_per_shown(self) -> float:
        return self.datagram_count / len(self.latencies)

    def __str__(self) -> str:
        p99, datagrams = self.quantile_ms(0.99), self.datagrams_per_shown
        return f"p99 {p99:.0f} ms, {datagrams:.2f} datagrams, {self.delivered:.2%} delivered"

    def quantile_ms(self, ratio: float) -> float:
        return 1000 * quantile(self.latencies, ratio)


def missed(link: Link, period: Period) -> list[str]:
    """Those bounds of issue 13 that the room misses on such links."""
    wanted = WANTED[link]
    bounds = {
        f"p99 at most {wanted.p99:.0f} ms": period.quantile_ms(0.99) <= wanted.p99,
        f"datagrams at most {wanted.datagrams:.2f}": period.datagrams_per_shown <= wanted.datagrams,
        "everything delivered": period.delivered == 1.0,
    }
    return [bound for bound, is_met in bounds.items() if not is_met]


def pooled(periods: Iterable[Period]) -> Period:
    """The periods of several runs as one."""
    kept = list(periods)
    latencies = [latency for period in kept for latency in period.latencies]
    return Period(latencies, sum(period.datagram_count for period in kept))


def measure(link: Link, seed: int) -> tuple[Period, Period]:
    """The room's first seconds, and what follows until it falls silent."""
    faults = Faults(
        loss_up=link.loss,
        loss_down=link.loss,
        loss_burst_count=link.burst_count,
        delay_seconds=ONE_WAY_SECONDS,
    )
    network = SimulatedNetwork(seed, faults)
    users = gather(network, MEMBER_COUNT)
    talk = Talk(network)
    begun_at = network.now
    datagrams = [sum(network.traffic.values())]
    for until in (begun_at + YOUNG_SECONDS, begun_at + TALK_SECONDS):
        while network.now < until:
            talk.say(network.random.choice(users), f"message {talk.said_count}")
            # Around the mean, so that messages neither march in step nor come in heaps.
            pause = network.random.uniform(0.5, 1.5) / MESSAGES_PER_SECOND
            network.run(min(pause, until - network.now))
        datagrams.append(sum(network.traffic.values()))
    talk.wait(PATIENCE_SECONDS)
    datagrams[-1] = sum(network.traffic.values())
    grown_at = begun_at + YOUNG_SECONDS
    return (
        Period(talk.latencies(ends_at=grown_at), datagrams[1] - datagrams[0]),
        Period(talk.latencies(begins_at=grown_at), datagrams[2] - datagrams[1]),
    )
