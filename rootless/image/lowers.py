"""The layers below a writable one, as they show a name together: what a change is compared with.

Layers are read as fuse-overlayfs and the kernel's overlay leave them: `rootless.image.whiteouts`.
Runs as root of the user namespace; no link is followed.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.image import whiteouts
from rootless.model import statmark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_unchanged(name: str, flags: int, folder: int) -> int:
    """Open `name`; -1 for what was removed or replaced since it was looked at."""
    try:
        return os.open(name, flags, dir_fd=folder)
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.ENXIO):
            raise
        return -1


def open_all(trees: Iterable[str]) -> list[int]:
    """Descriptors of the layers' roots, in the order of `trees`: topmost first."""
    return [os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC) for tree in trees]


def close(folders: Iterable[int]) -> None:
    """Close directories."""
    for fd in folders:
        os.close(fd)


def shows(folders: list[int], name: str) -> bool:
    """Whether the layers of which `folders` are one directory, topmost first, show `name`."""
    info, found = find(folders, name)
    close(found)
    return info is not None


def find(folders: list[int], name: str) -> tuple[os.stat_result | None, list[int]]:
    """`name` as the layers show it: what it is, and the directories that make it up."""
    first: os.stat_result | None = None
    found: list[int] = []
    for folder in folders:
        try:
            info = os.stat(name, dir_fd=folder, follow_symlinks=False)
        except FileNotFoundError:
            if whiteouts.hides(folder, name):
                break
            continue
        if whiteouts.is_whiteout(info) or (first is not None and not stat.S_ISDIR(info.st_mode)):
            break
        first = first or as_marked(info, f"/proc/self/fd/{folder}/{name}")
        if not stat.S_ISDIR(info.st_mode):
            break
        found.append(os.open(name, _FOLDER, dir_fd=folder))
        if whiteouts.is_opaque(found[-1]) or whiteouts.is_opaque(folder):
            break
    return first, found


def as_marked(info: os.stat_result, path: str) -> os.stat_result:
    """With the owner and the mode that a layer of a shared store has beside the file.

    No archive and no container can bring a layer such an attribute (unpack, layer_walk).
    """
    if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
        return info
    try:
        value = os.getxattr(path, statmark.NAME, follow_symlinks=False)
    except OSError:
        return info
    mark = statmark.parse(value)
    if mark is None:
        return info
    uid, gid, mode = mark
    return os.stat_result(
        (stat.S_IFMT(info.st_mode) | mode, info.st_ino, info.st_dev, info.st_nlink, uid, gid,
         info.st_size, int(info.st_atime), int(info.st_mtime), int(info.st_ctime)),
        {"st_mtime_ns": info.st_mtime_ns, "st_rdev": info.st_rdev},
    )  # fmt: skip


class Places:
    """Paths at which rl mounts something of its own: what is there only for that is no change."""

    def __init__(self, ours: Iterable[str]) -> None:
        self.ours = frozenset(ours)
        self._parents = {os.path.dirname(path) for path in self.ours}
        self._above = {above for path in self.ours for above in _above(path)}

    def is_only_way(self, path: str) -> bool:
        """Whether the directory `path`, if it has no change in it, stands there for nothing but a
        mount point."""
        return path in self._above

    def differs(self, path: str, info: os.stat_result, below: os.stat_result) -> bool:
        """Whether the directory `path` itself is another than that of the layers below."""
        if (info.st_mode, info.st_uid, info.st_gid) != (below.st_mode, below.st_uid, below.st_gid):
            return True
        # Making a mount point changes the time of the directory that it is in.
        return info.st_mtime_ns != below.st_mtime_ns and path not in self._parents


def _above(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:count]) for count in range(2, len(parts))]
