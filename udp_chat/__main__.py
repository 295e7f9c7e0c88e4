"""``python3 -m udp_chat`` is the client, as is udp_client.py."""

import sys

from udp_chat.app.client_command import main

if __name__ == "__main__":
    sys.exit(main())
