"""The server as a library: `UdpServer` on real sockets."""

from __future__ import annotations

import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Sequence
from functools import partial
from itertools import chain, repeat
from typing import Any

import pytest

from tests.processes import WAIT_SECONDS, eventually
from udp_chat.client.udp_client import UdpClient
from udp_chat.protocol.packets import Address, Events, PacketType, decode
from udp_chat.server import udp_server
from udp_chat.server.datagrams import SendError
from udp_chat.server.server_socket import open_datagrams, receive_buffer
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
    one_at_a_time = threading.Lock()
    are_free: list[bool] = []

    def close() -> None:
        barrier.wait()
        server.close()
        with one_at_a_time:
            are_free.append(port_is_free(server.address[1]))

    threads = [threading.Thread(target=close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert are_free == [True] * 8, "none returns before it is done"


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

    def __init__(self, sock: socket.socket) -> None:
        self._datagrams = open_datagrams(sock)
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


def test_errors_of_the_socket_end_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(udp_server, "open_datagrams", Troubled)
    heard = threading.Event()
    server = UdpServer("127.0.0.1", 0)
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
    few = partial(open_datagrams, receive_max=10)
    monkeypatch.setattr(udp_server, "open_datagrams", few)
    server = UdpServer("127.0.0.1", 0)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(45):
            stranger.sendto(b"x", server.address)
        with server:
            eventually(lambda: server.room.counters["truncated"] == 45)


class OneByOne:
    """A server's datagrams. SAYs wait until five members have sent one; then they come one at a
    time, as if each had arrived while the server worked on the one before. Repeated ones are lost,
    and what the server sends again is not noted.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._datagrams = open_datagrams(sock)
        self._says: list[tuple[bytes, Address]] = []
        self._have_said: set[Address] = set()
        self.calls: list[str] = []
        """What came and what new went to all, in order."""
        self._newest = 0

    def receive(self) -> list[tuple[bytes, Address]]:
        others = []
        for datagram, address in self._datagrams.receive():
            if datagram[3] != PacketType.SAY:
                others.append((datagram, address))
            elif address not in self._have_said:
                self._have_said.add(address)
                self._says.append((datagram, address))
        if not self._is_open or not self._says:
            return others
        self.calls.append("SAY")
        return [*others, self._says.pop()]

    @property
    def _is_open(self) -> bool:
        return len(self._have_said) == 5

    def send(self, datagrams: Sequence[bytes], addresses: tuple[Address, ...]) -> list[SendError]:
        for packet in map(decode, datagrams):
            if isinstance(packet, Events) and not packet.inbox and packet.events:
                newest = packet.first + len(packet.events) - 1
                if self._is_open and newest > self._newest:
                    self.calls.append("EVENTS")
                self._newest = max(self._newest, newest)
        return self._datagrams.send(datagrams, addresses)


def test_what_is_said_while_the_server_works_goes_to_all_together_but_not_for_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[OneByOne] = []

    def open_one_by_one(sock: socket.socket) -> OneByOne:
        opened.append(OneByOne(sock))
        return opened[0]

    monkeypatch.setattr(udp_server, "open_datagrams", open_one_by_one)
    with contextlib.ExitStack() as stack:
        server = stack.enter_context(UdpServer("127.0.0.1", 0))
        clients = [
            stack.enter_context(UdpClient(server.address, f"m{number}")) for number in range(5)
        ]
        for client in clients:
            client.say("hello")
        eventually(lambda: opened[0].calls.count("EVENTS") >= 2)
    assert opened[0].calls[:7] == [*["SAY"] * 4, "EVENTS", "SAY", "EVENTS"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells what it dropped")
def test_what_the_kernel_dropped_is_counted_and_said_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def small_buffer(sock: socket.socket, _: int) -> str:
        receive_buffer(sock, 4096)
        return ""

    monkeypatch.setattr(udp_server, "ask_for_buffer", small_buffer)
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
    with UdpServer("127.0.0.1", 0) as server:
        pass
    assert caplog.messages[-1] == "stopped; counted: nothing"
    dropped = chain([3], repeat(7))
    monkeypatch.setattr(udp_server, "dropped_count", lambda _: next(dropped))
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
        UdpServer("127.0.0.1", 0) as server,
    ):
        stranger.sendto(b"x", server.address)
        eventually(lambda: server.room.counters["dropped by the kernel"] == 3)
    assert caplog.messages[-1] == "stopped; counted: dropped by the kernel 7, truncated 1"
