"""The states of a client and what leads from one to another: one table, which the session runs.

An input that is missing from a state's row does not count in that state. A packet is then dropped
and counted (`DROPPED_AS`), a wish to leave changes nothing, and to start again is a mistake of the
caller's. docs/protocol.md §5 repeats the table; tests/client/test_states.py compares the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum


class State(Enum):
    """Where a client stands."""

    NEW = "new"
    """It has sent nothing yet."""
    JOINING = "joining"
    """It repeats JOIN, and was never in."""
    JOINED = "joined"
    """It is in. While its address changes, it repeats JOIN, too."""
    REJOINING = "rejoining"
    """It repeats JOIN, and was in before."""
    LEAVING = "leaving"
    """It repeats LEAVE."""
    CLOSED = "closed"
    """The end: it sends nothing any more."""


class Input(Enum):
    """What can happen to a client. A packet counts if it is for this session or this attempt."""

    START = "the person starts"
    LEAVE = "the person leaves"
    CHALLENGE = "CHALLENGE to this attempt"
    MOVED = "CHALLENGE to this session"
    """The server sees the client at another address."""
    WELCOME = "WELCOME of this attempt"
    BUSY = "REFUSED of this attempt, reason BUSY"
    REFUSED = "REFUSED of this attempt, another reason"
    EVENTS = "EVENTS"
    BYE = "BYE to this session"
    SILENCE = "the server is silent"
    CONTRADICTION = "the server contradicts what was received"
    NO_BYE = "no BYE after the last LEAVE"


TRANSITIONS: Mapping[State, Mapping[Input, State]] = {
    State.NEW: {
        Input.START: State.JOINING,
        Input.LEAVE: State.CLOSED,
    },
    State.JOINING: {
        Input.LEAVE: State.CLOSED,
        Input.CHALLENGE: State.JOINING,
        Input.WELCOME: State.JOINED,
        Input.BUSY: State.JOINING,
        Input.REFUSED: State.CLOSED,
    },
    State.JOINED: {
        Input.LEAVE: State.LEAVING,
        Input.CHALLENGE: State.JOINED,
        Input.MOVED: State.JOINED,
        Input.WELCOME: State.JOINED,
        Input.EVENTS: State.JOINED,
        Input.BYE: State.REJOINING,
        Input.SILENCE: State.REJOINING,
        Input.CONTRADICTION: State.REJOINING,
    },
    State.REJOINING: {
        # The server may still have this client, so it says LEAVE.
        Input.LEAVE: State.LEAVING,
        Input.CHALLENGE: State.REJOINING,
        Input.WELCOME: State.JOINED,
        Input.BUSY: State.REJOINING,
        Input.REFUSED: State.REJOINING,
        Input.BYE: State.REJOINING,
    },
    State.LEAVING: {
        Input.BYE: State.CLOSED,
        Input.NO_BYE: State.CLOSED,
    },
    State.CLOSED: {
        Input.BYE: State.CLOSED,
    },
}
"""The next state, for each input that counts."""

DROPPED_AS: Mapping[Input, str] = {
    Input.CHALLENGE: "unexpected packet",
    Input.MOVED: "unexpected packet",
    Input.WELCOME: "stale",
    Input.BUSY: "stale",
    Input.REFUSED: "stale",
    Input.EVENTS: "not joined",
    Input.BYE: "stale",
}
"""The counter of packets that do not count."""


class StateMachine:
    """A client's state, moved by the table alone."""

    def __init__(self) -> None:
        self.state = State.NEW
        self._row = TRANSITIONS[self.state]

    def takes(self, what: Input) -> bool:
        """Whether this counts now."""
        return what in self._row

    def move(self, what: Input) -> State:
        """Enters the next state and returns it. KeyError if this does not count now."""
        self.state = self._row[what]
        self._row = TRANSITIONS[self.state]
        return self.state
