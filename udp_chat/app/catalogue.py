"""Every sentence of the chat, in English and in Russian, with plurals.

The two catalogues have the same keys and the same placeholders (a test compares them). A key that
ends in _one, _few or _many is one form of a counted sentence; `sentence` chooses it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from string import Formatter

LANGUAGES = ("en", "ru")

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
    "reconnecting_contradiction": "! The server contradicts what was received. Asking it again …",
    "reconnecting_shutting_down": "! The server has stopped. Reconnecting when it is back;"
    " what you type is kept …",
    "resumed": "! Back in the room “{room}” as {name}",
    "refused": "! The server refused: {text}",
    "refused_version": "the server speaks another version of this chat",
    "refused_name_in_use": "that name is in use",
    "refused_room_full": "the room is full",
    "refused_address_full": "too many members come from this address",
    "refused_busy": "too many join at this moment; try again",
    "no_such_member": "! Nobody here is called {name}: nothing was sent",
    "not_delivered": "! Private messages of yours to {name} were not delivered",
    "not_delivered_yet": "! {name} lost the connection before reading your private messages:"
    " they wait for {name}'s return",
    "name_in_use": "! The name {name} is in use",
    "unusable_name": "! {name} cannot be a name: one word of up to 32 letters and digits can",
    "unusable_name_empty": "! A name has at least one character",
    "unusable_name_too_long": "! That name is too long: 32 characters or 64 bytes are the limit",
    "unusable_name_white_space": "! {name} cannot be a name: a name is one word, without spaces",
    "unusable_name_invisible": "! {name} cannot be a name:"
    " it has a control or an invisible character",
    "unusable_name_unassigned": "! {name} cannot be a name:"
    " the server does not know one of its characters",
    "unusable_name_symbol": "! {name} cannot be a name:"
    " only letters, digits and - _ . ' can be in it",
    "unusable_name_first": "! {name} cannot be a name: it must begin with a letter or a digit",
    "unusable_name_variant": "! {name} cannot be a name:"
    " it has a full-width, styled or joined letter; take the plain one",
    "unusable_name_letter": "! {name} cannot be a name:"
    " it has a letter that is in no alphabet of everyday use",
    "unusable_name_accent": "! {name} cannot be a name:"
    " an accent follows a letter of its script, at most four on each",
    "unusable_name_inside": "! {name} cannot be a name: an apostrophe must be between two letters",
    "unusable_name_mixed_scripts": "! {name} cannot be a name: it mixes letters of several scripts",
    "unusable_name_mixed_digits": "! {name} cannot be a name: it mixes digits of several kinds",
    "notice": "! {reason} {name}",
    "left": "You left.",
    "left_internal_error": "! The client has ended by a fault of its own ({text}). What was not"
    " accepted is not said. Start it again; with --log-level debug it tells where the fault is.",
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
/seen            who has my last lines
/stats           how the links do: round trips, losses, repairs
/history [N]     the last N lines again
/save FILE       write the lines of this conversation into a new file
/save! FILE      the same, over what is in the file
/bell WORD       ring on every line (on), when you are meant (mentions), or never (off)
/joins WORD      show who comes and goes (on) or not (off)
/ignore NAME     do not show what somebody says; once more: show it again
/quit            leave (so does the line выйти, Ctrl-D and Ctrl-C)
//TEXT           say a line that begins with /
/say TEXT        say a text as it is, also /quit or выйти""",
    "pending_full": "That line was not taken: too much is waiting for the server already.",
    "not_accepted_one": "{count} line was not accepted: the server did not answer.",
    "not_accepted_few": "{count} lines were not accepted: the server did not answer.",
    "not_accepted_many": "{count} lines were not accepted: the server did not answer.",
    "no_answer": "No chat server answers at {server}. Check the address and the port, or start"
    " one there: python3 udp_server.py --port {port}",
    "unknown_host": "There is no host called {host}: {text}.",
    "seen": "“{text}”: {count} of {total} have it",
    "seen_but": "“{text}”: {count} of {total} have it; not yet: {members}",
    "nothing_said": "! You have not said anything yet that could be seen",
    "stats_head": "name|rtt ms|p95|sent|lost|dup|late|got|repaired|kB",
    "stats_own": "to me: {down_received} datagrams came, {down_lost} were lost on the way,"
    " {down_duplicates} brought nothing new; I sent {retransmissions} times again",
    "bell_set": "The bell rings: {text}",
    "joins_set": "Who comes and goes is shown: {text}",
    "ignoring": "What {name} says is not shown any more (/ignore {name} again shows it)",
    "ignoring_no_more": "What {name} says is shown again",
    "saved_one": "{count} line saved in {text}",
    "saved_few": "{count} lines saved in {text}",
    "saved_many": "{count} lines saved in {text}",
    "file_failed": "! Cannot write {text}: {reason}",
    "file_exists": "! {text} exists: /save! FILE overwrites it",
    "no_such_home": "there is no such user, so no home directory",
    "no_such_path": "this cannot be the name of a file",
    "files_refused": "! With --json, no command touches a file: {text} was not carried out",
    "status": "{room} · {members}",
    "status_members_one": "{count} member",
    "status_members_few": "{count} members",
    "status_members_many": "{count} members",
    "status_away": "reconnecting …",
    "status_waiting": "{count} waiting",
    "looking": "Looking for a room …",
    "no_room": "No room was found on this network. Open one with: python3 udp_client.py --open,"
    " or python3 udp_server.py; or name the server: python3 udp_client.py SERVER",
    "open_question": "No room here. Open one? [Y/n] ",
    "opened": "The room “{room}” is open on port {port}. Others join with the same command,"
    " python3 udp_client.py; it closes when you leave.",
    "cannot_open": "Cannot open a room: {text}.",
    "rooms_found": "Several rooms are here:",
    "room_choice": "  {number}  {room}  ({members}, {address})",
    "which_room": "Which one? [1] ",
    "no_such_room": "Type a number from 1 to {count}.",
    "several_rooms": "Several rooms were found. Name one: python3 udp_client.py SERVER:PORT",
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
    "reconnecting_contradiction": "! Полученное не сходится с тем, что говорит сервер. Спрашиваю"
    " его снова …",
    "reconnecting_shutting_down": "! Сервер остановлен. Соединюсь, когда он вернётся;"
    " набранное сохранится …",
    "resumed": "! Снова в комнате «{room}» под именем {name}",
    "refused": "! Сервер отказал: {text}",
    "refused_version": "сервер говорит на другой версии этого чата",
    "refused_name_in_use": "это имя занято",
    "refused_room_full": "в комнате нет места",
    "refused_address_full": "с этого адреса уже слишком много участников",
    "refused_busy": "сейчас входят слишком многие; попробуйте ещё раз",
    "no_such_member": "! Никого по имени {name} здесь нет: ничего не отправлено",
    "not_delivered": "! {name} не получит ваших личных сообщений: они не доставлены",
    "not_delivered_yet": "! {name} без связи и ваших личных сообщений ещё не видит:"
    " они ждут, пока {name} не вернётся",
    "name_in_use": "! Имя {name} занято",
    "unusable_name": "! {name} не может быть именем: нужно одно слово до 32 букв и цифр",
    "unusable_name_empty": "! В имени есть хотя бы один знак",
    "unusable_name_too_long": "! Это имя слишком длинное: предел — 32 знака или 64 байта",
    "unusable_name_white_space": "! {name} не может быть именем:"
    " имя — это одно слово, без пробелов",
    "unusable_name_invisible": "! {name} не может быть именем:"
    " в нём есть управляющий или невидимый знак",
    "unusable_name_unassigned": "! {name} не может быть именем:"
    " один из его знаков серверу неизвестен",
    "unusable_name_symbol": "! {name} не может быть именем:"
    " в имени бывают только буквы, цифры и - _ . '",
    "unusable_name_first": "! {name} не может быть именем: имя начинается с буквы или цифры",
    "unusable_name_variant": "! {name} не может быть именем:"
    " в нём есть широкая, фигурная или слитная буква; нужна обычная",
    "unusable_name_letter": "! {name} не может быть именем:"
    " в нём есть буква, которой нет в нынешних алфавитах",
    "unusable_name_accent": "! {name} не может быть именем:"
    " значок стоит после буквы своего письма, не больше четырёх на букву",
    "unusable_name_inside": "! {name} не может быть именем: апостроф стоит между двумя буквами",
    "unusable_name_mixed_scripts": "! {name} не может быть именем:"
    " в нём смешаны буквы разных алфавитов",
    "unusable_name_mixed_digits": "! {name} не может быть именем: в нём смешаны цифры разных видов",
    "notice": "! {reason} {name}",
    "left": "Вы вышли.",
    "left_internal_error": "! Клиент завершился из-за собственной ошибки ({text}). Что не было"
    " принято, не сказано. Запустите его снова; с --log-level debug он покажет, где ошибка.",
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
/seen            до кого дошли мои последние строки
/stats           как живут соединения: задержки, потери, повторы
/history [N]     последние N строк ещё раз
/save ФАЙЛ       записать строки этой беседы в новый файл
/save! ФАЙЛ      то же поверх того, что было в файле
/bell СЛОВО      звонить на каждую строку (on), когда речь о вас (mentions), никогда (off)
/joins СЛОВО     показывать, кто приходит и уходит (on), или нет (off)
/ignore ИМЯ      не показывать сказанное кем-то; ещё раз — снова показывать
/quit            выйти (так же: строка «выйти», Ctrl-D и Ctrl-C)
//ТЕКСТ          сказать строку, которая начинается с /
/say ТЕКСТ       сказать текст как он есть, даже /quit или выйти""",
    "pending_full": "Эта строка не взята: слишком многое уже ждёт сервера.",
    "not_accepted_one": "Не принята {count} строка: сервер не ответил.",
    "not_accepted_few": "Не приняты {count} строки: сервер не ответил.",
    "not_accepted_many": "Не принято {count} строк: сервер не ответил.",
    "no_answer": "По адресу {server} чат не отвечает. Проверьте адрес и порт или запустите"
    " там сервер: python3 udp_server.py --port {port}",
    "unknown_host": "Узла с именем {host} нет: {text}.",
    "seen": "«{text}»: дошло до {count} из {total}",
    "seen_but": "«{text}»: дошло до {count} из {total}; ещё нет: {members}",
    "nothing_said": "! Вы ещё ничего не сказали",
    "stats_head": "имя|rtt мс|p95|послано|потеряно|дубли|поздно|получает|повторы|кБ",
    "stats_own": "ко мне: пришло датаграмм {down_received}, потеряно в пути {down_lost}, без нового"
    " {down_duplicates}; я послал ещё раз: {retransmissions}",
    "bell_set": "Звонок: {text}",
    "joins_set": "Кто приходит и уходит, показывается: {text}",
    "ignoring": "{name}: сказанное больше не показывается (ещё раз /ignore {name} — снова да)",
    "ignoring_no_more": "{name}: сказанное снова показывается",
    "saved_one": "Сохранена {count} строка в {text}",
    "saved_few": "Сохранены {count} строки в {text}",
    "saved_many": "Сохранено {count} строк в {text}",
    "file_failed": "! Не записать {text}: {reason}",
    "file_exists": "! Файл {text} уже есть: /save! ФАЙЛ запишет поверх него",
    "no_such_home": "такого пользователя нет, и домашнего каталога тоже",
    "no_such_path": "так файл называться не может",
    "files_refused": "! С --json команды не трогают файлов: {text} не выполнена",
    "status": "{room} · {members}",
    "status_members_one": "{count} участник",
    "status_members_few": "{count} участника",
    "status_members_many": "{count} участников",
    "status_away": "соединяюсь снова …",
    "status_waiting": "ждёт: {count}",
    "looking": "Ищу комнату …",
    "no_room": "В этой сети комнат не найдено. Откройте свою: python3 udp_client.py --open"
    " или python3 udp_server.py; или назовите сервер: python3 udp_client.py СЕРВЕР",
    "open_question": "Комнат здесь нет. Открыть? [Y/n] ",
    "opened": "Комната «{room}» открыта, порт {port}. Другие входят той же командой,"
    " python3 udp_client.py; она закроется, когда вы выйдете.",
    "cannot_open": "Комнату не открыть: {text}.",
    "rooms_found": "Здесь несколько комнат:",
    "room_choice": "  {number}  {room}  ({members}, {address})",
    "which_room": "Которая? [1] ",
    "no_such_room": "Введите число от 1 до {count}.",
    "several_rooms": "Найдено несколько комнат. Назовите одну: python3 udp_client.py СЕРВЕР:ПОРТ",
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
    return "".join(text for _, text in sentence_parts(language, key, **values))


def sentence_parts(language: str, key: str, **values: object) -> list[tuple[str, str]]:
    """The same as (field, text) in their order; the field is "" for the catalogue's own words."""
    catalogue = CATALOGUES[language]
    if key not in catalogue:
        key = f"{key}_{plural_form(language, int(str(values['count'])))}"
    parts: list[tuple[str, str]] = []
    for literal, field, _, _ in Formatter().parse(catalogue[key]):
        if literal:
            parts.append(("", literal))
        if field:
            parts.append((field, str(values[field])))
    return parts


def locale_language() -> str:
    """The language of who runs this, as the environment says; English if it is not spoken here."""
    for variable in ("LC_ALL", "LC_MESSAGES", "LANG"):
        value = os.environ.get(variable)
        if value:
            return "ru" if value.startswith("ru") else "en"
    return "en"
