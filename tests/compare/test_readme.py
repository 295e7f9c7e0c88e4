"""The laboratory's README: it lists every experiment, and the files that it names are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from compare.__main__ import experiments

FOLDER = Path(__file__).resolve().parent.parent.parent / "compare"
README = (FOLDER / "README.md").read_text(encoding="utf-8")


def test_every_experiment_is_in_the_table_in_the_order_in_which_they_run() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| ([^?]+\?).* \|$", README, re.MULTILINE)
    listed = [(name, question.replace("`", "")) for name, question in rows]
    assert listed == [(name, e.words["en"].question) for name, e in experiments().items()]


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\(([^)]+)\)", README))))
def test_a_file_that_is_linked_is_there(path: str) -> None:
    assert (FOLDER / path).exists()


def test_the_two_chats_are_read_in_ten_minutes() -> None:
    for name, lines_max in (("server", 275), ("client", 200)):
        for chat in ("tcp", "plain_udp"):
            source = (FOLDER / "chats" / f"{chat}_{name}.py").read_text(encoding="utf-8")
            assert len(source.splitlines()) <= lines_max, f"{chat}_{name}.py"
