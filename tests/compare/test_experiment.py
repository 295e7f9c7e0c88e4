"""What all experiments share: figures, amounts, and programs seen from outside."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from compare.experiments.experiment import Effort, Figure, Headline, Result, Words, is_no_worse
from compare.experiments.participants import (
    CHAT,
    PLAIN,
    TCP,
    TRANSPORTS,
    WAIT_SECONDS,
    Case,
    Client,
    ExperimentFailed,
    Room,
    Server,
    Silence,
    Talk,
    Transport,
    at_once,
    cases,
    first_shown_at,
    pause,
    percent_shown,
    run_at_once,
    run_in_turns,
    typed,
)
from compare.figures import amount, duration
from udp_chat.protocol.delivery import NEVER


@pytest.mark.parametrize(
    ("value", "english", "russian"),
    [
        (0, "0", "0"),
        (0.01234, "0.0123", "0,0123"),
        (12.345, "12.3", "12,3"),
        (1234.5, "1\u202f234", "1\u202f234"),
        (NEVER, "never", "никогда"),
    ],
)
def test_an_amount_has_three_digits_that_count(value: float, english: str, russian: str) -> None:
    assert amount(value) == english
    assert amount(value, language="ru") == russian


def test_a_unit_stays_with_its_amount() -> None:
    assert amount(5, "ms") == "5\u00a0ms"
    assert duration(0.5).endswith("ms")
    assert duration(5.0) == "5\u00a0s"
    assert duration(NEVER, "ru") == "никогда"


def test_a_result_finds_its_figures() -> None:
    figures = (
        Figure("tcp", "p99", 0.1, (3.0, 1.0, 2.0)),
        Figure("chat", "p99", 0.1, (1.0,)),
        Figure("chat", "p99", "cut", (NEVER,)),
    )
    result = Result(figures)
    assert result.median("tcp", "p99", 0.1) == 2.0
    assert (figures[0].low, figures[0].high) == (1.0, 3.0)
    assert result.conditions("p99") == [0.1, "cut"]
    assert result.transports("p99") == ["tcp", "chat"]
    assert result.quantities() == ["p99"]
    with pytest.raises(KeyError):
        result.figure("tcp", "p99", "cut")


def test_a_result_keeps_a_value_for_each_run() -> None:
    runs = [("tcp", 0.1, 1.0), ("chat", 0.1, 2.0), ("tcp", 0.1, 3.0)]
    found = Result.of(runs, lambda seconds: {"s": seconds, "ms": seconds * 1000}, remarks=("x",))
    assert found.figures == (
        Figure("tcp", "s", 0.1, (1.0, 3.0)),
        Figure("tcp", "ms", 0.1, (1000.0, 3000.0)),
        Figure("chat", "s", 0.1, (2.0,)),
        Figure("chat", "ms", 0.1, (2000.0,)),
    )
    assert found.remarks == ("x",)
    assert found.transports() == ["tcp", "chat"]


def test_the_best_figure_of_a_headline_comes_first() -> None:
    result = Result(
        (
            Figure("tcp", "late", "cut", (3.0,)),
            Figure("chat", "late", "cut", (1.0,)),
            Figure("plain", "late", "cut", (NEVER,)),
            Figure("tcp", "late", "killed", (5.0,)),
            Figure("tcp", "share", "cut", (1.0,)),
        )
    )

    def order(headline: Headline) -> list[str]:
        return [figure.transport for figure in headline.figures(result)]

    assert order(Headline("late", "lower", "cut")) == ["chat", "tcp", "plain"]
    assert order(Headline("late", "higher", "cut")) == ["plain", "tcp", "chat"]
    for condition in (None, "not measured"):  # then the last one
        (figure,) = Headline("late", "lower", condition).figures(result)
        assert figure.values == (5.0,)
    assert order(Headline("not measured", "lower")) == []


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ((1.0, 2.0, 3.0), (4.0, 5.0, 6.0), False),
        ((1.0, 2.0, 4.0), (4.0, 5.0, 6.0), True),  # the ranges touch
        ((100.0,), (104.0,), True),  # of one repetition no spread is known
        ((100.0,), (106.0,), False),
        ((5.0,), (NEVER,), False),
        ((5.0, NEVER, NEVER), (4.0, 5.0, 6.0), True),
        ((NEVER,), (NEVER,), True),
        ((0.0,), (0.0,), True),
        ((0.0,), (1.0,), False),
    ],
)
def test_figures_are_equal_where_their_spread_says_so(
    one: tuple[float, ...], other: tuple[float, ...], equal: bool
) -> None:
    first, second = Figure("tcp", "x", 0.1, one), Figure("chat", "x", 0.1, other)
    assert is_no_worse(first, second) is is_no_worse(second, first) is equal


def test_messages_are_chosen_by_when_they_were_typed() -> None:
    said = {"early": 1.0, "first": 2.0, "second": 3.0, "late": 4.0}
    assert typed(said, 2.0, 4.0) == ["first", "second"]
    assert typed(said, 3.0) == ["second", "late"]
    heard = {"second": [5.0, 6.0], "late": [4.5]}
    assert first_shown_at(["first", "second", "late"], heard) == 4.5
    assert first_shown_at(["first"], heard) == NEVER
    assert percent_shown(["first", "second"], heard) == 50


def test_effort_and_words_choose() -> None:
    assert Effort(quick=True, seed=5).choose("full", "quick") == "quick"
    assert Effort(seed=5).choose("full", "quick") == "full"
    assert list(Effort(seed=5).seeds(3)) == [5, 6, 7]
    words = Words("", "", {"cut": "cut off"}, lambda _: [])
    assert [words.name("cut"), words.name("other"), words.name(0.05)] == [
        "cut off",
        "other",
        "0.05",
    ]


# --- programs --------------------------------------------------------------------------------


@pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda transport: transport.name)
def test_a_room_is_what_its_people_see(transport: Transport) -> None:
    with Room(transport, 2) as room:
        anna, boris = room.clients
        clara = room.join("clara")
        at = anna.say("привет", "second")
        arrival = boris.wait("chat", text="привет")
        assert arrival.at > at
        assert arrival.event["name"] == "member-0"
        clara.wait("chat", text="second")
        assert clara.find("chat", text="never said") is None
        assert boris.wait_count("chat", 2, 10.0)
        assert list(boris.heard()) == ["привет", "second"]
        assert not boris.wait_count("chat", 3, 0.05)
        with Talk(anna, 100):
            boris.wait_count("chat", 5, 10.0)
        pids = [client.process for client in room.clients]
    assert all(process.poll() is not None for process in pids)


def test_a_program_that_fails_is_quoted_and_leaves_nothing() -> None:
    before = threading.active_count()
    with pytest.raises(ExperimentFailed, match=r"joined.*No chat server listens"):
        Client(TCP, ("127.0.0.1", 1), "anna")
    broken = Transport("broken", "", ("-c", "import sys; sys.exit('no such luck')"), (), "udp")
    with pytest.raises(ExperimentFailed, match=r"`listening on` did not come from .*no such luck"):
        Server(broken)
    with pytest.raises(ExperimentFailed):
        Room(Transport("half", "", CHAT.server, ("-c", "raise SystemExit"), "udp"), 2)
    assert threading.active_count() == before


def test_an_ended_program_takes_no_more_lines() -> None:
    with Server(PLAIN) as server, Client(PLAIN, (server.host, server.port), "anna") as anna:
        anna.kill()
        with pytest.raises(ExperimentFailed, match="an open stdin"):
            anna.say("hello")
        with pytest.raises(ExperimentFailed, match=r"chat .* within 30 s"):
            anna.wait("chat")


def test_a_program_that_does_not_listen_is_killed() -> None:
    stubborn = (
        "import signal; signal.signal(15, signal.SIG_IGN);"
        "print('listening on 127.0.0.1:9', flush=True); signal.pause()"
    )
    begun = time.monotonic()
    transport = Transport("stubborn", "", ("-c", stubborn), (), "udp")
    with Server(transport, end_seconds=0.1) as server:
        assert server.port == 9
    assert server.process.returncode == -9
    assert time.monotonic() - begun < WAIT_SECONDS


def test_silence_is_an_option_of_each_chat() -> None:
    for transport in TRANSPORTS:
        server, client = Silence(1, 3).options(transport)
        assert "--timeout" in server
        assert all(isinstance(word, str) for word in (*server, *client))


def test_what_is_done_at_once_is_done_for_each_and_fails_for_all() -> None:
    together = threading.Barrier(3, timeout=10)

    def name(case: Case) -> str:
        together.wait()  # passes only if all three run at once
        return f"{case.transport.title} {case.seed}"

    assert run_at_once(name, cases(["cut"], [7])) == [
        ("tcp", "cut", "TCP 7"),
        ("plain", "cut", "plain UDP 7"),
        ("chat", "cut", "udp-chat 7"),
    ]
    told: list[str] = []
    runs = run_in_turns(name, [0.1, 0.2], [1, 2], told.append, "{condition:.0%} loss")
    assert told == [f"{loss} loss, seed {seed}" for loss in ("10%", "20%") for seed in (1, 2)]
    assert [(chat, loss, text[-1]) for chat, loss, text in runs] == [
        (chat.name, loss, seed) for loss in (0.1, 0.2) for seed in "12" for chat in TRANSPORTS
    ]
    assert at_once(lambda number: number * 2, [3, 1, 2]) == [6, 2, 4]

    def fail(number: int) -> int:
        raise RuntimeError(f"number {number}")

    with pytest.raises(RuntimeError, match="number 1"):
        at_once(fail, [1])


def test_an_interrupt_ends_the_pauses_of_all_that_is_done_at_once() -> None:
    def sleep(number: int) -> None:
        if number == 2:
            os.kill(os.getpid(), signal.SIGINT)
        pause(10 * WAIT_SECONDS)

    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            at_once(sleep, range(3))
    finally:
        signal.signal(signal.SIGINT, previous)
    pause(0.001)  # a later pause is not interrupted


def test_the_programs_run_with_this_python() -> None:
    with Server(PLAIN) as server:
        assert isinstance(server.process.args, list)
        assert server.process.args[0] == sys.executable
