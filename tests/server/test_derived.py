"""Who is in a room, as it follows from a register and the events that came after it."""

from __future__ import annotations

import random

import pytest

from udp_chat.protocol.packets import Event, EventKind
from udp_chat.server.derived import Clients, Row

ANNA_TAG, BORIS_TAG = "00000000000000a1", "00000000000000b0"
ANNA = Row.parse(f"7 {ANNA_TAG} 4 3 Anna")
BORIS = Row.parse(f"8 {BORIS_TAG} 0 2 Boris")


def _kept(clients: Clients) -> list[tuple[int, str, int, bool]]:
    """The number, the name, the newest message and whether it is in, of each."""
    kept = clients.kept_members(random.Random(1))
    return [(each.number, each.name, each.appended, not each.left_seq) for each in kept]


def test_a_line_of_a_register_is_a_client() -> None:
    assert (ANNA.number, ANNA.name, ANNA.appended, ANNA.joined_seq) == (7, "Anna", 4, 3)
    assert ANNA.tag == bytes.fromhex(ANNA_TAG)
    assert not ANNA.left_seq
    assert Row.parse(f"9 {ANNA_TAG} 4 0 Clara").left_seq, "it is gone"


def test_what_is_older_than_the_register_changes_nothing() -> None:
    clients = Clients([ANNA, BORIS], 10)
    clients.follow(10, Event(EventKind.LEAVE, 1, "Anna", "", "left", 7))
    clients.follow(11, Event(EventKind.CHAT, 1, "Boris", "", "x", 8, 2))
    assert _kept(clients) == [(7, "Anna", 4, True), (8, "Boris", 2, True)]


def test_joins_leaves_renames_and_messages_are_followed() -> None:
    clients = Clients([ANNA, BORIS], 10)
    clients.follow(11, Event(EventKind.LEAVE, 1, "Anna", "", "left", 7))
    clients.follow(12, Event(EventKind.RENAME, 1, "Boris", "", "Bob", 8, 3))
    clients.follow(13, Event(EventKind.ACTION, 1, "Bob", "", "waves", 8, 2))
    clients.follow(14, Event(EventKind.JOIN, 1, "Clara", "", "00000000000000c1", 9))
    clients.follow(15, Event(EventKind.CHAT, 1, "Nobody", "", "x", 99, 1))
    assert _kept(clients) == [(8, "Bob", 3, True), (9, "Clara", 0, True), (7, "Anna", 4, False)]
    assert clients.tags_in(but=9) == {bytes.fromhex(BORIS_TAG)}


def test_who_comes_back_keeps_its_number_and_its_newest_message() -> None:
    clients = Clients([ANNA], 10)
    clients.follow(11, Event(EventKind.LEAVE, 1, "Anna", "", "left", 7))
    clients.follow(12, Event(EventKind.JOIN, 1, "Anne", "", ANNA_TAG, 7))
    assert _kept(clients) == [(7, "Anne", 4, True)]
    assert clients.tags_in(but=0) == {bytes.fromhex(ANNA_TAG)}


def test_a_message_that_was_said_apart_is_not_the_newest_here() -> None:
    """The one that said it may still say older ones here."""
    clients = Clients([ANNA], 10)
    clients.follow(11, Event(EventKind.CHAT_APART, 1, "Anna", "00000000000000e1 7", "x", 7, 9))
    assert _kept(clients) == [(7, "Anna", 4, True)]


def test_a_client_of_which_nothing_stands_for_its_id_is_left_out() -> None:
    clients = Clients([], 0)
    clients.follow(1, Event(EventKind.JOIN, 1, "Anna", "", "", 7))
    assert _kept(clients) == []


@pytest.mark.parametrize(
    "row",
    [
        f"0 {BORIS_TAG} 0 2 Boris",
        f"{2**32} {BORIS_TAG} 0 2 Boris",
        f"8 {BORIS_TAG} {2**32} 2 Boris",
        f"8 {BORIS_TAG} 0 {2**63 + 1} Boris",
    ],
)
def test_a_client_with_numbers_that_no_packet_can_say_is_left_out(row: str) -> None:
    assert _kept(Clients([ANNA, Row.parse(row)], 10)) == [(7, "Anna", 4, True)]


@pytest.mark.parametrize("name", ["Boris Boris", "Boris\n1"])
def test_a_client_whose_name_no_register_can_say_is_left_out(name: str) -> None:
    clients = Clients([ANNA], 10)
    clients.follow(11, Event(EventKind.JOIN, 1, name, "", BORIS_TAG, 8))
    assert _kept(clients) == [(7, "Anna", 4, True)]


def test_each_has_an_inbox_of_its_own() -> None:
    kept = Clients([ANNA, BORIS], 10).kept_members(random.Random(1))
    assert len({each.inbox_epoch for each in kept}) == 2
    assert {(each.inbox_acked, each.inbox_latest) for each in kept} == {(0, 0)}
