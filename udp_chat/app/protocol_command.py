"""The command `protocol.py`: decodes datagrams and prints a packet a line."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from udp_chat.app.arguments import Parser, wrong
from udp_chat.app.catalogue import wanted_language
from udp_chat.app.command_sentences import COMMANDS
from udp_chat.app.standard_streams import complain, discard_output, forgive_characters
from udp_chat.app.trace import (
    Captured,
    UnreadableFile,
    describe,
    is_pcap,
    read_pcap,
    read_trace,
)
from udp_chat.protocol.printable import printable

STDIN = "-"


def make_parser(language: str) -> Parser:
    """The parser of the command line, in a language."""
    parser = Parser("protocol", "protocol.py", language)
    parser.operands.add_argument(
        "sources",
        nargs="*",
        type=parser.typed(_source),
        metavar="HEX|FILE",
        help=parser.words("protocol_source"),
    )
    parser.option("--file", action="append", default=[], metavar="FILE")
    parser.add_common_options()
    return parser


def _source(text: str, language: str) -> bytes | str:
    """A datagram, or the path of a file: hexadecimal goes first, `--file` is for other wishes."""
    try:
        return bytes.fromhex(re.sub(r"[\s:]|^0x", "", text))
    except ValueError:
        with contextlib.suppress(OSError, ValueError):  # too long for a path; a NUL in it
            if text == STDIN or Path(text).exists():
                return text
        raise wrong("datagram", language, value=text[:40]) from None


def main(argv: Sequence[str] | None = None) -> int:
    """The command `protocol.py`; returns its exit code."""
    language = wanted_language(sys.argv[1:] if argv is None else argv)
    parser = make_parser(language)
    arguments = parser.parse_args(argv)
    sources = [*arguments.sources, *arguments.file]
    if not sources:
        parser.error(parser.words("wrong_nothing_to_read"))
    forgive_characters()
    failures: list[str] = []

    def fail(path: str, reason: str) -> None:
        failures.append(path)
        complain(parser.words("cannot_read", path=printable(path), reason=reason))

    all_well_formed = True
    try:
        for source in sources:
            if isinstance(source, bytes):
                all_well_formed &= _show(Captured("", source))
                continue
            for captured in _read(source, language, fail):
                all_well_formed &= _show(captured)
        sys.stdout.flush()
    except BrokenPipeError:  # `… | head` has read enough
        discard_output()
    return 0 if all_well_formed and not failures else 1


def _read(path: str, language: str, fail: Callable[[str, str], None]) -> Iterator[Captured]:
    """The datagrams in a file; `fail` is told the path and the reason where it cannot be read."""
    try:
        data = _bytes(path)
        if is_pcap(data):
            yield from read_pcap(data)
        else:
            yield from read_trace(data.decode("utf-8", "replace").splitlines())
    except OSError as error:
        fail(path, error.strerror or str(error))
    except UnreadableFile as error:
        fail(path, COMMANDS.sentence(language, error.key, **error.values))


def _bytes(path: str) -> bytes:
    if path != STDIN:
        return Path(path).read_bytes()
    return b"" if sys.stdin is None else sys.stdin.buffer.read()


def _show(captured: Captured) -> bool:
    """Prints a line; returns whether the datagram is well-formed."""
    text = describe(captured.datagram)
    print(f"{captured.where}  {printable(text)}" if captured.where else printable(text))
    return not text.startswith("(")
