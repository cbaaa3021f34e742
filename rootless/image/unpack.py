"""Unpacks a layer's archive into an empty directory, as root of the user namespace.

The archive is hostile. Nothing is written but through descriptors of directories below the root
(`rootless.image.folders`), into an empty tree that only this process knows. What this tree looks
like is what both fuse-overlayfs and the kernel's overlay (mounted with userxattr) read: a whiteout
is a character device 0:0, an opaque directory has an xattr for each of the two. Rules of layers:
image-spec, layer.md. Of two entries with one name the last one wins.

Left out and reported as notes: device nodes (no user namespace may make them), sockets, xattrs
that an unprivileged user cannot set or that mean something to an overlay.

Where one id alone is mapped, owners are kept as marks (`rootless.image.owners`), and devices as
empty files with one.
"""

from __future__ import annotations

import errno
import os
import stat

from rootless.errors import ImageError, RlError, StoreError
from rootless.image import decompress, entrynames, filedata, owners, tarentry, whiteouts
from rootless.image.bytestream import ByteStream
from rootless.image.folders import Folder, Folders
from rootless.image.notes import Notes
from rootless.image.tarentry import Entry, shown
from rootless.image.tarstream import TarReader
from rootless.model import idmap, ownermark
from rootless.model.ownermark import OwnerMark
from rootless.store import trees

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.model.idmap import IdMaps

# Names under which the overlays, and we, keep notes: an archive must not write those.
_RESERVED_XATTRS = (
    b"user.overlay.", b"user.fuseoverlayfs.", b"user.containers.", ownermark.PREFIX.encode(),
)  # fmt: skip

_MAX_TRAILER = 64 * 1024 * 1024
# Kernel times are 64 bits of seconds, most file systems' less: far enough either way.
_MIN_NS, _MAX_NS = -(2**31) * 10**9, 2**34 * 10**9
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OUR_FAULT = (
    errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EMFILE, errno.ENFILE, errno.ENOMEM,
)  # fmt: skip


class Summary:
    """diff_id: digest of the plain archive; size: bytes in files; files: entries; notes."""

    __slots__ = ("diff_id", "files", "notes", "size")

    def __init__(self, diff_id: str, size: int, files: int, notes: list[str]) -> None:
        self.diff_id = diff_id
        self.size = size
        self.files = files
        self.notes = notes


def unpack(source_fd: int, tree: str, maps: IdMaps) -> Summary:
    """Unpack the (compressed) archive from `source_fd` into the empty directory `tree`.

    maps are those of the namespace this runs in. Raises ImageError naming the entry, StoreError,
    HostError, OSError; what was written until then stays in `tree`, for the caller to remove.
    """
    return unpack_pieces(decompress.pieces(source_fd), tree, maps)


def unpack_pieces(pieces: Iterator[bytes], tree: str, maps: IdMaps) -> Summary:
    """`unpack` for the plain archive, which comes in `pieces`."""
    stream = ByteStream(pieces)
    old_umask = os.umask(0)
    folders = Folders(os.open(tree, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
    unpacker = Unpacker(folders, maps)
    try:
        unpacker.apply_all(TarReader(stream))
    finally:
        os.umask(old_umask)
        unpacker.folders.close()
    trailer = stream.finish(_MAX_TRAILER)
    if trailer:
        unpacker.notes.add(f"{trailer} bytes after the end of the archive ignored", b"")
    return Summary(stream.digest(), unpacker.size, unpacker.files, unpacker.notes.lines())


class Unpacker:
    """Applies one archive's entries below `folders`; maps: the namespace's that this runs in."""

    def __init__(self, folders: Folders, maps: IdMaps) -> None:
        self.maps = maps
        self._has_one_id = maps.is_single
        self.size = 0
        self.files = 0
        self.notes = Notes()
        self.folders = folders
        self._mapped = {(0, 0)}
        self._makers = {
            tarentry.LINK: self._link,
            tarentry.SYMLINK: self._symlink,
            tarentry.DIRECTORY: self._directory,
            tarentry.FIFO: self._fifo,
            tarentry.CHAR: self._device,
            tarentry.BLOCK_DEVICE: self._device,
        }

    def apply_all(self, reader: TarReader) -> None:
        """Apply every entry. Raises ImageError naming the entry, StoreError on a full disk."""
        for entry in reader:
            self.files += 1
            try:
                self._apply(entry, reader)
            except OSError as error:
                raise self._explained(entry, error) from error

    def _apply(self, entry: Entry, reader: TarReader) -> None:
        path = entrynames.clean(entry.name, entry.name)
        if whiteouts.PREFIX in path and self._whiteout(path, entry):
            return
        self._make(path, entry, reader)

    def _make(self, path: bytes, entry: Entry, reader: TarReader) -> None:
        if (entry.uid, entry.gid) not in self._mapped:
            self._check_owner(entry)
        if not path:
            self._root(entry)
            return
        folder, _, name = path.rpartition(b"/")
        parent = self.folders.get(folder)
        if entry.kind == tarentry.FILE:
            self._file(entry, parent, name, reader)
        else:
            self._makers[entry.kind](entry, parent, name, path)

    def _explained(self, entry: Entry, error: OSError) -> RlError:
        text = f"{shown(entry.name)}: {error.strerror}"
        if error.errno in _OUR_FAULT:
            return StoreError(text, hint="df -h; df -i; rl image prune")
        return ImageError(text)

    # Names that mean something: whiteouts.

    def _whiteout(self, path: bytes, entry: Entry) -> bool:
        """Handle the names that begin with `.wh.`; False when the entry is none of them."""
        folder, _, name = path.rpartition(b"/")
        if b"/" + whiteouts.META in b"/" + folder or (
            name.startswith(whiteouts.META) and name != whiteouts.OPAQUE
        ):
            # What aufs kept for itself.
            return True
        if b"/" + whiteouts.PREFIX in b"/" + folder:
            raise ImageError(f"{shown(entry.name)}: below a whiteout")
        if not name.startswith(whiteouts.PREFIX):
            return False
        parent = self.folders.get(folder)
        if name == whiteouts.OPAQUE:
            whiteouts.make_opaque(parent.fd)
        else:
            self._hide(parent, name[len(whiteouts.PREFIX) :], entry)
        return True

    def _hide(self, parent: Folder, name: bytes, entry: Entry) -> None:
        if name in (b"", b".", b".."):
            raise ImageError(f"{shown(entry.name)}: a whiteout of nothing")
        try:
            whiteouts.make(parent.fd, name)
        except FileExistsError:
            # A whiteout is about lower layers only: a directory of this layer hides them by being
            # opaque, anything else hides them as it is.
            if stat.S_ISDIR(_lstat(parent.fd, name).st_mode):
                fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=parent.fd)
                whiteouts.make_opaque(fd)
                os.close(fd)

    # Owners.

    def _check_owner(self, entry: Entry) -> None:
        if self._has_one_id:
            return
        pairs = ((entry.uid, self.maps.uids, "uid"), (entry.gid, self.maps.gids, "gid"))
        for number, id_map, what in pairs:
            if idmap.to_outside(id_map, number) is None:
                raise ImageError(
                    f"{shown(entry.name)}: is owned by {what} {number}, and only"
                    f" {idmap.size_of(id_map)} {what}s are mapped for this user",
                    hint=f'grep "$(id -un)" /etc/sub{what}  # more: usermod --add-sub{what}s',
                )
        if len(self._mapped) < 1000:
            self._mapped.add((entry.uid, entry.gid))

    def _must_chown(self, entry: Entry, parent: Folder) -> bool:
        if self._has_one_id:
            return False
        # New files are root's, except below a directory that gives them its group.
        return bool(entry.uid or entry.gid or parent.setgid)

    def _mark(self, entry: Entry, fd: int, mark: OwnerMark | None = None) -> None:
        """With one id alone: note the owner beside the file."""
        if not owners.write(fd, mark or OwnerMark(entry.uid, entry.gid, entry.mode)):
            self.notes.add("owners not kept, this file system has no user attributes", entry.name)

    # The kinds of entries.

    def _root(self, entry: Entry) -> None:
        if entry.kind != tarentry.DIRECTORY:
            raise ImageError(f"{shown(entry.name)}: the root of the layer is not a directory")
        self._finish_directory(entry, self.folders.root)

    def _directory(self, entry: Entry, parent: Folder, name: bytes, path: bytes) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent.fd)
            folder = self.folders.enter(parent, name, path)
        except FileExistsError:
            folder = self._existing_directory(parent, name, path)
        self._finish_directory(entry, folder)

    def _existing_directory(self, parent: Folder, name: bytes, path: bytes) -> Folder:
        info = _lstat(parent.fd, name)
        if stat.S_ISDIR(info.st_mode):
            return self.folders.enter(parent, name, path)
        self._remove(parent, name)
        os.mkdir(name, 0o700, dir_fd=parent.fd)
        folder = self.folders.enter(parent, name, path)
        if whiteouts.is_whiteout(info):
            whiteouts.make_opaque(folder.fd)
        return folder

    def _finish_directory(self, entry: Entry, folder: Folder) -> None:
        # Inherited: the owner of what was there before, or a group by the setgid bit.
        if self._has_one_id:
            self._mark(entry, folder.fd)
        else:
            os.fchown(folder.fd, entry.uid, entry.gid)
        os.fchmod(folder.fd, entry.mode)
        folder.setgid = bool(entry.mode & stat.S_ISGID)
        folder.mtime_ns = _clamped(entry.mtime_ns)
        self._set_xattrs(entry, folder.fd)

    def _file(self, entry: Entry, parent: Folder, name: bytes, reader: TarReader) -> None:
        filedata.expect_space(entry, parent.fd)
        mode = entry.mode & 0o777
        try:
            fd = os.open(name, _CREATE, mode, dir_fd=parent.fd)
        except FileExistsError:
            self._remove(parent, name)
            fd = os.open(name, _CREATE, mode, dir_fd=parent.fd)
        try:
            filedata.write(fd, entry, reader.data())
            self.size += entry.size
            if self._must_chown(entry, parent):
                os.fchown(fd, entry.uid, entry.gid)
            elif self._has_one_id and (entry.uid or entry.gid):
                self._mark(entry, fd)
            # chown(2) takes these bits away, so they come after it.
            if entry.mode != mode:
                os.fchmod(fd, entry.mode)
            if entry.xattrs:
                self._set_xattrs(entry, fd)
            mtime = _clamped(entry.mtime_ns)
            os.utime(fd, ns=(mtime, mtime))
        finally:
            os.close(fd)

    def _symlink(self, entry: Entry, parent: Folder, name: bytes, path: bytes) -> None:
        if not entry.link or b"\0" in entry.link or len(entry.link) > entrynames.MAX_PATH:
            raise ImageError(f"{shown(entry.name)}: impossible target of a symbolic link")
        try:
            os.symlink(entry.link, name, dir_fd=parent.fd)
        except FileExistsError:
            self._remove(parent, name)
            os.symlink(entry.link, name, dir_fd=parent.fd)
        self._finish_by_name(entry, parent, name)

    def _link(self, entry: Entry, parent: Folder, name: bytes, path: bytes) -> None:
        target_folder, _, target = entrynames.clean(entry.link, entry.name).rpartition(b"/")
        source_fd = os.dup(self.folders.find(target_folder).fd)
        try:
            # Looking for the target may have pushed the parent out of the cache.
            parent = self.folders.get(path.rpartition(b"/")[0])
            self._link_at(entry, source_fd, target, parent, name)
        finally:
            os.close(source_fd)

    def _link_at(
        self, entry: Entry, source_fd: int, target: bytes, parent: Folder, name: bytes
    ) -> None:
        try:
            info = _lstat(source_fd, target or b".")
        except FileNotFoundError:
            raise ImageError(
                f"{shown(entry.name)}: hard link to {shown(entry.link)}, which is not in the layer"
            ) from None
        if stat.S_ISDIR(info.st_mode):
            raise ImageError(f"{shown(entry.name)}: hard link to a directory")
        if _same_file(info, parent.fd, name):
            return
        self._remove(parent, name)
        os.link(target, name, src_dir_fd=source_fd, dst_dir_fd=parent.fd, follow_symlinks=False)

    def _fifo(self, entry: Entry, parent: Folder, name: bytes, path: bytes) -> None:
        try:
            os.mkfifo(name, entry.mode, dir_fd=parent.fd)
        except FileExistsError:
            self._remove(parent, name)
            os.mkfifo(name, entry.mode, dir_fd=parent.fd)
        self._finish_by_name(entry, parent, name)

    def _device(self, entry: Entry, parent: Folder, name: bytes, path: bytes) -> None:
        is_whiteout = entry.kind == tarentry.CHAR and entry.device == (0, 0)
        if self._has_one_id and not is_whiteout:
            self._stand_in(entry, parent, name)
        else:
            self.notes.add("device nodes not made", path)

    def _stand_in(self, entry: Entry, parent: Folder, name: bytes) -> None:
        """An empty file in the place of a device, as mknod(2) leaves it in such a container."""
        self._remove(parent, name)
        fd = os.open(name, _CREATE, entry.mode & 0o777, dir_fd=parent.fd)
        try:
            kind = stat.S_IFCHR if entry.kind == tarentry.CHAR else stat.S_IFBLK
            self._mark(entry, fd, OwnerMark(entry.uid, entry.gid, entry.mode, kind, entry.device))
        finally:
            os.close(fd)

    def _finish_by_name(self, entry: Entry, parent: Folder, name: bytes) -> None:
        if self._has_one_id and (entry.uid or entry.gid):
            self.notes.add("owners not kept on links and FIFOs", entry.name)
        elif self._must_chown(entry, parent):
            os.chown(name, entry.uid, entry.gid, dir_fd=parent.fd, follow_symlinks=False)
        if entry.xattrs:
            self.notes.add("extended attributes not kept on links and FIFOs", entry.name)
        mtime = _clamped(entry.mtime_ns)
        os.utime(name, ns=(mtime, mtime), dir_fd=parent.fd, follow_symlinks=False)

    # Replacing what an earlier entry made.

    def _remove(self, parent: Folder, name: bytes) -> None:
        """Remove `name`, which may be missing; descriptors below it are stale then."""
        try:
            info = _lstat(parent.fd, name)
        except FileNotFoundError:
            return
        trees.remove_at(parent.fd, name)
        if stat.S_ISDIR(info.st_mode) or stat.S_ISLNK(info.st_mode):
            self.folders.forget_all(parent)

    def _set_xattrs(self, entry: Entry, fd: int) -> None:
        for key, value in entry.xattrs.items():
            if not _may_set(key):
                self.notes.add(f"extended attribute {shown(key)} not kept", entry.name)
                continue
            try:
                os.setxattr(fd, key, value)
            except OSError as error:
                reason = f"{shown(key)} not kept ({error.strerror})"
                self.notes.add(f"extended attribute {reason}", entry.name)


def _lstat(folder: int, name: bytes) -> os.stat_result:
    return os.stat(name, dir_fd=folder, follow_symlinks=False)


def _same_file(info: os.stat_result, folder: int, name: bytes) -> bool:
    try:
        return os.path.samestat(info, _lstat(folder, name))
    except FileNotFoundError:
        return False


def _may_set(key: bytes) -> bool:
    if key.startswith(b"user."):
        return not key.startswith(_RESERVED_XATTRS)
    return key == b"security.capability"


def _clamped(nanoseconds: int) -> int:
    return min(max(nanoseconds, _MIN_NS), _MAX_NS)
