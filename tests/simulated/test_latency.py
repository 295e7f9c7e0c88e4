"""How late messages are on lossy links: a few seeds of `tests.latency`, and the command itself."""

from __future__ import annotations

import random

import pytest

from tests import latency
from tests.simulated import slow_member
from tests.simulated.burst_loss import BurstLoss
from tests.simulated.lossy_links import WANTED, Link, Period, measure, missed, pooled
from tests.simulated.simulated_network import SERVER, Faults, SimulatedNetwork


def _pooled(link: Link, seeds: range) -> tuple[Period, Period]:
    """The room's first seconds, and what follows, of several runs."""
    young, grown = zip(*(measure(link, seed) for seed in seeds), strict=True)
    return pooled(young), pooled(grown)


@pytest.mark.slow
@pytest.mark.parametrize("link", WANTED, ids=str)
def test_a_room_on_lossy_links_stays_within_its_bounds(link: Link) -> None:
    """The command pools twenty seeds. Bursts differ so much that only the whole run is judged."""
    young, grown = _pooled(link, range(1, 5))
    assert missed(link, pooled([young, grown])) == [], f"{young}; then {grown}"
    if not link.burst_count:
        assert missed(link, young) == missed(link, grown) == [], f"{young}; then {grown}"


def test_a_run_covers_the_first_seconds_and_half_a_minute_more() -> None:
    young, grown = measure(Link(0.0), seed=1)
    assert 8 * 190 <= len(young.latencies) <= 8 * 210
    assert 8 * 290 <= len(grown.latencies) <= 8 * 310
    assert young.delivered == grown.delivered == 1.0
    assert young.quantile_ms(0.5) == pytest.approx(40)


def test_what_was_never_shown_misses_its_bounds() -> None:
    period = Period([0.04] * 98 + [float("inf")] * 2, 231)
    assert missed(Link(0.0), period) == [
        *("p99 at most 45 ms", "datagrams at most 2.30", "everything delivered"),
    ]


def _burst_count(lost: list[bool]) -> float:
    """How many are lost in a row on average."""
    bursts = sum(now and not before for before, now in zip([False, *lost], lost, strict=False))
    return sum(lost) / bursts


@pytest.mark.parametrize("loss", [0.01, 0.2])
def test_a_link_loses_in_bursts_of_the_mean_length(loss: float) -> None:
    link = BurstLoss(loss, 3.0, random.Random(1))
    lost = [link.loses() for _ in range(300_000)]
    assert sum(lost) / len(lost) == pytest.approx(loss, rel=0.1)
    assert _burst_count(lost) == pytest.approx(3.0, rel=0.1)


def test_the_network_loses_in_bursts_on_each_link_by_itself() -> None:
    network = SimulatedNetwork(1, Faults(loss_up=0.3, loss_burst_count=10.0))
    lost: dict[str, list[bool]] = {"10.0.0.1": [], "10.0.0.2": []}
    for _ in range(10_000):
        for host, of_host in lost.items():
            before = network.room.counters.total()
            network.transmit(b"no packet", (host, 1), SERVER)
            network.run(1.0)
            of_host.append(network.room.counters.total() == before)
    for of_host in lost.values():
        assert sum(of_host) / len(of_host) == pytest.approx(0.3, rel=0.15)
        assert _burst_count(of_host) == pytest.approx(10.0, rel=0.15)


@pytest.mark.slow
def test_a_member_with_a_slow_link_holds_up_nobody() -> None:
    figures = slow_member.measure()
    assert slow_member.missed(figures) == [], figures


def _rows(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The cells of what was printed, without heads."""
    printed = capsys.readouterr().out.splitlines()
    rows = [line.strip("| ").split(" | ") for line in printed if line.startswith("|")]
    return [row for row in rows if row[-1] != "missed" and not row[0].startswith("---")]


@pytest.mark.parametrize(
    ("arguments", "row_count"),
    [
        (["lossy", "--loss", "0"], 2),
        pytest.param(["slow", "full", "--rates", "800"], 2, marks=pytest.mark.slow),
        pytest.param(["bursts", "--loss", "1", "20"], 4, marks=pytest.mark.slow),
        pytest.param(["download", "--rates", "400", "800"], 2, marks=pytest.mark.slow),
    ],
    ids=str,
)
def test_the_latency_command_prints_the_tables_it_is_asked_for(
    arguments: list[str], row_count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    latency.main([*arguments, "--seeds", "1"])
    assert len(_rows(capsys)) == row_count


@pytest.mark.slow
def test_the_latency_command_fails_where_a_bound_is_missed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert latency.main(["slow", "--rates", "inf", "--seeds", "1"]) == 0
    assert latency.main(["slow", "--rates", "0.1", "--seeds", "1"]) == 1
    assert _rows(capsys)[-1][-1] == "each message or its gap shown"


def _product(run: tuple[int, int]) -> int:
    return run[0] * run[1]


@pytest.mark.parametrize("jobs", [1, 2])
def test_each_row_is_run_with_each_seed_in_one_process_or_several(jobs: int) -> None:
    rows = latency.Plan(seed_count=3, jobs=jobs).run(_product, [10, 100])
    assert list(rows) == [(10, [10, 20, 30]), (100, [100, 200, 300])]


def test_the_latency_command_knows_its_tables(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        latency.main(["lossless"])
    assert "no such table: lossless" in capsys.readouterr().err
