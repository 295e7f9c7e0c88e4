"""The plain UDP chat's command: `serve` opens a room, `join` talks in one.

  python3 -m compare.chats.plain_udp serve
  python3 -m compare.chats.plain_udp join [SERVER[:PORT]]

The chat itself is in plain_udp_server.py and plain_udp_client.py.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

if not __package__:  # run as a file: `python3 compare/chats/plain_udp.py`
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from compare.chats.client_command import add_client_arguments, run_client
from compare.chats.liveness import Heartbeat
from compare.chats.options import add_heartbeat_arguments, check_heartbeat
from compare.chats.plain_udp_client import PlainUdpClient
from compare.chats.plain_udp_server import PlainUdpServer, PlainUdpSettings
from compare.chats.server_command import add_server_arguments, run_server


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="plain_udp.py",
        description="The smallest honest chat over plain UDP. It loses what the network loses.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    serve = commands.add_parser("serve", help="open a room")
    add_server_arguments(serve)
    join = commands.add_parser("join", help="join a room: type your messages, выйти leaves")
    add_client_arguments(join)
    for command in (serve, join):
        add_heartbeat_arguments(command)
    arguments = parser.parse_args(argv)
    check_heartbeat(parser, arguments)
    if arguments.command == "serve":
        settings = PlainUdpSettings(arguments.room, arguments.max_members, arguments.timeout)
        return run_server(
            lambda: PlainUdpServer(arguments.host, arguments.port, settings), arguments
        )
    heartbeat = Heartbeat(arguments.heartbeat, arguments.timeout)
    return run_client(
        lambda name, on_event: PlainUdpClient(
            arguments.server, name, on_event, heartbeat=heartbeat
        ),
        arguments,
    )


if __name__ == "__main__":
    sys.exit(main())
