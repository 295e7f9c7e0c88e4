"""The wire as a narrow link: a rate with a queue, and loss in bursts. Between kernels, too."""

from __future__ import annotations

import itertools
import statistics
import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from compare.wire.link import Direction, Quality
from compare.wire.network import Wire
from tests.compare.test_wire import PORT, carried, number_of, packet, udp_socket
from tests.processes import eventually
from tests.simulated.bottleneck import Bottleneck
from tests.wires import needs_wire

PACKET_BYTES = len(packet(0))

PATIENT = Quality(queue_seconds=1.0)


def link(packets_per_second: float, quality: Quality) -> Direction:
    """A link of this quality that carries so many packets of the tests a second."""
    rate = packets_per_second * PACKET_BYTES
    return Direction("up", 1, replace(quality, bytes_per_second=rate))


def emptied(direction: Direction) -> tuple[list[int], list[float]]:
    """The packets under way, and when each comes out."""
    numbers, times = [], []
    while (at := direction.next_timeout()) is not None:
        for data in direction.packets_to_deliver(at):
            numbers.append(number_of(data))
            times.append(at)
    return numbers, times


def test_a_link_carries_one_packet_after_the_other_and_then_they_take_the_delay() -> None:
    direction = link(10, replace(PATIENT, delay_seconds=0.02))
    for number in range(4):
        direction.receive(packet(number), 5.0)
    numbers, times = emptied(direction)
    assert numbers == [0, 1, 2, 3]
    assert times == pytest.approx([5.12, 5.22, 5.32, 5.42])


def test_a_larger_packet_takes_the_link_longer() -> None:
    direction = link(10, PATIENT)
    direction.receive(packet(0) + bytes(PACKET_BYTES), 0.0)
    direction.receive(packet(1), 0.0)
    assert emptied(direction)[1] == pytest.approx([0.2, 0.3])


def test_protocols_share_the_link() -> None:
    direction = link(10, PATIENT)
    for number, protocol in enumerate((6, 17, 1)):
        direction.receive(packet(number, protocol), 0.0)
    assert emptied(direction)[1] == pytest.approx([0.1, 0.2, 0.3])


def test_what_would_wait_too_long_is_dropped_and_counted_apart() -> None:
    direction = link(10, Quality(queue_seconds=0.25))
    for number in range(6):
        direction.receive(packet(number), 0.0)
    tally = direction.tallies["udp"]
    assert (tally.sent, tally.dropped, tally.lost, tally.overflowed) == (6, 3, 0, 0)
    direction.receive(packet(6), 0.1)  # one packet's time later there is room for one
    direction.receive(packet(7), 0.1)
    assert emptied(direction)[0] == [0, 1, 2, 6]
    assert (tally.sent, tally.dropped, tally.delivered) == (8, 4, 4)


def test_a_link_without_a_queue_carries_what_finds_it_free() -> None:
    direction = link(10, Quality(queue_seconds=0.0))
    for number, now in enumerate((0.0, 0.09, 0.11)):
        direction.receive(packet(number), now)
    assert emptied(direction)[0] == [0, 2]


def test_an_idle_link_saves_up_nothing() -> None:
    direction = link(10, PATIENT)
    for number in range(3):
        direction.receive(packet(number), 100.0)
    assert emptied(direction)[1] == pytest.approx([100.1, 100.2, 100.3])


def test_what_loss_takes_never_comes_to_the_link() -> None:
    direction = link(10, replace(PATIENT, loss=1.0))
    direction.receive(packet(0), 0.0)
    direction.quality = replace(direction.quality, loss=0.0)
    direction.receive(packet(1), 0.0)
    numbers, times = emptied(direction)
    assert numbers == [1]
    assert times == pytest.approx([0.1])


def test_the_rate_changes_nobodys_luck() -> None:
    rough = Quality(loss=0.1, duplication=0.1)
    on_a_fast_wire = carried(Direction("up", 1, rough), 1000)
    on_a_link = carried(link(5000, rough), 1000)
    assert [number for number, _ in on_a_link] == [number for number, _ in on_a_fast_wire]


def test_a_rate_of_nothing_is_no_rate() -> None:
    direction = link(0, Quality(queue_seconds=0.0))
    for number in range(3):
        direction.receive(packet(number), 1.0)
    assert emptied(direction) == ([0, 1, 2], [1.0, 1.0, 1.0])


@pytest.mark.parametrize("name", ["bytes_per_second", "queue_seconds"])
def test_a_link_that_cannot_be_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        replace(Quality(), **{name: -0.1})  # type: ignore[arg-type]  # each has its own type


@given(
    st.lists(st.tuples(st.floats(0, 0.05), st.integers(20, 1500)), min_size=1, max_size=60),
    st.floats(1000, 1e6),
    st.floats(0, 0.3),
)
def test_the_wires_link_and_the_simulated_one_do_the_same(
    packets: list[tuple[float, int]], bytes_per_second: float, queue_seconds: float
) -> None:
    direction = Direction(
        "up", 1, Quality(bytes_per_second=bytes_per_second, queue_seconds=queue_seconds)
    )
    simulated = Bottleneck(bytes_per_second, queue_seconds)
    now, expected = 0.0, []
    for gap_seconds, size_bytes in packets:
        now += gap_seconds
        direction.receive(bytes(size_bytes), now)
        left_at = simulated.take(size_bytes, now)
        if left_at is not None:
            expected.append(left_at)
    arrived = []
    while (at := direction.next_timeout()) is not None:
        arrived += [at for _ in direction.packets_to_deliver(at)]
    assert arrived == expected
    assert direction.tallies["other"].dropped == simulated.dropped_count


def test_loss_in_bursts_takes_as_many_packets_but_several_in_a_row() -> None:
    direction = Direction("up", 1, Quality(loss=0.3, burst_packets=3.0))
    came = {number for number, _ in carried(direction, 20_000)}
    fates = [number in came for number in range(20_000)]
    bursts = [len(list(run)) for is_there, run in itertools.groupby(fates) if not is_there]
    assert fates.count(False) == pytest.approx(6000, rel=0.05)
    assert statistics.mean(bursts) == pytest.approx(3, rel=0.1)
    assert bursts.count(1) > bursts.count(2) > bursts.count(4) > 0
    assert direction.tallies["udp"].lost == fates.count(False)


@pytest.mark.parametrize("loss", [0.0, 1.0])
def test_bursts_of_no_loss_and_of_nothing_else_are_what_they_say(loss: float) -> None:
    direction = Direction("up", 1, Quality(loss=loss, burst_packets=3.0))
    assert len(carried(direction, 1000)) == (0 if loss else 1000)


@needs_wire
@pytest.mark.alone
def test_kernels_meet_the_rate_and_the_queue() -> None:
    """A burst of 40 datagrams of 1028 bytes with their headers, on a link of 200 kB/s: each takes
    5.14 ms, and those that would wait more than 100 ms are dropped."""
    each_seconds, queue_seconds = 1028 / 200_000, 0.1
    accepted = int(queue_seconds / each_seconds) + 1

    def is_on_time() -> bool:
        before = wire.counters["up"]["udp"]
        began_at = time.monotonic()
        for _ in range(40):
            sender.sendto(bytes(1000), (wire.address("b"), PORT))
        sent_seconds = time.monotonic() - began_at
        eventually(lambda: (wire.counters["up"]["udp"] - before).sent == 40)
        tally = wire.counters["up"]["udp"] - before
        arrived = []
        for _ in range(40 - tally.dropped):
            receiver.recv(2000)
            arrived.append(time.monotonic() - began_at)
        # Never early, whatever else this machine does.
        assert all(at >= number * each_seconds for number, at in enumerate(arrived, 1))
        assert len(arrived) >= accepted
        return (
            len(arrived) <= accepted + sent_seconds / each_seconds + 1
            and arrived[-1] < len(arrived) * each_seconds + 0.02
        )

    with (
        Wire(bytes_per_second=(200_000, 0), queue_seconds=queue_seconds) as wire,
        udp_socket(wire, "a") as sender,
        udp_socket(wire, "b", PORT) as receiver,
    ):
        eventually(is_on_time)  # this machine may be busy, but not all the time
        assert wire.counters["down"]["udp"].sent == 0
        assert wire.device_drops() == {"a": 0, "b": 0}
