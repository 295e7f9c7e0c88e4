"""What a member can ask the room, and how the answers are written.

An answer is one or more events in the asker's inbox, so it is as reliable as everything else. Its
text is lines: numbers at the head, then names or links. What the server makes of its members is in
server/survey.py; here is what both ends share. docs/protocol.md has the formats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

from udp_chat.protocol.packets import TEXT_BYTES_MAX

CHUNK_BYTES = TEXT_BYTES_MAX - 60
"""Lines in one event of an answer; the rest is for the numbers at its head."""

ROSTER_CHUNK_BYTES = 520
"""Names in one event of a roster: two such events fill one datagram, a longer one leaves a quarter
of it empty. A large room sends each newcomer dozens."""

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
    chunks = chunked(sorted(names), ROSTER_CHUNK_BYTES)
    return ["\n".join([f"{seq} {left}", *chunk]) for left, chunk in counted_down(chunks)]


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


def chunked(lines: Iterable[str], bytes_max: int = CHUNK_BYTES) -> list[list[str]]:
    """Lines in groups that each fit an event; at least one group."""
    chunks: list[list[str]] = [[]]
    size = 0
    for line in lines:
        size += len(line.encode()) + 1
        if size > bytes_max:
            chunks.append([])
            size = len(line.encode()) + 1
        chunks[-1].append(line)
    return chunks


def counted_down(chunks: Sequence[list[str]]) -> Iterable[tuple[int, list[str]]]:
    """Each chunk with how many come after it."""
    return zip(range(len(chunks) - 1, -1, -1), chunks, strict=True)
