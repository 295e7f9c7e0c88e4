"""The table of a client's states: the document repeats it, and the session runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.machines import SessionBench
from udp_chat.client.states import DROPPED_AS, TRANSITIONS, Input, State, StateMachine
from udp_chat.protocol.packets import ByeReason, Challenge, Join

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs" / "protocol.md"


def tables() -> list[list[list[str]]]:
    """The tables of section 5, each as rows of cells, without its head."""
    section = DOCUMENT.read_text(encoding="utf-8").partition("\n## 5. ")[2].partition("\n## ")[0]
    found: list[list[list[str]]] = []
    is_in_table = False
    for line in section.splitlines():
        if line.startswith("|"):
            if not is_in_table:
                found.append([])
            found[-1].append([cell.strip() for cell in line.strip("|").split("|")])
        is_in_table = line.startswith("|")
    return [table[:1] + table[2:] for table in found]


def test_the_document_names_the_states() -> None:
    assert [row[0] for row in tables()[0][1:]] == [state.name for state in State]


def test_the_document_repeats_the_table_of_transitions() -> None:
    (_, *names), *rows = tables()[1]
    assert [row[0] for row in rows] == [what.value for what in Input]
    documented = {
        (names[column], row[0]): cell
        for row in rows
        for column, cell in enumerate(row[1:])
        if cell != "—"
    }
    assert documented == {
        (state.name, what.value): after.name
        for state, row in TRANSITIONS.items()
        for what, after in row.items()
    }


def test_the_document_repeats_how_dropped_packets_are_counted() -> None:
    documented = dict(tables()[2][1:])
    assert documented == {what.value: counter for what, counter in DROPPED_AS.items()}


def test_what_is_not_in_the_table_does_not_count() -> None:
    machine = StateMachine()
    assert not machine.takes(Input.WELCOME)
    with pytest.raises(KeyError):
        machine.move(Input.WELCOME)
    assert machine.state is State.NEW


# --- the session runs it ---------------------------------------------------------------------


def in_state(state: State) -> SessionBench:
    bench = SessionBench()
    if state is State.JOINING:
        bench.start()
    elif state is not State.NEW:
        bench.enter()
    if state is State.REJOINING:
        bench.lose_the_link()
    elif state in (State.LEAVING, State.CLOSED):
        bench.session.leave(bench.now)
        bench.wake()
    if state is State.CLOSED:
        bench.bye(ByeReason.LEFT)
    assert bench.state() is state
    return bench


def happens(bench: SessionBench, what: Input) -> None:
    """Has an input come to a session, as far as it comes from outside."""
    if what is Input.LEAVE:
        bench.session.leave(bench.now)
    elif what is Input.MOVED:
        bench.receive(Challenge(bench.SESSION_ID, b"m" * 16))
    elif what is Input.EVENTS:
        bench.receive(bench.slice())
    elif what is Input.BYE:
        bench.bye(ByeReason.TIMEOUT)
    elif what is Input.CONTRADICTION:
        bench.receive(bench.slice(latest=0, oldest=1, first=1))
    elif what is Input.WELCOME:
        bench.receive(bench.resume_packet(joined=0))


FROM_OUTSIDE = (Input.LEAVE, Input.EVENTS, Input.BYE, Input.MOVED)


@pytest.mark.parametrize("what", FROM_OUTSIDE, ids=lambda what: what.name)
@pytest.mark.parametrize("state", State, ids=lambda state: state.name)
def test_a_session_goes_where_the_table_says(state: State, what: Input) -> None:
    bench = in_state(state)
    before = bench.session.counters.copy()
    happens(bench, what)
    assert bench.state() is TRANSITIONS[state].get(what, state)
    dropped = bench.session.counters - before
    if what in DROPPED_AS and what not in TRANSITIONS[state]:
        assert dropped == {DROPPED_AS[what]: 1}
    elif what in DROPPED_AS:
        assert DROPPED_AS[what] not in dropped


@pytest.mark.parametrize("state", [State.JOINING, State.REJOINING], ids=lambda state: state.name)
def test_a_welcome_of_this_attempt_leads_into_the_room(state: State) -> None:
    bench = in_state(state)
    happens(bench, Input.WELCOME)
    assert bench.state() is TRANSITIONS[state][Input.WELCOME] is State.JOINED


def test_a_contradiction_leads_to_a_new_attempt() -> None:
    bench = in_state(State.JOINED)
    happens(bench, Input.CONTRADICTION)
    assert bench.state() is TRANSITIONS[State.JOINED][Input.CONTRADICTION] is State.REJOINING
    assert bench.newest(Join).room_ack == 1
