"""U6: a cookie. Only those enter the dict who have shown that they receive what is sent to them.

Anybody can put another one's address on a datagram. A stranger is answered with a token, a keyed
hash of its address, and only who brings that back becomes a member. The server keeps nothing until
then. Each later datagram carries the token, too, so nobody can speak for a member.

    python3 compare/steps/u6_cookie.py server|client [PORT]
"""

import contextlib
import hmac
import secrets
import socket
import sys
import threading
import time
from collections.abc import Iterator

HOST, PORT, EXIT = "127.0.0.1", 9091, "выйти"
TICK_SECONDS = 0.01  # how often the timers are looked at
RETRANSMIT_SECONDS = 0.1  # without an ACK; longer than a round trip
HEARTBEAT_SECONDS, DEAD_SECONDS = 0.5, 2.0  # short, to be watched; 5 and 15 are usual
NO_TOKEN = "0" * 16  # as long as a token, so that no answer is longer than its question
Address = tuple[str, int]


class Peer:  # the other end: a member for the server, the server for a client
    def __init__(self, sock: socket.socket, address: Address, token: str) -> None:
        self.sock, self.address, self.token, self.name = sock, address, token, ""
        self.number, self.expected = 0, 1  # of the newest message to it; of the next from it
        self.waiting: list[str] = []  # what has not been sent yet
        self.unacked: dict[int, tuple[str, float]] = {}  # number: text, when sent
        self.early: dict[int, str] = {}  # what has come and waits for others
        self.heard_at, self.ping_at = time.monotonic(), 0.0

    def send(self, kind: str, number: int = 0, text: str = "") -> None:
        self.sock.sendto(f"{kind} {self.token} {number} {text}".encode(), self.address)

    def tick(self, now: float) -> None:
        while self.waiting:
            self.number += 1
            self.unacked[self.number] = self.waiting[0], 0.0  # due at once
            del self.waiting[0]
        for number, (text, sent_at) in self.unacked.items():
            if now >= sent_at + RETRANSMIT_SECONDS:
                self.unacked[number] = text, now
                self.send("SAY", number, text)
        if now >= self.ping_at:
            self.send("PING")
            self.ping_at = now + HEARTBEAT_SECONDS

    def receive(self, kind: str, number: int, text: str) -> Iterator[str]:  # what is new
        self.heard_at = time.monotonic()
        if kind == "ACK":
            self.unacked.pop(number, None)
        elif kind == "SAY" and number < self.expected + 1000:  # more would fill the memory
            self.send("ACK", number)  # of a duplicate, too: perhaps the first ACK was lost
            if number >= self.expected:
                self.early[number] = text
        while self.expected in self.early:
            self.expected += 1
            yield self.early.pop(self.expected - 1)


class Server:
    def __init__(self, port: int) -> None:
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.sock.bind((HOST, port))
        self.members: dict[Address, Peer] = {}
        self.secret = secrets.token_bytes()
        print(f"listening on {HOST}:{self.sock.getsockname()[1]}", flush=True)

    def receive(self, address: Address, kind: str, token: str, number: int, text: str) -> None:
        cookie = hmac.digest(self.secret, repr(address).encode(), "sha256")[:8].hex()
        if token == cookie and kind == "SAY" and number == 1:
            self.members.setdefault(address, Peer(self.sock, address, token))
        elif token == NO_TOKEN:
            Peer(self.sock, address, cookie).send("COOKIE")
        member = self.members.get(address)
        if member and member.token == token:
            for new in member.receive(kind, number, text):
                self.handle(member, new)

    def handle(self, member: Peer, text: str) -> None:
        if not member.name:
            member.name = text
            self.relay(f"* {text} joined")
        elif text == EXIT:
            member.heard_at = 0.0  # the next tick removes it
        else:
            self.relay(f"{member.name}: {text}", member)

    def relay(self, text: str, sender: Peer | None = None) -> None:
        for member in self.members.values():
            if member is not sender:
                member.waiting.append(text)

    def tick(self, now: float) -> None:
        for key, member in list(self.members.items()):
            member.tick(now)
            if now > member.heard_at + DEAD_SECONDS:
                del self.members[key]
                self.relay(f"* {member.name} left")


class Client:
    def __init__(self, port: int) -> None:
        self.sock = socket.socket(type=socket.SOCK_DGRAM)
        self.server = Peer(self.sock, (HOST, port), NO_TOKEN)
        self.tick = self.server.tick

    def run(self) -> None:
        print("Your name?", flush=True)
        threading.Thread(target=loop, args=(self,), daemon=True).start()
        while (text := (sys.stdin.readline() or EXIT).strip()) != EXIT:
            self.server.waiting.append(text)
        self.server.waiting.append(EXIT)
        give_up_at = time.monotonic() + DEAD_SECONDS
        while (self.server.waiting or self.server.unacked) and time.monotonic() < give_up_at:
            time.sleep(TICK_SECONDS)

    def receive(self, _: Address, kind: str, token: str, number: int, text: str) -> None:
        if kind == "COOKIE" and self.server.token == NO_TOKEN:
            self.server.token = token
        elif token == self.server.token:
            for new in self.server.receive(kind, number, text):
                print(new, flush=True)


def loop(end: Server | Client) -> None:  # a client's second thread: it blocks in `recvfrom`
    end.sock.settimeout(TICK_SECONDS)
    while True:
        end.tick(time.monotonic())
        with contextlib.suppress(OSError, ValueError):  # nothing has come, or nonsense
            datagram, address = end.sock.recvfrom(2048)
            kind, token, number, text = datagram.decode().split(" ", 3)
            end.receive(address, kind, token, int(number), text)


if __name__ == "__main__":
    port = int(sys.argv[2]) if len(sys.argv) > 2 else PORT
    with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C
        loop(Server(port)) if sys.argv[1:2] == ["server"] else Client(port).run()
