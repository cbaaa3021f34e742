"""Squashfs files unpacked, where they cannot be mounted: a tree in the store for each.

The file is anybody's, and so is unsquashfs's trust in it: the program runs where everything but the
new directory is read-only.
"""

from __future__ import annotations

import os
import time

from rootless import log
from rootless.errors import HostError, ImageError, RlError, StoreError
from rootless.kernel import libc, mounts, signals
from rootless.store import containers, files, layers
from rootless.tools import idmap, spawn, squashfs_tools

TYPE_CHECKING = False
if TYPE_CHECKING:
    from rootless.image.squashfile import SquashFile
    from rootless.store.paths import Paths

# Seconds in which a start that has found its tree gets to its record.
_BIRTH = 600.0
_EMPTY = libc.MOVE_MOUNT_F_EMPTY_PATH | libc.MOVE_MOUNT_T_EMPTY_PATH


def tree_of(paths: Paths, found: SquashFile) -> str:
    """Where the file's tree is, or is to be."""
    import hashlib

    return f"{paths.unpacked}/{hashlib.sha256(found.fingerprint.encode()).hexdigest()[:32]}/tree"


def note_use(tree: str) -> None:
    """That a start is about to use it."""
    os.utime(os.path.dirname(tree))


def unpack(paths: Paths, found: SquashFile, tree: str) -> list[str]:
    """Unpack the file into `tree` (of tree_of), unless another command just has.

    Returns what is missing in it, in lines. Raises HostError, ImageError, StoreError.
    """
    program = spawn.which("unsquashfs")
    if program is None:
        raise HostError(
            f"{found.path}: neither squashfuse_ll with /dev/fuse nor unsquashfs is there",
            hint="sudo apt-get install squashfuse squashfs-tools",
        )
    for folder in (paths.tmp, paths.locks, paths.unpacked):
        files.make_dirs(folder)
    with files.Lock(f"{paths.locks}/unpacking"), layers.Workspace(paths) as workspace:
        if os.path.isdir(tree):
            return []
        place = f"{workspace.path}/new"
        os.mkdir(place, 0o700)
        log.effect(f"unpack {found.path} into {tree}")
        notes: list[str] = idmap.call(lambda: _unpack(program, found.path, place))
        os.rename(place, os.path.dirname(tree))
    return notes


def _unpack(program: str, path: str, place: str) -> list[str]:
    _confine(place)
    done = _run(program, path, place, plain=False)
    notes = []
    if done.is_about_attributes:
        from rootless.store import trees

        trees.remove_tree(f"{place}/tree")
        done = _run(program, path, place, plain=True)
        notes.append("extended attributes, but for user.*, are not kept here")
    if done.problem:
        _explain(path, place, done.problem)
    if done.devices:
        notes.append(f"{done.devices} device files cannot be made here")
    if done.owners:
        notes.append(f"{done.owners} files have owners that are not mapped; they are root's")
    return notes


def _run(program: str, path: str, place: str, *, plain: bool) -> squashfs_tools.Unpacked:
    command = squashfs_tools.unpacking(program, path, f"{place}/tree", plain=plain)
    return squashfs_tools.Unpacked(spawn.run(command, die_with_parent=signals.SIGKILL))


def _explain(path: str, place: str, problem: str) -> None:
    space = os.statvfs(place)
    if space.f_bavail * space.f_frsize < 1 << 20 or "No space left" in problem:
        raise StoreError(f"{place}: no space left for the files of {path}", hint="rl system prune")
    raise ImageError(f"{path}: cannot be unpacked: {problem}", hint=f"unsquashfs -s {path}")


def _confine(place: str) -> None:
    """From here on this process and its children can write below `place` alone."""
    libc.unshare(libc.CLONE_NEWNS)
    libc.mount(None, "/", None, libc.MS_PRIVATE | libc.MS_REC)
    root = os.open("/", os.O_PATH | os.O_CLOEXEC)
    tree = libc.open_tree(libc.AT_FDCWD, place, libc.OPEN_TREE_CLONE)
    mounts.add_flags(root, libc.MS_RDONLY, recursive=True)
    target = os.open(place, os.O_PATH | os.O_CLOEXEC)
    libc.move_mount(tree, "", target, "", _EMPTY)


def places(paths: Paths) -> list[str]:
    """The directories of all trees."""
    return [f"{paths.unpacked}/{name}" for name in _listed(paths.unpacked)]


def used(paths: Paths) -> set[str]:
    """Those of `places` that containers are made of."""
    found = set()
    for one in containers.all_ids(paths):
        try:
            told = containers.read_record(paths, one).get("image_file") or {}
        except RlError:
            continue
        if told.get("unpacked"):
            found.add(os.path.dirname(told["unpacked"]))
    return found


def prune(paths: Paths) -> tuple[list[str], int]:
    """Remove the trees that no container uses: (lines of what went, bytes given back)."""
    kept = used(paths)
    lines, freed = [], 0
    for place in places(paths):
        try:
            if place in kept or time.time() - os.stat(place).st_mtime < _BIRTH:
                continue
            freed += _remove(paths, place)
        except FileNotFoundError:
            continue  # by another command
        lines.append(f"Deleted: {place}")
    return lines, freed


def _remove(paths: Paths, place: str) -> int:
    from rootless.store import trees

    size: int = idmap.call(lambda: trees.du(place)[0])
    with layers.Workspace(paths) as workspace:
        # Whole, or not there.
        os.rename(place, f"{workspace.path}/old")
    return size


def _listed(path: str) -> list[str]:
    try:
        return sorted(os.listdir(path))
    except FileNotFoundError:
        return []
