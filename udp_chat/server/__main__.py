"""``python3 -m udp_chat.server`` starts the server, as udp_server.py does."""

import sys

from udp_chat.app.server_command import main

if __name__ == "__main__":
    sys.exit(main())
