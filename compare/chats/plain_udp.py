"""The smallest honest chat over plain UDP: what a coursework's UDP variant usually is.

One message, one datagram. The server keeps a dict of addresses, entered by a registration
datagram (HELLO), and relays each line to all of them. The client has a thread that blocks in
`recvfrom`; a second one sends a heartbeat (ALIVE), which the server echoes. Either side takes
long silence for the other's end.

Honest means that it does not pretend: nothing is acknowledged, numbered, repeated or put in
order. A lost HELLO is a failed join, a lost line is a missing line, a doubled one is there twice,
a lost JOIN or LEFT leaves the list of names wrong, and nobody is told. Anyone who can forge a
sender's address can speak for a member. For a chat that does better see udp_server.py.

  python3 -m compare.chats.plain_udp serve
  python3 -m compare.chats.plain_udp join [SERVER[:PORT]]
"""

from __future__ import annotations

import argparse
import contextlib
import errno
import logging
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if not __package__:  # run as a file: `python3 compare/chats/plain_udp.py`
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from compare.chats.console import (
    add_client_arguments,
    add_server_arguments,
    add_silence_arguments,
    check_silence,
    run_client,
    run_server,
)
from compare.chats.messages import (
    JoinFailed,
    Kind,
    MalformedMessage,
    Message,
    TextTooLong,
    event_of,
    refusal,
)
from udp_chat.protocol.names import name_key
from udp_chat.protocol.packets import DEFAULT_PORT, Address

if TYPE_CHECKING:
    from udp_chat.client.chat_events import ChatEvent

logger = logging.getLogger("udp_chat.compare.plain_udp")

DATAGRAM_BYTES_MAX = 65535
"""More than UDP can carry (65507 over IPv4), so that `recvfrom` cuts nothing off."""

WELCOME_BYTES_MAX = 1200
"""A WELCOME lists the names that fit: a longer one would be fragmented."""

WAIT_SECONDS = 1.0
"""How often the server looks who has been silent for too long."""

JOIN_TIMEOUT_SECONDS = 5.0
LEAVE_SECONDS = 1.0
"""How long a client waits for the answer to its HELLO, and to its LEAVE. Neither is repeated."""


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


class PlainUdpServer:
    """A room on a UDP socket. `start()` serves in a thread, `serve()` in the caller's.

    Both are ended by `close()`, from any thread and any number of times. A context manager.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = DEFAULT_PORT,
        settings: PlainUdpSettings | None = None,
    ) -> None:
        """Binds the socket: raises OSError if that cannot be. No host means all interfaces."""
        self.settings = settings or PlainUdpSettings()
        family, _, _, _, address = _resolve(host or "0.0.0.0", port)
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._socket.bind(address)
        except BaseException:  # Ctrl-C too: no socket stays open
            self._socket.close()
            raise
        self._socket.settimeout(WAIT_SECONDS)
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self.counters: Counter[str] = Counter()
        """Datagrams by what became of them: received, sent, send errors, ignored."""
        self._members: dict[Address, _Member] = {}
        self._looked_at = time.monotonic()
        self._stopping = False
        self._serving = threading.RLock()  # so that `close` takes no socket from under `serve`
        self._thread: threading.Thread | None = None

    def __enter__(self) -> PlainUdpServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def members(self) -> list[str]:
        """The names of all who are in, sorted."""
        return sorted(member.name for member in self._members.copy().values())

    def start(self) -> None:
        """Serves in a new thread and returns at once."""
        self._thread = threading.Thread(target=self.serve, name="plain-udp server")
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C too: no thread stays behind
            self.close()
            raise

    def stop(self) -> None:
        """Asks `serve` to say goodbye and return; safe in a signal handler."""
        self._stopping = True
        _wake(self._socket)

    def close(self) -> None:
        """Says goodbye to all members, ends the thread and frees the port."""
        self.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            thread.join()
        with self._serving:
            self._socket.close()

    def serve(self) -> None:
        """Runs the room until `stop` or `close`."""
        with self._serving:
            if self._stopping:
                return
            while not self._stopping:
                try:
                    datagram, address = self._socket.recvfrom(DATAGRAM_BYTES_MAX)
                    self._receive(datagram, address, time.monotonic())
                except TimeoutError:
                    pass
                except OSError as error:
                    # An ICMP error about some peer (WSAECONNRESET): no fault of the socket.
                    logger.debug("recvfrom: %s", error)
                self._drop_silent(time.monotonic())
            self._send_all(Message(Kind.BYE, text="shutting_down"))
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
            self._send_all(_now(Kind.CHAT, member.name, message.text))
        elif message.kind is Kind.ALIVE:
            self._send(message, address)
        elif message.kind is Kind.LEAVE:
            self._send(Message(Kind.BYE, text="left"), address)
            self._drop(address, "left")

    def _register(self, name: str, address: Address, now: float) -> None:
        why = refusal(name)
        if address in self._members:
            name = self._members[address].name  # a doubled HELLO: it gets the same answer
        elif why is None and name_key(name) in map(name_key, self.members):
            why = "name_in_use"
        elif why is None and len(self._members) >= self.settings.members_max:
            why = "room_full"
        if why is not None:
            self._send(Message(Kind.REFUSED, text=why), address)
            return
        if address not in self._members:
            self._send_all(_now(Kind.JOIN, name))
            self._members[address] = _Member(name, now)
            logger.info("%s joined", name)
        text = self.settings.room
        for other in [name, *(other for other in self.members if other != name)]:
            if len(text.encode()) + len(other.encode()) > WELCOME_BYTES_MAX:
                break
            text += f"\n{other}"
        self._send(_now(Kind.WELCOME, name, text), address)

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
        self._send_all(_now(Kind.LEFT, name, reason))

    def _send_all(self, message: Message) -> None:
        datagram = message.encode()
        for address in self._members:
            self._send_datagram(datagram, address)

    def _send(self, message: Message, address: Address) -> None:
        self._send_datagram(message.encode(), address)

    def _send_datagram(self, datagram: bytes, address: Address) -> None:
        try:
            self._socket.sendto(datagram, address)
            self.counters["sent"] += 1
        except OSError as error:  # too large, unreachable: for this one it is lost
            logger.debug("sendto %s: %s", address, error)
            self.counters["send errors"] += 1


class PlainUdpClient:
    """A member of a room. All methods may be called from any thread.

    `on_event` is called with each event, on a thread of the client's, while no lock is held: it
    may call every method but `start` and `finish`. A context manager.
    """

    def __init__(
        self,
        server: tuple[str, int],
        name: str,
        on_event: Callable[[ChatEvent], None] | None = None,
        join_timeout_seconds: float = JOIN_TIMEOUT_SECONDS,
        heartbeat_seconds: float = 5.0,
        timeout_seconds: float = 15.0,
    ) -> None:
        self.server = server
        self.name = name
        self._on_event = on_event or (lambda event: None)
        self._join_timeout_seconds = join_timeout_seconds
        self._heartbeat_seconds = heartbeat_seconds
        self._timeout_seconds = timeout_seconds
        self._address: Address = ()
        self._socket: socket.socket | None = None
        self._threads = [
            threading.Thread(target=self._receive, name="plain-udp receiver", daemon=True),
            threading.Thread(target=self._beat, name="plain-udp heartbeat", daemon=True),
        ]
        self._closing = threading.Lock()
        self._leaving = False
        self._answered = threading.Event()
        self._joined = False
        self._refusal: JoinFailed | None = None
        self._ended = threading.Event()
        self._reason = ""
        """Why it ended, "" if I wished so."""
        self._confirmed = False
        self._heard_at = 0.0
        self._members: set[str] = set()

    def __enter__(self) -> PlainUdpClient:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def members(self) -> list[str]:
        """The names of who is in as far as I have heard, sorted."""
        return sorted(self._members.copy())

    def start(self) -> None:
        """Joins the room; returns once joined, or raises `JoinFailed` and leaves nothing behind."""
        assert self._socket is None, "a client joins once"
        try:
            self._join()
        except BaseException:  # Ctrl-C too: no thread and no socket stays behind
            self.close()
            raise

    def say(self, text: str) -> None:
        """Sends a text to the room, a datagram a line.

        Raises `TextTooLong` if the system refuses a datagram so large, else OSError. That it
        raises nothing says nothing.
        """
        for line in text.splitlines():
            try:
                self._send(Message(Kind.SAY, text=line))
            except OSError as error:
                if error.errno in _TOO_LARGE:
                    raise TextTooLong(error.strerror) from error
                raise

    def finish(self) -> bool:
        """Leaves; true if the server's goodbye came, which says nothing of the lines before."""
        self._leave()
        self._ended.wait(LEAVE_SECONDS)
        return self._confirmed

    def close(self) -> None:
        """Leaves, waiting a little for the server's goodbye, and ends the threads. Idempotent."""
        sock = self._socket
        if sock is None:
            return
        me = threading.current_thread()
        # A callback does not wait for another thread's close: that one waits for the callback.
        if not self._closing.acquire(blocking=me not in self._threads):
            return
        try:
            self._leave()
            if self._joined and me not in self._threads:
                self._ended.wait(LEAVE_SECONDS)
            self._ended.set()
            _wake(sock)
            for thread in self._threads:
                if thread is not me and thread.is_alive():
                    thread.join()
            sock.close()
        finally:
            self._closing.release()

    # --- joining -----------------------------------------------------------------------------

    def _join(self) -> None:
        try:
            family, _, _, _, self._address = _resolve(*self.server)
        except (OSError, UnicodeError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise JoinFailed("unknown_host", text) from error
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._socket.bind(("", 0))
        self._heard_at = time.monotonic()
        self._threads[0].start()
        try:
            self._send(Message(Kind.HELLO, self.name))
        except OSError as error:
            raise JoinFailed("no_answer", error.strerror or str(error)) from error
        self._answered.wait(self._join_timeout_seconds)
        if not self._joined:
            raise self._refusal or JoinFailed("no_answer", "nothing came back")
        self._threads[1].start()

    # --- the threads -------------------------------------------------------------------------

    def _leave(self) -> None:
        if self._joined and not self._leaving and not self._ended.is_set():
            self._leaving = True
            with contextlib.suppress(OSError):
                self._send(Message(Kind.LEAVE))

    def _send(self, message: Message) -> None:
        assert self._socket is not None, "start first"
        self._socket.sendto(message.encode(), self._address)

    def _receive(self) -> None:
        assert self._socket is not None
        while not self._ended.is_set():
            try:
                datagram, address = self._socket.recvfrom(DATAGRAM_BYTES_MAX)
            except OSError as error:
                logger.debug("recvfrom: %s", error)
                continue
            if address != self._address:
                continue
            self._heard_at = time.monotonic()
            with contextlib.suppress(MalformedMessage):
                self._take(Message.decode(datagram))
        if self._joined:
            self._call_back(
                {"event": "left", "reason": self._reason} if self._reason else {"event": "left"}
            )

    def _beat(self) -> None:
        """Shows that we live; ends the conversation if the server does not."""
        assert self._socket is not None
        while not self._ended.wait(self._heartbeat_seconds):
            if time.monotonic() - self._heard_at > self._timeout_seconds:
                self._reason = "timeout"
                self._ended.set()
                _wake(self._socket)
                return
            with contextlib.suppress(OSError):  # no network just now
                self._send(Message(Kind.ALIVE))

    def _take(self, message: Message) -> None:
        match message.kind:
            case Kind.REFUSED if not self._joined:
                self._refusal = JoinFailed(message.text, f"the server refused: {message.text}")
                self._call_back(
                    {"event": "refused", "reason": message.text, "text": str(self._refusal)}
                )
                self._answered.set()
            case Kind.WELCOME:
                if self._joined:
                    return  # a doubled one
                self.name = message.name
                self._members = set(message.text.split("\n")[1:])
                self._joined = True
            case Kind.JOIN:
                self._members.add(message.name)
            case Kind.LEFT:
                self._members.discard(message.name)
            case Kind.BYE:
                self._confirmed = self._leaving
                self._reason = "" if self._leaving else message.text
                self._ended.set()
        event = event_of(message)
        if event is not None:
            self._call_back(event)
        if message.kind is Kind.WELCOME:
            self._answered.set()

    def _call_back(self, event: ChatEvent) -> None:
        try:
            self._on_event(event)
        except Exception:  # the caller's code: whatever it raises, the conversation goes on
            logger.exception("on_event failed for %r", event)


_TOO_LARGE = (errno.EMSGSIZE, 10040)  # the second is Windows' own number for it


def _now(kind: Kind, name: str = "", text: str = "") -> Message:
    return Message(kind, name, text, time.time_ns() // 1_000_000)


def _resolve(host: str, port: int) -> Any:
    """The first address of a host, an IPv4 one if it has any."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    return min(found, key=lambda entry: entry[0] != socket.AF_INET)


def _wake(sock: socket.socket) -> None:
    """Ends a wait in `recvfrom` in the one way that works everywhere: with a datagram."""
    with contextlib.suppress(OSError):  # it is closed already
        host, port = sock.getsockname()[:2]
        if host in ("0.0.0.0", "::"):
            host = "::1" if sock.family == socket.AF_INET6 else "127.0.0.1"
        sock.sendto(b"", (host, port))


# --- the command -----------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="plain_udp.py",
        description="The smallest honest chat over plain UDP, which loses what the network loses.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="open a room")
    add_server_arguments(serve)
    join = commands.add_parser("join", help="join one: type a line to say it, выйти to leave")
    add_client_arguments(join)
    for command in (serve, join):
        add_silence_arguments(command)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    check_silence(parser, arguments)

    def open_server() -> PlainUdpServer:
        settings = PlainUdpSettings(arguments.room, arguments.max_members, arguments.timeout)
        return PlainUdpServer(arguments.host, arguments.port, settings)

    def make_client(name: str, on_event: Callable[[ChatEvent], None]) -> PlainUdpClient:
        return PlainUdpClient(
            arguments.server,
            name,
            on_event,
            heartbeat_seconds=arguments.heartbeat,
            timeout_seconds=arguments.timeout,
        )

    if arguments.command == "serve":
        return run_server(open_server, arguments)
    return run_client(make_client, arguments)


if __name__ == "__main__":
    sys.exit(main())
