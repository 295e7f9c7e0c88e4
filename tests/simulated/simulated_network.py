"""A room and its clients on a simulated network, in virtual time, every run replayable by its seed.

`SimulatedNetwork` carries the datagrams of one `ChatRoom` and up to a dozen `ChatSession`s and does
to them what `Faults` says: loses, doubles, delays, reorders, corrupts and replays them, cuts links,
and restarts, freezes or moves the ends. Nothing is real but the two state machines: no socket, no
thread, no clock. After each step it checks what must always be true (`_check_*`), and `heal` checks
that when the faults stop, everyone has everything and the network falls silent.
"""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.cells import cells
from tests.simulated.bottleneck import IP_UDP_BYTES, Bottleneck
from tests.simulated.burst_loss import BurstLoss
from tests.simulated.kept_in_memory import KeptInMemory
from tests.simulated.virtual_clock import VirtualClock
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.liveness import HEARTBEAT_SLOTS
from udp_chat.client.outbox import PENDING_MAX
from udp_chat.client.session import GATED_MAX, ChatSession, State
from udp_chat.protocol.delivery import REORDER_MAX, EventLog
from udp_chat.protocol.packets import (
    DATAGRAM_BYTES_MAX,
    NO_COOKIE,
    Challenge,
    Event,
    EventKind,
    Events,
    Join,
    MalformedDatagram,
    MessageKind,
    RefusedReason,
    Status,
    decode,
)
from udp_chat.protocol.wire import Parser
from udp_chat.server.floor import HELD_MAX
from udp_chat.server.member import Member
from udp_chat.server.register import REMEMBERED_MAX
from udp_chat.server.room import ChatRoom
from udp_chat.server.settings import RoomSettings

SERVER = ("server", 9091)
SOCKET_QUEUE_MAX = 200
"""Datagrams that wait in a socket whose process does not read: the rest is lost."""


@dataclass(frozen=True)
class Faults:
    """What the network does to datagrams. Ratios from 0 to 1, durations in seconds."""

    loss_up: float = 0.0
    loss_down: float = 0.0
    loss_burst_count: float = 0.0
    """How many datagrams a link loses in a row on average (burst_loss.py); 0: each by itself."""
    duplication: float = 0.0
    delay_seconds: float = 0.02
    jitter_seconds: float = 0.0
    """Added to the delay, evenly spread, for each datagram by itself: so it reorders."""
    burst_loss: float = 0.0
    """How often a datagram begins a burst in which its link loses everything."""
    burst_seconds: float = 0.2
    corruption: float = 0.0
    """How often bits of a datagram are flipped."""
    replay: float = 0.0
    """How often a datagram is recorded, and comes again up to five minutes later."""


@dataclass(frozen=True)
class Partition:
    """A link that is cut for a while: one way or both."""

    user: int
    begins_at: float
    ends_at: float
    up: bool = True
    down: bool = True


@dataclass
class Shown:
    """What one client has shown, checked against the logs as it comes."""

    events: list[ChatEvent] = field(default_factory=list)
    epoch: int = 0
    last_seq: int = 0
    lost_count: int = 0
    inbox_epoch: int = 0
    inbox_at: int = 0
    inbox_may_skip: bool = False
    sent: set[tuple[int, int]] = field(default_factory=set)
    """(epoch, sequence number) of what was confirmed."""


class RecordedLog(EventLog):
    """A log that also keeps, for the checks, what it lets go."""

    __slots__ = ("recorded",)

    def __init__(self, epoch: int, entries_max: int, bytes_max: int) -> None:
        super().__init__(epoch, entries_max, bytes_max)
        self.recorded: list[bytes] = []

    def begin(self, epoch: int, first: int, encoded: Sequence[bytes], now: float) -> None:
        self.recorded = [b""] * (first - 1)
        super().begin(epoch, first, encoded, now)

    def extend(self, encoded: Sequence[bytes], now: float) -> int:
        self.recorded += encoded
        return super().extend(encoded, now)


class User:
    """One person's client: a session, its address, and what was said through it."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self.port = 40000
        self.session: ChatSession | None = None
        self.shown = Shown()
        self.said: list[str] = []
        self.frozen_until = 0.0
        self.waiting: deque[tuple[bytes, tuple[str, int]]] = deque()
        self.wake_at = float("inf")

    @property
    def address(self) -> tuple[str, int]:
        return (f"10.0.0.{self.number}", self.port)


class SimulatedNetwork(VirtualClock):
    """The network, its virtual clock, the room and the users."""

    def __init__(
        self, seed: int, faults: Faults | None = None, settings: RoomSettings | None = None
    ) -> None:
        super().__init__()
        self.random = random.Random(seed)
        self.faults = faults or Faults()
        self.settings = settings or RoomSettings()
        self.users: list[User] = []
        self.partitions: list[Partition] = []
        self.bottlenecks: dict[tuple[int, bool], Bottleneck] = {}
        """By user (-1: one link that all share) and way (True: up)."""
        self.traffic: Counter[str] = Counter()
        """Datagrams handed to the network, by the name of their packet."""
        self.on_step: Callable[[User], None] | None = None
        """Called with a user after each step of its client, for measurements."""
        self._burst_losses: dict[tuple[int, bool, float, float], BurstLoss] = {}
        """By user, way, loss and length of a burst."""
        self._burst_until: defaultdict[tuple[int, bool], float] = defaultdict(float)
        self._server_waiting: deque[tuple[bytes, tuple[str, int]]] = deque()
        self._server_wake_at = float("inf")
        self._server_frozen_until = 0.0
        # The truth, as the server's logs had it: by epoch, then by sequence number.
        self.truth: dict[int, dict[int, Event]] = {}
        self._messages_seen: set[tuple[int, int, int]] = set()
        self._line_numbers: dict[tuple[int, int], int] = {}
        # Who has proven its address, and the bytes from and to those who have not.
        self._proven: set[tuple[str, int]] = set()
        self._cookies: set[tuple[tuple[str, int], bytes]] = set()
        """(address, cookie) of each CHALLENGE that the room has sent."""
        self._balance: Counter[tuple[str, int]] = Counter()
        self._kept: KeptInMemory | None = None
        self._inbox_truth: dict[int, dict[int, Event]] = {}
        self.restart_server()

    def keep(self) -> None:
        """From now on the room is kept, and a restarted server continues it. To be called before
        anybody joins."""
        self._kept = KeptInMemory()
        self.restart_server()

    # --- the people --------------------------------------------------------------------------

    def join(self, name: str) -> User:
        """A new person comes."""
        user = User(len(self.users), name)
        self.users.append(user)
        self.start(user)
        return user

    def start(self, user: User) -> None:
        """Starts a person's client, a new process with nothing remembered."""
        user.session = ChatSession(SERVER, user.name, random.Random(self.random.getrandbits(64)))
        user.shown = Shown()
        user.said = []
        user.port += 1
        user.waiting.clear()
        user.session.start(self.now)
        self.step_user(user)

    def say(
        self, user: User, text: str, kind: MessageKind = MessageKind.CHAT, to: str = ""
    ) -> None:
        session = user.session
        assert session is not None
        if kind in (MessageKind.CHAT, MessageKind.ACTION):
            user.said.append(text)
        session.say(text, self.now, kind, to)
        self.step_user(user)

    def leave(self, user: User) -> None:
        if user.session is not None:
            user.session.leave(self.now)
            self.step_user(user)

    def crash(self, user: User) -> None:
        """The process is gone, without a word."""
        user.session = None

    def freeze(self, user: User, seconds: float) -> None:
        """The process stops running; datagrams wait in its socket, timers run out unseen."""
        user.frozen_until = self.now + seconds
        self._wake_user(user, user.frozen_until)

    def freeze_server(self, seconds: float) -> None:
        """The server's process stops running; datagrams wait in its socket."""
        self._server_frozen_until = self.now + seconds
        self.at(self._server_frozen_until, self._step_server)

    def move(self, user: User) -> None:
        """The client has a new address from now on, and does not know it."""
        user.port += 1

    def restart_server(self) -> None:
        """The server's process ends and another begins: a new epoch, everything forgotten, unless
        the room is kept."""
        chance = random.Random(self.random.getrandbits(64))
        self.room = ChatRoom(self.settings, chance, self.now, make_log=RecordedLog)
        assert isinstance(self.room.log, RecordedLog)
        self._log = self.room.log
        if self._kept is not None:
            self.room.keep(self._kept.read(self.settings.log_entries_max))
        else:
            self._inbox_truth.clear()
        self.truth.setdefault(self._log.epoch, {})
        self._server_waiting.clear()
        self._server_frozen_until = 0.0
        self._proven.clear()
        self._cookies.clear()

    # --- the wire ----------------------------------------------------------------------------

    def _link(self, address: tuple[str, int]) -> int:
        host = address[0]
        return int(host.rpartition(".")[2]) if host.startswith("10.0.0.") else -1

    def _is_cut(self, user: int, up: bool) -> bool:
        return any(
            p.user in (user, -1)
            and p.begins_at <= self.now < p.ends_at
            and (p.up if up else p.down)
            for p in self.partitions
        )

    def _is_lost(self, user: int, up: bool) -> bool:
        loss = self.faults.loss_up if up else self.faults.loss_down
        burst_count = self.faults.loss_burst_count
        if not (loss and burst_count):
            return self.random.random() < loss
        key = user, up, loss, burst_count
        if key not in self._burst_losses:
            self._burst_losses[key] = BurstLoss(loss, burst_count, self.random)
        return self._burst_losses[key].loses()

    def transmit(self, datagram: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        """Puts a datagram on the wire, where anything may happen to it."""
        assert len(datagram) <= DATAGRAM_BYTES_MAX
        up = target == SERVER
        link = self._link(source if up else target)
        faults, chance = self.faults, self.random.random
        if self._is_cut(link, up):
            return
        if self._burst_until[link, up] > self.now:
            return
        if faults.burst_loss and chance() < faults.burst_loss:
            self._burst_until[link, up] = self.now + chance() * faults.burst_seconds
            return
        if self._is_lost(link, up):
            return
        if faults.corruption and chance() < faults.corruption:
            datagram = self._corrupt(datagram)
        copies = 2 if faults.duplication and chance() < faults.duplication else 1
        bottleneck = self.bottlenecks.get((link, up)) or self.bottlenecks.get((-1, up))
        for _ in range(copies):
            left_at: float | None = self.now
            if bottleneck is not None:
                left_at = bottleneck.take(len(datagram) + IP_UDP_BYTES, self.now)
            if left_at is not None:
                delay = faults.delay_seconds + chance() * faults.jitter_seconds
                self.at(left_at + delay, lambda: self.arrive(datagram, source, target))
        if faults.replay and chance() < faults.replay:
            later = self.now + 300.0 * chance()
            self.at(later, lambda: self._replay(datagram, source, target))

    def narrow(
        self, bytes_per_second: float, queue_seconds: float = 0.2, user: User | None = None
    ) -> None:
        """Gives a user's link this rate each way; without a user, one link that all share."""
        number = -1 if user is None else user.number
        for up in (True, False):
            self.bottlenecks[number, up] = Bottleneck(bytes_per_second, queue_seconds)

    def widen(self, user: User | None = None) -> None:
        """Takes back what `narrow` did for the same user: the link carries everything at once."""
        number = -1 if user is None else user.number
        for up in (True, False):
            self.bottlenecks.pop((number, up), None)

    def _replay(self, datagram: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        if self.faults.replay:  # else the network has healed
            self.arrive(datagram, source, target)

    def _corrupt(self, datagram: bytes) -> bytes:
        corrupted = bytearray(datagram)
        for _ in range(self.random.randint(1, 3)):
            corrupted[self.random.randrange(len(corrupted))] ^= 1 << self.random.randrange(8)
        return bytes(corrupted)

    def arrive(self, datagram: bytes, source: tuple[str, int], target: tuple[str, int]) -> None:
        """Hands a datagram to the one at its target address; nothing happens to it on the way."""
        if target == SERVER:
            if source not in self._proven:
                self._balance[source] += len(datagram)
            if len(self._server_waiting) < SOCKET_QUEUE_MAX:
                self._server_waiting.append((datagram, source))
            self._step_server()
            return
        link = self._link(target)
        if link < 0:
            return
        user = self.users[link]
        if user.session is None or target != user.address:
            return
        if len(user.waiting) < SOCKET_QUEUE_MAX:
            user.waiting.append((datagram, source))
        if user.frozen_until <= self.now:
            self.step_user(user)

    # --- steps -------------------------------------------------------------------------------

    def _step_server(self) -> None:
        room = self.room
        if self._server_frozen_until > self.now:
            return
        while self._server_waiting:
            datagram, source = self._server_waiting.popleft()
            self._note_proof(datagram, source)
            room.receive_datagram(datagram, source, self.now)
        room.handle_timeout(self.now)
        self._record_truth()
        self._keep_changes()
        for datagram, addresses in room.datagrams_to_send():
            packet = decode(datagram)
            for address in addresses:
                self.traffic[type(packet).__name__] += 1
                if isinstance(packet, Challenge):
                    self._cookies.add((address, packet.cookie))
                if address not in self._proven:
                    self._balance[address] -= len(datagram)
                    assert self._balance[address] >= 0, f"amplification towards {address}"
                self.transmit(datagram, SERVER, address)
        self._check_room()
        wake_at = room.next_timeout()
        if wake_at is not None and wake_at < self._server_wake_at:
            assert wake_at > self.now, "the room wants to be woken at once, again"
            self._server_wake_at = wake_at
            self.at(wake_at, lambda: self._server_timer(wake_at))

    def _keep_changes(self) -> None:
        notebook = self.room.notebook
        if self._kept is None or notebook is None:
            return
        changes = notebook.changes()
        if changes is not None:
            self._kept.write(changes)
            notebook.note_kept()

    def _server_timer(self, wake_at: float) -> None:
        if wake_at == self._server_wake_at:
            self._server_wake_at = float("inf")
            self._step_server()

    def step_user(self, user: User) -> None:
        """One wake-up of a person's client."""
        session = user.session
        if session is None or user.frozen_until > self.now:
            return
        while user.waiting:
            datagram, source = user.waiting.popleft()
            session.receive_datagram(datagram, source, self.now)
            self._check_shown(user, session)
        session.handle_timeout(self.now)
        for datagram in session.datagrams_to_send():
            self.traffic[type(decode(datagram)).__name__] += 1
            self.transmit(datagram, user.address, SERVER)
        self._check_shown(user, session)
        self._check_session(session)
        wake_at = session.next_timeout()
        if wake_at is not None:
            assert wake_at > self.now, f"{user.name} wants to be woken at once, again"
            self._wake_user(user, wake_at)

    def _wake_user(self, user: User, wake_at: float) -> None:
        if wake_at < user.wake_at or user.wake_at <= self.now:
            user.wake_at = wake_at
            self.at(wake_at, lambda: self._user_timer(user, wake_at))

    def _user_timer(self, user: User, wake_at: float) -> None:
        if wake_at == user.wake_at:
            user.wake_at = float("inf")
            if user.frozen_until > self.now:
                self._wake_user(user, user.frozen_until)
            else:
                self.step_user(user)

    # --- what must always be true ------------------------------------------------------------

    def _note_proof(self, datagram: bytes, source: tuple[str, int]) -> None:
        try:
            packet = decode(datagram)
        except MalformedDatagram:
            return
        if (
            isinstance(packet, Join)
            and packet.cookie != NO_COOKIE
            and (source, packet.cookie) in self._cookies
        ):
            self._proven.add(source)

    def _record_truth(self) -> None:
        """Copies what was appended since the last step, and checks it."""
        log = self._log
        truth = self.truth[log.epoch]
        for seq in range(len(truth) + 1, log.latest + 1):
            event = Event.parse(Parser(log.recorded[seq - 1], 0))
            truth[seq] = event
            self._check_once(log.epoch, event)
            if event.kind in (EventKind.CHAT, EventKind.ACTION) and "#" in event.text:
                number = int(event.text.partition("#")[2].partition(" ")[0])
                newest = self._line_numbers.get((log.epoch, event.member), 0)
                assert number > newest, f"lines of {event.name} out of order"
                self._line_numbers[log.epoch, event.member] = number
        for member in self._all_members():
            inbox = member.inbox.log
            entries = self._inbox_truth.setdefault(inbox.epoch, {})
            for seq in range(max(len(entries) + 1, inbox.oldest), inbox.latest + 1):
                event = Event.parse(Parser(inbox.slice(seq, seq, 10_000)[0], 0))
                for missed in range(len(entries) + 1, seq):
                    entries[missed] = event  # trimmed within one step: cannot be looked at
                entries[seq] = event
                if event.member == member.number:
                    self._check_once(log.epoch, event)

    def _check_once(self, epoch: int, event: Event) -> None:
        if event.message_id:
            key = (epoch, event.member, event.message_id)
            assert key not in self._messages_seen, f"{event} was appended twice"
            self._messages_seen.add(key)

    def _all_members(self) -> list[Member]:
        return [*self.room.members.values(), *self.room.register.departed.values()]

    def _check_room(self) -> None:
        room, settings = self.room, self.settings
        assert len(room.members) <= settings.members_max, "more members than may be"
        register = room.register
        assert len(register.departed) <= settings.members_max, "too many departed kept"
        assert len(register.remembered) <= REMEMBERED_MAX
        assert len(register.by_client) == len(register.by_name) == len(room.members)
        assert room.log.entry_count <= settings.log_entries_max
        assert room.log.bytes_held <= settings.log_bytes_max + DATAGRAM_BYTES_MAX
        assert room.datagrams_to_send() == [], "something was left over"
        for member in room.members.values():
            assert len(member.held) <= HELD_MAX, f"{len(member.held)} messages held"
            assert member.is_away or member.address in self._proven, (
                f"{member.address} is in, and unproven"
            )
            assert member.position.acked <= room.log.latest
            assert member.appended <= member.received
        held_bytes = sum(member.bytes_held() for member in self._all_members())
        assert room.memory.used_bytes == held_bytes, "what members hold is counted wrong"

    def _check_session(self, session: ChatSession) -> None:
        assert session.pending_count <= PENDING_MAX
        assert cells(session.streams.inbox) <= REORDER_MAX
        assert session.streams.log is None or cells(session.streams.log) <= REORDER_MAX
        held_back = session.transcript.held_back
        assert held_back is None or len(held_back) <= 2 * GATED_MAX
        assert session.room == "" or session.name

    def _check_shown(self, user: User, session: ChatSession) -> None:
        """What is shown equals the log: nothing twice, nothing skipped unsaid, nothing else."""
        shown = user.shown
        log = session.streams.log
        if log is not None and log.epoch != shown.epoch:
            shown.epoch, shown.last_seq, shown.lost_count = log.epoch, 0, 0
        if session.streams.inbox.epoch != shown.inbox_epoch:
            shown.inbox_epoch, shown.inbox_at = session.streams.inbox.epoch, 0
        for event in session.take_events():
            shown.events.append(event)
            kind = event["event"]
            if kind == "lost":
                shown.lost_count += event["count"] or 0
                shown.inbox_may_skip = True
            elif kind == "sent":
                self._check_sent(user, event)
            elif kind in ("private", "notice"):
                self._check_private(shown, event)
            elif "seq" in event:
                self._check_in_order(user, session, event)
        if self.on_step is not None:
            self.on_step(user)

    def _check_sent(self, user: User, event: ChatEvent) -> None:
        if "seq" in event:
            shown, seq = user.shown, event["seq"]
            assert (shown.epoch, seq) not in shown.sent, f"{user.name}: {seq} confirmed twice"
            shown.sent.add((shown.epoch, seq))
            said = self.truth[shown.epoch][seq]
            ends_mine = bool(said.text) and any(text.endswith(said.text) for text in user.said)
            assert ends_mine, f"{said} is not a line of {user.name}"

    def _check_in_order(self, user: User, session: ChatSession, event: ChatEvent) -> None:
        shown, seq = user.shown, event["seq"]
        truth = self.truth[shown.epoch]
        assert seq > shown.last_seq, f"{user.name} was shown {seq} after {shown.last_seq}"
        if shown.last_seq:
            missing = [
                n for n in range(shown.last_seq + 1, seq) if truth[n].kind is not EventKind.JOIN
            ]
            assert len(missing) <= shown.lost_count, f"{user.name}: {missing} skipped unsaid"
        shown.lost_count = 0
        shown.last_seq = seq
        true = truth[seq]
        logged: ChatEvent = {
            "event": true.kind.name.lower(),
            "name": true.name,
            "time": true.time_ms / 1000,
        }
        if true.kind is EventKind.LEAVE:
            logged["reason"] = true.text
        elif true.kind is EventKind.RENAME:
            logged["new_name"] = true.text
        elif true.kind is not EventKind.JOIN:
            logged["text"] = true.text
        same = all(event.get(key) == value for key, value in logged.items())
        assert same, f"{event} is shown otherwise than in the log: {logged}"

    def _check_private(self, shown: Shown, event: ChatEvent) -> None:
        if "time" not in event or shown.inbox_epoch not in self._inbox_truth:
            return  # after a restart the old server's inboxes are gone
        entries = self._inbox_truth[shown.inbox_epoch]
        at = shown.inbox_at
        while True:
            at += 1
            assert at in entries, f"{event} is not in the inbox, or was shown before"
            true = entries[at]
            if true.kind in (EventKind.ROSTER, EventKind.SEEN, EventKind.STATS):
                continue
            if event["event"] == "notice":
                same = true.kind is EventKind.NOTICE and event["reason"] == true.text
            else:
                same = true.kind is EventKind.PRIVATE and event["text"] == true.text
            if same:
                break
            assert shown.inbox_may_skip, f"{true} was skipped unsaid"
        shown.inbox_at, shown.inbox_may_skip = at, False

    # --- and after the faults ----------------------------------------------------------------

    def describe(self) -> str:
        """Where everyone is, for a failure's message."""
        room = self.room
        lines = [f"room {room.log.oldest}…{room.log.latest} members {len(room.members)}"]
        lines += [
            f"  {m.name} {m.address} acked {m.position.acked} inbox {m.inbox.acked}/"
            f"{m.inbox.log.latest} received {m.received} appended {m.appended}"
            for m in room.members.values()
        ]
        for user in self.users:
            session = user.session
            if session is not None:
                log, inbox = session.streams.log, session.streams.inbox
                is_held_back = session.transcript.held_back is not None
                lines.append(
                    f"  {user.name} {user.address} {session.state} pending {session.pending_count}"
                    f" first {session.outbox.first_id} received {session.outbox.received}"
                    f" sent {session.outbox.sent_until}"
                    f" log {log.acknowledged if log else 0}/{log.latest if log else 0}"
                    f" inbox {inbox.acknowledged}/{inbox.latest} held back {is_held_back}"
                    f" as {session.joining.wanted_name} refused {session.joining.refused_for}"
                )
        return "\n".join(lines)

    def is_settled(self) -> bool:
        """Everyone who is there is in, has the whole log, and nothing waits to be accepted."""
        room = self.room
        living = [u.session for u in self.users if u.session is not None]
        talking = [s for s in living if s.state is not State.CLOSED and not self._is_full(s)]
        return len(room.members) == len(talking) and all(
            session.state is State.JOINED
            and session.streams.log is not None
            and session.streams.log.epoch == room.log.epoch
            and session.streams.log.acknowledged == room.log.latest
            and session.client_id in room.register.by_client
            and session.streams.inbox.acknowledged
            == room.register.by_client[session.client_id].inbox.log.latest
            and session.pending_count == 0
            and session.transcript.held_back is None
            for session in talking
        )

    def _is_full(self, session: ChatSession) -> bool:
        """Whether this one waits outside because the room is full."""
        return (
            session.state is State.REJOINING
            and session.joining.refused_for == RefusedReason.ROOM_FULL
            and len(self.room.members) == self.settings.members_max
        )

    def heal(self, limit_seconds: float = 180.0, silence_seconds: float = 20.0) -> float:
        """Ends all faults and checks convergence; returns how long it took."""
        self.faults = Faults(delay_seconds=0.02)
        self.partitions.clear()
        self._server_frozen_until = self.now
        self._step_server()
        for user in self.users:
            user.frozen_until = self.now
            self.step_user(user)
        try:
            took = self.run_until(self.is_settled, limit_seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.describe()}") from None
        self._check_everything_arrived()
        # What was on its way, and the heartbeat by which a moved client learns of it.
        self.run(1.2 * self.settings.heartbeat_seconds + 1.0)
        # Among it may be the JOIN of somebody who has gone since: the room drops them in time.
        self.run_until(self.is_settled, limit_seconds)
        self.run(1.0)
        before = self._work()
        traffic = self.traffic.copy()
        self.run(silence_seconds)
        assert self._work() == before, f"not silent: {before} became {self._work()}"
        allowed = {"Status", "Events"}
        if any(u.session is not None and self._is_full(u.session) for u in self.users):
            allowed |= {"Join", "Challenge", "Refused"}
        assert set(self.traffic - traffic) <= allowed, self.traffic - traffic
        assert self.is_settled()
        members = sum(1 for u in self.users if u.session and u.session.state is State.JOINED)
        shortest = (0.9 - 1 / HEARTBEAT_SLOTS) * self.settings.heartbeat_seconds
        beats = silence_seconds / shortest + 1
        sent = (self.traffic - traffic)["Status"]
        assert sent <= members * beats, f"{sent} heartbeats"
        return took

    def _work(self) -> tuple[int, ...]:
        """How much was done that a silent network does not need."""
        counters = self.room.counters
        return (
            counters["gap repairs"],
            counters["tail repairs"],
            sum(u.session.counters["retransmissions"] for u in self.users if u.session),
            sum(u.session.counters["gap reports"] for u in self.users if u.session),
        )

    def _check_everything_arrived(self) -> None:
        roster = sorted((m.name for m in self.room.members.values()), key=str.casefold)
        for user in self.users:
            session = user.session
            if session is None or session.state is not State.JOINED:
                continue
            assert session.members == roster, f"{user.name} has {session.members}, not {roster}"
            for text in user.said:
                epochs = [
                    sum(1 for event in truth.values() if _says(event, text))
                    for truth in self.truth.values()
                ]
                assert max(epochs) <= 1, f"{text[:40]!r} was accepted twice: {epochs}"
                assert sum(epochs) >= 1, f"{text[:40]!r} was never accepted"


def _says(event: Event, text: str) -> bool:
    """Whether an event is this line, or the first part of it if it is a long one."""
    if event.kind not in (EventKind.CHAT, EventKind.ACTION):
        return False
    return event.text == text or (
        len(text) > 200 and bool(event.text) and text.startswith(event.text)
    )


__all__ = ["Events", "Faults", "Partition", "SimulatedNetwork", "Status", "User"]
