"""The commands, and what puts client, server, discovery and terminal together.

Read in this order:

- ``client_command.py``: udp_client.py: finds a room or opens one, then a conversation
- ``server_command.py``: udp_server.py: opens a room and serves it until Ctrl-C
- ``protocol_command.py``: protocol.py: reads datagrams and says what is in them
- ``conversation.py``: what a person types is done, what happens is shown
- ``lines.py``: a typed line becomes a command, an event becomes a line
- ``catalogue.py``: every sentence, in English and in Russian
- ``doctor.py``: the checks behind ``--doctor``

What these use:

- ``arguments.py``: the types of the options
- ``streams.py``: standard streams and files that may fail without ending a conversation
- ``trace.py``: ``--trace`` and capture files
- ``one_file.py``: the command in ``udp-chat.pyz``
"""
