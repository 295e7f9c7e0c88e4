"""Figures: a quantile, a value for "never", and amounts as people read them."""

from __future__ import annotations

import math
from collections.abc import Iterable

NEVER = math.inf
"""A duration that did not end while it was watched, and the latency of a lost message."""

UNITS_RU = {"ms": "мс", "s": "с", "B": "Б"}


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least this share of all values does not exceed (nearest rank).

    Lost messages count as NEVER: p99 is NEVER where more than one message in a hundred was lost.
    Raises ValueError for no values.
    """
    ordered = sorted(values)
    if not ordered:
        raise ValueError("a quantile of nothing")
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def amount(value: float, unit: str = "", language: str = "en") -> str:
    """A figure for people: three digits that count. NEVER is a word, without a unit.

    The unit is given in English ("ms", "s", "B" or "%").
    """
    if math.isinf(value):
        return {"en": "never", "ru": "никогда"}[language]
    if value == 0 or abs(value) >= 100:
        text = f"{value:,.0f}".replace(",", "\u202f")
    else:
        text = f"{value:.3g}".replace(".", {"en": ".", "ru": ","}[language])
    unit = UNITS_RU.get(unit, unit) if language == "ru" else unit
    return f"{text}\u00a0{unit}" if unit else text


def duration(seconds: float, language: str = "en") -> str:
    """For people: in milliseconds below one second."""
    if seconds < 1:
        return amount(seconds * 1000, "ms", language)
    return amount(seconds, "s", language)
