"""A room whose file cannot be written: nothing is accepted, and all see why, until it can."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import pytest

from tests.app.test_export import fill
from tests.kills import messages_in
from tests.processes import WAIT_SECONDS, Client, Server
from udp_chat.app.lines import event_line
from udp_chat.app.server_command import main
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.udp_client import JoinFailed, UdpClient
from udp_chat.server.keeping import CannotKeep, KeptFile
from udp_chat.server.kept import Changes
from udp_chat.server.udp_server import UdpServer


class Disk(KeptFile):
    """A file on a disk that may be full."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.is_full = False

    def __enter__(self) -> Disk:
        return self

    def write(self, changes: Changes) -> None:
        if self.is_full:
            raise CannotKeep("keep_full")
        super().write(changes)

    def try_to_write(self) -> None:
        if self.is_full:
            raise CannotKeep("keep_full")
        super().try_to_write()


class Person:
    """A client, and what it was shown."""

    def __init__(self, server: UdpServer, name: str) -> None:
        self.events: list[ChatEvent] = []
        self._changed = threading.Condition()
        self.client = UdpClient(server.address, name, self._show)

    def _show(self, event: ChatEvent) -> None:
        with self._changed:
            self.events.append(event)
            self._changed.notify_all()

    def __enter__(self) -> Person:
        self.client.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.client.close()

    def wait(self, kind: str, **fields: object) -> None:
        def has_come() -> bool:
            return any(
                event["event"] == kind and fields.items() <= event.items() for event in self.events
            )

        with self._changed:
            assert self._changed.wait_for(has_come, WAIT_SECONDS), self.events

    def said(self) -> list[str]:
        return [event["text"] for event in self.events if event["event"] == "chat"]


def test_while_the_disk_is_full_nothing_is_accepted_and_all_see_why(tmp_path: Path) -> None:
    with (
        Disk(tmp_path / "room.db") as file,
        UdpServer("127.0.0.1", 0, kept_file=file) as server,
        Person(server, "Anna") as anna,
        Person(server, "Boris") as boris,
    ):
        anna.client.say("before")
        boris.wait("chat", text="before")
        file.is_full = True
        anna.client.say("meanwhile")
        for person in (anna, boris):
            person.wait("notice", reason="disk_full")
            assert person.said() == ["before"]
        assert not anna.client.flush(0.05), "it waits at the speaker"
        file.is_full = False
        for person in (anna, boris):
            person.wait("notice", reason="kept_again")
            person.wait("chat", text="meanwhile")
        assert anna.client.flush(WAIT_SECONDS)
        for person in (anna, boris):
            assert person.said() == ["before", "meanwhile"]
            kinds = {event["event"] for event in person.events}
            assert not kinds & {"lost", "reconnecting", "leave"}
    assert [text for _, _, text in messages_in(tmp_path / "room.db")] == ["before", "meanwhile"]


def test_a_member_that_leaves_meanwhile_is_gone_once_there_is_space(tmp_path: Path) -> None:
    with (
        Disk(tmp_path / "room.db") as file,
        UdpServer("127.0.0.1", 0, kept_file=file) as server,
        Person(server, "Anna") as anna,
    ):
        with Person(server, "Boris"):
            anna.wait("join", name="Boris")
            file.is_full = True
            anna.client.say("meanwhile")
            anna.wait("notice", reason="disk_full")
        file.is_full = False
        anna.wait("leave", name="Boris")


def test_a_newcomer_meanwhile_reads_why_nobody_may_join(tmp_path: Path) -> None:
    with (
        Disk(tmp_path / "room.db") as file,
        UdpServer("127.0.0.1", 0, kept_file=file) as server,
        Person(server, "Anna") as anna,
    ):
        file.is_full = True
        anna.client.say("meanwhile")
        anna.wait("notice", reason="disk_full")
        boris = UdpClient(
            server.address, "Boris", join_timeout_seconds=0.2, heard_timeout_seconds=0.2
        )
        with pytest.raises(JoinFailed) as failed:
            boris.start()
        file.is_full = False  # Anna need not wait for her message when she leaves
    refused: ChatEvent = {"event": "refused", "reason": failed.value.reason}
    refused["text"] = str(failed.value)
    assert event_line(refused, "en") == (
        "! The server refused: the server cannot write its file: try again later"
    )
    assert "не может писать в свой файл" in (event_line(refused, "ru") or "")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB, where one may be mounted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("nothing may be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


SPACES = [*range(0, 64, 4), 96, 128]
"""KiB that are left on the disk. SQLite fails in another way with each."""


def why_unusable(path: Path) -> str:
    """Why a file cannot be opened to keep a room; empty if it can."""
    try:
        KeptFile(path).close()
    except CannotKeep as error:
        return error.reason
    return ""


def said_at_the_start(path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the server's command says of a file that it cannot use."""
    assert main(["--port", "0", "--no-discovery", "--keep", str(path), "--lang", "en"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    return captured.err


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_that_is_full_at_the_start_is_named_and_nothing_is_left_behind(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ballast, path = small_disk / "ballast", small_disk / "room.db"
    sentence = f"Cannot keep a room in {path}: the disk is full."
    reasons = []
    for space in SPACES:
        ballast.write_bytes(b"x" * (4096 - space) * 1024)
        reasons.append(why_unusable(path))
        if reasons[-1]:
            assert [each.name for each in small_disk.iterdir()] == ["ballast"], space
        else:
            path.unlink()
    assert set(reasons) == {"keep_full", ""}
    ballast.write_bytes(b"x" * 4088 * 1024)
    assert said_at_the_start(path, capsys).startswith(sentence)
    path.touch()
    assert said_at_the_start(path, capsys).startswith(sentence)
    assert path.read_bytes() == b"", "a file that was there stays"


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_room_on_a_disk_that_is_full_at_the_start_is_not_damaged(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = small_disk / "room.db"
    fill(path, "hello")
    before = path.read_bytes()
    ballast = small_disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as stream:
        while stream.write(bytes(4096)):
            pass
    assert "the disk is full" in said_at_the_start(path, capsys)
    assert path.read_bytes() == before
    assert {each.name for each in small_disk.iterdir()} == {"ballast", "room.db"}


@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_read_only_file_or_folder_is_named_and_not_changed(
    small_disk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole disk is read-only: root may write into anything else."""
    path = small_disk / "room.db"
    fill(path, "hello")
    before = path.read_bytes()
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert f"{path}: the file is read-only" in said_at_the_start(path, capsys)
    new = small_disk / "new.db"
    assert f"{new}: its folder is read-only" in said_at_the_start(new, capsys)
    assert path.read_bytes() == before
    assert [each.name for each in small_disk.iterdir()] == ["room.db"]


@pytest.mark.slow  # it fills a disk, and waits until the server has tried again
@pytest.mark.skipif(sys.platform != "linux", reason="mounts a tmpfs")
def test_a_disk_that_is_really_full(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    texts = [f"{number} {'x' * 500}" for number in range(400)]
    with Server("--keep", str(small_disk / "room.db")) as server:
        with Client(f"127.0.0.1:{server.port}", "Anna") as anna:
            ballast.write_bytes(b"x" * 3_700_000)
            anna.say(*texts)
            anna.wait_event("notice", reason="disk_full")
            ballast.unlink()
            anna.wait_event("notice", reason="kept_again")
            anna.wait_event("chat", text=texts[-1])
            anna.end_input()
            assert anna.wait() == 0
            assert [text for _, _, text in anna.chat()] == texts
            assert anna.events("lost") == anna.events("reconnecting") == []
        server.kill()
    assert [text for _, _, text in messages_in(small_disk / "room.db")] == texts
