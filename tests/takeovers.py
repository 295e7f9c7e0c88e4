"""Takes the host away from a room, again and again and in each way, while people talk in it.

  python3 -m tests.takeovers [--times N] [--jobs N] [--way WAY]

The real commands on machines of their own (tests/hosting): four people in a room that is handed on.
In each round the host is lost in one way, and at that moment each of the others says a message.
What counts is the time until all know the new host and have been shown all of these messages. Then
the lost person joins again, as a member. In each round, those who stayed must have been shown the
same messages, each once.

It needs root and the command `ip`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor

from tests.discovery.test_discovery import why_no_network
from tests.hosting.losses import (
    LEAVES,
    LOSSES,
    all_heard_at,
    disagreements,
    everyone_speaks,
    warm_up,
)
from tests.hosting.machines import Machines, Person
from tests.processes import NeverCame

NAMES = ("Anna", "Boris", "Clara", "Dina")


def host_of(people: Sequence[Person]) -> Person:
    """The host of the room, as all of these people know."""
    (name,) = {person.host() for person in people}
    return next(person for person in people if person.name == name)


def lose_often(way: str, times: int) -> list[float]:
    """Loses the host in this way so often; returns the seconds of each time."""
    seconds = []
    with Machines(*NAMES) as machines:
        people = [machines.open(NAMES[0]), *(machines.join(name) for name in NAMES[1:])]
        for number in range(times):
            warm_up(people, f"hello {number}")
            host = host_of(people)
            stayed = [person for person in people if person is not host]
            starts = [len(person.output.all()) for person in stayed]
            begun = time.monotonic()
            LOSSES[way](machines, host)
            everyone_speaks(stayed, f"round {number}")
            heard_at = all_heard_at(stayed, f"round {number}")
            told = [
                person.came_at("host", start) for person, start in zip(stayed, starts, strict=True)
            ]
            seconds.append(max(heard_at, *told) - begun)
            if wrong := disagreements(stayed, f"hello {number},"):
                raise AssertionError("\n".join(wrong))
            people = [*stayed, replace(machines, host, way)]
    return seconds


def replace(machines: Machines, host: Person, way: str) -> Person:
    """The lost host is gone for good; the person joins again."""
    if way in LEAVES:
        assert host.wait() == 0, host.complaint()
    host.kill()
    machines.plug_in(host.name)
    return machines.join(host.name)


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python3 -m tests.takeovers`; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.takeovers",
        description="Takes the host away from a room, again and again and in each way.",
    )
    parser.add_argument("--times", type=int, default=30, help="of each (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="ways at once (default: %(default)s)")
    parser.add_argument("--way", action="append", choices=LOSSES, help="(default: all)")
    arguments = parser.parse_args(argv)
    if missing := why_no_network():
        print(missing)
        return 1
    ways: list[str] = arguments.way or list(LOSSES)
    failed = False
    with ProcessPoolExecutor(arguments.jobs) as pool:
        runs = {way: pool.submit(lose_often, way, arguments.times) for way in ways}
        for way, run in runs.items():
            try:
                seconds = sorted(run.result())
            except (AssertionError, NeverCame) as error:
                failed = True
                print(f"{way}: {error}", flush=True)
                continue
            print(
                f"{way}: {len(seconds)} times; all talk with the next host after"
                f" {seconds[len(seconds) // 2]:.2f} s (median), {seconds[-1]:.2f} s (longest)",
                flush=True,
            )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
