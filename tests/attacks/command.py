"""What attackers do, against a real server: ``python3 -m tests.attacks``.

For each attack a server is started (`udp_server.py` of this directory), six honest members enter
and say three lines a second each; for a moment it is quiet, then the attack comes from a process
of its own, then the room is watched after it. A table says how the honest members fared; the exit
code is 1 where a promise is broken, and each broken one is told in a sentence.

The promises: of an attack from one address, no honest delivery is missing and none reported lost,
and the slowest of a hundred takes at most three times what it did in quiet, or 20 ms. From 64
addresses at once the same, with 250 ms. All is as before within 1 s after it. The server takes at
most 150 MB throughout. What was said while the server was stopped is there 5 s after it goes on.

All of it stays on this machine. It needs Linux: there all of 127.0.0.0/8 is the loopback, so one
machine has as many addresses as an attacker may have. Times are those of a machine that may have
other work: the quiet right before each attack is the yardstick, and the last column says how late
the honest members' own process was.
"""

from __future__ import annotations

import argparse
import contextlib
import fnmatch
import json
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from benchmarks.load import Server as ServerFigures
from tests.attacks.floods import ATTACKS, Attack
from udp_chat.protocol.delivery import NEVER, quantile

PROJECT = Path(__file__).resolve().parent.parent.parent

QUIET_SECONDS = 3.0
GRACE_SECONDS = 1.0
"""After an attack, until all has to be as before."""

ENTERING_SECONDS_MAX = 30.0
"""What an attacker may take to enter, and to say so, beyond its time."""

ANSWER_SECONDS_MAX = 90.0
"""What any other program of this tool may take to say what it has to say."""

END_SECONDS = 3.0
"""What a program may take to end when it is asked to; then it is killed."""

QUIET_FACTOR = 3.0
ONE_ADDRESS_P99_MS = 20.0
MANY_ADDRESSES_P99_MS = 250.0
MEMORY_MB_MAX = 150.0
SETTLED_SECONDS_MAX = 5.0
"""After a stop: until everything said meanwhile is there."""


# --- what is measured, and what is promised ---------------------------------------------------


@dataclass(frozen=True)
class Measured:
    """One attack's figures; of several runs the medians, of what must not be the worst."""

    quiet_p50_ms: float
    quiet_p99_ms: float
    p50_ms: float
    p99_ms: float
    after_p99_ms: float
    settled_seconds: float
    """From the attack's end until every line said in it was shown to everyone."""
    missing: int
    """Deliveries that never came, of all that were due."""
    deliveries: int
    lost: int
    """Events that the clients reported as lost."""
    doubled: int
    one_order: bool
    whispers_unseen: int
    """Private messages that were accepted and never shown."""
    whispers: int
    memory_mb: float
    """The server's at its most."""
    cpu: float
    """The share of a core that the server took during the attack."""
    dropped: int
    """Datagrams that the kernel dropped for the server was too slow."""
    reconnects: int
    lag_ms: float
    """p99 of how late the honest members' process was to speak."""
    entered: int = 0
    sent: int = 0
    """By the attackers, in datagrams."""
    refused: dict[str, int] = field(default_factory=dict)


WORST = {"missing", "lost", "doubled", "whispers_unseen", "memory_mb", "one_order"}
"""What is not a median of several runs: one time is too often."""


def middle(runs: Sequence[Measured]) -> Measured:
    """What several runs of one attack come to."""
    values: dict[str, Any] = {}
    for each in fields(Measured):
        column = [getattr(run, each.name) for run in runs]
        if each.name == "one_order":
            values[each.name] = all(column)
        elif each.name in WORST:
            values[each.name] = max(column)
        elif each.name == "refused":
            values[each.name] = column[-1]
        else:
            values[each.name] = type(column[0])(statistics.median(column))
    return Measured(**values)


def p99_max_ms(attack: Attack, quiet_p99_ms: float) -> float:
    """What is promised for a line said during an attack; during a stop nothing is."""
    if attack.make is None:
        return NEVER
    if attack.from_many:
        return MANY_ADDRESSES_P99_MS
    return max(QUIET_FACTOR * quiet_p99_ms, ONE_ADDRESS_P99_MS)


def broken_promises(attack: Attack, found: Measured) -> list[str]:
    """What was promised and is not so, a sentence each; empty if all is well."""
    broken = []

    def check(kept: bool, sentence: str) -> None:
        if not kept:
            broken.append(f"{attack.name}: {sentence}")

    check(
        found.missing == 0,
        f"{found.missing} of {found.deliveries} honest deliveries never came.",
    )
    check(found.lost == 0, f"honest members were told that {found.lost} events are lost.")
    check(found.doubled == 0, f"{found.doubled} lines were shown twice.")
    check(found.one_order, "the honest members were shown the lines in different orders.")
    check(
        found.whispers_unseen == 0,
        f"{found.whispers_unseen} of {found.whispers} private messages of an honest member"
        " were accepted and never shown.",
    )
    most = p99_max_ms(attack, found.quiet_p99_ms)
    late = ""
    if found.lag_ms > most / 2:
        late = f" (The honest members' own process was {shown_ms(found.lag_ms)} late.)"
    check(
        found.p99_ms <= most,
        f"p99 was {shown_ms(found.p99_ms)}, not {shown_ms(most)} at most.{late}",
    )
    most = max(QUIET_FACTOR * found.quiet_p99_ms, ONE_ADDRESS_P99_MS)
    check(
        found.after_p99_ms <= most,
        f"more than 1 s after it p99 was still {shown_ms(found.after_p99_ms)},"
        f" not {shown_ms(most)} at most.",
    )
    check(
        found.memory_mb <= MEMORY_MB_MAX,
        f"the server took {found.memory_mb:.1f} MB, not {MEMORY_MB_MAX:.0f} MB at most.",
    )
    if attack.make is None:
        check(
            found.settled_seconds <= SETTLED_SECONDS_MAX,
            f"what was said meanwhile was there after {found.settled_seconds:.1f} s,"
            f" not within {SETTLED_SECONDS_MAX:.0f} s.",
        )
    return broken


def shown_ms(milliseconds: float) -> str:
    if milliseconds == NEVER:
        return "never"
    if milliseconds >= 1000:
        return f"{milliseconds / 1000:.1f} s"
    return f"{milliseconds:.1f} ms" if milliseconds < 100 else f"{milliseconds:.0f} ms"


# --- the processes ---------------------------------------------------------------------------


class Broken(Exception):
    """A measurement could not be made; says which process did not do its part."""


_DIES_WITH_ITS_PARENT = """
import ctypes, os, signal, sys
parent = int(sys.argv[1])
ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
if os.getppid() != parent:
    sys.exit("the parent is gone")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""

_WITH_BEACON_ON = """
import sys
sys.path.insert(0, "")
from udp_chat.app import server_command
server_command.DISCOVERY_PORT = int(sys.argv.pop(1))
sys.exit(server_command.main())
"""
"""The real command but for the port that its beacon listens on, which others may want."""


class Child:
    """A Python process of this tool: ended by its pid when this is closed, whatever it does.

    It dies with this process, too, and leaves Ctrl-C to it.
    """

    def __init__(self, *arguments: str) -> None:
        self.name = next((a for a in arguments if not a.startswith("-")), "child")
        prefix = ["-c", _DIES_WITH_ITS_PARENT, str(os.getpid())]
        self._process = subprocess.Popen(
            [sys.executable, *prefix, *arguments],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        self._rest = b""

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        process = self._process
        assert process.stdout is not None
        self.end_input()
        try:
            process.send_signal(signal.SIGCONT)
            process.terminate()
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        finally:
            process.stdout.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    def order(self, line: str) -> None:
        """Writes a line to its stdin."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # its next answer will be missed
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()

    def end_input(self) -> None:
        """Ends its stdin, which tells it to end."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def read_line(self, seconds: float = ANSWER_SECONDS_MAX) -> str:
        """The next line of its stdout; raises `Broken` if none comes."""
        assert self._process.stdout is not None
        fileno, until = self._process.stdout.fileno(), time.monotonic() + seconds
        while b"\n" not in self._rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([fileno], [], [], left)[0]:
                raise Broken(f"{self.name} said nothing for {seconds:.0f} s")
            data = os.read(fileno, 65536)
            if not data:
                raise Broken(f"{self.name} ended with code {self._process.wait()}")
            self._rest += data
        line, self._rest = self._rest.split(b"\n", 1)
        return line.decode()

    def read(self, seconds: float = ANSWER_SECONDS_MAX) -> dict[str, Any]:
        """The same as JSON."""
        answer: dict[str, Any] = json.loads(self.read_line(seconds))
        return answer


def start_server(attack: Attack, discovery_port: int) -> tuple[Child, int]:
    """`udp_server.py` as a person starts it, on the loopback, and its port."""
    options = ["--host", "127.0.0.1", "--port", "0"]
    if attack.members_max:
        options += ["--max-members", str(attack.members_max)]
    if attack.beacon:
        server = Child("-c", _WITH_BEACON_ON, str(discovery_port), *options)
    else:
        server = Child("udp_server.py", *options, "--no-discovery")
    try:
        line = server.read_line()
        return server, int(line.rpartition(":")[2])
    except BaseException:  # Ctrl-C too: no process stays behind
        server.__exit__()
        raise


def peak_memory_mb(pid: int) -> float:
    """The most physical memory that a process has had."""
    status = (Path("/proc") / str(pid) / "status").read_text()
    line = next((line for line in status.splitlines() if line.startswith("VmHWM:")), None)
    if line is None:  # a process that has ended has no memory
        raise Broken("the server ended")
    return int(line.split()[1]) * 1024 / 1e6


def dropped_by_kernel(port: int) -> int:
    """Datagrams to a port of the loopback that found its buffer full."""
    for line in Path("/proc/net/udp").read_text().splitlines()[1:]:
        words = line.split()
        if words[1] == f"0100007F:{port:04X}":
            return int(words[-1])
    return 0


# --- one attack ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effort:
    """How long and how hard; None: as the attack has it."""

    seconds: float | None = None
    rate: int | None = None
    quiet_seconds: float = QUIET_SECONDS
    after_seconds: float | None = None
    bystanders: int | None = None


def with_effort(attack: Attack, effort: Effort) -> Attack:
    chosen = {
        "seconds": effort.seconds,
        "rate": effort.rate,
        "after_seconds": effort.after_seconds,
        "bystanders": effort.bystanders,
    }
    given = {name: value for name, value in chosen.items() if value is not None}
    # A dict has one type for all its values; the fields have one each.
    return replace(attack, **given)  # type: ignore[arg-type]


def measure(attack: Attack, quiet_seconds: float = QUIET_SECONDS) -> Measured:
    """Runs one attack; raises `Broken` if it cannot be run. Leaves no process behind."""
    discovery_port = _free_port()
    with contextlib.ExitStack() as stack:
        server, port = start_server(attack, discovery_port)
        stack.enter_context(server)
        if attack.bystanders:
            count = str(attack.bystanders)
            crowd = stack.enter_context(Child("-m", "tests.attacks.peers", str(port), count))
            entered = crowd.read()["entered"]
            if entered != attack.bystanders:
                raise Broken(f"only {entered} of {count} bystanders got in")
        whispers = ["--whispers"] if attack.whispers else []
        honest = stack.enter_context(Child("-m", "tests.attacks.witnesses", str(port), *whispers))
        attacker: Child | None = None
        if attack.make is not None:
            target = discovery_port if attack.beacon else port
            timing = ["--seconds", str(attack.seconds), "--rate", str(attack.rate)]
            attacker = stack.enter_context(
                Child("-m", "tests.attacks.floods", attack.name, str(target), *timing)
            )
            attacker.read()
        if not honest.read()["joined"]:
            raise Broken("the honest members could not get in")
        return _watch(attack, server, port, honest, attacker, quiet_seconds)


def _watch(
    attack: Attack,
    server: Child,
    port: int,
    honest: Child,
    attacker: Child | None,
    quiet_seconds: float,
) -> Measured:
    figures = ServerFigures(server.pid)
    honest.order("quiet")
    time.sleep(quiet_seconds)
    honest.order("attack")
    cpu_seconds, begun_at = figures.cpu_seconds(), time.monotonic()
    done: dict[str, Any] = {}
    if attacker is None:
        os.kill(server.pid, signal.SIGSTOP)
        time.sleep(attack.seconds)
        os.kill(server.pid, signal.SIGCONT)
    else:
        attacker.order("go")
        done = attacker.read(4 * attack.seconds + ENTERING_SECONDS_MAX)
    ended_at = time.monotonic()
    honest.order("grace")
    cpu = (figures.cpu_seconds() - cpu_seconds) / (ended_at - begun_at)
    time.sleep(GRACE_SECONDS)
    honest.order("after")
    time.sleep(attack.after_seconds)
    honest.order("end")
    report = honest.read()
    settled_at = report["settled_at"].get("attack")
    quiet, during = _latencies(report, "quiet"), _latencies(report, "attack")
    counts = report["counts"]
    return Measured(
        quiet_p50_ms=quantile(quiet, 0.5),
        quiet_p99_ms=quantile(quiet, 0.99),
        p50_ms=quantile(during, 0.5),
        p99_ms=quantile(during, 0.99),
        after_p99_ms=quantile(_latencies(report, "after"), 0.99),
        settled_seconds=NEVER if settled_at is None else max(0.0, settled_at - ended_at),
        missing=report["missing"],
        deliveries=sum(map(len, report["latencies_ms"].values())),
        lost=max(counts.get("lost events", 0), counts.get("lost", 0)),
        doubled=counts.get("doubled", 0),
        one_order=report["one_order"],
        whispers_unseen=report["whispers_unseen"],
        whispers=report["whispers_accepted"],
        memory_mb=peak_memory_mb(server.pid),
        cpu=cpu,
        dropped=dropped_by_kernel(port),
        reconnects=counts.get("reconnecting", 0),
        lag_ms=report["lag_p99_ms"],
        entered=done.get("entered", 0),
        sent=done.get("sent", 0),
        refused=done.get("refused", {}),
    )


def _latencies(report: dict[str, Any], phase: str) -> list[float]:
    """Of each delivery of a phase, in ms; NEVER for one that is missing."""
    found: Iterable[float | None] = report["latencies_ms"].get(phase, ())
    return [NEVER if latency is None else latency for latency in found] or [NEVER]


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


# --- the table -------------------------------------------------------------------------------

Cell = Callable[[Attack, Measured], str]

COLUMNS: tuple[tuple[str, Cell], ...] = (
    ("attack", lambda attack, found: attack.name),
    ("addresses", lambda attack, found: str(len(attack.hosts)) if attack.make else "-"),
    ("entered", lambda attack, found: str(found.entered)),
    ("sent", lambda attack, found: str(found.sent)),
    ("quiet p50", lambda attack, found: shown_ms(found.quiet_p50_ms)),
    ("quiet p99", lambda attack, found: shown_ms(found.quiet_p99_ms)),
    ("p50", lambda attack, found: shown_ms(found.p50_ms)),
    (
        "p99",
        lambda attack, found: shown_ms(found.p99_ms) + ("" if attack.make else " (no promise)"),
    ),
    ("p99 after", lambda attack, found: shown_ms(found.after_p99_ms)),
    ("settled", lambda attack, found: shown_ms(found.settled_seconds * 1000)),
    ("missing", lambda attack, found: f"{found.missing}/{found.deliveries}"),
    ("lost", lambda attack, found: str(found.lost)),
    (
        "private unseen",
        lambda attack, found: (
            f"{found.whispers_unseen}/{found.whispers}" if attack.whispers else "-"
        ),
    ),
    ("reconnects", lambda attack, found: str(found.reconnects)),
    ("CPU", lambda attack, found: f"{found.cpu:.0%}"),
    ("RSS", lambda attack, found: f"{found.memory_mb:.0f} MB"),
    ("dropped", lambda attack, found: str(found.dropped)),
    ("own lag", lambda attack, found: shown_ms(found.lag_ms)),
)


def header() -> str:
    names = [name for name, _ in COLUMNS]
    return "\n".join([_row(names), _row(["---"] * len(names))])


def row(attack: Attack, found: Measured) -> str:
    return _row([cell(attack, found) for _, cell in COLUMNS])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


# --- the command -----------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.attacks",
        description="Attacks a server on this machine and says what breaks. Linux only.",
        epilog="Attacks: " + "; ".join(f"{a.name}: {a.what}" for a in ATTACKS.values()) + ".",
    )
    parser.add_argument(
        "--only",
        action="append",
        metavar="NAME",
        help="run this one, or all like 'memory*'; may be repeated (default: all)",
    )
    parser.add_argument("--seconds", type=float, help="of each attack (default: its own)")
    parser.add_argument(
        "--rate", type=int, metavar="N", help="datagrams a second (default: the attack's own)"
    )
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="runs of each attack")
    parser.add_argument("--list", action="store_true", help="list the attacks and end")
    return parser


def chosen(names: Sequence[str] | None) -> list[Attack]:
    """The attacks that these names or patterns mean; raises ValueError where one means none."""
    if not names:
        return list(ATTACKS.values())
    for wanted in names:
        if not fnmatch.filter(ATTACKS, wanted):
            raise ValueError(f"there is no attack {wanted}; --list has their names")
    return [a for name, a in ATTACKS.items() if any(fnmatch.fnmatch(name, n) for n in names)]


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the attacks; 1 if a promise is broken."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.list:
        for attack in ATTACKS.values():
            print(f"{attack.name:18} {attack.rate:6} datagrams/s  {attack.what}")
        return 0
    if sys.platform != "linux":
        parser.error("this needs Linux, where all of 127.0.0.0/8 is the loopback")
    try:
        attacks = chosen(arguments.only)
    except ValueError as error:
        parser.error(str(error))
    effort = Effort(seconds=arguments.seconds, rate=arguments.rate)
    broken: list[str] = []
    print(header(), flush=True)
    try:
        for attack in (with_effort(attack, effort) for attack in attacks):
            try:
                found = middle([measure(attack) for _ in range(max(1, arguments.repeat))])
            except Broken as error:
                broken.append(f"{attack.name}: could not be measured: {error}.")
                continue
            print(row(attack, found), flush=True)
            if found.refused:
                told = ", ".join(f"{reason} {count}" for reason, count in found.refused.items())
                print(f"  {attack.name}: refused: {told}", file=sys.stderr)
            broken += broken_promises(attack, found)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 1
    print()
    print("\n".join(broken) or "All promises are kept.")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
