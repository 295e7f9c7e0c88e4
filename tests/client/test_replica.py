"""What a member keeps of the room, for the host that comes after this one."""

from __future__ import annotations

import itertools

from tests.machines import START
from udp_chat.client.replica import BRANCHES_MAX, TOLD_DATAGRAMS_MAX, Replica, parsed
from udp_chat.protocol.delivery import Delivery, Lost
from udp_chat.protocol.lineage import Lineage, Range
from udp_chat.protocol.packets import Event, EventKind, Fetch, Told

ROOM_ID = 0xA
FIRST_TERM = Lineage(((ROOM_ID, 1),))
SECOND_TERM = FIRST_TERM.followed_by(0xB, 4)
OTHER_TERM = FIRST_TERM.followed_by(0xC, 4)


def _said(text: str, message_id: int, member: int = 7) -> Event:
    return Event(EventKind.CHAT, 5, "Anna", "", text, member, message_id)


def _deliveries(first: int, *texts: str) -> list[Delivery]:
    return [(seq, _said(text, seq)) for seq, text in enumerate(texts, first)]


def _replica(*texts: str, lineage: Lineage = FIRST_TERM) -> Replica:
    replica = Replica()
    replica.begin(ROOM_ID, lineage, 1, START)
    replica.follow(_deliveries(1, *texts), len(texts), START)
    return replica


def _texts(replica: Replica) -> list[str]:
    log = replica.log
    return [parsed(encoded).text for encoded in log.newest(log.entry_count)]


def _tell(replica: Replica, fetch: Fetch) -> list[Told]:
    return replica.tell(fetch, itertools.count(1))


def _told(replica: Replica, epoch: int, first: int, last: int) -> list[str]:
    packets = _tell(replica, Fetch(9, epoch, first, last))
    return [event.text for packet in packets for event in packet.events]


def test_a_replica_keeps_what_was_shown_under_the_rooms_numbers() -> None:
    replica = _replica("a", "b", "c")
    assert (replica.log.oldest, replica.log.latest) == (1, 3)
    assert _texts(replica) == ["a", "b", "c"]
    assert replica.has_talk
    assert not Replica().has_talk


def test_after_a_gap_it_keeps_what_comes_behind_it() -> None:
    replica = _replica("a", "b")
    replica.follow([Lost(2), *_deliveries(5, "e")], 5, START)
    assert (replica.log.oldest, _texts(replica)) == (5, ["e"])
    replica.follow([Lost(3)], 8, START)
    assert (replica.log.oldest, replica.log.latest, _texts(replica)) == (9, 8, [])


def test_it_tells_a_host_what_that_asks_for_of_the_term_it_was_said_in() -> None:
    replica = _replica("a", "b", "c", "d", lineage=SECOND_TERM)
    assert _told(replica, ROOM_ID, 2, 3) == ["b", "c"]
    assert _told(replica, 0xB, 4, 4) == ["d"]
    assert _told(replica, 0xB, 3, 4) == [], "that was said in the term before"
    assert _told(replica, ROOM_ID, 9, 9) == []


def test_it_says_from_where_on_it_has_a_term_that_it_came_to_late() -> None:
    replica = Replica()
    replica.begin(ROOM_ID, FIRST_TERM, 4, START)
    replica.follow(_deliveries(4, "d", "e"), 5, START)
    (told,) = _tell(replica, Fetch(9, ROOM_ID, 2, 5))
    assert (told.first, told.events) == (4, ())
    assert _tell(replica, Fetch(9, ROOM_ID, 2, 3)) == []
    assert _tell(replica, Fetch(9, 0xE, 2, 5)) == []


def test_joins_that_were_shown_in_another_part_are_shown_once() -> None:
    replica = _replica("a", "b", "c")
    joined = Event(EventKind.JOIN, 5, "Boris", "", "", 8)
    replica.follow([(4, joined)], 4, START)
    assert replica.is_news(4, joined)
    replica.continue_in(OTHER_TERM, 3, START)
    replica.follow(_deliveries(4, "d"), 4, START)
    replica.continue_in(Lineage(((ROOM_ID, 1), (0xB, 9))), 3, START)
    assert not replica.is_news(4, joined)


def test_what_is_older_than_what_was_shown_of_a_term_is_not_shown_behind_it() -> None:
    replica = Replica()
    replica.begin(ROOM_ID, SECOND_TERM, 9, START)
    replica.follow(_deliveries(9, "late"), 9, START)
    replica.continue_in(OTHER_TERM, 3, START)
    replica.continue_in(SECOND_TERM, 3, START)
    assert not replica.is_news(8, _said("before it came", 88))
    assert replica.is_news(10, _said("news", 90))


def test_one_question_is_answered_by_a_few_datagrams() -> None:
    replica = _replica(*("x" * 800 for _ in range(TOLD_DATAGRAMS_MAX + 2)))
    packets = _tell(replica, Fetch(9, ROOM_ID, 1, 99))
    assert [packet.first for packet in packets] == list(range(1, TOLD_DATAGRAMS_MAX + 1))
    assert len({packet.timestamp for packet in packets}) == len(packets)
    assert {packet.client_id for packet in packets} == {9}


def test_in_another_term_it_keeps_what_both_have_and_remembers_the_rest_apart() -> None:
    replica = _replica("a", "b", "c", "d", "e", lineage=SECOND_TERM)
    replica.continue_in(OTHER_TERM, 3, START)
    assert (replica.log.latest, _texts(replica)) == (3, ["a", "b", "c"])
    assert replica.log.epoch == 0xC
    assert _told(replica, 0xB, 4, 5) == ["d", "e"]
    replica.follow(_deliveries(4, "D"), 4, START)
    assert _told(replica, 0xC, 4, 4) == ["D"]


def test_a_message_is_news_once_whatever_part_brings_it() -> None:
    replica = _replica()
    assert replica.is_news(4, _said("d", 4))
    replica.continue_in(OTHER_TERM, 3, START)
    assert not replica.is_news(9, _said("d", 4))
    assert replica.is_news(10, _said("d", 4, member=8))
    assert replica.is_news(11, Event(EventKind.RENAME, 5, "Anna", "", "d", 7, 4))
    apart = Event(EventKind.CHAT_APART, 5, "Anna", "00000000000000e1 7", "d", 7, 4)
    assert not replica.is_news(12, apart)


def test_what_another_part_lost_is_no_news_to_one_that_was_shown_it() -> None:
    replica = _replica("a", "b", "c")
    replica.continue_in(OTHER_TERM, 1, START)
    mine, others = Range(ROOM_ID, 2, 3), Range(0xD, 2, 3)
    assert not replica.is_news(2, Event(EventKind.LOST_APART, 5, to=mine.format()))
    assert replica.is_news(3, Event(EventKind.LOST_APART, 5, to=others.format()))


def test_a_term_that_goes_on_without_a_seam_makes_no_part() -> None:
    replica = _replica("a", "b", "c")
    replica.continue_in(SECOND_TERM, 3, START)
    assert _texts(replica) == ["a", "b", "c"]
    assert _told(replica, ROOM_ID, 1, 3) == ["a", "b", "c"]


def test_few_parts_are_remembered() -> None:
    replica = _replica("a", "b", "c")
    for number in range(BRANCHES_MAX + 2):
        replica.continue_in(FIRST_TERM.followed_by(0xB0 + number, 4), 3, START)
        replica.follow([(4, _said(f"in {number}", 100 + number))], 4, START)
    assert _told(replica, 0xB0, 4, 4) == []
    assert _told(replica, 0xB1, 4, 4) == ["in 1"]


def test_another_room_forgets_all() -> None:
    replica = _replica("a", "b", "c", "d", lineage=SECOND_TERM)
    replica.continue_in(OTHER_TERM, 3, START)
    replica.begin(0xD, Lineage(((0xD, 1),)), 8, START)
    assert (replica.room_id, replica.log.oldest, _texts(replica)) == (0xD, 8, [])
    assert _told(replica, 0xB, 4, 4) == []


def _register(text: str) -> Event:
    return Event(EventKind.REGISTER, 5, "", "", text, 7)


ANNA_ROW = "7 0123456789abcdef 4 1 Anna"
BORIS_ROW = "8 0123456789abcdee 0 2 Boris"


def test_a_register_counts_once_all_of_it_has_come() -> None:
    replica = _replica("a", "b", "c")
    replica.take_register(_register(f"3 1\n{ANNA_ROW}"))
    assert (replica.rows, replica.register_seq) == ([], 0)
    replica.take_register(_register("0 0"))
    replica.take_register(_register(f"3 0\n{BORIS_ROW}"))
    assert (replica.rows, replica.register_seq) == ([ANNA_ROW, BORIS_ROW], 3)


def test_a_register_whose_rest_never_came_is_no_part_of_the_next_one() -> None:
    replica = _replica()
    replica.take_register(_register(f"2 1\n{ANNA_ROW}"))
    replica.take_register(_register(f"3 0\n{BORIS_ROW}"))
    assert (replica.rows, replica.register_seq) == ([BORIS_ROW], 3)


def test_a_register_of_another_part_is_forgotten() -> None:
    replica = _replica("a", "b", "c", "d", lineage=SECOND_TERM)
    replica.take_register(_register(f"3 0\n{ANNA_ROW}"))
    replica.continue_in(OTHER_TERM, 3, START)
    assert replica.register_seq == 3, "it is of what both have"
    replica.continue_in(SECOND_TERM, 2, START)
    assert (replica.rows, replica.register_seq) == ([], 0)


def test_a_copy_is_the_same_room_and_changes_no_more() -> None:
    replica = _replica("a", "b")
    replica.take_register(_register(f"2 0\n{ANNA_ROW}"))
    copy = replica.copied(START)
    replica.follow(_deliveries(3, "c"), 3, START)
    assert (_texts(copy), copy.rows, copy.register_seq) == (["a", "b"], [ANNA_ROW], 2)
    assert (copy.room_id, copy.lineage, copy.log.epoch) == (ROOM_ID, FIRST_TERM, ROOM_ID)


def test_what_was_said_in_another_part_is_offered_until_it_is_known_to_be_in_the_log() -> None:
    replica = _replica()
    for seq, kind in ((1, EventKind.CHAT), (2, EventKind.CHAT), (3, EventKind.CHAT)):
        replica.follow([(seq, Event(kind, 1, "Anna", "", f"m{seq}", 7, seq))], seq, 0.0)
    replica.follow([(4, Event(EventKind.LEAVE, 1, "Anna", "", "left", 7))], 4, 0.0)
    epoch = replica.lineage.terms[-1][0]
    assert replica.apart() == "", "one part has nothing to tell itself"
    replica.continue_in(replica.lineage.followed_by(0xE, 2), 1, 0.0)
    assert replica.apart() == Range(epoch, 2, 3).format(), "the leave is of no use to others"
    apart = Event(EventKind.CHAT_APART, 1, "Anna", f"{epoch:016x} 2", "m2", 7, 2)
    replica.follow([(2, apart)], 2, 0.0)
    assert replica.apart() == Range(epoch, 2, 3).format()
    replica.follow(
        [(3, Event(EventKind.CHAT_APART, 1, "Anna", f"{epoch:016x} 3", "m3", 7, 3))], 3, 0.0
    )
    assert replica.apart() == ""


def test_one_that_came_late_to_another_part_names_its_beginning_as_all_do() -> None:
    replica = Replica()
    replica.begin(ROOM_ID, SECOND_TERM, 9, START)
    replica.follow(_deliveries(9, "late"), 9, START)
    replica.continue_in(OTHER_TERM, 3, START)
    epoch, begins = SECOND_TERM.terms[-1]
    assert replica.apart() == Range(epoch, begins, 9).format()


def test_what_came_into_the_log_of_one_part_is_offered_to_another_part() -> None:
    replica = _replica("a", "b")
    replica.continue_in(OTHER_TERM, 1, START)
    apart = Event(EventKind.CHAT_APART, 1, "Anna", f"{ROOM_ID:016x} 2", "b", 7, 2)
    replica.follow([(2, apart)], 2, START)
    assert replica.apart() == ""
    replica.continue_in(SECOND_TERM, 1, START)
    assert Range(ROOM_ID, 2, 2).format() in replica.apart().splitlines()


def test_a_term_that_two_parts_had_is_offered_as_one_and_told_from_both() -> None:
    replica = _replica("a", "b", "c")
    replica.continue_in(FIRST_TERM.followed_by(0xC, 3), 2, START)
    replica.follow(_deliveries(3, "other"), 3, START)
    replica.continue_in(FIRST_TERM.followed_by(0xD, 2), 1, START)
    assert replica.apart().splitlines()[0] == Range(ROOM_ID, 2, 3).format()
    (told,) = _tell(replica, Fetch(9, ROOM_ID, 2, 3))
    assert [event.text for event in told.events] == ["b"], "what follows there is of another term"
    (told,) = _tell(replica, Fetch(9, ROOM_ID, 3, 3))
    assert [event.text for event in told.events] == ["c"]
