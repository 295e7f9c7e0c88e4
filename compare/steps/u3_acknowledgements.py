"""U3: an acknowledgement and a timer. What is not acknowledged in time is sent again.

The receiver answers each SAY with an ACK of its number, and the sender keeps the message until
then. `recvfrom` waits for a tick at most, so that the same loop can look at the timers.

    python3 compare/steps/u3_acknowledgements.py server|client [PORT]
"""

import contextlib
import socket
import sys
import threading
import time
from collections.abc import Iterator

HOST, PORT, EXIT = "127.0.0.1", 9091, "выйти"
TICK_SECONDS = 0.01  # how often the timers are looked at
RETRANSMIT_SECONDS = 0.1  # without an ACK; longer than a round trip
Address = tuple[str, int]


class Peer:  # the other end: a member for the server, the server for a client
    def __init__(self, sock: socket.socket, address: Address) -> None:
        self.sock, self.address, self.name = sock, address, ""
        self.number = 0  # of the newest message to it
        self.waiting: list[str] = []  # what has not been sent yet
        self.unacked: dict[int, tuple[str, float]] = {}  # number: text, when sent
        self.seen: set[int] = set()  # the numbers that have come from it

    def send(self, kind: str, number: int = 0, text: str = "") -> None:
        self.sock.sendto(f"{kind} {number} {text}".encode(), self.address)

    def tick(self, now: float) -> None:
        while self.waiting:
            self.number += 1
            self.unacked[self.number] = self.waiting[0], 0.0  # due at once
            del self.waiting[0]
        for number, (text, sent_at) in self.unacked.items():
            if now >= sent_at + RETRANSMIT_SECONDS:
                self.unacked[number] = text, now
                self.send("SAY", number, text)

    def receive(self, kind: str, number: int, text: str) -> Iterator[str]:  # the new messages
        if kind == "ACK":
            self.unacked.pop(number, None)
        elif kind == "SAY":
            self.send("ACK", number)  # of a duplicate, too: perhaps the first ACK was lost
            if number not in self.seen:
                self.seen.add(number)
                yield text


class Server:
    def __init__(self, port: int) -> None:
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.bind((HOST, port))
        self.members: dict[Address, Peer] = {}
        print(f"listening on {HOST}:{self.sock.getsockname()[1]}", flush=True)

    def receive(self, address: Address, kind: str, number: int, text: str) -> None:
        if kind == "SAY" and number == 1:
            self.members.setdefault(address, Peer(self.sock, address))
        member = self.members.get(address)
        if member:
            for new in member.receive(kind, number, text):
                self.handle(member, new)

    def handle(self, member: Peer, text: str) -> None:
        if not member.name:
            member.name = text
            self.relay(f"* {text} joined")
        else:
            self.relay(f"{member.name}: {text}", member)

    def relay(self, text: str, sender: Peer | None = None) -> None:
        for member in self.members.values():
            if member is not sender:
                member.waiting.append(text)

    def tick(self, now: float) -> None:
        for member in self.members.values():
            member.tick(now)


class Client:
    def __init__(self, port: int) -> None:
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.server = Peer(self.sock, (HOST, port))
        self.tick = self.server.tick

    def run(self) -> None:
        print("Your name?", flush=True)
        threading.Thread(target=loop, args=(self,), daemon=True).start()
        while (text := (sys.stdin.readline() or EXIT).strip()) != EXIT:
            self.server.waiting.append(text)

    def receive(self, _: Address, kind: str, number: int, text: str) -> None:
        for new in self.server.receive(kind, number, text):
            print(new, flush=True)


def loop(end: Server | Client) -> None:  # a client's second thread: it blocks in `recvfrom`
    end.sock.settimeout(TICK_SECONDS)
    while True:
        end.tick(time.monotonic())
        with contextlib.suppress(OSError, ValueError):  # nothing has come, or nonsense
            datagram, address = end.sock.recvfrom(2048)
            kind, number, text = datagram.decode().split(" ", 2)
            end.receive(address, kind, int(number), text)


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else PORT
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C
        loop(Server(port)) if sys.argv[1:2] == ["server"] else Client(port).run()
