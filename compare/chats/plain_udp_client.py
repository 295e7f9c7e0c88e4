"""The smallest honest chat over plain UDP, its client: one message, one datagram.

A thread blocks in `recvfrom` and calls back with each message. A second one sends a heartbeat
(ALIVE), which the server echoes, and takes long silence for the server's end. The caller's thread
sends. Nothing is acknowledged or repeated: if HELLO is lost, joining fails; if a message is
lost, it is missing, and nobody is told.

Read first: `_begin`, `say`, `_receive`. What the client does with a message is in chat_client.py,
the command line in plain_udp.py.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import threading
import time

from compare.chats.chat_client import JOIN_TIMEOUT_SECONDS, ChatClient, OnEvent
from compare.chats.datagrams import DATAGRAM_BYTES_MAX, wake
from compare.chats.liveness import Heartbeat
from compare.chats.messages import JoinFailed, Kind, MalformedMessage, Message, TextTooLong
from udp_chat.protocol.addresses import resolve
from udp_chat.protocol.packets import Address

logger = logging.getLogger("compare.plain_udp_client")

LEAVE_SECONDS = 1.0
"""How long the client waits for the answer to LEAVE. It sends LEAVE once."""

_TOO_LARGE = (errno.EMSGSIZE, 10040)  # the second is Windows' own number for it


class PlainUdpClient(ChatClient):
    """A member of a room on plain UDP. A context manager; see `ChatClient`."""

    def __init__(
        self,
        server: tuple[str, int],
        name: str,
        on_event: OnEvent | None = None,
        join_timeout_seconds: float = JOIN_TIMEOUT_SECONDS,
        heartbeat: Heartbeat | None = None,
    ) -> None:
        threads = {"plain-udp receiver": self._receive, "plain-udp heartbeat": self._beat}
        super().__init__(server, name, on_event, threads)
        self._join_timeout_seconds = join_timeout_seconds
        self._heartbeat = heartbeat or Heartbeat()
        self._server_address: Address = ()
        self._socket: socket.socket | None = None
        self._is_leaving = False
        self._ended = threading.Event()
        self._is_confirmed = False
        self._reason = ""
        """Why the conversation ended; empty: we wished so."""
        self._heard_at = 0.0

    # --- joining -----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Joins the room; `start` returns then, or raises `JoinFailed`."""
        assert self._socket is None, "a client joins once"
        try:
            found = resolve(*self.server)
        except (OSError, UnicodeError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise JoinFailed("unknown_host", text) from error
        self._server_address = found.address
        self._socket = socket.socket(found.family, socket.SOCK_DGRAM)
        self._socket.bind(("", 0))
        self._heard_at = time.monotonic()
        self._start_threads()
        try:
            self._send(Message(Kind.HELLO, self.name))
        except OSError as error:
            raise JoinFailed("no_answer", error.strerror or str(error)) from error
        self._wait_until_joined(self._join_timeout_seconds)

    # --- sending -----------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Says a text, each of its lines in one datagram.

        Raises `TextTooLong` if the system refuses a datagram of this size, or another OSError.
        If it raises nothing, the datagram may still be lost.
        """
        for line in text.splitlines():
            try:
                self._send(Message(Kind.SAY, text=line))
            except OSError as error:
                if error.errno in _TOO_LARGE:
                    raise TextTooLong(error.strerror) from error
                raise

    def finish(self) -> bool:
        """Leaves; true if the server said goodbye. That does not confirm the messages before."""
        self._leave()
        self._ended.wait(LEAVE_SECONDS)
        return self._is_confirmed

    def _send(self, message: Message) -> None:
        assert self._socket is not None, "start first"
        self._socket.sendto(message.encode(), self._server_address)

    def _leave(self) -> None:
        if self._is_joined and not self._is_leaving and not self._ended.is_set():
            self._is_leaving = True
            with contextlib.suppress(OSError):
                self._send(Message(Kind.LEAVE))

    # --- the two threads ---------------------------------------------------------------------

    def _receive(self) -> None:
        """The receiver thread: blocks in `recvfrom`."""
        assert self._socket is not None
        while not self._ended.is_set():
            try:
                datagram, address = self._socket.recvfrom(DATAGRAM_BYTES_MAX)
            except OSError as error:
                logger.debug("recvfrom: %s", error)
                continue
            if address != self._server_address:
                continue  # a stranger, or `wake`
            self._heard_at = time.monotonic()
            with contextlib.suppress(MalformedMessage):
                message = Message.decode(datagram)
                if message.kind is Kind.BYE:
                    self._is_confirmed = self._is_leaving
                    self._reason = "" if self._is_leaving else message.text
                    self._ended.set()
                elif not self._is_joined or message.kind not in (Kind.WELCOME, Kind.REFUSED):
                    self._take(message)  # a second answer is a duplicate
        self._show_end(self._reason)

    def _beat(self) -> None:
        """The heartbeat thread: shows the server that we live, and notices if it is silent."""
        assert self._socket is not None
        while not self._ended.wait(self._heartbeat.heartbeat_seconds):
            if not self._is_joined:
                continue
            if time.monotonic() - self._heard_at > self._heartbeat.timeout_seconds:
                self._reason = "timeout"
                self._ended.set()
                wake(self._socket)
                return
            with contextlib.suppress(OSError):  # no network just now
                self._send(Message(Kind.ALIVE))

    # --- closing -----------------------------------------------------------------------------

    def _ask_to_end(self) -> None:
        self._leave()
        if self._is_joined and not self._is_own_thread():
            self._ended.wait(LEAVE_SECONDS)
        self._ended.set()
        if self._socket is not None:
            wake(self._socket)

    def _free(self) -> None:
        if self._socket is not None:
            self._socket.close()
