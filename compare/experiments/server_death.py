"""A server that dies and returns.

Question: the server is killed and started again, or cut off for a while. What do the clients
notice, do they come back, and what happens to the messages typed meanwhile?

Method: two members at one end of a wire, the server at the other. One member talks at an even pace
all the time. The server is killed (SIGKILL), and a new one is started on the same port some
seconds later; or the wire is cut for as long, or for longer than the chats' timeouts. The
experiment takes the moment when the speaker's program says that something is wrong, and the moment
when the other member shows a message typed after the return. It counts how many of the messages
typed meanwhile that member shows in the end. A message for a program that has ended counts as
typed and lost.

Expect: when a server is killed, the kernel tells TCP's clients at once. That is the end of their
connection: they do not connect again. TCP survives a cut that ends before the timeout, and
delivers all. Plain UDP survives a short cut without the messages said in it; a new server does not
know its clients. udp-chat joins again by itself, and repeats what the server had not accepted.

Command: python3 -m compare server-death
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
    Server,
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

KILLED, CUT, CUT_LONG = "killed", "cut", "cut_long"

DELAY_SECONDS = 0.001
"""One way: a LAN."""

LINES_PER_SECOND = 5
EDGE_SECONDS = 0.2
"""A message takes a moment from the keyboard to the wire. So one that was typed this close to the
beginning or the end of the outage does not count as typed meanwhile."""

BEFORE_SECONDS = 1.0
"""Of talk, before anything happens."""


@dataclass(frozen=True, slots=True)
class Plan:
    silence: Silence
    outages: Mapping[str, float]
    """How long the server is away, by condition."""
    watch_seconds: float
    """From the beginning of the outage."""


FULL_PLAN = Plan(Silence(), {KILLED: 5.0, CUT: 5.0, CUT_LONG: 18.0}, 26.0)
QUICK_PLAN = Plan(Silence(1, 3), {KILLED: 1.2, CUT: 1.2}, 5.0)


@dataclass(frozen=True, slots=True)
class Observation:
    """One room's outage. Times are monotonic seconds, messages go by their text."""

    began_at: float
    ended_at: float
    noticed_at: float
    """When the speaker's program reported it; NEVER if it did not."""
    said: Mapping[str, float]
    heard: Mapping[str, list[float]]


def measure(effort: Effort, tell: Tell) -> Result:
    plan = effort.choose(FULL_PLAN, QUICK_PLAN)
    chosen = cases(tuple(plan.outages), range(effort.choose(3, 1)))
    tell(f"{len(chosen)} rooms at once, for {plan.watch_seconds:g} s")
    runs = run_at_once(lambda case: _observe(case, plan), chosen)
    settings = {
        "heartbeat_seconds": plan.silence.heartbeat_seconds,
        "timeout_seconds": plan.silence.timeout_seconds,
        "outage_seconds": dict(plan.outages),
        "watched_seconds": plan.watch_seconds,
        "lines_per_second": LINES_PER_SECOND,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
    }
    return Result.of(runs, analyse, settings=settings, remarks=remarks("server-death"))


def _observe(case: Case, plan: Plan) -> Observation:
    options = plan.silence.options(case.transport)
    with (
        Wire(delay_seconds=DELAY_SECONDS) as wire,
        Room(case.transport, 2, wire, *options) as room,
        contextlib.ExitStack() as successor,
    ):
        speaker, listener = room.clients
        with Talk(speaker, LINES_PER_SECOND) as talk:
            pause(BEFORE_SECONDS)
            began_at = time.monotonic()
            if case.condition == KILLED:
                room.server.kill()
                pause(plan.outages[case.condition])
                successor.enter_context(Server(case.transport, wire, *options[0]))
            else:
                wire.cut()
                pause(plan.outages[case.condition])
                wire.restore()
            ended_at = time.monotonic()
            pause(began_at + plan.watch_seconds - ended_at)
        heard = listener.heard()
        noticed_at = speaker.noticed_at()
        for client in room.clients:
            client.kill()  # some of them would say goodbye to nobody
    return Observation(began_at, ended_at, noticed_at, talk.said, heard)


def analyse(seen: Observation) -> dict[str, float]:
    meanwhile = typed(seen.said, seen.began_at + EDGE_SECONDS, seen.ended_at - EDGE_SECONDS)
    afterwards = typed(seen.said, seen.ended_at)
    return {
        "noticed": seen.noticed_at - seen.began_at,
        "back": first_shown_at(afterwards, seen.heard) - seen.ended_at,
        "delivered": percent_shown(meanwhile, seen.heard),
    }


def facts(result: Result, say: Voice) -> dict[str, object]:
    fates = (
        say.part(
            "fate",
            what=say.names[str(condition)],
            back=say.each(say.after, "back", condition),
            shares=", ".join(
                f"{result.median(chat, 'delivered', condition):.0f}" for chat in say.chats
            ),
        )
        for condition in result.conditions("back")
    )
    survivors = [chat for chat in say.chats if result.median(chat, "back", KILLED) < NEVER]
    tcp_suffices = (
        CUT in result.conditions("delivered") and result.median("tcp", "delivered", CUT) == 100
    )
    return {
        "fates": "; ".join(fates),
        "noticed": say.after(result.median("tcp", "noticed", KILLED)),
        "survivors": say.part("chat_alone" if survivors == ["chat"] else "no_matter_who"),
        "tcp": say.part("tcp_suffices") if tcp_suffices else "",
    }


EXPERIMENT = Experiment(
    name="server-death",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("back", "bars", "condition"),
        Plot("delivered", "bars", "condition"),
        Plot("noticed", "bars", "condition"),
    ),
    words=words("server-death", facts),
    headline=Headline("back", "lower", KILLED),
)
