"""What others type to join a room here."""

from __future__ import annotations

import pytest

from udp_chat.app.invitation import addresses_for_others, invitation
from udp_chat.discovery.interfaces import Interface

INTERFACES = [
    Interface("lo", 1, loopback=True, ipv4=(("127.0.0.1", None),), ipv6=("::1",)),
    Interface("docker0", 2, ipv4=(("172.17.0.1", "172.17.255.255"),)),
    Interface("eth0", 3, running=False, ipv4=(("10.0.0.5", "10.0.0.255"),)),
    Interface("eth1", 4, up=False, ipv4=(("10.0.1.5", "10.0.1.255"),)),
    Interface(
        "wlan0", 5, ipv4=(("192.168.1.5", "192.168.1.255"),), ipv6=("fe80::5", "2001:db8::5")
    ),
]


@pytest.mark.parametrize("host", ["", "0.0.0.0", "::"])
def test_the_likely_address_comes_first_and_what_others_cannot_use_is_left_out(host: str) -> None:
    found = addresses_for_others(host, INTERFACES, "192.168.1.5")
    assert found == ["192.168.1.5", "172.17.0.1", "2001:db8::5"]


@pytest.mark.parametrize(
    ("host", "found"),
    [("127.0.0.1", []), ("::1", []), ("10.9.9.9", ["10.9.9.9"]), ("fe80::5%3", ["fe80::5%3"])],
)
def test_a_server_at_one_address_is_reached_there_or_not_at_all(
    host: str, found: list[str]
) -> None:
    assert addresses_for_others(host, INTERFACES, "192.168.1.5") == found


def test_the_sentence_is_a_command_that_a_person_can_type() -> None:
    assert invitation("10.9.9.9", 9091, "en").endswith("join with: python3 udp_client.py 10.9.9.9")
    assert invitation("10.9.9.9", 9099, "ru").endswith("python3 udp_client.py 10.9.9.9:9099")
    assert invitation("127.0.0.1", 9091, "en") == "Only people on this computer can join."
