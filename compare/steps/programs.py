"""A step's server and clients as processes, as a person would run them."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parent

READY_SECONDS = 10.0
"""How long a process may take to start on a busy machine."""

LEAVE_SECONDS = 0.5
"""How long a client may take to leave when its input ends."""

END_SECONDS = 3.0
"""How long a process may take to end at Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Line:
    """What a program printed, and when."""

    text: str
    at: float


class NotReady(Exception):
    """A program did not print what it must print before anything can be measured."""


class Program:
    """A process with pipes. A thread collects what it prints."""

    def __init__(self, step: str, role: str, port: int) -> None:
        environment = {**os.environ, "PYTHONIOENCODING": "utf-8"}
        self._process = subprocess.Popen(
            [sys.executable, str(file_of(step)), role, str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        self._is_client = role == "client"
        self._lines: list[Line] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, name=f"{step} {role}")
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                text = line.decode("utf-8", "replace").rstrip("\n")
                self._lines.append(Line(text, time.monotonic()))
                self._changed.notify_all()

    @property
    def lines(self) -> list[Line]:
        """What it has printed so far."""
        with self._changed:
            return list(self._lines)

    def texts(self, part: str = "") -> list[str]:
        """The lines so far that contain `part`."""
        return [line.text for line in self.lines if part in line.text]

    def say(self, *lines: str) -> None:
        """Types lines."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(f"{line}\n" for line in lines).encode())
        self._process.stdin.flush()

    def wait_for(self, part: str, count: int = 1, timeout_seconds: float = READY_SECONDS) -> bool:
        """Waits for so many lines that contain `part`; returns whether they came in time."""
        seen = found = 0

        def are_enough() -> bool:
            nonlocal seen, found  # each line is looked at once: there may be thousands
            found += sum(part in line.text for line in self._lines[seen:])
            seen = len(self._lines)
            return found >= count

        with self._changed:
            return self._changed.wait_for(are_enough, timeout_seconds)

    def need(self, part: str) -> str:
        """Waits for a line that contains `part` and returns it; raises `NotReady`."""
        if not self.wait_for(part):
            raise NotReady(f"no line with {part!r}, only {[line.text for line in self.lines]}")
        return self.texts(part)[0]

    def end_input(self) -> None:
        """Ends what is typed, as Ctrl-D does."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # the process has ended before it read everything
            self._process.stdin.close()

    def wait(self, timeout_seconds: float = READY_SECONDS) -> int:
        """Waits for the end; returns the exit code."""
        return self._process.wait(timeout_seconds)

    def close(self) -> None:
        """Ends the process: by the end of its input, by Ctrl-C, or by force."""
        self.end_input()
        if self._is_client:
            self._wait_at_most(LEAVE_SECONDS)
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGINT)
        self._wait_at_most(END_SECONDS)
        self._process.kill()  # does nothing where it has ended
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _wait_at_most(self, seconds: float) -> None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)


class Chat:
    """One step's server, and clients of it. A context manager that ends them all."""

    def __init__(self, step: str) -> None:
        self.step = step
        self._programs: list[Program] = []

    def __enter__(self) -> Chat:
        try:
            self._server = self._start("server", 0)
            self.port = int(self._server.need("listening on ").rpartition(":")[2])
        except BaseException:  # Ctrl-C, too: without `__enter__` there is no `__exit__`
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the clients, then the server."""
        for program in self._programs:
            program.end_input()  # all at once: leaving takes some time
        for program in reversed(self._programs):
            program.close()
        self._programs.clear()

    def _start(self, role: str, port: int) -> Program:
        program = Program(self.step, role, port)
        self._programs.append(program)
        return program

    def client(self, name: str, port: int | None = None) -> Program:
        """Starts a client that has said its name, on the server's port or on that of a bad link."""
        client = self._start("client", port or self.port)
        client.need("Your name?")
        client.say(name)
        client.need(f"* {name} joined")
        return client


def steps() -> list[str]:
    """The names of the steps, in their order: "t1" …, "u8"."""
    return sorted(path.name.partition("_")[0] for path in FOLDER.glob("[tu][0-9]_*.py"))


def file_of(step: str) -> Path:
    """The file of a step."""
    [path] = FOLDER.glob(f"{step}_*.py")
    return path
