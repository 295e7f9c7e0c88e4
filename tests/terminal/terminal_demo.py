"""What the tests run in a pseudo-terminal: reads lines as a chat client would, and tells them.

Another thread does what it is told on one pipe, a JSON object a line:

    {"show": "text", "name": "Anna"}        {"flood": 200, "per_second": 1000, "text": "{} text"}
    {"pending": ["text"]}       {"status": "text"}       {"bell": true}      {"title": "text"}
    {"complain": "text"}        (on stderr)         {"show": "text", "folds": true}
    {"show": "text", "style": "1;31"}
    {"do": "raise"}                         (in the main thread, at the next line)
    {"do": "end input"}

What was read goes to the other pipe: {"line": "text"}, at the end {"ended": "EOFError"}.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time

from udp_chat.app.completing import Completions
from udp_chat.terminal.screen import Terminal, open_terminal
from udp_chat.terminal.style import Part, Span, paint

NAMES = ("Anna", "Анна", "Boris", "花子")


class Broken(Exception):
    pass


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def obey(terminal: Terminal, control: int, raises: threading.Event) -> None:
    with os.fdopen(control, encoding="utf-8") as orders:
        for line in orders:
            order = json.loads(line)
            if "flood" in order:
                for number in range(order["flood"]):
                    terminal.show(order["text"].format(number))
                    time.sleep(1 / order["per_second"])
            elif "show" in order:
                name = order.get("name")
                start: tuple[Part, ...] = (paint(name, name), ": ") if name else ()
                folds = order.get("folds", False)
                said = Span(order["show"], order.get("style", ""))
                terminal.show(*start, said, pending=order.get("pending"), folds=folds)
            elif "pending" in order:
                terminal.set_pending(order["pending"])
            elif "status" in order:
                terminal.set_status(order["status"].split("|"))
            elif "title" in order:
                terminal.set_title(order["title"])
            elif "complain" in order:
                print(order["complain"], file=sys.stderr)
            elif "bell" in order:
                terminal.bell()
            elif order.get("do") == "end input":
                terminal.end_input()
            elif order.get("do") == "raise":
                raises.set()


def main(control: int, results: int) -> None:
    def tell(**result: str) -> None:
        os.write(results, f"{json.dumps(result)}\n".encode())

    signal.signal(signal.SIGTERM, interrupt)
    terminal = open_terminal(Completions(NAMES).of)
    raises = threading.Event()
    threading.Thread(target=obey, args=(terminal, control, raises), daemon=True).start()
    tell(kind=type(terminal).__name__)
    try:
        with contextlib.redirect_stderr(terminal.stream()):
            while True:
                line = terminal.read_line()
                tell(line=line)
                if raises.is_set():
                    raise Broken  # and nobody calls `close`
    except (EOFError, KeyboardInterrupt) as end:
        terminal.close()
        tell(ended=type(end).__name__)
        terminal.show("The end.")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
