"""Why does it not connect? The checks behind ``udp_client.py --doctor``, told in plain sentences.

`main_checks` looks at this machine's interfaces, sends DISCOVERs to the discovery port and
listens for its own copies, asks who answers, looks who holds the ports, and, given a server,
probes it. At the end it says the likely cause and what to do.

The probes need no session and leave no trace: to a STATUS or SAY with a session id that it does
not know, every server answers BYE, smaller than what asked. Each probe has a random id of its
own, so a BYE says which probe it answers. A SAY is made exactly as long as the longest datagram.

What this cannot see is said where it matters: a machine's own copy of a multicast tells that its
firewall lets it pass, not that the Wi-Fi carries it to others; and that long datagrams reach the
server says nothing of the way back.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import select
import socket
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from udp_chat.discovery.groups import DISCOVERY_PORT, RECEIVE_BYTES, join_group, listening_socket
from udp_chat.discovery.interfaces import LINUX, Interface, list_interfaces
from udp_chat.discovery.search import FoundRoom, Way, find_rooms, open_ways
from udp_chat.protocol.addresses import format_address, resolve
from udp_chat.protocol.delivery import quantile
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    DEFAULT_PORT,
    TEXT_BYTES_MAX,
    Bye,
    Discover,
    MalformedDatagram,
    Message,
    MessageKind,
    Say,
    Status,
    decode,
)
from udp_chat.protocol.printable import printable

PROBE_COUNT = 50
PROBE_SPACING_SECONDS = 0.02
"""A second of probes: enough to see a loss of a few per cent, too little to cause one."""

LONG_PROBE_COUNT = 5
"""That all five are lost by chance, where short ones pass, takes a link nobody would use."""

ROOM_PROBE_COUNT = 5
"""To a room that was found: whether its chat port answers, not how well."""

ROOMS_PROBED_MAX = 8

ANSWER_SECONDS = 1.0
"""What the last probe is waited for: RTO_MAX_SECONDS would be a pause that a person feels."""

ECHO_SECONDS = 0.5
"""What a machine's own copy of a multicast is waited for: it never leaves the machine."""

LOSS_NOTABLE = 0.05
"""The chat repairs more; but a person should know that the link is bad."""

COMMAND_CHARACTERS_MAX = 60
"""Of the command line that holds a port."""

PROC = Path("/proc")

Outcome: TypeAlias = Literal[
    "answered",
    "short_only",  # long datagrams are lost on the way
    "forbidden",  # this machine does not let us send
    "stranger",  # something answers that is not this chat
    "refused",  # an ICMP error: the machine is there, nothing listens
    "filtered",  # an ICMP error: a firewall says no
    "no_neighbour",  # nobody on this network has the address
    "no_route",
    "silent",
]
"""What became of the probes; also the key of the sentence that says so."""


# --- the pure part ---------------------------------------------------------------------------


@dataclass(slots=True)
class Probing:
    """What was sent to a server and what came back."""

    sent_at: dict[int, float] = field(default_factory=dict)
    """By session id: when that short probe went out."""
    rtts_seconds: list[float] = field(default_factory=list)
    long_ids: set[int] = field(default_factory=set)
    long_answered: bool = False
    strange_count: int = 0
    """Datagrams from the server's port that are no BYE to a probe."""
    refused: bool = False
    error: OSError | None = None

    def next_probe(self, session_id: int, short: bool, now: float) -> bytes:
        """A datagram to send now; `session_id` is random, and new with each."""
        if short:
            self.sent_at[session_id] = now
            return short_probe(session_id, int(now * 1_000_000))
        self.long_ids.add(session_id)
        return long_probe(session_id, int(now * 1_000_000))

    @property
    def complete(self) -> bool:
        return self.long_answered and not self.sent_at

    def receive(self, datagram: bytes, now: float) -> None:
        try:
            packet = decode(datagram)
        except MalformedDatagram:
            self.strange_count += 1
            return
        if not isinstance(packet, Bye):
            self.strange_count += 1
        elif packet.session_id in self.long_ids:
            self.long_answered = True
        elif packet.session_id in self.sent_at:
            self.rtts_seconds.append(now - self.sent_at.pop(packet.session_id))

    @property
    def outcome(self) -> Outcome:
        if self.rtts_seconds:
            return "answered" if self.long_answered else "short_only"
        if self.strange_count:
            return "stranger"
        if self.refused:
            return "refused"
        if self.error is None:
            return "silent"
        if self.error.errno in (errno.EACCES, errno.EHOSTUNREACH) and LINUX:
            # Linux tells a UDP socket of a firewall's refusal so, not of an address nobody has.
            return "filtered"
        if isinstance(self.error, PermissionError):
            return "forbidden"
        if self.error.errno in (errno.EHOSTUNREACH, errno.EHOSTDOWN):
            return "no_neighbour"
        return "no_route"


def short_probe(session_id: int, timestamp: int) -> bytes:
    """A STATUS that asks for nothing but a BYE."""
    return Status(session_id, timestamp, 0, 0, 0, 0, 0).encode()


def long_probe(session_id: int, timestamp: int) -> bytes:
    """A SAY of exactly DATAGRAM_BYTES_MAX: one longest message, and one that fills the rest."""
    rest = Say.MESSAGES_BYTES_MAX - 2 * Message.LAYOUT.size - TEXT_BYTES_MAX
    texts = ("x" * TEXT_BYTES_MAX, "x" * rest)
    messages = (Message(n, MessageKind.CHAT, text) for n, text in enumerate(texts, 1))
    datagram = Say(session_id, timestamp, tuple(messages)).encode()
    assert len(datagram) == DATAGRAM_BYTES_MAX
    return datagram


def inodes_of_port(table: str, port: int) -> set[str]:
    """Inodes of the sockets on a local port, from the text of /proc/net/udp or udp6."""
    inodes = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and _hexadecimal(fields[1].rpartition(":")[2]) == port:
            inodes.add(fields[9])
    return inodes


def neighbour_answers(table: str, host: str) -> bool | None:
    """Whether a machine of this network has the address, from the text of /proc/net/arp.

    None if it was never asked for: it is on another network, or not an IPv4 address. False is
    an ARP request that nobody answered.
    """
    found = None
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 2 and fields[0] == host:
            # 2 is ATF_COM: the hardware address is known. One interface that has it is enough.
            found = bool((_hexadecimal(fields[2]) or 0) & 2) or bool(found)
    return found


def _hexadecimal(text: str) -> int | None:
    """A number in a table of the kernel; None for what is none, as another kernel may write it."""
    try:
        return int(text, 16)
    except ValueError:
        return None


# --- the texts -------------------------------------------------------------------------------

_ENGLISH = {
    "interface": "Interface {name}: {addresses}.",
    "interface_loopback": "Interface {name}: {addresses} (this machine only).",
    "interface_idle": "Interface {name} is switched on, but its cable is out or its Wi-Fi is not"
    " joined: {addresses}.",
    "no_address": "no address",
    "interfaces_off": "Switched off: {names}.",
    "no_network": "This machine is on no network: no other machine can be reached. Join the Wi-Fi"
    " or plug in the cable.",
    "way_multicast": "IPv4 multicast",
    "way_multicast6": "IPv6 multicast",
    "way_broadcast": "Broadcast to {target}",
    "echo_returned": "{way} on {name}: leaves and comes back.",
    "echo_lost": "{way} on {name}: leaves, but does not come back (a firewall here?).",
    "echo_unsent": "{way} on {name}: cannot be sent ({error}).",
    "echo_deaf": "What comes back cannot be heard: port {port} is not to be had ({error}).",
    "echo_note": "What comes back is this machine's own copy. Whether the network carries it to"
    " other machines shows in who answers.",
    "room": "Room “{room}” answers, at {address} (members: {count}).",
    "rooms_none": "No room answers on this network.",
    "chat_port_taken": "Port {port} of this machine, the chat's, is taken by {holders}.",
    "chat_port_free": "Port {port} of this machine, the chat's, is free: no room is open on it.",
    "discovery_port_taken": "Port {port} of this machine, to find rooms by, is taken by {holders}.",
    "discovery_port_free": "Port {port} of this machine, to find rooms by, is free: no room here"
    " can be found from elsewhere.",
    "holder": "{command} (process {pid})",
    "holder_hidden": "a process that the system does not show",
    "probing": "Asking {server} …",
    "probes": "{server} answered {answered} of {sent} probes: {median} ms there and back"
    " (median), {p95} ms for 95 %. Lost: {loss} %.",
    "probes_none": "{server} answered none of {sent} probes.",
    "long_arrives": "A datagram of {size} bytes, the longest there is, arrives there.",
    "long_lost": "A datagram of {size} bytes, the longest there is, does not arrive there.",
    "lossy": "The link loses much. The chat repairs that, but lines may come late: move closer to"
    " the Wi-Fi's access point, or use a cable.",
    "other_rooms": "Rooms that do answer: {rooms}. Is one of them the right one?",
    "answered": "All is well: the room can be joined with: python3 udp_client.py {server}",
    "short_only": "Likely cause: a tunnel (VPN) or router on the way drops long datagrams. Switch"
    " the VPN off, or set its MTU to 1280 bytes or more.",
    "unknown_host": "Likely cause: there is no host called {host} ({error}). Check how it is"
    " written, or give the server's address in numbers.",
    "no_route": "Likely cause: this machine has no way to {host} ({error}). Join the network that"
    " the server is on.",
    "forbidden": "Likely cause: a firewall on this machine forbids sending to {server}. Allow"
    " Python to use UDP in its settings.",
    "stranger": "Likely cause: what answers at {server} is another program, or another version of"
    " this chat. Check the port, and use the same version on both machines.",
    "refused": "Likely cause: the machine {host} is there, but no server runs on its port {port}."
    " Start one there: python3 udp_server.py --port {port}",
    "no_neighbour": "Likely cause: no machine on this network answers for the address {host}. The"
    " address is wrong, that machine is off, or the Wi-Fi keeps its users apart (client isolation,"
    " usual for guests). Compare the address with what the server's machine shows, then try a"
    " cable, another Wi-Fi or a phone's hotspot.",
    "filtered": "Likely cause: the machine {host} is on this network, or was a minute ago, but lets"
    " nothing in on UDP port {port}: a firewall on it. Allow the port there (Linux: sudo ufw allow"
    " {port}/udp; Windows and macOS: allow Python in the firewall's settings).",
    "silent": "Likely cause, one of these: the address {host} is wrong, or that machine is off; a"
    " firewall there lets nothing in on UDP port {port}; the Wi-Fi keeps its users apart (client"
    " isolation, usual for guests). Compare the address with what the server's machine shows,"
    " allow the port there, then try a cable, another Wi-Fi or a phone's hotspot.",
    "silent_here": "Likely cause: what holds port {port} of this machine is no server of this"
    " chat, or a firewall keeps this machine from itself. Start the server on another port:"
    " python3 udp_server.py --port 0",
    "firewall_here": "Likely cause: a firewall on this machine lets no multicast or broadcast pass."
    " Allow Python to use UDP in its settings, or give the server's address:"
    " python3 udp_client.py ADDRESS",
    "nothing_found": "Likely cause, one of these: no server is running; a firewall on its machine"
    " lets nothing in on UDP ports {port} and {discovery_port}; the Wi-Fi keeps its users apart"
    " (client isolation, usual for guests). Start a room: python3 udp_server.py. Then give its"
    " address: python3 udp_client.py ADDRESS; or, to see more, python3 udp_client.py --doctor"
    " ADDRESS",
}

_RUSSIAN = {
    "interface": "Интерфейс {name}: {addresses}.",
    "interface_loopback": "Интерфейс {name}: {addresses} (только эта машина).",
    "interface_idle": "Интерфейс {name} включён, но кабель не вставлен или Wi-Fi не подключён:"
    " {addresses}.",
    "no_address": "адреса нет",
    "interfaces_off": "Выключены: {names}.",
    "no_network": "Эта машина не подключена ни к какой сети: других машин она не достигнет."
    " Подключитесь к Wi-Fi или вставьте кабель.",
    "way_multicast": "Групповая рассылка IPv4",
    "way_multicast6": "Групповая рассылка IPv6",
    "way_broadcast": "Рассылка всем на {target}",
    "echo_returned": "{way} через {name}: уходит и возвращается.",
    "echo_lost": "{way} через {name}: уходит, но не возвращается (брандмауэр?).",
    "echo_unsent": "{way} через {name}: отправить нельзя ({error}).",
    "echo_deaf": "Услышать возвращённое нельзя: порт {port} не получить ({error}).",
    "echo_note": "Возвращается собственная копия этой машины. Доносит ли её сеть до других машин,"
    " видно по тому, кто отвечает.",
    "room": "Отвечает комната «{room}» по адресу {address} (участников: {count}).",
    "rooms_none": "В этой сети ни одна комната не отвечает.",
    "chat_port_taken": "Порт чата {port} на этой машине занят: {holders}.",
    "chat_port_free": "Порт чата {port} на этой машине свободен: здесь на нём комнаты нет.",
    "discovery_port_taken": "Порт для поиска комнат {port} на этой машине занят: {holders}.",
    "discovery_port_free": "Порт для поиска комнат {port} на этой машине свободен: комнату на ней"
    " другие не найдут.",
    "holder": "{command} (процесс {pid})",
    "holder_hidden": "чем — эта система не показывает",
    "probing": "Спрашиваю {server} …",
    "probes": "{server}: ответов {answered} на {sent} проб; туда и обратно {median} мс (медиана),"
    " 95 % — до {p95} мс. Потеряно: {loss} %.",
    "probes_none": "{server}: ни одного ответа на {sent} проб.",
    "long_arrives": "Датаграмма в {size} байт, самая длинная из возможных, туда доходит.",
    "long_lost": "Датаграмма в {size} байт, самая длинная из возможных, туда не доходит.",
    "lossy": "Связь теряет много. Чат это исправит, но строки могут запаздывать: подойдите ближе"
    " к точке доступа Wi-Fi или возьмите кабель.",
    "other_rooms": "Отвечают другие комнаты: {rooms}. Может быть, нужна одна из них?",
    "answered": "Всё в порядке: войти в комнату можно так: python3 udp_client.py {server}",
    "short_only": "Вероятная причина: туннель (VPN) или маршрутизатор на пути отбрасывает длинные"
    " датаграммы. Выключите VPN или задайте ему MTU не меньше 1280 байт.",
    "unknown_host": "Вероятная причина: узла с именем {host} нет ({error}). Проверьте написание"
    " или укажите адрес сервера числами.",
    "no_route": "Вероятная причина: у этой машины нет пути к {host} ({error}). Подключитесь к той"
    " сети, в которой сервер.",
    "forbidden": "Вероятная причина: брандмауэр этой машины запрещает отправку на {server}."
    " Разрешите Python пользоваться UDP в его настройках.",
    "stranger": "Вероятная причина: по адресу {server} отвечает другая программа или другая версия"
    " этого чата. Проверьте порт; версии на обеих машинах должны совпадать.",
    "refused": "Вероятная причина: машина {host} на месте, но на её порту {port} сервер не запущен."
    " Запустите его там: python3 udp_server.py --port {port}",
    "no_neighbour": "Вероятная причина: за адрес {host} в этой сети никто не отвечает. Адрес"
    " неверен, та машина выключена или Wi-Fi разделяет своих пользователей (изоляция клиентов,"
    " обычная в гостевых сетях). Сверьте адрес с тем, что показывает машина сервера; иначе"
    " возьмите кабель, другой Wi-Fi или раздачу с телефона.",
    "filtered": "Вероятная причина: машина {host} есть в этой сети или была минуту назад, но на"
    " порт UDP {port} ничего не пропускает: на ней брандмауэр. Откройте там порт (Linux: sudo ufw"
    " allow {port}/udp; Windows и macOS: разрешите Python в настройках брандмауэра).",
    "silent": "Вероятная причина, одна из этих: адрес {host} неверен или та машина выключена;"
    " брандмауэр на ней ничего не пропускает на порт UDP {port}; Wi-Fi разделяет своих"
    " пользователей (изоляция клиентов, обычная в гостевых сетях). Сверьте адрес с тем, что"
    " показывает машина сервера, откройте там порт, затем попробуйте кабель, другой Wi-Fi или"
    " раздачу с телефона.",
    "silent_here": "Вероятная причина: порт {port} этой машины держит не сервер этого чата, или"
    " брандмауэр не пускает машину к самой себе. Запустите сервер на другом порту:"
    " python3 udp_server.py --port 0",
    "firewall_here": "Вероятная причина: брандмауэр этой машины не пропускает рассылок. Разрешите"
    " Python пользоваться UDP в его настройках или укажите адрес сервера:"
    " python3 udp_client.py АДРЕС",
    "nothing_found": "Вероятная причина, одна из этих: ни один сервер не запущен; брандмауэр на его"
    " машине ничего не пропускает на порты UDP {port} и {discovery_port}; Wi-Fi разделяет своих"
    " пользователей (изоляция клиентов, обычная в гостевых сетях). Откройте где-нибудь комнату:"
    " python3 udp_server.py. Затем укажите её адрес: python3 udp_client.py АДРЕС; чтобы узнать"
    " больше: python3 udp_client.py --doctor АДРЕС",
}

CATALOGUES: Mapping[str, Mapping[str, str]] = {"en": _ENGLISH, "ru": _RUSSIAN}
"""The same keys in each."""


# --- looking ---------------------------------------------------------------------------------


@dataclass(slots=True)
class Echo:
    """A DISCOVER over one way, and whether it came back to this machine."""

    way: Way
    nonce: int
    error: OSError | None = None
    """Why it could not be sent."""
    returned: bool = False


def hear_own_copies(
    interfaces: Sequence[Interface], port: int = DISCOVERY_PORT
) -> tuple[list[Echo], OSError | None]:
    """Sends a DISCOVER over every way and listens for it on the discovery port.

    Also the error, if there was one, that kept this machine from listening. Rooms that answer
    are not heard here: their OFFERs go to sockets that nobody reads.
    """
    deaf: OSError | None = None
    with contextlib.ExitStack() as stack:
        listeners: list[socket.socket] = []
        for family in (socket.AF_INET, socket.AF_INET6):
            try:
                listeners.append(stack.enter_context(listening_socket(family, port)))
            except OSError as error:
                # Without IPv6 there are no IPv6 ways either, so only IPv4 is worth a word.
                deaf = error if family == socket.AF_INET else deaf
        for listener in listeners:
            for interface in interfaces:
                with contextlib.suppress(OSError):
                    join_group(listener, interface)
        ways = stack.enter_context(open_ways(interfaces, port))
        # Not the unicast ones: where several listen, the system chooses one of them.
        echoes = [Echo(way, secrets.randbits(64)) for way in ways if way.kind != "loopback"]
        for echo in echoes:
            try:
                echo.way.send(Discover(echo.nonce, int(time.monotonic() * 1_000_000)).encode())
            except OSError as error:
                echo.error = error
        _listen({echo.nonce: echo for echo in echoes}, listeners)
    return echoes, deaf


def _listen(echoes: Mapping[int, Echo], listeners: Sequence[socket.socket]) -> None:
    """Waits until every DISCOVER that was sent has come back, but not for long."""
    until = time.monotonic() + ECHO_SECONDS
    while listeners and not all(echo.returned or echo.error for echo in echoes.values()):
        left = until - time.monotonic()
        if left <= 0:
            return
        for listener in select.select(listeners, [], [], left)[0]:
            with contextlib.suppress(OSError, MalformedDatagram):
                packet = decode(listener.recv(RECEIVE_BYTES))
                if isinstance(packet, Discover) and packet.nonce in echoes:
                    echoes[packet.nonce].returned = True


def port_holders(port: int) -> list[tuple[int, str]]:
    """(process, its command line) of everyone with a UDP socket on this port of this machine.

    Process 0 stands for one that the system does not show: on macOS and Windows any, on Linux
    another user's. There /proc/net/udp has the sockets' inodes, and /proc/PID/fd who has them.
    """
    tables = [_read(PROC / "net" / name) for name in ("udp", "udp6")]
    if not any(tables):
        return [(0, "")] if port_is_taken(port) else []
    sockets = {f"socket:[{inode}]" for table in tables for inode in inodes_of_port(table, port)}
    if not sockets:
        return []
    holders = {}
    for process in PROC.glob("[0-9]*"):
        if not sockets.isdisjoint(_open_files(process)):
            program, *arguments = _read(process / "cmdline").rstrip("\0").split("\0")
            command = printable(" ".join([Path(program).name, *arguments]))
            holders[int(process.name)] = command[:COMMAND_CHARACTERS_MAX]
    return sorted(holders.items()) or [(0, "")]


def _open_files(process: Path) -> set[str]:
    """What a process has open; nothing if it has ended or is another user's."""
    files = set()
    with contextlib.suppress(OSError):
        for entry in (process / "fd").iterdir():
            with contextlib.suppress(OSError):  # it has just been closed
                files.add(str(entry.readlink()))
    return files


def _read(path: Path) -> str:
    """The text of a file of /proc; empty where there is none to read."""
    try:
        return path.read_text("utf-8", "replace")
    except OSError:
        return ""


def port_is_taken(port: int) -> bool:
    """Whether a UDP port of this machine is taken, found out by asking for it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        if sys.platform == "win32":  # else it would be given away a second time
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
        try:
            sock.bind(("", port))
        except OSError:
            return True
    return False


def probe(address: tuple[Any, ...], family: int, short_count: int) -> Probing:
    """Sends short probes, then LONG_PROBE_COUNT long ones, and collects what comes back.

    Raises nothing. The socket is connected: only then is it told, by an ICMP error, that nothing
    listens; and it hears nobody but the server.
    """
    probing = Probing()
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            for number in range(short_count + LONG_PROBE_COUNT):
                now = time.monotonic()
                session_id = secrets.randbits(63) + 1
                _send(sock, probing.next_probe(session_id, number < short_count, now), probing)
                _receive(sock, probing, now + PROBE_SPACING_SECONDS)
            ends_at = time.monotonic() + ANSWER_SECONDS
            while (now := time.monotonic()) < ends_at and not probing.complete:
                _receive(sock, probing, min(ends_at, now + PROBE_SPACING_SECONDS))
    except OSError as error:  # no route, or no such family here
        probing.error = error
    return probing


def _send(sock: socket.socket, datagram: bytes, probing: Probing) -> None:
    try:
        sock.send(datagram)
    except ConnectionError:  # it is about an earlier one
        probing.refused = True
    except OSError as error:
        probing.error = error


def _receive(sock: socket.socket, probing: Probing, until: float) -> None:
    """Takes in what comes until then."""
    while (left := until - time.monotonic()) > 0:
        sock.settimeout(left)
        try:
            probing.receive(sock.recv(RECEIVE_BYTES), time.monotonic())
        except TimeoutError:
            return
        except ConnectionError:
            probing.refused = True
        except OSError as error:
            probing.error = error


# --- the command -----------------------------------------------------------------------------


def main_checks(
    server: tuple[str, int] | None,
    language: str,
    discovery_port: int = DISCOVERY_PORT,
    interfaces: Sequence[Interface] | None = None,
) -> int:
    """Runs all checks, prints a sentence for each, and returns the exit code.

    0: the server, or if none is given a room that was found, can be joined. 1: it cannot, or its
    long datagrams are lost, so that a chat with it would stall. `interfaces` are those to look
    at, all of them if not given. Takes about two seconds, and with a server about four.
    """
    if interfaces is None:
        interfaces = list_interfaces()
    report = _Report(language, interfaces)
    report.interfaces()
    # Before this process takes part in the ports itself.
    report.port("chat", server[1] if server else DEFAULT_PORT)
    report.port("discovery", discovery_port)
    echoes, deaf = hear_own_copies(interfaces, discovery_port)
    report.echoes(echoes, deaf, discovery_port)
    rooms = find_rooms(port=discovery_port, interfaces=interfaces)
    report.rooms(rooms)
    if server is not None:
        joinable = report.server(server, PROBE_COUNT)
        if not joinable and rooms:
            report.tell("other_rooms", rooms=", ".join(format_address(r.address) for r in rooms))
        return 0 if joinable else 1
    if rooms:
        # All of them: who reads this wants to know which one works.
        probed = rooms[:ROOMS_PROBED_MAX]
        joinable_count = sum(report.server(room.address, ROOM_PROBE_COUNT) for room in probed)
        return 0 if joinable_count else 1
    key = nothing_found(interfaces, echoes, deaf)
    report.tell(key, port=DEFAULT_PORT, discovery_port=discovery_port)
    return 1


def nothing_found(
    interfaces: Sequence[Interface], echoes: Sequence[Echo], deaf: OSError | None
) -> str:
    """Which sentence says why no room was found."""
    if not any(i.up and i.running and not i.loopback and _addresses(i) for i in interfaces):
        return "no_network"
    out = [echo for echo in echoes if not echo.way.interface.loopback]
    if deaf is None and not any(echo.returned for echo in out):
        return "firewall_here"
    return "nothing_found"


def likely_cause(outcome: Outcome, own: bool, neighbour: bool | None) -> str:
    """Which sentence says why a server does not answer.

    `own`: its address is one of this machine's. `neighbour`: see `neighbour_answers`.
    """
    if outcome != "silent":
        return outcome
    if own:
        return "silent_here"
    if neighbour is None:
        return outcome
    return "filtered" if neighbour else "no_neighbour"


class _Report:
    """Prints what was seen, in one language."""

    def __init__(self, language: str, interfaces: Sequence[Interface]) -> None:
        self._interfaces = interfaces
        self._catalogue = CATALOGUES[language]
        self._point = "," if language == "ru" else "."

    def text(self, key: str, **values: object) -> str:
        return self._catalogue[key].format(**values)

    def tell(self, key: str, **values: object) -> None:
        print(printable(self.text(key, **values)), flush=True)

    def interfaces(self) -> None:
        for interface in self._interfaces:
            addresses = _addresses(interface)
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

    def echoes(self, echoes: Sequence[Echo], deaf: OSError | None, port: int) -> None:
        if deaf is not None:
            self.tell("echo_deaf", port=port, error=_why(deaf))
        for echo in echoes:
            way = self.text(f"way_{echo.way.kind.removesuffix('_all')}", target=echo.way.target[0])
            values = {"way": way, "name": echo.way.interface.name}
            if echo.error is not None and _addresses(echo.way.interface):
                self.tell("echo_unsent", error=_why(echo.error), **values)
            elif echo.returned:
                self.tell("echo_returned", **values)
            elif echo.error is None and deaf is None:
                self.tell("echo_lost", **values)
        if any(echo.returned and not echo.way.interface.loopback for echo in echoes):
            self.tell("echo_note")

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
        probing = probe(found.address, found.family, probe_count)
        self._probes(probing, probe_count, values)
        number = str(found.address[0])
        own = number.startswith("127.") or any(number in _addresses(i) for i in self._interfaces)
        neighbour = neighbour_answers(_read(PROC / "net" / "arp"), number)
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


def _addresses(interface: Interface) -> list[str]:
    return [address for address, _ in interface.ipv4] + list(interface.ipv6)


def _why(error: Exception | None) -> str:
    return str(getattr(error, "strerror", None) or error)
