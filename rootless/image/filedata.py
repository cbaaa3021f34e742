"""The content of files from an archive: whole, or with the holes that its sparse map leaves."""

from __future__ import annotations

import os

from rootless.errors import StoreError
from rootless.image.tarentry import shown

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.image.tarentry import Entry

# Below this, asking for the free space costs more than it saves.
_BIG = 64 * 1024 * 1024


def write(fd: int, entry: Entry, pieces: Iterator[memoryview]) -> None:
    """Write the entry's data, which come in `pieces`, to the empty file `fd`. Raises OSError."""
    if entry.sparse is not None:
        _write_sparse(fd, entry.sparse, pieces)
        os.ftruncate(fd, entry.real_size)
        return
    for part in pieces:
        _write_all(fd, part)


def _write_all(fd: int, part: memoryview) -> None:
    written = os.write(fd, part)
    while written < len(part):
        part = part[written:]
        written = os.write(fd, part)


def _write_sparse(fd: int, parts: list[tuple[int, int]], pieces: Iterator[memoryview]) -> None:
    pending = iter(parts)
    left = 0
    for data in pieces:
        while data:
            while not left:
                offset, left = next(pending)
                os.lseek(fd, offset, os.SEEK_SET)
            piece = data[:left]
            _write_all(fd, piece)
            left -= len(piece)
            data = data[len(piece) :]


def expect_space(entry: Entry, folder: int) -> None:
    """Raise StoreError when a big file cannot fit: before its first byte, not after gigabytes."""
    if entry.size <= _BIG:
        return
    free = os.fstatvfs(folder)
    if entry.size > free.f_bavail * free.f_frsize:
        raise StoreError(
            f"{shown(entry.name)}: its {entry.size} bytes do not fit on the disk",
            hint="df -h; rl image prune",
        )
