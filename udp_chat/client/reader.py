"""What comes of both logs, and what it means: to the roster, to the outbox, to what is shown.

A WELCOME says where the logs begin. `Reader` finds what they have in common with those before:
nothing, where the server is another one; all, where it is the same; a beginning, where the room has
another host. Then each event goes to the parts that it concerns. Pure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.joining import Joining
from udp_chat.client.liveness import Liveness
from udp_chat.client.outbox import LINES, Outbox
from udp_chat.client.own_link import OwnLink
from udp_chat.client.replica import Replica
from udp_chat.client.roster import Roster
from udp_chat.client.streams import Seam, Streams
from udp_chat.client.transcript import Transcript
from udp_chat.client.whereabouts import Whereabouts
from udp_chat.protocol.delivery import Delivery, Lost
from udp_chat.protocol.lineage import Lineage
from udp_chat.protocol.packets import Event, EventKind, MessageKind, Welcome


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a session that what is received concerns."""

    streams: Streams
    roster: Roster
    transcript: Transcript
    outbox: Outbox
    replica: Replica
    whereabouts: Whereabouts
    joining: Joining
    liveness: Liveness
    own_link: OwnLink
    counters: Counter[str]


class Reader:
    """Takes what comes of both logs to the parts of one session that it concerns."""

    def __init__(self, name: str, parts: Parts) -> None:
        self.name = name
        """What the room calls this client."""
        self.member = 0
        """The number that the room's events have for this client."""
        self.room = ""
        self._parts = parts
        self._named_seq = 0
        """Up to this event of the room's log, the newest WELCOME says the name."""
        self._newest_private: dict[int, int] = {}
        """By member number: the newest private message that came from it."""

    def know_myself(self, welcome: Welcome) -> None:
        """Who this client is in the room."""
        self.name, self.room, self.member = welcome.name, welcome.room, welcome.member
        self._named_seq = welcome.latest

    # --- where the logs begin ----------------------------------------------------------------

    def begin(self, welcome: Welcome, now: float) -> Seam:
        """Begins to receive the logs of this WELCOME, and says what of them nobody can show."""
        parts = self._parts
        streams, transcript, replica = parts.streams, parts.transcript, parts.replica
        was_in = streams.is_begun and transcript.held_back is None
        fork = self._fork(welcome)
        was_until = streams.room.acknowledged if fork is not None else 0
        # A room in which nothing was said may become one with another of the same name.
        was_empty = parts.whereabouts.has_moved and not replica.has_talk
        missed_private = streams.inbox.latest > streams.inbox.acknowledged
        seam = streams.begin(welcome, continues=fork is not None)
        lineage = Lineage.decode(welcome.lineage)
        if fork is not None:
            # Another host, another term: the log up to here is the same.
            replica.continue_in(lineage, fork, now)
            transcript.forget_after(fork)
            parts.roster.restart()
            parts.liveness.forget_clock()
            if fork < was_until:
                transcript.begin_apart(welcome.latest)
            if missed_private:
                transcript.show_unless_joining({"event": "lost", "count": None})
        elif seam.is_other_log:
            self._newest_private.clear()
            replica.begin(welcome.room_id, lineage, welcome.start, now)
        elif seam.is_log_astray:
            replica.begin(welcome.room_id, lineage, streams.room.acknowledged + 1, now)
        if seam.is_other_log:
            # A returning client missed what was said meanwhile: it is history to a newcomer only.
            transcript.begin_log(welcome.joined, was_in=was_in, was_empty=was_empty)
            parts.roster.restart()
            parts.liveness.forget_clock()
        else:
            if seam.is_log_astray:
                parts.roster.restart()
                transcript.keep_what_is_true(streams.room.acknowledged, welcome.latest)
            if seam.is_astray or (seam.is_other_inbox and fork is None):
                transcript.show_unless_joining({"event": "lost", "count": None})
        if seam.is_other_inbox or seam.is_inbox_astray:
            parts.roster.drop_chunks()
        if seam.is_other_inbox:
            # This server does not know us (any more): it counts our messages from the start.
            for message_id in parts.outbox.overtaken():
                self._confirm(message_id, None, now)
        if seam.is_astray:
            parts.counters["astray"] += 1
        return seam

    def _fork(self, welcome: Welcome) -> int | None:
        """The last event that this client and the host of another term have in common; None if
        this is no other term of the same room."""
        log, replica = self._parts.streams.log, self._parts.replica
        if log is None or log.epoch == welcome.epoch or replica.room_id != welcome.room_id:
            return None
        lineage = Lineage.decode(welcome.lineage)
        return replica.lineage.fork(log.acknowledged, lineage, welcome.latest)

    # --- what comes of them ------------------------------------------------------------------

    def deliver(self, deliveries: Iterable[Delivery], now: float) -> None:
        """Takes what came of the room's log."""
        parts, transcript = self._parts, self._parts.transcript
        if transcript.held_back is not None:
            transcript.held_back.extend(deliveries)
            return
        for delivery in deliveries:
            if isinstance(delivery, Lost):
                transcript.show_lost(delivery)
                parts.roster.need(parts.streams.room.acknowledged)
                if not parts.roster.awaited:
                    self.ask_roster()  # who came and went meanwhile?
                # If it is not true, the answer or its lack says so.
                parts.liveness.ask_soon(now)
                continue
            seq, event = delivery
            if event.kind is EventKind.SUCCESSORS:
                parts.whereabouts.take_successors(event.text)
                continue
            parts.roster.follow(seq, event)
            is_mine = event.member == self.member
            if is_mine and event.kind is EventKind.RENAME and seq > self._named_seq:
                self.name = event.text
                parts.joining.renamed(event.text)
            if is_mine and event.message_id:
                self._confirm(event.message_id, seq, now)
            if not parts.whereabouts.handed_on or parts.replica.is_news(seq, event):
                transcript.show_of_room(seq, event, is_mine=is_mine)

    def deliver_inbox(self, deliveries: Iterable[Delivery], now: float) -> None:
        """Takes what came for this member alone."""
        parts = self._parts
        for delivery in deliveries:
            if isinstance(delivery, Lost):
                parts.transcript.show_lost(delivery)
                parts.roster.drop_chunks()
                self.ask_roster()
                continue
            _, event = delivery
            if event.member == self.member and event.message_id:
                is_accepted = event.kind is not EventKind.NOTICE
                self._confirm(event.message_id, None, now, accepted=is_accepted)
            if event.kind is EventKind.ROSTER:
                self._take_roster(event, now)
            elif event.kind is EventKind.REGISTER:
                parts.replica.take_register(event)
            elif event.kind is EventKind.PRIVATE and not self._is_news(event):
                parts.counters["duplicates"] += 1
            elif event.kind is EventKind.STATS:
                links = parts.own_link.take(event.text, parts.counters)
                if links is not None:
                    stats: ChatEvent = {"event": "notice", "reason": "stats", "links": links}
                    parts.transcript.show(stats)
            else:
                parts.transcript.show_of_inbox(event)

    def _is_news(self, event: Event) -> bool:
        """Whether a private message is not one that another host has delivered."""
        newest = self._newest_private.get(event.member, 0)
        if 0 < event.message_id <= newest:
            return False
        self._newest_private[event.member] = event.message_id
        return True

    # --- who is in ---------------------------------------------------------------------------

    def ask_roster(self) -> None:
        """Asks who is in."""
        parts = self._parts
        parts.roster.need(parts.streams.room.acknowledged)  # what was delivered before is in it
        parts.roster.await_one()
        parts.outbox.ask(MessageKind.WHO)

    def _take_roster(self, event: Event, now: float) -> None:
        roster, transcript = self._parts.roster, self._parts.transcript
        is_complete = roster.take(event, self._parts.streams.room.acknowledged)
        if is_complete is False:
            self.ask_roster()
        elif is_complete and transcript.held_back is not None:
            held_back = transcript.release()
            joined: ChatEvent = {"event": "joined", "name": self.name, "room": self.room}
            transcript.show({**joined, "members": roster.sorted_names})
            transcript.show_held_host()
            self.deliver(held_back, now)

    # --- what was said here ------------------------------------------------------------------

    def confirm_what_was_lost(self, now: float) -> None:
        """Ends the wait for messages of ours that are in a part of a log which is lost for us."""
        parts = self._parts
        appended = parts.streams.appended_until()
        pending = parts.outbox.pending
        in_log = [message_id for message_id in pending if message_id <= appended]
        asked = any(pending[i].message.kind is MessageKind.WHO for i in in_log)
        for message_id in in_log:
            self._confirm(message_id, None, now)
        if asked and parts.roster.awaited:
            self.ask_roster()  # the answer is lost with the question

    def _confirm(
        self, message_id: int, seq: int | None, now: float, *, accepted: bool = True
    ) -> None:
        """A message of ours is in a log, at `seq` if it came back in the room's log."""
        message = self._parts.outbox.confirm(message_id, now)
        if message is None:
            return
        if accepted and not message.more and message.kind in LINES:
            self._parts.transcript.show_sent(message, seq)
