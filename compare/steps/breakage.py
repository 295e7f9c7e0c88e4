"""What a breakage is: something done to one step, and what comes of it in words."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one step. `is_whole`: it withstood what was done to it."""

    is_whole: bool
    says: str


@dataclass(frozen=True, slots=True)
class Breakage:
    """Breaks a step's predecessor, and shows the step itself whole."""

    step: str
    before: str | None
    """The predecessor; None where a path begins."""
    title: str
    run: Callable[[str], Outcome]
    """Does it to the step of this name."""
    missing: Callable[[], str | None] = lambda: None
    """What this machine lacks for it; None if nothing."""

    @property
    def steps(self) -> list[str]:
        """The predecessor, if there is one, and the step."""
        return [self.step] if self.before is None else [self.before, self.step]

    def outcomes(self) -> list[Outcome]:
        """Does it to all `steps` at once, since most of it is waiting."""
        with ThreadPoolExecutor(len(self.steps)) as pool:
            return list(pool.map(self.run, self.steps))
