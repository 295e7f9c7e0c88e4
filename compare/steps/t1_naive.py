"""T1: a chat over TCP as one first writes it. It takes what one `recv` returns for one message.

While people type slowly, this seems to work. But TCP carries a stream of bytes, and a stream has no
borders: two messages may arrive in one `recv`, and one message may arrive in two.

    python3 compare/steps/t1_naive.py server [PORT]
    python3 compare/steps/t1_naive.py client [PORT]

The next step, t2_lines.py, marks where a message ends.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading

HOST, PORT, EXIT = "localhost", 9091, "выйти"


class Member:
    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.name = ""  # until it has said one

    def post(self, text: str) -> None:
        with contextlib.suppress(OSError):  # it has gone; `receive` is about to see that, too
            self.sock.sendall(text.encode())


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
        if not data:
            self.remove(member)
        else:
            self.handle(member, data.decode(errors="replace"))

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
            sock.sendall(line.rstrip("\n").encode())
            if line.strip() == EXIT:
                break
        sock.shutdown(socket.SHUT_WR)  # “I have said all”: the server closes, too
    receiver.join()


def show(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := sock.recv(4096):
            print(data.decode(errors="replace"), flush=True)
    print("* The connection is closed. Press Enter.", flush=True)


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else PORT
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C
        if sys.argv[1:2] == ["server"]:
            Server(port).serve()
        else:
            run_client(port)
