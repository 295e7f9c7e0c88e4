"""Commands that are about what was said before: /r, /search, /history."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest

from tests.client.recorder import Recorder
from udp_chat.app.conversation import Conversation
from udp_chat.app.lines import Command
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.udp_client import UdpClient
from udp_chat.server.udp_server import UdpServer
from udp_chat.terminal.screen import PlainTerminal
from udp_chat.terminal.style import DIM, Part, Span

NOON = time.mktime((2020, 3, 1, 12, 0, 0, 0, 0, -1))


class ShownLines(PlainTerminal):
    """A terminal that keeps what it is to show."""

    def __init__(self) -> None:
        super().__init__(colours=True)
        self.lines: list[tuple[str, str]] = []
        """Each line, and its style at its end."""

    def show(self, *parts: Part, pending: Sequence[str] | None = None, folds: bool = False) -> None:
        spans = [part if isinstance(part, Span) else Span(part) for part in parts]
        self.lines.append(("".join(span.text for span in spans), spans[-1].style))


def conversation_of(name: str, language: str = "en", *, as_json: bool = False) -> Conversation:
    """The conversation of somebody who has not joined yet."""
    conversation = Conversation(language, as_json)
    conversation.client = UdpClient(("127.0.0.1", 9), name)
    return conversation


def test_r_answers_the_last_private_message_also_under_a_new_name(server: UdpServer) -> None:
    heard, told = Recorder(), Recorder()
    conversation = Conversation("en")

    def show(event: ChatEvent) -> None:
        conversation.show(event)
        told(event)

    boris = UdpClient(server.address, "Boris", show)
    conversation.client = boris
    with UdpClient(server.address, "Anna", heard) as anna, boris:
        assert conversation.complete("/msg ") == ["/msg Anna "], "not oneself"
        with UdpClient(server.address, "Clara") as clara:
            clara.whisper("Boris", "psst")
            told.wait_for("private", name="Clara")
        anna.whisper("Boris", "lunch?")
        told.wait_for("private", name="Anna")
        conversation.do(Command("r", "at six"))
        heard.wait_for("private", to="Anna", text="at six")
        anna.rename("Zoe")
        told.wait_for("rename")
        conversation.do(Command("r", "or seven"))
        heard.wait_for("private", to="Zoe", text="or seven")


def test_r_answers_nobody_who_is_ignored_and_not_oneself(
    capsys: pytest.CaptureFixture[str],
) -> None:
    conversation = conversation_of("Boris")
    conversation.do(Command("ignore", "Clara"))
    conversation.show({"event": "private", "name": "Clara", "to": "Boris", "text": "psst"})
    conversation.show({"event": "private", "name": "Boris", "to": "Anna", "text": "psst"})
    capsys.readouterr()
    conversation.do(Command("r", "thanks"))
    assert capsys.readouterr().err == (
        "! Nobody has written to you in private yet: nothing was sent."
        " Usage: /msg NAME TEXT, for example: /msg Anna see you at six\n"
    )
    assert conversation.found_nobody, "a pipe ends with 1: its message was not sent"


def test_what_search_finds_is_dim_and_has_the_chats_mark_and_the_time() -> None:
    conversation = conversation_of("Boris")
    conversation.terminal = terminal = ShownLines()
    now = time.time()
    conversation.show(
        {"event": "chat", "name": "Анна", "text": "Обед?", "time": NOON, "history": True}
    )
    conversation.show({"event": "action", "name": "Boris", "text": "обедает", "time": now})
    conversation.show({"event": "join", "name": "обед", "time": now})
    conversation.show({"event": "chat", "name": "Анна", "text": "ок", "time": now})
    terminal.lines.clear()
    conversation.do(Command("search", "обед"))
    today = time.strftime("%H:%M", time.localtime(now))
    assert terminal.lines == [
        ("► 2 messages with “обед”:", ""),
        ("► 2020-03-01 12:00 Анна: Обед?", DIM),
        (f"► {today} * Boris обедает", DIM),
    ]
    terminal.lines.clear()
    conversation.do(Command("search", "ужин"))
    assert terminal.lines == [("► No message here has “ужин” in it", "")]


def test_a_search_that_finds_much_shows_the_newest_and_says_how_many(
    capsys: pytest.CaptureFixture[str],
) -> None:
    conversation = conversation_of("Boris", "ru")
    for number in range(102):
        conversation.show({"event": "chat", "name": "Anna", "text": f"№ {number}", "time": NOON})
    capsys.readouterr()
    conversation.do(Command("search", "№"))
    printed = capsys.readouterr()
    head, *rows = printed.err.splitlines()
    assert printed.out == ""
    assert head == "«№» есть в 102 сообщениях; последние 20:"
    assert rows == [f"► 2020-03-01 12:00 Anna: № {number}" for number in range(82, 102)]


def test_lines_shown_again_are_dim() -> None:
    conversation = conversation_of("Boris")
    conversation.terminal = terminal = ShownLines()
    conversation.show({"event": "chat", "name": "Anna", "text": "hello"})
    terminal.lines.clear()
    conversation.do(Command("history"))
    assert terminal.lines == [("Anna: hello", DIM)]


@pytest.mark.parametrize("verb", ["search", "history"])
def test_with_json_the_client_says_that_it_remembers_nothing(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    conversation = conversation_of("Boris", as_json=True)
    conversation.show({"event": "chat", "name": "Anna", "text": "hello"})
    capsys.readouterr()
    conversation.do(Command(verb, "5"))
    printed = capsys.readouterr()
    assert printed.err.startswith("With --json the client remembers no messages")
    assert printed.out == ""


def test_r_asks_whom_to_answer_where_somebody_else_has_just_written(server: UdpServer) -> None:
    told, heard = Recorder(), Recorder()
    conversation = Conversation("en")
    terminal = conversation.terminal = ShownLines()

    def show(event: ChatEvent) -> None:
        conversation.show(event)
        told(event)

    boris = UdpClient(server.address, "Boris", show)
    conversation.client = boris
    with (
        UdpClient(server.address, "Anna") as anna,
        UdpClient(server.address, "Clara", heard) as clara,
        boris,
    ):
        anna.whisper("Boris", "lunch?")
        told.wait_for("private", name="Anna")
        clara.whisper("Boris", "psst")
        told.wait_for("private", name="Clara")
        conversation.do(Command("r", "at six, Anna"))
        assert "Clara has just written to you" in terminal.lines[-1][0]
        conversation.do(Command("r", "what?"))
        heard.wait_for("private", to="Clara", text="what?")
    assert not any("at six" in str(event) for event in heard.events)


def test_nobody_can_ignore_oneself(capsys: pytest.CaptureFixture[str]) -> None:
    conversation = conversation_of("Boris")
    conversation.do(Command("ignore", "BORIS"))
    conversation.show({"event": "chat", "name": "Boris", "text": "still here"})
    output = capsys.readouterr()
    assert "That is you" in output.err
    assert "still here" in output.out


def test_what_is_shown_again_stands_between_two_crowds() -> None:
    conversation = conversation_of("Boris")
    terminal = conversation.terminal = ShownLines()
    conversation.show({"event": "join", "name": "p1"})
    conversation.do(Command("history", "1"))
    conversation.show({"event": "join", "name": "p2"})
    assert [line for line, _ in terminal.lines].count("► p2 joined") == 1
