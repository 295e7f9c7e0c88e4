"""The Wireshark dissector reads what `protocol.decode` reads: packet by packet, field by field.

tshark reads a capture that was made for it, and each packet is put together again from the fields
it shows. It has to be the packet that `decode` makes of the same bytes; where `decode` refuses
them, tshark has to give the same reason. The capture holds every packet type with random and
extreme values, and all of them cut, damaged and forged.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import fields
from enum import IntEnum
from ipaddress import ip_address
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast, get_args

import pytest

from compare.dissector import capture
from compare.dissector.capture import Captured, conversation, pcap
from tests.machines import reseal
from tests.packets import (
    GOLDEN_DATAGRAMS,
    changes,
    cuts,
    forgeries,
    positions,
    sealed,
    valid_datagrams,
)
from udp_chat.discovery.groups import DISCOVERY_PORT
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    DEFAULT_PORT,
    HEADER_BYTES,
    MAGIC,
    Answer,
    Bye,
    ByeReason,
    Event,
    EventKind,
    Events,
    Join,
    MalformedDatagram,
    Message,
    MessageKind,
    Offer,
    Packet,
    PacketType,
    Refused,
    Say,
    Status,
    Told,
    Welcome,
    decode,
    sender_and_timestamp,
)

PROJECT = Path(__file__).parent.parent.parent
DISSECTOR = PROJECT / "compare" / "dissector" / "udp_chat.lua"
SAMPLE = PROJECT / "compare" / "dissector" / "udp_chat.pcap"

NOBODY = 65534
"""An unprivileged user on every system: tshark of Wireshark 4.4 runs no Lua for root."""

DECODE_AS_PORT = 61999
CLIENT = ("192.0.2.10", 60001)

T = TypeVar("T")


# --- tshark ----------------------------------------------------------------------------------


class Node(list[tuple[str, Any]]):
    """An object of tshark's JSON. Its keys may repeat: one for each event of an EVENTS."""

    def get(self, key: str) -> Any:
        (value,) = self.all(key)
        return value

    def all(self, key: str) -> list[Any]:
        return [value for known, value in self if known == key]


@pytest.fixture(scope="module")
def tshark() -> Callable[..., str]:
    """Runs tshark with the dissector over a capture; returns what it writes."""
    program = shutil.which("tshark")
    if program is None:
        pytest.skip("tshark is not installed (Debian: apt install tshark)")
    version = subprocess.run([program, "--version"], capture_output=True, check=True)
    if b"with Lua" not in b" ".join(version.stdout.split()):
        pytest.skip("this tshark was built without Lua")

    def run(datagrams: bytes, *arguments: str) -> str:
        as_nobody: dict[str, Any] = {}
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            as_nobody = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        # Not in pytest's own directory: nobody may not go there. Nor does any configuration of
        # the person who runs the tests come in, such as another copy of the dissector.
        with tempfile.TemporaryDirectory() as name:
            directory = Path(name)
            directory.chmod(0o755)
            for file, content in [("x.lua", DISSECTOR.read_bytes()), ("x.pcap", datagrams)]:
                (directory / file).write_bytes(content)
                (directory / file).chmod(0o644)
            finished = subprocess.run(
                [program, "-n", "-X", "lua_script:x.lua", "-r", "x.pcap", *arguments],
                cwd=directory,
                env={"PATH": os.defpath, "HOME": name, "WIRESHARK_CONFIG_DIR": name},
                capture_output=True,
                encoding="utf-8",
                timeout=60,
                check=False,
                **as_nobody,
            )
        assert "Lua" not in finished.stderr, finished.stderr
        assert "Lua Error" not in finished.stdout
        assert finished.returncode == 0, finished.stderr
        output: str = finished.stdout
        return output

    return run


def dissected(tshark: Callable[..., str], datagrams: Sequence[Captured]) -> list[Node | None]:
    """What tshark shows of each datagram, None for what it does not take for the chat's."""
    output = tshark(
        pcap(datagrams),
        *("-d", f"udp.port=={DECODE_AS_PORT},udpchat"),
        *("-T", "json", "-x", "-J", "udpchat"),
    )
    packets = json.loads(output, object_pairs_hook=Node)
    shown = [packet.get("_source").get("layers").all("udpchat") for packet in packets]
    assert len(shown) == len(datagrams)
    return [layers[0] if layers else None for layers in shown]


def infos(tshark: Callable[..., str], datagrams: bytes) -> list[tuple[str, str]]:
    """The columns Protocol and Info of each packet."""
    columns = 'gui.column.format:"Protocol","%p","Info","%i"'
    root = ET.fromstring(tshark(datagrams, "-T", "psml", "-o", columns))
    rows = [[section.text or "" for section in packet] for packet in root.iter("packet")]
    return [(protocol, info) for protocol, info in rows]


# --- what tshark shows -----------------------------------------------------------------------


def experts(node: Node) -> list[str]:
    """The expert infos, in order. Each has a filter named like its text."""
    found = []
    for key, value in node:
        if key == "_ws.expert":
            reason = value.get("_ws.expert.message")
            assert value[0][0] == f"udpchat.{reason.lower().replace(' ', '_')}"
            found.append(reason)
        elif isinstance(value, Node):
            found += experts(value)
    return found


def leaves(node: Node) -> Iterator[tuple[str, str, bytes, int]]:
    """(name, what is shown, bytes, offset in the packet) of all fields that have bytes."""
    before: tuple[str, Any] = "", None
    for key, value in node:
        if isinstance(value, Node):
            if key != "udpchat.flags_tree":  # bits of a byte that is a field itself
                yield from leaves(value)
        elif before[0] == f"{key}_raw":
            yield key, value, bytes.fromhex(before[1][0]), before[1][1]
        before = key, value


TEXTS = {
    *("magic", "name", "to", "text", "room"),
    *("host_name", "host_address", "successors"),
}


def check_bytes(node: Node, datagram: bytes) -> None:
    """Every byte is in one field, in order; a number is what its bytes say, a text as well."""
    shown = list(leaves(node))
    at = shown[0][3]
    for name, value, data, offset in shown:
        assert offset == at, name
        at += len(data)
        if name.endswith(("cookie", "lineage", "padding", "undecoded")):
            assert bytes.fromhex(value.replace(":", "")) == data
        elif name.rpartition(".")[2] in TEXTS:
            # A string ends at a NUL in Wireshark, so the dissector shows the symbol of one.
            assert value == data.decode("utf-8", "replace").replace("\0", "␀") or (
                "invalid utf-8" in experts(node)
            )
        elif name.endswith((".ask", ".more", ".handed_on")):
            assert value == "01"[any(data)]
        else:
            assert int(value, 0) == int.from_bytes(data, "big"), name
    assert b"".join(data for _, _, data, _ in shown) == datagram
    for (_, raw), (name, tree) in pairwise(node):
        if name in ("udpchat.message", "udpchat.event", "udpchat.answer"):
            assert bytes.fromhex(raw[0]) == b"".join(data for _, _, data, _ in leaves(tree))


def value_of(node: Node, name: str, kind: str) -> Any:
    """A field of a packet, as tshark has it; `kind` is its type in the dataclass."""
    shown = node.get(name)
    if kind == "str":
        data = bytes.fromhex(node.get(f"{name}_raw")[0]) if shown else b""
        return data.decode()
    if kind == "bytes":
        return bytes.fromhex(shown.replace(":", ""))
    if kind == "bool":
        return {"0": False, "1": True}[shown]
    enums: dict[str, type[IntEnum]] = {"EventKind": EventKind, "MessageKind": MessageKind}
    return enums.get(kind, int)(int(shown, 0))


def object_of(node: Node, kind: type[T], prefix: str, **given: Any) -> T:
    """A dataclass of the protocol, each field from the field of its name in tshark."""
    for field in fields(cast(Any, kind)):
        if field.name not in given:
            given[field.name] = value_of(node, prefix + field.name, str(field.type))
    return kind(**given)


def events_of(node: Node) -> tuple[Event, ...]:
    nodes = node.all("udpchat.event")
    assert int(node.get("udpchat.count")) == len(nodes)
    first = int(node.get("udpchat.first"))
    numbers = [int(n.get("udpchat.event.seq")) for n in nodes]
    assert numbers == list(range(first, first + len(nodes)))
    return tuple(object_of(n, Event, "udpchat.event.") for n in nodes)


def packet_of(node: Node) -> Packet:
    """The packet that tshark's fields describe."""
    packet_type = PacketType(int(node.get("udpchat.type")))
    packet_class = next(c for c in get_args(Packet) if c.__name__.upper() == packet_type.name)
    given: dict[str, Any] = {}
    if packet_class is Say:
        nodes = node.all("udpchat.message")
        assert int(node.get("udpchat.count")) == len(nodes)
        given["messages"] = tuple(object_of(n, Message, "udpchat.message.") for n in nodes)
    elif packet_class is Offer:
        given["host"] = value_of(node, "udpchat.host_name", "str")
    elif packet_class is Told:
        given["events"] = events_of(node)
    elif packet_class is Events:
        given["events"] = events_of(node)
        flags = node.get("udpchat.flags_tree")
        for name in ("inbox", "ask", "repair", "padded"):
            given[name] = value_of(flags, f"udpchat.flags.{name}", "bool")
        given["answer"] = None
        if value_of(flags, "udpchat.flags.answer", "bool"):
            given["answer"] = object_of(node.get("udpchat.answer"), Answer, "udpchat.answer.")
        else:
            assert not node.all("udpchat.answer")
    return cast(Packet, object_of(node, packet_class, "udpchat.", **given))


def checksum_status(node: Node) -> str:
    return cast(str, node.get("udpchat.crc32_tree").get("udpchat.crc32.status"))


BAD, GOOD, UNVERIFIED = "0", "1", "2"


# --- what it has to be -----------------------------------------------------------------------


def verdict(datagram: bytes) -> tuple[Packet | None, list[str]]:
    """The packet, and why `decode` refuses the datagram. One with a bad checksum is read on."""
    try:
        return decode(datagram), []
    except MalformedDatagram as error:
        reason = error.reason
    if reason != "bad checksum":
        return None, [reason]
    packet, reasons = verdict(reseal(datagram))
    return packet, [reason, *reasons]


def check(node: Node | None, datagram: bytes) -> None:
    """tshark's reading of a datagram on a port of the chat is that of `decode`."""
    packet, reasons = verdict(datagram)
    if not datagram or not MAGIC.startswith(datagram[:2]):
        assert node is None
        return
    assert node is not None
    assert sorted(experts(node)) == sorted(reasons)  # in the tree they stand beside their fields
    check_bytes(node, datagram)
    if packet is not None:
        assert packet_of(node) == packet
    if HEADER_BYTES <= len(datagram) <= DATAGRAM_BYTES_MAX:
        assert checksum_status(node) == (BAD if "bad checksum" in reasons else GOOD)


# --- the comparison --------------------------------------------------------------------------


def on_ports(datagrams: Iterable[bytes], port: int = DEFAULT_PORT) -> list[Captured]:
    """Datagrams to and from a port, in turns."""
    server = ("192.0.2.1", port)
    return [
        Captured(float(at), *((CLIENT, server) if at % 2 else (server, CLIENT)), datagram)
        for at, datagram in enumerate(datagrams)
    ]


class Reading(NamedTuple):
    node: Node | None
    captured: Captured


@pytest.fixture(scope="module")
def readings(tshark: Callable[..., str]) -> dict[str, list[Reading]]:
    """One run of tshark over everything, and what came of each kind of datagrams."""
    chance = random.Random(1)
    valid = valid_datagrams()
    golden = list(GOLDEN_DATAGRAMS.values())
    damaged = golden[0][:-1] + b"\1"
    strangers = [("192.0.2.20", port) for port in range(61000, 61000 + len(golden))]
    kinds = {
        "valid": on_ports(valid),
        "discovery": on_ports(golden, DISCOVERY_PORT),
        "cut": on_ports(cuts()),
        "changed": on_ports(changes(chance)),
        "forged": on_ports(forgeries(chance)),
        "of a short capture": [
            Captured(0.0, CLIENT, ("192.0.2.1", DEFAULT_PORT), datagram, kept)
            for datagram in golden
            for kept in positions(datagram)[1:]
        ],
        # A conversation each, so that none is known from the one before.
        "elsewhere": [
            Captured(0.0, stranger, ("192.0.2.2", 61900), datagram)
            for stranger, datagram in zip(strangers, golden, strict=True)
        ],
        "elsewhere, known": [
            Captured(0.0, ("192.0.2.2", 61900), stranger, damaged) for stranger in strangers
        ],
        "elsewhere, of a short capture": [
            Captured(0.0, stranger, ("192.0.2.3", 61901), datagram, 14)
            for stranger, datagram in zip(strangers, golden, strict=True)
        ],
        "elsewhere, no chat": [
            Captured(0.0, strangers[0], ("192.0.2.4", 61902), datagram, kept)
            for datagram, kept in [
                (damaged, None),
                (golden[0][:7], None),
                (reseal(b"UD" + golden[0][2:]), None),
                (b"UC\x01\x01 are the first bytes of this", 20),
                (b"UC are the first letters of this", 20),
                (b"UC\x02\x0e are the first bytes of this", 20),
            ]
        ],
        # Nothing but the port says that these are the chat's.
        "by port": [
            Captured(0.0, CLIENT, ("192.0.2.5", port), damaged)
            for port in (DEFAULT_PORT, DISCOVERY_PORT, DECODE_AS_PORT)
        ],
    }
    everything = [captured for kind in kinds.values() for captured in kind]
    nodes = iter(dissected(tshark, everything))
    return {
        kind: [Reading(next(nodes), captured) for captured in captureds]
        for kind, captureds in kinds.items()
    }


@pytest.mark.parametrize("kind", ["valid", "discovery", "elsewhere"])
def test_every_packet_is_read_as_decode_reads_it(
    readings: dict[str, list[Reading]], kind: str
) -> None:
    seen = set()
    for node, captured in readings[kind]:
        packet = decode(captured.datagram)
        check(node, captured.datagram)
        assert node is not None
        assert packet_of(node) == packet
        seen.add(type(packet))
    assert seen == set(get_args(Packet))


@pytest.mark.parametrize("kind", ["cut", "changed", "forged"])
def test_what_decode_refuses_is_marked_with_its_reason(
    readings: dict[str, list[Reading]], kind: str
) -> None:
    for node, captured in readings[kind]:
        check(node, captured.datagram)


def test_every_reason_of_decode_occurs(readings: dict[str, list[Reading]]) -> None:
    reasons = {
        reason
        for kind in ("cut", "changed", "forged")
        for node, _ in readings[kind]
        for reason in (experts(node) if node is not None else ["not udp-chat"])
    }
    section = (PROJECT / "docs" / "protocol.md").read_text(encoding="utf-8")
    section = section.partition("### 9.1 ")[2].partition("### 9.2 ")[0]
    documented = {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")}
    assert reasons == documented


def test_of_another_version_only_what_all_versions_share_is_read(
    readings: dict[str, list[Reading]],
) -> None:
    ids = {"DISCOVER": "nonce", "JOIN": "client_id"}
    ids |= dict.fromkeys(("SAY", "STATUS", "LEAVE"), "session_id") | {"TOLD": "client_id"}
    prefixes = 0
    for node, captured in readings["forged"]:
        if node is None or experts(node) != ["unsupported version"]:
            continue
        number = int(node.get("udpchat.type"))
        name = PacketType(number).name if number in list(PacketType) else ""
        known = sender_and_timestamp(captured.datagram)
        shown = [key for key, *_ in leaves(node)][4:]
        if name in ids and known is not None:
            prefixes += 1
            assert shown == [f"udpchat.{ids[name]}", "udpchat.timestamp"]
            assert tuple(int(node.get(key), 0) for key in shown) == known
        else:
            assert shown in ([], ["udpchat.undecoded"])
    assert prefixes == 4 * len(ids)


def test_what_the_capture_cut_off_is_no_fault_of_the_datagram(
    readings: dict[str, list[Reading]],
) -> None:
    for kind in ("of a short capture", "elsewhere, of a short capture"):
        for node, captured in readings[kind]:
            assert node is not None
            assert experts(node) == ["cut off by the capture"]
            check_bytes(node, captured.datagram[: captured.kept_bytes])
            if (captured.kept_bytes or 0) >= HEADER_BYTES:
                assert checksum_status(node) == UNVERIFIED


def test_a_stranger_is_taken_for_a_chat_by_magic_and_checksum(
    readings: dict[str, list[Reading]],
) -> None:
    assert [node for node, _ in readings["elsewhere, no chat"]] == [None] * 6


def test_the_damaged_are_read_where_the_port_or_the_conversation_is_known(
    readings: dict[str, list[Reading]],
) -> None:
    for kind in ("elsewhere, known", "by port"):
        for node, captured in readings[kind]:
            assert node is not None
            check(node, captured.datagram)
            assert experts(node) == ["bad checksum"]


# --- what a person sees ----------------------------------------------------------------------

INFOS = {
    "discover": "DISCOVER",
    "offer": 'OFFER "Клуб" hosted by Anna, port 9091, 7 members',
    "offer of a member that could host": 'OFFER "Lobby", port 40000, 0 members, not hosted here',
    "join": "JOIN Anna, with a cookie",
    "challenge": "CHALLENGE",
    "welcome": 'WELCOME Anna-2, member 5, room "Lobby" from 21',
    "refused": "REFUSED NAME_IN_USE",
    "say": "SAY 3 messages 12..14",
    "an offer to stand by": "SAY 1 message 15",
    "events to everyone": "EVENTS room 42..43",
    "events for one member": "EVENTS inbox 4, repair, ask, answer",
    "events of a room that outlives its host": "EVENTS room 40..44",
    "a register": "EVENTS inbox 1",
    "answer to a heartbeat": "EVENTS room, none after 43, answer",
    "padded": "EVENTS room, none after 43, padded",
    "status": "STATUS room 41, missing 42, inbox 3, missing 4..5, ask",
    "leave": "LEAVE",
    "bye": "BYE UNKNOWN_SESSION",
    "bye: the room has moved": "BYE MOVED: 6 43 192.0.2.6:9091",
    "fetch": "FETCH 32..41",
    "told": "TOLD 32..33",
}


def test_the_info_column_says_what_a_packet_does(tshark: Callable[..., str]) -> None:
    others = [
        (Join(1, 2, bytes(16), 0, 0, 0, 0, 1, "A\x1b\u202eB\x9bC").encode(), "JOIN A??B?C"),
        (Offer(1, 2, 1, 9, "я" * 32).encode(), f'OFFER "{"я" * 32}", port 9, 1 member'),
        (Say(1, 2, (Message(5, MessageKind.WHO, ""),)).encode(), "SAY 1 message 5"),
        (Status(1, 2, 3, 4, 4, 5, 5).encode(), "STATUS room 4, inbox 5"),
        (Bye(1, 77).encode(), "BYE 77"),
        (Refused(1, 2, 9, "").encode(), "REFUSED 9"),
        (GOLDEN_DATAGRAMS["leave"] + b"\0", "LEAVE [bad checksum] [trailing bytes]"),
        (Told(1, 2, 3, 4, ()).encode(), "TOLD nothing"),
        (sealed(14, b""), "packet type 14 [unknown PacketType]"),
        (sealed(3, b"", version=1), "JOIN of version 1 [unsupported version]"),
    ]
    golden = [(datagram, INFOS[name]) for name, datagram in GOLDEN_DATAGRAMS.items()]
    expected = [*golden, *others]
    shown = infos(tshark, pcap(on_ports(datagram for datagram, _ in expected)))
    for (protocol, info), (_, wanted) in zip(shown, expected, strict=True):
        assert protocol == "udp-chat"
        assert info.removesuffix(", without a cookie") == wanted


def test_trees_and_times_are_readable(tshark: Callable[..., str]) -> None:
    names = ("say", "events to everyone", "events for one member", "refused", "bye")
    golden = [GOLDEN_DATAGRAMS[name] for name in names]
    far = Event(EventKind.CHAT, 2**64 - 1, "я" * 32, "", "a" + "ю" * 440, 1)
    extreme = Events(1, 2, 1, 2**64 - 1, 2**64 - 1, (far,)).encode()
    output = tshark(pcap(on_ports([*golden, extreme])), "-V")
    for line in [
        "Message 12: CHAT: hello",
        "Message 14: PRIVATE to Boris: hey",
        "Event 42: CHAT Anna: привет",
        "Event 43: JOIN Boris",
        "Event 4: PRIVATE Anna to Boris: hey",
        "Time ms: 1700000000001 (2023-11-14 22:13:20.001 UTC)",
        "Time ms: 18446744073709551615",
        f"Event {2**64 - 1}: CHAT {'я' * 32}: a{'ю' * 39}…",
        "Kind: JOIN (3)",
        "Reason: NAME_IN_USE (2)",
        "Reason: UNKNOWN_SESSION (3)",
        "Type: EVENTS (8)",
        "[Status: Good (1)]",
    ]:
        assert f"    {line}\n" in output


# --- captures --------------------------------------------------------------------------------


def parse_pcap(data: bytes) -> list[Captured]:
    """The datagrams of a capture file, read without what wrote it; checks every checksum."""
    magic, major, minor, _, _, _, link = struct.unpack_from("<IHHiIII", data)
    assert (magic, major, minor, link) == (0xA1B2C3D4, 2, 4, 101)
    found, at = [], 24
    while at < len(data):
        seconds, microseconds, kept, size = struct.unpack_from("<IIII", data, at)
        assert kept == size
        packet, at = data[at + 16 : at + 16 + kept], at + 16 + kept
        if packet[0] >> 4 == 4:
            assert word_sum(packet[:20]) == 0xFFFF
            assert struct.unpack_from("!H", packet, 2) == (size,)
            addresses, udp = packet[12:20], packet[20:]
        else:
            assert struct.unpack_from("!H", packet, 4) == (size - 40,)
            addresses, udp = packet[8:40], packet[40:]
        source_port, target_port, udp_bytes, checksum = struct.unpack_from("!HHHH", udp)
        assert udp_bytes == len(udp)
        assert checksum != 0
        assert word_sum(addresses + struct.pack("!II", len(udp), 17) + udp) == 0xFFFF
        half = len(addresses) // 2
        source = str(ip_address(addresses[:half])), source_port
        target = str(ip_address(addresses[half:])), target_port
        found.append(Captured(seconds + microseconds / 1e6, source, target, udp[8:]))
    return found


def word_sum(data: bytes) -> int:
    data += bytes(len(data) % 2)
    total = sum(word for (word,) in struct.iter_unpack("!H", data))
    return total % 0xFFFF or 0xFFFF


def check_story(captured: Sequence[Captured]) -> None:
    """Every packet type, a lost event reported and repaired, one repaired unasked, a train, a room
    whose parts become one."""
    packets = [decode(entry.datagram) for entry in captured]
    assert {type(packet) for packet in packets} == set(get_args(Packet))
    assert [entry.at for entry in captured] == sorted(entry.at for entry in captured)
    reports = [p for p in packets if isinstance(p, Status) and p.room_gap_end > p.room_ack]
    repairs = [p for p in packets if isinstance(p, Events) and p.repair]
    assert any(r.first == s.room_ack + 1 for r in repairs for s in reports)
    assert any(all(r.first > s.room_gap_end for s in reports) for r in repairs)
    assert any(p.padded for p in packets if isinstance(p, Events))
    assert any(m.more for p in packets if isinstance(p, Say) for m in p.messages)
    kinds = {event.kind for p in packets if isinstance(p, Events) for event in p.events}
    assert kinds >= set(EventKind) - {EventKind.NOTICE, EventKind.LOST_APART}
    moved = [p for p in packets if isinstance(p, Bye) and p.reason == ByeReason.MOVED]
    assert moved
    lineages = {p.lineage for p in packets if isinstance(p, Welcome) and p.handed_on}
    assert len(lineages) == 2, "a term and the next"


def test_the_sample_capture_tells_its_story() -> None:
    data = SAMPLE.read_bytes()
    assert len(data) < 60_000
    check_story(parse_pcap(data))


def test_the_sample_capture_can_be_made_anew(tmp_path: Path) -> None:
    files = tmp_path / "1.pcap", tmp_path / "2.pcap"
    for file in files:
        assert capture.main([str(file)]) == 0
    data = files[0].read_bytes()
    assert data == files[1].read_bytes()
    check_story(parse_pcap(data))
    for read, made in zip(parse_pcap(data), conversation(), strict=True):
        assert read._replace(at=0.0) == made._replace(at=0.0)
        assert read.at == pytest.approx(made.at, abs=1e-6)


def test_the_sample_capture_is_read_without_a_complaint(tshark: Callable[..., str]) -> None:
    captured = parse_pcap(SAMPLE.read_bytes())
    for node, entry in zip(dissected(tshark, captured), captured, strict=True):
        check(node, entry.datagram)
        assert node is not None
        assert experts(node) == []


def test_a_checksum_of_zero_is_written_as_its_other_form() -> None:
    source, target = ("192.0.2.1", 1), ("192.0.2.2", 2)
    (at_zero,) = parse_pcap(pcap([Captured(0.0, source, target, bytes(2))]))
    # With the checksum for its content, the sum of everything is 0xFFFF, and its complement 0.
    packet = pcap([Captured(0.0, source, target, bytes(2))])[40:]
    (checksum,) = struct.unpack_from("!H", packet, 26)
    filled = pcap([Captured(0.0, source, target, struct.pack("!H", checksum))])[40:]
    assert struct.unpack_from("!H", filled, 26) == (0xFFFF,)
    assert at_zero.datagram == bytes(2)


@pytest.mark.parametrize("port", [DEFAULT_PORT, 20_000])
def test_a_train_captured_before_it_was_cut_is_shown_as_its_datagrams(
    tshark: Callable[..., str], port: int
) -> None:
    event = Event(EventKind.CHAT, 1_700_000_000_000, "Anna", "", "привет", 1, 1)
    train = [
        Events(7, 8, 1, 40, first, (event, event), padded=first < 25).encode()
        for first in (21, 23, 25)
    ]
    assert [len(datagram) for datagram in train[:2]] == [1200, 1200]
    ((_, info),) = infos(tshark, pcap(on_ports([b"".join(train)], port)))
    assert info == " | ".join(shown for _, shown in infos(tshark, pcap(on_ports(train, port))))
    assert info.count("EVENTS") == 3
    # One that is only too long is no train.
    ((_, info),) = infos(tshark, pcap(on_ports([train[0] + bytes(1200)], DEFAULT_PORT)))
    assert info.count("EVENTS") <= 1
    assert "too long" in info
