"""What is said of an experiment, in English and in Russian.

The texts are in texts/NAME.ini: for each language the title and the question (`[en]`), the names
of quantities, conditions and axes (`[en names]`), and the three sentences with their parts
(`[en says]`): what was `found`, `why`, and its `meaning` for a program. An experiment's `facts`
fill the braces in the sentences. They come from the result, so the sentences follow the figures.
`[remarks]`, in English alone, is what a reader has to know and could not see in the figures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from configparser import ConfigParser
from functools import partial
from pathlib import Path

from compare.experiments.experiment import CHAT_NAMES, Condition, Result, Words
from compare.figures import amount, duration
from udp_chat.protocol.delivery import NEVER

TEXTS = Path(__file__).resolve().parent / "texts"
SENTENCES = ("found", "why", "meaning")
DASHES = {"en": " ", "ru": " — "}
"""Between a chat and its figure in a list."""


class _TextParser(ConfigParser):
    """Keeps the case of keys."""

    def optionxform(self, optionstr: str) -> str:
        return optionstr


def texts(path: Path) -> dict[str, dict[str, str]]:
    """A file's texts, by section. A text may take several lines, all but the first indented.

    Quotation marks around a text keep the spaces at its ends.
    """
    parser = _TextParser(delimiters=("=",), comment_prefixes=(";",), interpolation=None)
    with path.open(encoding="utf-8") as file:
        parser.read_file(file)
    return {
        name: {key: text.replace("\n", " ").strip('"') for key, text in parser[name].items()}
        for name in parser.sections()
    }


class Voice:
    """Speaks one language about one result."""

    def __init__(
        self, language: str, names: Mapping[str, str], parts: Mapping[str, str], result: Result
    ) -> None:
        self.names = names
        self.chats = CHAT_NAMES[language]
        self._language = language
        self._parts = parts
        self._result = result

    def part(self, key: str, **facts: object) -> str:
        """A sentence, or a part of one, with its braces filled."""
        return self._parts[key].format_map(facts)

    def amount(self, value: float, unit: str = "") -> str:
        return amount(value, unit, self._language)

    def duration(self, seconds: float) -> str:
        return duration(seconds, self._language)

    def after(self, seconds: float) -> str:
        preposition = {"en": "after ", "ru": "через "}[self._language] if seconds < NEVER else ""
        return preposition + self.duration(seconds)

    def milliseconds(self, value: float) -> str:
        return self.amount(value, "ms")

    def percent(self, value: float) -> str:
        return self.amount(value, "%")

    def each(self, say: Callable[[float], str], quantity: str, condition: Condition) -> str:
        """A quantity of all three chats, as a list: "TCP 5 ms, plain UDP 3 ms, …"."""
        return self.listed(
            lambda chat: say(self._result.median(chat, quantity, condition)), separator=", "
        )

    def listed(self, say: Callable[[str], str], separator: str) -> str:
        """A list of the three chats with what `say` makes of each."""
        dash = DASHES[self._language]
        return separator.join(f"{name}{dash}{say(chat)}" for chat, name in self.chats.items())


Facts = Callable[[Result, Voice], Mapping[str, object]]


def words(name: str, facts: Facts) -> dict[str, Words]:
    """An experiment's words by language, from its file in texts/."""
    found = texts(TEXTS / f"{name}.ini")

    def explain(language: str, result: Result) -> list[str]:
        names, parts = found[f"{language} names"], found[f"{language} says"]
        voice = Voice(language, names, parts, result)
        told = facts(result, voice)
        return [voice.part(key, **told) for key in SENTENCES]

    return {
        language: Words(
            found[language]["title"],
            found[language]["question"],
            found[f"{language} names"],
            partial(explain, language),
        )
        for language in CHAT_NAMES
    }


def remarks(name: str, **facts: object) -> tuple[str, ...]:
    """An experiment's remarks, for its result."""
    return tuple(
        text.format_map(facts) for text in texts(TEXTS / f"{name}.ini")["remarks"].values()
    )
