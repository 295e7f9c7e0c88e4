"""Datagram size.

Question: how large may a datagram be, and what does it cost to make it larger?

Method: bare sockets at the two ends of a wire whose MTU is 1500 bytes. Messages of 1 byte to 70 kB
go from one to the other, each once the one before has arrived or has had its time: as UDP
datagrams, and down a TCP connection. First the wire is good, and the packets it takes from the
sender are counted; then it loses 5 % of the packets each way, and the messages that arrive whole
are counted.

Expect: IP cuts what is larger than the MTU into fragments, and a datagram arrives only if all of
them do: 0.95 to the power of their number. At 65,507 bytes UDP ends (16 bits for the length, less
two headers): a larger one the kernel refuses with EMSGSIZE. TCP cuts its stream into segments as
large as the MTU allows, and sends again what gets lost, so all arrives, of any size.

Command: python3 -m compare datagram-size
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from compare.experiments.experiment import (
    Effort,
    Experiment,
    Figure,
    Plot,
    Result,
    Tell,
    Words,
    amount,
)
from compare.experiments.participants import at_once
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
"""On the good wire each is as the next."""

FLIGHT_SECONDS = 0.02
"""What has not come in so long is lost, or else is counted with the next."""

PATIENCE_SECONDS = 10.0
"""How long TCP may take for one message."""

BUFFER_BYTES = 128 * 1024

FRAGMENTS_BYTES_MAX = 64 * 1024 * 1024
"""What the receiving kernel may keep of datagrams that are not all there. It keeps each for 30 s,
and with its default of 4 MB it soon drops all further fragments: a loss of its own."""


@dataclass(frozen=True, slots=True)
class Trial:
    """What became of messages of one size, sent by one protocol."""

    sent: int
    """On the lossy wire."""
    arrived: int
    good_sent: int
    good_arrived: int
    good_packets: int
    """That came from the sender on the good wire."""
    error: int = 0
    """With which the kernel refused them, an `errno`."""


def measure(effort: Effort, tell: Tell) -> Result:
    sizes = effort.choose(SIZES, QUICK_SIZES)
    counts = {"plain": effort.choose(200, 60), "tcp": effort.choose(20, 6)}
    seeds = effort.seeds(effort.choose(3, 1))
    cases = list(itertools.product(PROTOCOLS, sizes))
    runs: dict[tuple[str, int], list[Trial]] = {}
    for seed in seeds:
        tell(f"all sizes at once, seed {seed}")

        def attempt(case: tuple[str, int], seed: int = seed) -> Trial:
            protocol, size = case
            with Wire(delay_seconds=DELAY_SECONDS, mtu=MTU, seed=seed) as wire:
                return _try(protocol, size, counts[protocol], wire)

        for case, trial in zip(cases, at_once(attempt, cases), strict=True):
            runs.setdefault(case, []).append(trial)
    figures = [
        figure
        for (protocol, size), kept in runs.items()
        for figure in analyse(protocol, size, kept)
    ]
    settings = {
        "seeds": list(seeds),
        "messages": counts,
        "mtu_bytes": MTU,
        "loss": LOSS,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
        "errors": {
            f"{protocol} {size}": errno.errorcode[kept[0].error]
            for (protocol, size), kept in runs.items()
            if kept[0].error
        },
    }
    remarks = (
        f"This chat sends no datagram of more than {DATAGRAM_BYTES_MAX} bytes: with its headers"
        " it fits IPv6's smallest MTU of 1280, so nothing on any path has to cut it.",
        "The receiving kernel was allowed 64 MB for fragments, if it lets that be changed: with the"
        " usual 4 MB it soon drops fragments itself, and a third as many of the largest arrive.",
    )
    return Result(tuple(figures), settings=settings, remarks=remarks)


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
    """What sends the message so often by UDP, and counts how often it arrives."""
    with contextlib.ExitStack() as stack:
        with wire.inside("b"):
            with contextlib.suppress(OSError):  # where it is not allowed, the large arrive less
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
        # The whole message, for nobody reads while it is being sent.
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


def analyse(protocol: str, size: int, runs: Sequence[Trial]) -> list[Figure]:
    """The figures of one protocol and size, a value for each run."""
    values = {
        "packets": tuple(trial.good_packets / trial.good_sent for trial in runs),
        "delivered": tuple(trial.arrived / trial.sent * 100 for trial in runs),
        "delivered_good": tuple(trial.good_arrived / trial.good_sent * 100 for trial in runs),
        "refused": tuple(float(bool(trial.error)) for trial in runs),
    }
    return [Figure(protocol, name, float(size), kept) for name, kept in values.items()]


# --- what is said of it ----------------------------------------------------------------------


def _sizes(result: Result) -> tuple[float, float, float | None]:
    """The smallest, the largest that UDP takes, and the smallest that it does not."""
    refused = {
        size: bool(result.median("plain", "refused", size))
        for size in result.conditions("refused")
        if isinstance(size, float)
    }
    taken = [size for size in refused if not refused[size]]
    return min(taken), max(taken), min((s for s in refused if refused[s]), default=None)


def _told(result: Result, protocol: str, quantity: str, size: float, language: str) -> str:
    unit = "" if quantity == "packets" else "%"
    return amount(result.median(protocol, quantity, size), unit, language)


def _loss(result: Result, language: str) -> str:
    loss = result.settings["loss"]
    assert isinstance(loss, float)
    return amount(loss * 100, "%", language)


def _explain_en(result: Result) -> list[str]:
    small, large, refused = _sizes(result)
    arrived = {
        (protocol, size): _told(result, protocol, "delivered", size, "en")
        for protocol in PROTOCOLS
        for size in (small, large)
    }
    limit = (
        ""
        if refused is None
        else f"; {amount(refused)} bytes UDP's sender cannot send at all (EMSGSIZE)"
    )
    return [
        f"At {_loss(result, 'en')} loss {arrived['plain', small]} of the UDP datagrams of"
        f" {amount(small)} B arrive and {arrived['plain', large]} of those of {amount(large)} B,"
        f" which take {_told(result, 'plain', 'packets', large, 'en')} packets; of TCP's messages"
        f" of these sizes {arrived['tcp', small]} and {arrived['tcp', large]}{limit}.",
        "IP cuts what is larger than the MTU into fragments, and the receiving kernel hands over a"
        " datagram only if it has all of them: one lost fragment costs them all, and nobody repeats"
        " it; TCP cuts its stream into segments itself and repeats the very segment that was lost.",
        "So keep a datagram below the MTU of every path, as this chat does with its"
        f" {amount(DATAGRAM_BYTES_MAX)} bytes, cut what is longer into numbered parts and repeat"
        " those that are lost; or leave large things, such as files, to TCP, which does just that.",
    ]


def _explain_ru(result: Result) -> list[str]:
    small, large, refused = _sizes(result)
    arrived = {
        (protocol, size): _told(result, protocol, "delivered", size, "ru")
        for protocol in PROTOCOLS
        for size in (small, large)
    }
    limit = (
        ""
        if refused is None
        else f"; а {amount(refused, 'Б', 'ru')} отправитель UDP вообще не может послать (EMSGSIZE)"
    )
    return [
        f"При потерях {_loss(result, 'ru')} из датаграмм UDP по {amount(small, 'Б', 'ru')} доходит"
        f" {arrived['plain', small]}, а из датаграмм по {amount(large, 'Б', 'ru')} (пакетов на"
        f" каждую: {_told(result, 'plain', 'packets', large, 'ru')}) — {arrived['plain', large]};"
        f" из сообщений TCP тех же размеров — {arrived['tcp', small]} и"
        f" {arrived['tcp', large]}{limit}.",
        "IP режет всё, что больше MTU, на фрагменты, и ядро получателя отдаёт датаграмму, только"
        " если собраны все: один потерянный фрагмент губит остальные, и никто его не повторит; TCP"
        " сам режет поток на сегменты и повторяет именно тот сегмент, который потерялся.",
        "Значит, датаграмма должна быть меньше MTU любого пути — в этом чате она не больше"
        f" {amount(DATAGRAM_BYTES_MAX, 'Б', 'ru')}, — а то, что длиннее, режьте на нумерованные"
        " части и повторяйте потерянные; или оставьте большое, например файлы, TCP: он именно это"
        " и делает.",
    ]


EXPERIMENT = Experiment(
    name="datagram-size",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("delivered", "lines", "size"),
        Plot("packets", "lines", "size", logarithmic=True),
    ),
    words={
        "en": Words(
            title="Datagram size",
            question="How large may a datagram be, and what does it cost to make it larger?",
            names={
                "packets": "IP packets per message",
                "delivered": "delivered at 5 % loss each way, %",
                "delivered_good": "delivered without loss, %",
                "refused": "refused by the sender's kernel, 1: yes",
                "size": "size of the message, bytes",
            },
            explain=_explain_en,
        ),
        "ru": Words(
            title="Размер датаграммы",
            question="Как велика может быть датаграмма и чем за её размер платят?",
            names={
                "packets": "IP-пакетов на сообщение",
                "delivered": "доставлено при потерях 5 % в каждую сторону, %",
                "delivered_good": "доставлено без потерь, %",
                "refused": "отвергнуто ядром отправителя, 1: да",
                "size": "размер сообщения, байты",
            },
            explain=_explain_ru,
        ),
    },
)
