"""Cost on the wire.

Question: how many packets and bytes does a conversation take, and how many does silence take?

Method: ten members at one end of a wire with 1 ms each way, the server at the other. One member
says messages of 40 bytes at 2, 20 and 200 a second. The wire counts whole IP packets in both
directions until a while after the last message: messages, acknowledgements, and the heartbeats
that happen in that time. Divided by the messages delivered (each to ten members, its speaker too)
that is the cost of a delivered message. Joining is not counted. Before all that, the same is
counted while nobody says a word. All heartbeats keep their defaults.

Expect: plain UDP takes 1.1 packets for each delivered message: ten from the server and one to it.
TCP's kernel acknowledges segments, in packets that carry nothing else. udp-chat acknowledges too,
several messages at once where they come fast. Its datagrams say more than the others': to which
log the messages belong, and where in it. Silence costs a question and an answer every five
seconds; with TCP's keepalive each end asks for itself.

Command: python3 -m compare cost
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass

from compare.chats.liveness import Keepalive
from compare.experiments.experiment import Effort, Experiment, Headline, Plot, Result, Tell
from compare.experiments.participants import TRANSPORTS, Case, Room, pause, run_at_once, speak
from compare.experiments.voice import Voice, remarks, words
from compare.wire.network import Counters, Wire
from udp_chat.protocol.delivery import NEVER

LINES = {2.0: 10, 20.0: 40, 200.0: 200}
"""How many messages, by how many a second. The slowest take 5 s, a period of the heartbeats, so
that these get their right share."""

QUICK_LINES = {20.0: 10, 200.0: 60}

BUSY_PACE = 100.0
"""From this pace on only one chat runs at a time, so that the processor keeps up: a late program
finds several messages waiting, and acknowledges them in one packet."""

HEARTBEAT_SECONDS = 5.0
"""The default of both chats over UDP. TCP's keepalive has the same."""

DELAY_SECONDS = 0.001
TEXT = "a line of forty bytes, as people type it"

PATIENCE_SECONDS = 10.0
"""How long the last message may take."""

SETTLE_SECONDS = 0.3
"""How long to count after the last message: no acknowledgement comes later."""

HUSH_SECONDS = 1.0
"""From the last joining to the first count of silence. The first heartbeats come 5 s after a
member has joined, so they are then far from the edges of what is counted."""

QUANTITIES = {"idle": ("idle_packets", "idle_bytes")}
"""Under a condition. Under all others: packets and bytes."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the wire carried in a while."""

    packets: int
    wire_bytes: int
    """Of whole IP packets."""
    delivered: float = 0
    """Messages that appeared meanwhile, at all members together."""


def measure(effort: Effort, tell: Tell, plan: Mapping[float, int] | None = None) -> Result:
    """`plan`: how many messages, by how many a second."""
    plan = plan or effort.choose(LINES, QUICK_LINES)
    members = effort.choose(10, 3)
    counts = effort.choose(2, 1)
    idle_seconds = effort.choose(10.0, 5.0)
    repetitions = effort.choose(3, 1)
    turn = threading.Lock()

    def count(case: Case) -> list[tuple[str, float | str, dict[str, float]]]:
        title, name = case.transport.title, case.transport.name
        with (
            Wire(delay_seconds=DELAY_SECONDS, seed=case.seed) as wire,
            Room(case.transport, members, wire) as room,
        ):
            # Silence first: a processor that is busy with starting programs may cause a repair,
            # and after one udp-chat repeats messages for a while.
            pause(HUSH_SECONDS)
            tell(f"{title}: silence")
            silent = _be_silent(wire, counts, idle_seconds)
            talk: list[tuple[str, float | str, dict[str, float]]] = []
            for pace, lines in plan.items():
                tell(f"{title}: {pace:g} messages a second")
                for _ in range(repetitions):
                    with turn if pace >= BUSY_PACE else contextlib.nullcontext():
                        talk.append((name, pace, analyse_talk(_talk(room, wire, lines, pace))))
            idle = [analyse_silence(traffic, members, idle_seconds) for traffic in silent]
            return talk + [(name, "idle", found) for found in idle]

    cases = [Case(transport, "", effort.seed) for transport in TRANSPORTS]
    runs = [run for _, _, runs in run_at_once(count, cases) for run in runs]
    keepalive = Keepalive()
    settings = {
        "lines": {f"{pace:g}": lines for pace, lines in plan.items()},
        "text_bytes": len(TEXT),
        "members": members,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
        "counted_behind_the_last_line_seconds": SETTLE_SECONDS,
        "idle_watched_seconds": counts * idle_seconds,
        "heartbeat_seconds": HEARTBEAT_SECONDS,
        "tcp_keepalive_idle_seconds": keepalive.idle_seconds,
        "tcp_keepalive_interval_seconds": keepalive.interval_seconds,
        "tcp_keepalive_probes": keepalive.probe_count,
    }
    return Result.of(runs, dict, settings=settings, remarks=remarks("cost"))


def _talk(room: Room, wire: Wire, lines: int, pace: float) -> Traffic:
    shown_before = [len(client.heard().get(TEXT, ())) for client in room.clients]
    before = wire.counters
    speak(room.clients[0], [TEXT] * lines, pace)
    until = time.monotonic() + PATIENCE_SECONDS
    for client, shown in zip(room.clients, shown_before, strict=True):
        client.wait_count("chat", shown + lines, until - time.monotonic())
    pause(SETTLE_SECONDS)
    packets, wire_bytes = passed(before, wire.counters)
    shown_after = [len(client.heard().get(TEXT, ())) for client in room.clients]
    return Traffic(packets, wire_bytes, sum(shown_after) - sum(shown_before))


def _be_silent(wire: Wire, counts: int, seconds: float) -> list[Traffic]:
    """Consecutive counts of so many seconds, in which nobody says a word."""
    start = time.monotonic()
    readings = [wire.counters]
    for number in range(1, counts + 1):
        pause(start + number * seconds - time.monotonic())
        readings.append(wire.counters)
    return [Traffic(*passed(*pair)) for pair in itertools.pairwise(readings)]


def passed(before: Counters, after: Counters) -> tuple[int, int]:
    """How many packets and bytes came to the wire in between, both ways, of all protocols."""
    tallies = [
        after[direction][protocol] - before[direction][protocol]
        for direction in after
        for protocol in after[direction]
    ]
    return sum(t.sent for t in tallies), sum(t.sent_bytes for t in tallies)


def analyse_talk(traffic: Traffic) -> dict[str, float]:
    """What a delivered message cost."""
    delivered = traffic.delivered
    return {
        "packets": traffic.packets / delivered if delivered else NEVER,
        "bytes": traffic.wire_bytes / delivered if delivered else NEVER,
    }


def analyse_silence(traffic: Traffic, members: int, seconds: float) -> dict[str, float]:
    """What an idle member costs a minute."""
    share = 60 / seconds / members
    return {"idle_packets": traffic.packets * share, "idle_bytes": traffic.wire_bytes * share}


def facts(result: Result, say: Voice) -> dict[str, object]:
    paces = result.conditions("packets")
    slow, fast = paces[0], paces[-1]

    def costs(condition: float | str) -> str:
        """What each chat took under one condition, packets and bytes."""
        return say.listed(
            lambda chat: say.part("and").join(
                say.amount(result.median(chat, quantity, condition))
                for quantity in QUANTITIES.get(str(condition), ("packets", "bytes"))
            ),
            separator="; ",
        )

    packets_slow, packets_fast = (result.median("chat", "packets", pace) for pace in (slow, fast))
    takes_more_bytes = all(
        result.median("chat", "bytes", pace) > result.median("tcp", "bytes", pace) for pace in paces
    )
    return {
        "slow": f"{slow:g}",
        "fast": f"{fast:g}",
        "slow_costs": costs(slow),
        "fast_costs": costs(fast),
        "idle_costs": costs("idle"),
        "saving": say.part("saves") if packets_fast < 0.95 * packets_slow else "",
        "price": say.part("dearer" if takes_more_bytes else "cheaper"),
    }


EXPERIMENT = Experiment(
    name="cost",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("packets", "lines", "pace"),
        Plot("bytes", "lines", "pace"),
        Plot("idle_bytes", "bars", "heartbeats"),
    ),
    words=words("cost", facts),
    headline=Headline("bytes", "lower", 20.0),
)
