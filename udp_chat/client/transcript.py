"""What is shown of a conversation: `ChatEvent`s in their order, held back until the client is in.

`joined` names all members, so it waits for the roster. What came of the room's log before that is
held back, and shown after it. Pure.
"""

from __future__ import annotations

from collections import deque

from udp_chat.client import chat_events
from udp_chat.client.chat_events import ChatEvent
from udp_chat.protocol.delivery import Delivery, Lost
from udp_chat.protocol.packets import Event, EventKind, Message

SAID = (EventKind.CHAT, EventKind.ACTION)

SEEN_LINES = 3
"""Messages of mine that "who has them?" is about."""


class Transcript:
    """What one client shows. Nothing is shown twice, and what is lost is shown as `lost`."""

    def __init__(self) -> None:
        self.held_back: list[Delivery] | None = None
        """What came of the room's log before `joined`; None if nothing is held back."""
        self.own_messages: deque[tuple[int, str]] = deque(maxlen=SEEN_LINES)
        """My newest messages in the room, by sequence number."""
        self._events: list[ChatEvent] = []
        self._history_before = 0
        self._apart_until = 0
        self._joined_seq = 0
        self._held_host: ChatEvent | None = None

    @property
    def has_events(self) -> bool:
        return bool(self._events)

    def take(self) -> list[ChatEvent]:
        """What is to be shown, in order, once."""
        events, self._events = self._events, []
        return events

    def show(self, event: ChatEvent) -> None:
        self._events.append(event)

    def show_unless_joining(self, event: ChatEvent) -> None:
        """Shows what makes no sense to a person who is not in yet."""
        if self.held_back is None:
            self._events.append(event)

    # --- sessions ----------------------------------------------------------------------------

    def begin_session(self, joined_seq: int) -> None:
        """A session begins. Its own join has this number, and is shown as `joined`."""
        self._joined_seq = joined_seq

    def begin_log(self, joined_seq: int, *, was_in: bool, was_empty: bool = False) -> None:
        """Another log begins: to a newcomer all before its join is history.

        `was_empty` says that the log before had nothing that anybody could miss.
        """
        if not was_in:
            self.held_back = []
        elif not was_empty:
            self._events.append({"event": "lost", "count": None})
        self._history_before = 0 if was_in and not was_empty else joined_seq
        self._apart_until = 0
        self.own_messages.clear()  # their numbers mean other events there

    def begin_apart(self, until: int) -> None:
        """What comes up to this event was said while this client was in another part of the
        room."""
        self._apart_until = until

    def show_host(self, event: ChatEvent) -> None:
        """Shows who hosts the room, but not before the client is in."""
        if self.held_back is None:
            self._events.append(event)
        else:
            self._held_host = event

    def show_held_host(self) -> None:
        """Shows it now, if that has waited."""
        if self._held_host is not None:
            self._events.append(self._held_host)
            self._held_host = None

    def keep_what_is_true(self, acknowledged: int, latest: int) -> None:
        """Of what is held back, forgets what cannot come from a log that ends at `latest`.

        What was received of the log counts up to `acknowledged`.
        """
        if self.held_back is not None:
            true = [d for d in self.held_back if not isinstance(d, Lost)]
            true = [d for d in true if d[0] <= min(acknowledged, latest)]
            missing = acknowledged - true[-1][0] if true else 0
            self.held_back = [*true, Lost(missing)] if missing else [*true]

    def forget_after(self, seq: int) -> None:
        """Of what is held back, forgets what came after this event: another host goes on there."""
        if self.held_back is not None:
            self.held_back = [d for d in self.held_back if isinstance(d, Lost) or d[0] <= seq]

    def release(self) -> list[Delivery]:
        """Holds nothing back any more; returns what was."""
        held_back, self.held_back = self.held_back or [], None
        return held_back

    # --- what was received -------------------------------------------------------------------

    def show_lost(self, lost: Lost) -> None:
        self._events.append({"event": "lost", "count": lost.count})

    def show_of_room(self, seq: int, event: Event, *, is_mine: bool) -> None:
        """Shows an event of the room's log."""
        if is_mine and event.message_id and event.kind in SAID:
            self.own_messages.append((seq, event.text))
        if seq == self._joined_seq:
            return
        shown = chat_events.of_room(seq, event, seq < self._history_before)
        if seq <= self._apart_until and event.kind in SAID:
            shown["apart"] = True
        self._events.append(shown)

    def show_sent(self, message: Message, seq: int | None) -> None:
        """Shows that the server has accepted a message of mine."""
        self._events.append(chat_events.of_sent(message, seq))

    def show_of_inbox(self, event: Event) -> None:
        """Shows an event of the inbox that is meant for the person."""
        if event.kind is EventKind.SEEN:
            self._events.append(chat_events.of_seen(event, dict(self.own_messages)))
        elif event.kind is EventKind.NOTICE:
            self._events.append(chat_events.of_notice(event))
        else:
            self._events.append(chat_events.of_private(event))
