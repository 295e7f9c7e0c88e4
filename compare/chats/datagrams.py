"""How the plain UDP chat's threads wait for datagrams, and what ends the wait."""

from __future__ import annotations

import contextlib
import socket

DATAGRAM_BYTES_MAX = 65535
"""More than UDP can carry (65507 over IPv4), so that `recvfrom` cuts nothing off."""


def wake(sock: socket.socket) -> None:
    """Ends a wait in `recvfrom` in the one way that works everywhere: with a datagram."""
    with contextlib.suppress(OSError):  # it is closed already
        host, port = sock.getsockname()[:2]
        if host in ("0.0.0.0", "::"):
            host = "::1" if sock.family == socket.AF_INET6 else "127.0.0.1"
        sock.sendto(b"", (host, port))
