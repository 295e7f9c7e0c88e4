"""A room of complete clients in one process with one thread, so that one clock sees everything.

`SessionMember` is a member of this chat: a real `ChatSession` on a real socket. `StreamMember` is
one of the TCP chat. `Talk` drives all of them: it says what is due, takes what comes, and lets a
download run beside them. `Account` is what came of it, and is pure.

The price of one process: a member's message may wait while another member is read. How late the
loop was is in `Talk.lag_seconds`; a figure below a few times of it says nothing.
"""

from __future__ import annotations

import contextlib
import random
import selectors
import socket
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from compare.chats.framing import Deframer, frame
from compare.chats.liveness import Keepalive, prepare
from compare.chats.messages import Kind, Message
from udp_chat.client.outbox import PendingFull
from udp_chat.client.session import ChatSession
from udp_chat.client.states import State
from udp_chat.protocol.delivery import NEVER

CONNECT_SECONDS = 10.0
"""How long a TCP connection may take to come about."""

BATCH_MAX = 64
"""Datagrams, or parts of a stream, read from one socket before the others get their turn."""

READ_BYTES = 65536


class Member(ABC):
    """A member of a room, on a socket that never blocks."""

    def __init__(self) -> None:
        self.shown: list[tuple[str, float]] = []
        """The messages that its person has seen, and when, in that order."""
        self.is_joined = False
        self.is_out = False
        """The room has let it go, or its connection is lost."""

    @abstractmethod
    def say(self, text: str, now: float) -> None:
        """Has a message sent, now or as soon as it can be."""

    @property
    @abstractmethod
    def pending_count(self) -> int:
        """Its messages that wait here, as far as it knows."""

    @abstractmethod
    def receive(self) -> None:
        """Takes what has come to its socket."""

    def send(self) -> bool:
        """Sends what waits; returns whether the socket must take more before all is sent."""
        return False

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is to be called."""
        return None

    def handle_timeout(self, now: float) -> None:  # noqa: B027  # most have nothing to do
        """Does what is due."""

    @abstractmethod
    def leave(self) -> None:
        """Tells the server, once, without waiting for an answer."""


class SessionMember(Member):
    """A member of udp-chat: its `ChatSession` decides what is sent, and when it is sent again."""

    def __init__(self, sock: socket.socket, server: tuple[str, int], name: str) -> None:
        super().__init__()
        sock.setblocking(False)
        self.session = ChatSession(server, name, random.Random(name))
        self._socket = sock
        self._backlog: deque[str] = deque()
        self.session.start(time.monotonic())
        self._flush()

    @property
    def pending_count(self) -> int:
        return self.session.pending_count + len(self._backlog)

    def say(self, text: str, now: float) -> None:
        self._backlog.append(text)
        self._hand_over(now)
        self._flush()

    def receive(self) -> None:
        with contextlib.suppress(BlockingIOError):
            for _ in range(BATCH_MAX):
                datagram, address = self._socket.recvfrom(READ_BYTES)
                self.session.receive_datagram(datagram, address, time.monotonic())
        self._hand_over(time.monotonic())
        self._flush()

    def next_timeout(self) -> float | None:
        return self.session.next_timeout()

    def handle_timeout(self, now: float) -> None:
        self.session.handle_timeout(now)
        self._flush()

    def leave(self) -> None:
        if self.session.state is not State.CLOSED:
            self.session.leave(time.monotonic())
        self._flush()

    def _hand_over(self, now: float) -> None:
        with contextlib.suppress(PendingFull):
            while self._backlog:
                self.session.say(self._backlog[0], now)
                self._backlog.popleft()

    def _flush(self) -> None:
        now = time.monotonic()
        for event in self.session.take_events():
            if event["event"] == "chat":
                self.shown.append((event["text"], now))
            elif event["event"] == "joined":
                self.is_joined = True
            elif event["event"] in ("left", "refused"):
                self.is_out = True
        for datagram in self.session.datagrams_to_send():
            with contextlib.suppress(OSError):  # as good as lost on the way, and repaired like that
                self._socket.sendto(datagram, self.session.server)


class StreamMember(Member):
    """A member of the TCP chat. What the kernel does not take yet waits here, so nothing blocks."""

    def __init__(self, sock: socket.socket, server: tuple[str, int], name: str) -> None:
        super().__init__()
        # TCP's own limit on unacknowledged data would end a connection whose timer has doubled.
        prepare(sock, Keepalive(user_timeout_seconds=0))
        sock.settimeout(CONNECT_SECONDS)
        sock.connect(server)
        sock.setblocking(False)
        self._socket = sock
        self._deframer = Deframer()
        self._unsent = bytearray(frame(Message(Kind.HELLO, name)))
        self.send()

    @property
    def pending_count(self) -> int:
        """1 if anything waits: how much the kernel holds, it does not tell."""
        return int(bool(self._unsent))

    def say(self, text: str, now: float) -> None:
        self._unsent += frame(Message(Kind.SAY, text=text))
        self.send()

    def send(self) -> bool:
        try:
            while self._unsent:
                del self._unsent[: self._socket.send(self._unsent)]
        except BlockingIOError:
            return True
        except OSError:
            self._lose()
        return False

    def receive(self) -> None:
        try:
            for _ in range(BATCH_MAX):
                data = self._socket.recv(READ_BYTES)
                if not data:
                    self._lose()
                    return
                now = time.monotonic()
                for message in self._deframer.feed(data):
                    self._take(message, now)
        except BlockingIOError:
            return
        except OSError:
            self._lose()

    def _take(self, message: Message, now: float) -> None:
        if message.kind is Kind.CHAT:
            self.shown.append((message.text, now))
        elif message.kind is Kind.WELCOME:
            self.is_joined = True
        elif message.kind in (Kind.REFUSED, Kind.BYE):
            self.is_out = True

    def _lose(self) -> None:
        self.is_out = True
        self._unsent.clear()

    def leave(self) -> None:
        if not self.is_out:
            self._unsent += frame(Message(Kind.LEAVE))
            self.send()


class Download:
    """As much as TCP brings through the link from one end to the other, as long as it is driven."""

    CHUNK = bytes(READ_BYTES)

    def __init__(self, source: socket.socket, target: socket.socket) -> None:
        """Two ends of one connection."""
        source.setblocking(False)
        target.setblocking(False)
        self.source, self.target = source, target
        self.received_bytes = 0

    def push(self) -> None:
        """Sends as much as the kernel takes."""
        with contextlib.suppress(BlockingIOError):
            self.source.send(self.CHUNK)

    def pull(self) -> None:
        """Takes what has come."""
        with contextlib.suppress(BlockingIOError):
            self.received_bytes += len(self.target.recv(READ_BYTES))


Join: TypeAlias = "Callable[[socket.socket, tuple[str, int], str], Member]"
"""Makes a member of a socket, the server's address and a name; it begins to join."""


@dataclass(frozen=True, slots=True)
class Saying:
    """One message of a conversation that is planned."""

    after_seconds: float
    """From the beginning of the conversation."""
    speaker: int
    text: str


def speech(
    speakers: Sequence[int], per_second: float, seconds: float, text_bytes: int = 0
) -> Iterator[Saying]:
    """Messages at an even pace, each speaker in turn; filled up to so many bytes."""
    for number in range(round(seconds * per_second)):
        speaker = speakers[number % len(speakers)]
        text = f"{speaker} {number}".ljust(text_bytes, ".")
        yield Saying(number / per_second, speaker, text)


class Talk:
    """Drives the members of one room, and the download beside them. A context manager.

    It owns the members' sockets: its end closes them, after each member has said goodbye.
    """

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.said_at: dict[str, float] = {}
        """When each message was said, by its text."""
        self.lag_seconds = 0.0
        """The longest that a message was late to be said, because the loop was busy."""
        self.pending_max = 0
        """The most that waited at one speaker."""
        self._selector = selectors.SelectSelector()  # to the microsecond; epoll: to the millisecond
        self._stack = contextlib.ExitStack()
        self._stack.callback(self._selector.close)
        self._writing: dict[Member, socket.socket] = {}

    def __enter__(self) -> Talk:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.leave()
        self._stack.close()

    def add(self, join: Join, sock: socket.socket, server: tuple[str, int], name: str) -> None:
        """Adds a member on this socket, which begins to join."""
        self._stack.enter_context(sock)
        member = join(sock, server, name)
        self.members.append(member)
        self._selector.register(sock, selectors.EVENT_READ, _Readiness(member.receive, member.send))
        self._writing[member] = sock

    def add_download(self, download: Download) -> None:
        """Lets a download run from now on."""
        for sock, do, way in (
            (download.source, download.push, selectors.EVENT_WRITE),
            (download.target, download.pull, selectors.EVENT_READ),
        ):
            self._stack.enter_context(sock)
            self._selector.register(sock, way, _Readiness(do, do))

    def run_until(self, is_over: Callable[[], bool], timeout_seconds: float) -> bool:
        """Whether the condition came true within the time."""
        until = time.monotonic() + timeout_seconds
        while not is_over():
            if time.monotonic() >= until:
                return False
            self._step(until)
        return True

    def run(self, seconds: float) -> None:
        """Lets time pass."""
        self.run_until(lambda: False, seconds)

    def hold(self, sayings: Iterable[Saying]) -> None:
        """Has everything said when it is due; returns once the last message is."""
        began_at = time.monotonic()
        for saying in sayings:
            due_at = began_at + saying.after_seconds
            while (now := time.monotonic()) < due_at:
                self._step(due_at)
            self.lag_seconds = max(self.lag_seconds, now - due_at)
            self.said_at[saying.text] = now
            speaker = self.members[saying.speaker]
            speaker.say(saying.text, now)
            self.pending_max = max(self.pending_max, speaker.pending_count)

    def is_whole(self) -> bool:
        """Whether every member that is still in has been shown as many messages as were said."""
        return all(
            member.is_out or len(member.shown) >= len(self.said_at) for member in self.members
        )

    def account(self, members: Sequence[int] | None = None) -> Account:
        """What all members were shown, or these."""
        chosen = self.members if members is None else [self.members[number] for number in members]
        return Account(dict(self.said_at), [list(member.shown) for member in chosen])

    def _step(self, until: float) -> None:
        """Waits for whatever is next, at most until then, and does it."""
        now = time.monotonic()
        next_at = until
        for member in self.members:
            at = member.next_timeout()
            if at is not None and at <= now:
                member.handle_timeout(now)
                at = member.next_timeout()
            next_at = min(next_at, NEVER if at is None else at)
            self._watch(member)
        for key, ways in self._selector.select(max(0.0, next_at - time.monotonic())):
            readiness: _Readiness = key.data
            if ways & selectors.EVENT_READ:
                readiness.on_read()
            if ways & selectors.EVENT_WRITE:
                readiness.on_write()

    def _watch(self, member: Member) -> None:
        """Asks to be told what its socket can do, as far as the member wants it."""
        sock = self._writing[member]
        if member.is_out:
            with contextlib.suppress(KeyError):
                self._selector.unregister(sock)
            return
        ways = selectors.EVENT_READ | (selectors.EVENT_WRITE if member.send() else 0)
        key = self._selector.get_key(sock)
        if key.events != ways:
            self._selector.modify(sock, ways, key.data)


@dataclass(frozen=True, slots=True)
class _Readiness:
    """What to do when a socket can be read, or takes more."""

    on_read: Callable[[], Any]
    on_write: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Account:
    """What was said, and what each member was shown."""

    said_at: Mapping[str, float]
    shown: Sequence[Sequence[tuple[str, float]]] = field(default_factory=list)
    """Of each member: texts and times, in the order in which it saw them."""

    def latencies(self, first_at: float = -NEVER, last_at: float = NEVER) -> list[float]:
        """Seconds from saying to showing at each member, of what was said within this time.

        NEVER for what a member was not shown.
        """
        wanted = {text: at for text, at in self.said_at.items() if first_at <= at < last_at}
        found = []
        for shown in self.shown:
            first: dict[str, float] = {}
            for text, at in shown:
                first.setdefault(text, at)
            found += [first.get(text, NEVER) - at for text, at in wanted.items()]
        return found

    def faults(self) -> list[str]:
        """Which parts of the promise were broken: every message once, in one order, to everyone."""
        faults = []
        orders = [[text for text, _ in shown if text in self.said_at] for shown in self.shown]
        missing = sum(len(self.said_at.keys() - set(order)) for order in orders)
        repeated = sum(len(order) - len(set(order)) for order in orders)
        if missing:
            faults.append(f"{missing} not shown")
        if repeated:
            faults.append(f"{repeated} shown twice")
        kept = [list(dict.fromkeys(order)) for order in orders]
        everywhere = set(self.said_at).intersection(*kept)
        if len({tuple(text for text in order if text in everywhere) for order in kept}) > 1:
            faults.append("several orders")
        if not all(_keeps_each_speakers_order(order, self.said_at) for order in kept):
            faults.append("not in the order of saying")
        return faults

    def shown_count(self, last_at: float = NEVER) -> int:
        """How often messages were shown until then, all members together."""
        return sum(at < last_at for shown in self.shown for text, at in shown)

    def last_shown_at(self) -> float:
        """When the last message was shown; NEVER if none was."""
        return max((at for shown in self.shown for _, at in shown), default=NEVER)


def _keeps_each_speakers_order(order: Sequence[str], said_at: Mapping[str, float]) -> bool:
    latest: dict[str, float] = {}
    for text in order:
        speaker = text.partition(" ")[0]
        if said_at[text] < latest.get(speaker, -NEVER):
            return False
        latest[speaker] = said_at[text]
    return True
