"""The client of docs/protocol.md, 1.1: all that a client needs, and nothing of this project.

It reads and writes bytes by the tables of section 3 and 4, and follows the steps of 1.1 by their
numbers. It is pure: `now` is a number, datagrams go in and come out. It asks for all losses by
saying nothing: the server repeats.
"""

from __future__ import annotations

import struct
import zlib

JOIN, CHALLENGE, WELCOME, REFUSED, SAY, EVENTS, STATUS, LEAVE, BYE = 3, 4, 5, 6, 7, 8, 9, 10, 11
CHAT, MOVED = 1, 5
ASK, ANSWER, INBOX, PADDED = 2, 4, 1, 16

JOIN_SECONDS = 0.2
SAY_SECONDS = (0.25, 0.5, 1.0, 2.0)
SILENCE_SECONDS = 4.0

_HEADER = struct.Struct("!2sBBI")
_WELCOME = struct.Struct("!QQQQQQQQQQIIIHQI128s?BBBBB")
_EVENTS = struct.Struct("!BBHQQQQQ")
_EVENT = struct.Struct("!BBBHQII")


def framed(kind: int, body: bytes) -> bytes:
    """Step 1: a datagram."""
    head = b"UC" + bytes([2, kind])
    return head + struct.pack("!I", zlib.crc32(head + body)) + body


def body_of(datagram: bytes) -> tuple[int, bytes] | None:
    """Step 1: type and body of a datagram; None for what is to be dropped."""
    if not 8 <= len(datagram) <= 1200:
        return None
    magic, version, kind, checksum = _HEADER.unpack_from(datagram)
    is_right = magic == b"UC" and zlib.crc32(datagram[:4] + datagram[8:]) == checksum
    return (kind, datagram[8:]) if is_right and (version == 2 or kind == REFUSED) else None


class MinimalClient:
    """One client; its state is the table of 1.1."""

    def __init__(self, server: tuple[str, int], name: str, client_id: int, now: float) -> None:
        self.server, self.name, self.client_id = server, name, client_id
        self.cookie = bytes(16)
        self.session_id = self.epoch = self.room_ack = self.inbox_epoch = self.inbox_ack = 0
        self.next_id = 1
        self.waiting: list[tuple[int, str]] = []
        self.shown: list[str] = []
        self.lost = False
        self.is_in = self.is_over = self.is_leaving = False
        self._timestamp = 0
        self._member = self._received = self._newest = 0
        self._heartbeat_seconds = 5.0
        self._tries = 0
        self._say_at = self._status_at = self._heard_at = now
        self._came_at, self._join_at = now, now
        self._successors: list[tuple[str, int]] = []

    def say(self, text: str) -> None:
        """Step 6: a message waits."""
        self.waiting.append((self.next_id, text))
        self.next_id += 1
        self._tries, self._say_at = 0, float("-inf")

    def leave(self) -> None:
        """Step 9."""
        self.is_leaving = True

    # --- what comes ------------------------------------------------------------------------------

    def receive(self, datagram: bytes, address: tuple[str, int], now: float) -> list[bytes]:
        """Takes a datagram in; what to answer at once."""
        found = body_of(datagram)
        if found is None or address != self.server:
            return []
        kind, body = found
        if kind == CHALLENGE:
            sender, cookie = struct.unpack("!Q16s", body)
            if sender in (self.client_id, self.session_id) and cookie != self.cookie:
                self.cookie = cookie
                return [self._join(now)]
        elif kind == WELCOME and not self.is_in:
            self._welcome(body, now)
        elif kind == EVENTS and self.is_in:
            return self._events(body, now)
        elif kind == BYE and struct.unpack_from("!Q", body)[0] == self.session_id:
            self._bye(body, now)
        return []

    def _welcome(self, body: bytes, now: float) -> None:
        """Step 3."""
        values = _WELCOME.unpack_from(body)
        client_id, _, session_id, epoch, inbox_epoch, _, _, start, _, inbox_start = values[:10]
        if client_id != self.client_id:
            return
        self.session_id, self.is_in = session_id, True
        self._received, self._member = values[10], values[11]
        self._heartbeat_seconds = values[12] / 1000
        if (epoch, start) != (self.epoch, self.room_ack + 1):
            self.epoch, self.room_ack = epoch, start - 1
        if (inbox_epoch, inbox_start) != (self.inbox_epoch, self.inbox_ack + 1):
            self.inbox_epoch, self.inbox_ack = inbox_epoch, inbox_start - 1
        at = _WELCOME.size + sum(values[18:22])
        for line in body[at : at + values[22]].decode().splitlines():
            host, _, port = line.partition(" ")[2].rpartition(":")
            self._successors.append((host, int(port)))
        self._heard_at = self._status_at = now
        self._tries, self._say_at = 0, float("-inf")

    def _events(self, body: bytes, now: float) -> list[bytes]:
        """Steps 4 and 5."""
        flags, count, _, epoch, timestamp, oldest, _, first = _EVENTS.unpack_from(body)
        at = _EVENTS.size
        inbox = bool(flags & INBOX)
        if epoch != (self.inbox_epoch if inbox else self.epoch):
            return []
        self._heard_at = now
        if timestamp > self._newest:
            self._newest, self._came_at = timestamp, now
        if flags & ANSWER:
            self._received = max(self._received, struct.unpack_from("!QI", body, at)[1])
            at += struct.calcsize("!QIIQI")
        ack = self.inbox_ack if inbox else self.room_ack
        if oldest > ack + 1:
            self.lost, ack = True, oldest - 1
        for seq in range(first, first + count):
            kind, *sizes, _, member, message_id = _EVENT.unpack_from(body, at)
            text_at = at + _EVENT.size + sizes[0] + sizes[1]
            at = text_at + sizes[2]
            if seq == ack + 1:
                ack = seq
                self._show(kind, body[text_at:at].decode(), member, message_id)
        if inbox:
            self.inbox_ack = ack
        else:
            self.room_ack = ack
        return [self._status(now, ask=False)] if count or flags & ASK else []

    def _show(self, kind: int, text: str, member: int, message_id: int) -> None:
        if kind == CHAT:
            self.shown.append(text)
        if member == self._member and message_id:
            self.waiting = [waits for waits in self.waiting if waits[0] != message_id]

    def _bye(self, body: bytes, now: float) -> None:
        """Steps 7 and 9."""
        _, reason, size = struct.unpack_from("!QBB", body)
        if self.is_leaving:
            self.is_over = True
            return
        if reason == MOVED:
            host, _, port = body[10 : 10 + size].decode().split(" ")[2].rpartition(":")
            self.server = (host, int(port))
        self._rejoin(now)

    def _rejoin(self, now: float) -> None:
        self.is_in, self.cookie, self._join_at = False, bytes(16), now

    # --- what goes -------------------------------------------------------------------------------

    def step(self, now: float) -> list[bytes]:
        """What is due now."""
        if self.is_leaving:
            return [] if self.is_over else [framed(LEAVE, self._prefix(self.session_id) + bytes(8))]
        if not self.is_in:
            return [self._join(now)] if self._join_at <= now else []
        if now - self._heard_at > SILENCE_SECONDS + self._heartbeat_seconds:
            if self._successors:
                self._successors.append(self.server)
                self.server = self._successors.pop(0)
            self._rejoin(now)
            return [self._join(now)]
        due = []
        unsent = [waits for waits in self.waiting if waits[0] > self._received]
        if unsent and self._say_at <= now:
            self._say_at = now + SAY_SECONDS[min(self._tries, 3)]
            self._tries += 1
            due.append(self._say(unsent[:8]))
        if self._status_at + self._heartbeat_seconds <= now:
            due.append(self._status(now, ask=True))
        return due

    def _prefix(self, sender: int) -> bytes:
        self._timestamp += 1
        return struct.pack("!QQ", sender, self._timestamp)

    def _join(self, now: float) -> bytes:
        """Step 2."""
        self._join_at = now + JOIN_SECONDS
        name = self.name.encode()
        oldest_id = self.waiting[0][0] if self.waiting else self.next_id
        acks = (self.epoch, self.room_ack, self.inbox_epoch, self.inbox_ack)
        body = self._prefix(self.client_id) + self.cookie + struct.pack("!QQQQI", *acks, oldest_id)
        return framed(JOIN, body + bytes(8 + 4 + 128) + bytes([len(name)]) + name)

    def _say(self, messages: list[tuple[int, str]]) -> bytes:
        """Step 6."""
        encoded = b"".join(
            struct.pack("!IBBBH", message_id, CHAT, 0, 0, len(text.encode())) + text.encode()
            for message_id, text in messages
        )
        return framed(SAY, self._prefix(self.session_id) + bytes([len(messages)]) + encoded)

    def _status(self, now: float, *, ask: bool) -> bytes:
        """Steps 5 and 7."""
        self._status_at = now
        echo = self._newest + int((now - self._came_at) * 1e6) if self._newest else 0
        room, inbox = self.room_ack, self.inbox_ack
        numbers = struct.pack("!QQQQQIB", echo, room, room, inbox, inbox, 0, ask)
        return framed(STATUS, self._prefix(self.session_id) + numbers)
