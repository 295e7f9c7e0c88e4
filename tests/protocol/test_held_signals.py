"""Ctrl-C waits while the main thread holds a lock, and is not lost."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

import pytest

from tests.processes import WAIT_SECONDS
from udp_chat.protocol.held_signals import HELD_SIGNALS, wait_for


@pytest.fixture(autouse=True)
def ctrl_c_raises() -> Iterator[None]:
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    signal.signal(signal.SIGINT, previous)


def hold_while_it_comes(times: int, done: list[str]) -> None:
    with HELD_SIGNALS:
        for _ in range(times):
            signal.raise_signal(signal.SIGINT)
        with HELD_SIGNALS:
            done.append("held within")
        done.append("held still")


@pytest.mark.parametrize("times", [1, 2])
def test_a_signal_that_comes_meanwhile_is_handled_at_the_end(times: int) -> None:
    done: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        hold_while_it_comes(times, done)
    assert done == ["held within", "held still"]


def test_a_signal_that_comes_meanwhile_is_handled_by_a_check() -> None:
    with HELD_SIGNALS:
        HELD_SIGNALS.check()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            HELD_SIGNALS.check()
        HELD_SIGNALS.check()


def test_a_signal_between_two_that_are_to_be_held_leaves_both_as_they_were() -> None:
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)

    def profile(frame: FrameType, event: str, _: object) -> None:
        handled = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if event == "call" and not handled and frame.f_code.co_name == "signal":
            sys.setprofile(None)
            signal.raise_signal(signal.SIGTERM)

    try:
        sys.setprofile(profile)
        with pytest.raises(KeyboardInterrupt):
            HELD_SIGNALS.__enter__()
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        sys.setprofile(None)
        signal.signal(signal.SIGTERM, previous)


def test_another_thread_holds_nothing() -> None:
    handlers = []

    def hold() -> None:
        with HELD_SIGNALS:
            HELD_SIGNALS.check()
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=hold)
    thread.start()
    thread.join()
    assert handlers == [signal.default_int_handler]


class Interrupted(threading.Event):
    """An event that is waited for just when Ctrl-C comes."""

    def wait(self, timeout: float | None = None) -> bool:
        signal.raise_signal(signal.SIGINT)
        return super().wait(timeout)


def test_a_signal_ends_the_wait_for_an_event_and_leaves_its_lock_free() -> None:
    event = Interrupted()
    with pytest.raises(KeyboardInterrupt):
        wait_for(event)
    setter = threading.Thread(target=event.set)
    setter.start()
    setter.join(WAIT_SECONDS)
    assert event.is_set()
