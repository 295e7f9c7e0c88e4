"""A server on a member's machine: its thread, its own client, and how it ends."""

from __future__ import annotations

import threading

from tests.processes import WAIT_SECONDS
from udp_chat.hosting.hosting_server import HostingServer
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
