"""The client: ``python3 udp_client.py`` finds and joins a room; ``--help`` lists its options.

Where to read on:

- udp_chat/client/udp_client.py: the receiver thread, which blocks in ``recvfrom``, and the writer;
- udp_chat/client/session.py: how a client answers each packet, without a socket or a clock;
- udp_chat/client/outbox.py: how a message is retransmitted until the room has it;
- udp_chat/app/client_command.py: the command, for a person or a pipe.

From Python: ``from udp_client import UdpClient``.
"""

import sys

from udp_chat import JoinFailed, UdpClient
from udp_chat.app.client_command import main
from udp_chat.client.session import ChatSession

__all__ = ["ChatSession", "JoinFailed", "UdpClient", "main"]

if __name__ == "__main__":
    sys.exit(main())
