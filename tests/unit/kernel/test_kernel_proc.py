"""Processes told apart by pid and start time; killed, and nobody else."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from rootless.kernel import libc, proc, signals


def test_a_process_and_its_start_time() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        started = proc.start_time(child.pid)
        assert started >= proc.start_time(os.getpid()) > 0
        assert proc.is_alive(child.pid, started)
        assert not proc.is_alive(child.pid, started + 1)
        assert not proc.is_alive(child.pid, 0)
        child.kill()
    assert proc.start_time(child.pid) == 0
    assert not proc.is_alive(child.pid, started)


@pytest.mark.parametrize("pid", [0, -1])
def test_numbers_that_are_no_process(pid: int) -> None:
    assert not proc.is_alive(pid, 1)
    assert proc.kill_and_wait(pid, 1)
    assert proc.kill_and_wait(pid, 0)


def test_a_zombie_has_ended() -> None:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert proc.start_time(pid) == 0
    os.waitpid(pid, 0)


def test_a_name_with_parentheses_and_spaces() -> None:
    pid = os.fork()
    if pid == 0:
        libc.prctl_name(") S 0 0 (")
        time.sleep(60)
        os._exit(0)
    own = proc.start_time(os.getpid())
    try:
        while Path(f"/proc/{pid}/comm").read_text() != ") S 0 0 (\n":
            time.sleep(0.01)
        assert proc.start_time(pid) >= own
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def test_the_boot_id_is_the_kernels() -> None:
    assert proc.boot_id() == proc.boot_id()
    assert [len(part) for part in proc.boot_id().split("-")] == [8, 4, 4, 4, 12]


def test_kill_and_wait() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert proc.kill_and_wait(child.pid, proc.start_time(child.pid))
        assert child.wait() == -signal.SIGKILL


def test_a_pid_that_was_given_to_another_is_spared() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        assert proc.kill_and_wait(child.pid, proc.start_time(child.pid) - 1)
        assert child.poll() is None
        child.kill()


def test_a_signal_by_descriptor_reaches_that_very_process() -> None:
    with subprocess.Popen(["sleep", "60"]) as child:
        started = proc.start_time(child.pid)
        fd = proc.open_pidfd(child.pid, started)
        signals.send(fd, signal.SIGTERM)
        assert child.wait() == -signal.SIGTERM
    signals.send(fd, signal.SIGTERM)
    os.close(fd)
    assert proc.open_pidfd(child.pid, started) == -1


def test_no_descriptor_of_a_pid_that_was_given_to_another() -> None:
    before = os.listdir("/proc/self/fd")
    assert proc.open_pidfd(os.getpid(), proc.start_time(os.getpid()) - 1) == -1
    assert proc.open_pidfd(0, 0) == -1
    assert os.listdir("/proc/self/fd") == before


def test_a_signal_that_may_not_be_sent_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, number: int) -> None:
        raise PermissionError

    monkeypatch.setattr(signals, "pidfd_send_signal", refuse)
    with pytest.raises(PermissionError):
        signals.send(0, signal.SIGTERM)


def test_a_process_that_ends_between_two_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    with subprocess.Popen(["true"]) as child:
        pass
    monkeypatch.setattr(proc, "is_alive", lambda pid, started: True)
    assert proc.kill_and_wait(child.pid, 5)


def test_it_gives_up_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process in uninterruptible sleep does not end; here the signal never reaches it."""
    monkeypatch.setattr(signals, "pidfd_send_signal", lambda fd, number: None)
    with subprocess.Popen(["sleep", "60"]) as child:
        assert not proc.kill_and_wait(child.pid, proc.start_time(child.pid), timeout_ms=20)
        child.kill()


def test_no_descriptor_stays_open() -> None:
    before = os.listdir("/proc/self/fd")
    with subprocess.Popen(["sleep", "60"]) as child:
        proc.kill_and_wait(child.pid, proc.start_time(child.pid))
    assert os.listdir("/proc/self/fd") == before
