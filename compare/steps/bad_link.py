"""A bad link for datagrams, on this machine and without root: a relay between clients and a server.

It loses, duplicates and delays datagrams by chance from a seed, has a rate and a queue, can be cut,
and can change a client's address. Each client's address gets an upstream socket of its own, so the
server sees as many addresses as there are clients. Each direction has its own chance, so the same
datagrams in the same order have the same fate in each run.
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
from dataclasses import dataclass

Address = tuple[str, int]


@dataclass(slots=True)
class Quality:
    """What the link does to datagrams, in both directions. Any thread may change it at any time."""

    loss: float = 0.0
    duplicate: float = 0.0
    late: float = 0.0
    """The share of datagrams that are held back for `late_seconds`."""
    late_seconds: float = 0.03
    bytes_per_second: float = 0.0
    """0: no limit."""
    queue_seconds: float = 0.2
    """What would wait longer for the link is dropped."""
    is_cut: bool = False


class BadLink:
    """Passes datagrams on. Clients send to `port`. A context manager."""

    def __init__(self, server_port: int, seed: int = 1) -> None:
        self.quality = Quality()
        self.carried: Counter[str] = Counter()
        """Datagrams that came to the link for "up" (to the server) and "down" (to a client)."""
        self._server = ("127.0.0.1", server_port)
        self._front = _bound_socket()
        self.port: int = self._front.getsockname()[1]
        self._upstreams: dict[Address, socket.socket] = {}
        self._random = {way: random.Random(f"{seed} {way}") for way in ("up", "down")}
        self._free_at = {"up": 0.0, "down": 0.0}
        self._moves = False
        self._held: list[tuple[float, int, bytes, socket.socket, Address]] = []
        self._number = 0
        self._selector = selectors.DefaultSelector()
        self._wake, self._waker = socket.socketpair()
        self._selector.register(self._front, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._ends = False
        self._thread = threading.Thread(target=self._run, name="bad link")

    def __enter__(self) -> BadLink:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ends = True
        self._waker.send(b"\0")
        self._thread.join()
        self._selector.close()
        for sock in (self._front, self._wake, self._waker, *self._upstreams.values()):
            sock.close()

    def change_address(self) -> None:
        """From the next datagram on, its client has another address for the server."""
        self._moves = True

    def _run(self) -> None:
        while not self._ends:
            until = self._held[0][0] - time.monotonic() if self._held else None
            for key, _ in self._selector.select(until if until is None else max(0.0, until)):
                assert isinstance(key.fileobj, socket.socket)
                if key.fileobj is not self._wake:
                    self._receive(key.fileobj, key.data)
            while self._held and self._held[0][0] <= time.monotonic():
                _, _, datagram, sender, to = heapq.heappop(self._held)
                with contextlib.suppress(OSError):  # the other end is down: one more loss
                    sender.sendto(datagram, to)

    def _receive(self, sock: socket.socket, client: Address | None) -> None:
        try:
            datagram, sender = sock.recvfrom(65536)
        except OSError:
            return  # no datagram after all, or an ICMP error: the other end is down
        if client is None:
            self._pass_on("up", datagram, self._upstream(sender), self._server)
        else:
            self._pass_on("down", datagram, self._front, client)

    def _upstream(self, client: Address) -> socket.socket:
        if self._moves and client in self._upstreams:
            self._moves = False
            old = self._upstreams.pop(client)
            self._selector.unregister(old)
            old.close()
        if client not in self._upstreams:
            self._upstreams[client] = _bound_socket()
            self._selector.register(self._upstreams[client], selectors.EVENT_READ, client)
        return self._upstreams[client]

    def _pass_on(self, way: str, datagram: bytes, sender: socket.socket, to: Address) -> None:
        self.carried[way] += 1
        quality, chance = self.quality, self._random[way].random
        if chance() < quality.loss or quality.is_cut:
            return
        for _ in range(2 if chance() < quality.duplicate else 1):
            now = at = time.monotonic()
            if quality.bytes_per_second:
                free_at = max(now, self._free_at[way])
                if free_at - now > quality.queue_seconds:
                    return  # the queue is full
                at = self._free_at[way] = free_at + len(datagram) / quality.bytes_per_second
            if chance() < quality.late:
                at += quality.late_seconds
            self._number += 1  # what is due at once leaves in the order in which it came
            heapq.heappush(self._held, (at, self._number, datagram, sender, to))


def _bound_socket() -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock
