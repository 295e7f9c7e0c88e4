"""The standard streams of a command: odd characters, closed streams, a reader who has gone."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from pathlib import Path

import pytest

from tests.processes import WAIT_SECONDS, eventually
from udp_chat.app.standard_streams import (
    LineFile,
    complain,
    discard_output,
    forgive_characters,
    letting_go_of_output,
)


def test_characters_that_cannot_be_read_or_shown_are_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"a\xffb\n"), encoding="utf-8"))
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    forgive_characters()
    assert sys.stdin.readline() == "a\ufffdb\n"
    print("привет \ud800", flush=True)
    assert written.getvalue().decode() == "привет ?\n"


def test_streams_that_are_closed_stay_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdin", "stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    forgive_characters()
    assert (sys.stdin, sys.stdout, sys.stderr) == (None, None, None)


def test_what_nobody_reads_goes_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", sys.stdout)  # put back afterwards
    discard_output()
    with sys.stdout:
        print("nobody reads this", flush=True)
    monkeypatch.undo()
    assert capsys.readouterr().out == ""


def test_a_complaint_goes_to_stderr_or_nowhere(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    complain("it rains")
    assert capsys.readouterr() == ("", "it rains\n")
    monkeypatch.setattr(sys, "stderr", None)
    complain("nobody hears this")
    monkeypatch.undo()
    assert capsys.readouterr() == ("", "")


class FullDisk(io.StringIO):
    """A file that fails in one of its calls, as it does where there is no room."""

    def __init__(self, call: str) -> None:
        super().__init__()
        self._call = call

    def _fail(self, call: str) -> None:
        if call == self._call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def write(self, text: str) -> int:
        self._fail("write")
        return super().write(text)

    def flush(self) -> None:
        self._fail("flush")

    def close(self) -> None:
        super().close()
        self._fail("close")


@pytest.mark.parametrize("call", ["write", "flush", "close"])
def test_a_file_that_takes_no_more_is_told_of_once_whenever_it_says_so(
    monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    monkeypatch.setattr(Path, "open", lambda *_, **__: FullDisk(call))
    told: list[tuple[str, str]] = []
    with LineFile("notes", lambda name, reason: told.append((name, reason))) as file:
        file.write_line("one")
        file.write_line("two")
    file.close()
    file.write_line("too late")
    assert told == [("notes", "No space left on device")]


def test_lines_are_appended_and_can_be_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "notes"
    path.write_text("before\n")
    with LineFile(str(path), lambda name, reason: pytest.fail(reason)) as file:
        file.write_line("строка")
        assert path.read_text("utf-8") == "before\nстрока\n"


@pytest.mark.skipif(os.name != "posix", reason="a full pipe can be seen on POSIX alone")
def test_a_reader_that_takes_its_time_keeps_its_output_unless_it_is_urgent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    looks: list[bool] = []
    looked_often, urgent = threading.Event(), threading.Event()

    def is_urgent() -> bool:
        looks.append(urgent.is_set())
        if len(looks) > 9:
            looked_often.set()
        return urgent.is_set()

    receiver, sender = os.pipe()
    os.set_blocking(sender, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(sender, b"x")
    previous = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with os.fdopen(receiver), os.fdopen(sender, "w") as unread:
            monkeypatch.setattr(sys, "stdout", unread)
            pipe = os.fstat(sender)
            with letting_go_of_output(is_urgent, stuck_seconds=0.0, look_seconds=0.001):
                assert looked_often.wait(WAIT_SECONDS)
                assert os.path.samestat(os.fstat(sender), pipe)
                urgent.set()
                eventually(lambda: os.path.samestat(os.fstat(sender), Path(os.devnull).stat()))
            monkeypatch.undo()
    finally:
        signal.signal(signal.SIGTERM, previous)
