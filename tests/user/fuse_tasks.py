"""Processes for tests that answer the kernel's questions, as a file system of their own does.

Whatever goes wrong, nothing may hang. A request that a dead server had read makes its reader
unkillable until the connection ends, so the process that holds the connection, the one inside of
the user namespace, has an alarm: when it dies, its descriptor closes and the kernel lets go of all.
"""

from __future__ import annotations

import errno
import marshal
import mmap
import os
import signal
import struct
from collections.abc import Callable
from typing import Any

from rootless.procview.server import Connection
from rootless.tools import idmap

SECONDS = 40


def fork(function: Callable[[], None]) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        signal.alarm(SECONDS)
        function()
        code = 0
    except BaseException as error:
        os.write(2, f"child: {error!r}\n".encode())
    finally:
        os._exit(code)


class Task:
    """A function in a process of its own; `result` is what it returned, or its errno's name.

    The process has no copy of the descriptor of `connection`. A reader that has one keeps alive the
    connection that it waits for, and nothing but an abort as root ends that.
    """

    def __init__(self, function: Callable[[], Any], connection: Connection | None = None) -> None:
        self.raw = b""
        self.fd, write_end = os.pipe()

        def report() -> None:
            if connection is not None:
                connection.close()
            try:
                outcome = function()
            except OSError as error:
                outcome = errno.errorcode[error.errno or 0]
            os.write(write_end, marshal.dumps(outcome))

        self.pid = fork(report)
        os.close(write_end)

    def is_over(self) -> bool:
        """Take what can be read. The end comes when the process does: its exit closes its files."""
        part = os.read(self.fd, 65536)
        self.raw += part
        return not part

    def result(self) -> Any:
        """Waits for it. Of one that was killed: its wait status, below 0."""
        while not self.is_over():
            pass
        os.close(self.fd)
        status = os.waitpid(self.pid, 0)[1]
        return marshal.loads(self.raw) if self.raw else -status


def shared_counter() -> Callable[[], int]:
    """Counts over all forks; each call is one more."""
    memory = mmap.mmap(-1, 8)

    def count() -> int:
        value: int = struct.unpack_from("=Q", memory)[0] + 1
        struct.pack_into("=Q", memory, 0, value)
        return value

    return count


def inside(function: Callable[[], Any]) -> Any:
    """`function` as root of a user namespace, for a limited time."""

    def limited() -> Any:
        signal.alarm(SECONDS)
        return function()

    return idmap.call(limited)


def read_all(path: str, size: int = 65536) -> bytes:
    fd = os.open(path, os.O_RDONLY)
    try:
        return b"".join(iter(lambda: os.read(fd, size), b""))
    finally:
        os.close(fd)
