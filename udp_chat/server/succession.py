"""Who takes the room over when its host is gone.

A member that can host says at which port (STAND_BY). The host asks it there: the question comes
from an address that this port has never spoken to, so an answer shows that no firewall keeps
others out. The first few that answer are the successors. The log names them, so that each member
knows whom to ask first, second and third; and they are sent the register, so that they can take
over.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from udp_chat.protocol.addresses import LOOPBACK, format_address
from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.packets import (
    ADDRESS_BYTES_MAX,
    Address,
    Discover,
    Message,
    MessageKind,
    Offer,
)
from udp_chat.protocol.wire import SUCCESSORS_MAX
from udp_chat.server.member import Member
from udp_chat.server.relay import Relay
from udp_chat.server.scribe import Scribe
from udp_chat.server.state import RoomState

STANDBYS_MAX = 16
"""Members that are asked whether they can take over: with three successors, a room survives the
loss of three hosts in a row before others are needed."""

ASK_NEW_SECONDS = 0.25
ASK_NEW_TRIES = 8
"""One that has never answered is asked so often at first: a newcomer may be needed at once."""

ASK_SUCCESSOR_SECONDS = 1.0
ASK_OTHER_SECONDS = 5.0

SUCCESSOR_SILENT_SECONDS = 3.5
"""A successor that has not answered for so long is none any more: three questions were lost."""

OTHER_SILENT_SECONDS = 12.0

OWNER_SILENT_SECONDS = 2.5
"""A member that is silent for so long has left its port to another one: two heartbeats were lost,
where a room is handed on."""

REGISTER_EVENTS_MAX = 2_000
"""The register is sent again when the log has grown so much: a successor keeps the log from the
register on."""


@dataclass(slots=True)
class HostedBy:
    """Who hosts a room, as its members are told."""

    number: int = 0
    """Of the member on whose machine it is; 0 for a server of its own."""
    client_id: int = 0
    """Of the same, where it has not joined yet."""
    address: str = ""
    """HOST:PORT for others on the network; empty where that is not known."""


@dataclass(slots=True)
class _Standby:
    """A member that says that it can host."""

    member: Member
    port: int
    nonce: int
    ask_at: float
    tries: int = 0
    heard_at: float = float("-inf")
    register_seq: int = 0
    """Up to where the register that it was sent is true; 0 if it was sent none."""


class Succession:
    """The members that can host, and of these the successors."""

    def __init__(
        self,
        state: RoomState,
        scribe: Scribe,
        relay: Relay,
        hosted_by: HostedBy,
        randomness: random.Random,
    ) -> None:
        self._log = state.log
        self._register = state.register
        self._handed_on = state.settings.handed_on
        self._scribe = scribe
        self._relay = relay
        self._hosted_by = hosted_by
        self._random = randomness
        self._standbys: dict[int, _Standby] = {}
        """By member number, in the order in which they came."""
        self._successors: list[_Standby] = []
        self.text = ""
        """The successors as an event has them: ``NUMBER ADDRESS`` a line."""

    @property
    def successors(self) -> list[tuple[int, str]]:
        """Their numbers and addresses, the first one first."""
        return [(each.member.number, self._address(each)) for each in self._successors]

    @property
    def expects_one(self) -> bool:
        """Whether somebody has just said that it can host, and may still answer."""
        return any(
            standby.heard_at == float("-inf") and standby.tries < ASK_NEW_TRIES
            for standby in self._standbys.values()
        )

    def take(
        self, questions: Sequence[tuple[Member, Message]], now: float
    ) -> list[tuple[Member, Message]]:
        """Takes the offers to stand by; returns the other questions."""
        others = []
        for member, message in questions:
            if message.kind is not MessageKind.STAND_BY:
                others.append((member, message))
                continue
            port = int(message.text) if message.text.isdecimal() and len(message.text) < 6 else 0
            self._scribe.note_offer(member, message.message_id, now)
            self._stands_by(member, port, now)
        return others

    def _stands_by(self, member: Member, port: int, now: float) -> None:
        self.forget(member)
        is_host = member.client_id == self._hosted_by.client_id
        can_host = self._handed_on and 0 < port < 65536 and not is_host
        if can_host and len(self._standbys) < STANDBYS_MAX:
            nonce = self._random.getrandbits(64)
            self._standbys[member.number] = _Standby(member, port, nonce, now)

    def resume_from(self, succession: Succession, now: float) -> None:
        """Asks those again who stood by in a room whose newest changes cannot be kept."""
        for number, standby in succession._standbys.items():
            member = self._register.by_number.get(number)
            if member is not None:
                self._stands_by(member, standby.port, now)

    def forget(self, member: Member) -> None:
        """A member has gone, or cannot host any more."""
        self._standbys.pop(member.number, None)

    def receive_offer(self, offer: Offer, address: Address, now: float) -> None:
        """A standby has answered."""
        for standby in self._standbys.values():
            if standby.nonce == offer.nonce and address[0] == standby.member.address[0]:
                standby.heard_at, standby.tries = now, 0

    def next_timeout(self) -> float:
        """When a standby is to be asked, or is silent for too long."""
        return min((standby.ask_at for standby in self._standbys.values()), default=NEVER)

    def handle_timeout(self, now: float) -> None:
        """Asks, and names the successors anew if they have changed."""
        for standby in self._standbys.values():
            if standby.ask_at <= now:
                self._ask(standby, now)
        self._choose(now)
        for standby in self._successors:
            if (
                not standby.register_seq
                or self._log.latest - standby.register_seq > REGISTER_EVENTS_MAX
            ):
                standby.register_seq = max(1, self._log.latest)
                self._scribe.write_register(standby.member, now)

    def _ask(self, standby: _Standby, now: float) -> None:
        host, _, *rest = standby.member.address
        discover = Discover(standby.nonce, int(now * 1e6))
        self._relay.send(discover.encode(), (host, standby.port, *rest))
        if standby in self._successors:
            wait = ASK_SUCCESSOR_SECONDS
        elif standby.tries < ASK_NEW_TRIES:
            wait = ASK_NEW_SECONDS
        else:
            wait = ASK_OTHER_SECONDS
        standby.tries += 1
        standby.ask_at = now + wait

    def _choose(self, now: float) -> None:
        def is_there(standby: _Standby, silent_seconds: float) -> bool:
            known = self._standbys.get(standby.member.number) is standby
            return known and now - standby.heard_at < silent_seconds

        before, owners = self.text, self._owners(now)
        stay = [
            each
            for each in self._successors
            if is_there(each, SUCCESSOR_SILENT_SECONDS) and each in owners
        ]
        for standby in self._successors:
            if standby not in stay:
                standby.heard_at = float("-inf")  # it has to answer again
        others = [
            each
            for each in self._standbys.values()
            if each not in stay
            and each in owners
            and is_there(each, OTHER_SILENT_SECONDS)
            and len(self._address(each).encode()) <= ADDRESS_BYTES_MAX
        ]
        others.sort(key=lambda each: each.member.joined_seq)  # they have more of the log
        self._successors = (stay + others)[:SUCCESSORS_MAX]
        self.text = "".join(f"{number} {address}\n" for number, address in self.successors)
        if self.text != before:
            self._scribe.write_successors(self.text, now)

    def _owners(self, now: float) -> list[_Standby]:
        """Of those who claim the same port, which only one program can have, the first one that is
        heard: nobody takes the place of a member that is there. One that was started again has it
        once the member that it was before is silent; then the newest one counts."""
        owners: dict[tuple[object, int], _Standby] = {}
        for standby in self._standbys.values():
            where = standby.member.address[0], standby.port
            known = owners.get(where)
            if known is None or now - known.member.heard_at >= OWNER_SILENT_SECONDS:
                owners[where] = standby
        return list(owners.values())

    def _address(self, standby: _Standby) -> str:
        """The address of a standby as others reach it."""
        host = str(standby.member.address[0])
        ours = self._hosted_by.address.rpartition(":")[0].strip("[]")
        if ours and host.startswith(LOOPBACK):
            host = ours  # it is on this machine
        return format_address((host.removeprefix("::ffff:"), standby.port))
