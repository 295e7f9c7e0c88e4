"""The ways in which a room loses its host, and what must hold in the end.

A host can leave, which it tells; it can die, be stopped, or be cut off, which nobody tells.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Sequence
from typing import TypeAlias

from tests.hosting.machines import Machines, Person

Loss: TypeAlias = Callable[[Machines, Person], None]

LEAVES: dict[str, Loss] = {
    "/quit": lambda _, host: host.say("/quit"),
    "end of input": lambda _, host: host.end_input(),
    "SIGINT": lambda _, host: host.signal(signal.SIGINT),
    "SIGTERM": lambda _, host: host.signal(signal.SIGTERM),
    "SIGHUP": lambda _, host: host.signal(signal.SIGHUP),
}
"""The host's own process ends the room's stay there."""

DEATHS: dict[str, Loss] = {
    "SIGKILL": lambda _, host: host.signal(signal.SIGKILL),
    "cable": lambda machines, host: machines.unplug(host.name),
}
"""The host can tell nobody. Its machine still does after SIGKILL: the port is closed (ICMP)."""


def stop(_: Machines, host: Person) -> None:
    """Stops the host's process; the machine still takes in what is sent to it."""
    host.signal(signal.SIGSTOP)


LOSSES: dict[str, Loss] = {**LEAVES, **DEATHS, "SIGSTOP": stop}


def everyone_speaks(people: Sequence[Person], words: str) -> None:
    """Each says these words and a name."""
    for person in people:
        person.say(f"{words}, {person.name}")


def all_heard_at(people: Sequence[Person], words: str) -> float:
    """Waits until all have been shown what everyone said; returns when the last was."""
    return max(
        hearer.came_at("chat", name=speaker.name, text=f"{words}, {speaker.name}")
        for hearer in people
        for speaker in people
    )


def warm_up(people: Sequence[Person], words: str = "hello") -> None:
    """Each speaks and is heard by all, one after the other, so that all is as on any day."""
    for person in people:
        everyone_speaks([person], words)
        for hearer in people:
            hearer.wait_event("chat", name=person.name, text=f"{words}, {person.name}")


def disagreements(people: Sequence[Person], since: str = "") -> list[str]:
    """What is not as it must be for people in one room: one order for all, and nothing twice.

    They must agree from the first message on that begins with `since`.
    """
    found = []
    agreed: list[tuple[str, str]] | None = None
    for person in people:
        shown = person.shown()
        twice = sorted({message for message in shown if shown.count(message) > 1})
        if twice:
            found.append(f"{person.name} was shown twice: {twice}")
        if lost := person.events("lost"):
            found.append(f"{person.name} was shown a loss: {lost}")
        first = next((i for i, (_, text) in enumerate(shown) if text.startswith(since)), 0)
        agreed = agreed or shown[first:]
        if shown[first:] != agreed:
            found.append(f"{person.name} was shown {shown[first:]}, the first one {agreed}")
    return found


def is_in_order(shown: Sequence[tuple[str, str]], said: Sequence[tuple[str, str]]) -> bool:
    """Whether all that was said was shown, each message once, in this order."""
    return [message for message in shown if message in said] == list(said)
