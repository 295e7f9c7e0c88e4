"""Private messages: when one has to wait, whom that holds up, and who is told of its end.

The promise: a private message whose echo its sender has got is read by its recipient, or its
sender is told that it was not. The rest of the rules keeps one inbox from filling up.
"""

from __future__ import annotations

import pytest

from tests.machines import Peer, RoomBench, Sent, of_type, parse_event
from udp_chat.protocol.packets import TEXT_BYTES_MAX, Event, EventKind, Events, MessageKind
from udp_chat.server.floor import PRIVATE_WAIT_SECONDS
from udp_chat.server.member import (
    INBOX_BYTES_MAX,
    INBOX_ENTRIES_MAX,
    INBOX_FULL_BYTES,
    INBOX_FULL_ENTRIES,
)
from udp_chat.server.settings import RoomSettings

PRIVATE = MessageKind.PRIVATE


def _inbox(peer: Peer) -> list[Event]:
    """What the room keeps in a member's inbox."""
    log = peer.member.inbox.log
    return [parse_event(log.slice(n, n, 10_000)[0]) for n in range(log.oldest, log.latest + 1)]


def _notices(peer: Peer) -> list[tuple[str, str]]:
    """(code, about whom) of each notice in a member's inbox."""
    return [(e.text, e.to) for e in _inbox(peer) if e.kind is EventKind.NOTICE]


def _privates(peer: Peer) -> list[str]:
    return [e.text for e in _inbox(peer) if e.kind is EventKind.PRIVATE]


def _fill(bench: RoomBench, sender: Peer, recipient: Peer, text: str = "fill") -> None:
    """Private messages until the recipient, who acknowledges nothing, can take no more."""
    for _ in range(2 * INBOX_FULL_ENTRIES):
        if recipient.member.inbox.is_full:
            return
        sender.say(text, kind=PRIVATE, to=recipient.name)
        sender.status()
        bench.advance(0.01)
    raise AssertionError("the inbox is never full")


def _bench() -> tuple[RoomBench, Peer, Peer, Peer]:
    """A room in which Boris's inbox is full of what Loud sent him, and Anna is quiet."""
    bench = RoomBench()
    anna, boris, loud = bench.join("Anna"), bench.join("Boris"), bench.join("Loud")
    _fill(bench, loud, boris)
    return bench, anna, boris, loud


def _wait(bench: RoomBench, seconds: float, *peers: Peer, deaf: Peer | None = None) -> list[Sent]:
    """Time passes; these acknowledge everything, and one leaves its inbox unread."""
    sent: list[Sent] = []
    for _ in range(round(seconds / 0.5)):
        sent += bench.advance(0.5)
        for peer in peers:
            sent += peer.status()
        if deaf is not None:
            sent += deaf.status(inbox_ack=deaf.member.inbox.acked)
    return sent


# --- held back while the recipient's inbox is full -------------------------------------------


@pytest.mark.parametrize("text", ["x", "x" * TEXT_BYTES_MAX])
def test_an_inbox_takes_in_so_many_messages_or_bytes_that_are_not_read(text: str) -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    _fill(bench, anna, boris, text)
    anna.say("one more", kind=PRIVATE, to="Boris")
    _wait(bench, 1.0, anna, deaf=boris)
    log = boris.member.inbox.log
    assert log.entry_count == INBOX_FULL_ENTRIES or log.bytes_held >= INBOX_FULL_BYTES
    assert log.bytes_held < INBOX_FULL_BYTES + 2 * TEXT_BYTES_MAX
    assert "one more" not in _privates(boris)
    assert len(anna.member.held) == 1


def test_a_message_that_waits_goes_on_when_its_recipient_acknowledges() -> None:
    bench, anna, boris, loud = _bench()
    anna.say("hello", kind=PRIVATE, to="Boris")
    _wait(bench, 5.0, anna, loud, deaf=boris)
    assert "hello" not in _privates(boris)
    boris.status()
    assert _privates(boris) == ["hello"]
    assert _privates(anna) == ["hello"], "its echo says that it is accepted"
    assert anna.member.waits == 0


def test_what_is_said_behind_a_message_that_waits_keeps_its_place() -> None:
    bench, anna, boris, _ = _bench()
    anna.say("hello", kind=PRIVATE, to="Boris")
    anna.say("to all")
    assert bench.texts() == []
    boris.status()
    assert bench.texts() == ["to all"]
    assert [e.message_id for e in _inbox(anna)] == [1]


def test_a_full_inbox_holds_up_nobody_but_those_who_write_to_it() -> None:
    bench, anna, _, loud = _bench()
    loud.say(*["more"] * 20, kind=PRIVATE, to="Boris")
    carol = bench.join("Carol")
    anna.say("to all")
    anna.say("to Carol", kind=PRIVATE, to="Carol")
    assert bench.texts() == ["to all"]
    assert _privates(carol) == ["to Carol"]
    loud.say("behind")
    assert bench.texts() == ["to all"]


def test_a_member_whose_inbox_is_full_still_speaks_to_all() -> None:
    bench, _, boris, _ = _bench()
    boris.say("to all")
    assert bench.texts() == ["to all"]


def test_a_message_waits_for_its_senders_own_inbox_too_where_its_echo_goes() -> None:
    bench, anna, boris, _ = _bench()
    boris.say("hello", kind=PRIVATE, to="Anna")
    _wait(bench, 2 * PRIVATE_WAIT_SECONDS, anna, deaf=boris)
    assert _privates(anna) == []
    assert len(boris.member.held) == 1, "it is kept however long, for nobody else is to blame"
    boris.status()
    assert _privates(anna) == ["hello"]


def test_when_there_is_room_the_quiet_ones_message_goes_before_the_loud_ones() -> None:
    _, anna, boris, loud = _bench()
    loud.say(*[f"loud {number}" for number in range(40)], kind=PRIVATE, to="Boris")
    anna.say("quiet", kind=PRIVATE, to="Boris")
    boris.status()
    assert _privates(boris)[0] == "quiet"
    assert len(_privates(boris)) == 41


def test_the_same_is_true_of_neighbours_at_one_address() -> None:
    bench = RoomBench()
    boris, loud = bench.join("Boris"), bench.join("Loud", ("198.51.100.1", 1))
    anna = bench.join("Anna", ("198.51.100.1", 2))
    _fill(bench, loud, boris)
    loud.say(*[f"loud {number}" for number in range(40)], kind=PRIVATE, to="Boris")
    anna.say("quiet", kind=PRIVATE, to="Boris")
    boris.status()
    assert _privates(boris)[0] == "quiet"


# --- given up --------------------------------------------------------------------------------


def test_a_message_is_given_up_in_the_end_and_its_sender_goes_on() -> None:
    bench, anna, boris, loud = _bench()
    anna.say("hello", kind=PRIVATE, to="Boris")
    anna.say("to all")
    began_at = bench.now
    while bench.texts() == [] and bench.now < began_at + 30.0:
        bench.advance(0.25)
        loud.status()
        boris.status(inbox_ack=0)
    assert bench.now - began_at == pytest.approx(PRIVATE_WAIT_SECONDS, abs=0.3)
    assert bench.texts() == ["to all"]
    assert _notices(anna) == [("not_delivered", "Boris")]
    assert [e.message_id for e in _inbox(anna)] == [1], "the notice says which"
    boris.status()
    assert "hello" not in _privates(boris)


def test_each_message_that_waits_has_its_own_time() -> None:
    bench, anna, boris, loud = _bench()
    anna.say("one", "two", kind=PRIVATE, to="Boris")
    _wait(bench, 1.5 * PRIVATE_WAIT_SECONDS, loud, deaf=boris)
    assert len(_notices(anna)) == 1
    anna.status()
    _wait(bench, PRIVATE_WAIT_SECONDS, loud, deaf=boris)
    assert len(_notices(anna)) == 1


# --- recipients who go -----------------------------------------------------------------------


def test_when_the_recipient_leaves_each_sender_is_told_once() -> None:
    bench = RoomBench()
    anna, boris, carol = bench.join("Anna"), bench.join("Boris"), bench.join("Carol")
    anna.say("one", "two", "three", kind=PRIVATE, to="Boris")
    carol.say("four", kind=PRIVATE, to="Boris")
    boris.leave()
    assert _notices(anna) == _notices(carol) == [("not_delivered", "Boris")]


def test_nobody_is_told_of_messages_that_were_read() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("one", kind=PRIVATE, to="Boris")
    boris.status()
    boris.leave()
    assert _notices(anna) == []


def test_whoever_waits_for_the_inbox_of_one_who_leaves_learns_that_nobody_is_there() -> None:
    _, anna, boris, _ = _bench()
    anna.say("hello", kind=PRIVATE, to="Boris")
    boris.leave()
    assert _notices(anna) == [("no_such_member", "Boris")]
    assert anna.member.waits == 0


def test_a_sender_who_leaves_while_it_waits_waits_for_nothing_any_more() -> None:
    _, anna, boris, _ = _bench()
    anna.say("hello", kind=PRIVATE, to="Boris")
    member = anna.member
    anna.leave()
    assert boris.member.inbox.waiting == {}
    boris.status()
    assert (member.waits, member.waits_for, len(member.held)) == (0, None, 0)
    assert _privates(boris) == []


def test_when_the_recipient_times_out_its_messages_wait_for_its_return() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("one", kind=PRIVATE, to="Boris")
    _wait(bench, 17.0, anna)
    assert bench.names() == ["Anna"]
    told = [e.text for p in of_type(Events, anna.got(bench.sent)) for e in p.events]
    assert "not_delivered_yet" in told
    assert "not_delivered" not in told
    sent = boris.try_to_enter(inbox_epoch=boris.inbox_epoch, epoch=boris.epoch, inbox_ack=0)
    assert "one" in boris.shown(sent, inbox=True)


def test_a_recipient_who_flaps_is_no_news_each_time() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("one", kind=PRIVATE, to="Boris")
    for _ in range(3):
        _wait(bench, 17.0, anna)
        boris.resume()
    sent = {
        (p.first + n, e.text)
        for p in of_type(Events, anna.got(bench.sent))
        if p.inbox
        for n, e in enumerate(p.events)
        if e.kind is EventKind.NOTICE
    }
    assert [text for _, text in sent] == ["not_delivered_yet"]


def test_when_the_room_forgets_the_departed_the_sender_learns_that_it_is_final() -> None:
    bench = RoomBench(RoomSettings(members_max=4))
    anna, _ = bench.join("Anna"), bench.join("Boris")
    anna.say("one", kind=PRIVATE, to="Boris")
    _wait(bench, 17.0, anna)
    for number in range(4):
        assert ("not_delivered", "Boris") not in _notices(anna)
        bench.join(f"Next{number}").leave()
    bench.join("Last").leave()
    assert ("not_delivered", "Boris") in _notices(anna)


# --- on the wire -----------------------------------------------------------------------------


def test_repairs_of_small_messages_fill_their_datagrams() -> None:
    bench = RoomBench()
    anna, boris = bench.join("Anna"), bench.join("Boris")
    for number in range(100):
        anna.say(f"{number:03}", kind=PRIVATE, to="Boris")
        anna.status()
    before = len(bench.sent)
    _wait(bench, 1.0, anna, deaf=boris)
    repairs = [p for p in of_type(Events, boris.got(bench.sent[before:])) if p.inbox and p.repair]
    assert repairs
    assert min(len(p.events) for p in repairs) >= 25


def test_notices_on_top_of_a_full_inbox_push_nothing_out() -> None:
    bench = RoomBench()
    anna = bench.join("Anna")
    others = [bench.join(f"User{number}") for number in range(60)]
    for other in others:
        anna.say("hello", kind=PRIVATE, to=other.name)
        anna.status()
    _fill(bench, others[0], anna)
    for other in others[1:]:
        other.leave()
    log = anna.member.inbox.log
    assert log.oldest == anna.member.inbox.acked + 1
    assert len(_notices(anna)) == 59
    assert log.entry_count < INBOX_ENTRIES_MAX
    assert log.bytes_held < INBOX_BYTES_MAX
