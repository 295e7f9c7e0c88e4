"""A programmable wire between real kernels: two network namespaces, and a process between them.

Each end, "a" and "b", is a network namespace of its own: a kernel's whole network stack, with
one address and one TUN device. What it sends comes out of its device as an IP packet, and the
wire's process (link.py) loses, delays, duplicates or reorders it before it writes it to the
other device. So a program at an end uses plain sockets, TCP's retransmission is the kernel's
own, and what is counted is what a cable would carry.

  with Wire(loss=0.1, delay_seconds=0.02, seed=7) as wire:
      server = wire.run_in("b", [sys.executable, "udp_server.py", "--host", wire.address("b")])
      client = wire.run_in("a", [sys.executable, "udp_client.py", wire.address("b")])
      wire.set(loss=(0.2, 0.0))   # from a to b, from b to a
      wire.cut(); wire.restore(); wire.change_address("a")
      print(wire.counters["up"]["udp"].sent)

Needs Linux, and either root or unprivileged user namespaces, with /dev/net/tun; `missing()` says
what this machine lacks. The namespaces have no names: they, the devices and the wire's process
live as long as this process holds them, so nothing stays behind, however it ends. To look in:
`nsenter --net=$(the path that wire.namespace("a") tells) tcpdump -i wire`.

Measured on two cores (Linux 6.18, Python 3.11): an ICMP round trip takes 0.3 ms at no delay and
40.4 ms at 20 ms each way (p99 41.1 ms; it never comes early). It carries 80,000 packets a second
of 128 bytes without a loss of its own, and as much as 65 MB/s of TCP; starting takes 0.1 s. On a
link with a rate, from 100 kB/s to 2 MB/s, a full packet of a burst arrives 0.2 ms after the moment
that the rate gives, and never before it; while other programs keep both cores busy, one in a
hundred arrives 3 ms late, 10 ms at most. Such delays do not add up. The
congestion control is cubic or, where that is left to the machine's own namespace, reno: record
`congestion_control` beside the figures.

Whatever would falsify the figures is off: no IPv6 (so no neighbour discovery between the packets
counted), no segmentation offload (a TUN device without IFF_VNET_HDR has none), no memory of
earlier connections (tcp_no_metrics_save), queues so long that only the wire loses (if
`device_drops()` is not 0, they were too short).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias

from compare.wire.link import DIRECTIONS, PROTOCOLS, Quality, Tally
from compare.wire.namespaces import WireUnavailable as WireUnavailable  # part of the API
from compare.wire.namespaces import enter, in_own_thread, make_end, set_address

End: TypeAlias = Literal["a", "b"]
Setting: TypeAlias = "float | tuple[float, float]"
"""For both directions, or for (up, down): from a to b, from b to a."""
Counters: TypeAlias = "dict[str, dict[str, Tally]]"
"""By direction ("up", "down") and protocol ("tcp", "udp", "icmp", "other")."""

END_SECONDS = 3.0
"""How long programs at the ends may take to end when they are told to."""

_NETWORK = {"a": "10.91.1.", "b": "10.91.2."}
_ADDRESSES_MAX = 250


def missing() -> str | None:
    """What a wire needs and this machine lacks; None if there can be one. Tries it out."""
    try:
        namespace, device, _ = in_own_thread(lambda: make_end("10.91.1.1", 1500, ()))
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
        *,
        seed: int = 1,
        mtu: int = 1500,
        congestion_controls: Sequence[str] = ("cubic", "reno"),
        **settings: Setting,
    ) -> None:
        """`settings` are the fields of `Quality` by name, each for both directions or a pair.

        `congestion_controls`: TCP's, the first that this machine allows; none: its own.
        """
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
        self._change(**settings)

    def __enter__(self) -> Wire:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def process_id(self) -> int:
        """Of the process that carries the packets, once started."""
        assert self._process is not None, "start first"
        return self._process.pid

    def start(self) -> None:
        """Makes both ends and joins them; returns once the wire carries packets."""
        assert self._process is None, "a wire starts once"
        devices = []
        try:
            for end in ("a", "b"):
                namespace, device, self.congestion_control = in_own_thread(
                    partial(make_end, self.address(end), self.mtu, self._congestion_controls)
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
        """Moves the calling thread, and what it starts, to this end while entered.

        A socket belongs to where it was made, and a thread or process to where it was started:
        so a client whose `start` and `close` are called inside is at this end for good.
        """
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            enter(self._namespaces[end])
            try:
                yield
            finally:
                enter(home)
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
                set_address(sock, address)
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
        """Changes settings, by the names of `Quality`, for packets from now on."""
        self._change(**settings)
        self._ask(self._as_json())

    def cut(self, direction: str | None = None) -> None:
        """Takes in no more packets, in one direction ("up", "down") or both. No end is told."""
        self._set_cut(direction, cut=True)

    def restore(self, direction: str | None = None) -> None:
        """Ends a `cut`."""
        self._set_cut(direction, cut=False)

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

    def _set_cut(self, direction: str | None, *, cut: bool) -> None:
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


def _end(programs: Sequence[subprocess.Popen[bytes]]) -> None:
    for program in programs:
        if program.poll() is None:
            program.terminate()
            program.send_signal(signal.SIGCONT)  # a stopped program does not hear otherwise
    for program in programs:
        try:
            program.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            program.kill()
            program.wait()
