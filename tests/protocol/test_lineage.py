"""The terms of a log, and up to where two logs of one room are the same."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udp_chat.protocol.lineage import (
    LINEAGE_BYTES,
    NO_LINEAGE,
    NO_TERMS,
    RANGE_BYTES_MAX,
    TERMS_MAX,
    Lineage,
    Range,
    parse_origin,
)

A, B, C = 0xA, 0xB, 0xC


def test_a_lineage_has_its_bytes() -> None:
    lineage = Lineage(((A, 1), (B, 31)))
    expected = "000000000000000a 0000000000000001 000000000000000b 000000000000001f" + " 00" * 96
    assert lineage.encode() == bytes.fromhex(expected)
    assert Lineage.decode(lineage.encode()) == lineage
    assert NO_TERMS.encode() == NO_LINEAGE == bytes(LINEAGE_BYTES)


def test_terms_that_begin_before_the_ones_before_them_are_no_lineage() -> None:
    assert Lineage.decode(Lineage(((A, 31), (B, 30))).encode()) == NO_TERMS
    same = Lineage(((A, 31), (B, 31)))
    assert Lineage.decode(same.encode()) == same, "a term in which nothing was said"


def test_a_term_of_which_its_follower_has_nothing_is_left_out() -> None:
    lineage = Lineage(((A, 1), (B, 31)))
    assert lineage.followed_by(C, 30) == Lineage(((A, 1), (C, 30)))
    assert lineage.followed_by(C, 31) == Lineage(((A, 1), (B, 31), (C, 31)))


def test_a_term_without_an_epoch_is_none() -> None:
    assert Lineage.decode(Lineage(((A, 1), (0, 7), (B, 31))).encode()) == Lineage(((A, 1), (B, 31)))


@given(st.binary(min_size=LINEAGE_BYTES, max_size=LINEAGE_BYTES), st.integers(0, 2**64 - 1))
def test_any_bytes_are_a_lineage_that_finds_some_fork_or_none(data: bytes, latest: int) -> None:
    lineage = Lineage.decode(data)
    fork = lineage.fork(latest, Lineage(((A, 1),)), latest)
    assert fork is None or fork <= latest


def test_the_newest_terms_are_remembered() -> None:
    lineage = NO_TERMS
    for number in range(1, TERMS_MAX + 3):
        lineage = lineage.followed_by(number, 10 * number)
    assert [epoch for epoch, _ in lineage.terms] == list(range(3, TERMS_MAX + 3))
    assert len(lineage.encode()) == LINEAGE_BYTES


def test_an_event_is_of_the_newest_term_that_began_before_it() -> None:
    lineage = Lineage(((A, 11), (B, 31), (C, 31)))
    seqs = (10, 11, 30, 31, 99)
    assert [lineage.epoch_of(seq) for seq in seqs] == [0, A, A, C, C]


def test_a_term_ends_before_the_next_one_or_with_its_log() -> None:
    lineage = Lineage(((A, 1), (B, 31)))
    assert lineage.last_of(A, 50) == 30
    assert lineage.last_of(A, 20) == 20, "the log has not come so far"
    assert lineage.last_of(B, 50) == 50
    assert lineage.last_of(C, 50) is None


@pytest.mark.parametrize(
    ("mine", "latest", "theirs", "other_latest", "fork"),
    [
        pytest.param(((A, 1),), 50, ((A, 1),), 40, 40, id="one term, less seen"),
        pytest.param(((A, 1), (B, 31)), 50, ((A, 1),), 20, 20, id="away before the term ended"),
        pytest.param(((A, 1), (B, 31)), 50, ((A, 1),), 45, 30, id="shown what the new host lacks"),
        pytest.param(((A, 1), (B, 31)), 50, ((A, 1), (C, 41)), 45, 30, id="two parts"),
        pytest.param(((A, 1), (B, 31)), 50, ((A, 1), (B, 31)), 45, 45, id="the newest in common"),
        pytest.param(((B, 31), (C, 41)), 50, ((A, 1), (B, 31)), 60, 40, id="an old one forgotten"),
        pytest.param(((A, 1),), 50, ((B, 1),), 50, None, id="two rooms"),
        pytest.param(((A, 1),), 50, (), 0, None, id="never in"),
    ],
)
def test_two_logs_are_the_same_up_to_their_fork(
    mine: tuple[tuple[int, int], ...],
    latest: int,
    theirs: tuple[tuple[int, int], ...],
    other_latest: int,
    fork: int | None,
) -> None:
    assert Lineage(mine).fork(latest, Lineage(theirs), other_latest) == fork
    assert Lineage(theirs).fork(other_latest, Lineage(mine), latest) == fork, "both find the same"


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[list[int]], list[Lineage]]:
    """Logs of one room as the epoch of each event, all grown from one; and their lineages."""
    logs, lineages, epoch = [[1] * draw(st.integers(0, 5))], [Lineage(((1, 1),))], 1
    for _ in range(draw(st.integers(0, TERMS_MAX - 1))):
        parent = draw(st.integers(0, len(logs) - 1))
        kept = draw(st.integers(0, len(logs[parent])))
        epoch += 1
        taken = [term for term in lineages[parent].terms if term[1] <= kept + 1]
        logs.append(logs[parent][:kept] + [epoch] * draw(st.integers(0, 5)))
        lineages.append(Lineage(tuple(taken)).followed_by(epoch, kept + 1))
    return logs, lineages


@given(histories())
def test_the_fork_is_where_the_logs_begin_to_differ(
    history: tuple[list[list[int]], list[Lineage]],
) -> None:
    logs, lineages = history
    for log, lineage in zip(logs, lineages, strict=True):
        for other_log, other in zip(logs, lineages, strict=True):
            common = 0
            while log[common : common + 1] == other_log[common : common + 1] != []:
                common += 1
            assert lineage.fork(len(log), other, len(other_log)) == common


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("00000000000000ff 33", (255, 33)),
        ("", None),
        ("00000000000000ff", None),
        ("xyz 33", None),
        ("00000000000000ff xyz", None),
    ],
)
def test_an_origin_says_where_an_event_stood(text: str, origin: tuple[int, int] | None) -> None:
    assert parse_origin(text) == origin


@pytest.mark.parametrize(
    "text", ["", "1 2", "1 2 3 4", "x 1 2", "1 0 2", "1 3 2", "0 1 2", "1 -1 2", f"{2**64:x} 1 2"]
)
def test_a_range_that_makes_no_sense_is_none(text: str) -> None:
    assert Range.parse(text) is None


def test_a_range_reads_what_it_wrote() -> None:
    largest = Range(2**64 - 1, 2**64 - 1, 2**64 - 1)
    assert len(largest.format()) == RANGE_BYTES_MAX
    assert Range.parse(largest.format()) == largest
