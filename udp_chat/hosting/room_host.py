"""A machine that can host a room: the pure state machine around `ChatRoom`.

It opens a room, or stands by for the room that its own client is in. When the last host is gone, or
calls it, it gathers what the members have (gathering.py) and hosts the next term. It hands the room
on before it goes. While it hosts, it looks for other parts of the same room, and for other rooms of
the same name in which nobody has said anything: of two hosts, one sends its members to the other.

A split brain is allowed, for a network that has fallen apart has two parts; two hosts that can hear
each other are one within a few searches.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Protocol

from udp_chat.client.replica import Replica
from udp_chat.client.whereabouts import Standing
from udp_chat.hosting.gathering import GATHER_MAX_SECONDS, Gathering
from udp_chat.protocol.addresses import LOOPBACK, format_address, parse_address
from udp_chat.protocol.delivery import NEVER, EventLog
from udp_chat.protocol.packets import (
    FROM_SESSIONS,
    OFFER_HANDED_ON,
    OFFER_HOSTS,
    OFFER_TALKED,
    Address,
    Bye,
    ByeReason,
    Discover,
    MalformedDatagram,
    Offer,
    PacketType,
    check_header,
    decode_body,
    sender_and_timestamp,
)
from udp_chat.server.relay import Outgoing
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

EVERYWHERE: Address = ("*", 0)
"""The address of a DISCOVER that goes to the whole LAN: the shell knows the ways."""

HOSTED_HEARTBEAT_SECONDS = 1.0
"""In a room that is handed on: its members notice within three seconds that the host is gone."""

CONFIRM_SECONDS = 0.5
"""A successor takes over once neither the last host nor a successor before it has answered for so
long, though asked every ASK_SECONDS: on a link that loses 20 % each way, six answers in a row are
all lost once in 500 times. Then two parts of the room heal."""

ASK_SECONDS = 0.08

SLEPT_SECONDS = 2.0
"""A step this late says that the machine slept: by now the room may have another host."""

FENCE_SECONDS = 0.5
"""So long a host that slept takes nothing in, and looks for another one."""

LOOK_SECONDS = (0.0, 0.3, 0.8, 1.5, 2.5)
LOOK_EVERY_SECONDS = 3.0
"""When a host looks for other parts of its room: at first often, because others may have opened a
room of the same name at the same moment."""

ABSORB_SECONDS = 30.0
"""So long a host asks another one for its members, and does not think again about who should go."""

LINK_LOCAL = "fe80:"

GOALS_MAX = 8
"""Addresses of other hosts that are being asked before all go there."""

GOAL_COPIES = 2
"""Of the question to another host before all go there: it comes again only with the next look."""

FLUSH_SECONDS = 0.4
"""A host that leaves waits so long for its successor to have all that was said."""

HAND_ON_SECONDS = 1.0
"""A called successor that is silent for so long will not host: the next one is called. One that has
answered may still gather, and is given GATHER_MAX_SECONDS more: else there would be two hosts."""

YOUNG_SECONDS = 1.0
"""A host leaves no sooner after it took over, as long as nobody can follow: those who come back
say within a few round trips that they can host. It also waits for the answer of one that has just
said so."""

RETURN_SECONDS = 8.0
RETURN_PLACES = 8
RETURN_SPACING_SECONDS = 0.75
"""A machine that has hosted the room hosts it again, if it is away so long and nobody else does: a
few hosts may have sent their members to each other in a circle, or to one that died. Not all of
them do so at the same moment."""

CALL_SECONDS = 0.1
"""Between goodbyes that say where the room is."""

REDIRECT_SECONDS = 60.0
"""So long a former host says where the room is to members that have not heard it."""


class Membership(Protocol):
    """The host's own client."""

    @property
    def client_id(self) -> int: ...
    @property
    def standing(self) -> Standing | None: ...
    def copy_replica(self) -> Replica:
        """The client's replica, of which it changes nothing any more."""
        ...

    def look_at(self, address: Address) -> None:
        """The room is here."""
        ...


def plain(address: Address) -> tuple[str, int]:
    """Host and port, an IPv4 host as such."""
    host, port = address[:2]
    return str(host).removeprefix("::ffff:"), port


@dataclass(slots=True)
class _Watch:
    """A successor's doubt whether the last host and the successors before it are gone."""

    nonce: int
    since: float
    asked: tuple[Address, ...]
    ask_at: float
    heard_at: float = float("-inf")


@dataclass(frozen=True, slots=True)
class _Goal:
    """Another host to which all members should go, once it has answered for itself."""

    address: tuple[str, int]
    epoch: int


@dataclass(slots=True)
class _HandingOn:
    """A host's departure."""

    flush_until: float
    nonce: int
    room_id: int
    successors: list[tuple[int, str]]
    """Who is left to take the room over, the first one first."""
    sessions: list[tuple[int, Address]] = field(default_factory=list)
    """The session ids and addresses of those who are to go to the successor."""
    called: Address | None = None
    has_answered: bool = False
    """Whether the one that is called is there, though it does not host yet."""
    call_at: float = 0.0
    give_up_at: float = NEVER


class RoomHost:
    """A machine that can host a room. Not thread-safe; `now` is one monotonic clock.

    `lan_address` is HOST:PORT for others on the network, empty if that is not known; `port` is the
    port where datagrams arrive. Without a `membership` it is a server of its own, which hosts from
    the beginning. `settings` are those of a room that it opens; it takes a room over with the same,
    but for the room's name.
    """

    def __init__(
        self,
        settings: RoomSettings,
        randomness: random.Random,
        port: int,
        membership: Membership | None = None,
        *,
        lan_address: str = "",
        make_log: Callable[[int, int, int], EventLog] = EventLog,
    ) -> None:
        self.settings = replace(settings, handed_on=True)
        self.port = port
        self.lan_address = lan_address
        self.membership = membership
        self.wall_offset_seconds = 0.0
        self.counters: Counter[str] = Counter()
        """How the room came here and went."""
        self.room: ChatRoom | None = None
        """The room, while it is hosted here."""
        self.handed_on: bool | None = None
        """Whether `hand_on` has found somebody; None as long as that is not known."""
        self._random = randomness
        self._make_log = make_log
        self._gathering: Gathering | None = None
        self._watch: _Watch | None = None
        self._handing: _HandingOn | None = None
        self._due_at = NEVER
        self._fenced_until = 0.0
        self._moved_to = ""
        self._redirect_until = 0.0
        self._young_until = 0.0
        self._outgoing: list[Outgoing] = []
        self._look_nonce = randomness.getrandbits(64)
        self._look_at = NEVER
        self._look_count = 0
        self._hosted_id = 0
        """Of the room that was hosted here last."""
        self._return_at = NEVER
        """When it hosts that again, if nobody else does."""
        self._goals: dict[int, _Goal] = {}
        """By the nonce of the question to it."""
        self._went_to: dict[int, tuple[str, int]] = {}
        """By epoch: the hosts to which all members went, and where its own client has not come in
        since: a firewall may let in another host, and no member."""
        self._absorbs = 0
        self._absorbs_until = 0.0
        self._until = 0
        """Where the log ended that was hosted here last."""
        self._last_places: tuple[Address, ...] = ()
        """Where the room was hosted, or could be: asked too, where no multicast reaches."""

    @property
    def is_hosting(self) -> bool:
        """Whether the room is here, or is about to be."""
        return self.room is not None or self._gathering is not None

    # --- what the shell calls ----------------------------------------------------------------

    def open_room(self, now: float) -> ChatRoom:
        """Opens a new room."""
        self.room = self._make_room(self.settings, now)
        self._hosted_id = self.room.room_id
        self._begin_to_look(now)
        return self.room

    @property
    def moved_to(self) -> str:
        """HOST:PORT where the room is now, if it was here and has moved; else empty."""
        return self._moved_to.rpartition(" ")[2] if self.room is None else ""

    @property
    def is_handing_on(self) -> bool:
        """Whether the room is being handed on, and it is not known how that ends."""
        return self._handing is not None

    def hand_on(self, now: float) -> None:
        """Begins to hand the room on; `handed_on` says how it ends. If nobody can take it over,
        nothing changes. To be called again as long as it has not begun: see `YOUNG_SECONDS`."""
        if self.room is None:
            if self._gathering is None:
                self.handed_on = True  # it is somewhere else
            return
        if self._handing is not None:
            return
        successors = self.room.successors
        if not successors:
            is_young = now < self._young_until or self.room.succession.expects_one
            if not is_young or not self.room.members:
                self.handed_on = False
            return
        self.room.pause()
        nonce = self._random.getrandbits(64)
        self._handing = _HandingOn(now + FLUSH_SECONDS, nonce, self.room.room_id, successors)

    def close(self, now: float) -> None:
        """Says BYE to all who are in, if there are any."""
        if self.room is not None:
            self.room.close(now)

    def give_up(self) -> list[Outgoing]:
        """Ends all this because of a bug: nothing here is to be called any more. Returns what has
        to go out: it calls the first successor, or closes the room if there is none."""
        room = self.room
        if room is None:
            return []
        reason, text = ByeReason.SHUTTING_DOWN, ""
        for number, where in room.successors[:1]:
            reason, text = ByeReason.MOVED, f"{number} {room.log.latest} {where}"
        return [
            (Bye(member.session_id, reason, text).encode(), (member.address,))
            for member in room.members.values()
            if not member.is_away
        ]

    def receive_datagram(self, datagram: bytes, address: Address, now: float) -> None:
        """Takes in one datagram. Whatever it holds, nothing is raised."""
        self._notice_sleep(now)
        if self.room is not None and self.membership is not None:
            self.room.hosted_by.client_id = self.membership.client_id
        packet_type = datagram[3] if len(datagram) > 3 else 0
        if packet_type in (PacketType.DISCOVER, PacketType.OFFER):
            try:
                packet = decode_body(check_header(datagram), datagram)
            except MalformedDatagram:
                return
            if isinstance(packet, Discover):
                self._answer(packet, len(datagram), address, now)
                return
            if isinstance(packet, Offer) and self._is_asked_for(packet):
                self._receive_offer(packet, address, now)
                return
        if self.room is not None:
            if now >= self._fenced_until:
                self.room.receive_datagram(datagram, address, now)
        elif self._gathering is not None:
            self._gathering.receive_datagram(datagram, address, now)
        elif now < self._redirect_until:
            self._redirect(datagram, address)

    def handle_timeout(self, now: float) -> None:
        """Does what is due. To be called at `next_timeout()`, whenever the own client has lost
        its host or has been told that the room has moved, and harmless at any time."""
        self._notice_sleep(now)
        if self._handing is not None:
            self._go_on_handing(self._handing, now)
        if self.room is not None:
            self.room.handle_timeout(now)
            if self._look_at <= now:
                self._look(now)
            return
        if self._gathering is None and self._handing is None:
            self._stand_by(now)
        if self._gathering is not None and self._gathering.is_over(now):
            self._begin_term(self._gathering, now)

    def next_timeout(self) -> float | None:
        """When `handle_timeout` is next needed, on the clock of `now`; None if never."""
        at = NEVER
        if self.room is not None:
            room_at = self.room.next_timeout()
            at = min(self._look_at, NEVER if room_at is None else room_at)
        elif self._gathering is not None:
            at = self._gathering.next_timeout()
        elif self._watch is not None:
            at = self._watch.ask_at
        else:
            at = self._return_at
        if self._handing is not None:
            at = min(at, self._handing.call_at)
        self._due_at = at
        return None if at == NEVER else at

    def datagrams_to_send(self, now: float) -> list[Outgoing]:
        """What has to go out now, each datagram with all its addresses."""
        outgoing, self._outgoing = self._outgoing, []
        if self.room is not None:
            outgoing += self.room.datagrams_to_send()
        elif self._gathering is not None:
            outgoing += self._gathering.datagrams_to_send(now)
        return outgoing

    def offer(self, nonce: int, now: float) -> Offer | None:
        """What this host tells who looks for rooms; None if it hosts none."""
        room = self.room
        if room is None:
            return None
        host = room.register.by_number.get(room.hosted_by.number)
        return Offer(
            nonce,
            room.log.epoch,
            room.living_count(now),
            self.port,
            room.settings.room,
            room_id=room.room_id,
            absorbs=self._absorbs if now < self._absorbs_until else 0,
            flags=OFFER_HOSTS | OFFER_HANDED_ON | (OFFER_TALKED if room.has_talk else 0),
            host=host.name if host is not None else "",
        )

    def _notice_sleep(self, now: float) -> None:
        if now - self._due_at > SLEPT_SECONDS:
            self._watch = None
            self._fenced_until = now + FENCE_SECONDS
            if self.room is not None:
                self.counters["fenced"] += 1
                self._begin_to_look(now)
        self._due_at = NEVER

    # --- answering ---------------------------------------------------------------------------

    def _answer(self, discover: Discover, size: int, address: Address, now: float) -> None:
        offer = self.offer(discover.nonce, now)
        if offer is None and self.membership is not None:
            standing = self.membership.standing
            if standing is not None and standing.is_in:
                offer = Offer(
                    discover.nonce,
                    0,
                    0,
                    self.port,
                    standing.room,
                    room_id=standing.room_id,
                    flags=OFFER_HANDED_ON,
                )
        reply = offer.encode() if offer is not None else b""
        if reply and len(reply) <= size:
            self._outgoing.append((reply, (address,)))

    def _redirect(self, datagram: bytes, address: Address) -> None:
        """Says where the room is to a member that has not heard it."""
        prefix = sender_and_timestamp(datagram)
        if prefix is None or datagram[3] not in (*FROM_SESSIONS, PacketType.JOIN):
            return
        moved_to = self._moved_to
        if datagram[3] == PacketType.JOIN:  # one that comes so late is not called to host any more
            moved_to = f"0 0 {moved_to.split(' ')[-1]}"
        bye = Bye(prefix[0], ByeReason.MOVED, moved_to).encode()
        if len(bye) <= len(datagram):
            self.counters["redirected"] += 1
            self._outgoing.append((bye, (address,)))

    # --- standing by and taking over ---------------------------------------------------------

    def _stand_by(self, now: float) -> None:
        if self.membership is None:
            return
        standing = self.membership.standing
        if standing is None or not standing.is_in or not standing.handed_on:
            self._watch = None
            return
        if standing.called_until is not None:
            self.counters["was called"] += 1
            self._take_over(standing, standing.called_until, now)
            return
        # One that was started again is asked at the address that it had before: it answers.
        mine = [
            turn
            for turn, (number, address) in enumerate(standing.successors)
            if number == standing.number or format_address(address) == self.lan_address
        ]
        self._return_at = NEVER
        if standing.away_since is None:
            self._came_in(plain(standing.last_host))
        if standing.away_since is None or not (mine or standing.room_id == self._hosted_id):
            self._watch = None
            return
        if not mine:  # it has hosted, and nobody who should host does
            spacing = standing.number % RETURN_PLACES * RETURN_SPACING_SECONDS
            self._return_at = standing.away_since + RETURN_SECONDS + spacing
            if now < self._return_at:
                return
        watch = self._watch
        if watch is None:
            before = standing.successors[: mine[0]] if mine else standing.successors
            asked = (standing.last_host, *(address for _, address in before))
            nonce = self._random.getrandbits(64)
            watch = self._watch = _Watch(nonce, now, asked, now)
        if now - max(watch.since, watch.heard_at) >= CONFIRM_SECONDS:
            is_first = len(watch.asked) == 1
            how = "took over" if is_first else "took over after others"
            self.counters[how if mine else "hosts again"] += 1
            self._take_over(standing, 0, now)
        elif watch.ask_at <= now:
            watch.ask_at = now + ASK_SECONDS
            self._ask(watch.nonce, watch.asked, now)

    def _take_over(self, standing: Standing, until: int, now: float) -> None:
        assert self.membership is not None
        self._watch, self._return_at = None, NEVER
        self._moved_to = ""
        replica = self.membership.copy_replica()
        self._last_places = (
            standing.last_host,
            *(address for number, address in standing.successors if number != standing.number),
        )
        self._gathering = Gathering(replica, standing.host, self._random, now, until)
        loopback = "::1" if ":" in str(standing.server[0]) else "127.0.0.1"
        self.membership.look_at((loopback, self.port))

    def _begin_term(self, gathering: Gathering, now: float) -> None:
        assert self.membership is not None
        self._gathering = None
        kept = gathering.room()
        self.counters["gathered"] += gathering.fetched_count
        standing = self.membership.standing
        assert standing is not None, "it was in"
        self.room = self._make_room(replace(self.settings, room=standing.room), now)
        self.room.hosted_by.number = standing.number
        self.room.continue_from(kept)
        self._hosted_id = self.room.room_id
        self._young_until = now + YOUNG_SECONDS
        self._begin_to_look(now)

    def _make_room(self, settings: RoomSettings, now: float) -> ChatRoom:
        room = ChatRoom(settings, self._random, now, self.wall_offset_seconds, self._make_log)
        room.hosted_by.address = self.lan_address
        if self.membership is not None:
            room.hosted_by.client_id = self.membership.client_id
        return room

    # --- handing on --------------------------------------------------------------------------

    def _go_on_handing(self, handing: _HandingOn, now: float) -> None:
        room = self.room
        if room is not None:
            if not room.has_all(handing.successors[0][0]) and now < handing.flush_until:
                handing.call_at = now + ASK_SECONDS / 4
                return
            handing.sessions = [
                (member.session_id, member.address)
                for member in room.members.values()
                if not member.is_away
            ]
            self._outgoing += room.datagrams_to_send()
            self._until = room.log.latest
            self.room = None
            self._call(handing, now)
        elif now >= handing.give_up_at:
            handing.successors.pop(0)
            self.counters["called another"] += 1
            if not handing.successors:
                self._end_handing(succeeded=False)
                return
            self._call(handing, now)
        if handing.call_at <= now and handing.called is not None:
            handing.call_at = now + CALL_SECONDS
            for session_id, address in handing.sessions:
                bye = Bye(session_id, ByeReason.MOVED, self._moved_to)
                self._outgoing.append((bye.encode(), (address,)))
            self._ask(handing.nonce, (handing.called,), now)

    def _call(self, handing: _HandingOn, now: float) -> None:
        """Calls the first successor that is left to host the room."""
        number, where = handing.successors[0]
        self._moved_to = f"{number} {self._until} {where}"
        self._redirect_until = now + REDIRECT_SECONDS
        host, port = parse_address(where)
        handing.called, handing.has_answered = (host, port), False
        handing.call_at = now
        handing.give_up_at = now + HAND_ON_SECONDS

    def _end_handing(self, *, succeeded: bool) -> None:
        self._handing = None
        self.handed_on = succeeded

    # --- finding the other parts -------------------------------------------------------------

    def _begin_to_look(self, now: float) -> None:
        self._look_count, self._look_at = 0, now
        self._goals.clear()
        self._absorbs = 0

    def _look(self, now: float) -> None:
        self._look_count += 1
        later = LOOK_SECONDS[self._look_count :]
        wait = later[0] - LOOK_SECONDS[self._look_count - 1] if later else LOOK_EVERY_SECONDS
        self._look_at = now + wait
        self._ask(self._look_nonce, (EVERYWHERE, *self._last_places), now)

    def _ask(self, nonce: int, addresses: tuple[Address, ...], now: float) -> None:
        discover = Discover(nonce, int(now * 1e6)).encode()
        self._outgoing += [(discover, (address,)) for address in addresses]

    def _is_asked_for(self, offer: Offer) -> bool:
        watch, handing = self._watch, self._handing
        return (
            (watch is not None and offer.nonce == watch.nonce)
            or (handing is not None and offer.nonce == handing.nonce)
            or offer.nonce in self._goals
            or offer.nonce == self._look_nonce
        )

    def _receive_offer(self, offer: Offer, address: Address, now: float) -> None:
        watch, handing = self._watch, self._handing
        hosts = bool(offer.flags & OFFER_HOSTS)
        if watch is not None and offer.nonce == watch.nonce:
            assert self.membership is not None
            is_host = plain(address) == plain(watch.asked[0])
            standing = self.membership.standing
            is_ours = standing is not None and offer.room_id == standing.room_id
            if is_ours and (hosts or not is_host):
                watch.heard_at = now
        elif handing is not None and offer.nonce == handing.nonce:
            if offer.room_id != handing.room_id or handing.called is None:
                return
            if hosts:
                self._end_handing(succeeded=True)
            elif not handing.has_answered and plain(address) == plain(handing.called):
                handing.has_answered = True
                handing.give_up_at += GATHER_MAX_SECONDS
        elif offer.nonce in self._goals:
            has_answered = hosts and self._goals[offer.nonce] == _Goal(plain(address), offer.epoch)
            room = self.room
            if not has_answered or room is None or handing is not None:
                return
            if offer.room_id == room.room_id or not room.has_talk:  # somebody may have begun since
                self._go_to(address, offer.epoch, now)
        else:
            self.consider(offer, address, now)

    def consider(self, offer: Offer, address: Address, now: float) -> None:
        """Another host is found: decides whether two are one, and who of them goes.

        The host with the smaller epoch decides, so that no two of them go to each other.
        """
        address = (address[0], offer.port, *address[2:])
        room = self.room
        is_other = offer.flags & OFFER_HOSTS and offer.flags & OFFER_HANDED_ON
        if room is None or self._handing is not None or not is_other or not offer.port:
            return
        if offer.epoch == room.log.epoch:
            return
        if self.membership is not None:
            standing = self.membership.standing
            if standing is None or not standing.is_in:
                return  # its own client has to be in before it can be sent elsewhere
        talked, has_talked = room.has_talk, bool(offer.flags & OFFER_TALKED)
        may_go, must_go = offer.epoch not in self._went_to, False
        if offer.room_id == room.room_id and now < self._fenced_until and may_go:
            self._mean_to_go(address, offer.epoch, now)
            return
        if offer.room_id == room.room_id:
            is_better = offer.member_count > room.living_count(now)
        elif offer.room == room.settings.room and not (talked and has_talked):
            # What was said in a room of another id would be lost to those who are there.
            may_go, must_go = may_go and not talked, may_go and has_talked
            mine = (talked, room.living_count(now))
            is_better = (has_talked, offer.member_count) > mine
        else:
            return
        if offer.absorbs == room.log.epoch and may_go:
            self._mean_to_go(address, offer.epoch, now)
        elif room.log.epoch < offer.epoch or offer.epoch in self._went_to:
            decided = self._absorbs == offer.epoch and now < self._absorbs_until
            if must_go or (is_better and may_go and not decided):
                self._mean_to_go(address, offer.epoch, now)
            else:
                self._absorbs, self._absorbs_until = offer.epoch, now + ABSORB_SECONDS

    def _mean_to_go(self, address: Address, epoch: int, now: float) -> None:
        """Asks another host at its own address, before all members are sent there: so no forged
        answer moves a room, and none goes to a host that this one cannot reach."""
        if str(address[0]).startswith(LINK_LOCAL):
            return  # members on other machines would need another scope to reach it
        goal = _Goal(plain(address), epoch)
        nonce = next((nonce for nonce, known in self._goals.items() if known == goal), 0)
        if not nonce:
            nonce = self._random.getrandbits(64)
            self._goals[nonce] = goal  # it may be found at several addresses
            if len(self._goals) > GOALS_MAX:
                del self._goals[next(iter(self._goals))]
        self._ask(nonce, (address,) * GOAL_COPIES, now)

    def _came_in(self, address: tuple[str, int]) -> None:
        """The own client has come in there: others can, too."""
        self._went_to = {epoch: at for epoch, at in self._went_to.items() if at != address}

    def _go_to(self, address: Address, epoch: int, now: float) -> None:
        """Sends all members to another host."""
        room = self.room
        assert room is not None
        host, port = plain(address)
        ours = self.lan_address.rpartition(":")[0].strip("[]")
        if ours and host.startswith(LOOPBACK):
            host = ours  # it is on this machine
        self.counters["went to another host"] += 1
        self._went_to[epoch] = host, port
        if len(self._went_to) > GOALS_MAX:
            del self._went_to[next(iter(self._went_to))]
        self._moved_to = f"0 0 {format_address((host, port))}"
        self._redirect_until = now + REDIRECT_SECONDS
        room.close(now, self._moved_to)
        self._outgoing += room.datagrams_to_send()
        self.room = None
        self._look_at = NEVER
