"""What may be chosen about a room."""

from __future__ import annotations

from dataclasses import dataclass

from udp_chat.protocol.packets import RUN_MAX


@dataclass(frozen=True, slots=True)
class RoomSettings:
    """What may be chosen about a room. Durations in seconds."""

    room: str = "chat"
    members_max: int = 1000
    members_per_address_max: int = 64
    """0 for any number: then an address has no budget of its own, for it may be the whole room."""
    heartbeat_seconds: float = 5.0
    """Told to the clients. Shorter finds dead peers sooner and costs idle traffic."""
    timeout_seconds: float = 15.0
    """Silence after which a member is dropped: three heartbeats, so that two may be lost."""
    message_rate: float = 500.0
    """Messages a second of one client in the long run, and of all clients of one address together;
    all members together may say twice as many. A person types one; the rest is for pasted text
    and pipes. 0 lifts all rates, those of joins and questions too."""
    message_burst: float = 1000.0
    log_entries_max: int = 10_000
    log_bytes_max: int = 4 * 1024 * 1024
    """What the room remembers for repairs, for those who come back and for those who come late."""
    members_bytes_max: int = 48 * 1024 * 1024
    """For all that waits for members to acknowledge it or waits to be said, together. An address
    may have an eighth of it. Beyond, the room refuses newcomers and holds its members back."""
    history_events: int = 50
    """Messages that a newcomer is shown. Joins and leaves between them do not count."""

    handed_on: bool = False
    """Whether a member takes the room over when its host leaves or dies."""

    def __post_init__(self) -> None:
        if self.message_rate > 0 and self.message_burst < RUN_MAX:
            raise ValueError(f"message_burst below {RUN_MAX}: a long line could never be said")
