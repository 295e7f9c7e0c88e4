"""The TCP chat to compare with: real sockets, and what clients do to a room."""

from __future__ import annotations

import contextlib
import gc
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

from compare.chats.framing import TEXT_BYTES_MAX, frame, messages_from
from compare.chats.liveness import Keepalive, prepare
from compare.chats.messages import JoinFailed, Kind, Message, TextTooLong
from compare.chats.tcp_client import TcpClient
from compare.chats.tcp_server import TcpServer
from compare.chats.tcp_settings import MEMBERS_MAX, TcpSettings
from tests.processes import WAIT_SECONDS, Program, eventually

if TYPE_CHECKING:
    from udp_chat.client.chat_events import ChatEvent

HELLO = "привет 🙂"


class Ear:
    """What a client hears: an `on_event` that a test can wait at."""

    def __init__(self) -> None:
        self._events: list[ChatEvent] = []
        self._changed = threading.Condition()

    def __call__(self, event: ChatEvent) -> None:
        with self._changed:
            self._events.append(event)
            self._changed.notify_all()

    def events(self, *kinds: str) -> list[ChatEvent]:
        """What has come so far, of these kinds or of all."""
        with self._changed:
            return [event for event in self._events if not kinds or event["event"] in kinds]

    def texts(self) -> list[str]:
        return [event["text"] for event in self.events("chat")]

    def hears(self, kind: str, timeout_seconds: float, **keys: object) -> bool:
        """Whether an event of this kind with these keys and values has come or comes in time."""
        with self._changed:
            return bool(self._changed.wait_for(lambda: self._find(kind, keys), timeout_seconds))

    def wait_for(self, kind: str, **keys: object) -> ChatEvent:
        """The first event of this kind with these keys and values."""
        assert self.hears(kind, WAIT_SECONDS, **keys), (kind, keys, self.events()[-20:])
        return self._find(kind, keys)[0]

    def _find(self, kind: str, keys: dict[str, object]) -> list[ChatEvent]:
        wanted = {"event": kind, **keys}
        return [
            event
            for event in self._events
            if all(key in event and event.get(key) == value for key, value in wanted.items())
        ]


class Raw:
    """A client made of a bare socket, to misbehave with."""

    def __init__(self, server: TcpServer, name: str = "", receive_buffer_bytes: int = 0) -> None:
        self.socket = socket.socket()
        if receive_buffer_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer_bytes)
        self.socket.settimeout(WAIT_SECONDS)
        self.socket.connect(server.address)
        self.messages = messages_from(self.socket)
        if name:
            self.socket.sendall(frame(Message(Kind.HELLO, name)))

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def next(self, kind: Kind) -> Message:
        """The next message of this kind."""
        return next(message for message in self.messages if message.kind is kind)


def _say_all(client: TcpClient, texts: Sequence[str]) -> None:
    for text in texts:
        client.say(text)


@pytest.fixture
def server() -> Iterator[TcpServer]:
    with TcpServer(port=0) as server:
        yield server


# --- a room ----------------------------------------------------------------------------------


def test_all_see_all_lines_joins_and_leaves_in_one_order(server: TcpServer) -> None:
    anna_hears, boris_hears = Ear(), Ear()
    with TcpClient(server.address, "Anna", anna_hears) as anna:
        with TcpClient(server.address, "Boris", boris_hears) as boris:
            assert boris.members == ["Anna", "Boris"]
            joined = boris_hears.wait_for("joined")
            assert (joined["name"], joined["room"]) == ("Boris", "chat")
            assert joined["members"] == ["Anna", "Boris"]
            anna_hears.wait_for("join", name="Boris")
            talkers = [
                threading.Thread(target=_say_all, args=(c, [f"{c.name} {n}" for n in range(200)]))
                for c in (anna, boris)
            ]
            for talker in talkers:
                talker.start()
            for talker in talkers:
                talker.join()
            for ear in (anna_hears, boris_hears):
                for name in ("Anna", "Boris"):
                    ear.wait_for("chat", name=name, text=f"{name} 199")
        assert boris_hears.events()[-1] == {"event": "left"}
        assert anna_hears.wait_for("leave", name="Boris")["reason"] == "left"
        assert anna.members == ["Anna"]
    assert anna_hears.texts() == boris_hears.texts()
    for name in ("Anna", "Boris"):
        said = [text for text in anna_hears.texts() if text.startswith(name)]
        assert said == [f"{name} {number}" for number in range(200)]


def test_three_lines_in_one_send_arrive_as_three(server: TcpServer) -> None:
    hears = Ear()
    with TcpClient(server.address, "Anna", hears), Raw(server, "Boris") as boris:
        boris.next(Kind.WELCOME)
        boris.socket.sendall(b"".join(frame(Message(Kind.SAY, text=f"{n}")) for n in range(3)))
        hears.wait_for("chat", text="2")
        assert hears.texts() == ["0", "1", "2"]


def test_a_line_sent_byte_by_byte_arrives_whole(server: TcpServer) -> None:
    hears = Ear()
    with TcpClient(server.address, "Anna", hears), Raw(server, "Boris") as boris:
        boris.next(Kind.WELCOME)
        boris.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in frame(Message(Kind.SAY, text=HELLO)):
            boris.socket.sendall(bytes([byte]))
        hears.wait_for("chat", text=HELLO)


def test_lines_said_by_two_threads_of_one_client_do_not_mingle(server: TcpServer) -> None:
    hears = Ear()
    texts = ["a" * 40_000, "b" * 40_000]
    with TcpClient(server.address, "Anna", hears) as anna:
        threads = [threading.Thread(target=_say_all, args=(anna, [text] * 10)) for text in texts]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert anna.finish()
    assert sorted(hears.texts()) == sorted(texts * 10)


def test_a_text_of_several_lines_is_several_messages(server: TcpServer) -> None:
    hears = Ear()
    with TcpClient(server.address, "Anna", hears) as anna:
        anna.say("one\ntwo\r\nthree")
        hears.wait_for("chat", text="three")
    assert hears.texts() == ["one", "two", "three"]


def test_a_line_too_long_is_not_sent_and_the_longest_arrives(server: TcpServer) -> None:
    hears = Ear()
    with TcpClient(server.address, "Anna", hears) as anna:
        with pytest.raises(TextTooLong):
            anna.say("x" * (TEXT_BYTES_MAX + 1))
        anna.say("x" * TEXT_BYTES_MAX)
        assert anna.finish()
    assert hears.texts() == ["x" * TEXT_BYTES_MAX]


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no dual-stack IPv6")
@pytest.mark.parametrize(
    ("host", "reached_at"), [("::1", "[::1]"), ("", "127.0.0.1"), ("", "[::1]")]
)
def test_a_room_can_be_on_ipv6_and_on_all_interfaces(host: str, reached_at: str) -> None:
    hears = Ear()
    with TcpServer(host, 0) as server:
        port = server.address[1]
        with (
            TcpClient((reached_at.strip("[]"), port), "Anna", hears),
            Program(
                "compare/chats/tcp_client.py", f"{reached_at}:{port}", "--name", "Boris"
            ) as boris,
        ):
            boris.say("x" * (TEXT_BYTES_MAX + 1), "shorter")
            boris.end_input()
            assert boris.wait() == 1
            assert "Not sent" in boris.complaint()
            hears.wait_for("leave", name="Boris")
            assert hears.texts() == ["shorter"]


# --- names -----------------------------------------------------------------------------------


def test_a_name_is_held_once_until_its_holder_leaves(server: TcpServer) -> None:
    hears = Ear()
    with TcpClient(server.address, "Анна"):
        with pytest.raises(JoinFailed) as failed:
            TcpClient(server.address, "АННА", hears).start()
        assert failed.value.reason == "name_in_use"
        assert hears.wait_for("refused")["reason"] == "name_in_use"
    with TcpClient(server.address, "АННА") as anna:
        assert anna.members == ["АННА"]


@pytest.mark.parametrize(
    ("name", "rule"), [("", "empty"), ("a b", "white_space"), ("x" * 33, "too_long")]
)
def test_a_name_that_breaks_a_rule_is_refused(server: TcpServer, name: str, rule: str) -> None:
    with pytest.raises(JoinFailed) as failed:
        TcpClient(server.address, name).start()
    assert failed.value.reason == f"unusable_name_{rule}"


def test_a_full_room_refuses() -> None:
    with (
        TcpServer(port=0, settings=TcpSettings(members_max=1)) as server,
        TcpClient(server.address, "Anna"),
    ):
        with pytest.raises(JoinFailed) as failed:
            TcpClient(server.address, "Boris").start()
        assert failed.value.reason == "room_full"


def test_connections_that_say_nothing_do_not_pile_up(caplog: pytest.LogCaptureFixture) -> None:
    settings = TcpSettings(members_max=1, strangers_max=1)
    with (
        TcpServer(port=0, settings=settings) as server,
        Raw(server, "Anna") as anna,
        Raw(server),
    ):
        anna.next(Kind.WELCOME)
        with Raw(server) as third, contextlib.suppress(ConnectionResetError):
            assert third.socket.recv(1) == b""
    assert "too many connections" in caplog.text


def test_a_thread_that_cannot_be_had_ends_one_connection_alone(
    server: TcpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears = Ear()

    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with TcpClient(server.address, "Anna", hears) as anna:
        with monkeypatch.context() as patch, socket.socket() as stranger:
            patch.setattr(threading.Thread, "start", no_thread)
            stranger.settimeout(WAIT_SECONDS)
            stranger.connect(server.address)
            with contextlib.suppress(ConnectionResetError):
                assert stranger.recv(1) == b""
        anna.say("still here")
        hears.wait_for("chat", text="still here")


def test_more_members_than_a_welcome_can_list_are_not_allowed() -> None:
    with pytest.raises(ValueError, match="at most"):
        TcpSettings(members_max=MEMBERS_MAX + 1)
    names = "\n".join(["r" * 64, *["n" * 64] * MEMBERS_MAX])
    frame(Message(Kind.WELCOME, "n" * 64, names))  # does not raise


# --- joining that fails ----------------------------------------------------------------------


def test_joining_fails_at_once_where_nobody_listens(server: TcpServer) -> None:
    with TcpServer(port=0) as other:
        nobody = other.address
    with pytest.raises(JoinFailed) as failed:
        TcpClient(nobody, "Anna").start()
    assert failed.value.reason == "connection_refused"


def test_joining_fails_where_no_host_is() -> None:
    with pytest.raises(JoinFailed) as failed:
        TcpClient(("no-such-host.invalid", 9091), "Anna").start()
    assert failed.value.reason == "unknown_host"


def test_joining_a_server_that_accepts_and_says_nothing_times_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        with pytest.raises(JoinFailed) as failed:
            TcpClient(silent.getsockname(), "Anna", join_timeout_seconds=0.1).start()
        assert failed.value.reason == "no_answer"


def test_a_connection_without_a_hello_is_dropped() -> None:
    settings = TcpSettings(hello_seconds=0.1)
    with TcpServer(port=0, settings=settings) as server, Raw(server) as nobody:
        assert nobody.socket.recv(1) == b""


# --- trouble ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: example\r\n\r\n",
        b"\xff" * 100,
        b"\0\0\0\0",
        frame(Message(Kind.BYE)),
    ],
)
@pytest.mark.parametrize("name", ["", "Boris"])
def test_garbage_ends_its_own_connection_alone(
    server: TcpServer, name: str, garbage: bytes
) -> None:
    hears = Ear()
    with TcpClient(server.address, "Anna", hears) as anna, Raw(server, name) as boris:
        if name:
            boris.next(Kind.WELCOME)
        boris.socket.sendall(garbage)
        if name:
            assert hears.wait_for("leave", name="Boris")["reason"] == "malformed"
        with contextlib.suppress(ConnectionResetError):  # what it sent was not all read
            assert list(boris.messages) in ([], [Message(Kind.BYE, text="malformed")])
        anna.say("still here")
        hears.wait_for("chat", text="still here")


def test_a_stalled_client_does_not_freeze_the_room_and_is_dropped_visibly() -> None:
    hears = Ear()
    settings = TcpSettings(message_rate=0, queue_bytes_max=16 * 1024)
    with (
        TcpServer(port=0, settings=settings) as server,
        TcpClient(server.address, "Anna", hears) as anna,
        Raw(server, "Snail", receive_buffer_bytes=4096) as snail,
    ):
        snail.next(Kind.WELCOME)
        anna.say("hello, snail")
        assert snail.next(Kind.CHAT).text == "hello, snail"  # and it never reads again
        # What the kernels hold for the snail is to overflow, and then the server's queue.
        count = 0
        while "Snail" in server.members:
            anna.say(f"{count} {'x' * 1000}")
            count += 1
            hears.wait_for("chat", text=f"{count - 1} {'x' * 1000}")  # each arrives meanwhile
            assert count < 20_000
        assert hears.wait_for("leave", name="Snail")["reason"] == "too_slow"
        anna.say("without it")
        hears.wait_for("chat", text="without it")
        assert hears.events("leave") == [hears.wait_for("leave")]
        # It reads again: it gets what was under way, whole lines in order, and is told why.
        rest = list(snail.messages)
        assert rest[-1] == Message(Kind.BYE, text="too_slow")
        numbers = [int(message.text.split()[0]) for message in rest[:-1]]
        assert numbers == list(range(len(numbers)))
        assert len(numbers) < count - 10  # what waited in the queue is let go of


def test_a_client_that_lags_and_catches_up_again_and_again_misses_nothing() -> None:
    hears = Ear()
    settings = TcpSettings(message_rate=0, queue_bytes_max=512 * 1024)
    with (
        TcpServer(port=0, settings=settings) as server,
        TcpClient(server.address, "Anna", hears) as anna,
        Raw(server, "Snail", receive_buffer_bytes=4096) as snail,
    ):
        snail.next(Kind.WELCOME)
        for first in range(0, 2000, 400):
            for number in range(first, first + 400):  # more than the kernel takes
                anna.say(f"{number} {'x' * 1000}")
            for number in range(first, first + 400):
                assert snail.next(Kind.CHAT).text.startswith(f"{number} ")
        assert server.members == ["Anna", "Snail"]
        assert hears.events("leave") == []


def test_a_client_that_floods_while_it_does_not_read_is_dropped_too() -> None:
    settings = TcpSettings(message_rate=0, queue_bytes_max=16 * 1024, drain_seconds=0.2)
    with (
        TcpServer(port=0, settings=settings) as server,
        Raw(server, "Flood", receive_buffer_bytes=4096) as flood,
    ):
        flood.next(Kind.WELCOME)
        with contextlib.suppress(ConnectionError):
            for _ in range(100_000):
                flood.socket.sendall(frame(Message(Kind.SAY, text="x" * 1000)))
            pytest.fail("it could go on and on")
        assert server.members == []


def test_a_flood_is_held_back_and_arrives_whole() -> None:
    hears = Ear()
    with (
        TcpServer(port=0, settings=TcpSettings(message_rate=100)) as server,
        TcpClient(server.address, "Anna", hears) as anna,
    ):
        began_at = time.monotonic()
        for number in range(250):  # 200 at once, the others at 100 a second
            anna.say(str(number))
        assert anna.finish()
        assert time.monotonic() - began_at > 0.45
        assert hears.texts() == [str(number) for number in range(250)]


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="TCP_USER_TIMEOUT is Linux's")
def test_a_stalled_client_in_a_room_that_has_fallen_silent_is_given_up_by_the_kernel() -> None:
    hears = Ear()
    settings = TcpSettings(message_rate=0, keepalive=Keepalive(1, 2))
    with (
        TcpServer(port=0, settings=settings) as server,
        TcpClient(server.address, "Anna", hears) as anna,
        Raw(server, "Snail", receive_buffer_bytes=4096) as snail,
    ):
        snail.next(Kind.WELCOME)
        for _ in range(400):  # more than the kernel takes, less than the queue holds
            anna.say("x" * 1000)
        assert hears.wait_for("leave", name="Snail")["reason"] == "timeout"


def test_an_aborted_connection_is_announced(server: TcpServer) -> None:
    hears = Ear()
    with TcpClient(server.address, "Anna", hears), Raw(server, "Boris") as boris:
        boris.next(Kind.WELCOME)
        linger = (1).to_bytes(4, sys.byteorder) + bytes(4)  # close() sends RST
        boris.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        boris.socket.close()
        assert hears.wait_for("leave", name="Boris")["reason"] == "connection_lost"


def test_a_connection_that_ends_without_a_goodbye_is_announced_as_such(server: TcpServer) -> None:
    hears = Ear()
    with TcpClient(server.address, "Anna", hears), Raw(server, "Boris") as boris:
        boris.next(Kind.WELCOME)
        boris.socket.sendall(frame(Message(Kind.SAY, text="half a frame is to foll"))[:-5])
        boris.socket.shutdown(socket.SHUT_WR)
        assert hears.wait_for("leave", name="Boris")["reason"] == "disconnected"
        assert hears.texts() == []


def test_a_server_that_closes_tells_the_members_and_waits_for_no_stalled_one() -> None:
    hears = Ear()
    with TcpServer(port=0, settings=TcpSettings(message_rate=0)) as server:
        anna = TcpClient(server.address, "Anna", hears)
        with anna, Raw(server, "Snail", receive_buffer_bytes=4096) as snail:
            snail.next(Kind.WELCOME)
            for _ in range(400):  # more than the kernel takes, less than the queue holds
                anna.say("x" * 1000)
            # What a closing server has not read resets the connection, and the goodbye is lost.
            eventually(lambda: len(hears.texts()) == 400)
            began_at = time.monotonic()
            server.close()
            assert time.monotonic() - began_at < server.settings.close_seconds + WAIT_SECONDS / 2
            assert hears.wait_for("left")["reason"] == "shutting_down"
            assert not anna.finish()


def test_closing_ends_a_say_that_blocks() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        anna = TcpClient(listener.getsockname(), "Anna")
        starter = threading.Thread(target=anna.start)
        starter.start()
        peer, _ = listener.accept()
        with peer:
            peer.sendall(frame(Message(Kind.WELCOME, "Anna", "chat\nAnna")))
            starter.join()
            blocked = threading.Event()
            errors: list[OSError] = []

            def talk() -> None:
                try:
                    while True:
                        anna.say("x" * 100_000)
                        blocked.set()
                except OSError as error:
                    errors.append(error)

            talker = threading.Thread(target=talk)
            talker.start()
            assert blocked.wait(WAIT_SECONDS)
            anna.close()
            talker.join(WAIT_SECONDS)
            assert len(errors) == 1


def test_a_client_may_close_from_its_own_callback(server: TcpServer) -> None:
    hears = Ear()
    clients: list[TcpClient] = []

    def on_event(event: ChatEvent) -> None:
        hears(event)
        if event["event"] == "chat":
            clients[0].close()

    clients.append(TcpClient(server.address, "Anna", on_event))
    with clients[0] as anna:
        anna.say("the last word")
        assert hears.wait_for("left") == {"event": "left"}
    anna.close()  # once more does no harm


def test_a_callback_that_closes_waits_for_a_say_that_is_about_to_return(
    server: TcpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    hears = Ear()
    clients: list[TcpClient] = []
    closed = threading.Event()
    sendall = socket.socket.sendall

    def return_late(sock: socket.socket, data: bytes) -> None:
        sendall(sock, data)
        if b"the last word" in data and threading.current_thread() is threading.main_thread():
            # The room has relayed it, and the callback closes. It has to wait until we return.
            assert not closed.wait(0.2)

    def on_event(event: ChatEvent) -> None:
        if event["event"] == "chat":
            clients[0].close()
            closed.set()
        hears(event)

    with TcpClient(server.address, "Anna", on_event) as anna:
        clients.append(anna)
        monkeypatch.setattr(socket.socket, "sendall", return_late)
        anna.say("the last word")
        assert hears.wait_for("left") == {"event": "left"}


def test_a_callback_that_raises_ends_nothing(
    server: TcpServer, caplog: pytest.LogCaptureFixture
) -> None:
    hears = Ear()

    def on_event(event: ChatEvent) -> None:
        hears(event)
        if event["event"] == "chat":
            raise ValueError("mine")

    with TcpClient(server.address, "Anna", on_event) as anna:
        anna.say("one")
        anna.say("two")
        hears.wait_for("chat", text="two")
    assert "on_event failed" in caplog.text


# --- options ---------------------------------------------------------------------------------


def test_connections_have_nodelay_and_keepalive_at_both_ends(server: TcpServer) -> None:
    with TcpClient(server.address, "Anna"):
        ends = [
            sock
            for sock in connected_sockets()
            if server.address in (sock.getsockname(), sock.getpeername())
        ]
        assert len(ends) == 2
        for sock in ends:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            expected = {
                "TCP_KEEPIDLE": 5,
                "TCP_KEEPINTVL": 5,
                "TCP_KEEPCNT": 2,
                "TCP_USER_TIMEOUT": 15_000,
            }
            for name, value in expected.items():
                if hasattr(socket, name):
                    option = getattr(socket, name)
                    assert sock.getsockopt(socket.IPPROTO_TCP, option) == value, name


def connected_sockets() -> list[socket.socket]:
    """The TCP connections of this process, both ends of those to itself."""
    found = []
    for sock in gc.get_objects():
        if isinstance(sock, socket.socket) and sock.type == socket.SOCK_STREAM:
            with contextlib.suppress(OSError):  # closed, or not connected
                sock.getpeername()
                found.append(sock)
    return found


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="TCP_USER_TIMEOUT is Linux's")
def test_the_user_timeout_can_be_off() -> None:
    with socket.socket() as sock:
        prepare(sock, Keepalive(1, 3, user_timeout_seconds=0))
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 0
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT) == 2


KEEPALIVE_OPTIONS = ("TCP_KEEPIDLE", "TCP_KEEPINTVL", "TCP_KEEPCNT")


@pytest.mark.skipif(
    not all(hasattr(socket, name) for name in KEEPALIVE_OPTIONS), reason="not all are had here"
)
@pytest.mark.parametrize(
    ("heartbeat_seconds", "timeout_seconds", "expected"),
    [
        (1, 200, (1, 2, 100)),  # of 199 probes the kernel would take 127
        (1, 128, (1, 1, 127)),
        (0.1, 15, (1, 1, 14)),  # whole seconds, of which the timeout is made
        (0.1, 3600, (1, 29, 124)),
        (0.1, 0.2, (1, 1, 1)),
        (3599, 3600, (3599, 3599, 1)),
    ],
)
def test_the_kernel_takes_every_keepalive_and_its_probes_make_the_timeout(
    heartbeat_seconds: float, timeout_seconds: float, expected: tuple[int, int, int]
) -> None:
    with socket.socket() as sock:
        prepare(sock, Keepalive(heartbeat_seconds, timeout_seconds))
        options = (getattr(socket, name) for name in KEEPALIVE_OPTIONS)
        found = tuple(sock.getsockopt(socket.IPPROTO_TCP, option) for option in options)
        assert found == expected
