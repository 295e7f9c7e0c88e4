"""Random evenings: hundreds of seeds, and the command that runs them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests import simulate
from tests.simulate import Evening, run_seed, run_seeds
from udp_chat.server.room import ChatRoom

ROOT = Path(__file__).parent.parent.parent


def test_random_evenings_keep_every_promise() -> None:
    """A few; .ci/run has 300, without coverage."""
    for seed, _, failure in run_seeds(range(20), rooms=["server"]):
        replay = f"python3 -m tests.simulate --seeds 1 --first {seed}"
        assert not failure, f"seed {seed} failed; replay it: {replay}\n{failure}"


def test_the_same_seed_gives_the_same_evening() -> None:
    first, second = Evening(5), Evening(5)
    assert first.run() == second.run()
    assert first.network.now == second.network.now
    assert first.network.traffic == second.network.traffic


@pytest.mark.slow
def test_random_evenings_reach_every_recovery() -> None:
    reached: set[str] = set()
    for seed in range(40):
        _, counters, failure = run_seed(seed, rooms=["server"])
        assert counters is not None, failure
        reached |= set(counters)
    assert reached >= {
        *("tail repairs", "gap repairs", "moved", "probed", "stale", "unproven address"),
        *("unknown session", "bad checksum", "held back", "stalls", "refused: room_full"),
        *("client retransmissions", "client gap reports", "client duplicates", "client stalls"),
        *("full links", "freed links", "waits for links"),
        *("client address changes", "reconnecting", "resumed", "lost", "private", "notice"),
    }


def test_the_command_runs_seeds_and_reports() -> None:
    command = [sys.executable, "-m", "tests.simulate", "--seeds", "2"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True)
    assert "2 of 2 seeds, 0 failed" in done.stdout


def _amplifies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has the room answer strangers with more than they sent."""
    send = ChatRoom.datagrams_to_send
    monkeypatch.setattr(ChatRoom, "datagrams_to_send", lambda room: send(room) * 12)


def test_the_command_prints_a_failing_seed_and_how_to_replay_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _amplifies(monkeypatch)
    arguments = ["simulate", "--seeds", "2", "--first", "7", "--reached"]
    monkeypatch.setattr(sys, "argv", arguments)
    assert simulate.main() == 1
    printed = capsys.readouterr().out
    assert "seed 7 failed" in printed
    assert "amplification towards" in printed
    assert "python3 -m tests.simulate --seeds 1 --first 7" in printed
    assert "2 of 2 seeds, 2 failed" in printed


def test_the_command_counts_what_the_seeds_reached(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["simulate", "--seeds", "1", "--reached"])
    assert simulate.main() == 0
    assert " chat\n" in capsys.readouterr().out
