"""The room: relaying, private messages, names, silence, moving, ending (rules 4 and 6 to 10)."""

from __future__ import annotations

import logging

import pytest

from tests.machines import START, Peer, RoomBench, Sent, of_type, to_address
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    NAME_BYTES_MAX,
    Address,
    Bye,
    ByeReason,
    Challenge,
    EventKind,
    Events,
    Leave,
    MessageKind,
    Packet,
    Welcome,
)
from udp_chat.server.presence import SILENCE_GRID_SECONDS, STALL_SECONDS
from udp_chat.server.settings import RoomSettings


def _notices(peer: Peer, sent: list[Sent]) -> list[tuple[str, str, int]]:
    """(code, about whom, message id) of the notices that came to a peer."""
    return [
        (event.text, event.to, event.message_id)
        for packet in of_type(Events, peer.got(sent))
        for event in packet.events
        if packet.inbox and event.kind is EventKind.NOTICE
    ]


# --- relaying --------------------------------------------------------------------------------


def test_what_came_in_one_wake_up_goes_out_in_one_datagram_the_same_for_all() -> None:
    bench = RoomBench()
    peers = [bench.join(name) for name in ("Anna", "Boris", "Clara")]
    for peer in peers:
        bench.take(peer.say_packet(f"from {peer.name}"), peer.address)
    sent = [s for s in bench.wake() if isinstance(s.packet, Events)]
    assert sorted(s.address for s in sent) == sorted(peer.address for peer in peers)
    assert len({s.datagram for s in sent}) == 1
    assert peers[0].shown(sent) == ["from Anna", "from Boris", "from Clara"]


def test_what_does_not_fit_one_datagram_goes_out_in_as_few_as_hold_it() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    texts = ["x" * 500] * 5
    for text in texts:
        bench.take(anna.say_packet(text), anna.address)
    to_boris = [s for s in bench.wake() if s.address == boris.address]
    assert [len(s.packet.events) for s in to_boris if isinstance(s.packet, Events)] == [2, 2, 1]
    # All but the last are of one size, so that they can go out as one train.
    sizes = [len(s.datagram) for s in to_boris]
    assert sizes[:2] == [DATAGRAM_BYTES_MAX] * 2
    assert 500 < sizes[2] < 700
    assert boris.shown(to_boris) == texts


def test_what_goes_to_one_member_alone_is_not_padded() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    for _ in range(5):
        bench.take(anna.say_packet("x" * 500), anna.address)
    bench.wake()
    to_boris = bench.peer("Boris").try_to_enter()
    history = [packet for packet in of_type(Events, to_boris) if not packet.inbox]
    assert len(history) > 2
    assert not any(packet.padded for packet in history)


def test_a_line_is_sent_once_to_each_and_to_nobody_else() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    bench.join("Clara").leave()
    sent = anna.say("hello")
    assert sorted(s.address for s in sent) == sorted([anna.address, boris.address])


def test_nothing_is_sent_when_there_is_nothing_to_say() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    assert anna.status() == []
    assert bench.wake() == []


def test_an_empty_room_relays_nothing_and_repeats_nothing_later() -> None:
    bench = RoomBench()
    bench.join("Anna").leave()
    boris = bench.peer("Boris")
    sent = boris.try_to_enter()
    history, news = [p for p in of_type(Events, boris.got(sent)) if not p.inbox]
    assert (history.first, news.first) == (1, 3)


def test_an_event_carries_wall_time_and_nothing_else_does() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.room.wall_offset_seconds = 1_700_000_000.0 - bench.now
    bench.now += 1.5
    anna.say("hello")
    assert bench.log()[-1].time_ms == 1_700_000_001_500
    (packet,) = of_type(Events, bench.sent[-1:])
    assert packet.timestamp == int(bench.now * 1e6), "µs of the monotonic clock"


def test_events_of_one_wake_up_have_one_time() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.now += 3.0
    bench.take(anna.say_packet("one"), anna.address)
    bench.take(anna.say_packet("two"), anna.address)
    bench.wake()
    assert [e.time_ms for e in bench.log()[-2:]] == [int(1000 * bench.now)] * 2


# --- private messages ------------------------------------------------------------------------


def test_a_private_message_reaches_its_two_ends_and_nobody_else() -> None:
    bench = RoomBench()
    anna, boris, clara = (bench.join(name) for name in ("Anna", "Boris", "Clara"))
    sent = anna.say("psst", kind=MessageKind.PRIVATE, to="boris")
    assert anna.shown(sent, inbox=True) == ["psst"]
    assert boris.shown(sent, inbox=True) == ["psst"]
    assert clara.got(sent) == []
    (packet,) = of_type(Events, boris.got(sent))
    (event,) = packet.events
    assert (event.kind, event.name, event.to) == (EventKind.PRIVATE, "Anna", "Boris")
    assert "psst" not in bench.texts()


def test_private_messages_come_in_order() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    sent = anna.say("one", "two", kind=MessageKind.PRIVATE, to="Boris")
    sent += anna.say("three", kind=MessageKind.PRIVATE, to="Boris")
    assert boris.shown(sent, inbox=True) == ["one", "two", "three"]


def test_a_private_message_to_oneself_comes_once() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    sent = anna.say("note", kind=MessageKind.PRIVATE, to="Anna")
    assert anna.shown(sent, inbox=True) == ["note"]


def test_a_private_message_to_nobody_gets_a_notice() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    sent = anna.say("psst", kind=MessageKind.PRIVATE, to="Nobody")
    assert _notices(anna, sent) == [("no_such_member", "Nobody", 1)]


@pytest.mark.parametrize("to", ["lan", "1an", "ıan"])
def test_a_private_message_to_a_name_that_only_looks_like_a_members_goes_to_nobody(to: str) -> None:
    bench = RoomBench()
    anna, ian = bench.join("Anna"), bench.join("Ian")
    sent = anna.say("psst", kind=MessageKind.PRIVATE, to=to)
    assert _notices(anna, sent) == [("no_such_member", to, 1)]
    sent = anna.say("psst", kind=MessageKind.PRIVATE, to="IAN")
    assert ian.shown(sent, inbox=True) == ["psst"]


def test_private_messages_to_one_who_dropped_out_wait_for_his_return() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    acked = boris.member.inbox.acked
    bench.keep_alive(16.0, anna)
    assert bench.names() == ["Anna"]
    boris.challenge()
    back = boris.join_packet(
        epoch=boris.epoch, inbox_epoch=boris.inbox_epoch, inbox_ack=acked, room_ack=2
    )
    assert "psst" in boris.shown(boris.send(back), inbox=True)


def test_what_a_returning_member_has_of_its_inbox_is_not_sent_again() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    inbox_ack = boris.member.inbox.log.latest
    boris.leave()
    boris.challenge()
    back = boris.join_packet(inbox_epoch=boris.inbox_epoch, inbox_ack=inbox_ack)
    sent = boris.send(back)
    (welcome,) = of_type(Welcome, sent)
    assert welcome.inbox_start == inbox_ack + 1
    assert "psst" not in boris.shown(sent, inbox=True)


# --- names and who is here -------------------------------------------------------------------


def test_a_rename_is_told_to_all_and_frees_the_old_name() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("Anne", kind=MessageKind.RENAME)
    assert bench.lines()[-1] == "Anna rename Anne"
    assert bench.names() == ["Anne", "Boris"]
    boris.say("Anna", kind=MessageKind.RENAME)
    assert bench.names() == ["Anna", "Anne"]
    anna.say("hi")
    assert bench.lines()[-1] == "Anne chat hi"


def test_one_may_change_the_case_of_ones_own_name() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    assert _notices(anna, anna.say("ANNA", kind=MessageKind.RENAME)) == []
    assert bench.names() == ["ANNA"]


def test_a_rename_to_a_name_in_use_gets_a_notice_and_changes_nothing() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    for _ in range(3):
        bench.keep_alive(0.5, anna, boris)
        sent = anna.say("BORlS", kind=MessageKind.RENAME)
        assert _notices(anna, sent) == [("name_in_use", "BORlS", anna.message_id)]
    assert bench.names() == ["Anna", "Boris"]


@pytest.mark.parametrize(
    ("name", "code", "about"),
    [
        ("a b", "unusable_name_white_space", "a b"),
        ("", "unusable_name_empty", ""),
        ("a\u202e", "unusable_name_invisible", "a\u202e"),
        ("я" * 33, "unusable_name_too_long", ""),
        ("/quit", "unusable_name_symbol", "/quit"),
        ("Аnna", "unusable_name_mixed_scripts", "Аnna"),
        ("я" * (NAME_BYTES_MAX // 2), "", ""),
    ],
)
def test_a_rename_to_an_unusable_name_gets_a_notice_with_the_rule(
    name: str, code: str, about: str
) -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    sent = anna.say(name, kind=MessageKind.RENAME)
    assert _notices(anna, sent) == ([(code, about, 1)] if code else [])
    assert bench.names() == [name if not code else "Anna"]


def _rosters(peer: Peer, sent: list[Sent]) -> list[tuple[str, list[str], int]]:
    return [
        (event.text.split("\n")[0], event.text.split("\n")[1:], event.message_id)
        for packet in of_type(Events, peer.got(sent))
        for event in packet.events
        if event.kind is EventKind.ROSTER
    ]


def test_who_comes_in_is_sent_the_names_of_all_as_of_its_own_join() -> None:
    bench = RoomBench()
    bench.join("Boris")
    anna = bench.peer("Anna")
    assert _rosters(anna, anna.try_to_enter()) == [("2 0", ["Anna", "Boris"], 0)]


def test_who_asks_who_is_here_gets_the_names_with_its_question_answered() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    boris.say("hi")
    sent = anna.say("", kind=MessageKind.WHO)
    assert _rosters(anna, sent) == [("3 0", ["Anna", "Boris"], 1)]
    assert boris.got(sent) == []


def test_a_long_roster_comes_in_chunks_that_count_down() -> None:
    bench = RoomBench()
    names = [f"{'Ж' * 20}{number:03}" for number in range(300)]
    for name in names:
        bench.join(name)
    anna = bench.join("Anna")
    sent = anna.say("", kind=MessageKind.WHO)
    inbox = anna.member.inbox.log
    while anna.member.inbox.behind:
        sent += anna.status(inbox_ack=max(p.first for p in of_type(Events, anna.got(sent))))
        sent += bench.advance(0.3)
    chunks = {head: (found, echo) for head, found, echo in _rosters(anna, sent)}
    remaining = [int(head.split()[1]) for head in chunks]
    assert remaining == list(range(len(chunks) - 1, -1, -1))
    assert len(chunks) > 10
    assert sorted(name for found, _ in chunks.values() for name in found) == [
        *sorted(["Anna", *names])
    ]
    assert [echo for _, echo in chunks.values()] == [0] * (len(chunks) - 1) + [1]
    assert inbox.entry_count == 0


def test_what_is_left_of_a_long_roster_follows_at_once_and_is_sent_once() -> None:
    """A client of a large room acknowledges seconds later, so it is asked to do so at once. It
    reports what has not come yet as a gap, and is not sent it twice for that."""
    bench = RoomBench()
    for number in range(300):
        bench.join(f"{'Ж' * 20}{number:03}")
    anna = bench.peer("Anna")
    anna.enter()
    sent = bench.sent
    whole = anna.member.inbox.log.latest
    came: list[int] = []
    while came[-1:] != [whole]:
        packets = [packet for packet in of_type(Events, anna.got(sent)) if packet.inbox]
        came += [seq for p in packets for seq in range(p.first, p.first + len(p.events))]
        assert {len(packet.events) for packet in packets[:-1]} <= {2}, "each is full"
        if came[-1] < whole:
            assert [packet.ask for packet in packets] == [False] * (len(packets) - 1) + [True]
            sent = anna.status(
                inbox_ack=came[-1], inbox_gap_end=whole, echoed_timestamp=packets[-1].timestamp
            )
    assert came == list(range(1, whole + 1))


# --- silence ---------------------------------------------------------------------------------


def test_a_silent_member_is_dropped_after_its_timeout_and_told_so() -> None:
    bench = RoomBench(RoomSettings(heartbeat_seconds=2.0, timeout_seconds=6.0))
    anna = bench.join("Anna")
    bench.advance(5.9)
    assert bench.names() == ["Anna"]
    sent = bench.advance(0.2)
    assert bench.names() == []
    assert bench.lines() == ["Anna join", "Anna leave timeout"]
    (bye,) = of_type(Bye, to_address(anna.address, sent))
    assert (bye.session_id, bye.reason) == (anna.session_id, ByeReason.TIMEOUT)


def test_a_sign_of_life_begins_the_timeout_anew() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    for _ in range(10):
        bench.advance(7.0)
        anna.send(anna.status_packet(room_ack=0, inbox_ack=0))
        boris.say("hi")
    assert bench.names() == ["Anna", "Boris"]


def test_a_replayed_sign_of_life_is_none() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    status = anna.status_packet()
    anna.send(status)
    for _ in range(4):
        bench.advance(5.0)
        anna.send(status)
    assert bench.names() == []
    assert bench.room.counters["stale"] >= 2


def test_a_heartbeat_is_answered_at_once_with_what_the_room_has() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.say("hello", first=1)
    bench.advance(0.01)
    status = anna.status_packet(ask=True)
    (packet,) = of_type(Events, anna.send(status))
    assert packet.events == ()
    assert (packet.latest, packet.first) == (2, 3)
    assert packet.answer is not None
    assert packet.answer.echoed_timestamp == status.timestamp
    assert (packet.answer.received, packet.answer.appended) == (1, 1)
    assert packet.answer.inbox_latest == anna.member.inbox.log.latest


def test_a_status_that_does_not_ask_is_not_answered() -> None:
    bench = RoomBench()
    assert bench.join("Anna").status(ask=False) == []


def test_several_questions_of_one_wake_up_get_one_answer() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.take(anna.status_packet(ask=True), anna.address)
    bench.take(anna.status_packet(ask=True), anna.address)
    assert len(bench.wake()) == 1


def test_when_the_rooms_own_process_stalled_nobody_was_silent() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    bench.advance(4.0)
    bench.now += 60.0  # asleep: no timer ran
    bench.wake()
    assert bench.names() == ["Anna", "Boris"]
    assert bench.room.counters["stalls"] == 1
    bench.keep_alive(12.0, anna)
    assert bench.names() == ["Anna"], "but its silence before and after counts"
    assert boris.session_id not in bench.room.members


def test_a_slightly_late_timer_is_no_stall() -> None:
    bench = RoomBench()
    bench.join("Anna")
    bench.advance(14.9)
    bench.now += 0.9 * STALL_SECONDS
    bench.wake()
    assert bench.names() == []
    assert bench.room.counters["stalls"] == 0


def test_who_is_heard_right_after_a_stall_is_not_credited_with_time_to_come() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.now += 60.0
    anna.status()  # it was waiting in the socket
    assert anna.member.heard_at == bench.now
    bench.advance(15.1)
    assert bench.names() == []


def test_a_probe_survives_a_stall() -> None:
    bench = RoomBench()
    holder = bench.join("Anna")
    bench.advance(1.0)
    bench.peer("Anna").try_to_enter()
    bench.advance(0.5)
    bench.now += 60.0
    sent = bench.wake()
    assert bench.names() == ["Anna"], "it could not answer while the room slept"
    assert any(packet.ask for packet in of_type(Events, holder.got(sent)))
    bench.advance(7.0)
    assert bench.names() == [], "but it had its time"


def test_a_probe_begun_right_after_a_stall_ends_with_the_first_answer() -> None:
    bench = RoomBench()
    holder, other = bench.join("Anna"), bench.peer("Anna")
    other.challenge()
    bench.now += 5.0
    other.send(other.join_packet())  # it was waiting in the socket
    assert bench.room.counters["stalls"] == 1
    bench.now += 0.1
    holder.status()
    probes = of_type(Events, holder.got(bench.advance(2.0)))
    assert [packet for packet in probes if packet.ask] == []
    assert bench.names() == ["Anna"]


# --- a new address ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["say", "status", "leave"])
def test_from_a_new_address_nothing_counts_and_only_a_challenge_goes_there(kind: str) -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    bench.now += 0.1
    packets: dict[str, Packet] = {
        "say": anna.say_packet("x"),
        "status": anna.status_packet(room_ack=0, room_gap_end=1, ask=True),
        "leave": Leave(anna.session_id, anna.timestamp()),
    }
    packet = packets[kind]
    before = bench.state()
    elsewhere: Address = ("192.0.2.99", 9)
    sent = bench.receive(packet, elsewhere)
    (challenge,) = to_address(elsewhere, sent)
    assert isinstance(challenge, Challenge)
    assert challenge.sender_id == anna.session_id
    assert len(sent) == 1
    assert len(sent[0].datagram) <= len(packet.encode())
    assert bench.state() == before
    assert bench.room.counters["unproven address"] == 1


def test_with_the_cookie_a_member_moves_and_keeps_its_session() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    old, new = anna.address, ("192.0.2.99", 9)
    anna.address = new
    (challenge,) = of_type(Challenge, anna.status())
    anna.cookie = challenge.cookie
    boris.say("before")
    sent = anna.send(anna.join_packet(epoch=anna.epoch, room_ack=2, inbox_epoch=anna.inbox_epoch))
    (welcome,) = of_type(Welcome, anna.got(sent))
    assert welcome.session_id == anna.session_id
    assert anna.member.address == new
    assert anna.shown(sent) == ["before"], "what went to the old address comes again"
    after = boris.say("after")
    assert anna.shown(after) == ["after"]
    assert to_address(old, after) == []
    assert bench.lines() == ["Anna join", "Boris join", "Boris chat before", "Boris chat after"]
    assert bench.room.counters["moved"] == 1


def test_a_say_that_was_challenged_is_taken_after_the_move() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.address = ("192.0.2.99", 9)
    anna.say("hello")
    assert bench.texts() == []
    anna.resume(next_message_id=1)
    anna.say("hello", first=1)
    assert bench.texts() == ["hello"]


@pytest.mark.parametrize(
    "address",
    [("192.0.2.1", 9091), ("fe80::1", 9091, 0, 3), ("::ffff:192.0.2.1", 9091, 0, 0)],
)
def test_an_address_of_either_family_is_only_carried_around(address: Address) -> None:
    bench = RoomBench()
    anna = bench.join("Anna", address)
    assert {s.address for s in anna.say("hello")} == {address}


# --- unknown sessions, leaving, closing ------------------------------------------------------


@pytest.mark.parametrize("kind", ["say", "status", "leave"])
def test_an_unknown_session_gets_a_bye_smaller_than_what_it_sent(kind: str) -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.leave()
    packets: dict[str, Packet] = {
        "say": anna.say_packet(""),
        "status": anna.status_packet(),
        "leave": Leave(anna.session_id, anna.timestamp()),
    }
    packet = packets[kind]
    before = bench.state()
    (sent,) = anna.send(packet)
    assert sent.packet == Bye(anna.session_id, ByeReason.UNKNOWN_SESSION)
    assert len(sent.datagram) < len(packet.encode())
    assert bench.state() == before
    assert bench.room.counters["unknown session"] == 1


def test_who_leaves_is_told_bye_and_the_others_are_told_who_left() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    sent = anna.leave()
    assert anna.got(sent) == [Bye(anna.session_id, ByeReason.LEFT)]
    assert boris.shown(sent) == ["left"]
    assert bench.lines()[-1] == "Anna leave left"
    assert bench.names() == ["Boris"]


def test_a_repeated_leave_still_gets_a_bye() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    anna.leave()
    assert of_type(Bye, anna.leave())
    assert bench.lines() == ["Anna join", "Anna leave left"]


def test_who_leaves_in_the_wake_up_in_which_it_asked_gets_no_more_than_a_bye() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    bench.take(anna.say_packet("psst", kind=MessageKind.PRIVATE, to="Boris"), anna.address)
    bench.take(boris.status_packet(ask=True), boris.address)
    bench.take(Leave(boris.session_id, boris.timestamp()), boris.address)
    sent = bench.wake()
    assert boris.got(sent) == [Bye(boris.session_id, ByeReason.LEFT)]
    assert anna.shown(sent, inbox=True) == ["psst"]


def test_a_closing_room_says_bye_to_everyone() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("last words")
    bench.room.close(bench.now)
    sent = bench.wake()
    assert [(s.packet, s.address) for s in sent] == [
        (Bye(anna.session_id, ByeReason.SHUTTING_DOWN), anna.address),
        (Bye(boris.session_id, ByeReason.SHUTTING_DOWN), boris.address),
    ]


def test_a_closed_room_takes_nothing_in() -> None:
    bench = RoomBench()
    anna, clara = bench.join("Anna"), bench.peer("Clara")
    clara.challenge()
    bench.room.close(bench.now)
    bench.wake()
    assert of_type(Welcome, anna.send(anna.join_packet())) == []
    assert of_type(Welcome, clara.send(clara.join_packet())) == []
    assert bench.names() == []
    assert bench.advance(60.0) == []


def test_joining_leaving_and_moving_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    bench = RoomBench()
    with caplog.at_level(logging.INFO, "udp_chat.server"):
        anna = bench.join("Anna", ("192.0.2.10", 1))
        anna.address = ("192.0.2.10", 2)
        anna.resume()
        anna.leave()
        bench.join("Boris", ("192.0.2.11", 1))
        bench.advance(20.0)
    assert caplog.messages == [
        "Anna joined from 192.0.2.10:1",
        "Anna moved to 192.0.2.10:2",
        "Anna left",
        "Boris joined from 192.0.2.11:1",
        "Boris timed out",
    ]


def test_a_room_without_members_needs_no_timer() -> None:
    bench = RoomBench()
    assert bench.room.next_timeout() is None
    bench.join("Anna").leave()
    bench.advance(20.0)
    assert bench.room.next_timeout() is None
    assert bench.now == START + 20.0


def test_silence_is_looked_for_at_few_moments_however_many_are_silent() -> None:
    bench = RoomBench()
    heard_at = {}
    for number in range(20):
        peer = bench.join(f"User{number}")
        heard_at[peer.session_id] = bench.now
        bench.advance(0.011)
    timeout_seconds = bench.room.settings.timeout_seconds
    wakes = set()
    while bench.room.members:
        at = bench.room.next_timeout()
        assert at is not None
        before = set(bench.room.members)
        bench.advance(max(0.0, at - bench.now))
        for session_id in before - set(bench.room.members):
            wakes.add(at)
            assert 0 <= at - heard_at[session_id] - timeout_seconds < 1.5 * SILENCE_GRID_SECONDS
    assert 1 <= len(wakes) <= 3
