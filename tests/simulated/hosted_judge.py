"""What must hold of rooms that outlive their hosts, checked while a simulated network runs.

Of what clients show:

- Nothing is shown twice, and each client is shown the events of a term in their order.
- An event of a term is the same event for everybody, and the one that the host wrote.
- What was said in another part of the room is shown in that part's order.

Of hosts: two that can reach each other are one soon, and a room with a successor has a host soon,
sooner still if its host leaves.
After the network has healed there is one room, and each message that anybody has been shown, or
has typed and is still there, is shown by all who were in the room when it was said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import combinations

from tests.simulated.hosted_machine import Machine
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.session import State
from udp_chat.protocol.lineage import Range
from udp_chat.protocol.packets import Event, EventKind
from udp_chat.protocol.wire import Parser
from udp_chat.server.room import ChatRoom

TICK_SECONDS = 0.25
"""How often the judge looks at the hosts."""

TWO_HOSTS_SECONDS = 15.0
"""So long two hosts that can reach each other may be two (DESIGN §7, rule 4)."""

NO_HOST_SECONDS = 6.0
"""So long a room with a successor may be without a host (DESIGN §7, rule 3)."""

HANDED_ON_SECONDS = 1.0
"""So soon others go on after a host that leaves, where no link loses (DESIGN §7, rule 2)."""

AWAY_SECONDS = 12.0
"""So long a member may look for a host that it can reach."""

LOSSY_FACTOR = 2.0
"""All of this may take so much longer where links lose."""

HEALED_SECONDS = 15.0
"""So soon all are one room again after the network has healed (DESIGN §7, rule 4)."""

ANY_COUNT = 1_000_000
"""For `lost` without a number."""

SAID = (EventKind.CHAT, EventKind.ACTION)
SAID_APART = (EventKind.CHAT_APART, EventKind.ACTION_APART)


class Judge:
    """Sees all machines, and raises AssertionError where a promise is broken.

    `reaches(a, b)` says whether a's datagrams reach the port at which b hosts. Where firewalls keep
    them out, two hosts may still know of each other if they `are_together`: each asks the other.
    """

    def __init__(
        self,
        machines: list[Machine],
        reaches: Callable[[Machine, Machine], bool],
        are_together: Callable[[Machine, Machine], bool],
    ) -> None:
        self.counted: Counter[str] = Counter()
        """What was seen."""
        self.is_lossy = False
        self._machines = machines
        self._reaches = reaches
        self._are_together = are_together
        self._written: dict[tuple[int, int], Event] = {}
        """By epoch and sequence number: what a host wrote into the log."""
        self._written_at: dict[tuple[int, int], float] = {}
        self._written_until: dict[int, int] = {}
        self._terms: dict[int, set[int]] = {}
        """By epoch: the terms that this one goes on from, and itself."""
        self._room_ids: dict[int, int] = {}
        self._texts: dict[int, set[str]] = {}
        """By epoch: the messages in the log."""
        self._said_at: dict[str, float] = {}
        self._origins: dict[str, list[tuple[int, int]]] = {}
        """By text: where it was accepted, in each part of the room that did so."""
        self._two_since: dict[tuple[int, int], float] = {}
        self._no_host_since: dict[int, tuple[float, object, set[int]]] = {}
        self._away_since: dict[int, tuple[float, object]] = {}
        self._left: list[tuple[Machine, float, object, list[Machine]]] = []
        """Hosts that leave: since when, in what world, and who has to go on without them."""

    # --- logs --------------------------------------------------------------------------------

    def logged(self, room: ChatRoom, now: float) -> None:
        """Takes in what a host has written."""
        log = room.log
        if log.epoch not in self._written_until:
            begins = room.lineage.terms[-1][1]
            for seq, event in enumerate(log.newest(log.entry_count), log.oldest):
                if seq >= begins:
                    break
                place = room.lineage.epoch_of(seq), seq
                known = self._written.get(place)
                if known is not None:
                    same = known.encode() == event
                    assert same, f"the term {log.epoch:x} has another event {seq}"
            self._written_until[log.epoch] = begins - 1
            self._room_ids[log.epoch] = room.room_id
            self._terms[log.epoch] = {epoch for epoch, _ in room.lineage.terms}
            inherited = log.newest(log.entry_count)[: begins - log.oldest]
            before = [Event.parse(Parser(each, 0)) for each in inherited]
            self._texts[log.epoch] = {e.text for e in before if e.kind in (*SAID, *SAID_APART)}
        known_until = self._written_until[log.epoch]
        if log.latest == known_until:
            return
        for seq, encoded in enumerate(log.newest(log.latest - known_until), known_until + 1):
            written = Event.parse(Parser(encoded, 0))
            self._written[log.epoch, seq] = written
            self._written_at[log.epoch, seq] = now
            if written.kind in (*SAID, *SAID_APART):
                texts = self._texts[log.epoch]
                assert written.text not in texts, f"{written.text!r} is in the log twice"
                texts.add(written.text)
            if written.kind in SAID:
                self._origins.setdefault(written.text, []).append((log.epoch, seq))
            elif written.kind in SAID_APART:
                self.counted["gathered from another part"] += 1
        self._written_until[log.epoch] = log.latest

    # --- what is said and shown --------------------------------------------------------------

    def said(self, machine: Machine, text: str, now: float) -> None:
        """Notes what a person has typed; no text comes twice."""
        assert text not in self._said_at, "texts have to differ"
        self._said_at[text] = now
        machine.shown.said.add(text)

    def shows(self, machine: Machine, now: float) -> None:
        """Takes what a client shows now."""
        session, shown = machine.session, machine.shown
        if session is None or not session.has_events:
            return
        replica = session.replica
        if shown.room_id != replica.room_id:
            if shown.room_id:
                self.counted["came to another room"] += 1
            shown.room_id, shown.in_room_since = replica.room_id, now
        terms = {epoch for epoch, _ in replica.lineage.terms}
        if terms != shown.terms:
            shown.terms_before, shown.terms = shown.terms, terms
        for event in session.take_events():
            shown.events.append(event)
            kind = event["event"]
            self.counted[f"shown {kind}"] += 1
            if kind == "joined":
                shown.joined_at = now
            elif kind == "sent":
                shown.sent_count += 1
            elif kind == "private":
                text = event["text"]
                assert text not in shown.privates, f"{machine.name} was shown {text!r} twice"
                shown.privates.add(text)
            if "seq" in event and kind != "sent":
                place = replica.lineage.epoch_of(event["seq"]), event["seq"]
                if kind == "lost":
                    lost = Range.parse(self._written[place].to)
                    assert lost is not None
                    shown.lost.append(lost)
                else:
                    self._note_lost(machine, place[1])
                    self._check_place(machine, event, place)
            elif kind == "lost":
                shown.lost_count = event["count"] or ANY_COUNT

    def _note_lost(self, machine: Machine, seq: int) -> None:
        """Notes what a client was said to have missed before this event of its log."""
        shown, session = machine.shown, machine.session
        assert session is not None
        lineage = session.replica.lineage
        for epoch, begins in lineage.terms if shown.lost_count else ():
            ends = lineage.last_of(epoch, seq - 1)
            first = max(begins, seq - shown.lost_count)
            if ends is not None and first <= ends:
                shown.lost.append(Range(epoch, first, ends))
        shown.lost_count = 0

    def _check_place(self, machine: Machine, event: ChatEvent, place: tuple[int, int]) -> None:
        shown, (epoch, seq) = machine.shown, place
        if not epoch:
            return
        assert seq > shown.newest.get(epoch, 0), f"{machine.name} was shown {seq} late: {event}"
        shown.newest[epoch] = seq
        shown.seen_at[epoch] = self._written_at.get(place, 0.0)
        written = self._written.get(place)
        assert written is not None, f"{machine.name} was shown what nobody wrote: {event}"
        same = written.name == event["name"] and written.text in (
            event.get("text"),
            event.get("new_name"),
            event.get("reason"),
        )
        is_join = event["event"] == "join" and written.kind is EventKind.JOIN
        assert same or is_join, f"{machine.name} was shown {event}, but it is {written}"
        if event["event"] not in ("chat", "action"):
            return
        text = event["text"]
        assert text not in shown.texts, f"{machine.name} was shown {text!r} twice"
        shown.texts[text] = place
        if event.get("apart"):
            self.counted["apart"] += 1
        else:
            is_apart = written.kind in SAID_APART or self._was_elsewhere(machine, place)
            assert not is_apart, f"{machine.name} was shown {text!r} without `apart`"

    def _was_elsewhere(self, machine: Machine, place: tuple[int, int]) -> bool:
        """Whether a client was in another part of the room when this was written."""
        term, terms = place[0], self._terms[place[0]]
        if not terms & machine.shown.terms_before:
            return False  # it was away for so many hosts that it came as a newcomer
        return any(
            seen_at > self._written_at[place]
            for epoch, seen_at in machine.shown.seen_at.items()
            if self._room_ids[epoch] == self._room_ids[term]
            and epoch not in terms
            and term not in self._terms[epoch]
        )

    # --- hosts, while it runs ----------------------------------------------------------------

    def tick(self, now: float) -> None:
        """Looks at who hosts, and who has no host."""
        factor = LOSSY_FACTOR if self.is_lossy else 1.0
        awake = [m for m in self._machines if m.is_up and m.frozen_until <= now]
        hosts = [m for m in awake if m.room is not None]
        self._check_two_hosts(hosts, now, TWO_HOSTS_SECONDS * factor)
        self._check_handed_on(now)
        for machine in self._machines:
            if machine not in awake or not machine.is_in:
                self._no_host_since.pop(machine.number, None)
                self._away_since.pop(machine.number, None)
            else:
                self._check_has_host(machine, awake, hosts, now, factor)

    def host_leaves(self, host: Machine, now: float) -> None:
        """Notes that a host leaves cleanly, with successors that can all take over."""
        members = [m for m in self._machines if m is not host and m.is_up and m.is_in]
        for member in members:
            member.shown.left_at = len(member.shown.events)
        self._left.append((host, now, self._world(host, now), members))

    def _world(self, leaving: Machine, now: float) -> object:
        """What has to stay the same for the others to go on in time."""
        others = [m for m in self._machines if m is not leaving]
        return [
            (
                m.number,
                m.life,
                m.is_up,
                m.is_leaving,
                m.frozen_until > now,
                self._is_near(leaving, m),
            )
            for m in others
        ]

    def _check_handed_on(self, now: float) -> None:
        waiting = []
        for host, since, world, members in self._left:
            if self._world(host, now) != world:
                continue
            away = [m.name for m in members if not _is_in_without(m, host)]
            for m in members:
                is_seen = any(
                    e["event"] == "reconnecting" for e in m.shown.events[m.shown.left_at :]
                )
                assert not is_seen, f"{m.name} saw that {host.name} left, and not one notice alone"
            if not away:
                self.counted["went on after a host that left"] += 1
                continue
            lasts = f"{host.name} left at {since:.2f}, and {away} have not gone on"
            assert now - since <= HANDED_ON_SECONDS + TICK_SECONDS, lasts
            waiting.append((host, since, world, members))
        self._left = waiting

    def _check_two_hosts(self, hosts: list[Machine], now: float, limit_seconds: float) -> None:
        two = {}
        for a, b in combinations(hosts, 2):
            if self._are_to_be_one(a, b) and self._reaches(a, b) and self._reaches(b, a):
                since = self._two_since.get((a.number, b.number), now)
                two[a.number, b.number] = since
                lasts = f"{a.name} and {b.name} both host since {since:.1f}"
                assert now - since <= limit_seconds, lasts
                self.counted["moments with two hosts"] += 1
        self._two_since = two

    def _are_to_be_one(self, a: Machine, b: Machine) -> bool:
        if a.room is None or b.room is None or a.is_leaving or b.is_leaving:
            return False
        if a.room.room_id == b.room.room_id:
            return True
        same_name = a.room.settings.room == b.room.settings.room
        return same_name and not (a.room.has_talk and b.room.has_talk)

    def _check_has_host(
        self,
        machine: Machine,
        awake: list[Machine],
        hosts: list[Machine],
        now: float,
        factor: float,
    ) -> None:
        """A member's part of the network has a host of its room soon, and the member is in."""
        assert machine.session is not None
        number, room_id = machine.number, machine.session.standing.room_id
        near = [m for m in awake if self._is_near(machine, m)]
        world = tuple((m.number, m.life, self._is_near(machine, m)) for m in awake)
        ours = [m for m in hosts if m.room is not None and m.room.room_id == room_id]
        here = [m for m in ours if m in near]
        if here or machine.session.state is State.JOINED:
            self._no_host_since.pop(number, None)
        else:
            able = {
                m.number
                for m in near
                if m.is_in and m.is_successor and not any(self._are_together(m, h) for h in ours)
            }
            since, was, were = self._no_host_since.get(number, (now, world, able))
            if was != world or not were & able:
                since, were = now, able
            self._no_host_since[number] = since, world, were & able
            lasts = f"{machine.name} has had no host since {since:.1f}, but {were & able}"
            assert not were & able or now - since <= NO_HOST_SECONDS * factor, lasts
        if not here or machine.session.state is State.JOINED or machine in here:
            self._away_since.pop(number, None)
        else:
            what = world, tuple(m.number for m in here)
            away_since, was_what = self._away_since.get(number, (now, what))
            if was_what != what:
                away_since = now
            self._away_since[number] = away_since, what
            lasts = f"{machine.name} is away since {away_since:.1f}, beside {here[0].name}"
            assert now - away_since <= AWAY_SECONDS * factor, lasts

    def _is_near(self, machine: Machine, other: Machine) -> bool:
        """Whether datagrams go both ways, whoever hosts."""
        if machine is other:
            return True
        return self._reaches(machine, other) and self._reaches(other, machine)

    def weather_changed(self, *, is_lossy: bool) -> None:
        """From now on links lose, or do not any more: nobody is late yet."""
        self.is_lossy = is_lossy
        self._two_since.clear()
        self._no_host_since.clear()
        self._away_since.clear()
        self._left.clear()

    # --- after the faults --------------------------------------------------------------------

    def is_one(self) -> bool:
        """Whether all who are up are in one room, know who is in, and nothing waits."""
        living = [m for m in self._machines if m.is_up and m.session is not None]
        hosts = [m for m in living if m.room is not None]
        if len(hosts) != 1 or hosts[0].room is None:
            return False
        log = hosts[0].room.log
        names = {m.session.name for m in living if m.session is not None}
        return all(
            m.session is not None
            and m.session.state is State.JOINED
            and m.session.streams.room.epoch == log.epoch
            and m.session.streams.room.acknowledged == log.latest
            and m.session.pending_count == 0
            and m.session.transcript.held_back is None
            and set(m.session.members) == names
            for m in living
        )

    def is_extinct(self) -> bool:
        """Whether nobody hosts, and nobody can."""
        return not any(
            m.room is not None or (m.is_in and m.is_successor) or (m.host and m.host.is_hosting)
            for m in self._machines
            if m.is_up
        )

    def check_healed(self) -> None:
        """All have what anybody has."""
        living = [m for m in self._machines if m.is_up]
        known = {text for m in living for text in (*m.shown.texts, *m.shown.said)}
        said_at = self._said_at
        for machine in living:
            self._check_orders(machine)
            shown = machine.shown
            since = max(shown.joined_at, shown.in_room_since)
            missing = {t for t in known if said_at[t] > since and t not in shown.texts}
            lost = [event["count"] for event in shown.events if event["event"] == "lost"]
            if None in lost or len(missing) <= sum(count or 0 for count in lost):
                self.counted["messages in a gap"] += len(missing)
                continue
            assert not missing, f"{machine.name} lacks {sorted(missing)}"

    def _check_orders(self, machine: Machine) -> None:
        newest: dict[int, tuple[int, str]] = {}
        for text in machine.shown.texts:
            origins = self._origins[text]
            # What was said before it came may be history here, and there be older than that.
            if len(origins) == 1 and self._said_at[text] > machine.shown.joined_at:
                (epoch, seq) = origins[0]
                before, other = newest.get(epoch, (0, ""))
                was_lost = any(
                    lost.epoch == epoch and lost.first <= seq <= lost.last
                    for lost in machine.shown.lost
                )
                late = f"{machine.name} was shown {text!r} after {other!r}"
                assert seq > before or was_lost, late
                newest[epoch] = max((seq, text), (before, other))


def _is_in_without(machine: Machine, host: Machine) -> bool:
    """Whether a member is in the room, and another machine than this one hosts it."""
    session = machine.session
    return session is not None and session.state is State.JOINED and session.server[0] != host.ip
