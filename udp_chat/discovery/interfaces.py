"""The network interfaces of this computer, as far as the standard library can tell."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass

LINUX = sys.platform in ("linux", "android")

INTERFACES_MAX = 32
"""Interfaces that are used: a computer full of containers may have hundreds of virtual ones."""


@dataclass(frozen=True, slots=True)
class Interface:
    """A network interface of this computer, as far as it is known."""

    name: str
    index: int
    """0 where only an address is known (Windows, IPv4)."""
    loopback: bool = False
    up: bool = True
    """Switched on."""
    running: bool = True
    """The cable is in, the Wi-Fi is joined."""
    ipv4: tuple[tuple[str, str | None], ...] = ()
    """Each address with the broadcast address of its subnet, None if it has none or none known."""
    ipv6: tuple[str, ...] = ()
    """Without scope. Empty also where they cannot be learned (Windows)."""

    @property
    def addresses(self) -> list[str]:
        """All addresses, IPv4 first."""
        return [*(address for address, _ in self.ipv4), *self.ipv6]


def list_interfaces() -> list[Interface]:
    """The interfaces of this computer, the loopback among them. Never raises.

    Linux, macOS and the BSDs: names, flags, addresses and broadcast addresses by the C library's
    `getifaddrs` through ctypes; the ioctls (SIOCGIFCONF and others) differ on each of them and
    leave out IPv6. Windows, or a Python without ctypes: for IPv6 the names and indices of
    `socket.if_nameindex`, for IPv4 the computer's own addresses. The subnets, and so their
    broadcast addresses, stay unknown.
    """
    if os.name == "posix":
        # ImportError: built without ctypes. AttributeError: a C library without the function.
        with contextlib.suppress(ImportError, AttributeError, OSError):
            return _interfaces_by_getifaddrs()
    return _interfaces_by_name()


def _interfaces_by_getifaddrs() -> list[Interface]:
    import ctypes  # here, because a Python without it can chat too

    class Ifaddrs(ctypes.Structure):
        """struct ifaddrs: its first fields are the same on Linux, macOS and the BSDs."""

    Ifaddrs._fields_ = [
        ("next", ctypes.POINTER(Ifaddrs)),
        ("name", ctypes.c_char_p),
        ("flags", ctypes.c_uint),
        ("address", ctypes.c_void_p),
        ("netmask", ctypes.c_void_p),
        ("broadcast", ctypes.c_void_p),
    ]

    def parse(pointer: int | None) -> tuple[int, str]:
        """(family, address) of a struct sockaddr; no more of it is read than its family has."""
        if not pointer:
            return socket.AF_UNSPEC, ""
        head = ctypes.string_at(pointer, 2)
        # The BSDs begin with a byte of length, so their family is the second byte.
        family = int.from_bytes(head, sys.byteorder) if LINUX else head[1]
        if family == socket.AF_INET:
            return family, socket.inet_ntop(family, ctypes.string_at(pointer, 8)[4:])
        if family == socket.AF_INET6:
            return family, socket.inet_ntop(family, ctypes.string_at(pointer, 24)[8:])
        return family, ""

    library = ctypes.CDLL(None, use_errno=True)
    library.getifaddrs.argtypes = [ctypes.POINTER(ctypes.POINTER(Ifaddrs))]
    library.freeifaddrs.argtypes = [ctypes.POINTER(Ifaddrs)]
    library.freeifaddrs.restype = None
    first = ctypes.POINTER(Ifaddrs)()
    if library.getifaddrs(ctypes.byref(first)) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    flags: dict[str, int] = {}
    ipv4: dict[str, list[tuple[str, str | None]]] = {}
    ipv6: dict[str, list[str]] = {}
    try:
        entry = first
        while entry:
            name = os.fsdecode(entry.contents.name)
            flags[name] = entry.contents.flags
            family, address = parse(entry.contents.address)
            if family == socket.AF_INET:
                broadcast = None
                if entry.contents.flags & _IFF_BROADCAST:  # else it is the other end of a tunnel
                    broadcast = parse(entry.contents.broadcast)[1] or None
                    if broadcast == address:  # so glibc fills it in where there is none
                        broadcast = None
                ipv4.setdefault(name, []).append((address, broadcast))
            elif family == socket.AF_INET6:
                ipv6.setdefault(name, []).append(address)
            entry = entry.contents.next
    finally:
        library.freeifaddrs(first)
    return [
        Interface(
            name,
            _index(name),
            loopback=bool(flag & _IFF_LOOPBACK),
            up=bool(flag & _IFF_UP),
            running=bool(flag & _IFF_RUNNING),
            ipv4=tuple(ipv4.get(name, ())),
            ipv6=tuple(ipv6.get(name, ())),
        )
        for name, flag in flags.items()
    ]


# <net/if.h>; the same numbers on Linux, macOS and the BSDs.
_IFF_UP = 0x1
_IFF_BROADCAST = 0x2
_IFF_LOOPBACK = 0x8
_IFF_RUNNING = 0x40


def usable(interfaces: Sequence[Interface]) -> list[Interface]:
    """The first INTERFACES_MAX that are switched on; those with an IPv4 address come first."""
    up = [interface for interface in interfaces if interface.up]
    return sorted(up, key=lambda interface: not interface.ipv4)[:INTERFACES_MAX]


def _index(name: str) -> int:
    try:
        return socket.if_nametoindex(name)
    except OSError:  # it has just gone, or is another name of one
        return 0


def _interfaces_by_name() -> list[Interface]:
    loopback_name = "lo" if LINUX else "lo0" if os.name == "posix" else "loopback"
    found = [Interface("127.0.0.1", 0, loopback=True, ipv4=(("127.0.0.1", None),))]
    found += [Interface(address, 0, ipv4=((address, None),)) for address in _own_ipv4()]
    with contextlib.suppress(OSError):
        found += [
            Interface(name, index, loopback=name.startswith(loopback_name))
            for index, name in socket.if_nameindex()
        ]
    return found


def _own_ipv4() -> list[str]:
    """IPv4 addresses of this computer without the loopback, as far as they are easy to learn."""
    addresses: dict[str, None] = {}
    with contextlib.suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        # Connecting a UDP socket sends nothing; it chooses the interface, and so the address.
        sock.connect(("239.255.90.91", 9092))  # where discovery goes: see groups.py
        addresses[sock.getsockname()[0]] = None
    if os.name == "nt":  # Windows answers for its own name itself; elsewhere DNS would be asked
        with contextlib.suppress(OSError, UnicodeError):
            own = socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
            addresses.update((str(address[0]), None) for _, _, _, _, address in own)
    return [address for address in addresses if not address.startswith(("127.", "0."))]
