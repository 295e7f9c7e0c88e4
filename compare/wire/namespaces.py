"""One end of the wire: a network namespace with one TUN device, made with the kernel's own calls.

Python 3.10 has no `unshare` and `setns`, so libc is called; the device is set up by ioctl and
netlink, as `ip` does it. Nothing here knows what the wire does to packets.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from struct import pack, unpack_from
from typing import TypeVar

UNPRIVILEGED = ("unshare", "--user", "--map-root-user", "--net")
"""What a command line begins with to have the rights it takes, where users may have them."""

DEVICE = b"wire"

QUEUE_PACKETS = 10_000
"""A device's queue: long enough for a burst to a thousand clients while the wire is busy."""

_NETMASK = "255.255.0.0"

# From linux/sched.h, linux/if_tun.h, linux/sockios.h, linux/if.h, linux/rtnetlink.h.
_CLONE_NEWNET = 0x40000000
_TUNSETIFF = 0x400454CA
_IFF_TUN, _IFF_NO_PI = 0x0001, 0x1000
_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK, _SIOCSIFMTU = 0x8914, 0x8916, 0x891C, 0x8922
_IFF_UP, _IFF_RUNNING = 0x1, 0x40
_NETLINK_ROUTE, _RTM_NEWLINK, _IFLA_TXQLEN = 0, 16, 13
_NLM_F_REQUEST, _NLM_F_ACK = 0x1, 0x4

_T = TypeVar("_T")


class WireUnavailable(Exception):
    """This machine, or this user, cannot have a wire; the message says what is missing."""


def in_own_thread(work: Callable[[], _T]) -> _T:
    """Does it in a thread of its own, which may change its namespace and ends there."""
    with ThreadPoolExecutor(1, "wire's end") as pool:
        return pool.submit(work).result()


def make_end(address: str, mtu: int, congestion_controls: Sequence[str]) -> tuple[int, int, str]:
    """A new namespace with a TUN device in it: both as file descriptors, and TCP's congestion
    control there. The calling thread stays in the namespace. Raises `WireUnavailable`."""
    if not sys.platform.startswith("linux"):
        raise WireUnavailable(f"network namespaces need Linux, and this is {sys.platform}")
    if not Path("/dev/net/tun").exists():
        raise WireUnavailable(
            "there is no /dev/net/tun: load the kernel's module (modprobe tun), or give the"
            " container the device (--device /dev/net/tun --cap-add NET_ADMIN)"
        )
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    opened = []
    try:
        with _named(
            "no right to make network namespaces (run it as root, or, where users may, as: "
            + " ".join(UNPRIVILEGED)
            + " COMMAND)"
        ):
            _unshare()
        namespace = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        opened.append(namespace)
        with _named(
            "this process cannot return from a network namespace (run it as: "
            + " ".join(UNPRIVILEGED)
            + " COMMAND)"
        ):
            enter(home)
            enter(namespace)
        with _named("this user may not open /dev/net/tun"):
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        opened.append(device)
        # Before there is a device: it would greet its neighbours at once.
        _set("net/ipv6/conf/all/disable_ipv6", "1")
        _set("net/ipv6/conf/default/disable_ipv6", "1")
        with _named("no TUN device can be made"):
            _set_up(device, address, mtu)
        _set("net/ipv4/tcp_no_metrics_save", "1")
        # Others than reno may be left to the machine's own namespace.
        any(_set("net/ipv4/tcp_congestion_control", name) for name in congestion_controls)
        in_force = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    except BaseException:  # Ctrl-C too: a descriptor would keep the namespace alive
        for number in opened:
            os.close(number)
        raise
    finally:
        os.close(home)
    return namespace, device, in_force


@contextlib.contextmanager
def _named(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WireUnavailable(f"{what}: {error.strerror}") from error


def _unshare() -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.unshare and os.setns came with Python 3.12
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def enter(namespace: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def _set_up(device: int, address: str, mtu: int) -> None:
    """Makes the device of the calling thread's namespace, addresses it, brings it and lo up."""
    import fcntl  # not everywhere: the experiments without a wire run there

    fcntl.ioctl(device, _TUNSETIFF, pack("16sH22x", DEVICE, _IFF_TUN | _IFF_NO_PI))
    _lengthen_queue()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFMTU, pack("16si20x", DEVICE, mtu))
        set_address(sock, address)
        for name in (DEVICE, b"lo"):
            fcntl.ioctl(sock, _SIOCSIFFLAGS, pack("16sH22x", name, _IFF_UP | _IFF_RUNNING))


def bring_up_loopback() -> None:
    """Bring this namespace's loopback up: in one that `unshare --net` made it is down.

    Some experiments run on it, without a wire. Where it cannot be changed, it stays as it is.
    """
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, _SIOCSIFFLAGS, pack("16sH22x", b"lo", _IFF_UP | _IFF_RUNNING))


def _lengthen_queue() -> None:
    """By netlink: the ioctl for it is for the machine's own root alone."""
    body = pack("=BxHiII", 0, 0, socket.if_nametoindex(DEVICE.decode()), 0, 0)  # ifinfomsg
    body += pack("=HHI", 8, _IFLA_TXQLEN, QUEUE_PACKETS)
    request = pack("=IHHII", 16 + len(body), _RTM_NEWLINK, _NLM_F_REQUEST | _NLM_F_ACK, 1, 0) + body
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_ROUTE) as sock:
        sock.send(request)
        (code,) = unpack_from("=i", sock.recv(4096), 16)  # of the nlmsgerr
    if code != 0:
        raise OSError(-code, os.strerror(-code))


def set_address(sock: socket.socket, address: str) -> None:
    import fcntl

    for request, value in ((_SIOCSIFADDR, address), (_SIOCSIFNETMASK, _NETMASK)):
        sockaddr = pack("HH4s8x", socket.AF_INET, 0, socket.inet_aton(value))
        fcntl.ioctl(sock, request, pack("16s16s8x", DEVICE, sockaddr))


def _set(path: str, value: str) -> bool:
    """Sets a kernel parameter of the calling thread's namespace, if it is there and allowed."""
    try:
        Path("/proc/sys", path).write_text(value)
    except OSError:
        return False
    return True
