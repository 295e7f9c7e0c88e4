"""The command of ``udp-chat.pyz``, the one file that ``make pyz`` packs: client and server."""

from __future__ import annotations

import sys

from udp_chat.app import client_command, server_command


def main() -> None:
    """Runs the server where the first argument is ``server``, otherwise the client; exits."""
    if sys.argv[1:2] == ["server"]:
        sys.argv[:2] = [f"{sys.argv[0]} server"]  # what the command calls itself, too
        sys.exit(server_command.main())
    sys.exit(client_command.main())
