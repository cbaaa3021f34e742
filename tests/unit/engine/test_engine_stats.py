from __future__ import annotations

import pytest

from rootless.engine import stats
from rootless.engine.stats import Sample


def sample(at: float, cpu_usec: int | None, pid: int = 7) -> Sample:
    made = Sample("a" * 64, "a")
    made.at, made.cpu_usec, made.pid = at, cpu_usec, pid
    return made


@pytest.mark.parametrize(
    ("before", "now", "percent"),
    [
        (sample(1, 0), sample(2, 500_000), 50),
        (sample(1, 1_000_000), sample(5, 9_000_000), 200),
        (sample(1, 5), sample(2, 5), 0),
        # A process that was summed up and whose parent did not wait for it.
        (sample(1, 500), sample(2, 400), 0),
        (None, sample(2, 400), None),
        (sample(1, None), sample(2, 400), None),
        (sample(1, 0), sample(2, None), None),
        # Started again meanwhile.
        (sample(1, 0, pid=6), sample(2, 400), None),
        (sample(1, 0), sample(1, 400), None),
    ],
)
def test_cpu_percent(before: Sample | None, now: Sample, percent: float | None) -> None:
    assert stats.cpu_percent(before, now) == percent
