"""The experiment on vanished peers: its analysis, its words, and one run on real kernels."""

from __future__ import annotations

import pytest

from compare.experiments.dead_peer import EXPERIMENT, Observation, analyse
from compare.experiments.experiment import Effort, Figure, Result
from tests.wires import needs_wire
from udp_chat.protocol.delivery import NEVER

SETTINGS = {"timeout_seconds": 15, "watched_seconds": 24.0}


def result(tcp_killed: float, keepalive_alone: float = NEVER) -> Result:
    seconds = {
        ("tcp", "idle"): 12.5,
        ("plain", "idle"): 13.5,
        ("chat", "idle"): 11.5,
        ("tcp", "talking"): 15.4,
        ("plain", "talking"): 14.4,
        ("chat", "talking"): 14.6,
        ("tcp_keepalive", "talking"): keepalive_alone,
        ("tcp", "killed"): tcp_killed,
        ("plain", "killed"): 12.3,
        ("chat", "killed"): 12.1,
    }
    figures = (Figure(name, "others", what, (value,)) for (name, what), value in seconds.items())
    return Result(tuple(figures), settings=SETTINGS)


def test_each_side_has_a_figure_with_a_value_for_each_repetition() -> None:
    runs = [
        ("tcp", "idle", Observation(12.0, 15.0)),
        ("tcp", "idle", Observation(14.0, NEVER)),
        ("tcp", "killed", Observation(0.01, None)),
    ]
    assert list(Result.of(runs, analyse).figures) == [
        Figure("tcp", "others", "idle", (12.0, 14.0)),
        Figure("tcp", "victim", "idle", (15.0, NEVER)),
        Figure("tcp", "others", "killed", (0.01,)),
    ]


@pytest.mark.parametrize(
    ("language", "figures", "never", "sooner", "not_sooner"),
    [
        ("en", ["TCP 12.5 s", "udp-chat 14.6 s"], "never", "sooner than any", "did not report"),
        ("ru", ["TCP — 12,5 с", "udp-chat — 14,6 с"], "никогда", "раньше любого", "не раньше"),
    ],
)
def test_its_words_follow_its_figures(
    language: str, figures: list[str], never: str, sooner: str, not_sooner: str
) -> None:
    explain = EXPERIMENT.words[language].explain
    found, why, meaning = explain(result(tcp_killed=0.005))
    assert why
    for text in figures:
        assert text in found.replace("\u00a0", " ")
    assert never in found
    assert sooner in meaning
    found, _, meaning = explain(result(tcp_killed=16.0, keepalive_alone=17.0))
    assert never not in found
    assert not_sooner in meaning


@pytest.mark.slow
@needs_wire
def test_tcp_tells_of_a_killed_program_at_once_and_of_a_cut_link_by_a_timeout() -> None:
    found = EXPERIMENT.measure(Effort(quick=True), lambda _: None)
    tcp_killed = found.median("tcp", "others", "killed")
    for name in ("plain", "chat"):
        assert tcp_killed < found.median(name, "others", "killed") < NEVER
    for name in ("tcp", "plain", "chat"):
        for condition in ("idle", "talking"):
            assert tcp_killed < found.median(name, "others", condition) < NEVER
    assert found.median("tcp_keepalive", "others", "talking") == NEVER
    for language in ("en", "ru"):
        assert len(EXPERIMENT.words[language].explain(found)) == 3
