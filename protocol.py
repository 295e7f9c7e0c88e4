"""The packets: ``python3 protocol.py`` decodes datagrams; ``--help`` lists where they come from.

Where to read on:

- udp_chat/protocol/packets.py: every packet, encoded and decoded;
- udp_chat/protocol/wire.py: numbers, limits and the fields that packets are made of;
- udp_chat/protocol/delivery.py: the log, its receiver, and the measures of a link;
- docs/protocol.md: all of it in words, for a client in any language.

From Python: ``from protocol import decode``.
"""

import sys

from udp_chat.app.protocol_command import main
from udp_chat.protocol.packets import *  # noqa: F403  all names of packets.py are this file's
from udp_chat.protocol.packets import __all__ as _packets

__all__ = ["main"]
__all__ += _packets  # a `*` in the list would be an error to Python 2, which must get our sentence

if __name__ == "__main__":
    sys.exit(main())
