"""Pseudo-terminals: size, numbers, raw mode and the way back."""

from __future__ import annotations

import os
import termios
from collections.abc import Iterator

import pytest

from rootless.kernel import pty


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    leader, follower = os.openpty()
    yield leader, follower
    os.close(leader)
    try:
        os.close(follower)
    except OSError:
        pass  # the test closed it


def test_size(terminal: tuple[int, int]) -> None:
    leader, follower = terminal
    pty.set_size(leader, 33, 101)
    assert os.get_terminal_size(follower) == (101, 33)


def test_the_other_side_of_a_new_terminal() -> None:
    leader = os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    pty.unlock(leader)
    follower = pty.open_follower(leader)
    assert os.ttyname(follower).startswith("/dev/pts/")
    assert not os.get_inheritable(follower)
    os.write(follower, b"through")
    assert os.read(leader, 10) == b"through"
    os.close(follower)
    os.close(leader)


def test_raw_and_back(terminal: tuple[int, int]) -> None:
    leader, follower = terminal
    before = termios.tcgetattr(follower)
    mode = pty.Mode(follower)
    mode.make_raw()
    os.write(leader, b"\x03\x1a\r\x04")
    assert os.read(follower, 10) == b"\x03\x1a\r\x04", "no key means anything to this side"
    os.write(follower, b"a\nb")
    assert os.read(leader, 10) == b"a\nb", "nothing is added to what programs write"
    mode.restore()
    mode.restore()
    assert termios.tcgetattr(follower) == before


def test_a_mode_is_taken_when_it_is_made_and_not_shared(terminal: tuple[int, int]) -> None:
    _, follower = terminal
    before = termios.tcgetattr(follower)
    first = pty.Mode(follower)
    first.make_raw()
    second = pty.Mode(follower)
    first.restore()
    second.restore()
    raw = termios.tcgetattr(follower)
    assert raw != before, "the second mode was raw already"
    first.restore()
    assert termios.tcgetattr(follower) == before


def test_a_terminal_that_is_gone_is_no_error(terminal: tuple[int, int]) -> None:
    _, follower = terminal
    mode = pty.Mode(follower)
    os.close(follower)
    mode.restore()


def test_the_controlling_terminal_of_a_new_session(terminal: tuple[int, int]) -> None:
    _, follower = terminal
    pid = os.fork()
    if pid == 0:
        try:
            os.setsid()
            pty.make_controlling(follower)
            os._exit(0 if os.tcgetpgrp(follower) == os.getpid() else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
