"""What a new host does before its term: who is let in, what is fetched, and when it ends."""

from __future__ import annotations

import random
from typing import Any

from tests.hosting.bench import HOST_NUMBER, ROOM_ID, TAGS, TERM, replica, said
from tests.machines import START
from udp_chat.client.replica import Replica, parsed
from udp_chat.hosting.gathering import GATHER_MAX_SECONDS, GATHER_SECONDS, Gathering
from udp_chat.protocol.lineage import Lineage
from udp_chat.protocol.packets import (
    NO_COOKIE,
    Address,
    Challenge,
    Event,
    EventKind,
    Fetch,
    Join,
    Packet,
    Told,
    Welcome,
    decode,
)
from udp_chat.server.kept import client_tag

ANNA_ID, BORIS_ID = 0xC7, 0xC8
BORIS: Address = ("192.0.2.8", 40008)


def _gathering(kept: Replica | None = None, until: int = 0) -> Gathering:
    return Gathering(kept or replica("a"), HOST_NUMBER, random.Random(1), START, until)


def _replica_of_known_clients(*texts: str) -> Replica:
    """The same, in which 7 and 8 have the tags of Anna's and Boris's client ids."""
    kept = replica(*texts)
    rows = ((7, ANNA_ID, "Anna"), (8, BORIS_ID, "Boris"))
    text = "\n".join(
        [f"{kept.log.latest} 0"]
        + [f"{number} {client_tag(each, ROOM_ID).hex()} 0 1 {name}" for number, each, name in rows]
    )
    kept.take_register(Event(EventKind.REGISTER, 1, "", "", text, 7))
    return kept


def _join(client_id: int, cookie: bytes, **fields: Any) -> Join:
    known: dict[str, Any] = {
        "epoch": ROOM_ID,
        "room_ack": 4,
        "room_id": ROOM_ID,
        "member": 8,
        "lineage": TERM.encode(),
    }
    return Join(
        client_id=client_id,
        timestamp=1,
        cookie=cookie,
        inbox_epoch=0,
        inbox_ack=0,
        next_message_id=1,
        name="Boris",
        **{**known, **fields},
    )


def _sent(gathering: Gathering, now: float) -> list[Packet]:
    return [decode(datagram) for datagram, _ in gathering.datagrams_to_send(now)]


def _come(gathering: Gathering, client_id: int, **fields: Any) -> list[Packet]:
    """A client asks, and brings its cookie back; what came of that."""
    gathering.receive_datagram(_join(client_id, NO_COOKIE, **fields).encode(), BORIS, START)
    (challenge,) = _sent(gathering, START)
    assert isinstance(challenge, Challenge)
    gathering.receive_datagram(_join(client_id, challenge.cookie, **fields).encode(), BORIS, START)
    return _sent(gathering, START)


def _texts(gathering: Gathering) -> list[str]:
    events = [parsed(encoded) for encoded in gathering.room().events]
    return [event.text for event in events if event.kind is EventKind.CHAT]


def test_it_ends_after_a_moment_in_which_nobody_is_let_in() -> None:
    gathering = _gathering()
    assert not any(isinstance(packet, Welcome) for packet in _come(gathering, BORIS_ID))
    assert gathering.next_timeout() == START + GATHER_SECONDS
    assert not gathering.is_over(START + GATHER_SECONDS - 0.01)
    assert gathering.is_over(START + GATHER_SECONDS)


def test_it_ends_at_once_when_all_who_were_in_have_come() -> None:
    gathering = _gathering(_replica_of_known_clients("a"))
    _come(gathering, ANNA_ID)
    assert not gathering.is_over(START)
    _come(gathering, BORIS_ID)
    assert gathering.is_over(START)


def test_it_ends_at_once_where_the_host_said_how_far_its_log_went() -> None:
    assert _gathering(until=4).is_over(START)
    assert not _gathering(until=5).is_over(START), "one event is missing here"


def test_what_others_have_that_the_new_host_has_not_is_fetched_before_the_term() -> None:
    gathering = _gathering()
    (fetch,) = _come(gathering, BORIS_ID, room_ack=6)
    assert fetch == Fetch(BORIS_ID, ROOM_ID, 5, 6)
    assert not gathering.is_over(START + GATHER_SECONDS), "it is on its way"
    told = Told(BORIS_ID, 1, ROOM_ID, 5, tuple(said("b", "c", first_id=2)))
    gathering.receive_datagram(told.encode(), BORIS, START + 0.1)
    assert gathering.is_over(START + GATHER_SECONDS)
    assert _texts(gathering) == ["a", "b", "c"]
    room = gathering.room()
    assert room.lineage.terms[-1] == (room.epoch, 7)
    assert gathering.fetched_count == 2


def test_it_does_not_wait_for_what_never_comes() -> None:
    gathering = _gathering()
    _come(gathering, BORIS_ID, room_ack=6)
    assert not gathering.is_over(START + GATHER_MAX_SECONDS - 0.01)
    assert gathering.is_over(START + GATHER_MAX_SECONDS)
    assert _texts(gathering) == ["a"]


def test_what_was_said_in_another_branch_is_not_put_before_the_term() -> None:
    gathering = _gathering()
    branch = TERM.followed_by(0xB, 5)
    assert _come(gathering, BORIS_ID, room_ack=6, epoch=0xB, lineage=branch.encode()) == []
    assert gathering.is_over(START + GATHER_SECONDS)


def test_a_newcomer_and_another_room_are_no_source() -> None:
    gathering = _gathering(_replica_of_known_clients("a"))
    _come(gathering, ANNA_ID)
    other = Lineage(((0xD, 1),))
    assert _come(gathering, BORIS_ID, room_ack=9, room_id=0xD, lineage=other.encode()) == []
    assert not gathering.is_over(START)


def test_only_who_brings_its_cookie_back_counts() -> None:
    gathering = _gathering(_replica_of_known_clients("a"))
    for client_id in (ANNA_ID, BORIS_ID):
        forged = _join(client_id, b"x" * 16, room_ack=6)
        gathering.receive_datagram(forged.encode(), BORIS, START)
    assert {type(packet) for packet in _sent(gathering, START)} == {Challenge}
    assert not gathering.is_over(START)
    gathering.receive_datagram(b"nothing", BORIS, START)
    assert _sent(gathering, START) == []


def test_the_room_is_its_log_and_who_is_in_follows_from_it() -> None:
    room = _gathering().room()
    assert (room.room_id, room.first_seq, len(room.events)) == (ROOM_ID, 1, 4)
    assert [(each.number, each.client_key.hex(), each.appended) for each in room.members] == [
        (9, TAGS[9], 0),
        (7, TAGS[7], 0),
        (8, TAGS[8], 1),
    ]
