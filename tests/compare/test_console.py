"""The commands of the TCP chat to compare with: real processes, pipes, signals, a terminal."""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, ClassVar

import pytest

from compare.chats import tcp_client, tcp_server
from compare.chats.client_command import add_client_arguments, run_client
from compare.chats.sentences import SENTENCES
from compare.chats.tcp_client import TcpClient
from compare.chats.tcp_server import TcpServer
from tests.compare.test_tcp import HELLO, Ear
from tests.processes import WAIT_SECONDS, Client, Program, start_process
from udp_chat.app.catalogue import LANGUAGES

if TYPE_CHECKING:
    from udp_chat.client.chat_events import ChatEvent


@pytest.fixture
def server() -> Iterator[TcpServer]:
    with TcpServer(port=0) as server:
        yield server


# --- the commands ----------------------------------------------------------------------------


class TcpServerProgram(Program):
    """`compare/chats/tcp_server.py`, ready when this returns."""

    def __init__(self, *arguments: str) -> None:
        super().__init__("compare/chats/tcp_server.py", "--port", "0", *arguments)
        self.address = self.wait_line("^listening on ").removeprefix("listening on ")


class TcpClientProgram(Client):
    """`compare/chats/tcp_client.py --json`; its output is a list of events."""

    def __init__(self, server: str, *arguments: str, joined: bool = True) -> None:
        Program.__init__(self, "compare/chats/tcp_client.py", server, "--json", *arguments)
        if joined:
            self.wait_event("joined")


@pytest.mark.parametrize("word", ["выйти", "  ВЫЙТИ ", "/quit"])
def test_the_exit_word_leaves(word: str) -> None:
    with (
        TcpServerProgram() as server,
        TcpClientProgram(server.address, "--name", "Anna") as anna,
        TcpClientProgram(server.address, "--name", "Boris") as boris,
    ):
        boris.say("пока", word, "not said any more")
        assert boris.wait() == 0
        assert anna.wait_event("leave", name="Boris")["reason"] == "left"
        assert [event["text"] for event in anna.events("chat")] == ["пока"]
        assert boris.events()[-1] == {"event": "left"}


def test_a_pipe_is_read_to_its_end_and_every_line_arrives_in_order() -> None:
    lines = [f"{number} {HELLO}" for number in range(1500)]
    with (
        TcpServerProgram() as server,
        TcpClientProgram(server.address, "--name", "Anna") as anna,
        TcpClientProgram(server.address) as pipe,
    ):
        pipe.say(*lines)
        pipe.write(b"\xff bytes that are not UTF-8\n\nthe end")
        pipe.end_input()
        assert pipe.wait() == 0
        lines += ["\N{REPLACEMENT CHARACTER} bytes that are not UTF-8", "the end"]
        anna.wait_event("leave")
        for program in (anna, pipe):
            assert [event["text"] for event in program.events("chat")] == lines


def test_pipes_without_a_name_get_different_ones() -> None:
    with (
        TcpServerProgram() as server,
        TcpClientProgram(server.address) as one,
        TcpClientProgram(server.address) as two,
    ):
        name = one.events("joined")[0]["name"]
        assert two.events("joined")[0]["name"] == f"{name}-2"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_cleanly(number: int) -> None:
    with (
        TcpServerProgram() as server,
        TcpClientProgram(server.address, "--name", "Anna") as anna,
        TcpClientProgram(server.address, "--name", "Boris") as boris,
    ):
        boris.signal(number)
        assert boris.wait() == 0
        assert anna.wait_event("leave")["reason"] == "left"
        server.signal(number)
        assert server.wait() == 0
        assert anna.wait_event("left")["reason"] == "shutting_down"
        assert anna.wait() == 1
        for program in (server, boris, anna):
            assert program.complaint() == ""


def test_who_is_killed_is_noticed_at_once_on_both_sides() -> None:
    with (
        TcpServerProgram("--heartbeat", "100", "--timeout", "1000") as server,
        TcpClientProgram(server.address, "--name", "Anna") as anna,
        TcpClientProgram(server.address, "--name", "Boris") as boris,
    ):
        boris.kill()
        assert anna.wait_event("leave")["reason"] in ("disconnected", "connection_lost")
        server.kill()
        assert anna.wait_event("left")["reason"] in ("closed", "connection_lost")
        assert anna.wait() == 1


def test_the_command_says_what_it_could_not_do() -> None:
    with TcpServerProgram() as server:
        with Program(
            "compare/chats/tcp_server.py", "--port", server.address.rpartition(":")[2]
        ) as second:
            assert second.wait() == 1
            assert "cannot open a room" in second.complaint()
        with (
            TcpClientProgram(server.address, "--name", "Anna"),
            Program("compare/chats/tcp_client.py", server.address, "--name", "Anna") as double,
        ):
            assert double.wait() == 1
            assert double.complaint() == "The name Anna is in use. Choose another one."
    with Program("compare/chats/tcp_client.py", server.address, "--lang", "ru") as nobody_there:
        assert nobody_there.wait() == 1
        assert "в соединении отказано" in nobody_there.complaint()


@pytest.mark.parametrize(
    ("script", "arguments"),
    [
        ("compare/chats/tcp_client.py", ["host:port"]),
        ("compare/chats/tcp_client.py", ["--lang", "xx"]),
        ("compare/chats/tcp_server.py", ["--port", "65536"]),
        ("compare/chats/tcp_server.py", ["--heartbeat", "5", "--timeout", "5"]),
        ("compare/chats/tcp_server.py", ["--max-members", "100000"]),
    ],
)
def test_wrong_use_is_told_from_failure(script: str, arguments: list[str]) -> None:
    with Program(script, *arguments) as program:
        assert program.wait() == 2
        assert "usage:" in program.complaint()


@pytest.mark.parametrize(
    ("main", "arguments", "because"),
    [
        (tcp_server.main, ["--rate", "inf"], "'inf' is not a whole number from 0 to 1000000000"),
        (tcp_server.main, ["--rate", "nan"], "'nan' is not a whole number from 0 to 1000000000"),
        (tcp_server.main, ["--rate", "-1"], "'-1' is not a whole number from 0 to 1000000000"),
        (tcp_server.main, ["--rate", "9" * 400], "is not a whole number from 0 to 1000000000"),
        (tcp_server.main, ["--queue", "-1"], "'-1' is not a whole number from 0 to 1000000000"),
        *(
            (main, ["--user-timeout", value], f"'{value}' is neither 0 nor a number of seconds")
            for main in (tcp_server.main, tcp_client.main)
            for value in ("-1", "nan", "inf", "0.0001", "3601", "soon")
        ),
        (tcp_client.main, ["--timeout", "nan"], "'nan' is not a number of seconds from 0.1"),
        (tcp_client.main, ["--heartbeat", "soon"], "'soon' is not a number of seconds from 0.1"),
    ],
)
def test_a_number_that_breaks_a_rule_is_refused_with_the_rule(
    main: Callable[[list[str]], int],
    arguments: list[str],
    because: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])  # whose exit code is 0, if the number was taken
    assert ended.value.code == 2
    assert because in capsys.readouterr().err


@pytest.mark.parametrize("module", ["compare.chats.tcp_server", "compare.chats.tcp_client"])
def test_both_commands_run_as_modules_too(module: str) -> None:
    process = start_process(["-m", module, "--help"], stdout=subprocess.PIPE)
    output, _ = process.communicate(timeout=WAIT_SECONDS)
    assert process.returncode == 0
    assert "TCP" in output.decode()


def test_a_client_whose_output_nobody_reads_any_more_leaves(server: TcpServer) -> None:
    hears = Ear()
    with TcpClient(server.address, "Anna", hears) as anna:
        boris = start_process(
            ["compare/chats/tcp_client.py", "{}:{}".format(*server.address), "--name", "Boris"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        with boris:
            assert boris.stdout is not None
            assert boris.stdout.readline()
            boris.stdout.close()
            anna.say("can you hear me?")
            assert boris.wait(WAIT_SECONDS) == 0
        assert hears.wait_for("leave", name="Boris")["reason"] == "left"


def test_what_ends_before_the_first_line_is_read_ends_the_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Ended:
        said: ClassVar[list[str]] = []

        def __init__(self, name: str, on_event: Callable[[ChatEvent], None]) -> None:
            self.on_event = on_event

        def start(self) -> None:
            self.on_event({"event": "left", "reason": "shutting_down"})

        def say(self, text: str) -> None:
            self.said.append(text)

        def finish(self) -> bool:
            return False

        def close(self) -> None:
            pass

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"to nobody\n")))
    parser = argparse.ArgumentParser()
    add_client_arguments(parser)
    assert run_client(Ended, parser.parse_args(["--lang", "ru"])) == 1
    assert Ended.said == []
    assert capsys.readouterr().out == "! Сервер остановлен.\n"


@pytest.mark.parametrize(
    ("locale", "arguments", "language"),
    [
        ("ru_RU.UTF-8", [], "ru"),
        ("en_GB.UTF-8", [], "en"),
        ("de_DE.UTF-8", [], "en"),
        ("ru_RU.UTF-8", ["--lang", "en"], "en"),
    ],
)
def test_the_language_is_the_locale_s_unless_it_is_chosen(
    monkeypatch: pytest.MonkeyPatch, locale: str, arguments: list[str], language: str
) -> None:
    for variable in ("LC_ALL", "LC_MESSAGES"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("LANG", locale)
    parser = argparse.ArgumentParser()
    add_client_arguments(parser)
    assert parser.parse_args(arguments).lang == language


def test_the_clients_speak_every_language_of_the_chat() -> None:
    assert SENTENCES.keys() == set(LANGUAGES)
    english, russian = SENTENCES["en"], SENTENCES["ru"]
    assert english.keys() == russian.keys()


# --- a person --------------------------------------------------------------------------------


class Screen:
    """A client at a pseudo-terminal of its own; a thread reads what is on it."""

    def __init__(self, *arguments: str) -> None:
        pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
        self._keyboard, person = pty.openpty()
        self._text = ""
        self._changed = threading.Condition()
        try:
            self.process = start_process(
                [*arguments],
                stdin=person,
                stdout=person,
                stderr=person,
                start_new_session=True,
            )
        finally:
            os.close(person)
        self._thread = threading.Thread(target=self._read, name="screen")
        self._thread.start()

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self._thread.join()
        os.close(self._keyboard)

    def _read(self) -> None:
        with contextlib.suppress(OSError):  # the client, which had the other end, is gone
            while data := os.read(self._keyboard, 4096):
                with self._changed:
                    self._text += data.decode("utf-8", "replace")
                    self._changed.notify_all()

    def type(self, text: str) -> None:
        os.write(self._keyboard, text.encode())

    def wait_for(self, pattern: str) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: re.search(pattern, self._text), WAIT_SECONDS), (
                pattern,
                self._text,
            )

    def wait(self) -> int:
        return self.process.wait(WAIT_SECONDS)


def test_a_person_is_asked_for_a_name_until_it_is_free_and_talks(server: TcpServer) -> None:
    hears = Ear()
    where = "{}:{}".format(*server.address)
    with (
        TcpClient(server.address, "Анна", hears) as anna,
        Screen("compare/chats/tcp_client.py", where, "--lang", "ru") as boris,
    ):
        boris.wait_for("Ваше имя: ")
        boris.type("анна\n")
        boris.wait_for("Имя анна занято.")
        boris.type("два слова\n")
        boris.wait_for("не подходит")
        boris.type("Борис\n")
        boris.wait_for("Вы — Борис в комнате «chat». Сейчас здесь: Анна, Борис.")
        anna.say("при\x1b[31mвет")
        boris.wait_for(r"Анна: при\[31mвет\r\n")  # the escape that makes red is gone
        boris.type("и тебе\n")
        hears.wait_for("chat", name="Борис", text="и тебе")
        boris.wait_for("Борис: и тебе")
        boris.type("выйти\n")
        assert boris.wait() == 0
        boris.wait_for("Вы вышли.")


def test_a_person_who_waits_is_told_that_the_server_has_gone(server: TcpServer) -> None:
    with Screen(
        "compare/chats/tcp_client.py", "{}:{}".format(*server.address), "--name", "Anna"
    ) as anna:
        anna.wait_for("You are Anna")
        server.close()
        anna.wait_for("! The server has stopped.")
        assert anna.wait() == 1


def test_ctrl_d_at_the_question_for_a_name_is_no_failure(server: TcpServer) -> None:
    with Screen("compare/chats/tcp_client.py", "{}:{}".format(*server.address)) as anna:
        anna.wait_for("Your name: ")
        anna.type("\x04")
        assert anna.wait() == 0
