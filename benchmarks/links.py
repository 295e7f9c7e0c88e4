"""Full links and lossy ones, on a wire between real kernels: this chat beside TCP.

  python3 -m benchmarks.links [--parts full,lossy] [--rates 150,250,400] [--json FILE]

The server runs at one end of the wire (compare/wire), all members at the other, in this process
(talk.py). Every link has 20 ms each way. Five questions, a table for each:

  full    Ten members share one link of so many bytes a second each way, with a queue of 0.2 s that
          drops what does not fit. One says 50 messages of 200 bytes a second.
  lossy   Eight members say 10 messages a second together; the wire loses packets of both ways by
          chance, from the first message on: what is learned of the link is learned under way.
  bursts  As lossy, but a loss takes three packets in a row on average.
  beside  As full, with a TCP download from the server's end on the same link.
  slow    Nine members beside the server, one behind a full link of its own: do the nine notice?

A latency is the time from saying a message to showing it, at each member, the speaker too.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import math
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.talk import Download, Join, SessionMember, StreamMember, Talk, speech
from compare.figures import amount
from compare.wire.link import DIRECTIONS, Tally
from compare.wire.network import Counters, End, Wire, missing
from udp_chat.protocol.delivery import NEVER, quantile

PROJECT = Path(__file__).resolve().parent.parent

PORT = 9091
DOWNLOAD_PORT = 9092
"""At the wire's ends, where nobody else uses them."""

DELAY_SECONDS = 0.02
QUEUE_SECONDS = 0.2
TEXT_BYTES = 200
FULL_MEMBERS = 10
FULL_PER_SECOND = 50
LOSSY_MEMBERS = 8
LOSSY_PER_SECOND = 10

RATES = tuple(round(100 * 1.25**step) for step in range(14))
"""From 100 kB/s to 2 MB/s in steps of a fourth."""
LOSSES = (0.0, 0.01, 0.05, 0.1, 0.2)
BURST_PACKETS = 3.0
BESIDE_RATES = (200, 400, 800)
SLOW_RATES = (0, 32, 16, 8)
"""The slow member's own link, in kB/s; 0: it is as fast as any."""

JOIN_SECONDS = 20.0
SETTLE_SECONDS = 1.0
"""Between joining and the first message: what joining left on the link has gone."""
DOWNLOAD_SECONDS = 4.0
"""How long a download runs before anybody speaks; its second half shows what it takes alone."""
PATIENCE_SECONDS = 60.0
"""How long the last messages may take to be shown to everyone."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A chat to put on the wire."""

    name: str
    title: str
    server: tuple[str, ...]
    """What follows `python3` in its server's command line."""
    sockets: socket.SocketKind
    join: Join
    protocol: str
    """Its packets' row in `Wire.counters`."""


TCP = Chat(
    "tcp",
    "TCP",
    ("-m", "compare.chats.tcp_server", "--user-timeout", "0"),
    socket.SOCK_STREAM,
    StreamMember,
    "tcp",
)
UDP_CHAT = Chat(
    "chat",
    "udp-chat",
    ("udp_server.py", "--no-discovery"),
    socket.SOCK_DGRAM,
    SessionMember,
    "udp",
)
CHATS = (TCP, UDP_CHAT)


@dataclass(frozen=True, slots=True)
class Measured:
    """What one room on one link came to."""

    part: str
    chat: str
    condition: float
    """The link's kB/s, or the share of packets that it loses."""
    figures: dict[str, float]
    """By the names of the columns below; seconds in milliseconds, shares from 0 to 1."""
    faults: list[str] = field(default_factory=list)


# --- a room on a wire ------------------------------------------------------------------------


@contextlib.contextmanager
def open_room(wire: Wire, chat: Chat, ends: Sequence[End]) -> Iterator[Talk]:
    """A server at end b and members at these ends, who are all in; raises RuntimeError."""
    server_address = (wire.address("b"), PORT)
    where = ("--host", server_address[0], "--port", str(PORT))
    program = wire.run_in(
        "b",
        [sys.executable, *chat.server, *where],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        cwd=PROJECT,
    )
    assert program.stdout is not None
    with program.stdout as output, Talk() as talk:
        if not output.readline().startswith(b"listening on "):
            raise RuntimeError(f"the server of {chat.title} did not start")
        for number, end in enumerate(ends):
            with wire.inside(end):
                sock = socket.socket(socket.AF_INET, chat.sockets)
            talk.add(chat.join, sock, server_address, f"m{number}")
        if not talk.run_until(lambda: all(m.is_joined for m in talk.members), JOIN_SECONDS):
            raise RuntimeError(f"not everyone could join the room of {chat.title}")
        talk.run(SETTLE_SECONDS)
        yield talk


def start_download(wire: Wire, talk: Talk) -> Download:
    """Has a TCP download from end b to end a run beside the talk."""
    with contextlib.ExitStack() as stack:
        with wire.inside("b"):
            listener = stack.enter_context(socket.create_server((wire.address("b"), DOWNLOAD_PORT)))
        with wire.inside("a"):
            target = socket.create_connection(listener.getsockname(), JOIN_SECONDS)
        source, _ = listener.accept()
    download = Download(source, target)
    talk.add_download(download)
    return download


def traffic(before: Counters, after: Counters, protocol: str) -> Tally:
    """What came of the packets of a protocol between two looks at the wire, both ways together."""
    parts = [asdict(after[way][protocol] - before[way][protocol]) for way in DIRECTIONS]
    return Tally(**{name: sum(part[name] for part in parts) for name in parts[0]})


def latency_figures(latencies: Sequence[float], suffix: str = "") -> dict[str, float]:
    """The quantiles of latencies in seconds, in milliseconds."""
    shares = {"p50": 0.5, "p99": 0.99, "max": 1.0}
    return {name + suffix: 1000 * quantile(latencies, share) for name, share in shares.items()}


@dataclass(frozen=True, slots=True)
class Lecture:
    """One member spoke on a link of a rate: what the wire and the members saw."""

    talk: Talk
    began_at: float
    ended_at: float
    before: Counters
    at_end: Counters
    """When the last message had been said …"""
    after: Counters
    """… and when the last one had been shown, or was given up."""

    @classmethod
    def give(cls, wire: Wire, talk: Talk, seconds: float) -> Lecture:
        """Has the first member speak for so long, and waits until everyone is shown everything."""
        before, began_at = wire.counters, time.monotonic()
        talk.hold(speech([0], FULL_PER_SECOND, seconds, TEXT_BYTES))
        talk.run(1 / FULL_PER_SECOND)
        at_end, ended_at = wire.counters, time.monotonic()
        talk.run_until(talk.is_whole, PATIENCE_SECONDS)
        return cls(talk, began_at, ended_at, before, at_end, wire.counters)

    def figures(self, chat: Chat, bytes_per_second: float) -> dict[str, float]:
        """Those of the whole room."""
        account = self.talk.account()
        whole = traffic(self.before, self.after, chat.protocol)
        meanwhile = self.at_end["down"][chat.protocol] - self.before["down"][chat.protocol]
        link_bytes = bytes_per_second * (self.ended_at - self.began_at)
        texts_bytes = account.shown_count(self.ended_at) * TEXT_BYTES
        return {
            **latency_figures(account.latencies()),
            "bytes": whole.sent_bytes,
            "packets": whole.sent,
            "dropped": whole.dropped / max(1, whole.sent),
            "used": meanwhile.delivered_bytes / link_bytes if link_bytes else 0.0,
            "useful": texts_bytes / link_bytes if link_bytes else 0.0,
            "after": 1000 * (account.last_shown_at() - self.ended_at),
            "pending": self.talk.pending_max,
            "lag": 1000 * self.talk.lag_seconds,
        }


# --- the five questions ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Effort:
    """How long, and with which chance."""

    seconds: float = 10.0
    """How long one member speaks. On lossy links all speak six times as long, and the first third
    is counted apart."""
    seed: int = 1


def full(chat: Chat, rate: float, effort: Effort) -> Measured:
    """Ten members share a link of so many kB/s."""
    bytes_per_second = rate * 1000
    with (
        _wire(effort, bytes_per_second) as wire,
        open_room(wire, chat, ["a"] * FULL_MEMBERS) as talk,
    ):
        lecture = Lecture.give(wire, talk, effort.seconds)
        figures = lecture.figures(chat, bytes_per_second)
        return Measured("full", chat.name, rate, figures, _faults(wire, talk))


def lossy(chat: Chat, loss: float, effort: Effort) -> Measured:
    """Eight members talk on links that lose this share of the packets, from the first message."""
    return _lossy("lossy", chat, loss, effort, burst_packets=1.0)


def bursts(chat: Chat, loss: float, effort: Effort) -> Measured:
    """As `lossy`, with several losses in a row."""
    return _lossy("bursts", chat, loss, effort, burst_packets=BURST_PACKETS)


def _lossy(part: str, chat: Chat, loss: float, effort: Effort, burst_packets: float) -> Measured:
    with _wire(effort) as wire, open_room(wire, chat, ["a"] * LOSSY_MEMBERS) as talk:
        wire.set(loss=loss, burst_packets=burst_packets)
        before, began_at = wire.counters, time.monotonic()
        talk.hold(speech(range(LOSSY_MEMBERS), LOSSY_PER_SECOND, 6 * effort.seconds))
        talk.run_until(talk.is_whole, PATIENCE_SECONDS)
        account, warm_at = talk.account(), began_at + 2 * effort.seconds
        whole = traffic(before, wire.counters, chat.protocol)
        figures = {
            **latency_figures(account.latencies(last_at=warm_at), "_first"),
            **latency_figures(account.latencies(first_at=warm_at)),
            "packets_per_shown": whole.sent / (len(talk.said_at) * LOSSY_MEMBERS),
            "bytes": whole.sent_bytes,
            "lag": 1000 * talk.lag_seconds,
        }
        return Measured(part, chat.name, loss, figures, _faults(wire, talk))


def beside(chat: Chat, rate: float, effort: Effort) -> Measured:
    """Ten members share a link of so many kB/s with a download."""
    bytes_per_second = rate * 1000
    with (
        _wire(effort, bytes_per_second) as wire,
        open_room(wire, chat, ["a"] * FULL_MEMBERS) as talk,
    ):
        download = start_download(wire, talk)
        talk.run(DOWNLOAD_SECONDS / 2)
        received = download.received_bytes
        began_at = time.monotonic()
        talk.run(DOWNLOAD_SECONDS / 2)
        alone = (download.received_bytes - received) / (time.monotonic() - began_at)
        received = download.received_bytes
        began_at = time.monotonic()
        talk.hold(speech([0], FULL_PER_SECOND, effort.seconds, TEXT_BYTES))
        kept = (download.received_bytes - received) / (time.monotonic() - began_at)
        talk.run_until(talk.is_whole, PATIENCE_SECONDS)
        figures = {
            **latency_figures(talk.account().latencies()),
            "download_alone": alone / bytes_per_second,
            "download_beside": kept / bytes_per_second,
            "pending": talk.pending_max,
            "lag": 1000 * talk.lag_seconds,
        }
        return Measured("beside", chat.name, rate, figures, _faults(wire, talk))


def slow(chat: Chat, rate: float, effort: Effort) -> Measured:
    """Nine members beside the server; the tenth is behind a link of so many kB/s of its own."""
    fast = range(FULL_MEMBERS - 1)
    ends: list[End] = ["b" for _ in fast]
    with (
        _wire(effort, rate * 1000) as wire,
        open_room(wire, chat, [*ends, "a"]) as talk,
    ):
        lecture = Lecture.give(wire, talk, effort.seconds)
        of_slow = talk.account([FULL_MEMBERS - 1])
        figures = {
            **lecture.figures(chat, rate * 1000),
            **latency_figures(talk.account(fast).latencies(), "_fast"),
            **latency_figures(of_slow.latencies(), "_slow"),
            "shown_slow": of_slow.shown_count() / len(talk.said_at),
        }
        return Measured("slow", chat.name, rate, figures, _faults(wire, talk))


def _wire(effort: Effort, bytes_per_second: float = 0.0) -> Wire:
    return Wire(
        seed=effort.seed,
        delay_seconds=DELAY_SECONDS,
        bytes_per_second=bytes_per_second,
        queue_seconds=QUEUE_SECONDS,
    )


def _faults(wire: Wire, talk: Talk) -> list[str]:
    """What broke the promise, or the measurement."""
    faults = talk.account().faults()
    out = sum(member.is_out for member in talk.members)
    if out:
        faults.append(f"{out} no longer in the room")
    drops = sum(wire.device_drops().values())
    if drops:
        faults.append(f"{drops} packets dropped before the wire")
    return faults


PARTS: Mapping[str, Callable[[Chat, float, Effort], Measured]] = {
    "full": full,
    "lossy": lossy,
    "bursts": bursts,
    "beside": beside,
    "slow": slow,
}


# --- tables ----------------------------------------------------------------------------------


def _ms(value: float) -> str:
    return amount(value) if math.isinf(value) else f"{value:,.0f}"


def _percent(value: float) -> str:
    return f"{value:.0%}" if value in (0, 1) or value >= 0.1 else f"{value:.1%}"


def _megabytes(value: float) -> str:
    return f"{value / 1e6:.2f}"


def _count(value: float) -> str:
    return f"{value:.0f}"


def _ratio(value: float) -> str:
    return f"{value:.2f}"


Column = tuple[str, str, Callable[[float], str]]
"""Its heading, the figure's name, and how it is written."""

TITLES: Mapping[str, str] = {
    "full": "Full links: ten members share one, one says 50 messages of 200 bytes a second",
    "lossy": "Lossy links: eight members say 10 messages a second together",
    "bursts": "Lossy links, three losses in a row on average",
    "beside": "A TCP download beside the chat on a full link",
    "slow": "One slow member: nine beside the server, one behind a full link of its own",
}

CONDITIONS: Mapping[str, Callable[[float], str]] = {
    "full": lambda rate: f"{rate:g} kB/s",
    "lossy": lambda loss: f"{loss:.0%} each way",
    "bursts": lambda loss: f"{loss:.0%} each way",
    "beside": lambda rate: f"{rate:g} kB/s",
    "slow": lambda rate: f"{rate:g} kB/s" if rate else "no limit",
}

_OF_LOSSY: Sequence[Column] = (
    ("p99 ms, first third", "p99_first", _ms),
    ("p99 / TCP's", "p99_first_ratio", _ratio),
    ("p50 ms after", "p50", _ms),
    ("p99 ms after", "p99", _ms),
    ("largest ms after", "max", _ms),
    ("p99 / TCP's", "p99_ratio", _ratio),
    ("packets for each shown message", "packets_per_shown", _ratio),
    ("MB", "bytes", _megabytes),
    ("lag ms", "lag", _ratio),
)

COLUMNS: Mapping[str, Sequence[Column]] = {
    "full": (
        ("p50 ms", "p50", _ms),
        ("p99 ms", "p99", _ms),
        ("largest ms", "max", _ms),
        ("p99 / TCP's", "p99_ratio", _ratio),
        ("MB", "bytes", _megabytes),
        ("MB / TCP's", "bytes_ratio", _ratio),
        ("dropped by the queue", "dropped", _percent),
        ("link used", "used", _percent),
        ("by texts", "useful", _percent),
        ("shown after the end, ms", "after", _ms),
        ("most pending", "pending", _count),
        ("lag ms", "lag", _ratio),
    ),
    "lossy": _OF_LOSSY,
    "bursts": _OF_LOSSY,
    "beside": (
        ("download alone", "download_alone", _percent),
        ("download beside", "download_beside", _percent),
        ("p50 ms", "p50", _ms),
        ("p99 ms", "p99", _ms),
        ("largest ms", "max", _ms),
        ("p99 / TCP's", "p99_ratio", _ratio),
        ("most pending", "pending", _count),
        ("lag ms", "lag", _ratio),
    ),
    "slow": (
        ("p50 ms of the nine", "p50_fast", _ms),
        ("p99 ms", "p99_fast", _ms),
        ("largest ms", "max_fast", _ms),
        ("p99 ms of the slow one", "p99_slow", _ms),
        ("shown to it", "shown_slow", _percent),
        ("its link dropped", "dropped", _percent),
        ("its MB", "bytes", _megabytes),
        ("most pending", "pending", _count),
        ("lag ms", "lag", _ratio),
    ),
}


def with_ratios(found: Sequence[Measured]) -> list[Measured]:
    """The same, with each figure of a chat also as its ratio to TCP's under the same condition."""
    of_tcp = {(m.part, m.condition): m.figures for m in found if m.chat == TCP.name}
    completed = []
    for measured in found:
        other = of_tcp.get((measured.part, measured.condition), {})
        ratios = {
            f"{name}_ratio": value / other[name]
            for name, value in measured.figures.items()
            if measured.chat != TCP.name and 0 < other.get(name, 0) < NEVER
        }
        figures = measured.figures | ratios
        completed.append(
            Measured(measured.part, measured.chat, measured.condition, figures, measured.faults)
        )
    return completed


def tables(found: Sequence[Measured]) -> Iterator[str]:
    """Lines of Markdown: a table for each part that was measured."""
    titles = {chat.name: chat.title for chat in CHATS}
    completed = with_ratios(found)
    for part, columns in COLUMNS.items():
        rows = [measured for measured in completed if measured.part == part]
        if not rows:
            continue
        yield ""
        yield f"**{TITLES[part]}**"
        yield ""
        yield "| link | chat | " + " | ".join(heading for heading, _, _ in columns) + " | whole |"
        yield "|---" * (len(columns) + 3) + "|"
        for row in rows:
            cells = [
                write(row.figures[name]) if name in row.figures else ""
                for _, name, write in columns
            ]
            where = CONDITIONS[part](row.condition)
            verdict = ", ".join(row.faults) or "yes"
            yield f"| {where} | {titles[row.chat]} | {' | '.join(cells)} | {verdict} |"


# --- the command -----------------------------------------------------------------------------


def measure(
    plan: Mapping[str, Sequence[float]],
    chats: Sequence[Chat],
    effort: Effort,
    tell: Callable[[str], None],
) -> Iterator[Measured]:
    """What each chat does under each condition of each part of the plan, as it is measured."""
    for part, conditions in plan.items():
        for condition, chat in itertools.product(conditions, chats):
            tell(f"{part}: {CONDITIONS[part](condition)}, {chat.title}")
            yield PARTS[part](chat, condition, effort)


def _numbers(text: str) -> list[float]:
    numbers = [float(word) for word in text.split(",")]
    if not all(0 <= number < NEVER for number in numbers):
        raise ValueError
    return numbers


def read_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line; ends the program if it is wrong."""
    parser = argparse.ArgumentParser(
        prog="python3 -m benchmarks.links",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="Leave the machine alone meanwhile. With all its defaults it takes some 35 minutes."
        " It needs Linux, and root or: unshare --user --map-root-user --net python3 …",
    )
    defaults = Effort()
    parser.add_argument(
        "--parts", default=",".join(PARTS), help="some of these (default: %(default)s)"
    )
    parser.add_argument(
        "--rates",
        type=_numbers,
        metavar="KB,…",
        help="of full links, in kB/s (default: from 100 to 2000 in steps of a fourth; beside a"
        f" download {','.join(map(str, BESIDE_RATES))})",
    )
    parser.add_argument(
        "--slow-rates",
        type=_numbers,
        metavar="KB,…",
        default=list(SLOW_RATES),
        help="of the slow member's link; 0: it is as fast as any (default:"
        f" {','.join(map(str, SLOW_RATES))})",
    )
    parser.add_argument(
        "--losses",
        type=_numbers,
        metavar="SHARE,…",
        default=list(LOSSES),
        help=f"of lossy links (default: {','.join(f'{loss:g}' for loss in LOSSES)})",
    )
    parser.add_argument(
        "--chats",
        default=",".join(chat.name for chat in CHATS),
        help="some of these (default: %(default)s)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=defaults.seconds,
        help="how long one member speaks (default: %(default)g); on lossy links all of them speak"
        " six times as long, and the first third of it is counted apart",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=defaults.seed,
        help="of the wire's chance (default: %(default)s)",
    )
    parser.add_argument("--json", metavar="FILE", help="write all that was measured")
    arguments = parser.parse_args(argv)
    arguments.parts = arguments.parts.split(",")
    arguments.chats = arguments.chats.split(",")
    for part in arguments.parts:
        if part not in PARTS:
            parser.error(f"there is no part {part!r}: choose from {', '.join(PARTS)}")
    for name in arguments.chats:
        if name not in {chat.name for chat in CHATS}:
            parser.error(f"there is no chat {name!r}: choose from tcp, chat")
    if not 0.1 <= arguments.seconds <= 600:
        parser.error("--seconds takes a number from 0.1 to 600")
    if 0 in (arguments.rates or ()):
        parser.error("--rates takes numbers above 0")
    if any(loss > 1 for loss in arguments.losses):
        parser.error("--losses takes shares from 0 to 1")
    return arguments


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    arguments = read_arguments(argv)
    lacking = missing()
    if lacking is not None:
        print(f"the benchmark needs a wire: {lacking}", file=sys.stderr)
        return 1
    conditions: dict[str, Sequence[float]] = {
        "full": arguments.rates or RATES,
        "lossy": arguments.losses,
        "bursts": [loss for loss in arguments.losses if loss],
        "beside": arguments.rates or BESIDE_RATES,
        "slow": arguments.slow_rates,
    }
    plan = {part: conditions[part] for part in arguments.parts}
    chats = [chat for chat in CHATS if chat.name in arguments.chats]
    found: list[Measured] = []
    code = 0
    try:
        effort = Effort(arguments.seconds, arguments.seed)
        # What was measured before an error or Ctrl-C is kept.
        found.extend(measure(plan, chats, effort, lambda text: print(text, file=sys.stderr)))
    except (RuntimeError, OSError) as error:
        print(error, file=sys.stderr)
        code = 1
    except KeyboardInterrupt:
        code = 130
    print(*tables(found), sep="\n")
    if arguments.json:
        record: list[dict[str, Any]] = [asdict(measured) for measured in found]
        Path(arguments.json).write_text(json.dumps(record, indent=1), encoding="utf-8")
    return code


if __name__ == "__main__":
    sys.exit(main())
