"""A room that outlives its host: a member's machine opens it, hands it on, takes it over.

- ``room_host.py`` is the pure machine: it stands by, gathers, hosts, hands on, and finds the other
  parts of its room again.
- ``gathering.py`` asks the returning members what they have, before a new term begins.
- ``hosting_server.py`` is its socket and thread.

It stands on client and server, because a host is a member, too.
"""
