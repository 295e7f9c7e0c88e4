"""The smallest honest chat over plain UDP, its server: what a coursework's UDP variant usually is.

One message, one datagram. The server keeps a dict of members by their addresses, which a
registration datagram (HELLO) enters, and relays each message to all of them. It drops a member
that has been silent for too long.

Honest means that it does not pretend: nothing is acknowledged, numbered, repeated or put in
order. A lost HELLO is a failed join, a lost message is missing, a duplicated one appears twice,
a lost JOIN or LEFT leaves a wrong list of names, and nobody is told. Anyone who can forge a
sender's address can speak for a member. For a chat that does better see udp_server.py.

Read first: `_serve`, `_receive`, `_register`. The command line is in plain_udp.py.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass

from compare.chats.datagrams import DATAGRAM_BYTES_MAX, wake
from compare.chats.messages import Kind, MalformedMessage, Message, refusal, stamped
from udp_chat.protocol.names import name_key
from udp_chat.protocol.packets import DEFAULT_PORT, Address
from udp_chat.protocol.worker import Service
from udp_chat.server.server_socket import bind

logger = logging.getLogger("compare.plain_udp_server")

WELCOME_BYTES_MAX = 1200
"""A WELCOME lists as many names as fit: the network would fragment a longer one."""

WAIT_SECONDS = 1.0
"""How often the server looks for silent members."""


@dataclass(frozen=True, slots=True)
class PlainUdpSettings:
    """What may be chosen about a room. Durations in seconds."""

    room: str = "chat"
    members_max: int = 1000
    timeout_seconds: float = 15.0
    """Silence after which a member is dropped: three heartbeats."""


@dataclass(slots=True)
class _Member:
    name: str
    heard_at: float


class PlainUdpServer(Service):
    """A room on a UDP socket. `start()` serves in a thread, `serve()` in the caller's.

    `close()` ends both, from any thread and any number of times. A context manager.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        settings: PlainUdpSettings | None = None,
    ) -> None:
        """Binds the socket; raises OSError if that fails. No host means all interfaces."""
        super().__init__("plain-udp server")
        self.settings = settings or PlainUdpSettings()
        self._socket = bind(host or "0.0.0.0", port)
        self._socket.settimeout(WAIT_SECONDS)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self.counters: Counter[str] = Counter()
        """Datagrams by what became of them: received, sent, send errors, ignored."""
        self._members: dict[Address, _Member] = {}
        self._looked_at = time.monotonic()

    @property
    def members(self) -> list[str]:
        """The names of all members, sorted."""
        return sorted(member.name for member in self._members.copy().values())

    # --- receiving ---------------------------------------------------------------------------

    def _serve(self) -> None:
        while not self.is_stopping:
            try:
                datagram, address = self._socket.recvfrom(DATAGRAM_BYTES_MAX)
                self._receive(datagram, address, time.monotonic())
            except TimeoutError:
                pass
            except OSError as error:
                # An ICMP error about some peer (WSAECONNRESET): no fault of the socket.
                logger.debug("recvfrom: %s", error)
            self._drop_silent(time.monotonic())
        self._send_to_all(Message(Kind.BYE, text="shutting_down"))
        self._members.clear()
        logger.info("stopped")

    def _receive(self, datagram: bytes, address: Address, now: float) -> None:
        self.counters["received"] += 1
        member = self._members.get(address)
        if member is not None:
            member.heard_at = now
        try:
            message = Message.decode(datagram)
        except MalformedMessage as error:
            logger.debug("%s: %s", address, error)
            self.counters["ignored"] += 1
            return
        if message.kind is Kind.HELLO:
            self._register(message.name, address, now)
        elif member is None:
            self.counters["ignored"] += 1
        elif message.kind is Kind.SAY:
            self._send_to_all(stamped(Kind.CHAT, member.name, message.text))
        elif message.kind is Kind.ALIVE:
            self._send(message, address)
        elif message.kind is Kind.LEAVE:
            self._send(Message(Kind.BYE, text="left"), address)
            self._drop(address, "left")

    # --- members -----------------------------------------------------------------------------

    def _register(self, name: str, address: Address, now: float) -> None:
        """Let the sender of this HELLO in, or refuse it."""
        why = refusal(name)
        if address in self._members:
            name = self._members[address].name  # a duplicate: it gets the same answer
        elif why is None and name_key(name) in map(name_key, self.members):
            why = "name_in_use"
        elif why is None and len(self._members) >= self.settings.members_max:
            why = "room_full"
        if why is not None:
            self._send(Message(Kind.REFUSED, text=why), address)
            return
        if address not in self._members:
            self._send_to_all(stamped(Kind.JOIN, name))
            self._members[address] = _Member(name, now)
            logger.info("%s joined", name)
        text = self.settings.room
        for other in [name, *(other for other in self.members if other != name)]:
            if len(text.encode()) + len(other.encode()) > WELCOME_BYTES_MAX:
                break
            text += f"\n{other}"
        self._send(stamped(Kind.WELCOME, name, text), address)

    def _drop_silent(self, now: float) -> None:
        if now - self._looked_at < WAIT_SECONDS:
            return
        self._looked_at = now
        for address, member in list(self._members.items()):
            if now - member.heard_at > self.settings.timeout_seconds:
                self._drop(address, "timeout")

    def _drop(self, address: Address, reason: str) -> None:
        name = self._members.pop(address).name
        logger.info("%s left: %s", name, reason)
        self._send_to_all(stamped(Kind.LEFT, name, reason))

    # --- sending -----------------------------------------------------------------------------

    def _send_to_all(self, message: Message) -> None:
        self._send(message, *self._members)

    def _send(self, message: Message, *addresses: Address) -> None:
        datagram = message.encode()
        for address in addresses:
            try:
                self._socket.sendto(datagram, address)
                self.counters["sent"] += 1
            except OSError as error:  # too large, unreachable: this member misses it
                logger.debug("sendto %s: %s", address, error)
                self.counters["send errors"] += 1

    # --- ending ------------------------------------------------------------------------------

    def _wake(self) -> None:
        wake(self._socket)

    def _close_sockets(self) -> None:
        self._socket.close()
