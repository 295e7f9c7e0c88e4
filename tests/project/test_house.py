"""The house stays tidy: what the root holds, how long a file is, what each folder says."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

from tests.processes import PROJECT

ROOT_HOLDS = {
    *("udp_server.py", "udp_client.py", "protocol.py"),
    *("README.md", "README.ru.md", "CHANGELOG.md", "LICENSE", "Makefile", "pyproject.toml"),
    *("udp_chat", "compare", "benchmarks", "tests", "docs", ".ci", ".gitignore"),
}
LINES_MAX = 700
"""A longer file holds two ideas."""


def tracked() -> list[Path]:
    """The files that git knows, or would add, by their paths from the root."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
    )
    if listed.returncode != 0:
        pytest.skip("this is no git repository: it does not tell which files are ours")
    names = filter(None, listed.stdout.split("\0"))
    return [Path(name) for name in names if (PROJECT / name).exists()]


def test_the_root_holds_what_the_design_lists_and_nothing_else() -> None:
    assert {path.parts[0] for path in tracked()} == ROOT_HOLDS


def test_no_file_of_code_is_too_long() -> None:
    lines = {
        str(path): (PROJECT / path).read_text(encoding="utf-8").count("\n")
        for path in tracked()
        if path.suffix == ".py"  # Wireshark wants a dissector in one file
    }
    assert {path: count for path, count in lines.items() if count > LINES_MAX} == {}


def test_each_folder_of_the_package_says_what_it_holds() -> None:
    silent = [
        path.parent.name
        for path in sorted((PROJECT / "udp_chat").rglob("__init__.py"))
        if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert silent == []


@pytest.mark.parametrize(
    "folder", sorted(path.parent for path in (PROJECT / "udp_chat").glob("*/__init__.py"))
)
def test_each_folder_names_each_of_its_files(folder: Path) -> None:
    said = (folder / "__init__.py").read_text(encoding="utf-8")
    files = {path.name for path in folder.glob("*.py") if not path.name.startswith("__")}
    assert {name for name in files if f"``{name}``" not in said} == set()


def test_no_module_is_named_by_what_says_nothing() -> None:
    assert not {path for path in tracked() if path.stem in {"utils", "common", "helpers", "misc"}}


def test_what_continuous_integration_calls_is_what_the_makefile_has() -> None:
    steps = re.findall(r"^step (.+)$", (PROJECT / ".ci" / "run").read_text("utf-8"), re.MULTILINE)
    makefile = (PROJECT / "Makefile").read_text("utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    assert steps[:2] == ["make test", "make check"]
    assert {"test", "check", "test-all-pythons", "pyz", "clean"} <= targets
