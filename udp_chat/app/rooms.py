"""The way into a room without its address: find one, choose among several, or open one.

A room that is opened here is hosted by a thread of this process, and handed on when that ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from udp_chat.app.chat_sentences import CHAT
from udp_chat.app.hosted_here import HostedHere
from udp_chat.app.invitation import invitation
from udp_chat.app.standard_streams import complain
from udp_chat.discovery.search import FoundRoom, find_rooms
from udp_chat.protocol.addresses import format_address
from udp_chat.protocol.printable import printable
from udp_chat.server.keeping import KeptFile


class NoRoom(Exception):
    """There is no room to join; the person or the pipe has been told."""


def find_room(language: str, ask: Callable[[str], str] | None) -> tuple[str, int] | None:
    """The address of the room to join, None to open one; raises `NoRoom`.

    `ask` puts a question to a person; it is None if nobody is there to answer.
    """
    if ask is not None:
        complain(CHAT.sentence(language, "looking"))
    rooms = whole_rooms(find_rooms())
    if len(rooms) == 1:
        return rooms[0].address
    if rooms:
        return choose_room(rooms, language, ask)
    if ask is not None:
        complain(CHAT.sentence(language, "none_found"))
        answer = ask(CHAT.sentence(language, "open_question")).strip().casefold()
        if not answer or answer[0] in "yд":
            return None
    complain(CHAT.sentence(language, "no_room"))
    raise NoRoom


def whole_rooms(rooms: Sequence[FoundRoom]) -> list[FoundRoom]:
    """Of the parts of one room, which are about to be one again, the largest."""
    whole: dict[int, FoundRoom] = {}
    for room in rooms:
        known = whole.get(room.room_id or room.epoch)
        if known is None or known.member_count < room.member_count:
            whole[room.room_id or room.epoch] = room
    return list(whole.values())


def choose_room(
    rooms: Sequence[FoundRoom], language: str, ask: Callable[[str], str] | None
) -> tuple[str, int]:
    """Lists the rooms and asks for a number until it is one of them; raises `NoRoom`."""
    complain(CHAT.sentence(language, "rooms_found"))
    for number, room in enumerate(rooms, 1):
        values = {
            "number": number,
            "room": printable(room.name),
            "members": CHAT.sentence(language, "status_members", count=room.member_count),
            "address": format_address(room.address),
            "name": printable(room.host),
        }
        key = "room_choice_hosted" if room.host else "room_choice"
        complain(CHAT.sentence(language, key, **values))
    if ask is None:
        complain(CHAT.sentence(language, "several_rooms"))
        raise NoRoom
    numbers = [str(number) for number in range(1, len(rooms) + 1)]
    while True:
        answer = ask(CHAT.sentence(language, "which_room")).strip() or "1"
        if answer in numbers:
            return rooms[numbers.index(answer)].address
        complain(CHAT.sentence(language, "no_such_room", count=len(rooms)))


def open_room(name: str, language: str, hosted: HostedHere, kept_file: KeptFile | None) -> int:
    """Opens a room on this computer; returns its port. Raises `NoRoom` or `CannotKeep`."""
    try:
        port = hosted.open(name, kept_file)
    except OSError as error:
        complain(CHAT.sentence(language, "cannot_open", text=error.strerror or str(error)))
        raise NoRoom from error
    complain(CHAT.sentence(language, "opened", room=printable(name), port=port))
    complain(invitation("", port, language))
    return port
