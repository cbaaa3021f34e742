"""The user's own terminal, while a container's stands for it: its size and its raw mode."""

from __future__ import annotations

import os

from rootless import log
from rootless.kernel import pty


def size() -> tuple[int, int] | None:
    """Rows and columns of the terminal that we run at, None without one."""
    for fd in (0, 1, 2):
        try:
            found = os.get_terminal_size(fd)
        except OSError:
            continue
        return found.lines, found.columns
    return None


def copy_size(leader: int) -> None:
    """Give the terminal at `leader` the size of ours, if we have one."""
    own = size()
    if own is not None:
        pty.set_size(leader, *own)


def raw_mode() -> pty.Mode | None:
    """Have each key go to the container as it is; the mode to restore at the end.

    None, and a notice, where the keys do not come from a terminal.
    """
    if not os.isatty(0):
        log.notice("-t: standard input is not a terminal, keys go to the container as they come")
        return None
    mode = pty.Mode(0)
    mode.make_raw()
    return mode
