"""A programmable wire between real kernels: two network namespaces, and a process between them.

Each end, "a" and "b", is a network namespace of its own: a kernel's whole network stack, with
one address and one TUN device. What it sends comes out of its device as an IP packet, and the
wire's process (link.py) loses, delays, doubles or reorders it before it puts it into the
other device. So a program at an end uses plain sockets, TCP's retransmission is the kernel's
own, and what is counted is what a cable would carry.

  with Wire(loss=0.1, delay_seconds=0.02, seed=7) as wire:
      server = wire.run_in("b", [sys.executable, "udp_server.py", "--host", wire.address("b")])
      client = wire.run_in("a", [sys.executable, "udp_client.py", wire.address("b")])
      wire.set(loss=(0.2, 0.0))   # from a to b, from b to a
      wire.cut(); wire.restore(); wire.change_address("a")
      print(wire.counters["up"]["udp"].sent)

Needs Linux, and either root or unprivileged user namespaces, with /dev/net/tun; `missing()` says
which of it is not there. The namespaces have no names: they, the devices and the wire's process
live as long as this process holds them, so nothing stays behind, however it ends. To look in:
`nsenter --net=$(the path that wire.namespace("a") tells) tcpdump -i wire`.

Measured on two cores (Linux 6.18, Python 3.11): an ICMP round trip takes 0.3 ms at no delay and
40.4 ms at 20 ms each way (p99 41.1 ms; it never comes early). It carries 80,000 packets a second
of 128 bytes without a loss of its own, and as much as 65 MB/s of TCP; starting takes 0.1 s. The
congestion control is cubic or, where that is left to the machine's own namespace, reno: record
`congestion_control` beside the figures.

What would falsify is off: no IPv6 (so no neighbour discovery between the packets counted), no
segmentation offload (a TUN device without IFF_VNET_HDR has none), no memory of earlier
connections (tcp_no_metrics_save), queues long enough that only the wire loses
(`device_drops()` is 0 or tells otherwise).
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from struct import pack, unpack_from
from typing import Any, Literal, TypeAlias, TypeVar

from compare.wire.link import DIRECTIONS, PROTOCOLS, Quality, Tally

End: TypeAlias = Literal["a", "b"]
Setting: TypeAlias = "float | tuple[float, float]"
"""For both directions, or for (up, down): from a to b, from b to a."""
Counters: TypeAlias = "dict[str, dict[str, Tally]]"
"""By direction ("up", "down") and protocol ("tcp", "udp", "icmp", "other")."""

UNPRIVILEGED = ("unshare", "--user", "--map-root-user", "--net")
"""What a command line begins with to have the rights it takes, where users may have them."""

DEVICE = b"wire"

QUEUE_PACKETS = 10_000
"""A device's queue: long enough for a burst to a thousand clients while the wire is busy."""

END_SECONDS = 3.0
"""How long programs at the ends may take to end when they are told to."""

_NETMASK = "255.255.0.0"
_NETWORK = {"a": "10.91.1.", "b": "10.91.2."}
_ADDRESSES_MAX = 250

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


def missing() -> str | None:
    """What a wire would need and is not here; None if there can be one. Tries it out."""
    try:
        namespace, device, _ = _in_thread(lambda: _make_end("10.91.1.1", 1500, ()))
    except WireUnavailable as error:
        return str(error)
    os.close(namespace)
    os.close(device)
    return None


class Wire:
    """Two ends and what is between them. All methods may be called from any thread.

    A setting is one number for both directions or a pair (up, down). Between `start` and `close`
    it carries packets; a context manager. Raises `WireUnavailable` where `missing()` would tell.
    """

    def __init__(
        self,
        loss: Setting = 0.0,
        delay_seconds: Setting = 0.0,
        jitter_seconds: Setting = 0.0,
        duplication: Setting = 0.0,
        reordering: Setting = 0.0,
        reorder_seconds: Setting = 0.01,
        seed: int = 1,
        mtu: int = 1500,
        congestion_controls: Sequence[str] = ("cubic", "reno"),
    ) -> None:
        """`congestion_controls`: TCP's, the first that this machine allows; none: its own."""
        self.seed = seed
        self.mtu = mtu
        self.congestion_control = ""
        """The one in force, once started."""
        self.qualities: dict[str, Quality] = {direction: Quality() for direction in DIRECTIONS}
        """What is set, by direction."""
        self._congestion_controls = congestion_controls
        self._host_numbers: dict[str, int] = {"a": 1, "b": 1}
        self._namespaces: dict[str, int] = {}
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._programs: list[subprocess.Popen[bytes]] = []
        self._change(
            loss=loss,
            delay_seconds=delay_seconds,
            jitter_seconds=jitter_seconds,
            duplication=duplication,
            reordering=reordering,
            reorder_seconds=reorder_seconds,
        )

    def __enter__(self) -> Wire:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Makes both ends and joins them; returns once the wire carries packets."""
        assert self._process is None, "a wire starts once"
        devices = []
        try:
            for end in ("a", "b"):
                namespace, device, self.congestion_control = _in_thread(
                    partial(_make_end, self.address(end), self.mtu, self._congestion_controls)
                )
                self._namespaces[end] = namespace
                devices.append(device)
            self._control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                self._process = subprocess.Popen(
                    [
                        sys.executable,
                        "-I",
                        str(Path(__file__).with_name("link.py")),
                        *(str(number) for number in (*devices, theirs.fileno(), self.seed)),
                        self._as_json(),
                    ],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(*devices, theirs.fileno()),
                )
            self._answer()  # it is there
        except BaseException:  # Ctrl-C too: no process or namespace stays behind
            self.close()
            raise
        finally:
            for device in devices:
                os.close(device)  # the process has its own: with it, the devices are gone

    def close(self) -> None:
        """Ends what runs at the ends, the process, the devices and the namespaces. Idempotent."""
        _end(self._programs)
        self._programs.clear()
        with self._lock:
            if self._control is not None:
                self._control.close()  # which ends the process
                self._control = None
            if self._process is not None:
                self._process.wait()
            while self._namespaces:
                os.close(self._namespaces.popitem()[1])

    # --- the ends ----------------------------------------------------------------------------

    def address(self, end: End) -> str:
        """The IPv4 address of an end."""
        return f"{_NETWORK[end]}{self._host_numbers[end]}"

    def namespace(self, end: End) -> str:
        """A path of the end's namespace, for `nsenter --net=`; good while this process lives."""
        return f"/proc/{os.getpid()}/fd/{self._namespaces[end]}"

    @contextlib.contextmanager
    def inside(self, end: End) -> Iterator[None]:
        """The calling thread, and what it starts, is at this end meanwhile.

        A socket belongs to where it was made, and a thread or process to where it was started:
        so a client whose `start` and `close` are called inside is at this end for good.
        """
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _enter(self._namespaces[end])
            try:
                yield
            finally:
                _enter(home)
        finally:
            os.close(home)

    def run_in(self, end: End, arguments: Sequence[str], **options: Any) -> subprocess.Popen[bytes]:
        """Starts a program at an end, with the options of `subprocess.Popen`.

        `close` ends it if it still runs; its pipes are the caller's to close.
        """
        with self.inside(end):
            program = subprocess.Popen(arguments, **options)
        self._programs.append(program)
        return program

    def change_address(self, end: End) -> str:
        """Gives an end another address, and takes the old one away: as when a client changes
        from one network to another. Returns the new one."""
        with self._lock:
            number = self._host_numbers[end] % _ADDRESSES_MAX + 1
            self._host_numbers[end] = number
            address = self.address(end)
            with self.inside(end), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                _set_address(sock, address)
        return address

    def device_drops(self) -> dict[str, int]:
        """By end: packets that its device dropped before the wire saw them. Should be 0."""
        drops = {}
        for end in self._namespaces:
            with self.inside("a" if end == "a" else "b"):
                lines = Path("/proc/thread-self/net/dev").read_text().splitlines()
            fields = next(line for line in lines if line.strip().startswith("wire:")).split()
            drops[end] = int(fields[12])
        return drops

    # --- the wire ----------------------------------------------------------------------------

    def set(self, **settings: Setting) -> None:
        """Changes settings, by their names in the constructor, for packets from now on."""
        self._change(**settings)
        self._ask(self._as_json())

    def cut(self, direction: str | None = None) -> None:
        """Lets nothing in any more, in one direction ("up", "down") or both. No end is told."""
        self._set_cut(direction, True)

    def restore(self, direction: str | None = None) -> None:
        """Ends a `cut`."""
        self._set_cut(direction, False)

    @property
    def counters(self) -> Counters:
        """What has come to the wire so far, and what became of it. Tallies can be subtracted."""
        answer = self._ask("{}")
        return {
            direction: {protocol: Tally(*answer[direction][protocol]) for protocol in PROTOCOLS}
            for direction in DIRECTIONS
        }

    def _change(self, **settings: Setting) -> None:
        changed = {}
        for position, direction in enumerate(DIRECTIONS):
            values: dict[str, Any] = {
                name: value[position] if isinstance(value, tuple) else value
                for name, value in settings.items()
            }
            changed[direction] = dataclasses.replace(self.qualities[direction], **values)
        self.qualities = changed

    def _set_cut(self, direction: str | None, cut: bool) -> None:
        for name in DIRECTIONS if direction is None else (direction,):
            self.qualities[name] = dataclasses.replace(self.qualities[name], cut=cut)
        self._ask(self._as_json())

    def _as_json(self) -> str:
        return json.dumps({name: dataclasses.asdict(q) for name, q in self.qualities.items()})

    def _ask(self, request: str) -> Any:
        with self._lock:
            assert self._control is not None, "start first"
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self._control.send(request.encode())
            return self._answer()

    def _answer(self) -> Any:
        assert self._control is not None
        try:
            answer = self._control.recv(65536)
        except ConnectionResetError:
            answer = b""
        if not answer:
            raise RuntimeError("the wire's process has ended")
        return json.loads(answer)


# --- namespaces and devices ------------------------------------------------------------------


def _in_thread(work: Callable[[], _T]) -> _T:
    """Does it in a thread of its own, which may change its namespace and end there."""
    results: list[_T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(work())
        except BaseException as error:  # for the caller, whose thread is to raise it
            errors.append(error)

    thread = threading.Thread(target=run, name="wire's end")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]


def _make_end(address: str, mtu: int, congestion_controls: Sequence[str]) -> tuple[int, int, str]:
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
            "this process cannot go back from a network namespace (run it as: "
            + " ".join(UNPRIVILEGED)
            + " COMMAND)"
        ):
            _enter(home)
            _enter(namespace)
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


def _enter(namespace: int) -> None:
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
        _set_address(sock, address)
        for name in (DEVICE, b"lo"):
            fcntl.ioctl(sock, _SIOCSIFFLAGS, pack("16sH22x", name, _IFF_UP | _IFF_RUNNING))


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


def _set_address(sock: socket.socket, address: str) -> None:
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


def _end(programs: Sequence[subprocess.Popen[bytes]]) -> None:
    for program in programs:
        if program.poll() is None:
            program.terminate()
            program.send_signal(signal.SIGCONT)  # one that was stopped does not hear else
    for program in programs:
        try:
            program.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
