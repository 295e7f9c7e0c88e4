"""All members of a room of this chat, in one process with one thread.

The crowd speaks the protocol lean, without the comfort of `ChatSession`, or the load and not the
server would be measured: it acknowledges as often as the server asks for, reports gaps, answers
probes, repeats what is stuck. It does not decode what only the sample reads. `SessionCrowd` has
complete clients for its senders.
"""

from __future__ import annotations

import contextlib
import heapq
import random
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct

from benchmarks.crowds import (
    CHUNK_LINES,
    JOIN_WAVE,
    LINE_BYTES,
    LINE_HEAD,
    PATIENCE_SECONDS,
    SENDERS,
    SLOT_BYTES,
    WINDOW_LINES,
    DatagramCrowd,
    Heads,
    Sample,
    line,
)
from udp_chat.client.acknowledging import wait_for_slot
from udp_chat.client.liveness import HEARTBEAT_SLOTS
from udp_chat.client.session import ChatSession
from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.packets import (
    EVENTS_PADDED,
    HEADER_BYTES,
    NO_COOKIE,
    Challenge,
    Event,
    Events,
    Join,
    Message,
    MessageKind,
    Packet,
    PacketType,
    Say,
    Status,
    Welcome,
    decode,
)

_EVENTS_HEAD = Struct("!3xB4xBBHQQ16xQ")
"""Type, flags, count, ack delay, epoch, timestamp, first: the beginning of an EVENTS."""

_EVENTS = int(PacketType.EVENTS)
_EVENTS_BYTES = HEADER_BYTES + Events.LAYOUT.size
"""Where its events begin."""


@dataclass(slots=True)
class _Lean:
    """What a member of this chat remembers."""

    session_id: int = 0
    epoch: int = 0
    inbox_epoch: int = 0
    room_ack: int = 0
    gap_end: int = 0
    inbox_ack: int = 0
    inbox_gap_end: int = 0
    echo: int = 0
    sent: int = 0
    message_id: int = 0
    ack_due: bool = False
    ask: bool = False
    gap_sent_at: float = 0.0
    beat_at: float = 0.0
    echo_at: float = 0.0
    interval_seconds: float = 5.0
    early_seconds: float = 0.0
    next_early_seconds: float = 0.0
    unanswered: deque[bytes] = field(default_factory=lambda: deque(maxlen=WINDOW_LINES))
    """Messages, encoded."""


class ChatCrowd(DatagramCrowd):
    """Members of this chat."""

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(address, members)
        self.lean = [_Lean() for _ in range(members)]
        self._base = 0
        self._ack_delay_seconds = 0.005
        self._acks: list[tuple[float, int]] = []
        self._random = random.Random(1)
        self._beats: list[tuple[float, int]] = []
        self._slot_seconds = 5.0 / HEARTBEAT_SLOTS
        before = Event.LAYOUT.size + len(f"m{0:05d}")
        self._heads = Heads(before, before + LINE_BYTES)
        self._joining: dict[int, Join] = {}

    # --- joining

    def join(self) -> None:
        until = time.monotonic() + PATIENCE_SECONDS
        for first in range(0, self.members, JOIN_WAVE):
            wave = range(first, min(first + JOIN_WAVE, self.members))
            for member in wave:
                self.open()
                self.begin(member)
            repeat_at = time.monotonic() + 1.0
            while self._joining:
                self.take(0.05)
                now = time.monotonic()
                if now > until:
                    raise TimeoutError(f"{len(self._joining)} members could not join")
                if now > repeat_at:
                    repeat_at = now + 1.0
                    for member, join in self._joining.items():
                        self._send(member, join.encode())
        self.settle(self)
        self._base = max(member.room_ack for member in self.lean)

    def begin(self, member: int) -> None:
        """Asks to be let in."""
        join = Join(member + 1, 1, NO_COOKIE, 0, 0, 0, 0, 1, f"m{member:05d}")
        self._joining[member] = join
        self._send(member, join.encode())

    def _on_other(self, member: int, packet: Packet) -> None:
        lean = self.lean[member]
        if isinstance(packet, Challenge) and member in self._joining:
            was = self._joining[member]
            join = Join(was.client_id, was.timestamp + 1, packet.cookie, 0, 0, 0, 0, 1, was.name)
            self._joining[member] = join
            self._send(member, join.encode())
        elif isinstance(packet, Welcome) and member in self._joining:
            del self._joining[member]
            lean.session_id = packet.session_id
            lean.epoch, lean.inbox_epoch = packet.epoch, packet.inbox_epoch
            lean.room_ack, lean.inbox_ack = packet.start - 1, packet.inbox_start - 1
            self._ack_delay_seconds = packet.ack_delay_ms / 1000
            heartbeat_seconds = max(0.1, packet.heartbeat_ms / 1000)
            self._slot_seconds = heartbeat_seconds / HEARTBEAT_SLOTS
            lean.interval_seconds = heartbeat_seconds * self._random.uniform(0.9, 1.1)
            self._beat_later(member, lean, time.monotonic())

    def news(self, read: int) -> int:
        return sum(lean.room_ack + lean.inbox_ack for lean in self.lean)  # no heartbeats

    # --- hearing

    def read(self, member: int, lengths: list[int]) -> None:
        lean, buffer, sample = self.lean[member], self.buffer, self.samples.get(member)
        epoch_of_room, acked = lean.epoch, lean.room_ack
        at, fresh, told_ms = 0, 0, 0
        for length in lengths:
            head = _EVENTS_HEAD.unpack_from(buffer, at)
            kind, flags, count, delay_ms, epoch, timestamp, first = head
            if (
                kind == _EVENTS
                and flags & ~EVENTS_PADDED == 0
                and epoch == epoch_of_room
                and first <= acked + 1
                and (sample is None or first == acked + 1 or first > self._base > 0)
            ):
                # What comes a million times a second: the next slice of a broadcast.
                if sample is not None and first > self._base > 0:
                    known = acked + 1 - first  # a broadcast may repeat some
                    self._look(sample, at + _EVENTS_BYTES, range(known, count))
                acked = max(acked, first + count - 1)
                fresh, told_ms = fresh or timestamp, delay_ms
            else:
                lean.room_ack = acked
                self._read_other(member, lean, at, length)
                acked = lean.room_ack
            at += SLOT_BYTES
        lean.room_ack = acked
        if fresh:
            self._ack_delay_seconds = told_ms / 1000
            self._acknowledge_later(member, lean, fresh)
        if self._base:
            self.positions[member] = acked - self._base
        if lean.ask or lean.gap_end > acked:
            now = time.monotonic()
            if lean.ask or now > lean.gap_sent_at + 0.01:
                lean.ask, lean.gap_sent_at = False, now
                self._acknowledge(member, lean)

    def _read_other(self, member: int, lean: _Lean, at: int, length: int) -> None:
        """Whatever is not the next slice of a broadcast."""
        datagram = bytes(self.buffer[at : at + length])
        packet = decode(datagram)
        if not isinstance(packet, Events):
            self._on_other(member, packet)
            return
        self._ack_delay_seconds = packet.ack_delay_ms / 1000
        lean.ask = lean.ask or packet.ask
        if not lean.ack_due:
            lean.echo, lean.echo_at = packet.timestamp, time.monotonic()
        after = packet.first + len(packet.events)
        if packet.inbox and packet.epoch == lean.inbox_epoch:
            lean.inbox_gap_end = packet.latest  # a long roster comes in parts: ask for the next
            if packet.first <= lean.inbox_ack + 1 < after:
                lean.inbox_ack = after - 1
            self._acknowledge_later(member, lean, packet.timestamp)
        elif not packet.inbox and packet.epoch == lean.epoch and packet.events:
            if packet.first > lean.room_ack + 1:
                lean.gap_end = max(lean.gap_end, packet.first - 1)
            elif after - 1 > lean.room_ack:
                if self._base and member in self.samples:
                    self._look_closely(self.samples[member], packet, lean.room_ack)
                lean.room_ack = after - 1
            self._acknowledge_later(member, lean, packet.timestamp)

    def _look(self, sample: Sample, at: int, new: range) -> None:
        """Shows a sample member the new ones of the events that begin at `at`."""
        sample.note(self._heads.read(self.buffer, at, new), time.monotonic())

    def _look_closely(self, sample: Sample, events: Events, acked: int) -> None:
        """The same for a slice that may repeat some, or hold other events than lines."""
        now = time.monotonic()
        for seq, event in enumerate(events.events, events.first):
            if seq > max(acked, self._base):
                sample.note(event.text.encode()[: LINE_HEAD.size], now)

    def _acknowledge_later(self, member: int, lean: _Lean, timestamp: int) -> None:
        if not lean.ack_due:
            now = time.monotonic()
            lean.ack_due, lean.echo, lean.echo_at = True, timestamp, now
            chance = self._random.random()
            wait = wait_for_slot(self._ack_delay_seconds, timestamp / 1e6, chance)
            heapq.heappush(self._acks, (now + wait, member))

    def _acknowledge(self, member: int, lean: _Lean, ask: bool = False) -> None:
        now = time.monotonic()
        held = int((now - lean.echo_at) * 1e6) if lean.echo else 0
        lean.ack_due = False
        lean.sent += 1
        status = Status(
            lean.session_id,
            int(now * 1e6),
            lean.echo + held,
            lean.room_ack,
            lean.gap_end,
            lean.inbox_ack,
            lean.inbox_gap_end,
            lean.sent,
            ask,
        )
        self._send(member, status.encode())

    def do_what_is_due(self) -> None:
        now = time.monotonic()
        while self._acks and self._acks[0][0] <= now:
            _, member = heapq.heappop(self._acks)
            lean = self.lean[member]
            if lean.ack_due and lean.session_id:
                self._acknowledge(member, lean)
                self.plan_beat(lean, min(now, lean.echo_at))
        while self._beats and self._beats[0][0] <= now:
            _, member = heapq.heappop(self._beats)
            lean = self.lean[member]
            if lean.beat_at <= now:
                self._acknowledge(member, lean, ask=True)
                lean.early_seconds = lean.next_early_seconds
                self._beat_later(member, lean, now)
            else:
                heapq.heappush(self._beats, (lean.beat_at, member))

    def disperse(self) -> None:
        now = time.monotonic()
        self._beats.clear()
        for member, lean in enumerate(self.lean):
            if lean.session_id:
                ago = self._random.uniform(0, lean.interval_seconds)
                self._beat_later(member, lean, now - ago)

    def plan_beat(self, lean: _Lean, heard_at: float) -> None:
        """As `ChatSession` does it: in the slots of the server's clock."""
        at = heard_at + lean.interval_seconds + lean.early_seconds
        server_at = lean.echo / 1e6 + at - lean.echo_at
        lean.next_early_seconds = server_at % self._slot_seconds
        lean.beat_at = at - lean.next_early_seconds

    def _beat_later(self, member: int, lean: _Lean, heard_at: float) -> None:
        self.plan_beat(lean, heard_at)
        heapq.heappush(self._beats, (lean.beat_at, member))

    def next_due(self) -> float:
        return min((queue[0][0] for queue in (self._acks, self._beats) if queue), default=NEVER)

    def take(self, timeout_seconds: float) -> int:
        until_due = self.next_due() - time.monotonic()
        return super().take(max(0.0, min(timeout_seconds, until_due)))

    # --- speaking

    def say(self, sender: int, numbers: range, now: float) -> None:
        lean = self.lean[sender]
        self.said_at[sender] += [now] * len(numbers)
        head = Message.LAYOUT.pack
        messages = [
            head(message_id, MessageKind.CHAT, False, 0, LINE_BYTES) + line(sender, number)
            for message_id, number in enumerate(numbers, lean.message_id + 1)
        ]
        lean.message_id += len(messages)
        lean.unanswered += messages
        self._say(sender, messages)

    def _say(self, sender: int, messages: Sequence[bytes]) -> None:
        lean = self.lean[sender]
        for first in range(0, len(messages), CHUNK_LINES):
            chunk = messages[first : first + CHUNK_LINES]
            lean.sent += 1
            say = Say(lean.session_id, time.monotonic_ns() // 1000, ())
            self._send(sender, say.encode_with(chunk))

    def on_stall(self) -> int:
        for sender in range(min(SENDERS, self.members)):
            self._say(sender, list(self.lean[sender].unanswered))
        return 0

    def _send(self, member: int, datagram: bytes) -> None:
        with contextlib.suppress(OSError):
            self.sockets[member].send(datagram)


class SessionCrowd(ChatCrowd):
    """The same with complete clients for the senders: their `ChatSession` decides what is sent,
    when it is repeated, and how much waits."""

    def __init__(self, address: tuple[str, int], members: int) -> None:
        super().__init__(address, members)
        self._sessions = [
            ChatSession(address, f"m{member:05d}", random.Random(member))
            for member in range(min(SENDERS, members))
        ]
        self._backlogs: list[deque[str]] = [deque() for _ in self._sessions]

    def begin(self, member: int) -> None:
        if member >= len(self._sessions):
            super().begin(member)
        else:
            self._sessions[member].start(time.monotonic())
            self._flush(member)

    def read(self, member: int, lengths: list[int]) -> None:
        if member >= len(self._sessions):
            super().read(member, lengths)
            return
        session, now = self._sessions[member], time.monotonic()
        for slot, length in enumerate(lengths):
            at = slot * SLOT_BYTES
            session.receive_datagram(bytes(self.buffer[at : at + length]), self.address, now)
        sample = self.samples.get(member)
        for event in session.take_events():
            if event["event"] == "chat":
                self.positions[member] += 1
                if sample is not None:
                    sample.note(event["text"].encode()[: LINE_HEAD.size], now)
        self._flush(member)

    def do_what_is_due(self) -> None:
        super().do_what_is_due()
        now = time.monotonic()
        for member, session in enumerate(self._sessions[: len(self.sockets)]):
            at = session.next_timeout()
            if at is not None and at <= now:
                session.handle_timeout(now)
                self._flush(member)

    def next_due(self) -> float:
        timeouts = [session.next_timeout() for session in self._sessions]
        return min(super().next_due(), *(at for at in timeouts if at is not None))

    def say(self, sender: int, numbers: range, now: float) -> None:
        self.said_at[sender] += [now] * len(numbers)
        self._backlogs[sender] += [line(sender, number).decode() for number in numbers]
        self._flush(sender)

    def on_stall(self) -> int:
        return 0

    def _flush(self, member: int) -> None:
        session, backlog, now = self._sessions[member], self._backlogs[member], time.monotonic()
        while backlog and session.pending_count < 4 * WINDOW_LINES:
            session.say(backlog.popleft(), now)
        for datagram in session.datagrams_to_send():
            self._send(member, datagram)
