"""Recorded datagrams: lines of a trace and capture files of every kind, whole and cut off."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from functools import partial
from struct import pack

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.processes import PROJECT
from udp_chat.app.trace import (
    Captured,
    UnreadableFile,
    describe,
    is_pcap,
    read_pcap,
    read_trace,
    tracer,
)
from udp_chat.protocol.packets import Leave

LEAVE = Leave(1, 2).encode()
SAMPLE = PROJECT / "compare" / "dissector" / "udp_chat.pcap"

ETHERNET, RAW, LINUX_COOKED, LINUX_COOKED_2, LOOPBACK = 1, 101, 113, 276, 0

HEADERS = {
    ETHERNET: bytes(12) + b"\x08\x00",
    RAW: b"",
    12: b"",
    LINUX_COOKED: bytes(14) + b"\x08\x00",
    LINUX_COOKED_2: b"\x08\x00" + bytes(18),
    LOOPBACK: pack("=I", socket.AF_INET),
}
"""By link type, what stands before an IPv4 packet."""


# --- traces ----------------------------------------------------------------------------------


@given(
    st.lists(st.tuples(st.sampled_from("<>"), st.one_of(st.binary(max_size=50), st.just(LEAVE))))
)
def test_a_trace_is_read_as_it_was_written(datagrams: list[tuple[str, bytes]]) -> None:
    lines: list[str] = []
    trace = tracer(lines.append)
    for way, datagram in datagrams:
        trace(way, datagram)
    read = list(read_trace(f"{line}\n" for line in lines))
    assert [(captured.where[-1:], captured.datagram) for captured in read] == datagrams
    for line, captured in zip(lines, read, strict=True):
        assert line.startswith(f"{captured.where} ")
        assert f"  {describe(captured.datagram)}  " in line


def test_a_datagram_is_described_or_what_is_wrong_with_it() -> None:
    assert describe(LEAVE) == "Leave(session_id=1, timestamp=2)"
    assert describe(b"hello, world") == "(not udp-chat)"
    assert describe(LEAVE[:-1]) == "(bad checksum)"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "You are Anna in the room",
        f"  0.000000 >   19 B  Leave()  {LEAVE.hex()}",  # of another size
        f"  0.000000 =   {len(LEAVE)} B  Leave()  {LEAVE.hex()}",
        f"  0.000000 >   {len(LEAVE)} B  Leave()  {LEAVE.hex()[:-1]}",  # cut off
        f"  never    >   {len(LEAVE)} B  Leave()  {LEAVE.hex()}",
        f"  0.000000 >   {len(LEAVE)} B  Leave()",
    ],
)
def test_a_line_that_is_none_of_a_trace_is_refused_by_its_number(line: str) -> None:
    good = f"  0.000000 >   {len(LEAVE)} B  Leave()  {LEAVE.hex()}"
    read = read_trace([good, line, good])
    assert next(read) == Captured("  0.000000 >", LEAVE)
    with pytest.raises(UnreadableFile) as refused:
        next(read)
    assert (refused.value.key, refused.value.values) == ("no_trace_line", {"number": 2})


# --- captures --------------------------------------------------------------------------------


def udp(payload: bytes, source: int = 50000, target: int = 9091) -> bytes:
    return pack("!HHHH", source, target, 8 + len(payload), 0) + payload


def ipv4(payload: bytes, protocol: int = 17, fragment: int = 0, options: bytes = b"") -> bytes:
    head = pack("!BBHHHBBH", 0x45 + len(options) // 4, 0, 20 + len(options) + len(payload), 0,
                fragment, 64, protocol, 0)  # fmt: skip
    return head + bytes([192, 0, 2, 1, 192, 0, 2, 2]) + options + payload


def ipv6(payload: bytes, protocol: int = 17) -> bytes:
    ends = socket.inet_pton(socket.AF_INET6, "fe80::1") + socket.inet_pton(
        socket.AF_INET6, "ff12::2"
    )
    return pack("!IHBB", 0x60000000, len(payload), protocol, 64) + ends + payload


def pcap(*packets: bytes, link_type: int = RAW, order: str = "<", unit: float = 1e-6) -> bytes:
    """A capture file; the packets are half a second apart."""
    magic = 0xA1B2C3D4 if unit == 1e-6 else 0xA1B23C4D
    file = pack(f"{order}IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)
    for number, packet in enumerate(packets):
        fraction = int(number % 2 * 0.5 / unit)
        length = len(packet)
        file += pack(f"{order}IIII", 1000 + number // 2, fraction, length, length) + packet
    return file


def datagrams(data: bytes) -> list[bytes]:
    assert is_pcap(data)
    return [captured.datagram for captured in read_pcap(data)]


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("unit", [1e-6, 1e-9])
@pytest.mark.parametrize("link_type", list(HEADERS))
def test_a_capture_of_every_kind_is_read(link_type: int, unit: float, order: str) -> None:
    packet = HEADERS[link_type] + ipv4(udp(LEAVE))
    read = list(
        read_pcap(pcap(packet, packet, packet, link_type=link_type, order=order, unit=unit))
    )
    where = "192.0.2.1:50000 > 192.0.2.2:9091"
    times = ["  0.000000", "  0.500000", "  1.000000"]
    assert read == [Captured(f"{time} {where}", LEAVE) for time in times]


def test_ipv6_options_and_vlan_tags_are_read() -> None:
    (captured,) = read_pcap(pcap(ipv6(udp(LEAVE))))
    assert captured == Captured("  0.000000 [fe80::1]:50000 > [ff12::2]:9091", LEAVE)
    assert datagrams(pcap(ipv4(udp(LEAVE), options=bytes(8)))) == [LEAVE]
    tags = b"\x88\xa8\0\1" + b"\x81\x00\0\2"
    tagged = bytes(12) + tags + b"\x08\x00" + ipv4(udp(LEAVE))
    assert datagrams(pcap(tagged, link_type=ETHERNET)) == [LEAVE]


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"\x45",
        ipv4(udp(b"another protocol's")),
        ipv4(udp(LEAVE), protocol=6),
        ipv4(udp(LEAVE), fragment=0x2000),
        ipv4(udp(LEAVE), fragment=7),
        ipv4(udp(LEAVE))[:24],
        ipv6(udp(LEAVE), protocol=6),
        ipv6(udp(LEAVE))[:39],
    ],
)
def test_what_is_no_datagram_of_the_chat_is_passed_over(packet: bytes) -> None:
    assert datagrams(pcap(packet, ipv4(udp(LEAVE)))) == [LEAVE]


def test_what_stands_behind_a_datagram_does_not_belong_to_it() -> None:
    """Ethernet fills short packets."""
    assert datagrams(pcap(ipv4(udp(LEAVE)) + bytes(20))) == [LEAVE]


def refusal(read: Callable[[], Iterator[Captured]]) -> tuple[list[bytes], str]:
    """What came before a file was refused, and the key of the reason."""
    came: list[bytes] = []
    try:
        came.extend(captured.datagram for captured in read())
    except UnreadableFile as refused:
        return came, refused.key
    return came, "not refused"


def test_a_capture_that_is_cut_off_gives_what_came_before() -> None:
    whole = pcap(ipv4(udp(LEAVE)), ipv4(udp(LEAVE)))
    second = 24 + (len(whole) - 24) // 2
    for size in range(4, len(whole)):
        if size in (24, second):
            assert len(datagrams(whole[:size])) == (size == second)
            continue
        came, key = refusal(partial(read_pcap, whole[:size]))
        in_header = size < 40 or second < size < second + 16
        assert key == ("cut_in_header" if in_header else "cut_in_packet")
        assert came == [LEAVE] * (size > second)


def test_another_format_and_an_unknown_link_are_refused() -> None:
    assert is_pcap(b"\x0a\x0d\x0d\x0a" + bytes(24))
    assert refusal(lambda: read_pcap(b"\x0a\x0d\x0d\x0a" + bytes(24))) == ([], "is_pcapng")
    assert refusal(lambda: read_pcap(pcap(link_type=105))) == ([], "unknown_link_type")
    assert not is_pcap(b"")
    assert not is_pcap(b"  0.000000 > ")


def test_the_sample_of_the_dissector_holds_every_packet() -> None:
    described = [describe(captured.datagram) for captured in read_pcap(SAMPLE.read_bytes())]
    names = {text.partition("(")[0] for text in described}
    assert {"Join", "Challenge", "Welcome", "Say", "Events", "Status", "Leave", "Bye"} <= names


@given(st.binary(max_size=200), st.sampled_from(list(HEADERS)))
def test_no_bytes_in_a_capture_raise_anything_else(packet: bytes, link_type: int) -> None:
    list(read_pcap(pcap(packet, link_type=link_type)))
