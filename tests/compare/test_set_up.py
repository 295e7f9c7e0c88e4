"""The experiment on connection set-up: its arithmetic, its sentences, and a quick run."""

from __future__ import annotations

import pytest

from compare.experiments.experiment import Effort, Figure, Result
from compare.experiments.set_up import (
    EXPERIMENT,
    Joining,
    analyse_joining,
    analyse_packets,
    joinings,
)
from tests.wires import needs_wire
from udp_chat.protocol.delivery import NEVER

JOININGS_MAX = 20
"""Of which one client of plain UDP is in before a second round trip could have ended."""


def made_up(
    delay_ms: float = 20.0, late: tuple[float, float, float] = (NEVER, NEVER, 0.6)
) -> Result:
    values: dict[tuple[str, float | str], tuple[float, float, float]] = {
        ("joined", delay_ms): (2.05 * delay_ms, 4.1 * delay_ms, 4.2 * delay_ms),
        ("first_line", delay_ms): (83.0, 127.0, 128.0),
        ("noticed", "wrong_port"): (5.06, 0.12, 5.07),
        ("noticed", "no_host"): (5.0, 5.01, NEVER),
        ("late_server", "late"): late,
    }
    return Result(
        tuple(
            Figure(transport, quantity, condition, (value,))
            for (quantity, condition), by_transport in values.items()
            for transport, value in zip(("plain", "tcp", "chat"), by_transport, strict=True)
        )
    )


def test_times_are_told_in_milliseconds_a_value_for_each_run() -> None:
    runs = [("tcp", 20.0, Joining(0.08, 0.12)), ("tcp", 20.0, Joining(0.09, 0.13))]
    joined, first_line = Result.of(runs, analyse_joining).figures

    assert joined == Figure("tcp", "joined", 20.0, (80.0, 90.0))
    assert first_line == Figure("tcp", "first_line", 20.0, (120.0, 130.0))


def test_packets_and_bytes_are_told_for_each_run() -> None:
    runs = [("tcp", 20.0, (7, 425)), ("tcp", 20.0, (8, 477))]
    packets, wire_bytes = Result.of(runs, analyse_packets).figures

    assert packets == Figure("tcp", "packets", 20.0, (7.0, 8.0))
    assert wire_bytes == Figure("tcp", "bytes", 20.0, (425.0, 477.0))


def test_what_is_found_is_said_with_its_figures() -> None:
    english = EXPERIMENT.words["en"].explain(made_up())
    russian = EXPERIMENT.words["ru"].explain(made_up())

    assert len(english) == len(russian) == 3
    assert "TCP 82\u00a0ms, plain UDP 41\u00a0ms, udp-chat 84\u00a0ms" in english[0]
    assert "(round trips: 2, 1, 2)" in english[0]
    assert "TCP — 82\u00a0мс, простой UDP — 41\u00a0мс, udp-chat — 84\u00a0мс" in russian[0]
    assert "TCP 0.12\u00a0s, plain UDP 5.06\u00a0s, udp-chat 5.07\u00a0s" in english[2]
    assert "TCP 5.01\u00a0s, plain UDP 5\u00a0s, udp-chat never" in english[2]


def test_the_largest_delay_is_spoken_of_if_the_usual_one_was_not_measured() -> None:
    assert "With 80\u00a0ms each way" in EXPERIMENT.words["en"].explain(made_up(80.0))[0]
    assert "При 80\u00a0мс в каждую" in EXPERIMENT.words["ru"].explain(made_up(80.0))[0]


def test_who_finds_a_late_server_is_said_by_the_figures() -> None:
    nobody, both = (NEVER, NEVER, NEVER), (0.3, NEVER, 0.6)
    english, russian = (EXPERIMENT.words[language].explain for language in ("en", "ru"))

    assert "Only udp-chat finds a server" in english(made_up())[2]
    assert "No client finds a server" in english(made_up(late=nobody))[2]
    assert "plain UDP and udp-chat find a server" in english(made_up(late=both))[2]
    assert "дожидается только udp-chat." in russian(made_up())[2]
    assert "не дожидается никто." in russian(made_up(late=nobody))[2]
    assert "дожидаются простой UDP и udp-chat." in russian(made_up(late=both))[2]


@pytest.mark.alone
@needs_wire
def test_plain_udp_is_in_first_tcp_is_told_first_and_the_chat_finds_a_late_server() -> None:
    result = EXPERIMENT.measure(Effort(quick=True), lambda sentence: None)

    # A round trip, and two. A busy machine may hold a client up, but not each time.
    joined_after = [{t: result.median(t, "joined", 20.0) for t in ("plain", "tcp", "chat")}]
    while joined_after[-1]["plain"] >= 80:
        assert len(joined_after) < JOININGS_MAX, joined_after
        figures = joinings(20.0, [1])
        joined_after.append({f.transport: f.median for f in figures if f.quantity == "joined"})
    for joining in joined_after:
        assert joining["plain"] >= 40
        assert min(joining["tcp"], joining["chat"]) >= 80
    for transport in ("plain", "tcp", "chat"):
        joined, heard = (result.median(transport, q, 20.0) for q in ("joined", "first_line"))
        assert heard > joined  # by a round trip; a busy machine may tell the joining late
    plain, tcp, chat = (result.median(t, "packets", 20.0) for t in ("plain", "tcp", "chat"))
    assert 2 <= plain < min(tcp, chat)
    plain, tcp, chat = (result.median(t, "noticed", "wrong_port") for t in ("plain", "tcp", "chat"))
    assert tcp < min(plain, chat)
    assert result.median("tcp", "noticed", "no_host") > tcp
    assert result.median("chat", "late_server", "late") < NEVER
    assert result.median("plain", "late_server", "late") == NEVER
    assert result.median("tcp", "late_server", "late") == NEVER
    for words in EXPERIMENT.words.values():
        assert len(words.explain(result)) == 3
        assert set(result.quantities()) <= set(words.names)
