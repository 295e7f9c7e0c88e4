"""The command `udp_client.py`: finds a room or opens one, and lets a person or a pipe talk in it.

With a server's name it joins there. Without one it looks for rooms on this network (rooms.py). Then
each line of a person or a pipe becomes a message or a command (conversation.py), until the end.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, TypeAlias

from udp_chat.app.arguments import LOG_LEVELS, Parser, keep_limit, room_name, wrong
from udp_chat.app.catalogue import wanted_language
from udp_chat.app.chat_sentences import CHAT
from udp_chat.app.conversation import Conversation
from udp_chat.app.doctor import main_checks
from udp_chat.app.export import why_not_kept
from udp_chat.app.hosted_here import HostedHere
from udp_chat.app.kept_lines import RoomLines, ShownLines
from udp_chat.app.lines import EXIT_WORD, event_line, parse_line, said_line
from udp_chat.app.program import started_program, usage_name
from udp_chat.app.rooms import NoRoom, find_room, open_room
from udp_chat.app.standard_streams import (
    LineFile,
    complain,
    forgive_characters,
    letting_go_of_output,
    piped_lines,
)
from udp_chat.app.trace import tracer
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.outbox import PENDING_MAX, PendingFull
from udp_chat.client.udp_client import JoinFailed, UdpClient, default_name
from udp_chat.protocol.addresses import format_address, parse_address
from udp_chat.protocol.held_signals import wait_for
from udp_chat.protocol.names import UnusableName, check_wanted_name, numbered_name
from udp_chat.protocol.packets import DEFAULT_PORT, TEXT_BYTES_MAX, ChatError
from udp_chat.protocol.printable import printable
from udp_chat.server.keeping import CannotKeep, KeepLimit, KeptFile
from udp_chat.terminal.screen import Hints, PlainTerminal, Terminal, open_terminal, wants_colours

INTERRUPTED = 128 + signal.SIGINT
"""The exit code of a command that Ctrl-C has ended before it had left, as a shell has it."""

LOG_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"

Trace: TypeAlias = "Callable[[str, bytes], None] | None"


def make_client(
    server: tuple[str, int],
    name: str,
    on_event: Callable[[ChatEvent], None],
    trace: Trace,
    hosted: HostedHere,
) -> UdpClient:
    """A client as the command uses it."""
    return UdpClient(
        server,
        name,
        on_event,
        on_datagram=trace,
        on_away=hosted.away,
        make_session=hosted.own_client.make_session,
    )


@dataclass(frozen=True, slots=True)
class Limits:
    """What the command line does not ask about, and a program around `main` may choose."""

    pipe_pending_max: int = 500
    """Messages of a pipe that wait in this process; the rest waits in the pipe."""
    pipe_line_bytes_max: int = PENDING_MAX * TEXT_BYTES_MAX
    """A longer line of a pipe could not wait to be sent. It is skipped, all of it."""
    login_names_max: int = 99
    """Names like the login name that are tried if none was chosen: anna, anna-2, …"""
    make_client: Callable[..., UdpClient] = make_client
    """Makes the client; it gets what `make_client` gets."""


@dataclass(frozen=True, slots=True)
class Joining:
    """How the command joins, beside where and under which name."""

    trace: Trace
    limits: Limits


def make_parser(language: str) -> Parser:
    """The parser of the command line, in a language."""
    parser = Parser("client", usage_name(started_program().client), language)
    parser.operands.add_argument(
        "server",
        nargs="?",
        type=parser.typed(_server),
        metavar="SERVER[:PORT]",
        help=parser.words("client_server", port=DEFAULT_PORT),
    )
    parser.option("--name", type=parser.typed(_name))
    parser.option("--open", nargs="?", const="chat", metavar="ROOM", type=parser.typed(room_name))
    parser.option("--takeover", choices=("yes", "no"))
    parser.option("--json", action="store_true")
    parser.option("--commands", action="store_true", words={"exit_word": EXIT_WORD})
    parser.option("--listen", action="store_true")
    parser.option("--quiet", action="store_true")
    parser.option("--timestamps", action="store_true")
    parser.option("--no-color", action="store_true")
    parser.option("--transcript", metavar="FILE")
    parser.option("--keep", metavar="FILE")
    parser.option(
        "--keep-limit", metavar="LIMIT", type=parser.typed(keep_limit), default=KeepLimit()
    )
    parser.option("--trace", nargs="?", const="-", metavar="FILE")
    parser.option("--doctor", action="store_true")
    parser.option("--log-level", default="warning", choices=LOG_LEVELS)
    parser.add_common_options()
    return parser


def _server(text: str, language: str) -> tuple[str, int]:
    try:
        return parse_address(text)
    except ValueError:
        raise wrong("server", language, value=text) from None


def _name(text: str, language: str) -> str:
    try:
        return check_wanted_name(text)
    except UnusableName as error:
        reason = CHAT.sentence(language, f"unusable_name_{error.rule}", name=text)
        raise argparse.ArgumentTypeError(reason.removeprefix("! ")) from None


# --- talking in a room -----------------------------------------------------------------------


def _join(
    conversation: Conversation,
    server: tuple[str, int],
    name: str | None,
    hosted: HostedHere,
    join: Joining,
) -> None:
    """Joins under the name, or under a free one like the login name; raises JoinFailed."""
    limits = join.limits
    for number in range(1, limits.login_names_max + 1):
        wanted = name or (default_name() if number == 1 else numbered_name(default_name(), number))
        client = limits.make_client(server, wanted, conversation.show, join.trace, hosted)
        conversation.client = hosted.own_client.client = client
        client.on_members = conversation.refresh
        try:
            client.start()
            wait_for(conversation.joined)  # what a person types from now on comes after it
            hosted.joined(client)
            return
        except JoinFailed as error:
            if name or error.reason != "name_in_use":
                raise
    raise JoinFailed("name_in_use", f"all names like {default_name()} are in use")


def _tell_why(error: JoinFailed, server: tuple[str, int], language: str) -> None:
    host, port = server
    if error.reason == "no_answer":
        text = CHAT.sentence(language, error.reason, server=format_address(server), port=port)
    elif error.reason == "unknown_host":
        why = CHAT.translated(str(error), language, ["no_host_name"])
        text = CHAT.sentence(language, error.reason, host=printable(host), text=why)
    elif error.reason == "internal_error":
        text = CHAT.sentence(language, "left_internal_error", text=printable(str(error)))
    else:
        refused: ChatEvent = {"event": "refused", "reason": error.reason, "text": str(error)}
        text = event_line(refused, language) or ""
    complain(text)


def _no_lines(conversation: Conversation) -> Generator[str, None, None]:
    """No lines, whatever the input is; it ends with the server."""
    wait_for(conversation.server_stopped)
    yield from ()


def _typed_lines(terminal: Terminal, conversation: Conversation) -> Generator[str, None, None]:
    """Lines of a person at a terminal."""
    while True:
        try:
            line = terminal.read_line()
        except OSError:  # the window has gone
            return
        except EOFError:  # Ctrl-D, or the end of the input, which comes again if it is asked
            if conversation.interrupted:
                return
            line = "/quit"
        except KeyboardInterrupt:
            if conversation.interrupted:
                raise
            line = "/quit"  # the key, not the signal: it can still be answered
        yield line


def _hints(language: str) -> Hints:
    """What the terminal itself says, in a language."""
    return Hints(
        leave=CHAT.sentence(language, "hint_leave"),
        pasted=lambda count: CHAT.sentence(language, "hint_pasted", count=count),
        searched=lambda word: CHAT.sentence(language, "hint_searched", text=word),
        not_found=lambda word: CHAT.sentence(language, "hint_not_found", text=word),
    )


def _may_close(conversation: Conversation, hosted: HostedHere, terminal: Terminal) -> bool:
    """Asks the person, if the room would close although others are in it."""
    count = hosted.others_stranded()
    if not count or conversation.interrupted:
        return True
    conversation.tell("close_question", count=count)
    try:
        answer = terminal.read_line().strip().casefold()
    except (EOFError, OSError, KeyboardInterrupt):
        return True  # asked once
    return answer.startswith(("y", "д"))


def _converse(
    conversation: Conversation,
    limits: Limits,
    hosted: HostedHere,
    *,
    at_terminal: bool,
    commands: bool,
) -> int:
    """Reads lines until the end and says them or carries them out; returns the exit code."""
    client = conversation.client
    assert client is not None
    lines: Generator[str | None, None, None]
    if conversation.listens:
        lines = _no_lines(conversation)
    elif conversation.terminal is not None:
        lines = _typed_lines(conversation.terminal, conversation)
    else:  # also with --json at a terminal, where nothing else may be on the screen
        lines = piped_lines(limits.pipe_line_bytes_max)
    complete = True
    try:
        with contextlib.closing(lines):
            for line in lines:
                if line is None:
                    conversation.tell("pending_full")
                    complete = at_terminal
                    continue
                if commands:
                    command = parse_line(line, asks_before_leaving=at_terminal)
                else:
                    command = said_line(line)
                if command is None:
                    continue
                if command.verb == "quit":
                    terminal = conversation.terminal
                    if terminal is None or _may_close(conversation, hosted, terminal):
                        break
                    continue
                try:
                    conversation.do(command)
                except PendingFull:
                    conversation.tell("pending_full")
                    complete = at_terminal
                except ChatError:  # the client has ended, and says why
                    complete = False
                    break
                if not at_terminal and not client.flush(below=limits.pipe_pending_max):
                    break
        if not at_terminal:
            client.flush()
    except KeyboardInterrupt:
        pass
    _leave(conversation)
    if conversation.found_nobody and not at_terminal and not conversation.as_json:
        complete = False
    count = client.pending_count
    if count and not conversation.failure:
        conversation.tell_unsent(count)
    return 0 if complete and not count else 1


def _leave(conversation: Conversation) -> None:
    """Leaves, if it has joined; a second Ctrl-C ends this at once."""
    conversation.leaving = True
    if conversation.terminal is not None:
        conversation.terminal.end_input()
    with letting_go_of_output(lambda: conversation.interrupted):
        if conversation.client is not None:
            with contextlib.suppress(KeyboardInterrupt):
                conversation.client.close()
        if sys.stdout is not None:
            with contextlib.suppress(OSError, KeyboardInterrupt):
                sys.stdout.flush()  # a signal may have interrupted a print


class _Endings:
    """SIGINT, SIGTERM and SIGHUP interrupt the main thread once; a second Ctrl-C does it again."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._over = False
        self._previous: dict[int, Any] = {}

    def begin(self) -> None:
        """Hears the signals, until `end`."""
        # Also SIGINT: a shell script starts a background process with SIGINT ignored.
        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)  # the window was closed; nohup ignores the signal
        self._previous = {number: signal.getsignal(number) for number in numbers}
        for number in numbers:
            signal.signal(number, self._interrupt)

    def end(self) -> None:
        self._over = True
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, _: object) -> None:
        first, self._conversation.leaving = not self._conversation.leaving, True
        self._conversation.interrupted = True
        if not self._over and (first or number == signal.SIGINT):
            raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None, limits: Limits | None = None) -> int:
    """The command `udp_client.py`; returns its exit code."""
    parser = make_parser(wanted_language(sys.argv[1:] if argv is None else argv))
    arguments = parser.parse_args(argv)
    if arguments.server is not None and arguments.open is not None:
        parser.error(parser.words("wrong_open"))
    logging.basicConfig(level=arguments.log_level.upper(), format=LOG_FORMAT)
    forgive_characters()
    if arguments.doctor:
        return main_checks(arguments.server, arguments.lang)
    try:
        with ExitStack() as closing:
            return _run(arguments, limits or Limits(), closing)
    except KeyboardInterrupt:  # once more, while it was leaving
        return INTERRUPTED


def _run(arguments: argparse.Namespace, limits: Limits, closing: ExitStack) -> int:
    language, server = arguments.lang, arguments.server
    at_terminal = sys.stdin is not None and sys.stdin.isatty() and not arguments.listen
    conversation = Conversation(
        language,
        arguments.json,
        arguments.timestamps,
        shows_history=not arguments.quiet,
        listens=arguments.listen,
    )
    on_datagram = None
    try:
        if arguments.transcript is not None:
            conversation.transcript = LineFile(arguments.transcript, conversation.file_failed)
            closing.enter_context(conversation.transcript)
        if arguments.trace == "-":
            on_datagram = tracer(complain)
        elif arguments.trace is not None:
            trace = closing.enter_context(LineFile(arguments.trace, conversation.file_failed))
            on_datagram = tracer(trace.write_line)
    except OSError as error:
        conversation.file_failed(str(error.filename), error.strerror or str(error))
        return 1
    except ValueError:  # a NUL
        path = arguments.transcript if conversation.transcript is None else arguments.trace
        conversation.file_failed(str(path), CHAT.sentence(language, "no_such_path"))
        return 1
    try:
        endings = _Endings(conversation)
        closing.callback(endings.end)  # first: a signal may come as soon as they are heard
        closing.callback(_leave, conversation)
        endings.begin()
        if server is None and arguments.open is None:
            server = find_room(language, input if at_terminal and not arguments.json else None)
        kept_file = None
        if arguments.keep is not None:
            kept_file = closing.enter_context(KeptFile(arguments.keep, arguments.keep_limit))
        if kept_file is not None and server is None:
            conversation.kept_lines = RoomLines(arguments.keep, language)
            conversation.room_file = arguments.keep
        elif kept_file is not None:
            conversation.kept_lines = ShownLines(kept_file, conversation.cannot_keep)
        may_take_over = arguments.takeover == "yes" or (at_terminal and arguments.takeover is None)
        hosted = closing.enter_context(
            HostedHere(may_take_over=may_take_over, on_failure=conversation.hosting_failed)
        )
        closing.callback(_leave, conversation)  # before the room is handed on
        if server is None:
            port = open_room(arguments.open or "chat", language, hosted, kept_file)
            server = "127.0.0.1", port
        if arguments.listen and not arguments.json and wants_colours():
            plain = PlainTerminal(colours=not arguments.no_color)
            conversation.terminal = closing.enter_context(plain)
        elif at_terminal and not arguments.json:
            colours = False if arguments.no_color else None
            terminal = open_terminal(conversation.complete, colours=colours, hints=_hints(language))
            terminal.on_look = conversation.look
            conversation.terminal = closing.enter_context(terminal)
            if sys.stderr is not None and sys.stderr.isatty():
                # Complaints and logs go above the line being typed, too.
                closing.enter_context(contextlib.redirect_stderr(terminal.stream()))
                logging.basicConfig(force=True, level=logging.getLogger().level, format=LOG_FORMAT)
        _join(conversation, server, arguments.name, hosted, Joining(on_datagram, limits))
        commands = at_terminal or arguments.commands or arguments.json
        code = _converse(conversation, limits, hosted, at_terminal=at_terminal, commands=commands)
    except NoRoom:
        return 1
    except CannotKeep as error:
        complain(why_not_kept(error, arguments.keep, language))
        return 1
    except JoinFailed as error:
        if conversation.terminal is not None:
            conversation.terminal.close()
        _tell_why(error, server, language)
        return 1
    except (KeyboardInterrupt, EOFError):
        code = 0  # before it had joined
    if conversation.failure:
        conversation.tell("left_internal_error", text=printable(conversation.failure))
        return 1
    return code
