"""What the commands are called: as they were started, so that a sentence names what to type.

The same program comes in several forms: scripts in a copy of the repository, modules, commands
that pip has installed, and one file, the pyz. "Start a server with …" must fit the one at hand.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import PurePath


@dataclass(frozen=True, slots=True)
class Program:
    """One form of the program: its commands, each as a person types it."""

    client: str
    server: str


SCRIPTS = Program("python3 udp_client.py", "python3 udp_server.py")
MODULES = Program("python3 -m udp_chat", "python3 -m udp_chat.server")
INSTALLED = Program("udp-chat", "udp-chat-server")


def started_program(argument: str | None = None) -> Program:
    """The form that was started as `argument`; without one, as `sys.argv[0]`."""
    path = PurePath((sys.argv[0] if argument is None else argument).removesuffix(" server"))
    name = path.name.removesuffix(".exe")
    if name in (INSTALLED.client, INSTALLED.server):
        return INSTALLED
    if name.endswith(".pyz"):
        return Program(f"python3 {name}", f"python3 {name} server")
    if path.parts[-2:] in (("udp_chat", "__main__.py"), ("server", "__main__.py")):
        return MODULES
    return SCRIPTS


def usage_name(command: str) -> str:
    """What a command calls itself in its usage: a file stands there without its `python3`."""
    return command if " -m " in command else command.removeprefix("python3 ")
