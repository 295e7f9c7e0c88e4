"""A chat on a link that is nearly full, or overfull, beside TCP on the same link.

The two chats and their load are in chats_on_a_link.py. A download may run beside either, or others
may flood the link for a while.
"""

from __future__ import annotations

from dataclasses import dataclass

from tests.simulated.chats_on_a_link import (
    MESSAGE_COUNT,
    MESSAGES_PER_SECOND,
    ONE_WAY_SECONDS,
    Chat,
)
from tests.simulated.tcp_model import HEADER_BYTES, SEGMENT_BYTES_MAX, Path, connect
from udp_chat.protocol.delivery import quantile

SETTLE_SECONDS = 3.0
"""Before the talk: the joins are through, and a download has filled the link."""
FLOOD_SECONDS = (2.0, 4.0)
"""When others flood the link, counted from the first message."""
CALM_SECONDS = 6.0
"""From then on a chat should have got over it."""
PATIENCE_SECONDS = 60.0
"""How long it may take after the talk until everything is shown."""

ISSUE_RATES = (150_000, 250_000, 400_000)
"""Those that were measured on a wire. Bytes a second."""
RATES = sorted([*ISSUE_RATES, *(round(1000 * 100 * 1.25**step) for step in range(14)), 2_000_000])
"""From 100 kB/s to 2 MB/s, in steps of a fourth, and those."""

GOODPUT_MIN = 0.85
"""Of a link that the load does not fit. So the load fits where it needs no more than that."""

DOWNLOAD_MIN = 0.4
"""What a download keeps of a link, where the rest of it holds the chat's load."""


@dataclass(frozen=True)
class Figures:
    """What one chat did on one link. Bytes are those on the wire, with all headers from IP on."""

    latencies: list[float]
    """In seconds, of each message to each member; infinite: not shown."""
    calm_latencies: list[float]
    """The same of what was said from CALM_SECONDS on."""
    carried_bytes: int
    """Both ways, from the first message until everything was shown."""
    dropped_ratio: float
    """Of all packets, those that the queues dropped."""
    fill: float
    """How full the downlink was while they talked."""
    load: float
    """The part of the downlink that the messages of the talk need."""
    goodput: float
    """The part of the downlink that carried messages, until everything was shown."""
    waiting_count: int
    """Messages that were said and not shown to everyone when the talk ended."""
    pending_count: int
    """The most messages that their sender saw as pending."""
    download: float
    """The part of the downlink that the download had while they talked."""

    def __str__(self) -> str:
        return (
            f"p50 {self.quantile_ms(0.5):.0f} ms, p99 {self.quantile_ms(0.99):.0f} ms, later"
            f" {1000 * quantile(self.calm_latencies, 0.99):.0f} ms, {self.carried_bytes} bytes,"
            f" {self.dropped_ratio:.1%} dropped, goodput {self.goodput:.2f}, {self.waiting_count}"
            f" waiting, {self.pending_count} pending, download {self.download:.0%}"
        )

    def quantile_ms(self, ratio: float) -> float:
        return 1000 * quantile(self.latencies, ratio)

    @property
    def is_delivered(self) -> bool:
        return max(self.latencies) < float("inf")

    @property
    def fits(self) -> bool:
        return self.load <= GOODPUT_MIN


def missed(chat: Figures, tcp: Figures) -> list[str]:
    """Those bounds of issue 13 that the chat misses on a link without a download."""
    if chat.fits:
        p99_max_ms = min(300.0, 3 * tcp.quantile_ms(0.99))
        bounds = {
            f"p99 at most {p99_max_ms:.0f} ms": chat.quantile_ms(0.99) <= p99_max_ms,
            "bytes at most 1.6 of TCP's": chat.carried_bytes <= 1.6 * tcp.carried_bytes,
            "at most 1 % dropped": chat.dropped_ratio <= 0.01,
        }
    else:
        bounds = {
            f"goodput at least {GOODPUT_MIN}": chat.goodput >= GOODPUT_MIN,
            "what waits is pending": chat.pending_count >= chat.waiting_count / 2,
        }
    bounds["everything delivered"] = chat.is_delivered
    return [bound for bound, is_met in bounds.items() if not is_met]


def missed_beside_download(chat: Figures) -> list[str]:
    """Those bounds of issue 13 that the chat misses on a link that a download fills."""
    if chat.load > GOODPUT_MIN * (1 - DOWNLOAD_MIN):
        return []
    bounds = {
        f"download at least {DOWNLOAD_MIN:.0%}": chat.download >= DOWNLOAD_MIN,
        # At 400 kB/s it is the bound itself: a changed phase moves it by 50 ms either way.
        "p99 about 500 ms at most": chat.quantile_ms(0.99) < 550,
        "everything delivered": chat.is_delivered,
    }
    return [bound for bound, is_met in bounds.items() if not is_met]


def missed_after_flood(chat: Figures, tcp: Figures) -> list[str]:
    """What the chat misses once a flood is over, on a link that holds twice the load.

    The bounds are those of a link without a flood: a full queue must not keep itself full.
    """
    if chat.load > GOODPUT_MIN / 2:
        return []
    p99_ms = 1000 * quantile(chat.calm_latencies, 0.99)
    p99_max_ms = min(300.0, 3000 * quantile(tcp.calm_latencies, 0.99))
    bounds = {
        f"p99 at most {p99_max_ms:.0f} ms": p99_ms <= p99_max_ms,
        "everything delivered": chat.is_delivered,
    }
    return [bound for bound, is_met in bounds.items() if not is_met]


class Download:
    """An endless TCP download."""

    def __init__(self, chat: Chat) -> None:
        self.wire_bytes = 0.0
        """What has arrived in order, with its headers."""
        server, client = connect(
            Path(chat.clock, ONE_WAY_SECONDS, chat.down), Path(chat.clock, ONE_WAY_SECONDS, chat.up)
        )
        client.on_arrival = self._note
        server.write(10**12)

    def _note(self, received_bytes: int) -> None:
        self.wire_bytes = received_bytes * (1 + HEADER_BYTES / SEGMENT_BYTES_MAX)


def _plan_flood(chat: Chat) -> None:
    """Has others send as much as the downlink carries, for a while."""
    clock, down = chat.clock, chat.down
    begins_at, ends_at = (clock.now + seconds for seconds in FLOOD_SECONDS)
    packet_bytes = SEGMENT_BYTES_MAX + HEADER_BYTES
    pause_seconds = packet_bytes / down.bytes_per_second
    for number in range(int((ends_at - begins_at) / pause_seconds)):
        clock.at(begins_at + number * pause_seconds, lambda: down.take(packet_bytes, clock.now))


class _Reading:
    """What a link and a download have carried up to now."""

    def __init__(self, chat: Chat, download: Download | None) -> None:
        self.at = chat.clock.now
        self.down_bytes = chat.down.carried_bytes
        self.carried_bytes = chat.down.carried_bytes + chat.up.carried_bytes
        self.carried_count = chat.down.carried_count + chat.up.carried_count
        self.dropped_count = chat.down.dropped_count + chat.up.dropped_count
        self.downloaded_bytes = download.wire_bytes if download else 0.0


def measure(chat: Chat, *, with_download: bool = False, with_flood: bool = False) -> Figures:
    """Lets the room talk, and waits until everything is shown."""
    clock = chat.clock
    download = Download(chat) if with_download else None
    clock.run(SETTLE_SECONDS)
    if with_flood:
        _plan_flood(chat)
    begun = _Reading(chat, download)
    pending_count = 0
    for number in range(MESSAGE_COUNT):
        chat.say(number)
        clock.run(1 / MESSAGES_PER_SECOND)
        pending_count = max(pending_count, chat.pending_count())
    said = _Reading(chat, download)
    waiting_count = chat.waiting_count()
    gives_up_at = clock.now + PATIENCE_SECONDS
    while chat.waiting_count() and clock.now < gives_up_at:
        clock.run(0.010)
    shown = _Reading(chat, download)
    latencies = chat.latencies(said_from=begun.at)
    shown_count = sum(latency < float("inf") for latency in latencies)
    carried_count = shown.carried_count - begun.carried_count
    dropped_count = shown.dropped_count - begun.dropped_count
    # What the downlink could carry while they talked, and until everything was shown.
    talk_bytes = chat.down.bytes_per_second * (said.at - begun.at)
    all_bytes = chat.down.bytes_per_second * (shown.at - begun.at)
    return Figures(
        latencies=latencies,
        calm_latencies=chat.latencies(said_from=begun.at + CALM_SECONDS),
        carried_bytes=shown.carried_bytes - begun.carried_bytes,
        dropped_ratio=dropped_count / (carried_count + dropped_count),
        fill=(said.down_bytes - begun.down_bytes) / talk_bytes,
        load=len(latencies) * chat.message_bytes / talk_bytes,
        goodput=shown_count * chat.message_bytes / all_bytes,
        waiting_count=waiting_count,
        pending_count=pending_count,
        download=(said.downloaded_bytes - begun.downloaded_bytes) / talk_bytes,
    )
