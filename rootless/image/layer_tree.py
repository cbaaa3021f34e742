"""The unpacked layer that comes of an upper directory while its archive is written.

It must be what unpacking the archive gives (`rootless.image.unpack`). `GivenTree` makes it of the
upper directory itself, which its owner needs no more: what the archive leaves out is removed there,
times are cut to what the archive says. `CopiedTree` makes a copy beside it, which the archive's
bytes go into as they are read. (A hard link would do only as long as nobody writes to the file, and
a container that lives on does, in place.)
"""

from __future__ import annotations

import os

from rootless.image import owners, tarentry, whiteouts
from rootless.store import trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from rootless.image.tarheader import Member
    from rootless.model.ownermark import OwnerMark

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Level:
    """A directory in which the walk is.

    fd: of the upper directory; out: of the copy, -1 before it is there or where there is none;
    shown: as overlays show its path; member: its header, None for the root; is_opaque: it hides
    what lower layers have in it; lowers: these, topmost first.
    """

    __slots__ = (
        "fd",
        "is_opaque",
        "is_written",
        "lowers",
        "member",
        "name",
        "names",
        "out",
        "shown",
    )

    def __init__(
        self, fd: int, name: str, shown: str, member: Member | None, lowers: list[int],
        *, is_opaque: bool = False,
    ) -> None:  # fmt: skip
        self.fd = fd
        self.out = -1
        self.name = name
        self.shown = shown
        self.member = member
        self.lowers = lowers
        self.is_opaque = is_opaque
        self.is_written = member is None
        self.names = iter(sorted(os.listdir(fd)))

    def close(self) -> None:
        """Close its directories."""
        for fd in (self.fd, self.out, *self.lowers):
            if fd >= 0:
                os.close(fd)


class GivenTree:
    """The upper directory becomes the layer."""

    def drop(self, level: Level, name: str) -> None:
        """Leave `name` out."""
        trees.remove_at(level.fd, name)

    def folder(self, parent: Level, level: Level, foreign: Iterable[str]) -> None:
        """The directory of `level`, in that of `parent`, is in the archive.

        foreign: extended attributes that are not in the archive, here and in `file`.
        """
        _unlink_if_there(os.fsdecode(whiteouts.OPAQUE), level.fd)
        _strip(level.fd, foreign)
        if level.is_opaque:
            whiteouts.make_opaque(level.fd)

    def leave(self, parent: Level, level: Level) -> None:
        """The walk is through with the directory."""
        if not level.is_written:
            trees.remove_at(parent.fd, level.name)
        elif level.member is not None:
            _set_time(level.fd, level.member)

    def whiteout(self, level: Level, name: str, hidden: str) -> None:
        """`name`, a device or a mark, hides `hidden` of lower layers."""
        if name != hidden:
            os.unlink(name, dir_fd=level.fd)
            whiteouts.make(level.fd, os.fsencode(hidden))

    def file(self, level: Level, name: str, fd: int, member: Member, foreign: Iterable[str]) -> int:
        """A regular file, open as `fd`; where its bytes are to be written to, -1 for nowhere."""
        _strip(fd, foreign)
        return -1

    def own(self, fd: int, member: Member) -> None:
        """With one id mapped: a file or directory is the member's owner's, and has no mark yet."""
        owners.write(fd, owners.of_member(member, member.mode))

    def stand_in(self, level: Level, name: str, mark: OwnerMark, member: Member) -> None:
        """With one id mapped: an empty file with a mark, in the place of a device."""
        _set_time_at(level.fd, name, member)

    def finish_file(self, level: Level, name: str, out: int, member: Member) -> None:
        """All bytes of the file are written."""
        _set_time_at(level.fd, name, member)

    def link(self, level: Level, name: str, first: str) -> None:
        """Another name of the file that the archive has as `first`."""

    def special(self, level: Level, name: str, member: Member) -> None:
        """A symbolic link, a FIFO or a device."""
        _set_time_at(level.fd, name, member)


class CopiedTree(GivenTree):
    """A copy in `tree`, an empty directory, becomes the layer."""

    def __init__(self, tree: str, *, has_one_id: bool) -> None:
        self.root = os.open(tree, _FOLDER)
        self._has_one_id = has_one_id

    def own(self, fd: int, member: Member) -> None:
        """`_give` does it to the copy."""

    def stand_in(self, level: Level, name: str, mark: OwnerMark, member: Member) -> None:
        """Make the like."""
        out = os.open(name, _CREATE, member.mode & 0o777, dir_fd=level.out)
        owners.write(out, mark)
        os.close(out)
        _set_time_at(level.out, name, member)

    def _give(self, fd: int, member: Member) -> None:
        if self._has_one_id:
            owners.write(fd, owners.of_member(member, member.mode))
        else:
            os.fchown(fd, member.uid, member.gid)

    def drop(self, level: Level, name: str) -> None:
        """Not copied."""

    def folder(self, parent: Level, level: Level, foreign: Iterable[str]) -> None:
        """Make the directory, with all but its time."""
        member = level.member
        assert member is not None
        os.mkdir(level.name, 0o700, dir_fd=parent.out)
        level.out = os.open(level.name, _FOLDER, dir_fd=parent.out)
        self._give(level.out, member)
        os.fchmod(level.out, member.mode)
        _set_xattrs(level.out, member)
        if level.is_opaque:
            whiteouts.make_opaque(level.out)

    def leave(self, parent: Level, level: Level) -> None:
        """Set its time, which what was put into it has changed."""
        if level.member is not None and level.is_written:
            _set_time(level.out, level.member)

    def whiteout(self, level: Level, name: str, hidden: str) -> None:
        """Hide `hidden` in the copy."""
        whiteouts.make(level.out, os.fsencode(hidden))

    def file(self, level: Level, name: str, fd: int, member: Member, foreign: Iterable[str]) -> int:
        """An empty file for its bytes."""
        return os.open(name, _CREATE, member.mode & 0o777, dir_fd=level.out)

    def finish_file(self, level: Level, name: str, out: int, member: Member) -> None:
        """Owner, mode, attributes and time."""
        if member.uid or member.gid or os.fstat(out).st_gid:
            self._give(out, member)
        # chown(2) takes these bits away, so they come after it.
        if member.mode & ~0o777:
            os.fchmod(out, member.mode)
        if member.xattrs:
            _set_xattrs(out, member)
        os.utime(out, (member.mtime, member.mtime))

    def link(self, level: Level, name: str, first: str) -> None:
        """Link the copy's file."""
        os.link(first, name, src_dir_fd=self.root, dst_dir_fd=level.out, follow_symlinks=False)

    def special(self, level: Level, name: str, member: Member) -> None:
        """Make the like, but for devices, which nobody may."""
        if member.kind == tarentry.SYMLINK:
            os.symlink(member.link, os.fsencode(name), dir_fd=level.out)
        elif member.kind == tarentry.FIFO:
            os.mkfifo(name, member.mode, dir_fd=level.out)
        else:
            return
        if not self._has_one_id:
            os.chown(name, member.uid, member.gid, dir_fd=level.out, follow_symlinks=False)
        _set_time_at(level.out, name, member)


def _set_time(fd: int, member: Member) -> None:
    os.utime(fd, (member.mtime, member.mtime))


def _set_time_at(folder: int, name: str, member: Member) -> None:
    times = (member.mtime, member.mtime)
    os.utime(name, times, dir_fd=folder, follow_symlinks=False)


def _set_xattrs(fd: int, member: Member) -> None:
    for key, value in (member.xattrs or {}).items():
        os.setxattr(fd, key, value)


def _strip(fd: int, names: Iterable[str]) -> None:
    for name in names:
        os.removexattr(fd, name)


def _unlink_if_there(name: str, folder: int) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        pass
