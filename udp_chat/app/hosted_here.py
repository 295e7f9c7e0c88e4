"""The room on this computer: opened here, taken over, handed on before this process ends."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable

from udp_chat.app.invitation import lan_host
from udp_chat.client.udp_client import UdpClient
from udp_chat.discovery.search import find_rooms
from udp_chat.hosting.hosting_server import HostingServer, OwnClient
from udp_chat.hosting.room_host import HOSTED_HEARTBEAT_SECONDS
from udp_chat.protocol.held_signals import HELD_LOOK_SECONDS, HELD_SIGNALS
from udp_chat.protocol.packets import DEFAULT_PORT
from udp_chat.server.keeping import KeptFile
from udp_chat.server.settings import RoomSettings

SUCCESSOR_SECONDS = 1.0
"""So long after it has come, a member whose computer can host is known to be able to."""

SEEK_SECONDS = 2.0
"""How long a client that is away waits between two searches for its room."""


class HostedHere:
    """What this process does for its room besides being a member. A context manager.

    It hosts or stands by, and while its client is away it looks for the room.
    """

    def __init__(
        self,
        *,
        may_take_over: bool,
        seek_seconds: float = SEEK_SECONDS,
        on_failure: Callable[[str], None] = lambda text: None,
    ) -> None:
        """`on_failure` is told, on any thread, which bug has ended what it does for its room."""
        self.own_client = OwnClient()
        self.server: HostingServer | None = None
        self._may_take_over = may_take_over
        self._seek_seconds = seek_seconds
        self._on_failure = on_failure
        self._closing = threading.Event()
        self._away = threading.Event()
        self._seeker: threading.Thread | None = None

    def __enter__(self) -> HostedHere:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, name: str, kept_file: KeptFile | None) -> int:
        """Opens a room; returns its port. Raises OSError or `CannotKeep`."""
        server = self._bind(name, kept_file, begins=True)
        server.start()
        return server.address[1]

    def joined(self, client: UdpClient) -> None:
        """The client is in: from now on this computer stands by, if it may."""
        standing = client.standing
        if standing is None:
            return
        if self.server is None and self._may_take_over and standing.handed_on:
            with contextlib.suppress(OSError):  # without a socket it cannot
                self._bind(standing.room, None, begins=False).start()
        if self.server is not None and standing.handed_on and not self.server.has_failed:
            client.stand_by(self.server.address[1])

    def away(self) -> None:
        """The client has lost its host; `UdpClient` calls it."""
        if self.server is not None:
            self.server.wake()
        self._away.set()
        if self._seeker is None and not self._closing.is_set():
            self._seeker = threading.Thread(target=self._seek, name="room seeker", daemon=True)
            self._seeker.start()

    def others_stranded(self) -> int:
        """How many others are here, if the room closes for want of somebody to take it over. It
        waits a moment, because who has just come may be able to."""
        server, client = self.server, self.own_client.client
        if server is None or client is None or not server.is_hosting:
            return 0
        until = time.monotonic() + SUCCESSOR_SECONDS
        while len(client.members) > 1 and not server.successor_count:
            if time.monotonic() >= until:
                return len(client.members) - 1
            time.sleep(0.05)
        return 0

    def close(self) -> None:
        """Hands the room on, if it is here, and ends. The client has left. Idempotent."""
        with HELD_SIGNALS:
            self._closing.set()
            self._away.set()
        server = self.server
        try:
            if server is not None and server.is_hosting:
                server.hand_on()  # a second Ctrl-C does not wait for that
        finally:
            if server is not None:
                server.close()
            with HELD_SIGNALS:
                while self._seeker is not None and self._seeker.is_alive():
                    self._seeker.join(HELD_LOOK_SECONDS)
                    HELD_SIGNALS.check()

    def _bind(self, name: str, kept_file: KeptFile | None, *, begins: bool) -> HostingServer:
        settings = RoomSettings(room=name, heartbeat_seconds=HOSTED_HEARTBEAT_SECONDS)
        for port in (DEFAULT_PORT, 0):
            try:
                self.server = HostingServer(
                    "",
                    port,
                    settings,
                    self.own_client,
                    begins=begins,
                    lan_host=lan_host(),
                    kept_file=kept_file,
                    on_failure=self._failed,
                )
                return self.server
            except OSError:  # the port is taken: any other will do
                if port == 0:
                    raise
        raise AssertionError("the loop returns or raises")

    def _failed(self, text: str) -> None:
        """A bug has ended the server; the client stays a member, wherever the room is now."""
        client = self.own_client.client
        if client is not None and client.standing is not None:
            client.stand_by(0)
        self._on_failure(text)

    def _seek(self) -> None:
        """Looks for the room while the client is away: it may be at another address now."""
        while not self._closing.wait(self._seek_seconds):
            self._away.clear()  # `away` and `close` may set it from now on: neither is missed
            if self._closing.is_set():
                return
            client = self.own_client.client
            standing = client.standing if client is not None else None
            if client is None or standing is None or standing.away_since is None:
                self._away.wait()
                continue
            for room in find_rooms():
                if room.room_id == standing.room_id and not self._closing.is_set():
                    client.look_at(room.address)
