"""The command `udp_server.py`: opens a room and serves it until Ctrl-C."""

from __future__ import annotations

import argparse
import logging
import signal
import sys
from collections.abc import Sequence
from typing import Any

from udp_chat.app.arguments import (
    count,
    port,
    program_name,
    room_name,
    seconds,
    version_option,
)
from udp_chat.discovery.groups import DISCOVERY_PORT
from udp_chat.protocol.addresses import format_address
from udp_chat.protocol.packets import DEFAULT_PORT, RUN_MAX
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer

MEMBERS_MAX = 10_000
"""The most that `--max-members` takes: their roster is to fit a member's inbox."""


def _parser() -> argparse.ArgumentParser:
    defaults = RoomSettings()
    parser = argparse.ArgumentParser(
        prog=program_name("udp_server.py", "udp_chat.server"),
        description="Opens a chat room over UDP. Others join it with: python3 udp_client.py SERVER",
        epilog="Stop it with Ctrl-C; the members are told. What was said is kept in memory only.",
    )
    parser.add_argument("--host", default="", help="address to bind (default: all interfaces)")
    parser.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--room", type=room_name, default=defaults.room, help="its name (default: %(default)s)"
    )
    parser.add_argument(
        "--max-members",
        type=_member_count,
        default=defaults.members_max,
        metavar="N",
        help="refuse more than N (default: %(default)s)",
    )
    parser.add_argument(
        "--per-address",
        type=count,
        default=defaults.members_per_address_max,
        metavar="N",
        help="members from one address, who share its rates; 0: any number, and no rates for an"
        " address (default: %(default)s)",
    )
    parser.add_argument(
        "--history",
        type=count,
        default=defaults.history_events,
        metavar="N",
        help="events shown to a newcomer (default: %(default)s)",
    )
    parser.add_argument(
        "--log-entries",
        type=_positive_int,
        default=defaults.log_entries_max,
        metavar="N",
        help="events remembered for who comes back (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=count,
        default=int(defaults.message_rate),
        metavar="N",
        help="messages a second that one client, and all clients of one address together, may say"
        " in the long run; all members together may say twice as many. More is held back."
        " 0 lifts all rates (default: %(default)s)",
    )
    parser.add_argument(
        "--heartbeat",
        type=seconds,
        default=defaults.heartbeat_seconds,
        metavar="SECONDS",
        help="how often an idle client shows that it lives (default: %(default)g)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=defaults.timeout_seconds,
        metavar="SECONDS",
        help="silence after which a member is dropped (default: %(default)g)",
    )
    parser.add_argument(
        "--no-discovery",
        action="store_true",
        help="answer nobody who looks for rooms: only who knows the address can join",
    )
    parser.add_argument(
        "--log-level",
        default="warning",
        choices=["debug", "info", "warning", "error"],
        help="info: who comes and goes, at the end all counters; debug: every datagram"
        " (default: %(default)s)",
    )
    version_option(parser)
    return parser


def _positive_int(text: str) -> int:
    number = count(text)
    if number == 0:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _member_count(text: str) -> int:
    number = _positive_int(text)
    if number > MEMBERS_MAX:
        raise argparse.ArgumentTypeError(f"at most {MEMBERS_MAX}: more names fit no inbox")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """The command `udp_server.py`; returns its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.timeout <= arguments.heartbeat:
        parser.error("--timeout must be longer than --heartbeat")
    logging.basicConfig(
        level=arguments.log_level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    settings = RoomSettings(
        room=arguments.room,
        members_max=arguments.max_members,
        members_per_address_max=arguments.per_address,
        heartbeat_seconds=arguments.heartbeat,
        timeout_seconds=arguments.timeout,
        message_rate=arguments.rate,
        message_burst=max(2 * arguments.rate, RUN_MAX),
        log_entries_max=arguments.log_entries,
        history_events=arguments.history,
    )
    try:
        discovery_port = None if arguments.no_discovery else DISCOVERY_PORT
        server = UdpServer(arguments.host, arguments.port, settings, discovery_port)
    except (OSError, UnicodeError) as error:  # UnicodeError: of a host no name server is asked
        where = f"{arguments.host or 'all interfaces'}, port {arguments.port}"
        why = getattr(error, "strerror", None) or error
        print(f"cannot open a room on {where}: {why}", file=sys.stderr)
        return 1

    def stop(*_: Any) -> None:
        server.stop()

    endings = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        endings.append(signal.SIGHUP)  # the terminal's window is closed; nohup has it ignored
    previous = {number: signal.signal(number, stop) for number in endings}
    previous_wakeup = signal.set_wakeup_fd(server.wake_fileno(), warn_on_full_buffer=False)
    try:
        if server.shortfall:
            print(f"note: {server.shortfall}", file=sys.stderr)
        print(f"listening on {format_address(server.address)}", flush=True)
        server.serve()
    finally:
        signal.set_wakeup_fd(previous_wakeup)
        server.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0
