"""How much an object keeps in memory, looked at from outside."""

from __future__ import annotations

import gc
import types
from collections import deque
from enum import Enum

_OPAQUE = (
    type,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.CodeType,
    Enum,
)
"""They exist once, whatever refers to them."""


def cells(thing: object) -> int:
    """The number of entries in all containers that can be reached from an object.

    A table without a bound shows here, whatever it is called.
    """
    seen = {id(thing)}
    waiting = [thing]
    count = 0
    while waiting:
        current = waiting.pop()
        if isinstance(current, dict | list | set | deque):
            count += len(current)
        for other in gc.get_referents(current):
            if id(other) not in seen and not isinstance(other, _OPAQUE):
                seen.add(id(other))
                waiting.append(other)
    return count
