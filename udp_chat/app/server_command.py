"""The command `udp_server.py`: opens a room and serves it until Ctrl-C."""

from __future__ import annotations

import argparse
import errno
import logging
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from udp_chat.app.arguments import (
    LOG_LEVELS,
    Parser,
    count,
    keep_limit,
    port,
    positive_count,
    room_name,
    seconds,
    wrong,
)
from udp_chat.app.catalogue import wanted_language
from udp_chat.app.command_sentences import COMMANDS
from udp_chat.app.export import export, why_not_kept
from udp_chat.app.invitation import invitation, lan_host
from udp_chat.app.ports import port_holders
from udp_chat.app.program import started_program, usage_name
from udp_chat.app.standard_streams import complain
from udp_chat.discovery.groups import DISCOVERY_PORT
from udp_chat.hosting.hosting_server import HostingServer
from udp_chat.hosting.room_host import HOSTED_HEARTBEAT_SECONDS
from udp_chat.protocol.addresses import format_address
from udp_chat.protocol.packets import DEFAULT_PORT, RUN_MAX
from udp_chat.protocol.printable import printable
from udp_chat.server.keeping import CannotKeep, KeepLimit, KeptFile
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer

MEMBERS_MAX = 10_000
"""The most that `--max-members` takes: the names of all must fit a member's inbox."""


def make_parser(language: str) -> Parser:
    """The parser of the command line, in a language."""
    defaults = RoomSettings()
    parser = Parser("server", usage_name(started_program().server), language)
    parser.option("--host", default="")
    parser.option("--port", type=parser.typed(port), default=DEFAULT_PORT)
    parser.option("--room", type=parser.typed(room_name), default=defaults.room)
    counts = (
        ("--max-members", _member_count, defaults.members_max),
        ("--per-address", count, defaults.members_per_address_max),
        ("--history", count, defaults.history_events),
        ("--log-entries", positive_count, defaults.log_entries_max),
        ("--rate", count, int(defaults.message_rate)),
    )
    for name, convert, default in counts:
        parser.option(name, type=parser.typed(convert), default=default, metavar="N")
    durations = (
        ("--heartbeat", defaults.heartbeat_seconds),
        ("--timeout", defaults.timeout_seconds),
    )
    for name, duration in durations:
        parser.option(name, type=parser.typed(seconds), default=duration, metavar="SECONDS")
    parser.option("--takeover", choices=("yes", "no"), default="no")
    parser.option("--keep", metavar="FILE")
    parser.option(
        "--keep-limit", metavar="LIMIT", type=parser.typed(keep_limit), default=KeepLimit()
    )
    parser.option("--export", metavar="OUT")
    parser.option("--text", action="store_true")
    parser.option("--no-discovery", action="store_true")
    parser.option("--log-level", default="warning", choices=LOG_LEVELS)
    parser.add_common_options()
    return parser


def _member_count(text: str, language: str) -> int:
    number = positive_count(text, language)
    if number > MEMBERS_MAX:
        raise wrong("member_count", language, largest=MEMBERS_MAX)
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """The command `udp_server.py`; returns its exit code."""
    parser = make_parser(wanted_language(sys.argv[1:] if argv is None else argv))
    arguments = parser.parse_args(argv)
    if arguments.timeout <= arguments.heartbeat:
        parser.error(parser.words("wrong_timeout"))
    if arguments.export is not None:
        if arguments.keep is None:
            parser.error(parser.words("wrong_export"))
        return export(arguments.keep, arguments.export, parser.language, as_text=arguments.text)
    logging.basicConfig(
        level=arguments.log_level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    heartbeat_seconds = arguments.heartbeat
    if arguments.takeover == "yes":  # members are to notice soon that the server is gone
        heartbeat_seconds = min(heartbeat_seconds, HOSTED_HEARTBEAT_SECONDS)
    settings = RoomSettings(
        room=arguments.room,
        members_max=arguments.max_members,
        members_per_address_max=arguments.per_address,
        heartbeat_seconds=heartbeat_seconds,
        timeout_seconds=arguments.timeout,
        message_rate=arguments.rate,
        message_burst=max(2 * arguments.rate, RUN_MAX),
        log_entries_max=arguments.log_entries,
        history_events=arguments.history,
    )
    with ExitStack() as closing:
        return _serve(arguments, parser, settings, closing)


def _serve(
    arguments: argparse.Namespace, parser: Parser, settings: RoomSettings, closing: ExitStack
) -> int:
    """Serves until it is told to stop; returns the exit code."""
    kept_file = None
    try:
        discovery_port = None if arguments.no_discovery else DISCOVERY_PORT
        if arguments.keep is not None:
            kept_file = closing.enter_context(KeptFile(arguments.keep, arguments.keep_limit))
        server = _make_server(arguments, settings, discovery_port, kept_file)
    except CannotKeep as error:
        print(why_not_kept(error, arguments.keep, parser.language), file=sys.stderr)
        return 1
    except (OSError, UnicodeError) as error:  # UnicodeError: no name server is asked such a name
        print(_why_not_open(error, arguments), file=sys.stderr)
        return 1

    def stop(*_: Any) -> None:
        server.stop()

    endings = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        endings.append(signal.SIGHUP)  # the terminal's window was closed; nohup ignores the signal
    previous = {number: signal.signal(number, stop) for number in endings}
    previous_wakeup = signal.set_wakeup_fd(server.wake_fileno(), warn_on_full_buffer=False)
    try:
        if server.shortfall:
            text = COMMANDS.translated(server.shortfall, parser.language, ["small_buffer"])
            print(parser.words("note", text=text), file=sys.stderr)
        print(f"listening on {format_address(server.address)}", flush=True)
        if sys.stderr is not None and sys.stderr.isatty():  # a person looks
            host, port = server.address[:2]
            complain(invitation(str(host), port, parser.language))
        server.serve()
        if isinstance(server, HostingServer) and server.moved_to:
            name, where = printable(arguments.room), server.moved_to
            complain(parser.words("room_elsewhere", room=name, server=where))
    finally:
        signal.set_wakeup_fd(previous_wakeup)
        server.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def _make_server(
    arguments: argparse.Namespace,
    settings: RoomSettings,
    discovery_port: int | None,
    kept_file: KeptFile | None,
) -> UdpServer:
    host, port, others = arguments.host, arguments.port, lan_host(arguments.host)
    if arguments.takeover == "no":
        return UdpServer(host, port, settings, discovery_port, kept_file, others)
    return HostingServer(
        host,
        port,
        settings,
        None,
        begins=True,
        lan_host=others,
        kept_file=kept_file,
        discovery_port=discovery_port,
    )


def _why_not_open(error: OSError | UnicodeError, arguments: argparse.Namespace) -> str:
    """A sentence: what happened, and what to do."""
    language = arguments.lang
    values: dict[str, object] = {
        "where": arguments.host or COMMANDS.sentence(language, "all_interfaces"),
        "port": arguments.port,
        "reason": getattr(error, "strerror", None) or error,
    }
    number = getattr(error, "errno", None)
    key = {
        errno.EADDRINUSE: "port_in_use_by_somebody",
        errno.EACCES: "port_forbidden",
        errno.EADDRNOTAVAIL: "address_elsewhere",
    }.get(number if isinstance(number, int) else 0, "cannot_open")
    if number == errno.EADDRINUSE:
        shown = [f"{command} ({pid})" for pid, command in port_holders(arguments.port) if pid]
        if shown:
            key, values["holders"] = "port_in_use", ", ".join(shown)
    return COMMANDS.sentence(language, key, **values)
