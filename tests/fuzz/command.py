"""Bent datagrams into everything that reads them: ``python3 -m tests.fuzz --seconds 20``.

Conversations are made on the spot by the pure machines, and what they send is bent, with a checksum
that agrees, into `decode`, a room, a client, discovery, the doctor and the readers of answers.
tests/fuzz/targets.py says what has to hold, tests/fuzz/mutations.py how datagrams are bent.

Inputs come in rounds: one target, freshly made, and ROUND_INPUTS inputs, one after the other. Seed
and number name an input for good, whatever else was asked for, so a failure is replayed with
``--seed S --only N``: it plays the round up to that input, then looks for the fewest of its inputs
that still fail.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import signal
import sys
import time
import traceback
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from types import FrameType

from tests.fuzz.stage import recording
from tests.fuzz.targets import TARGETS, Input, Target
from udp_chat.protocol.packets import MalformedDatagram, decode

ROUND_INPUTS = 250
"""Of one round: enough that trouble can build up, few enough to play it again many times."""

SCHEDULE = (
    *("decode", "room", "session", "answers", "decode"),
    *("discovery", "session", "doctor", "host"),
)
"""Which target a round is for, over and over."""

ROUND_CPU_SECONDS = 60.0
"""More than the slowest round, a flood, takes on a slow machine: a round this long hangs."""

FAILURES_MAX = 5
"""Of one job. Then it stops: the rest is most likely the same again."""

SHRINK_SECONDS = 30.0
"""So long the fewest inputs that fail are looked for."""


@dataclass(frozen=True)
class Failure:
    """What one input brought up."""

    seed: int
    number: int
    target: str
    at_end: bool
    """Not the input itself failed, but what came after the last of its round."""
    trace: str
    inputs: tuple[Input, ...]
    """Of its round, up to this one."""

    def __str__(self) -> str:
        what = "the end of the round of input" if self.at_end else "input"
        replay = f"python3 -m tests.fuzz --seed {self.seed} --only {self.number}"
        return f"{self.target}: {what} {self.number} failed; replay it: {replay}\n{self.trace}"


@dataclass
class Figures:
    """What was tried and what became of it."""

    inputs: Counter[str] = field(default_factory=Counter)
    """By target."""
    decoded: Counter[str] = field(default_factory=Counter)
    """By packet."""
    refused: Counter[str] = field(default_factory=Counter)
    """By reason."""
    after: Counter[str] = field(default_factory=Counter)
    """What became of attacked clients in the end: see `Stage._hear_victor`."""
    failures: list[Failure] = field(default_factory=list)

    def add(self, other: Figures) -> None:
        self.inputs += other.inputs
        self.decoded += other.decoded
        self.refused += other.refused
        self.after += other.after
        self.failures += other.failures

    def count(self, target: Target, given: Input) -> None:
        self.inputs[target.NAME] += 1
        if target.READS_DATAGRAMS and given.reader not in ("inodes_of_port", "neighbour_answers"):
            try:
                self.decoded[type(decode(given.data)).__name__] += 1
            except MalformedDatagram as error:
                self.refused[error.reason] += 1


class Hangs(Exception):
    """A round takes far longer than any should."""


def _hangs(number: int, frame: FrameType | None) -> None:
    raise Hangs(f"no end after {ROUND_CPU_SECONDS:.0f} s of computing")


# --- one round -------------------------------------------------------------------------------


def target_of(round_number: int) -> str:
    return SCHEDULE[round_number % len(SCHEDULE)]


def make_target(seed: int, round_number: int) -> Target:
    """The target of a round, as it is before the first input."""
    stage_chance = random.Random(f"{seed} {round_number} stage")
    chance = random.Random(f"{seed} {round_number} inputs")
    return TARGETS[target_of(round_number)](seed, stage_chance, chance)


def play(seed: int, round_number: int, figures: Figures, until: int = ROUND_INPUTS) -> None:
    """Plays a round, or its first inputs; a failure goes into the figures, and ends it."""
    taken: list[Input] = []
    at_end = False
    watched = _watch()
    try:
        target = make_target(seed, round_number)
        for _ in range(until):
            given = target.make()
            taken.append(given)
            figures.count(target, given)
            target.take(given)
        at_end = True
        if until == ROUND_INPUTS:
            target.finish()
            figures.after += target.figures
    except Exception:  # whatever comes up is what is looked for
        number = round_number * ROUND_INPUTS + max(0, len(taken) - 1)
        trace = traceback.format_exc()
        name = target_of(round_number)
        figures.failures.append(Failure(seed, number, name, at_end, trace, tuple(taken)))
    finally:
        if watched:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _watch() -> bool:
    """Has a round that hangs end with `Hangs`, where the system can do that."""
    if not hasattr(signal, "SIGVTALRM"):
        return False
    signal.signal(signal.SIGVTALRM, _hangs)
    signal.setitimer(signal.ITIMER_VIRTUAL, ROUND_CPU_SECONDS)
    return True


def fails_again(
    failure: Failure, inputs: Sequence[Input], kept: Collection[int]
) -> BaseException | None:
    """What comes up when only these inputs of a failed round are fed in; None if nothing does."""
    target = make_target(failure.seed, failure.number // ROUND_INPUTS)
    try:
        for number, given in enumerate(inputs):
            if number in kept:
                target.take(given)
            else:
                target.wait(given)
        if failure.at_end:
            target.finish()
    except Exception as error:
        return error
    return None


def shrink(failure: Failure) -> list[Input]:
    """The fewest inputs found that still fail in the same way, in their order."""
    inputs = failure.inputs
    kept = list(range(len(inputs)))
    original = fails_again(failure, inputs, kept)
    until = time.monotonic() + SHRINK_SECONDS
    size = max(1, len(kept) // 2)
    while original is not None and time.monotonic() < until:
        at = 0
        while at < len(kept) and time.monotonic() < until:
            fewer = kept[:at] + kept[at + size :]
            if _same(fails_again(failure, inputs, frozenset(fewer)), original):
                kept = fewer
            else:
                at += size
        if size == 1:
            break
        size = max(1, size // 2)
    return [inputs[number] for number in kept]


def _same(error: BaseException | None, original: BaseException) -> bool:
    """Whether it is the same failure: raised in the same place."""
    return error is not None and _place(error) == _place(original)


def _place(error: BaseException) -> tuple[str, str, int]:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return type(error).__name__, frame.filename, frame.lineno or 0


# --- many rounds -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Share:
    """What one job does: every so many rounds, up to a number of them or a moment."""

    seed: int
    first: int
    step: int
    rounds: int
    """Of all jobs together."""
    ends_at: float
    """On the clock of `time.monotonic`, which all processes of a machine share."""
    target: str | None


def run_share(share: Share) -> Figures:
    figures = Figures()
    numbers = _rounds(share.target)
    for place, round_number in enumerate(numbers):
        if place >= share.rounds or time.monotonic() >= share.ends_at:
            break
        if place % share.step == share.first:
            play(share.seed, round_number, figures)
            if len(figures.failures) >= FAILURES_MAX:
                break
    return figures


def _rounds(target: str | None) -> Iterator[int]:
    """The numbers of all rounds, or of one target's."""
    round_number = 0
    while True:
        if target is None or target_of(round_number) == target:
            yield round_number
        round_number += 1


def run(
    seed: int, inputs: int | None, seconds: float | None, jobs: int, target: str | None
) -> Figures:
    """Tries so many inputs (in whole rounds), or for so long."""
    rounds = sys.maxsize if inputs is None else -(-inputs // ROUND_INPUTS)
    ends_at = float("inf") if seconds is None else time.monotonic() + seconds
    shares = [Share(seed, job, jobs, rounds, ends_at, target) for job in range(jobs)]
    figures = Figures()
    if jobs == 1:
        figures.add(run_share(shares[0]))
        return figures
    with multiprocessing.Pool(jobs) as pool:
        for part in pool.imap_unordered(run_share, shares):
            figures.add(part)
    return figures


# --- the command -----------------------------------------------------------------------------


def _describe(given: Input) -> str:
    """An input, as it can be copied into a test."""
    try:
        what = str(decode(given.data))
    except MalformedDatagram as error:
        what = f"malformed: {error.reason}"
    if len(what) > 600:
        what = what[:600] + " …"
    times = f", {given.copies} times" if given.copies > 1 else ""
    to = f" to {given.reader}" if given.reader else ""
    source = f" from {given.source}" if given.source else ""
    after = f"after {given.wait_seconds:.3f} s" if given.wait_seconds else "at once"
    return f"{after}{source}{to}{times}: {given.data.hex()}\n    {what}"


def replay(seed: int, number: int) -> int:
    """Plays one input, after those of its round before it, and shows what matters."""
    round_number, place = divmod(number, ROUND_INPUTS)
    figures = Figures()
    play(seed, round_number, figures, place + 1)
    if not figures.failures:
        print(f"input {number} ({target_of(round_number)}): nothing fails")
        return 0
    failure = figures.failures[0]
    print(failure)
    fewest = shrink(failure)
    print(f"the fewest inputs found that fail so: {len(fewest)} of {len(failure.inputs)}")
    for given in fewest:
        print(f"  {_describe(given)}")
    return 1


def report(figures: Figures, seconds: float) -> None:
    """Prints the failures, then the figures."""
    for failure in figures.failures:
        print(failure)
    total = sum(figures.inputs.values())
    for target in TARGETS:
        print(f"{figures.inputs[target]:9} inputs into {target}")
    for name, counted in (("decoded", figures.decoded), ("refused", figures.refused)):
        kinds = ", ".join(f"{what} {count}" for what, count in counted.most_common())
        print(f"{sum(counted.values()):9} {name}: {kinds}")
    if figures.after:
        clients = ", ".join(f"{count} {what}" for what, count in figures.after.most_common())
        print(f"          of attacked clients, after the attack: {clients}")
    print(
        f"{total} inputs, {len(figures.failures)} failed, {seconds:.0f} s,"
        f" {total / max(seconds, 0.001):.0f} a second"
    )


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.fuzz", description="Bent datagrams into everything that reads them."
    )
    parser.add_argument("--seed", type=int, default=0, help="of all chance (default: 0)")
    parser.add_argument("--inputs", type=int, help="how many, in whole rounds of 250")
    parser.add_argument("--seconds", type=float, help="for how long (default: 20, or --inputs)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: 1)")
    parser.add_argument("--target", choices=TARGETS, help="only this one (default: all)")
    parser.add_argument("--only", type=int, metavar="N", help="replay input N of this seed")
    arguments = parser.parse_args(argv)
    if arguments.only is not None:
        return replay(arguments.seed, arguments.only)
    seconds = arguments.seconds
    if seconds is None and arguments.inputs is None:
        seconds = 20.0
    recording(arguments.seed)  # once, for all jobs that are forked from here
    began_at = time.monotonic()
    figures = run(arguments.seed, arguments.inputs, seconds, arguments.jobs, arguments.target)
    report(figures, time.monotonic() - began_at)
    return 1 if figures.failures else 0


if __name__ == "__main__":
    sys.exit(main())
