"""tmpcopyup: a tmpfs that begins with a copy of the directory that it hides."""

from __future__ import annotations

import os
import stat

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_TO_LOOK = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20


def mount_filled(fd: int, mount: Callable[[], None], reopen: Callable[[], int]) -> int:
    """Call `mount`, which covers the directory `fd` (O_PATH) with an empty file system, and copy
    into that what the directory has; a descriptor (O_PATH) of the mount. Raises OSError.

    reopen: opens the same path again.
    """
    # Opened before the mount, this is the directory below it for good.
    hidden = os.open(f"/proc/self/fd/{fd}/.", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        mount()
        top = reopen()
        place = os.open(f"/proc/self/fd/{top}/.", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            copy_directory(hidden, place)
        finally:
            os.close(place)
        return top
    finally:
        os.close(hidden)


def copy_directory(source: int, target: int) -> None:
    """Copy what is in directory `source` to directory `target`, modes and owners too. No link is
    followed; devices, sockets and FIFOs are left out."""
    with os.scandir(source) as entries:
        names = [entry.name for entry in entries]
    for name in names:
        info = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(info.st_mode):
            _copy_folder(source, target, name)
        elif stat.S_ISLNK(info.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
        elif stat.S_ISREG(info.st_mode):
            _copy_file(source, target, name)
        else:
            continue
        os.chown(name, info.st_uid, info.st_gid, dir_fd=target, follow_symlinks=False)
        if not stat.S_ISLNK(info.st_mode):
            os.chmod(name, stat.S_IMODE(info.st_mode), dir_fd=target)


def _copy_folder(source: int, target: int, name: str) -> None:
    os.mkdir(name, 0o700, dir_fd=target)
    below, made = (os.open(name, _TO_LOOK, dir_fd=fd) for fd in (source, target))
    try:
        copy_directory(below, made)
    finally:
        os.close(below)
        os.close(made)


def _copy_file(source: int, target: int, name: str) -> None:
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    reader = os.open(name, flags, dir_fd=source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        writer = os.open(name, flags, 0o600, dir_fd=target)
        try:
            while chunk := os.read(reader, _CHUNK):
                os.write(writer, chunk)
        finally:
            os.close(writer)
    finally:
        os.close(reader)
