"""Message boundaries.

Question: what does one `recv` return after three sends?

Method: bare sockets, three texts, one send each. On loopback they are read when all three have
arrived; or each before the next is sent; or five bytes at a time. Where a wire is available, with
10 ms each way, they are read as they arrive, with Nagle's algorithm and without it. All that over
a TCP stream, as UDP datagrams, and as this laboratory's TCP chat sends them: a frame each, which
its `Deframer` takes out of the stream again.

Expect: a stream knows nothing of sends. `recv` returns what is there: all three texts at once, or
each alone, or half a letter, for a Russian letter takes two bytes. Nagle's algorithm holds the
second text back until the first is acknowledged, so it arrives together with the third. UDP
returns a datagram for each send, but if one is longer than the buffer the rest is gone.
The frames are whole, however the stream is cut.

Command: python3 -m compare boundaries
"""

from __future__ import annotations

import contextlib
import itertools
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from compare.chats.framing import Deframer, frame
from compare.chats.messages import Kind, Message
from compare.experiments.experiment import Effort, Experiment, Headline, Plot, Result, Tell
from compare.experiments.voice import Voice, words
from compare.wire.network import End, Wire, missing

TEXTS = ("Привет!", "Как дела?", "Пока")

CARRIERS = ("stream", "datagrams", "frames")

ON_LOOPBACK = ("together", "one_by_one", "five_bytes")
ON_THE_WIRE = ("nagle", "no_delay")

BUFFER_BYTES = 4096
FEW_BYTES = 5
"""Two letters and a half."""

DELAY_SECONDS = 0.01
TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Reception:
    """What was sent, and what arrived."""

    carrier: str
    sent: Sequence[bytes]
    """By each send."""
    received: Sequence[bytes]
    """By each `recv`."""
    texts: Sequence[str]
    """What a program makes of that."""


def measure(effort: Effort, tell: Tell) -> Result:
    repetitions = effort.choose(3, 1)
    why_no_wire = missing()
    runs: list[tuple[str, str, Reception]] = []
    with contextlib.ExitStack() as stack:
        places: dict[Wire | None, tuple[str, ...]] = {None: ON_LOOPBACK}
        if why_no_wire is None:
            places[stack.enter_context(Wire(delay_seconds=DELAY_SECONDS))] = ON_THE_WIRE
        for wire, conditions in places.items():
            for carrier, condition in itertools.product(CARRIERS, conditions):
                tell(f"{carrier}, {condition}")
                runs += [
                    (carrier, condition, _exchange(carrier, condition, wire))
                    for _ in range(repetitions)
                ]
    settings = {
        "texts": list(TEXTS),
        "sent_bytes": [len(text.encode()) for text in TEXTS],
        "buffer_bytes": {"five_bytes": FEW_BYTES, "else": BUFFER_BYTES},
        "one_way_delay_ms": DELAY_SECONDS * 1000,
        "first_recv": {
            f"{carrier} {condition}": shown(run.received[0])
            for carrier, condition, run in reversed(runs)  # so the first repetition counts
            if carrier != "frames"
        },
    }
    remarks = (f"Only on loopback: {why_no_wire}.",) if why_no_wire else ()
    return Result.of(runs, analyse, settings=settings, remarks=remarks)


def _exchange(carrier: str, condition: str, wire: Wire | None) -> Reception:
    sent = [
        frame(Message(Kind.SAY, text=text)) if carrier == "frames" else text.encode()
        for text in TEXTS
    ]
    buffer_bytes = FEW_BYTES if condition == "five_bytes" else BUFFER_BYTES
    pair = _datagram_pair if carrier == "datagrams" else _stream_pair
    received: list[bytes] = []
    with pair(wire) as (sender, receiver):
        if carrier != "datagrams" and condition == "no_delay":
            sender.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for data in sent:
            sender.send(data)
            if condition == "one_by_one":
                received.append(receiver.recv(buffer_bytes))
        if carrier == "datagrams":
            while len(received) < len(sent):
                received.append(receiver.recv(buffer_bytes))
        else:
            total = len(b"".join(sent))
            if condition in ("together", "five_bytes"):
                while len(receiver.recv(total, socket.MSG_PEEK)) < total:
                    pass  # not all there yet
            while len(b"".join(received)) < total:
                received.append(receiver.recv(buffer_bytes))
    return Reception(carrier, sent, received, texts_of(carrier, received))


@contextlib.contextmanager
def _stream_pair(wire: Wire | None) -> Iterator[tuple[socket.socket, socket.socket]]:
    """The two ends of a TCP connection."""
    with contextlib.ExitStack() as stack:
        with _at(wire, "b") as host:
            listener = stack.enter_context(socket.create_server((host, 0)))
        listener.settimeout(TIMEOUT_SECONDS)
        with _at(wire, "a"):
            address = listener.getsockname()
            sender = stack.enter_context(socket.create_connection(address, TIMEOUT_SECONDS))
        receiver = stack.enter_context(listener.accept()[0])
        receiver.settimeout(TIMEOUT_SECONDS)
        yield sender, receiver


@contextlib.contextmanager
def _datagram_pair(wire: Wire | None) -> Iterator[tuple[socket.socket, socket.socket]]:
    with contextlib.ExitStack() as stack:
        with _at(wire, "b") as host:
            receiver = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        receiver.bind((host, 0))
        receiver.settimeout(TIMEOUT_SECONDS)
        with _at(wire, "a"):
            sender = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        sender.connect(receiver.getsockname())
        yield sender, receiver


@contextlib.contextmanager
def _at(wire: Wire | None, end: End) -> Iterator[str]:
    """Sockets are made at an end of the wire, or on loopback: its address."""
    if wire is None:
        yield "127.0.0.1"
    else:
        with wire.inside(end):
            yield wire.address(end)


def texts_of(carrier: str, received: Sequence[bytes]) -> list[str]:
    """What a program reads if it takes each `recv` for a text; with frames, what is in them."""
    if carrier == "frames":
        deframer = Deframer()
        return [message.text for data in received for message in deframer.feed(data)]
    return [data.decode("utf-8", "replace") for data in received]


def is_cut(data: bytes) -> bool:
    """Whether a letter at the beginning or end is not all there."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def shown(data: bytes) -> str:
    """As text. Bytes that are no letter appear as `\\xd0`."""
    return data.decode("utf-8", "backslashreplace")


def analyse(run: Reception) -> dict[str, float]:
    found: dict[str, float] = {
        "receives": len(run.received),
        "whole": sum(text in TEXTS for text in run.texts),
        "lost_bytes": len(b"".join(run.sent)) - len(b"".join(run.received)),
    }
    if run.carrier != "frames":  # their bytes are not all text
        found["cut"] = sum(map(is_cut, run.received))
    return found


def facts(result: Result, say: Voice) -> dict[str, object]:
    first = result.settings["first_recv"]
    assert isinstance(first, dict)

    def receives(carrier: str) -> str:
        """How many `recv` it took under each condition."""
        counts = {
            say.names[str(condition)]: say.amount(result.median(carrier, "receives", condition))
            for condition in result.conditions("receives")
        }
        if len(set(counts.values())) == 1:
            return say.part("always", count=counts.popitem()[1])
        return ", ".join(say.part("count", what=w, count=count) for w, count in counts.items())

    def least_whole(carrier: str) -> str:
        """Of three texts, how many came whole in the worst case."""
        whole = (result.median(carrier, "whole", c) for c in result.conditions("whole"))
        return f"{min(whole):.0f}"

    return {
        "stream_receives": receives("stream"),
        "datagram_receives": receives("datagrams"),
        "first": first["stream five_bytes"],
        "lost": say.amount(result.median("datagrams", "lost_bytes", "five_bytes")),
        "stream_whole": least_whole("stream"),
        "frames_whole": least_whole("frames"),
    }


EXPERIMENT = Experiment(
    name="boundaries",
    needs_wire=False,
    measure=measure,
    plots=(Plot("receives", "bars", "reading"), Plot("whole", "bars", "reading")),
    words=words("boundaries", facts),
    headline=Headline("whole", "higher", "together"),
)
