"""The server as a library and as a command: `UdpServer` and `main`, on real sockets."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from tests.processes import WAIT_SECONDS, eventually
from udp_chat.app.client_command import main
from udp_chat.client.udp_client import UdpClient
from udp_chat.discovery.groups import DISCOVERY_PORT
from udp_chat.protocol.packets import Address
from udp_chat.server import datagrams, udp_server
from udp_chat.server.datagrams import SendError
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer


def port_is_free(port: int) -> bool:
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", port))
    except OSError:
        return False
    return True


# --- the library -----------------------------------------------------------------------------


def test_a_server_serves_within_its_context_and_frees_its_port() -> None:
    with UdpServer("127.0.0.1", 0) as server:
        host, port = server.address
        assert host == "127.0.0.1"
        assert not port_is_free(port)
        with UdpClient(server.address, "Anna") as client:
            assert client.members == ["Anna"]
    assert port_is_free(port)


def test_close_is_idempotent_and_harmless_before_the_start() -> None:
    server = UdpServer("127.0.0.1", 0)
    server.close()
    server.close()
    assert port_is_free(server.address[1])
    server.start()  # serves nobody, and ends at once
    server.close()


def test_many_threads_may_close_at_once() -> None:
    server = UdpServer("127.0.0.1", 0)
    server.start()
    barrier = threading.Barrier(8)
    descriptors: list[int] = []

    def close() -> None:
        barrier.wait()
        server.close()
        descriptors.append(server._socket.fileno())

    threads = [threading.Thread(target=close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert descriptors == [-1] * 8  # none returns before it is done


def test_close_waits_for_a_server_in_another_s_thread_to_finish() -> None:
    class Noting(UdpServer):
        finished = False

        def _serve(self) -> None:
            ready.set()
            super()._serve()
            self.finished = True

    for _ in range(30):  # the moment is a different one each time
        ready = threading.Event()
        server = Noting("127.0.0.1", 0)
        thread = threading.Thread(target=server.serve)
        thread.start()
        assert ready.wait(WAIT_SECONDS)
        server.close()
        assert server.finished
        thread.join(WAIT_SECONDS)
        assert not thread.is_alive()


def test_a_server_in_the_caller_s_thread_is_ended_by_another_and_says_goodbye() -> None:
    said_goodbye = threading.Event()

    def on_event(event: Any) -> None:
        if event["event"] == "reconnecting" and event["reason"] == "shutting_down":
            said_goodbye.set()

    server = UdpServer("127.0.0.1", 0)
    thread = threading.Thread(target=server.serve)
    thread.start()
    with UdpClient(server.address, "Anna", on_event):
        server.close()
        assert said_goodbye.wait(WAIT_SECONDS)
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()


def test_a_stopped_server_says_goodbye_before_it_is_closed() -> None:
    reasons: list[str] = []
    away = threading.Event()

    def on_event(event: Any) -> None:
        if event["event"] == "reconnecting":
            reasons.append(event["reason"])
            away.set()

    with UdpServer("127.0.0.1", 0) as server, UdpClient(server.address, "Anna", on_event):
        server.stop()
        assert away.wait(WAIT_SECONDS)
    assert reasons == ["shutting_down"]


def test_a_taken_port_is_an_error_of_the_constructor_and_leaves_no_socket() -> None:
    with UdpServer("127.0.0.1", 0) as server, pytest.raises(OSError, match="in use"):
        UdpServer(*server.address)


def test_a_server_without_a_host_listens_on_all_interfaces() -> None:
    with UdpServer("", 0) as server, UdpClient(("127.0.0.1", server.address[1]), "Anna") as anna:
        assert anna.members == ["Anna"]
        assert server.address[0] in ("::", "0.0.0.0")


def test_a_machine_without_ipv6_gets_an_ipv4_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with UdpServer("", 0) as server, UdpClient(("127.0.0.1", server.address[1]), "Anna") as anna:
        assert server.address[0] == "0.0.0.0"
        assert anna.members == ["Anna"]


def test_a_name_of_two_addresses_is_served_where_clients_look_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def getaddrinfo(_: str, port: int, **options: Any) -> list[Any]:
        kind = socket.SOCK_DGRAM
        return [
            (socket.AF_INET6, kind, 17, "", ("::1", port, 0, 0)),
            (socket.AF_INET, kind, 17, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    with (
        UdpServer("both.example", 0) as server,
        UdpClient(("both.example", server.address[1]), "Anna") as anna,
    ):
        assert server.address[0] == "127.0.0.1"
        assert anna.members == ["Anna"]


# --- trouble with the socket -----------------------------------------------------------------


class Troubled:
    """A server's datagrams, with an ICMP error before each batch and a send that fails."""

    def __init__(self, server: UdpServer) -> None:
        self._datagrams = server._datagrams
        self._receives = self._sends = 0

    def receive(self) -> list[tuple[bytes, Address]]:
        self._receives += 1
        if self._receives % 2:
            raise ConnectionResetError("a datagram of yours was refused")
        return self._datagrams.receive()

    def send(self, datagrams: Sequence[bytes], addresses: tuple[Address, ...]) -> list[SendError]:
        self._sends += 1
        if self._sends <= 2:
            return [(address, OSError("host is unreachable")) for address in addresses]
        return self._datagrams.send(datagrams, addresses)


def test_errors_of_the_socket_end_nothing() -> None:
    heard = threading.Event()
    server = UdpServer("127.0.0.1", 0)
    server._datagrams = Troubled(server)
    with server, UdpClient(server.address, "Anna", lambda event: heard_chat(event, heard)) as anna:
        anna.say("hello")
        assert heard.wait(WAIT_SECONDS)
        assert server.room.counters["receive errors"] >= 5
        assert server.room.counters["send errors"] == 2


def heard_chat(event: Any, heard: threading.Event) -> None:
    if event["event"] == "chat":
        heard.set()


def test_more_datagrams_than_are_taken_in_at_once_are_all_taken_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(datagrams, "RECEIVE_MAX", 10)
    server = UdpServer("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(45):
            stranger.sendto(b"x", server.address)
        with server:
            eventually(lambda: server.room.counters["truncated"] == 45)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what it dropped")
def test_what_the_kernel_dropped_is_counted_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(udp_server, "RECEIVE_BUFFER_BYTES", 4096)
    monkeypatch.setattr(udp_server, "DROPS_INTERVAL_SECONDS", 0.0)
    server = UdpServer("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(100):
            stranger.sendto(b"x", server.address)
        with server:
            counters = server.room.counters
            eventually(lambda: counters["truncated"] + counters["dropped by the kernel"] == 100)
            assert counters["truncated"] > 0
            stranger.sendto(b"x", server.address)
            dropped = counters["dropped by the kernel"]
            eventually(lambda: counters["truncated"] + dropped == 101)
    said = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert said == ["the receive buffer was full: the kernel dropped datagrams"]


def test_the_counters_are_said_at_the_end_with_the_last_that_the_kernel_dropped(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "udp_chat.server")
    monkeypatch.setattr(udp_server, "DROPS_INTERVAL_SECONDS", 1000.0)
    with UdpServer("127.0.0.1", 0) as server:
        pass
    assert caplog.messages[-1] == "stopped; counted: nothing"
    dropped = iter([3, 7])
    monkeypatch.setattr(udp_server, "dropped_count", lambda _: next(dropped))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
        UdpServer("127.0.0.1", 0) as server,
    ):
        stranger.sendto(b"x", server.address)
        eventually(lambda: server.room.counters["dropped by the kernel"] == 3)
    assert caplog.messages[-1] == "stopped; counted: dropped by the kernel 7, truncated 1"


@pytest.mark.parametrize(
    ("granted_bytes", "members_max", "is_said"),
    [(8 * 1024 * 1024, 10_000, False), (425_984, 1000, True), (425_984, 400, False)],
)
def test_a_buffer_that_is_too_small_for_a_full_room_is_said(
    granted_bytes: int,
    members_max: int,
    is_said: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(udp_server, "receive_buffer", lambda *_: granted_bytes)
    with UdpServer("127.0.0.1", 0, RoomSettings(members_max=members_max)) as server:
        said = "a receive buffer of 416 KiB, enough for some 416 members" in server.shortfall
        assert said == is_said == bool(server.shortfall)


# --- the command -----------------------------------------------------------------------------


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
        main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert because in printed.err
    assert printed.out == ""


def test_the_command_says_what_is_short_once_at_its_start(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(udp_server, "receive_buffer", lambda *_: 425_984)
    monkeypatch.setattr(UdpServer, "serve", lambda self: None)
    assert main(["--host", "127.0.0.1", "--port", "0", "--no-discovery"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith("note: the kernel grants a receive buffer of 416 KiB")
    assert printed.err.count("\n") == 1
    assert printed.out.startswith("listening on ")


def test_the_arguments_are_the_room_s_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[tuple[str, int, RoomSettings]] = []
    discoverable: list[int | None] = []

    def refuse(host: str, port: int, settings: RoomSettings, discovery_port: int | None) -> None:
        made.append((host, port, settings))
        discoverable.append(discovery_port)
        raise OSError("enough is known")

    monkeypatch.setattr(udp_server, "UdpServer", refuse)
    assert main([]) == 1
    assert made.pop() == ("", 9091, RoomSettings())
    arguments = "--host 127.0.0.1 --port 1 --room к --max-members 2 --history 0 --log-entries 3"
    arguments += " --per-address 7 --rate 400 --heartbeat 1.5 --timeout 4.5"
    assert main(arguments.split()) == 1
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
    assert main(["--rate", "1"]) == 1  # a burst still holds one long line
    assert made.pop()[2].message_burst == 32
    assert main(["--no-discovery"]) == 1
    assert discoverable == [DISCOVERY_PORT, DISCOVERY_PORT, DISCOVERY_PORT, None]


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'a' * 64}.invalid", "192.0.2.1"])
def test_a_host_that_cannot_be_bound_is_one_sentence(
    host: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--host", host, "--port", "0"]) == 1
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

    monkeypatch.setattr(udp_server, "UdpServer", Telling)
    before = [signal.signal(signal.Signals[name], signal.default_int_handler)]
    try:
        thread = threading.Thread(target=end)
        thread.start()
        assert main(["--host", "127.0.0.1", "--port", "0"]) == 0
        thread.join()
        assert signal.getsignal(signal.Signals[name]) is signal.default_int_handler
    finally:
        signal.signal(signal.Signals[name], before[0])
    assert capsys.readouterr().out.startswith("listening on 127.0.0.1:")


def test_a_hangup_that_is_ignored_stays_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `nohup python3 udp_server.py &` asks for."""
    if not hasattr(signal, "SIGHUP"):
        pytest.skip("there is no hangup on this system")
    handlers: list[object] = []

    class Looking(UdpServer):
        def serve(self) -> None:
            handlers.append(signal.getsignal(signal.SIGHUP))

    monkeypatch.setattr(udp_server, "UdpServer", Looking)
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        assert main(["--host", "127.0.0.1", "--port", "0"]) == 0
        assert handlers == [signal.SIG_IGN]
    finally:
        signal.signal(signal.SIGHUP, before)
