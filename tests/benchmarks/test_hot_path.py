"""The benchmark of the room's hot path measures what it says."""

from __future__ import annotations

import pytest

from benchmarks.hot_path import Bench, main


def test_what_is_timed_is_done() -> None:
    bench = Bench(3)
    before = bench.room.log.latest
    bench.receive_and_send(bench.say(12))
    assert bench.room.log.latest == before + 12
    bench.receive(bench.say(1))
    ((datagram, addresses),) = bench.room.datagrams_to_send()
    assert len(addresses) == len(bench.room.members) == 3
    assert b"x" * 64 in datagram
    bench.receive(bench.status())
    assert bench.speaker.position.acked == bench.room.log.latest == before + 13
    assert not bench.room.counters["stale"]
    for repeated, size in ((5, 64), (9, 20)):
        datagram = bench.say(1, repeated, size)
        assert datagram[24] == repeated + 1
        bench.receive(datagram)
    assert bench.room.log.latest == before + 15
    bench.receive(bench.say(0, 3))
    assert bench.room.log.latest == before + 15
    bench.receive(bench.stray_say())
    bench.receive(bench.broadcast())
    assert bench.room.counters["unknown session"] == bench.room.counters["unexpected packet"] == 1
    assert len(bench.stray_say()) > 1150, "as much to read as there can be"
    assert len(bench.broadcast()) > 1150


def test_it_prints_a_figure_for_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--members", "2", "--datagrams", "5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in lines] == [
        *("SAY of 1 line", "SAY of 12 lines"),
        *("SAY of 1 line, 15 repeated", "SAY of 1 line, 39 repeated", "SAY of 39 repeated"),
        *("STATUS", "SAY of a stranger", "EVENTS"),
    ]
    assert all(line.endswith("µs, 2 members") for line in lines)
