"""All members of a room in one process with one thread: a crowd for each server's protocol.

A crowd joins N members, says lines as some of them, takes in what all of them are sent, and
counts. Every line is 64 bytes and every line of a run has the same size on the wire, so the lines
that a member got are known from the bytes that it got; a few of the members, the sample, also
look at every line: whether it is the next of its sender, and how long it took.

Here are the crowds on streams and that of plain UDP; that of this chat is in chat_crowd.py.
Linux only: epoll and recvmmsg.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import select
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from struct import Struct
from typing import Any, Protocol

from compare.chats.framing import frame
from compare.chats.messages import Kind
from compare.chats.messages import Message as ChatMessage
from udp_chat.server.batch_datagrams import IoVector, MultiMessage

LINE_BYTES = 64
SENDERS = 4
WINDOW_LINES = 64
"""That a sender keeps on its way: said, and not yet delivered to all."""

CHUNK_LINES = 16
"""That a sender says at once when its window has room for them."""

SAMPLE = 4
"""Members that look at every line."""

HEARTBEAT_SECONDS = 5.0
"""Of plain UDP's members; this chat's server tells its own."""

JOIN_WAVE = 50
"""Members that join at the same time."""

PATIENCE_SECONDS = 120.0
"""For all to join, and for the last lines to arrive."""

LINE_HEAD = Struct("!2s10s")
_HEADS_MAX = 64
_SLOTS = 64
SLOT_BYTES = 2048


_LINES = [
    b"%02d" % sender + b"%010d" + b"." * (LINE_BYTES - LINE_HEAD.size) for sender in range(SENDERS)
]
"""Of each sender: a line, but for its number."""


def line(sender: int, number: int) -> bytes:
    """The n-th line of a sender."""
    return _LINES[sender] % number


class Heads:
    """Finds the beginnings of lines (who says it, which one it is) in records of one size.

    A benchmark's load may cost no more than the server: many records take one call.
    """

    def __init__(self, before: int, record: int) -> None:
        """`before` bytes of a record precede its line."""
        self._record = record
        one = f"{before}x{LINE_HEAD.size}s{record - before - LINE_HEAD.size}x"
        self._layouts = [Struct("!" + one * count) for count in range(_HEADS_MAX + 1)]

    def read(self, buffer: bytes | bytearray, at: int, wanted: range) -> bytes:
        """The heads of some of the records that begin at `at`, one after the other."""
        heads: list[bytes] = []
        for first in range(wanted.start, wanted.stop, _HEADS_MAX):
            layout = self._layouts[min(wanted.stop - first, _HEADS_MAX)]
            heads += layout.unpack_from(buffer, at + first * self._record)
        return b"".join(heads)


class Sample:
    """What a member of the sample has seen: all, once, in each sender's order?

    What came is noted, and looked at when somebody asks: while it is measured, there is no time.
    """

    def __init__(self, said_at: Sequence[Sequence[float]]) -> None:
        self._said_at = said_at
        self._next = [0] * len(said_at)
        self._noted: list[tuple[bytes, float]] = []
        self._latencies: list[float] = []
        self._repeated = 0
        self._order: list[tuple[int, int]] = []

    @property
    def latencies(self) -> list[float]:
        """Of the lines seen since `clear`."""
        self._look()
        return self._latencies

    @property
    def repeated(self) -> int:
        """Lines that came again, or late."""
        self._look()
        return self._repeated

    @property
    def order(self) -> list[tuple[int, int]]:
        """The first lines since `clear`, to compare with the others' order."""
        self._look()
        return self._order

    def clear(self) -> None:
        """Begins to measure."""
        self._look()
        self._latencies.clear()
        self._order.clear()

    def note(self, heads: bytes, now: float) -> None:
        """Notes lines that came: their `Heads`. What is none is a ValueError later."""
        self._noted.append((heads, now))

    def see(self, sender: int, number: int, now: float) -> None:
        """Looks at a line that came."""
        self.note(LINE_HEAD.pack(b"%02d" % sender, b"%010d" % number), now)

    def _look(self) -> None:
        noted, self._noted = self._noted, []
        for heads, now in noted:
            for sender, number in LINE_HEAD.iter_unpack(heads):
                self._look_at(int(sender), int(number), now)

    def _look_at(self, sender: int, number: int, now: float) -> None:
        if number < self._next[sender]:
            self._repeated += 1  # or late: both break the promise
            return
        self._next[sender] = number + 1
        self._latencies.append(now - self._said_at[sender][number])
        if len(self._order) < ORDER_LINES:
            self._order.append((sender, number))


def have_one_order(samples: Sequence[Sample]) -> bool:
    """Whether what they have all seen, they have seen in the same order."""
    common = set.intersection(*(set(sample.order) for sample in samples))
    orders = {tuple(line for line in sample.order if line in common) for sample in samples}
    return len(orders) == 1


ORDER_LINES = 10_000
"""Lines whose common order is compared between the members of the sample."""


class Crowd(Protocol):
    """All members of a room. Not thread-safe."""

    positions: list[int]
    """Lines delivered to each member, since all had joined."""
    said_at: list[list[float]]
    """When each sender said its lines."""
    samples: dict[int, Sample]

    def join(self) -> None:
        """Returns when all are in and nothing more comes."""

    def say(self, sender: int, numbers: range, now: float) -> None: ...

    def take(self, timeout_seconds: float) -> int:
        """Takes in what comes within the time, does what is due; how many sockets were read."""

    def on_stall(self) -> int:
        """Nothing moves any more: repeats or forgives; deliveries that were given up."""

    def disperse(self) -> None:
        """Spreads the heartbeats over their interval, as they are after a long silence."""

    def close(self) -> None: ...


class Sockets:
    """The sockets of a crowd, and who of them can be read."""

    def __init__(self, members: int) -> None:
        self.members = members
        self.positions = [0] * members
        self.said_at: list[list[float]] = [[] for _ in range(SENDERS)]
        step = max(1, members // SAMPLE)
        chosen = range(0, members, step)[:SAMPLE]
        self.samples = {member: Sample(self.said_at) for member in chosen}
        self.sockets: list[socket.socket] = []
        self.member_of: dict[int, int] = {}
        self.poll = select.epoll()
        self._news = 0
        self.counting = False
        """All have joined: what comes from now on is lines."""

    def add(self, sock: socket.socket) -> None:
        self.member_of[sock.fileno()] = len(self.sockets)
        self.sockets.append(sock)
        self.poll.register(sock, select.EPOLLIN)

    def close(self) -> None:
        self.poll.close()
        for sock in self.sockets:
            sock.close()

    def disperse(self) -> None:
        """Nothing to do where heartbeats are evenly spread anyway, or where there are none."""

    def settle(self, crowd: Crowd) -> None:
        """Waits until nothing new has come for a while, and counts from here."""
        known, quiet_at = -1, time.monotonic() + 0.5
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < quiet_at:
            if time.monotonic() > until:
                raise TimeoutError("it does not become quiet")
            read = crowd.take(0.1)
            news = self.news(read)
            if news != known:
                known, quiet_at = news, time.monotonic() + 0.5
        self.positions[:] = [0] * self.members
        self.counting = True

    def news(self, read: int) -> int:
        """A number that stays the same when nothing new has come."""
        self._news += read
        return self._news


# --- streams: the TCP chat, Redis, NATS ------------------------------------------------------


class StreamCrowd(Sockets, ABC):
    """Members on TCP connections. What a protocol adds is in its subclass."""

    before: int
    """Bytes of a record before its line."""
    record: int
    """Bytes that a delivered line takes."""
    between = b""
    """What the server may say between two lines."""

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(members)
        self.address = address
        self.received = [0] * members
        self._base = [0] * members
        self._rest: dict[int, bytearray] = {member: bytearray() for member in self.samples}
        self._buffer = bytearray(256 * 1024)

    def connect(self) -> socket.socket:
        sock = socket.create_connection(self.address, 10)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def join(self) -> None:
        for member in range(self.members):
            sock = self.connect()
            self.greet(sock, member)
            sock.setblocking(False)
            self.add(sock)
            self.take(0)
        self.settle(self)
        self._base = list(self.received)

    @functools.cached_property
    def _heads(self) -> Heads:
        return Heads(self.before, self.record)

    @abstractmethod
    def greet(self, sock: socket.socket, member: int) -> None:
        """Asks to be let in."""

    @abstractmethod
    def encode(self, text: bytes) -> bytes:
        """A line as a sender sends it."""

    def speaker(self, sender: int) -> socket.socket:
        return self.sockets[sender]

    def say(self, sender: int, numbers: range, now: float) -> None:
        data = b"".join(self.encode(line(sender, number)) for number in numbers)
        self.said_at[sender] += [now] * len(numbers)
        sock = self.speaker(sender)
        sent = sock.send(data)
        while sent < len(data):  # the window is small: this hardly ever happens
            select.select([], [sock], [], 1.0)
            with contextlib.suppress(BlockingIOError):
                sent += sock.send(data[sent:])

    def take(self, timeout_seconds: float) -> int:
        ready = self.poll.poll(timeout_seconds)
        buffer, received, samples = self._buffer, self.received, self.samples
        for descriptor, _ in ready:
            member = self.member_of[descriptor]
            size = self.sockets[member].recv_into(buffer)
            if size == 0:
                raise ConnectionError("the server has ended a connection")
            if member >= self.members:
                continue  # a publisher's replies
            received[member] += size
            self.positions[member] = (received[member] - self._base[member]) // self.record
            if self.counting and member in samples:
                self._look(member, buffer[:size])
        return len(ready)

    def _look(self, member: int, data: bytearray) -> None:
        rest, sample = self._rest[member], self.samples[member]
        rest += data
        if self.between and self.between in rest:  # a few in all
            rest[:] = rest.replace(self.between, b"")
        count = len(rest) // self.record
        sample.note(self._heads.read(rest, 0, range(count)), time.monotonic())
        del rest[: count * self.record]

    def on_stall(self) -> int:
        return 0


class TcpCrowd(StreamCrowd):
    """The TCP chat of compare/."""

    def greet(self, sock: socket.socket, member: int) -> None:
        name = f"m{member:05d}"
        sock.sendall(frame(ChatMessage(Kind.HELLO, name)))
        sample = frame(ChatMessage(Kind.CHAT, name, "." * LINE_BYTES))
        self.record, self.before = len(sample), len(sample) - LINE_BYTES

    def encode(self, text: bytes) -> bytes:
        return frame(ChatMessage(Kind.SAY, text=text.decode()))


class RedisCrowd(StreamCrowd):
    """Redis pub/sub: who subscribes cannot publish, so each sender has a second connection."""

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(address, members)
        sample = b"*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$%d\r\n" % LINE_BYTES
        self.before, self.record = len(sample), len(sample) + LINE_BYTES + 2

    def join(self) -> None:
        super().join()
        for _ in range(SENDERS):
            sock = self.connect()
            sock.setblocking(False)
            self.add(sock)

    def greet(self, sock: socket.socket, member: int) -> None:
        sock.sendall(b"SUBSCRIBE room\r\n")

    def encode(self, text: bytes) -> bytes:
        return b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$%d\r\n%b\r\n" % (len(text), text)

    def speaker(self, sender: int) -> socket.socket:
        return self.sockets[self.members + sender]


class NatsCrowd(StreamCrowd):
    """NATS, core publish and subscribe."""

    between = b"PING\r\n"

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(address, members)
        self.before = len(b"MSG room 1 %d\r\n" % LINE_BYTES)
        self.record = self.before + LINE_BYTES + 2

    def greet(self, sock: socket.socket, member: int) -> None:
        sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB room 1\r\n')

    def encode(self, text: bytes) -> bytes:
        return b"PUB room %d\r\n%b\r\n" % (len(text), text)


# --- datagrams: plain UDP and this chat ------------------------------------------------------


class DatagramCrowd(Sockets, ABC):
    """Members with a UDP socket each."""

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(members)
        self.address = address
        libc: Any = ctypes.CDLL(None, use_errno=True)
        self._recvmmsg = libc.recvmmsg
        self._recvmmsg.argtypes = (
            ctypes.c_int,
            ctypes.c_void_p,
            ctypes.c_uint,
            ctypes.c_int,
            ctypes.c_void_p,
        )
        self.buffer = bytearray(_SLOTS * SLOT_BYTES)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        self._vectors = (IoVector * _SLOTS)()
        self._messages = (MultiMessage * _SLOTS)()
        for slot in range(_SLOTS):
            vector, header = self._vectors[slot], self._messages[slot].header
            vector.base, vector.length = base + slot * SLOT_BYTES, SLOT_BYTES
            header.vectors, header.vector_count = ctypes.pointer(vector), 1
        words = memoryview(self._messages).cast("B").cast("I")
        self._lengths = words[MultiMessage.length.offset // 4 :: ctypes.sizeof(MultiMessage) // 4]

    def open(self) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", 0))
        sock.connect(self.address)
        sock.setblocking(False)
        # A burst waits here for its turn among a thousand others.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024 * 1024)
        self.add(sock)
        return sock

    def take(self, timeout_seconds: float) -> int:
        ready = self.poll.poll(timeout_seconds)
        for descriptor, _ in ready:
            count = self._recvmmsg(descriptor, self._messages, _SLOTS, socket.MSG_DONTWAIT, None)
            if count > 0:
                self.read(self.member_of[descriptor], self._lengths[:count].tolist())
        self.do_what_is_due()
        return len(ready)

    @abstractmethod
    def read(self, member: int, lengths: list[int]) -> None:
        """What has come for a member is in the slots of the buffer."""

    def do_what_is_due(self) -> None:
        """What has to be done now and then."""


class PlainCrowd(DatagramCrowd):
    """The plain UDP chat of compare/."""

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(address, members)
        sample = ChatMessage(Kind.CHAT, "m00000", "." * LINE_BYTES).encode()
        self._size = len(sample)
        self._before = self._size - LINE_BYTES
        self._joining: set[int] = set()
        self._heard = 0
        self._beat_at = 0.0
        self._beating = 0

    def join(self) -> None:
        """Repeats a HELLO that was lost, unlike the chat's own client: all are to be in."""
        until = time.monotonic() + PATIENCE_SECONDS
        for first in range(0, self.members, JOIN_WAVE):
            wave = range(first, min(first + JOIN_WAVE, self.members))
            for _ in wave:
                self.open()
            self._joining = set(wave)
            while self._joining:
                for member in self._joining:
                    self.sockets[member].send(ChatMessage(Kind.HELLO, f"m{member:05d}").encode())
                repeat_at = time.monotonic() + 0.5
                while self._joining and time.monotonic() < repeat_at:
                    self.take(0.05)
                if time.monotonic() > until:
                    raise TimeoutError(f"{len(self._joining)} members could not join")
        self.settle(self)

    def news(self, read: int) -> int:
        return self._heard  # no heartbeats

    def say(self, sender: int, numbers: range, now: float) -> None:
        sock = self.sockets[sender]
        for number in numbers:
            text = line(sender, number).decode()
            sock.send(ChatMessage(Kind.SAY, text=text).encode())
        self.said_at[sender] += [now] * len(numbers)

    def read(self, member: int, lengths: list[int]) -> None:
        if not self.counting:
            kinds = self.buffer[: len(lengths) * SLOT_BYTES : SLOT_BYTES]
            self._heard += len(lengths) - kinds.count(Kind.ALIVE)
            if Kind.WELCOME in kinds:
                self._joining.discard(member)
        self.positions[member] += lengths.count(self._size)
        sample = self.samples.get(member)
        if sample is not None:
            now = time.monotonic()
            for slot, length in enumerate(lengths):
                if length == self._size:
                    at = slot * SLOT_BYTES + self._before
                    sample.note(bytes(self.buffer[at : at + LINE_HEAD.size]), now)

    def do_what_is_due(self) -> None:
        now = time.monotonic()
        while now >= self._beat_at:  # its server drops who is silent; one after the other
            self._beat_at = max(self._beat_at, now - 1.0) + HEARTBEAT_SECONDS / self.members
            self._beating = (self._beating + 1) % self.members
            if self._beating < len(self.sockets):
                with contextlib.suppress(OSError):
                    self.sockets[self._beating].send(ChatMessage(Kind.ALIVE).encode())

    def on_stall(self) -> int:
        said = sum(map(len, self.said_at))
        lost = sum(said - position for position in self.positions)
        self.positions[:] = [said] * self.members
        return lost
