"""The experiment on cost: its arithmetic, its sentences, and a quick run."""

from __future__ import annotations

import pytest

from compare.experiments.cost import (
    EXPERIMENT,
    TEXT,
    Traffic,
    analyse_silence,
    analyse_talk,
    measure,
    passed,
)
from compare.experiments.experiment import Effort, Figure, Result
from compare.wire.link import DIRECTIONS, PROTOCOLS, Tally
from compare.wire.network import Counters
from tests.wires import needs_wire
from udp_chat.protocol.delivery import NEVER


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
    assert analyse_talk(Traffic(110, 9400, delivered=100)) == {"packets": 1.1, "bytes": 94.0}


def test_what_delivered_nothing_costs_more_than_can_be_said() -> None:
    assert analyse_talk(Traffic(10, 1000)) == {"packets": NEVER, "bytes": NEVER}


def test_silence_is_told_for_one_member_and_a_minute() -> None:
    found = analyse_silence(Traffic(160, 8320), members=10, seconds=20.0)

    assert found == pytest.approx({"idle_packets": 48.0, "idle_bytes": 2496.0})


def test_the_line_has_as_many_bytes_as_is_said() -> None:
    assert len(TEXT.encode()) == 40


def test_what_is_found_is_said_with_its_figures() -> None:
    english = EXPERIMENT.words["en"].explain(made_up())
    russian = EXPERIMENT.words["ru"].explain(made_up())

    assert len(english) == len(russian) == 3
    assert "at 2 messages a second: TCP 2.1 and 177; plain UDP 1.3 and 101;" in english[0]
    assert "at 200: TCP 2 and 171; plain UDP 1.1 and 94; udp-chat 1.7 and 256" in english[0]
    assert "TCP 48 and 2\u202f496; plain UDP 24 and 912" in english[0]
    assert "TCP — 2,1 и 177; простой UDP — 1,3 и 101; udp-chat — 2,1 и 256" in russian[0]


def test_that_acknowledgements_are_saved_is_said_only_where_they_are() -> None:
    for language, words in {"en": "fewer packets", "ru": "нужно меньше"}.items():
        explain = EXPERIMENT.words[language].explain
        assert words in explain(made_up(chat_fast_packets=1.7))[1]
        assert words not in explain(made_up(chat_fast_packets=2.1))[1]


def test_that_this_chat_takes_more_bytes_is_said_only_where_it_does() -> None:
    for language, words in {"en": "more expensive", "ru": "дороже"}.items():
        explain = EXPERIMENT.words[language].explain
        assert words in explain(made_up(chat_bytes=256.0))[2]
        assert words not in explain(made_up(chat_bytes=150.0))[2]


@pytest.mark.alone
@needs_wire
def test_plain_udp_takes_least_and_reliability_costs_packets() -> None:
    slow, fast = 5.0, 200.0

    result = measure(Effort(quick=True), lambda sentence: None, {slow: 8, fast: 60})

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
