"""Kills a server that keeps its room, again and again, while people talk in it.

  python3 -m tests.kills [--times N] [--seed SEED]

The real commands: `udp_server.py --keep` and three clients. In each round everybody says some
messages, the server is killed (SIGKILL) at a random moment, and is started again with the same file
and port. In the end the clients leave, which they do only when all is accepted. Then all of them
must have seen the same messages, each once and with the same numbers, in the order in which each
speaker said them, with nothing lost; and the file must have exactly these.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from tests.processes import Client, Server
from udp_chat.protocol.packets import EventKind
from udp_chat.protocol.wire import Event, Parser
from udp_chat.server.keeping import KeptFile

NAMES = ("Anna", "Boris", "Clara")

MESSAGES = 10
"""Of each in a round."""

KILLED_WITHIN_SECONDS = 0.05
"""After the messages were typed: while they are on their way, or accepted, or shown."""

END_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it."""

    said: dict[str, list[str]]
    """By name, in order."""
    shown: dict[str, list[tuple[int, str, str]]]
    """By name: number, speaker and text of each message."""
    kept: list[tuple[int, str, str]]
    """The same from the file."""
    lost: int
    """How often a client was shown that something is missing."""
    back_seconds: list[float]
    """From the start of each new process to the first message that was said after it."""

    def problems(self) -> list[str]:
        """What is not as it should be."""
        found = []
        for name, shown in self.shown.items():
            if shown != self.kept:
                found.append(f"{name} was shown something other than the file has")
        for name, said in self.said.items():
            if [text for _, speaker, text in self.kept if speaker == name] != said:
                found.append(f"the file has not each message of {name} once and in order")
        if self.lost:
            found.append(f"{self.lost} times something was shown as lost")
        return found


def kill_often(folder: Path, times: int, chance: random.Random) -> Outcome:
    """Kills a server so often; the file is in `folder`."""
    path = folder / "room.db"
    said: dict[str, list[str]] = {name: [] for name in NAMES}
    back_seconds = []
    with ExitStack() as closing:
        server = closing.enter_context(Server("--keep", str(path)))
        where = f"127.0.0.1:{server.port}"
        clients = {name: closing.enter_context(Client(where, name)) for name in NAMES}
        for number in range(times):
            for name, client in clients.items():
                texts = [f"{name} {number} {i}" for i in range(MESSAGES)]
                client.say(*texts)
                said[name] += texts
            time.sleep(chance.uniform(0, KILLED_WITHIN_SECONDS))
            server.kill()
            begun = time.monotonic()
            server = closing.enter_context(Server("--keep", str(path), port=server.port))
            for name, client in clients.items():
                client.say(f"{name} {number} back")
                said[name].append(f"{name} {number} back")
            clients["Anna"].wait_event("chat", text=f"Clara {number} back")
            back_seconds.append(time.monotonic() - begun)
        everything = sum(map(len, said.values()))
        for client in clients.values():
            client.output.wait_for("everything", lambda line: '"chat"' in line)
            last = f"{NAMES[-1]} {times - 1} back"
            client.wait_event("chat", END_SECONDS, text=last)
        until = time.monotonic() + END_SECONDS
        while any(len(c.chat()) < everything for c in clients.values()):
            if time.monotonic() > until:
                break
            time.sleep(0.01)
        for client in clients.values():
            client.end_input()
        codes = [client.wait(END_SECONDS) for client in clients.values()]
        assert codes == [0] * len(NAMES), codes
        shown = {name: client.chat() for name, client in clients.items()}
        lost = sum(len(client.events("lost")) for client in clients.values())
        server.kill()
    return Outcome(said, shown, messages_in(path), lost, back_seconds)


def messages_in(path: Path) -> list[tuple[int, str, str]]:
    """Number, speaker and text of each message in a room's file."""
    with KeptFile(path) as file:
        kept = file.read(sys.maxsize)
    assert kept is not None
    events = [Event.parse(Parser(event, 0)) for event in kept.events]
    return [
        (seq, event.name, event.text)
        for seq, event in enumerate(events, kept.first_seq)
        if event.kind is EventKind.CHAT
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """The command `python3 -m tests.kills`; returns its exit code."""
    parser = argparse.ArgumentParser(
        prog="python3 -m tests.kills",
        description="Kills a server that keeps its room, again and again, while people talk.",
    )
    parser.add_argument("--times", type=int, default=200, help="(default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="(default: %(default)s)")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        outcome = kill_often(Path(folder), arguments.times, random.Random(arguments.seed))
    for problem in outcome.problems():
        print(problem)
    seconds = sorted(outcome.back_seconds)
    print(
        f"{arguments.times} kills: {len(outcome.kept)} messages; talking again after"
        f" {seconds[len(seconds) // 2]:.2f} s (median), {seconds[-1]:.2f} s (longest)"
    )
    return 1 if outcome.problems() else 0


if __name__ == "__main__":
    sys.exit(main())
