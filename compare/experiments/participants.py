"""The three chats as commands, seen from outside: what an experiment starts, types and reads.

Every participant is a process of its own, run as a person would run it, with `--json`. An
experiment types a message into one program's stdin, and reads it from another's stdout. One clock
here stamps both. So nothing is measured inside the programs under test, and all three are
measured alike. (The price is the same for all: a pipe and a process switch at each end take some
0.3 ms.)

  with Wire(loss=0.05, delay_seconds=0.02, seed=7) as wire, Room(CHAT, 3, wire) as room:
      anna, boris, clara = room.clients
      at = anna.say("hello")
      arrival = boris.wait("chat", text="hello")
      print(arrival.at - at)
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

from compare.experiments.experiment import Condition, Tell
from compare.wire.network import Wire
from udp_chat.protocol.delivery import NEVER

PROJECT = Path(__file__).resolve().parent.parent.parent

PORT = 9091
"""In the namespaces of a wire, where nobody else uses it."""

WAIT_SECONDS = 30.0
"""How long an experiment waits for anything that a program should do."""

END_SECONDS = 3.0
"""What a program may take to end when it is asked to, before it is killed."""


@dataclass(frozen=True, slots=True)
class Transport:
    """One of the chats to compare."""

    name: str
    title: str
    server: tuple[str, ...]
    """What follows `python3` in its server's command line."""
    client: tuple[str, ...]
    protocol: str
    """Its packets' row in `Wire.counters`."""


TCP = Transport(
    "tcp", "TCP", ("-m", "compare.chats.tcp_server"), ("-m", "compare.chats.tcp_client"), "tcp"
)
PLAIN = Transport(
    "plain",
    "plain UDP",
    ("-m", "compare.chats.plain_udp", "serve"),
    ("-m", "compare.chats.plain_udp", "join"),
    "udp",
)
CHAT = Transport("chat", "udp-chat", ("udp_server.py", "--no-discovery"), ("udp_client.py",), "udp")

TRANSPORTS = (TCP, PLAIN, CHAT)


@dataclass(frozen=True, slots=True)
class Silence:
    """When a peer counts as gone. The defaults are those of all three chats."""

    heartbeat_seconds: int = 5
    timeout_seconds: int = 15
    """Whole seconds, as TCP's keepalive takes no others."""

    def options(self, transport: Transport) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Of the server, and of each client."""
        heartbeat, timeout = str(self.heartbeat_seconds), str(self.timeout_seconds)
        options = ("--heartbeat", heartbeat, "--timeout", timeout)
        return options, () if transport is CHAT else options  # whose clients the server tells


_C = TypeVar("_C")
_T = TypeVar("_T")


class ExperimentFailed(Exception):
    """A program did not do what the experiment rests on; the message quotes what it printed."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that a program printed, and when (monotonic seconds)."""

    at: float
    event: dict[str, Any]

    @property
    def kind(self) -> str:
        kind: str = self.event["event"]
        return kind


class Program(ABC):
    """A process with pipes for its streams. A context manager: its end is the process's end."""

    def __init__(
        self,
        arguments: Sequence[str],
        wire: Wire | None,
        end: str,
        end_seconds: float = END_SECONDS,
    ) -> None:
        """Runs `python3 ARGUMENTS` at an end of the wire, or here if there is none."""
        self._arguments = tuple(arguments)
        self._end_seconds = end_seconds
        command = [sys.executable, *arguments]
        options: dict[str, Any] = {
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            "cwd": PROJECT,
            "env": os.environ | {"PYTHONUTF8": "1", "LC_ALL": "C.UTF-8"},
        }
        self.process: subprocess.Popen[bytes]
        if wire is None:
            self.process = subprocess.Popen(command, **options)
        else:
            self.process = wire.run_in("a" if end == "a" else "b", command, **options)
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._stdin: IO[bytes] = self.process.stdin
        self._changed = threading.Condition()
        self._ended = False
        self._complaints: list[str] = []
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self._on_output)),
            threading.Thread(target=self._read, args=(self.process.stderr, self._on_complaint)),
        ]
        for reader in self._readers:
            reader.start()

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def kill(self) -> None:
        """An end that the program cannot prepare for."""
        self.process.kill()
        self.process.wait()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def close(self) -> None:
        """Ends the process, its readers and its pipes. Idempotent."""
        if self.process.poll() is None:
            self.process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(self._end_seconds)
        self.kill()
        with contextlib.suppress(BrokenPipeError):
            self._stdin.close()
        for reader in self._readers:
            reader.join()

    def _read(self, stream: IO[bytes], take: Callable[[str, float], None]) -> None:
        with stream:
            for line in stream:
                at = time.monotonic()
                with self._changed:
                    take(line.decode("utf-8", "replace").rstrip("\r\n"), at)
                    self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    @abstractmethod
    def _on_output(self, line: str, at: float) -> None:
        """Takes a line of stdout, and when it came."""

    def _on_complaint(self, line: str, _: float) -> None:
        self._complaints.append(line)

    def _failure(self, what: str) -> ExperimentFailed:
        said = " / ".join(self._complaints[-5:]) or "nothing"
        command = " ".join(self._arguments)
        return ExperimentFailed(f"{what} did not come from `{command}`; on stderr: {said}")


class Server(Program):
    """A chat's server, ready when this returns; at the wire's end b, or on loopback."""

    def __init__(
        self,
        transport: Transport,
        wire: Wire | None = None,
        *options: str,
        end_seconds: float = END_SECONDS,
    ) -> None:
        self.host = "127.0.0.1" if wire is None else wire.address("b")
        self.port = 0
        where = ("--host", self.host, "--port", "0" if wire is None else str(PORT))
        super().__init__((*transport.server, *where, *options), wire, "b", end_seconds)
        with self._changed:
            self._changed.wait_for(lambda: self.port or self._ended, WAIT_SECONDS)
        if not self.port:
            self.close()
            raise self._failure("`listening on`")

    def __enter__(self) -> Server:
        return self

    def _on_output(self, line: str, at: float) -> None:
        if line.startswith("listening on "):
            self.port = int(line.rpartition(":")[2])


class Client(Program):
    """A member: its events are kept with their times. At the wire's end a, or on loopback."""

    def __init__(
        self,
        transport: Transport,
        server: tuple[str, int],
        name: str,
        wire: Wire | None = None,
        *options: str,
        wait_joined: bool = True,
        end: str = "a",
    ) -> None:
        self.name = name
        self.started_at = time.monotonic()
        self.arrivals: list[Arrival] = []
        """Appended to by a thread: read it once all is over, or by `wait`."""
        where = f"{server[0]}:{server[1]}"
        super().__init__((*transport.client, where, "--name", name, "--json", *options), wire, end)
        if wait_joined:
            try:
                self.wait("joined")
            except BaseException:  # Ctrl-C too: no process stays behind
                self.close()
                raise

    def __enter__(self) -> Client:
        return self

    def say(self, *lines: str) -> float:
        """Types them. Returns the moment before that."""
        data = "".join(f"{line}\n" for line in lines).encode()
        at = time.monotonic()
        try:
            self._stdin.write(data)
            self._stdin.flush()
        except BrokenPipeError:
            raise self._failure("an open stdin") from None
        return at

    def wait(
        self, kind: str, timeout_seconds: float = WAIT_SECONDS, start: int = 0, **keys: object
    ) -> Arrival:
        """The first such event from number `start` on. Raises ExperimentFailed if none comes."""
        found = self.find(kind, timeout_seconds, start, **keys)
        if found is None:
            raise self._failure(f"{kind} {keys or ''} within {timeout_seconds:g} s")
        return found

    def find(
        self, kind: str, timeout_seconds: float = 0.0, start: int = 0, **keys: object
    ) -> Arrival | None:
        """As `wait`, but returns None if it does not come, or the program ends before."""
        wanted = {"event": kind, **keys}
        until = time.monotonic() + timeout_seconds
        with self._changed:
            while True:
                while start < len(self.arrivals):
                    arrival = self.arrivals[start]
                    if wanted.items() <= arrival.event.items():
                        return arrival
                    start += 1
                left = until - time.monotonic()
                if left <= 0 or self._ended:
                    return None
                self._changed.wait(left)

    def wait_count(self, kind: str, count: int, timeout_seconds: float) -> bool:
        """Whether so many events of a kind have come within the time."""
        with self._changed:
            return self._changed.wait_for(
                lambda: sum(a.kind == kind for a in self.arrivals) >= count or self._ended,
                timeout_seconds,
            )

    def heard(self) -> dict[str, list[float]]:
        """When each message arrived here, by its text; two times if it arrived twice."""
        with self._changed:
            arrivals = list(self.arrivals)
        heard: dict[str, list[float]] = {}
        for arrival in arrivals:
            if arrival.kind == "chat":
                heard.setdefault(arrival.event["text"], []).append(arrival.at)
        return heard

    def noticed_at(self) -> float:
        """When its program first reported that something is wrong; NEVER if it did not."""
        found = (self.find(kind) for kind in ("left", "reconnecting"))
        return min((arrival.at for arrival in found if arrival), default=NEVER)

    def _on_output(self, line: str, at: float) -> None:
        event = json.loads(line)
        self.arrivals.append(Arrival(at, event))


def speak(client: Client, texts: Sequence[str], per_second: float) -> list[float]:
    """Says these messages at an even pace. Returns when each was typed."""
    start = time.monotonic()
    said = []
    for number, text in enumerate(texts):
        pause(start + number / per_second - time.monotonic())
        said.append(client.say(text))
    return said


class Talk:
    """A member who says numbered messages at an even pace, in a thread, until closed."""

    def __init__(self, client: Client, lines_per_second: float, line_bytes: int = 0) -> None:
        """Messages are filled up to so many bytes."""
        self.said: dict[str, float] = {}
        """When each message was typed, by its text, or was due, if the program had ended."""
        self._client = client
        self._pause_seconds = 1 / lines_per_second
        self._line_bytes = line_bytes
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._talk, name="talk")
        self._thread.start()

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops talking, and ends the thread. Idempotent."""
        self._closing.set()
        self._thread.join()

    def _talk(self) -> None:
        due = time.monotonic()
        number = 0
        while not self._closing.wait(max(0.0, due - time.monotonic())):
            text = f"{self._client.name} {number}".ljust(self._line_bytes, ".")
            self.said[text] = time.monotonic()
            with contextlib.suppress(ExperimentFailed):
                self.said[text] = self._client.say(text)
            due += self._pause_seconds
            number += 1


def typed(said: Mapping[str, float], first_at: float, last_at: float = NEVER) -> list[str]:
    """The messages that were typed within this time."""
    return [text for text, at in said.items() if first_at <= at < last_at]


def first_shown_at(texts: Iterable[str], heard: Mapping[str, list[float]]) -> float:
    """When the first of these messages was shown that was shown at all; NEVER if none was."""
    return min((heard[text][0] for text in texts if text in heard), default=NEVER)


def percent_shown(texts: Sequence[str], heard: Mapping[str, list[float]]) -> float:
    """How many of these messages were shown."""
    return sum(text in heard for text in texts) / len(texts) * 100


class Room:
    """A server, and members who have all joined. A context manager."""

    def __init__(
        self,
        transport: Transport,
        members: int,
        wire: Wire | None = None,
        server_options: Sequence[str] = (),
        client_options: Sequence[str] = (),
    ) -> None:
        """Join on a good wire, and make it bad afterwards: plain UDP asks to join only once."""
        self.transport = transport
        self.wire = wire
        self._client_options = tuple(client_options)
        self._stack = contextlib.ExitStack()
        with contextlib.ExitStack() as stack:
            self.server = stack.enter_context(Server(transport, wire, *server_options))
            self.clients = [
                stack.enter_context(self._client(f"member-{number}", wait_joined=False))
                for number in range(members)
            ]
            for client in self.clients:
                client.wait("joined")
            self._stack = stack.pop_all()

    def __enter__(self) -> Room:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def join(self, name: str, end: str = "a") -> Client:
        """Adds one more member, who ends with the room. End b is the server's."""
        return self._stack.enter_context(self._client(name, wait_joined=True, end=end))

    def _client(self, name: str, *, wait_joined: bool, end: str = "a") -> Client:
        return Client(
            self.transport,
            (self.server.host, self.server.port),
            name,
            self.wire,
            *self._client_options,
            wait_joined=wait_joined,
            end=end,
        )


def side_by_side(
    work: Callable[[Transport], _T], transports: Iterable[Transport] = TRANSPORTS
) -> dict[str, _T]:
    """What the work returns for each chat, by its name; done at once, each in a thread.

    For experiments that mostly wait. Raises what the first that fails raises, once all are done.
    """
    chosen = list(transports)
    return dict(zip((t.name for t in chosen), at_once(work, chosen), strict=True))


@dataclass(frozen=True, slots=True)
class Case:
    """One run of an experiment: a chat under a condition."""

    transport: Transport
    condition: Any
    """A `Condition`. (Any: an experiment knows which of the two kinds its own are.)"""
    seed: int
    """Or the number of the repetition."""


def cases(
    conditions: Iterable[Condition],
    seeds: Iterable[int],
    transports: Sequence[Transport] = TRANSPORTS,
) -> list[Case]:
    """Every chat under every condition with every seed."""
    return [
        Case(transport, condition, seed)
        for condition, seed, transport in itertools.product(conditions, tuple(seeds), transports)
    ]


Run = tuple[str, Condition, _T]
"""A chat's name, a condition, and what was observed. See `Result.of`."""


def run_at_once(work: Callable[[Case], _T], chosen: Iterable[Case]) -> list[Run[_T]]:
    """Runs all cases at once, each in a thread. For experiments that mostly wait."""
    chosen = list(chosen)
    observed = at_once(work, chosen)
    return [(c.transport.name, c.condition, o) for c, o in zip(chosen, observed, strict=True)]


def run_in_turns(
    work: Callable[[Case], _T],
    conditions: Sequence[Condition],
    seeds: Sequence[int],
    tell: Tell,
    what: str = "{condition}",
) -> list[Run[_T]]:
    """Runs the three chats side by side, under one condition with one seed after the other."""
    runs: list[Run[_T]] = []
    for condition, seed in itertools.product(conditions, seeds):
        tell(f"{what.format(condition=condition)}, seed {seed}")
        runs += run_at_once(work, cases([condition], [seed]))
    return runs


LOOK_SECONDS = 0.1
"""How soon Ctrl-C is noticed at the latest."""


def at_once(work: Callable[[_C], _T], cases: Iterable[_C]) -> list[_T]:
    """What the work returns for each case, in their order; each in a thread of its own.

    Raises what the first that fails raises, once all are done.
    """
    chosen = list(cases)
    all_wait = threading.Event()

    def begin(case: _C) -> _T:
        all_wait.wait()  # an interrupt while the pool starts its threads loses one of them
        return work(case)

    with contextlib.ExitStack() as behind, ThreadPoolExecutor(len(chosen), "experiment") as pool:
        try:
            futures = [pool.submit(begin, case) for case in chosen]
            all_wait.set()
            # A signal just before a wait does not end it: so no wait is long.
            while wait(futures, LOOK_SECONDS).not_done:
                pass
        except BaseException:  # Ctrl-C: only the main thread gets it
            _interrupted.set()
            all_wait.set()
            behind.callback(_interrupted.clear)
            raise
    return [future.result() for future in futures]


def pause(seconds: float) -> None:
    """Sleeps. Raises `ExperimentFailed` if Ctrl-C comes meanwhile, in any thread."""
    if _interrupted.wait(max(0.0, seconds)):
        raise ExperimentFailed("interrupted")


_interrupted = threading.Event()
