"""Flags of inodes, as chattr(1) sets them (ioctl_iflags(2)); not every file system has them."""

from __future__ import annotations

import fcntl
import struct

# linux/fs.h: _IOR('f', 1, long) and _IOW('f', 2, long), though what is carried is an int.
FS_IOC_GETFLAGS = 0x8000_6601 | struct.calcsize("l") << 16
FS_IOC_SETFLAGS = 0x4000_6602 | struct.calcsize("l") << 16

FS_TOPDIR_FL = 0x0002_0000

_INT = struct.Struct("i")


def get(fd: int) -> int:
    """The flags of an open file. Raises OSError."""
    flags: int = _INT.unpack(fcntl.ioctl(fd, FS_IOC_GETFLAGS, bytes(_INT.size)))[0]
    return flags


def add(fd: int, flags: int) -> None:
    """Set `flags` besides those that the file has. Raises OSError."""
    fcntl.ioctl(fd, FS_IOC_SETFLAGS, _INT.pack(get(fd) | flags))
