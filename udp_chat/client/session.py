"""A client's session as a pure state machine: what a client does, without input or output.

`ChatSession` is given what the person says, datagrams and the time, and hands out datagrams and
events; it never touches a socket, a thread, a clock or a random source.

==========  =============================  ==========================================
state       means                          left by
==========  =============================  ==========================================
NEW         nothing sent yet               `start` → JOINING
JOINING     JOIN repeated, never was in    WELCOME → JOINED, a REFUSED other than BUSY or
                                           `leave` → CLOSED
JOINED      talking                        silence, BYE or what contradicts itself →
                                           REJOINING, `leave` → LEAVING
REJOINING   JOIN repeated, was in before   WELCOME → JOINED, `leave` → CLOSED
LEAVING     LEAVE repeated                 BYE or enough tries → CLOSED
CLOSED      the end
==========  =============================  ==========================================

It promises: what it was told to say is sent until its echo comes, across lost links and server
restarts; every event of both logs comes out once, in order, or as `lost`. It keeps what was typed
while the server is away, but not beyond the end of the process.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Iterable
from enum import Enum

from udp_chat.client import chat_events
from udp_chat.client.acknowledging import ACK_AGAIN_SECONDS, Acknowledging
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.joining import Attempt, Joining
from udp_chat.client.liveness import Liveness
from udp_chat.client.outbox import LINES, NEVER, Outbox
from udp_chat.client.own_link import OwnLink
from udp_chat.client.roster import Roster
from udp_chat.protocol.delivery import (
    AHEAD_MAX,
    RTT_SAMPLE_MAX_SECONDS,
    LossEstimate,
    Lost,
    OrderedReceiver,
    RttEstimator,
)
from udp_chat.protocol.packets import (
    NO_COOKIE,
    Address,
    Answer,
    Bye,
    ByeReason,
    Challenge,
    Event,
    EventKind,
    Events,
    Join,
    Leave,
    MalformedDatagram,
    Message,
    MessageKind,
    Refused,
    RefusedReason,
    Say,
    Status,
    Welcome,
    decode,
)

LEAVE_TRIES = 5
"""With 20 % loss each way, one leave in 3000 is left to the server's timeout."""

SEEN_LINES = 3
"""Lines of mine that "who has them?" is about."""

GATED_MAX = 1024
"""Deliveries that wait for the roster when joining; what comes later is not acknowledged yet."""


class State(Enum):
    NEW = "new"
    JOINING = "joining"
    JOINED = "joined"
    REJOINING = "rejoining"
    LEAVING = "leaving"
    CLOSED = "closed"


class ChatSession:
    """One client's side of the conversation. Not thread-safe; `now` is one monotonic clock.

    `randomness` gives the client id and the jitter of timers.
    """

    def __init__(self, server: Address, name: str, randomness: random.Random) -> None:
        self.server = server
        self.name = name
        self.room = ""
        self.state = State.NEW
        self.counters: Counter[str] = Counter()
        """What was dropped and why, what was sent again."""
        self.rtt = RttEstimator()
        self.loss = LossEstimate()
        self._random = randomness
        self._client_id = randomness.getrandbits(64) or 1
        self._session_id = 0
        self._member = 0
        self._now = 0.0
        self._timestamp = 0
        self._outgoing: list[bytes] = []
        self._events: list[ChatEvent] = []
        self._joining = Joining(name, randomness, self._jitter, self._next_timestamp)
        self._liveness = Liveness(self.rtt, self._jitter)
        self._acknowledging = Acknowledging(self.rtt, randomness, self._jitter)
        self._own_link = OwnLink()
        # Receiving.
        self._log: OrderedReceiver | None = None
        self._inbox = OrderedReceiver(0, 1)
        self._history_before = 0
        self._joined_seq = 0
        self._newest_answered = 0
        self._roster = Roster()
        self._own_lines: deque[tuple[int, str]] = deque(maxlen=SEEN_LINES)
        self._gated: list[tuple[int, Event] | Lost] | None = None
        # Sending.
        self._outbox = Outbox(self.rtt, self.loss, self._jitter)
        self._settled = (0, 0, 0)
        # Leaving.
        self._leave_at = NEVER
        self._leave_tries = 0

    # --- what the shell calls ----------------------------------------------------------------

    @property
    def members(self) -> list[str]:
        """The names of all who are in, sorted."""
        return sorted(self._roster.names, key=str.casefold)

    @property
    def pending_count(self) -> int:
        """Messages that the server is not yet known to have put in order."""
        return len(self._outbox.pending)

    @property
    def pending_lines(self) -> list[str]:
        """The texts of what is said and not yet known to be in order, oldest first."""
        return [message.text for message in self._outbox.lines()]

    @property
    def server_was_heard(self) -> bool:
        """Whether the server has answered a JOIN since this session began to join: it is there."""
        return self._joining.cookie != NO_COOKIE

    @property
    def last_refusal(self) -> ChatEvent | None:
        """Why the server last said no in this attempt to join, as an event `refused`; None if it
        did not. A client that is joining goes on after `busy`: this is then all it says."""
        return self._joining.last_refusal

    @property
    def has_output(self) -> bool:
        """Whether `datagrams_to_send` may have something."""
        return bool(self._outgoing) or (self.state is State.JOINED and self._outbox.has_fresh)

    @property
    def has_events(self) -> bool:
        """Whether `take_events` has something."""
        return bool(self._events)

    def start(self, now: float) -> None:
        """Begins to join."""
        assert self.state is State.NEW
        self._now = now
        self.state = State.JOINING
        self._join(Attempt.FIRST)

    def say(
        self, text: str, now: float, kind: MessageKind = MessageKind.CHAT, to: str = ""
    ) -> None:
        """Has a text said, however long; raises `PendingFull` if too much is waiting.

        A text longer than an event goes out in parts that stay side by side in the log.
        """
        self._now = now
        self._outbox.add(text, kind, to)

    def ask_seen(self, now: float) -> None:
        """Asks who has my last lines; each is answered by a notice `seen`."""
        self._now = now
        self._outbox.ask(MessageKind.SEEN, " ".join(str(seq) for seq, _ in self._own_lines))

    def ask_stats(self, now: float) -> None:
        """Asks how everyone's link does; answered by a notice `stats`."""
        self._now = now
        self._outbox.ask(MessageKind.STATS)

    def leave(self, now: float) -> None:
        """Says LEAVE, repeated until the server says BYE; harmless in any state."""
        self._now = now
        if self.state in (State.JOINED, State.REJOINING):
            # Also while rejoining: the server may still have us.
            self.state = State.LEAVING
            self._joining.stop()  # a WELCOME would bring us back in
            self._leave_at = now
            self._on_leave_timer()
        elif self.state is not State.LEAVING:
            self._close()

    def receive_datagram(self, datagram: bytes, address: Address, now: float) -> None:
        """Takes in one datagram. Whatever it holds, nothing is raised."""
        self._now = now
        if address[:2] != self.server[:2]:
            self._drop("not from the server")
            return
        try:
            packet = decode(datagram)
        except MalformedDatagram as error:
            self._drop(error.reason)
            return
        if isinstance(packet, Events):
            self._handle_events(packet)
        elif isinstance(packet, Challenge):
            self._handle_challenge(packet)
        elif isinstance(packet, Welcome):
            self._handle_welcome(packet)
        elif isinstance(packet, Refused):
            self._handle_refused(packet)
        elif isinstance(packet, Bye):
            self._handle_bye(packet)
        else:
            self._drop("unexpected packet")

    def handle_timeout(self, now: float) -> None:
        """Does what is due. To be called at `next_timeout()`, and harmless at any time."""
        self._now = now
        if self._liveness.forgive_stall(self.next_timeout(), now):
            self.counters["stalls"] += 1
        if self._joining.at <= now:
            self._send_join()
        if self._leave_at <= now:
            self._on_leave_timer()
        if self.state is State.JOINED:
            self._on_joined_timers()

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is next needed, on the clock of `now`; None if never."""
        at = min(self._joining.at, self._leave_at)
        if self.state is State.JOINED:
            at = min(at, self._outbox.next_timeout(), self._acknowledging.next_timeout())
            at = min(at, self._liveness.next_timeout())
        return None if at == NEVER else at

    def datagrams_to_send(self) -> list[bytes]:
        """What has to go to the server now."""
        if self.state is State.JOINED:
            self._send_say(self._outbox.fresh(self._now))
        outgoing, self._outgoing = self._outgoing, []
        return outgoing

    def take_events(self) -> list[ChatEvent]:
        """What happened since the last call, in order."""
        events, self._events = self._events, []
        return events

    # --- joining and leaving -----------------------------------------------------------------

    def _join(self, attempt: Attempt) -> None:
        self._joining.begin(attempt)
        self._send_join()

    def _send_join(self) -> None:
        log = self._log
        join = Join(
            client_id=self._client_id,
            timestamp=self._next_timestamp(),
            cookie=self._joining.cookie,
            epoch=log.epoch if log is not None else 0,
            room_ack=log.acknowledged if log is not None else 0,
            inbox_epoch=self._inbox.epoch,
            inbox_ack=self._inbox.acknowledged,
            next_message_id=self._outbox.first_id,
            name=self._joining.wanted_name,
        )
        self._outgoing.append(join.encode())
        self._joining.sent(self._now)

    def _handle_challenge(self, challenge: Challenge) -> None:
        joining = self._joining
        if not (joining.is_running and challenge.sender_id == self._client_id):
            if self.state is not State.JOINED or challenge.sender_id != self._session_id:
                self._drop("unexpected packet")
                return
            if not joining.is_running:
                # The server sees this session at a new address: the network has moved us.
                joining.begin(Attempt.MOVE)
                self.counters["address changes"] += 1
        if joining.take_cookie(challenge.cookie):
            self._send_join()
        else:
            self._drop("repeated challenge")  # its JOIN is on its way, or being repeated

    def _is_of_this_attempt(self, answer: Welcome | Refused) -> bool:
        return (
            answer.client_id == self._client_id
            and self._joining.began_timestamp <= answer.echoed_timestamp <= self._timestamp
        )

    def _handle_welcome(self, welcome: Welcome) -> None:
        if not self._joining.is_running or not self._is_of_this_attempt(welcome):
            self._drop("stale")
            return
        was_session = self._session_id
        self._joining.welcomed(welcome.name)
        self._liveness.stop()
        self.rtt.sample(self._now - welcome.echoed_timestamp / 1e6)
        self.name = welcome.name
        self.room = welcome.room
        self._session_id = welcome.session_id
        self._member = welcome.member
        self._joined_seq = welcome.joined
        self._acknowledging.wait_as_asked(welcome.ack_delay_ms)
        self._liveness.begin(welcome.heartbeat_ms, self._now)
        if self.state is State.JOINED and was_session == welcome.session_id:
            return  # an address change: nothing to show
        self.state = State.JOINED
        log, astray = self._receivers_of(welcome)
        received = welcome.received
        if was_session != welcome.session_id:
            self._own_link.begin()
            self._roster.await_one(needed=welcome.joined)
            # A session begins with a roster in the inbox: if it is lost, that is a gap.
            self._inbox.latest = max(self._inbox.latest, welcome.inbox_start)
        else:
            received = max(received, self._outbox.received)  # it may have grown since this was sent
            if astray:
                self._ask_roster()
        if self._gated is None:
            self._events.append({"event": "resumed", "name": self.name, "room": self.room})
        self._outbox.resume(received)
        self._settled = (0, 0, 0)
        self._deliver(log.receive(welcome.start, (), welcome.oldest, welcome.latest))
        self._plan_gap_report()

    def _receivers_of(self, welcome: Welcome) -> tuple[OrderedReceiver, bool]:
        """Begins to receive the logs of this WELCOME, or goes on where they are those we know.

        Returns the room log's receiver, and whether one was led astray: the server is the same,
        but what we have received cannot all come from it.
        """
        log, inbox = self._log, self._inbox
        new_inbox = inbox.epoch != welcome.inbox_epoch
        inbox_astray = not new_inbox and welcome.inbox_start != inbox.acknowledged + 1
        if log is None or log.epoch != welcome.epoch:
            # Another server, or the same one started again. Nobody can say what we missed.
            was_in = log is not None and self._gated is None
            if was_in:
                self._events.append({"event": "lost", "count": None})
            else:
                self._gated = []  # until the roster is here: "joined" says who is in
            log = OrderedReceiver(welcome.epoch, welcome.start)
            # A returning client missed this; it is history to a newcomer only.
            self._history_before = 0 if was_in else welcome.joined
            self._roster.restart()
            self._own_lines.clear()  # their numbers mean other events there
            self._liveness.newest_echo = self._newest_answered = 0
            log_astray, new_inbox = False, True
        else:
            acknowledged = log.acknowledged
            log_astray = not welcome.start - 1 <= acknowledged <= welcome.latest
            if log_astray:
                log = log.restarted(welcome.start, welcome.latest)
                self._roster.restart()
                if self._gated is not None:
                    # What was held back and is true has yet to be shown.
                    true = [d for d in self._gated if not isinstance(d, Lost)]
                    true = [d for d in true if d[0] <= min(log.acknowledged, welcome.latest)]
                    missing = log.acknowledged - true[-1][0] if true else 0
                    self._gated = [*true, Lost(missing)] if missing else [*true]
            if (log_astray or inbox_astray or new_inbox) and self._gated is None:
                self._events.append({"event": "lost", "count": None})
        self._log = log
        if new_inbox or inbox_astray:
            self._inbox = OrderedReceiver(welcome.inbox_epoch, welcome.inbox_start)
            self._roster.drop_chunks()
        if new_inbox:
            # This server does not know us (any more): it counts our messages from the start.
            for message_id in self._outbox.overtaken():
                self._confirm(message_id, None)
        astray = log_astray or inbox_astray
        if astray:
            self.counters["astray"] += 1
        return log, astray

    def _handle_refused(self, refused: Refused) -> None:
        joining = self.state in (State.JOINING, State.REJOINING)
        if not joining or not self._is_of_this_attempt(refused):
            self._drop("stale")
            return
        refusal = self._joining.refused(refused, self._now)
        if refusal is not None:
            self._events.append(refusal)
        if self.state is State.REJOINING:
            if self._joining.try_another_name():
                self._send_join()
        elif refused.reason != RefusedReason.BUSY:
            self._close()

    def _rejoin(self, reason: str) -> None:
        self.state = State.REJOINING
        self._outbox.stop()
        self._acknowledging.stop()
        self._liveness.stop()
        if self._gated is None:
            self._events.append({"event": "reconnecting", "reason": reason})
        self._join(Attempt.RETURN)

    def _handle_bye(self, bye: Bye) -> None:
        if bye.session_id != self._session_id or self._session_id == 0:
            self._drop("stale")
        elif self.state is State.LEAVING:
            self._close()
        elif self.state is State.JOINED:
            self._rejoin(chat_events.reason_of(ByeReason, bye.reason))

    def _on_leave_timer(self) -> None:
        if self._leave_tries == LEAVE_TRIES:
            self._close()
            return
        self._outgoing.append(Leave(self._session_id, self._next_timestamp()).encode())
        self._leave_at = self._now + self.rtt.backed_off(self._leave_tries)
        self._leave_tries += 1

    def _close(self) -> None:
        if self.state is not State.CLOSED:
            was_in = self._log is not None
            self.state = State.CLOSED
            self._joining.stop()
            self._leave_at = NEVER
            if was_in:
                self._events.append({"event": "left"})

    # --- receiving ---------------------------------------------------------------------------

    def _handle_events(self, packet: Events) -> None:
        log = self._log
        self._own_link.received_count += 1
        if self.state is not State.JOINED or log is None:
            self._drop("not joined")
            return
        receiver = self._inbox if packet.inbox else log
        if packet.epoch != receiver.epoch:
            self._drop("other epoch")
            return
        answer = packet.answer
        sent_since = self._joining.began_timestamp
        if answer is not None and not sent_since < answer.echoed_timestamp <= self._timestamp:
            self._drop("stale")  # of a session before: since then the server may have let go
            answer = None
        if answer is not None and max(answer.received, answer.appended) > self._outbox.sent_max:
            self._drop("impossible answer")
            return
        if packet.latest - receiver.latest > AHEAD_MAX or (
            answer is not None and answer.inbox_latest - self._inbox.latest > AHEAD_MAX
        ):
            self._drop("too far ahead")
            return
        if self._is_newest(packet, answer) and not self._hear(packet, answer, receiver):
            self.counters["contradictions"] += 1
            self._rejoin("contradiction")
            return
        if not packet.inbox and self._gated is not None and len(self._gated) > GATED_MAX:
            return
        deliveries = receiver.receive(packet.first, packet.events, packet.oldest, packet.latest)
        if answer is not None:
            self._handle_answer(answer, packet.latest)
        if deliveries:
            self._acknowledging.progressed()
            self.loss.update(lost=packet.repair)
            if packet.inbox:
                self._deliver_inbox(deliveries)
            else:
                self._deliver(deliveries)
        elif packet.events:
            self.counters["duplicates"] += 1
        if packet.ask:
            self._send_status()
        elif deliveries or (
            packet.events and self._now - self._liveness.said_at > ACK_AGAIN_SECONDS
        ):
            self._acknowledging.plan(self._now)
        self._plan_gap_report()
        self._settle()

    def _is_newest(self, packet: Events, answer: Answer | None) -> bool:
        """Whether nothing that the server sent later has come."""
        newest = packet.timestamp > self._liveness.newest_echo
        if answer is not None and answer.echoed_timestamp > self._newest_answered:
            self._newest_answered = answer.echoed_timestamp
            # What answers our newest question is new. If by the server's clock it is much older
            # than what came before, then that was forged.
            behind_us = self._liveness.newest_echo - packet.timestamp
            newest = newest or behind_us > RTT_SAMPLE_MAX_SECONDS * 1e6
        return newest

    def _hear(self, packet: Events, answer: Answer | None, receiver: OrderedReceiver) -> bool:
        """Takes the server's newest word on itself and its logs.

        False if a log ends before what we have of it, or if our messages that are in a log never
        came to the server: that was forged.
        """
        self._liveness.hear(packet.timestamp, self._now)
        self._acknowledging.wait_as_asked(packet.ack_delay_ms)
        if not packet.inbox:  # a question is answered by a slice of the room's log
            self._liveness.answered()
        if packet.latest < receiver.acknowledged:
            return False
        receiver.correct(packet.latest)
        if answer is not None:
            if answer.inbox_latest < self._inbox.acknowledged:
                return False
            self._inbox.correct(answer.inbox_latest)
            if answer.echoed_timestamp == self._newest_answered:
                return self._outbox.correct(answer, self._timestamp, self._now)
        return True

    def _handle_answer(self, answer: Answer, room_latest: int) -> None:
        self.rtt.sample(self._now - answer.echoed_timestamp / 1e6)
        self._inbox.latest = max(self._inbox.latest, answer.inbox_latest)
        self._settled = max(self._settled, (answer.appended, room_latest, answer.inbox_latest))
        self._own_link.server_sent_count = answer.sent_count + 1
        self._outbox.note_received(answer.received, self._now)

    def _settle(self) -> None:
        """Ends the wait for an echo that lies in a part of a log that is lost for us."""
        appended, room_latest, inbox_latest = self._settled
        if (
            self._log is not None
            and self._log.acknowledged >= room_latest
            and self._inbox.acknowledged >= inbox_latest
        ):
            pending = self._outbox.pending
            settled = [message_id for message_id in pending if message_id <= appended]
            asked = any(pending[i].message.kind is MessageKind.WHO for i in settled)
            for message_id in settled:
                self._confirm(message_id, None)
            if asked and self._roster.awaited:
                self._ask_roster()  # the answer is lost with the echo

    def _deliver(self, deliveries: Iterable[tuple[int, Event] | Lost]) -> None:
        """Shows what came of the room's log."""
        if self._gated is not None:
            self._gated.extend(deliveries)
            return
        for delivery in deliveries:
            if isinstance(delivery, Lost):
                self._events.append({"event": "lost", "count": delivery.count})
                self._roster.need(self._log.acknowledged if self._log else 0)
                if not self._roster.awaited:
                    self._ask_roster()  # who came and went meanwhile?
                # If it is not true, the answer or its lack says so.
                self._liveness.ask_soon(self._now)
                continue
            seq, event = delivery
            self._roster.follow(seq, event)
            if event.kind is EventKind.RENAME and event.member == self._member:
                self.name = event.text
                self._joining.renamed(event.text)
            if event.member == self._member and event.message_id:
                self._confirm(event.message_id, seq)
                if event.kind in (EventKind.CHAT, EventKind.ACTION):
                    self._own_lines.append((seq, event.text))
            if seq != self._joined_seq:  # that one is told as "joined" or "resumed"
                self._events.append(chat_events.of_room(seq, event, seq < self._history_before))

    def _deliver_inbox(self, deliveries: Iterable[tuple[int, Event] | Lost]) -> None:
        """Shows what came for this member alone."""
        for delivery in deliveries:
            if isinstance(delivery, Lost):
                self._events.append({"event": "lost", "count": delivery.count})
                self._roster.drop_chunks()
                self._ask_roster()
                continue
            _, event = delivery
            if event.member == self._member and event.message_id:
                self._confirm(event.message_id, None, event.kind is not EventKind.NOTICE)
            if event.kind is EventKind.ROSTER:
                self._take_roster(event)
            elif event.kind is EventKind.SEEN:
                self._events.append(chat_events.of_seen(event, dict(self._own_lines)))
            elif event.kind is EventKind.STATS:
                links = self._own_link.take(event.text, self.counters)
                if links is not None:
                    self._events.append({"event": "notice", "reason": "stats", "links": links})
            elif event.kind is EventKind.NOTICE:
                self._events.append(chat_events.of_notice(event))
            else:
                self._events.append(chat_events.of_private(event))

    def _ask_roster(self) -> None:
        if self._log is not None:
            self._roster.need(self._log.acknowledged)  # what was delivered before is in it
        self._roster.await_one()
        self._outbox.ask(MessageKind.WHO)

    def _take_roster(self, event: Event) -> None:
        assert self._log is not None
        complete = self._roster.take(event, self._log.acknowledged)
        if complete is False:
            self._ask_roster()
        elif complete and self._gated is not None:
            gated, self._gated = self._gated, None
            joined: ChatEvent = {"event": "joined", "name": self.name, "room": self.room}
            self._events.append({**joined, "members": self.members})
            self._deliver(gated)

    # --- acknowledging, asking, repairing ----------------------------------------------------

    def _send_status(self, ask: bool = False) -> None:
        log, inbox = self._log, self._inbox
        assert log is not None
        gap_is_due = self._acknowledging.gap_at <= self._now
        status = Status(
            session_id=self._session_id,
            timestamp=self._next_timestamp(),
            echoed_timestamp=self._liveness.echo(self._now),
            room_ack=log.acknowledged,
            room_gap_end=log.gap_end if gap_is_due else log.acknowledged,
            inbox_ack=inbox.acknowledged,
            inbox_gap_end=inbox.gap_end if gap_is_due else inbox.acknowledged,
            sent_count=self._own_link.count_sent(),
            ask=ask,
        )
        self._outgoing.append(status.encode())
        self._liveness.said_at = self._now
        self._acknowledging.acknowledged()

    def _plan_gap_report(self) -> None:
        log, inbox = self._log, self._inbox
        assert log is not None
        if log.gap_end == log.acknowledged and inbox.gap_end == inbox.acknowledged:
            self._acknowledging.find_no_gap()
        else:
            self._acknowledging.find_gap(self._now)

    def _on_joined_timers(self) -> None:
        now = self._now
        if self._liveness.is_silent(now):
            self._rejoin("silence")
            return
        self._send_say(self._outbox.copy(now))
        repeated = self._outbox.retry(now)
        if repeated:
            self.counters["retransmissions"] += 1
            self._send_say(repeated)
            self._liveness.asked_otherwise(now)  # a line is a question too
        if self._acknowledging.gap_at <= now:
            self.counters["gap reports"] += 1
            self._send_status()
            self._acknowledging.reported(now, joining=self._gated is not None)
        if self._liveness.is_ask_due(now):
            self._send_status(ask=True)
            self._liveness.asked(now)
        if self._acknowledging.ack_at <= now:
            self._send_status()

    # --- sending -----------------------------------------------------------------------------

    def _send_say(self, chunks: Iterable[tuple[Message, ...]]) -> None:
        for messages in chunks:
            say = Say(self._session_id, self._next_timestamp(), messages)
            self._own_link.count_sent()
            self._outgoing.append(say.encode())

    def _confirm(self, message_id: int, seq: int | None, accepted: bool = True) -> None:
        """The echo of a message of ours has come (or will never, but it is in the log)."""
        message = self._outbox.confirm(message_id, self._now)
        if message is None:
            return
        if not accepted or message.more or message.kind not in LINES:
            return
        self._events.append(chat_events.of_sent(message, seq))

    # --- small things ------------------------------------------------------------------------

    def _next_timestamp(self) -> int:
        """Microseconds of `now`, made to grow with each datagram."""
        self._timestamp = max(self._timestamp + 1, int(self._now * 1e6))
        return self._timestamp

    def _jitter(self) -> float:
        """A factor around 1, so that clients that start together do not stay together."""
        return self._random.uniform(0.9, 1.1)

    def _drop(self, reason: str) -> None:
        self.counters[reason] += 1
