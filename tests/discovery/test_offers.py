"""Offers and interfaces: what a DISCOVER and an OFFER lead to, without a socket."""

from __future__ import annotations

import os
import socket
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udp_chat.discovery.beacon import (
    answer,
)
from udp_chat.discovery.interfaces import list_interfaces
from udp_chat.discovery.search import (
    ROOMS_MAX,
    FoundRoom,
    Offers,
    scoped_host,
)
from udp_chat.protocol.packets import (
    DISCOVER_BYTES,
    ROOM_NAME_BYTES_MAX,
    Bye,
    Discover,
    Join,
    Leave,
    Offer,
    decode,
)

NUMBER64 = st.integers(0, 2**64 - 1)
NAMES = st.text(st.characters(codec="utf-8"), max_size=ROOM_NAME_BYTES_MAX // 4)


# --- the pure part ---------------------------------------------------------------------------


def an_offer(nonce: int) -> Offer:
    return Offer(nonce, epoch=77, member_count=3, port=9091, room="chat")


@given(NUMBER64, NUMBER64, NUMBER64, st.integers(0, 2**32 - 1), st.integers(0, 65535), NAMES)
def test_a_discover_is_answered_with_its_own_nonce_and_never_with_more_bytes(
    nonce: int, timestamp: int, epoch: int, member_count: int, port: int, name: str
) -> None:
    asked = Discover(nonce, timestamp).encode()
    reply = answer(asked, lambda nonce: Offer(nonce, epoch, member_count, port, name))
    assert reply is not None
    assert decode(reply) == Offer(nonce, epoch, member_count, port, name)
    assert len(reply) <= len(asked) == DISCOVER_BYTES


class LongOffer(Offer):
    """An OFFER of the size of its `member_count`."""

    def encode(self) -> bytes:
        return bytes(self.member_count)


def test_an_offer_larger_than_the_question_is_not_sent() -> None:
    asked = Discover(1, 2).encode()
    assert answer(asked, lambda nonce: LongOffer(nonce, 1, len(asked) + 1, 4, "")) is None
    assert answer(asked, lambda nonce: LongOffer(nonce, 1, len(asked), 4, "")) == bytes(len(asked))


@given(st.binary(max_size=1300))
def test_bytes_that_are_no_packet_are_not_answered(datagram: bytes) -> None:
    assert answer(datagram, an_offer) is None


def test_neither_another_packet_nor_a_part_of_a_discover_is_answered() -> None:
    asked = Discover(1, 2).encode()
    others: list[Offer | Bye | Leave | Join] = [an_offer(5), Bye(5, 1), Leave(5, 6)]
    others.append(Join(1, 2, bytes(16), 3, 4, 5, 6, 7, "Anna"))
    datagrams = [packet.encode() for packet in others] + [asked[:n] for n in range(len(asked))]
    assert [answer(datagram, an_offer) for datagram in datagrams] == [None] * len(datagrams)
    assert answer(asked, an_offer) is not None


def offers_to(nonce: int, *heard: tuple[str, Offer]) -> list[FoundRoom]:
    offers = Offers(nonce)
    for host, offer in heard:
        offers.receive(offer.encode(), host)
    return offers.rooms


def test_an_offer_with_another_nonce_or_no_port_is_no_room() -> None:
    heard = [
        ("192.0.2.1", Offer(8, 1, 0, 9091, "other nonce")),
        ("192.0.2.2", Offer(7, 2, 0, 0, "no port")),
        ("192.0.2.3", Offer(7, 3, 12, 9191, "good")),
    ]
    assert offers_to(7, *heard) == [FoundRoom(("192.0.2.3", 9191), "good", 12, 3)]


@given(st.binary(max_size=200))
def test_bytes_that_are_no_offer_are_no_room(datagram: bytes) -> None:
    offers = Offers(7)
    offers.receive(datagram, "192.0.2.1")
    offers.receive(Discover(7, 1).encode(), "192.0.2.1")
    assert offers.rooms == []


@pytest.mark.parametrize(
    ("hosts", "kept"),
    [
        (["192.0.2.1", "127.0.0.1"], "192.0.2.1"),
        (["127.0.0.1", "192.0.2.1"], "127.0.0.1"),
        (["fe80::1%eth0", "fe80::2%eth0"], "fe80::1%eth0"),
        (["fe80::1%eth0", "192.0.2.1", "192.0.2.2"], "192.0.2.1"),
        (["192.0.2.1", "fe80::1%eth0"], "192.0.2.1"),
    ],
)
def test_a_room_heard_twice_keeps_its_first_address_but_ipv4_goes_first(
    hosts: list[str], kept: str
) -> None:
    rooms = offers_to(7, *((host, Offer(7, 1, 0, 9091, "chat")) for host in hosts))
    assert [room.address for room in rooms] == [(kept, 9091)]


def test_rooms_of_one_name_are_told_apart_kept_in_order_and_bounded() -> None:
    heard = [("192.0.2.1", Offer(7, epoch, 0, 9091, "chat")) for epoch in range(ROOMS_MAX + 5)]
    assert [room.epoch for room in offers_to(7, *heard)] == list(range(ROOMS_MAX))


def test_a_link_local_host_is_given_with_its_scope() -> None:
    index, name = socket.if_nameindex()[0]
    scope = str(index) if os.name == "nt" else name
    assert scoped_host(("fe80::1", 9091, 0, index)) == f"fe80::1%{scope}"
    assert scoped_host(("fe80::1", 9091, 0, 2**31 - 1)) == f"fe80::1%{2**31 - 1}"
    assert scoped_host(("2001:db8::1", 9091, 0, 0)) == "2001:db8::1"
    assert scoped_host(("192.0.2.1", 9091)) == "192.0.2.1"


# --- interfaces ------------------------------------------------------------------------------


def test_the_interfaces_are_those_the_system_names_with_the_loopback_among_them() -> None:
    interfaces = list_interfaces()
    loopback = [i for i in interfaces if any(a == "127.0.0.1" for a, _ in i.ipv4)]
    assert [(i.loopback, i.up) for i in loopback] == [(True, True)]
    if os.name == "posix":
        named = {(i.index, i.name) for i in interfaces}
        assert set(socket.if_nameindex()) <= named


def test_without_ctypes_the_loopback_and_every_index_are_still_known(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "ctypes", None)
    interfaces = list_interfaces()
    assert any(i.loopback and i.ipv4 == (("127.0.0.1", None),) for i in interfaces)
    assert {(i.index, i.name) for i in interfaces if i.index} == set(socket.if_nameindex())
    assert not any(address.startswith("127.") for i in interfaces[1:] for address, _ in i.ipv4)
