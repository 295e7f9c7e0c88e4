"""What the parts of a room share: its settings, its log, its members and what they take."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from udp_chat.protocol.delivery import EventLog
from udp_chat.server.member import MemberTimers
from udp_chat.server.memory import Memory
from udp_chat.server.register import Register
from udp_chat.server.settings import RoomSettings


@dataclass(frozen=True, slots=True)
class RoomState:
    """One object for the room, its relay, its floor and its scribe. Each of them changes it."""

    settings: RoomSettings
    log: EventLog
    register: Register
    memory: Memory
    timers: MemberTimers
    counters: Counter[str]
    """How often something was dropped, repaired or refused, and why."""
