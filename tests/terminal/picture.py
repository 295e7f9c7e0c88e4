"""Draws the README's picture: a real client at a pseudo-terminal, and what its screen shows.

.venv/bin/python -m tests.terminal.picture docs/terminal.svg
"""

from __future__ import annotations

import sys
from html import escape
from pathlib import Path

from tests.processes import PROJECT
from tests.terminal.screen import Screen
from udp_chat.client.udp_client import UdpClient
from udp_chat.server.udp_server import UdpServer

COLUMNS, ROWS = 88, 12
CELL_WIDTH, CELL_HEIGHT = 8.4, 18


def converse() -> list[list[tuple[str, str, bool]]]:
    """The screen after the conversation: rows of (character, colour, bold)."""
    with UdpServer("127.0.0.1", 0) as server:
        host, port = server.address
        command = [str(PROJECT / "udp_client.py"), f"{host}:{port}", "--name", "Anna"]
        command += ["--lang", "en"]
        with (
            UdpClient(server.address, "Борис") as boris,
            UdpClient(server.address, "花子") as hanako,
            Screen(command, COLUMNS, ROWS, status="chat ·") as screen,
        ):
            screen.wait_for("/help")
            boris.say("всем привет!")
            screen.wait_for("Борис: всем")
            screen.type("hello from the other end of the room\r")
            screen.wait_for("Anna: hello")
            hanako.say("こんにちは 🎉")
            screen.wait_for("花子: ")
            hanako.whisper("Anna", "are you coming to the lab?")
            screen.wait_for("[private]")
            boris.act("машет рукой")
            screen.wait_for("* Борис машет")
            screen.type("/seen\r")
            screen.wait_for("have it")
            screen.type("a line being typed stays whole while others talk")
            screen.wait_typed("a line being typed stays whole while others talk")
            boris.say("и правда")
            screen.wait_for("и правда")
            return screen.cells()


def svg(rows: list[list[tuple[str, str, bool]]]) -> str:
    """The rows as a picture; runs of one colour are one element."""
    width, height = COLUMNS * CELL_WIDTH + 24, len(rows) * CELL_HEIGHT + 24
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}"'
        f' width="{width:.0f}" height="{height:.0f}">',
        '<rect width="100%" height="100%" rx="8" fill="#1c1e26"/>',
        '<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="14"'
        ' xml:space="preserve">',
    ]
    for number, row in enumerate(rows):
        y = 24 + number * CELL_HEIGHT
        column = 0
        while column < len(row):
            _, colour, bold = row[column]
            end = column
            while end < len(row) and row[end][1:] == (colour, bold):
                end += 1
            text = "".join(character for character, _, _ in row[column:end])
            if text.strip():
                fill = "#d5d8da" if colour == "default" else f"#{colour}"
                weight = ' font-weight="bold"' if bold else ""
                x = 12 + column * CELL_WIDTH
                length = (end - column) * CELL_WIDTH
                parts.append(
                    f'<text x="{x:.1f}" y="{y}" fill="{fill}"{weight}'
                    f' textLength="{length:.1f}">{escape(text)}</text>'
                )
            column = end
    return "\n".join([*parts, "</g>", "</svg>", ""])


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(svg(converse()), "utf-8")
