"""``make test-all-pythons`` runs the tests on each Python there is and names those it skips."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import PROJECT, WAIT_SECONDS

FAKE = """#!/bin/sh
echo "$@" >> "{diary}"
case "$*" in
"-c "*) echo "{says}" ;;
"-m venv "*) /bin/mkdir -p "$4/bin" && /bin/cp "$0" "$4/bin/python" ;;
"-m pip "*) {install} ;;
"-m pytest"*) exit {code} ;;
esac
"""
"""A Python that writes down what it was asked, and whose virtual environment is itself again."""


class Machine:
    """A machine with fake Pythons and no others: one folder on PATH, and a pyenv."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "path"
        self.pyenv = folder / "pyenv"
        self.venvs = folder / "venvs"
        self._diary = folder / "diary"

    def has(
        self, file: Path, says: str, install: str = "exit 0", code: int = 0, mode: int = 0o755
    ) -> None:
        """Adds a Python that says what it is; `install` is what its pip does."""
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(FAKE.format(diary=self._diary, says=says, install=install, code=code))
        file.chmod(mode)

    def has_in_pyenv(self, release: str) -> None:
        """Adds a CPython to pyenv."""
        self.has(self.pyenv / "versions" / release / "bin" / "python", f"CPython {release}")

    def asked(self, part: str) -> list[str]:
        """What the Pythons were asked that has this part."""
        return [line for line in self._diary.read_text().splitlines() if part in line]

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the command on this machine."""
        return subprocess.run(
            [sys.executable, "-m", "tests.all_pythons", "--venvs", str(self.venvs), *arguments],
            cwd=PROJECT,
            env={"PATH": str(self.path), "PYENV_ROOT": str(self.pyenv)},
            capture_output=True,
            text=True,
            timeout=WAIT_SECONDS,
        )

    def told(self, *arguments: str) -> dict[str, str]:
        """What the command told last of each version."""
        lines = self.run(*arguments).stdout.splitlines()
        return dict(line.split(": ", 1) for line in lines)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_each_python_of_pyenv_and_of_path_runs_the_tests(machine: Machine) -> None:
    machine.has_in_pyenv("3.98.1")
    machine.has(machine.path / "python3.99", "CPython 3.99.0")
    told = machine.told("tests/protocol", "-k", "name")
    assert told["3.98"].startswith("passed in ")
    assert told["3.99"].startswith("passed in ")
    assert machine.asked("-m pytest") == ["-m pytest tests/protocol -k name"] * 2


def test_the_newest_release_of_a_version_is_taken(machine: Machine) -> None:
    for release in ("3.98.2", "3.98.10", "3.98.9"):
        machine.has_in_pyenv(release)
    machine.has(machine.path / "python3.98", "CPython 3.98.0")
    assert f"3.98: {machine.pyenv}/versions/3.98.10/bin/python\n" in machine.run().stdout
    assert len(machine.asked("-m pytest")) == 1


def test_a_version_that_the_machine_lacks_is_named(machine: Machine) -> None:
    machine.has_in_pyenv("3.98.1")
    lacking = {name for name, what in machine.told().items() if what == "not on this machine"}
    assert lacking == {"3.10", "3.11", "3.12", "3.13", "3.14"}


@pytest.mark.parametrize("says", ["PyPy 3.98.1", "CPython 3.97.1", ""], ids=repr)
def test_what_is_not_the_python_of_its_name_is_left_out(machine: Machine, says: str) -> None:
    machine.has(machine.path / "python3.98", says)
    assert "3.98" not in machine.told()


def test_a_python_that_does_not_start_is_left_out(machine: Machine) -> None:
    machine.has(machine.path / "python3.98", "CPython 3.98.1", mode=0o644)
    assert "3.98" not in machine.told()


def test_a_python_older_than_3_10_is_left_out(machine: Machine) -> None:
    machine.has_in_pyenv("3.9.99")
    machine.has_in_pyenv("2.7.18")
    assert not {"3.9", "2.7"} & machine.told().keys()


def test_a_python_that_cannot_have_the_tools_is_skipped_with_the_reason(machine: Machine) -> None:
    machine.has(
        machine.path / "python3.98", "CPython 3.98.1", install="echo no wheel of mypy >&2; exit 1"
    )
    told = machine.told()
    assert told["3.98"] == "skipped; cannot install the test tools: no wheel of mypy"
    assert machine.asked("-m pytest") == []


def test_tools_that_are_installed_are_not_installed_again(machine: Machine) -> None:
    machine.has_in_pyenv("3.98.1")
    machine.run()
    machine.run()
    assert len(machine.asked("-m pip")) == 1
    assert len(machine.asked("-m pytest")) == 2


def test_one_python_on_which_a_test_fails_fails_the_command(machine: Machine) -> None:
    machine.has(machine.path / "python3.98", "CPython 3.98.1", code=1)
    machine.has(machine.path / "python3.99", "CPython 3.99.1")
    done = machine.run()
    assert done.returncode == 1
    assert "3.98: failed (pytest's exit code 1) in " in done.stdout
    assert "3.99: passed in " in done.stdout
