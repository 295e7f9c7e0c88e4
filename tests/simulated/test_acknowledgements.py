"""How often acknowledgements wake the server of a talking room up. Virtual time, so exact."""

from __future__ import annotations

import pytest

from tests.simulated.simulated_network import SERVER, SimulatedNetwork
from udp_chat.protocol.packets import PacketType

SECONDS = 4.0


class CountingNetwork(SimulatedNetwork):
    """A network that notes when STATUS datagrams arrive at the server."""

    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.status_at: list[float] = []

    def arrive(self, datagram: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        if target == SERVER and datagram[3] == PacketType.STATUS:
            self.status_at.append(self.now)
        super().arrive(datagram, source, target)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("members", "messages_per_second", "wake_ups_per_second_max"),
    [(8, 10, 11), (100, 50, 11)],
)
def test_the_acknowledgements_of_a_room_wake_the_server_up_together(
    members: int, messages_per_second: int, wake_ups_per_second_max: int
) -> None:
    """Where each member draws a time of its own, acknowledgements come at 72 different moments a
    second in the small room, and at 1,130 in the large one."""
    network = CountingNetwork(seed=1)
    users = []
    for number in range(members):
        users.append(network.join(f"User{number}"))
        network.run(0.01)  # in a real room, too, they do not come at one instant
    network.run_until(network.is_settled, 60.0)
    network.run(1.0)
    network.status_at.clear()
    network.room.counters.clear()
    for number in range(round(SECONDS * messages_per_second)):
        network.say(users[number % members], f"message {number}")
        network.run(network.random.uniform(0.5, 1.5) / messages_per_second)
    assert len(network.status_at) > 9 * members * SECONDS
    wake_ups = {round(at, 4) for at in network.status_at}
    assert len(wake_ups) <= wake_ups_per_second_max * SECONDS
    assert network.room.counters["tail repairs"] == 0
    assert network.room.counters["gap repairs"] == 0
