"""The plots, drawn by matplotlib from what an experiment declares and what it found.

Each is small enough to be read on a phone without being shrunk: 11 cm wide, with its name above it
and its legend below. A chat has one colour and one marker in all of them. What was never observed
is not left out: above a dashed line there is a strip for it, and a bar without an end is open,
hatched, and says so.

Nothing of pyplot's global state is used, and no screen: a `Figure` is drawn and rendered to bytes.
Text stays text in an SVG, and its numbers are cut to what can be seen, so it is small.
"""

from __future__ import annotations

import io
import itertools
import math
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure as Drawing
from matplotlib.ticker import MaxNLocator, NullLocator

from compare.experiments.experiment import Experiment, Figure, Plot, Result, Words
from compare.figures import amount
from compare.report.page import PALETTE, Picture
from compare.report.report import chat_name, condition_name
from udp_chat.protocol.delivery import NEVER

WIDTH_INCHES, HEIGHT_INCHES = 4.4, 3.5
PNG_DOTS_PER_INCH = 200

NEVER_SHARE = 0.14
"""Of the height, for what was never observed."""

SPAN_LOGARITHMIC = 50
"""A level axis whose largest number is so many times its smallest is logarithmic."""

LABELLED_BARS_MAX = 9
"""With more of them their numbers would overlap: the table has them."""

FLAT_SHARE = 0.02
"""Of the height: a bar below it can hardly be seen, and has its number in any case."""

LINE_CHARACTERS = 46
"""Of a title that fit across a plot."""

LEGEND_CHARACTERS, KEY_CHARACTERS = 58, 7
"""Of a legend that fit, in smaller letters; and what a colour and its margins take of them."""

_STYLE: dict[Any, object] = {
    "font.family": ["DejaVu Sans"],  # matplotlib brings it, with Cyrillic letters
    "font.size": 9.5,
    "text.color": PALETTE["ink"][0],
    "axes.edgecolor": PALETTE["faint"][0],
    "axes.facecolor": PALETTE["paper"][0],
    "axes.labelcolor": PALETTE["ink"][0],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "figure.facecolor": PALETTE["paper"][0],
    "grid.color": PALETTE["rule"][0],
    "grid.linewidth": 0.7,
    "hatch.linewidth": 0.7,
    "legend.frameon": False,
    "legend.fontsize": 9.5,
    "svg.fonttype": "none",
    "svg.hashsalt": "udp-chat",  # the same plot is the same file
    "text.parse_math": False,  # a dollar sign is one
    "xtick.color": PALETTE["ink"][0],
    "xtick.labelsize": 9.0,
    "ytick.color": PALETTE["ink"][0],
    "ytick.labelsize": 9.0,
    "ytick.left": False,
}

# Some experiments look below the chats, at bare sockets: what is TCP there looks like TCP.
_LOOKS = {
    "tcp": ("tcp", "s"),
    "stream": ("tcp", "s"),
    "plain": ("plain", "^"),
    "datagrams": ("plain", "^"),
    "chat": ("chat", "o"),
    "tcp_keepalive": ("tcp-other", "v"),
    "frames": ("tcp-other", "v"),
    "redis": ("redis", "D"),
    "nats": ("nats", "P"),
}
_OTHERS = (("redis", "D"), ("nats", "P"), ("faint", "X"))


@dataclass(frozen=True, slots=True)
class _Scale:
    """The upright axis: what it shows, and what is kept free above for NEVER."""

    edge: float
    """The largest value that can be shown; above it is the strip."""
    top: float


def look(transport: str) -> tuple[str, str]:
    """The colour and the marker of a chat, the same in every plot."""
    name, marker = _LOOKS.get(transport) or _OTHERS[sum(transport.encode()) % len(_OTHERS)]
    return PALETTE[name][0], marker


def pictures(
    experiment: Experiment, result: Result, language: str
) -> Iterator[tuple[Picture, bytes]]:
    """Each plot that the result has numbers for, with its PNG."""
    for plot in experiment.plots:
        if not _has_numbers(plot, result):
            continue
        with matplotlib.rc_context(_STYLE):
            drawing = draw(plot, result, experiment.words[language], language)
            png, svg = io.BytesIO(), io.BytesIO()
            drawing.savefig(png, format="png", dpi=PNG_DOTS_PER_INCH)
            drawing.set_layout_engine("none")  # all is in its place now
            drawing.savefig(svg, format="svg", metadata={"Date": None, "Creator": None})
        name = f"{experiment.name}-{plot.quantity}"
        yield Picture(name, plot, _shortened(svg.getvalue().decode())), png.getvalue()


def _has_numbers(plot: Plot, result: Result) -> bool:
    if plot.kind == "points":
        return bool(result.series)
    return plot.quantity in result.quantities()


def _shortened(svg: str) -> str:
    """With coordinates to a hundredth of a point, text left alone; and with the style of a line's
    markers told once. It halves a plot of many points."""
    svg = re.sub(r"<[^<>]*>", lambda tag: re.sub(r"(\.\d\d)\d+", r"\1", tag[0]), svg)
    return re.sub(r'<g (clip-path="[^"]*")>((?:\s*<use [^>]*style="([^"]*)"/>)+)', _styled, svg)


def _styled(markers: re.Match[str]) -> str:
    clip, uses, style = markers.groups()
    without = uses.replace(f' style="{style}"', "")
    return f'<g {clip} style="{style}">{without}'


def draw(plot: Plot, result: Result, words: Words, language: str) -> Drawing:
    """One plot. To be called, and saved, with this module's style in force."""
    drawing = Drawing(figsize=(WIDTH_INCHES, HEIGHT_INCHES), layout="constrained")
    FigureCanvasAgg(drawing)
    axes = drawing.add_subplot()
    title = textwrap.fill(words.name(plot.quantity), LINE_CHARACTERS)
    drawing.suptitle(title, x=0.02, ha="left", fontsize=10.0, fontweight="bold")
    if plot.kind == "points":
        _draw_points(axes, plot, result, words, language)
    elif plot.kind == "bars" or not _makes_a_line(plot, result):
        _draw_bars(axes, plot, result, words, language)
    else:
        _draw_lines(axes, plot, result, words, language)
    axes.set_xlabel(textwrap.fill(words.name(plot.x), LINE_CHARACTERS))
    names = [str(label) for label in axes.get_legend_handles_labels()[1]]
    columns = 3 if sum(len(name) + KEY_CHARACTERS for name in names[:3]) <= LEGEND_CHARACTERS else 2
    drawing.legend(loc="outside lower center", ncols=columns, handlelength=1.6, columnspacing=1.4)
    return drawing


def _makes_a_line(plot: Plot, result: Result) -> bool:
    """Between two conditions at least, which have an order and a distance."""
    conditions = result.conditions(plot.quantity)
    return len(conditions) > 1 and not any(isinstance(c, str) for c in conditions)


# --- the three kinds -------------------------------------------------------------------------


def _draw_lines(axes: Axes, plot: Plot, result: Result, words: Words, language: str) -> None:
    figures = _figures(plot, result)
    scale = _scale(axes, plot, _values(figures), language, strip=True)
    numbers = sorted({float(figure.condition) for figure in figures})
    if numbers[0] > 0 and numbers[-1] >= SPAN_LOGARITHMIC * numbers[0]:
        axes.set_xscale("log")
        axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: amount(value, language=language))
    chats = result.transports(plot.quantity)
    for row, transport in enumerate(chats):
        colour, marker = look(transport)
        kept = sorted(
            (f for f in figures if f.transport == transport), key=lambda f: float(f.condition)
        )
        # Chats that were never back share conditions: each has a height of its own in the strip.
        height = _strip_height(plot, scale, (row + 1) / (len(chats) + 1))
        xs = [float(figure.condition) for figure in kept]
        ys = [figure.median for figure in kept]
        axes.plot(
            xs,
            [y if y < NEVER and not (plot.logarithmic and y <= 0) else math.nan for y in ys],
            color=colour,
            marker=marker,
            markersize=5,
            linewidth=1.6,
            label=chat_name(transport, words, language),
        )
        axes.plot(
            [x for x, y in zip(xs, ys, strict=True) if y == NEVER],
            [height] * ys.count(NEVER),
            color=colour,
            marker=marker,
            markersize=6,
            markerfacecolor="none",
            linestyle="none",
        )
        for figure, x in zip(kept, xs, strict=True):
            low, high = (end if end < NEVER else height for end in (figure.low, figure.high))
            axes.plot([x, x], [low, high], color=colour, linewidth=1.2, marker="_", markersize=6)


def _draw_bars(axes: Axes, plot: Plot, result: Result, words: Words, language: str) -> None:
    figures = _figures(plot, result)
    scale = _scale(axes, plot, _values(figures), language, strip=False)
    conditions = result.conditions(plot.quantity)
    chats = result.transports(plot.quantity)
    width = 0.8 / len(chats)
    bottom = axes.get_ylim()[0]
    for position, transport in enumerate(chats):
        colour, _ = look(transport)
        # For the legend; whether this chat was measured under the first condition or not.
        axes.bar([0], [0], color=colour, label=chat_name(transport, words, language))
        for figure in (f for f in figures if f.transport == transport):
            x = conditions.index(figure.condition) + (position - (len(chats) - 1) / 2) * width
            if figure.median == NEVER:
                axes.bar(
                    [x],
                    [scale.top - bottom],
                    0.86 * width,
                    bottom,
                    facecolor="none",
                    edgecolor=colour,
                    hatch="////",
                    linewidth=1.2,
                )
                axes.annotate(
                    amount(NEVER, language=language),
                    (x, 0.5),
                    xycoords=("data", "axes fraction"),
                    rotation=90,
                    ha="center",
                    va="center",
                    fontsize=9.0,
                    bbox={"facecolor": PALETTE["paper"][0], "edgecolor": "none", "pad": 1.5},
                )
                continue
            height = figure.median - bottom
            axes.bar([x], [height], 0.92 * width, bottom, color=colour)
            high = min(figure.high, scale.top)
            if figure.high > figure.low:
                axes.plot([x, x], [figure.low, high], color=PALETTE["ink"][0], linewidth=1.2)
            # A bar of no height is to be told from one that is not there.
            is_flat = not plot.logarithmic and figure.median < FLAT_SHARE * scale.edge
            if len(conditions) * len(chats) <= LABELLED_BARS_MAX or is_flat:
                axes.annotate(
                    amount(figure.median, language=language),
                    (x, max(high, bottom)),
                    xytext=(0, 2),
                    textcoords="offset points",
                    ha="center",
                    fontsize=8.5,
                )
    characters = max(8, LINE_CHARACTERS // len(conditions))
    names = [condition_name(condition, words, language) for condition in conditions]
    axes.set_xticks(
        range(len(conditions)),
        [textwrap.fill(name, characters, break_long_words=False) for name in names],
    )
    axes.set_xlim(-0.5, len(conditions) - 0.5)


def _draw_points(axes: Axes, plot: Plot, result: Result, words: Words, language: str) -> None:
    values = [y for series in result.series for _, y in series.points]
    scale = _scale(axes, plot, values, language, strip=True)
    axes.xaxis.set_major_formatter(lambda value, _: amount(value, language=language))
    for row, series in enumerate(result.series):
        colour, marker = look(series.transport)
        height = _strip_height(plot, scale, (row + 1) / (len(result.series) + 1))
        axes.plot(
            [x for x, _ in series.points],
            [y if y < NEVER else height for _, y in series.points],
            color=colour,
            marker=marker,
            markersize=2.5,
            linestyle="none",
            label=chat_name(series.transport, words, language),
        )


def _figures(plot: Plot, result: Result) -> list[Figure]:
    return [figure for figure in result.figures if figure.quantity == plot.quantity]


def _values(figures: Sequence[Figure]) -> list[float]:
    return list(
        itertools.chain.from_iterable((f.low, f.median, f.high) for f in figures),
    )


# --- the upright axis ------------------------------------------------------------------------


def _scale(axes: Axes, plot: Plot, values: Sequence[float], language: str, strip: bool) -> _Scale:
    """Sets its limits and its ticks, and draws the strip for NEVER if that is wanted and needed."""
    finite = [value for value in values if value < NEVER]
    if plot.logarithmic:
        positive = [value for value in finite if value > 0] or [1.0]
        bottom, edge = min(positive) / 1.6, max(positive) * 1.8
        axes.set_yscale("log")
        axes.yaxis.set_minor_locator(NullLocator())
        ticks = _logarithmic_ticks(bottom, edge)
    else:
        bottom = min(0.0, min(finite, default=0.0))
        edge = max(finite, default=0.0) * 1.1 or 1.0
        counts = all(value.is_integer() for value in map(float, finite))
        locator = MaxNLocator(5, steps=[1, 2, 5, 10], integer=counts)
        ticks = [float(tick) for tick in locator.tick_values(bottom, edge) if tick <= edge]
    has_strip = strip and NEVER in values
    top = _above(plot, bottom, edge) if has_strip else edge
    axes.set_ylim(bottom, top)
    axes.set_yticks(ticks, [amount(tick, language=language) for tick in ticks])
    if has_strip:
        axes.axhline(edge, color=PALETTE["faint"][0], linewidth=0.9, linestyle=(0, (4, 3)))
        axes.annotate(
            amount(NEVER, language=language),
            (-0.01, 1 - NEVER_SHARE / 2),
            xycoords="axes fraction",
            ha="right",
            va="center",
            fontsize=9.0,
        )
    return _Scale(edge, top)


def _logarithmic_ticks(bottom: float, edge: float) -> list[float]:
    """Powers of ten, with their doubles and fives where there are few of them."""
    decades = math.log10(edge / bottom)
    steps = (1, 2, 5) if decades < 2.5 else (1,)
    exponents = range(math.floor(math.log10(bottom)), math.ceil(math.log10(edge)) + 1)
    ticks = [step * 10.0**exponent for exponent in exponents for step in steps]
    return [tick for tick in ticks if bottom <= tick <= edge]


def _above(plot: Plot, bottom: float, edge: float) -> float:
    """The top of an axis whose strip for NEVER begins at the edge."""
    share = 1 / (1 - NEVER_SHARE)
    if plot.logarithmic:
        return float(bottom * (edge / bottom) ** share)
    return bottom + (edge - bottom) * share


def _strip_height(plot: Plot, scale: _Scale, share: float) -> float:
    """So far up in the strip."""
    if plot.logarithmic:
        return float(scale.edge * (scale.top / scale.edge) ** share)
    return scale.edge + (scale.top - scale.edge) * share
