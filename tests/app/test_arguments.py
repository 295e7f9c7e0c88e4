"""The three command lines: in both languages, and by the name under which they were started."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from tests.processes import PROJECT, Program
from udp_chat.app import client_command, protocol_command, server_command
from udp_chat.app.arguments import Parser
from udp_chat.app.catalogue import LANGUAGES
from udp_chat.app.command_sentences import COMMANDS
from udp_chat.app.program import INSTALLED, MODULES, SCRIPTS, started_program, usage_name
from udp_chat.app.program import Program as Form
from udp_chat.version import __version__

MAINS = {
    "client": (client_command.make_parser, client_command.main),
    "server": (server_command.make_parser, server_command.main),
    "protocol": (protocol_command.make_parser, protocol_command.main),
}

commands = pytest.mark.parametrize("command", list(MAINS))

NO_ENGLISH = r"--[\w-]+|-h\b|/\w+|[A-Z0-9_]{2,}(\[:PORT\])?|\{[\w,]+\}|\w+\.py|Ctrl-C|Enter|Wi-Fi"
NO_ENGLISH += r"|python3|tcpdump|dumpcap|Wireshark|pcap|stderr|debug|info|warning|error|chat"
NO_ENGLISH += r"|yes|no|HEX"
"""What is the same in every language: names of options, values, keys, files and programs."""


def outcome(
    command: str, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> tuple[object, str, str]:
    """(exit code, stdout, stderr) of a command that ends while it reads its arguments."""
    with pytest.raises(SystemExit) as ended:
        MAINS[command][1](arguments)
    printed = capsys.readouterr()
    return ended.value.code, printed.out, printed.err


@commands
def test_help_is_all_russian_in_russian_and_all_english_in_english(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, russian, err = outcome(command, ["--help", "--lang", "ru"], capsys)
    assert (code, err) == (0, "")
    assert russian.startswith("использование: ")
    usage, _, rest = russian.partition("\n\n")
    assert not re.search("[a-z]", re.sub(r"\[[^]]*\]|\w+\.py|HEX\|FILE|\.\.\.", "", usage).lower())
    left = re.findall(r"[A-Za-z]{2,}", re.sub(NO_ENGLISH, "", rest))
    assert set(left) <= {"JSON", "UDP"}, left
    code, english, err = outcome(command, ["--help", "--lang", "en"], capsys)
    assert (code, err) == (0, "")
    assert english.startswith("usage: ")
    assert not re.search("[а-яё]", english.replace("выйти", ""))


@commands
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_option_has_its_help(command: str, language: str) -> None:
    shown = " ".join(MAINS[command][0](language).format_help().split())
    for key, text in COMMANDS.sentences[language].items():
        if key.startswith(f"{command}_"):
            words = re.split(r"%\(\w+\)\w|{\w+}", " ".join(text.split()))
            assert all(part in shown for part in words), key


WRONG: list[tuple[str, list[str], str, str]] = [
    ("client", ["--no-such"], "unrecognized arguments: --no-such", "неизвестные аргументы:"),
    (
        "client",
        ["--log-level", "loud"],
        "argument --log-level: invalid choice: 'loud' (choose from",
        "аргумент --log-level: неверное значение 'loud' (возможны:",
    ),
    (
        "client",
        ["--name"],
        "argument --name: expected one argument",
        "аргумент --name: нужно одно значение",
    ),
    (
        "client",
        ["--json=1"],
        "argument --json: ignored explicit argument '1'",
        "аргумент --json: значение '1' здесь лишнее",
    ),
    (
        "client",
        ["--l"],
        "ambiguous option: --l could match",
        "параметр --l можно понять по-разному",
    ),
    (
        "client",
        ["chat.example:0"],
        "argument SERVER[:PORT]: 'chat.example:0' is not HOST, HOST:PORT or [IPV6]:PORT",
        "аргумент SERVER[:PORT]: «chat.example:0» — не HOST, HOST:PORT или [IPV6]:PORT",
    ),
    (
        "client",
        ["--name", "two words"],
        "argument --name: “two words” can't be a name: no spaces, at most 32 characters",
        "аргумент --name: Имя «two words» не подходит: без пробелов, до 32 знаков",
    ),
    (
        "client",
        ["--open", "\x1b"],
        "argument --open: a room's name has 1 to",
        "аргумент --open: в названии комнаты от 1 до",
    ),
    (
        "server",
        ["--port", "70000"],
        "argument --port: a port is a number from 0 to 65535",
        "аргумент --port: порт — это число от 0 до 65535",
    ),
    (
        "server",
        ["--max-members", "0"],
        "argument --max-members: at least 1",
        "аргумент --max-members: не меньше 1",
    ),
    (
        "server",
        ["--max-members", "10001"],
        "argument --max-members: at most 10000: more",
        "аргумент --max-members: не больше 10000: больше",
    ),
    (
        "server",
        ["--history", "many"],
        "argument --history: 'many' is not a whole number from 0 to",
        "аргумент --history: «many» — не целое число от 0 до",
    ),
    (
        "server",
        ["--heartbeat", "0"],
        "argument --heartbeat: '0' is not a number of seconds",
        "аргумент --heartbeat: «0» — не число секунд",
    ),
    (
        "server",
        ["--heartbeat", "5", "--timeout", "5"],
        "--timeout must be longer than --heartbeat",
        "--timeout должен быть больше, чем --heartbeat",
    ),
    (
        "protocol",
        ["wxyz"],
        "argument HEX|FILE: 'wxyz' is neither a datagram in hexadecimal nor a file",
        "аргумент HEX|FILE: «wxyz» — не датаграмма в шестнадцатеричном виде и не файл",
    ),
    ("protocol", [], "give a datagram in hexadecimal or a FILE", "укажите датаграмму"),
]


@pytest.mark.parametrize(("command", "arguments", "english", "russian"), WRONG)
def test_wrong_use_is_told_in_both_languages(
    command: str,
    arguments: list[str],
    english: str,
    russian: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for language, usage, error, reason in (
        ("en", "usage: ", "error", english),
        ("ru", "использование: ", "ошибка", russian),
    ):
        code, out, err = outcome(command, [*arguments, "--lang", language], capsys)
        assert (code, out) == (2, "")
        assert err.startswith(usage)
        assert f": {error}: {reason}" in err.splitlines()[-1]


def test_every_reason_of_argparse_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    """Those that our commands cannot meet, too: another option may."""
    parser = Parser("protocol", "a command", "ru")
    parser.add_argument("--one-or-more", nargs="+")
    parser.add_argument("--at-most-one", nargs="?", type=parser.typed(lambda text, _: text))
    parser.add_argument("needed")
    for arguments, reason in (
        ([], "не хватает аргументов: needed"),
        (["x", "--one-or-more"], "аргумент --one-or-more: нужно хотя бы одно значение"),
    ):
        with pytest.raises(SystemExit):
            parser.parse_args(arguments)
        assert capsys.readouterr().err.endswith(f"a command: ошибка: {reason}\n")


@commands
def test_the_version_is_told(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert outcome(command, ["--version"], capsys) == (0, f"udp-chat {__version__}\n", "")


# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("started_as", "form"),
    [
        ("udp_client.py", SCRIPTS),
        ("/home/anna/udp-chat/udp_server.py", SCRIPTS),
        ("protocol.py", SCRIPTS),
        ("", SCRIPTS),
        ("/usr/lib/python3/site-packages/pytest/__main__.py", SCRIPTS),
        ("/home/anna/udp-chat/udp_chat/__main__.py", MODULES),
        ("/home/anna/udp-chat/udp_chat/server/__main__.py", MODULES),
        ("/home/anna/.local/bin/udp-chat", INSTALLED),
        ("/home/anna/.local/bin/udp-chat-server", INSTALLED),
        ("udp-chat-server.exe", INSTALLED),
        ("./udp-chat.pyz", Form("python3 udp-chat.pyz", "python3 udp-chat.pyz server")),
        ("dir/chat.pyz server", Form("python3 chat.pyz", "python3 chat.pyz server")),
    ],
)
def test_a_command_is_called_as_it_was_started(started_as: str, form: Form) -> None:
    assert started_program(started_as) == form


def test_a_usage_names_a_file_without_its_python() -> None:
    assert usage_name("python3 udp_client.py") == "udp_client.py"
    assert usage_name("python3 udp-chat.pyz server") == "udp-chat.pyz server"
    assert usage_name("python3 -m udp_chat.server") == "python3 -m udp_chat.server"
    assert usage_name("udp-chat") == "udp-chat"


@pytest.mark.parametrize("language", LANGUAGES)
def test_sentences_name_the_command_that_can_be_typed(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["/home/anna/.local/bin/udp-chat"])
    text = server_command.make_parser(language).format_help()
    assert " udp-chat SERVER" in " ".join(text.split())
    assert "udp_client.py" not in text
    assert text.split()[1] == "udp-chat-server"


@pytest.mark.parametrize(("module", "name"), [("udp_chat", ""), ("udp_chat.server", ".server")])
def test_a_module_calls_itself_by_what_was_typed(module: str, name: str) -> None:
    command = [sys.executable, "-m", module, "--help", "--lang", "ru"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.startswith(f"использование: python3 -m udp_chat{name} [-h]")


def test_what_is_listened_on_is_told_in_one_way_in_every_language() -> None:
    """Other programs read this line."""
    arguments = ["--lang", "ru", "--host", "127.0.0.1", "--port", "0", "--no-discovery"]
    with Program("udp_server.py", *arguments) as server:
        server.wait_line(r"^listening on 127\.0\.0\.1:\d+$")
