"""A layer's tree in a form that other users can read, and mount with the owners it had.

Another user's namespace maps none of the ids that own the files here, and real set-user-ID bits in
a directory that all can reach would be anybody's way to the owner's rights. So every file is the
store's owner's, has modes for reading alone, and says beside it what the image wants
(model.statmark), which fuse-overlayfs shows: docs/decisions/0038-site-configuration.md.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import StoreError
from rootless.model import ownermark, statmark

_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def publish(tree: str) -> None:
    """Change everything in `tree`. Runs as root of the user namespace that the tree was made in.

    Raises StoreError where the file system has no user xattrs, OSError.
    """
    for _, folders, names, fd in os.fwalk(tree):
        # Links to directories stand among these; the directories themselves have their turn.
        for name in (*names, *folders):
            _publish_entry(fd, name)
        _publish_open(fd, os.fstat(fd), 0o755)


def _publish_entry(folder: int, name: str) -> None:
    info = os.stat(name, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISDIR(info.st_mode):
        return
    if not stat.S_ISREG(info.st_mode):
        # Links and whiteouts can have no such attribute.
        os.chown(name, 0, 0, dir_fd=folder, follow_symlinks=False)
        return
    fd = os.open(name, _FILE, dir_fd=folder)
    try:
        _publish_open(fd, info, 0o644 | (0o111 if info.st_mode & 0o111 else 0))
    finally:
        os.close(fd)


def _publish_open(fd: int, info: os.stat_result, mode: int) -> None:
    uid, gid = _owner(fd, info)
    value = statmark.text(uid, gid, stat.S_IMODE(info.st_mode))
    try:
        os.setxattr(fd, statmark.NAME, value, os.XATTR_CREATE)
    except FileExistsError:
        return  # another name of a file that has been changed
    except OSError as error:
        if error.errno != errno.EOPNOTSUPP:
            raise
        raise StoreError("this file system has no user.* xattrs, which a shared store needs",
                         "mount -o user_xattr, or another directory") from error  # fmt: skip
    # Takes away set-id bits and file capabilities, which of the real root's files would be real.
    os.fchown(fd, 0, 0)
    os.fchmod(fd, mode)


def _owner(fd: int, info: os.stat_result) -> tuple[int, int]:
    """Also where who fills the store has a single id, and the image's owner stands beside."""
    try:
        mark = ownermark.parse(os.getxattr(fd, ownermark.NAME))
    except OSError:
        mark = None
    return (mark.uid, mark.gid) if mark is not None else (info.st_uid, info.st_gid)
