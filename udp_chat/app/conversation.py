"""One person's conversation: it carries out what they type, and shows them what happens.

It stands between a `UdpClient` and a `Terminal`, with the words of lines.py. It also remembers what
was shown, for /history, /save and a transcript, and decides when to ring the bell.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from udp_chat.app.chat_sentences import CHAT
from udp_chat.app.completing import Completions
from udp_chat.app.kept_lines import KeptLines
from udp_chat.app.lines import (
    Command,
    help_text,
    nobody_to_answer,
    wrong_line,
)
from udp_chat.app.reconnection import Reconnection
from udp_chat.app.remembered import Remembered, Said
from udp_chat.app.showing import (
    COME_AND_GONE,
    SAID,
    Crowd,
    Days,
    Unread,
    event_spans,
    is_for_me,
    local_day,
    own_line,
    title,
    unread_spans,
)
from udp_chat.app.standard_streams import LineFile, complain, discard_output
from udp_chat.client.chat_events import ChatEvent
from udp_chat.protocol.addresses import parse_address, typed_address
from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.names import UnusableName, name_fold
from udp_chat.protocol.printable import printable
from udp_chat.server.keeping import CannotKeep
from udp_chat.terminal.screen import Terminal
from udp_chat.terminal.style import DIM, Span

if TYPE_CHECKING:
    from udp_chat.client.udp_client import UdpClient

HISTORY_LINES = 20
"""What /history shows when no number is given."""

FOUND_LINES_MAX = 20
"""What /search shows at most: the newest; it says how many there are."""

UNSENT_LINES_MAX = 20
"""Messages that were not sent and are shown at the end: the oldest; it says how many more."""

SEEN_FLUSH_SECONDS = 1.0
"""How long /seen waits until the server has accepted the newest message."""

ANSWER_SETTLES_SECONDS = 5.0
"""So soon after another person has written in private, /r asks whom it is to answer."""

END_AGAIN_SECONDS = 0.2
"""How soon the main thread is told again to leave, if it has not heard."""


class Conversation:
    """Shows events and carries out commands. `show` may be called from any thread."""

    def __init__(
        self,
        language: str,
        as_json: bool = False,
        timestamps: bool = False,
        *,
        shows_history: bool = True,
        listens: bool = False,
    ) -> None:
        """`listens`: nobody types, and the conversation ends with the server."""
        self.language = language
        self.as_json = as_json
        self.listens = listens
        self.client: UdpClient | None = None
        self.terminal: Terminal | None = None
        """None: events and lines are printed as they are."""
        self.joined = threading.Event()
        self.server_stopped = threading.Event()
        """The server has said goodbye; told to one that only listens."""
        self.leaving = False
        self.interrupted = False
        """A signal has come: somebody waits for the end."""
        self.found_nobody = False
        """A private message named a person that is not here."""
        self.failure = ""
        """The bug of this program that ended the client, if one did."""
        self.transcript: LineFile | None = None
        self.kept_lines: KeptLines | None = None
        self.room_file = ""
        """The file of the room that is hosted here, as long as it keeps what is said."""
        self._timestamps = timestamps
        self._shows_history = shows_history
        self._lines = Remembered()
        self._answer_to = ""
        """Whom /r answers."""
        self._answers_another_at = -NEVER
        """When somebody else wrote, so that an answer just being typed is meant for another one."""
        self._bell = "mentions"
        self._shows_joins = True
        self._knows_host = False
        self._moved_to: tuple[str, int] | None = None
        """Where the room is, once it has another host than at first."""
        self._notifies = True
        self._ignored: set[str] = set()
        self._reconnection = Reconnection(self.refresh)
        self._crowd = Crowd()
        self._unread = Unread()
        self._days = Days(local_day(time.time()))
        self._printing = threading.Lock()
        self._refreshing = threading.Lock()
        self._refreshed: tuple[object, ...] = ()
        """What the pending messages, the status and the title were made of."""

    # --- showing -----------------------------------------------------------------------------

    def show(self, event: ChatEvent) -> None:
        """Shows an event; the client's `on_event`."""
        if event.get("history") and not self._shows_history:
            return
        kind = event["event"]
        self._note_sender(event)
        if kind == "notice" and event.get("reason") == "no_such_member":
            self.found_nobody = True
        try:
            said_by_main = kind == "refused" and not self.joined.is_set()
            if kind == "left" and "reason" in event:
                said_by_main = True
                self.failure = event.get("text", "")
            if self.as_json:
                self._print(json.dumps(event))
            elif not said_by_main:
                self._show_line(event)
        finally:
            if kind == "joined":
                self.joined.set()
            if kind == "reconnecting" and self.terminal is not None:
                self._reconnection.begin()
            elif kind in ("resumed", "left"):
                self._reconnection.end()
            if kind == "host" and self.room_file and event["name"] != self._my_name:
                self.tell("room_file_ends", text=printable(self.room_file))
                self.room_file = ""
            self.refresh()
            if self._is_end_of_listening(event):
                self.server_stopped.set()
            if self.failure and self.joined.is_set():  # before that, `start` raises it
                self._end()

    def _note_sender(self, event: ChatEvent) -> None:
        """Remembers whom /r answers, also under a new name."""
        name = event.get("name", "")
        if event["event"] == "rename" and name == self._answer_to:
            self._answer_to = event.get("new_name", "")
        elif event["event"] == "private" and name != self._my_name and not self._is_hidden(event):
            if self._answer_to not in ("", name):
                self._answers_another_at = time.monotonic()
            self._answer_to = name

    def _is_end_of_listening(self, event: ChatEvent) -> bool:
        said_goodbye = event["event"] == "reconnecting" and event.get("reason") == "shutting_down"
        return self.listens and said_goodbye

    def _show_line(self, event: ChatEvent) -> None:
        if self._is_end_of_listening(event):
            event = {"event": "reconnecting", "reason": "never"}
        if event["event"] == "host" and self._knows_host:
            with contextlib.suppress(ValueError):
                self._moved_to = parse_address(event["address"])
        elif event["event"] == "host":
            event, self._knows_host = {**event, "reason": "first"}, True
            if event["name"] == self._my_name:
                return  # who opened the room was told how others join
        spans = event_spans(event, self.language, self._my_name)
        if self._is_hidden(event) or not spans:
            return
        if new_day := self._days.spans_before(event, self.language):
            self._crowd.end()
            self._show_spans(new_day)
        if self._is_said_to_me(event) and self._unread.add():
            self._mark_unread()
        at = event.get("time")
        stamp = ""
        if self._timestamps:
            stamp = time.strftime("%H:%M ", time.localtime(at if at is not None else time.time()))
        crowd = self._crowd.add(event, self.language)
        folded = [Span(stamp, DIM), *(crowd or spans)] if event["event"] in COME_AND_GONE else None
        self._show_spans([Span(stamp), *spans], folded, self._said(event, spans))
        if self.terminal is not None and not event.get("history") and self._rings(event):
            self.terminal.bell()
        if is_for_me(event, self._my_name) and not event.get("history"):
            self._notify(spans)

    def _notify(self, spans: Sequence[Span]) -> None:
        """Shows a message on the desktop if the person looks elsewhere."""
        if self._notifies and not self._unread.looks and self.terminal and self.client:
            text = "".join(span.text for span in spans)
            with contextlib.suppress(OSError):  # the next drawing meets it, too
                self.terminal.notify(printable(self.client.room), text)

    def _is_said_to_me(self, event: ChatEvent) -> bool:
        """Whether somebody else says it now."""
        is_new = event["event"] in SAID and not event.get("history")
        return is_new and event.get("name") != self._my_name

    def _mark_unread(self) -> None:
        """Draws the mark on the screen; it is no part of the conversation."""
        if self.terminal is not None:
            self._crowd.end()
            with contextlib.suppress(OSError):  # the message itself meets it, too
                self.terminal.show(*unread_spans(self.language))

    def look(self, looks: bool) -> None:
        """The person looks at the window, or away; a terminal's `on_look`."""
        if looks != self._unread.looks:
            self._unread.look(looks)
            self.refresh()

    def _said(self, event: ChatEvent, spans: Sequence[Span]) -> Said | None:
        """What /search can find of an event that is shown so."""
        if event["event"] not in SAID:
            return None
        if event.get("history"):
            spans = event_spans({**event, "history": False}, self.language)
        return Said("".join(span.text for span in spans), event.get("time", time.time()))

    def _is_hidden(self, event: ChatEvent) -> bool:
        kind = event["event"]
        if kind in COME_AND_GONE and (event.get("history") or not self._shows_joins):
            return True
        return kind in SAID and name_fold(event.get("name", "")) in self._ignored

    def _rings(self, event: ChatEvent) -> bool:
        if self._bell == "on":
            return event["event"] in SAID and event.get("name") != self._my_name
        return self._bell == "mentions" and is_for_me(event, self._my_name)

    @property
    def _my_name(self) -> str:
        return self.client.name if self.client is not None else ""

    def _show_spans(
        self,
        spans: Sequence[Span],
        folded: Sequence[Span] | None = None,
        said: Said | None = None,
    ) -> None:
        """Shows a line; `folded` is what a screen shows that can fold the line before into it."""
        text = "".join(span.text for span in spans)
        for row in text.split("\n"):
            self._lines.add(row, said)
        if self.transcript is not None:
            self.transcript.write_line(text)
        if self.kept_lines is not None:
            for row in text.split("\n"):
                self.kept_lines.add(row)
        if self.terminal is None:
            self._print(text)
            return
        folds = folded is not None and self.terminal.can_fold
        if folded is not None and folds:
            spans = folded
        shown = [spans] if "\n" not in text else [[Span(line)] for line in text.split("\n")]
        try:
            for line in shown:
                self.terminal.show(*line, pending=self._pending(), folds=folds)
        except OSError:
            self._end()

    def _print(self, line: str) -> None:
        with self._printing:
            try:
                print(line, flush=True)
            except OSError:
                # Nobody reads the output any more (`… | head`).
                discard_output()
                self._end()

    def _end(self) -> None:
        """Makes the main thread leave, even if it waits for a line. Any thread may call it."""
        if self.leaving:
            return
        os.kill(os.getpid(), signal.SIGTERM)
        if threading.current_thread() is not threading.main_thread():
            # A signal that comes just before the main thread waits for input does not wake it.
            again = threading.Timer(END_AGAIN_SECONDS, self._end)
            again.daemon = True
            again.start()

    def tell(self, key: str, **values: object) -> None:
        """Says something about the program itself, not among the events."""
        self._tell_text(CHAT.sentence(self.language, key, **values))

    def tell_unsent(self, count: int) -> None:
        """Says at the end how many messages were not sent, and which, so that they are not lost."""
        self.tell("not_accepted", count=count)
        unsent = self._pending()
        for text in unsent[:UNSENT_LINES_MAX]:
            if self.terminal is not None:
                self.terminal.show(Span(text))
            else:
                complain(text)
        if len(unsent) > UNSENT_LINES_MAX:
            self.tell("unsent_more", count=len(unsent) - UNSENT_LINES_MAX)

    def _tell_text(self, text: str, style: str = "") -> None:
        self._crowd.end()
        if self.terminal is not None:
            for line in own_line(text).split("\n"):
                self.terminal.show(Span(line, style))
        else:
            complain(text)

    def file_failed(self, name: str, reason: str) -> None:
        """Says that a file cannot be written; the `on_failure` of a `LineFile`."""
        self.tell("file_failed", text=printable(name), reason=reason)

    def hosting_failed(self, reason: str) -> None:
        """Says that this computer cannot host the room any more: the bug that ended that."""
        self.tell("hosting_failed", text=printable(reason))

    def cannot_keep(self, error: CannotKeep) -> None:
        """Says that the file of --keep takes no more lines."""
        self.tell("keeps_no_more", text=error.text or error.reason)

    def refresh(self) -> None:
        """Brings the pending messages, the status and the title up to date."""
        if self.terminal is None or self.client is None or not self.joined.is_set():
            return
        with self._refreshing, contextlib.suppress(OSError):
            self._refresh(self.terminal, self.client)
            return
        self._end()

    def _refresh(self, terminal: Terminal, client: UdpClient) -> None:
        room, name, server = client.room, client.name, self._moved_to or client.server
        count, waiting = len(client.members), self._pending()
        away_seconds, unread = self._reconnection.seconds, self._unread.count
        state = (room, name, server, count, waiting, away_seconds, unread)
        terminal.set_pending(waiting)  # `show` changes them, too
        if state == self._refreshed:  # as after nearly every message
            return
        parts = [printable(room)]
        if away_seconds is not None:
            parts.append(CHAT.sentence(self.language, "status_away", count=away_seconds))
        if waiting:
            parts.append(CHAT.sentence(self.language, "status_waiting", count=len(waiting)))
        parts.append(CHAT.sentence(self.language, "status_members", count=count))
        parts += [printable(name), printable(typed_address(server))]
        terminal.set_status(parts)
        terminal.set_title(title(printable(room), unread))
        self._refreshed = state

    def _pending(self) -> list[str]:
        return [printable(text) for text in self.client.pending_lines] if self.client else []

    def complete(self, left: str) -> list[str]:
        """What Tab can make of the text left of the cursor."""
        names = self.client.members if self.client is not None else []
        others = [name for name in names if name != self._my_name]
        return Completions(others, self._answer_to).of(left)

    # --- commands ----------------------------------------------------------------------------

    def do(self, command: Command) -> None:
        """Carries out a typed line other than quit; raises `PendingFull`."""
        client, verb, text = self.client, command.verb, command.text
        assert client is not None
        if verb == "say":
            client.say(text)
        elif verb == "me":
            client.act(text)
        elif verb == "msg":
            try:
                client.whisper(command.to, text)
            except UnusableName:
                self.show({"event": "notice", "reason": "no_such_member", "name": command.to})
        elif verb == "r":
            since = time.monotonic() - self._answers_another_at
            if self.terminal is not None and since < ANSWER_SETTLES_SECONDS:
                self._answers_another_at = -NEVER
                self.tell("answers_another", name=printable(self._answer_to))
            elif self._answer_to:
                self.do(Command("msg", text, self._answer_to))
            else:
                self.found_nobody = True
                self._tell_text(nobody_to_answer(self.language))
        elif verb == "nick":
            try:
                client.rename(text)
            except UnusableName as error:
                reason = f"unusable_name_{error.rule}"
                self.show({"event": "notice", "reason": reason, "name": text})
        elif verb == "who":
            members = client.members
            who: ChatEvent = {"event": "notice", "reason": "members", "members": members}
            who["count"] = len(members)
            self.show(who)
        elif verb == "seen":
            client.flush(SEEN_FLUSH_SECONDS)  # it is also about the message just typed
            client.ask_seen()
        elif verb == "stats":
            client.ask_stats()
        else:
            self._do_here(command)
        self.refresh()

    def _do_here(self, command: Command) -> None:
        """Carries out a command that concerns this screen alone."""
        verb, text = command.verb, command.text
        if verb in ("history", "search") and self.as_json:
            self.tell("nothing_remembered")
        elif verb == "history":
            self._crowd.end()
            for old in self._newest_lines(int(text) if text else HISTORY_LINES):
                if self.terminal is not None:
                    self.terminal.show(Span(old, DIM))
                else:
                    self.tell("history", line=old)
        elif verb == "search":
            self._search(text)
        elif verb in ("save", "save!"):
            self._save(text, overwrite=verb == "save!")
        elif verb == "bell":
            self._bell = text
            self.tell(f"bell_{text}")
        elif verb == "joins":
            self._shows_joins = text == "on"
            self.tell(f"joins_{text}")
        elif verb == "notify":
            self._notifies = text == "on"
            can = self.terminal is not None and self.terminal.can_notify
            self.tell(f"notify_{text}" if can or text == "off" else "notify_cannot")
        elif verb == "ignore":
            key = name_fold(text)
            if key == name_fold(self._my_name):
                self.tell("ignoring_oneself")
                return
            self._ignored ^= {key}
            ignored = key in self._ignored
            self.tell("ignoring" if ignored else "ignoring_no_more", name=printable(text))
        elif verb == "help":
            self._tell_text(help_text(text, self.language))
        else:
            self._tell_text(wrong_line(command, self.language))

    def _search(self, words: str) -> None:
        found, count = self._lines.search(words, FOUND_LINES_MAX)
        key = "found_more" if count > len(found) else "found" if found else "found_nothing"
        values = {"text": printable(words), "count": count, "shown": len(found)}
        self.tell(key, **values)
        today = local_day(time.time())
        for said in found:
            form = "%H:%M" if local_day(said.at) == today else "%Y-%m-%d %H:%M"
            stamp = time.strftime(form, time.localtime(said.at))
            line = f"{stamp} {said.text}"
            self._tell_text(line if self.terminal is not None else own_line(line), DIM)

    def _newest_lines(self, count: int) -> list[str]:
        """What was shown last. What is not remembered any more comes from the file of --keep."""
        lines = self._lines.newest(count)
        if self.kept_lines is None or len(lines) >= count:
            return lines
        return self.kept_lines.newest(count) or lines

    def _save(self, path: str, *, overwrite: bool) -> None:
        if self.as_json:
            # A program behind --json passes on what others wrote: they must not choose files.
            text = CHAT.sentence(self.language, "files_refused", text="/save")
            self.show({"event": "notice", "reason": "files_refused", "text": text})
            return
        lines = self._lines.newest()
        try:
            file = Path(path).expanduser()
            with file.open("w" if overwrite else "x", encoding="utf-8") as stream:
                stream.writelines(f"{line}\n" for line in lines)
            self.tell("saved", count=len(lines), text=printable(str(file.resolve())))
        except FileExistsError:
            self.tell("file_exists", text=printable(path))
        except OSError as error:
            self.file_failed(path, error.strerror or str(error))
        except (RuntimeError, ValueError) as error:  # ~nobody; a NUL
            no_home = isinstance(error, RuntimeError)
            key = "no_such_home" if no_home else "no_such_path"
            self.file_failed(path, CHAT.sentence(self.language, key))
