"""Which files COPY and ADD take of a tree, what they are called where they go, and their digest.

The tree is a context (of the user's) or a mounted stage. Every path is resolved as if its root were
"/" (openat2(2), RESOLVE_IN_ROOT), then it goes by descriptors, one name at a time and without
following links: nothing outside of the tree is ever read, wherever links in it point.
"""

from __future__ import annotations

import errno
import functools
import hashlib
import os
import stat

from rootless.errors import NotFoundError, RlError, UsageError
from rootless.image import owners
from rootless.kernel import mounts
from rootless.model import copyrule
from rootless.model.dockerfile import patterns
from rootless.model.dockerfile.place import did_you_mean
from rootless.runtime import inside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from rootless.model.dockerfile.ignore import Ignore

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_PIECE = 1 << 18
_CAPABILITY = "security.capability"


class Wish:
    """sources: paths and patterns as written; ignore: of the context; exclude: of the instruction;
    parents: keep the directories of the source; owned: owners are the files' own, else root's;
    unpack: archives are not copied but unpacked."""

    __slots__ = ("exclude", "ignore", "owned", "parents", "shown", "sources", "unpack")

    def __init__(
        self,
        sources: list[str],
        shown: str,
        *,
        ignore: Ignore | None,
        exclude: Ignore | None,
        parents: bool,
        owned: bool,
        unpack: bool = False,
    ) -> None:
        self.unpack = unpack
        self.sources = sources
        self.shown = shown
        self.ignore = ignore
        self.exclude = exclude
        self.parents = parents
        self.owned = owned


class Top:
    """A source that was found. path: below the tree's root; target: its own path where it goes
    with --parents, else ""."""

    __slots__ = ("is_dir", "path", "target")

    def __init__(self, path: str, target: str, *, is_dir: bool) -> None:
        self.path = path
        self.target = target
        self.is_dir = is_dir

    @property
    def name(self) -> str:
        """What it is called in a directory."""
        return self.path.rpartition("/")[2]


class File:
    """A file on the walk. folder, name: where it is now, "" for what the descriptor itself leads
    to; path: below the top, "" for that."""

    __slots__ = ("folder", "info", "name", "path")

    def __init__(self, folder: int, name: str, path: str, info: os.stat_result) -> None:
        self.folder = folder
        self.name = name
        self.path = path
        self.info = info


def tops(root: int, wish: Wish) -> list[Top]:
    """The sources of `wish`. Raises NotFoundError, UsageError that name the one that is missing."""
    found: list[Top] = []
    for source in wish.sources:
        found += _found(root, wish, source)
    return found


def _found(root: int, wish: Wish, source: str) -> list[Top]:
    if _leaves(source):
        raise UsageError(f"{source}: outside of {wish.shown}", exit_code=1)
    path = copyrule.clean(source)
    # "/./" separates what --parents does not keep.
    kept = copyrule.clean(source.partition("/./")[2]) if "/./" in source else path
    skipped = len(path) - len(kept)
    if not patterns.has_wildcards(path):
        top = _top(root, wish, path, path[skipped:].lstrip("/"))
        if top is None:
            raise _missing(root, wish, source, path)
        return [top]
    names = _matches(root, wish, path)
    depth = path.count("/") - kept.count("/") if kept != path else 0
    found = [_top(root, wish, name, "/".join(name.split("/")[depth:])) for name in names]
    if not any(found):
        raise NotFoundError(f"{source}: matches nothing in {wish.shown}")
    return [top for top in found if top is not None]


def _leaves(source: str) -> bool:
    depth = 0
    for part in source.split("/"):
        depth += (part not in ("", ".", "..")) - (part == "..")
        if depth < 0:
            return True
    return False


def _top(root: int, wish: Wish, path: str, target: str) -> Top | None:
    try:
        fd = mounts.open_in_root(root, path)
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            return None
        if error.errno == errno.ELOOP:
            raise RlError(f"{path}: links that lead in a circle, in {wish.shown}") from None
        raise RlError(f"{path}: {error.strerror}, in {wish.shown}") from None
    try:
        info = os.fstat(fd)
    finally:
        os.close(fd)
    is_dir = stat.S_ISDIR(info.st_mode)
    if path and not is_dir and wish.ignore is not None and wish.ignore.ignores(path):
        return None
    if path and is_dir and wish.ignore is not None and wish.ignore.ignores(path):
        if wish.ignore.skips_below(path):
            return None
    return Top(path, target if wish.parents else "", is_dir=is_dir)


def _missing(root: int, wish: Wish, source: str, path: str) -> RlError:
    folder, _, name = path.rpartition("/")
    try:
        siblings = _names(root, folder)
    except OSError:
        siblings = []
    if name in siblings:
        if wish.ignore is not None and wish.ignore.ignores(path):
            return NotFoundError(f"{source}: left out of {wish.shown} by its ignore file")
        return NotFoundError(f"{source}: a link that leads nowhere in {wish.shown}")
    hint = did_you_mean(name, siblings) if siblings else ""
    return NotFoundError(f"{source}: not found in {wish.shown}", hint if "did" in hint else "")


def _names(root: int, path: str) -> list[str]:
    fd = mounts.open_in_root(root, path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        return sorted(os.listdir(fd))
    finally:
        os.close(fd)


def _matches(root: int, wish: Wish, pattern: str) -> list[str]:
    """The paths that the pattern matches, "**" standing for any number of directories."""
    found = [""]
    for part in pattern.split("/"):
        if part == "**":
            found = list(dict.fromkeys(deep for path in found for deep in _below(root, path)))
            continue
        try:
            regex = patterns.of_component(part)
        except ValueError as error:
            raise UsageError(f"{pattern}: not a pattern: {error}", exit_code=1) from None
        found = [
            f"{path}/{name}" if path else name
            for path in found
            for name in _names_or_none(root, path)
            if regex.match(name)
        ]
    return [path for path in found if path]


def _below(root: int, path: str) -> Iterator[str]:
    yield path
    for name in _names_or_none(root, path):
        inner = f"{path}/{name}" if path else name
        fd = mounts.open_in_root(root, inner, os.O_PATH | os.O_NOFOLLOW)
        is_dir = stat.S_ISDIR(os.fstat(fd).st_mode)
        os.close(fd)
        if is_dir:
            yield from _below(root, inner)


def _names_or_none(root: int, path: str) -> list[str]:
    try:
        return _names(root, path)
    except OSError:
        return []


def walk(root: int, wish: Wish, top: Top) -> Iterator[File]:
    """The top and all below it that is not left out, sorted, a directory before what is in it.

    A File is good until the next one. A directory that is left out itself comes when something in
    it does not.
    """
    if top.is_dir:
        fd = mounts.open_in_root(root, top.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        yield File(fd, ".", "", os.fstat(fd))
        try:
            yield from _Walk(wish, top).folder(fd, "", [])
        except RecursionError:
            raise RlError(f"{top.path or '.'}: directories too deep in each other") from None
        return
    if _is_excluded(wish, top, ""):
        return
    itself = mounts.open_in_root(root, top.path)
    try:
        yield File(itself, "", "", os.fstat(itself))
    finally:
        os.close(itself)


def _is_excluded(wish: Wish, top: Top, path: str) -> bool:
    if wish.exclude is None:
        return False
    whole = "/".join(part for part in (top.path, path) if part)
    inner = path if top.is_dir else top.name
    return any(one and wish.exclude.ignores(one) for one in (inner, whole))


class _Walk:
    """Of one top that is a directory."""

    def __init__(self, wish: Wish, top: Top) -> None:
        self._wish = wish
        self._top = top

    def folder(self, fd: int, path: str, pending: list[File]) -> Iterator[File]:
        """What is in the open directory `path`; closes it. pending: directories on the way that
        wait for something to come."""
        try:
            for name in sorted(os.listdir(fd)):
                inner = f"{path}/{name}" if path else name
                info = os.stat(name, dir_fd=fd, follow_symlinks=False)
                one = File(fd, name, inner, info)
                left_out = self._is_left_out(inner)
                if not stat.S_ISDIR(info.st_mode):
                    if not left_out:
                        yield from _all_of(pending)
                        yield one
                    continue
                if left_out and self._nothing_below(inner):
                    continue
                yield from self._subfolder(one, pending, left_out=left_out)
        finally:
            os.close(fd)

    def _subfolder(self, one: File, pending: list[File], *, left_out: bool) -> Iterator[File]:
        waiting = [*pending, one]
        if not left_out:
            yield from _all_of(waiting)
            pending.clear()
        below = os.open(one.name, _FOLDER, dir_fd=one.folder)
        for file in self.folder(below, one.path, waiting):
            pending.clear()
            yield file

    def _is_left_out(self, path: str) -> bool:
        whole = f"{self._top.path}/{path}" if self._top.path else path
        ignore = self._wish.ignore
        if ignore is not None and ignore.ignores(whole):
            return True
        return _is_excluded(self._wish, self._top, path)

    def _nothing_below(self, path: str) -> bool:
        whole = f"{self._top.path}/{path}" if self._top.path else path
        ignore, exclude = self._wish.ignore, self._wish.exclude
        return (ignore is None or ignore.skips_below(whole) or not ignore.ignores(whole)) and (
            exclude is None or exclude.skips_below(path)
        )


def _all_of(pending: list[File]) -> Iterator[File]:
    waiting, pending[:] = list(pending), []
    yield from waiting


def digest(root: int, wish: Wish) -> str:
    """Of everything about the files but their times. Raises RlError."""
    total = hashlib.sha256()
    for top in tops(root, wish):
        total.update(_row("top", top.name, top.target, int(top.is_dir)))
        for one in walk(root, wish, top):
            total.update(_described(one, owned=wish.owned))
    return total.hexdigest()


def _described(one: File, *, owned: bool) -> bytes:
    info = one.info
    # The root of a context has whatever mode the user's directory has; nothing takes it over.
    mode = info.st_mode
    fields: list[Any] = [one.path, mode, *(owner_of(one) if owned else (0, 0))]
    if stat.S_ISLNK(mode):
        fields.append(os.readlink(one.name, dir_fd=one.folder))
    elif stat.S_ISREG(mode):
        fields.append(content_digest(one))
    elif not stat.S_ISDIR(mode):
        fields.append(info.st_rdev)
    return _row(*fields)


def owner_of(one: File) -> tuple[int, int]:
    """The owner of a file of a stage, which is beside it where one id alone is mapped."""
    if not (stat.S_ISREG(one.info.st_mode) or stat.S_ISDIR(one.info.st_mode)) or _maps_many():
        return one.info.st_uid, one.info.st_gid
    if one.name:
        mark = owners.read_at(one.folder, one.name)
    else:
        mark = owners.read(mounts.fd_path(one.folder))
    return (mark.uid, mark.gid) if mark else (one.info.st_uid, one.info.st_gid)


@functools.cache
def _maps_many() -> bool:
    return not inside.own_maps().is_single


def _row(*fields: object) -> bytes:
    return b"\0".join(str(field).encode(errors="surrogateescape") for field in fields) + b"\0\n"


def open_file(one: File) -> int:
    """The regular file `one` for reading. Raises RlError."""
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        if not one.name:
            return os.open(mounts.fd_path(one.folder), flags)
        return os.open(one.name, flags | os.O_NOFOLLOW, dir_fd=one.folder)
    except OSError as error:
        raise RlError(f"{one.path or one.name}: {error.strerror}") from None


def content_digest(one: File) -> str:
    """Of a file's bytes and its capabilities; holes are not read."""
    fd = open_file(one)
    try:
        summed = hashlib.sha256()
        for offset, length in extents(fd, one.info):
            if one.info.st_blocks * 512 < one.info.st_size:
                summed.update(b"%d\0" % offset)
            for piece in pieces(fd, offset, length):
                summed.update(piece)
        summed.update(b"%d\0" % one.info.st_size + capability(fd))
        return summed.hexdigest()
    finally:
        os.close(fd)


def capability(fd: int) -> bytes:
    """The file's `security.capability`, b"" without one."""
    try:
        return os.getxattr(fd, _CAPABILITY)
    except OSError:
        return b""


def extents(fd: int, info: os.stat_result) -> list[tuple[int, int]]:
    """(offset, length) of the parts of a file that are no holes."""
    if info.st_blocks * 512 >= info.st_size:
        return [(0, info.st_size)] if info.st_size else []
    found: list[tuple[int, int]] = []
    end = 0
    while True:
        try:
            start = os.lseek(fd, end, os.SEEK_DATA)
            end = os.lseek(fd, start, os.SEEK_HOLE)
        except OSError:
            return found
        found.append((start, end - start))


def pieces(fd: int, offset: int, length: int) -> Iterator[bytes]:
    """The bytes of one extent; zeros where the file has shrunk meanwhile."""
    while length:
        piece = os.pread(fd, min(length, _PIECE), offset) or bytes(min(length, _PIECE))
        yield piece
        offset += len(piece)
        length -= len(piece)
