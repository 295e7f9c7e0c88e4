"""The doctor's checks: what this computer hears of its own, and whether a server answers.

The probes need no session and leave no trace: every server answers a STATUS or SAY of a session
that it does not know with BYE, which is smaller. Each probe has a random id of its own, so the BYE
tells which probe it answers. A long probe is a SAY, exactly as long as the longest datagram.

The checks ask the way others would, over the network's interfaces. A datagram between a computer's
own addresses passes over its loopback, which firewalls let through. A multicast or broadcast does
not: Linux hands its copy in on the interface over which it left, past the same firewall as a
datagram of another computer.

The checks say what they do not show: if a computer hears its own multicast, its firewall lets that
pass, but the Wi-Fi may still not carry it to others; if long datagrams reach the server, the way
back may still lose them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import select
import socket
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from udp_chat.app.ports import hexadecimal
from udp_chat.discovery.groups import RECEIVE_BYTES, join_group, listening_socket
from udp_chat.discovery.interfaces import LINUX, Interface
from udp_chat.discovery.search import FIND_SECONDS, LINGER_SECONDS, Way, open_ways
from udp_chat.protocol.addresses import Resolved
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    TEXT_BYTES_MAX,
    Bye,
    Discover,
    MalformedDatagram,
    Message,
    MessageKind,
    Say,
    Status,
    decode,
)

PROBE_COUNT = 50
LONG_PROBE_COUNT = 5
"""Where short ones pass, only a link that nobody would use loses all five by chance."""

ROOM_PROBE_COUNT = 5
"""For a room that was found: they show whether its chat port answers, not how well."""

ROOMS_PROBED_MAX = 8
"""Of the rooms that were found."""

LOSS_NOTABLE = 0.05
"""The chat repairs more, but a person should know that the link is bad."""

DROPPED_NOTABLE = 0.5
"""Of the probes: so many datagrams dropped here meanwhile are answers, not a network's chatter."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the doctor asks, and how long it waits."""

    probe_spacing_seconds: float = 0.02
    """With 50 probes a second of them: enough to see a loss of a few per cent, too little to cause
    one."""
    answer_seconds: float = 1.0
    """After the last probe. RTO_MAX_SECONDS would be a pause that a person feels."""
    copy_seconds: float = 0.5
    """For the computer's own copies: they never leave the computer."""
    find_seconds: float = FIND_SECONDS
    linger_seconds: float = LINGER_SECONDS
    """For rooms: see `find_rooms`."""


Outcome: TypeAlias = Literal[
    "answered",
    "short_only",  # long datagrams are lost on the way
    "forbidden",  # this computer does not let us send
    "stranger",  # another program answers
    "refused",  # an ICMP error: the computer is there, nothing listens
    "filtered",  # an ICMP error: a firewall says no
    "no_neighbour",  # nobody on this network has the address
    "no_route",
    "silent",
]
"""What became of the probes; also the key of the sentence that says so."""


# --- probes, and what became of them ---------------------------------------------------------


@dataclass(slots=True)
class Probing:
    """What was sent to a server and what came back."""

    sent_at: dict[int, float] = field(default_factory=dict)
    """By session id: when that short probe went out."""
    rtts_seconds: list[float] = field(default_factory=list)
    long_ids: set[int] = field(default_factory=set)
    long_answered: bool = False
    strange_count: int = 0
    """Datagrams from the server's port that are no BYE to a probe."""
    refused: bool = False
    error: OSError | None = None
    on_linux: bool = LINUX
    """Whose errors these are: Linux means something else by some of them."""

    def next_probe(self, session_id: int, now: float, *, short: bool) -> bytes:
        """A datagram to send now; `session_id` is random, and new with each."""
        if short:
            self.sent_at[session_id] = now
            return short_probe(session_id, int(now * 1_000_000))
        self.long_ids.add(session_id)
        return long_probe(session_id, int(now * 1_000_000))

    @property
    def complete(self) -> bool:
        """Whether every short probe, and one long one, was answered."""
        return self.long_answered and not self.sent_at

    def receive(self, datagram: bytes, now: float) -> None:
        """Takes in what came from the server's port."""
        try:
            packet = decode(datagram)
        except MalformedDatagram:
            self.strange_count += 1
            return
        if not isinstance(packet, Bye):
            self.strange_count += 1
        elif packet.session_id in self.long_ids:
            self.long_answered = True
        elif packet.session_id in self.sent_at:
            self.rtts_seconds.append(now - self.sent_at.pop(packet.session_id))

    @property
    def outcome(self) -> Outcome:
        """What the answers and errors so far amount to."""
        if self.rtts_seconds:
            return "answered" if self.long_answered else "short_only"
        if self.strange_count:
            return "stranger"
        if self.refused:
            return "refused"
        if self.error is None:
            return "silent"
        if self.on_linux and self.error.errno in (errno.EACCES, errno.EHOSTUNREACH):
            # So Linux tells a UDP socket that a firewall refuses, not that nobody has the address.
            return "filtered"
        if isinstance(self.error, PermissionError):
            return "forbidden"
        if self.error.errno in (errno.EHOSTUNREACH, errno.EHOSTDOWN):
            return "no_neighbour"
        return "no_route"


def short_probe(session_id: int, timestamp: int) -> bytes:
    """A STATUS that only a BYE answers."""
    return Status(session_id, timestamp, 0, 0, 0, 0, 0).encode()


def long_probe(session_id: int, timestamp: int) -> bytes:
    """A SAY of exactly DATAGRAM_BYTES_MAX: one message as long as can be, one for the rest."""
    rest = Say.MESSAGES_BYTES_MAX - 2 * Message.LAYOUT.size - TEXT_BYTES_MAX
    texts = ("x" * TEXT_BYTES_MAX, "x" * rest)
    messages = (Message(n, MessageKind.CHAT, text) for n, text in enumerate(texts, 1))
    datagram = Say(session_id, timestamp, tuple(messages)).encode()
    assert len(datagram) == DATAGRAM_BYTES_MAX
    return datagram


def neighbour_answers(table: str, host: str) -> bool | None:
    """Whether a computer of this network has the address, from the text of /proc/net/arp.

    None if the kernel never asked for it: it is on another network, or no IPv4 address. False is
    an ARP request that nobody answered.
    """
    found = None
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 2 and fields[0] == host:
            # 2 is ATF_COM: the hardware address is known. One interface that has it is enough.
            found = bool((hexadecimal(fields[2]) or 0) & 2) or bool(found)
    return found


def undelivered(ipv4_table: str, ipv6_table: str) -> int | None:
    """How many datagrams came in to this computer and were then dropped, by a firewall above all.

    From the text of /proc/net/snmp and snmp6; None if they do not tell. Linux counts a datagram as
    received before its firewall sees it, and as delivered after.
    """
    counts: dict[str, int] = {}
    lines = [line.split() for line in ipv4_table.splitlines() if line.startswith("Ip:")]
    for names, values in zip(lines[::2], lines[1::2], strict=False):
        counts.update((f"Ip{n}", int(v)) for n, v in zip(names, values, strict=False) if _count(v))
    pairs = [line.split() for line in ipv6_table.splitlines()]
    counts.update((pair[0], int(pair[1])) for pair in pairs if len(pair) == 2 and _count(pair[1]))
    if "IpInReceives" not in counts or "IpInDelivers" not in counts:
        return None
    received = sum(counts.get(f"{ip}InReceives", 0) for ip in ("Ip", "Ip6"))
    explained = ("InDelivers", "InHdrErrors", "InAddrErrors", "InDiscards")
    known = sum(counts.get(f"{ip}{name}", 0) for ip in ("Ip", "Ip6") for name in explained)
    return received - known - counts.get("IpForwDatagrams", 0)


def _count(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 20


def others_reach(interfaces: Sequence[Interface]) -> list[Interface]:
    """The interfaces over which others reach this computer; its loopback if it has no other."""
    return [i for i in interfaces if _on_network(i)] or [i for i in interfaces if i.loopback]


def _on_network(interface: Interface) -> bool:
    known = interface.addresses or os.name != "posix"  # Windows does not tell those of IPv6
    return interface.up and interface.running and not interface.loopback and bool(known)


def lan_address(interfaces: Sequence[Interface]) -> str | None:
    """The first address under which others reach this computer; None if it is on no network."""
    addresses = [a for i in interfaces if _on_network(i) for a in i.addresses]
    return next((a for a in addresses if not a.startswith("fe80:")), None)


def is_here(host: str, interfaces: Sequence[Interface]) -> bool:
    """Whether an address, in numbers, is one of this computer's."""
    number = host.partition("%")[0]
    return is_loopback(number) or any(number in i.addresses for i in interfaces)


def is_loopback(host: str) -> bool:
    """Whether an address, in numbers, is this computer's own, whichever computer it is."""
    return host == "::1" or host.startswith("127.")


@dataclass(frozen=True, slots=True)
class Heard:
    """What this computer heard of its own copies."""

    copies: Sequence[OwnCopy]
    """To the discovery port."""
    unheard: OSError | None = None
    """Why it could not listen there."""
    answers: Sequence[OwnCopy] = ()
    """To a port that no rule of a firewall names, as the answers to the search come."""


def nothing_found(interfaces: Sequence[Interface], heard: Heard) -> str:
    """The key of the sentence that says why no room was found."""
    if not any(i.up and i.running and not i.loopback and i.addresses for i in interfaces):
        return "no_network"
    left = [copy for copy in heard.copies if not copy.way.interface.loopback]
    if left and all(isinstance(copy.error, PermissionError) for copy in left):
        return "forbidden_here"
    if heard.unheard is None and not any(copy.returned for copy in left):
        return "firewall_here"
    answers = [copy for copy in heard.answers if not copy.way.interface.loopback]
    if answers and not any(copy.returned for copy in answers):
        return "answers_dropped"
    return "nothing_found"


@dataclass(frozen=True, slots=True)
class Silence:
    """What is known of a server that did not answer."""

    own: bool = False
    """Its address is one of this computer's."""
    neighbour: bool | None = None
    """See `neighbour_answers`."""
    dropped: bool = False
    """This computer's firewall dropped about as many datagrams as there would be answers."""


def likely_cause(outcome: Outcome, silence: Silence) -> str:
    """The key of the sentence that says why a server does not answer."""
    if outcome != "silent":
        return outcome
    if silence.own:
        return "silent_here"
    if silence.dropped:
        return "dropped_here"
    if silence.neighbour is None:
        return outcome
    return "filtered" if silence.neighbour else "no_neighbour"


# --- this computer's own copies --------------------------------------------------------------


@dataclass(slots=True)
class OwnCopy:
    """A DISCOVER over one way, and whether this computer heard its own copy of it."""

    way: Way
    nonce: int
    error: OSError | None = None
    """Why it could not be sent."""
    returned: bool = False


def hear_own_copies(
    interfaces: Sequence[Interface],
    port: int,
    wait_seconds: float,
) -> tuple[list[OwnCopy], OSError | None]:
    """Sends a DISCOVER over every way and listens for it on the discovery port.

    Returns the copies, and the error that kept this computer from listening, if there was one.
    The OFFERs of rooms go to sockets that nobody reads.
    """
    unheard: OSError | None = None
    with contextlib.ExitStack() as stack:
        listeners: list[socket.socket] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                listeners.append(stack.enter_context(listening_socket(family, port)))
            except OSError as error:
                # Without IPv6 there are no IPv6 ways either: only IPv4 matters.
                unheard = error if family == socket.AF_INET else unheard
        for listener in listeners:
            for interface in interfaces:
                with contextlib.suppress(OSError):
                    join_group(listener, interface)
        ways = stack.enter_context(open_ways(interfaces, port))
        # Not the unicast ones: where several sockets listen, the system chooses one of them.
        copies = [OwnCopy(way, secrets.randbits(64)) for way in ways if way.kind != "loopback"]
        for copy in copies:
            try:
                copy.way.send(Discover(copy.nonce, int(time.monotonic() * 1_000_000)).encode())
            except OSError as error:
                copy.error = error
        _listen({copy.nonce: copy for copy in copies}, listeners, wait_seconds)
    return copies, unheard


def _listen(
    copies: Mapping[int, OwnCopy], listeners: Sequence[socket.socket], wait_seconds: float
) -> None:
    """Waits until every DISCOVER that was sent has come back, or the time is over."""
    until = time.monotonic() + wait_seconds
    while listeners and not all(copy.returned or copy.error for copy in copies.values()):
        left = until - time.monotonic()
        if left <= 0:
            return
        for listener in select.select(listeners, [], [], left)[0]:
            with contextlib.suppress(OSError, MalformedDatagram):
                packet = decode(listener.recv(RECEIVE_BYTES))
                if isinstance(packet, Discover) and packet.nonce in copies:
                    copies[packet.nonce].returned = True


def hear_own_answers(interfaces: Sequence[Interface], wait_seconds: float) -> list[OwnCopy]:
    """The same on a port that the system chooses, where the answers to a search come in."""
    try:
        with listening_socket(socket.AF_INET, 0) as chosen:
            port = chosen.getsockname()[1]
            return hear_own_copies(interfaces, port, wait_seconds)[0]
    except OSError:
        return []


def port_is_open(
    interfaces: Sequence[Interface], host: str, port: int, wait_seconds: float
) -> bool | None:
    """Whether this computer's firewall lets others in on a UDP port of the own address `host`.

    A probe goes to the broadcast address of its network and comes back in. The server answers it,
    or, if that hears no broadcast because it is bound to one address, this function hears it
    instead. None if there is no broadcast address, or it cannot be sent.
    """
    broadcasts = [b for i in interfaces for address, b in i.ipv4 if address == host and b]
    if not broadcasts:
        return None
    target, session_id = (broadcasts[0], port), secrets.randbits(63) + 1
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asker,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listener,
    ):
        try:
            asker.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            asker.bind((host, 0))
            with contextlib.suppress(OSError):  # the server has the port, and hears broadcasts
                listener.bind(target)
            asker.sendto(short_probe(session_id, 0), target)
        except OSError:
            return None
        until = time.monotonic() + wait_seconds
        while (left := until - time.monotonic()) > 0:
            for sock in select.select([asker, listener], [], [], left)[0]:
                with contextlib.suppress(OSError, MalformedDatagram):
                    datagram, sender = sock.recvfrom(RECEIVE_BYTES)
                    packet = decode(datagram)
                    mine = isinstance(packet, Bye | Status) and packet.session_id == session_id
                    if mine and sender[0] == host:  # other computers answer, too
                        return True
    return False


# --- probing a server ------------------------------------------------------------------------


def probe(server: Resolved, short_count: int, pace: Pace) -> Probing:
    """Sends short probes, then LONG_PROBE_COUNT long ones, and collects what comes back.

    Raises nothing. The socket is connected: only then does the system report the ICMP error that
    nothing listens; and the socket hears the server alone.
    """
    probing, spacing = Probing(), pace.probe_spacing_seconds
    try:
        with socket.socket(server.family, socket.SOCK_DGRAM) as sock:
            sock.connect(server.address)
            for number in range(short_count + LONG_PROBE_COUNT):
                now = time.monotonic()
                session_id = secrets.randbits(63) + 1
                is_short = number < short_count
                _send(sock, probing.next_probe(session_id, now, short=is_short), probing)
                _receive(sock, probing, now + spacing)
            ends_at = time.monotonic() + pace.answer_seconds
            while (now := time.monotonic()) < ends_at and not probing.complete:
                _receive(sock, probing, min(ends_at, now + spacing))
    except OSError as error:  # no route, or no such family here
        probing.error = error
    return probing


def _send(sock: socket.socket, datagram: bytes, probing: Probing) -> None:
    try:
        sock.send(datagram)
    except ConnectionError:  # it is about an earlier probe
        probing.refused = True
    except OSError as error:
        probing.error = error


def _receive(sock: socket.socket, probing: Probing, until: float) -> None:
    """Takes in what comes until then."""
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            probing.receive(sock.recv(RECEIVE_BYTES), time.monotonic())
        except TimeoutError:
            return
        except ConnectionError:
            probing.refused = True
        except OSError as error:
            probing.error = error
