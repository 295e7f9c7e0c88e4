"""A link that loses datagrams in bursts: the chain of Gilbert and Elliott, with two states."""

from __future__ import annotations

import random


class BurstLoss:
    """One way of a link. While its state is bad it loses every datagram, else none.

    Each datagram moves the chain by a step. `loss` is the share lost in the long run, below 1;
    `burst_count` is how many are lost in a row on average, at least 1. Lost by chance alone, that
    would be 1 / (1 - loss).
    """

    def __init__(self, loss: float, burst_count: float, chance: random.Random) -> None:
        self._chance = chance
        self._ends = 1 / burst_count
        self._begins = self._ends * loss / (1 - loss)
        self._is_bad = chance.random() < loss

    def loses(self) -> bool:
        """Whether the next datagram is lost."""
        flips = self._chance.random() < (self._ends if self._is_bad else self._begins)
        self._is_bad ^= flips
        return self._is_bad
