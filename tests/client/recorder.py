"""An `on_event` for tests: keeps what it is called with, and lets any thread wait for an event."""

from __future__ import annotations

import threading

from tests.processes import WAIT_SECONDS
from udp_chat.client.chat_events import ChatEvent


class Recorder:
    """An `on_event` that keeps what it was called with; any thread may wait for an event."""

    def __init__(self) -> None:
        self.events: list[ChatEvent] = []
        self._changed = threading.Condition()

    def __call__(self, event: ChatEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def wait_for(self, kind: str, **keys: object) -> ChatEvent:
        def found() -> ChatEvent | None:
            for event in self.events:
                values: dict[str, object] = {**event}
                if event["event"] == kind and all(values.get(k) == keys[k] for k in keys):
                    return event
            return None

        with self._changed:
            event = self._changed.wait_for(found, WAIT_SECONDS)
            assert event, f"no {kind} {keys} in {self.events}"
            return event

    def texts(self) -> list[str]:
        return [event["text"] for event in self.events if event["event"] == "chat"]

    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events]
