"""Processes that outlive a container's first one where no pid namespace of its own ends them.

With `--pid host` the keeper becomes their parent when theirs ends (PR_SET_CHILD_SUBREAPER), so none
gets away from it. Only when the keeper itself is killed do they go to the host's init. With
`--pid container:NAME` the kernel gives them to the other container's first process; where there is
no control group to end them with, they are known by the root directory that they have.
"""

from __future__ import annotations

import os
import time

from rootless.kernel import libc, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


# Seconds for what was sent SIGKILL to be gone.
_PAUSE = 0.002


def adopt() -> None:
    """Be the parent of every descendant whose own parent has ended."""
    libc.prctl(libc.PR_SET_CHILD_SUBREAPER, 1)


def reap(*spared: int) -> None:
    """Collect children that have ended, but for those that somebody else waits for."""
    for pid in _children(spared):
        os.waitpid(pid, os.WNOHANG)


def end(*spared: int) -> None:
    """SIGKILL all children, and what comes to us from them, until none but the spared are left."""
    while children := list(_children(spared)):
        for pid in children:
            os.kill(pid, signals.SIGKILL)
        for pid in children:
            os.waitpid(pid, 0)


def end_in_root(root: os.stat_result) -> None:
    """SIGKILL every process whose root directory is `root`, until there is none."""
    while sum(_kill_in_root(int(name), root) for name in os.listdir("/proc") if name.isdecimal()):
        time.sleep(_PAUSE)


def _kill_in_root(pid: int, root: os.stat_result) -> bool:
    try:
        fd = os.pidfd_open(pid)
    except OSError:
        return False
    try:
        # After the pidfd: the process that has this root is the one that it stands for.
        if not os.path.samestat(os.stat(f"/proc/{pid}/root"), root):
            return False
        signals.pidfd_send_signal(fd, signals.SIGKILL)
        return True
    except OSError:
        return False  # ended, or somebody else's
    finally:
        os.close(fd)


def _children(spared: tuple[int, ...]) -> Iterator[int]:
    try:
        with open("/proc/thread-self/children") as file:
            words = file.read().split()
    except FileNotFoundError:
        words = []  # a kernel without CONFIG_PROC_CHILDREN
    return (pid for pid in map(int, words) if pid not in spared)
