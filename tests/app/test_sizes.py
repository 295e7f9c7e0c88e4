"""The real client on a small, a usual and a large screen: each drawing is looked at."""

from __future__ import annotations

import re

import pytest

from tests.compare.test_tcp import Ear
from tests.processes import PROJECT
from tests.terminal.emulator import CTRL_C, CTRL_D, FOCUS_OUT, seen
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


CTRL_R, UNDO = "\x12", "\x1f"

PASTED = ("def привет():", "    return 花子", "", "# 👨‍👩‍👧‍👦", "print(שלום)", "привет()", "конец")


def one_input(screen: Screen) -> str:
    count = sum(row.startswith(">") for row in screen.rows())
    return "" if count == 1 else f"{count} inputs"


def test_nothing_is_sent_or_left_by_accident(server: UdpServer, size: tuple[int, int]) -> None:
    hears = Ear()
    with (
        UdpClient(server.address, "Boris", hears) as boris,
        person(server, size, "--name", "Anna") as anna,
    ):
        anna.wait_for("/help")
        anna.wait_typed("")
        anna.watch(one_input)
        anna.type(TYPED)
        anna.wait_typed(TYPED)
        anna.type(CTRL_C)
        anna.wait_typed("")
        anna.type(UNDO)
        anna.wait_typed(TYPED)
        anna.type(CTRL_C + CTRL_C)
        anna.wait_for("Press Ctrl-C again to leave")
        anna.type("я")
        anna.wait_for("chat ·")
        anna.type(CTRL_C)
        anna.wait_typed("")
        anna.paste("\n".join(PASTED))
        anna.wait_for("[pasted: 7 lines]")
        boris.say("others talk meanwhile")
        anna.wait_for("others talk meanwhile")
        anna.type(CTRL_C)
        anna.wait_typed("")
        anna.paste("\n".join(PASTED))
        anna.wait_for("[pasted: 7 lines]")
        anna.type("\r")
        hears.wait_for("chat", text="конец")
        anna.wait_for("Anna: конец")
        assert anna.complaints == []
        anna.stop_watching()
        anna.type(CTRL_D)
        assert anna.wait() == 0
    said = [event["text"] for event in hears.events("chat") if event["name"] == "Anna"]
    assert said == [line for line in PASTED if line]


def test_nothing_is_missed(server: UdpServer, size: tuple[int, int]) -> None:
    with (
        UdpClient(server.address, "Boris") as boris,
        UdpClient(server.address, "Борис") as another,
        person(server, size, "--name", "Anna") as anna,
    ):
        anna.wait_for("/help")
        anna.type("first thought\r")
        anna.wait_for("Anna: first thought")
        boris.say("eventually, not a word to Annabel")
        anna.wait_for("eventually, not a word")
        another.whisper("Anna", "лично 花子")
        anna.wait_for("[private]")
        anna.wait_until("one bell", lambda screen: screen.bell_count == 1)
        anna.type(FOCUS_OUT)
        for number in range(1000):  # until the client has read the key, too
            boris.say(f"while you look away {number}")
            anna.wait_for(f"while you look away {number}")
            if any("unread" in row for row in anna.transcript()):
                break
        boris.say("anna? 你好 anna!")
        anna.wait_for("anna? 你好 anna!")
        anna.watch(one_input)
        anna.type("/r da 👍🏽\r")
        anna.wait_for("da 👍")
        anna.type("/search 花子\r")
        anna.wait_for("1 message")
        anna.type("@Б\t")
        anna.wait_typed("@Борис")
        anna.type(CTRL_C + CTRL_R + "fir")
        anna.wait_for("first thought")
        anna.type(CTRL_C + CTRL_C)
        rows = anna.transcript()
        assert anna.complaints == []
        assert anna.bell_count == 2
    marks = [number for number, row in enumerate(rows) if "unread" in row]
    assert len(marks) == 1
    assert f"while you look away {number}" in rows[marks[0] + 1]
