"""Ctrl-C at the wrong moment: whatever was begun when it came is undone.

A `KeyboardInterrupt` comes as soon as a call has returned. So each `start` is interrupted behind
the first call that it makes, then behind the second, and so on until it gets through.
"""

from __future__ import annotations

import itertools
import os
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any, Protocol

import pytest

from compare.chats.plain_udp_client import PlainUdpClient
from compare.chats.plain_udp_server import PlainUdpServer
from compare.chats.tcp_client import TcpClient
from compare.chats.tcp_server import TcpServer
from tests.conftest import open_sockets, threads
from tests.processes import WAIT_SECONDS, Lines, eventually, start_process
from udp_chat.client.udp_client import UdpClient
from udp_chat.protocol.addresses import format_address
from udp_chat.server.udp_server import UdpServer


class Startable(Protocol):
    def start(self) -> None: ...
    def close(self) -> None: ...


class Interruption:
    """While entered, interrupts `start` of a class behind a call, counted from 0."""

    def __init__(self, cls: type[Any], call: int) -> None:
        steps = ("start", "_begin", "_start_threads", "_join")
        self._starts = {getattr(c, s).__code__ for c in cls.__mro__ for s in steps if hasattr(c, s)}
        self._calls_left = call

    def __enter__(self) -> None:
        sys.setprofile(self._profile)

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, what: Any) -> None:
        caller: FrameType | None
        if event == "c_return":
            caller = frame
            if what.__name__.startswith("start_"):  # a thread, which may not even run yet
                caller = frame.f_back
        elif event == "return" and frame.f_code.co_name not in ("__enter__", "__exit__"):
            # Within those of a lock, signals are held in what we ship: see held_signals.py.
            caller = frame.f_back
        else:
            return
        if caller is not None and caller.f_code in self._starts:
            self._calls_left -= 1
            if self._calls_left < 0:
                sys.setprofile(None)
                raise KeyboardInterrupt


def interrupt_everywhere(cls: type[Any], make: Callable[[], Startable]) -> Iterator[Startable]:
    """Yields, one after the other, what was interrupted behind each call of its `start`."""
    for call in itertools.count():
        begun = make()
        try:
            with Interruption(cls, call):
                begun.start()
            begun.close()
            assert call > 1
            return
        except KeyboardInterrupt:
            pass  # and is forgotten: it would hold what the interrupted calls held
        yield begun


# What a call returns at the very moment of the interrupt is closed by being forgotten.
@pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")
@pytest.mark.parametrize(
    ("server_class", "client_class"),
    [(UdpServer, UdpClient), (TcpServer, TcpClient), (PlainUdpServer, PlainUdpClient)],
)
def test_a_client_interrupted_while_it_starts_leaves_nothing_behind(
    server_class: type[Any], client_class: type[Any]
) -> None:
    with server_class("127.0.0.1", 0) as server:
        threads_before, sockets_before = threads(), open_sockets()
        number = itertools.count()  # plain UDP keeps the names of who could not say goodbye
        clients = []  # kept, so that nothing is closed only because it is forgotten
        for client in interrupt_everywhere(
            client_class, lambda: client_class(server.address, f"Anna{next(number)}")
        ):
            clients.append(client)
            eventually(lambda: threads() <= threads_before)  # the server's of it, too
            eventually(lambda: open_sockets() <= sockets_before)


@pytest.mark.parametrize("server_class", [UdpServer, TcpServer, PlainUdpServer])
def test_a_server_interrupted_while_it_starts_leaves_no_thread(server_class: type[Any]) -> None:
    before = threads()
    for server in interrupt_everywhere(server_class, lambda: server_class("127.0.0.1", 0)):
        eventually(lambda: threads() <= before)
        server.close()  # as who made it would: its sockets are older than `start`


def test_a_client_interrupted_while_it_waits_for_an_answer_leaves_nothing_behind() -> None:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))

            def interrupt() -> None:
                sock.recvfrom(2000)  # its JOIN: now it is waiting
                os.kill(os.getpid(), signal.SIGINT)

            thread = threading.Thread(target=interrupt)
            thread.start()
            with pytest.raises(KeyboardInterrupt):
                UdpClient(sock.getsockname(), "Anna", join_timeout_seconds=WAIT_SECONDS).start()
            thread.join()
    finally:
        signal.signal(signal.SIGINT, previous)


@pytest.mark.slow  # some 25 runs of the command, each interrupted at another moment
def test_the_command_ends_wherever_it_is_interrupted() -> None:
    """Each run of this test takes other moments of some 800: `stderr` shows which came last."""
    step = 32
    with UdpServer("127.0.0.1", 0) as server:
        command = ["-m", "tests.app.interrupted_client"]
        numbers = [format_address(server.address), str(random.randrange(step)), str(step)]
        process = start_process(
            [*command, *numbers],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        lines = Lines(process.stderr)
        try:
            moments = lines.until_end()
            assert process.wait(WAIT_SECONDS) == 0, moments
            assert len(moments) > 10
        finally:
            process.kill()
            process.wait()
            lines.close()
