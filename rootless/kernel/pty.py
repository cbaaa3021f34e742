"""Pseudo-terminals (pty(7), ioctl_tty(2))."""

from __future__ import annotations

import fcntl
import os
import struct
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# asm-generic/ioctls.h; the termios module has no names for them.
_TIOCSPTLCK = 0x40045431
_TIOCGPTPEER = 0x5441


def set_size(fd: int, rows: int, columns: int) -> None:
    """TIOCSWINSZ; the foreground group gets SIGWINCH."""
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))


def unlock(leader: int) -> None:
    """Make the follower usable."""
    fcntl.ioctl(leader, _TIOCSPTLCK, struct.pack("i", 0))


def open_follower(leader: int) -> int:
    """The other side (TIOCGPTPEER): by no path, which may lead to another device."""
    return fcntl.ioctl(leader, _TIOCGPTPEER, os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)


def make_controlling(follower: int) -> None:
    """TIOCSCTTY: the terminal of the calling session, which must have none."""
    fcntl.ioctl(follower, termios.TIOCSCTTY, 0)


class Mode:
    """The mode of terminal `fd` as it is now, to come back to."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._saved: list[Any] = termios.tcgetattr(fd)

    def make_raw(self) -> None:
        """Keys go through untouched; the terminal at the other end interprets them."""
        raw = termios.tcgetattr(self.fd)
        iflag, oflag, cflag, lflag, control = 0, 1, 2, 3, 6
        raw[iflag] &= ~(
            termios.IGNBRK | termios.BRKINT | termios.PARMRK | termios.ISTRIP | termios.INLCR
            | termios.IGNCR | termios.ICRNL | termios.IXON
        )  # fmt: skip
        raw[oflag] &= ~termios.OPOST
        raw[cflag] = raw[cflag] & ~(termios.CSIZE | termios.PARENB) | termios.CS8
        raw[lflag] &= ~(
            termios.ECHO | termios.ECHONL | termios.ICANON | termios.ISIG | termios.IEXTEN
        )
        raw[control] = list(raw[control])
        raw[control][termios.VMIN], raw[control][termios.VTIME] = 1, 0
        termios.tcsetattr(self.fd, termios.TCSANOW, raw)

    def restore(self) -> None:
        """Back to the mode that was; harmless when repeated, or when the terminal is gone."""
        try:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self._saved)
        except termios.error:
            pass
