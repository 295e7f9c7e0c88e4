"""The real client in a real tmux: what a person finds who scrolls back."""

from __future__ import annotations

import re
from collections import Counter

import pytest

from tests.processes import PROJECT, eventually
from tests.terminal.emulator import FOCUS_IN, FOCUS_OUT
from tests.terminal.tmux import Tmux, needs_tmux
from udp_chat.client.udp_client import UdpClient
from udp_chat.server.udp_server import UdpServer

pytestmark = needs_tmux

TEXTS = (
    "съешь же ещё этих мягких французских булок, да выпей чаю",
    "我能吞下玻璃而不傷身體",
    "семья 👨‍👩‍👧‍👦 и флаг 🇫🇷 ❤️",
    "שלום לכולם, מה שלומכם?",
    "ok",
)

MESSAGES_PER_HOUR = 1800
"""Half a message a second: a lively room."""


@pytest.mark.slow
@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (80, 24), (200, 50)])
def test_after_an_hour_of_talk_the_scrollback_holds_each_message_once(
    server: UdpServer, columns: int, rows: int
) -> None:
    """The talk comes as fast as the room takes it; meanwhile Anna types and her window changes."""
    host, port = server.address
    command = [str(PROJECT / "udp_client.py"), f"{host}:{port}", "--name", "Anna", "--lang", "en"]
    with (
        UdpClient(server.address, "Boris") as boris,
        Tmux(command, columns, rows) as anna,
    ):
        anna.wait_for("/help")
        half = MESSAGES_PER_HOUR // 2
        for number in range(half):
            boris.say(f"#{number}# {TEXTS[number % len(TEXTS)]}")
            if number % 300 == 100:
                anna.type("half a message")
            elif number % 300 == 200:
                anna.type("C-l")
            elif number % 300 == 299:
                anna.type(f" at {number}", "Enter")
        anna.wait_for(f"#{half - 1}#")
        anna.resize(columns + 7, rows + 3)
        for number in range(half, MESSAGES_PER_HOUR):
            boris.say(f"#{number}# {TEXTS[number % len(TEXTS)]}")
        anna.wait_for(f"#{MESSAGES_PER_HOUR - 1}#")
        eventually(lambda: not boris.pending_lines)
        transcript = anna.transcript()
    shown = Counter(re.findall(r"#(\d+)#", "\n".join(transcript)))
    assert {number: count for number, count in shown.items() if count != 1} == {}
    assert len(shown) == MESSAGES_PER_HOUR
    assert sum("Anna: half a message" in row for row in transcript) == half // 300
    # What stands at the bottom leaves no rows behind.
    assert sum(row.startswith("chat ·") for row in transcript) == 1
    assert sum(row.startswith(">") for row in transcript) == 1


def test_the_title_counts_what_comes_while_a_person_looks_away(server: UdpServer) -> None:
    host, port = server.address
    command = [str(PROJECT / "udp_client.py"), f"{host}:{port}", "--name", "Anna", "--lang", "en"]
    with UdpClient(server.address, "Boris") as boris, Tmux(command) as anna:
        anna.wait_for("/help")
        eventually(lambda: anna.title() == "chat")
        anna.type_bytes(FOCUS_OUT.encode())
        for number in range(1000):  # until the client has read the key, too
            boris.say(f"Anna? {number}")
            anna.wait_for(f"Anna? {number}")
            if anna.title() != "chat":
                break
        eventually(lambda: anna.title() == "(1) chat")
        anna.wait_for("unread")
        anna.type_bytes(FOCUS_IN.encode())
        eventually(lambda: anna.title() == "chat")
        anna.type("C-d")
        anna.wait_for("You left.")
        eventually(lambda: "chat" not in anna.title())
