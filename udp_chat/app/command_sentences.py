"""What the three commands say of themselves: --help, wrong use, and the server's own messages."""

from __future__ import annotations

from udp_chat.app.catalogue import Catalogue

_ENGLISH = {
    # --help
    "usage": "usage: ",
    "arguments": "arguments",
    "options": "options",
    "help": "show this help and exit",
    "version": "show the version and exit",
    "lang": "language (default: from the locale)",
    "client": "Joins a chat room over UDP, or opens one. Without SERVER it looks for rooms on this"
    " network. Type a message and press Enter to send it; /help lists the commands.",
    "client_more": "If the input is not a terminal, the client sends each of its lines as a"
    " message, also one that looks like a command. At the end of the input it waits until the"
    " server has accepted all messages, then leaves. With --commands or --json, put “/say ” before"
    " a text that must be sent as it is. Exit codes: 0 success, 1 failure, 2 wrong use.",
    "client_server": "where the room is (default: look for it; port {port})",
    "client_name": "your name (default: your login name)",
    "client_open": "open a room here without looking for one (default name: %(const)s)",
    "client_takeover": "whether this computer may host the room when its host leaves or dies"
    " (default: yes where a person types, else no)",
    "client_json": "print each event as one JSON object a line; implies --commands, but commands"
    " touch no files",
    "client_commands": "read commands also where the input is not a terminal: lines that start"
    " with /, and {exit_word}",
    "client_listen": "read no input; show what happens until Ctrl-C, SIGTERM, or until the server"
    " stops",
    "client_quiet": "leave out what happened before you joined",
    "client_timestamps": "show when each message was sent",
    "client_no_color": "no colours (also: NO_COLOR)",
    "client_transcript": "append what is shown to FILE",
    "client_keep": "keep what is said in FILE, for /history; where this command opens the room, the"
    " room continues from FILE and is kept in it while this computer hosts it",
    "client_keep_limit": "how much FILE keeps: a number of events, an age (36h, 30d, 8w), or both:"
    " 100000,30d; 0: no limit (default: 1000000)",
    "client_trace": "write each datagram, sent and received, decoded, one a line, to FILE"
    " (default: stderr)",
    "client_doctor": "check this network: can rooms be found and reached, and if not, why",
    "client_log_level": "diagnostics on stderr (default: %(default)s)",
    "server": "Opens a chat room over UDP. Others join it with: {udp_client} SERVER",
    "server_more": "Ctrl-C stops the server; it tells the members, or hands the room on to one of"
    " them with --takeover yes. Without --keep, messages are"
    " kept in memory only.",
    "server_host": "address to listen on (default: all interfaces)",
    "server_port": "0 takes a free one (default: %(default)s)",
    "server_room": "name of the room (default: %(default)s)",
    "server_max_members": "refuse more than N (default: %(default)s)",
    "server_per_address": "members from one address, who share its rates; 0: any number, and no"
    " rates for an address (default: %(default)s)",
    "server_history": "messages shown to a newcomer (default: %(default)s)",
    "server_log_entries": "events kept for members who come back (default: %(default)s)",
    "server_rate": "messages a second that one client, and all clients of one address together,"
    " may send in the long run; all members together may send twice as many. The server delays"
    " what exceeds this. 0 lifts all rates (default: %(default)s)",
    "server_heartbeat": "how often an idle client shows that it is alive (default: %(default)g;"
    " at most 1 with --takeover yes)",
    "server_timeout": "the server drops a member after this silence (default: %(default)g)",
    "server_takeover": "whether members may host the room when this server stops or dies; else"
    " they wait for it to come back (default: no)",
    "server_keep": "keep the room in FILE: a server that is started with it again, even after a"
    " crash, continues the room",
    "server_keep_limit": "how much FILE keeps: a number of events, an age (36h, 30d, 8w), or both:"
    " 100000,30d; 0: no limit (default: 1000000)",
    "server_export": "write what is in the FILE of --keep to OUT (- is stdout), as --json prints"
    " it, and exit; a server may be running",
    "server_text": "with --export: write plain text instead of JSON",
    "server_no_discovery": "do not answer clients that look for rooms: people must know the address"
    " to join",
    "server_log_level": "info: who joins and leaves, and all counters at the end; debug: every"
    " datagram (default: %(default)s)",
    "protocol": "Decodes datagrams of the chat, one packet a line. A malformed datagram is a line,"
    " too, with the reason in parentheses.",
    "protocol_more": "A FILE is a trace ({udp_client} --trace FILE) or a capture (pcap) of tcpdump,"
    " dumpcap or Wireshark; - is standard input. Exit codes: 0 all datagrams were well-formed,"
    " 1 some were malformed or a file could not be read, 2 wrong use.",
    "protocol_source": "a datagram in hexadecimal (spaces, colons and 0x do not matter), or a file",
    "protocol_file": "read a trace or a capture, whatever its name looks like",
    # Wrong use. Up to "wrong_choice" these are the words of argparse: by them it is understood.
    "wrong_argument": "argument {argument}: {reason}",
    "wrong_unrecognized": "unrecognized arguments: {arguments}",
    "wrong_required": "the following arguments are required: {arguments}",
    "wrong_expected_one": "expected one argument",
    "wrong_expected_at_most_one": "expected at most one argument",
    "wrong_expected_at_least_one": "expected at least one argument",
    "wrong_ignored": "ignored explicit argument {value}",
    "wrong_ambiguous": "ambiguous option: {option} could match {options}",
    "wrong_choice": "invalid choice: {value} (choose from {choices})",
    "wrong_use": "{program}: error: {reason}",
    "wrong_count": "'{value}' is not a whole number from 0 to {largest}",
    "wrong_zero": "at least 1",
    "wrong_member_count": "at most {largest}: more names do not fit a member's inbox",
    "wrong_seconds": "'{value}' is not a number of seconds from 0.1 to 3600",
    "wrong_port": "a port is a number from 0 to 65535",
    "wrong_room_name": "a room's name has 1 to {largest} bytes of printable text",
    "wrong_server": "'{value}' is not HOST, HOST:PORT or [IPV6]:PORT with a port from 1 to 65535",
    "wrong_keep_limit": "'{value}' is not a limit: a number of events, an age such as 30d, or both:"
    " 100000,30d",
    "wrong_export": "--export needs --keep FILE",
    "wrong_open": "SERVER joins a room, --open opens one: leave one of them out",
    "wrong_timeout": "--timeout must be longer than --heartbeat",
    "wrong_datagram": "'{value}' is neither a datagram in hexadecimal nor a file",
    "wrong_nothing_to_read": "give a datagram in hexadecimal or a FILE",
    # The server
    "all_interfaces": "all interfaces",
    "cannot_open": "Cannot open a room on {where}, port {port}: {reason}.",
    "room_elsewhere": "The room “{room}” is at {server} now, and its members are there. This server"
    " ends.",
    "port_in_use": "Cannot open a room on {where}, port {port}: the port is in use by {holders}."
    " Stop that program, or take a free port: --port 0",
    "port_in_use_by_somebody": "Cannot open a room on {where}, port {port}: another program uses"
    " the port, perhaps another server of this chat. Stop it, or take a free port: --port 0",
    "port_forbidden": "Cannot open a room on {where}, port {port}: this user may not use the port."
    " Take one above 1023: --port 9091",
    "address_elsewhere": "Cannot open a room on {where}, port {port}: this computer has no such"
    " address. Leave --host out to listen on all of them.",
    # The file of --keep
    "keep_folder": "Cannot keep a room in {path}: it is a folder. Name a file in it.",
    "keep_not_ours": "Cannot keep a room in {path}: the file is something else. It was not changed;"
    " choose another name.",
    "keep_newer": "Cannot use {path}: a newer version of this program wrote it. It was not changed;"
    " update this program.",
    "keep_corrupt": "Cannot use {path}: the file is damaged. It was not changed; take a copy of it"
    " made before, or choose another name.",
    "keep_read_only": "Cannot keep a room in {path}: the file is read-only. Allow writing, or"
    " choose another name.",
    "keep_folder_read_only": "Cannot keep a room in {path}: its folder is read-only. Allow writing"
    " there, or choose another folder.",
    "keep_locked": "Cannot keep a room in {path}: another server is using the file. Stop that one,"
    " or choose another name.",
    "keep_full": "Cannot keep a room in {path}: the disk is full. Make space, or choose a file on"
    " another disk.",
    "keep_missing": "Cannot read {path}: there is no such file.",
    "keep_export_to_itself": "Cannot export {path} to itself. Choose another name after --export.",
    "cannot_write": "Cannot write {path}: {reason}.",
    "keep_failed": "Cannot keep a room in {path}: {reason}.",
    "note": "note: {text}",
    "small_buffer": "the kernel grants a receive buffer of {size} KiB, enough for some {members}"
    " members who answer at once; for more, on Linux, as root:"
    " sysctl -w net.core.rmem_max={wanted}",
    # The reader of datagrams
    "cannot_read": "cannot read {path}: {reason}",
    "no_trace_line": "line {number} is not a line of --trace with its datagram",
    "is_pcapng": "this is a pcapng file. Convert it: tshark -F pcap -r IN -w OUT",
    "unknown_link_type": "the link type {number} of its packets is unknown here",
    "cut_in_packet": "the file ends in the middle of a packet",
    "cut_in_header": "the file ends in the middle of a header",
}

_RUSSIAN = {
    "usage": "использование: ",
    "arguments": "аргументы",
    "options": "параметры",
    "help": "показать эту справку и выйти",
    "version": "показать версию и выйти",
    "lang": "язык (по умолчанию: по настройкам системы)",
    "client": "Входит в комнату чата по UDP или открывает свою. Без SERVER ищет комнаты в этой"
    " сети."
    " Наберите сообщение и нажмите Enter, чтобы отправить его; список команд: /help.",
    "client_more": "Если ввод не с терминала, клиент отправляет каждую его строку как сообщение,"
    " даже похожую на команду. В конце ввода он ждёт, пока сервер примет все сообщения, и выходит."
    " С --commands или --json ставьте «/say » перед текстом, который нужно отправить как есть."
    " Коды выхода: 0 успех, 1 неудача, 2 неверный вызов.",
    "client_server": "где комната (по умолчанию: искать; порт {port})",
    "client_name": "ваше имя (по умолчанию: имя пользователя в системе)",
    "client_open": "открыть комнату здесь, не ища других (имя по умолчанию: %(const)s)",
    "client_takeover": "может ли этот компьютер продолжить комнату, когда тот, кто её держит, уйдёт"
    " или пропадёт (по умолчанию: yes, если пишет человек, иначе no)",
    "client_json": "печатать каждое событие отдельной строкой в виде объекта JSON; включает"
    " --commands, но файлы командам недоступны",
    "client_commands": "читать команды и тогда, когда ввод не с терминала: строки, которые"
    " начинаются с /, и слово «{exit_word}»",
    "client_listen": "не читать ввод; показывать, что происходит, пока не придёт Ctrl-C или"
    " SIGTERM или не остановится сервер",
    "client_quiet": "не показывать того, что было до вашего прихода",
    "client_timestamps": "показывать, когда отправлено каждое сообщение",
    "client_no_color": "без цветов (или: NO_COLOR)",
    "client_transcript": "дописывать в FILE всё, что показано",
    "client_keep": "хранить сказанное в FILE, для /history; если комнату открывает эта команда,"
    " сама комната продолжается из него и хранится в нём, пока её держит этот компьютер",
    "client_keep_limit": "сколько хранить в FILE: число событий, возраст (36h, 30d, 8w — часы, дни,"
    " недели) или оба: 100000,30d; 0: без предела (по умолчанию: 1000000)",
    "client_trace": "записывать в FILE каждую датаграмму, отправленную и полученную, в"
    " разобранном виде, по одной в строке (по умолчанию: в stderr)",
    "client_doctor": "проверить эту сеть: видны ли комнаты, можно ли в них войти, а если нет,"
    " то почему",
    "client_log_level": "диагностика в stderr (по умолчанию: %(default)s)",
    "server": "Открывает комнату чата по UDP. Другие входят так: {udp_client} SERVER",
    "server_more": "Ctrl-C останавливает сервер; он сообщает об этом участникам, а с --takeover yes"
    " передаёт одному из них комнату. Без --keep"
    " сообщения хранятся только в памяти.",
    "server_host": "на каком адресе слушать (по умолчанию: на всех интерфейсах)",
    "server_port": "0 — любой свободный (по умолчанию: %(default)s)",
    "server_room": "название комнаты (по умолчанию: %(default)s)",
    "server_max_members": "пускать не больше N участников (по умолчанию: %(default)s)",
    "server_per_address": "сколько участников пускать с одного адреса: пределы скорости у них"
    " общие; 0: сколько угодно и без общих пределов (по умолчанию: %(default)s)",
    "server_history": "сколько сообщений показывать новому участнику (по умолчанию: %(default)s)",
    "server_log_entries": "сколько событий хранить для тех, кто вернётся (по умолчанию:"
    " %(default)s)",
    "server_rate": "сколько сообщений в секунду принимать в среднем от одного клиента и от"
    " всех клиентов одного адреса вместе; от всех участников вместе — вдвое больше. Лишние"
    " сервер задерживает. 0 снимает все пределы (по умолчанию: %(default)s)",
    "server_heartbeat": "как часто молчащий клиент напоминает о себе (по умолчанию: %(default)g;"
    " с --takeover yes не больше 1)",
    "server_timeout": "после какого молчания сервер исключает участника (по умолчанию:"
    " %(default)g)",
    "server_takeover": "могут ли участники продолжить комнату, когда сервер остановится или"
    " пропадёт; иначе они ждут, пока он вернётся (по умолчанию: no)",
    "server_keep": "хранить комнату в FILE: сервер, запущенный с ним снова, даже после сбоя,"
    " продолжит её",
    "server_keep_limit": "сколько хранить в FILE: число событий, возраст (36h, 30d, 8w — часы, дни,"
    " недели) или оба: 100000,30d; 0: без предела (по умолчанию: 1000000)",
    "server_export": "записать содержимое FILE из --keep в OUT (- — стандартный вывод), как его"
    " печатает --json, и выйти; сервер при этом может работать",
    "server_text": "с --export: писать простой текст вместо JSON",
    "server_no_discovery": "не отвечать клиентам, которые ищут комнаты: войти можно, только зная"
    " адрес",
    "server_log_level": "info: кто входит и выходит, в конце все счётчики; debug: каждая датаграмма"
    " (по умолчанию: %(default)s)",
    "protocol": "Разбирает датаграммы чата, по пакету в строке. Неверной датаграмме тоже"
    " отведена строка, с причиной в скобках.",
    "protocol_more": "FILE — трасса ({udp_client} --trace FILE) или запись сети (pcap), сделанная"
    " tcpdump, dumpcap или Wireshark; - — стандартный ввод. Коды выхода: 0 все датаграммы верны,"
    " 1 есть неверные или файл не прочитан, 2 неверный вызов.",
    "protocol_source": "датаграмма в шестнадцатеричном виде (пробелы, двоеточия и 0x не важны) или"
    " файл",
    "protocol_file": "прочитать трассу или запись сети, как бы файл ни назывался",
    "wrong_argument": "аргумент {argument}: {reason}",
    "wrong_unrecognized": "неизвестные аргументы: {arguments}",
    "wrong_required": "не хватает аргументов: {arguments}",
    "wrong_expected_one": "нужно одно значение",
    "wrong_expected_at_most_one": "нужно не больше одного значения",
    "wrong_expected_at_least_one": "нужно хотя бы одно значение",
    "wrong_ignored": "значение {value} здесь лишнее",
    "wrong_ambiguous": "параметр {option} можно понять по-разному: {options}",
    "wrong_choice": "неверное значение {value} (возможны: {choices})",
    "wrong_use": "{program}: ошибка: {reason}",
    "wrong_count": "«{value}» — не целое число от 0 до {largest}",
    "wrong_zero": "не меньше 1",
    "wrong_member_count": "не больше {largest}: больше имён участнику не передать",
    "wrong_seconds": "«{value}» — не число секунд от 0.1 до 3600",
    "wrong_port": "порт — это число от 0 до 65535",
    "wrong_room_name": "в названии комнаты от 1 до {largest} байт, только печатные знаки",
    "wrong_server": "«{value}» — не HOST, HOST:PORT или [IPV6]:PORT с портом от 1 до 65535",
    "wrong_keep_limit": "«{value}» — не предел: нужно число событий, возраст вроде 30d или оба:"
    " 100000,30d",
    "wrong_export": "для --export нужен --keep FILE",
    "wrong_open": "SERVER — войти в комнату, --open — открыть свою: уберите одно из них",
    "wrong_timeout": "--timeout должен быть больше, чем --heartbeat",
    "wrong_datagram": "«{value}» — не датаграмма в шестнадцатеричном виде и не файл",
    "wrong_nothing_to_read": "укажите датаграмму в шестнадцатеричном виде или FILE",
    "all_interfaces": "все интерфейсы",
    "cannot_open": "Не удалось открыть комнату ({where}, порт {port}): {reason}.",
    "room_elsewhere": "Комната «{room}» теперь на {server}, и её участники там. Этот сервер"
    " завершает работу.",
    "port_in_use": "Не удалось открыть комнату ({where}, порт {port}): порт уже использует"
    " {holders}. Остановите эту программу или возьмите свободный порт: --port 0",
    "port_in_use_by_somebody": "Не удалось открыть комнату ({where}, порт {port}): порт занят"
    " другой"
    " программой, возможно, другим сервером этого чата. Остановите её или возьмите свободный порт:"
    " --port 0",
    "port_forbidden": "Не удалось открыть комнату ({where}, порт {port}): этому пользователю порт"
    " недоступен. Возьмите порт больше 1023: --port 9091",
    "address_elsewhere": "Не удалось открыть комнату ({where}, порт {port}): у этого компьютера нет"
    " такого адреса. Уберите --host, чтобы слушать на всех.",
    "keep_folder": "Комнату нельзя хранить в {path}: это папка. Укажите файл в ней.",
    "keep_not_ours": "Комнату нельзя хранить в {path}: это другой файл. Он не изменён; выберите"
    " другое имя.",
    "keep_newer": "Файл {path} записан более новой версией этой программы. Он не изменён; обновите"
    " программу.",
    "keep_corrupt": "Файл {path} повреждён. Он не изменён; возьмите его прежнюю копию или выберите"
    " другое имя.",
    "keep_read_only": "Комнату нельзя хранить в {path}: файл только для чтения. Разрешите запись"
    " или выберите другое имя.",
    "keep_folder_read_only": "Комнату нельзя хранить в {path}: папка только для чтения. Разрешите"
    " запись в неё или выберите другую папку.",
    "keep_locked": "Комнату нельзя хранить в {path}: файл занят другим сервером. Остановите его"
    " или выберите другое имя.",
    "keep_full": "Комнату нельзя хранить в {path}: на диске нет места. Освободите место или"
    " выберите файл на другом диске.",
    "keep_missing": "Не удалось прочитать {path}: такого файла нет.",
    "keep_export_to_itself": "Нельзя записать {path} в него самого. Укажите после --export другое"
    " имя.",
    "cannot_write": "Не удалось записать {path}: {reason}.",
    "keep_failed": "Комнату нельзя хранить в {path}: {reason}.",
    "note": "примечание: {text}",
    "small_buffer": "ядро даёт приёмный буфер в {size} КиБ: его хватит примерно на {members}"
    " участников, которые ответят разом; чтобы увеличить его в Linux, выполните от имени root:"
    " sysctl -w net.core.rmem_max={wanted}",
    "cannot_read": "не удалось прочитать {path}: {reason}",
    "no_trace_line": "строка {number} — не строка --trace с датаграммой",
    "is_pcapng": "это файл pcapng. Преобразуйте его: tshark -F pcap -r IN -w OUT",
    "unknown_link_type": "тип канала {number} его пакетов здесь неизвестен",
    "cut_in_packet": "файл обрывается посреди пакета",
    "cut_in_header": "файл обрывается посреди заголовка",
}

COMMANDS = Catalogue(_ENGLISH, _RUSSIAN)

ARGPARSE_REASONS = (
    "wrong_unrecognized",
    "wrong_required",
    "wrong_expected_one",
    "wrong_expected_at_most_one",
    "wrong_expected_at_least_one",
    "wrong_ignored",
    "wrong_ambiguous",
    "wrong_choice",
)
"""The reasons that argparse itself gives; in English they are its words."""
