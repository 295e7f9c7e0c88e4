"""Many sessions in one process and one thread, as an attacker has them: lean, and not polite.

A `Company` enters with as many sessions as the server admits, some from each of its addresses, and
sends what it is told to. It speaks the protocol just well enough for that: it brings the cookie
back, counts what it says, and acknowledges nothing. All sessions of one address share a socket.

As a program it is a room's bystanders: members who say nothing, acknowledge what they are sent,
and stay until stdin ends. Linux only: elsewhere 127.0.0.1 is the only address of the loopback.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import select
import socket
import sys
import time
import zlib
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from struct import Struct

from udp_chat.protocol.packets import (
    EVENTS_ANSWER,
    EVENTS_INBOX,
    HEADER_BYTES,
    MAGIC,
    NO_COOKIE,
    VERSION,
    Challenge,
    ChatError,
    Events,
    Join,
    Leave,
    MessageKind,
    PacketType,
    Refused,
    RefusedReason,
    Say,
    Status,
    Welcome,
    decode,
)

INDEX_BITS = 12
"""A datagram's timestamp ends in its session's number, so that an answer, which echoes the
timestamp, says whose it is. So one company has at most 4096 sessions."""

RECEIVE_BUFFER_BYTES = 1024 * 1024
TAKE_MAX = 2000
"""Datagrams read from one socket at a time: who is flooded does not stop flooding."""

OUTSTANDING_MAX = 50
"""Sessions that enter at the same time."""

REPEAT_SECONDS = 0.25
"""After so long without an answer a JOIN is sent again."""

FOR_NOW = {6}
"""Reasons of a REFUSED after which it is worth another try: 6 is BUSY, since 0.2.1."""

HEARTBEAT_SECONDS = 3.0
"""Of a bystander who has nothing to acknowledge."""

_HEAD = Struct("!2sBB")
_TAIL = Struct("!B?BH")
"""A message without its id: kind, more, bytes of `to`, bytes of text."""

_EVENTS_HEAD = Struct("!BB2xQ16xQQ")
"""Behind the header: flags, count, epoch, latest, first."""

_ANSWER_AT = HEADER_BYTES + Events.LAYOUT.size
_ANSWER = Struct("!QI")
"""How an Answer begins: echo, received."""


def seal(packet_type: int, body: bytes) -> bytes:
    """A datagram with a right header and checksum around a body that may be anything."""
    head = _HEAD.pack(MAGIC, VERSION, packet_type)
    return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "big") + body


def message_tail(kind: MessageKind, text: bytes, to: bytes = b"", more: bool = False) -> bytes:
    """A message as it is on the wire, without the id in front."""
    return _TAIL.pack(kind, more, len(to), len(text)) + to + text


def refusal(reason: int) -> str:
    try:
        return RefusedReason(reason).name.lower()
    except ValueError:  # of a later version than this tree's
        return {5: "address_full", 6: "busy"}.get(reason, f"reason_{reason}")


class Session:
    """What one session has to remember."""

    __slots__ = (
        "acked",
        "asked_at",
        "asked_id",
        "client_id",
        "cookie",
        "due_at",
        "id",
        "inbox_ack",
        "inbox_epoch",
        "inbox_latest",
        "index",
        "name",
        "next_id",
        "said_count",
        "sent_count",
        "socket",
        "tail",
    )

    def __init__(self, index: int, sock: socket.socket, name: str, client_id: int) -> None:
        self.index = index
        self.socket = sock
        self.name = name
        self.client_id = client_id
        self.cookie = NO_COOKIE
        self.id = 0
        """Of the session; 0 while it is not in."""
        self.next_id = 1
        """Of the message it says next."""
        self.asked_id = 1
        """The same when it last asked what has arrived."""
        self.asked_at = 0
        """The timestamp of that question."""
        self.said_count = 0
        self.sent_count = 0
        self.acked = 0
        self.inbox_epoch = self.inbox_ack = self.inbox_latest = 0
        self.due_at = 0.0
        self.tail = b""
        """What it says, over and over."""


class Company:
    """Sessions from some addresses. Not thread-safe; a context manager."""

    def __init__(
        self, server: tuple[str, int], hosts: Sequence[str], prefix: str, polite: bool = False
    ) -> None:
        """Names begin with `prefix`. Who is `polite` notes what it is sent, to acknowledge it."""
        self._polite = polite
        self.sessions: list[Session] = []
        """Those that are in, or were."""
        self.refused: Counter[str] = Counter()
        self.sent_count = 0
        self.latest = 0
        """The newest event of the room that any of them was heard to have."""
        self.epoch = 0
        self._prefix = prefix
        self._ticks = 0
        self._entering: dict[int, Session] = {}
        """By client id."""
        self._by_inbox: dict[int, Session] = {}
        self._generation = 0
        self.sockets: list[socket.socket] = []
        self._poll = select.epoll()
        self._by_fileno: dict[int, socket.socket] = {}
        try:
            for host in hosts:
                sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
                self.sockets.append(sock)
                self._by_fileno[sock.fileno()] = sock
                sock.setblocking(False)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
                sock.bind((host, 0))
                sock.connect(server)
                self._poll.register(sock, select.EPOLLIN)
        except BaseException:  # Ctrl-C too: no socket stays open
            self.close()
            raise

    def __enter__(self) -> Company:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._poll.close()
        for sock in self.sockets:
            sock.close()

    # --- sending -----------------------------------------------------------------------------

    def send(self, sock: socket.socket, datagram: bytes) -> None:
        self.sent_count += 1
        # A full buffer, an ICMP error about an earlier datagram: one less arrives.
        with contextlib.suppress(OSError):
            sock.send(datagram)

    def timestamp(self, session: Session) -> int:
        self._ticks += 1
        return self._ticks << INDEX_BITS | session.index

    def say(self, session: Session, tails: Iterable[bytes]) -> None:
        """Says the next messages of a session, in one datagram."""
        next_id = session.next_id
        messages = [n.to_bytes(4, "big") + tail for n, tail in enumerate(tails, next_id)]
        session.next_id = next_id + len(messages)
        head = Say.LAYOUT.pack(session.id, self.timestamp(session), len(messages))
        self.send(session.socket, seal(PacketType.SAY, head + b"".join(messages)))

    def ask(self, session: Session) -> None:
        """Asks what has arrived; once `take` has the answer, `next_id` is what comes after that."""
        session.asked_id = session.next_id
        self.status(session, ask=True)
        session.asked_at = self._ticks << INDEX_BITS | session.index

    def status(self, session: Session, room_ack: int = 0, ask: bool = False) -> None:
        session.sent_count += 1
        session.acked = room_ack
        status = Status(
            session.id,
            self.timestamp(session),
            echoed_timestamp=0,
            room_ack=room_ack,
            room_gap_end=room_ack,
            inbox_ack=session.inbox_ack,
            inbox_gap_end=max(session.inbox_ack, session.inbox_latest),
            sent_count=session.sent_count,
            ask=ask,
        )
        self.send(session.socket, status.encode())

    def leave(self, session: Session) -> None:
        self.send(session.socket, Leave(session.id, self.timestamp(session)).encode())

    # --- entering ----------------------------------------------------------------------------

    def new_session(self, number: int, name: str = "") -> Session:
        """Somebody who is not in yet, at one of the addresses in turn."""
        client_id = int.from_bytes(os.urandom(8), "big") | 1
        sock = self.sockets[number % len(self.sockets)]
        return Session(number, sock, name or f"{self._prefix}{number}", client_id)

    def join(self, session: Session) -> None:
        """Asks to be let in; `take` brings the cookie back and notes the outcome."""
        self._entering[session.client_id] = session
        join = Join(
            session.client_id,
            self.timestamp(session),
            session.cookie,
            epoch=0,
            room_ack=0,
            inbox_epoch=0,
            inbox_ack=0,
            next_message_id=session.next_id,
            name=session.name,
        )
        self.send(session.socket, join.encode())

    @property
    def entering(self) -> dict[int, Session]:
        """By client id: those who have asked to be let in and have no final answer."""
        return self._entering

    def forget(self, session: Session) -> None:
        """Takes no answer to its JOIN any more."""
        self._entering.pop(session.client_id, None)

    def enter(self, count: int, seconds: float, names: str = "") -> None:
        """Lets so many new sessions in, or as many as the server admits within the time.

        `names` is what each name begins with, in place of the company's prefix.
        """
        self._generation += 1
        begin = names or self._prefix
        self._entering.clear()
        self.sessions.clear()
        waiting = deque(
            self.new_session(n, f"{begin}{self._generation}-{n:05d}") for n in range(count)
        )
        until = time.monotonic() + seconds
        while (now := time.monotonic()) < until and (waiting or self._entering):
            while waiting and len(self._entering) < OUTSTANDING_MAX:
                session = waiting.popleft()
                session.due_at = now + REPEAT_SECONDS
                self.join(session)
            for session in list(self._entering.values()):
                if session.due_at <= now:
                    session.due_at = now + REPEAT_SECONDS
                    self.join(session)
            self.take(0.005)
        self._entering.clear()

    # --- hearing -----------------------------------------------------------------------------

    def take(self, timeout_seconds: float = 0.0) -> list[Session]:
        """Reads what has come, at most so much; those who have just been let in."""
        welcomed: list[Session] = []
        for fileno, _ in self._poll.poll(timeout_seconds):
            sock = self._by_fileno[fileno]
            for _ in range(TAKE_MAX):
                try:
                    datagram = sock.recv(2048)
                except BlockingIOError:
                    break
                except OSError:  # an ICMP error: the server may not be there any more
                    continue
                if datagram[3] == PacketType.EVENTS:
                    self.note_events(datagram)
                else:
                    self._note(datagram, welcomed)
        return welcomed

    def note_events(self, datagram: bytes) -> None:
        """Lean: this comes for every member each time anybody says something."""
        flags, count, epoch, latest, first = _EVENTS_HEAD.unpack_from(datagram, HEADER_BYTES)
        if flags & EVENTS_INBOX and self._polite:
            session = self._by_inbox.get(epoch)
            if session is not None:
                session.inbox_latest = latest
                if first <= session.inbox_ack + 1 < first + count:
                    session.inbox_ack = first + count - 1
        elif not flags & EVENTS_INBOX and latest > self.latest:
            self.latest = latest
        if flags & EVENTS_ANSWER:
            echo, received = _ANSWER.unpack_from(datagram, _ANSWER_AT)
            index = echo & ((1 << INDEX_BITS) - 1)
            session = self.sessions[index] if index < len(self.sessions) else None
            if session is not None and echo == session.asked_at and received + 1 < session.asked_id:
                session.next_id = received + 1

    def _note(self, datagram: bytes, welcomed: list[Session]) -> None:
        try:
            packet = decode(datagram)
        except ChatError:  # a later version's
            return
        if isinstance(packet, Challenge):
            session = self._entering.get(packet.sender_id)
            if session is not None and session.cookie != packet.cookie:
                session.cookie = packet.cookie
                self.join(session)
        elif isinstance(packet, Welcome):
            session = self._entering.pop(packet.client_id, None)
            if session is not None:
                session.id = packet.session_id
                session.next_id = session.asked_id = packet.received + 1
                session.inbox_epoch = packet.inbox_epoch
                session.inbox_ack = packet.inbox_start - 1
                self._by_inbox[packet.inbox_epoch] = session
                self.epoch = packet.epoch
                self.latest = max(self.latest, packet.latest)
                if session not in self.sessions[session.index : session.index + 1]:
                    session.index = len(self.sessions)
                    self.sessions.append(session)
                welcomed.append(session)
        elif isinstance(packet, Refused):
            self.refused[refusal(packet.reason)] += 1
            if packet.reason not in FOR_NOW:
                self._entering.pop(packet.client_id, None)


# --- what the programs of this tool have in common -------------------------------------------


class Orders:
    """What is written to this process's stdin. Its end is an order too: the parent is gone."""

    def __init__(self) -> None:
        self._rest = b""
        self.ended = False

    def take(self, timeout_seconds: float = 0.0) -> list[str]:
        """The lines that have come within the time, perhaps none."""
        if self.ended or not select.select([0], [], [], timeout_seconds)[0]:
            return []
        data = os.read(0, 4096)
        self.ended = not data
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [line.decode() for line in lines]

    def wait(self) -> str:
        """The next line; empty if the parent is gone."""
        while not self.ended:
            for line in self.take(1.0):
                return line
        return ""


def tell(**what: object) -> None:
    """One line of JSON on stdout."""
    print(json.dumps(what), flush=True)


# --- bystanders ------------------------------------------------------------------------------

BYSTANDERS_PER_ADDRESS = 50
"""Below what a server admits from one address."""

ENTERING_SECONDS = 60.0


def bystander_hosts(count: int) -> list[str]:
    return [f"127.0.3.{1 + n}" for n in range(-(-count // BYSTANDERS_PER_ADDRESS))]


def stand_by(company: Company, orders: Orders) -> None:
    """Acknowledges for all, as often as the room asks its members to, until stdin ends."""
    interval = min(1.5, max(0.005, 0.0007 * len(company.sessions)))
    now = time.monotonic()
    for number, session in enumerate(company.sessions):
        session.due_at = now + interval * number / len(company.sessions)
        session.said_count = 0
    queue = deque(company.sessions)
    heard_at = dict.fromkeys(range(len(queue)), 0.0)
    while not orders.ended:
        company.take(0.002)
        now = time.monotonic()
        while queue and queue[0].due_at <= now:
            session = queue.popleft()
            behind = session.acked < company.latest or session.said_count < session.inbox_ack
            if behind or now > heard_at[session.index] + HEARTBEAT_SECONDS:
                company.status(session, company.latest)
                session.said_count = session.inbox_ack
                heard_at[session.index] = now
            session.due_at = now + interval
            queue.append(session)
        orders.take()


def main(argv: Sequence[str] | None = None) -> int:
    """Bystanders of a room, until stdin ends."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.attacks.peers", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("count", type=int)
    arguments = parser.parse_args(argv)
    hosts = bystander_hosts(arguments.count)
    with Company(("127.0.0.1", arguments.port), hosts, "quiet", polite=True) as company:
        company.enter(arguments.count, ENTERING_SECONDS)
        tell(entered=len(company.sessions), refused=company.refused)
        stand_by(company, Orders())
    return 0


if __name__ == "__main__":
    sys.exit(main())
