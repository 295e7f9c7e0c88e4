"""A newcomer's path: three hosts on one bridge, and everybody types the same one command."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator

import pytest

from tests.discovery.test_discovery import Network, need_network
from tests.processes import PROJECT
from tests.terminal.screen import Screen

RUN = "import runpy, sys; del sys.argv[0]; runpy.run_path(sys.argv[0], run_name='__main__')"
"""Python code that runs a script, for `Network.command`."""

CLIENT = str(PROJECT / "udp_client.py")


@pytest.fixture(scope="module")
def hosts() -> Iterator[Network]:
    need_network()
    with Network() as network:
        network.add_bridge("lan")
        for number, host in enumerate(("anna", "boris", "vera"), 1):
            network.add_host(host)
            network.plug(host, "eth0", "lan", f"10.93.0.{number}")
        yield network


def at(hosts: Network, host: str, *arguments: str) -> Screen:
    """The bare command at a terminal of a host."""
    code = "import os, sys; os.execvp(sys.argv[1], sys.argv[1:])"
    name = host.capitalize()
    command = hosts.command(host, RUN, CLIENT, "--name", name, "--lang", "en", *arguments)
    return Screen(["-c", code, str(shutil.which("ip")), *command[1:]], 100)


def test_everyone_types_the_same_command(hosts: Network) -> None:
    with at(hosts, "anna") as anna:
        anna.wait_for("No room here. Open one? [Y/n]")
        anna.type("Y\n")
        anna.wait_for("You are Anna in the room")
        with at(hosts, "boris") as boris:
            boris.wait_for("You are Boris in the room")  # so Boris is the first to take over
            with at(hosts, "vera") as vera:
                vera.wait_for("You are Vera in the room")
                boris.type("всем привет\r")
                for screen in (anna, boris, vera):
                    screen.wait_for("Boris: всем привет")
                vera.type("и тебе\r")
                for screen in (anna, boris, vera):
                    screen.wait_for("Vera: и тебе")
                anna.type("/quit\r")
                assert anna.wait() == 0
                boris.wait_for("Boris hosts the room now")
                vera.wait_for("Boris hosts the room now")
                vera.wait_until("where the room is", lambda vera: "Vera · 10.93.0.2" in str(vera))
                vera.type("ещё здесь\r")
                boris.wait_for("Vera: ещё здесь")
                vera.type("\x04")
                assert vera.wait() == 0
                boris.wait_for("Vera left")
                boris.type("\x04")
                assert boris.wait() == 0


@pytest.mark.slow  # real clients at real terminals: it takes seconds
def test_two_who_open_one_room_read_how_many_they_are(hosts: Network) -> None:
    with at(hosts, "anna", "--open") as anna, at(hosts, "boris", "--open") as boris:
        for screen in (anna, boris):
            screen.wait_until("both", lambda screen: "chat · 2 members" in str(screen))
        for screen in (anna, boris):
            screen.type("/quit\r")
            assert screen.wait() == 0


@pytest.mark.slow  # real clients at real terminals: it takes seconds
def test_a_person_is_asked_before_the_room_closes_for_others(hosts: Network) -> None:
    question = "► 1 other is here, and that computer cannot take over the room. Close it? [y/N]"
    with at(hosts, "anna", "--open") as anna:
        anna.wait_for("You are Anna in the room")
        with at(hosts, "boris", "10.93.0.1", "--takeover", "no") as boris:
            anna.wait_for("Boris joined")
            asked: list[str] = []
            for leave in ("/quit\r", "\x04", "\x03\x03", "\x04"):
                anna.type(leave)
                asked.append(question)
                anna.wait_until(
                    f"question {len(asked)}",
                    lambda anna: [row for row in anna.transcript() if row == question] == asked,
                )
                anna.type("\rnot yet\r" if len(asked) < 4 else "y\r")
            assert anna.wait() == 0
            boris.wait_for("The server has stopped")
            assert boris.transcript().count("Anna: not yet") == 3
            boris.type("\x04")
            assert boris.wait() == 0


def test_where_there_is_no_room_a_pipe_is_told_how_to_open_one(hosts: Network) -> None:
    command = hosts.command("vera", RUN, CLIENT, "--lang", "en")
    done = subprocess.run(command, input="hello\n", capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stdout == ""
    assert "Open one: python3 udp_client.py --open" in done.stderr


def test_who_answers_no_opens_nothing_and_is_told_how(hosts: Network) -> None:
    with at(hosts, "anna") as anna:
        anna.wait_for("No room here. Open one? [Y/n]")
        anna.wait_for("find the cause: python3 udp_client.py --doctor")
        anna.type("n\n")
        anna.wait_for("No room was found on this network")
        assert anna.wait() == 1


def test_among_several_rooms_a_person_chooses(hosts: Network) -> None:
    servers = [
        subprocess.Popen(
            hosts.command(
                "anna", RUN, str(PROJECT / "udp_server.py"), "--port", "0", "--room", room
            ),
            stdout=subprocess.PIPE,
        )
        for room in ("Один", "Два")
    ]
    try:
        for server in servers:
            assert server.stdout is not None
            assert server.stdout.readline().startswith(b"listening on ")
        with at(hosts, "boris") as boris:
            boris.wait_for("Which one? [1]")
            rows = [row for row in boris.transcript() if "10.93.0.1" in row]
            assert len(rows) == 2
            number = next(row.split()[0] for row in rows if "Два" in row)
            boris.type("7\n")
            boris.wait_for("Type a number from 1 to 2.")
            boris.type(f"{number}\n")
            boris.wait_for("in the room “Два”")
            boris.type("\x04")
            assert boris.wait() == 0
        command = hosts.command("vera", RUN, CLIENT, "--lang", "en", "--json")
        done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60)
        assert done.returncode == 1
        assert "There are several rooms. Name one" in done.stderr
    finally:
        for server in servers:
            server.terminate()
            server.wait()
            assert server.stdout is not None
            server.stdout.close()


def test_a_room_opened_without_asking_is_found(hosts: Network) -> None:
    command = hosts.command("anna", RUN, CLIENT, "--open", "Кухня", "--name", "Anna", "--json")
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as opener:
        assert opener.stdout is not None
        assert opener.stdin is not None
        assert json.loads(opener.stdout.readline())["event"] == "joined"
        join = hosts.command("boris", RUN, CLIENT, "--name", "Boris", "--json")
        done = subprocess.run(join, input="привет\n", capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        joined = json.loads(done.stdout.splitlines()[0])
        assert (joined["room"], joined["members"]) == ("Кухня", ["Anna", "Boris"])
        opener.stdin.close()
        assert opener.wait(60) == 0
