"""The chat on a link that is nearly full, overfull, or filled by a download; TCP on the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.simulated.chats_on_a_link import TcpChat, UdpChat
from tests.simulated.full_links import (
    RATES,
    Figures,
    measure,
    missed,
    missed_after_flood,
    missed_beside_download,
)

QUICK_RATES = (100_000, 250_000)
"""One that is too narrow, and one that the load nearly fills."""


@pytest.mark.parametrize(
    "rate",
    [
        *QUICK_RATES,
        *(pytest.param(r, marks=pytest.mark.slow) for r in RATES if r not in QUICK_RATES),
    ],
)
def test_the_chat_fares_on_a_full_link_nearly_as_well_as_tcp(rate: float) -> None:
    chat, tcp = measure(UdpChat(rate)), measure(TcpChat(rate))
    assert missed(chat, tcp) == [], f"{chat}; TCP: {tcp}"


@pytest.mark.parametrize(
    "rate", [400_000, *(pytest.param(r, marks=pytest.mark.slow) for r in (800_000, 1_600_000))]
)
def test_the_chat_leaves_room_for_a_download(rate: float) -> None:
    chat = measure(UdpChat(rate), with_download=True)
    assert missed_beside_download(chat) == [], str(chat)


@pytest.mark.parametrize(
    "rate", [400_000, *(pytest.param(r, marks=pytest.mark.slow) for r in (300_000, 1_000_000))]
)
def test_the_chat_gets_over_a_link_that_others_have_flooded(rate: float) -> None:
    """Without congestion control it fills the queue by itself, again and again."""
    chat, tcp = (measure(one, with_flood=True) for one in (UdpChat(rate), TcpChat(rate)))
    assert missed_after_flood(chat, tcp) == [], f"{chat}; TCP: {tcp}"


# --- the yardstick itself --------------------------------------------------------------------


@pytest.mark.parametrize(("rate", "p99_ms"), [(400_000, 48), (250_000, 60), (150_000, 59)])
def test_the_tcp_chat_is_as_late_as_it_was_on_a_wire(rate: float, p99_ms: float) -> None:
    """Issue 13 has the figures of real kernels: 1.6 MB each, nothing dropped."""
    figures = measure(TcpChat(rate))
    assert figures.quantile_ms(0.99) == pytest.approx(p99_ms, rel=0.15)
    assert figures.carried_bytes == pytest.approx(1.6e6, rel=0.05)
    assert figures.dropped_ratio == 0.0
    assert figures.fits
    assert figures.is_delivered


def test_the_tcp_chat_fills_a_link_that_is_too_narrow() -> None:
    figures = measure(TcpChat(100_000))
    assert not figures.fits
    assert figures.fill > 0.99
    assert figures.goodput > 0.85
    assert figures.dropped_ratio > 0.01
    assert figures.waiting_count > 100
    assert figures.is_delivered


def test_a_download_takes_what_the_tcp_chat_leaves() -> None:
    figures = measure(TcpChat(400_000), with_download=True)
    assert figures.fill > 0.99
    assert figures.download == pytest.approx(1 - figures.load, abs=0.1)


FIGURES = Figures(
    latencies=[0.05],
    calm_latencies=[0.05],
    carried_bytes=1000,
    dropped_ratio=0.0,
    fill=0.5,
    load=0.5,
    goodput=0.5,
    waiting_count=0,
    pending_count=0,
    download=0.5,
)
"""Of both chats; within every bound."""


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"latencies": [0.16]}, ["p99 at most 150 ms"]),
        ({"carried_bytes": 1700}, ["bytes at most 1.6 of TCP's"]),
        ({"dropped_ratio": 0.02}, ["at most 1 % dropped"]),
        ({"load": 1.0, "latencies": [9.0], "goodput": 0.9}, []),
        ({"load": 1.0, "goodput": 0.8}, ["goodput at least 0.85"]),
        (
            {"load": 1.0, "goodput": 0.9, "waiting_count": 9, "pending_count": 4},
            ["what waits is pending"],
        ),
        (
            {"load": 1.0, "goodput": 0.9, "latencies": [0.05, float("inf")]},
            ["everything delivered"],
        ),
    ],
)
def test_a_chat_misses_what_is_beyond_a_bound(changes: dict[str, Any], expected: list[str]) -> None:
    assert missed(replace(FIGURES, **changes), FIGURES) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"download": 0.39}, ["download at least 40%"]),
        ({"latencies": [0.6]}, ["p99 about 500 ms at most"]),
        ({"latencies": [float("inf")]}, ["p99 about 500 ms at most", "everything delivered"]),
        ({"download": 0.1, "load": 0.7}, []),
    ],
)
def test_a_chat_beside_a_download_misses_what_is_beyond_a_bound(
    changes: dict[str, Any], expected: list[str]
) -> None:
    assert missed_beside_download(replace(FIGURES, **changes)) == expected


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"load": 0.3}, []),
        ({"load": 0.3, "calm_latencies": [0.16]}, ["p99 at most 150 ms"]),
        ({"load": 0.3, "latencies": [float("inf")]}, ["everything delivered"]),
        ({"load": 0.5, "calm_latencies": [9.0]}, []),
    ],
)
def test_a_chat_after_a_flood_misses_what_is_beyond_a_bound(
    changes: dict[str, Any], expected: list[str]
) -> None:
    assert missed_after_flood(replace(FIGURES, **changes), FIGURES) == expected


def test_a_flood_makes_the_tcp_chat_late_until_it_is_over() -> None:
    figures = measure(TcpChat(400_000), with_flood=True)
    assert figures.quantile_ms(0.99) > 1000
    assert max(figures.calm_latencies) < 0.1
    assert len(figures.calm_latencies) == pytest.approx(10 * 200, abs=10)
