"""Who is in the room, as a client knows it: rosters, what changes them, what was missed."""

from __future__ import annotations

from tests.machines import SessionBench, of_type
from udp_chat.protocol.packets import Event, EventKind, MessageKind, Say


def _join(name: str, member: int = 20) -> Event:
    return Event(EventKind.JOIN, 5000, name, "", "", member)


def _leave(name: str, reason: str = "left") -> Event:
    return Event(EventKind.LEAVE, 5000, name, "", reason, 20)


def _rename(old: str, new: str) -> Event:
    return Event(EventKind.RENAME, 5000, old, "", new, 20)


def _questions(bench: SessionBench) -> list[int]:
    """The message ids with which the session asked who is here."""
    found = {
        message.message_id
        for _, packet in bench.sent
        if isinstance(packet, Say)
        for message in packet.messages
        if message.kind is MessageKind.WHO
    }
    return sorted(found)


def _arrived(bench: SessionBench) -> SessionBench:
    """A session whose WELCOME and log are here, but not yet its roster."""
    bench.start()
    bench.challenge()
    bench.append(_join("Anna", bench.MEMBER))
    bench.receive(bench.welcome_packet(joined=1))
    bench.receive(bench.slice(1))
    return bench


def test_joins_leaves_and_renames_keep_the_roster_true() -> None:
    bench = SessionBench()
    bench.enter()
    assert bench.session.members == ["Anna", "Boris"]
    bench.append(_join("Clara"))
    bench.receive(bench.slice(2))
    assert bench.session.members == ["Anna", "Boris", "Clara"]
    bench.append(_rename("Boris", "anatol"))
    bench.receive(bench.slice(3))
    assert bench.session.members == ["anatol", "Anna", "Clara"], "sorted, whatever the case"
    bench.append(_leave("Clara"))
    bench.receive(bench.slice(4))
    assert bench.session.members == ["anatol", "Anna"]


def test_lines_that_were_said_before_the_roster_came_are_shown_after_joined() -> None:
    bench = _arrived(SessionBench())
    bench.chat("early bird")
    bench.receive(bench.slice(2))
    assert bench.events == []
    bench.receive(bench.roster("Anna"))
    assert bench.kinds() == ["joined", "chat"]


def test_what_happened_after_the_roster_was_made_is_added_to_it() -> None:
    bench = _arrived(SessionBench())
    roster = bench.roster("Anna", "Boris", seq=1)
    bench.append(_join("Clara"), _leave("Boris"))
    bench.receive(bench.slice(2))
    bench.receive(roster)
    assert bench.shown("joined")[0]["members"] == ["Anna", "Boris"]
    assert bench.session.members == ["Anna", "Clara"]


def test_what_happened_before_the_roster_was_made_is_not_applied_to_it_again() -> None:
    """History may say that somebody joined who has left meanwhile."""
    bench = SessionBench()
    bench.start()
    bench.challenge()
    bench.append(_join("Ghost"), _leave("Ghost"), _join("Boris"), _join("Anna", bench.MEMBER))
    bench.take(bench.welcome_packet(joined=4))
    bench.receive(bench.roster("Anna", "Boris", seq=4))
    bench.receive(bench.slice(1, 1))
    assert bench.session.members == ["Anna", "Boris"]
    bench.receive(bench.slice(2))
    assert bench.session.members == ["Anna", "Boris"]


def test_a_roster_in_chunks_counts_when_all_of_it_is_here() -> None:
    bench = _arrived(SessionBench())
    names = [f"User{number:03}" for number in range(300)]
    for remaining in (2, 1, 0):
        chunk = names[(2 - remaining) * 100 : (3 - remaining) * 100]
        text = "\n".join([f"1 {remaining}", *chunk])
        bench.inbox.append(Event(EventKind.ROSTER, 5000, "", "", text, bench.MEMBER))
    bench.receive(bench.slice(3, 3, inbox=True))
    bench.receive(bench.slice(1, 1, inbox=True))
    assert bench.shown("joined") == []
    bench.receive(bench.slice(2, 2, inbox=True))
    assert bench.shown("joined")[0]["members"] == names


def test_after_a_gap_in_the_log_the_roster_is_asked_for_anew() -> None:
    bench = SessionBench()
    bench.enter()
    bench.append(_join("Unseen"), *[_join(f"User{n}") for n in range(3)])
    bench.receive(bench.slice(4, oldest=4))
    assert bench.shown("lost") == [{"event": "lost", "count": 2}]
    (question,) = _questions(bench)
    bench.receive(
        bench.roster("Anna", "Boris", "Unseen", "User0", "User1", "User2", message_id=question)
    )
    assert bench.session.members == ["Anna", "Boris", "Unseen", "User0", "User1", "User2"]
    assert bench.session.pending_count == 0
    assert bench.shown("sent") == [], "the person did not ask"


def test_several_gaps_are_one_question() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat(*"abcdefgh")
    bench.receive(bench.slice(3, 3, oldest=3))
    bench.receive(bench.slice(6, 6, oldest=6))
    assert len(bench.shown("lost")) == 2
    assert len(_questions(bench)) == 1


def test_a_roster_older_than_the_gap_does_not_do() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat(*"abcdefgh")
    bench.receive(bench.slice(9, oldest=9))
    bench.receive(bench.roster("Anna", "Stranger", seq=7))
    assert bench.session.members == ["Anna", "Boris"]
    (question,) = _questions(bench)  # that one is still to be answered
    bench.receive(bench.roster("Anna", "Clara", message_id=question))
    assert bench.session.members == ["Anna", "Clara"]


def test_an_unasked_roster_from_before_what_was_shown_is_asked_for_anew() -> None:
    """An answer to /who that others overtook: who came since is not known any more."""
    bench = SessionBench()
    bench.enter()
    (say,) = of_type(Say, bench.say("", kind=MessageKind.WHO))
    late = bench.roster("Anna", "Boris", message_id=say.messages[0].message_id)
    bench.append(_join("Clara"))
    bench.receive(bench.slice(2))
    bench.receive(late)
    assert bench.session.members == ["Anna", "Boris", "Clara"]
    assert len(_questions(bench)) == 2


def test_a_gap_in_the_inbox_is_shown_and_has_the_roster_asked_for_anew() -> None:
    bench = SessionBench()
    bench.enter()
    notes = [Event(EventKind.PRIVATE, 5000, "Boris", "Anna", f"{n}", 8) for n in range(4)]
    bench.inbox += notes
    bench.receive(bench.slice(4, inbox=True, oldest=4))
    assert bench.shown("lost") == [{"event": "lost", "count": 2}]
    assert [event["text"] for event in bench.shown("private")] == ["2", "3"]
    assert len(_questions(bench)) == 1


def test_a_gap_within_a_roster_does_not_leave_half_of_it() -> None:
    bench = SessionBench()
    bench.enter()
    for remaining, name in ((2, "a"), (1, "b")):
        text = f"1 {remaining}\n{name}"
        bench.inbox.append(Event(EventKind.ROSTER, 5000, "", "", text, bench.MEMBER))
    bench.receive(bench.slice(2, 2, inbox=True))
    text = "1 0\nc"
    bench.inbox.append(Event(EventKind.ROSTER, 5000, "", "", text, bench.MEMBER))
    bench.receive(bench.slice(4, inbox=True, oldest=4))
    (question,) = _questions(bench)
    bench.receive(bench.roster("Anna", "a", "b", "c", message_id=question))
    assert bench.session.members == ["a", "Anna", "b", "c"]


def test_coming_back_in_a_new_session_waits_for_its_roster() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    bench.append(_leave("Anna", "timeout"), _leave("Boris"))
    joined = bench.append(_join("Anna", bench.MEMBER))
    bench.resume(session_id=99, joined=joined)
    bench.receive(bench.roster("Anna"))
    bench.receive(bench.slice(2))
    assert bench.session.members == ["Anna"]
    assert _questions(bench) == []


def test_what_came_between_a_rosters_making_and_coming_back_is_not_forgotten() -> None:
    bench = SessionBench()
    bench.enter()
    bench.lose_the_link()
    joined = bench.append(_join("Anna", bench.MEMBER))
    bench.resume(session_id=99, joined=joined)
    roster = bench.roster("Anna", "Boris", seq=joined)
    bench.append(_join("Clara"))
    bench.receive(bench.slice(2))
    bench.receive(roster)
    assert bench.session.members == ["Anna", "Boris", "Clara"]


def test_a_restarted_servers_roster_replaces_the_old_one() -> None:
    bench = SessionBench()
    bench.enter()
    bench.chat(*"abcdefgh")
    bench.receive(bench.slice(2))
    bench.lose_the_link()
    bench.epoch, bench.inbox_epoch = 2, 3
    bench.log = [_join("Anna", bench.MEMBER)]
    bench.inbox.clear()
    bench.resume(session_id=99, start=1, joined=1, inbox_start=1)
    bench.receive(bench.slice(1))
    bench.receive(bench.roster("Anna", "New"))
    assert bench.session.members == ["Anna", "New"]
    assert _questions(bench) == []


def test_a_roster_that_makes_no_sense_is_passed_over() -> None:
    bench = SessionBench()
    bench.enter()
    for text in ("", "x 0\nMallory", "²  0\nMallory", "-1 0\nMallory", "1 1\nMallory"):
        bench.inbox.append(Event(EventKind.ROSTER, 5000, "", "", text, bench.MEMBER))
    bench.receive(bench.slice(2, inbox=True))
    assert bench.session.members == ["Anna", "Boris"]


def test_a_link_lost_before_the_roster_came_still_ends_in_joined() -> None:
    bench = _arrived(SessionBench())
    bench.advance(12.0)
    assert bench.events == [], "never in, so nothing is 'reconnecting'"
    bench.joined = 1
    bench.resume()
    bench.receive(bench.roster("Anna"))
    assert bench.kinds() == ["joined"]


def test_a_server_restarted_before_the_roster_came_still_ends_in_joined() -> None:
    bench = _arrived(SessionBench())
    bench.advance(12.0)
    bench.epoch, bench.inbox_epoch = 2, 3
    bench.chat("new server")
    bench.resume(session_id=99, start=1, joined=1, inbox_start=1)
    bench.receive(bench.slice(1))
    bench.receive(bench.roster("Anna"))
    assert bench.kinds() == ["joined", "chat"]


def test_two_late_rosters_do_not_forget_who_came_since_they_were_made() -> None:
    """Two answers to /who that others overtook: the second is as old as the first."""
    bench = SessionBench()
    bench.enter()
    first, second = of_type(Say, bench.say("", "", kind=MessageKind.WHO))[0].messages
    late = [
        bench.roster("Anna", "Boris", message_id=first.message_id),
        bench.roster("Anna", "Boris", message_id=second.message_id),
    ]
    bench.append(_join("Clara"))
    bench.receive(bench.slice(2))
    for packet in late:
        bench.receive(packet)
    assert bench.session.members == ["Anna", "Boris", "Clara"]
    newest = _questions(bench)[-1]
    assert newest > second.message_id, "asked anew"
    bench.receive(bench.roster("Anna", "Boris", "Clara", message_id=newest))
    assert bench.session.pending_count == 0


def test_a_roster_that_is_lost_with_its_question_is_asked_for_anew() -> None:
    bench = SessionBench()
    bench.enter()
    bench.append(_join("Unseen"), _join("Clara"))
    bench.receive(bench.slice(3, oldest=3))
    (question,) = _questions(bench)
    bench.roster("Anna", "Boris", "Clara", "Unseen", message_id=question)  # never sent
    bench.inbox.append(Event(EventKind.PRIVATE, 5000, "Boris", "Anna", "psst", 8))
    bench.receive(bench.slice(3, inbox=True, oldest=3))
    bench.receive(bench.answer(int(bench.now * 1e6), received=question))
    bench.advance(0.1)
    assert _questions(bench)[-1] > question
