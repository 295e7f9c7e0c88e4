"""The command `protocol.py`: reads datagrams and says what is in them, a packet a line."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from udp_chat.app.arguments import program_name, version_option
from udp_chat.app.streams import complain, discard_output, forgive_characters
from udp_chat.app.trace import (
    Captured,
    UnreadableFile,
    describe,
    is_pcap,
    read_pcap,
    read_trace,
)
from udp_chat.protocol.printable import printable


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program_name("protocol.py", "udp_chat.protocol"),
        description="Decodes datagrams of the chat, one packet a line. A malformed datagram is a"
        " line, too, with the reason in parentheses.",
        epilog="A FILE is what udp_client.py --trace FILE wrote, or a capture (pcap) of tcpdump,"
        " dumpcap or Wireshark; - is standard input. Exit codes: 0 all were well-formed, 1 some"
        " were malformed or a file could not be read, 2 wrong use.",
    )
    parser.add_argument(
        "datagram",
        nargs="*",
        type=_datagram,
        metavar="HEX",
        help="a datagram in hexadecimal; spaces and colons between the bytes do not matter",
    )
    parser.add_argument(
        "--file", action="append", default=[], metavar="FILE", help="read a trace or a capture"
    )
    version_option(parser)
    return parser


def _datagram(text: str) -> bytes:
    try:
        return bytes.fromhex(re.sub(r"[\s:]|^0x", "", text))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text[:40]!r} is not hexadecimal (to read a file: --file {text[:40]})"
        ) from None


def _read(path: str) -> Iterator[Captured]:
    data = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    if is_pcap(data):
        return read_pcap(data)
    return read_trace(data.decode("utf-8", "replace").splitlines())


def main(argv: Sequence[str] | None = None) -> int:
    """The command `protocol.py`; returns its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if not arguments.datagram and not arguments.file:
        parser.error("give a datagram in hexadecimal, or --file FILE")
    forgive_characters()
    code = 0
    try:
        for datagram in arguments.datagram:
            code |= _show(Captured("", datagram))
        for path in arguments.file:
            try:
                for captured in _read(path):
                    code |= _show(captured)
            except (OSError, UnreadableFile) as error:
                reason = error.strerror if isinstance(error, OSError) else error
                complain(f"cannot read {path}: {reason}")
                code = 1
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    return code


def _show(captured: Captured) -> int:
    """Prints a line; returns 1 for a malformed datagram."""
    text = describe(captured.datagram)
    print(f"{captured.where}  {printable(text)}" if captured.where else printable(text))
    return int(text.startswith("("))
