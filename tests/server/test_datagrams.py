"""Datagrams in and out, one at a time and in batches: the same results, the same errors."""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import random
import select
import selectors
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from compare.wire.network import Wire, missing
from tests.processes import WAIT_SECONDS
from udp_chat.protocol.packets import Address
from udp_chat.server import batch_datagrams, datagrams
from udp_chat.server.batch_datagrams import TRAIN_MAX, BatchDatagrams
from udp_chat.server.datagrams import DATAGRAM_ROOM_BYTES, Datagrams, PlainDatagrams
from udp_chat.server.server_socket import dropped_count, open_datagrams, receive_buffer

LACKING = missing()
IS_LINUX = sys.platform == "linux"
needs_linux = pytest.mark.skipif(not IS_LINUX, reason="sendmmsg and recvmmsg are Linux's")

KINDS = [
    pytest.param(PlainDatagrams, id="plain"),
    pytest.param(BatchDatagrams, id="batch", marks=needs_linux),
]
FAMILIES = [
    pytest.param((socket.AF_INET, "127.0.0.1"), id="ipv4"),
    pytest.param((socket.AF_INET6, "::1"), id="ipv6"),
    pytest.param((socket.AF_INET6, "::ffff:127.0.0.1"), id="both"),
]

Kind = Callable[[socket.socket], Datagrams]


@contextlib.contextmanager
def opened(count: int, family: int, host: str) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        sockets = []
        for _ in range(count):
            sock = stack.enter_context(socket.socket(family, socket.SOCK_DGRAM))
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            sock.bind((host, 0))
            sock.setblocking(False)
            sockets.append(sock)
        yield sockets


@pytest.fixture(autouse=True)
def _one_core() -> Iterator[None]:
    """What is sent from one core arrives in the order sent, to whatever sockets."""
    if not IS_LINUX:
        yield
        return
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


def deliver() -> None:
    """Returns when all that was sent on loopback is where it belongs, or is dropped.

    Mostly that is so before a send returns; but a busy kernel leaves it, in a queue of the core, to
    a thread of its own. A datagram of ours comes behind all that waits there.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        sock.settimeout(WAIT_SECONDS)
        sock.sendto(b"", sock.getsockname())
        sock.recv(1)


def waiting(sock: socket.socket) -> list[tuple[bytes, Address]]:
    """What has come, as the standard library tells it. After `deliver` nothing is under way."""
    received = []
    with contextlib.suppress(BlockingIOError):
        while True:
            received.append(sock.recvfrom(65536))
    return received


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", FAMILIES)
def test_a_datagram_goes_once_to_each_address(kind: Kind, place: tuple[int, str]) -> None:
    with opened(12, *place) as (sender, *members):
        out = kind(sender)
        addresses = tuple(member.getsockname() for member in members)
        for datagram in (b"first", b"", b"third" * 240):
            assert out.send((datagram,), addresses) == []
            deliver()
            for member in members:
                assert waiting(member) == [(datagram, sender.getsockname())]
        # Others, fewer, one, none: it is always those of the call.
        for chosen in (addresses[3:7], addresses[:1], (), addresses):
            assert out.send((b"x",), chosen) == []
            deliver()
            got = [m.getsockname() for m in members if waiting(m) == [(b"x", sender.getsockname())]]
            assert got == list(chosen)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", FAMILIES)
def test_what_has_come_is_received_in_order_with_its_senders(
    kind: Kind, place: tuple[int, str]
) -> None:
    chance = random.Random(7)
    with opened(5, *place) as (receiver, *senders):
        incoming = kind(receiver)
        assert incoming.receive() == []
        for _ in range(3):
            sent = []
            for number in range(60):
                sender = chance.choice(senders)
                datagram = bytes([number]) * chance.choice([0, 1, 64, 1200])
                sender.sendto(datagram, receiver.getsockname())
                sent.append((datagram, sender.getsockname()))
            deliver()
            assert incoming.receive() == sent
        assert incoming.receive() == []


@pytest.mark.parametrize("kind", KINDS)
def test_at_most_so_many_come_in_at_a_time(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "RECEIVE_MAX", 10)
    with opened(2, socket.AF_INET, "127.0.0.1") as (receiver, sender):
        incoming = kind(receiver)
        for number in range(25):
            sender.sendto(bytes([number]), receiver.getsockname())
        deliver()
        batches = [[data[0] for data, _ in incoming.receive()] for _ in range(4)]
        assert batches == [list(range(10)), list(range(10, 20)), list(range(20, 25)), []]


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_datagram_that_is_too_long_its_beginning_comes(kind: Kind) -> None:
    with opened(2, socket.AF_INET, "127.0.0.1") as (receiver, sender):
        incoming = kind(receiver)
        sender.sendto(b"long" * 1000, receiver.getsockname())
        sender.sendto(b"next", receiver.getsockname())
        deliver()
        first, second = [data for data, _ in incoming.receive()]
        assert first == (b"long" * 1000)[:DATAGRAM_ROOM_BYTES]
        assert second == b"next"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", FAMILIES)
def test_a_bad_address_is_reported_and_the_others_are_served(
    kind: Kind, place: tuple[int, str]
) -> None:
    with opened(4, *place) as (sender, *members):
        good = [member.getsockname() for member in members]
        bad = (place[1], 0, *good[0][2:])  # nobody has port 0
        for addresses in [
            (bad, *good),
            (good[0], bad, bad, *good[1:]),
            (*good, bad),
        ]:
            errors = kind(sender).send((b"x",), addresses)
            assert [address for address, _ in errors] == [bad] * addresses.count(bad)
            assert {error.errno for _, error in errors} == {errno.EINVAL}
            deliver()
            assert [len(waiting(member)) for member in members] == [1, 1, 1]
        errors = kind(sender).send((b"x",), (bad,))
        assert [(address, error.errno) for address, error in errors] == [(bad, errno.EINVAL)]


TRAINS = [
    [b"a" * 1200, b"b" * 1200],
    [b"a" * 1200, b"b" * 1200, b"c" * 7],
    [b"a" * 7, b"b" * 1200, b"c" * 1200, b"d" * 1199, b"e" * 1200, b"f", b""],
    [b"a" * 3, b"b" * 2, b"c", b""],
    [b"", b"a", b"", b"", b"b" * 9],
    [bytes([number]) * 100 for number in range(2 * TRAIN_MAX + 3)],
    [b"long" * 5000, b"than" * 5000, b"UDP." * 5000, b"can!" * 5000],
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("place", FAMILIES)
@pytest.mark.parametrize("train", TRAINS, ids=range(len(TRAINS)))
def test_several_datagrams_arrive_as_they_are_and_in_their_order(
    kind: Kind, place: tuple[int, str], train: list[bytes]
) -> None:
    with opened(4, *place) as (sender, *members):
        out = kind(sender)
        addresses = tuple(member.getsockname() for member in members)
        for chosen in (addresses, addresses[:1]):
            assert out.send(train, chosen) == []
            deliver()
            for member in members[: len(chosen)]:
                assert [data for data, _ in waiting(member)] == train
        # A train leaves nothing behind for what is sent after it.
        assert out.send([b"x" * 1300], addresses) == []
        sender.sendto(b"y" * 1400, addresses[0])
        deliver()
        assert [data for data, _ in waiting(members[0])] == [b"x" * 1300, b"y" * 1400]


@needs_linux
def test_datagrams_of_one_size_go_out_in_one_call() -> None:
    calls = 0
    with opened(4, socket.AF_INET, "127.0.0.1") as (sender, *members):
        out = BatchDatagrams(sender)
        real = out._sendmmsg

        def sendmmsg(*arguments: Any) -> int:
            nonlocal calls
            calls += 1
            done: int = real(*arguments)
            return done

        out._sendmmsg = sendmmsg
        addresses = tuple(member.getsockname() for member in members)
        out.send([b"a" * 1200, b"b" * 1200, b"c" * 1200, b"d" * 70], addresses)
        assert (calls, out._can_train) == (1, True)
        deliver()
        assert [len(waiting(member)) for member in members] == [4, 4, 4]


@pytest.mark.skipif(LACKING is not None, reason=f"no wire here: {LACKING}")
@pytest.mark.parametrize("mtu", [1500, 900])
def test_a_train_passes_a_device_that_knows_nothing_of_trains(mtu: int) -> None:
    """A TUN device takes single packets; with the smaller MTU each is cut into fragments."""
    with Wire(mtu=mtu) as wire, contextlib.ExitStack() as stack:
        sockets = []
        for end in ("a", "a", "a", "b"):
            with wire.inside("a" if end == "a" else "b"):
                sock = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            sock.bind((wire.address("a" if end == "a" else "b"), 0))
            sock.settimeout(WAIT_SECONDS)
            sockets.append(sock)
        *members, sender = sockets
        sender.setblocking(False)
        train = [bytes([number]) * 1200 for number in range(20)] + [b"the last"]
        addresses = tuple(member.getsockname() for member in members)
        assert BatchDatagrams(sender).send(train, addresses) == []
        for member in members:
            assert [member.recv(65536) for _ in train] == train


@pytest.mark.parametrize("kind", KINDS)
def test_an_address_that_no_train_reaches_does_not_keep_the_others_waiting(kind: Kind) -> None:
    with opened(4, socket.AF_INET, "127.0.0.1") as (sender, *members):
        first, *others = (member.getsockname() for member in members)
        bad = (first[0], 0)
        errors = kind(sender).send([b"a" * 1200, b"b" * 1200], (first, bad, *others))
        assert [(a, error.errno) for a, error in errors] == [(bad, errno.EINVAL)] * 2
        deliver()
        assert [len(waiting(member)) for member in members] == [2, 2, 2]


@needs_linux
@pytest.mark.parametrize("code", [errno.EMSGSIZE, errno.EIO, errno.EINVAL, errno.EAGAIN])
def test_datagrams_that_cannot_go_as_a_train_go_one_by_one(
    code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the way has a small MTU, or a device that adds no checksums."""
    monkeypatch.setattr(datagrams, "SEND_RETRY_SECONDS", 0.001)
    with opened(3, socket.AF_INET, "127.0.0.1") as (sender, *members):
        out = BatchDatagrams(sender)

        def sendmmsg(*_: Any) -> int:
            ctypes.set_errno(code)
            return -1

        out._sendmmsg = sendmmsg
        addresses = tuple(member.getsockname() for member in members)
        errors = out.send([b"a" * 1200, b"b" * 1200, b"c"], addresses)
        deliver()
        got = [[data[:1] for data, _ in waiting(member)] for member in members]
        if code == errno.EAGAIN:  # the buffer stays full: to try each would take ever longer
            assert [(a, error.errno) for a, error in errors] == [
                (address, code) for address in addresses for _ in range(3)
            ]
            assert got == [[], []]
        else:
            assert errors == []
            assert got == [[b"a", b"b", b"c"]] * 2


@needs_linux
def test_an_old_kernel_knows_no_trains() -> None:
    class Old(socket.socket):
        asked = 0

        def setsockopt(self, level: int, *rest: Any) -> None:
            if level == socket.IPPROTO_UDP:
                self.asked += 1
                raise OSError(errno.ENOPROTOOPT, os.strerror(errno.ENOPROTOOPT))
            super().setsockopt(level, *rest)

    with (
        Old(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        opened(3, socket.AF_INET, "127.0.0.1") as members,
    ):
        out = BatchDatagrams(sender)
        addresses = tuple(member.getsockname() for member in members)
        for _ in range(3):
            assert out.send([b"a" * 1200, b"b" * 1200], addresses) == []
            deliver()
            for member in members:
                assert [data[:1] for data, _ in waiting(member)] == [b"a", b"b"]
        assert sender.asked == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_datagram_that_no_socket_takes_is_an_error_for_each(kind: Kind) -> None:
    with opened(3, socket.AF_INET, "127.0.0.1") as (sender, *members):
        addresses = tuple(member.getsockname() for member in members)
        errors = kind(sender).send((bytes(70_000),), addresses)
        assert [address for address, _ in errors] == list(addresses)
        assert {error.errno for _, error in errors} == {errno.EMSGSIZE}


@pytest.mark.parametrize("kind", KINDS)
def test_more_addresses_than_one_call_takes_are_all_served(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch_datagrams, "BATCH_MAX", 100)  # what waits for delivery is bounded
    counts = [20, 55, 30, 100, 20]
    with opened(len(counts) + 1, socket.AF_INET, "127.0.0.1") as (sender, *members):
        addresses = tuple(
            member.getsockname()
            for member, count in zip(members, counts, strict=True)
            for _ in range(count)
        )
        assert kind(sender).send((b"x",), addresses) == []
        deliver()
        assert [len(waiting(member)) for member in members] == counts


def test_a_full_send_buffer_is_waited_for_and_then_given_up() -> None:
    class Full(socket.socket):
        """Full at the first and second try, then at every other one."""

        tries = 0

        def sendto(self, *arguments: Any) -> int:
            self.tries += 1
            if self.tries <= 2 or self.tries % 2:
                raise BlockingIOError(errno.EAGAIN, "full")
            return super().sendto(*arguments)

    with (
        Full(socket.AF_INET, socket.SOCK_DGRAM) as sender,
        opened(3, socket.AF_INET, "127.0.0.1") as members,
    ):
        addresses = tuple(member.getsockname() for member in members)
        errors = PlainDatagrams(sender).send((b"x",), addresses)
        assert [(address, error.errno) for address, error in errors] == [
            (addresses[0], errno.EAGAIN)
        ]
        deliver()
        assert [len(waiting(member)) for member in members] == [0, 1, 1]


@needs_linux
@pytest.mark.parametrize(
    ("answers", "missed"),
    [
        ([3, 3, 3, 3], []),  # partial sends
        ([1, -errno.EINTR, 4], []),
        ([-errno.EAGAIN, 2, -errno.EAGAIN], []),  # full, and soon no longer
        ([2, -errno.EAGAIN, -errno.EAGAIN], [2]),  # stays full: this one is left to the repair
        ([-errno.ENETUNREACH, 1, -errno.EPERM], [0, 2]),
        ([-errno.EAGAIN, -errno.EPERM, -errno.EAGAIN, 1], [0]),
    ],
)
def test_a_batch_that_breaks_off_is_resumed_behind_what_was_sent(
    answers: list[int], missed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(datagrams, "SEND_RETRY_SECONDS", 0.001)
    with opened(11, socket.AF_INET, "127.0.0.1") as (sender, *members):
        out = BatchDatagrams(sender)
        real, script = out._sendmmsg, iter(answers)

        def sendmmsg(descriptor: int, first: int, count: int, flags: int) -> int:
            answer = next(script, count)
            if answer < 0:
                ctypes.set_errno(-answer)
                return -1
            done: int = real(descriptor, first, min(answer, count), flags)
            return done

        out._sendmmsg = sendmmsg
        addresses = tuple(member.getsockname() for member in members)
        errors = out.send((b"x",), addresses)
        assert [address for address, _ in errors] == [addresses[number] for number in missed]
        deliver()
        assert [len(waiting(m)) for m in members] == [int(n not in missed) for n in range(10)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_link_that_stands_still_holds_up_the_room_a_quarter_of_the_time(
    kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, waits = [100.0], []

    class StandingStill(socket.socket):
        def sendto(self, *_: Any) -> int:
            raise BlockingIOError(errno.EAGAIN, "full")

    class Selector(selectors.DefaultSelector):
        def select(self, timeout: float | None = None) -> Any:
            assert timeout is not None
            waits.append(timeout)
            now[0] += timeout
            return []

    def sendmmsg(*_: Any) -> int:
        ctypes.set_errno(errno.EAGAIN)
        return -1

    monkeypatch.setattr("udp_chat.server.datagrams.selectors.DefaultSelector", Selector)
    monkeypatch.setattr("udp_chat.server.datagrams.time.monotonic", lambda: now[0])
    addresses = tuple(("127.0.0.1", port) for port in range(1, 31))
    with StandingStill(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        out = kind(sender)
        if isinstance(out, BatchDatagrams):
            out._sendmmsg = sendmmsg
        for _ in range(2):
            errors = out.send((b"x",), addresses)
            assert [address for address, _ in errors] == [*addresses]
            assert max(waits) <= datagrams.SEND_RETRY_SECONDS
            assert sum(waits) == pytest.approx(datagrams.SEND_WAITS_SECONDS)
        now[0] += 1.0
        assert len(out.send((b"x", b"y"), addresses)) == 60
        assert sum(waits) == pytest.approx(2 * datagrams.SEND_WAITS_SECONDS)


def test_a_single_datagram_of_a_batch_waits_for_the_buffer_too() -> None:
    class Full(socket.socket):
        tries = 0

        def sendto(self, *arguments: Any) -> int:
            self.tries += 1
            if self.tries == 1:
                raise BlockingIOError(errno.EAGAIN, "full")
            return super().sendto(*arguments)

    for kind in (PlainDatagrams, BatchDatagrams) if IS_LINUX else (PlainDatagrams,):
        with (
            Full(socket.AF_INET, socket.SOCK_DGRAM) as sender,
            opened(1, socket.AF_INET, "127.0.0.1") as (member,),
        ):
            assert kind(sender).send((b"x",), (member.getsockname(),)) == []
            deliver()
            assert len(waiting(member)) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_on_receiving_is_raised_and_loses_no_datagram(kind: Kind) -> None:
    """On Linux one can have it by connecting; Windows reports it so on any socket."""
    with opened(2, socket.AF_INET, "127.0.0.1") as (receiver, gone):
        address = gone.getsockname()
        gone.close()
        incoming = kind(receiver)
        receiver.connect(address)
        receiver.send(b"anybody?")
        assert select.select([receiver], [], [], WAIT_SECONDS)[0]
        with pytest.raises(ConnectionRefusedError):
            incoming.receive()
        assert incoming.receive() == []


def test_what_came_before_an_error_is_received_first() -> None:
    class Resetting(socket.socket):
        receives = 0

        def recvfrom(self, *arguments: Any) -> Any:
            self.receives += 1
            if self.receives % 3 == 0:
                raise ConnectionResetError("a datagram of yours was refused")
            return super().recvfrom(*arguments)

    with (
        Resetting(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        opened(1, socket.AF_INET, "127.0.0.1") as (sender,),
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.setblocking(False)
        for number in range(3):
            sender.sendto(bytes([number]), receiver.getsockname())
        deliver()
        incoming = PlainDatagrams(receiver)
        assert [data for data, _ in incoming.receive()] == [b"\0", b"\1"]
        assert [data for data, _ in incoming.receive()] == [b"\2"]
        with pytest.raises(ConnectionResetError):
            incoming.receive()


@needs_linux
def test_an_address_has_one_form_in_either_direction() -> None:
    addresses: Sequence[tuple[int, Address]] = [
        (socket.AF_INET, ("192.0.2.7", 9091)),
        (socket.AF_INET6, ("2001:db8::7", 65535, 0, 0)),
        (socket.AF_INET6, ("::ffff:192.0.2.7", 1, 0, 0)),
        (socket.AF_INET6, ("fe80::7", 9091, 0x12345, 3)),
    ]
    for family, address in addresses:
        assert batch_datagrams._from_name(batch_datagrams._to_name(family, address)) == address
    assert batch_datagrams._to_name(socket.AF_INET6, ("::1", 5)) == batch_datagrams._to_name(
        socket.AF_INET6, ("::1", 5, 0, 0)
    )


@needs_linux
def test_the_memory_for_addresses_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batch_datagrams, "ADDRESS_CACHE_MAX", 4)
    with opened(11, socket.AF_INET, "127.0.0.1") as (sock, *members):
        both = BatchDatagrams(sock)
        addresses = tuple(member.getsockname() for member in members)
        assert both.send((b"x",), addresses) == []
        for member in members:
            member.sendto(b"y", sock.getsockname())
        deliver()
        assert both.receive() == [(b"y", address) for address in addresses]
        assert len(both._names) <= 4
        assert len(both._addresses) <= 4


def test_where_there_are_no_batches_it_goes_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(1, socket.AF_INET, "127.0.0.1") as (sock,):
        assert isinstance(open_datagrams(sock), BatchDatagrams if IS_LINUX else PlainDatagrams)

        class Library:
            """A C library without these calls."""

        monkeypatch.setattr(ctypes, "CDLL", lambda *_, **__: Library())
        assert isinstance(open_datagrams(sock), PlainDatagrams)
        monkeypatch.undo()
        monkeypatch.setattr(sys, "platform", "darwin")
        assert isinstance(open_datagrams(sock), PlainDatagrams)


@needs_linux
def test_a_sandbox_that_forbids_batches_is_noticed_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    class Forbidding:
        def __init__(self, *_: Any, **__: Any) -> None:
            def forbidden(*_: Any) -> int:
                ctypes.set_errno(errno.ENOSYS)
                return -1

            self.sendmmsg = self.recvmmsg = forbidden

    monkeypatch.setattr(ctypes, "CDLL", Forbidding)
    with opened(1, socket.AF_INET, "127.0.0.1") as (sock,):
        assert isinstance(open_datagrams(sock), PlainDatagrams)


def test_a_python_without_ctypes_can_still_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "batch_datagrams", raising=False)
    monkeypatch.setitem(sys.modules, "ctypes", None)  # importing it raises ImportError
    with opened(1, socket.AF_INET, "127.0.0.1") as (sock,):
        assert isinstance(open_datagrams(sock), PlainDatagrams)


@needs_linux
def test_nothing_that_goes_wrong_leaves_the_socket_cutting_datagrams() -> None:
    with opened(3, socket.AF_INET, "127.0.0.1") as (sender, *members):
        out = BatchDatagrams(sender)
        addresses = tuple(member.getsockname() for member in members)
        assert out.send([b"a" * 10, b"b" * 10], ()) == []

        def interrupted(*_: Any) -> int:
            raise KeyboardInterrupt

        real, out._sendmmsg = out._sendmmsg, interrupted
        with pytest.raises(KeyboardInterrupt):
            out.send([b"a" * 10, b"b" * 10], addresses)
        out._sendmmsg = real
        assert out.send([b"c" * 2000], addresses) == []
        deliver()
        assert [len(data) for data, _ in waiting(members[0])] == [2000]


def test_a_full_buffer_that_cannot_be_waited_for_is_an_error_of_its_datagram(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Full(socket.socket):
        def sendto(self, *_: Any) -> int:
            raise BlockingIOError(errno.EAGAIN, "full")

    def no_descriptors() -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(datagrams.selectors, "DefaultSelector", no_descriptors)  # type: ignore[attr-defined]
    with Full(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        errors = PlainDatagrams(sender).send([b"x"], (("127.0.0.1", 9),))
        assert [error.errno for _, error in errors] == [errno.EAGAIN]


@needs_linux
def test_the_kernel_tells_what_it_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(2, socket.AF_INET, "127.0.0.1") as (receiver, sender):
        granted = receive_buffer(receiver, 4096)
        assert granted == receiver.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert dropped_count(receiver) == 0
        for _ in range(100):
            sender.sendto(b"x", receiver.getsockname())
        deliver()
        kept = len(waiting(receiver))
        assert 0 < kept < 100
        assert dropped_count(receiver) == 100 - kept
        monkeypatch.setattr(datagrams, "_SO_MEMINFO", socket.SO_RCVBUF)
        assert dropped_count(receiver) is None  # an answer of another size
        monkeypatch.setattr(datagrams, "_SO_MEMINFO", 9999)
        assert dropped_count(receiver) is None
        monkeypatch.setattr(sys, "platform", "win32")
        assert dropped_count(receiver) is None


def test_a_refused_buffer_leaves_the_one_there_is() -> None:
    class Refusing(socket.socket):
        def setsockopt(self, *_: Any) -> None:
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    with Refusing(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        had = sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        assert receive_buffer(sock, 1 << 30) == had


@needs_linux
def test_the_bytes_live_until_the_kernel_has_read_them() -> None:
    """Datagrams that nobody else holds, from several threads' worth of garbage."""
    with opened(21, socket.AF_INET, "127.0.0.1") as (sender, *members):
        out = BatchDatagrams(sender)
        addresses = tuple(member.getsockname() for member in members)
        stop = threading.Event()

        def litter() -> None:
            while not stop.is_set():
                b"".join(bytes([7]) * 64 for _ in range(100))

        thread = threading.Thread(target=litter)
        thread.start()
        try:
            for number in range(200):
                assert out.send((bytes([number]) * 64,), addresses) == []
                deliver()
                for member in members:
                    assert waiting(member)[0][0] == bytes([number]) * 64
        finally:
            stop.set()
            thread.join()
