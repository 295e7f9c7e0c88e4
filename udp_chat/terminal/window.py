"""The window around the screen: its title, as xterm's control sequences set it. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from udp_chat.terminal.editor import clean, shortened

TITLE_CELLS_MAX = 60

TITLED = (
    "alacritty",
    "contour",
    "foot",
    "ghostty",
    "gnome",
    "konsole",
    "mlterm",
    "putty",
    "rxvt",
    "screen",
    "st-",
    "tmux",
    "vte",
    "wezterm",
    "xterm",
)
"""How TERM begins where a title can be set. Other terminals may show the title as text."""

KEEP_TITLE, RETURN_TITLE = "\x1b[22;0t", "\x1b]2;\x07\x1b[23;0t"
"""Puts the title by, and takes it back. A terminal that puts nothing by has none at the end."""


def has_title(variables: Mapping[str, str], platform: str) -> bool:
    """Whether the window's title can be set, as far as the environment tells."""
    return platform == "win32" or variables.get("TERM", "").startswith(TITLED)


def title_sequence(title: str) -> str:
    """Sets the title. No text in it can end the sequence."""
    return f"\x1b]2;{shortened(clean(title), TITLE_CELLS_MAX)}\x07"
