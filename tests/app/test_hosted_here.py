"""What a computer does for its room: its thread that looks for the room ends when it is to end."""

from __future__ import annotations

import threading
from typing import cast

from tests.processes import WAIT_SECONDS
from udp_chat.app.hosted_here import HostedHere
from udp_chat.client.udp_client import UdpClient
from udp_chat.hosting.hosting_server import HostingServer


class _Closing:
    """A client that is asked where it stands at the very moment at which all is closed; and the
    server, whose end shows how far that has come."""

    is_hosting = False

    def __init__(self, hosted: HostedHere) -> None:
        self.closer = threading.Thread(target=hosted.close, daemon=True)
        self.begins = threading.Event()
        self._ends = threading.Event()

    @property
    def standing(self) -> None:
        self.closer.start()
        self.begins.set()
        assert self._ends.wait(WAIT_SECONDS)

    def wake(self) -> None:
        pass

    def close(self) -> None:
        self._ends.set()


def test_a_search_for_the_room_ends_with_it_also_at_the_moment_at_which_it_begins_to_wait() -> None:
    hosted = HostedHere(may_take_over=True, seek_seconds=0.01)
    closing = _Closing(hosted)
    hosted.own_client.client = cast(UdpClient, closing)
    hosted.server = cast(HostingServer, closing)
    hosted.away()
    assert closing.begins.wait(WAIT_SECONDS)
    closing.closer.join(WAIT_SECONDS)
    assert not closing.closer.is_alive()
