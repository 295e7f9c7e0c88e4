"""The documents say what the code does.

Numbers, constants and examples of docs/protocol.md and the version of CHANGELOG.md are read out of
their tables and blocks and compared with the code; the links of all documents lead somewhere.
tests/project/test_readme.py looks at what users read.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import re
from enum import IntEnum
from pathlib import Path
from types import ModuleType

import pytest

from udp_chat.protocol import names
from udp_chat.protocol import packets as protocol
from udp_chat.protocol.packets import (
    HEADER_BYTES,
    Answer,
    ByeReason,
    Event,
    EventKind,
    Events,
    Message,
    MessageKind,
    PacketType,
    RefusedReason,
    decode,
)
from udp_chat.server import room, scribe, settings
from udp_chat.version import __version__

PROJECT = Path(__file__).resolve().parent.parent.parent
SOURCES = {path.stem: path for path in sorted((PROJECT / "udp_chat").rglob("*.py"))}
"""The modules by their names, of which no two are alike but for `__init__` and `__main__`."""

PROTOCOL = (PROJECT / "docs" / "protocol.md").read_text(encoding="utf-8")
CHANGELOG = (PROJECT / "CHANGELOG.md").read_text(encoding="utf-8")
DOCUMENTS = sorted([*PROJECT.glob("*.md"), *(PROJECT / "docs").glob("**/*.md")])
OTHER_FOLDERS = {"app", "terminal", "udp_chat"}
"""What no other implementation of the protocol has to know."""
PROTOCOL_MODULES = [
    name
    for name, path in SOURCES.items()
    if path.parent.name not in OTHER_FOLDERS and not name.startswith("__")
]
NUMBERS: list[type[IntEnum]] = [PacketType, EventKind, MessageKind, RefusedReason, ByeReason]


def rows(text: str) -> list[list[str]]:
    """The cells of each row of each Markdown table, headings and rulers too."""
    return [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]


def section(text: str, heading: str) -> str:
    """What is under a heading, up to the next one of its level or a higher one."""
    level = heading.partition(" ")[0]
    begin = f"\n{heading}\n"
    assert begin in text, f"there is no heading {heading!r}"
    rest = text.partition(begin)[2]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


# --- numbers on the wire ---------------------------------------------------------------------


@pytest.mark.parametrize("numbers", NUMBERS, ids=lambda numbers: numbers.__name__)
def test_every_number_on_the_wire_is_in_the_protocol_document(numbers: type[IntEnum]) -> None:
    documented: dict[str, str] = {}
    inside = False
    for row in rows(PROTOCOL):
        if row[:2] == [numbers.__name__, "number"]:
            inside = True
        elif inside and row[0].isupper():
            documented[row[0]] = row[1]
        elif not set(row[0]) <= {"-"}:
            inside = False
    assert documented == {number.name: str(number.value) for number in numbers}


# --- layouts ---------------------------------------------------------------------------------


def fixed_fields(heading: str) -> list[tuple[int, int, str]]:
    """(offset, bytes, field) of each field with a fixed place in the table of a section."""
    return [
        (int(row[0]), int(row[1]), row[2])
        for row in rows(section(PROTOCOL, heading))
        if len(row) == 4 and row[0].isdecimal() and row[1].isdecimal()
    ]


def headings_of_packets() -> list[tuple[str, type[protocol.Packet]]]:
    return [
        (f"### 3.{number.value} {number.name} ({number.value})", protocol.PACKETS[number])
        for number in PacketType
    ]


@pytest.mark.parametrize(("heading", "packet"), headings_of_packets())
def test_the_fields_of_a_packet_are_where_its_table_says(
    heading: str, packet: type[protocol.Packet]
) -> None:
    check_layout(
        [field for field in fixed_fields(heading) if packet is not Events or field[0] < 52],
        HEADER_BYTES,
        packet.LAYOUT.size,
        packet,
    )


@pytest.mark.parametrize(
    ("heading", "carried"), [("### 4.1 Events", Event), ("### 4.2 Messages", Message)]
)
def test_the_fields_of_what_packets_carry_are_where_their_tables_say(
    heading: str, carried: type[Event] | type[Message]
) -> None:
    check_layout(fixed_fields(heading), 0, carried.LAYOUT.size, carried)


def test_the_fields_of_an_answer_are_where_its_table_says() -> None:
    start = HEADER_BYTES + Events.LAYOUT.size
    fields = [field for field in fixed_fields("### 3.8 EVENTS (8)") if field[0] >= start]
    check_layout(fields, start, Answer.LAYOUT.size, Answer)


def check_layout(
    fields: list[tuple[int, int, str]], start: int, size: int, packet: type[object]
) -> None:
    names = list(getattr(packet, "__slots__", ()))
    at = start
    for offset, length, name in fields:
        assert offset == at, f"{name} at {offset}"
        at += length
        if name.startswith("`"):
            assert name.strip("`") in names
    assert at == start + size


# --- examples --------------------------------------------------------------------------------


def hex_examples() -> list[bytes]:
    blocks = re.findall(r"^```hex\n(.*?)^```$", PROTOCOL, flags=re.DOTALL | re.MULTILINE)
    return [
        bytes.fromhex("".join(line.partition("#")[0] for line in block.splitlines()))
        for block in blocks
    ]


@pytest.mark.parametrize("example", hex_examples(), ids=lambda example: PacketType(example[3]).name)
def test_every_example_decodes_and_encodes_to_itself(example: bytes) -> None:
    assert decode(example).encode() == example


def test_there_is_an_example_of_every_packet() -> None:
    assert {example[3] for example in hex_examples()} == set(PacketType)


# --- constants, settings, counters -----------------------------------------------------------


def constants(name: str) -> dict[str, float]:
    """The public numeric constants that a module itself defines, at its top level."""
    path = SOURCES[name]
    module: ModuleType = importlib.import_module(
        ".".join(path.relative_to(PROJECT).with_suffix("").parts)
    )
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {}
    for statement in tree.body:
        targets: list[ast.expr] = []
        if isinstance(statement, ast.Assign):
            targets = statement.targets
        elif isinstance(statement, ast.AnnAssign):
            targets = [statement.target]
        for target in targets:
            if isinstance(target, ast.Name) and re.fullmatch(r"[A-Z][A-Z0-9_]*", target.id):
                value = getattr(module, target.id)
                if isinstance(value, int | float) and not isinstance(value, bool):
                    found[target.id] = float(value)
    return found


@pytest.mark.parametrize("name", PROTOCOL_MODULES)
def test_every_constant_is_in_the_protocol_document_with_its_value(name: str) -> None:
    documented = {
        row[1].strip("`"): float(row[2])
        for row in rows(section(PROTOCOL, "## 8. Constants"))
        if row[0] == name and len(row) == 6
    }
    assert documented == constants(name)


def test_every_setting_of_a_room_is_in_the_protocol_document_with_its_default() -> None:
    documented = {
        row[0].strip("`"): row[1]
        for row in rows(section(PROTOCOL, "## 8. Constants"))
        if len(row) == 4 and row[0].startswith("`")
    }
    assert documented == {
        field.name: str(field.default) for field in dataclasses.fields(settings.RoomSettings)
    }


@pytest.mark.parametrize(
    "pattern",
    [r'counters\["([^"]+)"\]', r'_drop\("([^"]+)"', r'MalformedDatagram\("([^"]+)"\)'],
)
def test_every_counter_is_in_the_protocol_document(pattern: str) -> None:
    errors = section(PROTOCOL, "## 9. Errors")
    found = [
        name
        for module in SOURCES
        for name in re.findall(pattern, SOURCES[module].read_text(encoding="utf-8"))
    ]
    assert found
    assert [name for name in found if f"`{name}`" not in errors] == []


def test_every_reason_to_refuse_has_its_counter_in_the_protocol_document() -> None:
    counters = section(PROTOCOL, "### 9.4 Other counters")
    documented = set(re.findall(r"`refused: (\w+)`", counters))
    with_a_cookie = set(RefusedReason) - {RefusedReason.VERSION}  # that one is counted in 9.1
    assert documented == {reason.name.lower() for reason in with_a_cookie}


def test_every_module_of_the_protocol_is_named_in_the_protocol_document() -> None:
    decisions = section(PROTOCOL, "## 12. Design decisions")
    assert [name for name in PROTOCOL_MODULES if f"`{name}.py`" not in decisions] == []


def test_every_notice_code_is_in_the_protocol_document() -> None:
    sources = [Path(module.__file__ or "").read_text(encoding="utf-8") for module in (room, scribe)]
    pattern = r'(?:_write_notice|_tell)\(.*?, "(\w+)"'
    codes = {code for source in sources for code in re.findall(pattern, source)}
    assert codes
    codes |= {f"unusable_name_{rule}" for rule in names.RULES}
    documented = {row[0].strip("`") for row in rows(section(PROTOCOL, "### 4.5 Notice codes"))[2:]}
    assert documented == codes


def test_every_alphabet_of_names_is_in_the_protocol_document() -> None:
    documented = {
        row[0].replace(", ", " "): row[1]
        for row in rows(section(PROTOCOL, "### 4.6 Names"))
        if len(row) == 2 and re.fullmatch(r"[0-9A-F -]{4,}", row[1].strip("-"))
    }
    assert documented == names.ALPHABETS


def test_every_look_alike_is_in_the_protocol_document_with_its_code_point() -> None:
    table = section(PROTOCOL, "### 4.6 Names").partition("| counts as |")[2]
    documented = {
        kept: [chr(int(code, 16)) for code in re.findall(r"U\+([0-9A-F]{4,})", others)]
        for row, others in (row for row in rows("| counts as |" + table)[2:])
        for kept in [chr(int(row.rpartition("U+")[2], 16))]
    }
    assert documented == {kept: list(others) for kept, others in names.LOOK_ALIKES.items()}


def test_every_character_drawn_as_nothing_is_in_the_protocol_document() -> None:
    rule = section(PROTOCOL, "### 4.6 Names").partition("- `invisible`:")[2].partition("- `")[0]
    documented = {
        (int(first, 16), int(last or first, 16))
        for first, last in re.findall(r"U\+([0-9A-F]+)(?: to U\+([0-9A-F]+))?", rule)
    }
    assert documented == set(names.INVISIBLE)


# --- the documents themselves ----------------------------------------------------------------


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"(?ms)^```.*?^```$", "", text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_relative_link_leads_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", document.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = document.parent / name if name else document
        assert path.exists(), target
        if anchor:
            assert anchor in anchors(path.read_text(encoding="utf-8")), target


def test_the_version_is_the_newest_of_the_changelog() -> None:
    newest = re.search(r"^## \[(\d[^\]]*)\] - \d{4}-\d\d-\d\d$", CHANGELOG, flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] == __version__
