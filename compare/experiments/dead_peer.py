"""A peer that vanishes.

Question: a member's cable is pulled, or its program killed: when do the others learn of it?

Method: the victim is at one end of a wire, the server and a watching member are at the other. The
wire is cut, which nobody is told: once while the room is idle, once while the watcher keeps
talking. Or the victim is killed (SIGKILL) on a good wire. The experiment measures the time until
the watcher's program says that the victim has left, and after a cut the time until the victim's
program says that the server is gone. Each repetition strikes at another point of the heartbeat's
period. The talking room is also tried with TCP on keepalive alone, without TCP_USER_TIMEOUT, as is
usual.

Expect: a silent peer shows only by its answers that it is alive, so all take about the timeout
they were given. While data waits for its acknowledgement TCP sends no keepalive probes: without
TCP_USER_TIMEOUT a talking room keeps its dead for some 15 minutes. When a program is killed, the
kernel closes its TCP connection at once. Of a UDP socket it says nothing.

Command: python3 -m compare dead-peer
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass

from compare.experiments.experiment import Effort, Experiment, Headline, Plot, Result, Tell
from compare.experiments.participants import TCP, Case, Client, Room, Silence, cases, run_at_once
from compare.experiments.voice import Voice, remarks, words
from compare.wire.network import Wire
from udp_chat.protocol.delivery import NEVER

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
"""Between two messages of the talking watcher."""

SETTLE_SECONDS = 0.5
"""After the last one has joined, before the heartbeat's period begins to count."""

GONE = {"tcp": "left", "tcp_keepalive": "left", "plain": "left", "chat": "reconnecting"}
"""The event by which a client tells its person that the server is gone."""


DEFAULT_SILENCE, WATCH_SECONDS = Silence(), 24.0
QUICK_SILENCE, QUICK_WATCH_SECONDS = Silence(1, 2), 5.2
"""Longer than the timeout and a heartbeat, and longer than udp-chat's client takes to say that it
is reconnecting, which no option sets."""


@dataclass(frozen=True, slots=True)
class Observation:
    """Seconds from the blow until it was noticed."""

    others: float
    victim: float | None
    """None: a killed program notices nothing."""


def measure(effort: Effort, tell: Tell) -> Result:
    silence = effort.choose(DEFAULT_SILENCE, QUICK_SILENCE)
    watch_seconds = effort.choose(WATCH_SECONDS, QUICK_WATCH_SECONDS)
    repetitions = range(effort.choose(3, 1))
    phases = [(repetition + 0.5) / len(repetitions) for repetition in repetitions]
    chosen = cases(CONDITIONS, repetitions)
    chosen += cases([TALKING], repetitions, [KEEPALIVE_ALONE])  # where alone it differs
    tell(f"{len(chosen)} rooms at once, for {watch_seconds:g} s")
    runs = run_at_once(
        lambda case: _observe(case, phases[case.seed], silence, watch_seconds), chosen
    )
    settings = {
        "heartbeat_seconds": silence.heartbeat_seconds,
        "timeout_seconds": silence.timeout_seconds,
        "tcp_keepalive_idle_and_interval_seconds": silence.heartbeat_seconds,
        "watched_seconds": watch_seconds,
        "seconds_between_lines": LINE_SECONDS,
        "phases_of_heartbeat": phases,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
    }
    return Result.of(runs, analyse, settings=settings, remarks=remarks("dead-peer"))


def _observe(case: Case, phase: float, silence: Silence, watch_seconds: float) -> Observation:
    """`phase`: when the blow falls, as a share of the heartbeat's period."""
    transport = case.transport
    with (
        Wire(delay_seconds=DELAY_SECONDS) as wire,
        Room(transport, 0, wire, *silence.options(transport)) as room,
    ):
        watcher = room.join("watcher", end="b")
        victim = room.join("victim")
        watcher.wait("join", name="victim")
        talks = case.condition == TALKING
        pause = SETTLE_SECONDS + phase * silence.heartbeat_seconds
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
        victim.kill()  # nobody would hear its goodbye
    return Observation(
        others.at - at if others else NEVER,
        (itself.at - at if itself else NEVER) if kind else None,
    )


def _until_gone(watcher: Client, victim: Client, kind: str, talks: bool, seconds: float) -> None:
    """Waits until each side misses the other, for so long at most. The watcher may talk."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        if talks:
            watcher.say("still here")
        pause = min(left, LINE_SECONDS)
        if watcher.find("leave", pause, name="victim") and (not kind or victim.find(kind, pause)):
            return


def analyse(seen: Observation) -> dict[str, float]:
    """Seconds for each side that can notice."""
    victim = {} if seen.victim is None else {"victim": seen.victim}
    return {"others": seen.others, **victim}


def facts(result: Result, say: Voice) -> dict[str, object]:
    killed = {chat: result.median(chat, "others", KILLED) for chat in say.chats}
    is_first = killed["tcp"] < min(killed["plain"], killed["chat"])
    return {
        **{what: say.each(say.duration, "others", what) for what in CONDITIONS},
        "timeout": say.duration(float(str(result.settings["timeout_seconds"]))),
        "watched": say.duration(float(str(result.settings["watched_seconds"]))),
        "alone": say.duration(result.median(KEEPALIVE_ALONE.name, "others", TALKING)),
        "killed_told": say.part("tcp_is_first" if is_first else "tcp_is_not_first"),
    }


EXPERIMENT = Experiment(
    name="dead-peer",
    needs_wire=True,
    measure=measure,
    plots=(Plot("others", "bars", "condition"), Plot("victim", "bars", "condition")),
    words=words("dead-peer", facts),
    headline=Headline("others", "lower", KILLED),
)
