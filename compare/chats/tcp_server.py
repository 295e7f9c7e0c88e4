"""The classic multi-user chat over TCP, its server: `socket`, `threading`, localhost:9091.

A thread accepts, and each client has a thread of its own, which takes in what it says and relays
it to everyone. Relaying never waits: a member is sent at once what the kernel takes for it; what
the kernel does not take waits in the member's queue, and a second thread, which lives for so long
only, sends that. So a client that stops reading stops nobody. (The other way, `sendall` with a
timeout in the relaying thread, would freeze the room for the timeout, once per stalled client.)

A queue is bounded. When it overflows, its member is dropped as too slow: the room sees it leave,
the server logs it, and it is told so itself if it reads again soon. A flood is held back where
it comes from: the thread of who says more than `--rate` lines a second pauses, and TCP's flow
control makes that client's own `send` wait.

The room's lock gives all members the same order of events. What TCP gives: nothing is lost,
doubled or reordered while a connection lasts. What it does not give: when a connection breaks,
neither side knows what of the last lines arrived, and nobody comes back by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import selectors
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

if not __package__:  # run as a file: `python3 compare/chats/tcp_server.py`
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from compare.chats.console import (
    add_keepalive_arguments,
    add_server_arguments,
    keepalive_of,
    run_server,
)
from compare.chats.framing import Keepalive, frame, messages_from, prepare, why_lost
from compare.chats.messages import Kind, MalformedMessage, Message, TextTooLong, refusal
from udp_chat.app.arguments import count
from udp_chat.protocol.delivery import TokenBucket
from udp_chat.protocol.names import name_key
from udp_chat.protocol.packets import DEFAULT_PORT

logger = logging.getLogger("udp_chat.compare.tcp_server")

QUEUE_BYTES_MAX = 1024 * 1024
"""What may wait for one member beyond the kernel's buffer. As much as one member may say at once
at the default rate, so that a burst drops nobody who reads."""

DONT_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
"""Where a platform has it not, every frame goes the longer way, through the queue."""

LINE_BYTES = 1024
"""A longer line counts as several."""

HELLO_SECONDS = 10.0
"""How long a connection may be silent before it has said who it is."""

MEMBERS_MAX = 1900
"""As many names as fit a WELCOME, if all are of the longest."""

STRANGERS_MAX = 100
"""Connections beyond the members that a room can have: those who say hello, or goodbye."""

DRAIN_SECONDS = 15.0
"""How long who leaves, or was too slow, may take for what still waits for it."""

CLOSE_SECONDS = 1.0
"""The same when the server stops."""

ERROR_SECONDS = 0.1
"""How long one thread of a connection may need to hear of an error that the other one saw."""

WAIT_SECONDS = 1.0
"""How often the accepting thread looks up."""

PAUSE_SECONDS = 0.5
"""After `accept` failed for want of file descriptors: else it would fail on and on."""


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """What may be chosen about a room."""

    room: str = "chat"
    members_max: int = 1000
    """At most MEMBERS_MAX."""
    message_rate: float = 500.0
    """Lines a second of one member in the long run, twice as many at once; 0: no limit."""
    queue_bytes_max: int = QUEUE_BYTES_MAX
    keepalive: Keepalive = field(default_factory=Keepalive)

    def __post_init__(self) -> None:
        if self.members_max > MEMBERS_MAX:
            raise ValueError(f"at most {MEMBERS_MAX} members: their names have to fit a frame")


class _Member:
    """One who is in: a name, what waits to be sent, and the thread that sends it meanwhile."""

    def __init__(self, name: str, sock: socket.socket, queue_bytes_max: int) -> None:
        self.name = name
        self._socket = sock
        self._queue_bytes_max = queue_bytes_max
        self._lock = threading.Lock()  # never held while anything waits
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._writer: threading.Thread | None = None
        self._error: OSError | None = None

    def post(self, data: bytes) -> bool:
        """Sends a frame or queues it, never waits; false if too much waits already."""
        with self._lock:
            if self._writer is not None and self._queue_bytes + len(data) > self._queue_bytes_max:
                return False
            return self._post(data)

    def finish(self, goodbye: Message, at_once: bool = False) -> None:
        """Posts the last frame; `at_once` in place of all that waits, and nothing more is read."""
        with self._lock:
            if at_once:
                self._queue.clear()
            self._post(frame(goodbye))
        if at_once:
            _shut_down(self._socket, socket.SHUT_RD)

    def drain(self, timeout_seconds: float | None = None) -> None:
        """Waits until what was posted is sent, or cannot be sent."""
        writer = self._writer
        if writer is not None:
            writer.join(timeout_seconds)

    def has_timed_out(self) -> bool:
        """Whether sending failed for want of any sign of life.

        The kernel tells an error once: if it was told to who sends, the reader sees a mere end.
        """
        self.drain(ERROR_SECONDS)  # it is told in the same moment
        with self._lock:
            return self._error is not None and why_lost(self._error) == "timeout"

    def _post(self, data: bytes) -> bool:
        if self._error is not None:
            return True  # the reader is about to see it too
        if self._writer is None:
            try:
                data = data[self._socket.send(data, DONT_WAIT) :] if DONT_WAIT else data
            except BlockingIOError:
                pass
            except OSError as error:
                self._fail(error)
                return True
            if not data:
                return True
            writer = threading.Thread(
                target=self._write, args=(data,), name="tcp-chat writer", daemon=True
            )
            try:
                writer.start()
            except RuntimeError as error:  # the system has no more threads
                self._fail(OSError(str(error)))
                return False
            self._writer = writer
        else:
            self._queue.append(data)
            self._queue_bytes += len(data)
        return True

    def _write(self, data: bytes) -> None:
        """Sends the rest of a frame, and then what is in the queue: whole frames."""
        while data:
            try:
                self._socket.sendall(data)  # send() may take a part only
            except OSError as error:
                with self._lock:
                    self._fail(error)
                return
            with self._lock:
                data = b"".join(self._queue)
                self._queue.clear()
                self._queue_bytes = 0
                if not data:
                    self._writer = None

    def _fail(self, error: OSError) -> None:
        self._error = error
        _shut_down(self._socket, socket.SHUT_RDWR)  # wakes the reader


class TcpServer:
    """A room on a TCP socket. `start()` serves in a thread, `serve()` in the caller's.

    Both are ended by `close()`, from any thread and any number of times. A context manager.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        settings: TcpSettings | None = None,
    ) -> None:
        """Binds the socket: raises OSError if that cannot be. No host means all interfaces."""
        self.settings = settings or TcpSettings()
        self._listener = _listen(host, port)
        self.address: tuple[str, int] = self._listener.getsockname()[:2]
        # Guards both tables, and makes the order of events one order.
        self._lock = threading.Lock()
        self._members: dict[str, _Member] = {}
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._stopping = False
        self._ending = threading.Event()
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_sender.setblocking(False)
        self._serving = threading.RLock()  # so that `close` takes no socket from under `serve`
        self._thread: threading.Thread | None = None

    def __enter__(self) -> TcpServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def members(self) -> list[str]:
        """The names of all who are in, sorted."""
        with self._lock:
            return sorted(member.name for member in self._members.values())

    def start(self) -> None:
        """Serves in a new thread and returns at once."""
        self._thread = threading.Thread(target=self.serve, name="tcp-chat server")
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C too: no thread stays behind
            self.close()
            raise

    def stop(self) -> None:
        """Asks `serve` to say goodbye and return; safe in a signal handler."""
        self._stopping = True
        with contextlib.suppress(OSError):
            self._wake_sender.send(b"\0")

    def close(self) -> None:
        """Says goodbye to all members, ends all threads and frees the port."""
        self.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            thread.join()
        with self._serving:
            for sock in (self._listener, self._wake_receiver, self._wake_sender):
                sock.close()

    def serve(self) -> None:
        """Runs the room until `stop` or `close`."""
        with self._serving:
            if not self._stopping:
                try:
                    self._accept_all()
                finally:
                    self._end_all()

    # --- connections -------------------------------------------------------------------------

    def _accept_all(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listener, selectors.EVENT_READ)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            while not self._stopping:
                # A while only: Windows runs signal handlers between waits, not in them.
                selector.select(WAIT_SECONDS)
                try:
                    sock, address = self._listener.accept()
                except BlockingIOError:
                    continue  # we were woken, or it has gone again
                except ConnectionError:
                    continue  # it has gone again, which some systems tell this way
                except OSError as error:
                    logger.warning("accept: %s", error)
                    self._ending.wait(PAUSE_SECONDS)
                    continue
                self._take_in(sock, address)

    def _take_in(self, sock: socket.socket, address: Any) -> None:
        thread = threading.Thread(
            target=self._attend, args=(sock, address), name="tcp-chat reader", daemon=True
        )
        with self._lock:
            if len(self._connections) >= self.settings.members_max + STRANGERS_MAX:
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

    def _end_all(self) -> None:
        with self._lock:
            self._ending.set()
            for member in self._members.values():
                member.finish(Message(Kind.BYE, text="shutting_down"))
            self._members.clear()
            connections = dict(self._connections)
        until = time.monotonic() + CLOSE_SECONDS
        for sock in connections:
            _shut_down(sock, socket.SHUT_RD)  # ends its reader; its writer still says goodbye
        for thread in connections.values():
            thread.join(max(0.0, until - time.monotonic()))
        for sock in connections:
            _shut_down(sock, socket.SHUT_RDWR)
        for thread in connections.values():
            thread.join()
        logger.info("stopped")

    def _attend(self, sock: socket.socket, address: Any) -> None:
        """The life of one connection: its reader thread."""
        member = None
        try:
            sock.settimeout(HELLO_SECONDS)
            prepare(sock, self.settings.keepalive)
            messages = messages_from(sock)
            hello = next(messages, None)
            if hello is None or hello.kind is not Kind.HELLO:
                return
            sock.settimeout(None)
            member = self._admit(hello.name, sock)
            if isinstance(member, str):
                sock.sendall(frame(Message(Kind.REFUSED, text=member)))
                return
            reason = "disconnected"  # unless it says that it leaves
            rate = self.settings.message_rate
            bucket = TokenBucket(rate, max(1, 2 * rate), time.monotonic())
            for message in messages:
                if message.kind is Kind.LEAVE:
                    reason = "left"
                    break
                if message.kind is not Kind.SAY:
                    raise MalformedMessage("not what a member says")
                self._pause(bucket, 1 + len(message.text.encode()) // LINE_BYTES)
                if not self._relay(member, message.text):
                    break  # it has been let go, but goes on talking
        except (MalformedMessage, TextTooLong) as error:
            logger.info("%s: %s", address, error)
            reason = "malformed"
        except OSError as error:
            logger.info("%s: %s", address, error)
            reason = why_lost(error)
        finally:
            if isinstance(member, _Member):
                if reason == "disconnected" and member.has_timed_out():
                    reason = "timeout"
                self._release(member, reason)
                member.drain(DRAIN_SECONDS)
            _shut_down(sock, socket.SHUT_RDWR)
            if isinstance(member, _Member):
                member.drain()
            # Only now: a closed socket's number may be another connection's the next moment.
            sock.close()
            with self._lock:
                del self._connections[sock]

    def _pause(self, bucket: TokenBucket, lines: int) -> None:
        """Holds back who says too much at once: it is read later, so it can send only later."""
        lines = min(lines, int(bucket.burst))
        while not bucket.take(lines, now := time.monotonic()) and not self._ending.is_set():
            self._ending.wait(bucket.ready_at(lines) - now)

    # --- the room ----------------------------------------------------------------------------

    def _admit(self, name: str, sock: socket.socket) -> _Member | str:
        """The new member, or why it is refused."""
        why = refusal(name)
        if why is not None:
            return why
        member = _Member(name, sock, self.settings.queue_bytes_max)
        with self._lock:
            if self._ending.is_set():
                return "shutting_down"
            if name_key(name) in self._members:
                return "name_in_use"
            if len(self._members) >= self.settings.members_max:
                return "room_full"
            self._post_to_all(_now(Kind.JOIN, name))
            self._members[name_key(name)] = member
            names = [other.name for other in self._members.values()]
            member.post(frame(_now(Kind.WELCOME, name, "\n".join([self.settings.room, *names]))))
        logger.info("%s joined", name)
        return member

    def _relay(self, member: _Member, text: str) -> bool:
        """Relays a line to everyone, its speaker too; false if that is no member any more."""
        with self._lock:
            if self._members.get(name_key(member.name)) is not member:
                return False
            self._post_to_all(_now(Kind.CHAT, member.name, text))
        return True

    def _release(self, member: _Member, reason: str) -> None:
        """Lets a member go, if it has not been let go already."""
        with self._lock:
            if self._members.get(name_key(member.name)) is not member:
                return
            del self._members[name_key(member.name)]
            member.finish(Message(Kind.BYE, text=reason))
            self._post_to_all(_now(Kind.LEFT, member.name, reason))
        logger.info("%s left: %s", member.name, reason)

    def _post_to_all(self, message: Message) -> None:
        """Queues a message for every member; whose queue is full is dropped. The lock is held."""
        messages = deque([message])
        while messages:
            data = frame(messages.popleft())
            for member in list(self._members.values()):
                if not member.post(data):
                    logger.warning("%s is dropped: it reads too slowly", member.name)
                    del self._members[name_key(member.name)]
                    member.finish(Message(Kind.BYE, text="too_slow"), at_once=True)
                    messages.append(_now(Kind.LEFT, member.name, "too_slow"))


def _now(kind: Kind, name: str = "", text: str = "") -> Message:
    return Message(kind, name, text, time.time_ns() // 1_000_000)


def _shut_down(sock: socket.socket, how: int) -> None:
    with contextlib.suppress(OSError):  # it is no longer connected
        sock.shutdown(how)


def _listen(host: str, port: int) -> socket.socket:
    """A listening, non-blocking socket; for all interfaces one that takes IPv4 and IPv6."""
    if host:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        # As the project's other servers choose: else `localhost` could be two addresses.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        listener = socket.create_server(address[:2], family=family, backlog=1024)
    elif socket.has_dualstack_ipv6():
        listener = socket.create_server(
            ("", port), family=socket.AF_INET6, dualstack_ipv6=True, backlog=1024
        )
    else:
        listener = socket.create_server(("", port), backlog=1024)
    listener.setblocking(False)
    return listener


# --- the command -----------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tcp_server.py",
        description="Opens a chat room over TCP. Join it with: python3 -m compare.chats.tcp_client",
    )
    add_server_arguments(parser)
    parser.add_argument(
        "--rate",
        type=count,
        default=int(TcpSettings().message_rate),
        metavar="N",
        help="lines a second that one member may say in the long run, 0: no limit"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--queue",
        type=count,
        default=QUEUE_BYTES_MAX,
        metavar="BYTES",
        help="what may wait for a member before it is dropped as too slow (default: %(default)s)",
    )
    add_keepalive_arguments(parser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    try:
        settings = TcpSettings(
            room=arguments.room,
            members_max=arguments.max_members,
            message_rate=arguments.rate,
            queue_bytes_max=arguments.queue,
            keepalive=keepalive_of(parser, arguments),
        )
    except ValueError as error:
        parser.error(str(error))
    return run_server(lambda: TcpServer(arguments.host, arguments.port, settings), arguments)


if __name__ == "__main__":
    sys.exit(main())
