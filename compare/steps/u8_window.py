"""U8: an adaptive timer and a window, so that nobody fills a queue that is full already.

The timer follows the measured round trip (RFC 6298) and doubles at each try. No more than a window
of messages is under way: each ACK widens it, and a missing ACK halves it.

    python3 compare/steps/u8_window.py server|client [PORT]
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
HEARTBEAT_SECONDS, DEAD_SECONDS = 0.5, 2.0  # short, to be watched; 5 and 15 are usual
NO_TOKEN = "0" * 16  # as long as a token, so that no answer is longer than its question
Address = tuple[str, int]


class Peer:  # the other end: a member for the server, the server for a client
    def __init__(self, sock: socket.socket, address: Address, token: str) -> None:
        self.sock, self.address, self.token, self.name = sock, address, token, ""
        self.number, self.expected = 0, 1  # of the newest message to it; of the next from it
        self.waiting: list[str] = []  # what has not been sent yet
        self.unacked: dict[int, tuple[str, float, int]] = {}  # number: text, when sent, tries
        self.early: dict[int, str] = {}  # what has come and waits for others
        self.heard_at, self.ping_at, self.halved_at = time.monotonic(), 0.0, 0.0
        self.window, self.timeout, self.rtt, self.deviation = 4.0, 0.2, 0.1, 0.025

    def send(self, kind: str, number: int = 0, text: str = "") -> None:
        self.sock.sendto(f"{kind} {self.token} {number} {text}".encode(), self.address)

    def tick(self, now: float) -> None:
        while self.waiting and len(self.unacked) < self.window:
            self.number += 1
            self.unacked[self.number] = self.waiting[0], 0.0, 0  # due at once
            del self.waiting[0]
        for number, (text, sent_at, tries) in self.unacked.items():
            if now >= sent_at + self.timeout * 2**tries / 2:
                self.unacked[number] = text, now, tries + 1
                self.send("SAY", number, text)
                if tries and now >= self.halved_at + self.timeout:  # once for each full queue
                    self.window, self.halved_at = max(self.window / 2, 1.0), now
        if now >= self.ping_at:
            self.send("PING")
            self.ping_at = now + HEARTBEAT_SECONDS

    def receive(self, kind: str, number: int, text: str) -> Iterator[str]:  # what is new
        self.heard_at = time.monotonic()
        if kind == "ACK" and number in self.unacked:
            _, sent_at, tries = self.unacked.pop(number)
            self.window += 1 / self.window
            if tries == 1:  # otherwise nobody knows which try this ACK is for
                rtt = self.heard_at - sent_at
                self.deviation += (abs(rtt - self.rtt) - self.deviation) / 4
                self.rtt += (rtt - self.rtt) / 8
                self.timeout = max(self.rtt + 4 * self.deviation, 5 * TICK_SECONDS)
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
        self.members: dict[str, Peer] = {}
        self.secret = secrets.token_bytes()
        print(f"listening on {HOST}:{self.sock.getsockname()[1]}", flush=True)

    def receive(self, address: Address, kind: str, token: str, number: int, text: str) -> None:
        cookie = hmac.digest(self.secret, repr(address).encode(), "sha256")[:8].hex()
        if token == cookie and kind == "SAY" and number == 1:
            self.members.setdefault(token, Peer(self.sock, address, token))
        elif token not in self.members and len(token) == len(NO_TOKEN):
            Peer(self.sock, address, cookie).send("COOKIE")
        if member := self.members.get(token):
            member.address = address  # it may have changed
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
