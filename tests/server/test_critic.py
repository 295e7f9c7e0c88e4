"""How one member, or one address, may not hold up the others, and what must not outlive its cause.

Each test is an attack on the floor, on the budget of memory or on the timers, in virtual time.
"""

from __future__ import annotations

import random

import pytest

from tests.machines import Peer, RoomBench, of_type
from udp_chat.protocol.packets import (
    RUN_MAX,
    TEXT_BYTES_MAX,
    EventKind,
    Leave,
    Message,
    MessageKind,
    Say,
    Welcome,
)
from udp_chat.server.floor import PRIVATE_WAIT_SECONDS
from udp_chat.server.member import INBOX_FULL_ENTRIES, Inbox, Member
from udp_chat.server.memory import ADDRESS_SHARE, UNREAD_BYTES_MIN
from udp_chat.server.room import ChatRoom
from udp_chat.server.scribe import Scribe
from udp_chat.server.settings import RoomSettings

ATTACKER = "198.51.100.1"
LONG = "x" * TEXT_BYTES_MAX


def _fill_inbox(bench: RoomBench, sender: Peer, recipient: Peer, *quiet: Peer) -> None:
    """Private messages until the recipient, who acknowledges nothing, can take no more."""
    for _ in range(400):
        if recipient.member.inbox.is_full:
            return
        sender.say("x", "x", kind=MessageKind.PRIVATE, to=recipient.name)
        if sender is not recipient:
            sender.status()
        for peer in quiet:
            peer.status(inbox_ack=0)
        bench.advance(0.02)
    raise AssertionError("never full")


# --- a stall that is none --------------------------------------------------------------------


def test_a_private_message_said_after_coming_back_waits_as_long_as_any() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _fill_inbox(bench, anna, boris)
    first = anna.message_id + 1
    anna.say("waits", kind=MessageKind.PRIVATE, to="Boris")
    anna.leave()
    for _ in range(30):
        bench.advance(1.0)
        boris.status(inbox_ack=0)
    anna.resume(next_message_id=first)
    anna.say("waits", first=first, kind=MessageKind.PRIVATE, to="Boris")
    bench.advance(PRIVATE_WAIT_SECONDS / 2)
    assert anna.member.waits_for is boris.member.inbox
    assert bench.room.counters["stalls"] == 0


def test_nobody_can_make_the_room_believe_that_it_has_slept() -> None:
    """Else the dead would be forgiven their silence, and keep their places for ever."""
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _fill_inbox(bench, anna, boris)
    first = anna.message_id + 1
    anna.say("waits", kind=MessageKind.PRIVATE, to="Boris")
    anna.leave()
    bench.join("Dead")
    for _ in range(14):
        bench.advance(1.0)
        boris.status(inbox_ack=0)
    anna.resume(next_message_id=first)
    anna.say("waits", first=first, kind=MessageKind.PRIVATE, to="Boris")
    anna.leave()
    bench.advance(2.0)
    assert bench.room.counters["stalls"] == 0
    assert bench.names() == ["Boris"]


def test_a_private_message_that_waited_for_its_own_echo_then_waits_for_its_recipient() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _fill_inbox(bench, anna, boris)
    _fill_inbox(bench, anna, anna, boris)
    anna.say("waits", kind=MessageKind.PRIVATE, to="Boris")
    for _ in range(30):
        bench.advance(1.0)
        boris.status(inbox_ack=0)
        anna.status(inbox_ack=0)
    anna.status()
    bench.advance(1.0)
    assert anna.member.waits_for is boris.member.inbox
    boris.status()
    bench.advance(0.1)
    assert not anna.member.held


# --- an address that is locked out -----------------------------------------------------------


def test_what_waits_for_those_who_are_gone_does_not_lock_their_address_out() -> None:
    settings = RoomSettings(members_bytes_max=ADDRESS_SHARE * 200_000, message_rate=0)
    bench = RoomBench(settings)
    anna = bench.join("Anna")
    gone = [bench.join(f"Gone{number}", (ATTACKER, number)) for number in range(6)]
    for peer in gone:
        for _ in range(60):
            anna.say(LONG, kind=MessageKind.PRIVATE, to=peer.name)
            anna.status()
    bench.keep_alive(20.0, anna)
    assert bench.names() == ["Anna"], "all the others have timed out"
    back = [of_type(Welcome, peer.try_to_enter()) for peer in gone]
    assert all(back), "and can come back"


# --- a crowd before one inbox -----------------------------------------------------------------


def test_those_who_wait_for_an_inbox_do_not_all_look_again_at_each_acknowledgement(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A thousand of them cost 9 ms each time, and a timer each that lived for ten seconds."""
    bench = RoomBench(RoomSettings(message_rate=0))
    boris = bench.join("Boris")
    crowd = [bench.join(f"User{number}") for number in range(60)]
    _fill_inbox(bench, crowd[0], boris)
    for peer in crowd:
        peer.say(*["x"] * 40, kind=MessageKind.PRIVATE, to="Boris")
    looks = 0
    full_inbox = Scribe.full_inbox

    def look(scribe: Scribe, member: Member, message: Message) -> Inbox | None:
        nonlocal looks
        looks += 1
        return full_inbox(scribe, member, message)

    monkeypatch.setattr(Scribe, "full_inbox", look)
    for _ in range(2 * INBOX_FULL_ENTRIES):
        boris.status(inbox_ack=boris.member.inbox.acked + 1)
        bench.advance(0.001)
        for peer in crowd:
            if peer.member.inbox.is_full:
                peer.status()
    assert sum(peer.member.appended for peer in crowd) > 2 * INBOX_FULL_ENTRIES
    assert looks < 60 * 60


# --- long lines ------------------------------------------------------------------------------


def test_short_lines_of_a_neighbour_do_not_hold_up_a_long_one() -> None:
    """A long line needs many of the tokens that both share."""
    bench = RoomBench()
    anna = bench.join("Anna", (ATTACKER, 1))
    loud = bench.join("Loud", (ATTACKER, 2))
    assert anna.member.host.messages.take(bench.settings.message_burst, bench.now)
    for number in range(RUN_MAX):
        bench.take(anna.say_packet(LONG, more=number < RUN_MAX - 1), anna.address)
    began_at = bench.now
    while LONG not in bench.texts() and bench.now < began_at + 5.0:
        bench.advance(0.00205)
        if not loud.member.held:
            loud.say("flood")
    assert bench.now - began_at < 1.0, "128 tokens at 500 a second take a quarter of a second"


def test_a_long_line_is_said_even_where_memory_is_used_up() -> None:
    bench = RoomBench(RoomSettings(members_bytes_max=80_000))
    anna, boris, carol = bench.join("Anna"), bench.join("Boris"), bench.join("Carol")
    for _ in range(80):
        anna.say(LONG, kind=MessageKind.PRIVATE, to="Boris")
        anna.say(LONG, kind=MessageKind.PRIVATE, to="Carol")
        anna.status()
        bench.advance(0.02)
    for number in range(RUN_MAX):
        carol.say(LONG, more=number < RUN_MAX - 1)
        bench.advance(0.02)
    assert boris.member.bytes_held() > UNREAD_BYTES_MIN
    bench.advance(0.5)
    assert len(bench.texts()) == RUN_MAX


# --- everything at once ----------------------------------------------------------------------


class Client:
    """A client that does what its dice say, and sends again what the room has not taken."""

    def __init__(self, peer: Peer, dice: random.Random) -> None:
        self.peer = peer
        self.dice = dice
        self.kept: list[Message] = []
        """By message id less one: all it ever said."""

    @property
    def is_in(self) -> bool:
        return self.peer.session_id in self.peer.bench.room.members

    def act(self, names: list[str]) -> None:
        peer, dice, room = self.peer, self.dice, self.peer.bench.room
        if not self.is_in:
            if dice.random() < 0.3:
                self.come_back()
            return
        what = dice.random()
        if what < 0.55:
            self._say_something(names)
            self.send()
        elif what < 0.75:
            peer.bench.take(peer.status_packet(), peer.address)
        elif what < 0.85:  # it has the room's lines, and leaves its inbox unread
            peer.bench.take(peer.status_packet(inbox_ack=peer.member.inbox.acked), peer.address)
        elif what < 0.90:
            peer.bench.take(Leave(peer.session_id, peer.timestamp()), peer.address)
        elif what < 0.95:
            peer.address = (f"198.51.100.{dice.randrange(4)}", dice.randrange(1, 60_000))
            self.come_back()
        assert room.memory.used_bytes >= 0

    def _say_something(self, names: list[str]) -> None:
        dice = self.dice
        for _ in range(dice.choice((1, 1, 1, 5, 40))):
            kind = dice.choice(list(MessageKind) + [MessageKind.CHAT, MessageKind.PRIVATE] * 4)
            if kind is MessageKind.RENAME:
                text = dice.choice(names)
            elif kind is MessageKind.SEEN:
                text = "1 2 3"
            else:
                text = f"{len(self.kept)} " + "x" * dice.choice((0, 0, 20, 700))
            to = dice.choice(names) if kind is MessageKind.PRIVATE else ""
            more = kind in (MessageKind.CHAT, MessageKind.PRIVATE) and dice.random() < 0.2
            self.kept.append(Message(len(self.kept) + 1, kind, text, to, more))

    def send(self) -> None:
        """As many of its messages as the room has not taken and one datagram holds."""
        peer = self.peer
        size, messages = 0, []
        for message in self.kept[peer.member.appended :][:64]:
            size += 20 + len(message.text) + len(message.to)
            if size > 1150:
                break
            messages.append(message)
        if messages and peer.member.received + 1 < messages[0].message_id:
            raise AssertionError("the room forgot what it had taken")
        start = peer.member.received - peer.member.appended
        if start < len(messages) or not messages:
            chosen = messages
        else:  # the beginning is taken; what follows it
            chosen = self.kept[peer.member.received :][:1]
        if chosen:
            packet = Say(peer.session_id, peer.timestamp(), tuple(chosen))
            peer.bench.take(packet, peer.address)

    def finish_line(self) -> None:
        """A line that was begun gets its end."""
        if self.kept and self.kept[-1].more:
            self.kept.append(Message(len(self.kept) + 1, MessageKind.CHAT, "end", "", False))

    def come_back(self) -> None:
        peer = self.peer
        sent = peer.try_to_enter(next_message_id=1)
        for welcome in of_type(Welcome, sent):
            peer.session_id = welcome.session_id


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(5))
def test_whatever_members_do_each_goes_on_and_is_written_once_and_in_order(seed: int) -> None:
    dice = random.Random(seed)
    settings = RoomSettings(
        members_max=30,
        members_per_address_max=dice.choice((0, 8)),
        message_rate=dice.choice((0.0, 40.0, 500.0)),
        message_burst=dice.choice((32.0, 200.0)),
        members_bytes_max=dice.choice((200_000, 1_000_000, 48_000_000)),
        log_entries_max=100_000,
        log_bytes_max=1 << 30,
        timeout_seconds=6.0,
    )
    bench = RoomBench(settings, seed)
    room = bench.room
    names = [f"User{number}" for number in range(14)]
    clients = [
        Client(bench.peer(name, (f"198.51.100.{number % 4}", 1 + number)), dice)
        for number, name in enumerate(names)
    ]
    for _ in range(1500):
        dice.choice(clients).act(names)
        bench.wake()
        bench.advance(dice.choice((0.001, 0.01, 0.05)))
        _check_sums(room, bench.now)
    for client in clients:
        client.finish_line()
    for _ in range(6000):
        for client in clients:
            if not client.is_in:
                client.peer.name = f"Back{client.peer.client_id}"
                client.come_back()
            if client.is_in:
                client.peer.status()
                client.send()
        bench.advance(0.1)
        if all(c.is_in and c.peer.member.appended == len(c.kept) for c in clients):
            break
    for client in clients:
        client.peer.status()
        bench.advance(0.1)
        member = client.peer.member
        assert member.appended == len(client.kept), (member.name, member.appended, len(client.kept))
        assert not member.held
        assert member.waits == 0
        assert member.waits_for is None
        assert not member.inbox.waiting
    _check_sums(room, bench.now)
    _check_lines(bench, clients)
    assert room.counters["stalls"] == 0


def _check_sums(room: ChatRoom, now: float) -> None:
    members = [*room.members.values(), *room.register.departed.values()]
    assert room.memory.used_bytes == sum(member.bytes_held() for member in members)
    addresses = {member.address[0] for member in members}
    for host in {id(h): h for a in addresses if (h := room.hosts.get((a, 0), now))}.values():
        assert host.member_count == sum(m.host is host for m in room.members.values())
        assert host.bytes_held == sum(m.bytes_held() for m in members if m.host is host)


def _check_lines(bench: RoomBench, clients: list[Client]) -> None:
    lines: dict[int, list[int]] = {}
    for event in bench.log():
        if event.kind in (EventKind.CHAT, EventKind.ACTION):
            lines.setdefault(event.member, []).append(event.message_id)
    for client in clients:
        mine = lines.get(client.peer.member.number, [])
        kinds = (MessageKind.CHAT, MessageKind.ACTION)
        assert mine == [m.message_id for m in client.kept if m.kind in kinds]
