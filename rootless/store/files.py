"""Files that are either whole or not there, and locks between processes (flock(2))."""

from __future__ import annotations

import errno
import fcntl
import os
import stat

from rootless.errors import StoreError, describe_os_error

_counter = 0


def write_atomic(path: str, content: bytes, *, mode: int = 0o644, durable: bool = False) -> None:
    """Write `content` beside `path` and rename it there: a reader sees the old or the new file.

    mode: the file's permissions whatever the umask is, which a container does not share.
    durable: also survive a crash of the machine (fsync). Raises StoreError when the disk is full
    or the place cannot be written; nothing is left behind then.
    """
    global _counter
    _counter += 1
    temporary = f"{path}.{os.getpid()}.{_counter}.tmp"
    try:
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        try:
            os.fchmod(fd, mode)
            _write_all(fd, content)
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)
        os.rename(temporary, path)
    except OSError as error:
        unlink_if_there(temporary)
        raise explain(error, path) from error


def _write_all(fd: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(fd, view) :]


def nameless(folder: str) -> int:
    """A descriptor of a new file in `folder` that nobody else can open and that goes when closed.

    Raises OSError.
    """
    global _counter
    _counter += 1
    # Not O_TMPFILE, which network file systems do not have.
    path = f"{folder}/nameless-{os.getpid()}-{_counter}"
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    os.unlink(path)
    return fd


def unlink_if_there(path: str) -> None:
    """Unlink `path` as far as that is possible: for clearing up, where a failure is no news."""
    try:
        os.unlink(path)
    except OSError:
        pass


def explain(error: OSError, path: str) -> StoreError:
    """`error` on a file of the store as a StoreError whose hint fits the cause."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        folder = os.path.dirname(path) or "."
        look = f"df -h {folder}" if error.errno == errno.ENOSPC else "quota -s"
        return StoreError(f"{path}: {error.strerror}", hint=f"{look}; rl image prune")
    text = describe_os_error(error) if error.filename else f"{path}: {error.strerror}"
    if error.errno == errno.ENOLCK:
        # NFS without a lock daemon (flock(2), "NFS details").
        return StoreError(f"{path}: this file system has no locks", hint="export RL_ROOT=DIR")
    if error.errno in (errno.EACCES, errno.EROFS):
        folder = os.path.dirname(path) or "."
        return StoreError(text, hint=f"ls -ld {folder}; rl --root DIR …, or --runtime-dir DIR")
    return StoreError(text)


def is_private(path: str, uid: int) -> bool:
    """Whether `path` is a directory of `uid` that nobody else may write to or list."""
    try:
        info = os.lstat(path)
    except OSError:
        return False
    return stat.S_ISDIR(info.st_mode) and info.st_uid == uid and not info.st_mode & 0o077


def make_dirs(path: str, *, mode: int = 0o700) -> None:
    """Create `path` with exactly `mode`, and parents that are private, where they are missing.

    Raises StoreError.
    """
    try:
        # os.makedirs would leave the parents' mode to the umask.
        _make_dir(os.path.abspath(path), mode)
    except OSError as error:
        raise explain(error, path) from error


def _make_dir(path: str, mode: int) -> None:
    if os.path.isdir(path):
        return
    parent = os.path.dirname(path)
    if not os.path.isdir(parent):
        _make_dir(parent, 0o700)
    try:
        os.mkdir(path, mode)
        os.chmod(path, mode)
    except FileExistsError:
        if not os.path.isdir(path):
            raise


class Lock:
    """An flock(2) on a file, which is made when missing unless `create` is off; a context manager.

    The kernel drops it when the last process that holds the descriptor ends, however it ends.
    """

    def __init__(
        self, path: str, *, shared: bool = False, blocking: bool = True, create: bool = True
    ) -> None:
        self.path = path
        self.fd = -1
        self._flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        self._operation = (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (
            0 if blocking else fcntl.LOCK_NB
        )

    def acquire(self) -> bool:
        """Take the lock; False when it is not to be waited for and somebody else has it."""
        fd = os.open(self.path, self._flags, 0o600)
        try:
            fcntl.flock(fd, self._operation)
        except BlockingIOError:
            os.close(fd)
            return False
        except OSError as error:
            os.close(fd)
            raise explain(error, self.path) from error
        except BaseException:
            os.close(fd)
            raise
        self.fd = fd
        return True

    def is_current(self) -> bool:
        """Whether the file that is locked still has its name: who held it before may unlink it."""
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Lock:
        if not self.acquire():
            raise StoreError(f"{self.path}: locked by another process")
        return self

    def __exit__(self, *exception: object) -> None:
        self.release()
