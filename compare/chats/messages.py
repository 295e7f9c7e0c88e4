"""What the two classic chats say: one message, its bytes, and the event it becomes.

The TCP chat puts these messages into frames on a stream, the plain UDP chat puts each into a
datagram. So both send the same bytes for the same text, and only the transport differs.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import IntEnum
from struct import Struct
from typing import TYPE_CHECKING

from udp_chat.protocol.names import UnusableName, check_name
from udp_chat.protocol.packets import ChatError

if TYPE_CHECKING:
    from udp_chat.client.chat_events import ChatEvent  # the same keys as `udp_client.py --json`


class Kind(IntEnum):
    """What a message is. The first four are a client's, the others the server's."""

    HELLO = 1  # name: the one I want
    SAY = 2  # text
    LEAVE = 3
    ALIVE = 4  # the plain UDP chat's heartbeat; its server echoes it
    WELCOME = 5  # name: yours; text: the room's name, then one member on each line
    REFUSED = 6  # text: why
    CHAT = 7  # name, text
    JOIN = 8  # name
    LEFT = 9  # name; text: why
    BYE = 10  # text: why your membership ends


class MalformedMessage(ChatError):
    """These bytes are no message, or no frame; the text says why."""


class TextTooLong(ChatError):
    """This text is longer than a message can be. Nothing was sent."""


class JoinFailed(ChatError):
    """The client did not get into the room.

    `reason` is no_answer, connection_refused, unknown_host, or the reason that the server gave.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Message:
    """::

      kind:1 | Unix ms:8 | name bytes:1 | name … | text …

    All in network byte order and UTF-8. The time is the server's; a client sends 0.
    """

    kind: Kind
    name: str = ""
    text: str = ""
    time_ms: int = 0

    def encode(self) -> bytes:
        name = self.name.encode("utf-8", "replace")
        text = self.text.encode("utf-8", "replace")
        return _HEADER.pack(self.kind, self.time_ms, len(name)) + name + text

    @classmethod
    def decode(cls, data: bytes) -> Message:
        """The message in these bytes; raises `MalformedMessage` and nothing else."""
        if len(data) < _HEADER.size:
            raise MalformedMessage("truncated")
        number, time_ms, name_bytes = _HEADER.unpack_from(data)
        text_at = _HEADER.size + name_bytes
        if text_at > len(data):
            raise MalformedMessage("truncated")
        try:
            return cls(
                Kind(number),
                data[_HEADER.size : text_at].decode(),
                data[text_at:].decode(),
                time_ms,
            )
        except UnicodeDecodeError:
            raise MalformedMessage("invalid utf-8") from None
        except ValueError:
            raise MalformedMessage("unknown kind") from None


_HEADER = Struct("!BQB")


def stamped(kind: Kind, name: str, text: str = "") -> Message:
    """A server's message, with the time."""
    return Message(kind, name, text, time.time_ns() // 1_000_000)


def refusal(name: str) -> str | None:
    """Why nobody can have this name, None if somebody can. The rules are those of udp-chat."""
    try:
        check_name(name)
    except UnusableName as error:
        return f"unusable_name_{error.rule}"
    return None


_EVENTS = {Kind.WELCOME: "joined", Kind.CHAT: "chat", Kind.JOIN: "join", Kind.LEFT: "leave"}


def event_of(message: Message) -> ChatEvent | None:
    """The event that a client makes of a server's message; None if it shows nothing."""
    kind = _EVENTS.get(message.kind)
    if kind is None:
        return None
    event: ChatEvent = {"event": kind, "time": message.time_ms / 1000, "name": message.name}
    if message.kind is Kind.WELCOME:
        event["room"], *members = message.text.split("\n")
        event["members"] = sorted(members)
    elif message.kind is Kind.CHAT:
        event["text"] = message.text
    elif message.kind is Kind.LEFT:
        event["reason"] = message.text
    return event
