"""The FUSE protocol as bytes: what the kernel asks, what it is answered.

Layouts are those of include/uapi/linux/fuse.h, in the machine's byte order; see also fuse(4).
Pure: nothing here opens, reads or writes anything.
"""

from __future__ import annotations

import errno
import struct

MAJOR = 7
# The version whose layouts these are. Linux 5.4 has 7.31; a newer kernel keeps to what it is told.
MINOR = 31
# Kernels with an older minor want shorter answers to INIT (7.23, Linux 3.15).
_OLDEST_MINOR = 23

ROOT_NODE = 1

LOOKUP = 1
FORGET = 2
GETATTR = 3
SETATTR = 4
READLINK = 5
SYMLINK = 6
MKNOD = 8
MKDIR = 9
UNLINK = 10
RMDIR = 11
RENAME = 12
LINK = 13
OPEN = 14
READ = 15
WRITE = 16
STATFS = 17
RELEASE = 18
INIT = 26
OPENDIR = 27
READDIR = 28
RELEASEDIR = 29
ACCESS = 34
CREATE = 35
DESTROY = 38
BATCH_FORGET = 42
FALLOCATE = 43
RENAME2 = 45
TMPFILE = 51

# To these the kernel wants no answer.
SILENT = frozenset((FORGET, BATCH_FORGET))
# What changes files. A read-only mount keeps them from us, but root of the container may remount.
CHANGING = frozenset((
    SETATTR, SYMLINK, MKNOD, MKDIR, UNLINK, RMDIR, RENAME, LINK, WRITE, CREATE, FALLOCATE, RENAME2,
    TMPFILE,
))  # fmt: skip

FOPEN_DIRECT_IO = 1
DT_DIR, DT_REG, DT_LNK = 4, 8, 10

# The smallest buffer that the kernel accepts for reading a request (FUSE_MIN_READ_BUFFER). What
# does not fit, a long extended attribute, it refuses by itself.
REQUEST_MAX = 8192
_MAX_WRITE = 4096

# struct fuse_in_header: len, opcode, unique, nodeid, uid, gid, pid, total_extlen and padding.
_IN_HEADER = struct.Struct("=IIQQIIII")
HEADER_SIZE = _IN_HEADER.size
_IN_START = struct.Struct("=IIQ")
_OUT_HEADER = struct.Struct("=IiQ")
_INIT_IN = struct.Struct("=II")
# major, minor, max_readahead, flags, max_background, congestion_threshold, max_write, time_gran.
_INIT_OUT = struct.Struct("=IIIIHHII36x")
_ATTR = struct.Struct("=QQQQQQIIIIIIIIII")
_ENTRY_OUT = struct.Struct("=QQQQII")
_ATTR_OUT = struct.Struct("=QII")
OPEN_IN = struct.Struct("=II")
_OPEN_OUT = struct.Struct("=QII")
# fh, offset, size; read_flags, lock_owner, flags and padding do not matter to us.
READ_IN = struct.Struct("=QQI20x")
RELEASE_IN = struct.Struct("=QIIQ")
ACCESS_IN = struct.Struct("=II")
# blocks, bfree, bavail, files, ffree, bsize, namelen, frsize.
_STATFS_OUT = struct.Struct("=QQQQQIII28x")
_DIRENT = struct.Struct("=QQII")

NAME_MAX = 255
BLOCK = 4096

# FUSE_PARALLEL_DIROPS: readers of one directory need not wait for each other in the kernel.
_PARALLEL_DIROPS = 1 << 18


class Refusal(Exception):
    """An answer without content: `number` is the errno that the reader gets."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class Request:
    """One request of the kernel. Raises Refusal(EIO) when `raw` is none: cut off or padded.

    reader: the thread that asks, as the pid namespace counts in which the file system was mounted;
    0 for one from outside of that.
    """

    __slots__ = ("body", "node", "opcode", "reader", "unique")

    def __init__(self, raw: bytes) -> None:
        if len(raw) < HEADER_SIZE:
            raise Refusal(errno.EIO)
        head = _IN_HEADER.unpack_from(raw)
        length, self.opcode, self.unique, self.node, _, _, self.reader, _ = head
        if length != len(raw):
            raise Refusal(errno.EIO)
        self.body = raw[HEADER_SIZE:]

    def fields(self, layout: struct.Struct) -> tuple[int, ...]:
        """The arguments after `layout`. Raises Refusal when there are fewer bytes than that."""
        try:
            return layout.unpack_from(self.body)
        except struct.error:
            raise Refusal(errno.EIO) from None

    def name(self) -> bytes:
        """The argument of LOOKUP, a plain file name. Raises Refusal for anything else."""
        name, end, _ = self.body.partition(b"\0")
        if not end or not name:
            raise Refusal(errno.EIO)
        if len(name) > NAME_MAX:
            raise Refusal(errno.ENAMETOOLONG)
        if b"/" in name or name in (b".", b".."):
            raise Refusal(errno.ENOENT)
        return name


def unique_of(raw: bytes) -> int | None:
    """The number under which the request `raw` can be answered, None when there is none."""
    if len(raw) < _IN_START.size:
        return None
    _, _, unique = _IN_START.unpack_from(raw)
    return int(unique)


def reply(unique: int, payload: bytes) -> bytes:
    """A good answer to request `unique`."""
    return _OUT_HEADER.pack(_OUT_HEADER.size + len(payload), 0, unique) + payload


def refusal(unique: int, number: int) -> bytes:
    """The answer with errno `number` to request `unique`."""
    return _OUT_HEADER.pack(_OUT_HEADER.size, -number, unique)


def init(request: Request) -> bytes:
    """The answer to INIT. Raises Refusal for a protocol that is too old."""
    major, minor = request.fields(_INIT_IN)
    if (major, minor) < (MAJOR, _OLDEST_MINOR):
        raise Refusal(errno.EPROTO)
    # To a greater major the kernel is told ours and then starts anew.
    return _INIT_OUT.pack(
        MAJOR, min(minor, MINOR) if major == MAJOR else MINOR,
        0, _PARALLEL_DIROPS, 0, 0, _MAX_WRITE, 1,
    )  # fmt: skip


def is_our_major(request: Request) -> bool:
    """Whether the kernel goes on after our answer to INIT, instead of asking once more."""
    return request.fields(_INIT_IN)[0] == MAJOR


def attributes(node: int, mode: int, *, size: int = 0, seconds: int = 0) -> bytes:
    """struct fuse_attr of a file of root's; `seconds`: all its times since the epoch.

    One link, also for directories: it tells find(1) that links say nothing about subdirectories.
    """
    return _ATTR.pack(node, size, 0, seconds, seconds, seconds, 0, 0, 0, mode, 1, 0, 0, 0, BLOCK, 0)


def entry(node: int, attr: bytes, valid: int, attr_valid: int) -> bytes:
    """The answer to LOOKUP; the kernel may remember the name and the attributes so many seconds."""
    return _ENTRY_OUT.pack(node, 0, valid, attr_valid, 0, 0) + attr


def known(attr: bytes, valid: int) -> bytes:
    """The answer to GETATTR."""
    return _ATTR_OUT.pack(valid, 0, 0) + attr


def opened(handle: int, flags: int = 0) -> bytes:
    """The answer to OPEN and OPENDIR."""
    return _OPEN_OUT.pack(handle, flags, 0)


def statfs() -> bytes:
    """The answer to STATFS: nothing is stored here, as in /proc."""
    return _STATFS_OUT.pack(0, 0, 0, 0, 0, BLOCK, NAME_MAX, BLOCK)


def dirents(entries: list[tuple[int, int, bytes]]) -> bytes:
    """A directory's whole listing from its (node, DT_*, name) rows; offsets are those of bytes."""
    parts = []
    offset = 0
    for node, kind, name in entries:
        padded = -(-(_DIRENT.size + len(name)) // 8) * 8
        offset += padded
        parts.append((_DIRENT.pack(node, offset, len(name), kind) + name).ljust(padded, b"\0"))
    return b"".join(parts)


def some_dirents(listing: bytes, offset: int, size: int) -> bytes:
    """Whole entries of `listing` from `offset` on, at most `size` bytes of them.

    The offset may be any number: lseek(2) on a directory takes what a program gives it.
    """
    start = end = place = 0
    while place < len(listing):
        if place < offset:
            start = place = _next(listing, place)
            continue
        following = _next(listing, place)
        if following - start > size:
            break
        end = place = following
    return listing[start:end]


def _next(listing: bytes, place: int) -> int:
    following: int = _DIRENT.unpack_from(listing, place)[1]
    return following
