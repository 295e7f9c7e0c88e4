"""Recorded datagrams: the lines of ``--trace``, and capture files (pcap).

A line of a trace has the time, the direction, the size, the decoded packet, and at its end the
datagram itself in hexadecimal: that is what `read_trace` decodes again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from struct import Struct, error

from udp_chat.protocol.addresses import format_address
from udp_chat.protocol.packets import MAGIC, MalformedDatagram, decode


class UnreadableFile(Exception):
    """A file holds no datagrams. `key` and `values` are the sentence that says why."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key, values)
        self.key = key
        self.values = values


@dataclass(frozen=True, slots=True)
class Captured:
    """A datagram, and what is known of its way."""

    where: str
    """When it went, and from where to where; empty if nothing is known."""
    datagram: bytes


def describe(datagram: bytes) -> str:
    """What a datagram says; for a malformed one, what is wrong with it, in parentheses."""
    try:
        return repr(decode(datagram))
    except MalformedDatagram as error:
        return f"({error.reason})"


# --- the lines of --trace --------------------------------------------------------------------


def tracer(write_line: Callable[[str], None]) -> Callable[[str, bytes], None]:
    """Give `UdpClient` this as `on_datagram`: it writes each datagram as one line."""
    began_at = time.monotonic()

    def trace(way: str, datagram: bytes) -> None:
        seconds = time.monotonic() - began_at
        size = len(datagram)
        write_line(f"{seconds:10.6f} {way} {size:4} B  {describe(datagram)}  {datagram.hex()}")

    return trace


def read_trace(lines: Iterable[str]) -> Iterator[Captured]:
    """The datagrams of a trace; raises `UnreadableFile` at any other line."""
    for number, line in enumerate(lines, 1):
        head, _, tail = line.rstrip("\r\n").rpartition("  ")
        words = head.split(maxsplit=4)
        try:
            at, way, size, unit = words[:4]
            datagram = bytes.fromhex(tail)
            is_trace = way in ("<", ">") and unit == "B" and int(size) == len(datagram)
            seconds = float(at)
        except ValueError:
            is_trace = False
        if not is_trace:
            raise UnreadableFile("no_trace_line", number=number)
        yield Captured(f"{seconds:10.6f} {way}", datagram)


# --- capture files ---------------------------------------------------------------------------
#
# A capture file begins with a header; each packet has a header of its own, then its bytes
# (draft-ietf-opsawg-pcap). The magic number tells the byte order and the unit of the times.

_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 1e-6),
    b"\xa1\xb2\xc3\xd4": (">", 1e-6),
    b"\x4d\x3c\xb2\xa1": ("<", 1e-9),
    b"\xa1\xb2\x3c\x4d": (">", 1e-9),
}
_PCAPNG_MAGIC = b"\x0a\x0d\x0d\x0a"
_FILE_BYTES = 24

_LINK_BYTES = {0: 4, 1: 14, 12: 0, 14: 0, 101: 0, 108: 4, 113: 16, 228: 0, 229: 0, 276: 20}
"""By link type, the bytes before the IP header: loopback, Ethernet, raw IP, Linux "any"."""
_ETHERNET = 1
_VLAN_TAGS = (b"\x81\x00", b"\x88\xa8")

_IPV4 = Struct("!BBHHHBBH4s4s")  # RFC 791 §3.1
_IPV6 = Struct("!IHBB16s16s")  # RFC 8200 §3
_UDP = Struct("!HHHH")  # RFC 768
_PROTOCOL_UDP = 17
_FRAGMENT = 0x3FFF
"""Set if more fragments follow, or if this is not the first."""


def is_pcap(data: bytes) -> bool:
    """Whether a file is a capture, of the old format or the newer one."""
    return data[:4] in _MAGICS or data[:4] == _PCAPNG_MAGIC


def read_pcap(data: bytes) -> Iterator[Captured]:
    """The chat's datagrams in a capture file: UDP that begins as this protocol does.

    The file must be one of `is_pcap`. Raises `UnreadableFile` for pcapng, for an unknown link
    type, and for a file that ends too early; what came before that is yielded first.
    """
    if data[:4] == _PCAPNG_MAGIC:
        raise UnreadableFile("is_pcapng")
    order, unit = _MAGICS[data[:4]]
    record = Struct(f"{order}IIII")
    try:
        (link_type,) = Struct(f"{order}I").unpack_from(data, 20)
        link_bytes = _LINK_BYTES.get(link_type & 0xFFFF)
        if link_bytes is None:
            raise UnreadableFile("unknown_link_type", number=link_type & 0xFFFF)
        position, began_at = _FILE_BYTES, None
        while position < len(data):
            seconds, fraction, kept_bytes, _ = record.unpack_from(data, position)
            position += record.size
            packet = data[position : position + kept_bytes]
            if len(packet) < kept_bytes:
                raise UnreadableFile("cut_in_packet")
            position += kept_bytes
            at = seconds + fraction * unit
            began_at = at if began_at is None else began_at
            found = _udp_payload(packet[link_bytes + _vlan_bytes(packet, link_type) :])
            if found is not None and found[1].startswith(MAGIC):
                yield Captured(f"{at - began_at:10.6f} {found[0]}", found[1])
    except error:
        raise UnreadableFile("cut_in_header") from None


def _vlan_bytes(packet: bytes, link_type: int) -> int:
    """The bytes of VLAN tags (IEEE 802.1Q) between an Ethernet header and the IP header."""
    size = 0
    if link_type & 0xFFFF == _ETHERNET:
        while packet[12 + size : 14 + size] in _VLAN_TAGS:
            size += 4
    return size


def _udp_payload(packet: bytes) -> tuple[str, bytes] | None:
    """(from where to where, payload) of an IP packet that carries a whole UDP datagram."""
    try:
        if packet[:1] and packet[0] >> 4 == 4:
            head = _IPV4.unpack_from(packet)
            protocol, source, target = head[6], head[8], head[9]
            if head[4] & _FRAGMENT:
                return None
            start = 4 * (packet[0] & 15)
        else:
            _, _, protocol, _, source, target = _IPV6.unpack_from(packet)
            start = _IPV6.size
        if protocol != _PROTOCOL_UDP:
            return None
        source_port, target_port, size, _ = _UDP.unpack_from(packet, start)
    except error:
        return None
    ends = (str(ip_address(source)), source_port), (str(ip_address(target)), target_port)
    return " > ".join(map(format_address, ends)), packet[start + _UDP.size : start + size]
