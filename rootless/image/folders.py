"""The directories of a tree that is being unpacked, as a bounded cache of descriptors.

Every name from the archive is used relative to one of these descriptors. A directory is opened by
one component below its parent's descriptor without following links. Where the archive put a
symbolic link in the way, the link is read and its components are opened in the same manner from the
root on, ".." only ever taking one off: as chroot(2) would, never above the root. (openat2(2) does
that too, but not before Linux 5.6, and its directories would not be shared with this cache.)

Putting something into a directory changes its mtime. The one it should have is kept while it is in
the cache and set again when it leaves, so memory does not grow with the number of directories.

All of it also holds in a tree that somebody else changes meanwhile (`rl cp` into a container that
runs): a directory that is moved takes its descriptor along, and nothing above the root is reached.
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
    """An open directory. mtime_ns: what it gets in the end, None to leave it as it becomes.

    setgid: new entries take its group.
    """

    __slots__ = ("fd", "identity", "mtime_ns", "paths", "setgid")

    def __init__(self, fd: int, *, restore_time: bool = True) -> None:
        info = os.fstat(fd)
        self.fd = fd
        self.identity = (info.st_dev, info.st_ino)
        self.mtime_ns = info.st_mtime_ns if restore_time else None
        self.setgid = bool(info.st_mode & stat.S_ISGID)
        # Under how many paths it is in the cache: links lead to one directory by several.
        self.paths = 0

    def close(self) -> None:
        """Set the mtime again and close."""
        try:
            if self.mtime_ns is not None:
                os.utime(self.fd, ns=(self.mtime_ns, self.mtime_ns))
        finally:
            os.close(self.fd)


class Folders:
    """The cache: `get` by the path in the archive, without slashes at either end.

    restore_times: whether directories that were there before keep their mtime.
    """

    def __init__(self, root_fd: int, *, restore_times: bool = True) -> None:
        self._restore_times = restore_times
        self.root = self._folder(root_fd)
        self._pinned: dict[bytes, Folder] = {b"": self.root}
        self._by_path: dict[bytes, Folder] = {}
        self._by_identity: dict[tuple[int, int], Folder] = {self.root.identity: self.root}

    def _folder(self, fd: int) -> Folder:
        return Folder(fd, restore_time=self._restore_times)

    def pin(self, path: bytes, fd: int) -> None:
        """Let `path` be the directory `fd` to the end, whatever becomes of the path; owns `fd`."""
        folder = self._folder(fd)
        self._pinned[path] = self._by_identity.setdefault(folder.identity, folder)
        if self._pinned[path] is not folder:
            os.close(fd)

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
        pinned = self._pinned.get(path)
        if pinned is not None:
            return pinned
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
        return self._remember(path, self._folder(fd))

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
        return self._remember(path, self._folder(os.open(name, _OPEN, dir_fd=parent.fd)))

    def _remember(self, path: bytes, folder: Folder) -> Folder:
        known = self._by_identity.setdefault(folder.identity, folder)
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
        if not folder.paths and folder not in self._pinned.values():
            del self._by_identity[folder.identity]
            folder.close()

    def forget_all(self, keep: Folder) -> None:
        """Forget every path: something in the tree was replaced. `keep` stays open."""
        for path in [path for path, folder in self._by_path.items() if folder is not keep]:
            self._forget(path)

    def close(self) -> None:
        """Set the mtimes of all that are still open, the root's last."""
        for path in list(self._by_path):
            self._forget(path)
        for folder in set(self._pinned.values()):
            folder.close()


def _not_a_directory(path: bytes) -> ImageError:
    return ImageError(f"{shown(path)}: not a directory, but other entries are below it")
