"""What reaches a terminal, looked at from outside.

`Shown` shows events as the programs do and asserts that nothing in them moves a cursor.
"""

from __future__ import annotations

import contextlib
import io
import json
import unicodedata
from functools import lru_cache

from udp_chat.app.catalogue import LANGUAGES
from udp_chat.app.conversation import Conversation
from udp_chat.app.lines import event_line
from udp_chat.app.showing import MARK, day_sentence, local_day
from udp_chat.client.chat_events import ChatEvent

_JOINERS = "\u200c\u200d"


@lru_cache(100_000)
def _moves_cursor(character: str) -> bool:
    category = unicodedata.category(character)
    return category in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") and character not in _JOINERS


def check_line(line: str) -> None:
    """Asserts that a line for a terminal has nothing in it that a terminal would obey."""
    if line.isascii() and line.isprintable():
        return
    bad = [character for character in set(line) if _moves_cursor(character)]
    assert not bad, f"{min(bad)!a} would reach a terminal in {line!a}"


class Shown:
    """Shows events as the programs do, each in the next language, and looks at what is printed."""

    def __init__(self) -> None:
        self._conversations = [Conversation(language, timestamps=True) for language in LANGUAGES]

    def show(self, event: ChatEvent) -> None:
        """As --json, and as a line with the time before it."""
        json.dumps(event)
        conversation = self._conversations[0]
        self._conversations.reverse()
        output = io.StringIO()
        with contextlib.redirect_stdout(output):
            conversation.show(event)
        shown = output.getvalue()
        if event["event"] == "refused" and not shown:  # at the start, the command says it
            shown += event_line(event, conversation.language) or ""
        lines = shown.removesuffix("\n").split("\n")
        if len(lines) == 2 and "time" in event:
            day = day_sentence(local_day(event["time"]), conversation.language)
            assert lines.pop(0) == f"{MARK} {day}", f"{event} is several lines"
        assert len(lines) == 1 or event.get("reason") == "stats", f"{event} is several lines"
        for line in lines:
            check_line(line)
