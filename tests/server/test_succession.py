"""Who takes a room over: who offers it, who is asked and answers, and what the others learn."""

from __future__ import annotations

import random
from dataclasses import replace
from itertools import pairwise

import pytest

from tests.machines import Peer, RoomBench, of_type, to_address
from tests.simulated.kept_in_memory import KeptInMemory
from udp_chat.protocol.packets import (
    ADDRESS_BYTES_MAX,
    OFFER_HANDED_ON,
    OFFER_HOSTS,
    Address,
    Discover,
    Event,
    EventKind,
    Events,
    MessageKind,
    Offer,
)
from udp_chat.protocol.wire import SUCCESSORS_MAX
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings
from udp_chat.server.succession import (
    ASK_NEW_SECONDS,
    ASK_NEW_TRIES,
    ASK_OTHER_SECONDS,
    ASK_SUCCESSOR_SECONDS,
    OWNER_SILENT_SECONDS,
    STANDBYS_MAX,
    SUCCESSOR_SILENT_SECONDS,
)

PORT = 9091


def _bench(**fields: object) -> RoomBench:
    settings: dict[str, object] = {"handed_on": True, **fields}
    return RoomBench(RoomSettings(**settings))  # type: ignore[arg-type]


def _numbers(bench: RoomBench) -> list[int]:
    return [number for number, _ in bench.room.successors]


def _asked_at(bench: RoomBench, peer: Peer) -> list[float]:
    where = (peer.address[0], PORT)
    return [s.at for s in bench.sent if s.address == where and isinstance(s.packet, Discover)]


def _answer_all(bench: RoomBench, seconds: float, *peers: Peer) -> None:
    """Lets time pass in which these answer what they are asked, and acknowledge."""
    for _ in range(round(seconds / 0.25)):
        bench.advance(0.25)
        for peer in peers:
            peer.answer_discover(PORT)
            peer.status()


def test_a_member_that_answers_at_another_port_is_a_successor_and_the_log_says_so() -> None:
    bench = _bench()
    anna = bench.join("Anna")
    anna.say(str(PORT), kind=MessageKind.STAND_BY)
    bench.advance(0.1)
    assert _asked_at(bench, anna), "a question from an address that this port has not spoken to"
    assert bench.room.successors == [], "it has not answered yet"
    anna.answer_discover(PORT)
    bench.advance(ASK_NEW_SECONDS)
    assert bench.room.successors == [(anna.member.number, f"{anna.address[0]}:{PORT}")]
    event = bench.log()[-1]
    assert (event.kind, event.text) == (
        EventKind.SUCCESSORS,
        f"{anna.member.number} {anna.address[0]}:{PORT}\n",
    )


def test_an_offer_to_stand_by_is_confirmed() -> None:
    bench = _bench()
    anna = bench.join("Anna")
    anna.say(str(PORT), kind=MessageKind.STAND_BY)
    sent = bench.advance(0.1)
    events = [e for p in of_type(Events, anna.got(bench.sent)) if p.inbox for e in p.events]
    (echo,) = {e for e in events if e.kind is EventKind.REGISTER}
    assert (echo.text, echo.member, echo.message_id) == ("0 0", anna.member.number, 1), sent


@pytest.mark.parametrize(
    ("handed_on", "text"),
    [(False, "9091"), (True, "0"), (True, "65536"), (True, "999999"), (True, "x"), (True, "")],
)
def test_who_cannot_host_is_not_asked(handed_on: bool, text: str) -> None:
    bench = _bench(handed_on=handed_on)
    anna = bench.join("Anna")
    anna.say(text, kind=MessageKind.STAND_BY)
    bench.advance(5.0)
    assert of_type(Discover, bench.sent) == []


def test_the_host_itself_is_no_successor() -> None:
    bench = _bench()
    peer = bench.peer("Anna")
    bench.room.hosted_by.client_id = peer.client_id
    peer.enter()
    peer.say(str(PORT), kind=MessageKind.STAND_BY)
    bench.advance(1.0)
    assert _asked_at(bench, peer) == []


def test_an_answer_counts_from_the_members_own_address_alone() -> None:
    bench = _bench()
    anna = bench.join("Anna")
    anna.say(str(PORT), kind=MessageKind.STAND_BY)
    bench.advance(0.1)
    elsewhere: Address = ("192.0.2.200", PORT)
    (asked, *_) = of_type(Discover, to_address((anna.address[0], PORT), bench.sent))
    room_id, flags = bench.room.room_id, OFFER_HANDED_ON
    offer = Offer(asked.nonce, 0, 0, PORT, "", room_id=room_id, flags=flags)
    bench.receive(offer, elsewhere)
    bench.receive(replace(offer, nonce=asked.nonce ^ 1), (anna.address[0], PORT))
    bench.advance(1.0)
    assert bench.room.successors == []


def test_a_port_where_somebody_else_answers_makes_no_successor() -> None:
    bench = _bench()
    anna = bench.join("Anna")
    anna.say(str(PORT), kind=MessageKind.STAND_BY)
    bench.advance(0.1)
    where = (anna.address[0], PORT)
    (asked, *_) = of_type(Discover, to_address(where, bench.sent))
    room_id, flags = bench.room.room_id, OFFER_HANDED_ON
    standby = Offer(asked.nonce, 0, 0, PORT, "", room_id=room_id, flags=flags)
    bench.receive(replace(standby, flags=flags | OFFER_HOSTS), where)
    bench.receive(replace(standby, room_id=room_id ^ 1), where)
    bench.advance(1.0)
    assert bench.room.successors == []
    bench.receive(standby, where)
    bench.advance(1.0)
    assert len(bench.room.successors) == 1


def test_one_that_never_answers_is_asked_often_at_first_and_then_seldom() -> None:
    bench = _bench()
    anna = bench.join("Anna")
    anna.say(str(PORT), kind=MessageKind.STAND_BY)
    bench.keep_alive(15.0, anna)
    asked = _asked_at(bench, anna)
    gaps = [later - at for at, later in pairwise(asked)]
    assert gaps[:ASK_NEW_TRIES] == pytest.approx([ASK_NEW_SECONDS] * ASK_NEW_TRIES)
    assert gaps[ASK_NEW_TRIES:] == pytest.approx([ASK_OTHER_SECONDS] * len(gaps[ASK_NEW_TRIES:]))


def test_a_successor_is_asked_each_second_and_is_none_once_it_is_silent() -> None:
    bench = _bench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.stand_by(PORT)
    boris.stand_by(PORT)
    _answer_all(bench, 2.0, anna, boris)
    assert _numbers(bench) == [anna.member.number, boris.member.number]
    asked = _asked_at(bench, anna)[-2:]
    assert asked[1] - asked[0] == pytest.approx(ASK_SUCCESSOR_SECONDS)
    _answer_all(bench, SUCCESSOR_SILENT_SECONDS + 1.25, boris)
    assert _numbers(bench) == [boris.member.number]


def test_a_member_that_leaves_is_no_successor_any_more() -> None:
    bench = _bench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.stand_by(PORT)
    boris.stand_by(PORT)
    bench.advance(0.5)
    number = boris.member.number
    anna.leave()
    bench.advance(1.0)
    assert _numbers(bench) == [number]


def test_the_first_few_that_answer_are_the_successors_and_stay_it() -> None:
    bench = _bench()
    peers = [bench.join(f"User{number}") for number in range(SUCCESSORS_MAX + 2)]
    for peer in peers:
        peer.stand_by(PORT)
    bench.advance(0.5)
    first = [peer.member.number for peer in peers[:SUCCESSORS_MAX]]
    assert _numbers(bench) == first
    _answer_all(bench, 3.0, *peers)
    assert _numbers(bench) == first


def test_of_those_that_are_left_the_one_with_more_of_the_log_is_the_next_successor() -> None:
    bench = _bench()
    peers = [bench.join(f"User{number}") for number in range(SUCCESSORS_MAX + 2)]
    *first, earlier, later = peers
    for peer in (*first, later, earlier):
        peer.stand_by(PORT)
    bench.advance(0.5)
    first[0].leave()
    _answer_all(bench, 1.0, *first[1:], earlier, later)
    assert _numbers(bench) == [peer.member.number for peer in (*first[1:], earlier)]


def test_few_that_stand_by_are_asked() -> None:
    bench = _bench(members_per_address_max=0)
    peers = [bench.join(f"User{number}") for number in range(STANDBYS_MAX + 2)]
    for peer in peers:
        peer.say(str(PORT), kind=MessageKind.STAND_BY)
    bench.advance(0.5)
    asked = {s.address for s in bench.sent if isinstance(s.packet, Discover)}
    assert len(asked) == STANDBYS_MAX


def _registers(bench: RoomBench, peer: Peer) -> list[Event]:
    events = {
        (packet.first + at): event
        for packet in of_type(Events, peer.got(bench.sent))
        if packet.inbox
        for at, event in enumerate(packet.events)
        if event.kind is EventKind.REGISTER and event.text != "0 0"
    }
    return list(events.values())


def test_a_successor_is_sent_who_is_in() -> None:
    bench = _bench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    boris.say("x")
    anna.stand_by(PORT)
    bench.advance(0.5)
    (register,) = _registers(bench, anna)
    head, *rows = register.text.split("\n")
    assert head == f"{bench.room.log.latest} 0"
    tags = [bench.room.register.tag(peer.client_id).hex() for peer in (anna, boris)]
    assert set(rows) == {
        f"{anna.member.number} {tags[0]} 1 1 Anna",
        f"{boris.member.number} {tags[1]} 1 2 Boris",
    }
    assert _registers(bench, boris) == []


def test_a_successor_on_the_hosts_machine_is_named_by_the_address_for_others() -> None:
    bench = _bench()
    bench.room.hosted_by.address = "192.0.2.77:9091"
    anna = bench.join("Anna", ("127.0.0.1", 41000))
    anna.stand_by(9092)
    bench.advance(0.5)
    assert bench.room.successors == [(anna.member.number, "192.0.2.77:9092")]


def test_a_standby_whose_address_no_event_can_hold_is_no_successor() -> None:
    bench = _bench()
    scope = "x" * ADDRESS_BYTES_MAX
    anna, boris = bench.join("Anna", (f"fe80::1%{scope}", 4000)), bench.join("Boris")
    for peer in (anna, boris):
        peer.say(str(PORT), kind=MessageKind.STAND_BY)
    _answer_all(bench, 2.0, anna, boris)
    assert _numbers(bench) == [boris.member.number]


# --- a room that cannot be kept --------------------------------------------------------------


def test_a_room_that_cannot_be_kept_writes_nothing_of_its_successors() -> None:
    bench = _bench()
    anna = bench.join("Anna")
    anna.stand_by(PORT)
    bench.advance(0.5)
    latest = bench.room.log.latest
    bench.room.hold_back(is_full=True)
    bench.keep_alive(SUCCESSOR_SILENT_SECONDS + 1.5, anna)
    assert (bench.room.log.latest, _numbers(bench)) == (latest, [anna.member.number])
    bench.room.go_on(bench.now)
    bench.keep_alive(1.5, anna)
    assert (bench.room.log.latest, _numbers(bench)) == (latest + 1, [])


def test_a_room_that_goes_back_to_what_was_kept_knows_who_hosts_it_and_who_stands_by() -> None:
    bench, file = _bench(), KeptInMemory()
    before = bench.room
    before.keep(None)
    before.hosted_by.number = 99
    anna = bench.join("Anna")
    anna.stand_by(PORT)
    bench.advance(0.5)
    assert before.notebook is not None
    changes = before.notebook.changes()
    assert changes is not None
    file.write(changes)
    bench.room = ChatRoom(before.settings, random.Random(2), bench.now)
    bench.room.keep(file.read(100))
    bench.room.resume_from(before, bench.now)
    bench.advance(0.1)
    anna.answer_discover(PORT)
    bench.advance(ASK_NEW_SECONDS)
    assert _numbers(bench) == [anna.member.number]
    assert bench.room.hosted_by.number == 99


def test_somebody_who_has_just_said_that_it_can_host_is_expected_to_answer_for_a_while() -> None:
    bench = _bench()
    anna = bench.join("Anna")
    succession = bench.room.succession
    assert not succession.expects_one
    anna.say(str(PORT), kind=MessageKind.STAND_BY)
    bench.advance(0.1)
    assert succession.expects_one
    bench.keep_alive(ASK_NEW_SECONDS * (ASK_NEW_TRIES + 1), anna)
    assert not succession.expects_one, "a firewall keeps others out"
    anna.answer_discover(PORT)
    bench.keep_alive(1.0, anna)
    assert not succession.expects_one


def test_nobody_takes_the_place_of_a_successor_by_claiming_its_port() -> None:
    bench = _bench(heartbeat_seconds=1.0)
    anna = bench.join("Anna")
    where = (anna.address[0], PORT)
    mallory = bench.join("Mallory", address=(anna.address[0], 40999))

    def the_port_answers(seconds: float, *peers: Peer) -> None:
        for _ in range(round(seconds / 0.25)):
            for discover in of_type(Discover, to_address(where, bench.advance(0.25))):
                offer = Offer(discover.nonce, 0, 0, PORT, "", flags=OFFER_HANDED_ON)
                bench.receive(replace(offer, room_id=bench.room.room_id), where)
            for peer in peers:
                peer.status()

    anna.say(str(PORT), kind=MessageKind.STAND_BY)
    the_port_answers(1.0, anna, mallory)
    mallory.say(str(PORT), kind=MessageKind.STAND_BY)
    the_port_answers(3.0, anna, mallory)
    assert _numbers(bench) == [anna.member.number]
    the_port_answers(OWNER_SILENT_SECONDS + 1.0, mallory)
    assert _numbers(bench) == [mallory.member.number], "it was started again"
