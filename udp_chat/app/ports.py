"""Finds the process that uses a UDP port of this computer. Only Linux tells."""

from __future__ import annotations

import contextlib
import socket
import sys
from pathlib import Path

from udp_chat.protocol.printable import printable
from udp_chat.terminal.cells import shortened

COMMAND_CHARACTERS_MAX = 60
"""How much of a command line is shown."""

PROC = Path("/proc")


def port_holders(port: int, proc: Path = PROC) -> list[tuple[int, str]]:
    """(process, its command line) of each process with a UDP socket on this port.

    Process 0 stands for one that the system does not show: on macOS and Windows any, on Linux
    another user's. On Linux `proc`/net/udp has the inodes of the sockets, and `proc`/PID/fd shows
    which process holds which.
    """
    tables = [read(proc / "net" / name) for name in ("udp", "udp6")]
    if not any(tables):
        return [(0, "")] if port_is_taken(port) else []
    sockets = {f"socket:[{inode}]" for table in tables for inode in inodes_of_port(table, port)}
    if not sockets:
        return []
    holders = {}
    for process in proc.glob("[0-9]*"):
        if not sockets.isdisjoint(_open_files(process)):
            program, *arguments = read(process / "cmdline").rstrip("\0").split("\0")
            command = printable(" ".join([Path(program).name, *arguments]))
            holders[int(process.name)] = shortened(command, COMMAND_CHARACTERS_MAX)
    return sorted(holders.items()) or [(0, "")]


def inodes_of_port(table: str, port: int) -> set[str]:
    """Inodes of the sockets on a local port, from the text of /proc/net/udp or udp6."""
    inodes = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and hexadecimal(fields[1].rpartition(":")[2]) == port:
            inodes.add(fields[9])
    return inodes


def port_is_taken(port: int) -> bool:
    """Whether a UDP port of this computer is taken: it tries to bind the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if sys.platform == "win32":  # without it, Windows gives the port away a second time
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        try:
            sock.bind(("", port))
        except OSError:
            return True
    return False


def hexadecimal(text: str) -> int | None:
    """A number in a table of the kernel; None for anything else: another kernel may differ."""
    try:
        return int(text, 16)
    except ValueError:
        return None


def read(path: Path) -> str:
    """The text of a file of /proc; empty if there is none."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def _open_files(process: Path) -> set[str]:
    """What a process has open; nothing if it has ended or belongs to another user."""
    files = set()
    with contextlib.suppress(OSError):
        for entry in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # it has just been closed
                files.add(str(entry.readlink()))
    return files
