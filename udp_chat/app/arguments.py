"""Command lines: a parser that speaks a language, and types that say which rule an argument breaks.

argparse speaks English alone. `Parser` gives it other words: the help is built from sentences of a
language, and each error that argparse reports is recognized by its English words.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from udp_chat.app.catalogue import LANGUAGES, locale_language
from udp_chat.app.command_sentences import ARGPARSE_REASONS, COMMANDS
from udp_chat.protocol.packets import ROOM_NAME_BYTES_MAX
from udp_chat.server.keeping import KeepLimit
from udp_chat.version import __version__

COUNT_MAX = 1_000_000_000
"""More than any option needs, and little enough to calculate with."""

AGES = {"h": 3600, "d": 86_400, "w": 7 * 86_400}
"""Seconds of the units of an age."""

LOG_LEVELS = ("debug", "info", "warning", "error")

Value = TypeVar("Value")


class Parser(argparse.ArgumentParser):
    """The parser of one of the three commands, in a language.

    `command` is the key of its sentences. `options` takes the options that begin with `--`;
    --help, --version and --lang are among them.
    """

    def __init__(self, command: str, program: str, language: str) -> None:
        self.language = language
        self._command = command
        super().__init__(
            prog=program,
            description=self.words(command),
            epilog=self.words(f"{command}_more"),
            formatter_class=lambda **options: _Help(self.words("usage"), **options),
            add_help=False,
        )
        self.operands = self.add_argument_group(self.words("arguments"))
        self.options = self.add_argument_group(self.words("options"))
        self.options.add_argument("-h", "--help", action="help", help=self.words("help"))

    def words(self, key: str, **values: object) -> str:
        """A sentence about the commands in this parser's language."""
        return COMMANDS.sentence(self.language, key, **values)

    def option(self, name: str, **settings: Any) -> None:
        """Adds an option; its help is the sentence of the command and the option."""
        key = name.removeprefix("--").replace("-", "_")
        values = settings.pop("words", {})
        text = self.words(f"{self._command}_{key}", **values)
        self.options.add_argument(name, help=text, **settings)

    def add_common_options(self) -> None:
        """Adds what every command has: --lang and --version."""
        self.options.add_argument(
            "--lang", choices=LANGUAGES, default=locale_language(), help=self.words("lang")
        )
        self.options.add_argument(
            "--version",
            action="version",
            version=f"udp-chat {__version__}",
            help=self.words("version"),
        )

    def typed(self, convert: Callable[[str, str], Value]) -> Callable[[str], Value]:
        """A type of an argument: `convert` gets the text and the language of what it raises."""
        return lambda text: convert(text, self.language)

    def error(self, message: str) -> NoReturn:
        """Says what is wrong, and how the command is used; exits with 2."""
        prefix, marker, reason = message.partition(": ")
        if prefix.startswith("argument ") and marker:
            argument = prefix.removeprefix("argument ")
            message = self.words("wrong_argument", argument=argument, reason=self._reason(reason))
        else:
            message = self._reason(message)
        self.print_usage(sys.stderr)
        self.exit(2, self.words("wrong_use", program=self.prog, reason=message) + "\n")

    def _reason(self, text: str) -> str:
        return COMMANDS.translated(text, self.language, ARGPARSE_REASONS)


class _Help(argparse.HelpFormatter):
    """A usage that begins with the word of a language."""

    def __init__(self, usage_word: str, **options: Any) -> None:
        super().__init__(**options)
        self._usage_word = usage_word

    def add_usage(
        self, usage: str | None, actions: Any, groups: Any, prefix: str | None = None
    ) -> None:
        super().add_usage(usage, actions, groups, self._usage_word if prefix is None else prefix)


def wrong(key: str, language: str, **values: object) -> argparse.ArgumentTypeError:
    """What a type raises: a sentence about the argument."""
    return argparse.ArgumentTypeError(COMMANDS.sentence(language, f"wrong_{key}", **values))


def count(text: str, language: str = "en") -> int:
    """A whole number; raises ArgumentTypeError for what is none, or is out of range."""
    try:
        number = int(text)
    except ValueError:
        number = -1
    if not 0 <= number <= COUNT_MAX:
        raise wrong("count", language, value=text, largest=COUNT_MAX)
    return number


def keep_limit(text: str, language: str = "en") -> KeepLimit:
    """How much a file keeps: a number of events, an age such as 30d, or both with a comma."""
    events_max = age_seconds = None
    for part in text.split(","):
        seconds_of = AGES.get(part[-1:])
        digits = part[:-1] if seconds_of else part
        if not (digits.isascii() and digits.isdigit() and int(digits) <= COUNT_MAX):
            raise wrong("keep_limit", language, value=text)
        if seconds_of and age_seconds is None:
            age_seconds = int(digits) * seconds_of
        elif not seconds_of and events_max is None:
            events_max = int(digits)
        else:
            raise wrong("keep_limit", language, value=text)
    return KeepLimit(events_max or 0, age_seconds or 0)


def positive_count(text: str, language: str = "en") -> int:
    """A whole number from 1; raises ArgumentTypeError."""
    number = count(text, language)
    if number == 0:
        raise wrong("zero", language)
    return number


def seconds(text: str, language: str = "en") -> float:
    """A duration; raises ArgumentTypeError for what is none, or is out of range."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan  # which lies in no range
    if not 0.1 <= number <= 3600.0:
        raise wrong("seconds", language, value=text)
    return number


def port(text: str, language: str = "en") -> int:
    """A port, or 0 for a free one; raises ArgumentTypeError for what is none."""
    # Longer is no port, and Python refuses to read a number of 5,000 digits.
    if not text.isdecimal() or len(text) > 5 or int(text) > 65535:
        raise wrong("port", language)
    return int(text)


def room_name(text: str, language: str = "en") -> str:
    """A room's name; raises ArgumentTypeError for one that the protocol cannot carry."""
    if not text.isprintable() or not 0 < len(text.encode()) <= ROOM_NAME_BYTES_MAX:
        raise wrong("room_name", language, largest=ROOM_NAME_BYTES_MAX)
    return text
