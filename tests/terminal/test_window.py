"""The window around the screen: its title."""

from __future__ import annotations

import pytest

from udp_chat.terminal.window import has_title, title_sequence


@pytest.mark.parametrize(
    ("term", "platform", "has"),
    [
        ("xterm-256color", "linux", True),
        ("tmux-256color", "linux", True),
        ("screen", "linux", True),
        ("vte-256color", "linux", True),
        ("", "win32", True),
        ("", "linux", False),
        ("dumb", "linux", False),
        ("linux", "linux", False),
        ("vt100", "linux", False),
    ],
)
def test_a_title_is_set_where_it_can_be(term: str, platform: str, has: bool) -> None:
    assert has_title({"TERM": term}, platform) == has
    assert has_title({}, "linux") is False


def test_no_title_ends_its_sequence_or_is_long() -> None:
    assert title_sequence("a\x07b\x1b\\\x9cc\u202e\nd") == "\x1b]2;ab\\c d\x07"
    assert title_sequence("花" * 100) == f"\x1b]2;{'花' * 29}…\x07"
