"""Loss and latency.

Question: what does a bad link do to a conversation: which messages arrive, and how late?

Method: three members at one end of a wire with 20 ms each way, the server at the other. The wire
loses 0, 1, 2, 5, 10 and 20 % of the packets of each direction, the same ones for the same seed.
One member says short messages at an even pace. A message's latency is the time from typing it to
its appearing at another member. A message that never appears counts as infinitely late. All join
while the wire is still good, and the first messages are not counted. After a long wait the wire
becomes good again, so that the missing messages can arrive: the report gives their share.

Expect: plain UDP delivers at once what two lossy crossings leave, (1 - loss)². TCP delivers all,
but whatever follows a lost segment waits for its retransmission (head-of-line blocking), and its
timer doubles with each further loss. udp-chat repairs as TCP does, but sooner: it repeats
unacknowledged messages in the datagrams that follow, and its timer fits a LAN.

Command: python3 -m compare loss
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from compare.experiments.experiment import Effort, Experiment, Headline, Plot, Result, Series, Tell
from compare.experiments.participants import Case, Room, run_in_turns, speak
from compare.experiments.voice import Voice, words
from compare.wire.network import Wire
from udp_chat.protocol.delivery import NEVER, quantile

LOSSES = (0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
DELAY_SECONDS = 0.02
LINES_PER_SECOND = 50
WARM_UP_LINES = 25
MEMBERS = 3

PATIENCE_SECONDS, PATIENCE_SECONDS_QUICK = 25.0, 8.0
"""How long the loss lasts after the last message: TCP's timer has doubled a few times by then."""

HEALED_SECONDS = 60.0
"""How long the missing messages may take then: up to TCP's next retransmission, on two ways."""

LONELY_SECONDS = 0.5
"""How long plain UDP is waited for: what has not arrived by then never will."""

SERIES_LOSS = 0.1
"""The head-of-line plot's."""

SHARES = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "max": 1.0}

Line = tuple[int, float, bool]
"""A message's number, its latency in seconds at one receiver, and whether it came only after the
loss had ended."""


def measure(effort: Effort, tell: Tell) -> Result:
    losses = effort.choose(LOSSES, (0.0, 0.2))
    lines = effort.choose(250, 150)
    patience_seconds = effort.choose(PATIENCE_SECONDS, PATIENCE_SECONDS_QUICK)
    seeds = effort.seeds(effort.choose(3, 1))
    congestion_controls = set()

    def converse(case: Case) -> list[Line]:
        with Wire(delay_seconds=DELAY_SECONDS, seed=case.seed) as wire:
            congestion_controls.add(wire.congestion_control)
            return _converse(case, wire, lines, patience_seconds)

    runs = run_in_turns(converse, losses, seeds, tell, "{condition:.0%} loss")
    shown = SERIES_LOSS if SERIES_LOSS in losses else losses[-1]
    first = {name: run for name, loss, run in reversed(runs) if loss == shown}
    settings = {
        "seeds": list(seeds),
        "lines": lines,
        "lines_per_second": LINES_PER_SECOND,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
        "members": MEMBERS,
        "loss_ends_after_seconds": patience_seconds,
        "congestion_control": sorted(congestion_controls),
    }
    series = (
        Series(name, shown, tuple((number, seconds * 1000) for number, seconds, _ in run))
        for name, run in reversed(first.items())
    )
    return Result.of(runs, analyse, series=tuple(series), settings=settings)


def _converse(case: Case, wire: Wire, lines: int, patience_seconds: float) -> list[Line]:
    # TCP's own limit on unacknowledged data would end a connection whose timer has doubled often.
    options = ("--user-timeout", "0") if case.transport.name == "tcp" else ()
    with Room(case.transport, MEMBERS, wire, options, options) as room:
        speaker, *listeners = room.clients
        wire.set(loss=case.condition)
        texts = [f"line {number}" for number in range(WARM_UP_LINES + lines)]
        said = speak(speaker, texts, LINES_PER_SECOND)
        repairs = case.transport.name != "plain"
        complete = _wait_for_all(room, patience_seconds if repairs else LONELY_SECONDS, len(said))
        healed_at = time.monotonic()
        if repairs and not complete:
            wire.set(loss=0.0)
            _wait_for_all(room, HEALED_SECONDS, len(said))
        heard = [listener.heard() for listener in listeners]
    return [
        (number, came_at - said[number], NEVER > came_at > healed_at)
        for by_text in heard
        for number, text in enumerate(texts)
        for came_at in by_text.get(text, [NEVER])[:1]
        if number >= WARM_UP_LINES
    ]


def _wait_for_all(room: Room, seconds: float, lines: int) -> bool:
    """Whether all listeners have all messages within the time."""
    until = time.monotonic() + seconds
    waited = [
        listener.wait_count("chat", lines, until - time.monotonic())
        for listener in room.clients[1:]
    ]
    return all(waited)


def analyse(run: Sequence[Line]) -> dict[str, float]:
    latencies = [seconds * 1000 for _, seconds, _ in run]
    return {
        "delivered": sum(ms < NEVER for ms in latencies) / len(run) * 100,
        "healed": sum(healed for *_, healed in run) / len(run) * 100,
        **{name: quantile(latencies, share) for name, share in SHARES.items()},
    }


def facts(result: Result, say: Voice) -> dict[str, object]:
    worst = result.conditions("p99")[-1]
    tcp = result.median("tcp", "p99", worst)
    return {
        "loss": say.percent(float(worst) * 100),
        "chat": say.milliseconds(result.median("chat", "p99", worst)),
        "tcp": say.part("tcp_in_time" if tcp < NEVER else "tcp_late", tcp=say.milliseconds(tcp)),
        "plain": f"{result.median('plain', 'delivered', worst):.0f}\u00a0%",
    }


EXPERIMENT = Experiment(
    name="loss",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("p99", "lines", "loss", logarithmic=True),
        Plot("delivered", "lines", "loss"),
        Plot("latency", "points", "number", logarithmic=True),
    ),
    words=words("loss", facts),
    headline=Headline("p99", "lower"),
)
