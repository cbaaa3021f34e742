"""Owners of files where one id alone is mapped: kept beside the files (`model.ownermark`).

Everything here is for a process in such a namespace; where ids are mapped, chown(2) and stat(2) do
the work, and marks mean nothing.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.kernel.mounts import fd_path
from rootless.model import ownermark
from rootless.model.ownermark import OwnerMark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.tarheader import Member

# The file system has no such attributes, or not for this kind of file.
_NOT_HERE = (errno.ENOTSUP, errno.EPERM, errno.EACCES)


def read(path: str | int) -> OwnerMark | None:
    """The mark of a file; None without one. path: what is looked at is never a symbolic link of an
    image, but a descriptor or `fd_path` of one."""
    try:
        return ownermark.parse(os.getxattr(path, ownermark.NAME))
    except OSError:
        return None


def read_at(folder: int, name: str) -> OwnerMark | None:
    """The mark of `name` in the directory `folder`; None without one, for links too."""
    path = f"{fd_path(folder)}/{name}"
    try:
        return ownermark.parse(os.getxattr(path, ownermark.NAME, follow_symlinks=False))
    except OSError:
        return None


def write(fd: int, mark: OwnerMark) -> bool:
    """Give an open file or directory its mark, or take it away where none is needed; False where
    the file system has no place for it. Raises OSError."""
    try:
        if mark.is_needed:
            os.setxattr(fd, ownermark.NAME, mark.text())
        else:
            _remove(fd)
    except OSError as error:
        if error.errno not in _NOT_HERE:
            raise
        return False
    return True


def _remove(fd: int) -> None:
    try:
        os.removexattr(fd, ownermark.NAME)
    except OSError as error:
        if error.errno not in (errno.ENODATA, *_NOT_HERE):
            raise


def is_same(one: int, other: int) -> bool:
    """Whether two open files, or directories, have the same owner."""
    first, second = read(one), read(other)
    nobody = OwnerMark(0, 0, 0)
    return _owner(first or nobody) == _owner(second or nobody)


def _owner(mark: OwnerMark) -> tuple[int, int]:
    return mark.uid, mark.gid


def of_member(member: Member, mode: int) -> OwnerMark:
    """The mark of a file or a directory that is to be as `member` says."""
    return OwnerMark(member.uid, member.gid, stat.S_IMODE(mode))
