"""A person's screen and keyboard. Nothing in here knows a packet or a room.

Read in this order:

- ``screen.py``: messages come in above, the line being typed stays whole below
- ``keys.py``: bytes become keys and text; pure
- ``editor.py``: keys change the line being typed; pure
- ``history.py``: the lines typed before, a search in them, undo; pure
- ``block.py``: that line, what is pending and the status become rows; pure
- ``wrapping.py``: a message becomes rows, its words stay whole; pure
- ``cells.py``: characters and the cells they take; pure
- ``window.py``: the window's title, notifications on the desktop; pure
- ``style.py``: text with its colours
- ``device.py``: the keyboard, key by key, and the size of the screen; POSIX and Windows
"""
