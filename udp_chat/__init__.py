"""A chat over UDP that loses nothing, or says what it lost.

The folders, from the bottom up: protocol (what both ends share), server, client, discovery and
terminal, and app, which puts them together. docs/protocol.md describes what is on the wire.

    from udp_chat import UdpClient, UdpServer
"""

import sys

if sys.version_info < (3, 10):  # before the imports, which an older Python cannot even read
    sys.exit("udp-chat needs Python 3.10 or newer; this is Python %d.%d." % sys.version_info[:2])

from udp_chat.client.udp_client import JoinFailed, UdpClient
from udp_chat.server.settings import RoomSettings
from udp_chat.server.udp_server import UdpServer
from udp_chat.version import __version__

__all__ = ["JoinFailed", "RoomSettings", "UdpClient", "UdpServer", "__version__"]
