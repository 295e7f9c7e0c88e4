"""The simulated network: every recovery branch reached on purpose, and a checker that can fail.

The first part names one mishap a test and asserts, by counters and traffic, which branch repaired
it. The second sabotages one machine at a time and expects the checks to notice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from tests.simulated.simulated_network import Faults, Partition, SimulatedNetwork, User
from udp_chat.client import chat_events
from udp_chat.client.chat_events import ChatEvent
from udp_chat.client.liveness import Liveness
from udp_chat.client.outbox import Outbox
from udp_chat.client.roster import Roster
from udp_chat.client.session import ChatSession, State
from udp_chat.protocol.delivery import Delivery, Lost, OrderedReceiver
from udp_chat.protocol.packets import EventKind, Message, MessageKind, RawMessage
from udp_chat.server.cookies import Cookies
from udp_chat.server.floor import Floor
from udp_chat.server.member import Member, Position
from udp_chat.server.register import Register
from udp_chat.server.relay import Relay
from udp_chat.server.room import ChatRoom
from udp_chat.server.scribe import Scribe
from udp_chat.server.settings import RoomSettings

# --- one mishap at a time --------------------------------------------------------------------


def _room(
    *names: str,
    faults: Faults | None = None,
    settings: RoomSettings | None = None,
    seed: int = 1,
    keeps: bool = False,
) -> tuple[SimulatedNetwork, list[User]]:
    """People who are in, with everything acknowledged."""
    network = SimulatedNetwork(seed, Faults(), settings)
    if keeps:
        network.keep()
    users = [network.join(name) for name in names]
    network.run_until(network.is_settled, 10.0)
    network.run(1.0)
    network.faults = faults or Faults()
    network.room.counters.clear()
    network.traffic.clear()
    for user in users:
        _session(user).counters.clear()
    return network, users


def _session(user: User) -> ChatSession:
    assert user.session is not None
    return user.session


def _texts(user: User) -> list[str]:
    """The lines that a person has seen, in order."""
    return [event["text"] for event in user.shown.events if event["event"] in ("chat", "action")]


def _events(user: User, kind: str) -> list[ChatEvent]:
    return [event for event in user.shown.events if event["event"] == kind]


def _shown(user: User, text: str) -> Callable[[], bool]:
    return lambda: text in _texts(user)


def _cut(network: SimulatedNetwork, user: User, seconds: float, **ways: bool) -> None:
    network.partitions.append(Partition(user.number, network.now, network.now + seconds, **ways))


def _log(network: SimulatedNetwork) -> list[str]:
    """Who came and went, as the newest server's log has it."""
    truth = network.truth[network.room.log.epoch]
    return [
        f"{event.name} {event.kind.name.lower()} {event.text}".strip()
        for event in truth.values()
        if event.kind in (EventKind.JOIN, EventKind.LEAVE)
    ]


def test_without_faults_a_line_costs_one_datagram_each_way_and_one_round_trip() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    network.say(anna, "hello")
    assert network.run_until(_shown(boris, "hello"), 1.0) == pytest.approx(0.04)
    network.run(1.0)
    # The SAY has a copy: nothing is known of Anna's link yet.
    assert network.traffic == {"Say": 2, "Events": 2, "Status": 2}
    assert not network.room.counters
    network.heal()


def test_a_lost_say_is_retransmitted() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    _cut(network, anna, 0.05, up=True, down=False)
    network.say(anna, "hello")
    took = network.run_until(_shown(boris, "hello"), 1.0)
    assert took < 0.4
    assert _session(anna).counters["retransmissions"] >= 1
    assert network.room.counters["gap repairs"] + network.room.counters["tail repairs"] == 0
    network.heal()
    assert _texts(anna) == _texts(boris) == ["hello"]


def test_a_lost_echo_is_found_out_and_the_line_is_there_once() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    _cut(network, anna, 0.05, up=False, down=True)
    network.say(anna, "hello")
    network.run(2.0)
    assert _texts(anna) == _texts(boris) == ["hello"]
    assert len(_events(anna, "sent")) == 1
    assert _session(anna).counters["retransmissions"] >= 1
    network.heal()


def test_the_loss_of_the_last_line_before_silence_is_repaired_without_a_heartbeat() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    _cut(network, boris, 0.03, up=False, down=True)
    network.say(anna, "last words")
    took = network.run_until(_shown(boris, "last words"), 2.0)
    assert took < 0.35, "a few round trips"
    assert network.room.counters["tail repairs"] == 1
    assert network.room.counters["gap repairs"] == 0
    assert _session(boris).counters["gap reports"] == 0
    network.heal()


def test_a_lost_line_that_another_follows_is_reported_and_repaired_at_once() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    network.partitions.append(Partition(boris.number, network.now, network.now + 0.022))
    network.say(anna, "one")
    network.run(0.01)
    network.say(anna, "two")
    network.run_until(_shown(boris, "two"), 1.0)
    assert network.room.counters["gap repairs"] == 1
    assert network.room.counters["tail repairs"] == 0
    assert _session(boris).counters["gap reports"] == 1
    assert _texts(boris) == ["one", "two"]
    network.heal()


def test_a_lost_acknowledgement_costs_a_repetition_and_shows_nothing_twice() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    _cut(network, boris, 0.1, up=True, down=False)
    network.say(anna, "hello")
    network.run(2.0)
    assert network.room.counters["tail repairs"] == 1
    assert _session(boris).counters["duplicates"] > 1, "the repair and its copies"
    assert _texts(boris) == ["hello"]
    network.heal()


def test_a_short_cut_is_resumed_in_the_same_session_without_noise() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    session_ids = set(network.room.members)
    _cut(network, anna, 9.0)
    network.say(anna, "typed before")
    network.run(5.0)
    assert [event["reason"] for event in _events(anna, "reconnecting")] == ["silence"]
    network.say(anna, "typed meanwhile")
    network.say(boris, "said meanwhile")
    network.run(6.0)
    assert len(_events(anna, "resumed")) == 1
    assert set(network.room.members) == session_ids
    assert _log(network) == ["Anna join", "Boris join"]
    lines = ["said meanwhile", "typed before", "typed meanwhile"]
    assert _texts(anna) == _texts(boris) == lines
    assert not any(event.get("history") for event in anna.shown.events)
    assert _events(anna, "lost") == []
    network.heal()


def test_a_long_cut_is_a_leave_and_a_join_and_nothing_is_missed() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    _cut(network, anna, 25.0)
    network.say(anna, "typed before")
    network.run(10.0)
    network.say(boris, "said meanwhile")
    network.run(20.0)
    assert _log(network) == ["Anna join", "Boris join", "Anna leave timeout", "Anna join"]
    assert _texts(anna) == _texts(boris) == ["said meanwhile", "typed before"]
    assert _events(anna, "lost") == []
    assert not any(event.get("history") for event in anna.shown.events)
    network.heal()


def test_a_cut_one_way_only_is_noticed_by_the_client() -> None:
    for ways in ({"up": True, "down": False}, {"up": False, "down": True}):
        network, (anna, boris) = _room("Anna", "Boris")
        _cut(network, anna, 12.0, **ways)
        network.run(11.0)
        assert len(_events(anna, "reconnecting")) == 1
        network.say(boris, "said meanwhile")
        network.run(4.0)
        assert _texts(anna) == ["said meanwhile"]
        network.heal()


def test_a_restarted_server_is_one_visible_gap_and_what_waited_is_said() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    network.say(anna, "of old")
    network.run(1.0)
    old_epoch = network.room.log.epoch
    network.restart_server()
    network.say(anna, "of new")
    network.run(5.0)
    assert network.room.log.epoch != old_epoch
    assert [event["count"] for event in _events(anna, "lost")] == [None]
    assert [event["reason"] for event in _events(anna, "reconnecting")] == ["unknown_session"]
    assert _texts(anna) == ["of old", "of new"]
    network.run(10.0)
    assert [event["count"] for event in _events(boris, "lost")] == [None]
    assert sorted(_log(network)) == ["Anna join", "Boris join"]
    network.heal()


def test_a_room_that_is_kept_continues_without_a_gap_when_its_server_is_restarted() -> None:
    network, (anna, boris) = _room("Anna", "Boris", keeps=True)
    network.say(anna, "of old")
    network.say(boris, "psst", MessageKind.PRIVATE, "Anna")
    network.run(1.0)
    before = network.room.log.epoch
    network.restart_server()
    network.say(anna, "of new")
    network.run(10.0)
    assert network.room.log.epoch == before
    assert [_texts(user) for user in (anna, boris)] == [["of old", "of new"]] * 2
    assert _events(anna, "lost") == _events(boris, "lost") == []
    assert sorted(_log(network)) == ["Anna join", "Boris join"], "nobody joins again"
    network.heal()


def test_who_starts_again_under_the_same_name_is_in_within_eight_seconds() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    network.run(1.0)
    network.crash(anna)
    network.run(0.1)
    network.start(anna)
    took = network.run_until(lambda: _session(anna).state is State.JOINED, 10.0)
    assert 2.0 <= took <= 8.0
    assert network.room.counters["probed"] == 1
    assert _log(network) == ["Anna join", "Boris join", "Anna leave timeout", "Anna join"]
    assert sorted(_session(boris).members) == ["Anna", "Boris"]
    network.heal()


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_who_wants_a_living_ones_name_is_refused_and_harms_nobody(loss: float) -> None:
    network, (anna, _) = _room("Anna", "Boris", faults=Faults(loss_up=loss, loss_down=loss))
    rival = network.join("ANNA")
    network.run_until(lambda: _session(rival).state is State.CLOSED, 10.0)
    assert [event["reason"] for event in _events(rival, "refused")] == ["name_in_use"]
    network.run(5.0)
    assert _log(network) == ["Anna join", "Boris join"]
    assert _session(anna).state is State.JOINED
    network.heal()


def test_a_client_that_moves_and_speaks_goes_on_without_noise() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    network.move(anna)
    network.say(anna, "hello from elsewhere")
    took = network.run_until(_shown(boris, "hello from elsewhere"), 2.0)
    assert took < 0.5
    network.say(boris, "welcome")
    network.run_until(_shown(anna, "welcome"), 1.0)
    assert network.room.counters["moved"] == 1
    assert _session(anna).counters["address changes"] == 1
    assert _log(network) == ["Anna join", "Boris join"]
    assert _events(anna, "reconnecting") == []
    network.heal()


def test_a_client_that_moves_and_only_listens_finds_out_by_its_heartbeat() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    network.move(anna)
    network.say(boris, "anybody?")
    network.run_until(_shown(anna, "anybody?"), 7.0)
    assert network.room.counters["moved"] == 1
    assert _events(anna, "reconnecting") == []
    network.heal()


def test_what_a_short_log_could_not_keep_is_a_gap_of_its_size() -> None:
    settings = RoomSettings(log_entries_max=20)
    network, (anna, boris) = _room("Anna", "Boris", settings=settings)
    network.freeze(boris, 10.0)
    for number in range(300):
        network.say(anna, f"line {number}")
        network.run(0.01)
    network.run(15.0)
    lost = sum(event["count"] or 0 for event in _events(boris, "lost"))
    assert lost > 0
    assert lost + len(_texts(boris)) == 300
    assert _texts(boris)[-1] == "line 299"
    assert len(_texts(anna)) == 300
    network.heal()


def test_a_client_that_slept_past_its_timeout_comes_back_and_misses_nothing() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    network.freeze(anna, 60.0)
    network.say(boris, "said meanwhile")
    network.run(70.0)
    assert _texts(anna) == ["said meanwhile"]
    assert _log(network) == ["Anna join", "Boris join", "Anna leave timeout", "Anna join"]
    assert _events(anna, "lost") == []
    network.heal()


def test_a_server_that_slept_for_a_minute_throws_nobody_out() -> None:
    network, (anna, boris) = _room("Anna", "Boris")
    network.freeze_server(60.0)
    network.say(anna, "are you there?")
    network.run(50.0)
    assert len(_events(anna, "reconnecting")) == 1
    network.run(20.0)
    assert network.room.counters["stalls"] >= 1
    assert _log(network) == ["Anna join", "Boris join"]
    assert _texts(anna) == _texts(boris) == ["are you there?"]
    network.heal()


def test_flipped_bits_are_noticed_and_cost_nothing_but_time() -> None:
    network, (anna, boris) = _room("Anna", "Boris", faults=Faults(corruption=0.3))
    lines = [f"line {number}" for number in range(50)]
    for line in lines:
        network.say(anna, line)
        network.run(0.2)
    dropped = {"bad checksum", "not udp-chat", "unsupported version", "unknown PacketType"}
    assert sum(network.room.counters[reason] for reason in dropped) > 5
    assert sum(_session(boris).counters[reason] for reason in dropped) > 5
    network.heal()
    assert _texts(anna) == _texts(boris) == lines


def test_doubled_datagrams_are_shown_once() -> None:
    network, (anna, boris) = _room("Anna", "Boris", faults=Faults(duplication=1.0))
    lines = [f"line {number}" for number in range(20)]
    for line in lines:
        network.say(anna, line)
        network.run(0.2)
    assert _texts(anna) == _texts(boris) == lines
    assert _session(boris).counters["duplicates"] >= 20
    assert network.room.counters["gap repairs"] + network.room.counters["tail repairs"] == 0
    network.heal()


def test_reordered_datagrams_are_shown_in_order() -> None:
    network, (anna, boris) = _room("Anna", "Boris", faults=Faults(jitter_seconds=0.3))
    lines = [f"line {number}" for number in range(50)]
    for line in lines:
        network.say(anna, line)
        network.run(0.03)
    network.heal()
    assert _texts(anna) == _texts(boris) == lines
    assert _session(boris).counters["gap reports"] > 0


def test_replayed_datagrams_do_nothing() -> None:
    network, (anna, boris) = _room("Anna", "Boris", faults=Faults(replay=1.0))
    for number in range(20):
        network.say(anna, f"line {number}")
        network.run(1.0)
    network.leave(anna)
    network.run(310.0)
    assert _log(network)[:3] == ["Anna join", "Boris join", "Anna leave left"]
    assert _log(network)[3:] == []
    assert network.room.counters["stale"] > 20
    assert len(_texts(boris)) == 20
    network.heal()


def test_a_third_lost_each_way_loses_no_line() -> None:
    network, users = _room("Anna", "Boris", "Clara", faults=Faults(loss_up=0.33, loss_down=0.33))
    for number in range(60):
        network.say(users[number % 3], f"line {number}")
        network.run(0.1)
    network.heal()
    assert all(sorted(_texts(user)) == sorted(f"line {n}" for n in range(60)) for user in users)
    assert network.room.counters["tail repairs"] > 10


def test_a_flood_is_held_back_and_all_of_it_arrives() -> None:
    settings = RoomSettings(message_rate=20.0, message_burst=40.0)
    network, (anna, boris) = _room("Anna", "Boris", settings=settings)
    lines = [f"line {number}" for number in range(200)]
    for line in lines:
        network.say(anna, line)
    network.say(anna, "end")
    took = network.run_until(_shown(boris, "end"), 30.0)
    assert 7.5 <= took <= 10.0, "200 lines at 20 a second, 40 of them at once"
    assert network.room.counters["held back"] > 0
    assert _events(anna, "reconnecting") == []
    network.heal()


def test_a_member_that_leaves_on_a_bad_link_is_out_all_the_same() -> None:
    network, (anna, boris) = _room("Anna", "Boris", faults=Faults(loss_up=0.4, loss_down=0.4))
    network.leave(anna)
    network.run(5.0)
    assert _session(anna).state is State.CLOSED
    network.heal()
    assert _session(boris).members == ["Boris"]


def test_who_moves_and_leaves_at_once_ends_and_is_left_to_the_timeout() -> None:
    """Its new address is not proven, and it does not come back to prove it."""
    network, (anna, boris) = _room("Anna", "Boris")
    network.move(anna)
    network.leave(anna)
    network.run(5.0)
    assert _session(anna).state is State.CLOSED
    network.run(15.0)
    assert _log(network) == ["Anna join", "Boris join", "Anna leave timeout"]
    assert _session(boris).members == ["Boris"]
    network.heal()


@pytest.mark.slow
def test_three_hundred_people_get_one_line_each_and_a_true_roster() -> None:
    network = SimulatedNetwork(1, Faults())
    users = []
    for number in range(300):
        users.append(network.join(f"User{number:03}"))
        network.run(0.01)
    network.run_until(network.is_settled, 60.0)
    late = network.join("Late")
    network.run_until(network.is_settled, 60.0)
    assert len(_events(late, "joined")[0]["members"]) == 301
    network.say(users[0], "hello")
    network.run_until(network.is_settled, 10.0)
    assert all(_texts(user) == ["hello"] for user in users)
    assert network.room.counters["tail repairs"] < 50


# --- the checker can fail --------------------------------------------------------------------


def _scenario(seed: int = 3) -> None:
    """A short evening with most of what may go wrong; passes unless something is broken."""
    settings = RoomSettings(heartbeat_seconds=1.0, timeout_seconds=4.0)
    network = SimulatedNetwork(seed, Faults(), settings)
    users = [network.join(name) for name in ("Anna", "Boris", "Clara")]
    network.run(2.0)
    network.faults = Faults(loss_up=0.2, loss_down=0.2, duplication=0.1, jitter_seconds=0.05)
    network.partitions.append(Partition(1, network.now + 2.0, network.now + 8.0))
    for number in range(60):
        user = users[number % 3]
        network.say(user, f"{user.name}#{number + 1} says")
        if number % 7 == 0:
            network.say(user, f"psst {number}", MessageKind.PRIVATE, users[(number + 1) % 3].name)
        if number == 30:
            network.leave(users[2])
        if number == 40:
            network.start(users[2])
            network.run(1.0)
        network.run(0.2)
    network.heal()


def test_the_scenario_of_the_sabotages_passes_when_nothing_is_broken() -> None:
    _scenario()


def _after(method: Callable[..., Any], change: Callable[[Any], Any]) -> Callable[..., Any]:
    """The method, with what it returns changed."""
    return lambda *arguments, **named: change(method(*arguments, **named))


class Every:
    """Does something to every so-manieth non-empty list of deliveries."""

    def __init__(self, period: int, change: Callable[[list[Delivery]], list[Delivery]]) -> None:
        self._period = period
        self._change = change
        self._count = 0

    def __call__(self, deliveries: list[Delivery]) -> list[Delivery]:
        if not deliveries or isinstance(deliveries[0], Lost):
            return deliveries
        self._count += 1
        return deliveries if self._count % self._period else self._change(deliveries)


def _shows(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[list[Delivery]], list[Delivery]]
) -> None:
    changed = _after(OrderedReceiver.receive, Every(5, change))
    monkeypatch.setattr(OrderedReceiver, "receive", changed)


def _shows_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    _shows(monkeypatch, lambda deliveries: [deliveries[0], *deliveries])


def _skips(monkeypatch: pytest.MonkeyPatch) -> None:
    _shows(monkeypatch, lambda deliveries: deliveries[1:])


def _shows_backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    changed = _after(OrderedReceiver.receive, lambda deliveries: deliveries[::-1])
    monkeypatch.setattr(OrderedReceiver, "receive", changed)


def _shows_another_text(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(shown: ChatEvent) -> ChatEvent:
        if "text" in shown:
            shown["text"] += "!"
        return shown

    monkeypatch.setattr(chat_events, "of_room", _after(chat_events.of_room, change))


def _shows_another_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def change(shown: ChatEvent) -> ChatEvent:
        return {**shown, "name": "Mallory"}

    monkeypatch.setattr(chat_events, "of_room", _after(chat_events.of_room, change))


def _repeats(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """The session shows each event of this kind twice."""
    take = ChatSession.take_events

    def changed(session: ChatSession) -> list[ChatEvent]:
        return [e for e in take(session) for _ in range(1 + (e["event"] == kind))]

    monkeypatch.setattr(ChatSession, "take_events", changed)


def _shows_other_private_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    _repeats(monkeypatch, "private")


def _confirms_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    _repeats(monkeypatch, "sent")


def _confirms_anothers_line(monkeypatch: pytest.MonkeyPatch) -> None:
    take = ChatSession.take_events

    def changed(session: ChatSession) -> list[ChatEvent]:
        events = take(session)
        for event in events:
            if event["event"] == "sent" and "seq" in event:
                event["seq"] -= 1
        return events

    monkeypatch.setattr(ChatSession, "take_events", changed)


def _writes_otherwise(
    monkeypatch: pytest.MonkeyPatch, change: Callable[[Any, RawMessage], list[RawMessage]]
) -> None:
    """The scribe writes what `change` makes of each plain message of a member."""
    write = Scribe.write_plain

    def changed(scribe: Scribe, member: Any, messages: Sequence[RawMessage], now: float) -> None:
        write(scribe, member, [m for message in messages for m in change(member, message)], now)

    monkeypatch.setattr(Scribe, "write_plain", changed)


def _appends_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    _writes_otherwise(monkeypatch, lambda _, message: [message] * (2 if message[0] % 5 == 0 else 1))


def _appends_out_of_order(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[int, RawMessage] = {}

    def change(member: Any, message: RawMessage) -> list[RawMessage]:
        if message[0] == 5:
            kept[id(member)] = message
            return []
        late = kept.pop(id(member), None) if message[0] == 6 else None
        return [message] if late is None else [message, late]

    _writes_otherwise(monkeypatch, change)


def _forgets_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    _writes_otherwise(monkeypatch, lambda _, message: [] if message[0] == 7 else [message])


def _forgets_to_say_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    add = Outbox.add

    def changed(outbox: Outbox, text: str, kind: MessageKind, to: str) -> None:
        if "#55 " not in text:
            add(outbox, text, kind, to)

    monkeypatch.setattr(Outbox, "add", changed)


def _holds_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    def hoard(_: Floor, member: Any, messages: Sequence[RawMessage], now: float) -> None:
        for message in [*messages] * 100:
            member.hold(Message.of(message))

    monkeypatch.setattr(Floor, "take", hoard)


def _lets_everyone_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cookies, "is_good", lambda *_: True)


def _remembers_all_departed(monkeypatch: pytest.MonkeyPatch) -> None:
    def keep(register: Register) -> Iterator[Member]:
        member = next(reversed(register.departed.values()))
        register.departed |= dict.fromkeys(range(2000), member)
        return iter(())

    monkeypatch.setattr(Register, "departed_too_many", keep)


def _amplifies(monkeypatch: pytest.MonkeyPatch) -> None:
    send = ChatRoom.datagrams_to_send
    monkeypatch.setattr(ChatRoom, "datagrams_to_send", lambda room: send(room) * 40)


def _never_believes_an_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Position, "acknowledge", lambda *_: False)


def _asks_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Liveness, "heartbeat_at", lambda liveness: liveness.said_at + 0.1)


def _never_repairs(monkeypatch: pytest.MonkeyPatch) -> None:
    for repair in ("repair_gap", "repair_tails"):
        monkeypatch.setattr(Relay, repair, lambda *_: None)
    monkeypatch.setattr(Relay, "repair_due", lambda *_: float("inf"))


def _wakes_in_circles(monkeypatch: pytest.MonkeyPatch) -> None:
    handle, timeout = ChatSession.handle_timeout, ChatSession.next_timeout
    now_of: dict[ChatSession, float] = {}

    def note(session: ChatSession, now: float) -> None:
        now_of[session] = now
        handle(session, now)

    monkeypatch.setattr(ChatSession, "handle_timeout", note)
    monkeypatch.setattr(
        ChatSession,
        "next_timeout",
        lambda session: now_of[session] if session.pending_count else timeout(session),
    )


def _loses_track_of_who_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Roster, "follow", lambda *_: None)


SABOTAGES: Sequence[tuple[Callable[[pytest.MonkeyPatch], None], str]] = [
    (_shows_twice, r"was shown \d+ after|confirmed twice|was shown before"),
    (_skips, "skipped unsaid"),
    (_shows_backwards, r"was shown \d+ after"),
    (_shows_another_text, "shown otherwise than in the log"),
    (_shows_another_name, "shown otherwise than in the log"),
    (_shows_other_private_lines, "was shown before|skipped unsaid"),
    (_confirms_twice, "confirmed twice"),
    (_confirms_anothers_line, "is not a line of"),
    (_appends_twice, "appended twice"),
    (_appends_out_of_order, "out of order"),
    (_forgets_a_line, "never accepted|did not come about"),
    (_forgets_to_say_a_line, "never accepted"),
    (_holds_more_than_it_may, "held"),
    (_lets_everyone_in, "unproven|amplification"),
    (_remembers_all_departed, "departed"),
    (_amplifies, "amplification"),
    (
        _never_believes_an_acknowledgement,
        "not silent|talking in circles|did not come about|was shown before",
    ),
    (_asks_without_end, "heartbeats"),
    (_never_repairs, "did not come about"),
    (_wakes_in_circles, "wants to be woken at once"),
    (_loses_track_of_who_is_there, r"has \[.*\], not \["),
]


@pytest.mark.parametrize(
    ("sabotage", "noticed"),
    [pytest.param(*entry, id=entry[0].__name__.strip("_")) for entry in SABOTAGES],
)
def test_the_checks_notice_a_machine_that(
    sabotage: Callable[[pytest.MonkeyPatch], None], noticed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    with pytest.raises(AssertionError, match=noticed):
        _scenario()
