"""Figures as people read them. A `NEVER` stands for what did not happen while it was watched."""

from __future__ import annotations

import math

UNITS_RU = {"ms": "мс", "s": "с", "B": "Б"}


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
