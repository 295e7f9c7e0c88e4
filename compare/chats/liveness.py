"""When a silent peer counts as dead: after missed heartbeats, ours or the kernel's.

The plain UDP chat sends heartbeats itself. The TCP chat asks the kernel to do it, with the socket
options that `prepare` sets.
"""

from __future__ import annotations

import errno
import math
import socket
from dataclasses import dataclass

SEND_BUFFER_BYTES = 128 * 1024
"""The kernel's buffer for one connection; Linux doubles it for its bookkeeping. Without a limit
the kernel lets it grow to 4 MB: a thousand stalled clients would hold 4 GB, and the server would
notice a stalled one only after some ten thousand messages."""

KEEPALIVE_PROBES_MAX = 127
"""The largest TCP_KEEPCNT of Linux. (The commands cannot exceed its 32767 s for TCP_KEEPIDLE and
TCP_KEEPINTVL.)"""


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When an idle peer is asked for a sign of life, and when silence means its end."""

    heartbeat_seconds: float = 5.0
    timeout_seconds: float = 15.0


@dataclass(frozen=True, slots=True)
class Keepalive(Heartbeat):
    """The same for TCP, where the kernel does it, in whole seconds.

    A peer that vanished without FIN or RST (cable, battery, crashed machine) leaves a connection
    that is open on one side only. TCP itself never notices while nobody sends. So the kernel
    probes a connection that was idle for `heartbeat_seconds`, repeats that as often, and gives
    the peer up after `timeout_seconds` without an answer. It sends a bounded number of probes: in
    a very long timeout they are further apart.

    While sent data waits for its acknowledgement, the kernel does not probe. It retransmits, for
    about 15 minutes (`net.ipv4.tcp_retries2`). So in a room where others talk, keepalive alone
    finds no dead peer. `TCP_USER_TIMEOUT` (Linux; RFC 5482) bounds that too; where it is set, it
    also replaces the number of probes. It has a price: it gives up a peer that acknowledges but
    reads nothing for so long, and on a very lossy link a living peer (at 20 % each way, after
    some seven failed attempts in a row).
    """

    user_timeout_seconds: float | None = None
    """None: the same as `timeout_seconds`; 0: off, keepalive alone."""

    @property
    def idle_seconds(self) -> int:
        """TCP_KEEPIDLE."""
        return max(1, round(self.heartbeat_seconds))

    @property
    def interval_seconds(self) -> int:
        """TCP_KEEPINTVL."""
        needed = math.ceil((self.timeout_seconds - self.idle_seconds) / KEEPALIVE_PROBES_MAX)
        return max(self.idle_seconds, needed)

    @property
    def probe_count(self) -> int:
        """TCP_KEEPCNT."""
        probing_seconds = self.timeout_seconds - self.idle_seconds
        return max(1, round(probing_seconds / self.interval_seconds))


def prepare(sock: socket.socket, keepalive: Keepalive) -> None:
    """Sets the options of a connection, each where the platform has it."""
    # Nagle's algorithm would hold a message back until the one before it is acknowledged.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    user_timeout_seconds = keepalive.user_timeout_seconds
    if user_timeout_seconds is None:
        user_timeout_seconds = keepalive.timeout_seconds
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"  # macOS
    options = {
        idle: keepalive.idle_seconds,
        "TCP_KEEPINTVL": keepalive.interval_seconds,
        "TCP_KEEPCNT": keepalive.probe_count,
        "TCP_USER_TIMEOUT": round(user_timeout_seconds * 1000),
    }
    for name, value in options.items():
        if hasattr(socket, name):
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def why_lost(error: OSError) -> str:
    """The reason code of a connection that failed: "timeout" if the peer showed no sign of life."""
    dead = (errno.ETIMEDOUT, errno.EHOSTUNREACH, errno.ENETUNREACH)
    return "timeout" if error.errno in dead else "connection_lost"
