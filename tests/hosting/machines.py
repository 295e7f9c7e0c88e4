"""Machines on a network that can fall apart, and the real commands on them.

A machine is a network namespace with one cable to a switch. There are two switches, left and right,
that a cable joins: where it is unplugged, no machine sees that its own cable has gone dead. All
traffic stays in the namespaces. One person talks on each machine, through `udp_client.py --json`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack

from typing_extensions import Self

from tests.discovery.test_discovery import Network
from tests.processes import WAIT_SECONDS, Client, NeverCame

LEFT, RIGHT = "left", "right"


class Person(Client):
    """A client on a machine of a network."""

    def __init__(self, wrapper: Sequence[str], server: str, name: str, *arguments: str) -> None:
        super().__init__(server, name, *arguments, joined=False, wrapper=wrapper)
        self.name = name

    def shown(self) -> list[tuple[str, str]]:
        """The messages in the order shown: who said what."""
        return [(event["name"], event["text"]) for event in self.events("chat")]

    def came_at(self, kind: str, start: int = 0, **keys: object) -> float:
        """Waits for an event, as `wait_event` does; returns when it came."""
        number = self.find_event(kind, WAIT_SECONDS, start, **keys)
        return self.output.times()[number]

    def members(self) -> list[str]:
        """Who is in, as the answer to `/who` tells; waits for it."""
        start = len(self.output.all())
        self.say("/who")
        answer = self.wait_event("notice", start=start, reason="members")
        return sorted(answer["members"])

    def host(self) -> str | None:
        """Who hosts the room, as this person was told last."""
        name: str | None = self.events("host")[-1]["name"]
        return name


class Machines:
    """A machine for each of these people, who are not there yet; some of them on the right.

    A context manager: at its end all commands and the network are gone.
    """

    def __init__(self, *people: str, right: Collection[str] = ()) -> None:
        self.network = Network()
        self._addresses: dict[str, str] = {}
        self._closing = ExitStack()
        self._closing.enter_context(self.network)
        try:
            self._build(people, right)
        except BaseException:
            self._closing.close()
            raise

    def _build(self, people: Iterable[str], right: Collection[str]) -> None:
        for bridge in (LEFT, RIGHT):
            self.network.add_bridge(bridge)
        self._switch("link", "add", "to-right", "type", "veth", "peer", "name", "to-left")
        self._switch("link", "set", "to-right", "master", LEFT, "up")
        self._switch("link", "set", "to-left", "master", RIGHT, "up")
        for number, name in enumerate(people, 1):
            machine = name.lower()
            self.network.add_host(machine)
            self._addresses[name] = f"10.94.0.{number}"
            bridge = RIGHT if name in right else LEFT
            self.network.plug(machine, "eth0", bridge, self._addresses[name])

    def _switch(self, *arguments: str) -> None:
        self.network.configure("switch", *arguments)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def address(self, name: str) -> str:
        """The IP address of this person's machine."""
        return self._addresses[name]

    def start(self, name: str, *arguments: str, at: str = "", server: str = "") -> Person:
        """Runs the client for a person, on a machine (default: the person's own)."""
        wrapper = self.network.wrapper((at or name).lower())
        return self._closing.enter_context(Person(wrapper, server, name, *arguments))

    def open(self, name: str, *arguments: str) -> Person:
        """A person opens a room, and may take it over again."""
        opener = self.start(name, "--open", "--takeover", "yes", *arguments)
        opener.wait_event("joined")
        return opener

    def join(self, name: str, *arguments: str, server: str = "") -> Person:
        """A person joins the room that is found, and may take it over unless `arguments` say no."""
        takeover = () if "--takeover" in arguments else ("--takeover", "yes")
        person = self.start(name, *takeover, *arguments, server=server)
        person.wait_event("joined")
        return person

    def unplug(self, name: str) -> None:
        """Pulls the cable out of a person's machine."""
        self._cable(name, "down")

    def plug_in(self, name: str) -> None:
        """Puts the cable back."""
        self._cable(name, "up")

    def _cable(self, name: str, state: str) -> None:
        number = list(self._addresses).index(name) + 1
        self._switch("link", "set", f"port{number}", state)

    def split(self) -> None:
        """Parts left from right."""
        self._switch("link", "set", "to-right", "down")

    def heal(self) -> None:
        """Joins left and right again."""
        self._switch("link", "set", "to-right", "up")


def wait_until(what: str, condition: Callable[[], object], timeout_seconds: float) -> float:
    """Waits until a condition holds that costs something to look at; returns the time it took."""
    begun = time.monotonic()
    while not condition():
        if time.monotonic() - begun > timeout_seconds:
            raise NeverCame(f"{what} did not come in {timeout_seconds:g} s")
        time.sleep(0.05)
    return time.monotonic() - begun
