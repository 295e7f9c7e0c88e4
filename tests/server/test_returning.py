"""Who comes back gets all that was said since: after a restart, after a timeout, after being led
astray. Only a newcomer is shown a part of what was before, as history."""

from __future__ import annotations

import pytest

from tests.machines import Peer, RoomBench
from tests.simulated.simulated_network import Faults, Partition, SimulatedNetwork, User
from udp_chat.protocol.packets import EventKind, MessageKind
from udp_chat.server.settings import RoomSettings

HISTORY = 5
LINES = 40


def _room_with_lines() -> tuple[RoomBench, Peer]:
    """A room in which more was said than a newcomer is shown."""
    bench = RoomBench(RoomSettings(history_events=HISTORY))
    anna = bench.join("Anna")
    for number in range(LINES):
        anna.say(f"line {number}")
        anna.status()
    return bench, anna


def test_who_was_in_before_the_server_was_restarted_gets_the_whole_new_log() -> None:
    bench, _ = _room_with_lines()
    welcome = bench.peer("Boris").enter(epoch=77, room_ack=1000, inbox_epoch=78, inbox_ack=9)
    assert welcome.start == 1


def test_of_a_log_that_has_forgotten_its_beginning_the_rest_comes() -> None:
    bench = RoomBench(RoomSettings(history_events=HISTORY, log_entries_max=20))
    anna = bench.join("Anna")
    for number in range(LINES):
        anna.say(f"line {number}")
        anna.status()
    welcome = bench.peer("Boris").enter(epoch=77, room_ack=3)
    assert welcome.start == welcome.oldest > 1


def test_a_newcomer_gets_the_newest_part_as_history() -> None:
    bench, _ = _room_with_lines()
    welcome = bench.peer("Boris").enter()
    assert welcome.start == welcome.joined - HISTORY


def test_joins_and_leaves_take_nothing_from_the_history_of_a_newcomer() -> None:
    bench, _ = _room_with_lines()
    said_last = bench.room.log.latest
    for number in range(2 * HISTORY):
        bench.join(f"Guest{number}").leave()
    welcome = bench.peer("Boris").enter()
    assert welcome.start == said_last - HISTORY + 1


def test_a_repeated_join_to_a_restarted_server_begins_where_the_first_one_did() -> None:
    bench, _ = _room_with_lines()
    boris = bench.peer("Boris")
    boris.enter(epoch=77, room_ack=1000)
    again = boris.enter(epoch=77, room_ack=1000)
    assert again.start == 1


@pytest.mark.parametrize("is_forgotten", [False, True], ids=["departed", "forgotten"])
def test_who_left_this_log_and_returns_gets_exactly_what_was_missed(is_forgotten: bool) -> None:
    members_max = 2 if is_forgotten else 1000
    bench = RoomBench(RoomSettings(history_events=HISTORY, members_max=members_max))
    anna, boris = bench.join("Anna"), bench.join("Boris")
    anna.say("heard")
    boris.status()
    acknowledged = bench.room.log.latest
    boris.leave()
    for number in range(3 if is_forgotten else 0):
        bench.join(f"Passer{number}").leave()
    for number in range(LINES):
        anna.say(f"line {number}")
        anna.status()
    welcome = boris.resume(room_ack=acknowledged)
    assert (welcome.inbox_epoch != boris.inbox_epoch) is False
    assert welcome.start == acknowledged + 1


def test_an_acknowledgement_of_what_does_not_exist_is_not_taken_from_who_is_in() -> None:
    bench, anna = _room_with_lines()
    boris = bench.join("Boris")
    acknowledged = bench.room.log.latest
    inbox = boris.member.inbox.log.latest
    anna.say("not heard")
    anna.say("psst", kind=MessageKind.PRIVATE, to="Boris")
    welcome = boris.resume(room_ack=2**62, inbox_ack=2**62)
    assert (welcome.start, welcome.inbox_start) == (acknowledged + 1, inbox + 1)


def test_an_acknowledgement_of_what_does_not_exist_is_not_taken_from_who_returns() -> None:
    bench, anna = _room_with_lines()
    boris = bench.join("Boris")
    boris.leave()
    anna.say("not heard")
    welcome = boris.resume(room_ack=2**62)
    assert welcome.start == 1, "the client knows what of it is new"


def _lines(user: User) -> list[str]:
    return [event["text"] for event in user.shown.events if event["event"] == "chat"]


@pytest.mark.parametrize("seed", range(4))
def test_after_a_kill_and_a_restart_every_line_is_shown_to_every_returning_member(
    seed: int,
) -> None:
    """Some are back at once and go on talking; others find the server again later."""
    faults = Faults(loss_up=0.1, loss_down=0.1, jitter_seconds=0.01)
    network = SimulatedNetwork(seed, faults)
    users = [network.join(f"User{number}") for number in range(8)]
    network.run(4.0)
    for number in range(1, 21):
        network.say(users[number % 8], f"User{number % 8}#{number} before")
        network.run(0.1)
    network.run(2.0)
    shown_before = [len(user.shown.events) for user in users]
    network.restart_server()
    restarted_at = network.now
    for late, seconds in ((5, 12.0), (6, 20.0), (7, 25.0)):
        network.partitions.append(Partition(late, restarted_at, restarted_at + seconds))
    for number in range(21, 221):
        network.say(users[number % 5], f"User{number % 5}#{number} after")
        network.run(0.15)
    network.heal()
    log = [
        event.text
        for event in network.truth[network.room.log.epoch].values()
        if event.kind is EventKind.CHAT
    ]
    assert len(log) >= 200
    deliveries = missing = 0
    for user, before in zip(users, shown_before, strict=True):
        tail = user.shown.events[before:]
        lines = [event["text"] for event in tail if event["event"] == "chat" and "seq" in event]
        new = lines[-len(log) :]
        deliveries += len(log)
        missing += len(log) - sum(1 for line in new if line in set(log))
        assert new == log, f"{user.name} lacks {len(set(log) - set(lines))} of {len(log)}"
        assert not any(event.get("history") for event in tail), "it was said after they joined"
        assert sum(1 for event in tail if event["event"] == "lost") == 1
    print(f"{deliveries} deliveries, {missing} missing")
