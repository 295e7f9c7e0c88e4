"""The laboratory's command: runs the chosen experiments, and writes what it found.

  python3 -m compare               everything; some minutes
  python3 -m compare --quick       everything, roughly; a minute and a half
  python3 -m compare loss order    two experiments
  python3 -m compare --again comparison/…/results.json --lang ru --output russian

Experiments run one after another, because they measure time. If one fails, or this machine lacks
what it needs, the command says so and runs the others. It writes what was measured in any case,
also after Ctrl-C. Plots need matplotlib, and live progress needs rich; without them there are the
numbers, and lines of text.

Exit codes: 0 fine, 1 something failed or nothing could be measured, 2 wrong use, 130 Ctrl-C.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import importlib
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from compare.experiments.experiment import Effort, Experiment, Result
from compare.report import page, report
from compare.report.machine import Machine
from compare.report.progress import Progress, became, showing
from compare.report.report import Outcome, Report
from compare.wire.namespaces import bring_up_loopback
from udp_chat.app.catalogue import LANGUAGES, locale_language
from udp_chat.app.standard_streams import discard_output

MODULES = (
    # What is sent, then how it fares on a bad link, then what happens to those who vanish.
    *("boundaries", "datagram_size", "set_up", "order", "loss", "cost", "slow_receiver"),
    *("dead_peer", "server_death", "address_change", "fan_out"),
)
"""Of compare.experiments."""

FOLDER = Path("comparison")


def experiments() -> dict[str, Experiment]:
    """By name, in the order in which they run. Without those whose modules this system lacks: the
    fan-out benchmark asks for POSIX's limits."""
    found: dict[str, Experiment] = {}
    for name in MODULES:
        with contextlib.suppress(ModuleNotFoundError):
            module = importlib.import_module(f"compare.experiments.{name}")
            experiment: Experiment = module.EXPERIMENT
            found[experiment.name] = experiment
    return found


# --- measuring -------------------------------------------------------------------------------


def measure(
    chosen: Sequence[Experiment],
    effort: Effort,
    lacking: str | None,
    progress: Progress,
    outcomes: list[Outcome],
) -> None:
    """Runs them, and appends how each ended, so that nothing is lost on KeyboardInterrupt.

    `lacking`: why there can be no wire, if there cannot.
    """
    for experiment in chosen:
        progress.begin(experiment)
        began_at = time.monotonic()
        if experiment.needs_wire and lacking is not None:
            outcome = Outcome(experiment.name, 0.0, problem=lacking, skipped=True)
        else:
            try:
                result = experiment.measure(effort, progress.tell)
            except Exception as error:  # whatever it is, the others run
                problem = f"{type(error).__name__}: {error}"
                outcome = Outcome(experiment.name, time.monotonic() - began_at, problem=problem)
            else:
                outcome = Outcome(experiment.name, time.monotonic() - began_at, result)
        outcomes.append(outcome)
        progress.end(outcome)


# --- reporting -------------------------------------------------------------------------------


Draw = Callable[[Experiment, Result, str], Iterator[tuple[page.Picture, bytes]]]
"""As `plots.pictures`."""


def write(
    folder: Path,
    found: Report,
    known: Mapping[str, Experiment],
    language: str,
    draw: Draw | None = None,
) -> Iterator[str]:
    """Writes the folder, what was measured first. Yields what could not be drawn, and why.

    Without `draw` matplotlib draws the plots, if it is installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.json").write_text(report.record(found), encoding="utf-8")
    (folder / "results.csv").write_text(report.spreadsheet(found, known), encoding="utf-8")
    drawn: dict[str, list[page.Picture]] = {}
    if draw is None:
        try:
            from compare.report import plots
        except ImportError:
            yield "no plots: they need matplotlib (pip install '.[compare]')"
        else:
            draw = plots.pictures
    for outcome, experiment, result in report.found(found, known):
        if draw is None:
            break
        (folder / "plots").mkdir(exist_ok=True)
        try:
            for picture, png in draw(experiment, result, language):
                file = folder / "plots" / f"{picture.name}.svg"
                file.write_text(picture.svg, encoding="utf-8")
                file.with_suffix(".png").write_bytes(png)
                drawn.setdefault(outcome.name, []).append(picture)
        except (ValueError, KeyError) as error:
            yield f"no plot of {outcome.name}: {type(error).__name__}: {error}"
    text = page.page(found, known, drawn, language)
    (folder / "report.html").write_text(text, encoding="utf-8")


def tell(found: Report, known: Mapping[str, Experiment], language: str) -> None:
    """Prints who wins, then the numbers and the sentences: at a terminal by rich, if installed."""
    print(*report.overview(found, known, language), sep="\n")
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
    for name in result.transports():
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
        "Run it in the project's directory. Leave the machine alone meanwhile: the figures show\n"
        "what else runs.",
        epilog=f"experiments and their questions:\n{questions}\n\n"
        "Most of them build a network of their own between two network namespaces. They need\n"
        "Linux, and root or:  unshare --user --map-root-user --net python3 -m compare\n"
        "For plots and live progress:  pip install '.[compare]'",
    )
    parser.add_argument("names", nargs="*", metavar="EXPERIMENT", help="which (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="fewer conditions and repetitions: some 90 s"
    )
    parser.add_argument(
        "--seed", type=int, default=1, help="of the wire's random numbers (default: 1)"
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
    parser.add_argument("--list", action="store_true", help="list the experiments")
    parser.add_argument(
        "--again",
        type=Path,
        metavar="FILE",
        help="measure nothing: write the report of this results.json again, beside it or to"
        " --output, perhaps in another --lang",
    )
    return parser


def main(
    argv: Sequence[str] | None = None,
    known: Mapping[str, Experiment] | None = None,
    machine: Machine | None = None,
) -> int:
    """The command `python3 -m compare`; returns its exit code.

    It runs these experiments on this machine: by default all, on the one that it finds.
    """
    known = experiments() if known is None else known
    machine = machine or Machine()
    parser = _parser(known)
    arguments = parser.parse_args(argv)
    language: str = arguments.lang
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"there is no experiment {unknown[0]!r}; choose from {', '.join(known)}")
    if arguments.again and arguments.names:
        parser.error("--again reports all that was recorded: name no experiment with it")
    if arguments.list:
        try:
            for name, experiment in known.items():
                print(f"{name:15} {experiment.words[language].question}", flush=True)
        except BrokenPipeError:
            discard_output()
        return 0
    if arguments.again:
        return _report_again(arguments.again, arguments.output, known, language)

    bring_up_loopback()
    started = datetime.datetime.now().astimezone()
    described = machine.describe()
    if machine.busy:
        print(
            f"This machine is busy (load {machine.busy:.2f}): expect it to show in the figures.",
            file=sys.stderr,
        )
    chosen = [e for name, e in known.items() if name in arguments.names or not arguments.names]
    effort = Effort(arguments.quick, arguments.seed)
    outcomes: list[Outcome] = []
    code = 0
    try:
        with showing(len(chosen), language) as progress:
            lacking = machine.missing() if any(e.needs_wire for e in chosen) else None
            measure(chosen, effort, lacking, progress, outcomes)
    except KeyboardInterrupt:
        print("\nstopped: the report shows what was measured so far", file=sys.stderr)
        code = 130
    found = Report(started.isoformat(timespec="seconds"), described, effort, tuple(outcomes))
    folder = arguments.output or FOLDER / started.strftime("%Y-%m-%d-%H%M%S")
    written = _write_and_tell(folder, found, known, language)
    failed = any(outcome.problem and not outcome.skipped for outcome in outcomes)
    nothing = not any(outcome.result for outcome in outcomes)
    return code or int(failed or nothing or not written)


def _report_again(
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
            print(f"{outcome.name}: {became(outcome)}", file=sys.stderr)
    for note in notes:
        print(note, file=sys.stderr)
    print(f"\n{folder / 'report.html'}")
    return True


if __name__ == "__main__":
    sys.exit(main())
