"""The floor: which member's next message goes into a log, and when.

A message may be appended when its client, its address and the room have tokens for it. Clients
and addresses keep their buckets however often they leave and come back. The room's bucket is
small, so that no wake-up appends more than the socket buffers of the members take.

As long as nobody waits, a message is appended at once. Where messages wait, the quietest goes
first. Each client and each address has a turn: the time at which it would have said all that it
has said and what it wants to say next, had it kept to the pace of a person. The address with the
earliest turn goes first and, of its clients, the one with the earliest turn; what it says moves
both. So a quiet member is never behind a loud one, a message is not behind a page, two members
who say equally much alternate, and a crowd of sessions at one address counts as one. (This is
self-clocked fair queueing, Golestani 1994, with real time for virtual time, at two levels.)

A private message also waits for room in its recipient's inbox, and a question for the room to
answer questions. A member's messages keep their order: one that waits holds up those behind it.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from udp_chat.protocol.delivery import NEVER, TokenBucket
from udp_chat.protocol.packets import (
    IN_FLIGHT_MAX,
    PLAIN_KIND_MAX,
    RUN_MAX,
    Message,
    MessageKind,
    RawMessage,
)
from udp_chat.server.hosts import Host
from udp_chat.server.member import Inbox, Member
from udp_chat.server.state import RoomState

TOKEN_BYTES = 256
"""A token is a message of up to so many bytes of text; a longer one takes several."""

ONE_TOKEN_CHARACTERS = TOKEN_BYTES // 4
"""So many are never more bytes: UTF-8 has at most four for each."""

ROOM_RATE_FACTOR = 2.0
"""All members together may say so many times what one client may. With 1000 messages a second
the room's log of 10,000 reaches back at least ten seconds."""

ROOM_BURST = 256.0
"""Tokens of the room at once: 64 KiB, the smallest socket buffer that a system gives a member
by default (Windows)."""

PERSON_RATE = 10.0
"""Messages a second that a person may say without ever losing the turn: nobody types faster."""

ROUND_SECONDS = 0.005
ROUND_PER_MEMBER_SECONDS = 0.000_01
"""Between two times at which waiting messages are appended: each is a broadcast, which costs more
the more members there are."""

LOG_SHARE = 4
"""A wake-up appends at most a quarter of what the log holds: all of it must be broadcast from
there, and repaired."""

NEXT_WAKE_UP_SECONDS = 0.001
"""What is left for the next wake-up waits so long, so that others can be heard before."""

EVENT_BYTES_MAX = 1100
"""More than any encoded event has."""

PRIVATE_WAIT_SECONDS = 10.0
"""A private message waits so long for its recipient's inbox. Then its sender is told that it was
not delivered, for what the sender says next waits behind it."""

QUESTION_ROUND_SECONDS = 0.02
QUESTIONS_MAX = 8
"""So many questions are answered at once, and so soon again: the largest room spends a fifth of
its time on them, and everything else waits no longer than for one round."""

QUESTION_RETRY_SECONDS = 0.2
"""The same where all questions wait for tokens, or for their members' inboxes."""

QUESTION_TOKENS = 8.0
"""A question moves its member's turn as far as so many messages."""

TURN_SECONDS_MAX = 60.0
"""A turn is at most so far away: what was said more than a minute ago is forgiven."""

HELD_MAX = IN_FLIGHT_MAX
"""Messages of one member waiting for its turn or for the rest of a long line."""

QUESTIONS = (
    MessageKind.WHO,
    MessageKind.SEEN,
    MessageKind.STATS,
    MessageKind.STAND_BY,
    MessageKind.APART,
)
ALONE = (*QUESTIONS, MessageKind.RENAME)
"""Kinds of messages that have no parts."""


class Scribe(Protocol):
    """What writes messages into logs: see scribe.py."""

    def full_inbox(self, member: Member, message: Message) -> Inbox | None:
        """The inbox that a message has to wait for; None if it has to wait for none."""

    def write(self, member: Member, message: Message, now: float) -> None:
        """Writes a message of a member into the log that it belongs to."""

    def write_plain(self, member: Member, messages: Sequence[RawMessage], now: float) -> None:
        """Writes messages of a member, chat or actions, into the room's log."""

    def give_up(self, member: Member, message: Message, now: float) -> None:
        """Tells a member that a private message was not delivered."""


class _Tried(Enum):
    """What became of a member's next message."""

    WRITTEN = "written"
    NOTHING = "nothing to write yet, or waiting for something other than its turn"
    HOST_WAITS = "its address has no tokens"
    ROOM_WAITS = "the room has none"


class Floor:
    """Takes in what members say, and has it written when it is their turn."""

    def __init__(
        self, state: RoomState, scribe: Scribe, links_are_full: Callable[[], bool], now: float
    ) -> None:
        """`links_are_full` says whether most members cannot take in more at the moment."""
        settings, log = state.settings, state.log
        self._members = state.register.members
        self._memory = state.memory
        self._counters = state.counters
        self._scribe = scribe
        self._links_are_full = links_are_full
        self._message_burst = settings.message_burst
        self._tokens = TokenBucket(settings.message_rate * ROOM_RATE_FACTOR, ROOM_BURST, now)
        share = min(log.entries_max, log.bytes_max // EVENT_BYTES_MAX) // LOG_SHARE
        self._wake_up_max = max(1, share)
        self._written = 0
        """Messages written since the last broadcast."""
        self._numbers = itertools.count(1)
        self._hosts: list[tuple[float, int, Host]] = []
        """A heap of (turn, number, host): whose members wait for their turn."""
        self._later: list[tuple[float, int, Host | int]] = []
        """A heap of (when, number, host or session id): what waits for tokens."""
        self._round_at = 0.0
        self._asking: dict[int, Member] = {}
        """By session id: whose next message is a question."""
        self._question_round_at = 0.0

    # --- what the room calls -----------------------------------------------------------------

    def take(self, member: Member, messages: Sequence[RawMessage], now: float) -> None:
        """Takes in new messages of a member, in their order."""
        at_once = not member.held and not self._has_queue(member)
        if at_once and self._write_plain(member, messages, now):
            return
        for message in messages:
            member.hold(Message.of(message))
        if member.waits:
            self._memory.recount(member)
        else:
            self.write_allowed(member, now)

    def write_allowed(self, member: Member, now: float) -> None:
        """Writes what a member that waits for nothing may say; the rest waits."""
        tried = _Tried.WRITTEN
        while tried is _Tried.WRITTEN and not self._has_queue(member):
            tried = self._try(member, now)
        if tried is not _Tried.NOTHING and _run_length(member.held):
            self._counters["held back"] += 1
            self._queue(member, now)
        self._memory.recount(member)

    def inbox_has_space(self, inbox: Inbox, now: float) -> None:
        """Lines up again the members that wait to write into an inbox."""
        waiting, inbox.waiting = inbox.waiting, {}
        for member in waiting.values():
            member.waits_for = None
            self._queue(member, now)

    def remove(self, member: Member) -> None:
        """Must be called when a member is gone: it waits for nothing any more."""
        member.waits = 0
        self._asking.pop(member.session_id, None)
        if member.waits_for is not None:
            member.waits_for.waiting.pop(member.session_id, None)
            member.waits_for = None

    def handle_timeout(self, now: float) -> None:
        """Writes what may be written by now."""
        while self._later and self._later[0][0] <= now:
            _, number, entry = heapq.heappop(self._later)
            if isinstance(entry, Host):
                heapq.heappush(self._hosts, (entry.turn_at, number, entry))
            else:
                member = self._members.get(entry)
                if member is not None and member.waits == number:
                    self._on_member_due(member, now)
        if self._hosts and self._round_at <= now:
            self._write_round(now)

    def next_timeout(self) -> float:
        """When `handle_timeout` or `questions` is next needed."""
        at = self._later[0][0] if self._later else NEVER
        if self._hosts:
            at = min(at, self._round_at)
        if self._asking:
            at = min(at, self._question_round_at)
        return at

    def broadcast_done(self) -> None:
        """Must be called when everything written so far has been sent."""
        self._written = 0

    def questions(self, now: float) -> list[tuple[Member, Message]]:
        """The questions to answer now, the quietest members' first. Each is to be answered, and
        then reported by `answered`."""
        if not self._asking or self._question_round_at > now:
            return []
        ready = [
            member
            for member in self._asking.values()
            if member.questions.has(1, now)
            and member.host.questions.has(1, now)
            and self._scribe.full_inbox(member, member.held[0]) is None
        ]
        ready.sort(key=lambda m: (max(m.host.turn_at, now), max(m.turn_at, now)))
        chosen = []
        for member in ready[:QUESTIONS_MAX]:
            if member.host.questions.take(1, now):
                member.questions.take(1, now)
                chosen.append((member, member.held[0]))
        pause = QUESTION_ROUND_SECONDS if chosen else QUESTION_RETRY_SECONDS
        self._question_round_at = now + pause
        return chosen

    def answered(self, member: Member, now: float) -> None:
        """Notes that a member's question is answered, and writes what follows it."""
        del self._asking[member.session_id]
        member.waits = 0
        message = member.take_held()
        member.appended = message.message_id
        member.said_at = now
        self._move_turn(member, QUESTION_TOKENS, now)
        self.write_allowed(member, now)

    # --- writing -----------------------------------------------------------------------------

    def _write_plain(self, member: Member, messages: Sequence[RawMessage], now: float) -> bool:
        """Writes what is said in the usual case, when nothing has to wait; false if it does."""
        tokens = 0.0
        for _, kind, more, _, text in messages:
            if more or kind > PLAIN_KIND_MAX:
                return False
            tokens += 1.0 if len(text) <= TOKEN_BYTES else _tokens_of_bytes(len(text))
        if (
            self._written + len(messages) > self._wake_up_max
            or self._links_are_full()
            or member.said_apart
            or not member.bucket.has(tokens, now)
            or not member.host.messages.has(tokens, now)
            or not self._tokens.take(tokens, now)
        ):
            return False
        member.bucket.take(tokens, now)
        member.host.messages.take(tokens, now)
        self._written += len(messages)
        self._scribe.write_plain(member, messages, now)
        member.appended = messages[-1][0]
        member.said_at = now
        self._move_turn(member, tokens, now)
        return True

    def _try(self, member: Member, now: float) -> _Tried:
        """Writes a member's next run, or says why not. One that waits for something of its own
        is put there."""
        run = _run_length(member.held)
        if run == 0:
            member.waits = 0
            return _Tried.NOTHING
        message = member.held[0]
        if message.kind in QUESTIONS:
            member.waits = next(self._numbers)
            self._asking[member.session_id] = member
            self._question_round_at = max(self._question_round_at, now)
            return _Tried.NOTHING
        inbox = self._scribe.full_inbox(member, message)
        if inbox is not None:
            self._wait_for(inbox, member, now)
            return _Tried.NOTHING
        tokens = self._tokens_of_run(member, run)
        if not member.bucket.has(tokens, now):
            self._counters["held back"] += 1
            self._wait_until(member, member.bucket.ready_at(tokens))
            return _Tried.NOTHING
        if not member.host.messages.has(tokens, now):
            return _Tried.HOST_WAITS
        is_used_up = self._written >= self._wake_up_max or self._links_are_full()
        if is_used_up or not self._tokens.take(tokens, now):
            return _Tried.ROOM_WAITS
        member.bucket.take(tokens, now)
        member.host.messages.take(tokens, now)
        self._written += run
        for _ in range(run):
            message = member.take_held()
            if not member.is_said_apart(message.message_id):
                self._scribe.write(member, message, now)
            member.appended = message.message_id
        member.said_at = now
        self._move_turn(member, tokens, now)
        return _Tried.WRITTEN

    def _tokens_of_run(self, member: Member, run: int) -> float:
        """What a run costs; never more than the buckets hold."""
        tokens = sum(map(tokens_of, itertools.islice(member.held, run)))
        return min(tokens, self._message_burst, ROOM_BURST)

    def _move_turn(self, member: Member, tokens: float, now: float) -> None:
        seconds, latest = tokens / PERSON_RATE, now + TURN_SECONDS_MAX
        for speaker in (member, member.host):
            # As min(max(…)), which takes twice as long.
            turn_at = (speaker.turn_at if speaker.turn_at > now else now) + seconds
            speaker.turn_at = turn_at if turn_at < latest else latest

    # --- waiting -----------------------------------------------------------------------------

    def _has_queue(self, member: Member) -> bool:
        """Whether others wait for what a member needs, too: tokens of the room or of its address.
        Else short lines would take them again and again before a long one has enough."""
        return bool(self._hosts) or member.host.waits

    def _queue(self, member: Member, now: float) -> None:
        """Puts a member into the queue for its turn."""
        host = member.host
        self._round_at = max(self._round_at, now)
        member.waits = next(self._numbers)
        turn_at = max(member.turn_at, now) + self._seconds_of_next(member)
        heapq.heappush(host.speakers, (turn_at, member.waits, member.session_id))
        if not host.waits:
            host.waits = True
            self._queue_host(host, member, now)

    def _queue_host(self, host: Host, first: Member, now: float) -> None:
        """Puts an address into the queue, by what its first speaker wants to say."""
        turn_at = max(host.turn_at, now) + self._seconds_of_next(first)
        heapq.heappush(self._hosts, (turn_at, next(self._numbers), host))

    def _seconds_of_next(self, member: Member) -> float:
        """How long a person would take for what a member wants to say next."""
        return self._tokens_of_run(member, _run_length(member.held)) / PERSON_RATE

    def _wait_until(self, member: Member, at: float) -> None:
        member.waits = next(self._numbers)
        heapq.heappush(self._later, (at, member.waits, member.session_id))

    def _wait_for(self, inbox: Inbox, member: Member, now: float) -> None:
        inbox.waiting[member.session_id] = member
        member.waits_for = inbox
        if inbox is member.inbox:  # it has only itself to wait for
            member.waits = next(self._numbers)
            return
        if member.waits_since <= member.said_at:
            member.waits_since = now  # else it is still the message that waited before
        self._wait_until(member, member.waits_since + PRIVATE_WAIT_SECONDS)

    def _on_member_due(self, member: Member, now: float) -> None:
        """A member has tokens again, or has waited long enough for an inbox."""
        inbox = member.waits_for
        if inbox is None:
            self._queue(member, now)
            return
        self.remove(member)
        for _ in range(_run_length(member.held)):
            message = member.take_held()
            self._scribe.give_up(member, message, now)
            member.appended = message.message_id
        member.said_at = now
        self.write_allowed(member, now)

    def _write_round(self, now: float) -> None:
        """Writes what waits for its turn, as far as there are tokens."""
        while self._hosts:
            turn_at, number, host = heapq.heappop(self._hosts)
            member = self._first_speaker(host)
            if member is None:
                host.waits = False
                continue
            entry = heapq.heappop(host.speakers)
            tried = self._try(member, now)
            if tried is _Tried.HOST_WAITS:
                # Its members keep their places; the other hosts go on.
                heapq.heappush(host.speakers, entry)
                tokens = self._tokens_of_run(member, _run_length(member.held))
                heapq.heappush(self._later, (host.messages.ready_at(tokens), number, host))
                continue
            if tried is _Tried.ROOM_WAITS:
                heapq.heappush(host.speakers, entry)
                heapq.heappush(self._hosts, (turn_at, number, host))
                pause = ROUND_SECONDS + ROUND_PER_MEMBER_SECONDS * len(self._members)
                is_share_used = self._written >= self._wake_up_max
                self._round_at = now + (NEXT_WAKE_UP_SECONDS if is_share_used else pause)
                return
            if tried is _Tried.WRITTEN:
                member.waits = 0
                self._memory.recount(member)
                if _run_length(member.held):
                    self._queue(member, now)
            following = self._first_speaker(host)
            if following is None:
                host.waits = False
            else:
                self._queue_host(host, following, now)

    def _first_speaker(self, host: Host) -> Member | None:
        """Whose turn it is at an address; None if nobody waits there."""
        while host.speakers:
            _, number, session_id = host.speakers[0]
            member = self._members.get(session_id)
            if member is not None and member.waits == number and member.host is host:
                return member
            heapq.heappop(host.speakers)
        return None


def tokens_of(message: Message) -> float:
    """What a message costs: a token for each TOKEN_BYTES of text begun."""
    if len(message.text) <= ONE_TOKEN_CHARACTERS:
        return 1.0
    return _tokens_of_bytes(len(message.text.encode()))


def _tokens_of_bytes(text_bytes: int) -> float:
    return 1.0 + max(0, text_bytes - 1) // TOKEN_BYTES


def _run_length(held: deque[Message]) -> int:
    """Of how many messages the next line consists; 0 if its end has not come.

    Only lines have parts, and all parts of one are alike: another kind ends it.
    """
    if not held:
        return 0
    first = held[0]
    if not first.more or first.kind in ALONE:
        return 1
    for number, message in enumerate(held, 1):
        if message.kind is not first.kind or message.to != first.to:
            return number - 1
        if not message.more or number == RUN_MAX:
            return number
    return 0
