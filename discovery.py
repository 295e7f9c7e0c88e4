"""Finding rooms on the LAN with nothing configured: who asks, who answers, and over which ways.

A client sends one DISCOVER over every way out of its machine: multicast and broadcast, IPv4 and
IPv6, each network interface, and the loopback. A server's `Beacon` listens for them on a port of
its own, shared by all servers of a machine, and answers each with an OFFER to the asker's unicast
address. `find_rooms` collects the OFFERs; one room heard over several ways is one room.

The pure pieces (`answer`, `Offers`) come first, then what the standard library can tell about
interfaces, then the two shells. Neither shell has a thread: the server's loop drives the Beacon.

It promises: an OFFER is never larger than the DISCOVER it answers, nor are there more than
ANSWERS_PER_SECOND; a network that is missing or broken never stops a server from starting, nor
raises in a client. It does not promise that a room is who it says it is: nothing is signed, and
anyone on the LAN can answer.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, TypeAlias

from delivery import TokenBucket
from protocol import Address, Discover, MalformedDatagram, Offer, decode

DISCOVERY_PORT = 9092
"""Beside the chat's own port: that one has one owner, this one all servers of a machine share."""

GROUP_IPV4 = "239.255.90.91"
"""In 239.255.0.0/16, the IPv4 Local Scope (RFC 2365 §6.1): free for use within one site."""

GROUP_IPV6 = "ff12::5c:9091"
"""Link-local scope (2), and the T flag (1): not assigned by IANA (RFC 4291 §2.7)."""

FIND_SECONDS = 1.5
"""A LAN answers in milliseconds; the rest is for what is lost, and for a Wi-Fi that sleeps."""

LINGER_SECONDS = 0.4
"""After the first room others may follow: a person would rather choose than wait."""

ROUNDS = (0.0, 0.2, 0.5)
"""When DISCOVER goes out, in parts of the time there is. Wi-Fi sends multicast and broadcast
without acknowledgement, so one in ten may be lost; three in a row seldom are. The second comes
before LINGER_SECONDS end, so that a room whose first OFFER was lost is still among the found."""

ROOMS_MAX = 64
"""Rooms that are collected: more nobody reads, and a hostile LAN could offer any number."""

INTERFACES_MAX = 32
"""Interfaces that are used: a machine full of containers may have hundreds of virtual ones."""

ADDRESSES_MAX = 8
"""IPv4 addresses of one interface that are asked from."""

RESCAN_SECONDS = 10.0
"""How soon a server notices that the Wi-Fi has been joined or the cable plugged in."""

ANSWERS_PER_SECOND = 500.0
ANSWER_BURST = 500
"""A class of forty that starts its clients at once asks a thousand times in two seconds; and
500 OFFERs of at most 95 bytes are 48 kB a second, which no victim of a forged address feels."""

DRAIN_MAX = 32
"""Datagrams taken in at one wake-up: a flood of DISCOVERs must not hold up the chat."""

RECEIVE_BYTES = 2048

LINUX = sys.platform in ("linux", "android")
_MREQN = Struct("=4s4si")  # struct ip_mreqn of Linux: group, own address, interface index
_MREQ = Struct("=4s4s")  # struct ip_mreq of everyone: group, own address of the interface
_MREQ6 = Struct("=16sI")  # struct ipv6_mreq (RFC 3493 §5.2): group, interface index


# --- the pure part ---------------------------------------------------------------------------


def answer(datagram: bytes, offer: Callable[[int], Offer]) -> bytes | None:
    """The OFFER for a DISCOVER, never larger than it; None for anything else.

    `offer` makes the packet for a nonce. Raises nothing, whatever the bytes are.
    """
    try:
        packet = decode(datagram)
    except MalformedDatagram:
        return None
    if not isinstance(packet, Discover):
        return None
    reply = offer(packet.nonce).encode()
    return reply if len(reply) <= len(datagram) else None


@dataclass(frozen=True, slots=True)
class Room:
    """A room that somebody offers. The name comes from the network: not yet fit to print."""

    address: tuple[str, int]
    """Host and chat port, as a client joins it; a link-local host has its scope: fe80::1%eth0."""
    name: str
    member_count: int
    epoch: int
    """Of the room's log: what tells two rooms of one name, or of one machine, apart."""


class Offers:
    """Rooms from the OFFERs to one question, each once.

    A room heard from several addresses keeps the first, but IPv4 goes before IPv6: a link-local
    IPv6 address is hard to read to somebody, and names an interface of this machine only.
    """

    def __init__(self, nonce: int) -> None:
        self._nonce = nonce
        self._rooms: dict[int, Room] = {}

    @property
    def rooms(self) -> list[Room]:
        """In the order in which they were first heard."""
        return list(self._rooms.values())

    def receive(self, datagram: bytes, host: str) -> None:
        """Takes in what came from a host; what is no OFFER to this question changes nothing."""
        try:
            packet = decode(datagram)
        except MalformedDatagram:
            return
        if not isinstance(packet, Offer) or packet.nonce != self._nonce or not packet.port:
            return
        known = self._rooms.get(packet.epoch)
        if known is None:
            better = len(self._rooms) < ROOMS_MAX
        else:
            better = ":" in known.address[0] and ":" not in host
        if better:
            address = host, packet.port
            self._rooms[packet.epoch] = Room(
                address, packet.room, packet.member_count, packet.epoch
            )


# --- interfaces: what the standard library can tell ------------------------------------------


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of this machine, as far as it is known."""

    name: str
    index: int
    """0 where only an address is known (Windows, IPv4)."""
    loopback: bool = False
    up: bool = True
    """Switched on."""
    running: bool = True
    """The cable is in, the Wi-Fi is joined."""
    ipv4: tuple[tuple[str, str | None], ...] = ()
    """Each address with the broadcast address of its subnet, None if it has none or none known."""
    ipv6: tuple[str, ...] = ()
    """Without scope. Empty also where they cannot be learned (Windows)."""


def list_interfaces() -> list[Interface]:
    """The interfaces of this machine, the loopback among them. Never raises.

    Linux, macOS and the BSDs: names, flags, addresses and broadcast addresses by the C library's
    `getifaddrs` through ctypes; the ioctls (SIOCGIFCONF and others) differ on each of them and
    leave out IPv6. Windows, or a Python without ctypes: the names and indices that
    `socket.if_nameindex` has, which is what IPv6 needs, and the machine's own IPv4 addresses,
    which is what IPv4 needs; the subnets and so their broadcast addresses stay unknown.
    """
    if os.name == "posix":
        # ImportError: built without ctypes. AttributeError: a C library without the function.
        with contextlib.suppress(ImportError, AttributeError, OSError):
            return _interfaces_by_getifaddrs()
    return _interfaces_by_name()


def _interfaces_by_getifaddrs() -> list[Interface]:
    import ctypes  # here, so that a Python without it can still chat

    class Ifaddrs(ctypes.Structure):
        """struct ifaddrs: its first fields are the same on Linux, macOS and the BSDs."""

    Ifaddrs._fields_ = [
        ("next", ctypes.POINTER(Ifaddrs)),
        ("name", ctypes.c_char_p),
        ("flags", ctypes.c_uint),
        ("address", ctypes.c_void_p),
        ("netmask", ctypes.c_void_p),
        ("broadcast", ctypes.c_void_p),
    ]

    def parse(pointer: int | None) -> tuple[int, str]:
        """(family, address) of a struct sockaddr; no more of it is read than its family has."""
        if not pointer:
            return socket.AF_UNSPEC, ""
        head = ctypes.string_at(pointer, 2)
        # The BSDs begin with a byte of length, so their family is the second byte.
        family = int.from_bytes(head, sys.byteorder) if LINUX else head[1]
        if family == socket.AF_INET:
            return family, socket.inet_ntop(family, ctypes.string_at(pointer, 8)[4:])
        if family == socket.AF_INET6:
            return family, socket.inet_ntop(family, ctypes.string_at(pointer, 24)[8:])
        return family, ""

    library = ctypes.CDLL(None, use_errno=True)
    library.getifaddrs.argtypes = [ctypes.POINTER(ctypes.POINTER(Ifaddrs))]
    library.freeifaddrs.argtypes = [ctypes.POINTER(Ifaddrs)]
    library.freeifaddrs.restype = None
    first = ctypes.POINTER(Ifaddrs)()
    if library.getifaddrs(ctypes.byref(first)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    flags: dict[str, int] = {}
    ipv4: dict[str, list[tuple[str, str | None]]] = {}
    ipv6: dict[str, list[str]] = {}
    try:
        entry = first
        while entry:
            name = os.fsdecode(entry.contents.name)
            flags[name] = entry.contents.flags
            family, address = parse(entry.contents.address)
            if family == socket.AF_INET:
                broadcast = None
                if entry.contents.flags & _IFF_BROADCAST:  # else it is the other end of a tunnel
                    broadcast = parse(entry.contents.broadcast)[1] or None
                ipv4.setdefault(name, []).append((address, broadcast))
            elif family == socket.AF_INET6:
                ipv6.setdefault(name, []).append(address)
            entry = entry.contents.next
    finally:
        library.freeifaddrs(first)
    return [
        Interface(
            name,
            _index(name),
            loopback=bool(flag & _IFF_LOOPBACK),
            up=bool(flag & _IFF_UP),
            running=bool(flag & _IFF_RUNNING),
            ipv4=tuple(ipv4.get(name, ())),
            ipv6=tuple(ipv6.get(name, ())),
        )
        for name, flag in flags.items()
    ]


# <net/if.h>; the same numbers on Linux, macOS and the BSDs.
_IFF_UP = 0x1
_IFF_BROADCAST = 0x2
_IFF_LOOPBACK = 0x8
_IFF_RUNNING = 0x40


def _usable(interfaces: Sequence[Interface]) -> list[Interface]:
    """Those that are switched on, as many as are used: those with an IPv4 address first."""
    up = [interface for interface in interfaces if interface.up]
    return sorted(up, key=lambda interface: not interface.ipv4)[:INTERFACES_MAX]


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:  # it has just gone, or is another name of one
        return 0


def _interfaces_by_name() -> list[Interface]:
    loopback_name = "lo" if LINUX else "lo0" if os.name == "posix" else "loopback"
    found = [Interface("127.0.0.1", 0, loopback=True, ipv4=(("127.0.0.1", None),))]
    found += [Interface(address, 0, ipv4=((address, None),)) for address in _own_ipv4()]
    with contextlib.suppress(OSError):
        found += [
            Interface(name, index, loopback=name.startswith(loopback_name))
            for index, name in socket.if_nameindex()
        ]
    return found


def _own_ipv4() -> list[str]:
    """IPv4 addresses of this machine, without the loopback, as far as they are easily learned."""
    addresses: dict[str, None] = {}
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # Connecting a UDP socket sends nothing; it chooses the interface, and so the address.
        sock.connect((GROUP_IPV4, DISCOVERY_PORT))
        addresses[sock.getsockname()[0]] = None
    if os.name == "nt":  # Windows answers for its own name itself; elsewhere DNS would be asked
        with contextlib.suppress(OSError, UnicodeError):
            own = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
            addresses.update((str(address[0]), None) for _, _, _, _, address in own)
    return [address for address in addresses if not address.startswith(("127.", "0."))]


# --- listening -------------------------------------------------------------------------------


def listening_socket(family: int, port: int) -> socket.socket:
    """A non-blocking socket on the discovery port, shared with others that want it too.

    Bound to all addresses, because one bound to a single address hears no broadcast. Raises
    OSError if the port cannot be had.

    Linux: SO_REUSEADDR alone. With it each multicast and broadcast goes to all sockets of the
    port, whoever owns them (measured), and a unicast datagram to the newest. SO_REUSEPORT would
    spread unicast over them, which is of no use here, and where it is the only option set, it
    refuses the port to a second user's server. macOS and the BSDs share a port only with
    SO_REUSEPORT, and there that is what delivers a multicast to all. Windows has SO_REUSEADDR.
    """
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if hasattr(socket, "SO_REUSEPORT") and not LINUX:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(("::" if family == socket.AF_INET6 else "", port))
    except BaseException:  # Ctrl-C too: no socket stays open
        sock.close()
        raise
    return sock


def join_group(sock: socket.socket, interface: Interface) -> None:
    """Lets a listening socket hear the group of its family on an interface; raises OSError."""
    _membership(sock, interface, join=True)


def leave_group(sock: socket.socket, interface: Interface) -> None:
    """The inverse of `join_group`; raises OSError."""
    _membership(sock, interface, join=False)


def _membership(sock: socket.socket, interface: Interface, join: bool) -> None:
    if sock.family == socket.AF_INET6:
        group = socket.inet_pton(socket.AF_INET6, GROUP_IPV6)
        option = socket.IPV6_JOIN_GROUP if join else socket.IPV6_LEAVE_GROUP
        sock.setsockopt(socket.IPPROTO_IPV6, option, _MREQ6.pack(group, interface.index))
        return
    option = socket.IP_ADD_MEMBERSHIP if join else socket.IP_DROP_MEMBERSHIP
    group = socket.inet_aton(GROUP_IPV4)
    address = interface.ipv4[0][0] if interface.ipv4 else "0.0.0.0"
    sock.setsockopt(socket.IPPROTO_IP, option, _ipv4_choice(group, address, interface.index))


def _ipv4_choice(group: bytes, address: str, index: int) -> bytes:
    """How an IPv4 socket is told an interface: on Linux by index, elsewhere by its address.

    Two interfaces may have one address, so an index is better; but only Linux takes the struct
    that has one for every option, and Windows would misread it without complaint.
    """
    own = socket.inet_aton(address)
    return _MREQN.pack(group, own, index) if LINUX else _MREQ.pack(group, own)


class Beacon:
    """A server's part: answers each DISCOVER on the discovery port with an OFFER.

    Driven by the server's one thread: register `sockets()` for reading, call `handle` with each
    that is ready and `rescan` at `rescan_at`; all of them return at once. The constructor and
    every method raise nothing for what the network does: what does not work is missing, and
    `problems` says so.
    """

    def __init__(
        self,
        chat: socket.socket,
        now: float,
        port: int = DISCOVERY_PORT,
        interfaces: Callable[[], Sequence[Interface]] = list_interfaces,
    ) -> None:
        """`chat` is the room's bound socket. Only its address is looked at: a room on one address
        is offered from that address and on its interface, a room on all addresses everywhere."""
        self.problems: list[str] = []
        """What does not work, a clause each: a sentence may begin with "some may not find it:"."""
        self.rescan_at = now
        """When `rescan` next has something to do, on the clock of `now`."""
        self._interfaces = interfaces
        self._bucket = TokenBucket(ANSWERS_PER_SECOND, ANSWER_BURST, now)
        host, families = _reach(chat)
        self._host = host
        self._is_local = host is not None and _is_loopback(host)
        self._listeners: list[socket.socket] = []
        self._senders: dict[socket.socket, socket.socket] = {}
        self._joined: dict[tuple[socket.socket, str], Interface] = {}
        for family in families:
            self._open(family, port, chat)
        self.rescan(now)

    def sockets(self) -> list[socket.socket]:
        """Those to wait for; the same ones from the beginning to the end, perhaps none."""
        return list(self._listeners)

    def handle(self, sock: socket.socket, offer: Callable[[int], Offer], now: float) -> None:
        """Answers what has arrived at one of `sockets()`. `offer` makes the OFFER for a nonce."""
        for _ in range(DRAIN_MAX):
            try:
                datagram, asker = sock.recvfrom(RECEIVE_BYTES)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:  # an ICMP error about some asker, or a datagram beyond the buffer
                continue
            if self._is_local and not _is_loopback(asker[0]):
                continue  # from another machine, about a room that only this one can join
            reply = answer(datagram, offer)
            if reply is not None and self._bucket.take(1, now):
                # It cannot become a broadcast, whatever address was forged: SO_BROADCAST is off.
                with contextlib.suppress(OSError):
                    self._senders[sock].sendto(reply, asker)

    def rescan(self, now: float) -> None:
        """Joins the groups on interfaces that have appeared; does nothing before `rescan_at`."""
        if now < self.rescan_at:
            return
        self.rescan_at = now + RESCAN_SECONDS
        wanted = {
            (listener, _identity(listener, interface)): interface
            for interface in self._own_interfaces()
            for listener in self._listeners
            if (interface.index if listener.family == socket.AF_INET6 else interface.ipv4)
        }
        for key in self._joined.keys() - wanted.keys():
            # Also for one that is gone: the kernel counts it against a small limit.
            with contextlib.suppress(OSError):
                leave_group(key[0], self._joined[key])
            del self._joined[key]
        for key in wanted.keys() - self._joined.keys():
            interface = wanted[key]
            try:
                join_group(key[0], interface)
            except OSError as error:
                # Where its addresses are not known, it may well have none of this family.
                if interface.ipv6 if key[0].family == socket.AF_INET6 else interface.ipv4:
                    family = _family_name(key[0].family)
                    self._note(f"no {family} multicast on {interface.name} ({_why(error)})")
            else:
                self._joined[key] = interface

    def close(self) -> None:
        """Frees the port. May be called again."""
        for sock in (*self._listeners, *self._senders.values()):
            sock.close()

    def _open(self, family: int, port: int, chat: socket.socket) -> None:
        try:
            listener = listening_socket(family, port)
        except OSError as error:
            self._note(f"no {_family_name(family)} discovery on port {port} ({_why(error)})")
            return
        sender = listener
        if self._host is not None:
            # The OFFER's source is the address to join: it has to be the one the room is on.
            address = chat.getsockname()
            try:
                sender = socket.socket(family, socket.SOCK_DGRAM)
                sender.setblocking(False)
                sender.bind((address[0], 0, *address[2:]))
            except OSError as error:
                self._note(f"no answers from {self._host} ({_why(error)})")
                sender.close()
                listener.close()
                return
        self._listeners.append(listener)
        self._senders[listener] = sender

    def _own_interfaces(self) -> list[Interface]:
        usable = _usable(self._interfaces())
        if self._host is None:
            return usable
        # If none is known to have the address, it is on one of which little is known.
        return [interface for interface in usable if _has(interface, self._host)] or usable

    def _note(self, problem: str) -> None:
        if problem not in self.problems and len(self.problems) < INTERFACES_MAX:
            self.problems.append(problem)


def _reach(chat: socket.socket) -> tuple[str | None, list[int]]:
    """(the one address a socket is bound to, None for all; the families it speaks)."""
    host = chat.getsockname()[0]
    if chat.family != socket.AF_INET6:
        return (None if host == "0.0.0.0" else host), [socket.AF_INET]
    if host != "::":
        return host, [socket.AF_INET6]
    if chat.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY):
        return None, [socket.AF_INET6]
    return None, [socket.AF_INET, socket.AF_INET6]


def _identity(listener: socket.socket, interface: Interface) -> str:
    """What makes an interface another one to join on: see `_ipv4_choice`."""
    if listener.family == socket.AF_INET and not LINUX:
        return interface.ipv4[0][0]
    return f"{interface.index} {interface.name}"


def _is_loopback(host: str) -> bool:
    return host == "::1" or host.startswith("127.")


def _has(interface: Interface, host: str) -> bool:
    return host in interface.ipv6 or any(host == address for address, _ in interface.ipv4)


def _family_name(family: int) -> str:
    return "IPv6" if family == socket.AF_INET6 else "IPv4"


def _why(error: OSError) -> str:
    return error.strerror or str(error)


# --- asking ----------------------------------------------------------------------------------

Target: TypeAlias = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Way:
    """One way for a DISCOVER to leave this machine."""

    kind: str
    """multicast, multicast6, broadcast (of a subnet), broadcast_all or loopback."""
    interface: Interface
    sock: socket.socket
    """May serve several ways."""
    target: Target

    def send(self, datagram: bytes) -> None:
        """Raises OSError: no route, a firewall, an interface that has gone."""
        if self.kind == "multicast6":
            # The scope in the target says the same; some systems want it said this way.
            index = self.interface.index
            self.sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        self.sock.sendto(datagram, self.target)


@contextlib.contextmanager
def open_ways(interfaces: Sequence[Interface], port: int = DISCOVERY_PORT) -> Iterator[list[Way]]:
    """Every way out over these interfaces; their sockets are closed at the end. Raises nothing.

    An IPv4 socket each own address: then the question comes from the address that the answer can
    reach, and Linux and Windows send 255.255.255.255 over that address's interface rather than
    the default route's. One IPv6 socket for all: there the target names the interface.
    """
    ways: list[Way] = []
    usable = _usable(interfaces)
    with contextlib.ExitStack() as stack:
        for interface in usable:
            for address, broadcast in interface.ipv4[:ADDRESSES_MAX]:
                with contextlib.suppress(OSError):
                    sock = stack.enter_context(_ipv4_asking_socket(address, interface.index))
                    ways += _ipv4_ways(interface, sock, broadcast, port)
        with contextlib.suppress(OSError):
            sock = stack.enter_context(socket.socket(socket.AF_INET6, socket.SOCK_DGRAM))
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 1)
            sock.bind(("::", 0))
            ways += _ipv6_ways(usable, sock, port)
        yield ways


def _ipv4_asking_socket(address: str, index: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_TTL, 1)  # this LAN, no further
        choice = _ipv4_choice(bytes(4), address, index) if LINUX else socket.inet_aton(address)
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
        # A unicast reaches one of several servers; a broadcast, where there is one here, all.
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
            # One without any address is of those of which little is known: it is tried.
            yield Way("multicast6", interface, sock, (GROUP_IPV6, port, 0, interface.index))


def find_rooms(
    timeout_seconds: float = FIND_SECONDS,
    linger_seconds: float = LINGER_SECONDS,
    port: int = DISCOVERY_PORT,
    interfaces: Sequence[Interface] | None = None,
) -> list[Room]:
    """The rooms that answer on this LAN and this machine, in the order in which they did.

    Returns after `timeout_seconds`, or `linger_seconds` after the first room. Blocks meanwhile.
    Raises nothing for a network that is missing: then there are no rooms. `interfaces` are those
    to ask over, all of them if not given.
    """
    started_at = time.monotonic()
    ends_at = started_at + timeout_seconds
    rounds_at = [started_at + part * timeout_seconds for part in ROUNDS]
    nonce = secrets.randbits(64)
    offers = Offers(nonce)
    if interfaces is None:
        interfaces = list_interfaces()
    with open_ways(interfaces, port) as ways, selectors.DefaultSelector() as selector:
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


def _ask(ways: Sequence[Way], datagram: bytes) -> None:
    for way in ways:
        # No route, a firewall, an interface without a cable: the others may be better.
        with contextlib.suppress(OSError):
            way.send(datagram)


def _collect(sock: socket.socket, offers: Offers) -> None:
    for _ in range(DRAIN_MAX):
        try:
            datagram, address = sock.recvfrom(RECEIVE_BYTES)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:  # ICMP: nobody is there, over this one way (Windows)
            continue
        offers.receive(datagram, scoped_host(address))


def scoped_host(address: Address) -> str:
    """The host of an address as a person would give it, with the scope that it needs."""
    host, scope = str(address[0]), address[3] if len(address) > 3 else 0
    if not scope or "%" in host:
        return host
    if os.name != "nt":  # Windows knows scopes by number only
        with contextlib.suppress(OSError):
            return f"{host}%{socket.if_indextoname(scope)}"
    return f"{host}%{scope}"
