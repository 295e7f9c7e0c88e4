"""The dict of members, those who have left, and their names.

`Register.members` is the server's list of clients, with their addresses. A JOIN with a good cookie
adds a member; a LEAVE or silence removes it. Of members that have gone, the register keeps what
must outlive a session: the number of their newest message, so that each is appended once, their
rates, and after a timeout the private messages that wait for them. Every table is bounded.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator

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
        self.by_number: dict[int, Member] = {}
        """Those in and the departed, by member number."""
        self.changed: set[Member] | None = None
        """Members that are to be kept: see kept.py. None if the room keeps nothing."""
        self.read: set[Member] = set()
        """Members that have read something since they were kept: that can wait for the others."""
        self._key_of: Callable[[int], bytes] | None = None
        self._kept_keys: dict[bytes, int] = {}
        """What stands for the client id of a client that was kept and has not come back."""
        self._key_by_number: dict[int, bytes] = {}
        self._came_back: dict[int, int] = {}
        """By what stood for it: the client id of one that has."""
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

    def new_number(
        self, client_id: int, next_message_id: int, draw: Callable[[], int] | None = None
    ) -> tuple[int, int]:
        """The member number of a client that is neither in nor departed, and the newest of its
        messages that was appended; by its own account where it is not remembered.

        A number is the next one, or the first of those that `draw` gives which nobody has.
        """
        remembered = self.remembered.pop(client_id, None)
        if remembered is not None:
            return remembered
        if draw is not None:
            while (number := draw()) in self.by_number or not number:
                pass
            return number, max(0, next_message_id - 1)
        self._number += 1
        return self._number, max(0, next_message_id - 1)

    # --- beginning with what another process kept ------------------------------------------------

    def begin_from(self, number: int, key_of: Callable[[int], bytes]) -> None:
        """Begins with the newest member number of an earlier process, which kept `key_of` the
        client ids."""
        self._number, self._key_of = number, key_of

    def begin_with(self, member: Member, key: bytes, *, is_in: bool) -> None:
        """Begins with a client of that process. Until it comes back, its client id is not known:
        a number below zero stands for it."""
        self._kept_keys[key] = member.client_id
        self._key_by_number[-member.client_id] = key
        self.by_number[member.number] = member
        if is_in:
            self.by_client[member.client_id] = member
            self.by_name[name_key(member.name)] = member
        else:
            self.departed[member.client_id] = member

    def tag(self, client_id: int) -> bytes:
        """What stands for a client id in the room's log."""
        assert self._key_of is not None, "begin_from comes first"
        return self._key_of(client_id) if client_id > 0 else self._key_by_number[-client_id]

    def recognize(self, client_id: int) -> None:
        """A client has proven its address. If an earlier process knew it, it is that client."""
        if self._key_of is None:
            return
        kept_as = self._kept_keys.pop(self._key_of(client_id), None)
        if kept_as is None:
            return
        self._came_back[kept_as] = client_id
        for table in (self.by_client, self.departed):
            member = table.pop(kept_as, None)
            if member is not None:
                member.client_id = client_id
                table[client_id] = member
        remembered = self.remembered.pop(kept_as, None)
        if remembered is not None:
            self.remembered[client_id] = remembered

    def present(self, client_id: int) -> Member | None:
        """The member with this client id, or that this number stood for."""
        return self.by_client.get(self._came_back.get(client_id, client_id))

    # --- coming and going ------------------------------------------------------------------------

    def note(self, member: Member) -> None:
        """Notes that something about a member is to be kept."""
        if self.changed is not None:
            self.changed.add(member)

    def note_read(self, member: Member) -> None:
        """Notes that a member has read what was in its inbox."""
        if self.changed is not None:
            self.read.add(member)

    def enter(self, member: Member) -> None:
        """Takes a member in, whose session id, client id and name are set."""
        self.note(member)
        self.by_number[member.number] = member
        self.departed.pop(member.client_id, None)
        self.members[member.session_id] = member
        self.by_client[member.client_id] = member
        self.by_name[name_key(member.name)] = member

    def rename(self, member: Member, name: str) -> None:
        """Gives a member a name that nobody else has."""
        self.note(member)
        del self.by_name[name_key(member.name)]
        self.by_name[name_key(name)] = member
        member.name = name

    def remove(self, member: Member) -> None:
        """Moves a member to the departed."""
        self.note(member)
        del self.members[member.session_id]
        del self.by_client[member.client_id]
        del self.by_name[name_key(member.name)]
        self.departed[member.client_id] = member

    def departed_too_many(self) -> Iterator[Member]:
        """Those of whom only the number and the newest message are kept from now on."""
        while len(self.departed) > self._departed_max:
            client_id, member = self.departed.popitem(last=False)
            self.remembered[client_id] = member.number, member.appended
            del self.by_number[member.number]
            if len(self.remembered) > self._remembered_max:
                self.remembered.popitem(last=False)
            yield member

    def departed_with_unread(self) -> Iterator[Member]:
        """The departed for whom something waits, the oldest first."""
        return (member for member in list(self.departed.values()) if member.inbox.behind)
