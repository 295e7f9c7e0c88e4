"""The seconds of a reconnection, and the ticks while it lasts."""

from __future__ import annotations

import threading
from itertools import count

from tests.processes import WAIT_SECONDS, eventually
from udp_chat.app.reconnection import Reconnection

TICK_SECONDS = 0.001


def tickers() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "reconnection ticks"]


def test_the_seconds_count_up_with_a_tick_each_while_the_server_is_away() -> None:
    now, ticked = count(), threading.Event()
    seen: list[int | None] = []

    def tick() -> None:
        seen.append(reconnection.seconds)
        if len(seen) == 3:
            ticked.set()

    reconnection = Reconnection(tick, lambda: float(next(now)), TICK_SECONDS)
    assert (reconnection.seconds, tickers()) == (None, [])
    reconnection.begin()
    reconnection.begin()  # it has lasted since the first one
    assert ticked.wait(WAIT_SECONDS)
    assert seen[:3] == [1, 2, 3]
    assert len(tickers()) == 1
    reconnection.end()
    assert reconnection.seconds is None
    eventually(lambda: tickers() == [])


def test_a_second_reconnection_begins_anew() -> None:
    now = [10.0]
    reconnection = Reconnection(lambda: None, lambda: now[0])
    reconnection.begin()
    now[0] = 25.9
    assert reconnection.seconds == 15
    reconnection.end()
    reconnection.begin()
    now[0] = 27.0
    assert reconnection.seconds == 1
    reconnection.end()
