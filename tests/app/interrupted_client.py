"""Runs the client's command again and again, each time with Ctrl-C at another moment.

Python handles a signal when it enters a function and when a function of C has returned. So the
command is interrupted at the first such moment in its main thread, then at the second, and so on
until it gets through. If a run hangs, the last line on stderr says where it was interrupted.
"""

from __future__ import annotations

import itertools
import signal
import sys
import threading
from types import FrameType
from typing import Any

from udp_chat.app.client_command import INTERRUPTED, main


class CtrlC:
    """While entered, Ctrl-C comes at a moment of the main thread, counted from 0."""

    def __init__(self, moment: int) -> None:
        self._left = moment
        self.where = ""
        """Where it came; empty while it has not."""

    def __enter__(self) -> CtrlC:
        sys.setprofile(self._profile)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if event not in ("call", "c_return") or not is_ours(frame):
            return
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            return  # the command has not begun, or has ended
        self._left -= 1
        if self._left < 0:
            sys.setprofile(None)
            self.where = f"{event} in {frame.f_code.co_name}, line {frame.f_lineno}"
            print(self.where, file=sys.stderr, flush=True)
            signal.raise_signal(signal.SIGINT)


def is_ours(frame: FrameType) -> bool:
    """Whether code of the command runs, or what it locks with."""
    name: str = frame.f_globals.get("__name__", "")
    return name == "threading" or name.startswith("udp_chat.")


def interrupt_everywhere(server: str, first: int, step: int) -> None:
    """Interrupts the command at each `step`-th moment, from the `first` on."""
    before = {thread.name for thread in threading.enumerate()}
    for moment in itertools.count(first, step):
        with CtrlC(moment) as ctrl_c:
            code = main([server, "--name", "Anna", "--json"])
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.default_int_handler)  # as in a process of its own
        assert code in (0, INTERRUPTED), code
        left = {thread.name for thread in threading.enumerate()} - before
        assert left <= {"udp-chat output"}, left
        if not ctrl_c.where:
            return


if __name__ == "__main__":
    interrupt_everywhere(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
