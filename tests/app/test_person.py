"""The real client at a real terminal, as a person sees it.

What the terminal itself can do is tested in test_screen.py; here it has the room behind it.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.compare.test_tcp import Ear
from tests.processes import PROJECT, eventually
from tests.terminal.emulator import FOCUS_IN, FOCUS_OUT, seen
from tests.terminal.screen import Screen
from udp_chat.client.udp_client import UdpClient
from udp_chat.server.udp_server import UdpServer

LEFT = "\x1b[D"

LINES = {
    "Cyrillic": "съешь ещё этих мягких булок",
    "CJK": "我能吞下玻璃而不傷身體",
    "emoji": "как дела 🎉 отлично 🚀",
}


def person(server: UdpServer, *arguments: str, columns: int = 100) -> Screen:
    host, port = server.address
    command = [str(PROJECT / "udp_client.py"), f"{host}:{port}", "--lang", "en", *arguments]
    return Screen(command, columns, status="chat ·")


def wait_until_all_have_all(server: UdpServer) -> None:
    """Waits until every member has acknowledged what is in the room's log."""
    eventually(
        lambda: not any(member.position.behind for member in [*server.room.members.values()])
    )


@pytest.mark.parametrize("columns", [40, 120])
@pytest.mark.parametrize("line", LINES.values(), ids=list(LINES))
def test_a_line_arrives_as_typed_though_200_lines_come_meanwhile(
    server: UdpServer, columns: int, line: str
) -> None:
    hears = Ear()
    with (
        UdpClient(server.address, "Boris", hears) as boris,
        person(server, "--name", "Anna", columns=columns) as anna,
    ):
        anna.wait_for("/help")
        half, rest = line[:6], line[6:]
        anna.type(half)
        anna.wait_typed(half)
        allowed = {seen(half)}
        anna.watch(lambda screen: "" if screen.typed() in allowed else f"{screen.typed()!r}")
        for number in range(100):
            boris.say(f"{number} talk")
        anna.wait_for("99 talk")
        with anna.changed:
            allowed |= {seen(half + rest[:n]) for n in range(len(rest) + 1)}
            allowed |= {
                seen(line[:-n] + tail) for n, tail in ((2, line[-2:]), (2, "Й" + line[-2:]))
            }
        for number in range(100, 200):
            boris.say(f"{number} talk")
        anna.type(rest)
        anna.wait_typed(line)
        anna.type(LEFT * 2 + "Й")
        edited = line[:-2] + "Й" + line[-2:]
        anna.wait_typed(edited)
        anna.wait_for("199 talk")
        anna.stop_watching()
        anna.type("\r")
        anna.wait_for("Anna: " + edited[:8])
        assert anna.complaints == []
        hears.wait_for("chat", name="Anna", text=edited)


def test_seen_stats_and_the_commands_of_the_screen(server: UdpServer, tmp_path: Path) -> None:
    saved = tmp_path / "беседа.txt"
    with (
        UdpClient(server.address, "Boris") as boris,
        person(server, "--name", "Anna") as anna,
    ):
        anna.wait_for("/help")
        anna.type("hello\r")
        anna.wait_for("Anna: hello")
        wait_until_all_have_all(server)
        anna.type("/seen\r")
        anna.wait_for("“hello”: 1 of 1 have it")
        anna.type("/stats\r")
        anna.wait_for("to me: ")
        anna.type("/ignore Boris\r")
        anna.wait_for("Ignoring Boris. /ignore Boris undoes it")
        boris.say("you cannot see this")
        boris.flush()
        wait_until_all_have_all(server)
        anna.type("/ignore Boris\r")
        anna.wait_for("No longer ignoring Boris")
        boris.say("Anna, look!")
        anna.wait_for("Boris: Anna, look!")
        anna.wait_until("the bell", lambda screen: screen.bell_count == 1)
        anna.type("/joins off\r")
        anna.wait_for("Joins and leaves are hidden")
        with UdpClient(server.address, "Vera"):
            pass
        boris.say("after Vera")
        anna.wait_for("Boris: after Vera")
        anna.type(f"/save {saved}\r")
        anna.wait_for("lines saved in")
        shown = "\n".join(anna.transcript())
        assert "you cannot see this" not in shown
        assert "Vera joined" not in shown
        anna.type("exit\r")
        anna.wait_for("Do you want to leave? Type /quit.")
        anna.type("  /QUIT\r")
        assert anna.wait() == 0
    lines = saved.read_text("utf-8").splitlines()
    assert "Anna: hello" in lines
    assert "Boris: after Vera" in lines
    assert "Anna: exit" not in lines


def below(screen: Screen) -> str:
    """The row below the one with the cursor."""
    return screen.rows()[screen.cursor()[0] + 1]


def test_tab_shows_what_can_be_meant_and_leaves_nothing_of_it(
    server: UdpServer, tmp_path: Path
) -> None:
    for name in ("notes.txt", "november.txt"):
        (tmp_path / name).touch()
    with (
        UdpClient(server.address, "Boris") as boris,
        person(server, "--name", "Anna", columns=40) as anna,
    ):
        anna.wait_for("/help")
        anna.type("/bell \t")
        anna.wait_until("all choices", lambda screen: below(screen) == "on  mentions  off")
        boris.say("hello")
        anna.wait_for("Boris: hello")
        assert "on  mentions  off" in anna.rows()
        anna.type("\r")
        anna.wait_for("Bell: at every message")
        anna.wait_until("the status", lambda screen: below(screen).startswith("chat ·"))
        anna.type(f"/save! {tmp_path}/no\t\t")
        anna.wait_for("notes.txt  november.txt")
        anna.type("\r")
        anna.wait_for("saved in")
        boris.whisper("Anna", "psst")
        anna.wait_for("psst")
        anna.type("/r \t")
        anna.wait_typed("/msg Boris ")
        anna.type("thanks\r")
        anna.wait_for("Anna → Boris: thanks")
        anna.type("/search HELLO\r")
        anna.wait_for("Boris: hello")
        anna.type("/quit\r")
        assert anna.wait() == 0
        shown = anna.transcript()
    assert not any("mentions  off" in row or "notes.txt  nov" in row for row in shown)
    assert any(row.startswith("► ") and row.endswith("Boris: hello") for row in shown)
    assert "Boris: hello" in (tmp_path / "november.txt").read_text("utf-8").splitlines()


def test_a_pasted_block_of_200_lines_arrives_whole_and_in_order(server: UdpServer) -> None:
    hears = Ear()
    with (
        UdpClient(server.address, "Boris", hears),
        person(server, "--name", "Anna") as anna,
    ):
        anna.wait_for("/help")
        anna.paste("".join(f"строка {number}\n" for number in range(200)))
        anna.wait_for("[pasted: 200 lines]")
        assert hears.texts() == []
        anna.type("\r")
        anna.wait_for("Anna: строка 199")
        hears.wait_for("chat", text="строка 199")
    assert hears.texts() == [f"строка {number}" for number in range(200)]


def test_hostile_texts_leave_the_terminal_unharmed(server: UdpServer) -> None:
    with (
        UdpClient(server.address, "Mallory") as mallory,
        person(server, "--name", "Anna") as anna,
    ):
        anna.wait_for("/help")
        anna.type("half a line")
        anna.wait_typed("half a line")
        mallory.say("\x1b[2J\x1b]0;owned\x07\x1b[31mred\x9b31m")
        mallory.say("\u202eevil\u2066 bidi")
        mallory.say("e" + "\u0301" * 10_000)
        mallory.say("the end")
        anna.wait_for("Mallory: the end")
        received = anna.received()
        assert b"owned\x07" not in received
        assert "\u202e" not in received.decode("utf-8", "replace")
        anna.wait_typed("half a line")


def test_a_server_that_goes_and_comes_back_is_told_and_the_line_survives() -> None:
    with UdpServer("127.0.0.1", 0) as first:
        anna = person(first, "--name", "Anna")
        with anna:
            anna.wait_for("/help")
            first.close()
            anna.wait_for("The server has stopped")
            anna.wait_for("chat · reconnecting 0 s · ")
            anna.type("typed meanwhile\r")
            anna.wait_for("chat · reconnecting 1 s · 1 waiting · 1 member · Anna · 127.0.0.1:")
            with UdpServer("127.0.0.1", first.address[1]):
                anna.wait_for("Back in the room")
                anna.wait_for("Anna: typed meanwhile")
                anna.wait_for("chat · 1 member · Anna · 127.0.0.1:")
                anna.type("\x04")
                assert anna.wait() == 0


def test_trace_transcript_and_timestamps(server: UdpServer, tmp_path: Path) -> None:
    trace, transcript = tmp_path / "trace.txt", tmp_path / "transcript.txt"
    arguments = ["--trace", str(trace), "--transcript", str(transcript), "--timestamps"]
    with person(server, "--name", "Anna", *arguments) as anna:
        anna.wait_for("/help")
        anna.type("hello\r")
        anna.wait_for("Anna: hello")
        anna.type("/quit\r")
        assert anna.wait() == 0
    traced = trace.read_text("utf-8").splitlines()
    assert any(" > " in line and "Join(" in line for line in traced)
    assert any(" < " in line and "Welcome(" in line for line in traced)
    assert any(" > " in line and "Say(" in line and "'hello'" in line for line in traced)
    shown = transcript.read_text("utf-8").splitlines()
    assert any(line.endswith("Anna: hello") and line[2] == ":" for line in shown)


def test_events_as_json_hold_who_has_my_lines(server: UdpServer) -> None:
    events: list[dict[str, object]] = []
    with UdpClient(server.address, "Anna", lambda e: events.append(json.loads(json.dumps(e)))) as a:
        a.say("hello")
        assert a.flush(10.0)
        a.ask_seen()
        a.ask_stats()
        assert a.flush(10.0)
    notices = {e["reason"]: e for e in events if e["event"] == "notice"}
    assert notices["seen"]["total"] == 0
    assert notices["seen"]["text"] == "hello"
    links = notices["stats"]["links"]
    assert isinstance(links, list)
    assert links[0]["name"] == "Anna"
    assert links[0]["received"] >= 1


def test_a_mark_stands_where_one_stopped_looking(server: UdpServer) -> None:
    mark = "► ── unread ──"
    with (
        UdpClient(server.address, "Boris") as boris,
        person(server, "--name", "Anna") as anna,
    ):
        anna.wait_for("/help")
        assert anna.reports_focus
        boris.say("seen")
        anna.wait_for("Boris: seen")
        for number in range(2):
            anna.type(f"mine {number}{FOCUS_OUT}")
            anna.wait_typed(f"mine {number}")
            with UdpClient(server.address, f"Vera{number}"):
                pass
            anna.wait_for(f"Vera{number} left")
            boris.say(f"first {number}")
            boris.say(f"second {number}")
            anna.wait_for(f"Boris: second {number}")
            anna.wait_until("the count", lambda screen: screen.title == "(2) chat")
            anna.type(f"{FOCUS_IN}\r")
            anna.wait_for(f"Anna: mine {number}")
            anna.wait_until("the title", lambda screen: screen.title == "chat")
            boris.say(f"seen {number}")
            anna.wait_for(f"Boris: seen {number}")
        rows = [row for row in anna.transcript() if "Boris" in row or mark in row]
        assert rows.count(mark) == 2
        assert [rows[rows.index(f"Boris: first {number}") - 1] for number in range(2)] == [mark] * 2
        anna.type("/history 9\r")
        anna.type("\x04")
        assert anna.wait() == 0
        assert anna.transcript().count(mark) == 2
        assert not anna.reports_focus
        received = anna.received()
        kept, returned = b"\x1b[22;0t", b"\x1b[23;0t"
        assert received.index(kept) < received.index(b"\x1b]2;chat\x07") < received.index(returned)
        assert (received.count(kept), received.count(returned)) == (1, 1)
