"""Addresses as people write them, and what they stand for: one formatter, one parser, one resolver.

`resolve` is the only thing in this folder that asks the operating system something.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass

from udp_chat.protocol.wire import DEFAULT_PORT, Address

LOOPBACK = ("127.", "::1", "::ffff:127.")
"""How hosts begin that only this computer can reach."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """What a socket needs to reach a host: `family` for the socket, `address` for its calls."""

    family: socket.AddressFamily
    address: Address


def format_address(address: Address) -> str:
    """HOST:PORT, or [HOST]:PORT for an IPv6 address."""
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def typed_address(address: Address) -> str:
    """The shortest text that `parse_address` reads as this address."""
    host, port = address[:2]
    return str(host) if port == DEFAULT_PORT else format_address(address)


def is_local(text: str) -> bool:
    """Whether HOST:PORT is of use on this computer alone."""
    return text.startswith(LOOPBACK) or text.startswith("[::1]")


def parse_address(text: str, default_port: int = DEFAULT_PORT) -> tuple[str, int]:
    """(host, port) of HOST, HOST:PORT, [IPV6]:PORT or a bare IPV6; raises ValueError.

    The port is 1 to 65535. A host is not looked up.
    """
    host, port = text, str(default_port)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else port if not rest else ""
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    # Longer is no port, and Python refuses to read a number of 5,000 digits.
    is_port = port.isdecimal() and len(port) <= 5 and 1 <= int(port) <= 65535
    if not host or not is_port:
        raise ValueError(f"{text!r} is not HOST, HOST:PORT or [IPV6]:PORT")
    return host, int(port)


def parse_told_address(text: str) -> tuple[str, int]:
    """The same for an address that the network tells; raises ValueError for what is not the IP
    address of one machine. So nobody has this one look up a name or ask a whole network."""
    host, port = parse_address(text)
    address = ipaddress.ip_address(host)
    if not text.isascii() or address.is_multicast or address.is_unspecified:
        raise ValueError(f"{text!r} is not the address of one machine")
    return host, port


def resolve(
    host: str,
    port: int,
    kind: socket.SocketKind = socket.SOCK_DGRAM,
    flags: int = 0,
) -> Resolved:
    """Looks a host up and takes its first address, an IPv4 one if it has any.

    Servers and clients choose alike: otherwise `localhost` could be two different addresses.
    Raises OSError, or UnicodeError for what cannot be the name of a host.
    """
    found = socket.getaddrinfo(host, port, type=kind, flags=flags)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
    return Resolved(family, address)
