"""Datagram size.

Question: how large may a datagram be, and what does a larger one cost?

Method: bare sockets at the two ends of a wire whose MTU is 1500 bytes. Messages of 1 byte to 70 kB
go from one to the other, as UDP datagrams and down a TCP connection. Each is sent after the one
before has arrived or has had its time. First the wire is good, and the packets that it takes from
the sender are counted. Then it loses 5 % of the packets each way, and the messages that arrive
whole are counted.

Expect: IP cuts what is larger than the MTU into fragments, and a datagram arrives only if all of
them do: 0.95 to the power of their number. At 65,507 bytes UDP ends (16 bits for the length, less
two headers): the kernel refuses a larger one with EMSGSIZE. TCP cuts its stream into segments as
large as the MTU allows, and retransmits the lost ones, so all arrives, of any size.

Command: python3 -m compare datagram-size
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from compare.experiments.experiment import Effort, Experiment, Headline, Plot, Result, Tell
from compare.experiments.participants import at_once
from compare.experiments.voice import Voice, remarks, words
from compare.wire.network import Wire
from udp_chat.protocol.packets import DATAGRAM_BYTES_MAX

PROTOCOLS = ("plain", "tcp")

SIZES = (1, 100, 1200, 1472, 1473, 5000, 20_000, 65_507, 65_508, 70_000)
"""1472 bytes, 8 of UDP's header and 20 of IP's are 1500."""

QUICK_SIZES = (1, 1200, 1473, 20_000, 65_507, 65_508)

MTU = 1500
LOSS = 0.05
DELAY_SECONDS = 0.001

GOOD_MESSAGES = 5
"""On the good wire each is like the next."""

FLIGHT_SECONDS = 0.02
"""A datagram that takes longer is lost, or else it is counted with the next."""

PATIENCE_SECONDS = 10.0
"""How long TCP may take for one message."""

BUFFER_BYTES = 128 * 1024

FRAGMENTS_BYTES_MAX = 64 * 1024 * 1024
"""What the receiving kernel may keep of incomplete datagrams. It keeps each for 30 s,
and with its default of 4 MB it soon drops all further fragments: a loss of its own."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What happened to messages of one size, sent by one protocol."""

    sent: int
    """On the lossy wire."""
    arrived: int
    good_sent: int
    good_arrived: int
    good_packets: int
    """From the sender, on the good wire."""
    error: int = 0
    """The `errno` with which the kernel refused them; 0 if it did not."""


def measure(effort: Effort, tell: Tell) -> Result:
    sizes = effort.choose(SIZES, QUICK_SIZES)
    counts = {"plain": effort.choose(200, 60), "tcp": effort.choose(20, 6)}
    seeds = effort.seeds(effort.choose(3, 1))
    cases = list(itertools.product(PROTOCOLS, map(float, sizes), seeds))

    def attempt(case: tuple[str, float, int]) -> Trial:
        protocol, size, seed = case
        with Wire(delay_seconds=DELAY_SECONDS, mtu=MTU, seed=seed) as wire:
            return _try(protocol, int(size), counts[protocol], wire)

    runs: list[tuple[str, float, Trial]] = []
    for seed in seeds:
        tell(f"all sizes at once, seed {seed}")
        chosen = [case for case in cases if case[-1] == seed]
        trials = at_once(attempt, chosen)
        runs += [(*case[:2], trial) for case, trial in zip(chosen, trials, strict=True)]
    settings = {
        "seeds": list(seeds),
        "messages": counts,
        "mtu_bytes": MTU,
        "loss": LOSS,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
        "errors": {
            f"{protocol} {size:.0f}": errno.errorcode[trial.error]
            for protocol, size, trial in runs
            if trial.error
        },
    }
    told = remarks("datagram-size", most=DATAGRAM_BYTES_MAX)
    return Result.of(runs, analyse, settings=settings, remarks=told)


def _try(protocol: str, size: int, count: int, wire: Wire) -> Trial:
    exchange = _datagrams if protocol == "plain" else _stream
    with exchange(wire, bytes(size)) as send:
        before = wire.counters["up"]
        try:
            good_arrived = send(GOOD_MESSAGES)
        except OSError as error:
            if error.errno != errno.EMSGSIZE:
                raise
            return Trial(count, 0, GOOD_MESSAGES, 0, 0, errno.EMSGSIZE)
        after = wire.counters["up"]
        wire.set(loss=LOSS)
        arrived = send(count)
    packets = sum(after[name].sent - before[name].sent for name in after)
    return Trial(count, arrived, GOOD_MESSAGES, good_arrived, packets)


@contextlib.contextmanager
def _datagrams(wire: Wire, message: bytes) -> Iterator[Callable[[int], int]]:
    """A function that sends the message so often by UDP, and counts how often it arrives."""
    with contextlib.ExitStack() as stack:
        with wire.inside("b"):
            with contextlib.suppress(OSError):  # where this is not allowed, fewer large ones arrive
                Path("/proc/sys/net/ipv4/ipfrag_high_thresh").write_text(str(FRAGMENTS_BYTES_MAX))
            receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        with wire.inside("a"):
            sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        receiver.bind((wire.address("b"), 0))
        receiver.settimeout(FLIGHT_SECONDS)
        sender.connect(receiver.getsockname())

        def send(count: int) -> int:
            arrived = 0
            for _ in range(count):
                sender.send(message)
                with contextlib.suppress(TimeoutError):
                    arrived += receiver.recv(BUFFER_BYTES) == message
            with contextlib.suppress(TimeoutError):  # what came late
                while True:
                    arrived += receiver.recv(BUFFER_BYTES) == message
            return arrived

        yield send


@contextlib.contextmanager
def _stream(wire: Wire, message: bytes) -> Iterator[Callable[[int], int]]:
    """The same down a TCP connection."""
    with contextlib.ExitStack() as stack:
        with wire.inside("b"):
            listener = stack.enter_context(socket.create_server((wire.address("b"), 0)))
        with wire.inside("a"):
            address = listener.getsockname()
            sender = stack.enter_context(socket.create_connection(address, PATIENCE_SECONDS))
        receiver = stack.enter_context(listener.accept()[0])
        receiver.settimeout(PATIENCE_SECONDS)
        sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # Room for the whole message: nobody reads while it is being sent.
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)

        def send(count: int) -> int:
            arrived = 0
            with contextlib.suppress(TimeoutError):
                for _ in range(count):
                    sender.sendall(message)
                    left = len(message)
                    while left:
                        left -= len(receiver.recv(left))
                    arrived += 1
            return arrived

        yield send


def analyse(trial: Trial) -> dict[str, float]:
    return {
        "packets": trial.good_packets / trial.good_sent,
        "delivered": trial.arrived / trial.sent * 100,
        "delivered_good": trial.good_arrived / trial.good_sent * 100,
        "refused": bool(trial.error),
    }


def facts(result: Result, say: Voice) -> Mapping[str, object]:
    """Of the smallest size and of the largest that UDP takes."""
    sizes = [size for size in result.conditions("refused") if isinstance(size, float)]
    taken = [size for size in sizes if not result.median("plain", "refused", size)]
    small, large = min(taken), max(taken)
    refused = [size for size in sizes if size not in taken]
    loss = result.settings["loss"]
    assert isinstance(loss, float)
    arrived = {
        f"{protocol}_{what}": say.percent(result.median(protocol, "delivered", size))
        for protocol in PROTOCOLS
        for what, size in (("small", small), ("large", large))
    }
    return arrived | {
        "loss": say.percent(loss * 100),
        "small": say.amount(small, "B"),
        "large": say.amount(large, "B"),
        "packets": say.amount(result.median("plain", "packets", large)),
        "limit": say.part("limit", size=say.amount(min(refused), "B")) if refused else "",
        "most": say.amount(DATAGRAM_BYTES_MAX, "B"),
    }


EXPERIMENT = Experiment(
    name="datagram-size",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("delivered", "lines", "size"),
        Plot("packets", "lines", "size", logarithmic=True),
    ),
    words=words("datagram-size", facts),
    headline=Headline("delivered", "higher", 65_507.0),
)
