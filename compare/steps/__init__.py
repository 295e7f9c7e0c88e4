"""Steps from nothing to this protocol: one file each, and a command that breaks the one before.

- ``t1_naive.py`` … ``t4_timeouts.py``: a chat over TCP
- ``u1_relay.py`` … ``u8_window.py``: a chat over UDP

What breaks them, by ``python3 -m compare.steps``:

- ``__main__.py``: the command
- ``tcp_breakages.py``, ``udp_breakages.py``: what is done to a step and to the one before it
- ``programs.py``: a step's server and clients as processes
- ``bad_stream.py``, ``bad_link.py``: a bad network on this machine, without root

README.md has the figures.
"""
