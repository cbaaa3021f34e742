"""Stages as file trees: layers mounted for the time of a look or a change, in the user namespace.

A step that writes gets a directory like a container's (l, upper, work, merged) in a workspace of
the store: whatever is killed, the next command removes it. What it wrote is in `upper` alone.
"""

from __future__ import annotations

import os

from rootless.engine import facts, storage
from rootless.errors import RlError, describe_os_error
from rootless.image import tree_changes
from rootless.runtime import inside, rootfs
from rootless.store import layers, paths
from rootless.store.verdicts import Verdicts
from rootless.tools import idmap

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

    from rootless.runtime.inside import Send, Work
    from rootless.runtime.messages import RootfsRequest

_FOLDER = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def prepare(folder: str, trees: list[str]) -> RootfsRequest:
    """Make the directory `folder` for a mount of `trees` (topmost first) with an upper one."""
    for name in ("", "/l", "/work", "/merged"):
        os.mkdir(folder + name, 0o700)
    lowers = trees or [empty_tree(folder)]
    for number, tree in enumerate(lowers):
        os.symlink(tree, f"{folder}/l/{number}")
    host = facts.gather(verdicts=Verdicts(paths.discover()))
    driver = storage.choose("", host, folder, shifts=False, shared=layers.is_any_shared(lowers))
    if driver != storage.VFS:
        os.mkdir(f"{folder}/upper")
        os.chmod(f"{folder}/upper", 0o755)
    return {
        "driver": driver,
        "path": folder,
        "layers": len(lowers),
        "program": host.fuse_overlayfs if driver == "fuse-overlayfs" else "",
        "uid_shift": (),
        "gid_shift": (),
        "squash": None,
    }


def upper_of(folder: str) -> str:
    """What was written on top, once the work in it is done. Raises OSError."""
    upper = f"{folder}/upper"
    if not os.path.isdir(upper):
        # The driver vfs: all of it is one copy.
        lowers = [f"{folder}/l/{number}" for number in range(len(os.listdir(f"{folder}/l")))]
        idmap.call(lambda: tree_changes.fill(f"{folder}/merged", lowers, upper))
    return upper


def prepare_plain(folder: str) -> RootfsRequest:
    """The same for an empty directory, `folder`/tree, that is written to as it is."""
    for name in ("", "/l", "/tree", "/merged"):
        os.mkdir(folder + name, 0o700)
    os.chmod(f"{folder}/tree", 0o755)
    os.symlink(f"{folder}/tree", f"{folder}/l/0")
    return {
        "driver": "directory", "path": folder, "layers": 1, "program": "",
        "uid_shift": (), "gid_shift": (), "squash": None,
    }  # fmt: skip


def empty_tree(folder: str) -> str:
    """What an image without layers is mounted from: no overlay does without a lower directory."""
    path = f"{folder}/empty"
    os.mkdir(path, 0o755)
    return path


def work_in(request: RootfsRequest, work: Work, keep: Sequence[int] = ()) -> Any:
    """What `work` sends, a single value, when it has run with the mounted root. Raises RlError."""
    return _only(
        inside.enter_stopped(inside.Stopped(request, [], None, read_only=False), work, keep)
    )


def _only(there: inside.Inside) -> Any:
    try:
        value = there.receive()
        there.finish()
        return value
    except OSError as error:
        raise RlError(describe_os_error(error)) from error
    finally:
        there.close()


def with_mounted(request: RootfsRequest, use: Callable[[int], None]) -> None:
    """Within a `work`: have a second tree mounted while `use` runs with its descriptor."""
    made = rootfs.make(request)
    try:
        root = os.open(made.path, _FOLDER)
        try:
            use(root)
        finally:
            os.close(root)
    finally:
        os.chdir("/")
        made.unmount(discard=True, with_all_below=True)


def sender(use: Callable[[int], Any]) -> Work:
    """A work that sends what `use` returns."""

    def work(root: int, send: Send) -> None:
        send(use(root))

    return work
