"""Which names a room takes, when two are the same, and when two look the same.

A name is what tells people apart: two that look the same must not both be in, none may look like
the chat's own lines (``► Anna left``, ``! …``, ``(earlier) …``, ``[private] …``), and none may move
the reader's cursor. So a name is a word of letters and digits of one script. What is not allowed
here is refused: nobody has to find out about the next invisible character of Unicode.

`check_name` is the room's judgement; RULES has every rule with its sentence. `name_fold` finds the
member that somebody means, `name_key` finds the member that a name could be taken for. The ideas
are those of UTS #39 (Unicode Security Mechanisms) and UAX #31; the tables are small and made by
hand, so they find what is obvious and not all that there is. docs/protocol.md, 4.6, has the rules
for those who write another implementation, and says what is not covered.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_right
from itertools import pairwise

from udp_chat.protocol.packets import NAME_BYTES_MAX, ChatError

NAME_CHARACTERS_MAX = 32
"""A name must be read at a glance."""

NAME_ACCENTS_MAX = 4
"""Nonspacing marks above and below one letter: Vietnamese needs two, Burmese four. A pile of them
would be drawn over the lines above."""

RULES = {
    "empty": "a name has at least one character",
    "too_long": f"a name has at most {NAME_CHARACTERS_MAX} characters ({NAME_BYTES_MAX} bytes)",
    # In a line of the chat nobody could tell where the name ends.
    "white_space": "a name is one word, without white space",
    # It would make two names look the same, or move the reader's cursor.
    "invisible": "a name has no control or invisible characters",
    # Nothing is known about it, not even whether it is drawn.
    "unassigned": f"a name has only characters of Unicode {unicodedata.unidata_version}",
    # Symbols imitate the chat's own lines and the end of a name; emoji have joiners, colours and
    # variants that look alike.
    "symbol": "a name has only letters, digits and - _ . '",
    # The chat's own lines begin with a sign, commands with a slash.
    "first": "a name begins with a letter or a digit",
    # 𝐀nna, Ａnna and ﬁnn would be other spellings of names that look the same.
    "variant": "a name has letters in their plain form, no full-width or styled ones",
    # Scripts and letters out of use are full of look-alikes: ǃ, ꓮ, Ꭺ, ⵏ.
    "letter": "a name has letters of a script and an alphabet in everyday use",
    # An accent on nothing looks like a sign; the same one twice is drawn as one.
    "accent": f"an accent follows a letter of its script, at most {NAME_ACCENTS_MAX} on each",
    # In front or at the end it would look like a quotation mark.
    "inside": "an apostrophe is between two letters",
    # Most look-alikes are of another script: Аnna with a Cyrillic А.
    "mixed_scripts": "a name has letters of one script",
    # ٣ is 3 and looks like another letter beside it.
    "mixed_digits": "a name has digits of one kind",
}
"""The code of each rule and its sentence, in the order in which they are checked."""

_WHITE = "\u2800"
"""Visible by its category, but drawn as a blank: the empty Braille pattern."""

INVISIBLE = (
    (0x034F, 0x034F),  # combining grapheme joiner
    (0x115F, 0x1160),  # Hangul fillers
    (0x17B4, 0x17B5),  # Khmer inherent vowels
    (0x180B, 0x180F),  # Mongolian variation selectors
    (0x2D7F, 0x2D7F),  # Tifinagh consonant joiner
    (0x3164, 0x3164),  # Hangul filler
    (0xFE00, 0xFE0F),  # variation selectors
    (0xFFA0, 0xFFA0),  # halfwidth Hangul filler
    (0xFFFC, 0xFFFC),  # object replacement character
    (0x16FE4, 0x16FE4),  # Khitan small script filler
    (0x1D159, 0x1D159),  # musical symbol null notehead
    (0xE0000, 0xE0FFF),  # tags, variation selectors
)
"""Drawn as nothing although they are no controls: Unicode's Default_Ignorable_Code_Point outside
category C, and four more. None of them is in ALPHABETS; this says it in the right sentence."""

_INVISIBLE_CODES = frozenset(code for first, last in INVISIBLE for code in range(first, last + 1))

_SIGNS = "-_."
"""They stand anywhere but in front."""

_INSIDE = "'\u2019\u02bc\u0f0b"
"""They stand between two letters: the apostrophe of O'Brien, ג'ון and Дем’ян in its three forms,
and the dot between Tibetan syllables. The middle dot (Gal·la) is not among them: it looks like
many other dots, and like what parts the chat's own fields."""

_JOINS_NEXT = "\u1039\u17d2"
"""The Burmese and the Khmer sign that put the next letter below: without one, nothing is drawn."""

_VARIANTS_IN_USE = "\u0e33\u0eb3\u0edc\u0edd"
"""Thai and Lao letters that NFKC takes apart, but that everybody writes."""

ALPHABETS = {
    "Latin": "0041-005A 0061-007A 00C0-00D6 00D8-00F6 00F8-0131 0134-0137 0139-0148 014A-017E"
    " 0181 0186 0189-018A 018E-0192 0194 0196-0199 019D 01A0-01A1 01AF-01B7 01CD-01E3 01E6-01EF"
    " 01F4-01F5 01F8-021B 021E-021F 0226-0233 0244 0253-0254 0256-0257 0259 025B 0263 0268-0269"
    " 0272 0289-028B 0292 1E00-1E99 1E9E 1EA0-1EF9",
    "Greek": "0386-03CE 1F00-1FFC",
    "Cyrillic": "0400-045F 048A-052F",
    "Latin Greek Cyrillic": "0300-0304 0306-030C 030F 0311 0313-0314 031B 0323-0328 032D-032E"
    " 0330-0331 0342 0345",
    "Armenian": "0531-0556 0561-0586",
    "Hebrew": "05B0-05BD 05BF 05C1-05C2 05C7 05D0-05EA 05EF-05F2",
    "Arabic": "0620-063F 0641-0655 0660-0669 066E-06D3 06D5 06EE-06FC 06FF 0750-077F",
    "Thaana": "0780-07B1",
    "Devanagari": "0900-0963 0966-096F 0972-097F",
    "Bengali": "0980-09F1",
    "Gurmukhi": "0A00-0A75",
    "Gujarati": "0A80-0AFF",
    "Oriya": "0B00-0B7F",
    "Tamil": "0B80-0BEF",
    "Telugu": "0C00-0C6F",
    "Kannada": "0C80-0CF2",
    "Malayalam": "0D00-0D6F 0D7A-0D7F",
    "Sinhala": "0D80-0DDF 0DF2-0DF3",
    "Thai": "0E01-0E59",
    "Lao": "0E81-0EDD",
    "Tibetan": "0F20-0F29 0F40-0F6C 0F71-0F84 0F90-0FBC",
    "Myanmar": "1000-109F",
    "Georgian": "10D0-10FA 10FD-10FF 1C90-1CBF",
    "Ethiopic": "1200-135F 1380-138F",
    "Khmer": "1780-17A2 17A5-17B3 17B6-17D2 17D7 17DC 17E0-17E9",
    "Hiragana": "3041-3096 309D-309E",
    "Katakana": "30A1-30FA 30FD-30FE 31F0-31FF",
    "Hiragana Katakana": "3099-309A 30FC",
    "Bopomofo": "3105-312F 31A0-31BF",
    "Han": "3005-3006 3400-4DBF 4E00-9FFF FA0E-FA29 20000-323AF",
    "Hangul": "AC00-D7A3",
}
"""Code points of letters, marks and digits in everyday use, for UAX #31's recommended scripts
(table 5). What in a range is no letter, mark or decimal digit is not allowed all the same. A row
with several scripts is of what they share. Left out: phonetic, historic and click letters, the
tatweel, marks for chanting; of the marks for Latin, Greek and Cyrillic all but those that
Unicode's own letters of these scripts are made of."""

TOGETHER = (
    frozenset({"Latin", "Han", "Hiragana", "Katakana"}),
    frozenset({"Latin", "Han", "Bopomofo"}),
    frozenset({"Latin", "Han", "Hangul"}),
)
"""Scripts that are written together: "highly restrictive" in UTS #39 §5.2."""

_RANGES = sorted(
    (int(first, 16), int(last or first, 16), frozenset(scripts.split()))
    for scripts, ranges in ALPHABETS.items()
    for first, _, last in (part.partition("-") for part in ranges.split())
)
_FIRSTS = [first for first, _, _ in _RANGES]

LOOK_ALIKES = {
    "a": "аα",
    "b": "вьβ",
    "c": "с匚ㄈ",
    "d": "ԁ",
    "e": "еε",
    "f": "ƒ",
    "g": "ցԍ",
    "h": "нһηհ",
    "j": "јյ",
    "k": "кκ",
    "l": "i1ıɩіӏιلاוןլ丨乚ㄥ",
    "m": "мμ",
    "n": "νո",
    "o": "0оοօסهہە",
    "p": "рρ卩",
    "q": "ԛզ",
    "r": "гγ",
    "s": "ѕտ",
    "t": "тτ丁丅ㄒ",
    "u": "ս凵",
    "w": "ԝωա",
    "x": "хχ乂ㄨ",
    "y": "уүυ丫ㄚ",
    "z": "ζ",
    "3": "зӡʒ",
    "6": "б",
    "æ": "ӕ",
    "đ": "ðɖ",
    "ə": "әǝ",
    "ɛ": "ԑ",
    "л": "λ",
    "п": "π",
    "ө": "θ",
    "ф": "φ",
    "ك": "ک",
    "ي": "یى",
    "ヘ": "へㄟ",
    "リ": "り",
    "く": "ㄑ",
    "力": "カㄌ",
    "二": "ニ",
    "八": "ハ",
    "口": "ロ",
    "工": "エ",
    "夕": "タ",
    "卜": "ト",
    "厶": "ム",
    "-": "一ーㄧ",
    "'": "\u2019\u02bc",
    "\u0302": "\u0311",  # circumflex: inverted breve
    "\u0303": "\u0342",  # tilde: Greek perispomeni
    "\u0306": "\u030c",  # breve: caron
    "\u0326": "\u0327",  # comma below: cedilla
}
"""What counts as one when names are compared: the first for all in its row. They are small forms,
as case does not count: н is here for its capital Н, l for I. Where the capital and the small form
look like different letters (Greek Η and η, Ν and ν), the capital decides: it is the better copy."""

_REPLACEMENTS = {ord(other): kept for kept, others in LOOK_ALIKES.items() for other in others}
_APOSTROPHES = {ord("\u2019"): "'", ord("\u02bc"): "'"}

_SEQUENCES = (
    (re.compile("rn"), "m"),
    (re.compile("vv"), "w"),
    (re.compile("เเ"), "แ"),
    # Letters that have a dot already: a second one is not drawn.
    (re.compile("([lj][\u0316-\u0333]*)\u0307+"), r"\1"),
    # Lines grow together: __ is read as _.
    (re.compile("([-_.'])\\1+"), r"\1"),
)
"""The same for what several characters look like."""


class UnusableName(ChatError):
    """The name breaks a rule: `rule` is its code in RULES, the message its sentence."""

    def __init__(self, rule: str) -> None:
        super().__init__(RULES[rule])
        self.rule = rule


# --- judging a name --------------------------------------------------------------------------


def check_name(name: str) -> str:
    """The name, if it may be used in a room; raises `UnusableName` with the first rule it breaks.

    This is the room's to decide: its Python's Unicode says which letters there are.
    """
    _check_size(name)
    for character in name:
        rule = _broken_by(character)
        if rule:
            raise UnusableName(rule)
    if not _is_first(name[0]):
        raise UnusableName("first")
    # From here on one spelling, whichever of Unicode's equal ones has come.
    name_composed = unicodedata.normalize("NFC", name)
    for character in name_composed:
        if not _is_plain(character):
            raise UnusableName("variant")
        if not is_sign(character) and not scripts_of(character):
            raise UnusableName("letter")
    _check_accents(name_composed)
    _check_inside(name_composed)
    _check_scripts(name_composed)
    return name


def check_wanted_name(name: str) -> str:
    """What a client can say of a name before the room does: letters that are newer than this
    Python are left to the room. Raises `UnusableName`."""
    try:
        return check_name(name)
    except UnusableName as error:
        if error.rule != "unassigned":
            raise
        return name


def check_recipient(name: str) -> str:
    """The name, if somebody may have it, perhaps in a room with another Unicode or with the rules
    of 0.2.0; raises `UnusableName`."""
    _check_size(name)
    for character in name:
        rule = _broken_by(character)
        if rule in ("white_space", "invisible"):
            raise UnusableName(rule)
    return name


def _check_size(name: str) -> None:
    if not name:
        raise UnusableName("empty")
    if len(name) > NAME_CHARACTERS_MAX or len(name.encode("utf-8", "replace")) > NAME_BYTES_MAX:
        raise UnusableName("too_long")


def _broken_by(character: str) -> str | None:
    """The rule that a character breaks wherever it stands."""
    category = unicodedata.category(character)
    if character.isspace() or category[0] == "Z" or character in _WHITE:
        return "white_space"
    if category == "Cn" and not _is_noncharacter(character):
        return "unassigned"
    if category[0] == "C" or ord(character) in _INVISIBLE_CODES:
        return "invisible"
    if category[0] not in "LM" and category != "Nd" and character not in _SIGNS + _INSIDE:
        return "symbol"
    return None


def _is_noncharacter(character: str) -> bool:
    return ord(character) & 0xFFFE == 0xFFFE or 0xFDD0 <= ord(character) <= 0xFDEF


def is_sign(character: str) -> bool:
    """What belongs to no script."""
    return character in _SIGNS + _INSIDE or character in "0123456789"


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] == "L" and character not in _INSIDE


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] == "M"


def _is_first(character: str) -> bool:
    """May it begin a name? No modifier letter may: some look like signs (ー, ʼ)."""
    return unicodedata.category(character) in ("Lu", "Ll", "Lt", "Lo", "Nd")


def _is_plain(character: str) -> bool:
    plain = unicodedata.normalize("NFKC", character) == character
    return plain or character in _VARIANTS_IN_USE


def scripts_of(character: str) -> frozenset[str]:
    """The scripts whose alphabets have the character, none if it is in no alphabet."""
    at = bisect_right(_FIRSTS, ord(character)) - 1
    if at < 0 or ord(character) > _RANGES[at][1]:
        return frozenset()
    return _RANGES[at][2]


def _check_accents(name: str) -> None:
    for before, character in pairwise(name):
        bears = (_is_letter(before) or _is_mark(before)) and scripts_of(before) & scripts_of(
            character
        )
        if _is_mark(character) and not bears:
            raise UnusableName("accent")
    for before, character in pairwise(name + "."):
        if before in _JOINS_NEXT and not _is_letter(character):
            raise UnusableName("accent")
    pile = ""
    for character in unicodedata.normalize("NFD", name):
        if unicodedata.category(character) != "Mn":
            pile = ""
            continue
        pile += character
        if len(pile) > NAME_ACCENTS_MAX or pile.endswith(character * 2):
            raise UnusableName("accent")


def _check_inside(name: str) -> None:
    for before, character, after in zip(name, name[1:], name[2:] + ".", strict=False):
        between = (_is_letter(before) or _is_mark(before)) and _is_letter(after)
        if character in _INSIDE and not between:
            raise UnusableName("inside")


def _check_scripts(name: str) -> None:
    used = [scripts_of(character) for character in name if not is_sign(character)]
    is_one_script = not used or frozenset.intersection(*used)
    if not is_one_script and not any(all(own & group for own in used) for group in TOGETHER):
        raise UnusableName("mixed_scripts")
    if len({_zero(character) for character in name if character.isdecimal()}) > 1:
        raise UnusableName("mixed_digits")


def _zero(digit: str) -> int:
    """The code point of the zero of a digit's kind."""
    return ord(digit) - unicodedata.decimal(digit)


# --- comparing names -------------------------------------------------------------------------


def name_fold(name: str) -> str:
    """What a name and its other spellings share: case, normalization (NFKC) and the form of the
    apostrophe do not count.

    For finding the one who is meant (a private message, /ignore, a name in a text): here ``lan``
    is not ``Ian``.
    """
    folded = unicodedata.normalize("NFKD", name).casefold()
    return unicodedata.normalize("NFC", folded.translate(_APOSTROPHES))


def name_key(name: str) -> str:
    """What names that look the same share, ``Ian`` and ``lan`` too: UTS #39's skeleton in spirit.

    For uniqueness: two members never have the same key. Names with the same `name_fold` have the
    same key. It is no name and is not for showing.
    """
    key = unicodedata.normalize("NFD", name_fold(name))
    digits = (
        str(unicodedata.decimal(character)) if character.isdecimal() else character
        for character in key
    )
    key = "".join(digits).translate(_REPLACEMENTS)
    for sequence, kept in _SEQUENCES:
        key = sequence.sub(kept, key)
    return unicodedata.normalize("NFC", key)


# --- making names ----------------------------------------------------------------------------


def numbered_name(name: str, number: int) -> str:
    """A name like this one with a number behind it, for when it is taken: ``Anna-2``."""
    zeros = {_zero(character) for character in name if character.isdecimal()} or {ord("0")}
    digits = {ord("0") + value: min(zeros) + value for value in range(10)}
    suffix = f"-{number}".translate(digits)
    # Composed, so that a cut leaves no part of a letter that is no letter.
    return _cut(unicodedata.normalize("NFC", name), suffix) + suffix


def nearest_name(text: str) -> str:
    """The usable name that is most like a text, such as a login name; raises `UnusableName` if
    there is none."""
    name = "".join(
        character
        for character in unicodedata.normalize("NFKC", text)
        if not _broken_by(character) and (is_sign(character) or scripts_of(character))
    )
    while name and not _is_first(name[0]):
        name = name[1:]
    return check_name(_cut(name, ""))


def _cut(name: str, suffix: str) -> str:
    """As much of a name as may stand before the suffix."""
    name = name[: NAME_CHARACTERS_MAX - len(suffix)]
    bytes_max = NAME_BYTES_MAX - len(suffix.encode())
    while name and (len(name.encode()) > bytes_max or name[-1] in _INSIDE + _JOINS_NEXT):
        name = name[:-1]
    return name
