"""The server's socket: bound, with its receive buffer, and the fastest way to use it."""

from __future__ import annotations

import contextlib
import socket
import sys
from struct import Struct

from udp_chat.protocol.addresses import resolve
from udp_chat.server.datagrams import RECEIVE_MAX, Datagrams, PlainDatagrams

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Asked of the kernel, which may grant less: the acknowledgements of a large room come at once."""

STATUS_TRUESIZE_BYTES = 1024
"""What a STATUS takes of that buffer on Linux, with the kernel's bookkeeping (measured: 832)."""

# From linux/sock_diag.h; the last of the nine is the datagrams dropped.
_SO_MEMINFO = 55
_SK_MEMINFO = Struct("=9I")


def bind(host: str, port: int) -> socket.socket:
    """A bound, non-blocking UDP socket; for all interfaces one that speaks IPv4 and IPv6."""
    if host:
        found = resolve(host, port, flags=socket.AI_PASSIVE)
        sock, address = socket.socket(found.family, socket.SOCK_DGRAM), found.address
    elif socket.has_dualstack_ipv6():
        sock, address = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), ("::", port)
    else:
        sock, address = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), ("0.0.0.0", port)
    try:
        if not host and sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setblocking(False)
        sock.bind(address)
    except BaseException:  # Ctrl-C too: no socket stays open
        sock.close()
        raise
    return sock


def ask_for_buffer(sock: socket.socket, members_max: int) -> str:
    """Asks for a receive buffer; says so if a full room may overflow what is granted."""
    granted_bytes = receive_buffer(sock, RECEIVE_BUFFER_BYTES)
    # All members acknowledge the same line at about the same time.
    members = granted_bytes // STATUS_TRUESIZE_BYTES
    if granted_bytes >= RECEIVE_BUFFER_BYTES or members >= members_max:
        return ""
    return (
        f"the kernel grants a receive buffer of {granted_bytes // 1024} KiB, enough for some"
        f" {members} members who answer at once; for more, on Linux, as root:"
        f" sysctl -w net.core.rmem_max={RECEIVE_BUFFER_BYTES}"
    )


def receive_buffer(sock: socket.socket, wanted_bytes: int) -> int:
    """Asks for a receive buffer; returns what the kernel granted.

    Linux counts its own bookkeeping too and grants (and tells) twice the bytes, up to twice
    net.core.rmem_max.
    """
    with contextlib.suppress(OSError):  # macOS refuses what is too much, instead of granting less
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, wanted_bytes)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def dropped_count(sock: socket.socket) -> int | None:
    """Datagrams that the kernel dropped because this socket's receive buffer was full, modulo
    2^32; None where the system does not tell (Linux does)."""
    if sys.platform != "linux":
        return None
    try:
        memory = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _SK_MEMINFO.size)
    except OSError:
        return None
    if len(memory) != _SK_MEMINFO.size:
        return None  # an older kernel, without the ninth
    dropped: int = _SK_MEMINFO.unpack(memory)[-1]
    return dropped


def open_datagrams(sock: socket.socket, receive_max: int = RECEIVE_MAX) -> Datagrams:
    """The fastest way to use a non-blocking UDP socket that this platform has."""
    if sys.platform == "linux":
        # A Python without ctypes, a C library without these calls, a sandbox that forbids them.
        with contextlib.suppress(ImportError, AttributeError, OSError):
            from udp_chat.server.batch_datagrams import BatchDatagrams

            return BatchDatagrams(sock, receive_max)
    return PlainDatagrams(sock, receive_max)
