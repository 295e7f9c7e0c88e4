"""The window around the screen: its title, notifications on the desktop."""

from __future__ import annotations

import pytest

from udp_chat.terminal.window import (
    has_title,
    notification_form,
    notification_sequence,
    title_sequence,
)


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


@pytest.mark.parametrize(
    ("variables", "form"),
    [
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "9"),
        ({"TERM": "xterm-256color", "LC_TERMINAL": "iTerm2"}, "9"),
        ({"TERM": "xterm-kitty"}, "9"),
        ({"TERM": "xterm-ghostty"}, "777"),
        ({"TERM": "foot-extra"}, "777"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "WezTerm"}, "777"),
        ({"TERM": "xterm-256color", "VTE_VERSION": "7600"}, "777"),
        ({"TERM": "xterm-256color"}, ""),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "Apple_Terminal"}, ""),
        ({"TERM": "tmux-256color", "TERM_PROGRAM": "tmux", "TMUX": "x"}, ""),
        ({"TERM": "tmux-256color", "TMUX": "x", "KITTY_WINDOW_ID": "1"}, "9"),
        ({"TERM": "screen", "STY": "x", "KITTY_WINDOW_ID": "1"}, ""),
        ({}, ""),
    ],
)
def test_the_environment_tells_how_a_terminal_notifies(
    variables: dict[str, str], form: str
) -> None:
    assert notification_form(variables) == form


def test_a_notification_is_short_and_nothing_in_it_ends_its_sequence() -> None:
    foot, kitty = {"TERM": "foot"}, {"TERM": "xterm-kitty"}
    hostile = "a\x07b\x1b\\\x9c;c"
    assert notification_sequence("r;m\x07", hostile, foot) == "\x1b]777;notify;r,m;ab\\,c\x07"
    assert notification_sequence("room", hostile, kitty) == "\x1b]9;ab\\;c\x07"
    assert notification_sequence("", "x" * 200, kitty) == f"\x1b]9;{'x' * 99}…\x07"
    assert notification_sequence("room", "text", {"TERM": "xterm"}) == ""


def test_in_tmux_a_notification_is_passed_through() -> None:
    variables = {"TMUX": "x", "WEZTERM_PANE": "0"}
    shown = "\x1bPtmux;\x1b\x1b]777;notify;room;text\x07\x1b\\"
    assert notification_sequence("room", "text", variables) == shown
