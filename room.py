"""The room as a pure state machine: what a server does, without any input or output.

`ChatRoom` is given datagrams, their addresses and the time, and hands out datagrams and where
they go; it never touches a socket, a thread, a clock or a random source.

Its truth is one `EventLog`. The dict of members is entered by a JOIN that brings back the cookie
sent to its address, and by nothing else. What it appends goes out by its `Relay` (relay.py), to
all members in as few datagrams as hold it, and again to those who do not acknowledge it.

It promises: a message it accepted gets one place in the one order, and every member gets it from
there or is told of the gap. It does not promise that the log outlives the process.
"""

from __future__ import annotations

import logging
import math
import random
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass

from answers import parse_asked, roster_texts, seen_text, stats_texts
from cookies import Cookies
from delivery import EventLog, TokenBucket
from member import Member, MemberTimers, Place, Traffic
from names import UnusableName, check_name, name_key
from protocol import (
    IN_FLIGHT_MAX,
    NAME_BYTES_MAX,
    NO_COOKIE,
    RUN_MAX,
    Address,
    Bye,
    ByeReason,
    Challenge,
    Event,
    EventKind,
    Join,
    Leave,
    MalformedDatagram,
    Message,
    MessageKind,
    PacketType,
    Refused,
    RefusedReason,
    Say,
    Status,
    UnsupportedVersion,
    Welcome,
    decode,
    encode_event,
    sender_and_timestamp,
)
from relay import Outgoing, Relay

logger = logging.getLogger("udp_chat.server")

SILENCE_GRID_SECONDS = 0.25
"""Who has been silent for too long is looked for at multiples of this: else an idle room would
wake up for each member apart."""

PROBE_SECONDS = 2.0
"""How long the holder of a wanted name has to show that it lives. With a probe each
PROBE_INTERVAL_SECONDS and 30 % loss each way, a living one fails once in a thousand times."""

PROBE_INTERVAL_SECONDS = 0.2

PROBE_VALID_SECONDS = 5.0
"""So long a sign of life answers further JOINs that want the same name."""

STALL_SECONDS = 1.0
"""A timer this late says that this process slept. The members' silence is then not theirs."""

REMEMBERED_MAX = 20_000
"""Clients whose newest message is remembered after they left: some 4 MB, and more departures
than an evening has. One that returns after them could have a line appended a second time."""

HELD_MAX = IN_FLIGHT_MAX
"""Messages of one member waiting for its rate or for the rest of a long line."""


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What may be chosen about a room. Durations in seconds."""

    room: str = "chat"
    members_max: int = 1000
    heartbeat_seconds: float = 5.0
    """Told to the clients. Shorter finds dead peers sooner and costs idle traffic."""
    timeout_seconds: float = 15.0
    """Silence after which a member is dropped: three heartbeats, so that two may be lost."""
    message_rate: float = 500.0
    """Messages a second of one member in the long run, 0 for any number. A person types one;
    the rest is for pasted text and pipes, and keeps one flood from filling the room."""
    message_burst: float = 1000.0
    log_entries_max: int = 10_000
    log_bytes_max: int = 4 * 1024 * 1024
    """What the room remembers for repairs, for those who come back and for those who come late."""
    history_events: int = 50
    """Of these, what a newcomer is shown."""

    def __post_init__(self) -> None:
        if self.message_rate > 0 and self.message_burst < RUN_MAX:
            raise ValueError(f"message_burst below {RUN_MAX}: a long line could never be said")


class ChatRoom:
    """The room as a pure state machine.

    Feed it `receive_datagram` and `handle_timeout` (`now` in seconds of one monotonic clock),
    then send what `datagrams_to_send` hands out. Not thread-safe. `randomness` gives the
    epoch, the session ids and the cookie key; `wall_offset_seconds` plus `now` is Unix time.
    """

    def __init__(
        self,
        settings: RoomSettings,
        randomness: random.Random,
        now: float,
        wall_offset_seconds: float = 0.0,
    ) -> None:
        self.settings = settings
        self.wall_offset_seconds = wall_offset_seconds
        self.counters: Counter[str] = Counter()
        """What was dropped and why, what was repaired, what was refused."""
        self._random = randomness
        self._cookies = Cookies(randomness.getrandbits(256).to_bytes(32, "big"))
        self.log = EventLog(self._new_id(), settings.log_entries_max, settings.log_bytes_max)
        self.members: dict[int, Member] = {}
        """By session id: those who are in."""
        self._by_client: dict[int, Member] = {}
        self._by_name: dict[str, Member] = {}
        self._departed: OrderedDict[int, Member] = OrderedDict()
        """By client id: those who were in, so that their private messages wait for them. As many
        as there may be members; of the oldest only the following is kept."""
        self._remembered: OrderedDict[int, tuple[int, int]] = OrderedDict()
        """By client id: member number and newest message, so that each is appended once."""
        self._number = 0
        self._now = now
        self._timers = MemberTimers(self.members)
        self._relay = Relay(self.log, self.members, self._timers, self.counters)
        self._closed = False

    # --- what the shell calls ----------------------------------------------------------------

    def receive_datagram(self, datagram: bytes, address: Address, now: float) -> None:
        """Takes in one datagram. Whatever it holds, nothing is raised."""
        self._now = now
        if self._closed:
            return
        try:
            packet = decode(datagram)
        except UnsupportedVersion:
            self._drop("unsupported version", address)
            self._refuse_version(datagram, address)
            return
        except MalformedDatagram as error:
            self._drop(error.reason, address)
            return
        logger.debug("< %s %s", address, type(packet).__name__)
        if isinstance(packet, Join):
            self._handle_join(packet, address, len(datagram), now)
        elif isinstance(packet, Say | Status | Leave):
            member = self.members.get(packet.session_id)
            if member is None:
                self._drop("unknown session", address)
                bye = Bye(packet.session_id, ByeReason.UNKNOWN_SESSION)
                self._reply(bye.encode(), address, len(datagram))
            elif member.address != address:
                # The session id is right, the address is not: its owner may have moved, or
                # somebody repeats what they overheard. Only the cookie tells.
                self._drop("unproven address", address)
                cookie = self._cookies.make(address, member.client_id, now)
                challenge = Challenge(packet.session_id, cookie)
                self._reply(challenge.encode(), address, len(datagram))
            else:
                newest = packet.timestamp > member.newest_timestamp
                member.traffic.count(len(datagram), packet.timestamp, newest)
                self._handle_of_member(packet, member, now)
        else:
            self._drop("unexpected packet", address)

    def _handle_of_member(self, packet: Say | Status | Leave, member: Member, now: float) -> None:
        if isinstance(packet, Status):
            self._handle_status(packet, member, now)
        elif isinstance(packet, Say):
            self._handle_say(packet, member, now)
        else:
            self._remove(member, "left")
            bye = Bye(packet.session_id, ByeReason.LEFT).encode()
            self._relay.send(bye, member.address)

    def handle_timeout(self, now: float) -> None:
        """Does what is due. To be called at `next_timeout()`, and harmless at any time."""
        self._now = now
        due_at = self.next_timeout()
        if due_at is None or due_at > now:
            return
        if now - due_at > STALL_SECONDS:
            self._forgive_stall(now - due_at)
        self._relay.handle_timeout(now)
        for member in self._timers.take_due(now):
            self._on_member_timer(member, now)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is next needed, on the clock of `now`; None if never."""
        at = min(self._relay.next_timeout(), self._timers.next_at())
        return None if at == float("inf") else at

    def datagrams_to_send(self) -> list[Outgoing]:
        """What has to go out now, each datagram with all its addresses."""
        return self._relay.datagrams_to_send(self._now)

    def close(self, now: float) -> None:
        """Says BYE to everyone; the room takes nothing in after that."""
        self._now = now
        self._closed = True
        for member in self.members.values():
            bye = Bye(member.session_id, ByeReason.SHUTTING_DOWN).encode()
            self._relay.send(bye, member.address)
        self.members.clear()

    # --- registration ------------------------------------------------------------------------

    def _handle_join(self, join: Join, address: Address, size: int, now: float) -> None:
        if not self._cookies.is_good(join.cookie, address, join.client_id, now):
            # No state is kept for an address before it has echoed its cookie.
            if join.cookie != NO_COOKIE:
                self._drop("bad cookie", address)
            cookie = self._cookies.make(address, join.client_id, now)
            self._reply(Challenge(join.client_id, cookie).encode(), address, size)
            return
        member = self._by_client.get(join.client_id)
        if member is not None:
            self._rejoin(member, join, address, now)
            return
        try:
            check_name(join.name)
        except UnusableName as error:
            self._refuse(join, address, RefusedReason.UNUSABLE_NAME, str(error))
            return
        holder = self._by_name.get(name_key(join.name))
        if holder is not None:
            if self._is_alive(holder, now):
                text = f"the name {join.name} is in use"
                self._refuse(join, address, RefusedReason.NAME_IN_USE, text)
            return  # else it is being asked; the client repeats its JOIN and learns the outcome
        if len(self.members) >= self.settings.members_max:
            text = f"the room is full ({self.settings.members_max} members)"
            self._refuse(join, address, RefusedReason.ROOM_FULL, text)
            return
        self._enter(join, address, now)

    def _rejoin(self, member: Member, join: Join, address: Address, now: float) -> None:
        """A JOIN of someone who is in: a repeated one, or its owner at a new address."""
        if not member.hear(join.timestamp, now):
            # Only newer datagrams move an address: else a replayed JOIN would take it back.
            self._drop("stale", address)
            return
        if member.address != address:
            logger.info("%s moved to %s", member.name, format_address(address))
            self.counters["moved"] += 1
            member.address = address
            self._relay.addresses_changed()
        if join.epoch == self.log.epoch:
            if join.room_ack <= self.log.latest:  # else it was led astray, and learns that now
                member.room.acknowledge(join.room_ack)
            if join.inbox_epoch == member.inbox.log.epoch:
                self._acknowledge_inbox(member, join.inbox_ack)
        self._welcome(member, join)

    def _enter(self, join: Join, address: Address, now: float) -> None:
        settings = self.settings
        member = self._departed.get(join.client_id)
        if member is not None and join.timestamp <= member.newest_timestamp:
            self._drop("stale", address)  # a replayed JOIN does not bring back who has left
            return
        self._departed.pop(join.client_id, None)
        if member is None:
            self._number += 1
            unknown = self._number, max(0, join.next_message_id - 1)
            number, appended = self._remembered.pop(join.client_id, unknown)
            member = Member(join.client_id, number, self.log, self._new_id(), now)
            member.received = member.appended = appended
        member.bucket = TokenBucket(settings.message_rate, settings.message_burst, now)
        member.session_id = self._new_id()
        member.traffic = Traffic(self._relay.broadcast_count)
        member.name = join.name
        member.address = address
        member.newest_timestamp = join.timestamp
        member.heard_at = now
        member.joined_seq = self._append_room(EventKind.JOIN, member)
        member.first_seq = max(self.log.oldest, member.joined_seq - settings.history_events)
        if join.epoch == self.log.epoch and join.room_ack < member.joined_seq:
            member.first_seq = join.room_ack + 1
        elif join.epoch:
            # It was in when this log did not exist yet, or was led astray: all of it is news.
            member.first_seq = self.log.oldest
        member.room = Place(self.log, member.first_seq - 1)
        if join.inbox_epoch == member.inbox.log.epoch:
            self._acknowledge_inbox(member, join.inbox_ack)
        self.members[member.session_id] = member
        self._by_client[member.client_id] = member
        self._by_name[name_key(member.name)] = member
        self._relay.addresses_changed()
        logger.info("%s joined from %s", member.name, format_address(address))
        self._append_roster(member, message_id=0)
        self._welcome(member, join)

    def _welcome(self, member: Member, join: Join) -> None:
        resumes = join.epoch == self.log.epoch
        welcome = Welcome(
            client_id=member.client_id,
            echo=join.timestamp,
            session_id=member.session_id,
            epoch=self.log.epoch,
            inbox_epoch=member.inbox.log.epoch,
            oldest=self.log.oldest,
            latest=self.log.latest,
            start=member.room.acked + 1 if resumes else member.first_seq,
            joined=member.joined_seq,
            inbox_start=member.inbox.acked + 1,
            received=member.received,
            member=member.number,
            heartbeat_ms=int(self.settings.heartbeat_seconds * 1000),
            ack_delay_ms=self._relay.ack_delay_ms(),
            name=member.name,
            room=self.settings.room,
        )
        self._relay.send(welcome.encode(), member.address)
        self._relay.catch_up(member, self._now)
        self._timers.schedule(member, self._now + member.rtt.rto)

    def _refuse(self, join: Join, address: Address, reason: RefusedReason, text: str) -> None:
        """Refuses a JOIN whose cookie was good: the address is proven."""
        self.counters[f"refused: {reason.name.lower()}"] += 1
        logger.info("refused %s: %s", format_address(address), text)
        refused = Refused(join.client_id, join.timestamp, reason, text)
        self._relay.send(refused.encode(), address)

    def _refuse_version(self, datagram: bytes, address: Address) -> None:
        prefix = sender_and_timestamp(datagram)
        if prefix is not None and datagram[3] == PacketType.JOIN:
            refused = Refused(*prefix, RefusedReason.VERSION, "")
            self._reply(refused.encode(), address, len(datagram))

    def _is_alive(self, holder: Member, now: float) -> bool:
        """Whether the holder of a wanted name has just shown that it lives; if not, asks it."""
        if now - holder.probe_started_at > PROBE_VALID_SECONDS:
            holder.probe_started_at = holder.probe_at = now
            self.counters["probed"] += 1
            self._on_probe_timer(holder, now)
            self._timers.schedule(holder, holder.probe_at)
            return False
        return holder.heard_at > holder.probe_started_at

    def _on_probe_timer(self, member: Member, now: float) -> bool:
        """Asks once more, or gives up; false if the member is gone."""
        if member.heard_at > member.probe_started_at:
            member.probe_at = float("inf")
        elif now - member.probe_started_at >= PROBE_SECONDS:
            self._remove(member, "timeout")
            return False
        else:
            member.probe_at = now + PROBE_INTERVAL_SECONDS
            self._relay.probe(member, now)
        return True

    def _remove(self, member: Member, reason: str) -> None:
        logger.info("%s %s", member.name, "left" if reason == "left" else "timed out")
        del self.members[member.session_id]
        del self._by_client[member.client_id]
        del self._by_name[name_key(member.name)]
        self._relay.addresses_changed()
        self._append_room(EventKind.LEAVE, member, text=reason)
        member.drop_held()
        member.wake_at = member.probe_at = float("inf")
        member.probe_started_at = float("-inf")
        if reason == "timeout":
            bye = Bye(member.session_id, ByeReason.TIMEOUT).encode()
            self._relay.send(bye, member.address)
        self._departed[member.client_id] = member
        while len(self._departed) > self.settings.members_max:
            client_id, forgotten = self._departed.popitem(last=False)
            self._remembered[client_id] = forgotten.number, forgotten.appended
            if len(self._remembered) > REMEMBERED_MAX:
                self._remembered.popitem(last=False)

    # --- messages ----------------------------------------------------------------------------

    def _handle_say(self, say: Say, member: Member, now: float) -> None:
        # A late or replayed SAY is no sign of life, but its messages count: each is taken once.
        member.hear(say.timestamp, now)
        held, received = member.held, member.received
        for message in say.messages:
            if message.message_id == received + 1 and len(held) < HELD_MAX:
                received += 1
                held.append(message)
        taken = received > member.received
        member.received = received
        if taken:
            self._release(member, now)
        if held or (not taken and now - member.said_at > member.rtt.rto):
            # There is no echo to come soon: say at least what has arrived.
            self._relay.answer(member, say.timestamp)

    def _release(self, member: Member, now: float) -> None:
        """Appends the complete lines that the member's rate allows."""
        held = member.held
        while held:
            run = 1
            if held[0].more:
                ends = (n for n, message in enumerate(held, 1) if not message.more or n == RUN_MAX)
                run = next(ends, 0)
                if run == 0:
                    return
            if not member.bucket.take(run, now):
                self.counters["held back"] += 1
                self._timers.schedule(member, member.bucket.ready_at(run))
                return
            for _ in range(run):
                self._append_message(member, held.popleft())
            member.said_at = now

    def _append_message(self, member: Member, message: Message) -> None:
        member.appended = message_id = message.message_id
        kind = message.kind
        if kind is MessageKind.CHAT:
            self._append_room(EventKind.CHAT, member, message.text, message_id)
        elif kind is MessageKind.ACTION:
            self._append_room(EventKind.ACTION, member, message.text, message_id)
        elif kind is MessageKind.PRIVATE:
            self._append_private(member, message)
        elif kind is MessageKind.RENAME:
            self._rename(member, message)
        elif kind is MessageKind.WHO:
            self._append_roster(member, message_id)
        elif kind is MessageKind.SEEN:
            self._append_seen(member, message)
        else:
            self._append_stats(member, message_id)

    def _append_private(self, member: Member, message: Message) -> None:
        recipient = self._by_name.get(name_key(message.to))
        if recipient is None:
            self._append_notice(member, "no_such_member", message.to, message.message_id)
            return
        event = Event(
            EventKind.PRIVATE,
            self._unix_ms(),
            member.name,
            recipient.name,
            message.text,
            member.number,
            message.message_id,
        ).encode()
        self._append_inbox(member, event)
        if recipient is not member:
            self._append_inbox(recipient, event)

    def _rename(self, member: Member, message: Message) -> None:
        name = message.text
        try:
            check_name(name)
        except UnusableName as error:
            self._append_notice(member, f"unusable_name_{error.rule}", name, message.message_id)
            return
        holder = self._by_name.get(name_key(name))
        if holder is not None and holder is not member:
            self._is_alive(holder, self._now)  # so that a second try can succeed
            self._append_notice(member, "name_in_use", name, message.message_id)
            return
        self._append_room(EventKind.RENAME, member, name, message.message_id)
        del self._by_name[name_key(member.name)]
        self._by_name[name_key(name)] = member
        member.name = name

    def _append_room(
        self, kind: EventKind, member: Member, text: str = "", message_id: int = 0
    ) -> int:
        event = encode_event(
            kind, self._unix_ms(), member.name, "", text, member.number, message_id
        )
        return self.log.append(event, self._now)

    def _append_inbox(self, member: Member, encoded: bytes) -> None:
        seq = member.inbox.log.append(encoded, self._now)
        self._relay.inbox_grew(member, seq, self._now)

    def _append_notice(self, member: Member, code: str, about: str, message_id: int) -> None:
        about = about if len(about.encode()) <= NAME_BYTES_MAX else ""
        event = Event(EventKind.NOTICE, self._unix_ms(), "", about, code, member.number, message_id)
        self._append_inbox(member, event.encode())

    def _append_answer(
        self, kind: EventKind, member: Member, texts: Sequence[str], message_id: int
    ) -> None:
        """Puts an answer into a member's inbox; its last event is the question's echo."""
        for number, text in enumerate(texts, 1):
            echo = message_id if number == len(texts) else 0
            event = Event(kind, self._unix_ms(), "", "", text, member.number, echo)
            self._append_inbox(member, event.encode())

    def _append_roster(self, member: Member, message_id: int) -> None:
        names = (other.name for other in self.members.values())
        texts = roster_texts(names, self.log.latest)
        self._append_answer(EventKind.ROSTER, member, texts, message_id)

    def _append_seen(self, member: Member, message: Message) -> None:
        asked = parse_asked(message.text, self.log.latest) or [0]
        texts = [seen_text(seq, member, self.members.values()) for seq in asked]
        self._append_answer(EventKind.SEEN, member, texts, message.message_id)

    def _append_stats(self, member: Member, message_id: int) -> None:
        texts = stats_texts(member, self.members.values(), self._relay.broadcast_count)
        self._append_answer(EventKind.STATS, member, texts, message_id)

    # --- acknowledgements -------------------------------------------------------------------

    def _handle_status(self, status: Status, member: Member, now: float) -> None:
        if status.room_ack > self.log.latest or status.inbox_ack > member.inbox.log.latest:
            self._drop("impossible acknowledgement", member.address)
            return
        if not member.hear(status.timestamp, now):
            self._drop("stale", member.address)
            return
        member.traffic.client_sent = status.sent_count
        if status.echo:
            member.rtt.sample(now - status.echo / 1e6)
        if member.room.acknowledge(status.room_ack):
            member.loss.update(False)
        self._acknowledge_inbox(member, status.inbox_ack)
        if status.room_gap_end > member.room.acked:
            self._relay.repair_gap(member, member.room, status.room_gap_end, now)
        if status.inbox_gap_end > member.inbox.acked:
            self._relay.repair_gap(member, member.inbox, status.inbox_gap_end, now)
        if status.ask:
            self._relay.answer(member, status.timestamp)

    def _acknowledge_inbox(self, member: Member, ack: int) -> None:
        # An inbox has one reader: what that one has, nobody will ask for.
        if ack <= member.inbox.log.latest and member.inbox.acknowledge(ack):
            member.inbox.log.forget(member.inbox.acked)

    # --- timers ------------------------------------------------------------------------------

    def _on_member_timer(self, member: Member, now: float) -> None:
        silent_at = member.heard_at + self.settings.timeout_seconds
        if silent_at <= now:
            self._remove(member, "timeout")
            return
        if member.probe_at <= now and not self._on_probe_timer(member, now):
            return
        if member.held:
            self._release(member, now)
        self._relay.repair_tails(member, now)
        self._timers.schedule(
            member,
            min(
                math.ceil(silent_at / SILENCE_GRID_SECONDS) * SILENCE_GRID_SECONDS,
                member.probe_at,
                self._relay.repair_due(member),
            ),
        )

    def _forgive_stall(self, seconds: float) -> None:
        """This process slept: nobody could be heard meanwhile, so nobody was silent."""
        logger.info("this process stalled for %.1f s; deadlines moved", seconds)
        self.counters["stalls"] += 1
        for member in self.members.values():
            member.heard_at = min(member.heard_at + seconds, self._now)
            if member.probe_at != float("inf"):
                member.probe_started_at = min(member.probe_started_at + seconds, self._now)

    # --- small things ------------------------------------------------------------------------

    def _reply(self, datagram: bytes, address: Address, trigger_bytes: int) -> None:
        """Answers an address that has proven nothing: never with more than it sent."""
        if len(datagram) <= trigger_bytes:
            self._relay.send(datagram, address)

    def _drop(self, reason: str, address: Address) -> None:
        self.counters[reason] += 1
        logger.debug("dropped a datagram from %s: %s", address, reason)

    def _new_id(self) -> int:
        """64 random bits, never 0: ids that nobody can guess."""
        return self._random.getrandbits(64) or 1

    def _unix_ms(self) -> int:
        return int((self._now + self.wall_offset_seconds) * 1000)


def format_address(address: Address) -> str:
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
