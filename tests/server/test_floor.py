"""Who may say how much, and whose turn it is: budgets that no session escapes.

In virtual time, where it is exact. `python3 -m tests.attacks` shows it with a real server.
"""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from tests.machines import Peer, RoomBench, of_type
from udp_chat.protocol.packets import (
    EventKind,
    Message,
    MessageKind,
    Refused,
    RefusedReason,
    Say,
    Welcome,
)
from udp_chat.server.floor import (
    PERSON_RATE,
    QUESTION_ROUND_SECONDS,
    QUESTIONS_MAX,
    ROOM_BURST,
    ROOM_RATE_FACTOR,
    ROUND_SECONDS,
    TOKEN_BYTES,
    tokens_of,
)
from udp_chat.server.hosts import JOIN_BURST, JOINS_PER_SECOND, QUESTION_BURST, Hosts
from udp_chat.server.member import OWN_QUESTION_BURST
from udp_chat.server.room import JOIN_BURST as ROOM_JOIN_BURST
from udp_chat.server.settings import RoomSettings

RATE = 100.0
BURST = 200.0
SETTINGS = RoomSettings(message_rate=RATE, message_burst=BURST)
ATTACKER = "198.51.100.1"


def _flood(bench: RoomBench, seconds: float, *peers: Peer) -> None:
    """Peers send as much as their windows hold, a hundred times a second, and acknowledge."""
    until = bench.now + seconds
    while bench.now < until:
        for peer in peers:
            if peer.session_id not in bench.room.members:
                continue
            member = peer.member
            first = member.received + 1
            texts = ["flood"] * (64 - len(member.held))
            if texts:
                bench.take(peer.say_packet(*texts, first=first), peer.address)
            bench.take(peer.status_packet(), peer.address)
        bench.wake()
        bench.advance(0.01)


def _said(bench: RoomBench, peers: Iterable[Peer]) -> int:
    names = {peer.name for peer in peers}
    return sum(e.kind is EventKind.CHAT and e.name in names for e in bench.log())


# --- a message costs by its length -----------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 1.0),
        ("x" * 64, 1.0),
        ("x" * TOKEN_BYTES, 1.0),
        ("x" * (TOKEN_BYTES + 1), 2.0),
        ("x" * 900, 4.0),
        ("😀" * 64, 1.0),
        ("😀" * 65, 2.0),
    ],
)
def test_a_message_costs_a_token_for_each_256_bytes_of_text_begun(text: str, tokens: float) -> None:
    assert tokens_of(Message(1, MessageKind.CHAT, text)) == tokens


# --- rates outlive sessions ------------------------------------------------------------------


def test_leaving_and_coming_back_does_not_renew_a_clients_rate() -> None:
    """At 0.2.0 one client said 450,000 lines in 8 s."""
    bench = RoomBench(RoomSettings(message_rate=RATE, message_burst=BURST, log_entries_max=99_999))
    client = bench.join("Flood", (ATTACKER, 1))
    began_at = bench.now
    for _ in range(60):
        _flood(bench, 0.1, client)
        client.leave()
        client.resume()
    assert _said(bench, [client]) <= BURST + RATE * (bench.now - began_at)


def test_leaving_and_coming_back_from_other_addresses_does_not_renew_it_either() -> None:
    bench = RoomBench(SETTINGS)
    client = bench.join("Flood", (ATTACKER, 1))
    began_at = bench.now
    for number in range(20):
        _flood(bench, 0.1, client)
        client.leave()
        client.address = (f"198.51.100.{2 + number}", 1)
        client.resume()
    assert _said(bench, [client]) <= BURST + RATE * (bench.now - began_at)


def test_new_clients_of_an_address_have_no_new_rate() -> None:
    bench = RoomBench(SETTINGS)
    clients, began_at = [], bench.now
    for number in range(30):
        client = bench.join(f"Flood{number}", (ATTACKER, number))
        clients.append(client)
        _flood(bench, 0.1, client)
        client.leave()
    assert _said(bench, clients) <= BURST + RATE * (bench.now - began_at)


def test_many_sessions_of_an_address_share_its_rate() -> None:
    bench = RoomBench(SETTINGS)
    clients = [bench.join(f"Flood{number}", (ATTACKER, number)) for number in range(20)]
    _flood(bench, 5.0, *clients)
    assert BURST + RATE * 4.8 <= _said(bench, clients) <= BURST + RATE * 5.1
    counts = [_said(bench, [client]) for client in clients]
    assert max(counts) <= 1.2 * min(counts) + 64, "and share it evenly"


@pytest.mark.slow
def test_all_addresses_together_have_twice_the_rate_of_one() -> None:
    rate = 500.0
    bench = RoomBench(RoomSettings(message_rate=rate))
    clients = [bench.join(f"Flood{number}", (f"198.51.100.{number}", 1)) for number in range(30)]
    _flood(bench, 4.0, *clients)
    said = _said(bench, clients)
    assert ROOM_RATE_FACTOR * rate * 3.8 <= said <= ROOM_BURST + ROOM_RATE_FACTOR * rate * 4.1
    counts = [_said(bench, [client]) for client in clients]
    assert max(counts) <= min(counts) + 3, (
        "who came first has to wait until the others have as much"
    )


def test_no_wake_up_writes_more_than_the_members_socket_buffers_take() -> None:
    bench = RoomBench()
    clients = [bench.join(f"Flood{number}", (f"198.51.100.{number}", 1)) for number in range(30)]
    bench.advance(1.0)
    before = bench.room.log.latest
    for client in clients:
        bench.take(client.say_packet(*["flood"] * 64), client.address)
    bench.wake()
    assert bench.room.log.latest - before == ROOM_BURST
    for _ in range(50):
        before = bench.room.log.latest
        bench.now = bench.room.next_timeout() or 0.0
        bench.wake()
        assert bench.room.log.latest - before <= ROOM_BURST


def test_with_any_number_of_members_of_an_address_it_has_no_rate_of_its_own() -> None:
    bench = RoomBench(
        RoomSettings(message_rate=RATE, message_burst=BURST, members_per_address_max=0)
    )
    clients = [bench.join(f"Flood{number}", (ATTACKER, number)) for number in range(4)]
    _flood(bench, 3.0, *clients)
    assert _said(bench, clients) >= ROOM_RATE_FACTOR * RATE * 2.8


# --- whose turn it is ------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("honest_address", [("192.0.2.9", 9), (ATTACKER, 999)])
@pytest.mark.parametrize("addresses", [1, 30])
def test_a_quiet_member_is_never_behind_loud_ones(
    honest_address: tuple[str, int], addresses: int
) -> None:
    """Whether the loud ones come from its own address, from another, or from many."""
    bench = RoomBench()
    honest = bench.join("Honest", honest_address)
    loud = [bench.join(f"Flood{n}", (f"198.51.100.{1 + n % addresses}", 1 + n)) for n in range(30)]
    _flood(bench, 2.5, *loud)
    waits = []
    for number in range(5):
        _flood(bench, 0.2, *loud)
        for peer in loud:  # their window is full when the quiet one speaks
            bench.take(
                peer.say_packet(*["flood"] * 64, first=peer.member.received + 1), peer.address
            )
        said_at = bench.now
        honest.say(f"quiet {number}")
        while f"quiet {number}" not in bench.texts():
            bench.now = bench.room.next_timeout() or 0.0
            bench.wake()
        waits.append(bench.now - said_at)
        honest.status()
    # At an address that is as loud as 29 others its turn comes once in a round of them all.
    round_of_all = addresses / 1000.0 if honest_address[0] == ATTACKER else 0.0
    assert max(waits) <= 2 * ROUND_SECONDS + 1 / 500.0 + round_of_all


def test_a_person_who_pastes_a_page_is_behind_nobody_soon_after() -> None:
    bench = RoomBench()
    honest = bench.join("Honest")
    honest.say(*["line"] * 40)
    bench.keep_alive(40 / PERSON_RATE, honest)
    assert honest.member.turn_at <= bench.now


def test_a_line_is_not_behind_the_pages_of_those_who_were_quiet_until_now() -> None:
    bench = RoomBench()
    honest = bench.join("Honest")
    others = [bench.join(f"Page{number}") for number in range(40)]
    for peer in others:
        peer.message_id += 32
        parts = [Message(n, MessageKind.CHAT, "x" * 900, more=n < 32) for n in range(1, 33)]
        for first in range(0, 32, 1):
            say = Say(peer.session_id, peer.timestamp(), (parts[first],))
            bench.take(say, peer.address)
    bench.wake()
    said_at = bench.now
    honest.say("quiet")
    while "quiet" not in bench.texts():
        bench.now = bench.room.next_timeout() or 0.0
        bench.wake()
    assert bench.now - said_at <= 2 * ROUND_SECONDS


def test_without_a_queue_a_message_is_written_at_once() -> None:
    bench = RoomBench()
    honest = bench.join("Honest")
    honest.say("hello")
    assert bench.texts() == ["hello"]
    assert bench.room.counters["held back"] == 0


def test_a_member_that_leaves_while_it_waits_is_forgotten() -> None:
    bench = RoomBench(RoomSettings(message_rate=10, message_burst=32))
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say(*["flood"] * 60)
    anna.leave()
    bench.keep_alive(10.0, boris)
    assert _said(bench, [anna]) == 32
    anna.resume(next_message_id=33)
    anna.say("again", first=33)
    bench.keep_alive(1.0, anna, boris)
    assert bench.texts()[-1] == "again"


def test_a_member_that_moves_while_it_waits_goes_on_at_its_new_address() -> None:
    bench = RoomBench(RoomSettings(message_rate=10, message_burst=32))
    anna = bench.join("Anna")
    texts = [f"line {number}" for number in range(60)]
    anna.say(*texts)
    anna.address = ("203.0.113.5", 5)
    anna.challenge()
    anna.send(anna.join_packet(epoch=anna.epoch, room_ack=bench.room.log.latest))
    bench.keep_alive(8.0, anna)
    assert bench.texts() == texts


# --- members and joins of an address ---------------------------------------------------------


def _reason(sent: Iterable[object]) -> RefusedReason:
    (refused,) = of_type(Refused, sent)
    return RefusedReason(refused.reason)


def test_an_address_may_have_so_many_members() -> None:
    bench = RoomBench(RoomSettings(members_per_address_max=3))
    peers = [bench.join(f"User{number}", (ATTACKER, number)) for number in range(3)]
    late = bench.peer("Late", (ATTACKER, 99))
    assert _reason(late.try_to_enter()) is RefusedReason.ADDRESS_FULL
    bench.join("Other", ("192.0.2.77", 1))
    peers[0].leave()
    late.enter()
    assert bench.names() == ["Late", "Other", "User1", "User2"]


def test_64_members_of_an_address_are_the_default_and_0_is_any_number() -> None:
    bench = RoomBench()
    for number in range(64):
        bench.join(f"User{number}", (ATTACKER, number))
    late = bench.peer("Late", (ATTACKER, 99))
    assert _reason(late.try_to_enter()) is RefusedReason.ADDRESS_FULL
    bench = RoomBench(RoomSettings(members_per_address_max=0))
    for number in range(300):
        bench.join(f"User{number}", (ATTACKER, number))
    assert len(bench.room.members) == 300


def test_a_member_cannot_move_to_an_address_that_is_full() -> None:
    bench = RoomBench(RoomSettings(members_per_address_max=1))
    bench.join("Anna", (ATTACKER, 1))
    boris = bench.join("Boris", ("192.0.2.77", 1))
    boris.address = (ATTACKER, 2)
    boris.challenge()
    assert _reason(boris.send(boris.join_packet())) is RefusedReason.ADDRESS_FULL
    assert boris.member.address == ("192.0.2.77", 1)


def test_whoever_moves_is_counted_where_it_is() -> None:
    bench = RoomBench(RoomSettings(members_per_address_max=1))
    anna = bench.join("Anna", ("192.0.2.77", 1))
    anna.address = (ATTACKER, 1)
    anna.challenge()
    assert of_type(Welcome, anna.send(anna.join_packet()))
    bench.join("Boris", ("192.0.2.77", 2))
    late = bench.peer("Late", (ATTACKER, 2))
    assert _reason(late.try_to_enter()) is RefusedReason.ADDRESS_FULL


def _churn(bench: RoomBench, seconds: float, hosts: int) -> int:
    """JOIN and LEAVE as fast as datagrams come, with new client ids; returns how many were in."""
    count, until = 0, bench.now + seconds
    while bench.now < until:
        for number in range(40):
            peer = bench.peer(f"Churn{count}", (f"198.51.100.{1 + number % hosts}", 1 + number))
            peer.challenge()
            for welcome in of_type(Welcome, peer.send(peer.join_packet())):
                peer.session_id = welcome.session_id
                peer.leave()
                count += 1
        bench.advance(0.05)
    return count


def test_an_address_joins_only_so_often() -> None:
    """At 0.2.0 3,300 pairs of JOIN and LEAVE a second turned the log over in 1.5 s."""
    bench = RoomBench()
    assert JOIN_BURST <= _churn(bench, 5.0, hosts=1) <= JOIN_BURST + JOINS_PER_SECOND * 5.1
    assert bench.room.counters["refused: busy"] > 0
    assert bench.room.log.oldest == 1


@pytest.mark.slow
def test_all_addresses_together_join_only_so_often() -> None:
    bench = RoomBench()
    assert _churn(bench, 4.0, hosts=40) <= ROOM_JOIN_BURST + 100.0 * 4.1


def test_a_busy_room_lets_in_those_who_try_again() -> None:
    bench = RoomBench()
    _churn(bench, 1.0, hosts=1)
    late = [bench.peer(f"Late{number}", (ATTACKER, 990 + number)) for number in range(3)]
    sent = [peer.try_to_enter() for peer in late]
    assert _reason(sent[-1]) is RefusedReason.BUSY
    bench.advance(0.5)
    late[-1].enter()


def test_a_rate_of_zero_lifts_the_limit_of_joins_too() -> None:
    bench = RoomBench(RoomSettings(message_rate=0))
    assert _churn(bench, 1.0, hosts=1) >= 700


def test_addresses_without_members_are_kept_in_bounded_number() -> None:
    settings = RoomSettings(members_max=10)
    hosts = Hosts(settings, hosts_max=20)
    for number in range(100):
        host = hosts.get((f"2001:db8::{number:x}", 1), now=1000.0)
        if host is not None:
            assert host.joins.take(1, 1000.0)
    assert len(hosts) == 30
    assert hosts.get(("192.0.2.1", 1), now=1000.5) is None
    assert hosts.get(("192.0.2.1", 1), now=1060.0) is not None, "the others are as new by now"
    assert len(hosts) == 1


# --- questions -------------------------------------------------------------------------------

ASKED = (MessageKind.WHO, MessageKind.SEEN, MessageKind.STATS)


def _answers(bench: RoomBench, peer: Peer) -> int:
    """How many questions of a member are answered."""
    return peer.member.appended


@pytest.mark.parametrize("kind", ASKED)
def test_a_client_may_ask_only_so_often(kind: MessageKind) -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.say(*["1"] * 40, kind=kind)
    bench.keep_alive(3.0, anna)
    assert OWN_QUESTION_BURST <= _answers(bench, anna) <= OWN_QUESTION_BURST + 4
    bench.keep_alive(40.0, anna)
    assert _answers(bench, anna) == 40, "none is forgotten"


def test_the_clients_of_an_address_ask_only_so_often_together() -> None:
    bench = RoomBench()
    peers = [bench.join(f"User{number}", (ATTACKER, number)) for number in range(30)]
    for peer in peers:
        peer.say(*["1"] * 8, kind=MessageKind.STATS)
    bench.keep_alive(3.0, *peers)
    answered = sum(_answers(bench, peer) for peer in peers)
    assert QUESTION_BURST <= answered <= QUESTION_BURST + 4.0 * 3.1


def test_a_wake_up_answers_only_so_many_questions_and_writes_what_is_said() -> None:
    """At 0.2.0 270 kB of questions stood the room still for 4.5 s."""
    bench = RoomBench()
    peers = [bench.join(f"User{number}") for number in range(30)]
    honest = bench.join("Honest")
    for peer in peers:
        bench.take(peer.say_packet("", kind=MessageKind.STATS), peer.address)
    bench.take(honest.say_packet("hello"), honest.address)
    bench.wake()
    assert bench.texts() == ["hello"]
    assert sum(_answers(bench, peer) for peer in peers) == QUESTIONS_MAX
    bench.advance(QUESTION_ROUND_SECONDS)
    assert sum(_answers(bench, peer) for peer in peers) == 2 * QUESTIONS_MAX
    bench.keep_alive(1.0, *peers)
    assert sum(_answers(bench, peer) for peer in peers) == 30


def test_whoever_asks_little_is_answered_before_those_who_ask_much() -> None:
    bench = RoomBench()
    loud = [bench.join(f"User{number}") for number in range(30)]
    for peer in loud:
        peer.say(*["1"] * 8, kind=MessageKind.STATS)
    bench.advance(0.1)
    honest = bench.join("Honest")
    honest.say("", kind=MessageKind.WHO)
    bench.advance(QUESTION_ROUND_SECONDS)
    assert _answers(bench, honest) == 1


def test_what_is_said_behind_a_question_keeps_its_place() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    question = anna.say_packet("", kind=MessageKind.WHO).messages
    line = anna.say_packet("after").messages
    say = anna.say_packet("never sent")
    bench.receive(type(say)(say.session_id, say.timestamp, question + line), anna.address)
    assert anna.member.appended == 2
    assert bench.texts() == ["after"]
