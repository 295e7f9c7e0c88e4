"""A bad road for a TCP stream, on this machine: it joins and splits what was sent.

It accepts a client's connection and passes the bytes on to the server. It may gather what comes in
quick succession, as a busy machine does, or cut it into small pieces, as a full network does. TCP
allows both: it promises the bytes and their order, and nothing about their borders.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import sys
import threading
import time

GATHER_SECONDS = 0.2
"""How long it collects before it passes on what has come."""

PIECE_SECONDS = 0.005
"""Between two pieces, so that the server receives each by itself."""


class BadStream:
    """Carries one connection. Clients connect to `port`. A context manager."""

    def __init__(self, server_port: int) -> None:
        self.is_gathering = False
        self.piece_bytes = 0
        """The size of the pieces towards the server; 0: as they come. Any thread may set both."""
        self._server_port = server_port
        self._listener = socket.create_server(("localhost", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = [self._listener]
        self._threads = [threading.Thread(target=self._serve, name="bad stream")]

    def __enter__(self) -> BadStream:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        for sock in self._sockets:
            _shut_down(sock)
        for thread in self._threads:
            thread.join()
        for sock in self._sockets:
            sock.close()

    def _serve(self) -> None:
        try:
            front, _ = self._listener.accept()
        except OSError:
            return  # nobody came
        back = socket.create_connection(("localhost", self._server_port))
        back.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sockets += [front, back]
        down = threading.Thread(target=_pass_on, args=(back, front), name="bad stream, down")
        down.start()
        self._pass_up(front, back)
        down.join()

    def _pass_up(self, front: socket.socket, back: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := front.recv(65536):
                if self.is_gathering:
                    time.sleep(GATHER_SECONDS)
                    data += front.recv(65536, getattr(socket, "MSG_DONTWAIT", 0))
                size = self.piece_bytes or len(data)
                for start in range(0, len(data), size):
                    back.sendall(data[start : start + size])
                    if self.piece_bytes:
                        time.sleep(PIECE_SECONDS)
        _shut_down(back, socket.SHUT_WR)


def _pass_on(source: socket.socket, to: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            to.sendall(data)
    _shut_down(to)


def _shut_down(sock: socket.socket, how: int = socket.SHUT_RDWR) -> None:
    with contextlib.suppress(OSError):  # it is not connected any more
        sock.shutdown(how)


# --- a cut cable -----------------------------------------------------------------------------

SO_ATTACH_FILTER = 26
"""Linux, on every processor but a few rare ones."""


class _Instruction(ctypes.Structure):
    """`struct sock_filter`."""

    _fields_ = (
        ("code", ctypes.c_uint16),
        ("jump_true", ctypes.c_uint8),
        ("jump_false", ctypes.c_uint8),
        ("value", ctypes.c_uint32),
    )


class _Filter(ctypes.Structure):
    """`struct sock_fprog`."""

    _fields_ = (
        ("length", ctypes.c_ushort),
        ("instructions", ctypes.POINTER(_Instruction)),
    )


def missing_for_cut() -> str | None:
    """What this machine lacks for `cut`; None if nothing. Tries it out."""
    if sys.platform != "linux":
        return "a socket filter, which cuts the connection, needs Linux"
    with socket.socket() as sock:
        try:
            cut(sock)
        except OSError as error:
            return f"this machine allows no socket filter, which cuts the connection: {error}"
    return None


def cut(sock: socket.socket) -> None:
    """Pulls the cable of a socket: its kernel drops whatever comes for it, and answers nothing.

    A socket filter that accepts zero bytes of each segment does it, before TCP sees the segment.
    So the peer gets neither data nor acknowledgement, neither FIN nor RST, as with a pulled cable.
    """
    accept_zero_bytes = _Instruction(0x06, 0, 0, 0)
    program = _Filter(1, ctypes.pointer(accept_zero_bytes))
    sock.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, bytes(program))
