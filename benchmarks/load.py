"""The load of the fan-out benchmark: makes a crowd talk, at some pace, and measures.

It runs in a process of its own with one thread, so that it does not share the interpreter with
the server. `main` runs some loads against one server and prints what it measured as JSON;
benchmarks/fan_out.py starts it. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from benchmarks.chat_crowd import ChatCrowd, SessionCrowd
from benchmarks.crowds import (
    CHUNK_LINES,
    PATIENCE_SECONDS,
    SENDERS,
    WINDOW_LINES,
    Crowd,
    NatsCrowd,
    PlainCrowd,
    RedisCrowd,
    TcpCrowd,
    have_one_order,
)
from udp_chat.protocol.delivery import quantile

STALL_SECONDS = 0.2
"""Without any progress for so long, what is on its way counts as lost, or is repeated."""

SETTLE_SECONDS = 6.0
"""Before an idle room is measured: more than a heartbeat's interval."""

IDLE_SECONDS_MIN = 10.0
"""Two heartbeats of each member."""

CROWDS: dict[str, Any] = {
    "chat-sessions": SessionCrowd,
    "chat": ChatCrowd,
    "plain": PlainCrowd,
    "tcp": TcpCrowd,
    "redis": RedisCrowd,
    "nats": NatsCrowd,
}


class Server:
    """The process under test, as /proc shows it."""

    def __init__(self, pid: int) -> None:
        self._proc = Path("/proc") / str(pid)

    def cpu_seconds(self) -> float:
        """User and system time of all its threads."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        return int((self._proc / "statm").read_text().split()[1]) * resource.getpagesize()

    def thread_count(self) -> int:
        return len(list((self._proc / "task").iterdir()))


class Clock(Protocol):
    """What the driver uses of the module `time`."""

    def monotonic(self) -> float: ...

    def process_time(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a crowd talks."""

    lines_per_second: float = 0.0
    """0: as many as the window lets through."""
    window_lines: int = SENDERS * WINDOW_LINES
    """Said by all senders together, and not yet delivered to all."""

    @classmethod
    def of(cls, load: str) -> Pace:
        """The pace of a load: `saturation`, `window-64` or lines a second; else a ValueError."""
        if load == "saturation":
            return cls()
        name, _, lines = load.partition("-")
        if name == "window" and lines:
            return cls(window_lines=max(int(lines), CHUNK_LINES))
        return cls(lines_per_second=float(load))


class Driver:
    """Says messages through a crowd at some pace, and measures what arrives."""

    def __init__(self, crowd: Crowd, server: Server, clock: Clock = time) -> None:
        """`clock` may be another one in tests."""
        self._clock = clock
        self._crowd = crowd
        self._server = server
        self._said = 0
        self._turn = 0
        self._given_up = 0
        self._given_up_seconds = 0.0
        self._least = self._delivered = 0
        self._progress_at = self._clock.monotonic()

    def run(self, seconds: float, pace: Pace) -> dict[str, float]:
        """Warms up, then measures for so long."""
        self._speak(min(0.5, seconds / 4), pace)
        self._finish()
        for sample in self._crowd.samples.values():
            sample.clear()
        said, given_up, lost_seconds = self._said, self._given_up, self._given_up_seconds
        cpu, own_cpu, begun = (
            self._server.cpu_seconds(),
            self._clock.process_time(),
            self._clock.monotonic(),
        )
        self._speak(seconds, pace)
        self._finish()
        own_cpu = self._clock.process_time() - own_cpu
        # The wait that shows that something is lost is no work of anybody's.
        elapsed = self._clock.monotonic() - begun - (self._given_up_seconds - lost_seconds)
        lines = self._said - said
        members = len(self._crowd.positions)
        deliveries = lines * members - (self._given_up - given_up)
        cpu = self._server.cpu_seconds() - cpu
        samples = list(self._crowd.samples.values())
        latencies = [latency for sample in samples for latency in sample.latencies]
        return {
            "lines": lines,
            "deliveries_per_second": deliveries / elapsed,
            "delivered": deliveries / (lines * members),
            "cpu_us_per_delivery": cpu / deliveries * 1e6,
            "server_cpu_share": cpu / elapsed,
            "load_cpu_share": own_cpu / elapsed,
            "p50_ms": statistics.median(latencies) * 1000,
            "p99_ms": quantile(latencies, 0.99) * 1000,
            "missing": lines * len(samples) - len(latencies),
            "repeated": sum(sample.repeated for sample in samples),
            "one_order": have_one_order(samples),
            "memory_mb": self._server.memory_bytes() / 1e6,
            "threads": self._server.thread_count(),
        }

    def idle(self, seconds: float) -> dict[str, float]:
        """Nobody says anything, and has not for a while: heartbeats alone."""
        self._crowd.disperse()
        self._listen(SETTLE_SECONDS)
        cpu, begun = self._server.cpu_seconds(), self._clock.monotonic()
        self._listen(seconds)
        elapsed = self._clock.monotonic() - begun
        return {
            "server_cpu_share": (self._server.cpu_seconds() - cpu) / elapsed,
            "memory_mb": self._server.memory_bytes() / 1e6,
            "threads": self._server.thread_count(),
        }

    def _listen(self, seconds: float) -> None:
        until = self._clock.monotonic() + seconds
        while self._clock.monotonic() < until:
            self._crowd.take(0.1)

    def _speak(self, seconds: float, pace: Pace) -> None:
        begun = now = self._clock.monotonic()
        said, lines_per_second = 0, pace.lines_per_second
        while now < begun + seconds:
            wait = 0.1
            if not lines_per_second:
                while pace.window_lines - (self._said - self._least) >= CHUNK_LINES:
                    self._say(CHUNK_LINES, self._clock.monotonic())
            else:
                due_at = begun + said / lines_per_second
                due = int((now - begun) * lines_per_second) + 1 - said
                said += due
                while due > 0:  # more than one is due where something has held us up
                    count = -(-due // SENDERS)
                    self._say(count, due_at)  # the load's own delay is latency, too
                    due -= count
                wait = max(0.0, begun + said / lines_per_second - self._clock.monotonic())
            self._take(wait)
            now = self._clock.monotonic()

    def _finish(self) -> None:
        until = self._clock.monotonic() + PATIENCE_SECONDS
        while self._least < self._said:
            if self._clock.monotonic() > until:
                raise TimeoutError(f"{self._said - self._least} lines did not arrive")
            self._take(0.01)

    def _say(self, count: int, now: float) -> None:
        sender = self._turn
        self._turn = (self._turn + 1) % SENDERS
        number = len(self._crowd.said_at[sender])
        self._crowd.say(sender, range(number, number + count), now)
        self._said += count

    def _take(self, timeout_seconds: float) -> None:
        self._crowd.take(timeout_seconds)
        positions = self._crowd.positions
        self._least, delivered, now = min(positions), sum(positions), self._clock.monotonic()
        if delivered != self._delivered or self._least == self._said:
            self._delivered, self._progress_at = delivered, now
        elif now > self._progress_at + STALL_SECONDS:
            lost = self._crowd.on_stall()
            self._given_up += lost
            self._given_up_seconds += now - self._progress_at if lost else 0.0
            self._progress_at = now


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one load, prints one line of JSON."""
    parser = argparse.ArgumentParser(prog="python3 -m benchmarks.load", description=__doc__)
    parser.add_argument("kind", choices=sorted(CROWDS))
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="of the server")
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument(
        "--loads",
        default="saturation",
        help="saturation, window-64, idle or lines a second, by commas",
    )
    arguments = parser.parse_args(argv)
    crowd: Crowd = CROWDS[arguments.kind](("127.0.0.1", arguments.port), arguments.members)
    try:
        print(json.dumps(_measure(crowd, Server(arguments.pid), arguments)), flush=True)
    finally:
        crowd.close()
    return 0


def _measure(crowd: Crowd, server: Server, arguments: argparse.Namespace) -> dict[str, object]:
    begun, cpu = time.monotonic(), server.cpu_seconds()
    crowd.join()
    measured: dict[str, object] = {
        "join_seconds": time.monotonic() - begun,
        "join_cpu_seconds": server.cpu_seconds() - cpu,
    }
    driver = Driver(crowd, server)
    loads: Iterable[str] = arguments.loads.split(",")
    for load in loads:
        if load == "idle":
            measured[load] = driver.idle(max(arguments.seconds, IDLE_SECONDS_MIN))
        else:
            measured[load] = driver.run(arguments.seconds, Pace.of(load))
    return measured


if __name__ == "__main__":
    sys.exit(main())
