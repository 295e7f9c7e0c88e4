"""The plan of the house: which folder may use which, and which modules touch no socket or clock.

The arrows go one way: app puts together what stands on protocol, and nothing goes in a circle.
"""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent

ARROWS = {
    "": {"app", "client", "protocol", "server"},  # udp_chat/__init__.py, and each __main__.py
    "app": {"client", "discovery", "hosting", "protocol", "server", "terminal", ""},
    "client": {"protocol"},
    "discovery": {"protocol"},
    # The server's loop drives the Beacon, so that a room needs no second thread to be found.
    "server": {"discovery", "protocol"},
    # A host is a member, too: its machine has a client and a server, and looks for other parts.
    "hosting": {"client", "discovery", "protocol", "server"},
    "terminal": {"protocol"},
    "protocol": set(),
    "compare": set(),  # compare/figures.py
    "compare.__main__": {"app", "compare", "compare.experiments", "compare.report", "compare.wire"},
    "compare.report": {"compare", "compare.experiments", "compare.wire", "protocol"},
    "compare.experiments": {"benchmarks", "compare", "compare.chats", "compare.wire", "protocol"},
    "compare.chats": {"app", "client", "protocol", "server"},
    "compare.steps": set(),  # each step stands alone
    "compare.dissector": {"client", "discovery", "hosting", "protocol", "server"},
    "compare.wire": set(),
    # It loads the chats of the laboratory, too, and puts them on its wire. Only the experiment of
    # the same name uses it.
    "benchmarks": {"client", "compare", "compare.chats", "compare.wire", "protocol", "server"},
}
"""Which folder may import from which others."""

FOR_ALL = {"udp_chat.version"}
"""Any folder may use it: it holds a number and imports nothing."""

PURE = {
    *(f"protocol.{name}" for name in ("answers", "delivery", "names", "packets", "printable")),
    *(f"protocol.{name}" for name in ("framing", "lineage", "wire")),
    *("server.congestion", "server.state", "server.history", "server.presence"),
    *(f"server.{name}" for name in ("apart", "continuity", "derived", "fetching", "succession")),
    *(f"server.{name}" for name in ("cookies", "floor", "history", "hosts", "kept", "member")),
    *(f"server.{name}" for name in ("memory", "register")),
    *(f"server.{name}" for name in ("relay", "room", "scribe", "settings", "survey")),
    *(f"client.{name}" for name in ("acknowledging", "chat_events", "joining", "liveness")),
    *(f"client.{name}" for name in ("leaving", "outbox", "own_link", "postbag", "roster")),
    *(f"client.{name}" for name in ("session", "states", "streams", "transcript")),
    *(f"client.{name}" for name in ("reader", "replica", "whereabouts")),
    *("hosting.gathering", "hosting.room_host"),
}
"""The machines: they get the time as an argument and return the datagrams to send."""

PURE_ALSO_USES = {"protocol.addresses"}
"""It asks the system for addresses; the machines take its `format_address` only."""

IMPURE = {
    *("asyncio", "datetime", "os", "secrets", "select", "selectors"),
    *("socket", "threading", "time"),
}


def imported(path: Path) -> set[str]:
    """The modules that a file imports anywhere, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are written in full"
            assert node.module is not None
            found.add(node.module)
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def modules() -> dict[str, Path]:
    """All modules of the project but the tests, by their dotted names."""
    found = {}
    for path in [*ROOT.glob("*.py"), *(p for f in SOURCES for p in (ROOT / f).rglob("*.py"))]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


SOURCES = ("udp_chat", "compare", "benchmarks")
MODULES = modules()
GRAPH = {name: (imported(path) & MODULES.keys()) - {name} for name, path in MODULES.items()}


def folder(module: str) -> str:
    """The folder that a module belongs to, as the plan names it."""
    parts = module.split(".")
    if parts[0] == "udp_chat" and parts[-1] == "__main__":
        return ""  # a command, wherever its name puts it
    if parts[0] == "compare" and len(parts) > 1:
        deeper = (ROOT / "compare" / parts[1]).is_dir() or parts[1] == "__main__"
        return f"compare.{parts[1]}" if deeper else "compare"
    if parts[0] != "udp_chat":
        return parts[0] if len(parts) > 1 or parts[0] in SOURCES else ""
    return parts[1] if (ROOT / "udp_chat" / "/".join(parts[1:2])).is_dir() and parts[1:] else ""


def test_no_imports_go_in_a_circle() -> None:
    try:
        order = list(TopologicalSorter(GRAPH).static_order())
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert len(order) == len(MODULES) > 50


@pytest.mark.parametrize("module", sorted(MODULES))
def test_a_module_uses_what_the_plan_allows(module: str) -> None:
    here = folder(module)
    wrong = {
        used
        for used in GRAPH[module] - FOR_ALL
        if folder(used) != here and folder(used) not in ARROWS[here]
    }
    assert wrong == set()


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_module_touches_no_socket_thread_clock_or_random_source(module: str) -> None:
    path = MODULES[f"udp_chat.{module}"]
    assert not {name.partition(".")[0] for name in imported(path)} & IMPURE
    tree = ast.parse(path.read_text(encoding="utf-8"))
    chance = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "random"
    }
    assert chance <= {"Random"}, "the type of what is injected, and nothing else"
    assert "random" not in {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}


@pytest.mark.parametrize("module", sorted(PURE))
def test_a_pure_module_uses_pure_modules_only(module: str) -> None:
    own = {name.removeprefix("udp_chat.") for name in GRAPH[f"udp_chat.{module}"]}
    packages = {name for name in own if MODULES[f"udp_chat.{name}"].name == "__init__.py"}
    assert own - packages <= PURE | PURE_ALSO_USES


def test_the_core_needs_the_standard_library_alone() -> None:
    for name, path in MODULES.items():
        if name.startswith("udp_chat"):
            foreign = {
                used.partition(".")[0]
                for used in imported(path)
                if used.partition(".")[0] not in {"udp_chat", *sys.stdlib_module_names}
            }
            assert foreign <= {"typing_extensions"}, f"{name}: for the type checker alone"
