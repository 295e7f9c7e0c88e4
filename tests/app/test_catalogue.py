"""Two languages: the same sentences, the same places to fill, plurals, and which one is meant."""

from __future__ import annotations

import re
import string

import pytest

from udp_chat.app.catalogue import (
    LANGUAGES,
    Catalogue,
    locale_language,
    plural_form,
    wanted_language,
)
from udp_chat.app.chat_sentences import CHAT
from udp_chat.app.command_sentences import ARGPARSE_REASONS, COMMANDS
from udp_chat.app.doctor_sentences import DOCTOR
from udp_chat.protocol.names import RULES

CATALOGUES = {"chat": CHAT, "commands": COMMANDS, "doctor": DOCTOR}

catalogues = pytest.mark.parametrize("catalogue", CATALOGUES.values(), ids=list(CATALOGUES))


def placeholders(text: str) -> set[str]:
    """Those of a sentence, and those that argparse fills in a help text."""
    own = {field for _, field, _, _ in string.Formatter().parse(text) if field is not None}
    return own | set(re.findall(r"%\(\w+\)\w", text))


def words(text: str) -> str:
    """A sentence without its placeholders."""
    return re.sub(r"{\w+}|%\(\w+\)\w", "", text)


@catalogues
def test_both_languages_say_the_same_things(catalogue: Catalogue) -> None:
    assert set(catalogue.sentences) == set(LANGUAGES)
    english, russian = catalogue.sentences["en"], catalogue.sentences["ru"]
    assert english.keys() == russian.keys()
    for key in english:
        assert placeholders(english[key]) == placeholders(russian[key]), key


@catalogues
def test_every_sentence_with_words_is_in_its_own_language(catalogue: Catalogue) -> None:
    for key, text in catalogue.sentences["en"].items():
        russian = words(catalogue.sentences["ru"][key])
        if any(character.isalpha() for character in words(text)):
            assert re.search("[а-яё]", russian), key
        assert not re.search("[а-яё]", text.replace("выйти", "")), key


@catalogues
@pytest.mark.parametrize("language", LANGUAGES)
def test_a_person_reads_of_messages_and_computers(catalogue: Catalogue, language: str) -> None:
    """A line is one of a file, of the input or of the screen; a machine is nobody's word."""
    about_lines = ("saved", "hint_pasted", "client_", "protocol", "no_trace_line", "history")
    for key, text in catalogue.sentences[language].items():
        assert not re.search(r"\bmachine|\bмашин[аыуе]|узел|узла", text), key
        if not key.startswith(about_lines):
            assert not re.search(r"\blines?\b|строк", words(text)), key


def test_every_rule_for_names_has_its_sentence() -> None:
    ours = {key for key in CHAT.sentences["en"] if key.startswith("unusable_name_")}
    assert ours == {f"unusable_name_{rule}" for rule in RULES}


@pytest.mark.parametrize(
    ("count", "form"),
    [
        (0, "many"),
        (1, "one"),
        (2, "few"),
        (4, "few"),
        (5, "many"),
        (11, "many"),
        (12, "many"),
        (14, "many"),
        (20, "many"),
        (21, "one"),
        (22, "few"),
        (25, "many"),
        (101, "one"),
        (111, "many"),
        (112, "many"),
        (122, "few"),
    ],
)
def test_russian_counts_in_three_forms(count: int, form: str) -> None:
    assert plural_form("ru", count) == form


@pytest.mark.parametrize(("count", "form"), [(0, "many"), (1, "one"), (2, "many"), (21, "many")])
def test_english_counts_in_two_forms(count: int, form: str) -> None:
    assert plural_form("en", count) == form


@pytest.mark.parametrize(
    ("count", "english", "russian"),
    [
        (1, "1 message was not sent", "Не отправлено 1 сообщение:"),
        (2, "2 messages were not sent", "Не отправлено 2 сообщения:"),
        (5, "5 messages were not sent", "Не отправлено 5 сообщений:"),
        (21, "21 messages were not sent", "Не отправлено 21 сообщение:"),
    ],
)
def test_counted_sentences_agree_with_their_number(count: int, english: str, russian: str) -> None:
    assert CHAT.sentence("en", "not_accepted", count=count).startswith(english)
    assert CHAT.sentence("ru", "not_accepted", count=count).startswith(russian)


# --- texts of others -------------------------------------------------------------------------


def test_an_english_text_that_is_one_of_the_sentences_is_translated_and_another_is_not() -> None:
    def russian(text: str) -> str:
        return COMMANDS.translated(text, "ru", ARGPARSE_REASONS)

    assert russian("unrecognized arguments: --x y") == "неизвестные аргументы: --x y"
    assert russian("invalid choice: 'fr' (choose from 'en')") == (
        "неверное значение 'fr' (возможны: 'en')"
    )
    assert russian("something else") == "something else"
    assert COMMANDS.translated("something else", "en", ARGPARSE_REASONS) == "something else"


# --- whose language --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "language"),
    [
        ({"LANG": "ru_RU.UTF-8"}, "ru"),
        ({"LANG": "de_DE.UTF-8"}, "en"),
        ({"LC_ALL": "C", "LANG": "ru_RU.UTF-8"}, "en"),
        ({"LC_ALL": "", "LC_MESSAGES": "ru_RU", "LANG": "en_GB"}, "ru"),
        ({}, "en"),
    ],
)
def test_the_language_is_the_locale_s_unless_an_option_says_another(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], language: str
) -> None:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    assert locale_language() == wanted_language([]) == language
    for other in LANGUAGES:
        assert wanted_language(["--lang", other]) == other
        assert wanted_language(["x", f"--lang={other}", "--json"]) == other
        assert wanted_language(["--la", other]) == other
        assert wanted_language(["--lang", "en", "--lang", "ru", "--lang", other]) == other
    for wrong in (["--lang"], ["--lang", "tlh"], ["--lang="], ["--l", "ru"], ["--name", "ru"]):
        assert wanted_language(wrong) == language
