from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model.units import parse_duration, parse_size


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("0", 0),
        ("65536", 65536),
        ("64m", 64 << 20),
        ("64M", 64 << 20),
        ("64mb", 64 << 20),
        ("64MiB", 64 << 20),
        ("64 m", 64 << 20),
        ("10b", 10),
        ("1.5k", 1536),
        ("2g", 2 << 30),
        ("1t", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "m", "-1", "1x", "64mm", "1e5", "1.2.3m", "٣", "9" * 400])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0), ("10s", 10), ("1h30m", 5400), ("250ms", 0.25), ("1.5m", 90), ("2m3ms", 120.003)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "10", "s", "-1s", "1d", "10sx", "1 s", "1h30"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="not a duration"):
        parse_duration(text)
