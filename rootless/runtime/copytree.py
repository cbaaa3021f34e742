"""Trees copied with everything that makes a file: owner, mode, times, xattrs, links.

For the vfs driver (the layers, lowest first, into one tree) and for volumes that start with what
the image has. Runs as root of the user namespace; symbolic links are copied, never followed.
"""

from __future__ import annotations

import errno
import os
import shutil
import stat

from rootless.kernel import mounts

# Marks of overlay file systems, meaningless in a plain tree.
_MARKS = ("user.overlay.", "user.fuseoverlayfs.", "trusted.overlay.")
_OPAQUE = ("user.overlay.opaque", "user.fuseoverlayfs.opaque")
_CHUNK = 1 << 20


def copy_layers(layers: list[str], target: str) -> None:
    """Merge `layers` (lowest first) into the existing directory `target`."""
    for layer in layers:
        _Merge(hard_links=True).directory(layer, target)


def copy_from_root(root_fd: int, path: str, target: str) -> None:
    """Fill the empty directory `target` with the directory `path` below `root_fd`, if it is one."""
    try:
        fd = mounts.open_in_root(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return
        raise
    try:
        _Merge(hard_links=True).directory(mounts.fd_path(fd), target)
    finally:
        os.close(fd)


class _Merge:
    """One copy; remembers inodes so that hard links stay links."""

    def __init__(self, *, hard_links: bool) -> None:
        self._hard_links = hard_links
        self._seen: dict[tuple[int, int], str] = {}

    def directory(self, source: str, target: str) -> None:
        """Merge directory `source` into directory `target`; the source's attributes win."""
        if any(_has_xattr(source, name) for name in _OPAQUE):
            _empty(target)
        with os.scandir(source) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                self._entry(entry.path, f"{target}/{entry.name}")
        _copy_attributes(source, target, os.stat(source))

    def _entry(self, source: str, target: str) -> None:
        info = os.lstat(source)
        if stat.S_ISCHR(info.st_mode) and info.st_rdev == 0:
            _remove(target)  # a whiteout
        elif stat.S_ISDIR(info.st_mode):
            if not _is_directory(target):
                _remove(target)
                os.mkdir(target)
            self.directory(source, target)
        else:
            _remove(target)
            self._leaf(source, target, info)

    def _leaf(self, source: str, target: str, info: os.stat_result) -> None:
        key = (info.st_dev, info.st_ino)
        if info.st_nlink > 1 and key in self._seen:
            os.link(self._seen[key], target, follow_symlinks=False)
            return
        self._seen[key] = target
        if stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(source), target)
        elif stat.S_ISREG(info.st_mode):
            _copy_bytes(source, target, info.st_size)
        elif stat.S_ISFIFO(info.st_mode):
            os.mkfifo(target)
        else:
            return  # sockets and devices are not content
        _copy_attributes(source, target, info)


def _copy_bytes(source: str, target: str, size: int) -> None:
    with open(source, "rb") as reader, open(target, "xb") as writer:
        offset = 0
        while offset < size:
            # Holes are kept: a sparse file must not fill the disk.
            try:
                start = os.lseek(reader.fileno(), offset, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(reader.fileno(), start, os.SEEK_HOLE)
            _copy_range(reader.fileno(), writer.fileno(), start, end)
            offset = end
        writer.truncate(size)


def _copy_range(reader: int, writer: int, start: int, end: int) -> None:
    while start < end:
        count = min(_CHUNK, end - start)
        try:
            done = os.copy_file_range(reader, writer, count, start, start)
        except OSError:
            done = os.pwrite(writer, os.pread(reader, count, start), start)
        if done == 0:
            return
        start += done


def _copy_attributes(source: str, target: str, info: os.stat_result) -> None:
    os.chown(target, info.st_uid, info.st_gid, follow_symlinks=False)
    if not stat.S_ISLNK(info.st_mode):
        os.chmod(target, stat.S_IMODE(info.st_mode))
    for name in os.listxattr(source, follow_symlinks=False):
        if not name.startswith(_MARKS):
            value = os.getxattr(source, name, follow_symlinks=False)
            os.setxattr(target, name, value, follow_symlinks=False)
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns), follow_symlinks=False)


def _has_xattr(path: str, name: str) -> bool:
    try:
        return os.getxattr(path, name) == b"y"
    except OSError:
        return False


def _is_directory(path: str) -> bool:
    return os.path.isdir(path) and not os.path.islink(path)


def _empty(path: str) -> None:
    for name in os.listdir(path):
        _remove(f"{path}/{name}")


def _remove(path: str) -> None:
    if _is_directory(path):
        shutil.rmtree(path)
    elif os.path.lexists(path):
        os.unlink(path)
