"""What the members would answer at one moment: who is in, who has a message, how links do.

The room computes once what is the same for all who ask. The formats are in protocol/answers.py.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection
from functools import cached_property
from heapq import nsmallest

from udp_chat.protocol.answers import CHUNK_BYTES, STATS_MAX, chunked, counted_down, roster_texts
from udp_chat.server.member import Member
from udp_chat.server.register import Register


class Survey:
    """What the members would answer at one moment. Each part is computed when it is first asked
    for, and then serves all who ask."""

    def __init__(self, members: Collection[Member], latest: int, broadcast_count: int) -> None:
        self._members = members
        self._latest = latest
        self._broadcast_count = broadcast_count

    @cached_property
    def roster(self) -> list[str]:
        """Everyone's names: see `roster_texts`."""
        return roster_texts((member.name for member in self._members), self._latest)

    def register(self, register: Register) -> list[str]:
        """What another host needs to know of the clients: a REGISTER."""
        lines = [
            f"{m.number} {register.tag(m.client_id).hex()} {m.appended} {m.joined_seq} {m.name}"
            for m in self._members
        ]
        lines += [
            f"{m.number} {register.tag(m.client_id).hex()} {m.appended} 0 {m.name}"
            for m in register.departed.values()
        ]
        return [
            "\n".join([f"{self._latest} {left}", *c]) for left, c in counted_down(chunked(lines))
        ]

    def seen(self, seq: int, asker: Member) -> str:
        """The readers of one line: ``SEQ HAVE TOTAL``, then each name that lacks it, a line each.

        Of those who were in when it was said and still are, the asker left out; of very many who
        have it not, as many names as fit.
        """
        behind = [
            member
            for _, _, member in self._by_acknowledgement[: bisect_left(self._acknowledgements, seq)]
            if member.first_seq <= seq and member is not asker
        ]
        asked = asker.first_seq <= seq
        total = bisect_right(self._first_seqs, seq) - asked
        names = nsmallest(CHUNK_BYTES // 2, (member.name for member in behind))
        head = f"{seq} {total - len(behind)} {total}"
        return "\n".join([head, *chunked(names)[0]])

    def stats(self, asker: Member) -> list[str]:
        """How links do: ``REMAINING``, then ``NAME NUMBERS…`` a line, the asker's own first."""
        others = [line for member, line in self._worst_links if member is not asker]
        lines = [_link_line(asker, self._broadcast_count), *others[: STATS_MAX - 1]]
        return ["\n".join([str(left), *chunk]) for left, chunk in counted_down(chunked(lines))]

    @cached_property
    def _by_acknowledgement(self) -> list[tuple[int, int, Member]]:
        return sorted((m.position.acked, m.number, m) for m in self._members)

    @cached_property
    def _acknowledgements(self) -> list[int]:
        return [acked for acked, _, _ in self._by_acknowledgement]

    @cached_property
    def _first_seqs(self) -> list[int]:
        return sorted(member.first_seq for member in self._members)

    @cached_property
    def _worst_links(self) -> list[tuple[Member, str]]:
        worst = nsmallest(STATS_MAX, self._members, key=lambda member: -member.traffic.lost)
        return [(member, _link_line(member, self._broadcast_count)) for member in worst]


def _link_line(member: Member, broadcast_count: int) -> str:
    traffic, rtt = member.traffic, member.rtt
    numbers = (
        int(rtt.quantile(0.5) * 1e6),
        int(rtt.quantile(0.95) * 1e6),
        traffic.received,
        traffic.lost,
        traffic.duplicated,
        traffic.reordered,
        traffic.received_bytes,
        traffic.sent(broadcast_count),
        traffic.repaired,
    )
    return " ".join([member.name, *map(str, numbers)])
