"""Cost on the wire.

Question: how many packets and bytes does a conversation take, and how many does silence take?

Method: ten members at one end of a wire with 1 ms each way, the server at the other. One member
says lines of 40 bytes at 2, 20 and 200 a second. The wire counts whole IP packets in both
directions until a while after the last line: lines, acknowledgements, and the heartbeats that
happen to fall in. Divided by the lines delivered (each to ten members, its speaker too) that is
what a delivered line costs. Joining is not counted. Before all that, the same is counted while
nobody says a word; all heartbeats are left as they are by default.

Expect: plain UDP takes 1.1 packets a delivered line: ten from the server and one to it. TCP's
kernel acknowledges segments, in packets that carry nothing else. This chat acknowledges too, the
faster lines come the more of them at once, and its datagrams say more than the others': where in
which log the lines belong. Silence costs a question and an answer every five seconds; with TCP's
keepalive each end asks for itself.

Command: python3 -m compare cost
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass

from compare.chats.liveness import Keepalive
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
from compare.experiments.participants import Room, Transport, pause, side_by_side
from compare.wire.network import Counters, Wire

LINES = {2.0: 10, 20.0: 40, 200.0: 200}
"""How many lines, by how many a second. The slowest take 5 s, a period of the heartbeats, so that
these get their right share."""

QUICK_LINES = {20.0: 10, 200.0: 60}

BUSY_PACE = 100.0
"""From here on one chat at a time, for the processor to keep up with it: a program that is late
finds several lines waiting, and acknowledges them in one."""

HEARTBEAT_SECONDS = 5.0
"""The default of both chats over UDP; TCP's keepalive has the same."""

DELAY_SECONDS = 0.001
TEXT = "a line of forty bytes, as people type it"

PATIENCE_SECONDS = 10.0
"""How long the last line may take."""

SETTLE_SECONDS = 0.3
"""How long to count behind the last line: no acknowledgement comes later."""

HUSH_SECONDS = 1.0
"""From the last joining to the first count of silence: the heartbeats, the first of which come
5 s after a member has joined, are then far from the edges of what is counted."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """What the wire carried in a while."""

    packets: int
    wire_bytes: int
    """Of whole IP packets."""
    delivered: int = 0
    """Lines that appeared meanwhile, at all members together."""


def measure(effort: Effort, tell: Tell) -> Result:
    plan = effort.choose(LINES, QUICK_LINES)
    members = effort.choose(10, 3)
    counts = effort.choose(2, 1)
    idle_seconds = effort.choose(10.0, 5.0)
    repetitions = effort.choose(3, 1)
    turn = threading.Lock()

    def count(transport: Transport) -> tuple[list[Traffic], dict[float, list[Traffic]]]:
        with (
            Wire(delay_seconds=DELAY_SECONDS, seed=effort.seed) as wire,
            Room(transport, members, wire) as room,
        ):
            # Silence first: after a repair, which a processor busy with starting programs may
            # cause, this chat repeats lines for a while.
            pause(HUSH_SECONDS)
            tell(f"{transport.title}: silence")
            idle = _be_silent(wire, counts, idle_seconds)
            talk: dict[float, list[Traffic]] = {}
            for pace, lines in plan.items():
                tell(f"{transport.title}: {pace:g} lines a second")
                for _ in range(repetitions):
                    with turn if pace >= BUSY_PACE else contextlib.nullcontext():
                        talk.setdefault(pace, []).append(_talk(room, wire, lines, pace))
            return idle, talk

    figures: list[Figure] = []
    for name, (idle, talk) in side_by_side(count).items():
        for pace, runs in talk.items():
            figures += analyse_talk(name, pace, runs)
        figures += analyse_silence(name, members, idle_seconds, idle)
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
    remarks = (
        "Bytes are those of IP packets; an Ethernet adds 18 to each, and fills up short ones.",
        "The idle figures were watched for a while and scaled to a minute.",
        "For 10 s after a repair, be it of a loss or of what a busy processor was late with,"
        " udp-chat repeats up to three lines in each datagram: more bytes, not more packets.",
    )
    return Result(tuple(figures), settings=settings, remarks=remarks)


def _talk(room: Room, wire: Wire, lines: int, pace: float) -> Traffic:
    shown_before = [len(client.heard().get(TEXT, ())) for client in room.clients]
    before = wire.counters
    start = time.monotonic()
    for number in range(lines):
        pause(start + number / pace - time.monotonic())
        room.clients[0].say(TEXT)
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


def analyse_talk(transport: str, pace: float, runs: Sequence[Traffic]) -> list[Figure]:
    """What a delivered line cost at one pace, a value for each run."""
    packets = tuple(t.packets / t.delivered if t.delivered else NEVER for t in runs)
    wire_bytes = tuple(t.wire_bytes / t.delivered if t.delivered else NEVER for t in runs)
    return [
        Figure(transport, "packets", pace, packets),
        Figure(transport, "bytes", pace, wire_bytes),
    ]


def analyse_silence(
    transport: str, members: int, seconds: float, counts: Sequence[Traffic]
) -> list[Figure]:
    """What an idle member costs a minute, a value for each count."""
    share = 60 / seconds / members
    packets = tuple(t.packets * share for t in counts)
    wire_bytes = tuple(t.wire_bytes * share for t in counts)
    return [
        Figure(transport, "idle_packets", "idle", packets),
        Figure(transport, "idle_bytes", "idle", wire_bytes),
    ]


# --- what is said of it ----------------------------------------------------------------------


_NAMES = {
    "en": {"plain": "plain UDP", "tcp": "TCP", "chat": "this chat"},
    "ru": {"plain": "простой UDP —", "tcp": "TCP —", "chat": "этот чат —"},
}


def _costs(result: Result, condition: Condition, language: str) -> str:
    """What each chat took under one condition, packets and bytes."""
    packets, octets = (
        ("idle_packets", "idle_bytes") if condition == "idle" else ("packets", "bytes")
    )
    return "; ".join(
        f"{name} {amount(result.median(transport, packets, condition), language=language)}"
        f" {'and' if language == 'en' else 'и'}"
        f" {amount(result.median(transport, octets, condition), language=language)}"
        for transport, name in _NAMES[language].items()
    )


def _saves_packets(result: Result) -> bool:
    """Whether this chat takes clearly fewer of them where lines come fast."""
    paces = result.conditions("packets")
    slow, fast = (result.median("chat", "packets", pace) for pace in (paces[0], paces[-1]))
    return fast < 0.95 * slow


def _takes_more_bytes(result: Result) -> bool:
    """Whether this chat takes more of them than TCP at every pace."""
    return all(
        result.median("chat", "bytes", pace) > result.median("tcp", "bytes", pace)
        for pace in result.conditions("bytes")
    )


def _explain_en(result: Result) -> list[str]:
    paces = result.conditions("packets")
    slow, fast = paces[0], paces[-1]
    return [
        f"Packets and bytes for each line delivered, at {slow:g} lines a second:"
        f" {_costs(result, slow, 'en')}; at {fast:g}: {_costs(result, fast, 'en')}; and for a"
        f" member who is silent for a minute: {_costs(result, 'idle', 'en')}.",
        "What must not get lost is acknowledged: TCP's kernel does so for nearly every segment, in"
        " a packet that carries nothing else, this chat for all lines of some milliseconds at once"
        + (", so it takes fewer packets where lines come fast" if _saves_packets(result) else "")
        + "; in silence heartbeats ask whether the other end still lives, and TCP's keepalive does"
        " it from both ends.",
        (
            "Reliability of your own does not become cheaper than TCP's by being built on UDP, in"
            " bytes it is dearer here"
            if _takes_more_bytes(result)
            else "Reliability of your own can be cheaper than TCP's"
        )
        + ": to save traffic send plain datagrams, if now and then one may get lost, as of a"
        " sensor's readings, and send heartbeats no more often than you need to notice an end.",
    ]


def _explain_ru(result: Result) -> list[str]:
    paces = result.conditions("packets")
    slow, fast = paces[0], paces[-1]
    return [
        f"Пакетов и байтов на доставленную строку, при {slow:g} строках в секунду:"
        f" {_costs(result, slow, 'ru')}; при {fast:g}: {_costs(result, fast, 'ru')}; а на"
        f" участника, который минуту молчит: {_costs(result, 'idle', 'ru')}.",
        "То, что не должно пропасть, подтверждают: ядро TCP — почти каждый сегмент, пакетом, в"
        " котором больше ничего нет, этот чат — сразу все строки за несколько миллисекунд"
        + (
            ", поэтому при быстром разговоре пакетов ему нужно меньше"
            if _saves_packets(result)
            else ""
        )
        + "; а в тишине сигналы жизни спрашивают, есть ли ещё кто на том конце, и keepalive в TCP"
        " делает это с обеих сторон.",
        (
            "Оттого что она построена на UDP, своя надёжность не становится дешевле, чем у TCP, а в"
            " байтах здесь и дороже"
            if _takes_more_bytes(result)
            else "Своя надёжность может быть дешевле, чем у TCP"
        )
        + ": чтобы сберечь трафик, шлите простые датаграммы, если изредка одна может пропасть, как"
        " показание датчика, а сигналы жизни — не чаще, чем нужно, чтобы вовремя заметить конец.",
    ]


EXPERIMENT = Experiment(
    name="cost",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("packets", "lines", "pace"),
        Plot("bytes", "lines", "pace"),
        Plot("idle_bytes", "bars", "heartbeats"),
    ),
    words={
        "en": Words(
            title="Cost on the wire",
            question="How many packets and bytes does a conversation take, and how many silence?",
            names={
                "packets": "packets per delivered line",
                "bytes": "bytes per delivered line",
                "idle_packets": "packets per idle member and minute",
                "idle_bytes": "bytes per idle member and minute",
                "pace": "lines a second",
                "heartbeats": "heartbeats",
                "idle": "every 5 s",
            },
            explain=_explain_en,
        ),
        "ru": Words(
            title="Цена на проводе",
            question="Сколько пакетов и байтов нужно разговору и сколько — молчанию?",
            names={
                "packets": "пакетов на доставленную строку",
                "bytes": "байтов на доставленную строку",
                "idle_packets": "пакетов на молчащего участника в минуту",
                "idle_bytes": "байтов на молчащего участника в минуту",
                "pace": "строк в секунду",
                "heartbeats": "сигналы жизни",
                "idle": "каждые 5 с",
            },
            explain=_explain_ru,
        ),
    },
)
