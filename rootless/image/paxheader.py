"""PAX extended headers (POSIX.1-2017, pax, "pax Extended Header"): records `LENGTH KEY=VALUE\\n`.

Pure. Only the keys that mean something to unpacking are kept.
"""

from __future__ import annotations

import re

from rootless.image import tarnumbers

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.tarentry import Entry

_COMMON = frozenset((b"path", b"linkpath", b"size", b"uid", b"gid", b"mtime"))
_SPARSE = frozenset(
    b"GNU.sparse." + key
    for key in (b"major", b"minor", b"name", b"realsize", b"size", b"map", b"numblocks")
)
_SPARSE_PAIR = (b"GNU.sparse.offset", b"GNU.sparse.numbytes")
_SCHILY = b"SCHILY.xattr."
_LIBARCHIVE = b"LIBARCHIVE.xattr."
_LENGTH = re.compile(rb"([1-9][0-9]{0,7}) ")
_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")


class Attributes:
    """What one extended header says. sparse_texts: format 0.0's repeated offsets and lengths."""

    __slots__ = ("sparse_texts", "texts", "xattrs")

    def __init__(self) -> None:
        self.texts: dict[bytes, bytes] = {}
        self.xattrs: dict[bytes, bytes] = {}
        self.sparse_texts: list[bytes] = []

    def add(self, key: bytes, value: bytes) -> None:
        """Take one record."""
        if key in _COMMON or key in _SPARSE:
            self.texts[key] = value
        elif key in _SPARSE_PAIR:
            if key != _SPARSE_PAIR[len(self.sparse_texts) % 2]:
                raise ValueError("GNU.sparse.offset and numbytes do not alternate")
            self.sparse_texts.append(value)
        elif key.startswith(_SCHILY):
            self.xattrs[key[len(_SCHILY) :]] = value
        elif key.startswith(_LIBARCHIVE):
            name = _ESCAPE.sub(lambda m: bytes([int(m[1], 16)]), key[len(_LIBARCHIVE) :])
            self.xattrs.setdefault(name, _base64(value))

    def update_common(self, other: Attributes) -> None:
        """Take what may stand in a global header: never what belongs to one file's content."""
        self.texts.update({key: other.texts[key] for key in _COMMON if key in other.texts})

    def apply(self, entry: Entry) -> None:
        """Override the entry's fields. Raises ValueError. An empty value takes a record back."""
        for key, value in self.texts.items():
            if not value:
                continue
            if key == b"path":
                entry.name = value
            elif key == b"linkpath":
                entry.link = value
            elif key == b"mtime":
                entry.mtime_ns = tarnumbers.parse_time(value)
            elif key in _COMMON:
                setattr(entry, key.decode(), tarnumbers.parse_decimal(value))
        if b"GNU.sparse.name" in self.texts:
            entry.name = self.texts[b"GNU.sparse.name"]
        entry.xattrs = self.xattrs

    def is_sparse(self) -> bool:
        """Whether the entry's data are the parts of a sparse file."""
        return self.has_map_in_data() or b"GNU.sparse.map" in self.texts or self._has_pairs()

    def _has_pairs(self) -> bool:
        return b"GNU.sparse.numblocks" in self.texts

    def has_map_in_data(self) -> bool:
        """Format 1.0. Raises ValueError for versions that do not exist."""
        major = self.texts.get(b"GNU.sparse.major")
        if major is None:
            return False
        if (major, self.texts.get(b"GNU.sparse.minor")) != (b"1", b"0"):
            raise ValueError("unknown version of GNU.sparse")
        return True

    def sparse_numbers(self) -> list[bytes]:
        """The map of formats 0.0 and 0.1: offset, length, offset, length, …"""
        text = self.texts.get(b"GNU.sparse.map")
        if text is None:
            return self.sparse_texts
        return text.split(b",") if text else []

    def sparse_size(self, default: int) -> int:
        """The whole file's size in bytes."""
        for key in (b"GNU.sparse.realsize", b"GNU.sparse.size"):
            if key in self.texts:
                return tarnumbers.parse_decimal(self.texts[key])
        return default


def parse(data: bytes) -> Attributes:
    """The records of one header. Raises ValueError with the reason."""
    attributes = Attributes()
    position = 0
    while position < len(data):
        match = _LENGTH.match(data, position)
        if match is None:
            if not data[position:].strip(b"\0"):
                break
            raise ValueError("a record without a length")
        end = position + int(match[1])
        if end > len(data) or end <= match.end() or data[end - 1 : end] != b"\n":
            raise ValueError("a record of the wrong length")
        key, equals, value = data[match.end() : end - 1].partition(b"=")
        if not equals or not key or b"\0" in key:
            raise ValueError("a record without a key")
        attributes.add(key, value)
        position = end
    return attributes


def _base64(value: bytes) -> bytes:
    import binascii

    # libarchive leaves the padding out.
    return binascii.a2b_base64(value + b"=" * (-len(value) % 4))
