"""docs/protocol.md says what another implementation needs, and says it truly.

test_docs.py compares its tables with the code. Here are its session in bytes, its examples as a
conversation, its rules that need no Python, and its words.
"""

from __future__ import annotations

import re
import sys
import unicodedata
from typing import TypeVar

from tests.project.test_docs import PROTOCOL, hex_examples, rows, section
from tests.project.traced_session import BEGIN, END, as_text
from udp_chat.protocol.packets import (
    NO_COOKIE,
    Bye,
    ByeReason,
    Challenge,
    EventKind,
    Events,
    Join,
    Leave,
    Packet,
    Say,
    Status,
    Welcome,
    decode,
)

P = TypeVar("P")

SESSION = section(PROTOCOL, "## 14. A session in bytes").partition(BEGIN)[2].partition(END)[0]
WIRE_MODULES = {"wire", "framing", "packets", "lineage", "names"}
"""All their constants bind both ends; of other modules only these do:"""
WIRE_CONSTANTS = {"DISCOVERY_PORT", "NUMBER_DIGITS_MAX"}


def session_packets(lost: bool) -> list[Packet]:
    """The packets of the traced session, decoded from its hex alone; those lost on the way, or
    those that arrived."""
    blocks = [block.splitlines() for block in SESSION.strip().split("\n\n")]
    return [
        decode(bytes.fromhex("".join(line for line in lines if line[2:3] != "#")))
        for head, *lines in blocks
        if head.endswith("lost on the way") is lost
    ]


def of_type(kind: type[P], packets: list[Packet]) -> list[P]:
    return [packet for packet in packets if isinstance(packet, kind)]


# --- the session in bytes --------------------------------------------------------------------


def test_the_session_is_what_the_state_machines_make() -> None:
    assert as_text() == SESSION, "run: python3 -m tests.project.traced_session"


def test_the_datagrams_of_the_session_form_one() -> None:
    packets = session_packets(lost=False)
    first, second = of_type(Join, packets)
    (challenge,) = of_type(Challenge, packets)
    (welcome,) = of_type(Welcome, packets)
    assert (first.cookie, second.cookie) == (NO_COOKIE, challenge.cookie)
    assert challenge.sender_id == second.client_id == welcome.client_id
    assert welcome.echoed_timestamp == second.timestamp
    spoken = [packet for packet in packets if isinstance(packet, Say | Status | Leave)]
    assert {packet.session_id for packet in spoken} == {welcome.session_id}
    stamps = [p.timestamp for p in packets if isinstance(p, Join | Say | Status | Leave)]
    assert stamps == sorted(set(stamps))
    assert packets[-1] == Bye(welcome.session_id, ByeReason.LEFT)


def test_the_session_shows_a_loss_and_its_repair() -> None:
    ((lost,),) = [events.events for events in of_type(Events, session_packets(lost=True))]
    assert (lost.kind, lost.text) == (EventKind.CHAT, "hello")
    arrived = session_packets(lost=False)
    repairs = [events for events in of_type(Events, arrived) if events.repair]
    assert {events.events for events in repairs} == {(lost,)}
    assert {events.timestamp for events in repairs} == {repairs[0].timestamp}, "and its copy"
    assert of_type(Status, arrived)[-1].room_ack == repairs[0].latest


# --- examples, rules, constants --------------------------------------------------------------


def test_the_example_welcome_answers_the_example_join() -> None:
    examples = [decode(example) for example in hex_examples()]
    (join,), (challenge,) = of_type(Join, examples), of_type(Challenge, examples)
    (welcome,) = of_type(Welcome, examples)
    assert (challenge.sender_id, challenge.cookie) == (join.client_id, join.cookie)
    assert (welcome.client_id, welcome.echoed_timestamp) == (join.client_id, join.timestamp)
    assert (welcome.epoch, welcome.start) == (join.epoch, join.room_ack + 1)
    assert (welcome.inbox_epoch, welcome.inbox_start) == (join.inbox_epoch, join.inbox_ack + 1)
    assert welcome.received == join.next_message_id - 1
    assert welcome.name == join.name


def test_white_space_is_listed_by_its_code_points() -> None:
    rule = section(PROTOCOL, "### 4.6 Names").partition("- `white_space`:")[2].partition("(")[0]
    documented = {
        code
        for first, last in re.findall(r"U\+([0-9A-F]+)(?: to U\+([0-9A-F]+))?", rule)
        for code in range(int(first, 16), int(last or first, 16) + 1)
    }
    assert documented - {0x2800} == {
        code
        for code in range(sys.maxunicode + 1)
        if chr(code).isspace() or unicodedata.category(chr(code))[0] == "Z"
    }


def test_the_crc_check_value_is_in_the_document() -> None:
    assert "`123456789` give cbf43926" in section(PROTOCOL, "## 2. Datagrams")


def test_the_constants_of_the_wire_are_apart_from_those_of_this_implementation() -> None:
    def named(heading: str) -> set[tuple[str, str]]:
        table = rows(section(PROTOCOL, heading))
        return {(row[0], row[1].strip("`")) for row in table if row[1].startswith("`")}

    wire, policy = named("### 8.1 The wire"), named("### 8.2 This implementation")
    assert wire
    assert policy
    for module, constant in wire | policy:
        binds = module in WIRE_MODULES or constant in WIRE_CONSTANTS
        assert ((module, constant) in wire) is binds, constant


def test_words_that_bind_are_in_capitals() -> None:
    prose = re.sub(r"(?ms)^```.*?^```$", "", PROTOCOL)
    assert re.findall(r"\b(?:must|shall)\b", prose) == []
    assert len(re.findall(r"\bMUST\b", prose)) >= 10
