"""The fuzzer itself: it reaches everything, repeats itself exactly, and finds what is broken."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz import command as fuzz
from tests.fuzz import targets as fuzz_targets
from tests.fuzz.checks import check_line
from tests.fuzz.command import ROUND_INPUTS, SCHEDULE, Figures, make_target, play, run, target_of
from tests.fuzz.mutations import bend, dissect
from tests.fuzz.stage import Stage, recording
from tests.fuzz.targets import TARGETS
from tests.packets import valid_datagrams
from udp_chat.app import lines
from udp_chat.client.session import ChatSession
from udp_chat.discovery import beacon
from udp_chat.protocol.delivery import OrderedReceiver
from udp_chat.protocol.packets import (
    Bye,
    ByeReason,
    EventKind,
    Events,
    Join,
    MalformedDatagram,
    MessageKind,
    Packet,
    PacketType,
    Refused,
    Say,
    Status,
    decode,
)
from udp_chat.server.room import ChatRoom

ROOT = Path(__file__).parent.parent.parent
SEED = 1


def first_round(target: str) -> int:
    return SCHEDULE.index(target)


# --- what is bent ----------------------------------------------------------------------------


def test_the_recorded_conversation_has_everything_that_is_said_on_the_wire() -> None:
    packets = [decode(datagram) for datagram in recording(SEED)]
    assert {type(packet).__name__.upper() for packet in packets} == set(PacketType.__members__)
    slices = [packet for packet in packets if isinstance(packet, Events)]
    assert {event.kind for packet in slices for event in packet.events} == set(EventKind)
    for flag in ("inbox", "ask", "repair", "padded", "answer"):
        assert any(getattr(packet, flag) for packet in slices), flag
    says = [packet for packet in packets if isinstance(packet, Say)]
    assert {message.kind for say in says for message in say.messages} == set(MessageKind)
    assert any(p.room_gap_end > p.room_ack for p in packets if isinstance(p, Status))
    assert any(packet.epoch for packet in packets if isinstance(packet, Join)), "no resume"
    byes = {packet.reason for packet in packets if isinstance(packet, Bye)}
    assert byes >= {ByeReason.LEFT, ByeReason.UNKNOWN_SESSION}
    assert any(isinstance(packet, Refused) for packet in packets)
    assert len({packet.epoch for packet in slices if not packet.inbox}) == 3, "no restart"


def test_a_datagram_taken_apart_and_put_together_is_the_same() -> None:
    for datagram in (*valid_datagrams(), *recording(SEED)):
        assert dissect(datagram).encode() == datagram


def _outcome(datagram: bytes) -> str:
    try:
        return type(decode(datagram)).__name__
    except MalformedDatagram as error:
        return error.reason


def test_bent_datagrams_are_refused_for_every_reason_and_half_of_them_are_packets() -> None:
    chance, donors = random.Random(SEED), recording(SEED)
    outcomes = Counter(
        _outcome(bend(dissect(chance.choice(donors)), chance, donors)) for _ in range(8000)
    )
    packets = {kind.title() for kind in PacketType.__members__}
    assert set(outcomes) >= {
        *packets,
        *("too long", "truncated", "not udp-chat", "bad checksum", "unsupported version"),
        *("unknown PacketType", "text too long", "invalid utf-8", "unknown MessageKind"),
        *("unknown EventKind", "empty say", "unknown flags", "impossible slice"),
        *("bad padding", "trailing bytes"),
    }
    assert 0.4 < sum(outcomes[kind] for kind in packets) / 8000 < 0.8


def test_a_forgery_that_keeps_its_type_has_the_id_it_is_given() -> None:
    chance, donors = random.Random(SEED), recording(SEED)
    for _ in range(500):
        packet = dissect(chance.choice(donors))
        bend(packet, chance, donors, keeps_type=True)
        packet.id = 77
        assert dissect(chance.choice(donors)).id != 77
        datagram = packet.encode()
        assert _outcome(datagram) != "bad checksum"
        if _outcome(datagram) == type(packet).__name__:
            assert dissect(datagram).id == 77


@pytest.mark.parametrize("character", ["\0", "\x1b", "\n", "\x85", "\u202e", "\u2028", "\ue000"])
def test_a_line_with_what_a_terminal_obeys_is_noticed(character: str) -> None:
    check_line("Ёлка 🙂 \u200d ok")
    with pytest.raises(AssertionError, match="would reach a terminal"):
        check_line(f"a{character}b")


# --- what becomes of it ----------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_a_thousand_inputs_break_nothing(target: str) -> None:
    """A few; .ci/run has many more, from all targets."""
    figures = run(SEED, 1000, None, 1, target)
    assert figures.inputs == {target: 1000}
    assert not figures.failures, "\n".join(map(str, figures.failures))
    if TARGETS[target].READS_DATAGRAMS:
        assert figures.decoded
        assert figures.refused


def test_every_target_has_its_rounds() -> None:
    assert set(SCHEDULE) == set(TARGETS)
    figures = run(SEED, len(SCHEDULE) * ROUND_INPUTS, None, 1, "doctor")
    assert set(figures.inputs) == {"doctor"}


def _digest(seed: int, round_number: int) -> str:
    """What identifies the first inputs of a round."""
    target = make_target(seed, round_number)
    digest = hashlib.sha256()
    for _ in range(100):
        given = target.make()
        digest.update(repr(given).encode())
        target.take(given)
    return digest.hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("target", ["decode", "room", "session", "discovery", "doctor"])
def test_the_same_seed_and_number_give_the_same_input(target: str) -> None:
    number = first_round(target)
    assert _digest(3, number) == _digest(3, number)
    assert _digest(3, number) != _digest(4, number)
    assert _digest(3, number) != _digest(3, number + len(SCHEDULE))


@pytest.mark.slow
def test_another_process_makes_the_same_inputs() -> None:
    """Whatever order its sets of strings have."""
    numbers = [first_round("room"), first_round("session")]
    program = f"from tests.fuzz.test_fuzz import _digest; print([_digest(3, n) for n in {numbers}])"
    printed = {
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert printed == {f"{[_digest(3, n) for n in numbers]}\n"}


# --- sabotage: what is broken is found -------------------------------------------------------


def _found(target: str, rounds: int = 8) -> str:
    """What the failures of some rounds say; empty if there are none."""
    figures = run(SEED, rounds * ROUND_INPUTS, None, 1, target)
    return "\n".join(map(str, figures.failures))


def test_a_decoder_that_lets_another_error_out_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(datagram: bytes) -> Packet:
        packet = decode(datagram)
        if isinstance(packet, Say) and any("\x1b" in m.text for m in packet.messages):
            raise ValueError("an escape")
        return packet

    monkeypatch.setattr(fuzz_targets, "decode", careless)
    assert "ValueError: an escape" in _found("decode", 40)


def test_a_decoder_that_reads_another_packet_than_was_written_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encode = Status.encode
    monkeypatch.setattr(Status, "encode", lambda s: encode(Status(s.session_id, 1, 1, 1, 1, 1, 1)))
    assert "becomes" in _found("decode")


def test_a_room_that_raises_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    handle = ChatRoom.handle_timeout
    count = Counter[str]()

    def failing(room: ChatRoom, now: float) -> None:
        handle(room, now)
        count["calls"] += 1
        if count["calls"] > 200:
            raise KeyError("a member that has gone")

    monkeypatch.setattr(ChatRoom, "handle_timeout", failing)
    assert "KeyError: 'a member that has gone'" in _found("room")


def test_a_room_that_answers_strangers_with_more_than_they_sent_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = ChatRoom.datagrams_to_send
    monkeypatch.setattr(ChatRoom, "datagrams_to_send", lambda room: send(room) * 5)
    assert "is sent more than it sent" in _found("room")


@pytest.mark.parametrize("machine", [ChatRoom, ChatSession])
def test_a_machine_that_wants_to_be_woken_at_once_again_is_found(
    machine: type[ChatRoom | ChatSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "next_timeout", lambda _: 0.0)
    assert "a busy loop" in _found("room")


@pytest.mark.parametrize("machine", [ChatRoom, ChatSession])
def test_a_machine_that_wants_to_be_woken_without_end_is_found(
    machine: type[ChatRoom | ChatSession], monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = machine.handle_timeout
    soon = {"at": 0.0}

    def noting(self: Any, now: float) -> None:
        handle(self, now)
        soon["at"] = now + 1e-6

    monkeypatch.setattr(machine, "handle_timeout", noting)
    monkeypatch.setattr(machine, "next_timeout", lambda _: soon["at"])
    assert "woken without end" in _found("session", 1)


Change = Callable[[ChatSession, list[Any]], list[Any]]
_held: dict[int, list[Any]] = {}


def _later(session: ChatSession, events: list[Any]) -> list[Any]:
    """What a client shows that holds each line back until the next one, if it is Boris's."""
    chats = [event for event in events if event["event"] == "chat"]
    if "Boris" not in session.name or not chats:
        return events
    held = _held.pop(id(session), [])
    if not held and "last" not in chats[-1]["text"]:
        _held[id(session)] = chats
        return [event for event in events if event["event"] != "chat"]
    return [*events, *held]


SHOWN: dict[str, Change] = {
    "a line twice": lambda _, events: [
        event for event in events for _ in range(1 + (event["event"] == "chat"))
    ],
    "not complete": lambda _, events: [e for e in events if "last" not in e.get("text", "")],
    "was never shown": lambda _, events: [
        e for e in events if e["event"] != "chat" or int(e["text"].split()[1]) % 5
    ],
    "see another order": _later,
}


@pytest.mark.parametrize("complaint", SHOWN)
def test_a_client_that_does_not_show_what_it_should_is_found(
    complaint: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    take, change = ChatSession.take_events, SHOWN[complaint]
    monkeypatch.setattr(ChatSession, "take_events", lambda session: change(session, take(session)))
    assert complaint in _found("session", 4)


def test_an_attacked_client_that_is_not_heard_any_more_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    send = ChatSession.datagrams_to_send

    def mute(session: ChatSession) -> list[bytes]:
        is_victor = session.name.startswith("Victor")
        return [d for d in send(session) if not is_victor or d[3] != PacketType.SAY]

    monkeypatch.setattr(ChatSession, "datagrams_to_send", mute)
    assert "nobody hears Victor" in _found("session", 2)


@pytest.mark.slow
def test_a_client_that_keeps_all_it_hears_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_targets, "FLOOD_RATIO", 1.0)
    monkeypatch.setattr(fuzz_targets, "FLOOD_COPIES", 5)
    monkeypatch.setattr(fuzz_targets, "SESSION_CELLS_MAX", 800)
    monkeypatch.setattr(OrderedReceiver, "receive", lambda *_: [])  # quick, and keeps nothing
    monkeypatch.setattr(Stage, "finish", lambda _: None)
    number = first_round("session")
    figures = Figures()
    play(SEED, number, figures)
    assert not figures.failures, figures.failures
    receive = ChatSession.receive_datagram

    def keeping(session: ChatSession, datagram: bytes, address: Any, now: float) -> None:
        receive(session, datagram, address, now)
        session.counters[str(len(session.counters))] += 1

    monkeypatch.setattr(ChatSession, "receive_datagram", keeping)
    play(SEED, number, figures)
    assert "client keeps" in str(figures.failures[0])


def test_a_room_that_remembers_strangers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz_targets, "FLOOD_RATIO", 1.0)
    receive = ChatRoom.receive_datagram

    def keeping(room: ChatRoom, datagram: bytes, address: Any, now: float) -> None:
        receive(room, datagram, address, now)
        room.counters[str(address)] += 1

    number = first_round("room")
    figures = Figures()
    play(SEED, number, figures)
    assert not figures.failures, figures.failures
    monkeypatch.setattr(ChatRoom, "receive_datagram", keeping)
    play(SEED, number, figures)
    assert "strangers cost" in str(figures.failures[0])


def test_a_control_character_on_its_way_to_a_terminal_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lines, "printable", lambda text: text.replace("\n", " "))
    assert "would reach a terminal" in _found("session", 20)


def test_a_round_that_does_not_end_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "ROUND_CPU_SECONDS", 0.3)

    def endless(self: Any, given: Any) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz_targets.DecodeTarget, "take", endless)
    assert "Hangs: no end after" in _found("decode", 1)


# --- the command -----------------------------------------------------------------------------


def test_the_command_prints_figures(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--inputs", "500", "--target", "decode", "--seed", "3", "--jobs", "2"]) == 0
    printed = capsys.readouterr().out
    assert "500 inputs into decode" in printed
    assert " decoded: " in printed
    assert " refused: " in printed
    assert "500 inputs, 0 failed" in printed


def test_the_command_stops_when_its_time_is_over(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--seconds", "0.01", "--target", "doctor"]) == 0
    assert "0 failed" in capsys.readouterr().out


def _breaks_discovery(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has one kind of DISCOVER end who answers it."""
    answer = beacon.answer

    def broken(datagram: bytes, offer: Any) -> bytes | None:
        reply = answer(datagram, offer)
        if reply is not None and datagram[16:24] == b"\xff" * 8:
            raise ZeroDivisionError("the end of time")
        return reply

    monkeypatch.setattr(fuzz_targets, "answer", broken)


def test_the_command_prints_a_failing_input_and_how_to_replay_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    _breaks_discovery(monkeypatch)
    assert fuzz.main(["--inputs", "5000", "--target", "discovery"]) == 1
    printed = capsys.readouterr().out
    assert "ZeroDivisionError: the end of time" in printed
    replay = printed.partition("replay it: python3 -m tests.fuzz ")[2].partition("\n")[0]
    assert target_of(int(replay.split()[-1]) // ROUND_INPUTS) == "discovery"
    assert fuzz.main(replay.split()) == 1
    printed = capsys.readouterr().out
    assert "ZeroDivisionError: the end of time" in printed
    assert "the fewest inputs found that fail so: 1 of" in printed
    assert "to answer: 5543" in printed
    monkeypatch.undo()
    assert fuzz.main(replay.split()) == 0
    assert "nothing fails" in capsys.readouterr().out


def test_the_fewest_inputs_that_fail_are_found_though_it_takes_several(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    take = fuzz_targets.DecodeTarget.take

    def failing(self: Any, given: Any) -> None:
        take(self, given)
        self.figures["byes"] += _outcome(given.data) == "Bye"
        assert self.figures["byes"] < 3, "three of them"

    def made(self: Any) -> fuzz_targets.Input:
        kind: Packet = Bye(7, 1) if self.chance.random() < 0.1 else Status(7, 0, 0, 0, 0, 0, 0)
        return fuzz_targets.Input(kind.encode())

    monkeypatch.setattr(fuzz_targets.DecodeTarget, "take", failing)
    monkeypatch.setattr(fuzz_targets.DecodeTarget, "make", made)
    assert fuzz.main(["--only", str(ROUND_INPUTS - 1)]) == 1
    printed = capsys.readouterr().out
    assert "the fewest inputs found that fail so: 3 of" in printed
    assert printed.count("Bye(session_id=7") == 3
