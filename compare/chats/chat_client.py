"""What both clients do with the server's messages: who is here, and which events to show."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from compare.chats.messages import JoinFailed, Kind, Message, event_of
from udp_chat.protocol.worker import Worker

if TYPE_CHECKING:
    from udp_chat.client.chat_events import ChatEvent

OnEvent: TypeAlias = "Callable[[ChatEvent], None]"

logger = logging.getLogger("compare.client")

JOIN_TIMEOUT_SECONDS = 5.0
"""How long a client waits for the server to let it in: as udp-chat's own client."""


class ChatClient(Worker):
    """A member of a room. All methods may be called from any thread.

    The client calls `on_event` with each event, in order, on a thread of its own and while it
    holds no lock: the callback may call every method but `start` and `finish`.
    """

    def __init__(
        self,
        server: tuple[str, int],
        name: str,
        on_event: OnEvent | None,
        threads: dict[str, Callable[[], None]],
    ) -> None:
        """`threads` says what each thread does, by its name."""
        super().__init__(threads)
        self.server = server
        self.name = name
        self._on_event = on_event or (lambda event: None)
        self._members: set[str] = set()
        self._is_joined = False
        self._answered = threading.Event()
        self._refusal: JoinFailed | None = None

    @property
    def members(self) -> list[str]:
        """The names of the members, as far as this client has heard, sorted."""
        return sorted(self._members.copy())

    def _wait_until_joined(self, timeout_seconds: float) -> None:
        """Raises `JoinFailed` if the server refuses, or does not answer in time."""
        self._answered.wait(timeout_seconds)
        if not self._is_joined:
            raise self._refusal or JoinFailed("no_answer", f"no answer in {timeout_seconds:g} s")

    def _take(self, message: Message) -> None:
        """Follows a message of the server's, and shows it."""
        match message.kind:
            case Kind.REFUSED:
                self._refusal = JoinFailed(message.text, f"the server refused: {message.text}")
                self._show({"event": "refused", "reason": message.text, "text": str(self._refusal)})
            case Kind.WELCOME:
                self.name = message.name
                self._members = set(message.text.split("\n")[1:])
                self._is_joined = True
            case Kind.JOIN:
                self._members.add(message.name)
            case Kind.LEFT:
                self._members.discard(message.name)
        event = event_of(message)
        if event is not None:
            self._show(event)
        if message.kind in (Kind.WELCOME, Kind.REFUSED):
            self._answered.set()  # only now: the callback has heard of it first

    def _show_end(self, reason: str) -> None:
        """Shows that the conversation has ended, if it had begun; no reason: we wished so."""
        if self._is_joined:
            self._show({"event": "left", "reason": reason} if reason else {"event": "left"})

    def _show(self, event: ChatEvent) -> None:
        try:
            self._on_event(event)
        except Exception:  # the caller's code: whatever it raises, the conversation continues
            logger.exception("on_event failed for %r", event)
