"""What all experiments share: figures, amounts, and programs seen from outside."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time

import pytest

from compare.experiments import participants
from compare.experiments.experiment import (
    NEVER,
    Effort,
    Figure,
    Result,
    Words,
    amount,
    duration,
)
from compare.experiments.participants import (
    CHAT,
    PLAIN,
    TCP,
    TRANSPORTS,
    Client,
    ExperimentFailed,
    Room,
    Server,
    Silence,
    Talk,
    Transport,
    at_once,
    pause,
    side_by_side,
)
from tests.processes import WAIT_SECONDS


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
    with pytest.raises(ExperimentFailed, match=r"joined.*refused"):
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


def test_a_program_that_does_not_listen_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(participants, "END_SECONDS", 0.1)
    stubborn = (
        "import signal; signal.signal(15, signal.SIG_IGN);"
        "print('listening on 127.0.0.1:9', flush=True); signal.pause()"
    )
    begun = time.monotonic()
    with Server(Transport("stubborn", "", ("-c", stubborn), (), "udp")) as server:
        assert server.port == 9
    assert server.process.returncode == -9
    assert time.monotonic() - begun < participants.WAIT_SECONDS


def test_silence_is_an_option_of_each_chat() -> None:
    for transport in TRANSPORTS:
        server, client = Silence(1, 3).options(transport)
        assert "--timeout" in server
        assert all(isinstance(word, str) for word in (*server, *client))


def test_what_is_done_at_once_is_done_for_each_and_fails_for_all() -> None:
    together = threading.Barrier(3, timeout=10)

    def name(transport: Transport) -> str:
        together.wait()  # passes only if all three run at once
        return transport.title

    assert side_by_side(name) == {"tcp": "TCP", "plain": "plain UDP", "chat": "udp-chat"}
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
    pause(0.001)  # of who comes later is none of its business


def test_the_programs_run_with_this_python() -> None:
    with Server(PLAIN) as server:
        assert isinstance(server.process.args, list)
        assert server.process.args[0] == sys.executable
