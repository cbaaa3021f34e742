"""Unpacks a tar stream into a tree that is in use: `rl cp`, in both directions.

The stream is hostile when it comes out of a container, the tree is when it is a container's: its
processes may put links in the way at any moment. Both are met by what unpacks layers as well
(`rootless.image.unpack`): every step is one name below a directory's descriptor. What differs from
a layer: `.wh.` means nothing, a directory never takes the place of a file or the other way round
(docker-cp(1)), and directories that were there keep neither their times nor their content.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import ImageError, RlError
from rootless.image import entrynames, tarentry
from rootless.image.bytestream import ByteStream
from rootless.image.folders import Folders
from rootless.image.tarentry import shown
from rootless.image.tarstream import TarReader
from rootless.image.unpack import Unpacker
from rootless.model.idmap import IdMaps
from rootless.store import trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.image.folders import Folder
    from rootless.image.tarentry import Entry

_PIECE = 1 << 18
_OWNER_MAY = stat.S_IWUSR | stat.S_IXUSR | stat.S_IRUSR
# For who may give files to nobody else.
OWN_FILES = IdMaps(((0, 0, 1),), ((0, 0, 1),))


class Naming:
    """What the entries of a stream are called where they go.

    base: the directory, as a path below the root. old, new: the entry `old` and those below it are
    called `new`; old is "" where the entries are the content of a directory, and with new "" too
    every name stays as it is.
    """

    __slots__ = ("base", "new", "old")

    def __init__(self, base: bytes, old: bytes = b"", new: bytes = b"") -> None:
        self.base = base
        self.old = old
        self.new = new

    def path(self, name: bytes) -> bytes:
        """Where the entry goes, below the root. Raises ImageError for a name outside of `old`."""
        if self.old and name != self.old and not name.startswith(self.old + b"/"):
            raise ImageError(f"{shown(name)}: unexpected in an archive of {shown(self.old)}")
        rest = name[len(self.old) :].lstrip(b"/")
        return b"/".join(part for part in (self.base, self.new, rest) if part)


class Owners:
    """Who owns what is unpacked: as the archive says (`keep`), or else root of the namespace.

    maps: the namespace's. special: whether set-user-ID and set-group-ID bits are kept; they would
    lend the rights of who unpacks to whoever starts the file.
    """

    __slots__ = ("keep", "maps", "special")

    def __init__(self, maps: IdMaps, *, keep: bool, special: bool) -> None:
        self.maps = maps
        self.keep = keep
        self.special = special


def pieces(fd: int) -> Iterator[bytes]:
    """The bytes of `fd` to its end."""
    while piece := os.read(fd, _PIECE):
        yield piece


def extract(
    source: Iterator[bytes], root_fd: int, target_fd: int, naming: Naming, owners: Owners
) -> list[str]:
    """Unpack the tar stream `source` into the directory `target_fd`; what was left out, in words.

    root_fd: where absolute links in the tree begin; naming.base: how target_fd is called below it.
    Takes over both directories' descriptors. Raises RlError that names the entry.
    """
    folders = Folders(root_fd, restore_times=False)
    if naming.base:
        folders.pin(naming.base, target_fd)
    else:
        os.close(target_fd)
    old_umask = os.umask(0)
    extraction = _Extraction(folders, naming, owners)
    try:
        extraction.apply_all(TarReader(ByteStream(source)))
        extraction.finish()
    finally:
        os.umask(old_umask)
        folders.close()
    # What fills the archive up to its last block: who writes it must not fail.
    for _ in source:
        pass
    return extraction.notes.lines()


class _Extraction(Unpacker):
    def __init__(self, folders: Folders, naming: Naming, owners: Owners) -> None:
        super().__init__(folders, owners.maps)
        self._naming = naming
        self._owners = owners
        # Directories that their owner may not write to, until all is in them.
        self._closed: list[tuple[bytes, int]] = []

    def _apply(self, entry: Entry, reader: TarReader) -> None:
        name = entrynames.clean(entry.name, entry.name)
        path = self._naming.path(name)
        if entry.kind == tarentry.LINK:
            entry.link = self._naming.path(entrynames.clean(entry.link, entry.name))
        if path == self._naming.base:
            return  # the directory that was named as the target stays as it is
        if not self._owners.keep:
            entry.uid = entry.gid = 0
        if not self._owners.special and entry.kind != tarentry.DIRECTORY:
            entry.mode &= ~(stat.S_ISUID | stat.S_ISGID)
        self._make(path, entry, reader)

    def _directory(self, entry: Entry, parent: Folder, name: bytes, path: bytes) -> None:
        if entry.mode & _OWNER_MAY != _OWNER_MAY:
            self._closed.append((path, entry.mode))
            entry.mode |= _OWNER_MAY
        super()._directory(entry, parent, name, path)

    def _device(self, entry: Entry, parent: Folder, name: bytes, path: bytes) -> None:
        if self._owners.keep:
            super()._device(entry, parent, name, path)
        else:
            self.notes.add("device nodes not made", path)  # nobody would read what stands for them

    def finish(self) -> None:
        """Give directories the modes that would have been in the way. Raises RlError, OSError."""
        for path, mode in reversed(self._closed):
            os.fchmod(self.folders.find(path).fd, mode)

    def _explained(self, entry: Entry, error: OSError) -> RlError:
        is_full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        return RlError(f"{shown(entry.name)}: {error.strerror}", "df -h; df -i" if is_full else "")

    def _existing_directory(self, parent: Folder, name: bytes, path: bytes) -> Folder:
        info = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        if not stat.S_ISDIR(info.st_mode):
            raise RlError(f"cannot overwrite non-directory {shown(path)} with a directory")
        return self.folders.enter(parent, name, path)

    def _remove(self, parent: Folder, name: bytes) -> None:
        try:
            info = os.stat(name, dir_fd=parent.fd, follow_symlinks=False)
        except FileNotFoundError:
            return
        if stat.S_ISDIR(info.st_mode):
            raise RlError(f"cannot overwrite directory {shown(name)} with a non-directory")
        if _is_mount_point(parent.fd, name):
            # From another mount namespace the kernel would let us unlink it, mount and all.
            raise RlError(f"cannot overwrite {shown(name)}: it is a mount point")
        trees.remove_at(parent.fd, name)
        if stat.S_ISLNK(info.st_mode):
            self.folders.forget_all(parent)


def _is_mount_point(folder: int, name: bytes) -> bool:
    fd = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    try:
        return _mount_id(fd) != _mount_id(folder)
    finally:
        os.close(fd)


def _mount_id(fd: int) -> str:
    """The mount that `fd` is on, as proc_pid_fdinfo(5) numbers it."""
    with open(f"/proc/self/fdinfo/{fd}") as file:
        return next((line for line in file if line.startswith("mnt_id:")), "")
