"""What an experiment is, and what it finds: figures that can be written, drawn and explained.

An experiment is a module that holds an `EXPERIMENT`. Its `measure` runs the chats and returns a
`Result`, which is made of plain numbers; all that is said and drawn afterwards comes from the
result alone, so a report can be made again from `results.json`. Nothing here runs anything.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, TypeVar

Condition: TypeAlias = "float | str"
"""What was varied: a number (a share, a count, bytes), or the key of a text."""

NEVER = math.inf
"""The value of a duration that did not end while it was watched, and of a lost line's latency."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much an experiment may take, and the seed that its chance comes from."""

    quick: bool = False
    seed: int = 1

    def choose(self, full: _T, quick: _T) -> _T:
        return quick if self.quick else full

    def seeds(self, count: int) -> range:
        """One for each repetition."""
        return range(self.seed, self.seed + count)


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity of one chat under one condition, measured once or repeatedly."""

    transport: str
    """A `Transport.name`, or the key of another text."""
    quantity: str
    """The key of its name in `Words.names`; its unit belongs to the name."""
    condition: Condition
    values: tuple[float, ...]
    """One for each repetition."""

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    @property
    def low(self) -> float:
        return min(self.values)

    @property
    def high(self) -> float:
        return max(self.values)


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one run that belong together, such as latency over message number."""

    transport: str
    condition: Condition
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Result:
    """What an experiment found."""

    figures: tuple[Figure, ...]
    series: tuple[Series, ...] = ()
    settings: Mapping[str, object] = field(default_factory=dict)
    """What was held fixed, for the record: seeds, lines, rates, the wire, congestion control."""
    remarks: tuple[str, ...] = ()
    """What a reader of the figures has to know and could not see, in English."""

    def figure(self, transport: str, quantity: str, condition: Condition) -> Figure:
        """Raises KeyError where that was not measured."""
        wanted = (transport, quantity, condition)
        for figure in self.figures:
            if (figure.transport, figure.quantity, figure.condition) == wanted:
                return figure
        raise KeyError(wanted)

    def median(self, transport: str, quantity: str, condition: Condition) -> float:
        return self.figure(transport, quantity, condition).median

    def conditions(self, quantity: str) -> list[Condition]:
        """Under which it was measured, in that order."""
        return list(dict.fromkeys(f.condition for f in self.figures if f.quantity == quantity))

    def transports(self, quantity: str) -> list[str]:
        return list(dict.fromkeys(f.transport for f in self.figures if f.quantity == quantity))

    def quantities(self) -> list[str]:
        return list(dict.fromkeys(f.quantity for f in self.figures))


@dataclass(frozen=True, slots=True)
class Plot:
    """What is to be drawn: a quantity over its conditions, or the result's series."""

    quantity: str
    """A key of `Words.names`; for "points" the name of the upright axis."""
    kind: Literal["lines", "bars", "points"]
    x: str
    """The key of the level axis's name."""
    logarithmic: bool = False
    """The upright axis."""


@dataclass(frozen=True, slots=True)
class Words:
    """What is said of an experiment in one language."""

    title: str
    question: str
    names: Mapping[str, str]
    """Of quantities (with their units), of conditions that are keys, of axes."""
    explain: Callable[[Result], Sequence[str]]
    """Three sentences: what was found, with its figures; why; what it means for a program."""

    def name(self, key: Condition) -> str:
        """Of a quantity, a condition or an axis; a number is its own name."""
        return self.names.get(key, key) if isinstance(key, str) else f"{key:g}"


Tell: TypeAlias = "Callable[[str], None]"
"""Takes a short English sentence on how far an experiment has come."""


@dataclass(frozen=True, slots=True)
class Experiment:
    """One question, and how it is answered."""

    name: str
    """As typed on the command line: lower case, with hyphens."""
    needs_wire: bool
    """Whether `measure` needs what `compare.wire.missing` looks for."""
    measure: Callable[[Effort, Tell], Result]
    """Runs it. Leaves no process, thread or socket behind, whatever happens."""
    plots: tuple[Plot, ...]
    words: Mapping[str, Words]
    """By language: "en" and "ru"."""


_DECIMAL_POINT = {"en": ".", "ru": ","}
_NEVER = {"en": "never", "ru": "никогда"}


def amount(value: float, unit: str = "", language: str = "en") -> str:
    """A figure for people: three digits that count; a NEVER in words, without its unit."""
    if math.isinf(value):
        return _NEVER[language]
    if value == 0 or abs(value) >= 100:
        text = f"{value:,.0f}".replace(",", "\u202f")
    else:
        text = f"{value:.3g}".replace(".", _DECIMAL_POINT[language])
    return f"{text}\u00a0{unit}" if unit else text


def duration(seconds: float, language: str = "en") -> str:
    """For people: in milliseconds below one second."""
    second, millisecond = {"en": ("s", "ms"), "ru": ("с", "мс")}[language]
    if seconds < 1:
        return amount(seconds * 1000, millisecond, language)
    return amount(seconds, second, language)
