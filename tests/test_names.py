"""Names and texts: which names may be used, which are the same, and how a long line is cut."""

from __future__ import annotations

import unicodedata
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from names import NAME_CHARACTERS_MAX, UnusableName, check_name, name_key, numbered_name
from outbox import split_text
from protocol import NAME_BYTES_MAX

CHARACTERS = st.one_of(
    st.sampled_from("azAZ09 \t\0Жяё漢é\u0301\u202e\uffff🙂👩🏽"),
    st.characters(exclude_categories=["Cs"]),  # half a surrogate pair is not a character
)

# --- names -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name",
    ["A", "Анна", "李小龍", "O'Neil-2", "🙂", "Zoë", "Zoe\u0308", "x" * 32, "я" * 32, "🙂" * 16],
)
def test_a_usable_name_is_returned_as_it_is(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "rule"),
    [
        pytest.param("", "empty", id="nothing"),
        pytest.param("x" * 33, "too_long", id="33 characters"),
        pytest.param("漢" * 22, "too_long", id="66 bytes in 22 characters"),
        pytest.param("Anna B", "white_space", id="space"),
        pytest.param(" Anna", "white_space", id="space in front"),
        pytest.param("Anna\t", "white_space", id="tab"),
        pytest.param("Anna\n", "white_space", id="line feed"),
        pytest.param("An\u00a0na", "white_space", id="no-break space"),
        pytest.param("An\u3000na", "white_space", id="ideographic space"),
        pytest.param("An\u2028na", "white_space", id="line separator"),
        pytest.param("An\0na", "invisible", id="null"),
        pytest.param("An\x1b[2Jna", "invisible", id="escape"),
        pytest.param("An\x7fna", "invisible", id="delete"),
        pytest.param("An\x9bna", "invisible", id="C1 control"),
        pytest.param("An\u202ena", "invisible", id="right-to-left override"),
        pytest.param("An\u2066na", "invisible", id="left-to-right isolate"),
        pytest.param("An\u200bna", "invisible", id="zero-width space"),
        pytest.param("An\u200dna", "invisible", id="zero-width joiner"),
        pytest.param("An\u00adna", "invisible", id="soft hyphen"),
        pytest.param("An\ufeffna", "invisible", id="byte order mark"),
        pytest.param("An\ue000na", "invisible", id="private use"),
        pytest.param("An\ud800na", "invisible", id="half a surrogate pair"),
        pytest.param("An\uffffna", "invisible", id="not a character"),
        pytest.param("\u0301\u0308", "invisible", id="accents alone"),
    ],
)
def test_an_unusable_name_is_refused_by_its_rule(name: str, rule: str) -> None:
    with pytest.raises(UnusableName) as caught:
        check_name(name)
    assert caught.value.rule == rule
    assert str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anna", "ANNA"),
        ("Anna", "Ａｎｎａ"),
        ("Anna", "𝐀nna"),
        ("Анна", "АННА"),
        ("Straße", "STRASSE"),
        ("Zoë", "Zoe\u0308"),
        ("Finn", "ﬁnn"),
    ],
)
def test_names_that_look_the_same_have_one_key(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)


def test_different_names_have_different_keys() -> None:
    assert len({name_key(name) for name in ("Anna", "Anne", "Анна", "Anna-2", "Änna")}) == 5


@given(st.text(CHARACTERS, max_size=NAME_CHARACTERS_MAX))
@example("ǰ")  # its case folding is not normalized
def test_a_key_is_normalized(name: str) -> None:
    assert unicodedata.is_normalized("NFKC", name_key(name))


USABLE_NAMES = (
    st.text(st.characters(exclude_categories=["C", "Z"]), max_size=NAME_CHARACTERS_MAX)
    .map(lambda name: name.encode()[:NAME_BYTES_MAX].decode("utf-8", "ignore"))
    .filter(lambda name: any(unicodedata.category(character)[0] != "M" for character in name))
)


@given(USABLE_NAMES, st.integers(2, 10**9))
def test_a_numbered_name_is_usable(name: str, number: int) -> None:
    numbered = numbered_name(check_name(name), number)
    assert check_name(numbered) == numbered
    kept = numbered.removesuffix(f"-{number}")
    assert numbered != kept
    assert name.startswith(kept)


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("Anna", 2, "Anna-2"),
        ("x" * 32, 2, "x" * 30 + "-2"),
        ("x" * 30, 100, "x" * 28 + "-100"),
        ("🙂" * 16, 2, "🙂" * 15 + "-2"),
        ("я" * 32, 10, "я" * 29 + "-10"),
    ],
)
def test_a_numbered_name_keeps_what_fits(name: str, number: int, expected: str) -> None:
    assert numbered_name(name, number) == expected


# --- long lines ------------------------------------------------------------------------------


@given(st.text(CHARACTERS, max_size=200), st.integers(4, 60))
def test_the_parts_of_a_text_are_the_text(text: str, bytes_max: int) -> None:
    parts = split_text(text, bytes_max)
    assert "".join(parts) == text
    assert all(len(part.encode()) <= bytes_max for part in parts)
    assert all(parts) or parts == [""]


@given(st.text("abя \t", max_size=200), st.integers(4, 30))
def test_a_text_is_cut_after_white_space_where_there_is_any(text: str, bytes_max: int) -> None:
    *parts, _ = split_text(text, bytes_max)
    for part in parts:
        if not part.endswith((" ", "\t")):
            # A word longer than a part; at most the white space before it is here too.
            assert " " not in part[1:]
            assert "\t" not in part[1:]


@given(st.text("abя ", max_size=200), st.integers(4, 30))
def test_a_part_ends_only_where_the_next_word_does_not_fit(text: str, bytes_max: int) -> None:
    for part, following in pairwise(split_text(text, bytes_max)):
        word, space, _ = following.partition(" ")
        assert len((part + word + space).encode()) > bytes_max


@pytest.mark.parametrize(
    ("text", "bytes_max", "parts"),
    [
        pytest.param("", 8, [""], id="nothing"),
        pytest.param("12345678", 8, ["12345678"], id="just fits"),
        pytest.param("aaa bbb ccc", 8, ["aaa bbb ", "ccc"], id="after a space"),
        pytest.param("aaa\tbb bbbb", 9, ["aaa\tbb ", "bbbb"], id="after the last white space"),
        pytest.param("aa bb\tbbbb", 8, ["aa bb\t", "bbbb"], id="after a tab"),
        pytest.param("123456789", 8, ["12345678", "9"], id="within a word"),
        pytest.param("яяяяя", 5, ["яя", "яя", "я"], id="between Cyrillic letters"),
        pytest.param("🙂🙂🙂", 11, ["🙂🙂", "🙂"], id="between emoji"),
        pytest.param(" 12345678", 8, [" 1234567", "8"], id="not after the white space in front"),
        pytest.param("a\ud800b", 8, ["a?b"], id="half a surrogate pair cannot be sent"),
    ],
)
def test_a_long_text_is_cut(text: str, bytes_max: int, parts: list[str]) -> None:
    assert split_text(text, bytes_max) == parts


def test_a_line_is_split_at_the_limit_of_an_event() -> None:
    assert [len(part) for part in split_text("x" * 2000)] == [900, 900, 200]
