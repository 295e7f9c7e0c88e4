"""The commands, and what puts client, server, discovery and terminal together.

Read in this order:

- ``client_command.py``: udp_client.py: finds a room or opens one, then a conversation
- ``rooms.py``: finds a room, lets a person choose, or opens one
- ``hosted_here.py``: the room on this computer: opened, taken over, handed on
- ``server_command.py``: udp_server.py: opens a room and serves it until Ctrl-C
- ``export.py``: ``--export``: what a room's file keeps, as events or as text
- ``kept_lines.py``: what ``udp_client.py --keep`` keeps for /history
- ``protocol_command.py``: protocol.py: reads datagrams and says what is in them
- ``conversation.py``: what a person types is done, what happens is shown
- ``lines.py``: a typed line becomes a command, an event becomes a line
- ``completing.py``: what Tab can make of what is typed
- ``showing.py``: how an event looks: the chat's own mark, what stands out, what is dim
- ``invitation.py``: what others type to join a room of this computer
- ``remembered.py``: the newest lines, for /history, /save and /search
- ``reconnection.py``: the seconds of a reconnection, while it lasts
- ``catalogue.py``: how a sentence is found in a language, with its plurals
- ``chat_sentences.py``, ``command_sentences.py``, ``doctor_sentences.py``:
  the sentences, in English and in Russian
- ``doctor.py``: what ``--doctor`` tells; its checks are in ``doctor_checks.py``

What these use:

- ``arguments.py``: the types of the options, and a parser that speaks both languages
- ``program.py``: what a command calls itself and the others
- ``ports.py``: who holds a port
- ``standard_streams.py``: standard streams and files that may fail without ending a conversation
- ``trace.py``: ``--trace`` and capture files
- ``one_file.py``: the command in ``udp-chat.pyz``
"""
