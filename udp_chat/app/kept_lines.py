"""What `udp_client.py --keep` keeps for /history: what was shown, or the room that it opened."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

from udp_chat.app.lines import event_line
from udp_chat.client.chat_events import of_room
from udp_chat.server.keeping import CannotKeep, KeptFile, newest_events


class KeptLines(Protocol):
    """Lines from a file. Any thread may call it, and nothing is raised."""

    def add(self, line: str) -> None:
        """Keeps a line that was shown."""

    def newest(self, count: int) -> list[str]:
        """The newest lines, so many of them at most, oldest first."""


class ShownLines:
    """A file with what a guest in a room was shown. If it takes no more, `on_failure` gets the
    reason once, and later lines are not kept."""

    def __init__(self, file: KeptFile, on_failure: Callable[[CannotKeep], None]) -> None:
        self._file = file
        self._on_failure = on_failure
        self._has_failed = False
        self._lock = threading.Lock()

    def add(self, line: str) -> None:
        try:
            with self._lock:
                if not self._has_failed:
                    self._file.add_line(line)
        except CannotKeep as error:
            self._has_failed = True
            self._on_failure(error)

    def newest(self, count: int) -> list[str]:
        try:
            with self._lock:
                return self._file.newest_lines(count)
        except CannotKeep:
            return []


class RoomLines:
    """The file of a room that this process has opened: its server keeps what is said."""

    def __init__(self, path: str, language: str) -> None:
        self._path = path
        self._language = language

    def add(self, line: str) -> None:
        pass

    def newest(self, count: int) -> list[str]:
        try:
            events = newest_events(self._path, count)
        except CannotKeep:
            return []
        lines = [event_line(of_room(*each, history=False), self._language) for each in events]
        return [line for line in lines if line]
