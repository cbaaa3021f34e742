"""A detached container's streams: to its log and to who is attached, and back."""

from __future__ import annotations

import os
import select
import time

from rootless.engine import clients

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from rootless.engine.clients import Client
    from rootless.engine.logs import Writer

_CHUNK = 65536
# Bytes of input that the container has not read yet; more has to wait at its sender.
_MOST_PENDING = 1 << 16
_END_OF_INPUT = b"\x04"
# Far more than a pipe holds: a process that outlives the container's first one may write on.
_MOST_READS = 256
_STDOUT, _STDERR = 1, 2
_NAMES = {_STDOUT: "stdout", _STDERR: "stderr"}


class Streams:
    """fds: the terminal's leader; or the read ends of both outputs and the input's write end.

    attached: who gets the output now. interactive: the container has an input; once: which ends
    when its sender's does.
    """

    def __init__(
        self,
        fds: list[int],
        log: Writer | None,
        attached: Callable[[], list[Client]],
        *,
        interactive: bool,
        once: bool,
    ) -> None:
        self._leader = fds[0] if len(fds) == 1 else -1
        self._outputs = {fds[0]: _STDOUT} if len(fds) == 1 else {fds[0]: _STDOUT, fds[1]: _STDERR}
        self._input = fds[0] if len(fds) == 1 else fds[2]
        if self._leader < 0 and not interactive:
            os.close(self._input)
            self._input = -1
        for fd in {*self._outputs, self._input} - {-1}:
            os.set_blocking(fd, False)
        self._log = log
        self._attached = attached
        self._once = once
        self._pending = b""
        self._ends = False

    @property
    def takes_input(self) -> bool:
        """Whether more input may be given."""
        return len(self._pending) < _MOST_PENDING

    def wants(self, masks: dict[int, int]) -> None:
        """Add what is waited for to `masks`: descriptor → poll(2) events."""
        if all(client.has_room for client in self._attached()):
            for fd in self._outputs:
                masks[fd] = masks.get(fd, 0) | select.POLLIN
        if self._pending:
            masks[self._input] = masks.get(self._input, 0) | select.POLLOUT

    def handle(self, ready: dict[int, int]) -> None:
        """Do what can be done without waiting."""
        for fd in [fd for fd in self._outputs if ready.get(fd, 0) & ~select.POLLOUT]:
            self._read(fd)
        if self._pending and self._input in ready:
            self._write()

    def drain(self) -> None:
        """Take what is there already; nobody waits for clients that do not read."""
        for _ in range(_MOST_READS):
            if not sum(self._read(fd) for fd in list(self._outputs)):
                return

    def _read(self, fd: int) -> bool:
        try:
            data = os.read(fd, _CHUNK)
        except BlockingIOError:
            return False
        except OSError:
            data = b""  # a terminal whose other side is closed reads EIO
        number = self._outputs[fd]
        if not data:
            del self._outputs[fd]
            if fd != self._leader:
                os.close(fd)
            return False
        if self._log is not None:
            self._log.write(_NAMES[number], data, time.time_ns())
        for client in self._attached():
            client.queue(clients.OUTPUT, number, data)
        return True

    def give(self, data: bytes) -> None:
        """Bytes for the container's input."""
        if self._input >= 0 and not self._ends:
            self._pending += data
            self._write()

    def end_input(self) -> None:
        """No more bytes come from a sender whose end is the container's, too."""
        if not self._once:
            return
        if self._leader >= 0:
            self.give(_END_OF_INPUT)
            return
        self._ends = True
        self._write()

    def _write(self) -> None:
        try:
            if self._pending:
                self._pending = self._pending[os.write(self._input, self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            self._pending, self._ends = b"", self._leader < 0  # the reader is gone
        if self._ends and not self._pending and self._input >= 0:
            os.close(self._input)
            self._input = -1

    def resize(self, rows: int, columns: int) -> None:
        """Give the terminal the size of a client's."""
        if self._leader >= 0:
            from rootless.kernel import pty

            pty.set_size(self._leader, rows, columns)

    def close(self) -> None:
        """Close everything."""
        if self._log is not None:
            self._log.close()
        for fd in {*self._outputs, self._input, self._leader} - {-1}:
            os.close(fd)
        self._outputs, self._input, self._leader = {}, -1, -1
