"""What a room has in common with its earlier terms, and with its other parts.

A room has one id for its whole life. Each host's time is a term; the lineage tells which part of
the log a returning client has seen. What it was shown in another part of the room is fetched from
it, and written into the log once. The successors are named, so that another term can follow.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence

from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.lineage import Lineage, Range
from udp_chat.protocol.packets import (
    OFFER_HOSTS,
    Address,
    Join,
    Message,
    MessageKind,
    Offer,
    Told,
)
from udp_chat.server.apart import SAID, SAID_APART, SaidHere
from udp_chat.server.fetching import EVENTS_MAX, Fetching, taken_apart
from udp_chat.server.kept import Kept, client_tag
from udp_chat.server.member import Member
from udp_chat.server.presence import Presence
from udp_chat.server.relay import Relay
from udp_chat.server.scribe import Scribe
from udp_chat.server.state import RoomState
from udp_chat.server.succession import HostedBy, Succession

TALK = (*SAID, *SAID_APART)
"""What people have said."""


class Continuity:
    """A room's place among the terms and parts of its life."""

    def __init__(
        self,
        state: RoomState,
        scribe: Scribe,
        relay: Relay,
        presence: Presence,
        randomness: random.Random,
    ) -> None:
        self._log = log = state.log
        self._register = state.register
        self._handed_on = state.settings.handed_on
        self._scribe = scribe
        self._relay = relay
        self._presence = presence
        self._random = randomness
        self.room_id = log.epoch
        """The same for the room's whole life, whoever hosts it."""
        self.lineage = Lineage(((log.epoch, 1),))
        self.hosted_by = HostedBy()
        """Who hosts the room, as its members are told."""
        self.succession = Succession(state, scribe, relay, self.hosted_by, randomness)
        self._branches = Fetching()
        """What was said in other parts of the room, and is not in the log yet."""
        self._said_here = SaidHere(log)
        self._talk_looked_at = 0
        self._has_talk = False

    def begin_from(self, kept: Kept) -> None:
        """The room begins as it was `kept`, with the members of its register."""
        self.room_id = kept.room_id or kept.epoch
        self.lineage = kept.lineage if kept.lineage.terms else Lineage(((kept.epoch, 1),))
        self._branches = Fetching(taken_apart(kept.events))
        for member in self._register.by_number.values():
            self.note_said_apart(member)

    def resume_from(self, continuity: Continuity, now: float) -> None:
        """The same members stand by, and the same one hosts the room: they do not say so again."""
        self.hosted_by.number = continuity.hosted_by.number
        self.succession.resume_from(continuity.succession, now)

    @property
    def has_talk(self) -> bool:
        """Whether anything has been said in the room, as far as its log goes."""
        count = self._log.latest - self._talk_looked_at
        if not self._has_talk and count > 0:
            self._has_talk = any(event[0] in TALK for event in self._log.newest(count))
            self._talk_looked_at = self._log.latest
        return self._has_talk

    def has_all(self, number: int) -> bool:
        """Whether the member with this number has the whole log, and no inbox has anything that
        its member can still read."""
        member = self._register.by_number.get(number)
        present = self._register.members.values()
        return (
            member is not None
            and member.position.acked == self._log.latest
            and not any(m.inbox.behind for m in present if not m.is_away)
        )

    def tag_of(self, client_id: int) -> bytes:
        """What stands for a client id in this room's log."""
        return client_tag(client_id, self.room_id)

    # --- those who come back -----------------------------------------------------------------

    def until(self, join: Join) -> int | None:
        """The last event of this log that a returning client has; None if it has nothing of it."""
        if join.epoch == self._log.epoch:
            return join.room_ack if join.room_ack <= self._log.latest else None
        if not join.epoch or join.room_id != self.room_id:
            return None
        return self.lineage.fork(self._log.latest, Lineage.decode(join.lineage), join.room_ack)

    def take(
        self, questions: Sequence[tuple[Member, Message]], now: float
    ) -> list[tuple[Member, Message]]:
        """Takes what members say about their machines and about other parts of the room; returns
        the other questions."""
        others = []
        for member, message in self.succession.take(questions, now):
            if message.kind is MessageKind.APART:
                self._scribe.note_offer(member, message.message_id, now)
                self._note_apart(member, message.text, now)
            else:
                others.append((member, message))
        return others

    def _note_apart(self, member: Member, text: str, now: float) -> None:
        """Notes what a member has that was said in other parts of the room. A room that is never
        handed on has no other part, whatever a client claims."""
        for line in text.splitlines() if self._handed_on else ():
            has = Range.parse(line)
            if has is None:
                continue
            first = max(has.first, has.last - EVENTS_MAX + 1)
            common = self.lineage.last_of(has.epoch, self._log.latest)
            if common is not None:
                first = max(first, common + 1)
            if first <= has.last:
                has = Range(has.epoch, first, has.last)
                self._branches.note_range(member.client_id, member.address, has, now)

    def number_for(self, join: Join) -> tuple[int, int]:
        """The member number of a client that is neither in nor departed, and the newest of its
        messages that was appended. A number says who somebody is in all parts of a room: so a
        room that is handed on draws it by chance, and a client keeps the one it has."""
        draw = None
        if self._handed_on:
            was = (join.member,) if join.room_id == self.room_id else ()
            draw = itertools.chain(was, iter(self._new_number, 0)).__next__
        return self._register.new_number(join.client_id, join.next_message_id, draw)

    def note_said_apart(self, member: Member) -> None:
        """Notes which messages of a member that has not said them here yet are in this log, said
        apart."""
        if self._handed_on:
            member.said_apart = self._said_here.after(member.number, member.appended)

    def receive_told(self, told: Told, address: Address, now: float) -> None:
        """Takes what was said in another part of the room, each message once."""
        if self._presence.is_held_back:
            return  # it is asked for again
        following = self._branches.come_until(told.epoch) + 1
        news = self._branches.take(told, address, now)
        if news and news[0][0] > following:
            lost = Range(told.epoch, following, news[0][0] - 1)
            self._scribe.write_lost_apart(lost, now)
        for seq, event in news:
            # What that part had from a third one is told on: nobody else may know it any more.
            if event.kind not in (*SAID, *SAID_APART) or self._said_here.has(event):
                continue
            sender = self._register.by_number.get(event.member)
            if sender is not None:
                sender.note_said_apart(event.message_id)
            self._scribe.write_apart(event, told.epoch, seq, now)

    def receive_offer(self, offer: Offer, address: Address, now: float) -> None:
        """Takes the answer of a member that stands by. Where a member has claimed the port of
        somebody who hosts a room, or is in another one, that one answers: it takes nothing over."""
        if offer.room_id == self.room_id and not offer.flags & OFFER_HOSTS:
            self.succession.receive_offer(offer, address, now)

    def forget(self, member: Member) -> None:
        """A member has gone: it is asked nothing any more, and takes nothing over."""
        self.succession.forget(member)
        self._branches.forget(member.client_id)

    def _new_number(self) -> int:
        return self._random.getrandbits(32)

    # --- timers ------------------------------------------------------------------------------

    def next_timeout(self) -> float:
        """When `handle_timeout` is next needed: not while nothing may be written."""
        if self._presence.is_held_back:
            return NEVER
        return min(self.succession.next_timeout(), self._branches.next_timeout())

    def handle_timeout(self, now: float) -> None:
        """Asks those who can host, and those who have what is missing."""
        if self._presence.is_held_back:
            return
        self.succession.handle_timeout(now)
        for datagram, address in self._branches.datagrams_to_send(now):
            self._relay.send(datagram, address)
