"""Rooms that outlive their hosts: what must hold on a simulated network, and a judge that sees it.

The random evenings are of hosted_evenings.py; ``python3 -m tests.simulate`` runs them, too. Each
test of the judge breaks one rule of the code, and expects that an evening fails.
"""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulate import run_seeds
from tests.simulated.hosted_evenings import HostedEvening
from tests.simulated.hosted_machine import Machine
from tests.simulated.hosted_rooms import HostedRooms
from udp_chat.client.replica import Replica
from udp_chat.client.transcript import Transcript
from udp_chat.client.whereabouts import Whereabouts
from udp_chat.hosting.room_host import RoomHost
from udp_chat.protocol.lineage import Lineage
from udp_chat.server.apart import SaidHere
from udp_chat.server.fetching import Fetching

NAMES = ("Anna", "Boris", "Vera", "Gleb", "Dasha")

RECOVERIES = {
    *("took over", "took over after others", "was called", "called another", "handed on"),
    *("gathered", "gathered from another part", "apart", "fenced", "redirected"),
    *("went to another host", "came to another room", "several opened one room"),
}
"""All that may bring a room to another host, or two parts of it together."""


def room_of(count: int, seed: int = 1, **may_host: bool) -> tuple[HostedRooms, list[Machine]]:
    """A room that the first machine hosts; all are in, and the next three are its successors."""
    rooms = HostedRooms(seed)
    machines = [rooms.add(name, may_host=may_host.get(name, True)) for name in NAMES[:count]]
    rooms.open(machines[0])
    rooms.run(0.5)
    for machine in machines[1:]:
        rooms.join(machine, machines[0])
    rooms.run(3.0)
    return rooms, machines


def say_all(rooms: HostedRooms, machines: list[Machine], word: str) -> list[str]:
    """Each of them says something; returns the texts."""
    texts = [f"{word} of {machine.name}" for machine in machines]
    for machine, text in zip(machines, texts, strict=True):
        rooms.say(machine, text)
    return texts


def seconds_until_shown(rooms: HostedRooms, machines: list[Machine], texts: list[str]) -> float:
    """How long it takes until all of these machines show all of these messages."""
    return rooms.run_until(lambda: all(set(texts) <= set(m.shown.texts) for m in machines), 30.0)


def shown(machine: Machine, kind: str) -> int:
    return sum(event["event"] == kind for event in machine.shown.events)


# --- one loss after the other ----------------------------------------------------------------


def test_a_host_that_leaves_hands_the_room_on_within_a_second() -> None:
    rooms, (host, *others) = room_of(4)
    before = say_all(rooms, others, "before")
    rooms.run(0.5)
    rooms.quit(host)
    texts = say_all(rooms, others, "after")
    assert seconds_until_shown(rooms, others, texts) < 1.0
    rooms.heal()
    for machine in others:
        assert set(machine.shown.texts) == {*before, *texts}
        assert shown(machine, "reconnecting") == 0
        assert shown(machine, "host") == 2
    assert rooms.counted["handed on"] == 1


def test_a_host_that_dies_is_replaced_within_six_seconds() -> None:
    rooms, (host, *others) = room_of(4)
    rooms.crash(host)
    texts = say_all(rooms, others, "after")
    assert seconds_until_shown(rooms, others, texts) < 6.0
    rooms.heal()
    assert rooms.counted["took over"] == 1


def test_the_second_successor_takes_over_if_the_first_died_with_the_host() -> None:
    rooms, (host, first, *others) = room_of(4)
    rooms.crash(host)
    rooms.crash(first)
    texts = say_all(rooms, others, "after")
    assert seconds_until_shown(rooms, others, texts) < 6.0
    rooms.heal()
    assert rooms.counted["took over after others"] == 1


def test_a_host_that_leaves_calls_the_second_successor_if_the_first_is_silent() -> None:
    rooms, (host, first, *others) = room_of(4)
    rooms.crash(first)
    rooms.quit(host)
    texts = say_all(rooms, others, "after")
    assert seconds_until_shown(rooms, others, texts) < 4.0
    rooms.heal()
    assert rooms.counted["called another"] == 1


def test_a_new_host_gets_what_others_were_shown_before_it_goes_on() -> None:
    rooms, (host, first, *others) = room_of(4)
    rooms.part(first)
    rooms.say(others[0], "seen by some")
    rooms.run(0.1)
    rooms.groups.clear()
    rooms.crash(host)
    place = others[0].shown.texts["seen by some"]
    seconds_until_shown(rooms, [first, *others], ["seen by some"])
    assert first.shown.texts["seen by some"] == place
    rooms.heal()
    assert rooms.counted["gathered"] > 0
    assert not rooms.counted["apart"]


def test_a_host_that_slept_becomes_a_member() -> None:
    rooms, (host, *others) = room_of(4)
    rooms.freeze(host, 12.0)
    texts = say_all(rooms, others, "meanwhile")
    rooms.run(14.0)
    texts += say_all(rooms, [host, *others], "after")
    seconds_until_shown(rooms, [host, *others], texts)
    assert host.room is None
    rooms.heal()
    assert rooms.counted["fenced"] == 1


def test_two_parts_become_one_room_and_each_has_what_the_other_said() -> None:
    rooms, machines = room_of(5)
    here, there = machines[:2], machines[2:]
    rooms.part(*there)
    rooms.run(8.0)
    texts = say_all(rooms, machines, "apart")
    rooms.run(2.0)
    assert len(rooms.hosts()) == 2
    assert rooms.heal() < 15.0
    for part, other in ((here, there), (there, here)):
        for machine in part:
            own = {event["text"] for event in machine.shown.events if is_apart(event)}
            assert own <= {f"apart of {m.name}" for m in other}
            assert set(machine.shown.texts) == set(texts)
    marked = [e for m in machines for e in m.shown.events if is_apart(e)]
    assert marked


def is_apart(event: object) -> bool:
    return isinstance(event, dict) and event.get("apart") is True


def test_three_that_open_a_room_of_one_name_are_in_one_room() -> None:
    rooms = HostedRooms(1)
    machines = [rooms.add(name) for name in NAMES[:3]]
    for machine in machines:
        rooms.open(machine)
    took = rooms.run_until(lambda: rooms.judge.is_one(), 15.0)
    assert took < 5.0
    texts = say_all(rooms, machines, "together")
    seconds_until_shown(rooms, machines, texts)
    rooms.heal()


def test_a_room_in_which_somebody_spoke_stays_beside_one_where_nobody_did() -> None:
    """The one who spoke keeps what was said, and whoever comes from the other room is told it."""
    rooms = HostedRooms(3)
    machines = [rooms.add(name) for name in NAMES[:2]]
    rooms.open(machines[0])
    rooms.say(machines[0], "alone")
    rooms.run(1.0)
    rooms.open(machines[1])
    rooms.run_until(lambda: rooms.judge.is_one(), 15.0)
    assert machines[0].shown.room_id == machines[1].shown.room_id
    assert "alone" in machines[1].shown.texts
    assert rooms.counted["came to another room"] == 1


def test_members_that_cannot_host_wait_for_the_room() -> None:
    rooms, (host, *others) = room_of(3, Boris=False, Vera=False)
    rooms.crash(host)
    rooms.run(10.0)
    assert not rooms.hosts()
    assert rooms.heal() == 0.0
    assert rooms.counted["extinct"] == 1
    assert all(shown(machine, "reconnecting") == 1 for machine in others)


def wander() -> tuple[list[Machine], list[str]]:
    """A member moves between two parts, in each of which all talk; then the network heals."""
    rooms, machines = room_of(5)
    one, two, wanderer = machines[:2], machines[2:4], machines[4]
    said: list[str] = []
    for cut_off in ([*two, wanderer], two, one, [*one, wanderer]):
        rooms.groups.clear()
        rooms.part(*cut_off)
        rooms.run(8.0)
        for _ in range(2):
            said += say_all(rooms, machines, f"time {len(said)}")
            rooms.run(0.5)
    rooms.heal()
    return machines, said


def test_a_member_that_moves_between_two_parts_is_shown_nothing_twice() -> None:
    machines, said = wander()
    assert all(set(machine.shown.texts) == set(said) for machine in machines)


# --- random evenings -------------------------------------------------------------------------


def test_random_evenings_keep_every_promise() -> None:
    """A few; .ci/run has 300, without coverage."""
    for seed, _, failure in run_seeds(range(6), rooms=["hosted"]):
        replay = f"python3 -m tests.simulate --rooms hosted --seeds 1 --first {seed}"
        assert not failure, f"seed {seed} failed; replay it: {replay}\n{failure}"


def test_the_same_seed_gives_the_same_evening() -> None:
    first, second = HostedEvening(5), HostedEvening(5)
    assert first.run() == second.run()
    assert first.rooms.now == second.rooms.now
    assert first.rooms.datagram_count == second.rooms.datagram_count


@pytest.mark.slow
def test_random_evenings_reach_every_recovery() -> None:
    """Rare ones take so many evenings."""
    reached: Counter[str] = Counter()
    for seed, counters, failure in run_seeds(range(300), rooms=["hosted"]):
        assert counters is not None, f"seed {seed}\n{failure}"
        reached.update({name: counters[name] for name in RECOVERIES})
        if all(reached[name] for name in RECOVERIES):
            return
    raise AssertionError(f"never reached: {RECOVERIES - set(+reached)}")


# --- the judge -------------------------------------------------------------------------------

BREAKS = {
    "nothing is fetched": (Fetching, "note_range", None),
    "members tell nothing": (Replica, "tell", ()),
    "it is written twice": (SaidHere, "has", False),
    "it is shown twice": (Replica, "is_news", True),
    "nothing is marked": (Transcript, "begin_apart", None),
    "hosts stay two": (RoomHost, "consider", None),
    "members count as new": (Lineage, "fork", None),
    "what is found is not asked": (Whereabouts, "add", None),
}
"""Rules of the code that are broken: the method, and what it returns instead."""


@pytest.mark.parametrize("what", BREAKS)
def test_the_judge_sees_each_broken_rule(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner, method, result = BREAKS[what]
    monkeypatch.setattr(owner, method, lambda *args, **kwargs: result)
    with pytest.raises(AssertionError):
        wander()


def test_the_judge_sees_that_a_host_leaves_without_handing_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(RoomHost, "hand_on", lambda host, now: None)
    rooms, (host, *_) = room_of(4)
    rooms.quit(host)
    with pytest.raises(AssertionError, match="one notice"):
        rooms.run(3.0)
