"""The standard streams of a command: odd characters, closed streams, a reader who has gone."""

from __future__ import annotations

import io
import sys

import pytest

from streams import discard_output, forgive_characters


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
