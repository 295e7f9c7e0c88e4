"""The chat's server: one room, one socket, one thread.

The room itself is the pure state machine of room.py. `UdpServer` is the thin shell around it:
it drains what has arrived, steps the room once, and sends. `main` is the command.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import logging
import random
import selectors
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from arguments import count, port, room_name, seconds
from datagrams import dropped_count, open_datagrams, receive_buffer
from discovery import DISCOVERY_PORT, Beacon
from protocol import DEFAULT_PORT, RUN_MAX, Offer
from relay import Outgoing
from room import ChatRoom, RoomSettings, format_address

__all__ = ["ChatRoom", "RoomSettings", "UdpServer", "main"]

logger = logging.getLogger("udp_chat.server")

RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024
"""Asked of the kernel, which may grant less: the acknowledgements of a large room come at once."""

STATUS_TRUESIZE_BYTES = 1024
"""What a STATUS takes of that buffer on Linux, with the kernel's bookkeeping (measured: 832)."""

DROPS_INTERVAL_SECONDS = 1.0
"""How often at most the kernel is asked for what it dropped."""

MEMBERS_MAX = 10_000
"""The most that `--max-members` takes: their roster is to fit a member's inbox."""


class UdpServer:
    """A room on a UDP socket, served by one thread.

    `start()` serves in a thread of its own, `serve()` in the caller's. Both are ended by
    `close()`, from any thread and any number of times. A context manager.
    """

    def __init__(
        self,
        host: str = "",
        port: int = DEFAULT_PORT,
        settings: RoomSettings | None = None,
        discovery_port: int | None = None,
    ) -> None:
        """Binds the socket: raises OSError if that cannot be. No host means all interfaces.

        With a `discovery_port` (discovery.DISCOVERY_PORT), clients on the LAN find the room.
        """
        settings = settings or RoomSettings()
        self._socket = _bind(host, port)
        self._datagrams = open_datagrams(self._socket)
        self._drops_counted_at = float("-inf")
        self.shortfall = _ask_for_buffer(self._socket, settings.members_max)
        """What a full room may lack, for who runs the server; empty if nothing."""
        self.address: tuple[str, int] = self._socket.getsockname()[:2]
        self.room = ChatRoom(
            settings,
            random.SystemRandom(),
            time.monotonic(),
            time.time() - time.monotonic(),
        )
        self._beacon: Beacon | None = None
        if discovery_port is not None:
            self._beacon = Beacon(self._socket, time.monotonic(), discovery_port)
            for problem in self._beacon.problems:
                logger.warning("some may not find this room: %s", problem)
        # A byte here ends the wait: a selector has no other portable alarm.
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._closing = False
        # Held while `serve` runs, so that `close` takes no socket away from under it. Reentrant,
        # so that a signal handler that calls `close` in the middle of `serve` does not hang.
        self._serving = threading.RLock()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> UdpServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Serves in a new thread and returns at once."""
        self._thread = threading.Thread(target=self.serve, name="udp-chat server")
        try:
            self._thread.start()
        except BaseException:  # Ctrl-C too: no thread stays behind
            self.close()
            raise

    def stop(self) -> None:
        """Asks `serve` to say goodbye and return; safe in a signal handler."""
        self._closing = True
        with contextlib.suppress(OSError):
            self._wake_sender.send(b"\0")

    def wake_fileno(self) -> int:
        """For `signal.set_wakeup_fd`: without it, Windows sleeps through Ctrl-C."""
        return self._wake_sender.fileno()

    def close(self) -> None:
        """Says BYE to all members, ends the thread and frees the port."""
        self.stop()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            thread.join()
        with self._serving:
            self._socket.close()
            if self._beacon is not None:
                self._beacon.close()
            self._wake_receiver.close()
            self._wake_sender.close()

    def serve(self) -> None:
        """Runs the room until `stop` or `close`."""
        with self._serving:
            if not self._closing:
                self._serve()

    def _serve(self) -> None:
        room = self.room
        with selectors.DefaultSelector() as selector:
            selector.register(self._socket, selectors.EVENT_READ)
            selector.register(self._wake_receiver, selectors.EVENT_READ)
            beacon = self._beacon
            for sock in beacon.sockets() if beacon is not None else ():
                selector.register(sock, selectors.EVENT_READ, beacon)
            while not self._closing:
                timeout_at = room.next_timeout()
                if beacon is not None:
                    timeout_at = min(beacon.rescan_at, timeout_at or beacon.rescan_at)
                timeout = None if timeout_at is None else max(0.0, timeout_at - time.monotonic())
                ready = selector.select(timeout)
                now = time.monotonic()
                room.wall_offset_seconds = time.time() - now
                self._drain(now)
                room.handle_timeout(now)
                self._count_drops(now)
                self._send(room.datagrams_to_send())
                if beacon is not None:  # behind the chat: a flood of questions is not to delay it
                    beacon.rescan(now)
                    for key, _ in ready:
                        if key.data is beacon:
                            beacon.handle(key.fileobj, self._offer, now)
        room.close(time.monotonic())
        self._send(room.datagrams_to_send())
        self._drops_counted_at = float("-inf")
        self._count_drops(time.monotonic())
        counted = ", ".join(f"{what} {number}" for what, number in room.counters.most_common())
        logger.info("stopped; counted: %s", counted or "nothing")

    def _offer(self, nonce: int) -> Offer:
        room = self.room
        return Offer(nonce, room.log.epoch, len(room.members), self.address[1], room.settings.room)

    def _drain(self, now: float) -> None:
        try:
            received = self._datagrams.receive()
        except OSError as error:
            # An ICMP error about some peer (WSAECONNRESET): it is no fault of the socket.
            logger.debug("receive: %s", error)
            self.room.counters["receive errors"] += 1
            return
        for datagram, address in received:
            self.room.receive_datagram(datagram, address, now)

    def _send(self, outgoing: Iterable[Outgoing]) -> None:
        # A broadcast of several datagrams has one tuple of addresses: it goes out together.
        for _, group in itertools.groupby(outgoing, lambda entry: id(entry[1])):
            datagrams, addresses = zip(*group, strict=True)
            logger.debug("> %s %d datagrams", addresses[0], len(datagrams))
            for address, error in self._datagrams.send(datagrams, addresses[0]):
                # Unreachable, refused, filtered, still full: for the others it goes on, and this
                # one is repaired or times out.
                logger.debug("send to %s: %s", format_address(address), error)
                self.room.counters["send errors"] += 1

    def _count_drops(self, now: float) -> None:
        """Takes over what the kernel says it dropped, now and then."""
        if now < self._drops_counted_at + DROPS_INTERVAL_SECONDS:
            return
        self._drops_counted_at = now
        dropped = dropped_count(self._socket)
        if dropped:
            if not self.room.counters["dropped by the kernel"]:
                logger.warning("the receive buffer was full: the kernel dropped datagrams")
            self.room.counters["dropped by the kernel"] = dropped


def _bind(host: str, port: int) -> socket.socket:
    """A bound, non-blocking UDP socket; for all interfaces one that speaks IPv4 and IPv6."""
    if host:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM, flags=socket.AI_PASSIVE)
        # As the client chooses: else `localhost` could be two different addresses.
        family, _, _, _, address = min(found, key=lambda entry: entry[0] != socket.AF_INET)
        sock = socket.socket(family, socket.SOCK_DGRAM)
    elif socket.has_dualstack_ipv6():
        sock, address = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM), ("::", port)
    else:
        sock, address = socket.socket(socket.AF_INET, socket.SOCK_DGRAM), ("0.0.0.0", port)
    try:
        if not host and sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setblocking(False)
        sock.bind(address)
    except BaseException:  # Ctrl-C too: no socket stays open
        sock.close()
        raise
    return sock


def _ask_for_buffer(sock: socket.socket, members_max: int) -> str:
    """Asks for a receive buffer; says so if a full room may overflow what is granted."""
    granted_bytes = receive_buffer(sock, RECEIVE_BUFFER_BYTES)
    # All members acknowledge the same line at about the same time.
    members = granted_bytes // STATUS_TRUESIZE_BYTES
    if granted_bytes >= RECEIVE_BUFFER_BYTES or members >= members_max:
        return ""
    return (
        f"the kernel grants a receive buffer of {granted_bytes // 1024} KiB, enough for some"
        f" {members} members who answer at once; for more, on Linux, as root:"
        f" sysctl -w net.core.rmem_max={RECEIVE_BUFFER_BYTES}"
    )


# --- the command -----------------------------------------------------------------------------


def _parser() -> argparse.ArgumentParser:
    defaults = RoomSettings()
    parser = argparse.ArgumentParser(
        prog="udp_server.py",
        description="Opens a chat room over UDP. Others join it with: python3 udp_client.py SERVER",
        epilog="Stop it with Ctrl-C; the members are told. What was said is kept in memory only.",
    )
    parser.add_argument("--host", default="", help="address to bind (default: all interfaces)")
    parser.add_argument(
        "--port", type=port, default=DEFAULT_PORT, help="0 takes a free one (default: %(default)s)"
    )
    parser.add_argument(
        "--room", type=room_name, default=defaults.room, help="its name (default: %(default)s)"
    )
    parser.add_argument(
        "--max-members",
        type=_member_count,
        default=defaults.members_max,
        metavar="N",
        help="refuse more than N (default: %(default)s)",
    )
    parser.add_argument(
        "--per-address",
        type=count,
        default=defaults.members_per_address_max,
        metavar="N",
        help="members from one address, who share its rates; 0: any number, and no rates for an"
        " address (default: %(default)s)",
    )
    parser.add_argument(
        "--history",
        type=count,
        default=defaults.history_events,
        metavar="N",
        help="events shown to a newcomer (default: %(default)s)",
    )
    parser.add_argument(
        "--log-entries",
        type=_positive_int,
        default=defaults.log_entries_max,
        metavar="N",
        help="events remembered for who comes back (default: %(default)s)",
    )
    parser.add_argument(
        "--rate",
        type=count,
        default=int(defaults.message_rate),
        metavar="N",
        help="messages a second that one client, and all clients of one address together, may say"
        " in the long run; all members together may say twice as many. More is held back."
        " 0 lifts all rates (default: %(default)s)",
    )
    parser.add_argument(
        "--heartbeat",
        type=seconds,
        default=defaults.heartbeat_seconds,
        metavar="SECONDS",
        help="how often an idle client shows that it lives (default: %(default)g)",
    )
    parser.add_argument(
        "--timeout",
        type=seconds,
        default=defaults.timeout_seconds,
        metavar="SECONDS",
        help="silence after which a member is dropped (default: %(default)g)",
    )
    parser.add_argument(
        "--no-discovery",
        action="store_true",
        help="answer nobody who looks for rooms: only who knows the address can join",
    )
    parser.add_argument(
        "--log-level",
        default="warning",
        choices=["debug", "info", "warning", "error"],
        help="info: who comes and goes, at the end all counters; debug: every datagram"
        " (default: %(default)s)",
    )
    return parser


def _positive_int(text: str) -> int:
    number = count(text)
    if number == 0:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _member_count(text: str) -> int:
    number = _positive_int(text)
    if number > MEMBERS_MAX:
        raise argparse.ArgumentTypeError(f"at most {MEMBERS_MAX}: more names fit no inbox")
    return number


def main(argv: Sequence[str] | None = None) -> int:
    """The command `udp_server.py`; returns its exit code."""
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.timeout <= arguments.heartbeat:
        parser.error("--timeout must be longer than --heartbeat")
    logging.basicConfig(
        level=arguments.log_level.upper(), format="%(asctime)s %(name)s %(levelname)s %(message)s"
    )
    settings = RoomSettings(
        room=arguments.room,
        members_max=arguments.max_members,
        members_per_address_max=arguments.per_address,
        heartbeat_seconds=arguments.heartbeat,
        timeout_seconds=arguments.timeout,
        message_rate=arguments.rate,
        message_burst=max(2 * arguments.rate, RUN_MAX),
        log_entries_max=arguments.log_entries,
        history_events=arguments.history,
    )
    try:
        discovery_port = None if arguments.no_discovery else DISCOVERY_PORT
        server = UdpServer(arguments.host, arguments.port, settings, discovery_port)
    except (OSError, UnicodeError) as error:  # UnicodeError: of a host no name server is asked
        where = f"{arguments.host or 'all interfaces'}, port {arguments.port}"
        why = getattr(error, "strerror", None) or error
        print(f"cannot open a room on {where}: {why}", file=sys.stderr)
        return 1

    def stop(*_: Any) -> None:
        server.stop()

    endings = [signal.SIGINT, signal.SIGTERM]
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        endings.append(signal.SIGHUP)  # the terminal's window is closed; nohup has it ignored
    previous = {number: signal.signal(number, stop) for number in endings}
    previous_wakeup = signal.set_wakeup_fd(server.wake_fileno(), warn_on_full_buffer=False)
    try:
        if server.shortfall:
            print(f"note: {server.shortfall}", file=sys.stderr)
        print(f"listening on {format_address(server.address)}", flush=True)
        server.serve()
    finally:
        signal.set_wakeup_fd(previous_wakeup)
        server.close()
        for number, handler in previous.items():
            signal.signal(number, handler)
    return 0


if __name__ == "__main__":
    sys.exit(main())
