"""Finding rooms: the pure pieces, one machine over its loopback, and hosts on real bridges.

The hosts are network namespaces, the bridges stand in one of their own: what is sent there is
real multicast, broadcast and ARP, and none of it leaves this machine. Those tests need root and
`ip`, and are skipped where there is neither. What runs in this process uses the loopback alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any
from unittest.mock import Mock

import pytest

from tests.discovery.test_offers import an_offer
from tests.processes import PROJECT, WAIT_SECONDS
from udp_chat.discovery.beacon import (
    ANSWER_BURST,
    ANSWERS_PER_SECOND,
    RESCAN_SECONDS,
    Beacon,
)
from udp_chat.discovery.groups import DRAIN_MAX, GROUP_IPV4, ipv4_choice, listening_socket
from udp_chat.discovery.interfaces import INTERFACES_MAX, Interface, list_interfaces
from udp_chat.discovery.search import (
    FIND_SECONDS,
    FoundRoom,
    find_rooms,
    open_ways,
)
from udp_chat.protocol.packets import (
    Bye,
    Discover,
    Offer,
    decode,
)

# --- one machine, over its loopback ----------------------------------------------------------

LOOPBACK = [interface for interface in list_interfaces() if interface.loopback]
PATIENT = (WAIT_SECONDS, 0.1)
needs_ipv6 = pytest.mark.skipif(
    not any("::1" in interface.ipv6 for interface in LOOPBACK), reason="this machine has no ::1"
)


def free_port() -> int:
    """A port to find rooms by that is not the real one: no room of this machine answers."""
    with bound_chat("0.0.0.0") as sock:
        return int(sock.getsockname()[1])


def loopback_only() -> list[Interface]:
    return LOOPBACK


@contextlib.contextmanager
def bound_chat(host: str = "127.0.0.1") -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as chat:
        if host == "::":
            chat.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        chat.bind((host, 0))
        yield chat


@contextlib.contextmanager
def offered(port: int, epoch: int, name: str = "chat", host: str = "127.0.0.1") -> Iterator[int]:
    """A room that is offered by a loop like the server's; its chat port."""
    wake_receiver, wake_sender = socket.socketpair()
    with bound_chat(host) as chat, wake_receiver, wake_sender:
        beacon = Beacon(chat, time.monotonic(), port, loopback_only)
        chat_port = chat.getsockname()[1]
        assert beacon.problems == []

        def offer(nonce: int) -> Offer:
            return Offer(nonce, epoch, epoch + 1, chat_port, name)

        def loop() -> None:
            ready: list[socket.socket] = []
            while wake_receiver not in ready:
                for sock in ready:
                    beacon.handle(sock, offer, time.monotonic())
                ready = select.select([wake_receiver, *beacon.sockets()], [], [])[0]

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield chat_port
        finally:
            wake_sender.send(b"\0")
            thread.join()
            beacon.close()


def test_a_room_on_this_machine_is_found_at_once_with_all_that_is_told_about_it() -> None:
    port = free_port()
    started_at = time.monotonic()
    with offered(port, epoch=5, name="Кухня") as chat_port:
        rooms = find_rooms(100.0, 0.05, port, LOOPBACK)
    assert time.monotonic() - started_at < WAIT_SECONDS
    assert rooms == [FoundRoom(("127.0.0.1", chat_port), "Кухня", 6, 5)]


def test_several_servers_on_one_machine_all_answer() -> None:
    port = free_port()
    with contextlib.ExitStack() as stack:
        ports = {stack.enter_context(offered(port, epoch)): epoch for epoch in (1, 2, 3)}
        deadline = time.monotonic() + WAIT_SECONDS
        found: dict[int, int] = {}
        while found != ports and time.monotonic() < deadline:
            rooms = find_rooms(*PATIENT, port, LOOPBACK)
            found = {room.address[1]: room.epoch for room in rooms}
    assert found == ports


@needs_ipv6
def test_a_room_on_the_ipv6_loopback_is_found() -> None:
    port = free_port()
    with offered(port, epoch=5, host="::1") as chat_port:
        rooms = find_rooms(*PATIENT, port, LOOPBACK)
    assert [room.address for room in rooms] == [("::1", chat_port)]


def test_where_nobody_answers_no_room_is_found_within_the_timeout() -> None:
    started_at = time.monotonic()
    assert find_rooms(0.3, port=free_port(), interfaces=LOOPBACK) == []
    assert 0.3 <= time.monotonic() - started_at < WAIT_SECONDS


def test_without_a_network_no_room_is_found_and_nothing_is_raised() -> None:
    gone = Interface("gone0", 2**31 - 1, ipv4=(("192.0.2.77", "192.0.2.255"),), ipv6=("fe80::7",))
    assert find_rooms(0.2, port=free_port(), interfaces=[]) == []
    assert find_rooms(0.2, port=free_port(), interfaces=[gone]) == []


def test_without_any_socket_no_room_is_found_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> socket.socket:
        raise OSError("too many open files")

    monkeypatch.setattr(socket, "socket", none_left)
    started_at = time.monotonic()
    assert find_rooms(WAIT_SECONDS, interfaces=LOOPBACK) == []
    assert time.monotonic() - started_at < WAIT_SECONDS


def test_a_question_that_is_lost_is_asked_again() -> None:
    port = free_port()
    timestamps: set[int] = set()
    with listening_socket(socket.AF_INET, port) as listener:
        listener.settimeout(WAIT_SECONDS)

        def hear() -> None:
            while len(timestamps) < 2:  # so all of the first round goes unanswered
                datagram, asker = listener.recvfrom(2048)
                question = decode(datagram)
                assert isinstance(question, Discover)
                timestamps.add(question.timestamp)
                offer = an_offer(question.nonce).encode()
            listener.sendto(offer, asker)

        thread = threading.Thread(target=hear)
        thread.start()
        rooms = find_rooms(10.0, 0.1, port, LOOPBACK)
        thread.join()
    assert [room.epoch for room in rooms] == [77]


class Asked:
    """A Beacon on the loopback that is driven by hand, and an asker."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self.port = free_port()
        chat = stack.enter_context(bound_chat())
        beacon = Beacon(chat, 1000.0, self.port, loopback_only)
        self.beacon = stack.enter_context(contextlib.closing(beacon))
        self.asker = stack.enter_context(bound_chat())
        self.asker.setblocking(False)

    def ask(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.asker.sendto(datagram, ("127.0.0.1", self.port))

    def replies(self, now: float = 1000.0) -> int:
        (ipv4,) = self.beacon.sockets()
        self.beacon.handle(ipv4, an_offer, now)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                assert isinstance(decode(self.asker.recv(2048)), Offer)
                count += 1
        return count


@pytest.fixture
def asked() -> Iterator[Asked]:
    with contextlib.ExitStack() as stack:
        yield Asked(stack)


DISCOVERS = [Discover(nonce, 1).encode() for nonce in range(DRAIN_MAX)]


def test_a_flood_of_questions_gets_a_bounded_number_of_answers(asked: Asked) -> None:
    def flood(now: float) -> int:
        replies = 0
        for _ in range(0, 2 * ANSWER_BURST, DRAIN_MAX):
            asked.ask(*DISCOVERS)
            replies += asked.replies(now)
        return replies

    assert [flood(1000.0), flood(1000.0)] == [ANSWER_BURST, 0]
    assert flood(1000.1) in range(int(ANSWERS_PER_SECOND / 10) - 1, ANSWER_BURST // 2)


def test_one_call_takes_in_a_bounded_number_of_datagrams(asked: Asked) -> None:
    asked.ask(*DISCOVERS, *DISCOVERS[:3])
    assert [asked.replies(), asked.replies()] == [DRAIN_MAX, 3]


def test_hostile_bytes_are_neither_answered_nor_raised(asked: Asked) -> None:
    asked.ask(b"", b"\xff" * 60_000, DISCOVERS[0][:-1], DISCOVERS[0] + b"\0", Bye(1, 1).encode())
    assert asked.replies() == 0
    asked.ask(DISCOVERS[0])
    assert asked.replies() == 1


def test_a_room_on_the_loopback_is_not_offered_to_another_machine(asked: Asked) -> None:
    heard = [(DISCOVERS[0], ("192.0.2.9", 5)), BlockingIOError]
    offer = Mock(side_effect=an_offer)
    asked.beacon.handle(Mock(recvfrom=Mock(side_effect=heard)), offer, 1000.0)
    offer.assert_not_called()


@needs_ipv6
def test_a_port_that_another_program_keeps_to_itself_stops_no_server() -> None:
    with bound_chat("::") as other, bound_chat("::") as chat:
        port = other.getsockname()[1]
        with contextlib.closing(Beacon(chat, 0.0, port, loopback_only)) as beacon:
            assert beacon.sockets() == []
            assert [problem.partition(" (")[0] for problem in beacon.problems] == [
                f"no IPv4 discovery on port {port}",
                f"no IPv6 discovery on port {port}",
            ]
            beacon.rescan(100.0)
            beacon.close()  # and again at the end of the context


@needs_ipv6
def test_an_interface_that_cannot_be_joined_is_told_and_stops_nothing() -> None:
    gone = Interface("gone0", 2**31 - 1, ipv4=(("192.0.2.77", None),), ipv6=("fe80::7",))
    unknown = Interface("unknown0", 2**31 - 2)
    with bound_chat("::") as chat:
        beacon = Beacon(chat, 0.0, free_port(), lambda: [gone, unknown, *LOOPBACK])
        with contextlib.closing(beacon):
            beacon.rescan(RESCAN_SECONDS)
            assert len(beacon.sockets()) == 2
    assert sorted(problem.partition(" (")[0] for problem in beacon.problems) == [
        "no IPv4 multicast on gone0",
        "no IPv6 multicast on gone0",
    ]


def test_groups_are_joined_and_left_as_interfaces_come_and_go_but_only_when_it_is_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    done: list[tuple[str, int]] = []
    names = {socket.IP_ADD_MEMBERSHIP: "join", socket.IP_DROP_MEMBERSHIP: "leave"}
    set_option = socket.socket.setsockopt
    old, new = (Interface("eth0", n, ipv4=((f"192.0.2.{n}", None),)) for n in (5, 6))
    numbers = {
        ipv4_choice(socket.inet_aton(GROUP_IPV4), i.ipv4[0][0], i.index): i.index
        for i in (old, new)
    }

    def note(sock: socket.socket, level: int, option: int, *value: Any) -> None:
        """What the operating system is asked for: these interfaces do not exist."""
        if level == socket.IPPROTO_IP and option in names:
            done.append((names[option], numbers[value[0]]))
        else:
            set_option(sock, level, option, *value)

    monkeypatch.setattr(socket.socket, "setsockopt", note)
    look = Mock(side_effect=[[old], [old], [new], [], [new]])
    with bound_chat("0.0.0.0") as chat, contextlib.ExitStack() as stack:
        beacon = stack.enter_context(contextlib.closing(Beacon(chat, 0.0, free_port(), look)))
        for n in range(1, 5):
            beacon.rescan(n * RESCAN_SECONDS - 0.001)
            assert look.call_count == n
            beacon.rescan(n * RESCAN_SECONDS)
            assert beacon.rescan_at == (n + 1) * RESCAN_SECONDS
    assert done == [("join", 5), ("leave", 5), ("join", 6), ("leave", 6), ("join", 6)]


def test_only_interfaces_that_are_up_are_asked_over_and_those_with_ipv4_first() -> None:
    many = [Interface(f"veth{n}", 10_000 + n, ipv6=("fe80::1",)) for n in range(100)]
    off = Interface("off0", 9_999, up=False, ipv4=(("127.0.0.1", None),))
    with open_ways([*many, off, *LOOPBACK], free_port()) as ways:
        names = [way.interface.name for way in ways]
    assert names[0] == LOOPBACK[0].name
    assert "off0" not in names
    assert len(set(names)) == INTERFACES_MAX


# --- hosts on bridges ------------------------------------------------------------------------

ROOM = """
import random, select, socket, sys, time
from udp_chat.discovery.beacon import Beacon
from udp_chat.protocol.packets import Offer
host, name, epoch = sys.argv[1], sys.argv[2], random.getrandbits(64)
chat = socket.socket(socket.AF_INET if host else socket.AF_INET6, socket.SOCK_DGRAM)
if not host:
    chat.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
chat.bind((host or "::", 0))
port = chat.getsockname()[1]
beacon = Beacon(chat, time.monotonic(), rescan_seconds=0.1)
print(*(beacon.problems or ["ready"]), flush=True)
while True:
    for sock in select.select([chat, *beacon.sockets()], [], [], 0.05)[0]:
        if sock is chat:
            chat.sendto(*chat.recvfrom(2048))
        else:
            offer = lambda nonce: Offer(nonce, epoch, 3, port, name)
            beacon.handle(sock, offer, time.monotonic())
    beacon.rescan(time.monotonic())
"""
"""A room whose chat socket sends everything back, so that an address can be tried."""

FIND = """
import json, socket, sys, time
from udp_chat.discovery.interfaces import list_interfaces
from udp_chat.discovery.search import find_rooms
some = {}
if sys.argv[1]:
    some["interfaces"] = [i for i in list_interfaces() if not i.loopback]
    some["kinds"] = [sys.argv[1]]
started_at = time.monotonic()
rooms = find_rooms(**some)
seconds = time.monotonic() - started_at
found = []
for room in rooms:
    family, _, _, _, address = socket.getaddrinfo(*room.address, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.sendto(b"hello", address)
        assert sock.recv(99) == b"hello"
    found.append([room.name, room.address[0]])
print(json.dumps([found, seconds]))
"""
"""Looks for rooms, over one kind of way if one is named, and tries the address of each."""


def why_no_network() -> str:
    """What is missing for network namespaces; nothing if it is all there."""
    if not sys.platform.startswith("linux"):
        return "network namespaces are Linux's"
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "the command ip (iproute2) is missing"
    command = ["ip", "netns", "add", name := f"uct{os.getpid()}"]
    if subprocess.run(command, capture_output=True).returncode:
        return "this system does not let us make a network namespace"
    ip("netns", "del", name)
    return ""


def need_network() -> None:
    """Skips the test where this machine allows no network of its own."""
    missing = why_no_network()
    if missing:
        pytest.skip(missing)  # a sentence that names what the machine lacks


def ip(*arguments: str) -> str:
    command = ["ip", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_SECONDS)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Network:
    """Hosts, each a network namespace, on bridges in another one. No host has a default route."""

    def __init__(self) -> None:
        self._prefix = f"uct{os.getpid()}-{os.urandom(2).hex()}-"
        self._names: list[str] = []
        self._link_count = 0
        self._switch = self._add("switch")

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._names:
            ip("netns", "del", self._prefix + name)
        assert self._prefix not in ip("netns", "list")

    def _add(self, name: str) -> str:
        ip("netns", "add", self._prefix + name)
        self._names.append(name)
        return self._prefix + name

    def add_bridge(self, bridge: str) -> None:
        ip("-n", self._switch, "link", "add", "name", bridge, "type", "bridge")
        ip("-n", self._switch, "link", "set", bridge, "up")

    def add_host(self, host: str, loopback: str = "up") -> None:
        ip("-n", self._add(host), "link", "set", "lo", loopback)

    def plug(self, host: str, name: str, bridge: str, ipv4: str = "") -> None:
        """Gives a host an interface on a bridge, with a link-local IPv6 address of its own."""
        self._link_count += 1
        port, space = f"port{self._link_count}", self._prefix + host
        peer = ("peer", "name", name, "netns", space)
        ip("-n", self._switch, "link", "add", "name", port, "type", "veth", *peer)
        ip("-n", self._switch, "link", "set", port, "master", bridge, "up")
        ip("-n", space, "link", "set", name, "addrgenmode", "none", "up")
        link_local = f"fe80::{self._link_count}/64"
        ip("-n", space, "addr", "add", link_local, "dev", name, "nodad")
        if ipv4:
            ip("-n", space, "addr", "add", f"{ipv4}/24", "broadcast", "+", "dev", name)

    def configure(self, host: str, *arguments: str) -> None:
        ip("-n", self._prefix + host, *arguments)

    def wrapper(self, host: str) -> list[str]:
        """What stands before a command so that it runs on a host; nothing for this machine."""
        return ["ip", "netns", "exec", self._prefix + host] if host else []

    def command(self, host: str, code: str, *arguments: str) -> list[str]:
        """Runs Python code on a host, in the project's directory."""
        return [*self.wrapper(host), sys.executable, "-c", code, *arguments]

    def run(self, host: str, code: str, *arguments: str) -> str:
        done = subprocess.run(
            self.command(host, code, *arguments),
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=3 * WAIT_SECONDS,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    @contextlib.contextmanager
    def running(self, host: str, code: str, *arguments: str) -> Iterator[None]:
        """Runs Python code on a host, from the line it prints until the end of the context."""
        command = self.command(host, code, *arguments)
        with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == "ready\n"
                yield
            finally:
                process.terminate()

    def room(self, host: str, name: str, bind: str = "") -> AbstractContextManager[None]:
        """A room that is open on a host, and offered there."""
        return self.running(host, ROOM, bind, name)

    def find(self, host: str, *names: str, kind: str = "") -> dict[str, str]:
        """The rooms a search finds, with their hosts; repeated until it has found so many."""
        deadline = time.monotonic() + 2 * WAIT_SECONDS
        rooms: dict[str, str] = {}
        while time.monotonic() < deadline and len(rooms) < len(names):
            rooms = dict(json.loads(self.run(host, FIND, kind))[0])
        assert sorted(rooms) == sorted(names)
        return rooms


@pytest.fixture(scope="module")
def lan() -> Iterator[Network]:
    """Anna, Boris and Vera on one bridge; Dina on both; Egor on the other; Zoya without IPv4."""
    need_network()
    with Network() as network:
        network.add_bridge("left")
        network.add_bridge("right")
        for host in ("anna", "boris", "vera", "dina", "egor", "zoya", "alone"):
            network.add_host(host)
        network.plug("dina", "eth0", "left", "10.91.0.4")
        network.plug("dina", "eth1", "right", "10.92.0.4")
        network.plug("egor", "eth0", "right", "10.92.0.5")
        for host, ipv4 in (("anna", "10.91.0.1"), ("boris", "10.91.0.2"), ("vera", "10.91.0.3")):
            network.plug(host, "eth0", "left", ipv4)
        network.plug("zoya", "eth0", "left")
        yield network


def test_two_servers_on_one_host_are_found_from_every_other_host(lan: Network) -> None:
    with lan.room("boris", "one"), lan.room("boris", "two"):
        for host in ("anna", "vera", "dina"):
            assert lan.find(host, "one", "two") == {"one": "10.91.0.2", "two": "10.91.0.2"}


def test_a_host_on_two_networks_finds_the_rooms_of_both_and_the_others_only_theirs(
    lan: Network,
) -> None:
    with lan.room("anna", "left"), lan.room("egor", "right"):
        assert lan.find("dina", "left", "right") == {"left": "10.91.0.1", "right": "10.92.0.5"}
        lan.find("vera", "left")
        lan.find("egor", "right")


def test_a_server_on_two_networks_is_offered_to_each_at_its_address_there(lan: Network) -> None:
    with lan.room("dina", "both"):
        assert lan.find("anna", "both") == {"both": "10.91.0.4"}
        assert lan.find("egor", "both") == {"both": "10.92.0.4"}


def test_without_any_ipv4_a_room_is_found_and_reached_over_link_local_ipv6(lan: Network) -> None:
    for server, asker in (("zoya", "anna"), ("anna", "zoya")):
        with lan.room(server, "six"):
            host = lan.find(asker, "six")["six"]
        assert host.startswith("fe80::")
        assert host.endswith("%eth0")


@pytest.mark.parametrize("kind", ["multicast", "multicast6", "broadcast", "broadcast_all"])
def test_each_way_finds_a_room_on_its_own(lan: Network, kind: str) -> None:
    with lan.room("boris", "one"), lan.room("egor", "two"):
        lan.find("anna", "one", kind=kind)
        # Over both its interfaces, with no default route to choose one.
        lan.find("dina", "one", "two", kind=kind)


@pytest.mark.parametrize("kind", ["multicast", "multicast6"])
def test_a_server_joins_the_groups_on_an_interface_that_appears_later(
    lan: Network, kind: str
) -> None:
    host = f"late-{kind}"
    lan.add_host(host)
    with lan.room(host, "late"):
        for _ in range(2):  # the second time it is another interface of the same name
            lan.plug(host, "eth0", "left", "10.91.0.9")
            lan.find("anna", "late", kind=kind)
            lan.configure(host, "link", "del", "eth0")


def test_a_room_on_the_loopback_is_offered_to_its_own_machine_alone(lan: Network) -> None:
    with lan.room("boris", "mine", bind="127.0.0.1"), lan.room("boris", "ours"):
        lan.find("anna", "ours")
        assert lan.find("boris", "mine", "ours")["mine"] == "127.0.0.1"


def test_a_room_on_one_address_is_offered_at_that_address(lan: Network) -> None:
    with lan.room("dina", "right only", bind="10.92.0.4"):
        for host in ("egor", "dina"):
            assert lan.find(host, "right only") == {"right only": "10.92.0.4"}


def test_with_no_network_up_rooms_on_the_same_machine_are_found(lan: Network) -> None:
    with lan.room("alone", "one"), lan.room("alone", "two"):
        lan.find("alone", "one", "two")


def test_where_no_room_is_open_the_search_ends_in_time_with_nothing(lan: Network) -> None:
    lan.add_host("dark", "down")
    for host in ("anna", "alone", "dark"):
        rooms, seconds = json.loads(lan.run(host, FIND, ""))
        assert rooms == []
        assert (0 if host == "dark" else FIND_SECONDS) <= seconds < WAIT_SECONDS


def test_servers_of_two_users_share_the_discovery_port(lan: Network) -> None:
    code = """
import os, socket
from udp_chat.discovery.groups import join_group, listening_socket
from udp_chat.discovery.interfaces import list_interfaces
from udp_chat.discovery.search import open_ways
sockets = []
for user in (0, 1):
    os.seteuid(user)
    sockets.append(listening_socket(socket.AF_INET, 9092))
    os.seteuid(0)
for sock in sockets:
    sock.settimeout(10)
    join_group(sock, list_interfaces()[0])
with open_ways(list_interfaces()) as ways:
    for way in ways:
        if way.kind in ("multicast", "broadcast"):
            way.send(way.kind.encode())
            print(way.kind, *(sock.recv(99) == way.kind.encode() for sock in sockets))
"""
    assert lan.run("alone", code).splitlines() == ["multicast True True", "broadcast True True"]
