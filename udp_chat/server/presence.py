"""Which members are still there: those who are silent for too long, or do not answer a probe.

A member that is silent for the timeout is gone. The holder of a name that somebody else wants has
less time: the room probes it. Where this process itself slept, nobody was silent.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import logging
import math

from udp_chat.protocol.delivery import NEVER
from udp_chat.server.member import Member
from udp_chat.server.relay import Relay
from udp_chat.server.state import RoomState

logger = logging.getLogger("udp_chat.server")

SILENCE_GRID_SECONDS = 0.25
"""The room looks for silent members at multiples of this. Otherwise an idle room would wake up for
each member separately."""

PROBE_SECONDS = 2.0
"""How long the holder of a wanted name has to show that it lives. With a probe each
PROBE_INTERVAL_SECONDS and 30 % loss each way, a living one fails once in a thousand times."""

PROBE_INTERVAL_SECONDS = 0.2

HEARTBEAT_LATE_RATIO = 1.1
"""A client's heartbeats come at most so much later than the interval: it draws a factor once."""

PROBE_VALID_SECONDS = 5.0
"""So long a sign of life answers further JOINs that want the same name."""

NAME_WAIT_SECONDS = 8.0
"""A JOIN for a held name goes unanswered while its holder is being asked, at most so long: clients
wait longer. With heartbeats too far apart to tell in that time, the name counts as in use."""

HELD_CHECK_SECONDS = 1.0
"""While a room is held back, it looks so often for silent members that it may remove."""

STALL_SECONDS = 1.0
"""A timer this late says that this process slept. The members' silence is then not theirs."""

LIVING_HEARTBEATS = 5
"""A member that was silent for so many of them may be gone."""


class Presence:
    """Tells the members that are there from those that are gone."""

    def __init__(self, state: RoomState, relay: Relay) -> None:
        self.is_held_back = False
        """Whether nobody may be removed now."""
        self._settings = state.settings
        self._members = state.register.members
        self._timers = state.timers
        self._counters = state.counters
        self._relay = relay
        self._slept_until = float("-inf")

    def living_count(self, now: float) -> int:
        """Members that were heard lately."""
        since = now - LIVING_HEARTBEATS * self._settings.heartbeat_seconds
        since = max(since, self._slept_until)
        return sum(m.heard_at > since and not m.is_away for m in self._members.values())

    def is_gone(self, member: Member, now: float) -> bool:
        """Whether a member is to be removed; if its name is wanted, probes it again."""
        if self._silent_at(member, now) <= now:
            return True
        if member.probe_at > now:
            return False
        if member.heard_at > member.probe_started_at:
            member.probe_at = NEVER
        elif now >= self._gives_up_at(member) and not self.is_held_back:
            return True
        else:
            self._probe(member, now)
        return False

    def next_look_at(self, member: Member, now: float) -> float:
        """When to ask `is_gone` again."""
        grid = SILENCE_GRID_SECONDS
        return min(math.ceil(self._silent_at(member, now) / grid) * grid, member.probe_at)

    def is_alive(self, holder: Member, now: float) -> bool:
        """Whether the holder of a wanted name keeps it; if that is not known, it is asked."""
        if holder.probe_at == NEVER:
            if now - holder.probe_started_at <= PROBE_VALID_SECONDS:
                return True  # it has just answered
            holder.probe_started_at = now
            self._counters["probed"] += 1
            self._probe(holder, now)
            self._timers.schedule(holder, holder.probe_at)
        answered = holder.heard_at > holder.probe_started_at
        return answered or self._gives_up_at(holder) - now > NAME_WAIT_SECONDS

    def forgive_stall(self, late_seconds: float, now: float) -> None:
        """A timer is so late. If this process slept, nobody could be heard meanwhile, so nobody
        was silent."""
        if late_seconds <= STALL_SECONDS:
            return
        logger.info("this process stalled for %.1f s; deadlines moved", late_seconds)
        self._counters["stalls"] += 1
        self._slept_until = now
        for member in self._members.values():
            member.heard_at = min(member.heard_at + late_seconds, now)
            if member.probe_at != NEVER:
                member.probe_started_at = min(member.probe_started_at + late_seconds, now)

    def _probe(self, member: Member, now: float) -> None:
        member.probe_at = now + PROBE_INTERVAL_SECONDS
        self._relay.probe(member, now)

    def _silent_at(self, member: Member, now: float) -> float:
        """When a member has been silent for too long."""
        silent_at = member.heard_at + self._settings.timeout_seconds
        return max(silent_at, now + HELD_CHECK_SECONDS) if self.is_held_back else silent_at

    def _gives_up_at(self, holder: Member) -> float:
        """When a holder that is being asked loses its name: a living one has sent a heartbeat by
        then, and has been asked for PROBE_SECONDS, even where it was asked only after that."""
        heartbeat_at = holder.heard_at + HEARTBEAT_LATE_RATIO * self._settings.heartbeat_seconds
        return max(heartbeat_at, holder.probe_started_at) + PROBE_SECONDS
