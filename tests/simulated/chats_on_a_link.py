"""Two chats under the same load on a link that all members share: this one, and one over TCP.

Ten members, one of whom says 50 messages of 200 bytes a second for 10 s; 20 ms one way; each way
of the link serialises and has a queue of 0.2 s that drops what does not fit. Nothing else is lost.
The TCP chat is that of compare/chats, on the model of tcp_model.py.
"""

from __future__ import annotations

from functools import partial
from typing import Protocol

from compare.chats.framing import frame
from compare.chats.messages import Kind, Message
from tests.simulated.bottleneck import Bottleneck
from tests.simulated.simulated_network import Faults, RecordedLog, SimulatedNetwork
from tests.simulated.talk import Talk, gather
from tests.simulated.tcp_model import Path, connect
from tests.simulated.virtual_clock import VirtualClock

MEMBER_COUNT = 10
MESSAGES_PER_SECOND = 50
MESSAGE_COUNT = 500
TEXT_BYTES = 200
ONE_WAY_SECONDS = 0.020
QUEUE_SECONDS = 0.200


class Chat(Protocol):
    """What either chat tells about itself."""

    clock: VirtualClock
    down: Bottleneck
    up: Bottleneck

    @property
    def message_bytes(self) -> int:
        """What a message takes, without the headers of packets."""

    def say(self, number: int) -> None:
        """Has the speaker say a message of its own for each number."""

    def latencies(self, said_from: float) -> list[float]:
        """Of what was said from then on, to each member, in seconds; infinite: not shown."""

    def waiting_count(self) -> int:
        """Messages that were said and are not shown to everyone."""

    def pending_count(self) -> int:
        """Those of them that their sender sees as pending."""


class UdpChat:
    """This project's chat in the simulated network."""

    def __init__(self, bytes_per_second: float, seed: int = 1) -> None:
        self._network = SimulatedNetwork(seed, Faults(delay_seconds=ONE_WAY_SECONDS))
        self.clock: VirtualClock = self._network
        self._network.narrow(bytes_per_second, QUEUE_SECONDS)
        self.down, self.up = (self._network.bottlenecks[-1, up] for up in (False, True))
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
        self.down, self.up = (Bottleneck(bytes_per_second, QUEUE_SECONDS) for _ in range(2))
        self._said_at: list[float] = []
        self._relayed_count = 0
        self._shown: list[list[float]] = [[] for _ in range(MEMBER_COUNT)]
        """When each member was shown each message."""
        up, down = (Path(self.clock, ONE_WAY_SECONDS, way) for way in (self.up, self.down))
        connections = [connect(up, down) for _ in range(MEMBER_COUNT)]
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
