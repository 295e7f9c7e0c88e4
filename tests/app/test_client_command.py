"""The command `udp_client.py`, in this process: its arguments, its lines, its exit codes."""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.client.recorder import Recorder
from tests.lossy_proxy import LossyProxy
from tests.processes import WAIT_SECONDS, silent_server
from udp_chat.app.client_command import Limits, main, make_client, make_parser
from udp_chat.app.conversation import Conversation
from udp_chat.app.lines import VERBS, Command
from udp_chat.app.rooms import choose_room
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.outbox import PendingFull
from udp_chat.client.udp_client import UdpClient, default_name
from udp_chat.discovery.search import FoundRoom
from udp_chat.protocol.packets import ChatError, Join, Refused, RefusedReason, decode
from udp_chat.protocol.printable import printable
from udp_chat.server.udp_server import UdpServer
from udp_chat.terminal.screen import PlainTerminal
from udp_chat.terminal.style import Part

# --- the command's small parts ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("login", "name"),
    [
        ("anna", "anna"),
        ("Анна Петрова", "АннаПетрова"),
        ("anna.lee", "anna.lee"),
        ("_svc", "svc"),
        ("www-data", "www-data"),
        ("Анна", "Анна"),
        ("anna\x1b[2J", "anna2J"),
        ("\x1b", "guest"),
        ("n" * 33, "n" * 32),
    ],
)
def test_the_default_name_is_the_login_name_made_usable(
    monkeypatch: pytest.MonkeyPatch, login: str, name: str
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: login)
    assert default_name() == name


class BellCounter(PlainTerminal):
    """A terminal that shows nothing, counts how often it rings, and keeps notifications."""

    bells = 0

    def __init__(self) -> None:
        super().__init__()
        self.notified: list[str] = []

    def show(self, *parts: Part, pending: Sequence[str] | None = None, folds: bool = False) -> None:
        pass

    def bell(self) -> None:
        self.bells += 1

    @property
    def can_notify(self) -> bool:
        return True

    def notify(self, title: str, text: str) -> None:
        self.notified.append(text)


def conversation_of(name: str) -> Conversation:
    """The conversation of somebody who has not joined yet."""
    conversation = Conversation("en")
    conversation.client = UdpClient(("127.0.0.1", 9), name)
    return conversation


def test_to_ignore_somebody_hides_nobody_whose_name_looks_alike(
    capsys: pytest.CaptureFixture[str],
) -> None:
    conversation = conversation_of("Anna")
    conversation.do(Command("ignore", "LAN"))
    for name in ("Lan", "Ian"):
        conversation.show({"event": "chat", "name": name, "text": "hi", "seq": 1})
    assert capsys.readouterr().out == "Ian: hi\n"


@pytest.mark.parametrize(("text", "rings"), [("hello IAN!", True), ("a lan party", False)])
def test_the_bell_rings_for_ones_name_and_for_no_word_that_looks_alike(
    text: str, rings: bool
) -> None:
    conversation = conversation_of("Ian")
    conversation.terminal = terminal = BellCounter()
    conversation.show({"event": "chat", "name": "Boris", "text": text, "seq": 1})
    assert terminal.bells == rings


def test_what_is_for_me_is_notified_while_i_look_elsewhere_unless_switched_off() -> None:
    conversation = conversation_of("Ian")
    conversation.terminal = terminal = BellCounter()
    mention: ChatEvent = {"event": "chat", "name": "Boris", "text": "Ian!"}

    def notified(*events: ChatEvent) -> list[str]:
        terminal.notified.clear()
        for event in events:
            conversation.show(event)
        return [*terminal.notified]

    assert notified(mention) == [], "who looks needs none"
    conversation.look(looks=False)
    private: ChatEvent = {"event": "private", "name": "Boris", "to": "Ian", "text": "psst"}
    others: list[ChatEvent] = [
        {"event": "chat", "name": "Boris", "text": "hello"},
        {"event": "chat", "name": "Ian", "text": "Ian!"},
        {**mention, "history": True},
    ]
    assert notified(*others, mention, private) == ["Boris: Ian!", "[private] Boris → Ian: psst"]
    conversation.do(Command("notify", "off"))
    assert notified(mention) == []
    conversation.do(Command("notify", "on"))
    assert notified(mention) == ["Boris: Ian!"]
    conversation.look(looks=True)
    assert notified(mention) == []


def test_the_bell_rings_as_it_was_told_to(capsys: pytest.CaptureFixture[str]) -> None:
    conversation = conversation_of("Ian")
    conversation.terminal = terminal = BellCounter()
    rung = []
    for setting in ("on", "mentions", "off"):
        conversation.do(Command("bell", setting))
        before = terminal.bells
        for name, text in (("Boris", "hello"), ("Boris", "Ian!"), ("Ian", "Ian!")):
            conversation.show({"event": "chat", "name": name, "text": text})
        conversation.show({"event": "private", "name": "Boris", "to": "Ian", "text": "psst"})
        conversation.show({"event": "join", "name": "Ian the second"})
        rung.append(terminal.bells - before)
    assert rung == [3, 2, 0]


@pytest.mark.parametrize("error", [OSError, KeyError, ImportError])
def test_who_has_no_login_name_is_a_guest(
    monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    def getuser() -> str:
        raise error("nobody")

    monkeypatch.setattr(getpass, "getuser", getuser)
    assert default_name() == "guest"


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("chat.example", ("chat.example", 9091)),
        ("chat.example:1", ("chat.example", 1)),
        ("192.0.2.1:65535", ("192.0.2.1", 65535)),
        ("::1", ("::1", 9091)),
        ("[::1]", ("::1", 9091)),
        ("[fe80::1%eth0]:7", ("fe80::1%eth0", 7)),
    ],
)
def test_a_server_is_given_as_host_and_port(text: str, server: tuple[str, int]) -> None:
    assert make_parser("en").parse_args([text]).server == server


@pytest.mark.parametrize(
    "arguments",
    [
        ["chat.example:0"],
        ["chat.example:65536"],
        ["chat.example:"],
        ["chat.example:-1"],
        ["chat.example:9x"],
        ["chat.example:" + "9" * 5000],
        [":9091"],
        [""],
        ["[::1]9091"],
        ["[::1]:"],
        ["a", "b"],
        ["--name", "two words"],
        ["--lang", "tlh"],
        ["--log-level", "loud"],
    ],
)
def test_wrong_arguments_exit_with_2_and_a_usage(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("usage: udp_client.py")
    assert printed.out == ""


# --- the command, in this process ------------------------------------------------------------


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs `main` with a stdin and limits; gives its exit code, stdout and stderr."""

    def run(arguments: list[str], stdin: bytes, **limits: Any) -> tuple[int, str, str]:
        with monkeypatch.context() as patched, io.TextIOWrapper(io.BytesIO(stdin)) as stream:
            patched.setattr(sys, "stdin", stream)
            code = main(arguments, Limits(**limits))
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


Run = Callable[..., tuple[int, str, str]]


def events_in(out: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in out.splitlines()]


def texts_in(out: str) -> list[str]:
    return [event["text"] for event in events_in(out) if event["event"] == "chat"]


def where(server: UdpServer) -> str:
    return f"127.0.0.1:{server.address[1]}"


def test_the_command_says_the_lines_of_its_input(server: UdpServer, run: Run) -> None:
    lines = "one\n/me waves\n/msg Anna psst\n/who\n/nick Аня\n/nick a b\n/help\n//x\n/quit\nnever\n"
    code, out, err = run([where(server), "--name", "Anna", "--json"], lines.encode())
    assert code == 0
    events = [json.loads(line) for line in out.splitlines()]
    kinds = [event["event"] for event in events]
    assert kinds[0] == "joined"
    assert kinds[-1] == "left"
    assert kinds.count("sent") == 4
    assert {"chat", "action", "private", "rename", "notice"} <= set(kinds)
    assert "/msg NAME TEXT" in err
    assert [event["text"] for event in events if event["event"] == "chat"] == ["one", "/x"]


def test_the_end_of_the_input_waits_until_every_line_is_accepted(
    server: UdpServer, run: Run
) -> None:
    class LeavesAtOnce(UdpClient):
        def close(self, flush_seconds: float = 0.0) -> None:
            super().close(flush_seconds)

    def patient(server: Any, name: str, on_event: Any, trace: Any, hosted: Any) -> UdpClient:
        return LeavesAtOnce(server, name, on_event, join_timeout_seconds=WAIT_SECONDS)

    lines = "".join(f"{number}\n" for number in range(300))
    with LossyProxy(server.address, 0.2, seed=7) as proxy:
        arguments = [proxy.where, "--name", "Anna", "--json"]
        code, out, err = run(arguments, lines.encode(), make_client=patient)
    assert (code, err) == (0, "")
    assert out.count('"event": "sent"') == 300


def test_what_was_asked_is_answered_below_joined_however_slow_the_screen_is(
    server: UdpServer, run: Run
) -> None:
    def slow(server: Any, name: str, on_event: Any, trace: Any, hosted: Any) -> UdpClient:
        def show_slowly(event: ChatEvent) -> None:
            if event["event"] == "joined":
                time.sleep(0.2)  # as slow as a screen may be
            on_event(event)

        return make_client(server, name, show_slowly, trace, hosted)

    code, out, _ = run([where(server), "--name", "Anna", "--json"], b"/who\n", make_client=slow)
    assert code == 0
    kinds = [json.loads(line)["event"] for line in out.splitlines()]
    assert kinds == ["joined", "host", "notice", "left"]


def test_what_was_asked_and_what_comes_do_not_mix_on_the_screen(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class SlowScreen(io.StringIO):
        def write(self, text: str) -> int:
            time.sleep(0.001)  # long enough for another thread to write
            return super().write(text)

    screen = SlowScreen()
    monkeypatch.setattr(sys, "stdout", screen)
    conversation = Conversation("en", as_json=True)

    def show() -> None:
        for number in range(20):
            conversation.show({"event": "notice", "count": number})

    threads = [threading.Thread(target=show) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = screen.getvalue().splitlines()
    assert sorted(json.loads(line)["count"] for line in lines) == sorted([*range(20)] * 2)


def test_the_command_explains_what_it_could_not_do(server: UdpServer, run: Run) -> None:
    with UdpClient(server.address, "Anna"):
        code, out, err = run([where(server), "--name", "anna", "--lang", "en"], b"")
    assert (code, out, err) == (1, "", "! The server refused: that name is in use\n")
    code, out, err = run([f"{'a' * 64}.invalid", "--lang", "en"], b"")
    assert (code, out) == (1, "")
    assert err == (
        f"Cannot look up {'a' * 64}.invalid: this cannot be the name of a host."
        " Check the name, or give the address in numbers.\n"
    )
    _, _, err = run([f"{'a' * 64}.invalid", "--lang", "ru"], b"")
    assert err == (
        f"Не удалось найти компьютер {'a' * 64}.invalid: так компьютер называться не может."
        " Проверьте имя или укажите адрес числами.\n"
    )


def in_a_hurry(server: Any, name: str, on_event: Any, trace: Any, hosted: Any) -> UdpClient:
    """A client that soon gives up joining."""
    seconds = 0.3
    return UdpClient(
        server, name, on_event, join_timeout_seconds=seconds, heard_timeout_seconds=seconds
    )


def test_the_command_says_who_does_not_answer(run: Run) -> None:
    with silent_server() as (host, port):
        arguments = [f"{host}:{port}", "--name", "Anna", "--lang", "en"]
        code, out, err = run(arguments, b"", make_client=in_a_hurry)
    assert (code, out) == (1, "")
    assert err == (
        f"No chat server answers at {host}:{port}. Check the address and the port, or start one"
        f" there: python3 udp_server.py --port {port}."
        f" To find the cause: python3 udp_client.py --doctor {host}:{port}\n"
    )


@contextlib.contextmanager
def busy_server() -> Iterator[tuple[str, int]]:
    """A server that refuses each JOIN, because others are joining."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        address: tuple[str, int] = sock.getsockname()

        def refuse() -> None:
            while datagram := (received := sock.recvfrom(2048))[0]:
                join = decode(datagram)
                if isinstance(join, Join):
                    no = Refused(join.client_id, join.timestamp, RefusedReason.BUSY, "busy")
                    sock.sendto(no.encode(), received[1])

        thread = threading.Thread(target=refuse)
        thread.start()
        try:
            yield address
        finally:
            sock.sendto(b"", address)
            thread.join()


def test_the_command_says_that_the_server_is_busy(run: Run) -> None:
    with busy_server() as (host, port):
        arguments = [f"{host}:{port}", "--name", "Boris", "--lang", "en"]
        code, out, err = run(arguments, b"", make_client=in_a_hurry)
    assert (code, out) == (1, "")
    assert err == "! The server refused: too many people are joining right now; try again\n"


def test_names_like_the_login_name_are_tried_up_to_a_limit(
    server: UdpServer, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "anna")
    with UdpClient(server.address, "anna"):
        code, out, _ = run([where(server), "--lang", "en"], b"")
        assert code == 0
        assert out.startswith("► You are anna-2 in the room")
        with UdpClient(server.address, "anna-2"):
            code, out, err = run([where(server), "--lang", "en"], b"", login_names_max=2)
    assert (code, out) == (1, "")
    assert err == "! The server refused: that name is in use\n"


def test_a_line_too_long_to_wait_is_refused_in_one_sentence_and_the_next_is_said(
    server: UdpServer, run: Run
) -> None:
    class Full(UdpClient):
        def say(self, text: str) -> None:
            if len(text) > 5000:
                raise PendingFull("too many messages wait")
            super().say(text)

    lines = b"x" * 900 * 6 + b"\nshort\n"
    arguments = [where(server), "--name", "Anna", "--json", "--lang", "en"]
    code, out, err = run(arguments, lines, make_client=Full)
    assert code == 1
    assert err == "Not sent: too many messages are already waiting\n"
    events = [json.loads(line) for line in out.splitlines()]
    assert [event["text"] for event in events if event["event"] == "chat"] == ["short"]


@pytest.mark.parametrize("end", ["", "\nshort\n", "yyy", "yyy\nshort\n"])
def test_a_line_too_long_to_be_kept_is_refused_as_a_whole(
    server: UdpServer, run: Run, end: str
) -> None:
    lines = f"123456789\n{'x' * 25}{end}"
    arguments = [where(server), "--name", "Anna", "--json", "--lang", "en"]
    code, out, err = run(arguments, lines.encode(), pipe_line_bytes_max=10)
    assert code == 1
    assert err == "Not sent: too many messages are already waiting\n"
    assert texts_in(out) == (["123456789", "short"] if "short" in end else ["123456789"])


@pytest.mark.parametrize(
    ("count", "more", "as_json"), [(2, "", False), (2, "", True), (23, "and 3 more\n", False)]
)
def test_messages_that_were_not_accepted_are_counted_and_shown_and_exit_with_1(
    run: Run, count: int, more: str, as_json: bool
) -> None:
    texts = [f"message {number}\a" for number in range(count)]
    with UdpServer("127.0.0.1", 0) as server:

        class LosesItsServer(UdpClient):
            """Its server stops before the first message; it does not wait for another."""

            def say(self, text: str) -> None:
                server.close()
                super().say(text)

            def flush(
                self,
                timeout_seconds: float | None = None,
                below: int = 1,
                give_up_seconds: float = 0.0,
            ) -> bool:
                return super().flush(timeout_seconds, below, give_up_seconds)

        arguments = [where(server), "--name", "Anna", "--lang", "en"]
        options = {"make_client": LosesItsServer, "pipe_pending_max": count}
        lines = "".join(f"{text}\n" for text in [*texts, "stays in the pipe"]).encode()
        code, _, err = run([*arguments, *(["--json"] if as_json else [])], lines, **options)
    assert code == 1
    shown = "".join(f"{printable(text)}\n" for text in texts[:20])
    assert "\a" not in shown
    said = f"{count} messages were not sent: the server did not answer.\n"
    assert err.endswith(f"{said}{shown}{more}")


# --- what a pipe says, and what it commands --------------------------------------------------


COMMANDS = [
    "/quit",
    "//x",
    "выйти",
    "Выйти ",
    "/save notes",
    "/save! notes",
    "/me waves",
    "/",
    "/x",
]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty directory that relative paths are in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_pipe_says_each_of_its_lines_as_it_is_and_commands_nothing(
    server: UdpServer, run: Run, here: Path
) -> None:
    record = Recorder()
    with UdpClient(server.address, "Boris", record):
        lines = "\n".join(["first", "", "  ", *COMMANDS, "last"])
        code, out, err = run([where(server), "--name", "Anna", "--lang", "en"], lines.encode())
        record.wait_for("leave", name="Anna", reason="left")
    assert (code, err) == (0, "")
    assert record.texts() == ["first", *COMMANDS, "last"]
    assert "Anna: /save notes" in out.splitlines()
    assert list(here.iterdir()) == []


def test_commands_are_read_from_a_pipe_that_asks_for_them(
    server: UdpServer, run: Run, here: Path
) -> None:
    lines = "said\n//x\n/me waves\n/save notes\nвыйти\nnever said\n"
    arguments = [where(server), "--name", "Anna", "--lang", "en", "--commands"]
    code, out, err = run(arguments, lines.encode())
    assert code == 0
    shown = out.splitlines()
    assert shown[1:] == ["Anna: said", "Anna: /x", "* Anna waves", "► You left."]
    assert err.endswith(f" saved in {here / 'notes'}\n")


@pytest.mark.parametrize(("name", "code"), [("Nobody", 1), ("<>", 1), ("Anna", 0)])
def test_a_pipe_whose_private_message_found_nobody_ends_with_1(
    server: UdpServer, run: Run, name: str, code: int
) -> None:
    arguments = [where(server), "--name", "Anna", "--lang", "en", "--commands"]
    assert run(arguments, f"/msg {name} hello\n".encode())[0] == code
    assert run([*arguments, "--json"], f"/msg {name} hello\n".encode())[0] == 0


def test_the_program_that_drives_the_client_may_command_but_touches_no_file(
    server: UdpServer, run: Run, here: Path
) -> None:
    (here / "old").write_text("kept")
    lines = "/save new\n/save! old\n/me waves\n/say /quit\n/say выйти\n//quit\nвыйти\nnever\n"
    arguments = [where(server), "--name", "Anna", "--lang", "en", "--json", "--commands"]
    code, out, err = run(arguments, lines.encode())
    assert (code, err) == (0, "")
    assert texts_in(out) == ["/quit", "выйти", "/quit"]
    notices = [event for event in events_in(out) if event["event"] == "notice"]
    assert [notice["reason"] for notice in notices] == ["files_refused"] * 2
    assert notices[0]["text"] == ("! With --json, commands touch no files: /save did nothing")
    assert [(file.name, file.read_text()) for file in here.iterdir()] == [("old", "kept")]


@pytest.mark.parametrize("arguments", [[], ["--commands"], ["--json"]])
@pytest.mark.parametrize("end", ["\x0b", "\x0c", "\x1c", "\x1d", "\x1e", "\x85", "\u2028", "\r"])
def test_what_ends_a_line_within_a_piped_line_makes_two_of_it_and_no_command(
    server: UdpServer, run: Run, here: Path, end: str, arguments: list[str]
) -> None:
    record = Recorder()
    with UdpClient(server.address, "Boris", record):
        line = f"one{end}/quit{end}{end}/save notes{end}выйти{end}\nlast\n"
        code, _, err = run([where(server), "--name", "Anna", *arguments], line.encode())
        record.wait_for("leave", name="Anna", reason="left")
    assert (code, err) == (0, "")
    assert record.texts() == ["one", "/quit", "/save notes", "выйти", "last"]
    assert list(here.iterdir()) == []


# --- files -----------------------------------------------------------------------------------


def test_save_writes_a_new_file_and_over_an_old_one_only_when_told_so(
    server: UdpServer, run: Run, here: Path
) -> None:
    (here / "old").write_text("kept")
    (here / "gone").symlink_to("nowhere")
    arguments = [where(server), "--name", "Anna", "--lang", "en", "--commands"]
    _, _, err = run(arguments, b"/save new\n/save old\n/save gone\n")
    assert err.splitlines() == [
        f"1 line saved in {here / 'new'}",
        "! old exists: /save! FILE overwrites it",
        "! gone exists: /save! FILE overwrites it",
    ]
    assert (here / "new").read_text().startswith("► You are Anna")
    assert (here / "old").read_text() == "kept"
    assert not (here / "nowhere").exists()
    _, _, err = run([*arguments, "--lang", "ru"], b"/save old\n/save! old\n")
    assert err.splitlines()[0] == "! Файл old уже есть: /save! ФАЙЛ запишет поверх него"
    assert err.endswith(f" в {here / 'old'}\n")
    assert (here / "old").read_text().startswith("► Вы — Anna")


AWKWARD = ["~nobody-of-this-name/f", "a\0b", "~", ".", "/", "\x1b[2J", "9" * 5000, "٣", "n" * 5000]
AWKWARD += ["-1", "{text}", "%s", "\udcff", "", " ", "\u202e", "a b c", "on", "/quit", "\x0b\x0c"]


def test_whatever_a_command_is_given_it_is_answered_and_the_next_line_is_said(
    server: UdpServer, run: Run, here: Path
) -> None:
    verbs = sorted(set(VERBS) - {"quit", "nick"})
    lines = [f"/{verb} {what}" for verb in [*verbs, "msg Anna", "msg Nobody"] for what in AWKWARD]
    lines += [f"/nick {what}" for what in AWKWARD]
    arguments = [where(server), "--name", "Anna", "--lang", "en", "--commands"]
    stdin = "\n".join([*lines, "/nick Zoe", "the end"]).encode("utf-8", "surrogateescape")
    code, out, err = run(arguments, stdin)
    assert code == 1, "nobody has the names that /msg was given"
    assert "Zoe: the end" in out.splitlines()
    assert "! Cannot write ~nobody-of-this-name/f: there is no such user" in err
    assert "! Cannot write ab: this cannot be the name of a file" in err
    assert "Usage: /history [N]" in err


@pytest.mark.parametrize("option", ["--transcript", "--trace"])
@pytest.mark.parametrize("path", ["a\0b", "no such directory/file", "."])
def test_a_file_that_cannot_be_opened_is_one_sentence_and_exit_code_1(
    run: Run, here: Path, option: str, path: str
) -> None:
    code, out, err = run(["127.0.0.1:9", "--lang", "en", option, path], b"")
    assert (code, out) == (1, "")
    assert err.startswith("! Cannot write ")
    assert err.count("\n") == 1


def test_the_number_of_a_room_may_be_typed_with_any_number_of_digits(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rooms = [FoundRoom(("192.0.2.1", port), f"room {port}", 1, port) for port in (1, 2)]
    answers = iter(["9" * 5000, "0", "2"])
    assert choose_room(rooms, "en", lambda question: next(answers)) == ("192.0.2.1", 2)
    assert capsys.readouterr().err.count("Type a number from 1 to 2.") == 2


# --- faults of the client's own --------------------------------------------------------------


class Fault(BaseException):
    """A bug that nothing in the client expects."""


def fails_at_the_word(server: Any, name: str, on_event: Any, trace: Any, hosted: Any) -> UdpClient:
    """A client whose receiver fails when "fail" comes in a datagram."""

    def fail(way: str, datagram: bytes) -> None:
        if way == "<" and b"fail" in datagram:
            raise Fault("of ours")

    return UdpClient(server, name, on_event, on_datagram=fail)


@pytest.mark.parametrize(
    ("language", "begins"),
    [
        ("en", "! The client stopped because of a bug of its own (Fault: of ours"),
        ("ru", "! Клиент"),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_a_fault_of_the_clients_own_is_one_sentence_and_exit_code_1(
    server: UdpServer,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    language: str,
    begins: str,
    as_json: bool,
) -> None:
    receiver, sender = os.pipe()  # whose end does not come: only the fault ends it
    arguments = [where(server), "--name", "Anna", "--lang", language]
    with os.fdopen(receiver, encoding="utf-8") as stdin, os.fdopen(sender, "wb", 0) as pipe:
        monkeypatch.setattr(sys, "stdin", stdin)
        pipe.write(b"fail\n")
        code = main(
            [*arguments, "--json"] if as_json else arguments, Limits(make_client=fails_at_the_word)
        )
    printed = capsys.readouterr()
    assert code == 1
    assert printed.err.startswith(begins)
    assert printed.err.count("\n") == 1
    if as_json:
        assert events_in(printed.out)[-1] == {
            "event": "left",
            "reason": "internal_error",
            "text": "Fault: of ours",
        }
    else:
        assert len(printed.out.splitlines()) == 1  # "You are …": the sentence is said once


def test_a_fault_while_joining_is_the_same_sentence(server: UdpServer, run: Run) -> None:
    arguments = [where(server), "--name", "fail", "--lang", "en"]
    code, out, err = run(arguments, b"", make_client=fails_at_the_word)
    assert (code, out) == (1, "")
    assert err.startswith("! The client stopped because of a bug of its own (Fault: of ours)")
    assert err.count("\n") == 1


def test_a_line_that_comes_after_the_client_has_failed_ends_the_command(
    server: UdpServer, run: Run
) -> None:
    class HasFailed(UdpClient):
        def say(self, text: str) -> None:
            raise ChatError("this client has failed")

    arguments = [where(server), "--name", "Anna", "--lang", "en"]
    code, out, _ = run(arguments, b"one\ntwo\n", make_client=HasFailed)
    assert code == 1
    assert out.endswith("► You left.\n")
