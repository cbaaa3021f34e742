from __future__ import annotations

import pytest

from rootless.model.digits import number


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("7", 7), ("007", 7), ("00", 0), ("65535", 65535), ("0" * 9999 + "1", 1)],
)
def test_numbers(text: str, expected: int) -> None:
    assert number(text, 0, 65535) == expected


@pytest.mark.parametrize(
    "text", ["", " 1", "1 ", "+1", "-1", "1_0", "0x1", "1.0", "²", "٣", "65536", "9" * 9999]
)
def test_what_is_no_number(text: str) -> None:
    assert number(text, 0, 65535) is None


def test_the_least_counts_too() -> None:
    assert number("1", 2, 9) is None
    assert number("0", 1, 9) is None
    assert number("2", 2, 9) == 2
