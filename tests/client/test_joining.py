"""Joining on a bad link: how long a newcomer waits, over the simulated network in virtual time."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulated.simulated_network import Faults, SimulatedNetwork, User
from udp_chat.client.udp_client import JOIN_TIMEOUT_SECONDS

ROOMS = 100
JOINS_IN_A_ROOM = 10
LOSS = 0.3
SOON_SECONDS = 2.5


def _joins(seed: int) -> tuple[list[float], Counter[str]]:
    """How long each newcomer of one room took until `joined`, and what was sent for it."""
    network = SimulatedNetwork(seed, Faults(loss_up=LOSS, loss_down=LOSS, delay_seconds=0.02))
    began_at: dict[int, float] = {}
    took: dict[int, float] = {}

    def note(user: User) -> None:
        if user.number not in took and any(e["event"] == "joined" for e in user.shown.events):
            took[user.number] = network.now - began_at[user.number]

    network.on_step = note
    for number in range(JOINS_IN_A_ROOM):
        began_at[number] = network.now
        network.join(f"User{number}")
        network.run(0.3)
    network.run(JOIN_TIMEOUT_SECONDS)
    late = [float("inf")] * (JOINS_IN_A_ROOM - len(took))
    return [*took.values(), *late], network.traffic


@pytest.mark.slow
def test_of_a_thousand_joins_on_a_bad_link_none_fails_and_hardly_any_is_slow() -> None:
    seconds: list[float] = []
    traffic: Counter[str] = Counter()
    for seed in range(ROOMS):
        took, sent = _joins(seed)
        seconds += took
        traffic += sent
    seconds.sort()
    count = len(seconds)
    quantiles = {ratio: seconds[int(ratio * count) - 1] for ratio in (0.5, 0.9, 0.99, 0.999, 1)}
    print(f"{count} joins at {LOSS:.0%} loss each way, seconds until joined: {quantiles}")
    print({name: round(number / count, 1) for name, number in traffic.items()}, "a join")
    assert count == ROOMS * JOINS_IN_A_ROOM
    assert seconds[-1] < JOIN_TIMEOUT_SECONDS, f"{quantiles}"
    assert quantiles[0.99] <= SOON_SECONDS, f"{quantiles}"
    assert traffic["Join"] <= 5 * count, "on average"


def test_where_nobody_answers_a_join_costs_a_bounded_number_of_datagrams() -> None:
    network = SimulatedNetwork(1, Faults(loss_up=1.0))
    network.join("Anna")
    network.run(JOIN_TIMEOUT_SECONDS)
    assert 30 <= network.traffic["Join"] <= 38
    assert network.traffic.total() == network.traffic["Join"]


def test_on_a_clean_link_joining_takes_two_round_trips_and_two_joins() -> None:
    network = SimulatedNetwork(1, Faults(delay_seconds=0.02))
    anna = network.join("Anna")
    took = network.run_until(lambda: bool(anna.shown.events), 1.0)
    assert took < 0.081
    assert network.traffic["Join"] == 2
