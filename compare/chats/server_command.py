"""A server's command line: its options, its signals, its `listening on` line."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
from collections.abc import Callable
from typing import Any, Protocol

from compare.chats.options import add_log_level, positive, prepare_streams
from udp_chat.app.arguments import port, room_name
from udp_chat.protocol.addresses import format_address
from udp_chat.protocol.packets import DEFAULT_PORT


class Server(Protocol):
    """What the command needs of a server."""

    address: tuple[str, int]

    def serve(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


def add_server_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to bind, '' for all (default: %(default)s)"
    )
    parser.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--room", type=room_name, default="chat", help="its name (default: %(default)s)"
    )
    parser.add_argument(
        "--max-members",
        type=positive,
        default=1000,
        metavar="N",
        help="refuse more than N (default: %(default)s)",
    )
    add_log_level(parser)


def run_server(open_server: Callable[[], Server], arguments: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM; returns the exit code."""
    prepare_streams(arguments.log_level)
    _raise_file_limit()
    try:
        server = open_server()
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can have this name
        where = f"{arguments.host or 'all interfaces'}, port {arguments.port}"
        why = getattr(error, "strerror", None) or error
        print(f"cannot open a room on {where}: {why}", file=sys.stderr)
        return 1

    def stop(*_: Any) -> None:
        server.stop()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        print(f"listening on {format_address(server.address)}", flush=True)
        server.serve()
    finally:
        server.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def _raise_file_limit() -> None:
    """A thousand connections are a thousand file descriptors: many systems allow fewer."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
