"""How an event looks to a person: the chat's own mark, dates, crowds, what stands out.

A line of the chat itself begins with `MARK`; what people say never has that sign in it. A mention,
a private message and an error stand out; joins, leaves and history are dim. Pure.
"""

from __future__ import annotations

import threading
import time
import unicodedata
from datetime import date
from functools import lru_cache

from udp_chat.app.chat_sentences import CHAT
from udp_chat.app.lines import event_parts
from udp_chat.client.chat_events import ChatEvent
from udp_chat.protocol.names import name_fold
from udp_chat.protocol.printable import printable
from udp_chat.terminal.style import BOLD, DIM, Span, colour

MARK = "►"
"""Begins each line of the chat itself. Old consoles have it too, and no terminal shows it wide."""

LIKE_MARK = ">"
"""What is shown where a name or a message has the mark in it."""

SAID = ("chat", "action", "private")
COME_AND_GONE = ("join", "leave")
NAMES = ("name", "new_name", "to")
"""Fields of an event that are shown in a name's colour."""

ERROR = f"{BOLD};31"

UNREAD_SHOWN_MAX = 99
"""Of more unread messages the title does not tell the number."""

CROWD_NAMES_MAX = 8
"""Names in the line of a crowd; the count has the rest."""

_WITHOUT_BLANKS = ("CJK", "HIRAGANA", "KATAKANA", "THAI", "LAO", "KHMER", "MYANMAR")
"""Scripts that put no blanks between words: there a name ends where it ends."""


def event_spans(event: ChatEvent, language: str, my_name: str = "") -> list[Span]:
    """What a person sees of an event; empty if it is not shown. `my_name` tells mentions."""
    fields = event_parts(event, language)
    if not fields:
        return []
    style = _style(event, fields[0][1], my_name)
    spans = [
        Span(
            text.replace(MARK, LIKE_MARK),
            both_styles(style, colour(text) if field in NAMES else ""),
        )
        for field, text in fields
    ]
    is_table = any("\n" in text for _, text in fields)
    return spans if event["event"] in SAID or is_table else [Span(f"{MARK} ", style), *spans]


def own_line(text: str) -> str:
    """A text of the chat itself with the mark; a table stays as it is."""
    return text if "\n" in text else f"{MARK} {text}"


def both_styles(first: str, second: str) -> str:
    return ";".join(filter(None, (first, second)))


def _style(event: ChatEvent, beginning: str, my_name: str) -> str:
    if event.get("history") or event["event"] in (*COME_AND_GONE, "rename"):
        return DIM
    if event["event"] not in SAID and beginning.startswith("!"):
        return ERROR
    return BOLD if is_for_me(event, my_name) else ""


def is_for_me(event: ChatEvent, my_name: str) -> bool:
    """Whether another person mentions me, or writes to me alone."""
    if event["event"] not in SAID or event.get("name") == my_name:
        return False
    return event["event"] == "private" or mentions(event.get("text", ""), my_name)


# --- crowds ----------------------------------------------------------------------------------


class Crowd:
    """Members that come, or go, one after another: the screen shows them in one line."""

    def __init__(self) -> None:
        self._key = ("", False)
        self._names: list[str] = []
        self._count = 0

    def add(self, event: ChatEvent, language: str) -> list[Span]:
        """What the screen shows of this event in place of the line before; empty if it has none.

        Any other event ends a crowd; so does `end`.
        """
        kind = event["event"]
        if kind not in COME_AND_GONE:
            self.end()
            return []
        timed_out = kind == "leave" and event.get("reason") == "timeout"
        key = (f"crowd_{kind}{'_timeout' if timed_out else ''}", event.get("history", False))
        if key != self._key:
            self.end()
            self._key = key
        self._count += 1
        if len(self._names) < CROWD_NAMES_MAX:
            self._names.append(printable(event.get("name", "")).replace(MARK, LIKE_MARK))
        if self._count == 1:
            return []
        names = ", ".join(self._names) + (", …" if self._count > CROWD_NAMES_MAX else "")
        text = CHAT.sentence(language, key[0], count=self._count, members=names)
        if key[1]:
            text = CHAT.sentence(language, "history", line=text)
        return [Span(f"{MARK} {text}", DIM)]

    def end(self) -> None:
        """Something else is shown."""
        self._key, self._names, self._count = ("", False), [], 0


# --- unread ----------------------------------------------------------------------------------


class Unread:
    """Counts the messages that come while nobody looks. Any thread may call it."""

    def __init__(self) -> None:
        self.count = 0
        self.looks = True
        """Whether the person looks; true until the terminal says otherwise."""
        self._lock = threading.Lock()

    def look(self, looks: bool) -> None:
        """The person looks at the window, or away."""
        with self._lock:
            self.looks = looks
            if looks:
                self.count = 0

    def add(self) -> bool:
        """A message has come. True if it is the first that nobody sees come."""
        with self._lock:
            self.count += not self.looks
            return self.count == 1


def unread_spans(language: str) -> list[Span]:
    """The line before the first message that nobody saw come."""
    return [Span(f"{MARK} ── {CHAT.sentence(language, 'unread')} ──", BOLD)]


def title(room: str, unread_count: int) -> str:
    """The title of the window."""
    if not unread_count:
        return room
    shown = unread_count if unread_count <= UNREAD_SHOWN_MAX else f"{UNREAD_SHOWN_MAX}+"
    return f"({shown}) {room}"


# --- days ------------------------------------------------------------------------------------


class Days:
    """Tells when the day changes between what is shown. A day begins where this computer is."""

    def __init__(self, today: date) -> None:
        self._day = today
        self._in_history = True

    def spans_before(self, event: ChatEvent, language: str) -> list[Span]:
        """The line with the date that goes before this event; empty if the day is the same."""
        if "time" not in event:
            return []
        day = local_day(event["time"])
        is_history = event.get("history", False)
        # A private message may come after a newer one of the room: that turns no day back.
        may_be_older = is_history or self._in_history
        self._in_history = is_history
        if day == self._day or (day < self._day and not may_be_older):
            return []
        self._day = day
        return [Span(f"{MARK} {day_sentence(day, language)}", DIM)]


def local_day(at: float) -> date:
    """The day of a Unix time where this computer is."""
    return date(*time.localtime(at)[:3])


def day_sentence(day: date, language: str) -> str:
    """A date in words."""
    return CHAT.sentence(
        language,
        "day",
        weekday=CHAT.sentence(language, f"weekday_{day.isoweekday()}"),
        day=day.day,
        month=CHAT.sentence(language, f"month_{day.month}"),
        year=day.year,
    )


# --- mentions --------------------------------------------------------------------------------


@lru_cache(maxsize=8)  # a message is asked about as it is drawn, rings and notifies
def mentions(text: str, name: str) -> bool:
    """Whether the text has the name as a whole word, in upper or lower case."""
    folded, word = name_fold(text), name_fold(name)
    start = folded.find(word) if word else -1
    while start >= 0:
        end = start + len(word)
        before, after = folded[start - 1 : start], folded[end : end + 2]
        if not _is_joined(before, word[0]) and not _is_longer_name(word[-1], after):
            return True
        start = folded.find(word, start + 1)
    return False


def _is_longer_name(last: str, after: str) -> bool:
    """Whether what follows belongs to the word: "anna" in "annas", or in "anna-2"."""
    if len(after) == 2 and after[0] in "-." and after[1].isdecimal():
        return True
    return _is_joined(last, after[:1])


def _is_joined(one: str, other: str) -> bool:
    """Whether two neighbours are inside one word."""
    return _is_of_word(one) and _is_of_word(other)


def _is_of_word(character: str) -> bool:
    if not character or unicodedata.category(character)[0] not in "LMN":
        return character == "_"
    return not unicodedata.name(character, "").startswith(_WITHOUT_BLANKS)
