"""An address that changes.

Question: a member's address changes in the middle of a conversation, as when a laptop moves from
one network to another. How long until its messages arrive again and until it hears again, and
what is lost?

Method: the member that moves is at one end of a wire, the server and another member at the other.
The mover's end gets another address in place of its old one; the wire itself stays whole. In one
room both talk at an even pace, in another only the other one does. The experiment watches for as
long as a person would wait. It takes, in both directions, the moment when the first message typed
after the change is shown, and counts the later messages that never are. It also takes the moment
when the mover's program says that something is wrong.

Expect: a TCP connection is two addresses and two ports, so it cannot move: both kernels retransmit
until their timeout. Plain UDP knows its members by their addresses, and the new one is unknown to
it. udp-chat's session has a number of its own, and its server answers the first datagram from a
new address by asking for a proof. So a talking member is back after a few round trips, and a
listening one is deaf until its next heartbeat.

Command: python3 -m compare address-change
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass

from compare.experiments.experiment import Effort, Experiment, Headline, Plot, Result, Tell
from compare.experiments.participants import (
    Case,
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
from compare.wire.network import Wire
from udp_chat.protocol.delivery import NEVER

TALKING, LISTENING = CONDITIONS = ("talking", "listening")

DELAY_SECONDS = 0.005
"""One way: a campus."""

LINES_PER_SECOND = 5
BEFORE_SECONDS = 1.0
"""Of talk, before the change."""

LAST_SECONDS = 1.0
"""How long the last messages may take."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One room. Times are monotonic seconds, messages go by their text."""

    changed_at: float
    told_at: float
    """When the mover's program said that something is wrong; NEVER if it did not."""
    said_by_mover: Mapping[str, float]
    heard_by_other: Mapping[str, list[float]]
    said_by_other: Mapping[str, float]
    heard_by_mover: Mapping[str, list[float]]


def measure(effort: Effort, tell: Tell) -> Result:
    silence = effort.choose(Silence(), Silence(1, 3))
    watch_seconds = effort.choose(20.0, 4.5)
    chosen = cases(CONDITIONS, range(effort.choose(3, 1)))
    tell(f"{len(chosen)} rooms at once, for {watch_seconds:g} s")
    runs = run_at_once(lambda case: _observe(case, silence, watch_seconds), chosen)
    settings = {
        "heartbeat_seconds": silence.heartbeat_seconds,
        "timeout_seconds": silence.timeout_seconds,
        "watched_seconds": watch_seconds,
        "lines_per_second": LINES_PER_SECOND,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
    }
    return Result.of(runs, analyse, settings=settings, remarks=remarks("address-change"))


def _observe(case: Case, silence: Silence, watch_seconds: float) -> Observation:
    with (
        Wire(delay_seconds=DELAY_SECONDS) as wire,
        Room(case.transport, 0, wire, *silence.options(case.transport)) as room,
    ):
        other = room.join("other", end="b")
        mover = room.join("mover")
        said_by_mover: Mapping[str, float] = {}
        with contextlib.ExitStack() as talks:
            said_by_other = talks.enter_context(Talk(other, LINES_PER_SECOND)).said
            if case.condition == TALKING:
                said_by_mover = talks.enter_context(Talk(mover, LINES_PER_SECOND)).said
            pause(BEFORE_SECONDS)
            wire.change_address("a")
            changed_at = time.monotonic()
            pause(watch_seconds)
        pause(LAST_SECONDS)
        told_at = mover.noticed_at()
        heard_by_other, heard_by_mover = other.heard(), mover.heard()
        mover.kill()  # it might say goodbye to nobody
    return Observation(
        changed_at, told_at, said_by_mover, heard_by_other, said_by_other, heard_by_mover
    )


def analyse(seen: Observation) -> dict[str, float]:
    found = {"told": seen.told_at - seen.changed_at}
    for again, lost, said, heard in (
        ("speaks", "lost_up", seen.said_by_mover, seen.heard_by_other),
        ("hears", "lost_down", seen.said_by_other, seen.heard_by_mover),
    ):
        since = typed(said, seen.changed_at)
        if since:  # a listening mover says nothing
            found[again] = first_shown_at(since, heard) - seen.changed_at
            found[lost] = 100 - percent_shown(since, heard)
    return found


def facts(result: Result, say: Voice) -> dict[str, object]:
    again = [("speaks", TALKING), *(("hears", condition) for condition in CONDITIONS)]
    survivors = [
        chat for chat in say.chats if all(result.median(chat, *what) < NEVER for what in again)
    ]
    told = say.after(result.median("tcp", "told", TALKING))
    names = ", ".join(say.chats[chat] for chat in survivors)
    return {
        "speaks": say.each(say.after, "speaks", TALKING),
        "hears": say.each(say.after, "hears", LISTENING),
        "watched": say.duration(float(str(result.settings["watched_seconds"]))),
        "lost": f"{result.median('chat', 'lost_up', TALKING):.0f} %",
        "survivors": say.part("chat_alone", told=told)
        if survivors == ["chat"]
        else say.part("several" if survivors else "nobody", names=names),
    }


EXPERIMENT = Experiment(
    name="address-change",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("hears", "bars", "condition"),
        Plot("speaks", "bars", "condition"),
        Plot("told", "bars", "condition"),
    ),
    words=words("address-change", facts),
    headline=Headline("hears", "lower", TALKING),
)
