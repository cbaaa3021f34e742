"""Which files are archives for ADD and for contexts, and what is in them, uncompressed.

As in the Dockerfile reference: by their first bytes, never by their name; gzip, bzip2, xz and zstd.
"""

from __future__ import annotations

import os

from rootless.errors import ImageError
from rootless.image import decompress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

_BLOCK = 512
_PIECE = 1 << 17
_XZ, _BZIP2 = b"\xfd7zXZ\x00", b"BZh"
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
COMPRESSED = (_XZ, _BZIP2, _GZIP, _ZSTD)
_MAGIC = slice(257, 262)
_CHECKSUM = slice(148, 156)


def pieces(fd: int) -> Iterator[bytes] | None:
    """The plain archive that the regular file `fd` holds; None when it holds none."""
    head = os.pread(fd, _BLOCK, 0)
    if not (head.startswith(COMPRESSED) or is_header(head)):
        return None
    try:
        first = next(plain(fd), b"")
    except ImageError:
        return None
    os.lseek(fd, 0, os.SEEK_SET)
    return plain(fd) if is_header(first[:_BLOCK]) else None


def is_header(block: bytes) -> bool:
    """Whether `block` is a tar header: by its magic, or where there is none, its checksum."""
    if len(block) < _BLOCK:
        return False
    if block[_MAGIC] == b"ustar":
        return True
    text = block[_CHECKSUM].strip(b" \0")
    if not text or any(digit not in b"01234567" for digit in text):
        return False
    total = sum(block) - sum(block[_CHECKSUM]) + 8 * ord(" ")
    return int(text, 8) == total


def plain(fd: int) -> Iterator[bytes]:
    """The content of `fd`, which can be a pipe, uncompressed. Raises ImageError when damaged."""
    if not os.path.isfile(f"/proc/self/fd/{fd}"):
        return decompress.pieces(fd)
    head = os.pread(fd, len(_XZ), 0)
    if head.startswith(_XZ):
        import lzma

        return _unpacked(fd, lzma.LZMADecompressor, lzma.LZMAError)
    if head.startswith(_BZIP2):
        import bz2

        return _unpacked(fd, bz2.BZ2Decompressor, OSError)
    return decompress.pieces(fd)


def _unpacked(fd: int, make: Any, failure: type[Exception]) -> Iterator[bytes]:
    unpacker = make()
    while data := os.read(fd, _PIECE):
        while data:
            try:
                piece = unpacker.decompress(data)
            except failure as error:
                raise ImageError(f"damaged archive: {error}") from None
            if piece:
                yield piece
            data = b""
            if unpacker.eof:
                # Several streams may follow each other.
                data = unpacker.unused_data.lstrip(b"\0")
                unpacker = make()
