"""Owner and mode beside a file."""

from __future__ import annotations

import pytest

from rootless.model import statmark


@pytest.mark.parametrize(
    ("mark", "text"),
    [((0, 0, 0o755), b"0:0:0755"), ((33, 4294967294, 0o6711), b"33:4294967294:6711")],
)
def test_there_and_back(mark: tuple[int, int, int], text: bytes) -> None:
    assert statmark.text(*mark) == text
    assert statmark.parse(text) == mark


def test_what_others_write() -> None:
    # containers/storage writes a leading zero, fuse-overlayfs a type behind the mode.
    assert statmark.parse(b"1:2:0100644") is None
    assert statmark.parse(b"1:2:755:dir") == (1, 2, 0o755)


@pytest.mark.parametrize("text", [b"", b"1:2", b"a:b:c", b"-1:0:755", b"4294967295:0:755", b"\xff"])
def test_damaged(text: bytes) -> None:
    assert statmark.parse(text) is None
