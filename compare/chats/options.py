"""Options that the commands of the two classic chats share, and what they stand for."""

from __future__ import annotations

import argparse
import logging

from compare.chats.liveness import Heartbeat, Keepalive
from udp_chat.app.arguments import count, seconds
from udp_chat.app.standard_streams import forgive_characters


def positive(text: str) -> int:
    """A whole number from 1; raises ArgumentTypeError for anything else."""
    if not text.isdecimal() or count(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return count(text)


def add_log_level(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-level",
        default="warning",
        choices=["debug", "info", "warning", "error"],
        help="diagnostics on stderr (default: %(default)s)",
    )


def prepare_streams(log_level: str) -> None:
    """Has diagnostics logged on stderr, and characters replaced that a stream cannot show."""
    logging.basicConfig(
        level=log_level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    forgive_characters()


def add_heartbeat_arguments(parser: argparse.ArgumentParser) -> None:
    """`--heartbeat` and `--timeout`, with the defaults of udp-chat's own server."""
    defaults = Heartbeat()
    parser.add_argument(
        "--heartbeat",
        type=seconds,
        default=defaults.heartbeat_seconds,
        metavar="SECONDS",
        help="how often an idle peer is asked for a sign of life (default: %(default)g)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=defaults.timeout_seconds,
        metavar="SECONDS",
        help="silence after which a peer counts as dead (default: %(default)g)",
    )


def check_heartbeat(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Ends the program as wrongly used if no heartbeat fits into the timeout."""
    if arguments.timeout <= arguments.heartbeat:
        parser.error("--timeout must be longer than --heartbeat")


def add_keepalive_arguments(parser: argparse.ArgumentParser) -> None:
    """The same for TCP, where the kernel does it, in whole seconds."""
    add_heartbeat_arguments(parser)
    parser.add_argument(
        "--user-timeout",
        type=_seconds_or_off,
        metavar="SECONDS",
        help="how long sent data may stay unacknowledged, 0: as long as the kernel allows"
        " (default: as --timeout; Linux only)",
    )


def keepalive_of(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Keepalive:
    check_heartbeat(parser, arguments)
    return Keepalive(arguments.heartbeat, arguments.timeout, arguments.user_timeout)


def _seconds_or_off(text: str) -> float:
    try:
        return seconds(text) if float(text) else 0.0
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither 0 nor a number of seconds from 0.1 to 3600"
        ) from None
