"""What happened, as programs and people are told it: `ChatEvent`, and how events become one.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import TypedDict, cast

from udp_chat.protocol.answers import Link, parse_seen
from udp_chat.protocol.packets import Event, EventKind, Message, MessageKind

TIME_MS_MAX = 32_503_680_000_000
"""The end of the year 2999, in Unix time: beyond it not every system knows what time that is."""

SAID_APART = {EventKind.CHAT_APART: EventKind.CHAT, EventKind.ACTION_APART: EventKind.ACTION}
"""What was said in another part of the room, and what it was there."""


class _EventKind(TypedDict):
    event: str


class ChatEvent(_EventKind, total=False):
    """What happened, as `--json` prints it. Keys beyond `event` are there as fitting."""

    seq: int
    time: float
    name: str
    new_name: str
    text: str
    to: str
    room: str
    count: int | None
    members: list[str]
    reason: str
    history: bool
    address: str
    apart: bool
    total: int
    links: list[Link]


def _seconds(event: Event) -> float:
    """Unix time of an event."""
    return min(event.time_ms, TIME_MS_MAX) / 1000


def of_room(seq: int, event: Event, history: bool) -> ChatEvent:
    """An event of the room's log; `history` if it is from before the reader joined."""
    if event.kind is EventKind.LOST_APART:
        return _of_lost_apart(seq, event, history)
    said_apart = event.kind in SAID_APART
    kind = SAID_APART[event.kind] if said_apart else event.kind
    shown: ChatEvent = {
        "event": kind.name.lower(),
        "seq": seq,
        "time": _seconds(event),
        "name": event.name,
    }
    if event.kind is EventKind.LEAVE:
        shown["reason"] = event.text
    elif event.kind is EventKind.RENAME:
        shown["new_name"] = event.text
    elif event.kind is not EventKind.JOIN:
        shown["text"] = event.text
    if said_apart:
        shown["apart"] = True
    if history:
        shown["history"] = True
    return shown


def _of_lost_apart(seq: int, event: Event, history: bool) -> ChatEvent:
    lost: ChatEvent = {
        "event": "lost",
        "seq": seq,
        "time": _seconds(event),
        "count": None,
        "apart": True,
    }
    if history:
        lost["history"] = True
    return lost


def of_host(name: str, address: str) -> ChatEvent:
    """Who hosts the room, and where; the name is None for a server of its own."""
    return cast(ChatEvent, {"event": "host", "name": name or None, "address": address})


def of_sent(message: Message, seq: int | None) -> ChatEvent:
    """A message of one's own that the server has accepted, at this place if that is known."""
    sent: ChatEvent = {"event": "sent"}
    if message.kind is MessageKind.PRIVATE:
        sent["to"] = message.to
    elif seq is not None:
        sent["seq"] = seq
    return sent


def reason_of(reasons: type[IntEnum], number: int) -> str:
    """A reason as events have it, also one that is not known here."""
    try:
        return reasons(number).name.lower()
    except ValueError:
        return f"reason_{number}"


def of_notice(event: Event) -> ChatEvent:
    """A NOTICE of an inbox: what the server could not do."""
    return {
        "event": "notice",
        "time": _seconds(event),
        "reason": event.text,
        "name": event.to,
    }


def of_private(event: Event) -> ChatEvent:
    """A PRIVATE of an inbox."""
    return {
        "event": "private",
        "time": _seconds(event),
        "name": event.name,
        "to": event.to,
        "text": event.text,
    }


def of_seen(event: Event, said: Mapping[int, str]) -> ChatEvent:
    """A SEEN of an inbox; `said` are the asker's lines by sequence number."""
    answer = parse_seen(event.text)
    shown: ChatEvent = {"event": "notice", "reason": "nothing_said"}
    if answer is not None and answer[0] in said:
        seq, count, total, missing = answer
        shown |= {"reason": "seen", "seq": seq, "text": said[seq]}
        shown |= {"count": count, "total": total, "members": missing}
    return shown
