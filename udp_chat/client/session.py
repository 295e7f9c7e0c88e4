"""A client's session as a pure state machine: what a client does, without input or output.

`ChatSession` is given what the person says, datagrams and the time, and hands out datagrams and
events; it never touches a socket, a thread, a clock or a random source.

Its parts are one idea each. `StateMachine` runs the table of states (states.py). `Joining` and
`Leaving` say when JOIN and LEAVE are sent again. `Streams` receives both logs, `Acknowledging` says
when to acknowledge them, and `Reader` knows what they mean. `Roster` knows who is in. `Transcript`
is what is shown. `Outbox` keeps what is said, `Liveness` watches the server, `Whereabouts` says
where it is, `Replica` keeps the log for a new host, `OwnLink` counts, and `Postbag` takes what is
to be sent. The session decides what each datagram and each deadline means to all of them.

It promises: what it was told to say is sent until it is in a log, across lost links and server
restarts; every event of both logs comes out once, in order, or as `lost`. It keeps what was typed
while the server is away, but not beyond the end of the process.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable

from udp_chat.client import chat_events
from udp_chat.client.acknowledging import ACK_AGAIN_SECONDS, Acknowledging
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.joining import Attempt, Joining
from udp_chat.client.leaving import Leaving
from udp_chat.client.liveness import SILENCE_SECONDS, Liveness
from udp_chat.client.outbox import FULL_QUEUE_SECONDS, PENDING_MAX, Outbox
from udp_chat.client.own_link import OwnLink
from udp_chat.client.postbag import Postbag
from udp_chat.client.reader import Parts, Reader
from udp_chat.client.replica import Replica
from udp_chat.client.roster import Roster
from udp_chat.client.states import DROPPED_AS, Input, State, StateMachine
from udp_chat.client.streams import Streams
from udp_chat.client.transcript import Transcript
from udp_chat.client.whereabouts import Standing, Whereabouts
from udp_chat.protocol.delivery import NEVER, LossEstimate, RttEstimator
from udp_chat.protocol.packets import (
    NO_COOKIE,
    Address,
    Answer,
    Bye,
    ByeReason,
    Challenge,
    Events,
    Fetch,
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

__all__ = ["GATED_MAX", "ChatSession", "State"]

GATED_MAX = 1024
"""Deliveries that wait for the roster when joining; what comes later is not acknowledged yet."""

MOVED = "moved"
"""Why a host has said goodbye that has handed the room on."""

LOSS_PRIOR = 0.05
"""A link counts as one that loses this much until it has shown otherwise: a copy of a message costs
one datagram, and waiting for a timeout costs everybody the time."""


class ChatSession:
    """One client's side of the conversation. Not thread-safe; `now` is one monotonic clock.

    `randomness` gives the client id and the jitter of timers. `silence_seconds` is how long the
    client asks without an answer before it says "reconnecting"; `pending_max` is how many messages
    may wait; `loss_prior` is what part of the datagrams its link counts as losing until it has
    shown otherwise. The parts without an underscore are there to be looked at.
    """

    def __init__(
        self,
        server: Address,
        name: str,
        randomness: random.Random,
        *,
        silence_seconds: float = SILENCE_SECONDS,
        pending_max: int = PENDING_MAX,
        loss_prior: float = LOSS_PRIOR,
    ) -> None:
        self.counters: Counter[str] = Counter()
        """What was dropped and why, what was sent again."""
        self.rtt = RttEstimator()
        self.loss = LossEstimate(loss_prior)
        self.client_id = randomness.getrandbits(64) or 1
        self.session_id = 0
        self._random = randomness
        self._now = 0.0
        self._states = StateMachine()
        self._postbag = Postbag()
        self._leaving = Leaving(self.rtt)
        self._acknowledging = Acknowledging(self.rtt, randomness, self._jitter)
        self.whereabouts = Whereabouts(server)
        self.replica = Replica()
        self.standby_port = 0
        """Where this client's machine can host the room; 0 if it cannot."""
        self.joining = Joining(name, randomness, self._jitter, self._next_timestamp)
        self.liveness = Liveness(self.rtt, self._jitter, silence_seconds)
        self.own_link = OwnLink()
        self.streams = Streams()
        self.roster = Roster()
        self.transcript = Transcript()
        self.outbox = Outbox(self.rtt, self.loss, self._jitter, pending_max)
        parts = Parts(
            self.streams,
            self.roster,
            self.transcript,
            self.outbox,
            self.replica,
            self.whereabouts,
            self.joining,
            self.liveness,
            self.own_link,
            self.counters,
        )
        self._reader = Reader(name, parts)

    # --- what the shell calls ----------------------------------------------------------------

    @property
    def name(self) -> str:
        """What the room calls this client."""
        return self._reader.name

    @property
    def room(self) -> str:
        """The room's name; empty before the first WELCOME."""
        return self._reader.room

    @property
    def member(self) -> int:
        """The number that the room's events have for this client."""
        return self._reader.member

    @property
    def server(self) -> Address:
        """Where datagrams go."""
        return self.whereabouts.server

    @property
    def standing(self) -> Standing:
        """What a machine that may host the room has to know."""
        places = self.whereabouts
        return Standing(
            self.room,
            self.replica.room_id,
            self.name,
            self.member,
            places.server,
            places.host,
            places.last_host,
            tuple(places.successors),
            places.handed_on,
            self.streams.is_begun,
            places.away_since,
            places.called_until,
        )

    @property
    def state(self) -> State:
        """Where this client stands."""
        return self._states.state

    @property
    def members(self) -> list[str]:
        """The names of all who are in, sorted."""
        return self.roster.sorted_names

    @property
    def pending_count(self) -> int:
        """Messages that the server is not yet known to have put in order."""
        return len(self.outbox.pending)

    @property
    def pending_lines(self) -> list[str]:
        """The texts of what is said and not yet known to be in order, oldest first."""
        return [message.text for message in self.outbox.lines()]

    @property
    def server_was_heard(self) -> bool:
        """Whether the server has answered a JOIN since this session began to join: it is there."""
        return self.joining.cookie != NO_COOKIE

    @property
    def last_refusal(self) -> ChatEvent | None:
        """Why the server last said no in this attempt to join, as an event `refused`; None if it
        did not. A client that is joining goes on after `busy`: this is then all it says."""
        return self.joining.last_refusal

    @property
    def has_output(self) -> bool:
        """Whether `datagrams_to_send` may have something."""
        return not self._postbag.is_empty or (self.state is State.JOINED and self.outbox.has_fresh)

    @property
    def has_events(self) -> bool:
        """Whether `take_events` has something."""
        return self.transcript.has_events

    def start(self, now: float) -> None:
        """Begins to join."""
        assert self._states.takes(Input.START), "a session starts once"
        self._now = now
        self._states.move(Input.START)
        self._join(Attempt.FIRST)

    def say(
        self, text: str, now: float, kind: MessageKind = MessageKind.CHAT, to: str = ""
    ) -> None:
        """Has a text said, however long; raises `PendingFull` if too much is waiting.

        A text longer than an event goes out in parts that stay side by side in the log.
        """
        self._now = now
        self.outbox.add(text, kind, to)

    def ask_seen(self, now: float) -> None:
        """Asks who has my last lines; each is answered by a notice `seen`."""
        self._now = now
        self.outbox.ask(
            MessageKind.SEEN, " ".join(str(seq) for seq, _ in self.transcript.own_messages)
        )

    def ask_stats(self, now: float) -> None:
        """Asks how everyone's link does; answered by a notice `stats`."""
        self._now = now
        self.outbox.ask(MessageKind.STATS)

    def stand_by(self, port: int, now: float) -> None:
        """Tells the host that this machine can host the room at a port; 0: it cannot any more."""
        self._now = now
        self.standby_port = port
        if self.whereabouts.handed_on:
            self.outbox.ask(MessageKind.STAND_BY, str(port))

    def look_at(self, address: Address, now: float) -> None:
        """The room is at this address, too: a client that is away looks there first."""
        if self.state is State.REJOINING:
            self._now = now
            self.whereabouts.add(address)
            self.joining.hurry()
            self._send_join()

    def leave(self, now: float) -> None:
        """Says LEAVE, repeated until the server says BYE; harmless in any state."""
        self._now = now
        if not self._states.takes(Input.LEAVE):
            return
        if self._move(Input.LEAVE) is State.LEAVING:
            self.joining.stop()  # a WELCOME would bring us back in
            self._leaving.begin(now)
            self._on_leave_timer()

    def receive_datagram(self, datagram: bytes, address: Address, now: float) -> None:
        """Takes in one datagram. Whatever it holds, nothing is raised."""
        self._now = now
        is_looking = self.state is State.REJOINING
        if address[:2] != self.server[:2] and not (is_looking and self.whereabouts.knows(address)):
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
            self._handle_challenge(packet, address)
        elif isinstance(packet, Welcome):
            self._handle_welcome(packet, address)
        elif isinstance(packet, Refused):
            self._handle_refused(packet)
        elif isinstance(packet, Bye):
            self._handle_bye(packet)
        elif isinstance(packet, Fetch):
            self._handle_fetch(packet)
        else:
            self._drop("unexpected packet")

    def handle_timeout(self, now: float) -> None:
        """Does what is due. To be called at `next_timeout()`, and harmless at any time."""
        self._now = now
        if self.liveness.forgive_stall(self.next_timeout(), now):
            self.counters["stalls"] += 1
        if self.whereabouts.tell_away_at <= now:
            self._tell_away(MOVED)
        if self.joining.at <= now:
            self._send_join()
        if self._leaving.at <= now:
            self._on_leave_timer()
        if self.state is State.JOINED:
            self._on_joined_timers()

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is next needed, on the clock of `now`; None if never."""
        at = min(self.joining.at, self._leaving.at, self.whereabouts.tell_away_at)
        if self.state is State.JOINED:
            at = min(at, self.outbox.next_timeout(), self._acknowledging.next_timeout())
            at = min(at, self.liveness.next_timeout())
        return None if at == NEVER else at

    def datagrams_to_send(self) -> list[bytes]:
        """What has to go to the server now."""
        if self.state is State.JOINED:
            self._send_say(self.outbox.fresh(self._now))
        return self._postbag.take()

    def take_events(self) -> list[ChatEvent]:
        """What happened since the last call, in order."""
        return self.transcript.take()

    # --- joining and leaving -----------------------------------------------------------------

    def _join(self, attempt: Attempt) -> None:
        self._begin_attempt(attempt)
        self._send_join()

    def _begin_attempt(self, attempt: Attempt) -> None:
        self.joining.begin(attempt)
        self.streams.note_claim()

    def _send_join(self) -> None:
        if self.state is State.REJOINING and not self.whereabouts.look_on():
            self.joining.cookie = NO_COOKIE
        log, inbox = self.streams.log, self.streams.inbox
        join = Join(
            client_id=self.client_id,
            timestamp=self._next_timestamp(),
            cookie=self.joining.cookie,
            epoch=log.epoch if log is not None else 0,
            room_ack=log.acknowledged if log is not None else 0,
            inbox_epoch=inbox.epoch,
            inbox_ack=inbox.acknowledged,
            next_message_id=self.outbox.first_id,
            room_id=self.replica.room_id,
            member=self.member,
            lineage=self.replica.lineage.encode(),
            name=self.joining.wanted_name,
        )
        self._postbag.put(join)
        self.joining.sent(self._now)

    def _handle_challenge(self, challenge: Challenge, address: Address) -> None:
        joining = self.joining
        if joining.is_running and challenge.sender_id == self.client_id:
            what = Input.CHALLENGE
        elif challenge.sender_id == self.session_id:
            what = Input.MOVED
        else:
            self._drop("unexpected packet")
            return
        if not self._takes(what):
            return
        self._move(what)
        if self.state is State.REJOINING:
            self.whereabouts.pin(address)
        if not joining.is_running:
            # The server sees this session at a new address: the network has moved us.
            self._begin_attempt(Attempt.MOVE)
            self.counters["address changes"] += 1
        if joining.take_cookie(challenge.cookie):
            self._send_join()
        else:
            self._drop("repeated challenge")  # its JOIN is on its way, or being repeated

    def _is_of_this_attempt(self, answer: Welcome | Refused) -> bool:
        return (
            answer.client_id == self.client_id
            and self.joining.began_timestamp <= answer.echoed_timestamp <= self._postbag.timestamp
        )

    def _handle_welcome(self, welcome: Welcome, address: Address) -> None:
        if not self._takes(Input.WELCOME):
            return
        if not self.joining.is_running or not self._is_of_this_attempt(welcome):
            self._drop("stale")
            return
        was_session, was_state, was_name = self.session_id, self.state, self.name
        if was_state is State.REJOINING:
            self.whereabouts.pin(address)  # another place may be asked by now
        self._move(Input.WELCOME)
        self.joining.welcomed(welcome.name)
        self.liveness.stop()
        self.rtt.sample(self._now - welcome.echoed_timestamp / 1e6)
        self._reader.know_myself(welcome)
        self.session_id = welcome.session_id
        self.transcript.begin_session(welcome.joined)
        self._acknowledging.wait_as_asked(welcome.ack_delay_ms)
        self.liveness.begin(welcome.heartbeat_ms, self._now, hurried=welcome.handed_on)
        self.joining.is_hurried = welcome.handed_on
        if was_state is State.JOINED and was_session == welcome.session_id:
            return  # an address change: nothing to show
        seam = self._reader.begin(welcome, self._now)
        received = welcome.received
        if was_session != welcome.session_id:
            self.own_link.begin()
            self.roster.await_one(needed=welcome.joined)
            # A session begins with a roster in the inbox: if it is lost, that is a gap.
            inbox = self.streams.inbox
            inbox.latest = max(inbox.latest, welcome.inbox_start)
        else:
            received = max(received, self.outbox.received)  # it may have grown since this was sent
            if seam.is_astray:
                self._reader.ask_roster()
        if self.whereabouts.tell_away_at == NEVER or welcome.name != was_name:
            resumed: ChatEvent = {"event": "resumed", "name": self.name, "room": self.room}
            self.transcript.show_unless_joining(resumed)
        hosted = self.whereabouts.welcomed(welcome)
        if hosted is not None:
            self.transcript.show_host(hosted)
        self.outbox.resume(received)
        if welcome.handed_on and was_session != welcome.session_id:
            if self.standby_port:
                self.outbox.ask(MessageKind.STAND_BY, str(self.standby_port))
            if apart := self.replica.apart():
                self.outbox.ask(MessageKind.APART, apart)
        log = self.streams.room
        deliveries = log.receive(welcome.start, (), welcome.oldest, welcome.latest)
        if welcome.handed_on:
            self.replica.follow(deliveries, log.acknowledged, self._now)
        self._reader.deliver(deliveries, self._now)
        self._plan_gap_report()

    def _handle_refused(self, refused: Refused) -> None:
        what = Input.BUSY if refused.reason == RefusedReason.BUSY else Input.REFUSED
        if not self._takes(what):
            return
        if not self._is_of_this_attempt(refused):
            self._drop("stale")
            return
        refusal = self.joining.refused(refused, self._now)
        if refusal is not None:
            self.transcript.show(refusal)
        if self._move(what) is State.REJOINING and self.joining.try_another_name():
            self._send_join()

    def _rejoin(self, what: Input, reason: str) -> None:
        self._move(what)
        self.outbox.stop()
        self._acknowledging.stop()
        self.liveness.stop()
        has_moved = reason == MOVED
        self.whereabouts.gone(self._now, has_moved=has_moved)
        if not has_moved:
            self._tell_away(reason)
        self._join(Attempt.RETURN)

    def _tell_away(self, reason: str) -> None:
        self.whereabouts.tell_away_at = NEVER
        self.transcript.show_unless_joining({"event": "reconnecting", "reason": reason})

    def _handle_fetch(self, fetch: Fetch) -> None:
        """Tells a host what it lacks."""
        if fetch.client_id != self.client_id:
            self._drop("unexpected packet")
            return
        for told in self.replica.tell(fetch, iter(self._next_timestamp, 0)):
            self._postbag.put(told)

    def _handle_bye(self, bye: Bye) -> None:
        # A host that the room has left says so to a JOIN, too, which has the client's own id.
        mine = (self.session_id, self.client_id if self.state is State.REJOINING else 0)
        if bye.session_id not in mine or bye.session_id == 0:
            self._drop("stale")
        elif self._takes(Input.BYE):
            if bye.reason == ByeReason.MOVED:
                self.whereabouts.moved(bye.text, self.member)
            if self.state is State.JOINED:
                self._rejoin(Input.BYE, chat_events.reason_of(ByeReason, bye.reason))
            else:
                self._move(Input.BYE)

    def _on_leave_timer(self) -> None:
        if self._leaving.is_over:
            self._move(Input.NO_BYE)
            return
        self._postbag.put(Leave(self.session_id, self._next_timestamp()))
        self._leaving.sent(self._now)

    def _takes(self, what: Input) -> bool:
        """Whether this packet counts in this state; else drops it."""
        if not self._states.takes(what):
            self._drop(DROPPED_AS[what])
            return False
        return True

    def _move(self, what: Input) -> State:
        """Enters the next state and returns it."""
        before = self.state
        after = self._states.move(what)
        if after in (State.LEAVING, State.CLOSED):
            self.whereabouts.tell_away_at = NEVER  # it is not away: it has gone
        if after is State.CLOSED and before is not State.CLOSED:
            self.joining.stop()
            self._leaving.stop()
            if self.streams.is_begun:
                self.transcript.show({"event": "left"})
        return after

    # --- receiving ---------------------------------------------------------------------------

    def _handle_events(self, packet: Events) -> None:
        streams = self.streams
        self.own_link.received_count += 1
        if not self._takes(Input.EVENTS):
            return
        receiver = streams.receiver_of(packet)
        if receiver is None:
            self._drop("other epoch")
            return
        answer = packet.answer
        sent_since = self.joining.began_timestamp
        if (
            answer is not None
            and not sent_since < answer.echoed_timestamp <= self._postbag.timestamp
        ):
            self._drop("stale")  # of a session before: since then the server may have let go
            answer = None
        if answer is not None and max(answer.received, answer.appended) > self.outbox.sent_max:
            self._drop("impossible answer")
            return
        if streams.is_too_far_ahead(packet, answer):
            self._drop("too far ahead")
            return
        answered = answer.echoed_timestamp if answer is not None else 0
        is_newest = self.liveness.is_newest(packet.timestamp, answered)
        if is_newest and not self._hear(packet, answer):
            self.counters["contradictions"] += 1
            self._rejoin(Input.CONTRADICTION, "contradiction")
            return
        held_back = self.transcript.held_back
        if not packet.inbox and held_back is not None and len(held_back) > GATED_MAX:
            return
        deliveries = receiver.receive(packet.first, packet.events, packet.oldest, packet.latest)
        if not packet.inbox and self.whereabouts.handed_on:
            self.replica.follow(deliveries, receiver.acknowledged, self._now)
        if answer is not None:
            self._handle_answer(answer, packet.latest)
        if deliveries:
            self._acknowledging.progressed()
            if not packet.repair or self.rtt.queue_seconds < FULL_QUEUE_SECONDS:
                self.loss.update(lost=packet.repair)
            if packet.inbox:
                self._reader.deliver_inbox(deliveries, self._now)
            else:
                self._reader.deliver(deliveries, self._now)
        elif packet.events:
            self.counters["duplicates"] += 1
        if packet.ask:
            self._send_status()
        elif deliveries or (
            packet.events and self._now - self.liveness.said_at > ACK_AGAIN_SECONDS
        ):
            self._acknowledging.plan(self._now, self.liveness.echo(self._now) / 1e6)
        self._plan_gap_report()
        self._reader.confirm_what_was_lost(self._now)

    def _hear(self, packet: Events, answer: Answer | None) -> bool:
        """Takes the server's newest word on itself and its logs.

        False if a log ends before what we have of it, or if our messages that are in a log never
        came to the server: that was forged.
        """
        self.liveness.hear(packet.timestamp, self._now)
        self._acknowledging.wait_as_asked(packet.ack_delay_ms)
        if not packet.inbox:  # a question is answered by a slice of the room's log
            self.liveness.answered()
        if not self.streams.correct(packet, answer):
            return False
        if answer is not None and answer.echoed_timestamp == self.liveness.newest_answered:
            return self.outbox.correct(answer, self._postbag.timestamp, self._now)
        return True

    def _handle_answer(self, answer: Answer, room_latest: int) -> None:
        self.rtt.sample(self._now - answer.echoed_timestamp / 1e6)
        self.streams.note_answer(answer, room_latest)
        self.own_link.server_sent(answer.sent_count + 1)
        self.outbox.note_received(answer.received, self._now)

    # --- acknowledging, asking, repairing ----------------------------------------------------

    def _send_status(self, *, ask: bool = False) -> None:
        log, inbox = self.streams.room, self.streams.inbox
        gap_is_due = self._acknowledging.gap_at <= self._now
        status = Status(
            session_id=self.session_id,
            timestamp=self._next_timestamp(),
            echoed_timestamp=self.liveness.echo(self._now),
            room_ack=log.acknowledged,
            room_gap_end=log.gap_end if gap_is_due else log.acknowledged,
            inbox_ack=inbox.acknowledged,
            inbox_gap_end=inbox.gap_end if gap_is_due else inbox.acknowledged,
            sent_count=self.own_link.count_sent(),
            ask=ask,
        )
        self._postbag.put(status)
        self.liveness.said_at = self._now
        self._acknowledging.acknowledged()

    def _plan_gap_report(self) -> None:
        if self.streams.has_gap:
            self._acknowledging.find_gap(self._now)
        else:
            self._acknowledging.find_no_gap()

    def _on_joined_timers(self) -> None:
        now = self._now
        if self.liveness.is_silent(now):
            self._rejoin(Input.SILENCE, "silence")
            return
        self._send_say(self.outbox.copy(now))
        repeated = self.outbox.retry(now)
        if repeated:
            self.counters["retransmissions"] += 1
            self._send_say(repeated)
            self.liveness.asked_otherwise(now)  # a message is a question, too
        if self._acknowledging.gap_at <= now:
            self.counters["gap reports"] += 1
            self._send_status()
            self._acknowledging.reported(now, joining=self.transcript.held_back is not None)
        if self.liveness.is_ask_due(now):
            self._send_status(ask=True)
            self.liveness.asked(now)
        if self._acknowledging.ack_at <= now:
            self._send_status()

    # --- sending -----------------------------------------------------------------------------

    def _send_say(self, chunks: Iterable[tuple[Message, ...]]) -> None:
        for messages in chunks:
            say = Say(self.session_id, self._next_timestamp(), messages)
            self.own_link.count_sent()
            self._postbag.put(say)

    # --- small things ------------------------------------------------------------------------

    def _next_timestamp(self) -> int:
        return self._postbag.next_timestamp(self._now)

    def _jitter(self) -> float:
        """A factor around 1, so that clients that start together do not stay together."""
        return self._random.uniform(0.9, 1.1)

    def _drop(self, reason: str) -> None:
        self.counters[reason] += 1
