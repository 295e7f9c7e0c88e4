"""The file of a room that keeps: an SQLite database with what outlives the server's process.

`KeptFile` writes the `Changes` of each wake-up in one transaction, before the room's answers go
out (udp_server.py). It reads them together as a `Kept`, from which a room begins again (kept.py).

The database is in WAL mode with synchronous=FULL: a transaction that is committed is on the disk.
So neither kill -9 nor a power cut takes back what was accepted, as long as the disk does not lie
about having written. It costs one flush of the disk for each wake-up that accepted something.

While it is open, the file has a neighbour whose name ends in `-lock`, by which a second server sees
that it is in use; and SQLite's own `-wal` and `-shm`. Readers are never kept out.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from udp_chat.protocol.packets import ChatError, Event, EventKind, MalformedDatagram
from udp_chat.protocol.wire import Parser
from udp_chat.server.kept import Changes, Kept, KeptMember
from udp_chat.server.register import REMEMBERED_MAX

APPLICATION_ID = 0x55434854
"""The ASCII letters "UCHT": what SQLite and `file` tell such a file by."""

FORMAT = 1
"""The version of the tables below. A program reads no file with a larger one."""

SPARE_BYTES = 256 * 1024
"""After the disk was full, the room goes on once so much fits: else it would be full at once."""

TABLES = """
CREATE TABLE room (epoch BLOB NOT NULL);
CREATE TABLE events (seq INTEGER PRIMARY KEY, event BLOB NOT NULL);
CREATE TABLE members (
    number INTEGER PRIMARY KEY, client_key BLOB NOT NULL, name TEXT NOT NULL,
    appended INTEGER NOT NULL, joined_seq INTEGER NOT NULL, left_seq INTEGER NOT NULL,
    inbox_epoch BLOB NOT NULL, inbox_acked INTEGER NOT NULL, inbox_latest INTEGER NOT NULL);
CREATE TABLE unread (
    number INTEGER, seq INTEGER, event BLOB NOT NULL, PRIMARY KEY (number, seq)) WITHOUT ROWID;
CREATE TABLE shown (number INTEGER PRIMARY KEY, line TEXT NOT NULL);
CREATE TABLE spare (bytes BLOB);
"""

PUT_MEMBER = """
INSERT INTO members VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (number) DO UPDATE SET
    name = excluded.name, appended = excluded.appended, joined_seq = excluded.joined_seq,
    left_seq = excluded.left_seq, inbox_epoch = excluded.inbox_epoch,
    inbox_acked = excluded.inbox_acked, inbox_latest = excluded.inbox_latest
"""


FORGET_MEMBERS = """
DELETE FROM members WHERE left_seq > 0 AND number < (SELECT max(number) FROM members) AND (
    left_seq < (SELECT min(seq) FROM events) AND number NOT IN (SELECT number FROM unread)
    OR number IN (
        SELECT number FROM members WHERE left_seq > 0
        ORDER BY left_seq DESC, number DESC LIMIT -1 OFFSET ?))
"""
"""Forgets clients that are gone: those of whom no event is kept and for whom nothing waits, and the
first of too many. The newest number stays, so that it is not given again."""


class CannotKeep(ChatError):
    """A file cannot be used, or not be written. `reason` names a sentence."""

    def __init__(self, reason: str, text: str = "") -> None:
        super().__init__(text or reason)
        self.reason = reason
        self.text = text


@dataclass(frozen=True, slots=True)
class KeepLimit:
    """How much a file keeps; 0 for no limit. The newest event always stays."""

    events_max: int = 1_000_000
    """Some 150 MB, and more than a room says in years."""
    age_seconds: int = 0
    gone_max: int = REMEMBERED_MAX
    """Clients that are gone: as many as a room remembers, and 1 in 20 more between two looks."""


class KeptFile:
    """The file of one room, for one server. A context manager.

    One thread may use it at a time. Every method raises `CannotKeep`.
    """

    def __init__(self, path: str | Path, limit: KeepLimit | None = None) -> None:
        """Opens the file, or makes a new one."""
        self._path = Path(path)
        self._limit = limit or KeepLimit()
        self._oldest_time_ms: int | None = None
        """Of the oldest event in the file, where that is known."""
        self._gone_written: int | None = None
        """Since those who are gone were last forgotten; None if that was before this process."""
        self._has_lines = False
        self._lock: sqlite3.Connection | None = None
        self._database: sqlite3.Connection | None = None
        existed, self._is_begun = self._path.exists(), False
        try:
            with reasons():
                self._open()
        except BaseException as error:
            self.close()
            if self._is_begun:
                self._take_back(existed=existed)
            if isinstance(error, CannotKeep) and error.reason == "keep_failed" and self._is_full():
                raise CannotKeep("keep_full", error.text) from error  # "disk I/O error" to SQLite
            raise

    def _take_back(self, *, existed: bool) -> None:
        """Leaves nothing of a new file that could not be made."""
        for beside in ("-wal", "-shm"):
            Path(f"{self._path}{beside}").unlink(missing_ok=True)
        if existed:  # and was empty
            os.truncate(self._path, 0)
        else:
            self._path.unlink()

    def _is_full(self) -> bool:
        with contextlib.suppress(OSError):
            return shutil.disk_usage(self._path.parent).free < SPARE_BYTES
        return False

    def _open(self) -> None:
        path = self._path
        if path.is_dir():
            raise CannotKeep("keep_folder")
        is_new = not path.exists() or path.stat().st_size == 0
        if not is_new:
            check(path)
            if not os.access(path, os.W_OK):
                raise CannotKeep("keep_read_only")
        if path.parent.is_dir() and not os.access(path.parent, os.W_OK):
            raise CannotKeep("keep_folder_read_only")
        self._lock = connect(Path(f"{path}-lock"))
        self._lock.execute("BEGIN EXCLUSIVE")
        if is_new:  # what is said in private is in it, too
            self._is_begun = True
            os.close(os.open(path, os.O_CREAT | os.O_RDWR, 0o600))
        self._database = connect(path)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = FULL")
        if is_new:
            self._database.executescript(
                f"BEGIN; PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
                f"{TABLES} COMMIT;"
            )

    def __enter__(self) -> KeptFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the file. Harmless if it is closed."""
        for database in (self._database, self._lock):
            if database is not None:
                with contextlib.suppress(sqlite3.Error):
                    database.close()
        if self._lock is not None:
            with contextlib.suppress(OSError):
                Path(f"{self._path}-lock").unlink()
        self._database = self._lock = None

    def read(self, events_max: int) -> Kept | None:
        """The room as it was kept, with so many of its newest events; None if there was none."""
        with reasons():
            database = self._database
            assert database is not None
            row = database.execute("SELECT epoch FROM room").fetchone()
            if row is None:
                return None
            rows = database.execute(
                "SELECT seq, event FROM events ORDER BY seq DESC LIMIT ?", (events_max,)
            ).fetchall()
            rows.reverse()
            members = [
                _kept_member(each)
                for each in database.execute("SELECT * FROM members ORDER BY left_seq, number")
            ]
            unread: dict[int, dict[int, bytes]] = {}
            for number, seq, event in database.execute("SELECT number, seq, event FROM unread"):
                unread.setdefault(number, {})[seq] = event
        first_seq = rows[0][0] if rows else 1
        number = max((member.number for member in members), default=0)
        epoch = int.from_bytes(row[0], "big")
        return Kept(epoch, first_seq, [event for _, event in rows], number, members, unread)

    def write(self, changes: Changes) -> None:
        """Writes all of it to the disk, or nothing."""
        with self._transaction() as database:
            self._write(database, changes)

    def add_line(self, line: str) -> None:
        """Keeps a line that a guest in a room was shown. A power cut may lose the newest ones."""
        if not self._has_lines and self._database is not None:
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._has_lines = True
        with self._transaction() as database:
            cursor = database.execute("INSERT INTO shown (line) VALUES (?)", (line,))
            if self._limit.events_max:
                until = (cursor.lastrowid or 0) - self._limit.events_max
                database.execute("DELETE FROM shown WHERE number <= ?", (until,))

    def newest_lines(self, count: int) -> list[str]:
        """The newest lines that were added, so many of them at most, oldest first."""
        with reasons():
            assert self._database is not None
            rows = self._database.execute(
                "SELECT line FROM shown ORDER BY number DESC LIMIT ?", (count,)
            ).fetchall()
        return [line for (line,) in reversed(rows)]

    def try_to_write(self) -> None:
        """Finds out whether the disk has space for more than a message or two."""
        if self._database is not None:
            with contextlib.suppress(sqlite3.Error):  # what follows finds out
                self._database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with self._transaction() as database:
            database.execute("INSERT INTO spare VALUES (zeroblob(?))", (SPARE_BYTES,))
        with self._transaction() as database:
            database.execute("DELETE FROM spare")

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with reasons():
            database = self._database
            assert database is not None
            try:
                database.execute("BEGIN IMMEDIATE")
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise

    def _write(self, database: sqlite3.Connection, changes: Changes) -> None:
        if database.execute("SELECT 1 FROM room").fetchone() is None:
            database.execute("INSERT INTO room VALUES (?)", (changes.epoch.to_bytes(8, "big"),))
        database.executemany(
            "INSERT INTO events VALUES (?, ?)", enumerate(changes.events, changes.first_seq)
        )
        for each in changes.members:
            values = (
                *(each.number, each.client_key, each.name, each.appended),
                *(each.joined_seq, each.left_seq, each.inbox_epoch.to_bytes(8, "big")),
                *(each.inbox_acked, each.inbox_latest),
            )
            database.execute(PUT_MEMBER, values)
            database.execute(
                "DELETE FROM unread WHERE number = ? AND seq <= ?", (each.number, each.inbox_acked)
            )
        database.executemany("INSERT INTO unread VALUES (?, ?, ?)", changes.unread)
        if changes.events:
            latest = changes.first_seq + len(changes.events) - 1
            self._forget(database, latest, time_ms_of(changes.events[-1]))
        self._forget_members(database, sum(each.left_seq > 0 for each in changes.members))

    def _forget(self, database: sqlite3.Connection, latest: int, now_ms: int) -> None:
        """Deletes what is beyond the limit. SQLite uses the space again."""
        limit = self._limit
        if limit.events_max and latest > limit.events_max:
            until = latest - limit.events_max
            database.execute("DELETE FROM events WHERE seq <= ?", (until,))
        if not limit.age_seconds:
            return
        before_ms = now_ms - 1000 * limit.age_seconds
        if self._oldest_time_ms is not None and self._oldest_time_ms >= before_ms:
            return
        for seq, event in database.execute("SELECT seq, event FROM events ORDER BY seq"):
            self._oldest_time_ms = time_ms_of(event)
            if seq == latest or self._oldest_time_ms >= before_ms:
                database.execute("DELETE FROM events WHERE seq < ?", (seq,))
                return

    def _forget_members(self, database: sqlite3.Connection, gone: int) -> None:
        """Bounds the clients that are gone, now and then: it looks at all of them."""
        most = self._limit.gone_max
        if self._gone_written is not None:
            self._gone_written += gone
            if self._gone_written < max(1, most // 20):
                return
        self._gone_written = 0
        database.execute(FORGET_MEMBERS, (most,))
        database.execute("DELETE FROM unread WHERE number NOT IN (SELECT number FROM members)")


def _kept_member(row: tuple[Any, ...]) -> KeptMember:
    number, key, name, appended, joined_seq, left_seq, inbox_epoch, acked, latest = row
    epoch = int.from_bytes(inbox_epoch, "big")
    return KeptMember(number, key, name, appended, joined_seq, left_seq, epoch, acked, latest)


def time_ms_of(event: bytes) -> int:
    """The Unix time of an encoded event."""
    time_ms: int = Event.LAYOUT.unpack_from(event)[4]
    return time_ms


def kept_events(path: str | Path) -> Iterator[tuple[int, Event]]:
    """The events in a file with their numbers, the oldest first. A server may be using the file.

    Who can take the room over is not among them: no client is shown that. Raises `CannotKeep`.
    """
    path = Path(path)
    with reasons():
        if not path.exists():
            raise CannotKeep("keep_missing")
        if path.is_dir():
            raise CannotKeep("keep_folder")
        check(path)
        # Only who may write can take away what SQLite puts beside the file for its readers.
        how = "mode=rw" if os.access(path, os.W_OK) else "mode=ro"
        with contextlib.closing(_connect_to_read(path, how)) as database:
            yield from _shown(database.execute("SELECT seq, event FROM events ORDER BY seq"))


def newest_events(path: str | Path, count: int) -> list[tuple[int, Event]]:
    """The newest events in a file that is in use, so many of them at most, oldest first.

    Raises `CannotKeep`.
    """
    with reasons(), contextlib.closing(_connect_to_read(Path(path), "mode=ro")) as database:
        rows = database.execute("SELECT seq, event FROM events ORDER BY seq DESC")
        return list(islice(_shown(rows), count))[::-1]


def _shown(rows: Iterable[tuple[int, bytes]]) -> Iterator[tuple[int, Event]]:
    for seq, encoded in rows:
        event = Event.parse(Parser(encoded, 0))
        if event.kind is not EventKind.SUCCESSORS:
            yield seq, event


def connect(path: Path) -> sqlite3.Connection:
    """A connection without transactions of its own, which waits for nobody."""
    return sqlite3.connect(path, isolation_level=None, timeout=0.0, check_same_thread=False)


def _connect_to_read(path: Path, how: str) -> sqlite3.Connection:
    """A connection that writes nothing; `how` is what SQLite is told in the URI."""
    uri = f"{path.absolute().as_uri()}?{how}"
    database = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0)
    database.execute("PRAGMA query_only = ON")
    return database


def check(path: Path) -> None:
    """Raises `CannotKeep` if a file is none of ours, or of a newer format. It writes nothing."""
    # Where nobody uses the file, SQLite makes no files beside it either.
    how = "mode=ro" if Path(f"{path}-wal").exists() else "mode=ro&immutable=1"
    with contextlib.closing(_connect_to_read(path, how)) as database:
        (application,) = database.execute("PRAGMA application_id").fetchone()
        (written_as,) = database.execute("PRAGMA user_version").fetchone()
        if application != APPLICATION_ID:
            raise CannotKeep("keep_not_ours")
        if written_as > FORMAT:
            raise CannotKeep("keep_newer")
        (problem,) = database.execute("PRAGMA quick_check(1)").fetchone()
        if problem != "ok":
            raise CannotKeep("keep_corrupt")


@contextlib.contextmanager
def reasons() -> Iterator[None]:
    """Says by `CannotKeep` what SQLite and the system say."""
    try:
        yield
    except sqlite3.Error as error:
        text = str(error)
        for words, reason in (
            ("locked", "keep_locked"),
            ("is full", "keep_full"),
            ("readonly", "keep_read_only"),
            ("not a database", "keep_not_ours"),
            ("malformed", "keep_corrupt"),
        ):
            if words in text:
                raise CannotKeep(reason, text) from error
        raise CannotKeep("keep_failed", text) from error
    except MalformedDatagram as error:
        raise CannotKeep("keep_corrupt") from error
    except OSError as error:
        raise CannotKeep("keep_failed", error.strerror or str(error)) from error
