"""What breaks the steps over TCP: a stream with other borders, a stalled reader, a pulled cable."""

from __future__ import annotations

import socket
import time

from compare.steps.bad_stream import BadStream, cut, missing_for_cut
from compare.steps.breakage import Breakage, Outcome
from compare.steps.programs import Chat

ARRIVE_SECONDS = 1.0
"""What has not arrived by then, between processes of one machine, is not on its way."""

STALLED_LINES = 3000
LINES_AT_ONCE = 20
"""So many fit into a pipe, so that whoever types them never waits."""
LINE_BYTES = 2000
"""Long lines soon fill the kernel's buffers for a member that does not read."""

CUT_SECONDS = 4.0
"""How long the others are watched: one second more than the timeout of t4."""


def _merged(step: str) -> Outcome:
    """Three messages follow one another quickly, and the network passes them on together."""
    said = ["one", "two", "three"]
    with Chat(step) as chat, BadStream(chat.port) as stream:
        boris, anna = chat.client("Boris"), chat.client("Anna", stream.port)
        boris.need("* Anna joined")
        stream.is_gathering = True
        anna.say(*said)
        boris.wait_for("Anna: ", len(said), ARRIVE_SECONDS)
        shown = boris.texts("Anna: ")
    text = " | ".join(shown)
    return Outcome(
        shown == [f"Anna: {text}" for text in said], f"3 said, {len(shown)} shown: {text}"
    )


def _in_pieces(step: str) -> Outcome:
    """The network passes the stream on in pieces of five bytes, which cut words and characters."""
    said = [f"сообщение {number}" for number in range(1, 11)]
    with Chat(step) as chat, BadStream(chat.port) as stream:
        boris, anna = chat.client("Boris"), chat.client("Anna", stream.port)
        boris.need("* Anna joined")
        stream.piece_bytes = 5
        anna.say(*said)
        anna.say("end")
        boris.wait_for(f"Anna: {said[-1]}", 1, ARRIVE_SECONDS)
        shown = boris.texts()
    right = sum(f"Anna: {text}" in shown for text in said)
    return Outcome(right == len(said), f"{right} of {len(said)} messages shown as they were said")


def _stalled(step: str) -> Outcome:
    """A member reads nothing while others talk."""
    with Chat(step) as chat, _stranger(chat.port, "Clara"):
        boris, anna = chat.client("Boris"), chat.client("Anna")
        boris.need("* Anna joined")
        arrived = 0
        while arrived < STALLED_LINES:
            numbers = range(arrived + 1, arrived + LINES_AT_ONCE + 1)
            anna.say(*(f"{number} ".ljust(LINE_BYTES, ".") for number in numbers))
            if not boris.wait_for(f"Anna: {numbers[-1]} ", 1, ARRIVE_SECONDS):
                break
            arrived = numbers[-1]
        dropped = ", the stalled member was dropped" if boris.texts("* Clara left") else ""
        shown = len(boris.texts("Anna: "))
    whole = shown == STALLED_LINES
    freezes = "" if whole else ", then the room froze"
    return Outcome(
        whole, f"{shown} of {STALLED_LINES} messages reached the others{freezes}{dropped}"
    )


def _cable_pulled(step: str) -> Outcome:
    """A member's cable is pulled: no byte comes from it any more, and no goodbye."""
    with Chat(step) as chat:
        boris = chat.client("Boris")
        with _stranger(chat.port, "Clara") as clara:
            boris.need("* Clara joined")
            cut(clara)
            cut_at = time.monotonic()
            noticed = boris.wait_for("* Clara left", 1, CUT_SECONDS)
            after = next((line.at for line in boris.lines if "Clara left" in line.text), 0) - cut_at
    if noticed:
        return Outcome(True, f"the others learned after {after:.1f} s that she was gone")
    return Outcome(False, f"after {CUT_SECONDS:.0f} s she still counted as a member")


def _stranger(port: int, name: str) -> socket.socket:
    """A member without a program of ours, as `nc` would be: it says its name and reads nothing."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.connect(("localhost", port))
        sock.sendall(f"{name}\n".encode())
    except BaseException:  # Ctrl-C, too: the caller has no socket to close yet
        sock.close()
        raise
    return sock


BREAKAGES = [
    Breakage("t1", None, "Three messages arrive in one recv", _merged),
    Breakage("t2", "t1", "The stream arrives in pieces of five bytes", _in_pieces),
    Breakage("t3", "t2", "One member reads nothing", _stalled),
    Breakage("t4", "t3", "A member's cable is pulled", _cable_pulled, missing_for_cut),
]
