"""Sentences in English and in Russian, with plurals. The sentences themselves: *_sentences.py.

The two languages of a catalogue have the same keys and the same placeholders (a test compares
them). A key that ends in _one, _few or _many is one form of a counted sentence: the count chooses
it. `{udp_client}` and `{udp_server}` need no value: they are the commands as they were started.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from string import Formatter

from udp_chat.app.program import started_program

LANGUAGES = ("en", "ru")


class Catalogue:
    """The sentences of one concept, by language and key."""

    def __init__(self, english: Mapping[str, str], russian: Mapping[str, str]) -> None:
        self.sentences: Mapping[str, Mapping[str, str]] = {"en": english, "ru": russian}

    def __contains__(self, key: object) -> bool:
        return key in self.sentences["en"]

    def sentence(self, language: str, key: str, **values: object) -> str:
        """A sentence; one with a `count` takes the form that the number asks for."""
        return "".join(text for _, text in self.parts(language, key, **values))

    def parts(self, language: str, key: str, **values: object) -> list[tuple[str, str]]:
        """The same as (field, text); the field is "" for the sentence's own words."""
        if key not in self:
            key = f"{key}_{plural_form(language, int(str(values['count'])))}"
        parts: list[tuple[str, str]] = []
        for literal, field, _, _ in Formatter().parse(self.sentences[language][key]):
            if literal:
                parts.append(("", literal))
            if field:
                value = values[field] if field in values else _command(field)
                parts.append((field, str(value)))
        return parts

    def translated(self, text: str, language: str, keys: Sequence[str]) -> str:
        """An English text in a language, if it is one of these sentences; else the text itself.

        For texts that others compose: argparse, or a part of the program that knows no language.
        """
        for key in keys:
            pattern, fields = "", []
            for literal, field, _, _ in Formatter().parse(self.sentences["en"][key]):
                pattern += re.escape(literal)
                if field:
                    pattern += "(.*)"
                    fields.append(field)
            found = re.fullmatch(pattern, text, re.DOTALL)
            if found:
                values = dict(zip(fields, found.groups(), strict=True))
                return self.sentence(language, key, **values)
        return text


def _command(field: str) -> str:
    program = started_program()
    return {"udp_client": program.client, "udp_server": program.server}[field]


def plural_form(language: str, count: int) -> str:
    """Which form a counted noun takes: one, few or many (Unicode CLDR's names)."""
    if language == "ru":
        if count % 10 == 1 and count % 100 != 11:
            return "one"
        if count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14):
            return "few"
        return "many"
    return "one" if count == 1 else "many"


def locale_language() -> str:
    """The language of the environment's locale; English where this program does not speak it."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(variable)
        if value:
            return "ru" if value.startswith("ru") else "en"
    return "en"


def wanted_language(arguments: Sequence[str]) -> str:
    """The language that `--lang` asks for on a command line, else the locale's.

    A parser is built in a language, so this looks before the parser does. Whatever is wrong with
    the option, the parser says.
    """
    language = locale_language()
    for option, following in pairwise([*arguments, ""]):
        name, _, value = option.partition("=")
        if len(name) >= len("--la") and "--lang".startswith(name):
            wanted = value or following
            language = wanted if wanted in LANGUAGES else language
    return language
