"""What breaks the steps over UDP: a bad link, a forger, a new address, a full queue."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass

from compare.steps.bad_link import BadLink
from compare.steps.breakage import Breakage, Outcome
from compare.steps.programs import Chat, Program

SAID = 100
"""Messages. So many at once fit into a socket's buffer."""

ARRIVE_SECONDS = 3.0
"""What has not arrived by then is not on its way: the timers repeat ten times a second."""

WATCH_SECONDS = 3.0
"""How long a member that is cut off is watched: one second more than the timeout of u5."""

QUEUE_BYTES_PER_SECOND = 20_000.0
LONG_BYTES = 200
"""Of a message on the slow link: a hundred of them keep it busy for a second and more."""

FORGED = {"u5": "SAY 1 Eve", "u6": f"SAY {'0' * 16} 1 Eve"}
"""How one joins, by step."""


@dataclass(frozen=True, slots=True)
class Conversation:
    """Anna and Boris on a link, which has been good until now."""

    link: BadLink
    chat: Chat
    anna: Program
    boris: Program

    def anna_says(self, count: int = SAID, length: int = 0) -> list[int]:
        """Lets her say numbers; returns those that Boris was shown, in their order."""
        before = len(self.boris.texts("Anna: "))
        self.anna.say(*(f"{number} ".ljust(length, ".") for number in range(count)))
        self.boris.wait_for("Anna: ", before + count, ARRIVE_SECONDS)
        return [int(text.split()[1]) for text in self.boris.texts("Anna: ")[before:]]


@contextlib.contextmanager
def _conversation(step: str) -> Iterator[Conversation]:
    with Chat(step) as chat, BadLink(chat.port) as link:
        boris, anna = chat.client("Boris", link.port), chat.client("Anna", link.port)
        boris.need("* Anna joined")
        yield Conversation(link, chat, anna, boris)


def _good_then_lossy(step: str) -> Outcome:
    """A good link, then one that loses every tenth datagram each way."""
    with _conversation(step) as talk:
        good = len(talk.anna_says())
        talk.link.quality.loss = 0.1
        lossy = len(talk.anna_says())
    return Outcome(
        good == lossy == SAID,
        f"{good} of {SAID} messages arrived on a good link, {lossy} of {SAID} on this one",
    )


def _duplicating(step: str) -> Outcome:
    with _conversation(step) as talk:
        talk.link.quality.duplicate = 0.2
        talk.anna_says()
        # Duplicates may follow the last one. What is said after them is shown behind them.
        talk.anna.say("end")
        talk.boris.need("Anna: end")
        shown = [int(t.split()[1]) for t in talk.boris.texts("Anna: ") if t != "Anna: end"]
    twice = len(shown) - len(set(shown))
    return Outcome(
        sorted(shown) == list(range(SAID)), f"{SAID} said, {len(shown)} shown, {twice} too often"
    )


def _lossy(step: str) -> Outcome:
    with _conversation(step) as talk:
        talk.link.quality.loss = 0.2
        arrived = len(set(talk.anna_says()))
    return Outcome(arrived == SAID, f"{arrived} of {SAID} messages arrived")


def _delaying(step: str) -> Outcome:
    with _conversation(step) as talk:
        talk.link.quality.late = 0.2
        shown = talk.anna_says()
    overtaken = sum(number < max(shown[:at]) for at, number in enumerate(shown) if at)
    return Outcome(
        shown == list(range(SAID)),
        f"{len(shown)} of {SAID} messages shown, {overtaken} of them after a later one",
    )


def _cut(step: str) -> Outcome:
    """Clara's link is cut, and the others talk."""
    with Chat(step) as chat, BadLink(chat.port) as link:
        boris, anna = chat.client("Boris"), chat.client("Anna")
        chat.client("Clara", link.port)
        boris.need("* Clara joined")
        link.quality.is_cut = True
        cut_at, before = time.monotonic(), link.carried["down"]
        anna.say(*map(str, range(10)))
        noticed = boris.wait_for("* Clara left", 1, WATCH_SECONDS)
        after = time.monotonic() - cut_at
        sent = link.carried["down"] - before
    learned = f"the others learned after {after:.1f} s" if noticed else "nobody learned of it"
    return Outcome(noticed, f"{learned}; {sent} datagrams were sent to her in {after:.1f} s")


def _forged(step: str) -> Outcome:
    """Somebody joins in the name of an address that has asked for nothing.

    The datagram leaves from the victim's own socket here: to forge its address would take root.
    The server receives the same in both cases.
    """
    forged = FORGED[step].encode()
    with Chat(step) as chat, socket.socket(type=socket.SOCK_DGRAM) as victim:
        boris, anna = chat.client("Boris"), chat.client("Anna")
        boris.need("* Anna joined")
        victim.sendto(forged, ("127.0.0.1", chat.port))
        anna.say(*map(str, range(SAID)))
        boris.wait_for("Anna: ", SAID, ARRIVE_SECONDS)
        received = _received(victim)
        entered = bool(boris.texts("* Eve joined"))
    says = f"{len(forged)} forged bytes brought the victim {received} bytes"
    return Outcome(not entered and received <= len(forged), says)


def _received(sock: socket.socket) -> int:
    """The bytes that wait in a socket."""
    sock.setblocking(False)
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            count += len(sock.recv(2048))
    return count


def _moving(step: str) -> Outcome:
    with _conversation(step) as talk:
        talk.link.change_address()
        arrived = len(set(talk.anna_says(20)))
    return Outcome(arrived == 20, f"{arrived} of 20 messages arrived from the new address")


def _full(step: str) -> Outcome:
    with Chat(step) as chat, BadLink(chat.port) as link:
        boris, anna = chat.client("Boris"), chat.client("Anna", link.port)
        boris.need("* Anna joined")
        link.quality.bytes_per_second = QUEUE_BYTES_PER_SECOND
        before, began_at = link.carried["up"], time.monotonic()
        shown = Conversation(link, chat, anna, boris).anna_says(length=LONG_BYTES)
        took, sent = time.monotonic() - began_at, link.carried["up"] - before
    return Outcome(
        len(shown) == SAID and sent <= 2 * SAID,
        f"{len(shown)} of {SAID} messages arrived in {took:.1f} s, for {sent} datagrams",
    )


BREAKAGES = [
    Breakage("u1", None, "The link loses 10 % each way", _good_then_lossy),
    Breakage("u2", "u1", "The link duplicates 20 % each way", _duplicating),
    Breakage("u3", "u2", "The link loses 20 % each way", _lossy),
    Breakage("u4", "u3", "The link delays 20 % each way, so that others overtake them", _delaying),
    Breakage("u5", "u4", "A member's link is cut", _cut),
    Breakage("u6", "u5", "A forger joins in the name of another address", _forged),
    Breakage("u7", "u6", "A member's address changes", _moving),
    Breakage("u8", "u7", "The link is slow, and its queue is full", _full),
]
