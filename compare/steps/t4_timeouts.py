"""T4: timeouts, and with them the classic chat over TCP that every course has.

It asks for the name, announces joins and leaves, and relays. выйти leaves, and nc can join. The
kernel asks an idle peer for a sign of life (keepalive) and bounds retransmission (user timeout).

    python3 compare/steps/t4_timeouts.py server [PORT]
    python3 compare/steps/t4_timeouts.py client [PORT]

The path begins again in u1_relay.py, with UDP: there, all that TCP did until here is missing.
"""

from __future__ import annotations

import contextlib
import queue
import socket
import sys
import threading
from collections.abc import Iterator

HOST, PORT, EXIT = "localhost", 9091, "выйти"
LINE_BYTES_MAX = 65536  # a longer one would fill the memory
QUEUE_LINES_MAX = 1000  # the server drops a member that is further behind
TIMEOUT_SECONDS = 3  # of a silent network; short, to be watched: 15 is usual
NAME_SECONDS = 60  # a stranger without a name would hold two threads for nothing


def set_timeouts(sock: socket.socket) -> None:
    sock.settimeout(NAME_SECONDS)  # until it has said its name
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    probes = {"KEEPIDLE": 1, "KEEPINTVL": 1, "KEEPCNT": TIMEOUT_SECONDS - 1}
    for name, value in {**probes, "USER_TIMEOUT": TIMEOUT_SECONDS * 1000}.items():
        if hasattr(socket, f"TCP_{name}"):  # not every system has all of them
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"), value)


def lines_from(sock: socket.socket) -> Iterator[str]:
    rest = b""
    while data := sock.recv(4096):
        *lines, rest = (rest + data).split(b"\n")
        if len(rest) > LINE_BYTES_MAX:
            raise OSError("a line without an end")
        for line in lines:
            yield line.decode(errors="replace").rstrip("\r")


class Member:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.name = ""  # until it has said one
        self.queue: queue.SimpleQueue[str] = queue.SimpleQueue()

    def post(self, text: str) -> None:
        if self.queue.qsize() == QUEUE_LINES_MAX:
            self.end()
        self.queue.put(text)

    def write(self) -> None:
        """The writer thread: the only place that waits for this member to read."""
        with contextlib.suppress(OSError):  # it has gone; its reader sees that, too
            while text := self.queue.get():
                self.sock.sendall(f"{text}\n".encode())
        self.sock.close()

    def end(self) -> None:
        """Ends both threads: the reader gets an end, the writer an error or an empty line."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.queue.put("")


class Server:
    """The main thread accepts. The lock guards the members, and makes one order for all."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server((HOST, port))
        self.members: set[Member] = set()
        self.lock = threading.Lock()
        print(f"listening on {HOST}:{self.listener.getsockname()[1]}", flush=True)

    def serve(self) -> None:
        while True:
            sock, _ = self.listener.accept()
            set_timeouts(sock)
            member = Member(sock)
            member.post("Your name?")
            threading.Thread(target=member.write, daemon=True).start()
            threading.Thread(target=self.receive, args=(member,), daemon=True).start()

    def receive(self, member: Member) -> None:
        """The reader thread: the life of one connection."""
        with self.lock:
            self.members.add(member)
        with contextlib.suppress(OSError):  # the connection broke: the same as its end
            for line in lines_from(member.sock):
                if line == EXIT:
                    break
                with self.lock:
                    self.handle(member, line)
        with self.lock:
            self.members.remove(member)
            member.end()
            if member.name:
                self.relay(f"* {member.name} left")

    def handle(self, member: Member, text: str) -> None:
        """The first line is the name, the others are for all."""
        if member.name:
            self.relay(f"{member.name}: {text}", member)
        elif not text or any(text == other.name for other in self.members):
            member.post("That name is taken. Your name?")
        else:
            member.name = text
            member.sock.settimeout(None)
            self.relay(f"* {text} joined")

    def relay(self, text: str, sender: Member | None = None) -> None:
        for member in self.members:
            if member.name and member is not sender:
                member.post(text)


def run_client(port: int) -> None:
    """The main thread sends what is typed; a second thread blocks in `recv`."""
    sock = socket.create_connection((HOST, port))
    receiver = threading.Thread(target=show, args=(sock,), daemon=True)
    receiver.start()
    with contextlib.suppress(OSError):  # the server has gone
        for line in sys.stdin:
            sock.sendall(f"{line.rstrip()}\n".encode())
            if line.strip() == EXIT:
                break
        sock.shutdown(socket.SHUT_WR)  # “I have said all”: the server closes, too
    receiver.join()


def show(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for line in lines_from(sock):
            print(line, flush=True)
    print("* The connection is closed. Press Enter.", flush=True)


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else PORT
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C
        if sys.argv[1:2] == ["server"]:
            Server(port).serve()
        else:
            run_client(port)
