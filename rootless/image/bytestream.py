"""A hashed stream of bytes, read in exact amounts, without copying where it can be helped."""

from __future__ import annotations

import hashlib

from rootless.errors import ImageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_EMPTY = memoryview(b"")


class ByteStream:
    """Reads pieces as they come; memory is one piece (and the previous one while joining)."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._hash = hashlib.sha256()
        self._view = _EMPTY
        self._position = 0

    def _refill(self) -> bool:
        piece = next(self._pieces, b"")
        self._hash.update(piece)
        self._view = memoryview(piece)
        self._position = 0
        return bool(piece)

    def some(self, limit: int) -> memoryview:
        """Between 1 and `limit` bytes; none at the end."""
        if self._position == len(self._view) and not self._refill():
            return _EMPTY
        start = self._position
        part = self._view[start : start + limit]
        self._position = start + len(part)
        return part

    def upto(self, count: int) -> bytes:
        """`count` bytes, fewer only at the end."""
        start = self._position
        if start + count <= len(self._view):
            self._position = start + count
            return bytes(self._view[start : start + count])
        parts = []
        while count:
            part = self.some(count)
            if not part:
                break
            parts.append(bytes(part))
            count -= len(part)
        return b"".join(parts)

    def skip(self, count: int) -> bool:
        """Pass over `count` bytes; False when the stream ended before."""
        while count:
            part = self.some(count)
            if not part:
                return False
            count -= len(part)
        return True

    def finish(self, limit: int) -> int:
        """Read to the end; how many bytes there were, not counting a tail or filling of zeros.

        Raises ImageError when there are more than `limit` bytes.
        """
        total = meaningful = 0
        while part := self.some(limit):
            total += len(part)
            if total > limit:
                raise ImageError(f"more than {limit} bytes after the end of the archive")
            meaningful += len(bytes(part).strip(b"\0"))
        return meaningful

    def digest(self) -> str:
        """The sha256 digest of everything that was read."""
        return f"sha256:{self._hash.hexdigest()}"
