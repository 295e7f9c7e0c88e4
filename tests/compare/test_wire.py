"""The programmable wire: its fates from a seed, and real kernels at its two ends."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import re
import signal
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from compare.chats.liveness import Heartbeat, Keepalive
from compare.chats.plain_udp_client import PlainUdpClient
from compare.chats.plain_udp_server import PlainUdpServer
from compare.chats.tcp_client import TcpClient
from compare.chats.tcp_server import TcpServer
from compare.chats.tcp_settings import TcpSettings
from compare.wire.link import UNDER_WAY_MAX, Direction, Quality, Tally
from compare.wire.network import End, Wire, WireUnavailable, missing
from tests.compare.test_tcp import Ear
from tests.processes import PROJECT, WAIT_SECONDS, eventually
from tests.wires import LACKING, needs_wire

PORT = 9091


def packet(number: int, protocol: int = 17, fragment: int = 0) -> bytes:
    """As much of an IPv4 packet as the wire looks at, and a number to tell it by."""
    header = struct.pack("!BBHHHBBHII", 0x45, 0, 24, 0, fragment, 64, protocol, 0, 1, 2)
    return header + struct.pack("!I", number)


def number_of(data: bytes) -> int:
    number: int = struct.unpack("!I", data[20:24])[0]
    return number


def carried(
    direction: Direction, count: int, gap_seconds: float = 0.001
) -> list[tuple[int, float]]:
    """What comes out, and when, of as many packets that go in at even distances."""
    out = []
    for number in range(count):
        now = number * gap_seconds
        out += [(number_of(p), now) for p in direction.packets_to_deliver(now)]
        direction.receive(packet(number), now)
    while (at := direction.next_timeout()) is not None:
        out += [(number_of(p), at) for p in direction.packets_to_deliver(at)]
    return out


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


# --- fates -----------------------------------------------------------------------------------

ROUGH = Quality(0.1, 0.02, 0.005, 0.1, 0.1, 0.01)


def test_the_same_seed_gives_the_same_fate_and_another_one_another() -> None:
    first = carried(Direction("up", 5, ROUGH), 1000)
    assert carried(Direction("up", 5, ROUGH), 1000) == first
    assert carried(Direction("down", 5, ROUGH), 1000) != first
    assert carried(Direction("up", 6, ROUGH), 1000) != first


def test_a_packets_fate_does_not_hang_on_what_is_set_besides() -> None:
    lost_alone = {n for n, _ in carried(Direction("up", 5, Quality(loss=0.1)), 2000)}
    lost_among_others = {n for n, _ in carried(Direction("up", 5, ROUGH), 2000)}
    assert lost_alone == lost_among_others
    lost_more = {n for n, _ in carried(Direction("up", 5, Quality(loss=0.2)), 2000)}
    assert lost_more < lost_alone


def test_a_packets_fate_does_not_hang_on_when_settings_were_changed() -> None:
    direction = Direction("up", 5, Quality(loss=1, cut=True))
    for number in range(500):
        direction.receive(packet(number), 0)
    direction.quality = ROUGH
    for number in range(500, 1000):
        direction.receive(packet(number), 0)
    late = [number_of(p) for p in direction.packets_to_deliver(1)]
    whole = Direction("up", 5, ROUGH)
    for number in range(1000):
        whole.receive(packet(number), 0)
    assert sorted(late) == sorted(
        n for p in whole.packets_to_deliver(1) if (n := number_of(p)) >= 500
    )


def test_a_perfect_wire_changes_nothing() -> None:
    direction = Direction("up", 1, Quality())
    for number in range(100):
        direction.receive(packet(number), number)
        assert direction.packets_to_deliver(number) == [packet(number)]
    assert direction.next_timeout() is None


def test_a_delay_is_exact_and_jitter_spreads_it_without_reordering() -> None:
    direction = Direction("up", 1, Quality(delay_seconds=0.02, jitter_seconds=0.03))
    out = carried(direction, 1000, gap_seconds=0.001)
    assert [number for number, _ in out] == list(range(1000))
    delays = [at - number * 0.001 for number, at in out]
    assert 0.0199 < min(delays) < 0.025
    assert 0.045 < max(delays) < 0.0515
    exact = carried(Direction("up", 1, Quality(delay_seconds=0.02)), 100, gap_seconds=0.1)
    assert all(at - n * 0.1 == pytest.approx(0.1 if n < 99 else 0.02) for n, at in exact)


def test_what_is_reordered_is_overtaken_and_not_lost() -> None:
    direction = Direction("up", 1, Quality(reordering=0.1, reorder_seconds=0.0055))
    order = [number for number, _ in carried(direction, 1000)]
    assert order != sorted(order)
    assert sorted(order) == list(range(1000))
    overtaken = [number for at, number in enumerate(order) if number < max(order[: at + 1])]
    # The last few have nobody behind them.
    assert 0 <= direction.tallies["udp"].reordered - len(overtaken) <= 5
    assert 60 < len(overtaken) < 140


def test_a_duplicate_comes_right_behind_its_original() -> None:
    direction = Direction("up", 1, Quality(duplication=0.1, delay_seconds=0.02))
    order = [number for number, _ in carried(direction, 1000)]
    assert order == sorted(order)
    tally = direction.tallies["udp"]
    assert tally.delivered == len(order) == 1000 + tally.duplicated
    assert 60 < tally.duplicated < 140
    assert max(order.count(number) for number in order) == 2


def test_a_cut_lets_through_what_is_under_way_alone() -> None:
    direction = Direction("up", 1, Quality(delay_seconds=1))
    direction.receive(packet(1), 0)
    direction.quality = Quality(cut=True)
    direction.receive(packet(2), 0.5)
    assert direction.next_timeout() == 1
    assert direction.packets_to_deliver(0.9) == []
    assert direction.packets_to_deliver(1) == [packet(1)]
    assert direction.next_timeout() is None
    assert direction.tallies["udp"].cut == 1


def test_what_a_direction_holds_is_bounded() -> None:
    direction = Direction("up", 1, Quality(delay_seconds=1))
    for number in range(UNDER_WAY_MAX + 10):
        direction.receive(packet(number), 0)
    assert direction.tallies["udp"].overflowed == 10
    assert len(direction.packets_to_deliver(1)) == UNDER_WAY_MAX


def test_packets_are_counted_by_protocol_and_fragments_apart() -> None:
    direction = Direction("up", 1, Quality())
    more_fragments, dont_fragment = 0x2000, 0x4000
    for data in (
        packet(1, 6),
        packet(2, 6, dont_fragment),
        packet(3, 17, more_fragments),
        packet(4, 17, 185),
        packet(5, 1),
        packet(6, 2),
        b"\x60" + bytes(60),
        b"\x45",
    ):
        direction.receive(data, 0)
    sent = {name: (t.sent, t.sent_bytes, t.fragments) for name, t in direction.tallies.items()}
    assert sent == {
        "tcp": (2, 48, 0),
        "udp": (2, 48, 2),
        "icmp": (1, 24, 0),
        "other": (3, 24 + 61 + 1, 0),
    }


def test_tallies_can_be_subtracted() -> None:
    assert Tally(5, 50, 2, delivered=3) - Tally(4, 40, 2) == Tally(1, 10, delivered=3)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": -0.1},
        {"loss": (0, 1.1)},
        {"delay_seconds": -1},
        {"duplication": float("nan")},
    ],
)
def test_a_setting_that_cannot_be_is_refused(settings: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        Wire(**settings)  # type: ignore[arg-type]  # each has its own type


def test_where_there_can_be_no_wire_it_is_said_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert missing() == "network namespaces need Linux, and this is darwin"
    with pytest.raises(WireUnavailable, match="darwin"):
        Wire().start()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's namespaces and TUN")
def test_a_missing_device_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = Path.exists
    monkeypatch.setattr(Path, "exists", lambda path: path.name != "tun" and real(path))
    assert "no /dev/net/tun" in (missing() or "")
    with pytest.raises(WireUnavailable, match="no /dev/net/tun"):
        Wire().start()


REAL_CDLL = ctypes.CDLL


class Libc:
    """The C library, in which one call is forbidden."""

    def __init__(self, forbidden: str) -> None:
        self._libc = REAL_CDLL(None, use_errno=True)
        self._forbidden = forbidden

    def __getattr__(self, call: str) -> Any:
        return self._refuse if call == self._forbidden else getattr(self._libc, call)

    def _refuse(self, *_: object) -> int:
        ctypes.set_errno(errno.EPERM)
        return -1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs Linux's namespaces and TUN")
@pytest.mark.parametrize(
    ("call", "says"),
    [
        ("unshare", "no right to make network namespaces (run it as root, or"),
        ("setns", "this process cannot return from a network namespace"),
        ("ioctl", "no TUN device can be made"),
    ],
)
def test_a_missing_right_is_named(monkeypatch: pytest.MonkeyPatch, call: str, says: str) -> None:
    if LACKING is not None and call != "unshare":
        pytest.skip(f"no wire here: {LACKING}")

    def forbidden(*_: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    if call == "ioctl":
        monkeypatch.setattr("fcntl.ioctl", forbidden)
    else:
        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Libc(call))
    descriptors = open_descriptors()
    why = missing() or ""
    assert says in why
    assert why.endswith(": Operation not permitted")
    assert open_descriptors() == descriptors


# --- real kernels ----------------------------------------------------------------------------


@contextlib.contextmanager
def udp_socket(wire: Wire, end: End, port: int = 0) -> Iterator[socket.socket]:
    with wire.inside(end):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        sock.bind(("", port))
        sock.settimeout(WAIT_SECONDS)
        yield sock


def send_numbers(wire: Wire, count: int) -> list[int]:
    """Sends numbered datagrams from a to b; which ones arrive, in the order they do."""
    arrived: list[int] = []
    with udp_socket(wire, "a") as sender, udp_socket(wire, "b", PORT) as receiver:
        before = wire.counters["up"]["udp"]
        for number in range(count):
            sender.sendto(struct.pack("!I", number), (wire.address("b"), PORT))
            if number % 100 == 99:  # no faster than the wire takes them
                wait_for_packets(wire, before.sent + number + 1)
        expected = wire.counters["up"]["udp"] - before
        copies = count - expected.lost - expected.cut + expected.duplicated
        arrived += [struct.unpack("!I", receiver.recv(100))[0] for _ in range(copies)]
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):  # and no more than that
            receiver.recv(100)
    assert wire.device_drops() == {"a": 0, "b": 0}
    return arrived


def wait_for_packets(wire: Wire, count: int) -> None:
    """Waits until so many UDP packets have come to the wire at a."""
    eventually(lambda: wire.counters["up"]["udp"].sent >= count)


def round_trips(wire: Wire, count: int) -> list[float]:
    """What `ping` would measure from a to b, in seconds: ICMP echoes, answered by b's kernel."""
    seconds = []
    with wire.inside("a"):
        sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    with sock:
        sock.settimeout(WAIT_SECONDS)
        for number in range(count):
            checksum = 0xFFFF - (0x0800 + number)
            began_at = time.monotonic()
            sock.sendto(struct.pack("!BBHHH", 8, 0, checksum, 0, number), (wire.address("b"), 0))
            reply = b""
            while reply[20:21] != b"\0" or reply[26:28] != struct.pack("!H", number):
                reply = sock.recv(2000)
            seconds.append(time.monotonic() - began_at)
    return seconds


@needs_wire
@pytest.mark.parametrize("delay_seconds", [0.0, 0.02])
def test_a_round_trip_takes_twice_the_delay(delay_seconds: float) -> None:
    measured: list[list[float]] = []

    def most_take_hardly_longer() -> bool:
        measured.append(round_trips(wire, 25))
        return statistics.median(measured[-1]) < 2 * delay_seconds + 0.01

    with Wire() as wire:
        wire.set(delay_seconds=delay_seconds)
        # Never too short; as for too long, this machine may be busy, but not all the time.
        eventually(most_take_hardly_longer)
        assert min(map(min, measured)) >= 2 * delay_seconds
        count = 25 * len(measured)
        icmp = wire.counters["up"]["icmp"]
        assert (icmp.sent, icmp.delivered, icmp.sent_bytes) == (count, count, count * 28)


@needs_wire
def test_delays_can_differ_by_direction() -> None:
    measured: list[float] = []

    def one_takes_hardly_longer() -> bool:
        measured.extend(round_trips(wire, 5))
        return min(measured) < 0.05

    with Wire(delay_seconds=(0.03, 0.0)) as wire:
        eventually(one_takes_hardly_longer)
    assert min(measured) >= 0.03


@needs_wire
def test_the_kernels_meet_the_fates_of_the_seed_within_what_chance_allows() -> None:
    count, loss, duplication = 2500, 0.2, 0.1
    quality = Quality(loss=loss, duplication=duplication)
    expected = [number for number, _ in carried(Direction("up", 3, quality), count)]
    runs = []
    for _ in range(2):
        with Wire(loss=(loss, 0), duplication=(duplication, 0), seed=3) as wire:
            runs.append(send_numbers(wire, count))
            tally = wire.counters["up"]["udp"]
            assert (tally.sent, tally.sent_bytes) == (count, count * 32)
            assert tally.delivered == len(runs[-1]) == count - tally.lost + tally.duplicated
            assert wire.counters["down"]["udp"] == Tally()
    assert runs[0] == runs[1] == expected
    deviation = (count * loss * (1 - loss)) ** 0.5
    assert abs(tally.lost - count * loss) < 5 * deviation
    survivors = count * (1 - loss)
    deviation = (survivors * duplication * (1 - duplication)) ** 0.5
    assert abs(tally.duplicated - survivors * duplication) < 5 * deviation


@needs_wire
def test_what_the_wire_reorders_arrives_in_another_order() -> None:
    with Wire(reordering=0.2, reorder_seconds=0.02) as wire:
        arrived = send_numbers(wire, 1000)
    assert arrived != sorted(arrived)
    assert sorted(arrived) == list(range(1000))


@needs_wire
def test_tcp_itself_repairs_what_the_wire_loses_in_packets_no_larger_than_the_mtu() -> None:
    data = os.urandom(500_000)
    with Wire(loss=0.05, delay_seconds=0.002, mtu=1400) as wire:
        assert wire.congestion_control in ("cubic", "reno")
        with wire.inside("b"):
            listener = socket.create_server((wire.address("b"), PORT))
        received = bytearray()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                while part := connection.recv(65536):
                    received.extend(part)

        server = threading.Thread(target=serve)
        server.start()
        with listener, wire.inside("a"):
            with socket.create_connection((wire.address("b"), PORT)) as client:
                client.sendall(data)
            server.join()
        assert received == data
        up = wire.counters["up"]["tcp"]
        assert up.lost > 0
        assert up.sent_bytes > len(data) + 40 * up.sent  # it was sent again
        assert 0.9 * 1400 < up.sent_bytes / up.sent <= 1400  # no super-packets: GSO is off


@needs_wire
def test_a_datagram_larger_than_the_mtu_goes_in_fragments() -> None:
    with Wire() as wire, udp_socket(wire, "a") as sender, udp_socket(wire, "b", PORT) as receiver:
        sender.sendto(b"x" * 4000, (wire.address("b"), PORT))
        assert receiver.recv(65536) == b"x" * 4000
        up = wire.counters["up"]["udp"]
        assert (up.sent, up.fragments) == (3, 3)
        assert up.sent_bytes == 4000 + 8 + 3 * 20
        sender.sendto(b"x" * 1472, (wire.address("b"), PORT))
        assert len(receiver.recv(65536)) == 1472
        assert (wire.counters["up"]["udp"] - up).fragments == 0


@needs_wire
def test_nothing_is_on_a_wire_that_nobody_uses() -> None:
    with Wire() as wire:
        round_trips(wire, 10)
        idle = Tally()
        for tallies in wire.counters.values():
            assert [tallies[name] for name in ("tcp", "udp", "other")] == [idle] * 3


@needs_wire
def test_a_cut_is_silent_and_a_restored_wire_works_on() -> None:
    with Wire() as wire, udp_socket(wire, "a") as a, udp_socket(wire, "b", PORT) as b:
        there = (wire.address("b"), PORT)
        a.sendto(b"1", there)
        data, back = b.recvfrom(100)
        for direction, passes_up in ((None, False), ("up", False), ("down", True)):
            wire.cut(direction)
            a.sendto(b"2", there)  # no error: nobody tells
            b.sendto(b"3", back)
            eventually(lambda: wire.counters["down"]["udp"].sent > 0)
            wire.restore()
            a.sendto(b"4", there)
            b.sendto(b"5", back)
            assert [b.recv(100) for _ in range(1 + passes_up)] == [b"2", b"4"][not passes_up :]
            got = [a.recv(100)]
            if direction == "up":
                got.append(a.recv(100))
            assert got == ([b"3", b"5"] if direction == "up" else [b"5"])
        assert wire.counters["up"]["udp"].cut == 2
        assert wire.counters["down"]["udp"].cut == 2
        assert data == b"1"


@needs_wire
def test_an_end_can_change_its_address_in_mid_conversation() -> None:
    with Wire() as wire, udp_socket(wire, "a") as a, udp_socket(wire, "b", PORT) as b:
        first = wire.address("a")
        a.sendto(b"hello", (wire.address("b"), PORT))
        assert b.recvfrom(100)[1][0] == first
        second = wire.change_address("a")
        assert wire.address("a") == second != first
        a.sendto(b"it is me", (wire.address("b"), PORT))
        data, address = b.recvfrom(100)
        assert (data, address[0]) == (b"it is me", second)
        b.sendto(b"to where you are", address)
        assert a.recv(100) == b"to where you are"
        b.sendto(b"to where you were", (first, address[1]))
        b.sendto(b"end", address)
        assert a.recv(100) == b"end"


@needs_wire
def test_several_programs_may_run_at_an_end_and_none_survives_the_wire() -> None:
    greet = (
        "import socket, sys, signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit(7));"
        "sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM);"
        f"sock.sendto(sys.argv[2].encode(), (sys.argv[1], {PORT})); signal.pause()"
    )
    with Wire() as wire:
        with udp_socket(wire, "b", PORT) as receiver:
            programs = [
                wire.run_in("a", [sys.executable, "-c", greet, wire.address("b"), str(number)])
                for number in range(3)
            ]
            heard = [receiver.recvfrom(100) for _ in programs]
        assert sorted(data for data, _ in heard) == [b"0", b"1", b"2"]
        assert {address[0] for _, address in heard} == {wire.address("a")}
        assert len({address[1] for _, address in heard}) == 3
        programs[0].send_signal(signal.SIGSTOP)
        assert [program.poll() for program in programs] == [None] * 3
    assert [program.returncode for program in programs] == [7] * 3


# --- cleaning up -----------------------------------------------------------------------------


def users_of(namespaces: set[int]) -> set[int]:
    """The processes on this machine that hold one of these network namespaces.

    The number of one that has gone is given out again: later it may be another test's.
    """
    pattern = re.compile(r"net:\[(\d+)\]")
    users = set()
    for link in [*Path("/proc").glob("[0-9]*/fd/*"), *Path("/proc").glob("[0-9]*/ns/net")]:
        with contextlib.suppress(OSError):
            found = pattern.match(str(link.readlink()))
            if found and int(found[1]) in namespaces:
                users.add(int(link.parts[2]))
    return users


def namespaces_of(wire: Wire) -> set[int]:
    return {Path(wire.namespace("a")).stat().st_ino, Path(wire.namespace("b")).stat().st_ino}


def is_running(process_id: int) -> bool:
    return Path(f"/proc/{process_id}").exists()


@needs_wire
def test_a_wire_leaves_nothing_behind_also_when_its_user_fails() -> None:
    descriptors = open_descriptors()
    home = Path("/proc/thread-self/ns/net").readlink()
    wire = Wire()
    namespaces = set()
    users = set()
    process_id = 0

    def use_and_fail() -> None:
        nonlocal process_id
        with wire:
            namespaces.update(namespaces_of(wire))
            process_id = wire.process_id
            users.update(users_of(namespaces))
            assert os.getpid() in users
            with wire.inside("a"):
                assert Path("/proc/thread-self/ns/net").readlink() != home
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        use_and_fail()
    assert Path("/proc/thread-self/ns/net").readlink() == home
    assert not users & users_of(namespaces)
    assert not is_running(process_id)
    assert open_descriptors() == descriptors
    wire.close()  # once more does no harm


@needs_wire
def test_a_wire_that_cannot_start_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    descriptors = open_descriptors()
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    with pytest.raises(FileNotFoundError):
        Wire().start()
    assert open_descriptors() == descriptors


@needs_wire
def test_the_end_of_a_wires_process_is_told_and_not_waited_for() -> None:
    with Wire() as wire:
        os.kill(wire.process_id, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="the wire's process has ended"):
            _ = wire.counters


@needs_wire
def test_a_killed_owner_leaves_no_namespace_and_no_process_behind() -> None:
    owner = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import os, signal; from compare.wire.network import Wire\n"
            "with Wire() as wire:\n"
            "    print(wire.process_id, *(os.stat(wire.namespace(e)).st_ino for e in 'ab'))\n"
            "    import sys; sys.stdout.flush(); signal.pause()",
        ],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
    )
    assert owner.stdout is not None
    with owner.stdout:
        process_id, *namespaces = map(int, owner.stdout.readline().split())
        users = users_of(set(namespaces))
        assert owner.pid in users
        assert is_running(process_id)
        owner.kill()
        owner.wait()
    eventually(lambda: not is_running(process_id))
    assert not users & users_of(set(namespaces))


# --- the chats on the wire -------------------------------------------------------------------


def all_relayed(wire: Wire, before: dict[str, Tally]) -> bool:
    """Whether as many UDP packets have come back to the wire as it has let through to b."""
    counters = wire.counters
    up, down = (counters[name]["udp"] - before[name] for name in ("up", "down"))
    return down.sent == up.sent - up.lost


@needs_wire
def test_plain_udp_loses_what_the_wire_loses_and_tcp_does_not() -> None:
    lines = [str(number) for number in range(300)]
    loss = 0.2
    with Wire(seed=2) as wire, contextlib.ExitStack() as stack:
        with wire.inside("b"):
            plain_server = stack.enter_context(PlainUdpServer(wire.address("b"), 0))
            tcp_server = stack.enter_context(TcpServer(wire.address("b"), 0))
        plain_hears, tcp_hears = Ear(), Ear()
        with wire.inside("a"):
            plain = PlainUdpClient(
                plain_server.address, "Anna", plain_hears, heartbeat=Heartbeat(WAIT_SECONDS)
            )
            stack.enter_context(plain)
            tcp = stack.enter_context(TcpClient(tcp_server.address, "Anna", tcp_hears))
        before = {direction: tallies["udp"] for direction, tallies in wire.counters.items()}
        wire.set(loss=loss)
        for number, line in enumerate(lines):
            plain.say(line)
            tcp.say(line)
            if number % 20 == 19:  # no faster than buffers take it
                wait_for_packets(wire, before["up"].sent + number + 1)
        eventually(lambda: all_relayed(wire, before))
        wire.set(loss=0)
        assert tcp.finish()
        assert plain.finish()
        assert tcp_hears.texts() == lines
        udp = {name: tallies["udp"] - before[name] for name, tallies in wire.counters.items()}
    # What came is what the wire did not lose, to the line: nothing was repaired.
    assert len(plain_hears.texts()) == len(lines) - udp["up"].lost - udp["down"].lost
    assert set(plain_hears.texts()) < set(lines)
    arrives = (1 - loss) ** 2
    deviation = (len(lines) * arrives * (1 - arrives)) ** 0.5
    assert abs(len(plain_hears.texts()) - len(lines) * arrives) < 5 * deviation


@needs_wire
@pytest.mark.parametrize("room_talks", [False, True])
def test_a_tcp_client_whose_link_is_cut_is_found_dead_by_the_kernel(room_talks: bool) -> None:
    keepalive = Keepalive(1, 2)
    settings = TcpSettings(keepalive=keepalive)
    cut_off_hears, stays_hears = Ear(), Ear()
    with Wire() as wire, contextlib.ExitStack() as stack:
        with wire.inside("b"):
            server = stack.enter_context(TcpServer(wire.address("b"), 0, settings))
            stays = stack.enter_context(TcpClient(server.address, "Anna", stays_hears))
        with wire.inside("a"):
            stack.enter_context(
                TcpClient(server.address, "Boris", cut_off_hears, keepalive=keepalive)
            )
        stays_hears.wait_for("join", name="Boris")
        wire.cut()
        cut_at = time.monotonic()
        if room_talks:  # then the kernel does not probe, but sends again
            stays.say("are you there?")
        assert stays_hears.wait_for("leave", name="Boris")["reason"] == "timeout"
        assert cut_off_hears.wait_for("left")["reason"] == "timeout"
        assert time.monotonic() - cut_at > 1


@needs_wire
def test_the_loopback_of_a_new_namespace_is_brought_up() -> None:
    """`unshare --net` leaves it down, and some experiments run on it."""
    program = (
        "import socket\n"
        "from compare.wire.namespaces import bring_up_loopback\n"
        "bring_up_loopback()\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9091))\n"
    )
    done = subprocess.run(
        [
            "unshare",
            "--user",
            "--map-root-user",
            "--net",
            sys.executable,
            "-W",
            "ignore",
            "-c",
            program,
        ],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )
    assert (done.returncode, done.stderr) == (0, "")
