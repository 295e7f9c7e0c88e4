"""``python3 -m udp_chat`` starts the client, as udp_client.py does."""

import sys

from udp_chat.app.client_command import main

if __name__ == "__main__":
    sys.exit(main())
