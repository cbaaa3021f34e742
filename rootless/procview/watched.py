"""The side of the process that keeps the connection: another server when one has died.

How a server is forked is the caller's business; see `Watched`.
"""

from __future__ import annotations

import os
import time

from rootless import log
from rootless.kernel import signals

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Connection(Protocol):
        """What servers answer on."""

        def close(self) -> None:
            """Give it up."""

        def progress(self) -> object:
            """Something that changes when a server answers."""


# Of servers that answered nothing. Somebody may kill one after the other, some of them before they
# have come up. So many forks cost a tenth of a second.
_MAX_DEATHS = 50
_WITHIN_NS = 10 * 10**9
# One that ends by itself has said why, and the next will say the same: it counts for so many.
_BY_ITSELF = 10


class Watched:
    """A server at work on `connection`, from `begin` on, and another one after each death.

    start: forks a process that runs server.serve and then ends with exit code 0, which means that
    the connection is gone; returns its process id. fd: a pidfd of the server to poll, readable when
    `look` has something to do, -1 when there is no server any more. When `max_deaths` of them
    have died within `within_ns` without a single answer, they are given up with one warning, which
    `purpose` begins, and the connection is closed: whoever asks gets an error, nobody waits. Those
    that die at their work do not count: it is from outside that they are killed.
    """

    def __init__(
        self,
        connection: Connection,
        start: Callable[[], int],
        *,
        purpose: str = "the view of /proc",
        max_deaths: int = _MAX_DEATHS,
        within_ns: int = _WITHIN_NS,
    ) -> None:
        self._connection = connection
        self._start = start
        self._purpose = purpose
        self._max_deaths = max_deaths
        self._within_ns = within_ns
        self._deaths: list[int] = []
        self._progress = connection.progress()
        self.pid = 0
        self.fd = -1

    def begin(self) -> None:
        """Start the first server; until then whoever asks waits. Harmless when repeated."""
        if self.fd < 0:
            self._fork()

    def look(self) -> None:
        """Replace the server that has died. Call it when `fd` is readable; it waits otherwise."""
        if self.fd < 0:
            return
        status = self._reap()
        if status == 0:
            self._connection.close()
        elif self._is_too_much(1 if os.WIFSIGNALED(status) else _BY_ITSELF):
            self._give_up("its servers die without an answer")
        else:
            self._fork()

    def stop(self) -> None:
        """End the server, wait for it, and close the connection."""
        if self.fd >= 0:
            signals.pidfd_send_signal(self.fd, signals.SIGKILL)
            self._reap()
        self._connection.close()

    def _fork(self) -> None:
        try:
            self.pid = self._start()
            self.fd = os.pidfd_open(self.pid)
        except OSError as error:
            self._give_up(f"no process for it: {error.strerror}")

    def _reap(self) -> int:
        os.close(self.fd)
        self.fd = -1
        pid, self.pid = self.pid, 0
        return os.waitpid(pid, 0)[1]

    def _is_too_much(self, weight: int) -> bool:
        before, self._progress = self._progress, self._connection.progress()
        if before != self._progress:
            return False
        now = time.monotonic_ns()
        self._deaths = [when for when in self._deaths if now - when < self._within_ns]
        self._deaths += [now] * weight
        return len(self._deaths) >= self._max_deaths

    def _give_up(self, reason: str) -> None:
        log.warn(f"{self._purpose}: {reason}; whoever asks gets an error from now on")
        self._connection.close()
