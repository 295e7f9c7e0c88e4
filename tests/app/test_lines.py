"""What a person types and reads: commands, sentences in two languages, texts that are no tricks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from udp_chat.app.catalogue import LANGUAGES
from udp_chat.app.chat_sentences import CHAT
from udp_chat.app.lines import (
    ALONE,
    NOTICES,
    VERBS,
    Command,
    event_line,
    help_text,
    parse_line,
    said_line,
    wrong_line,
)
from udp_chat.client.chat_events import ChatEvent
from udp_chat.protocol.printable import printable

HOSTILE = "a\x1b[2J\x07b\x9b31mc\u202ed\u2066e\u200ef\r\ng\x00h\x7fi{text}j%s"
HARMLESS = "a[2Jb31mcdef  ghi{text}j%s"


# --- what is typed ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "command"),
    [
        ("hello", Command("say", "hello")),
        ("  two leading spaces", Command("say", "  two leading spaces")),
        ("trailing  ", Command("say", "trailing  ")),
        (" /quit", Command("quit")),
        ("\t /msg Anna hello", Command("msg", "hello", "Anna")),
        ("  /say  /quit", Command("say", " /quit")),
        ("  // a comment in code", Command("say", "  // a comment in code")),
        ("  /* another */", Command("say", "  /* another */")),
        ("1/2", Command("say", "1/2")),
        ("//", Command("say", "/")),
        ("//quit", Command("say", "/quit")),
        ("///", Command("say", "//")),
        ("/quit", Command("quit")),
        ("/quit now", Command("quit")),
        ("/quit  ", Command("quit")),
        ("выйти", Command("quit")),
        ("  Выйти ", Command("quit")),
        ("ВЫЙТИ", Command("quit")),
        ("выйти из комнаты", Command("say", "выйти из комнаты")),
        ("не выйти", Command("say", "не выйти")),
        ("quit", Command("say", "quit")),
        ("/who", Command("who")),
        ("/help", Command("help")),
        ("/me waves", Command("me", "waves")),
        ("/me   waves twice ", Command("me", "waves twice")),
        ("/me", Command("usage", "me")),
        ("/me  ", Command("usage", "me")),
        ("/nick Anna", Command("nick", "Anna")),
        ("/nick two words", Command("nick", "two words")),
        ("/nick", Command("usage", "nick")),
        ("/msg Anna hello there", Command("msg", "hello there", "Anna")),
        ("/msg  Anna   hello", Command("msg", "hello", "Anna")),
        ("/msg Анна //x", Command("msg", "//x", "Анна")),
        ("/msg Anna", Command("usage", "msg")),
        ("/msg Anna  ", Command("usage", "msg")),
        ("/msg", Command("usage", "msg")),
        ("/seen", Command("seen")),
        ("/stats of mine", Command("stats")),
        ("/bell mentions", Command("bell", "mentions")),
        ("/bell", Command("usage", "bell")),
        ("/bell loud", Command("usage", "bell")),
        ("/joins off", Command("joins", "off")),
        ("/joins mentions", Command("usage", "joins")),
        ("/history", Command("history", "")),
        ("/history 7", Command("history", "7")),
        ("/history -7", Command("usage", "history")),
        ("/history all", Command("usage", "history")),
        ("/save my notes.txt", Command("save", "my notes.txt")),
        ("/save", Command("usage", "save")),
        ("/save! my notes.txt", Command("save!", "my notes.txt")),
        ("/save!", Command("usage", "save!")),
        ("/history 123456789", Command("history", "123456789")),
        ("/history 1234567890", Command("usage", "history")),
        ("/history " + "9" * 5000, Command("usage", "history")),
        ("/say hello", Command("say", "hello")),
        ("/say   /quit ", Command("say", "  /quit ")),
        ("/say выйти", Command("say", "выйти")),
        ("/say", Command("usage", "say")),
        ("/saying", Command("unknown", "saying")),
        ("/ignore Boris", Command("ignore", "Boris")),
        ("/ignore", Command("usage", "ignore")),
        ("/", Command("unknown", "")),
        ("/ quit", Command("unknown", "")),
        ("/quitting", Command("unknown", "quitting")),
        ("/QUIT", Command("quit")),
        ("/Msg Anna Hello", Command("msg", "Hello", "Anna")),
        ("/SAY  /quit", Command("say", " /quit")),
        ("/bell OFF", Command("bell", "off")),
        ("/q", Command("quit")),
        ("/hel", Command("help")),
        ("/hist 7", Command("history", "7")),
        ("/r thanks a lot", Command("r", "thanks a lot")),
        ("/r", Command("usage", "r")),
        ("/search two words", Command("search", "two words")),
        ("/search", Command("usage", "search")),
        ("/se two", Command("ambiguous", "se")),
        ("/sav notes.txt", Command("save", "notes.txt")),
        ("/h", Command("ambiguous", "h")),
        ("/M Anna hello", Command("ambiguous", "M")),
        ("/help msg", Command("help", "msg")),
        ("/help /MSG", Command("help", "msg")),
        ("/help h", Command("ambiguous", "h")),
        ("/help xyzzy", Command("unknown", "xyzzy")),
        ("/выйти", Command("unknown", "выйти")),
    ],
)
def test_a_line_is_the_command_it_looks_like(line: str, command: Command) -> None:
    assert parse_line(line) == command


@pytest.mark.parametrize(
    ("line", "english", "russian"),
    [
        (
            "/msg Anna",
            "Usage: /msg NAME TEXT, for example: /msg Anna see you at six",
            "Нужно так: /msg ИМЯ ТЕКСТ, например: /msg Анна увидимся в шесть",
        ),
        (
            "/bell loud",
            "Usage: /bell on|mentions|off, for example: /bell off",
            "Нужно так: /bell on|mentions|off, например: /bell off",
        ),
        (
            "/save!",
            "Usage: /save! FILE, for example: /save! chat.txt",
            "Нужно так: /save! ФАЙЛ, например: /save! беседа.txt",
        ),
        (
            "/h",
            "/h can mean several commands: /help, /history. Type more of the word",
            "/h — начало нескольких команд: /help, /history. Наберите слово дальше",
        ),
        (
            "/hlep",
            "Unknown command /hlep. Did you mean /help? To send text that starts with /,"
            " type //hlep",
            "Команды /hlep нет. Может быть, /help? Чтобы отправить текст с / в начале,"
            " наберите //hlep",
        ),
        (
            "/xyzzy",
            "Unknown command /xyzzy. /help lists the commands. To send text that starts with /,"
            " type //xyzzy",
            "Команды /xyzzy нет. Список команд: /help. Чтобы отправить текст с / в начале,"
            " наберите //xyzzy",
        ),
    ],
)
def test_a_wrong_command_is_answered_with_what_to_type(
    line: str, english: str, russian: str
) -> None:
    command = parse_line(line)
    assert command is not None
    assert wrong_line(command, "en") == english
    assert wrong_line(command, "ru") == russian


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_has_a_row_in_the_help(language: str) -> None:
    for verb in VERBS:
        assert help_text(verb, language).startswith(f"/{verb}")


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_command_that_can_lack_something_has_an_example_that_lacks_nothing(
    language: str,
) -> None:
    for verb in set(VERBS) - {*ALONE}:
        example = wrong_line(Command("usage", verb), language).partition(": ")[2].partition(": ")[2]
        command = parse_line(example)
        assert command is not None
        assert command.verb == verb


def test_help_explains_one_command() -> None:
    assert help_text("msg", "en") == (
        "/msg NAME TEXT: send a message to one person alone. For example: /msg Anna see you at six"
    )
    assert help_text("who", "en") == "/who: show who is here"
    assert help_text("", "en").startswith("/msg NAME TEXT  ")


@pytest.mark.parametrize("word", ["exit", "quit", " Exit ", "QUIT"])
def test_a_word_that_means_to_leave_is_asked_about_at_a_terminal_and_said_in_a_pipe(
    word: str,
) -> None:
    asked = parse_line(word, asks_before_leaving=True)
    assert asked == Command("leaving", word.strip())
    assert wrong_line(asked, "en") == (
        f"Do you want to leave? Type /quit. To send the word, type /say {word.strip()}"
    )
    assert parse_line(word) == Command("say", word)
    assert parse_line("exit the room", asks_before_leaving=True) == Command("say", "exit the room")


@pytest.mark.parametrize("line", ["", " ", "\t", "\r", "\u2003", "/say ", "/say   "])
def test_an_empty_line_is_no_command(line: str) -> None:
    assert parse_line(line) is None


@given(st.text())
def test_any_line_is_said_if_its_slash_is_doubled(text: str) -> None:
    assert parse_line(f"//{text}") == Command("say", f"/{text}")


@given(st.text())
def test_any_line_is_said_behind_say_or_where_no_commands_are_read(text: str) -> None:
    said = Command("say", text) if text.strip() else None
    assert parse_line(f"/say {text}") == said
    assert said_line(text) == said


@given(st.text())
def test_every_line_is_some_command(line: str) -> None:
    command = parse_line(line)
    assert (command is None) == (not line.removeprefix("/say ").strip())


# --- what is read ----------------------------------------------------------------------------

EVENTS: list[tuple[ChatEvent, str, str]] = [
    (
        {"event": "joined", "name": "Anna", "room": "Café", "members": ["Anna", "Boris"]},
        "You are Anna in the room “Café”. Here now: Anna, Boris. /help lists the commands.",
        "Вы — Anna в комнате «Café». Сейчас здесь: Anna, Boris. Команды: /help.",
    ),
    ({"event": "chat", "name": "Anna", "text": "hi", "seq": 1}, "Anna: hi", "Anna: hi"),
    (
        {"event": "chat", "name": "Anna", "text": "hi", "history": True},
        "(earlier) Anna: hi",
        "(ранее) Anna: hi",
    ),
    ({"event": "chat", "name": "Anna", "text": "{name}"}, "Anna: {name}", "Anna: {name}"),
    ({"event": "action", "name": "Anna", "text": "waves"}, "* Anna waves", "* Anna waves"),
    (
        {"event": "private", "name": "Anna", "to": "Boris", "text": "psst"},
        "[private] Anna → Boris: psst",
        "[лично] Anna → Boris: psst",
    ),
    ({"event": "join", "name": "Anna"}, "Anna joined", "Anna теперь в чате"),
    ({"event": "leave", "name": "Anna", "reason": "left"}, "Anna left", "Anna уходит"),
    (
        {"event": "leave", "name": "Anna", "reason": "timeout"},
        "Anna lost the connection",
        "Anna: связь потеряна",
    ),
    ({"event": "leave", "name": "Anna", "reason": "new"}, "Anna left", "Anna уходит"),
    (
        {"event": "rename", "name": "Anna", "new_name": "Anya"},
        "Anna is now called Anya",
        "Anna теперь Anya",
    ),
    (
        {"event": "lost", "count": 1},
        "! 1 event is missing here: the server no longer keeps it",
        "! Здесь пропущено событий: 1, сервер его больше не хранит",
    ),
    (
        {"event": "lost", "count": 3},
        "! 3 events are missing here: the server no longer keeps them",
        "! Здесь пропущено событий: 3, сервер их больше не хранит",
    ),
    (
        {"event": "lost", "count": None},
        "! Something may be missing here: the server was restarted",
        "! Здесь может чего-то не хватать: сервер перезапущен",
    ),
    (
        {"event": "lost", "count": None, "apart": True},
        "(apart) ! Messages are missing here, and nobody here has them",
        "(порознь) ! Здесь не хватает сообщений, и здесь их ни у кого нет",
    ),
    (
        {"event": "reconnecting", "reason": "silence"},
        "! The server does not answer. Reconnecting; what you type will be sent when it is back",
        "! Сервер не отвечает. Переподключаюсь; набранное отправится позже",
    ),
    (
        {"event": "reconnecting", "reason": "shutting_down"},
        "! The server has stopped. Reconnecting when it is back; what you type will be sent then",
        "! Сервер остановлен. Переподключусь, когда он вернётся; набранное отправится позже",
    ),
    (
        {"event": "resumed", "name": "Anna-2", "room": "Café"},
        "! Back in the room “Café” as Anna-2",
        "! Снова в комнате «Café» под именем Anna-2",
    ),
    (
        {"event": "refused", "reason": "name_in_use", "text": "the name Anna is in use"},
        "! The server refused: that name is in use",
        "! Сервер отказал: это имя занято",
    ),
    (
        {"event": "refused", "reason": "room_full", "text": "the room is full (1 members)"},
        "! The server refused: the room is full",
        "! Сервер отказал: в комнате нет места",
    ),
    (
        {"event": "refused", "reason": "version", "text": ""},
        "! The server refused: the server has another version of this chat; use the same one"
        " on both computers",
        "! Сервер отказал: на сервере другая версия чата; на обоих компьютерах нужна одна и та же",
    ),
    (
        {"event": "refused", "reason": "reason_9", "text": "not today"},
        "! The server refused: not today",
        "! Сервер отказал: not today",
    ),
    (
        {"event": "notice", "reason": "no_such_member", "name": "Zoe"},
        "! Nobody here is called Zoe: nothing was sent",
        "! Никого по имени Zoe здесь нет: ничего не отправлено",
    ),
    (
        {"event": "notice", "reason": "not_delivered", "name": "Zoe"},
        "! Your private messages to Zoe were not delivered",
        "! Ваши личные сообщения для Zoe не доставлены",
    ),
    (
        {"event": "notice", "reason": "not_delivered_yet", "name": "Zoe"},
        "! Zoe lost the connection before reading your private messages."
        " They will be delivered when Zoe is back",
        "! Zoe без связи и ваших личных сообщений ещё не видит. Они дойдут, когда Zoe вернётся",
    ),
    (
        {"event": "notice", "reason": "name_in_use", "name": "Zoe"},
        "! The name Zoe is in use",
        "! Имя Zoe занято",
    ),
    (
        {"event": "notice", "reason": "unusable_name_white_space", "name": "a b"},
        "! “a b” can't be a name: no spaces, at most 32 characters",
        "! Имя «a b» не подходит: без пробелов, до 32 знаков",
    ),
    (
        {"event": "notice", "reason": "unusable_name_of_the_future", "name": "a=b"},
        "! “a=b” can't be a name: letters and digits, no spaces, at most 32 characters",
        "! Имя «a=b» не подходит: буквы и цифры, без пробелов, до 32 знаков",
    ),
    (
        {"event": "notice", "reason": "members", "members": ["Anna", "Boris"], "count": 2},
        "Here now: Anna, Boris (2)",
        "Сейчас здесь: Anna, Boris (2)",
    ),
    (
        {"event": "notice", "reason": "of_the_future", "name": "x"},
        "! of_the_future x",
        "! of_the_future x",
    ),
    (
        {"event": "notice", "reason": "seen", "text": "hi", "count": 2, "total": 2, "members": []},
        "“hi”: 2 of 2 have it",
        "«hi»: дошло до 2 из 2",
    ),
    (
        {
            "event": "notice",
            "reason": "seen",
            "text": "hi",
            "count": 1,
            "total": 2,
            "members": ["Zoe"],
        },
        "“hi”: 1 of 2 have it; not yet: Zoe",
        "«hi»: дошло до 1 из 2; ещё не получили: Zoe",
    ),
    ({"event": "left"}, "You left.", "Вы вышли."),
    (
        {"event": "left", "reason": "internal_error", "text": "KeyError: 1"},
        "! The client stopped because of a bug of its own (KeyError: 1). Messages that the server"
        " had not accepted are not sent. Start it again; with --log-level debug it shows where"
        " the bug is.",
        "! Клиент остановился из-за собственной ошибки (KeyError: 1). Сообщения, которые сервер не"
        " принял, не отправлены. Запустите клиент снова; с --log-level debug он покажет, где"
        " ошибка.",
    ),
]


@pytest.mark.parametrize(("event", "english", "russian"), EVENTS)
def test_every_event_has_a_line_in_both_languages(
    event: ChatEvent, english: str, russian: str
) -> None:
    assert event_line(event, "en") == english
    assert event_line(event, "ru") == russian


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", sorted(CHAT.sentences["en"].keys() - NOTICES.keys()))
def test_a_notice_whose_code_is_the_key_of_another_sentence_is_shown_as_any_other(
    code: str, language: str
) -> None:
    general = "can't be a name" if language == "en" else "не подходит"
    line = event_line({"event": "notice", "time": 1.5, "reason": code, "name": "Zoe"}, language)
    assert line is not None
    assert line == f"! {code} Zoe" or (code == "unusable_name" and general in line)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("code", [code for code, fields in NOTICES.items() if fields])
def test_a_notice_without_what_its_sentence_needs_is_shown_as_any_other(
    code: str, language: str
) -> None:
    event: ChatEvent = {"event": "notice", "time": 1.5, "reason": code, "name": "Zoe"}
    assert event_line(event, language) == f"! {code} Zoe"


def test_every_notice_with_a_sentence_has_it_in_both_languages() -> None:
    for language in LANGUAGES:
        assert NOTICES.keys() <= CHAT.sentences[language].keys()


@pytest.mark.parametrize("language", LANGUAGES)
def test_what_the_server_accepted_is_not_shown_for_it_comes_back_in_its_place(
    language: str,
) -> None:
    assert event_line({"event": "sent", "seq": 7}, language) is None


LINK: dict[str, str | int] = {
    "name": "Anna\x1b[31m",
    "rtt_us": 1250,
    "rtt_p95_us": 20_000,
    "received": 110,
    "duplicated": 10,
    "lost": 25,
    "reordered": 3,
    "sent": 400,
    "repaired": 7,
    "received_bytes": 12_340,
}
OWN = {"down_received": 90, "down_lost": 5, "down_duplicates": 4, "retransmissions": 2}


def test_the_links_are_a_table_with_what_i_alone_know_below() -> None:
    boris = {**LINK, "name": "Борис", "lost": 0}
    event: ChatEvent = {"event": "notice", "reason": "stats", "links": [{**LINK, **OWN}, boris]}
    assert event_line(event, "en") == (
        "name      rtt ms   p95  sent  lost  dup  late  got  repaired    kB\n"
        "Anna[31m     1.2  20.0   125    25   10     3  400         7  12.3\n"
        "Борис        1.2  20.0   100     0   10     3  400         7  12.3\n"
        "to me: 90 datagrams, 5 lost on the way, 4 duplicates; 2 retransmissions"
    )
    russian = event_line(event, "ru")
    assert russian is not None
    assert russian.startswith("имя ")
    assert russian.endswith(
        "ко мне: датаграмм получено 90, потеряно в пути 5, повторных 4; моих повторных отправок: 2"
    )


def test_links_without_my_own_are_a_table_alone() -> None:
    event: ChatEvent = {"event": "notice", "reason": "stats", "links": [LINK]}
    table = event_line(event, "en")
    assert table is not None
    assert len(table.split("\n")) == 2
    empty = event_line({"event": "notice", "reason": "stats"}, "en")
    assert empty == "name  rtt ms  p95  sent  lost  dup  late  got  repaired  kB"


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("event", [event for event, _, _ in EVENTS])
def test_a_hostile_event_is_one_harmless_line(event: ChatEvent, language: str) -> None:
    hostile = event.copy()
    if "name" in hostile:
        hostile["name"] = HOSTILE
    if "new_name" in hostile:
        hostile["new_name"] = HOSTILE
    if "to" in hostile:
        hostile["to"] = HOSTILE
    if "room" in hostile:
        hostile["room"] = HOSTILE
    if "members" in hostile:
        hostile["members"] = [HOSTILE, HOSTILE]
    if "text" in hostile:
        hostile["text"] = HOSTILE
    if hostile.get("reason") in ("of_the_future", "reason_9"):
        hostile["reason"] = HOSTILE
    line = event_line(hostile, language)
    assert line is not None
    assert printable(line) == line


@pytest.mark.parametrize("typed", ["/exit", "/Exit"])
def test_the_words_for_leaving_are_commands_too(typed: str) -> None:
    assert parse_line(typed) == Command("quit")


@pytest.mark.parametrize("name", ["@Борис", "Борис:", "Борис,", "@Борис:"])
def test_a_name_as_it_stands_in_a_message_is_a_name_in_msg(name: str) -> None:
    assert parse_line(f"/msg {name} привет") == Command("msg", "привет", "Борис")
    assert parse_line("/msg @ привет") == Command("usage", "msg")
