"""Faults of our own in a client's threads: they end the client, and its last event says so."""

from __future__ import annotations

import contextlib
import logging

import pytest

from tests.client.recorder import Recorder
from tests.conftest import threads
from tests.lossy_proxy import LossyProxy
from tests.processes import WAIT_SECONDS, eventually
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.session import ChatSession
from udp_chat.client.udp_client import JoinFailed, UdpClient
from udp_chat.protocol.packets import Address, ChatError, MessageKind
from udp_chat.server.udp_server import UdpServer


class FailsToHear(ChatSession):
    """The receiver thread meets a fault once somebody says "fail"."""

    def receive_datagram(self, datagram: bytes, address: Address, now: float) -> None:
        if b"fail" in datagram:
            raise ZeroDivisionError("a fault of ours")
        super().receive_datagram(datagram, address, now)


class FailsToSpeak(ChatSession):
    """The writer thread meets one once something is to be said, and nothing works after it."""

    broken = False

    def say(
        self, text: str, now: float, kind: MessageKind = MessageKind.CHAT, to: str = ""
    ) -> None:
        super().say(text, now, kind, to)
        self.broken = True

    def datagrams_to_send(self) -> list[bytes]:
        if self.broken:
            raise ZeroDivisionError("a fault of ours")
        return super().datagrams_to_send()

    def take_events(self) -> list[ChatEvent]:
        if self.broken:
            raise ZeroDivisionError("another fault of ours")
        return super().take_events()

    def leave(self, now: float) -> None:
        if self.broken:
            raise ZeroDivisionError("a third fault of ours")
        super().leave(now)


@pytest.mark.parametrize("session", [FailsToHear, FailsToSpeak])
def test_a_thread_that_fails_ends_the_client_and_the_last_event_says_so(
    server: UdpServer,
    caplog: pytest.LogCaptureFixture,
    session: type[ChatSession],
) -> None:
    caplog.set_level(logging.DEBUG, "udp_chat.client")
    record = Recorder()
    client = UdpClient(server.address, "Anna", record, make_session=session)
    before = threads()
    client.start()
    mine = threads() - before
    client.say("fail")
    assert not client.flush()
    left = record.wait_for("left")
    assert left == {
        "event": "left",
        "reason": "internal_error",
        "text": "ZeroDivisionError: a fault of ours",
    }
    eventually(lambda: not any(thread.is_alive() for thread in mine))  # before anybody closes
    with pytest.raises(ChatError, match="a fault of ours"):
        client.say("too late")
    client.close()
    client.close()
    assert record.kinds().count("left") == 1
    assert record.kinds()[-1] == "left"
    assert any(record.exc_info for record in caplog.records)


def test_a_writer_that_fails_wakes_a_receiver_that_hears_nothing(
    server: UdpServer,
) -> None:
    before = threads()
    with LossyProxy(server.address, 0.0, seed=1) as proxy:
        client = UdpClient(proxy.address, "Anna", make_session=FailsToSpeak)
        client.start()
        mine = {thread for thread in threads() - before if "receiver" in thread.name}
        proxy.fault_ratio = 1.0
        client.say("fail")
        eventually(lambda: not any(thread.is_alive() for thread in mine))
        client.close()
    assert len(mine) == 1


def test_a_client_that_fails_says_goodbye_to_the_room_if_it_can(server: UdpServer) -> None:
    record = Recorder()
    with UdpClient(server.address, "Boris", record):
        anna = UdpClient(server.address, "Anna", make_session=FailsToHear)
        anna.start()
        with contextlib.closing(anna):
            anna.say("fail")
            record.wait_for("leave", name="Anna", reason="left")


def test_a_callback_that_ends_its_thread_ends_the_client(server: UdpServer) -> None:
    record = Recorder()

    def on_event(event: ChatEvent) -> None:
        record(event)
        if event["event"] == "chat":
            raise SystemExit(3)

    with UdpClient(server.address, "Anna", on_event) as client:
        client.say("hello")
        assert record.wait_for("left", reason="internal_error")["text"] == "SystemExit: 3"


def test_a_callback_may_close_a_client_that_has_failed(server: UdpServer) -> None:
    record = Recorder()

    def on_event(event: ChatEvent) -> None:
        if event["event"] == "left":
            client.close()
        record(event)

    client = UdpClient(server.address, "Anna", on_event, make_session=FailsToHear)
    client.start()
    client.say("fail")
    record.wait_for("left", reason="internal_error")
    client.close()
    assert record.kinds().count("left") == 1


def test_start_raises_the_fault_that_a_thread_met_while_joining(server: UdpServer) -> None:
    client = UdpClient(server.address, "fail", None, WAIT_SECONDS, make_session=FailsToHear)
    with pytest.raises(JoinFailed, match="ZeroDivisionError: a fault of ours") as failure:
        client.start()
    assert failure.value.reason == "internal_error"
