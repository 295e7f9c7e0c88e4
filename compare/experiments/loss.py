"""Loss and latency.

Question: what does a bad link do to a conversation: which lines arrive, and how late?

Method: three members at one end of a wire with 20 ms each way, the server at the other. The wire
loses 0, 1, 2, 5, 10 and 20 % of the packets of each direction, the same ones of the same seed.
One member says short lines at an even pace; a line's latency is from typing it to its appearing
at another member. A line that never appears counts as infinitely late. All join while the wire
is still good, and a first stretch of lines is not counted. What has not come for a long time is
waited for on a good wire again: it is as late as it was, at least, and its share is told.

Expect: plain UDP delivers what two lossy crossings leave, (1 - loss)², at once. TCP delivers all,
but whatever follows a lost segment waits for its retransmission (head-of-line blocking), and its
timer doubles with each further loss. This chat repairs as TCP does, sooner: it repeats what is
unacknowledged in datagrams that go out anyway, and its timer fits a LAN.

Command: python3 -m compare loss
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from compare.experiments.experiment import (
    NEVER,
    Effort,
    Experiment,
    Figure,
    Plot,
    Result,
    Series,
    Tell,
    Words,
    amount,
)
from compare.experiments.participants import TRANSPORTS, Room, Transport, pause, side_by_side
from compare.wire.network import Wire
from udp_chat.protocol.delivery import quantile

LOSSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
DELAY_SECONDS = 0.02
LINES_PER_SECOND = 50
WARM_UP_LINES = 25
MEMBERS = 3

PATIENCE_SECONDS, PATIENCE_SECONDS_QUICK = 25.0, 8.0
"""How long after the last line the loss goes on: TCP's timer has doubled a few times by then."""

HEALED_SECONDS = 60.0
"""How long what is still missing then may take: up to TCP's next look, on two ways."""

LONELY_SECONDS = 0.5
"""How long plain UDP is waited for: what has not come within its flight never will."""

SERIES_LOSS = 0.1
"""The head-of-line plot's."""

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}

Line = tuple[int, float, bool]
"""A line's number, its latency in seconds at one receiver, and whether it came only when the loss
had ended."""


def measure(effort: Effort, tell: Tell) -> Result:
    losses = effort.choose(LOSSES, (0.0, 0.2))
    lines = effort.choose(250, 150)
    patience = effort.choose(PATIENCE_SECONDS, PATIENCE_SECONDS_QUICK)
    seeds = effort.seeds(effort.choose(3, 1))
    runs: dict[tuple[str, float], list[list[Line]]] = {}
    congestion_controls = set()
    for loss in losses:
        for seed in seeds:
            tell(f"{loss:.0%} loss, seed {seed}")

            def converse(transport: Transport, loss: float = loss, seed: int = seed) -> list[Line]:
                with Wire(delay_seconds=DELAY_SECONDS, seed=seed) as wire:
                    congestion_controls.add(wire.congestion_control)
                    return _converse(transport, wire, loss, lines, patience)

            for name, latencies in side_by_side(converse).items():
                runs.setdefault((name, loss), []).append(latencies)
    figures = [
        figure for (name, loss), kept in runs.items() for figure in analyse(name, loss, kept)
    ]
    shown = SERIES_LOSS if SERIES_LOSS in losses else losses[-1]
    series = tuple(
        Series(t.name, shown, tuple((n, s * 1000) for n, s, _ in runs[t.name, shown][0]))
        for t in TRANSPORTS
    )
    settings = {
        "seeds": list(seeds),
        "lines": lines,
        "lines_per_second": LINES_PER_SECOND,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
        "members": MEMBERS,
        "loss_ends_after_seconds": patience,
        "congestion_control": sorted(congestion_controls),
    }
    return Result(tuple(figures), series, settings)


def _converse(
    transport: Transport, wire: Wire, loss: float, lines: int, patience_seconds: float
) -> list[Line]:
    # TCP's own limit on unacknowledged data would end a connection whose timer has doubled often.
    options = ("--user-timeout", "0") if transport.name == "tcp" else ()
    with Room(transport, MEMBERS, wire, options, options) as room:
        speaker, *listeners = room.clients
        wire.set(loss=loss)
        said: list[float] = []
        start = time.monotonic()
        for number in range(WARM_UP_LINES + lines):
            pause(start + number / LINES_PER_SECOND - time.monotonic())
            said.append(speaker.say(f"line {number}"))
        repairs = transport.name != "plain"
        complete = _wait_for_all(room, patience_seconds if repairs else LONELY_SECONDS, len(said))
        healed_at = time.monotonic()
        if repairs and not complete:
            wire.set(loss=0.0)
            _wait_for_all(room, HEALED_SECONDS, len(said))
        heard = [listener.heard() for listener in listeners]
    return [
        (number, came_at - at, NEVER > came_at > healed_at)
        for by_text in heard
        for number, at in enumerate(said)
        for came_at in by_text.get(f"line {number}", [NEVER])[:1]
        if number >= WARM_UP_LINES
    ]


def _wait_for_all(room: Room, seconds: float, lines: int) -> bool:
    """Whether all listeners have all lines within the time."""
    until = time.monotonic() + seconds
    waited = [
        listener.wait_count("chat", lines, until - time.monotonic())
        for listener in room.clients[1:]
    ]
    return all(waited)


def analyse(transport: str, loss: float, runs: Sequence[Sequence[Line]]) -> list[Figure]:
    """The figures of one chat at one loss, a value for each run."""
    latencies = [[seconds * 1000 for _, seconds, _ in run] for run in runs]
    delivered = tuple(sum(ms < NEVER for ms in run) / len(run) * 100 for run in latencies)
    healed = tuple(sum(healed for *_, healed in run) / len(run) * 100 for run in runs)
    figures = [
        Figure(transport, "delivered", loss, delivered),
        Figure(transport, "healed", loss, healed),
    ]
    for name, share in SHARES.items():
        values = tuple(quantile(run, share) for run in latencies)
        figures.append(Figure(transport, name, loss, values))
    return figures


# --- what is said of it ----------------------------------------------------------------------


def _explain_en(result: Result) -> list[str]:
    worst = result.conditions("p99")[-1]
    assert isinstance(worst, float)
    chat, tcp = (result.median(t, "p99", worst) for t in ("chat", "tcp"))
    plain = result.median("plain", "delivered", worst)
    of_tcp = (
        f"TCP within {amount(tcp, 'ms')}" if tcp < NEVER else "TCP did not show 99 of 100 in time"
    )
    return [
        f"At {worst:.0%} loss each way this chat shows 99 of 100 lines within"
        f" {amount(chat, 'ms')}, {of_tcp}; plain UDP shows {plain:.0f} % of the lines and never the"
        " others.",
        "TCP must hand over its bytes in order, so one lost segment holds up all lines behind it,"
        " and each further loss of the same segment doubles the wait; this chat keeps the order"
        " too, but repeats unacknowledged lines in the datagrams that follow and asks for a gap"
        " at once.",
        "On a link without loss TCP is as fast as either and costs no thought; UDP pays off"
        " where a late line is as bad as a lost one, or where you repair it yourself.",
    ]


def _explain_ru(result: Result) -> list[str]:
    worst = result.conditions("p99")[-1]
    assert isinstance(worst, float)
    chat, tcp = (result.median(t, "p99", worst) for t in ("chat", "tcp"))
    plain = result.median("plain", "delivered", worst)
    of_tcp = (
        f"TCP — за {amount(tcp, 'мс', 'ru')}"
        if tcp < NEVER
        else "TCP 99 строк из 100 не показал вовремя"
    )
    return [
        f"При потерях {worst * 100:.0f} % в каждую сторону этот чат показывает 99 строк из 100 за"
        f" {amount(chat, 'мс', 'ru')}, {of_tcp}; простой UDP показывает {plain:.0f} % строк, а"
        " остальные — никогда.",
        "TCP обязан отдавать байты по порядку, поэтому один потерянный сегмент задерживает все"
        " строки за ним, а каждая новая потеря того же сегмента удваивает ожидание; этот чат тоже"
        " хранит порядок, но повторяет неподтверждённые строки в следующих датаграммах и сразу"
        " просит недостающее.",
        "На линии без потерь TCP так же быстр и не требует забот; UDP выгоден там, где опоздавшая"
        " строка не лучше потерянной, или там, где потери исправляют сами.",
    ]


EXPERIMENT = Experiment(
    name="loss",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("p99", "lines", "loss", logarithmic=True),
        Plot("delivered", "lines", "loss"),
        Plot("latency", "points", "number", logarithmic=True),
    ),
    words={
        "en": Words(
            title="Loss and latency",
            question="What does a bad link do to a conversation: which lines arrive, how late?",
            names={
                "delivered": "delivered, %",
                "healed": "of these, only when the loss had ended, %",
                "p50": "median latency, ms",
                "p90": "p90 latency, ms",
                "p99": "p99 latency, ms",
                "max": "worst latency, ms",
                "loss": "share of packets lost each way",
                "latency": "latency, ms",
                "number": "number of the line",
            },
            explain=_explain_en,
        ),
        "ru": Words(
            title="Потери и задержка",
            question="Что делает с разговором плохая линия: какие строки доходят и как поздно?",
            names={
                "delivered": "доставлено, %",
                "healed": "из них лишь когда потери кончились, %",
                "p50": "медиана задержки, мс",
                "p90": "задержка p90, мс",
                "p99": "задержка p99, мс",
                "max": "наибольшая задержка, мс",
                "loss": "доля потерянных пакетов в каждую сторону",
                "latency": "задержка, мс",
                "number": "номер строки",
            },
            explain=_explain_ru,
        ),
    },
)
