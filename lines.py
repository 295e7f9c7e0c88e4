"""What a person types and reads: a line becomes a command, an event becomes a line.

Pure text, in English and Russian; where lines come from and go to is the client's affair. Text
from the network passes `printable` before it meets a terminal.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from session import ChatEvent

LANGUAGES = ("en", "ru")

EXIT_WORD = "выйти"
"""As a whole line it leaves: the word of the coursework's chat."""

_JOINERS = "\u200c\u200d"
"""Invisible, but what holds an emoji or a Persian word together; they move no cursor."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a typed line asks for: `verb` is say, me, msg, who, nick, help, quit, or an error
    (unknown, usage) whose `text` is the word that was not understood."""

    verb: str
    text: str = ""
    to: str = ""


def parse_line(line: str) -> Command | None:
    """The command in a typed line; None for an empty one."""
    stripped = line.strip()
    if not stripped:
        return None
    if stripped.casefold() == EXIT_WORD:
        return Command("quit")
    if line.startswith("//"):
        return Command("say", line[1:])
    if not line.startswith("/"):
        return Command("say", line)
    word, _, rest = stripped[1:].partition(" ")
    rest = rest.strip()
    if word in ("quit", "who", "help"):
        return Command(word)
    if word in ("me", "nick"):
        return Command(word, rest) if rest else Command("usage", word)
    if word == "msg":
        to, _, text = rest.partition(" ")
        text = text.strip()
        return Command("msg", text, to) if text else Command("usage", word)
    return Command("unknown", word)


def printable(text: str) -> str:
    """The text without what could move a cursor, hide or reorder what is read."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    if character in "\t\n\r\u2028\u2029":
        return " "
    if unicodedata.category(character)[0] == "C" and character not in _JOINERS:
        # Unassigned ones are newer than this Python's tables, mostly emoji: they may stay.
        return character if unicodedata.category(character) == "Cn" else ""
    return character


_ENGLISH = {
    "joined": "You are {name} in the room “{room}”. Here now: {members}. /help lists the commands.",
    "chat": "{name}: {text}",
    "action": "* {name} {text}",
    "private": "[private] {name} → {to}: {text}",
    "join": "* {name} joined",
    "leave": "* {name} left",
    "leave_timeout": "* {name} is gone (no sign of life)",
    "rename": "* {name} is now called {new_name}",
    "lost_one": "! {count} event is missing here: it is too old to be had",
    "lost_few": "! {count} events are missing here: they are too old to be had",
    "lost_many": "! {count} events are missing here: they are too old to be had",
    "lost_unknown": "! Something may be missing here: the server began anew",
    "reconnecting": "! The server does not answer. Reconnecting; what you type is kept …",
    "reconnecting_shutting_down": "! The server has stopped. Reconnecting when it is back;"
    " what you type is kept …",
    "resumed": "! Back in the room “{room}” as {name}",
    "refused": "! The server refused: {text}",
    "refused_version": "the server speaks another version of this chat",
    "refused_name_in_use": "that name is in use",
    "refused_room_full": "the room is full",
    "no_such_member": "! Nobody here is called {name}: nothing was sent",
    "name_in_use": "! The name {name} is in use",
    "unusable_name": "! {name} cannot be a name: one word of up to 32 visible characters can",
    "notice": "! {reason} {name}",
    "left": "You left.",
    "history": "(earlier) {line}",
    "members": "Here now: {members} ({count})",
    "unknown": "There is no command /{text}. /help lists them; to say a line that begins with /,"
    " double it: //{text}",
    "usage": "/{text} needs more: see /help",
    "help": """\
/msg NAME TEXT   say something to one person alone
/me TEXT         say what you do: * Anna waves
/who             who is here
/nick NAME       change your name
/quit            leave (so does the line выйти, Ctrl-D and Ctrl-C)
//TEXT           say a line that begins with /""",
    "pending_full": "That line was not taken: too much is waiting for the server already.",
    "not_accepted_one": "{count} line was not accepted: the server did not answer.",
    "not_accepted_few": "{count} lines were not accepted: the server did not answer.",
    "not_accepted_many": "{count} lines were not accepted: the server did not answer.",
    "no_answer": "No chat server answers at {server}. Check the address and the port, or start"
    " one there: python3 udp_server.py --port {port}",
    "unknown_host": "There is no host called {host}: {text}.",
}

_RUSSIAN = {
    "joined": "Вы — {name} в комнате «{room}». Сейчас здесь: {members}. Команды: /help.",
    "chat": "{name}: {text}",
    "action": "* {name} {text}",
    "private": "[лично] {name} → {to}: {text}",
    "join": "* {name} теперь в чате",
    "leave": "* {name} уходит",
    "leave_timeout": "* {name} больше не отвечает",
    "rename": "* {name} теперь зовётся {new_name}",
    "lost_one": "! Здесь не хватает {count} события: оно слишком старое",
    "lost_few": "! Здесь не хватает {count} событий: они слишком старые",
    "lost_many": "! Здесь не хватает {count} событий: они слишком старые",
    "lost_unknown": "! Здесь, возможно, чего-то не хватает: сервер начал заново",
    "reconnecting": "! Сервер не отвечает. Соединяюсь снова; набранное сохранится …",
    "reconnecting_shutting_down": "! Сервер остановлен. Соединюсь, когда он вернётся;"
    " набранное сохранится …",
    "resumed": "! Снова в комнате «{room}» под именем {name}",
    "refused": "! Сервер отказал: {text}",
    "refused_version": "сервер говорит на другой версии этого чата",
    "refused_name_in_use": "это имя занято",
    "refused_room_full": "в комнате нет места",
    "no_such_member": "! Никого по имени {name} здесь нет: ничего не отправлено",
    "name_in_use": "! Имя {name} занято",
    "unusable_name": "! {name} не может быть именем: нужно одно слово до 32 видимых знаков",
    "notice": "! {reason} {name}",
    "left": "Вы вышли.",
    "history": "(ранее) {line}",
    "members": "Сейчас здесь: {members} ({count})",
    "unknown": "Команды /{text} нет. Список: /help; чтобы сказать строку, которая начинается с /,"
    " удвойте её: //{text}",
    "usage": "/{text}: чего-то не хватает, см. /help",
    "help": """\
/msg ИМЯ ТЕКСТ   сказать одному человеку
/me ТЕКСТ        сказать, что вы делаете: * Анна машет
/who             кто здесь
/nick ИМЯ        сменить имя
/quit            выйти (так же: строка «выйти», Ctrl-D и Ctrl-C)
//ТЕКСТ          сказать строку, которая начинается с /""",
    "pending_full": "Эта строка не взята: слишком многое уже ждёт сервера.",
    "not_accepted_one": "Не принята {count} строка: сервер не ответил.",
    "not_accepted_few": "Не приняты {count} строки: сервер не ответил.",
    "not_accepted_many": "Не принято {count} строк: сервер не ответил.",
    "no_answer": "По адресу {server} чат не отвечает. Проверьте адрес и порт или запустите"
    " там сервер: python3 udp_server.py --port {port}",
    "unknown_host": "Узла с именем {host} нет: {text}.",
}

CATALOGUES: Mapping[str, Mapping[str, str]] = {"en": _ENGLISH, "ru": _RUSSIAN}


def plural_form(language: str, count: int) -> str:
    """Which form a counted noun takes: one, few or many (Unicode CLDR's names)."""
    if language == "ru":
        if count % 10 == 1 and count % 100 != 11:
            return "one"
        if count % 10 in (2, 3, 4) and count % 100 not in (12, 13, 14):
            return "few"
        return "many"
    return "one" if count == 1 else "many"


def sentence(language: str, key: str, **values: object) -> str:
    """A sentence of the catalogue; with a `count`, in the form that the number asks for."""
    catalogue = CATALOGUES[language]
    if key not in catalogue:
        key = f"{key}_{plural_form(language, int(str(values['count'])))}"
    return catalogue[key].format(**values)


def event_line(event: ChatEvent, language: str) -> str | None:
    """The line that shows an event to a person; None if it is not shown."""
    kind = event["event"]
    if kind == "sent":
        return None  # the line itself comes back in its place
    values: dict[str, object] = {
        "name": printable(event.get("name", "")),
        "new_name": printable(event.get("new_name", "")),
        "text": printable(event.get("text", "")),
        "to": printable(event.get("to", "")),
        "room": printable(event.get("room", "")),
        "members": printable(", ".join(event.get("members", ()))),
        "count": event.get("count"),
        "reason": printable(event.get("reason", "")),
    }
    key = kind
    if kind == "lost" and event.get("count") is None:
        key = "lost_unknown"
    elif kind == "notice":
        code = event.get("reason", "")
        code = "unusable_name" if code.startswith("unusable_name") else code
        key = code if code in CATALOGUES[language] else "notice"
    elif kind == "refused":
        why = f"refused_{event.get('reason')}"
        if why in CATALOGUES[language]:
            values["text"] = sentence(language, why)
    elif f"{kind}_{event.get('reason')}" in CATALOGUES[language]:
        key = f"{kind}_{event.get('reason')}"
    line = sentence(language, key, **values)
    return sentence(language, "history", line=line) if event.get("history") else line
