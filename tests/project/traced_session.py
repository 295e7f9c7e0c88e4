"""Writes the traced session of docs/protocol.md: each datagram of a conversation, in bytes.

::

  python3 -m tests.project.traced_session

The real `ChatRoom` and `ChatSession` talk over a link of 10 ms each way, in virtual time and
with fixed seeds. The link loses one datagram: the first that carries what Anna has said.
"""

from __future__ import annotations

import heapq
import random
import textwrap
from dataclasses import dataclass
from pathlib import Path

from tests.protocol.vectors import described
from udp_chat.client.session import ChatSession
from udp_chat.protocol.lineage import NO_LINEAGE
from udp_chat.protocol.packets import EventKind, Events, decode
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "protocol.md"
BEGIN, END = "```session\n", "```\n"

CLIENT, SERVER = ("192.0.2.7", 50000), ("192.0.2.1", 9091)
DELAY_SECONDS = 0.01
BEGINS_AT = 1000.0
UNIX_SECONDS_AT_ZERO = 1_795_000_000.0
SAYS_AT, LEAVES_AT, ENDS_AT = 0.2, 0.5, 1.0

_IDS = ("client_id", "session_id", "sender_id", "epoch", "inbox_epoch", "room_id")
_NO_LINEAGE = NO_LINEAGE.hex()


@dataclass(frozen=True)
class Sent:
    """One datagram of the session: when it was sent, by whom, and whether the link lost it."""

    seconds: float
    by_client: bool
    datagram: bytes
    lost: bool


def trace() -> list[Sent]:
    """The datagrams of the session, in the order in which they were sent."""
    room = ChatRoom(RoomSettings(), random.Random(1), BEGINS_AT, UNIX_SECONDS_AT_ZERO)
    session = ChatSession(SERVER, "Anna", random.Random(2))
    sent: list[Sent] = []
    on_the_way: list[tuple[float, int, bool, bytes]] = []

    def say(now: float) -> None:
        session.say("hello", now)

    person = [(SAYS_AT, say), (LEAVES_AT, session.leave)]
    loses = True
    now = BEGINS_AT
    session.start(now)
    while now < BEGINS_AT + ENDS_AT:
        room.handle_timeout(now)
        session.handle_timeout(now)
        outgoing = [(True, datagram) for datagram in session.datagrams_to_send()]
        outgoing += [(False, datagram) for datagram, _ in room.datagrams_to_send()]
        for by_client, datagram in outgoing:
            lost = loses and not by_client and _has_message(datagram)
            loses = loses and not lost
            sent.append(Sent(now - BEGINS_AT, by_client, datagram, lost))
            if not lost:
                arrival = (now + DELAY_SECONDS, len(sent), by_client, datagram)
                heapq.heappush(on_the_way, arrival)
        times = [room.next_timeout(), session.next_timeout(), BEGINS_AT + ENDS_AT]
        times += [at for at, *_ in on_the_way[:1]] + [BEGINS_AT + at for at, _ in person[:1]]
        now = max(now, min(at for at in times if at is not None))
        while on_the_way and on_the_way[0][0] <= now:
            _, _, by_client, datagram = heapq.heappop(on_the_way)
            if by_client:
                room.receive_datagram(datagram, CLIENT, now)
            else:
                session.receive_datagram(datagram, SERVER, now)
        if person and BEGINS_AT + person[0][0] <= now:
            person.pop(0)[1](now)
    return sent


def _has_message(datagram: bytes) -> bool:
    packet = decode(datagram)
    return isinstance(packet, Events) and any(e.kind is EventKind.CHAT for e in packet.events)


def as_text() -> str:
    """The trace as the document has it."""
    return "\n".join(_block(sent) for sent in trace())


def _block(sent: Sent) -> str:
    packet = described(decode(sent.datagram))
    kind = packet.pop("type")
    way = "client to server" if sent.by_client else "server to client"
    lost = ", lost on the way" if sent.lost else ""
    head = f"{sent.seconds:.3f} s, {way}: {kind}, {len(sent.datagram)} bytes{lost}"
    lines = textwrap.wrap(sent.datagram.hex(), 96)
    fields = ", ".join(_field(name, value) for name, value in packet.items() if _says(value))
    decoded = textwrap.wrap(fields, 94, break_long_words=False)
    return "\n".join([head, *("  " + line for line in lines), *("  # " + d for d in decoded), ""])


def _says(value: object) -> bool:
    return value not in (None, False, [], "") and value != _NO_LINEAGE


def _field(name: str, value: object) -> str:
    if isinstance(value, list):
        return f"{name} [{'; '.join(_nested(item) for item in value)}]"
    if isinstance(value, dict):
        return f"{name} [{_nested(value)}]"
    if name == "lineage":
        terms = [str(value)[at : at + 32] for at in range(0, len(str(value)), 32)]
        return " ".join([name, *(term for term in terms if int(term, 16))])
    if name in _IDS and value != "0":
        return f"{name} {int(str(value)):016x}"
    if isinstance(value, str) and not value.isdecimal() and name != "cookie":
        return f'{name} "{value}"'.replace("\n", "\\n")
    return f"{name} {value}"


def _nested(fields: dict[str, object]) -> str:
    return ", ".join(
        _field(name, value) for name, value in fields.items() if _says(value) and value != ""
    )


def main() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    before, _, rest = document.partition(BEGIN)
    after = rest.partition(END)[2]
    DOCUMENT.write_text(before + BEGIN + as_text() + END + after, encoding="utf-8")


if __name__ == "__main__":
    main()
