"""Bytes from one descriptor to another, without ever waiting for one side while the other is full."""

from __future__ import annotations

import os
import select

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_CHUNK = 65536


class Pump:
    """Copies `source` to `sink` until the source ends; then closes the sink if it is ours.

    One chunk is in flight at most: what cannot be written is not read, so back-pressure passes.
    """

    def __init__(self, source: int, sink: int, *, at_end: Callable[[], None] | None = None) -> None:
        self.source = source
        self.sink = sink
        self.ended = False
        self._pending = b""
        self._at_end = at_end

    def register(self, poller: select.poll) -> None:
        """Say to `poller` what this pump waits for."""
        if self.ended:
            return
        if self._pending:
            poller.register(self.sink, select.POLLOUT)
        else:
            poller.register(self.source, select.POLLIN)

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

    def _write(self) -> None:
        try:
            self._pending = self._pending[os.write(self.sink, self._pending) :]
        except BlockingIOError:
            return
        except OSError:
            # The reader is gone: the writer shall hear of it as from any closed pipe.
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
            poller = select.poll()
            self.register(poller)
            ready = dict(poller.poll(0))
            if not ready and not self._pending:
                self.finish()
            self.handle(ready)
