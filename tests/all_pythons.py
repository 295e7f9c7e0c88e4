"""Runs the tests on each CPython from 3.10 that this machine has: ``make test-all-pythons``.

It looks for them in pyenv and on PATH. Each gets a virtual environment of its own, .venv-3.x, with
the test tools. It names each version that it skips, and why. Arguments that it does not know go to
pytest, for example ``python3 -m tests.all_pythons tests/protocol``.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

ROOT = Path(__file__).resolve().parent.parent
Version: TypeAlias = tuple[int, int]

OLDEST: Version = (3, 10)
EXPECTED: tuple[Version, ...] = tuple((3, minor) for minor in range(10, 15))
"""These are named where the machine lacks them. A newer one is used where the machine has it."""

ANSWER_SECONDS = 30.0
"""A Python on a cold disk needs a moment to start."""

WHAT_IT_IS = "import platform as p; print(p.python_implementation() + ' ' + p.python_version())"


class Unprepared(Exception):
    """A Python cannot have the test tools; says why."""


def candidates(variables: Mapping[str, str]) -> Iterator[tuple[Version, Path]]:
    """The files whose names promise a Python: those of pyenv, the newest first, then PATH's."""
    pyenv = Path(variables.get("PYENV_ROOT") or Path.home() / ".pyenv")
    releases = [
        (tuple(map(int, folder.name.split("."))), folder)
        for folder in pyenv.glob("versions/*")
        if re.fullmatch(r"\d+\.\d+\.\d+", folder.name)
    ]
    for release, folder in sorted(releases, reverse=True):
        yield (release[0], release[1]), folder / "bin" / "python"
    for name in filter(None, variables.get("PATH", "").split(os.pathsep)):
        for path in sorted(Path(name).glob("python[23].*")):
            if re.fullmatch(r"python\d\.\d+", path.name):
                major, _, minor = path.name.removeprefix("python").partition(".")
                yield (int(major), int(minor)), path


def is_cpython(python: Path, version: Version) -> bool:
    """Whether the file runs and is the CPython that its name promises."""
    try:
        done = subprocess.run(
            [python, "-c", WHAT_IT_IS],
            capture_output=True,
            text=True,
            timeout=ANSWER_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return f"{done.stdout.strip()}.".startswith(f"CPython {version[0]}.{version[1]}.")


def find_pythons(variables: Mapping[str, str]) -> dict[Version, Path]:
    """The first CPython found of each version, also of those that are too old for the chat."""
    found: dict[Version, Path] = {}
    for version, python in candidates(variables):
        if version not in found and is_cpython(python, version):
            found[version] = python
    return found


def prepare(python: Path, folder: Path) -> Path:
    """The Python of a virtual environment that has the test tools.

    Makes it where it is missing or older than pyproject.toml; raises Unprepared where it cannot.
    """
    own = folder / "bin" / "python"
    stamp = folder / "installed"
    asked = ROOT / "pyproject.toml"
    if stamp.exists() and stamp.stat().st_mtime >= asked.stat().st_mtime:
        return own
    _run_quietly([python, "-m", "venv", "--clear", folder])
    install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    _run_quietly([own, *install, "-e", f"{ROOT}[test]"])
    stamp.touch()
    return own


def _run_quietly(command: Sequence[str | Path]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise Unprepared(said[-1] if said else f"{command[0]} failed")


def run_tests(name: str, python: Path, folder: Path, arguments: Sequence[str]) -> bool:
    """Runs the tests on one Python and tells how they ended; False where one failed."""
    try:
        own = prepare(python, folder)
    except Unprepared as reason:
        _tell(f"{name}: skipped; cannot install the test tools: {reason}")
        return True
    _tell(f"{name}: {python}")
    begin = time.monotonic()
    done = subprocess.run([own, "-m", "pytest", *arguments], cwd=ROOT)
    how = "passed" if done.returncode == 0 else f"failed (pytest's exit code {done.returncode})"
    _tell(f"{name}: {how} in {time.monotonic() - begin:.0f} s")
    return done.returncode == 0


def _tell(line: str) -> None:
    print(line, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns 1 where a test failed on a Python, or where there is no Python."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.all_pythons", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument(
        "--venvs",
        type=Path,
        default=ROOT,
        metavar="FOLDER",
        help="where the virtual environments are (default: the project's folder)",
    )
    options, for_pytest = parser.parse_known_args(argv)
    found = {v: path for v, path in find_pythons(os.environ).items() if v >= OLDEST}
    well = bool(found)
    for version in sorted({*found, *EXPECTED}):
        name = f"{version[0]}.{version[1]}"
        if version in found:
            folder = options.venvs / f".venv-{name}"
            well = run_tests(name, found[version], folder, for_pytest) and well
        else:
            _tell(f"{name}: not on this machine")
    return 0 if well else 1


if __name__ == "__main__":
    sys.exit(main())
