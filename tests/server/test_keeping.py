"""A room that is kept: another process begins it again, and nobody sees a seam."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kills import kill_often
from tests.machines import Peer, RoomBench, Sent, of_type
from udp_chat.protocol.packets import Bye, ByeReason, MessageKind, Welcome
from udp_chat.server.keeping import KeepLimit, KeptFile
from udp_chat.server.room import ChatRoom


class KeptBench(RoomBench):
    """A room whose wake-ups are kept in a file before they are sent."""

    def __init__(self, file: KeptFile) -> None:
        super().__init__()
        self.file = file
        self.room.keep(None)

    def wake(self) -> list[Sent]:
        self.room.handle_timeout(self.now)
        notebook = self.room.notebook
        assert notebook is not None
        changes = notebook.changes()
        if changes is not None:
            self.file.write(changes)
            notebook.note_kept()
        return super().wake()

    def restart(self) -> None:
        """Another process begins the room; of this one nothing is left but the file."""
        self.now += 1.0
        self.room = ChatRoom(self.settings, random.Random(99), self.now)
        self.room.keep(self.file.read(self.settings.log_entries_max))


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[KeptBench]:
    with KeptFile(tmp_path / "room.db") as file:
        yield KeptBench(file)


def come_back(peer: Peer, room_ack: int, inbox_ack: int) -> Welcome:
    return peer.resume(room_ack=room_ack, inbox_ack=inbox_ack, epoch=peer.epoch)


def test_a_client_continues_in_a_restarted_room_where_it_was(bench: KeptBench) -> None:
    anna, boris = bench.join("Anna"), bench.join("Boris")
    boris.say("one", "two")
    before, epoch, number = bench.lines(), bench.room.log.epoch, anna.member.number
    bench.restart()
    assert bench.room.log.epoch == epoch
    assert bench.names() == ["Anna", "Boris"]
    (bye,) = of_type(Bye, anna.status(room_ack=3, inbox_ack=1))
    assert bye.reason == ByeReason.UNKNOWN_SESSION
    welcome = come_back(anna, room_ack=3, inbox_ack=1)
    assert (welcome.start, welcome.member, welcome.inbox_start) == (4, number, 2)
    assert bench.lines() == before, "no join, no leave"
    assert "two" in anna.shown(bench.sent)


def test_a_message_is_appended_once_whatever_process_gets_it(bench: KeptBench) -> None:
    anna = bench.join("Anna")
    say = anna.say_packet("once")
    anna.send(say)
    bench.restart()
    welcome = anna.resume(room_ack=1, inbox_ack=1, epoch=anna.epoch, next_message_id=1)
    assert welcome.received == 1
    anna.say("once", "and then", first=1)
    assert bench.texts() == ["once", "and then"]


def test_a_client_that_was_gone_before_the_restart_is_known_too(bench: KeptBench) -> None:
    anna, boris = bench.join("Anna"), bench.join("Boris")
    boris.say("mine")
    number = boris.member.number
    boris.leave()
    bench.restart()
    bench.now += 1.0
    welcome = boris.resume(room_ack=2)
    assert (welcome.member, welcome.received) == (number, 1)
    assert come_back(anna, room_ack=2, inbox_ack=1).member == 1
    assert bench.join("Clara").member.number == 3


def test_a_private_message_waits_in_the_file_until_it_is_read(bench: KeptBench) -> None:
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    bench.restart()
    already = len(bench.sent)
    assert come_back(boris, room_ack=2, inbox_ack=1).inbox_start == 2
    assert boris.shown(bench.sent[already:], inbox=True) == ["psst", "2 0\nAnna\nBoris"]
    boris.status()
    bench.join("Clara")  # what is read goes out of the file together with something else
    bench.restart()
    already = len(bench.sent)
    assert come_back(boris, room_ack=3, inbox_ack=3).inbox_start == 4
    assert "psst" not in boris.shown(bench.sent[already:], inbox=True)


def test_the_sender_learns_that_a_message_was_not_read_in_either_process(
    bench: KeptBench,
) -> None:
    anna, _ = bench.join("Anna"), bench.join("Boris")
    anna.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    bench.restart()
    come_back(anna, room_ack=2, inbox_ack=2)
    sent = bench.keep_alive(bench.settings.timeout_seconds + 1.0, anna)
    assert "not_delivered_yet" in anna.shown(sent, inbox=True)
    assert bench.names() == ["Anna"]
    assert bench.lines()[-1] == "Boris leave timeout"


def test_a_newcomer_is_shown_what_was_said_before_the_restart(bench: KeptBench) -> None:
    anna = bench.join("Anna")
    anna.say("one", "two")
    for number in range(bench.settings.history_events):
        bench.join(f"Guest{number}").leave()
    bench.restart()
    assert bench.peer("Boris").enter().start == 2


def test_a_member_that_is_away_is_sent_nothing(bench: KeptBench) -> None:
    anna, _ = bench.join("Anna"), bench.join("Boris")
    bench.restart()
    come_back(anna, room_ack=2, inbox_ack=1)
    anna.say("hello")
    sent = bench.advance(5.0)
    assert {entry.address for entry in [*bench.sent, *sent]} >= {anna.address}
    assert all(entry.address for entry in [*bench.sent, *sent])


def numbers_in(file: KeptFile) -> list[int]:
    kept = file.read(10_000)
    assert kept is not None
    return sorted(member.number for member in kept.members)


def test_the_file_forgets_who_is_gone_with_all_that_is_kept_of_them(tmp_path: Path) -> None:
    limit = KeepLimit(events_max=4, gone_max=20)
    with KeptFile(tmp_path / "room.db", limit) as file:
        bench = KeptBench(file)
        anna = bench.join("Anna")
        for name in ("Boris", "Clara", "Dora"):
            bench.join(name).leave()
        assert numbers_in(file) == [1, 3, 4], "of Clara the leaving is kept, of Boris nothing"
        anna.say("one", "two", "three", "four")
        bench.join("Emma").leave()
        assert numbers_in(file) == [1, 5]
        bench.restart()
        assert bench.join("Fritz").member.number == 6


def test_the_file_keeps_as_many_who_are_gone_as_a_room_remembers(tmp_path: Path) -> None:
    with KeptFile(tmp_path / "room.db", KeepLimit(gone_max=3)) as file:
        bench = KeptBench(file)
        anna = bench.join("Anna")
        boris, *others, fritz = map(bench.join, ("Boris", "Clara", "Dora", "Emma", "Fritz"))
        for peer in (fritz, boris, *others):
            peer.leave()
        anna.say("hello")
        assert numbers_in(file) == [1, 3, 4, 5, 6], "without Boris; the newest number stays"


def test_the_file_does_not_forget_for_whom_something_waits(tmp_path: Path) -> None:
    with KeptFile(tmp_path / "room.db", KeepLimit(events_max=2)) as file:
        bench = KeptBench(file)
        anna, _ = bench.join("Anna"), bench.join("Boris")
        anna.say("psst", kind=MessageKind.PRIVATE, to="Boris")
        bench.keep_alive(bench.settings.timeout_seconds + 1.0, anna)
        bench.join("Clara")
        anna.say("one", "two", "three", first=2)
    with KeptFile(tmp_path / "room.db", KeepLimit(events_max=2)) as bench.file:
        anna.say("four", first=5)  # the first that another process writes
        assert numbers_in(bench.file) == [1, 2, 3]


def test_a_killed_server_continues_and_everybody_sees_the_same(tmp_path: Path) -> None:
    outcome = kill_often(tmp_path, 1, random.Random(1))
    assert outcome.problems() == []
    assert len(outcome.kept) == 33


@pytest.mark.slow  # starts six servers and three clients, one after another
def test_a_server_may_be_killed_again_and_again(tmp_path: Path) -> None:
    outcome = kill_often(tmp_path, 5, random.Random(2))
    assert outcome.problems() == []
