"""A server on a member's machine: its thread, its own client, and how it ends."""

from __future__ import annotations

import threading
from contextlib import ExitStack

import pytest

from tests.client.recorder import Recorder
from tests.processes import WAIT_SECONDS, eventually
from udp_chat.client.udp_client import UdpClient
from udp_chat.hosting.hosting_server import HostingServer, OwnClient
from udp_chat.hosting.room_host import HOSTED_HEARTBEAT_SECONDS
from udp_chat.protocol.packets import Bye, ByeReason, decode
from udp_chat.server.settings import RoomSettings

QUIET_STEPS = 20
"""What an idle server may do in a moment: it looks for rooms a few times, and is woken once."""


class _Counting(HostingServer):
    """Counts its steps, and says when one more has been made."""

    def __init__(self) -> None:
        self.count = 0
        self.stepped = threading.Event()
        settings = RoomSettings("counting")
        super().__init__("127.0.0.1", 0, settings, None, begins=True, discovery_port=None)

    def _step(self, now: float) -> None:
        super()._step(now)
        self.count += 1
        self.stepped.set()


def test_a_server_that_was_woken_sleeps_again() -> None:
    with _Counting() as server:
        server.wake()
        assert server.stepped.wait(WAIT_SECONDS)
        server.stepped.clear()
        server.wake()
        assert server.stepped.wait(WAIT_SECONDS)
        count = server.count
        never = threading.Event()
        never.wait(0.3)
        assert server.count - count < QUIET_STEPS


def test_a_server_of_its_own_ends_when_it_is_told_to_though_nobody_takes_its_room_over() -> None:
    server = _Counting()
    server.start()
    server.close()
    assert server.room_host is not None
    assert server.room_host.handed_on is False


def test_a_host_that_has_handed_the_room_on_tells_its_members_nothing_else() -> None:
    own = OwnClient()
    settings = RoomSettings(heartbeat_seconds=HOSTED_HEARTBEAT_SECONDS)
    with ExitStack() as closing:
        host = HostingServer("127.0.0.1", 0, settings, None, begins=True, discovery_port=None)
        closing.enter_context(host)
        standby = HostingServer("127.0.0.1", 0, settings, own, begins=False, discovery_port=None)
        closing.enter_context(standby)
        shown, byes = Recorder(), list[Bye]()

        def note_byes(way: str, datagram: bytes) -> None:
            packet = (
                decode(datagram) if datagram else None
            )  # the client wakes itself by an empty one
            if way == "<" and isinstance(packet, Bye):
                byes.append(packet)

        own.client = UdpClient(
            host.address,
            "Anna",
            shown,
            on_datagram=note_byes,
            on_away=standby.wake,
            make_session=own.make_session,
        )
        closing.enter_context(own.client)
        own.client.stand_by(standby.address[1])
        eventually(lambda: host.successor_count == 1)
        assert host.hand_on()
        host.close()
        shown.wait_for("host", name="Anna")
        own.client.say("still here")
        shown.wait_for("sent")
    reasons = {bye.reason for bye in byes if bye.reason != ByeReason.LEFT}
    assert reasons == {ByeReason.MOVED}


class _Failing(HostingServer):
    """Meets a bug once it is told to."""

    is_broken = False

    def _step(self, now: float) -> None:
        if self.is_broken:
            raise RuntimeError("a bug")
        super()._step(now)


def test_a_bug_that_ends_a_host_is_told_and_another_machine_hosts_the_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = RoomSettings(heartbeat_seconds=HOSTED_HEARTBEAT_SECONDS)
    bugs, shown = list[str](), Recorder()
    with ExitStack() as closing:
        host = _Failing(
            "127.0.0.1",
            0,
            settings,
            OwnClient(),
            begins=True,
            discovery_port=None,
            on_failure=bugs.append,
        )
        closing.enter_context(host)
        own = OwnClient()
        standby = HostingServer("127.0.0.1", 0, settings, own, begins=False, discovery_port=None)
        closing.enter_context(standby)
        own.client = UdpClient(
            host.address, "Anna", shown, on_away=standby.wake, make_session=own.make_session
        )
        closing.enter_context(own.client)
        own.client.stand_by(standby.address[1])
        eventually(lambda: host.successor_count == 1)
        host.is_broken = True
        host.wake()
        shown.wait_for("host", name="Anna")
        assert not host.hand_on(), "it has nothing to hand on any more"
    assert bugs == ["RuntimeError: a bug"]
    assert "a bug ended the hosting of a room" in caplog.text
    assert not any(event["event"] == "reconnecting" for event in shown.events), "nobody waited"
