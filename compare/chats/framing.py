"""Messages on a TCP stream: each in a frame, its length before it.

TCP carries a stream of bytes. It keeps their order, but not the borders between two calls of
`send`: three sends may arrive in one `recv`, one send in three, and a cut may fall within a UTF-8
character. So the receiver collects bytes and decodes a message when its frame is complete::

  length:4 (network byte order) | message …
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from struct import Struct

from compare.chats.messages import MalformedMessage, Message, TextTooLong

FRAME_BYTES_MAX = 128 * 1024
"""The longest message. It bounds what a hostile length makes the receiver keep."""

TEXT_BYTES_MAX = FRAME_BYTES_MAX - 512
"""The longest text: the server relays it in one frame together with a name."""

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
        """Takes the bytes that `recv` returned; returns the messages that are complete now.

        Raises `MalformedMessage`. Then the stream is useless: nobody knows where the next frame
        begins. A length above the limit is refused before its bytes come.
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

    A stream that ends within a frame is no special case: a peer that says no goodbye has vanished
    anyway. Raises OSError as `recv` does, and `MalformedMessage`.
    """
    deframer = Deframer()
    while data := sock.recv(65536):
        yield from deframer.feed(data)


def shut_down(sock: socket.socket, how: int) -> None:
    """Ends a connection in one way or both; wakes the threads that wait for it."""
    with contextlib.suppress(OSError):  # it is no longer connected
        sock.shutdown(how)
