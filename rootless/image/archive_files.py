"""The files of an image archive or directory, by their names, without anything being unpacked.

A tar archive is read once for its list of members; after that a member is a range of the archive.
What is compressed, or comes through a pipe, is first written to a nameless file in the store. So no
name out of an archive is ever a path here. Hard and symbolic links, which docker used for layers
that several images share, are followed within the list.
"""

from __future__ import annotations

import os
import posixpath
import stat

from rootless.errors import ImageError, describe_os_error
from rootless.image import decompress, tarentry
from rootless.image.tarentry import shown
from rootless.image.tarstream import TarReader
from rootless.store import files

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Protocol

    from rootless.image.tarentry import Entry
    from rootless.store.paths import Paths

    class Files(Protocol):
        """Named files to read; a context manager."""

        # What is read, for messages; and as it is typed, "" for standard input.
        what: str
        source: str

        def find(self, name: str) -> Range | None:
            """The file `name`, None where there is none. Raises ImageError."""

        def __enter__(self) -> Files: ...

        def __exit__(self, *exception: object) -> None: ...


_MAX_MEMBERS = 100_000
_MAX_NAME_BYTES = 4096
_MAX_LINKS = 8
_EMPTY = memoryview(b"")
_READ_BYTES = 1 << 16


class Range:
    """Part of an open file: where the bytes of one of the archive's files are.

    is_owned: whether who asked for it closes the descriptor.
    """

    __slots__ = ("fd", "is_owned", "offset", "size")

    def __init__(self, fd: int, offset: int, size: int, *, is_owned: bool = False) -> None:
        self.fd = fd
        self.offset = offset
        self.size = size
        self.is_owned = is_owned

    def read(self, offset: int, limit: int) -> bytes:
        """At most `limit` bytes from `offset` on, b"" at the end."""
        return os.pread(self.fd, max(0, min(limit, self.size - offset)), self.offset + offset)

    def close(self) -> None:
        """Done with it."""
        if self.is_owned:
            os.close(self.fd)


class _Window:
    """An archive's bytes for the TarReader, which passes over most of them."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._size = os.fstat(fd).st_size
        self.position = 0

    def some(self, limit: int) -> memoryview:
        """As ByteStream.some."""
        data = os.pread(self._fd, min(limit, _READ_BYTES), self.position)
        self.position += len(data)
        return memoryview(data) if data else _EMPTY

    def upto(self, count: int) -> bytes:
        """As ByteStream.upto."""
        data = os.pread(self._fd, count, self.position)
        self.position += len(data)
        return data

    def skip(self, count: int) -> bool:
        """As ByteStream.skip, without reading."""
        is_there = self.position + count <= self._size
        self.position = min(self.position + count, self._size)
        return is_there


class TarFiles:
    """The members of the tar archive `fd`, which is seekable, not compressed, and closed here."""

    def __init__(self, fd: int, source: str) -> None:
        self.what = _shown_source(source)
        self.source = source
        self._fd = fd
        self._members: dict[str, Range] = {}
        self._links: dict[str, str] = {}
        try:
            self._list()
        except BaseException:
            os.close(fd)
            raise

    def _list(self) -> None:
        window = _Window(self._fd)
        for count, entry in enumerate(self._entries(window), 1):
            if count > _MAX_MEMBERS or len(entry.name) > _MAX_NAME_BYTES:
                raise ImageError(f"{self.what}: no image archive: its list of files is too long")
            name = _clean(os.fsdecode(entry.name))
            if entry.kind == tarentry.FILE:
                if entry.sparse is not None:
                    raise ImageError(f"{self.what}: {shown(entry.name)}: is stored with holes")
                self._members[name] = Range(self._fd, window.position, entry.size)
                self._links.pop(name, None)
            elif entry.kind in (tarentry.LINK, tarentry.SYMLINK):
                folder = posixpath.dirname(name) if entry.kind == tarentry.SYMLINK else ""
                target = posixpath.join(folder, os.fsdecode(entry.link))
                self._links[name] = _clean(target)
                self._members.pop(name, None)

    def _entries(self, window: _Window) -> Iterator[Entry]:
        try:
            yield from TarReader(window)
        except ImageError as error:
            raise ImageError(f"{self.what}: {error.message}") from error

    def find(self, name: str) -> Range | None:
        """See Files."""
        name = _clean(name)
        for _ in range(_MAX_LINKS):
            if name not in self._links:
                return self._members.get(name)
            name = self._links[name]
        raise ImageError(f"{self.what}: {shown(os.fsencode(name))}: too many links")

    def __enter__(self) -> TarFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        os.close(self._fd)


def _clean(name: str) -> str:
    """One spelling for each name; those that lead out of the archive stay names of nothing."""
    return posixpath.normpath(name.lstrip("/"))


class FolderFiles:
    """The files below the directory `folder`."""

    def __init__(self, folder: str) -> None:
        self.what = self.source = folder
        self._folder = os.path.abspath(folder)

    def find(self, name: str) -> Range | None:
        """See Files. Only regular files: a FIFO in their place must not hang the load."""
        if name.startswith("/") or ".." in name.split("/"):
            return None
        try:
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
            fd = os.open(f"{self._folder}/{name}", flags)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError) as error:
            text = describe_os_error(error) if isinstance(error, OSError) else str(error)
            raise ImageError(f"{self.what}: {text}") from error
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            os.close(fd)
            raise ImageError(f"{self._folder}/{name}: not a regular file")
        return Range(fd, 0, info.st_size, is_owned=True)

    def __enter__(self) -> FolderFiles:
        return self

    def __exit__(self, *exception: object) -> None:
        pass


def opened(paths: Paths, source: str) -> Files:
    """The files of the archive or directory `source`, "" for standard input.

    Raises ImageError when it is neither, StoreError when the disk is full.
    """
    if source and os.path.isdir(source):
        return FolderFiles(source)
    try:
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC) if source else os.dup(0)
    except OSError as error:
        raise ImageError(describe_os_error(error)) from error
    try:
        is_plain = stat.S_ISREG(os.fstat(fd).st_mode) and _at_start(fd) and _is_plain(fd)
        if not is_plain:
            fd, compressed = _spooled(paths, fd, _shown_source(source)), fd
            os.close(compressed)
    except BaseException:
        os.close(fd)
        raise
    return TarFiles(fd, source)


def _shown_source(source: str) -> str:
    return source or "standard input"


def _at_start(fd: int) -> bool:
    return os.lseek(fd, 0, os.SEEK_CUR) == 0


def _is_plain(fd: int) -> bool:
    return not decompress.compression_of(os.pread(fd, 4, 0))


def _spooled(paths: Paths, fd: int, what: str) -> int:
    """A nameless file with the plain content of `fd`."""
    target = files.nameless(paths.tmp)
    try:
        for piece in decompress.pieces(fd):
            view = memoryview(piece)
            while view:
                view = view[os.write(target, view) :]
    except ImageError as error:
        os.close(target)
        raise ImageError(f"{what}: {error.message}") from error
    except OSError as error:
        os.close(target)
        raise files.explain(error, f"{paths.tmp}/load") from error
    except BaseException:
        os.close(target)
        raise
    return target
