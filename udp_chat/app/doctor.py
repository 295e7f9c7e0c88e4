"""Why does it not connect? The checks behind ``udp_client.py --doctor``, told in plain sentences.

`main_checks` looks at this computer's interfaces and at its ports, sends DISCOVERs to the discovery
port and listens for its own copies, asks which rooms answer, and, given a server, probes it. In
the end it names the likely cause and what to do. doctor_checks.py has the checks,
doctor_sentences.py the sentences.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence

from udp_chat.app.doctor_checks import (
    LOSS_NOTABLE,
    PROBE_COUNT,
    ROOM_PROBE_COUNT,
    ROOMS_PROBED_MAX,
    OwnCopy,
    Pace,
    Probing,
    hear_own_copies,
    likely_cause,
    neighbour_answers,
    nothing_found,
    probe,
)
from udp_chat.app.doctor_sentences import DOCTOR
from udp_chat.app.ports import PROC, port_holders, read
from udp_chat.discovery.groups import DISCOVERY_PORT
from udp_chat.discovery.interfaces import Interface, list_interfaces
from udp_chat.discovery.search import FoundRoom, find_rooms
from udp_chat.protocol.addresses import format_address, resolve
from udp_chat.protocol.delivery import quantile
from udp_chat.protocol.packets import DATAGRAM_BYTES_MAX, DEFAULT_PORT
from udp_chat.protocol.printable import printable


def main_checks(
    server: tuple[str, int] | None,
    language: str,
    discovery_port: int = DISCOVERY_PORT,
    interfaces: Sequence[Interface] | None = None,
    pace: Pace | None = None,
) -> int:
    """Runs all checks, prints a sentence for each, and returns the exit code.

    0: the server, or without one a room that was found, can be joined. 1: it cannot, or its long
    datagrams are lost, so that a chat with it would stall. `interfaces` are those to look at; all
    of them if not given. At the usual pace it takes about two seconds, with a server about four.
    """
    pace = pace or Pace()
    if interfaces is None:
        interfaces = list_interfaces()
    report = _Report(language, interfaces, pace)
    report.interfaces()
    # Before this process uses the ports itself.
    report.port("chat", server[1] if server else DEFAULT_PORT)
    report.port("discovery", discovery_port)
    copies, unheard = hear_own_copies(interfaces, discovery_port, pace.copy_seconds)
    report.copies(copies, unheard, discovery_port)
    rooms = find_rooms(pace.find_seconds, pace.linger_seconds, discovery_port, interfaces)
    report.rooms(rooms)
    if server is not None:
        joinable = report.server(server, PROBE_COUNT)
        if not joinable and rooms:
            report.tell("other_rooms", rooms=", ".join(format_address(r.address) for r in rooms))
        return 0 if joinable else 1
    if rooms:
        # All of them: the reader wants to know which one works.
        probed = rooms[:ROOMS_PROBED_MAX]
        joinable_count = sum(report.server(room.address, ROOM_PROBE_COUNT) for room in probed)
        return 0 if joinable_count else 1
    key = nothing_found(interfaces, copies, unheard)
    report.tell(key, port=DEFAULT_PORT, discovery_port=discovery_port)
    return 1


class _Report:
    """Prints what was seen, in one language."""

    def __init__(self, language: str, interfaces: Sequence[Interface], pace: Pace) -> None:
        self._interfaces = interfaces
        self._pace = pace
        self._language = language
        self._point = "," if language == "ru" else "."

    def text(self, key: str, **values: object) -> str:
        return DOCTOR.sentence(self._language, key, **values)

    def tell(self, key: str, **values: object) -> None:
        print(printable(self.text(key, **values)), flush=True)

    def interfaces(self) -> None:
        for interface in self._interfaces:
            addresses = interface.addresses
            if not interface.up or not (addresses or os.name == "posix"):
                continue  # Windows lists dozens of which no address is known
            key = "interface_loopback" if interface.loopback else "interface"
            self.tell(
                key if interface.running else "interface_idle",
                name=interface.name,
                addresses=", ".join(addresses) or self.text("no_address"),
            )
        off = [interface.name for interface in self._interfaces if not interface.up]
        if off:
            self.tell("interfaces_off", names=", ".join(off))

    def port(self, which: str, port: int) -> None:
        """`which` is chat or discovery."""
        named = [
            self.text("holder" if pid else "holder_hidden", command=command, pid=pid)
            for pid, command in port_holders(port)
        ]
        taken = "taken" if named else "free"
        self.tell(f"{which}_port_{taken}", port=port, holders=", ".join(named))

    def copies(self, copies: Sequence[OwnCopy], unheard: OSError | None, port: int) -> None:
        if unheard is not None:
            self.tell("copies_unheard", port=port, error=_why(unheard))
        for copy in copies:
            way = self.text(f"way_{copy.way.kind.removesuffix('_all')}", target=copy.way.target[0])
            values = {"way": way, "name": copy.way.interface.name}
            if copy.error is not None and copy.way.interface.addresses:
                self.tell("copy_unsent", error=_why(copy.error), **values)
            elif copy.returned:
                self.tell("copy_returned", **values)
            elif copy.error is None and unheard is None:
                self.tell("copy_lost", **values)
        if any(copy.returned and not copy.way.interface.loopback for copy in copies):
            self.tell("copies_note")

    def rooms(self, rooms: Sequence[FoundRoom]) -> None:
        for room in rooms:
            address = format_address(room.address)
            self.tell("room", room=room.name, address=address, count=room.member_count)
        if not rooms:
            self.tell("rooms_none")

    def server(self, server: tuple[str, int], probe_count: int) -> bool:
        """Probes a server and says what is likely wrong; whether it can be joined."""
        host, port = server
        values: dict[str, object] = {"server": format_address(server), "host": host, "port": port}
        self.tell("probing", **values)
        try:
            found = resolve(host, port)
        except (OSError, UnicodeError) as error:
            self.tell("unknown_host", error=_why(error), **values)
            return False
        probing = probe(found, probe_count, self._pace)
        self._probes(probing, probe_count, values)
        number = str(found.address[0])
        own = number.startswith("127.") or any(number in i.addresses for i in self._interfaces)
        neighbour = neighbour_answers(read(PROC / "net" / "arp"), number)
        key = likely_cause(probing.outcome, own, neighbour)
        self.tell(key, error=_why(probing.error), **values)
        return probing.outcome == "answered"

    def _probes(self, probing: Probing, sent: int, values: Mapping[str, object]) -> None:
        rtts = probing.rtts_seconds
        if not rtts:
            self.tell("probes_none", sent=sent, **values)
            return
        loss = 1 - len(rtts) / sent
        self.tell(
            "probes",
            answered=len(rtts),
            sent=sent,
            median=self._number(1000 * statistics.median(rtts)),
            p95=self._number(1000 * quantile(rtts, 0.95)),
            loss=self._number(100 * loss),
            **values,
        )
        self.tell("long_arrives" if probing.long_answered else "long_lost", size=DATAGRAM_BYTES_MAX)
        if loss >= LOSS_NOTABLE:
            self.tell("lossy")

    def _number(self, value: float) -> str:
        return f"{value:.1f}".replace(".", self._point)


def _why(error: Exception | None) -> str:
    return str(getattr(error, "strerror", None) or error)
