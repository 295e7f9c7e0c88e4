"""A peer that vanishes.

Question: a member's cable is pulled, or its program killed: when do the others learn of it?

Method: the victim is at one end of a wire, the server and a member who watches are at the other.
The wire is cut, which nobody is told: once while the room is idle, once while the watcher goes on
talking. Or the victim is killed (SIGKILL) on a healthy wire. Counted is the time until the
watcher's program says that the victim is gone, and after a cut the time until the victim's says
that the server is. Each repetition strikes at another point of the heartbeat's period. The
talking room is also tried with TCP on keepalive alone, without TCP_USER_TIMEOUT, as is usual.

Expect: whoever sends nothing is only known to be alive by what it answers, so all take about the
timeout they were given. While data waits for its acknowledgement TCP sends no keepalive probes:
without TCP_USER_TIMEOUT a talking room keeps its dead for some 15 minutes. Of a killed program
the kernel closes the TCP connection at once; of a UDP socket it says nothing.

Command: python3 -m compare dead-peer
"""

from __future__ import annotations

import dataclasses
import itertools
import time
from collections.abc import Iterable
from dataclasses import dataclass

from compare.experiments.experiment import (
    NEVER,
    Effort,
    Experiment,
    Figure,
    Plot,
    Result,
    Tell,
    Words,
    duration,
)
from compare.experiments.participants import (
    TCP,
    TRANSPORTS,
    Client,
    Room,
    Silence,
    Transport,
    at_once,
)
from compare.wire.network import Wire

IDLE, TALKING, KILLED = CONDITIONS = ("idle", "talking", "killed")

KEEPALIVE_ALONE = dataclasses.replace(
    TCP,
    name="tcp_keepalive",
    title="TCP, keepalive alone",
    server=(*TCP.server, "--user-timeout", "0"),
    client=(*TCP.client, "--user-timeout", "0"),
)

DELAY_SECONDS = 0.001
"""One way: a LAN."""

LINE_SECONDS = 0.5
"""Between two lines of who talks."""

SETTLE_SECONDS = 0.5
"""After the last has joined, before the heartbeat's period is counted."""

GONE = {"tcp": "left", "tcp_keepalive": "left", "plain": "left", "chat": "reconnecting"}
"""The event by which a client tells its person that the server is gone."""


DEFAULT_SILENCE, WATCH_SECONDS = Silence(), 24.0
QUICK_SILENCE, QUICK_WATCH_SECONDS = Silence(1, 2), 5.2
"""Longer than the timeout and a heartbeat; and than this chat's client takes to say that it is
reconnecting, which is not set by options."""


@dataclass(frozen=True, slots=True)
class Case:
    """One room and what happens to its victim."""

    transport: Transport
    condition: str
    phase: float
    """When, as a share of the heartbeat's period."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Seconds from the blow until it was noticed."""

    transport: str
    condition: str
    others: float
    victim: float | None
    """None: a killed one notices nothing."""


def measure(effort: Effort, tell: Tell) -> Result:
    silence = effort.choose(DEFAULT_SILENCE, QUICK_SILENCE)
    watch_seconds = effort.choose(WATCH_SECONDS, QUICK_WATCH_SECONDS)
    repetitions = effort.choose(3, 1)
    cases = [
        Case(transport, condition, (repetition + 0.5) / repetitions)
        for transport, condition in (
            *itertools.product(TRANSPORTS, CONDITIONS),
            (KEEPALIVE_ALONE, TALKING),  # where alone it makes a difference
        )
        for repetition in range(repetitions)
    ]
    tell(f"{len(cases)} rooms at once, for {watch_seconds:g} s")
    observations = at_once(lambda case: _observe(case, silence, watch_seconds), cases)
    settings = {
        "heartbeat_seconds": silence.heartbeat_seconds,
        "timeout_seconds": silence.timeout_seconds,
        "tcp_keepalive_idle_and_interval_seconds": silence.heartbeat_seconds,
        "watched_seconds": watch_seconds,
        "seconds_between_lines": LINE_SECONDS,
        "phases_of_heartbeat": sorted({case.phase for case in cases}),
        "one_way_delay_ms": DELAY_SECONDS * 1000,
    }
    remarks = (
        "The victim's own side of udp-chat says that it reconnects after 4 s without an answer,"
        " whatever the server's timeout is, and goes on trying; the other two give up.",
        "TCP on keepalive alone is given up in the end: after net.ipv4.tcp_retries2"
        " retransmissions, some 15 minutes.",
    )
    return Result(tuple(analyse(observations)), settings=settings, remarks=remarks)


def _observe(case: Case, silence: Silence, watch_seconds: float) -> Observation:
    transport = case.transport
    with (
        Wire(delay_seconds=DELAY_SECONDS) as wire,
        Room(transport, 0, wire, *silence.options(transport)) as room,
    ):
        watcher = room.join("watcher", end="b")
        victim = room.join("victim")
        watcher.wait("join", name="victim")
        talks = case.condition == TALKING
        pause = SETTLE_SECONDS + case.phase * silence.heartbeat_seconds
        _until_gone(watcher, victim, "", talks, pause)
        if case.condition == KILLED:
            at = time.monotonic()
            victim.kill()
            kind = ""
        else:
            wire.cut()
            at = time.monotonic()
            kind = GONE[transport.name]
        _until_gone(watcher, victim, kind, talks, watch_seconds)
        others = watcher.find("leave", name="victim")
        itself = victim.find(kind) if kind else None
        victim.kill()  # it could say goodbye to nobody
    return Observation(
        transport.name,
        case.condition,
        others.at - at if others else NEVER,
        (itself.at - at if itself else NEVER) if kind else None,
    )


def _until_gone(watcher: Client, victim: Client, kind: str, talks: bool, seconds: float) -> None:
    """Lets the room be, or talk, until each side misses the other, for so long at most."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if talks:
            watcher.say("still here")
        pause = min(left, LINE_SECONDS)
        if watcher.find("leave", pause, name="victim") and (not kind or victim.find(kind, pause)):
            return


def analyse(observations: Iterable[Observation]) -> list[Figure]:
    """A figure for each chat, condition and side, a value for each repetition."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for seen in observations:
        values.setdefault((seen.transport, "others", seen.condition), []).append(seen.others)
        if seen.victim is not None:
            values.setdefault((seen.transport, "victim", seen.condition), []).append(seen.victim)
    return [Figure(*key, tuple(seconds)) for key, seconds in values.items()]


# --- what is said of it ----------------------------------------------------------------------

_CHATS = {
    "en": {"tcp": "TCP", "plain": "plain UDP", "chat": "this chat"},
    "ru": {"tcp": "TCP", "plain": "простой UDP", "chat": "этот чат"},
}


def _times(result: Result, condition: str, language: str) -> str:
    """How long each chat took."""
    between = {"en": " ", "ru": " — "}[language]
    return ", ".join(
        name + between + duration(result.median(key, "others", condition), language)
        for key, name in _CHATS[language].items()
    )


def _tcp_hears_of_killed_first(result: Result) -> bool:
    killed = {key: result.median(key, "others", KILLED) for key in _CHATS["en"]}
    return killed["tcp"] < min(killed["plain"], killed["chat"])


def _explain_en(result: Result) -> list[str]:
    timeout, watched = (result.settings[key] for key in ("timeout_seconds", "watched_seconds"))
    alone = duration(result.median(KEEPALIVE_ALONE.name, "others", TALKING))
    killed = (
        "Of a killed program TCP tells sooner than any timeout, and UDP has nothing like it"
        if _tcp_hears_of_killed_first(result)
        else "Here TCP did not tell of a killed program sooner than the others' timeouts"
    )
    return [
        f"With a timeout of {timeout} s the others learn of a cut link in an idle room after:"
        f" {_times(result, IDLE, 'en')}; in a talking room: {_times(result, TALKING, 'en')} (TCP"
        f" on keepalive alone: {alone}, watched for {watched:g} s); of a killed program:"
        f" {_times(result, KILLED, 'en')}.",
        "A cut link is silent for every protocol, so only a timeout tells, and TCP needs two:"
        " keepalive probes an idle connection only, while data that waits for its acknowledgement"
        " is bounded by TCP_USER_TIMEOUT or else retransmitted for some 15 minutes; but when a"
        " program dies its kernel closes its TCP connections at once, whereas a UDP socket just"
        " disappears.",
        f"{killed}; against a dead link a program needs a heartbeat of its own over UDP, and over"
        " TCP both options set, for the defaults leave the room with a ghost.",
    ]


def _explain_ru(result: Result) -> list[str]:
    timeout, watched = (result.settings[key] for key in ("timeout_seconds", "watched_seconds"))
    alone = duration(result.median(KEEPALIVE_ALONE.name, "others", TALKING), "ru")
    waited = duration(float(str(watched)), "ru")
    killed = (
        "О гибели программы TCP сообщает раньше любого тайм-аута, а в UDP ничего подобного нет"
        if _tcp_hears_of_killed_first(result)
        else "О гибели программы TCP сообщил здесь не раньше, чем сработали чужие тайм-ауты"
    )
    return [
        f"При тайм-ауте {timeout} с остальные узнают об обрыве линии в молчащей комнате через:"
        f" {_times(result, IDLE, 'ru')}; в говорящей: {_times(result, TALKING, 'ru')} (TCP с"
        f" одним keepalive: {alone}, наблюдали {waited}); о гибели программы:"
        f" {_times(result, KILLED, 'ru')}.",
        "Оборванная линия молчит при любом протоколе, так что помогает только тайм-аут, а TCP их"
        " нужно два: keepalive проверяет лишь простаивающее соединение, а ожидание подтверждения"
        " отправленных данных ограничивает TCP_USER_TIMEOUT, иначе они повторяются минут"
        " пятнадцать; зато когда гибнет программа, ядро сразу закрывает её TCP-соединения, а"
        " UDP-сокет просто исчезает.",
        f"{killed}; от мёртвой линии программе на UDP нужны свои сигналы жизни, а программе на"
        " TCP — обе настройки: с умолчаниями в комнате остаётся призрак.",
    ]


EXPERIMENT = Experiment(
    name="dead-peer",
    needs_wire=True,
    measure=measure,
    plots=(Plot("others", "bars", "condition"), Plot("victim", "bars", "condition")),
    words={
        "en": Words(
            title="A peer that vanishes",
            question="A member's link is cut, or its program killed: when do the others learn it?",
            names={
                "others": "until the others learn of it, s",
                "victim": "until the one cut off learns of it, s",
                "condition": "what happened",
                IDLE: "link cut, room idle",
                TALKING: "link cut, room talking",
                KILLED: "program killed",
                KEEPALIVE_ALONE.name: KEEPALIVE_ALONE.title,
            },
            explain=_explain_en,
        ),
        "ru": Words(
            title="Исчезнувший собеседник",
            question="Линия участника оборвана или его программа убита: когда это заметят?",
            names={
                "others": "пока узнают остальные, с",
                "victim": "пока узнает отрезанный, с",
                "condition": "что случилось",
                IDLE: "обрыв, комната молчит",
                TALKING: "обрыв, комната говорит",
                KILLED: "программа убита",
                KEEPALIVE_ALONE.name: "TCP с одним keepalive",
            },
            explain=_explain_ru,
        ),
    },
)
