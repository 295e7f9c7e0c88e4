"""The experiment on message boundaries: its arithmetic, its sentences, and a quick run."""

from __future__ import annotations

import pytest

from compare.chats.framing import frame
from compare.chats.messages import Kind, Message
from compare.experiments.boundaries import (
    CARRIERS,
    EXPERIMENT,
    TEXTS,
    Reception,
    analyse,
    is_cut,
    shown,
    texts_of,
)
from compare.experiments.experiment import Effort, Figure, Result

SENT = [text.encode() for text in TEXTS]


def test_texts_that_came_together_are_not_whole() -> None:
    received = [SENT[0], SENT[1] + SENT[2]]

    found = analyse(Reception("stream", SENT, received, texts_of("stream", received)))

    assert found == {"receives": 2, "whole": 1, "lost_bytes": 0, "cut": 0}


def test_a_cut_letter_and_what_did_not_fit_are_counted() -> None:
    received = [data[:5] for data in SENT]

    found = analyse(Reception("datagrams", SENT, received, texts_of("datagrams", received)))

    assert found == {"receives": 3, "whole": 0, "lost_bytes": 37 - 15, "cut": 3}


@pytest.mark.parametrize("size", [1, 5, 4096])
def test_frames_give_the_texts_however_the_stream_is_cut(size: int) -> None:
    sent = [frame(Message(Kind.SAY, text=text)) for text in TEXTS]
    stream = b"".join(sent)
    received = [stream[i : i + size] for i in range(0, len(stream), size)]

    texts = texts_of("frames", received)

    assert texts == list(TEXTS)
    found = analyse(Reception("frames", sent, received, texts))
    assert found == {"receives": len(received), "whole": 3, "lost_bytes": 0}


def test_a_letter_is_cut_at_either_end() -> None:
    assert [is_cut(data) for data in (b"\xd0\x9f", b"\xd0\x9f\xd1", b"\x9f", b"hi")] == [
        False,
        True,
        True,
        False,
    ]
    assert shown("Пр".encode() + b"\xd0") == "Пр\\xd0"


def made_up(stream_whole: float = 0.0, datagram_receives: float = 3.0) -> Result:
    values = {
        "receives": {"stream": (1.0, 8.0), "datagrams": (3.0, datagram_receives)},
        "whole": {"stream": (3.0, stream_whole), "datagrams": (3.0, 0.0), "frames": (3.0, 3.0)},
        "lost_bytes": {"datagrams": (0.0, 22.0)},
    }
    return Result(
        tuple(
            Figure(carrier, quantity, condition, (value,))
            for quantity, by_carrier in values.items()
            for carrier, both in by_carrier.items()
            for condition, value in zip(("together", "five_bytes"), both, strict=True)
        ),
        settings={"first_recv": {"stream five_bytes": "Пр\\xd0"}},
    )


def test_what_is_found_is_said_with_its_figures() -> None:
    english = EXPERIMENT.words["en"].explain(made_up())
    russian = EXPERIMENT.words["ru"].explain(made_up())

    assert len(english) == len(russian) == 3
    assert "stream (when all had arrived: 1, five bytes at a time: 8)" in english[0]
    assert "UDP datagrams (always 3)" in english[0]
    assert "“Пр\\xd0”" in english[0]
    assert "когда пришло всё: 1, по пять байтов: 8" in russian[0]
    assert "датаграмм UDP — всегда 3" in russian[0]
    assert "22 bytes lost" in english[1]
    assert "In the worst case 0 of three" in english[2]
    assert "3 with the TCP chat's frames" in english[2]


def test_the_sentences_follow_the_figures() -> None:
    english = EXPERIMENT.words["en"].explain(made_up(stream_whole=2.0, datagram_receives=4.0))

    assert "UDP datagrams (when all had arrived: 3, five bytes at a time: 4)" in english[0]
    assert "In the worst case 2 of three" in english[2]


@pytest.mark.alone
def test_a_stream_has_no_boundaries_datagrams_have_and_frames_make_them() -> None:
    result = EXPERIMENT.measure(Effort(quick=True), lambda sentence: None)

    assert result.median("stream", "receives", "together") == 1
    assert result.median("stream", "cut", "five_bytes") > 0
    assert result.median("stream", "lost_bytes", "five_bytes") == 0
    assert result.median("datagrams", "lost_bytes", "five_bytes") > 0
    for condition in result.conditions("receives"):
        assert result.median("datagrams", "receives", condition) == len(TEXTS)
        assert result.median("frames", "whole", condition) == len(TEXTS)
    if "nagle" in result.conditions("receives"):
        assert result.median("stream", "receives", "nagle") < len(TEXTS)
    for words in EXPERIMENT.words.values():
        assert len(words.explain(result)) == 3
        keys = {*result.quantities(), *result.conditions("receives"), *CARRIERS}
        assert keys <= set(words.names)
