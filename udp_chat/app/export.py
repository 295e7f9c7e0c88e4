"""`--export`: writes what a room's file keeps, as events or as text. No server need be running."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from udp_chat.app.command_sentences import COMMANDS
from udp_chat.app.lines import event_line
from udp_chat.app.standard_streams import complain, discard_output
from udp_chat.client.chat_events import of_room
from udp_chat.protocol.printable import printable
from udp_chat.server.keeping import CannotKeep, kept_events


def export(path: str, out: str, language: str, *, as_text: bool) -> int:
    """Writes the events of a file to another one, or to stdout (-); returns the exit code."""
    try:
        if out != "-" and Path(out).exists() and Path(path).exists() and Path(out).samefile(path):
            raise CannotKeep("keep_export_to_itself")
        events = kept_events(path)
        first = next(events, None)  # what is wrong with the file is said before `out` is touched
        with _opened(out) as stream:
            while first is not None:
                event = of_room(*first, history=False)
                line = event_line(event, language) if as_text else json.dumps(event)
                if line:
                    stream.write(f"{line}\n")
                first = next(events, None)
            stream.flush()
    except CannotKeep as error:
        complain(why_not_kept(error, path, language))
        return 1
    except BrokenPipeError:  # nobody reads the output any more (`... | head`)
        discard_output()
    except OSError as error:
        reason = error.strerror or str(error)
        complain(COMMANDS.sentence(language, "cannot_write", path=printable(out), reason=reason))
        return 1
    return 0


def why_not_kept(error: CannotKeep, path: str, language: str) -> str:
    """A sentence: what is wrong with the file of a room."""
    return COMMANDS.sentence(language, error.reason, path=printable(path), reason=error.text)


@contextlib.contextmanager
def _opened(out: str) -> Iterator[TextIO]:
    if out == "-":
        yield sys.stdout
        return
    with Path(out).open("w", encoding="utf-8") as stream:
        yield stream
