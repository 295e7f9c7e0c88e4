"""The client as a library: the contract of `UdpClient`, on real sockets in this process."""

from __future__ import annotations

import contextlib
import functools
import logging
import random
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.client.recorder import Recorder
from tests.conftest import threads
from tests.lossy_proxy import LossyProxy
from tests.processes import WAIT_SECONDS, eventually, silent_server
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.outbox import PendingFull
from udp_chat.client.session import ChatSession
from udp_chat.client.udp_client import JoinFailed, UdpClient, default_name
from udp_chat.protocol.names import UnusableName
from udp_chat.protocol.packets import (
    COOKIE_BYTES,
    Address,
    Challenge,
    ChatError,
    Join,
    Refused,
    RefusedReason,
    decode,
)
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer

# --- joining ---------------------------------------------------------------------------------


def test_a_client_is_in_when_the_context_begins_and_out_when_it_ends(server: UdpServer) -> None:
    record = Recorder()
    with UdpClient(server.address, "Anna", record) as client:
        assert client.name == "Anna"
        assert client.members == ["Anna"]
        assert client.pending_count == 0
        assert [member.name for member in server.room.members.values()] == ["Anna"]
    assert record.kinds() == ["joined", "host", "left"]
    assert server.room.members == {}


def test_without_a_callback_or_a_name_there_is_a_member_all_the_same(server: UdpServer) -> None:
    with UdpClient(server.address) as client:
        assert client.members == [default_name()]


def test_start_raises_no_answer_and_leaves_no_thread() -> None:
    with silent_server() as address:
        client = UdpClient(address, "Anna", join_timeout_seconds=0.2)
        with pytest.raises(JoinFailed, match=f"no answer from 127.0.0.1:{address[1]}") as failure:
            client.start()
    assert failure.value.reason == "no_answer"
    assert client.members == []


@pytest.mark.parametrize(
    ("name", "reason"),
    [("ANNA", "name_in_use"), ("Boris", "room_full"), ("two words", "unusable_name")],
)
def test_start_raises_what_the_server_refused_and_leaves_no_thread(name: str, reason: str) -> None:
    record = Recorder()
    with (
        UdpServer("127.0.0.1", 0, RoomSettings(members_max=1)) as server,
        UdpClient(server.address, "Anna"),
    ):
        client = UdpClient(server.address, name, record)
        with pytest.raises(JoinFailed) as failure:
            client.start()
        assert failure.value.reason == reason
        assert str(failure.value) == record.events[0]["text"]
        client.close()
    assert record.kinds() == ["refused"]


@pytest.mark.parametrize("host", ["no-such-host.invalid", f"{'a' * 64}.invalid", ".."])
def test_start_raises_unknown_host(host: str) -> None:
    with pytest.raises(JoinFailed) as failure:
        UdpClient((host, 9091), "Anna").start()
    assert failure.value.reason == "unknown_host"


# --- where servers are -----------------------------------------------------------------------


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


needs_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6 loopback")


@pytest.mark.parametrize(
    ("server_host", "client_host"),
    [
        ("localhost", "localhost"),
        ("", "127.0.0.1"),
        ("", "localhost"),
        pytest.param("::1", "::1", marks=needs_ipv6),
        pytest.param("", "::1", marks=needs_ipv6),
    ],
)
def test_clients_find_servers_by_name_over_ipv4_and_over_ipv6(
    server_host: str, client_host: str
) -> None:
    record = Recorder()
    with (
        UdpServer(server_host, 0) as server,
        UdpClient((client_host, server.address[1]), "Anna", record) as client,
    ):
        client.say("hello")
        record.wait_for("chat", text="hello")


# --- saying ----------------------------------------------------------------------------------


def test_everything_that_can_be_said_arrives(server: UdpServer) -> None:
    record = Recorder()
    with (
        UdpClient(server.address, "Boris", record) as boris,
        UdpClient(server.address, "Anna") as anna,
    ):
        anna.say("one\n\ntwo\r\n \r\nthree")
        anna.act("waves")
        anna.whisper("boris", "psst")
        anna.rename("Аня")
        anna.say("last")
        assert anna.flush()
        assert anna.pending_count == 0
        record.wait_for("chat", text="last", name="Аня")
        assert record.texts() == ["one", "two", "three", "last"]
        assert record.wait_for("action")["text"] == "waves"
        assert record.wait_for("private", name="Anna", to="Boris")["text"] == "psst"
        assert record.wait_for("rename", name="Anna")["new_name"] == "Аня"
        assert boris.members == ["Boris", "Аня"]
        eventually(lambda: anna.name == "Аня")


@pytest.mark.parametrize("name", ["", "two words", "N" * 33, "bell\x07"])
def test_an_impossible_name_is_an_error_at_once(server: UdpServer, name: str) -> None:
    with UdpClient(server.address, "Anna") as client:
        with pytest.raises(UnusableName):
            client.rename(name)
        with pytest.raises(UnusableName):
            client.whisper(name, "hello")
        assert client.pending_count == 0


def test_more_than_can_wait_is_an_error_and_nothing_of_it_is_said(
    server: UdpServer,
) -> None:
    record = Recorder()
    make_session = functools.partial(ChatSession, pending_max=5)
    with UdpClient(server.address, "Anna", record, make_session=make_session) as client:
        with pytest.raises(PendingFull):
            client.say("x" * 900 * 6)
        client.say("short")
        record.wait_for("chat")
        assert record.texts() == ["short"]


def test_flush_says_whether_everything_was_accepted(server: UdpServer) -> None:
    with LossyProxy(server.address, 0.0, seed=1) as proxy:
        client = UdpClient(proxy.address, "Anna")
        assert client.flush()  # nothing is pending before the start
        with client:
            proxy.fault_ratio = 1.0
            client.say("into the void\nand again")
            assert client.pending_count == 2
            assert not client.flush(timeout_seconds=0.05)
            assert client.flush(timeout_seconds=0.05, below=3)
            proxy.fault_ratio = 0.0
            assert client.flush()
            assert client.pending_count == 0


def test_flush_gives_up_on_a_server_that_stays_away(server: UdpServer) -> None:
    record = Recorder()
    client = UdpClient(server.address, "Anna", record)
    with client:
        server.close()
        record.wait_for("reconnecting")
        client.say("too late")
        assert not client.flush(give_up_seconds=0.0)
        assert client.pending_count == 1


def test_a_flush_ends_when_another_thread_closes(server: UdpServer) -> None:
    outcome: list[bool] = []
    with LossyProxy(server.address, 0.0, seed=1) as proxy:
        client = UdpClient(proxy.address, "Anna")
        with client:
            proxy.fault_ratio = 1.0
            client.say("into the void")
            thread = threading.Thread(target=lambda: outcome.append(client.flush()))
            thread.start()
            client.close(flush_seconds=0.0)
            thread.join(WAIT_SECONDS)
    assert outcome == [False]


# --- events ----------------------------------------------------------------------------------


def test_callbacks_come_one_at_a_time_and_in_order(server: UdpServer) -> None:
    numbers: list[int] = []
    inside = threading.Semaphore(1)
    together: list[ChatEvent] = []
    done = threading.Event()

    def on_event(event: ChatEvent) -> None:
        if not inside.acquire(blocking=False):
            together.append(event)
            return
        if "seq" in event and event["event"] != "sent":
            time.sleep(0.001)  # so that others would come in between
            numbers.append(event["seq"])
        if event.get("text") == "39 of Anna":
            done.set()
        inside.release()

    with (
        UdpClient(server.address, "Anna", on_event) as anna,
        UdpClient(server.address, "Boris") as boris,
    ):
        for number in range(40):
            boris.say(f"{number} of Boris")
            anna.say(f"{number} of Anna")
        assert boris.flush()
        assert done.wait(WAIT_SECONDS)
        eventually(lambda: numbers[-1] == server.room.log.latest)
    assert together == []
    assert numbers[:81] == list(range(2, 83))  # Boris comes, both talk


def test_an_exception_in_a_callback_is_logged_and_ends_nothing(
    server: UdpServer, caplog: pytest.LogCaptureFixture
) -> None:
    record = Recorder()

    def on_event(event: ChatEvent) -> None:
        record(event)
        raise RuntimeError("a bug of the caller's")

    with UdpClient(server.address, "Anna", on_event) as client:
        client.say("one\ntwo")
        record.wait_for("chat", text="two")
    assert record.kinds()[-1] == "left"
    failures = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert len(failures) == len(record.events)
    assert "on_event failed" in failures[0].getMessage()
    assert failures[0].exc_info


def test_a_callback_may_call_the_client(server: UdpServer) -> None:
    record = Recorder()

    def on_event(event: ChatEvent) -> None:
        record(event)
        if event.get("text") == "ping":
            assert client.members == ["Anna"]
            assert client.name == "Anna"
            assert client.pending_count >= 0
            client.act("pongs")

    client = UdpClient(server.address, "Anna", on_event)
    with client:
        client.say("ping")
        record.wait_for("action", text="pongs")


class CountsSteps(ChatSession):
    """Counts how often the writer asks what to send."""

    steps = 0

    def datagrams_to_send(self) -> list[bytes]:
        self.steps += 1
        return super().datagrams_to_send()


def test_a_callback_that_takes_long_keeps_no_other_thread_busy(server: UdpServer) -> None:
    inside, go_on = threading.Event(), threading.Event()
    sessions: list[CountsSteps] = []

    def make_session(address: Address, name: str, randomness: random.Random) -> ChatSession:
        # The silence gives the writer something to tell.
        sessions.append(CountsSteps(address, name, randomness, silence_seconds=0.2))
        return sessions[0]

    def on_event(event: ChatEvent) -> None:
        if event["event"] == "chat":
            inside.set()
            assert go_on.wait(WAIT_SECONDS)

    with LossyProxy(server.address, 0.0, seed=1) as proxy:
        client = ReceiverCallsBack(proxy.address, "Anna", on_event, make_session=make_session)
        with client:
            client.say("hello")
            assert inside.wait(WAIT_SECONDS)
            proxy.fault_ratio = 1.0
            client.say("into the void")
            (session,) = sessions
            eventually(lambda: session.has_events)
            steps = session.steps
            time.sleep(0.3)  # the time in which nothing, or next to nothing, may happen
            assert session.steps - steps < 20
            go_on.set()


def test_a_watcher_sees_every_datagram_until_it_fails_and_the_chat_goes_on(
    server: UdpServer, caplog: pytest.LogCaptureFixture
) -> None:
    record = Recorder()
    seen: list[tuple[str, bytes]] = []

    def watch(way: str, datagram: bytes) -> None:
        seen.append((way, datagram))
        if "chat" in record.kinds():
            raise BrokenPipeError("nobody reads the trace any more")

    with UdpClient(server.address, "Anna", record, on_datagram=watch) as client:
        client.say("one")
        record.wait_for("chat", text="one")
        client.say("two")
        record.wait_for("chat", text="two")
        client.say("three")
        record.wait_for("chat", text="three")
        counted = len(seen)
    assert {way for way, _ in seen} == {"<", ">"}
    assert all(datagram.startswith(b"UC") for _, datagram in seen)
    assert len(seen) == counted  # it has failed, so it was not called for the leaving
    assert "on_datagram failed" in caplog.text


def test_questions_are_answered_by_notices(server: UdpServer) -> None:
    record = Recorder()
    with UdpClient(server.address, "Anna", record) as client:
        client.ask_seen()
        record.wait_for("notice", reason="nothing_said")
        client.say("hello")
        record.wait_for("chat")
        client.ask_seen()
        assert record.wait_for("notice", reason="seen")["text"] == "hello"
        client.ask_stats()
        assert [link["name"] for link in record.wait_for("notice", reason="stats")["links"]] == [
            "Anna"
        ]


# --- closing ---------------------------------------------------------------------------------


class ReceiverCallsBack(UdpClient):
    """A client whose callbacks the writer thread never makes; else whichever is first does."""

    def call_back(self) -> None:
        if threading.current_thread().name != "udp-chat writer":
            super().call_back()


class WriterCallsBack(UdpClient):
    """A client whose callbacks the receiver thread never makes."""

    def call_back(self) -> None:
        if threading.current_thread().name != "udp-chat receiver":
            super().call_back()


def test_close_before_start_does_nothing_and_the_start_may_follow(server: UdpServer) -> None:
    client = UdpClient(server.address, "Anna")
    client.close()
    client.start()
    assert client.members == ["Anna"]
    client.close()


def test_close_is_idempotent_and_tells_left_once(server: UdpServer) -> None:
    record = Recorder()
    client = UdpClient(server.address, "Anna", record)
    client.start()
    client.close()
    client.close()
    with client_that_is_closed(client):
        pass
    assert record.kinds() == ["joined", "host", "left"]


@contextlib.contextmanager
def client_that_is_closed(client: UdpClient) -> Iterator[None]:
    """The end of a `with`, for a client that was closed within it."""
    try:
        yield
    finally:
        client.__exit__()


def test_nothing_can_be_said_after_the_end(server: UdpServer) -> None:
    with UdpClient(server.address, "Anna") as client:
        pass
    with pytest.raises(ChatError, match="has left"):
        client.say("too late")
    assert client.pending_count == 0


def test_many_threads_may_close_at_once(server: UdpServer) -> None:
    record = Recorder()
    client = UdpClient(server.address, "Anna", record)
    client.start()
    barrier = threading.Barrier(8)
    ended = []

    def close() -> None:
        barrier.wait()
        client.close()
        ended.append(server.room.members == {})

    threads = [threading.Thread(target=close) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(WAIT_SECONDS)
    assert ended == [True] * 8  # none returns before it is done
    assert record.kinds() == ["joined", "host", "left"]


def test_close_waits_for_what_was_said_last(server: UdpServer) -> None:
    record = Recorder()
    with UdpClient(server.address, "Boris", record):
        with UdpClient(server.address, "Anna") as anna:
            anna.say("\n".join(f"{number}" for number in range(200)))
        record.wait_for("leave", name="Anna", reason="left")
        assert record.texts() == [f"{number}" for number in range(200)]


@pytest.mark.parametrize("kind", [UdpClient, ReceiverCallsBack, WriterCallsBack])
def test_a_callback_may_close(server: UdpServer, kind: type[UdpClient]) -> None:
    record, record_of_boris = Recorder(), Recorder()

    def on_event(event: ChatEvent) -> None:
        record(event)
        if event.get("text") == "go":
            client.close()

    with UdpClient(server.address, "Boris", record_of_boris) as boris:
        client = kind(server.address, "Anna", on_event)
        client.start()
        boris.say("go")
        record_of_boris.wait_for("leave", name="Anna", reason="left")
        record.wait_for("left")
        assert record.kinds()[-1] == "left"
        client.close()


@pytest.mark.parametrize("kind", [UdpClient, ReceiverCallsBack, WriterCallsBack])
def test_a_callback_may_close_when_the_server_has_gone(kind: type[UdpClient]) -> None:
    record = Recorder()

    def on_event(event: ChatEvent) -> None:
        record(event)
        if event["event"] == "reconnecting":
            client.close()

    before = threads()
    with UdpServer("127.0.0.1", 0) as server:
        client = kind(server.address, "Anna", on_event)
        client.start()
    record.wait_for("left")
    eventually(lambda: threads() <= before)
    assert record.kinds() == ["joined", "host", "reconnecting", "left"]


@pytest.mark.parametrize("kind", [ReceiverCallsBack, WriterCallsBack])
def test_a_callback_may_close_while_another_thread_does(
    server: UdpServer, kind: type[UdpClient]
) -> None:
    inside, is_closing = threading.Event(), threading.Event()

    class Tells(kind):  # type: ignore[valid-type, misc]
        def flush(self, *arguments: Any) -> bool:  # as `close` does, once no other thread can
            is_closing.set()
            return bool(super().flush(*arguments))

    def on_event(event: ChatEvent) -> None:
        if event["event"] == "chat":
            inside.set()
            assert is_closing.wait(WAIT_SECONDS)
            client.close()

    client = Tells(server.address, "Anna", on_event)
    client.start()
    client.say("hello")
    assert inside.wait(WAIT_SECONDS)
    thread = threading.Thread(target=client.close, daemon=True)
    thread.start()
    thread.join(WAIT_SECONDS)
    assert not thread.is_alive()


def test_left_is_told_even_if_the_server_never_answers(server: UdpServer) -> None:
    record = Recorder()
    with LossyProxy(server.address, 0.0, seed=1) as proxy:
        with UdpClient(proxy.address, "Anna", record):
            proxy.fault_ratio = 1.0
            began_at = time.monotonic()
        assert time.monotonic() - began_at < 10
    assert record.kinds() == ["joined", "host", "left"]


# --- a bad link, a bad socket ----------------------------------------------------------------


def test_a_client_comes_back_when_its_server_does(server: UdpServer) -> None:
    record = Recorder()
    with UdpClient(server.address, "Anna", record) as client:
        server.close()
        assert record.wait_for("reconnecting")["reason"] == "shutting_down"
        client.say("kept")
        with UdpServer(*server.address) as second:
            record.wait_for("resumed", name="Anna")
            record.wait_for("chat", text="kept")
            assert client.flush()
            assert [member.name for member in second.room.members.values()] == ["Anna"]
        assert "lost" in record.kinds()


class _FailingSocket(socket.socket):
    """A socket whose first few calls of a kind fail."""

    FAILURES = 2
    failed = 0

    def _fail(self, error: OSError) -> None:
        if _FailingSocket.failed < self.FAILURES:
            _FailingSocket.failed += 1
            raise error


class ResetSocket(_FailingSocket):
    """Reports an ICMP error where a datagram was expected, as Windows does."""

    def recvfrom(self, *arguments: Any) -> Any:
        received = super().recvfrom(*arguments)
        self._fail(ConnectionResetError("an earlier datagram was refused"))
        return received


class UnsendingSocket(_FailingSocket):
    """Has no route, as while a network is being changed."""

    def sendto(self, *arguments: Any) -> int:
        self._fail(OSError("network is unreachable"))
        return super().sendto(*arguments)


@pytest.mark.parametrize("kind", [ResetSocket, UnsendingSocket])
def test_errors_of_the_socket_end_nothing(
    server: UdpServer, monkeypatch: pytest.MonkeyPatch, kind: type[_FailingSocket]
) -> None:
    monkeypatch.setattr(_FailingSocket, "failed", 0)
    record = Recorder()
    client = UdpClient(server.address, "Anna", record)
    with monkeypatch.context() as patched:
        patched.setattr(socket, "socket", kind)
        client.start()
    with contextlib.closing(client):
        client.say("hello")
        record.wait_for("chat", text="hello")
    assert _FailingSocket.failed == _FailingSocket.FAILURES


# --- a server that is busy, or takes its time -----------------------------------------------


@contextlib.contextmanager
def busy_server() -> Iterator[tuple[str, int]]:
    """The address of a server that takes no more joins."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def refuse() -> None:
            while True:
                datagram, address = sock.recvfrom(2000)
                if not datagram:
                    return
                join = decode(datagram)
                assert isinstance(join, Join)
                text = "too many are joining at this moment"
                refused = Refused(join.client_id, join.timestamp, RefusedReason.BUSY, text)
                sock.sendto(refused.encode(), address)

        thread = threading.Thread(target=refuse)
        thread.start()
        try:
            yield sock.getsockname()
        finally:
            sock.sendto(b"", sock.getsockname())
            thread.join(WAIT_SECONDS)


def test_start_raises_that_the_server_was_busy_all_the_time() -> None:
    record = Recorder()
    with busy_server() as address:
        client = UdpClient(address, "Boris", record, 1.5, heard_timeout_seconds=1.5)
        with pytest.raises(JoinFailed, match="too many are joining at this moment") as failure:
            client.start()
    assert failure.value.reason == "busy"
    assert record.events == [], "what start raises is enough"


REFUSES_AFTER_SECONDS = 1.0


def refuse_late(sock: socket.socket, challenges: bool) -> None:
    """A server that answers the first JOIN with a challenge, or not, and refuses a late one."""
    began_at = time.monotonic()
    while True:
        datagram, address = sock.recvfrom(2000)
        join = decode(datagram)
        assert isinstance(join, Join)
        if time.monotonic() - began_at > REFUSES_AFTER_SECONDS:
            refused = Refused(join.client_id, join.timestamp, RefusedReason.ROOM_FULL, "full")
            sock.sendto(refused.encode(), address)
            return
        if challenges:
            sock.sendto(Challenge(join.client_id, b"c" * COOKIE_BYTES).encode(), address)


@pytest.mark.parametrize(("challenges", "reason"), [(True, "room_full"), (False, "no_answer")])
def test_start_waits_longer_for_a_server_that_was_heard(challenges: bool, reason: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=refuse_late, args=(sock, challenges))
        thread.start()
        client = UdpClient(
            sock.getsockname(),
            "Anna",
            join_timeout_seconds=REFUSES_AFTER_SECONDS - 0.1,
            heard_timeout_seconds=WAIT_SECONDS,
        )
        with pytest.raises(JoinFailed) as failure:
            client.start()
        if not challenges:  # it has given up: what it would have sent next ends the thread
            join = Join(1, 1, b"", 0, 0, 0, 0, 1, "Anna")
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                while thread.is_alive():
                    other.sendto(join.encode(), sock.getsockname())
                    thread.join(0.05)
        thread.join(WAIT_SECONDS)
    assert failure.value.reason == reason
