"""Clocks and addresses (rules 13 and 14 of the design): what the pure modules do not touch."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PURE = [
    *("acknowledging", "answers", "chat_events", "cookies", "delivery", "joining", "liveness"),
    *("member", "names", "outbox", "own_link"),
    *("floor", "hosts", "memory", "protocol", "register", "relay", "room", "roster"),
    *("scribe", "session", "settings", "wire_parts"),
]
IMPURE = {
    *("asyncio", "datetime", "os", "secrets", "select", "selectors"),
    *("socket", "threading", "time"),
}


def _imported(tree: ast.Module) -> set[str]:
    """The modules that a module imports."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name.partition(".")[0] for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").partition(".")[0])
    return found


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_touches_no_socket_thread_clock_or_random_source(module: str) -> None:
    tree = ast.parse((ROOT / f"{module}.py").read_text())
    assert not _imported(tree) & IMPURE
    chance = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "random"
    }
    assert chance <= {"Random"}, "the type of what is injected, and nothing else"
    assert "random" not in {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}


@pytest.mark.parametrize("module", PURE)
def test_a_pure_module_uses_pure_modules_only(module: str) -> None:
    own = {path.stem for path in ROOT.glob("*.py")}
    imported = _imported(ast.parse((ROOT / f"{module}.py").read_text()))
    assert imported & own <= set(PURE)
