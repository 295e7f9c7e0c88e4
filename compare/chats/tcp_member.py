"""A member of the TCP room, as its server sends to it: at once what the kernel takes, then a queue.

Sending never waits. What the kernel does not take waits in the member's queue, and a second thread
sends it, which lives only as long as something waits. So a member that stops reading stops nobody.
(The other way, `sendall` with a timeout in the relaying thread, would freeze the room for the
timeout, once for each stalled member.)
"""

from __future__ import annotations

import socket
import threading
from collections import deque

from compare.chats.framing import frame, shut_down
from compare.chats.liveness import why_lost
from compare.chats.messages import Message

DONT_WAIT: int = getattr(socket, "MSG_DONTWAIT", 0)
"""On a platform without it, every frame takes the longer way, through the queue."""

ERROR_SECONDS = 0.1
"""How long one thread of a connection may need to hear of an error that the other one saw."""


class TcpMember:
    """A name, a socket, what waits to be sent, and the thread that sends it meanwhile."""

    name = ""
    """Set when it joins."""

    def __init__(self, sock: socket.socket, queue_bytes_max: int) -> None:
        self._socket = sock
        self._queue_bytes_max = queue_bytes_max
        self._lock = threading.Lock()  # never held while anything waits
        self._queue: deque[bytes] = deque()
        self._queue_bytes = 0
        self._writer: threading.Thread | None = None
        self._error: OSError | None = None

    def post(self, data: bytes) -> bool:
        """Sends a frame or queues it, and never waits; false if too much waits already."""
        with self._lock:
            if self._writer is not None and self._queue_bytes + len(data) > self._queue_bytes_max:
                return False
            return self._post(data)

    def finish(self, goodbye: Message) -> None:
        """Posts the last frame."""
        with self._lock:
            self._post(frame(goodbye))

    def cut_off(self, goodbye: Message) -> None:
        """Posts the last frame in place of all that waits, and reads nothing more."""
        with self._lock:
            self._queue.clear()
            self._post(frame(goodbye))
        shut_down(self._socket, socket.SHUT_RD)

    def drain(self, timeout_seconds: float | None = None) -> None:
        """Waits until everything that was posted is sent, or cannot be sent."""
        writer = self._writer
        if writer is not None:
            writer.join(timeout_seconds)

    def has_timed_out(self) -> bool:
        """Whether sending failed because the peer showed no sign of life.

        The kernel tells an error once: if it told the sender, the reader sees only the end.
        """
        self.drain(ERROR_SECONDS)  # the kernel tells both in the same moment
        with self._lock:
            return self._error is not None and why_lost(self._error) == "timeout"

    def _post(self, data: bytes) -> bool:
        if self._error is not None:
            return True  # the reader is about to see it too
        if self._writer is not None:
            self._queue.append(data)
            self._queue_bytes += len(data)
            return True
        if DONT_WAIT:
            try:
                data = data[self._socket.send(data, DONT_WAIT) :]
            except BlockingIOError:
                pass
            except OSError as error:
                self._fail(error)
                return True
        if data:
            writer = threading.Thread(
                target=self._write, args=(data,), name="tcp-chat writer", daemon=True
            )
            try:
                writer.start()
            except RuntimeError as error:  # the system has no more threads
                self._fail(OSError(str(error)))
                return False
            self._writer = writer
        return True

    def _write(self, data: bytes) -> None:
        """Sends the rest of a frame, and then the whole frames in the queue."""
        while data:
            try:
                self._socket.sendall(data)  # `send` may take only a part
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
        shut_down(self._socket, socket.SHUT_RDWR)  # wakes the reader
