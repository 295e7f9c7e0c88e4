"""What both ends share: packets, names, delivery. Nothing in here knows a server or a client.

Read in this order:

- ``wire.py``: numbers, limits and errors; the events and messages that packets carry
- ``framing.py``: the first bytes of each datagram, and what can be read before the rest
- ``packets.py``: every packet as a dataclass; `decode` reads any bytes
- ``delivery.py``: the log, its ordered receiver, and how a link is measured (RTT, loss, rates)
- ``lineage.py``: the terms of a room's log, and where two logs of one room part
- ``names.py``: which names a room takes, and which of them look the same
- ``answers.py``: the texts of WHO, SEEN and STATS answers
- ``addresses.py``: one formatter, one parser and one resolver for addresses
- ``printable.py``: what of a text from the network a terminal may get
- ``held_signals.py``: Ctrl-C waits while the main thread holds a lock
- ``worker.py``: the life cycle of threads with a socket: start, work, close

docs/protocol.md is the normative description.
"""
