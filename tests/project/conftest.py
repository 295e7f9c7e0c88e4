"""What several tests of the project share: the one file, and the package as pip installs it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import pytest

from tests.processes import PROJECT

LEFT_OUT = shutil.ignore_patterns(
    ".*", "__pycache__", "*.egg-info", "build", "comparison", "*.pyz", "docs"
)
"""What make and the tools leave behind, and what no build reads."""


@dataclass(frozen=True)
class Installation:
    """A virtual environment that holds udp-chat and nothing else, not even pip."""

    folder: Path

    @property
    def commands(self) -> Path:
        return self.folder / "bin"

    @property
    def python(self) -> Path:
        return self.commands / "python"

    @property
    def packages(self) -> Path:
        return next(self.folder.glob("lib/python3*/site-packages"))


def can_build() -> bool:
    """Whether this Python has the pip and setuptools that build a wheel by themselves."""
    try:
        found = [tuple(map(int, version(name).split(".")[:2])) for name in ("pip", "setuptools")]
    except PackageNotFoundError:
        return False
    return found[0] >= (22, 3) and found[1] >= (70, 1)


@pytest.fixture(scope="session")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """What ``pip install .`` makes of the repository, without asking an index."""
    if not can_build():
        pytest.skip("it takes pip and setuptools 70.1 to build the package without an index")
    folder = tmp_path_factory.mktemp("installation")
    made = Installation(folder / "venv")
    venv.create(made.folder, with_pip=False)
    shutil.copytree(PROJECT, folder / "source", ignore=LEFT_OUT)
    _pip("wheel", "--no-build-isolation", "--wheel-dir", folder, folder / "source")
    (wheel,) = folder.glob("*.whl")
    _pip("--python", made.python, "install", wheel)
    return made


def _pip(*arguments: str | Path) -> None:
    pip = [sys.executable, "-m", "pip", "--isolated", "--disable-pip-version-check"]
    subprocess.run([*pip, *arguments, "--quiet", "--no-deps", "--no-index"], check=True)


@pytest.fixture(scope="session")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The one file that ``make pyz`` makes, alone in a folder."""
    folder = tmp_path_factory.mktemp("one_file")
    target = folder / "udp-chat.pyz"
    with_folders = [f"PYZ={target}", f"PACKED={tmp_path_factory.mktemp('packed')}"]
    subprocess.run(["make", "--silent", "pyz", *with_folders], cwd=PROJECT, check=True)
    return target
