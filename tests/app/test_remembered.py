"""What the client remembers of a conversation, and how /search finds it."""

from __future__ import annotations

import pytest

from udp_chat.app.remembered import Remembered, Said


def remembered(*texts: str, lines_max: int = 100) -> Remembered:
    lines = Remembered(lines_max)
    for number, text in enumerate(texts):
        lines.add(f"(earlier) {text}", Said(text, float(number)))
    return lines


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("lunch", ["Anna: Lunch at six", "Boris: no lunch"]),
        ("LUNCH no", ["Boris: no lunch"]),
        ("anna lunch", ["Anna: Lunch at six"]),
        ("обед", ["Анна: Обеденный перерыв"]),
        ("STRASSE", ["Boris: die Straße"]),
        ("caf\u00e9", ["Anna: cafe\u0301"]),
        ("ｃａｆｅ\u0301", ["Anna: cafe\u0301"]),
        ("東京", ["田中: 東京へ行く"]),
        ("don\u2019t", ["Clara: don't"]),
        ("🎉", ["Clara: 🎉"]),
        ("earlier", []),
        ("nothing", []),
    ],
)
def test_a_search_finds_words_in_any_script_newest_last(words: str, found: list[str]) -> None:
    lines = remembered(
        "Anna: Lunch at six",
        "Boris: no lunch",
        "Анна: Обеденный перерыв",
        "Boris: die Straße",
        "Anna: cafe\u0301",
        "田中: 東京へ行く",
        "Clara: don't",
        "Clara: 🎉",
    )
    lines.add("Lunch joined")
    said, count = lines.search(words, 10)
    assert [one.text for one in said] == found
    assert count == len(found)


def test_a_search_shows_the_newest_and_counts_all() -> None:
    lines = remembered(*(f"Anna: word {number}" for number in range(30)))
    said, count = lines.search("word", 3)
    assert [one.text for one in said] == [f"Anna: word {number}" for number in (27, 28, 29)]
    assert count == 30


def test_the_oldest_line_is_forgotten_first() -> None:
    lines = remembered("one", "two", "three", lines_max=2)
    assert lines.newest() == ["(earlier) two", "(earlier) three"]
    assert lines.newest(1) == ["(earlier) three"]
    assert lines.newest(0) == []
    assert lines.search("one", 5) == ([], 0)


def test_ten_thousand_lines_are_remembered() -> None:
    lines = Remembered()
    for number in range(10_001):
        lines.add(str(number))
    assert len(lines.newest()) == 10_000
