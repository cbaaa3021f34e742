"""From an upper directory to a layer's archive, in one walk: what is in it, and in what order.

The upper directory is what fuse-overlayfs, native overlay or a build step has left. In the archive
go the names that differ from the layers below (`lowers`), sorted; whiteouts as `.wh.NAME`, opaque
directories with `.wh..wh..opq` as their first entry (image-spec, layer.md). Directories on the way
to a change come with it. Holes of sparse files are never read: they are zeros, as the sparse
formats of tar are understood by too few. The same walk makes the unpacked layer (`layer_tree`).

Runs as root of the user namespace, by directory descriptors; no link is followed. Files may change
meanwhile: the archive stays well-formed, with the size that a file had when it was opened.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import StoreError
from rootless.image import entrynames, lowers, owners, tarentry, tarheader, whiteouts
from rootless.image.layer_tree import Level
from rootless.image.notes import Notes
from rootless.image.tarheader import Member
from rootless.model import ownermark

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.layer_stream import LayerStream
    from rootless.image.layer_tree import GivenTree
    from rootless.image.lowers import Places
    from rootless.model.ownermark import OwnerMark

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# Not waiting for a FIFO that has taken the name of a file meanwhile.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_PIECE = 1 << 20
_BILLION = 10**9
_RESERVED = ("user.overlay.", "user.fuseoverlayfs.", "user.containers.", ownermark.PREFIX)
# An overlay that moved a directory, or copied nothing but a file's metadata, says so here: what it
# means is in another layer. We mount none that do (userxattr forbids it).
_ELSEWHERE = ("user.overlay.redirect", "user.overlay.metacopy")
_CAPABILITY = "security.capability"
_PREFIX = os.fsdecode(whiteouts.PREFIX)
_END = bytes(2 * tarheader.BLOCK)
_SPECIAL = {
    stat.S_IFLNK: tarentry.SYMLINK,
    stat.S_IFIFO: tarentry.FIFO,
    stat.S_IFCHR: tarentry.CHAR,
    stat.S_IFBLK: tarentry.BLOCK_DEVICE,
}


class LayerWalk:
    """`run` once. size: bytes in files; files: entries; notes: what had to be left out.

    compares: whether `Level.lowers` are known; without them all of the upper directory is a change.
    owner: who owns what is new and has no mark, where marks count; else None.
    epoch: no time is later than that, seconds since 1970; None to keep them.
    """

    def __init__(
        self,
        stream: LayerStream,
        tree: GivenTree,
        places: Places,
        *,
        compares: bool,
        epoch: int | None,
        owner: tuple[int, int] | None = None,
    ) -> None:
        self.size = 0
        self.files = 0
        self.notes = Notes()
        self._stream = stream
        self._tree = tree
        self._places = places
        self._compares = compares
        self._epoch = epoch
        self._owner = owner
        self._links: dict[tuple[int, int], str] = {}
        self._levels: list[Level] = []
        self._makers = {stat.S_IFDIR: self._folder, stat.S_IFREG: self._file}

    def run(self, upper: int, below: list[int], out: int = -1) -> None:
        """Write the archive of the directory `upper`; closes all descriptors. Raises OSError,
        StoreError. out: the root of a copy."""
        root = Level(upper, "", "", None, below)
        root.out = out
        self._levels = [root]
        try:
            while self._levels:
                level = self._levels[-1]
                name = next(level.names, None)
                if name is None:
                    self._leave()
                else:
                    self._entry(level, name)
        finally:
            for level in self._levels:
                level.close()
        self._stream.write(_END)

    def _leave(self) -> None:
        level = self._levels.pop()
        try:
            self._tree.leave(self._levels[-1] if self._levels else level, level)
        finally:
            level.close()

    def _entry(self, level: Level, name: str) -> None:
        shown = f"{level.shown}/{name}"
        if shown in self._places.ours:
            self._tree.drop(level, name)
            return
        if name.startswith(_PREFIX):
            self._mark(level, name)
            return
        try:
            info = os.stat(name, dir_fd=level.fd, follow_symlinks=False)
        except FileNotFoundError:
            return  # removed since it was listed
        make = self._makers.get(stat.S_IFMT(info.st_mode), self._special)
        try:
            make(level, name, shown, info)
        except OSError as error:
            if error.filename is not None and not isinstance(error.filename, int):
                raise
            raise OSError(error.errno, error.strerror, shown) from error

    # What hides names of lower layers.

    def _mark(self, level: Level, name: str) -> None:
        hidden = whiteouts.hidden_by(name)
        if hidden and not hidden.startswith(_PREFIX):
            self._whiteout(level, name, hidden)
        elif not level.is_opaque:
            # What makes an opaque directory so is settled with the directory.
            self._tree.drop(level, name)

    def _whiteout(self, level: Level, name: str, hidden: str) -> None:
        if self._compares and not lowers.shows(level.lowers, hidden):
            self._tree.drop(level, name)
            return
        self._announce()
        mark = whiteouts.PREFIX + os.fsencode(hidden)
        self._write_header(Member(_below(level, mark), tarentry.FILE, mode=0o600))
        self._tree.whiteout(level, name, hidden)

    # Directories.

    def _folder(self, level: Level, name: str, shown: str, info: os.stat_result) -> None:
        fd = lowers.open_unchanged(name, _FOLDER, level.fd)
        if fd < 0:
            return
        below, folders = lowers.find(level.lowers, name) if self._compares else (None, [])
        is_opaque = (bool(folders) or not self._compares) and whiteouts.is_opaque(fd)
        is_change = is_opaque or self._is_change(shown, info, below)
        if self._owner is not None and folders and not is_change:
            is_change = not owners.is_same(fd, folders[0])
        if is_opaque:
            lowers.close(folders)
            folders = []
        member = self._member(level, name, tarentry.DIRECTORY, info)
        if self._owner is not None:
            self._own(member, fd, is_new=below is None)
        inner = Level(fd, name, shown, member, folders, is_opaque=is_opaque)
        self._levels.append(inner)
        if is_change:
            self._announce()

    def _is_change(self, shown: str, info: os.stat_result, below: os.stat_result | None) -> bool:
        if below is None:
            return not self._places.is_only_way(shown)
        return self._places.differs(shown, info, below)

    def _announce(self) -> None:
        """Write the directories on the way to what is written next."""
        if self._levels[-1].is_written:
            return
        for number, level in enumerate(self._levels):
            if not level.is_written:
                level.is_written = True
                self._write_folder(self._levels[number - 1], level)

    def _write_folder(self, parent: Level, level: Level) -> None:
        member = level.member
        assert member is not None
        member.xattrs, foreign = self._xattrs(level.fd, member)
        self._write_header(member)
        self._tree.folder(parent, level, foreign)
        if level.is_opaque:
            name = _below(level, whiteouts.OPAQUE)
            self._write_header(Member(name, tarentry.FILE, mode=0o600))

    # Everything else.

    def _file(self, level: Level, name: str, shown: str, info: os.stat_result) -> None:
        if info.st_nlink > 1 and self._is_linked(level, name, info):
            return
        fd = lowers.open_unchanged(name, _READ, level.fd)
        if fd < 0:
            return
        try:
            info = os.fstat(fd)
            if not stat.S_ISREG(info.st_mode):
                return  # replaced meanwhile
            self._announce()
            member = self._member(level, name, tarentry.FILE, info)
            if self._owner is not None and self._is_stand_in(level, name, fd, member):
                return
            member.size = info.st_size
            member.xattrs, foreign = self._xattrs(fd, member)
            self._write_header(member)
            self.size += member.size
            out = self._tree.file(level, name, fd, member, foreign)
            try:
                self._copy(fd, out, info)
                self._tree.finish_file(level, name, out, member)
            finally:
                if out >= 0:
                    os.close(out)
        finally:
            os.close(fd)

    def _own(self, member: Member, fd: int, *, is_new: bool) -> OwnerMark | None:
        """Where one id is mapped: have the member be whose it is."""
        mark = owners.read(fd)
        if mark is not None:
            member.uid, member.gid = mark.uid, mark.gid
        elif is_new and self._owner:
            member.uid, member.gid = self._owner
            self._tree.own(fd, member)
        return mark

    def _is_stand_in(self, level: Level, name: str, fd: int, member: Member) -> bool:
        """Whether the file stands for a device, which is written then; its owner is settled."""
        is_new = self._owner != (0, 0) and not lowers.shows(level.lowers, name)
        mark = self._own(member, fd, is_new=is_new)
        if mark is None or not mark.kind:
            return False
        member.kind = _SPECIAL[mark.kind]
        member.mode, member.device = mark.mode, mark.device
        self._write_header(member)
        self._tree.stand_in(level, name, mark, member)
        return True

    def _is_linked(self, level: Level, name: str, info: os.stat_result) -> bool:
        """Write a further name of a file that the archive has already; False for its first."""
        path = f"{level.shown}/{name}"[1:]
        first = self._links.setdefault((info.st_dev, info.st_ino), path)
        if first == path:
            return False
        self._announce()
        member = self._member(level, name, tarentry.LINK, info)
        member.link = os.fsencode(first)
        self._write_header(member)
        self._tree.link(level, name, first)
        return True

    def _special(self, level: Level, name: str, shown: str, info: os.stat_result) -> None:
        if whiteouts.is_whiteout(info):
            self._whiteout(level, name, name)
            return
        kind = _SPECIAL.get(stat.S_IFMT(info.st_mode))
        if kind is None:
            # A socket: no archive has them, and without its server it is of no use.
            self._tree.drop(level, name)
            return
        if info.st_nlink > 1 and self._is_linked(level, name, info):
            return
        member = self._member(level, name, kind, info)
        if self._owner and self._owner != (0, 0) and not lowers.shows(level.lowers, name):
            member.uid, member.gid = self._owner
        if kind == tarentry.SYMLINK:
            member.link = _target(name, level.fd)
            if not member.link:
                return
        elif kind != tarentry.FIFO:
            member.device = (os.major(info.st_rdev), os.minor(info.st_rdev))
        self._announce()
        self._write_header(member)
        self._tree.special(level, name, member)

    def _member(self, level: Level, name: str, kind: bytes, info: os.stat_result) -> Member:
        path = _below(level, os.fsencode(name))
        if len(path) > entrynames.MAX_PATH:
            raise StoreError(f"{tarentry.shown(path)}: the path is too long for a layer")
        mtime = info.st_mtime_ns // _BILLION
        if self._epoch is not None and mtime > self._epoch:
            mtime = self._epoch
        return Member(
            path + b"/" if kind == tarentry.DIRECTORY else path, kind,
            mode=stat.S_IMODE(info.st_mode), uid=info.st_uid, gid=info.st_gid, mtime=mtime,
        )  # fmt: skip

    def _xattrs(self, fd: int, member: Member) -> tuple[dict[str, bytes], list[str]]:
        """(attributes for the archive, names of those that are not for it)."""
        kept: dict[str, bytes] = {}
        foreign: list[str] = []
        for name in _list_xattrs(fd):
            if name == ownermark.NAME and self._owner is not None:
                continue  # it is in the header
            if name in _ELSEWHERE:
                raise StoreError(f"{tarentry.shown(member.name)}: its content is in another layer")
            if name == _CAPABILITY or (name.startswith("user.") and not name.startswith(_RESERVED)):
                kept[name] = os.getxattr(fd, name)
            elif not name.startswith("security."):
                foreign.append(name)
                if not name.startswith(_RESERVED):
                    self.notes.add(f"extended attribute {name} not kept", member.name)
        return kept, foreign

    def _copy(self, fd: int, out: int, info: os.stat_result) -> None:
        size = info.st_size
        if info.st_blocks * 512 < size:
            self._copy_sparse(fd, out, size)
        else:
            self._copy_data(fd, out, size)
        if size % tarheader.BLOCK:
            self._stream.write(tarheader.padding(size))

    def _copy_data(self, fd: int, out: int, left: int) -> None:
        while left:
            # A file that shrinks meanwhile goes on with zeros, as with GNU tar.
            piece = os.read(fd, min(left, _PIECE)) or bytes(min(left, _PIECE))
            self._stream.write(piece)
            if out >= 0:
                _write_all(out, piece)
            left -= len(piece)

    def _copy_sparse(self, fd: int, out: int, size: int) -> None:
        at = 0
        while at < size:
            start = _seek(fd, at, os.SEEK_DATA, size)
            self._stream.write_zeros(start - at)
            at = _seek(fd, start, os.SEEK_HOLE, size)
            os.lseek(fd, start, os.SEEK_SET)
            if out >= 0:
                os.lseek(out, start, os.SEEK_SET)
            self._copy_data(fd, out, at - start)
        if out >= 0:
            os.ftruncate(out, size)

    def _write_header(self, member: Member) -> None:
        self.files += 1
        self._stream.write(tarheader.header(member))


def _target(name: str, folder: int) -> bytes:
    """Where a symbolic link leads, b"" when it was replaced."""
    try:
        return os.fsencode(os.readlink(name, dir_fd=folder))
    except OSError as error:
        if error.errno not in (errno.ENOENT, errno.EINVAL):
            raise
        return b""


def _below(level: Level, name: bytes) -> bytes:
    """The name in the archive of `name` in the directory of `level`."""
    return level.member.name + name if level.member is not None else name


def _list_xattrs(fd: int) -> list[str]:
    try:
        return os.listxattr(fd)
    except OSError:
        return []  # a file system without any


def _seek(fd: int, offset: int, whence: int, size: int) -> int:
    """Where data (or a hole) begins at or after `offset`; the end of the file where none does."""
    if offset >= size:
        return size
    try:
        return min(os.lseek(fd, offset, whence), size)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        return size


def _write_all(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
