"""The directories of a tree that is being unpacked, as a bounded cache of descriptors.

Every name from the archive is used relative to one of these descriptors. A directory is opened by
one component below its parent's descriptor without following links. Where the archive put a
symbolic link in the way, the link is read and its components are opened in the same manner from the
root on, ".." only ever taking one off: as chroot(2) would, never above the root. (openat2(2) does
that too, but not before Linux 5.6, and its directories would not be shared with this cache.)

Putting something into a directory changes its mtime. The one it should have is kept while it is in
the cache and set again when it leaves, so memory does not grow with the number of directories.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import ImageError
from rootless.image import whiteouts
from rootless.image.tarentry import shown

_CAPACITY = 128
_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# As in the kernel, path_resolution(7).
_MAX_LINKS = 40


class Folder:
    """An open directory. mtime_ns: what it gets in the end; setgid: new entries take its group."""

    __slots__ = ("fd", "inode", "mtime_ns", "paths", "setgid")

    def __init__(self, fd: int) -> None:
        info = os.fstat(fd)
        self.fd = fd
        self.inode = info.st_ino
        self.mtime_ns = info.st_mtime_ns
        self.setgid = bool(info.st_mode & stat.S_ISGID)
        # Under how many paths it is in the cache: links lead to one directory by several.
        self.paths = 0

    def close(self) -> None:
        """Set the mtime again and close."""
        try:
            os.utime(self.fd, ns=(self.mtime_ns, self.mtime_ns))
        finally:
            os.close(self.fd)


class Folders:
    """The cache: `get` by the path in the archive, without slashes at either end."""

    def __init__(self, root_fd: int) -> None:
        self.root = Folder(root_fd)
        self._by_path: dict[bytes, Folder] = {}
        self._by_inode: dict[int, Folder] = {self.root.inode: self.root}

    def get(self, path: bytes) -> Folder:
        """The directory `path`; missing ones on the way are made, mode 0755.

        Raises ImageError when something that is not a directory is in the way.
        """
        return self._walk(path, create=True)

    def find(self, path: bytes) -> Folder:
        """The same for a directory that must be there. Raises ImageError."""
        return self._walk(path, create=False)

    def _walk(self, path: bytes, *, create: bool) -> Folder:
        folder = self._cached(path)
        if folder is not None:
            return folder
        missing = []
        while folder is None:
            path, _, name = path.rpartition(b"/")
            missing.append(name)
            folder = self._cached(path)
        for name in reversed(missing):
            path = b"%b/%b" % (path, name) if path else name
            folder = self._step(folder, name, path, create=create)
        return folder

    def _cached(self, path: bytes) -> Folder | None:
        if not path:
            return self.root
        folder = self._by_path.pop(path, None)
        if folder is not None:
            # Now the youngest in the order of the dict.
            self._by_path[path] = folder
        return folder

    def _step(self, parent: Folder, name: bytes, path: bytes, *, create: bool) -> Folder:
        try:
            fd = os.open(name, _OPEN, dir_fd=parent.fd)
        except FileNotFoundError:
            if not create:
                raise ImageError(f"{shown(path)}: no such directory in this layer") from None
            os.mkdir(name, 0o755, dir_fd=parent.fd)
            fd = os.open(name, _OPEN, dir_fd=parent.fd)
        except OSError as error:
            if error.errno not in (errno.ENOTDIR, errno.ELOOP):
                raise
            return self._step_elsewhere(parent, name, path, create=create)
        return self._remember(path, Folder(fd))

    def _step_elsewhere(self, parent: Folder, name: bytes, path: bytes, *, create: bool) -> Folder:
        """The directory that a symbolic link leads to or that has to replace a whiteout."""
        info = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        if stat.S_ISLNK(info.st_mode):
            return self._remember(path, self._walk(self._resolved(path), create=False))
        if not create or not whiteouts.is_whiteout(info):
            raise _not_a_directory(path)
        os.unlink(name, dir_fd=parent.fd)
        os.mkdir(name, 0o755, dir_fd=parent.fd)
        folder = self.enter(parent, name, path)
        whiteouts.make_opaque(folder.fd)
        return folder

    def _resolved(self, path: bytes) -> bytes:
        """`path` without links, as chroot(2) into the root would find it."""
        done: list[bytes] = []
        pending = path.split(b"/")[::-1]
        links = 0
        while pending:
            part = pending.pop()
            target = self._link_at(done, part, path)
            if target is None:
                done = done[:-1] if part == b".." else [*done, part]
                continue
            links += 1
            if links > _MAX_LINKS:
                raise _not_a_directory(path)
            if target.startswith(b"/"):
                done = []
            pending += [part for part in target.split(b"/")[::-1] if part not in (b"", b".")]
        return b"/".join(done)

    def _link_at(self, folder: list[bytes], name: bytes, path: bytes) -> bytes | None:
        """The target of the link `name` in `folder`, None when it is something else."""
        if name == b"..":
            return None
        try:
            return os.readlink(name, dir_fd=self._walk(b"/".join(folder), create=False).fd)
        except FileNotFoundError:
            raise _not_a_directory(path) from None
        except OSError as error:
            if error.errno != errno.EINVAL:
                raise
            return None

    def enter(self, parent: Folder, name: bytes, path: bytes) -> Folder:
        """The real directory `name` of `parent`; OSError (ENOTDIR) for links and other things."""
        known = self._cached(path)
        if known is not None:
            return known
        return self._remember(path, Folder(os.open(name, _OPEN, dir_fd=parent.fd)))

    def _remember(self, path: bytes, folder: Folder) -> Folder:
        known = self._by_inode.setdefault(folder.inode, folder)
        if known is not folder:
            os.close(folder.fd)
        known.paths += 1
        self._by_path[path] = known
        if len(self._by_path) > _CAPACITY:
            self._forget(next(iter(self._by_path)))
        return known

    def _forget(self, path: bytes) -> None:
        folder = self._by_path.pop(path)
        folder.paths -= 1
        if not folder.paths and folder is not self.root:
            del self._by_inode[folder.inode]
            folder.close()

    def forget_all(self, keep: Folder) -> None:
        """Forget every path: something in the tree was replaced. `keep` stays open."""
        for path in [path for path, folder in self._by_path.items() if folder is not keep]:
            self._forget(path)

    def close(self) -> None:
        """Set the mtimes of all that are still open, the root's last."""
        for path in list(self._by_path):
            self._forget(path)
        self.root.close()


def _not_a_directory(path: bytes) -> ImageError:
    return ImageError(f"{shown(path)}: not a directory, but other entries are below it")
