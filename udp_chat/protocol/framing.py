"""What all packets have in common: the header, and the shape of most bodies.

packets.py has the packets. Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import zlib
from struct import Struct
from typing import TYPE_CHECKING, ClassVar

from udp_chat.protocol.wire import MAGIC, VERSION, PacketType, Parser, bounded

if TYPE_CHECKING:
    from typing_extensions import Self  # in typing from Python 3.11 on

# --- the header ------------------------------------------------------------------------------
#
#  0      2         3      4         8
#  +------+---------+------+---------+----------
#  | "UC" | version | type | CRC-32  | body …
#  +------+---------+------+---------+----------
#
# The CRC covers the first four bytes and the body. UDP's own checksum has 16 bits, may be
# absent over IPv4, and misses errors that end a chat's promise: a flipped bit in a sequence
# number. It is no protection against forgery; the 64-bit random ids are.

HEADER = Struct("!2sBBI")
HEAD = Struct("!2sBB")
HEADER_BYTES = HEADER.size

_HEADS = {packet_type: HEAD.pack(MAGIC, VERSION, packet_type) for packet_type in PacketType}


def seal(packet_type: PacketType, body: bytes) -> bytes:
    """The datagram of a body."""
    head = _HEADS[packet_type]
    return head + zlib.crc32(body, zlib.crc32(head)).to_bytes(4, "big") + body


# Whatever the version, a client's packets begin as follows, so that a server of another
# version can still refuse a JOIN to its sender.
#
#  8                    16                     24
#  +--------------------+----------------------+----------
#  | client/session id  | timestamp (µs)       | …
#  +--------------------+----------------------+----------
#
# The timestamp is the client's monotonic clock: it grows with each datagram, so a server
# tells a late or replayed datagram from a new one; echoed, it measures the round trip.

PREFIX = Struct("!QQ")


def sender_and_timestamp(datagram: bytes) -> tuple[int, int] | None:
    """(id, timestamp) of a client's datagram of any version, None if it is too short."""
    if len(datagram) < HEADER_BYTES + PREFIX.size:
        return None
    sender, timestamp = PREFIX.unpack_from(datagram, HEADER_BYTES)
    return sender, timestamp


class Plain:
    """A packet of fixed fields, then texts; each text's length is a byte after the fields.

    The dataclass lists its fields in the order of the wire, so the layout is all there is to say.
    """

    __slots__: ClassVar[tuple[str, ...]] = ()
    TYPE: ClassVar[PacketType]
    LAYOUT: ClassVar[Struct]
    TEXT_BYTES: ClassVar[tuple[int, ...]] = ()
    """The most UTF-8 bytes of each text."""

    def encode(self) -> bytes:
        fields = [getattr(self, name) for name in self.__slots__]
        fixed_count = len(fields) - len(self.TEXT_BYTES)
        texts = [
            bounded(text.encode(), bytes_max)
            for text, bytes_max in zip(fields[fixed_count:], self.TEXT_BYTES, strict=True)
        ]
        head = self.LAYOUT.pack(*fields[:fixed_count], *map(len, texts))
        return seal(self.TYPE, head + b"".join(texts))

    @classmethod
    def parse(cls, parser: Parser) -> Self:
        fields = parser.fields(cls.LAYOUT)
        if not cls.TEXT_BYTES:
            return cls(*fields)
        fixed_count = len(fields) - len(cls.TEXT_BYTES)
        lengths = zip(fields[fixed_count:], cls.TEXT_BYTES, strict=True)
        values = (*fields[:fixed_count], *(parser.text(*length) for length in lengths))
        return cls(**dict(zip(cls.__slots__, values, strict=True)))
