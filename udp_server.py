"""The server: ``python3 udp_server.py`` opens a room; ``--help`` lists its options.

Where to read on:

- udp_chat/server/udp_server.py: the socket and the thread around a room;
- udp_chat/server/register.py: the dict of members, entered by registration datagrams;
- udp_chat/server/room.py: how a room answers each packet, without a socket or a clock;
- udp_chat/server/relay.py: how messages go out, and how a lost datagram is repaired.

From Python: ``from udp_server import UdpServer``.
"""

import sys

from udp_chat import RoomSettings, UdpServer
from udp_chat.app.server_command import main
from udp_chat.server.room import ChatRoom

__all__ = ["ChatRoom", "RoomSettings", "UdpServer", "main"]

if __name__ == "__main__":
    sys.exit(main())
