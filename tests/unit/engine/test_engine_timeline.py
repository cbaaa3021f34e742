"""--explain-start: moments of several processes in one order."""

from __future__ import annotations

import re
import time

from rootless.engine.timeline import Timeline


def test_moments_of_other_processes_are_sorted_in() -> None:
    timeline = Timeline()
    timeline.mark("ours")
    now = time.monotonic_ns()
    timeline.add([("last", now + 5_000_000), ("middle", now + 2_000_000)])
    lines = timeline.lines()
    assert [line.rpartition("  ")[2] for line in lines] == ["ours", "middle", "last"]
    parts = [re.fullmatch(r" *([0-9.]+) ms  \+ *([0-9.]+)  \w+", line) for line in lines]
    times = [(float(part[1]), float(part[2])) for part in parts if part]
    assert len(times) == 3, lines
    assert times[2][1] == 3.0
    total = 0.0
    for since_start, step in times:
        total += step
        assert abs(total - since_start) < 0.3, "the steps add up"


def test_the_start_is_before_everything() -> None:
    timeline = Timeline()
    timeline.mark("first")
    assert float(timeline.lines()[0].split()[0]) > 0
    assert Timeline().lines() == []
