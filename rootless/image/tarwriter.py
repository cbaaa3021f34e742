"""Writes a directory tree as a tar archive (POSIX.1-2017, pax) to a descriptor, as it goes.

For `rl cp` and `rl export`: the tree may be a container's, whose processes swap files for links or
FIFOs at any moment. So it is walked by descriptors, no link is followed, and a file is opened only
when its inode is known to be a regular file. Memory does not grow with what is in files, only with
the names of one directory at each level and with the files that have several names, or may have.
"""

from __future__ import annotations

import os
import stat
import tarfile

from rootless.image import owners
from rootless.kernel import libc
from rootless.kernel.mounts import fd_path
from rootless.model import ownermark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    # The extended attributes of the file that a path leads to: name → value.
    Xattrs = Callable[[str], dict[str, bytes]]

_CHUNK = 1 << 18
_PATH = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_BILLION = 10**9
# linux/magic.h
_FUSE = 0x65735546
# Notes of overlay file systems about their own layers, and of ours.
_NOTES = (
    "user.overlay.", "user.fuseoverlayfs.", "trusted.overlay.", "user.containers.",
    ownermark.PREFIX,
)  # fmt: skip
_CAPABILITY = "security.capability"
_TYPES = {
    stat.S_IFREG: tarfile.REGTYPE,
    stat.S_IFDIR: tarfile.DIRTYPE,
    stat.S_IFLNK: tarfile.SYMTYPE,
    stat.S_IFIFO: tarfile.FIFOTYPE,
    stat.S_IFCHR: tarfile.CHRTYPE,
    stat.S_IFBLK: tarfile.BLKTYPE,
}


def capabilities_only(path: str) -> dict[str, bytes]:
    """What docker cp keeps of a file's extended attributes."""
    try:
        return {_CAPABILITY: os.getxattr(path, _CAPABILITY)}
    except OSError:
        return {}


def all_xattrs(path: str) -> dict[str, bytes]:
    """Every attribute that belongs to the file itself."""
    found = {}
    try:
        for name in os.listxattr(path):
            if name.startswith("user.") and not name.startswith(_NOTES):
                found[name] = os.getxattr(path, name)
    except OSError:
        pass  # a file system without any, or a file that went away
    return {**found, **capabilities_only(path)}


class TarWriter:
    """An archive that is being written to the descriptor `fd`.

    xattrs: which extended attributes go along. whole_seconds: times without fractions, as docker
    and podman export them; a fraction takes a kilobyte more. one_system: what is mounted below is
    left out. marks: owners are beside the files (`rootless.image.owners`).
    """

    def __init__(
        self,
        fd: int,
        *,
        xattrs: Xattrs = capabilities_only,
        whole_seconds: bool = False,
        one_system: bool = False,
        marks: bool = False,
    ) -> None:
        self._fd = fd
        self._xattrs = xattrs
        self._whole_seconds = whole_seconds
        self._one_system = one_system
        self._marks = marks
        self._device = -1
        self.size = 0
        self._links: dict[tuple[int, ...], str] = {}
        self._is_fuse: dict[int, bool] = {}

    def add(self, parent: int, name: str, shown: str) -> None:
        """Write `name` of the directory `parent`, with all below it, as `shown`. Raises OSError."""
        if self._device < 0:
            # The directory's: on an overlay of several file systems other files have other numbers.
            self._device = os.fstat(parent).st_dev
        self._walk(self._child(parent, name, shown), shown)

    def add_open(self, fd: int, shown: str) -> None:
        """The same for what an O_PATH descriptor leads to; `shown` "" for the root of it all."""
        self._walk(self._entry(fd, shown), shown)

    def _walk(self, top: int, shown: str) -> None:
        """Write what is in the directory `top`, if it is one (not -1), and close it."""
        levels = [_Level(top, shown)] if top >= 0 else []
        try:
            while levels:
                level = levels[-1]
                name = next(level.names, None)
                if name is None:
                    os.close(levels.pop().fd)
                    continue
                path = f"{level.shown}/{name}" if level.shown else name
                below = self._child(level.fd, name, path)
                if below >= 0:
                    levels.append(_Level(below, path))
        finally:
            for level in levels:
                os.close(level.fd)

    def _child(self, parent: int, name: str, shown: str) -> int:
        try:
            fd = os.open(name, _PATH, dir_fd=parent)
        except FileNotFoundError:
            return -1  # removed since it was listed
        try:
            return self._entry(fd, shown)
        finally:
            os.close(fd)

    def _entry(self, fd: int, shown: str) -> int:
        """Write one entry; a descriptor of the directory to go on in, else -1."""
        info = os.fstat(fd)
        if self._device < 0:
            self._device = info.st_dev
        kind = _TYPES.get(stat.S_IFMT(info.st_mode))
        if kind is None:
            return -1  # a socket: no archive has them
        header = _header(info, kind, shown)
        if self._marks and kind in (tarfile.REGTYPE, tarfile.DIRTYPE):
            kind = _marked(fd, header)
        if kind == tarfile.DIRTYPE:
            return self._folder(fd, info, header)
        if self._first_name(fd, info, shown) != shown:
            header.type = tarfile.LNKTYPE
            header.linkname = self._links[_identity(info)]
            self._write_header(header, info, {})
        elif kind == tarfile.REGTYPE:
            self._file(fd, info, header)
        else:
            if kind == tarfile.SYMTYPE:
                header.linkname = os.readlink("", dir_fd=fd)
            self._write_header(header, info, {})
        return -1

    def close(self) -> None:
        """Write the end of the archive."""
        self._write(bytes(2 * tarfile.BLOCKSIZE))

    def _first_name(self, fd: int, info: os.stat_result, shown: str) -> str:
        """The name under which the file is in the archive already, else `shown`."""
        if info.st_nlink == 1 and not self._hides_links(fd, info):
            return shown
        return self._links.setdefault(_identity(info), shown)

    def _hides_links(self, fd: int, info: os.stat_result) -> bool:
        """Whether a file may have more names than it says: fuse-overlayfs counts those it has been
        asked for. There each regular file is remembered."""
        if not stat.S_ISREG(info.st_mode):
            return False
        if info.st_dev not in self._is_fuse:
            self._is_fuse[info.st_dev] = libc.file_system_of(fd) == _FUSE
        return self._is_fuse[info.st_dev]

    def _folder(self, fd: int, info: os.stat_result, header: tarfile.TarInfo) -> int:
        header.name = f"{header.name}/" if header.name else "./"
        self._write_header(header, info, self._xattrs(fd_path(fd)))
        if self._one_system and info.st_dev != self._device:
            return -1
        return os.open(".", _FOLDER, dir_fd=fd)

    def _file(self, fd: int, info: os.stat_result, header: tarfile.TarInfo) -> None:
        # By the descriptor: the name may be another file's by now, a device's or a FIFO's.
        try:
            reader = os.open(fd_path(fd), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise OSError(error.errno, error.strerror, header.name) from None
        try:
            header.size = os.fstat(reader).st_size
            self._write_header(header, info, self._xattrs(fd_path(reader)))
            self._copy(reader, header.size)
        finally:
            os.close(reader)

    def _copy(self, reader: int, size: int) -> None:
        left = size
        while left:
            # A file that shrinks meanwhile goes on with zeros, as with GNU tar.
            piece = os.read(reader, min(left, _CHUNK)) or bytes(min(left, _CHUNK))
            self._write(piece)
            left -= len(piece)
        self._write(bytes(-size % tarfile.BLOCKSIZE))

    def _write_header(
        self, header: tarfile.TarInfo, info: os.stat_result, xattrs: dict[str, bytes]
    ) -> None:
        extended: dict[str, str] = {}
        fraction = info.st_mtime_ns % _BILLION
        if fraction and not self._whole_seconds:
            seconds = info.st_mtime_ns // _BILLION
            extended["mtime"] = f"{seconds}.{fraction:09d}"
        for name, value in xattrs.items():
            extended[f"SCHILY.xattr.{name}"] = value.decode("utf-8", "surrogateescape")
        header.pax_headers = extended
        self._write(header.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        self.size += len(view)
        while view:
            view = view[os.write(self._fd, view) :]


class _Level:
    """A directory in which the walk is: the names that are still to come."""

    __slots__ = ("fd", "names", "shown")

    def __init__(self, fd: int, shown: str) -> None:
        self.fd = fd
        self.shown = shown
        self.names = iter(sorted(os.listdir(fd)))


def _marked(fd: int, header: tarfile.TarInfo) -> bytes:
    """Have the header say what the file's mark does; the entry's type."""
    mark = owners.read(fd_path(fd))
    if mark is not None:
        header.uid, header.gid = mark.uid, mark.gid
    if mark is not None and mark.kind:
        header.type, header.mode = _TYPES[mark.kind], mark.mode
        header.devmajor, header.devminor = mark.device
    return header.type


def _identity(info: os.stat_result) -> tuple[int, ...]:
    # Inode numbers of two layers could be the same where these are on two file systems.
    return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns)


def _header(info: os.stat_result, kind: bytes, shown: str) -> tarfile.TarInfo:
    header = tarfile.TarInfo(shown)
    header.type = kind
    header.mode = stat.S_IMODE(info.st_mode)
    header.uid, header.gid = info.st_uid, info.st_gid
    header.mtime = info.st_mtime_ns // _BILLION
    if kind in (tarfile.CHRTYPE, tarfile.BLKTYPE):
        header.devmajor, header.devminor = os.major(info.st_rdev), os.minor(info.st_rdev)
    return header
