"""The two commands as people run them: real processes, real pipes, real sockets, real signals."""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.lossy_proxy import LossyProxy
from tests.processes import PROJECT, WAIT_SECONDS, Client, NeverCame, Program, Server, start_process
from udp_chat.protocol.packets import Leave, Message, MessageKind, Say, Status

IDLE_RATIO_MAX = 0.005
"""Of a core: what an idle process may use, so that nobody minds leaving it running."""

IDLE_SECONDS = 9.0
"""Longer than a heartbeat's 5 s."""


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def said(client: Client) -> list[str]:
    return [text for _, _, text in client.chat()]


# --- a bad link ------------------------------------------------------------------------------


def test_three_clients_on_a_link_that_loses_a_fifth_see_every_line_once_in_one_order(
    server: Server,
) -> None:
    names = ("Anna", "Boris", "Clara")
    with LossyProxy(("127.0.0.1", server.port), 0.0, seed=4) as proxy:
        with (
            Client(proxy.where, names[0]) as anna,
            Client(proxy.where, names[1]) as boris,
            Client(proxy.where, names[2]) as clara,
        ):
            clients = (anna, boris, clara)
            # A join that meets only losses for five seconds gives up, as it should; so the
            # trouble begins when all are in.
            for client in clients:
                client.wait_event("join", name="Clara") if client is not clara else None
            proxy.fault_ratio = 0.2
            for client, name in zip(clients, names, strict=True):
                client.say(*(f"{name} {number}" for number in range(100)))
            for client in clients:
                for name in names:
                    client.wait_event("chat", text=f"{name} 99")
            conversations = [client.chat() for client in clients]
            lost = [client.events("lost") for client in clients]
        # The clients are gone: what they still print is in.
        assert [len(conversation) for conversation in conversations] == [300] * 3
    assert conversations[0] == conversations[1] == conversations[2]
    numbers = [seq for seq, _, _ in conversations[0]]
    assert numbers == sorted(set(numbers))
    for name in names:
        texts = [text for _, by, text in conversations[0] if by == name]
        assert texts == [f"{name} {number}" for number in range(100)]
    assert lost == [[], [], []]
    assert min(proxy.counters[fault] for fault in ("lost", "doubled", "delayed")) > 0


# --- ends without a goodbye ------------------------------------------------------------------


def test_a_killed_client_is_reported_as_timed_out_soon_after_the_timeout() -> None:
    with (
        Server("--heartbeat", "0.5", "--timeout", "4") as server,
        Client(server.address, "Anna") as anna,
        Client(server.address, "Boris") as boris,
    ):
        boris.kill()
        killed_at = time.time()
        leave = anna.wait_event("leave", name="Boris")
        assert leave["reason"] == "timeout"
        assert leave["time"] - killed_at <= 4 + 4  # by the server's clock, which is ours
        assert anna.events("reconnecting") == []


def test_clients_survive_a_killed_server_and_bring_along_what_was_typed_meanwhile() -> None:
    with Server("--heartbeat", "0.5", "--timeout", "4") as first:
        anna = Client(first.address, "Anna")
        boris = Client(first.address, "Boris")
        with anna, boris:
            anna.say("before")
            boris.wait_event("chat", text="before")
            first.kill()
            anna.say("typed into the silence")
            for client in (anna, boris):
                assert client.wait_event("reconnecting")["reason"] == "silence"
            boris.say("typed while reconnecting")
            with Server("--heartbeat", "0.5", "--timeout", "4", port=first.port):
                for client in (anna, boris):
                    client.wait_event("resumed")
                    assert client.wait_event("lost")["count"] is None
                    client.wait_event("chat", text="typed into the silence")
                    client.wait_event("chat", text="typed while reconnecting")
                anna.say("after")
                for client in (anna, boris):
                    client.wait_event("chat", text="after")
                    kinds = [event["event"] for event in client.events()]
                    assert kinds.index("reconnecting") < kinds.index("resumed")
                    assert sorted(said(client)) == sorted(
                        ["before", "typed into the silence", "typed while reconnecting", "after"]
                    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_server_that_is_told_to_stop_says_so_and_ends_well(number: int) -> None:
    with Server() as server, Client(server.address, "Anna") as anna:
        server.signal(number)
        assert server.wait() == 0
        # What the kernel grants is not for the tests to say.
        assert [line for line in server.errors.until_end() if not line.startswith("note: ")] == []
        assert anna.wait_event("reconnecting")["reason"] == "shutting_down"


# --- leaving ---------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["SIGINT", "SIGTERM", "end of input", "/quit", "выйти"])
def test_a_client_leaves_cleanly(server: Server, how: str) -> None:
    with Client(server.address, "Anna") as anna, Client(server.address, "Boris") as boris:
        boris.say("the last word")
        match how:
            case "end of input":
                boris.end_input()
            case "SIGINT" | "SIGTERM":
                boris.wait_event("sent")
                boris.signal(getattr(signal, how))
            case word:
                boris.say(word)
        assert boris.wait() == 0
        assert boris.complaint() == ""
        assert anna.wait_event("leave", name="Boris")["reason"] == "left"
        assert said(anna) == ["the last word"]
        assert boris.events()[-1]["event"] == "left"


def test_a_client_leaves_cleanly_if_interrupted_the_moment_it_has_joined(server: Server) -> None:
    with Client(server.address, "Anna") as anna:
        for number in (signal.SIGINT, signal.SIGTERM):
            with Client(server.address, "Boris") as boris:
                boris.signal(number)
                assert boris.wait() == 0
                assert boris.complaint() == ""
                anna.wait_event("join", name="Boris")
                leave = anna.wait_event("leave", name="Boris")
                assert leave["reason"] == "left"


@pytest.mark.skipif(os.name != "posix", reason="ignores a signal with a POSIX shell")
def test_an_interrupt_is_heard_by_who_was_started_with_interrupts_ignored() -> None:
    """As any `… &` in a shell script is."""
    with background("udp_server.py", "--host", "127.0.0.1", "--port", "0") as server:
        assert server.stdout is not None
        address = server.stdout.readline().decode().split()[-1]
        with Client(address, "Anna") as anna:
            with background("udp_client.py", address, "--name", "Boris") as boris:
                assert boris.stdout is not None
                assert b"Boris" in boris.stdout.readline()  # he knows that he is in
                boris.send_signal(signal.SIGINT)
                assert boris.wait(WAIT_SECONDS) == 0
            assert anna.wait_event("leave", name="Boris")["reason"] == "left"
            server.send_signal(signal.SIGINT)
            assert server.wait(WAIT_SECONDS) == 0


@contextlib.contextmanager
def background(*command: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        ["/bin/sh", "-c", 'trap "" INT; exec "$0" "$@"', sys.executable, *command],
        cwd=PROJECT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def test_a_client_whose_reader_has_gone_ends_without_a_traceback(server: Server) -> None:
    """What `udp_client.py … | head -1` does."""
    receiver, sender = os.pipe()
    with (
        Client(server.address, "Anna") as anna,
        start_process(
            ["udp_client.py", server.address, "--name", "Boris"],
            stdin=subprocess.PIPE,
            stdout=sender,
            stderr=subprocess.PIPE,
        ) as boris,
    ):
        os.close(sender)
        with os.fdopen(receiver, "rb", buffering=0) as reader:
            reader.readline()
        anna.wait_event("join", name="Boris")
        anna.say("is anybody still reading?")
        _, complaint = communicate(boris)
        assert complaint == b""
        assert boris.returncode == 0
        assert anna.wait_event("leave", name="Boris")["reason"] == "left"


def communicate(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """Waits for the end without closing stdin first, as `Popen.communicate` would."""
    try:
        process.wait(WAIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    out = process.stdout.read() if process.stdout else b""
    return out, process.stderr.read() if process.stderr else b""


# --- pipes -----------------------------------------------------------------------------------


def test_two_thousand_piped_lines_arrive_complete_and_in_order(server: Server) -> None:
    lines = [str(number) for number in range(1, 2001)]  # seq 2000 | udp_client.py
    with Client(server.address, "Anna") as anna:
        with Client(server.address, "Boris", joined=False) as boris:
            boris.say(*lines)
            boris.end_input()
            assert boris.wait() == 0
            assert boris.complaint() == ""
        anna.wait_event("leave", name="Boris", reason="left")
        assert said(anna) == lines
        assert said(boris) == lines
        assert [e["seq"] for e in boris.events("sent")] == [seq for seq, _, _ in boris.chat()]


def test_a_line_without_an_end_and_the_line_ends_of_windows_are_said_as_they_are(
    server: Server,
) -> None:
    with Client(server.address, "Anna") as anna:
        anna.write("one\r\n\r\ntwo\nthree")
        anna.end_input()
        assert anna.wait() == 0
        assert said(anna) == ["one", "two", "three"]


def test_bytes_that_are_not_utf_8_are_replaced(server: Server) -> None:
    with Client(server.address, "Anna") as anna, Client(server.address, "Boris") as boris:
        anna.write(b"caf\xe9 \xff\xfe!\n" + "привет\n".encode())
        anna.end_input()
        assert anna.wait() == 0
        assert anna.complaint() == ""
        boris.wait_event("leave", name="Anna")
        assert said(boris) == ["caf\ufffd \ufffd\ufffd!", "привет"]


def test_a_long_russian_line_arrives_as_neighbouring_parts_while_others_talk(
    server: Server,
) -> None:
    chance = random.Random(1)
    letters = "абвгдежзийклмнопрстуфхцчшщъыьэюя"
    words: list[str] = []
    while sum(map(len, words)) + len(words) <= 5000:
        words.append("".join(chance.choices(letters, k=chance.randrange(1, 15))))
    line = " ".join(words)[:5000].rstrip()
    with Client(server.address, "Anna") as anna, Client(server.address, "Boris") as boris:
        boris.say(*(f"meanwhile {number}" for number in range(30)))
        anna.say(line, "the end")
        boris.say(*(f"meanwhile {number}" for number in range(30, 60)))
        for client in (anna, boris):
            client.wait_event("chat", text="the end")
            client.wait_event("chat", text="meanwhile 59")
            parts = [(seq, text) for seq, name, text in client.chat() if name == "Anna"][:-1]
            assert "".join(text for _, text in parts) == line
            first = parts[0][0]
            assert [seq for seq, _ in parts] == list(range(first, first + len(parts)))
            assert len(parts) > 5


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-"])
@pytest.mark.skipif(os.name != "posix", reason="closes standard streams with a POSIX shell")
def test_a_client_without_a_standard_stream_does_what_is_left_to_do(
    server: Server, closed: str
) -> None:
    shell = 'exec "$0" udp_client.py "$1" --name Boris --json ' + closed
    with Client(server.address, "Anna") as anna:
        with subprocess.Popen(
            ["/bin/sh", "-c", shell, sys.executable, server.address],
            cwd=PROJECT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as boris:
            _, complaint = boris.communicate(b"hello\n", WAIT_SECONDS)
        assert complaint == b""
        assert boris.returncode == 0
        assert anna.wait_event("leave", name="Boris")["reason"] == "left"
        assert said(anna) == ([] if closed == "<&-" else ["hello"])


# --- what cannot be done ---------------------------------------------------------------------


def test_a_name_in_use_is_one_sentence_and_exit_code_1(server: Server) -> None:
    with (
        Client(server.address, "Anna"),
        Client(server.address, "ANNA", "--lang", "en", joined=False) as second,
        Program("udp_client.py", server.address, "--name", "anna", "--lang", "ru") as third,
    ):
        assert second.wait() == third.wait() == 1
        assert second.complaint() == "! The server refused: that name is in use"
        assert third.complaint() == "! Сервер отказал: это имя занято"
        assert [event["event"] for event in second.events()] == ["refused"]
        assert second.events()[0]["reason"] == "name_in_use"
        assert third.output.until_end() == []


def test_a_full_room_is_one_sentence_and_exit_code_1() -> None:
    with (
        Server("--max-members", "1") as server,
        Client(server.address, "Anna"),
        Client(server.address, "Boris", joined=False) as boris,
    ):
        assert boris.wait() == 1
        assert boris.complaint() == "! The server refused: the room is full"
        assert boris.events()[0]["reason"] == "room_full"


def test_a_port_that_nobody_listens_on_is_soon_one_sentence_that_says_what_to_do() -> None:
    port = free_port()
    with Client(f"127.0.0.1:{port}", "Anna", joined=False) as anna:
        assert anna.wait() == 1
        (sentence,) = anna.errors.until_end()
        assert f"127.0.0.1:{port}" in sentence
        assert f"python3 udp_server.py --port {port}" in sentence
        assert anna.events() == []


def test_an_unknown_host_is_one_sentence_and_exit_code_1() -> None:
    with Client("no-such-host.invalid", "Anna", joined=False) as anna:
        assert anna.wait() == 1
        (sentence,) = anna.errors.until_end()
        assert sentence.startswith("Cannot look up no-such-host.invalid: ")


def test_a_host_that_no_name_server_is_asked_about_is_one_sentence_too() -> None:
    with (
        Client(f"{'a' * 64}.invalid", "Anna", joined=False) as anna,
        Program("udp_server.py", "--host", f"{'a' * 64}.invalid") as server,
    ):
        assert anna.wait() == server.wait() == 1
        (sentence,) = anna.errors.until_end()
        assert "this cannot be the name of a host" in sentence
        (sentence,) = server.errors.until_end()
        assert sentence.startswith("Cannot open a room on aaa")


def test_a_taken_port_is_one_sentence_and_exit_code_1(server: Server) -> None:
    with Program("udp_server.py", "--host", "127.0.0.1", "--port", str(server.port)) as second:
        assert second.wait() == 1
        (sentence,) = second.errors.until_end()
        assert sentence.startswith(f"Cannot open a room on 127.0.0.1, port {server.port}: ")
        assert sentence.endswith(" or take a free port: --port 0")
        if sys.platform == "linux":
            assert "the port is in use by python" in sentence
            assert f" ({server.pid}). " in sentence  # its long command may be cut before that
        assert second.output.until_end() == []


@pytest.mark.parametrize(
    ("script", "arguments", "because"),
    [
        ("udp_client.py", ["127.0.0.1:70000"], "a port from 1 to 65535"),
        ("udp_client.py", ["127.0.0.1:x"], "a port from 1 to 65535"),
        ("udp_client.py", ["--no-such-option"], "unrecognized arguments: --no-such-option"),
        ("udp_client.py", ["--name", "two words"], "“two words” can't be a name: no spaces"),
        ("udp_client.py", ["--name", ""], "A name has at least one character"),
        ("udp_client.py", ["--lang", "fr"], "invalid choice: 'fr'"),
        ("udp_server.py", ["--port", "70000"], "a port is a number from 0 to 65535"),
        ("udp_server.py", ["--no-such-option"], "unrecognized arguments: --no-such-option"),
        ("udp_server.py", ["--max-members", "0"], "at least 1"),
        ("udp_server.py", ["--heartbeat", "5", "--timeout", "5"], "--timeout must be longer"),
    ],
)
def test_wrong_use_says_what_is_wrong_and_exits_with_2(
    script: str, arguments: list[str], because: str
) -> None:
    with Program(script, *arguments) as program:
        assert program.wait() == 2
        assert because in program.complaint()
        assert program.output.until_end() == []


# --- disturbances ----------------------------------------------------------------------------


def garbage() -> list[bytes]:
    """Datagrams that are no packets, are almost packets, or are packets of nobody's."""
    chance = random.Random(13)
    say = Say(12345, 1, (Message(1, MessageKind.CHAT, "forged"),)).encode()
    wrong = [b"", b"\0", b"hello", say[:2], say[:8], say[:-1], say + b"\0", b"UC\x02" + say[3:]]
    wrong += [say[:20] + bytes([say[20] ^ 1]) + say[21:], bytes(1200), chance.randbytes(60_000)]
    wrong += [chance.randbytes(chance.randrange(1, 200)) for _ in range(50)]
    wrong += [b"UC\x01" + chance.randbytes(chance.randrange(1, 200)) for _ in range(50)]
    status = Status(12345, 2, 0, 0, 0, 0, 0, True).encode()
    return [*wrong, say, status, Leave(12345, 3).encode()]


def test_garbage_disturbs_neither_the_server_nor_a_client_and_is_logged_at_debug() -> None:
    with (
        Server("--log-level", "debug") as server,
        LossyProxy(("127.0.0.1", server.port), 0.0, seed=0) as proxy,
        Client(proxy.where, "Anna") as anna,
        Client(server.address, "Boris") as boris,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger,
    ):
        (address_of_anna,) = proxy.clients
        for number, datagram in enumerate(garbage()):
            stranger.sendto(datagram, ("127.0.0.1", server.port))
            stranger.sendto(datagram, address_of_anna)
            proxy.send_to_client(datagram, address_of_anna)  # as if from her server
            if number % 20 == 0:
                boris.say(f"line {number}")
                anna.wait_event("chat", text=f"line {number}")
        port = stranger.getsockname()[1]
        anna.say("undisturbed")
        boris.wait_event("chat", text="undisturbed")
        assert "forged" not in said(boris)
        for reason in ("not udp-chat", "bad checksum", "truncated", "too long", "unknown session"):
            pattern = f"dropped .*127.0.0.1.*{port}.*: {reason}$"
            server.errors.wait_for(pattern, re.compile(pattern).search)
        for client in (anna, boris):
            client.end_input()
            assert client.wait() == 0
            assert client.complaint() == ""
            assert client.events("reconnecting") == client.events("lost") == []


# --- cost ------------------------------------------------------------------------------------


def cpu_seconds(pid: int) -> float:
    """What all threads of a process have used so far, in user and system mode, to the nanosecond.

    Its clock as clock_getcpuclockid(3) names it; /proc has ticks of 10 ms.
    """
    return time.clock_gettime(~pid << 3 | 2)


@pytest.mark.alone
@pytest.mark.skipif(sys.platform != "linux", reason="measures with Linux's clocks of processes")
def test_an_idle_client_and_an_idle_server_use_less_than_half_a_percent_of_a_core(
    server: Server,
) -> None:
    with Client(server.address, "Anna") as anna, Client(server.address, "Boris") as boris:
        anna.wait_event("join", name="Boris")
        boris.say("hello")
        anna.wait_event("chat", text="hello")
        programs = {"server": server, "Anna": anna, "Boris": boris}
        before = {name: cpu_seconds(program.pid) for name, program in programs.items()}
        started_at = time.monotonic()
        # Nothing may happen, so there is nothing to wait for but the end of the time.
        with pytest.raises(NeverCame):
            anna.wait_event("chat", IDLE_SECONDS, text="nobody says this")
        elapsed = time.monotonic() - started_at
        ratios = {
            name: (cpu_seconds(program.pid) - before[name]) / elapsed
            for name, program in programs.items()
        }
    print("of a core, idle:", {name: f"{ratio:.2%}" for name, ratio in ratios.items()})
    assert all(ratio < IDLE_RATIO_MAX for ratio in ratios.values()), ratios


def free_port() -> int:
    """A UDP port that nobody had a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port
