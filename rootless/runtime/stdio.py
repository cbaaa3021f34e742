"""The payload's standard streams.

A pipe or a socket of the caller is handed to the payload as it is: bytes and ends of files pass
without us. A terminal or a regular file is not: through /proc/self/fd the payload could open it
again for writing, or feed keys into the terminal. These are pumped through pipes, as everything is
that a pseudo-terminal carries.
"""

from __future__ import annotations

import os
import stat

from rootless.kernel.channel import null_fd


class Stdio:
    """The three streams as both sides see them; made before the keeper is forked.

    container[n] is what the payload gets as stream n; launcher[n] is our end of the pipe when
    stream n is pumped, else -1.
    """

    def __init__(self) -> None:
        self.container = [-1, -1, -1]
        self.launcher = [-1, -1, -1]
        for number in range(3):
            self._prepare(number)

    def _prepare(self, number: int) -> None:
        if _is_safe_to_share(number):
            self.container[number] = number
            return
        read_end, write_end = os.pipe()
        ours, theirs = (write_end, read_end) if number == 0 else (read_end, write_end)
        self.launcher[number], self.container[number] = ours, theirs

    def close_container_side(self) -> None:
        """Close the payload's ends of the pipes: in every process but the payload's."""
        for number, fd in enumerate(self.container):
            if self.launcher[number] >= 0 and fd >= 0:
                os.close(fd)
                self.container[number] = -1

    def close_launcher_side(self) -> None:
        """Close our ends: in every process but the launcher."""
        for number, fd in enumerate(self.launcher):
            if fd >= 0:
                os.close(fd)
                self.launcher[number] = -1

    def give_to(self, uid: int, gid: int) -> None:
        """Let the payload's user open /dev/stdout and its like again: our pipes become its own."""
        for number, fd in enumerate(self.container):
            if self.launcher[number] >= 0:
                os.fchown(fd, uid, gid)

    def install(self, *, interactive: bool) -> None:
        """Make them 0, 1 and 2 of this process, which execs the payload."""
        if not interactive:
            self.container[0] = null_fd()
        for number, fd in enumerate(self.container):
            if fd == number:
                os.set_inheritable(fd, True)
            else:
                os.dup2(fd, number)


def _is_safe_to_share(fd: int) -> bool:
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return False
    if stat.S_ISCHR(mode):
        return os.fstat(fd).st_rdev == os.makedev(1, 3)  # /dev/null
    return stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)
