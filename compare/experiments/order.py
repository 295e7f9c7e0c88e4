"""Order and duplicates.

Question: what does a chat show when the network delivers packets out of order, or twice?

Method: two members at one end of a wire with 5 ms each way, the server at the other. The wire
loses nothing. It holds back one packet in ten of each direction for 20 ms, duplicates one in ten,
or does both. One member says 200 short messages a second, so that the four messages behind a
delayed one overtake it. What another member's program shows is compared with what was said: a
message is out of order if one that was said later is shown before it (RFC 4737 §3). A second
showing of a message counts as a duplicate alone. All join while the wire is still good, and the
first messages are not counted.

Expect: plain UDP shows what arrives, as it arrives. A message crosses the wire twice, to the
server and from it, so about 1 - 0.9² = 19 % are out of order and as many are shown more than once.
TCP and udp-chat show all messages in order and once, and pay in time: what has overtaken a message
waits for it. TCP waits for the packet that is late. udp-chat repeats unacknowledged messages in
the datagrams behind it, so it waits for the next one only.

Command: python3 -m compare order
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from compare.experiments.experiment import Effort, Experiment, Headline, Plot, Result, Tell
from compare.experiments.participants import Case, Room, pause, run_in_turns, speak
from compare.experiments.voice import Voice, words
from compare.wire.network import Wire
from udp_chat.protocol.delivery import NEVER, quantile

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
"""How long the last message may take."""

SETTLE_SECONDS = 0.3
"""How long to watch after the last message: for the messages that it has overtaken, and for its
copies."""


@dataclass(frozen=True, slots=True)
class Heard:
    """What one member was shown of messages 0, 1, 2 …"""

    said: int
    """How many messages there were."""
    shown: Sequence[int]
    """Their numbers in the order in which they appeared."""
    latencies: Sequence[float]
    """Seconds until its first appearance, for each message; NEVER for a missing one."""


def measure(effort: Effort, tell: Tell) -> Result:
    lines = effort.choose(200, 150)
    seeds = effort.seeds(effort.choose(3, 1))

    def converse(case: Case) -> list[Heard]:
        with Wire(
            delay_seconds=DELAY_SECONDS, reorder_seconds=REORDER_SECONDS, seed=case.seed
        ) as wire:
            return _converse(case, wire, lines)

    conditions = effort.choose(tuple(WIRES), ("clean", "both"))
    runs = run_in_turns(converse, conditions, seeds, tell)
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
    return Result.of(runs, analyse, settings=settings)


def _converse(case: Case, wire: Wire, lines: int) -> list[Heard]:
    with Room(case.transport, MEMBERS, wire) as room:
        speaker, *listeners = room.clients
        wire.set(**WIRES[case.condition])
        texts = [f"line {number}" for number in range(WARM_UP_LINES + lines)]
        said = speak(speaker, texts, LINES_PER_SECOND)
        until = time.monotonic() + PATIENCE_SECONDS
        for listener in listeners:
            listener.find("chat", until - time.monotonic(), text=texts[-1])
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
    """How many messages appear, for the first time, behind one with a larger number."""
    largest = -1
    count = 0
    for number in dict.fromkeys(shown):
        count += number < largest
        largest = max(largest, number)
    return count


def analyse(run: Sequence[Heard]) -> dict[str, float]:
    """The quantities of one run, of all its listeners together."""
    said = sum(heard.said for heard in run)
    shown = sum(len(set(heard.shown)) for heard in run)
    disordered = sum(out_of_order(heard.shown) for heard in run)
    twice = sum(count > 1 for heard in run for count in Counter(heard.shown).values())
    latencies = [seconds * 1000 for heard in run for seconds in heard.latencies]
    return {
        "out_of_order": disordered / said * 100,
        "twice": twice / said * 100,
        "missing": said - shown,
        "delivered": shown / said * 100,
        "p50": quantile(latencies, 0.5),
        "p90": quantile(latencies, 0.9),
    }


def facts(result: Result, say: Voice) -> Mapping[str, object]:
    """Of the last condition."""
    last = str(result.conditions("out_of_order")[-1])
    share = result.settings["share_of_packets"]
    assert isinstance(share, float)
    plain, tcp, chat = (result.median(t, "p50", last) for t in ("plain", "tcp", "chat"))
    waits = tcp > 1.2 * max(plain, chat)  # by more than chance makes it
    faults = {
        f"{quantity}_{chat}": say.percent(result.median(chat, quantity, last))
        for quantity in ("out_of_order", "twice")
        for chat in say.chats
    }
    return faults | {
        "wire": say.part(f"wire_{last}", share=say.percent(share * 100)),
        "order": say.part("order_waits" if waits else "order_is_cheap"),
        "latencies": say.each(say.milliseconds, "p50", last),
    }


EXPERIMENT = Experiment(
    name="order",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("out_of_order", "bars", "wire"),
        Plot("twice", "bars", "wire"),
        Plot("p50", "bars", "wire"),
    ),
    words=words("order", facts),
    headline=Headline("out_of_order", "lower", "both"),
)
