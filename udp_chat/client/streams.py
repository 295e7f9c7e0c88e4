"""What a client receives: the room's log and its own inbox, each as one ordered stream.

A WELCOME says where both begin. It also shows whether this is the server as before, another one,
or the same one about which the client was told something false. EVENTS brings slices, and answers
that say where the logs end. Pure: it keeps the two receivers, `ChatSession` shows what they give.
"""

from __future__ import annotations

from dataclasses import dataclass

from udp_chat.protocol.delivery import AHEAD_MAX, OrderedReceiver
from udp_chat.protocol.packets import Answer, Events, Welcome


@dataclass(frozen=True, slots=True)
class Seam:
    """How the streams after a WELCOME fit those before it."""

    is_other_log: bool
    """Another server, or the same one restarted: nobody can say what was missed."""
    is_other_inbox: bool
    """The server does not know this client, or not any more."""
    is_log_astray: bool
    """The server is the same, but what was received of the log cannot all come from it."""
    is_inbox_astray: bool
    """The same for the inbox."""

    @property
    def is_astray(self) -> bool:
        """Whether something false was received."""
        return self.is_log_astray or self.is_inbox_astray


class Streams:
    """The receivers of both logs."""

    def __init__(self) -> None:
        self.log: OrderedReceiver | None = None
        """The room's log; None before the first WELCOME."""
        self.inbox = OrderedReceiver(0, 1)
        self._claims = (0, 0, 0)
        """The newest message of ours that is in a log, and how far the logs went at that time."""
        self._log_claim = self._inbox_claim = 0
        """What the first JOIN of this attempt acknowledges."""

    @property
    def is_begun(self) -> bool:
        """Whether there was a WELCOME."""
        return self.log is not None

    @property
    def room(self) -> OrderedReceiver:
        """The room's log, after the first WELCOME."""
        assert self.log is not None
        return self.log

    @property
    def has_gap(self) -> bool:
        """Whether something is missing in either."""
        log, inbox = self.room, self.inbox
        return log.gap_end != log.acknowledged or inbox.gap_end != inbox.acknowledged

    def note_claim(self) -> None:
        """Note what is acknowledged as an attempt to join begins."""
        self._log_claim = self.log.acknowledged if self.log is not None else 0
        self._inbox_claim = self.inbox.acknowledged

    def begin(self, welcome: Welcome, *, continues: bool = False) -> Seam:
        """Begins to receive the logs of this WELCOME, or resumes those that are known.

        `continues` says that the room's log is the known one in another term.

        A WELCOME that answers a changed address may come after EVENTS that the server sent later.
        So it is compared with what the JOIN claimed, too, not only with what is here by now.
        """
        log, inbox = self.log, self.inbox
        is_other_inbox = inbox.epoch != welcome.inbox_epoch
        is_inbox_astray = not is_other_inbox and not (
            self._inbox_claim < welcome.inbox_start <= inbox.acknowledged + 1
        )
        is_other_log = is_log_astray = False
        if log is not None and continues:
            is_other_inbox = True
            self.log = OrderedReceiver(welcome.epoch, welcome.start)
        elif log is None or log.epoch != welcome.epoch:
            is_other_log = is_other_inbox = True
            self.log = OrderedReceiver(welcome.epoch, welcome.start)
        elif welcome.start > log.acknowledged + 1 or welcome.latest < self._log_claim:
            is_log_astray = True
            self.log = log.restarted(welcome.start, welcome.latest)
        if is_other_inbox or is_inbox_astray:
            self.inbox = OrderedReceiver(welcome.inbox_epoch, welcome.inbox_start)
        self._claims = (0, 0, 0)
        return Seam(is_other_log, is_other_inbox, is_log_astray, is_inbox_astray)

    def receiver_of(self, packet: Events) -> OrderedReceiver | None:
        """The stream that this slice belongs to; None if it is of another log."""
        receiver = self.inbox if packet.inbox else self.room
        return receiver if packet.epoch == receiver.epoch else None

    def is_too_far_ahead(self, packet: Events, answer: Answer | None) -> bool:
        """Whether a slice claims that a log has grown more than any log does."""
        receiver = self.inbox if packet.inbox else self.room
        return packet.latest - receiver.latest > AHEAD_MAX or (
            answer is not None and answer.inbox_latest - self.inbox.latest > AHEAD_MAX
        )

    def correct(self, packet: Events, answer: Answer | None) -> bool:
        """Takes the server's newest word on where its logs end.

        False if one ends before what was received of it: what was received is forged.
        """
        receiver = self.inbox if packet.inbox else self.room
        if packet.latest < receiver.acknowledged:
            return False
        receiver.correct(packet.latest)
        if answer is not None:
            if answer.inbox_latest < self.inbox.acknowledged:
                return False
            self.inbox.correct(answer.inbox_latest)
        return True

    def note_answer(self, answer: Answer, room_latest: int) -> None:
        """Notes what an answer says about the logs; the room's log went to `room_latest`."""
        self.inbox.latest = max(self.inbox.latest, answer.inbox_latest)
        self._claims = max(self._claims, (answer.appended, room_latest, answer.inbox_latest))

    def appended_until(self) -> int:
        """The newest message of ours that is in a part of the logs which has come or is lost."""
        appended, room_latest, inbox_latest = self._claims
        log, inbox = self.room, self.inbox
        if log.acknowledged >= room_latest and inbox.acknowledged >= inbox_latest:
            return appended
        return 0
