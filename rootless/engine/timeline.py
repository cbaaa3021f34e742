"""Where the milliseconds of a start went: `--explain-start`."""

from __future__ import annotations

import time

# What the interpreter and the imports so far have cost: nothing has waited yet, so the processor
# time of the process is the time since its exec.
_START = time.monotonic_ns() - time.process_time_ns()


class Timeline:
    """Named moments on CLOCK_MONOTONIC (nanoseconds), which all processes of a host share."""

    def __init__(self) -> None:
        self._moments: list[tuple[int, str]] = []

    def mark(self, name: str) -> None:
        """`name` is done now."""
        self._moments.append((time.monotonic_ns(), name))

    def add(self, moments: list[tuple[str, int]]) -> None:
        """Moments that other processes noted."""
        self._moments += [(when, name) for name, when in moments]

    def lines(self) -> list[str]:
        """One line for each moment: milliseconds since the exec of rl, and since the one before."""
        lines, before = [], _START
        for when, name in sorted(self._moments):
            lines.append(f"{(when - _START) / 1e6:8.1f} ms  +{(when - before) / 1e6:5.1f}  {name}")
            before = when
        return lines
