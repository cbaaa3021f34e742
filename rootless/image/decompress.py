"""Compressed blobs as a stream of plain bytes, in pieces of at most 1 MiB.

What a blob is compressed with is seen from its first bytes (magic(5)), not from its media type,
which registries are known to get wrong. gzip goes through `isal` where that is installed (twice as
fast as zlib), zstd through Python 3.14's library or its backport.
"""

from __future__ import annotations

import os
import zlib

from rootless.errors import HostError, ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

GZIP, ZSTD = "gzip", "zstd"
PIECE = 1024 * 1024
_INPUT = 128 * 1024
_GZIP_MAGIC = b"\x1f\x8b"
# RFC 8878, 3.1.1; a skippable frame (3.1.2) may come first.
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"


def pieces(fd: int) -> Iterator[bytes]:
    """The plain content of the blob that is read from `fd` to its end.

    Raises ImageError when the blob is damaged or cut, HostError when nothing here reads zstd.
    """
    head = _read_head(fd)
    kind = compression_of(head)
    if kind == GZIP:
        return _gunzip(fd, head)
    return _unzstd(fd, head) if kind == ZSTD else _plain(fd, head)


def compression_of(head: bytes) -> str:
    """GZIP, ZSTD or "", by the first four bytes."""
    if head.startswith(_GZIP_MAGIC):
        return GZIP
    if head.startswith(_ZSTD_MAGIC) or (head[1:4] == _ZSTD_SKIPPABLE and head[0] & 0xF0 == 0x50):
        return ZSTD
    return ""


def _read_head(fd: int) -> bytes:
    head = b""
    while len(head) < 4:
        more = os.read(fd, _INPUT)
        if not more:
            break
        head += more
    return head


def _plain(fd: int, head: bytes) -> Iterator[bytes]:
    while head:
        yield head
        head = os.read(fd, PIECE)


def _gunzip(fd: int, data: bytes) -> Iterator[bytes]:
    library = _gzip_library()
    while data:
        member = library.decompressobj(wbits=31)
        while not member.eof:
            if not data:
                raise ImageError("cut in the middle of the gzip stream")
            try:
                piece = member.decompress(data, PIECE)
            except library.error as error:
                raise ImageError(f"damaged gzip stream: {error}") from None
            if piece:
                yield piece
            data = member.unconsumed_tail
            if not data and not member.eof:
                data = os.read(fd, _INPUT)
        data = _next_member(fd, member.unused_data)


def _next_member(fd: int, data: bytes) -> bytes:
    """What follows a gzip member: another one, or nothing after padding with zeros."""
    while len(data) < 2:
        more = os.read(fd, _INPUT)
        if not more:
            break
        data += more
    if not data or data.startswith(_GZIP_MAGIC):
        return data
    while data:
        if data.strip(b"\0"):
            raise ImageError("something that is not gzip follows the gzip stream")
        data = os.read(fd, _INPUT)
    return b""


def _gzip_library() -> Any:
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib
    return isal_zlib


def _unzstd(fd: int, data: bytes) -> Iterator[bytes]:
    library = zstd_library()
    while data:
        frame = library.ZstdDecompressor()
        while not frame.eof:
            if frame.needs_input and not data:
                data = os.read(fd, _INPUT)
                if not data:
                    raise ImageError("cut in the middle of the zstd stream")
            try:
                piece = frame.decompress(data, PIECE)
            except library.ZstdError as error:
                raise ImageError(f"damaged zstd stream: {error}") from None
            data = b""
            if piece:
                yield piece
        data = frame.unused_data or os.read(fd, _INPUT)


def zstd_library() -> Any:
    """The module that reads and writes zstd. Raises HostError."""
    try:
        from compression import zstd
    except ImportError:
        try:
            from backports import zstd
        except ImportError:
            raise HostError(
                "a layer is compressed with zstd, which this Python does not know",
                hint="python3 -m pip install backports.zstd",
            ) from None
    return zstd
