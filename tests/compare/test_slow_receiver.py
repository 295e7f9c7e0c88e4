"""The experiment on slow receivers: its analysis, its words, and one run on real kernels."""

from __future__ import annotations

import contextlib
import socket

import pytest

from compare.experiments.experiment import Effort, Figure, Result
from compare.experiments.slow_receiver import (
    EXPERIMENT,
    LINE_BYTES,
    LINES_PER_SECOND,
    QUICK_SECONDS,
    Observation,
    analyse,
)
from udp_chat.protocol.delivery import NEVER


def figures_of(
    heard_by_other: dict[str, list[float]],
    heard_by_stopped: dict[str, list[float]],
    dropped_at: float = NEVER,
) -> dict[str, float]:
    """Of a stop from 10 to 15, with lines before, twice meanwhile, and after it."""
    said = {"long ago": 1.0, "before": 9.0, "first": 11.0, "second": 14.0, "after": 16.0}
    times = (8.0, 10.0, 15.0, 17.0, dropped_at)
    return analyse(Observation(*times, said, heard_by_other, heard_by_stopped))


def test_lines_are_told_apart_by_when_they_were_typed() -> None:
    heard_by_other = {"before": [9.25], "first": [11.5], "second": [14.25]}
    heard_by_stopped = {"second": [15.5], "after": [16.75]}
    assert figures_of(heard_by_other, heard_by_stopped) == {
        "before": 250.0,
        "meanwhile": 500.0,
        "dropped": NEVER,
        "delivered": 50.0,
        "current": 1.75,
    }


def test_what_never_came_is_never() -> None:
    figures = figures_of({"before": [9.25], "first": [11.5]}, {"first": [15.1]}, dropped_at=13.0)
    assert figures["meanwhile"] == NEVER
    assert figures["current"] == NEVER
    assert figures["dropped"] == 3.0


def test_each_stop_of_a_room_is_a_value_of_its_own() -> None:
    stops = ((8.0, 10.0, 15.0, 17.0, NEVER), (17.0, 20.0, 25.0, 27.0, NEVER))
    said = {"a": 9.0, "b": 12.0, "c": 16.0, "d": 18.0, "e": 22.0, "f": 26.0}
    heard = {text: [at + 0.5] for text, at in said.items()}
    heard_by_stopped = {"b": [15.5], "c": [16.5]}
    seen = [Observation(*times, said, heard, heard_by_stopped) for times in stops]
    figures = Result.of([("chat", 5.0, stop) for stop in seen], analyse).figures
    assert Figure("chat", "delivered", 5.0, (100.0, 0.0)) in figures
    assert Figure("chat", "current", 5.0, (1.5, NEVER)) in figures


def result(meanwhile: float, chat_current: float, chat_dropped: float = NEVER) -> Result:
    figures = []
    for name, delivered, current in (
        ("tcp", 100.0, 0.25),
        ("plain", 37.0, 0.05),
        ("chat", 100.0, chat_current),
    ):
        figures.append(Figure(name, "meanwhile", 5.0, (meanwhile,)))
        figures.append(Figure(name, "delivered", 5.0, (delivered,)))
        figures.append(Figure(name, "current", 5.0, (current,)))
        dropped = chat_dropped if name == "chat" else NEVER
        figures.append(Figure(name, "dropped", 5.0, (dropped,)))
    return Result(tuple(figures))


@pytest.mark.parametrize(
    ("language", "plain", "unnoticed", "noticed", "tcp_best", "chat_best", "dropped"),
    [
        (
            "en",
            "after 5 s TCP 100 % (new ones: 250 ms), plain UDP 37 %",
            "nobody else noticed",
            "the others felt it too",
            "TCP is best",
            "udp-chat was best",
            "must drop the member",
        ),
        (
            "ru",
            "после 5 с TCP — 100 % (новые: 250 мс), простой UDP — 37 %",
            "больше никто ничего не заметил",
            "это почувствовали и они",
            "TCP лучше всего",
            "лучшим здесь оказался udp-chat",
            "вынужден исключить участника",
        ),
    ],
)
def test_its_words_follow_its_figures(
    language: str,
    plain: str,
    unnoticed: str,
    noticed: str,
    tcp_best: str,
    chat_best: str,
    dropped: str,
) -> None:
    explain = EXPERIMENT.words[language].explain
    found, why, meaning = explain(result(5.0, chat_current=1.5))
    assert why
    assert plain in found.replace("\u00a0", " ")
    assert unnoticed in found
    assert tcp_best in meaning
    assert dropped not in meaning
    found, _, meaning = explain(result(500.0, chat_current=0.1, chat_dropped=4.0))
    assert noticed in found
    assert chat_best in meaning
    assert dropped in meaning


def kept_unread(lines: int) -> int:
    """How many lines of so many, of the experiment's length, the kernel keeps for who reads none,
    as set by net.core.rmem_default."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        receiver.bind(("127.0.0.1", 0))
        receiver.settimeout(1)
        for _ in range(lines):
            sender.sendto(bytes(LINE_BYTES), receiver.getsockname())
        kept = 0
        with contextlib.suppress(TimeoutError):
            while kept < lines:
                receiver.recv(LINE_BYTES)
                kept += 1
        return kept


@pytest.mark.alone
def test_a_short_stop_costs_plain_udp_lines_and_neither_tcp_nor_this_chat() -> None:
    found = EXPERIMENT.measure(Effort(quick=True), lambda _: None)
    (stop,) = found.conditions("delivered")
    delivered = {name: found.median(name, "delivered", stop) for name in ("tcp", "plain", "chat")}
    assert delivered["plain"] <= delivered["tcp"] == delivered["chat"] == 100
    for name in delivered:
        assert found.median(name, "current", stop) < NEVER
        assert found.median(name, "meanwhile", stop) < NEVER
        assert found.median(name, "dropped", stop) == NEVER
    for language in ("en", "ru"):
        assert len(EXPERIMENT.words[language].explain(found)) == 3
    said = int(QUICK_SECONDS * LINES_PER_SECOND)
    if kept_unread(said) > 0.8 * said:  # fewer were said where the speaker was held up
        pytest.skip("net.core.rmem_default has room for all that is said during the stop")
    assert delivered["plain"] < 100
