"""Trees copied with everything that makes a file: owner, mode, times, xattrs, links.

For the vfs driver (the layers, lowest first, into one tree) and for volumes that start with what
the image has. Runs as root of the user namespace with the host's files in sight, while another
container may hold the same trees: every step goes through a directory's descriptor, and no symbolic
link is ever followed.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.image import whiteouts
from rootless.kernel import mounts
from rootless.model import statmark
from rootless.store import trees

# Marks of overlay file systems, meaningless in a plain tree.
_MARKS = ("user.overlay.", "user.fuseoverlayfs.", "user.containers.", "trusted.overlay.")
_CHUNK = 1 << 20
_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Descriptors kept to make hard links of; what has more links than that is copied again.
_MAX_LINKED = 200


def copy_layers(layers: list[str], target: str) -> None:
    """Merge the trees `layers` (lowest first) into the existing directory `target`."""
    for layer in layers:
        # The layers are named by links of ours (l/0, …): the last step may be followed here.
        source = os.open(layer, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        _merge(source, target, is_layer=True)


def copy_from_root(root_fd: int, path: str, target: str) -> None:
    """Fill the empty directory `target` with the directory `path` below `root_fd`, if it is one."""
    try:
        source = mounts.open_in_root(root_fd, path, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return
        raise
    _merge(source, target, is_layer=False)


def _merge(source: int, target: str, *, is_layer: bool) -> None:
    target_fd = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    merge = _Merge(is_layer=is_layer, is_marked=statmark.NAME in os.listxattr(source))
    try:
        merge.directory(source, target_fd)
    finally:
        merge.close()
        os.close(target_fd)
        os.close(source)


class _Merge:
    """One copy; remembers inodes so that hard links stay links.

    is_layer: marks hide names. is_marked: it is a layer as image.publishing makes them.
    """

    def __init__(self, *, is_layer: bool, is_marked: bool) -> None:
        self._is_layer = is_layer
        self._is_marked = is_marked
        self._seen: dict[tuple[int, int], int] = {}

    def close(self) -> None:
        for fd in self._seen.values():
            os.close(fd)

    def directory(self, source: int, target: int) -> None:
        """Merge one directory into another, by descriptors; the source's attributes win."""
        if self._is_layer and whiteouts.is_opaque(source):
            for name in os.listdir(target):
                trees.remove_at(target, name)
        for name in sorted(os.listdir(source)):
            if self._is_layer and whiteouts.is_mark(name):
                _remove(target, whiteouts.hidden_by(name))
            else:
                self._entry(source, target, name)
        _copy_attributes(source, target)

    def _entry(self, source: int, target: int, name: str) -> None:
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            self._folder(source, target, name)
            return
        _remove(target, name)
        if stat.S_ISREG(info.st_mode):
            self._file(source, target, name)
        elif stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            self._own(target, name, info)
            times = (info.st_atime_ns, info.st_mtime_ns)
            os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)
        elif stat.S_ISFIFO(info.st_mode):
            os.mkfifo(name, stat.S_IMODE(info.st_mode), dir_fd=target)
            self._own(target, name, info)
            os.utime(name, ns=(info.st_atime_ns, info.st_mtime_ns), dir_fd=target)
        # A whiteout (character device 0:0) has done its work; other devices and sockets are no
        # content.

    def _own(self, target: int, name: str, info: os.stat_result) -> None:
        # Those of a shared store show the overflow id here, and belong to root there.
        if not self._is_marked:
            os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)

    def _folder(self, source: int, target: int, name: str) -> None:
        try:
            below = os.open(name, _DIRECTORY, dir_fd=target)
        except OSError:
            _remove(target, name)
            os.mkdir(name, 0o700, dir_fd=target)
            below = os.open(name, _DIRECTORY, dir_fd=target)
        try:
            inner = os.open(name, _DIRECTORY, dir_fd=source)
            try:
                self.directory(inner, below)
            finally:
                os.close(inner)
        finally:
            os.close(below)

    def _file(self, source: int, target: int, name: str) -> None:
        reader = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
        try:
            info = os.fstat(reader)
            key = (info.st_dev, info.st_ino)
            if key in self._seen:
                # Through the descriptor: the path of the first copy could lead elsewhere by now.
                os.link(mounts.fd_path(self._seen[key]), name, dst_dir_fd=target)
                return
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            writer = os.open(name, flags, 0o600, dir_fd=target)
            _copy_bytes(reader, writer, info.st_size)
            _copy_attributes(reader, writer)
            if info.st_nlink > 1 and len(self._seen) < _MAX_LINKED:
                self._seen[key] = writer
            else:
                os.close(writer)
        finally:
            os.close(reader)


def _copy_bytes(reader: int, writer: int, size: int) -> None:
    """The content with its holes: a sparse file must not fill the disk."""
    offset = 0
    while offset < size:
        try:
            start = os.lseek(reader, offset, os.SEEK_DATA)
        except OSError:
            break
        offset = os.lseek(reader, start, os.SEEK_HOLE)
        _copy_range(reader, writer, start, offset)
    os.ftruncate(writer, size)


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


def _copy_attributes(source: int, target: int) -> None:
    info = os.fstat(source)
    names = os.listxattr(source)
    uid, gid, mode = info.st_uid, info.st_gid, stat.S_IMODE(info.st_mode)
    mark = statmark.parse(os.getxattr(source, statmark.NAME)) if statmark.NAME in names else None
    if mark is not None:
        mode = mark[2]
        _own_if_mapped(target, mark[0], mark[1])
    else:
        os.fchown(target, uid, gid)
    os.fchmod(target, mode)
    for name in names:
        if not name.startswith(_MARKS):
            os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(info.st_atime_ns, info.st_mtime_ns))


def _own_if_mapped(target: int, uid: int, gid: int) -> None:
    """Of a layer of a shared store, whose owner may have had ids that this user has not."""
    try:
        os.fchown(target, uid, gid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _remove(folder: int, name: str) -> None:
    try:
        trees.remove_at(folder, name)
    except FileNotFoundError:
        pass
