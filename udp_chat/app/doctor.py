"""Why does it not connect? The checks behind ``udp_client.py --doctor``, told in plain sentences.

`main_checks` looks at this computer's interfaces and at its ports, sends DISCOVERs to the discovery
port and listens for its own copies, asks which rooms answer, and, given a server, probes it. It
prints the verdict first: the likely cause and what to do. What it saw follows. doctor_checks.py has
the checks, doctor_sentences.py the sentences.
"""

from __future__ import annotations

import locale
import os
import statistics
import sys
from collections.abc import Mapping, Sequence

from udp_chat.app.doctor_checks import (
    DROPPED_NOTABLE,
    LONG_PROBE_COUNT,
    LOSS_NOTABLE,
    PROBE_COUNT,
    ROOM_PROBE_COUNT,
    ROOMS_PROBED_MAX,
    Heard,
    Pace,
    Probing,
    Silence,
    hear_own_answers,
    hear_own_copies,
    is_here,
    is_loopback,
    lan_address,
    likely_cause,
    neighbour_answers,
    nothing_found,
    others_reach,
    port_is_open,
    probe,
    undelivered,
)
from udp_chat.app.doctor_sentences import DOCTOR
from udp_chat.app.ports import PROC, port_holders, read
from udp_chat.app.standard_streams import complain
from udp_chat.discovery.groups import DISCOVERY_PORT
from udp_chat.discovery.interfaces import Interface, list_interfaces
from udp_chat.discovery.search import FoundRoom, find_rooms
from udp_chat.protocol.addresses import Resolved, format_address, resolve
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
    """Runs all checks, prints the verdict and then what was seen, and returns the exit code.

    0: the server, or without one a room that was found, can be joined. 1: it cannot, or its long
    datagrams are lost, so that a chat with it would stall, or it is on this computer and others
    cannot join it. `interfaces` are those to look at; all of them if not given. At the usual pace
    it takes about three seconds, with a server about four.
    """
    pace = pace or Pace()
    if interfaces is None:
        interfaces = list_interfaces()
    complain(DOCTOR.sentence(language, "checking"))
    report = _Report(language, interfaces, pace)
    joinable = report.examine(server, discovery_port)
    report.print()
    return 0 if joinable else 1


def marks(encoding: str) -> tuple[str, str]:
    """What marks the good and the bad in this encoding."""
    try:
        "✓✗".encode(encoding)
    except (LookupError, UnicodeError):
        return "[+]", "[-]"
    return "✓", "✗"


class _Report:
    """Collects what was seen and what follows from it, in one language."""

    def __init__(self, language: str, interfaces: Sequence[Interface], pace: Pace) -> None:
        self._interfaces = interfaces
        self._asked = others_reach(interfaces)
        self._pace = pace
        self._language = language
        self._point = "," if language == "ru" else "."
        # The stream itself writes UTF-8 by now: see `forgive_characters`.
        self._good, self._bad = marks(locale.getpreferredencoding(False))
        self._verdicts: list[str] = []
        self._evidence: list[str] = []

    def print(self) -> None:
        for line in (*self._verdicts, "", *self._evidence):
            print(line)
        if sys.stdout is not None:
            sys.stdout.flush()

    def examine(self, server: tuple[str, int] | None, discovery_port: int) -> bool:
        """Runs the checks; whether the server, or a room that was found, can be joined."""
        self.interfaces()
        found = self.resolved(server) if server is not None else None
        chat_port, chat_taken = (server[1] if server else DEFAULT_PORT), False
        if server is None or (found and is_here(str(found.address[0]), self._interfaces)):
            # Before this process uses the ports itself.
            chat_taken = self.port("chat", chat_port)
            self.port("discovery", discovery_port)
        heard = self.copies(discovery_port)
        rooms = find_rooms(
            self._pace.find_seconds, self._pace.linger_seconds, discovery_port, self._asked
        )
        self.rooms(rooms)
        if server is not None:
            joinable = found is not None and self.server(server, found, PROBE_COUNT)
            if not joinable and rooms:
                others = ", ".join(format_address(room.address) for room in rooms)
                self.tell("other_rooms", rooms=others)
            if joinable and not rooms:
                self.unfound(server, heard)
            return joinable
        # All of them: the reader wants to know which one works.
        addresses = [room.address for room in rooms[:ROOMS_PROBED_MAX]]
        own = lan_address(self._interfaces)
        key = nothing_found(self._interfaces, heard)
        if not rooms and own and chat_taken and key == "nothing_found":
            addresses = [(own, chat_port)]
        if addresses:
            resolved = [(address, self.resolved(address)) for address in addresses]
            probed = [f is not None and self.server(a, f, ROOM_PROBE_COUNT) for a, f in resolved]
            return any(probed)
        self.judge(key, joinable=False, port=DEFAULT_PORT, discovery_port=discovery_port)
        return False

    def text(self, key: str, **values: object) -> str:
        return printable(DOCTOR.sentence(self._language, key, **values))

    def tell(self, key: str, mark: str = "", **values: object) -> None:
        """A piece of evidence; `mark` says whether it is good or bad."""
        self._evidence.append(f"{mark or ' ' * len(self._good)} {self.text(key, **values)}")

    def judge(self, key: str, *, joinable: bool, **values: object) -> None:
        """A verdict."""
        mark = self._good if joinable else self._bad
        self._verdicts.append(f"{mark} {self.text(key, **values)}")

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

    def port(self, which: str, port: int) -> bool:
        """`which` is chat or discovery. Returns whether a program has the port."""
        named = [
            self.text("holder" if pid else "holder_hidden", command=command, pid=pid)
            for pid, command in port_holders(port)
        ]
        taken = "taken" if named else "free"
        self.tell(f"{which}_port_{taken}", port=port, holders=", ".join(named))
        return bool(named)

    def copies(self, port: int) -> Heard:
        copies, unheard = hear_own_copies(self._asked, port, self._pace.copy_seconds)
        answers = hear_own_answers(self._asked, self._pace.copy_seconds)
        if unheard is not None:
            self.tell("copies_unheard", self._bad, port=port, error=_why(unheard))
        for copy in copies:
            way = self.text(f"way_{copy.way.kind.removesuffix('_all')}", target=copy.way.target[0])
            values = {"way": way, "name": copy.way.interface.name}
            if copy.error is not None and copy.way.interface.addresses:
                self.tell("copy_unsent", self._bad, error=_why(copy.error), **values)
            elif copy.returned:
                self.tell("copy_returned", self._good, **values)
            elif copy.error is None and unheard is None:
                self.tell("copy_lost", self._bad, **values)
        if any(copy.returned and not copy.way.interface.loopback for copy in copies):
            self.tell("copies_note")
        return Heard(copies, unheard, answers)

    def rooms(self, rooms: Sequence[FoundRoom]) -> None:
        for room in rooms:
            address = format_address(room.address)
            self.tell("room", room=room.name, address=address, count=room.member_count)
        if not rooms:
            self.tell("rooms_none")

    def unfound(self, server: tuple[str, int], heard: Heard) -> None:
        """Says why the search did not find a server that answers."""
        key = nothing_found(self._interfaces, heard)
        if key == "no_network":  # the server is on this computer
            return
        ports = {"port": DEFAULT_PORT, "discovery_port": DISCOVERY_PORT}
        key = "unfound" if key == "nothing_found" else key
        self.tell(key, self._bad, server=format_address(server), **ports)

    def resolved(self, server: tuple[str, int]) -> Resolved | None:
        """What a socket needs to reach the server; None if its name is wrong."""
        try:
            return resolve(*server)
        except (OSError, UnicodeError) as error:
            self.judge("unknown_host", joinable=False, host=server[0], error=_why(error))
            return None

    def server(self, server: tuple[str, int], found: Resolved, probe_count: int) -> bool:
        """Probes a server and says what is likely wrong; whether it can be joined."""
        host, port = server
        values: dict[str, object] = {"server": format_address(server), "host": host, "port": port}
        number = str(found.address[0])
        before = self._undelivered()
        probing = probe(found, probe_count, self._pace)
        dropped = self._dropped_answers(before, probe_count + LONG_PROBE_COUNT)
        self._probes(probing, probe_count, values)
        neighbour = neighbour_answers(read(PROC / "net" / "arp"), number)
        silence = Silence(is_here(number, self._interfaces), neighbour, dropped)
        key = likely_cause(probing.outcome, silence)
        if key == "answered" and silence.own:
            key = self._as_others_see_it(number, port)
        joinable = key == "answered"
        self.judge(key, joinable=joinable, error=_why(probing.error), **values)
        return joinable

    def _as_others_see_it(self, host: str, port: int) -> str:
        """The key of the verdict on a server of this computer that answers this computer."""
        own = lan_address(self._interfaces) if is_loopback(host) else host
        if own is None or not any(own in interface.addresses for interface in self._asked):
            return "answered"
        if own != host:
            probing = probe(resolve(own, port), ROOM_PROBE_COUNT, self._pace)
            if probing.outcome not in ("answered", "short_only"):
                return "only_here"
        is_open = port_is_open(self._asked, own, port, self._pace.copy_seconds)
        if is_open is None:
            return "answered"
        mark, key = (self._good, "port_open") if is_open else (self._bad, "port_closed")
        self.tell(key, mark, port=port, host=own)
        return "answered" if is_open else "closed_here"

    @staticmethod
    def _undelivered() -> int | None:
        return undelivered(read(PROC / "net" / "snmp"), read(PROC / "net" / "snmp6"))

    def _dropped_answers(self, before: int | None, probe_count: int) -> bool:
        after = self._undelivered()
        if before is None or after is None or after - before < DROPPED_NOTABLE * probe_count:
            return False
        self.tell("dropped", self._bad, dropped=after - before)
        return True

    def _probes(self, probing: Probing, sent: int, values: Mapping[str, object]) -> None:
        rtts = probing.rtts_seconds
        if not rtts:
            self.tell("probes_none", self._bad, sent=sent, **values)
            return
        loss = 1 - len(rtts) / sent
        self.tell(
            "probes",
            self._bad if loss >= LOSS_NOTABLE else self._good,
            answered=len(rtts),
            sent=sent,
            median=self._number(1000 * statistics.median(rtts)),
            p95=self._number(1000 * quantile(rtts, 0.95)),
            loss=self._number(100 * loss),
            **values,
        )
        arrives = probing.long_answered
        mark, key = (self._good, "long_arrives") if arrives else (self._bad, "long_lost")
        self.tell(key, mark, size=DATAGRAM_BYTES_MAX)
        if loss >= LOSS_NOTABLE:
            self.tell("lossy")

    def _number(self, value: float) -> str:
        return f"{value:.1f}".replace(".", self._point)


def _why(error: Exception | None) -> str:
    return str(getattr(error, "strerror", None) or error)
