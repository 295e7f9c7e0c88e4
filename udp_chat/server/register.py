"""The dict of members, those who have left, and their names.

`Register.members` is the server's list of clients, with their addresses. A JOIN with a good cookie
adds a member; a LEAVE or silence removes it. Of members that have gone, the register keeps what
must outlive a session: the number of their newest message, so that each is appended once, their
rates, and after a timeout the private messages that wait for them. Every table is bounded.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from udp_chat.protocol.names import name_fold, name_key
from udp_chat.server.member import Member

REMEMBERED_MAX = 20_000
"""Clients whose newest message is remembered after they left: some 4 MB, and more departures
than an evening has. One that returns after them could have a line appended a second time."""


class Register:
    """The members by session, client and name, and those who have gone."""

    def __init__(self, departed_max: int, remembered_max: int = REMEMBERED_MAX) -> None:
        self.members: dict[int, Member] = {}
        """By session id: those who are in."""
        self.by_client: dict[int, Member] = {}
        self.by_name: dict[str, Member] = {}
        self.departed: OrderedDict[int, Member] = OrderedDict()
        """By client id, the oldest first: whole, so that what is theirs waits for them."""
        self.remembered: OrderedDict[int, tuple[int, int]] = OrderedDict()
        """By client id: member number and newest message, of those who departed before them."""
        self._departed_max = departed_max
        self._remembered_max = remembered_max
        self._number = 0

    def holder(self, name: str) -> Member | None:
        """The member whose name is the same as this one, or looks the same."""
        return self.by_name.get(name_key(name))

    def called(self, name: str) -> Member | None:
        """The member with this name, but for case and composition. One whose name only looks the
        same is not meant: a private message is not to go astray."""
        member = self.by_name.get(name_key(name))
        return member if member is not None and name_fold(member.name) == name_fold(name) else None

    def new_number(self, client_id: int, next_message_id: int) -> tuple[int, int]:
        """The member number of a client that is neither in nor departed, and the newest of its
        messages that was appended; by its own account where it is not remembered."""
        remembered = self.remembered.pop(client_id, None)
        if remembered is not None:
            return remembered
        self._number += 1
        return self._number, max(0, next_message_id - 1)

    def enter(self, member: Member) -> None:
        """Takes a member in, whose session id, client id and name are set."""
        self.departed.pop(member.client_id, None)
        self.members[member.session_id] = member
        self.by_client[member.client_id] = member
        self.by_name[name_key(member.name)] = member

    def rename(self, member: Member, name: str) -> None:
        """Gives a member a name that nobody else has."""
        del self.by_name[name_key(member.name)]
        self.by_name[name_key(name)] = member
        member.name = name

    def remove(self, member: Member) -> None:
        """Moves a member to the departed."""
        del self.members[member.session_id]
        del self.by_client[member.client_id]
        del self.by_name[name_key(member.name)]
        self.departed[member.client_id] = member

    def departed_too_many(self) -> Iterator[Member]:
        """Those of whom only the number and the newest message are kept from now on."""
        while len(self.departed) > self._departed_max:
            client_id, member = self.departed.popitem(last=False)
            self.remembered[client_id] = member.number, member.appended
            if len(self.remembered) > self._remembered_max:
                self.remembered.popitem(last=False)
            yield member

    def departed_with_unread(self) -> Iterator[Member]:
        """The departed for whom something waits, the oldest first."""
        return (member for member in list(self.departed.values()) if member.inbox.behind)
