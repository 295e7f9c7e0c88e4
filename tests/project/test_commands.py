"""Each command starts from any folder, knows its name and version, and names a Python too old."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from pathlib import Path

import pytest

import udp_chat
from tests.all_pythons import Version, find_pythons
from tests.processes import PROJECT, WAIT_SECONDS

TOO_OLD: list[Version] = [(2, 7), (3, 6), (3, 7), (3, 8), (3, 9)]

MODULES = {"udp_chat": "python3 -m udp_chat", "udp_chat.server": "python3 -m udp_chat.server"}
"""What ``python3 -m`` runs, and what it calls itself."""

SCRIPTS = ["udp_server.py", "udp_client.py", "protocol.py"]
"""The files of the root; each calls itself by its name."""

pythons = functools.cache(lambda: find_pythons(os.environ))


def run(
    python: str | Path, arguments: list[str], folder: Path, pythonpath: Path | str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs Python in a folder; nothing that it imports is kept beside the sources."""
    variables = {"LC_ALL": "C.UTF-8", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(pythonpath)}
    return subprocess.run(
        [python, *arguments],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=WAIT_SECONDS,
    )


def old_python(version: Version) -> Path:
    """A Python of that version; skips the test where the machine has none."""
    if version not in pythons():
        pytest.skip(f"Python {version[0]}.{version[1]} is not on this machine")
    return pythons()[version]


def assert_says_that_it_is_too_old(
    done: subprocess.CompletedProcess[str], version: Version
) -> None:
    assert done.stderr == (
        f"udp-chat needs Python 3.10 or newer; this is Python {version[0]}.{version[1]}.\n"
    )
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("version", TOO_OLD)
@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_says_that_a_python_is_too_old(
    script: str, version: Version, tmp_path: Path
) -> None:
    done = run(old_python(version), [str(PROJECT / script)], tmp_path)
    assert_says_that_it_is_too_old(done, version)


@pytest.mark.parametrize("version", TOO_OLD)
@pytest.mark.parametrize("module", MODULES)
def test_a_module_says_that_a_python_is_too_old(
    module: str, version: Version, tmp_path: Path
) -> None:
    done = run(old_python(version), ["-m", module], tmp_path, pythonpath=PROJECT)
    assert_says_that_it_is_too_old(done, version)


@pytest.mark.parametrize("version", TOO_OLD)
@pytest.mark.parametrize("arguments", [[], ["server"]], ids=["client", "server"])
def test_the_one_file_says_that_a_python_is_too_old(
    arguments: list[str], version: Version, pyz: Path
) -> None:
    done = run(old_python(version), [str(pyz), *arguments], pyz.parent)
    assert_says_that_it_is_too_old(done, version)


def every_start(pyz: Path) -> dict[str, list[str]]:
    """The arguments for Python of each way to start a command, by what it calls itself."""
    return {
        **{script: [str(PROJECT / script)] for script in SCRIPTS},
        **{name: ["-m", module] for module, name in MODULES.items()},
        "udp-chat.pyz": [str(pyz)],
        "udp-chat.pyz server": [str(pyz), "server"],
    }


def test_each_command_calls_itself_as_it_was_started_from_any_folder(
    pyz: Path, tmp_path: Path
) -> None:
    for name, arguments in every_start(pyz).items():
        done = run(sys.executable, [*arguments, "--help"], tmp_path, pythonpath=PROJECT)
        assert done.stdout.startswith(f"usage: {name} "), name
        assert done.returncode == 0


def test_each_command_knows_its_version(pyz: Path, tmp_path: Path) -> None:
    for name, arguments in every_start(pyz).items():
        done = run(sys.executable, [*arguments, "--version"], tmp_path, pythonpath=PROJECT)
        assert (done.stdout, done.stderr) == (f"udp-chat {udp_chat.__version__}\n", ""), name


def test_the_names_of_the_design_come_from_one_module() -> None:
    import udp_client
    import udp_server
    from udp_chat import JoinFailed, RoomSettings, UdpClient, UdpServer

    assert (udp_client.UdpClient, udp_client.JoinFailed) == (UdpClient, JoinFailed)
    assert (udp_server.UdpServer, udp_server.RoomSettings) == (UdpServer, RoomSettings)
