"""The command `udp_client.py`: finds a room or opens one, and lets a person or a pipe talk in it.

With a server's name it joins there. Without one it looks for rooms on this network: one is joined,
among several a person chooses, and where there is none a person is asked whether to open one. A
room opened here is a `UdpServer` on a thread of this process, as good as any; it ends with it.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack

from udp_chat.app.arguments import program_name, room_name, version_option
from udp_chat.app.catalogue import LANGUAGES, locale_language, sentence
from udp_chat.app.conversation import Conversation
from udp_chat.app.doctor import main_checks
from udp_chat.app.lines import EXIT_WORD, event_line, parse_line, said_line
from udp_chat.app.streams import LineFile, complain, forgive_characters, letting_go_of_output
from udp_chat.app.trace import tracer
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.outbox import PENDING_MAX, PendingFull
from udp_chat.client.udp_client import JoinFailed, UdpClient, default_name
from udp_chat.discovery.groups import DISCOVERY_PORT
from udp_chat.discovery.search import FoundRoom, find_rooms
from udp_chat.protocol.addresses import format_address, parse_address
from udp_chat.protocol.names import UnusableName, check_wanted_name, numbered_name
from udp_chat.protocol.packets import DEFAULT_PORT, TEXT_BYTES_MAX, ChatError
from udp_chat.protocol.printable import printable
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer
from udp_chat.terminal.screen import open_terminal

PIPE_PENDING_MAX = 500
"""Lines of a pipe that wait in this process; the rest waits in the pipe."""

PIPE_LINE_BYTES_MAX = PENDING_MAX * TEXT_BYTES_MAX
"""A line of a pipe that is longer cannot wait to be said: it is not kept, however it goes on."""

LOGIN_NAMES_MAX = 99
"""Names like the login name that are tried for who did not choose one: anna, anna-2, …"""


LOG_FORMAT = "%(asctime)s %(name)s %(levelname)s %(message)s"


class NoRoom(Exception):
    """There is no room to join, and the person or the pipe was told so."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program_name("udp_client.py", "udp_chat"),
        description="Joins a chat room over UDP, or opens one. With no SERVER it looks for rooms"
        " on this network. Type a line to say it; /help lists the commands.",
        epilog="Where the input is not a terminal, each of its lines is said as it is, also one"
        " that looks like a command, and at its end the client waits until all are accepted, and"
        " leaves. With --commands, and so with --json, put “/say ” before a line that must be said"
        " whatever it holds. Exit codes: 0 fine, 1 could not do it, 2 wrong use.",
    )
    parser.add_argument(
        "server",
        nargs="?",
        type=_server,
        metavar="SERVER[:PORT]",
        help=f"where the room is (default: look for it; port {DEFAULT_PORT})",
    )
    parser.add_argument("--name", type=_name, help="your name (default: your login name)")
    parser.add_argument(
        "--open",
        nargs="?",
        const="chat",
        metavar="ROOM",
        type=room_name,
        help="open a room here without looking for one (its name: %(const)s)",
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="print each event as one JSON object a line; implies --commands, but no command"
        " touches a file",
    )
    parser.add_argument(
        "--commands",
        action="store_true",
        help="read commands where the input is not a terminal, too: lines that begin with /, and"
        f" {EXIT_WORD}",
    )
    parser.add_argument(
        "--lang", choices=LANGUAGES, default=locale_language(), help="default: by the locale"
    )
    parser.add_argument("--timestamps", action="store_true", help="show when each line was said")
    parser.add_argument("--no-color", action="store_true", help="no colours (also: NO_COLOR)")
    parser.add_argument(
        "--transcript", metavar="FILE", help="append what is shown to FILE as it comes"
    )
    parser.add_argument(
        "--trace",
        nargs="?",
        const="-",
        metavar="FILE",
        help="write each datagram in and out, decoded, one a line, to FILE (default: stderr)",
    )
    parser.add_argument(
        "--doctor",
        action="store_true",
        help="check this network: can rooms be found and reached, and if not, why",
    )
    parser.add_argument(
        "--log-level",
        default="warning",
        choices=["debug", "info", "warning", "error"],
        help="diagnostics on stderr (default: %(default)s)",
    )
    version_option(parser)
    return parser


def _server(text: str) -> tuple[str, int]:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} with a port from 1 to 65535") from None


def _name(text: str) -> str:
    try:
        return check_wanted_name(text)
    except UnusableName as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be used: {error}") from None


# --- finding a room --------------------------------------------------------------------------


def _find(language: str, ask: Callable[[str], str] | None) -> tuple[str, int] | None:
    """The address of the room to join, None to open one; raises `NoRoom`.

    `ask` puts a question to a person; None if there is none to ask.
    """
    if ask is not None:
        complain(sentence(language, "looking"))
    rooms = find_rooms()
    if len(rooms) == 1:
        return rooms[0].address
    if rooms:
        return _choose(rooms, language, ask)
    if ask is None:
        complain(sentence(language, "no_room"))
        raise NoRoom
    answer = ask(sentence(language, "open_question")).strip().casefold()
    if answer and answer[0] not in "yд":
        complain(sentence(language, "no_room"))
        raise NoRoom
    return None


def _choose(
    rooms: Sequence[FoundRoom], language: str, ask: Callable[[str], str] | None
) -> tuple[str, int]:
    complain(sentence(language, "rooms_found"))
    for number, room in enumerate(rooms, 1):
        members = sentence(language, "status_members", count=room.member_count)
        address = format_address(room.address)
        values = {"number": number, "room": printable(room.name), "members": members}
        complain(sentence(language, "room_choice", address=address, **values))
    if ask is None:
        complain(sentence(language, "several_rooms"))
        raise NoRoom
    while True:
        answer = ask(sentence(language, "which_room")).strip() or "1"
        numbers = [str(number) for number in range(1, len(rooms) + 1)]
        if answer in numbers:
            return rooms[numbers.index(answer)].address
        complain(sentence(language, "no_such_room", count=len(rooms)))


def _open_room(name: str, language: str, closing: ExitStack) -> tuple[str, int]:
    """Opens a room in this process, closed with `closing`; raises `NoRoom`."""
    settings = RoomSettings(room=name)
    try:
        try:
            server = UdpServer("", DEFAULT_PORT, settings, DISCOVERY_PORT)
        except OSError:  # the port is taken: any other will do, for who looks finds it
            server = UdpServer("", 0, settings, DISCOVERY_PORT)
    except OSError as error:
        text = error.strerror or str(error)
        complain(sentence(language, "cannot_open", text=text))
        raise NoRoom from error
    closing.enter_context(server)
    port = server.address[1]
    complain(sentence(language, "opened", room=printable(name), port=port))
    return "127.0.0.1", port


# --- talking in it ---------------------------------------------------------------------------


def _join(
    conversation: Conversation,
    server: tuple[str, int],
    name: str | None,
    trace: Callable[[str, bytes], None] | None,
) -> None:
    """Joins under the name, or under a free one like the login name; raises JoinFailed."""
    for number in range(1, LOGIN_NAMES_MAX + 1):
        wanted = name or (default_name() if number == 1 else numbered_name(default_name(), number))
        conversation.client = UdpClient(server, wanted, conversation.show, on_datagram=trace)
        try:
            conversation.client.start()
            conversation.joined.wait()  # what is typed from now on is answered below "joined"
            return
        except JoinFailed as error:
            if name or error.reason != "name_in_use":
                raise
    raise JoinFailed("name_in_use", f"all names like {default_name()} are in use")


def _tell_why(error: JoinFailed, server: tuple[str, int], language: str) -> None:
    host, port = server
    if error.reason == "no_answer":
        text = sentence(language, error.reason, server=format_address(server), port=port)
    elif error.reason == "unknown_host":
        text = sentence(language, error.reason, host=printable(host), text=error)
    elif error.reason == "internal_error":
        text = sentence(language, "left_internal_error", text=printable(str(error)))
    else:
        refused: ChatEvent = {"event": "refused", "reason": error.reason, "text": str(error)}
        text = event_line(refused, language) or ""
    complain(text)


def _piped_lines() -> Iterator[str | None]:
    """Lines of a pipe or file; bytes that are not UTF-8 are replaced. None for a line too long."""
    if sys.stdin is None:  # closed by who started us
        return
    while line := sys.stdin.buffer.readline(PIPE_LINE_BYTES_MAX):
        is_whole = line.endswith(b"\n") or len(line) < PIPE_LINE_BYTES_MAX
        while not is_whole:
            rest = sys.stdin.buffer.readline(PIPE_LINE_BYTES_MAX)
            if not rest or rest.endswith(b"\n"):
                break
        yield line.decode("utf-8", "replace").rstrip("\r\n") if is_whole else None


def _typed_lines(conversation: Conversation) -> Iterator[str | None]:
    """Lines of a person at a terminal."""
    terminal = conversation.terminal
    if terminal is None:  # --json: nothing else may be on the screen
        yield from _piped_lines()
        return
    while True:
        try:
            line = terminal.read_line()
        except (EOFError, OSError):  # Ctrl-D, or the window has gone
            return
        yield line


def _converse(conversation: Conversation, at_terminal: bool, commands: bool) -> int:
    """Reads lines until the end and says them, or does what they command; returns the exit code."""
    client = conversation.client
    assert client is not None
    lines = _typed_lines(conversation) if at_terminal else _piped_lines()
    complete = True
    try:
        for line in lines:
            if line is None:
                conversation.tell("pending_full")
                complete = at_terminal
                continue
            command = parse_line(line) if commands else said_line(line)
            if command is None:
                continue
            if command.verb == "quit":
                break
            try:
                conversation.do(command)
            except PendingFull:
                conversation.tell("pending_full")
                complete = at_terminal
            except ChatError:  # the client has ended meanwhile, and says why
                complete = False
                break
            if not at_terminal and not client.flush(below=PIPE_PENDING_MAX):
                break
        if not at_terminal:
            client.flush()
    except KeyboardInterrupt:
        pass
    _leave(conversation)
    count = client.pending_count
    if count and not conversation.failure:
        conversation.tell("not_accepted", count=count)
    return 0 if complete and not count else 1


def _leave(conversation: Conversation) -> None:
    """Leaves, if there is anything to leave; a second Ctrl-C ends it at once."""
    conversation.leaving = True
    with letting_go_of_output(lambda: conversation.interrupted):
        if conversation.client is not None:
            with contextlib.suppress(KeyboardInterrupt):
                conversation.client.close()
        if sys.stdout is not None:
            with contextlib.suppress(OSError, KeyboardInterrupt):
                sys.stdout.flush()  # what a signal kept from being printed


class _Endings:
    """SIGINT, SIGTERM and SIGHUP end what the main thread is doing, once; Ctrl-C does it twice."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._over = False

    def __enter__(self) -> None:
        # Also SIGINT: who starts us in the background of a script has it ignored.
        numbers = [signal.SIGINT, signal.SIGTERM]
        if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            numbers.append(signal.SIGHUP)  # the window is closed; nohup has it ignored
        self._previous = {number: signal.signal(number, self._interrupt) for number in numbers}

    def __exit__(self, *_: object) -> None:
        self._over = True
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _interrupt(self, number: int, _: object) -> None:
        first, self._conversation.leaving = not self._conversation.leaving, True
        self._conversation.interrupted = True
        if not self._over and (first or number == signal.SIGINT):
            raise KeyboardInterrupt


def main(argv: Sequence[str] | None = None) -> int:
    """The command `udp_client.py`; returns its exit code."""
    arguments = _parser().parse_args(argv)
    logging.basicConfig(level=arguments.log_level.upper(), format=LOG_FORMAT)
    forgive_characters()
    if arguments.doctor:
        return main_checks(arguments.server, arguments.lang)
    with ExitStack() as closing:
        return _run(arguments, closing)


def _run(arguments: argparse.Namespace, closing: ExitStack) -> int:
    language, server = arguments.lang, arguments.server
    at_terminal = sys.stdin is not None and sys.stdin.isatty()
    conversation = Conversation(language, arguments.json, arguments.timestamps)
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
        conversation.file_failed(str(path), sentence(language, "no_such_path"))
        return 1
    closing.enter_context(_Endings(conversation))
    closing.callback(_leave, conversation)
    try:
        if server is None and arguments.open is None:
            server = _find(language, input if at_terminal and not arguments.json else None)
        if server is None:
            server = _open_room(arguments.open or "chat", language, closing)
            closing.callback(_leave, conversation)  # before the room is closed
        if at_terminal and not arguments.json:
            colours = False if arguments.no_color else None
            terminal = open_terminal(conversation.complete, colours=colours)
            conversation.terminal = closing.enter_context(terminal)
            if sys.stderr is not None and sys.stderr.isatty():
                # What else is told goes above the line being typed, too.
                closing.enter_context(contextlib.redirect_stderr(terminal.stream()))
                logging.basicConfig(force=True, level=logging.getLogger().level, format=LOG_FORMAT)
        _join(conversation, server, arguments.name, on_datagram)
        commands = at_terminal or arguments.commands or arguments.json
        code = _converse(conversation, at_terminal, commands)
    except NoRoom:
        return 1
    except JoinFailed as error:
        if conversation.terminal is not None:
            conversation.terminal.close()
        _tell_why(error, server, language)
        return 1
    except (KeyboardInterrupt, EOFError):
        code = 0  # before there was anything to leave
    if conversation.failure:
        conversation.tell("left_internal_error", text=printable(conversation.failure))
        return 1
    return code
