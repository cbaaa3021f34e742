"""The user's terminal while a container has it: raw mode, size, and back to how it was."""

from __future__ import annotations

import os
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class RawTerminal:
    """Raw mode on descriptor `fd` from `enter` to `restore`; nothing where it is no terminal."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._saved: list[Any] | None = None

    def enter(self) -> None:
        """Keys go through untouched; the container's own terminal interprets them."""
        if not os.isatty(self.fd):
            return
        self._saved = termios.tcgetattr(self.fd)
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
        """Back to the mode before `enter`; harmless when repeated."""
        if self._saved is not None:
            termios.tcsetattr(self.fd, termios.TCSADRAIN, self._saved)
            self._saved = None


def copy_size(leader: int) -> None:
    """Give the terminal at `leader` the size of ours, if we have one."""
    from rootless.kernel import pty

    for fd in (0, 1, 2):
        if os.isatty(fd):
            size = os.get_terminal_size(fd)
            pty.set_size(leader, size.lines, size.columns)
            return
