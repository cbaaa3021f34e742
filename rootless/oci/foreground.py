"""A run or an exec that its caller waits for: signals go in, a terminal's bytes both ways."""

from __future__ import annotations

import os

from rootless.kernel import signals
from rootless.kernel.channel import wait_readable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.kernel import pty

_CHUNK = 65536
_NOT_PASSED = (signals.SIGCHLD, signals.SIGKILL, signals.SIGSTOP, signals.SIGURG, signals.SIGPIPE,
               signals.SIGSEGV, signals.SIGBUS, signals.SIGFPE, signals.SIGILL)  # fmt: skip


def hold_signals() -> None:
    """Keep them for the process that is about to run; `Foreground` passes them on. Between the two
    one would end us, and leave the process alone."""
    signals.pthread_sigmask(signals.SIG_BLOCK, _passed())


def _passed() -> list[int]:
    return [number for number in signals.valid_signals() if number not in _NOT_PASSED]


class Foreground:
    """Follows process `pid`, a child of ours, to its end. leader: of its terminal, or -1.

    others: descriptor → what to do when it can be read.
    """

    def __init__(self, pid: int, leader: int, others: dict[int, Callable[[], None]]) -> None:
        self._pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._leader = leader
        self._others = others
        self._mode: pty.Mode | None = None
        self._keys = leader >= 0
        self._wakeup, write_end = os.pipe()
        os.set_blocking(write_end, False)
        signals.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        for number in _passed():
            signals.signal(number, _noted)
        signals.pthread_sigmask(signals.SIG_SETMASK, ())
        if leader >= 0:
            self._begin_terminal()

    def _begin_terminal(self) -> None:
        from rootless.kernel import pty

        self._copy_size()
        if os.isatty(0):
            self._mode = pty.Mode(0)
            self._mode.make_raw()

    def _copy_size(self) -> None:
        from rootless.kernel import pty

        for fd in range(3):
            try:
                size = os.get_terminal_size(fd)
            except OSError:
                continue
            pty.set_size(self._leader, size.lines, size.columns)
            return

    def wait(self) -> int:
        """Until it has ended; its wait status."""
        try:
            while self._pidfd not in self._turn():
                pass
            while self._leader >= 0 and self._leader in wait_readable([self._leader], 0):
                self._read_output()
            return os.waitpid(self._pid, 0)[1]
        finally:
            signals.set_wakeup_fd(-1)
            if self._mode is not None:
                self._mode.restore()

    def _turn(self) -> list[int]:
        watched = [self._pidfd, self._wakeup, *self._others]
        watched += [self._leader] if self._leader >= 0 else []
        watched += [0] if self._keys else []
        ready = wait_readable(watched)
        if self._wakeup in ready:
            for number in os.read(self._wakeup, 64):
                self._signal(number)
        if self._leader in ready:
            self._read_output()
        if 0 in ready:
            self._read_keys()
        for fd in self._others:
            if fd in ready:
                self._others[fd]()
        return ready

    def _signal(self, number: int) -> None:
        if number == signals.SIGWINCH and self._leader >= 0:
            self._copy_size()
        elif number not in _NOT_PASSED:
            signals.send(self._pidfd, number)

    def _read_output(self) -> None:
        try:
            data = os.read(self._leader, _CHUNK)
        except OSError:
            data = b""  # the other side is closed
        if not data:
            os.close(self._leader)
            self._leader = -1
        write_all(1, data)

    def _read_keys(self) -> None:
        try:
            data = os.read(0, _CHUNK)
        except OSError:
            data = b""
        if not data:
            self._keys = False
        if self._leader >= 0:
            write_all(self._leader, data or b"\x04")


def _noted(number: int, frame: object) -> None:
    """The wakeup descriptor has it."""


def write_all(fd: int, data: bytes) -> None:
    """Write all of `data`; a reader that is gone is no error."""
    view = memoryview(data)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except OSError:
        pass
