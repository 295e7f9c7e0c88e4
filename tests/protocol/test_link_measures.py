"""What both ends measure of a link and what they allow, each with numbers for `now`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udp_chat.protocol.delivery import (
    COPIES_MAX,
    RTO_INITIAL_SECONDS,
    RTO_MAX_SECONDS,
    RTO_MIN_SECONDS,
    RTT_SAMPLE_MAX_SECONDS,
    SAMPLES_REMEMBERED,
    TAIL_MARGIN_SECONDS,
    LossEstimate,
    RttEstimator,
    TokenBucket,
    quantile,
)


def measured(*round_trips: float) -> RttEstimator:
    rtt = RttEstimator()
    for seconds in round_trips:
        rtt.sample(seconds)
    return rtt


# --- the round-trip time ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ratio", "expected"), [(0.0, 1), (0.5, 50), (0.9, 90), (0.99, 99), (0.991, 100), (1, 100)]
)
def test_a_quantile_is_the_nearest_rank(ratio: float, expected: int) -> None:
    assert quantile(range(100, 0, -1), ratio) == expected
    assert quantile([7.0], ratio) == 7.0


def test_a_median_of_two_is_the_smaller_one() -> None:
    assert quantile([2.0, 1.0], 0.5) == 1.0


def test_a_quantile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing"):
        quantile([], 0.5)


def test_the_quantile_of_round_trips_is_that_of_the_recent_samples() -> None:
    estimator = RttEstimator()
    assert estimator.quantile(0.95) == 0.0, "there are no samples yet"
    for milliseconds in range(1000, 0, -1):
        estimator.sample(milliseconds / 1000)
    recent = [n / 1000 for n in range(1, RttEstimator.RECENT_MAX + 1)]
    assert estimator.quantile(0.5) == quantile(recent, 0.5)
    assert estimator.quantile(0.95) == quantile(recent, 0.95)


def test_before_the_first_sample_the_timeout_is_the_initial_one() -> None:
    rtt = RttEstimator()
    assert rtt.rto == RTO_INITIAL_SECONDS == 0.25


def test_the_timeout_follows_rfc_6298() -> None:
    rtt = RttEstimator()
    # §2.2: SRTT = R, RTTVAR = R/2, RTO = SRTT + 4 RTTVAR.
    rtt.sample(0.1)
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == pytest.approx((0.1, 0.05, 0.3))
    # §2.3: RTTVAR = 3/4 · 0.05 + 1/4 · |0.1 - 0.2|, and only then SRTT = 7/8 · 0.1 + 1/8 · 0.2.
    rtt.sample(0.2)
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == pytest.approx((0.1125, 0.0625, 0.3625))
    # RTTVAR = 3/4 · 0.0625 + 1/4 · 0.0125, SRTT = 7/8 · 0.1125 + 1/8 · 0.1.
    rtt.sample(0.1)
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == pytest.approx((0.1109375, 0.05, 0.3109375))


@pytest.mark.parametrize("rtt_seconds", [0.045, 0.0497, 0.1, 0.5, 1.5])
def test_where_round_trips_never_vary_a_timer_that_is_a_tenth_early_still_waits_for_them(
    rtt_seconds: float,
) -> None:
    """Else a steady link that is a little too slow would be asked everything twice."""
    assert 0.9 * measured(*[rtt_seconds] * 200).rto > rtt_seconds


def test_the_timeout_has_a_floor() -> None:
    rtt = RttEstimator()
    rtt.sample(0.0002)
    assert rtt.rto == RTO_MIN_SECONDS == 0.05


def test_the_timeout_has_a_ceiling() -> None:
    rtt = RttEstimator()
    rtt.sample(1.5)
    assert rtt.rto == RTO_MAX_SECONDS == 2.0


@pytest.mark.parametrize(
    "seconds", [-0.000001, RTT_SAMPLE_MAX_SECONDS + 0.001, float("inf"), float("nan")]
)
def test_an_impossible_sample_is_ignored(seconds: float) -> None:
    rtt = RttEstimator()
    rtt.sample(seconds)
    assert rtt.rto == RTO_INITIAL_SECONDS
    rtt.sample(0.1)
    rtt.sample(seconds)
    assert (rtt.srtt, rtt.rttvar, rtt.rto) == pytest.approx((0.1, 0.05, 0.3))


def test_the_longest_possible_sample_counts() -> None:
    rtt = RttEstimator()
    rtt.sample(RTT_SAMPLE_MAX_SECONDS)
    assert rtt.srtt == RTT_SAMPLE_MAX_SECONDS


def test_a_sample_of_no_time_counts() -> None:
    rtt = RttEstimator()
    rtt.sample(0.0)
    assert rtt.rto == RTO_MIN_SECONDS


@pytest.mark.parametrize(
    ("attempts", "seconds"), [(0, 0.3), (1, 0.6), (2, 1.2), (3, 2.0), (4, 2.0), (10**6, 2.0)]
)
def test_the_timeout_doubles_with_each_attempt_up_to_the_ceiling(
    attempts: int, seconds: float
) -> None:
    rtt = RttEstimator()
    rtt.sample(0.1)
    assert rtt.backed_off(attempts) == pytest.approx(seconds)
    assert rtt.rto == pytest.approx(0.3)


# --- the queue on a link ---------------------------------------------------------------------


def test_a_link_that_was_never_measured_shows_no_queue() -> None:
    assert RttEstimator().queue_seconds == 0.0


def test_the_base_is_the_shortest_round_trip() -> None:
    assert measured(0.05).base == 0.05
    assert measured(0.05, 0.02, 0.04).base == pytest.approx(0.02, rel=0.01)


def test_a_round_trip_that_stays_long_shows_a_queue() -> None:
    assert measured(0.02, 0.1, 0.12, 0.11).queue_seconds == pytest.approx(0.08, rel=0.01)


@pytest.mark.parametrize("late", [(0.02, 0.5), (0.02, 0.02, 0.5, 0.6), (0.02, 0.5, 0.02, 0.5)])
def test_a_late_sample_or_two_are_no_queue(late: tuple[float, ...]) -> None:
    assert measured(*late).queue_seconds < 0.001


def test_the_first_samples_alone_are_no_queue() -> None:
    """Whether they are long is not known before there is a base to compare them with."""
    assert measured(0.5).queue_seconds == 0.0
    assert measured(0.5, 0.5, 0.5).queue_seconds == 0.0


def test_a_queue_is_gone_with_the_first_short_round_trip() -> None:
    assert measured(0.02, *[0.2] * 20, 0.02).queue_seconds < 0.001


def test_the_base_forgets_slowly_so_that_a_longer_way_is_not_a_queue_for_ever() -> None:
    rtt = measured(0.02, *[0.1] * 100)
    assert rtt.queue_seconds > 0.06, "a link may well be full for some seconds"
    for _ in range(5000):
        rtt.sample(0.1)
    assert rtt.queue_seconds < 0.01


def test_without_samples_the_timeout_of_a_tail_is_the_initial_one() -> None:
    assert RttEstimator().tail_timeout == RTO_INITIAL_SECONDS


def test_the_timeout_of_a_tail_has_no_floor_but_a_margin() -> None:
    rtt = measured(*[0.001] * 50)
    assert rtt.rto == RTO_MIN_SECONDS
    assert rtt.tail_timeout == pytest.approx(0.001 + TAIL_MARGIN_SECONDS, abs=0.0002)


def test_a_late_answer_of_some_time_ago_does_not_lengthen_the_timeout_of_a_tail() -> None:
    """The variance remembers it for a dozen samples. The last three round trips do not."""
    rtt = measured(*[0.04] * 50, 0.2, 0.04, 0.04)
    assert rtt.tail_timeout > 0.1, "one of the last three"
    rtt.sample(0.04)
    assert rtt.srtt + 4 * rtt.rttvar > 0.1
    assert rtt.tail_timeout == pytest.approx(rtt.srtt + TAIL_MARGIN_SECONDS)


def test_the_timeout_of_a_tail_is_at_least_the_smoothed_round_trip() -> None:
    rtt = measured(*[0.1] * 50, 0.01, 0.01, 0.01)
    assert rtt.tail_timeout == pytest.approx(rtt.srtt + TAIL_MARGIN_SECONDS)


@given(st.lists(st.floats(0, RTT_SAMPLE_MAX_SECONDS), max_size=100))
def test_the_timeout_of_a_tail_is_never_longer_than_the_other(round_trips: list[float]) -> None:
    rtt = measured(*round_trips)
    assert 0 < rtt.tail_timeout <= rtt.rto
    assert 0 <= rtt.queue_seconds <= RTT_SAMPLE_MAX_SECONDS
    assert rtt.base <= max(round_trips, default=0.0)


# --- the loss of a link ----------------------------------------------------------------------


def test_a_link_that_has_lost_nothing_gets_one_copy() -> None:
    loss = LossEstimate()
    for _ in range(100):
        loss.update(lost=False)
    assert loss.ratio == 0.0
    assert loss.copies(late_ratio=0.0) == 1


def test_a_link_of_which_nothing_is_known_counts_as_its_prior() -> None:
    assert LossEstimate().ratio == 0.0
    assert LossEstimate(prior=0.25).ratio == 0.25


def test_a_prior_weighs_as_much_as_some_datagrams_and_can_be_changed() -> None:
    loss = LossEstimate(prior=0.5)
    for _ in range(int(LossEstimate.PRIOR_WEIGHT)):
        loss.update(lost=False)
    assert loss.ratio == pytest.approx(0.25, rel=0.02)
    loss.prior = 0.0
    assert loss.ratio == 0.0


def test_a_loss_raises_the_estimate_and_what_arrives_lowers_it() -> None:
    loss = LossEstimate()
    loss.update(lost=True)
    assert loss.ratio == pytest.approx(1 / (1 + LossEstimate.PRIOR_WEIGHT))
    loss.update(lost=False)
    assert loss.ratio == pytest.approx(1 / (2 + LossEstimate.PRIOR_WEIGHT), rel=0.01)


def test_a_link_that_loses_one_datagram_of_a_hundred_is_not_forgotten_between_two_losses() -> None:
    loss, ratios = LossEstimate(), []
    for number in range(5000):
        loss.update(lost=number % 100 == 0)
        ratios.append(loss.ratio)
    assert all(0.008 < ratio < 0.012 for ratio in ratios[2000:])


def test_a_loss_of_long_ago_counts_less_and_less() -> None:
    loss = LossEstimate()
    for _ in range(SAMPLES_REMEMBERED):
        loss.update(lost=True)
    before = loss.ratio
    for _ in range(SAMPLES_REMEMBERED):
        loss.update(lost=False)
    assert loss.ratio < before / 2
    for _ in range(10 * SAMPLES_REMEMBERED):
        loss.update(lost=False)
    assert loss.ratio < 0.001


def test_a_link_that_loses_everything_approaches_one() -> None:
    loss = LossEstimate()
    for _ in range(10 * SAMPLES_REMEMBERED):
        loss.update(lost=True)
    assert 0.95 < loss.ratio <= 1.0
    assert loss.copies(late_ratio=0.01) == COPIES_MAX


@pytest.mark.parametrize(
    ("ratio", "late_ratio", "copies"),
    [
        (0.01, 0.02, 1),
        (0.25, 0.25, 1),  # one copy is late exactly as often as is allowed
        (0.25, 0.2, 2),
        (0.25, 0.0625, 2),  # 1/16: two are
        (0.25, 0.06, 3),  # 1/64: three are
        (0.9, 0.01, COPIES_MAX),
    ],
)
def test_as_many_copies_are_sent_as_keep_what_is_late_within_its_ratio(
    ratio: float, late_ratio: float, copies: int
) -> None:
    assert LossEstimate(prior=ratio).copies(late_ratio) == copies


# --- what is allowed -------------------------------------------------------------------------


def test_a_burst_is_allowed_at_once_and_no_more() -> None:
    bucket = TokenBucket(rate=2.0, burst=5.0, now=100.0)
    assert [bucket.take(1, 100.0) for _ in range(6)] == [True] * 5 + [False]


def test_tokens_come_back_at_the_rate() -> None:
    bucket = TokenBucket(rate=2.0, burst=5.0, now=100.0)
    assert bucket.take(5, 100.0)
    assert not bucket.take(1, 100.25)
    assert bucket.take(1, 100.5)
    assert bucket.take(2, 101.5)
    assert not bucket.take(1, 101.75)


def test_a_refusal_takes_nothing() -> None:
    bucket = TokenBucket(rate=2.0, burst=5.0, now=100.0)
    assert not bucket.take(6, 100.0)
    assert bucket.take(5, 100.0)


def test_a_long_silence_saves_up_no_more_than_a_burst() -> None:
    bucket = TokenBucket(rate=2.0, burst=5.0, now=100.0)
    assert bucket.take(5, 100.0)
    assert not bucket.take(6, 9999.0)
    assert bucket.take(5, 9999.0)


def test_rate_0_allows_everything_at_any_time() -> None:
    bucket = TokenBucket(rate=0.0, burst=0.0, now=100.0)
    assert all(bucket.take(1000, 100.0) for _ in range(100))
    assert bucket.ready_at(1000) <= 100.0


def test_what_is_there_already_is_ready_now() -> None:
    bucket = TokenBucket(rate=2.0, burst=5.0, now=100.0)
    for count in (1, 5):
        assert bucket.ready_at(count) == pytest.approx(100.0, abs=1e-5)


def test_a_token_that_is_missing_is_ready_when_the_rate_has_brought_it() -> None:
    bucket = TokenBucket(rate=2.0, burst=5.0, now=100.0)
    assert bucket.take(4, 100.0)
    assert bucket.ready_at(3) == pytest.approx(101.0, abs=1e-5)


@given(
    st.floats(0.1, 1e4),
    st.integers(1, 100),
    st.floats(0, 1e6),
    st.lists(st.tuples(st.integers(1, 100), st.floats(0, 10)), max_size=10),
    st.integers(1, 100),
)
def test_ready_at_is_when_take_succeeds(
    rate: float, burst: int, now: float, takes: list[tuple[int, float]], count: int
) -> None:
    count = min(count, burst)  # more than a burst is never ready

    def used() -> tuple[TokenBucket, float]:
        bucket, at = TokenBucket(rate, burst, now), now
        for wanted, pause in takes:
            at += pause
            bucket.take(wanted, at)
        return bucket, at

    bucket, at = used()
    ready_at = bucket.ready_at(count)
    assert bucket.take(count, max(at, ready_at))
    earlier = ready_at - 1e-5
    if earlier > at:
        assert not used()[0].take(count, earlier)
