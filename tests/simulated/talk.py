"""What is said in a simulated room, and how late each member is shown it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from tests.simulated.simulated_network import SimulatedNetwork, User
from udp_chat.client.session import State


@dataclass(frozen=True, slots=True)
class Showing:
    """A message was shown to a user. Times of the virtual clock, in seconds."""

    user: int
    said_at: float
    shown_at: float

    @property
    def latency_seconds(self) -> float:
        return self.shown_at - self.said_at


class Talk:
    """Says messages and notes when they are shown. One for each network."""

    def __init__(self, network: SimulatedNetwork) -> None:
        self.showings: list[Showing] = []
        self.gap_counts: Counter[int] = Counter()
        """By user: messages of which it was shown that they are lost to it."""
        self.said_count = 0
        self._network = network
        self._said_at: dict[str, float] = {}
        network.on_step = self._note

    def say(self, user: User, text: str) -> None:
        """Has a user say a text that nobody has said before."""
        assert text not in self._said_at
        self.said_count += 1
        self._said_at[text] = self._network.now
        self._network.say(user, text)

    def is_shown(self) -> bool:
        """Whether everything is shown to everyone, or the gap."""
        shown_count = len(self.showings) + self.gap_counts.total()
        return shown_count >= self.said_count * len(self._network.users)

    def wait(self, seconds: float) -> bool:
        """Lets time pass until everything is shown; false if so many seconds do not suffice."""
        gives_up_at = self._network.now + seconds
        network = self._network
        network.run_until(lambda: self.is_shown() or network.now >= gives_up_at, seconds + 60.0)
        return self.is_shown()

    def latencies(self, begins_at: float = 0.0, ends_at: float = float("inf")) -> list[float]:
        """In seconds, for what was said from `begins_at` until before `ends_at`.

        A message that was not shown counts as infinitely late.
        """
        said = sum(begins_at <= at < ends_at for at in self._said_at.values())
        shown = [s.latency_seconds for s in self.showings if begins_at <= s.said_at < ends_at]
        return shown + [float("inf")] * (said * len(self._network.users) - len(shown))

    def _note(self, user: User) -> None:
        for event in user.shown.events:
            if event["event"] == "lost":
                self.gap_counts[user.number] += event["count"] or 0
            said_at = self._said_at.get(event.get("text", ""))
            if said_at is not None and event["event"] == "chat":
                self.showings.append(Showing(user.number, said_at, self._network.now))
        user.shown.events.clear()


def gather(network: SimulatedNetwork, count: int) -> list[User]:
    """Has so many users join at once; returns when all are in."""
    users = [network.join(f"User{number}") for number in range(count)]
    network.run_until(
        lambda: all(user.session and user.session.state is State.JOINED for user in users), 120.0
    )
    return users
