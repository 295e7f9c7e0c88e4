"""The doctor's verdict behind each kind of firewall and network, each a real one.

Every case is a host in a network namespace that asks the doctor. The table names the verdict. All
cases run at the same time, several at once, because the doctor mostly waits.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest

from tests.app.test_doctor import RUN_DOCTOR, assert_not_said, assert_said
from tests.discovery.test_discovery import Network, need_network
from udp_chat.app.doctor_sentences import DOCTOR

FIREWALL = """
import json, socket, struct, sys
def attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)
def number(value):
    return struct.pack("!I", value)
def message(kind, flags, family, attributes, sequence):
    body = struct.pack("=BB", family, 0) + struct.pack("!H", 10) + attributes
    return struct.pack("=IHHII", 16 + len(body), kind, flags, sequence, 0) + body
def expression(name, *values):
    data = b"".join(attribute(kind, value) for kind, value in enumerate(values, 1))
    name, data = attribute(1, name.encode() + b"\\0"), attribute(2 | 0x8000, data)
    return attribute(1 | 0x8000, name + data)
def value(data):
    return attribute(1, data)
def equal(data, operation=0):
    return expression("cmp", number(1), number(operation), value(data))
allowed = {
    "lo": expression("meta", number(1), number(4)) + equal(struct.pack("=I", 1)),
    "answers": expression("ct", number(1), number(0))
    + expression("bitwise", number(1), number(1), number(4),
                 value(struct.pack("=I", 6)), value(bytes(4)))
    + equal(bytes(4), 1),
}
def to_port(port):
    return expression("payload", number(1), number(2), number(2), number(2)) + equal(
        struct.pack("!H", port))
accept = expression("immediate", number(0), attribute(2 | 0x8000, attribute(1, number(1))))
where, let_in = sys.argv[1], json.loads(sys.argv[2])
table, chain = attribute(1, b"udp-chat\\0"), where.encode() + b"\\0"
hook = attribute(1, number({"input": 1, "output": 3}[where])) + attribute(2, number(0))
messages = [(0xA00, table), (0xA03, table + attribute(3, chain) + attribute(4 | 0x8000, hook)
             + attribute(5, number(0)) + attribute(7, b"filter\\0"))]
for what in let_in:
    test = allowed[what] if what in allowed else to_port(what)
    rule = table + attribute(2, chain) + attribute(4 | 0x8000, test + accept)
    messages.append((0xA06, rule))
batch = message(0x10, 1, 0, b"", 1)
for sequence, (kind, body) in enumerate(messages, 2):
    batch += message(kind, 0xC05, 1, body, sequence)
with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12) as netlink:
    netlink.bind((0, 0))
    netlink.settimeout(10)
    netlink.send(batch + message(0x11, 1, 0, b"", 99))
    answers, errors = 0, set()
    while answers < len(messages):
        data = netlink.recv(65536)
        while data:
            length, kind = struct.unpack_from("=IH", data)
            if kind == 2:
                answers += 1
                errors.add(struct.unpack_from("=i", data, 16)[0])
            data = data[(length + 3) & ~3:]
print(*errors)
"""
"""An nf_tables chain whose policy is to drop, and what it lets through: what comes from the
loopback, what answers this host, UDP ports. It needs no command nft; it goes with the namespace."""

ROOM = """
import sys, threading
from udp_chat.discovery.groups import DISCOVERY_PORT
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer
with UdpServer(sys.argv[1], 9091, RoomSettings("Kitchen"), DISCOVERY_PORT):
    print("ready", flush=True)
    threading.Event().wait()
"""

UFW = ("lo", "answers")
"""What ufw, firewalld and most others let in before anybody adds a rule."""


@dataclass(frozen=True)
class Case:
    """One host that asks, and the verdict that it should get."""

    verdict: str
    joinable: bool = False
    asks: str | None = None
    """The server that it asks about; `other`: the other host of its network."""
    room: str | None = None
    """Where a room of its own listens."""
    drops: str | None = None
    """What its firewall drops: input or output."""
    lets_in: tuple[str | int, ...] = ()
    other_room: bool = False
    other_drops: bool = False
    network: str = ""
    """isolated: guests do not see each other; quiet: neither multicast nor broadcast passes."""
    also: str = ""
    """Evidence that is also said."""
    broadcast: bool = True


CASES = {
    "no firewall, no room": Case("nothing_found"),
    "no firewall, a room": Case("answered", True, other_room=True),
    "own input, all": Case("firewall_here", drops="input", other_room=True),
    "own input, all, address": Case("dropped_here", asks="other", drops="input", other_room=True),
    "own input, stateful": Case("firewall_here", drops="input", lets_in=UFW, other_room=True),
    "own input, stateful, address": Case(
        "answered", True, "other", None, "input", UFW, other_room=True, also="firewall_here"
    ),
    "own input, search port open": Case(
        "answers_dropped", drops="input", lets_in=(*UFW, 9092), other_room=True
    ),
    "own output": Case("forbidden_here", drops="output", other_room=True),
    "own output, address": Case("forbidden", asks="other", drops="output", other_room=True),
    "the host's": Case("nothing_found", other_room=True, other_drops=True),
    "the host's, address": Case("filtered", asks="other", other_room=True, other_drops=True),
    "no server, address": Case("refused", asks="other"),
    "isolation": Case("nothing_found", other_room=True, network="isolated"),
    "isolation, address": Case("no_neighbour", asks="other", other_room=True, network="isolated"),
    "no route": Case("no_route", asks="10.99.0.1", other_room=True, also="other_rooms"),
    "no multicast": Case("nothing_found", other_room=True, network="quiet"),
    "no multicast, address": Case(
        "answered", True, "other", other_room=True, network="quiet", also="unfound"
    ),
    "own room, no firewall": Case("answered", True, room="", also="port_open"),
    "own room, firewall": Case("firewall_here", room="", drops="input", lets_in=UFW),
    "own room, firewall, address": Case("closed_here", False, "own", "", "input", UFW),
    "own room, firewall, 127.0.0.1": Case("closed_here", False, "127.0.0.1", "", "input", UFW),
    "own room, search port open": Case(
        "closed_here", room="", drops="input", lets_in=(*UFW, 9092), also="port_closed"
    ),
    "own room, ports open": Case(
        "answered", True, None, "", "input", (*UFW, 9091, 9092), also="port_open"
    ),
    "own room, one address, ports open": Case(
        "answered", True, "own", "own", "input", (*UFW, 9091, 9092), also="port_open"
    ),
    "own room, loopback alone": Case("only_here", asks="127.0.0.1", room="127.0.0.1"),
    "no broadcast address": Case("nothing_found", broadcast=False),
}
VERDICTS = {case.verdict for case in CASES.values()}


def build(network: Network, number: int, case: Case, running: ExitStack) -> None:
    """Two hosts on a network of their own: the one that asks, and another."""
    asking, other, bridge = f"asks{number}", f"other{number}", f"bridge{number}"
    network.add_bridge(bridge)
    for port, host in enumerate((asking, other), 2 * number + 1):
        network.add_host(host)
        address = f"10.91.0.{port}"
        network.plug(host, "eth0", bridge, address)
        slave = ("link", "set", f"port{port}", "type", "bridge_slave")
        if case.network == "isolated":
            network.configure("switch", *slave, "isolated", "on")
        elif case.network == "quiet":
            network.configure("switch", *slave, "mcast_flood", "off", "bcast_flood", "off")
            mac = f"02:00:00:00:00:{port:02x}"
            network.configure(host, "link", "set", "eth0", "address", mac)
            network.configure(host, "address", "replace", f"fe80::{port}/64", "dev", "eth0")
    if case.network == "quiet":  # ARP is broadcast
        for host, port in ((asking, 2 * number + 2), (other, 2 * number + 1)):
            mac = f"02:00:00:00:00:{port:02x}"
            neighbour = ("neigh", "add", f"10.91.0.{port}", "lladdr", mac, "dev", "eth0")
            network.configure(host, *neighbour)
    if not case.broadcast:
        address = f"10.91.0.{2 * number + 1}/24"
        network.configure(asking, "addr", "del", address, "dev", "eth0")
        network.configure(asking, "addr", "add", address, "dev", "eth0")
    for host, drops, lets_in in (
        (asking, case.drops, case.lets_in),
        (other, "input" if case.other_drops else None, ()),
    ):
        if drops:
            errors = network.run(host, FIREWALL, drops, json.dumps(lets_in))
            if errors.split() != ["0"]:
                # It says so only when it is asked for a rule.
                pytest.skip(f"this kernel lacks nf_tables or a part of it: errors {errors}")
    if case.room is not None:
        where = f"10.91.0.{2 * number + 1}" if case.room == "own" else case.room
        running.enter_context(network.running(asking, ROOM, where))
    if case.other_room:
        running.enter_context(network.running(other, ROOM, ""))


def assert_right(number: int, case: Case, text: str, code: str) -> None:
    """What the doctor printed, and its exit code, are what the table says."""
    verdict = text.partition("\n\n")[0]
    assert_said(verdict, "en", case.verdict)
    assert verdict.startswith("✓ " if case.joinable else "✗ ")
    assert "\n" not in verdict
    assert_not_said(verdict, "en", *(VERDICTS - {case.verdict}))
    assert code == ("0" if case.joinable else "1")
    if case.also:
        assert_said(text, "en", case.also)
    assert "127.0.0.1:" not in verdict or case.asks == "127.0.0.1"
    if case.asks in ("other", "10.99.0.1"):  # it is about that host's ports
        assert_not_said(text, "en", "chat_port_free", "chat_port_taken", "discovery_port_free")
    comes_in = not case.drops or 9092 in case.lets_in
    assert_not_said(text, "en", "copy_lost" if comes_in else "copy_returned")
    # Not even where the system gives it as the broadcast address.
    own_way = DOCTOR.sentence("en", "way_broadcast", target=f"10.91.0.{2 * number + 1}")
    assert f"{own_way} on" not in text


@pytest.mark.slow
def test_the_verdict_is_right_behind_each_firewall() -> None:
    need_network()
    cases = list(enumerate(CASES.values()))
    with Network() as network, ExitStack() as running, ThreadPoolExecutor(8) as pool:

        def ask(item: tuple[int, Case]) -> tuple[str, str]:
            number, case = item
            own, other = (f"10.91.0.{2 * number + n}" for n in (1, 2))
            host = {"own": own, "other": other}.get(case.asks or "", case.asks)
            server = None if host is None else [host, 9091]
            output = network.run(f"asks{number}", RUN_DOCTOR, json.dumps([server, "en"]))
            text, _, code = output.rpartition("exit code ")
            return text, code.strip()

        for number, case in cases:
            build(network, number, case, running)
        told = list(pool.map(ask, cases))
    wrong = {}
    for name, (number, case), (text, code) in zip(CASES, cases, told, strict=True):
        try:
            assert_right(number, case, text, code)
        except AssertionError as error:
            wrong[name] = f"{text}\n{error}"
    assert not wrong, "\n".join(f"--- {name}:\n{why}" for name, why in wrong.items())
