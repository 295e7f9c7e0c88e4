"""The chat's server: one room, one socket, one thread.

The room itself is the pure state machine of room.py. `UdpServer` is the thin shell around it:
it drains what has arrived, steps the room once, and sends. The command is in
app/server_command.py.
"""

from __future__ import annotations

import contextlib
import logging
import random
import selectors
import socket
import time
from collections.abc import Iterable, Sequence

from udp_chat.discovery.beacon import Beacon
from udp_chat.protocol.addresses import format_address
from udp_chat.protocol.packets import DEFAULT_PORT, Address, Offer
from udp_chat.protocol.worker import Service
from udp_chat.server.keeping import CannotKeep, KeptFile
from udp_chat.server.relay import Outgoing
from udp_chat.server.room import ChatRoom
from udp_chat.server.server_socket import ask_for_buffer, bind, dropped_count, open_datagrams
from udp_chat.server.settings import RoomSettings

logger = logging.getLogger("udp_chat.server")

DRAINS_MAX = 4
"""How often at most a wake-up takes in what has arrived, before it sends. To look once more costs
2 µs, to send one datagram to each of ten members 45 µs: so what arrives meanwhile goes along."""

WAKES_MAX = 4096
"""Bytes of wakes that are taken at once: however often it is woken, it looks once."""

KEEP_AGAIN_SECONDS = 0.25
"""How soon a full disk is tried again."""

DROPS_INTERVAL_SECONDS = 1.0
"""How often at most the kernel is asked for what it dropped."""


class UdpServer(Service):
    """A room on a UDP socket, served by one thread.

    `start()` serves in a thread of its own, `serve()` in the caller's. `close()` ends both, from
    any thread and any number of times: it says BYE to all members, ends the thread and frees the
    port. A context manager.
    """

    def __init__(
        self,
        host: str = "",
        port: int = DEFAULT_PORT,
        settings: RoomSettings | None = None,
        discovery_port: int | None = None,
        kept_file: KeptFile | None = None,
        lan_host: str = "",
    ) -> None:
        """Binds the socket; raises OSError if that fails. No host means all interfaces.

        With a `discovery_port`, clients on the LAN find the room (groups.py has the usual one).
        With a `kept_file`, the room begins as it was kept there, and is kept: raises `CannotKeep`.
        The caller closes the file, after the server. `lan_host` is the address of this machine for
        others on the network, as members are told it; empty if it is not known.
        """
        super().__init__("udp-chat server")
        settings = settings or RoomSettings()
        self._socket = bind(host, port)
        self._datagrams = open_datagrams(self._socket)
        self._drops_counted_at = float("-inf")
        self.shortfall = ask_for_buffer(self._socket, settings.members_max)
        """Warnings about what a full room may lack; empty if nothing."""
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self.lan_address = format_address((lan_host, self.address[1])) if lan_host else ""
        """HOST:PORT for others on the network; empty if it is not known."""
        self.room = self._make_room(settings)
        self._kept_file = kept_file
        self._keep_again_at = 0.0
        """When to try again to keep what cannot be kept; 0 while all is kept."""
        if kept_file is not None:
            try:
                self.room.keep(kept_file.read(settings.log_entries_max))
            except BaseException:
                self._socket.close()
                raise
        self._beacon: Beacon | None = None
        if discovery_port is not None:
            self._open_beacon(discovery_port)
        # A byte here ends the wait: a selector has no other portable alarm.
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)

    def _open_beacon(self, discovery_port: int) -> None:
        """Lets clients on the LAN find the room, from the next step on."""
        self._beacon = Beacon(self._socket, time.monotonic(), discovery_port)
        for problem in self._beacon.problems:
            logger.warning("some may not find this room: %s", problem)

    def wake_fileno(self) -> int:
        """For `signal.set_wakeup_fd`: without it, Windows sleeps through Ctrl-C."""
        return self._wake_sender.fileno()

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._wake_sender.send(b"\0")

    def _close_sockets(self) -> None:
        self._socket.close()
        if self._beacon is not None:
            self._beacon.close()
        self._wake_receiver.close()
        self._wake_sender.close()

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            beacon: Beacon | None = None
            while not self.is_stopping:
                if beacon is not self._beacon and self._beacon is not None:
                    beacon = self._beacon
                    for sock in beacon.sockets():
                        selector.register(sock, selectors.EVENT_READ, beacon)
                timeout_at = self._due_at()
                if beacon is not None:
                    timeout_at = min(beacon.rescan_at, timeout_at or beacon.rescan_at)
                if self._keep_again_at:
                    timeout_at = min(self._keep_again_at, timeout_at or self._keep_again_at)
                timeout = None if timeout_at is None else max(0.0, timeout_at - time.monotonic())
                ready = selector.select(timeout)
                with contextlib.suppress(OSError):  # else it would be ready for ever
                    self._wake_receiver.recv(WAKES_MAX)
                self.room.wall_offset_seconds = time.time() - time.monotonic()
                now = self._drain()
                self._step(now)
                self._count_drops(now)
                self._keep(now)
                self._send(self._outgoing(now))
                if beacon is not None:  # behind the chat: a flood of questions is not to delay it
                    beacon.rescan(now)
                    for key, _ in ready:
                        if key.data is beacon:
                            beacon.handle(key.fileobj, self._offer, now)
        now = time.monotonic()
        self._keep(now)
        self._close_room(now)
        self._send(self._outgoing(now))
        self._drops_counted_at = float("-inf")
        self._count_drops(time.monotonic())
        counted = ", ".join(f"{what} {number}" for what, number in self.room.counters.most_common())
        logger.info("stopped; counted: %s", counted or "nothing")

    # What a `HostingServer` does otherwise: its room may be elsewhere.

    def _due_at(self) -> float | None:
        return self.room.next_timeout()

    def _receive(self, datagram: bytes, address: Address, now: float) -> None:
        self.room.receive_datagram(datagram, address, now)

    def _step(self, now: float) -> None:
        self.room.handle_timeout(now)

    def _close_room(self, now: float) -> None:
        self.room.close(now)

    def _outgoing(self, now: float) -> Iterable[Outgoing]:
        return self.room.datagrams_to_send()

    def _make_room(self, settings: RoomSettings) -> ChatRoom:
        now = time.monotonic()
        room = ChatRoom(settings, random.SystemRandom(), now, time.time() - now)
        room.hosted_by.address = self.lan_address
        return room

    def _keep(self, now: float) -> None:
        """Keeps what was accepted, before anybody is told that it is."""
        file, notebook = self._kept_file, self.room.notebook
        if file is None or notebook is None or now < self._keep_again_at:
            return
        is_held = self._keep_again_at > 0.0
        changes = notebook.changes()
        if changes is None and not is_held:
            return
        try:
            if is_held:
                file.try_to_write()
            if changes is not None:
                file.write(changes)
        except CannotKeep as error:
            if not is_held:
                self._go_back(file, error, now)
            self._keep_again_at = now + KEEP_AGAIN_SECONDS
            return
        notebook.note_kept()
        if is_held:
            logger.warning("the room can be kept again")
            self._keep_again_at = 0.0
            self.room.go_on(now)
            self._keep(now)

    def _go_back(self, file: KeptFile, error: CannotKeep, now: float) -> None:
        """Makes the room what it was before this wake-up, which cannot be kept. Nothing of it was
        sent, so its clients send all of it again."""
        logger.warning("the room cannot be kept: %s", error)
        before = self.room
        self.room = self._make_room(before.settings)
        self.room.keep(file.read(before.settings.log_entries_max))
        self.room.resume_from(before, now)
        self.room.hold_back(is_full=error.reason == "keep_full")

    def _offer(self, nonce: int) -> Offer | None:
        room, port = self.room, self.address[1]
        count, name = len(room.members), room.settings.room
        return Offer(nonce, room.log.epoch, count, port, name, room_id=room.room_id)

    def _drain(self) -> float:
        """Takes in what has arrived and, if that goes to all, what arrives meanwhile.

        Returns when it last looked.
        """
        latest = self.room.log.latest
        for _ in range(DRAINS_MAX):
            now = time.monotonic()
            try:
                received = self._datagrams.receive()
            except OSError as error:
                # An ICMP error about some peer (WSAECONNRESET): it is no fault of the socket.
                logger.debug("receive: %s", error)
                self.room.counters["receive errors"] += 1
                break
            for datagram, address in received:
                self._receive(datagram, address, now)
            if not received or self.room.log.latest == latest:
                break
        return now

    def _send(self, outgoing: Iterable[Outgoing]) -> None:
        # A broadcast of several datagrams has one tuple of addresses: it goes out together.
        together: list[bytes] = []
        recipients: tuple[Address, ...] = ()
        for datagram, addresses in outgoing:
            if addresses is not recipients:
                self._send_together(together, recipients)
                together, recipients = [], addresses
            together.append(datagram)
        self._send_together(together, recipients)

    def _send_together(self, datagrams: Sequence[bytes], addresses: tuple[Address, ...]) -> None:
        if not datagrams:
            return
        logger.debug("> %s %d datagrams", addresses, len(datagrams))
        for address, error in self._datagrams.send(datagrams, addresses):
            # Unreachable, refused, filtered, still full: for the others it goes on, and this one
            # is repaired or times out.
            logger.debug("send to %s: %s", format_address(address), error)
            self.room.counters["send errors"] += 1

    def _count_drops(self, now: float) -> None:
        """Takes over what the kernel says it dropped, now and then."""
        if now < self._drops_counted_at + DROPS_INTERVAL_SECONDS:
            return
        self._drops_counted_at = now
        dropped = dropped_count(self._socket)
        if dropped:
            if not self.room.counters["dropped by the kernel"]:
                logger.warning("the receive buffer was full: the kernel dropped datagrams")
            self.room.counters["dropped by the kernel"] = dropped
