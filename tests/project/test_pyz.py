"""The one file that ``make pyz`` makes: alone in a folder, it is client and server."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from tests.processes import WAIT_SECONDS


def test_the_one_file_serves_and_joins_without_anything_beside_it(pyz: Path) -> None:
    server_command = [sys.executable, "-I", str(pyz), "server", "--host", "127.0.0.1"]
    with subprocess.Popen(
        [*server_command, "--port", "0", "--no-discovery"],
        cwd=pyz.parent,
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        try:
            assert server.stdout is not None
            where = server.stdout.readline().removeprefix("listening on ").strip()
            done = subprocess.run(
                [sys.executable, "-I", str(pyz), where, "--name", "Anna", "--json"],
                cwd=pyz.parent,
                input="привет\n",
                capture_output=True,
                text=True,
                encoding="utf-8",
                timeout=WAIT_SECONDS,
            )
        finally:
            server.terminate()
    assert (done.returncode, done.stderr) == (0, "")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events] == ["joined", "host", "sent", "chat", "left"]
