"""The crowds for Redis and NATS, which need not be installed: their bytes, and a made-up server.

The bytes are as Redis 7 and NATS 2.9 were seen to send them.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from typing_extensions import Self

from benchmarks.crowds import (
    SENDERS,
    NatsCrowd,
    RedisCrowd,
    StreamCrowd,
    have_one_order,
)
from tests.processes import WAIT_SECONDS, eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="a crowd needs epoll")

PING = b"PING\r\n"
"""What NATS asks its clients from time to time."""


@dataclass(frozen=True)
class Dialect:
    """What the two ends say to each other."""

    crowd: type[RedisCrowd | NatsCrowd]
    welcome: bytes
    subscribe: bytes
    subscribed: bytes
    publish: bytes
    published: bytes
    message: bytes
    error: bytes

    def delivery(self, sender: int, number: int) -> bytes:
        return self.message + text(sender, number) + b"\r\n"


REDIS = Dialect(
    RedisCrowd,
    welcome=b"",
    subscribe=b"SUBSCRIBE room\r\n",
    subscribed=b"*3\r\n$9\r\nsubscribe\r\n$4\r\nroom\r\n:1\r\n",
    publish=b"*3\r\n$7\r\nPUBLISH\r\n$4\r\nroom\r\n$64\r\n",
    published=b":4\r\n",
    message=b"*3\r\n$7\r\nmessage\r\n$4\r\nroom\r\n$64\r\n",
    error=b"-ERR max number of clients reached\r\n",
)
NATS = Dialect(
    NatsCrowd,
    welcome=b'INFO {"server_id":"NA5V","version":"2.9.10","proto":1,"max_payload":1048576} \r\n',
    subscribe=b'CONNECT {"verbose":false,"pedantic":false}\r\nSUB room 1\r\n',
    subscribed=b"",
    publish=b"PUB room 64\r\n",
    published=b"",
    message=b"MSG room 1 64\r\n",
    error=b"-ERR 'Slow Consumer'\r\n",
)

both = pytest.mark.parametrize(
    "dialect", [pytest.param(REDIS, id="redis"), pytest.param(NATS, id="nats")]
)


def text(sender: int, number: int) -> bytes:
    return f"{sender:02}{number:010}".encode() + b"." * 52


@contextlib.contextmanager
def listening(dialect: Dialect, members: int = 1) -> Iterator[tuple[StreamCrowd, socket.socket]]:
    """A crowd whose members have all joined, and the server's end of the first one's connection."""
    with contextlib.ExitStack() as stack:
        crowd = dialect.crowd(("127.0.0.1", 9), members)  # nobody connects
        stack.callback(crowd.close)
        servers_ends = []
        for _ in range(members):
            ours, theirs = socket.socketpair()
            servers_ends.append(stack.enter_context(theirs))
            ours.setblocking(False)
            crowd.add(ours)
        crowd.said_at[:] = [[0.0] * 10 for _ in range(SENDERS)]
        crowd.counting = True
        yield crowd, servers_ends[0]


def arrive(crowd: StreamCrowd, servers_end: socket.socket, data: bytes) -> None:
    servers_end.sendall(data)
    assert crowd.take(WAIT_SECONDS) == 1


# --- what they are sent ----------------------------------------------------------------------


@both
def test_lines_are_found_wherever_the_stream_is_cut(dialect: Dialect) -> None:
    lines = [(0, 0), (3, 0), (0, 1)]
    size = len(dialect.message) + 64 + 2
    data = b"".join(dialect.delivery(*line) for line in lines)
    for cut in range(1, len(data)):
        with listening(dialect) as (crowd, servers_end):
            arrive(crowd, servers_end, data[:cut])
            assert crowd.positions == [cut // size]
            assert crowd.samples[0].order == lines[: cut // size]
            arrive(crowd, servers_end, data[cut:])
            assert crowd.positions == [3]
            assert crowd.samples[0].order == lines
            assert crowd.samples[0].repeated == 0
            assert len(crowd.samples[0].latencies) == 3


@both
def test_lines_may_come_byte_by_byte(dialect: Dialect) -> None:
    lines = [(0, 0), (1, 0), (2, 0), (0, 1)]
    with listening(dialect) as (crowd, servers_end):
        for byte in b"".join(dialect.delivery(*line) for line in lines):
            arrive(crowd, servers_end, bytes([byte]))
        assert crowd.positions == [4]
        assert crowd.samples[0].order == lines


def test_what_nats_asks_in_between_is_no_line_wherever_the_stream_is_cut() -> None:
    lines = [(0, 0), (3, 0), (0, 1)]
    first, second, third = (NATS.delivery(*line) for line in lines)
    data = PING + first + second + PING + PING + third + PING
    for cut in range(1, len(data)):
        with listening(NATS) as (crowd, servers_end):
            arrive(crowd, servers_end, data[:cut])
            arrive(crowd, servers_end, data[cut:])
            assert crowd.positions == [3]
            assert crowd.samples[0].order == lines
            assert crowd.samples[0].repeated == 0


@both
def test_a_line_that_comes_again_or_late_is_seen(dialect: Dialect) -> None:
    lines = [(0, 0), (0, 0), (1, 0), (0, 2), (0, 1)]
    with listening(dialect) as (crowd, servers_end):
        arrive(crowd, servers_end, b"".join(dialect.delivery(*line) for line in lines))
        sample = crowd.samples[0]
        assert sample.repeated == 2
        assert sample.order == [(0, 0), (1, 0), (0, 2)]
        assert len(sample.latencies) == 3
        assert crowd.positions == [5]


@both
@pytest.mark.parametrize("agree", [True, False])
def test_whether_members_saw_one_order_is_seen(dialect: Dialect, agree: bool) -> None:
    one, other = dialect.delivery(0, 0), dialect.delivery(1, 0)
    with (
        listening(dialect) as (first, to_first),
        listening(dialect) as (second, to_second),
    ):
        arrive(first, to_first, one + other)
        arrive(second, to_second, one + other if agree else other + one)
        assert have_one_order([first.samples[0], second.samples[0]]) is agree


@both
def test_what_is_no_line_of_the_crowd_is_an_error_and_not_counted_silently(
    dialect: Dialect,
) -> None:
    foreign = dialect.message + b"somebody else is in the room".ljust(64) + b"\r\n"
    unasked = dialect.error + dialect.delivery(0, 1)
    for data in (foreign, unasked):
        with listening(dialect) as (crowd, servers_end):
            arrive(crowd, servers_end, dialect.delivery(0, 0))
            servers_end.sendall(data)
            crowd.take(WAIT_SECONDS)
            with pytest.raises(ValueError, match="invalid literal"):
                crowd.samples[0].clear()


@both
def test_of_members_outside_the_sample_bytes_are_counted_alone(dialect: Dialect) -> None:
    with listening(dialect, members=2) as (crowd, servers_end):
        del crowd.samples[0]
        arrive(crowd, servers_end, dialect.message + b"?" * 64 + b"\r\n" + dialect.delivery(0, 0))
        assert crowd.positions == [2, 0]


@both
def test_the_end_of_a_connection_is_an_error(dialect: Dialect) -> None:
    with listening(dialect) as (crowd, servers_end):
        servers_end.shutdown(socket.SHUT_WR)
        with pytest.raises(ConnectionError, match="ended a connection"):
            crowd.take(WAIT_SECONDS)


# --- what they send --------------------------------------------------------------------------


@both
def test_they_subscribe_and_publish_in_these_bytes(dialect: Dialect) -> None:
    with listening(dialect) as (crowd, servers_end):
        crowd.greet(crowd.sockets[0], 0)
        assert servers_end.recv(4096) == dialect.subscribe
        assert crowd.encode(text(1, 7)) == dialect.publish + text(1, 7) + b"\r\n"


def test_what_does_not_go_out_at_once_is_sent_later() -> None:
    """To Redis in the same way, on a connection besides."""
    count = 5000
    received = bytearray()
    with listening(NATS) as (crowd, servers_end):
        crowd.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)  # its minimum
        crowd.said_at[0].clear()
        whole = b"".join(NATS.publish + text(0, number) + b"\r\n" for number in range(count))

        def read() -> None:
            while len(received) < len(whole) and (data := servers_end.recv(65536)):
                received.extend(data)

        reader = threading.Thread(target=read)
        reader.start()
        try:
            crowd.say(0, range(count), 5.0)
        finally:
            crowd.sockets[0].shutdown(socket.SHUT_WR)
            reader.join()
        assert received == whole
        assert crowd.said_at[0] == [5.0] * count


# --- a made-up server ------------------------------------------------------------------------


class Room:
    """A server in a thread that speaks a dialect, and understands nothing besides."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        self._awake, self._wake = socket.socketpair()
        self._unread: dict[socket.socket, bytearray] = {}
        self.subscribers: list[socket.socket] = []
        self.publishers: set[socket.socket] = set()
        self.misunderstood: list[bytes] = []
        self._thread = threading.Thread(target=self._serve, name="made-up server")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._wake.close()
        self._thread.join()
        for sock in (self._listener, self._awake, *self._unread):
            sock.close()

    def _serve(self) -> None:
        while True:
            ready, _, _ = select.select([self._listener, self._awake, *self._unread], [], [])
            if self._awake in ready:
                return
            for sock in ready:
                if sock is self._listener:
                    connection, _ = sock.accept()
                    self._unread[connection] = bytearray()
                    connection.sendall(self._dialect.welcome)
                    continue
                data = sock.recv(65536)
                self._unread[sock] += data
                if data:
                    self._answer(sock, self._unread[sock])
                else:
                    del self._unread[sock]
                    sock.close()

    def _answer(self, sock: socket.socket, unread: bytearray) -> None:
        dialect = self._dialect
        while unread:
            end = len(dialect.publish) + 64 + 2
            if unread.startswith(dialect.subscribe):
                del unread[: len(dialect.subscribe)]
                sock.sendall(dialect.subscribed)
                self.subscribers.append(sock)
            elif unread.startswith(dialect.publish) and unread[end - 2 : end] == b"\r\n":
                line = bytes(unread[len(dialect.publish) : end])
                del unread[:end]
                self.publishers.add(sock)
                for subscriber in self.subscribers:
                    subscriber.sendall(dialect.message + line)
                sock.sendall(dialect.published)
            elif len(unread) >= end:
                self.misunderstood.append(bytes(unread))
                unread.clear()
            else:
                return  # the rest is still to come


@both
@pytest.mark.parametrize("members", [4, 9])
def test_a_crowd_joins_a_room_talks_and_hears_itself(dialect: Dialect, members: int) -> None:
    room = Room(dialect)

    # mypy follows no class that is chosen when the test runs.
    class Patient(dialect.crowd):  # type: ignore[misc, name-defined]
        """Each waits until the made-up server has let it in."""

        def greet(self, sock: socket.socket, member: int) -> None:
            super().greet(sock, member)
            eventually(lambda: len(room.subscribers) > member or room.misunderstood)

    with contextlib.closing(Patient(room.address, members)) as crowd, room:
        crowd.join()
        assert crowd.positions == [0] * members
        until = time.monotonic() + WAIT_SECONDS
        for turn in range(3):
            for sender in range(SENDERS):
                crowd.say(sender, range(2 * turn, 2 * turn + 2), time.monotonic())
            while min(crowd.positions) < 2 * SENDERS * (turn + 1):
                assert time.monotonic() < until, (crowd.positions, room.misunderstood)
                crowd.take(0.1)
        assert crowd.positions == [6 * SENDERS] * members
        samples = list(crowd.samples.values())
        assert len(samples) == 4
        assert have_one_order(samples)
        for sample in samples:
            assert sorted(sample.order) == [(s, n) for s in range(SENDERS) for n in range(6)]
            assert sample.repeated == 0
            assert min(sample.latencies) >= 0
        assert len(room.publishers) == SENDERS
        # Who subscribes to Redis may not publish on that connection.
        assert room.publishers.isdisjoint(room.subscribers) is (dialect is REDIS)
        assert room.misunderstood == []
