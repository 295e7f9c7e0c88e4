"""How a client gets into a room: the cookie, when JOIN is sent again, and under which name.

An attempt begins with the first JOIN, when the server has gone, or when the client is seen at
another address. It ends with a WELCOME or with a REFUSED that is final. JOIN is repeated until
then; how soon depends on who waits for it. Pure: it decides, `ChatSession` builds the packets.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator
from enum import Enum

from udp_chat.client.chat_events import ChatEvent, reason_of
from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.names import UnusableName, nearest_name, numbered_name
from udp_chat.protocol.packets import NO_COOKIE, Refused, RefusedReason

JOIN_RETRY_SECONDS = 0.15
"""Between JOINs when joining for the first time, always the same: a person is waiting. With 30 %
loss each way a round trip succeeds every second time, and joining takes two and the roster."""

REJOIN_RETRY_SECONDS = 0.25
REJOIN_RETRY_MAX_SECONDS = 2.0
"""Between JOINs when the server went away, doubled each time up to this: it may take minutes, and
a class of clients waits."""

HURRIED_RETRY_SECONDS = 0.05
HURRIED_TRIES = 160
"""The same in a room that is handed on, at first: one address after the other is asked, and one of
them will be the new host."""

MOVED_RETRY_MAX_SECONDS = 1.0
"""The same when the address has changed: the server is there."""

BUSY_RETRY_SECONDS = 0.5
"""Between JOINs at least, once the server has said that it takes no more joins at the moment."""


LAST_NAME = "guest"
"""A returning client asks for this name where the server takes none of its own."""


class Attempt(Enum):
    """Why a client joins."""

    FIRST = "first"
    """It was never in."""
    RETURN = "return"
    """It was in, and the server or the link went away."""
    MOVE = "move"
    """It is in, and has another address."""


class Joining:
    """One client's attempts to join, one after the other.

    `jitter` is a factor around 1; `next_timestamp` gives the timestamp of the next datagram.
    """

    def __init__(
        self,
        name: str,
        randomness: random.Random,
        jitter: Callable[[], float],
        next_timestamp: Callable[[], int],
    ) -> None:
        self.wanted_name = name
        """What the next JOIN asks for."""
        self.cookie = NO_COOKIE
        self.at = NEVER
        """When JOIN is sent again; never while none is running."""
        self.began_timestamp = 0
        """Older answers are of an attempt before."""
        self.is_hurried = False
        """Whether another host is about to take the room over."""
        self.last_refusal: ChatEvent | None = None
        """Why the server last said no in this attempt, as an event `refused`."""
        self.refused_for = 0
        """The reason of the newest refusal since the client was last in, 0 for none."""
        self._attempt = Attempt.FIRST
        self._tries = 0
        self._given_name = name
        self._asked_name = name
        """The same as `wanted_name`, without the number that it may have."""
        self._rename_tries = 1
        self._unusable: set[str] = set()
        """Names that were refused as such since the client was last in."""
        self._random = randomness
        self._jitter = jitter
        self._next_timestamp = next_timestamp

    @property
    def is_running(self) -> bool:
        """Whether JOIN is being repeated."""
        return self.at != NEVER

    def begin(self, attempt: Attempt) -> None:
        """An attempt begins; its JOIN is to be sent."""
        self._attempt = attempt
        self._tries = 0
        if attempt is not Attempt.MOVE:  # that begins with the cookie for the new address
            self.cookie = NO_COOKIE
            self.last_refusal = None
        self._renew()

    def sent(self, now: float) -> None:
        """JOIN was sent: plans the next."""
        wait = JOIN_RETRY_SECONDS
        if self._attempt is not Attempt.FIRST:
            was_away = self._attempt is Attempt.RETURN
            longest = REJOIN_RETRY_MAX_SECONDS if was_away else MOVED_RETRY_MAX_SECONDS
            wait = min(REJOIN_RETRY_SECONDS * 2.0 ** min(self._tries, 16), longest)
            if was_away and self.is_hurried and self._tries < HURRIED_TRIES:
                wait = HURRIED_RETRY_SECONDS
        if self.refused_for == RefusedReason.BUSY:
            wait = max(wait, 1.2 * BUSY_RETRY_SECONDS)
        self.at = now + wait * self._jitter()
        self._tries += 1

    def hurry(self) -> None:
        """A host is known to be there: asks as often as at first."""
        self._tries = 0

    def stop(self) -> None:
        """Sends no more JOINs."""
        self.at = NEVER

    def take_cookie(self, cookie: bytes) -> bool:
        """Takes what the next JOIN proves the address with; false if it was sent already."""
        if self.is_running and cookie == self.cookie:
            return False
        self.cookie = cookie
        return True

    def welcomed(self, name: str) -> None:
        """The client is in, under this name."""
        self.stop()
        self.renamed(name)
        self._unusable.clear()
        self.refused_for = 0
        self.last_refusal = None

    def renamed(self, name: str) -> None:
        """The client has another name now, and comes back under that."""
        self._ask_for(name)

    def refused(self, refused: Refused, now: float) -> ChatEvent | None:
        """Notes a refusal; its event, if that says something new."""
        reason = reason_of(RefusedReason, refused.reason)
        refusal: ChatEvent = {"event": "refused", "reason": reason, "text": refused.text}
        self.last_refusal = refusal
        is_new = refused.reason != self.refused_for  # said once, however often it is tried
        self.refused_for = refused.reason
        if refused.reason == RefusedReason.BUSY:
            # A moment's no: what is joining waits for a better one as long as its caller does.
            again_at = now + BUSY_RETRY_SECONDS * self._random.uniform(1.0, 1.2)
            self.at = max(self.at, again_at)
            if self._attempt is Attempt.FIRST:
                return None
        return refusal if is_new else None

    def try_another_name(self) -> bool:
        """After a refusal of who was in: whether there is another name, to be asked for at once.

        Better to be back under another than not to be back.
        """
        if self.refused_for == RefusedReason.NAME_IN_USE:  # somebody took it while we were away
            self._rename_tries += 1
            self.wanted_name = numbered_name(self._asked_name, self._rename_tries)
        elif self.refused_for == RefusedReason.UNUSABLE_NAME:
            # The server has other rules than the one before, or a forged rename gave us the name.
            self._unusable.add(self._asked_name)
            name = next((n for n in self._other_names() if n not in self._unusable), None)
            if name is None:
                return False
            self._ask_for(name)
        else:
            return False
        self._renew()
        return True

    def _other_names(self) -> Iterator[str]:
        yield self._given_name
        with contextlib.suppress(UnusableName):
            yield nearest_name(self._given_name)
        yield LAST_NAME

    def _ask_for(self, name: str) -> None:
        self.wanted_name = self._asked_name = name
        self._rename_tries = 1

    def _renew(self) -> None:
        """What was answered before does not count any more."""
        self.began_timestamp = self._next_timestamp()
