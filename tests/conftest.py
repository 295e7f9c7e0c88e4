"""Every test ends what it starts.

A thread, a child process or a socket that outlives its test fails that test, not a later one.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

from udp_chat.server.udp_server import UdpServer

GRACE_SECONDS = 20.0
"""How long a thread or a process may take to end on a busy machine."""

hypothesis.settings.register_profile(
    "quick", hypothesis.settings.get_profile("ci"), max_examples=25
)
"""For ``make test``: the same examples each time, a quarter of them. Plain `pytest` tries all."""

PROC = Path("/proc")


def pytest_configure() -> None:
    """Hears interrupts even where a shell started the tests in the background, with `&`.

    Otherwise the programs under test inherit that SIGINT is ignored, and never hear Ctrl-C.
    """
    is_ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if is_ignored and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.default_int_handler)


def child_processes() -> set[str]:
    """Children of this process, zombies too; empty where the kernel does not list them."""
    children: set[str] = set()
    for listing in PROC.glob("self/task/*/children"):  # each thread has those that it started
        with contextlib.suppress(OSError):  # the thread has just ended; another has its children
            children.update(listing.read_text().split())
    return children


def open_sockets() -> set[str]:
    """The sockets that this process has open; empty on a system without /proc."""
    sockets = set()
    for entry in (PROC / "self" / "fd").glob("*"):
        try:
            target = str(entry.readlink())
        except OSError:  # closed since: the descriptor that read the folder
            continue
        if target.startswith("socket:"):
            sockets.add(target)
    return sockets


def threads() -> set[threading.Thread]:
    """The threads of this process that run."""
    return set(threading.enumerate())


@pytest.fixture(autouse=True)
def _leaves_nothing_behind() -> Iterator[None]:
    looks: list[tuple[str, Callable[[], set[object]]]] = [
        ("threads", lambda: set(threads())),
        ("child processes", lambda: set(child_processes())),
        ("sockets", lambda: set(open_sockets())),
    ]
    before = {what: look() for what, look in looks}
    yield
    until = time.monotonic() + GRACE_SECONDS
    for what, look in looks:
        left = look() - before[what]
        while left and time.monotonic() < until:
            gc.collect()  # closes a socket that only a cycle of references still holds
            time.sleep(0.01)
            left = look() - before[what]
        if left:
            pytest.fail(f"the test left {what} behind: {sorted(map(str, left))}")


@pytest.fixture
def server() -> Iterator[UdpServer]:
    """A server in this process. Tests of whole processes have one of their own."""
    with UdpServer("127.0.0.1", 0) as server:
        yield server
