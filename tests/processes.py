"""Real processes for the tests: the two commands as a person runs them, and what they print.

A `Program` is a context manager; when it ends, its process, threads and pipes are gone. Threads
read what it prints, so a test waits for a line or an event, never for a time to pass.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeAlias

from typing_extensions import Self

PROJECT = Path(__file__).resolve().parent.parent

WAIT_SECONDS = 20.0
"""A test that waits longer fails. A machine that runs tests may be slow."""

Json: TypeAlias = dict[str, Any]


class NeverCame(AssertionError):
    """A line or an event did not come in time; the message says what came instead."""


def eventually(what: Callable[[], object]) -> None:
    """Waits until a condition holds that no event announces."""
    until = time.monotonic() + WAIT_SECONDS
    while not what():
        if time.monotonic() > until:
            raise NeverCame("the condition did not become true")
        time.sleep(0.005)


class Lines:
    """A stream's lines, read by a thread until its end; any thread may wait for one.

    Where a wait fails, the error shows the last lines, and those of the stream `beside` it.
    """

    def __init__(self, stream: IO[bytes], beside: Lines | None = None) -> None:
        self._stream = stream
        self._beside = beside
        self._lines: list[str] = []
        self._times: list[float] = []
        self._ended = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, name="lines of a process")
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            with self._changed:
                self._times.append(time.monotonic())
                self._lines.append(line.decode("utf-8", "strict").rstrip("\r\n"))
                self._changed.notify_all()
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Waits until the stream ends, with its process, and closes it."""
        self._thread.join()
        self._stream.close()

    def all(self) -> list[str]:
        """The lines so far."""
        with self._changed:
            return list(self._lines)

    def times(self) -> list[float]:
        """When each of the lines came, on the monotonic clock."""
        with self._changed:
            return list(self._times)

    def _newest(self) -> str:
        beside = f", beside it {self._beside.all()[-20:]}" if self._beside else ""
        return f"the last lines are {self._lines[-20:]}{beside}"

    def until_end(self, timeout_seconds: float = WAIT_SECONDS) -> list[str]:
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, timeout_seconds):
                raise NeverCame(f"the end of the output; {self._newest()}")
            return list(self._lines)

    def wait_for(
        self,
        what: str,
        wanted: Callable[[str], object],
        start: int = 0,
        timeout_seconds: float = WAIT_SECONDS,
    ) -> int:
        """Waits for a line that is wanted; returns the index of the first one from `start` on."""
        until = time.monotonic() + timeout_seconds
        with self._changed:
            while True:
                while start < len(self._lines):
                    if wanted(self._lines[start]):
                        return start
                    start += 1
                left = until - time.monotonic()
                if self._ended or left <= 0:
                    end = "the output ended" if self._ended else f"{timeout_seconds:g} s"
                    raise NeverCame(f"{what} ({end}); {self._newest()}")
                self._changed.wait(left)


class Program:
    """One of the two commands as a process of its own, with pipes as its streams.

    `wrapper` is a command that runs the rest of its arguments as a command, in the same process.
    """

    def __init__(self, script: str, *arguments: str, wrapper: Sequence[str] = ()) -> None:
        self.process = start_process(
            [str(PROJECT / script), *arguments],
            wrapper=wrapper,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.errors = Lines(self.process.stderr)
        self.output = Lines(self.process.stdout, beside=self.errors)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self.end_input()
        self.output.close()
        self.errors.close()

    @property
    def pid(self) -> int:
        return self.process.pid

    def write(self, data: bytes | str) -> None:
        """Writes bytes, or text in UTF-8, to the program's stdin."""
        assert self.process.stdin is not None
        self.process.stdin.write(data.encode() if isinstance(data, str) else data)
        self.process.stdin.flush()

    def say(self, *lines: str) -> None:
        self.write("".join(f"{line}\n" for line in lines))

    def end_input(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # the program ended before it read everything
            self.process.stdin.close()

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        """Kills the program, which cannot prepare for it."""
        self.process.kill()
        self.process.wait()

    def wait(self, timeout_seconds: float = WAIT_SECONDS) -> int:
        """Waits for the end; returns the exit code."""
        try:
            return self.process.wait(timeout_seconds)
        except subprocess.TimeoutExpired:
            raise NeverCame(
                f"the end of {self.process.args!r}; it printed {self.output.all()[-20:]}"
                f" and on stderr {self.errors.all()[-20:]}"
            ) from None

    def wait_line(self, pattern: str, start: int = 0) -> str:
        """Waits for a line of stdout that matches a regular expression; returns the first one."""
        number = self.output.wait_for(f"/{pattern}/", re.compile(pattern).search, start)
        return self.output.all()[number]

    def complaint(self) -> str:
        """All of stderr; waits until the program has ended."""
        return "\n".join(self.errors.until_end())


class Server(Program):
    """`udp_server.py` on 127.0.0.1. It listens once the constructor returns."""

    def __init__(self, *arguments: str, port: int = 0) -> None:
        super().__init__("udp_server.py", "--host", "127.0.0.1", "--port", str(port), *arguments)
        try:
            line = self.wait_line("^listening on ")
        except BaseException:  # after Ctrl-C, too, no process stays behind
            self.__exit__()
            raise
        self.port = int(line.rpartition(":")[2])
        self.address = line.removeprefix("listening on ")


class Client(Program):
    """`udp_client.py --json`; its output is a list of events. Without a server it looks for one."""

    def __init__(
        self,
        server: str,
        name: str,
        *arguments: str,
        joined: bool = True,
        wrapper: Sequence[str] = (),
    ) -> None:
        where = [server] if server else []
        options = ["--name", name, "--json", *arguments]
        super().__init__("udp_client.py", *where, *options, wrapper=wrapper)
        if joined:
            try:
                self.wait_event("joined")
            except BaseException:  # as above
                self.__exit__()
                raise

    def events(self, kind: str = "") -> list[Json]:
        """The events so far, of one kind or of all; every line must be an event."""
        events: list[Json] = [json.loads(line) for line in self.output.all()]
        return [event for event in events if kind in ("", event["event"])]

    def find_event(
        self, kind: str, timeout_seconds: float = WAIT_SECONDS, start: int = 0, **keys: object
    ) -> int:
        """Waits for an event with these keys and values; returns the index of the first line from
        `start` on that has it."""
        wanted = {"event": kind, **keys}

        def is_wanted(line: str) -> bool:
            event = json.loads(line)
            return all(key in event and event[key] == wanted[key] for key in wanted)

        return self.output.wait_for(repr(wanted), is_wanted, start, timeout_seconds)

    def wait_event(
        self, kind: str, timeout_seconds: float = WAIT_SECONDS, start: int = 0, **keys: object
    ) -> Json:
        """The same; returns the event."""
        number = self.find_event(kind, timeout_seconds, start, **keys)
        event: Json = json.loads(self.output.all()[number])
        return event

    def chat(self) -> list[tuple[int, str, str]]:
        """The messages in the order shown: (seq, name, text)."""
        return [(e["seq"], e["name"], e["text"]) for e in self.events("chat")]


def start_process(
    arguments: Sequence[str],
    variables: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
    **options: Any,
) -> subprocess.Popen[bytes]:
    """Starts Python in the project's folder, with English and UTF-8 as its locale.

    It handles interrupts by default, also where the tests' own process ignores them.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("LC_", "LANG"))}
    environment |= {"LC_ALL": "C.UTF-8", **(variables or {})}
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        return subprocess.Popen(
            [*wrapper, sys.executable, *arguments],
            cwd=PROJECT,
            env=environment,
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, previous)


@contextlib.contextmanager
def silent_server() -> Iterator[tuple[str, int]]:
    """The address of a socket that receives and never answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield sock.getsockname()
