"""Bytes from one descriptor to another, never waiting for one side while the other is full."""

from __future__ import annotations

import errno
import os
import select
import stat

from rootless import log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 65536
# poll(2) counts in an int: 24 days. Longer waits come back for another look.
_LONGEST_POLL_MS = 2**31 - 1


class Pump:
    """Copies `source` to `sink` until the source ends; then closes the sink if it is ours.

    One chunk is in flight at most: what cannot be written is not read, so back-pressure passes.
    keep: gets each chunk as it was read.
    """

    def __init__(
        self,
        source: int,
        sink: int,
        *,
        at_end: Callable[[], None] | None = None,
        keep: Callable[[bytes], None] | None = None,
    ) -> None:
        self.source = source
        self.sink = sink
        self.ended = False
        self._pending = b""
        self._at_end = at_end
        self._keep = keep

    def wants(self, masks: dict[int, int]) -> None:
        """Add what this pump waits for to `masks`, descriptor → poll(2) events."""
        if self.ended:
            return
        fd, event = (self.sink, select.POLLOUT) if self._pending else (self.source, select.POLLIN)
        masks[fd] = masks.get(fd, 0) | event

    def handle(self, ready: dict[int, int]) -> None:
        """Do what can be done without waiting."""
        if self.ended:
            return
        if not self._pending and self.source in ready:
            self._read()
        if self._pending:
            self._write()

    def _read(self) -> None:
        try:
            self._pending = os.read(self.source, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            self._pending = b""  # a terminal whose other side is closed reads EIO
        if not self._pending:
            self.finish()
        elif self._keep is not None:
            self._keep(self._pending)

    def _write(self) -> None:
        try:
            self._pending = self._pending[os.write(self.sink, self._pending) :]
        except BlockingIOError:
            return
        except OSError as error:
            # The reader is gone: the writer shall hear of it as from any closed pipe.
            if error.errno not in (errno.EPIPE, errno.EIO):
                log.warn(f"bytes of a standard stream are lost: {error.strerror}")
            self._pending = b""
            self.finish()

    def finish(self) -> None:
        """No more bytes will come; harmless when repeated."""
        if not self.ended:
            self.ended = True
            if self._at_end is not None:
                self._at_end()

    def drain(self) -> None:
        """Copy what is there already, for a source that nobody writes to any more."""
        while not self.ended:
            masks: dict[int, int] = {}
            self.wants(masks)
            ready = poll(masks, None if self._pending else 0)
            if not ready and not self._pending:
                self.finish()
            self.handle(ready)


def unblocked(fd: int) -> int:
    """A descriptor for writing to the terminal or pipe at `fd` that never waits, if one can be had.

    O_NONBLOCK belongs to the open file, which the caller's other processes share: so not on `fd`.
    Regular files never wait, and have a position that is shared on purpose.
    """
    try:
        mode = os.fstat(fd).st_mode
        if not (stat.S_ISFIFO(mode) or os.isatty(fd)):
            return fd
        flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        return os.open(f"/proc/self/fd/{fd}", flags)
    except OSError:
        return fd


def poll(masks: dict[int, int], timeout_ms: int | None) -> dict[int, int]:
    """poll(2) on `masks`: descriptor → events that came."""
    poller = select.poll()
    for fd, mask in masks.items():
        poller.register(fd, mask)
    return dict(poller.poll(timeout_ms))


def milliseconds(seconds: float | None) -> int | None:
    """A time-out for poll(2), rounded up; None for ever, at once for what is over."""
    if seconds is None:
        return None
    return min(max(0, int(seconds * 1000) + 1), _LONGEST_POLL_MS)
