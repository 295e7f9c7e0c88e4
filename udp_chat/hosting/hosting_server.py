"""A server on a member's machine: it hosts the room, or waits for the day when it has to.

`HostingServer` is a `UdpServer` whose room may be elsewhere. The pure machine of room_host.py
decides; here are its socket, its thread, and the thread that asks the LAN for other hosts.

The thread does not end silently. If it meets what nobody expected, it gives the room up: the
members are told who takes it over, and `on_failure` is told why.
"""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from udp_chat.client.replica import Replica
from udp_chat.client.session import ChatSession
from udp_chat.client.whereabouts import Standing
from udp_chat.discovery.groups import DISCOVERY_PORT
from udp_chat.discovery.search import ask_everywhere
from udp_chat.hosting.room_host import EVERYWHERE, RoomHost
from udp_chat.protocol.held_signals import HELD_LOOK_SECONDS, HELD_SIGNALS
from udp_chat.protocol.packets import Address, Offer
from udp_chat.server.keeping import KeptFile
from udp_chat.server.relay import Outgoing
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer

if TYPE_CHECKING:
    from udp_chat.client.udp_client import UdpClient

logger = logging.getLogger("udp_chat.server")

ANSWERS_SECONDS = 0.25
"""How long a search listens. A LAN answers in milliseconds, and the next search is soon."""

HAND_ON_SECONDS_MAX = 4.0
"""A host that leaves ends by then, whether a successor hosts the room or not."""


def _mapped(address: Address) -> Address:
    """An address as an IPv6 socket takes it, also for IPv4 (RFC 4291 §2.5.5.2)."""
    host, *rest = address
    return address if ":" in host else (f"::ffff:{host}", *rest)


class OwnClient:
    """The client of the machine that hosts, as a `RoomHost` sees it.

    `client` is set before that client joins; `make_session` makes its session.
    """

    def __init__(self) -> None:
        self.client: UdpClient | None = None
        self._session: ChatSession | None = None

    def make_session(self, server: Address, name: str, randomness: random.Random) -> ChatSession:
        """Makes a session, and remembers whose it is."""
        self._session = ChatSession(server, name, randomness)
        return self._session

    @property
    def client_id(self) -> int:
        """The secret id of the client; -1 before it has one."""
        return self._session.client_id if self._session is not None else -1

    @property
    def standing(self) -> Standing | None:
        """See `UdpClient.standing`."""
        return self.client.standing if self.client is not None else None

    def copy_replica(self) -> Replica:
        """See `UdpClient.copy_replica`."""
        assert self.client is not None
        return self.client.copy_replica()

    def look_at(self, address: Address) -> None:
        """See `UdpClient.look_at`."""
        assert self.client is not None
        self.client.look_at(address)


class HostingServer(UdpServer):
    """A server that hosts a room that is handed on, or stands by for one.

    `begins` says whether it opens a room at once. Without an `own_client` it is a server of its
    own. The methods that `UdpServer` has may be called from any thread, and so may `hand_on`.
    """

    def __init__(
        self,
        host: str,
        port: int,
        settings: RoomSettings,
        own_client: OwnClient | None,
        *,
        begins: bool,
        lan_host: str = "",
        kept_file: KeptFile | None = None,
        discovery_port: int | None = DISCOVERY_PORT,
        on_failure: Callable[[str], None] | None = None,
    ) -> None:
        """Binds the socket; raises OSError if that fails, or `CannotKeep`.

        `lan_host` is the address of this machine for others on the network, empty if unknown.
        `on_failure` is called, on the server's thread, with the bug that has ended it; without it,
        `serve` raises.
        """
        self._own_client = own_client
        self._on_failure = on_failure
        self.has_failed = False
        """Whether a bug has ended it."""
        self._begins = begins
        self.room_host: RoomHost | None = None
        self._wants_to_go = False
        self._gone = threading.Event()
        self._search_port = discovery_port
        self._searching: threading.Thread | None = None
        self._found: list[tuple[bytes, Address]] = []
        self._finding = threading.Lock()
        # Where a room can be found, one that cannot must not listen: a datagram to the discovery
        # port of a machine may reach only one of those who do.
        found_at = discovery_port if begins else None
        super().__init__(host, port, settings, found_at, kept_file, lan_host)

    @property
    def is_hosting(self) -> bool:
        """Whether the room is here, or is about to be."""
        return self.room_host is not None and self.room_host.is_hosting

    def wake(self) -> None:
        """Has the server look again: its own client has lost the host, or was told to host."""
        self._wake()

    def hand_on(self) -> bool:
        """Hands the room on before the server ends: whether somebody else hosts it now, or did
        before. It takes seconds at most. The server must be running."""
        if not self._threads[0].is_alive():
            return False
        self._wants_to_go = True
        self._wake()
        until = time.monotonic() + HAND_ON_SECONDS_MAX
        with HELD_SIGNALS:
            while not self._gone.wait(HELD_LOOK_SECONDS) and time.monotonic() < until:
                HELD_SIGNALS.check()
        return self.room_host is not None and self.room_host.handed_on is True

    def stop(self) -> None:
        """Asks `serve` to return. A server of its own hands the room on before; told twice, it
        does not wait for that."""
        if self._own_client is None and self.is_hosting and not self._wants_to_go:
            self._wants_to_go = True
            self._wake()
        else:
            super().stop()

    @property
    def moved_to(self) -> str:
        """HOST:PORT where the room is now, if it was here and has moved; else empty."""
        return self.room_host.moved_to if self.room_host is not None else ""

    @property
    def successor_count(self) -> int:
        """Members that can take the room over, as far as it is hosted here."""
        room = self.room_host.room if self.room_host is not None else None
        return len(room.successors) if room is not None else 0

    # --- what a UdpServer does, where the room may be elsewhere -------------------------------

    def _serve(self) -> None:
        try:
            super()._serve()
        except Exception as error:
            self.has_failed = True
            self._give_up()
            if self._on_failure is None:
                raise
            logger.exception("a bug ended the hosting of a room")
            self._on_failure(f"{type(error).__name__}: {error}")

    def _give_up(self) -> None:
        """Sends the members elsewhere, and frees the ports. Whatever of the room has failed:
        without a goodbye, the members notice that the host is silent."""
        room_host, self.room_host = self.room_host, None
        assert room_host is not None
        with contextlib.suppress(Exception):
            self._send(self._addressed(room_host.give_up()))
        self._gone.set()
        self._close_sockets()

    def _make_room(self, settings: RoomSettings) -> ChatRoom:
        now = time.monotonic()
        room_host = self.room_host
        if room_host is None:
            room_host = self.room_host = RoomHost(
                settings,
                random.SystemRandom(),
                self.address[1],
                self._own_client,
                lan_address=self.lan_address,
            )
            room_host.wall_offset_seconds = time.time() - now
            if not self._begins:
                return ChatRoom(settings, random.SystemRandom(), now)  # it counts, no more
        return room_host.open_room(now)

    def _due_at(self) -> float | None:
        assert self.room_host is not None
        return self.room_host.next_timeout()

    def _receive(self, datagram: bytes, address: Address, now: float) -> None:
        assert self.room_host is not None
        self.room_host.receive_datagram(datagram, address, now)

    def _step(self, now: float) -> None:
        room_host = self.room_host
        assert room_host is not None
        room_host.wall_offset_seconds = time.time() - time.monotonic()
        with self._finding:
            found, self._found = self._found, []
        for datagram, address in found:
            room_host.receive_datagram(datagram, address, now)
        if self._wants_to_go and room_host.handed_on is None and not room_host.is_handing_on:
            room_host.hand_on(now)
        room_host.handle_timeout(now)
        if room_host.room is not None:
            self.room = room_host.room
            if self._beacon is None and self._search_port is not None:
                self._open_beacon(self._search_port)
        if room_host.handed_on is not None:
            self._gone.set()
        is_elsewhere = not room_host.is_hosting and not room_host.is_handing_on
        if self._own_client is None and (is_elsewhere or room_host.handed_on is not None):
            self.is_stopping = True  # nobody is here to be a member

    def _keep(self, now: float) -> None:
        if self.room_host is not None and self.room_host.room is self.room:
            super()._keep(now)

    def _close_room(self, now: float) -> None:
        assert self.room_host is not None
        self.room_host.close(now)  # nobody is told so whose room is elsewhere by now

    def _outgoing(self, now: float) -> Iterable[Outgoing]:
        assert self.room_host is not None
        return self._addressed(self.room_host.datagrams_to_send(now))

    def _addressed(self, outgoing: Iterable[Outgoing]) -> Iterable[Outgoing]:
        for datagram, addresses in outgoing:
            if addresses == (EVERYWHERE,):
                self._search(datagram)
            elif ":" in self.address[0]:  # a socket for both versions of IP has its own way to say
                yield datagram, tuple(map(_mapped, addresses))
            else:
                yield datagram, addresses

    def _offer(self, nonce: int) -> Offer | None:
        assert self.room_host is not None
        return self.room_host.offer(nonce, time.monotonic())

    # --- asking the LAN ----------------------------------------------------------------------

    def _search(self, datagram: bytes) -> None:
        """Asks everywhere, on a thread of its own; the last search may still be listening."""
        if self._search_port is None or (self._searching and self._searching.is_alive()):
            return
        self._searching = threading.Thread(
            target=self._search_now, args=(datagram,), name="udp-chat search", daemon=True
        )
        self._searching.start()

    def _search_now(self, datagram: bytes) -> None:
        assert self._search_port is not None
        with contextlib.suppress(OSError):
            ask_everywhere(datagram, ANSWERS_SECONDS, self._note_found, self._search_port)

    def _note_found(self, datagram: bytes, address: Address) -> None:
        with self._finding:
            self._found.append((datagram, address))
        self._wake()

    def _close_sockets(self) -> None:
        if self._searching is not None:
            self._searching.join()
        super()._close_sockets()
