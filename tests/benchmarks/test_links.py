"""The benchmark of full and lossy links measures what it says, with both chats, on a real wire."""

from __future__ import annotations

import contextlib
import json
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import links
from benchmarks.links import TCP, UDP_CHAT, Effort, Measured, with_ratios
from benchmarks.talk import Account, Download, Saying, SessionMember, Talk, speech
from compare.chats.framing import Deframer
from compare.chats.messages import Message
from compare.chats.tcp_server import TcpServer
from compare.wire.link import Tally
from tests.processes import PROJECT, WAIT_SECONDS, eventually
from tests.wires import needs_wire
from udp_chat.client.outbox import PENDING_MAX
from udp_chat.protocol.delivery import NEVER
from udp_chat.server.udp_server import UdpServer

# --- what is said ----------------------------------------------------------------------------


def test_a_speech_keeps_its_pace_and_speakers_take_turns() -> None:
    said = list(speech([3, 5], 10, 0.5, 20))
    assert [saying.after_seconds for saying in said] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4])
    assert [saying.speaker for saying in said] == [3, 5, 3, 5, 3]
    assert {len(saying.text) for saying in said} == {20}
    assert len({saying.text for saying in said}) == 5


# --- what came of it -------------------------------------------------------------------------

SAID = {"0 a": 1.0, "1 b": 2.0, "0 c": 3.0}


def account(*shown: list[str]) -> Account:
    """Of members who were shown these texts, each half a second after it was said."""
    return Account(SAID, [[(text, SAID[text] + 0.5) for text in texts] for texts in shown])


def test_a_latency_is_taken_at_each_member_and_a_missing_message_is_never_shown() -> None:
    assert account(["0 a", "1 b", "0 c"], ["0 a"]).latencies() == [0.5] * 4 + [NEVER] * 2


def test_a_message_counts_when_it_is_shown_for_the_first_time() -> None:
    found = Account({"0 a": 1.0}, [[("0 a", 1.25), ("0 a", 9.0)]])
    assert found.latencies() == [0.25]


def test_latencies_can_be_those_of_a_part_of_the_time() -> None:
    whole = account(["0 a", "1 b", "0 c"])
    assert len(whole.latencies(last_at=2.0)) == 1
    assert len(whole.latencies(first_at=2.0)) == 2


@pytest.mark.parametrize(
    ("shown", "faults"),
    [
        ((["0 a", "1 b", "0 c"], ["0 a", "1 b", "0 c"]), []),
        # The room's order need not be that of the clock; but it is everyone's.
        ((["1 b", "0 a", "0 c"], ["1 b", "0 a", "0 c"]), []),
        ((["1 b", "0 a", "0 c"], ["0 a", "1 b", "0 c"]), ["several orders"]),
        ((["0 a", "1 b", "0 c"], ["0 a", "0 c"]), ["1 not shown"]),
        ((["0 a", "1 b", "0 c"], ["0 a", "0 a", "1 b", "0 c"]), ["1 shown twice"]),
        ((["0 c", "1 b", "0 a"],), ["not in the order of saying"]),
    ],
)
def test_what_breaks_the_promise_is_named(shown: tuple[list[str], ...], faults: list[str]) -> None:
    assert account(*shown).faults() == faults


def test_showings_are_counted_up_to_a_time_and_the_last_one_is_known() -> None:
    found = account(["0 a", "1 b"], ["0 a"])
    assert (found.shown_count(), found.shown_count(2.0)) == (3, 2)
    assert found.last_shown_at() == 2.5
    assert account([]).last_shown_at() == NEVER


# --- members ---------------------------------------------------------------------------------


@pytest.fixture(params=["tcp", "chat"])
def room(request: pytest.FixtureRequest) -> Iterator[Talk]:
    """Three members of a room on loopback, who are all in."""
    chat, serve = (TCP, TcpServer) if request.param == "tcp" else (UDP_CHAT, UdpServer)
    with serve("127.0.0.1", 0) as server, Talk() as talk:
        for number in range(3):
            sock = socket.socket(socket.AF_INET, chat.sockets)
            talk.add(chat.join, sock, server.address, f"m{number}")
        assert talk.run_until(lambda: all(m.is_joined for m in talk.members), WAIT_SECONDS)
        yield talk


def test_members_of_both_chats_are_shown_all_that_is_said(room: Talk) -> None:
    room.hold(speech([0, 2], 200, 0.1, 200))
    assert room.run_until(room.is_whole, WAIT_SECONDS)
    found = room.account()
    assert found.faults() == []
    assert found.shown_count() == 3 * 20
    assert all(0 < seconds < NEVER for seconds in found.latencies())
    assert 0 <= room.lag_seconds < WAIT_SECONDS
    assert room.account([1]).shown_count() == 20


def test_nobody_waits_for_a_member_that_has_left(room: Talk) -> None:
    room.members[1].leave()
    assert room.run_until(lambda: room.members[1].is_out, WAIT_SECONDS)
    room.hold([Saying(0.0, 0, "0 who hears this?")])
    assert room.run_until(room.is_whole, WAIT_SECONDS)
    assert room.account().faults() == ["1 not shown"]


def test_what_a_session_cannot_take_waits_before_it_and_is_counted() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        member = SessionMember(sock, ("127.0.0.1", 9), "m0")
        for number in range(PENDING_MAX + 10):
            member.say(f"0 {number}", 0.0)
        assert member.pending_count == PENDING_MAX + 10


def test_a_member_of_the_tcp_chat_never_blocks_and_loses_no_byte() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, Talk() as talk:
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        talk.add(TCP.join, sock, server.getsockname(), "m0")
        (member,) = talk.members
        reader, _ = server.accept()
        with reader:
            reader.setblocking(False)
            said = 0
            while not member.pending_count:  # the reader does not read: the kernels' buffers fill
                member.say("x" * 60_000, 0.0)
                said += 1
            member.say("the last one", 0.0)
            deframer = Deframer()
            read: list[Message] = []

            def has_all() -> bool:
                talk.run(0.001)
                with contextlib.suppress(BlockingIOError):
                    read.extend(deframer.feed(reader.recv(65536)))
                return bool(read) and read[-1].text == "the last one"

            eventually(has_all)
            assert [len(message.text) for message in read[1:-1]] == [60_000] * said
            assert member.pending_count == 0


def test_a_download_takes_what_it_can_get_beside_the_talk() -> None:
    with Talk() as talk:
        download = Download(*socket.socketpair())
        talk.add_download(download)
        assert talk.run_until(lambda: download.received_bytes > 2_000_000, WAIT_SECONDS)


# --- tables ----------------------------------------------------------------------------------


def measured(chat: str, p99: float, faults: list[str] | None = None) -> Measured:
    figures = {"p50": 50.0, "p99": p99, "bytes": 2e6, "dropped": 0.0125, "pending": 3.0}
    return Measured("full", chat, 250, figures, faults or [])


def test_ratios_are_to_tcp_under_the_same_condition() -> None:
    elsewhere = Measured("full", "tcp", 400, {"p99": 1.0})
    alone = Measured("full", "chat", 800, {"p99": 1.0})
    found = [measured("tcp", 60.0), measured("chat", 90.0), elsewhere, alone]
    ratios = [one.figures.get("p99_ratio") for one in with_ratios(found)]
    assert ratios == [None, 1.5, None, None]


def test_the_table_is_markdown_and_says_what_was_not_whole() -> None:
    lines = list(links.tables([measured("tcp", 60.0), measured("chat", 1e9, ["2 not shown"])]))
    rows = [line for line in lines if line.startswith("|")]
    assert len({row.count("|") for row in rows}) == 1
    assert rows[2].startswith("| 250 kB/s | TCP | 50 | 60 |")
    assert rows[2].endswith("| yes |")
    assert "| 2.00 |" in rows[3]
    assert "| 1.2% |" in rows[3]
    assert rows[3].endswith("| 2 not shown |")
    assert not any("Lossy" in line for line in lines)


def test_traffic_is_that_of_both_ways() -> None:
    before = {"up": {"udp": Tally(1, 10)}, "down": {"udp": Tally(2, 20)}}
    after = {"up": {"udp": Tally(4, 70)}, "down": {"udp": Tally(4, 40, dropped=1)}}
    assert links.traffic(before, after, "udp") == Tally(5, 80, dropped=1)


# --- the command -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "because"),
    [
        (["--parts", "full,empty"], "there is no part 'empty'"),
        (["--chats", "irc"], "there is no chat 'irc'"),
        (["--rates", "0"], "--rates takes numbers above 0"),
        (["--rates", "fast"], "argument --rates"),
        (["--losses", "1.5"], "--losses takes shares"),
        (["--seconds", "0"], "--seconds takes a number"),
    ],
)
def test_wrong_arguments_are_told(
    arguments: list[str], because: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        links.main(arguments)
    assert ended.value.code == 2
    assert because in capsys.readouterr().err


def test_where_there_can_be_no_wire_it_is_said_why(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert links.main([]) == 1
    assert "needs a wire: network namespaces need Linux" in capsys.readouterr().err


def test_the_benchmark_explains_itself() -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.links", "--help"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
    )
    assert "Leave the machine alone" in finished.stdout


@needs_wire
@pytest.mark.slow
def test_both_chats_are_whole_on_a_link_that_is_wide_enough(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "all.json"
    arguments = ["--parts", "full", "--rates", "2000", "--seconds", "0.5", "--json", str(file)]
    assert links.main(arguments) == 0
    found = json.loads(file.read_text())
    assert [one["chat"] for one in found] == ["tcp", "chat"]
    for one in found:
        figures = one["figures"]
        assert one["faults"] == []
        assert figures["p50"] > 2 * 1000 * links.DELAY_SECONDS  # a message crosses the wire twice
        assert figures["dropped"] == 0
        # 25 messages to ten members, and to the server.
        assert figures["bytes"] > 25 * 11 * links.TEXT_BYTES
        assert 0 < figures["useful"] < figures["used"] < 1
    assert "| 2000 kB/s | udp-chat |" in capsys.readouterr().out


@needs_wire
@pytest.mark.slow
@pytest.mark.parametrize("chat", [TCP, UDP_CHAT], ids=lambda chat: chat.name)
def test_the_other_questions_are_answered_too(chat: links.Chat) -> None:
    effort = Effort(seconds=0.5, seed=random.Random(chat.name).randrange(1000))
    lossy = links.lossy(chat, 0.05, effort)
    assert lossy.faults == []
    assert min(lossy.figures["p50"], lossy.figures["p50_first"]) > 2 * 1000 * links.DELAY_SECONDS
    assert lossy.figures["packets_per_shown"] > 1
    beside = links.beside(chat, 1000, effort)
    assert beside.faults == []
    assert 0 < beside.figures["download_beside"] < 1
    slow = links.slow(chat, 100, effort)
    assert slow.faults == []
    assert slow.figures["shown_slow"] == 1
    assert slow.figures["p50_slow"] > 1000 * links.DELAY_SECONDS  # once: the speaker is beside it
