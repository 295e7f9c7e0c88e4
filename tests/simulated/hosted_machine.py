"""One computer of a simulated network: a client, and what may host the room."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.session import ChatSession, State
from udp_chat.hosting.room_host import RoomHost
from udp_chat.protocol.lineage import Range
from udp_chat.protocol.packets import Address
from udp_chat.server.room import ChatRoom


@dataclass
class Shown:
    """What one client has shown, and said."""

    events: list[ChatEvent] = field(default_factory=list)
    texts: dict[str, tuple[int, int]] = field(default_factory=dict)
    """The messages, in order; of each the epoch and the sequence number."""
    privates: set[str] = field(default_factory=set)
    newest: dict[int, int] = field(default_factory=dict)
    """By epoch: the newest event that was shown."""
    seen_at: dict[int, float] = field(default_factory=dict)
    """By epoch: when the newest event of it was written that was shown."""
    said: set[str] = field(default_factory=set)
    """The messages to all that its person typed."""
    terms: set[int] = field(default_factory=set)
    terms_before: set[int] = field(default_factory=set)
    """The lineages in which it is now, and was before."""
    lost: list[Range] = field(default_factory=list)
    """What was missing for others to tell. It may come late, where another log has it."""
    lost_count: int = 0
    """So many events are missing before the next one."""
    left_at: int = 0
    """How many events were shown when a host last began to leave."""
    sent_count: int = 0
    joined_at: float = float("inf")
    room_id: int = 0
    in_room_since: float = float("inf")
    """Since when it has been in the room in which it is now."""


class Machine:
    """One computer: a client, and what may host the room."""

    def __init__(self, number: int, name: str, *, may_host: bool) -> None:
        self.number = number
        self.name = name
        self.may_host = may_host
        self.session: ChatSession | None = None
        self.host: RoomHost | None = None
        self.shown = Shown()
        self.life = 0
        """How often it was started."""
        self.is_up = False
        self.is_leaving = False
        self.frozen_until = 0.0
        self.waiting: deque[tuple[bytes, Address, int]] = deque()
        self.wake_at = float("inf")
        self.looks_at = float("inf")

    @property
    def ip(self) -> str:
        return f"10.0.0.{self.number}"

    @property
    def room(self) -> ChatRoom | None:
        """The room, if it is hosted here."""
        return self.host.room if self.host is not None else None

    @property
    def is_in(self) -> bool:
        """Whether its client is in a room, or was and comes back."""
        session = self.session
        return (
            session is not None
            and session.state in (State.JOINED, State.REJOINING)
            and session.standing.is_in
        )

    @property
    def is_successor(self) -> bool:
        """Whether, as far as it knows, it is to take over."""
        if self.host is None or self.session is None or self.is_leaving:
            return False
        standing = self.session.standing
        return standing.handed_on and standing.number in [n for n, _ in standing.successors]
