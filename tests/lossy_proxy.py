"""A bad link between real processes: a UDP proxy that loses, doubles and reorders datagrams.

Each client's address gets an upstream socket of its own, so the server sees as many addresses as
there are clients. A seed decides the faults, in the order in which datagrams arrive. The machine
decides that order, so a seed does not replay a run exactly.
"""

from __future__ import annotations

import contextlib
import heapq
import random
import selectors
import socket
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from typing_extensions import Self

DELAY_MAX_SECONDS = 0.03
"""A reordered datagram is at most this late, so that several others overtake it."""

CLIENTS_MAX = 100
"""Upstream sockets. The proxy drops the datagrams of any further client."""

Address: TypeAlias = tuple[Any, ...]


@dataclass(order=True)
class _Delayed:
    at: float
    number: int
    datagram: bytes = field(compare=False)
    sender: socket.socket = field(compare=False)
    to: Address = field(compare=False)


class LossyProxy:
    """Passes datagrams on between clients and a server; each fault is equally likely.

    Clients send to `address`. Any thread may change `fault_ratio` at any time: 0 is a perfect
    link. A context manager.
    """

    def __init__(self, server: Address, fault_ratio: float, seed: int) -> None:
        self.server = server
        self.fault_ratio = fault_ratio
        self.counters: Counter[str] = Counter()
        """Datagrams lost, doubled, delayed and passed on. Read it after the end only."""
        self._random = random.Random(seed)
        self._front = _bound_socket()
        self.address: tuple[str, int] = self._front.getsockname()
        self._upstreams: dict[Address, socket.socket] = {}
        self._delayed: list[_Delayed] = []
        self._number = 0
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._front, selectors.EVENT_READ, None)
        self._selector.register(self._wake_receiver, selectors.EVENT_READ, None)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="lossy proxy")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing = True
        self._wake_sender.send(b"\0")
        self._thread.join()
        self._selector.close()
        for sock in (
            self._front,
            self._wake_receiver,
            self._wake_sender,
            *self._upstreams.values(),
        ):
            sock.close()

    @property
    def where(self) -> str:
        """The address, written as the client's command takes it."""
        return f"{self.address[0]}:{self.address[1]}"

    @property
    def clients(self) -> list[Address]:
        """The clients' addresses, in the order of their first datagrams."""
        return list(self._upstreams)

    def send_to_client(self, datagram: bytes, client: Address) -> None:
        """Forges a datagram, which the client receives from its server's address."""
        self._front.sendto(datagram, client)

    def _run(self) -> None:
        while not self._closing:
            timeout = None
            if self._delayed:
                timeout = max(0.0, self._delayed[0].at - time.monotonic())
            for key, _ in self._selector.select(timeout):
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is self._front:
                    self._from_client()
                elif key.fileobj is not self._wake_receiver:
                    self._from_server(key.fileobj, key.data)
            while self._delayed and self._delayed[0].at <= time.monotonic():
                late = heapq.heappop(self._delayed)
                _send(late.sender, late.datagram, late.to)

    def _from_client(self) -> None:
        received = _receive(self._front)
        if received is None:
            return
        datagram, client = received
        upstream = self._upstreams.get(client)
        if upstream is None:
            if len(self._upstreams) == CLIENTS_MAX:
                return
            upstream = self._upstreams[client] = _bound_socket()
            self._selector.register(upstream, selectors.EVENT_READ, client)
        self._pass_on(datagram, upstream, self.server)

    def _from_server(self, upstream: socket.socket, client: Address) -> None:
        received = _receive(upstream)
        if received is not None:
            self._pass_on(received[0], self._front, client)

    def _pass_on(self, datagram: bytes, sender: socket.socket, to: Address) -> None:
        if self._happens("lost"):
            return
        for _ in range(2 if self._happens("doubled") else 1):
            if self._happens("delayed"):
                at = time.monotonic() + self._random.uniform(0, DELAY_MAX_SECONDS)
                self._number += 1
                heapq.heappush(self._delayed, _Delayed(at, self._number, datagram, sender, to))
            else:
                _send(sender, datagram, to)
                self.counters["passed on"] += 1

    def _happens(self, fault: str) -> bool:
        happens = self._random.random() < self.fault_ratio
        self.counters[fault] += happens
        return happens


def _bound_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock


def _receive(sock: socket.socket) -> tuple[bytes, Address] | None:
    try:
        return sock.recvfrom(65536)
    except OSError:  # no datagram after all, or an ICMP error: the other end is down
        return None


def _send(sock: socket.socket, datagram: bytes, to: Address) -> None:
    with contextlib.suppress(OSError):  # a full buffer, or an end that is down: one more loss
        sock.sendto(datagram, to)
