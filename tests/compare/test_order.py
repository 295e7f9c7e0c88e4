"""The experiment on order and duplicates: its arithmetic, its sentences, and a quick run."""

from __future__ import annotations

import pytest

from compare.experiments.experiment import Effort, Figure, Result
from compare.experiments.order import EXPERIMENT, Heard, analyse, out_of_order
from tests.wires import needs_wire
from udp_chat.protocol.delivery import NEVER


def made_up(tcp_latency: float, condition: str = "both") -> Result:
    values = {
        "out_of_order": {"tcp": 0.0, "plain": 16.5, "chat": 0.0},
        "twice": {"tcp": 0.0, "plain": 19.0, "chat": 0.0},
        "p50": {"tcp": tcp_latency, "plain": 11.0, "chat": 12.0},
    }
    return Result(
        tuple(
            Figure(transport, quantity, condition, (value,))
            for quantity, by_transport in values.items()
            for transport, value in by_transport.items()
        ),
        settings={"share_of_packets": 0.1},
    )


def test_a_line_that_a_later_one_has_overtaken_is_out_of_order() -> None:
    assert out_of_order([0, 1, 2, 3]) == 0
    assert out_of_order([0, 2, 3, 1, 4]) == 1  # the late one, not those that overtook it
    assert out_of_order([3, 2, 1, 0]) == 3


def test_a_second_showing_is_no_disorder_and_a_missing_line_is_none() -> None:
    assert out_of_order([0, 1, 0, 2]) == 0
    assert out_of_order([0, 3, 4]) == 0


def test_the_analysis_counts_the_lines_of_all_listeners() -> None:
    perfect = Heard(5, [0, 1, 2, 3, 4], [0.01] * 5)
    bad = Heard(5, [0, 2, 1, 1, 1, 4], [0.01, 0.03, 0.01, NEVER, 0.01])

    found = analyse([perfect, bad])

    assert found["out_of_order"] == pytest.approx(10)
    assert found["twice"] == pytest.approx(10)  # one line of ten, however often
    assert found["missing"] == 1
    assert found["delivered"] == pytest.approx(90)
    assert found["p50"] == pytest.approx(10)
    assert found["p90"] == pytest.approx(30)


def test_a_member_who_was_shown_nothing_counts_too() -> None:
    found = analyse([Heard(4, [], [NEVER] * 4)])

    assert (found["delivered"], found["missing"], found["p50"]) == (0, 4, NEVER)


def test_the_analysis_keeps_a_value_for_each_run() -> None:
    runs = [[Heard(2, [0, 1], [0.01, 0.01])], [Heard(2, [1, 0], [0.01, 0.01])]]

    (figure, *_) = Result.of([("plain", "reordered", run) for run in runs], analyse).figures

    assert figure == Figure("plain", "out_of_order", "reordered", (0.0, 50.0))


def test_what_is_found_is_said_with_its_figures() -> None:
    english = EXPERIMENT.words["en"].explain(made_up(18.0))
    russian = EXPERIMENT.words["ru"].explain(made_up(18.0))

    assert len(english) == len(russian) == 3
    assert (
        "plain UDP shows 16.5\u00a0% of the messages out of order and 19\u00a0% more" in english[0]
    )
    assert "delayed and as many duplicated" in english[0]
    assert "16,5\u00a0% сообщений не по порядку и 19\u00a0%" in russian[0]
    assert "TCP waits for the very packet" in english[2]
    assert "TCP ждёт" in russian[2]


def test_that_tcp_waits_is_said_only_where_it_does() -> None:
    assert "cost little time" in EXPERIMENT.words["en"].explain(made_up(12.0))[2]
    assert "почти не стоил" in EXPERIMENT.words["ru"].explain(made_up(12.0))[2]


@pytest.mark.parametrize("condition", ["clean", "reordered", "duplicated", "both"])
def test_every_condition_can_be_explained_and_named(condition: str) -> None:
    for words in EXPERIMENT.words.values():
        assert len(words.explain(made_up(18.0, condition))) == 3
        assert condition in words.names


@pytest.mark.alone
@needs_wire
def test_only_plain_udp_shows_what_the_wire_did() -> None:
    result = EXPERIMENT.measure(Effort(quick=True), lambda sentence: None)

    for quantity in ("out_of_order", "twice"):
        for transport in ("tcp", "chat"):
            assert result.median(transport, quantity, "both") == 0
        assert result.median("plain", quantity, "both") > 5
    for transport in result.transports("missing"):
        for condition in result.conditions("missing"):
            assert result.median(transport, "missing", condition) == 0
        assert result.median(transport, "out_of_order", "clean") == 0
        assert result.median(transport, "twice", "clean") == 0
    for words in EXPERIMENT.words.values():
        assert len(words.explain(result)) == 3
        assert set(result.quantities()) <= set(words.names)
