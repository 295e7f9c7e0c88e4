"""What the two chats to compare with say: one message, encoded, and the event it becomes.

The TCP chat puts these messages into frames on a stream, the plain UDP chat puts each into a
datagram. So both send the same bytes for the same line, and what differs is the transport.
Nothing here touches a socket or a clock.
"""

from __future__ import annotations

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

    HELLO = 1  # name: whom I want to be
    SAY = 2  # text
    LEAVE = 3
    ALIVE = 4  # the plain UDP chat's heartbeat; its server echoes it
    WELCOME = 5  # name: who you are; text: the room's name, then a member a line
    REFUSED = 6  # text: why
    CHAT = 7  # name, text
    JOIN = 8  # name
    LEFT = 9  # name; text: why
    BYE = 10  # text: why your membership ends


class MalformedMessage(ChatError):
    """These bytes are no message, or no frame. `reason` is short."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class TextTooLong(ChatError):
    """This text is more than a message can hold; nothing was sent."""


class JoinFailed(ChatError):
    """The room was not entered. `reason`: no_answer, connection_refused, unknown_host, or why
    the server refused."""

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
        return b"%b%b%b" % (_HEADER.pack(self.kind, self.time_ms, len(name)), name, text)

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
            kind = Kind(number)
            name = data[_HEADER.size : text_at].decode("utf-8", "strict")
            text = data[text_at:].decode("utf-8", "strict")
        except UnicodeDecodeError:
            raise MalformedMessage("invalid utf-8") from None
        except ValueError:
            raise MalformedMessage("unknown kind") from None
        return cls(kind, name, text, time_ms)


_HEADER = Struct("!BQB")


def refusal(name: str) -> str | None:
    """Why this cannot be a name in a room, None if it can: the same rules as the chat's."""
    try:
        check_name(name)
    except UnusableName as error:
        return f"unusable_name_{error.rule}"
    return None


def event_of(message: Message) -> ChatEvent | None:
    """The event that a server's message is to a client; None if nothing is to be shown."""
    seconds = message.time_ms / 1000
    match message.kind:
        case Kind.WELCOME:
            room, *members = message.text.split("\n")
            return {
                "event": "joined",
                "time": seconds,
                "name": message.name,
                "room": room,
                "members": sorted(members),
            }
        case Kind.CHAT:
            return {"event": "chat", "time": seconds, "name": message.name, "text": message.text}
        case Kind.JOIN:
            return {"event": "join", "time": seconds, "name": message.name}
        case Kind.LEFT:
            return {
                "event": "leave",
                "time": seconds,
                "name": message.name,
                "reason": message.text,
            }
        case _:
            return None
