"""What a wire does to packets: it loses, delays, duplicates, reorders and counts them.

A direction with a rate carries one packet after the other, and those that come meanwhile wait in
a queue. What comes to a full queue is dropped (tail drop, as most routers do it).

`Direction` is one way of the wire as a pure machine: packets enter with the time, and leave when
they are due. Its random numbers come from a seed. It draws as many for every packet, whatever the
settings, so the fate of the n-th packet of a direction depends on the seed, n and the settings
alone, and a packet lost at 5 % is lost at 10 % too.

`main` is the process that carries packets between two TUN devices; network.py starts it, as
a program of its own (so this file imports nothing of the project), because in a process that
also runs an experiment a packet would wait for the interpreter.
"""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import heapq
import json
import os
import random
import select
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

UNDER_WAY_MAX = 20_000
"""How many packets a direction holds; it drops more, and counts them as overflowed."""

BATCH_MAX = 64
"""Packets taken from one device before the other gets its turn."""

DIRECTIONS = ("up", "down")
"""From a to b, from b to a."""

PROTOCOLS = ("tcp", "udp", "icmp", "other")

_PROTOCOL_OF_NUMBER = {6: "tcp", 17: "udp", 1: "icmp"}


@dataclass(frozen=True, slots=True)
class Quality:
    """What one direction does to packets. Ratios from 0 to 1, durations in seconds."""

    loss: float = 0.0
    delay_seconds: float = 0.0
    jitter_seconds: float = 0.0
    """A packet takes up to so much longer, evenly spread. Jitter alone never reorders: a packet
    waits for the one before it, as in a router's queue."""
    duplication: float = 0.0
    """How many are delivered twice, one right behind the other."""
    reordering: float = 0.0
    """How many are held back, so that later ones overtake them …"""
    reorder_seconds: float = 0.01
    """… by so much."""
    cut: bool = False
    """Takes in no more packets. What is under way still arrives."""
    bytes_per_second: float = 0.0
    """The link's rate, in bytes of IP packets; 0: it takes no time to carry them. The delay is
    added to what the link takes. What `loss` takes does not come to the link."""
    queue_seconds: float = 0.2
    """A packet is dropped if it would have to wait longer than this for the link."""
    burst_packets: float = 1.0
    """How many packets in a row a loss takes on average; 1: each packet has its own luck."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            most = float("inf") if field.name.endswith(("_seconds", "_second", "_packets")) else 1
            if not 0 <= value <= most:
                raise ValueError(f"{field.name} cannot be {value}")


@dataclass(slots=True)
class Tally:
    """The IP packets of one protocol in one direction, and what became of them."""

    sent: int = 0
    """That came to the wire."""
    sent_bytes: int = 0
    """Of whole IP packets, headers included."""
    lost: int = 0
    cut: int = 0
    dropped: int = 0
    """By the queue before the link: it was full."""
    overflowed: int = 0
    duplicated: int = 0
    reordered: int = 0
    fragments: int = 0
    """Of those sent: parts of a datagram that was too large for one packet, the first included."""
    delivered: int = 0
    """Copies included."""
    delivered_bytes: int = 0

    def __sub__(self, earlier: Tally) -> Tally:
        """What has happened since."""
        return Tally(
            *(
                getattr(self, field.name) - getattr(earlier, field.name)
                for field in dataclasses.fields(self)
            )
        )


class Direction:
    """One way of the wire. `now` is in seconds of one monotonic clock."""

    def __init__(self, name: str, seed: int, quality: Quality) -> None:
        self.quality = quality
        self.tallies = {protocol: Tally() for protocol in PROTOCOLS}
        self._random = random.Random(f"{seed} {name}").random
        self._under_way: list[tuple[float, int, Tally, bytes]] = []
        self._number = 0
        self._latest_at = float("-inf")
        self._link_free_at = float("-inf")
        self._is_bad = False

    def receive(self, packet: bytes, now: float) -> None:
        """Takes in a packet and decides its fate."""
        # Always all four, so that the next packet's fate does not hang on this one's.
        draw = self._random
        loses, doubles, holds_back, jitters = draw(), draw(), draw(), draw()
        quality = self.quality
        is_ip4 = packet[0] >> 4 == 4 and len(packet) >= 20
        tally = self.tallies[_PROTOCOL_OF_NUMBER.get(packet[9], "other") if is_ip4 else "other"]
        tally.sent += 1
        tally.sent_bytes += len(packet)
        if is_ip4 and (packet[6] & 0x3F or packet[7]):  # more fragments, or an offset
            tally.fragments += 1
        if quality.cut:
            tally.cut += 1
            return
        if self._is_lost(loses):
            tally.lost += 1
            return
        if len(self._under_way) >= UNDER_WAY_MAX:
            tally.overflowed += 1
            return
        left_at = self._carry(len(packet), now)
        if left_at is None:
            tally.dropped += 1
            return
        at = left_at + quality.delay_seconds + jitters * quality.jitter_seconds
        if holds_back < quality.reordering:
            tally.reordered += 1
            at += quality.reorder_seconds
        else:
            at = self._latest_at = max(at, self._latest_at)
        copies = 1
        if doubles < quality.duplication:
            tally.duplicated += 1
            copies = 2
        for _ in range(copies):
            self._number += 1
            heapq.heappush(self._under_way, (at, self._number, tally, packet))

    def _is_lost(self, draw: float) -> bool:
        """Whether loss takes this packet; `draw` is evenly spread from 0 to 1.

        Bursts follow Gilbert's model: the way is good or bad, and each packet may find it changed.
        While it is bad, it loses all.
        """
        loss, burst_packets = self.quality.loss, self.quality.burst_packets
        if burst_packets <= 1 or loss >= 1:
            return draw < loss
        turns_bad = loss / (1 - loss) / burst_packets
        self._is_bad = draw >= 1 / burst_packets if self._is_bad else draw < turns_bad
        return self._is_bad

    def _carry(self, size_bytes: int, now: float) -> float | None:
        """When a packet that comes now has left the link; None if the queue drops it."""
        quality = self.quality
        if quality.bytes_per_second <= 0:
            return now
        begins_at = max(self._link_free_at, now)
        if begins_at - now > quality.queue_seconds:
            return None
        self._link_free_at = begins_at + size_bytes / quality.bytes_per_second
        return self._link_free_at

    def next_timeout(self) -> float | None:
        """When the next packet is due; None if none is under way."""
        return self._under_way[0][0] if self._under_way else None

    def packets_to_deliver(self, now: float) -> list[bytes]:
        """The packets that are due."""
        packets = []
        while self._under_way and self._under_way[0][0] <= now:
            _, _, tally, packet = heapq.heappop(self._under_way)
            tally.delivered += 1
            tally.delivered_bytes += len(packet)
            packets.append(packet)
        return packets


def counters_of(directions: Mapping[str, Direction]) -> dict[str, Any]:
    """All tallies as JSON takes them."""
    return {
        name: {protocol: dataclasses.astuple(tally) for protocol, tally in way.tallies.items()}
        for name, way in directions.items()
    }


# --- the process -----------------------------------------------------------------------------


def carry(
    ends: tuple[int, int], control: socket.socket, directions: Mapping[str, Direction]
) -> None:
    """Carries packets between two TUN devices until the control socket is closed.

    A request on it is an object of qualities by direction, perhaps empty; the answer, once they
    are in force, is all counters.
    """
    up, down = directions["up"], directions["down"]
    ways = ((ends[0], up, ends[1]), (ends[1], down, ends[0]))
    waits_for = [*ends, control.fileno()]
    monotonic = time.monotonic
    while True:
        due = [at for at in (up.next_timeout(), down.next_timeout()) if at is not None]
        timeout = max(0.0, min(due) - monotonic()) if due else None
        ready, _, _ = select.select(waits_for, (), (), timeout)
        for source, way, _ in ways:
            if source in ready:
                now = monotonic()
                for packet in _read(source):
                    way.receive(packet, now)
        if control.fileno() in ready:
            request = control.recv(65536)
            if not request:
                return
            for name, values in json.loads(request).items():
                directions[name].quality = Quality(**values)
            control.send(json.dumps(counters_of(directions)).encode())
        now = monotonic()
        for _, way, target in ways:
            for packet in way.packets_to_deliver(now):
                try:
                    os.write(target, packet)
                except OSError as error:  # the device's end is down
                    print(f"wire: {error}", file=sys.stderr)


def _read(device: int) -> list[bytes]:
    packets: list[bytes] = []
    with contextlib.suppress(BlockingIOError):
        while len(packets) < BATCH_MAX:
            packets.append(os.read(device, 65536))  # one packet a call
    return packets


def main(arguments: Sequence[str]) -> int:
    """`link.py DEVICE DEVICE CONTROL SEED QUALITIES`: three file descriptors that we inherit, a
    number, and qualities by direction as JSON."""
    # The process that started us decides when we end: Ctrl-C is meant for it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Hardware does not wait for its turn on a busy processor. Allowed to root.
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    gc.disable()  # nothing here makes cycles; a collection would delay packets
    device_a, device_b, control, seed = map(int, arguments[:4])
    qualities = json.loads(arguments[4])
    directions = {name: Direction(name, seed, Quality(**qualities[name])) for name in DIRECTIONS}
    with socket.socket(fileno=control) as channel:
        channel.send(b"{}")
        carry((device_a, device_b), channel, directions)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
