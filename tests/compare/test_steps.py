"""The steps: each is short, lets people talk, and withstands what breaks the one before it.

A breakage runs the step before and the step itself as processes; the bad network is on loopback.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from compare.steps.__main__ import BREAKAGES, main
from compare.steps.breakage import Breakage
from compare.steps.programs import Chat, file_of, steps

LINES_MAX = 150

MODULES = {
    *("socket", "threading", "select", "queue", "time"),
    *("hmac", "secrets"),
    *("__future__", "collections.abc", "contextlib", "sys"),
}
"""What a step may import. It stands alone on sockets and threads."""

SLOW = {"t3", "t4", "u1", "u3", "u5", "u7", "u8"}
"""They wait for what does not come, or for a timeout, or fill the kernel's buffers."""


def imports_of(step: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(file_of(step).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or "."


@pytest.mark.parametrize("step", steps())
def test_a_step_is_one_short_file_that_stands_alone(step: str) -> None:
    assert len(file_of(step).read_text(encoding="utf-8").splitlines()) <= LINES_MAX
    assert set(imports_of(step)) - MODULES == set()


@pytest.mark.parametrize("step", steps())
def test_two_people_talk_and_one_leaves(step: str) -> None:
    with Chat(step) as chat:
        boris, anna = chat.client("Boris"), chat.client("Anna")
        boris.need("* Anna joined")
        anna.say("привет")
        assert boris.need("Anna: ") == "Anna: привет"
        boris.say("hello, Anna")
        assert anna.need("Boris: ") == "Boris: hello, Anna"
        anna.say("выйти")
        assert anna.wait() == 0
        if step not in {"u1", "u2", "u3", "u4"}:  # they know no goodbye
            boris.need("* Anna left")
        assert anna.texts("Anna: ") == []  # nobody is sent what they said themselves


def test_each_step_but_the_first_breaks_the_one_before_it() -> None:
    assert list(BREAKAGES) == steps()
    befores = [breakage.before for breakage in BREAKAGES.values()]
    assert [before or "-" for before in befores] == [
        "-" if step in {"t1", "u1"} else steps()[number - 1] for number, step in enumerate(steps())
    ]


@pytest.mark.parametrize(
    "breakage",
    [
        pytest.param(breakage, id=step, marks=[pytest.mark.slow] if step in SLOW else [])
        for step, breakage in BREAKAGES.items()
    ],
)
def test_a_breakage_breaks_the_step_before_and_not_the_step(breakage: Breakage) -> None:
    missing = breakage.missing()
    if missing is not None:
        pytest.skip(missing)
    outcomes = breakage.outcomes()
    whole = [outcome.is_whole for outcome in outcomes]
    assert whole == ([False] if breakage.before is None else [False, True]), outcomes


def test_the_command_prints_the_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["t1"]) == 0
    title, figures = capsys.readouterr().out.splitlines()
    assert title == "Three messages arrive in one recv."
    assert figures == "  t1: 3 said, 1 shown: Anna: onetwothree"
