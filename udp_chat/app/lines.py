"""What a person types and reads: a line becomes a command, an event becomes a line.

Pure text, in English and Russian. conversation.py takes lines from the keyboard and shows them.
Text from the network passes `printable` before it meets a terminal.
"""

from __future__ import annotations

import contextlib
import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from udp_chat.app.chat_sentences import CHAT
from udp_chat.client.chat_events import ChatEvent
from udp_chat.protocol.addresses import is_local, parse_address, typed_address
from udp_chat.protocol.answers import Link
from udp_chat.protocol.names import RULES
from udp_chat.protocol.printable import printable

EXIT_WORD = "выйти"
"""As a whole line it leaves, as it does in the other chats of compare/."""

ALONE = ("quit", "who", "help", "seen", "stats")
"""Commands that stand alone."""

CHOICES = {"bell": ("on", "mentions", "off"), "joins": ("on", "off"), "notify": ("on", "off")}
"""Commands that take one of a few words."""

HISTORY_DIGITS_MAX = 9
"""More lines than are ever kept. Python refuses to read a number of 5,000 digits."""

NOTICES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("no_such_member", "name_in_use", "not_delivered", "not_delivered_yet"), ()),
    **dict.fromkeys((f"unusable_name_{rule}" for rule in RULES), ()),
    **dict.fromkeys(("disk_full", "not_kept", "kept_again"), ()),
    "files_refused": ("text",),
    "members": ("members", "count"),
    "nothing_said": (),
    "seen": ("text", "count", "total", "members"),
}
"""Notices with a sentence of their own, and the fields that it needs. A server may send any other
code, even the key of another sentence: the code is then shown as it is."""

NOT_KEPT = "refused_not_kept"
"""The sentence of a refusal of which only the text says that the server cannot write its file."""

WITH_TEXT = ("history", "ignore", "me", "msg", "nick", "r", "save", "save!", "say", "search")
"""Commands whose argument is for them to judge."""

VERBS = (*ALONE, *CHOICES, *WITH_TEXT)


LEAVING_WORDS = ("exit", "quit")
"""Alone on a line, a person who types one of them probably wants to leave."""


@dataclass(frozen=True, slots=True)
class Command:
    """What a typed line asks for. `verb` is one of VERBS, or what to answer instead: unknown,
    ambiguous, usage or leaving, whose `text` is the word in question."""

    verb: str
    text: str = ""
    to: str = ""


def parse_line(line: str, *, asks_before_leaving: bool = False) -> Command | None:
    """The command in a typed line; None for an empty one.

    "/say " before any text of one line says that text, even if it looks like a command. Spaces may
    stand before a command, but indented text such as "  // why" is no command. A person, unlike a
    pipe, is asked about a word that probably means to leave.
    """
    stripped = line.strip()
    if not stripped:
        return None
    if stripped.casefold() == EXIT_WORD:
        return Command("quit")
    if asks_before_leaving and stripped.casefold() in LEAVING_WORDS:
        return Command("leaving", stripped)
    if line.startswith("//"):
        return Command("say", line[1:])
    if not stripped.startswith("/") or (line[0] != "/" and not stripped[1:2].isalpha()):
        return Command("say", line)
    typed, space, rest = line.lstrip()[1:].partition(" ")
    typed = typed.strip()
    words = meant_verbs(typed)
    if len(words) != 1:
        return Command("ambiguous" if words else "unknown", typed)
    if words[0] == "say" and space:
        return said_line(rest)
    return _with_arguments(words[0], rest.strip())


def meant_verbs(typed: str) -> list[str]:
    """The commands that a word can mean: itself, or all that it abbreviates.

    `save!` destroys a file, so it has no abbreviation.
    """
    folded = typed.casefold()
    if folded in VERBS:
        return [folded]
    if folded in LEAVING_WORDS:
        return ["quit"]
    return [verb for verb in VERBS if folded and verb.startswith(folded) and verb != "save!"]


def _with_arguments(word: str, rest: str) -> Command:
    if word == "help":
        words = meant_verbs(asked := rest.removeprefix("/"))
        if not asked or len(words) == 1:
            return Command(word, words[0] if asked else "")
        return Command("ambiguous" if words else "unknown", asked)
    if word in ALONE:
        return Command(word)
    if word in CHOICES:
        choice = rest.casefold()
        return Command(word, choice) if choice in CHOICES[word] else Command("usage", word)
    if word == "history":
        number = rest.isdecimal() and len(rest) <= HISTORY_DIGITS_MAX
        return Command(word, rest) if number or not rest else Command("usage", word)
    if word == "msg":
        to, _, text = rest.partition(" ")
        to, text = to.removeprefix("@").rstrip(":,"), text.strip()  # as Tab writes a name
        return Command("msg", text, to) if to and text else Command("usage", word)
    return Command(word, rest) if rest else Command("usage", word)


def said_line(line: str) -> Command | None:
    """The command that says a line, where no commands are read; None for an empty line."""
    return Command("say", line) if line.strip() else None


def wrong_line(command: Command, language: str) -> str:
    """What is wrong with a command that is unknown, or lacks something, and what to type."""
    if command.verb == "usage":
        form, _, example = _help_row(command.text, language)
        return CHAT.sentence(language, "usage", text=form, example=example)
    values = {"text": printable(command.text)}
    if command.verb == "leaving":
        return CHAT.sentence(language, "leaving", **values)
    if command.verb == "ambiguous":
        commands = ", ".join(f"/{verb}" for verb in meant_verbs(command.text))
        return CHAT.sentence(language, "ambiguous", commands=commands, **values)
    if near := difflib.get_close_matches(command.text.casefold(), VERBS, 1):
        return CHAT.sentence(language, "unknown_like", command=near[0], **values)
    return CHAT.sentence(language, "unknown", **values)


def nobody_to_answer(language: str) -> str:
    """What /r says where nobody has written in private, and what to type."""
    form, _, example = _help_row("msg", language)
    return CHAT.sentence(language, "nobody_to_answer", text=form, example=example)


def help_text(verb: str, language: str) -> str:
    """The answer to /help: all commands, or one with an example."""
    if not verb:
        return CHAT.sentence(language, "help")
    form, purpose, example = _help_row(verb, language)
    if not example:
        return f"{form}: {purpose}"
    return CHAT.sentence(language, "help_one", text=form, purpose=purpose, example=example)


def _help_row(verb: str, language: str) -> tuple[str, str, str]:
    """How a command is typed, what it does, and an example, empty if it stands alone."""
    rows = CHAT.sentence(language, "help").splitlines()
    row = next(row for row in rows if row.split()[0] == f"/{verb}")
    form, _, purpose = row.partition("  ")
    examples = CHAT.sentence(language, "examples").splitlines()
    example = next((example for example in examples if example.split()[0] == f"/{verb}"), "")
    return form, purpose.strip(), example


def event_line(event: ChatEvent, language: str) -> str | None:
    """The line that shows an event to a person; None if it is not shown."""
    parts = event_parts(event, language)
    return "".join(text for _, text in parts) if parts else None


def event_parts(event: ChatEvent, language: str) -> list[tuple[str, str]]:
    """The same as (field, text), so that names can be coloured; empty if not shown."""
    kind = event["event"]
    if kind == "sent":
        return []  # the message itself comes back in its place
    if kind == "host":
        return _host_parts(event, language)
    values: dict[str, object] = {
        "name": printable(event.get("name", "")),
        "new_name": printable(event.get("new_name", "")),
        "text": printable(event.get("text", "")),
        "to": printable(event.get("to", "")),
        "room": printable(event.get("room", "")),
        "members": printable(", ".join(event.get("members", ()))),
        "count": event.get("count"),
        "total": event.get("total"),
        "reason": printable(event.get("reason", "")),
    }
    key = kind
    if kind == "lost" and event.get("apart"):
        key = "lost_apart"
    elif kind == "lost" and event.get("count") is None:
        key = "lost_unknown"
    elif kind == "notice" and event.get("reason") == "stats":
        return [("", links_table(event.get("links", []), language))]
    elif kind == "notice":
        code = event.get("reason", "")
        general = "unusable_name" if code.startswith("unusable_name") else "notice"
        is_known = code in NOTICES and all(field in event for field in NOTICES[code])
        key = code if is_known else general
    elif kind == "refused":
        why = f"refused_{event.get('reason')}"
        if event.get("text") == CHAT.sentence("en", NOT_KEPT):
            why = NOT_KEPT  # a busy server, but there is nobody to wait for
        if why in CHAT:
            values["text"] = CHAT.sentence(language, why)
    elif f"{kind}_{event.get('reason')}" in CHAT:
        key = f"{kind}_{event.get('reason')}"
    if key == "seen" and values["members"]:
        key = "seen_but"
    parts = CHAT.parts(language, key, **values)
    for mark in ("apart", "history"):
        if event.get(mark):
            before, after = CHAT.sentence(language, mark, line="\0").split("\0")
            parts = [("", before), *parts, ("", after)]
    return parts


def _host_parts(event: ChatEvent, language: str) -> list[tuple[str, str]]:
    """Who hosts the room; empty where that helps nobody."""
    name, address = event.get("name") or "", event.get("address", "")
    is_first = event.get("reason") == "first"
    if is_first and is_local(address):
        return []
    key = ("host_first" if is_first else "host_now") + ("" if name else "_server")
    with contextlib.suppress(ValueError):
        address = typed_address(parse_address(address))
    return CHAT.parts(language, key, name=printable(name), server=printable(address))


def links_table(links: Sequence[Link], language: str) -> str:
    """The answer to /stats: a table of all links, then what only this end knows of its own link."""
    rows = [CHAT.sentence(language, "stats_head").split("|")]
    for link in links:
        n = {key: int(value) for key, value in link.items() if key != "name"}
        sent = n["received"] - n["duplicated"] + n["lost"]
        rows.append(
            [
                printable(str(link["name"])),
                f"{n['rtt_us'] / 1000:.1f}",
                f"{n['rtt_p95_us'] / 1000:.1f}",
                f"{sent}",
                f"{n['lost']}",
                f"{n['duplicated']}",
                f"{n['reordered']}",
                f"{n['sent']}",
                f"{n['repaired']}",
                f"{n['received_bytes'] / 1000:.1f}",
            ]
        )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if number == 0 else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    if links and "down_received" in links[0]:
        lines.append(CHAT.sentence(language, "stats_own", **links[0]))
    return "\n".join(lines)
