"""The command `udp_server.py`: its arguments, what it says, and how signals end it."""

from __future__ import annotations

import os
import signal
import sys
import threading

import pytest

from tests.processes import WAIT_SECONDS
from udp_chat.app import server_command
from udp_chat.discovery.groups import DISCOVERY_PORT
from udp_chat.server import server_socket
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer


@pytest.mark.parametrize(
    ("arguments", "because"),
    [
        (["--port", "65536"], "a port is a number from 0 to 65535"),
        (["--port", "-1"], "a port is a number from 0 to 65535"),
        (["--port", "http"], "a port is a number from 0 to 65535"),
        (["--rate", "9" * 400], "is not a whole number from 0 to 1000000000"),
        (["--max-members", "0"], "at least 1"),
        (["--max-members", "many"], "'many' is not a whole number"),
        (["--log-entries", "0"], "at least 1"),
        (["--history", "-1"], "'-1' is not a whole number"),
        (["--rate", "x"], "'x' is not a whole number"),
        (["--heartbeat", "soon"], "'soon' is not a number of seconds from 0.1 to 3600"),
        (["--heartbeat", "0"], "'0' is not a number of seconds"),
        (["--timeout", "nan"], "'nan' is not a number of seconds"),
        (["--timeout", "3601"], "'3601' is not a number of seconds"),
        (["--heartbeat", "3", "--timeout", "3"], "--timeout must be longer than --heartbeat"),
        (["--room", ""], "a room's name has 1 to 64 bytes of printable text"),
        (["--room", "a\x1bb"], "a room's name has 1 to 64 bytes of printable text"),
        (["--room", "к" * 33], "a room's name has 1 to 64 bytes of printable text"),
        (["--log-level", "loud"], "invalid choice: 'loud'"),
        (["surplus"], "unrecognized arguments: surplus"),
    ],
)
def test_wrong_arguments_exit_with_2_and_say_why(
    arguments: list[str], because: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        server_command.main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert because in printed.err
    assert printed.out == ""


def test_the_command_says_what_is_short_once_at_its_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(server_socket, "receive_buffer", lambda *_: 425_984)
    monkeypatch.setattr(UdpServer, "serve", lambda self: None)
    assert server_command.main(["--host", "127.0.0.1", "--port", "0", "--no-discovery"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("note: the kernel grants a receive buffer of 416 KiB")
    assert printed.err.count("\n") == 1
    assert printed.out.startswith("listening on ")


def test_the_arguments_are_the_room_s_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, int, RoomSettings]] = []
    discoverable: list[int | None] = []

    def refuse(
        host: str,
        port: int,
        settings: RoomSettings,
        discovery_port: int | None,
        kept_file: object,
        lan_host: str,
    ) -> None:
        assert kept_file is None
        assert (lan_host == "") == host.startswith("127.")
        made.append((host, port, settings))
        discoverable.append(discovery_port)
        raise OSError("enough is known")

    monkeypatch.setattr(server_command, "UdpServer", refuse)
    assert server_command.main([]) == 1
    assert made.pop() == ("", 9091, RoomSettings())
    arguments = "--host 127.0.0.1 --port 1 --room к --max-members 2 --history 0 --log-entries 3"
    arguments += " --per-address 7 --rate 400 --heartbeat 1.5 --timeout 4.5"
    assert server_command.main(arguments.split()) == 1
    settings = RoomSettings(
        room="к",
        members_max=2,
        members_per_address_max=7,
        heartbeat_seconds=1.5,
        timeout_seconds=4.5,
        message_rate=400,
        message_burst=800,
        log_entries_max=3,
        history_events=0,
    )
    assert made.pop() == ("127.0.0.1", 1, settings)
    assert server_command.main(["--rate", "1"]) == 1  # a burst still holds one long line
    assert made.pop()[2].message_burst == 32
    assert server_command.main(["--no-discovery"]) == 1
    assert discoverable == [DISCOVERY_PORT, DISCOVERY_PORT, DISCOVERY_PORT, None]


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'a' * 64}.invalid", "192.0.2.1"])
def test_a_host_that_cannot_be_bound_is_one_sentence(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert server_command.main(["--host", host, "--port", "0"]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"Cannot open a room on {host}, port 0: ")
    assert printed.err.count("\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="os.kill ends a process there")
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_ends_the_command_and_puts_the_handlers_back(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ready = threading.Event()

    class Telling(UdpServer):
        def serve(self) -> None:
            ready.set()
            super().serve()

    def end() -> None:
        assert ready.wait(WAIT_SECONDS)
        os.kill(os.getpid(), signal.Signals[name])

    monkeypatch.setattr(server_command, "UdpServer", Telling)
    before = [signal.signal(signal.Signals[name], signal.default_int_handler)]
    try:
        thread = threading.Thread(target=end)
        thread.start()
        assert server_command.main(["--host", "127.0.0.1", "--port", "0"]) == 0
        thread.join()
        assert signal.getsignal(signal.Signals[name]) is signal.default_int_handler
    finally:
        signal.signal(signal.Signals[name], before[0])
    assert capsys.readouterr().out.startswith("listening on 127.0.0.1:")


def test_a_hangup_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `nohup python3 udp_server.py &` asks for."""
    if not hasattr(signal, "SIGHUP"):
        pytest.skip("this system has no SIGHUP")
    handlers: list[object] = []

    class Looking(UdpServer):
        def serve(self) -> None:
            handlers.append(signal.getsignal(signal.SIGHUP))

    monkeypatch.setattr(server_command, "UdpServer", Looking)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert server_command.main(["--host", "127.0.0.1", "--port", "0"]) == 0
        assert handlers == [signal.SIG_IGN]
    finally:
        signal.signal(signal.SIGHUP, before)
