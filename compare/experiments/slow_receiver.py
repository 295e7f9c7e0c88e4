"""A receiver that does not read.

Question: one member's program stops reading while the room talks: what happens to the others,
and what to it when it goes on?

Method: three members on loopback; one of them says long lines at an even pace all the time. One
of those who listen is stopped (SIGSTOP: it neither reads nor answers, but its kernel does), for a
few seconds or for longer than the chats' timeouts, and continued (SIGCONT). Of the other one the
latency of lines is compared before and meanwhile, and the moment is taken when it sees the
stopped one leave. Of the stopped one is counted which of the lines typed meanwhile it shows in
the end, and how soon it shows one that was typed after it went on.

Expect: what is not read fills the receiver's kernel. TCP then tells the sender to wait (flow
control), so the server must queue, without ever waiting in the thread that serves the others;
after its limit or timeout it drops the slow one, which gets no more. Over UDP nobody is told: the
kernel drops what does not fit. Plain UDP never learns; this chat's client finds the gap and asks
for it, and joins again if it was dropped.

Command: python3 -m compare slow-receiver
"""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

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
    duration,
)
from compare.experiments.participants import (
    TRANSPORTS,
    Client,
    Room,
    Silence,
    Talk,
    Transport,
    at_once,
    pause,
)
from udp_chat.protocol.delivery import quantile

SILENCE = Silence()

SHORT_SECONDS, LONG_SECONDS, QUICK_SECONDS = 5.0, 20.0, 3.0
"""How long it is stopped: less than the chats' timeout, and more."""

NOTICEABLE_MS = 100
"""A person takes for immediate what comes sooner."""

LINES_PER_SECOND = 50
LINE_BYTES = 800
"""So that a few seconds of talk exceed what Linux keeps for a UDP socket (some 200 kB), and a
line still goes in one datagram of each chat."""

BEFORE_SECONDS = 1.5
"""Of talk, before it is stopped."""

START_SECONDS_MAX = 20.0
"""What it may take until all rooms have their members."""

LAST_SECONDS = 1.0
"""How long the last lines may take to the one that was never stopped."""

AFTER_SECONDS_MIN = 3.0
AFTER_SHARE = 0.5
"""How long it is watched when it goes on, in seconds and as a share of the stop: it has a backlog
to catch up with."""


@dataclass(frozen=True, slots=True)
class Stop:
    """When one was stopped and continued, and the time around it (monotonic seconds)."""

    began_at: float
    stopped_at: float
    continued_at: float
    ended_at: float
    dropped_at: float
    """When the other one saw it leave; NEVER if it did not."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One room: what was said and heard in it, by text, and its stops of a length."""

    transport: str
    stop_seconds: float
    stops: Sequence[Stop]
    said: Mapping[str, float]
    heard_by_other: Mapping[str, list[float]]
    heard_by_stopped: Mapping[str, list[float]]


def measure(effort: Effort, tell: Tell) -> Result:
    # The short ones are repeated while the long one lasts.
    long = (LONG_SECONDS, 1)  # in three rooms
    plan = effort.choose(((SHORT_SECONDS, 3), long, long, long), ((QUICK_SECONDS, 1),))
    cases = [(transport, *stops) for stops in plan for transport in TRANSPORTS]
    longest = max(seconds * count for seconds, count in plan)
    tell(f"{len(cases)} rooms at once, one member of each stopped for {longest:g} s in all")
    # Programs that start would disturb those that talk already.
    all_in = threading.Barrier(len(cases), timeout=START_SECONDS_MAX)
    observations = at_once(lambda case: _observe(*case, all_in), cases)
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
    remarks = (
        "A stopped program's kernel goes on acknowledging, so TCP's timeout (TCP_USER_TIMEOUT)"
        " begins only when the receive window is full; over UDP the silence begins at once.",
        "Woken after a stop beyond its timeout, plain UDP's client reads what its kernel kept for"
        " it, or takes the silence for the server's and ends: whichever of its threads runs first.",
    )
    return Result(tuple(analyse(observations)), settings=settings, remarks=remarks)


def _receive_buffer_bytes() -> int:
    """What the kernel takes for a UDP socket that asks for nothing, its bookkeeping included."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def _observe(
    transport: Transport, stop_seconds: float, count: int, all_in: threading.Barrier
) -> Observation:
    with Room(transport, 3, None, *SILENCE.options(transport)) as room:
        speaker, other, stopped = room.clients
        all_in.wait()
        with Talk(speaker, LINES_PER_SECOND, LINE_BYTES) as talk:
            stops = [_stop(stopped, other, stop_seconds) for _ in range(count)]
        other.wait_count("chat", len(talk.said), LAST_SECONDS)
        return Observation(
            transport.name, stop_seconds, stops, talk.said, other.heard(), stopped.heard()
        )


def _stop(stopped: Client, other: Client, seconds: float) -> Stop:
    """Stops a client for so long, while the others talk."""
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
    dropped_at = left.at if left else NEVER
    return Stop(began_at, stopped_at, continued_at, time.monotonic(), dropped_at)


def analyse(observations: Iterable[Observation]) -> list[Figure]:
    """A figure for each chat, length of stop and quantity, a value for each stop."""
    values: dict[tuple[str, str, float], list[float]] = {}
    for seen in observations:
        heard = seen.heard_by_stopped
        for stop in seen.stops:
            before = _said(seen, stop.began_at, stop.stopped_at)
            meanwhile = _said(seen, stop.stopped_at, stop.continued_at)
            afterwards = _said(seen, stop.continued_at, stop.ended_at)
            current_at = min(
                (heard[text][0] for text in afterwards if text in heard), default=NEVER
            )
            for quantity, value in (
                ("before", _p99_ms(before, seen)),
                ("meanwhile", _p99_ms(meanwhile, seen)),
                ("dropped", stop.dropped_at - stop.stopped_at),
                ("delivered", _share(meanwhile, heard)),
                ("current", current_at - stop.continued_at),
            ):
                key = (seen.transport, quantity, seen.stop_seconds)
                values.setdefault(key, []).append(value)
    return [Figure(*key, tuple(found)) for key, found in values.items()]


def _said(seen: Observation, first_at: float, last_at: float) -> list[str]:
    """What was typed within this time."""
    return [text for text, at in seen.said.items() if first_at <= at < last_at]


def _p99_ms(lines: Iterable[str], seen: Observation) -> float:
    """The latency of these lines at the other member."""
    heard = seen.heard_by_other
    return 1000 * quantile(
        (heard[text][0] - seen.said[text] if text in heard else NEVER for text in lines), 0.99
    )


def _share(lines: Sequence[str], heard: Mapping[str, list[float]]) -> float:
    return sum(text in heard for text in lines) / len(lines) * 100


# --- what is said of it ----------------------------------------------------------------------

_CHATS = ("tcp", "plain", "chat")


def _worst_meanwhile(result: Result) -> float:
    """The others' p99 latency while one was stopped, of whatever chat and stop."""
    return max(
        result.median(name, "meanwhile", stop)
        for name in _CHATS
        for stop in result.conditions("meanwhile")
    )


def _soonest(result: Result, stop: Condition) -> str:
    """Who showed new lines first, among those that missed none."""
    complete = [name for name in _CHATS if result.median(name, "delivered", stop) == 100]
    return min(complete, key=lambda name: result.median(name, "current", stop), default="")


def _was_dropped(result: Result, stop: Condition) -> bool:
    return min(result.median(name, "dropped", stop) for name in ("tcp", "chat")) < NEVER


def _explain_en(result: Result) -> list[str]:
    stops = result.conditions("delivered")
    found = []
    for stop in stops:
        tcp, plain, chat = (
            f"{result.median(name, 'delivered', stop):.0f} %"
            f" (new ones: {duration(result.median(name, 'current', stop))})"
            for name in _CHATS
        )
        found.append(f"after {stop:g} s TCP {tcp}, plain UDP {plain}, this chat {chat}")
    worst = _worst_meanwhile(result)
    others = "nobody else noticed" if worst < NOTICEABLE_MS else "they felt it too"
    best = _soonest(result, stops[0])
    meaning = {
        "tcp": "For a short pause TCP is best and takes no thought",
        "chat": "For a short pause this chat was best here",
        "plain": "The short pause was too short here for plain UDP to lose anything",
    }.get(best, "Even for a short pause none was good here")
    dropped = (
        "; a long one ends in being dropped, as it must, and then it counts whether the program"
        " comes back and knows what it missed"
        if _was_dropped(result, stops[-1])
        else ""
    )
    return [
        "Of the lines typed while it was stopped the member showed: "
        + "; ".join(found)
        + f"; the worst p99 latency of the others meanwhile: {amount(worst, 'ms')} ({others}).",
        "TCP's receiver advertises what room it has left, so a sender waits and nothing is lost,"
        " but what waits must wait somewhere, in the server, and not for ever; a UDP socket whose"
        " buffer is full drops what comes and tells nobody, so that losses have to be numbered,"
        " found and repaired by the program.",
        f"{meaning}{dropped}; with either protocol a server must never wait for one member in the"
        " thread that serves all.",
    ]


def _explain_ru(result: Result) -> list[str]:
    stops = result.conditions("delivered")
    found = []
    for stop in stops:
        tcp, plain, chat = (
            f"{result.median(name, 'delivered', stop):.0f} %"
            f" (новые: {duration(result.median(name, 'current', stop), 'ru')})"
            for name in _CHATS
        )
        seconds = duration(float(stop), "ru")
        found.append(f"после {seconds} TCP — {tcp}, простой UDP — {plain}, этот чат — {chat}")
    worst = _worst_meanwhile(result)
    others = (
        "больше никто ничего не заметил" if worst < NOTICEABLE_MS else "это почувствовали и они"
    )
    best = _soonest(result, stops[0])
    meaning = {
        "tcp": "Для короткой паузы TCP лучше всего и не требует забот",
        "chat": "Для короткой паузы лучшим здесь оказался этот чат",
        "plain": "Короткая пауза была здесь слишком коротка, чтобы простой UDP что-то потерял",
    }.get(best, "Даже короткой паузы никто здесь не выдержал без потерь")
    dropped = (
        "; долгая кончается исключением из комнаты, иначе нельзя, и тогда важно, вернётся ли"
        " программа сама и узнает ли, что пропустила"
        if _was_dropped(result, stops[-1])
        else ""
    )
    return [
        "Из строк, набранных за время остановки, участник показал: "
        + "; ".join(found)
        + f"; худшая задержка p99 у остальных тем временем: {amount(worst, 'мс', 'ru')}"
        f" ({others}).",
        "Получатель TCP сообщает, сколько у него ещё места, поэтому отправитель ждёт и ничего не"
        " теряется, но ждать данные должны где-то — на сервере, и не вечно; UDP-сокет с"
        " заполненным буфером отбрасывает новое и никому не говорит, так что нумеровать строки,"
        " находить и восполнять потери должна сама программа.",
        f"{meaning}{dropped}; при любом протоколе сервер не должен ждать одного участника в"
        " потоке, который обслуживает всех.",
    ]


EXPERIMENT = Experiment(
    name="slow-receiver",
    needs_wire=False,
    measure=measure,
    plots=(
        Plot("delivered", "bars", "stop"),
        Plot("current", "bars", "stop", logarithmic=True),
        Plot("meanwhile", "bars", "stop"),
    ),
    words={
        "en": Words(
            title="A receiver that does not read",
            question="One program stops reading: what happens to the others, and to it?",
            names={
                "before": "p99 latency at the others before, ms",
                "meanwhile": "p99 latency at the others meanwhile, ms",
                "dropped": "from the stop to being dropped from the room, s",
                "delivered": "of the lines typed meanwhile, shown in the end, %",
                "current": "from going on to the first new line shown, s",
                "stop": "stopped for, s",
            },
            explain=_explain_en,
        ),
        "ru": Words(
            title="Получатель, который не читает",
            question="Одна программа перестаёт читать: что будет с остальными и с ней?",
            names={
                "before": "задержка p99 у остальных до остановки, мс",
                "meanwhile": "задержка p99 у остальных во время остановки, мс",
                "dropped": "от остановки до исключения из комнаты, с",
                "delivered": "показано в итоге строк, набранных тем временем, %",
                "current": "от продолжения до первой новой строки, с",
                "stop": "длительность остановки, с",
            },
            explain=_explain_ru,
        ),
    },
)
