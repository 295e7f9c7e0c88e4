"""A machine that can host: when it takes a room over, hands it on, and gives it up to another."""

from __future__ import annotations

import pytest

from tests.hosting.bench import (
    LAST_HOST,
    OTHER,
    OTHER_NUMBER,
    OWN_NUMBER,
    PORT,
    ROOM_ID,
    HostBench,
    to_all,
)
from tests.machines import Sent, of_type
from udp_chat.hosting.gathering import GATHER_MAX_SECONDS, GATHER_SECONDS
from udp_chat.hosting.room_host import (
    ABSORB_SECONDS,
    CONFIRM_SECONDS,
    FENCE_SECONDS,
    FLUSH_SECONDS,
    HAND_ON_SECONDS,
    LOOK_SECONDS,
    REDIRECT_SECONDS,
    RETURN_PLACES,
    RETURN_SECONDS,
    RETURN_SPACING_SECONDS,
    SLEPT_SECONDS,
    YOUNG_SECONDS,
)
from udp_chat.protocol.packets import (
    NO_COOKIE,
    OFFER_HANDED_ON,
    OFFER_HOSTS,
    OFFER_TALKED,
    Address,
    Bye,
    ByeReason,
    Discover,
    Join,
    Leave,
    Message,
    MessageKind,
    Offer,
    Say,
)

BORIS: Address = ("192.0.2.8", 40008)
CLARA: Address = ("192.0.2.6", 40006)
ELSEWHERE: Address = ("192.0.2.77", PORT)


def _away(bench: HostBench) -> None:
    bench.membership.stands(away_since=bench.now)


def _discover(sent: list[Sent], address: Address) -> Discover:
    return [s.packet for s in sent if s.address == address and isinstance(s.packet, Discover)][-1]


def _byes(sent: list[Sent]) -> list[tuple[Address, int, str]]:
    return [(s.address, s.packet.reason, s.packet.text) for s in sent if isinstance(s.packet, Bye)]


# --- standing by -----------------------------------------------------------------------------


def test_a_machine_whose_client_is_in_touch_hosts_nothing() -> None:
    bench = HostBench()
    assert bench.advance(60.0) == []
    assert not bench.host.is_hosting


def test_the_first_successor_takes_over_once_the_last_host_is_silent() -> None:
    bench = HostBench()
    _away(bench)
    sent = bench.wake()
    assert [s.address for s in sent] == [LAST_HOST]
    sent = bench.advance(CONFIRM_SECONDS - 0.01)
    assert len(of_type(Discover, sent)) >= 5, "one lost answer does not matter"
    assert not bench.host.is_hosting
    bench.advance(0.02)
    assert bench.host.is_hosting
    assert bench.membership.looked_at == [("127.0.0.1", PORT)], "its own client comes here"
    bench.advance(GATHER_SECONDS)
    assert bench.room.room_id == ROOM_ID
    assert bench.room.hosted_by.number == OWN_NUMBER


def test_a_host_that_answers_is_not_replaced() -> None:
    bench = HostBench()
    _away(bench)
    asked = _discover(bench.wake(), LAST_HOST)
    for _ in range(20):
        bench.advance(CONFIRM_SECONDS / 2)
        bench.receive(bench.offer(asked.nonce), LAST_HOST)
    assert not bench.host.is_hosting
    bench.advance(CONFIRM_SECONDS)
    assert bench.host.is_hosting


@pytest.mark.parametrize("fields", [{"room_id": 0xD}, {"flags": OFFER_HANDED_ON}])
def test_a_machine_that_hosts_the_room_no_more_is_no_host(fields: dict[str, int]) -> None:
    bench = HostBench()
    _away(bench)
    asked = _discover(bench.wake(), LAST_HOST)
    for _ in range(3):
        bench.advance(CONFIRM_SECONDS / 2)
        bench.receive(bench.offer(asked.nonce, **fields), LAST_HOST)
    assert bench.host.is_hosting


def test_a_later_successor_waits_for_those_before_it() -> None:
    bench = HostBench()
    bench.membership.stands(successors=((OTHER_NUMBER, OTHER), (OWN_NUMBER, ("192.0.2.7", PORT))))
    _away(bench)
    sent = bench.wake()
    assert [s.address for s in sent] == [LAST_HOST, OTHER]
    standing_by = bench.offer(_discover(sent, OTHER).nonce, flags=OFFER_HANDED_ON)
    for _ in range(20):
        bench.advance(CONFIRM_SECONDS / 2)
        bench.receive(standing_by, OTHER)
    assert not bench.host.is_hosting, "the one before it lives, and is about to host"
    bench.advance(CONFIRM_SECONDS)
    assert bench.host.is_hosting


@pytest.mark.parametrize(
    "fields",
    [{"handed_on": False}, {"is_in": False}, {"successors": ((OTHER_NUMBER, OTHER),)}],
)
def test_a_machine_that_is_not_named_takes_nothing_over(fields: dict[str, object]) -> None:
    bench = HostBench()
    bench.membership.stands(**fields)
    _away(bench)
    assert bench.advance(30.0) == []
    assert not bench.host.is_hosting


def test_a_client_that_is_back_in_touch_ends_the_doubt() -> None:
    bench = HostBench()
    _away(bench)
    bench.advance(CONFIRM_SECONDS - 0.1)
    bench.membership.stands(away_since=None)
    bench.wake()
    _away(bench)
    bench.advance(CONFIRM_SECONDS - 0.1)
    assert not bench.host.is_hosting, "the doubt began anew"


def test_a_machine_that_is_called_takes_over_at_once() -> None:
    bench = HostBench()
    bench.membership.stands(called_until=4)
    bench.wake()
    assert bench.host.room is not None, "it has all, so it need not gather"
    assert bench.room.log.latest >= 4


def test_a_machine_that_stands_by_says_so_to_who_asks() -> None:
    bench = HostBench()
    (sent,) = bench.receive(Discover(0x1D, 5), ELSEWHERE)
    assert isinstance(sent.packet, Offer)
    assert (sent.packet.nonce, sent.packet.room_id) == (0x1D, ROOM_ID)
    assert sent.packet.flags == OFFER_HANDED_ON
    bench.membership.stands(is_in=False)
    assert bench.receive(Discover(0x1D, 5), ELSEWHERE) == []


# --- hosting ---------------------------------------------------------------------------------


def _hosting(seed: int = 1) -> HostBench:
    bench = HostBench(seed=seed)
    bench.host.open_room(bench.now)
    bench.wake()
    return bench


def test_a_new_host_looks_for_others_often_at_first() -> None:
    bench = HostBench()
    bench.host.open_room(bench.now)
    began = bench.now
    sent = bench.wake() + bench.advance(LOOK_SECONDS[-1] + 0.1)
    times = [s.at - began for s in to_all(sent)]
    assert times == pytest.approx(list(LOOK_SECONDS))


def test_a_host_says_who_hosts_and_whether_anything_was_said() -> None:
    bench = _hosting()
    welcome = bench.let_in(0xC7, ("127.0.0.1", 40007))
    offer = bench.host.offer(5, bench.now)
    assert offer is not None
    assert (offer.host, offer.member_count, offer.port) == ("User199", 1, PORT)
    assert offer.flags == OFFER_HOSTS | OFFER_HANDED_ON
    say = Say(welcome.session_id, int(bench.now * 1e6) + 1, (Message(1, MessageKind.CHAT, "x"),))
    bench.receive(say, ("127.0.0.1", 40007))
    offer = bench.host.offer(5, bench.now)
    assert offer is not None
    assert offer.flags == OFFER_HOSTS | OFFER_HANDED_ON | OFFER_TALKED


def test_a_host_that_slept_takes_nothing_in_for_a_moment_and_looks_for_another() -> None:
    bench = _hosting()
    bench.advance(10.0)
    bench.now += SLEPT_SECONDS + 60.0
    join = Join(1, 5, NO_COOKIE, 0, 0, 0, 0, 1, name="Clara")
    sent = bench.receive(join, CLARA)
    assert [type(s.packet) for s in sent] == [Discover]
    bench.now += FENCE_SECONDS - 0.01
    assert [s for s in bench.receive(join, CLARA) if s.address == CLARA] == []
    bench.now += 0.02
    assert [s for s in bench.receive(join, CLARA) if s.address == CLARA] != []


def test_a_host_that_slept_goes_to_the_one_that_hosts_now_however_small_that_is() -> None:
    bench = _hosting()
    room_id = bench.room.room_id
    bench.advance(10.0)
    bench.now += SLEPT_SECONDS + 60.0
    asked = to_all(bench.wake())[-1].packet
    assert isinstance(asked, Discover)
    offer = bench.offer(asked.nonce, room_id=room_id, member_count=0)
    bench.receive(offer, ELSEWHERE)
    assert bench.host.room is not None, "anybody can answer what goes to all"
    bench.answers_for_itself(offer, (ELSEWHERE[0], PORT))
    assert bench.host.room is None
    assert bench.host.moved_to == "192.0.2.77:9091"


# --- handing on ------------------------------------------------------------------------------


def _with_successors() -> tuple[HostBench, dict[Address, int]]:
    """A room with two members that can host, and their session ids."""
    bench = _hosting()
    sessions = {}
    for client_id, address in ((0xC8, BORIS), (0xC6, CLARA)):
        welcome = bench.let_in(client_id, address)
        bench.stand_by(welcome, address)
        sessions[address] = welcome.session_id
    return bench, sessions


def _acknowledge(bench: HostBench) -> None:
    for member in list(bench.room.members.values()):
        member.position.acknowledge(bench.room.log.latest)
        member.inbox.acknowledge(member.inbox.log.latest)


def test_a_host_without_successors_keeps_the_room() -> None:
    bench = _hosting()
    bench.host.hand_on(bench.now)
    assert bench.host.handed_on is False
    assert bench.host.room is not None
    bench.let_in(1, CLARA)


def test_a_host_that_has_just_taken_over_waits_until_somebody_can_follow() -> None:
    bench = HostBench()
    bench.membership.stands(called_until=4)
    bench.wake()
    welcome = bench.let_in(0xC8, BORIS)
    bench.host.hand_on(bench.now)
    assert (bench.host.handed_on, bench.host.is_handing_on) == (None, False)
    bench.stand_by(welcome, BORIS)
    bench.host.hand_on(bench.now)
    assert bench.host.is_handing_on


def test_a_host_that_has_just_taken_over_does_not_wait_for_ever() -> None:
    bench = HostBench()
    bench.membership.stands(called_until=4)
    bench.wake()
    bench.now += YOUNG_SECONDS
    bench.host.hand_on(bench.now)
    assert bench.host.handed_on is False


def test_a_host_calls_its_successor_and_sends_everybody_there() -> None:
    bench, _ = _with_successors()
    _acknowledge(bench)
    (number, where), _ = bench.room.successors
    until, room_id = bench.room.log.latest, bench.room.room_id
    bench.host.hand_on(bench.now)
    sent = bench.wake()
    text = f"{number} {until} {where}"
    assert set(_byes(sent)) == {
        (BORIS, ByeReason.MOVED, text),
        (CLARA, ByeReason.MOVED, text),
    }
    assert bench.host.handed_on is None
    asked = _discover(sent, (BORIS[0], PORT))
    bench.receive(bench.offer(asked.nonce, flags=OFFER_HANDED_ON), (BORIS[0], PORT))
    assert bench.host.handed_on is None, "it does not host yet"
    bench.receive(bench.offer(asked.nonce), (BORIS[0], PORT))
    assert bench.host.handed_on is None, "that is another room"
    bench.receive(bench.offer(asked.nonce, room_id=room_id), (BORIS[0], PORT))
    assert bench.host.handed_on is True
    assert not bench.host.is_handing_on


def test_what_is_said_while_the_room_is_handed_on_is_left_to_the_next_host() -> None:
    bench, sessions = _with_successors()
    latest = bench.room.log.latest
    bench.host.hand_on(bench.now)
    bench.now += 0.01
    say = Say(sessions[BORIS], int(bench.now * 1e6), (Message(2, MessageKind.CHAT, "x"),))
    bench.receive(say, BORIS)
    assert bench.host.room is None or bench.room.log.latest == latest


def test_a_host_waits_a_moment_for_its_successor_to_have_all() -> None:
    bench, _ = _with_successors()
    bench.host.hand_on(bench.now)
    assert _byes(bench.wake()) == []
    assert _byes(bench.advance(FLUSH_SECONDS - 0.02)) == []
    assert _byes(bench.advance(0.05)) != []


def test_the_second_successor_is_called_when_the_first_is_silent() -> None:
    bench, _ = _with_successors()
    _acknowledge(bench)
    second, where = bench.room.successors[1]
    bench.host.hand_on(bench.now)
    bench.wake()
    sent = bench.advance(HAND_ON_SECONDS + 0.05)
    assert _byes(sent)[-1][2].startswith(f"{second} ")
    assert _byes(sent)[-1][2].endswith(where)
    sent = bench.advance(HAND_ON_SECONDS + 0.05)
    assert bench.host.handed_on is False, "nobody is left"
    assert not bench.host.is_handing_on


def test_a_successor_that_has_answered_has_time_to_gather_before_another_is_called() -> None:
    bench, _ = _with_successors()
    _acknowledge(bench)
    (first, _), (second, _) = bench.room.successors
    room_id = bench.room.room_id
    bench.host.hand_on(bench.now)
    asked = _discover(bench.wake(), (BORIS[0], PORT))
    answer = bench.offer(asked.nonce, room_id=room_id, flags=OFFER_HANDED_ON)
    for _ in range(2):  # it is asked, and answers, again and again
        bench.receive(answer, (BORIS[0], PORT))
        bench.receive(answer, (ELSEWHERE[0], PORT))
    sent = bench.advance(GATHER_MAX_SECONDS + HAND_ON_SECONDS - 0.05)
    assert {text.split()[0] for _, _, text in _byes(sent)} == {str(first)}
    sent = bench.advance(0.1)
    assert _byes(sent)[-1][2].startswith(f"{second} "), "it never hosted"
    bench.advance(HAND_ON_SECONDS)
    assert bench.host.handed_on is False, "the second one has not answered"


def test_a_former_host_says_where_the_room_is_for_a_while() -> None:
    bench, sessions = _with_successors()
    _acknowledge(bench)
    where, room_id = bench.room.successors[0][1], bench.room.room_id
    bench.host.hand_on(bench.now)
    asked = _discover(bench.wake(), (BORIS[0], PORT))
    bench.receive(bench.offer(asked.nonce, room_id=room_id), (BORIS[0], PORT))
    late = Join(0xC6, 5, NO_COOKIE, 0, 0, 0, 0, 1, name="Clara")
    assert _byes(bench.receive(late, CLARA)) == [(CLARA, ByeReason.MOVED, f"0 0 {where}")]
    short = Leave(sessions[CLARA], 5)
    assert bench.receive(short, CLARA) == [], "never more than it was sent"
    bench.now += REDIRECT_SECONDS + 1.0
    assert bench.receive(late, CLARA) == []


def test_a_machine_that_hosts_nothing_has_handed_on() -> None:
    bench = HostBench()
    bench.host.hand_on(bench.now)
    assert bench.host.handed_on is True


# --- two hosts -------------------------------------------------------------------------------


def _found(bench: HostBench, **fields: object) -> bool:
    """Another host is found; whether this one went there."""
    known: dict[str, object] = {"room_id": bench.room.room_id, "epoch": 2**64 - 1}
    known.update(fields)
    epoch = known.pop("epoch")
    count = known.pop("count", 2)
    room = known.pop("room", "chat")
    flags = known.pop("flags", OFFER_HOSTS | OFFER_HANDED_ON)
    offer = Offer(0, epoch, count, PORT, room, flags=flags, **known)  # type: ignore[arg-type]
    bench.wake()
    bench.host.consider(offer, (ELSEWHERE[0], 40123), bench.now)
    bench.answers_for_itself(offer, (ELSEWHERE[0], PORT))
    return bench.host.room is None


def _epoch_absorbed(bench: HostBench) -> int:
    offer = bench.host.offer(0, bench.now)
    assert offer is not None
    return offer.absorbs


TALKED = OFFER_HOSTS | OFFER_HANDED_ON | OFFER_TALKED


def _member(bench: HostBench, *, talks: bool = False) -> None:
    welcome = bench.let_in(0xC8, BORIS)
    if talks:
        said = (Message(1, MessageKind.CHAT, "x"),)
        bench.receive(Say(welcome.session_id, int(bench.now * 1e6) + 1, said), BORIS)


def test_the_smaller_epoch_decides_that_the_part_with_more_members_stays() -> None:
    bench = _hosting()
    _member(bench)
    assert not _found(bench, count=1)
    assert _epoch_absorbed(bench) == 2**64 - 1, "the other one is to come"
    bench.advance(ABSORB_SECONDS + 0.1)
    assert _epoch_absorbed(bench) == 0
    bench = _hosting()
    _member(bench)
    assert _found(bench, count=2)
    assert bench.host.moved_to == "192.0.2.77:9091", "where it hosts, not where it asked from"
    assert _byes(bench.sent)[-1] == (BORIS, ByeReason.MOVED, "0 0 192.0.2.77:9091")


def test_the_greater_epoch_waits_to_be_asked() -> None:
    bench = _hosting()
    assert not _found(bench, epoch=1, count=9)
    assert _epoch_absorbed(bench) == 0
    assert not _found(bench, epoch=1, count=9, absorbs=77)
    assert _found(bench, epoch=1, count=9, absorbs=bench.room.log.epoch)


def test_a_decision_stands_for_a_while_whoever_has_more_members_meanwhile() -> None:
    bench = _hosting()
    _member(bench)
    assert not _found(bench, count=1)
    assert not _found(bench, count=9)
    bench.now += ABSORB_SECONDS
    assert _found(bench, count=9)


@pytest.mark.parametrize(
    "fields",
    [
        {"room_id": 0xD, "room": "other"},
        {"flags": OFFER_HOSTS},
        {"flags": OFFER_HANDED_ON},
        {"room_id": 0xD, "flags": TALKED, "talks": True},
    ],
    ids=["another name", "a server of its own", "one that stands by", "both have talked"],
)
def test_other_rooms_are_let_be(fields: dict[str, object]) -> None:
    bench = _hosting()
    _member(bench, talks=bool(fields.get("talks")))
    told = {key: value for key, value in fields.items() if key != "talks"}
    assert not _found(bench, count=9, **told)
    assert _epoch_absorbed(bench) == 0


def test_of_two_rooms_of_one_name_the_one_in_which_something_was_said_stays() -> None:
    bench = _hosting()
    _member(bench)
    assert _found(bench, room_id=0xD, count=0, flags=TALKED)
    bench = _hosting()
    _member(bench, talks=True)
    assert not _found(bench, room_id=0xD, count=9)
    assert not _found(bench, room_id=0xD, count=9, epoch=1, absorbs=bench.room.log.epoch)


def test_a_host_goes_nowhere_before_its_own_client_is_in() -> None:
    bench = _hosting()
    bench.membership.stands(is_in=False)
    assert not _found(bench, count=9)


def test_a_host_does_not_take_itself_for_another() -> None:
    bench = _hosting()
    assert not _found(bench, epoch=bench.room.log.epoch, count=9)


def test_another_host_on_this_machine_is_named_by_its_address_for_others() -> None:
    bench = _hosting()
    offer = bench.offer(0, room_id=bench.room.room_id)
    other = Offer(0, 2**64 - 1, 9, 9092, "chat", room_id=offer.room_id, flags=offer.flags)
    bench.host.consider(other, ("127.0.0.1", 9092), bench.now)
    bench.answers_for_itself(other, ("127.0.0.1", 9092))
    assert bench.host.moved_to == "192.0.2.7:9092"


def test_a_room_in_which_somebody_has_spoken_since_does_not_go_to_one_of_another_id() -> None:
    bench = _hosting()
    welcome = bench.let_in(0xC8, BORIS)
    other = Offer(0, 2**64 - 1, 9, PORT, "chat", room_id=0xD, flags=OFFER_HOSTS | OFFER_HANDED_ON)
    bench.host.consider(other, ELSEWHERE, bench.now)
    say = Say(welcome.session_id, int(bench.now * 1e6) + 9, (Message(1, MessageKind.CHAT, "x"),))
    bench.receive(say, BORIS)
    bench.answers_for_itself(other, (ELSEWHERE[0], PORT))
    assert bench.host.room is not None


def test_a_machine_that_has_hosted_hosts_again_if_nobody_else_does() -> None:
    bench = _hosting()
    room_id = bench.room.room_id
    other = bench.offer(0, room_id=room_id, epoch=2**64 - 1, member_count=9)
    bench.host.consider(other, ELSEWHERE, bench.now)
    bench.answers_for_itself(other, (ELSEWHERE[0], PORT))
    assert bench.host.room is None, "it has sent its members to another one"
    member = bench.membership
    member.stands(room_id=room_id, away_since=bench.now, successors=())
    bench.wake()
    places = member.standing.number % RETURN_PLACES if member.standing is not None else 0
    soon = RETURN_SECONDS + places * RETURN_SPACING_SECONDS
    bench.advance(soon - 0.1)
    assert not bench.host.is_hosting
    bench.advance(0.1 + CONFIRM_SECONDS + 0.2)
    assert bench.host.is_hosting


@pytest.mark.parametrize("came_in", [False, True])
def test_a_host_goes_to_no_term_twice_unless_its_own_client_came_in_there(came_in: bool) -> None:
    bench = _hosting()
    room_id = bench.room.room_id
    assert _found(bench, count=9)
    member = bench.membership
    if came_in:
        member.stands(room_id=room_id, last_host=(ELSEWHERE[0], PORT), successors=())
        bench.wake()
    member.stands(room_id=room_id, away_since=bench.now, successors=())
    bench.wake()
    bench.advance(RETURN_SECONDS + RETURN_PLACES * RETURN_SPACING_SECONDS + 2.0)
    member.stands(room_id=room_id)
    assert _found(bench, count=9) == came_in
    if not came_in:
        assert _epoch_absorbed(bench) == 2**64 - 1, "the other one is to come"
        assert not _found(bench, count=9, absorbs=bench.room.log.epoch)
