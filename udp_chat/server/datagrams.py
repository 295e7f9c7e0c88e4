"""Datagrams in and out of a non-blocking socket.

`PlainDatagrams` calls `sendto` and `recvfrom` and works everywhere; batch_datagrams.py moves many
datagrams a system call, on Linux. server_socket.py chooses. Both do the same: an address that
cannot be reached does not keep the others waiting, a full send buffer is waited for, but never for
long, and errors come back as (address, error).

Bounded: at most `RECEIVE_MAX` datagrams come in at a time.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import time
from collections.abc import Sequence
from typing import Protocol

from udp_chat.protocol.packets import Address

RECEIVE_MAX = 512
"""Datagrams taken in before they are worked on: what a wake-up may gather. Their room is 1 MB of
address space, of which the kernel fills what it uses."""

RECEIVE_BYTES = 2048
"""For one datagram received: the longest of this protocol and the rest of a longer one."""

SEND_RETRY_SECONDS = 0.05
"""How long a full send buffer is waited for before a datagram is given up to the repair."""

SEND_WAITS_SECONDS = 0.25
"""How long such waits may take in each second, together."""

SendError = tuple[Address, OSError]


class Datagrams(Protocol):
    """What a server needs of a socket."""

    def receive(self) -> list[tuple[bytes, Address]]:
        """All datagrams that wait, at most RECEIVE_MAX; an empty list if there are none.

        Raises OSError for an ICMP error that the system reports here (WSAECONNRESET).
        """

    def send(self, datagrams: Sequence[bytes], addresses: tuple[Address, ...]) -> list[SendError]:
        """Sends all datagrams, in order, to each address; an error for each that was not sent.

        Fastest when the same tuple of addresses comes again, the same object, and when the
        datagrams are of one size.
        """


class WaitBudget:
    """How long a server waits for a full send buffer, in each second.

    Without a bound, a link that stands still would hold up the room once for each member.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock
        self._renewed_at = float("-inf")
        self._left_seconds = 0.0

    def wait(self) -> bool:
        """Waits a moment for space in the buffer; false, at once, if the budget is used up."""
        begun_at = time.monotonic()
        if begun_at > self._renewed_at + 1.0:
            self._renewed_at, self._left_seconds = begun_at, SEND_WAITS_SECONDS
        if self._left_seconds <= 0.0:
            return False
        # Where even waiting is not possible, the next attempt is at once.
        with contextlib.suppress(OSError), selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_WRITE)
            selector.select(min(SEND_RETRY_SECONDS, self._left_seconds))
        self._left_seconds -= time.monotonic() - begun_at
        return True


class PlainDatagrams:
    """One system call a datagram: works everywhere. It takes in `receive_max` at a time."""

    def __init__(self, sock: socket.socket, receive_max: int = RECEIVE_MAX) -> None:
        self._socket = sock
        self._receive_max = receive_max
        self._wait_budget = WaitBudget(sock)

    def receive(self) -> list[tuple[bytes, Address]]:
        received: list[tuple[bytes, Address]] = []
        while len(received) < self._receive_max:
            try:
                received.append(self._socket.recvfrom(RECEIVE_BYTES))
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                if not received:
                    raise
                break  # the error is not lost on the caller: what came before it counts first
        return received

    def send(self, datagrams: Sequence[bytes], addresses: tuple[Address, ...]) -> list[SendError]:
        errors: list[SendError] = []
        for datagram in datagrams:
            for address in addresses:
                send_one(self._socket, datagram, address, self._wait_budget, errors)
        return errors


def send_one(
    sock: socket.socket,
    datagram: bytes,
    address: Address,
    wait_budget: WaitBudget,
    errors: list[SendError],
) -> None:
    """Sends a datagram, or appends the error that kept it."""
    try:
        try:
            sock.sendto(datagram, address)
        except BlockingIOError:
            if not wait_budget.wait():
                raise
            sock.sendto(datagram, address)
    except OSError as error:
        errors.append((address, error))
