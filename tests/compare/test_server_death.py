"""The experiment on a dying server: its analysis, its words, and one run on real kernels."""

from __future__ import annotations

import pytest

from compare.experiments.experiment import Effort, Figure, Result
from compare.experiments.server_death import EXPERIMENT, Observation, analyse
from tests.wires import needs_wire
from udp_chat.protocol.delivery import NEVER


def figures_of(
    said: dict[str, float], heard: dict[str, list[float]], noticed_at: float = NEVER
) -> dict[str, float]:
    """Of an outage from 10 to 15."""
    return analyse(Observation(10.0, 15.0, noticed_at, said, heard))


SAID = {"before": 9.0, "at the edge": 10.1, "during": 11.0, "later": 14.0, "after": 15.5}


def test_who_is_back_is_seen_by_a_line_typed_afterwards() -> None:
    heard = {"before": [9.1], "during": [15.7], "after": [15.8]}
    assert figures_of(SAID, heard, noticed_at=12.0) == {
        "noticed": 2.0,
        "back": pytest.approx(0.8),
        "delivered": 50.0,
    }


def test_who_only_delivers_what_was_typed_meanwhile_is_not_back() -> None:
    heard = {"during": [15.1, 15.2], "later": [15.1]}
    assert figures_of(SAID, heard) == {"noticed": NEVER, "back": NEVER, "delivered": 100.0}


def test_repetitions_become_values_of_one_figure() -> None:
    first = Observation(10.0, 15.0, 10.5, SAID, {})
    second = Observation(10.0, 15.0, 14.0, SAID, {"after": [16.0]})
    runs = [("chat", "killed", first), ("chat", "killed", second)]
    assert list(Result.of(runs, analyse).figures) == [
        Figure("chat", "noticed", "killed", (0.5, 4.0)),
        Figure("chat", "back", "killed", (NEVER, 1.0)),
        Figure("chat", "delivered", "killed", (0.0, 0.0)),
    ]


def result(tcp_back: float, short_cut: bool = False) -> Result:
    figures = []
    for name, back, delivered in (("tcp", tcp_back, 0), ("plain", NEVER, 0), ("chat", 0.5, 100)):
        figures.append(Figure(name, "noticed", "killed", (0.25,)))
        figures.append(Figure(name, "back", "killed", (back,)))
        figures.append(Figure(name, "delivered", "killed", (delivered,)))
    if short_cut:
        for name in ("tcp", "plain", "chat"):
            figures.append(Figure(name, "back", "cut", (1.0,)))
            figures.append(Figure(name, "delivered", "cut", (100.0,)))
    return Result(tuple(figures))


@pytest.mark.parametrize(
    ("language", "never", "chat", "noticed", "only"),
    [
        ("en", "TCP never", "udp-chat after 500 ms", "after 250 ms", "Only udp-chat"),
        ("ru", "TCP — никогда", "udp-chat — через 500 мс", "через 250 мс", "только udp-chat"),
    ],
)
def test_its_words_follow_its_figures(
    language: str, never: str, chat: str, noticed: str, only: str
) -> None:
    explain = EXPERIMENT.words[language].explain
    found, why, meaning = (s.replace("\u00a0", " ") for s in explain(result(tcp_back=NEVER)))
    assert never in found
    assert chat in found
    assert "0, 0, 100 %" in found
    assert noticed in why
    assert only in meaning
    assert "TCP" not in meaning  # of a short cut nothing is known
    found, _, meaning = explain(result(tcp_back=1.0))
    assert never not in found
    assert only not in meaning
    whole = result(tcp_back=NEVER, short_cut=True)
    assert "TCP" in explain(whole)[2]


@pytest.mark.slow
@needs_wire
def test_a_short_cut_tcp_survives_and_a_restart_only_this_chat() -> None:
    found = EXPERIMENT.measure(Effort(quick=True), lambda _: None)
    back = {name: found.median(name, "back", "killed") for name in ("tcp", "plain", "chat")}
    assert back["tcp"] == back["plain"] == NEVER
    assert back["chat"] < NEVER
    delivered = {name: found.median(name, "delivered", "cut") for name in back}
    assert delivered["plain"] < delivered["tcp"] == delivered["chat"] == 100
    assert found.median("chat", "delivered", "killed") == 100
    assert found.median("tcp", "noticed", "killed") < found.median("plain", "noticed", "killed")
    for language in ("en", "ru"):
        assert len(EXPERIMENT.words[language].explain(found)) == 3
