"""The honest members of a room under attack: what they say, and what each of them is shown.

Each is a whole client, a `ChatSession` on a socket of its own, driven by one thread, and each has
an address of its own. Together they say so many lines a second, and every line is expected at
every member: once, in one order, and how long it took is noted.

As a program it takes the name of each phase from stdin, a line each; at the line `end` nobody says
any more, the rest is waited for, and what was measured is printed as JSON.
"""

from __future__ import annotations

import argparse
import math
import random
import select
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.attacks.peers import Orders, tell
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.outbox import PendingFull
from udp_chat.client.session import ChatSession, State
from udp_chat.protocol.delivery import NEVER, quantile
from udp_chat.protocol.packets import MessageKind

NAMES = ("Anna", "Boris", "Clara", "David", "Emma", "Felix")
HOSTS = ("127.0.0.1", *(f"127.0.1.{n}" for n in range(1, len(NAMES))))

LINES_PER_SECOND = 3.0
"""Of each member."""

WHISPERS_PER_SECOND = 3.0
WHISPERER, CONFIDANT = NAMES[2], NAMES[0]

PATIENCE_SECONDS = 12.0
"""After the end, for what has not come yet; then it counts as missing."""

JOIN_SECONDS = 30.0
RECEIVE_BUFFER_BYTES = 1024 * 1024
RECEIVE_MAX = 20
"""Datagrams that one member takes in before the next one's turn: each notes when it was shown."""


@dataclass
class Line:
    """A line, and when it was said and shown, on the monotonic clock."""

    phase: str
    said_at: float
    shown_at: dict[str, float] = field(default_factory=dict)


class Witness:
    """One honest member."""

    def __init__(self, server: tuple[str, int], name: str, host: str) -> None:
        self.name = name
        self.session = ChatSession(server, name, random.SystemRandom())
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            self.socket.bind((host, 0))
        except BaseException:  # Ctrl-C too: no socket stays open
            self.socket.close()
            raise
        self.joined = False
        self.order: list[tuple[str, int]] = []
        self.counts: Counter[str] = Counter()

    def receive(self) -> None:
        for _ in range(RECEIVE_MAX):
            try:
                datagram, address = self.socket.recvfrom(65536)
            except BlockingIOError:
                return
            except OSError:  # an ICMP error: the server may be back the next moment
                continue
            self.session.receive_datagram(datagram, address, time.monotonic())

    def send(self) -> None:
        for datagram in self.session.datagrams_to_send():
            try:
                self.socket.sendto(datagram, self.session.server)
            except OSError:  # as good as lost on the way, and repaired like that
                self.counts["send errors"] += 1


class Witnesses:
    """All of them, and everything that they said and were shown."""

    def __init__(self, server: tuple[str, int], whispers: bool) -> None:
        self.phase = ""
        self.lines: dict[tuple[str, int], Line] = {}
        self.whispers: list[Line] = []
        self.accepted: list[bool] = []
        """What became of each whisper, in the order in which they were said."""
        self.lags: list[float] = []
        """How late this process was to say its lines: it shares the machine with the attack."""
        self._whispers = whispers
        self._number = 0
        self.now = time.monotonic()
        self._poll = select.epoll()
        self._members: list[Witness] = []
        self._by_fileno: dict[int, Witness] = {}
        self.by_name: dict[str, Witness] = {}
        for name, host in zip(NAMES, HOSTS, strict=True):
            member = Witness(server, name, host)
            self._members.append(member)
            self._by_fileno[member.socket.fileno()] = self.by_name[name] = member
            self._poll.register(member.socket, select.EPOLLIN)

    def close(self) -> None:
        self._poll.close()
        for member in self._members:
            member.socket.close()

    # --- living ------------------------------------------------------------------------------

    def join(self) -> bool:
        """Whether all got in."""
        until = time.monotonic() + JOIN_SECONDS
        for member in self._members:
            member.session.start(time.monotonic())
            member.send()
            while not member.joined and time.monotonic() < until:
                self.step(0.05)
        return all(member.joined for member in self._members)

    def step(self, timeout_seconds: float) -> None:
        """Does what is due, and takes in what comes within the time."""
        at = min((m.session.next_timeout() or NEVER for m in self._members), default=NEVER)
        timeout = max(0.0, min(timeout_seconds, at - time.monotonic()))
        ready = {fileno for fileno, _ in self._poll.poll(timeout)}
        for fileno, member in self._by_fileno.items():
            if fileno in ready:
                member.receive()
            self.now = now = time.monotonic()
            at = member.session.next_timeout() or NEVER
            if at <= now:
                member.session.handle_timeout(now)
            if member.session.has_output:
                member.send()
            if member.session.has_events:
                for event in member.session.take_events():
                    self.note(member, event)

    def say(self, due_at: float) -> None:
        """The next line, by the next of them."""
        now = time.monotonic()
        self.lags.append(now - due_at)
        self._number += 1
        member = self._members[self._number % len(self._members)]
        line = self.lines[member.name, self._number] = Line(self.phase, now)
        try:
            member.session.say(f"{member.name} {self._number}", now)
        except PendingFull:
            line.phase = "unsaid"
            return
        member.send()

    def whisper(self) -> None:
        now = time.monotonic()
        member = self.by_name[WHISPERER]
        number = len(self.whispers)
        self.whispers.append(Line(self.phase, now))
        member.session.say(f"whisper {number}", now, MessageKind.PRIVATE, CONFIDANT)
        member.send()

    def run(self, orders: Orders) -> None:
        """Talks through all phases, then waits for what is on its way."""
        begun_at = time.monotonic()
        said = whispered = 0
        rate = LINES_PER_SECOND * len(self._members)
        while not orders.ended:
            for order in orders.take():
                if order == "end":
                    self._finish(orders)
                    return
                self.phase = order
            if self.phase:
                now = time.monotonic()
                while begun_at + said / rate <= now:
                    self.say(begun_at + said / rate)
                    said += 1
                while self._whispers and begun_at + whispered / WHISPERS_PER_SECOND <= now:
                    self.whisper()
                    whispered += 1
            else:
                begun_at = time.monotonic()
            self.step(min(0.02, max(0.0, begun_at + said / rate - time.monotonic())))

    def _finish(self, orders: Orders) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < until and not orders.ended:
            if self.missing() == 0 and len(self.accepted) == len(self.whispers):
                until = min(until, time.monotonic() + 0.3)  # for what comes twice
            self.step(0.05)
            orders.take()

    # --- noting ------------------------------------------------------------------------------

    def note(self, member: Witness, event: ChatEvent) -> None:
        kind = event["event"]
        if kind == "joined":
            member.joined = True
        elif kind == "chat" and event["name"] in self.by_name:
            self._note_line(member, event)
        elif kind == "private" and event["name"] == WHISPERER:
            if member.name == CONFIDANT:
                number = int(event["text"].split()[1])
                self.whispers[number].shown_at.setdefault(member.name, self.now)
        elif kind == "lost":
            member.counts["lost"] += 1
            member.counts["lost events"] += event["count"] or 0
        elif kind in ("reconnecting", "refused"):
            member.counts[kind] += 1
        elif kind == "notice" and event["reason"] != "stats" and member.name == WHISPERER:
            self.accepted.append(False)
        elif kind == "sent" and "to" in event:
            self.accepted.append(True)

    def _note_line(self, member: Witness, event: ChatEvent) -> None:
        name, number = event["text"].split()
        line = self.lines.get((name, int(number)))
        if line is None or name != event["name"]:
            member.counts["strange"] += 1
        elif member.name in line.shown_at:
            member.counts["doubled"] += 1
        else:
            line.shown_at[member.name] = self.now
            member.order.append((name, int(number)))

    def missing(self) -> int:
        """Deliveries that have not come."""
        return sum(len(self._members) - len(line.shown_at) for line in self.lines.values())

    def report(self) -> dict[str, object]:
        """What was measured; latencies in ms by phase, one that is missing is null."""
        latencies: dict[str, list[float | None]] = {}
        settled_at: dict[str, float] = {}
        for line in self.lines.values():
            shown = [
                (at - line.said_at) * 1000 if at is not None else None
                for at in (line.shown_at.get(name) for name in NAMES)
            ]
            latencies.setdefault(line.phase, []).extend(shown)
            last = max(line.shown_at.values(), default=math.inf)
            settled_at[line.phase] = max(settled_at.get(line.phase, 0.0), last)
        counts: Counter[str] = Counter()
        for member in self._members:
            counts += member.counts
        unseen = [
            not whisper.shown_at
            for whisper, accepted in zip(self.whispers, self.accepted, strict=False)
            if accepted
        ]
        return {
            "latencies_ms": latencies,
            "settled_at": {k: v if v < math.inf else None for k, v in settled_at.items()},
            "counts": counts,
            "missing": self.missing(),
            "one_order": self._one_order(),
            "whispers": len(self.whispers),
            "whispers_accepted": sum(self.accepted),
            "whispers_unseen": sum(unseen),
            "lag_p99_ms": quantile(self.lags, 0.99) * 1000 if self.lags else 0.0,
            "cpu_seconds": time.process_time(),
            "away": sum(member.session.state is not State.JOINED for member in self._members),
        }

    def _one_order(self) -> bool:
        """Whether what all have seen, all have seen in the same order."""
        common = set.intersection(*(set(member.order) for member in self._members))
        orders = {
            tuple(line for line in member.order if line in common) for member in self._members
        }
        return len(orders) == 1


def main(argv: Sequence[str] | None = None) -> int:
    """Honest members of a room on this machine."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.attacks.witnesses", description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("--whispers", action="store_true")
    arguments = parser.parse_args(argv)
    witnesses = Witnesses(("127.0.0.1", arguments.port), arguments.whispers)
    try:
        tell(joined=witnesses.join())
        witnesses.run(Orders())
        tell(**witnesses.report())
    finally:
        witnesses.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
