"""The room's hot path, without a socket: what a SAY and a STATUS cost in Python.

  python3 -m benchmarks.hot_path [--members N]

A room with N members in one process; all have joined by real packets. The benchmark times
`receive_datagram` with `datagrams_to_send` for a SAY of one message, of twelve, of one behind
fifteen or thirty-nine that are repeated (of 64 and of 20 bytes), and of nothing new, and
`receive_datagram` for a STATUS and for refused packets: a full SAY of an unknown session, and an
EVENTS, which only servers send. It measures this process's processor time, and takes the best of
five rounds: a disturbance only makes a round longer.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Sequence

from udp_chat.client.session import ChatSession
from udp_chat.protocol.packets import (
    Address,
    Event,
    EventKind,
    Events,
    Message,
    MessageKind,
    Say,
    Status,
)
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

SERVER: Address = ("192.0.2.1", 9091)
ROUNDS = 5
DATAGRAMS = 500
"""In a round, by default."""

JOIN_STEPS = 8
STEP_SECONDS = 0.1

CALM_SECONDS = 12.0
"""After the last join: what was repaired meanwhile is forgotten."""


class Bench:
    """A room full of members, in virtual time."""

    def __init__(self, members: int) -> None:
        self.now = 1000.0
        settings = RoomSettings(members_max=members, message_rate=0)
        self.room = ChatRoom(settings, random.Random(1), self.now)
        for number in range(members):
            self._join(number)
        (self.speaker, *_) = self.room.members.values()
        self.now += CALM_SECONDS
        self._message_id = 0
        self._timestamp = int(self.now * 1e6)

    def _join(self, number: int) -> None:
        session = ChatSession(SERVER, f"m{number:05d}", random.Random(number))
        address = (f"10.0.{number // 250}.{number % 250}", 40_000)
        session.start(self.now)
        for _ in range(JOIN_STEPS):
            for datagram in session.datagrams_to_send():
                self.room.receive_datagram(datagram, address, self.now)
            self.room.handle_timeout(self.now)
            for datagram, addresses in self.room.datagrams_to_send():
                if address in addresses:
                    session.receive_datagram(datagram, SERVER, self.now)
            self.now += STEP_SECONDS / JOIN_STEPS
            session.handle_timeout(self.now)
        session.take_events()

    def say(self, lines: int, repeated: int = 0, line_bytes: int = 64) -> bytes:
        """A SAY of the speaker: so many messages of before, and so many new ones."""
        self._timestamp += 1
        first = self._message_id + 1 - repeated
        self._message_id += lines
        numbers = range(first, self._message_id + 1)
        messages = [Message(n, MessageKind.CHAT, "x" * line_bytes) for n in numbers if n > 0]
        return Say(self.speaker.session_id, self._timestamp, tuple(messages)).encode()

    def status(self) -> bytes:
        """An acknowledgement of everything, by the speaker."""
        self._timestamp += 1
        latest, member = self.room.log.latest, self.speaker
        ack = member.inbox.log.latest
        echo = int(self.now * 1e6)
        status = Status(member.session_id, self._timestamp, echo, latest, latest, ack, ack)
        return status.encode()

    def stray_say(self) -> bytes:
        """A full SAY of a session that does not exist."""
        self._timestamp += 1
        messages = tuple(Message(n, MessageKind.CHAT, "x" * 8) for n in range(1, 70))
        return Say(self._timestamp, self._timestamp, messages).encode()

    def broadcast(self) -> bytes:
        """A full datagram that only servers send."""
        self._timestamp += 1
        event = Event(EventKind.CHAT, 0, "Anna", "", "x" * 8, 1, 1)
        events = Events(1, self._timestamp, 1, 40, 1, (event,) * 34)
        return events.encode()

    def receive(self, datagram: bytes) -> None:
        self.room.receive_datagram(datagram, self.speaker.address, self.now)

    def receive_and_send(self, datagram: bytes) -> None:
        self.receive(datagram)
        self.room.datagrams_to_send()


def best_microseconds(
    make: Callable[[], bytes], work: Callable[[bytes], None], count: int
) -> float:
    """For one datagram. Making it is not timed."""
    rounds = []
    for _ in range(ROUNDS):
        datagrams = [make() for _ in range(count)]
        begun = time.process_time()
        for datagram in datagrams:
            work(datagram)
        rounds.append((time.process_time() - begun) / count * 1e6)
    return min(rounds)


def measure(members: int, datagrams: int = DATAGRAMS) -> dict[str, float]:
    """Microseconds, by what was done. Each round takes so many datagrams."""
    bench = Bench(members)
    timed: dict[str, tuple[Callable[[], bytes], Callable[[bytes], None]]] = {
        "SAY of 1 line": (lambda: bench.say(1), bench.receive_and_send),
        "SAY of 12 lines": (lambda: bench.say(12), bench.receive_and_send),
        "SAY of 1 line, 15 repeated": (lambda: bench.say(1, 15), bench.receive_and_send),
        "SAY of 1 line, 39 repeated": (lambda: bench.say(1, 39, 20), bench.receive_and_send),
        "SAY of 39 repeated": (lambda: bench.say(0, 39, 20), bench.receive_and_send),
        "STATUS": (bench.status, bench.receive),
        "SAY of a stranger": (bench.stray_say, bench.receive),
        "EVENTS": (bench.broadcast, bench.receive),
    }
    return {what: best_microseconds(*how, datagrams) for what, how in timed.items()}


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python3 -m benchmarks.hot_path`; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.hot_path",
        description="Measures what a SAY, a STATUS and refused packets cost the room in Python,"
        " without any socket.",
    )
    parser.add_argument("--members", type=int, default=100, help="(default: %(default)s)")
    parser.add_argument(
        "--datagrams", type=int, default=DATAGRAMS, help="in a round (default: %(default)s)"
    )
    arguments = parser.parse_args(argv)
    for what, microseconds in measure(arguments.members, arguments.datagrams).items():
        print(f"{what:26} {microseconds:6.1f} µs, {arguments.members} members")
    return 0


if __name__ == "__main__":
    sys.exit(main())
