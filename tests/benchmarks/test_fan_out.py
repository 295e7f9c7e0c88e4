"""The fan-out benchmark: its load counts rightly, its table says what was measured."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fan_out
from benchmarks.fan_out import PROJECT
from compare.experiments.experiment import Effort, Figure, Result
from compare.experiments.fan_out import EXPERIMENT
from compare.experiments.participants import ExperimentFailed
from tests.processes import WAIT_SECONDS
from udp_chat.client.acknowledging import Acknowledging
from udp_chat.client.liveness import HEARTBEAT_SLOTS, Liveness
from udp_chat.protocol.delivery import RttEstimator
from udp_chat.protocol.packets import Event, EventKind, Events
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer

LACKING = fan_out.missing()
pytestmark = pytest.mark.skipif(LACKING is not None, reason=f"the benchmark needs {LACKING}")

if LACKING is None:
    from benchmarks import crowds, load
    from benchmarks.chat_crowd import ChatCrowd
    from benchmarks.crowds import Sample, line
    from benchmarks.load import Driver, Pace


class Clock:
    """An hour passes at once, and never a moment by itself."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    process_time = monotonic


class Cpu:
    """A server under test whose figures are known."""

    def cpu_seconds(self) -> float:
        return 0.0

    def memory_bytes(self) -> int:
        return 30_000_000

    def thread_count(self) -> int:
        return 1


class MadeUpCrowd:
    """Delivers what is said at once, but loses, repeats or swaps what it is told to."""

    def __init__(self, members: int = 10, loses: bool = False, trouble: str = "") -> None:
        self.positions = [0] * members
        self.said_at: list[list[float]] = [[] for _ in range(crowds.SENDERS)]
        self.samples = {member: Sample(self.said_at) for member in range(2)}
        self.counting = True
        self.clock = Clock()
        self.losses: list[int] = []  # of each: how many lines had been said
        self._loses = loses
        self._trouble = trouble
        self._batches = 0
        self._waiting: list[tuple[int, int]] = []
        self.window_max = 0
        self.dispersed = False

    def join(self) -> None: ...

    def disperse(self) -> None:
        self.dispersed = True

    def close(self) -> None: ...

    def say(self, sender: int, numbers: range, now: float) -> None:
        self.said_at[sender] += [now] * len(numbers)
        self._waiting += [(sender, number) for number in numbers]
        self.window_max = max(self.window_max, len(self._waiting))

    def take(self, timeout_seconds: float) -> int:
        heard, self._waiting = self._waiting, []
        self.clock.now += 0.001 if heard else max(0.001, timeout_seconds)
        self._batches += bool(heard)
        if self._loses and heard and self._batches % 2:  # every other batch loses a line
            self.losses.append(sum(map(len, self.said_at)))
            heard.pop()
        for member, sample in self.samples.items():
            order = list(reversed(heard)) if self._trouble == "order" and member else heard
            if self._trouble == "repeat" and heard and member:
                order = [*heard, heard[-1]]
            for sender, number in order:
                sample.see(sender, number, self.said_at[sender][number] + 0.25)
        self.positions = [position + len(heard) for position in self.positions]
        return len(heard)

    def on_stall(self) -> int:
        said = sum(map(len, self.said_at))
        lost = sum(said - position for position in self.positions)
        self.positions = [said] * len(self.positions)
        return lost


Drive = Callable[..., "dict[str, float]"]


@pytest.fixture
def driver() -> Callable[[MadeUpCrowd], Driver]:
    def make(crowd: MadeUpCrowd) -> Driver:
        server: Any = Cpu()  # a Server is a process, and this one is none
        return Driver(crowd, server, crowd.clock)

    return make


@pytest.fixture
def driven(driver: Callable[[MadeUpCrowd], Driver]) -> Drive:
    def run(crowd: MadeUpCrowd, load: str = "saturation") -> dict[str, float]:
        return driver(crowd).run(1.0, Pace.of(load))

    return run


def test_what_is_delivered_once_and_in_order_is_counted(driven: Drive) -> None:
    crowd = MadeUpCrowd()
    measured = driven(crowd)
    assert measured["delivered"] == 1.0
    assert measured["lines"] > 0
    assert (measured["missing"], measured["repeated"], measured["one_order"]) == (0, 0, True)
    assert measured["p50_ms"] == pytest.approx(250.0)
    assert measured["p99_ms"] == pytest.approx(250.0)
    assert measured["memory_mb"] == 30.0
    # The senders' windows are filled, and never more than filled.
    assert crowd.window_max == crowds.SENDERS * crowds.WINDOW_LINES


@pytest.mark.parametrize("lines", [16, 64, 100])
def test_a_window_holds_for_all_senders_together(driven: Drive, lines: int) -> None:
    crowd = MadeUpCrowd()
    assert driven(crowd, f"window-{lines}")["delivered"] == 1.0
    assert lines - crowds.CHUNK_LINES < crowd.window_max <= lines


def test_a_pace_is_kept(driven: Drive) -> None:
    assert driven(MadeUpCrowd(), "200")["lines"] == pytest.approx(200, abs=1)


def test_what_is_lost_is_counted_and_not_waited_for(driven: Drive) -> None:
    crowd = MadeUpCrowd(loses=True)
    measured = driven(crowd, "100")
    warmed_up = sum(map(len, crowd.said_at)) - measured["lines"]
    lost = sum(said > warmed_up for said in crowd.losses)
    assert measured["lines"] == pytest.approx(100, abs=1)
    assert lost == pytest.approx(50, abs=1)
    assert measured["delivered"] == pytest.approx(1 - lost / measured["lines"])
    assert measured["missing"] == 2 * lost  # by two members


def test_the_wait_that_shows_a_loss_is_nobodys_time(driven: Drive) -> None:
    crowd = MadeUpCrowd(loses=True)
    measured = driven(crowd)
    deliveries = measured["delivered"] * measured["lines"] * len(crowd.positions)
    seconds = deliveries / measured["deliveries_per_second"]
    assert 0.5 < seconds < 0.95  # of the one that it ran for


def test_another_order_at_one_member_is_seen(driven: Drive) -> None:
    measured = driven(MadeUpCrowd(trouble="order"))
    assert not measured["one_order"]
    assert measured["repeated"] > 0  # what comes late counts with what comes twice


def test_a_line_that_comes_twice_is_seen(driven: Drive) -> None:
    measured = driven(MadeUpCrowd(trouble="repeat"))
    assert measured["repeated"] > 0
    assert measured["one_order"]


def test_every_line_has_the_same_size_and_says_who_and_which() -> None:
    assert {len(line(s, n)) for s in (0, 3) for n in (0, 7, 10**9)} == {crowds.LINE_BYTES}
    assert crowds.LINE_HEAD.unpack_from(line(3, 42)) == (b"03", b"0000000042")


@pytest.mark.slow
def test_all_three_chats_carry_a_small_load_whole() -> None:
    """Real servers, real sockets: what the experiment rests on, and one order for all."""
    for contender in (fan_out.CHAT, fan_out.TCP, fan_out.PLAIN, fan_out.SESSIONS):
        may_lose = contender is fan_out.PLAIN
        loads, seconds = ([fan_out.CALM], 1.0) if may_lose else ([fan_out.SATURATION], 0.3)
        (measured,) = [
            value
            for key, value in fan_out.run_load(contender, 12, loads, seconds).items()
            if not key.startswith("join")
        ]
        assert measured["lines"] > 10, contender
        if may_lose:  # what is late on a busy machine is given up
            assert measured["delivered"] > 0
        else:
            assert measured["delivered"] == 1.0, contender
            assert measured["missing"] == 0, contender
        assert measured["repeated"] == 0, contender
        assert measured["one_order"], contender
        threads = measured["threads"]
        if contender is fan_out.TCP:  # a writer may be about to end
            assert threads >= 13
        else:
            assert threads == 1


@pytest.mark.slow
def test_a_thousand_join_and_talk() -> None:
    """Five thousand do too: docs/performance.md has the command, which takes half a minute."""
    measured = fan_out.run_load(fan_out.CHAT, 1000, ["20"], 1.0)["20"]
    assert measured["lines"] >= 10
    assert (measured["delivered"], measured["missing"], measured["repeated"]) == (1.0, 0, 0)
    assert measured["one_order"]


def test_an_idle_room_is_measured_as_after_a_long_silence(
    driver: Callable[[MadeUpCrowd], Driver],
) -> None:
    crowd = MadeUpCrowd()
    measured = driver(crowd).idle(10.0)
    assert crowd.clock.now == pytest.approx(load.SETTLE_SECONDS + 10.0, abs=0.2)
    assert measured == {"server_cpu_share": 0.0, "memory_mb": 30.0, "threads": 1}
    assert crowd.dispersed


def test_the_crowd_plans_heartbeats_as_a_client_does() -> None:
    chance = random.Random(1)
    with contextlib.closing(ChatCrowd(("127.0.0.1", 9), 1)) as crowd:
        for _ in range(100):
            liveness, lean = Liveness(RttEstimator(), lambda: 1.0), crowd.lean[0]
            heard_at = liveness.heard_at = liveness.said_at = chance.uniform(1e3, 1e6)
            lean.echo = liveness.newest_echo = chance.getrandbits(40)
            lean.echo_at = liveness.newest_echo_at = heard_at - chance.uniform(0, 5)
            lean.interval_seconds = liveness.heartbeat_seconds = chance.uniform(4.5, 5.5)
            lean.early_seconds = liveness.early_seconds = chance.uniform(0, 0.25)
            liveness.slot_seconds = 5.0 / HEARTBEAT_SLOTS
            crowd.plan_beat(lean, heard_at)
            assert lean.beat_at == liveness.heartbeat_at()


def test_the_crowd_sends_heartbeats_in_the_slots_of_the_servers_clock() -> None:
    members, interval_seconds = 40, 1.0
    settings = RoomSettings(heartbeat_seconds=interval_seconds, timeout_seconds=10.0)
    with UdpServer("127.0.0.1", 0, settings) as server:
        crowd = ChatCrowd(server.address, members)
        with contextlib.closing(crowd):
            crowd.join()
            crowd.disperse()
            beats = [lean.beat_at for lean in crowd.lean]
            assert max(beats) - min(beats) > 0.6 * interval_seconds
            for lean in crowd.lean:
                slots = (lean.echo / 1e6 + lean.beat_at - lean.echo_at) * HEARTBEAT_SLOTS
                assert slots == pytest.approx(round(slots), abs=0.01)
            sent = [lean.sent for lean in crowd.lean]
            until = time.monotonic() + WAIT_SECONDS
            while not all(a.sent > b for a, b in zip(crowd.lean, sent, strict=True)):
                assert time.monotonic() < until, "some send no heartbeat"
                crowd.take(0.1)


@pytest.mark.parametrize("delay_ms", [5, 20, 100])
def test_the_crowd_plans_acknowledgements_as_a_client_does(delay_ms: int) -> None:
    message = Event(EventKind.CHAT, 5000, "Boris", "", "to all", 8)
    packet = Events(7, 987_654_321_012, 1, 1, 1, (message,), ack_delay_ms=delay_ms)
    client = Acknowledging(RttEstimator(), random.Random(1), lambda: 1.0)
    client.wait_as_asked(delay_ms)
    client.plan(0.0, packet.timestamp / 1e6)
    with contextlib.closing(ChatCrowd(("127.0.0.1", 9), 1)) as crowd:
        lean = crowd.lean[0]
        lean.epoch = packet.epoch
        datagram = packet.encode()
        crowd.buffer[: len(datagram)] = datagram
        crowd.read(0, [len(datagram)])
        assert lean.room_ack == 1
        assert crowd.next_due() - lean.echo_at == pytest.approx(client.ack_at, abs=1e-6)


@pytest.mark.alone
def test_the_experiment_finds_that_gathering_pays() -> None:
    result = EXPERIMENT.measure(Effort(quick=True), lambda _: None)
    for members in result.conditions("deliveries"):
        chat, plain = (result.median(t, "cpu", members) for t in ("chat", "plain"))
        assert chat < plain, "a delivery of this chat costs the server less than one of plain UDP"
        assert result.median("chat", "delivered", members) == 100.0
    assert result.median("tcp", "threads", 100) > 100 > result.median("chat", "threads", 100)
    for words in EXPERIMENT.words.values():
        assert len(words.explain(result)) == 3


# --- what is said of it ----------------------------------------------------------------------


def made_up(chat: float, tcp: float, plain: float) -> Result:
    rates = {"chat": chat, "tcp": tcp, "plain": plain}
    figures = [Figure(name, "deliveries", 1000, (rate,)) for name, rate in rates.items()]
    figures += [Figure("tcp", "threads", 1000, (1001.0,))]
    return Result(tuple(figures))


def test_the_sentences_follow_the_figures() -> None:
    english, russian = (EXPERIMENT.words[language].explain for language in ("en", "ru"))
    assert (
        "3\u202f000 thousand deliveries a second, more than the next of the three, the TCP chat"
        in (english(made_up(3000, 400, 200))[0])
    )
    assert (
        "not more than the next of the three, plain UDP, with 500 thousand"
        in (english(made_up(300, 400, 500))[0])
    )
    assert (
        "не больше, чем следующий из трёх, простой UDP: 500" in russian(made_up(300, 400, 500))[0]
    )
    assert "потоков: 1\u202f001" in russian(made_up(300, 400, 500))[2]


def run(rate: float, cpu: float = 1.0, p50: float = 1.0, **others: Any) -> dict[str, Any]:
    measured = {
        "deliveries_per_second": rate,
        "delivered": 1.0,
        "cpu_us_per_delivery": cpu,
        "p50_ms": p50,
        "p99_ms": 2.0,
        "server_cpu_share": 0.5,
        "load_cpu_share": 0.5,
        "memory_mb": 20.0,
        "threads": 1,
        **others,
    }
    return {
        "join_seconds": 1.5,
        "join_cpu_seconds": 0.5,
        "idle": {"server_cpu_share": 0.002, "memory_mb": 20.0, "threads": 1},
        **dict.fromkeys(("saturation", "window-64", "500", "50"), measured),
    }


def test_ratios_are_taken_within_rounds_and_their_median_shown() -> None:
    kept = {
        "chat": {100: [run(4000.0, 2.0), run(1000.0, 3.0), run(9000.0, 4.0)]},
        "redis": {100: [run(1000.0), run(1000.0), run(3000.0)]},
        "sessions": {100: [{**run(1000.0), "overload": {"deliveries_per_second": 800.0}}]},
    }
    rows = list(fan_out.ratios(kept))
    for load in ("saturation", "window-64"):
        what = f"deliveries/s, {load}, 100 members"
        assert any(what in row and row.endswith("3 (1-4)") for row in rows)
    assert any("server CPU per delivery" in row and row.endswith("3 (2-4)") for row in rows)
    assert "overload / saturation, 100 members: goodput 0.8 (0.8-0.8)" in rows
    joined = "udp-chat: 100 members have joined after 1.5 (1.5-1.5) s; server CPU 0.5 (0.5-0.5) s"
    assert joined in rows
    assert "udp-chat: 100 idle members, % of a core per thousand: 2 (2-2)" in rows


def test_the_table_says_where_the_promise_was_broken() -> None:
    broken = run(1000.0, missing=3, repeated=2, one_order=False)
    rows = list(fan_out.table({"plain": {10: [broken]}, "chat": {10: [run(2000.0)]}}))
    (plain,) = [row for row in rows if row.startswith("plain UDP") and "1 (1-1)" in row][-1:]
    assert plain.endswith("! gaps, repeats or late, several orders")
    assert not any("!" in row for row in rows if row.startswith("udp-chat"))


# --- the command -----------------------------------------------------------------------------


class Counted:
    """Stands for `run_load`: what the benchmark would have run."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, int, str]] = []

    def __call__(
        self, contender: fan_out.Contender, members: int, loads: Sequence[str], seconds: float
    ) -> dict[str, Any]:
        self.runs.append((contender.name, members, ",".join(loads)))
        measured = run(1000.0)
        if loads[0] not in measured:
            measured[loads[0]] = measured["saturation"]
            measured = {
                key: measured[key] for key in ("join_seconds", "join_cpu_seconds", loads[0])
            }
        return measured


@pytest.fixture
def counted() -> Counted:
    return Counted()


def test_the_command_runs_each_server_in_each_round(
    counted: Counted, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "all.json"
    arguments = ["--members", "10,1000", "--repeat", "2", "--servers", "chat,plain"]
    assert fan_out.main([*arguments, "--json", str(file)], counted) == 0
    once = [
        ("chat", 10, "idle,saturation,window-64,50,500"),
        ("plain", 10, "idle,saturation,window-64,50,500"),
        ("sessions", 10, "saturation"),
        ("sessions", 10, "200.0"),
        # 500 lines a second are more than plain UDP takes.
        ("chat", 1000, "idle,saturation,window-64,50"),
        ("plain", 1000, "idle,saturation,window-64,50"),
        ("sessions", 1000, "saturation"),
        ("sessions", 1000, "2.0"),
    ]
    assert counted.runs == once * 2
    printed = capsys.readouterr()
    assert "saturation, 1000 members: median (min-max) of 2" in printed.out
    assert "round 2 of 2: plain UDP, 1000 members" in printed.err
    assert len(json.loads(file.read_text())["chat"]["1000"]) == 2


def test_loads_can_be_chosen(counted: Counted) -> None:
    arguments = ["--members", "5000", "--repeat", "1", "--servers", "chat", "--loads", "idle,50"]
    assert fan_out.main(arguments, counted) == 0
    assert counted.runs == [("chat", 5000, "idle,50")]


@pytest.mark.parametrize(
    ("arguments", "because"),
    [
        (["--members", "many"], "--members takes numbers from 1 to 10000"),
        (["--members", "0"], "--members takes numbers from 1 to 10000"),
        (["--servers", "irc"], "there is no server 'irc'"),
        (["--loads", "idle,heavy"], "there is no load 'heavy'"),
    ],
)
def test_wrong_arguments_are_told(
    arguments: list[str], because: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        fan_out.main(arguments)
    assert ended.value.code == 2
    assert because in capsys.readouterr().err


def test_what_is_not_installed_is_left_out_and_said(
    counted: Counted,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shutil, "which", lambda _: None)
    arguments = ["--members", "10", "--repeat", "1", "--servers", "redis,plain"]
    assert fan_out.main(arguments, counted) == 0
    assert "redis is not installed: left out" in capsys.readouterr().err
    assert {name for name, _, _ in counted.runs} == {"plain"}


def test_a_server_that_does_not_come_up_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    broken = fan_out.Contender("chat", "udp-chat", "chat", ("-c", "raise SystemExit(1)", "PORT"))
    with pytest.raises(RuntimeError, match="udp-chat does not serve"):
        fan_out.run_load(broken, 1, ["saturation"], 0.1)


def test_a_load_that_fails_says_why() -> None:
    with pytest.raises(RuntimeError, match=r"(?s)plain UDP, 2 members: .*could not convert"):
        fan_out.run_load(fan_out.PLAIN, 2, ["nonsense"], 0.1)


def test_where_there_is_no_linux_it_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert fan_out.main([]) == 1
    assert "epoll and /proc, which win32 lacks" in capsys.readouterr().err
    with pytest.raises(ExperimentFailed, match="needs epoll"):
        EXPERIMENT.measure(Effort(quick=True), lambda _: None)


def test_the_benchmark_explains_itself() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.fan_out", "--help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "Leave the machine alone" in finished.stdout
