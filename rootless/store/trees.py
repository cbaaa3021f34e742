"""Directory trees that somebody else filled: removing and measuring them.

Everything goes by directory descriptors, so that neither a symbolic link nor a path that is too
long nor a directory without permissions leads out of the tree or stops the work. Run it inside the
user namespace (tools.idmap.call) where subordinate ids own files.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless import log

_OPEN_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# How many descriptors a removal holds at most; deeper directories are moved to the top first.
_DEPTH = 48


def remove_tree(path: str) -> None:
    """Remove `path` and everything below it; a missing one is fine. Raises OSError."""
    log.effect(f"remove tree {path}")
    parent = os.open(os.path.dirname(path) or ".", _OPEN_DIRECTORY & ~os.O_NOFOLLOW)
    try:
        remove_at(parent, os.path.basename(path))
    finally:
        os.close(parent)


def remove_at(parent: int, name: str | bytes) -> None:
    """`remove_tree` for `name` in the directory `parent`."""
    if _unlink(parent, name):
        return
    top = _open(parent, name)
    if top < 0:
        return
    try:
        _Removal(top).run()
    finally:
        os.close(top)
    os.rmdir(name, dir_fd=parent)


class _Removal:
    """Empties the directory `top`."""

    def __init__(self, top: int) -> None:
        self.top = top
        self.moved = 0

    def run(self) -> None:
        # What was too deep stands at the top now; each round takes _DEPTH levels off.
        before = -1
        while before != self.moved:
            before = self.moved
            self.empty(self.top, 0)

    def empty(self, folder: int, depth: int) -> None:
        for name in os.listdir(folder):
            if _unlink(folder, name):
                continue
            if depth < _DEPTH:
                self.descend(folder, name, depth)
            else:
                self.move_up(folder, name)

    def descend(self, folder: int, name: str, depth: int) -> None:
        child = _open(folder, name)
        if child < 0:
            return
        try:
            self.empty(child, depth + 1)
        finally:
            os.close(child)
        os.rmdir(name, dir_fd=folder)

    def move_up(self, folder: int, name: str) -> None:
        # Renaming a directory rewrites its "..": for that it has to be writable.
        _make_accessible(folder, name)
        self.moved += 1
        while True:
            try:
                os.rename(
                    name, f".rl-{os.getpid()}-{self.moved}", src_dir_fd=folder, dst_dir_fd=self.top
                )
            except OSError as error:
                if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):
                    raise
                self.moved += 1
            else:
                return


def _unlink(folder: int, name: str | bytes) -> bool:
    """Unlink `name`; False when it is a directory."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    except PermissionError:
        # Either it is a directory (POSIX allows EPERM) or the directory around it is read-only.
        if stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode):
            return False
        _add_owner_bits(folder)
        os.unlink(name, dir_fd=folder)
    return True


def _open(folder: int, name: str | bytes) -> int:
    """The directory `name`, readable and writable for its owner; -1 when it is gone."""
    try:
        fd = os.open(name, _OPEN_DIRECTORY, dir_fd=folder)
    except FileNotFoundError:
        return -1
    except PermissionError:
        _make_accessible(folder, name)
        return os.open(name, _OPEN_DIRECTORY, dir_fd=folder)
    if os.fstat(fd).st_mode & 0o300 != 0o300:
        _add_owner_bits(fd)
    return fd


def _make_accessible(folder: int, name: str | bytes) -> None:
    fd = os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        _add_owner_bits(fd)
    finally:
        os.close(fd)


def _add_owner_bits(fd: int) -> None:
    # fchmod(2) refuses O_PATH descriptors; their /proc entry is the same file, whatever its name.
    try:
        os.chmod(f"/proc/self/fd/{fd}", stat.S_IMODE(os.fstat(fd).st_mode) | 0o700)
    except PermissionError:
        # Not ours: root of the user namespace may do without, anybody else fails later.
        pass


def du(path: str) -> tuple[int, int]:
    """(bytes allocated, number of files and directories) of the tree; hard links count once.

    Raises OSError. Only one descriptor is open at a time: upwards it goes by "..".
    """
    fd = os.open(path, _OPEN_DIRECTORY)
    try:
        return _Measure(fd).run()
    finally:
        os.close(fd)


def size(path: str) -> int:
    """Bytes in the tree's regular files, as `ls -l` tells them; hard links count once.

    Raises OSError.
    """
    fd = os.open(path, _OPEN_DIRECTORY)
    try:
        measure = _Measure(fd)
        measure.run()
        return measure.content
    finally:
        os.close(fd)


class _Measure:
    def __init__(self, top: int) -> None:
        self.bytes = 0
        self.content = 0
        self.files = 0
        self.links: set[tuple[int, int]] = set()
        self.fd = os.dup(top)
        # For each open level: its identity and the subdirectories still to visit.
        self.levels: list[tuple[tuple[int, int], list[str]]] = []

    def run(self) -> tuple[int, int]:
        try:
            self.count(os.fstat(self.fd))
            self.enter()
            while self.levels:
                pending = self.levels[-1][1]
                if pending:
                    self.go(pending.pop())
                    self.enter()
                else:
                    self.leave()
        finally:
            os.close(self.fd)
        return self.bytes, self.files

    def enter(self) -> None:
        info = os.fstat(self.fd)
        pending = []
        for name in os.listdir(self.fd):
            child = os.stat(name, dir_fd=self.fd, follow_symlinks=False)
            if stat.S_ISDIR(child.st_mode):
                pending.append(name)
            self.count(child)
        self.levels.append(((info.st_dev, info.st_ino), pending))

    def leave(self) -> None:
        self.levels.pop()
        if not self.levels:
            return
        self.go("..")
        info = os.fstat(self.fd)
        if (info.st_dev, info.st_ino) != self.levels[-1][0]:
            raise OSError(errno.EAGAIN, "the tree was moved while it was measured")

    def go(self, name: str) -> None:
        fd = os.open(name, _OPEN_DIRECTORY, dir_fd=self.fd)
        os.close(self.fd)
        self.fd = fd

    def count(self, info: os.stat_result) -> None:
        if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
            identity = (info.st_dev, info.st_ino)
            if identity in self.links:
                return
            self.links.add(identity)
        self.bytes += info.st_blocks * 512
        self.content += info.st_size if stat.S_ISREG(info.st_mode) else 0
        self.files += 1
