"""The classic multi-user chat over TCP, its server: `socket`, `threading`, localhost:9091.

One thread accepts connections. Each connection has a reader thread, which receives what the client
says and relays it to all members. Relaying never waits (tcp_member.py says how). A member's queue
is bounded: when it overflows, the server drops the member as too slow. The room sees it leave, the
server logs it, and the member is told if it soon reads again. A flood is held back at its source:
the reader thread of a member that says more than `--rate` messages a second pauses, and TCP's flow
control makes that client's own `send` wait.

The room's lock gives all members the same order of events. TCP guarantees that nothing is lost,
duplicated or reordered while a connection lasts. When a connection breaks, neither side knows
which of the last messages arrived, and TCP does not reconnect.

Read first: `_serve`, `_attend`, `_relay`. The settings and options are in tcp_settings.py.
"""

from __future__ import annotations

import logging
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: `python3 compare/chats/tcp_server.py`
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from compare.chats.framing import frame, messages_from, shut_down
from compare.chats.liveness import prepare, why_lost
from compare.chats.messages import Kind, MalformedMessage, Message, TextTooLong, refusal, stamped
from compare.chats.server_command import run_server
from compare.chats.tcp_member import TcpMember
from compare.chats.tcp_settings import TcpSettings, read_arguments
from udp_chat.protocol.addresses import resolve
from udp_chat.protocol.delivery import TokenBucket
from udp_chat.protocol.names import name_key
from udp_chat.protocol.packets import DEFAULT_PORT
from udp_chat.protocol.worker import Service

logger = logging.getLogger("compare.tcp_server")

LINE_BYTES = 1024
"""A longer message counts as several."""

WAIT_SECONDS = 0.5
"""How often the accepting thread looks whether it is to stop, and how long it pauses when the
system has no more file descriptors."""


class TcpServer(Service):
    """A room on a TCP socket. `start()` serves in a thread, `serve()` in the caller's.

    `close()` ends both, from any thread and any number of times. A context manager.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        settings: TcpSettings | None = None,
    ) -> None:
        """Binds the socket; raises OSError if that fails. No host means all interfaces."""
        super().__init__("tcp-chat server")
        self.settings = settings or TcpSettings()
        self._listener = _listen(host, port)
        self._listener.settimeout(WAIT_SECONDS)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        # Guards both tables, and makes the order of events the same for all.
        self._lock = threading.Lock()
        self._members: dict[str, TcpMember] = {}
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._ending = threading.Event()

    @property
    def members(self) -> list[str]:
        """The names of all members, sorted."""
        with self._lock:
            return sorted(member.name for member in self._members.values())

    # --- connections -------------------------------------------------------------------------

    def _serve(self) -> None:
        """Accepts connections until `stop`."""
        try:
            while not self.is_stopping:
                try:
                    sock, address = self._listener.accept()
                except (TimeoutError, ConnectionError):
                    continue  # nobody came, or has gone again
                except OSError as error:
                    if not self.is_stopping:  # no more file descriptors
                        logger.warning("accept: %s", error)
                        self._ending.wait(WAIT_SECONDS)
                else:
                    self._take_in(sock, address)
        finally:
            self._end_all()

    def _take_in(self, sock: socket.socket, address: Any) -> None:
        """Gives a connection its reader thread."""
        thread = threading.Thread(
            target=self._attend, args=(sock, address), name="tcp-chat reader", daemon=True
        )
        with self._lock:
            if len(self._connections) >= self.settings.members_max + self.settings.strangers_max:
                logger.warning("too many connections: %s is turned away", address)
                sock.close()
                return
            self._connections[sock] = thread
        try:
            thread.start()
        except RuntimeError as error:  # the system has no more threads
            logger.warning("%s is turned away: %s", address, error)
            with self._lock:
                del self._connections[sock]
            sock.close()

    def _attend(self, sock: socket.socket, address: Any) -> None:
        """The reader thread: the life of one connection, from HELLO to the end."""
        member = TcpMember(sock, self.settings.queue_bytes_max)
        reason = "disconnected"
        try:
            sock.settimeout(self.settings.hello_seconds)
            prepare(sock, self.settings.keepalive)
            messages = messages_from(sock)
            hello = next(messages, None)
            if hello is None or hello.kind is not Kind.HELLO:
                return
            sock.settimeout(None)
            why_not = self._admit(member, hello.name)
            if why_not is None:
                reason = self._listen_to(member, messages)
            else:
                member.finish(Message(Kind.REFUSED, text=why_not))
        except (MalformedMessage, TextTooLong) as error:
            logger.info("%s: %s", address, error)
            reason = "malformed"
        except OSError as error:
            logger.info("%s: %s", address, error)
            reason = why_lost(error)
        finally:
            if reason == "disconnected" and member.has_timed_out():
                reason = "timeout"
            self._release(member, reason)
            member.drain(self.settings.drain_seconds)
            shut_down(sock, socket.SHUT_RDWR)
            member.drain()
            # Only now: a closed socket's number may be another connection's the next moment.
            sock.close()
            with self._lock:
                del self._connections[sock]

    def _listen_to(self, member: TcpMember, messages: Iterator[Message]) -> str:
        """Relays what a member says until it leaves; returns why it has left."""
        rate = self.settings.message_rate
        bucket = TokenBucket(rate, max(1, 2 * rate), time.monotonic())
        for message in messages:
            if message.kind is Kind.LEAVE:
                return "left"
            if message.kind is not Kind.SAY:
                raise MalformedMessage("not what a member says")
            lines = min(1 + len(message.text.encode()) // LINE_BYTES, int(bucket.burst))
            # Holds back a member that says too much at once: it can send when we read again.
            while not bucket.take(lines, now := time.monotonic()) and not self._ending.is_set():
                self._ending.wait(bucket.ready_at(lines) - now)
            if not self._relay(member, message.text):
                break
        return "disconnected"

    # --- the room ----------------------------------------------------------------------------

    def _admit(self, member: TcpMember, name: str) -> str | None:
        """Makes it a member of this name; returns why not, if it is refused."""
        why_not = refusal(name)
        if why_not is not None:
            return why_not
        with self._lock:
            if self._ending.is_set():
                return "shutting_down"
            if name_key(name) in self._members:
                return "name_in_use"
            if len(self._members) >= self.settings.members_max:
                return "room_full"
            self._post_to_all(stamped(Kind.JOIN, name))
            member.name = name
            self._members[name_key(name)] = member
            names = [other.name for other in self._members.values()]
            welcome = stamped(Kind.WELCOME, name, "\n".join([self.settings.room, *names]))
            member.post(frame(welcome))
        logger.info("%s joined", name)
        return None

    def _relay(self, member: TcpMember, text: str) -> bool:
        """Relays a text to all, its speaker too; false if the speaker is no member any more."""
        with self._lock:
            if self._members.get(name_key(member.name)) is not member:
                return False
            self._post_to_all(stamped(Kind.CHAT, member.name, text))
        return True

    def _release(self, member: TcpMember, reason: str) -> None:
        """Takes a member out of the room, if it is still in it."""
        with self._lock:
            if self._members.get(name_key(member.name)) is not member:
                return
            del self._members[name_key(member.name)]
            member.finish(Message(Kind.BYE, text=reason))
            self._post_to_all(stamped(Kind.LEFT, member.name, reason))
        logger.info("%s left: %s", member.name, reason)

    def _post_to_all(self, message: Message) -> None:
        """Posts a message to all; drops each member whose queue is full. The lock is held."""
        messages = deque([message])
        while messages:
            data = frame(messages.popleft())
            for member in list(self._members.values()):
                if not member.post(data):
                    logger.warning("%s is dropped: it reads too slowly", member.name)
                    del self._members[name_key(member.name)]
                    member.cut_off(Message(Kind.BYE, text="too_slow"))
                    messages.append(stamped(Kind.LEFT, member.name, "too_slow"))

    # --- ending ------------------------------------------------------------------------------

    def _end_all(self) -> None:
        """Says goodbye to all members, and ends all connections."""
        with self._lock:
            self._ending.set()
            for member in self._members.values():
                member.finish(Message(Kind.BYE, text="shutting_down"))
            self._members.clear()
            connections = dict(self._connections)
        until = time.monotonic() + self.settings.close_seconds
        for sock in connections:
            shut_down(sock, socket.SHUT_RD)  # ends its reader; its writer still says goodbye
        for thread in connections.values():
            thread.join(max(0.0, until - time.monotonic()))
        for sock in connections:
            shut_down(sock, socket.SHUT_RDWR)
        for thread in connections.values():
            thread.join()
        logger.info("stopped")

    def _wake(self) -> None:
        shut_down(self._listener, socket.SHUT_RDWR)  # Linux ends `accept` then; others look up

    def _close_sockets(self) -> None:
        self._listener.close()


def _listen(host: str, port: int) -> socket.socket:
    """A listening socket; for all interfaces one that takes IPv4 and IPv6."""
    if host:
        found = resolve(host, port, socket.SOCK_STREAM, socket.AI_PASSIVE)
        return socket.create_server(found.address[:2], family=found.family, backlog=1024)
    dual = socket.has_dualstack_ipv6()
    family = socket.AF_INET6 if dual else socket.AF_INET
    return socket.create_server(("", port), family=family, dualstack_ipv6=dual, backlog=1024)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments, settings = read_arguments(argv)
    return run_server(lambda: TcpServer(arguments.host, arguments.port, settings), arguments)


if __name__ == "__main__":
    sys.exit(main())
