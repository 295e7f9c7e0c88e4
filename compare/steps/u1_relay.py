"""U1: a chat over UDP. The server keeps a dict of addresses, and relays to all of them.

The first datagram from an address is a name, and enters the dict. There are no connections, and one
thread serves all. A datagram is a message: nothing merges. But a lost datagram is a lost message.

    python3 compare/steps/u1_relay.py server|client [PORT]
"""

import contextlib
import socket
import sys
import threading

HOST, PORT, EXIT = "127.0.0.1", 9091, "выйти"
Address = tuple[str, int]


class Peer:  # the other end: a member for the server, the server for a client
    def __init__(self, sock: socket.socket, address: Address) -> None:
        self.sock, self.address, self.name = sock, address, ""

    def say(self, text: str) -> None:
        self.sock.sendto(text.encode(), self.address)


class Server:
    def __init__(self, port: int) -> None:
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.bind((HOST, port))
        self.members: dict[Address, Peer] = {}
        print(f"listening on {HOST}:{self.sock.getsockname()[1]}", flush=True)

    def receive(self, address: Address, text: str) -> None:
        member = self.members.setdefault(address, Peer(self.sock, address))
        self.handle(member, text)

    def handle(self, member: Peer, text: str) -> None:
        if not member.name:
            member.name = text
            self.relay(f"* {text} joined")
        else:
            self.relay(f"{member.name}: {text}", member)

    def relay(self, text: str, sender: Peer | None = None) -> None:
        for member in self.members.values():
            if member is not sender:
                member.say(text)


class Client:
    def __init__(self, port: int) -> None:
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.server = Peer(self.sock, (HOST, port))

    def run(self) -> None:
        print("Your name?", flush=True)
        threading.Thread(target=loop, args=(self,), daemon=True).start()
        while (text := (sys.stdin.readline() or EXIT).strip()) != EXIT:
            self.server.say(text)

    def receive(self, _: Address, text: str) -> None:
        print(text, flush=True)


def loop(end: Server | Client) -> None:  # a client's second thread: it blocks in `recvfrom`
    while True:
        with contextlib.suppress(OSError, ValueError):  # the other end is down, or nonsense
            datagram, address = end.sock.recvfrom(2048)
            end.receive(address, datagram.decode())


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else PORT
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C
        loop(Server(port)) if sys.argv[1:2] == ["server"] else Client(port).run()
