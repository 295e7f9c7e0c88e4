"""What a terminal sends (ECMA-48 and xterm's sequences, UTF-8) becomes keys and text. Pure."""

from __future__ import annotations

import codecs
import re
from dataclasses import dataclass
from enum import Enum, auto

SEQUENCE_CHARACTERS_MAX = 64
"""No key's sequence is longer. More is noise, and nothing waits for its end."""

PASTED_TAB = "    "
"""A message keeps no tabs; four blanks keep the indentation of pasted code."""

PASTED_LINES_MAX = 5
"""A paste of more lines is probably more than somebody wants to say at once."""

PASTED_CHARACTERS_MAX = 1_000_000
"""A longer paste is not taken: all of it waits in memory until its end comes."""


@dataclass(frozen=True, slots=True)
class Paste:
    """A long pasted text; without lines if it was too long."""

    lines: tuple[str, ...]


class Key(Enum):
    ENTER = auto()
    INTERRUPT = auto()
    END_OF_INPUT = auto()
    LEFT = auto()
    RIGHT = auto()
    WORD_LEFT = auto()
    WORD_RIGHT = auto()
    HOME = auto()
    END = auto()
    UP = auto()
    DOWN = auto()
    BACKSPACE = auto()
    DELETE = auto()
    KILL_LEFT = auto()
    KILL_RIGHT = auto()
    KILL_WORD_LEFT = auto()
    KILL_WORD_RIGHT = auto()
    YANK = auto()
    COMPLETE = auto()
    CLEAR_SCREEN = auto()
    END_SEARCH = auto()
    """No key of a keyboard: ends a search, and is nothing without one."""
    FOCUS_IN = auto()
    FOCUS_OUT = auto()
    UNDO = auto()
    SEARCH = auto()
    CANCEL = auto()
    ESCAPE = auto()


_CONTROLS = {
    "\x01": Key.HOME,
    "\x02": Key.LEFT,
    "\x03": Key.INTERRUPT,
    "\x04": Key.END_OF_INPUT,
    "\x05": Key.END,
    "\x06": Key.RIGHT,
    "\x07": Key.CANCEL,
    "\x08": Key.BACKSPACE,
    "\t": Key.COMPLETE,
    "\n": Key.ENTER,
    "\x0b": Key.KILL_RIGHT,
    "\x0c": Key.CLEAR_SCREEN,
    "\r": Key.ENTER,
    "\x0e": Key.DOWN,
    "\x10": Key.UP,
    "\x12": Key.SEARCH,
    "\x15": Key.KILL_LEFT,
    "\x17": Key.KILL_WORD_LEFT,
    "\x19": Key.YANK,
    "\x1f": Key.UNDO,
    "\x7f": Key.BACKSPACE,
}

_SEQUENCES = {
    "[A": Key.UP,
    "[B": Key.DOWN,
    "[C": Key.RIGHT,
    "[D": Key.LEFT,
    "[F": Key.END,
    "[H": Key.HOME,
    "[I": Key.FOCUS_IN,
    "[O": Key.FOCUS_OUT,
    "OA": Key.UP,
    "OB": Key.DOWN,
    "OC": Key.RIGHT,
    "OD": Key.LEFT,
    "OF": Key.END,
    "OH": Key.HOME,
    "[1~": Key.HOME,
    "[3~": Key.DELETE,
    "[4~": Key.END,
    "[7~": Key.HOME,
    "[8~": Key.END,
    "[1;3C": Key.WORD_RIGHT,
    "[1;3D": Key.WORD_LEFT,
    "[1;5C": Key.WORD_RIGHT,
    "[1;5D": Key.WORD_LEFT,
    "[3;5~": Key.KILL_WORD_RIGHT,
    "b": Key.WORD_LEFT,
    "f": Key.WORD_RIGHT,
    "d": Key.KILL_WORD_RIGHT,
    "\x7f": Key.KILL_WORD_LEFT,
    "\x08": Key.KILL_WORD_LEFT,
}
"""What follows ESC."""

_PASTE_BEGINS = "[200~"
_PASTE_ENDS = "\x1b[201~"

_SEQUENCE = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|O.|[^\x1b\[O])", re.DOTALL)
_SEQUENCE_BEGUN = re.compile(r"\x1b(\[[0-?]*[ -/]*|O)?\Z")


class KeyDecoder:
    """Turns what a terminal sends into keys and text. Sequences may arrive in pieces."""

    def __init__(self) -> None:
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._waiting = ""
        self._pasting = False
        self._pasted_too_much = False
        self._last_control = ""

    @property
    def unfinished(self) -> bool:
        """Whether a sequence has begun. If nothing follows, it was the key ESC alone.

        And Ctrl-C alone, if a paste has no end: the terminal lost it.
        """
        return self._waiting.endswith("\x03") if self._pasting else bool(self._waiting)

    def give_up(self) -> list[Key]:
        """The key ESC, or nothing: drops what is unfinished, as its rest did not come."""
        keys = [Key.ESCAPE] if self._waiting == "\x1b" else []
        self._waiting = ""
        self._pasting = self._pasted_too_much = False
        return keys

    def feed(self, data: bytes) -> list[Key | str | Paste]:
        """The keys pressed; a `str` is text, typed or pasted.

        A pasted line ends with ENTER, but a long paste is one `Paste`.
        """
        self._waiting += self._decoder.decode(data)
        keys: list[Key | str | Paste] = []
        while self._waiting and (self._paste(keys) if self._pasting else self._type(keys)):
            pass
        return keys

    def _type(self, keys: list[Key | str | Paste]) -> bool:
        """Takes one key, or the text before the next; false if its end has not come yet."""
        if self._waiting[0] == "\x1b":
            self._last_control = ""
            found = _SEQUENCE.match(self._waiting)
            if found:
                self._waiting = self._waiting[found.end() :]
                self._sequence(found[1], keys)
            elif len(self._waiting) <= SEQUENCE_CHARACTERS_MAX and _SEQUENCE_BEGUN.match(
                self._waiting
            ):
                return False
            else:
                self._waiting = self._waiting[1:]  # two ESC, or an unknown kind of sequence
            return True
        text, control = _until_control(self._waiting)
        self._waiting = self._waiting[len(text) + len(control) :]
        if text:
            keys.append(text)
            self._last_control = ""
        if control == "\x1b":
            self._waiting = control + self._waiting
        elif control:
            self._control(control, keys)
        return True

    def _control(self, control: str, keys: list[Key | str | Paste]) -> None:
        pair = self._last_control + control
        if pair == "\x18\x15":  # Ctrl-X Ctrl-U
            keys.append(Key.UNDO)
        elif control in _CONTROLS and pair != "\r\n":  # which is one end of a line
            keys.append(_CONTROLS[control])
        self._last_control = control

    def _sequence(self, sequence: str, keys: list[Key | str | Paste]) -> None:
        if sequence == _PASTE_BEGINS:
            self._pasting = True
        elif sequence in _SEQUENCES:
            keys.append(_SEQUENCES[sequence])
        elif len(sequence) == 1 and not sequence.isprintable():
            self._waiting = sequence + self._waiting  # Alt-Enter is Enter; Alt-x is nothing

    def _paste(self, keys: list[Key | str | Paste]) -> bool:
        pasted, ending, rest = self._waiting.partition(_PASTE_ENDS)
        if len(pasted) > PASTED_CHARACTERS_MAX:
            self._pasted_too_much = True
        if not ending:
            if self._pasted_too_much:
                self._waiting = self._waiting[1 - len(_PASTE_ENDS) :]
            return False
        lines = pasted_lines(pasted)
        if self._pasted_too_much:
            keys.append(Paste(()))
        elif len(lines) - (not lines[-1]) > PASTED_LINES_MAX:
            keys.append(Paste(tuple(lines)))
        else:
            if len(lines) > 1:
                keys.append(Key.END_SEARCH)  # what is pasted is sent, and not what was found
            keys.append(lines[0])
            for line in lines[1:]:
                keys += [Key.ENTER, line]
        self._waiting = rest
        self._pasting = self._pasted_too_much = False
        return True


def pasted_lines(text: str) -> list[str]:
    """The lines of a pasted text. The last one is empty if the text ends with a line end."""
    return re.split(r"\r\n|\r|\n", text.replace("\t", PASTED_TAB))


def _until_control(text: str) -> tuple[str, str]:
    """The text before the first control character, and that character."""
    for index, character in enumerate(text):
        if character < " " or character == "\x7f":
            return text[:index], character
    return text, ""
