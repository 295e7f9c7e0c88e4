"""How events look: the chat's own mark, mentions, what stands out and what is dim."""

from __future__ import annotations

import time
from datetime import date
from typing import cast

import pytest

from tests.app.test_lines import EVENTS
from udp_chat.app.catalogue import LANGUAGES
from udp_chat.app.conversation import Conversation
from udp_chat.app.showing import (
    ERROR,
    MARK,
    SAID,
    Crowd,
    Days,
    Unread,
    day_sentence,
    event_spans,
    mentions,
    own_line,
    title,
)
from udp_chat.client.chat_events import ChatEvent
from udp_chat.terminal.style import BOLD, DIM


def text(event: ChatEvent, language: str = "en") -> str:
    return "".join(span.text for span in event_spans(event, language))


# --- the mark --------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", [event for event, _, _ in EVENTS])
def test_the_mark_begins_each_line_of_the_chat_itself_and_no_message(
    event: ChatEvent, language: str
) -> None:
    assert text(event, language).startswith(f"{MARK} ") == (event["event"] not in SAID)


def test_what_people_say_and_call_themselves_never_has_the_mark() -> None:
    said = f"{MARK} Anna left"
    for kind in SAID:
        assert MARK not in text({"event": kind, "name": said, "to": said, "text": said})
    join = text({"event": "join", "name": said})
    assert join.count(MARK) == 1


def test_an_action_does_not_look_like_a_leave() -> None:
    action = text({"event": "action", "name": "Anna", "text": "left"})
    assert (action, text({"event": "leave", "name": "Anna"})) == ("* Anna left", "► Anna left")


def test_history_of_the_chat_itself_begins_with_the_mark_too() -> None:
    assert text({"event": "join", "name": "Anna", "history": True}) == "► (earlier) Anna joined"


def test_an_own_text_has_the_mark_and_a_table_has_not() -> None:
    assert own_line("Bell: never") == "► Bell: never"
    assert own_line("/me TEXT\n/who") == "/me TEXT\n/who"


# --- mentions --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Eve, look", "Eve"),
        ("thanks, EVE!", "eve"),
        ("(@eve)", "Eve"),
        ("Eve's", "Eve"),
        ("eventually Eve.", "Eve"),
        ("смотри, АННА!", "Анна"),
        ("straße: STRASSE", "Strasse"),
        ("田中さん、こんにちは", "田中"),
        ("谢谢田中", "田中"),
        ("Eveさん", "Eve"),
        ("สวัสดีสมชายครับ", "สมชาย"),
        ("शुक्रिया, नीलम", "नीलम"),
        ("anna-2: hi", "anna-2"),
        ("Anna - 2 apples", "Anna"),
        ("I saw O’Brien", "O'Brien"),
    ],
)
def test_a_name_is_mentioned_as_a_word_in_any_script(said: str, name: str) -> None:
    assert mentions(said, name)


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("eventually", "Eve"),
        ("steve and eve2", "Eve"),
        ("my_eve", "Eve"),
        ("Аннам и Ханна", "Анна"),
        ("anna-2: hi", "anna"),
        ("anna.2: hi", "anna"),
        ("नीलमा", "नीलम"),
        ("Eve\u0301", "Eve"),
        ("", "Eve"),
        ("anything", ""),
    ],
)
def test_a_part_of_another_word_or_name_mentions_nobody(said: str, name: str) -> None:
    assert not mentions(said, name)


# --- what stands out -------------------------------------------------------------------------


def styles(event: ChatEvent) -> set[str]:
    """How its own words look, without the colours of names."""
    spans = event_spans(event, "en", "Eve")
    return {span.style.partition("38;5")[0].rstrip(";") for span in spans}


@pytest.mark.parametrize(
    ("event", "style"),
    [
        ({"event": "chat", "name": "Anna", "text": "Eve?"}, BOLD),
        ({"event": "action", "name": "Anna", "text": "waves to Eve"}, BOLD),
        ({"event": "private", "name": "Anna", "to": "Eve", "text": "psst"}, BOLD),
        ({"event": "chat", "name": "Anna", "text": "eventually"}, ""),
        ({"event": "chat", "name": "Eve", "text": "Eve said so"}, ""),
        ({"event": "private", "name": "Eve", "to": "Anna", "text": "psst"}, ""),
        ({"event": "notice", "reason": "name_in_use", "name": "Zoe"}, ERROR),
        ({"event": "reconnecting"}, ERROR),
        ({"event": "chat", "name": "!", "text": "x"}, ""),
        ({"event": "join", "name": "Anna"}, DIM),
        ({"event": "leave", "name": "Anna"}, DIM),
        ({"event": "rename", "name": "Anna", "new_name": "Anya"}, DIM),
        ({"event": "chat", "name": "Anna", "text": "Eve?", "history": True}, DIM),
        ({"event": "notice", "reason": "members", "members": ["Eve"], "count": 1}, ""),
    ],
)
def test_what_is_for_me_and_errors_stand_out_and_joins_and_history_are_dim(
    event: ChatEvent, style: str
) -> None:
    assert styles(event) == {style}


# --- days ------------------------------------------------------------------------------------


def said_on(*day: int, history: bool = False) -> ChatEvent:
    event: ChatEvent = {"event": "chat", "name": "Anna", "text": "hi"}
    year, month, number, hour, minute = (*day, 0, 0)[:5]
    event["time"] = time.mktime((year, month, number, hour, minute, 0, 0, 0, -1))
    if history:
        event["history"] = True
    return event


def dates(events: list[ChatEvent], today: date, language: str = "en") -> list[str]:
    """The line before each event, "" where there is none."""
    days = Days(today)
    return ["".join(s.text for s in days.spans_before(e, language)) for e in events]


def test_a_date_stands_where_the_day_changes_also_between_history_and_live() -> None:
    events: list[ChatEvent] = [
        {"event": "joined"},
        said_on(2026, 11, 22, 23, history=True),
        said_on(2026, 11, 22, 23, 59, history=True),
        said_on(2026, 11, 23, 0, 0, history=True),
        said_on(2026, 11, 24, 0, 5),
        said_on(2026, 11, 24, 23, 59),
        said_on(2026, 11, 25, 0, 0),
        said_on(2026, 11, 24, 23, 59),
        said_on(2026, 11, 25, 0, 1),
    ]
    assert dates(events, date(2026, 11, 24)) == [
        "",
        "► Sunday, 22 November 2026",
        "",
        "► Monday, 23 November 2026",
        "► Tuesday, 24 November 2026",
        "",
        "► Wednesday, 25 November 2026",
        "",
        "",
    ]


def test_a_conversation_of_today_needs_no_date() -> None:
    today = date(2026, 11, 24)
    assert dates([said_on(2026, 11, 24, 9, history=True), said_on(2026, 11, 24, 10)], today) == [
        "",
        "",
    ]


def test_a_russian_date_has_its_month_in_the_genitive() -> None:
    assert [day_sentence(date(2027, month, 1), "ru") for month in range(1, 13)] == [
        "пятница, 1 января 2027 г.",
        "понедельник, 1 февраля 2027 г.",
        "понедельник, 1 марта 2027 г.",
        "четверг, 1 апреля 2027 г.",
        "суббота, 1 мая 2027 г.",
        "вторник, 1 июня 2027 г.",
        "четверг, 1 июля 2027 г.",
        "воскресенье, 1 августа 2027 г.",
        "среда, 1 сентября 2027 г.",
        "пятница, 1 октября 2027 г.",
        "понедельник, 1 ноября 2027 г.",
        "среда, 1 декабря 2027 г.",
    ]


def test_a_conversation_shows_the_date_above_what_was_said_on_that_day(
    capsys: pytest.CaptureFixture[str],
) -> None:
    Conversation("en").show(said_on(2020, 2, 29, history=True))
    assert capsys.readouterr().out.splitlines() == [
        "► Saturday, 29 February 2020",
        "(earlier) Anna: hi",
    ]


# --- crowds ----------------------------------------------------------------------------------


def crowd(events: list[ChatEvent], language: str = "en") -> list[str]:
    shown = Crowd()
    return ["".join(s.text for s in shown.add(event, language)) for event in events]


def test_joins_after_one_another_become_one_line() -> None:
    names = ["Anna", "Boris", "Vera"]
    assert crowd([{"event": "join", "name": name} for name in names]) == [
        "",
        "► 2 joined: Anna, Boris",
        "► 3 joined: Anna, Boris, Vera",
    ]
    many: list[ChatEvent] = [{"event": "join", "name": f"n{number}"} for number in range(25)]
    assert crowd(many)[-1] == "► 25 joined: n0, n1, n2, n3, n4, n5, n6, n7, …"
    assert crowd(many, "ru")[-1].startswith("► В чат входят (25): n0, n1, ")


def test_a_message_and_another_kind_of_event_end_a_crowd() -> None:
    join: ChatEvent = {"event": "join", "name": "Anna"}
    left: ChatEvent = {"event": "leave", "name": "Anna", "reason": "left"}
    lost: ChatEvent = {"event": "leave", "name": "Anna", "reason": "timeout"}
    chat: ChatEvent = {"event": "chat", "name": "Anna", "text": "hi"}
    earlier: ChatEvent = {"event": "join", "name": "Anna", "history": True}
    assert crowd([earlier, join, chat, join, left, lost, lost]) == [
        *[""] * 6,
        "► 2 lost the connection: Anna, Anna",
    ]
    assert crowd([earlier, earlier])[1] == "► (earlier) 2 joined: Anna, Anna"


def test_joins_and_leaves_that_are_history_are_not_shown(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A newcomer is shown the newest messages: hundreds of joins may lie between."""
    conversation = Conversation("en", as_json=False, timestamps=False)
    for kind, history in (("join", True), ("leave", True), ("chat", True), ("join", False)):
        event = {"event": kind, "name": "Anna", "text": "hi", "time": 0.0}
        conversation.show(cast(ChatEvent, {**event, "history": history}))
    shown = capsys.readouterr().out
    assert shown.count("Anna") == 2
    assert "hi" in shown
    assert "joined" in shown


# --- unread ----------------------------------------------------------------------------------


def test_the_first_message_that_nobody_sees_come_has_a_mark_and_all_are_counted() -> None:
    unread = Unread()
    assert not unread.add()
    for _ in range(2):
        unread.look(looks=False)
        assert [unread.add() for _ in range(3)] == [True, False, False]
        unread.look(looks=False)
        assert not unread.add()
        assert unread.count == 4
        unread.look(looks=True)
        assert (unread.count, unread.add()) == (0, False)


def test_the_title_has_the_number_of_unread_messages_up_to_99() -> None:
    titles = [title("чат", count) for count in (0, 1, 99, 100)]
    assert titles == ["чат", "(1) чат", "(99) чат", "(99+) чат"]
