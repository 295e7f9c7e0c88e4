"""The benchmark of the client at a terminal: that it measures one that draws."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")

from benchmarks.screen import measure


def test_a_client_that_draws_each_message_is_measured() -> None:
    sentence = measure(100.0, seconds=0.5, warm_up_seconds=1.0)
    found = re.fullmatch(
        r"100 messages a second: (\d+\.\d)% of a core, (\d+) drawings a second", sentence
    )
    assert found, sentence
    assert 0.0 < float(found[1]) <= 100.0
    assert int(found[2]) > 0
