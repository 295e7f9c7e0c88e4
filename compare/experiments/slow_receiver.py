"""A receiver that does not read.

Question: one member's program stops reading while the room talks. What happens to the others, and
what to it when it continues?

Method: three members on loopback; one of them says long messages at an even pace all the time. One
of the listeners is stopped (SIGSTOP: it neither reads nor answers, but its kernel does), for a few
seconds or for longer than the chats' timeouts, and continued (SIGCONT). The experiment compares
the other listener's latency before and meanwhile, and takes the moment when that one sees the
stopped one leave. It counts which of the messages typed meanwhile the stopped member shows in the
end, and how soon it shows one that was typed after it had continued.

Expect: unread data fills the receiver's kernel. TCP then tells the sender to wait (flow control).
So the server must queue, and must never wait in the thread that serves the others. After its limit
or timeout it drops the slow member, which gets nothing more. Over UDP nobody is told: the kernel
drops what does not fit. Plain UDP never learns of it. udp-chat's client finds the gap and asks for
it, and joins again if it was dropped.

Command: python3 -m compare slow-receiver
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import partial

from compare.experiments.experiment import Effort, Experiment, Headline, Plot, Result, Tell
from compare.experiments.participants import (
    Case,
    Client,
    Room,
    Silence,
    Talk,
    cases,
    first_shown_at,
    pause,
    percent_shown,
    run_at_once,
    typed,
)
from compare.experiments.voice import Voice, remarks, words
from udp_chat.protocol.delivery import NEVER, quantile

SILENCE = Silence()

SHORT_SECONDS, LONG_SECONDS, QUICK_SECONDS = 5.0, 20.0, 3.0
"""How long the member is stopped: less than the chats' timeout, and more."""

NOTICEABLE_MS = 100
"""To a person anything faster is immediate."""

LINES_PER_SECOND = 50
LINE_BYTES = 800
"""A few seconds of talk then exceed what Linux keeps for a UDP socket (some 200 kB), and a message
still fits one datagram of each chat."""

BEFORE_SECONDS = 1.5
"""Of talk, before it is stopped."""

START_SECONDS_MAX = 20.0
"""How long all rooms may take to get their members."""

LAST_SECONDS = 1.0
"""How long the last messages may take to the member that was never stopped."""

AFTER_SECONDS_MIN = 3.0
AFTER_SHARE = 0.5
"""How long the member is watched after the stop, in seconds and as a share of the stop: it has a
backlog to catch up with."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One stop of a member, and what was said and heard in its room, by text. Monotonic seconds."""

    began_at: float
    stopped_at: float
    continued_at: float
    ended_at: float
    dropped_at: float
    """When the other member saw the stopped one leave; NEVER if it did not."""
    said: Mapping[str, float]
    heard_by_other: Mapping[str, list[float]]
    heard_by_stopped: Mapping[str, list[float]]


def measure(effort: Effort, tell: Tell) -> Result:
    # The short ones are repeated while the long one lasts, which takes three rooms.
    long = (LONG_SECONDS, 1)
    plan = effort.choose(((SHORT_SECONDS, 3), long, long, long), ((QUICK_SECONDS, 1),))
    chosen = [case for seconds, count in plan for case in cases([seconds], [count])]
    longest = max(seconds * count for seconds, count in plan)
    tell(f"{len(chosen)} rooms at once, one member of each stopped for {longest:g} s in all")
    # Programs that start would disturb those that talk already.
    all_in = threading.Barrier(len(chosen), timeout=START_SECONDS_MAX)
    rooms = run_at_once(lambda case: _observe(case, all_in), chosen)
    settings = {
        "stop_seconds_and_count": plan,
        "lines_per_second": LINES_PER_SECOND,
        "line_bytes": LINE_BYTES,
        "heartbeat_seconds": SILENCE.heartbeat_seconds,
        "timeout_seconds": SILENCE.timeout_seconds,
        "udp_receive_buffer_bytes": _receive_buffer_bytes(),
        "seconds_before": BEFORE_SECONDS,
        "seconds_after_min": AFTER_SECONDS_MIN,
        "after_as_share_of_stop": AFTER_SHARE,
    }
    runs = [(name, seconds, stop) for name, seconds, stops in rooms for stop in stops]
    return Result.of(runs, analyse, settings=settings, remarks=remarks("slow-receiver"))


def _receive_buffer_bytes() -> int:
    """What the kernel gives a UDP socket that asks for nothing, its bookkeeping included."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def _observe(case: Case, all_in: threading.Barrier) -> list[Observation]:
    """One observation for each stop. The case's seed is their number."""
    with Room(case.transport, 3, None, *SILENCE.options(case.transport)) as room:
        speaker, other, stopped = room.clients
        all_in.wait()
        with Talk(speaker, LINES_PER_SECOND, LINE_BYTES) as talk:
            stops = [_stop(stopped, other, case.condition) for _ in range(case.seed)]
        other.wait_count("chat", len(talk.said), LAST_SECONDS)
        return [Observation(*times, talk.said, other.heard(), stopped.heard()) for times in stops]


def _stop(
    stopped: Client, other: Client, seconds: float
) -> tuple[float, float, float, float, float]:
    """Stops a client for so long, while the others talk. Returns an Observation's five times."""
    began_at = time.monotonic()
    pause(BEFORE_SECONDS)
    seen = len(other.arrivals)
    stopped.signal(signal.SIGSTOP)
    stopped_at = time.monotonic()
    pause(seconds)
    stopped.signal(signal.SIGCONT)
    continued_at = time.monotonic()
    pause(max(AFTER_SECONDS_MIN, AFTER_SHARE * seconds))
    left = other.find("leave", start=seen, name=stopped.name)
    return began_at, stopped_at, continued_at, time.monotonic(), left.at if left else NEVER


def analyse(seen: Observation) -> dict[str, float]:
    meanwhile = typed(seen.said, seen.stopped_at, seen.continued_at)
    afterwards = typed(seen.said, seen.continued_at, seen.ended_at)
    return {
        "before": _p99_ms(typed(seen.said, seen.began_at, seen.stopped_at), seen),
        "meanwhile": _p99_ms(meanwhile, seen),
        "dropped": seen.dropped_at - seen.stopped_at,
        "delivered": percent_shown(meanwhile, seen.heard_by_stopped),
        "current": first_shown_at(afterwards, seen.heard_by_stopped) - seen.continued_at,
    }


def _p99_ms(lines: Iterable[str], seen: Observation) -> float:
    """The latency of these messages at the other member."""
    heard = seen.heard_by_other
    return 1000 * quantile(
        (heard[text][0] - seen.said[text] if text in heard else NEVER for text in lines), 0.99
    )


def facts(result: Result, say: Voice) -> dict[str, object]:
    stops = result.conditions("delivered")

    def fate(stop: float | str, chat: str) -> str:
        return say.part(
            "fate",
            delivered=f"{result.median(chat, 'delivered', stop):.0f}",
            current=say.duration(result.median(chat, "current", stop)),
        )

    fates = (
        say.part(
            "stop",
            seconds=say.duration(float(stop)),
            fates=say.listed(partial(fate, stop), separator=", "),
        )
        for stop in stops
    )
    worst = max(
        result.median(chat, "meanwhile", stop)
        for chat in say.chats
        for stop in result.conditions("meanwhile")
    )
    # Of those that missed nothing in the short stop, the one that showed new messages first.
    complete = [chat for chat in say.chats if result.median(chat, "delivered", stops[0]) == 100]
    best = min(complete, key=lambda c: result.median(c, "current", stops[0]), default="nobody")
    was_dropped = min(result.median(c, "dropped", stops[-1]) for c in ("tcp", "chat")) < NEVER
    return {
        "fates": "; ".join(fates),
        "worst": say.milliseconds(worst),
        "others": say.part("unnoticed" if worst < NOTICEABLE_MS else "noticed"),
        "best": say.part(f"best_{best}"),
        "dropped": say.part("dropped") if was_dropped else "",
    }


EXPERIMENT = Experiment(
    name="slow-receiver",
    needs_wire=False,
    measure=measure,
    plots=(
        Plot("delivered", "bars", "stop"),
        Plot("current", "bars", "stop", logarithmic=True),
        Plot("meanwhile", "bars", "stop"),
    ),
    words=words("slow-receiver", facts),
    headline=Headline("delivered", "higher"),
)
