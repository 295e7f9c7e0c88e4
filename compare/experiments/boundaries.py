"""Message boundaries.

Question: what does one `recv` return after three sends?

Method: bare sockets, three texts, one send each. On loopback they are read when all three are
there; or each before the next is sent; or five bytes at a time. Where there can be a wire, with
10 ms each way, they are read as they come, with Nagle's algorithm and without it. All that over a
TCP stream, as UDP datagrams, and as this laboratory's TCP chat sends them: a frame each, which its
`Deframer` takes out of the stream again.

Expect: a stream knows nothing of sends. `recv` returns what is there: all three texts at once, or
each alone, or a half of a letter, for a Russian letter takes two bytes. Nagle's algorithm holds
the second text back until the first is acknowledged, so it comes together with the third. UDP
returns a datagram for each send, but of one that is longer than the buffer the rest is gone.
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
    """What was sent, and what came of it."""

    sent: Sequence[bytes]
    """By each send."""
    received: Sequence[bytes]
    """By each `recv`."""
    texts: Sequence[str]
    """What a program makes of that."""


def measure(effort: Effort, tell: Tell) -> Result:
    repetitions = effort.choose(3, 1)
    why_no_wire = missing()
    runs: dict[tuple[str, str], list[Reception]] = {}
    with contextlib.ExitStack() as stack:
        places: dict[Wire | None, tuple[str, ...]] = {None: ON_LOOPBACK}
        if why_no_wire is None:
            places[stack.enter_context(Wire(delay_seconds=DELAY_SECONDS))] = ON_THE_WIRE
        for wire, conditions in places.items():
            for carrier, condition in itertools.product(CARRIERS, conditions):
                tell(f"{carrier}, {condition}")
                runs[carrier, condition] = [
                    _exchange(carrier, condition, wire) for _ in range(repetitions)
                ]
    figures = [
        figure
        for (carrier, condition), kept in runs.items()
        for figure in analyse(carrier, condition, kept)
    ]
    settings = {
        "texts": list(TEXTS),
        "sent_bytes": [len(text.encode()) for text in TEXTS],
        "buffer_bytes": {"five_bytes": FEW_BYTES, "else": BUFFER_BYTES},
        "one_way_delay_ms": DELAY_SECONDS * 1000,
        "first_recv": {
            f"{carrier} {condition}": shown(kept[0].received[0])
            for (carrier, condition), kept in runs.items()
            if carrier != "frames"
        },
    }
    remarks = (f"Only on loopback: {why_no_wire}.",) if why_no_wire else ()
    return Result(tuple(figures), settings=settings, remarks=remarks)


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
    return Reception(sent, received, texts_of(carrier, received))


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
    """What a program reads that takes each `recv` for a text; with frames, what is in them."""
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
    """As text, with the bytes that are no letter as `\\xd0`."""
    return data.decode("utf-8", "backslashreplace")


def analyse(carrier: str, condition: str, runs: Sequence[Reception]) -> list[Figure]:
    """The figures of one carrier under one condition, a value for each run."""
    values: dict[str, list[float]] = {}
    for run in runs:
        whole = [text for text in run.texts if text in TEXTS]
        lost = len(b"".join(run.sent)) - len(b"".join(run.received))
        values.setdefault("receives", []).append(len(run.received))
        values.setdefault("whole", []).append(len(whole))
        values.setdefault("lost_bytes", []).append(lost)
        if carrier != "frames":  # whose bytes are not all text
            values.setdefault("cut", []).append(sum(map(is_cut, run.received)))
    return [Figure(carrier, name, condition, tuple(kept)) for name, kept in values.items()]


# --- what is said of it ----------------------------------------------------------------------


def _receives(result: Result, carrier: str, language: str) -> str:
    """How many `recv` it took under each condition, in a list for people."""
    names = EXPERIMENT.words[language].names
    always, dash = {"en": ("always", ":"), "ru": ("всегда", " —")}[language]
    counts = {
        str(condition): amount(result.median(carrier, "receives", condition), language=language)
        for condition in result.conditions("receives")
    }
    if len(set(counts.values())) == 1:
        return f"{always} {counts.popitem()[1]}"
    return ", ".join(f"{names[condition]}{dash} {count}" for condition, count in counts.items())


def _least_whole(result: Result, carrier: str) -> float:
    """Of three texts, how many came whole in the worst case."""
    return min(result.median(carrier, "whole", c) for c in result.conditions("whole"))


def _first_cut(result: Result) -> str:
    first = result.settings["first_recv"]
    assert isinstance(first, dict)
    return str(first["stream five_bytes"])


def _explain_en(result: Result) -> list[str]:
    lost = amount(result.median("datagrams", "lost_bytes", "five_bytes"))
    return [
        "After three sends it took so many recv to read a TCP stream"
        f" ({_receives(result, 'stream', 'en')}), and so many to read UDP datagrams"
        f" ({_receives(result, 'datagrams', 'en')}); with five bytes at a time the first recv of"
        f" the stream returned “{_first_cut(result)}”.",
        "TCP carries bytes and knows neither sends nor letters: recv returns what is there, as much"
        " as fits; UDP returns one datagram for each recv, and what does not fit is gone"
        f" (five bytes at a time: {lost} bytes lost).",
        "So put a message's length before it on a stream, and decode it only when it is all there:"
        f" in the worst case {_least_whole(result, 'stream'):.0f} of three texts came whole without"
        f" that, with the TCP chat's frames {_least_whole(result, 'frames'):.0f}; and give UDP a"
        " buffer for the largest datagram.",
    ]


def _explain_ru(result: Result) -> list[str]:
    lost = amount(result.median("datagrams", "lost_bytes", "five_bytes"), language="ru")
    return [
        "После трёх send, чтобы прочитать поток TCP, понадобилось столько recv:"
        f" {_receives(result, 'stream', 'ru')}; чтобы прочитать датаграммы UDP, —"
        f" {_receives(result, 'datagrams', 'ru')}; при чтении по пять байтов первый recv из потока"
        f" вернул «{_first_cut(result)}».",
        "TCP переносит байты и не знает ни о вызовах send, ни о буквах: recv возвращает то, что уже"
        " пришло, сколько поместится; UDP на каждый recv возвращает одну датаграмму, а что не"
        f" поместилось, пропадает (при чтении по пять байтов потеряно байтов: {lost}).",
        "Значит, в потоке пишите перед сообщением его длину и декодируйте его, только когда оно"
        " пришло целиком: из трёх текстов без этого в худшем случае прочитано целиком"
        f" {_least_whole(result, 'stream'):.0f}, а с кадрами TCP-чата —"
        f" {_least_whole(result, 'frames'):.0f}; для UDP же готовьте буфер под самую большую"
        " датаграмму.",
    ]


EXPERIMENT = Experiment(
    name="boundaries",
    needs_wire=False,
    measure=measure,
    plots=(Plot("receives", "bars", "reading"), Plot("whole", "bars", "reading")),
    words={
        "en": Words(
            title="Message boundaries",
            question="What does one recv return after three sends?",
            names={
                "stream": "TCP stream",
                "datagrams": "UDP datagrams",
                "frames": "frames on a TCP stream",
                "receives": "calls of recv for three sends",
                "whole": "texts that came whole, of three",
                "cut": "pieces with a letter cut in two",
                "lost_bytes": "bytes lost",
                "reading": "how it was read",
                "together": "when all were there",
                "one_by_one": "each before the next was sent",
                "five_bytes": "five bytes at a time",
                "nagle": "across a wire",
                "no_delay": "across a wire without Nagle's algorithm",
            },
            explain=_explain_en,
        ),
        "ru": Words(
            title="Границы сообщений",
            question="Что возвращает один recv после трёх send?",
            names={
                "stream": "поток TCP",
                "datagrams": "датаграммы UDP",
                "frames": "кадры в потоке TCP",
                "receives": "вызовов recv на три send",
                "whole": "текстов, дошедших целиком, из трёх",
                "cut": "кусков с разрезанной буквой",
                "lost_bytes": "потеряно байтов",
                "reading": "как читали",
                "together": "когда пришло всё",
                "one_by_one": "каждый до отправки следующего",
                "five_bytes": "по пять байтов",
                "nagle": "через линию",
                "no_delay": "через линию без алгоритма Нейгла",
            },
            explain=_explain_ru,
        ),
    },
)
