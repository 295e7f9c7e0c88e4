"""The newest lines of a conversation, for /history, /save and /search.

Pure but for a lock: any thread may add a line while another one searches.
"""

from __future__ import annotations

import threading
import unicodedata
from collections import deque
from dataclasses import dataclass
from itertools import islice

REMEMBERED_LINES = 10_000
"""Lines of 60 Cyrillic letters take 3 MB together, and a search 12 ms; the
longest messages take 11 MB and 40 ms. With --timestamps a message is here twice."""


@dataclass(frozen=True, slots=True)
class Said:
    """What somebody said, as the screen shows it, and when (Unix time)."""

    text: str
    at: float


class Remembered:
    """Lines as they were shown. Beyond `lines_max` the oldest is forgotten."""

    def __init__(self, lines_max: int = REMEMBERED_LINES) -> None:
        self._lines: deque[tuple[str, Said | None]] = deque(maxlen=lines_max)
        self._lock = threading.Lock()

    def add(self, line: str, said: Said | None = None) -> None:
        """Remembers a line; `said` is what /search can find of it."""
        if said is not None and said.text == line:
            line = said.text  # one copy of it is enough
        with self._lock:
            self._lines.append((line, said))

    def newest(self, count: int | None = None) -> list[str]:
        """The newest `count` lines, or all, oldest first."""
        with self._lock:
            lines = [line for line, _ in self._lines]
        return lines if count is None else lines[max(0, len(lines) - count) :]

    def search(self, words: str, count_max: int) -> tuple[list[Said], int]:
        """The newest messages with all of the words in them, oldest first, and how many there are.

        Upper and lower case do not matter, nor does how a letter is composed. A word may be a part
        of a longer one.
        """
        wanted = [_folded(word) for word in words.split()]
        with self._lock:
            said = [said for _, said in self._lines if said is not None]
        found = [one for one in said if _has_all(_folded(one.text), wanted)]
        return list(islice(found, max(0, len(found) - count_max), None)), len(found)


def _has_all(text: str, words: list[str]) -> bool:
    return all(word in text for word in words)


def _folded(text: str) -> str:
    # Composed first: then both normalizations mostly see at a glance that nothing is to do.
    folded = unicodedata.normalize("NFKC", text).casefold()
    return unicodedata.normalize("NFC", folded).replace("\u2019", "'")
