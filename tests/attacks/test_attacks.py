"""The tool that attacks a server: what it judges, what it sends, and that it runs at all."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.attacks import command as attacks
from tests.attacks.command import (
    PROJECT,
    Broken,
    Child,
    Measured,
    broken_promises,
    chosen,
    measure,
    middle,
    row,
    shown_ms,
)
from tests.attacks.floods import (
    ADDRESSES,
    ATTACKS,
    VICTIM,
    Attack,
    Talk,
    Talkers,
    discovers,
    everything,
    forged_says,
    garbage,
    joins,
    sealed_garbage,
    server_packets,
)
from tests.attacks.peers import INDEX_BITS, Company, Session, message_tail, seal
from tests.attacks.witnesses import CONFIDANT, NAMES, WHISPERER, Line, Witnesses
from tests.processes import WAIT_SECONDS, eventually, silent_server
from udp_chat.client.chat_events import ChatEvent
from udp_chat.protocol.delivery import NEVER
from udp_chat.protocol.packets import (
    Answer,
    ChatError,
    Events,
    Message,
    MessageKind,
    Packet,
    PacketType,
    Say,
    decode,
)

ONE = ATTACKS["garbage"]
MANY = ATTACKS["unproven-64"]
STOP = ATTACKS["stop"]

GOOD = Measured(
    quiet_p50_ms=0.5,
    quiet_p99_ms=5.0,
    p50_ms=0.6,
    p99_ms=15.0,
    after_p99_ms=15.0,
    settled_seconds=0.1,
    missing=0,
    deliveries=1000,
    lost=0,
    doubled=0,
    one_order=True,
    whispers_unseen=0,
    whispers=10,
    memory_mb=149.0,
    cpu=0.5,
    dropped=0,
    reconnects=0,
    lag_ms=1.0,
)


# --- judging ---------------------------------------------------------------------------------


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_nothing_is_said_of_an_attack_that_breaks_nothing(attack: Attack) -> None:
    assert broken_promises(attack, GOOD) == []


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        (replace(GOOD, missing=1), "garbage: 1 of 1000 honest deliveries never came."),
        (replace(GOOD, lost=7), "garbage: honest members were told that 7 events are lost."),
        (replace(GOOD, doubled=2), "garbage: 2 lines were shown twice."),
        (
            replace(GOOD, one_order=False),
            "garbage: the honest members were shown the lines in different orders.",
        ),
        (
            replace(GOOD, whispers_unseen=3),
            "garbage: 3 of 10 private messages of an honest member were accepted and never shown.",
        ),
        (replace(GOOD, memory_mb=151.0), "garbage: the server took 151.0 MB, not 150 MB at most."),
        (replace(GOOD, p99_ms=20.5), "garbage: p99 was 20.5 ms, not 20.0 ms at most."),
        (
            replace(GOOD, after_p99_ms=21.0),
            "garbage: more than 1 s after it p99 was still 21.0 ms, not 20.0 ms at most.",
        ),
    ],
)
def test_each_broken_promise_is_told_in_a_sentence(found: Measured, sentence: str) -> None:
    assert broken_promises(ONE, found) == [sentence]


def test_a_slow_machine_is_the_yardstick_of_an_attack_from_one_address() -> None:
    slow = replace(GOOD, quiet_p99_ms=10.0)
    assert broken_promises(ONE, replace(slow, p99_ms=30.0, after_p99_ms=30.0)) == []
    assert len(broken_promises(ONE, replace(slow, p99_ms=31.0, after_p99_ms=31.0))) == 2


def test_sixty_four_addresses_may_take_a_quarter_of_a_second_but_not_afterwards() -> None:
    assert broken_promises(MANY, replace(GOOD, p99_ms=250.0)) == []
    assert len(broken_promises(MANY, replace(GOOD, p99_ms=251.0))) == 1
    assert len(broken_promises(MANY, replace(GOOD, after_p99_ms=250.0))) == 1


def test_what_was_said_during_a_stop_may_wait_for_it_but_not_much_longer() -> None:
    assert broken_promises(STOP, replace(GOOD, p99_ms=20_000.0, settled_seconds=4.9)) == []
    assert broken_promises(STOP, replace(GOOD, settled_seconds=6.0)) == [
        "stop: what was said meanwhile was there after 6.0 s, not within 5 s."
    ]
    assert broken_promises(ONE, replace(GOOD, settled_seconds=6.0)) == []


def test_a_judgement_says_where_the_honest_members_themselves_were_late() -> None:
    (sentence,) = broken_promises(ONE, replace(GOOD, p99_ms=40.0, lag_ms=30.0))
    assert sentence.endswith("(The honest members' own process was 30.0 ms late.)")


def test_of_several_runs_the_middle_counts_but_the_worst_of_what_must_not_be() -> None:
    runs = [
        replace(GOOD, p99_ms=1.0, missing=0, memory_mb=30.0),
        replace(GOOD, p99_ms=90.0, missing=4, memory_mb=160.0, one_order=False),
        replace(GOOD, p99_ms=2.0, missing=0, memory_mb=40.0, lost=1),
    ]
    found = middle(runs)
    assert (found.p99_ms, found.missing, found.lost, found.memory_mb) == (2.0, 4, 1, 160.0)
    assert not found.one_order


def test_the_attacks_are_chosenby_name_or_pattern() -> None:
    assert chosen(None) == list(ATTACKS.values())
    assert [attack.name for attack in chosen(["stop", "churn*"])] == [
        "churn-fresh",
        "churn-one",
        "churn-64",
        "stop",
    ]
    with pytest.raises(ValueError, match="there is no attack churn;"):
        chosen(["churn"])


def test_a_row_has_a_cell_for_each_column() -> None:
    assert row(ONE, GOOD).count("|") == attacks.header().splitlines()[0].count("|")
    assert shown_ms(NEVER) == "never"
    assert (shown_ms(1.234), shown_ms(12.34), shown_ms(1234.0)) == ("1.2 ms", "12.3 ms", "1.2 s")


def test_all_attackers_are_on_this_machine() -> None:
    assert len(ADDRESSES) == 64
    for attack in ATTACKS.values():
        assert all(host.startswith("127.") for host in attack.hosts)


# --- what is sent ----------------------------------------------------------------------------


def decoded(datagram: bytes) -> Packet | None:
    try:
        return decode(datagram)
    except ChatError:
        return None


def test_a_lean_datagram_is_what_the_protocol_says() -> None:
    message = Message(7, MessageKind.PRIVATE, "hello", "Anna", more=True)
    tail = message_tail(MessageKind.PRIVATE, b"hello", b"Anna", more=True)
    assert (7).to_bytes(4, "big") + tail == message.encode()
    say = Say(1, 2, (message,))
    assert seal(PacketType.SAY, say.encode()[8:]) == say.encode()


def test_the_unproven_floods_are_what_they_say() -> None:
    chance = random.Random(1)
    assert not any(decoded(datagram) for datagram in garbage(chance))
    assert not any(datagram[:2] != b"UC" for datagram in sealed_garbage(chance))
    kinds = {type(decoded(d)).__name__ for d in joins(False, chance) + joins(True, chance)}
    assert kinds == {"Join"}
    assert {type(decoded(d)).__name__ for d in discovers(chance)} == {"Discover"}
    says = [decoded(datagram) for datagram in forged_says(chance)]
    assert all(isinstance(say, Say) and len(say.messages) > 100 for say in says)
    assert all(decoded(datagram) for datagram in server_packets(chance))
    assert len(everything(chance)) == 7 * 256


@pytest.fixture
def company() -> Iterator[Company]:
    with silent_server() as address, Company(address, ["127.0.0.2"], "evil") as company:
        yield company


def an_answer(echo: int, received: int) -> bytes:
    return Events(1, 1, 1, 0, 1, answer=Answer(echo, received, received, 0)).encode()


def test_an_attacker_says_again_what_did_not_arrive(company: Company) -> None:
    session = company.new_session(0)
    company.sessions.append(session)
    company.say(session, [message_tail(MessageKind.CHAT, b"flood")] * 10)
    company.ask(session)
    company.say(session, [message_tail(MessageKind.CHAT, b"flood")] * 10)
    company.note_events(an_answer(session.asked_at - (1 << INDEX_BITS), 2))
    assert session.next_id == 21, "an answer to an earlier question says nothing"
    company.note_events(an_answer(session.asked_at, 10))
    assert session.next_id == 21, "all had arrived"
    company.note_events(an_answer(session.asked_at, 4))
    assert session.next_id == 5


def test_talkers_keep_to_the_rate_of_a_session(company: Company) -> None:
    talk = Talk(lambda n, company: b"", sessions=1, say_messages=5, messages_per_second=100.0)
    talkers = Talkers(company, 1.0, talk)
    session = Session(0, company.sockets[0], "evil", 1)
    company.sessions.append(session)
    talkers.turns = iter([session] * 100)
    for step in range(11):
        talkers.send(1000, step / 10)
    assert session.said_count == 100


# --- what is noted ---------------------------------------------------------------------------


@pytest.fixture
def witnesses() -> Iterator[Witnesses]:
    with silent_server() as address:
        witnesses = Witnesses(address, whispers=True)
        try:
            yield witnesses
        finally:
            witnesses.close()


def show(witnesses: Witnesses, name: str, event: ChatEvent) -> None:
    witnesses.note(witnesses.by_name[name], event)


def chat(number: int) -> ChatEvent:
    return {"event": "chat", "name": "Anna", "text": f"Anna {number}", "seq": number}


def test_every_line_is_expected_at_every_member(witnesses: Witnesses) -> None:
    witnesses.lines["Anna", 1] = Line("attack", witnesses.now - 0.25)
    for name in NAMES[:-1]:
        show(witnesses, name, chat(1))
    report = witnesses.report()
    assert report["missing"] == 1
    assert report["latencies_ms"] == {
        "attack": [pytest.approx(250.0, abs=1.0)] * (len(NAMES) - 1) + [None]
    }


def test_a_line_shown_twice_is_counted(witnesses: Witnesses) -> None:
    witnesses.lines["Anna", 1] = Line("attack", 0.0)
    show(witnesses, "Boris", chat(1))
    show(witnesses, "Boris", chat(1))
    assert witnesses.report()["counts"] == {"doubled": 1}


def test_two_orders_are_noticed(witnesses: Witnesses) -> None:
    for number in (1, 2):
        witnesses.lines["Anna", number] = Line("attack", 0.0)
    for name in NAMES:
        show(witnesses, name, chat(1))
        show(witnesses, name, chat(2))
    assert witnesses.report()["one_order"]
    witnesses.by_name["Boris"].order.reverse()
    assert not witnesses.report()["one_order"]


def test_lost_events_are_added_up(witnesses: Witnesses) -> None:
    show(witnesses, "Boris", {"event": "lost", "count": 40})
    show(witnesses, "Clara", {"event": "lost", "count": None})
    assert witnesses.report()["counts"] == {"lost": 2, "lost events": 40}


def test_a_private_message_that_was_accepted_has_to_be_shown(witnesses: Witnesses) -> None:
    witnesses.whispers += [Line("attack", 0.0) for _ in range(3)]
    show(witnesses, WHISPERER, {"event": "sent", "to": CONFIDANT})
    show(witnesses, WHISPERER, {"event": "notice", "reason": "inbox_full"})
    show(witnesses, WHISPERER, {"event": "sent", "to": CONFIDANT})
    for number, unseen in ((0, 1), (2, 0)):
        text = f"whisper {number}"
        shown: ChatEvent = {"event": "private", "name": WHISPERER, "to": CONFIDANT, "text": text}
        show(witnesses, CONFIDANT, shown)
        report = witnesses.report()
        assert (report["whispers_accepted"], report["whispers_unseen"]) == (2, unseen)


# --- the programs ----------------------------------------------------------------------------


@pytest.mark.alone
@pytest.mark.parametrize("name", ["forged-says", "private", "churn-one", "beacon", "stop"])
def test_an_attack_can_be_measured(name: str) -> None:
    attack = replace(ATTACKS[name], seconds=1.0, after_seconds=0.5, rate=200)
    found = measure(attack, quiet_seconds=0.5)
    assert found.missing == found.lost == found.doubled == found.whispers_unseen == 0
    assert found.one_order
    assert found.deliveries >= 6 * 18
    assert 10 < found.memory_mb < 150
    if attack.make is not None:
        assert 50 < found.sent <= 400
    if attack.whispers:
        assert found.whispers > 0
    if name == "churn-one":
        assert found.entered > 10
    if name == "private":
        assert found.entered == 1


@pytest.mark.alone
def test_bystanders_stay_in_a_room_and_acknowledge() -> None:
    attack = replace(ATTACKS["bursts"], seconds=0.5, after_seconds=0.5, rate=10, bystanders=60)
    found = measure(attack, quiet_seconds=0.5)
    assert found.missing == found.reconnects == 0


def test_an_attacker_outlives_nobody() -> None:
    with silent_server() as (_, port), Child(*flooding("joins", port)) as attacker:
        attacker.read()
        attacker.order("go")
        attacker.end_input()
        assert attacker.read(WAIT_SECONDS)["seconds"] < 60


def flooding(name: str, port: int) -> list[str]:
    program = ["-m", "tests.attacks.floods", name, str(port)]
    return [*program, "--seconds", "60", "--rate", "100"]


def test_a_server_dies_with_who_started_it() -> None:
    script = (
        "import sys, time; from tests.attacks.command import *;"
        "server, port = start_server(ATTACKS['joins'], 0);"
        "print(server.pid, flush=True); time.sleep(60)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script], cwd=PROJECT, stdout=subprocess.PIPE
    ) as parent:
        try:
            assert parent.stdout is not None
            pid = int(parent.stdout.readline())
        finally:
            parent.kill()
    try:
        eventually(lambda: not is_running(pid))
    finally:
        if is_running(pid):
            os.kill(pid, signal.SIGKILL)


def is_running(pid: int) -> bool:
    try:
        stat = (Path("/proc") / str(pid) / "stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_stopped_server_is_ended_too() -> None:
    server, _ = attacks.start_server(ATTACKS["joins"], 0)
    with server:
        os.kill(server.pid, signal.SIGSTOP)
    assert not is_running(server.pid)


def test_what_could_not_be_measured_is_told() -> None:
    with Child("-c", "print('not ready')") as child:
        assert child.read_line() == "not ready"
        with pytest.raises(Broken, match="ended with code"):
            child.read_line()


def test_ctrl_c_ends_all_programs_of_a_run() -> None:
    command = [sys.executable, "-m", "tests.attacks", "--only", "joins"]
    with subprocess.Popen(
        command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tool:
        try:
            eventually(lambda: len(descendants(tool.pid)) == 3)
            pids = descendants(tool.pid)
            tool.send_signal(signal.SIGINT)
            assert tool.wait(WAIT_SECONDS) == 1
        finally:
            tool.kill()
    eventually(lambda: not any(map(is_running, pids)))


def descendants(pid: int) -> list[int]:
    """The child processes of a process that runs one thread."""
    path = Path("/proc") / str(pid) / "task" / str(pid) / "children"
    return [int(word) for word in path.read_text().split()]


def test_the_list_says_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert attacks.main(["--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(ATTACKS)


def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        attacks.main(["--only", "nothing"])
    assert "there is no attack nothing" in capsys.readouterr().err


def test_a_broken_promise_makes_the_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [GOOD, replace(GOOD, missing=2)]
    monkeypatch.setattr(attacks, "measure", lambda attack: found.pop(0))
    assert attacks.main(["--only", "joins"]) == 0
    assert "All promises are kept." in capsys.readouterr().out
    assert attacks.main(["--only", "joins"]) == 1
    assert "joins: 2 of 1000 honest deliveries never came." in capsys.readouterr().out


def test_private_messages_go_to_an_honest_member() -> None:
    assert VICTIM == CONFIDANT
