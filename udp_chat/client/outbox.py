"""What a client has to say, until it is known to be in a log.

Messages wait, are sent as the window allows, and are sent again until the server is known to have
them (retransmission with back-off, RFC 6298 §5; copies on a link that loses). They are kept until
they are known to be in a log. Pure: it hands out tuples of messages, each tuple for one SAY.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from udp_chat.protocol.delivery import COPY_SPACING_SECONDS, NEVER, LossEstimate, RttEstimator
from udp_chat.protocol.packets import (
    COUNT_MAX,
    IN_FLIGHT_MAX,
    RUN_MAX,
    TEXT_BYTES_MAX,
    Answer,
    ChatError,
    Message,
    MessageKind,
    Say,
)

PENDING_MAX = 10_000
"""Messages that wait: a person notices long before, a pipe is held back by the client."""

LATE_RATIO = 0.004
"""So few of the messages may wait for a retransmission timeout: on a link that loses, a SAY is sent
up to three times. It costs one datagram where the message costs one for each member."""

FULL_QUEUE_SECONDS = 0.015
"""With so long a queue on the way, nothing is sent twice: the link is full, not unlucky."""

DATAGRAMS_IN_FLIGHT_MAX = 4
"""SAY datagrams that the server is not known to have: what a burst may be on any link."""

RETRY_COPIES_MAX = 6
"""Of one SAY that is sent again: where it was lost in a burst, more copies get through."""

OFFERS = (MessageKind.STAND_BY, MessageKind.APART)
"""What a client can do for the room: two of a kind that differ are not the same."""

LINES = (MessageKind.CHAT, MessageKind.ACTION, MessageKind.PRIVATE)
"""What a person says; the rest are requests."""


class PendingFull(ChatError):
    """More messages wait to be accepted than this client keeps."""


class _Pending:
    """A message that is not yet known to be in a log."""

    __slots__ = ("encoded_bytes", "is_repeated", "message", "sent_at")

    def __init__(self, message: Message) -> None:
        self.message = message
        self.encoded_bytes = len(message.encode())
        self.sent_at = NEVER
        """When it was first sent. Its copies follow within milliseconds."""
        self.is_repeated = False
        """Whether it was sent again after a timeout: then nobody knows what an echo answers."""


class Outbox:
    """The messages of one client, numbered from 1 without a gap. `jitter` is a factor around 1."""

    def __init__(
        self,
        rtt: RttEstimator,
        loss: LossEstimate,
        jitter: Callable[[], float],
        pending_max: int = PENDING_MAX,
    ) -> None:
        self.pending: dict[int, _Pending] = {}
        self.received = 0
        """The newest message that the server is known to have."""
        self.sent_until = 0
        """The newest message that was sent in this session, or need not be."""
        self.sent_max = 0
        """The newest message that was ever sent: no server can have a later one."""
        self._rtt = rtt
        self._loss = loss
        self._jitter = jitter
        self._pending_max = pending_max
        self._next_id = 1
        self._confirmed = 0
        self._known = self._known_timestamp = 0
        self._contradicted = 0
        self._retry_at = NEVER
        self._tries = 0
        self._copies = 0
        self._copy_at = NEVER

    @property
    def has_fresh(self) -> bool:
        """Whether something was not sent yet, though the window may not allow it."""
        return self._next_id - 1 > self.sent_until

    @property
    def first_id(self) -> int:
        """The oldest message that may have to be sent."""
        return next((i for i in self.pending if i > self._confirmed), self._next_id)

    def add(self, text: str, kind: MessageKind, to: str) -> None:
        """Has a text wait, in parts if it is longer than an event; raises `PendingFull`."""
        parts_max = self._pending_max - len(self.pending)
        # What cannot fit, however it is cut, is refused before it is: a character has a byte.
        parts = split_text(text) if len(text) <= parts_max * TEXT_BYTES_MAX else None
        if parts is None or len(parts) > parts_max:
            raise PendingFull(f"{len(self.pending)} lines are waiting to be sent")
        for number, part in enumerate(parts, 1):
            more = number < len(parts) and number % RUN_MAX != 0
            self._queue(Message(self._next_id, kind, part, to, more))

    def ask(self, kind: MessageKind, text: str = "") -> None:
        """Has a question of the client's own wait, unless the same one does already."""
        waiting = [p.message for p in self.pending.values() if p.message.kind is kind]
        if any(kind not in OFFERS or message.text == text for message in waiting):
            return
        self._queue(Message(self._next_id, kind, text))

    def lines(self) -> list[Message]:
        """What is said and not yet known to be in order, oldest first; no requests."""
        messages = (pending.message for pending in self.pending.values())
        return [message for message in messages if message.kind in LINES]

    def overtaken(self) -> list[int]:
        """Messages that have not come back although a later one has.

        A server appends in order, so they are in a log. What confirms them is still on its way in
        the other log, or lost with the server that made it.
        """
        return [message_id for message_id in self.pending if message_id < self._confirmed]

    def _queue(self, message: Message) -> None:
        self.pending[message.message_id] = _Pending(message)
        self._next_id = message.message_id + 1

    # --- sending -----------------------------------------------------------------------------

    def next_timeout(self) -> float:
        return min(self._retry_at, self._copy_at)

    def stop(self) -> None:
        """Sends nothing more until `resume`: there is no session to send it in."""
        self._retry_at = self._copy_at = NEVER

    def resume(self, received: int) -> None:
        """A session begins. The server has messages up to this one: what is newer is sent."""
        self.received = self.sent_until = min(received, self.sent_max)
        self.stop()
        self._tries = self._copies = 0

    def fresh(self, now: float) -> list[tuple[Message, ...]]:
        """What was not sent yet, as far as the window allows."""
        until = min(self._next_id, next(iter(self.pending), 0) + IN_FLIGHT_MAX) - 1
        if until <= self.sent_until:
            return []
        # Bytes are free, datagrams are not: what is unreceived is repeated if it fits.
        chunks = self._chunks(range(self.received + 1, until + 1))[:DATAGRAMS_IN_FLIGHT_MAX]
        until = chunks[-1][-1].message.message_id if chunks else 0
        if until <= self.sent_until:
            return []
        if len(chunks) > 1:
            chunks = self._chunks(range(self.sent_until + 1, until + 1))
        self.sent_until = until
        self.sent_max = max(self.sent_max, until)
        if self._retry_at == NEVER:
            self._retry_at = now + self._rtt.rto * self._jitter()
        self._plan_copies(self._loss.copies(LATE_RATIO) - 1, now)
        return self._sent(chunks, now)

    def _plan_copies(self, count: int, now: float) -> None:
        has_room = self._rtt.queue_seconds < FULL_QUEUE_SECONDS
        self._copies = count if has_room else 0
        self._copy_at = now + COPY_SPACING_SECONDS if self._copies else NEVER

    def retry(self, now: float) -> list[tuple[Message, ...]]:
        """At the retransmission timeout: what the server is not known to have."""
        if self._retry_at > now:
            return []
        chunks = self._chunks(range(self.received + 1, self.sent_until + 1))
        if not chunks:
            self._retry_at = NEVER
            return []
        if self._rtt.queue_seconds < FULL_QUEUE_SECONDS:
            self._loss.update(lost=True)
        self._tries += 1
        copies = self._loss.copies(LATE_RATIO) - 1 + self._tries
        self._plan_copies(min(copies, RETRY_COPIES_MAX), now)
        for chunk in chunks:
            for pending in chunk:
                pending.is_repeated = True
        self._retry_at = now + self._rtt.backed_off(self._tries - 1) * self._jitter()
        return self._sent(chunks, now)

    def copy(self, now: float) -> list[tuple[Message, ...]]:
        """On a link that loses: the same again, before anything could be known to be lost."""
        if self._copy_at > now:
            return []
        self._copies -= 1
        self._copy_at = now + COPY_SPACING_SECONDS if self._copies else NEVER
        chunks = self._chunks(range(self.received + 1, self.sent_until + 1))
        return self._sent(chunks, now) if len(chunks) == 1 else []

    def _chunks(self, message_ids: Iterable[int]) -> list[list[_Pending]]:
        """Messages as runs that each fit one SAY."""
        chunks: list[list[_Pending]] = []
        room_bytes = 0
        for message_id in message_ids:
            pending = self.pending.get(message_id)
            if pending is None:
                continue
            if pending.encoded_bytes > room_bytes or len(chunks[-1]) == COUNT_MAX:
                chunks.append([])
                room_bytes = Say.MESSAGES_BYTES_MAX
            chunks[-1].append(pending)
            room_bytes -= pending.encoded_bytes
        return chunks

    def _sent(self, chunks: list[list[_Pending]], now: float) -> list[tuple[Message, ...]]:
        for chunk in chunks:
            for pending in chunk:
                pending.sent_at = min(pending.sent_at, now)
        return [tuple(pending.message for pending in chunk) for chunk in chunks]

    # --- what comes back ---------------------------------------------------------------------

    def note_received(self, received: int, now: float) -> None:
        """The server has everything up to this message."""
        received = min(received, self.sent_until)
        if received > self.received:
            self.received = received
            self._tries = 0
            waiting = self.sent_until > received
            self._retry_at = now + self._rtt.rto * self._jitter() if waiting else NEVER

    def correct(self, answer: Answer, timestamp: int, now: float) -> bool:
        """Takes the server's newest word on what it has; our newest datagram has this timestamp.

        The server never has less than it has said before: a smaller number in answer to what was
        sent later means that the larger one was forged, and what is still here is sent again.
        False if it is not here any more: as the server waits for that, only a JOIN can help.
        """
        received = answer.received
        known = max(self.received, self.first_id - 1)
        if known != self._known:
            self._known, self._known_timestamp = known, timestamp
        elif received < known and answer.echoed_timestamp > self._known_timestamp:
            if received < self.first_id - 1:
                # A server of 0.2.0 is not helped by a JOIN either: it is tried once.
                was_tried, self._contradicted = self._contradicted == known, known
                return was_tried
            self.received = received
            self._retry_at = min(self._retry_at, now)
        return True

    def confirm(self, message_id: int, now: float) -> Message | None:
        """The message is in a log; None if that was known, or if it was never sent."""
        pending = self.pending.get(message_id)
        if pending is None or pending.sent_at == NEVER:
            return None
        del self.pending[message_id]
        self._confirmed = max(self._confirmed, message_id)
        if not pending.is_repeated and message_id > self.received:
            self._rtt.sample(now - pending.sent_at)
        self.note_received(message_id, now)
        return pending.message


def split_text(text: str, bytes_max: int = TEXT_BYTES_MAX) -> list[str]:
    """Parts of at most `bytes_max` UTF-8 bytes, cut after white space where there is any.

    The parts joined are the text again. A word longer than a part is cut between characters. Each
    byte is copied once: it takes as long as the text.
    """
    parts = []
    data = text.encode("utf-8", "replace")
    start = 0
    while len(data) - start > bytes_max:
        cut = start + bytes_max
        while data[cut] & 0xC0 == 0x80:  # a continuation byte: not within a character
            cut -= 1
        space = max(data.rfind(b" ", start, cut), data.rfind(b"\t", start, cut))
        if space > start:
            cut = space + 1
        parts.append(data[start:cut].decode())
        start = cut
    parts.append(data[start:].decode())
    return parts
