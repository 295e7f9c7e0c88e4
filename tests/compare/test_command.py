"""`python3 -m compare`: it runs what is asked for, tells what is missing, and keeps what it has."""

from __future__ import annotations

import builtins
import io
import json
import platform
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from benchmarks import fan_out
from compare import __main__ as command
from compare.experiments import dead_peer
from compare.experiments.experiment import (
    Condition,
    Effort,
    Experiment,
    Figure,
    Headline,
    Plot,
    Result,
    Tell,
    Words,
)
from compare.experiments.participants import TRANSPORTS, ExperimentFailed
from compare.experiments.voice import TEXTS, texts
from compare.report import page, report
from compare.report.machine import Machine
from compare.wire.network import Wire, WireUnavailable
from tests.wires import needs_wire

REPORT_TEXTS = Path(report.__file__).with_name("texts.ini")

FOUND = Result((Figure("tcp", "late", 0.0, (40.0, 41.0, 44.0)),), settings={"seeds": [1]})


class MadeUp:
    """Experiments that take no time, and what became of them."""

    def __init__(self) -> None:
        self.known: dict[str, Experiment] = {}
        self.efforts: list[tuple[str, Effort]] = []

    def add(self, name: str, needs_wire: bool = False, raises: BaseException | None = None) -> None:
        def measure(effort: Effort, tell: Tell) -> Result:
            self.efforts.append((name, effort))
            tell(f"measuring {name} [bold]")
            if raises:
                raise raises
            return FOUND

        def words(title: str) -> Words:
            names = {"late": f"{title}: latency, ms", "loss": "loss"}
            return Words(title, f"{title}?", names, lambda result: [f"{title}!"])

        self.known[name] = Experiment(
            name,
            needs_wire,
            measure,
            (Plot("late", "lines", "loss"),),
            {"en": words(f"About {name}"), "ru": words(f"Про {name}")},
            Headline("late", "lower"),
        )

    def main(self, *arguments: str, **machine: Any) -> int:
        """The command with these experiments, on an idle machine that can have a wire."""
        others: dict[str, Any] = {"loads": lambda: (0.0, 0.0, 0.0), "missing": lambda: None}
        return command.main(arguments, self.known, Machine(**(others | machine)))


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> MadeUp:
    made_up = MadeUp()
    made_up.add("first")
    made_up.add("second", needs_wire=True)
    made_up.add("third")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.chdir(tmp_path)
    return made_up


def outcomes(folder: Path) -> dict[str, str]:
    """The problem of each experiment in a folder's record."""
    document = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    return {item["name"]: item["problem"] for item in document["experiments"]}


# --- what runs -------------------------------------------------------------------------------


def test_all_run_and_a_whole_folder_is_written(
    made_up: MadeUp, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made_up.main() == 0
    assert made_up.efforts == [(name, Effort()) for name in ("first", "second", "third")]
    (folder,) = (tmp_path / "comparison").iterdir()  # a new one, named after the time
    assert {file.relative_to(folder).as_posix() for file in folder.rglob("*.*")} == {
        *("report.html", "results.json", "results.csv"),
        *(f"plots/{name}-late.{kind}" for name in made_up.known for kind in ("svg", "png")),
    }
    out, err = capsys.readouterr()
    assert out.startswith("Question")
    assert "About second: latency, ms" in out
    assert "41 (40–44)" in out
    assert "About second!" in out
    assert str(folder.relative_to(tmp_path) / "report.html") in out
    assert "[2/3] second" in err
    assert "measuring second" in err


def test_the_named_ones_run_with_the_effort_and_the_seed_that_were_asked_for(
    made_up: MadeUp, tmp_path: Path
) -> None:
    assert made_up.main("--quick", "--seed", "5", "--output", "here", "third", "first") == 0
    assert made_up.efforts == [("first", Effort(True, 5)), ("third", Effort(True, 5))]
    document = json.loads((tmp_path / "here" / "results.json").read_text(encoding="utf-8"))
    assert (document["quick"], document["seed"]) == (True, 5)
    assert {"processor", "cores", "system", "python"} <= document["machine"].keys()


def test_an_unknown_name_is_wrong_use_and_the_known_ones_are_told(
    made_up: MadeUp, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        made_up.main("fourth")
    assert ended.value.code == 2
    assert "'fourth'; choose from first, second, third" in capsys.readouterr().err
    assert made_up.efforts == []


def test_what_needs_a_wire_is_skipped_where_there_is_none(
    made_up: MadeUp, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made_up.main("--output", "here", missing=lambda: "there is no /dev/net/tun") == 0
    assert [name for name, _ in made_up.efforts] == ["first", "third"]
    assert outcomes(tmp_path / "here")["second"] == "there is no /dev/net/tun"
    assert "second: skipped: there is no /dev/net/tun" in capsys.readouterr().err
    assert "/dev/net/tun" in (tmp_path / "here" / "report.html").read_text(encoding="utf-8")


def test_where_nothing_can_be_measured_it_fails(made_up: MadeUp) -> None:
    assert made_up.main("--output", "here", "second", missing=lambda: "no right") == 1


def test_no_wire_is_tried_where_none_is_needed(made_up: MadeUp) -> None:
    tried: list[str] = []
    assert made_up.main("--output", "here", "first", missing=lambda: tried.append("")) == 0
    assert tried == []


@pytest.mark.parametrize(
    "error", [ExperimentFailed("no `joined`"), OSError("no route"), KeyError("x")], ids=repr
)
def test_after_one_that_fails_the_others_run(
    error: Exception, made_up: MadeUp, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up.add("second", raises=error)
    assert made_up.main("--output", "here") == 1
    assert [name for name, _ in made_up.efforts] == ["first", "second", "third"]
    problem = f"{type(error).__name__}: {error}"
    assert outcomes(tmp_path / "here") == {"first": "", "second": problem, "third": ""}
    assert problem in capsys.readouterr().err


def test_after_ctrl_c_there_is_what_was_measured_until_then(
    made_up: MadeUp, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made_up.add("second", raises=KeyboardInterrupt())
    assert made_up.main("--output", "here") == 130
    assert [name for name, _ in made_up.efforts] == ["first", "second"]
    assert outcomes(tmp_path / "here") == {"first": ""}
    assert (tmp_path / "here" / "report.html").exists()
    assert "stopped" in capsys.readouterr().err


def test_a_busy_machine_is_told(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    made_up.main("--output", "here", "first", loads=lambda: (99.0, 1.0, 1.0))
    assert "busy (load 99.00)" in capsys.readouterr().err


def test_a_folder_that_cannot_be_written_is_told_and_the_numbers_are_printed(
    made_up: MadeUp, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    assert made_up.main("--output", "file", "first") == 1
    out, err = capsys.readouterr()
    assert "41 (40–44)" in out
    assert "file cannot be written" in err


def test_a_plot_that_cannot_be_drawn_costs_nothing_else(made_up: MadeUp, tmp_path: Path) -> None:
    def draw(experiment: Experiment, *_: object) -> Iterator[tuple[page.Picture, bytes]]:
        if experiment.name == "first":
            raise ValueError("no such axis")
        yield page.Picture("third-late", experiment.plots[0], "<svg></svg>"), b"PNG"

    outcomes = (report.Outcome("first", 1.0, FOUND), report.Outcome("third", 1.0, FOUND))
    found = report.Report("2030-01-02", {}, Effort(), outcomes)
    notes = list(command.write(tmp_path, found, made_up.known, "en", draw))
    assert notes == ["no plot of first: ValueError: no such axis"]
    assert (tmp_path / "report.html").exists()
    assert {file.name for file in (tmp_path / "plots").iterdir()} == {
        *("third-late.svg", "third-late.png")
    }


# --- told again, listed, in another language -------------------------------------------------


def test_a_record_is_told_again_in_another_language_without_measuring(
    made_up: MadeUp, tmp_path: Path
) -> None:
    assert made_up.main("--output", "here") == 0
    made_up.efforts.clear()
    record = tmp_path / "here" / "results.json"
    before = record.read_text(encoding="utf-8")
    assert made_up.main("--again", str(record), "--lang", "ru", "--output", "there") == 0
    assert made_up.efforts == []
    assert "Про second" in (tmp_path / "there" / "report.html").read_text(encoding="utf-8")
    assert (tmp_path / "there" / "results.json").read_text(encoding="utf-8") == before
    assert "About second" in (tmp_path / "here" / "report.html").read_text(encoding="utf-8")
    assert made_up.main("--again", str(record), "--lang", "ru") == 0  # beside the record
    assert "Про second" in (tmp_path / "here" / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("content", ["{}", "no json", "\x00"])
def test_what_is_no_record_is_not_told_again(
    content: str, made_up: MadeUp, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "results.json"
    file.write_text(content, encoding="utf-8")
    assert made_up.main("--again", str(file)) == 1
    assert "cannot be read" in capsys.readouterr().err
    assert made_up.main("--again", str(tmp_path / "nothing")) == 1


def test_a_record_is_told_whole(made_up: MadeUp, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        made_up.main("--again", "results.json", "first")
    assert ended.value.code == 2


def test_the_list_has_names_and_questions(
    made_up: MadeUp, capsys: pytest.CaptureFixture[str]
) -> None:
    assert made_up.main("--list", "--lang", "ru") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(maxsplit=1) for line in lines] == [
        [name, f"Про {name}?"] for name in ("first", "second", "third")
    ]
    assert made_up.efforts == []


def test_the_help_teaches_the_names_and_what_they_ask(
    made_up: MadeUp, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        made_up.main("--help")
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "About first?" in out
    assert "unshare" in out


@pytest.mark.parametrize(
    ("locale", "title"), [("ru_RU.UTF-8", "Про first"), ("de_DE", "About first"), ("", "About")]
)
def test_the_language_comes_from_the_locale(
    locale: str,
    title: str,
    made_up: MadeUp,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.setenv(variable, "")
    monkeypatch.setenv("LANG", locale)
    made_up.main("--output", "here", "first")
    assert title in capsys.readouterr().out


# --- with and without what may be installed --------------------------------------------------


@pytest.fixture
def uninstall(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes modules as if they were not installed."""
    real: Any = builtins.__import__

    def uninstall(*names: str) -> None:
        def importing(name: str, *rest: Any) -> ModuleType:
            if name.partition(".")[0] in names:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)
            module: ModuleType = real(name, *rest)
            return module

        monkeypatch.delitem(sys.modules, "compare.report.plots", raising=False)
        monkeypatch.delattr("compare.report.plots", raising=False)
        monkeypatch.setattr(builtins, "__import__", importing)

    return uninstall


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[[], Terminal]:
    """Makes one of stdout and stderr. Not before the test itself runs: pytest changes them."""

    def open_terminal() -> Terminal:
        terminal = Terminal()
        monkeypatch.setattr(sys, "stdout", terminal)
        monkeypatch.setattr(sys, "stderr", terminal)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")
        return terminal

    return open_terminal


def test_without_matplotlib_and_rich_the_numbers_come_as_text(
    made_up: MadeUp,
    uninstall: Callable[..., None],
    open_terminal: Callable[[], Terminal],
    tmp_path: Path,
) -> None:
    terminal = open_terminal()
    uninstall("matplotlib", "rich")
    assert made_up.main("--output", "here", "first") == 0
    text = terminal.getvalue()
    assert "41 (40–44)" in text
    assert "no plots: they need matplotlib" in text
    assert "\x1b" not in text
    names = {file.name for file in (tmp_path / "here").iterdir()}
    assert names == {"report.html", "results.json", "results.csv"}


def test_at_a_terminal_rich_shows_progress_and_tables(
    made_up: MadeUp, open_terminal: Callable[[], Terminal]
) -> None:
    terminal = open_terminal()
    made_up.add("fourth", raises=OSError("[red]none"))
    assert made_up.main("--output", "here", "first", "fourth") == 1
    text = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", terminal.getvalue())
    assert "first: done in" in text
    # Told when it happens and at the end, and never taken for markup.
    assert text.count("OSError: [red]none") == 2
    assert "measuring fourth [bold]" in text
    assert "│" in text
    assert "About first: latency, ms" in text
    assert "41 (40–44)" in text


def no_wire(_: Wire) -> None:
    raise WireUnavailable("there is no /dev/net/tun")


def test_a_machine_without_proc_is_described_all_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.delattr("os.getloadavg")
    monkeypatch.setattr(Wire, "start", no_wire)
    described = Machine(tmp_path).describe()
    assert "memory" not in described
    assert "congestion control on a wire" not in described
    assert "load before" not in described
    assert int(described["cores"]) >= 1
    assert not Machine(tmp_path).busy


def test_the_machine_is_described_without_its_name(tmp_path: Path) -> None:
    (tmp_path / "cpuinfo").write_text("x : 1\nmodel name\t: Quick 9\n", encoding="utf-8")
    (tmp_path / "meminfo").write_text("MemTotal: 1048576 kB\n", encoding="utf-8")
    described = Machine(tmp_path).describe()
    assert described["processor"] == "Quick 9"
    assert described["memory"] == "1.0 GiB"
    assert platform.node() not in described.values()


@needs_wire
def test_the_tcp_of_the_wires_is_told_and_not_the_hosts() -> None:
    with Wire() as wire:
        told = Machine().describe()["congestion control on a wire"]
        assert told == wire.congestion_control


# --- the real experiments --------------------------------------------------------------------

EXPERIMENTS = [
    *("boundaries", "datagram-size", "set-up", "order", "loss", "cost", "slow-receiver"),
    *("dead-peer", "server-death", "address-change", "fan-out"),
]
KNOWN = command.experiments()


def test_all_experiments_are_there() -> None:
    assert list(KNOWN) == EXPERIMENTS


def test_an_experiment_that_this_system_has_no_modules_for_is_left_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "compare.experiments.fan_out")
    monkeypatch.delitem(sys.modules, "benchmarks.fan_out")
    monkeypatch.delattr("benchmarks.fan_out")
    monkeypatch.setitem(sys.modules, "resource", None)
    assert list(command.experiments()) == [n for n in EXPERIMENTS if n != "fan-out"]


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiments_docstring_says_what_it_asks_and_how_it_is_repeated(name: str) -> None:
    module = sys.modules[f"compare.experiments.{name.replace('-', '_')}"]
    documented = module.__doc__ or ""
    for part in ("Question: ", "Method: ", "Expect: ", "Command: "):
        assert f"\n\n{part}" in documented
    assert f"\n\nCommand: python3 -m compare {name}\n" in documented


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_has_words_for_all_that_its_plots_name(name: str) -> None:
    experiment = KNOWN[name]
    assert experiment.words.keys() == {"en", "ru"}
    english, russian = experiment.words["en"].names, experiment.words["ru"].names
    assert english.keys() == russian.keys()
    assert experiment.headline.quantity in english
    for plot in experiment.plots:
        assert {plot.quantity, plot.x} <= english.keys()


@pytest.mark.parametrize("file", [*TEXTS.glob("*.ini"), REPORT_TEXTS], ids=lambda file: file.stem)
def test_both_languages_have_the_same_texts_with_the_same_fields(file: Path) -> None:
    found = texts(file)
    for section, english in found.items():
        if section.startswith("en"):
            russian = found[section.replace("en", "ru", 1)]
            assert english.keys() == russian.keys()
            for key, text in english.items():
                assert text
                assert russian[key]
                fields = [sorted(re.findall(r"\{\w*\}", t)) for t in (text, russian[key])]
                assert fields[0] == fields[1], key


def test_a_text_takes_lines_and_keeps_the_spaces_in_quotation_marks(tmp_path: Path) -> None:
    file = tmp_path / "made-up.ini"
    file.write_text('[en says]\nFound = one\n    two: {a}\nend = " three."\n', encoding="utf-8")
    assert texts(file) == {"en says": {"Found": "one two: {a}", "end": " three."}}


CONDITIONS: dict[str, list[Condition]] = {
    # What is varied by words, in each experiment's own.
    "boundaries": ["together", "one_by_one", "five_bytes", "nagle", "no_delay"],
    "set-up": ["wrong_port", "no_host", "late"],
    "order": ["clean", "reordered", "duplicated", "both"],
    "cost": ["idle"],
    "dead-peer": [*dead_peer.CONDITIONS],
    "server-death": ["killed", "cut", "cut_long"],
    "address-change": ["talking", "listening"],
}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_has_words_for_its_conditions_and_its_chats(name: str) -> None:
    words = KNOWN[name].words["ru"]
    assert [c for c in CONDITIONS.get(name, []) if c not in words.names] == []
    chats = [chat.name for chat in TRANSPORTS]
    if name == "fan-out":
        chats = [contender.name for contender in fan_out.CONTENDERS]
    if name == "dead-peer":
        chats.append(dead_peer.KEEPALIVE_ALONE.name)
    for chat in chats:
        assert report.chat_name(chat, words, "ru") != chat
