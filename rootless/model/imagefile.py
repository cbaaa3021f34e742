"""Images that are files: how they are named, and the section of ours in a squashfs file. Pure.

The section stands behind the file system, where mksquashfs, unsquashfs, squashfuse and the kernel
do not look: at the first multiple of 4096 bytes after `bytes_used` of the superblock, 16 bytes of
magic, the length as 8 bytes (little-endian), and JSON. See decision 0039. The superblock's layout
is that of linux/fs/squashfs/squashfs_fs.h, version 4.0.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# What an image file is called; such a word is never looked for among the images' names.
SUFFIXES = (".sqsh", ".squashfs", ".sqfs")
SUPERBLOCK_SIZE = 96
# Far beyond any configuration with its user database.
MAX_SECTION = 8 << 20
HEAD_SIZE = 24
_MAGIC = b"hsqs"
_SECTION_MAGIC = b"rl-image-config\n"
_ALIGNMENT = 4096
_COMPRESSIONS = ("", "gzip", "lzma", "lzo", "xz", "lz4", "zstd")


def is_path(word: str) -> bool:
    """Whether `word`, where an image is named, is a file or a directory and never a name.

    It is when it begins with / ./ or ../ (no name does), or ends as such files do and has neither
    a tag nor a digest.
    """
    if word.startswith(("/", "./", "../")) or word in (".", ".."):
        return True
    return word.endswith(SUFFIXES) and ":" not in word and "@" not in word


class Superblock:
    """compression: mksquashfs's name of it, "" for an unknown one. ids: how many users and groups
    own its files. end: where the file system ends; section: where ours begins, if there is one."""

    __slots__ = ("compression", "end", "ids", "section")

    def __init__(self, data: bytes) -> None:
        """data: the file's first SUPERBLOCK_SIZE bytes. Raises ValueError: what is wrong."""
        if len(data) < SUPERBLOCK_SIZE or not data.startswith(_MAGIC):
            raise ValueError("is not a squashfs file")
        number = _number(data, 20, 2)
        self.ids = _number(data, 26, 2)
        major, minor = _number(data, 28, 2), _number(data, 30, 2)
        if (major, minor) != (4, 0):
            raise ValueError(f"is squashfs version {major}.{minor}, not 4.0")
        self.end = _number(data, 40, 8)
        self.section = -(-self.end // _ALIGNMENT) * _ALIGNMENT
        self.compression = _COMPRESSIONS[number] if number < len(_COMPRESSIONS) else ""


def _number(data: bytes, offset: int, size: int) -> int:
    return int.from_bytes(data[offset : offset + size], "little")


def section_length(head: bytes) -> int:
    """The length of the JSON after `head` (HEAD_SIZE bytes), -1 when it is no head of a section."""
    if len(head) != HEAD_SIZE or not head.startswith(_SECTION_MAGIC):
        return -1
    length = _number(head, 16, 8)
    return length if length <= MAX_SECTION else -1


def section(document: dict[str, Any]) -> bytes:
    """The section with `document`; the same bytes for equal ones."""
    from rootless.model import jsontext

    data = jsontext.dumps(document).encode()
    return _SECTION_MAGIC + len(data).to_bytes(8, "little") + data


def split_option(word: str) -> tuple[str, str]:
    """`DIR:O` of --rootfs (podman-run(1)): the directory, and the option after it, or ""."""
    folder, colon, option = word.rpartition(":")
    return (folder, option) if colon and option in ("O", "rw") else (word, "")
