"""The server: one room, one socket, one thread. Nothing in here knows a client or a terminal.

Read in this order:

- ``udp_server.py``: the thread. It takes in what has arrived, steps the room once, and sends
- ``room.py``: the room as a pure state machine: joining, leaving, messages, timers
- ``presence.py``: which members are still there
- ``continuity.py``: what the room has in common with its earlier terms and its other parts
- ``apart.py``: which messages are in the log, wherever they were said
- ``succession.py``: who takes the room over when its host is gone
- ``fetching.py``: getting events that its members have and its host has not
- ``apart.py``: which messages are in the log, whichever part of the room they were said in
- ``derived.py``: who is in, as it follows from the log
- ``register.py``: **the dict of members**, entered by a JOIN with a good cookie
- ``relay.py``: what goes out: the broadcast, and **the repair of a lost datagram**
- ``congestion.py``: how much a member with a full link may be sent
- ``floor.py``: whose message is written next
- ``scribe.py``: what a message becomes in a log or an inbox
- ``kept.py``: what outlives the process, and how a room begins again from it
- ``keeping.py``: the file in which a room is kept
- ``member.py``: one member: its positions in the logs, its link, its timer

What these use:

- ``settings.py``: what may be chosen about a room
- ``state.py``: what the parts of a room share
- ``cookies.py``: proof that an address receives what is sent to it
- ``hosts.py``: what all members of one IP address may use together
- ``memory.py``: how many bytes a room holds for its members
- ``history.py``: what a newcomer is shown of what was said before
- ``survey.py``: who is in, who has a message, how the links are
- ``server_socket.py``: the bound socket with its buffer
- ``datagrams.py``, ``batch_datagrams.py``: one datagram a system call, or many (Linux)

``python3 -m udp_chat.server`` runs the command, which is in app/server_command.py.
"""
