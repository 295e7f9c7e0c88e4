"""What of a text from the network reaches a terminal."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udp_chat.protocol.printable import printable


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("", ""),
        ("\x1b[31mred\x1b[0m", "[31mred[0m"),
        ("\x1b]0;title\x07", "]0;title"),
        ("\x9b31m\x85\x90C1", "31mC1"),
        ("\x7f\x00\b\x0e", ""),
        ("a\tb\nc\rd\u2028e\u2029f", "a b c d e f"),
        ("\u202aone\u202e \u2066two\u2069", "one two"),
        ("\u200e\u200f\u061c\ufeff\u00ad", ""),
        ("\ud800\ue000", ""),
    ],
)
def test_what_could_trick_a_terminal_is_taken_out(text: str, shown: str) -> None:
    assert printable(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "Привет, ёж! № 1 — «да»",
        "é \u0065\u0301 ñ",
        "日本語 עברית العربية",
        "👩\u200d🚀 ❤\ufe0f 👍🏽 🇷🇺",
        "می\u200cخواهم",
        "\U0001fadf",  # an emoji newer than some Pythons' tables
    ],
)
def test_what_people_write_stays(text: str) -> None:
    assert printable(text) == text


@given(st.text())
def test_nothing_that_is_shown_controls_anything(text: str) -> None:
    shown = printable(text)
    assert printable(shown) == shown
    bad = {c for c in shown if unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")}
    assert bad <= {"\u200c", "\u200d"}
