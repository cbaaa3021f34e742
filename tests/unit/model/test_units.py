from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model.units import binary_size, parse_size


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
    ("size", "shown"),
    [
        (0, "0B"),
        (1023, "1023B"),
        (1024, "1KiB"),
        (64 * 1024**2, "64MiB"),
        (1_323_302, "1.262MiB"),
        (3 * 2**60, "3EiB"),
        (2**71, "2048EiB"),
    ],
)
def test_binary_size(size: int, shown: str) -> None:
    assert binary_size(size) == shown
