"""What a person in the chat reads: events, notices, answers to commands, the way into a room."""

from __future__ import annotations

from udp_chat.app.catalogue import Catalogue

_ENGLISH = {
    "joined": "You are {name} in the room “{room}”. Here now: {members}. /help lists the commands.",
    "chat": "{name}: {text}",
    "action": "* {name} {text}",
    "private": "[private] {name} → {to}: {text}",
    "join": "{name} joined",
    "leave": "{name} left",
    "leave_timeout": "{name} lost the connection",
    "crowd_join": "{count} joined: {members}",
    "crowd_leave": "{count} left: {members}",
    "crowd_leave_timeout": "{count} lost the connection: {members}",
    "rename": "{name} is now called {new_name}",
    "lost_one": "! {count} event is missing here: the server no longer keeps it",
    "lost_few": "! {count} events are missing here: the server no longer keeps them",
    "lost_many": "! {count} events are missing here: the server no longer keeps them",
    "lost_unknown": "! Something may be missing here: the server was restarted",
    "lost_apart": "! Messages are missing here, and nobody here has them",
    "reconnecting": "! The server does not answer. Reconnecting; what you type will be sent when it"
    " is back",
    "reconnecting_contradiction": "! The server contradicts what it said before. Reconnecting …",
    "reconnecting_shutting_down": "! The server has stopped. Reconnecting when it is back;"
    " what you type will be sent then",
    "reconnecting_never": "! The server has stopped",
    "reconnecting_moved": "! The room has moved, but does not answer yet. Reconnecting …",
    "host_first": "{name} hosts this room. Others join with: {udp_client} {server}",
    "host_first_server": "Others join with: {udp_client} {server}",
    "host_now": "{name} hosts the room now",
    "host_now_server": "The server at {server} hosts the room now",
    "apart": "(apart) {line}",
    "close_question_one": "{count} other is here, and that computer cannot take over the room."
    " Close it? [y/N] ",
    "close_question_few": "{count} others are here, and none of their computers can take over the"
    " room. Close it? [y/N] ",
    "close_question_many": "{count} others are here, and none of their computers can take over the"
    " room. Close it? [y/N] ",
    "room_choice_hosted": "  {number}  {room}  ({members}, hosted by {name}, {address})",
    "resumed": "! Back in the room “{room}” as {name}",
    "refused": "! The server refused: {text}",
    "refused_version": "the server has another version of this chat; use the same one on both"
    " computers",
    "refused_name_in_use": "that name is in use",
    "refused_room_full": "the room is full",
    "refused_address_full": "too many members come from this address",
    "refused_busy": "too many people are joining right now; try again",
    "refused_not_kept": "the server cannot write its file: try again later",
    "no_such_member": "! Nobody here is called {name}: nothing was sent",
    "not_delivered": "! Your private messages to {name} were not delivered",
    "not_delivered_yet": "! {name} lost the connection before reading your private messages."
    " They will be delivered when {name} is back",
    "disk_full": "! The server's disk is full: it accepts no messages now. What you type will be"
    " sent when there is space",
    "not_kept": "! The server cannot write its file: it accepts no messages now. What you type"
    " will be sent when it can",
    "kept_again": "! The server accepts messages again",
    "name_in_use": "! The name {name} is in use",
    "unusable_name": "! “{name}” can't be a name: letters and digits, no spaces, at most"
    " 32 characters",
    "unusable_name_empty": "! A name has at least one character",
    "unusable_name_too_long": "! That name is too long: at most 32 characters and 64 bytes",
    "unusable_name_white_space": "! “{name}” can't be a name: no spaces, at most 32 characters",
    "unusable_name_invisible": "! “{name}” can't be a name: it has an invisible character",
    "unusable_name_unassigned": "! “{name}” can't be a name:"
    " the server does not know one of its characters",
    "unusable_name_symbol": "! “{name}” can't be a name: only letters, digits and - _ . '",
    "unusable_name_first": "! “{name}” can't be a name: the first character must be a letter or a"
    " digit",
    "unusable_name_variant": "! “{name}” can't be a name:"
    " it has a full-width, styled or joined letter; take the plain one",
    "unusable_name_letter": "! “{name}” can't be a name:"
    " one of its letters is in no alphabet of today",
    "unusable_name_accent": "! “{name}” can't be a name:"
    " an accent must follow a letter of its own script, at most four on each letter",
    "unusable_name_inside": "! “{name}” can't be a name: an apostrophe must be between two letters",
    "unusable_name_mixed_scripts": "! “{name}” can't be a name:"
    " it mixes letters of different scripts",
    "unusable_name_mixed_digits": "! “{name}” can't be a name: it mixes different kinds of digits",
    "notice": "! {reason} {name}",
    "left": "You left.",
    "left_internal_error": "! The client stopped because of a bug of its own ({text}). Messages"
    " that"
    " the server had not accepted are not sent. Start it again; with --log-level debug it shows"
    " where the bug is.",
    "hosting_failed": "! This computer cannot host the room any more, because of a bug of this"
    " program ({text}). You stay in the room if another computer can host it",
    "history": "(earlier) {line}",
    "day": "{weekday}, {day} {month} {year}",
    "weekday_1": "Monday",
    "weekday_2": "Tuesday",
    "weekday_3": "Wednesday",
    "weekday_4": "Thursday",
    "weekday_5": "Friday",
    "weekday_6": "Saturday",
    "weekday_7": "Sunday",
    "month_1": "January",
    "month_2": "February",
    "month_3": "March",
    "month_4": "April",
    "month_5": "May",
    "month_6": "June",
    "month_7": "July",
    "month_8": "August",
    "month_9": "September",
    "month_10": "October",
    "month_11": "November",
    "month_12": "December",
    "members": "Here now: {members} ({count})",
    "unknown": "Unknown command /{text}. /help lists the commands. To send text that starts with /,"
    " type //{text}",
    "unknown_like": "Unknown command /{text}. Did you mean /{command}? To send text that starts"
    " with /, type //{text}",
    "ambiguous": "/{text} can mean several commands: {commands}. Type more of the word",
    "leaving": "Do you want to leave? Type /quit. To send the word, type /say {text}",
    "usage": "Usage: {text}, for example: {example}",
    "answers_another": "! {name} has just written to you in private: nothing was sent. The same"
    " again answers {name}",
    "nobody_to_answer": "! Nobody has written to you in private yet: nothing was sent."
    " Usage: {text}, for example: {example}",
    "found_one": "{count} message with “{text}”:",
    "found_few": "{count} messages with “{text}”:",
    "found_many": "{count} messages with “{text}”:",
    "found_more_one": "{count} message with “{text}”; the last {shown}:",
    "found_more_few": "{count} messages with “{text}”; the last {shown}:",
    "found_more_many": "{count} messages with “{text}”; the last {shown}:",
    "found_nothing": "No message here has “{text}” in it",
    "nothing_remembered": "With --json the client remembers no messages: look in its output",
    "help_one": "{text}: {purpose}. For example: {example}",
    "examples": """\
/msg Anna see you at six
/r at six, then
/me waves
/nick Anna
/history 50
/search lunch tomorrow
/save chat.txt
/save! chat.txt
/bell off
/joins off
/notify off
/ignore Boris
/say /quit leaves the chat""",
    "help": """\
/msg NAME TEXT          send a message to one person alone
/r TEXT                 answer the last private message you received
/me TEXT                say what you do: * Anna waves
/who                    show who is here
/nick NAME              change your name
/seen                   show who has received my last messages
/stats                  show the connection quality: round trips, losses, repairs
/history [N]            show the last N messages again
/search WORD            show what was said with this word in it
/save FILE              save this conversation to a new file
/save! FILE             the same, even if the file exists
/bell on|mentions|off   ring at every message, when you are mentioned, or never
/joins on|off           show or hide joins and leaves
/notify on|off          notify you on the desktop of what is for you, or never
/ignore NAME            hide what somebody says; again: show it
/help [COMMAND]         list the commands, or explain one
/quit                   leave (or type выйти, Ctrl-D, or Ctrl-C twice)
//TEXT                  send a message that starts with /
/say TEXT               send a text as it is, even /quit or выйти
Keys: Tab completes, ↑ and Ctrl-R bring back what you typed before,
      Ctrl-_ undoes, Ctrl-C drops what you have typed""",
    "pending_full": "Not sent: too many messages are already waiting",
    "not_accepted_one": "{count} message was not sent: the server did not answer.",
    "not_accepted_few": "{count} messages were not sent: the server did not answer.",
    "not_accepted_many": "{count} messages were not sent: the server did not answer.",
    "unsent_more_one": "and {count} more",
    "unsent_more_few": "and {count} more",
    "unsent_more_many": "and {count} more",
    "no_answer": "No chat server answers at {server}. Check the address and the port, or start"
    " one there: {udp_server} --port {port}. To find the cause: {udp_client} --doctor {server}",
    "unknown_host": "Cannot look up {host}: {text}. Check the name, or give the address in"
    " numbers.",
    "no_host_name": "this cannot be the name of a host",
    "seen": "“{text}”: {count} of {total} have it",
    "seen_but": "“{text}”: {count} of {total} have it; not yet: {members}",
    "nothing_said": "! You have not said anything yet that others could have received",
    "stats_head": "name|rtt ms|p95|sent|lost|dup|late|got|repaired|kB",
    "stats_own": "to me: {down_received} datagrams, {down_lost} lost on the way,"
    " {down_duplicates} duplicates; {retransmissions} retransmissions",
    "bell_on": "Bell: at every message",
    "bell_mentions": "Bell: when you are mentioned or messaged in private",
    "bell_off": "Bell: never",
    "notify_on": "Notifications on the desktop: of mentions and private messages, while you look"
    " elsewhere",
    "notify_off": "Notifications on the desktop: never",
    "notify_cannot": "! The chat knows no notifications on the desktop for this terminal. /bell"
    " works everywhere",
    "joins_on": "Joins and leaves are shown",
    "joins_off": "Joins and leaves are hidden",
    "ignoring": "Ignoring {name}. /ignore {name} undoes it",
    "ignoring_no_more": "No longer ignoring {name}",
    "ignoring_oneself": "That is you: nobody can ignore what they say themselves",
    "saved_one": "{count} line saved in {text}",
    "saved_few": "{count} lines saved in {text}",
    "saved_many": "{count} lines saved in {text}",
    "file_failed": "! Cannot write {text}: {reason}",
    "keeps_no_more": "! What is shown from here on is not kept: {text}",
    "room_file_ends": "! The room is not on this computer any more: {text} keeps nothing from here"
    " on. --open --keep with this file opens the room again, with what the file has",
    "file_exists": "! {text} exists: /save! FILE overwrites it",
    "no_such_home": "there is no such user, so there is no home directory",
    "no_such_path": "this cannot be the name of a file",
    "files_refused": "! With --json, commands touch no files: {text} did nothing",
    "unread": "unread",
    "status_members_one": "{count} member",
    "status_members_few": "{count} members",
    "status_members_many": "{count} members",
    "status_away": "reconnecting {count} s",
    "status_waiting": "{count} waiting",
    "hint_leave": "Press Ctrl-C again to leave",
    "hint_searched": "[search: {text}]",
    "hint_not_found": "[search: {text}, not found]",
    "hint_pasted_one": "[pasted: {count} line] Enter sends, Ctrl-C drops",
    "hint_pasted_few": "[pasted: {count} lines] Enter sends, Ctrl-C drops",
    "hint_pasted_many": "[pasted: {count} lines] Enter sends, Ctrl-C drops",
    "looking": "Looking for a room …",
    "no_room": "No room was found on this network. Open one: {udp_client} --open, or {udp_server};"
    " or name a server: {udp_client} SERVER. To find the cause: {udp_client} --doctor",
    "none_found": "If there should be a room here, find the cause: {udp_client} --doctor",
    "open_question": "No room here. Open one? [Y/n] ",
    "opened": "The room “{room}” is open on port {port}. Others join with the same command,"
    " {udp_client}. When you leave, another computer takes the room over, if one can.",
    "invitation": "Others on this network join with: {udp_client} {server}",
    "invitation_or": " (or {server})",
    "invitation_nobody": "Only people on this computer can join.",
    "cannot_open": "Cannot open a room: {text}.",
    "rooms_found": "There are several rooms here:",
    "room_choice": "  {number}  {room}  ({members}, {address})",
    "which_room": "Which one? [1] ",
    "no_such_room": "Type a number from 1 to {count}.",
    "several_rooms": "There are several rooms. Name one: {udp_client} SERVER:PORT",
}

_RUSSIAN = {
    "joined": "Вы — {name} в комнате «{room}». Сейчас здесь: {members}. Команды: /help.",
    "chat": "{name}: {text}",
    "action": "* {name} {text}",
    "private": "[лично] {name} → {to}: {text}",
    "join": "{name} теперь в чате",
    "leave": "{name} уходит",
    "leave_timeout": "{name}: связь потеряна",
    "crowd_join": "В чат входят ({count}): {members}",
    "crowd_leave": "Из чата уходят ({count}): {members}",
    "crowd_leave_timeout": "Связь потеряна ({count}): {members}",
    "rename": "{name} теперь {new_name}",
    "lost_one": "! Здесь пропущено событий: {count}, сервер его больше не хранит",
    "lost_few": "! Здесь пропущено событий: {count}, сервер их больше не хранит",
    "lost_many": "! Здесь пропущено событий: {count}, сервер их больше не хранит",
    "lost_unknown": "! Здесь может чего-то не хватать: сервер перезапущен",
    "lost_apart": "! Здесь не хватает сообщений, и здесь их ни у кого нет",
    "reconnecting": "! Сервер не отвечает. Переподключаюсь; набранное отправится позже",
    "reconnecting_contradiction": "! Сервер противоречит тому, что сообщал раньше."
    " Переподключаюсь …",
    "reconnecting_shutting_down": "! Сервер остановлен. Переподключусь, когда он вернётся;"
    " набранное отправится позже",
    "reconnecting_never": "! Сервер остановлен",
    "reconnecting_moved": "! Комната переехала, но пока не отвечает. Переподключаюсь …",
    "host_first": "Комнату держит {name}. Другие входят так: {udp_client} {server}",
    "host_first_server": "Другие входят так: {udp_client} {server}",
    "host_now": "Теперь комнату держит {name}",
    "host_now_server": "Теперь комнату держит сервер {server}",
    "apart": "(порознь) {line}",
    "close_question_one": "Здесь ещё {count} участник, и его компьютер не может продолжить комнату."
    " Закрыть её? [д/Н] ",
    "close_question_few": "Здесь ещё {count} участника, и ни один их компьютер не может продолжить"
    " комнату. Закрыть её? [д/Н] ",
    "close_question_many": "Здесь ещё {count} участников, и ни один их компьютер не может"
    " продолжить комнату. Закрыть её? [д/Н] ",
    "room_choice_hosted": "  {number}  {room}  ({members}, у участника {name}, {address})",
    "resumed": "! Снова в комнате «{room}» под именем {name}",
    "refused": "! Сервер отказал: {text}",
    "refused_version": "на сервере другая версия чата; на обоих компьютерах нужна одна и та же",
    "refused_name_in_use": "это имя занято",
    "refused_room_full": "в комнате нет места",
    "refused_address_full": "с этого адреса уже слишком много участников",
    "refused_busy": "сейчас входит слишком много людей; попробуйте ещё раз",
    "refused_not_kept": "сервер не может писать в свой файл; попробуйте позже",
    "no_such_member": "! Никого по имени {name} здесь нет: ничего не отправлено",
    "not_delivered": "! Ваши личные сообщения для {name} не доставлены",
    "not_delivered_yet": "! {name} без связи и ваших личных сообщений ещё не видит."
    " Они дойдут, когда {name} вернётся",
    "disk_full": "! На диске сервера нет места: сообщения пока не принимаются. Набранное"
    " отправится, когда место появится",
    "not_kept": "! Сервер не может писать в свой файл: сообщения пока не принимаются. Набранное"
    " отправится, когда он сможет",
    "kept_again": "! Сервер снова принимает сообщения",
    "name_in_use": "! Имя {name} занято",
    "unusable_name": "! Имя «{name}» не подходит: буквы и цифры, без пробелов, до 32 знаков",
    "unusable_name_empty": "! В имени должен быть хотя бы один знак",
    "unusable_name_too_long": "! Это имя слишком длинное: можно до 32 знаков и до 64 байт",
    "unusable_name_white_space": "! Имя «{name}» не подходит: без пробелов, до 32 знаков",
    "unusable_name_invisible": "! Имя «{name}» не подходит: в нём есть невидимый знак",
    "unusable_name_unassigned": "! Имя «{name}» не подходит: один из его знаков серверу неизвестен",
    "unusable_name_symbol": "! Имя «{name}» не подходит: можно только буквы, цифры и - _ . '",
    "unusable_name_first": "! Имя «{name}» не подходит: первой должна быть буква или цифра",
    "unusable_name_variant": "! Имя «{name}» не подходит:"
    " в нём есть широкая, фигурная или слитная буква; нужна обычная",
    "unusable_name_letter": "! Имя «{name}» не подходит:"
    " в нём есть буква, которой нет в современных алфавитах",
    "unusable_name_accent": "! Имя «{name}» не подходит: диакритический знак должен стоять"
    " после буквы своей письменности, не больше четырёх на букву",
    "unusable_name_inside": "! Имя «{name}» не подходит: апостроф должен стоять между двумя"
    " буквами",
    "unusable_name_mixed_scripts": "! Имя «{name}» не подходит:"
    " в нём смешаны буквы разных алфавитов",
    "unusable_name_mixed_digits": "! Имя «{name}» не подходит: в нём смешаны цифры разных видов",
    "notice": "! {reason} {name}",
    "left": "Вы вышли.",
    "left_internal_error": "! Клиент остановился из-за собственной ошибки ({text}). Сообщения,"
    " которые сервер не принял, не отправлены. Запустите клиент снова; с --log-level debug он"
    " покажет, где ошибка.",
    "hosting_failed": "! Этот компьютер больше не может держать комнату из-за ошибки в программе"
    " ({text}). Вы останетесь в комнате, если её может держать другой компьютер",
    "history": "(ранее) {line}",
    "day": "{weekday}, {day} {month} {year} г.",
    "weekday_1": "понедельник",
    "weekday_2": "вторник",
    "weekday_3": "среда",
    "weekday_4": "четверг",
    "weekday_5": "пятница",
    "weekday_6": "суббота",
    "weekday_7": "воскресенье",
    "month_1": "января",
    "month_2": "февраля",
    "month_3": "марта",
    "month_4": "апреля",
    "month_5": "мая",
    "month_6": "июня",
    "month_7": "июля",
    "month_8": "августа",
    "month_9": "сентября",
    "month_10": "октября",
    "month_11": "ноября",
    "month_12": "декабря",
    "members": "Сейчас здесь: {members} ({count})",
    "unknown": "Команды /{text} нет. Список команд: /help. Чтобы отправить текст с / в начале,"
    " наберите //{text}",
    "unknown_like": "Команды /{text} нет. Может быть, /{command}? Чтобы отправить текст с / в"
    " начале, наберите //{text}",
    "ambiguous": "/{text} — начало нескольких команд: {commands}. Наберите слово дальше",
    "leaving": "Хотите выйти? Наберите /quit. Чтобы отправить это слово, наберите /say {text}",
    "usage": "Нужно так: {text}, например: {example}",
    "answers_another": "! Вам только что написал и {name}: ничего не отправлено. Повторите, чтобы"
    " ответить {name}",
    "nobody_to_answer": "! Лично вам ещё никто не писал: ничего не отправлено."
    " Нужно так: {text}, например: {example}",
    "found_one": "«{text}» есть в {count} сообщении:",
    "found_few": "«{text}» есть в {count} сообщениях:",
    "found_many": "«{text}» есть в {count} сообщениях:",
    "found_more_one": "«{text}» есть в {count} сообщении; последние {shown}:",
    "found_more_few": "«{text}» есть в {count} сообщениях; последние {shown}:",
    "found_more_many": "«{text}» есть в {count} сообщениях; последние {shown}:",
    "found_nothing": "Ни в одном сообщении нет «{text}»",
    "nothing_remembered": "С --json клиент сообщений не запоминает: ищите в его выводе",
    "help_one": "{text}: {purpose}. Например: {example}",
    "examples": """\
/msg Анна увидимся в шесть
/r хорошо, в шесть
/me машет рукой
/nick Анна
/history 50
/search завтра обед
/save беседа.txt
/save! беседа.txt
/bell off
/joins off
/notify off
/ignore Борис
/say /quit — это выход из чата""",
    "help": """\
/msg ИМЯ ТЕКСТ          отправить сообщение одному человеку
/r ТЕКСТ                ответить на последнее личное сообщение
/me ТЕКСТ               сказать, что вы делаете: * Анна машет
/who                    показать, кто здесь
/nick ИМЯ               сменить имя
/seen                   показать, до кого дошли мои последние сообщения
/stats                  показать состояние соединений: задержки, потери, повторы
/history [N]            показать последние N сообщений ещё раз
/search СЛОВО           найти сообщения, в которых есть это слово
/save ФАЙЛ              сохранить эту беседу в новый файл
/save! ФАЙЛ             то же, даже если файл уже есть
/bell on|mentions|off   сигнал: на каждое сообщение, при упоминании или никогда
/joins on|off           показывать или скрывать приход и уход участников
/notify on|off          уведомлять на рабочем столе о том, что для вас, или никогда
/ignore ИМЯ             скрыть сообщения участника; ещё раз — показать
/help [КОМАНДА]         показать команды или объяснить одну
/quit                   выйти (или наберите выйти, Ctrl-D либо дважды Ctrl-C)
//ТЕКСТ                 отправить сообщение, которое начинается с /
/say ТЕКСТ              отправить текст как есть, даже /quit или выйти
Клавиши: Tab дополняет, ↑ и Ctrl-R возвращают набранное раньше, Ctrl-_ отменяет
      изменение, Ctrl-C стирает набранное""",
    "pending_full": "Сообщение не принято: слишком много уже ждёт отправки",
    "not_accepted_one": "Не отправлено {count} сообщение: сервер не ответил.",
    "not_accepted_few": "Не отправлено {count} сообщения: сервер не ответил.",
    "not_accepted_many": "Не отправлено {count} сообщений: сервер не ответил.",
    "unsent_more_one": "и ещё {count}",
    "unsent_more_few": "и ещё {count}",
    "unsent_more_many": "и ещё {count}",
    "no_answer": "По адресу {server} чат не отвечает. Проверьте адрес и порт или запустите там"
    " сервер: {udp_server} --port {port}. Узнать причину: {udp_client} --doctor {server}",
    "unknown_host": "Не удалось найти компьютер {host}: {text}. Проверьте имя или укажите адрес"
    " числами.",
    "no_host_name": "так компьютер называться не может",
    "seen": "«{text}»: дошло до {count} из {total}",
    "seen_but": "«{text}»: дошло до {count} из {total}; ещё не получили: {members}",
    "nothing_said": "! Вы ещё не отправили ничего, что могли бы получить другие",
    "stats_head": "имя|rtt мс|p95|послано|потеряно|дубли|поздно|получено|повторы|кБ",
    "stats_own": "ко мне: датаграмм получено {down_received}, потеряно в пути {down_lost},"
    " повторных {down_duplicates}; моих повторных отправок: {retransmissions}",
    "bell_on": "Сигнал: на каждое сообщение",
    "bell_mentions": "Сигнал: когда вас упоминают или пишут вам лично",
    "bell_off": "Сигнал: никогда",
    "notify_on": "Уведомления на рабочем столе: когда вас упоминают или пишут вам лично, а вы"
    " смотрите в другое окно",
    "notify_off": "Уведомления на рабочем столе: никогда",
    "notify_cannot": "! Чат не знает, как этот терминал показывает уведомления на рабочем столе."
    " /bell работает везде",
    "joins_on": "Приход и уход участников: показывать",
    "joins_off": "Приход и уход участников: не показывать",
    "ignoring": "Сообщения от {name} скрыты. Показать снова: /ignore {name}",
    "ignoring_no_more": "Сообщения от {name} снова показываются",
    "ignoring_oneself": "Это вы: собственные сообщения скрыть нельзя",
    "saved_one": "Сохранена {count} строка в {text}",
    "saved_few": "Сохранены {count} строки в {text}",
    "saved_many": "Сохранено {count} строк в {text}",
    "file_failed": "! Не удалось записать {text}: {reason}",
    "keeps_no_more": "! Показанное дальше не сохраняется: {text}",
    "room_file_ends": "! Комната больше не на этом компьютере: дальше {text} ничего не сохраняет."
    " --open --keep с этим файлом снова откроет комнату с тем, что в файле есть",
    "file_exists": "! Файл {text} уже есть: /save! ФАЙЛ запишет поверх него",
    "no_such_home": "такого пользователя нет, поэтому нет и домашнего каталога",
    "no_such_path": "так файл называться не может",
    "files_refused": "! С --json файлы командам недоступны: команда {text} не выполнена",
    "unread": "непрочитанное",
    "status_members_one": "{count} участник",
    "status_members_few": "{count} участника",
    "status_members_many": "{count} участников",
    "status_away": "переподключаюсь {count} с",
    "status_waiting": "ждёт: {count}",
    "hint_leave": "Чтобы выйти, нажмите Ctrl-C ещё раз",
    "hint_searched": "[поиск: {text}]",
    "hint_not_found": "[поиск: {text}, не найдено]",
    "hint_pasted_one": "[вставлена {count} строка] Enter отправит, Ctrl-C отменит",
    "hint_pasted_few": "[вставлены {count} строки] Enter отправит, Ctrl-C отменит",
    "hint_pasted_many": "[вставлено {count} строк] Enter отправит, Ctrl-C отменит",
    "looking": "Ищу комнату …",
    "no_room": "В этой сети комнат не найдено. Откройте свою: {udp_client} --open или {udp_server};"
    " либо назовите сервер: {udp_client} СЕРВЕР. Узнать причину: {udp_client} --doctor",
    "none_found": "Если комната должна быть, причину найдёт: {udp_client} --doctor",
    "open_question": "Комнат здесь нет. Открыть свою? [Д/н] ",
    "opened": "Комната «{room}» открыта, порт {port}. Другие входят той же командой,"
    " {udp_client}. Когда вы выйдете, её продолжит другой компьютер, если сможет.",
    "invitation": "Другие в этой сети входят так: {udp_client} {server}",
    "invitation_or": " (или {server})",
    "invitation_nobody": "Войти можно только с этого компьютера.",
    "cannot_open": "Не удалось открыть комнату: {text}.",
    "rooms_found": "Здесь несколько комнат:",
    "room_choice": "  {number}  {room}  ({members}, {address})",
    "which_room": "В какую войти? [1] ",
    "no_such_room": "Введите число от 1 до {count}.",
    "several_rooms": "Здесь несколько комнат. Назовите одну: {udp_client} СЕРВЕР:ПОРТ",
}

CHAT = Catalogue(_ENGLISH, _RUSSIAN)
