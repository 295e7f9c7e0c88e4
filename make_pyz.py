"""Packs the chat into one file, ``udp-chat.pyz``, that runs on any machine with Python.

``python3 udp-chat.pyz …`` is the client, ``python3 udp-chat.pyz server …`` the server. Called by
``make pyz``; the standard library's zipapp does the work.
"""

from __future__ import annotations

import re
import shutil
import sys
import tempfile
import zipapp
from pathlib import Path

MAIN = """\
import sys

if sys.argv[1:2] == ["server"]:
    del sys.argv[1]
    from udp_server import main
else:
    from udp_client import main
sys.exit(main())
"""


def modules(project: Path) -> list[str]:
    """The modules that pyproject.toml installs: there is one list of them."""
    text = (project / "pyproject.toml").read_text("utf-8")
    found = re.search(r"^py-modules = \[(.*?)\]", text, re.MULTILINE | re.DOTALL)
    assert found is not None, "pyproject.toml lists the modules"
    return re.findall(r'"(\w+)"', found[1])


def build(target: Path) -> None:
    """Writes the file."""
    project = Path(__file__).resolve().parent
    with tempfile.TemporaryDirectory() as folder:
        for module in modules(project):
            shutil.copy(project / f"{module}.py", folder)
        (Path(folder) / "__main__.py").write_text(MAIN, "utf-8")
        zipapp.create_archive(folder, target, "/usr/bin/env python3", compressed=True)


if __name__ == "__main__":
    build(Path(sys.argv[1] if len(sys.argv) > 1 else "udp-chat.pyz"))
