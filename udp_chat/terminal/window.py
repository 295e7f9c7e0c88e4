"""The window around the screen: its title, and notifications on the desktop. Pure.

A title is set by xterm's control sequence. For notifications there are two, iTerm2's OSC 9 and
rxvt-unicode's OSC 777. The environment tells which one a terminal knows, if any.
"""

from __future__ import annotations

from collections.abc import Mapping

from udp_chat.terminal.cells import clean, shortened

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

OSC_9, OSC_777 = "9", "777"

NOTIFYING_PROGRAMS = {
    "iTerm.app": OSC_9,
    "WarpTerminal": OSC_9,
    "WezTerm": OSC_777,
    "ghostty": OSC_777,
}
"""By TERM_PROGRAM."""

NOTIFYING_TERMS = {
    "contour": OSC_777,
    "foot": OSC_777,
    "rxvt-unicode": OSC_777,
    "xterm-ghostty": OSC_777,
    "xterm-kitty": OSC_9,
}
"""By how TERM begins."""

NOTIFYING_VARIABLES = {
    "KITTY_WINDOW_ID": OSC_9,
    "ITERM_SESSION_ID": OSC_9,
    "WEZTERM_PANE": OSC_777,
    "GHOSTTY_RESOURCES_DIR": OSC_777,
    "VTE_VERSION": OSC_777,
}
"""By a variable of their own, which programs inside tmux have too. Not every VTE shows OSC 777; the
others ignore it."""

NOTIFICATION_CELLS_MAX = 100

KEEP_TITLE, RETURN_TITLE = "\x1b[22;0t", "\x1b]2;\x07\x1b[23;0t"
"""Puts the title by, and takes it back. A terminal that puts nothing by has none at the end."""


def has_title(variables: Mapping[str, str], platform: str) -> bool:
    """Whether the window's title can be set, as far as the environment tells."""
    return platform == "win32" or variables.get("TERM", "").startswith(TITLED)


def title_sequence(title: str) -> str:
    """Sets the title. No text in it can end the sequence."""
    return f"\x1b]2;{shortened(clean(title), TITLE_CELLS_MAX)}\x07"


def notification_form(variables: Mapping[str, str]) -> str:
    """Which sequence shows a notification; empty if the terminal is not known to have one."""
    if "STY" in variables:
        return ""  # GNU screen passes none on
    if "TMUX" not in variables:  # in tmux these two name tmux
        if form := NOTIFYING_PROGRAMS.get(variables.get("TERM_PROGRAM", "")):
            return form
        for beginning, form in NOTIFYING_TERMS.items():
            if variables.get("TERM", "").startswith(beginning):
                return form
    if variables.get("LC_TERMINAL") == "iTerm2":  # which iTerm2 sends along with ssh
        return OSC_9
    return next((form for name, form in NOTIFYING_VARIABLES.items() if name in variables), "")


def notification_sequence(title: str, text: str, variables: Mapping[str, str]) -> str:
    """Shows a notification; empty if the terminal is not known to show any.

    tmux passes it on if its option `allow-passthrough` is on; else it drops it.
    """
    form = notification_form(variables)
    if not form:
        return ""
    text = shortened(clean(text), NOTIFICATION_CELLS_MAX)
    if form == OSC_777:  # its fields end at a semicolon
        title = shortened(clean(title), TITLE_CELLS_MAX).replace(";", ",")
        text = f"notify;{title};{text.replace(';', ',')}"
    sequence = f"\x1b]{form};{text}\x07"
    if "TMUX" in variables:
        return "\x1bPtmux;" + sequence.replace("\x1b", "\x1b\x1b") + "\x1b\\"
    return sequence
