"""Processes that outlive a container's first one where no pid namespace ends them (`--pid host`).

The keeper becomes their parent when theirs ends (PR_SET_CHILD_SUBREAPER), so none gets away from
it. Only when the keeper itself is killed do they go to the host's init.
"""

from __future__ import annotations

import os

from rootless.kernel import libc, signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator


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


def _children(spared: tuple[int, ...]) -> Iterator[int]:
    try:
        with open("/proc/thread-self/children") as file:
            words = file.read().split()
    except FileNotFoundError:
        words = []  # a kernel without CONFIG_PROC_CHILDREN
    return (pid for pid in map(int, words) if pid not in spared)
