"""What may be chosen about a TCP room: the limits that keep it alive, and the options for them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

from compare.chats.liveness import Keepalive
from compare.chats.options import add_keepalive_arguments, keepalive_of
from compare.chats.server_command import add_server_arguments
from udp_chat.app.arguments import count

MEMBERS_MAX = 1900
"""As many names as fit a WELCOME, if all are of the longest."""


@dataclass(frozen=True, slots=True)
class TcpSettings:
    """What may be chosen about a room."""

    room: str = "chat"
    members_max: int = 1000
    """At most MEMBERS_MAX."""
    message_rate: float = 500.0
    """Messages a second of one member in the long run, twice as many at once; 0: no limit."""
    queue_bytes_max: int = 1024 * 1024
    """What may wait for one member beyond the kernel's buffer. As much as one member may say at
    once at the default rate, so that a burst drops no member that reads."""
    keepalive: Keepalive = field(default_factory=Keepalive)
    strangers_max: int = 100
    """Connections beyond the members that a room can have: they say hello, or goodbye."""
    hello_seconds: float = 10.0
    """How long a connection may be silent before its HELLO."""
    drain_seconds: float = 15.0
    """How long a member that left, or was too slow, may take for what still waits for it."""
    close_seconds: float = 1.0
    """The same when the server stops."""

    def __post_init__(self) -> None:
        if self.members_max > MEMBERS_MAX:
            raise ValueError(f"at most {MEMBERS_MAX} members: their names have to fit a frame")


def read_arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, TcpSettings]:
    """The command line of the server; ends the program if it is wrong."""
    defaults = TcpSettings()
    parser = argparse.ArgumentParser(
        prog="tcp_server.py",
        description="Opens a chat room over TCP. Join it with: python3 -m compare.chats.tcp_client",
    )
    add_server_arguments(parser)
    parser.add_argument(
        "--rate",
        type=count,
        default=int(defaults.message_rate),
        metavar="N",
        help="messages a second that one member may say in the long run, 0: no limit"
        " (default: %(default)s)",
    )
    parser.add_argument(
        "--queue",
        type=count,
        default=defaults.queue_bytes_max,
        metavar="BYTES",
        help="what may wait for a member before it is dropped as too slow (default: %(default)s)",
    )
    add_keepalive_arguments(parser)
    arguments = parser.parse_args(argv)
    try:
        settings = TcpSettings(
            room=arguments.room,
            members_max=arguments.max_members,
            message_rate=arguments.rate,
            queue_bytes_max=arguments.queue,
            keepalive=keepalive_of(parser, arguments),
        )
    except ValueError as error:
        parser.error(str(error))
    return arguments, settings
