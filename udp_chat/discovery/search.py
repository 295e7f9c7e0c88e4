"""A client's part in discovery: it asks for rooms, over every way out of its computer.

One DISCOVER goes by multicast and broadcast, IPv4 and IPv6, over each network interface and the
loopback. `find_rooms` collects the OFFERs; one room heard over several ways is one room.

A missing or broken network makes it raise nothing. It does not promise that a room is the one it
says it is: nothing is signed, and anyone on the LAN can answer.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import socket
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from udp_chat.discovery.groups import (
    DISCOVERY_PORT,
    DRAIN_MAX,
    GROUP_IPV4,
    GROUP_IPV6,
    RECEIVE_BYTES,
    ipv4_choice,
)
from udp_chat.discovery.interfaces import LINUX, Interface, list_interfaces, usable
from udp_chat.protocol.packets import (
    OFFER_HOSTS,
    Address,
    Discover,
    MalformedDatagram,
    Offer,
    decode,
)

FIND_SECONDS = 1.5
"""A LAN answers in milliseconds; the rest is for lost datagrams and for a Wi-Fi that sleeps."""

LINGER_SECONDS = 0.4
"""After the first room others may follow: a person would rather choose than wait."""

ROUNDS = (0.0, 0.2, 0.5)
"""When DISCOVER goes out, in parts of the whole time. Wi-Fi sends multicast and broadcast without
acknowledgement, so one in ten may be lost; three in a row seldom are. The second one goes before
LINGER_SECONDS end: it still finds a room whose first OFFER was lost."""

ROOMS_MAX = 64
"""Rooms that are collected: nobody reads more, and a hostile LAN could offer any number."""

ADDRESSES_MAX = 8
"""IPv4 addresses of one interface from which a client asks."""


@dataclass(frozen=True, slots=True)
class FoundRoom:
    """A room that somebody offers. Its name comes from the network: pass it through `printable`."""

    address: tuple[str, int]
    """Host and chat port, as a client joins it; a link-local host has its scope: fe80::1%eth0."""
    name: str
    member_count: int
    epoch: int
    """Of the room's log: it tells apart two rooms of one name or of one computer."""
    room_id: int = 0
    """The same for a room's whole life, whoever hosts it."""
    host: str = ""
    """The name of the member that hosts it, from the network; empty for a server of its own."""


class Offers:
    """Rooms from the OFFERs to one question, each once.

    A room heard from several addresses keeps the first, but IPv4 goes before IPv6: a link-local
    IPv6 address is hard to read aloud, and names an interface of this computer only.
    """

    def __init__(self, nonce: int) -> None:
        self._nonce = nonce
        self._rooms: dict[int, FoundRoom] = {}

    @property
    def rooms(self) -> list[FoundRoom]:
        """In the order in which they first answered."""
        return list(self._rooms.values())

    def receive(self, datagram: bytes, host: str) -> None:
        """Takes in a datagram from a host; only an OFFER to this question changes anything."""
        try:
            packet = decode(datagram)
        except MalformedDatagram:
            return
        if not isinstance(packet, Offer) or packet.nonce != self._nonce or not packet.port:
            return
        if not packet.flags & OFFER_HOSTS:
            return
        known = self._rooms.get(packet.epoch)
        if known is None:
            better = len(self._rooms) < ROOMS_MAX
        else:
            better = ":" in known.address[0] and ":" not in host
        if better:
            address = host, packet.port
            self._rooms[packet.epoch] = FoundRoom(
                address,
                packet.room,
                packet.member_count,
                packet.epoch,
                packet.room_id,
                packet.host,
            )


# --- asking ----------------------------------------------------------------------------------

Target: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """One way for a DISCOVER to leave this computer."""

    kind: str
    """multicast, multicast6, broadcast (of a subnet), broadcast_all or loopback."""
    interface: Interface
    sock: socket.socket
    """May serve several ways."""
    target: Target

    def send(self, datagram: bytes) -> None:
        """Raises OSError: no route, a firewall, an interface that has gone."""
        if self.kind == "multicast6":
            # The scope in the target says the same, but some systems need this option.
            index = self.interface.index
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        self.sock.sendto(datagram, self.target)


@contextlib.contextmanager
def open_ways(interfaces: Sequence[Interface], port: int = DISCOVERY_PORT) -> Iterator[list[Way]]:
    """Every way out over these interfaces; the context closes their sockets. Raises nothing.

    Each own address has an IPv4 socket: so the question comes from an address that the answer can
    reach, and Linux and Windows send 255.255.255.255 over that address's interface, not over the
    default route's. IPv6 has one socket: there the target names the interface.
    """
    ways: list[Way] = []
    used = usable(interfaces)
    with contextlib.ExitStack() as stack:
        for interface in used:
            for address, broadcast in interface.ipv4[:ADDRESSES_MAX]:
                with contextlib.suppress(OSError):
                    sock = stack.enter_context(_ipv4_asking_socket(address, interface.index))
                    ways += _ipv4_ways(interface, sock, broadcast, port)
        with contextlib.suppress(OSError):
            sock = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
            sock.bind(("::", 0))
            ways += _ipv6_ways(used, sock, port)
        yield ways


def _ipv4_asking_socket(address: str, index: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)  # this LAN, no further
        choice = ipv4_choice(bytes(4), address, index) if LINUX else socket.inet_aton(address)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, choice)
        sock.bind((address, 0))
    except BaseException:  # Ctrl-C too: no socket stays open
        sock.close()
        raise
    return sock


def _ipv4_ways(
    interface: Interface, sock: socket.socket, broadcast: str | None, port: int
) -> Iterator[Way]:
    yield Way("multicast", interface, sock, (GROUP_IPV4, port))
    if interface.loopback:
        # A unicast reaches one of several servers; a broadcast, if there is one, reaches all.
        yield Way("loopback", interface, sock, ("127.0.0.1", port))
        if LINUX:
            yield Way("broadcast", interface, sock, ("127.255.255.255", port))
        return
    if broadcast is not None:
        yield Way("broadcast", interface, sock, (broadcast, port))
    yield Way("broadcast_all", interface, sock, ("255.255.255.255", port))


def _ipv6_ways(interfaces: Sequence[Interface], sock: socket.socket, port: int) -> Iterator[Way]:
    for interface in interfaces:
        if interface.loopback:
            yield Way("loopback", interface, sock, ("::1", port))
        elif interface.index and (interface.ipv6 or not interface.ipv4):
            # An interface without any address is one whose addresses are unknown: try it.
            yield Way("multicast6", interface, sock, (GROUP_IPV6, port, 0, interface.index))


def find_rooms(
    timeout_seconds: float = FIND_SECONDS,
    linger_seconds: float = LINGER_SECONDS,
    port: int = DISCOVERY_PORT,
    interfaces: Sequence[Interface] | None = None,
    kinds: Collection[str] | None = None,
) -> list[FoundRoom]:
    """The rooms that answer on this LAN and this computer, in the order in which they did.

    Blocks for `timeout_seconds`, or until `linger_seconds` after the first room. A missing network
    makes it raise nothing: then it finds no rooms. It asks over these `interfaces`, by default
    all, and over `Way`s of these `kinds`, by default all.
    """
    started_at = time.monotonic()
    ends_at = started_at + timeout_seconds
    rounds_at = [started_at + part * timeout_seconds for part in ROUNDS]
    nonce = secrets.randbits(64)
    offers = Offers(nonce)
    if interfaces is None:
        interfaces = list_interfaces()
    with open_ways(interfaces, port) as all_ways, selectors.DefaultSelector() as selector:
        ways = [way for way in all_ways if kinds is None or way.kind in kinds]
        for sock in {way.sock for way in ways}:
            selector.register(sock, selectors.EVENT_READ)
        now = started_at
        while ways and now < ends_at:
            if rounds_at and now >= rounds_at[0]:
                del rounds_at[0]
                _ask(ways, Discover(nonce, int(now * 1_000_000)).encode())
            wake_at = min([ends_at, *rounds_at[:1]])
            for key, _ in selector.select(max(0.0, wake_at - time.monotonic())):
                assert isinstance(key.fileobj, socket.socket)
                _collect(key.fileobj, offers)
            now = time.monotonic()
            if offers.rooms:
                ends_at = min(ends_at, now + linger_seconds)  # counts from the first room
    return offers.rooms


def ask_everywhere(
    datagram: bytes,
    seconds: float,
    on_answer: Callable[[bytes, Address], None],
    port: int = DISCOVERY_PORT,
) -> None:
    """Sends a DISCOVER over every way once, and hands over what comes back for so long. Raises
    nothing."""
    ends_at = time.monotonic() + seconds
    with open_ways(list_interfaces(), port) as ways, selectors.DefaultSelector() as selector:
        for sock in {way.sock for way in ways}:
            selector.register(sock, selectors.EVENT_READ)
        _ask(ways, datagram)
        while ways and (left := ends_at - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                assert isinstance(key.fileobj, socket.socket)
                for datagram_back, address in _received(key.fileobj):
                    on_answer(datagram_back, (scoped_host(address), *address[1:]))


def _ask(ways: Sequence[Way], datagram: bytes) -> None:
    for way in ways:
        # No route, a firewall, an interface without a cable: other ways may work.
        with contextlib.suppress(OSError):
            way.send(datagram)


def _collect(sock: socket.socket, offers: Offers) -> None:
    for datagram, address in _received(sock):
        offers.receive(datagram, scoped_host(address))


def _received(sock: socket.socket) -> Iterator[tuple[bytes, Address]]:
    for _ in range(DRAIN_MAX):
        try:
            yield sock.recvfrom(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # ICMP: nobody is there, over this one way (Windows)
            continue


def scoped_host(address: Address) -> str:
    """The host of an address as a person types it, with the scope that it needs."""
    host, scope = str(address[0]), address[3] if len(address) > 3 else 0
    if not scope or "%" in host:
        return host
    if os.name != "nt":  # Windows knows scopes by number only
        with contextlib.suppress(OSError):
            return f"{host}%{socket.if_indextoname(scope)}"
    return f"{host}%{scope}"
