"""Flags of inodes, on the file system that the tests run on where it has them."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path

import pytest

from rootless.kernel import inodeflags

NODUMP = 0x40  # linux/fs.h, FS_NODUMP_FL: a flag without effect


def test_adding_keeps_what_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    stored = [NODUMP]

    def ioctl(fd: int, request: int, argument: bytes) -> bytes:
        if request == inodeflags.FS_IOC_SETFLAGS:
            stored.append(struct.unpack("i", argument)[0])
        return struct.pack("i", stored[-1])

    monkeypatch.setattr(fcntl, "ioctl", ioctl)
    inodeflags.add(3, inodeflags.FS_TOPDIR_FL)
    assert stored == [NODUMP, NODUMP | inodeflags.FS_TOPDIR_FL]


def test_the_kernel_knows_the_numbers(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        inodeflags.add(fd, NODUMP)
        assert inodeflags.get(fd) & NODUMP
    except OSError as error:
        # A file system without flags says so; another number would be EINVAL or worse.
        assert error.errno in (errno.ENOTTY, errno.EOPNOTSUPP)
    finally:
        os.close(fd)
