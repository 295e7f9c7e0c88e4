"""The chat's client: a receiver thread that blocks in `recvfrom`, and a writer thread.

The conversation itself is the pure state machine of session.py. `UdpClient` is the thin shell
around it: the receiver thread hands in datagrams, the writer thread sleeps until the next
deadline or until something waits to be sent, the caller's thread only hands text over. The
command is in app/client_command.py.

Neither thread ends silently. If one meets what nobody expected, the client has ended: both threads
end, nothing waits for them any more, and the last event says so (`left`, `internal_error`).
"""

from __future__ import annotations

import contextlib
import getpass
import logging
import random
import socket
import threading
import time
from collections.abc import Callable

from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.replica import Replica
from udp_chat.client.session import ChatSession, State
from udp_chat.client.whereabouts import Standing
from udp_chat.protocol.addresses import format_address, resolve
from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.held_signals import HELD_LOOK_SECONDS, HELD_SIGNALS
from udp_chat.protocol.names import UnusableName, check_recipient, check_wanted_name, nearest_name
from udp_chat.protocol.packets import Address, ChatError, MessageKind
from udp_chat.protocol.worker import Worker

logger = logging.getLogger("udp_chat.client")

JOIN_TIMEOUT_SECONDS = 5.0
"""A server that is there answers within a second, even on a bad link."""

JOIN_HEARD_TIMEOUT_SECONDS = 12.0
"""The same in all, where the server was heard: it may be probing who has the wanted name, and a
silent holder is given some 8 s to show that it lives."""

CLOSE_FLUSH_SECONDS = 2.0
CLOSE_LEAVE_SECONDS = 2.0
"""What leaving may take when the server does not answer: a person has pressed Ctrl-C."""

GIVE_UP_SECONDS = 60.0
"""At the end of a pipe: how long a server may be away before the rest counts as not accepted."""


class JoinFailed(ChatError):
    """The room was not entered. `reason`: no_answer, unknown_host, internal_error, or why it was
    refused."""

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class UdpClient(Worker):
    """A member of a room. All methods may be called from any thread.

    `on_event` is called with each `ChatEvent`, one at a time and in order, on a thread of the
    client's, while no lock is held: it may call every method but `start`. `start` joins the room;
    it returns once joined, or raises `JoinFailed` and leaves nothing behind. A context manager.
    """

    def __init__(
        self,
        server: tuple[str, int],
        name: str = "",
        on_event: Callable[[ChatEvent], None] | None = None,
        join_timeout_seconds: float = JOIN_TIMEOUT_SECONDS,
        on_datagram: Callable[[str, bytes], None] | None = None,
        *,
        heard_timeout_seconds: float = JOIN_HEARD_TIMEOUT_SECONDS,
        on_away: Callable[[], None] = lambda: None,
        make_session: Callable[[Address, str, random.Random], ChatSession] = ChatSession,
    ) -> None:
        """`start` waits for `join_timeout_seconds` if it hears nothing from the server, and for
        `heard_timeout_seconds` in all if it hears something.

        `on_datagram` sees each datagram as it comes ("<") and goes (">"), on either thread,
        until it raises. `on_away` is called, on either thread, when the server is gone or has
        moved, before anybody is told. `make_session` makes the session from the server's address,
        the name and a source of chance; so a program can choose the session's settings.
        """
        super().__init__(
            {
                "udp-chat receiver": lambda: self._run(self._receive),
                "udp-chat writer": lambda: self._run(self._write),
            }
        )
        self.server = server
        self._name = name or default_name()
        self._on_event = on_event or (lambda event: None)
        self._on_datagram = on_datagram
        self._join_timeout_seconds = join_timeout_seconds
        self._heard_timeout_seconds = heard_timeout_seconds
        self._make_session = make_session
        self._on_away = on_away
        self._is_away = False
        self.on_members: Callable[[], None] = lambda: None
        """Called, on the receiver thread, when another number of members is in: no event tells that
        where a room has another host, which says later who is in."""
        # The lock guards the session, for a pure step at a time: no socket call and no callback
        # runs under it.
        self._lock = threading.Lock()
        self._stepped = threading.Condition(self._lock)
        """The writer thread waits here until it may have something to do."""
        self._noted = threading.Condition(self._lock)
        """Callers of this client wait here for what an event tells them."""
        self._calling_back = threading.Lock()
        self._session: ChatSession | None = None
        self._socket: socket.socket | None = None
        self._stopping = False
        self._left = False
        self._failure: ChatEvent | None = None
        """What ended a thread that should not have ended."""
        self._sleeps_until = 0.0
        self._joined = False
        self._away_since: float | None = None
        self._refusal: ChatEvent | None = None

    # --- what the caller does ----------------------------------------------------------------

    @property
    def name(self) -> str:
        """My name, as the room knows it."""
        session = self._session
        return session.name if session else self._name

    @property
    def members(self) -> list[str]:
        """The names of all who are in, sorted."""
        with self._lock:
            return self._session.members if self._session else []

    @property
    def room(self) -> str:
        """The name of the room."""
        return self._session.room if self._session else ""

    @property
    def pending_count(self) -> int:
        """Messages and requests (a new name, a question) that the server is not known to have."""
        with self._lock:
            return self._session.pending_count if self._session else 0

    @property
    def pending_lines(self) -> list[str]:
        """The texts of the messages among them, oldest first."""
        with self._lock:
            return self._session.pending_lines if self._session else []

    def say(self, text: str) -> None:
        """Says a text to the room, a message a line; raises `PendingFull` if too much waits.

        It leaves out empty lines. A line ends where Unicode says so, not only at "\\n".
        """
        for line in text.splitlines():
            if line.strip():
                self._hand_over(line, MessageKind.CHAT)

    def act(self, text: str) -> None:
        """Says what I do: shown as "* Anna waves"."""
        self._hand_over(text, MessageKind.ACTION)

    def whisper(self, to: str, text: str) -> None:
        """Says a text to one member alone; raises `UnusableName` if nobody can be called so."""
        self._hand_over(text, MessageKind.PRIVATE, check_recipient(to))

    def rename(self, name: str) -> None:
        """Asks for another name; raises `UnusableName`. The answer is an event."""
        self._hand_over(check_wanted_name(name), MessageKind.RENAME)

    def ask_seen(self) -> None:
        """Asks who has my last messages; a notice `seen` answers for each."""
        session = self._session
        assert session is not None, "start first"
        with HELD_SIGNALS, self._stepped:
            session.ask_seen(time.monotonic())
            self._stepped.notify_all()

    def ask_stats(self) -> None:
        """Asks how everyone's link does; answered by a notice `stats`."""
        session = self._session
        assert session is not None, "start first"
        with HELD_SIGNALS, self._stepped:
            session.ask_stats(time.monotonic())
            self._stepped.notify_all()

    @property
    def standing(self) -> Standing | None:
        """What a machine that may host the room has to know; None before `start`."""
        with self._lock:
            return self._session.standing if self._session else None

    def copy_replica(self) -> Replica:
        """What this client has of the room. It must have been started."""
        session = self._session
        assert session is not None, "start first"
        with self._lock:
            return session.replica.copied(time.monotonic())

    def look_at(self, address: Address) -> None:
        """The room is at this address: a client that is away looks there first."""
        session = self._session
        assert session is not None, "start first"
        with HELD_SIGNALS, self._stepped:
            session.look_at(address, time.monotonic())
            self._stepped.notify_all()

    def stand_by(self, port: int) -> None:
        """Tells the host that this machine can host the room at a port; 0: it cannot any more."""
        session = self._session
        assert session is not None, "start first"
        with HELD_SIGNALS, self._stepped:
            session.stand_by(port, time.monotonic())
            self._stepped.notify_all()

    def flush(
        self,
        timeout_seconds: float | None = None,
        below: int = 1,
        give_up_seconds: float = GIVE_UP_SECONDS,
    ) -> bool:
        """Waits until fewer than `below` lines are pending; false if that did not come about.

        Without a timeout it waits as long as the server is there or comes back within
        `give_up_seconds`. Not to be called from `on_event`.
        """
        session = self._session
        if session is None:
            return True
        is_over = False

        def is_flushed_or_over() -> bool:
            nonlocal is_over
            away_since = self._away_since
            away = away_since is not None and time.monotonic() - away_since > give_up_seconds
            is_over = session.pending_count >= below and (self._stopping or away)
            return is_over or session.pending_count < below

        return self._wait_until(is_flushed_or_over, timeout_seconds) and not is_over

    def close(self, flush_seconds: float = CLOSE_FLUSH_SECONDS) -> None:
        """Leaves: waits a little for what is pending, says LEAVE, ends both threads. Idempotent."""
        if self._session is None or self._socket is None:
            return  # it was not started, and may still be
        with HELD_SIGNALS:
            self._close(lambda: self._ask_to_end(flush_seconds))
            self.call_back()

    def _wait_until(self, is_so: Callable[[], object], seconds: float | None) -> bool:
        """Waits until something that an event may change is so; false if it takes too long.

        A signal that ends the wait, as Ctrl-C does, is heard while the lock is free.
        """
        until = NEVER if seconds is None else time.monotonic() + seconds
        with HELD_SIGNALS:
            while True:
                with self._noted:
                    left = until - time.monotonic()
                    if self._noted.wait_for(is_so, min(HELD_LOOK_SECONDS, left)):
                        return True
                HELD_SIGNALS.check()
                if left <= HELD_LOOK_SECONDS:
                    return False

    # --- joining -----------------------------------------------------------------------------

    def _begin(self) -> None:
        try:
            found = resolve(*self.server)
        except OSError as error:
            raise JoinFailed("unknown_host", error.strerror or str(error)) from error
        except UnicodeError as error:  # what no name server is even asked about
            raise JoinFailed("unknown_host", "this cannot be the name of a host") from error
        self._session = self._make_session(found.address, self._name, random.SystemRandom())
        self._socket = socket.socket(found.family, socket.SOCK_DGRAM)
        # Bound to all interfaces and never connected: so it keeps working when the machine
        # moves to another network, and the server sees the new address.
        self._socket.bind(("", 0))
        self._session.start(time.monotonic())
        self._start_threads()
        began_at = time.monotonic()
        if not self._wait_until(self._is_answered, self._join_timeout_seconds) and (
            self._session.server_was_heard
        ):
            left = began_at + self._heard_timeout_seconds - time.monotonic()
            self._wait_until(self._is_answered, left)
        if self._failure is not None:
            raise JoinFailed(self._failure["reason"], self._failure["text"])
        if self._joined:
            return
        with self._lock:  # a busy server has said no, and might have said yes in the end
            refusal = self._refusal or self._session.last_refusal
        if refusal is not None:
            raise JoinFailed(refusal["reason"], refusal["text"])
        raise JoinFailed("no_answer", f"no answer from {format_address(self.server)}")

    def _is_answered(self) -> bool:
        return self._joined or self._refusal is not None or self._stopping

    # --- ending ------------------------------------------------------------------------------

    def _ask_to_end(self, flush_seconds: float = CLOSE_FLUSH_SECONDS) -> None:
        session, sock = self._session, self._socket
        assert session is not None
        assert sock is not None
        if session.state is State.JOINED and not self._is_own_thread():
            self.flush(flush_seconds)
        with self._stepped:
            if self._failure is None:
                session.leave(time.monotonic())
                self._stepped.notify_all()
        if not self._is_own_thread():
            self._wait_until(
                lambda: session.state is State.CLOSED or self._failure, CLOSE_LEAVE_SECONDS
            )
        with self._stepped:
            self._stopping = True
            self._stepped.notify_all()
            self._noted.notify_all()
        self._wake_receiver(sock)

    def _free(self) -> None:
        session, sock = self._session, self._socket
        assert session is not None
        assert sock is not None
        if self._failure is None:
            self._send(session.datagrams_to_send(), session.server)  # LEAVE, if the writer calls
            with self._lock:
                while (at := session.next_timeout()) is not None:
                    session.handle_timeout(at)  # if no BYE came: "left" all the same
        sock.close()

    # --- the threads -------------------------------------------------------------------------

    def _hand_over(self, text: str, kind: MessageKind, to: str = "") -> None:
        session = self._session
        assert session is not None, "start first"
        with HELD_SIGNALS, self._stepped:
            if self._failure is not None:
                text = self._failure["text"]
                raise ChatError(f"this client has failed: nothing can be said any more ({text})")
            if self._stopping or session.state is State.CLOSED:
                raise ChatError("this client has left: nothing can be said any more")
            session.say(text, time.monotonic(), kind, to)
            self._stepped.notify_all()

    def _run(self, work: Callable[[], None]) -> None:
        """One of the two threads: what it raises ends the client, and the last event says so."""
        try:
            work()
        except BaseException as error:  # SystemExit too: a callback may raise anything
            logger.debug("the %s has failed", threading.current_thread().name, exc_info=True)
            self._fail(f"{type(error).__name__}: {error}")

    def _fail(self, text: str) -> None:
        """Ends both threads and all waiting. The session may be what failed: nothing of it counts
        any more, only a goodbye to the server is tried."""
        session, sock = self._session, self._socket
        assert session is not None
        assert sock is not None
        goodbye: list[bytes] = []
        with self._stepped:
            if self._failure is not None:
                return  # the other thread was first
            self._failure = {"event": "left", "reason": "internal_error", "text": text}
            with contextlib.suppress(Exception):
                session.leave(time.monotonic())
                goodbye = session.datagrams_to_send()
            self._stopping = True
            self._stepped.notify_all()
            self._noted.notify_all()
        self._send(goodbye, session.server)
        self._wake_receiver(sock)
        self.call_back()

    def _receive(self) -> None:
        session, sock = self._session, self._socket
        assert session is not None
        assert sock is not None
        while not self._stopping:
            try:
                datagram, address = sock.recvfrom(65536)
            except OSError as error:
                # An ICMP error about an earlier datagram (WSAECONNRESET on Windows): the
                # server may be back the next moment.
                logger.debug("recvfrom: %s", error)
                continue
            if self._failure is not None:
                return  # woken for that
            self._trace("<", datagram)
            with self._stepped:
                member_count = len(session.roster.names)
                session.receive_datagram(datagram, address, time.monotonic())
                members_changed = len(session.roster.names) != member_count
                if session.has_output or (session.next_timeout() or 0.0) < self._sleeps_until:
                    self._stepped.notify_all()
                was_away, self._is_away = self._is_away, session.state is State.REJOINING
            if self._is_away and not was_away:
                self._on_away()
            self.call_back()
            if members_changed:
                self.on_members()

    def _write(self) -> None:
        session = self._session
        assert session is not None
        while True:
            with self._stepped:
                if self._failure is not None:
                    return
                now = time.monotonic()
                timeout_at = session.next_timeout()
                if timeout_at is not None and timeout_at <= now:
                    session.handle_timeout(now)
                    timeout_at = session.next_timeout()
                datagrams, server = session.datagrams_to_send(), session.server
                was_away, self._is_away = self._is_away, session.state is State.REJOINING
                # While another thread calls back, it sees to these events too.
                events_are_ours = session.has_events and not self._calling_back.locked()
                if not datagrams and not events_are_ours:
                    if self._stopping:
                        return
                    self._sleeps_until = NEVER if timeout_at is None else timeout_at
                    self._stepped.wait(None if timeout_at is None else max(0.0, timeout_at - now))
                    self._sleeps_until = 0.0
                    continue
                self._noted.notify_all()
            self._send(datagrams, server)
            if self._is_away and not was_away:
                self._on_away()
            self.call_back()

    def _send(self, datagrams: list[bytes], server: Address) -> None:
        sock = self._socket
        assert sock is not None
        for datagram in datagrams:
            self._trace(">", datagram)
            try:
                sock.sendto(datagram, server)
            except OSError as error:
                # No route, no network, a full buffer: as good as lost on the way, and
                # repaired like that.
                logger.debug("sendto: %s", error)

    def _trace(self, way: str, datagram: bytes) -> None:
        on_datagram = self._on_datagram
        if on_datagram is not None:
            try:
                on_datagram(way, datagram)
            except Exception:  # a full disk, a reader that has gone: the conversation goes on
                self._on_datagram = None
                logger.exception("on_datagram failed and is not called again")

    def call_back(self) -> None:
        """Calls back with what has happened. Whichever thread is first does it for both."""
        while self._has_events() and self._calling_back.acquire(blocking=False):
            try:
                with self._stepped:
                    events = self._take_events()
                    for event in events:
                        self._note(event)
                    self._noted.notify_all()
                for event in events:
                    try:
                        self._on_event(event)
                    except Exception:
                        logger.exception("on_event failed for %r", event)
            finally:
                self._calling_back.release()

    def _has_events(self) -> bool:
        session = self._session
        assert session is not None
        return session.has_events if self._failure is None else not self._left

    def _take_events(self) -> list[ChatEvent]:
        session = self._session
        assert session is not None
        if self._failure is None:
            return session.take_events()
        events: list[ChatEvent] = []
        with contextlib.suppress(Exception):  # what had happened before, if it can be told
            events = [event for event in session.take_events() if event["event"] != "left"]
        return [*events, self._failure]

    def _note(self, event: ChatEvent) -> None:
        kind = event["event"]
        if kind == "joined":
            self._joined = True
        elif kind == "refused" and not self._joined:
            self._refusal = event
        elif kind == "reconnecting":
            self._away_since = time.monotonic()
        elif kind == "resumed":
            self._away_since = None
        elif kind == "left":
            self._left = True

    def _wake_receiver(self, sock: socket.socket) -> None:
        """Ends the wait in `recvfrom` in the one way that works everywhere: with a datagram."""
        loopback = "::1" if sock.family == socket.AF_INET6 else "127.0.0.1"
        with contextlib.suppress(OSError), socket.socket(sock.family, socket.SOCK_DGRAM) as alarm:
            alarm.sendto(b"", (loopback, sock.getsockname()[1]))


def default_name() -> str:
    """The login name, as far as it can be a name in a room."""
    try:
        return nearest_name(getpass.getuser())
    except (UnusableName, OSError, KeyError, ImportError):
        return "guest"
