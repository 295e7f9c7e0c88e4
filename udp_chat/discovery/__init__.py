"""Finding rooms on the LAN: a client asks who is there, a server answers. No chat is said here.

Read in this order:

- ``search.py``: the client's part: DISCOVER over every way out, and the rooms that answered
- ``beacon.py``: the server's part: an OFFER for each DISCOVER
- ``groups.py``: the discovery port, its multicast groups, and sockets that hear them
- ``interfaces.py``: the network interfaces of this computer
"""
