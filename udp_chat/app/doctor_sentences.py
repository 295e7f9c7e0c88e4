"""What the doctor says: the likely cause and what to do, and a sentence for each finding."""

from __future__ import annotations

from udp_chat.app.catalogue import Catalogue

_ENGLISH = {
    "interface": "Interface {name}: {addresses}.",
    "interface_loopback": "Interface {name}: {addresses} (this computer only).",
    "interface_idle": "Interface {name} is switched on, but its cable is out or its Wi-Fi is not"
    " joined: {addresses}.",
    "no_address": "no address",
    "interfaces_off": "Switched off: {names}.",
    "no_network": "This computer is on no network, so it cannot reach any other. Join the Wi-Fi or"
    " plug in the cable.",
    "way_multicast": "IPv4 multicast",
    "way_multicast6": "IPv6 multicast",
    "way_broadcast": "Broadcast to {target}",
    "copy_returned": "{way} on {name}: leaves and comes back.",
    "copy_lost": "{way} on {name}: leaves, but does not come back (a firewall here?).",
    "copy_unsent": "{way} on {name}: cannot be sent ({error}).",
    "copies_unheard": "Cannot listen for what comes back: port {port} cannot be used ({error}).",
    "copies_note": "What comes back is this computer's own copy. The answers below show whether"
    " other computers receive it, too.",
    "room": "The room “{room}” answers at {address} (members: {count}).",
    "rooms_none": "No room answers on this network.",
    "chat_port_taken": "The chat's port {port} on this computer is used by {holders}.",
    "chat_port_free": "The chat's port {port} on this computer is free: no room is open on it.",
    "discovery_port_taken": "The port for finding rooms, {port}, on this computer is used by"
    " {holders}.",
    "discovery_port_free": "The port for finding rooms, {port}, on this computer is free: others"
    " cannot find a room here.",
    "holder": "{command} (process {pid})",
    "holder_hidden": "a process that the system does not show",
    "checking": "Checking. This takes a few seconds …",
    "probes": "{server} answered {answered} of {sent} probes: {median} ms there and back"
    " (median), {p95} ms for 95 %. Lost: {loss} %.",
    "probes_none": "{server} answered none of {sent} probes.",
    "long_arrives": "A datagram of {size} bytes, the longest there is, arrives there.",
    "long_lost": "A datagram of {size} bytes, the longest there is, does not arrive there.",
    "lossy": "The link loses many datagrams. The chat repairs that, but messages may come late:"
    " move closer to the Wi-Fi access point, or use a cable.",
    "other_rooms": "These rooms do answer: {rooms}. Is one of them the right one?",
    "answered": "All is well. Join the room with: {udp_client} {server}",
    "short_only": "Likely cause: a tunnel (VPN) or router on the way drops long datagrams. Switch"
    " the VPN off, or set its MTU to 1280 bytes or more.",
    "unknown_host": "Likely cause: the name {host} is wrong ({error}). Check the spelling, or give"
    " the server's address in numbers.",
    "no_route": "Likely cause: this computer has no way to {host} ({error}). Join the network that"
    " the server is on.",
    "forbidden": "Likely cause: a firewall on this computer forbids sending to {server}. Allow"
    " Python to use UDP in its settings.",
    "stranger": "Likely cause: another program answers at {server}, or another version of this"
    " chat. Check the port, and use the same version on both computers.",
    "refused": "Likely cause: the computer {host} is there, but no server runs on its port {port}."
    " Start one there: {udp_server} --port {port}",
    "no_neighbour": "Likely cause: no computer on this network answers at the address {host}. The"
    " address is wrong, that computer is off, or the Wi-Fi isolates its devices from each other"
    " (client isolation, usual for guests). Compare the address with what the server's computer"
    " shows, then try a cable, another Wi-Fi or a phone's hotspot.",
    "filtered": "Likely cause: the computer {host} is on this network, or was a minute ago, but its"
    " firewall lets nothing in on UDP port {port}. Allow the port there (Linux: sudo ufw allow"
    " {port}/udp; Windows and macOS: allow Python in the firewall's settings).",
    "silent": "Likely cause, one of these: the address {host} is wrong, or that computer is off;"
    " its firewall lets nothing in on UDP port {port}; the Wi-Fi isolates its devices from each"
    " other (client isolation, usual for guests). Compare the address with what the server's"
    " computer shows, allow the port there, then try a cable, another Wi-Fi or a phone's hotspot.",
    "silent_here": "Likely cause: the program on port {port} of this computer is no server of this"
    " chat, or a firewall blocks this computer from itself. Start the server on another port:"
    " {udp_server} --port 0",
    "port_open": "What comes in from the network reaches UDP port {port} of {host}.",
    "port_closed": "What comes in from the network does not reach UDP port {port} of {host}.",
    "dropped": "This computer dropped {dropped} datagrams that came in meanwhile.",
    "unfound": "The search found no room, though {server} answers: the network carries neither"
    " multicast nor broadcast to it, or the room is not open for the search. Others have to give"
    " the address: {udp_client} {server}",
    "dropped_here": "Likely cause: a firewall on this computer drops the answers of {server}."
    " Allow Python to use UDP in its settings (Linux: it must let in what answers this computer,"
    " ct state established).",
    "closed_here": "A firewall on this computer lets nothing in on UDP port {port}: others cannot"
    " join the room at {server}. Allow the port (Linux: sudo ufw allow {port}/udp; Windows and"
    " macOS: allow Python in the firewall's settings).",
    "only_here": "The room at {server} answers this computer alone: others cannot join it. Open it"
    " for the network: {udp_server} --port {port}",
    "forbidden_here": "Likely cause: a firewall on this computer lets nothing out to the network."
    " Allow Python to use UDP in its settings.",
    "firewall_here": "Likely cause: a firewall on this computer drops the multicast and broadcast"
    " that come in, and so the answers to the search. To join a room, give its server's address:"
    " {udp_client} ADDRESS. So that others find a room here, allow UDP ports {port} and"
    " {discovery_port} (Linux: sudo ufw allow {port}:{discovery_port}/udp; Windows and macOS: allow"
    " Python in the firewall's settings).",
    "answers_dropped": "Likely cause: a firewall on this computer drops the answers to its search:"
    " they come to a port that it does not know. Give the server's address: {udp_client} ADDRESS."
    " Or allow Python to use UDP in its settings.",
    "nothing_found": "Likely cause, one of these: no server is running; a firewall on its computer"
    " lets nothing in on UDP ports {port} and {discovery_port}; the Wi-Fi isolates its devices from"
    " each other (client isolation, usual for guests). Start a room: {udp_server}. Then give its"
    " address: {udp_client} ADDRESS. To see more: {udp_client} --doctor ADDRESS",
}

_RUSSIAN = {
    "interface": "Интерфейс {name}: {addresses}.",
    "interface_loopback": "Интерфейс {name}: {addresses} (только этот компьютер).",
    "interface_idle": "Интерфейс {name} включён, но кабель не вставлен или Wi-Fi не подключён:"
    " {addresses}.",
    "no_address": "адреса нет",
    "interfaces_off": "Выключены: {names}.",
    "no_network": "Этот компьютер не подключён ни к какой сети, поэтому другие ему недоступны."
    " Подключитесь к Wi-Fi или вставьте кабель.",
    "way_multicast": "Групповая рассылка IPv4",
    "way_multicast6": "Групповая рассылка IPv6",
    "way_broadcast": "Широковещательная рассылка на {target}",
    "copy_returned": "{way} через {name}: уходит и возвращается.",
    "copy_lost": "{way} через {name}: уходит, но не возвращается (брандмауэр?).",
    "copy_unsent": "{way} через {name}: не удалось отправить ({error}).",
    "copies_unheard": "Не удалось услышать, что возвращается: порт {port} недоступен ({error}).",
    "copies_note": "Возвращается собственная копия этого компьютера. Доносит ли её сеть до других"
    " компьютеров, видно ниже: по тому, кто отвечает.",
    "room": "Отвечает комната «{room}» по адресу {address} (участников: {count}).",
    "rooms_none": "В этой сети ни одна комната не отвечает.",
    "chat_port_taken": "Порт чата {port} на этом компьютере занят: {holders}.",
    "chat_port_free": "Порт чата {port} на этом компьютере свободен: комнаты на нём нет.",
    "discovery_port_taken": "Порт для поиска комнат {port} на этом компьютере занят: {holders}.",
    "discovery_port_free": "Порт для поиска комнат {port} на этом компьютере свободен: комнату"
    " здесь"
    " другие не найдут.",
    "holder": "{command} (процесс {pid})",
    "holder_hidden": "система не показывает, кем",
    "checking": "Проверяю. Это займёт несколько секунд …",
    "probes": "{server}: ответов {answered} на {sent} запросов; туда и обратно {median} мс"
    " (медиана), 95 % — до {p95} мс. Потеряно: {loss} %.",
    "probes_none": "{server}: на {sent} запросов нет ни одного ответа.",
    "long_arrives": "Датаграмма в {size} байт, самая длинная из возможных, туда доходит.",
    "long_lost": "Датаграмма в {size} байт, самая длинная из возможных, туда не доходит.",
    "lossy": "Связь теряет много датаграмм. Чат это исправит, но сообщения могут запаздывать:"
    " подойдите ближе к точке доступа Wi-Fi или возьмите кабель.",
    "other_rooms": "Отвечают другие комнаты: {rooms}. Может быть, нужна одна из них?",
    "answered": "Всё в порядке. Войти в комнату: {udp_client} {server}",
    "short_only": "Вероятная причина: туннель (VPN) или маршрутизатор на пути отбрасывает длинные"
    " датаграммы. Выключите VPN или задайте ему MTU не меньше 1280 байт.",
    "unknown_host": "Вероятная причина: имя {host} неверно ({error}). Проверьте написание или"
    " укажите адрес сервера числами.",
    "no_route": "Вероятная причина: у этого компьютера нет пути к {host} ({error}). Подключитесь к"
    " той сети, в которой сервер.",
    "forbidden": "Вероятная причина: брандмауэр этого компьютера запрещает отправку на {server}."
    " Разрешите Python пользоваться UDP в его настройках.",
    "stranger": "Вероятная причина: по адресу {server} отвечает другая программа или другая версия"
    " этого чата. Проверьте порт; версии на обоих компьютерах должны совпадать.",
    "refused": "Вероятная причина: компьютер {host} на месте, но на его порту {port} сервер не"
    " запущен. Запустите его там: {udp_server} --port {port}",
    "no_neighbour": "Вероятная причина: по адресу {host} в этой сети никто не отвечает. Адрес"
    " неверен, тот компьютер выключен или Wi-Fi изолирует устройства друг от друга (обычно в"
    " гостевых сетях). Сверьте адрес с тем, что показывает компьютер сервера; иначе возьмите"
    " кабель, другой Wi-Fi или раздачу с телефона.",
    "filtered": "Вероятная причина: компьютер {host} есть в этой сети или был минуту назад, но его"
    " брандмауэр ничего не пропускает на порт UDP {port}. Откройте там порт (Linux: sudo ufw allow"
    " {port}/udp; Windows и macOS: разрешите Python в настройках брандмауэра).",
    "silent": "Вероятная причина — одна из этих: адрес {host} неверен или тот компьютер выключен;"
    " его"
    " брандмауэр ничего не пропускает на порт UDP {port}; Wi-Fi изолирует устройства друг от друга"
    " (обычно в гостевых сетях). Сверьте адрес с тем, что показывает компьютер сервера, откройте"
    " там порт, затем попробуйте кабель, другой Wi-Fi или раздачу с телефона.",
    "silent_here": "Вероятная причина: порт {port} этого компьютера занят другой программой, а"
    " не сервером этого чата, или брандмауэр не пускает компьютер к самому себе. Запустите"
    " сервер на другом порту: {udp_server} --port 0",
    "port_open": "Датаграммы из сети доходят до порта UDP {port} на {host}.",
    "port_closed": "Датаграммы из сети не доходят до порта UDP {port} на {host}.",
    "dropped": "За это время этот компьютер отбросил датаграмм из сети: {dropped}.",
    "unfound": "Поиск не нашёл комнат, хотя {server} отвечает: сеть не доносит до него рассылок"
    " или комната закрыта для поиска. Другим нужен адрес: {udp_client} {server}",
    "dropped_here": "Вероятная причина: брандмауэр этого компьютера отбрасывает ответы {server}."
    " Разрешите Python пользоваться UDP в его настройках (Linux: он должен пропускать ответы этому"
    " компьютеру, ct state established).",
    "closed_here": "Брандмауэр этого компьютера ничего не пропускает на порт UDP {port}: другие не"
    " войдут в комнату по адресу {server}. Откройте порт (Linux: sudo ufw allow {port}/udp; Windows"
    " и macOS: разрешите Python в настройках брандмауэра).",
    "only_here": "Комната по адресу {server} отвечает только этому компьютеру: другие в неё не"
    " войдут. Откройте её для сети: {udp_server} --port {port}",
    "forbidden_here": "Вероятная причина: брандмауэр этого компьютера ничего не выпускает в сеть."
    " Разрешите Python пользоваться UDP в его настройках.",
    "firewall_here": "Вероятная причина: брандмауэр этого компьютера отбрасывает приходящие"
    " рассылки, а значит, и ответы на поиск. Чтобы войти в комнату, укажите адрес её сервера:"
    " {udp_client} АДРЕС. Чтобы другие нашли комнату здесь, откройте порты UDP {port} и"
    " {discovery_port} (Linux: sudo ufw allow {port}:{discovery_port}/udp; Windows и macOS:"
    " разрешите Python в настройках брандмауэра).",
    "answers_dropped": "Вероятная причина: брандмауэр этого компьютера отбрасывает ответы на поиск:"
    " они приходят на порт, которого он не знает. Укажите адрес сервера: {udp_client} АДРЕС. Или"
    " разрешите Python пользоваться UDP в его настройках.",
    "nothing_found": "Вероятная причина — одна из этих: ни один сервер не запущен; брандмауэр на"
    " его компьютере ничего не пропускает на порты UDP {port} и {discovery_port}; Wi-Fi изолирует"
    " устройства друг от друга (обычно в гостевых сетях). Откройте комнату: {udp_server}. Затем"
    " укажите её адрес: {udp_client} АДРЕС. Узнать больше: {udp_client} --doctor АДРЕС",
}

DOCTOR = Catalogue(_ENGLISH, _RUSSIAN)
