"""How long answers are waited for."""

from __future__ import annotations

import pytest

from rootless.engine.doctor import examine


@pytest.mark.parametrize(
    ("start", "seconds"), [(0.1, 1.5), (0.125, 1.5), (1.0, 12.0), (60.0, 20.0)]
)
def test_a_slow_machine_gets_more_time(start: float, seconds: float) -> None:
    assert examine._patience(start) == seconds


def test_what_our_own_start_has_taken() -> None:
    assert 0 < examine._seconds_so_far() < 3600
