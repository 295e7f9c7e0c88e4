"""One person's conversation: it carries out what they type, and shows them what happens.

It stands between a `UdpClient` and a `Terminal`, with the words of lines.py. It also remembers what
was shown, for /history, /save and a transcript, and decides when to ring the bell.
"""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from udp_chat.app.chat_sentences import CHAT
from udp_chat.app.lines import VERBS, Command, completions, help_text, wrong_line
from udp_chat.app.showing import (
    COME_AND_GONE,
    SAID,
    Crowd,
    Days,
    event_spans,
    is_for_me,
    local_day,
    own_line,
)
from udp_chat.app.standard_streams import LineFile, complain, discard_output
from udp_chat.client.chat_events import ChatEvent
from udp_chat.protocol.names import UnusableName, name_fold
from udp_chat.protocol.printable import printable
from udp_chat.terminal.screen import Terminal
from udp_chat.terminal.style import DIM, Span

if TYPE_CHECKING:
    from udp_chat.client.udp_client import UdpClient

REMEMBERED_LINES = 5000
"""Lines of a conversation that /history and /save can show: an evening of them, some 500 kB."""

HISTORY_LINES = 20
"""What /history shows when no number is given."""

SEEN_FLUSH_SECONDS = 1.0
"""How long /seen waits until the server has accepted the newest message."""

END_AGAIN_SECONDS = 0.2
"""How soon the main thread is told again to leave, if it has not heard."""


class Conversation:
    """Shows events and carries out commands. `show` may be called from any thread."""

    def __init__(
        self,
        language: str,
        as_json: bool = False,
        timestamps: bool = False,
    ) -> None:
        self.language = language
        self.as_json = as_json
        self.client: UdpClient | None = None
        self.terminal: Terminal | None = None
        """None: events and lines are printed as they are."""
        self.joined = threading.Event()
        self.leaving = False
        self.interrupted = False
        """A signal has come: somebody waits for the end."""
        self.found_nobody = False
        """A private message named a person that is not here."""
        self.failure = ""
        """The bug of this program that ended the client, if one did."""
        self.transcript: LineFile | None = None
        self._timestamps = timestamps
        self._lines: deque[str] = deque(maxlen=REMEMBERED_LINES)
        self._bell = "mentions"
        self._shows_joins = True
        self._ignored: set[str] = set()
        self._away = False
        self._crowd = Crowd()
        self._days = Days(local_day(time.time()))
        self._printing = threading.Lock()

    # --- showing -----------------------------------------------------------------------------

    def show(self, event: ChatEvent) -> None:
        """Shows an event; the client's `on_event`."""
        kind = event["event"]
        self.found_nobody |= kind == "notice" and event.get("reason") == "no_such_member"
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
            if kind in ("reconnecting", "resumed"):
                self._away = kind == "reconnecting"
            self.refresh()
            if self.failure and self.joined.is_set():  # before that, `start` raises it
                self._end()

    def _show_line(self, event: ChatEvent) -> None:
        spans = event_spans(event, self.language, self._my_name)
        if self._is_hidden(event) or not spans:
            return
        if new_day := self._days.spans_before(event, self.language):
            self._crowd.end()
            self._show_spans(new_day)
        at = event.get("time")
        stamp = ""
        if self._timestamps:
            stamp = time.strftime("%H:%M ", time.localtime(at if at is not None else time.time()))
        crowd = self._crowd.add(event, self.language)
        folded = [Span(stamp, DIM), *(crowd or spans)] if event["event"] in COME_AND_GONE else None
        self._show_spans([Span(stamp), *spans], folded)
        if self.terminal is not None and not event.get("history") and self._rings(event):
            self.terminal.bell()

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

    def _show_spans(self, spans: Sequence[Span], folded: Sequence[Span] | None = None) -> None:
        """Shows a line; `folded` is what a screen shows that can fold the line before into it."""
        text = "".join(span.text for span in spans)
        self._lines.extend(text.split("\n"))
        if self.transcript is not None:
            self.transcript.write_line(text)
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

    def _tell_text(self, text: str) -> None:
        self._crowd.end()
        if self.terminal is not None:
            for line in own_line(text).split("\n"):
                self.terminal.show(line)
        else:
            complain(text)

    def file_failed(self, name: str, reason: str) -> None:
        """Says that a file cannot be written; the `on_failure` of a `LineFile`."""
        self.tell("file_failed", text=printable(name), reason=reason)

    def refresh(self) -> None:
        """Brings the pending messages and the status up to date."""
        terminal, client = self.terminal, self.client
        if terminal is None or client is None or not self.joined.is_set():
            return
        members = CHAT.sentence(self.language, "status_members", count=len(client.members))
        parts = [
            CHAT.sentence(self.language, "status", room=printable(client.room), members=members)
        ]
        if self._away:
            parts.append(CHAT.sentence(self.language, "status_away"))
        waiting = self._pending()
        if waiting:
            parts.append(CHAT.sentence(self.language, "status_waiting", count=len(waiting)))
        try:
            terminal.set_pending(waiting)
            terminal.set_status(" · ".join(parts))
        except OSError:
            self._end()

    def _pending(self) -> list[str]:
        return [printable(text) for text in self.client.pending_lines] if self.client else []

    def complete(self, left: str) -> list[str]:
        """What Tab can make of the text left of the cursor."""
        names = self.client.members if self.client is not None else []
        return completions(left, names, [f"/{verb}" for verb in VERBS])

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
        if verb == "history":
            count = int(text) if text else HISTORY_LINES
            for line in list(self._lines)[-count:] if count else []:
                if self.terminal is not None:
                    self.terminal.show(line)
                else:
                    self.tell("history", line=line)
        elif verb in ("save", "save!"):
            self._save(text, overwrite=verb == "save!")
        elif verb == "bell":
            self._bell = text
            self.tell(f"bell_{text}")
        elif verb == "joins":
            self._shows_joins = text == "on"
            self.tell(f"joins_{text}")
        elif verb == "ignore":
            key = name_fold(text)
            self._ignored ^= {key}
            ignored = key in self._ignored
            self.tell("ignoring" if ignored else "ignoring_no_more", name=printable(text))
        elif verb == "help":
            self._tell_text(help_text(text, self.language))
        else:
            self._tell_text(wrong_line(command, self.language))

    def _save(self, path: str, *, overwrite: bool) -> None:
        if self.as_json:
            # A program behind --json passes on what others wrote: they must not choose files.
            text = CHAT.sentence(self.language, "files_refused", text="/save")
            self.show({"event": "notice", "reason": "files_refused", "text": text})
            return
        lines = list(self._lines)
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
