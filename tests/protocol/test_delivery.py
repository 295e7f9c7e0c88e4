"""The event log and its ordered receiver."""

from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.cells import cells
from udp_chat.protocol.delivery import (
    REORDER_MAX,
    Delivery,
    EventLog,
    Lost,
    OrderedReceiver,
)
from udp_chat.protocol.packets import Event, EventKind

EPOCH = 0xE1E2E3E4E5E6E7E8


def log_of(*encoded: bytes, entries_max: int = 1000, bytes_max: int = 100_000) -> EventLog:
    log = EventLog(EPOCH, entries_max, bytes_max)
    for at, event in enumerate(encoded):
        log.append(event, float(at))
    return log


def event(seq: int) -> Event:
    """The event with this number; no two are equal."""
    return Event(EventKind.CHAT, time_ms=seq)


def events(first: int, last: int) -> list[Event]:
    return [event(seq) for seq in range(first, last + 1)]


def delivered(first: int, last: int) -> list[Delivery]:
    return [(seq, event(seq)) for seq in range(first, last + 1)]


# --- the event log ---------------------------------------------------------------------------


def test_an_empty_log_begins_at_one() -> None:
    log = log_of()
    assert (log.oldest, log.latest, log.entry_count, log.bytes_held) == (1, 0, 0, 0)
    assert log.epoch == EPOCH
    assert log.slice(1, 10, 1000) == []


def test_events_are_numbered_from_one_without_a_gap() -> None:
    log = EventLog(EPOCH, 10, 1000)
    assert [log.append(b"x", 0.0) for _ in range(3)] == [1, 2, 3]
    assert (log.oldest, log.latest, log.entry_count, log.bytes_held) == (1, 3, 3, 3)


def test_the_log_remembers_when_an_event_was_sent() -> None:
    log = EventLog(EPOCH, 10, 1000)
    log.append(b"a", 7.5)
    log.append(b"b", 9.25)
    assert (log.sent_at(1), log.sent_at(2)) == (7.5, 9.25)


def test_several_events_are_appended_as_one_by_one() -> None:
    for entries_max, bytes_max in ((10, 1000), (2, 1000), (10, 5), (10, 1)):
        one_by_one = log_of(b"a", b"bb", b"", b"dddd", entries_max=entries_max, bytes_max=bytes_max)
        log = EventLog(EPOCH, entries_max, bytes_max)
        assert log.extend([b"a", b"bb"], 0.0) == 2
        assert log.extend([b"", b"dddd"], 0.0) == 4
        assert log.extend([], 0.0) == 4
        assert (log.oldest, log.latest) == (one_by_one.oldest, one_by_one.latest)
        assert (log.entry_count, log.bytes_held) == (one_by_one.entry_count, one_by_one.bytes_held)
        assert log.slice(log.oldest, 4, 100) == one_by_one.slice(log.oldest, 4, 100)


def test_the_log_finds_what_was_sent_by_a_time() -> None:
    log = log_of(b"a", b"b", b"c", entries_max=2)  # sent at 0, 1 and 2; the first is forgotten
    assert [log.last_sent_by(at) for at in (0.5, 1.0, 1.5, 2.0, 9.0)] == [1, 2, 2, 3, 3]
    assert log_of().last_sent_by(1.0) == 0


def test_the_log_lets_go_of_the_oldest_beyond_its_entries() -> None:
    log = log_of(b"a", b"b", b"c", entries_max=3)
    assert log.oldest == 1
    log.append(b"d", 3.0)
    assert (log.oldest, log.latest, log.entry_count, log.bytes_held) == (2, 4, 3, 3)
    assert log.slice(2, 4, 1000) == [b"b", b"c", b"d"]


def test_the_log_lets_go_of_the_oldest_beyond_its_bytes() -> None:
    log = log_of(b"aaaa", b"bbb", b"ccc", bytes_max=10)
    assert (log.oldest, log.bytes_held) == (1, 10)
    log.append(b"d", 3.0)
    assert (log.oldest, log.bytes_held) == (2, 7)
    log.append(b"eeeeeeeee", 4.0)
    assert (log.oldest, log.latest, log.bytes_held) == (4, 5, 10)


def test_the_log_keeps_the_newest_event_however_large_it_is() -> None:
    log = log_of(b"a", b"b" * 100, bytes_max=10)
    assert (log.oldest, log.latest, log.bytes_held) == (2, 2, 100)
    assert log.slice(2, 2, 1000) == [b"b" * 100]


def test_the_log_forgets_up_to_and_including_a_number() -> None:
    log = log_of(b"a", b"bb", b"ccc", b"dddd")
    log.forget(2)
    assert (log.oldest, log.latest, log.entry_count, log.bytes_held) == (3, 4, 2, 7)
    log.forget(1)  # was forgotten already
    assert (log.oldest, log.latest) == (3, 4)


def test_a_log_that_forgot_everything_goes_on_counting() -> None:
    log = log_of(b"a", b"b")
    log.forget(99)
    assert (log.oldest, log.latest, log.entry_count, log.bytes_held) == (3, 2, 0, 0)
    assert log.append(b"c", 2.0) == 3
    assert (log.oldest, log.latest) == (3, 3)


def test_the_log_knows_how_many_bytes_it_holds_from_an_event_on() -> None:
    log = log_of(b"1", b"22", b"333", b"4444")
    assert [log.bytes_from(seq) for seq in range(7)] == [10, 10, 9, 7, 4, 0, 0]
    log.forget(2)
    assert [log.bytes_from(seq) for seq in range(7)] == [7, 7, 7, 7, 4, 0, 0]
    log.forget(4)
    assert [log.bytes_from(seq) for seq in range(7)] == [0] * 7
    log.append(b"55555", 5.0)
    assert [log.bytes_from(seq) for seq in range(7)] == [5] * 6 + [0]


def test_a_slice_ends_where_it_is_told_to() -> None:
    log = log_of(b"a", b"b", b"c", b"d")
    assert log.slice(2, 3, 1000) == [b"b", b"c"]
    assert log.slice(3, 99, 1000) == [b"c", b"d"]
    assert log.slice(5, 99, 1000) == []


def test_a_slice_holds_as_many_bytes_as_it_may() -> None:
    log = log_of(b"aaa", b"bbb", b"ccc")
    assert log.slice(1, 3, 9) == [b"aaa", b"bbb", b"ccc"]
    assert log.slice(1, 3, 8) == [b"aaa", b"bbb"]
    assert log.slice(1, 3, 2) == []


def test_a_slice_does_not_leave_out_an_event_for_a_smaller_one_behind_it() -> None:
    log = log_of(b"aaa", b"bbb", b"c")
    assert log.slice(1, 3, 5) == [b"aaa"]


def test_a_slice_holds_at_most_255_events() -> None:
    log = log_of(*[b""] * 300)
    assert len(log.slice(1, 300, 1000)) == 255
    assert len(log.slice(46, 300, 1000)) == 255
    assert len(log.slice(47, 300, 1000)) == 254


@given(
    st.lists(st.binary(max_size=20) | st.integers(0, 40), max_size=40),
    st.integers(1, 10),
    st.integers(0, 60),
)
def test_a_log_holds_its_newest_events_within_its_bounds(
    steps: list[bytes | int], entries_max: int, bytes_max: int
) -> None:
    """Against a list of everything that was ever appended."""
    log = EventLog(EPOCH, entries_max, bytes_max)
    appended: list[bytes] = []
    for step in steps:
        if isinstance(step, int):
            log.forget(step)
        else:
            appended.append(step)
            assert log.append(step, 0.0) == len(appended)
        held = log.slice(log.oldest, log.latest, 10_000)
        assert held == appended[log.oldest - 1 :]
        assert log.entry_count == len(held) <= entries_max
        assert log.bytes_held == sum(map(len, held))
        assert log.bytes_held <= bytes_max or len(held) == 1


# --- the ordered receiver --------------------------------------------------------------------


def test_a_slice_in_order_is_delivered_at_once() -> None:
    receiver = OrderedReceiver(EPOCH, start=5)
    assert receiver.epoch == EPOCH
    assert receiver.acknowledged == 4
    assert receiver.receive(5, events(5, 7), oldest=1, latest=7) == delivered(5, 7)
    assert receiver.acknowledged == 7


def test_a_duplicate_event_is_delivered_once() -> None:
    receiver = OrderedReceiver(EPOCH, start=1)
    receiver.receive(1, events(1, 3), oldest=1, latest=3)
    assert receiver.receive(1, events(1, 3), oldest=1, latest=3) == []
    assert receiver.receive(2, events(2, 4), oldest=1, latest=4) == delivered(4, 4)


def test_what_is_beyond_a_gap_waits_until_the_gap_is_filled() -> None:
    receiver = OrderedReceiver(EPOCH, start=1)
    assert receiver.receive(3, events(3, 4), oldest=1, latest=4) == []
    assert (receiver.acknowledged, cells(receiver)) == (0, 2)
    assert receiver.receive(1, events(1, 2), oldest=1, latest=4) == delivered(1, 4)
    assert (receiver.acknowledged, cells(receiver)) == (4, 0)


def test_what_was_before_the_start_is_not_delivered() -> None:
    receiver = OrderedReceiver(EPOCH, start=5)
    assert receiver.receive(1, events(1, 6), oldest=1, latest=6) == delivered(5, 6)


def test_events_the_log_let_go_of_are_counted_as_lost() -> None:
    receiver = OrderedReceiver(EPOCH, start=1)
    receiver.receive(1, events(1, 2), oldest=1, latest=2)
    assert receiver.receive(6, events(6, 7), oldest=6, latest=7) == [Lost(3), *delivered(6, 7)]


def test_what_waited_is_delivered_between_two_losses() -> None:
    receiver = OrderedReceiver(EPOCH, start=1)
    receiver.receive(3, events(3, 4), oldest=1, latest=4)
    deliveries = receiver.receive(8, [], oldest=8, latest=7)
    assert deliveries == [Lost(2), *delivered(3, 4), Lost(3)]
    assert receiver.acknowledged == 7


def test_a_loss_is_told_once() -> None:
    receiver = OrderedReceiver(EPOCH, start=1)
    assert receiver.receive(4, [], oldest=4, latest=3) == [Lost(3)]
    assert receiver.receive(4, [], oldest=4, latest=3) == []


def test_the_gap_ends_before_the_first_event_that_waits() -> None:
    receiver = OrderedReceiver(EPOCH, start=1)
    assert receiver.gap_end == receiver.acknowledged == 0
    receiver.receive(1, events(1, 2), oldest=1, latest=2)
    assert receiver.gap_end == receiver.acknowledged == 2
    receiver.receive(9, events(9, 9), oldest=1, latest=12)
    assert (receiver.acknowledged, receiver.gap_end) == (2, 8)
    receiver.receive(6, events(6, 6), oldest=1, latest=12)
    assert (receiver.acknowledged, receiver.gap_end) == (2, 5)


def test_the_gap_ends_at_the_latest_event_heard_of_if_none_waits() -> None:
    receiver = OrderedReceiver(EPOCH, start=1)
    receiver.receive(8, [], oldest=1, latest=7)
    assert (receiver.acknowledged, receiver.gap_end) == (0, 7)


def test_an_old_slice_does_not_take_back_how_far_the_log_was() -> None:
    receiver = OrderedReceiver(EPOCH, start=1)
    receiver.receive(8, [], oldest=1, latest=7)
    receiver.receive(1, events(1, 2), oldest=1, latest=2)
    assert (receiver.acknowledged, receiver.latest, receiver.gap_end) == (2, 7, 7)


def test_only_so_many_events_wait_beyond_a_gap() -> None:
    receiver = OrderedReceiver(EPOCH, start=1)
    last = REORDER_MAX + 50
    assert receiver.receive(2, events(2, last), oldest=1, latest=last) == []
    assert cells(receiver) == REORDER_MAX - 1
    # What was too far ahead comes with its repair.
    assert receiver.receive(1, events(1, 1), 1, last) == delivered(1, REORDER_MAX)
    assert receiver.receive(last - 49, events(last - 49, last), 1, last) == delivered(
        last - 49, last
    )


def test_a_word_on_where_the_log_ends_drops_what_is_held_beyond() -> None:
    receiver = OrderedReceiver(EPOCH, 1)
    receiver.receive(1, events(1, 2), 1, 2)
    receiver.receive(5, events(5, 6), 1, 90)
    receiver.correct(5)
    assert (receiver.latest, cells(receiver), receiver.gap_end) == (5, 1, 4)
    receiver.correct(2)
    assert (receiver.latest, cells(receiver), receiver.gap_end) == (2, 0, 2)
    receiver.correct(1)
    assert (receiver.latest, receiver.acknowledged) == (2, 2)


@pytest.mark.parametrize(
    ("start", "latest", "begins"),
    [
        pytest.param(8, 12, 11, id="behind what was delivered before the false gap"),
        pytest.param(12, 12, 12, id="or where the server begins"),
        pytest.param(8, 9, 10, id="a false event at the end of the log"),
    ],
)
def test_a_receiver_that_was_led_astray_begins_behind_what_it_truly_has(
    start: int, latest: int, begins: int
) -> None:
    receiver = OrderedReceiver(EPOCH, 1)
    receiver.receive(1, events(1, 10), 1, 10)
    if latest > 10:
        assert receiver.receive(991, (), 990, 990) == [Lost(979)]
    again = receiver.restarted(start, latest)
    assert (again.epoch, again.acknowledged, again.latest) == (EPOCH, begins - 1, begins - 1)


def test_a_false_gap_behind_false_events_leaves_all_that_is_true() -> None:
    receiver = OrderedReceiver(EPOCH, 1)
    receiver.receive(1, events(1, 15), 1, 15)  # the last five were forged
    receiver.receive(991, (), 990, 990)
    assert receiver.restarted(7, 10).acknowledged == 10


def test_a_true_gap_of_long_ago_does_not_have_a_receiver_begin_there_again() -> None:
    receiver = OrderedReceiver(EPOCH, 1)
    receiver.receive(6, events(6, 9), 6, 9)
    receiver.receive(10, events(10, 12), 6, 12)  # the last two were forged
    assert receiver.restarted(7, 10).acknowledged == 10


def test_a_long_slice_without_a_gap_is_not_bounded() -> None:
    receiver = OrderedReceiver(EPOCH, start=1)
    last = 2 * REORDER_MAX
    assert receiver.receive(1, events(1, last), 1, last) == delivered(1, last)
    assert cells(receiver) == 0


class ModelReceiver:
    """The same rules without regard for cost: a set of everything heard, and where we are."""

    def __init__(self, start: int) -> None:
        self.at = start - 1
        self.heard: set[int] = set()
        self.latest = self.at
        self.oldest = 0

    def receive(self, first: int, last: int, oldest: int, latest: int) -> list[Delivery]:
        self.heard.update(range(first, last + 1))
        self.latest = max(self.latest, latest)
        self.oldest = max(self.oldest, oldest)
        passed = []
        while self.at + 1 in self.heard or self.at + 1 < self.oldest:
            self.at += 1
            passed.append(self.at)
        deliveries: list[Delivery] = []
        for was_heard, run in groupby(passed, self.heard.__contains__):
            seqs = list(run)
            deliveries += [(s, event(s)) for s in seqs] if was_heard else [Lost(len(seqs))]
        return deliveries

    @property
    def gap_end(self) -> int:
        return min((seq for seq in self.heard if seq > self.at), default=self.latest + 1) - 1


@st.composite
def slices_of_a_log(draw: st.DrawFn) -> list[tuple[int, int, int, int]]:
    """(first, last, oldest, latest) of slices as a network may bring them, the last one empty.

    Each was sent by a log as it then was, so `oldest <= first <= last + 1 <= latest + 1`; which
    of them arrive, how often and in which order is anything.
    """
    slices = []
    latest, oldest = 0, 1
    for _ in range(draw(st.integers(1, 12))):
        latest += draw(st.integers(0, 6))
        oldest += draw(st.sampled_from([0, 0, 0, 1, 5]))
        oldest = min(oldest, latest + 1)
        first = draw(st.integers(oldest, latest + 1))
        last = draw(st.integers(first - 1, latest))
        slices.append((first, last, oldest, latest))
    arrived = draw(st.lists(st.sampled_from(slices), max_size=30))
    return [*arrived, (latest + 1, latest, oldest, latest)]


@given(slices_of_a_log(), st.integers(1, 10))
@example([(2, 2, 1, 4), (4, 4, 1, 4), (5, 4, 5, 4)], 1)  # lost, waited, lost, waited
def test_every_event_is_delivered_once_in_order_or_counted_as_lost(
    slices: list[tuple[int, int, int, int]], start: int
) -> None:
    receiver, model = OrderedReceiver(EPOCH, start), ModelReceiver(start)
    for first, last, oldest, latest in slices:
        deliveries = receiver.receive(first, events(first, last), oldest, latest)
        assert deliveries == model.receive(first, last, oldest, latest)
        assert receiver.acknowledged == model.at
        assert receiver.gap_end == model.gap_end
        assert cells(receiver) == sum(seq > model.at for seq in model.heard)


@given(st.data(), st.integers(1, 40))
def test_slices_in_any_order_and_number_deliver_the_whole_log(
    data: st.DataObject, latest: int
) -> None:
    some_slice = st.tuples(st.integers(1, latest), st.integers(0, 10))
    arriving = data.draw(st.lists(some_slice))
    # Whatever those leave out is repaired in the end, in any order too.
    arriving += data.draw(st.permutations([(seq, 0) for seq in range(1, latest + 1)]))
    receiver = OrderedReceiver(EPOCH, start=1)
    deliveries: list[Delivery] = []
    for first, more in arriving:
        deliveries += receiver.receive(first, events(first, min(first + more, latest)), 1, latest)
    assert deliveries == delivered(1, latest)
    assert receiver.gap_end == receiver.acknowledged == latest
    assert cells(receiver) == 0
