"""A client's command line: what a person types and sees, or a pipe.

Both clients are used alike, and like `udp_client.py`. At a terminal they ask for a name, show what
happens and say what the person types. From a pipe they say each line; at its end they leave, once
the server has confirmed it. `--json` prints each event as one JSON object a line. Exit codes:
0 fine, 1 could not do it, 2 wrong use.
"""

from __future__ import annotations

import _thread
import argparse
import contextlib
import getpass
import importlib
import json
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

from compare.chats.messages import JoinFailed, TextTooLong, refusal
from compare.chats.options import add_log_level, prepare_streams
from compare.chats.sentences import SENTENCES
from udp_chat.app.catalogue import LANGUAGES, locale_language
from udp_chat.app.standard_streams import discard_output
from udp_chat.protocol.addresses import format_address, parse_address
from udp_chat.protocol.names import UnusableName, nearest_name, numbered_name
from udp_chat.protocol.packets import DEFAULT_PORT
from udp_chat.protocol.printable import printable

if TYPE_CHECKING:
    from udp_chat.client.chat_events import ChatEvent

EXIT_WORDS = ("выйти", "/quit")
"""As a whole line they leave. The first is the coursework's."""

INTERRUPT_SECONDS = 0.1
"""How long the main thread may take to stop reading before it is interrupted again."""

LOGIN_NAMES_MAX = 99
"""Names like the login name that are tried for a pipe: anna, anna-2, …"""


class Client(Protocol):
    """What the command needs of a client."""

    def start(self) -> None: ...

    def say(self, text: str) -> None: ...

    def finish(self) -> bool: ...

    def close(self) -> None: ...


MakeClient = Callable[[str, Callable[["ChatEvent"], None]], Client]
"""Makes a client of a name and an `on_event`."""


def add_client_arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = (
        "Type a message and Enter to say it; the line выйти leaves. If the input is not a"
        " terminal, the client says each of its lines, waits at the end until the server has"
        " confirmed it, and leaves. Exit codes: 0 fine, 1 could not do it, 2 wrong use."
    )
    parser.add_argument(
        "server",
        nargs="?",
        type=_server,
        default=("localhost", DEFAULT_PORT),
        metavar="SERVER[:PORT]",
        help=f"where the room is (default: localhost:{DEFAULT_PORT})",
    )
    parser.add_argument(
        "--name", help="your name (default: the client asks; from a pipe: your login name)"
    )
    parser.add_argument(
        "--json", action="store_true", help="print each event as one JSON object a line"
    )
    parser.add_argument(
        "--lang", choices=LANGUAGES, default=locale_language(), help="default: by the locale"
    )
    add_log_level(parser)


def _server(text: str) -> tuple[str, int]:
    try:
        return parse_address(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{error} with a port from 1 to 65535") from None


def run_client(make_client: MakeClient, arguments: argparse.Namespace) -> int:
    """One conversation, from the name to the goodbye; returns the exit code."""
    prepare_streams(arguments.log_level)
    conversation = _Conversation(make_client, arguments)

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    # SIGINT too: a script that starts us in its background has it ignored.
    previous = {n: signal.signal(n, interrupt) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        return conversation.run()
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


class _Conversation:
    """One run of a client's command."""

    def __init__(self, make_client: MakeClient, arguments: argparse.Namespace) -> None:
        self._make_client = make_client
        self._arguments = arguments
        self._sentences = SENTENCES[arguments.lang]
        self._at_terminal = sys.stdin is not None and sys.stdin.isatty()
        self._name = ""
        # Kept to the end: a Ctrl-C would be lost in a generator that is just being deleted.
        self._names_to_try = self._names()
        self._client: Client | None = None
        self._is_reading = False
        self._has_read = threading.Event()
        self._is_over = threading.Event()
        """There is nobody to talk to any more: the server or the reader of our output is gone."""
        self._ended_by_itself = False

    def run(self) -> int:
        try:
            client = self._join()
            if client is None:
                return 0
            is_complete = self._say_all(client) or self._at_terminal
            if not self._at_terminal and not client.finish():
                is_complete = False
                if not self._ended_by_itself:
                    self._tell("not_confirmed")
            return 0 if is_complete and not self._ended_by_itself else 1
        except JoinFailed as error:
            self._tell_failure(error)
            return 1
        except KeyboardInterrupt:  # Ctrl-C, or `_end`
            return 1 if self._ended_by_itself else 0
        finally:
            if self._client is not None:
                with contextlib.suppress(KeyboardInterrupt):  # a second Ctrl-C ends it at once
                    self._client.close()

    # --- joining -----------------------------------------------------------------------------

    def _join(self) -> Client | None:
        """The client, once it has joined; None if the person gives no name."""
        failure: JoinFailed | None = None
        for name in self._names_to_try:
            self._name = name
            try:
                why = refusal(name)
                if why is not None:
                    raise JoinFailed(why, name)
                # Kept at once: a signal may come when it has joined and has not returned yet.
                self._client = self._make_client(name, self._show)
                self._client.start()
                return self._client
            except JoinFailed as error:
                if error.reason != "name_in_use" and not (
                    self._at_terminal and error.reason.startswith("unusable_name")
                ):
                    raise
                failure = error
                if self._arguments.name is None and self._at_terminal:
                    self._tell_failure(error)
        if failure is not None and (self._arguments.name is not None or not self._at_terminal):
            raise failure
        return None

    def _names(self) -> Iterator[str]:
        """The names to try: the one that was given, or what a person types, or login names."""
        if self._arguments.name is not None:
            yield self._arguments.name
        elif self._at_terminal:
            with contextlib.suppress(EOFError):
                while True:
                    # On stderr, because stdout may be for events.
                    print(self._sentences["ask_name"], end="", file=sys.stderr, flush=True)
                    yield input().strip()
        else:
            login_name = _login_name()
            yield login_name
            for number in range(2, LOGIN_NAMES_MAX + 1):
                yield numbered_name(login_name, number)

    # --- talking -----------------------------------------------------------------------------

    def _say_all(self, client: Client) -> bool:
        """Says line after line until the end; false if one of them could not be sent."""
        is_complete = True
        self._is_reading = True
        try:
            if self._is_over.is_set():  # before `_end` could have interrupted us
                return is_complete
            for line in _typed_lines() if self._at_terminal else _piped_lines():
                if line.strip().casefold() in EXIT_WORDS:
                    break
                if not line.strip():
                    continue
                try:
                    client.say(line)
                except (TextTooLong, OSError) as error:
                    is_complete = False
                    self._tell("not_said", text=str(error))
        finally:
            self._is_reading = False
            self._has_read.set()
        return is_complete

    def _show(self, event: ChatEvent) -> None:
        """Prints an event; the client's `on_event`."""
        if self._arguments.json:
            self._print(json.dumps(event))
        elif event["event"] != "refused":  # `_tell_failure` says it when joining has failed
            values = {key: printable(str(value)) for key, value in event.items()}
            values["members"] = printable(", ".join(event.get("members", ())))
            key = event["event"]
            with_reason = f"{key}_{event.get('reason')}"
            key = with_reason if with_reason in self._sentences else key
            self._print(self._sentences[key].format_map(values))
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
        """Interrupts the main thread if it waits for a line: nobody would hear that line."""
        self._is_over.set()
        while self._is_reading:
            # Again and again: a signal that comes just before a wait begins does not end it.
            if hasattr(signal, "pthread_kill"):
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            else:
                _thread.interrupt_main()
            self._has_read.wait(INTERRUPT_SECONDS)

    def _tell(self, key: str, **values: str) -> None:
        """Says something about the program itself, on stderr."""
        print(self._sentences[key].format_map(values), file=sys.stderr, flush=True)

    def _tell_failure(self, error: JoinFailed) -> None:
        key = "unusable_name" if error.reason.startswith("unusable_name") else error.reason
        self._tell(
            key if key in self._sentences else "refused",
            name=printable(self._name),
            reason=printable(error.reason),
            server=printable(format_address(self._arguments.server)),
            text=printable(str(error)),
        )


def _typed_lines() -> Iterator[str]:
    """What a person types at a terminal, with editing where the platform has readline."""
    with contextlib.suppress(ImportError):
        importlib.import_module("readline")  # which gives input() editing and history
    with contextlib.suppress(EOFError):
        while True:
            yield input()


def _piped_lines() -> Iterator[str]:
    """The lines of a pipe or file; bytes that are not UTF-8 are replaced."""
    if sys.stdin is not None:  # whoever started us may have closed it
        for line in sys.stdin.buffer:
            yield line.decode("utf-8", "replace").rstrip("\r\n")


def _login_name() -> str:
    try:
        return nearest_name(getpass.getuser())
    except (UnusableName, OSError, KeyError, ImportError):
        return "guest"
