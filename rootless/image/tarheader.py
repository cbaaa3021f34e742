"""Headers of tar archives as we write them: ustar, with a pax extended header where that is short.

Pure, and always the same bytes for the same member (POSIX.1-2017, pax, "ustar Interchange Format").
Names are bytes as they are: whatever their encoding is, readers hand them on.
"""

from __future__ import annotations

import struct

from rootless.image import tarentry

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

BLOCK = 512
_NAME, _PREFIX = 100, 155
_MAX_ID = 0o7777777
_MAX_SIZE = _MAX_TIME = 0o77777777777
_USTAR = struct.Struct("100s8s8s8s12s12s8sc100s8s32s32s8s8s155s12x")
_MAGIC = b"ustar\x0000"
_BLANK_CHECKSUM = b"        "
_EXTENDED = b"x"
# What a reader that knows no extended headers makes of one.
_EXTENDED_NAME = b"././@PaxHeader"


class Member:
    """What a header tells. size: bytes of data that follow; device: (major, minor)."""

    __slots__ = ("device", "gid", "kind", "link", "mode", "mtime", "name", "size", "uid", "xattrs")

    def __init__(
        self,
        name: bytes,
        kind: bytes,
        *,
        mode: int = 0o644,
        uid: int = 0,
        gid: int = 0,
        size: int = 0,
        mtime: int = 0,
        link: bytes = b"",
        device: tuple[int, int] = (0, 0),
        xattrs: Mapping[str, bytes] | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.mode = mode
        self.uid = uid
        self.gid = gid
        self.size = size
        self.mtime = mtime
        self.link = link
        self.device = device
        self.xattrs = xattrs


def header(member: Member) -> bytes:
    """The blocks that come before the member's data."""
    records = {f"SCHILY.xattr.{key}": value for key, value in sorted((member.xattrs or {}).items())}
    prefix, name = b"", member.name
    if len(name) > _NAME:
        prefix, name = _split(name)
        if not name:
            records["path"], name = member.name, member.name[:_NAME]
    link = member.link
    if len(link) > _NAME:
        records["linkpath"], link = link, link[:_NAME]
    uid = _fitting(records, "uid", member.uid, _MAX_ID)
    gid = _fitting(records, "gid", member.gid, _MAX_ID)
    size = _fitting(records, "size", member.size, _MAX_SIZE)
    mtime = _fitting(records, "mtime", member.mtime, _MAX_TIME)
    block = _block(name, member, (uid, gid, size, mtime), link, prefix)
    return _extended(records) + block if records else block


def _split(name: bytes) -> tuple[bytes, bytes]:
    """`name` as prefix and name, both "" where no slash is at the right place."""
    # The slash at the end of a directory is not one to split at.
    at = name.rfind(b"/", 0, min(_PREFIX + 1, len(name) - 1))
    if at <= 0 or len(name) - at - 1 > _NAME:
        return b"", b""
    return name[:at], name[at + 1 :]


def _fitting(records: dict[str, bytes], key: str, value: int, most: int) -> int:
    if 0 <= value <= most:
        return value
    records[key] = b"%d" % value
    return 0


def _block(
    name: bytes, member: Member, numbers: tuple[int, int, int, int], link: bytes, prefix: bytes
) -> bytes:
    uid, gid, size, mtime = numbers
    major, minor = member.device
    is_device = member.kind in (tarentry.CHAR, tarentry.BLOCK_DEVICE)
    block = _USTAR.pack(
        name, b"%07o" % (member.mode & 0o7777), b"%07o" % uid, b"%07o" % gid, b"%011o" % size,
        b"%011o" % mtime, _BLANK_CHECKSUM, member.kind, link, _MAGIC, b"", b"",
        b"%07o" % major if is_device else b"", b"%07o" % minor if is_device else b"", prefix,
    )  # fmt: skip
    return b"%b%06o\0 %b" % (block[:148], sum(block), block[156:])


def _extended(records: Mapping[str, bytes]) -> bytes:
    data = b"".join(_record(key.encode(errors="surrogateescape"), records[key]) for key in records)
    member = Member(_EXTENDED_NAME, _EXTENDED)
    numbers = 0, 0, len(data), 0
    return _block(_EXTENDED_NAME, member, numbers, b"", b"") + data + padding(len(data))


def _record(key: bytes, value: bytes) -> bytes:
    """`LENGTH KEY=VALUE`, where LENGTH counts its own digits."""
    rest = len(key) + len(value) + 3
    length = rest + len(str(rest))
    length = rest + len(str(length))
    return b"%d %b=%b\n" % (length, key, value)


def padding(size: int) -> bytes:
    """The zeros that fill the last block of `size` bytes of data."""
    return bytes(-size % BLOCK)
