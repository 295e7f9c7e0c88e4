"""What others on the network type to join a room of this computer."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence

from udp_chat.app.chat_sentences import CHAT
from udp_chat.discovery.interfaces import Interface, list_interfaces, usable
from udp_chat.protocol.addresses import typed_address

WILDCARDS = ("", "0.0.0.0", "::")
"""Hosts that stand for all addresses of a computer."""

OTHERS_MAX = 3
"""A computer full of containers has many addresses. Few of them are of use to others."""


def lan_host(host: str = "") -> str:
    """The address of this computer for others, given where a server listens; empty without one,
    and where the server is given a name: what that means, only its socket knows."""
    try:
        addresses = addresses_for_others(host, list_interfaces(), likely_address())
    except ValueError:
        return ""
    return addresses[0] if addresses else ""


def invitation(host: str, port: int, language: str) -> str:
    """A sentence with the command for others, given where the server listens."""
    addresses = addresses_for_others(host, list_interfaces(), likely_address())
    if not addresses:
        return CHAT.sentence(language, "invitation_nobody")
    first, *others = [typed_address((address, port)) for address in addresses]
    text = CHAT.sentence(language, "invitation", server=first)
    if others:
        text += CHAT.sentence(language, "invitation_or", server=", ".join(others[:OTHERS_MAX]))
    return text


def addresses_for_others(host: str, interfaces: Sequence[Interface], likely: str) -> list[str]:
    """Addresses by which others may reach a server that listens on `host`, the likely one first.

    Link-local addresses are left out: each computer has to name its own interface with them.
    """
    if host not in WILDCARDS:
        return [] if ipaddress.ip_address(host.partition("%")[0]).is_loopback else [host]
    found = [
        address
        for interface in usable(interfaces)
        if interface.running and not interface.loopback
        for address in interface.addresses
        if not ipaddress.ip_address(address).is_link_local
    ]
    return sorted(found, key=lambda address: (address != likely, ":" in address))


def likely_address() -> str:
    """The address from which this computer would speak to the world; empty without a network."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            # Connecting a UDP socket sends nothing; it chooses the interface, and so the address.
            sock.connect(("192.0.2.1", 9))  # an address of nobody (RFC 5737)
            return str(sock.getsockname()[0])
    except OSError:
        return ""
