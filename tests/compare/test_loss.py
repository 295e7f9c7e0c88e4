"""Loss and latency: figures from lines, sentences from figures, and the finding on real kernels."""

from __future__ import annotations

import pytest

from compare.experiments.experiment import Effort, Figure, Result
from compare.experiments.loss import EXPERIMENT, LOSSES, Line, analyse
from tests.wires import needs_wire
from udp_chat.protocol.delivery import NEVER


def figures(runs: list[list[Line]]) -> dict[str, tuple[float, ...]]:
    found = Result.of([("chat", 0.1, run) for run in runs], analyse).figures
    return {figure.quantity: figure.values for figure in found}


def test_latencies_become_quantiles_for_each_run() -> None:
    first = [(number, number / 1000, number > 90) for number in range(1, 101)]
    second = [(number, 0.5, False) for number in range(100)]
    assert figures([first, second]) == {
        "delivered": (100.0, 100.0),
        "healed": (10.0, 0.0),
        "p50": (50.0, 500.0),
        "p90": (90.0, 500.0),
        "p99": (99.0, 500.0),
        "max": (100.0, 500.0),
    }


def test_lost_lines_are_infinitely_late() -> None:
    lines = [(number, NEVER if number % 4 == 0 else 0.02, False) for number in range(100)]
    found = figures([lines])
    assert found["delivered"] == (75.0,)
    assert found["p50"] == (20.0,)
    assert found["p90"] == found["p99"] == found["max"] == (NEVER,)


def test_every_figure_says_whose_and_when() -> None:
    found = Result.of([("tcp", 0.2, [(0, 0.1, False)])], analyse).figures
    assert {(figure.transport, figure.condition) for figure in found} == {("tcp", 0.2)}


def made_up(chat_ms: float, tcp_ms: float, plain_percent: float) -> Result:
    return Result(
        (
            *(Figure("chat", "p99", loss, (chat_ms,)) for loss in (0.0, 0.2)),
            *(Figure("tcp", "p99", loss, (tcp_ms,)) for loss in (0.0, 0.2)),
            *(Figure("plain", "delivered", loss, (plain_percent,)) for loss in (0.0, 0.2)),
        )
    )


def test_the_sentences_have_the_figures_of_the_worst_link() -> None:
    english = EXPERIMENT.words["en"].explain(made_up(91.8, 1323, 64))
    assert len(english) == 3
    assert "At 20\u00a0% loss each way" in english[0]
    assert "within 91.8\u00a0ms, TCP within 1\u202f323\u00a0ms" in english[0]
    assert "64\u00a0% of the messages" in english[0]
    russian = EXPERIMENT.words["ru"].explain(made_up(91.8, NEVER, 64))
    assert len(russian) == 3
    assert "91,8\u00a0мс, TCP — за никогда" not in russian[0]
    assert "TCP 99 сообщений из 100 вовремя не показал" in russian[0]
    assert "TCP did not show 99 of 100" in EXPERIMENT.words["en"].explain(made_up(9, NEVER, 6))[0]


@pytest.mark.alone
@needs_wire
def test_repair_beats_retransmission_and_plain_udp_loses_what_the_wire_loses() -> None:
    result = EXPERIMENT.measure(Effort(quick=True), lambda _: None)
    worst = LOSSES[-1]
    assert result.median("chat", "p99", worst) < result.median("tcp", "p99", worst)
    for loss in result.conditions("delivered"):
        assert result.median("tcp", "delivered", loss) == 100
        assert result.median("chat", "delivered", loss) == 100
        assert result.median("chat", "healed", loss) == 0
    assert result.median("plain", "delivered", 0.0) == 100
    assert result.median("plain", "delivered", worst) == pytest.approx(64, abs=8)
    assert {series.transport for series in result.series} == {"tcp", "plain", "chat"}
    for words in EXPERIMENT.words.values():
        assert len(words.explain(result)) == 3
