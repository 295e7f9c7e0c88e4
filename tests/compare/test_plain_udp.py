"""The plain UDP chat to compare with: that it works, and what it does not do."""

from __future__ import annotations

import socket
import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from compare.chats.liveness import Heartbeat
from compare.chats.messages import JoinFailed, Kind, Message, TextTooLong
from compare.chats.plain_udp_client import PlainUdpClient
from compare.chats.plain_udp_server import WELCOME_BYTES_MAX, PlainUdpServer, PlainUdpSettings
from tests.compare.test_tcp import HELLO, Ear
from tests.lossy_proxy import LossyProxy
from tests.processes import WAIT_SECONDS, Client, Program

if TYPE_CHECKING:
    from udp_chat.client.chat_events import ChatEvent


@pytest.fixture
def server() -> Iterator[PlainUdpServer]:
    with PlainUdpServer(port=0) as server:
        yield server


class Bare:
    """A client made of a bare socket."""

    def __init__(self, server: PlainUdpServer) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(WAIT_SECONDS)
        self.socket.connect(server.address)

    def __enter__(self) -> Bare:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, message: Message) -> None:
        self.socket.send(message.encode())

    def receive(self) -> Message:
        return Message.decode(self.socket.recv(65536))


# --- what it does ----------------------------------------------------------------------------


def test_on_a_perfect_link_all_see_all_lines_joins_and_leaves(server: PlainUdpServer) -> None:
    anna_hears, boris_hears = Ear(), Ear()
    with PlainUdpClient(server.address, "Anna", anna_hears) as anna:
        with PlainUdpClient(server.address, "Boris", boris_hears) as boris:
            joined = boris_hears.wait_for("joined")
            assert (joined["name"], joined["room"]) == ("Boris", "chat")
            assert joined["members"] == ["Anna", "Boris"] == boris.members
            anna_hears.wait_for("join", name="Boris")
            for number in range(50):
                (anna, boris)[number % 2].say(f"{number} {HELLO}")
                for ear in (anna_hears, boris_hears):
                    ear.wait_for("chat", text=f"{number} {HELLO}")
        assert boris_hears.events()[-1] == {"event": "left"}
        assert anna_hears.wait_for("leave", name="Boris")["reason"] == "left"
        assert anna.members == ["Anna"]
    assert anna_hears.texts() == boris_hears.texts() == [f"{n} {HELLO}" for n in range(50)]


def test_a_name_is_held_once_and_a_full_room_refuses() -> None:
    hears = Ear()
    settings = PlainUdpSettings(members_max=2)
    with (
        PlainUdpServer(port=0, settings=settings) as server,
        PlainUdpClient(server.address, "Anna"),
    ):
        for name, reason in (("anna", "name_in_use"), ("a b", "unusable_name_white_space")):
            with pytest.raises(JoinFailed) as failed:
                PlainUdpClient(server.address, name, hears).start()
            assert failed.value.reason == reason
            assert hears.wait_for("refused", reason=reason)
        with PlainUdpClient(server.address, "Boris"):
            with pytest.raises(JoinFailed) as failed:
                PlainUdpClient(server.address, "Clara").start()
            assert failed.value.reason == "room_full"


def test_a_server_that_closes_tells_the_members() -> None:
    hears = Ear()
    with (
        PlainUdpServer(port=0) as server,
        PlainUdpClient(server.address, "Anna", hears) as anna,
    ):
        server.close()
        assert hears.wait_for("left")["reason"] == "shutting_down"
        assert not anna.finish()


def test_a_silent_member_is_dropped_and_a_living_one_is_kept() -> None:
    hears = Ear()
    settings = PlainUdpSettings(timeout_seconds=1.0)
    with (
        PlainUdpServer(port=0, settings=settings) as server,
        Bare(server) as boris,
        PlainUdpClient(server.address, "Anna", hears, heartbeat=Heartbeat(0.05, 0.8)),
    ):
        boris.send(Message(Kind.HELLO, "Boris"))
        assert boris.receive().kind is Kind.WELCOME
        assert hears.wait_for("leave", name="Boris")["reason"] == "timeout"
        assert server.members == ["Anna"]
        boris.send(Message(Kind.SAY, text="I am still here"))  # says the dead one, unheard
        boris.send(Message(Kind.HELLO, "Boris"))
        while boris.receive().kind is not Kind.WELCOME:
            pass
        assert hears.texts() == []
        assert hears.events("left") == []  # though the server has said nothing but echoes


def test_a_client_notices_a_server_that_has_vanished() -> None:
    hears = Ear()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        mute.settimeout(WAIT_SECONDS)
        anna = PlainUdpClient(mute.getsockname(), "Anna", hears, heartbeat=Heartbeat(0.05, 0.5))
        starter = threading.Thread(target=anna.start)
        starter.start()
        datagram, address = mute.recvfrom(2000)
        assert Message.decode(datagram) == Message(Kind.HELLO, "Anna")
        mute.sendto(Message(Kind.WELCOME, "Anna", "chat\nAnna").encode(), address)
        starter.join()
        assert hears.wait_for("left")["reason"] == "timeout"
        anna.close()
        datagrams = [Message.decode(mute.recvfrom(2000)[0]).kind for _ in range(3)]
        assert datagrams == [Kind.ALIVE] * 3


def test_a_large_line_is_cut_nowhere_and_a_too_large_one_is_refused(
    server: PlainUdpServer,
) -> None:
    hears = Ear()
    with PlainUdpClient(server.address, "Anna", hears) as anna:
        anna.say("x" * 60_000)
        hears.wait_for("chat", text="x" * 60_000)
        with pytest.raises(TextTooLong):
            anna.say("x" * 65_500)
        # What just fits when it is said no longer fits with a name: lost on the server.
        anna.say("y" * (65_507 - len(Message(Kind.SAY).encode())))
        anna.say("still here")
        hears.wait_for("chat", text="still here")
    assert server.counters["send errors"] == 1
    assert len(hears.texts()) == 2


def test_a_welcome_lists_the_names_that_fit_a_datagram(server: PlainUdpServer) -> None:
    others = [Bare(server) for _ in range(40)]
    try:
        for number, other in enumerate(others):
            other.send(Message(Kind.HELLO, f"{number:032}"))
            assert other.receive().kind is Kind.WELCOME
        with Bare(server) as last:
            last.send(Message(Kind.HELLO, "last"))
            welcome = last.receive()
        assert len(welcome.text.encode()) <= WELCOME_BYTES_MAX + 40
        room, *names = welcome.text.split("\n")
        assert (room, names[0]) == ("chat", "last")
        assert 30 < len(names) < 41
    finally:
        for other in others:
            other.socket.close()


def test_a_client_may_close_from_its_own_callback_and_fail_in_it(
    server: PlainUdpServer, caplog: pytest.LogCaptureFixture
) -> None:
    hears = Ear()
    clients: list[PlainUdpClient] = []

    def on_event(event: ChatEvent) -> None:
        hears(event)
        if event["event"] == "chat":
            clients[0].close()
            raise ValueError("mine")

    clients.append(PlainUdpClient(server.address, "Anna", on_event))
    with clients[0] as anna:
        anna.say("the last word")
        assert hears.wait_for("left") == {"event": "left"}
    assert "on_event failed" in caplog.text
    anna.close()  # once more does no harm


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 70 + ".invalid"])
def test_joining_fails_where_no_host_is(host: str) -> None:
    with pytest.raises(JoinFailed) as failed:
        PlainUdpClient((host, 9091), "Anna").start()
    assert failed.value.reason == "unknown_host"


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="this machine has no dual-stack IPv6")
def test_a_room_can_be_on_ipv6() -> None:
    hears = Ear()
    with (
        PlainUdpServer("::1", 0) as server,
        PlainUdpClient(server.address, "Anna", hears) as anna,
    ):
        anna.say(HELLO)
        hears.wait_for("chat", text=HELLO)


# --- hostile and strange ---------------------------------------------------------------------


def test_garbage_and_strangers_are_ignored(server: PlainUdpServer) -> None:
    hears = Ear()
    with PlainUdpClient(server.address, "Anna", hears) as anna, Bare(server) as stranger:
        for datagram in (b"", b"x", b"\xff" * 1000, Message(Kind.BYE).encode()):
            stranger.socket.send(datagram)
        for kind in (Kind.SAY, Kind.ALIVE, Kind.LEAVE):
            stranger.send(Message(kind, text="who am I?"))
        anna.say("all quiet")
        hears.wait_for("chat", text="all quiet")
        assert hears.texts() == ["all quiet"]
        assert server.counters["ignored"] == 7


def test_a_doubled_registration_gets_the_same_answer_and_one_announcement(
    server: PlainUdpServer,
) -> None:
    hears = Ear()
    with PlainUdpClient(server.address, "Anna", hears), Bare(server) as boris:
        for name in ("Boris", "Boris", "Clara"):
            boris.send(Message(Kind.HELLO, name))
            welcome = boris.receive()
            assert (welcome.kind, welcome.name) == (Kind.WELCOME, "Boris")
            assert sorted(welcome.text.split("\n")[1:]) == ["Anna", "Boris"]
        boris.send(Message(Kind.SAY, text="once"))
        hears.wait_for("chat", text="once")
        assert len(hears.events("join")) == 1


def test_a_client_listens_to_its_server_alone(server: PlainUdpServer) -> None:
    hears = Ear()
    with (
        LossyProxy(server.address, 0.0, seed=1) as proxy,
        PlainUdpClient(proxy.address, "Anna", hears) as anna,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other,
    ):
        (address,) = proxy.clients
        other.sendto(Message(Kind.CHAT, "Boris", "forged").encode(), address)
        proxy.send_to_client(
            Message(Kind.CHAT, "Boris", "from where the server is").encode(), address
        )
        hears.wait_for("chat", text="from where the server is")
        anna.say("real")
        hears.wait_for("chat", text="real")
        assert hears.texts() == ["from where the server is", "real"]


# --- what it does not do ---------------------------------------------------------------------


def repeat_until_heard(client: PlainUdpClient, hears: Ear, text: str) -> None:
    for _ in range(200):
        client.say(text)
        if hears.hears("chat", 0.1, text=text):
            return
    pytest.fail(f"{text} was never heard")


def test_what_the_link_loses_and_doubles_stays_lost_and_doubled(server: PlainUdpServer) -> None:
    hears = Ear()
    with (
        LossyProxy(server.address, 0.0, seed=11) as proxy,
        PlainUdpClient(proxy.address, "Anna", hears) as anna,
    ):
        proxy.fault_ratio = 0.2
        for number in range(300):
            anna.say(str(number))
            if number % 10 == 9:  # else a slow machine's buffers would lose some too
                repeat_until_heard(anna, hears, f"mark {number}")
        proxy.fault_ratio = 0.0
        repeat_until_heard(anna, hears, "mark")
    lines = [text for text in hears.texts() if not text.startswith("mark")]
    counts = Counter(lines)
    assert proxy.counters["lost"] > 0 < proxy.counters["doubled"]
    # Lost on the way there or back: 0.8² of the lines come; 6 standard deviations are 0.17.
    assert 0.64 - 0.17 < len(counts) / 300 < 0.64 + 0.17
    assert max(counts.values()) > 1
    assert lines != sorted(lines, key=int)


def test_a_lost_registration_is_a_failed_join() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mute:
        mute.bind(("127.0.0.1", 0))
        with pytest.raises(JoinFailed) as failed:
            PlainUdpClient(mute.getsockname(), "Anna", join_timeout_seconds=0.2).start()
        assert failed.value.reason == "no_answer"
        assert Message.decode(mute.recv(2000)).kind is Kind.HELLO
        mute.setblocking(False)
        with pytest.raises(BlockingIOError):  # it was not repeated
            mute.recv(2000)


# --- the command -----------------------------------------------------------------------------


class Serve(Program):
    def __init__(self, *arguments: str) -> None:
        super().__init__("compare/chats/plain_udp.py", "serve", "--port", "0", *arguments)
        self.address = self.wait_line("^listening on ").removeprefix("listening on ")


class Join(Client):
    def __init__(self, server: str, *arguments: str) -> None:
        Program.__init__(self, "compare/chats/plain_udp.py", "join", server, "--json", *arguments)
        self.wait_event("joined")


def test_processes_talk_and_the_exit_word_leaves() -> None:
    with (
        Serve() as server,
        Join(server.address, "--name", "Anna") as anna,
        Join(server.address, "--name", "Boris") as boris,
    ):
        boris.say(HELLO, "выйти", "not said any more")
        assert boris.wait() == 0
        assert anna.wait_event("leave", name="Boris")["reason"] == "left"
        assert [event["text"] for event in anna.events("chat")] == [HELLO]
        anna.end_input()
        assert anna.wait() == 0
        assert anna.events()[-1] == {"event": "left"}


def test_a_pipe_ends_with_1_if_the_end_is_not_confirmed() -> None:
    with Serve() as server, Join(server.address, "--name", "Anna") as anna:
        server.kill()
        anna.say("into the void")
        anna.end_input()
        assert anna.wait() == 1
        assert "did not confirm" in anna.complaint()


def test_a_port_that_is_taken_is_told() -> None:
    with PlainUdpServer(port=0) as server:
        port = str(server.address[1])
        with Program("compare/chats/plain_udp.py", "serve", "--port", port) as second:
            assert second.wait() == 1
            assert "cannot open a room" in second.complaint()


def test_wrong_use_is_told() -> None:
    with Program("compare/chats/plain_udp.py") as nothing:
        assert nothing.wait() == 2
        assert "usage:" in nothing.complaint()
