"""What a person may type and what they read, in the real command, point by point."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator

import pytest

from tests.processes import Client, Program, Server


@pytest.fixture
def server() -> Iterator[Server]:
    with Server("--room", "Café") as server:
        yield server


def plain(server: Server, name: str, *arguments: str) -> Program:
    """The client as a person has it, but with a pipe for a keyboard."""
    return Program("udp_client.py", server.address, "--name", name, *arguments)


def finish(client: Program, code: int = 0) -> list[str]:
    """Ends the input; returns all that was printed. `code`: the exit code to expect."""
    client.end_input()
    assert client.wait() == code
    return client.output.until_end()


# --- as JSON ---------------------------------------------------------------------------------


def test_joined_names_me_the_room_and_everyone_in_it(server: Server) -> None:
    with Client(server.address, "Anna"), Client(server.address, "Борис") as boris:
        joined = boris.wait_event("joined")
        assert joined == {
            "event": "joined",
            "name": "Борис",
            "room": "Café",
            "members": ["Anna", "Борис"],
        }
        assert boris.events()[0] == joined


def test_what_was_said_before_i_came_is_marked_as_history(server: Server) -> None:
    with Client(server.address, "Anna") as anna:
        anna.say("early")
        anna.wait_event("sent")
        with Client(server.address, "Boris") as boris:
            assert boris.wait_event("chat", text="early")["history"] is True
            assert boris.wait_event("join", name="Anna")["history"] is True
            anna.say("late")
            assert "history" not in boris.wait_event("chat", text="late")


def test_a_line_comes_back_in_its_place_and_is_told_as_sent(server: Server) -> None:
    with Client(server.address, "Anna") as anna:
        anna.say("  leading spaces stay, and /me stays text")
        chat = anna.wait_event("chat")
        sent = anna.wait_event("sent")
        assert chat["text"] == "  leading spaces stay, and /me stays text"
        assert chat["name"] == "Anna"
        assert chat["seq"] == sent["seq"]
        assert abs(chat["time"] - time.time()) < 600


def test_me_is_an_action(server: Server) -> None:
    with Client(server.address, "Anna") as anna, Client(server.address, "Boris") as boris:
        anna.say("/me waves")
        action = boris.wait_event("action")
        assert (action["name"], action["text"]) == ("Anna", "waves")


def test_msg_reaches_its_recipient_and_the_sender_and_nobody_else(server: Server) -> None:
    with (
        Client(server.address, "Anna") as anna,
        Client(server.address, "Boris") as boris,
        Client(server.address, "Clara") as clara,
    ):
        anna.say("/msg boris a secret", "no secret")
        for client in (anna, boris):
            private = client.wait_event("private")
            assert (private["name"], private["to"], private["text"]) == (
                "Anna",
                "Boris",
                "a secret",
            )
        clara.wait_event("chat", text="no secret")
        assert clara.events("private") == []
        anna.wait_event("chat", text="no secret")
        assert len(anna.events("sent")) == 2


@pytest.mark.parametrize("nobody", ["Nobody", "N" * 70, "Анна-которой-нет-" * 10])
def test_msg_to_nobody_is_a_notice(server: Server, nobody: str) -> None:
    with Client(server.address, "Anna") as anna:
        anna.say(f"/msg {nobody} hello?", "still here")
        assert anna.wait_event("notice")["reason"] == "no_such_member"
        assert anna.wait_event("notice")["name"] == nobody
        anna.wait_event("chat", text="still here")


def test_who_lists_the_members(server: Server) -> None:
    with Client(server.address, "Anna") as anna, Client(server.address, "Boris"):
        anna.wait_event("join", name="Boris")
        anna.say("/who")
        who = anna.wait_event("notice")
        assert who["reason"] == "members"
        assert who["members"] == ["Anna", "Boris"]
        assert who["count"] == 2


def test_nick_renames_in_the_eyes_of_all(server: Server) -> None:
    with Client(server.address, "Anna") as anna, Client(server.address, "Boris") as boris:
        anna.say("/nick Аня", "under a new name")
        for client in (anna, boris):
            rename = client.wait_event("rename")
            assert (rename["name"], rename["new_name"]) == ("Anna", "Аня")
            assert client.wait_event("chat")["name"] == "Аня"
        boris.say("/who")
        assert boris.wait_event("notice")["members"] == ["Boris", "Аня"]


def test_nick_to_a_taken_or_impossible_name_is_a_notice(server: Server) -> None:
    with Client(server.address, "Anna") as anna, Client(server.address, "Boris"):
        anna.say("/nick BORIS")
        assert anna.wait_event("notice", reason="name_in_use")["name"] == "BORIS"
        anna.say("/nick two words")
        assert anna.wait_event("notice", reason="unusable_name_white_space")["name"] == "two words"
        anna.say("/nick " + "N" * 33)
        anna.wait_event("notice", reason="unusable_name_too_long")
        assert anna.events("rename") == []


def test_a_double_slash_says_a_line_that_begins_with_one(server: Server) -> None:
    with Client(server.address, "Anna") as anna:
        anna.say("//etc/passwd", "///")
        anna.wait_event("chat", text="/etc/passwd")
        anna.wait_event("chat", text="//")


def test_what_is_not_an_event_is_on_stderr_alone(server: Server) -> None:
    with Client(server.address, "Anna") as anna:
        anna.say("/help", "/unheard-of", "/msg", "/me", "")
        lines = finish(anna)
        kinds = {event["event"] for event in anna.events()}
        assert len(lines) == len(anna.events())
        assert kinds <= {"joined", "host", "left"}
        complaint = anna.complaint()
        assert "/msg NAME TEXT" in complaint
        assert "Unknown command /unheard-of" in complaint
        assert "Usage: /msg NAME TEXT" in complaint
        assert "Usage: /me TEXT" in complaint


# --- as text ---------------------------------------------------------------------------------


def test_the_conversation_reads_well_in_english(server: Server) -> None:
    with plain(server, "Anna", "--lang", "en", "--commands") as anna:
        anna.wait_line("^► You are Anna in the room “Café”. Here now: Anna. /help lists")
        with Client(server.address, "Boris") as boris:
            anna.wait_line(r"^► Boris joined$")
            boris.say("hello", "/me waves", "/msg Anna psst", "/nick Bo")
            anna.wait_line("^Boris: hello$")
            anna.wait_line(r"^\* Boris waves$")
            anna.wait_line(r"^\[private\] Boris → Anna: psst$")
            anna.wait_line(r"^► Boris is now called Bo$")
            anna.say("//me too", "/msg Nobody hm", "/nick a b", "/who", "/x", "/help")
            anna.wait_line("^Anna: /me too$")
            anna.wait_line("^► ! Nobody here is called Nobody: nothing was sent$")
            anna.wait_line("^► ! “a b” can't be a name: no spaces, at most 32 characters$")
            anna.wait_line(r"^► Here now: Anna, Bo \(2\)$")
            finish(boris)
        anna.wait_line(r"^► Bo left$")
        assert finish(anna, code=1)[-1] == "► You left.", "a private message found nobody"
        complaint = anna.complaint()
        assert complaint.startswith("Unknown command /x. /help lists the commands. To send")
        assert "/quit                   leave" in complaint


def test_the_conversation_reads_well_in_russian(server: Server) -> None:
    with plain(server, "Анна", "--lang", "ru", "--commands") as anna:
        anna.wait_line("^► Вы — Анна в комнате «Café». Сейчас здесь: Анна. Команды: /help.$")
        with Client(server.address, "Борис") as boris:
            anna.wait_line(r"^► Борис теперь в чате$")
            boris.say("привет", "/me машет", "/msg Анна тсс", "/nick Боря")
            anna.wait_line("^Борис: привет$")
            anna.wait_line(r"^\* Борис машет$")
            anna.wait_line(r"^\[лично\] Борис → Анна: тсс$")
            anna.wait_line(r"^► Борис теперь Боря$")
            anna.say("/msg Никто эй", "/who", "/x", "/help")
            anna.wait_line("^► ! Никого по имени Никто здесь нет: ничего не отправлено$")
            anna.wait_line(r"^► Сейчас здесь: Анна, Боря \(2\)$")
            boris.kill()
            with Client(server.address, "боря"):  # wants the name of one who does not answer
                anna.wait_line(r"^► Боря: связь потеряна$")
        anna.say("выйти")
        assert anna.wait() == 1, "a private message found nobody"
        assert anna.output.until_end()[-1] == "► Вы вышли."
        complaint = anna.complaint()
        assert complaint.startswith("Команды /x нет. Список команд: /help.")
        assert not re.search("[a-z]{3}", re.sub("/[a-z]+|Ctrl|Enter|mentions|off", "", complaint))


def test_history_reconnecting_and_coming_back_are_told_in_words() -> None:
    with Server() as first:
        with Client(first.address, "Anna") as anna:
            anna.say("early")
            anna.wait_event("sent")
        with plain(first, "Boris") as boris:
            boris.wait_line(r"^\(earlier\) Anna: early$")
            first.process.terminate()
            first.wait()
            boris.wait_line("^► ! The server has stopped. Reconnecting when it is back;")
            with Server(port=first.port):
                boris.wait_line("^► ! Something may be missing here: the server was restarted$")
                boris.wait_line("^► ! Back in the room “chat” as Boris$")
                assert finish(boris)[-1] == "► You left."
                assert boris.complaint() == ""


def test_a_hostile_text_reaches_no_terminal_as_it_is(server: Server) -> None:
    with plain(server, "Anna") as anna, Client(server.address, "Boris") as boris:
        anna.wait_line("^► You are Anna")
        boris.say("\x1b[2J\x1b]0;title\x07red\x9b31m \u202eevil\u2066 \x00end 👩\u200d🚀 привет")
        assert anna.wait_line("end") == "Boris: [2J]0;titlered31m evil end 👩\u200d🚀 привет"


# --- the name and the language that were not chosen --------------------------------------------


def test_who_chose_no_name_gets_the_login_name_or_one_like_it(server: Server) -> None:
    with (
        Program("udp_client.py", server.address) as first,
        Program("udp_client.py", server.address) as second,
    ):
        found = re.search("^► You are ([^ ]+) ", first.wait_line("^► You are "))
        assert found
        names = {found[1]}
        found = re.search("^► You are ([^ ]+) ", second.wait_line("^► You are "))
        assert found
        names.add(found[1])
        shorter, longer = sorted(names, key=len)
        assert longer == f"{shorter}-2"


def test_help_is_shown_by_both_commands() -> None:
    for script in ("udp_client.py", "udp_server.py"):
        with Program(script, "--help") as program:
            assert program.wait() == 0
            assert program.complaint() == ""
            assert any(line.startswith(f"usage: {script}") for line in program.output.all())
