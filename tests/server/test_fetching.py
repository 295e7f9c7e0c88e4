"""What a host fetches of its members that it has not, range by range, each event once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.lineage import Lineage
from udp_chat.protocol.packets import (
    NO_COOKIE,
    Address,
    Event,
    EventKind,
    Fetch,
    Join,
    Told,
    decode,
)
from udp_chat.server.fetching import (
    ADDRESS_BRANCHES_MAX,
    BRANCHES_MAX,
    EVENTS_MAX,
    FETCH_AGAIN_SECONDS,
    SKIP_SECONDS,
    SOURCES_MAX,
    TRIES_MAX,
    Fetching,
    taken_apart,
)

ANNA: Address = ("192.0.2.1", 40001)
BORIS: Address = ("192.0.2.2", 40002)
ONE_TERM = Lineage(((0xA, 1),))
TWO_TERMS = ONE_TERM.followed_by(0xB, 6)


def _join(room_ack: int, lineage: Lineage = ONE_TERM, client_id: int = 1) -> Join:
    return Join(
        client_id=client_id,
        timestamp=1,
        cookie=NO_COOKIE,
        epoch=0xA,
        room_ack=room_ack,
        inbox_epoch=0,
        inbox_ack=0,
        next_message_id=1,
        room_id=0xA,
        member=7,
        lineage=lineage.encode(),
        name="Anna",
    )


def _asked(fetching: Fetching, now: float) -> list[tuple[int, int, int, Address]]:
    """The epoch and the range of each FETCH, and where it went."""
    asked = []
    for datagram, address in fetching.datagrams_to_send(now):
        fetch = decode(datagram)
        assert isinstance(fetch, Fetch)
        asked.append((fetch.epoch, fetch.first, fetch.last, address))
    return asked


def _told(first: int, last: int, epoch: int = 0xA, client_id: int = 1) -> Told:
    numbers = range(first, last + 1)
    events = tuple(Event(EventKind.CHAT, seq, "Anna", "", str(seq), 7, seq) for seq in numbers)
    return Told(client_id, 1, epoch, first, events)


def _taken(fetching: Fetching, told: Told, address: Address = ANNA, now: float = 5.0) -> list[int]:
    return [seq for seq, _ in fetching.take(told, address, now)]


def test_what_a_member_has_beyond_the_common_events_is_asked_for_at_once_and_again() -> None:
    fetching = Fetching()
    assert fetching.is_over
    assert fetching.next_timeout() == NEVER
    fetching.note(_join(9), ANNA, 5, 100.0)
    assert not fetching.is_over
    assert fetching.next_timeout() == 100.0, "not a time gone by, which looks like a stall"
    assert _asked(fetching, 100.0) == [(0xA, 6, 9, ANNA)]
    assert _asked(fetching, 100.0 + FETCH_AGAIN_SECONDS / 2) == []
    assert fetching.next_timeout() == 100.0 + FETCH_AGAIN_SECONDS
    assert _asked(fetching, 100.0 + FETCH_AGAIN_SECONDS) == [(0xA, 6, 9, ANNA)]


def test_what_was_said_in_two_terms_is_asked_for_one_term_after_the_other() -> None:
    fetching = Fetching({0xB: 5})
    fetching.note(_join(9, TWO_TERMS), ANNA, 3, 5.0)
    assert _asked(fetching, 5.0) == [(0xA, 4, 5, ANNA)]
    assert _taken(fetching, _told(4, 4)) == [4]
    assert _asked(fetching, 5.0) == [(0xA, 5, 5, ANNA)]
    assert _taken(fetching, _told(5, 5)) == [5]
    assert _asked(fetching, fetching.next_timeout()) == [(0xB, 6, 9, ANNA)]


def test_the_term_of_one_part_does_not_wait_for_that_of_another() -> None:
    fetching = Fetching()
    fetching.note(_join(9), ANNA, 3, 0.0)
    fetching.note(_join(9, Lineage(((0xB, 6),)), client_id=2), BORIS, 3, 0.0)
    assert _asked(fetching, 0.0) == [(0xA, 4, 9, ANNA), (0xB, 6, 9, BORIS)]


def test_each_event_is_taken_once_in_order_and_the_rest_is_asked_for() -> None:
    fetching = Fetching()
    fetching.note(_join(9), ANNA, 5, 0.0)
    _asked(fetching, 0.0)
    assert _taken(fetching, _told(7, 8)) == [], "6 comes first"
    assert _taken(fetching, _told(4, 7)) == [6, 7]
    assert _taken(fetching, _told(6, 7)) == []
    assert fetching.next_timeout() == 5.0, "the rest is wanted now"
    assert _asked(fetching, 5.0) == [(0xA, 8, 9, ANNA)]
    assert _taken(fetching, _told(8, 12)) == [8, 9], "more was not said to be there"
    assert fetching.is_over
    assert fetching.next_timeout() == NEVER


@pytest.mark.parametrize(
    ("told", "address"),
    [
        (_told(6, 9), BORIS),
        (_told(6, 9, client_id=2), ANNA),
        (_told(6, 9, epoch=0xB), ANNA),
    ],
)
def test_only_who_is_asked_is_heard_and_only_about_that(told: Told, address: Address) -> None:
    fetching = Fetching()
    fetching.note(_join(9), ANNA, 5, 0.0)
    assert _taken(fetching, told, address) == []


def test_the_one_that_has_most_is_asked_and_another_once_it_is_silent() -> None:
    fetching = Fetching()
    fetching.note(_join(8), ANNA, 5, 0.0)
    fetching.note(_join(9, client_id=2), BORIS, 5, 0.0)
    now = 0.0
    asked: list[Address] = []
    while not fetching.is_over:
        assert now < 10.0
        asked += [address for *_, address in _asked(fetching, now)]
        now = max(now, fetching.next_timeout())
    assert asked == [BORIS] * TRIES_MAX + [ANNA] * TRIES_MAX


def test_one_that_tells_nothing_is_asked_no_longer_than_one_that_is_silent() -> None:
    fetching = Fetching()
    fetching.note(_join(9, client_id=1), ANNA, 5, 1.0)
    fetching.note(_join(8, client_id=2), BORIS, 5, 1.0)
    now = 1.0
    nothing = replace(_told(6, 6), events=())
    for _ in range(TRIES_MAX):
        assert [where for *_, where in _asked(fetching, now)] == [ANNA]
        assert fetching.take(nothing, ANNA, now) == []
        now += FETCH_AGAIN_SECONDS
    assert _asked(fetching, now) == []
    assert _asked(fetching, now) == [(0xA, 6, 8, BORIS)]


def test_a_member_that_has_gone_is_not_asked() -> None:
    fetching = Fetching()
    fetching.note(_join(9), ANNA, 5, 0.0)
    fetching.forget(1)
    assert fetching.is_over
    assert _asked(fetching, 0.0) == []


def test_what_is_known_of_a_term_is_not_asked_for_again() -> None:
    fetching = Fetching({0xA: 7})
    fetching.note(_join(7), ANNA, 5, 100.0)
    assert fetching.is_over
    fetching.note(_join(9), ANNA, 5, 100.0)
    assert fetching.next_timeout() == 100.0
    assert _asked(fetching, 100.0) == [(0xA, 8, 9, ANNA)]


def test_every_table_is_bounded() -> None:
    fetching = Fetching()
    fetching.note(_join(3 * EVENTS_MAX), ANNA, 0, 0.0)
    assert _asked(fetching, 0.0) == [(0xA, 2 * EVENTS_MAX + 1, 3 * EVENTS_MAX, ANNA)]
    for client_id in range(2, SOURCES_MAX + 5):
        fetching.note(_join(3 * EVENTS_MAX + client_id, client_id=client_id), ANNA, 0, 0.0)
    assert _asked(fetching, 1.0)[0][2] == 3 * EVENTS_MAX + SOURCES_MAX, "no more are remembered"
    for epoch in range(1, BRANCHES_MAX + 9):
        join = _join(2, Lineage(((0x1000 + epoch, 1),)), client_id=100 + epoch)
        fetching.note(join, (f"198.51.100.{epoch % 250}", 40000), 0, 1.0)
    assert len(_asked(fetching, 2.0)) == BRANCHES_MAX


def test_the_members_of_one_address_cannot_invent_terms_without_end() -> None:
    fetching = Fetching()
    for number in range(1, 4 * ADDRESS_BRANCHES_MAX):
        join = _join(2, Lineage(((0x1000 + number, 1),)), client_id=100 + number)
        fetching.note(join, (ANNA[0], 40000 + number), 0, 1.0)
    assert len(_asked(fetching, 2.0)) == ADDRESS_BRANCHES_MAX
    fetching.note(_join(2), BORIS, 0, 3.0)
    assert _asked(fetching, 3.0)[-1] == (0xA, 1, 2, BORIS), "others are heard"
    fetching.note(_join(4, client_id=9), ANNA, 0, 3.0)
    fetching.forget(1)
    assert _asked(fetching, 4.0)[-1] == (0xA, 1, 4, ANNA), "a term that others told first"


def test_a_log_says_what_it_has_of_other_parts() -> None:
    def apart(kind: EventKind, origin: str) -> bytes:
        return Event(kind, 1, "Anna", origin, "text", 7, 1).encode()

    events = [
        apart(EventKind.CHAT_APART, "000000000000000b 7"),
        apart(EventKind.ACTION_APART, "000000000000000b 6"),
        apart(EventKind.ACTION_APART, "000000000000000c 2"),
        Event(EventKind.CHAT, 1, "Anna", "", "text", 7, 1).encode(),
    ]
    assert taken_apart(events) == {0xB: 7, 0xC: 2}


def test_what_a_member_has_not_from_the_beginning_is_asked_of_another_or_left_out() -> None:
    fetching = Fetching()
    fetching.note(_join(9), ANNA, 2, 5.0)
    fetching.note(_join(6, client_id=2), BORIS, 2, 5.0)
    assert _asked(fetching, 5.0) == [(0xA, 3, 9, ANNA)]
    late = Told(1, 1, 0xA, 5, ())
    assert _taken(fetching, late) == []
    assert _asked(fetching, 5.0) == [(0xA, 3, 6, BORIS)]
    assert _taken(fetching, Told(2, 1, 0xA, 4, ()), BORIS) == []
    assert _asked(fetching, 5.0) == [], "3 may come with another one"
    assert fetching.next_timeout() > 5.0, "not a time gone by"
    later = 5.0 + SKIP_SECONDS
    assert _asked(fetching, later) == [(0xA, 4, 6, BORIS)]
    assert fetching.come_until(0xA) == 2, "nothing is left out yet"
    assert _taken(fetching, _told(4, 6, client_id=2), BORIS, later) == [4, 5, 6]
    assert _asked(fetching, later) == [(0xA, 7, 9, ANNA)]


def test_what_is_to_be_left_out_is_asked_of_one_that_has_it_as_long_as_nothing_later_has_come() -> (
    None
):
    fetching = Fetching()
    fetching.note(_join(6, client_id=2), BORIS, 2, 5.0)
    _asked(fetching, 5.0)
    _taken(fetching, Told(2, 1, 0xA, 4, ()), BORIS)
    later = 5.0 + SKIP_SECONDS
    assert _asked(fetching, later) == [(0xA, 4, 6, BORIS)]
    fetching.note(_join(9), ANNA, 2, later)
    assert _taken(fetching, _told(4, 6, client_id=2), BORIS, later) == []
    assert _asked(fetching, later + FETCH_AGAIN_SECONDS) == [(0xA, 3, 9, ANNA)]


def test_what_the_first_one_has_not_is_asked_of_one_that_comes_a_moment_later() -> None:
    fetching = Fetching()
    fetching.note(_join(9), ANNA, 2, 5.0)
    _asked(fetching, 5.0)
    assert _taken(fetching, Told(1, 1, 0xA, 5, ())) == []
    assert _asked(fetching, 5.0) == []
    fetching.note(_join(7, client_id=2), BORIS, 2, 6.0)
    assert _asked(fetching, 6.0) == [(0xA, 3, 7, BORIS)]
