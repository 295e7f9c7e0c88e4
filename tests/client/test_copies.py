"""What a client sends more than once before anything is known to be lost, and when it does not."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest

from tests.machines import SERVER, SessionBench
from udp_chat.client.outbox import FULL_QUEUE_SECONDS, LATE_RATIO, RETRY_COPIES_MAX
from udp_chat.client.session import LOSS_PRIOR, ChatSession
from udp_chat.protocol.delivery import COPY_SPACING_SECONDS, RTO_MIN_SECONDS


def test_a_line_is_sent_once_on_a_link_that_loses_nothing() -> None:
    bench = SessionBench()
    bench.enter()
    began_at = bench.now
    bench.say("hello")
    bench.advance(0.9 * RTO_MIN_SECONDS - 0.001)
    assert len(bench.says(began_at)) == 1


@pytest.mark.parametrize(("ratio", "count"), [(0.003, 1), (0.05, 2), (0.2, 3), (0.9, 3)])
def test_a_line_is_sent_more_than_once_on_a_link_that_loses(ratio: float, count: int) -> None:
    bench = SessionBench(loss_prior=ratio)
    bench.enter()
    began_at = bench.now
    bench.say("hello")
    bench.advance(0.9 * RTO_MIN_SECONDS - 0.001)
    times = [at for at, _ in bench.says(began_at)]
    assert times == pytest.approx([began_at + n * COPY_SPACING_SECONDS for n in range(count)])


def test_a_link_of_which_nothing_is_known_counts_as_one_that_loses() -> None:
    """Else the first loss of an evening would wait for a timeout, which everybody feels."""
    assert 0.0 < LOSS_PRIOR < 0.1
    session = ChatSession(SERVER, "Anna", random.Random(1))
    assert session.loss.copies(LATE_RATIO) == 2


def test_after_much_talk_without_loss_no_copies_are_sent_any_more() -> None:
    bench = SessionBench(loss_prior=LOSS_PRIOR)
    bench.enter()
    for number in range(1, 400):
        bench.say("hello")
        bench.echo("hello", first_id=number)
        bench.receive(bench.slice(len(bench.log)))
        bench.now += 0.1
    began_at = bench.now
    bench.say("hello")
    bench.advance(0.9 * RTO_MIN_SECONDS - 0.001)
    assert len(bench.says(began_at)) == 1


def _with_a_queue(bench: SessionBench) -> None:
    """The last three round trips were longer than the shortest, by a queue."""
    base = bench.session.rtt.base
    for _ in range(3):
        bench.session.rtt.sample(base + 1.5 * FULL_QUEUE_SECONDS)
    assert bench.session.rtt.queue_seconds > FULL_QUEUE_SECONDS


def test_on_a_full_link_no_copies_are_sent() -> None:
    bench = SessionBench(loss_prior=0.2)
    bench.enter()
    _with_a_queue(bench)
    began_at = bench.now
    bench.say("hello")
    bench.advance(0.9 * RTO_MIN_SECONDS - 0.001)
    assert len(bench.says(began_at)) == 1
    bench.advance(3.0)
    assert len(bench.says(began_at)) == len(bench.rounds(began_at)) > 2, "retransmissions, too"


def test_each_retransmission_is_copied_more_often_than_the_one_before() -> None:
    """What was lost once is often lost in a burst. A later timeout is longer."""
    bench = SessionBench()
    bench.enter()
    began_at = bench.now
    bench.say("hello")
    bench.advance(3.9)
    rounds_at = [at for at, _ in bench.rounds(began_at)]
    said_at = [at for at, _ in bench.says(began_at)]
    counts = [
        sum(begin <= at < end for at in said_at)
        for begin, end in pairwise([*rounds_at, float("inf")])
    ]
    assert len(counts) > 3
    most = 1 + RETRY_COPIES_MAX
    assert all(later > earlier or later == most for earlier, later in pairwise(counts))
    assert max(counts) == most


def test_a_loss_on_a_full_link_says_nothing_of_its_luck() -> None:
    bench = SessionBench()
    bench.enter()
    _with_a_queue(bench)
    bench.say("hello")
    bench.advance(1.0)
    assert bench.session.counters["retransmissions"] > 0
    assert bench.session.loss.ratio == 0.0
    bench.chat("more")
    bench.receive(bench.slice(2, repair=True))
    assert bench.shown("chat")
    assert bench.session.loss.ratio == 0.0


def test_the_echo_of_what_was_copied_measures_the_round_trip() -> None:
    """Its copies left within milliseconds: taking its time from the first is nearly right."""
    bench = SessionBench(loss_prior=0.2)
    bench.enter()
    rtt = bench.session.rtt
    bench.say("hello")
    before = rtt.srtt
    bench.advance(0.04)
    assert len(bench.says()) == 3
    bench.echo("hello", first_id=1)
    bench.receive(bench.slice(2))
    assert rtt.srtt == pytest.approx(before + (0.04 - before) / 8)


def test_no_copy_is_sent_of_what_has_arrived() -> None:
    bench = SessionBench(loss_prior=0.2)
    bench.enter()
    bench.say("hello")
    bench.now += COPY_SPACING_SECONDS / 2
    bench.echo("hello", first_id=1)
    bench.receive(bench.slice(2))
    bench.advance(1.0)
    assert len(bench.says()) == 1


def test_what_takes_several_datagrams_is_not_copied() -> None:
    bench = SessionBench(loss_prior=0.2)
    bench.enter()
    began_at = bench.now
    bench.say(*["x" * 900] * 3)
    bench.advance(0.9 * RTO_MIN_SECONDS - 0.001)
    assert len(bench.says(began_at)) == 3


def test_retransmissions_and_repairs_raise_the_estimate_of_loss() -> None:
    bench = SessionBench()
    bench.enter()
    assert bench.session.loss.ratio == 0.0
    bench.say("hello")
    bench.advance(1.0)
    after_retransmissions = bench.session.loss.ratio
    assert after_retransmissions > 0.0
    bench.echo("hello", first_id=1)
    bench.receive(bench.slice(2, repair=True))
    after_repair = bench.session.loss.ratio
    assert after_repair > after_retransmissions
    bench.chat("more")
    bench.receive(bench.slice(3))
    assert bench.session.loss.ratio < after_repair
