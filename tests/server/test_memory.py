"""How much a room holds for its members: the budget, its shares, and what is let go first."""

from __future__ import annotations

import gc
import tracemalloc

import pytest

from tests.machines import Peer, RoomBench, Sent, of_type
from udp_chat.protocol.packets import (
    TEXT_BYTES_MAX,
    Challenge,
    MessageKind,
    Refused,
    RefusedReason,
    Welcome,
    decode,
)
from udp_chat.server.hosts import Hosts
from udp_chat.server.member import INBOX_FULL_ENTRIES
from udp_chat.server.memory import ADDRESS_SHARE, HELD_BYTES_MIN, UNREAD_BYTES_MIN
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

PRIVATE = MessageKind.PRIVATE
LONG = "x" * TEXT_BYTES_MAX
MARGIN_BYTES = 4096
"""What one message and its echo bring the sum beyond the budget at most."""


def _settings(bytes_max: int, **more: object) -> RoomSettings:
    return RoomSettings(members_bytes_max=bytes_max, message_rate=0, **more)  # type: ignore[arg-type]


def _stuff(bench: RoomBench, sender: Peer, recipients: list[Peer], rounds: int) -> None:
    """Sends recipients, who acknowledge nothing, as much as the room takes."""
    for _ in range(rounds):
        for recipient in recipients:
            inbox = recipient.member.inbox
            if not inbox.is_full and bench.room.memory.allows_unread(recipient.member):
                sender.say(LONG, kind=PRIVATE, to=recipient.name)
        sender.status()
        for recipient in recipients:
            recipient.status(inbox_ack=recipient.member.inbox.acked)
        bench.advance(0.02)


def _cookie(room: ChatRoom, peer: Peer) -> bytes:
    """What the room answers a first JOIN with. The other datagrams are not delivered."""
    room.receive_datagram(peer.join_packet().encode(), peer.address, peer.bench.now)
    (datagram,) = [d for d, to in room.datagrams_to_send() if to == (peer.address,)]
    challenge = decode(datagram)
    assert isinstance(challenge, Challenge)
    return challenge.cookie


def _reasons(sent: list[Sent]) -> list[RefusedReason]:
    return [RefusedReason(refused.reason) for refused in of_type(Refused, sent)]


# --- the budget ------------------------------------------------------------------------------


def test_all_members_together_have_a_budget_beyond_which_each_has_its_minimum() -> None:
    bench = RoomBench(_settings(200_000))
    anna = bench.join("Anna")
    peers = [bench.join(f"User{number}") for number in range(12)]
    _stuff(bench, anna, peers, rounds=60)
    minimum = UNREAD_BYTES_MIN + 40 * 200 + MARGIN_BYTES
    assert bench.room.memory.used_bytes > 180_000
    for peer in peers:
        assert peer.member.inbox.log.bytes_held > UNREAD_BYTES_MIN - MARGIN_BYTES
    assert bench.room.memory.used_bytes <= 200_000 + 12 * minimum


def test_one_address_has_an_eighth_of_it() -> None:
    bench = RoomBench(_settings(1_600_000))
    anna = bench.join("Anna")
    peers = [bench.join(f"User{number}", ("198.51.100.1", number)) for number in range(4)]
    _stuff(bench, anna, peers, rounds=90)
    held = peers[0].member.host.bytes_held
    assert held == sum(peer.member.bytes_held() for peer in peers)
    assert 200_000 <= held <= 1_600_000 // ADDRESS_SHARE + 4 * MARGIN_BYTES
    assert not bench.room.memory.is_full
    other = bench.join("Other")
    _stuff(bench, anna, [other], rounds=60)
    assert other.member.inbox.log.bytes_held > 2 * UNREAD_BYTES_MIN, "others are not concerned"


def test_where_an_address_may_have_any_number_of_members_it_may_have_all_of_it() -> None:
    bench = RoomBench(_settings(400_000, members_per_address_max=0))
    anna = bench.join("Anna")
    peers = [bench.join(f"User{number}", ("198.51.100.1", number)) for number in range(5)]
    _stuff(bench, anna, peers, rounds=90)
    assert peers[0].member.host.bytes_held > 2 * 400_000 // ADDRESS_SHARE


def test_what_waits_to_be_said_counts_by_what_it_takes_in_memory() -> None:
    bench = RoomBench(RoomSettings(message_rate=1, message_burst=32))
    anna = bench.join("Anna")
    for _ in range(40):
        anna.say("x" * 880)
    held = len(anna.member.held)
    assert held > 30
    assert anna.member.bytes_counted == bench.room.memory.used_bytes == anna.member.bytes_held()
    assert bench.room.memory.used_bytes > anna.member.held_bytes > held * 880
    wide = bench.join("Wide", ("192.0.2.77", 1))
    while not wide.member.held:
        wide.say("😀" + "x" * 800)
    assert wide.member.held_bytes > 4 * 800, "one wide character makes a text four times as large"


def test_where_memory_is_used_up_a_member_may_hold_back_only_its_minimum() -> None:
    bench = RoomBench(RoomSettings(message_rate=1, message_burst=32, members_bytes_max=10_000))
    anna = bench.join("Anna")
    for number in range(60):
        anna.say(LONG, first=anna.member.received + 1)
        assert anna.member.held_bytes < HELD_BYTES_MIN + MARGIN_BYTES, number
    assert bench.room.counters["no memory"] > 0
    before = anna.member.appended
    bench.keep_alive(20.0, anna)
    assert anna.member.appended > before, "and goes on at its rate"


# --- what is given back ----------------------------------------------------------------------


def test_reading_and_leaving_give_back_what_was_held() -> None:
    bench = RoomBench()
    anna, boris, carol = bench.join("Anna"), bench.join("Boris"), bench.join("Carol")
    anna.say(LONG, LONG[:100], kind=PRIVATE, to="Boris")
    anna.say(LONG, kind=PRIVATE, to="Carol")
    anna.status()
    bench.advance(0.1)
    both = bench.room.memory.used_bytes
    boris.status()
    assert 0 < bench.room.memory.used_bytes < both
    carol.leave()  # Anna has a notice now
    anna.status()
    assert bench.room.memory.used_bytes == 0
    assert carol.client_id in bench.room.register.departed


def test_where_memory_is_used_up_the_departed_longest_gone_are_forgotten_first() -> None:
    bench = RoomBench(_settings(150_000, timeout_seconds=3.0, members_per_address_max=0))
    anna, boris, carol = bench.join("Anna"), bench.join("Boris"), bench.join("Carol")
    gone = []
    for peer in (boris, carol):
        _stuff(bench, anna, [peer], rounds=50)
        gone.append(peer.member)
        bench.keep_alive(5.0, anna, *[p for p in (carol,) if p is not peer])
    assert bench.names() == ["Anna"]
    assert all(member.inbox.behind for member in gone)
    dora = bench.join("Dora")
    for _ in range(40):
        anna.say(LONG, kind=PRIVATE, to="Dora")
        dora.status(inbox_ack=0)
        bench.advance(0.05)
    assert [member.inbox.behind for member in gone] == [False, True]


# --- newcomers -------------------------------------------------------------------------------


def test_a_room_whose_memory_is_used_up_lets_nobody_in_until_there_is_some() -> None:
    bench = RoomBench(_settings(30_000))
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _stuff(bench, anna, [boris], rounds=60)
    anna.say(*["x"] * 8, kind=PRIVATE, to="Anna")
    while not bench.room.memory.is_full:
        anna.say(LONG, kind=PRIVATE, to="Anna")
    late = bench.peer("Late")
    assert _reasons(late.try_to_enter()) == [RefusedReason.BUSY]
    boris.status()
    assert of_type(Welcome, late.try_to_enter())


def test_an_address_that_has_its_part_gets_no_more_members_and_others_do() -> None:
    bench = RoomBench(_settings(ADDRESS_SHARE * 30_000))
    anna, boris = bench.join("Anna"), bench.join("Boris", ("198.51.100.1", 1))
    while not bench.room.memory.is_full_for(boris.member.host):
        anna.say(LONG, kind=PRIVATE, to="Boris")
        anna.status()
        bench.advance(0.01)
    late = bench.peer("Late", ("198.51.100.1", 2))
    assert _reasons(late.try_to_enter()) == [RefusedReason.BUSY]
    bench.join("Other")


def test_what_a_member_has_moves_with_it() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say(LONG, kind=PRIVATE, to="Boris")
    before, held = boris.member.host, boris.member.bytes_held()
    assert before.bytes_held == held
    boris.address = ("203.0.113.5", 5)
    boris.challenge()
    boris.send(boris.join_packet())
    assert before.bytes_held == 0
    assert boris.member.host is not before
    assert boris.member.host.bytes_held == boris.member.bytes_held() >= held


def test_an_address_is_not_forgotten_before_its_turn_is_as_good_as_new() -> None:
    hosts = Hosts(RoomSettings(members_max=0), hosts_max=1)
    loud = hosts.get(("192.0.2.1", 1), now=1000.0)
    assert loud is not None
    loud.turn_at = 1030.0
    assert hosts.get(("192.0.2.2", 1), now=1020.0) is None
    assert hosts.get(("192.0.2.2", 1), now=1031.0) is not None


# --- altogether ------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("sessions", [2000])
def test_2000_sessions_of_the_worst_behaviour_stay_within_a_stated_number_of_bytes(
    sessions: int,
) -> None:
    """Each reads nothing, is sent as much as it takes, and holds as many lines as it may."""
    budget = 8 * 1024 * 1024
    settings = RoomSettings(
        members_max=sessions, members_bytes_max=budget, message_rate=1, message_burst=32
    )
    bench = RoomBench(settings)
    room = bench.room
    gc.collect()
    tracemalloc.start()
    base = tracemalloc.get_traced_memory()[0]
    peers = []
    for number in range(sessions):
        peer = bench.peer(f"User{number}", (f"198.51.{number // 250}.{number % 250}", 1))
        peer.cookie = _cookie(room, peer)
        room.receive_datagram(peer.join_packet().encode(), peer.address, bench.now)
        peer.session_id = room.register.by_client[peer.client_id].session_id
        peers.append(peer)
        bench.now += 0.02
    texts = ["😀" + "x" * 890] * 12
    for text in texts:
        for number, peer in enumerate(peers):
            to = peers[(number + 1) % sessions].name
            say = peer.say_packet(text, kind=PRIVATE, to=to, first=peer.member.received + 1)
            room.receive_datagram(say.encode(), peer.address, bench.now)
            status = peer.status_packet(room_ack=peer.member.position.acked, inbox_ack=0)
            room.receive_datagram(status.encode(), peer.address, bench.now)
        room.handle_timeout(bench.now)
        bench.now += 0.5
        room.datagrams_to_send()
    del peers
    bench.sent.clear()
    gc.collect()
    taken = tracemalloc.get_traced_memory()[0] - base
    tracemalloc.stop()
    members = [*room.members.values(), *room.register.departed.values()]
    assert room.memory.used_bytes == sum(member.bytes_held() for member in members)
    # The minimum of each member is beyond the budget: unread and unsaid each, and a message more.
    allowed = budget + sessions * (UNREAD_BYTES_MIN + HELD_BYTES_MIN + 2 * MARGIN_BYTES)
    assert budget < room.memory.used_bytes <= allowed
    # What a member and its address take themselves: 10 KB.
    assert taken <= 1.1 * room.memory.used_bytes + sessions * 10_000, (
        taken,
        room.memory.used_bytes,
    )
    assert len(bench.room.hosts) <= sessions
    assert INBOX_FULL_ENTRIES * sessions > room.memory.used_bytes // 1000
