"""The page that people read: one file with its style and plots in it, which fetches nothing.

Pure: a `Report` and the plots as SVG come in, HTML goes out. All text that is not markup passes
`html.escape`. The plots' colours are named once (`PALETTE`), for light paper and for dark: the
plots in the page take those that the reader's screen asks for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from compare.experiments.experiment import Experiment, Plot, Result, amount
from compare.report.report import (
    Outcome,
    Report,
    chat_name,
    condition_name,
    rows,
    sentences,
    transports,
)

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


PHRASES: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "TCP, plain UDP and udp-chat compared",
        "intro": "One machine, {count} questions. Each is asked of the same chat in three kinds:"
        " over TCP, over UDP as it is, and over UDP with udp-chat's own repairs.",
        "reading": "A figure is the median of its repetitions, with the lowest and the highest in"
        " brackets. “Never”: it did not happen while it was watched, or did not arrive at all.",
        "contents": "Questions",
        "machine": "Where and how it was measured",
        "started": "Measured",
        "effort": "Effort",
        "full": "full",
        "quick": "quick: fewer conditions and repetitions, so take the figures with care",
        "seed": "First seed",
        "files": "Beside this page",
        "files_are": "results.json and results.csv with every value, and the plots as SVG and PNG",
        "numbers": "The numbers",
        "repetitions": "n",
        "settings": "What was held fixed",
        "remarks": "Remarks",
        "again": "Measure it again",
        "took": "took {seconds} s",
        "skipped": "Skipped: {problem}.",
        "failed": "Failed: {problem}.",
        "unknown": "This laboratory has no such experiment.",
        "no_plots": "There are no plots: they need matplotlib (pip install '.[compare]').",
        "to_top": "Back to the questions",
    },
    "ru": {
        "title": "Сравнение TCP, простого UDP и udp-chat",
        "intro": "Одна машина, вопросов: {count}. Каждый задан одному и тому же чату трёх видов:"
        " поверх TCP, поверх UDP как он есть и поверх UDP с исправлениями udp-chat.",
        "reading": "Число — медиана повторений, в скобках наименьшее и наибольшее. «Никогда»:"
        " этого не случилось, пока наблюдали, или оно не дошло вовсе.",
        "contents": "Вопросы",
        "machine": "Где и как измерено",
        "started": "Измерено",
        "effort": "Объём",
        "full": "полный",
        "quick": "быстрый: меньше условий и повторений, поэтому к числам относитесь осторожно",
        "seed": "Первое начальное число",
        "files": "Рядом с этой страницей",
        "files_are": "results.json и results.csv со всеми значениями и графики в SVG и PNG",
        "numbers": "Числа",
        "repetitions": "n",
        "settings": "Что не менялось",
        "remarks": "Замечания (по-английски)",
        "again": "Измерить ещё раз",
        "took": "заняло {seconds} с",
        "skipped": "Пропущено: {problem}.",
        "failed": "Не удалось: {problem}.",
        "unknown": "Такого опыта в этой лаборатории нет.",
        "no_plots": "Графиков нет: для них нужен matplotlib (pip install '.[compare]').",
        "to_top": "К вопросам",
    },
}

_MACHINE = {
    "en": {
        "processor": "Processor",
        "cores": "Cores",
        "memory": "Memory",
        "system": "System",
        "python": "Python",
        "congestion control": "Congestion control of its TCP",
        "congestion control on a wire": "The same on the experiments' wires",
        "load before": "Load before",
    },
    "ru": {
        "processor": "Процессор",
        "cores": "Ядер",
        "memory": "Память",
        "system": "Система",
        "python": "Python",
        "congestion control": "Управление перегрузкой в TCP",
        "congestion control on a wire": "То же на линиях опытов",
        "load before": "Нагрузка перед началом",
    },
}

_STYLE = """
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1.5rem 1.125rem 4rem; overflow-wrap: break-word; }
p, ol, ul, dl { max-width: 44rem; }
h1 { font-size: clamp(1.6rem, 5vw, 2.4rem); line-height: 1.15; letter-spacing: -0.015em; }
h2 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h3 { font-size: 1rem; margin: 2rem 0 .5rem; }
a { color: var(--link); text-underline-offset: .15em; }
code, pre { font: .9em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
pre { background: var(--panel); border-radius: .4rem; padding: .7rem .9rem;
  white-space: pre-wrap; }
section { border-top: 1px solid var(--rule); margin-top: 3rem; padding-top: 2rem; }
nav ol { padding-left: 1.6rem; }
nav li { margin: .35rem 0; }
nav span, .faint, .question { color: var(--faint); }
.question { font-size: 1.125rem; margin: 0 0 1.25rem; }
.problem { border-left: .25rem solid var(--plain); padding-left: .9rem; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .3rem 1.2rem; }
dt { color: var(--faint); }
dd { margin: 0; min-width: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr));
  gap: 1.5rem 2rem; margin: 1.5rem 0; }
figure { margin: 0; min-width: 0; }
figure svg { display: block; width: 100%; max-width: 34rem; height: auto; }
figure svg text { font-family: inherit !important; }
.table { overflow-x: auto; border: 1px solid var(--rule); border-radius: .4rem; max-width: 100%; }
table { border-collapse: collapse; width: 100%; font-size: .9375rem;
  font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .8rem; text-align: left; vertical-align: baseline; font-weight: normal; }
td, thead th { white-space: nowrap; }
thead th { color: var(--faint); border-bottom: 1px solid var(--rule); }
thead td, tbody th[scope=row] { position: sticky; left: 0; background: var(--paper); }
tbody th[scope=row] { min-width: 8rem; }
tbody th[scope=rowgroup] { background: var(--panel); font-weight: 600; }
tbody th[scope=rowgroup] div { position: sticky; left: .8rem; width: fit-content;
  max-width: calc(100vw - 4rem); }
tbody th[scope=rowgroup] span { font-weight: normal; color: var(--faint); }
td small { color: var(--faint); font-size: .875em; }
details { margin: 1rem 0; }
summary { cursor: pointer; }
@media (max-width: 34rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .5rem; }
  th, td { padding: .3rem .5rem; }
  tbody th[scope=row] { min-width: 5.5rem; }
  td small { display: block; }
}
@media print { section { break-inside: avoid; } details > * { display: block; } }
"""


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
            f"<style>{_colours()}{_STYLE}</style></head>",
            "<body><main>",
            *_header(report, experiments, phrases),
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


def _header(
    report: Report, experiments: Mapping[str, Experiment], phrases: Mapping[str, str]
) -> Iterator[str]:
    language = "ru" if phrases is PHRASES["ru"] else "en"
    yield f'<header id="top"><h1>{escape(phrases["title"])}</h1>'
    yield f"<p>{escape(phrases['intro'].format(count=len(report.outcomes)))}</p>"
    yield f"<p>{escape(phrases['reading'])}</p></header>"
    yield f"<nav><h3>{escape(phrases['contents'])}</h3><ol>"
    for outcome in report.outcomes:
        experiment = experiments.get(outcome.name)
        words = experiment.words[language] if experiment else None
        title = words.title if words else outcome.name
        question = words.question if words else ""
        yield (
            f'<li><a href="#{escape(outcome.name)}">{escape(title)}</a>'
            f" <span>{escape(question)}</span></li>"
        )
    yield f"</ol></nav><h3>{escape(phrases['machine'])}</h3><dl>"
    effort = "quick" if report.effort.quick else "full"
    machine = {_MACHINE[language].get(key, key): value for key, value in report.machine.items()}
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
    columns = [chat_name(name, words, language) for name in transports(result)]
    heads = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    repetitions = escape(phrases["repetitions"])
    yield '<div class="table" tabindex="0"><table><thead><tr><td></td>'
    yield f'{heads}<th scope="col">{repetitions}</th></tr></thead>'
    quantity = ""
    for row in rows(result, words, language):
        if row.quantity != quantity:
            yield ("</tbody>" if quantity else "") + "<tbody><tr>"
            quantity = row.quantity
            axis = _axis(experiment, result, row.key)
            by = f" <span>· {escape(words.name(axis))}</span>" if axis else ""
            yield f'<th scope="rowgroup" colspan="{len(columns) + 2}">'
            yield f"<div>{escape(quantity)}{by}</div></th></tr>"
        cells = "".join(f"<td>{_with_small_spread(cell)}</td>" for cell in row.cells)
        yield f'<tr><th scope="row">{escape(row.condition)}</th>{cells}'
        yield f"<td>{escape(row.repetitions)}</td></tr>"
    yield "</tbody></table></div>"


def _axis(experiment: Experiment, result: Result, quantity: str) -> str | None:
    """The key of what a quantity's conditions are, if a plot tells: its own or a similar one's."""
    conditions = set(result.conditions(quantity))
    for plot in sorted(experiment.plots, key=lambda plot: plot.quantity != quantity):
        if plot.kind != "points" and conditions <= set(result.conditions(plot.quantity)):
            return plot.x
    return None


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
            arrived = [value for value in values if value < float("inf")]
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
