"""Memory that every server of one connection shares, so that the next can go on after a death.

The kernel writes a request right into it: there is no moment at which a request that has left the
kernel's queue exists only in a server that may be killed. The request's own length field, its first
four bytes, says that it is still to be answered; zero says that none is.

Counters that only grow are here too, see `keep`.
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
# Handles given out, INIT's answer is out, times the same request was taken up again, age, which of
# the two slots holds, sizes of what is in them.
_HANDLES, _INITIALISED, _ATTEMPTS, _BORN, _HOLDS, _KEPT = 0, 8, 16, 24, 32, 40
_REQUEST = 4096
# What `keep` takes: 8192 CPUs, the most that Linux can be made for. Memory that nobody writes to
# does not exist.
_SLOTS = _REQUEST + REQUEST_MAX
_SLOT_SIZE = (1 << 18) + 4096
_SIZE = _SLOTS + 2 * _SLOT_SIZE
# Of a request (fuse.h): its number, after the length and the opcode.
_UNIQUE = 8


class Page:
    """The shared memory; inherited by forks, gone with the last process that has it."""

    def __init__(self) -> None:
        self._map = mmap.mmap(-1, _SIZE)
        self._buffers = [memoryview(self._map)[_REQUEST:_SLOTS]]
        self._put(_BORN, int(time.time()))

    def touch(self) -> None:
        """Have the memory present in this process, before the kernel writes into it.

        A request that the kernel cannot write fails with EIO.
        """
        for place in range(0, _SLOTS, 4096):
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

    def progress(self) -> tuple[int, bool]:
        """The number of the last request that came, and whether it is answered. As long as this
        stays the same, no server has answered anything."""
        return self._get(_REQUEST + _UNIQUE), not self.unanswered()

    def keep(self, state: bytes) -> None:
        """Have `state` outlive this server, in place of what was kept before.

        Killed at any moment it leaves the one or the other, whole: the place that does not hold is
        written, and then holds by the change of a single byte.
        """
        slot = 1 - self._map[_HOLDS]
        start = _SLOTS + slot * _SLOT_SIZE
        if len(state) <= _SLOT_SIZE:
            self._map[start : start + len(state)] = state
            self._put(_KEPT + slot * _NUMBER.size, len(state))
            self._map[_HOLDS] = slot

    def kept(self) -> bytes:
        """What was given to `keep` last, by any server; nothing at first."""
        slot = self._map[_HOLDS]
        start = _SLOTS + slot * _SLOT_SIZE
        return self._map[start : start + self._get(_KEPT + slot * _NUMBER.size)]

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
