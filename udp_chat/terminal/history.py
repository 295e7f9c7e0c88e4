"""The lines typed before, a search in them, and the changes that undo takes back. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

HISTORY_LINES_MAX = 500

UNDO_STEPS_MAX = 200


@dataclass(frozen=True, slots=True)
class Typed:
    """A line being typed, and where its cursor stands."""

    text: str = ""
    cursor: int = 0


class History:
    """The lines typed before, and which of them is shown."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._position = 0
        """After the last line comes the one being typed."""
        self._draft = ""

    def add(self, line: str) -> None:
        """Remembers a line, unless it is empty or the same as the last one."""
        if line and self._lines[-1:] != [line]:
            self._lines.append(line)
            del self._lines[:-HISTORY_LINES_MAX]

    def begin_line(self) -> None:
        """Goes behind the last line: a new one is being typed."""
        self._position = len(self._lines)

    def recalled(self, step: int, text: str) -> str | None:
        """The line so many steps on from the one shown, or the draft; None beyond the ends."""
        position = self._position + step
        if not 0 <= position <= len(self._lines):
            return None
        if self._position == len(self._lines):
            self._draft = text
        self._position = position
        return self._lines[position] if position < len(self._lines) else self._draft

    def found(self, word: str, before: int | None = None) -> tuple[int, Typed] | None:
        """The newest line with the word in it, before this one: its number, its cursor at the word.

        The case of letters does not matter.
        """
        pattern = re.compile(re.escape(word), re.IGNORECASE)
        newest = len(self._lines) if before is None else before
        for number in range(newest - 1, -1, -1):
            if place := pattern.search(self._lines[number]):
                return number, Typed(self._lines[number], place.start())
        return None


class Search:
    """Looks in the history for a word while it is being typed."""

    def __init__(self, history: History, line: Typed) -> None:
        self.word = ""
        self.line_before = line
        """The line being typed when the search began."""
        self.has_found = True
        """Whether a line has the word; also before there is one."""
        self._history = history
        self._number: int | None = None

    def look_for(self, word: str) -> Typed | None:
        """The line with this word; None if there is none."""
        # A longer word may be in the line that is shown, a shorter one in a newer line.
        longer = word.startswith(self.word) and self._number is not None
        before = self._number + 1 if longer and self._number is not None else None
        self.word = word
        return self._taken(before)

    def older(self) -> Typed | None:
        """The next older line with the word; None if there is none."""
        return self._taken(self._number)

    def _taken(self, before: int | None) -> Typed | None:
        found = self._history.found(self.word, before)
        self.has_found = found is not None or not self.word
        if found is None:
            return None
        self._number, line = found
        return line


class Changes:
    """What undo takes back, step by step. A word typed in one go is one step."""

    def __init__(self) -> None:
        self._steps: list[Typed] = []
        self._typing = False

    def add(self, before: Typed, typed: str = "") -> None:
        """Notes how the line was before a change, which is this text if text was typed."""
        if not (self._typing and typed and not typed[0].isspace()):
            self._steps.append(before)
            del self._steps[:-UNDO_STEPS_MAX]
        self._typing = bool(typed)

    def end_step(self) -> None:
        """Lets what is typed next be a step of its own: the cursor has moved."""
        self._typing = False

    def taken_back(self) -> Typed | None:
        """How the line was before the last step; None if there is none."""
        self._typing = False
        return self._steps.pop() if self._steps else None

    def clear(self) -> None:
        """Forgets all steps: another line begins."""
        self._steps.clear()
        self._typing = False
