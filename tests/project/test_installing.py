"""``pip install .`` adds one name, which works beside any other distribution and has types."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.processes import PROJECT, WAIT_SECONDS
from tests.project.conftest import Installation
from udp_chat.version import __version__

OUR_NAMES = {
    *("console", "protocol", "session", "udp_client", "udp_server"),
    *(path.stem for path in (PROJECT / "udp_chat").rglob("*.py") if path.stem[0] != "_"),
} - sys.stdlib_module_names
"""A user, or another distribution, may have modules of these names."""

USERS_SCRIPT = """
from udp_chat import JoinFailed, RoomSettings, UdpClient, UdpServer

with UdpServer("127.0.0.1", 0, RoomSettings(room="course")) as server:
    try:
        with UdpClient(("127.0.0.1", 9091), name="Anna", on_event=print) as client:
            reveal_type(client.say)
            client.say(3)
    except JoinFailed as error:
        reveal_type(error)
"""


@pytest.fixture
def crowded(installation: Installation, tmp_path: Path) -> Iterator[Path]:
    """A folder with modules named as ours; whoever imports one ends. Packages have them, too."""
    theirs = [
        folder / f"{name}.py"
        for folder in (tmp_path, installation.packages)
        for name in sorted(OUR_NAMES)
    ]
    for path in theirs:
        path.write_text(f"raise SystemExit('{path} is not the chat')\n")
    yield tmp_path
    for path in theirs:
        path.unlink()


def run(
    command: Sequence[str | Path], folder: Path, text: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder. No variable of the caller's environment reaches it."""
    return subprocess.run(
        command,
        cwd=folder,
        env={"LC_ALL": "C.UTF-8", "PATH": "/usr/bin:/bin", "HOME": str(folder)},
        input=text,
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT_SECONDS,
    )


def test_installing_adds_one_name_with_its_types(installation: Installation) -> None:
    added = {entry.name for entry in installation.packages.iterdir()}
    assert added == {"udp_chat", f"udp_chat-{__version__}.dist-info"}
    assert (installation.packages / "udp_chat" / "py.typed").is_file()


def test_installing_adds_all_modules_of_the_package(installation: Installation) -> None:
    installed, ours = (
        {path.relative_to(root) for path in root.rglob("*.py")}
        for root in (installation.packages / "udp_chat", PROJECT / "udp_chat")
    )
    assert installed == ours


def test_installing_adds_two_commands(installation: Installation) -> None:
    names = {path.name for path in installation.commands.iterdir()}
    assert {name for name in names if "chat" in name} == {"udp-chat", "udp-chat-server"}


@pytest.mark.parametrize("command", ["udp-chat", "udp-chat-server"])
def test_an_installed_command_knows_its_name_and_version(
    installation: Installation, tmp_path: Path, command: str
) -> None:
    asked = run([installation.commands / command, "--help"], tmp_path)
    assert asked.stdout.startswith(f"usage: {command} ")
    asked = run([installation.commands / command, "--version"], tmp_path)
    assert (asked.stdout, asked.stderr) == (f"udp-chat {__version__}\n", "")


def test_installed_commands_chat_where_other_modules_have_our_names(
    installation: Installation, crowded: Path
) -> None:
    with subprocess.Popen(
        [installation.commands / "udp-chat-server", "--port", "0", "--no-discovery"],
        cwd=crowded,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            port = server.stdout.readline().rpartition(":")[2].strip()
            where = f"127.0.0.1:{port}"
            for client in (
                [installation.commands / "udp-chat"],
                [installation.python, "-m", "udp_chat"],
            ):
                done = run([*client, where, "--name", "Anna", "--json"], crowded, "привет\n")
                assert (done.returncode, done.stderr) == (0, "")
                events = [json.loads(line) for line in done.stdout.splitlines()]
                assert events[-2]["text"] == "привет"
        finally:
            server.terminate()


def test_a_users_types_are_checked_against_ours(installation: Installation, tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    (tmp_path / "bot.py").write_text(USERS_SCRIPT)
    mypy = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary"]
    told = run(
        [*mypy, "--python-executable", installation.python, "--cache-dir=cache", "bot.py"], tmp_path
    )
    assert told.stderr == ""
    lines = told.stdout.replace("builtins.", "").splitlines()
    assert len(lines) == 3, told.stdout
    assert 'note: Revealed type is "def (text: str' in lines[0]
    assert 'error: Argument 1 to "say" of "UdpClient" has incompatible type "int"' in lines[1]
    assert "udp_chat.client.udp_client.JoinFailed" in lines[2]
