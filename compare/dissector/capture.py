"""A conversation as a capture file, to be read by Wireshark with compare/dissector/udp_chat.lua.

`conversation` has the chat's own state machines talk on a network made of nothing: virtual time,
fixed seeds, no socket. Clients find a room, join, talk and leave; datagrams are lost and repaired;
a name is taken. Then a member's machine hosts a room, the network falls apart, another machine
takes the room over in its part, and the two parts become one room again. The sample capture is what
a sniffer in the middle would see of it. The same code makes the same file:

  python3 -m compare.dissector.capture compare/dissector/udp_chat.pcap

`pcap` writes any datagrams as a capture file. To capture a real network, use dumpcap or tcpdump.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections import deque
from collections.abc import Iterable, Sequence
from ipaddress import ip_address
from pathlib import Path
from struct import Struct
from typing import NamedTuple

if not __package__:  # run as a file: `python3 compare/dissector/capture.py`
    sys.path[0] = str(Path(__file__).resolve().parent.parent.parent)

from udp_chat.client.replica import Replica
from udp_chat.client.session import ChatSession
from udp_chat.client.whereabouts import Standing
from udp_chat.discovery.beacon import answer
from udp_chat.discovery.groups import DISCOVERY_PORT, GROUP_IPV4, GROUP_IPV6
from udp_chat.hosting.room_host import EVERYWHERE, HOSTED_HEARTBEAT_SECONDS, RoomHost
from udp_chat.protocol.packets import DEFAULT_PORT, Address, Discover, MessageKind, Offer
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

SERVER = ("192.0.2.1", DEFAULT_PORT)
"""Of TEST-NET-1 (RFC 5737), like all addresses here: nobody's."""

SERVER_IPV6 = "fe80::1"

UNIX_TIME = 1_700_000_000.0
"""When the conversation begins, on every clock in it."""

TICK_SECONDS = 0.001
"""How often the machines are called."""

DELAY_SECONDS = 0.002
"""From a client to the server or back: a Wi-Fi."""


# --- capture files ---------------------------------------------------------------------------


class Captured(NamedTuple):
    """A datagram as a sniffer sees it."""

    at: float
    """Unix time in seconds."""
    source: tuple[str, int]
    target: tuple[str, int]
    datagram: bytes
    kept_bytes: int | None = None
    """How much of the datagram the capture has, None for all of it (as `tcpdump --snapshot-length`
    cuts packets off)."""


# A capture file is a header, then for each packet another one and its bytes. See
# draft-ietf-opsawg-pcap; the magic number tells the byte order, and that times are in µs.
#
#  magic:4 | major:2 | minor:2 | zone:4 | accuracy:4 | bytes kept of a packet:4 | link type:4
#  seconds:4 | µs:4 | bytes kept:4 | bytes on the wire:4

_FILE = Struct("<IHHiIII")
_RECORD = Struct("<IIII")
_MAGIC = 0xA1B2C3D4
_SNAPSHOT_BYTES = 65535
_LINKTYPE_RAW = 101  # packets begin with an IPv4 or IPv6 header: there is no link

_IPV4 = Struct("!BBHHHBBH4s4s")  # RFC 791 §3.1
_IPV6 = Struct("!IHBB16s16s")  # RFC 8200 §3
_UDP = Struct("!HHHH")  # RFC 768
_PROTOCOL_UDP = 17
_HOPS = 64


def pcap(datagrams: Iterable[Captured]) -> bytes:
    """A capture file with these datagrams, in their order."""
    parts = [_FILE.pack(_MAGIC, 2, 4, 0, 0, _SNAPSHOT_BYTES, _LINKTYPE_RAW)]
    for captured in datagrams:
        packet = _ip_packet(captured)
        kept = len(packet)
        if captured.kept_bytes is not None:
            kept += captured.kept_bytes - len(captured.datagram)
        seconds, microseconds = divmod(round(captured.at * 1e6), 1_000_000)
        parts += [_RECORD.pack(seconds, microseconds, kept, len(packet)), packet[:kept]]
    return b"".join(parts)


def _ip_packet(captured: Captured) -> bytes:
    source, target = ip_address(captured.source[0]), ip_address(captured.target[0])
    assert source.version == target.version
    size = _UDP.size + len(captured.datagram)
    # The checksum is taken over addresses, protocol and size too, which IP has.
    pseudo = source.packed + target.packed + Struct("!II").pack(size, _PROTOCOL_UDP)
    ports = captured.source[1], captured.target[1]
    checksum = _checksum(pseudo + _UDP.pack(*ports, size, 0) + captured.datagram)
    # A sum of 0 is sent as its other form: 0 stands for "there is none".
    payload = _UDP.pack(*ports, size, checksum or 0xFFFF) + captured.datagram
    if source.version == 6:
        head = 6 << 28, size, _PROTOCOL_UDP, _HOPS
        return _IPV6.pack(*head, source.packed, target.packed) + payload
    head4 = 0x45, 0, _IPV4.size + size, 0, 0, _HOPS, _PROTOCOL_UDP
    checksum = _checksum(_IPV4.pack(*head4, 0, source.packed, target.packed))
    return _IPV4.pack(*head4, checksum, source.packed, target.packed) + payload


def _checksum(data: bytes) -> int:
    """The Internet's: the ones' complement sum of all 16-bit words (RFC 1071)."""
    if len(data) % 2:
        data += b"\0"
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


# --- the conversation ------------------------------------------------------------------------


class _Network:
    """A room, its clients and a sniffer beside the server, in virtual time."""

    def __init__(self) -> None:
        self.now = 0.0
        self.room = ChatRoom(RoomSettings(room="Класс"), random.Random(1), 0.0, UNIX_TIME)
        self.clients: dict[tuple[str, int], ChatSession] = {}
        self.captured: list[Captured] = []
        self._losses: set[tuple[str, int]] = set()
        self._under_way: deque[tuple[float, bytes, tuple[str, int], tuple[str, int]]] = deque()

    def client(self, name: str, number: int) -> ChatSession:
        """A client that has just been started."""
        session = ChatSession(SERVER, name, random.Random(number))
        self.clients[f"192.0.2.{number}", 50000 + number] = session
        session.start(self.now)
        return session

    def capture(self, datagram: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        self.captured.append(Captured(UNIX_TIME + self.now, source, target, datagram))

    def lose_next(self, client: ChatSession) -> None:
        """The next datagram to this client is lost, after the sniffer has seen it."""
        self._losses |= {address for address, known in self.clients.items() if known is client}

    def run(self, seconds: float) -> None:
        """Runs all machines for so many seconds."""
        for _ in range(round(seconds / TICK_SECONDS)):
            self._step()
            self.now = round(self.now + TICK_SECONDS, 6)

    def _step(self) -> None:
        while self._under_way and self._under_way[0][0] <= self.now:
            _, datagram, source, target = self._under_way.popleft()
            if target == SERVER:
                self.capture(datagram, source, target)
                self.room.receive_datagram(datagram, source, self.now)
            else:
                self.clients[target].receive_datagram(datagram, source, self.now)
        self.room.handle_timeout(self.now)
        for datagram, addresses in self.room.datagrams_to_send():
            for address in addresses:
                self.capture(datagram, SERVER, address)
                if address in self._losses:
                    self._losses.remove(address)
                else:
                    self._send(datagram, SERVER, address)
        for address, session in self.clients.items():
            session.handle_timeout(self.now)
            for datagram in session.datagrams_to_send():
                self._send(datagram, address, SERVER)

    def _send(self, datagram: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        self._under_way.append((self.now + DELAY_SECONDS, datagram, source, target))


def _find_the_room(network: _Network, nonce: int) -> None:
    """One question over IPv4 and over IPv6, and the answer to each."""
    room = network.room

    def offer(nonce: int) -> Offer:
        return Offer(nonce, room.log.epoch, len(room.members), SERVER[1], room.settings.room)

    question = Discover(nonce, timestamp=round(network.now * 1e6)).encode()
    reply = answer(question, offer)
    assert reply is not None
    for asker, group, server in [
        ("192.0.2.11", GROUP_IPV4, SERVER[0]),
        ("fe80::11", GROUP_IPV6, SERVER_IPV6),
    ]:
        network.capture(question, (asker, 50000), (group, DISCOVERY_PORT))
        network.capture(reply, (server, DISCOVERY_PORT), (asker, 50000))


def conversation() -> list[Captured]:
    """The datagrams of the sample capture: every packet type, a loss and its repair."""
    network = _Network()
    network.run(1.0)
    _find_the_room(network, nonce=random.Random(0).getrandbits(64))

    anna = network.client("Anna", 11)
    network.run(0.5)
    boris = network.client("Борис", 12)
    network.run(0.5)
    anna.say("Hello!", network.now)
    anna.say("Привет, Борис 👋", network.now)
    network.run(0.5)
    boris.say("waves back", network.now, MessageKind.ACTION)
    boris.say("just between us", network.now, MessageKind.PRIVATE, "Anna")
    network.run(0.5)

    # The message after the lost one shows Boris a gap, and he reports it.
    network.lose_next(boris)
    anna.say("This is lost on its way to Борис.", network.now)
    network.run(0.001)
    anna.say("Did you get that?", network.now)
    network.run(0.5)

    anna.say("A long line goes in parts. " * 50, network.now)
    network.run(0.5)

    # No message follows this one. The server repeats it when no acknowledgement comes.
    network.lose_next(boris)
    anna.say("This is lost, too.", network.now)
    network.run(1.0)

    # Anna shows that she lives, so the name is hers.
    network.client("ANNA", 13)
    network.run(1.0)
    boris.say("Boris", network.now, MessageKind.RENAME)
    anna.ask_seen(network.now)
    anna.ask_stats(network.now)
    network.run(6.0)  # longer than a heartbeat

    anna.leave(network.now)
    network.run(0.5)
    network.room.close(network.now)
    network.run(0.1)
    return network.captured + _conversation_of_hosts(network.now + 1.0)


# --- the conversation in a room that outlives its host ----------------------------------------


class _Machine:
    """A computer with a client, and with what can host the room."""

    def __init__(self, lan: _Lan, name: str, number: int, server: Address, settings: RoomSettings):
        self._lan = lan
        self.ip = f"192.0.2.{number}"
        self.port = 50000 + number
        self.session = ChatSession(server, name, random.Random(number))
        where = f"{self.ip}:{DEFAULT_PORT}"
        chance = random.Random(100 + number)
        self.host = RoomHost(settings, chance, DEFAULT_PORT, self, lan_address=where)

    # What the host sees of the client: see `Membership`.

    @property
    def client_id(self) -> int:
        return self.session.client_id

    @property
    def standing(self) -> Standing:
        return self.session.standing

    def copy_replica(self) -> Replica:
        return self.session.replica.copied(self._lan.now)

    def look_at(self, address: Address) -> None:
        self.session.look_at(address, self._lan.now)


class _Lan:
    """A few such computers and a sniffer between them, in virtual time."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.machines: list[_Machine] = []
        self.captured: list[Captured] = []
        self.cut_off: set[str] = set()
        """The computers that nobody else reaches."""
        self._under_way: deque[tuple[float, bytes, Address, Address]] = deque()

    def start(self, name: str, number: int, server: Address) -> _Machine:
        settings = RoomSettings("Класс", heartbeat_seconds=HOSTED_HEARTBEAT_SECONDS)
        machine = _Machine(self, name, number, server, settings)
        self.machines.append(machine)
        machine.session.start(self.now)
        return machine

    def run(self, seconds: float) -> None:
        """Runs all machines for so many seconds."""
        until = round(self.now + seconds, 6)
        while self.now < until:
            self._step()
            tick = round(self.now + TICK_SECONDS, 6)
            self.now = min(max(tick, round(self._next_at(), 6)), until)

    def _next_at(self) -> float:
        """When the next datagram arrives, or a machine has something to do."""
        parts = [part for machine in self.machines for part in (machine.session, machine.host)]
        times = [at for at, *_ in self._under_way]
        return min(times + [at for part in parts if (at := part.next_timeout()) is not None])

    def _step(self) -> None:
        while self._under_way and self._under_way[0][0] <= self.now:
            _, datagram, source, (ip, port) = self._under_way.popleft()
            for machine in self.machines:
                if machine.ip != ip:
                    continue
                if port == DEFAULT_PORT:
                    machine.host.receive_datagram(datagram, source, self.now)
                else:
                    machine.session.receive_datagram(datagram, source, self.now)
        for machine in self.machines:
            machine.session.handle_timeout(self.now)
            for datagram in machine.session.datagrams_to_send():
                self._send(datagram, machine, machine.port, machine.session.server)
            machine.host.handle_timeout(self.now)
            for datagram, addresses in machine.host.datagrams_to_send(self.now):
                for address in addresses:
                    self._send(datagram, machine, DEFAULT_PORT, address)

    def _send(self, datagram: bytes, machine: _Machine, port: int, target: Address) -> None:
        at = self.now + DELAY_SECONDS
        host, target_port = target
        if host == "127.0.0.1":  # no sniffer sees it
            self._under_way.append((at, datagram, (host, port), (machine.ip, target_port)))
            return
        source = machine.ip, port
        others = [other for other in self.machines if other is not machine]
        if target == EVERYWHERE:  # whoever hosts no room does not listen there
            asked = [other.ip for other in others if other.host.is_hosting]
            seen: Address = GROUP_IPV4, DISCOVERY_PORT
        else:
            asked, seen = [host], (host, target_port)
        self.captured.append(Captured(UNIX_TIME + self.now, source, seen, datagram))
        for ip in asked:
            if not {machine.ip, ip} & self.cut_off:
                self._under_way.append((at, datagram, source, (ip, target_port or DEFAULT_PORT)))


def _conversation_of_hosts(begins_at: float) -> list[Captured]:
    """A host is cut off, another takes over, and the two become one."""
    lan = _Lan(begins_at)
    anna = lan.start("Anna", 21, ("127.0.0.1", DEFAULT_PORT))
    anna.host.open_room(lan.now)
    lan.run(0.3)
    boris = lan.start("Борис", 22, (anna.ip, DEFAULT_PORT))
    boris.session.stand_by(DEFAULT_PORT, lan.now)
    carla = lan.start("Carla", 23, (anna.ip, DEFAULT_PORT))
    lan.run(0.5)
    anna.session.say("I host this room.", lan.now)
    lan.run(0.5)
    lan.cut_off.add(anna.ip)
    lan.run(4.5)
    anna.session.say("Where are you?", lan.now)
    anna.session.say("looks around", lan.now, MessageKind.ACTION)
    boris.session.say("Now I host it.", lan.now)
    carla.session.say("And I am here.", lan.now)
    lan.run(0.5)
    lan.cut_off.clear()
    lan.run(2.7)
    for machine in lan.machines:
        machine.session.leave(lan.now)
    lan.run(0.5)
    return lan.captured


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="capture", description="writes the sample capture")
    parser.add_argument("file", metavar="FILE", type=Path, help="where to: a .pcap")
    file: Path = parser.parse_args(argv).file
    file.write_bytes(pcap(conversation()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
