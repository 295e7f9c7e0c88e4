"""The two READMEs of the steps say the same, and what they name is there."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from compare.steps.programs import FOLDER, file_of, steps
from tests.project.markdown import code_blocks, code_spans, links, prose, sections, tables

TEXTS = {
    name: (FOLDER / name).read_text(encoding="utf-8") for name in ("README.md", "README.ru.md")
}
ENGLISH, RUSSIAN = TEXTS.values()
ROWS = [row for table in tables(ENGLISH) for row in table[1:]]
PAIRS = list(zip(sections(ENGLISH), sections(RUSSIAN), strict=True))
QUESTION = re.compile(r"(?m)^(\d+)\. \*\*.+\?\*\*\s\(([tu]\d): ")
FIGURE = re.compile(r"\d+(?:[.,]\d+)?")


def without_comments(block: str) -> str:
    return re.sub(r"(?m)\s*# .*$", "", block)


@pytest.mark.parametrize(
    ("english", "russian"),
    [(english, russian) for (_, english), (_, russian) in PAIRS],
    ids=[heading.strip("# ") for (heading, _), _ in PAIRS],
)
def test_the_readmes_say_the_same_in_each_section(english: str, russian: str) -> None:
    ours, theirs = code_blocks(english), code_blocks(russian)
    assert list(map(without_comments, ours)) == list(map(without_comments, theirs))
    assert [list(map(len, table)) for table in tables(english)] == [
        list(map(len, table)) for table in tables(russian)
    ]
    other_language = {"README.md", "README.ru.md"}
    assert [link for link in links(english) if link not in other_language] == [
        link for link in links(russian) if link not in other_language
    ]
    assert Counter(code_spans(english)) == Counter(code_spans(russian))
    assert prose(english).count("\n- ") == prose(russian).count("\n- ")
    figures = (
        Counter(FIGURE.findall(prose(text).replace(",", "."))) for text in (english, russian)
    )
    assert next(figures) == next(figures)


@pytest.mark.parametrize("name", sorted(TEXTS))
def test_the_files_that_a_readme_links_are_there(name: str) -> None:
    assert [link for link in links(TEXTS[name]) if not (FOLDER / link).exists()] == []


def test_each_step_has_its_row_with_its_file_and_its_command() -> None:
    assert [row[0] for row in ROWS] == [f"[{step}]({file_of(step).name})" for step in steps()]
    assert [row[2] for row in ROWS] == [f"`python3 -m compare.steps {step}`" for step in steps()]


@pytest.mark.parametrize("row", ROWS, ids=steps())
def test_the_real_code_has_what_a_row_names(row: list[str]) -> None:
    found = [
        (FOLDER / path, code_spans(names))
        for path, names in re.findall(r"\]\(([^)]+)\)([^\[]*)", row[4])
    ]
    assert found
    for path, names in found:
        assert names, path
        source = Path(path).read_text(encoding="utf-8")
        assert [name for name in names if not re.search(rf"\b{name}\b", source)] == [], path


def test_there_are_ten_questions_each_with_its_step() -> None:
    for text in TEXTS.values():
        asked = QUESTION.findall(re.sub(r"\n {3,}", " ", text))
        assert [int(number) for number, _ in asked] == list(range(1, 11))
        assert {step for _, step in asked} <= set(steps())
