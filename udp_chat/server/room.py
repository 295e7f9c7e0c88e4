"""The room as a pure state machine: what a server does, without any input or output.

`ChatRoom` is given datagrams, their addresses and the time, and hands out datagrams and where
they go; it never touches a socket, a thread, a clock or a random source.

Its truth is one `EventLog`. The dict of members (register.py) is entered by a JOIN that brings
back the cookie sent to its address, and by nothing else. What members say passes the `Floor`
(floor.py), which decides when it is anybody's turn, and the `Scribe` (scribe.py), which writes it
into a log. What is written goes out by the `Relay` (relay.py), to all members in as few datagrams
as hold it, and again to those who do not acknowledge it. `Presence` (presence.py) says who is still
there. `Continuity` (continuity.py) is what the room has in common with its other terms and parts.

It promises: a message it accepted gets one place in the one order, and every member gets it from
there or is told of the gap. It does not promise that the log outlives the process.
"""

from __future__ import annotations

import itertools
import logging
import random
from collections import Counter
from collections.abc import Callable

from udp_chat.protocol.addresses import format_address
from udp_chat.protocol.delivery import NEVER, EventLog, TokenBucket
from udp_chat.protocol.lineage import Lineage
from udp_chat.protocol.names import UnusableName, check_name
from udp_chat.protocol.packets import (
    FROM_SESSIONS,
    NO_COOKIE,
    Address,
    Bye,
    ByeReason,
    Challenge,
    EventKind,
    Join,
    MalformedDatagram,
    Offer,
    PacketType,
    Refused,
    RefusedReason,
    Status,
    Told,
    UnsupportedVersion,
    Welcome,
    check_header,
    decode_body,
    read_new_messages,
    sender_and_timestamp,
)
from udp_chat.server.continuity import Continuity
from udp_chat.server.cookies import Cookies
from udp_chat.server.floor import HELD_MAX, NEXT_WAKE_UP_SECONDS, Floor
from udp_chat.server.hosts import Host, Hosts
from udp_chat.server.kept import Kept, Notebook, begin_from
from udp_chat.server.member import Member, MemberIds, MemberTimers, Position, Traffic
from udp_chat.server.memory import Memory
from udp_chat.server.presence import Presence
from udp_chat.server.register import Register
from udp_chat.server.relay import Outgoing, Relay
from udp_chat.server.scribe import Scribe
from udp_chat.server.settings import RoomSettings
from udp_chat.server.state import RoomState

__all__ = ["ChatRoom", "RoomSettings"]

logger = logging.getLogger("udp_chat.server")

JOINS_PER_SECOND = 100.0
JOIN_BURST = 1000.0
"""Of all addresses together. At once it is as many as the room holds, if that is more."""

HELD_TEXT = "the server cannot write its file: try again later"

BUSY_TEXT = "too many are joining at this moment: try again"

ROSTERS_MAX = 16
"""Newcomers who are sent the names of all in one wake-up."""


class ChatRoom:
    """The room as a pure state machine.

    Feed it `receive_datagram` and `handle_timeout` (`now` in seconds of one monotonic clock),
    then send what `datagrams_to_send` hands out. Not thread-safe. `randomness` gives the
    epoch, the session ids and the cookie key; `wall_offset_seconds` plus `now` is Unix time.
    `make_log` makes the room's log, of an epoch, a number of entries and one of bytes.
    """

    def __init__(
        self,
        settings: RoomSettings,
        randomness: random.Random,
        now: float,
        wall_offset_seconds: float = 0.0,
        make_log: Callable[[int, int, int], EventLog] = EventLog,
    ) -> None:
        self.settings = settings
        self.counters: Counter[str] = Counter()
        """What was dropped and why, what was repaired, what was refused."""
        self._random = randomness
        self._cookies = Cookies(randomness.getrandbits(256).to_bytes(32, "big"))
        self.log = make_log(self._new_id(), settings.log_entries_max, settings.log_bytes_max)
        self.register = Register(settings.members_max)
        self.members = self.register.members
        """By session id: those who are in."""
        self.hosts = Hosts(settings)
        self.memory = Memory(settings)
        self._timers = MemberTimers(self.members)
        joins = JOINS_PER_SECOND if settings.message_rate > 0 else 0.0
        self._joins = TokenBucket(joins, max(JOIN_BURST, settings.members_max), now)
        self._newcomers: dict[int, Member] = {}
        """By session id: members that still wait for the names of all."""
        self._rosters_at = now
        self._holding: dict[int, int] = {}
        """By session id: the timestamp of a SAY in this wake-up, of which something is held."""
        self._now = now
        self.notebook: Notebook | None = None
        """What is to be kept before `datagrams_to_send` goes out; None if nothing is."""
        state = self._state = RoomState(
            settings, self.log, self.register, self.memory, self._timers, self.counters
        )
        self._relay = Relay(state)
        self._presence = Presence(state, self._relay)
        self._scribe = Scribe(state, self._relay, self._presence.is_alive)
        self._continuity = Continuity(state, self._scribe, self._relay, self._presence, randomness)
        self.succession = self._continuity.succession
        self.hosted_by = self._continuity.hosted_by
        """Who hosts the room, as its members are told."""
        self.register.begin_from(0, self._continuity.tag_of)
        self._is_paused = False
        self._floor = Floor(state, self._scribe, self._must_wait, now)
        self.wall_offset_seconds = wall_offset_seconds
        self._closed = False

    @property
    def wall_offset_seconds(self) -> float:
        """Unix time less the time of `now`."""
        return self._scribe.wall_offset_seconds

    @wall_offset_seconds.setter
    def wall_offset_seconds(self, seconds: float) -> None:
        self._scribe.wall_offset_seconds = seconds

    # --- what the shell calls ----------------------------------------------------------------

    def keep(self, kept: Kept | None) -> None:
        """From now on `notebook` has what is to be kept. The room begins as it was `kept`, if it
        was. To be called before anything else."""
        if kept is not None:
            self.continue_from(kept)
        self.notebook = Notebook(self._state)

    def continue_from(self, kept: Kept) -> None:
        """The room begins as it was `kept`. To be called before anything else."""
        for member in begin_from(kept, self._state, self._now):
            member.session_id = self._new_id()
            self.members[member.session_id] = member
            self._timers.schedule(member, self._now + self.settings.timeout_seconds)
        for forgotten in self.register.departed_too_many():
            self._scribe.forget_unread(forgotten, self._now)
        self._relay.log_begun()
        self._continuity.begin_from(kept)

    def resume_from(self, room: ChatRoom, now: float) -> None:
        """Takes over the sessions of a room whose newest changes cannot be kept. To be called
        after `keep`. Nobody has heard of those changes; a client that was new repeats its JOIN."""
        self._now = now
        self.counters.update(room.counters)
        for theirs in room.members.values():
            self.register.recognize(theirs.client_id)
            member = self.register.by_client.get(theirs.client_id)
            host = self.hosts.get(theirs.address, now) if theirs.address else None
            if member is None or host is None:
                continue
            del self.members[member.session_id]
            member.take_session_of(theirs, now)
            self.members[member.session_id] = member
            host.member_count += 1
            self.memory.move(member, host)
            self._acknowledge_inbox(member, theirs.inbox.acked)
            if member.inbox.behind:
                self._newcomers[member.session_id] = member  # what waits may be a roster
            self._timers.schedule(member, now)
        self._continuity.resume_from(room._continuity, now)

    def hold_back(self, *, is_full: bool) -> None:
        """From now on the room writes nothing that has to be kept, and says why: the disk is full,
        or does not take it."""
        self._presence.is_held_back = True
        self._scribe.tell_held_back(self._now, is_full=is_full)

    def go_on(self, now: float) -> None:
        """Ends `hold_back`."""
        self._presence.is_held_back, self._now = False, now
        self._scribe.tell_kept_again(now)

    def receive_datagram(self, datagram: bytes, address: Address, now: float) -> None:
        """Takes in one datagram. Whatever it holds, nothing is raised."""
        self._now = now
        if self._closed:
            return
        # What costs little to refuse comes first: the header, the type, the session.
        try:
            packet_type = check_header(datagram)
            if packet_type in FROM_SESSIONS:
                self._receive_of_session(packet_type, datagram, address, now)
            elif packet_type == PacketType.JOIN:
                join = decode_body(packet_type, datagram)
                assert isinstance(join, Join)
                self._handle_join(join, address, len(datagram), now)
            elif packet_type == PacketType.OFFER:
                offer = decode_body(packet_type, datagram)
                assert isinstance(offer, Offer)
                self._continuity.receive_offer(offer, address, now)
            elif packet_type == PacketType.TOLD:
                told = decode_body(packet_type, datagram)
                assert isinstance(told, Told)
                self._continuity.receive_told(told, address, now)
            else:
                self._drop("unexpected packet", address)
        except UnsupportedVersion:
            self._drop("unsupported version", address)
            self._refuse_version(datagram, address)
        except MalformedDatagram as error:
            self._drop(error.reason, address)

    def _receive_of_session(
        self, packet_type: int, datagram: bytes, address: Address, now: float
    ) -> None:
        prefix = sender_and_timestamp(datagram)
        if prefix is None:
            raise MalformedDatagram("truncated")
        session_id, timestamp = prefix
        member = self.members.get(session_id)
        if member is None:
            self._drop("unknown session", address)
            bye = Bye(session_id, ByeReason.UNKNOWN_SESSION)
            self._reply(bye.encode(), address, len(datagram))
            return
        if member.address != address:
            # The session id is right, the address is not: its owner may have moved, or
            # somebody repeats what they overheard. Only the cookie tells.
            self._drop("unproven address", address)
            cookie = self._cookies.make(address, member.client_id, now)
            self._reply(Challenge(session_id, cookie).encode(), address, len(datagram))
            return
        if packet_type == PacketType.SAY:
            self._handle_say(datagram, timestamp, member, now)
        elif packet_type == PacketType.STATUS:
            status = decode_body(packet_type, datagram)
            assert isinstance(status, Status)
            self._count_traffic(member, len(datagram), timestamp)
            self._handle_status(status, member, now)
        else:
            decode_body(packet_type, datagram)
            if self._presence.is_held_back:
                member.heard_at = float("-inf")  # the room notices it once it may
            else:
                self._remove(member, "left")
            self._relay.send(Bye(session_id, ByeReason.LEFT).encode(), member.address)

    def handle_timeout(self, now: float) -> None:
        """Does what is due. Call it at `next_timeout()`; at any other time it is harmless."""
        self._now = now
        due_at = self.next_timeout()
        if due_at is None or due_at > now:
            return
        if due_at > float("-inf"):  # else something is to be asked at once: nothing is late
            self._presence.forgive_stall(now - due_at, now)
        self._relay.handle_timeout(now)
        for member in self._timers.take_due(now):
            self._on_member_timer(member, now)
        self._continuity.handle_timeout(now)
        # What is written may let somebody go on, who then asks: so until nobody wants more.
        while self._floor.next_timeout() <= now or self._rosters_due(now):
            self._floor.handle_timeout(now)
            self._write_answers(now)
        self._forget_the_departed()

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is next needed, on the clock of `now`; None if never."""
        at = min(self._relay.next_timeout(), self._floor.next_timeout(), self._timers.next_at())
        rosters_at = self._rosters_at if self._newcomers else NEVER
        at = min(at, self._continuity.next_timeout(), rosters_at)
        return None if at == NEVER else at

    def datagrams_to_send(self) -> list[Outgoing]:
        """What has to go out now, each datagram with all its addresses."""
        self._answer_the_held()
        datagrams = self._relay.datagrams_to_send(self._now)
        self._floor.broadcast_done()
        return datagrams

    def close(self, now: float, moved_to: str = "") -> None:
        """Says BYE to everyone; the room takes nothing in after that.

        `moved_to` says where the room is from now on, if it is somewhere: see `Bye`.
        """
        self._now = now
        self._closed = True
        reason = ByeReason.MOVED if moved_to else ByeReason.SHUTTING_DOWN
        for member in self.members.values():
            bye = Bye(member.session_id, reason, moved_to).encode()
            self._relay.send(bye, member.address)
        self.members.clear()

    # --- handing on --------------------------------------------------------------------------

    @property
    def lineage(self) -> Lineage:
        """The terms of the log."""
        return self._continuity.lineage

    @property
    def room_id(self) -> int:
        """The same for the room's whole life, whoever hosts it."""
        return self._continuity.room_id

    @property
    def successors(self) -> list[tuple[int, str]]:
        """The numbers and addresses of the members that take the room over, the first one first."""
        return self.succession.successors

    @property
    def has_talk(self) -> bool:
        """Whether anything has been said in the room, as far as its log goes."""
        return self._continuity.has_talk

    def living_count(self, now: float) -> int:
        """Members that were heard lately."""
        return self._presence.living_count(now)

    def pause(self) -> None:
        """From now on nothing is accepted: another host will."""
        self._is_paused = True

    def has_all(self, number: int) -> bool:
        """Whether this member has the whole log, and nobody's inbox has anything unread."""
        return self._continuity.has_all(number)

    # --- registration ------------------------------------------------------------------------

    def _handle_join(self, join: Join, address: Address, size: int, now: float) -> None:
        if not self._cookies.is_good(join.cookie, address, join.client_id, now):
            # No state is kept for an address before it has echoed its cookie.
            if join.cookie != NO_COOKIE:
                self._drop("bad cookie", address)
            cookie = self._cookies.make(address, join.client_id, now)
            self._reply(Challenge(join.client_id, cookie).encode(), address, size)
            return
        self.register.recognize(join.client_id)
        member = self.register.by_client.get(join.client_id)
        if member is not None:
            self._rejoin(member, join, address, now)
            return
        try:
            check_name(join.name)
        except UnusableName as error:
            self._refuse(join, address, RefusedReason.UNUSABLE_NAME, str(error))
            return
        holder = self.register.holder(join.name)
        if holder is not None:
            if self._presence.is_alive(holder, now):
                text = f"the name {join.name} is in use"
                self._refuse(join, address, RefusedReason.NAME_IN_USE, text)
            return  # else it is being asked; the client repeats its JOIN and learns the outcome
        if len(self.members) >= self.settings.members_max:
            text = f"the room is full ({self.settings.members_max} members)"
            self._refuse(join, address, RefusedReason.ROOM_FULL, text)
            return
        host = self._host_with_a_place(join, address, now)
        if host is None:
            return
        if self._presence.is_held_back or self._is_paused:
            text = HELD_TEXT if self._presence.is_held_back else BUSY_TEXT
            self._refuse(join, address, RefusedReason.BUSY, text)
            return
        # An address pays for each try: what follows may look at all who are gone.
        if host.joins.take(1, now):
            self._forget_the_departed(host)
            full = self.memory.is_full or self.memory.is_full_for(host)
            if not full and self._joins.take(1, now):
                self._enter(join, address, host, now)
                return
        self._refuse(join, address, RefusedReason.BUSY, BUSY_TEXT)

    def _host_with_a_place(self, join: Join, address: Address, now: float) -> Host | None:
        """The host of a proven address, if one more member may be there; else says no."""
        host = self.hosts.get(address, now)
        most = self.settings.members_per_address_max
        if host is None:
            self._refuse(join, address, RefusedReason.BUSY, BUSY_TEXT)
        elif most and host.member_count >= most:
            text = f"{most} members are in from this address, and no more may be"
            self._refuse(join, address, RefusedReason.ADDRESS_FULL, text)
            return None
        return host

    def _rejoin(self, member: Member, join: Join, address: Address, now: float) -> None:
        """Handles a JOIN of a member: a repeated one, or one from a new address."""
        if not member.hear(join.timestamp, now):
            # Only newer datagrams move an address: else a replayed JOIN would take it back.
            self._drop("stale", address)
            return
        was_away = member.is_away or (
            join.epoch != self.log.epoch and self._continuity.until(join) is not None
        )
        if member.address != address and not self._move(member, join, address, now):
            return
        self._skip_to(member, join.next_message_id)
        if was_away:
            self._come_back(member, join)
        if join.epoch == self.log.epoch:
            if join.room_ack <= self.log.latest:  # else it was led astray, and learns that now
                member.position.acknowledge(join.room_ack)
            if join.inbox_epoch == member.inbox.log.epoch:
                self._acknowledge_inbox(member, join.inbox_ack)
        self._welcome(member, join)

    def _come_back(self, member: Member, join: Join) -> None:
        """A member is here again that another host, or another process of this one, knew."""
        until = self._continuity.until(join)
        acked = until if until is not None else member.joined_seq - 1
        member.first_seq = acked + 1
        member.position = Position(self.log, acked, self._now)
        self._newcomers[member.session_id] = member
        self._rosters_at = max(self._rosters_at, self._now)

    def _move(self, member: Member, join: Join, address: Address, now: float) -> bool:
        """Moves a member to another address; false if it was refused there."""
        if member.is_away or member.address[0] != address[0]:
            host = self._host_with_a_place(join, address, now)
            if host is None:
                return False
            member.host.member_count -= 1
            host.member_count += 1
            self._floor.remove(member)
            self.memory.move(member, host)
            self._relay.forget_link(member)
            self._floor.write_allowed(member, now)
        logger.info("%s moved to %s", member.name, format_address(address))
        self.counters["moved"] += 1
        member.address = address
        for position in (member.position, member.inbox):
            position.repaired_at = float("-inf")  # what is on its way goes to the old address
        self._relay.addresses_changed()
        return True

    def _enter(self, join: Join, address: Address, host: Host, now: float) -> None:
        settings, log = self.settings, self.log
        member = self.register.departed.get(join.client_id)
        if member is None:
            number, appended = self._continuity.number_for(join)
            ids = MemberIds(join.client_id, number, self._new_id())
            member = Member(ids, host, log, settings, now)
            member.received = member.appended = appended
            self._continuity.note_said_apart(member)
        elif join.timestamp <= member.newest_timestamp:
            self._drop("stale", address)  # a replay does not bring back a client that left
            return
        self._skip_to(member, join.next_message_id)
        host.member_count += 1
        self.memory.move(member, host)
        member.session_id = self._new_id()
        member.traffic = Traffic(self._relay.broadcast_count)
        member.name = join.name
        member.address = address
        member.newest_timestamp = join.timestamp
        member.heard_at = now
        tag = self.register.tag(join.client_id).hex() if settings.handed_on else ""
        member.joined_seq = self._scribe.write_event(EventKind.JOIN, member, now, tag)
        member.first_seq = self._scribe.history.start(member.joined_seq)
        until = self._continuity.until(join)
        if until is not None and until < member.joined_seq:
            member.first_seq = until + 1
        elif join.epoch and not settings.handed_on:
            # It was in when this log did not exist yet, or was led astray: all of it is news.
            member.first_seq = log.oldest
        member.position = Position(log, member.first_seq - 1, now)
        if join.inbox_epoch == member.inbox.log.epoch:
            self._acknowledge_inbox(member, join.inbox_ack)
        self.register.enter(member)
        self._relay.addresses_changed()
        logger.info("%s joined from %s", member.name, format_address(address))
        self._newcomers[member.session_id] = member
        self._rosters_at = max(self._rosters_at, now)
        self._welcome(member, join)

    def _skip_to(self, member: Member, next_message_id: int) -> None:
        """Goes on with the member's message of this number, if those before it never come: a
        forged echo told the client that they had."""
        if next_message_id - 1 > member.received:
            self._floor.remove(member)
            member.drop_held()
            self.memory.recount(member)
            member.received = member.appended = next_message_id - 1
            member.said_apart = {i for i in member.said_apart if i >= next_message_id}
            self.register.note(member)

    def _welcome(self, member: Member, join: Join) -> None:
        hosted_by, continuity = self.hosted_by, self._continuity
        if member.client_id == hosted_by.client_id:
            hosted_by.number = member.number
        host = self.register.by_number.get(hosted_by.number)
        resumes = join.epoch == self.log.epoch or continuity.until(join) is not None
        welcome = Welcome(
            client_id=member.client_id,
            echoed_timestamp=join.timestamp,
            session_id=member.session_id,
            epoch=self.log.epoch,
            inbox_epoch=member.inbox.log.epoch,
            oldest=self.log.oldest,
            latest=self.log.latest,
            start=member.position.acked + 1 if resumes else member.first_seq,
            joined=member.joined_seq,
            inbox_start=member.inbox.acked + 1,
            received=member.received,
            member=member.number,
            heartbeat_ms=int(self.settings.heartbeat_seconds * 1000),
            ack_delay_ms=self._relay.ack_delay_ms(),
            room_id=self.room_id,
            host=hosted_by.number,
            lineage=continuity.lineage.encode(),
            handed_on=self.settings.handed_on,
            name=member.name,
            room=self.settings.room,
            host_name=host.name if host is not None else "",
            host_address=hosted_by.address,
            successors=continuity.succession.text,
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

    def _remove(self, member: Member, reason: str) -> None:
        logger.info("%s %s", member.name, "left" if reason == "left" else "timed out")
        self.register.remove(member)
        member.host.member_count -= 1
        self._newcomers.pop(member.session_id, None)
        self._continuity.forget(member)
        self._floor.remove(member)
        self._relay.forget_link(member)
        self._scribe.write_event(EventKind.LEAVE, member, self._now, reason)
        member.drop_held()
        member.traffic = Traffic(0)
        member.wake_at = member.probe_at = NEVER
        member.probe_started_at = float("-inf")
        if reason == "left":
            self._scribe.forget_unread(member, self._now)
        else:
            bye = Bye(member.session_id, ByeReason.TIMEOUT).encode()
            self._relay.send(bye, member.address)
            self._scribe.tell_delayed(member, self._now)
            self.memory.recount(member)
        # Those who wait for this inbox learn that nobody is there.
        self._floor.inbox_has_space(member.inbox, self._now)
        for forgotten in self.register.departed_too_many():
            self._scribe.forget_unread(forgotten, self._now)

    # --- messages ----------------------------------------------------------------------------

    def _handle_say(self, datagram: bytes, timestamp: int, member: Member, now: float) -> None:
        # What cannot be taken is not even read; the client sends it again.
        count_max = HELD_MAX - len(member.held)
        if not self.memory.allows_to_hold(member):
            self.counters["no memory"] += 1
            count_max = 0
            if not member.waits:  # a long line whose rest cannot be taken: its beginning goes, too
                member.drop_held()
                self.memory.recount(member)
        messages = read_new_messages(datagram, member.received, count_max) if count_max else []
        self._count_traffic(member, len(datagram), timestamp)
        # A late or replayed SAY is no sign of life, but its messages count: each is taken once.
        member.hear(timestamp, now)
        if messages:
            member.received += len(messages)
            self._floor.take(member, messages, now)
        if member.held:
            self._holding[member.session_id] = timestamp
        elif not messages and now - member.said_at > member.rtt.rto:
            self._relay.answer(member, timestamp)  # no echo is to come

    def _must_wait(self) -> bool:
        """Whether no message may be written now."""
        return self._presence.is_held_back or self._is_paused or self._relay.links_are_full()

    def _rosters_due(self, now: float) -> bool:
        return bool(self._newcomers) and self._rosters_at <= now

    def _write_answers(self, now: float) -> None:
        """Writes what is computed once for all who want it."""
        if self._rosters_due(now):
            newcomers = list(itertools.islice(self._newcomers.values(), ROSTERS_MAX))
            self._scribe.write_rosters(newcomers, now)
            for member in newcomers:
                del self._newcomers[member.session_id]
            if self._newcomers:
                self._rosters_at = now + NEXT_WAKE_UP_SECONDS
        questions = self._floor.questions(now)
        if questions:
            self._scribe.answer(self._continuity.take(questions, now), now)
            for member, _ in questions:
                self._floor.answered(member, now)

    def _forget_the_departed(self, host: Host | None = None) -> None:
        """Make room, if there is none in all or at one address. Members and newcomers come before
        what waits for clients that may not come back."""
        memory = self.memory
        if not memory.is_full and (host is None or not memory.is_full_for(host)):
            return
        for member in self.register.departed_with_unread():
            if memory.is_full or member.host is host:
                self._scribe.forget_unread(member, self._now)
            if not memory.is_full and (host is None or not memory.is_full_for(host)):
                return

    def _answer_the_held(self) -> None:
        """Where no echo is to come soon: says at least what has arrived."""
        for session_id, timestamp in self._holding.items():
            member = self.members.get(session_id)
            if member is not None and member.held:
                self._relay.answer(member, timestamp)
        self._holding.clear()

    # --- acknowledgements -------------------------------------------------------------------

    def _handle_status(self, status: Status, member: Member, now: float) -> None:
        if status.room_ack > self.log.latest or status.inbox_ack > member.inbox.log.latest:
            # Its client was led astray. It sees that from where the logs end.
            self._drop("impossible acknowledgement", member.address)
            self._relay.answer(member, status.timestamp)
            return
        if not member.hear(status.timestamp, now):
            self._drop("stale", member.address)
            return
        member.traffic.client_sent = status.sent_count
        echoed_at = status.echoed_timestamp / 1e6
        if status.echoed_timestamp:
            member.rtt.sample(now - echoed_at)
        self._relay.acknowledged(member, status.room_ack, now)
        self._acknowledge_inbox(member, status.inbox_ack)
        if status.room_gap_end > member.position.acked:
            self._relay.repair_gap(member, member.position, status.room_gap_end, echoed_at, now)
        if status.inbox_gap_end > member.inbox.acked:
            self._relay.repair_gap(member, member.inbox, status.inbox_gap_end, echoed_at, now)
        if status.ask:
            self._relay.answer(member, status.timestamp)

    def _acknowledge_inbox(self, member: Member, ack: int) -> None:
        inbox = member.inbox
        if inbox.acknowledge(ack):
            self.register.note_read(member)
            self.memory.recount(member)
            self._relay.inbox_acknowledged(member)
            if inbox.waiting and inbox.has_space_again:
                self._floor.inbox_has_space(inbox, self._now)

    # --- timers ------------------------------------------------------------------------------

    def _on_member_timer(self, member: Member, now: float) -> None:
        if self._presence.is_gone(member, now):
            self._remove(member, "timeout")
            return
        self._relay.repair_tails(member, now)
        look_at = self._presence.next_look_at(member, now)
        self._timers.schedule(member, min(look_at, self._relay.repair_due(member)))

    # --- small things ------------------------------------------------------------------------

    def _reply(self, datagram: bytes, address: Address, trigger_bytes: int) -> None:
        """Answers an address that has proven nothing: never with more than it sent."""
        if len(datagram) <= trigger_bytes:
            self._relay.send(datagram, address)

    def _count_traffic(self, member: Member, size: int, timestamp: int) -> None:
        member.traffic.count(size, timestamp, newest=timestamp > member.newest_timestamp)

    def _drop(self, reason: str, address: Address) -> None:
        self.counters[reason] += 1
        logger.debug("dropped a datagram from %s: %s", address, reason)

    def _new_id(self) -> int:
        """64 random bits, never 0: ids that nobody can guess."""
        return self._random.getrandbits(64) or 1
