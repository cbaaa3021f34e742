"""Which processor a new process begins on.

The kernel may leave a fork behind its parent, on one processor, for as long as that has something
to do, while another idles: up to ten milliseconds, a quarter of a start (decision 0048).
"""

from __future__ import annotations

import os

from rootless.kernel import libc

ALL = os.sched_getaffinity(0)


def begin_elsewhere(pid: int) -> None:
    """Have our child `pid` run on another processor than this process, until `run_anywhere`."""
    others = ALL - {libc.current_cpu()}
    if others:
        _set(pid, others)


def run_anywhere(pid: int = 0) -> None:
    """Let `pid`, by default this process, run on all processors that this program had."""
    _set(pid, ALL)


def _set(pid: int, cpus: set[int]) -> None:
    try:
        os.sched_setaffinity(pid, cpus)
    except OSError:
        pass  # it has ended, or a control group has taken processors away meanwhile
