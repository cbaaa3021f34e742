"""The directories of a shared store's layers once more, as this user's own: a frame above them.

Before 1.14 (create_node_directory in main.c) fuse-overlayfs gives a directory that it copies up the
owner and the mode that it has on disk, not those that are kept beside it. With a frame as the
topmost of the layers it takes them from there. A frame holds nothing but directories, is made at
the first use of an image and kept in the user's store.
"""

from __future__ import annotations

import errno
import os
import stat
import zlib

from rootless import log
from rootless.image import lowers
from rootless.store import blobs, containers, files, layers, trees
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from rootless.store.paths import Paths

# Deeper ones are left out, and keep the small flaw.
_MOST_DEEP = 128
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def add(paths: Paths, found: list[str]) -> list[str]:
    """`found`, the trees of an image's layers (topmost first), with a frame above those of a shared
    store, where there are any. Raises StoreError, HostError."""
    first = next((at for at, tree in enumerate(found) if layers.is_any_shared([tree])), -1)
    if first < 0:
        return found
    # Own layers below a shared one are part of the frame.
    return [*found[:first], _frame(paths, found[first:]), *found[first:]]


def _frame(paths: Paths, below: list[str]) -> str:
    # Who gets subordinate ids one day needs another one.
    maps = idmap.canonical_maps()
    check = zlib.crc32(repr((below, maps.uids, maps.gids)).encode())
    path = f"{paths.frames}/{os.path.basename(os.path.dirname(below[0]))}-{check:08x}"
    if not os.path.isdir(path):
        _make(paths, below, path)
    return path


def _make(paths: Paths, below: list[str], path: str) -> None:
    blobs.ensure_layout(paths)
    files.make_dirs(paths.frames)
    log.effect(f"make {path}: the directories of {len(below)} layers of a shared store")
    with layers.Workspace(paths) as workspace:
        tree = f"{workspace.path}/frame"
        try:
            idmap.call(lambda: _build(below, tree))
            os.rename(tree, path)
        except OSError as error:
            # Another command was faster.
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise files.explain(error, path) from error


def _build(below: list[str], tree: str) -> None:
    os.mkdir(tree, 0o700)
    target = os.open(tree, _FOLDER)
    folders = lowers.open_all(below)
    info = lowers.as_marked(os.fstat(folders[0]), f"/proc/self/fd/{folders[0]}/.")
    _fill(folders, target, info, _MOST_DEEP)


def _fill(folders: list[int], target: int, info: os.stat_result, depth: int) -> None:
    """Make `target` what `info` says, with the directories that `folders` show. Closes all."""
    for name in _directories(folders) if depth else ():
        found_info, found = lowers.find(folders, name)
        if found_info is None or not stat.S_ISDIR(found_info.st_mode):
            lowers.close(found)
            continue
        os.mkdir(name, 0o700, dir_fd=target)
        _fill(found, os.open(name, _FOLDER, dir_fd=target), found_info, depth - 1)
    _own(target, info)
    os.fchmod(target, stat.S_IMODE(info.st_mode))
    os.utime(target, ns=(info.st_mtime_ns, info.st_mtime_ns))
    lowers.close((*folders, target))


def _directories(folders: list[int]) -> list[str]:
    names: dict[str, None] = {}
    for folder in folders:
        with os.scandir(folder) as entries:
            names.update((one.name, None) for one in entries if one.is_dir(follow_symlinks=False))
    return list(names)


def _own(target: int, info: os.stat_result) -> None:
    try:
        os.fchown(target, info.st_uid, info.st_gid)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        # An id that this user has not: root's, as everything is for who has only one.


def prune(paths: Paths) -> int:
    """Remove the frames that no container has; how many."""
    used = set(_used(paths))
    doomed = [path for path in _all(paths) if path not in used]
    if doomed:
        idmap.call(lambda: _remove_all(doomed))
    return len(doomed)


def _remove_all(doomed: list[str]) -> None:
    for path in doomed:
        trees.remove_tree(path)


def _all(paths: Paths) -> list[str]:
    try:
        return [f"{paths.frames}/{name}" for name in sorted(os.listdir(paths.frames))]
    except FileNotFoundError:
        return []


def _used(paths: Paths) -> Iterator[str]:
    for one in containers.all_ids(paths):
        folder = f"{containers.directory(paths, one)}/l"
        try:
            for name in os.listdir(folder):
                yield os.readlink(f"{folder}/{name}")
        except OSError:
            continue  # removed meanwhile
