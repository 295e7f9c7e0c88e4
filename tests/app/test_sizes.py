"""The real client on a small, a usual and a large screen: each drawing is looked at."""

from __future__ import annotations

import re

import pytest

from tests.processes import PROJECT
from tests.terminal.emulator import seen
from tests.terminal.screen import Screen
from udp_chat.client.udp_client import UdpClient
from udp_chat.server.udp_server import UdpServer

SIZES = [(40, 10), (80, 24), (200, 50)]

TEXTS = (
    "съешь же ещё этих мягких французских булок, да выпей чаю",
    "我能吞下玻璃而不傷身體，我能吞下玻璃而不傷身體",
    "семья 👨‍👩‍👧‍👦 и флаг 🇫🇷 ❤️ и снова семья 👨‍👩‍👧‍👦",
    "שלום לכולם, מה שלומכם היום?",
    "ok",
)

TYPED = "набираю 花子 👍🏽 שלום"


@pytest.fixture(params=SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def size(request: pytest.FixtureRequest) -> tuple[int, int]:
    columns, rows = request.param
    return columns, rows


def person(server: UdpServer, size: tuple[int, int], *arguments: str) -> Screen:
    host, port = server.address
    command = [str(PROJECT / "udp_client.py"), f"{host}:{port}", "--lang", "en", *arguments]
    return Screen(command, *size, status="chat ·")


def what_is_wrong(screen: Screen) -> str:
    """What no drawing may show: two inputs, a message twice, out of order or torn, a torn input."""
    rows = screen.rows()
    numbers = [int(number) for number in re.findall(r"#(\d+)#", "\n".join(rows))]
    wrong = []
    if sum(row.startswith(">") for row in rows) != 1:
        wrong.append("not one input")
    if sum(row.startswith("chat ·") for row in rows) > 1:
        wrong.append("two status rows")
    if numbers != list(range(numbers[0], numbers[0] + len(numbers)) if numbers else []):
        wrong.append(f"messages {numbers}")
    if not all(re.fullmatch(r"Boris: #\d+# ok", row) for row in rows if "# ok" in row):
        wrong.append("what stood there before")
    if screen.typed() != seen(TYPED):
        wrong.append(f"the input {screen.typed()!r}")
    return ", ".join(wrong)


def test_talk_in_every_script_is_drawn_whole_beside_a_half_typed_message(
    server: UdpServer, size: tuple[int, int]
) -> None:
    with (
        UdpClient(server.address, "Boris") as boris,
        person(server, size, "--name", "Anna") as anna,
    ):
        anna.wait_for("/help")
        anna.type(TYPED)
        anna.wait_typed(TYPED)
        anna.watch(what_is_wrong)
        for number in range(40):
            boris.say(f"#{number}# {TEXTS[number % len(TEXTS)]}")
        anna.wait_for("#39#")
        anna.stop_watching()
        columns, rows = size
        anna.resize(columns + 9, rows + 2)
        boris.say("#40# wider")
        anna.wait_for("#40#")
        anna.watch(what_is_wrong)
        for number in range(41, 80):
            boris.say(f"#{number}# {TEXTS[number % len(TEXTS)]}")
        anna.wait_for("#79#")
        anna.stop_watching()
        transcript = "\n".join(anna.transcript())
        assert anna.complaints == []
        assert anna.frame_count >= 10
    assert [int(n) for n in re.findall(r"#(\d+)#", transcript)] == list(range(80))
    shown = seen(transcript)
    for text in TEXTS:
        for word in text.split():
            assert seen(word) in shown
