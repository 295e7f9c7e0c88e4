"""The latencies of docs/performance.md, from a shorter run: virtual time, so exact for a seed."""

from __future__ import annotations

import sys

import pytest

from tests import latency
from tests.latency import measure


@pytest.mark.parametrize(
    ("loss", "p50", "p99", "datagrams"),
    [(0.0, 41, 42, 2.2), (0.05, 42, 115, 2.5), (0.10, 43, 150, 3.0), (0.20, 50, 250, 3.5)],
)
def test_latency_stays_within_its_bounds(
    loss: float, p50: float, p99: float, datagrams: float
) -> None:
    figures = measure(loss, lines=800)
    assert figures.delivered == 1.0
    assert figures.p50 <= p50
    assert figures.p99 <= p99
    assert figures.datagrams_per_shown_line <= datagrams
    assert figures.p50 <= figures.p90 <= figures.p99 <= figures.longest < 2000


def test_the_latency_command_prints_a_table(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["latency", "--lines", "20", "--seeds", "1"])
    assert latency.main() == 0
    rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 6
    assert rows[2].startswith("| 0% | 100% | 40 ms |")
