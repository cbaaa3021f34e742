"""What COPY, ADD and WORKDIR write: files into a tree, by the rules of the Dockerfile reference.

Works in the user namespace, on a root that is mounted (`roots`). Every step is one name below a
directory's descriptor (`image.unpack`, `image.folders`): links of the image lead nowhere else.
"""

from __future__ import annotations

import os
import stat
import time

from rootless.engine.building import archives, selection
from rootless.errors import RlError, UsageError
from rootless.image import entrynames, tarentry
from rootless.image.bytestream import ByteStream
from rootless.image.folders import Folders
from rootless.image.tarentry import Entry, shown
from rootless.image.tarstream import TarReader
from rootless.image.unpack import Unpacker
from rootless.kernel import mounts
from rootless.model import copyrule
from rootless.model.dockerfile.chmod import Mode
from rootless.runtime import inside
from rootless.store import trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless.engine.building.selection import File, Top, Wish
    from rootless.image.folders import Folder

_KINDS = {
    stat.S_IFREG: tarentry.FILE, stat.S_IFDIR: tarentry.DIRECTORY, stat.S_IFLNK: tarentry.SYMLINK,
    stat.S_IFIFO: tarentry.FIFO, stat.S_IFCHR: tarentry.CHAR, stat.S_IFBLK: tarentry.BLOCK_DEVICE,
}  # fmt: skip
_NEW_FOLDER = 0o755


class Changes:
    """What --chown and --chmod say; None to leave it. owner: (uid, gid)."""

    __slots__ = ("mode", "owner")

    def __init__(self, owner: tuple[int, int] | None, mode: Mode | None) -> None:
        self.owner = owner
        self.mode = mode


class Destination:
    """path: absolute, relative ones taken from WORKDIR; folder: it ends in a slash, or several
    things go there."""

    __slots__ = ("folder", "path")

    def __init__(self, path: str, *, folder: bool) -> None:
        self.path = copyrule.clean(path)
        self.folder = folder


class Placing(Unpacker):
    """Writes below `root`, an O_PATH descriptor. `close` at the end; notes: what was left out."""

    def __init__(self, root: int, changes: Changes) -> None:
        folder = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=root)
        super().__init__(Folders(folder, restore_times=False), inside.own_maps())
        self._root_fd = root
        self._changes = changes
        self._umask = os.umask(0)

    def close(self) -> None:
        """Give directories their times, and close them."""
        self.folders.close()
        os.umask(self._umask)

    # What is there.

    def is_folder(self, path: str) -> bool:
        """Whether `path` leads to a directory."""
        try:
            os.close(mounts.open_in_root(self._root_fd, path, os.O_PATH | os.O_DIRECTORY))
        except OSError:
            return False
        return True

    def make_folders(self, path: str, owner: tuple[int, int] | None = None) -> None:
        """mkdir -p: missing ones are owned as --chown says, or `owner`, or by root."""
        parts = path.split("/") if path else []
        for count in range(1, len(parts) + 1):
            above = "/".join(parts[:count])
            if not self.is_folder(above):
                entry = Entry(above.encode(errors="surrogateescape"), tarentry.DIRECTORY, b"")
                entry.mode = _NEW_FOLDER
                entry.uid, entry.gid = owner or self._changes.owner or (0, 0)
                entry.mtime_ns = time.time_ns()
                self._put(above, entry, None)

    # Trees.

    def copy(self, root: int, wish: Wish, target: Destination) -> None:
        """Copy what `wish` means of the tree `root`. Raises RlError."""
        found = selection.tops(root, wish)
        folder = target.folder or len(found) > 1 or wish.parents
        for top in found:
            self._copy_top(root, wish, top, target, folder=folder)

    def _copy_top(
        self, root: int, wish: Wish, top: Top, target: Destination, *, folder: bool
    ) -> None:
        if wish.parents:
            base = _joined(target.path, top.target)
            self.make_folders(base if top.is_dir else base.rpartition("/")[0])
        elif top.is_dir:
            base = target.path
            self.make_folders(base.rpartition("/")[0])
        elif wish.unpack and self._unpack_top(root, wish, top, target):
            return
        else:
            base = self.file_path(top.name, target, folder=folder)
        keeps_top = top.is_dir and self.is_folder(base)
        for one in selection.walk(root, wish, top):
            if one.path or not keeps_top:
                self._copy_one(one, _joined(base, one.path), owned=wish.owned)

    def file_path(self, name: str, target: Destination, *, folder: bool) -> str:
        """Where a file goes, its directory made."""
        if folder or self.is_folder(target.path):
            self.make_folders(target.path)
            return _joined(target.path, name)
        self.make_folders(target.path.rpartition("/")[0])
        return target.path

    def _copy_one(self, one: File, path: str, *, owned: bool) -> None:
        kind = _KINDS.get(stat.S_IFMT(one.info.st_mode))
        if kind is None:
            self.notes.add("sockets not copied", path.encode(errors="surrogateescape"))
            return
        entry = Entry(path.encode(errors="surrogateescape"), kind, b"")
        entry.mode = stat.S_IMODE(one.info.st_mode)
        entry.mtime_ns = one.info.st_mtime_ns
        entry.uid, entry.gid = selection.owner_of(one) if owned else (0, 0)
        if kind == tarentry.SYMLINK:
            entry.link = os.fsencode(os.readlink(one.name, dir_fd=one.folder))
        if kind != tarentry.FILE:
            self._put(path, self._changed(entry), None)
            return
        fd = selection.open_file(one)
        try:
            self._put(path, self._changed(entry), _FileData(fd, path, entry))
        finally:
            os.close(fd)

    def write_file(self, path: str, content: bytes, mode: int, mtime_ns: int | None = None) -> None:
        """Make the file `path`. Raises RlError."""
        entry = Entry(path.encode(errors="surrogateescape"), tarentry.FILE, b"")
        entry.mode = mode
        entry.mtime_ns = time.time_ns() if mtime_ns is None else mtime_ns
        entry.size = len(content)
        self._put(path, self._changed(entry), _Bytes(content))

    def write_open_file(self, path: str, fd: int, mode: int, mtime_ns: int) -> None:
        """Make the file `path` with the content of another. Raises RlError."""
        entry = Entry(path.encode(errors="surrogateescape"), tarentry.FILE, b"")
        entry.mode = mode
        entry.mtime_ns = mtime_ns
        self._put(path, self._changed(entry), _FileData(fd, path, entry))

    def _unpack_top(self, root: int, wish: Wish, top: Top, target: Destination) -> bool:
        """Unpack it if it is an archive."""
        for one in selection.walk(root, wish, top):
            if not stat.S_ISREG(one.info.st_mode):
                return False
            fd = selection.open_file(one)
            try:
                found = archives.pieces(fd)
                if found is None:
                    return False
                self.unpack(found, target)
            finally:
                os.close(fd)
        return True

    def unpack(self, archive: Iterator[bytes], target: Destination) -> None:
        """Unpack the plain archive below the target. Raises RlError."""
        self.make_folders(target.path)
        reader = TarReader(ByteStream(archive))
        base = target.path.encode(errors="surrogateescape")
        for entry in reader:
            self.files += 1
            inner = _clean(entry.name)
            if not inner:
                continue
            if entry.kind == tarentry.LINK:
                entry.link = b"/".join(part for part in (base, _clean(entry.link)) if part)
            path = b"/".join(part for part in (base, inner) if part)
            self._guarded(path, self._changed(entry), reader)

    # One entry.

    def _changed(self, entry: Entry) -> Entry:
        if self._changes.owner is not None:
            entry.uid, entry.gid = self._changes.owner
        if self._changes.mode is not None and entry.kind != tarentry.SYMLINK:
            is_dir = entry.kind == tarentry.DIRECTORY
            entry.mode = self._changes.mode.of(entry.mode, is_dir=is_dir)
        return entry

    def _put(self, path: str, entry: Entry, reader: Any) -> None:
        self.files += 1
        self._guarded(path.encode(errors="surrogateescape"), entry, reader)

    def _guarded(self, path: bytes, entry: Entry, reader: Any) -> None:
        try:
            self._make(path, entry, reader)
        except OSError as error:
            raise self._explained(entry, error) from error

    def _existing_directory(self, parent: Folder, name: bytes, path: bytes) -> Folder:
        info = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        if stat.S_ISLNK(info.st_mode):
            return self.folders.find(path)
        if not stat.S_ISDIR(info.st_mode):
            raise RlError(f"/{shown(path)}: is a file, a directory cannot take its place")
        return self.folders.enter(parent, name, path)

    def _remove(self, parent: Folder, name: bytes) -> None:
        try:
            info = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(info.st_mode):
            raise RlError(f"{shown(name)}: is a directory, a file cannot take its place")
        trees.remove_at(parent.fd, name)
        if stat.S_ISLNK(info.st_mode):
            self.folders.forget_all(parent)


class _FileData:
    """The content of a file for Unpacker, its holes left out."""

    def __init__(self, fd: int, name: str, entry: Entry) -> None:
        info = os.fstat(fd)
        if not stat.S_ISREG(info.st_mode):
            raise RlError(f"{name}: changed while it was copied")
        self._fd = fd
        self._extents = selection.extents(fd, info)
        entry.real_size = info.st_size
        entry.size = sum(length for _, length in self._extents)
        if entry.size != info.st_size:
            entry.sparse = self._extents
        granted = selection.capability(fd)
        if granted:
            entry.xattrs = {b"security.capability": granted}

    def data(self) -> Iterator[memoryview]:
        for offset, length in self._extents:
            for piece in selection.pieces(self._fd, offset, length):
                yield memoryview(piece)


class _Bytes:
    """A short content."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def data(self) -> Iterator[memoryview]:
        yield memoryview(self._content)


def _clean(name: bytes) -> bytes:
    return entrynames.clean(name, name)


def _joined(base: str, path: str) -> str:
    return "/".join(part for part in (base, path) if part)


def parse_mode(text: str) -> Mode | None:
    """--chmod; None for "". Raises UsageError."""
    if not text:
        return None
    try:
        return Mode(text)
    except ValueError:
        raise UsageError(
            f"--chmod={text}: not a mode", "--chmod=0755 or --chmod=u=rwX,go=rX", 1
        ) from None
