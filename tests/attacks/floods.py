"""The attacks, each a stream of datagrams at a stated rate from one address or from 64.

`ATTACKS` lists them all. As a program it is one attacker: it says that it is ready, waits for a
line on stdin, floods for its time and prints what it sent as JSON. It ends early when stdin does,
so it outlives nobody. It sends to 127.0.0.1 and nowhere else.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Protocol

from tests.attacks.peers import Company, Orders, Session, message_tail, seal, tell
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    NO_COOKIE,
    Bye,
    Challenge,
    Discover,
    Event,
    EventKind,
    Events,
    Fetch,
    Join,
    Message,
    MessageKind,
    Offer,
    PacketType,
    Refused,
    Say,
    Told,
    Welcome,
)

SERVER_HOST = "127.0.0.1"
ONE_ADDRESS = ("127.0.0.2",)
ADDRESSES = tuple(f"127.0.2.{n}" for n in range(1, 65))

VICTIM = "Anna"
"""The honest member whom private messages are sent to."""

FRESH_RATE = 5_000
"""Datagrams a second of a flood, unless `--rate` says otherwise."""

TICK_SECONDS = 0.001
"""Between two handfuls of datagrams."""

CATCH_UP_SECONDS = 0.05
"""What an attacker that was held up sends at most at once."""

ENTERING_SECONDS = 6.0
ASK_AGAIN_SECONDS = 0.1
"""How often a speaker who is done asks whether all has arrived."""

SAY_MESSAGES = 64
"""Messages in one SAY: what a server takes of a client before it has answered."""

BURST_LINES = 960
DISCOVER_KEEP = 256
"""Prebuilt datagrams of each unproven flood, sent over and over."""

LONG_TEXT = b"x" * 900
WIDE_TEXT = "\U0001d538".encode() * 225
"""900 bytes that take four bytes a character in memory, too."""


class Flood(Protocol):
    """One attack's way to send. `begin` is called once, `send` again and again."""

    def begin(self) -> None:
        """Enters, where that is needed."""

    def send(self, due: int, elapsed: float) -> None:
        """Sends about so many datagrams, `elapsed` seconds after the beginning."""

    def report(self) -> dict[str, object]:
        """What else is to be told."""


# --- members who say too much ----------------------------------------------------------------


@dataclass(frozen=True)
class Talk:
    """What members say, and how much of it."""

    tails: Callable[[int, Company], bytes]
    """What a session says: its number and its company in, a message without its id out."""
    sessions: int = 30
    speakers: int = 0
    """How many of them say anything; 0: all."""
    say_messages: int = SAY_MESSAGES
    messages_per_second: float = 0.0
    """Of each session; 0: as many as the flood's rate holds."""
    messages_max: int = 0
    """Of each session, then no more; 0: any number."""
    says_before_asking: int = 4
    renewals: int = 0
    """How often in its time all leave, and others enter in their place."""
    name: str = ""
    """What their names begin with."""


class Talkers:
    """Sessions that say things, each what its number says, in turn."""

    def __init__(self, company: Company, seconds: float, talk: Talk) -> None:
        self._company = company
        self._seconds = seconds
        self._talk = talk
        self.turns: Iterator[Session] = iter(())
        self._renewed = 0
        self._entered: list[int] = []

    def begin(self) -> None:
        company, talk = self._company, self._talk
        company.enter(talk.sessions, ENTERING_SECONDS, talk.name)
        self._entered.append(len(company.sessions))
        for number, session in enumerate(company.sessions):
            session.tail = talk.tails(number, company)
            session.due_at = 0.0
        self.turns = cycle(company.sessions[: talk.speakers or None])

    def _renew(self) -> None:
        for session in self._company.sessions * 2:  # the server may be too busy to hear it once
            self._company.leave(session)
            self._company.take()
        self.begin()

    def send(self, due: int, elapsed: float) -> None:
        company, talk = self._company, self._talk
        company.take()
        parts = talk.renewals + 1
        if elapsed > self._seconds * (self._renewed + 1) / parts and self._renewed < talk.renewals:
            self._renewed += 1
            self._renew()
        until = company.sent_count + due
        for session in islice(self.turns, talk.speakers or len(company.sessions)):
            if company.sent_count >= until:
                return
            self._speak(session, elapsed)

    def _speak(self, session: Session, elapsed: float) -> None:
        company, talk = self._company, self._talk
        for _ in range(talk.says_before_asking):
            count = talk.say_messages
            if talk.messages_per_second:
                # Not made up for later: a server that holds some back is not asked twice.
                allowed = int(elapsed * talk.messages_per_second) - session.said_count
                if allowed < count:
                    return
            if talk.messages_max:
                count = min(count, talk.messages_max - (session.next_id - 1))
                if count <= 0:
                    if session.due_at > elapsed:
                        return
                    session.due_at = elapsed + ASK_AGAIN_SECONDS
                    break
            session.said_count += count
            company.say(session, [session.tail] * count)
        company.ask(session)

    def report(self) -> dict[str, object]:
        said = sum(session.next_id - 1 for session in self._company.sessions)
        return {"entered": max(self._entered, default=0), "said": said}


def _line(number: int, company: Company) -> bytes:
    return message_tail(MessageKind.CHAT, b"flood %03d" % number)


def _question(number: int, company: Company) -> bytes:
    kind = (MessageKind.SEEN, MessageKind.STATS, MessageKind.WHO)[number % 3]
    newest = " ".join(str(max(1, company.latest - n)) for n in range(5))
    return message_tail(kind, newest.encode() if kind is MessageKind.SEEN else b"")


def _to_victim(text: bytes) -> Callable[[int, Company], bytes]:
    tail = message_tail(MessageKind.PRIVATE, text, VICTIM.encode())
    return lambda number, company: tail


def _to_neighbour(number: int, company: Company) -> bytes:
    neighbour = company.sessions[(number + 1) % len(company.sessions)].name
    return message_tail(MessageKind.PRIVATE, LONG_TEXT, neighbour.encode())


def _without_end(number: int, company: Company) -> bytes:
    return message_tail(MessageKind.CHAT, WIDE_TEXT, more=True)


def _roster(number: int, company: Company) -> bytes:
    return message_tail(MessageKind.WHO, b"")


# --- members who come and go -----------------------------------------------------------------


class Churners:
    """JOIN and LEAVE in a loop, each loop with a client id of its own or always with the same."""

    def __init__(self, company: Company, seconds: float, loops: int, fresh: bool) -> None:
        self._company = company
        self._loops = loops
        self._fresh = fresh
        self._number = 0
        self._pairs = 0
        self._newest: Session | None = None

    def begin(self) -> None:
        for _ in range(self._loops):
            self._next()

    def _next(self) -> None:
        session = self._newest
        if session is None or self._fresh:
            self._number += 1
            self._newest = session = self._company.new_session(self._number)
            session.index = 0
        session.due_at = time.monotonic() + 0.05
        self._company.join(session)

    def send(self, due: int, elapsed: float) -> None:
        company = self._company
        until = company.sent_count + due
        while company.sent_count < until:
            welcomed = company.take(TICK_SECONDS / 2)
            company.sessions.clear()  # they are in for a moment only
            for session in welcomed:
                self._pairs += 1
                company.leave(session)
                self._next()
            now = time.monotonic()
            for session in list(company.entering.values()):
                if session.due_at <= now:
                    company.forget(session)
                    self._next()
            while len(company.entering) < self._loops:  # the others were refused
                self._next()
            if not welcomed:
                return

    def report(self) -> dict[str, object]:
        return {"entered": self._pairs}


class Refiller:
    """One client that says a whole burst, leaves, and comes back for the next."""

    def __init__(self, company: Company, seconds: float) -> None:
        self._company = company
        self._said = 0
        self._pairs = 0
        self._tails = [message_tail(MessageKind.CHAT, b"flood")] * SAY_MESSAGES
        self._session: Session | None = None

    def begin(self) -> None:
        self._session = self._company.new_session(0)
        self._join(self._session)

    def _join(self, session: Session) -> None:
        session.due_at = time.monotonic() + 0.05
        self._company.join(session)

    def send(self, due: int, elapsed: float) -> None:
        company, session = self._company, self._session
        assert session is not None
        until = company.sent_count + due
        while company.sent_count < until:
            welcomed = company.take(TICK_SECONDS / 2)
            for _ in welcomed:
                for _ in range(BURST_LINES // SAY_MESSAGES):
                    company.say(session, self._tails)
                self._said += BURST_LINES
                self._pairs += 1
                company.leave(session)
                self._join(session)
            if not welcomed:
                if session.due_at <= time.monotonic():
                    self._join(session)
                return

    def report(self) -> dict[str, object]:
        return {"entered": self._pairs, "said": self._said}


# --- who never proved an address -------------------------------------------------------------


class Strangers:
    """Datagrams made before, sent from each address in turn, whatever is answered."""

    def __init__(
        self, company: Company, seconds: float, make: Callable[[random.Random], list[bytes]]
    ) -> None:
        self._company = company
        self._datagrams = cycle(make(random.Random(1)))
        self._sockets = cycle(company.sockets)

    def begin(self) -> None:
        """They do not enter."""

    def send(self, due: int, elapsed: float) -> None:
        for _ in range(due):
            self._company.send(next(self._sockets), next(self._datagrams))

    def report(self) -> dict[str, object]:
        return {}


def _random_id(chance: random.Random) -> int:
    return chance.getrandbits(63) + 1


def garbage(chance: random.Random) -> list[bytes]:
    """Bytes that are no packet, of every length."""
    sizes = range(1, DATAGRAM_BYTES_MAX + 1)
    return [chance.randbytes(chance.choice(sizes)) for _ in range(DISCOVER_KEEP)]


def sealed_garbage(chance: random.Random) -> list[bytes]:
    """The same as the bodies of packets whose header and checksum are right."""
    kinds = [int(kind) for kind in PacketType]
    return [
        seal(chance.choice(kinds), chance.randbytes(chance.choice((40, 200, 1100))))
        for _ in range(DISCOVER_KEEP)
    ]


def joins(cookies: bool, chance: random.Random) -> list[bytes]:
    """JOINs of clients nobody has heard of, without a cookie or with a wrong one."""
    return [
        Join(
            client_id=_random_id(chance),
            timestamp=n + 1,
            cookie=chance.randbytes(16) if cookies else NO_COOKIE,
            epoch=0,
            room_ack=0,
            inbox_epoch=0,
            inbox_ack=0,
            next_message_id=1,
            name=f"stranger{n}",
        ).encode()
        for n in range(4 * DISCOVER_KEEP)
    ]


def forged_says(chance: random.Random) -> list[bytes]:
    """Full SAYs of sessions that are not in, with as many messages as fit."""
    message_bytes = len(Message(1, MessageKind.CHAT, "").encode())
    count = Say.MESSAGES_BYTES_MAX // message_bytes
    messages = tuple(Message(n, MessageKind.CHAT, "") for n in range(1, count + 1))
    return [Say(_random_id(chance), n + 1, messages).encode() for n in range(DISCOVER_KEEP)]


def server_packets(chance: random.Random) -> list[bytes]:
    """What no room expects of a stranger: what servers send, and what nobody has asked for."""
    events = tuple(Event(EventKind.CHAT, 1, "Anna", "", "hello", 1, n) for n in range(1, 26))
    somebody = _random_id(chance)
    welcome = Welcome(
        client_id=somebody,
        echoed_timestamp=1,
        session_id=_random_id(chance),
        epoch=_random_id(chance),
        inbox_epoch=_random_id(chance),
        oldest=1,
        latest=2,
        start=1,
        joined=1,
        inbox_start=1,
        received=0,
        member=1,
        heartbeat_ms=5000,
        ack_delay_ms=5,
        name="Anna",
        room="chat",
    )
    return [
        Events(somebody, 1, 1, 25, 1, events).encode(),
        welcome.encode(),
        Challenge(somebody, chance.randbytes(16)).encode(),
        Refused(somebody, 1, 4, "the room is full").encode(),
        Bye(somebody, 2).encode(),
        Offer(somebody, _random_id(chance), 3, 9091, "chat").encode(),
        Fetch(somebody, _random_id(chance), 1, 25).encode(),
        Told(somebody, 1, _random_id(chance), 1, events).encode(),
    ]


def discovers(chance: random.Random) -> list[bytes]:
    """DISCOVER, as a client that looks for rooms sends it."""
    return [Discover(_random_id(chance), n + 1).encode() for n in range(DISCOVER_KEEP)]


def everything(chance: random.Random) -> list[bytes]:
    """All of these, in turn."""
    made = [
        garbage(chance),
        sealed_garbage(chance),
        joins(False, chance),
        joins(True, chance),
        forged_says(chance),
        server_packets(chance),
        discovers(chance),
    ]
    return [datagrams[n % len(datagrams)] for n in range(DISCOVER_KEEP) for datagrams in made]


# --- the list --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Attack:
    """One attack, and the room that it meets."""

    name: str
    what: str
    """In a few words, for the list."""
    make: Callable[[Company, float], Flood] | None
    """Of its sessions and its seconds; None: nobody attacks, the server is stopped meanwhile."""
    hosts: tuple[str, ...] = ONE_ADDRESS
    rate: int = FRESH_RATE
    """Datagrams a second, of all its addresses together."""
    seconds: float = 8.0
    after_seconds: float = 3.0
    """How long the room is watched afterwards."""
    bystanders: int = 0
    whispers: bool = False
    """Whether an honest member sends another one private messages meanwhile."""
    beacon: bool = False
    """Whether it goes to the port where rooms are looked for."""
    members_max: int = 0
    """Of the room; 0: as the server has it."""

    @property
    def from_many(self) -> bool:
        return len(self.hosts) > 1


def _talk(**what: object) -> Callable[[Company, float], Flood]:
    # `what` has one type for all its values; Talk's fields have one each.
    return partial(Talkers, talk=Talk(**what))  # type: ignore[arg-type]


def _churn(loops: int, fresh: bool) -> Callable[[Company, float], Flood]:
    return partial(Churners, loops=loops, fresh=fresh)


def _unproven(make: Callable[[random.Random], list[bytes]]) -> Callable[[Company, float], Flood]:
    return partial(Strangers, make=make)


_NEIGHBOURS = {"tails": _to_neighbour, "say_messages": 1, "renewals": 1}
_ASKING = {"sessions": 64, "speakers": 30}
_HELD = {"tails": _without_end, "say_messages": 1, "messages_max": 31, "says_before_asking": 31}

_ALL = (
    # Rates.
    Attack("refill", "one client says a burst, leaves and comes back for the next", Refiller),
    Attack("churn-fresh", "JOIN and LEAVE, always new client ids", _churn(32, True), rate=10_000),
    Attack("churn-one", "JOIN and LEAVE, one client id", _churn(1, False), rate=10_000),
    Attack(
        "bursts",
        "30 sessions say 960 lines each, at once",
        _talk(tails=_line, messages_max=BURST_LINES, says_before_asking=15),
    ),
    Attack(
        "chorus",
        "20 sessions say 500 lines a second each",
        _talk(tails=_line, sessions=20, say_messages=5, messages_per_second=500.0),
    ),
    Attack(
        "chorus-64",
        "64 sessions from 64 addresses say 500 lines a second each",
        _talk(tails=_line, sessions=64, say_messages=25, messages_per_second=500.0),
        ADDRESSES,
    ),
    Attack(
        "churn-64", "JOIN and LEAVE from 64 addresses", _churn(64, True), ADDRESSES, rate=10_000
    ),
    # Questions.
    Attack(
        "questions",
        "30 of 64 sessions ask SEEN, STATS and WHO as fast as they can",
        _talk(tails=_question, **_ASKING),
        after_seconds=12.0,
    ),
    Attack(
        "questions-nominal",
        "the same, 500 questions a second each",
        _talk(tails=_question, say_messages=25, messages_per_second=500.0, **_ASKING),
        after_seconds=12.0,
    ),
    Attack(
        "questions-crowd",
        "the same as fast as they can, in a room of 1000",
        _talk(tails=_question, **_ASKING),
        bystanders=920,
        after_seconds=12.0,
    ),
    Attack(
        "questions-64",
        "64 sessions from 64 addresses ask as fast as they can",
        _talk(tails=_question, sessions=64),
        ADDRESSES,
        after_seconds=12.0,
    ),
    # Private messages.
    Attack(
        "private",
        "one member sends an honest one 490 private messages a second",
        _talk(tails=_to_victim(b"flood"), sessions=1, say_messages=1, messages_per_second=490.0),
        whispers=True,
    ),
    Attack(
        "private-long",
        "the same, 900 bytes each",
        _talk(tails=_to_victim(LONG_TEXT), sessions=1, say_messages=1, messages_per_second=490.0),
        whispers=True,
    ),
    Attack(
        "private-64",
        "64 members from 64 addresses send one 490 a second each",
        _talk(tails=_to_victim(b"flood"), sessions=64, say_messages=35, messages_per_second=490.0),
        ADDRESSES,
        whispers=True,
    ),
    # Memory.
    Attack(
        "memory",
        "1000 sessions fill each other's inboxes, leave, and again",
        _talk(sessions=1000, **_NEIGHBOURS),
        rate=8_000,
        seconds=16.0,
    ),
    Attack(
        "memory-64",
        "2000 sessions from 64 addresses do the same",
        _talk(sessions=2000, **_NEIGHBOURS),
        ADDRESSES,
        rate=8_000,
        seconds=16.0,
        members_max=2100,
    ),
    Attack(
        "memory-held",
        "1000 sessions begin long lines and never end them, leave, and again",
        _talk(sessions=1000, renewals=2, **_HELD),
        rate=8_000,
        seconds=12.0,
    ),
    Attack(
        "memory-rosters",
        "1000 sessions with long names ask who is in, and acknowledge nothing",
        _talk(tails=_roster, sessions=1000, say_messages=8, name="я" * 20),
        rate=2_000,
        seconds=10.0,
    ),
    # Nothing proven.
    Attack("garbage", "random bytes", _unproven(garbage), seconds=6.0),
    Attack("sealed-garbage", "random bytes in packets", _unproven(sealed_garbage), seconds=6.0),
    Attack("joins", "JOINs without a cookie", _unproven(partial(joins, False)), seconds=6.0),
    Attack("wrong-cookies", "with a wrong one", _unproven(partial(joins, True)), seconds=6.0),
    Attack("forged-says", "full SAYs of unknown sessions", _unproven(forged_says), seconds=6.0),
    Attack("server-packets", "what servers send", _unproven(server_packets), seconds=6.0),
    Attack("discovers", "DISCOVER to the chat's port", _unproven(discovers), seconds=6.0),
    Attack("beacon", "DISCOVER to its own port", _unproven(discovers), seconds=6.0, beacon=True),
    Attack("unproven-64", "all of these, 64 addresses", _unproven(everything), ADDRESSES),
    # No attack at all.
    Attack("stop", "the server is stopped (SIGSTOP) and goes on", None, seconds=20.0),
)

ATTACKS = {attack.name: attack for attack in _ALL}
"""By name, in the order in which they run."""


# --- the program -----------------------------------------------------------------------------


def flood(attack: Attack, company: Company, orders: Orders, seconds: float, rate: int) -> None:
    """Enters, floods at the rate for so long, and says what it did."""
    assert attack.make is not None
    began_at = time.monotonic()
    flooding = attack.make(company, seconds)
    flooding.begin()
    begun_at = now = time.monotonic()
    base, forgiven = company.sent_count, 0
    while now < begun_at + seconds and not orders.ended:
        elapsed = now - begun_at
        due = int(elapsed * rate) - (company.sent_count - base) - forgiven
        most = max(1, int(rate * CATCH_UP_SECONDS))
        if due > most:
            forgiven += due - most
            due = most
        before = company.sent_count
        if due > 0:
            flooding.send(due, elapsed)
        orders.take(0.0 if company.sent_count > before else TICK_SECONDS)
        now = time.monotonic()
    tell(
        seconds=now - begun_at,
        entering_seconds=begun_at - began_at,
        sent=company.sent_count,
        refused=dict(company.refused),
        **flooding.report(),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """One attacker against a server on this machine."""
    parser = argparse.ArgumentParser(prog="python3 -m tests.attacks.floods", description=__doc__)
    parser.add_argument("name", choices=[name for name, a in ATTACKS.items() if a.make])
    parser.add_argument("port", type=int)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--rate", type=int, required=True)
    arguments = parser.parse_args(argv)
    attack, orders = ATTACKS[arguments.name], Orders()
    with Company((SERVER_HOST, arguments.port), attack.hosts, "evil") as company:
        tell(ready=True)
        if orders.wait():
            flood(attack, company, orders, arguments.seconds, arguments.rate)
    return 0


if __name__ == "__main__":
    sys.exit(main())
