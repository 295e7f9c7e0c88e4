"""The classic multi-user chat over TCP, its client: `socket`, `threading`, localhost:9091.

One thread blocks in `recv`, takes the frames out of the stream and calls back with what they
say; the caller's thread sends, and waits when the server does not keep up: that is TCP's flow
control. That `sendall` has returned means that the kernel has taken the bytes, not that they
have arrived. So leaving is a question and an answer: LEAVE goes behind all lines, and the
server's BYE says that it has read them.

A lost connection ends the conversation, visibly. Nobody reconnects: see the chat over UDP.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if not __package__:  # run as a file: `python3 compare/chats/tcp_client.py`
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from compare.chats.console import (
    add_client_arguments,
    add_keepalive_arguments,
    keepalive_of,
    run_client,
)
from compare.chats.framing import TEXT_BYTES_MAX, Keepalive, frame, messages_from, prepare, why_lost
from compare.chats.messages import (
    JoinFailed,
    Kind,
    MalformedMessage,
    Message,
    TextTooLong,
    event_of,
)

if TYPE_CHECKING:
    from udp_chat.client.chat_events import ChatEvent

logger = logging.getLogger("udp_chat.compare.tcp_client")

JOIN_TIMEOUT_SECONDS = 5.0
"""To connect, and to be let in: as the chat's own client."""

LEAVE_SECONDS = 2.0
"""What leaving may take when the server does not answer: a person has pressed Ctrl-C."""


class TcpClient:
    """A member of a room. All methods may be called from any thread.

    `on_event` is called with each event, in order, on a thread of the client's, while no lock is
    held: it may call every method but `start` and `finish`. A context manager.
    """

    def __init__(
        self,
        server: tuple[str, int],
        name: str,
        on_event: Callable[[ChatEvent], None] | None = None,
        join_timeout_seconds: float = JOIN_TIMEOUT_SECONDS,
        keepalive: Keepalive | None = None,
    ) -> None:
        self.server = server
        self.name = name
        self._on_event = on_event or (lambda event: None)
        self._join_timeout_seconds = join_timeout_seconds
        self._keepalive = keepalive or Keepalive()
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._receive, name="tcp-chat receiver", daemon=True)
        self._sending = threading.Lock()  # else the frames of two threads would mingle
        self._whole = True
        """No frame has been broken off in the middle: the stream can take another."""
        self._closing = threading.Lock()
        self._leaving = False
        self._answered = threading.Event()
        self._joined = False
        self._refusal: JoinFailed | None = None
        self._gave_up = False
        self._ended = threading.Event()
        self._confirmed = False
        self._members: set[str] = set()

    def __enter__(self) -> TcpClient:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def members(self) -> list[str]:
        """The names of all who are in, sorted."""
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
        """Says a text to the room, a message a line. Blocks while the server does not keep up.

        Raises `TextTooLong`, or OSError if the connection is gone.
        """
        for line in text.splitlines():
            if len(line.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
                raise TextTooLong(f"a line has at most {TEXT_BYTES_MAX} bytes")
            self._send(Message(Kind.SAY, text=line))

    def finish(self) -> bool:
        """Leaves behind all that was said; true if the server has confirmed that it has it all.

        Waits as long as the connection lasts.
        """
        self._leave(-1)
        self._ended.wait()
        return self._confirmed

    def close(self) -> None:
        """Leaves, waiting a little for the server's goodbye, and ends the thread. Idempotent."""
        sock = self._socket
        if sock is None:
            return
        if threading.current_thread() is self._thread:
            # A callback cannot wait for what only its own thread can receive: that ends by itself.
            # It can wait for a `say` that is about to return: what it said may be heard by then.
            if self._leave(LEAVE_SECONDS):
                sock.settimeout(LEAVE_SECONDS)
            else:
                with contextlib.suppress(OSError):  # it has been shut down from outside
                    sock.shutdown(socket.SHUT_RDWR)
            return
        with self._closing:
            if self._leave(LEAVE_SECONDS):
                self._ended.wait(LEAVE_SECONDS)
            self._gave_up = not self._ended.is_set()
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)  # wakes whoever blocks in recv or send
            if self._thread.is_alive():
                self._thread.join()
            sock.close()

    # --- joining -----------------------------------------------------------------------------

    def _join(self) -> None:
        try:
            self._socket = socket.create_connection(self.server, self._join_timeout_seconds)
            self._socket.settimeout(None)
            prepare(self._socket, self._keepalive)
            self._thread.start()
            self._send(Message(Kind.HELLO, self.name))
        except (socket.gaierror, UnicodeError) as error:
            text = getattr(error, "strerror", None) or str(error)
            raise JoinFailed("unknown_host", text) from error
        except ConnectionRefusedError as error:
            raise JoinFailed("connection_refused", error.strerror or str(error)) from error
        except OSError as error:
            raise JoinFailed("no_answer", error.strerror or str(error)) from error
        self._answered.wait(self._join_timeout_seconds)
        if not self._joined:
            raise self._refusal or JoinFailed("no_answer", "the server does not say a word")

    # --- sending -----------------------------------------------------------------------------

    def _send(self, message: Message) -> None:
        assert self._socket is not None, "start first"
        with self._sending:
            self._send_frame(self._socket, frame(message))

    def _send_frame(self, sock: socket.socket, data: bytes) -> None:
        """Sends all of a frame. Broken off by Ctrl-C, it leaves a stream that is good no more."""
        if not self._whole:
            raise BrokenPipeError("a message was broken off in the middle")
        self._whole = False
        sock.sendall(data)  # send() may take a part only
        self._whole = True

    def _leave(self, timeout_seconds: float) -> bool:
        """Sends LEAVE, once; false if it cannot be sent, or if `say` blocks for so long."""
        sock = self._socket
        if sock is None or not self._joined or not self._sending.acquire(timeout=timeout_seconds):
            return False
        try:
            if not self._leaving:
                self._send_frame(sock, frame(Message(Kind.LEAVE)))
                self._leaving = True
            return True
        except OSError:
            return False
        finally:
            self._sending.release()

    # --- receiving ---------------------------------------------------------------------------

    def _receive(self) -> None:
        assert self._socket is not None
        reason = "closed"  # by the server, without a word
        try:
            for message in messages_from(self._socket):
                if message.kind is Kind.BYE:
                    reason = message.text
                    break
                self._take(message)
        except MalformedMessage:
            reason = "malformed"
        except TimeoutError:  # the kernel's, or ours after LEAVE
            reason = "no_answer" if self._leaving else "timeout"
        except OSError as error:
            reason = why_lost(error)
        self._confirmed = reason == "left"
        left: ChatEvent = {"event": "left"}
        if not self._confirmed:
            left["reason"] = "no_answer" if self._gave_up else reason
        if self._joined:
            self._call_back(left)
        self._ended.set()
        self._answered.set()

    def _take(self, message: Message) -> None:
        match message.kind:
            case Kind.REFUSED:
                self._refusal = JoinFailed(message.text, f"the server refused: {message.text}")
                self._call_back(
                    {"event": "refused", "reason": message.text, "text": str(self._refusal)}
                )
            case Kind.WELCOME:
                self.name = message.name
                self._members = set(message.text.split("\n")[1:])
                self._whole = True  # whatever Ctrl-C broke off: HELLO has arrived
                self._joined = True
            case Kind.JOIN:
                self._members.add(message.name)
            case Kind.LEFT:
                self._members.discard(message.name)
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


# --- the command -----------------------------------------------------------------------------


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="tcp_client.py",
        description="Joins a chat room over TCP. Type a line to say it; the line выйти leaves.",
        epilog="Where the input is not a terminal, each of its lines is said, and at its end the"
        " client waits until the server has read all, and leaves. Exit codes: 0 fine, 1 could not"
        " do it, 2 wrong use.",
    )
    add_client_arguments(parser)
    add_keepalive_arguments(parser)
    arguments = parser.parse_args(argv)
    keepalive = keepalive_of(parser, arguments)

    def make_client(name: str, on_event: Callable[[ChatEvent], None]) -> TcpClient:
        return TcpClient(arguments.server, name, on_event, keepalive=keepalive)

    return run_client(make_client, arguments)


if __name__ == "__main__":
    sys.exit(main())
