"""The payload's standard streams.

A pipe or a socket of the caller is handed to the payload as it is: bytes and ends of files pass
without us. A terminal, a regular file or a named pipe is not: through /proc/self/fd the payload
could open it again for writing, or feed keys into the terminal. These are pumped through pipes, as
everything is that a pseudo-terminal carries, and the output of a container that keeps a log.
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

    def __init__(self, *, keep: bool = False, detached: bool = False) -> None:
        """keep: the output is kept in a log, too, so all of it passes through us. detached: the
        caller's streams are not the payload's at all."""
        self.container = [-1, -1, -1]
        self.launcher = [-1, -1, -1]
        self._pumped: list[int] = []
        for number in range(3):
            self._prepare(number, shared=not detached and (number == 0 or not keep))

    def _prepare(self, number: int, *, shared: bool) -> None:
        if shared and _is_safe_to_share(number):
            self.container[number] = number
            return
        self._pumped.append(number)
        read_end, write_end = os.pipe()
        _open_to_all(read_end)
        ours, theirs = (write_end, read_end) if number == 0 else (read_end, write_end)
        self.launcher[number], self.container[number] = ours, theirs

    def close_container_side(self) -> None:
        """Close the payload's ends of the pipes: in every process but the payload's."""
        for number in self._pumped:
            if self.container[number] >= 0:
                os.close(self.container[number])
                self.container[number] = -1

    def close_launcher_side(self) -> None:
        """Close our ends: in every process but the launcher."""
        for number, fd in enumerate(self.launcher):
            if fd >= 0:
                os.close(fd)
                self.launcher[number] = -1

    def install(self, *, interactive: bool) -> None:
        """Make them 0, 1 and 2 of this process, which execs the payload."""
        if not interactive:
            self.container[0] = null_fd()
        for number, fd in enumerate(self.container):
            if fd == number:
                os.set_inheritable(fd, True)
            else:
                os.dup2(fd, number)


class NoStdio(Stdio):
    """/dev/null for all of them."""

    def _prepare(self, number: int, *, shared: bool) -> None:
        self.container[number] = null_fd()


class CapturedStdio(Stdio):
    """Nothing to read; what is written to either output comes out of launcher[1]."""

    def _prepare(self, number: int, *, shared: bool) -> None:
        if number == 0:
            self.container[0] = null_fd()
        elif number == 1:
            self.launcher[1], self.container[1] = os.pipe()
            _open_to_all(self.launcher[1])
        else:
            self.launcher[2], self.container[2] = (
                os.dup(self.launcher[1]),
                os.dup(self.container[1]),
            )


def _is_safe_to_share(fd: int) -> bool:
    """Whether the payload may have `fd` itself; a pipe is made ready for that."""
    try:
        info = os.fstat(fd)
    except OSError:
        return False
    if stat.S_ISCHR(info.st_mode):
        return info.st_rdev == os.makedev(1, 3)  # /dev/null
    if not stat.S_ISFIFO(info.st_mode):
        return stat.S_ISSOCK(info.st_mode)
    if info.st_uid != os.geteuid() or info.st_dev != _device_of_pipes():
        return False
    _open_to_all(fd)
    return True


def _open_to_all(pipe: int) -> None:
    """Let the payload's user open /dev/stdout and its like again, whoever that is.

    Only processes that hold the pipe, or may trace one that does, find a path to it.
    """
    os.fchmod(pipe, 0o666)


def _device_of_pipes() -> int:
    ends = os.pipe()
    device = os.fstat(ends[0]).st_dev
    for end in ends:
        os.close(end)
    return device
