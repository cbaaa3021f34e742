"""A squashfs file as an image: what is in it besides the file system, and whether it is whole.

On the start path of `rl run FILE.sqsh`: a few hundred bytes are read, and no file system.
"""

from __future__ import annotations

import os
import stat

from rootless.errors import ImageError, NotFoundError, describe_os_error
from rootless.model import config_types, imagefile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_VERSION = 1


class SquashFile:
    """An image file. path: absolute. fingerprint: other content, another one. size: bytes. ids: how
    many users and groups own what is in it.

    image_id and name are what the file says of itself, "" for one that another program made; config
    is the whole image configuration, passwd and group the image's own files, None where the file
    does not tell.
    """

    __slots__ = (
        "compression", "config", "fingerprint", "group", "ids", "image_id", "name", "passwd",
        "path", "size",
    )  # fmt: skip

    def __init__(self, path: str, fd: int) -> None:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise ImageError(f"{path}: is no regular file")
        self.path = path
        self.size = info.st_size
        head = os.pread(fd, imagefile.SUPERBLOCK_SIZE, 0)
        try:
            block = imagefile.Superblock(head)
        except ValueError as error:
            raise ImageError(f"{path}: {error}", hint=f"file {path}") from None
        if block.end > self.size:
            raise ImageError(
                f"{path}: is cut short: has {self.size} of {block.end} bytes", f"ls -l {path}"
            )
        self.compression = block.compression
        self.ids = block.ids
        told = _read_section(fd, block.section) or {}
        if told.get("superblock") != head.hex():
            told = {}  # mksquashfs has appended to the file since
        self.config: dict[str, Any] = _of_type(told.get("config"), dict) or {}
        config_types.check(self.config, f"{path}: configuration")
        self.image_id = str(told.get("image_id") or "")
        self.name = str(told.get("name") or "")
        self.passwd: str | None = _of_type(told.get("passwd"), str)
        self.group: str | None = _of_type(told.get("group"), str)
        # Not the inode: another node of a cluster sees other numbers, a copy has others.
        mark = self.image_id or str(info.st_mtime_ns)
        self.fingerprint = f"{head.hex()}-{self.size}-{mark}"

    @property
    def section(self) -> dict[str, Any]:
        """What containers of it get: Env, Cmd, User and their like."""
        return self.config.get("config") or {}


def read(path: str) -> SquashFile:
    """The image file at `path`, absolute. Raises NotFoundError, ImageError."""
    try:
        # O_NONBLOCK: a FIFO in its place must not hang the run.
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise NotFoundError(describe_os_error(error), hint=f"ls -l {path}") from error
    try:
        return SquashFile(path, fd)
    except OSError as error:
        raise ImageError(f"{path}: {error.strerror}") from error
    finally:
        os.close(fd)


def _read_section(fd: int, offset: int) -> dict[str, Any] | None:
    """What `append` has written; None where there is nothing of that kind."""
    try:
        length = imagefile.section_length(os.pread(fd, imagefile.HEAD_SIZE, offset))
    except (OSError, OverflowError):
        return None
    if length < 0:
        return None
    from rootless.model import jsontext

    try:
        document = jsontext.loads(os.pread(fd, length, offset + imagefile.HEAD_SIZE))
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) and document.get("version") == _VERSION else None


def append(
    fd: int, *, name: str, image_id: str, config: dict[str, Any], passwd: str, group: str
) -> None:
    """Write the section into a fresh squashfs file. Raises OSError, ValueError for no such file."""
    head = os.pread(fd, imagefile.SUPERBLOCK_SIZE, 0)
    block = imagefile.Superblock(head)
    data = imagefile.section(
        {
            "version": _VERSION,
            "superblock": head.hex(),
            "name": name,
            "image_id": image_id,
            "config": config,
            "passwd": passwd,
            "group": group,
        }
    )
    # Whatever padding mksquashfs has written, or not.
    os.ftruncate(fd, block.section)
    while data:
        data = data[os.pwrite(fd, data, os.fstat(fd).st_size) :]


def _of_type(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) else None
