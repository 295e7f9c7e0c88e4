"""What users read says what the code does, and says it in both languages.

README.md, README.ru.md, docs/using.md, docs/performance.md and docs/tcp-vs-udp.md: their options,
commands, events, files and examples are compared with the code.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.project.markdown import (
    code_blocks,
    code_spans,
    links,
    prose,
    section,
    sections,
    tables,
)
from udp_chat.app.lines import EXIT_WORD, NOTICES, VERBS
from udp_chat.client.chat_events import ChatEvent
from udp_chat.protocol.packets import EventKind

PROJECT = Path(__file__).resolve().parent.parent.parent
NAMES = [
    *("README.md", "README.ru.md"),
    *("docs/using.md", "docs/performance.md", "docs/tcp-vs-udp.md"),
]
TEXTS = {name: (PROJECT / name).read_text(encoding="utf-8") for name in NAMES}
ENGLISH, RUSSIAN = TEXTS["README.md"], TEXTS["README.ru.md"]
USING = TEXTS["docs/using.md"]

README_LINES_MAX = 200
"""Two pages: what a newcomer reads before trying it."""

NEVER_SHOWN = {"lost_apart", "roster", "successors", "register", "chat_apart", "action_apart"}
"""Events on the wire that no program is told by these names."""

COMMANDS = ("udp_server.py", "udp_client.py", "protocol.py")


# --- the two READMEs -------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["README.md", "README.ru.md"])
def test_a_readme_is_short(name: str) -> None:
    assert len(TEXTS[name].splitlines()) <= README_LINES_MAX


def heading_levels(text: str) -> list[int]:
    return [len(heading.partition(" ")[0]) for heading, _ in sections(text)]


def without_words(block: str) -> str:
    """A code block without what is translated: comments, and a diagram's notes and names."""
    for pattern in (
        r"(?m)\s*# .*$",
        r"(?m)(Note over [\w,]+): .*$",
        r"(?m)(participant \w+) as .*$",
    ):
        block = re.sub(pattern, lambda found: found[1] if found.re.groups else "", block)
    return block


def same_in_both(text: str) -> str:
    """A link without what differs: the language it leads to, or the words of a heading."""
    return re.sub(r"(?<=#).*", "", text.replace("README.ru.md", "README.md"))


def test_the_readmes_have_the_same_headings() -> None:
    assert heading_levels(ENGLISH) == heading_levels(RUSSIAN)


PAIRS = list(zip(sections(ENGLISH), sections(RUSSIAN), strict=False))


@pytest.mark.parametrize(
    ("english", "russian"),
    [(english, russian) for (_, english), (_, russian) in PAIRS],
    ids=[heading.strip("# ") for (heading, _), _ in PAIRS],
)
def test_the_readmes_say_the_same_in_each_section(english: str, russian: str) -> None:
    ours = [without_words(block) for block in code_blocks(english)]
    theirs = [without_words(block) for block in code_blocks(russian)]
    assert ours == theirs
    assert [[len(row) for row in table] for table in tables(english)] == [
        [len(row) for row in table] for table in tables(russian)
    ]
    assert Counter(map(same_in_both, links(english))) == Counter(map(same_in_both, links(russian)))
    assert Counter(code_spans(english)) == Counter(code_spans(russian))
    for mark in ("\n- ", "**"):
        assert prose(english).count(mark) == prose(russian).count(mark), mark


def test_the_files_that_the_readme_names_hold_what_it_says() -> None:
    rows = [
        row for table in tables(section(ENGLISH, "## Where it is in the code")) for row in table
    ]
    looked_up = [
        (links(row[1])[0], code_spans(row[2])) for row in rows if len(row) == 3 and links(row[1])
    ]
    assert len(looked_up) > 10
    for path, names in looked_up:
        source = (PROJECT / path).read_text(encoding="utf-8")
        assert names
        assert [name for name in names if not re.search(rf"\b{name}\b", source)] == [], path


def test_the_readme_has_every_folder() -> None:
    documented = {
        name
        for table in tables(section(ENGLISH, "## Where it is in the code"))
        for row in table
        if len(row) == 2
        for name in code_spans(row[0])
    }
    package = {path.parent.relative_to(PROJECT) for path in PROJECT.glob("udp_chat/*/__init__.py")}
    beside = {path.parent.relative_to(PROJECT) for path in PROJECT.glob("*/__init__.py")}
    folders = {path.as_posix() for path in package | beside} - {"udp_chat"} | {"docs"}
    assert documented == folders


@pytest.mark.parametrize("name", NAMES)
def test_every_file_that_a_document_names_is_there(name: str) -> None:
    """From the root, or from the package's folder."""
    named = [span for span in code_spans(TEXTS[name]) if re.fullmatch(r"[\w/]+\.py", span)]
    found = [
        path for path in named if any((PROJECT / at / path).exists() for at in ("", "udp_chat"))
    ]
    assert named == found


# --- the commands ----------------------------------------------------------------------------


def help_of(command: str) -> str:
    """What a command says of itself, in English."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("LC_")}
    environment |= {"LANG": "C.UTF-8", "COLUMNS": "200", "NO_COLOR": "1"}
    finished = subprocess.run(
        [sys.executable, command, "--help"],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=True,
    )
    return finished.stdout


def options(command: str) -> dict[str, str]:
    """Each long option of a command with what `--help` says about it."""
    pattern = r"(?m)^  (?:-\w(?: \w+)?, )?(--[\w-]+)((?:.*\n?)(?:^ {4,}.*\n?)*)"
    found = dict(re.findall(pattern, help_of(command)))
    return {option: " ".join(text.split()) for option, text in found.items() if option != "--help"}


@pytest.mark.parametrize("command", COMMANDS)
def test_the_options_of_a_command_are_those_in_the_document(command: str) -> None:
    documented = {
        code_spans(row[0])[0].split()[0]: row[1]
        for table in tables(section(USING, f"### {command}"))
        for row in table
        if row[0].startswith("`--")
    }
    helped = options(command)
    assert documented.keys() == helped.keys()
    for option, text in helped.items():
        default = re.search(r"\(default: ([^\s)]+)\)", text)
        if default is not None and "[" not in text.partition("  ")[0].split()[0]:
            assert documented[option] == default[1], option


def commands_named(text: str) -> list[str]:
    """Every command in code, up to what only a shell reads."""
    spans = [*code_spans(text), *re.findall(r"(?m)^\$ (.*)$", "\n".join(code_blocks(text)))]
    return [re.split(r"\s+#|[|;]", span)[0].strip() for span in spans]


@pytest.mark.parametrize("name", NAMES)
def test_every_command_that_a_document_names_is_there(name: str) -> None:
    makefile = (PROJECT / "Makefile").read_text(encoding="utf-8")
    named = [command.split() for command in commands_named(TEXTS[name])]
    for words in named:
        if words[0] == "make" and len(words) > 1:
            assert re.search(rf"(?m)^{words[1]}:", makefile), words
        elif words[:2] == ["python3", "-m"]:
            assert importlib.util.find_spec(words[2]) is not None, words
        elif words[0] == "python3" and words[1] in COMMANDS:
            given = {word for word in words if word.startswith("--")}
            assert given <= options_known(words[1]) | {"--help"}, words
        elif words[0] == "python3" and words[1] != "udp-chat.pyz":
            assert (PROJECT / words[1]).exists(), words


_KNOWN: dict[str, set[str]] = {}


def options_known(command: str) -> set[str]:
    """The options of a command, looked up once."""
    if command not in _KNOWN:
        _KNOWN[command] = set(options(command))
    return _KNOWN[command]


def test_the_commands_of_the_chat_are_in_the_document() -> None:
    [table] = tables(section(USING, "## In the chat"))
    spans = [span for row in table for span in code_spans(row[0])]
    assert {span[1:].split()[0] for span in spans if re.match(r"/\w", span)} == set(VERBS)
    assert EXIT_WORD in spans


# --- for programs ----------------------------------------------------------------------------


def test_every_event_every_reason_and_every_key_is_in_the_document() -> None:
    text = section(USING, "## Events as JSON")
    events, reasons, keys = ({code_spans(row[0])[0] for row in table[1:]} for table in tables(text))
    sources = [
        path.read_text(encoding="utf-8")
        for folder in ("app", "client")
        for path in (PROJECT / "udp_chat" / folder).glob("*.py")
    ]
    made = {kind.name.lower() for kind in EventKind} - NEVER_SHOWN
    made |= {name for source in sources for name in re.findall(r'"event": "(\w+)"', source)}
    assert events <= made
    assert made <= events | reasons
    told = {re.sub("(?<=unusable_name_).*", "…", reason) for reason in NOTICES}
    assert reasons == told | {"stats"}
    listed = keys | {span for row in tables(text)[2] for span in code_spans(row[0])}
    assert listed == set(ChatEvent.__annotations__) - {"event"}


def test_the_bot_of_the_document_runs() -> None:
    [example] = [block for block in code_blocks(USING) if block.startswith("python\n")]
    finished = subprocess.run(
        [sys.executable, "-c", example.removeprefix("python\n")],
        cwd=PROJECT,
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert finished.stderr == ""
    assert finished.stdout == "Anna said ping\nBot said pong, Anna\n"


# --- figures ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if name != "docs/performance.md"])
def test_how_fast_the_server_is_stands_in_one_document(name: str) -> None:
    """Others link to it. Two documents with figures of one thing come to contradict each other."""
    said = prose(TEXTS[name])
    assert re.findall(r"\d[\d.,]* (?:thousand|million|тыс|млн)", said) == []
    assert name == "docs/using.md" or "performance.md" in said
