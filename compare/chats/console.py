"""The command lines of the two chats to compare with: what a person sees, or a pipe.

Both clients are used alike, and like `udp_client.py`: at a terminal they ask for a name, show
what happens and say what is typed; from a pipe they say each line, and at its end leave once the
server has confirmed it. `--json` prints each event as one JSON object a line. Exit codes: 0 fine,
1 could not do it, 2 wrong use.
"""

from __future__ import annotations

import _thread
import argparse
import contextlib
import getpass
import importlib
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from compare.chats.framing import Keepalive
from compare.chats.messages import JoinFailed, TextTooLong, refusal
from udp_chat.app.arguments import port, room_name, seconds
from udp_chat.app.catalogue import LANGUAGES, locale_language
from udp_chat.app.streams import discard_output, forgive_characters
from udp_chat.protocol.names import UnusableName, nearest_name, numbered_name
from udp_chat.protocol.packets import DEFAULT_PORT
from udp_chat.protocol.printable import printable

if TYPE_CHECKING:
    from udp_chat.client.chat_events import ChatEvent

EXIT_WORDS = ("выйти", "/quit")
"""As a whole line they leave. The first is the coursework's."""

INTERRUPT_SECONDS = 0.1
"""How long the main thread has for ending to read before it is interrupted again."""

LOGIN_NAMES_MAX = 99
"""Names like the login name that are tried for a pipe: anna, anna-2, …"""

_ENGLISH = {
    "ask_name": "Your name: ",
    "joined": "You are {name} in the room “{room}”. Here now: {members}. To leave: выйти",
    "chat": "{name}: {text}",
    "join": "* {name} joined",
    "leave": "* {name} left",
    "leave_disconnected": "* {name} is gone (disconnected)",
    "leave_connection_lost": "* {name} is gone (connection lost)",
    "leave_timeout": "* {name} is gone (no sign of life)",
    "leave_too_slow": "* {name} is gone (read too slowly)",
    "leave_malformed": "* {name} is gone (spoke another language)",
    "left": "You left.",
    "left_shutting_down": "! The server has stopped.",
    "left_closed": "! The server has closed the connection.",
    "left_connection_lost": "! The connection is lost.",
    "left_timeout": "! The server shows no sign of life.",
    "left_too_slow": "! The server dropped you: you read too slowly, and have missed something.",
    "left_no_answer": "! You left, but the server has not confirmed it.",
    "left_malformed": "! The server speaks another language.",
    "name_in_use": "The name {name} is in use.",
    "room_full": "The room is full.",
    "unusable_name": "{name} cannot be a name: one word of up to 32 letters and digits can.",
    "refused": "The server refused: {reason}.",
    "no_answer": "No chat server answers at {server}: {text}.",
    "connection_refused": "No chat server listens at {server}: the connection was refused.",
    "unknown_host": "There is no such host: {server}: {text}.",
    "not_said": "That line was not sent: {text}.",
    "not_confirmed": "The server has not confirmed the end: what arrived is not known.",
}

_RUSSIAN = {
    "ask_name": "Ваше имя: ",
    "joined": "Вы — {name} в комнате «{room}». Сейчас здесь: {members}. Чтобы уйти: выйти",
    "chat": "{name}: {text}",
    "join": "* {name} теперь в чате",
    "leave": "* {name} уходит",
    "leave_disconnected": "* {name} уходит (соединение закрыто)",
    "leave_connection_lost": "* {name} больше не с нами (соединение потеряно)",
    "leave_timeout": "* {name} больше не отвечает",
    "leave_too_slow": "* {name} больше не с нами (читает слишком медленно)",
    "leave_malformed": "* {name} больше не с нами (говорит на другом языке)",
    "left": "Вы вышли.",
    "left_shutting_down": "! Сервер остановлен.",
    "left_closed": "! Сервер закрыл соединение.",
    "left_connection_lost": "! Соединение потеряно.",
    "left_timeout": "! Сервер не отвечает.",
    "left_too_slow": "! Сервер отключил вас: вы читаете слишком медленно и что-то пропустили.",
    "left_no_answer": "! Вы вышли, но сервер этого не подтвердил.",
    "left_malformed": "! Сервер говорит на другом языке.",
    "name_in_use": "Имя {name} занято.",
    "room_full": "В комнате нет места.",
    "unusable_name": "{name} не может быть именем: нужно одно слово до 32 букв и цифр.",
    "refused": "Сервер отказал: {reason}.",
    "no_answer": "По адресу {server} чат не отвечает: {text}.",
    "connection_refused": "По адресу {server} чата нет: в соединении отказано.",
    "unknown_host": "Такого узла нет: {server}: {text}.",
    "not_said": "Эта строка не отправлена: {text}.",
    "not_confirmed": "Сервер не подтвердил конец: что дошло, неизвестно.",
}

_CATALOGUES = {"en": _ENGLISH, "ru": _RUSSIAN}


class Client(Protocol):
    """What the command needs of a client."""

    def start(self) -> None: ...

    def say(self, text: str) -> None: ...

    def finish(self) -> bool:
        """Says goodbye after all that was said; true if the server has confirmed it."""

    def close(self) -> None: ...


class Server(Protocol):
    """What the command needs of a server."""

    address: tuple[str, int]

    def serve(self) -> None: ...

    def stop(self) -> None: ...

    def close(self) -> None: ...


MakeClient = Callable[[str, Callable[["ChatEvent"], None]], Client]
"""Makes a client of a name and an `on_event`."""


# --- the client's command --------------------------------------------------------------------


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "server",
        nargs="?",
        type=_server,
        default=("localhost", DEFAULT_PORT),
        metavar="SERVER[:PORT]",
        help=f"where the room is (default: localhost:{DEFAULT_PORT})",
    )
    parser.add_argument("--name", help="your name (default: asked for; of a pipe: your login name)")
    parser.add_argument(
        "--json", action="store_true", help="print each event as one JSON object a line"
    )
    parser.add_argument(
        "--lang", choices=LANGUAGES, default=locale_language(), help="default: by the locale"
    )
    _add_log_level(parser)


def run_client(make_client: MakeClient, arguments: argparse.Namespace) -> int:
    """One conversation, from the name to the goodbye; returns the exit code."""
    _begin(arguments)
    console = _Console(make_client, arguments)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    # Also SIGINT: who starts us in the background of a script has it ignored.
    previous = {n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        return console.converse()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Console:
    """One run of a client's command."""

    def __init__(self, make_client: MakeClient, arguments: argparse.Namespace) -> None:
        self._make_client = make_client
        self._name: str | None = arguments.name
        self._server = "{}:{}".format(*arguments.server)
        self._as_json: bool = arguments.json
        self._catalogue = _CATALOGUES[arguments.lang]
        self._at_terminal = sys.stdin is not None and sys.stdin.isatty()
        self._client: Client | None = None
        self._reading = False
        self._read = threading.Event()
        self._over = threading.Event()
        """There is nobody to talk to any more: the server or the reader of our output is gone."""
        self._ended_by_itself = False

    def converse(self) -> int:
        try:
            client = self._join()
            if client is None:
                return 0
            complete = self._say_all(client) or self._at_terminal
            if not self._at_terminal and not client.finish():
                complete = False
                if not self._ended_by_itself:
                    self._tell("not_confirmed")
            return 0 if complete and not self._ended_by_itself else 1
        except JoinFailed as error:
            self._tell_failure(error)
            return 1
        except KeyboardInterrupt:  # Ctrl-C, or `_end`
            return 1 if self._ended_by_itself else 0
        finally:
            if self._client is not None:
                with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C ends it at once
                    self._client.close()

    def _join(self) -> Client | None:
        """The client, once it is in; None if nobody wants to be asked for a name any more."""
        wanted = self._name
        for number in range(1, LOGIN_NAMES_MAX + 1):
            if wanted is not None:
                name = wanted
            elif self._at_terminal:
                try:
                    name = self._ask_name()
                except EOFError:
                    return None
            else:
                name = _login_name() if number == 1 else numbered_name(_login_name(), number)
            why = refusal(name)
            try:
                if why is not None:
                    raise JoinFailed(why, name)
                # Kept at once: a signal may come when it is in and has not returned yet.
                self._client = client = self._make_client(name, self._show)
                client.start()
                return client
            except JoinFailed as error:
                self._name = name
                may_try_again = error.reason == "name_in_use" or (
                    self._at_terminal and error.reason.startswith("unusable_name")
                )
                if wanted is not None or not may_try_again or number == LOGIN_NAMES_MAX:
                    raise
                if self._at_terminal:
                    self._tell_failure(error)
        raise AssertionError("the last attempt returns or raises")

    def _ask_name(self) -> str:
        # On stderr, because stdout may be for events; input() would choose for itself.
        print(self._catalogue["ask_name"], end="", file=sys.stderr, flush=True)
        return input().strip()

    def _say_all(self, client: Client) -> bool:
        """Says line after line until the end; false if one of them could not be sent."""
        complete = True
        self._reading = True
        try:
            if self._over.is_set():  # before anyone would have interrupted us
                return complete
            for line in _typed_lines() if self._at_terminal else _piped_lines():
                if line.strip().casefold() in EXIT_WORDS:
                    break
                if not line.strip():
                    continue
                try:
                    client.say(line)
                except (TextTooLong, OSError) as error:
                    complete = False
                    self._tell("not_said", text=str(error))
        finally:
            self._reading = False
            self._read.set()
        return complete

    def _show(self, event: ChatEvent) -> None:
        """Prints an event; the client's `on_event`."""
        if self._as_json:
            self._print(json.dumps(event))
        elif event["event"] != "refused":  # else it is said when joining has failed
            values = {key: printable(str(value)) for key, value in event.items()}
            values["members"] = printable(", ".join(event.get("members", ())))
            key = event["event"]
            with_reason = f"{key}_{event.get('reason')}"
            key = with_reason if with_reason in self._catalogue else key
            self._print(self._catalogue[key].format_map(values))
        if event["event"] == "left" and "reason" in event:
            self._ended_by_itself = True
            self._end()

    def _print(self, line: str) -> None:
        try:
            print(line, flush=True)
        except OSError:
            # The reader of our output has gone (`… | head`): there is nobody to talk to.
            discard_output()
            self._end()

    def _end(self) -> None:
        """Interrupts the main thread, if it waits for a line that would go nowhere."""
        self._over.set()
        while self._reading:
            # Again and again, as a signal that comes just before a wait begins does not end it.
            _interrupt_main()
            self._read.wait(INTERRUPT_SECONDS)

    def _tell(self, key: str, **values: str) -> None:
        """Says something about the program itself, where it disturbs no output."""
        print(self._catalogue[key].format_map(values), file=sys.stderr, flush=True)

    def _tell_failure(self, error: JoinFailed) -> None:
        key = "unusable_name" if error.reason.startswith("unusable_name") else error.reason
        key = key if key in self._catalogue else "refused"
        self._tell(
            key,
            name=printable(self._name or ""),
            reason=printable(error.reason),
            server=printable(self._server),
            text=printable(str(error)),
        )


def _typed_lines() -> Iterator[str]:
    """Lines of a person at a terminal, editable where the platform has readline."""
    with contextlib.suppress(ImportError):
        importlib.import_module("readline")  # which gives input() editing and history
    while True:
        try:
            yield input()
        except EOFError:
            return


def _piped_lines() -> Iterator[str]:
    """Lines of a pipe or file; bytes that are not UTF-8 are replaced."""
    if sys.stdin is None:  # closed by who started us
        return
    for line in sys.stdin.buffer:
        yield line.decode("utf-8", "replace").rstrip("\r\n")


def _login_name() -> str:
    try:
        return nearest_name(getpass.getuser())
    except (UnusableName, OSError, KeyError, ImportError):
        return "guest"


def _interrupt_main() -> None:
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
    else:
        _thread.interrupt_main()


# --- the server's command --------------------------------------------------------------------


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
        type=_positive,
        default=1000,
        metavar="N",
        help="refuse more than N (default: %(default)s)",
    )
    _add_log_level(parser)


def run_server(open_server: Callable[[], Server], arguments: argparse.Namespace) -> int:
    """Serves until SIGINT or SIGTERM; returns the exit code."""
    _begin(arguments)
    _raise_file_limit()
    try:
        server = open_server()
    except (OSError, UnicodeError) as error:  # UnicodeError: of a host no name server is asked
        where = f"{arguments.host or 'all interfaces'}, port {arguments.port}"
        why = getattr(error, "strerror", None) or error
        print(f"cannot open a room on {where}: {why}", file=sys.stderr)
        return 1

    def stop(*_: Any) -> None:
        server.stop()

    previous = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        host, port = server.address
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        print(f"listening on {where}", flush=True)
        server.serve()
    finally:
        server.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


def _raise_file_limit() -> None:
    """A thousand connections are a thousand file descriptors: more than many systems preset."""
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


# --- arguments -------------------------------------------------------------------------------


def _begin(arguments: argparse.Namespace) -> None:
    logging.basicConfig(
        level=arguments.log_level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    forgive_characters()


def _add_log_level(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--log-level",
        default="warning",
        choices=["debug", "info", "warning", "error"],
        help="diagnostics on stderr (default: %(default)s)",
    )


def add_silence_arguments(parser: argparse.ArgumentParser) -> None:
    """`--heartbeat` and `--timeout`, with the defaults that the chat's own server has."""
    parser.add_argument(
        "--heartbeat",
        type=seconds,
        default=5.0,
        metavar="SECONDS",
        help="how often an idle peer is asked for a sign of life (default: %(default)g)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=15.0,
        metavar="SECONDS",
        help="silence after which a peer counts as gone (default: %(default)g)",
    )


def check_silence(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Ends the program as wrongly used if no heartbeat fits into the silence allowed."""
    if arguments.timeout <= arguments.heartbeat:
        parser.error("--timeout must be longer than --heartbeat")


def add_keepalive_arguments(parser: argparse.ArgumentParser) -> None:
    """The same for TCP, where the kernel does it, in whole seconds."""
    add_silence_arguments(parser)
    parser.add_argument(
        "--user-timeout",
        type=_seconds_or_off,
        metavar="SECONDS",
        help="how long sent data may stay unacknowledged, 0: as long as the kernel likes"
        " (default: as --timeout; Linux only)",
    )


def keepalive_of(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> Keepalive:
    check_silence(parser, arguments)
    return Keepalive(
        idle_seconds=arguments.heartbeat,
        interval_seconds=arguments.heartbeat,
        timeout_seconds=arguments.timeout,
        user_timeout_seconds=arguments.user_timeout,
    )


def _server(text: str) -> tuple[str, int]:
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest[1:] if rest.startswith(":") else port if not rest else ""
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not HOST, HOST:PORT or [IPV6]:PORT with a port from 1 to 65535"
        )
    return host, int(port)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 on")
    return int(text)


def _seconds_or_off(text: str) -> float:
    try:
        return seconds(text) if float(text) else 0.0
    except (ValueError, argparse.ArgumentTypeError):
        raise argparse.ArgumentTypeError(
            f"{text!r} is neither 0 nor a number of seconds from 0.1 to 3600"
        ) from None
