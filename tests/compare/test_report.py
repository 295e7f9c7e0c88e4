"""The laboratory's report: what was found is recorded, told and drawn as it was found."""

from __future__ import annotations

import csv
import functools
import io
import json
import re
import struct
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any, Literal

import pytest

from compare.experiments.experiment import (
    Effort,
    Experiment,
    Figure,
    Headline,
    Plot,
    Result,
    Series,
    Tell,
    Words,
)
from compare.report import page, plots, report
from compare.report.page import PALETTE, Picture
from compare.report.report import PHRASES, Outcome, Report, UnreadableRecord
from udp_chat.protocol.delivery import NEVER

HOSTILE = "<script>alert('x')</script> & \"$\\frac{1}$\", {count} %s"


def never_run(effort: Effort, tell: Tell) -> Result:
    raise AssertionError("a report measures nothing")


def explain_en(result: Result) -> list[str]:
    return [f"TCP took {result.median('tcp', 'late', 0.2):g} ms.", "Why.", "So what."]


def explain_ru(result: Result) -> list[str]:
    return ["Что.", "Почему.", "Что с того."]


NAMES_EN = {
    "late": "latency, ms",
    "gone": "until it is noticed, s",
    "latency": "latency of a line, ms",
    "loss": "share lost",
    "what": "what happened",
    "number": "number",
    "cut": "the cable was pulled out of its socket",
    "idle": HOSTILE,
    "stream": "TCP stream",
}
NAMES_RU = {
    "late": "задержка, мс",
    "gone": "пока заметят, с",
    "latency": "задержка строки, мс",
    "loss": "доля потерь",
    "what": "что случилось",
    "number": "номер",
    "cut": "кабель вытащили из гнезда",
    "idle": "тихо",
    "stream": "поток TCP",
}

EXPERIMENT = Experiment(
    name="made-up",
    needs_wire=False,
    measure=never_run,
    plots=(
        Plot("late", "lines", "loss", logarithmic=True),
        Plot("gone", "bars", "what"),
        Plot("latency", "points", "number"),
        Plot("not_measured", "bars", "what"),
    ),
    words={
        "en": Words("Made up", "How late?", NAMES_EN, explain_en),
        "ru": Words("Придумано", "Как поздно?", NAMES_RU, explain_ru),
    },
    headline=Headline("gone", "lower", "cut"),
)
KNOWN = {EXPERIMENT.name: EXPERIMENT}
THREE = {name: replace(EXPERIMENT, name=name) for name in ("made-up", "skipped", "failed")}

RESULT = Result(
    figures=(
        Figure("tcp", "late", 0.0, (40.0, 41.0, 44.5)),
        Figure("tcp", "late", 0.2, (900.0, 1250.0, NEVER)),
        Figure("plain", "late", 0.0, (40.0, 40.0, 40.0)),
        Figure("plain", "late", 0.2, (NEVER, NEVER, NEVER)),
        Figure("tcp", "gone", "cut", (15.0, 16.0)),
        Figure("tcp", "gone", "idle", (NEVER,)),
        Figure("stream", "gone", "cut", (0.0, 1.0)),  # and not under "idle"
    ),
    series=(
        Series("tcp", 0.1, ((0.0, 40.0), (1.0, 300.0))),
        Series("plain", 0.1, ((0.0, 40.0), (1.0, NEVER))),
    ),
    settings={"seeds": [1, 2, 3], "delay_ms": 20.0, "note": HOSTILE, "sizes": {"a": [1, 2.5]}},
    remarks=(HOSTILE,),
)

REPORT = Report(
    started="2030-01-02T03:04:05+00:00",
    machine={"processor": HOSTILE, "cores": "2"},
    effort=Effort(quick=True, seed=7),
    outcomes=(
        Outcome("made-up", 12.5, RESULT),
        Outcome("skipped", 0.0, problem="there is no <tun>", skipped=True),
        Outcome("failed", 1.5, problem=HOSTILE),
    ),
)


@functools.cache
def pictures(language: str = "en") -> list[Picture]:
    return [picture for picture, _ in plots.pictures(EXPERIMENT, RESULT, language)]


def texts(svg: str) -> list[str]:
    """What is written in a plot."""
    name = "{http://www.w3.org/2000/svg}text"
    return ["".join(text.itertext()) for text in ElementTree.fromstring(svg).iter(name)]


# --- JSON ------------------------------------------------------------------------------------


def test_a_report_that_was_recorded_and_read_is_the_same() -> None:
    assert report.read(report.record(REPORT)) == REPORT


def test_the_record_says_never_as_null_and_has_no_infinity() -> None:
    text = report.record(replace(REPORT, outcomes=(Outcome("made-up", 1.0, RESULT),)))
    assert "Infinity" not in text
    document = json.loads(text)
    assert "never" in document["null"]
    (experiment,) = document["experiments"]
    assert experiment["command"] == "python3 -m compare --quick --seed 7 made-up"
    assert experiment["result"]["figures"][1] == {
        "transport": "tcp",
        "quantity": "late",
        "condition": 0.2,
        "repetitions": 3,
        "median": 1250.0,
        "low": 900.0,
        "high": None,
        "values": [900.0, 1250.0, None],
    }
    assert experiment["result"]["series"][1]["points"] == [[0.0, 40.0], [1.0, None]]


def test_settings_that_json_has_no_word_for_are_recorded_all_the_same() -> None:
    settings = {"plan": ((5.0, 3), (20.0, 1)), "by_pace": {2.0: 10}, "limit": NEVER}
    outcome = Outcome("made-up", 1.0, replace(RESULT, settings=settings))
    read = report.read(report.record(replace(REPORT, outcomes=(outcome,))))
    result = read.outcomes[0].result
    assert result is not None
    assert result.settings == {
        "plan": [[5.0, 3], [20.0, 1]],
        "by_pace": {"2.0": 10},
        "limit": None,
    }


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ([], []),
        (["format"], "another"),
        (["machine"], 5),
        (["seed"], "x"),
        (["experiments"], None),
        (["experiments", 0, "seconds"], "long"),
        (["experiments", 0, "result"], {}),
        (["experiments", 0, "result", "figures", 0, "condition"], [1]),
        (["experiments", 0, "result", "figures", 0, "values"], []),
        (["experiments", 0, "result", "figures", 0, "values"], ["x"]),
        (["experiments", 0, "result", "series", 0, "points"], [[1]]),
    ],
    ids=str,
)
def test_what_is_no_record_is_refused(path: list[str | int], value: object) -> None:
    document: Any = json.loads(report.record(REPORT))
    if not path:
        document = value
    else:
        place = document
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value
    with pytest.raises(UnreadableRecord):
        report.read(json.dumps(document))


def test_text_that_is_no_json_is_refused() -> None:
    with pytest.raises(UnreadableRecord, match="JSONDecodeError"):
        report.read("{")


# --- CSV and text ----------------------------------------------------------------------------


def test_the_spreadsheet_has_a_row_for_each_figure() -> None:
    header, *rows = csv.reader(io.StringIO(report.spreadsheet(REPORT, KNOWN)))
    assert tuple(header) == report.COLUMNS
    assert len(rows) == len(RESULT.figures)
    assert rows[1] == [
        *("made-up", "tcp", "late", "0.2", "latency, ms", "3"),
        *("1250.0", "900.0", "never", "900.0 1250.0 never"),
    ]
    assert rows[5][3] == "idle"


def test_the_table_has_the_median_the_spread_and_the_repetitions() -> None:
    lines = list(report.table(EXPERIMENT, RESULT, "en"))
    assert lines[0] == "Made up. How late?"
    assert re.split(r"\s{2,}", lines[1].strip()) == ["TCP", "plain UDP", "TCP stream", "n"]
    assert lines[2] == "latency, ms"
    assert re.split(r"\s{2,}", lines[3].strip()) == ["0", "41 (40–44.5)", "40 (40–40)", "3"]
    cells = ["0.2", "1\u202f250 (900–never)", "never", "3"]
    assert re.split(r" {2,}", lines[4].strip()) == cells
    assert lines[5] == "until it is noticed, s"
    # Of what was measured once there is no spread; what was not measured has no cell.
    assert re.split(r"\s{2,}", lines[7].strip())[-2:] == ["never", "1"]


def test_the_table_is_in_the_readers_language() -> None:
    text = "\n".join(report.table(EXPERIMENT, RESULT, "ru"))
    assert "Придумано. Как поздно?" in text
    assert "простой UDP" in text
    assert "41 (40–44,5)" in text
    assert "никогда" in text
    assert "never" not in text


def test_sentences_that_cannot_be_made_do_not_cost_the_report() -> None:
    broken = Result((Figure("tcp", "gone", "cut", (1.0,)),))
    (sentence,) = report.sentences(EXPERIMENT, broken, "en")
    assert "KeyError" in sentence


# --- who wins --------------------------------------------------------------------------------


def verdict(
    *figures: Figure, better: Literal["lower", "higher"] = "lower", language: str = "en"
) -> tuple[str, str]:
    """Who wins by these figures, and by how much."""
    experiment = replace(EXPERIMENT, headline=Headline("late", better))
    outcome = Outcome("made-up", 1.0, Result(figures))
    found = replace(REPORT, outcomes=(outcome,))
    (one,) = report.verdicts(found, {"made-up": experiment}, language)
    return one.winners, one.margin


def late(transport: str, *values: float) -> Figure:
    return Figure(transport, "late", 0.2, values)


def test_the_better_figure_wins_by_so_many_times() -> None:
    tcp, chat = late("tcp", 900.0, 1000.0), late("chat", 90.0, 100.0)
    where = "latency, ms; share lost: 0.2"
    assert verdict(tcp, chat) == ("udp-chat", f"95 against 950 (TCP), 10 times · {where}")
    assert verdict(tcp, chat, better="higher") == (
        "TCP",
        f"950 against 95 (udp-chat), 10 times · {where}",
    )
    winners, margin = verdict(tcp, chat, late("plain", 2.5), language="ru")
    assert winners == "простой UDP"
    assert margin == "2,5 против 95 (udp-chat), ×38 · задержка, мс; доля потерь: 0,2"


def test_those_that_the_spread_cannot_tell_apart_win_together() -> None:
    winners, margin = verdict(late("tcp", 1.0, 9.0), late("chat", 2.0, 6.0), late("plain", 50.0))
    assert winners == "udp-chat, TCP"
    assert margin.startswith("4 against 50 (plain UDP)")


def test_a_record_of_before_is_compared_by_its_last_condition() -> None:
    """Conditions may change between versions; the names of quantities stay."""
    figures = (late("tcp", 1.0), late("chat", 9.0), Figure("tcp", "late", 0.5, (9.0,)))
    experiment = replace(EXPERIMENT, headline=Headline("late", "lower", 0.9))
    result = Result((*figures, Figure("chat", "late", 0.5, (1.0,))))
    found = replace(REPORT, outcomes=(Outcome("made-up", 1.0, result),))
    (one,) = report.verdicts(found, {"made-up": experiment}, "en")
    assert one.winners == "udp-chat"


def test_there_may_be_no_difference() -> None:
    winners, margin = verdict(late("tcp", 40.0, 44.0), late("chat", 41.0, 47.0))
    assert winners == "no difference"
    assert margin.startswith("42–44 ·")
    assert verdict(late("tcp", NEVER), late("chat", NEVER))[1].startswith("never ·")


def test_one_that_never_ends_loses_without_a_number_of_times() -> None:
    _, margin = verdict(late("tcp", NEVER), late("plain", NEVER), late("chat", 5.0))
    assert margin.startswith("5 against never (TCP, plain UDP) ·")
    _, margin = verdict(late("tcp", 0.0), late("chat", 5.0))
    assert margin.startswith("0 against 5 (udp-chat) ·")


def test_an_experiment_without_its_main_figure_says_so() -> None:
    assert verdict(Figure("tcp", "gone", "cut", (1.0,))) == ("not measured", "")
    assert verdict(late("tcp", 1.0)) == ("not measured", "")


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_report_begins_with_who_wins(language: str) -> None:
    lines = list(report.overview(REPORT, THREE, language))
    phrases = PHRASES[language]
    assert phrases["winner"] in lines[0]
    stream = EXPERIMENT.words[language].name("stream")
    assert lines[1].endswith(stream)
    assert " 15.5 (TCP)" in lines[2].replace(",", ".")
    assert lines[3].endswith(phrases["was_skipped"])
    assert lines[4].endswith(phrases["has_failed"])
    text = make_page(language)
    assert text.index(phrases["winner"]) < text.index("<nav>") < text.index("<section")
    assert f"<strong>{stream}</strong>" in text


# --- the page --------------------------------------------------------------------------------

VOID = {"meta", "br", "path", "use", "rect", "line"}


class Structure(HTMLParser):
    """The elements of a page; whether each is closed; its text outside of style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.text: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text.append(data)


def make_page(language: str = "en", drawn: bool = True) -> str:
    return page.page(REPORT, THREE, {"made-up": pictures(language)} if drawn else {}, language)


@pytest.mark.parametrize("language", ["en", "ru"])
def test_every_element_of_the_page_is_closed(language: str) -> None:
    assert Structure(make_page(language)).open == []


@pytest.mark.parametrize("language", ["en", "ru"])
def test_the_page_fetches_nothing_and_runs_nothing(language: str) -> None:
    structure = Structure(make_page(language))
    assert not {"script", "link", "img", "iframe", "object"} & set(structure.tags)
    for _, name, value in structure.attributes:
        if name in ("href", "src", "xlink:href"):
            assert value.startswith("#")
    assert "@import" not in make_page(language)
    assert not re.findall(r"url\((?!#)", make_page(language))


def test_what_is_hostile_is_text_in_the_page() -> None:
    structure = Structure(make_page())
    shown = [text for text in structure.text if HOSTILE in text]
    # The machine, the remark, a failure, a condition's name in the table and in the plot.
    assert len(shown) >= 5
    assert any(name == "aria-label" and HOSTILE in text for _, name, text in structure.attributes)


def test_the_page_has_all_parts_of_an_experiment() -> None:
    text = make_page()
    structure = Structure(text)
    told = "\n".join(structure.text)
    for part in (
        *("Made up", "How late?", "TCP took 1250 ms.", "Why.", "So what."),
        *("python3 -m compare --quick --seed 7 made-up", "delay ms", "[1, 2, 3]"),
        *("2030-01-02 03:04:05+00:00", "quick: fewer", "there is no <tun>"),
    ):
        assert part in told, part
    assert structure.tags.count("svg") == 3
    links = {value for tag, name, value in structure.attributes if (tag, name) == ("a", "href")}
    names = {value for _, name, value in structure.attributes if name == "id"}
    assert {link.removeprefix("#") for link in links} <= names
    assert "41 <small>(40–44.5)</small>" in text
    assert "· share lost" in told


def test_plots_in_one_page_do_not_share_names() -> None:
    names = [value for _, name, value in Structure(make_page()).attributes if name == "id"]
    assert len(names) == len(set(names))
    used = re.findall(r'(?:url\(#|href="#)([^")]+)', make_page())
    assert set(used) <= set(names)


def test_plots_in_the_page_take_its_colours_light_and_dark() -> None:
    text = make_page()
    figures = re.findall(r"<figure>.*?</figure>", text, flags=re.DOTALL)
    assert figures
    for figure in figures:
        assert not re.findall(r"#[0-9a-f]{6}\b", figure)
        assert "var(--tcp)" in figure
        assert 'role="img"' in figure
    assert "prefers-color-scheme: dark" in text
    for light, dark in PALETTE.values():
        assert light in text
        assert dark in text


def test_a_page_without_plots_says_why() -> None:
    assert "matplotlib" in make_page(drawn=False)
    assert "<svg" not in make_page(drawn=False)


def test_an_experiment_that_the_laboratory_no_longer_has_is_named() -> None:
    text = page.page(REPORT, {}, {}, "en")
    assert "made-up" in text
    assert PHRASES["en"]["unknown"] in text


def test_the_russian_page_is_russian() -> None:
    text = "\n".join(Structure(make_page("ru")).text)
    for part in ("Придумано", "простой UDP", "задержка, мс", "никогда", "Измерить ещё раз"):
        assert part in text
    assert "never" not in text
    assert "plain UDP" not in text


def test_who_cannot_see_a_plot_is_told_its_numbers() -> None:
    lines, _, points, _ = EXPERIMENT.plots
    told = page.description(lines, EXPERIMENT, RESULT, "en")
    assert "TCP: 0: 41; 0.2: 1\u202f250." in told
    assert "plain UDP: 0: 40; 0.2: never." in told
    told = page.description(points, EXPERIMENT, RESULT, "en")
    assert "TCP: 2 / 2, 40–300." in told
    assert "plain UDP: 1 / 2, 40–40." in told
    lost = replace(RESULT, series=(Series("tcp", 0.1, ((0.0, NEVER),)),))
    assert "TCP: 0 / 1, –" in page.description(points, EXPERIMENT, lost, "en")


# --- plots -----------------------------------------------------------------------------------


def test_a_plot_is_drawn_for_each_quantity_that_was_measured() -> None:
    found = list(plots.pictures(EXPERIMENT, RESULT, "en"))
    names = [picture.name for picture, _ in found]
    assert names == ["made-up-late", "made-up-gone", "made-up-latency"]
    for _, png in found:
        width, height = struct.unpack(">II", png[16:24])
        assert png.startswith(b"\x89PNG")
        assert width > 600
        assert height > 400


def test_a_plot_names_its_quantity_its_axis_and_its_chats() -> None:
    late, gone, latency = (texts(picture.svg) for picture in pictures())
    assert {"latency, ms", "share lost", "TCP", "plain UDP", "never"} <= set(late)
    assert {"until it is noticed, s", "what happened", "TCP", "TCP stream", "never"} <= set(gone)
    assert {"latency of a line, ms", "number", "TCP", "plain UDP", "never"} <= set(latency)
    assert "15.5" in gone  # on its bar


def test_a_plot_speaks_the_readers_language() -> None:
    for picture in pictures("ru"):
        assert "никогда" in texts(picture.svg)
        assert not re.findall(r"never|plain UDP", picture.svg)


def test_a_plot_takes_hostile_names_as_they_are() -> None:
    written = " ".join(texts(pictures()[1].svg))
    for word in HOSTILE.split():
        assert word in written


def test_the_same_figures_make_the_same_file() -> None:
    again, *_ = plots.pictures(EXPERIMENT, RESULT, "en")
    assert again[0].svg == pictures()[0].svg


def test_each_chat_has_its_own_colour_and_marker() -> None:
    chats = ("tcp", "plain", "chat", "tcp_keepalive", "redis", "nats")
    assert len({plots.look(chat)[0] for chat in chats}) == len(chats)
    assert len({plots.look(chat)[1] for chat in chats}) == len(chats)
    assert plots.look("stream") == plots.look("tcp")
    assert plots.look("not yet thought of") == plots.look("not yet thought of")


def draw(kind: Literal["lines", "bars"], logarithmic: bool, *figures: Figure) -> Picture:
    plot = Plot("late", kind, "loss", logarithmic)
    result = Result(figures)
    ((picture, _),) = plots.pictures(replace(EXPERIMENT, plots=(plot,)), result, "en")
    return picture


@pytest.mark.parametrize("kind", ["lines", "bars"])
@pytest.mark.parametrize("logarithmic", [False, True])
@pytest.mark.parametrize("values", [(0.0,), (NEVER,), (0.0, NEVER), (1e-4,), (1.0, 1e6), (-1.0,)])
def test_no_value_is_too_odd_to_be_drawn(
    kind: Literal["lines", "bars"], logarithmic: bool, values: tuple[float, ...]
) -> None:
    picture = draw(kind, logarithmic, Figure("tcp", "late", 1.0, values))
    assert "nan" not in picture.svg.lower()


def test_a_bar_without_an_end_is_hatched_and_says_so() -> None:
    ended = draw("bars", False, Figure("tcp", "late", 1.0, (5.0,)))
    endless = draw("bars", False, Figure("tcp", "late", 1.0, (NEVER,)))
    assert "<pattern" not in ended.svg
    assert "never" not in texts(ended.svg)
    assert "<pattern" in endless.svg
    assert "never" in texts(endless.svg)


def test_lines_are_drawn_over_sizes_of_all_magnitudes() -> None:
    sizes = (1.0, 1200.0, 65_507.0)
    picture = draw("lines", False, *(Figure("tcp", "late", size, (size,)) for size in sizes))
    assert {"1", "100", "10\u202f000"} <= set(texts(picture.svg))


def test_lines_over_conditions_with_names_become_bars() -> None:
    picture = draw("lines", False, Figure("tcp", "late", "cut", (3.0,)))
    assert "3" in texts(picture.svg)


def test_many_bars_carry_no_numbers() -> None:
    conditions = range(plots.LABELLED_BARS_MAX + 1)
    figures = [Figure("tcp", "late", float(n), (123.0,)) for n in conditions]
    assert "123" in texts(draw("bars", False, *figures[:-1]).svg)
    assert "123" not in texts(draw("bars", False, *figures).svg)
    flat = Figure("tcp", "late", 99.0, (0.004,))  # but it could not be seen without
    assert "0.004" in texts(draw("bars", False, *figures, flat).svg)


def test_points_are_not_drawn_of_a_result_without_series() -> None:
    experiment = replace(EXPERIMENT, plots=(Plot("latency", "points", "number"),))
    assert len(list(plots.pictures(experiment, RESULT, "en"))) == 1
    assert list(plots.pictures(experiment, replace(RESULT, series=()), "en")) == []
