"""The keys that leave a terminal."""

from __future__ import annotations

import pytest

from rootless.errors import UsageError
from rootless.model.detach_keys import DetachKeys, parse


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("", b""),
        ("a", b"a"),
        ("ctrl-a,B,ctrl-Z", b"\x01B\x1a"),
        ("ctrl-@,ctrl-[,ctrl-\\,ctrl-],ctrl-^,ctrl-_", b"\x00\x1b\x1c\x1d\x1e\x1f"),
        ("-", b"-"),
    ],
)
def test_sequences(text: str, expected: bytes) -> None:
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-pq", "alt-x", "ab", "a,", ",", "é", "ctrl-1"])
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(UsageError, match="is no key"):
        parse(text)


def fed(sequence: bytes, *pieces: bytes) -> tuple[bytes, bool]:
    """What passes of all `pieces`, up to a complete sequence."""
    keys, passed = DetachKeys(sequence), b""
    for piece in pieces:
        more, complete = keys.feed(piece)
        passed += more
        if complete:
            return passed, True
    return passed, False


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ((b"abc\x10\x11def",), (b"abc", True)),
        ((b"abc\x10", b"\x11"), (b"abc", True)),
        ((b"\x10", b"x"), (b"\x10x", False)),
        ((b"\x10\x10", b"\x11"), (b"\x10", True)),
        ((b"\x10",), (b"", False)),
        ((b"\x11\x10", b"", b"\x11"), (b"\x11", True)),
        ((b"plain",), (b"plain", False)),
    ],
)
def test_a_sequence_in_what_is_typed(pieces: tuple[bytes, ...], expected: object) -> None:
    assert fed(b"\x10\x11", *pieces) == expected


def test_a_beginning_that_repeats_itself() -> None:
    assert fed(b"aab", b"a", b"a", b"a", b"b") == (b"a", True)
    assert fed(b"abac", b"ab", b"ab", b"ac") == (b"ab", True)


def test_without_a_sequence_everything_passes() -> None:
    assert fed(b"", b"\x10\x11", b"x") == (b"\x10\x11x", False)
