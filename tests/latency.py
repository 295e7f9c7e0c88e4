"""Latency of a talking room, in virtual time, so that the figures are exact.

``python3 -m tests.latency`` prints a table of docs/performance.md: 8 members, 10 lines a second in
the room, 20 ms one way, from `say` to shown at every member (the speaker too), losses counted as
infinitely late.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from dataclasses import dataclass

from tests.simulated.simulated_network import Faults, SimulatedNetwork, User
from udp_chat.client.session import State
from udp_chat.protocol.delivery import quantile

MEMBERS = 8
LINES_PER_SECOND = 10
ONE_WAY_SECONDS = 0.020
WARM_UP_LINES = 100
"""Not counted: until then both ends learn the link's round trip and its loss."""


@dataclass(frozen=True)
class Figures:
    """What one run measured. Latencies in milliseconds."""

    loss: float
    line_count: int
    delivered: float
    p50: float
    p90: float
    p99: float
    longest: float
    datagrams_per_shown_line: float


def measure(loss: float, lines: int, seed: int = 1) -> Figures:
    """Lets the room talk on a network that loses each datagram with this probability."""
    network = SimulatedNetwork(seed, Faults(delay_seconds=ONE_WAY_SECONDS))
    users = [network.join(f"User{number}") for number in range(MEMBERS)]
    network.run_until(network.is_settled, 30.0)
    network.faults = Faults(loss_up=loss, loss_down=loss, delay_seconds=ONE_WAY_SECONDS)
    said_at: dict[str, float] = {}
    latencies: list[float] = []
    began_with = 0

    def note(user: User) -> None:
        for event in user.shown.events:
            at = said_at.get(event.get("text", ""))
            if at is not None and event["event"] == "chat":
                latencies.append(network.now - at)
        user.shown.events.clear()

    network.on_step = note
    for number in range(lines + WARM_UP_LINES):
        if number == WARM_UP_LINES:
            began_with = sum(network.traffic.values())
        text = f"line {number}"
        if number >= WARM_UP_LINES:
            said_at[text] = network.now
        speaker = network.random.choice(users)
        network.say(speaker, text)
        # Evenly spread around the mean, so that lines neither march in step nor come in heaps.
        network.run(network.random.uniform(0.5, 1.5) / LINES_PER_SECOND)
    network.run(10.0)
    assert all(user.session and user.session.state is State.JOINED for user in users)
    datagrams = sum(network.traffic.values()) - began_with
    expected = lines * MEMBERS
    latencies += [float("inf")] * (expected - len(latencies))
    latencies.sort()
    return Figures(
        loss=loss,
        line_count=lines,
        delivered=sum(latency < float("inf") for latency in latencies) / expected,
        p50=1000 * quantile(latencies, 0.5),
        p90=1000 * quantile(latencies, 0.9),
        p99=1000 * quantile(latencies, 0.99),
        longest=1000 * latencies[-1],
        datagrams_per_shown_line=datagrams / expected,
    )


def main() -> int:
    parser = argparse.ArgumentParser(prog="python3 -m tests.latency", description=__doc__)
    parser.add_argument("--lines", type=int, default=3000, help="a run (default: %(default)s)")
    parser.add_argument("--seeds", type=int, default=3, help="runs a row (default: %(default)s)")
    arguments = parser.parse_args()
    print("| loss each way | delivered | p50 | p90 | p99 | longest | datagrams per shown line |")
    print("|---|---|---|---|---|---|---|")
    for loss in (0.0, 0.05, 0.1, 0.2):
        runs = [measure(loss, arguments.lines, seed) for seed in range(arguments.seeds)]
        middle = {
            name: statistics.median(getattr(run, name) for run in runs)
            for name in ("delivered", "p50", "p90", "p99", "longest", "datagrams_per_shown_line")
        }
        print(
            f"| {loss:.0%} | {middle['delivered']:.0%} | {middle['p50']:.0f} ms"
            f" | {middle['p90']:.0f} ms | {middle['p99']:.0f} ms | {middle['longest']:.0f} ms"
            f" | {middle['datagrams_per_shown_line']:.2f} |",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
