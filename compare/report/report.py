"""What was found, for people and for programs: as JSON, as CSV, and as a table in plain text.

Pure: a `Report` comes in, text goes out. `record` and `read` are each other's inverse, and all that
is told comes from the `Report` alone, so it can be told again from `results.json`, in another
language too. A NEVER is `null` in JSON, "never" in CSV, and a word of the reader's language
elsewhere. The page that people read is made in page.py, its plots in plots.py.
"""

from __future__ import annotations

import csv
import io
import json
import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from compare.experiments.experiment import (
    NEVER,
    Condition,
    Effort,
    Experiment,
    Figure,
    Result,
    Series,
    Words,
    amount,
)

FORMAT = "udp-chat comparison 1"
"""Of results.json. Another number if a reader of this one would misread it."""

COLUMNS = (
    *("experiment", "transport", "quantity", "condition", "name"),
    *("repetitions", "median", "low", "high", "values"),
)
"""Of results.csv."""


class UnreadableRecord(Exception):
    """A results.json that is not one, or another version's; says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one experiment."""

    name: str
    seconds: float
    """How long it took."""
    result: Result | None = None
    problem: str = ""
    """Why there is no result, in English."""
    skipped: bool = False
    """Whether it was not even tried."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that one run of the laboratory has to tell."""

    started: str
    """Date and time with its offset, as ISO 8601 has it."""
    machine: Mapping[str, str]
    effort: Effort
    outcomes: tuple[Outcome, ...] = field(default=())

    def command(self, name: str) -> str:
        """What repeats an experiment."""
        quick = ["--quick"] if self.effort.quick else []
        words = ["python3", "-m", "compare", *quick, "--seed", str(self.effort.seed), name]
        return shlex.join(words)


# --- JSON ------------------------------------------------------------------------------------


def record(report: Report) -> str:
    """The content of results.json."""
    document = {
        "format": FORMAT,
        "null": "in values and points: never. It did not end while it was watched, or was lost",
        "started": report.started,
        "machine": dict(report.machine),
        "quick": report.effort.quick,
        "seed": report.effort.seed,
        "experiments": [
            {
                "name": outcome.name,
                "seconds": outcome.seconds,
                "problem": outcome.problem,
                "skipped": outcome.skipped,
                "command": report.command(outcome.name),
                "result": None if outcome.result is None else _result_as_json(outcome.result),
            }
            for outcome in report.outcomes
        ],
    }
    return json.dumps(document, ensure_ascii=False, indent=1, allow_nan=False) + "\n"


def _result_as_json(result: Result) -> dict[str, Any]:
    return {
        "figures": [
            {
                "transport": figure.transport,
                "quantity": figure.quantity,
                "condition": figure.condition,
                "repetitions": len(figure.values),
                "median": _finite(figure.median),
                "low": _finite(figure.low),
                "high": _finite(figure.high),
                "values": _finite(figure.values),
            }
            for figure in result.figures
        ],
        "series": [
            {
                "transport": series.transport,
                "condition": series.condition,
                "points": _finite(series.points),
            }
            for series in result.series
        ],
        "settings": _finite(result.settings),
        "remarks": list(result.remarks),
    }


def _finite(value: Any) -> Any:
    """The same with null for what is infinite, which JSON cannot say."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value


def read(text: str) -> Report:
    """What `record` wrote; raises `UnreadableRecord`."""
    try:
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise UnreadableRecord(f"it is {document['format']!r}, and this reads {FORMAT!r}")
        return Report(
            started=str(document["started"]),
            machine={str(key): str(value) for key, value in document["machine"].items()},
            effort=Effort(bool(document["quick"]), int(document["seed"])),
            outcomes=tuple(
                Outcome(
                    name=str(item["name"]),
                    seconds=float(item["seconds"]),
                    result=None if item["result"] is None else _result_of(item["result"]),
                    problem=str(item["problem"]),
                    skipped=bool(item["skipped"]),
                )
                for item in document["experiments"]
            ),
        )
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise UnreadableRecord(f"{type(error).__name__}: {error}") from error


def _result_of(item: Any) -> Result:
    return Result(
        figures=tuple(
            Figure(
                str(figure["transport"]),
                str(figure["quantity"]),
                _condition(figure["condition"]),
                _numbers(figure["values"]),
            )
            for figure in item["figures"]
        ),
        series=tuple(
            Series(
                str(series["transport"]),
                _condition(series["condition"]),
                tuple((float(x), _number(y)) for x, y in series["points"]),
            )
            for series in item["series"]
        ),
        settings=dict(item["settings"]),
        remarks=tuple(map(str, item["remarks"])),
    )


def _condition(value: Any) -> Condition:
    if isinstance(value, float | int | str):
        return value
    raise UnreadableRecord(f"{value!r} is no condition")


def _number(value: Any) -> float:
    return NEVER if value is None else float(value)


def _numbers(values: Any) -> tuple[float, ...]:
    if not values:
        raise UnreadableRecord("a figure without values")
    return tuple(map(_number, values))


# --- CSV and plain text ----------------------------------------------------------------------


def spreadsheet(report: Report, experiments: Mapping[str, Experiment]) -> str:
    """The content of results.csv: a row for each figure, with English names."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for outcome, experiment, result in found(report, experiments):
        words = experiment.words["en"]
        for figure in result.figures:
            condition = figure.condition
            writer.writerow(
                (
                    outcome.name,
                    figure.transport,
                    figure.quantity,
                    condition if isinstance(condition, str) else f"{condition:g}",
                    words.name(figure.quantity),
                    len(figure.values),
                    *map(_plain, (figure.median, figure.low, figure.high)),
                    " ".join(map(_plain, figure.values)),
                )
            )
    return stream.getvalue()


def _plain(value: float) -> str:
    return "never" if math.isinf(value) else repr(value)


def found(
    report: Report, experiments: Mapping[str, Experiment]
) -> Iterator[tuple[Outcome, Experiment, Result]]:
    """Those that have a result, and that this laboratory knows."""
    for outcome in report.outcomes:
        if outcome.result is not None and outcome.name in experiments:
            yield outcome, experiments[outcome.name], outcome.result


def chat_name(transport: str, words: Words, language: str) -> str:
    """What a transport is called: the experiment's name for it, or everyone's."""
    plain = {"en": "plain UDP", "ru": "простой UDP"}[language]
    everyones = {"tcp": "TCP", "plain": plain, "chat": "udp-chat"}
    return words.names.get(transport) or everyones.get(transport, transport)


def condition_name(condition: Condition, words: Words, language: str) -> str:
    if isinstance(condition, str):
        return words.name(condition)
    return amount(condition, language=language)


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity under one condition, of all chats."""

    key: str
    """Of the quantity, whose name is:"""
    quantity: str
    condition: str
    cells: tuple[str, ...]
    """By the result's transports; empty where that was not measured."""
    repetitions: str


def transports(result: Result) -> list[str]:
    """All of them, in the order in which they were measured."""
    return list(dict.fromkeys(figure.transport for figure in result.figures))


def rows(result: Result, words: Words, language: str) -> Iterator[Row]:
    for quantity in result.quantities():
        for condition in result.conditions(quantity):
            figures = {
                figure.transport: figure
                for figure in result.figures
                if (figure.quantity, figure.condition) == (quantity, condition)
            }
            counts = sorted({len(figure.values) for figure in figures.values()})
            yield Row(
                quantity,
                words.name(quantity),
                condition_name(condition, words, language),
                tuple(
                    _cell(figures[name], language) if name in figures else ""
                    for name in transports(result)
                ),
                "–".join(map(str, counts)),
            )


def _cell(figure: Figure, language: str) -> str:
    """The median and, of several repetitions, the lowest and the highest."""
    median, low, high = (
        amount(value, language=language) for value in (figure.median, figure.low, figure.high)
    )
    if len(figure.values) == 1 or figure.low == NEVER:  # which leaves nothing to spread
        return median
    return f"{median} ({low}–{high})"


def table(experiment: Experiment, result: Result, language: str) -> Iterator[str]:
    """The numbers as lines of text, in columns."""
    words = experiment.words[language]
    names = [chat_name(name, words, language) for name in transports(result)]
    all_rows = list(rows(result, words, language))
    lines = [("", *names, "n")]
    lines += [(f"  {row.condition}", *row.cells, row.repetitions) for row in all_rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    yield f"{words.title}. {words.question}"
    quantity = ""
    for row, cells in zip([None, *all_rows], lines, strict=True):
        if row and row.quantity != quantity:
            quantity = row.quantity
            yield quantity
        first, *others = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join((first, *others)).rstrip()


def sentences(experiment: Experiment, result: Result, language: str) -> list[str]:
    """What is said of it. What was measured is not lost over a sentence that cannot be made."""
    try:
        return list(experiment.words[language].explain(result))
    except Exception as error:
        return [f"{_WORDLESS[language]} ({type(error).__name__}: {error})."]


_WORDLESS = {
    "en": "No sentences could be made of these figures",
    "ru": "Из этих чисел не удалось составить предложения",
}
