"""What an experiment is, and what it finds: figures that can be written, drawn and explained.

An experiment is a module with an `EXPERIMENT`. Its `measure` runs the chats and returns a `Result`
of plain numbers. The sentences and plots come from the result alone, so a report can be made
again from `results.json`. Nothing here runs anything.

To add an experiment: write a module like loss.py and its texts in texts/, and enter its name into
MODULES of compare/__main__.py. A test checks that both languages have the same texts.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, TypeVar

from udp_chat.protocol.delivery import NEVER

Condition: TypeAlias = "float | str"
"""What was varied: a number (a share, a count, bytes), or the key of a text."""

CHAT_NAMES: Mapping[str, Mapping[str, str]] = {
    "en": {"tcp": "TCP", "plain": "plain UDP", "chat": "udp-chat"},
    "ru": {"tcp": "TCP", "plain": "простой UDP", "chat": "udp-chat"},
}
"""The three chats by language, in the order in which the sentences name them."""

_T = TypeVar("_T")
_Observed = TypeVar("_Observed")

Runs: TypeAlias = "Iterable[tuple[str, Condition, _Observed]]"
"""A chat's name, a condition, and what was observed, for each run of an experiment."""


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

    @classmethod
    def of(
        cls,
        runs: Runs[_Observed],
        analyse: Callable[[_Observed], Mapping[str, float]],
        **others: Any,
    ) -> Result:
        """A result with a figure for each chat, condition and quantity, a value for each run.

        `analyse` takes what was observed in one run and returns its quantities. `others` are the
        other fields.
        """
        values: dict[tuple[str, str, Condition], list[float]] = {}
        for transport, condition, observed in runs:
            for quantity, value in analyse(observed).items():
                values.setdefault((transport, quantity, condition), []).append(value)
        figures = (Figure(*key, tuple(map(float, kept))) for key, kept in values.items())
        return cls(tuple(figures), **others)

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

    def transports(self, quantity: str = "") -> list[str]:
        """The chats that this was measured of; those of all figures if none is named."""
        return list(
            dict.fromkeys(f.transport for f in self.figures if quantity in ("", f.quantity))
        )

    def quantities(self) -> list[str]:
        return list(dict.fromkeys(f.quantity for f in self.figures))


@dataclass(frozen=True, slots=True)
class Plot:
    """What to draw: a quantity over its conditions, or the result's series."""

    quantity: str
    """A key of `Words.names`; for "points" the name of the upright axis."""
    kind: Literal["lines", "bars", "points"]
    x: str
    """The key of the level axis's name."""
    logarithmic: bool = False
    """The upright axis."""


@dataclass(frozen=True, slots=True)
class Headline:
    """The one figure that answers the question: the report's first table shows who wins by it."""

    quantity: str
    better: Literal["lower", "higher"]
    condition: Condition | None = None
    """None, or one that was not measured: the last one that was."""

    def figures(self, result: Result) -> list[Figure]:
        """Of all chats under that condition, the best first; none if it was not measured."""
        conditions = result.conditions(self.quantity)
        condition = self.condition
        if condition not in conditions and conditions:
            condition = conditions[-1]
        kept = [
            figure
            for figure in result.figures
            if (figure.quantity, figure.condition) == (self.quantity, condition)
        ]
        return sorted(kept, key=lambda figure: figure.median, reverse=self.better == "higher")


EQUAL_SHARE = 0.05
"""Medians that differ by less are called equal: a single repetition shows no spread."""


def is_no_worse(figure: Figure, best: Figure) -> bool:
    """Whether the measurements show no difference: their ranges overlap, or are close."""
    if figure.low <= best.high and best.low <= figure.high:
        return True
    difference, most = abs(figure.median - best.median), max(figure.median, best.median)
    return most < NEVER and difference < EQUAL_SHARE * most


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
    """Whether `measure` needs what `compare.wire.network.missing` looks for."""
    measure: Callable[[Effort, Tell], Result]
    """Runs it. Leaves no process, thread or socket behind, whatever happens."""
    plots: tuple[Plot, ...]
    words: Mapping[str, Words]
    """By language: "en" and "ru"."""
    headline: Headline
