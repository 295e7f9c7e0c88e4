"""A message becomes rows: whole words, in every script, and nothing of it at the left edge."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udp_chat.terminal.cells import clean, width
from udp_chat.terminal.style import Part, Span
from udp_chat.terminal.wrapping import joined_parts, wrapped

FAMILY = "👩\u200d👩\u200d👧"


def rows(text: str, cells_max: int) -> list[str]:
    return ["".join(span.text for span in row) for row in wrapped([text], cells_max)]


@pytest.mark.parametrize(
    ("text", "cells_max", "wanted"),
    [
        ("", 12, [""]),
        ("Anna: short", 12, ["Anna: short"]),
        ("Anna: exactly", 13, ["Anna: exactly"]),
        ("Anna: words stay whole", 12, ["Anna: words", "  stay whole"]),
        ("Аня: слова остаются целыми", 12, ["Аня: слова", "  остаются", "  целыми"]),
        ("x: two   blanks   in it", 12, ["x: two", "  blanks", "  in it"]),
        ("ab   cd   ef gh", 12, ["ab   cd   ef", "  gh"]),
        ("a: wordthatisfartoolong end", 12, ["a:", "  wordthatis", "  fartoolong", "  end"]),
        ("    indented code stays", 15, ["    indented", "  code stays"]),
        ("花子: 世界你好，今天喝茶", 13, ["花子: 世界你", "  好，今天喝", "  茶"]),
        ("a: 「世界」「你好」吧", 13, ["a: 「世界」", "  「你好」吧"]),
        (f"a: {FAMILY}{FAMILY}{FAMILY}", 14, [f"a: {FAMILY}", f"  {FAMILY}{FAMILY}"]),
        ("a: cafe\u0301 cafe\u0301 x", 11, ["a: cafe\u0301", "  cafe\u0301 x"]),
        ("narrow words", 6, ["narrow", "words"]),
        ("花子", 1, ["花", "子"]),
    ],
)
def test_words_stay_whole(text: str, cells_max: int, wanted: list[str]) -> None:
    assert rows(text, cells_max) == wanted


texts = st.text(st.sampled_from("ab c.дя 花、」 🎉\u200d\u0301👍🏽ש"), max_size=80)


@given(texts, st.integers(2, 40))
def test_no_row_is_too_wide_none_but_the_first_is_at_the_edge_and_nothing_is_lost(
    text: str, cells_max: int
) -> None:
    shown = rows(text, cells_max)
    assert "".join(shown).replace(" ", "") == clean(text).replace(" ", "")
    for row in shown:
        family = "\u200d" in row or "\U0001f3fd" in row  # one shape that may be wider than all
        assert width(row) <= cells_max or family
    if cells_max >= 10:
        assert all(row.startswith("  ") for row in shown[1:])


def test_a_style_outlives_the_end_of_a_row() -> None:
    parts: list[Part] = [Span("Anna", "31"), ": one ", Span("two three", "1")]
    assert wrapped(parts, 11) == [
        [Span("Anna", "31"), Span(": one", "")],
        [Span("  "), Span("two three", "1")],
    ]


@pytest.mark.parametrize(
    ("cells_max", "wanted"),
    [
        (80, "чат · 5 members · 花子 · 10.0.0.7"),
        (33, "чат · 5 members · 花子 · 10.0.0.7"),
        (32, "чат · 5 members · 花子"),
        (21, "чат · 5 members"),
        (14, "чат"),
        (2, "чат"),
    ],
)
def test_what_matters_least_is_left_out_of_a_narrow_status(cells_max: int, wanted: str) -> None:
    assert joined_parts(["чат", "5 members", "花子", "10.0.0.7"], cells_max) == wanted
