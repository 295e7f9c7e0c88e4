"""The client: a session, its socket and its threads. Nothing in here knows a server or a screen.

Read in this order:

- ``udp_client.py``: the threads. **The receiver thread blocks in `recvfrom`**; a writer sends
- ``session.py``: the session as a pure state machine
- ``states.py``: the table of states, as in docs/protocol.md §5
- ``joining.py``: the cookie, repeated JOINs, and the name
- ``leaving.py``: repeated LEAVEs
- ``outbox.py``: messages until the server has them: the window and the retransmissions
- ``streams.py``: the room's log and the inbox, as they are received
- ``reader.py``: what comes of both, and what it means to the other parts
- ``transcript.py``: what is shown, and what waits until it may be
- ``acknowledging.py``: when to acknowledge, and when to report a gap
- ``liveness.py``: heartbeats, and when the server counts as gone
- ``postbag.py``: timestamps, and datagrams that wait to be sent
- ``roster.py``: who is in the room
- ``whereabouts.py``: where the room is, and whom to ask when its host does not answer
- ``replica.py``: the room as this member was shown it, for a new host
- ``own_link.py``: what a client counts of its own link
- ``chat_events.py``: `ChatEvent`, what programs and people are told
"""
