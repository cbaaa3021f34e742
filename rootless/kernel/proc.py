"""Processes told apart for good: a pid with its start time, on this boot of this host (proc(5))."""

from __future__ import annotations

import os

from rootless.kernel import signals


def start_time(pid: int) -> int:
    """When `pid` started, in clock ticks since boot; 0 when there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name, in parentheses, may hold anything: fields are counted after the last ")".
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return 0
    # A zombie has ended: nobody but its parent has anything to do with it any more.
    return 0 if fields[0] in (b"Z", b"X") else int(fields[19])


def is_alive(pid: int, started: int) -> bool:
    """Whether the process that had `pid` and `started` still runs."""
    return pid > 0 and started > 0 and start_time(pid) == started


def host() -> str:
    """This host's name, as records of a store that several hosts share have it.

    RL_HOST says otherwise: for what ran on a host that has another name now, or is no more.
    """
    return os.environ.get("RL_HOST") or os.uname().nodename


_boot_id = ""


def boot_id() -> str:
    """The kernel's name for this boot."""
    global _boot_id
    if not _boot_id:
        with open("/proc/sys/kernel/random/boot_id") as file:
            _boot_id = file.read().strip()
    return _boot_id


def open_pidfd(pid: int, started: int) -> int:
    """A pidfd of the process that had `pid` and `started`, -1 when it has ended."""
    if not is_alive(pid, started):
        return -1
    try:
        fd = os.pidfd_open(pid)
    except ProcessLookupError:
        return -1
    # Looked at again: the number may have become somebody else's before it was opened.
    if is_alive(pid, started):
        return fd
    os.close(fd)
    return -1


def kill_and_wait(pid: int, started: int, timeout_ms: int = 5000) -> bool:
    """SIGKILL that very process and wait for its end; whether it is gone."""
    fd = open_pidfd(pid, started)
    if fd < 0:
        return True
    from rootless.kernel.channel import wait_readable

    try:
        signals.send(fd, signals.SIGKILL)
        return bool(wait_readable([fd], timeout_ms))
    finally:
        os.close(fd)
