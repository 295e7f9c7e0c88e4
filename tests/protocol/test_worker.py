"""One life cycle for all that has threads and sockets: what `start` and `close` promise."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from tests.conftest import threads
from tests.processes import WAIT_SECONDS
from udp_chat.protocol.worker import Service, Worker


class TwoThreads(Worker):
    """Two threads that wait for the end. `calls` tells what was done, in order."""

    def __init__(self, work: Callable[[], None] = lambda: None) -> None:
        self.calls: list[str] = []
        self.ended = threading.Event()
        self.work = work

        def wait() -> None:
            self.work()
            assert self.ended.wait(WAIT_SECONDS)

        super().__init__({"first": wait, "second": wait})

    def _ask_to_end(self) -> None:
        self.calls.append("asked to end")
        self.ended.set()

    def _free(self) -> None:
        self.calls.append(f"freed beside {self.others()} threads")

    def others(self) -> int:
        """Threads of this worker that run, but for the caller's."""
        mine = {t for t in threads() if t.name in ("first", "second")}
        return len(mine - {threading.current_thread()})


def test_what_threads_use_is_freed_once_all_of_them_have_ended() -> None:
    with TwoThreads() as worker:
        assert worker.others() == 2
    assert worker.calls == ["asked to end", "freed beside 0 threads"]


def test_to_close_again_does_nothing() -> None:
    worker = TwoThreads()
    worker.start()
    for _ in range(3):
        worker.close()
    assert worker.calls == ["asked to end", "freed beside 0 threads"]


def test_what_was_never_started_can_be_closed() -> None:
    worker = TwoThreads()
    worker.close()
    assert worker.calls == ["asked to end", "freed beside 0 threads"]


class FailsToBegin(TwoThreads):
    def _begin(self) -> None:
        super()._begin()
        raise KeyboardInterrupt


def test_a_start_that_is_interrupted_leaves_no_thread() -> None:
    worker = FailsToBegin()
    with pytest.raises(KeyboardInterrupt):
        worker.start()
    assert worker.others() == 0
    assert worker.calls == ["asked to end", "freed beside 0 threads"]


def test_a_thread_of_its_own_may_close_and_does_not_wait_for_itself() -> None:
    closed = threading.Event()

    def close() -> None:
        if threading.current_thread().name == "first":
            worker.close()
            closed.set()

    worker = TwoThreads(close)
    worker.start()
    assert closed.wait(WAIT_SECONDS)
    worker.close()
    assert worker.calls == ["asked to end", "freed beside 0 threads"]


def test_a_thread_of_its_own_does_not_wait_for_another_that_closes() -> None:
    """That one waits for it: both would wait for ever."""
    is_closing = threading.Event()

    class Tells(TwoThreads):
        def _ask_to_end(self) -> None:
            super()._ask_to_end()
            is_closing.set()

    def close() -> None:
        assert is_closing.wait(WAIT_SECONDS)
        worker.close()

    worker = Tells(close)
    worker.start()
    worker.close()
    assert worker.calls == ["asked to end", "freed beside 0 threads"]


def test_many_threads_may_close_at_once_and_none_returns_before_it_is_done() -> None:
    worker = TwoThreads()
    worker.start()
    barrier = threading.Barrier(8)
    freed: list[bool] = []

    def close() -> None:
        barrier.wait()
        worker.close()
        freed.append(len(worker.calls) == 2)

    closers = [threading.Thread(target=close) for _ in range(8)]
    for thread in closers:
        thread.start()
    for thread in closers:
        thread.join(WAIT_SECONDS)
    assert freed == [True] * 8
    assert worker.calls == ["asked to end", "freed beside 0 threads"]


class Bell(Service):
    """Serves until it is woken."""

    def __init__(self, work: Callable[[], None] = lambda: None) -> None:
        super().__init__("bell")
        self.calls: list[str] = []
        self.woken = threading.Event()
        self.is_serving = threading.Event()
        self.work = work

    def _serve(self) -> None:
        self.is_serving.set()
        self.work()
        assert self.woken.wait(WAIT_SECONDS)
        assert self.is_stopping
        self.calls.append("served")

    def _wake(self) -> None:
        self.woken.set()

    def _close_sockets(self) -> None:
        self.calls.append("closed")


def test_a_service_works_in_a_thread_of_its_own_and_is_freed_after_that() -> None:
    with Bell() as bell:
        assert bell.is_serving.wait(WAIT_SECONDS)
    assert bell.calls == ["served", "closed"]


def test_a_service_works_in_the_callers_thread_and_is_freed_after_that() -> None:
    bell = Bell()
    thread = threading.Thread(target=bell.serve)
    thread.start()
    assert bell.is_serving.wait(WAIT_SECONDS)
    bell.close()
    assert bell.calls == ["served", "closed"]
    thread.join(WAIT_SECONDS)


def test_a_service_that_was_stopped_before_it_served_does_not_serve() -> None:
    bell = Bell()
    bell.stop()
    bell.serve()
    bell.close()
    assert bell.calls == ["closed"]


def test_a_service_may_be_closed_within_its_own_work_as_a_signal_handler_does() -> None:
    bell = Bell(lambda: bell.close())
    bell.serve()
    assert bell.calls == ["closed", "served"]


def test_a_close_within_a_close_as_of_a_signal_handler_does_not_hang() -> None:
    class ClosesTwice(TwoThreads):
        def _ask_to_end(self) -> None:
            super()._ask_to_end()
            if len(self.calls) == 1:
                self.close()

    worker = ClosesTwice()
    worker.start()
    worker.close()
    assert worker.calls.count("freed beside 0 threads") >= 1
    assert worker.others() == 0
