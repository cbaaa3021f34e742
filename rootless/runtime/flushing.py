"""What processes of a container have written and FUSE has not: brought to the writable layer.

fuse-overlayfs lets the kernel gather what is written. close(2) hands it over, so that only files
which are still open hold something back (fuse_flush() in fs/fuse/file.c); syncfs(2) begins to write
but does not wait. So each of these files is opened once more and closed. Runs in the container's
user namespace (runtime.inside), since to all others this mount says EACCES.
"""

from __future__ import annotations

import os
import stat

from rootless.kernel import mounts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def flush(root: int, pids: Iterable[int]) -> int:
    """Flush what `pids` (of the host) have open or mapped of the file system of `root`.

    How many files there were. Whatever is gone meanwhile was closed, which is as well.
    """
    device = os.fstat(root).st_dev
    done: set[int] = set()
    for pid in pids:
        for path in _open_files(pid):
            _flush_one(path, device, done)
        for path in _mapped_files(pid):
            try:
                fd = mounts.open_in_root(root, path, os.O_PATH)
            except OSError:
                continue
            _flush_one(mounts.fd_path(fd), device, done)
            os.close(fd)
    return len(done)


def _flush_one(path: str, device: int, done: set[int]) -> None:
    try:
        info = os.stat(path)
        if not stat.S_ISREG(info.st_mode) or info.st_dev != device or info.st_ino in done:
            return
        os.close(os.open(path, _READ))
    except OSError:
        return
    done.add(info.st_ino)


def _open_files(pid: int) -> Iterator[str]:
    try:
        names = os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return iter(())
    return (f"/proc/{pid}/fd/{name}" for name in names)


def _mapped_files(pid: int) -> Iterator[str]:
    """Paths in the container of what the process has mapped shared and may write to."""
    try:
        with open(f"/proc/{pid}/maps", errors="surrogateescape") as file:
            rows = [line.rstrip("\n").split(maxsplit=5) for line in file]
    except OSError:
        return iter(())
    return (row[5] for row in rows if len(row) == 6 and row[1][1] == "w" and row[1][3] == "s")
