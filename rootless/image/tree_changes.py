"""What differs between a whole tree and the layers that it was copied from, as an upper directory.

For the driver vfs, which keeps no changes apart: the tree is compared with the layers name by name
(kind, mode, owner, size, time, target of a link, extended attributes), and what differs is hard
linked into a directory that looks like those of the overlays, with whiteouts for what is gone. This
takes as long as the image is large. Runs as root of the user namespace; no link is followed.
"""

from __future__ import annotations

import os
import stat

from rootless.image import lowers, whiteouts
from rootless.kernel import rlimits
from rootless.kernel.mounts import fd_path

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Of files that this driver cannot copy, their absence says nothing.
_NOT_COPIED = (stat.S_IFSOCK, stat.S_IFBLK, stat.S_IFCHR)
_CAPABILITY = "security.capability"
_MARKS = ("user.overlay.", "user.fuseoverlayfs.", "user.containers.")


def fill(tree: str, layers: Sequence[str], upper: str) -> None:
    """Fill the new directory `upper`, on the file system of `tree`. Raises OSError.

    layers: what `tree` was copied from, topmost first. The links share their files with `tree`:
    whoever keeps them copies them.
    """
    rlimits.raise_open_files()
    os.umask(0)
    os.mkdir(upper, 0o755)
    out = os.open(upper, _FOLDER)
    comparison = _Comparison()
    comparison.directory(os.open(tree, _FOLDER), lowers.open_all(layers), _Target(out, None, ""))


class _Target:
    """A directory of the upper one, made when something is put into it."""

    def __init__(self, fd: int, parent: _Target | None, name: str, source: int = -1) -> None:
        self._fd = fd
        self._parent = parent
        self._name = name
        self._source = source

    @property
    def fd(self) -> int:
        """Its descriptor."""
        self.make()
        return self._fd

    def make(self) -> None:
        """Make it, and those that it is in."""
        if self._fd < 0 and self._parent is not None:
            os.mkdir(self._name, 0o700, dir_fd=self._parent.fd)
            self._fd = os.open(self._name, _FOLDER, dir_fd=self._parent.fd)

    def close(self) -> None:
        """Give it the attributes of its source, which what was put into it has changed."""
        if self._fd < 0:
            return
        if self._source >= 0:
            info = os.fstat(self._source)
            os.fchown(self._fd, info.st_uid, info.st_gid)
            os.fchmod(self._fd, stat.S_IMODE(info.st_mode))
            for key, value in _xattrs(f"{fd_path(self._source)}/.").items():
                os.setxattr(self._fd, key, value)
            os.utime(self._fd, ns=(info.st_atime_ns, info.st_mtime_ns))
        os.close(self._fd)


class _Comparison:
    def directory(self, tree: int, below: list[int], target: _Target) -> None:
        """Compare one directory with those of the layers, topmost first; closes all of them."""
        try:
            names = sorted(os.listdir(tree))
            for name in names:
                self._entry(tree, below, name, target)
            for name in sorted(_visible(below) - set(names)):
                info, folders = lowers.find(below, name)
                lowers.close(folders)
                if info is not None and stat.S_IFMT(info.st_mode) not in _NOT_COPIED:
                    whiteouts.make(target.fd, os.fsencode(name))
        finally:
            target.close()
            lowers.close((tree, *below))

    def _entry(self, tree: int, below: list[int], name: str, target: _Target) -> None:
        try:
            info = os.stat(name, dir_fd=tree, follow_symlinks=False)
            old, folders = lowers.find(below, name)
            if stat.S_ISDIR(info.st_mode):
                self._folder(tree, name, info, old, folders, target)
                return
            lowers.close(folders)
            if old is None or not _is_same(tree, name, info, old, below):
                os.link(name, name, src_dir_fd=tree, dst_dir_fd=target.fd, follow_symlinks=False)
        except FileNotFoundError:
            return  # of a container that runs

    def _folder(
        self, tree: int, name: str, info: os.stat_result, old: os.stat_result | None,
        folders: list[int], target: _Target,
    ) -> None:  # fmt: skip
        inner = os.open(name, _FOLDER, dir_fd=tree)
        made = _Target(-1, target, name, inner)
        if old is None or not folders or not _is_same(tree, name, info, old, folders, "."):
            made.make()
        self.directory(inner, folders, made)


def _visible(folders: list[int]) -> set[str]:
    names = {name for folder in folders for name in os.listdir(folder)}
    return {name for name in names if not whiteouts.is_mark(name)}


def _is_same(
    tree: int,
    name: str,
    info: os.stat_result,
    old: os.stat_result,
    below: list[int],
    there: str = "",
) -> bool:
    """Whether `name` is what the layers show; there: its name in the topmost of `below` that has
    it, where that is another."""
    if _facts(info) != _facts(old):
        return False
    if stat.S_IFMT(info.st_mode) not in (stat.S_IFREG, stat.S_IFDIR):
        return True
    holder = next(folder for folder in below if _has(folder, there or name))
    return _xattrs(f"{fd_path(tree)}/{name}") == _xattrs(f"{fd_path(holder)}/{there or name}")


def _facts(info: os.stat_result) -> tuple[int, ...]:
    size = 0 if stat.S_ISDIR(info.st_mode) else info.st_size
    return info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, info.st_rdev, size


def _has(folder: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _xattrs(path: str) -> dict[str, bytes]:
    """Those that a layer has, of what `path` is itself."""
    try:
        names = os.listxattr(path, follow_symlinks=False)
        return {
            name: os.getxattr(path, name, follow_symlinks=False)
            for name in names
            if name == _CAPABILITY or (name.startswith("user.") and not name.startswith(_MARKS))
        }
    except OSError:
        return {}  # a file system without any
