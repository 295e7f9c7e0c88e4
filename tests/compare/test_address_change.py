"""The experiment on changed addresses: its analysis, its words, and one run on real kernels."""

from __future__ import annotations

import pytest

from compare.experiments.address_change import EXPERIMENT, Observation, analyse
from compare.experiments.experiment import Effort, Figure, Result
from tests.wires import needs_wire
from udp_chat.protocol.delivery import NEVER


def test_lines_typed_after_the_change_count_in_both_directions() -> None:
    seen = Observation(
        changed_at=10.0,
        told_at=13.0,
        said_by_mover={"m before": 9.0, "m lost": 10.5, "m first": 11.0, "m last": 12.0},
        heard_by_other={"m before": [10.1], "m first": [11.25], "m last": [12.25]},
        said_by_other={"o before": 9.5, "o lost": 11.0, "o also": 12.0},
        heard_by_mover={"o before": [10.2]},
    )
    assert analyse(seen) == {
        "told": 3.0,
        "speaks": 1.25,
        "lost_up": pytest.approx(100 / 3),
        "hears": NEVER,
        "lost_down": 100.0,
    }


def test_who_only_listens_has_no_figure_of_its_own_lines() -> None:
    seen = Observation(10.0, NEVER, {}, {}, {"o": 11.0}, {"o": [15.5]})
    runs = [("tcp", "listening", seen)] * 2
    assert list(Result.of(runs, analyse).figures) == [
        Figure("tcp", "told", "listening", (NEVER, NEVER)),
        Figure("tcp", "hears", "listening", (5.5, 5.5)),
        Figure("tcp", "lost_down", "listening", (0.0, 0.0)),
    ]


def result(tcp: float, chat: float = 4.5) -> Result:
    figures = []
    for name, again in (("tcp", tcp), ("plain", NEVER), ("chat", chat)):
        figures.append(Figure(name, "told", "talking", (15.5,)))
        figures.append(Figure(name, "speaks", "talking", (again / 100,)))
        figures.append(Figure(name, "hears", "talking", (again / 10,)))
        figures.append(Figure(name, "hears", "listening", (again,)))
        figures.append(Figure(name, "lost_up", "talking", (0.0 if again < NEVER else 100.0,)))
    return Result(tuple(figures), settings={"watched_seconds": 20.0})


@pytest.mark.parametrize(
    ("language", "talking", "listening", "told", "only", "both", "nobody"),
    [
        (
            "en",
            "TCP never, plain UDP never, udp-chat after 45 ms",
            "udp-chat after 4.5 s",
            "after 15.5 s",
            "Only udp-chat",
            "by: TCP, udp-chat;",
            "by: nobody;",
        ),
        (
            "ru",
            "TCP — никогда, простой UDP — никогда, udp-chat — через 45 мс",
            "udp-chat — через 4,5 с",
            "через 15,5 с",
            "только udp-chat",
            "пережили: TCP, udp-chat;",
            "пережили: никто;",
        ),
    ],
)
def test_its_words_follow_its_figures(
    language: str, talking: str, listening: str, told: str, only: str, both: str, nobody: str
) -> None:
    explain = EXPERIMENT.words[language].explain
    found, why, meaning = (s.replace("\u00a0", " ") for s in explain(result(tcp=NEVER)))
    assert why
    assert talking in found
    assert listening in found
    assert only in meaning
    assert told in meaning
    *_, meaning = explain(result(tcp=2.0))
    assert only not in meaning
    assert both in meaning
    *_, meaning = explain(result(tcp=NEVER, chat=NEVER))
    assert nobody in meaning


@pytest.mark.slow
@needs_wire
def test_only_this_chat_survives_and_who_talks_is_back_before_who_listens() -> None:
    found = EXPERIMENT.measure(Effort(quick=True), lambda _: None)
    for name in ("tcp", "plain"):
        assert found.median(name, "speaks", "talking") == NEVER
        for condition in ("talking", "listening"):
            assert found.median(name, "hears", condition) == NEVER
            assert found.median(name, "told", condition) < NEVER
    assert found.median("chat", "speaks", "talking") < NEVER
    assert found.median("chat", "hears", "talking") < found.median("chat", "hears", "listening")
    assert found.median("chat", "hears", "listening") < NEVER
    for condition in ("talking", "listening"):
        assert found.median("chat", "lost_down", condition) == 0
    assert found.median("chat", "lost_up", "talking") == 0
    for language in ("en", "ru"):
        assert len(EXPERIMENT.words[language].explain(found)) == 3
