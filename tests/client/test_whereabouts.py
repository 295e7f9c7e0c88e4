"""Where a client looks for its room: its addresses in their order, and what ends the looking."""

from __future__ import annotations

import pytest

from tests.machines import SERVER, SessionBench
from udp_chat.client.whereabouts import FOUND_MAX, MOVED_QUIET_SECONDS, PINNED_TRIES, Whereabouts
from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.packets import Address, Welcome

ANNA: Address = ("192.0.2.11", 9091)
BORIS: Address = ("192.0.2.12", 9091)
ELSEWHERE: Address = ("192.0.2.99", 9091)
SUCCESSORS = "7 192.0.2.11:9091\n8 192.0.2.12:9091\n"


def _welcome(**fields: object) -> Welcome:
    bench = SessionBench()
    bench.start()
    return bench.welcome_packet(handed_on=True, successors=SUCCESSORS, **fields)


def _places() -> Whereabouts:
    places = Whereabouts(SERVER)
    places.welcomed(_welcome())
    return places


def _looked_at(places: Whereabouts, count: int) -> list[Address]:
    looked = []
    for _ in range(count):
        places.look_on()
        looked.append(places.server)
    return looked


def test_a_client_asks_the_likeliest_place_every_second_time_and_the_others_in_turn() -> None:
    places = _places()
    places.gone(5.0, has_moved=False)
    assert places.away_since == 5.0
    assert _looked_at(places, 6) == [ANNA, BORIS, ANNA, SERVER, ANNA, BORIS]


def test_a_host_that_is_found_gone_twice_is_away_since_the_first_time() -> None:
    places = _places()
    places.gone(5.0, has_moved=False)
    places.gone(7.0, has_moved=False)
    assert places.away_since == 5.0
    places.welcomed(_welcome())
    assert places.away_since is None


def test_a_client_asks_first_where_its_host_has_sent_it() -> None:
    places = _places()
    places.moved("0 0 192.0.2.99:9091", 5)
    places.gone(5.0, has_moved=True)
    assert _looked_at(places, 2) == [ELSEWHERE, ANNA]
    assert places.called_until is None, "another one is to host"
    assert places.tell_away_at == 5.0 + MOVED_QUIET_SECONDS


def test_the_member_that_is_called_learns_where_the_log_ended() -> None:
    places = _places()
    places.moved("7 42 192.0.2.11:9091", 7)
    assert places.called_until == 42
    places.welcomed(_welcome())
    assert places.called_until is None


@pytest.mark.parametrize("text", ["", "7", "7 42 nowhere", "7 x 192.0.2.99:9091", "7 1 [::1]:9091"])
def test_a_goodbye_that_says_no_usable_address_leads_nowhere(text: str) -> None:
    places = _places()
    places.moved(text, 5)
    assert _looked_at(places, 1) == [ANNA if "99" not in text else ELSEWHERE]
    assert places.called_until is None


def test_what_a_search_finds_is_asked_first_and_little_of_it_is_remembered() -> None:
    places = _places()
    found: list[Address] = [("192.0.2.2", port) for port in range(1, FOUND_MAX + 3)]
    for address in found:
        places.add(address)
    newest, *others = reversed(found[-FOUND_MAX:])
    asked = _looked_at(places, 2 * FOUND_MAX)
    assert asked[::2] == [newest] * FOUND_MAX
    assert asked[1::2] == [*others, ANNA]


def test_an_address_that_is_known_twice_is_asked_once_a_round() -> None:
    places = _places()
    places.add(ANNA)
    assert _looked_at(places, 6)[1::2] == [BORIS, SERVER, BORIS]


def test_an_address_that_answers_is_asked_alone_until_it_is_silent_for_too_long() -> None:
    places = _places()
    places.gone(5.0, has_moved=False)
    assert places.knows(ANNA)
    assert places.knows((*BORIS, 0, 0))
    assert not places.knows(ELSEWHERE)
    places.pin(BORIS)
    assert not places.knows(ANNA), "it alone is listened to"
    for _ in range(PINNED_TRIES):
        assert places.look_on()
        assert places.server == BORIS
    assert not places.look_on(), "its cookie is of no use elsewhere"
    assert places.server == ANNA
    assert places.knows(ANNA)


@pytest.mark.parametrize("what", ["gone", "found", "welcomed"])
def test_news_of_the_room_end_the_asking_of_one_address_alone(what: str) -> None:
    places = _places()
    places.pin(BORIS)
    if what == "gone":
        places.gone(5.0, has_moved=False)
    elif what == "found":
        places.add(ELSEWHERE)
    else:
        places.welcomed(_welcome())
    assert places.knows(ANNA)


def test_who_hosts_is_news_once() -> None:
    places = Whereabouts(SERVER)
    named = _welcome(host=7, host_name="Anna", host_address="192.0.2.11:9091")
    event = places.welcomed(named)
    assert event == {"event": "host", "name": "Anna", "address": "192.0.2.11:9091"}
    assert places.welcomed(named) is None
    event = places.welcomed(_welcome())
    assert event == {"event": "host", "name": None, "address": "192.0.2.1:9091"}
    assert places.tell_away_at == NEVER


def test_successors_that_this_socket_cannot_reach_are_left_out() -> None:
    places = _places()
    places.take_successors("7 [2001:db8::1]:9091\nx 192.0.2.3:1\n8 192.0.2.12:9091\n9\n")
    assert places.successors == [(8, BORIS)]


def test_an_address_of_ipv6_keeps_the_interface_of_the_socket() -> None:
    places = Whereabouts(("fe80::1", 9091, 0, 2))
    places.take_successors("7 [fe80::2]:9092\n8 192.0.2.12:9091\n")
    assert places.successors == [(7, ("fe80::2", 9092, 0, 2))]


@pytest.mark.parametrize(
    "where",
    [
        "chat.example:9091",
        "192.0.2.1%chat.example:9091",
        "192.0.2.1%\N{ARMENIAN SMALL LETTER AYB}:9091",
        "224.0.0.1:9091",
        "0.0.0.0:9091",
        "192.0.2.1:0",
    ],
)
def test_nobody_makes_a_client_look_up_a_name_or_ask_a_whole_network(where: str) -> None:
    places = _places()
    places.moved(f"0 0 {where}", 5)
    places.take_successors(f"7 {where}\n")
    assert not places.has_moved
    assert not places.successors
    assert _looked_at(places, 2) == [SERVER, SERVER]


def test_a_client_does_not_look_where_its_socket_cannot_send() -> None:
    places = _places()
    places.add(("fe80::1", 9091, 0, 2))
    assert _looked_at(places, 1) == [ANNA]


def test_two_former_hosts_that_name_each_other_do_not_keep_a_client_from_the_others() -> None:
    places = _places()
    places.gone(5.0, has_moved=False)
    places.moved("0 0 192.0.2.99:9091", 3)
    places.moved("0 0 192.0.2.98:9091", 3)
    places.add(BORIS)
    places.moved("0 0 192.0.2.99:9091", 3)
    places.moved("0 0 192.0.2.98:9091", 3)
    assert _looked_at(places, 1) == [BORIS]
