"""Pseudo-terminals (pty(7), ioctl_tty(2))."""

from __future__ import annotations

import fcntl
import struct
import termios

# asm-generic/ioctls.h; the termios module has no names for them.
_TIOCSPTLCK = 0x40045431
_TIOCGPTN = 0x80045430


def set_size(fd: int, rows: int, columns: int) -> None:
    """TIOCSWINSZ; the foreground group gets SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def unlock(leader: int) -> int:
    """Make the follower usable; its number below /dev/pts."""
    fcntl.ioctl(leader, _TIOCSPTLCK, struct.pack("i", 0))
    number: int = struct.unpack("I", fcntl.ioctl(leader, _TIOCGPTN, b"\0" * 4))[0]
    return number


def make_controlling(follower: int) -> None:
    """TIOCSCTTY: the terminal of the calling session, which must have none."""
    fcntl.ioctl(follower, termios.TIOCSCTTY, 0)
