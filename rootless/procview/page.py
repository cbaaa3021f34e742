"""Memory that every server of one connection shares, so that the next can go on after a death.

The kernel writes a request right into it: there is no moment at which a request that has left the
kernel's queue exists only in a server that may be killed. The request's own length field, its first
four bytes, says that it is still to be answered; zero says that none is.
"""

from __future__ import annotations

import mmap
import os
import struct
import time

from rootless.procview.fuse import HEADER_SIZE, REQUEST_MAX

_LENGTH = struct.Struct("=I")
_NONE = _LENGTH.pack(0)
_NUMBER = struct.Struct("=Q")
# Handles given out, INIT's answer is out, times the same request was taken up again, age.
_HANDLES, _INITIALISED, _ATTEMPTS, _BORN = 0, 8, 16, 24
_REQUEST = 4096
_SIZE = _REQUEST + REQUEST_MAX


class Page:
    """The shared memory; inherited by forks, gone with the last process that has it."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _SIZE)
        self._buffers = [memoryview(self._map)[_REQUEST:]]
        self._put(_BORN, int(time.time()))

    def touch(self) -> None:
        """Have the memory present in this process, before the kernel writes into it.

        A request that the kernel cannot write fails with EIO.
        """
        for place in range(0, _SIZE, 4096):
            self._map[place] = self._map[place]

    def receive(self, fd: int) -> bytes:
        """Wait for a request on `fd`: its bytes, none at the end of a stream. Raises OSError."""
        size = os.readv(fd, self._buffers)
        return self._map[_REQUEST : _REQUEST + size]

    def unanswered(self) -> bytes:
        """The request that a server before this one had received and not answered, or nothing."""
        (size,) = _LENGTH.unpack_from(self._map, _REQUEST)
        if not HEADER_SIZE <= size <= REQUEST_MAX:
            return b""
        return self._map[_REQUEST : _REQUEST + size]

    def clear(self) -> None:
        """Forget the request in work: it has its answer."""
        self._map[_REQUEST : _REQUEST + _LENGTH.size] = _NONE

    def new_handle(self) -> int:
        """A number for an open file, never given before on this connection."""
        handle = self._get(_HANDLES) + 1
        self._put(_HANDLES, handle)
        return handle

    @property
    def born(self) -> int:
        """When the connection was made, in seconds since the epoch."""
        return self._get(_BORN)

    @property
    def is_initialised(self) -> bool:
        """Whether the kernel has had its answer to INIT."""
        return bool(self._get(_INITIALISED))

    @is_initialised.setter
    def is_initialised(self, value: bool) -> None:
        self._put(_INITIALISED, int(value))

    @property
    def attempts(self) -> int:
        """How many servers have already taken up the request in work."""
        return self._get(_ATTEMPTS)

    @attempts.setter
    def attempts(self, value: int) -> None:
        self._put(_ATTEMPTS, value)

    def _get(self, place: int) -> int:
        value: int = _NUMBER.unpack_from(self._map, place)[0]
        return value

    def _put(self, place: int, value: int) -> None:
        _NUMBER.pack_into(self._map, place, value)
