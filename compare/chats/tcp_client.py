"""The classic chat over TCP, its client: `socket`, `threading`, localhost:9091.

A thread blocks in `recv`, takes the frames out of the stream and calls back with each message.
The caller's thread sends, and waits while the server does not keep up: that is TCP's flow
control. When `sendall` returns, the kernel has taken the bytes; they may not have arrived. So
leaving is a question and an answer: the client sends LEAVE behind everything it said, and the
server's BYE says that it has read all of it.

A lost connection ends the conversation, and the person sees it. The client does not reconnect: for
that see udp_client.py. Read first: `_begin`, `say`, `_receive`. What the client does with a
message is in chat_client.py, the command line in client_command.py.
"""

from __future__ import annotations

import argparse
import socket
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: `python3 compare/chats/tcp_client.py`
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from compare.chats.chat_client import JOIN_TIMEOUT_SECONDS, ChatClient, OnEvent
from compare.chats.client_command import add_client_arguments, run_client
from compare.chats.framing import TEXT_BYTES_MAX, frame, messages_from, shut_down
from compare.chats.liveness import Keepalive, prepare, why_lost
from compare.chats.messages import JoinFailed, Kind, MalformedMessage, Message, TextTooLong
from compare.chats.options import add_keepalive_arguments, keepalive_of

LEAVE_SECONDS = 2.0
"""How long leaving may take when the server does not answer: a person has pressed Ctrl-C."""


class TcpClient(ChatClient):
    """A member of a room on TCP. A context manager; see `ChatClient`."""

    def __init__(
        self,
        server: tuple[str, int],
        name: str,
        on_event: OnEvent | None = None,
        join_timeout_seconds: float = JOIN_TIMEOUT_SECONDS,
        keepalive: Keepalive | None = None,
    ) -> None:
        super().__init__(server, name, on_event, {"tcp-chat receiver": self._receive})
        self._join_timeout_seconds = join_timeout_seconds
        self._keepalive = keepalive or Keepalive()
        self._socket: socket.socket | None = None
        self._sending = threading.Lock()  # otherwise the frames of two threads would mix
        self._can_send = True
        """False after half a frame: the server would read what follows as the rest of it."""
        self._is_leaving = False
        self._gave_up = False
        self._ended = threading.Event()
        self._is_confirmed = False

    # --- joining -----------------------------------------------------------------------------

    def _begin(self) -> None:
        """Joins the room; `start` returns then, or raises `JoinFailed`."""
        assert self._socket is None, "a client joins once"
        try:
            self._socket = socket.create_connection(self.server, self._join_timeout_seconds)
            self._socket.settimeout(None)
            prepare(self._socket, self._keepalive)
            self._start_threads()
            self._send(Message(Kind.HELLO, self.name))
        except (OSError, UnicodeError) as error:
            reason = "no_answer"
            if isinstance(error, (socket.gaierror, UnicodeError)):
                reason = "unknown_host"
            elif isinstance(error, ConnectionRefusedError):
                reason = "connection_refused"
            raise JoinFailed(reason, getattr(error, "strerror", None) or str(error)) from error
        self._wait_until_joined(self._join_timeout_seconds)

    # --- sending -----------------------------------------------------------------------------

    def say(self, text: str) -> None:
        """Says a text, each of its lines as one message. Blocks while the server is too slow.

        Raises `TextTooLong`, or OSError if the connection is lost.
        """
        for line in text.splitlines():
            if len(line.encode("utf-8", "replace")) > TEXT_BYTES_MAX:
                raise TextTooLong(f"a message has at most {TEXT_BYTES_MAX} bytes")
            self._send(Message(Kind.SAY, text=line))

    def finish(self) -> bool:
        """Leaves after everything that was said; true if the server has confirmed all of it.

        Waits as long as the connection lasts.
        """
        self._leave(timeout_seconds=-1)
        self._ended.wait()
        return self._is_confirmed

    def _send(self, message: Message) -> None:
        with self._sending:
            self._send_frame(frame(message))

    def _send_frame(self, data: bytes) -> None:
        """Sends a whole frame. Ctrl-C may break it off: then nothing more can be sent."""
        assert self._socket is not None, "start first"
        if not self._can_send:
            raise BrokenPipeError("a message was broken off in the middle")
        self._can_send = False
        self._socket.sendall(data)  # `send` may take only a part
        self._can_send = True

    def _leave(self, timeout_seconds: float) -> bool:
        """Sends LEAVE, once; false if that fails, or if a `say` blocks for so long."""
        if not self._is_joined or not self._sending.acquire(timeout=timeout_seconds):
            return False
        try:
            if not self._is_leaving:
                self._send_frame(frame(Message(Kind.LEAVE)))
                self._is_leaving = True
            return True
        except OSError:
            return False
        finally:
            self._sending.release()

    # --- receiving ---------------------------------------------------------------------------

    def _receive(self) -> None:
        """The receiver thread: blocks in `recv` until the stream ends."""
        assert self._socket is not None
        reason = "closed"  # by the server, without a goodbye
        try:
            for message in messages_from(self._socket):
                if message.kind is Kind.BYE:
                    reason = message.text
                    break
                if message.kind is Kind.WELCOME:
                    self._can_send = True  # even if Ctrl-C broke `_send` off: HELLO has arrived
                self._take(message)
        except MalformedMessage:
            reason = "malformed"
        except TimeoutError:  # the kernel's, or ours after LEAVE
            reason = "no_answer" if self._is_leaving else "timeout"
        except OSError as error:
            reason = why_lost(error)
        self._is_confirmed = reason == "left"
        if self._gave_up and not self._is_confirmed:
            reason = "no_answer"
        self._show_end("" if self._is_confirmed else reason)
        self._ended.set()
        self._answered.set()

    # --- closing -----------------------------------------------------------------------------

    def close(self) -> None:
        """Leaves, waits a little for the server's goodbye, and ends the thread. Idempotent."""
        if self._is_own_thread() and self._socket is not None:
            # Only this thread can receive the goodbye, so a callback cannot wait for it. It waits
            # for a `say` that is about to return: the room may have heard that message already.
            if self._leave(LEAVE_SECONDS):
                self._socket.settimeout(LEAVE_SECONDS)
            else:
                shut_down(self._socket, socket.SHUT_RDWR)
        else:
            super().close()

    def _ask_to_end(self) -> None:
        if self._socket is not None:
            if self._leave(LEAVE_SECONDS):
                self._ended.wait(LEAVE_SECONDS)
            self._gave_up = not self._ended.is_set()
            shut_down(self._socket, socket.SHUT_RDWR)  # wakes `recv` and `sendall`

    def _free(self) -> None:
        if self._socket is not None:
            self._socket.close()


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="tcp_client.py", description="Joins a chat room over TCP."
    )
    add_client_arguments(parser)
    add_keepalive_arguments(parser)
    arguments = parser.parse_args(argv)
    keepalive = keepalive_of(parser, arguments)
    return run_client(
        lambda name, on_event: TcpClient(arguments.server, name, on_event, keepalive=keepalive),
        arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
