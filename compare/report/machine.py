"""The machine that measures: what the figures depend on, and nothing that says whose it is."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from compare.wire import network
from compare.wire.network import Wire, WireUnavailable

BUSY_SHARE = 0.3
"""A load of so much of each core before the start shows in the figures."""


def _loads() -> tuple[float, ...]:
    """Of the last 1, 5 and 15 minutes, where the system counts it."""
    return os.getloadavg() if hasattr(os, "getloadavg") else ()


@dataclass(frozen=True, slots=True)
class Machine:
    """The one that this runs on; in tests another."""

    proc: Path = Path("/proc")
    loads: Callable[[], tuple[float, ...]] = _loads
    missing: Callable[[], str | None] = network.missing
    """What a wire needs and this machine lacks; None if it can have one."""

    @property
    def cores(self) -> int:
        """That this process may use."""
        if hasattr(os, "sched_getaffinity"):
            return len(os.sched_getaffinity(0))
        return os.cpu_count() or 1

    @property
    def busy(self) -> float:
        """The load, if it is so high that it shows in the figures; else 0."""
        load = (self.loads() or (0.0,))[0]
        return load if load > BUSY_SHARE * self.cores else 0.0

    def describe(self) -> dict[str, str]:
        """What the figures depend on."""
        described = {
            "processor": self._field("cpuinfo", "model name") or platform.processor() or "?",
            "cores": str(self.cores),
            "memory": _gibibytes(self._field("meminfo", "MemTotal")),
            "system": f"{platform.system()} {platform.release()} ({platform.machine()})",
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "congestion control": self._content("sys/net/ipv4/tcp_congestion_control").strip(),
            "congestion control on a wire": _congestion_control_on_a_wire(),
            "load before": " ".join(f"{load:.2f}" for load in self.loads()),
        }
        return {key: value for key, value in described.items() if value}

    def _content(self, path: str) -> str:
        try:
            return (self.proc / path).read_text(encoding="utf-8")
        except OSError:
            return ""

    def _field(self, path: str, key: str) -> str:
        """What a file of /proc first says of a key; empty if it says nothing."""
        for line in self._content(path).splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
        return ""


def _congestion_control_on_a_wire() -> str:
    """The wire's hosts choose for themselves. Empty where no wire is available."""
    try:
        with Wire() as wire:
            return wire.congestion_control
    except WireUnavailable:
        return ""


def _gibibytes(kibibytes: str) -> str:
    """For people. /proc/meminfo tells it in kB."""
    number = kibibytes.removesuffix("kB").strip()
    return f"{int(number) / 1024**2:.1f} GiB" if number.isdecimal() else ""
