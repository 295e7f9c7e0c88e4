"""The load of the fan-out benchmark: all members of a room, in one process with one thread.

For each server there is a crowd that speaks its protocol: it joins N members, says lines as some
of them, takes in what all of them are sent, and counts. Every line is 64 bytes and every line of
a run has the same size on the wire, so the lines that a member got are known from the bytes that
it got; a few of the members, the sample, also look at every line: whether it is the next of its
sender, and how long it took.

The crowd of this chat speaks the protocol lean, without the comfort of `ChatSession`, or the
load and not the server would be measured: it acknowledges as often as the server asks for,
reports gaps, answers probes, repeats what is stuck. It does not decode what only the sample
reads.

`main` runs one load against one server and prints what it measured as JSON; compare/fan_out.py
starts it. Linux only: epoll, recvmmsg and /proc.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import heapq
import json
import os
import random
import resource
import select
import socket
import statistics
import sys
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path
from struct import Struct
from typing import Any, Protocol

from compare.experiment import NEVER, quantile
from compare.framing import frame
from compare.messages import Kind
from compare.messages import Message as ChatMessage
from datagrams import IoVector, MultiMessage
from protocol import (
    EVENTS_ANSWER,
    EVENTS_ASK,
    EVENTS_INBOX,
    NO_COOKIE,
    Answer,
    Challenge,
    Events,
    Join,
    Message,
    MessageKind,
    PacketType,
    Say,
    Status,
    Welcome,
    decode,
)
from session import ChatSession

LINE_BYTES = 64
SENDERS = 4
WINDOW_LINES = 64
"""That a sender keeps on its way: said, and not yet delivered to all."""

CHUNK_LINES = 16
"""That a sender says at once when its window has room for them."""

SAMPLE = 4
"""Members that look at every line."""

JOIN_WAVE = 50
"""Members that join at the same time."""

STALL_SECONDS = 0.2
"""Without any progress for so long, what is on its way counts as lost, or is repeated."""

IDLE_SECONDS_MIN = 10.0
"""Two heartbeats of each member."""

PATIENCE_SECONDS = 120.0
"""For all to join, and for the last lines to arrive."""

_LINE_HEAD = Struct("!2s10s")
_NATS_PING = b"PING\r\n"
_SLOTS = 64
_SLOT_BYTES = 2048
_EVENTS_HEAD = Struct("!HBBI" + Events.LAYOUT.format.removeprefix("!"))


def line(sender: int, number: int) -> bytes:
    """The n-th line of a sender."""
    return b"%02d%010d" % (sender, number) + b"." * (LINE_BYTES - _LINE_HEAD.size)


class Sample:
    """What a member of the sample has seen: all, once, in each sender's order?"""

    def __init__(self, said_at: Sequence[Sequence[float]]) -> None:
        self._said_at = said_at
        self._next = [0] * len(said_at)
        self.latencies: list[float] = []
        """Of the lines seen since the measuring began."""
        self.repeated = 0
        self.order: list[tuple[int, int]] = []
        """The first lines, to compare with the others' order."""

    def see(self, sender: int, number: int, now: float) -> None:
        if number < self._next[sender]:
            self.repeated += 1  # or late: both break the promise
            return
        self._next[sender] = number + 1
        self.latencies.append(now - self._said_at[sender][number])
        if len(self.order) < ORDER_LINES:
            self.order.append((sender, number))


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

    def close(self) -> None: ...


class _Sockets:
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

    def settle(self, crowd: Crowd) -> None:
        """Waits until nothing new has come for a while, and counts from here."""
        known, quiet_at = -1, time.monotonic() + 0.5
        while time.monotonic() < quiet_at:
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


class StreamCrowd(_Sockets):
    """Members on TCP connections. What a protocol adds is in its subclass."""

    before: int
    """Bytes of a record before its line."""
    record: int
    """Bytes that a delivered line takes."""

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

    def greet(self, sock: socket.socket, member: int) -> None:
        raise NotImplementedError

    def encode(self, text: bytes) -> bytes:
        raise NotImplementedError

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
        rest, now, sample = self._rest[member], time.monotonic(), self.samples[member]
        rest += data
        at = 0
        while at + self.record <= len(rest):
            if rest.startswith(_NATS_PING, at):  # in between, a few in all
                at += len(_NATS_PING)
                continue
            sender, number = _LINE_HEAD.unpack_from(rest, at + self.before)
            sample.see(int(sender), int(number), now)
            at += self.record
        del rest[:at]

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

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(address, members)
        self.before = len(b"MSG room 1 %d\r\n" % LINE_BYTES)
        self.record = self.before + LINE_BYTES + 2

    def greet(self, sock: socket.socket, member: int) -> None:
        sock.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB room 1\r\n')

    def encode(self, text: bytes) -> bytes:
        return b"PUB room %d\r\n%b\r\n" % (len(text), text)


# --- datagrams: plain UDP and this chat ------------------------------------------------------


class DatagramCrowd(_Sockets):
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
        self.buffer = bytearray(_SLOTS * _SLOT_BYTES)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self.buffer))
        self._vectors = (IoVector * _SLOTS)()
        self._messages = (MultiMessage * _SLOTS)()
        for slot in range(_SLOTS):
            vector, header = self._vectors[slot], self._messages[slot].header
            vector.base, vector.length = base + slot * _SLOT_BYTES, _SLOT_BYTES
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

    def read(self, member: int, lengths: list[int]) -> None:
        """What has come for a member is in the slots of the buffer."""
        raise NotImplementedError

    def do_what_is_due(self) -> None:
        """What has to be done now and then."""


class PlainCrowd(DatagramCrowd):
    """The plain UDP chat of compare/."""

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(address, members)
        sample = ChatMessage(Kind.CHAT, "m00000", "." * LINE_BYTES).encode()
        self._size = len(sample)
        self._before = self._size - LINE_BYTES
        self._beat_at = 0.0

    def join(self) -> None:
        for member in range(self.members):
            self.open().send(ChatMessage(Kind.HELLO, f"m{member:05d}").encode())
            self.take(0)
            if member % JOIN_WAVE == 0:
                self.take(0.01)
        self.settle(self)

    def say(self, sender: int, numbers: range, now: float) -> None:
        sock = self.sockets[sender]
        for number in numbers:
            text = line(sender, number).decode()
            sock.send(ChatMessage(Kind.SAY, text=text).encode())
        self.said_at[sender] += [now] * len(numbers)

    def read(self, member: int, lengths: list[int]) -> None:
        self.positions[member] += lengths.count(self._size)
        sample = self.samples.get(member)
        if sample is not None:
            now = time.monotonic()
            for slot, length in enumerate(lengths):
                if length == self._size:
                    at = slot * _SLOT_BYTES + self._before
                    sender, number = _LINE_HEAD.unpack_from(self.buffer, at)
                    sample.see(int(sender), int(number), now)

    def do_what_is_due(self) -> None:
        now = time.monotonic()
        if now >= self._beat_at:  # its server drops who is silent
            self._beat_at = now + 5.0
            alive = ChatMessage(Kind.ALIVE).encode()
            for sock in self.sockets:
                with contextlib.suppress(OSError):
                    sock.send(alive)

    def on_stall(self) -> int:
        said = sum(map(len, self.said_at))
        lost = sum(said - position for position in self.positions)
        self.positions[:] = [said] * self.members
        return lost


class _Lean:
    """What a member of this chat remembers."""

    __slots__ = (
        "ack_due",
        "beat_at",
        "echo",
        "echo_at",
        "epoch",
        "gap_end",
        "gap_sent_at",
        "inbox_ack",
        "inbox_epoch",
        "inbox_gap_end",
        "message_id",
        "room_ack",
        "sent",
        "session_id",
        "unanswered",
    )

    def __init__(self) -> None:
        self.session_id = self.epoch = self.inbox_epoch = 0
        self.room_ack = self.gap_end = self.inbox_ack = self.inbox_gap_end = 0
        self.echo = self.sent = self.message_id = 0
        self.ack_due = False
        self.gap_sent_at = self.beat_at = self.echo_at = 0.0
        self.unanswered: deque[Message] = deque(maxlen=WINDOW_LINES)


class ChatCrowd(DatagramCrowd):
    """Members of this chat."""

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(address, members)
        self.lean = [_Lean() for _ in range(members)]
        self._base = 0
        self._ack_delay_seconds = 0.005
        self._acks: list[tuple[float, int]] = []
        self._random = random.Random(1)
        self._beats: list[tuple[float, int]] = []
        self._heartbeat_seconds = 5.0
        self._record = Struct(f"!{21 + 6}x2s10s{LINE_BYTES - _LINE_HEAD.size}x")
        self._joining: dict[int, Join] = {}

    # --- joining

    def join(self) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        for first in range(0, self.members, JOIN_WAVE):
            wave = range(first, min(first + JOIN_WAVE, self.members))
            for member in wave:
                self.open()
                self.begin(member)
            repeat_at = time.monotonic() + 1.0
            while self._joining:
                self.take(0.05)
                now = time.monotonic()
                if now > until:
                    raise TimeoutError(f"{len(self._joining)} members could not join")
                if now > repeat_at:
                    repeat_at = now + 1.0
                    for member, join in self._joining.items():
                        self._send(member, join.encode())
        self.settle(self)
        self._base = max(member.room_ack for member in self.lean)

    def begin(self, member: int) -> None:
        """Asks to be let in."""
        join = Join(member + 1, 1, NO_COOKIE, 0, 0, 0, 0, 1, f"m{member:05d}")
        self._joining[member] = join
        self._send(member, join.encode())

    def _on_other(self, member: int, datagram: bytes) -> None:
        packet, lean = decode(datagram), self.lean[member]
        if isinstance(packet, Challenge) and member in self._joining:
            was = self._joining[member]
            join = Join(was.client_id, was.timestamp + 1, packet.cookie, 0, 0, 0, 0, 1, was.name)
            self._joining[member] = join
            self._send(member, join.encode())
        elif isinstance(packet, Welcome) and member in self._joining:
            del self._joining[member]
            lean.session_id = packet.session_id
            lean.epoch, lean.inbox_epoch = packet.epoch, packet.inbox_epoch
            lean.room_ack, lean.inbox_ack = packet.start - 1, packet.inbox_start - 1
            self._ack_delay_seconds = packet.ack_delay_ms / 1000
            self._heartbeat_seconds = packet.heartbeat_ms / 1000
            self._beat_later(member, lean, time.monotonic())

    def news(self, read: int) -> int:
        return sum(lean.room_ack + lean.inbox_ack for lean in self.lean)  # no heartbeats

    # --- hearing

    def read(self, member: int, lengths: list[int]) -> None:
        lean, buffer, sample = self.lean[member], self.buffer, self.samples.get(member)
        ask = False
        for slot, length in enumerate(lengths):
            at = slot * _SLOT_BYTES
            if buffer[at + 3] != PacketType.EVENTS:
                self._on_other(member, bytes(buffer[at : at + length]))
                continue
            head = _EVENTS_HEAD.unpack_from(buffer, at)
            flags, count, delay_ms, epoch, timestamp, _, latest, first = head[4:]
            self._ack_delay_seconds = delay_ms / 1000
            ask = ask or flags & EVENTS_ASK
            after = first + count
            if flags & EVENTS_INBOX:
                if epoch != lean.inbox_epoch:
                    continue
                lean.inbox_gap_end = latest  # a long roster comes in parts: ask for the next
                if first <= lean.inbox_ack + 1 < after:
                    lean.inbox_ack = after - 1
                self._acknowledge_later(member, lean, timestamp)
                continue
            if epoch != lean.epoch:
                continue
            acked = lean.room_ack
            if first > acked + 1:
                lean.gap_end = max(lean.gap_end, first - 1)
            elif after - 1 > acked:
                lean.room_ack = after - 1
                if sample is not None and first > self._base > 0:
                    answer_bytes = Answer.LAYOUT.size if flags & EVENTS_ANSWER else 0
                    events_at = at + _EVENTS_HEAD.size + answer_bytes
                    self._look(sample, events_at, acked + 1 - first, count)
                elif sample is not None and after - 1 > self._base > 0:
                    self._look_closely(sample, bytes(self.buffer[at : at + length]), acked)
            if count:
                self._acknowledge_later(member, lean, timestamp)
        if self._base:
            self.positions[member] = lean.room_ack - self._base
        if ask or lean.gap_end > lean.room_ack:
            now = time.monotonic()
            if ask or now > lean.gap_sent_at + 0.01:
                lean.gap_sent_at = now
                self._acknowledge(member, lean)

    def _look(self, sample: Sample, at: int, known: int, count: int) -> None:
        """Shows a sample member the new ones of these events."""
        now, record = time.monotonic(), self._record
        for number in range(known, count):
            sender, which = record.unpack_from(self.buffer, at + number * record.size)
            sample.see(int(sender), int(which), now)

    def _look_closely(self, sample: Sample, datagram: bytes, acked: int) -> None:
        """The same for a slice that begins with other events than lines: it repeats some."""
        events, now = decode(datagram), time.monotonic()
        assert isinstance(events, Events)
        for seq, event in enumerate(events.events, events.first):
            if seq > max(acked, self._base):
                sender, number = _LINE_HEAD.unpack_from(event.text.encode())
                sample.see(int(sender), int(number), now)

    def _acknowledge_later(self, member: int, lean: _Lean, timestamp: int) -> None:
        if not lean.ack_due:
            now = time.monotonic()
            lean.ack_due, lean.echo, lean.echo_at = True, timestamp, now
            # As ChatSession: not all members at once.
            delay = self._ack_delay_seconds * self._random.uniform(0.5, 1.0)
            heapq.heappush(self._acks, (now + delay, member))

    def _acknowledge(self, member: int, lean: _Lean, ask: bool = False) -> None:
        now = time.monotonic()
        held = int((now - lean.echo_at) * 1e6) if lean.echo else 0
        lean.ack_due = False
        lean.sent += 1
        status = Status(
            lean.session_id,
            int(now * 1e6),
            lean.echo + held,
            lean.room_ack,
            lean.gap_end,
            lean.inbox_ack,
            lean.inbox_gap_end,
            lean.sent,
            ask,
        )
        self._send(member, status.encode())

    def do_what_is_due(self) -> None:
        now = time.monotonic()
        while self._acks and self._acks[0][0] <= now:
            _, member = heapq.heappop(self._acks)
            lean = self.lean[member]
            if lean.ack_due and lean.session_id:
                self._acknowledge(member, lean)
                lean.beat_at = now + self._heartbeat_seconds
        while self._beats and self._beats[0][0] <= now:
            _, member = heapq.heappop(self._beats)
            lean = self.lean[member]
            if lean.beat_at <= now:
                self._acknowledge(member, lean, ask=True)
                self._beat_later(member, lean, now)
            else:
                heapq.heappush(self._beats, (lean.beat_at, member))

    def _beat_later(self, member: int, lean: _Lean, now: float) -> None:
        lean.beat_at = now + self._heartbeat_seconds
        heapq.heappush(self._beats, (lean.beat_at, member))

    def next_due(self) -> float:
        return min((queue[0][0] for queue in (self._acks, self._beats) if queue), default=NEVER)

    def take(self, timeout_seconds: float) -> int:
        until_due = self.next_due() - time.monotonic()
        return super().take(max(0.0, min(timeout_seconds, until_due)))

    # --- speaking

    def say(self, sender: int, numbers: range, now: float) -> None:
        lean = self.lean[sender]
        self.said_at[sender] += [now] * len(numbers)
        messages = []
        for number in numbers:
            lean.message_id += 1
            text = line(sender, number).decode()
            messages.append(Message(lean.message_id, MessageKind.CHAT, text))
        lean.unanswered += messages
        self._say(sender, messages)

    def _say(self, sender: int, messages: Sequence[Message]) -> None:
        lean = self.lean[sender]
        for first in range(0, len(messages), CHUNK_LINES):
            chunk = tuple(messages[first : first + CHUNK_LINES])
            lean.sent += 1
            say = Say(lean.session_id, time.monotonic_ns() // 1000, chunk)
            self._send(sender, say.encode())

    def on_stall(self) -> int:
        for sender in range(min(SENDERS, self.members)):
            self._say(sender, list(self.lean[sender].unanswered))
        return 0

    def _send(self, member: int, datagram: bytes) -> None:
        with contextlib.suppress(OSError):
            self.sockets[member].send(datagram)


class SessionCrowd(ChatCrowd):
    """The same with complete clients for the senders: their `ChatSession` decides what is sent,
    when it is repeated, and how much waits."""

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(address, members)
        self._sessions = [
            ChatSession(address, f"m{member:05d}", random.Random(member))
            for member in range(min(SENDERS, members))
        ]
        self._backlogs: list[deque[str]] = [deque() for _ in self._sessions]

    def begin(self, member: int) -> None:
        if member >= len(self._sessions):
            super().begin(member)
        else:
            self._sessions[member].start(time.monotonic())
            self._flush(member)

    def read(self, member: int, lengths: list[int]) -> None:
        if member >= len(self._sessions):
            super().read(member, lengths)
            return
        session, now = self._sessions[member], time.monotonic()
        for slot, length in enumerate(lengths):
            at = slot * _SLOT_BYTES
            session.receive_datagram(bytes(self.buffer[at : at + length]), self.address, now)
        sample = self.samples.get(member)
        for event in session.take_events():
            if event["event"] == "chat":
                self.positions[member] += 1
                if sample is not None:
                    sender, number = _LINE_HEAD.unpack_from(event["text"].encode())
                    sample.see(int(sender), int(number), now)
        self._flush(member)

    def do_what_is_due(self) -> None:
        super().do_what_is_due()
        now = time.monotonic()
        for member, session in enumerate(self._sessions[: len(self.sockets)]):
            at = session.next_timeout()
            if at is not None and at <= now:
                session.handle_timeout(now)
                self._flush(member)

    def next_due(self) -> float:
        timeouts = [session.next_timeout() for session in self._sessions]
        return min(super().next_due(), *(at for at in timeouts if at is not None))

    def say(self, sender: int, numbers: range, now: float) -> None:
        self.said_at[sender] += [now] * len(numbers)
        self._backlogs[sender] += [line(sender, number).decode() for number in numbers]
        self._flush(sender)

    def on_stall(self) -> int:
        return 0

    def _flush(self, member: int) -> None:
        session, backlog, now = self._sessions[member], self._backlogs[member], time.monotonic()
        while backlog and session.pending_count < 4 * WINDOW_LINES:
            session.say(backlog.popleft(), now)
        for datagram in session.datagrams_to_send():
            self._send(member, datagram)


CROWDS: dict[str, Any] = {
    "chat-sessions": SessionCrowd,
    "chat": ChatCrowd,
    "plain": PlainCrowd,
    "tcp": TcpCrowd,
    "redis": RedisCrowd,
    "nats": NatsCrowd,
}


# --- the loads -------------------------------------------------------------------------------


class Server:
    """The process under test, as /proc shows it."""

    def __init__(self, pid: int) -> None:
        self._proc = Path("/proc") / str(pid)

    def cpu_seconds(self) -> float:
        """User and system time of all its threads."""
        fields = (self._proc / "stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_bytes(self) -> int:
        return int((self._proc / "statm").read_text().split()[1]) * resource.getpagesize()

    def thread_count(self) -> int:
        return len(list((self._proc / "task").iterdir()))


class Driver:
    """Says lines through a crowd at some pace, and measures what comes of it."""

    def __init__(self, crowd: Crowd, server: Server) -> None:
        self._crowd = crowd
        self._server = server
        self._said = 0
        self._turn = 0
        self._given_up = 0
        self._least = 0
        self._progress_at = time.monotonic()

    def run(self, seconds: float, lines_per_second: float | None) -> dict[str, float]:
        """Warms up, then measures for so long. No pace: as much as the windows let through."""
        self._speak(min(0.5, seconds / 4), lines_per_second)
        self._finish()
        for sample in self._crowd.samples.values():
            sample.latencies.clear()
        said, given_up = self._said, self._given_up
        cpu, own_cpu, begun = self._server.cpu_seconds(), time.process_time(), time.monotonic()
        self._speak(seconds, lines_per_second)
        self._finish()
        elapsed = time.monotonic() - begun
        lines = self._said - said
        members = len(self._crowd.positions)
        deliveries = lines * members - (self._given_up - given_up)
        cpu = self._server.cpu_seconds() - cpu
        samples = list(self._crowd.samples.values())
        latencies = [latency for sample in samples for latency in sample.latencies]
        return {
            "lines": lines,
            "deliveries_per_second": deliveries / elapsed,
            "delivered": deliveries / (lines * members),
            "cpu_us_per_delivery": cpu / deliveries * 1e6,
            "server_cpu_share": cpu / elapsed,
            "load_cpu_share": (time.process_time() - own_cpu) / elapsed,
            "p50_ms": statistics.median(latencies) * 1000,
            "p99_ms": quantile(latencies, 0.99) * 1000,
            "missing": lines * len(samples) - len(latencies),
            "repeated": sum(sample.repeated for sample in samples),
            "one_order": len({tuple(sample.order) for sample in samples}) == 1,
            "memory_mb": self._server.memory_bytes() / 1e6,
            "threads": self._server.thread_count(),
        }

    def idle(self, seconds: float) -> dict[str, float]:
        """Nobody says anything: heartbeats alone."""
        cpu, begun = self._server.cpu_seconds(), time.monotonic()
        while time.monotonic() < begun + seconds:
            self._crowd.take(0.1)
        elapsed = time.monotonic() - begun
        return {
            "server_cpu_share": (self._server.cpu_seconds() - cpu) / elapsed,
            "memory_mb": self._server.memory_bytes() / 1e6,
            "threads": self._server.thread_count(),
        }

    def _speak(self, seconds: float, lines_per_second: float | None) -> None:
        begun = now = time.monotonic()
        said = 0
        while now < begun + seconds:
            wait = 0.1
            if lines_per_second is None:
                while self._room_in_window() >= CHUNK_LINES:
                    self._say(CHUNK_LINES, time.monotonic())
            else:
                due = int((now - begun) * lines_per_second) + 1 - said
                said += due
                while due > 0:  # more than one is due where something has held us up
                    count = -(-due // SENDERS)
                    self._say(count, now)
                    due -= count
                wait = max(0.0, begun + said / lines_per_second - time.monotonic())
            self._take(wait)
            now = time.monotonic()

    def _finish(self) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while self._least < self._said:
            if time.monotonic() > until:
                raise TimeoutError(f"{self._said - self._least} lines did not arrive")
            self._take(0.01)

    def _room_in_window(self) -> int:
        return SENDERS * WINDOW_LINES - (self._said - self._least)

    def _say(self, count: int, now: float) -> None:
        sender = self._turn
        self._turn = (self._turn + 1) % SENDERS
        number = len(self._crowd.said_at[sender])
        self._crowd.say(sender, range(number, number + count), now)
        self._said += count

    def _take(self, timeout_seconds: float) -> None:
        self._crowd.take(timeout_seconds)
        least = min(self._crowd.positions)
        now = time.monotonic()
        if least > self._least or least == self._said:
            self._least, self._progress_at = least, now
        elif now > self._progress_at + STALL_SECONDS:
            self._given_up += self._crowd.on_stall()
            self._progress_at = now


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one load, prints one line of JSON."""
    parser = argparse.ArgumentParser(prog="python3 -m compare.load", description=__doc__)
    parser.add_argument("kind", choices=sorted(CROWDS))
    parser.add_argument("port", type=int)
    parser.add_argument("pid", type=int, help="of the server")
    parser.add_argument("--members", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument(
        "--loads", default="saturation", help="saturation, idle or lines a second, by commas"
    )
    arguments = parser.parse_args(argv)
    crowd: Crowd = CROWDS[arguments.kind](("127.0.0.1", arguments.port), arguments.members)
    try:
        print(json.dumps(_measure(crowd, Server(arguments.pid), arguments)), flush=True)
    finally:
        crowd.close()
    return 0


def _measure(crowd: Crowd, server: Server, arguments: argparse.Namespace) -> dict[str, object]:
    begun, cpu = time.monotonic(), server.cpu_seconds()
    crowd.join()
    measured: dict[str, object] = {
        "join_seconds": time.monotonic() - begun,
        "join_cpu_seconds": server.cpu_seconds() - cpu,
    }
    driver = Driver(crowd, server)
    loads: Iterable[str] = arguments.loads.split(",")
    for load in loads:
        if load == "idle":
            measured[load] = driver.idle(max(arguments.seconds, IDLE_SECONDS_MIN))
        else:
            pace = None if load == "saturation" else float(load)
            measured[load] = driver.run(arguments.seconds, pace)
    return measured


if __name__ == "__main__":
    sys.exit(main())
