"""Shows on stderr how far the laboratory has come: by rich at a terminal, else as lines."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Protocol

from compare.experiments.experiment import Experiment
from compare.figures import amount
from compare.report.report import Outcome


class Progress(Protocol):
    """Shows how far the laboratory has come. Call it from any thread."""

    def begin(self, experiment: Experiment) -> None: ...

    def tell(self, text: str) -> None: ...

    def end(self, outcome: Outcome) -> None: ...


class Lines:
    """Progress as lines: for a log, or where rich is not installed."""

    def __init__(self, count: int, language: str) -> None:
        self._count = count
        self._language = language
        self._number = 0

    def begin(self, experiment: Experiment) -> None:
        self._number += 1
        title = experiment.words[self._language].title
        self._write(f"[{self._number}/{self._count}] {experiment.name}: {title}")

    def tell(self, text: str) -> None:
        self._write(f"    {text}")

    def end(self, outcome: Outcome) -> None:
        self._write(f"    {became(outcome)}")

    def _write(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def showing(count: int, language: str) -> Iterator[Progress]:
    """A live line at a terminal, if rich is installed."""
    if sys.stderr.isatty():
        try:
            from rich import progress
            from rich.console import Console
        except ImportError:
            pass
        else:
            columns = (
                progress.SpinnerColumn(),
                progress.TextColumn("[bold]{task.description}"),
                progress.BarColumn(24),
                progress.MofNCompleteColumn(),
                progress.TimeElapsedColumn(),
                progress.TextColumn("{task.fields[told]}", style="dim", markup=False),
            )
            with progress.Progress(*columns, console=Console(stderr=True)) as shown:
                yield _Bar(shown, count)
            return
    yield Lines(count, language)


class _Bar:
    """Progress as one live line, with a line for each experiment that has ended."""

    def __init__(self, shown: object, count: int) -> None:
        from rich.progress import Progress as Shown

        assert isinstance(shown, Shown)
        self._shown = shown
        self._task = shown.add_task("", total=count, told="")

    def begin(self, experiment: Experiment) -> None:
        self._shown.update(self._task, description=experiment.name, told="")

    def tell(self, text: str) -> None:
        self._shown.update(self._task, told=text)

    def end(self, outcome: Outcome) -> None:
        self._shown.console.print(f"{outcome.name}: {became(outcome)}", markup=False)
        self._shown.advance(self._task)


def became(outcome: Outcome) -> str:
    """How an experiment ended, in a few words."""
    if outcome.skipped:
        return f"skipped: {outcome.problem}"
    took = f"{amount(outcome.seconds)} s"
    return f"failed after {took}: {outcome.problem}" if outcome.problem else f"done in {took}"
