"""A room in which the link of one member carries less than what is said.

The talk of chats_on_a_link.py: ten members, 50 messages of 200 bytes a second, for 10 s. One
member's own link carries 8 kB/s and needs 11; the others' links are not limited. Does anybody else
notice?
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulated.chats_on_a_link import (
    MEMBER_COUNT,
    MESSAGE_COUNT,
    MESSAGES_PER_SECOND,
    ONE_WAY_SECONDS,
    QUEUE_SECONDS,
    TEXT_BYTES,
)
from tests.simulated.simulated_network import Faults, SimulatedNetwork
from tests.simulated.talk import Talk, gather
from udp_chat.protocol.delivery import quantile

SLOW_BYTES_PER_SECOND = 8_000
PATIENCE_SECONDS = 60.0

OTHERS_P99_MAX_MS = 45.0
"""The same as without a slow member."""


@dataclass(frozen=True)
class Figures:
    """What the slow member got, and how late the others got theirs."""

    others_p50_ms: float
    others_p99_ms: float
    shown_count: int
    """Messages that the slow member was shown, of MESSAGE_COUNT."""
    gap_count: int
    """Messages of which it was shown that they are lost to it."""
    caught_up_seconds: float
    """From the end of the talk until it was shown the last one."""
    dropped_ratio: float
    """Of the datagrams to it, those that its link's queue dropped."""


def missed(figures: Figures) -> list[str]:
    """Those bounds of issue 13 that the room misses."""
    bounds = {
        f"others' p99 at most {OTHERS_P99_MAX_MS:.0f} ms": figures.others_p99_ms
        <= OTHERS_P99_MAX_MS,
        "each message or its gap shown": figures.shown_count + figures.gap_count >= MESSAGE_COUNT,
    }
    return [bound for bound, is_met in bounds.items() if not is_met]


def measure(bytes_per_second: float = SLOW_BYTES_PER_SECOND, seed: int = 1) -> Figures:
    """Lets the room talk, and the slow member catch up. An infinite rate makes nobody slow."""
    network = SimulatedNetwork(seed, Faults(delay_seconds=ONE_WAY_SECONDS))
    users = gather(network, MEMBER_COUNT)
    slow = users[-1]
    network.narrow(bytes_per_second, QUEUE_SECONDS, slow)
    talk = Talk(network)
    network.run(1.0)
    for number in range(MESSAGE_COUNT):
        talk.say(users[0], f"{number} ".ljust(TEXT_BYTES, "x"))
        network.run(1 / MESSAGES_PER_SECOND)
    ended_at = network.now
    talk.wait(PATIENCE_SECONDS)
    mine = [showing for showing in talk.showings if showing.user == slow.number]
    others = [s.latency_seconds for s in talk.showings if s.user != slow.number]
    others += [float("inf")] * (MESSAGE_COUNT * (MEMBER_COUNT - 1) - len(others))
    down = network.bottlenecks[slow.number, False]
    return Figures(
        others_p50_ms=1000 * quantile(others, 0.5),
        others_p99_ms=1000 * quantile(others, 0.99),
        shown_count=len(mine),
        gap_count=talk.gap_counts[slow.number],
        caught_up_seconds=max((s.shown_at for s in mine), default=float("inf")) - ended_at,
        dropped_ratio=down.dropped_count / (down.carried_count + down.dropped_count),
    )
