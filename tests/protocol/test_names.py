"""Names and texts: which names may be used, which are the same, and how a long line is cut."""

from __future__ import annotations

import sys
import unicodedata
from itertools import chain, pairwise

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from udp_chat.client.outbox import split_text
from udp_chat.protocol import names
from udp_chat.protocol.names import (
    NAME_CHARACTERS_MAX,
    RULES,
    UnusableName,
    check_name,
    check_recipient,
    check_wanted_name,
    name_fold,
    name_key,
    nearest_name,
    numbered_name,
)
from udp_chat.protocol.packets import NAME_BYTES_MAX
from udp_chat.protocol.printable import printable

CHARACTERS = st.one_of(
    st.sampled_from("azAZ09 \t\0Жяё漢é\u0301\u202e\uffff🙂👩🏽"),
    st.characters(exclude_categories=["Cs"]),  # half a surrogate pair is not a character
)

# --- which names may be used -----------------------------------------------------------------

USABLE = [
    *("A", "7", "007", "Anna", "Anna-2", "anna_lee", "anna.lee", "Anna.", "x" * 32, "я" * 32),
    *("Zoë", "Zoe\u0308", "Łukasz", "Yıldız", "Işıl", "Đặng", "Ƙaura", "Ɛsi", "Əli", "Straße"),
    *("Nguyễn", unicodedata.normalize("NFD", "Nguyễn"), "O'Brien", "O’Brien", "D'Angelo-2"),
    *("Анна", "Сергей2", "Дем’ян", "Дем\u02bcян", "Ѓорѓи", "Әлия", "Ґалаґан", "Νίκος", "Ἀθηνᾶ"),
    *("Աննա", "ნინო", "אבי", "ג'ון", "दि'कु", "שָׁלוֹם", "محمد", "محمّد", "علی", "محمد٢", "ۋ۲"),
    *("अनिल", "क़ासिम", "राम२", "অনিল", "ਅਨਿਲ", "અનિલ", "ଅନିଲ", "அனில்", "అనిల్", "ಅನಿಲ್"),
    *("അനിൽ", "අනිල්", "สมชาย", "น้ำ", "เอก๙", "ສົມຊາຍ", "ໜູ", "བསྟན་འཛིན", "မြို့", "မြှို့", "မျှော်"),
    *("သန္တာ", "ភក្ត្រា", "አበበ", "ޢަލީ"),
    *("田中", "佐々木", "𠮷野", "李小龍", "たなか", "らーめん", "ジョン", "か\u309aこ"),
    *("김민수", unicodedata.normalize("NFD", "김민수"), "ㄅㄆㄇ"),
    *("DJ田中", "Anna花子はなこハナ", "김Anna金", "Anna王ㄨㄤ"),
]


@pytest.mark.parametrize("name", USABLE)
def test_a_usable_name_is_returned_as_it_is(name: str) -> None:
    assert check_name(name) == name
    assert check_wanted_name(name) == name
    assert check_recipient(name) == name
    assert nearest_name(name) == unicodedata.normalize("NFKC", name)


UNUSABLE = [
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
    pytest.param("An\u2800na", "white_space", id="blank Braille pattern"),
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
    pytest.param("An\ufdd0na", "invisible", id="not a character either"),
    pytest.param("An\u034fna", "invisible", id="grapheme joiner"),
    pytest.param("An\ufe0fna", "invisible", id="variation selector"),
    pytest.param("김\u115f민", "invisible", id="Hangul choseong filler"),
    pytest.param("김\u1160민", "invisible", id="Hangul jungseong filler"),
    pytest.param("김\u3164민", "invisible", id="Hangul filler"),
    pytest.param("김\uffa0민", "invisible", id="halfwidth Hangul filler"),
    pytest.param("ក\u17b4", "invisible", id="Khmer inherent vowel"),
    pytest.param("Anna\U0001d159", "invisible", id="null notehead"),
    pytest.param("Anna\U00016fe4", "invisible", id="Khitan filler"),
    pytest.param("Anna\ufffc", "invisible", id="object replacement"),
    pytest.param("Anna\u2d7f", "invisible", id="Tifinagh joiner"),
    pytest.param("Anna\U000e0041", "invisible", id="tag"),
    pytest.param("Anna\U000e01f0", "unassigned", id="never assigned"),
    pytest.param("Анна\u0378", "unassigned", id="not assigned in the Greek block"),
    pytest.param("!", "symbol", id="an exclamation mark"),
    pytest.param("*", "symbol", id="an asterisk"),
    pytest.param("/quit", "symbol", id="a command"),
    pytest.param("(earlier)", "symbol", id="earlier"),
    pytest.param("[private]", "symbol", id="private"),
    pytest.param("Anna:", "symbol", id="colon"),
    pytest.param("Anna→Boris", "symbol", id="arrow"),
    pytest.param("<Anna>", "symbol", id="angle brackets"),
    pytest.param("Gal·la", "symbol", id="middle dot"),
    pytest.param("ジョン・スミス", "symbol", id="Katakana middle dot"),
    pytest.param("Anna‐2", "symbol", id="another hyphen"),
    pytest.param("🙂", "symbol", id="emoji"),
    pytest.param("Anna©", "symbol", id="copyright sign"),
    pytest.param("Anna²", "symbol", id="superscript digit"),
    pytest.param("Ⅳ", "symbol", id="Roman numeral"),
    pytest.param("Anna\ufffd", "symbol", id="replacement character"),
    pytest.param("-Anna", "first", id="hyphen in front"),
    pytest.param("_svc", "first", id="underscore in front"),
    pytest.param(".", "first", id="a full stop"),
    pytest.param("'Anna", "first", id="apostrophe in front"),
    pytest.param("\u02bcAnna", "first", id="modifier apostrophe in front"),
    pytest.param("ーめん", "first", id="prolonged sound mark in front"),
    pytest.param("々木", "first", id="iteration mark in front"),
    pytest.param("\u0301\u0308", "first", id="accents alone"),
    pytest.param("\u0301Anna", "first", id="accent in front"),
    pytest.param("ิก", "first", id="Thai vowel sign in front"),
    pytest.param("Ａｎｎａ", "variant", id="full-width"),
    pytest.param("𝐀nna", "variant", id="mathematical"),
    pytest.param("ﬁnn", "variant", id="ligature"),
    pytest.param("Annaª", "variant", id="ordinal"),
    pytest.param("ﾊﾅｺ", "variant", id="half-width"),
    pytest.param("Annᴬ", "variant", id="modifier letter"),
    pytest.param("µTorrent", "variant", id="micro sign"),
    pytest.param("ǆemal", "variant", id="digraph"),
    pytest.param("ﷴ", "variant", id="Arabic presentation form"),
    pytest.param("ㅋㅋ", "variant", id="compatibility jamo"),
    pytest.param("٢１", "variant", id="full-width digit"),
    pytest.param("ǃ", "letter", id="click letter like !"),
    pytest.param("Annaǀ", "letter", id="click letter like |"),
    pytest.param("Annaː", "letter", id="modifier letter like :"),
    pytest.param("ɡina", "letter", id="phonetic g"),
    pytest.param("ꓮꓠꓠꓮ", "letter", id="Lisu"),
    pytest.param("ᎪᏁᏁᎪ", "letter", id="Cherokee"),
    pytest.param("ⵏⵔ", "letter", id="Tifinagh"),
    pytest.param("Ѡмега", "letter", id="historic Cyrillic"),
    pytest.param("محمـد", "letter", id="tatweel"),
    pytest.param("\u1100", "letter", id="a lone jamo"),
    pytest.param("A\u0338nna", "letter", id="overlaid accent"),
    pytest.param("Anna߀", "letter", id="N'Ko digit"),
    pytest.param("a\u0308\u0301\u0308\u0301\u0308", "accent", id="a pile of accents"),
    pytest.param("é\u0308\u0301\u0308\u0301", "accent", id="a pile on a composed letter"),
    pytest.param("Zoe\u0308\u0308", "accent", id="twice the same accent"),
    pytest.param("Zoë\u0308", "accent", id="twice the same accent, once composed"),
    pytest.param("7\u0301", "accent", id="accent on a digit"),
    pytest.param("a-\u0301", "accent", id="accent on a sign"),
    pytest.param("漢\u0301", "accent", id="accent of another script"),
    pytest.param("A\u093f", "accent", id="Devanagari vowel on a Latin letter"),
    pytest.param("२ि", "accent", id="vowel on a digit of its script"),
    pytest.param("ក\u17d2", "accent", id="Khmer joining sign at the end"),
    pytest.param("က\u1039-က", "accent", id="Burmese joining sign before a sign"),
    pytest.param("Anna'", "inside", id="apostrophe at the end"),
    pytest.param("O''Brien", "inside", id="two apostrophes"),
    pytest.param("Dem\u02bc\u02bcjan", "inside", id="two modifier apostrophes"),
    pytest.param("O-'Brien", "inside", id="apostrophe after a sign"),
    pytest.param("7'7", "inside", id="apostrophe between digits"),
    pytest.param("O'", "inside", id="apostrophe after the only letter"),
    pytest.param("Аnna", "mixed_scripts", id="Cyrillic in Latin"),
    pytest.param("Annα", "mixed_scripts", id="Greek in Latin"),
    pytest.param("Αнна", "mixed_scripts", id="Greek in Cyrillic"),
    pytest.param("Аня田", "mixed_scripts", id="Cyrillic and Han"),
    pytest.param("김たなか", "mixed_scripts", id="Hangul and Hiragana"),
    pytest.param("ㄅたなか", "mixed_scripts", id="Bopomofo and Hiragana"),
    pytest.param("Annaא", "mixed_scripts", id="Latin and Hebrew"),
    pytest.param("Anna٢", "mixed_scripts", id="Arabic digit in Latin"),
    pytest.param("محمد2٢", "mixed_digits", id="ASCII and Arabic digits"),
    pytest.param("محمد٢۲", "mixed_digits", id="two kinds of Arabic digits"),
    pytest.param("2२", "mixed_digits", id="ASCII and Devanagari digits"),
]


@pytest.mark.parametrize(("name", "rule"), UNUSABLE)
def test_an_unusable_name_is_refused_by_its_rule(name: str, rule: str) -> None:
    with pytest.raises(UnusableName) as caught:
        check_name(name)
    assert caught.value.rule == rule
    assert str(caught.value) == RULES[rule]


def test_every_rule_refuses_a_name_and_an_earlier_rule_goes_first() -> None:
    rules = [str(case.values[1]) for case in UNUSABLE]
    assert list(dict.fromkeys(rules)) == list(RULES)


@pytest.mark.parametrize("sign", '!*/()[]:<>|"#@,;\U0001d159\ufffc\u2d7f\u3164🙂\u200d\u202e ')
def test_what_imitates_the_chats_own_lines_is_refused_wherever_it_stands(sign: str) -> None:
    for name in (sign, f"{sign}Anna", f"An{sign}na", f"Anna{sign}"):
        with pytest.raises(UnusableName):
            check_name(name)


def test_a_client_leaves_letters_newer_than_its_python_to_the_room() -> None:
    assert check_wanted_name("Anna\u0378") == "Anna\u0378"
    for name in ("", "a b", "!", "Аnna"):
        with pytest.raises(UnusableName):
            check_wanted_name(name)


@pytest.mark.parametrize("name", ["🙂", "!", "Аnna", "Anna\u0378", "Anna'"])
def test_a_recipient_may_have_a_name_of_an_older_or_a_newer_room(name: str) -> None:
    assert check_recipient(name) == name


@pytest.mark.parametrize("name", ["", "two words", "x" * 33, "bell\a", "An\u202ena", "\ud800"])
def test_no_recipient_can_have_a_name_that_no_room_takes(name: str) -> None:
    with pytest.raises(UnusableName):
        check_recipient(name)


# --- the alphabets ---------------------------------------------------------------------------

NOT_DRAWN = {
    0x00AD,
    0x034F,
    0x061C,
    *(0x115F, 0x1160),
    *(0x17B4, 0x17B5),
    *range(0x180B, 0x1810),
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2070),
    0x2800,
    0x2D7F,
    0x3164,
    *range(0xFE00, 0xFE10),
    0xFEFF,
    0xFFA0,
    *range(0xFFF0, 0xFFFD),
    0x16FE4,
    *range(0x1BCA0, 0x1BCA4),
    0x1D159,
    *range(0x1D173, 0x1D17B),
    *range(0xE0000, 0xE1000),
}
"""Default_Ignorable_Code_Point of Unicode 15.1, and what else is drawn as nothing or a blank."""

RANGES = {
    scripts: [
        (int(first, 16), int(last or first, 16))
        for first, _, last in (part.partition("-") for part in ranges.split())
    ]
    for scripts, ranges in names.ALPHABETS.items()
}
"""First and last code point, by scripts."""

ALPHABETS = {
    scripts: [
        chr(code)
        for first, last in ranges
        for code in range(first, last + 1)
        if unicodedata.category(chr(code))[0] in "LM" or unicodedata.category(chr(code)) == "Nd"
    ]
    for scripts, ranges in RANGES.items()
}


def test_of_all_characters_none_that_is_not_drawn_can_be_in_a_name() -> None:
    hosts = [letters[0] for letters in ALPHABETS.values()]
    for code in NOT_DRAWN:
        for name in (chr(code), *(f"{host}{chr(code)}{host}" for host in hosts)):
            with pytest.raises(UnusableName):
                check_name(name)


@pytest.mark.slow
def test_every_character_that_is_a_name_by_itself_is_a_letter_or_digit_that_is_printed() -> None:
    usable = 0
    for character in map(chr, range(sys.maxunicode + 1)):
        try:
            check_name(character)
        except UnusableName:
            continue
        usable += 1
        assert character.isalpha() or character.isdecimal(), hex(ord(character))
        assert printable(character) == character
        assert ord(character) not in NOT_DRAWN
    assert usable > 100_000  # most are Han


def test_every_character_of_an_alphabet_is_of_the_script_that_unicode_names() -> None:
    others: dict[str, str | tuple[str, ...]] = {
        "Latin Greek Cyrillic": "COMBINING ",
        "Hiragana Katakana": ("COMBINING KATAKANA-HIRAGANA ", "KATAKANA-HIRAGANA "),
        "Arabic": ("ARABIC ", "ARABIC-INDIC DIGIT ", "EXTENDED ARABIC-INDIC DIGIT "),
        "Han": ("CJK UNIFIED ", "CJK COMPATIBILITY ", "IDEOGRAPHIC "),
    }
    for scripts, characters in ALPHABETS.items():
        for character in characters:
            name = unicodedata.name(character)
            assert name.startswith(others.get(scripts, f"{scripts.upper()} ")), name


def test_no_character_is_in_two_alphabets() -> None:
    for (_, last), (first, _) in pairwise(sorted(chain.from_iterable(RANGES.values()))):
        assert last < first


def test_the_accents_of_latin_greek_and_cyrillic_are_those_of_their_letters() -> None:
    letters = [c for scripts in ("Latin", "Greek", "Cyrillic") for c in ALPHABETS[scripts]]
    of_letters = {
        part
        for letter in letters
        for part in unicodedata.normalize("NFD", letter)
        if unicodedata.category(part) == "Mn"
    }
    assert set(ALPHABETS["Latin Greek Cyrillic"]) == of_letters


# --- when two names are the same, and when they look the same --------------------------------


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
        ("Νίκος", "ΝΊΚΟΣ"),
        ("O'Brien", "O’Brien"),
        ("Дем'ян", "Дем\u02bcян"),
        ("น้ำ", "น้\u0e4d\u0e32"),
    ],
)
def test_spellings_of_one_name_have_one_fold_and_one_key(one: str, other: str) -> None:
    assert name_fold(one) == name_fold(other)
    assert name_key(one) == name_key(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ian", "lan"),
        ("Ian", "1an"),
        ("Ian", "ıan"),
        ("İan", "Ian"),
        ("Ian", "i\u0307an"),
        ("Ịan", "I\u0323\u0307an"),
        ("Il", "lI"),
        ("Ann0", "AnnO"),
        ("Arne", "Ame"),
        ("Ewe", "Evve"),
        ("cop", "сор"),
        ("COP", "СОР"),
        ("Anna", "Аnna"),  # no name, but what a room of 0.2.0 may have
        ("BOB", "ВОВ"),
        ("HAH", "НАН"),
        ("BAH", "ΒΑΗ"),
        ("Bob", "Воb"),
        ("Рома", "Ρομα"),
        ("Ivan2", "lvan2"),
        ("Zoë", "Zоё"),
        ("Đorđe", "Ðorðe"),
        ("Emilə", "Emilǝ"),
        ("Paşa", "Pașa"),
        ("Kadă", "Kadǎ"),
        ("anna__x", "anna_x"),
        ("Anna-2", "Annaー2"),
        ("Anna-2", "Anna一2"),
        ("Alan", "A丨an"),
        ("ロシア", "口シア"),
        ("エリカ", "工リ力"),
        ("へん", "ヘん"),
        ("علی", "علي"),
        ("کریم", "كريم"),
        ("محمد٢", "محمد2"),
        ("แดง", "เเดง"),
        ("IOI", "ιοι"),
        ("OSO", "ՕՏՕ"),
        ("סס", "oo"),
    ],
)
def test_names_that_look_the_same_have_one_key_but_are_not_the_same(one: str, other: str) -> None:
    assert name_key(one) == name_key(other)
    assert name_fold(one) != name_fold(other)


@pytest.mark.parametrize(
    "different",
    [
        "Anna Anne Анна Anna-2 Anna-22 Anna_2 Anna.2 Anna2 Änna Hanna Аня",
        "Zoe Zoë Zoé Joe Łukasz Lukasz O'Brien OBrien D'Arcy Darcy",
        "Maria Marla2 Marina Martin Marvin Max Mix Clara Dara Cora",
        "田中 田口 中田 たなか タナカ 김민수 김민주",
        "Иван Игорь Инна Анна Жанна Сергей Андрей Нина Ника",
        "ジョン ション 花子 はなこ ハナコ",
    ],
)
def test_different_names_have_different_keys(different: str) -> None:
    assert len({name_key(name) for name in different.split()}) == len(different.split())


def test_the_look_alikes_are_letters_that_a_folded_name_can_have() -> None:
    seen: set[str] = set()
    for kept, others in names.LOOK_ALIKES.items():
        assert name_key(kept) == kept
        for other in others:
            assert names.scripts_of(other) or names.is_sign(other), hex(ord(other))
            assert unicodedata.normalize("NFKD", other.casefold()) == other, hex(ord(other))
            assert name_key(other) == kept
        assert not seen & {kept, *others}
        seen |= {kept, *others}


@given(st.text(CHARACTERS, max_size=NAME_CHARACTERS_MAX))
@example("ǰ")  # its case folding is not normalized
@example("\u0345\u0301")  # an accent that case folding makes a letter
@example("lj\u0327\u0307")
@example("rrn-ー_一vvv")
def test_a_key_is_normalized_and_is_its_own_key(name: str) -> None:
    for key_of in (name_fold, name_key):
        key = key_of(name)
        assert unicodedata.is_normalized("NFKC", key)
        assert key_of(key) == key
    assert name_key(name_fold(name)) == name_key(name)


GROUPS = [*({*scripts.split()} for scripts in ALPHABETS), *names.TOGETHER]


@st.composite
def usable_names(draw: st.DrawFn) -> str:
    """Names of every script and of every group of scripts."""
    group = draw(st.sampled_from(GROUPS))
    alphabets = [a for scripts, a in ALPHABETS.items() if group & {*scripts.split()}]
    characters = st.one_of(*map(st.sampled_from, alphabets), st.sampled_from("09-_.'’\u02bc"))
    try:
        name = nearest_name(draw(st.text(characters, min_size=1, max_size=NAME_CHARACTERS_MAX)))
    except UnusableName:
        assume(False)
    return draw(st.sampled_from([name, unicodedata.normalize("NFD", name)]).filter(_is_usable))


def _is_usable(name: str) -> bool:
    try:
        return check_name(name) == name
    except UnusableName:
        return False


@given(usable_names())
def test_what_is_only_another_spelling_of_a_name_has_its_key(name: str) -> None:
    spellings = [unicodedata.normalize(form, name) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    spellings += [name.upper(), name.lower(), name.swapcase(), name.title()]
    for spelling in filter(_is_usable, spellings):
        assert name_key(spelling) == name_key(name)
        if spelling.casefold() == name.casefold():
            assert name_fold(spelling) == name_fold(name)


@given(usable_names())
def test_a_usable_name_is_printed_as_it_is_and_fits(name: str) -> None:
    assert printable(name) == name
    assert len(name) <= NAME_CHARACTERS_MAX
    assert len(name.encode()) <= NAME_BYTES_MAX
    assert name.split() == [name]


@given(usable_names())
def test_whether_a_name_is_usable_does_not_depend_on_its_normal_form(name: str) -> None:
    for form in ("NFC", "NFD"):
        other = unicodedata.normalize(form, name)
        fits = len(other) <= NAME_CHARACTERS_MAX and len(other.encode()) <= NAME_BYTES_MAX
        assert _is_usable(other) == fits


# --- making names ----------------------------------------------------------------------------


@given(usable_names(), st.integers(2, 10**9))
@example("٢" * 31 + "م", 2)
@example("O'" + "B" * 30, 2)
@example("x" * 29 + "O'B", 2)
@example(unicodedata.normalize("NFD", "김" * 5 + "수" * 3), 2)  # a cut leaves half a letter
@example("ក" * 19 + "\u17d2ក", 2)
def test_a_numbered_name_is_usable(name: str, number: int) -> None:
    numbered = numbered_name(name, number)
    assert check_name(numbered) == numbered
    kept, _, digits = numbered.rpartition("-")
    assert int(digits) == number
    assert kept
    assert unicodedata.normalize("NFC", name).startswith(kept)


@given(usable_names(), st.integers(2, 1000), st.integers(2, 1000))
def test_two_numbers_make_two_names_that_do_not_look_the_same(
    name: str, one: int, other: int
) -> None:
    same = name_key(numbered_name(name, one)) == name_key(numbered_name(name, other))
    assert same == (one == other)


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("Anna", 2, "Anna-2"),
        ("x" * 32, 2, "x" * 30 + "-2"),
        ("x" * 30, 100, "x" * 28 + "-100"),
        ("я" * 32, 10, "я" * 29 + "-10"),
        ("محمد٢", 10, "محمد٢-١٠"),
        ("x" * 29 + "O'B", 2, "x" * 29 + "O-2"),
        ("ក" * 18 + "\u17d2ក", 2, "ក" * 18 + "\u17d2ក-2"),
        ("ក" * 19 + "\u17d2ក", 2, "ក" * 19 + "-2"),
    ],
)
def test_a_numbered_name_keeps_what_fits(name: str, number: int, expected: str) -> None:
    assert numbered_name(name, number) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("anna.lee", "anna.lee"),
        ("_svc", "svc"),
        ("www-data", "www-data"),
        ("Анна", "Анна"),
        ("Анна Петрова", "АннаПетрова"),
        ("LAB\\anna", "LABanna"),
        ("machine$", "machine"),
        ("anna\x1b[2J", "anna2J"),
        ("Ａｎｎａ", "Anna"),
        ("🙂anna🙂", "anna"),
        ("\udcffanna", "anna"),
        ("anna'", "anna"),
        ("annaⵏ", "anna"),
        ("રામ૰", "રામ"),
        ("n" * 33, "n" * 32),
        ("漢" * 22, "漢" * 21),
    ],
)
def test_the_nearest_name_leaves_out_what_cannot_be_in_one(text: str, expected: str) -> None:
    assert nearest_name(text) == expected


@pytest.mark.parametrize(
    "text", ["", "\x1b", "--", "🙂", "Аnna", "a\u0308\u0301\u0308\u0301\u0308"]
)
def test_a_text_may_be_near_no_name(text: str) -> None:
    with pytest.raises(UnusableName):
        nearest_name(text)


@given(st.text(CHARACTERS))
def test_the_nearest_name_is_usable(text: str) -> None:
    try:
        name = nearest_name(text)
    except UnusableName:
        return
    assert check_name(name) == name


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
