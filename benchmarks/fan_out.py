"""Fan-out: how many messages a second can one server bring to N members, and what does it cost?

  python3 -m benchmarks.fan_out [--members 10,100,1000] [--servers chat,redis]

A server on one core, all members in one process on another (load.py), over loopback; messages of
64 bytes from four members. *Saturation*: each sender keeps 64 messages on their way. *window-64*:
all four together keep 64, so that each wake-up of the server finds little. *500* and *50*: so many
messages a second, so that each is alone at its wake-up. Servers take turns within a
round, and ratios are taken within rounds. Some members look at each message: whether it is the
next of its sender, and whether all saw one order. Beside the three chats run Redis (pub/sub) and
NATS where they are installed: written in C and Go to do just this.

The laboratory's eleventh experiment, compare/experiments/fan_out.py, runs a part of it.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compare.figures import amount

PROJECT = Path(__file__).resolve().parent.parent

SATURATION, WINDOW, STEADY, CALM, IDLE = "saturation", "window-64", "500", "50", "idle"

LOADS = (IDLE, SATURATION, WINDOW, CALM, STEADY)

DELIVERIES_MAX = 60_000
"""A second, of a steady load. The slowest server takes so many; with more its queue is measured."""

OPEN_FILES = 20_000
START_SECONDS = 20.0
RUN_SECONDS_MAX = 300.0

Measured = dict[str, Any]
"""What benchmarks/load.py printed: by load, by quantity."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A server to load. `argv` takes the port."""

    name: str
    title: str
    crowd: str
    argv: tuple[str, ...]
    program: str = ""
    """What must be installed for it."""
    members_max: int = 10_000

    def command(self, port: int) -> list[str]:
        words = [word.replace("PORT", str(port)) for word in self.argv]
        return words if self.program else [sys.executable, *words]


_CHAT = ("udp_server.py", "--host", "127.0.0.1", "--port", "PORT", "--no-discovery")
_UNLIMITED = ("--rate", "0", "--per-address", "0", "--max-members", "10000")

CHAT = Contender("chat", "udp-chat", "chat", (*_CHAT, *_UNLIMITED))
PLAIN = Contender(
    "plain",
    "plain UDP",
    "plain",
    ("-m", "compare.chats.plain_udp", "serve", "--port", "PORT", "--max-members", "10000"),
)
TCP = Contender(
    "tcp",
    "TCP",
    "tcp",
    ("-m", "compare.chats.tcp_server", "--port", "PORT", "--rate", "0", "--max-members", "1900"),
    members_max=1900,
)
REDIS = Contender(
    "redis",
    "Redis",
    "redis",
    (
        *("redis-server", "--bind", "127.0.0.1", "--port", "PORT", "--save", ""),
        *("--maxclients", "15000", "--client-output-buffer-limit", "pubsub 0 0 0"),
    ),
    program="redis-server",
)
NATS = Contender(
    "nats", "NATS", "nats", ("nats-server", "-a", "127.0.0.1", "-p", "PORT"), program="nats-server"
)
# The same server, with complete clients as senders: they show what happens when it cannot keep up.
SESSIONS = Contender("sessions", "udp-chat, full senders", "chat-sessions", CHAT.argv)

CONTENDERS = (CHAT, PLAIN, TCP, REDIS, NATS)


def missing() -> str | None:
    """What the benchmark needs and this system lacks; None if it can run."""
    return None if sys.platform == "linux" else f"epoll and /proc, which {sys.platform} lacks"


def installed() -> list[Contender]:
    return [c for c in CONTENDERS if not c.program or shutil.which(c.program)]


@contextlib.contextmanager
def _serving(contender: Contender, core: int | None) -> Iterator[tuple[int, int]]:
    """Its port and process id, as long as it serves."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
    with (
        tempfile.TemporaryDirectory() as directory,
        subprocess.Popen(
            _on_core(core, contender.command(port)),
            cwd=directory if contender.program else PROJECT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process,
    ):
        try:
            _wait_until_it_serves(contender, process, port)
            yield port, process.pid
        finally:
            process.terminate()
            try:
                process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_until_it_serves(
    contender: Contender, process: subprocess.Popen[bytes], port: int
) -> None:
    is_udp = contender.crowd not in ("tcp", "redis", "nats")
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        if is_udp:
            ports = Path("/proc/net/udp").read_text()
            if f":{port:04X} " in ports:
                return
        else:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                return
        time.sleep(0.02)
    raise RuntimeError(f"{contender.title} does not serve: {' '.join(contender.command(port))}")


def _on_core(core: int | None, command: Sequence[str]) -> list[str]:
    if core is None:
        return list(command)
    pin = (
        f"import os,sys; os.sched_setaffinity(0, {{{core}}}); os.execvp(sys.argv[1], sys.argv[1:])"
    )
    return [sys.executable, "-c", pin, *command]


def cores() -> tuple[int | None, int | None]:
    """For the server and for the load; none where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    return (cores[0], cores[1]) if len(cores) > 1 else (None, None)


def run_load(contender: Contender, members: int, loads: Sequence[str], seconds: float) -> Measured:
    """Starts a server, loads it, ends it. Raises RuntimeError with what went wrong."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(OPEN_FILES, hard) if hard != resource.RLIM_INFINITY else OPEN_FILES
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    server_core, load_core = cores()
    with _serving(contender, server_core) as (port, pid):
        command = [sys.executable, "-m", "benchmarks.load", contender.crowd, str(port), str(pid)]
        command += ["--members", str(members), "--seconds", str(seconds)]
        command += ["--loads", ",".join(loads)]
        try:
            finished = subprocess.run(
                _on_core(load_core, command),
                cwd=PROJECT,
                capture_output=True,
                text=True,
                timeout=RUN_SECONDS_MAX,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"{contender.title}, {members} members: {error}") from None
    if finished.returncode:
        raise RuntimeError(f"{contender.title}, {members} members: {finished.stderr[-500:]}")
    measured: Measured = json.loads(finished.stdout)
    return measured


# --- the benchmark ---------------------------------------------------------------------------


Run = Callable[[Contender, int, Sequence[str], float], Measured]
"""As `run_load`."""


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What to measure."""

    counts: Sequence[int]
    """Of members."""
    contenders: Sequence[Contender]
    loads: Sequence[str] = ()
    """None: those of LOADS that all servers can take."""
    seconds: float = 3.0
    rounds: int = 7

    def measure(
        self, tell: Callable[[str], None], run: Run = run_load
    ) -> dict[str, dict[int, list[Measured]]]:
        """What was measured, by server and number of members, a list of rounds."""
        kept: dict[str, dict[int, list[Measured]]] = {}

        def keep(name: str, members: int, measured: Measured) -> None:
            kept.setdefault(name, {}).setdefault(members, []).append(measured)

        for number, members in itertools.product(range(self.rounds), self.counts):
            loads = self.loads or [
                load
                for load in LOADS
                if not load.isdigit() or members * int(load) <= DELIVERIES_MAX
            ]
            where = f"round {number + 1} of {self.rounds}:"
            for contender in self.contenders:
                if members <= contender.members_max:
                    tell(f"{where} {contender.title}, {members} members")
                    keep(contender.name, members, run(contender, members, loads, self.seconds))
            if CHAT in self.contenders and SATURATION in loads:
                tell(f"{where} overload, {members} members")
                keep(SESSIONS.name, members, self._overload(members, run))
        return kept

    def _overload(self, members: int, run: Run) -> Measured:
        """Complete clients at saturation, then pushing twice as much as that was."""
        measured = run(SESSIONS, members, [SATURATION], self.seconds)
        pace = 2 * measured[SATURATION]["deliveries_per_second"] / members
        pushed = run(SESSIONS, members, [f"{pace:.1f}"], self.seconds)
        (overload,) = (value for key, value in pushed.items() if not key.startswith("join"))
        return {**measured, "overload": overload}


COLUMNS = (
    ("k deliveries/s", "deliveries_per_second", 1e-3),
    ("delivered %", "delivered", 100.0),
    ("CPU µs/delivery", "cpu_us_per_delivery", 1.0),
    ("p50 ms", "p50_ms", 1.0),
    ("p99 ms", "p99_ms", 1.0),
    ("server core %", "server_cpu_share", 100.0),
    ("load core %", "load_cpu_share", 100.0),
    ("RSS MB", "memory_mb", 1.0),
    ("threads", "threads", 1.0),
)


def table(kept: dict[str, dict[int, list[Measured]]]) -> Iterator[str]:
    """Lines of text: for each load and number of members a row for each server."""
    titles = {c.name: c.title for c in (*CONTENDERS, SESSIONS)}
    counts = list(dict.fromkeys(n for by_count in kept.values() for n in by_count))
    runs_of_all = [run for by_count in kept.values() for runs in by_count.values() for run in runs]
    loads = dict.fromkeys(key for run in runs_of_all for key in run if not key.startswith("join"))
    for load in loads:
        for members in counts:
            rows = [
                (titles[name], [run[load] for run in by_count[members] if load in run])
                for name, by_count in kept.items()
            ]
            rows = [(title, runs) for title, runs in rows if runs]
            if not rows:
                continue
            what = f"{load} messages a second" if load.isdigit() else load
            yield ""
            yield f"{what}, {members} members: median (min-max) of {len(rows[0][1])}"
            yield f"{'':24}" + "".join(f"{title:>22}" for title, _, _ in COLUMNS)
            for title, runs in rows:
                cells = (
                    _cell([r[key] * scale for r in runs if key in r]) for _, key, scale in COLUMNS
                )
                yield f"{title:24}" + "".join(f"{cell:>22}" for cell in cells) + _broken(runs)
    yield ""
    yield from ratios(kept)


def _cell(values: Sequence[float]) -> str:
    if not values:
        return ""
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{amount(middle)} ({amount(low)}-{amount(high)})".replace("\u202f", "")


def _broken(runs: Sequence[Measured]) -> str:
    """Which part of the promise did not hold for the members that looked at each line."""
    words = []
    if any(run.get("missing") for run in runs):
        words.append("gaps")
    if any(run.get("repeated") for run in runs):
        words.append("repeats or late")
    if not all(run.get("one_order", True) for run in runs):
        words.append("several orders")
    return "  ! " + ", ".join(words) if words else ""


def ratios(kept: dict[str, dict[int, list[Measured]]]) -> Iterator[str]:
    """This chat against others, pair by pair within the rounds."""
    chat = kept.get("chat", {})
    for load, key, what in (
        (SATURATION, "deliveries_per_second", "deliveries/s"),
        (WINDOW, "deliveries_per_second", "deliveries/s"),
        (STEADY, "cpu_us_per_delivery", "server CPU per delivery"),
        (CALM, "p50_ms", "p50 latency"),
    ):
        for members in chat:
            for other in ("redis", "nats", "tcp", "plain"):
                pairs = zip(chat[members], kept.get(other, {}).get(members, []), strict=False)
                values = [a[load][key] / b[load][key] for a, b in pairs if load in a and load in b]
                if values:
                    where = f"{what}, {load}, {members} members"
                    yield f"udp-chat / {other:6} {where:52} {_cell(values)}"
    for members, runs in kept.get(SESSIONS.name, {}).items():
        key = "deliveries_per_second"
        values = [run["overload"][key] / run[SATURATION][key] for run in runs]
        yield f"overload / saturation, {members} members: goodput {_cell(values)}"
    for members, runs in chat.items():
        joins, cpu = (
            _cell([run[key] for run in runs]) for key in ("join_seconds", "join_cpu_seconds")
        )
        yield f"udp-chat: {members} members have joined after {joins} s; server CPU {cpu} s"
        idle = [run[IDLE]["server_cpu_share"] / members * 1e5 for run in runs if IDLE in run]
        if idle:
            yield f"udp-chat: {members} idle members, % of a core per thousand: {_cell(idle)}"


def main(argv: Sequence[str] | None = None, run: Run = run_load) -> int:
    """The command `python3 -m benchmarks.fan_out`; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.fan_out",
        description="Measures how fast one server brings messages to N members: this chat, plain"
        " UDP, the TCP chat, and Redis and NATS where they are installed, in turns on this"
        " machine.",
        epilog="Leave the machine alone meanwhile: the benchmark measures what else runs, too.",
    )
    parser.add_argument("--members", default="10,100,1000", help="(default: %(default)s)")
    parser.add_argument(
        "--loads",
        default="",
        help="idle, saturation, window-64 or messages a second, separated by commas (default: all"
        " that every server can take)",
    )
    parser.add_argument("--seconds", type=float, default=3.0, help="(default: %(default)g)")
    parser.add_argument("--repeat", type=int, default=7, metavar="R", help="(default: %(default)s)")
    names = [contender.name for contender in CONTENDERS]
    parser.add_argument("--servers", default=",".join(names), help="(default: %(default)s)")
    parser.add_argument("--json", metavar="FILE", help="write all that was measured")
    arguments = parser.parse_args(argv)
    lacking = missing()
    if lacking:
        print(f"the benchmark needs {lacking}", file=sys.stderr)
        return 1
    counts = [int(word) if word.isdecimal() else 0 for word in arguments.members.split(",")]
    if not all(0 < count <= 10_000 for count in counts):
        parser.error("--members takes numbers from 1 to 10000, separated by commas")
    wanted = arguments.servers.split(",")
    loads = [load for load in arguments.loads.split(",") if load]
    for name in wanted:
        if name not in names:
            parser.error(f"there is no server {name!r}: choose from {', '.join(names)}")
    for load in loads:
        if load not in (IDLE, SATURATION, WINDOW) and not load.isdigit():
            choice = f"{IDLE}, {SATURATION}, {WINDOW} or messages a second"
            parser.error(f"there is no load {load!r}: choose {choice}")
    contenders = [contender for contender in installed() if contender.name in wanted]
    for name in wanted:
        if name not in {contender.name for contender in contenders}:
            print(f"{name} is not installed: left out", file=sys.stderr)
    benchmark = Benchmark(counts, contenders, loads, arguments.seconds, arguments.repeat)
    try:
        kept = benchmark.measure(lambda text: print(text, file=sys.stderr, flush=True), run)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    print(*table(kept), sep="\n")
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(kept, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
