"""An address that changes.

Question: a member's address changes in the middle of a conversation, as when a laptop goes from
one network to another: how long until its lines arrive again and until it hears again, and what
is lost?

Method: a member who moves is at one end of a wire, the server and another member at the other.
The end of who moves gets another address in place of its old one; the wire itself stays whole.
In one room both talk at an even pace, in another only the other one does. Watched for as long as
a person would wait: when the first line typed after the change is shown, in both directions, how
many of those typed afterwards never are, and when the mover's program says that something is
wrong.

Expect: a TCP connection is two addresses and two ports, so it cannot move: both kernels repeat
what nobody takes until their timeout. Plain UDP knows its members by their addresses: from the
new one nobody is known. This chat's session has a number of its own, and its server answers the
first datagram from a new address by asking for a proof. So who talks is back after a few
round trips, and who only listens is deaf until the next heartbeat.

Command: python3 -m compare address-change
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
    Room,
    Silence,
    Talk,
    Transport,
    at_once,
    pause,
)
from compare.wire.network import Wire

TALKING, LISTENING = CONDITIONS = ("talking", "listening")

DELAY_SECONDS = 0.005
"""One way: a campus."""

LINES_PER_SECOND = 5
BEFORE_SECONDS = 1.0
"""Of talk, before the change."""

LAST_SECONDS = 1.0
"""How long the last lines may take."""


@dataclass(frozen=True, slots=True)
class Observation:
    """One room. Times are monotonic seconds, lines go by their text."""

    transport: str
    condition: str
    changed_at: float
    told_at: float
    """When the mover's program said that something is wrong; NEVER if it did not."""
    said_by_mover: Mapping[str, float]
    heard_by_other: Mapping[str, list[float]]
    said_by_other: Mapping[str, float]
    heard_by_mover: Mapping[str, list[float]]


def measure(effort: Effort, tell: Tell) -> Result:
    silence = effort.choose(Silence(), Silence(1, 3))
    watch_seconds = effort.choose(20.0, 4.5)
    cases = [
        (transport, condition)
        for condition in CONDITIONS
        for transport in TRANSPORTS
        for _ in range(effort.choose(3, 1))
    ]
    tell(f"{len(cases)} rooms at once, for {watch_seconds:g} s")
    observations = at_once(lambda case: _observe(*case, silence, watch_seconds), cases)
    settings = {
        "heartbeat_seconds": silence.heartbeat_seconds,
        "timeout_seconds": silence.timeout_seconds,
        "watched_seconds": watch_seconds,
        "lines_per_second": LINES_PER_SECOND,
        "one_way_delay_ms": DELAY_SECONDS * 1000,
    }
    remarks = (
        "The old address is gone and the link is whole: no ICMP tells anyone. A laptop that"
        " changes networks is without any for a while on top of it.",
        "QUIC and multipath TCP (RFC 8684) survive a change of address too, by the same means:"
        " a connection has an identifier of its own.",
    )
    return Result(tuple(analyse(observations)), settings=settings, remarks=remarks)


def _observe(
    transport: Transport, condition: str, silence: Silence, watch_seconds: float
) -> Observation:
    with (
        Wire(delay_seconds=DELAY_SECONDS) as wire,
        Room(transport, 0, wire, *silence.options(transport)) as room,
    ):
        other = room.join("other", end="b")
        mover = room.join("mover")
        said_by_mover: Mapping[str, float] = {}
        with contextlib.ExitStack() as talks:
            said_by_other = talks.enter_context(Talk(other, LINES_PER_SECOND)).said
            if condition == TALKING:
                said_by_mover = talks.enter_context(Talk(mover, LINES_PER_SECOND)).said
            pause(BEFORE_SECONDS)
            wire.change_address("a")
            changed_at = time.monotonic()
            pause(watch_seconds)
        pause(LAST_SECONDS)
        told = [arrival.at for kind in ("left", "reconnecting") if (arrival := mover.find(kind))]
        heard_by_other, heard_by_mover = other.heard(), mover.heard()
        mover.kill()  # it may have nobody to say goodbye to
    return Observation(
        transport.name,
        condition,
        changed_at,
        min(told, default=NEVER),
        said_by_mover,
        heard_by_other,
        said_by_other,
        heard_by_mover,
    )


def analyse(observations: Iterable[Observation]) -> list[Figure]:
    """A figure for each chat, condition and quantity, a value for each repetition."""
    values: dict[tuple[str, str, str], list[float]] = {}
    for seen in observations:
        found = {"told": seen.told_at - seen.changed_at}
        for again, lost, said, heard in (
            ("speaks", "lost_up", seen.said_by_mover, seen.heard_by_other),
            ("hears", "lost_down", seen.said_by_other, seen.heard_by_mover),
        ):
            since = [text for text, at in said.items() if at >= seen.changed_at]
            if since:  # who only listens says nothing
                arrived = [heard[text][0] for text in since if text in heard]
                found[again] = min(arrived, default=NEVER) - seen.changed_at
                found[lost] = (1 - len(arrived) / len(since)) * 100
        for quantity, value in found.items():
            values.setdefault((seen.transport, quantity, seen.condition), []).append(value)
    return [Figure(*key, tuple(repeated)) for key, repeated in values.items()]


# --- what is said of it ----------------------------------------------------------------------

_CHATS = {
    "en": {"tcp": "TCP", "plain": "plain UDP", "chat": "this chat"},
    "ru": {"tcp": "TCP", "plain": "простой UDP", "chat": "этот чат"},
}


def _after(seconds: float, language: str) -> str:
    preposition = {"en": "after ", "ru": "через "}[language] if seconds < NEVER else ""
    return preposition + duration(seconds, language)


def _times(result: Result, quantity: str, condition: str, language: str) -> str:
    """How long each chat took."""
    between = {"en": " ", "ru": " — "}[language]
    return ", ".join(
        name + between + _after(result.median(key, quantity, condition), language)
        for key, name in _CHATS[language].items()
    )


def _survivors(result: Result) -> set[str]:
    """Those who were heard again, and heard again in both rooms."""
    return {
        name
        for name in _CHATS["en"]
        if result.median(name, "speaks", TALKING) < NEVER
        and all(result.median(name, "hears", condition) < NEVER for condition in CONDITIONS)
    }


def _explain_en(result: Result) -> list[str]:
    watched = result.settings["watched_seconds"]
    survivors = _survivors(result)
    lost = result.median("chat", "lost_up", TALKING)
    if survivors == {"chat"}:
        meaning = (
            "Only this chat survived the change: with TCP or plain UDP a program must notice by a"
            f" timeout (here {_after(result.median('tcp', 'told', TALKING), 'en')} with TCP) and"
            " join again; who moves about is better off with a session number of their own, as"
            " QUIC has it"
        )
    else:
        names = [name for key, name in _CHATS["en"].items() if key in survivors]
        meaning = (
            f"The change was survived by: {', '.join(names) or 'nobody'}; all others must notice"
            " it by a timeout and join again"
        )
    return [
        "After its address changed, a talking member was heard again:"
        f" {_times(result, 'speaks', TALKING, 'en')}; and one who only listens heard again:"
        f" {_times(result, 'hears', LISTENING, 'en')} (watched for {watched:g} s); of the lines"
        f" said after the change this chat lost {lost:.0f} %.",
        "A TCP connection is two addresses with their ports and cannot move, and plain UDP's"
        " server knows a member by its address alone; this chat's session has a number, so the"
        " first datagram from elsewhere is asked for a proof and moves the session, and who sends"
        " nothing is found at its next heartbeat.",
        f"{meaning}.",
    ]


def _explain_ru(result: Result) -> list[str]:
    watched = duration(float(str(result.settings["watched_seconds"])), "ru")
    survivors = _survivors(result)
    lost = result.median("chat", "lost_up", TALKING)
    if survivors == {"chat"}:
        meaning = (
            "Смену адреса пережил только этот чат: с TCP или простым UDP программа должна"
            " заметить её по тайм-ауту (здесь с TCP —"
            f" {_after(result.median('tcp', 'told', TALKING), 'ru')}) и войти заново; тому, кто"
            " переходит из сети в сеть, лучше служит собственный номер сеанса, как в QUIC"
        )
    else:
        names = [name for key, name in _CHATS["ru"].items() if key in survivors]
        meaning = (
            f"Смену адреса пережили: {', '.join(names) or 'никто'}; остальные должны заметить её"
            " по тайм-ауту и войти заново"
        )
    return [
        "После смены адреса говорящего участника снова услышали:"
        f" {_times(result, 'speaks', TALKING, 'ru')}; а тот, кто только слушает, снова услышал"
        f" других: {_times(result, 'hears', LISTENING, 'ru')} (наблюдали {watched}); из строк,"
        f" сказанных после смены, этот чат потерял {lost:.0f} %.",
        "TCP-соединение — это два адреса с портами, переехать оно не может, а сервер простого UDP"
        " узнаёт участника только по адресу; у сеанса этого чата есть номер, поэтому первая же"
        " датаграмма с нового адреса вызывает проверку и переносит сеанс, а молчащий находится"
        " при следующем сигнале жизни.",
        f"{meaning}.",
    ]


EXPERIMENT = Experiment(
    name="address-change",
    needs_wire=True,
    measure=measure,
    plots=(
        Plot("hears", "bars", "condition"),
        Plot("speaks", "bars", "condition"),
        Plot("told", "bars", "condition"),
    ),
    words={
        "en": Words(
            title="An address that changes",
            question="A member's address changes in mid-conversation: when is it back?",
            names={
                "speaks": "from the change until its lines arrive again, s",
                "hears": "from the change until it hears again, s",
                "lost_up": "of its lines after the change, lost, %",
                "lost_down": "of the others' lines after the change, lost to it, %",
                "told": "until its program says that something is wrong, s",
                "condition": "what the member does",
                TALKING: "talks",
                LISTENING: "only listens",
            },
            explain=_explain_en,
        ),
        "ru": Words(
            title="Смена адреса",
            question="Адрес участника меняется посреди разговора: когда он снова с нами?",
            names={
                "speaks": "от смены адреса до первой его дошедшей строки, с",
                "hears": "от смены адреса до первой услышанной строки, с",
                "lost_up": "потеряно его строк после смены, %",
                "lost_down": "потеряно для него чужих строк после смены, %",
                "told": "пока его программа не сообщит о неполадке, с",
                "condition": "что делает участник",
                TALKING: "говорит",
                LISTENING: "только слушает",
            },
            explain=_explain_ru,
        ),
    },
)
