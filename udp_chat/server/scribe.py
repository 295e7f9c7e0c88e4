"""What a message becomes: an event of the room's log, of an inbox, or a notice that says why not.

The floor (floor.py) decides when a member's message is written, the `Scribe` where and as what. It
also answers questions, as inbox events.

It promises: a private message whose echo its sender has got is in its recipient's inbox, and is
read there or its sender is told that it was not.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from udp_chat.protocol.answers import parse_asked
from udp_chat.protocol.lineage import Range
from udp_chat.protocol.names import UnusableName, check_name
from udp_chat.protocol.packets import (
    NAME_BYTES_MAX,
    Event,
    EventKind,
    Message,
    MessageKind,
    RawMessage,
    encode_plain,
)
from udp_chat.server.history import History
from udp_chat.server.member import Inbox, Member
from udp_chat.server.relay import Relay
from udp_chat.server.state import RoomState
from udp_chat.server.survey import Survey


class Scribe:
    """Writes into the room's log and into inboxes. Not thread-safe.

    `is_alive` says whether a member has lately shown that it lives, and asks it if not.
    """

    def __init__(
        self, state: RoomState, relay: Relay, is_alive: Callable[[Member, float], bool]
    ) -> None:
        self.wall_offset_seconds = 0.0
        """Unix time less the time of `now`."""
        self._log = state.log
        self.history = History(state.log, state.settings.history_events)
        self._register = state.register
        self._memory = state.memory
        self._relay = relay
        self._is_alive = is_alive

    # --- messages ----------------------------------------------------------------------------

    def full_inbox(self, member: Member, message: Message) -> Inbox | None:
        """The inbox that a message has to wait for; None if it has to wait for none."""
        kind = message.kind
        if kind is MessageKind.CHAT or kind is MessageKind.ACTION:
            return None
        if not self._has_space(member):
            return member.inbox  # for the echo
        if kind is MessageKind.PRIVATE:
            recipient = self._register.called(message.to)
            if recipient is not None and not self._has_space(recipient):
                return recipient.inbox
        return None

    def write(self, member: Member, message: Message, now: float) -> None:
        """Writes a message of a member into the log that it belongs to."""
        kind = message.kind
        if kind is MessageKind.CHAT:
            self.write_event(EventKind.CHAT, member, now, message.text, message.message_id)
        elif kind is MessageKind.ACTION:
            self.write_event(EventKind.ACTION, member, now, message.text, message.message_id)
        elif kind is MessageKind.PRIVATE:
            self._write_private(member, message, now)
        else:
            assert kind is MessageKind.RENAME, "questions are answered"
            self._rename(member, message, now)

    def write_plain(self, member: Member, messages: Sequence[RawMessage], now: float) -> None:
        """Writes messages of a member, chat or actions, into the room's log."""
        name, time_ms = member.name.encode(), self._unix_ms(now)
        self._log.extend(encode_plain(messages, name, member.number, time_ms), now)

    def write_event(
        self, kind: EventKind, member: Member, now: float, text: str = "", message_id: int = 0
    ) -> int:
        """Writes into the room's log what a member did; returns its sequence number."""
        time_ms = self._unix_ms(now)
        event = Event(kind, time_ms, member.name, "", text, member.number, message_id)
        return self._log.append(event.encode(), now)

    def write_apart(self, event: Event, epoch: int, seq: int, now: float) -> int:
        """Writes into the room's log what was said in another part of it, as event `seq` of the
        term with this epoch."""
        is_chat = event.kind in (EventKind.CHAT, EventKind.CHAT_APART)
        kind = EventKind.CHAT_APART if is_chat else EventKind.ACTION_APART
        apart = replace(event, kind=kind, to=f"{epoch:016x} {seq}")
        return self._log.append(apart.encode(), now)

    def write_lost_apart(self, lost: Range, now: float) -> int:
        """Writes into the room's log what of another part of it nobody could tell."""
        event = Event(EventKind.LOST_APART, self._unix_ms(now), to=lost.format())
        return self._log.append(event.encode(), now)

    def write_successors(self, text: str, now: float) -> None:
        """Writes into the room's log who takes it over."""
        event = Event(EventKind.SUCCESSORS, self._unix_ms(now), text=text)
        self._log.append(event.encode(), now)

    def write_register(self, member: Member, now: float) -> None:
        """Sends a member all that it needs to take the room over."""
        for text in self._survey().register(self._register):
            event = Event(EventKind.REGISTER, self._unix_ms(now), "", "", text, member.number)
            self._write_inbox(member, event.encode(), now)

    def note_offer(self, member: Member, message_id: int, now: float) -> None:
        """Tells a member that what it offers to do for the room has come."""
        time_ms = self._unix_ms(now)
        event = Event(EventKind.REGISTER, time_ms, "", "", "0 0", member.number, message_id)
        self._write_inbox(member, event.encode(), now)

    def give_up(self, member: Member, message: Message, now: float) -> None:
        """Tells a member that a private message was not delivered."""
        self._write_notice(member, "not_delivered", message.to, message.message_id, now)

    def forget_unread(self, member: Member, now: float) -> None:
        """Drops what waits for a member that has gone, and tells the senders."""
        self._tell(member.inbox.senders(), "not_delivered", member, now)
        member.inbox.clear()
        self._register.note_read(member)
        self._memory.recount(member)

    def tell_delayed(self, member: Member, now: float) -> None:
        """Tells them that these wait for its return: once for each, however often it comes and
        goes."""
        inbox = member.inbox
        self._tell(inbox.senders(inbox.told_seq), "not_delivered_yet", member, now)
        inbox.told_seq = inbox.log.latest

    def tell_held_back(self, now: float, *, is_full: bool) -> None:
        """Tells all that nothing is written now, and why."""
        for member in self._register.members.values():
            if is_full:
                self._write_notice(member, "disk_full", "", 0, now)
            else:
                self._write_notice(member, "not_kept", "", 0, now)

    def tell_kept_again(self, now: float) -> None:
        """Tells all that what waits is written now."""
        for member in self._register.members.values():
            self._write_notice(member, "kept_again", "", 0, now)

    def _write_private(self, member: Member, message: Message, now: float) -> None:
        recipient = self._register.called(message.to)
        if recipient is None:
            self._write_notice(member, "no_such_member", message.to, message.message_id, now)
            return
        event = Event(
            EventKind.PRIVATE,
            self._unix_ms(now),
            member.name,
            recipient.name,
            message.text,
            member.number,
            message.message_id,
        ).encode()
        self._write_inbox(member, event, now)
        if recipient is not member:
            self._write_inbox(recipient, event, now, member.client_id)

    def _rename(self, member: Member, message: Message, now: float) -> None:
        name, message_id = message.text, message.message_id
        try:
            check_name(name)
        except UnusableName as error:
            self._write_notice(member, f"unusable_name_{error.rule}", name, message_id, now)
            return
        holder = self._register.holder(name)
        if holder is not None and holder is not member:
            self._is_alive(holder, now)  # so that a second try can succeed
            self._write_notice(member, "name_in_use", name, message_id, now)
            return
        self.write_event(EventKind.RENAME, member, now, name, message_id)
        self._register.rename(member, name)

    # --- questions ---------------------------------------------------------------------------

    def answer(self, questions: Sequence[tuple[Member, Message]], now: float) -> None:
        """Answers questions; what several ask is computed once."""
        survey = self._survey()
        for member, message in questions:
            if message.kind is MessageKind.WHO:
                kind, texts = EventKind.ROSTER, survey.roster
            elif message.kind is MessageKind.SEEN:
                asked = parse_asked(message.text, self._log.latest) or [0]
                kind, texts = EventKind.SEEN, [survey.seen(seq, member) for seq in asked]
            else:
                kind, texts = EventKind.STATS, survey.stats(member)
            for number, text in enumerate(texts, 1):
                echo = message.message_id if number == len(texts) else 0
                event = Event(kind, self._unix_ms(now), "", "", text, member.number, echo)
                self._write_inbox(member, event.encode(), now)

    def write_rosters(self, newcomers: Sequence[Member], now: float) -> None:
        """Sends each newcomer the names of all who are in: the same bytes to each."""
        events = [
            Event(EventKind.ROSTER, self._unix_ms(now), text=text).encode()
            for text in self._survey().roster
        ]
        for member in newcomers:
            member.inbox.log.extend(events, now)
            self._inbox_grew(member, now)

    def _survey(self) -> Survey:
        members = self._register.members.values()
        return Survey(members, self._log.latest, self._relay.broadcast_count)

    # --- inboxes -----------------------------------------------------------------------------

    def _has_space(self, member: Member) -> bool:
        return not member.inbox.is_full and self._memory.allows_unread(member)

    def _write_inbox(self, member: Member, event: bytes, now: float, sender: int = 0) -> None:
        member.inbox.append(event, now, sender)
        self._inbox_grew(member, now)

    def _inbox_grew(self, member: Member, now: float) -> None:
        self._memory.recount(member)
        self._register.note(member)
        self._relay.inbox_grew(member, now)
        self._tell(member.inbox.take_pushed_out(), "not_delivered", member, now)

    def _tell(self, client_ids: Iterable[int], code: str, about: Member, now: float) -> None:
        for client_id in client_ids:
            sender = self._register.present(client_id)
            if sender is not None:
                self._write_notice(sender, code, about.name, 0, now)

    def _write_notice(
        self, member: Member, code: str, about: str, message_id: int, now: float
    ) -> None:
        about = about if len(about.encode()) <= NAME_BYTES_MAX else ""
        time_ms = self._unix_ms(now)
        event = Event(EventKind.NOTICE, time_ms, "", about, code, member.number, message_id)
        self._write_inbox(member, event.encode(), now)

    def _unix_ms(self, now: float) -> int:
        return int((now + self.wall_offset_seconds) * 1000)
