"""A person's screen and keyboard. Nothing in here knows a packet or a room.

Read in this order:

- ``screen.py``: messages come in above, the line being typed stays whole below
- ``keys.py``: bytes become keys and text; pure
- ``history.py``: the lines typed before, a search in them, undo; pure
- ``editor.py``: keys change a line, the line becomes rows; pure
- ``wrapping.py``: a message becomes rows, its words stay whole; pure
- ``style.py``: text with its colours
- ``device.py``: the keyboard, key by key, and the size of the screen; POSIX and Windows
"""
