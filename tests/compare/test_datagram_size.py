"""The experiment on datagram sizes: its arithmetic, its sentences, and a quick run."""

from __future__ import annotations

import errno

import pytest

from compare.experiments.datagram_size import EXPERIMENT, Trial, analyse
from compare.experiments.experiment import Effort, Figure, Result
from tests.wires import needs_wire


def made_up(refuses: bool = True) -> Result:
    values: dict[tuple[str, float], tuple[float, float, float]] = {
        ("plain", 1.0): (1.0, 95.0, 0.0),
        ("tcp", 1.0): (1.0, 100.0, 0.0),
        ("plain", 65_507.0): (45.0, 10.5, 0.0),
        ("tcp", 65_507.0): (46.0, 99.5, 0.0),
    }
    if refuses:
        values |= {("plain", 65_508.0): (0.0, 0.0, 1.0), ("tcp", 65_508.0): (46.0, 100.0, 0.0)}
    return Result(
        tuple(
            Figure(protocol, quantity, size, (value,))
            for (protocol, size), of_one in values.items()
            for quantity, value in zip(("packets", "delivered", "refused"), of_one, strict=True)
        ),
        settings={"loss": 0.05},
    )


def test_a_trial_is_told_as_packets_a_message_and_shares_that_arrived() -> None:
    found = analyse(Trial(200, 96, good_sent=5, good_arrived=5, good_packets=70))

    assert found == {"packets": 14, "delivered": 48, "delivered_good": 100, "refused": 0}


def test_a_refused_message_takes_no_packets_and_does_not_arrive() -> None:
    found = analyse(Trial(200, 0, 5, 0, 0, errno.EMSGSIZE))

    assert found == {"packets": 0, "delivered": 0, "delivered_good": 0, "refused": 1}


def test_the_size_is_the_condition_and_each_run_has_a_value() -> None:
    runs = [("tcp", 1200.0, Trial(10, 10, 5, 5, packets)) for packets in (5, 10)]
    (packets, *_) = Result.of(runs, analyse).figures

    assert packets == Figure("tcp", "packets", 1200.0, (1.0, 2.0))


def test_what_is_found_is_said_with_its_figures() -> None:
    english = EXPERIMENT.words["en"].explain(made_up())
    russian = EXPERIMENT.words["ru"].explain(made_up())

    assert len(english) == len(russian) == 3
    assert "At 5\u00a0% loss 95\u00a0% of the UDP datagrams of 1\u00a0B" in english[0]
    assert "10.5\u00a0% of those of 65\u202f507\u00a0B, which take 45 packets" in english[0]
    assert "100\u00a0% and 99.5\u00a0%" in english[0]
    assert "по 65\u202f507\u00a0Б (пакетов на каждую: 45) — 10,5\u00a0%" in russian[0]


def test_a_refusal_is_said_only_where_there_was_one() -> None:
    for words in EXPERIMENT.words.values():
        assert "65\u202f508" in words.explain(made_up())[0]
        assert "EMSGSIZE" not in words.explain(made_up(refuses=False))[0]


@pytest.mark.alone
@needs_wire
def test_the_more_fragments_a_datagram_has_the_less_often_it_arrives() -> None:
    result = EXPERIMENT.measure(Effort(quick=True), lambda sentence: None)

    packets, delivered = (
        [result.median("plain", quantity, size) for size in (1200.0, 1473.0, 20_000.0, 65_507.0)]
        for quantity in ("packets", "delivered")
    )
    assert packets == [1, 2, 14, 45]  # 20 bytes of each packet are IP's, 8 of all are UDP's
    assert delivered[0] > delivered[2] > delivered[3] > 0
    for size in result.conditions("delivered"):
        assert result.median("tcp", "delivered", size) == 100
        refused = isinstance(size, float) and size > 65_507
        assert result.median("plain", "refused", size) == refused
        assert result.median("plain", "delivered_good", size) == (0 if refused else 100)
    for words in EXPERIMENT.words.values():
        assert len(words.explain(result)) == 3
        assert set(result.quantities()) <= set(words.names)
