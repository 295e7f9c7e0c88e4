"""A server that dies and returns.

Question: the server is killed and started again, or cut off for a while: what do the clients
notice, do they come back, and what becomes of the lines typed meanwhile?

Method: two members at one end of a wire, the server at the other; one member says lines at an
even pace all the time. The server is killed (SIGKILL) and a new one started on the same port
some seconds later; or the wire is cut for as long, or for longer than the chats' timeouts. Seen
are the moment when the speaker's program tells that something is wrong, the moment when a line
typed after the return is shown by the other member, and how many of the lines typed meanwhile
it shows in the end. A line for a program that has ended counts as typed and lost.

Expect: of a killed server the kernel tells TCP's clients at once, and that is the end of their
connection: nobody is asked to connect again. A cut that ends before the timeout TCP survives, and
delivers all. Plain UDP goes on after a short cut without what was said in it; to a new server its
clients are strangers. This chat joins again by itself, and says again what was not accepted.

Command: python3 -m compare server-death
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from compare.experiments.experiment import (
    NEVER,
    Effort,
    Experiment,
    Figure,
    Plot,
    Result,
    Tell,
    Words,
    duration,
)
from compare.experiments.participants import (
    TRANSPORTS,
    Client,
    Room,
    Server,
    Silence,
    Talk,
    Transport,
    at_once,
    pause,
)
from compare.wire.network import Wire

KILLED, CUT, CUT_LONG = "killed", "cut", "cut_long"

DELAY_SECONDS = 0.001
"""One way: a LAN."""

LINES_PER_SECOND = 5
EDGE_SECONDS = 0.2
"""A line takes a moment from the keyboard to the wire: one typed so near to the beginning or the
end of the outage does not count as typed meanwhile."""

BEFORE_SECONDS = 1.0
"""Of talk, before anything happens."""


@dataclass(frozen=True, slots=True)
class Plan:
    silence: Silence
    outages: Mapping[str, float]
    """How long the server is away, by condition."""
    watch_seconds: float
    """From the beginning of the outage."""


FULL_PLAN = Plan(Silence(), {KILLED: 5.0, CUT: 5.0, CUT_LONG: 18.0}, 26.0)
QUICK_PLAN = Plan(Silence(1, 3), {KILLED: 1.2, CUT: 1.2}, 5.0)


@dataclass(frozen=True, slots=True)
class Observation:
    """One room's outage. Times are monotonic seconds, lines go by their text."""

    transport: str
    condition: str
    began_at: float
    ended_at: float
    noticed_at: float
    """When the speaker's program told its person; NEVER if it did not."""
    said: Mapping[str, float]
    heard: Mapping[str, list[float]]


def measure(effort: Effort, tell: Tell) -> Result:
    plan = effort.choose(FULL_PLAN, QUICK_PLAN)
    cases = [
        (transport, condition)
        for condition in plan.outages
        for transport in TRANSPORTS
        for _ in range(effort.choose(3, 1))
    ]
    tell(f"{len(cases)} rooms at once, for {plan.watch_seconds:g} s")
    observations = at_once(lambda case: _observe(*case, plan), cases)
    settings = {
        "heartbeat_seconds": plan.silence.heartbeat_seconds,
        "timeout_seconds": plan.silence.timeout_seconds,
        "outage_seconds": dict(plan.outages),
        "watched_seconds": plan.watch_seconds,
        "lines_per_second": LINES_PER_SECOND,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
    }
    remarks = (
        "Neither the TCP chat nor plain UDP tries to connect again. A TCP program may well do so,"
        " but then has to find out for itself which of its last lines had arrived.",
        "To a restarted server of udp-chat a member may return later than the speaker: of what"
        " was said again before it sees the newest 50 lines at most (--history), and is told that"
        " it missed others. Here fewer were typed meanwhile.",
    )
    return Result(tuple(analyse(observations)), settings=settings, remarks=remarks)


def _observe(transport: Transport, condition: str, plan: Plan) -> Observation:
    options = plan.silence.options(transport)
    with (
        Wire(delay_seconds=DELAY_SECONDS) as wire,
        Room(transport, 2, wire, *options) as room,
        contextlib.ExitStack() as successor,
    ):
        speaker, listener = room.clients
        with Talk(speaker, LINES_PER_SECOND) as talk:
            pause(BEFORE_SECONDS)
            began_at = time.monotonic()
            if condition == KILLED:
                room.server.kill()
                pause(plan.outages[condition])
                successor.enter_context(Server(transport, wire, *options[0]))
            else:
                wire.cut()
                pause(plan.outages[condition])
                wire.restore()
            ended_at = time.monotonic()
            pause(began_at + plan.watch_seconds - ended_at)
        heard = listener.heard()
        noticed_at = _noticed_at(speaker)
        for client in room.clients:
            client.kill()  # some have nobody to say goodbye to
    return Observation(transport.name, condition, began_at, ended_at, noticed_at, talk.said, heard)


def _noticed_at(client: Client) -> float:
    found = (client.find(kind) for kind in ("left", "reconnecting"))
    return min((arrival.at for arrival in found if arrival), default=NEVER)


def analyse(observations: Iterable[Observation]) -> list[Figure]:
    """A figure for each chat, condition and quantity, a value for each repetition."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for seen in observations:
        first_at, last_at = seen.began_at + EDGE_SECONDS, seen.ended_at - EDGE_SECONDS
        meanwhile = [t for t, at in seen.said.items() if first_at <= at <= last_at]
        afterwards = [t for t, at in seen.said.items() if at >= seen.ended_at]
        back_at = min((seen.heard[t][0] for t in afterwards if t in seen.heard), default=NEVER)
        arrived = sum(text in seen.heard for text in meanwhile)
        for quantity, value in (
            ("noticed", seen.noticed_at - seen.began_at),
            ("back", back_at - seen.ended_at),
            ("delivered", arrived / len(meanwhile) * 100),
        ):
            key = (seen.transport, quantity, seen.condition)
            values.setdefault(key, []).append(value)
    return [Figure(*key, tuple(found)) for key, found in values.items()]


# --- what is said of it ----------------------------------------------------------------------

_CHATS = ("tcp", "plain", "chat")


def _survivors(result: Result, condition: str) -> set[str]:
    """Those whose clients came back."""
    return {name for name in _CHATS if result.median(name, "back", condition) < NEVER}


def _tcp_suffices(result: Result) -> bool:
    """Whether TCP delivered all that was said during a short cut."""
    return CUT in result.conditions("delivered") and (result.median("tcp", "delivered", CUT) == 100)


def _after(seconds: float, language: str) -> str:
    preposition = {"en": "after ", "ru": "через "}[language] if seconds < NEVER else ""
    return preposition + duration(seconds, language)


def _fates(result: Result, condition: str, language: str) -> tuple[list[str], str]:
    """When each chat was back, and its share of the lines typed meanwhile."""
    back = [_after(result.median(name, "back", condition), language) for name in _CHATS]
    shares = ", ".join(f"{result.median(name, 'delivered', condition):.0f}" for name in _CHATS)
    return back, shares


def _explain_en(result: Result) -> list[str]:
    found = []
    for condition in result.conditions("back"):
        (tcp, plain, chat), shares = _fates(result, str(condition), "en")
        found.append(
            f"{_NAMES_EN[str(condition)]}: TCP {tcp}, plain UDP {plain}, this chat {chat}"
            f" (of the lines typed meanwhile {shares} % arrived)"
        )
    killed = _after(result.median("tcp", "noticed", KILLED), "en")
    alone = _survivors(result, KILLED) == {"chat"}
    return [
        "Once the server was back, the next line was shown: " + "; ".join(found) + ".",
        "A TCP connection lives in the memory of two kernels: it outlasts a cut shorter than its"
        " timeout and then sends everything again, but a new server does not know it, and of the"
        f" old one's end its clients learned {killed}; a plain UDP client learns nothing before"
        " its timeout, and is a stranger to the new server; this chat's clients join again and"
        " repeat what was not accepted.",
        (
            "Only this chat came back to a restarted server: a connection, or a registration, is"
            if alone
            else "A connection, or a registration, is"
        )
        + " not the conversation, so a program over either protocol must join again by itself and"
        " know which lines were accepted"
        + ("; for a short cut TCP alone does all of it." if _tcp_suffices(result) else "."),
    ]


def _explain_ru(result: Result) -> list[str]:
    found = []
    for condition in result.conditions("back"):
        (tcp, plain, chat), shares = _fates(result, str(condition), "ru")
        found.append(
            f"{_NAMES_RU[str(condition)]}: TCP — {tcp}, простой UDP — {plain}, этот чат — {chat}"
            f" (из строк, набранных тем временем, дошло: {shares} %)"
        )
    killed = _after(result.median("tcp", "noticed", KILLED), "ru")
    alone = _survivors(result, KILLED) == {"chat"}
    return [
        "После возвращения сервера следующая строка была показана: " + "; ".join(found) + ".",
        "TCP-соединение живёт в памяти двух ядер: обрыв короче тайм-аута оно переживает и потом"
        " посылает всё снова, но новый сервер о нём не знает, а о гибели старого клиенты узнали"
        f" {killed}; клиент простого UDP узнаёт об этом лишь по тайм-ауту, а новому серверу"
        " незнаком; клиенты этого чата входят заново и повторяют то, что не было принято.",
        (
            "К перезапущенному серверу вернулся только этот чат: соединение или регистрация —"
            if alone
            else "Соединение или регистрация —"
        )
        + " ещё не разговор, поэтому программа на любом протоколе должна сама входить заново и"
        " знать, какие строки приняты"
        + ("; с коротким обрывом TCP справляется сам." if _tcp_suffices(result) else "."),
    ]


_NAMES_EN = {
    "noticed": "until the speaker's program tells of it, s",
    "back": "from the server's return to the next line shown, s",
    "delivered": "of the lines typed meanwhile, arrived, %",
    "condition": "what happened to the server",
    KILLED: "killed and started again",
    CUT: "cut off shortly",
    CUT_LONG: "cut off beyond the timeout",
}

_NAMES_RU = {
    "noticed": "пока программа говорящего об этом не скажет, с",
    "back": "от возвращения сервера до следующей строки, с",
    "delivered": "дошло строк, набранных тем временем, %",
    "condition": "что случилось с сервером",
    KILLED: "убит и запущен снова",
    CUT: "отрезан ненадолго",
    CUT_LONG: "отрезан дольше тайм-аута",
}

EXPERIMENT = Experiment(
    name="server-death",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("back", "bars", "condition"),
        Plot("delivered", "bars", "condition"),
        Plot("noticed", "bars", "condition"),
    ),
    words={
        "en": Words(
            title="A server that dies and returns",
            question="The server is killed and started again, or cut off: who comes back?",
            names=_NAMES_EN,
            explain=_explain_en,
        ),
        "ru": Words(
            title="Гибель и возвращение сервера",
            question="Сервер убит и запущен снова или отрезан: кто вернётся?",
            names=_NAMES_RU,
            explain=_explain_ru,
        ),
    },
)
