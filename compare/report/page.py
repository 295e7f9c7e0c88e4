"""The page that people read: one file with its style and plots in it, which fetches nothing.

Pure: a `Report` and the plots as SVG come in, HTML goes out. All text that is not markup passes
`html.escape`. `PALETTE` names the plots' colours once, for light paper and for dark: the plots in
the page take those that the reader's screen asks for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from compare.experiments.experiment import Experiment, Plot, Result
from compare.figures import amount
from compare.report.report import (
    MACHINE,
    PHRASES,
    Outcome,
    Report,
    chat_name,
    condition_axis,
    condition_name,
    rows,
    sentences,
    verdicts,
)
from udp_chat.protocol.delivery import NEVER

PALETTE = {
    # What it is for: on light paper, on dark. The chats' after Okabe and Ito, which the
    # colour-blind can tell apart; on dark paper the same hues, lighter.
    "ink": ("#1f2328", "#e8eaed"),
    "faint": ("#59636e", "#9ba5b0"),
    "rule": ("#d4d9df", "#3b434d"),
    "paper": ("#ffffff", "#14171b"),
    "panel": ("#f4f6f8", "#1d2127"),
    "link": ("#0b5fad", "#7db8f5"),
    "tcp": ("#0072b2", "#4fa8ea"),
    "plain": ("#d55e00", "#ff9047"),
    "chat": ("#009e73", "#3ccb9f"),
    "tcp-other": ("#56b4e9", "#b4dcf9"),
    "redis": ("#a8468a", "#e79fd0"),
    "nats": ("#b08900", "#ecc94b"),
}


@dataclass(frozen=True, slots=True)
class Picture:
    """A plot that was drawn, as the page takes it."""

    name: str
    """Of its file, without an ending."""
    plot: Plot
    svg: str


STYLE = (Path(__file__).parent / "page.css").read_text(encoding="utf-8")


def page(
    report: Report,
    experiments: Mapping[str, Experiment],
    pictures: Mapping[str, Sequence[Picture]],
    language: str,
) -> str:
    """The content of report.html. `pictures`: by experiment; none where nothing could draw."""
    phrases = PHRASES[language]
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f'<html lang="{language}">',
            '<head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(phrases['title'])}</title>",
            f"<style>{_colours()}\n{STYLE}</style></head>",
            "<body><main>",
            *_header(report, experiments, language),
            *(
                line
                for outcome in report.outcomes
                for line in _section(
                    report,
                    outcome,
                    experiments.get(outcome.name),
                    pictures.get(outcome.name, ()),
                    language,
                )
            ),
            "</main></body></html>",
            "",
        ]
    )


def _colours() -> str:
    light, dark = (
        "".join(f"--{name}:{pair[shade]};" for name, pair in PALETTE.items()) for shade in (0, 1)
    )
    return f":root{{{light}}}@media (prefers-color-scheme: dark){{:root{{{dark}}}}}"


def _header(report: Report, experiments: Mapping[str, Experiment], language: str) -> Iterator[str]:
    phrases = PHRASES[language]
    yield f'<header id="top"><h1>{escape(phrases["title"])}</h1>'
    yield f"<p>{escape(phrases['intro'].format(count=len(report.outcomes)))}</p></header>"
    yield f"<h3>{escape(phrases['overview'])}</h3>"
    yield '<div class="table overview" tabindex="0"><table><thead><tr>'
    yield from (
        f'<th scope="col">{escape(phrases[key])}</th>' for key in ("question", "winner", "margin")
    )
    yield "</tr></thead><tbody>"
    for verdict in verdicts(report, experiments, language):
        figures, _, measured = verdict.margin.partition(" · ")
        yield f'<tr><th scope="row"><a href="#{escape(verdict.name)}">{escape(verdict.question)}'
        yield f"</a></th><td><strong>{escape(verdict.winners)}</strong></td>"
        yield f"<td>{escape(figures)}<small>{escape(measured)}</small></td></tr>"
    yield "</tbody></table></div>"
    yield f"<p>{escape(phrases['verdict_reading'])} {escape(phrases['reading'])}</p>"
    yield f"<nav><h3>{escape(phrases['contents'])}</h3><ol>"
    for outcome in report.outcomes:
        experiment = experiments.get(outcome.name)
        title = experiment.words[language].title if experiment else outcome.name
        yield f'<li><a href="#{escape(outcome.name)}">{escape(title)}</a></li>'
    yield f"</ol></nav><h3>{escape(phrases['machine'])}</h3><dl>"
    effort = "quick" if report.effort.quick else "full"
    machine = {MACHINE[language].get(key, key): value for key, value in report.machine.items()}
    about = {
        phrases["started"]: report.started.replace("T", " "),
        phrases["effort"]: phrases[effort],
        phrases["seed"]: str(report.effort.seed),
        **machine,
        phrases["files"]: phrases["files_are"],
    }
    for name, value in about.items():
        yield f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
    yield "</dl>"


def _section(
    report: Report,
    outcome: Outcome,
    experiment: Experiment | None,
    pictures: Sequence[Picture],
    language: str,
) -> Iterator[str]:
    phrases = PHRASES[language]
    yield f'<section id="{escape(outcome.name)}">'
    if experiment is None:
        yield f"<h2>{escape(outcome.name)}</h2><p>{escape(phrases['unknown'])}</p></section>"
        return
    words, result = experiment.words[language], outcome.result
    yield f"<h2>{escape(words.title)}</h2>"
    yield f'<p class="question">{escape(words.question)}</p>'
    if result is None:
        phrase = phrases["skipped" if outcome.skipped else "failed"]
        yield f'<p class="problem">{escape(phrase.format(problem=outcome.problem))}</p>'
    else:
        yield from (f"<p>{escape(text)}</p>" for text in sentences(experiment, result, language))
        if pictures:
            yield '<div class="plots">'
            for picture in pictures:
                yield f"<figure>{_inline(picture, experiment, result, language)}</figure>"
            yield "</div>"
        else:
            yield f'<p class="faint">{escape(phrases["no_plots"])}</p>'
        yield f"<h3>{escape(phrases['numbers'])}</h3>"
        yield from _table(experiment, result, language)
        yield from _circumstances(result, phrases)
    yield f"<h3>{escape(phrases['again'])}</h3>"
    yield f"<pre><code>{escape(report.command(outcome.name))}</code></pre>"
    took = phrases["took"].format(seconds=amount(outcome.seconds, language=language))
    yield f'<p class="faint">{escape(took)} · <a href="#top">{escape(phrases["to_top"])}</a></p>'
    yield "</section>"


def _circumstances(result: Result, phrases: Mapping[str, str]) -> Iterator[str]:
    """What was held fixed, and what a reader has to know; both are recorded in English."""
    if result.remarks:
        yield f"<h3>{escape(phrases['remarks'])}</h3>"
        items = "".join(f"<li>{escape(remark)}</li>" for remark in result.remarks)
        yield f'<ul lang="en">{items}</ul>'
    if result.settings:
        yield f'<details><summary>{escape(phrases["settings"])}</summary><dl lang="en">'
        for key, value in result.settings.items():
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            name = key.replace("_", " ")
            yield f"<dt>{escape(name)}</dt><dd><code>{escape(text)}</code></dd>"
        yield "</dl></details>"


def _table(experiment: Experiment, result: Result, language: str) -> Iterator[str]:
    words, phrases = experiment.words[language], PHRASES[language]
    columns = [chat_name(name, words, language) for name in result.transports()]
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    repetitions = escape(phrases["repetitions"])
    yield '<div class="table" tabindex="0"><table><thead><tr><td></td>'
    yield f'{heads}<th scope="col">{repetitions}</th></tr></thead>'
    quantity = ""
    for row in rows(result, words, language):
        if row.quantity != quantity:
            yield ("</tbody>" if quantity else "") + "<tbody><tr>"
            quantity = row.quantity
            axis = condition_axis(experiment, result, row.key)
            by = f" <span>· {escape(words.name(axis))}</span>" if axis else ""
            yield f'<th scope="rowgroup" colspan="{len(columns) + 2}">'
            yield f"<div>{escape(quantity)}{by}</div></th></tr>"
        cells = "".join(f"<td>{_with_small_spread(cell)}</td>" for cell in row.cells)
        yield f'<tr><th scope="row">{escape(row.condition)}</th>{cells}'
        yield f"<td>{escape(row.repetitions)}</td></tr>"
    yield "</tbody></table></div>"


def _with_small_spread(cell: str) -> str:
    median, space, spread = cell.partition(" (")
    return escape(median) + (f" <small>({escape(spread)}</small>" if space else "")


# --- plots in the page -----------------------------------------------------------------------


def _inline(picture: Picture, experiment: Experiment, result: Result, language: str) -> str:
    """The plot as a part of the page: with names of its own, with colours of the page."""
    svg = picture.svg[picture.svg.index("<svg") :]
    prefix = re.sub(r"\W", "-", picture.name)
    svg = re.sub(r'\bid="', f'id="{prefix}-', svg)
    svg = re.sub(r'(url\(#|href="#)', rf"\g<1>{prefix}-", svg)
    for name, (light, _) in PALETTE.items():
        svg = svg.replace(light, f"var(--{name})")
    told = escape(description(picture.plot, experiment, result, language))
    opening = re.match(r"<svg[^>]*>", svg)
    assert opening is not None
    kept = re.sub(r' (width|height|role|aria-label)="[^"]*"', "", opening[0])
    return kept[:-1] + f' role="img" aria-label="{told}">' + svg[opening.end() :]


def description(plot: Plot, experiment: Experiment, result: Result, language: str) -> str:
    """What a plot shows, for those who cannot see it."""
    words = experiment.words[language]
    told = [f"{words.name(plot.quantity)} / {words.name(plot.x)}"]
    if plot.kind == "points":
        for series in result.series:
            values = [value for _, value in series.points]
            arrived = [value for value in values if value < NEVER]
            low, high = (
                (amount(end(arrived), language=language) for end in (min, max))
                if arrived
                else ("–", "–")
            )
            name = chat_name(series.transport, words, language)
            told.append(f"{name}: {len(arrived)} / {len(values)}, {low}–{high}")
    for transport in result.transports(plot.quantity) if plot.kind != "points" else ():
        values_told = "; ".join(
            f"{condition_name(figure.condition, words, language)}:"
            f" {amount(figure.median, language=language)}"
            for figure in result.figures
            if (figure.transport, figure.quantity) == (transport, plot.quantity)
        )
        told.append(f"{chat_name(transport, words, language)}: {values_told}")
    return ". ".join(told) + "."
