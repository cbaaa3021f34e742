"""A file that somebody named for a result: written beside it, and in its place only when whole."""

from __future__ import annotations

import os

from rootless.errors import RlError
from rootless.store import files


class OutFile:
    """A context manager that gives a descriptor to write to.

    The file is as it was when the block raises. A device or a FIFO is written to directly. An
    OSError of the block becomes an RlError that names the file.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._is_special = os.path.exists(path) and not os.path.isfile(path)
        self._written = path if self._is_special else f"{path}.{os.getpid()}.tmp"
        self._fd = -1

    def __enter__(self) -> int:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        try:
            self._fd = os.open(self._written, flags, 0o666)
        except OSError as error:
            raise RlError(f"{self._path}: {error.strerror}") from error
        return self._fd

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        try:
            if error is None and not self._is_special:
                os.rename(self._written, os.path.realpath(self._path))
        except OSError as failure:
            error = failure
        finally:
            os.close(self._fd)
        if error is None:
            return
        if not self._is_special:
            files.unlink_if_there(self._written)
        if isinstance(error, OSError):
            raise RlError(f"{self._path}: {error.strerror}") from error
