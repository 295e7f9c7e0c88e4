"""Many datagrams a system call: `sendmmsg`, `recvmmsg` and trains, by ctypes. Linux only.

What it saves, for a datagram of 1200 bytes to each of a hundred sockets on loopback:

- one system call for up to a thousand datagrams, and addresses laid out for the kernel once per
  change of membership: 2.7 µs a datagram instead of 3.4;
- a train: several datagrams of one size for the same addresses go through the kernel as one packet
  for each address and are cut apart behind it (UDP_SEGMENT, "UDP GSO", Linux 4.18): 1.1 µs a
  datagram in trains of five, 0.7 µs in trains of twenty.

A datagram for one address goes by `sendto`: to lay it out for `sendmmsg` costs more than the call.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
from collections.abc import Callable, Iterator, Sequence
from struct import Struct
from typing import Any

from udp_chat.protocol.packets import Address
from udp_chat.server.datagrams import RECEIVE_BYTES, RECEIVE_MAX, SendError, WaitBudget, send_one

BATCH_MAX = 1024
"""Messages of one `sendmmsg`: the kernel's own limit (UIO_MAXIOV)."""

TRAIN_MAX = 54
"""Datagrams of a train: as many of 1200 bytes as fit the 65,507 of the packet that carries it. The
kernel allows 64."""

ADDRESS_CACHE_MAX = 20_000
"""Addresses remembered in both forms, so that each is translated once: some 4 MB."""

_UDP_SEGMENT = 103
"""From linux/udp.h."""


class IoVector(ctypes.Structure):
    """Linux's struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


class MessageHeader(ctypes.Structure):
    """Linux's struct msghdr."""

    _fields_ = (
        ("name", ctypes.c_void_p),
        ("name_length", ctypes.c_uint32),
        ("vectors", ctypes.POINTER(IoVector)),
        ("vector_count", ctypes.c_size_t),
        ("control", ctypes.c_void_p),
        ("control_length", ctypes.c_size_t),
        ("flags", ctypes.c_int),
    )


class MultiMessage(ctypes.Structure):
    """Linux's struct mmsghdr."""

    _fields_ = (("header", MessageHeader), ("length", ctypes.c_uint))


_IPV4 = Struct("=H2s4s8x")
_IPV6 = Struct("=H2sI16sI")
_NAME_BYTES = _IPV6.size


def to_name(family: int, address: Address) -> bytes:
    """A socket address as the kernel reads it (sockaddr_in or sockaddr_in6)."""
    port = address[1].to_bytes(2, "big")
    if family == socket.AF_INET:
        return _IPV4.pack(family, port, socket.inet_aton(address[0]))
    host = socket.inet_pton(socket.AF_INET6, address[0])
    flow, scope = (*address[2:], 0, 0)[:2]
    return _IPV6.pack(family, port, socket.htonl(flow), host, scope)


def from_name(name: bytes) -> Address:
    """The address in what the kernel wrote; the reverse of `to_name`."""
    if len(name) == _IPV4.size:
        _, port, host = _IPV4.unpack(name)
        return socket.inet_ntoa(host), int.from_bytes(port, "big")
    _, port, flow, host, scope = _IPV6.unpack(name)
    text = socket.inet_ntop(socket.AF_INET6, host)
    return text, int.from_bytes(port, "big"), socket.ntohl(flow), scope


class _Fanout:
    """A list of addresses, laid out for `sendmmsg`; all its messages share one datagram."""

    def __init__(self, names: Sequence[bytes]) -> None:
        count = len(names)
        self.count = count
        self.vector = IoVector()
        self._names = ctypes.create_string_buffer(b"".join(n.ljust(_NAME_BYTES) for n in names))
        self.messages = (MultiMessage * count)()
        first, vector = ctypes.addressof(self._names), ctypes.pointer(self.vector)
        for number, name in enumerate(names):
            header = self.messages[number].header
            header.name = first + number * _NAME_BYTES
            header.name_length = len(name)
            header.vectors = vector
            header.vector_count = 1
        self.first = ctypes.addressof(self.messages)


class SystemCalls:
    """The two system calls, as the C library has them; each sets `errno` for ctypes.

    Raises AttributeError if the library has none of them.
    """

    def __init__(self) -> None:
        self.batch_max = BATCH_MAX
        library: Any = ctypes.CDLL(None, use_errno=True)
        self.sendmmsg: Callable[..., int] = library.sendmmsg
        self.recvmmsg: Callable[..., int] = library.recvmmsg
        arguments = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
        library.sendmmsg.argtypes = arguments
        library.recvmmsg.argtypes = (*arguments, ctypes.c_void_p)


class BatchDatagrams:
    """Many datagrams a system call, by Linux's `sendmmsg` and `recvmmsg`.

    `receive_max` datagrams are taken in at a time. `addresses_max` addresses are remembered in
    each direction. `calls` are the system calls to use.
    """

    def __init__(
        self,
        sock: socket.socket,
        receive_max: int = RECEIVE_MAX,
        *,
        addresses_max: int = ADDRESS_CACHE_MAX,
        calls: SystemCalls | None = None,
    ) -> None:
        self._socket = sock
        self._family = sock.family
        self._receive_max = receive_max
        self._addresses_max = addresses_max
        calls = calls or SystemCalls()
        self._sendmmsg, self._recvmmsg = calls.sendmmsg, calls.recvmmsg
        self._batch_max = calls.batch_max
        # The names may be there and the calls not, as in a sandbox: better to know at once.
        nothing = (sock.fileno(), None, 0, socket.MSG_DONTWAIT)
        if self._sendmmsg(*nothing) != 0 or self._recvmmsg(*nothing, None) != 0:
            raise OSError(ctypes.get_errno(), "no batches of datagrams")
        self._names: dict[Address, bytes] = {}
        self._addresses: dict[bytes, Address] = {}
        self._laid_out: tuple[Address, ...] = ()
        self._fanout = _Fanout([b""])
        self._can_train = True
        self._wait_budget = WaitBudget(sock)
        self._prepare_receiving()

    def _prepare_receiving(self) -> None:
        self._buffer = ctypes.create_string_buffer(self._receive_max * RECEIVE_BYTES)
        self._peers = ctypes.create_string_buffer(self._receive_max * _NAME_BYTES)
        self._vectors = (IoVector * self._receive_max)()
        self._incoming = (MultiMessage * self._receive_max)()
        for number in range(self._receive_max):
            vector, header = self._vectors[number], self._incoming[number].header
            vector.base = ctypes.addressof(self._buffer) + number * RECEIVE_BYTES
            vector.length = RECEIVE_BYTES
            header.name = ctypes.addressof(self._peers) + number * _NAME_BYTES
            header.name_length = _NAME_BYTES
            header.vectors = ctypes.pointer(vector)
            header.vector_count = 1
        self._buffer_view = memoryview(self._buffer).cast("B")
        self._peers_view = memoryview(self._peers).cast("B")
        # The lengths of what has come, straight from the array: one field access each.
        words = memoryview(self._incoming).cast("B").cast("I")
        stride = ctypes.sizeof(MultiMessage) // 4
        self._lengths = words[MultiMessage.length.offset // 4 :: stride]
        name_bytes = _IPV4.size if self._family == socket.AF_INET else _IPV6.size
        self._name_layout = Struct(f"{name_bytes}s{_NAME_BYTES - name_bytes}x")

    def receive(self) -> list[tuple[bytes, Address]]:
        count = self._recvmmsg(
            self._socket.fileno(), self._incoming, self._receive_max, socket.MSG_DONTWAIT, None
        )
        if count < 0:
            code = ctypes.get_errno()
            if code in (errno.EAGAIN, errno.EINTR):
                return []
            raise OSError(code, os.strerror(code))
        received: list[tuple[bytes, Address]] = []
        addresses, buffer = self._addresses, self._buffer_view
        names = self._name_layout.iter_unpack(self._peers_view[: count * _NAME_BYTES])
        start = 0
        for length, (name,) in zip(self._lengths[:count].tolist(), names, strict=True):
            address = addresses.get(name)
            if address is None:
                if len(addresses) >= self._addresses_max:
                    addresses.clear()
                address = addresses[name] = from_name(name)
            received.append((bytes(buffer[start : start + length]), address))
            start += RECEIVE_BYTES
        return received

    def send(self, datagrams: Sequence[bytes], addresses: tuple[Address, ...]) -> list[SendError]:
        errors: list[SendError] = []
        if not addresses:
            return errors
        if len(addresses) == 1:
            for datagram in datagrams:
                send_one(self._socket, datagram, addresses[0], self._wait_budget, errors)
            return errors
        if addresses is not self._laid_out:
            self._fanout = _Fanout([self._name_of(address) for address in addresses])
            self._laid_out = addresses
        for train in self._trains_of(datagrams):
            if len(train) == 1:
                errors += self._send_to_all(train[0])
            else:
                errors += self._send_train(train)
        return errors

    def _trains_of(self, datagrams: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        """Runs of datagrams of one size, of which only the last may be shorter."""
        first = 0
        for number in range(1, len(datagrams) + 1):
            size = len(datagrams[first])
            if (
                number == len(datagrams)
                or not 0 < len(datagrams[number]) <= size
                or len(datagrams[number - 1]) < size
                or number - first == TRAIN_MAX
                or not self._can_train
            ):
                yield datagrams[first:number]
                first = number

    def _send_train(self, train: Sequence[bytes]) -> list[SendError]:
        """One packet for each address, that the kernel cuts into the datagrams of the train."""
        try:
            self._socket.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, len(train[0]))
        except OSError as error:  # an older kernel
            self._can_train = False
            failed = [(address, error) for address in self._laid_out]
        else:
            try:
                failed = self._send_to_all(b"".join(train))
            finally:
                self._socket.setsockopt(socket.IPPROTO_UDP, _UDP_SEGMENT, 0)
        errors: list[SendError] = []
        for address, problem in failed:
            for datagram in train:
                if problem.errno == errno.EAGAIN:  # it was waited for: enough
                    errors.append((address, problem))
                else:  # no train gets through a small MTU, or a tunnel; its datagrams may
                    send_one(self._socket, datagram, address, self._wait_budget, errors)
        return errors

    def _send_to_all(self, data: bytes) -> list[SendError]:
        fanout = self._fanout
        # The bytes object stays referenced while the kernel reads it; it is never written to.
        fanout.vector.base = ctypes.cast(ctypes.c_char_p(data), ctypes.c_void_p).value
        fanout.vector.length = len(data)
        errors: list[SendError] = []
        sent, waited = 0, False
        while sent < fanout.count:
            done = self._sendmmsg(
                self._socket.fileno(),
                fanout.first + sent * ctypes.sizeof(MultiMessage),
                min(self._batch_max, fanout.count - sent),
                socket.MSG_DONTWAIT,
            )
            if done > 0:
                sent, waited = sent + done, False
                continue
            code = ctypes.get_errno()
            if code == errno.EINTR:
                continue
            if code == errno.EAGAIN and not waited:
                waited = self._wait_budget.wait()
                if waited:
                    continue
            # This address is the one that cannot be sent to: the others go on behind it.
            errors.append((self._laid_out[sent], OSError(code, os.strerror(code))))
            sent, waited = sent + 1, False
        return errors

    def _name_of(self, address: Address) -> bytes:
        name = self._names.get(address)
        if name is None:
            if len(self._names) >= self._addresses_max:
                self._names.clear()
            name = self._names[address] = to_name(self._family, address)
        return name
