"""What a member can ask the room, and how the answers are written.

An answer is one or more events in the asker's inbox, so it is as reliable as everything else. Its
text is lines: numbers at the head, then names or links. The server writes them here, with what is
the same for all who ask computed once (`Survey`), and the client reads them here;
docs/protocol.md has the formats.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from heapq import nsmallest
from typing import TypeAlias

from member import Member
from protocol import TEXT_BYTES_MAX

CHUNK_BYTES = TEXT_BYTES_MAX - 60
"""Lines in one event of an answer; the rest is for the numbers at its head."""

SEEN_MAX = 5
"""Lines of one question "who has them?"."""

STATS_MAX = 100
"""Members in one answer about links; of more, those whose links lose most."""

NUMBER_DIGITS_MAX = 20
"""Digits of a number in an answer: 64 bits have no more, and Python could not divide any more
than some 300."""

LINK_KEYS = (
    "rtt_us",
    "rtt_p95_us",
    "received",
    "lost",
    "duplicated",
    "reordered",
    "received_bytes",
    "sent",
    "repaired",
)
"""The numbers of a member's line in STATS, as the server counts them in this session: median and
95th percentile of the round trip, datagrams from the client, of these lost, doubled and late,
their bytes, EVENTS to the client, and of these sent as repairs."""

Link: TypeAlias = dict[str, int | str]


def roster_texts(names: Iterable[str], seq: int) -> list[str]:
    """Everyone's names, true as of one event of the room: ``SEQ REMAINING``, then a name a line."""
    chunks = _chunks(sorted(names))
    return ["\n".join([f"{seq} {left}", *chunk]) for left, chunk in _counted_down(chunks)]


def parse_asked(text: str, latest: int) -> list[int]:
    """The sequence numbers in a question, as far as there are such events."""
    words = [word for word in text.split()[:SEEN_MAX] if _is_number(word)]
    return [seq for seq in map(int, words) if 0 < seq <= latest]


def parse_seen(text: str) -> tuple[int, int, int, list[str]] | None:
    """(seq, have, total, names of those who have it not) of a SEEN; None if it is not one."""
    head, *names = text.split("\n")
    words = head.split(" ")
    if len(words) != 3 or not all(map(_is_number, words)):
        return None
    seq, have, total = (int(word) for word in words)
    return seq, have, total, names


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
        return "\n".join([head, *_chunks(names)[0]])

    def stats(self, asker: Member) -> list[str]:
        """How links do: ``REMAINING``, then ``NAME NUMBERS…`` a line, the asker's own first."""
        others = [line for member, line in self._worst_links if member is not asker]
        lines = [_link_line(asker, self._broadcast_count), *others[: STATS_MAX - 1]]
        return ["\n".join([str(left), *chunk]) for left, chunk in _counted_down(_chunks(lines))]

    @cached_property
    def _by_acknowledgement(self) -> list[tuple[int, int, Member]]:
        return sorted((m.room.acked, m.number, m) for m in self._members)

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


def parse_stats(text: str) -> tuple[list[Link], bool]:
    """(links, whether these were the last ones) of a STATS; lines that are none are left out."""
    remaining, *lines = text.split("\n")
    links: list[Link] = []
    for line in lines:
        name, *words = line.split(" ")
        if len(words) == len(LINK_KEYS) and all(map(_is_number, words)):
            links.append({"name": name, **dict(zip(LINK_KEYS, map(int, words), strict=True))})
    return links, remaining == "0"


def _is_number(word: str) -> bool:
    return word.isdecimal() and len(word) <= NUMBER_DIGITS_MAX


def _chunks(lines: Iterable[str]) -> list[list[str]]:
    """Lines in groups that each fit an event; at least one group."""
    chunks: list[list[str]] = [[]]
    size = 0
    for line in lines:
        size += len(line.encode()) + 1
        if size > CHUNK_BYTES:
            chunks.append([])
            size = len(line.encode()) + 1
        chunks[-1].append(line)
    return chunks


def _counted_down(chunks: Sequence[list[str]]) -> Iterable[tuple[int, list[str]]]:
    """Each chunk with how many come after it."""
    return zip(range(len(chunks) - 1, -1, -1), chunks, strict=True)
