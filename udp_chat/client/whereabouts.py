"""Where the room is: who hosts it, and whom to ask when its host does not answer.

The room names its successors. When the host is gone, a client asks them and the host in turn, until
one of them answers with a CHALLENGE. A host that leaves says where the room is from then on. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from udp_chat.client.chat_events import ChatEvent, of_host
from udp_chat.protocol.addresses import format_address, parse_told_address
from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.packets import Address, Welcome

MOVED_QUIET_SECONDS = 1.5
"""A room that has moved is back before that. Only if not, it is told."""

PINNED_TRIES = 30
"""JOINs to an address that has answered once: as long as a new host may gather what others have."""

FOUND_MAX = 4
"""Addresses that a search has found: see `add`."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a machine that may host a room knows from its own client."""

    room: str
    room_id: int
    name: str
    number: int
    """Of this member."""
    server: Address
    """Where datagrams go now."""
    host: int
    """The number of the member that hosts the room, or did so last."""
    last_host: Address
    """Its address."""
    successors: tuple[tuple[int, Address], ...]
    handed_on: bool
    is_in: bool
    """Whether it was ever in."""
    away_since: float | None
    """Since when the host has not answered; None while it does."""
    called_until: int | None
    """The last host has called this member to host the room, whose log ended at this event."""


class Whereabouts:
    """The addresses at which one client looks for its room."""

    def __init__(self, server: Address) -> None:
        self.server = server
        self.last_host = server
        self.handed_on = False
        self.host = 0
        """The number of the member that hosts the room, 0 for a server of its own."""
        self.successors: list[tuple[int, Address]] = []
        self.away_since: float | None = None
        self.called_until: int | None = None
        self.tell_away_at = NEVER
        """When it is told that the room, which has moved, does not answer."""
        self._is_pinned = False
        """Whether one of the addresses that are asked has answered, so that it alone is asked."""
        self._unanswered_count = 0
        self._shown_host: tuple[str, str] | None = None
        self._moved_to: list[Address] = []
        self._found: list[Address] = []
        self._turn = 0

    def welcomed(self, welcome: Welcome) -> ChatEvent | None:
        """The client is in; returns the event `host` if that is news."""
        self.away_since = self.called_until = None
        self._moved_to.clear()
        self.last_host = self.server
        self.tell_away_at = NEVER
        self._is_pinned = False
        self._turn = 0
        self._found.clear()
        self.handed_on, self.host = welcome.handed_on, welcome.host
        self.take_successors(welcome.successors)
        address = welcome.host_address or format_address(self.server)
        if self._shown_host == (welcome.host_name, address):
            return None
        self._shown_host = welcome.host_name, address
        return of_host(welcome.host_name, address)

    @property
    def has_moved(self) -> bool:
        """Whether the last host has said where the room is now."""
        return bool(self._moved_to)

    def take_successors(self, text: str) -> None:
        """Takes what the room says about who takes it over: ``NUMBER ADDRESS`` a line."""
        self.successors = []
        for line in text.splitlines():
            number, _, where = line.partition(" ")
            address = self._parsed(where)
            if address is not None and number.isdecimal():
                self.successors.append((int(number), address))

    def gone(self, now: float, *, has_moved: bool) -> None:
        """The host does not answer any more. One that `has_moved` is back before a person could
        read about it: `tell_away_at` says when it is not."""
        if self.away_since is None:
            self.away_since = now
        if has_moved:
            self.tell_away_at = now + MOVED_QUIET_SECONDS
        self._is_pinned, self._unanswered_count = False, 0
        self._turn = 0

    def moved(self, text: str, member: int) -> None:
        """The host says where the room is from now on; this member has the number `member`."""
        number, _, rest = text.partition(" ")
        until, _, where = rest.partition(" ")
        moved_to = self._parsed(where)
        # Each counts once: two former hosts may name each other, and others are to be asked, too.
        if moved_to is not None and moved_to not in self._moved_to:
            self._moved_to = [moved_to, *self._moved_to][:FOUND_MAX]
            self.add(moved_to)
        if number == str(member) and until.isdecimal():
            self.called_until = int(until)

    def add(self, address: Address) -> None:
        """The room was found here, too: looks here first."""
        if not self._is_reached(address[0]):
            return
        address = (*address[:2], *self.server[2:])
        self._found = [address, *(a for a in self._found if a != address)][:FOUND_MAX]
        self._is_pinned = False
        self._turn = 0

    def look_on(self) -> bool:
        """Chooses the address that the next JOIN goes to: `server`; every second time it is the
        likeliest one. False if the one that had answered is silent now: what it said does not
        count any more."""
        self._unanswered_count += 1
        gives_up = self._is_pinned and self._unanswered_count > PINNED_TRIES
        if gives_up:
            self._is_pinned = False
        if not self._is_pinned:
            likeliest, *others = self._places()
            turn, is_others = divmod(self._turn, 2)
            self.server = others[turn % len(others)] if is_others and others else likeliest
            self._turn += 1
        return not gives_up

    def pin(self, address: Address) -> None:
        """This address has answered: it alone is asked from now on."""
        self.server = address
        self._is_pinned, self._unanswered_count = True, 0

    def knows(self, address: Address) -> bool:
        """Whether an answer may come from here."""
        return not self._is_pinned and any(p[:2] == address[:2] for p in self._places())

    def _places(self) -> Iterator[Address]:
        seen = set()
        successors = [address for _, address in self.successors]
        for place in (*self._found, *successors, self.last_host):
            if place[:2] not in seen:
                seen.add(place[:2])
                yield place

    def _parsed(self, text: str) -> Address | None:
        try:
            host, port = parse_told_address(text)
        except ValueError:
            return None
        return (host, port, *self.server[2:]) if self._is_reached(host) else None

    def _is_reached(self, host: object) -> bool:
        """Whether the client's socket speaks this version of IP: it speaks one."""
        return (":" in str(host)) == (":" in str(self.server[0]))
