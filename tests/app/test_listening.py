"""The real client with --listen, which reads no input, and with --quiet, which shows no history."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator

import pytest

from tests.processes import WAIT_SECONDS, Client, Lines, Program, Server, start_process
from tests.terminal.screen import Screen
from udp_chat.app.conversation import Conversation
from udp_chat.client.udp_client import UdpClient
from udp_chat.server.udp_server import UdpServer

posix_only = pytest.mark.skipif(
    os.name != "posix", reason="sends signals and opens pseudo-terminals, which are POSIX's"
)


@contextlib.contextmanager
def listener(
    address: str,
    *arguments: str,
    stdin: int | None = subprocess.DEVNULL,
    prepare: Callable[[], object] | None = None,
) -> Iterator[tuple[subprocess.Popen[bytes], Lines]]:
    """A client that listens, once it has joined."""
    command = ["udp_client.py", address, "--name", "log", "--listen", *arguments]
    with start_process(
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, preexec_fn=prepare
    ) as process:
        assert process.stdout is not None
        lines = Lines(process.stdout)
        try:
            lines.wait_for("the room", lambda line: "log" in line)
            yield process, lines
        finally:
            process.kill()
            lines.close()


def nohup() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def ignore_interrupts() -> None:
    """What a shell script does for `… &`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@posix_only
@pytest.mark.parametrize(
    ("prepare", "number"),
    [
        (lambda: os.close(0), signal.SIGINT),
        (ignore_interrupts, signal.SIGINT),
        (nohup, signal.SIGTERM),
    ],
    ids=["closed input", "in a script's background", "nohup"],
)
def test_a_listener_shows_what_is_said_until_it_is_told_to_end(
    server: UdpServer, prepare: Callable[[], object], number: int
) -> None:
    host, port = server.address
    anna = UdpClient(server.address, "Anna")
    with anna, listener(f"{host}:{port}", prepare=prepare) as (process, lines):
        if prepare is nohup:
            process.send_signal(signal.SIGHUP)
        anna.say("hello")
        lines.wait_for("what is said", "Anna: hello".__eq__)
        process.send_signal(number)
        assert process.wait(WAIT_SECONDS) == 0
        assert lines.until_end()[-1] == "► You left."


@posix_only
@pytest.mark.parametrize("no_color", ["", "1"])
def test_a_listener_at_a_terminal_takes_no_key(server: UdpServer, no_color: str) -> None:
    host, port = server.address
    arguments = ["udp_client.py", f"{host}:{port}", "--name", "log", "--lang", "en", "--listen"]
    variables = {"NO_COLOR": no_color}
    with (
        Screen(arguments, 100, variables=variables, status="") as screen,
        UdpClient(server.address, "Anna") as anna,
    ):
        screen.wait_for("You are log")
        screen.type("typed\r/quit\r")
        anna.say("hello")
        screen.wait_for("Anna: hello")
        assert not any("log: typed" in line for line in screen.transcript())
        assert screen.mode() == screen.mode_before, "no key is asked for"
        screen.type("\x03")
        assert screen.wait() == 0


def test_a_server_that_stops_ends_listening_and_one_that_is_silent_does_not(
    capsys: pytest.CaptureFixture[str],
) -> None:
    conversation = Conversation("en", listens=True)
    conversation.show({"event": "reconnecting", "reason": "silence"})
    assert not conversation.server_stopped.is_set()
    assert "The server does not answer. Reconnecting" in capsys.readouterr().out
    conversation.show({"event": "reconnecting", "reason": "shutting_down"})
    assert conversation.server_stopped.is_set()
    assert capsys.readouterr().out == "► ! The server has stopped\n"


@pytest.mark.slow  # the client says LEAVE to the stopped server until it gives up
def test_a_listener_ends_with_its_server() -> None:
    with Server() as server, listener(server.address) as (process, lines):
        server.signal(signal.SIGTERM)
        assert process.wait(WAIT_SECONDS) == 0
        assert lines.until_end()[-2:] == ["► ! The server has stopped", "► You left."]


def test_a_quiet_client_leaves_out_what_happened_before_it_joined(server: UdpServer) -> None:
    host, port = server.address
    with UdpClient(server.address, "Anna") as anna:
        anna.say("before")
        anna.flush()
        quiet = Program("udp_client.py", f"{host}:{port}", "--name", "Boris", "--quiet")
        with Client(f"{host}:{port}", "Clara", "--quiet") as clara, quiet:
            quiet.wait_line("You are Boris")
            anna.say("after")
            clara.wait_event("chat", text="after")
            quiet.wait_line("Anna: after")
            assert not any("before" in line for line in quiet.output.all())
            assert not any("history" in event for event in clara.events())
