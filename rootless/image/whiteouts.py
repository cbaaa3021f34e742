"""Whiteouts and opaque directories: what hides names of lower layers.

In an archive they are names that begin with `.wh.` (image-spec, layer.md, "Whiteouts"). On disk
they are what fuse-overlayfs and the kernel's overlay, mounted with userxattr, both read: a
character device 0:0, and an xattr on the directory for each of the two. Where the kernel or the
file system refuses those, the archive's form stays; fuse-overlayfs and our own copy read it too.
"""

from __future__ import annotations

import errno
import os
import stat

PREFIX = b".wh."
# aufs kept its own things under such names; OPAQUE is the one that has a meaning for others.
META = b".wh..wh."
OPAQUE = b".wh..wh..opq"
# What makes a directory opaque, for each of the two overlays.
_XATTRS = frozenset(("user.overlay.opaque", "user.fuseoverlayfs.opaque"))
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


def is_whiteout(info: os.stat_result) -> bool:
    """Whether `info` is of what hides a name of the lower layers: a character device 0:0."""
    return stat.S_ISCHR(info.st_mode) and info.st_rdev == 0


def is_opaque(folder: int) -> bool:
    """Whether the directory `folder` of a layer hides all that lower layers have in it."""
    return not _XATTRS.isdisjoint(_xattrs(folder)) or _exists(folder, OPAQUE)


def _xattrs(folder: int) -> list[str]:
    try:
        return os.listxattr(folder)
    except OSError:
        return []  # a file system without any


def hides(folder: int, name: str) -> bool:
    """Whether the directory `folder` of a layer, which lacks `name`, hides that of lower layers."""
    return is_opaque(folder) or _exists(folder, PREFIX + os.fsencode(name))


def is_mark(name: str) -> bool:
    """Whether a file of a layer is a mark: the form that `make` and `make_opaque` fall back to."""
    return name.startswith(os.fsdecode(PREFIX))


def hidden_by(mark: str) -> str:
    """The name of lower layers that a mark hides, "" for none."""
    name = mark.removeprefix(os.fsdecode(PREFIX))
    return "" if name in (".", "..") else name


def make(folder: int, name: bytes) -> None:
    """Hide `name` of the lower layers. Raises FileExistsError when the layer has that name."""
    try:
        os.mknod(name, stat.S_IFCHR, os.makedev(0, 0), dir_fd=folder)
    except PermissionError:
        # Before Linux 5.8 nobody but real root may. fuse-overlayfs reads this form as well.
        if _exists(folder, name):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST)) from None
        _make_empty(folder, PREFIX + name)


def make_opaque(folder: int) -> None:
    """Let the directory hide what the lower layers have in it."""
    try:
        for key in _XATTRS:
            os.setxattr(folder, key, b"y")
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
        _make_empty(folder, OPAQUE)


def _make_empty(folder: int, name: bytes) -> None:
    os.close(os.open(name, _CREATE, 0o600, dir_fd=folder))


def _exists(folder: int, name: bytes) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
