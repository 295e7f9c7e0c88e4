"""What does the client at a terminal cost while others talk?

  python3 -m benchmarks.screen [--messages-per-second 100] [--seconds 20]

A server, a sender and the real client run in three processes. The client has a pseudo-terminal of
80 columns and 24 rows, which this process reads. The CPU is what the kernel counts for the client
(/proc/PID/stat), in all its threads. It needs Linux.
"""

from __future__ import annotations

import argparse
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
import threading
import time
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent

COLUMNS, ROWS = 80, 24

WARM_UP_SECONDS = 3.0

SENDER = """
import sys, time
from udp_chat import UdpClient
port, per_second, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
with UdpClient(("127.0.0.1", port), "Boris") as boris:
    begin = time.monotonic()
    for number in range(int(per_second * seconds)):
        time.sleep(max(0.0, begin + number / per_second - time.monotonic()))
        boris.say(f"message {number}: the quick brown fox jumps over the lazy dog")
    boris.flush()
"""


def cpu_seconds(pid: int) -> float:
    """The CPU time that a process has taken until now."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def drain(terminal: int, counts: list[int]) -> None:
    """Reads what the client writes, until it ends: bytes, and how often a frame ends."""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:
            return
        counts[0] += len(data)
        counts[1] += data.count(b"\x1b[?2026l")


def measure(per_second: float, seconds: float, warm_up_seconds: float = WARM_UP_SECONDS) -> str:
    """The client's cost in a sentence."""
    with subprocess.Popen(
        [sys.executable, "udp_server.py", "--host", "127.0.0.1", "--port", "0", "--no-discovery"],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        port = server.stdout.readline().rpartition(":")[2].strip()
        keyboard, person = pty.openpty()
        fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        client = subprocess.Popen(
            [sys.executable, "udp_client.py", f"127.0.0.1:{port}", "--name", "Anna"],
            cwd=PROJECT,
            stdin=person,
            stdout=person,
            stderr=person,
            env={**os.environ, "TERM": "xterm-256color"},
            start_new_session=True,
        )
        os.close(person)
        counts = [0, 0]
        reader = threading.Thread(target=drain, args=(keyboard, counts))
        reader.start()
        lasting = str(seconds + 2 * warm_up_seconds)
        sender = subprocess.Popen(
            [sys.executable, "-c", SENDER, port, str(per_second), lasting], cwd=PROJECT
        )
        try:
            time.sleep(warm_up_seconds)
            before, begin, frames = cpu_seconds(client.pid), time.monotonic(), counts[1]
            time.sleep(seconds)
            cpu, lasted = cpu_seconds(client.pid) - before, time.monotonic() - begin
            frames = counts[1] - frames
        finally:
            for process in (sender, client, server):
                process.terminate()
                process.wait()
            reader.join()
            os.close(keyboard)
    return (
        f"{per_second:g} messages a second: {cpu / lasted:.1%} of a core,"
        f" {frames / lasted:.0f} drawings a second"
    )


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--messages-per-second", type=float, default=100.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    arguments = parser.parse_args()
    print(measure(arguments.messages_per_second, arguments.seconds))


if __name__ == "__main__":
    main()
