"""Waiting for changes of files (inotify(7))."""

from __future__ import annotations

import os

from rootless.kernel import libc

# linux/inotify.h
IN_MODIFY = 0x2
IN_MOVED_FROM = 0x40
IN_MOVED_TO = 0x80
IN_CREATE = 0x100
IN_DELETE = 0x200
IN_DELETE_SELF = 0x400
_ANY_CHANGE = IN_MODIFY | IN_MOVED_FROM | IN_MOVED_TO | IN_CREATE | IN_DELETE | IN_DELETE_SELF
# Whose files another machine, or a process behind it, may change without the kernel knowing: NFS,
# CIFS, SMB 2, Ceph, Lustre, GPFS, AFS, 9P, FUSE (linux/magic.h and the file systems' own).
_REMOTE = frozenset(
    (0x6969, 0xFF534D42, 0xFE534D42, 0x00C36400, 0x0BD00BD0, 0x47504653, 0x5346414F, 0x6B414653,
     0x01021997, 0x65735546)
)  # fmt: skip


class Watch:
    """Becomes readable when something in one of the directories added to it has changed."""

    def __init__(self) -> None:
        self.fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)

    def add(self, directory: str) -> None:
        """Watch what is in `directory`; harmless when repeated. Raises OSError."""
        libc.inotify_add_watch(self.fd, directory, _ANY_CHANGE)

    def clear(self) -> None:
        """Forget what has changed so far."""
        try:
            while os.read(self.fd, 65536):
                pass
        except BlockingIOError:
            pass

    def close(self) -> None:
        """End."""
        os.close(self.fd)


def sees_all_of(directory: str) -> bool:
    """Whether every change in `directory` is told to a watch."""
    try:
        fd = os.open(directory, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return libc.file_system_of(fd) not in _REMOTE
    finally:
        os.close(fd)
