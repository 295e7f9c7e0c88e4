"""T2: lines on a stream. A newline ends each message, and the receiver keeps what is not whole yet.

Both ends collect bytes and decode a line when its newline is there: a cut may also fall within a
character. Any program that speaks lines can join now: nc localhost 9091

    python3 compare/steps/t2_lines.py server [PORT]
    python3 compare/steps/t2_lines.py client [PORT]

One thread still does everything. `sendall` waits while a member does not read, and all wait with
it. The next step, t3_threads.py, gives each member threads of its own.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading

HOST, PORT, EXIT = "localhost", 9091, "выйти"
LINE_BYTES_MAX = 65536  # a longer one would fill the memory


class Member:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.name = ""  # until it has said one
        self.rest = b""  # the beginning of a line that is not whole yet

    def post(self, text: str) -> None:
        with contextlib.suppress(OSError):  # it has gone; `receive` is about to see that, too
            self.sock.sendall(f"{text}\n".encode())


class Server:
    """One thread. `select` tells which sockets have something to read."""

    def __init__(self, port: int) -> None:
        self.listener = socket.create_server((HOST, port))
        self.members: dict[socket.socket, Member] = {}
        print(f"listening on {HOST}:{self.listener.getsockname()[1]}", flush=True)

    def serve(self) -> None:
        while True:
            ready, _, _ = select.select([self.listener, *self.members], [], [])
            for sock in ready:
                if sock is self.listener:
                    self.accept()
                else:
                    self.receive(self.members[sock])

    def accept(self) -> None:
        sock, _ = self.listener.accept()
        self.members[sock] = Member(sock)
        self.members[sock].post("Your name?")

    def receive(self, member: Member) -> None:
        try:
            data = member.sock.recv(4096)
        except OSError:
            data = b""  # the connection broke: the same as its end
        *lines, member.rest = (member.rest + data).split(b"\n")
        if not data or len(member.rest) > LINE_BYTES_MAX:
            self.remove(member)
            return
        for line in lines:
            if member.sock in self.members:  # until it leaves
                self.handle(member, line.decode(errors="replace").rstrip("\r"))

    def handle(self, member: Member, text: str) -> None:
        """Does what one message asks for: the first is the name, the others are for all."""
        if text == EXIT:
            self.remove(member)
        elif member.name:
            self.relay(f"{member.name}: {text}", member)
        elif not text or any(text == other.name for other in self.members.values()):
            member.post("That name is taken. Your name?")
        else:
            member.name = text
            self.relay(f"* {text} joined")

    def relay(self, text: str, sender: Member | None = None) -> None:
        for member in self.members.values():
            if member.name and member is not sender:
                member.post(text)

    def remove(self, member: Member) -> None:
        del self.members[member.sock]
        member.sock.close()
        if member.name:
            self.relay(f"* {member.name} left")


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
    rest = b""
    with contextlib.suppress(OSError):
        while data := sock.recv(4096):
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                print(line.decode(errors="replace"), flush=True)
    print("* The connection is closed. Press Enter.", flush=True)


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else PORT
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C
        if sys.argv[1:2] == ["server"]:
            Server(port).serve()
        else:
            run_client(port)
