"""The line being typed: keys, cells and rows, without a terminal; and what is drawn of it."""

from __future__ import annotations

import contextlib
import re
import threading
import unicodedata
from typing import TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.terminal.emulator import BACKSPACE, DELETE, END, HOME, LEFT, RIGHT, Emulator, seen
from udp_chat.app.completing import Completions
from udp_chat.terminal.block import block_rows, candidates_row, pending_rows
from udp_chat.terminal.cells import COMBINING_MAX, clean, shortened, width
from udp_chat.terminal.editor import LINE_CHARACTERS_MAX, LineEditor
from udp_chat.terminal.history import HISTORY_LINES_MAX, UNDO_STEPS_MAX
from udp_chat.terminal.keys import (
    PASTED_CHARACTERS_MAX,
    PASTED_TAB,
    SEQUENCE_CHARACTERS_MAX,
    Key,
    KeyDecoder,
    Paste,
)
from udp_chat.terminal.screen import EditorTerminal, Hints
from udp_chat.terminal.style import NAME_COLOURS, Span, colour, paint, plain, rendered

Step: TypeAlias = "bytes | str | int"
"""Keys are typed, somebody says something, or the window gets so many columns."""

FAMILY = "👨\u200d👩\u200d👧"
HEART = "❤\ufe0f"

SHAPES = ["a", "b", " ", "Я", "花", "🎉", "e\u0301", HEART, FAMILY, "각", "👍🏽"]

shapes = st.lists(st.sampled_from(SHAPES)).map("".join)
texts = st.one_of(shapes, st.text(st.characters(exclude_categories=["Cs"])))


# --- keys ------------------------------------------------------------------------------------


def decoded(*pieces: bytes) -> list[Key | str | Paste]:
    """The keys in these pieces; texts that follow one another are one."""
    decoder = KeyDecoder()
    keys: list[Key | str | Paste] = []
    for piece in pieces:
        for key in decoder.feed(piece):
            if isinstance(key, str) and keys and isinstance(keys[-1], str):
                keys[-1] += key
            elif key:
                keys.append(key)
    return keys


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"a\x1b[Db\x1bOC\x1b[1;5D\x1bb", ["a", Key.LEFT, "b", Key.RIGHT, *[Key.WORD_LEFT] * 2]),
        (b"\x01\x05\x7f\x08\x1b[3~", [Key.HOME, Key.END, *[Key.BACKSPACE] * 2, Key.DELETE]),
        ("я\r花\n".encode(), ["я", Key.ENTER, "花", Key.ENTER]),
        (b"a\r\nb\r\n", ["a", Key.ENTER, "b", Key.ENTER]),
        (b"\x1f\x18\x15\x15", [Key.UNDO, Key.UNDO, Key.KILL_LEFT]),
        (b"\r\r\n\n", [Key.ENTER, Key.ENTER, Key.ENTER]),
        (b"caf\xe9\n", ["caf\ufffd", Key.ENTER]),
        (b"\x1b[99;99Xa\x1b[?1;2cb\x00\x1cc", ["abc"]),
        (b"\x1bxy", ["y"]),
        (b"\x1b\x1b[A", [Key.UP]),
        (
            b"\x1b[200~a\tb\x01\r\nc\x1b[201~d",
            [Key.END_SEARCH, f"a{PASTED_TAB}b\x01", Key.ENTER, "cd"],
        ),
        (b"\x1b[200~\x1b[2\x1b[201~\x1b[A", ["\x1b[2", Key.UP]),
    ],
)
def test_what_a_terminal_sends_becomes_keys(data: bytes, keys: list[Key | str | Paste]) -> None:
    assert decoded(data) == keys


@given(
    st.lists(
        st.one_of(
            texts.map(str.encode),
            st.sampled_from(
                [b"\x1b[A", b"\x1b[1;5C", b"\x1bOH", b"\r\n", b"\t", b"\x1b[3~", b"\x7f", b"\xff"]
            ),
            texts.map(lambda text: b"\x1b[200~" + text.encode() + b"\r\n\t\x1b[201~"),
        )
    ).map(b"".join),
    st.data(),
)
def test_the_pieces_in_which_keys_arrive_do_not_matter(data: bytes, draw: st.DataObject) -> None:
    cuts = sorted(draw.draw(st.lists(st.integers(0, len(data)), max_size=8)))
    pieces = [data[i:j] for i, j in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert decoded(*pieces) == decoded(data)


def test_an_escape_alone_is_given_up_and_noise_is_not_waited_for() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"a\x1b") == ["a"]
    assert decoder.unfinished
    assert decoder.give_up() == [Key.ESCAPE]
    assert decoder.feed(b"b\x1b[1") == ["b"]
    assert decoder.give_up() == []
    assert not decoder.unfinished
    decoder.feed(b"\x1b[" + b"1" * SEQUENCE_CHARACTERS_MAX)
    assert not decoder.unfinished


@pytest.mark.parametrize("end", ["", "\r\n"])
def test_more_than_five_pasted_lines_are_a_paste(end: str) -> None:
    few, many = ["\r\n".join(f"{n}" for n in range(count)) + end for count in (5, 6)]
    assert decoded(*(bytes([b]) for b in f"\x1b[200~{few}\x1b[201~".encode()))[:3] == [
        Key.END_SEARCH,
        "0",
        Key.ENTER,
    ]
    lines = (*"012345", *([""] if end else []))
    assert decoded(*(bytes([b]) for b in f"\x1b[200~{many}\x1b[201~".encode())) == [Paste(lines)]


def test_a_paste_without_an_end_is_left_with_ctrl_c_and_an_endless_one_is_not_kept() -> None:
    decoder = KeyDecoder()
    assert decoder.feed(b"\x1b[200~lost\r") == []
    assert not decoder.unfinished
    assert decoder.feed(b"\x03") == []
    assert decoder.unfinished
    assert decoder.give_up() == []
    assert decoder.feed(b"x") == ["x"]
    piece = b"y" * PASTED_CHARACTERS_MAX
    assert decoder.feed(b"\x1b[200~" + piece) == []
    assert decoder.feed(piece + b"\x1b[20") == []
    assert decoder.feed(b"1~z") == [Paste(()), "z"]


# --- the line --------------------------------------------------------------------------------


def typed(*keys: Key | str | Paste) -> LineEditor:
    editor = LineEditor(Completions(["Anna", "Андрей", "anton"], verbs=["who"]).of)
    for key in keys:
        editor.press(key)
    return editor


@pytest.mark.parametrize(
    ("keys", "text", "cursor"),
    [
        (["ac", Key.LEFT, "b"], "abc", 2),
        (["abc", Key.HOME, Key.DELETE, Key.RIGHT, "x"], "bxc", 2),
        (["abc", Key.HOME, Key.LEFT, Key.BACKSPACE, Key.END, Key.RIGHT, Key.DELETE], "abc", 3),
        (["one two  three", Key.WORD_LEFT, Key.WORD_LEFT], "one two  three", 4),
        (["one two", Key.HOME, Key.WORD_RIGHT, "!"], "one! two", 4),
        (["one two", Key.KILL_WORD_LEFT, "2"], "one 2", 5),
        (["one two", Key.HOME, Key.KILL_WORD_RIGHT, Key.END, Key.YANK], " twoone", 7),
        (["one two", Key.WORD_LEFT, Key.KILL_LEFT, Key.END, Key.YANK], "twoone ", 7),
        (["one two", Key.WORD_LEFT, Key.KILL_RIGHT, Key.HOME, Key.YANK], "twoone ", 3),
        (["e\u0301", Key.LEFT], "e\u0301", 0),
        (["ae\u0301", Key.BACKSPACE], "a", 1),
        ([f"a{FAMILY}b", Key.LEFT, Key.BACKSPACE], "ab", 1),
        ([f"{HEART}{FAMILY}", Key.HOME, Key.RIGHT, Key.DELETE], HEART, 2),
        (["👍🏽", Key.BACKSPACE], "", 0),
        (["ab", Key.LEFT, Key.END_OF_INPUT], "a", 1),
        (["a\x1b[2J\u202eb\x00"], "a[2Jb", 5),
        (["an", Key.COMPLETE], "Anna: ", 6),
        (["an", Key.COMPLETE, Key.COMPLETE], "anton: ", 7),
        (["an", Key.COMPLETE, Key.COMPLETE, Key.COMPLETE], "an", 2),
        (["an", *[Key.COMPLETE] * 4], "Anna: ", 6),
        (["an", Key.COMPLETE, Key.RIGHT, Key.COMPLETE], "Anna: ", 6),
        (["АНД", Key.COMPLETE, "привет"], "Андрей: привет", 14),
        (["/msg an!", Key.LEFT, Key.COMPLETE], "/msg Anna !", 10),
        (["hi an", Key.COMPLETE], "hi Anna", 7),
        (["/", Key.COMPLETE], "/who", 4),
    ],
)
def test_keys_change_the_line(keys: list[Key | str | Paste], text: str, cursor: int) -> None:
    editor = typed(*keys)
    assert (editor.text, editor.cursor) == (text, cursor)


def test_a_long_paste_waits_for_enter_and_ctrl_c_brings_the_line_back() -> None:
    paste = Paste(("1", "2\x1b", "3", "4", "5", "6", ""))
    held: list[Key | str | Paste] = ["ab", Key.LEFT, paste, "x", Key.END_OF_INPUT]
    editor = typed(*held)
    assert (editor.text, editor.wants_bell) == ("", True)
    lines = ["a1", "2", "3", "4", "5", "6", "b"]
    assert editor.pasted == lines
    assert editor.press(Key.ENTER) == lines
    assert (editor.text, editor.pasted) == ("", [])
    editor = typed(*held, Key.INTERRUPT)
    assert (editor.text, editor.cursor, editor.pasted) == ("ab", 1, [])
    assert typed("a", Paste(())).wants_bell
    editor = typed(Paste(("x" * (LINE_CHARACTERS_MAX + 1), "y")))
    assert ([len(line) for line in editor.pasted], editor.wants_bell) == (
        [LINE_CHARACTERS_MAX, 1],
        True,
    )


def test_what_cannot_be_completed_rings() -> None:
    assert typed("zzz", Key.COMPLETE).wants_bell
    assert typed("hello ", Key.COMPLETE).wants_bell
    assert not typed("an", Key.COMPLETE).wants_bell


def test_several_candidates_are_shown_below_until_another_key_is_pressed() -> None:
    editor = LineEditor(Completions(["Anna", "Annabel", "Андрей"]).of)
    editor.press("/msg a")
    frames = []
    keys: list[Key | str] = [*[Key.COMPLETE] * 4, "!", Key.BACKSPACE]
    for key in keys:
        editor.press(key)
        below = block_rows(editor, "> ", [], "the status", 80, 24).status
        frames.append((editor.text, below))
    assert frames == [
        ("/msg Anna", ["Anna  Annabel"]),
        ("/msg Anna ", ["Anna  Annabel"]),
        ("/msg Annabel ", ["Anna  Annabel"]),
        ("/msg a", ["Anna  Annabel"]),
        ("/msg a!", ["the status"]),
        ("/msg a", ["the status"]),
    ]


def test_a_candidate_without_others_is_taken_and_tab_goes_on_behind_it() -> None:
    becomes = {"/save d": ["/save docs/"], "/save docs/": ["/save docs/a", "/save docs/b"]}
    editor = LineEditor(lambda left: becomes.get(left, []))
    editor.press("/save d")
    editor.press(Key.COMPLETE)
    assert (editor.text, list(editor.candidates)) == ("/save docs/", [])
    editor.press(Key.COMPLETE)
    assert (editor.text, list(editor.candidates)) == ("/save docs/a", ["a", "b"])


@pytest.mark.parametrize(
    ("cells_max", "row"),
    [
        (40, "Anna  花子  Clara"),
        (17, "Anna  花子  Clara"),
        (16, "Anna  花子  … +1"),
        (15, "Anna  … +2"),
        (5, "Anna"),
        (3, "An…"),
        (0, ""),
    ],
)
def test_what_of_the_candidates_does_not_fit_is_counted(cells_max: int, row: str) -> None:
    assert candidates_row(["Anna", "花子", "Clara"], cells_max) == row


def test_earlier_lines_come_back_and_an_edited_one_does_not_change_them() -> None:
    editor = typed("one", Key.ENTER, "two", Key.ENTER, "two", Key.ENTER, Key.ENTER, "draft")
    seen = []
    for key in (Key.UP, Key.UP, Key.UP, Key.DOWN, Key.DOWN, Key.DOWN):
        editor.press(key)
        seen.append(editor.text)
    assert seen == ["two", "one", "one", "two", "draft", "draft"]
    changes: list[Key | str | Paste] = [Key.UP, "!", Key.UP, Key.DOWN]
    for change in changes:
        editor.press(change)
    assert editor.text == "two"


U, R = Key.UNDO, Key.SEARCH


@pytest.mark.parametrize(
    ("keys", "text", "cursor"),
    [
        (["a", "b", " ", "c", "d", U], "ab", 2),
        (["a", "b", " ", "c", U, U], "", 0),
        (["ab", Key.LEFT, "c", U], "ab", 1),
        (["one two", Key.KILL_WORD_LEFT, Key.KILL_WORD_LEFT, U, U], "one two", 7),
        (["a line", Key.INTERRUPT, U], "a line", 6),
        (["an", Key.COMPLETE, U], "an", 2),
        (["two", " words", Key.ENTER, U], "", 0),
        (["sent", Key.ENTER, "x", Key.UP, U], "x", 1),
        (["ab", *[Key.BACKSPACE] * 2, U, "c", U, U], "ab", 2),
        (["ab", Paste(tuple("123456")), Key.INTERRUPT, U], "", 0),
    ],
)
def test_undo_takes_changes_back(keys: list[Key | str | Paste], text: str, cursor: int) -> None:
    editor = typed(*keys)
    assert (editor.text, editor.cursor) == (text, cursor)


def test_what_cannot_be_undone_rings_and_the_steps_are_bounded() -> None:
    assert typed(U).wants_bell
    changes = [key for n in range(UNDO_STEPS_MAX + 1) for key in (f" {n}", Key.LEFT, Key.RIGHT)]
    assert typed(*changes, *[U] * (UNDO_STEPS_MAX + 9)).text == " 0"


@pytest.mark.parametrize(
    ("keys", "text", "cursor", "word"),
    [
        ([R], "draft", 5, ""),
        ([R, "e", "R"], "other", 3, "eR"),
        ([R, "one"], "one more", 0, "one"),
        ([R, "one", R], "Number one", 7, "one"),
        ([R, "one", R, R], "Number one", 7, "one"),
        ([R, "one", R, " "], "Number one", 7, "one "),
        ([R, "one", " "], "one more", 0, "one "),
        ([R, "numx", Key.BACKSPACE], "Number one", 0, "num"),
        ([R, "one", Key.ESCAPE], "one more", 0, None),
        ([R, "one", Key.RIGHT, "!"], "o!ne more", 2, None),
        ([R, "one", Key.CANCEL], "draft", 5, None),
        ([R, "one", Key.INTERRUPT], "draft", 5, None),
        ([R, "one", Key.CLEAR_SCREEN], "one more", 0, "one"),
        ([R, "one", Key.ESCAPE, U], "draft", 5, None),
        ([R, "one", Key.END, "!", U, U], "draft", 5, None),
        ([R, "one", Key.ENTER], "", 0, None),
    ],
)
def test_a_search_finds_what_was_typed_before(
    keys: list[Key | str | Paste], text: str, cursor: int, word: str | None
) -> None:
    lines = [key for line in ("Number one", "one more", "other") for key in (line, Key.ENTER)]
    editor = typed(*lines, "draft", *keys)
    assert (editor.text, editor.cursor, editor.searched) == (text, cursor, word)


def test_a_search_rings_where_nothing_is_found_and_enter_sends_what_is() -> None:
    assert typed("one", Key.ENTER, R, "x").wants_bell
    editor = typed("one", Key.ENTER, "two", Key.ENTER, R, "on")
    assert not editor.wants_bell
    assert editor.press(Key.ENTER) == ["one"]


def test_everything_is_bounded() -> None:
    editor = typed("x" * (LINE_CHARACTERS_MAX + 1))
    assert len(editor.text) == LINE_CHARACTERS_MAX
    assert editor.wants_bell
    editor = typed(*[key for n in range(HISTORY_LINES_MAX + 9) for key in (str(n), Key.ENTER)])
    for _ in range(HISTORY_LINES_MAX + 9):
        editor.press(Key.UP)
    assert editor.text == "9"
    editor = typed("Z" + "\u0301" * 10_000, *["\u0301"] * 100)
    assert len(editor.text) == 1 + COMBINING_MAX


def test_the_end_of_input_ends_an_empty_line_only() -> None:
    with pytest.raises(EOFError):
        typed(Key.END_OF_INPUT)
    typed("a", Key.END_OF_INPUT)


# --- cells and rows --------------------------------------------------------------------------


def test_widths() -> None:
    assert [width(t) for t in ("abc", "Яé", "花子", "🎉", "e\u0301", HEART, "가")] == [
        3,
        2,
        4,
        2,
        1,
        2,
        2,
    ]
    assert width("각") == 2  # three letters, one syllable


@given(texts, st.integers(0, 30))
def test_what_is_shortened_fits_and_says_so(text: str, cells_max: int) -> None:
    short = shortened(text, cells_max)
    assert width(short) <= cells_max
    assert short == text or not short or short.endswith("…")


@given(texts, st.lists(texts, max_size=8), texts, st.data())
def test_rows_fit_and_hold_the_line_and_its_cursor(
    text: str, pending: list[str], status: str, draw: st.DataObject
) -> None:
    editor = typed(text)
    text = editor.text
    for _ in range(draw.draw(st.integers(0, 5))):
        editor.press(Key.LEFT)
    columns, rows = draw.draw(st.integers(12, 40)), draw.draw(st.integers(1, 12))
    block = block_rows(editor, "> ", pending, status, columns, rows)
    shown = [*block.pending, *block.typed, *block.status]
    assert len(shown) <= max(1, rows - 1)
    for row in shown:
        assert width(row) < columns or "\u200d" in row
    assert "".join(block.typed) in f"> {text}"
    if rows > 20:
        assert "".join(block.typed) == f"> {text}"
    assert block.typed[block.cursor_row].startswith(block.left_of_cursor)
    whole = block_rows(editor, "> ", (), "", columns, 99)
    before = "".join(whole.typed[: whole.cursor_row]) + whole.left_of_cursor
    assert before == f"> {text[: editor.cursor]}"


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("one two three four", ["> one two ", "three four"]),
        ("a wonderful one", ["> a ", "wonderful ", "one"]),
        ("fits here x", ["> fits ", "here x"]),
        ("exactly10 y", ["> exactly1", "0 y"]),
        ("eight888 y", ["> eight888", " y"]),
        ("incomprehensibilities", ["> incompre", "hensibilit", "ies"]),
        ("съешь ещё булок", ["> съешь ", "ещё булок"]),
        ("我能吞下玻璃", ["> 我能吞下", "玻璃"]),
        (f"да {FAMILY}{FAMILY}", ["> да ", FAMILY, FAMILY]),
    ],
)
def test_words_of_the_input_stay_whole(text: str, rows: list[str]) -> None:
    editor = typed(text)
    block = block_rows(editor, "> ", [], "", 11, 24)
    assert block.typed == rows
    assert block.cursor_row == len(rows) - 1
    assert block.left_of_cursor == rows[-1]


def test_of_what_is_pending_the_newest_is_seen() -> None:
    assert pending_rows([], 4, 20) == []
    assert pending_rows(["one", "a\x1b[2Jb"], 4, 20) == ["one …", "a[2Jb …"]
    assert pending_rows(list("abcdef"), 3, 20) == ["… +4", "e …", "f …"]
    assert pending_rows(["花" * 20], 1, 11) == ["花花花花… …"]


# --- what is shown ---------------------------------------------------------------------------


@given(st.text(max_size=200))
def test_no_text_holds_a_sequence(text: str) -> None:
    shown = rendered([text, paint(text, "Anna")], colours=True)
    unstyled = re.sub(r"\x1b\[(38;5;\d+|0)m", "", shown)
    assert all(unicodedata.category(c) not in ("Cc", "Cs", "Co") for c in unstyled)
    assert unstyled == clean(text) * 2
    assert "\x1b" not in plain([text, Span(text, "1")])
    assert clean(clean(text)) == clean(text)


def test_marks_do_not_pile_up() -> None:
    marks = "\u0301" * COMBINING_MAX
    assert clean("a" + "\u0301" * 10_000 + "b\u0301") == f"a{marks}b\u0301"
    assert clean("\u200d" * 10_000) == "\u200d" * COMBINING_MAX
    assert clean(f"{FAMILY}{HEART}👍🏽") == f"{FAMILY}{HEART}👍🏽"


def test_a_style_is_no_text() -> None:
    with pytest.raises(AssertionError):
        Span("text", "1m\x1b[2J")


def test_a_name_keeps_its_colour() -> None:
    assert colour("Anna") == colour("ANNA") == colour("Ａnna") == "38;5;64"
    names = ["Anna", "Boris", "Вера", "Глеб", "花子", "Dmitri", "Eva", "Фёдор", "Galina", "Hans"]
    assert len({colour(name) for name in names}) > len(names) / 2


@pytest.mark.parametrize("number", NAME_COLOURS)
def test_a_name_can_be_read_on_black_and_on_white(number: int) -> None:
    """WCAG 2's relative luminance and contrast; it asks for 3 to 1 in large text."""
    levels = [0, 95, 135, 175, 215, 255]
    rgb = [levels[(number - 16) // step % 6] / 255 for step in (36, 6, 1)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in rgb]
    luminance = sum(c * weight for c, weight in zip(linear, (0.2126, 0.7152, 0.0722), strict=True))
    assert min(1.05 / (luminance + 0.05), (luminance + 0.05) / 0.05) >= 3.8


# --- what is drawn ---------------------------------------------------------------------------


class Window:
    """A console at which a script types, talks and resizes; its screen is an emulator's.

    When the terminal reads, all that came before has been drawn: then the line on the screen has
    to be the one that a `LineEditor` of our own holds after the same keys.
    """

    stop_wanted = False

    def __init__(self, steps: list[Step]) -> None:
        self.emulator = Emulator(50, 40)
        self.terminal: EditorTerminal | None = None
        self._steps = iter(steps)
        self._decoder, self._editor = KeyDecoder(), LineEditor()

    def size(self) -> tuple[int, int]:
        return self.emulator.columns, self.emulator.lines

    def write(self, text: str) -> None:
        self.emulator.feed(text.replace("\n", "\r\n").encode())  # as a terminal's driver does

    def read(self, timeout_seconds: float | None) -> bytes:
        assert self.terminal is not None
        for step in self._steps:
            self._check()
            if isinstance(step, bytes):
                for key in self._decoder.feed(step):
                    self._editor.press(key)
                return step
            if isinstance(step, int):
                self.emulator.resize(columns=step)
                return b""
            self.terminal.show(step)
        self._check()
        raise EOFError

    def _check(self) -> None:
        assert self.emulator.typed() == seen(self._editor.text)
        assert self.emulator.left_of_cursor() == seen(self._editor.text[: self._editor.cursor])

    def set_interrupts(self, *, as_keys: bool) -> None:
        pass

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass


keys = st.sampled_from([LEFT, RIGHT, HOME, END, BACKSPACE, DELETE, "\r", "\x17"])
steps = st.lists(
    st.one_of(
        shapes.map(lambda text: (text or "z").encode()),
        keys.map(str.encode),
        st.integers(20, 80),
        shapes.map("talk {}".format),
    ),
    max_size=30,
)


@given(steps)
def test_whatever_happens_the_line_is_on_the_screen_and_all_that_was_said(
    steps: list[Step],
) -> None:
    window = Window(steps)
    with (
        EditorTerminal(open_console=lambda: window) as window.terminal,
        contextlib.suppress(EOFError),
    ):
        while True:
            window.terminal.read_line()
    said = [seen(step) for step in steps if isinstance(step, str)]
    shown = seen("".join(window.emulator.transcript()))
    assert shown == "".join(said) or any(isinstance(step, int) for step in steps)
    assert shown.count("talk") == len(said)


def test_the_completer_may_wait_for_who_shows_something() -> None:
    window = Window([b"a\t"])
    lock, completing = threading.Lock(), threading.Event()

    def complete(left: str) -> list[str]:
        completing.set()
        assert lock.acquire(timeout=10)
        lock.release()
        return []

    with EditorTerminal(complete, open_console=lambda: window) as window.terminal:

        def talk() -> None:
            with lock:
                completing.wait(10)
                assert window.terminal is not None
                window.terminal.show("talk")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(EOFError):
            window.terminal.read_line()
        thread.join()


@pytest.mark.parametrize(("seconds", "leaves"), [(1.9, True), (2.1, False)])
def test_a_second_ctrl_c_leaves_if_it_comes_soon(seconds: float, leaves: bool) -> None:
    times = iter([100.0, *[100.0 + seconds] * 5])
    shown: list[str] = []

    class Keyboard(Window):
        def read(self, timeout_seconds: float | None) -> bytes:
            shown.append(self.emulator.rows()[1])
            if len(shown) > 2:
                raise EOFError
            return b"\x03"

    window = Keyboard([])
    end = KeyboardInterrupt if leaves else EOFError
    with (
        EditorTerminal(
            hints=Hints(leave="again!"), open_console=lambda: window, clock=lambda: next(times)
        ) as terminal,
        pytest.raises(end),
    ):
        terminal.read_line()
    assert shown == ["", "again!"] + ([] if leaves else ["again!"])


def test_another_key_takes_the_hint_away_at_once() -> None:
    keys = iter([b"\x03", b"x", b"\x03", b"\x03"])
    shown: list[str] = []

    class Keyboard(Window):
        def read(self, timeout_seconds: float | None) -> bytes:
            shown.append(self.emulator.rows()[1])
            return next(keys, b"\x04")

    window = Keyboard([])
    with (
        EditorTerminal(
            hints=Hints(leave="again!"), open_console=lambda: window, clock=lambda: 100.0
        ) as terminal,
        pytest.raises(EOFError),
    ):
        terminal.read_line()
    assert shown == ["", "again!", "", "", "again!"]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (3, 1), (5, 50)])
def test_no_screen_is_too_small(size: tuple[int, int]) -> None:
    for text in ("", "a line", "花子🎉", FAMILY):
        block = block_rows(typed(text), "> ", ["waits"] * 9, "a status", *size)
        assert len(block.typed) >= 1
        assert block.typed[block.cursor_row].startswith(block.left_of_cursor)


def test_an_unknown_alt_key_types_nothing() -> None:
    decoder = KeyDecoder()
    assert decoder.feed("a\x1bx\x1bжb\x1b\r".encode()) == ["a", "b", Key.ENTER]


def test_a_paste_of_several_lines_ends_a_search_and_sends_nothing_that_was_found() -> None:
    decoder = KeyDecoder()
    editor = typed("found", Key.ENTER, "draft ", Key.SEARCH, "fo")
    sent = [
        line for key in decoder.feed(b"\x1b[200~eins\rzwei\x1b[201~") for line in editor.press(key)
    ]
    assert sent == ["draft eins"]
    assert (editor.text, editor.searched) == ("zwei", None)


def test_enter_in_a_search_that_finds_nothing_rings_and_sends_nothing() -> None:
    editor = typed("draft", Key.SEARCH, "zzz")
    assert editor.finds_nothing
    assert editor.press(Key.ENTER) == []
    assert editor.wants_bell
    editor.press(Key.CANCEL)
    assert editor.text == "draft"


def test_a_sequence_stands_between_two_controls() -> None:
    keys = KeyDecoder().feed(b"\r\x1b[A\n")
    assert keys == [Key.ENTER, Key.UP, Key.ENTER]


def test_a_line_that_tab_has_made_too_long_takes_no_more() -> None:
    editor = typed()
    editor.complete(("x" * (LINE_CHARACTERS_MAX + 20), 0))
    editor.press("y" * 50)
    assert len(editor.text) == LINE_CHARACTERS_MAX + 20
