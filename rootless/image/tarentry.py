"""One member of a tar archive, as the reader hands it on."""

from __future__ import annotations

# Types (POSIX.1-2017, pax, "ustar Interchange Format", typeflag).
FILE, LINK, SYMLINK, CHAR, BLOCK_DEVICE, DIRECTORY, FIFO = b"0", b"1", b"2", b"3", b"4", b"5", b"6"


class Entry:
    """One member. size: bytes of data in the archive; real_size: bytes of the file it makes.

    name and link are as in the archive. device: (major, minor) of one. sparse lists (offset,
    length) of the data's parts.
    """

    __slots__ = (
        "device", "gid", "kind", "link", "mode", "mtime_ns", "name", "real_size", "size", "sparse",
        "uid", "xattrs",
    )  # fmt: skip

    def __init__(self, name: bytes, kind: bytes, link: bytes) -> None:
        self.name = name
        self.kind = kind
        self.link = link
        self.mode = self.uid = self.gid = self.size = self.real_size = self.mtime_ns = 0
        self.device = (0, 0)
        self.sparse: list[tuple[int, int]] | None = None
        self.xattrs: dict[bytes, bytes] = {}


def shown(name: bytes) -> str:
    """`name` for a message: printable, on one line and of bounded length."""
    text = repr(name.decode("utf-8", "backslashreplace"))[1:-1]
    return text if len(text) <= 200 else f"{text[:200]}…"
