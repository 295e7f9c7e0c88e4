"""Whether the server is there: when a client asks, and when it has asked for too long.

A client that hears nothing asks once a heartbeat, and again until it is answered. Heartbeats are
sent at slots of the server's clock, as far as its datagrams tell it, so that they come together.
Pure: it says when something is due, `ChatSession` sends it.
"""

from __future__ import annotations

from collections.abc import Callable

from udp_chat.protocol.delivery import NEVER, RTT_SAMPLE_MAX_SECONDS, RttEstimator

SILENCE_SECONDS = 4.0
"""Asked for so long without an answer, a client says that it is reconnecting. With 30 % loss
each way a dozen questions fail together once in three thousand times."""

HURRIED_SILENCE_SECONDS = 2.0
HURRIED_ASK_RETRY_SECONDS = 0.25
"""The same where a member takes the room over: it asks more often, and gives up sooner."""

HEARTBEAT_SLOTS = 20
"""Heartbeats are sent at so many moments of the interval, the same for all, by the server's clock:
together they cost it a third of what they cost one by one (docs/performance.md)."""

HEARTBEAT_MIN_SECONDS = 0.1
HEARTBEAT_MAX_SECONDS = 60.0
"""Between heartbeats, whatever the server asks for: with a longer interval a client would not
notice for very long that the server has gone."""

ASK_RETRY_MAX_SECONDS = 0.5
"""Between unanswered heartbeats."""

STALL_SECONDS = 1.0
"""A timer this late says that this process slept, so the silence may not be the server's."""


class Liveness:
    """What one client knows of its server being there. `jitter` is a factor around 1."""

    def __init__(
        self,
        rtt: RttEstimator,
        jitter: Callable[[], float],
        silence_seconds: float = SILENCE_SECONDS,
    ) -> None:
        self.heard_at = 0.0
        self.said_at = 0.0
        """When a STATUS last went out: the server is to hear from the client, too."""
        self.newest_echo = 0
        """The newest time of the server's clock, in microseconds, and when it came here."""
        self.newest_echo_at = 0.0
        self.newest_answered = 0
        """The newest timestamp of ours that the server has answered."""
        self.heartbeat_seconds = 0.0
        self.slot_seconds = 0.0
        self.early_seconds = 0.0
        """How much too early the last heartbeat was, for the sake of the slots."""
        self.asked_since = NEVER
        """Since when an answer has been missing; never while none is."""
        self._ask_at = NEVER
        self._ask_tries = 0
        self._silence_seconds = self._gives_up_seconds = silence_seconds
        self._retry_max_seconds = ASK_RETRY_MAX_SECONDS
        self._rtt = rtt
        self._jitter = jitter

    @property
    def is_asking(self) -> bool:
        """Whether an answer is missing."""
        return self.asked_since != NEVER

    def begin(self, heartbeat_ms: int, now: float, *, hurried: bool = False) -> None:
        """A session begins, or goes on at another address; its server has just been heard.

        `hurried` says that another host is there if this one is silent.
        """
        self._gives_up_seconds = self._silence_seconds
        self._retry_max_seconds = ASK_RETRY_MAX_SECONDS
        if hurried:
            self._gives_up_seconds = min(self._silence_seconds, HURRIED_SILENCE_SECONDS)
            self._retry_max_seconds = HURRIED_ASK_RETRY_SECONDS
        interval_seconds = heartbeat_ms / 1000
        interval_seconds = min(max(interval_seconds, HEARTBEAT_MIN_SECONDS), HEARTBEAT_MAX_SECONDS)
        self.heartbeat_seconds = interval_seconds * self._jitter()
        self.slot_seconds = interval_seconds / HEARTBEAT_SLOTS
        self.heard_at = self.said_at = now

    def forget_clock(self) -> None:
        """Another server: its clock is another, too."""
        self.newest_echo = self.newest_answered = 0

    def is_newest(self, timestamp: int, answered: int) -> bool:
        """Whether nothing that the server sent later has come before this datagram.

        `answered` is the timestamp of ours that it answers, 0 for none.
        """
        is_newest = timestamp > self.newest_echo
        if answered > self.newest_answered:
            self.newest_answered = answered
            # What answers our newest question is new. If by the server's clock it is much older
            # than what came before, then that was forged.
            behind_us = self.newest_echo - timestamp
            is_newest = is_newest or behind_us > RTT_SAMPLE_MAX_SECONDS * 1e6
        return is_newest

    def stop(self) -> None:
        """Asks no more, and waits for no answer."""
        self.asked_since = self._ask_at = NEVER

    def hear(self, timestamp: int, now: float) -> None:
        """The newest datagram of the server has come, of this time by its clock."""
        self.newest_echo = timestamp
        self.newest_echo_at = self.heard_at = now

    def answered(self) -> None:
        """The server has answered: it is there."""
        self.stop()
        self._ask_tries = 0

    def asked(self, now: float) -> None:
        """A heartbeat has been sent: expects an answer, and plans to ask again until it comes."""
        self.asked_since = min(self.asked_since, now)
        wait = min(self._rtt.backed_off(self._ask_tries), self._retry_max_seconds)
        self._ask_at = now + wait * self._jitter()
        self._ask_tries += 1

    def asked_otherwise(self, now: float) -> None:
        """Something else has been sent that the server answers."""
        if not self.is_asking:
            self.asked_since = now
            self._ask_at = now + self._retry_max_seconds

    def ask_soon(self, now: float) -> None:
        """Has the client ask at once."""
        self._ask_at = now

    def forgive_stall(self, due_at: float | None, now: float) -> bool:
        """Whether this process slept instead of doing what was due, while an answer was missing:
        then the silence meanwhile was not the server's, and does not count."""
        if due_at is None or now - due_at <= STALL_SECONDS or not self.is_asking:
            return False
        self.asked_since += now - due_at
        return True

    def is_silent(self, now: float) -> bool:
        """Whether the server has not answered for too long."""
        return self.asked_since + self._gives_up_seconds <= now

    def is_ask_due(self, now: float) -> bool:
        """Whether it is time to ask, for the first time or again."""
        if self.heartbeat_at() <= now:
            self.early_seconds = self._early(self._heartbeat_due_at())
            return True
        return self._ask_at <= now

    def next_timeout(self) -> float:
        """When something is due next; never, if nothing is."""
        return min(self._ask_at, self.heartbeat_at(), self.asked_since + self._gives_up_seconds)

    def echo(self, now: float) -> int:
        """The server's clock, as far as it is known here: what a STATUS says; 0 if it is not."""
        held_us = int((now - self.newest_echo_at) * 1e6)
        return min(self.newest_echo + held_us, 2**64 - 1) if self.newest_echo else 0

    def heartbeat_at(self) -> float:
        """When the next heartbeat is to be sent; never while an answer is missing."""
        if self.is_asking:
            return NEVER
        at = self._heartbeat_due_at()
        return at - self._early(at)

    def _heartbeat_due_at(self) -> float:
        """When a heartbeat is due, were it not for the slots. What the last one came too early is
        made up for: else all intervals would be whole slots, and clients stay together for ever."""
        heard_at = min(self.heard_at, self.said_at)
        return heard_at + self.heartbeat_seconds + self.early_seconds

    def _early(self, at: float) -> float:
        """How long before `at` the last slot begins, on the server's clock."""
        server_at = self.newest_echo / 1e6 + at - self.newest_echo_at
        return server_at % self.slot_seconds
