"""Addresses as people write them: formatted, read and looked up."""

from __future__ import annotations

import socket
from typing import Any

import pytest

from udp_chat.protocol.addresses import (
    Resolved,
    format_address,
    parse_address,
    resolve,
    typed_address,
)
from udp_chat.protocol.packets import DEFAULT_PORT, Address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        (("192.0.2.1", 9091), "192.0.2.1:9091"),
        (("fe80::1", 9091, 0, 3), "[fe80::1]:9091"),
        (("::ffff:192.0.2.1", 9091, 0, 0), "[::ffff:192.0.2.1]:9091"),
    ],
)
def test_an_address_is_shown_as_it_can_be_typed(address: Address, shown: str) -> None:
    assert format_address(address) == shown
    assert parse_address(shown) == address[:2]
    assert typed_address((address[0], 9000)) == shown.replace("9091", "9000")
    assert typed_address(address) == address[0]
    assert parse_address(typed_address(address)) == address[:2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("example.org", ("example.org", DEFAULT_PORT)),
        ("example.org:1", ("example.org", 1)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("::1", ("::1", DEFAULT_PORT)),
        ("[::1]", ("::1", DEFAULT_PORT)),
        ("[::1]:9092", ("::1", 9092)),
    ],
)
def test_a_port_is_optional(text: str, expected: tuple[str, int]) -> None:
    assert parse_address(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", ":1", "host:", "host:0", "host:65536", "host:http", "host:-1", "host: 1"),
        *("[::1]9091", "[::1]:", "[]:1", "host:" + "9" * 5000),
    ],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not HOST, HOST:PORT or"):
        parse_address(text)


def test_of_a_host_with_two_addresses_the_ipv4_one_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    six = (socket.AF_INET6, socket.SOCK_DGRAM, 17, "", ("::1", 7, 0, 0))
    four = (socket.AF_INET, socket.SOCK_DGRAM, 17, "", ("127.0.0.1", 7))
    found: list[Any] = [six, four]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
    assert resolve("both.example", 7) == Resolved(socket.AF_INET, ("127.0.0.1", 7))
    found.remove(four)
    assert resolve("both.example", 7) == Resolved(socket.AF_INET6, ("::1", 7, 0, 0))
