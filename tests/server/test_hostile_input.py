"""Hostile input to a room: it raises nothing and changes nothing."""

from __future__ import annotations

import logging

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.hostile_input import (
    DECISIONS,
    IDS,
    MANY,
    STRANGER,
    Choices,
    encoded,
    extremes,
    fits,
    malformed,
    mutated,
    room_packet,
    settle,
)
from tests.machines import Peer, RoomBench, Sent, of_type, reseal
from udp_chat.protocol.lineage import Lineage, Range
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    TEXT_BYTES_MAX,
    Event,
    EventKind,
    Fetch,
    Leave,
    MessageKind,
    Packet,
    Told,
)
from udp_chat.server.settings import RoomSettings

# --- the room --------------------------------------------------------------------------------


def _talking_room() -> tuple[RoomBench, Peer, Peer]:
    """Anna, who is attacked, and Boris, who attacks, in the middle of a conversation."""
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("hello")
    boris.say("one", "two", more=True)  # held: incomplete
    anna.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    bench.advance(0.05)
    return bench, anna, boris


def _own(peer: Peer) -> tuple[object, ...]:
    """What of a member's only itself may change."""
    member = peer.member
    return (
        member.name,
        member.address,
        member.session_id,
        member.newest_timestamp,
        member.position.acked,
        member.inbox.acked,
        member.received,
        member.appended,
    )


def _settle(bench: RoomBench) -> None:
    settle(bench)
    assert all(len(sent.datagram) <= DATAGRAM_BYTES_MAX for sent in bench.sent)


@MANY
@given(st.binary(max_size=1400))
@example(b"")
@example(b"UC")
@example(b"\xff" * 1200)
@example(b"\0" * 65_535)
def test_bytes_that_are_no_packet_change_nothing_in_a_room_and_are_counted(data: bytes) -> None:
    bench, _, boris = _talking_room()
    for datagram in (data, reseal(b"UC\x01\x09" + bytes(4) + data)):
        for address in (STRANGER, boris.address):
            if reason := malformed(datagram):
                before, counters = bench.state(), bench.room.counters.copy()
                bench.take(datagram, address)
                assert bench.state() == before
                # An unknown session is refused before anybody looks at what else is wrong.
                counted = bench.room.counters - counters
                assert counted in ({reason: 1}, {"unknown session": 1})
    _settle(bench)


@MANY
@given(DECISIONS)
def test_a_strangers_packets_change_nothing_in_a_room_whatever_they_say(data: bytes) -> None:
    """Somebody who overheard a session's id, but does not have its address."""
    bench, anna, _ = _talking_room()
    before, choose = bench.state(), Choices(data)
    for _ in range(8):
        datagram = encoded(room_packet(choose, anna))
        sent = bench.receive(datagram, STRANGER)
        assert bench.state() == before
        to_stranger = [s for s in sent if s.address == STRANGER]
        assert sum(len(s.datagram) for s in to_stranger) <= len(datagram)
    _settle(bench)


@MANY
@given(DECISIONS)
def test_a_hostile_member_harms_nobody_else(data: bytes) -> None:
    bench, anna, boris = _talking_room()
    before, choose = _own(anna), Choices(data)
    for _ in range(10):
        boris.send(encoded(room_packet(choose, boris)))
        assert _own(anna) == before
        for member in bench.room.members.values():
            if member.client_id == boris.client_id:
                boris.session_id = member.session_id
    _settle(bench)
    assert all(m.position.acked <= bench.room.log.latest for m in bench.room.members.values())


@MANY
@given(DECISIONS)
def test_valid_datagrams_with_changed_bytes_do_not_break_a_room(data: bytes) -> None:
    bench, anna, boris = _talking_room()
    valid = [packet.encode() for packet in _valid(boris)]
    before, choose = _own(anna), Choices(data)
    for _ in range(10):
        boris.send(mutated(choose, valid))
        assert _own(anna) == before
    _settle(bench)


def _valid(peer: Peer) -> list[Packet]:
    """One of each packet that a member may send."""
    return [
        peer.say_packet("three", first=3),
        peer.say_packet("1 2", first=3, kind=MessageKind.SEEN),
        peer.say_packet("", first=3, kind=MessageKind.STATS),
        peer.status_packet(ask=True),
        peer.join_packet(epoch=peer.epoch, inbox_epoch=peer.inbox_epoch),
        Leave(peer.session_id, peer.timestamp()),
    ]


def test_every_number_at_either_end_does_not_break_a_room() -> None:
    _, _, template = _talking_room()
    kinds = range(len(_valid(template)))
    count = 0
    for kind in kinds:
        for extreme in range(len(extremes(_valid(template)[kind], IDS))):
            bench, anna, boris = _talking_room()
            datagram = fits(extremes(_valid(boris)[kind], IDS)[extreme])
            if datagram is not None:
                count += 1
                before = _own(anna)
                boris.send(datagram)
                assert _own(anna) == before
                _settle(bench)
    assert count > 60


@pytest.mark.parametrize("kind", MessageKind)
@pytest.mark.parametrize(
    "text",
    ["", " ", "9" * TEXT_BYTES_MAX, "9" * 860, "0 " * 450, "-1", "٣", "²", "\0", "x" * 900, "1\n2"],
)
def test_a_message_of_any_kind_may_have_any_text(kind: MessageKind, text: str) -> None:
    bench, anna, boris = _talking_room()
    bench.join("Clara")
    boris.say("the rest", first=3)
    before = _own(anna)
    boris.say(text, first=4, kind=kind, to="Anna")
    boris.say("still here", first=5)
    assert bench.texts()[-1] == "still here"
    assert _own(anna) == before
    _settle(bench)


def test_what_is_dropped_is_logged_at_debug_level_with_its_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = RoomBench()
    with caplog.at_level(logging.INFO, "udp_chat.server"):
        bench.receive(b"garbage", STRANGER)
    assert caplog.messages == []
    with caplog.at_level(logging.DEBUG, "udp_chat.server"):
        bench.receive(b"garbage!", STRANGER)
    (message,) = caplog.messages
    assert "not udp-chat" in message
    assert "192.0.2.66" in message


# --- what is claimed to have been said elsewhere -----------------------------------------------


def _from_elsewhere(bench: RoomBench, peer: Peer, event: Event) -> list[Sent]:
    """Claims that an event was said in another part of the room, and tells it when asked."""
    room, elsewhere = bench.room, 0xBAD
    latest = room.log.latest
    lineage = Lineage(((room.log.epoch, 1),)).followed_by(elsewhere, latest + 1)
    peer.enter(epoch=elsewhere, room_ack=latest + 1, room_id=room.room_id, lineage=lineage.encode())
    peer.has_apart(Range(elsewhere, latest + 1, latest + 1))
    bench.advance(0.1)
    timestamp = peer.timestamp()
    return peer.send(Told(peer.client_id, timestamp, elsewhere, latest + 1, (event,)))


@pytest.mark.parametrize("handed_on", [False, True])
def test_only_in_a_room_that_is_handed_on_something_can_have_been_said_elsewhere(
    handed_on: bool,
) -> None:
    bench = RoomBench(RoomSettings(handed_on=handed_on))
    bench.join("Anna")
    event = Event(EventKind.CHAT, 1, "Anna", text="I never said that", member=99, message_id=5)
    sent = _from_elsewhere(bench, bench.peer("Mallory"), event)
    bench.advance(1.0)
    assert bool(of_type(Fetch, (s.packet for s in bench.sent))) is handed_on
    told = [event for s in sent for event in getattr(s.packet, "events", ()) if event.to]
    assert [event.kind for event in told[:1]] == [EventKind.CHAT_APART] * handed_on
