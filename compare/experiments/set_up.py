"""Connection set-up.

Question: how long does it take to join a room, and what happens if there is none?

Method: a client at one end of a wire, the server at the other, 0, 20 and 50 ms each way. The clock
starts when the client's first packet comes to the wire. The experiment polls the wire's counters
for that, so Python's start-up time is not measured. The clock stops when the program says that it
has joined, and again when its first message has come back to it, as to everyone. The packets of a
silent client are counted until a while after it has joined. Then the failures: a port where
nobody listens, an address where nobody is (the wire is cut), and a server that starts a second
after the client.

Expect: plain UDP joins after one round trip: HELLO, WELCOME. TCP shakes hands first, and udp-chat
has the client echo a cookie first: two. The first message takes one more.
Where nobody listens the kernel answers a SYN with RST, so TCP knows at once. UDP's answer is an
ICMP message, and the kernel does not report it to an unconnected socket. Only a client that asks
again finds a late server.

Command: python3 -m compare set-up
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from compare.experiments.cost import passed
from compare.experiments.experiment import Effort, Experiment, Figure, Headline, Plot, Result, Tell
from compare.experiments.participants import (
    PORT,
    WAIT_SECONDS,
    Case,
    Client,
    ExperimentFailed,
    Server,
    cases,
    pause,
    run_at_once,
)
from compare.experiments.voice import Voice, remarks, words
from compare.wire.network import Counters, Wire
from udp_chat.protocol.delivery import NEVER

DELAYS_MS = (0.0, 20.0, 50.0)  # each way
SHOWN_DELAY_MS = 20.0  # what the sentences speak of; the failures are watched with it

POLL_SECONDS = 0.0005
"""Between two looks at the wire for the first packet."""

SETTLE_SECONDS = 0.3
"""How long to count packets after the client has joined: no acknowledgement comes later."""

STAGGER_SECONDS = 0.2
QUICK_STAGGER_SECONDS = 0.05
"""Between the starts of two clients that are going to fail. All are watched at once, but starting
takes a processor."""

WATCH_SECONDS = 7.0
"""How long a failing client is watched: all of them have 5 s to join by default."""

SERVER_LATE_SECONDS = 1.0

FAILURES = ("wrong_port", "no_host", "late")


@dataclass(frozen=True, slots=True)
class Joining:
    """How one client joined."""

    joined_seconds: float
    first_line_seconds: float
    """Until its first message had come back to it."""


def measure(effort: Effort, tell: Tell) -> Result:
    seeds = effort.seeds(effort.choose(3, 1))
    figures: list[Figure] = []
    for delay_ms in effort.choose(DELAYS_MS, (SHOWN_DELAY_MS,)):
        tell(f"joining with {delay_ms:g} ms each way")
        figures += joinings(delay_ms, seeds)
    tell("counting packets")
    figures += _each_seed(_count, analyse_packets, SHOWN_DELAY_MS, seeds)

    tell("failing to join")
    failing = cases(FAILURES, seeds)
    stagger_seconds = effort.choose(STAGGER_SECONDS, QUICK_STAGGER_SECONDS)
    start_seconds = {case: number * stagger_seconds for number, case in enumerate(failing)}

    def fail(case: Case) -> tuple[str, float]:
        pause(start_seconds[case])
        return "late_server" if case.condition == "late" else "noticed", _fail(case)

    figures += Result.of(run_at_once(fail, failing), lambda failed: dict([failed])).figures
    settings = {
        "seeds": list(seeds),
        "failing_one_way_delay_ms": SHOWN_DELAY_MS,
        "join_timeout_seconds": 5.0,
        "server_late_seconds": SERVER_LATE_SECONDS,
        "failing_watched_seconds": WATCH_SECONDS,
        "counted_behind_joining_seconds": SETTLE_SECONDS,
    }
    return Result(tuple(figures), settings=settings, remarks=remarks("set-up"))


def joinings(delay_ms: float, seeds: Iterable[int]) -> Sequence[Figure]:
    """How long each chat takes to join, with so much delay each way."""
    return _each_seed(_join, analyse_joining, delay_ms, seeds)


def _each_seed(
    work: Callable[[Case, Wire], object],
    analyse: Callable[..., dict[str, float]],
    delay_ms: float,
    seeds: Iterable[int],
) -> Sequence[Figure]:
    """The figures of work that each chat does once for each seed, all three side by side."""

    def run(case: Case) -> object:
        with Wire(delay_seconds=delay_ms / 1000, seed=case.seed) as wire:
            return work(case, wire)

    runs = (run_at_once(run, cases([delay_ms], [seed])) for seed in seeds)
    return Result.of([one for side_by_side in runs for one in side_by_side], analyse).figures


def _join(case: Case, wire: Wire) -> Joining:
    with Server(case.transport, wire) as server:
        before = wire.counters
        address = (server.host, server.port)
        with Client(case.transport, address, "anna", wire, wait_joined=False) as client:
            client.say("hello")
            started_at = _first_packet_at(wire, before)
            joined_at = client.wait("joined").at
            heard_at = client.wait("chat", text="hello").at
    return Joining(joined_at - started_at, heard_at - started_at)


def _count(case: Case, wire: Wire) -> tuple[int, int]:
    """Packets and bytes until a client has joined."""
    with Server(case.transport, wire) as server:
        before = wire.counters
        with Client(case.transport, (server.host, server.port), "anna", wire):
            pause(SETTLE_SECONDS)
            return passed(before, wire.counters)


def _first_packet_at(wire: Wire, before: Counters) -> float:
    """Waits for the first packet on the wire. Returns the last moment before it was seen."""
    until = time.monotonic() + WAIT_SECONDS
    last_at = time.monotonic()
    while True:
        at = time.monotonic()
        if passed(before, wire.counters) != (0, 0):
            return last_at
        if at > until:
            raise ExperimentFailed("a client has sent nothing")
        last_at = at
        pause(POLL_SECONDS)


def _fail(case: Case) -> float:
    """Seconds until a client that cannot join has ended. If the server only comes late: from its
    start until the client has joined."""
    with Wire(delay_seconds=SHOWN_DELAY_MS / 1000, seed=case.seed) as wire:
        if case.condition == "no_host":
            wire.cut()
        before = wire.counters
        address = (wire.address("b"), PORT)
        with Client(case.transport, address, "anna", wire, wait_joined=False) as client:
            started_at = _first_packet_at(wire, before)
            if case.condition == "late":
                pause(SERVER_LATE_SECONDS)
                with Server(case.transport, wire):
                    listening_at = time.monotonic()
                    joined = client.find("joined", WATCH_SECONDS)
                return NEVER if joined is None else max(0.0, joined.at - listening_at)
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.process.wait(WATCH_SECONDS)
                return time.monotonic() - started_at
            return NEVER


def analyse_joining(run: Joining) -> dict[str, float]:
    return {"joined": run.joined_seconds * 1000, "first_line": run.first_line_seconds * 1000}


def analyse_packets(run: tuple[int, int]) -> dict[str, float]:
    return dict(zip(("packets", "bytes"), run, strict=True))


def facts(result: Result, say: Voice) -> dict[str, object]:
    # Of the usual delay, or of the largest that was measured.
    delays = [delay for delay in result.conditions("joined") if isinstance(delay, float)]
    delay = SHOWN_DELAY_MS if SHOWN_DELAY_MS in delays else max(delays)
    joined = [result.median(chat, "joined", delay) for chat in say.chats]
    late = {chat: result.median(chat, "late_server", "late") for chat in say.chats}
    finders = [name for chat, name in say.chats.items() if late[chat] < NEVER]
    seconds = partial(say.amount, unit="s")
    return {
        "delay": say.milliseconds(delay),
        "joined": say.each(say.milliseconds, "joined", delay),
        "trips": ", ".join(str(round(ms / (2 * delay)) if delay else 0) for ms in joined),
        "first": say.each(say.milliseconds, "first_line", delay),
        "wrong_port": say.each(seconds, "noticed", "wrong_port"),
        "no_host": say.each(seconds, "noticed", "no_host"),
        "late": say.part(
            "found_by_several" if len(finders) > 1 else "found_by_one" if finders else "not_found",
            finders=say.part("and").join(finders),
        ),
    }


EXPERIMENT = Experiment(
    name="set-up",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("joined", "lines", "delay"),
        Plot("first_line", "lines", "delay"),
        Plot("noticed", "bars", "failure"),
    ),
    words=words("set-up", facts),
    headline=Headline("joined", "lower", SHOWN_DELAY_MS),
)
