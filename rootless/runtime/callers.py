"""Files as the caller of a system call means them, opened by a process outside of its container.

Paths are read out of the caller's memory once and then walked from its own root and its own working
directory: this process has the caller's root as its root while it does so, so that neither `..` nor
a link leads out of it. Links of /proc, which lead anywhere, are not followed. What is found is held
by descriptors that can do nothing (O_PATH); all that is done is done through those.

Nothing may be imported once `Callers.begin` was called: the root is a container's.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.kernel import libc, notify

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.kernel.notify import Notification

AT_SYMLINK_NOFOLLOW = 0x100
_AT_FDCWD = libc.AT_FDCWD & 0xFFFFFFFF
_PATH_MAX = 4096
_LOOK = os.O_PATH | os.O_CLOEXEC


class Gone(Exception):
    """The caller does not wait any more."""


class Callers:
    """listener: of the filter, to ask whether a caller still waits."""

    def __init__(self, listener: int) -> None:
        self._listener = listener
        self._proc = -1
        self._root = (0, 0)

    def begin(self) -> None:
        """In the process that answers: its working directory is /proc of the host from now on."""
        self._proc = os.open("/proc", _LOOK | os.O_DIRECTORY)
        os.fchdir(self._proc)

    def path_argument(self, waiting: Notification, number: int) -> str:
        """A path that the call was given. Raises OSError."""
        path = notify.read_string(waiting.pid, waiting.arguments[number], _PATH_MAX)
        if path is None:
            raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))
        return os.fsdecode(path)

    def file(self, waiting: Notification, number: int) -> int:
        """What the caller's descriptor leads to, as an O_PATH one. Raises OSError."""
        try:
            fd = os.open(f"{waiting.pid}/fd/{number}", _LOOK, dir_fd=self._proc)
        except FileNotFoundError:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF)) from None
        return self._checked(waiting, fd)

    def find(
        self, waiting: Notification, folder: int, path: str, *, follow: bool, more: int = 0
    ) -> int:
        """What `path` leads to, from the caller's descriptor `folder` (or AT_FDCWD) where it is
        relative. more: flags of open(2). Raises OSError, Gone."""
        self._take_root(waiting)
        base = self._base(waiting, folder)
        try:
            flags = _LOOK | more if follow else _LOOK | more | os.O_NOFOLLOW
            return libc.openat2(base, path, flags, resolve=libc.RESOLVE_NO_MAGICLINKS)
        finally:
            os.close(base)

    def _base(self, waiting: Notification, folder: int) -> int:
        if folder & 0xFFFFFFFF != _AT_FDCWD:
            return self.file(waiting, folder & 0xFFFFFFFF)
        fd = os.open(f"{waiting.pid}/cwd", _LOOK | os.O_DIRECTORY, dir_fd=self._proc)
        return self._checked(waiting, fd)

    def _take_root(self, waiting: Notification) -> None:
        fd = os.open(f"{waiting.pid}/root", _LOOK | os.O_DIRECTORY, dir_fd=self._proc)
        fd = self._checked(waiting, fd)
        try:
            info = os.fstat(fd)
            if (info.st_dev, info.st_ino) != self._root:
                self._change_root(fd)
                self._root = info.st_dev, info.st_ino
        finally:
            os.close(fd)

    def _change_root(self, fd: int) -> None:
        os.fchdir(fd)
        try:
            os.chroot(".")
        finally:
            os.fchdir(self._proc)

    def _checked(self, waiting: Notification, fd: int) -> int:
        """`fd`, opened by the caller's pid, if that was the caller's still."""
        if notify.is_waiting(self._listener, waiting.id):
            return fd
        os.close(fd)
        raise Gone

    def mount_of(self, fd: int) -> int:
        """The id of the mount that a descriptor is in."""
        return _number(_field(self._read(f"self/fdinfo/{fd}"), "mnt_id"))

    def umask_of(self, pid: int) -> int:
        """Of a process."""
        return int(_field(self._read(f"{pid}/status"), "Umask") or "022", 8)

    def _read(self, path: str) -> str:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc)
        try:
            return os.read(fd, 1 << 14).decode(errors="replace")
        finally:
            os.close(fd)


def by_fd(fd: int) -> str:
    """A path that leads to what `fd` is, for calls that take no O_PATH descriptor."""
    return f"self/fd/{fd}"


def is_markable(info: os.stat_result) -> bool:
    """Whether the kernel lets such a file have attributes of the user's (xattr(7))."""
    return stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)


def _field(text: str, name: str) -> str:
    for line in text.splitlines():
        key, _, value = line.partition(":")
        if key == name:
            return value.strip()
    return ""


def _number(text: str) -> int:
    return int(text) if text.isdigit() else -1
