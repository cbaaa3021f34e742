"""Reads tar archives from a stream: v7, ustar, GNU and PAX, as found in image layers.

Formats: POSIX.1-2017 pax "ustar Interchange Format" and "pax Header Block"; GNU tar manual,
"Basic Tar Format", "GNU Extensions" and "Sparse Formats"; libarchive's tar(5). Names stay bytes.
The archive is hostile: all that is believed is bounded, and every complaint names the entry. What a
name means is `rootless.image.unpack`'s to judge.
"""

from __future__ import annotations

import struct

from rootless.errors import ImageError
from rootless.image import paxheader, tarnumbers, tarsparse
from rootless.image.tarentry import (
    BLOCK_DEVICE,
    CHAR,
    DIRECTORY,
    FIFO,
    FILE,
    LINK,
    SYMLINK,
    Entry,
    shown,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    class Stream(Protocol):
        """What an archive is read from: as `rootless.image.bytestream.ByteStream`."""

        def some(self, limit: int) -> memoryview:
            """Between 1 and `limit` bytes; none at the end."""

        def upto(self, count: int) -> bytes:
            """`count` bytes, fewer only at the end."""

        def skip(self, count: int) -> bool:
            """Pass over `count` bytes; False when the stream ended before."""


BLOCK = 512
# Extended headers and sparse maps are kept in memory: none honest comes near this size.
MAX_HEADER = 1024 * 1024

_FIELDS = struct.Struct("100s8s8s8s12s12s8sc100s8s64x16x155s12x")
_TYPES = {FILE: FILE, b"\0": FILE, b"7": FILE, b"S": FILE}
_TYPES.update((kind, kind) for kind in (LINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO))
_DEVICES = (CHAR, BLOCK_DEVICE)
_LONG_NAME, _LONG_LINK, _VOLUME, _GNU_SPARSE = b"L", b"K", b"V", b"S"
_PAX, _PAX_GLOBAL, _PAX_SOLARIS = b"x", b"g", b"X"
_ZEROS = bytes(BLOCK)
_POSIX_MAGIC, _GNU_MAGIC = b"ustar\0", b"ustar  \0"


class TarReader:
    """Iterates over the entries; the data of the current one comes from `data`."""

    def __init__(self, stream: Stream) -> None:
        self._stream = stream
        self._left = 0
        self._padding = 0
        self._current = b""
        self._globals = paxheader.Attributes()

    def __iter__(self) -> Iterator[Entry]:
        while (entry := self._next()) is not None:
            yield entry

    def data(self) -> Iterator[memoryview]:
        """The current entry's data in the archive, in pieces."""
        while self._left:
            part = self._stream.some(self._left)
            if not part:
                raise self._error("the archive is cut in the middle of it")
            self._left -= len(part)
            yield part

    def _error(self, text: str) -> ImageError:
        where = shown(self._current) or "the beginning of the archive"
        return ImageError(f"{where}: {text}")

    def _next(self) -> Entry | None:
        pax: paxheader.Attributes | None = None
        long_name = long_link = None
        while (block := self._header_block()) is not None:
            kind = block[156:157]
            if kind in (_LONG_NAME, _LONG_LINK):
                text = self._payload(block).rstrip(b"\0")
                long_name, long_link = (
                    (text, long_link) if kind == _LONG_NAME else (long_name, text)
                )
            elif kind in (_PAX, _PAX_SOLARIS):
                pax = self._parse_pax(block)
            elif kind == _PAX_GLOBAL:
                self._globals.update_common(self._parse_pax(block))
            elif kind == _VOLUME:
                self._payload(block)
            else:
                return self._entry(block, pax, long_name, long_link)
        if pax is not None or long_name is not None or long_link is not None:
            raise self._error("the archive ends after an extended header")
        return None

    def _header_block(self) -> bytes | None:
        """The next header with a right checksum, None at the end of the archive."""
        if not self._stream.skip(self._left):
            raise self._error("the archive is cut in the middle of it")
        # A stream that ends here is whole: umoci-insert(1), for one, leaves out the filling of the
        # last block together with the end of the archive. The diff id vouches for the rest.
        self._stream.skip(self._padding)
        self._left = self._padding = 0
        block = self._stream.upto(BLOCK)
        if not block or block == _ZEROS:
            self._expect_end(block)
            return None
        if len(block) < BLOCK:
            raise self._error("the archive is cut after it")
        stored = self._number(block[148:156], "checksum")
        if stored != tarnumbers.checksum(block) and stored != tarnumbers.signed_checksum(block):
            raise self._error("what follows it is not a tar header (wrong checksum)")
        return block

    def _expect_end(self, block: bytes) -> None:
        # The end is two blocks of zeros; writers that leave one or both out are common.
        if block and self._stream.upto(BLOCK).strip(b"\0"):
            raise self._error("a lone block of zeros in the middle of the archive follows it")

    def _number(self, field: bytes, what: str) -> int:
        try:
            return tarnumbers.parse(field)
        except ValueError:
            raise self._error(f"not a number in the header's field {what}: {field!r}") from None

    def _open_data(self, size: int) -> None:
        if size < 0 or size > tarnumbers.MAX_SIZE:
            raise self._error(f"impossible size {size}")
        self._left = size
        self._padding = -size % BLOCK

    def _payload(self, block: bytes) -> bytes:
        """The data of an extended header."""
        size = self._number(block[124:136], "size")
        if not 0 <= size <= MAX_HEADER:
            raise self._error(f"followed by an extended header of {size} bytes")
        self._open_data(size)
        return b"".join(self.data())

    def _parse_pax(self, block: bytes) -> paxheader.Attributes:
        try:
            return paxheader.parse(self._payload(block))
        except ValueError as error:
            raise self._error(f"followed by a damaged PAX header: {error}") from None

    def _entry(
        self,
        block: bytes,
        pax: paxheader.Attributes | None,
        long_name: bytes | None,
        long_link: bytes | None,
    ) -> Entry:
        fields = _FIELDS.unpack(block)
        name, mode, uid, gid, size, mtime, _, typeflag, link, magic, prefix = fields
        self._current = _name(name, prefix if magic[:6] == _POSIX_MAGIC else b"", long_name)
        entry = Entry(
            self._current,
            _TYPES.get(typeflag, typeflag),
            link.partition(b"\0")[0] if long_link is None else long_link,
        )
        entry.mode = self._number(mode, "mode") & 0o7777
        entry.uid = self._number(uid, "uid")
        entry.gid = self._number(gid, "gid")
        entry.size = self._number(size, "size")
        entry.mtime_ns = self._number(mtime, "mtime") * 1_000_000_000
        if entry.kind in _DEVICES:
            entry.device = _device(block)
        attributes = self._effective(pax)
        if attributes is not None:
            self._apply(entry, attributes)
        self._finish(entry, block, attributes)
        return entry

    def _effective(self, pax: paxheader.Attributes | None) -> paxheader.Attributes | None:
        if not self._globals.texts:
            return pax
        merged = paxheader.Attributes()
        merged.update_common(self._globals)
        if pax is not None:
            merged.texts.update(pax.texts)
            merged.xattrs = pax.xattrs
            merged.sparse_texts = pax.sparse_texts
        return merged

    def _apply(self, entry: Entry, attributes: paxheader.Attributes) -> None:
        try:
            attributes.apply(entry)
        except ValueError as error:
            raise self._error(f"damaged PAX header: {error}") from None
        self._current = entry.name

    def _finish(self, entry: Entry, block: bytes, attributes: paxheader.Attributes | None) -> None:
        """Settle the type and the data's extent once all headers are known."""
        if entry.kind not in _TYPES:
            raise self._error(f"unknown type of entry {entry.kind!r}")
        if entry.kind == FILE and entry.name.endswith(b"/"):
            # How v7 tar, which had no type for it, wrote a directory.
            entry.kind = DIRECTORY
        if entry.kind != FILE:
            # Only files have data; what other types say there means something else or nothing.
            entry.size = 0
        self._open_data(entry.size)
        entry.real_size = entry.size
        if entry.kind == FILE:
            self._read_sparse(entry, block, attributes)

    def _read_sparse(
        self, entry: Entry, block: bytes, attributes: paxheader.Attributes | None
    ) -> None:
        try:
            if block[156:157] == _GNU_SPARSE:
                self._read_old_sparse(entry, block)
            elif attributes is not None and attributes.is_sparse():
                self._read_pax_sparse(entry, attributes)
            if entry.sparse is not None:
                tarsparse.check(entry.sparse, entry.size, entry.real_size)
        except ValueError as error:
            raise self._error(f"damaged sparse map: {error}") from None

    def _read_old_sparse(self, entry: Entry, block: bytes) -> None:
        # The map's further blocks stand between the header and the data and do not count as data.
        entry.sparse = tarsparse.parse_old(block[386:482])
        entry.real_size = tarnumbers.parse(block[483:495])
        more = block[482]
        while more:
            extension = self._stream.upto(BLOCK)
            if len(extension) < BLOCK or len(entry.sparse) * 24 > MAX_HEADER:
                raise ValueError("too long or cut")
            entry.sparse += tarsparse.parse_old(extension[:504])
            more = extension[504]

    def _read_pax_sparse(self, entry: Entry, attributes: paxheader.Attributes) -> None:
        entry.real_size = attributes.sparse_size(entry.size)
        if not attributes.has_map_in_data():
            entry.sparse = tarsparse.parse_pairs(attributes.sparse_numbers())
            return
        before = self._left
        entry.sparse = tarsparse.parse_in_data(self._map_block)
        entry.size -= before - self._left

    def _map_block(self) -> bytes:
        if self._left < BLOCK:
            raise ValueError("longer than the data")
        self._left -= BLOCK
        return self._stream.upto(BLOCK)


def _device(block: bytes) -> tuple[int, int]:
    """Major and minor number, 0 for what is none: hardly anybody makes devices of them."""
    try:
        return tarnumbers.parse(block[329:337]), tarnumbers.parse(block[337:345])
    except ValueError:
        return 0, 0


def _name(name: bytes, prefix: bytes, long_name: bytes | None) -> bytes:
    if long_name is not None:
        return long_name
    name = name.partition(b"\0")[0]
    prefix = prefix.partition(b"\0")[0]
    return b"%b/%b" % (prefix, name) if prefix else name
