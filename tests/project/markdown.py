"""What a Markdown document is made of, as far as tests compare it."""

from __future__ import annotations

import re
from itertools import pairwise


def prose(text: str) -> str:
    """The text without its code blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", text)


def code_blocks(text: str) -> list[str]:
    """The code blocks, each with the language in its first line."""
    return re.findall(r"(?ms)^```(.*?)^```$", text)


def sections(text: str) -> list[tuple[str, str]]:
    """(heading, what is under it up to the next heading of any level); the first has none."""
    blank = re.sub(r"(?ms)^```.*?^```$", lambda block: block[0].replace("\n#", "\n "), text)
    starts = [0, *(match.start() for match in re.finditer(r"(?m)^#+ ", blank)), len(text)]
    parts = [text[start:end] for start, end in pairwise(starts) if start < end]
    return [
        (part.partition("\n")[0], part.partition("\n")[2]) if part.startswith("#") else ("", part)
        for part in parts
    ]


def section(text: str, heading: str) -> str:
    """What is under a heading up to the next one of its level or a higher one."""
    level = heading.partition(" ")[0]
    begin = f"\n{heading}\n"
    assert begin in text, f"there is no heading {heading!r}"
    rest = text.partition(begin)[2]
    return re.split(rf"^#{{1,{len(level)}}} ", rest, maxsplit=1, flags=re.MULTILINE)[0]


def tables(text: str) -> list[list[list[str]]]:
    """The cells of each table: a list of rows, without the ruler below the headings."""
    found: list[list[list[str]]] = []
    before = ""
    for line in prose(text).splitlines():
        if line.startswith("|"):
            if not before.startswith("|"):
                found.append([])
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            if not all(re.fullmatch(r":?-+:?", cell) for cell in cells):
                found[-1].append(cells)
        before = line
    return found


def code_spans(text: str) -> list[str]:
    """What stands between backticks, a broken line read as a blank."""
    return [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(text))]


def links(text: str) -> list[str]:
    """What links and pictures lead to, in their order."""
    return re.findall(r"\]\(([^)\s]+)\)", prose(text))
