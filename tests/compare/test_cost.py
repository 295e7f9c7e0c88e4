"""The experiment on cost: its arithmetic, its sentences, and a quick run."""

from __future__ import annotations

import pytest

from compare.experiments import cost
from compare.experiments.cost import (
    EXPERIMENT,
    TEXT,
    Traffic,
    analyse_silence,
    analyse_talk,
    passed,
)
from compare.experiments.experiment import NEVER, Effort, Figure, Result
from compare.wire.link import DIRECTIONS, PROTOCOLS, Tally
from compare.wire.network import Counters
from tests.wires import needs_wire


def made_up(chat_fast_packets: float = 1.7, chat_bytes: float = 256.0) -> Result:
    values: dict[tuple[str, float | str], tuple[float, float, float]] = {
        ("packets", 2.0): (1.3, 2.1, 2.1),
        ("bytes", 2.0): (101.0, 177.0, chat_bytes),
        ("packets", 200.0): (1.1, 2.0, chat_fast_packets),
        ("bytes", 200.0): (94.0, 171.0, chat_bytes),
        ("idle_packets", "idle"): (24.0, 48.0, 24.0),
        ("idle_bytes", "idle"): (912.0, 2496.0, 2460.0),
    }
    return Result(
        tuple(
            Figure(transport, quantity, condition, (value,))
            for (quantity, condition), by_transport in values.items()
            for transport, value in zip(("plain", "tcp", "chat"), by_transport, strict=True)
        )
    )


def counters(**sent: Tally) -> Counters:
    """A reading; the keywords are like `up_tcp`."""
    return {
        direction: {
            protocol: sent.get(f"{direction}_{protocol}", Tally()) for protocol in PROTOCOLS
        }
        for direction in DIRECTIONS
    }


def test_what_has_passed_is_of_both_ways_and_all_protocols_and_since_the_first_reading() -> None:
    before = counters(up_tcp=Tally(sent=5, sent_bytes=500))
    after = counters(
        up_tcp=Tally(sent=7, sent_bytes=700),
        down_tcp=Tally(sent=10, sent_bytes=3000),
        down_udp=Tally(sent=1, sent_bytes=40),
        up_icmp=Tally(sent=1, sent_bytes=60),
    )

    assert passed(before, after) == (14, 3300)


def test_a_packet_that_the_wire_would_lose_has_cost_something_too() -> None:
    after = counters(up_udp=Tally(sent=3, sent_bytes=300, lost=3))

    assert passed(counters(), after) == (3, 300)


def test_a_lines_cost_is_divided_by_the_lines_delivered() -> None:
    runs = [Traffic(110, 9400, delivered=100), Traffic(240, 20000, delivered=100)]

    packets, wire_bytes = analyse_talk("plain", 20.0, runs)

    assert packets == Figure("plain", "packets", 20.0, (1.1, 2.4))
    assert wire_bytes == Figure("plain", "bytes", 20.0, (94.0, 200.0))


def test_what_delivered_nothing_costs_more_than_can_be_said() -> None:
    packets, _ = analyse_talk("plain", 20.0, [Traffic(10, 1000)])

    assert packets.values == (NEVER,)


def test_silence_is_told_for_one_member_and_a_minute() -> None:
    packets, wire_bytes = analyse_silence("tcp", 10, 20.0, [Traffic(160, 8320)])

    assert packets == Figure("tcp", "idle_packets", "idle", (48.0,))
    assert wire_bytes == Figure("tcp", "idle_bytes", "idle", (2496.0,))


def test_the_line_has_as_many_bytes_as_is_said() -> None:
    assert len(TEXT.encode()) == 40


def test_what_is_found_is_said_with_its_figures() -> None:
    english = EXPERIMENT.words["en"].explain(made_up())
    russian = EXPERIMENT.words["ru"].explain(made_up())

    assert len(english) == len(russian) == 3
    assert "at 2 lines a second: plain UDP 1.3 and 101; TCP 2.1 and 177;" in english[0]
    assert "at 200: plain UDP 1.1 and 94; TCP 2 and 171; this chat 1.7 and 256" in english[0]
    assert "plain UDP 24 and 912; TCP 48 and 2\u202f496" in english[0]
    assert "простой UDP — 1,3 и 101; TCP — 2,1 и 177; этот чат — 2,1 и 256" in russian[0]


def test_that_acknowledgements_are_saved_is_said_only_where_they_are() -> None:
    for language, words in {"en": "fewer packets", "ru": "нужно меньше"}.items():
        explain = EXPERIMENT.words[language].explain
        assert words in explain(made_up(chat_fast_packets=1.7))[1]
        assert words not in explain(made_up(chat_fast_packets=2.1))[1]


def test_that_this_chat_takes_more_bytes_is_said_only_where_it_does() -> None:
    for language, words in {"en": "dearer", "ru": "дороже"}.items():
        explain = EXPERIMENT.words[language].explain
        assert words in explain(made_up(chat_bytes=256.0))[2]
        assert words not in explain(made_up(chat_bytes=150.0))[2]


@pytest.mark.alone
@needs_wire
def test_plain_udp_takes_least_and_reliability_costs_packets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slow, fast = 5.0, 200.0
    monkeypatch.setattr(cost, "QUICK_LINES", {slow: 8, fast: 60})

    result = EXPERIMENT.measure(Effort(quick=True), lambda sentence: None)

    # Where lines come fast, a program that is held up sends several in one packet: on a busy
    # machine the others may then take fewer than plain UDP, which sends each line by itself.
    for quantity in ("packets", "bytes"):
        plain, tcp, chat = (result.median(t, quantity, slow) for t in ("plain", "tcp", "chat"))
        assert plain < min(tcp, chat)
    for pace in (slow, fast):
        assert result.median("plain", "packets", pace) >= (1 + 3) / 3  # to the server, and from it
        for transport in ("plain", "tcp", "chat"):
            assert len(TEXT) < result.median(transport, "bytes", pace) < NEVER
    plain, tcp, chat = (result.median(t, "idle_bytes", "idle") for t in ("plain", "tcp", "chat"))
    assert 0 < plain < min(tcp, chat)
    assert result.median("chat", "idle_packets", "idle") > 0
    for words in EXPERIMENT.words.values():
        assert len(words.explain(result)) == 3
        assert set(result.quantities()) <= set(words.names)
