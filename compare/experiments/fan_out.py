"""Fan-out.

Question: how many messages a second can one server bring to N members, and what does it cost?

Method: the benchmark of benchmarks/fan_out.py at saturation. A server runs on one core, all
members in one process on another, over loopback; four members say messages of 64 bytes, and each
keeps 64 of them on their way. Servers take turns within a round. Some members look at each
message: whether it is the next of its sender, and whether all saw one order. Beside the three
chats run Redis (pub/sub) and NATS where they are installed: written in C and Go to do just this.

Expect: a system call for each message and member costs plain UDP and the TCP chat about the same;
TCP's stream gathers only what the kernel did not take at once. udp-chat gathers what waits:
messages share a datagram, datagrams share a train. TCP's server needs a thread and its memory for
each member.

Command: python3 -m compare fan-out
As a benchmark, with more loads and its own table: python3 -m benchmarks.fan_out
"""

from __future__ import annotations

from benchmarks import fan_out as benchmark
from compare.experiments.experiment import Effort, Experiment, Headline, Plot, Result, Tell
from compare.experiments.participants import ExperimentFailed
from compare.experiments.voice import Voice, remarks, words

QUANTITIES = {
    "deliveries": ("deliveries_per_second", 1e-3),
    "cpu": ("cpu_us_per_delivery", 1.0),
    "delivered": ("delivered", 100.0),
    "repeated": ("repeated", 1.0),
    "one_order": ("one_order", 100.0),
    "memory": ("memory_mb", 1.0),
    "threads": ("threads", 1.0),
}
"""What the benchmark calls them, and their units in its."""


def measure(effort: Effort, tell: Tell) -> Result:
    lacking = benchmark.missing()
    if lacking:
        raise ExperimentFailed(f"the benchmark needs {lacking}")
    three = [benchmark.CHAT, benchmark.PLAIN, benchmark.TCP]
    counts = effort.choose((10, 100, 1000), (100,))
    rounds = effort.choose(3, 1)
    seconds = effort.choose(1.0, 0.5)
    runs = []
    for number in range(rounds):
        for members in counts:
            for contender in effort.choose(benchmark.installed(), three):
                tell(f"{contender.title}, {members} members, round {number + 1}")
                loads = [benchmark.SATURATION]
                measured = benchmark.run_load(contender, members, loads, seconds)
                runs.append((contender.name, members, measured[benchmark.SATURATION]))
    settings = {
        "line_bytes": 64,
        "senders": 4,
        "window_lines": 64,
        "seconds": seconds,
        "rounds": rounds,
        "cores": 2 if benchmark.cores()[0] is not None else 1,
    }
    return Result.of(runs, analyse, settings=settings, remarks=remarks("fan-out"))


def analyse(run: benchmark.Measured) -> dict[str, float]:
    return {name: run[key] * scale for name, (key, scale) in QUANTITIES.items()}


def facts(result: Result, say: Voice) -> dict[str, object]:
    """Of the largest room."""
    members = result.conditions("deliveries")[-1]
    rates = {
        chat: result.median(chat, "deliveries", members)
        for chat in say.chats
        if chat in result.transports("deliveries")
    }
    chat = rates.pop("chat")
    best = max(rates, key=lambda name: rates[name])
    return {
        "members": f"{members:.0f}",
        "chat": say.amount(chat),
        "verb": say.part("more" if chat > rates[best] else "not_more"),
        "best": say.part(f"best_{best}"),
        "other": say.amount(rates[best]),
        "threads": say.amount(result.median("tcp", "threads", members)),
    }


EXPERIMENT = Experiment(
    name="fan-out",
    needs_wire=False,
    measure=measure,
    plots=(
        Plot("deliveries", "bars", "members", logarithmic=True),
        Plot("cpu", "bars", "members", logarithmic=True),
    ),
    words=words("fan-out", facts),
    headline=Headline("deliveries", "higher"),
)
