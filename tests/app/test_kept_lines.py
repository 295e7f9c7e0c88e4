"""`udp_client.py --keep`: /history reaches back beyond what this process was shown."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from tests.app.test_export import fill, name_successors
from tests.processes import Program, Server
from udp_chat.app.conversation import Conversation
from udp_chat.app.kept_lines import RoomLines, ShownLines
from udp_chat.server.keeping import CannotKeep, KeepLimit, KeptFile


def no_failure(error: CannotKeep) -> None:
    raise AssertionError(error)


def test_what_a_guest_was_shown_is_there_on_the_next_day(tmp_path: Path) -> None:
    with KeptFile(tmp_path / "chat.db") as file:
        for line in ("one", "two", "three"):
            ShownLines(file, no_failure).add(line)
    with KeptFile(tmp_path / "chat.db") as file:
        lines = ShownLines(file, no_failure)
        assert lines.newest(2) == ["two", "three"]
        lines.add("four")
        assert lines.newest(100) == ["one", "two", "three", "four"]


def test_so_many_lines_are_kept(tmp_path: Path) -> None:
    with KeptFile(tmp_path / "chat.db", KeepLimit(events_max=2)) as file:
        lines = ShownLines(file, no_failure)
        for line in ("one", "two", "three"):
            lines.add(line)
        assert lines.newest(100) == ["two", "three"]


def test_a_file_that_takes_no_more_is_told_of_once(tmp_path: Path) -> None:
    failures: list[CannotKeep] = []
    with KeptFile(tmp_path / "chat.db") as file:
        lines = ShownLines(file, failures.append)
        lines.add("one")
        with KeptFileInTheWay(tmp_path / "chat.db"):
            lines.add("two")
            lines.add("three")
        assert [error.reason for error in failures] == ["keep_locked"]
        assert lines.newest(100) == ["one"]


class KeptFileInTheWay:
    """Another program that writes into the file."""

    def __init__(self, path: Path) -> None:
        self._database = sqlite3.connect(path, isolation_level=None)

    def __enter__(self) -> None:
        self._database.execute("BEGIN IMMEDIATE")

    def __exit__(self, *_: object) -> None:
        self._database.close()


def test_the_host_of_a_room_sees_what_the_room_keeps(tmp_path: Path) -> None:
    fill(tmp_path / "room.db", "hello", "there")
    name_successors(tmp_path / "room.db", 3)
    with KeptFile(tmp_path / "room.db"):
        lines = RoomLines(str(tmp_path / "room.db"), "en")
        assert lines.newest(1) == ["Anna: there"]
        assert lines.newest(100) == ["Anna: hello", "Anna: there"]


def test_history_shows_what_an_earlier_client_was_shown(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with KeptFile(path) as file:
        ShownLines(file, no_failure).add("Boris: it was yesterday")
    with Server() as server:
        where = f"127.0.0.1:{server.port}"
        arguments = ("--keep", str(path), "--name", "Anna", "--commands")
        with Program("udp_client.py", where, *arguments) as client:
            client.say("/history 100")
            client.end_input()
            client.output.until_end()
            assert "it was yesterday" in client.complaint()
            assert client.wait() == 0


def test_a_client_whose_file_cannot_be_used_says_so_and_does_not_join(tmp_path: Path) -> None:
    with Program("udp_client.py", "127.0.0.1", "--keep", str(tmp_path)) as client:
        assert "it is a folder" in client.complaint()
        assert client.wait() == 1


def test_a_person_is_told_once_that_the_file_of_the_room_ends_when_it_moves(
    capsys: pytest.CaptureFixture[str],
) -> None:
    conversation = Conversation("en")
    conversation.room_file = "room.db"
    for name in ("", "Boris", "Anna"):
        conversation.show({"event": "host", "name": name, "address": "192.0.2.1:9091"})
    assert capsys.readouterr().err.count("room.db keeps nothing") == 1
