"""The person's screen, seen through a terminal emulator while others talk.

`Demo` is tests/terminal/terminal_demo.py at a terminal.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest
from wcwidth import wcswidth

from tests.processes import PROJECT, Lines
from tests.terminal.emulator import (
    BACKSPACE,
    CTRL_A,
    CTRL_C,
    CTRL_D,
    CTRL_Z,
    DELETE,
    DOWN,
    END,
    LEFT,
    UP,
    seen,
)
from tests.terminal.screen import Screen, environment, pty, termios

LINES = {
    "latin": "the quick brown fox jumps over the lazy dog, " * 3 + "and rests",
    "cyrillic": "Съешь же ещё этих мягких французских булок, да выпей чаю",
    "wide": "花子さん、こんにちは 🎉 안녕하세요 👍 e\u0301 世界你好，今天一起喝茶吧",
}


class Demo(Screen):
    """The demo, ready to be typed at."""

    def __init__(
        self,
        columns: int = 80,
        rows: int = 24,
        program: tuple[str, ...] = ("-m", "tests.terminal.terminal_demo"),
        **variables: str,
    ) -> None:
        control, self._control = os.pipe()
        results, self._results = os.pipe()
        self.results = Lines(os.fdopen(results, "rb"))
        try:
            super().__init__(
                [*program, str(control), str(self._results)],
                columns,
                rows,
                variables,
                pass_fds=(control, self._results),
            )
        finally:
            os.close(control)
            os.close(self._results)
        try:
            self.kind = self.result(0)["kind"]
            if self.kind != "PlainTerminal":
                self.wait_typed("")
        except BaseException:
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        os.close(self._control)
        self.results.close()

    def order(self, **order: object) -> None:
        os.write(self._control, f"{json.dumps(order)}\n".encode())

    def result(self, number: int) -> dict[str, Any]:
        """What the demo told as number `number`; the first says its kind."""
        self.results.wait_for(f"result {number}", lambda line: True, number)
        result: dict[str, Any] = json.loads(self.results.all()[number])
        return result

    def line(self, number: int) -> str:
        """The line that was read as number `number`, from 0."""
        return str(self.result(number + 1)["line"])


class Typist:
    """Types, and has each complete frame hold the line as it is, or as the last key makes it."""

    def __init__(self, demo: Demo) -> None:
        self._demo = demo
        self._allowed = {""}
        demo.watch(self._check)

    def _check(self, screen: Screen) -> str:
        typed = screen.typed()
        return "" if typed in self._allowed else f"{typed!r} is none of {self._allowed!r}"

    def type(self, keys: str, line: str) -> None:
        """Types keys that make this the line."""
        line = seen(line)
        with self._demo.changed:
            self._allowed.add(line)
        self._demo.type(keys)
        self._demo.wait_typed(line)
        with self._demo.changed:
            self._allowed = {line}

    def enter(self) -> None:
        self._demo.stop_watching()
        self._demo.type("\r")
        assert self._demo.complaints == []


def numbers_shown(screen: Screen, marker: str) -> list[int]:
    """The numbers of a flood's lines, as far as they are or were on the screen."""
    rows = screen.transcript()
    return [int(row.split()[0]) for row in rows if marker in row and row.split()[0].isdecimal()]


@pytest.mark.parametrize("columns", [40, 120])
@pytest.mark.parametrize("line", LINES.values(), ids=list(LINES))
def test_a_line_stays_whole_while_others_talk(columns: int, line: str) -> None:
    with Demo(columns) as demo:
        assert demo.kind == "EditorTerminal"
        typist = Typist(demo)
        typist.type(line[:20], line[:20])
        demo.order(flood=200, per_second=300, text="{} talk 花子 🎉 говорят e\u0301")
        demo.wait_for("10 talk")
        for index in range(20, len(line)):
            typist.type(line[index], line[: index + 1])
        typist.type(LEFT * 5 + "X", line[:-5] + "X" + line[-5:])
        typist.type(DELETE, line[:-5] + "X" + line[-4:])
        typist.type(BACKSPACE, line[:-5] + line[-4:])
        typist.type(CTRL_A + "Й", "Й" + line[:-5] + line[-4:])
        typist.type(END + "é", "Й" + line[:-5] + line[-4:] + "é")
        demo.wait_for("199 talk")
        typist.enter()
        assert demo.line(0) == "Й" + line[:-5] + line[-4:] + "é"
        assert numbers_shown(demo, "talk") == list(range(200))


def test_the_cursor_stands_where_the_next_key_goes() -> None:
    with Demo(40) as demo:
        demo.type("e\u0301b花子Я🎉x")
        demo.wait_typed("e\u0301b花子Я🎉x")
        for keys, left in (
            (LEFT, "e\u0301b花子Я🎉"),
            (LEFT, "e\u0301b花子Я"),
            (LEFT * 2, "e\u0301b花"),
        ):
            demo.type(keys)
            demo.wait_cursor(wcswidth(f"> {left}"))
            demo.order(show="somebody talks")
            demo.wait_cursor(wcswidth(f"> {left}"))
        demo.type("!\r")
        assert demo.line(0) == "e\u0301b花!子Я🎉x"


def test_a_line_outlives_a_resized_window() -> None:
    line = LINES["latin"]
    with Demo(120) as demo:
        demo.type(line)
        demo.wait_typed(line)
        demo.order(flood=200, per_second=200, text="{} talk")
        for number, (columns, rows) in enumerate([(40, 24), (100, 24), (64, 30), (33, 30)]):
            demo.resize(columns, rows)
            demo.wait_typed(line)
            demo.type(f"{number}")
            line += f"{number}"
            demo.wait_typed(line)
        demo.wait_for("199 talk")
        demo.wait_typed(line)
        demo.type("\r")
        assert demo.line(0) == line
        shown = numbers_shown(demo, "talk")
    assert shown == list(range(200))


@pytest.mark.parametrize(("columns", "rows"), [(40, 10), (80, 24), (200, 50)])
def test_the_words_of_a_message_stay_whole_and_only_its_beginning_is_at_the_edge(
    columns: int, rows: int
) -> None:
    words = [f"слово{number}" if number % 2 else f"🎉word{number}" for number in range(60)]
    with Demo(columns, rows) as demo:
        demo.order(show="Anna: " + " ".join(words))
        demo.order(show="Anna: the end")
        demo.wait_for("Anna: the end")
        shown = demo.transcript()
    message = shown[: shown.index("Anna: the end")]
    assert " ".join(" ".join(message).split()).removeprefix("Anna: ").split() == words
    assert message[0].startswith("Anna: ")
    assert all(row.startswith("  ") for row in message[1:])


def test_a_line_that_folds_takes_the_place_of_one_that_folds_and_of_no_other() -> None:
    with Demo(40, 10) as demo:
        demo.order(show="somebody talks")
        demo.order(show="one, " * 10 + "1", folds=True)
        demo.type("half a line")
        demo.wait_typed("half a line")
        demo.order(show="2 together", folds=True)
        demo.wait_for("2 together")
        demo.wait_typed("half a line")
        shown = [row for row in demo.transcript() if row]
        assert shown == ["somebody talks", "2 together", "> half a line"]
        demo.order(show="a message")
        demo.order(show="3 together", folds=True)
        demo.wait_for("3 together")
        demo.wait_typed("half a line")
        shown = [row for row in demo.transcript() if row]
        assert shown[1:] == ["2 together", "a message", "3 together", "> half a line"]


def test_after_a_resize_a_line_that_folds_takes_no_place() -> None:
    with Demo(80, 10) as demo:
        demo.order(show="somebody talks")
        demo.order(show="1 here", folds=True)
        demo.wait_for("1 here")
        demo.resize(60, 12)
        demo.order(show="2 here", folds=True)
        demo.wait_for("2 here")
        demo.wait_typed("")
        shown = [row for row in demo.transcript() if row]
        assert shown == ["somebody talks", "1 here", "2 here", ">"]


def test_a_line_that_left_the_screen_is_not_folded() -> None:
    first = ["1 here, and its words fill more than", "  one row"]
    with Demo(40, 4) as demo:
        demo.order(show=" ".join(row.strip() for row in first), folds=True)
        demo.wait_for("one row")
        demo.type("x" * 150)
        demo.wait_until("a full screen", lambda d: not any("1 here" in r for r in d.rows()))
        demo.type("\r")
        demo.wait_typed("")
        demo.order(show="2 here", folds=True)
        demo.wait_for("2 here")
        shown = [row for row in demo.transcript() if row]
        assert shown == [*first, "2 here", ">"]


def test_a_resize_alone_draws_the_line_anew() -> None:
    with Demo(80) as demo:
        demo.order(show="somebody talks")
        demo.type(LINES["latin"])
        demo.wait_typed(LINES["latin"])
        for columns in (40, 120, 30):
            demo.resize(columns, 24)
            demo.wait_typed(LINES["latin"])
        demo.wait_for("somebody talks")


def test_a_pasted_block_arrives_whole_and_in_order() -> None:
    lines = [f"line {number}: текст, 花子, 🎉" for number in range(200)]
    with Demo() as demo:
        demo.order(flood=50, per_second=500, text="{} talk")
        demo.type("half ")
        demo.paste("\n".join([*lines, "the rest"]))
        demo.wait_typed("[+201]")
        demo.type(CTRL_C)
        demo.wait_typed("half")
        demo.type(CTRL_C)
        demo.paste("\n".join(lines))
        demo.wait_typed("[+200]")
        demo.type("\r")
        assert [demo.line(number) for number in range(200)] == lines
        demo.wait_typed("")
        demo.paste("two\nlines")
        demo.wait_typed("lines")
        assert demo.line(200) == "two"
        demo.wait_for("49 talk")
        assert numbers_shown(demo, "talk") == list(range(50))


def test_a_block_pasted_without_marks_arrives_whole_and_in_order() -> None:
    lines = [f"строка {number}" for number in range(200)]
    with Demo() as demo:
        demo.type("".join(f"{line}\r" for line in lines))
        assert [demo.line(number) for number in range(200)] == lines
        demo.wait_typed("")
        # None of it was echoed by the terminal itself while no line was being read.
        demo.order(show="afterwards")
        demo.wait_until(
            "nothing else", lambda d: [row for row in d.transcript() if row] == ["afterwards", ">"]
        )


def test_what_is_pasted_is_text_and_no_key() -> None:
    with Demo() as demo:
        demo.paste("An\tna \x01\x04\x7f[31m\x1b[Hred")
        demo.type("\u202e\x9b\r")
        assert demo.line(0) == "An    na [31m[Hred"


def test_earlier_lines_come_back_and_so_does_the_draft() -> None:
    with Demo() as demo:
        demo.type("first\r")
        demo.type("второе\r")
        assert demo.line(1) == "второе"
        demo.type("a draft")
        for key, line in (
            (UP, "второе"),
            (UP, "first"),
            (UP, "first"),
            (DOWN, "второе"),
            (DOWN, "a draft"),
            (UP, "второе"),
        ):
            demo.type(key)
            demo.wait_typed(line)
            demo.order(show="somebody talks")
        demo.type("!\r")
        assert demo.line(2) == "второе!"


def test_ctrl_r_finds_an_earlier_line_and_ctrl_underscore_undoes() -> None:
    with Demo(40) as demo:
        demo.type("первое слово\rsecond\r")
        demo.type("draft\x12")
        demo.wait_typed("[] draft")
        demo.type("СЛОВО")
        demo.wait_typed("[СЛОВО] первое слово")
        demo.order(show="somebody talks")
        demo.wait_for("somebody talks")
        assert demo.cursor()[1] == wcswidth("> [СЛОВО] первое ")
        demo.type("\x1b")
        demo.wait_typed("первое слово")
        demo.type("\x1f")
        demo.wait_typed("draft")
        demo.type("\x12cond\r")
        assert demo.line(2) == "second"


def test_tab_completes_names_and_commands() -> None:
    with Demo() as demo:
        for typed, completed in (
            ("An\t", "Anna: "),
            ("ан\t", "Анна: "),
            ("/w\t", "/who"),
            ("/msg b\t", "/msg Boris "),
            ("hello, bo\t!", "hello, Boris!"),
            ("zzz\t", "zzz"),
        ):
            demo.type(typed)
            demo.wait_typed(completed)
            demo.type("\x15")  # Ctrl-U
            demo.wait_typed("")


@pytest.mark.parametrize(
    ("key", "error"), [(CTRL_C * 2, "KeyboardInterrupt"), (CTRL_D, "EOFError")], ids=["C", "D"]
)
def test_ctrl_c_and_ctrl_d_end_it_and_leave_the_terminal_as_it_was(key: str, error: str) -> None:
    with Demo() as demo:
        demo.order(show="somebody talks", pending=["pending"])
        demo.wait_for("somebody talks")
        assert demo.mode() != demo.mode_before
        demo.type(key)
        assert demo.result(1) == {"ended": error}
        assert demo.wait() == 0
        assert demo.mode() == demo.mode_before
        assert not demo.marks_pastes
        assert not demo.reports_focus
        assert [row for row in demo.rows() if row] == ["somebody talks", "The end."]


def test_ctrl_c_empties_the_line_and_a_key_after_its_hint_takes_the_hint_away() -> None:
    with Demo() as demo:
        demo.order(status="[status")
        demo.type(f"half a li{CTRL_C}")
        demo.wait_typed("")
        demo.type(f"{CTRL_C}")
        demo.wait_for("^C ^C")
        demo.type("line")
        demo.wait_until("the status", lambda d: "[status" in d.rows() and "^C ^C" not in d.rows())
        demo.type(f"{CTRL_C * 2}")
        demo.wait_for("^C ^C")
        demo.type(f"x\r{CTRL_C * 2}")
        assert demo.line(0) == "x"
        assert demo.result(2) == {"ended": "KeyboardInterrupt"}


def test_ctrl_c_is_a_key_only_while_lines_are_read() -> None:
    with Demo() as demo:
        signalling = demo.mode_before[6][termios.VINTR]
        assert demo.mode()[6][termios.VINTR] != signalling
        demo.order(do="end input")
        demo.order(show="now")
        demo.wait_for("now")
        assert demo.mode()[6][termios.VINTR] == signalling
        demo.type(CTRL_C)
        assert demo.result(1) == {"ended": "KeyboardInterrupt"}


def test_what_was_typed_before_the_end_is_read() -> None:
    with Demo() as demo:
        demo.type(f"one\rtwo\r{CTRL_D}")
        assert [demo.line(0), demo.line(1)] == ["one", "two"]
        assert demo.result(3) == {"ended": "EOFError"}


def test_ctrl_d_in_a_line_deletes() -> None:
    with Demo() as demo:
        demo.type("abc" + LEFT * 2 + CTRL_D)
        demo.wait_typed("ac")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_the_middle_of_a_line(number: int) -> None:
    """Whose handler raises KeyboardInterrupt, as the client's does."""
    with Demo() as demo:
        demo.type("half a li")
        demo.wait_typed("half a li")
        demo.signal(number)
        assert demo.result(1) == {"ended": "KeyboardInterrupt"}
        assert demo.wait() == 0
        assert demo.mode() == demo.mode_before
        assert [row for row in demo.rows() if row] == ["The end."]


def test_a_crash_leaves_the_terminal_as_it_was() -> None:
    with Demo() as demo:
        demo.order(do="raise")
        demo.order(show="now")
        demo.wait_for("now")
        demo.type("line\r")
        assert demo.wait() == 1
        assert demo.mode() == demo.mode_before
        assert not demo.marks_pastes
        assert not demo.reports_focus
        demo.wait_for("Broken")


SHELL = """
import json, os, signal, sys, termios
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
mode = termios.tcgetattr(0)
pid = os.fork()
if not pid:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    signal.signal(signal.SIGTTOU, signal.SIG_DFL)
    os.execv(sys.executable, [sys.executable, "-m", "tests.terminal.terminal_demo", *sys.argv[1:]])
while True:
    _, status = os.waitpid(pid, os.WUNTRACED)
    if not os.WIFSTOPPED(status):
        os._exit(os.waitstatus_to_exitcode(status))
    os.tcsetpgrp(0, os.getpid())
    same = termios.tcgetattr(0) == mode
    print("stopped", "as it was" if same else "in another mode", flush=True)
    sys.stdin.readline()
    os.tcsetpgrp(0, pid)
    os.kill(pid, signal.SIGCONT)
"""
"""A shell with one job: it stops at Ctrl-Z and goes on at Enter."""


def test_ctrl_z_gives_the_terminal_back_until_it_goes_on() -> None:
    with Demo(program=("-c", SHELL)) as demo:
        demo.type("half a li")
        demo.wait_typed("half a li")
        demo.order(title="chat")
        demo.wait_until("the title", lambda screen: screen.title == "chat")
        demo.type(CTRL_Z)
        demo.wait_for("stopped as it was")
        assert demo.title == ""
        assert not demo.reports_focus
        demo.order(show="somebody talks")
        demo.type("\n")
        demo.wait_typed("half a li")
        demo.wait_for("somebody talks")
        assert demo.reports_focus
        assert demo.title == "chat"
        demo.type("ne\r")
        assert demo.line(0) == "half a line"
        demo.type(CTRL_D)
        assert demo.wait() == 0
        assert demo.mode() == demo.mode_before


HOSTILE = {
    "erase": "\x1b[2J\x1b[Hgone",
    "title": "\x1b]0;title\x07 a title",
    "c1": "\x9b2J\x9b1;1H gone",
    "device": "\x1bP+q\x1b\\ \x1b[6n \x1b[c asks",
    "return": "x\rAnna: y\nBoris: z\x0b\x0c\x85",
    "backspace": "\x08" * 100 + "\x7f back",
    "bidi": "\u202etxet\u202d \u2066a\u2069 \u200f",
    "separators": "a\u2028b\u2029c",
    "combining": "Z" + "\u0335\u0301" * 5_000,
    "joiners": "Z" + "\u200d" * 10_000 + "\ufe0f" * 10_000,
    "style": "\x1b[31;5mred",
    "wide": "花" * 1_000,
    "long": "x" * 5_000,
}


def test_hostile_text_leaves_the_screen_unharmed() -> None:
    with Demo(60, 200) as demo:
        demo.order(show="the first line")
        demo.type("half a line")
        demo.wait_typed("half a line")
        for number, text in enumerate(HOSTILE.values()):
            demo.order(show=f"{number} {text}")
        demo.order(show=HOSTILE["erase"], name="Anna", pending=[*HOSTILE.values()])
        demo.order(status=f"[{HOSTILE['erase']}")
        demo.wait_until("the status", lambda screen: "[[2J[Hgone" in screen.rows())
        demo.wait_typed("half a line")
        rows = [row for row in demo.rows() if row]
        assert rows[0] == "the first line"
        assert [int(row.split()[0]) for row in rows if row.split()[0].isdecimal()] == list(
            range(len(HOSTILE))
        )
        assert rows[1] == "0 [2J[Hgone"
        assert "4 x Anna: y Boris: z" in rows
        assert "6 txet a" in rows
        assert not demo.bell_count
        assert demo.received().count("\u0301".encode()) < 20
        assert demo.received().count("\u200d".encode()) < 20


def test_names_have_their_colours() -> None:
    with Demo() as demo:
        demo.order(show="hello", name="Anna")
        demo.order(show="hello", name="Boris")
        demo.wait_for("Boris: hello")
        anna, boris = demo.colour_at(0, 0), demo.colour_at(1, 0)
        assert "default" not in (anna, boris)
        assert anna != boris
        assert demo.colour_at(0, len("Anna: ")) == "default"


def test_no_color_is_respected() -> None:
    with Demo(NO_COLOR="1") as demo:
        demo.order(show="hello", name="Anna", pending=["waits"])
        demo.order(show="an error", style="1;31")
        demo.order(show="history", style="2;38;5;160")
        demo.order(status="[status")
        demo.wait_for("[status")
        assert demo.colours() == {"default"}
        assert b"\x1b[38" not in demo.received()
        bold = [row[0][2] for row in demo.cells()]
        assert bold[:3] == [False, True, False], "what stands out does so without colour, too"
        assert b"\x1b[2mhistory" in demo.received()


def test_pending_lines_and_the_status_stand_around_the_line() -> None:
    with Demo(40) as demo:
        demo.order(status="[chat: Anna, Boris")
        demo.order(pending=["первая", "花" * 40])
        demo.type("third")
        rows = ["первая …", "花" * 18 + "… …", "> third", "[chat: Anna, Boris"]
        demo.wait_until("the block", lambda screen: [r for r in screen.rows() if r] == rows)
        demo.order(show="первая", pending=["花" * 40])
        rows.insert(1, "первая")
        demo.wait_until("the echo", lambda screen: [r for r in screen.rows() if r] == rows[1:])
        demo.order(pending=[f"{number}" for number in range(20)])
        demo.wait_until(
            "the newest", lambda screen: {"… +17", "17 …", "18 …", "19 …"} <= {*screen.rows()}
        )
        demo.order(pending=[])
        demo.order(status="")
        rows = ["первая", "> third"]
        demo.wait_until("the end", lambda screen: [r for r in screen.rows() if r] == rows)


def test_a_low_screen_shows_the_line() -> None:
    with Demo(30, 3) as demo:
        demo.order(status="[status")
        demo.order(pending=["waits"])
        demo.type("a line")
        demo.order(show="somebody talks")
        demo.wait_typed("a line")
        demo.wait_for("somebody talks")


def test_what_is_written_to_stderr_breaks_no_line() -> None:
    with Demo() as demo:
        typist = Typist(demo)
        typist.type("half a line", "half a line")
        for text in ("complaint 1", "complaint 2\nin two lines", "\x1b[2Jcomplaint 3"):
            demo.order(complain=text)
        rows = ["complaint 1", "complaint 2", "in two lines", "[2Jcomplaint 3", "> half a line"]
        demo.wait_until("all of it", lambda d: [row for row in d.rows() if row] == rows)
        typist.enter()
        assert demo.line(0) == "half a line"


def test_the_bell_rings() -> None:
    with Demo() as demo:
        demo.order(bell=True)
        demo.wait_until("the bell", lambda screen: screen.bell_count == 1)


def test_bytes_that_are_not_utf_8_end_nothing() -> None:
    with Demo() as demo:
        demo.type(b"caf\xe9\xff\r")
        demo.line(0)
        demo.type("go on\r")
        assert demo.line(1) == "go on"


def test_a_closed_window_is_the_end_of_the_input() -> None:
    """Also for who does not die of SIGHUP."""
    (control, orders), (results, tells) = os.pipe(), os.pipe()
    window, person = pty.openpty()
    ignore = "import runpy, signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN);"
    program = f"{ignore} runpy.run_module('tests.terminal.terminal_demo', run_name='__main__')"
    process = subprocess.Popen(
        [sys.executable, "-c", program, str(control), str(tells)],
        stdin=person,
        stdout=person,
        stderr=subprocess.DEVNULL,
        cwd=PROJECT,
        env=environment(),
        pass_fds=[control, tells],
        start_new_session=True,
    )
    os.close(control)
    os.close(tells)
    os.close(person)
    lines = Lines(os.fdopen(results, "rb"))
    try:
        lines.wait_for("its kind", lambda line: "EditorTerminal" in line)
        while b">" not in os.read(window, 4096):
            pass
        os.close(window)
        lines.wait_for("the end of the input", lambda line: "EOFError" in line)
    finally:
        process.kill()
        process.wait()
        lines.close()
        os.close(orders)


def test_a_terminal_that_cannot_draw_gets_plain_lines() -> None:
    with Demo(TERM="dumb") as demo:
        assert demo.kind == "PlainTerminal"
        demo.order(show=HOSTILE["erase"], name="Anna", pending=["waits"])
        demo.order(status="status")
        demo.wait_for("Anna: [2J[Hgone")
        demo.type("line\n")
        assert demo.line(0) == "line"
        demo.type(CTRL_D)
        assert demo.result(2) == {"ended": "EOFError"}
        assert demo.wait() == 0
        assert b"\x1b" not in demo.received()
        assert demo.mode() == demo.mode_before
