"""Where clients ask for rooms: the discovery port, its groups, and sockets that hear them."""

from __future__ import annotations

import socket
from struct import Struct

from udp_chat.discovery.interfaces import LINUX, Interface

DISCOVERY_PORT = 9092
"""Not the chat's own port: that has one owner, but all servers of a computer share this one."""

GROUP_IPV4 = "239.255.90.91"
"""In 239.255.0.0/16, the IPv4 Local Scope (RFC 2365 §6.1): free for use within one site."""

GROUP_IPV6 = "ff12::5c:9091"
"""Link-local scope (2), and the T flag (1): not assigned by IANA (RFC 4291 §2.7)."""

DRAIN_MAX = 32
"""Datagrams read at one wake-up: a flood of DISCOVERs must not delay the chat."""

RECEIVE_BYTES = 2048

_MREQN = Struct("=4s4si")  # struct ip_mreqn of Linux: group, own address, interface index
_MREQ = Struct("=4s4s")  # struct ip_mreq of everyone: group, own address of the interface
_MREQ6 = Struct("=16sI")  # struct ipv6_mreq (RFC 3493 §5.2): group, interface index


def listening_socket(family: int, port: int) -> socket.socket:
    """A non-blocking socket on the discovery port, which it shares with other servers.

    Bound to all addresses, because a socket bound to one address hears no broadcast. Raises
    OSError if the port cannot be used.

    Linux: SO_REUSEADDR alone. With it, all sockets of the port get each multicast and broadcast,
    even those of other users (measured), and the newest gets a unicast datagram. SO_REUSEPORT
    would spread unicast over them, which does not help here; set alone, it refuses the port to a
    second user's server. macOS and the BSDs share a port only with SO_REUSEPORT, and deliver a
    multicast to all sockets that set it. Windows has SO_REUSEADDR.
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
    """Joins a listening socket to the group of its family on an interface; raises OSError."""
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
    sock.setsockopt(socket.IPPROTO_IP, option, ipv4_choice(group, address, interface.index))


def ipv4_choice(group: bytes, address: str, index: int) -> bytes:
    """What names an interface to an IPv4 socket: on Linux the index, elsewhere the address.

    Two interfaces may have the same address, so an index is better. But only Linux takes the
    struct with an index for every option, and Windows would misread it without an error.
    """
    own = socket.inet_aton(address)
    return _MREQN.pack(group, own, index) if LINUX else _MREQ.pack(group, own)
