"""The user's terminal: its size by any standard stream, raw only where keys come from it."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from rootless import log
from rootless.engine import terminal
from rootless.kernel import pty

STREAMS = (0, 1, 2)


@pytest.fixture
def streams() -> Iterator[int]:
    """Standard streams that are /dev/null, for a test to replace; a terminal of 33 by 101."""
    saved = [os.dup(fd) for fd in STREAMS]
    null = os.open("/dev/null", os.O_RDWR)
    leader, follower = os.openpty()
    pty.set_size(leader, 33, 101)
    for fd in STREAMS:
        os.dup2(null, fd)
    yield follower
    for number, fd in zip(STREAMS, saved, strict=True):
        os.dup2(fd, number)
    for fd in (*saved, null, leader, follower):
        os.close(fd)


@pytest.mark.parametrize("number", STREAMS)
def test_the_size_is_that_of_the_stream_that_is_a_terminal(streams: int, number: int) -> None:
    assert terminal.size() is None
    os.dup2(streams, number)
    assert terminal.size() == (33, 101)


def test_the_size_is_handed_on(streams: int) -> None:
    leader, follower = os.openpty()
    pty.set_size(leader, 5, 6)
    terminal.copy_size(leader)
    assert os.get_terminal_size(follower) == (6, 5)
    os.dup2(streams, 1)
    terminal.copy_size(leader)
    assert os.get_terminal_size(follower) == (101, 33)
    os.close(leader)
    os.close(follower)


def test_raw_only_where_keys_come_from_a_terminal(
    streams: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(log, "notice", said.append)
    os.dup2(streams, 1)
    assert terminal.raw_mode() is None
    assert len(said) == 1
    os.dup2(streams, 0)
    mode = terminal.raw_mode()
    assert mode is not None
    assert len(said) == 1
    mode.restore()
