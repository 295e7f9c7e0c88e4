"""Which terms a room's log has had, and up to where two logs of one room are the same.

Each host's time is a term, with an epoch of its own. A `Lineage` says at which sequence number each
term began. Two logs of one room have a common beginning; where a network fell apart, each part went
on in a term of its own, and the lineages tell where.

Nothing here touches a socket, a thread, a clock or a random source.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from struct import Struct

TERMS_MAX = 8
"""Terms that are remembered: one that comes back after more changes of the host counts as new."""

RANGE_BYTES_MAX = 58
"""Of a range as text: an epoch of 16 hex digits and two sequence numbers."""

_TERM = Struct("!QQ")
LINEAGE_BYTES = TERMS_MAX * _TERM.size
NO_LINEAGE = bytes(LINEAGE_BYTES)


@dataclass(frozen=True, slots=True)
class Lineage:
    """The newest terms of a log, oldest first: the epoch of each, and its first event."""

    terms: tuple[tuple[int, int], ...]

    @classmethod
    def decode(cls, data: bytes) -> Lineage:
        """Reads what `encode` made. Whatever the bytes are, nothing is raised: a lineage that is
        none has nothing in common with any other."""
        terms = tuple((epoch, first) for epoch, first in _TERM.iter_unpack(data) if epoch)
        grows = all(a[1] <= b[1] for a, b in pairwise(terms))
        return cls(terms if grows else ())

    def encode(self) -> bytes:
        """``(epoch:8 first:8)…``, oldest first, filled with zeros."""
        return b"".join(_TERM.pack(*term) for term in self.terms).ljust(LINEAGE_BYTES, b"\0")

    def followed_by(self, epoch: int, first: int) -> Lineage:
        """The lineage in the next term, which begins at this event. Of a term that began later
        its host has nothing: that one is left out."""
        before = (term for term in self.terms if term[1] <= first)
        return Lineage((*before, (epoch, first))[-TERMS_MAX:])

    def epoch_of(self, seq: int) -> int:
        """The epoch of the term that an event was said in; 0 for one before those remembered."""
        return next((epoch for epoch, first in reversed(self.terms) if first <= seq), 0)

    def last_of(self, epoch: int, latest: int) -> int | None:
        """The last event of a term in a log that goes to `latest`; None if it is not known."""
        for number, (known, _) in enumerate(self.terms, 1):
            if known == epoch:
                ends = self.terms[number][1] - 1 if number < len(self.terms) else latest
                return min(ends, latest)
        return None

    def fork(self, latest: int, other: Lineage, other_latest: int) -> int | None:
        """The last event that two logs have in common, each of which goes to its `latest`.

        None if they have no term in common that is remembered.
        """
        for epoch, _ in reversed(self.terms):
            mine, theirs = self.last_of(epoch, latest), other.last_of(epoch, other_latest)
            if mine is not None and theirs is not None:
                return min(mine, theirs)
        return None


@dataclass(frozen=True, slots=True)
class Range:
    """Events of one term."""

    epoch: int
    first: int
    last: int

    def format(self) -> str:
        """``EPOCH FIRST LAST``, the epoch as 16 hex digits."""
        return f"{self.epoch:016x} {self.first} {self.last}"

    @classmethod
    def parse(cls, text: str) -> Range | None:
        """Reads what `format` made; None if it is something else."""
        words = text.split(" ")
        if len(words) != 3 or len(text) > RANGE_BYTES_MAX or not text.isascii():
            return None
        try:
            epoch, first, last = int(words[0], 16), int(words[1]), int(words[2])
        except ValueError:
            return None
        return cls(epoch, first, last) if 0 < epoch < 2**64 and 0 < first <= last else None


NO_TERMS = Lineage(())
"""Of a log of which nothing is known."""


def parse_origin(text: str) -> tuple[int, int] | None:
    """(epoch, sequence number) of where an event stood that was said apart; None if the text does
    not say so."""
    epoch, _, seq = text.partition(" ")
    try:
        return int(epoch, 16), int(seq)
    except ValueError:
        return None
