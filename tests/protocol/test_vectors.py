"""docs/vectors.json holds, and is what its command makes."""

from __future__ import annotations

import json
import re
import zlib
from pathlib import Path
from typing import Any

import pytest

from tests.protocol.vectors import as_text, described
from udp_chat.protocol.names import RULES, UnusableName, check_name, name_fold, name_key
from udp_chat.protocol.packets import MalformedDatagram, PacketType, decode

PROJECT = Path(__file__).resolve().parent.parent.parent
TEXT = (PROJECT / "docs" / "vectors.json").read_text(encoding="utf-8")
VECTORS: dict[str, Any] = json.loads(TEXT)


def named(*lists: str) -> pytest.MarkDecorator:
    """Each vector of these lists, as a case with its name."""
    vectors = [vector for one in lists for vector in VECTORS[one]]
    return pytest.mark.parametrize("vector", vectors, ids=lambda vector: ascii(vector["name"]))


def test_the_file_is_what_its_command_makes() -> None:
    assert as_text() == TEXT, "run: python3 -m tests.protocol.vectors > docs/vectors.json"


@named("valid", "valid_once")
def test_a_valid_datagram_has_the_fields_of_its_vector(vector: dict[str, Any]) -> None:
    assert described(decode(bytes.fromhex(vector["datagram"]))) == vector["packet"]


@named("valid")
def test_a_valid_datagram_is_written_as_it_was_read(vector: dict[str, Any]) -> None:
    datagram = bytes.fromhex(vector["datagram"])
    assert decode(datagram).encode() == datagram


@named("invalid")
def test_an_invalid_datagram_is_refused_for_the_reason_of_its_vector(
    vector: dict[str, Any],
) -> None:
    with pytest.raises(MalformedDatagram) as caught:
        decode(bytes.fromhex(vector["datagram"]))
    assert caught.value.reason == vector["reason"]


def test_every_packet_and_every_reason_has_a_vector() -> None:
    types = {vector["packet"]["type"] for vector in VECTORS["valid"]}
    assert types == {packet.name for packet in PacketType}
    document = (PROJECT / "docs" / "protocol.md").read_text(encoding="utf-8")
    reasons = document.partition("### 9.1 ")[2].partition("\n### ")[0]
    documented = set(re.findall(r"^\| `([^`]+)`", reasons, flags=re.MULTILINE))
    assert {vector["reason"] for vector in VECTORS["invalid"]} == documented


@pytest.mark.parametrize("vector", VECTORS["crc32"])
def test_the_crc_has_its_check_values(vector: dict[str, str]) -> None:
    assert f"{zlib.crc32(bytes.fromhex(vector['bytes'])):08x}" == vector["crc32"]


@named("names")
def test_a_name_is_judged_and_compared_as_in_its_vector(vector: dict[str, Any]) -> None:
    name = vector["name"]
    if vector["rule"] is None:
        assert check_name(name) == name
        assert (name_fold(name), name_key(name)) == (vector["fold"], vector["key"])
    else:
        with pytest.raises(UnusableName) as caught:
            check_name(name)
        assert caught.value.rule == vector["rule"]


def test_every_rule_for_names_has_a_vector() -> None:
    assert {vector["rule"] for vector in VECTORS["names"]} == {*RULES, None}
