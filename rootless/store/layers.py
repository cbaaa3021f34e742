"""Unpacked layers, shared by all images that have them.

A layer is the directory `layers/HEX` of its diff id: `diff` is the tree, `layer.json` says what it
holds. It appears by one rename(2), so a layer that is there is complete. Trees grow (and shrink) in
a `Workspace` below `tmp`, which a lock marks as alive; `sweep` removes those whose owner died.
"""

from __future__ import annotations

import errno
import os

from rootless import log
from rootless.errors import StoreError
from rootless.model import jsontext
from rootless.store import blobs, files
from rootless.store.paths import Paths
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

_KIND = "unpack-"
_LOCK = ".lock"


def has(paths: Paths, diff_id: str) -> bool:
    """Whether the layer is there, which means complete."""
    return os.path.isdir(paths.found_layer(blobs.check_digest(diff_id)))


def is_any_shared(trees: Iterable[str]) -> bool:
    """Whether one of the layers' trees is of a store that several users read."""
    # ROOT/layers/HEX/diff, as Paths has it.
    roots = {tree.rpartition("/layers/")[0] for tree in trees}
    return any(os.path.exists(Paths(root, "").shared_mark) for root in roots if root)


def info(paths: Paths, diff_id: str) -> dict[str, Any]:
    """`layer.json`: "size" (bytes in files), "files" (entries), "notes" (what was left out)."""
    path = f"{paths.found_layer(blobs.check_digest(diff_id))}/layer.json"
    instead = f"{paths.other_layers}/{diff_id.partition(':')[2]}/layer.json"
    try:
        document = jsontext.loads(_read(path, instead))
    except OSError as error:
        raise files.explain(error, path) from error
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise StoreError(f"{path}: damaged")
    return document


def _read(path: str, instead: str) -> bytes:
    for one in (path, instead):
        try:
            with open(one, "rb", buffering=0) as file:
                return file.read()
        except FileNotFoundError:
            continue
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), path)


def stored(paths: Paths) -> list[str]:
    """The diff ids of all layers that are present, in either kind (Paths.other_layers)."""
    return sorted({one for folder in _folders(paths) for one in blobs.digests_in(folder)})


def _folders(paths: Paths) -> list[str]:
    """Where layers are that this user, as they are now, can remove."""
    # What subordinate ids own stays where there are none.
    is_single = paths.other_layers == f"{paths.root}/layers"
    return [paths.layers] if is_single else [paths.layers, paths.other_layers]


def commit(paths: Paths, temporary: str, diff_id: str) -> bool:
    """Rename `temporary` (with `diff` and `layer.json` in it) to the layer.

    False when the layer is there already, from another process: `temporary` stays then.
    """
    target = paths.layer(blobs.check_digest(diff_id))
    # The store may be older than this kind of layers in it.
    files.make_dirs(paths.layers)
    try:
        os.rename(temporary, target)
    except OSError as error:
        if error.errno in (errno.EEXIST, errno.ENOTEMPTY):
            return False
        raise files.explain(error, target) from error
    return True


def remove(paths: Paths, diff_ids: Iterable[str]) -> list[str]:
    """Remove layers that nothing refers to; the ones that were there are returned.

    The caller holds `guard.removing`. They leave `layers` first, so that none is ever half there.
    """
    removed = []
    with Workspace(paths) as workspace:
        for diff_id in diff_ids:
            name = blobs.check_digest(diff_id).partition(":")[2]
            found = [folder for folder in _folders(paths) if _take(folder, name, workspace.path)]
            if found:
                removed.append(diff_id)
    return removed


def _take(folder: str, name: str, workspace: str) -> bool:
    """Move a layer into the workspace; whether it was there."""
    target = f"{folder}/{name}"
    if not os.path.isdir(target):
        return False
    log.effect(f"remove {target}")
    try:
        os.rename(target, f"{workspace}/{os.path.basename(folder)}-{name}")
    except FileNotFoundError:
        return False
    return True


class Workspace:
    """A directory below `tmp` on the store's file system, alive while a process holds its lock.

    A context manager; `close` removes the directory with whatever is in it.
    """

    def __init__(self, paths: Paths) -> None:
        number = 0
        while True:
            number += 1
            self.path = f"{paths.tmp}/{_KIND}{os.getpid()}-{number}"
            self.lock = files.Lock(self.path + _LOCK, blocking=False)
            # Another process with this pid (pid namespace, shared home) may hold the name.
            if self.lock.acquire():
                if self.lock.is_current() and not os.path.lexists(self.path):
                    break
                self.lock.release()
        os.mkdir(self.path, 0o700)
        spread_subdirectories(self.path)

    def close(self) -> None:
        """Remove the directory; in the user namespace when files of other ids are left in it."""
        remove_workspace(self.path)
        os.unlink(self.path + _LOCK)
        self.lock.release()

    def __enter__(self) -> Workspace:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def spread_subdirectories(path: str) -> None:
    """Ask the file system to place what is in each subdirectory apart.

    ext4 otherwise puts all layers into the inode group of `tmp`. Unpackers then share its locks,
    and where there is no journal, each new file after a removal costs 0.2 ms instead of 4 µs:
    inodes freed in the last minutes are not used again, and all are looked at every time.
    """
    from rootless.kernel import inodeflags

    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            inodeflags.add(fd, inodeflags.FS_TOPDIR_FL)
        finally:
            os.close(fd)
    except OSError:
        # Only ext2, ext3 and ext4 know this flag; elsewhere nothing is lost.
        pass


def remove_workspace(path: str) -> None:
    """Remove a workspace's directory, which nobody uses any more."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno != errno.ENOTEMPTY:
            raise files.explain(error, path) from error
        from rootless.store import trees

        try:
            idmap.call(lambda: trees.remove_tree(path))
        except OSError as inner:
            raise files.explain(inner, path) from inner


def sweep(paths: Paths) -> int:
    """Remove the workspaces that killed processes left in `tmp`; how many there were.

    Cheap when there are none: one listing of one directory.
    """
    return sum(map(_sweep_one, workspaces(paths)))


def workspaces(paths: Paths) -> list[str]:
    """The paths of all workspaces, in use or abandoned; of some only the lock may be left."""
    try:
        names = os.listdir(paths.tmp)
    except FileNotFoundError:
        return []
    found = {name.removesuffix(_LOCK) for name in names if name.startswith(_KIND)}
    return [f"{paths.tmp}/{name}" for name in sorted(found)]


def _sweep_one(path: str) -> bool:
    # A directory without a lock file lost it to a sweep that was itself cut: the lock is taken
    # before the directory is made and unlinked after it is gone.
    lock = files.Lock(path + _LOCK, blocking=False)
    if not lock.acquire():
        return False
    try:
        if lock.is_current():
            log.effect(f"sweep {path}")
            remove_workspace(path)
            os.unlink(path + _LOCK)
    finally:
        lock.release()
    return True
