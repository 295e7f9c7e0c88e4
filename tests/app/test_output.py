"""Where the output of the real client goes, and that none of it ends a conversation: pipes that
nobody reads, disks that are full."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.processes import PROJECT, WAIT_SECONDS, Client, Program, Server, start_process

FULL_DISK = Path("/dev/full")

needs_full_disk = pytest.mark.skipif(
    not FULL_DISK.exists(), reason="/dev/full, a disk that is always full, is Linux's"
)


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


# --- output that nobody reads ----------------------------------------------------------------


class Unread:
    """The client with a pipe for stdout, of which only the first line is read, and that is full."""

    def __init__(self, server: Server, directory: Path, *arguments: str) -> None:
        # A pipe with a name can be opened twice: what does not wait for room is set for one only.
        pipe = directory / "pipe"
        os.mkfifo(pipe)
        with contextlib.ExitStack() as closing:
            receiver = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
            closing.callback(os.close, receiver)
            sender = os.open(pipe, os.O_WRONLY)
            closing.callback(os.close, sender)
            filler = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            closing.callback(os.close, filler)
            self.process = start_process(
                ["udp_client.py", server.address, "--name", "Boris", *arguments],
                stdin=subprocess.PIPE,
                stdout=sender,
                stderr=subprocess.PIPE,
            )
            closing.callback(self._end)
            line = b""
            while not line.endswith(b"\n"):
                assert select.select([receiver], [], [], WAIT_SECONDS)[0]
                line += os.read(receiver, 1)
            with contextlib.suppress(BlockingIOError):
                while True:
                    os.write(filler, b"x")
            self._closing = closing.pop_all()

    def _end(self) -> None:
        self.process.kill()
        self.process.wait()
        for stream in (self.process.stdin, self.process.stderr):
            assert stream is not None
            stream.close()

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self.process

    def __exit__(self, *_: object) -> None:
        self._closing.close()


@pytest.mark.skipif(os.name != "posix", reason="a full pipe can be seen on POSIX alone")
@pytest.mark.parametrize("arguments", [[], ["--json"]], ids=["text", "json"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_client_whose_output_nobody_reads_ends_when_it_is_told_to(
    server: Server, tmp_path: Path, number: int, arguments: list[str]
) -> None:
    with (
        Client(server.address, "Anna") as anna,
        Unread(server, tmp_path, *arguments) as boris,
    ):
        anna.say("does not fit")
        anna.wait_event("chat", text="does not fit")
        boris.send_signal(number)
        assert boris.wait(WAIT_SECONDS) == 0
        assert boris.stderr is not None
        assert boris.stderr.read() == b""
        assert anna.wait_event("leave", name="Boris")["reason"] == "left"


@pytest.mark.skipif(os.name != "posix", reason="a full pipe can be seen on POSIX alone")
def test_a_client_that_waits_for_its_reader_at_the_end_of_its_input_ends_when_it_is_told_to(
    server: Server, tmp_path: Path
) -> None:
    with Client(server.address, "Anna") as anna, Unread(server, tmp_path) as boris:
        assert boris.stdin is not None
        boris.stdin.close()
        assert anna.wait_event("leave", name="Boris")["reason"] == "left"
        assert boris.poll() is None  # it waits for its reader: "You left." is to be printed
        boris.send_signal(signal.SIGTERM)
        assert boris.wait(WAIT_SECONDS) == 0


# --- a full disk -----------------------------------------------------------------------------


@needs_full_disk
@pytest.mark.parametrize("option", ["--transcript", "--trace"])
@pytest.mark.parametrize("language", ["en", "ru"])
def test_a_full_disk_is_told_once_and_the_conversation_goes_on(
    server: Server, option: str, language: str
) -> None:
    arguments = ["--name", "Anna", "--lang", language, option, str(FULL_DISK)]
    with Program("udp_client.py", server.address, *arguments) as anna:
        anna.say("one", "two")
        anna.end_input()
        assert anna.wait() == 0
        shown = anna.output.until_end()
        assert shown[1:3] == ["Anna: one", "Anna: two"]
        (sentence,) = anna.errors.until_end()
        cannot = {"en": "! Cannot write", "ru": "! Не удалось записать"}[language]
        assert sentence == f"{cannot} {FULL_DISK}: No space left on device"


@needs_full_disk
def test_full_output_and_complaints_end_the_client_without_a_traceback(server: Server) -> None:
    with (
        Client(server.address, "Anna") as anna,
        FULL_DISK.open("wb") as full,
        start_process(
            ["udp_client.py", server.address, "--name", "Boris", "--trace", "--commands"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=full,
        ) as boris,
    ):
        out, _ = boris.communicate(b"/help\nhello\n", WAIT_SECONDS)
        assert boris.returncode == 0
        assert "Boris: hello" in out.decode().splitlines()
        anna.wait_event("leave", name="Boris", reason="left")


@pytest.mark.skipif(os.name != "posix", reason="closes a standard stream with a POSIX shell")
def test_without_stderr_no_diagnostics_get_among_the_events(server: Server) -> None:
    shell = 'exec "$0" udp_client.py "$1" --name Boris --json 2>&-'
    with subprocess.Popen(
        ["/bin/sh", "-c", shell, sys.executable, server.address],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as boris:
        out, _ = boris.communicate(b"/help\n", WAIT_SECONDS)
    assert boris.returncode == 0
    assert all(line.startswith('{"event": ') for line in out.decode().splitlines())
