"""Messages on a TCP stream: frames, and the socket options that a conversation needs.

TCP carries a stream of bytes: it keeps their order and knows nothing of who called `send` how
often. Three sends may arrive in one `recv`, one send in three, and a cut may fall within a UTF-8
character. So each message goes in a frame, its length before it, and is decoded only when all of
it is there::

  length:4 (network byte order) | message …
"""

from __future__ import annotations

import errno
import math
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct

from compare.chats.messages import MalformedMessage, Message, TextTooLong

FRAME_BYTES_MAX = 128 * 1024
"""What one message may take: bounds what a hostile length makes the receiver keep."""

TEXT_BYTES_MAX = FRAME_BYTES_MAX - 512
"""What a line may take: relayed it still has to fit a frame, with its speaker's name."""

SEND_BUFFER_BYTES = 128 * 1024
"""Of the kernel, per connection; Linux doubles it for its bookkeeping. Left to itself the kernel
grows it to 4 MB, so that a thousand stalled clients would hold 4 GB, and nobody would notice a
stalled one before some ten thousand lines."""

KEEPALIVE_PROBES_MAX = 127
"""What Linux takes as TCP_KEEPCNT. (Its 32767 s for TCP_KEEPIDLE and TCP_KEEPINTVL are out of the
commands' reach.)"""

_LENGTH = Struct("!I")


def frame(message: Message) -> bytes:
    """The bytes that carry a message on a stream; raises `TextTooLong`."""
    payload = message.encode()
    if len(payload) > FRAME_BYTES_MAX:
        raise TextTooLong(f"a message has at most {FRAME_BYTES_MAX} bytes, not {len(payload)}")
    return _LENGTH.pack(len(payload)) + payload


class Deframer:
    """Makes messages of a stream, however it is cut. Not thread-safe."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """Takes in what `recv` returned, hands out what is complete with it.

        Raises `MalformedMessage`: after that the stream is good for nothing, for nobody knows
        where the next frame begins. A length above the limit is refused before its bytes come.
        """
        self._buffer += data
        messages = []
        start = 0
        while len(self._buffer) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._buffer, start)
            if length > FRAME_BYTES_MAX:
                raise MalformedMessage("frame too long")
            end = start + _LENGTH.size + length
            if end > len(self._buffer):
                break
            messages.append(Message.decode(bytes(self._buffer[start + _LENGTH.size : end])))
            start = end
        del self._buffer[:start]
        return messages


def messages_from(sock: socket.socket) -> Iterator[Message]:
    """The messages that a socket receives until its stream ends; blocks.

    A stream may end within a frame: whoever said no goodbye has not left but vanished, so that
    makes no difference. Raises OSError as `recv` does, and `MalformedMessage`.
    """
    deframer = Deframer()
    while data := sock.recv(65536):
        yield from deframer.feed(data)


@dataclass(frozen=True, slots=True)
class Keepalive:
    """When a connection counts as dead. Seconds, which the kernel's keepalive takes as whole ones.

    A peer that vanished without FIN or RST (cable, battery, crashed machine) leaves a connection
    that is open on one side only. TCP itself never notices while nobody sends. So the kernel is
    told to probe an idle connection after `idle_seconds`, each `interval_seconds`, and to give
    it up after `timeout_seconds` without an answer. It sends a bounded number of probes: where
    more would fit into the timeout, they are further apart.

    While sent data waits for its acknowledgement, the kernel does not probe, it retransmits, for
    about 15 minutes (`net.ipv4.tcp_retries2`). So in a room where others talk, keepalive alone
    finds nobody. `TCP_USER_TIMEOUT` (Linux; RFC 5482) bounds that too; where it is set, it also
    stands in for the number of probes. It gives up a peer that acknowledges but takes nothing
    for so long as well, and on a link that loses very much a living one: at 20 % each way some
    seven attempts in a row must fail.
    """

    idle_seconds: float = 5.0
    interval_seconds: float = 5.0
    timeout_seconds: float = 15.0
    user_timeout_seconds: float | None = None
    """None: the same as `timeout_seconds`; 0: off, keepalive alone."""

    @property
    def kernel_idle_seconds(self) -> int:
        return max(1, round(self.idle_seconds))

    @property
    def kernel_interval_seconds(self) -> int:
        needed = math.ceil(self._probing_seconds / KEEPALIVE_PROBES_MAX)
        return max(1, round(self.interval_seconds), needed)

    @property
    def probe_count(self) -> int:
        return max(1, round(self._probing_seconds / self.kernel_interval_seconds))

    @property
    def _probing_seconds(self) -> float:
        return self.timeout_seconds - self.kernel_idle_seconds


def prepare(sock: socket.socket, keepalive: Keepalive) -> None:
    """Sets the options of a connection, each where the platform has it."""
    # Nagle's algorithm would hold a line back until the one before it is acknowledged.
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    user_timeout_seconds = keepalive.user_timeout_seconds
    if user_timeout_seconds is None:
        user_timeout_seconds = keepalive.timeout_seconds
    idle = "TCP_KEEPIDLE" if hasattr(socket, "TCP_KEEPIDLE") else "TCP_KEEPALIVE"  # macOS
    options = {
        idle: keepalive.kernel_idle_seconds,
        "TCP_KEEPINTVL": keepalive.kernel_interval_seconds,
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
