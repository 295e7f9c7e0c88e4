"""The client at a real terminal: a pseudo-terminal, with a person's keys at its other end."""

from __future__ import annotations

import os
import re
import select
import subprocess
import threading
from collections.abc import Iterator

import pytest
from typing_extensions import Self

from tests.processes import WAIT_SECONDS, Client, NeverCame, Server, start_process

pty = pytest.importorskip("pty", reason="pseudo-terminals are POSIX's")
termios = pytest.importorskip("termios", reason="pseudo-terminals are POSIX's")


TAKE_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0);"
    " os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
)
"""Makes stdin the controlling terminal, so that Ctrl-C typed there is SIGINT here."""

CTRL_C = b"\x03"
CTRL_D = b"\x04"


class Terminal:
    """A client at a pseudo-terminal of its own; a thread reads the screen."""

    def __init__(self, *arguments: str) -> None:
        self._keyboard, person = pty.openpty()
        self._screen = bytearray()
        self._changed = threading.Condition()
        try:
            self.process = start_process(
                ["-c", TAKE_TERMINAL, "udp_client.py", *arguments],
                stdin=person,
                stdout=person,
                stderr=person,
                start_new_session=True,
                # As in most people's locales: Python is more lenient in the tests' own.
                variables={
                    "PYTHONIOENCODING": "utf-8:strict",
                    "NO_COLOR": "1",
                },
            )
        finally:
            os.close(person)
        self._wake_receiver, self._wake_sender = os.pipe()
        self._thread = threading.Thread(target=self._read, name="screen")
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.close_window()

    def close_window(self) -> None:
        """What the client sees as a hangup. Idempotent."""
        if self._thread.is_alive():
            os.write(self._wake_sender, b"\0")
            self._thread.join()
        for descriptor in (self._keyboard, self._wake_receiver, self._wake_sender):
            if descriptor >= 0:
                os.close(descriptor)
        self._keyboard = self._wake_receiver = self._wake_sender = -1

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._keyboard, self._wake_receiver], [], [])
            if self._wake_receiver in ready:
                return
            try:
                data = os.read(self._keyboard, 4096)
            except OSError:  # EIO: the client, which had the other end, is gone
                return
            if not data:
                return
            with self._changed:
                self._screen += data
                self._changed.notify_all()

    def type(self, keys: bytes | str) -> None:
        os.write(self._keyboard, keys.encode() if isinstance(keys, str) else keys)

    def screen(self) -> str:
        """All that was ever on it, control sequences included."""
        with self._changed:
            return self._screen.decode("utf-8", "replace")

    def wait_for(self, pattern: str) -> None:
        """Waits until some line on the screen matches."""
        search = re.compile(pattern, re.MULTILINE).search
        with self._changed:
            if not self._changed.wait_for(
                lambda: search(self._screen.decode("utf-8", "replace")), WAIT_SECONDS
            ):
                raise NeverCame(f"{pattern} on the screen: {bytes(self._screen)!r}")

    def press_ctrl_c(self) -> int:
        """Presses it twice on an empty line; returns the exit code."""
        self.type(CTRL_C)
        self.wait_for("Press Ctrl-C again to leave")
        self.type(CTRL_C)
        return self.wait()

    def wait(self) -> int:
        try:
            return self.process.wait(WAIT_SECONDS)
        except subprocess.TimeoutExpired:
            raise NeverCame(f"the end; on the screen: {bytes(self._screen)!r}") from None


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        yield server


def test_a_typed_line_comes_back_in_its_place_and_ctrl_d_leaves(server: Server) -> None:
    with (
        Client(server.address, "Anna") as anna,
        Terminal(server.address, "--name", "Boris") as boris,
    ):
        boris.wait_for("You are Boris in the room “chat”")
        boris.type("привет\n")
        anna.wait_event("chat", text="привет", name="Boris")
        boris.wait_for("Boris: привет\r$")
        anna.say("hello")
        boris.wait_for("Anna: hello\r$")
        boris.type(CTRL_D)
        assert boris.wait() == 0
        boris.wait_for("You left.")
        assert "Traceback" not in boris.screen()
        assert anna.wait_event("leave")["reason"] == "left"


@pytest.mark.parametrize("while_typing", ["", "half a li"])
def test_ctrl_c_leaves(server: Server, while_typing: str) -> None:
    with (
        Client(server.address, "Anna") as anna,
        Terminal(server.address, "--name", "Boris") as boris,
    ):
        boris.wait_for("You are Boris")
        anna.wait_event("join", name="Boris")
        boris.type("whole line\n")
        boris.wait_for("Boris: whole line\r$")
        boris.type(while_typing)
        if while_typing:
            boris.wait_for(while_typing)
            boris.type(CTRL_C)
        assert boris.press_ctrl_c() == 0
        boris.wait_for("You left.")
        assert "Traceback" not in boris.screen()
        assert anna.wait_event("leave")["reason"] == "left"
        assert [text for _, _, text in anna.chat()] == ["whole line"]


def test_the_russian_word_for_leaving_leaves(server: Server) -> None:
    with (
        Client(server.address, "Anna") as anna,
        Terminal(server.address, "--name", "Борис", "--lang", "ru") as boris,
    ):
        boris.wait_for("Вы — Борис")
        boris.type("выйти\n")
        assert boris.wait() == 0
        boris.wait_for("Вы вышли.")
        assert anna.wait_event("leave")["reason"] == "left"


def test_typed_bytes_that_are_not_utf_8_end_nothing(server: Server) -> None:
    with (
        Client(server.address, "Anna") as anna,
        Terminal(server.address, "--name", "Boris") as boris,
    ):
        boris.wait_for("You are Boris")
        boris.type(b"caf\xe9\n")
        boris.type("go on\n")
        anna.wait_event("chat", text="go on")
        boris.type(CTRL_D)
        assert boris.wait() == 0
        assert "Traceback" not in boris.screen()


def test_a_closed_window_leaves(server: Server) -> None:
    with (
        Client(server.address, "Anna") as anna,
        Terminal(server.address, "--name", "Boris") as boris,
    ):
        boris.wait_for("You are Boris")
        boris.close_window()
        assert boris.wait() == 0
        assert anna.wait_event("leave")["reason"] == "left"
