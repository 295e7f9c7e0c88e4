"""Order and duplicates.

Question: what does a chat show when the network delivers packets out of order, or twice?

Method: two members at one end of a wire with 5 ms each way, the server at the other. The wire
loses nothing. It holds back one packet in ten of each direction for 20 ms, doubles one in ten, or
does both. One member says 200 short lines a second, so that the four lines behind one that is
held back overtake it. What another member's program shows is compared with what was said: a line
is out of order if one that was said later is shown before it (RFC 4737 §3); a second showing of a
line counts as that alone. All join while the wire is still good, and a first stretch of lines is
not counted.

Expect: plain UDP shows what comes, as it comes. A line crosses the wire twice, to the server and
from it, so about 1 - 0.9² = 19 % are out of order and as many are shown more than once. TCP and
this chat show all lines in order and once, and pay in time: what has overtaken a line waits for
it. TCP waits for the packet that is late; this chat repeats lines that are not acknowledged yet in
the datagrams behind it, so it waits for the next one only.

Command: python3 -m compare order
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
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
)
from compare.experiments.participants import Room, Transport, pause, side_by_side
from compare.wire.network import Wire
from udp_chat.protocol.delivery import quantile

SHARE = 0.1
DELAY_SECONDS = 0.005
REORDER_SECONDS = 0.02
LINES_PER_SECOND = 200
WARM_UP_LINES = 25
MEMBERS = 2

WIRES: Mapping[str, Mapping[str, float]] = {
    "clean": {},
    "reordered": {"reordering": SHARE},
    "duplicated": {"duplication": SHARE},
    "both": {"reordering": SHARE, "duplication": SHARE},
}
"""What the wire does, by condition."""

PATIENCE_SECONDS = 10.0
"""How long the last line may take."""

SETTLE_SECONDS = 0.3
"""How long to watch behind the last line: for lines that it has overtaken, and for its copies."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one member was shown of a speech of lines 0, 1, 2 …"""

    said: int
    """How many lines there were."""
    shown: Sequence[int]
    """Their numbers in the order in which they appeared."""
    latencies: Sequence[float]
    """Seconds until its first appearance, for each line; NEVER for one that is missing."""


def measure(effort: Effort, tell: Tell) -> Result:
    conditions = effort.choose(tuple(WIRES), ("clean", "both"))
    lines = effort.choose(200, 150)
    seeds = effort.seeds(effort.choose(3, 1))
    runs: dict[tuple[str, str], list[list[Heard]]] = {}
    for condition in conditions:
        for seed in seeds:
            tell(f"{condition}, seed {seed}")

            def converse(
                transport: Transport, condition: str = condition, seed: int = seed
            ) -> list[Heard]:
                with Wire(
                    delay_seconds=DELAY_SECONDS, reorder_seconds=REORDER_SECONDS, seed=seed
                ) as wire:
                    return _converse(transport, wire, condition, lines)

            for name, heard in side_by_side(converse).items():
                runs.setdefault((name, condition), []).append(heard)
    figures = [
        figure
        for (name, condition), kept in runs.items()
        for figure in analyse(name, condition, kept)
    ]
    settings = {
        "seeds": list(seeds),
        "lines": lines,
        "lines_per_second": LINES_PER_SECOND,
        "members": MEMBERS,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
        "held_back_ms": REORDER_SECONDS * 1000,
        "share_of_packets": SHARE,
        "watched_behind_the_last_line_seconds": SETTLE_SECONDS,
    }
    return Result(tuple(figures), settings=settings)


def _converse(transport: Transport, wire: Wire, condition: str, lines: int) -> list[Heard]:
    with Room(transport, MEMBERS, wire) as room:
        speaker, *listeners = room.clients
        wire.set(**WIRES[condition])
        said: list[float] = []
        start = time.monotonic()
        for number in range(WARM_UP_LINES + lines):
            pause(start + number / LINES_PER_SECOND - time.monotonic())
            said.append(speaker.say(f"line {number}"))
        until = time.monotonic() + PATIENCE_SECONDS
        for listener in listeners:
            listener.find("chat", until - time.monotonic(), text=f"line {len(said) - 1}")
        pause(SETTLE_SECONDS)
        wire.set(reordering=0.0, duplication=0.0)
    heard = []
    for listener in listeners:
        chats = [arrival for arrival in listener.arrivals if arrival.kind == "chat"]
        shown = [int(chat.event["text"].removeprefix("line ")) for chat in chats]
        first: dict[int, float] = {}
        for number, chat in zip(shown, chats, strict=True):
            first.setdefault(number, chat.at - said[number])
        counted = range(WARM_UP_LINES, len(said))
        heard.append(
            Heard(
                lines,
                [number - WARM_UP_LINES for number in shown if number in counted],
                [first.get(number, NEVER) for number in counted],
            )
        )
    return heard


def out_of_order(shown: Sequence[int]) -> int:
    """How many lines appear, for the first time, behind one with a larger number."""
    largest = -1
    count = 0
    for number in dict.fromkeys(shown):
        count += number < largest
        largest = max(largest, number)
    return count


def analyse(transport: str, condition: str, runs: Sequence[Sequence[Heard]]) -> list[Figure]:
    """The figures of one chat on one wire, a value for each run: all its listeners together."""
    values: dict[str, list[float]] = {}
    for run in runs:
        said = sum(heard.said for heard in run)
        shown = sum(len(set(heard.shown)) for heard in run)
        disordered = sum(out_of_order(heard.shown) for heard in run)
        twice = sum(count > 1 for heard in run for count in Counter(heard.shown).values())
        latencies = [seconds for heard in run for seconds in heard.latencies]
        values.setdefault("out_of_order", []).append(disordered / said * 100)
        values.setdefault("twice", []).append(twice / said * 100)
        values.setdefault("missing", []).append(said - shown)
        values.setdefault("delivered", []).append(shown / said * 100)
        values.setdefault("p50", []).append(quantile(latencies, 0.5) * 1000)
        values.setdefault("p90", []).append(quantile(latencies, 0.9) * 1000)
    return [Figure(transport, name, condition, tuple(kept)) for name, kept in values.items()]


# --- what is said of it ----------------------------------------------------------------------


_WIRES_EN = {
    "clean": "On a good wire",
    "reordered": "With {share} of the packets held back",
    "duplicated": "With {share} of the packets doubled",
    "both": "With {share} of the packets held back and as many doubled",
}

_WIRES_RU = {
    "clean": "На исправной линии",
    "reordered": "Когда линия придерживает {share} пакетов",
    "duplicated": "Когда линия удваивает {share} пакетов",
    "both": "Когда линия придерживает {share} пакетов и столько же удваивает",
}


def _said_of(
    result: Result, language: str
) -> tuple[Condition, str, dict[str, list[str]], dict[str, str]]:
    """The last condition and the wire's share; by chat its two shares of lines, its latency."""
    last = result.conditions("out_of_order")[-1]
    share = result.settings["share_of_packets"]
    assert isinstance(share, float)
    unit = {"en": "ms", "ru": "мс"}[language]
    transports = result.transports("out_of_order")
    faults = {
        transport: [
            amount(result.median(transport, quantity, last), "%", language)
            for quantity in ("out_of_order", "twice")
        ]
        for transport in transports
    }
    latencies = {t: amount(result.median(t, "p50", last), unit, language) for t in transports}
    return last, amount(share * 100, "%", language), faults, latencies


def _tcp_waits(result: Result, condition: Condition) -> bool:
    """Whether it is later than both others by more than chance makes it."""
    plain, tcp, chat = (result.median(t, "p50", condition) for t in ("plain", "tcp", "chat"))
    return tcp > 1.2 * max(plain, chat)


def _explain_en(result: Result) -> list[str]:
    last, share, faults, latencies = _said_of(result, "en")
    return [
        f"{_WIRES_EN[str(last)].format(share=share)}, plain UDP shows {faults['plain'][0]} of the"
        f" lines out of order and {faults['plain'][1]} more than once; TCP"
        f" {' and '.join(faults['tcp'])}, this chat {' and '.join(faults['chat'])}.",
        "IP may deliver packets in any order and twice, and UDP hands over each datagram as it"
        " comes; TCP numbers its bytes and this chat its lines, so both set aside what comes early"
        " and drop what they have already.",
        (
            "Order costs waiting, and TCP waits for the very packet that is late, while this"
            " chat's next datagram repeats the missing line"
            if _tcp_waits(result, last)
            else "Order cost little time here"
        )
        + f" (median latency: plain UDP {latencies['plain']}, TCP {latencies['tcp']}, this chat"
        f" {latencies['chat']}): over UDP number your messages if their order matters, and if only"
        " the newest counts, as in a game, just drop what is older than the last one shown.",
    ]


def _explain_ru(result: Result) -> list[str]:
    last, share, faults, latencies = _said_of(result, "ru")
    return [
        f"{_WIRES_RU[str(last)].format(share=share)}, простой UDP показывает {faults['plain'][0]}"
        f" строк не по порядку и {faults['plain'][1]} — больше одного раза; TCP —"
        f" {' и '.join(faults['tcp'])}, этот чат — {' и '.join(faults['chat'])}.",
        "IP вправе доставлять пакеты в любом порядке и дважды, и UDP отдаёт каждую датаграмму, как"
        " только она пришла; TCP нумерует байты, а этот чат — строки, поэтому оба откладывают то,"
        " что пришло раньше времени, и отбрасывают то, что у них уже есть.",
        (
            "За порядок платят ожиданием, и TCP ждёт именно тот пакет, который опаздывает, а в"
            " этом чате недостающую строку повторяет следующая датаграмма"
            if _tcp_waits(result, last)
            else "Порядок здесь почти не стоил времени"
        )
        + f" (медиана задержки: простой UDP — {latencies['plain']}, TCP — {latencies['tcp']}, этот"
        f" чат — {latencies['chat']}): поверх UDP нумеруйте сообщения, если порядок важен, а если"
        " важно только самое новое, как в игре, просто отбрасывайте всё, что старше уже"
        " показанного.",
    ]


EXPERIMENT = Experiment(
    name="order",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("out_of_order", "bars", "wire"),
        Plot("twice", "bars", "wire"),
        Plot("p50", "bars", "wire"),
    ),
    words={
        "en": Words(
            title="Order and duplicates",
            question="What does a chat show when packets come out of order, or twice?",
            names={
                "out_of_order": "lines out of order, %",
                "twice": "lines shown more than once, %",
                "missing": "lines missing",
                "delivered": "delivered, %",
                "p50": "median latency, ms",
                "p90": "p90 latency, ms",
                "wire": "what the wire does to packets",
                "clean": "nothing",
                "reordered": "holds some back",
                "duplicated": "doubles some",
                "both": "both",
            },
            explain=_explain_en,
        ),
        "ru": Words(
            title="Порядок и повторы",
            question="Что показывает чат, когда пакеты приходят не по порядку или дважды?",
            names={
                "out_of_order": "строк не по порядку, %",
                "twice": "строк, показанных больше одного раза, %",
                "missing": "пропавших строк",
                "delivered": "доставлено, %",
                "p50": "медиана задержки, мс",
                "p90": "задержка p90, мс",
                "wire": "что линия делает с пакетами",
                "clean": "ничего",
                "reordered": "придерживает часть",
                "duplicated": "удваивает часть",
                "both": "и то и другое",
            },
            explain=_explain_ru,
        ),
    },
)
