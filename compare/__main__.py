"""The laboratory's command: measures what is asked for, and writes what was found.

  python3 -m compare               everything; some minutes
  python3 -m compare --quick       everything, roughly; a minute and a half
  python3 -m compare loss order    two experiments
  python3 -m compare --again comparison/…/results.json --lang ru --output russian

Experiments run one after another, for they measure time. What one needs and this machine has not is
told, and the others still run; so it is with one that fails. What was measured is written in any
case, also after Ctrl-C. Plots need matplotlib, and a live progress needs rich: without them there
are the numbers, and lines of text.

Exit codes: 0 fine, 1 something failed or nothing could be measured, 2 wrong use, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import os
import platform
import sys
import textwrap
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from compare.experiments.experiment import Effort, Experiment, Result, amount
from compare.report import page, report
from compare.report.report import Outcome, Report
from compare.wire.network import Wire, WireUnavailable, missing
from udp_chat.app.catalogue import LANGUAGES, locale_language

MODULES = (
    # What is sent, then how it fares on a bad link, then what becomes of those who vanish.
    *("compare.experiments.boundaries", "compare.experiments.datagram_size"),
    *("compare.experiments.set_up", "compare.experiments.order", "compare.experiments.loss"),
    *("compare.experiments.cost", "compare.experiments.slow_receiver"),
    *("compare.experiments.dead_peer", "compare.experiments.server_death"),
    *("compare.experiments.address_change", "benchmarks.fan_out"),
)

FOLDER = Path("comparison")

BUSY_SHARE = 0.3
"""A load of so much of each core before the start shows in the figures."""


def experiments() -> dict[str, Experiment]:
    """By name, in the order in which they run. Without those that this system has no modules for:
    the fan-out benchmark asks for POSIX's limits."""
    found: dict[str, Experiment] = {}
    for name in MODULES:
        with contextlib.suppress(ModuleNotFoundError):
            experiment: Experiment = importlib.import_module(name).EXPERIMENT
            found[experiment.name] = experiment
    return found


# --- progress --------------------------------------------------------------------------------


class Progress(Protocol):
    """Shows on stderr how far the laboratory has come. Told from any thread."""

    def begin(self, experiment: Experiment) -> None: ...

    def tell(self, text: str) -> None: ...

    def end(self, outcome: Outcome) -> None: ...


class Lines:
    """Progress as lines, for a log or where rich is not installed."""

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
        self._write(f"    {_became(outcome)}")

    def _write(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def showing(count: int, language: str) -> Iterator[Progress]:
    """By rich at a terminal, if it is installed."""
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
        self._shown.console.print(f"{outcome.name}: {_became(outcome)}", markup=False)
        self._shown.advance(self._task)


def _became(outcome: Outcome) -> str:
    if outcome.skipped:
        return f"skipped: {outcome.problem}"
    took = f"{amount(outcome.seconds)} s"
    return f"failed after {took}: {outcome.problem}" if outcome.problem else f"done in {took}"


# --- measuring -------------------------------------------------------------------------------


def measure(
    chosen: Sequence[Experiment], effort: Effort, progress: Progress, outcomes: list[Outcome]
) -> None:
    """Runs them, and appends what became of each; so on KeyboardInterrupt it is there, too."""
    lacking = missing() if any(experiment.needs_wire for experiment in chosen) else None
    for experiment in chosen:
        progress.begin(experiment)
        began_at = time.monotonic()
        if experiment.needs_wire and lacking is not None:
            outcome = Outcome(experiment.name, 0.0, problem=lacking, skipped=True)
        else:
            try:
                result = experiment.measure(effort, progress.tell)
            except Exception as error:  # whatever it is, the others are to be measured
                problem = f"{type(error).__name__}: {error}"
                outcome = Outcome(experiment.name, time.monotonic() - began_at, problem=problem)
            else:
                outcome = Outcome(experiment.name, time.monotonic() - began_at, result)
        outcomes.append(outcome)
        progress.end(outcome)


def describe_machine() -> dict[str, str]:
    """What the figures depend on; nothing that says whose machine it is."""
    described = {
        "processor": _line_of("/proc/cpuinfo", "model name") or platform.processor() or "?",
        "cores": str(_cores()),
        "memory": _gibibytes(_line_of("/proc/meminfo", "MemTotal")),
        "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "congestion control": _content("/proc/sys/net/ipv4/tcp_congestion_control").strip(),
        "congestion control on a wire": _congestion_control_on_a_wire(),
        "load before": " ".join(f"{load:.2f}" for load in _loads()),
    }
    return {key: value for key, value in described.items() if value}


def _congestion_control_on_a_wire() -> str:
    """Its hosts choose for themselves; empty where there is no wire."""
    try:
        with Wire() as wire:
            return wire.congestion_control
    except WireUnavailable:
        return ""


def _content(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _line_of(path: str, key: str) -> str:
    """What a file of /proc says of a key, the first time; empty if there is none."""
    for line in _content(path).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _gibibytes(kibibytes: str) -> str:
    """As /proc/meminfo tells it, for people."""
    number = kibibytes.removesuffix("kB").strip()
    return f"{int(number) / 1024**2:.1f} GiB" if number.isdecimal() else ""


def _cores() -> int:
    """That this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _loads() -> tuple[float, ...]:
    """Of the last 1, 5 and 15 minutes, where the system counts it."""
    return os.getloadavg() if hasattr(os, "getloadavg") else ()


# --- telling ---------------------------------------------------------------------------------


def write(
    folder: Path, found: Report, known: Mapping[str, Experiment], language: str
) -> Iterator[str]:
    """Writes the folder; yields what could not be drawn. What was measured is written first."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(report.record(found), encoding="utf-8")
    (folder / "results.csv").write_text(report.spreadsheet(found, known), encoding="utf-8")
    drawn: dict[str, list[page.Picture]] = {}
    try:
        from compare.report import plots
    except ImportError:
        yield "no plots: they need matplotlib (pip install '.[compare]')"
    else:
        (folder / "plots").mkdir(exist_ok=True)
        for outcome, experiment, result in report.found(found, known):
            try:
                for picture, png in plots.pictures(experiment, result, language):
                    (folder / "plots" / f"{picture.name}.svg").write_text(
                        picture.svg, encoding="utf-8"
                    )
                    (folder / "plots" / f"{picture.name}.png").write_bytes(png)
                    drawn.setdefault(outcome.name, []).append(picture)
            except (ValueError, KeyError) as error:
                yield f"no plot of {outcome.name}: {type(error).__name__}: {error}"
    text = page.page(found, known, drawn, language)
    (folder / "report.html").write_text(text, encoding="utf-8")


def tell(found: Report, known: Mapping[str, Experiment], language: str) -> None:
    """Prints the numbers and the sentences; as tables at a terminal, if rich is installed."""
    for _, experiment, result in report.found(found, known):
        print()
        if not (sys.stdout.isatty() and _tell_by_rich(experiment, result, language)):
            for line in report.table(experiment, result, language):
                print(line)
        for sentence in report.sentences(experiment, result, language):
            print(textwrap.fill(sentence, 100, break_long_words=False, break_on_hyphens=False))


def _tell_by_rich(experiment: Experiment, result: Result, language: str) -> bool:
    """Whether it could."""
    try:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text
    except ImportError:
        return False
    words = experiment.words[language]
    shown = Table(title=Text(f"{words.title}. {words.question}"), title_justify="left")
    shown.add_column("")
    for name in report.transports(result):
        shown.add_column(Text(report.chat_name(name, words, language)))
    shown.add_column("n")
    quantity = ""
    for row in report.rows(result, words, language):
        if row.quantity != quantity:
            quantity = row.quantity
            shown.add_section()
            shown.add_row(Text(quantity, style="bold"))
        shown.add_row(
            Text(f"  {row.condition}"), *(Text(cell) for cell in row.cells), row.repetitions
        )
    Console().print(shown)
    return True


# --- the command -----------------------------------------------------------------------------


def _parser(known: Mapping[str, Experiment]) -> argparse.ArgumentParser:
    questions = "\n".join(
        f"  {name:15} {experiment.words['en'].question}" for name, experiment in known.items()
    )
    parser = argparse.ArgumentParser(
        prog="python3 -m compare",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Compares TCP, plain UDP and udp-chat, and writes a report with plots.\n"
        "Run it in the project's directory, and leave the machine alone meanwhile: what else\n"
        "runs is measured too.",
        epilog=f"experiments and what they ask:\n{questions}\n\n"
        "Most of them build a network of their own between two network namespaces: they need\n"
        "Linux, and root or:  unshare --user --map-root-user --net python3 -m compare\n"
        "Plots and a live progress:  pip install '.[compare]'",
    )
    parser.add_argument("names", nargs="*", metavar="EXPERIMENT", help="which (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="fewer conditions and repetitions: some 90 s"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="what the wire's chance starts from (default: 1)"
    )
    parser.add_argument(
        "--lang", choices=LANGUAGES, default=locale_language(), help="default: by the locale"
    )
    parser.add_argument(
        "--output",
        type=Path,
        metavar="FOLDER",
        help="where to write (default: a new folder in comparison/, named after the time)",
    )
    parser.add_argument("--list", action="store_true", help="show the experiments, and end")
    parser.add_argument(
        "--again",
        type=Path,
        metavar="FILE",
        help="measure nothing: write the report from this results.json again, beside it or to"
        " --output, perhaps in another --lang",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python3 -m compare`; returns its exit code."""
    known = experiments()
    parser = _parser(known)
    arguments = parser.parse_args(argv)
    language: str = arguments.lang
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"there is no experiment {unknown[0]!r}; there are: {', '.join(known)}")
    if arguments.again and arguments.names:
        parser.error("--again tells all that was recorded: no experiment can be named with it")
    if arguments.list:
        for name, experiment in known.items():
            print(f"{name:15} {experiment.words[language].question}")
        return 0
    if arguments.again:
        return _tell_again(arguments.again, arguments.output, known, language)

    started = datetime.datetime.now().astimezone()
    machine = describe_machine()
    if _loads() and _loads()[0] > BUSY_SHARE * _cores():
        print(
            f"This machine is busy (load {_loads()[0]:.2f}): the figures will show it.",
            file=sys.stderr,
        )
    chosen = [e for name, e in known.items() if name in arguments.names or not arguments.names]
    effort = Effort(arguments.quick, arguments.seed)
    outcomes: list[Outcome] = []
    code = 0
    try:
        with showing(len(chosen), language) as progress:
            measure(chosen, effort, progress, outcomes)
    except KeyboardInterrupt:
        print("\nstopped: what was measured so far is written", file=sys.stderr)
        code = 130
    found = Report(started.isoformat(timespec="seconds"), machine, effort, tuple(outcomes))
    folder = arguments.output or FOLDER / started.strftime("%Y-%m-%d-%H%M%S")
    written = _write_and_tell(folder, found, known, language)
    failed = any(outcome.problem and not outcome.skipped for outcome in outcomes)
    nothing = not any(outcome.result for outcome in outcomes)
    return code or int(failed or nothing or not written)


def _tell_again(
    file: Path, output: Path | None, known: Mapping[str, Experiment], language: str
) -> int:
    try:
        found = report.read(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, report.UnreadableRecord) as error:
        print(f"{file} cannot be read: {error}", file=sys.stderr)
        return 1
    return 0 if _write_and_tell(output or file.parent, found, known, language) else 1


def _write_and_tell(
    folder: Path, found: Report, known: Mapping[str, Experiment], language: str
) -> bool:
    """Prints, writes, and says what is wrong; whether all could be written."""
    # From what is recorded: so whoever reads the record again is told the same.
    found = report.read(report.record(found))
    tell(found, known, language)
    try:
        notes = list(write(folder, found, known, language))
    except OSError as error:
        print(f"{folder} cannot be written: {error}", file=sys.stderr)
        return False
    for outcome in found.outcomes:
        if outcome.problem:
            print(f"{outcome.name}: {_became(outcome)}", file=sys.stderr)
    for note in notes:
        print(note, file=sys.stderr)
    print(f"\n{folder / 'report.html'}")
    return True


if __name__ == "__main__":
    sys.exit(main())
