"""A room whose members share one link that is nearly full, or overfull; and TCP on the same link.

Ten members, one of whom says 50 messages of 200 bytes a second for 10 s; 20 ms one way; each way
of the link serialises and has a queue of 0.2 s that drops what does not fit. Nothing else is lost.
The TCP chat is that of compare/chats on `tcp_model`. A download may run beside either chat, or
others may flood the link for a while.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Protocol

from compare.chats.framing import frame
from compare.chats.messages import Kind, Message
from tests.simulated.bottleneck import Bottleneck
from tests.simulated.simulated_network import Faults, RecordedLog, SimulatedNetwork
from tests.simulated.talk import Talk, gather
from tests.simulated.tcp_model import HEADER_BYTES, SEGMENT_BYTES_MAX, Path, connect
from tests.simulated.virtual_clock import VirtualClock
from udp_chat.protocol.delivery import quantile

MEMBER_COUNT = 10
MESSAGES_PER_SECOND = 50
MESSAGE_COUNT = 500
TALK_SECONDS = MESSAGE_COUNT / MESSAGES_PER_SECOND
TEXT_BYTES = 200
ONE_WAY_SECONDS = 0.020
QUEUE_SECONDS = 0.200
SETTLE_SECONDS = 3.0
"""Before the talk: the joins are through, and a download has filled the link."""
FLOOD_SECONDS = (2.0, 4.0)
"""When others flood the link, counted from the first message."""
CALM_SECONDS = 6.0
"""From then on a chat should have got over it."""
PATIENCE_SECONDS = 60.0
"""How long it may take after the talk until everything is shown."""

RATES = (*(round(1000 * 100 * 1.25**step) for step in range(14)), 2_000_000)
"""Bytes a second, in steps of a fourth."""

GOODPUT_MIN = 0.85
"""Of a link that the load does not fit. So the load fits where it needs no more than that."""

DOWNLOAD_MIN = 0.4
"""What a download keeps of a link, where the rest of it holds the chat's load."""


@dataclass(frozen=True)
class Figures:
    """What one chat did on one link. Bytes are those on the wire, with all headers from IP on."""

    bytes_per_second: float
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
        "p99 below 500 ms": chat.quantile_ms(0.99) < 500,
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


class Chat(Protocol):
    """A room on one link: what `measure` needs of either chat."""

    clock: VirtualClock
    down: Path
    up: Path

    @property
    def message_bytes(self) -> int:
        """What a message takes, without the headers of packets."""

    def say(self, number: int) -> None: ...

    def latencies(self, said_from: float) -> list[float]: ...

    def waiting_count(self) -> int: ...

    def pending_count(self) -> int: ...


class UdpChat:
    """This project's chat in the simulated network."""

    def __init__(self, bytes_per_second: float, seed: int = 1) -> None:
        self._network = SimulatedNetwork(seed, Faults(delay_seconds=ONE_WAY_SECONDS))
        self.clock: VirtualClock = self._network
        self._network.narrow(bytes_per_second, QUEUE_SECONDS)
        self.down, self.up = (
            Path(self.clock, ONE_WAY_SECONDS, self._network.bottlenecks[-1, up])
            for up in (False, True)
        )
        self._users = gather(self._network, MEMBER_COUNT)
        self._talk = Talk(self._network)

    @property
    def message_bytes(self) -> int:
        """An event as it is encoded in the log; the newest stands for all."""
        log = self._network.room.log
        assert isinstance(log, RecordedLog)
        return len(log.recorded[-1])

    def say(self, number: int) -> None:
        self._talk.say(self._users[0], f"{number} ".ljust(TEXT_BYTES, "x"))

    def latencies(self, said_from: float) -> list[float]:
        return self._talk.latencies(begins_at=said_from)

    def waiting_count(self) -> int:
        return self._talk.said_count - len(self._talk.showings) // MEMBER_COUNT

    def pending_count(self) -> int:
        session = self._users[0].session
        return session.pending_count if session else 0


class TcpChat:
    """A connection for each member; the server relays what it has read whole to all of them."""

    said_bytes = len(frame(Message(Kind.SAY, text="x" * TEXT_BYTES)))
    message_bytes = len(frame(Message(Kind.CHAT, "User0", "x" * TEXT_BYTES)))

    def __init__(self, bytes_per_second: float) -> None:
        self.clock = VirtualClock()
        self.down, self.up = (
            Path(self.clock, ONE_WAY_SECONDS, Bottleneck(bytes_per_second, QUEUE_SECONDS))
            for _ in range(2)
        )
        self._said_at: list[float] = []
        self._relayed_count = 0
        self._shown: list[list[float]] = [[] for _ in range(MEMBER_COUNT)]
        """When each member was shown each message."""
        connections = [connect(self.up, self.down) for _ in range(MEMBER_COUNT)]
        self._speaker = connections[0][0]
        self._servers = [server for _, server in connections]
        self._servers[0].on_arrival = self._relay
        for shown, (client, _) in zip(self._shown, connections, strict=True):
            client.on_arrival = partial(self._show, shown)

    def say(self, number: int) -> None:
        self._said_at.append(self.clock.now)
        self._speaker.write(self.said_bytes)

    def _relay(self, arrived_bytes: int) -> None:
        while self._relayed_count < arrived_bytes // self.said_bytes:
            self._relayed_count += 1
            for server in self._servers:
                server.write(self.message_bytes)

    def _show(self, shown: list[float], arrived_bytes: int) -> None:
        new_count = arrived_bytes // self.message_bytes - len(shown)
        shown += [self.clock.now] * new_count

    def latencies(self, said_from: float) -> list[float]:
        never = [float("inf")] * len(self._said_at)
        return [
            shown_at - said_at
            for shown in self._shown
            for said_at, shown_at in zip(self._said_at, shown + never, strict=False)
            if said_at >= said_from
        ]

    def waiting_count(self) -> int:
        return len(self._said_at) - min(map(len, self._shown))

    def pending_count(self) -> int:
        return 0  # the kernel's buffer holds it, and nobody sees it


class Download:
    """An endless TCP download."""

    def __init__(self, down: Path, up: Path) -> None:
        self.wire_bytes = 0.0
        """What has arrived in order, with its headers."""
        server, client = connect(down, up)
        client.on_arrival = self._note
        server.write(10**12)

    def _note(self, received_bytes: int) -> None:
        self.wire_bytes = received_bytes * (1 + HEADER_BYTES / SEGMENT_BYTES_MAX)


def _plan_flood(clock: VirtualClock, way: Bottleneck) -> None:
    """Has others send as much as the link carries, for a while."""
    begins_at, ends_at = (clock.now + seconds for seconds in FLOOD_SECONDS)
    packet_bytes = SEGMENT_BYTES_MAX + HEADER_BYTES
    pause_seconds = packet_bytes / way.bytes_per_second
    for number in range(int((ends_at - begins_at) / pause_seconds)):
        clock.at(begins_at + number * pause_seconds, lambda: way.take(packet_bytes, clock.now))


def measure(chat: Chat, *, with_download: bool = False, with_flood: bool = False) -> Figures:
    """Lets the room talk, and waits until everything is shown."""
    clock = chat.clock
    download = Download(chat.down, chat.up) if with_download else None
    clock.run(SETTLE_SECONDS)
    ways = [path.bottleneck for path in (chat.down, chat.up) if path.bottleneck]
    begun_at = clock.now
    if with_flood:
        _plan_flood(clock, ways[0])
    rate = ways[0].bytes_per_second
    carried_bytes, carried_count, dropped_count = _counts(ways)
    down_bytes = ways[0].carried_bytes
    downloaded_bytes = download.wire_bytes if download else 0.0
    pending_count = 0
    for number in range(MESSAGE_COUNT):
        chat.say(number)
        clock.run(1 / MESSAGES_PER_SECOND)
        pending_count = max(pending_count, chat.pending_count())
    waiting_count = chat.waiting_count()
    fill = (ways[0].carried_bytes - down_bytes) / (rate * TALK_SECONDS)
    if download:
        downloaded_bytes = download.wire_bytes - downloaded_bytes
    gives_up_at = clock.now + PATIENCE_SECONDS
    while chat.waiting_count() and clock.now < gives_up_at:
        clock.run(0.010)
    after = _counts(ways)
    carried = after[1] - carried_count
    dropped = after[2] - dropped_count
    latencies = chat.latencies(said_from=begun_at)
    shown_bytes = chat.message_bytes * sum(latency < float("inf") for latency in latencies)
    return Figures(
        bytes_per_second=rate,
        latencies=latencies,
        calm_latencies=chat.latencies(said_from=begun_at + CALM_SECONDS),
        carried_bytes=after[0] - carried_bytes,
        dropped_ratio=dropped / (carried + dropped),
        fill=fill,
        load=chat.message_bytes * len(latencies) / (rate * TALK_SECONDS),
        goodput=shown_bytes / (rate * (clock.now - begun_at)),
        waiting_count=waiting_count,
        pending_count=pending_count,
        download=downloaded_bytes / (rate * TALK_SECONDS),
    )


def _counts(ways: list[Bottleneck]) -> tuple[int, int, int]:
    """Bytes carried, packets carried, packets dropped."""
    return (
        sum(way.carried_bytes for way in ways),
        sum(way.carried_count for way in ways),
        sum(way.dropped_count for way in ways),
    )
