"""`--keep` on the command line: files that cannot be used, limits, and `--export`."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from udp_chat.app.arguments import keep_limit
from udp_chat.app.server_command import main
from udp_chat.protocol.packets import Event, EventKind
from udp_chat.server.keeping import FORMAT, KeepLimit, KeptFile, connect, kept_events
from udp_chat.server.kept import Changes

DAY_MS = 86_400_000


def fill(path: Path, *texts: str, limit: KeepLimit | None = None, days: float = 0.0) -> None:
    """Has a room's file keep messages of Anna, each so many days after the one before."""
    with KeptFile(path, limit) as file:
        for seq, text in enumerate(texts, 1):
            time_ms = 1_700_000_000_000 + int(seq * days * DAY_MS)
            event = Event(EventKind.CHAT, time_ms, "Anna", "", text, 1, seq)
            file.write(Changes(7, seq, [event.encode()], [], []))


def name_successors(path: Path, seq: int) -> None:
    """Has a room's file keep who can take the room over, as its event of this number."""
    event = Event(EventKind.SUCCESSORS, 1_700_000_000_000, text="2 192.0.2.1:9091\n")
    with KeptFile(path) as file:
        file.write(Changes(7, seq, [event.encode()], [], []))


def texts_in(path: Path) -> list[str]:
    return [event.text for _, event in kept_events(path)]


# --- what cannot be used ---------------------------------------------------------------------


def make_newer(path: Path) -> None:
    fill(path, "hello")
    database = connect(path)
    database.execute(f"PRAGMA user_version = {FORMAT + 1}")
    database.close()


def make_foreign(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("CREATE TABLE things (thing)")
    database.close()


def make_corrupt(path: Path) -> None:
    fill(path, *("x" * 800 for _ in range(50)))
    data = bytearray(path.read_bytes())
    data[4096:-4096] = os.urandom(len(data) - 2 * 4096)
    path.write_bytes(data)


UNUSABLE: list[tuple[Callable[[Path], object], str]] = [
    (Path.mkdir, "it is a folder"),
    (lambda path: path.write_text("my diary, which is not a database"), "something else"),
    (make_foreign, "something else"),
    (make_newer, "a newer version of this program"),
    (make_corrupt, "the file is damaged"),
]


@pytest.mark.parametrize(("make", "sentence"), UNUSABLE)
def test_a_file_that_cannot_be_used_is_named_in_a_sentence_and_not_changed(
    make: Callable[[Path], object],
    sentence: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "room.db"
    make(path)
    before = path.read_bytes() if path.is_file() else b""
    assert main(["--port", "0", "--no-discovery", "--keep", str(path), "--lang", "en"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert str(path) in captured.err
    assert sentence in captured.err
    assert captured.err.count("\n") == 1
    assert (path.read_bytes() if path.is_file() else b"") == before
    assert [each.name for each in tmp_path.iterdir()] == ["room.db"]


def test_a_second_server_learns_that_the_file_is_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "room.db"
    fill(path, "hello")
    with KeptFile(path):
        assert main(["--port", "0", "--no-discovery", "--keep", str(path), "--lang", "en"]) == 1
        assert "another server is using the file" in capsys.readouterr().err
    assert texts_in(path) == ["hello"]


def test_a_folder_that_does_not_exist_is_a_sentence_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "nowhere" / "room.db"
    assert main(["--port", "0", "--no-discovery", "--keep", str(path), "--lang", "ru"]) == 1
    assert "Комнату нельзя хранить" in capsys.readouterr().err


def test_only_its_owner_may_read_a_room_s_file(tmp_path: Path) -> None:
    fill(tmp_path / "room.db", "hello")
    if os.name == "posix":
        assert (tmp_path / "room.db").stat().st_mode & 0o077 == 0


# --- limits ----------------------------------------------------------------------------------


def test_a_file_keeps_so_many_events(tmp_path: Path) -> None:
    fill(tmp_path / "room.db", *"abcdef", limit=KeepLimit(events_max=3))
    assert texts_in(tmp_path / "room.db") == ["d", "e", "f"]


def test_a_file_keeps_events_of_so_many_days(tmp_path: Path) -> None:
    fill(tmp_path / "room.db", *"abcdef", limit=keep_limit("2d"), days=1.0)
    assert texts_in(tmp_path / "room.db") == ["d", "e", "f"]


def test_the_newest_event_stays_so_that_numbers_are_not_given_again(tmp_path: Path) -> None:
    fill(tmp_path / "room.db", *"abc", limit=keep_limit("1,1h"), days=30.0)
    with KeptFile(tmp_path / "room.db") as file:
        kept = file.read(10_000)
    assert kept is not None
    assert kept.first_seq == 3
    assert len(kept.events) == 1


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("100000", KeepLimit(100_000, 0)),
        ("30d", KeepLimit(0, 30 * 86_400)),
        ("100000,8w", KeepLimit(100_000, 56 * 86_400)),
        ("36h", KeepLimit(0, 36 * 3600)),
        ("0", KeepLimit(0, 0)),
    ],
)
def test_a_limit_is_a_count_an_age_or_both(text: str, limit: KeepLimit) -> None:
    assert keep_limit(text) == limit


@pytest.mark.parametrize("text", ["", "d", "-1", "1,2", "3d,4d", "1.5d", "many", "²", "30m"])
def test_anything_else_is_wrong_use(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([f"--keep-limit={text}", "--lang", "en"])
    assert ended.value.code == 2
    assert "is not a limit" in capsys.readouterr().err


# --- export ----------------------------------------------------------------------------------


def test_the_events_are_exported_as_json_lines_while_a_server_uses_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "room.db"
    fill(path, "hello", "привет")
    with KeptFile(path):
        assert main(["--keep", str(path), "--export", "-"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert json.loads(lines[1]) == {
        "event": "chat", "seq": 2, "time": 1_700_000_000.0, "name": "Anna", "text": "привет"
    }  # fmt: skip
    assert len(lines) == 2


def test_the_events_are_exported_as_text_into_a_file(tmp_path: Path) -> None:
    fill(tmp_path / "room.db", "hello", "there")
    out = tmp_path / "room.txt"
    arguments = ["--keep", str(tmp_path / "room.db"), "--export", str(out), "--text"]
    assert main(arguments) == 0
    assert out.read_text(encoding="utf-8") == "Anna: hello\nAnna: there\n"


@pytest.mark.parametrize("more", [[], ["--text"]])
def test_who_can_take_the_room_over_is_not_exported(
    more: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fill(tmp_path / "room.db", "hello")
    name_successors(tmp_path / "room.db", 2)
    assert main(["--keep", str(tmp_path / "room.db"), "--export", "-", *more]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert "hello" in line


def test_a_file_is_not_exported_over_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "room.db"
    fill(path, "hello")
    assert main(["--keep", str(path), "--export", str(path), "--lang", "en"]) == 1
    assert "to itself" in capsys.readouterr().err
    assert texts_in(path) == ["hello"]


def test_what_does_not_exist_is_not_exported_nor_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--keep", str(tmp_path / "room.db"), "--export", str(tmp_path / "out")]
    assert main([*arguments, "--lang", "en"]) == 1
    assert "there is no such file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_export_without_a_file_is_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["--export", "-", "--lang", "en"])
    assert ended.value.code == 2
    assert "--export needs --keep FILE" in capsys.readouterr().err
