"""A server's part in discovery: it answers each DISCOVER with an OFFER.

`Beacon` listens on the discovery port, which all servers of a machine share, and answers to the
asker's unicast address. It has no thread: the server's loop drives it.

It promises: an OFFER is never larger than the DISCOVER that it answers; it sends at most
ANSWERS_PER_SECOND of them; a missing or broken network never stops a server from starting.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Sequence

from udp_chat.discovery.groups import (
    DISCOVERY_PORT,
    DRAIN_MAX,
    RECEIVE_BYTES,
    join_group,
    leave_group,
    listening_socket,
)
from udp_chat.discovery.interfaces import INTERFACES_MAX, LINUX, Interface, list_interfaces, usable
from udp_chat.protocol.delivery import TokenBucket
from udp_chat.protocol.packets import Discover, MalformedDatagram, Offer, decode

RESCAN_SECONDS = 10.0
"""How soon a server notices a new network: a joined Wi-Fi, a plugged-in cable."""

ANSWERS_PER_SECOND = 500.0
ANSWER_BURST = 500
"""A class of forty that starts its clients at once asks a thousand times in two seconds; and
500 OFFERs of at most 177 bytes are 89 kB a second, which no victim of a forged address feels."""


def answer(datagram: bytes, offer: Callable[[int], Offer | None]) -> bytes | None:
    """The OFFER for a DISCOVER, never larger than it; None for anything else.

    `offer` makes the packet for a nonce, if there is a room. No bytes make it raise.
    """
    try:
        packet = decode(datagram)
    except MalformedDatagram:
        return None
    if not isinstance(packet, Discover):
        return None
    offered = offer(packet.nonce)
    if offered is None:
        return None
    reply = offered.encode()
    return reply if len(reply) <= len(datagram) else None


class Beacon:
    """A server's part: answers each DISCOVER on the discovery port with an OFFER.

    The server's one thread drives it: it registers `sockets()` for reading, calls `handle` with
    each that is ready, and `rescan` at `rescan_at`. All of them return at once. No state of the
    network makes them raise: what does not work is left out, and `problems` says so.
    """

    def __init__(
        self,
        chat: socket.socket,
        now: float,
        port: int = DISCOVERY_PORT,
        interfaces: Callable[[], Sequence[Interface]] = list_interfaces,
        *,
        rescan_seconds: float = RESCAN_SECONDS,
    ) -> None:
        """`chat` is the room's bound socket. The beacon reads its address only: it offers a room on
        one address from that address and on its interface, a room on all addresses everywhere.
        `interfaces` lists those of this computer; it is called every `rescan_seconds`."""
        self.problems: list[str] = []
        """What does not work, a clause each, to follow "some may not find this room:"."""
        self.rescan_at = now
        """When `rescan` next has something to do, on the clock of `now`."""
        self._interfaces = interfaces
        self._rescan_seconds = rescan_seconds
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
        """The sockets to wait for; always the same ones, perhaps none."""
        return list(self._listeners)

    def handle(self, sock: socket.socket, offer: Callable[[int], Offer | None], now: float) -> None:
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
                # No forged address makes it a broadcast: SO_BROADCAST is off.
                with contextlib.suppress(OSError):
                    self._senders[sock].sendto(reply, asker)

    def rescan(self, now: float) -> None:
        """Joins the groups on interfaces that have appeared; does nothing before `rescan_at`."""
        if now < self.rescan_at:
            return
        self.rescan_at = now + self._rescan_seconds
        wanted = {
            (listener, _identity(listener, interface)): interface
            for interface in self._own_interfaces()
            for listener in self._listeners
            if (interface.index if listener.family == socket.AF_INET6 else interface.ipv4)
        }
        for key in self._joined.keys() - wanted.keys():
            # Even on an interface that is gone: the kernel counts it against a small limit.
            with contextlib.suppress(OSError):
                leave_group(key[0], self._joined[key])
            del self._joined[key]
        for key in wanted.keys() - self._joined.keys():
            interface = wanted[key]
            try:
                join_group(key[0], interface)
            except OSError as error:
                # An interface whose addresses are unknown may have none of this family.
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
            # The OFFER's source is the address to join: it must be the address of the room.
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
        interfaces = usable(self._interfaces())
        if self._host is None:
            return interfaces
        # If none is known to have the address, an interface of unknown addresses has it.
        return [
            interface for interface in interfaces if self._host in interface.addresses
        ] or interfaces

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
    """What tells interfaces apart when a group is joined: see `ipv4_choice`."""
    if listener.family == socket.AF_INET and not LINUX:
        return interface.ipv4[0][0]
    return f"{interface.index} {interface.name}"


def _is_loopback(host: str) -> bool:
    return host == "::1" or host.startswith("127.")


def _family_name(family: int) -> str:
    return "IPv6" if family == socket.AF_INET6 else "IPv4"


def _why(error: OSError) -> str:
    return error.strerror or str(error)
