"""Owners beside files: the value of the attribute, and what a container may have written there."""

from __future__ import annotations

import stat

import pytest

from rootless.model import ownermark
from rootless.model.ownermark import OwnerMark


@pytest.mark.parametrize(
    ("mark", "text"),
    [
        (OwnerMark(0, 0, 0o644), b"0:0:0644"),
        (OwnerMark(2**32 - 2, 70000, 0o4755), b"4294967294:70000:4755"),
        (OwnerMark(0, 6, 0o660, stat.S_IFBLK, (8, 1)), b"0:6:0660:block-8-1"),
        (OwnerMark(0, 0, 0o666, stat.S_IFCHR, (1, 3)), b"0:0:0666:char-1-3"),
    ],
)
def test_there_and_back(mark: OwnerMark, text: bytes) -> None:
    assert mark.text() == text
    assert ownermark.parse(text) == mark


@pytest.mark.parametrize(
    "text",
    [
        b"", b"1", b"1:2", b"a:b:c", b"-1:0:0644", b"4294967295:0:0644", b"0:0:9", b"0:0:0644:char",
        b"0:0:0644:char-1", b"0:0:0644:pipe-1-2", b"0:0:0644:char--1-2", b"0:0:0:char-0-0",
        b"\xff:0:0", b"1:2:77777",
    ],
)  # fmt: skip
def test_what_is_none(text: bytes) -> None:
    assert ownermark.parse(text) is None


def test_when_a_file_needs_one() -> None:
    assert not OwnerMark(0, 0, 0o4755).is_needed
    assert OwnerMark(1, 0, 0).is_needed and OwnerMark(0, 1, 0).is_needed
    assert OwnerMark(0, 0, 0, stat.S_IFCHR, (1, 3)).is_needed
