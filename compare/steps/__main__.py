"""``python3 -m compare.steps u3`` breaks u2, the step before it, and shows u3 whole.

Several steps may be named; without a name it breaks all. The bad network is a relay on this
machine; only the cut of t4 may need root, and says so. Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from compare.steps.breakage import Breakage
from compare.steps.tcp_breakages import BREAKAGES as OVER_TCP
from compare.steps.udp_breakages import BREAKAGES as OVER_UDP

BREAKAGES = {breakage.step: breakage for breakage in [*OVER_TCP, *OVER_UDP]}


def show(breakage: Breakage) -> bool:
    """Runs one breakage and prints the figures; returns whether they came out as they should."""
    missing = breakage.missing()
    if missing is not None:
        print(f"{breakage.step}: not run: {missing}", flush=True)
        return True
    print(f"{breakage.title}.", flush=True)
    outcomes = breakage.outcomes()
    for step, outcome in zip(breakage.steps, outcomes, strict=True):
        print(f"  {step}: {outcome.says}", flush=True)
    whole = [outcome.is_whole for outcome in outcomes]
    return whole == ([False] if breakage.before is None else [False, True])


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 1 where a step was broken or whole against its text."""
    parser = argparse.ArgumentParser(
        prog="python3 -m compare.steps",
        description="Breaks the step before the one that is named, and shows the named one whole.",
    )
    parser.add_argument("steps", nargs="*", metavar="STEP", help=", ".join(BREAKAGES))
    wanted = parser.parse_args(argv).steps or list(BREAKAGES)
    for step in wanted:
        if step not in BREAKAGES:
            parser.error(f"there is no step {step}, only {', '.join(BREAKAGES)}")
    try:
        shown = [show(BREAKAGES[step]) for step in wanted]
    except KeyboardInterrupt:
        return 1
    return 0 if all(shown) else 1


if __name__ == "__main__":
    sys.exit(main())
