"""The doctor: what it concludes, and what it says to a person in trouble.

Its pure pieces; against servers of this process over the loopback; and between network
namespaces, where a wrong address and a network without a room are real ones. The firewalls:
test_doctor_firewalls.py.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import string
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias, get_args

import pytest

from tests.discovery.test_discovery import (
    LOOPBACK,
    Network,
    bound_chat,
    free_port,
    need_network,
    offered,
)
from tests.processes import WAIT_SECONDS, eventually
from udp_chat.app.catalogue import LANGUAGES
from udp_chat.app.doctor import main_checks, marks
from udp_chat.app.doctor_checks import (
    LONG_PROBE_COUNT,
    PROBE_COUNT,
    Heard,
    Outcome,
    OwnCopy,
    Pace,
    Probing,
    Silence,
    lan_address,
    likely_cause,
    long_probe,
    neighbour_answers,
    nothing_found,
    others_reach,
    short_probe,
    undelivered,
)
from udp_chat.app.doctor_sentences import DOCTOR
from udp_chat.app.ports import inodes_of_port, port_holders, port_is_taken
from udp_chat.discovery.interfaces import Interface
from udp_chat.discovery.search import Way
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    Bye,
    ByeReason,
    Offer,
    Say,
    Status,
    decode,
)
from udp_chat.server.udp_server import UdpServer

# --- the pure part ---------------------------------------------------------------------------


def test_every_outcome_has_a_sentence() -> None:
    outcomes = set(get_args(Outcome))
    assert "silent" in outcomes
    assert outcomes | {"silent_here"} <= DOCTOR.sentences["en"].keys()


def test_the_long_probe_is_as_long_as_a_datagram_may_be_and_the_answer_is_no_larger() -> None:
    assert len(long_probe(1, 2)) == DATAGRAM_BYTES_MAX
    assert isinstance(decode(long_probe(1, 2)), Say)
    status = decode(short_probe(1, 2))
    assert isinstance(status, Status)
    assert (status.session_id, status.ask) == (1, False)
    assert len(Bye(1, ByeReason.UNKNOWN_SESSION).encode()) < len(short_probe(1, 2))


def test_sockets_of_a_port_are_found_in_the_table_of_linux() -> None:
    head = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n"
    line = "  {}: {}:{:04X} 00000000:0000 07 00000000:00000000 00:00000000 00000000 0 0 {} 2 0 0\n"
    table = head + line.format(1, "0100007F", 9091, 111) + line.format(2, "00000000", 9092, 222)
    table += line.format(3, "00000000" * 4, 9091, 333)
    assert inodes_of_port(table, 9091) == {"111", "333"}
    assert inodes_of_port(table, 9092) == {"222"}
    assert inodes_of_port(table, 0x23) == set()
    assert inodes_of_port(head + "\n", 9091) == set()


def test_the_table_of_neighbours_tells_who_answers() -> None:
    table = """IP address       HW type     Flags       HW address            Mask     Device
10.0.0.1         0x1         0x2         02:00:00:00:00:01     *        eth0
10.0.0.1         0x1         0x0         00:00:00:00:00:00     *        eth1
10.0.0.2         0x1         0x0         00:00:00:00:00:00     *        eth0
10.0.0.3         0x1         0x0         00:00:00:00:00:00     *        eth0
10.0.0.3         0x1         0x6         02:00:00:00:00:03     *        eth1
"""
    hosts = ["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "fe80::1"]
    assert [neighbour_answers(table, host) for host in hosts] == [True, False, True, None, None]
    assert neighbour_answers("", "10.0.0.1") is None


def test_a_table_that_another_kernel_writes_otherwise_ends_no_check() -> None:
    odd = (
        "head\n  0: not-an-address rem 07 0:0 00:0 0 0 0 111\n  1: 0:2383 rem 07 0:0 00:0 0 0 0 222"
    )
    assert inodes_of_port(odd, 9091) == {"222"}
    odd = "head\n10.0.0.1 0x1 up 52:54:00:12:34:56 * eth0\n10.0.0.2 0x1 0x2 52:54 * eth0"
    assert neighbour_answers(odd, "10.0.0.1") is False
    assert neighbour_answers(odd, "10.0.0.2") is True


def probed(short: bool = True, **known: Any) -> Probing:
    probing = Probing(**known)
    for session_id in (1, 2):
        assert decode(probing.next_probe(session_id, 10.0, short=short))
    return probing


def test_a_bye_counts_once_for_the_probe_it_answers() -> None:
    probing = probed()
    probing.next_probe(4, 10.0, short=False)
    seen = []
    for session_id, now in ((2, 10.25), (2, 10.5), (3, 10.5), (4, 10.5), (1, 10.75)):
        probing.receive(Bye(session_id, ByeReason.UNKNOWN_SESSION).encode(), now)
        seen.append((probing.outcome, probing.complete))
    assert seen == [("short_only", False)] * 3 + [("answered", False), ("answered", True)]
    assert probing.rtts_seconds == [0.25, 0.75]


@pytest.mark.parametrize("datagram", [b"hello", Offer(1, 2, 3, 4, "chat").encode()])
def test_an_answer_that_is_no_bye_is_another_programs(datagram: bytes) -> None:
    probing = probed()
    probing.receive(datagram, 10.25)
    assert probing.outcome == "stranger"


@pytest.mark.parametrize(
    ("number", "on_linux", "elsewhere"),
    [
        (errno.EPERM, "forbidden", "forbidden"),
        (errno.EACCES, "filtered", "forbidden"),
        (errno.EHOSTUNREACH, "filtered", "no_neighbour"),
        (errno.ENETUNREACH, "no_route", "no_route"),
        (errno.EADDRNOTAVAIL, "no_route", "no_route"),
    ],
)
def test_what_the_system_says_of_a_probe_tells_the_cause(
    number: int, on_linux: str, elsewhere: str
) -> None:
    error = OSError(number, "no")
    assert probed(error=error, on_linux=True).outcome == on_linux
    assert probed(error=error, on_linux=False).outcome == elsewhere


def test_without_a_word_from_anywhere_the_cause_depends_on_whose_address_it_is() -> None:
    assert probed().outcome == "silent"
    assert probed(refused=True).outcome == "refused"
    assert likely_cause("silent", Silence(own=True, dropped=True)) == "silent_here"
    assert likely_cause("silent", Silence()) == "silent"
    assert likely_cause("silent", Silence(neighbour=True)) == "filtered"
    assert likely_cause("silent", Silence(neighbour=False)) == "no_neighbour"
    assert likely_cause("silent", Silence(neighbour=True, dropped=True)) == "dropped_here"
    assert likely_cause("refused", Silence(neighbour=False)) == "refused"
    assert likely_cause("answered", Silence(own=True)) == "answered"


def test_what_the_firewall_dropped_follows_from_what_the_kernel_counts() -> None:
    ipv4 = "Ip: Forwarding InReceives InHdrErrors ForwDatagrams InDelivers\nIp: 1 100 1 4 60\n"
    ipv6 = "Ip6InReceives \t20\nIp6InDelivers \t5\n"
    assert undelivered(ipv4, "") == 35
    assert undelivered(ipv4, ipv6) == 50
    assert undelivered("", ipv6) is None
    assert undelivered("Ip: InReceives InDelivers\nIp: many 3\n", "") is None
    assert undelivered("Ip: InReceives\n", "odd") is None


def test_others_reach_this_machine_over_its_loopback_only_if_it_has_nothing_else() -> None:
    lan = Interface("eth0", 2, ipv4=(("192.0.2.1", None),), ipv6=("fe80::1",))
    link_local = Interface("eth1", 3, ipv6=("fe80::2",))
    off = Interface("eth2", 4, up=False, ipv4=lan.ipv4)
    idle = Interface("eth3", 5, running=False, ipv4=lan.ipv4)
    assert others_reach([*LOOPBACK, off, idle, lan, link_local]) == [lan, link_local]
    assert others_reach([*LOOPBACK, off, idle]) == LOOPBACK
    assert lan_address([*LOOPBACK, link_local, lan]) == "192.0.2.1"
    assert lan_address([*LOOPBACK, off]) is None


def test_the_marks_are_ascii_where_the_encoding_lacks_them() -> None:
    assert marks("utf-8") == ("✓", "✗")
    assert marks("cp1251") == marks("ascii") == marks("no-such-encoding") == ("[+]", "[-]")


def test_why_no_room_is_found_depends_on_whether_anything_comes_back() -> None:
    lan = Interface("eth0", 2, ipv4=(("192.0.2.1", "192.0.2.255"),))
    unplugged = Interface("eth1", 3, running=False, ipv4=(("192.0.2.1", None),))
    with bound_chat() as sock:
        here = OwnCopy(Way("multicast", LOOPBACK[0], sock, ()), 1, returned=True)
        lost, heard = (
            OwnCopy(Way("multicast", lan, sock, ()), 1, returned=r) for r in (False, True)
        )
        forbidden = OwnCopy(Way("multicast", lan, sock, ()), 1, PermissionError())
    machine = [*LOOPBACK, lan]
    assert nothing_found([*LOOPBACK, unplugged], Heard([here])) == "no_network"
    assert nothing_found(machine, Heard([here, lost])) == "firewall_here"
    assert nothing_found(machine, Heard([here, lost, heard])) == "nothing_found"
    assert nothing_found(machine, Heard([here, lost], OSError())) == "nothing_found"
    assert nothing_found(machine, Heard([forbidden])) == "forbidden_here"
    assert nothing_found(machine, Heard([heard], answers=[here, lost])) == "answers_dropped"
    assert nothing_found(machine, Heard([heard], answers=[lost, heard])) == "nothing_found"


# --- this machine, over its loopback ---------------------------------------------------------


Check: TypeAlias = Callable[..., tuple[int, str]]


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """Runs the checks on this machine alone: (exit code, all that was printed).

    It waits long for answers and rooms that will come, as they end the wait, and else shortly.
    """

    def run(
        language: str,
        server: tuple[str, int] | None,
        port: int = 0,
        answer_seconds: float = 0.2,
        find_seconds: float = 0.2,
    ) -> tuple[int, str]:
        pace = Pace(0.002, answer_seconds, find_seconds=find_seconds, linger_seconds=0.1)
        code = main_checks(server, language, port or free_port(), LOOPBACK, pace)
        return code, capsys.readouterr().out

    return run


def said(language: str, key: str, **values: object) -> str:
    """A pattern for the sentence as it should be printed; what is not given may be anything."""
    template = DOCTOR.sentences[language][key]
    fields = {name for _, name, _, _ in string.Formatter().parse(template) if name}
    anything = dict.fromkeys(fields - values.keys() - {"udp_client", "udp_server"}, "\0")
    sentence = DOCTOR.sentence(language, key, **anything, **values)
    return f"(?m)^[^ ]* *{re.escape(sentence).replace(re.escape(chr(0)), '.*')}$"


def assert_said(output: str, language: str, key: str, **values: object) -> None:
    assert re.search(said(language, key, **values), output), (key, output)


def assert_not_said(output: str, language: str, *keys: str) -> None:
    for key in keys:
        assert not re.search(said(language, key), output), (key, output)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_server_that_answers_is_well(check: Check, language: str) -> None:
    with UdpServer("127.0.0.1", 0) as server:
        code, output = check(language, server.address, answer_seconds=WAIT_SECONDS)
        # One long probe that is answered is enough: the others may still be on their way.
        counters, sent = server.room.counters, PROBE_COUNT + LONG_PROBE_COUNT
        eventually(lambda: counters["unknown session"] == sent)
        assert not server.room.members
    address = f"127.0.0.1:{server.address[1]}"
    assert code == 0
    assert_said(output, language, "interface_loopback", name=LOOPBACK[0].name)
    assert_said(output, language, "probes", server=address, sent=PROBE_COUNT)
    assert_said(output, language, "long_arrives", size=1200)
    assert_said(output, language, "answered", server=address)
    assert_not_said(output, language, "probes_none", "long_lost", "refused", "silent_here")
    assert ("0,0 %" if language == "ru" else "0.0 %") in output
    if sys.platform == "linux":
        holder = DOCTOR.sentences[language]["holder"].partition("{pid}")[0].partition("}")[2]
        assert f"{holder}{os.getpid()})" in output


def test_what_is_said_to_a_person_is_exactly_this(check: Check) -> None:
    """The words themselves, once in each language; the other tests look for their keys."""
    with bound_chat() as sock:
        port = sock.getsockname()[1]
    _, english = check("en", ("127.0.0.1", port))
    _, russian = check("ru", ("127.0.0.1", port))
    assert f"127.0.0.1:{port} answered none of 50 probes." in english
    assert f"but no server runs on its port {port}. Start one there: python3" in english
    assert f"127.0.0.1:{port}: на 50 запросов нет ни одного ответа." in russian
    assert f"но на его порту {port} сервер не запущен. Запустите его там: python3" in russian
    assert "comes back." in english
    assert "возвращается." in russian


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_port_on_which_nothing_listens_is_told(check: Check, language: str) -> None:
    with bound_chat() as sock:
        port = sock.getsockname()[1]
    code, output = check(language, ("127.0.0.1", port))
    assert code == 1
    assert_said(output, language, "chat_port_free", port=port)
    assert_said(output, language, "probes_none", server=f"127.0.0.1:{port}", sent=PROBE_COUNT)
    assert_said(output, language, "refused", host="127.0.0.1", port=port)
    assert_not_said(output, language, "answered", "silent", "silent_here")


Answer: TypeAlias = Callable[[bytes, int], bytes | None]


@contextlib.contextmanager
def answering(answer: Answer) -> Iterator[tuple[str, int]]:
    """Something on a port that answers datagrams, given each and its number, in its own way."""
    with bound_chat() as sock, bound_chat() as other:
        address: tuple[str, int] = sock.getsockname()

        def loop() -> None:
            number = 0
            while True:
                datagram, asker = sock.recvfrom(2048)
                if not datagram:
                    return
                reply = answer(datagram, number)
                number += 1
                if reply is not None:
                    sock.sendto(reply, asker)

        thread = threading.Thread(target=loop)
        thread.start()
        try:
            yield address
        finally:
            other.sendto(b"", address)
            thread.join()


def bye(datagram: bytes) -> bytes:
    packet = decode(datagram)
    assert isinstance(packet, Say | Status)
    return Bye(packet.session_id, ByeReason.UNKNOWN_SESSION).encode()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_silent_port_of_this_machine_is_told(check: Check, language: str) -> None:
    with bound_chat() as silent:
        port = silent.getsockname()[1]
        code, output = check(language, ("127.0.0.1", port))
    assert code == 1
    assert_said(output, language, "probes_none")
    assert_said(output, language, "silent_here", port=port)
    assert_not_said(output, language, "silent", "refused", "filtered")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_program_that_is_not_this_chat_is_told(check: Check, language: str) -> None:
    with answering(lambda datagram, number: b"who is there?") as address:
        code, output = check(language, address)
    assert code == 1
    assert_said(output, language, "stranger", server=f"127.0.0.1:{address[1]}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_link_that_drops_long_datagrams_alone_is_told(check: Check, language: str) -> None:
    def answer(datagram: bytes, number: int) -> bytes | None:
        return bye(datagram) if len(datagram) < 999 else None

    with answering(answer) as address:
        code, output = check(language, address, answer_seconds=1.0)
    assert code == 1
    assert_said(output, language, "probes", answered=PROBE_COUNT)
    assert_said(output, language, "long_lost", size=1200)
    assert_said(output, language, "short_only")
    assert_not_said(output, language, "answered", "long_arrives", "lossy")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_link_that_loses_much_is_told_and_still_is_a_link(check: Check, language: str) -> None:
    with answering(lambda datagram, number: bye(datagram) if number % 5 else None) as address:
        code, output = check(language, address, answer_seconds=1.0)
    assert code == 0
    loss = "20,0" if language == "ru" else "20.0"
    assert_said(output, language, "probes", answered=PROBE_COUNT * 4 // 5, loss=loss)
    assert_said(output, language, "lossy")
    assert_said(output, language, "answered")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_host_that_cannot_exist_is_told(check: Check, language: str) -> None:
    host = "x" * 64  # longer than a label may be: no name server is asked
    code, output = check(language, (host, 9091))
    assert code == 1
    assert_said(output, language, "unknown_host", host=host)
    assert_not_said(output, language, "probes_none")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_room_that_is_found_and_cannot_be_joined_is_told(check: Check, language: str) -> None:
    port = free_port()
    with offered(port, epoch=1, name="Кухня\x1b[2J") as chat_port:
        code, output = check(language, None, port, find_seconds=WAIT_SECONDS)
        _, with_server = check(language, ("127.0.0.1", 1), port, find_seconds=WAIT_SECONDS)
    address = f"127.0.0.1:{chat_port}"
    assert code == 1
    assert_said(output, language, "room", room="Кухня[2J", address=address, count=2)
    assert_said(output, language, "probes_none", server=address)
    assert_said(output, language, "silent_here", port=chat_port)
    assert_said(with_server, language, "other_rooms", rooms=address)
    assert "\x1b" not in output


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_discovery_port_that_cannot_be_used_is_told(check: Check, language: str) -> None:
    with bound_chat("0.0.0.0") as other:
        port = other.getsockname()[1]
        code, output = check(language, None, port)
    assert code == 1
    assert_said(output, language, "discovery_port_taken", port=port)
    assert_said(output, language, "copies_unheard", port=port)
    assert_said(output, language, "rooms_none")
    assert_not_said(output, language, "copy_lost", "copy_returned")


def test_who_holds_a_port_is_found_out() -> None:
    with bound_chat() as sock:
        port = sock.getsockname()[1]
        if sys.platform == "linux":
            ((process, command),) = port_holders(port)
            assert process == os.getpid()
            assert command
            assert "/" not in command.split()[0]
        else:
            assert port_holders(port) == [(0, "")]
    assert port_holders(port) == []


def test_where_the_system_does_not_tell_a_port_is_still_known_to_be_taken(tmp_path: Path) -> None:
    with bound_chat("0.0.0.0") as sock:
        port = sock.getsockname()[1]
        assert port_is_taken(port)
        assert port_holders(port, proc=tmp_path) == [(0, "")]
    assert not port_is_taken(port)
    assert port_holders(port, proc=tmp_path) == []


def test_a_socket_of_nobody_who_may_be_looked_at_is_still_a_holder(tmp_path: Path) -> None:
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "udp").write_text("head\n 1: 0:2383 0:0 07 0:0 0:0 0 0 0 4711 2 0 0\n")
    assert port_holders(9091, proc=tmp_path) == [(0, "")]
    assert port_holders(9092, proc=tmp_path) == []


# --- between hosts ---------------------------------------------------------------------------

RUN_DOCTOR = """
import json, sys
from udp_chat.app.doctor import main_checks
from udp_chat.app.doctor_checks import Pace
server, language = json.loads(sys.argv[1])
pace = Pace(0.005, find_seconds=1.0)
print("exit code", main_checks(server and tuple(server), language, pace=pace))
"""

SERVER = """
import select, socket, time
from udp_chat.discovery.beacon import Beacon
from udp_chat.protocol.packets import Offer
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer
with UdpServer("", 9091, RoomSettings("Kitchen")) as server, socket.socket(type=2) as wildcard:
    wildcard.bind(("", 0))
    beacon = Beacon(wildcard, time.monotonic())
    offer = lambda nonce: Offer(nonce, server.room.log.epoch, 0, 9091, "Kitchen")
    print("ready", flush=True)
    while True:
        for sock in select.select(beacon.sockets(), [], [])[0]:
            beacon.handle(sock, offer, time.monotonic())
"""


@pytest.fixture(scope="module")
def lan() -> Iterator[Network]:
    """Anna, who asks, and others beside her on one bridge; Zoya is plugged in nowhere."""
    need_network()
    hosts = ("anna", "boris")
    with Network() as network:
        network.add_bridge("bridge")
        network.add_host("zoya")
        for number, host in enumerate(hosts, 1):
            network.add_host(host)
            network.plug(host, "eth0", "bridge", f"10.91.0.{number}")
        yield network


def ask_doctor(
    lan: Network, language: str, host: str, server: tuple[str, int] | None
) -> tuple[int, str]:
    output = lan.run(host, RUN_DOCTOR, json.dumps([server, language]))
    text, _, code = output.rpartition("exit code ")
    return int(code), text


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_network_without_a_room_is_told(lan: Network, language: str) -> None:
    code, output = ask_doctor(lan, language, "anna", None)
    assert code == 1
    assert_said(output, language, "interface", name="eth0", addresses="10.91.0.1, fe80::1")
    for way, target in (
        ("way_multicast", ""),
        ("way_multicast6", ""),
        ("way_broadcast", "10.91.0.255"),
        ("way_broadcast", "255.255.255.255"),
    ):
        sentence = DOCTOR.sentence(language, way, target=target)
        assert_said(output, language, "copy_returned", way=sentence, name="eth0")
    assert_said(output, language, "copies_note")
    assert_said(output, language, "rooms_none")
    assert_said(output, language, "nothing_found", port=9091, discovery_port=9092)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_machine_on_no_network_is_told(lan: Network, language: str) -> None:
    code, output = ask_doctor(lan, language, "zoya", None)
    assert code == 1
    assert_said(output, language, "no_network")
    assert_not_said(output, language, "interface_idle", "copies_note", "nothing_found")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("host", "key"),
    [
        ("10.91.0.77", "no_neighbour"),  # nobody has it
        ("10.91.0.2", "refused"),  # Boris is there, but opened no room
        ("10.99.0.1", "no_route"),
        ("fe80::77%eth0", "silent"),  # IPv6 neighbours are in no table that can be read
    ],
)
def test_why_an_address_does_not_answer_is_told(
    lan: Network, language: str, host: str, key: str
) -> None:
    code, output = ask_doctor(lan, language, "anna", (host, 9091))
    assert code == 1
    assert_said(output, language, "probes_none")
    assert_said(output, language, key, host=host)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_room_that_can_be_joined_is_found_and_well(lan: Network, language: str) -> None:
    with lan.running("boris", SERVER):
        code, output = ask_doctor(lan, language, "anna", None)
        assert code == 0
        assert_said(output, language, "room", room="Kitchen", address="10.91.0.2:9091", count=0)
        assert_said(output, language, "answered", server="10.91.0.2:9091")
        code, output = ask_doctor(lan, language, "anna", ("10.91.0.77", 9091))
        assert code == 1
        assert_said(output, language, "other_rooms", rooms="10.91.0.2:9091")
        code, output = ask_doctor(lan, language, "boris", ("fe80::2%eth0", 9091))
        assert code == 0
        assert_said(output, language, "answered", server="[fe80::2%eth0]:9091")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_network_that_swallows_long_datagrams_is_told(lan: Network, language: str) -> None:
    with lan.running("boris", SERVER):
        lan.configure("boris", "link", "set", "eth0", "mtu", "1000")
        code, output = ask_doctor(lan, language, "anna", ("10.91.0.2", 9091))
        lan.configure("boris", "link", "set", "eth0", "mtu", "1500")
    assert code == 1
    assert_said(output, language, "probes", loss="0,0" if language == "ru" else "0.0")
    assert_said(output, language, "short_only")
