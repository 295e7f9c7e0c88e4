"""``python3 -m udp_chat.server`` is the server, as is udp_server.py."""

import sys

from udp_chat.app.server_command import main

if __name__ == "__main__":
    sys.exit(main())
