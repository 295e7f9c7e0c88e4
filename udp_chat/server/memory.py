"""How much a room holds for its members, and who may have more of it.

Counted is what a member can make the room keep: the events in its inbox that it has not
acknowledged, and what it said that waits to be put in order. The room's own log has a bound of its
own. The budget is one for all, so that a server's memory has a total; one address may have an
eighth of it, so that no address can use it up; and each member may always have a little, so that
those who use little never notice.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

from udp_chat.server.hosts import Host
from udp_chat.server.member import Member
from udp_chat.server.settings import RoomSettings

ADDRESS_SHARE = 8
"""One address may have so large a part of the budget: an eighth."""

UNREAD_BYTES_MIN = 16 * 1024
"""What may wait in a member's inbox even where the budget is used up: a dozen long messages."""

HELD_BYTES_MIN = 32 * 1024
"""What a member may have held even then: the parts of the longest run."""


class Memory:
    """The budget for what a room holds for its members. `used_bytes` is what they have."""

    def __init__(self, settings: RoomSettings) -> None:
        self.used_bytes = 0
        self._bytes_max = settings.members_bytes_max
        one_for_all = settings.members_per_address_max == 0
        self._host_bytes_max = self._bytes_max // (1 if one_for_all else ADDRESS_SHARE)

    @property
    def is_full(self) -> bool:
        return self.used_bytes >= self._bytes_max

    def recount(self, member: Member) -> None:
        """Counts what a member has by now. To be called whenever that has changed."""
        now_bytes = member.bytes_held()
        change = now_bytes - member.bytes_counted
        if change:
            member.bytes_counted = now_bytes
            member.host.bytes_held += change
            self.used_bytes += change

    def allows_to_hold(self, member: Member) -> bool:
        """Whether more of what a member says may be held."""
        return member.held_bytes < HELD_BYTES_MIN or self._has_space(member.host)

    def allows_unread(self, member: Member) -> bool:
        """Whether more may wait in a member's inbox."""
        return member.inbox.log.bytes_held < UNREAD_BYTES_MIN or self._has_space(member.host)

    def _has_space(self, host: Host) -> bool:
        return not self.is_full and not self.is_full_for(host)

    def is_full_for(self, host: Host) -> bool:
        """Whether one address has its part."""
        return host.bytes_held >= self._host_bytes_max

    def move(self, member: Member, host: Host) -> None:
        """Counts a member at another address from now on."""
        member.host.bytes_held -= member.bytes_counted
        host.bytes_held += member.bytes_counted
        member.host = host
