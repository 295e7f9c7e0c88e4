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
import os
import secrets
import selectors
import socket
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from discovery import (
    DISCOVERY_PORT,
    RECEIVE_BYTES,
    Interface,
    Room,
    Way,
    find_rooms,
    join_group,
    list_interfaces,
    listening_socket,
    open_ways,
)
from lines import printable
from protocol import (
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


class Outcome(Enum):
    """What became of the probes. The first that fits."""

    ANSWERED = "answered"
    SHORT_ONLY = "short_only"  # long datagrams are lost on the way
    UNKNOWN_HOST = "unknown_host"
    NO_ROUTE = "no_route"
    FORBIDDEN = "forbidden"
    STRANGER = "stranger"  # something answers that is not this chat
    REFUSED = "refused"  # an ICMP error: the machine is there, nothing listens
    NO_NEIGHBOUR = "no_neighbour"  # on this network, but no machine has that address
    FILTERED = "filtered"  # the machine is there, but its port is silent
    SILENT = "silent"


# --- the pure part ---------------------------------------------------------------------------


@dataclass(slots=True)
class Probing:
    """What was sent to a server and what came back. The pure half of `probe`."""

    sent_at: dict[int, float] = field(default_factory=dict)
    """By session id: when that short probe went out."""
    rtts_seconds: list[float] = field(default_factory=list)
    long_ids: set[int] = field(default_factory=set)
    long_answered: bool = False
    strange_count: int = 0
    """Datagrams from the server's port that are no BYE to a probe."""
    refused: bool = False
    send_error: OSError | None = None

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
            return Outcome.ANSWERED if self.long_answered else Outcome.SHORT_ONLY
        if isinstance(self.send_error, PermissionError):
            return Outcome.FORBIDDEN
        if self.strange_count:
            return Outcome.STRANGER
        if self.refused:
            return Outcome.REFUSED
        if self.send_error is not None:
            return Outcome.NO_ROUTE
        return Outcome.SILENT


def short_probe(session_id: int, timestamp: int) -> bytes:
    """A STATUS that asks for nothing but a BYE."""
    return Status(session_id, timestamp, 0, 0, 0, 0, 0).encode()


def long_probe(session_id: int, timestamp: int) -> bytes:
    """A SAY of exactly DATAGRAM_BYTES_MAX: one longest message, and one that fills the rest."""
    rest = Say.ROOM_BYTES - 2 * Message.LAYOUT.size - TEXT_BYTES_MAX
    texts = ("x" * TEXT_BYTES_MAX, "x" * rest)
    messages = (Message(n, MessageKind.CHAT, text) for n, text in enumerate(texts, 1))
    datagram = Say(session_id, timestamp, tuple(messages)).encode()
    assert len(datagram) == DATAGRAM_BYTES_MAX
    return datagram


def percentile(values: Sequence[float], part: float) -> float:
    """The smallest value that at least this part of them does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, -int(-len(ordered) * part // 1) - 1)]


def inodes_of_port(table: str, port: int) -> set[str]:
    """Inodes of the sockets on a local port, from the text of /proc/net/udp or udp6."""
    inodes = set()
    for line in table.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and int(fields[1].rpartition(":")[2], 16) == port:
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
            found = bool(int(fields[2], 16) & 2) or bool(found)
    return found


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
    "way_broadcast_all": "Broadcast to {target}",
    "way_loopback": "A datagram to {target}",
    "echo_returned": "{way} on {name}: leaves and comes back.",
    "echo_lost": "{way} on {name}: leaves, but does not come back.",
    "echo_unsent": "{way} on {name}: cannot be sent ({error}).",
    "echo_deaf": "What comes back cannot be heard: port {port} is not to be had ({error}).",
    "echo_note": "What comes back is this machine's own copy. Whether the network carries it to"
    " other machines shows in who answers.",
    "room": "Room “{room}” answers, at {address} (members: {count}).",
    "rooms_none": "No room answers on this network.",
    "chat_port_taken": "Port {port} of this machine, the chat's, is taken by {holders}.",
    "chat_port_taken_unknown": "Port {port} of this machine, the chat's, is taken.",
    "chat_port_free": "Port {port} of this machine, the chat's, is free: no room is open here"
    " on it.",
    "discovery_port_taken": "Port {port} of this machine, for finding rooms, is taken by {holders}.",
    "discovery_port_taken_unknown": "Port {port} of this machine, for finding rooms, is taken.",
    "discovery_port_free": "Port {port} of this machine, for finding rooms, is free: no room here"
    " can be found from elsewhere.",
    "holder": "{command} (process {pid})",
    "holder_unknown": "a process of another user",
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
    " usual in guest networks). Compare the address with what the server's machine shows; else use"
    " a cable, another Wi-Fi or a phone's hotspot.",
    "filtered": "Likely cause: the machine {host} is there, but lets nothing in on UDP port {port}:"
    " a firewall on it. Allow the port there (Linux: sudo ufw allow {port}/udp; Windows and macOS:"
    " allow Python in the firewall's settings).",
    "silent": "Likely cause, one of these: the address {host} is wrong, or that machine is off; a"
    " firewall there lets nothing in on UDP port {port}; the Wi-Fi keeps its users apart (client"
    " isolation, usual in guest networks). Compare the address with what the server's machine"
    " shows, allow the port there, then try a cable, another Wi-Fi or a phone's hotspot.",
    "silent_here": "Likely cause: what holds port {port} of this machine is no server of this"
    " chat, or a firewall keeps this machine from itself. Start the server on another port:"
    " python3 udp_server.py --port 0",
    "nothing_found": "Likely cause, one of these: no server is running; a firewall on its machine"
    " lets nothing in on UDP port {port}; the Wi-Fi keeps its users apart (client isolation, usual"
    " in guest networks). Start a room on one machine (python3 udp_server.py), then give its"
    " address: python3 udp_client.py ADDRESS, or to see more: python3 udp_client.py --doctor"
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
    "way_broadcast_all": "Рассылка всем на {target}",
    "way_loopback": "Датаграмма на {target}",
    "echo_returned": "{way} через {name}: уходит и возвращается.",
    "echo_lost": "{way} через {name}: уходит, но не возвращается.",
    "echo_unsent": "{way} через {name}: отправить нельзя ({error}).",
    "echo_deaf": "Услышать возвращённое нельзя: порт {port} не получить ({error}).",
    "echo_note": "Возвращается собственная копия этой машины. Доносит ли её сеть до других машин,"
    " видно по тому, кто отвечает.",
    "room": "Отвечает комната «{room}» по адресу {address} (участников: {count}).",
    "rooms_none": "В этой сети ни одна комната не отвечает.",
    "chat_port_taken": "Порт чата {port} на этой машине занят: {holders}.",
    "chat_port_taken_unknown": "Порт чата {port} на этой машине занят.",
    "chat_port_free": "Порт чата {port} на этой машине свободен: здесь на нём комнаты нет.",
    "discovery_port_taken": "Порт для поиска комнат {port} на этой машине занят: {holders}.",
    "discovery_port_taken_unknown": "Порт для поиска комнат {port} на этой машине занят.",
    "discovery_port_free": "Порт для поиска комнат {port} на этой машине свободен: комнату на ней"
    " другие не найдут.",
    "holder": "{command} (процесс {pid})",
    "holder_unknown": "процесс другого пользователя",
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
    "filtered": "Вероятная причина: машина {host} на месте, но на порт UDP {port} ничего не"
    " пропускает: на ней брандмауэр. Откройте там порт (Linux: sudo ufw allow {port}/udp; Windows"
    " и macOS: разрешите Python в настройках брандмауэра).",
    "silent": "Вероятная причина, одна из этих: адрес {host} неверен или та машина выключена;"
    " брандмауэр на ней ничего не пропускает на порт UDP {port}; Wi-Fi разделяет своих"
    " пользователей (изоляция клиентов, обычная в гостевых сетях). Сверьте адрес с тем, что"
    " показывает машина сервера, откройте там порт, затем попробуйте кабель, другой Wi-Fi или"
    " раздачу с телефона.",
    "silent_here": "Вероятная причина: порт {port} этой машины держит не сервер этого чата, или"
    " брандмауэр не пускает машину к самой себе. Запустите сервер на другом порту:"
    " python3 udp_server.py --port 0",
    "nothing_found": "Вероятная причина, одна из этих: ни один сервер не запущен; брандмауэр на его"
    " машине ничего не пропускает на порт UDP {port}; Wi-Fi разделяет своих пользователей"
    " (изоляция клиентов, обычная в гостевых сетях). Откройте комнату на одной из машин"
    " (python3 udp_server.py), затем укажите её адрес: python3 udp_client.py АДРЕС, а чтобы узнать"
    " больше: python3 udp_client.py --doctor АДРЕС",
}

CATALOGUES: Mapping[str, Mapping[str, str]] = {"en": _ENGLISH, "ru": _RUSSIAN}
"""The same keys in each; of the outcomes, the key is the `Outcome`'s value."""


# --- looking ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Echo:
    """Whether a DISCOVER over one way came back to this machine."""

    way: Way
    error: OSError | None
    """Why it could not be sent."""
    returned: bool


def hear_own_copies(
    interfaces: Sequence[Interface], port: int = DISCOVERY_PORT
) -> tuple[list[Echo], OSError | None]:
    """Sends a DISCOVER over every way and listens for it on the discovery port.

    Also the error, if there was one, that kept this machine from listening. Rooms that answer
    are not heard here: their OFFERs go to sockets that nobody reads.
    """
    listeners: list[socket.socket] = []
    deaf: OSError | None = None
    for family in (socket.AF_INET, socket.AF_INET6):
        try:
            listeners.append(listening_socket(family, port))
        except OSError as error:
            # Without IPv6 there are no IPv6 ways either, so only IPv4 is worth a word.
            deaf = error if family == socket.AF_INET else deaf
    with contextlib.ExitStack() as stack:
        for listener in listeners:
            stack.enter_context(listener)
            for interface in interfaces:
                with contextlib.suppress(OSError):
                    join_group(listener, interface)
        ways = stack.enter_context(open_ways(interfaces, port))
        awaited: dict[int, Way] = {}
        errors: dict[int, OSError] = {}
        for way in ways:
            nonce = secrets.randbits(64)
            awaited[nonce] = way
            try:
                way.send(Discover(nonce, int(time.monotonic() * 1_000_000)).encode())
            except OSError as error:
                errors[nonce] = error
        heard = _listen_for(set(awaited) - set(errors), listeners)
        return [Echo(way, errors.get(n), n in heard) for n, way in awaited.items()], deaf


def _listen_for(nonces: set[int], listeners: Sequence[socket.socket]) -> set[int]:
    heard: set[int] = set()
    until = time.monotonic() + ECHO_SECONDS
    with selectors.DefaultSelector() as selector:
        for listener in listeners:
            selector.register(listener, selectors.EVENT_READ, listener)
        while listeners and heard != nonces and (left := until - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                with contextlib.suppress(OSError, MalformedDatagram):
                    packet = decode(key.data.recv(RECEIVE_BYTES))
                    if isinstance(packet, Discover) and packet.nonce in nonces:
                        heard.add(packet.nonce)
    return heard


def port_holders(port: int) -> list[tuple[int, str]] | None:
    """(process, its command line) of everyone with a UDP socket on this port, here.

    An empty command line and process 0 stand for one that may not be looked at. None where the
    system does not tell: macOS, Windows. Linux: /proc/net/udp has the inodes of the sockets, and
    /proc/PID/fd who has them open.
    """
    inodes: set[str] = set()
    tables = [PROC / "net" / name for name in ("udp", "udp6")]
    for table in tables:
        with contextlib.suppress(OSError):
            inodes |= inodes_of_port(table.read_text(), port)
    if not any(table.exists() for table in tables):
        return None
    if not inodes:
        return []
    holders: dict[int, str] = {}
    for process in PROC.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended, or is another user's
            targets = {str(entry.readlink()) for entry in (process / "fd").iterdir()}
            if any(f"socket:[{inode}]" in targets for inode in inodes):
                command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                holders[int(process.name)] = printable(command.strip())[:COMMAND_CHARACTERS_MAX]
    return sorted(holders.items()) or [(0, "")]


def port_is_taken(port: int) -> bool:
    """Whether a UDP port of this machine is taken, found out by asking for it."""
    for family, host in ((socket.AF_INET, ""), (socket.AF_INET6, "::")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                if sys.platform == "win32":  # else it would be given away a second time
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
                elif family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                sock.bind((host, port))
        except PermissionError:
            return True  # Windows, of a port that is held exclusively
        except OSError as error:
            if error.errno in _IN_USE:
                return True
    return False


_IN_USE = (98, 48, 10048)  # EADDRINUSE of Linux, of macOS and the BSDs, of Windows


def probe(address: tuple[Any, ...], family: int, short_count: int, long_count: int) -> Probing:
    """Sends the probes, evenly spaced, and collects what comes back. Raises nothing.

    The socket is connected: only then is it told that nothing listens, by an ICMP error, and
    it hears nobody but the server.
    """
    probing = Probing()
    try:
        sock = socket.socket(family, socket.SOCK_DGRAM)
    except OSError as error:
        probing.send_error = error
        return probing
    with sock:
        try:
            sock.connect(address)
        except OSError as error:
            probing.send_error = error
            return probing
        total = short_count + long_count
        for number in range(total):
            session_id = secrets.randbits(63) + 1
            now = time.monotonic()
            if number < short_count:
                probing.sent_at[session_id] = now
                datagram = short_probe(session_id, int(now * 1_000_000))
            else:
                probing.long_ids.add(session_id)
                datagram = long_probe(session_id, int(now * 1_000_000))
            try:
                sock.send(datagram)
            except ConnectionError:  # about an earlier one; this one was not sent
                probing.refused = True
            except OSError as error:
                probing.send_error = error
            _receive(sock, probing, now + PROBE_SPACING_SECONDS)
        ends_at = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < ends_at and not (
            (probing.long_answered or not long_count) and not probing.sent_at
        ):
            _receive(sock, probing, min(ends_at, time.monotonic() + PROBE_SPACING_SECONDS))
    return probing


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
            probing.send_error = error


# --- the command -----------------------------------------------------------------------------


class _Report:
    """Runs the checks and prints a sentence for each."""
