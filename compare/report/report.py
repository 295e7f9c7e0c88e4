"""What was found, for people and for programs: as JSON, as CSV, and as tables in plain text.

Pure: a `Report` comes in, text goes out. `record` and `read` are each other's inverse. All text
comes from the `Report` alone, so `results.json` is enough to write it again, in another language
too. NEVER is `null` in JSON, "never" in CSV, and a word of the reader's language elsewhere.
page.py makes the page that people read, and plots.py its plots.
"""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from compare.experiments.experiment import (
    CHAT_NAMES,
    Condition,
    Effort,
    Experiment,
    Figure,
    Result,
    Series,
    Words,
    is_no_worse,
)
from compare.experiments.voice import texts
from compare.figures import amount
from udp_chat.protocol.delivery import NEVER

FORMAT = "udp-chat comparison 1"
"""Of results.json. It changes when a reader of this version would misread the file."""

_TEXTS = texts(Path(__file__).parent / "texts.ini")
PHRASES = {language: _TEXTS[language] for language in CHAT_NAMES}
"""What the report says besides the experiments' own texts, by language."""

MACHINE = {language: _TEXTS[f"{language} machine"] for language in CHAT_NAMES}
"""What the machine's properties are called, by language."""

COLUMNS = (
    *("experiment", "transport", "quantity", "condition", "name"),
    *("repetitions", "median", "low", "high", "values"),
)
"""Of results.csv."""


class UnreadableRecord(Exception):
    """This is no results.json, or one of another version; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one experiment ended."""

    name: str
    seconds: float
    """How long it took."""
    result: Result | None = None
    problem: str = ""
    """Why there is no result, in English."""
    skipped: bool = False
    """Whether it was not even started."""


@dataclass(frozen=True, slots=True)
class Report:
    """All that one run of the laboratory found."""

    started: str
    """Date and time with its offset, as ISO 8601 has it."""
    machine: Mapping[str, str]
    effort: Effort
    outcomes: tuple[Outcome, ...] = field(default=())

    def command(self, name: str) -> str:
        """The command that repeats an experiment."""
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
    document = _finite(dataclasses.asdict(result))
    for figure, item in zip(result.figures, document["figures"], strict=True):
        values = item.pop("values")
        item["repetitions"] = len(values)
        item |= {name: _finite(getattr(figure, name)) for name in ("median", "low", "high")}
        item["values"] = values
    assert isinstance(document, dict)
    return document


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
    return words.names.get(transport) or CHAT_NAMES[language].get(transport, transport)


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
    """By `Result.transports()`; empty where that was not measured."""
    repetitions: str


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
                    for name in result.transports()
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
    names = [chat_name(name, words, language) for name in result.transports()]
    all_rows = list(rows(result, words, language))
    lines = _columns(
        [("", *names, "n"), *((f"  {r.condition}", *r.cells, r.repetitions) for r in all_rows)]
    )
    yield f"{words.title}. {words.question}"
    yield next(lines)
    quantity = ""
    for row, line in zip(all_rows, lines, strict=True):
        if row.quantity != quantity:
            quantity = row.quantity
            yield quantity
        yield line


def _columns(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for cells in lines:
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        yield "  ".join(padded).rstrip()


def sentences(experiment: Experiment, result: Result, language: str) -> list[str]:
    """What is said of it. If a sentence cannot be made, the figures remain."""
    try:
        return list(experiment.words[language].explain(result))
    except Exception as error:
        return [f"{PHRASES[language]['wordless']} ({type(error).__name__}: {error})."]


# --- who wins --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Verdict:
    """One row of the report's first table."""

    name: str
    """Of the experiment."""
    question: str
    winners: str
    """Their names, or that there is no difference."""
    margin: str
    """By how much: the best figure against the best of the others, and what was measured."""


def verdicts(
    report: Report, experiments: Mapping[str, Experiment], language: str
) -> Iterator[Verdict]:
    """For each experiment that this laboratory knows: who wins by its headline's figure."""
    phrases = PHRASES[language]
    for outcome in report.outcomes:
        if outcome.name not in experiments:
            continue
        experiment = experiments[outcome.name]
        question = experiment.words[language].question
        if outcome.result is None:
            ended = phrases["was_skipped" if outcome.skipped else "has_failed"]
            yield Verdict(outcome.name, question, ended, "")
            continue
        figures = experiment.headline.figures(outcome.result)
        if len(figures) < 2:
            yield Verdict(outcome.name, question, phrases["no_contest"], "")
            continue
        winners = [figure for figure in figures if is_no_worse(figure, figures[0])]
        others = [figure for figure in figures if figure not in winners]
        words = experiment.words[language]

        def names(of: Sequence[Figure], words: Words = words) -> str:
            return ", ".join(chat_name(figure.transport, words, language) for figure in of)

        where = _where(experiment, outcome.result, figures[0], language)
        if not others:
            ends = dict.fromkeys(_told(figure, language) for figure in (figures[0], figures[-1]))
            margin = f"{'–'.join(ends)} · {where}"
            yield Verdict(outcome.name, question, phrases["no_difference"], margin)
            continue
        rival = [figure for figure in others if figure.median == others[0].median]
        against = phrases["against"].format(
            best=_told(figures[0], language), other=_told(others[0], language), rival=names(rival)
        )
        factor = _factor(figures[0].median, others[0].median)
        times = phrases["times"].format(factor=amount(factor, language=language)) if factor else ""
        yield Verdict(outcome.name, question, names(winners), f"{against}{times} · {where}")


def _told(figure: Figure, language: str) -> str:
    return amount(figure.median, language=language)


def _where(experiment: Experiment, result: Result, figure: Figure, language: str) -> str:
    """What was measured, and under which condition."""
    words = experiment.words[language]
    condition = condition_name(figure.condition, words, language)
    axis = condition_axis(experiment, result, figure.quantity)
    if isinstance(figure.condition, str) or axis is None:
        return f"{words.name(figure.quantity)}: {condition}"
    return f"{words.name(figure.quantity)}; {words.name(axis)}: {condition}"


def _factor(one: float, other: float) -> float:
    """How many times the smaller is in the larger; 0 if that says nothing."""
    low, high = sorted((one, other))
    return high / low if low > 0 and high < NEVER else 0.0


def condition_axis(experiment: Experiment, result: Result, quantity: str) -> str | None:
    """The key of what a quantity's conditions are, if a plot tells: its own or a similar one's."""
    conditions = set(result.conditions(quantity))
    for plot in sorted(experiment.plots, key=lambda plot: plot.quantity != quantity):
        if plot.kind != "points" and conditions <= set(result.conditions(plot.quantity)):
            return plot.x
    return None


def overview(report: Report, experiments: Mapping[str, Experiment], language: str) -> Iterator[str]:
    """The report's first table as lines of text."""
    phrases = PHRASES[language]
    told = list(verdicts(report, experiments, language))
    lines = _columns(
        [(phrases["question"], phrases["winner"]), *((v.question, v.winners) for v in told)]
    )
    yield next(lines)
    for verdict, line in zip(told, lines, strict=True):
        yield line
        if verdict.margin:
            yield f"    {verdict.margin}"
