"""Connection set-up.

Question: how long does it take to get into a room, and what if there is none?

Method: a client at one end of a wire, the server at the other, 0, 20 and 50 ms each way. The clock
starts when the client's first packet comes to the wire, which is asked for its counters all the
time: so what Python takes to start does not blur it. It stops when the program says that it is in,
and again when a line that waited in its stdin has come back to it, as to everyone. Of a client that
says nothing the packets are counted until a while after it is in. Then what fails: a port where
nobody listens, an address where nobody is (the wire is cut), and a server that starts a second
after the client.

Expect: plain UDP is in after one round trip: HELLO, WELCOME. TCP shakes hands first, and this chat
has the client echo a cookie first: two. The first line takes one more.
Where nobody listens the kernel answers a SYN with RST, so TCP knows at once; UDP's answer is an
ICMP message, which is not told to a socket that is not connected. A late server is found only by a
client that asks again.

Command: python3 -m compare set-up
"""

from __future__ import annotations

import contextlib
import itertools
import subprocess
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from compare.experiments.cost import passed
from compare.experiments.experiment import (
    NEVER,
    Condition,
    Effort,
    Experiment,
    Figure,
    Plot,
    Result,
    Tell,
    Words,
    amount,
)
from compare.experiments.participants import (
    PORT,
    TRANSPORTS,
    WAIT_SECONDS,
    Client,
    ExperimentFailed,
    Server,
    Transport,
    at_once,
    pause,
    side_by_side,
)
from compare.wire.network import Counters, Wire

DELAYS_MS = (0.0, 20.0, 50.0)  # each way
SHOWN_DELAY_MS = 20.0  # what the sentences speak of, and what failing is watched with

POLL_SECONDS = 0.0005
"""Between two looks at the wire for the first packet."""

SETTLE_SECONDS = 0.3
"""How long to count packets behind the moment of joining: no acknowledgement comes later."""

STAGGER_SECONDS = 0.2
QUICK_STAGGER_SECONDS = 0.05
"""Between two clients that are to fail: all are watched at once, but starting takes a processor."""

WATCH_SECONDS = 7.0
"""How long a failing client is watched: all of them have 5 s to join by default."""

SERVER_LATE_SECONDS = 1.0

FAILURES = ("wrong_port", "no_host", "late")

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Joining:
    """How one client got in."""

    joined_seconds: float
    first_line_seconds: float
    """Until its first line had come back to it."""


def measure(effort: Effort, tell: Tell) -> Result:
    delays = effort.choose(DELAYS_MS, (SHOWN_DELAY_MS,))
    seeds = effort.seeds(effort.choose(3, 1))
    figures: list[Figure] = []
    for delay_ms in delays:
        tell(f"joining with {delay_ms:g} ms each way")
        figures += _repeat(_join, analyse_joining, delay_ms, seeds)
    tell("counting packets")
    figures += _repeat(_count, analyse_packets, SHOWN_DELAY_MS, seeds)

    tell("failing to join")
    cases = list(itertools.product(TRANSPORTS, FAILURES, seeds))
    failures: dict[tuple[str, str], list[float]] = {}
    stagger_seconds = effort.choose(STAGGER_SECONDS, QUICK_STAGGER_SECONDS)

    def fail(number: int) -> float:
        pause(number * stagger_seconds)
        return _fail(*cases[number])

    seconds_of_all = at_once(fail, range(len(cases)))
    for (transport, failure, _), seconds in zip(cases, seconds_of_all, strict=True):
        failures.setdefault((transport.name, failure), []).append(seconds)
    for (name, failure), values in failures.items():
        quantity = "late_server" if failure == "late" else "noticed"
        figures.append(Figure(name, quantity, failure, tuple(values)))
    settings = {
        "seeds": list(seeds),
        "failing_one_way_delay_ms": SHOWN_DELAY_MS,
        "join_timeout_seconds": 5.0,
        "server_late_seconds": SERVER_LATE_SECONDS,
        "failing_watched_seconds": WATCH_SECONDS,
        "counted_behind_joining_seconds": SETTLE_SECONDS,
    }
    remarks = (
        "Times run from the last look at the wire that saw no packet of the client to its program's"
        " output: they are up to a millisecond too long, more on a busy machine.",
        "A failing client's time runs until its process has ended, which itself takes a while.",
    )
    return Result(tuple(figures), settings=settings, remarks=remarks)


def _repeat(
    work: Callable[[Transport, Wire], _T],
    analyse: Callable[[str, float, Sequence[_T]], list[Figure]],
    delay_ms: float,
    seeds: Iterable[int],
) -> list[Figure]:
    """The figures of work that each chat does once for each seed, all side by side."""

    def run(transport: Transport, seed: int) -> _T:
        with Wire(delay_seconds=delay_ms / 1000, seed=seed) as wire:
            return work(transport, wire)

    runs: dict[str, list[_T]] = {}
    for seed in seeds:
        for name, found in side_by_side(partial(run, seed=seed)).items():
            runs.setdefault(name, []).append(found)
    return [figure for name, kept in runs.items() for figure in analyse(name, delay_ms, kept)]


def _join(transport: Transport, wire: Wire) -> Joining:
    with Server(transport, wire) as server:
        before = wire.counters
        address = (server.host, server.port)
        with Client(transport, address, "anna", wire, wait_joined=False) as client:
            client.say("hello")
            started_at = _first_packet_at(wire, before)
            joined_at = client.wait("joined").at
            heard_at = client.wait("chat", text="hello").at
    return Joining(joined_at - started_at, heard_at - started_at)


def _count(transport: Transport, wire: Wire) -> tuple[int, int]:
    """Packets and bytes until a client is in."""
    with Server(transport, wire) as server:
        before = wire.counters
        with Client(transport, (server.host, server.port), "anna", wire):
            pause(SETTLE_SECONDS)
            return passed(before, wire.counters)


def _first_packet_at(wire: Wire, before: Counters) -> float:
    """Waits until a packet has come to the wire since, and tells when none had come yet."""
    until = time.monotonic() + WAIT_SECONDS
    last_at = time.monotonic()
    while True:
        at = time.monotonic()
        if passed(before, wire.counters) != (0, 0):
            return last_at
        if at > until:
            raise ExperimentFailed("a client has sent nothing")
        last_at = at
        pause(POLL_SECONDS)


def _fail(transport: Transport, failure: str, seed: int) -> float:
    """Seconds until a client that cannot join has ended; if the server only comes late, from its
    coming until the client is in."""
    with Wire(delay_seconds=SHOWN_DELAY_MS / 1000, seed=seed) as wire:
        if failure == "no_host":
            wire.cut()
        before = wire.counters
        address = (wire.address("b"), PORT)
        with Client(transport, address, "anna", wire, wait_joined=False) as client:
            started_at = _first_packet_at(wire, before)
            if failure == "late":
                pause(SERVER_LATE_SECONDS)
                with Server(transport, wire):
                    listening_at = time.monotonic()
                    joined = client.find("joined", WATCH_SECONDS)
                return NEVER if joined is None else max(0.0, joined.at - listening_at)
            with contextlib.suppress(subprocess.TimeoutExpired):
                client.process.wait(WATCH_SECONDS)
                return time.monotonic() - started_at
            return NEVER


def analyse_joining(transport: str, delay_ms: float, runs: Sequence[Joining]) -> list[Figure]:
    """The times of one chat at one delay, a value for each run."""
    joined = tuple(run.joined_seconds * 1000 for run in runs)
    first_line = tuple(run.first_line_seconds * 1000 for run in runs)
    return [
        Figure(transport, "joined", delay_ms, joined),
        Figure(transport, "first_line", delay_ms, first_line),
    ]


def analyse_packets(name: str, delay_ms: float, runs: Sequence[tuple[int, int]]) -> list[Figure]:
    """What joining cost one chat, a value for each run."""
    packets, wire_bytes = (tuple(map(float, values)) for values in zip(*runs, strict=True))
    return [
        Figure(name, "packets", delay_ms, packets),
        Figure(name, "bytes", delay_ms, wire_bytes),
    ]


# --- what is said of it ----------------------------------------------------------------------

_NAMES = {
    "en": {"plain": "plain UDP", "tcp": "TCP", "chat": "this chat"},
    "ru": {"plain": "простой UDP", "tcp": "TCP", "chat": "этот чат"},
}


def _shown_delay(result: Result) -> float:
    """The one that is usually spoken of, or the largest there is."""
    delays = [delay for delay in result.conditions("joined") if isinstance(delay, float)]
    return SHOWN_DELAY_MS if SHOWN_DELAY_MS in delays else max(delays)


def _listed(result: Result, quantity: str, condition: Condition, unit: str, language: str) -> str:
    """A quantity of all chats, in a list for people."""
    dash = {"en": "", "ru": "— "}[language]
    return ", ".join(
        f"{name} {dash}{amount(result.median(transport, quantity, condition), unit, language)}"
        for transport, name in _NAMES[language].items()
    )


def _round_trips(result: Result, transport: str, delay_ms: float) -> int:
    return round(result.median(transport, "joined", delay_ms) / (2 * delay_ms)) if delay_ms else 0


def _finders(result: Result, language: str) -> list[str]:
    """The chats that get in once a late server has come."""
    names = _NAMES[language].items()
    return [name for t, name in names if result.median(t, "late_server", "late") < NEVER]


def _explain_en(result: Result) -> list[str]:
    delay = _shown_delay(result)
    trips = ", ".join(str(_round_trips(result, t, delay)) for t in _NAMES["en"])
    finders = " and ".join(_finders(result, "en")) or "none of them"
    return [
        f"With {amount(delay, 'ms')} each way a client is in after:"
        f" {_listed(result, 'joined', delay, 'ms', 'en')} (round trips: {trips}); its first line"
        f" is there after: {_listed(result, 'first_line', delay, 'ms', 'en')}.",
        "Plain UDP asks and is answered; TCP shakes hands before it carries the first byte; this"
        " chat's server first has the client repeat a cookie, so that nobody can join, or have"
        " others flooded, under a false address.",
        "At a port where nobody listens a client gives up after:"
        f" {_listed(result, 'noticed', 'wrong_port', 's', 'en')}, and where nobody answers at all"
        f" after: {_listed(result, 'noticed', 'no_host', 's', 'en')}; a server that starts too late"
        f" is found by {finders}: so ask again until you are answered, and over UDP, whose"
        " unconnected socket is not told that nobody listens, set a limit of your own.",
    ]


def _explain_ru(result: Result) -> list[str]:
    delay = _shown_delay(result)
    trips = ", ".join(str(_round_trips(result, t, delay)) for t in _NAMES["ru"])
    finders = _finders(result, "ru")
    wait = "дожидаются" if len(finders) > 1 else "дожидается"
    found = f"{wait} {' и '.join(finders)}" if finders else "не дожидается никто"
    return [
        f"При {amount(delay, 'мс', 'ru')} в каждую сторону клиент входит через:"
        f" {_listed(result, 'joined', delay, 'мс', 'ru')} (обменов «туда и обратно»: {trips});"
        " первая его строка доходит через:"
        f" {_listed(result, 'first_line', delay, 'мс', 'ru')}.",
        "Простой UDP спрашивает и получает ответ; TCP, прежде чем передать первый байт, проводит"
        " рукопожатие; сервер этого чата сначала просит клиента повторить cookie, чтобы никто не"
        " мог войти под чужим адресом или обрушить на этот адрес поток датаграмм.",
        "Если порт никто не слушает, клиент сдаётся через:"
        f" {_listed(result, 'noticed', 'wrong_port', 'с', 'ru')}, а если вообще никто не отвечает —"
        f" через: {_listed(result, 'noticed', 'no_host', 'с', 'ru')}; опоздавшего сервера {found}:"
        " значит, повторяйте вопрос, пока не ответят, а поверх UDP, где неподключённый сокет не"
        " узнаёт, что никто не слушает, сами назначайте срок ожидания.",
    ]


EXPERIMENT = Experiment(
    name="set-up",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("joined", "lines", "delay"),
        Plot("first_line", "lines", "delay"),
        Plot("noticed", "bars", "failure"),
    ),
    words={
        "en": Words(
            title="Connection set-up",
            question="How long does it take to get into a room, and what if there is none?",
            names={
                "joined": "time until joined, ms",
                "first_line": "time until the first line is there, ms",
                "packets": "packets to join",
                "bytes": "bytes to join",
                "noticed": "time until the client gives up, s",
                "late_server": "time from the server's start until joined, s",
                "delay": "delay each way, ms",
                "failure": "what fails",
                "wrong_port": "nobody listens",
                "no_host": "nobody answers",
                "late": "server starts later",
            },
            explain=_explain_en,
        ),
        "ru": Words(
            title="Установление соединения",
            question="Сколько времени нужно, чтобы войти в комнату, и что, если её нет?",
            names={
                "joined": "время до входа, мс",
                "first_line": "время до прихода первой строки, мс",
                "packets": "пакетов на вход",
                "bytes": "байтов на вход",
                "noticed": "время, через которое клиент сдаётся, с",
                "late_server": "время от запуска сервера до входа, с",
                "delay": "задержка в каждую сторону, мс",
                "failure": "что не так",
                "wrong_port": "никто не слушает",
                "no_host": "никто не отвечает",
                "late": "сервер запущен позже",
            },
            explain=_explain_ru,
        ),
    },
)
