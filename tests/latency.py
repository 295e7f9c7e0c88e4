"""How late messages are, in virtual time: figures of this code, whatever machine runs it.

``python3 -m tests.latency [TABLE …] [--seeds N] [--jobs N] [--loss …] [--rates …]``

- *lossy*: links that lose by chance; *bursts*: links that lose in a row. Runs are pooled.
- *full*: one link that all members share, of many rates, beside the TCP chat on such a link
- *download*: the same with a TCP download on that link
- *flood*: the same after others have flooded that link for two seconds
- *slow*: one member whose own link carries less than what is said

Of the last four, a row shows the worst run. The last column names the bounds that a row misses; if
any does, the exit code is 1. The bounds are those of issue 13, but for *flood*, which has its own.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from tests.simulated import full_links, lossy_links, slow_member
from tests.simulated.chats_on_a_link import TcpChat, UdpChat
from tests.simulated.lossy_links import Link, Period
from udp_chat.protocol.delivery import quantile

Case = TypeVar("Case")
Result = TypeVar("Result")

Row = tuple[list[str], list[str]]
"""The cells, and the bounds that are missed."""

DOWNLOAD_RATES = (250_000, 400_000, 800_000, 1_600_000)
FLOOD_RATES = (250_000, 300_000, 400_000, 600_000, 1_000_000, 2_000_000)
SLOW_RATES = (float("inf"), 16_000, 8_000, 4_000)
"""Bytes a second."""


@dataclass(frozen=True)
class Plan:
    """What to run: with how many seeds, in how many processes, which rows (none named: all)."""

    seed_count: int
    jobs: int
    losses: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()

    def run(
        self, measure: Callable[[tuple[Case, int]], Result], cases: Iterable[Case]
    ) -> Iterator[tuple[Case, list[Result]]]:
        """Each case, in order, with what `measure` returns for it and each seed."""
        kept = list(cases)
        runs = [(case, seed) for case in kept for seed in range(1, self.seed_count + 1)]
        results = self._results(measure, runs)
        for case in kept:
            yield case, [next(results) for _ in range(self.seed_count)]

    def _results(
        self, measure: Callable[[tuple[Case, int]], Result], runs: list[tuple[Case, int]]
    ) -> Iterator[Result]:
        if self.jobs == 1:
            yield from map(measure, runs)
            return
        with multiprocessing.Pool(self.jobs) as pool:
            yield from pool.imap(measure, runs)


# --- links that lose -------------------------------------------------------------------------

LOSSY_HEAD = (
    "loss each way | messages of the | delivered | p50 | p90 | p99 | longest"
    " | datagrams for each shown message"
)


def _measure_lossy(run: tuple[Link, int]) -> tuple[Period, Period]:
    return lossy_links.measure(*run)


def _lossy(plan: Plan, *, in_bursts: bool) -> Iterator[Row]:
    links = [
        link
        for link in lossy_links.WANTED
        if bool(link.burst_count) == in_bursts and (not plan.losses or link.loss in plan.losses)
    ]
    for link, periods in plan.run(_measure_lossy, links):
        young, grown = (lossy_links.pooled(period) for period in zip(*periods, strict=True))
        for which, period in (("first 20 s", young), ("next 30 s", grown)):
            yield (
                [
                    *(f"{link.loss:.0%}", which, f"{period.delivered:.2%}"),
                    *(f"{period.quantile_ms(ratio):.0f} ms" for ratio in (0.5, 0.9, 0.99, 1.0)),
                    f"{period.datagrams_per_shown:.2f}",
                ],
                lossy_links.missed(link, period),
            )


# --- links that are full ---------------------------------------------------------------------

FULL_HEAD = (
    "rate, kB/s | load | TCP: p50 | p99 | MB | dropped | goodput | udp-chat: p50 | p99 | MB"
    " | dropped | link full | goodput | waiting | pending"
)


def _measure_full(run: tuple[float, int]) -> tuple[full_links.Figures, full_links.Figures]:
    rate, seed = run
    return full_links.measure(UdpChat(rate, seed)), full_links.measure(TcpChat(rate))


def _full(plan: Plan) -> Iterator[Row]:
    for rate, pairs in plan.run(_measure_full, plan.rates or full_links.RATES):
        chat, tcp = max(pairs, key=lambda pair: pair[0].quantile_ms(0.99))
        missed = {bound: True for pair in pairs for bound in full_links.missed(*pair)}
        yield (
            [
                *(f"{rate / 1000:.0f}", f"{chat.load:.2f}"),
                *(f"{tcp.quantile_ms(ratio):.0f} ms" for ratio in (0.5, 0.99)),
                *(
                    f"{tcp.carried_bytes / 1e6:.2f}",
                    f"{tcp.dropped_ratio:.1%}",
                    f"{tcp.goodput:.2f}",
                ),
                *(f"{chat.quantile_ms(ratio):.0f} ms" for ratio in (0.5, 0.99)),
                *(f"{chat.carried_bytes / 1e6:.2f}", f"{chat.dropped_ratio:.1%}"),
                *(f"{chat.fill:.2f}", f"{chat.goodput:.2f}"),
                *(f"{chat.waiting_count}", f"{chat.pending_count}"),
            ],
            list(missed),
        )


DOWNLOAD_HEAD = (
    "rate, kB/s | load | TCP chat: p99 | download | udp-chat: p50 | p99 | dropped | download"
)


def _measure_download(run: tuple[float, int]) -> tuple[full_links.Figures, full_links.Figures]:
    rate, seed = run
    chat = full_links.measure(UdpChat(rate, seed), with_download=True)
    return chat, full_links.measure(TcpChat(rate), with_download=True)


def _download(plan: Plan) -> Iterator[Row]:
    for rate, pairs in plan.run(_measure_download, plan.rates or DOWNLOAD_RATES):
        chat, tcp = max(pairs, key=lambda pair: pair[0].quantile_ms(0.99))
        missed = {
            bound: True for pair in pairs for bound in full_links.missed_beside_download(pair[0])
        }
        yield (
            [
                *(f"{rate / 1000:.0f}", f"{chat.load:.2f}"),
                *(f"{tcp.quantile_ms(0.99):.0f} ms", f"{tcp.download:.0%}"),
                *(f"{chat.quantile_ms(ratio):.0f} ms" for ratio in (0.5, 0.99)),
                *(f"{chat.dropped_ratio:.1%}", f"{min(pair[0].download for pair in pairs):.0%}"),
            ],
            list(missed),
        )


FLOOD_HEAD = "rate, kB/s | load | TCP chat afterwards: p50 | p99 | udp-chat afterwards: p50 | p99"


def _measure_flood(run: tuple[float, int]) -> tuple[full_links.Figures, full_links.Figures]:
    rate, seed = run
    chat = full_links.measure(UdpChat(rate, seed), with_flood=True)
    return chat, full_links.measure(TcpChat(rate), with_flood=True)


def _flood(plan: Plan) -> Iterator[Row]:
    for rate, pairs in plan.run(_measure_flood, plan.rates or FLOOD_RATES):
        chat, tcp = max(pairs, key=lambda pair: quantile(pair[0].calm_latencies, 0.99))
        missed = {bound: True for pair in pairs for bound in full_links.missed_after_flood(*pair)}
        yield (
            [
                *(f"{rate / 1000:.0f}", f"{chat.load:.2f}"),
                *(f"{1000 * quantile(tcp.calm_latencies, ratio):.0f} ms" for ratio in (0.5, 0.99)),
                *(f"{1000 * quantile(chat.calm_latencies, ratio):.0f} ms" for ratio in (0.5, 0.99)),
            ],
            list(missed),
        )


# --- one slow member -------------------------------------------------------------------------

SLOW_HEAD = (
    "its link, kB/s | the others' p50 | p99 | shown to it | gap | the last after | dropped to it"
)


def _measure_slow(run: tuple[float, int]) -> slow_member.Figures:
    return slow_member.measure(*run)


def _slow(plan: Plan) -> Iterator[Row]:
    for rate, several in plan.run(_measure_slow, plan.rates or SLOW_RATES):
        worst = max(several, key=lambda figures: figures.others_p99_ms)
        missed = {bound: True for figures in several for bound in slow_member.missed(figures)}
        yield (
            [
                f"{rate / 1000:.0f}",
                *(f"{worst.others_p50_ms:.0f} ms", f"{worst.others_p99_ms:.0f} ms"),
                *(f"{worst.shown_count}", f"{worst.gap_count}"),
                *(f"{worst.caught_up_seconds:.1f} s", f"{worst.dropped_ratio:.1%}"),
            ],
            list(missed),
        )


# --- the command -----------------------------------------------------------------------------

TABLES: dict[str, tuple[str, Callable[[Plan], Iterator[Row]]]] = {
    "lossy": (LOSSY_HEAD, partial(_lossy, in_bursts=False)),
    "bursts": (LOSSY_HEAD, partial(_lossy, in_bursts=True)),
    "full": (FULL_HEAD, _full),
    "download": (DOWNLOAD_HEAD, _download),
    "flood": (FLOOD_HEAD, _flood),
    "slow": (SLOW_HEAD, _slow),
}


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.latency",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("tables", nargs="*", metavar="TABLE", help="default: all of them")
    parser.add_argument("--seeds", type=int, default=20, help="runs a row (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default: %(default)s)")
    parser.add_argument(
        "--loss",
        type=lambda text: float(text) / 100,
        nargs="+",
        default=(),
        metavar="PERCENT",
        help="these rows of lossy and bursts: 0, 1, 5, 10, 20",
    )
    parser.add_argument(
        "--rates",
        type=lambda text: 1000 * float(text),
        nargs="+",
        default=(),
        metavar="KB",
        help="these rates, in kB/s, of full, download and slow",
    )
    arguments = parser.parse_args(argv)
    unknown = set(arguments.tables) - set(TABLES)
    if unknown:
        parser.error(f"no such table: {', '.join(sorted(unknown))} (there are {', '.join(TABLES)})")
    plan = Plan(arguments.seeds, arguments.jobs, tuple(arguments.loss), tuple(arguments.rates))
    is_all_met = True
    for name in arguments.tables or TABLES:
        head, rows = TABLES[name]
        print(f"\n{name}:\n\n| {head} | missed |\n|{'---|' * (head.count('|') + 2)}", flush=True)
        for cells, missed in rows(plan):
            is_all_met &= not missed
            print(f"| {' | '.join(cells)} | {'; '.join(missed)} |", flush=True)
    return 0 if is_all_met else 1


if __name__ == "__main__":
    sys.exit(main())
